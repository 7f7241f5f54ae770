//! Building the programs of a control plane from Go modules, with progress, so that a broken build leaves no half program.
//!
//! The module with the pinned versions is `lab/control-plane/`; it is compiled into this program, so that an installed `ferrule` can
//! build without the source tree.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::sys;

const GO_MOD: &str = include_str!("../../control-plane/go.mod");
const GO_SUM: &str = include_str!("../../control-plane/go.sum");

const KUBERNETES: &str = "k8s.io/kubernetes";
const ETCD: &str = "go.etcd.io/etcd/server/v3";

/// What is said before a first build.
const EXPECT: &str = "this takes about 8 minutes on two cores, once, and 4 GiB in the caches of Go";

/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(15);
/// How often a build is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// No step takes longer, unless something hangs.
const STEP_WITHIN: Duration = Duration::from_secs(3_600);
/// Lines of a failed build that are shown.
const KEPT_LINES: usize = 40;

/// Version of Kubernetes that is built (`v1.37.2`).
pub fn kubernetes_version() -> &'static str {
    required(KUBERNETES)
}

/// Version of etcd that is built.
pub fn etcd_version() -> &'static str {
    required(ETCD)
}

/// The version that go.mod requires of a module.
fn required(module: &str) -> &'static str {
    GO_MOD.lines().find_map(|line| version_in(line, module)).unwrap_or_default()
}

fn version_in<'a>(line: &'a str, module: &str) -> Option<&'a str> {
    let line = line.trim();
    let line = line.strip_prefix("require ").unwrap_or(line);
    let version = line.strip_prefix(module)?.strip_prefix(' ')?.split_whitespace().next()?;
    version.starts_with('v').then_some(version)
}

/// Builds the named programs into `folder`, telling `say` how far it is.
pub(crate) fn all(folder: &Path, programs: &[&str], say: &mut dyn FnMut(&str)) -> Result<()> {
    check_toolchain()?;
    let begun = Instant::now();
    say(&format!(
        "building {} of Kubernetes {} with etcd {} into {}: {EXPECT}",
        programs.join(", "),
        kubernetes_version(),
        etcd_version(),
        folder.display()
    ));
    let module = write_module(folder)?;
    for program in programs {
        let package = package_of(program);
        let begun = Instant::now();
        let list =
            run(go(&module).args(["list", "-deps", &package]), &format!("fetching the modules of {program}"), 0, say)?;
        let packages = list.lines().count();
        let fresh = folder.join(format!(".{program}.new"));
        run(
            go(&module).args(build_arguments()).arg(&fresh).arg(&package),
            &format!("building {program}"),
            packages,
            say,
        )?;
        // The name appears with the whole program or not at all.
        let path = folder.join(program);
        fs::rename(&fresh, &path).map_err(|source| Error::system(format!("naming {}", path.display()), source))?;
        say(&format!("{program} is built ({packages} packages, {} s)", begun.elapsed().as_secs()));
    }
    say(&format!("the control plane is built: {} s in all", begun.elapsed().as_secs()));
    Ok(())
}

fn package_of(program: &str) -> String {
    if program == "etcd" { ETCD.to_owned() } else { format!("{KUBERNETES}/cmd/{program}") }
}

/// `go build` up to the name of its output. Without the version that the linker sets, the server calls itself v0.0.0.
fn build_arguments() -> Vec<String> {
    let version = kubernetes_version();
    let minor = version.split('.').nth(1).unwrap_or_default();
    let set = |name: &str, value: &str| format!("-X k8s.io/component-base/version.{name}={value}");
    let link = ["-s -w".to_owned(), set("gitVersion", version), set("gitMajor", "1"), set("gitMinor", minor)].join(" ");
    let arguments = ["build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", &link, "-o"];
    arguments.iter().map(ToString::to_string).collect()
}

/// The module as a folder that `go` can work in.
fn write_module(folder: &Path) -> Result<PathBuf> {
    let module = folder.join("module");
    let failed = |source| Error::system(format!("writing {}", module.display()), source);
    fs::create_dir_all(&module).map_err(failed)?;
    fs::write(module.join("go.mod"), GO_MOD).map_err(failed)?;
    fs::write(module.join("go.sum"), GO_SUM).map_err(failed)?;
    Ok(module)
}

fn go(module: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(module).env("CGO_ENABLED", "0").env("GOWORK", "off").env("GO111MODULE", "on");
    // A toolchain that is fetched behind one's back is not the one that was asked for; who wants that has set it.
    if std::env::var_os("GOTOOLCHAIN").is_none() {
        command.env("GOTOOLCHAIN", "local");
    }
    command
}

