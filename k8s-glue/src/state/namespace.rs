//! The lock of a network namespace: abstract sockets, whose names belong to the namespace and end with the process ([OWN-61]).
//!
//! Anybody in the namespace may take such a name, also a process without rights that wants to keep the daemon from starting. So the lock is
//! a few names: who finds one of them with a process that cannot be a daemon passes it over and takes the next; and who has one looks whether
//! a daemon has another. A daemon has `CAP_NET_RAW` in the user namespace of its network namespace, and runs as root or as whoever asks, or as
//! any user with that right.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::Path;

use tokio::net::UnixStream;
use tokio::net::unix::UCred;

use super::{StateError, failed};

/// The first name; the others have a number behind it.
const NAME: &str = "ferrule-run";
/// How many names there are.
const NAMES: usize = 8;
/// Number of the capability (`linux/capability.h`).
const CAP_NET_RAW: u32 = 13;

/// Held by the one daemon of a network namespace.
#[derive(Debug)]
pub struct NamespaceLock {
    _socket: UnixListener,
}

/// Who has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    Nobody,
    Daemon(Option<u32>),
    Squatter,
}

impl NamespaceLock {
    /// Takes it. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`StateError::NamespaceInUse`], [`StateError::NamespaceSquatted`], or [`StateError::Io`] where a socket cannot be made.
    pub async fn acquire() -> Result<Self, StateError> {
        Self::acquire_as(NAME).await
    }

    async fn acquire_as(base: &str) -> Result<Self, StateError> {
        let names: Vec<String> =
            (0..NAMES).map(|number| if number == 0 { base.to_owned() } else { format!("{base}-{number}") }).collect();
        for name in &names {
            let bound = SocketAddr::from_abstract_name(name).and_then(|address| UnixListener::bind_addr(&address));
            match bound {
                Ok(socket) => {
                    for other in names.iter().filter(|other| *other != name) {
                        if let Holder::Daemon(holder) = holder_of(other).await {
                            return Err(StateError::NamespaceInUse { holder });
                        }
                    }
                    return Ok(Self { _socket: socket });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => match holder_of(name).await {
                    Holder::Daemon(holder) => return Err(StateError::NamespaceInUse { holder }),
                    Holder::Nobody | Holder::Squatter => {
                        tracing::warn!(name = %format!("@{name}"), "a process that is no `ferrule run` has the name of its lock; it is passed over");
                    }
                },
                Err(error) => {
                    let path = Path::new("@ferrule-run");
                    return Err(failed("bind the socket", path, "unix sockets are needed for a lock")(error));
                }
            }
        }
        Err(StateError::NamespaceSquatted)
    }
}

async fn holder_of(name: &str) -> Holder {
    let path = OsString::from_vec([b"\0", name.as_bytes()].concat());
    match UnixStream::connect(path).await {
        Ok(stream) => stream.peer_cred().map_or(Holder::Daemon(None), |peer| judge(&peer)),
        // A daemon listens; who merely has the name refuses.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Holder::Nobody,
        // Of another type.
        Err(error) if error.raw_os_error() == Some(libc::EPROTOTYPE) => Holder::Squatter,
        // Its queue is full, or it cannot be told.
        Err(_) => Holder::Daemon(None),
    }
}

fn judge(peer: &UCred) -> Holder {
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid != 0);
    let own = fs::metadata("/proc/self").map(|metadata| metadata.uid()).ok();
    if peer.uid() == 0 || Some(peer.uid()) == own {
        return Holder::Daemon(pid);
    }
    let Some(pid) = pid else { return Holder::Daemon(None) };
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let user_namespace = |process: &str| fs::read_link(format!("/proc/{process}/ns/user")).ok();
    let theirs = user_namespace(&pid.to_string());
    let is_foreign = theirs.is_some() && theirs != user_namespace("self");
    if can_be_daemon(&status) && !is_foreign { Holder::Daemon(Some(pid)) } else { Holder::Squatter }
}

/// Whether a process with this `/proc/PID/status` may send frames; true where that cannot be told.
fn can_be_daemon(status: &str) -> bool {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok())
        .is_none_or(|effective| effective >> CAP_NET_RAW & 1 == 1)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;

    /// A name for one test of one process: the machine may run several.
    fn base(test: &str) -> String {
        format!("ferrule-test-{}-{test}", std::process::id())
    }

    // [OWN-61]
    #[tokio::test]
    async fn a_second_daemon_is_told_of_the_first_until_it_ends() {
        let base = base("second");
        let first = NamespaceLock::acquire_as(&base).await.unwrap();
        let refused = NamespaceLock::acquire_as(&base).await.unwrap_err();
        let own = std::process::id();
        assert!(matches!(refused, StateError::NamespaceInUse { holder: Some(pid) } if pid == own), "{refused:?}");
        drop(first);
        NamespaceLock::acquire_as(&base).await.unwrap();
    }

    #[tokio::test]
    async fn who_merely_has_the_name_keeps_no_daemon_from_starting() {
        let base = base("squatted");
        let address = SocketAddr::from_abstract_name(&base).unwrap();
        let squatter = UnixDatagram::bind_addr(&address).unwrap();
        let lock = NamespaceLock::acquire_as(&base).await.unwrap();
        // The first name becomes free, and the lock holds all the same.
        drop(squatter);
        assert!(matches!(NamespaceLock::acquire_as(&base).await, Err(StateError::NamespaceInUse { .. })));
        drop(lock);
    }

    #[test]
    fn a_process_without_the_right_to_send_frames_is_no_daemon() {
        assert!(!can_be_daemon("Name:\tx\nCapEff:\t0000000000000000\n"));
        assert!(can_be_daemon("CapEff:\t0000000000003000\n"));
        assert!(can_be_daemon(""), "what cannot be told is no reason to start a second daemon");
    }
}
