//! What must hold before anything is changed: rights, the node's name, keys, random numbers.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use announce_arp::io::{ArpAnnouncer, ArpConfig, Exclusion};
use announce_bgp::config::EngineDefaults;
use announce_ndp::io::NdpAnnouncer;
use lbcore::announce::Announcer;
use lbcore::ownership::key::{MemberKey, MemberKeys};
use lbcore::ownership::{BootId, Hub, Timings};
use lbcore::service::NodeName;
use tokio::time::{Instant, sleep};

use crate::args::{BgpType, RunArgs};
use crate::names;
use crate::state::{NamespaceLock, State, StateError, StateFile};

use super::{KeyFileProblem, RunError};

/// Where the kernel shows what this process may do.
const OWN_STATUS: &str = "/proc/self/status";
/// Where the kernel shows the host's name.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// Permissions by which others than the owner read a file.
const READ_BY_OTHERS: u32 = 0o044;
/// A daemon that was killed needs a moment until the kernel has taken its locks back.
const LOCKED_WITHIN: Duration = Duration::from_secs(2);
/// Between two attempts to lock.
const LOCK_RETRY: Duration = Duration::from_millis(100);
/// Number of the capability (`linux/capability.h`).
const CAP_NET_ADMIN: u32 = 12;
/// As above.
const CAP_NET_RAW: u32 = 13;

/// A right: number of the capability, its name, what it is for.
type Right = (u32, &'static str, &'static str);

/// Without it nothing is announced on a segment.
const PACKETS: Right = (CAP_NET_RAW, "CAP_NET_RAW", "send and receive ARP and neighbor discovery");
/// Without it a standalone host cannot hold addresses.
const ADDRESSES: Right = (
    CAP_NET_ADMIN,
    "CAP_NET_ADMIN",
    "hold its addresses on the link ferrule0 and keep the kernel from answering for others",
);

/// Whether this process may do what the daemon does.
///
/// # Errors
/// [`RunError::Right`], naming what is missing and what for.
pub(crate) fn check_rights() -> Result<(), RunError> {
    check(&[PACKETS, ADDRESSES])
}

/// Whether this process may send and receive packets: all that a speaker needs.
///
/// # Errors
/// As [`check_rights`].
pub(crate) fn check_packet_right() -> Result<(), RunError> {
    check(&[PACKETS])
}

fn check(needed: &[Right]) -> Result<(), RunError> {
    // Where the kernel does not show it, the attempt itself will tell.
    match fs::read_to_string(OWN_STATUS) {
        Ok(status) => rights_of(&status, needed),
        Err(_) => Ok(()),
    }
}

fn rights_of(status: &str, needed: &[Right]) -> Result<(), RunError> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = line.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()) else { return Ok(()) };
    match needed.iter().copied().find(|(number, ..)| effective >> number & 1 == 0) {
        Some((_, missing, purpose)) => Err(RunError::Right { missing, purpose }),
        None => Ok(()),
    }
}

/// Whether every flag has a value that can be used; asked before anything is read or changed.
///
/// # Errors
/// [`RunError::NodeName`], [`RunError::Timings`], [`RunError::Exclusion`].
pub(crate) fn check_flags(arguments: &RunArgs) -> Result<(), RunError> {
    node_name(arguments.node_name.as_deref())?;
    timings(arguments.heartbeat_period, arguments.heartbeat_timeout)?;
    Exclusion::new(&arguments.exclude_links)?;
    Ok(())
}

/// The name given, else the host's, in small letters as a kubelet would have it. Names go into frames, state files and logs, and two of them
/// must not become the same there: they are those that Kubernetes takes for nodes.
///
/// # Errors
/// [`RunError::NodeName`].
pub(crate) fn node_name(given: Option<&str>) -> Result<NodeName, RunError> {
    let fail = |name: &str, reason: String| RunError::NodeName { name: name.to_owned(), reason };
    let text = match given {
        Some(name) => name.to_owned(),
        None => fs::read_to_string(HOST_NAME).map_err(|error| fail("", error.to_string()))?.trim().to_ascii_lowercase(),
    };
    names::subdomain(&text).map_err(|error| fail(&text, error.to_string()))?;
    NodeName::new(text.as_str()).map_err(|error| fail(&text, error.to_string()))
}

/// The keys in a file: each line that is not blank is one, the first is the one to move to.
///
/// # Errors
/// [`RunError::MemberKeyFile`].
pub(crate) fn member_keys(path: &Path) -> Result<MemberKeys, RunError> {
    let read = || -> Result<MemberKeys, KeyFileProblem> {
        if is_read_by_others(path)? {
            tracing::warn!(file = %path.display(), "others than its owner may read the member key: chmod 600");
        }
        let octets = fs::read(path)?;
        let lines = octets.split(|octet| *octet == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let keys: Vec<MemberKey> = lines.map(MemberKey::new).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(KeyFileProblem::Empty) } else { Ok(MemberKeys::new(keys)?) }
    };
    read().map_err(|reason| RunError::MemberKeyFile { path: path.to_owned(), reason })
}

fn is_read_by_others(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.permissions().mode() & READ_BY_OTHERS != 0)
}

