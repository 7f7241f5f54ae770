//! The shell: [`BgpAnnouncer`] with a task for each peer.
//!
//! - `socket`, `tcp_md5`: what the operating system is asked for; all `unsafe` is there.
//! - `addresses`: what the kernel tells of the addresses of links and of ways to peers.
//! - `connection`: one TCP connection: dialled, written to without blocking, closed with care.
//! - `driver`: the task of one peer.
//! - `status`: which announcements changed.
//! - `view`: what is told of sessions.

mod addresses;
mod connection;
mod driver;
mod socket;
mod status;
mod tcp_md5;
mod view;

pub use socket::now;
pub use view::{SessionFacts, SessionView, SessionsVersion};

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use ipnetwork::IpNetwork;
use lbcore::announce::{
    Announcement, AnnouncementKey, AnnouncementState, Announcer, Change, DesiredSet, Generation, HandOverError, Reach,
    RouteAttributes, RoutedReach, StatusChange, StatusDelta, StatusVersion,
};
use lbcore::peer::{Peer, PeerEndpoint};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::warn;

use self::driver::{Driver, Observed, PeerTask};
use self::socket::DialPlan;
use self::status::{Changed, StatusBoard};
use crate::config::{BgpConfig, NotStarted, is_same_on_the_wire, left_out};
use crate::rib_out::RouteState;
use crate::session::{Input, Session, SessionConfig, StopReason};

/// How long a session that is taken out of the configuration may take to say so.
const STOP_WITHIN: Duration = Duration::from_secs(2);

/// A peer of the configuration.
#[derive(Debug)]
enum Slot {
    Running { peer: Arc<Peer>, task: Arc<PeerTask>, handle: JoinHandle<()> },
    NotStarted { peer: Arc<Peer>, reason: NotStarted },
}

/// Where a session leads to: two at once to one router, one that ends and one that begins, would be refused by it.
type Endpoint = (PeerEndpoint, u16);

/// The task of a session that is being stopped.
#[derive(Debug)]
struct EndingTask {
    endpoint: Endpoint,
    handle: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    config: BgpConfig,
    desired: Arc<DesiredSet>,
    slots: BTreeMap<Arc<str>, Slot>,
    ending: Vec<EndingTask>,
    sessions_made: u64,
    is_stopped: bool,
}

/// Announces prefixes by BGP to the peers of one node.
///
/// It dials every peer of its configuration until it is [shut down](Announcer::shutdown) or dropped, and re-dials what is lost. Peers
/// that need what this build does not do are not started; [`BgpAnnouncer::sessions`] says why.
#[derive(Debug)]
pub struct BgpAnnouncer {
    inner: Mutex<Inner>,
    observed: Arc<Observed>,
    runtime: Handle,
    /// Follows the addresses of this host.
    follower: JoinHandle<()>,
}

