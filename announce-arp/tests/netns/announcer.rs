//! The process under test: a copy of this binary that announces one address until it is told to stop (SIGTERM) or to
//! hand over (SIGHUP), and says what becomes of it.

#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the host of a shell: settings and randomness are its work"
)]

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use announce_arp::io::{ArpAnnouncer, ArpConfig, Exclusion, now};
use ipnetwork::IpNetwork;
use lab::{Host, Process};
use lbcore::announce::{
    Announcement, AnnouncementKey, AnnouncementState, Announcer, DesiredSet, GroupKey, LinkReach, Reach, Standing,
    StatusDelta, StatusVersion,
};
use lbcore::link::LinkSelection;
use lbcore::ownership::{BootId, Hub, HubConfig};
use lbcore::service::{NodeName, ServiceKey};
use tokio::signal::unix::{SignalKind, signal};

/// Holds the node's name in a copy that is an announcer.
const NODE: &str = "ARP_TEST_NODE";
/// Holds the expression of links to exclude.
const EXCLUDE: &str = "ARP_TEST_EXCLUDE";

/// Holds the interval of periodic announcements in milliseconds, where there is one.
const INTERVAL: &str = "ARP_TEST_INTERVAL";

/// The address that every announcer stands for.
pub(crate) const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Starts an announcer in a host, under the host's name, on all links that `exclude` does not find.
pub(crate) fn start(host: &Host, exclude: &str) -> Result<Process, Box<dyn std::error::Error>> {
    let mut command = Command::new(PathBuf::from("/proc/self/exe").canonicalize()?);
    command.env(NODE, host.name()).env(EXCLUDE, exclude);
    Ok(host.spawn(command)?)
}

/// The same with an announcement every so many milliseconds after the burst.
pub(crate) fn start_with_interval(host: &Host, milliseconds: u64) -> Result<Process, Box<dyn std::error::Error>> {
    let mut command = Command::new(PathBuf::from("/proc/self/exe").canonicalize()?);
    command.env(NODE, host.name()).env(EXCLUDE, "").env(INTERVAL, milliseconds.to_string());
    Ok(host.spawn(command)?)
}

/// Runs the announcer where this process is a copy that shall be one.
pub(crate) fn run_if_asked() -> Option<ExitCode> {
    let name = std::env::var(NODE).ok()?;
    Some(match run(&name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("failed: {failure}");
            ExitCode::FAILURE
        }
    })
}

#[tokio::main(flavor = "current_thread")]
async fn run(name: &str) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hand_over = signal(SignalKind::hangup())?;
    let random = || RandomState::new().build_hasher().finish();
    let hub = Hub::new(HubConfig::new(NodeName::new(name)?, BootId(random())), now(), random());
    let exclude = Exclusion::new(std::env::var(EXCLUDE).ok().filter(|text| !text.is_empty()))?;
    let interval = std::env::var(INTERVAL).ok().and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let config = ArpConfig { exclude, gratuitous_interval: interval, ..ArpConfig::new(hub)? };
    let announcer = ArpAnnouncer::start(config)?;
    let reach = LinkReach {
        group: GroupKey(VIP.into()),
        election_key: VIP.into(),
        score: 0,
        links: LinkSelection::All,
        standing: Standing::Eligible,
    };
    let announcement = Announcement {
        services: Arc::from([ServiceKey::new("test", "web")?]),
        prefix: IpNetwork::from(IpAddr::V4(VIP)),
        reach: Reach::Link(reach),
    };
    assert!(announcer.supports(&announcement), "an IPv4 address on the segment");
    announcer.replace(Arc::new(DesiredSet::new().changed([announcement], []))).await;
    let mut version = StatusVersion::default();
    loop {
        tokio::select! {
            () = announcer.changed(version) => version = tell(announcer.status_since(version)),
            _ = hand_over.recv() => match announcer.hand_over(&[AnnouncementKey::link(VIP.into())]).await {
                Ok(()) => println!("handed over"),
                Err(error) => println!("kept: {error}"),
            },
            _ = terminate.recv() => break,
        }
    }
    announcer.shutdown(Duration::from_secs(2)).await;
    tell(announcer.status_since(version));
    let counts = announcer.counts();
    println!("stale {}\ndiscarded {}\nmembers {}", counts.stale, counts.discarded, counts.member_frames_received);
    println!("stopped");
    Ok(())
}

fn tell(delta: StatusDelta) -> StatusVersion {
    let StatusDelta::Changes { version, changes } = delta else {
        println!("failed: so few changes are never forgotten");
        return StatusVersion::default();
    };
    for change in changes {
        match change.state {
            Some(AnnouncementState::Active { .. }) => println!("active"),
            Some(AnnouncementState::Standby { owner: Some(owner) }) => println!("standby {owner}"),
            Some(AnnouncementState::Withheld(reason)) => println!("withheld {reason}"),
            Some(_) => println!("waiting"),
            None => println!("gone"),
        }
    }
    version
}