/// Makes this the one daemon of the network namespace and of the state file ([OWN-61]).
///
/// # Errors
/// [`StateError`]; that another daemon has one of the two is an error only when it still has it after two seconds.
pub(crate) async fn lock(path: &Path) -> Result<(NamespaceLock, StateFile, State), StateError> {
    let end = Instant::now() + LOCKED_WITHIN;
    loop {
        let taken = match NamespaceLock::acquire().await {
            Ok(namespace) => StateFile::open(path).map(|(file, state)| (namespace, file, state)),
            Err(error) => Err(error),
        };
        match taken {
            Err(StateError::NamespaceInUse { .. } | StateError::FileInUse { .. }) if Instant::now() < end => {
                sleep(LOCK_RETRY).await;
            }
            taken => return taken,
        }
    }
}

/// Period and timeout of heartbeats.
///
/// # Errors
/// [`RunError::Timings`] where the timeout is shorter than four periods: one or two lost frames would then count as a death.
pub(crate) fn timings(period_ms: u64, timeout_ms: u64) -> Result<Timings, RunError> {
    if timeout_ms < period_ms * 4 {
        return Err(RunError::Timings { period_ms, timeout_ms });
    }
    Ok(Timings { period: Duration::from_millis(period_ms), timeout: Duration::from_millis(timeout_ms) })
}

/// The announcers of addresses on the segment, which share one hub: ARP and NDP. A host without IPv6 has nothing for the second to do.
///
/// # Errors
/// [`RunError::Segment`].
pub(crate) fn segment_announcers(config: &ArpConfig) -> Result<Vec<Arc<dyn Announcer>>, RunError> {
    Ok(vec![Arc::new(ArpAnnouncer::start(config.clone())?), Arc::new(NdpAnnouncer::start(config.clone())?)])
}

/// How addresses are announced on the segment: on the links asked for, all else by default.
///
/// # Errors
/// [`RunError::Exclusion`].
pub(crate) fn segment_config(arguments: &RunArgs, hub: &Arc<Hub>) -> Result<ArpConfig, RunError> {
    let mut config = ArpConfig::new(Arc::clone(hub))?;
    if !arguments.exclude_links.is_empty() {
        config.exclude = Exclusion::new(&arguments.exclude_links)?;
    }
    Ok(config)
}

/// Which engine's values stand where a BGPPeer has none.
pub(crate) const fn engine_defaults(arguments: &RunArgs) -> EngineDefaults {
    match arguments.bgp_type {
        BgpType::Native => EngineDefaults::Native,
        BgpType::Frr | BgpType::FrrK8s | BgpType::Other => EngineDefaults::Frr,
    }
}

/// Drawn anew at each start: the boot id, and a seed for jitter.
///
/// # Errors
/// [`RunError::System`].
pub(crate) fn random() -> Result<(BootId, u64), RunError> {
    let draw = || -> io::Result<(u64, u64)> {
        let mut octets = [[0; 8]; 2];
        let mut source = File::open("/dev/urandom")?;
        for number in &mut octets {
            source.read_exact(number)?;
        }
        let [boot_id, seed] = octets.map(u64::from_ne_bytes);
        Ok((boot_id, seed))
    };
    let (boot_id, seed) = draw().map_err(|source| RunError::System { action: "draw random numbers", source })?;
    Ok((BootId(boot_id), seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_with_its_purpose() {
        let all = [PACKETS, ADDRESSES];
        let text = rights_of("CapEff:\t0000000000002000\n", &all).unwrap_err().to_string();
        assert!(text.contains("CAP_NET_ADMIN") && text.contains("ferrule0"), "{text}");
        let text = rights_of("CapEff:\t0000000000001000\n", &all).unwrap_err().to_string();
        assert!(text.contains("CAP_NET_RAW"), "{text}");
        assert!(rights_of("CapEff:\t0000000000003000\n", &all).is_ok());
        // A speaker binds no address.
        assert!(rights_of("CapEff:\t0000000000002000\n", &[PACKETS]).is_ok());
    }

    #[test]
    fn the_given_name_wins_and_must_not_be_empty() {
        assert_eq!(node_name(Some("n1")).unwrap().as_str(), "n1");
        assert!(node_name(Some(" ")).is_err());
        assert!(node_name(None).is_ok_and(|name| !name.as_str().contains(char::is_uppercase)));
    }

    #[test]
    fn a_name_that_frames_or_logs_would_garble_is_refused_with_its_reason() {
        let refused = |name: &str| node_name(Some(name)).unwrap_err().to_string();
        assert!(refused(&"a".repeat(256)).contains("256 characters is too long"), "{}", refused(&"a".repeat(256)));
        let forged = refused("n1\nERROR all is lost");
        assert!(forged.contains("'\\n' is not allowed") && !forged.contains('\n'), "{forged}");
        assert!(refused("Node_1").contains("--node-name"));
    }

    #[test]
    fn a_key_that_others_may_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "0123456789abcdef").unwrap();
        for (mode, expected) in [(0o600, false), (0o640, true), (0o604, true)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(is_read_by_others(&path).unwrap(), expected, "{mode:o}");
        }
    }

    // [OWN-16]
    #[test]
    fn two_lines_are_two_keys_and_short_ones_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "0123456789abcdef\n\n fedcba9876543210 \n").unwrap();
        assert_eq!(member_keys(&path).unwrap().ids().count(), 2);
        for (content, part) in
            [("", "holds no key"), ("short\n", "at least 16"), ("0123456789abcdef\n".repeat(3).as_str(), "at most two")]
        {
            fs::write(&path, content).unwrap();
            let text = member_keys(&path).unwrap_err().to_string();
            assert!(text.contains(part) && text.contains("key"), "{text}");
        }
    }
}