impl BgpAnnouncer {
    /// Starts a task for each peer, on the tokio runtime that it is called in, which must have I/O and time enabled.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn start(config: BgpConfig) -> Self {
        let observed = Arc::new(Observed {
            board: StatusBoard::new(),
            sessions: watch::Sender::new(0),
            addresses: watch::Sender::new(0),
        });
        let runtime = Handle::current();
        let changes = observed.addresses.clone();
        let follower = runtime.spawn(async move {
            let Err(error) = addresses::follow(&changes).await;
            warn!(%error, "addresses are not followed: next hops stay as they are while a session lasts");
        });
        let inner = Inner {
            config: BgpConfig::new(config.node.clone(), config.defaults),
            desired: Arc::new(DesiredSet::new()),
            slots: BTreeMap::new(),
            ending: Vec::new(),
            sessions_made: 0,
            is_stopped: false,
        };
        let announcer = Self { inner: Mutex::new(inner), observed, runtime, follower };
        announcer.configure(config);
        announcer
    }

    /// Takes another configuration. Sessions whose peer differs in nothing that the wire shows go on untouched ([PEER-5]); the others
    /// end with the reason (CEASE 6/3, 6/6), and new ones begin.
    pub fn configure(&self, config: BgpConfig) {
        let mut inner = self.lock();
        if inner.is_stopped || inner.config == config {
            return;
        }
        let is_other_engine = inner.config.defaults != config.defaults || inner.config.node != config.node;
        let before = core::mem::take(&mut inner.slots);
        inner.config = config;
        inner.ending.retain(|ending| !ending.handle.is_finished());
        for (name, slot) in before {
            let peer = inner.config.peers.get(&name).cloned();
            match (slot, peer) {
                (Slot::Running { peer: before, task, handle }, Some(peer))
                    if !is_other_engine && is_same_on_the_wire(&before, &peer) =>
                {
                    task.tell(Input::ConnectTime(peer.connect_time));
                    inner.slots.insert(name, Slot::Running { peer, task, handle });
                }
                (Slot::Running { peer: before, task, handle }, after) => {
                    let reason = if after.is_some() { StopReason::Changed } else { StopReason::DeConfigured };
                    task.stop(reason, STOP_WITHIN);
                    inner.ending.push(EndingTask { endpoint: endpoint_of(&before), handle });
                }
                (Slot::NotStarted { .. }, _) => {}
            }
        }
        let missing: Vec<(Arc<str>, Arc<Peer>)> = inner
            .config
            .peers
            .iter()
            .filter(|(name, _)| !inner.slots.contains_key(*name))
            .map(|(name, peer)| (Arc::clone(name), Arc::clone(peer)))
            .collect();
        for (name, peer) in missing {
            let slot = self.make_slot(&mut inner, &name, peer);
            inner.slots.insert(name, slot);
        }
        drop(inner);
        self.observed.board.touch_all();
        self.observed.sessions.send_modify(|changes| *changes += 1);
    }

    /// Starts a session, after those that lead to the same router under whatever name have ended.
    fn make_slot(&self, inner: &mut Inner, name: &Arc<str>, peer: Arc<Peer>) -> Slot {
        let config = match SessionConfig::new(Arc::clone(&peer), &inner.config.node, inner.config.defaults) {
            Ok(config) => config,
            Err(reason) => {
                warn!(peer = %name, %reason, "peer has no session");
                return Slot::NotStarted { peer, reason };
            }
        };
        for field in left_out(&peer) {
            warn!(peer = %name, "{field}");
        }
        let plan = DialPlan {
            remote: SocketAddr::new(config.address().to_canonical(), peer.port),
            source: peer.source_address,
            ttl: config.ttl(),
            password: peer.password.clone(),
        };
        inner.sessions_made += 1;
        let started = now();
        // Jitter shall differ between nodes and sessions, no more.
        let seed = started.as_micros() ^ inner.sessions_made << 48 ^ u64::from(std::process::id()) << 32;
        let mut session = Session::new(config, started, seed);
        session.handle_input(started, Input::Replace(routes_of(&inner.desired, name)));
        let task = Arc::new(PeerTask::new(Arc::clone(name), session));
        let driver = Driver::new(Arc::clone(&task), Arc::clone(&self.observed), plan);
        let endpoint = endpoint_of(&peer);
        let before: Vec<EndingTask> = inner.ending.extract_if(.., |ending| ending.endpoint == endpoint).collect();
        let handle = self.runtime.spawn(async move {
            for ending in before {
                // However it ended, it is over.
                let _ = ending.handle.await;
            }
            driver.run().await;
        });
        Slot::Running { peer, task, handle }
    }

    /// What is known of each peer of the configuration, in the order of names.
    pub fn sessions(&self) -> Vec<SessionView> {
        let inner = self.lock();
        let views = inner.slots.iter().map(|(name, slot)| match slot {
            Slot::Running { peer, task, .. } => SessionView::running(name, peer, &task.session()),
            Slot::NotStarted { peer, reason } => SessionView::not_started(name, peer, *reason),
        });
        views.collect()
    }

    /// The number of the latest change of any session's state.
    pub fn sessions_version(&self) -> SessionsVersion {
        SessionsVersion(*self.observed.sessions.borrow())
    }

    /// Resolves when a session went up, down or into any other state after `since`.
    pub async fn sessions_changed(&self, since: SessionsVersion) {
        let mut changes = self.observed.sessions.subscribe();
        // The sender lives as long as `self`, so this cannot fail.
        let _ = changes.wait_for(|changes| *changes > since.0).await;
    }

    /// The names of the peers that have a route for the prefix now, sorted.
    pub fn announced_to(&self, prefix: IpNetwork) -> Vec<Arc<str>> {
        let inner = self.lock();
        let has = |task: &PeerTask| matches!(task.session().routes().state(prefix), Some(RouteState::Sent { .. }));
        let running = inner.slots.iter().filter_map(|(name, slot)| match slot {
            Slot::Running { task, .. } => has(task).then(|| Arc::clone(name)),
            Slot::NotStarted { .. } => None,
        });
        running.collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn tasks(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<PeerTask>)> {
        self.slots.iter().filter_map(|(name, slot)| match slot {
            Slot::Running { task, .. } => Some((name, task)),
            Slot::NotStarted { .. } => None,
        })
    }

    /// Hands the whole set to every session; returns what differs from the set before.
    fn replace(&mut self, desired: Arc<DesiredSet>) -> BTreeSet<AnnouncementKey> {
        let before = core::mem::replace(&mut self.desired, desired);
        let is_other = |announcement: &&Arc<Announcement>| {
            before
                .get(&announcement.key())
                .is_none_or(|known| !Arc::ptr_eq(known, announcement) && known != *announcement)
        };
        let put = self.desired.iter().filter(is_other).map(|announcement| announcement.key());
        let gone = before.iter().map(|announcement| announcement.key()).filter(|key| self.desired.get(key).is_none());
        let touched: BTreeSet<AnnouncementKey> = put.chain(gone).collect();
        if !touched.is_empty() {
            for (name, task) in self.tasks() {
                task.tell(Input::Replace(routes_of(&self.desired, name)));
            }
        }
        touched
    }

    /// Hands what changed to every session.
    fn update(&mut self, change: &Change) -> BTreeSet<AnnouncementKey> {
        self.desired = Arc::clone(&change.full);
        let gone = change.removed.iter().filter(|key| key.kind == lbcore::announce::ReachKind::Routed);
        for (name, task) in self.tasks() {
            let put = change.put.iter().filter_map(|announcement| {
                let Reach::Routed(reach) = &announcement.reach else { return None };
                Some((announcement.prefix, attributes_for(reach, name).cloned()))
            });
            let removed = gone.clone().map(|key| (key.prefix, None));
            let changes: Vec<(IpNetwork, Option<Arc<RouteAttributes>>)> = removed.chain(put).collect();
            if !changes.is_empty() {
                task.tell(Input::Change(&changes));
            }
        }
        change.put.iter().map(|announcement| announcement.key()).chain(change.removed.iter().copied()).collect()
    }

    /// What is true of announcements.
    fn states<'a>(
        &self,
        announcements: impl Iterator<Item = &'a Arc<Announcement>>,
    ) -> Vec<(AnnouncementKey, AnnouncementState)> {
        let sessions: BTreeMap<&Arc<str>, MutexGuard<'_, Session>> =
            self.tasks().map(|(name, task)| (name, task.session())).collect();
        let state = |announcement: &Arc<Announcement>| {
            let Reach::Routed(reach) = &announcement.reach else { return None };
            Some((announcement.key(), self.state(announcement.prefix, reach, &sessions)))
        };
        announcements.filter_map(state).collect()
    }

    fn state(
        &self,
        prefix: IpNetwork,
        reach: &RoutedReach,
        sessions: &BTreeMap<&Arc<str>, MutexGuard<'_, Session>>,
    ) -> AnnouncementState {
        let mut since = None;
        let mut waits = false;
        let mut failure: Option<String> = None;
        for peer in reach.parts.iter().flat_map(|part| part.peers.iter()) {
            match (sessions.get(peer).map(|session| session.routes().state(prefix)), self.slots.get(peer)) {
                (Some(Some(RouteState::Sent { since: sent })), _) => {
                    since = Some(since.map_or(sent, |known| sent.min(known)));
                }
                (Some(Some(RouteState::TooLong)), _) => {
                    failure = Some(format!("peer {peer}: the communities do not fit a message"));
                }
                (None, Some(Slot::NotStarted { reason, .. })) => failure = Some(format!("peer {peer}: {reason}")),
                _ => waits = true,
            }
        }
        match (since, failure) {
            (Some(since), _) => AnnouncementState::Active { since, links: Arc::from([]), epoch: 0 },
            (None, Some(failure)) if !waits => AnnouncementState::Failed(failure.into()),
            (None, _) => AnnouncementState::Pending,
        }
    }
}

