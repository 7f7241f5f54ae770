//! Getting what network namespaces need: root, or a user namespace of our own.
//!
//! [`enter`] must come first in `main`, while the process has one thread: the kernel gives a user namespace to no other.

use std::fs;
use std::io;
use std::process::ExitCode;
use std::thread;

use crate::error::{Error, Result};
use crate::sys;

/// The variable that turns "cannot run here" from a failure into a skip.
pub const ALLOW_SKIP: &str = "FERRULE_TEST_ALLOW_SKIP";

/// How the process came by its privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Privilege {
    /// It had it: network namespaces can be made in the user namespace it was started in.
    Held,
    /// It is root of a user namespace of its own.
    UserNamespace,
}

/// Makes sure that this process can make network namespaces and everything in them.
///
/// # Errors
/// [`Error::Forbidden`] with the setting to change, where neither root nor user namespaces are to be had.
pub fn enter() -> Result<Privilege> {
    let refusal = match try_network_namespace() {
        Ok(()) => return Ok(Privilege::Held),
        Err(source) => source,
    };
    let (user, group) = (sys::user_id(), sys::group_id());
    sys::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNET).map_err(|source| forbidden(&refusal, &source))?;
    // Groups first: without "deny" the kernel refuses a map of groups to the unprivileged.
    write("/proc/self/setgroups", "deny")?;
    write("/proc/self/uid_map", &format!("0 {user} 1"))?;
    write("/proc/self/gid_map", &format!("0 {group} 1"))?;
    // AppArmor lets the namespace be made and then withholds its capabilities: prove that they work.
    try_network_namespace().map_err(|source| forbidden(&refusal, &source))?;
    Ok(Privilege::UserNamespace)
}

/// [`enter`] for a test binary: `Err` holds the exit status to return at once, after saying why on standard error.
///
/// Where the laboratory cannot run that is failure, or success if `FERRULE_TEST_ALLOW_SKIP=1`.
///
/// # Errors
/// The exit status for `main`.
pub fn enter_for_tests(suite: &str) -> std::result::Result<Privilege, ExitCode> {
    enter().map_err(|error| skip_or_fail(suite, &error))
}

/// The exit status of a test binary that cannot run, after saying why on standard error.
#[expect(clippy::print_stderr, reason = "the harness of a test binary has no other place to say why nothing ran")]
pub(crate) fn skip_or_fail(suite: &str, error: &Error) -> ExitCode {
    if std::env::var(ALLOW_SKIP).is_ok_and(|value| value == "1") {
        eprintln!("{suite}: SKIPPED, as {ALLOW_SKIP}=1 allows: {error}");
        ExitCode::SUCCESS
    } else {
        eprintln!("{suite}: cannot run: {error} (or set {ALLOW_SKIP}=1 to skip it)");
        ExitCode::FAILURE
    }
}

/// Whether a thread of this process may make a network namespace; tried on a thread of its own, which keeps ours.
fn try_network_namespace() -> io::Result<()> {
    let attempt = thread::Builder::new().name("privilege".into()).spawn(|| sys::unshare(libc::CLONE_NEWNET))?;
    attempt.join().unwrap_or_else(|_| Err(io::Error::other("the thread that tried ended early")))
}

fn write(path: &str, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|source| Error::system(format!("writing {path}"), source))
}

fn forbidden(as_is: &io::Error, as_user: &io::Error) -> Error {
    let reason = format!("directly: {as_is}; in a user namespace: {as_user}");
    Error::Forbidden { reason, mend: mend(|path| fs::read_to_string(path).ok()) }
}

/// What to enable, from the settings of this host that forbid user namespaces.
fn mend(read: impl Fn(&str) -> Option<String>) -> String {
    let settings = [
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
        ("user.max_user_namespaces", "0", "10000"),
    ];
    let found: Vec<String> = settings
        .iter()
        .filter(|(name, bad, _)| {
            read(&format!("/proc/sys/{}", name.replace('.', "/"))).is_some_and(|value| value.trim() == *bad)
        })
        .map(|(name, _, good)| format!("sysctl -w {name}={good}"))
        .collect();
    if found.is_empty() {
        let names = settings.map(|(name, _, good)| format!("{name}={good}")).join(", ");
        return format!(
            "run as root with CAP_SYS_ADMIN and CAP_NET_ADMIN (in a container: --privileged), or allow user namespaces \
             (settings that forbid them: {names}; a container runtime's seccomp profile may forbid them too)"
        );
    }
    format!("run as root, or enable user namespaces: {}", found.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mend_names_only_the_settings_that_forbid() {
        let text = mend(|path| match path {
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns" => Some("1\n".into()),
            "/proc/sys/user/max_user_namespaces" => Some("96365\n".into()),
            _ => None,
        });
        assert_eq!(
            text,
            "run as root, or enable user namespaces: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"
        );
    }

    #[test]
    fn the_mend_names_every_setting_where_none_is_known_to_forbid() {
        let text = mend(|_| None);
        for name in [
            "kernel.unprivileged_userns_clone",
            "kernel.apparmor_restrict_unprivileged_userns",
            "user.max_user_namespaces",
        ] {
            assert!(text.contains(name), "{text}");
        }
    }
}
