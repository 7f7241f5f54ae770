//! What both roles of a cluster take.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use thiserror::Error;

use super::spelling::{optional_text, switch};

/// Where a Pod finds the name of its namespace.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";

/// A value that may be unset; the empty text unsets it.
pub(super) type Setting = Option<String>;

/// From which level on lines are written ([CLI-10], [LOG-2]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// The same as debug.
    All,
    /// Why something did not happen, too.
    Debug,
    /// Changes that users see.
    Info,
    /// What is worth a look.
    Warn,
    /// Only what keeps the process from doing its job.
    Error,
    /// Nothing.
    None,
}

/// Which back end of upstream the environment names ([MODE-1], [ENV-1]). All are served by one engine; some defaults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BgpType {
    /// `native`.
    Native,
    /// `frr`.
    Frr,
    /// `frr-k8s`.
    FrrK8s,
    /// Any other text, the empty one included.
    Other,
}

impl From<&str> for BgpType {
    fn from(text: &str) -> Self {
        match text {
            "native" => Self::Native,
            "frr" => Self::Frr,
            "frr-k8s" => Self::FrrK8s,
            _ => Self::Other,
        }
    }
}

/// A flag that was given and changes nothing; said once at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ineffective {
    /// Without dashes.
    pub flag: &'static str,
    /// Why.
    pub reason: &'static str,
}

impl Ineffective {
    /// Those of the candidates that were given: (whether, flag, reason).
    pub(super) fn given(candidates: impl IntoIterator<Item = (bool, &'static str, &'static str)>) -> Vec<Self> {
        let given = candidates.into_iter().filter(|(given, ..)| *given);
        given.map(|(_, flag, reason)| Self { flag, reason }).collect()
    }
}

/// The install namespace is not known ([CLI-1]).
#[derive(Debug, Error)]
#[error("the namespace is not known: give --namespace or METALLB_NAMESPACE ({} cannot be read)", path.display())]
pub struct UnknownNamespace {
    path: PathBuf,
    source: io::Error,
}

/// Flags of `ferrule controller` and `ferrule speaker`.
#[derive(Args, Clone, Debug)]
pub struct RoleArgs {
    /// The install namespace: objects of metallb.io count only there (without: the namespace of the Pod).
    #[arg(long, value_name = "NS", env = "METALLB_NAMESPACE", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub namespace: Setting,

    /// The Pod that this process runs in: objects made by the process are owned by it, and go with it.
    #[arg(long, value_name = "NAME", env = "METALLB_POD_NAME", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub pod_name: Setting,

    /// Handle the Services of this class only (without: only Services without a class).
    #[arg(long = "lb-class", value_name = "CLASS", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub load_balancer_class: Setting,

    /// From which level on lines are written.
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t = LogLevel::Info)]
    pub log_level: LogLevel,

    /// The port of the metrics, on all addresses, by HTTPS; 0: no metrics.
    #[arg(long, value_name = "PORT", default_value_t = 9120)]
    pub port: u16,

    /// Serve metrics by plain HTTP, to anybody who can reach the port: for tests, and where a network policy or a proxy guards it.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, action = clap::ArgAction::Set,
        default_value = "false", default_missing_value = "true", hide_default_value = true, value_parser = switch
    )]
    pub metrics_plain_http: bool,

    /// The port of the probes /healthz, /readyz and /livez: on all addresses (controller), on 127.0.0.1 (speaker); 0: no probes.
    #[arg(long, value_name = "PORT", default_value_t = 17_472)]
    pub health_probe_port: u16,

    /// How the metrics are encrypted.
    #[command(flatten)]
    pub tls: TlsArgs,

    /// The way to the API server, when not running as a Pod.
    #[arg(long, value_name = "FILE", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub kubeconfig: Setting,

    /// Accepted without effect: there is no profiling listener.
    #[arg(long, value_name = "ADDRESS", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub pprof_bind_address: Setting,

    /// The back end that manifests of upstream name. One engine serves all; `native` keeps the attributes of that one (no local
    /// preference of 100 and no MED of 0 where none is set).
    #[arg(long, value_name = "NAME", env = "METALLB_BGP_TYPE")]
    pub bgp_type: Option<BgpType>,
}

/// Flags of TLS ([CCLI-1], [CLI-16] to [CLI-19]).
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsArgs {
    /// The oldest version of TLS: `VersionTLS12` or `VersionTLS13` (without: `VersionTLS13`).
    #[arg(long = "tls-min-version", value_name = "VERSION", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub min_version: Setting,

    /// Cipher suites by their IANA names, the preferred ones first; for TLS 1.2 only.
    #[arg(long = "tls-cipher-suites", value_name = "NAME,...", value_delimiter = ',')]
    pub cipher_suites: Vec<String>,

    /// Groups of the key exchange by their numbers, the preferred ones first (23 secp256r1, 24 secp384r1, 29 x25519).
    #[arg(long = "tls-curve-preferences", value_name = "NUMBER,...", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..))]
    pub curve_preferences: Vec<u16>,

    /// The folder with tls.crt and tls.key, read again when they change (without: a certificate of our own making, new at each start).
    #[arg(long, value_name = "FOLDER", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub metrics_cert_dir: Setting,
}

impl RoleArgs {
    /// The install namespace: that of the flag, else that of the Pod.
    ///
    /// # Errors
    /// [`UnknownNamespace`] where neither is known.
    pub fn install_namespace(&self) -> Result<String, UnknownNamespace> {
        self.namespace_or(Path::new(NAMESPACE_FILE))
    }

    fn namespace_or(&self, file: &Path) -> Result<String, UnknownNamespace> {
        if let Some(namespace) = &self.namespace {
            return Ok(namespace.clone());
        }
        let unknown = |source| UnknownNamespace { path: file.to_owned(), source };
        let text = fs::read_to_string(file).map_err(unknown)?;
        match text.trim() {
            "" => Err(unknown(io::Error::new(io::ErrorKind::InvalidData, "the file is empty"))),
            namespace => Ok(namespace.to_owned()),
        }
    }

    /// The file that says where the API server is.
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfig.as_deref().map(Path::new)
    }

    pub(super) fn without_effect(&self) -> Vec<Ineffective> {
        let candidates = [(self.pprof_bind_address.is_some(), "pprof-bind-address", "there is no profiling listener")];
        Ineffective::given(candidates)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [CLI-1]
    #[test]
    fn the_namespace_is_that_of_the_flag_else_that_of_the_pod() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("namespace");
        let arguments = super::super::tests::controller(&[]).role;
        assert!(arguments.namespace_or(&file).is_err());
        fs::write(&file, "\n").unwrap();
        assert!(arguments.namespace_or(&file).is_err());
        fs::write(&file, "metallb-test\n").unwrap();
        assert_eq!(arguments.namespace_or(&file).unwrap(), "metallb-test");
        let named = super::super::tests::controller(&["-namespace", "lb"]).role;
        assert_eq!(named.namespace_or(&file).unwrap(), "lb");
    }
}
