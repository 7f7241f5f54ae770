//! `kubectl` as one user, from one host.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;
use std::{fs, io};

use super::API_PORT;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::process::Output;

/// How long one command may take; the API server may be busy with others.
const COMMAND_WITHIN: Duration = Duration::from_secs(120);
/// How long a kind may take to be served after its definition was accepted.
const SERVED_WITHIN: Duration = Duration::from_secs(20);

/// Who a kubeconfig speaks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum User<'a> {
    Certificate { certificate: &'a Path, key: &'a Path },
    Token(&'a str),
}

/// The text of a kubeconfig.
pub(crate) fn kubeconfig(server: IpAddr, authority: &Path, user: &User<'_>) -> String {
    let (server, authority) = (SocketAddr::new(server, API_PORT), authority.display());
    let user = match user {
        User::Certificate { certificate, key } => {
            format!("{{client-certificate: {}, client-key: {}}}", certificate.display(), key.display())
        }
        User::Token(token) => format!("{{token: {token}}}"),
    };
    format!(
        "\
apiVersion: v1
kind: Config
clusters: [{{name: lab, cluster: {{server: \"https://{server}\", certificate-authority: {authority}}}}}]
users: [{{name: user, user: {user}}}]
contexts: [{{name: lab, context: {{cluster: lab, user: user}}}}]
current-context: lab
"
    )
}

/// `kubectl` with the rights of one user. Clones are the same user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    host: Host,
    program: PathBuf,
    kubeconfig: PathBuf,
    cache: PathBuf,
    files: Arc<AtomicU32>,
}

impl Kubectl {
    pub(crate) fn new(host: &Host, program: PathBuf, kubeconfig: PathBuf, cache: PathBuf) -> Self {
        Self { host: host.clone(), program, kubeconfig, cache, files: Arc::default() }
    }

    pub(crate) fn with_kubeconfig(&self, kubeconfig: PathBuf) -> Self {
        Self { kubeconfig, ..self.clone() }
    }

    /// Who it speaks for; usable by any client in a host that reaches the API server.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The command itself, for who wants to start it another way.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        // HOME could hold settings (kuberc) that change what a command does.
        command.env("KUBECONFIG", &self.kubeconfig).env("HOME", &self.cache);
        command.arg("--cache-dir").arg(&self.cache).args(arguments);
        command
    }

    /// Runs `kubectl ARGUMENTS` to its end, whatever its status.
    ///
    /// # Errors
    /// [`Error::Late`] where it takes longer than two minutes.
    pub fn try_run(&self, arguments: &[&str]) -> Result<Output> {
        self.host.run(self.command(arguments), COMMAND_WITHIN)
    }

    /// Runs `kubectl ARGUMENTS`, which must succeed; returns what it printed.
    ///
    /// # Errors
    /// [`Error::Exit`] with what it said.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        self.try_run(arguments)?.success()
    }

    /// One field of one object by its JSON path (`{.spec.holderIdentity}`); empty where it is not set.
    ///
    /// # Errors
    /// [`Error::Exit`] where there is no such object.
    pub fn field(&self, object: &[&str], path: &str) -> Result<String> {
        let output = format!("jsonpath={path}");
        let arguments: Vec<&str> = ["get", "-o", &output].into_iter().chain(object.iter().copied()).collect();
        self.run(&arguments)
    }

    /// `kubectl apply` of objects in YAML or JSON. A kind whose definition was applied a moment ago is waited for.
    ///
    /// # Errors
    /// [`Error::Exit`] with what the API server refused.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.feed(&["apply"], yaml)
    }

    /// Runs `kubectl ARGUMENTS -f FILE` with the text in the file.
    ///
    /// # Errors
    /// As [`Kubectl::apply`].
    pub fn feed(&self, arguments: &[&str], yaml: &str) -> Result<String> {
        let path = self.cache.join(format!("input-{}.yaml", self.files.fetch_add(1, Ordering::Relaxed)));
        let written: io::Result<()> = fs::create_dir_all(&self.cache).and_then(|()| fs::write(&path, yaml));
        written.map_err(|source| Error::system(format!("writing {}", path.display()), source))?;
        let path = path.to_string_lossy();
        let arguments: Vec<&str> = arguments.iter().copied().chain(["-f", &path]).collect();
        let deadline = Deadline::within(SERVED_WITHIN);
        loop {
            let output = self.try_run(&arguments)?;
            let not_served_yet = ["no matches for kind", "could not find the requested resource"];
            let early = !output.status.success() && not_served_yet.iter().any(|text| output.stderr.contains(text));
            if !early || deadline.has_passed() {
                return output.success();
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_stands_in_brackets() {
        let text = kubeconfig(IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), Path::new("/ca.crt"), &User::Token("secret"));
        assert!(text.contains("server: \"https://[::1]:6443\"") && text.contains("{token: secret}"), "{text}");
    }
}
