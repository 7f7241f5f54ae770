//! A real control plane: etcd and kube-apiserver in one host of the laboratory, with throw-away certificates and data, RBAC on.
//!
//! Nothing else of Kubernetes runs: no scheduler, no kubelet, no controller-manager. So EndpointSlices are written by the test
//! ([`objects`]), no `default` ServiceAccount appears by itself, a deleted namespace stays `Terminating`, nothing is collected by owner
//! reference, and a Node that dies stays `Ready`.
//!
//! ```no_run
//! # fn main() -> lab::Result<()> {
//! let binaries = lab::control_plane::find_or_build(&mut |line| eprintln!("{line}"))?;
//! let lab = lab::Lab::new("sketch");
//! let host = lab.host("control")?;
//! let plane = lab::ControlPlane::start(&host, &binaries, &lab::control_plane::Settings::default())?;
//! plane.apply("{apiVersion: v1, kind: Namespace, metadata: {name: metallb-system}}")?;
//! let kubeconfig = plane.kubeconfig(); // for a `kube` client on a thread inside the host
//! # Ok(()) }
//! ```
//!
//! [`binaries`] finds or builds the programs, [`Kubectl`] speaks as one user, [`audit`] tells who wrote what.

pub mod audit;
pub mod binaries;
mod certificates;
mod compile;
mod kubectl;
pub mod objects;

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

pub use binaries::{Binaries, cache_folder, find, find_or_build};
pub use compile::{etcd_version, kubernetes_version};
pub use kubectl::Kubectl;

use crate::deadline::{Deadline, wait_until};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::host::Host;
use crate::privilege;
use crate::process::Process;
use certificates::{Authority, Pair};

/// Port of the API server.
pub const API_PORT: u16 = 6_443;

/// How long a start may take on a machine that builds something else meanwhile; alone it takes 3 to 4 s.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// How long a polite stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(70);

/// Addresses of Services inside the cluster, IPv4 and IPv6.
pub const SERVICE_RANGES: &str = "10.96.0.0/16,fd00:10:96::/112";

/// Admission that makes no sense without a controller-manager: every Pod would be refused for want of a `default` ServiceAccount, and
/// every new Node would keep a taint that says it is not ready.
const WITHOUT_ADMISSION: &str = "ServiceAccount,TaintNodesByCondition";

/// What can be chosen about a control plane.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Addresses of the host by which others reach the API server; the first is advertised. Without one it is loopback alone.
    pub addresses: Vec<IpAddr>,
    /// Further flags of the API server, such as `--etcd-compaction-interval=5s` where watches shall expire.
    pub flags: Vec<String>,
}

/// A part of a control plane that can fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The API server.
    ApiServer,
    /// Its store.
    Etcd,
}

/// A running control plane. All of it ends, and its data go, when it is dropped.
#[derive(Debug)]
pub struct ControlPlane {
    // The API server first: it ends before the store that it would complain about, and both before their folder.
    api_server: Option<Process>,
    etcd: Option<Process>,
    binaries: Binaries,
    host: Host,
    address: IpAddr,
    flags: Vec<String>,
    server: Pair,
    tokens: Pair,
    authority: PathBuf,
    admin: Kubectl,
    proxy: PathBuf,
    folder: Folder,
}

impl ControlPlane {
    /// Starts a control plane in a host and waits until it is ready: seconds, on an idle machine.
    ///
    /// # Errors
    /// [`Error::Late`] with the end of its log where it does not become ready.
    pub fn start(host: &Host, binaries: &Binaries, settings: &Settings) -> Result<Self> {
        let folder = Folder::make("control-plane")?;
        let address = settings.addresses.first().copied().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let authority = Authority::make(&folder)?;
        let server = authority.server(&folder, &settings.addresses)?;
        let tokens = certificates::token_key(&folder)?;
        let certificate = authority.certificate.clone();
        let config = |file: &str, user: &str, group: Option<&str>| -> Result<PathBuf> {
            let pair = authority.client(&folder, file, user, group)?;
            let user = kubectl::User::Certificate { certificate: &pair.certificate, key: &pair.key };
            folder.write(&format!("{file}.kubeconfig"), &kubectl::kubeconfig(address, &certificate, &user))
        };
        let admin = config("admin", "admin", Some("system:masters"))?;
        let proxy = config("kube-proxy", "system:kube-proxy", None)?;
        let admin = Kubectl::new(host, binaries.kubectl(), admin, folder.file("kubectl-cache"));
        let mut plane = Self {
            api_server: None,
            etcd: None,
            binaries: binaries.clone(),
            host: host.clone(),
            address,
            flags: settings.flags.clone(),
            server,
            tokens,
            authority: certificate,
            admin,
            proxy,
            folder,
        };
        plane.folder.write("audit-policy.yaml", audit::POLICY)?;
        plane.start_part(Part::Etcd)?;
        plane.start_part(Part::ApiServer)?;
        plane.wait_until_ready()?;
        Ok(plane)
    }

    /// The host it runs in.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The programs it runs.
    pub const fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Where the API server is reached.
    pub const fn address(&self) -> SocketAddr {
        SocketAddr::new(self.address, API_PORT)
    }

