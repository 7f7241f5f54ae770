//! A process of the product in its place: a controller or a speaker, started, watched, signalled, killed and started again.

use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::INSTALL_NAMESPACE;
use crate::control_plane::Kubectl;
use crate::error::Result;
use crate::host::Host;
use crate::process::Process;

/// The program that has the roles, and what all its processes are given.
#[derive(Clone, Debug)]
pub struct Program {
    /// The binary; `controller` and `speaker` are its first arguments.
    pub path: PathBuf,
    /// The install namespace.
    pub namespace: String,
    /// Further arguments.
    pub arguments: Vec<String>,
    /// Further variables.
    pub environment: Vec<(String, String)>,
}

impl Program {
    /// A program that is installed where everybody installs it, with nothing further.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), namespace: INSTALL_NAMESPACE.into(), arguments: Vec::new(), environment: Vec::new() }
    }

    /// With one more variable.
    #[must_use]
    pub fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With one more argument.
    #[must_use]
    pub fn with_argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }
}

/// All processes of an installed product.
#[derive(Debug)]
pub struct Roles {
    /// The one controller.
    pub controller: Role,
    /// A speaker for each node, in their order.
    pub speakers: Vec<Role>,
}

impl Roles {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Role> {
        std::iter::once(&self.controller).chain(&self.speakers)
    }

    /// All of them, to start and stop them.
    pub fn all_mut(&mut self) -> impl Iterator<Item = &mut Role> {
        std::iter::once(&mut self.controller).chain(&mut self.speakers)
    }

    /// The speaker of a node.
    pub fn speaker(&mut self, node: &str) -> Option<&mut Role> {
        let name = format!("speaker-{node}");
        self.speakers.iter_mut().find(|role| role.name() == name)
    }

    /// What all have said, for the message of a failure.
    pub fn logs(&self) -> String {
        self.all().map(|role| format!("--- {}\n{}", role.name(), role.log())).collect::<Vec<_>>().join("\n")
    }
}

/// A controller or a speaker in its host. It is killed when it is dropped.
#[derive(Debug)]
pub struct Role {
    process: Option<Process>,
    /// What earlier runs have said.
    past: String,
    kind: &'static str,
    name: String,
    host: Host,
    program: Program,
    kubeconfig: PathBuf,
    environment: Vec<(String, String)>,
}

impl Role {
    pub(super) fn new(
        program: &Program,
        kind: &'static str,
        name: &str,
        host: &Host,
        user: &Kubectl,
        environment: &[(&str, &str)],
    ) -> Self {
        let own = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment = own.chain(program.environment.iter().cloned()).collect();
        let kubeconfig = user.kubeconfig().to_owned();
        let (name, host, program) = (name.to_owned(), host.clone(), program.clone());
        Self { process: None, past: String::new(), kind, name, host, program, kubeconfig, environment }
    }

    /// Its name, which is its Pod's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The host it runs in.
    pub const fn host(&self) -> &Host {
        &self.host
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program.path);
        command.args([self.kind, "--namespace", &self.program.namespace]).args(&self.program.arguments);
        command.env("KUBECONFIG", &self.kubeconfig).env("METALLB_POD_NAME", &self.name);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts it, or starts it again; one that runs is killed first.
    ///
    /// # Errors
    /// [`crate::Error::System`] where it cannot be started.
    pub fn start(&mut self) -> Result<()> {
        self.kill()?;
        self.process = Some(self.host.spawn(self.command())?);
        Ok(())
    }

    /// Kills it at once (SIGKILL); one that does not run is no error.
    ///
    /// # Errors
    /// [`crate::Error::System`] where the kernel refuses it.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut process) = self.process.take() else { return Ok(()) };
        process.kill()?;
        self.remember(&process);
        Ok(())
    }

    /// Asks it to end (SIGTERM) and waits until it has.
    ///
    /// # Errors
    /// [`crate::Error::Late`] where it does not end; it runs on then.
    pub fn terminate(&mut self, within: Duration) -> Result<Option<ExitStatus>> {
        let Some(process) = self.process.as_mut() else { return Ok(None) };
        process.terminate()?;
        let status = process.wait(within)?;
        if let Some(process) = self.process.take() {
            self.remember(&process);
        }
        Ok(Some(status))
    }

    /// Stops it where it stands (SIGSTOP).
    ///
    /// # Errors
    /// [`crate::Error::System`] where the kernel refuses it.
    pub fn pause(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), |process| process.signal(libc::SIGSTOP))
    }

    /// Lets it go on after [`Role::pause`].
    ///
    /// # Errors
    /// [`crate::Error::System`] where the kernel refuses it.
    pub fn resume(&mut self) -> Result<()> {
        self.process.as_mut().map_or(Ok(()), |process| process.signal(libc::SIGCONT))
    }

    /// The process, while it runs.
    pub const fn process(&mut self) -> Option<&mut Process> {
        self.process.as_mut()
    }

    /// Everything it has said, earlier runs first.
    pub fn log(&self) -> String {
        let present = self.process.as_ref().map(|process| process.stdout() + &process.stderr()).unwrap_or_default();
        format!("{}{present}", self.past)
    }

    fn remember(&mut self, process: &Process) {
        self.past.push_str(&process.stdout());
        self.past.push_str(&process.stderr());
    }
}
