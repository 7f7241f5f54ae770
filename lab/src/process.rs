//! Commands inside hosts: started, watched, signalled, and certain to end.
//!
//! Each runs in a process group of its own, which is killed when the [`Process`] is dropped. The kernel kills the command itself when
//! we die, by SIGKILL too. That signal hangs on the *thread* that spawned it, so one thread, which lives as long as we do, spawns all.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use crate::deadline::{Deadline, wait_until};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::sys;

/// How much of each output stream is kept: the latest 4 MiB.
pub const KEPT_OCTETS: usize = 4 << 20;

/// How long the end of the output may take after the end of the process.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// Folders that only root has in its `PATH` on Debian: routers and packet filters are there.
const SYSTEM_FOLDERS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// Where commands are looked for: `PATH`, then the system's folders.
fn search_path() -> OsString {
    let own = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&own).chain(SYSTEM_FOLDERS.iter().map(PathBuf::from));
    env::join_paths(folders).unwrap_or(own)
}

/// Holds that a program is there, before work is done that would be in vain without it.
///
/// # Errors
/// [`Error::Missing`] with the Debian package that has it.
pub fn require(program: &str, package: &str) -> Result<()> {
    if env::split_paths(&search_path()).any(|folder| folder.join(program).is_file()) {
        return Ok(());
    }
    let mend = format!("install the Debian package {package}");
    Err(Error::Missing { what: format!("the program {program}"), mend })
}

/// What a command left behind when it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit status or signal.
    pub status: ExitStatus,
    /// The latest 4 MiB of its standard output, invalid UTF-8 replaced.
    pub stdout: String,
    /// The latest 4 MiB of its standard error, invalid UTF-8 replaced.
    pub stderr: String,
    /// Program and arguments.
    pub command: String,
}

impl Output {
    /// The standard output of a command that must have succeeded.
    ///
    /// # Errors
    /// [`Error::Exit`] with the end of its output, where the status is not zero.
    pub fn success(self) -> Result<String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        let log = format!("{}{}", self.stdout, self.stderr);
        Err(Error::Exit { command: self.command, status: self.status.to_string(), log: tail(&log) })
    }
}

/// A running command.
#[derive(Debug)]
pub struct Process {
    child: Child,
    ended: Option<ExitStatus>,
    command: String,
    stdout: Stream,
    stderr: Stream,
}

impl Process {
    pub(crate) fn spawn(host: &Host, mut command: Command) -> Result<Self> {
        let text = describe(&command);
        let doing = format!("starting {text} in host {}", host.name());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if command.get_envs().all(|(name, _)| name != "PATH") {
            command.env("PATH", search_path());
        }
        sys::confine(&mut command, host.namespace());
        let mut child = spawner(command).map_err(|source| Error::system(doing.clone(), source))?;
        let stdout = Stream::read(child.stdout.take()).map_err(|source| Error::system(doing.clone(), source))?;
        let stderr = Stream::read(child.stderr.take()).map_err(|source| Error::system(doing, source))?;
        Ok(Self { child, ended: None, command: text, stdout, stderr })
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the command itself in octets; `None` once it has ended.
    pub fn resident(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kibibytes * 1_024)
    }

