//! The flags of TLS as settings of rustls ([CLI-16] to [CLI-18], [D162-6]).

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{CipherSuite, NamedGroup, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};
use thiserror::Error;

use crate::args::TlsArgs;

/// Groups that upstream's library has and ours has not: P-521 and hybrids against quantum computers.
const NOT_OURS: [u16; 4] = [25, 4587, 4588, 4589];

/// A flag of TLS that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TlsError {
    /// No version of that name.
    #[error("--tls-min-version={name}: there is no such version; write VersionTLS12 or VersionTLS13")]
    Version {
        /// As given.
        name: String,
    },
    /// No suite of that name.
    #[error("--tls-cipher-suites: {name} is not supported; choose among {known}")]
    CipherSuite {
        /// As given.
        name: String,
        /// Those that are.
        known: String,
    },
    /// No group of that number.
    #[error("--tls-curve-preferences: {number} is not supported; choose among 23, 24, 29")]
    Curve {
        /// As given.
        number: u16,
    },
    /// A group twice.
    #[error("--tls-curve-preferences: {number} is there twice; name it once")]
    CurveTwice {
        /// As given.
        number: u16,
    },
    /// Groups are given, and none of them is supported.
    #[error("--tls-curve-preferences: none of the groups is supported; add 23, 24 or 29")]
    NoCurve,
    /// The certificate and the key do not fit, or cannot be used.
    #[error("the certificate cannot be used: {reason}")]
    Certificate {
        /// Why.
        reason: String,
    },
}

/// A setting that was given and is not, or not wholly, in effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsNote {
    /// Suites of TLS 1.3 are never chosen by name ([D162-6]).
    SuitesWithoutEffect,
    /// A version that is too old; TLS 1.2 is the oldest.
    OldVersion(String),
    /// A group that this build has not.
    CurveLeftOut(u16),
}

impl fmt::Display for TlsNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SuitesWithoutEffect => {
                f.write_str("--tls-cipher-suites has no effect with TLS 1.3 as the oldest version")
            }
            Self::OldVersion(name) => write!(f, "--tls-min-version={name}: the oldest version served is TLS 1.2"),
            Self::CurveLeftOut(number) => {
                write!(f, "--tls-curve-preferences: group {number} is not there and left out")
            }
        }
    }
}

/// Versions, suites and groups.
#[derive(Clone, Debug)]
pub struct TlsSettings {
    provider: Arc<CryptoProvider>,
    versions: Vec<&'static SupportedProtocolVersion>,
}

impl TlsSettings {
    /// Reads the flags.
    ///
    /// # Errors
    /// [`TlsError`], but none about certificates.
    pub fn new(arguments: &TlsArgs) -> Result<(Self, Vec<TlsNote>), TlsError> {
        let mut notes = Vec::new();
        let both = || vec![&version::TLS13, &version::TLS12];
        let versions = match arguments.min_version.as_deref() {
            None | Some("VersionTLS13") => vec![&version::TLS13],
            Some("VersionTLS12") => both(),
            Some(name @ ("VersionTLS10" | "VersionTLS11")) => {
                notes.push(TlsNote::OldVersion(name.to_owned()));
                both()
            }
            Some(name) => return Err(TlsError::Version { name: name.to_owned() }),
        };
        let mut provider = ring::default_provider();
        let chosen = suites(&arguments.cipher_suites)?;
        if !arguments.cipher_suites.is_empty() {
            if versions.len() == 1 {
                notes.push(TlsNote::SuitesWithoutEffect);
            } else {
                provider.cipher_suites.retain(|suite| suite.tls13().is_some());
                provider.cipher_suites.extend(chosen);
            }
        }
        if !arguments.curve_preferences.is_empty() {
            provider.kx_groups = groups(&arguments.curve_preferences, &mut notes)?;
        }
        Ok((Self { provider: Arc::new(provider), versions }, notes))
    }

    /// The settings of a server with this certificate.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn server(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ServerConfig, TlsError> {
        let unusable = |error: rustls::Error| TlsError::Certificate { reason: error.to_string() };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider));
        let builder = builder.with_protocol_versions(&self.versions).map_err(unusable)?;
        let mut config = builder.with_no_client_auth().with_single_cert(chain, key).map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// The suites of TLS 1.2 of these names; those of TLS 1.3 are known, and in use anyway.