    /// The kubeconfig of an administrator (group `system:masters`), good in every host that reaches the address.
    pub fn kubeconfig(&self) -> &Path {
        self.admin.kubeconfig()
    }

    /// The kubeconfig with the rights that the API server gives to kube-proxy.
    pub fn kubeconfig_of_kube_proxy(&self) -> &Path {
        &self.proxy
    }

    /// `kubectl` as the administrator.
    pub const fn admin(&self) -> &Kubectl {
        &self.admin
    }

    /// `kubectl` as a ServiceAccount that exists, with a token for a day from the API server itself and no right but its own.
    ///
    /// # Errors
    /// [`Error::Exit`] where the API server gives no token.
    pub fn service_account(&self, namespace: &str, name: &str) -> Result<Kubectl> {
        let token = self.admin.run(&["create", "token", name, "--namespace", namespace, "--duration=24h"])?;
        let user = kubectl::User::Token(token.trim());
        let text = kubectl::kubeconfig(self.address, &self.authority, &user);
        let kubeconfig = self.folder.write(&format!("{namespace}.{name}.kubeconfig"), &text)?;
        Ok(self.admin.with_kubeconfig(kubeconfig))
    }

    /// Writes one entry of a Secret into a file, as a kubelet that mounts it would; waits until the Secret is there. Returns the folder,
    /// in which the file has the name of the entry.
    ///
    /// # Errors
    /// [`Error::Late`] where there is no such Secret in time.
    pub fn mount_secret(&self, namespace: &str, secret: &str, entry: &str, within: Duration) -> Result<PathBuf> {
        let template = format!("go-template={{{{index .data \"{entry}\" | base64decode}}}}");
        let what = format!("Secret {namespace}/{secret}");
        let arguments = ["secret", secret, "--namespace", namespace, "-o", &template];
        let text = self.wait_for(&what, within, &arguments, |text| !text.is_empty())?;
        let folder = format!("secrets/{namespace}/{secret}");
        self.folder.write(&format!("{folder}/{entry}"), &text)?;
        Ok(self.folder.file(&folder))
    }