fn endpoint_of(peer: &Peer) -> Endpoint {
    (peer.endpoint.clone(), peer.port)
}

/// What a peer hears of a prefix.
fn attributes_for<'a>(reach: &'a RoutedReach, peer: &Arc<str>) -> Option<&'a Arc<RouteAttributes>> {
    reach.parts.iter().find(|part| part.peers.contains(peer)).map(|part| &part.attributes)
}

fn routes_of(desired: &DesiredSet, peer: &Arc<str>) -> Vec<(IpNetwork, Arc<RouteAttributes>)> {
    let heard = desired.iter().filter_map(|announcement| {
        let Reach::Routed(reach) = &announcement.reach else { return None };
        Some((announcement.prefix, Arc::clone(attributes_for(reach, peer)?)))
    });
    heard.collect()
}

#[async_trait]
impl Announcer for BgpAnnouncer {
    fn name(&self) -> &'static str {
        "bgp"
    }

    fn supports(&self, announcement: &Announcement) -> bool {
        matches!(announcement.reach, Reach::Routed(_))
    }

    async fn replace(&self, desired: Arc<DesiredSet>) {
        let touched = {
            let mut inner = self.lock();
            if inner.is_stopped {
                return;
            }
            inner.replace(desired)
        };
        self.observed.board.touch(touched);
    }

    async fn update(&self, change: Change) {
        let touched = {
            let mut inner = self.lock();
            if inner.is_stopped {
                return;
            }
            // An empty set of generation 0 may be anybody's beginning, so it says nothing of what came after it.
            let is_next = change.from == inner.desired.generation() && change.from != Generation(0);
            if is_next { inner.update(&change) } else { inner.replace(change.full) }
        };
        self.observed.board.touch(touched);
    }

    fn status_since(&self, since: StatusVersion) -> StatusDelta {
        let (version, changed) = self.observed.board.since(since);
        let inner = self.lock();
        match changed {
            Changed::Some(keys) => {
                let known: BTreeMap<AnnouncementKey, AnnouncementState> =
                    inner.states(keys.iter().filter_map(|key| inner.desired.get(key))).into_iter().collect();
                let changes = keys.into_iter().map(|key| StatusChange { key, state: known.get(&key).cloned() });
                StatusDelta::Changes { version, changes: changes.collect() }
            }
            Changed::All => StatusDelta::Resync { version, all: inner.states(inner.desired.iter()) },
        }
    }

    async fn changed(&self, since: StatusVersion) {
        self.observed.board.changed(since).await;
    }

    /// Several nodes may announce one route, so nobody has to take over before this one may withdraw.
    async fn hand_over(&self, _keys: &[AnnouncementKey]) -> Result<(), HandOverError> {
        if self.lock().is_stopped { Err(HandOverError::Stopped) } else { Ok(()) }
    }

    /// Withdraws all routes, tells each peer with a CEASE (6/2), and closes.
    async fn shutdown(&self, within: Duration) {
        let handles = {
            let mut inner = self.lock();
            inner.is_stopped = true;
            inner.desired = Arc::new(DesiredSet::new());
            let ending = core::mem::take(&mut inner.ending);
            let mut handles: Vec<JoinHandle<()>> = ending.into_iter().map(|ending| ending.handle).collect();
            for slot in core::mem::take(&mut inner.slots).into_values() {
                if let Slot::Running { task, handle, .. } = slot {
                    task.stop(StopReason::Shutdown, within);
                    handles.push(handle);
                }
            }
            handles
        };
        self.follower.abort();
        self.observed.board.touch_all();
        self.observed.sessions.send_modify(|changes| *changes += 1);
        let aborts: Vec<_> = handles.iter().map(JoinHandle::abort_handle).collect();
        let all = async {
            for handle in handles {
                // However it ended, it is over.
                let _ = handle.await;
            }
        };
        if timeout(within, all).await.is_err() {
            warn!("sessions were cut off: the time to withdraw was not enough");
            aborts.iter().for_each(tokio::task::AbortHandle::abort);
        }
    }
}

impl Drop for BgpAnnouncer {
    fn drop(&mut self) {
        self.follower.abort();
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        for slot in inner.slots.values() {
            if let Slot::Running { handle, .. } = slot {
                handle.abort();
            }
        }
        inner.ending.iter().for_each(|ending| ending.handle.abort());
    }
}