fn suites(names: &[String]) -> Result<Vec<SupportedCipherSuite>, TlsError> {
    let mut chosen = Vec::new();
    for name in names {
        let name = name.trim();
        let found = ring::ALL_CIPHER_SUITES.iter().find(|suite| iana_name(suite.suite()) == name);
        let found = found.ok_or_else(|| TlsError::CipherSuite { name: name.to_owned(), known: known_suites() })?;
        if found.tls13().is_none() {
            chosen.push(*found);
        }
    }
    Ok(chosen)
}

/// The registered name; rustls marks those of TLS 1.3 in its own way.
fn iana_name(suite: CipherSuite) -> String {
    suite.as_str().unwrap_or_default().replace("TLS13_", "TLS_")
}

fn known_suites() -> String {
    let names: Vec<String> = ring::ALL_CIPHER_SUITES.iter().map(|suite| iana_name(suite.suite())).collect();
    names.join(", ")
}

fn groups(numbers: &[u16], notes: &mut Vec<TlsNote>) -> Result<Vec<&'static dyn SupportedKxGroup>, TlsError> {
    let mut seen = BTreeSet::new();
    let mut chosen = Vec::new();
    for number in numbers.iter().copied() {
        if !seen.insert(number) {
            return Err(TlsError::CurveTwice { number });
        }
        match ring::ALL_KX_GROUPS.iter().find(|group| group.name() == NamedGroup::from(number)) {
            Some(group) => chosen.push(*group),
            None if NOT_OURS.contains(&number) => notes.push(TlsNote::CurveLeftOut(number)),
            None => return Err(TlsError::Curve { number }),
        }
    }
    if chosen.is_empty() { Err(TlsError::NoCurve) } else { Ok(chosen) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(version: &str, suites: &[&str], curves: &[u16]) -> Result<(TlsSettings, Vec<TlsNote>), TlsError> {
        TlsSettings::new(&TlsArgs {
            min_version: Some(version.to_owned()).filter(|text| !text.is_empty()),
            cipher_suites: suites.iter().map(|&name| name.to_owned()).collect(),
            curve_preferences: curves.to_vec(),
            metrics_cert_dir: None,
        })
    }

    const SUITE: &str = "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256";

    // [CLI-16], [CLI-17], [D162-6]
    #[test]
    fn the_oldest_version_is_1_3_and_suites_count_below_it() {
        let (newest, notes) = settings("", &[SUITE], &[]).unwrap();
        assert_eq!((newest.versions.len(), notes), (1, vec![TlsNote::SuitesWithoutEffect]));
        let (older, notes) = settings("VersionTLS12", &[SUITE], &[]).unwrap();
        assert_eq!((older.versions.len(), notes), (2, vec![]));
        assert_eq!(older.provider.cipher_suites.iter().filter(|suite| suite.tls13().is_none()).count(), 1);
        assert_eq!(settings("VersionTLS10", &[], &[]).unwrap().1, [TlsNote::OldVersion("VersionTLS10".to_owned())]);
        assert!(settings("VersionTLS13", &["TLS_AES_128_GCM_SHA256"], &[]).is_ok());
    }

    // [CLI-16] to [CLI-18]
    #[test]
    fn what_is_not_known_is_an_error_that_names_it() {
        assert_eq!(settings("TLS1.2", &[], &[]).unwrap_err(), TlsError::Version { name: "TLS1.2".to_owned() });
        let error = settings("VersionTLS12", &["TLS_NULL"], &[]).unwrap_err().to_string();
        assert!(error.contains("TLS_NULL") && error.contains(SUITE), "{error}");
        assert_eq!(settings("", &[], &[1]).unwrap_err(), TlsError::Curve { number: 1 });
        assert_eq!(settings("", &[], &[29, 23, 29]).unwrap_err(), TlsError::CurveTwice { number: 29 });
        assert_eq!(settings("", &[], &[4588]).unwrap_err(), TlsError::NoCurve);
    }

    // [CLI-18]
    #[test]
    fn groups_keep_their_order_and_those_of_others_are_left_out() {
        let (settings, notes) = settings("", &[], &[4588, 23, 29]).unwrap();
        let names: Vec<NamedGroup> = settings.provider.kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(names, [NamedGroup::secp256r1, NamedGroup::X25519]);
        assert_eq!(notes, [TlsNote::CurveLeftOut(4588)]);
    }
}