    /// Applies objects as the administrator: [`Kubectl::apply`].
    ///
    /// # Errors
    /// As there.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        self.admin.apply(yaml)
    }

    /// Every write that a client has made so far, the oldest first, as the API server recorded it when it was done.
    ///
    /// # Errors
    /// [`Error::System`] where the record cannot be read.
    pub fn writes(&self) -> Result<Vec<audit::Write>> {
        audit::read(&self.folder.file("audit.log"))
    }

    /// The folder of its data, keys and records.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The process of a part; `None` while it does not run.
    pub const fn process(&self, part: Part) -> Option<&Process> {
        match part {
            Part::ApiServer => self.api_server.as_ref(),
            Part::Etcd => self.etcd.as_ref(),
        }
    }

    /// What a part has said so far.
    pub fn log(&self, part: Part) -> String {
        self.process(part).map(Process::stderr).unwrap_or_default()
    }

    /// Kills a part at once (SIGKILL); its data stay.
    ///
    /// # Errors
    /// [`Error::System`] where the kernel refuses it.
    pub fn kill(&mut self, part: Part) -> Result<()> {
        self.slot(part).take().map_or(Ok(()), |mut process| process.kill())
    }

    /// Asks a part to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// [`Error::Late`] where it does not end.
    pub fn stop(&mut self, part: Part) -> Result<()> {
        let Some(mut process) = self.slot(part).take() else { return Ok(()) };
        process.terminate()?;
        process.wait(STOP_WITHIN).map(drop)
    }

    /// Stops a part where it stands (SIGSTOP): connections stay open and nothing answers.
    ///
    /// # Errors
    /// [`Error::System`] where the kernel refuses it.
    pub fn pause(&mut self, part: Part) -> Result<()> {
        self.slot(part).as_mut().map_or(Ok(()), |process| process.signal(libc::SIGSTOP))
    }

    /// Lets a part go on after [`ControlPlane::pause`].
    ///
    /// # Errors
    /// [`Error::System`] where the kernel refuses it.
    pub fn resume(&mut self, part: Part) -> Result<()> {
        self.slot(part).as_mut().map_or(Ok(()), |process| process.signal(libc::SIGCONT))
    }

    /// Starts a part that was killed or stopped, on the same data and with the same keys; [`ControlPlane::wait_until_ready`] waits.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be started.
    pub fn start_part(&mut self, part: Part) -> Result<()> {
        let command = match part {
            Part::ApiServer => self.api_server_command(),
            Part::Etcd => self.etcd_command(),
        };
        let process = self.host.spawn(command)?;
        *self.slot(part) = Some(process);
        Ok(())
    }

    /// Waits until the API server says that it is ready.
    ///
    /// # Errors
    /// [`Error::Late`] or [`Error::Exit`], with the end of its log.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        let deadline = Deadline::within(READY_WITHIN);
        let address = self.address();
        let mut last = String::from("it does not accept connections");
        loop {
            for part in [Part::Etcd, Part::ApiServer] {
                if let Some(status) = self.slot(part).as_mut().map_or(Ok(None), Process::poll)? {
                    let command = format!("{part:?} of the control plane");
                    return Err(Error::Exit { command, status: status.to_string(), log: end_of(&self.log(part)) });
                }
            }
            // Cheap first: a kubectl that cannot connect costs more than the connection that it cannot make.
            let connects = self.host.inside(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)))?;
            if connects.is_ok() {
                match self.admin.run(&["get", "--raw", "/readyz", "--request-timeout=2s"]) {
                    Ok(_) => return Ok(()),
                    Err(error) => last = error.to_string(),
                }
            }
            if deadline.has_passed() {
                let log = end_of(&self.log(Part::ApiServer));
                return Err(deadline.missed(format!("the API server to be ready: {last}\n{log}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `kubectl get ARGUMENTS` as the administrator prints what is `good`; the last answer stands in the error.
    ///
    /// # Errors
    /// [`Error::Late`].
    pub fn wait_for(
        &self,
        what: &str,
        within: Duration,
        arguments: &[&str],
        good: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let mut last = String::new();
        let arguments: Vec<&str> = std::iter::once("get").chain(arguments.iter().copied()).collect();
        let found = wait_until(within, what, || match self.admin.run(&arguments) {
            Ok(text) if good(&text) => Some(text),
            Ok(text) => {
                last = text;
                None
            }
            Err(error) => {
                last = error.to_string();
                None
            }
        });
        found.map_err(|error| error.with_last_look(&last))
    }

    const fn slot(&mut self, part: Part) -> &mut Option<Process> {
        match part {
            Part::ApiServer => &mut self.api_server,
            Part::Etcd => &mut self.etcd,
        }
    }

    fn etcd_command(&self) -> Command {
        let mut command = Command::new(self.binaries.etcd());
        command.args(["--name", "lab", "--unsafe-no-fsync", "--log-level", "warn"]);
        command.arg("--data-dir").arg(self.folder.file("etcd"));
        // The namespace is its own: fixed ports meet nobody.
        let [clients, peers] = ["http://127.0.0.1:2379", "http://127.0.0.1:2380"];
        command.args(["--listen-client-urls", clients, "--advertise-client-urls", clients]);
        command.args(["--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers]);
        command.args(["--initial-cluster", &format!("lab={peers}")]);
        command
    }

    fn api_server_command(&self) -> Command {
        let mut command = Command::new(self.binaries.kube_apiserver());
        let mut path = |flag: &str, path: &Path| {
            command.arg(flag).arg(path);
        };
        path("--cert-dir", self.folder.path());
        path("--tls-cert-file", &self.server.certificate);
        path("--tls-private-key-file", &self.server.key);
        path("--client-ca-file", &self.authority);
        path("--service-account-key-file", &self.tokens.certificate);
        path("--service-account-signing-key-file", &self.tokens.key);
        path("--audit-policy-file", &self.folder.file("audit-policy.yaml"));
        path("--audit-log-path", &self.folder.file("audit.log"));
        // In MiB. Beyond it a new file begins, and nobody reads the old one.
        command.args(["--audit-log-maxsize", "65536"]);
        command.args(["--etcd-servers", "http://127.0.0.1:2379", "--etcd-compaction-interval", "0"]);
        command.args(["--advertise-address", &self.address.to_string(), "--secure-port", &API_PORT.to_string()]);
        // It would refuse to be an endpoint of its own Service with an address of loopback.
        command.args(["--endpoint-reconciler-type", "none", "--authorization-mode", "RBAC"]);
        command.args(["--service-account-issuer", "https://kubernetes.default.svc"]);
        command.args(["--service-cluster-ip-range", SERVICE_RANGES, "--service-node-port-range", "20000-32767"]);
        command.args(["--disable-admission-plugins", WITHOUT_ADMISSION]);
        // Tests in bulk are not to be held up by fairness among clients.
        command.args(["--enable-priority-and-fairness=false", "--allow-privileged=true", "--profiling=false"]);
        command.args(&self.flags);
        command
    }
}

/// For a test binary: finds or builds the programs, then does what [`crate::privilege::enter_for_tests`] does. Must come first in
/// `main`, while the process has one thread.
///
/// # Errors
/// The exit status for `main`, after saying why on standard error: failure, or success if `FERRULE_TEST_ALLOW_SKIP=1`.
#[expect(clippy::print_stderr, reason = "the harness of a test binary has no other place to say why nothing ran")]
pub fn enter_for_tests(suite: &str) -> std::result::Result<Binaries, ExitCode> {
    // The programs first: the namespace that a user without root gets has no way out to fetch anything.
    let found = find_or_build(&mut |line| eprintln!("{suite}: {line}"));
    let binaries = found.map_err(|error| privilege::skip_or_fail(suite, &error))?;
    privilege::enter_for_tests(suite)?;
    Ok(binaries)
}

/// The last 3,000 octets or so of a log.
fn end_of(log: &str) -> String {
    let start = log.len().saturating_sub(3_000);
    let start = (start..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
    log.get(start..).unwrap_or_default().to_owned()
}
