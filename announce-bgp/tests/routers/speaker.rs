//! The announcer under test, on a thread inside a host, and the values that tests hand to it.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use announce_bgp::config::{BgpConfig, EngineDefaults};
use announce_bgp::io::{BgpAnnouncer, SessionView};
use ipnetwork::IpNetwork;
use lab::{Host, wait_until};
use lbcore::announce::{
    Announcement, AnnouncementKey, AnnouncementState, Announcer, DesiredSet, Reach, ReachKind, RouteAttributes,
    RoutedPart, RoutedReach, StatusDelta, StatusVersion,
};
use lbcore::family::IpFamily;
use lbcore::peer::{Asn, Feature, Peer, PeerEndpoint, PeerTimers, RemoteAs, SessionFamilies};
use lbcore::service::{NodeName, ServiceKey};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub(crate) type Checked = Result<(), Box<dyn Error>>;

/// Our AS; asymmetric on purpose.
pub(crate) const OURS: u32 = 64_512;
/// The AS of routers in other systems.
pub(crate) const THEIRS: u32 = 64_999;

/// A peer at an address with nothing special about it.
pub(crate) fn peer(name: &str, address: &str, my_as: u32, remote_as: u32) -> Peer {
    let address: IpAddr = address.parse().unwrap();
    Peer {
        name: name.into(),
        my_asn: asn(my_as),
        remote: RemoteAs::Exactly(asn(remote_as)),
        local_asn: None,
        endpoint: PeerEndpoint::Address(address),
        source_address: None,
        port: 179,
        timers: None,
        connect_time: None,
        router_id: None,
        node_selectors: Vec::new(),
        password: None,
        bfd_profile: None,
        graceful_restart: Feature::Off,
        multi_hop: Feature::Off,
        vrf: None,
        families: SessionFamilies::Only(IpFamily::of(address)),
    }
}

pub(crate) fn asn(number: u32) -> Asn {
    Asn::new(number).unwrap()
}

pub(crate) const fn timers(hold: u64, keepalive: u64) -> PeerTimers {
    PeerTimers { hold: Duration::from_secs(hold), keepalive: Duration::from_secs(keepalive) }
}

/// Peers of this node.
pub(crate) fn config(peers: impl IntoIterator<Item = Peer>) -> BgpConfig {
    with_defaults(peers, EngineDefaults::Frr)
}

/// The same with the native engine's values.
pub(crate) fn native(peers: impl IntoIterator<Item = Peer>) -> BgpConfig {
    with_defaults(peers, EngineDefaults::Native)
}

fn with_defaults(peers: impl IntoIterator<Item = Peer>, defaults: EngineDefaults) -> BgpConfig {
    let mut config = BgpConfig::new(NodeName::new("node1").unwrap(), defaults);
    config.peers = peers.into_iter().map(|peer| (Arc::clone(&peer.name), Arc::new(peer))).collect();
    config
}

/// A route toward some peers.
pub(crate) fn route(prefix: &str, peers: &[&str], attributes: RouteAttributes) -> Announcement {
    let peers: Vec<Arc<str>> = peers.iter().map(|name| (*name).into()).collect();
    let part = RoutedPart { peers: peers.into(), attributes: Arc::new(attributes) };
    Announcement {
        services: Arc::from([ServiceKey::new("test", "web").unwrap()]),
        prefix: prefix.parse().unwrap(),
        reach: Reach::Routed(RoutedReach { parts: Arc::from([part]) }),
    }
}

/// A route without attributes of its own.
pub(crate) fn plain(prefix: &str, peers: &[&str]) -> Announcement {
    route(prefix, peers, RouteAttributes::default())
}

pub(crate) fn key(prefix: &str) -> AnnouncementKey {
    AnnouncementKey { prefix: prefix.parse::<IpNetwork>().unwrap(), kind: ReachKind::Routed }
}

/// A running announcer.
#[derive(Debug)]
pub(crate) struct Speaker {
    pub(crate) announcer: Arc<BgpAnnouncer>,
    runtime: Handle,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<lab::Result<()>>>,
}

impl Speaker {
    pub(crate) fn start(host: &Host, config: BgpConfig) -> Result<Self, Box<dyn Error>> {
        let (started, start) = mpsc::channel();
        let (end, ended) = oneshot::channel::<()>();
        let thread = host.thread(move || {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let handle = runtime.handle().clone();
            runtime.block_on(async move {
                let announcer = Arc::new(BgpAnnouncer::start(config));
                started.send((announcer, handle)).unwrap();
                let _ = ended.await;
            });
        })?;
        let (announcer, runtime) = start.recv()?;
        Ok(Self { announcer, runtime, end: Some(end), thread: Some(thread) })
    }

    /// Makes these the whole of what is announced.
    pub(crate) fn announce(&self, announcements: impl IntoIterator<Item = Announcement>) {
        let desired = Arc::new(DesiredSet::new().changed(announcements, []));
        self.runtime.block_on(self.announcer.replace(desired));
    }

    /// Withdraws and says goodbye.
    pub(crate) fn shutdown(&self) {
        self.runtime.block_on(self.announcer.shutdown(Duration::from_secs(3)));
    }

    /// Whether another task of the runtime, which waits for a timer, gets its turn within a time.
    pub(crate) fn has_turn_within(&self, within: Duration) -> bool {
        let (sender, turn) = mpsc::channel();
        self.runtime.spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            sender.send(())
        });
        turn.recv_timeout(within).is_ok()
    }

    pub(crate) fn view(&self, name: &str) -> SessionView {
        self.announcer.sessions().into_iter().find(|view| &*view.name == name).expect("a peer of this name")
    }

    pub(crate) fn wait_up(&self, name: &str, within: Duration) -> Checked {
        let up = wait_until(within, "the session to be up", || self.view(name).is_up().then_some(()));
        Ok(up.map_err(|error| format!("{error}: {:?}", self.view(name)))?)
    }

    /// Waits until the last NOTIFICATION of a session tells these words.
    pub(crate) fn wait_notification(&self, name: &str, words: &str, within: Duration) -> Checked {
        let told = || self.view(name).last_notification.is_some_and(|ending| ending.contains(words)).then_some(());
        let told = wait_until(within, &format!("an ending with {words:?}"), told);
        Ok(told.map_err(|error| format!("{error}: {:?}", self.view(name)))?)
    }

    pub(crate) fn state(&self, prefix: &str) -> Option<AnnouncementState> {
        match self.announcer.status_since(StatusVersion(u64::MAX)) {
            StatusDelta::Resync { all, .. } => {
                all.into_iter().find(|(known, _)| *known == key(prefix)).map(|(_, state)| state)
            }
            StatusDelta::Changes { .. } => None,
        }
    }

    pub(crate) fn wait_active(&self, prefix: &str, within: Duration) -> Checked {
        let active = || matches!(self.state(prefix)?, AnnouncementState::Active { .. }).then_some(());
        Ok(wait_until(within, &format!("{prefix} to be active"), active)?)
    }
}

impl Drop for Speaker {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The router identifier of tests.
pub(crate) const ROUTER_ID: Ipv4Addr = Ipv4Addr::new(10, 10, 10, 1);