/// Makes sure that the Go toolchain is there and new enough.
fn check_toolchain() -> Result<()> {
    let wanted = GO_MOD.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default().trim();
    let missing = |found: &str| Error::Missing {
        what: format!("Go {wanted} or newer, to build the control plane ({found})"),
        mend: format!(
            "install it from https://go.dev/dl/ (unpack go{wanted}.linux-amd64.tar.gz or newer into /usr/local and add \
             /usr/local/go/bin to PATH), or set {} to a folder that has kube-apiserver, etcd, kubectl and kube-proxy",
            super::binaries::ASSETS
        ),
    };
    let said = Command::new("go").args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").stdin(Stdio::null()).output();
    let output = said.map_err(|error| missing(&format!("there is no program `go` that runs: {error}")))?;
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if std::env::var_os("GOTOOLCHAIN").is_some() || is_new_enough(&version, wanted) {
        return Ok(());
    }
    Err(missing(&format!("`go env GOVERSION` says {version:?}")))
}

/// Whether `go1.26.8` is at least `1.26.0`.
fn is_new_enough(version: &str, wanted: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let is_number = |c: char| c.is_ascii_digit() || c == '.';
        let text = text.split(|c| !is_number(c)).next().unwrap_or_default();
        text.split('.').map_while(|part| part.parse().ok()).collect()
    };
    let found = version.strip_prefix("go").map(numbers).unwrap_or_default();
    !found.is_empty() && found >= numbers(wanted)
}

/// What a running step has printed on standard error.
#[derive(Debug, Default)]
struct Seen {
    packages: AtomicUsize,
    lines: Mutex<VecDeque<String>>,
}

impl Seen {
    /// Reads to the end: `go build -v` prints a line for each package, `go list` one for each module that it fetches.
    fn read(&self, source: ChildStderr) {
        for line in BufReader::new(source).lines().map_while(io::Result::ok) {
            self.packages.fetch_add(1, Ordering::Relaxed);
            let mut lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if lines.len() == KEPT_LINES {
                lines.pop_front();
            }
            lines.push_back(line);
        }
    }

    fn log(&self) -> String {
        let lines = self.lines.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Runs one step to its end and returns its standard output; `packages` is how many lines of progress it has, 0 for unknown.
fn run(command: &mut Command, step: &str, packages: usize, say: &mut dyn FnMut(&str)) -> Result<String> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::die_with_us(command);
    let mut child = command.spawn().map_err(|source| Error::system(step, source))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let seen = Seen::default();
    let (status, output) = thread::scope(|scope| {
        let output = scope.spawn(|| stdout.map(io::read_to_string).transpose());
        if let Some(stderr) = stderr {
            scope.spawn(|| seen.read(stderr));
        }
        let status = watch(&mut child, step, packages, &seen, say);
        (status, output.join())
    });
    let status = status?;
    if !status.success() {
        return Err(Error::Exit { command: format!("{step} (go)"), status: status.to_string(), log: seen.log() });
    }
    let output = output.map_err(|_| Error::Thread { what: step.to_owned() })?;
    Ok(output.map_err(|source| Error::system(step, source))?.unwrap_or_default())
}

/// Waits for a step and tells how far it is.
fn watch(child: &mut Child, step: &str, packages: usize, seen: &Seen, say: &mut dyn FnMut(&str)) -> Result<ExitStatus> {
    let begun = Instant::now();
    let mut told = begun;
    loop {
        if let Some(status) = child.try_wait().map_err(|source| Error::system(step, source))? {
            return Ok(status);
        }
        if begun.elapsed() > STEP_WITHIN {
            drop(child.kill());
            drop(child.wait());
            return Err(Error::Late { what: step.to_owned(), waited: STEP_WITHIN });
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let (done, seconds) = (seen.packages.load(Ordering::Relaxed), begun.elapsed().as_secs());
            say(&match packages {
                0 => format!("{step}: {done} fetched, {seconds} s so far"),
                _ => format!("{step}: {} of {packages} packages, {seconds} s so far", done.min(packages)),
            });
        }
        thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_the_module() {
        assert!(kubernetes_version().starts_with("v1."), "{}", kubernetes_version());
        assert!(etcd_version().starts_with("v3."), "{}", etcd_version());
        assert_eq!(version_in("\tk8s.io/kubernetes v1.2.3 // indirect", KUBERNETES), Some("v1.2.3"));
        assert_eq!(version_in("\tk8s.io/kubernetes/cmd/kubectl", KUBERNETES), None);
    }

    #[test]
    fn an_older_toolchain_is_told_from_a_newer_one() {
        for (version, new_enough) in [
            ("go1.26.0", true),
            ("go1.26.8", true),
            ("go1.27rc1", true),
            ("go1.25.9", false),
            ("go1.9", false),
            ("", false),
        ] {
            assert_eq!(is_new_enough(version, "1.26.0"), new_enough, "{version}");
        }
    }

    #[test]
    fn a_step_that_fails_shows_what_it_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such module >&2; exit 3"]);
        let error = run(&mut command, "building nothing", 0, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("building nothing") && error.contains("no such module"), "{error}");
    }
}