    /// Processor time of the command itself so far, user and system; `None` once it has ended.
    pub fn processor_time(&self) -> Option<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).ok()?;
        // The name, in parentheses, may hold anything; the fields are counted from behind it (proc_pid_stat(5): 14 and 15).
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
        let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
        // The kernel's interface counts in hundredths of a second on every machine that Linux runs on today.
        Some(Duration::from_millis(ticks * 10))
    }

    /// Sends a signal (`libc::SIGSTOP`) to the whole process group; one that has ended is no error.
    ///
    /// # Errors
    /// [`Error::System`] where the kernel refuses it.
    pub fn signal(&mut self, signal: i32) -> Result<()> {
        if self.poll()?.is_some() {
            return Ok(());
        }
        let doing = || format!("sending signal {signal} to {}", self.command);
        sys::signal_group(self.child.id(), signal).map_err(|source| Error::system(doing(), source))
    }

    /// Kills the process group at once (SIGKILL) and reaps the command.
    ///
    /// # Errors
    /// [`Error::System`] where the kernel refuses it.
    pub fn kill(&mut self) -> Result<()> {
        self.signal(libc::SIGKILL)?;
        self.wait(DRAIN_WITHIN).map(drop)
    }

    /// Asks the command to end (SIGTERM).
    ///
    /// # Errors
    /// [`Error::System`] where the kernel refuses it.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(libc::SIGTERM)
    }

    /// The status, if the command has ended.
    ///
    /// # Errors
    /// [`Error::System`] where the kernel refuses to tell.
    pub fn poll(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            let doing = || format!("watching {}", self.command);
            self.ended = self.child.try_wait().map_err(|source| Error::system(doing(), source))?;
        }
        Ok(self.ended)
    }

    /// Waits for the command to end by itself.
    ///
    /// # Errors
    /// [`Error::Late`] where it still runs after `within`.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.command);
        wait_until(within, &what, || self.poll().transpose())?
    }

    /// Waits for the command to end and takes its output; kills it where it takes longer.
    ///
    /// # Errors
    /// [`Error::Late`] where it still ran after `within`.
    pub fn output(mut self, within: Duration) -> Result<Output> {
        let status = self.wait(within)?;
        self.drain();
        let command = self.command.clone();
        Ok(Output { status, stdout: self.stdout.text(), stderr: self.stderr.text(), command })
    }

    /// What it has printed so far on standard output.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// What it has printed so far on standard error.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    /// Waits until it has printed `text` on either stream.
    ///
    /// # Errors
    /// [`Error::Late`] with the end of its output; [`Error::Exit`] as soon as it has ended without printing it.
    pub fn wait_for(&mut self, text: &str, within: Duration) -> Result<()> {
        let deadline = Deadline::within(within);
        loop {
            let ended = self.poll()?;
            if ended.is_some() {
                self.drain();
            }
            if self.stdout.contains(text) || self.stderr.contains(text) {
                return Ok(());
            }
            let log = || tail(&format!("{}{}", self.stdout.text(), self.stderr.text()));
            if let Some(status) = ended {
                let command = format!("{} (awaited: {text:?})", self.command);
                return Err(Error::Exit { command, status: status.to_string(), log: log() });
            }
            if deadline.has_passed() {
                return Err(deadline.missed(format!("{text:?} from {}: {}", self.command, log())));
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets the readers of an ended command come to the end of its output.
    fn drain(&self) {
        // A grandchild may hold the pipe open for ever; what has been read by then must do.
        let both = || (self.stdout.is_at_end() && self.stderr.is_at_end()).then_some(());
        drop(wait_until(DRAIN_WITHIN, "the end of the output", both));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // The child is unreaped or has ended: in both cases nothing else can bear its number.
        if !matches!(self.poll(), Ok(Some(_))) {
            drop(sys::signal_group(self.child.id(), libc::SIGKILL));
            drop(self.child.wait());
        }
    }
}

fn describe(command: &Command) -> String {
    let parts = std::iter::once(command.get_program()).chain(command.get_args());
    parts.map(|part| part.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The last 4,000 octets or so of a log.
fn tail(log: &str) -> String {
    let start = log.len().saturating_sub(4_000);
    let start = (start..=log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
    log.get(start..).unwrap_or_default().to_owned()
}

/// One output stream, read by a thread of its own.
#[derive(Clone, Debug)]
struct Stream(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    octets: Vec<u8>,
    at_end: bool,
}

impl Stream {
    fn read(source: Option<impl Read + Send + 'static>) -> io::Result<Self> {
        let stream = Self(Arc::default());
        let Some(mut source) = source else { return Ok(stream) };
        let writer = stream.clone();
        let body = move || {
            let mut room = [0; 8_192];
            while let Ok(length @ 1..) = source.read(&mut room) {
                writer.keep(room.get(..length).unwrap_or_default());
            }
            writer.with(|kept| kept.at_end = true);
        };
        thread::Builder::new().name("output".into()).spawn(body)?;
        Ok(stream)
    }

    fn keep(&self, octets: &[u8]) {
        self.with(|kept| {
            kept.octets.extend_from_slice(octets);
            let excess = kept.octets.len().saturating_sub(KEPT_OCTETS);
            // Half at a time, so that a long log costs no move for each write.
            if excess > 0 {
                kept.octets.drain(..excess.max(KEPT_OCTETS / 2));
            }
        });
    }

    fn is_at_end(&self) -> bool {
        self.with(|kept| kept.at_end)
    }

    fn contains(&self, text: &str) -> bool {
        self.with(|kept| kept.octets.windows(text.len().max(1)).any(|part| part == text.as_bytes()))
    }

    fn text(&self) -> String {
        self.with(|kept| String::from_utf8_lossy(&kept.octets).into_owned())
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

type Job = (Command, mpsc::Sender<io::Result<Child>>);

/// Hands a command to the thread that spawns all of them.
fn spawner(command: Command) -> io::Result<Child> {
    static JOBS: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let jobs = JOBS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Job>();
        let body = move || {
            for (mut command, reply) in receiver {
                // One who no longer waits for the answer gets no child: dropping it here would leave it running.
                if let Err(mpsc::SendError(Ok(mut child))) = reply.send(command.spawn()) {
                    drop(child.kill());
                    drop(child.wait());
                }
            }
        };
        // Where no thread can be made the receiver is dropped, and each job below fails with that reason.
        drop(thread::Builder::new().name("spawner".into()).spawn(body));
        Mutex::new(sender)
    });
    let gone = || io::Error::other("the thread that starts commands has ended");
    let (reply, answer) = mpsc::channel();
    jobs.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_for_where_root_would_find_it() {
        assert!(require("sh", "dash").is_ok());
        let error = require("no-such-program", "no-such-package").unwrap_err();
        assert!(error.to_string().contains("no-such-package"), "{error}");
        let folders: Vec<PathBuf> = env::split_paths(&search_path()).collect();
        assert!(folders.contains(&PathBuf::from("/usr/sbin")), "{folders:?}");
    }
}
