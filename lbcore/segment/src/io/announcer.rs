//! What a host holds of an announcer on a segment: [`SegmentAnnouncer`], which runs the driver on a thread.

use core::time::Duration;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use async_trait::async_trait;
use ipnetwork::IpNetwork;
use lbcore::announce::{
    Announcement, AnnouncementKey, Announcer, Change, DesiredSet, Generation, HandOverError, Reach, StatusDelta,
    StatusVersion,
};
use lbcore::family::IpFamily;
use lbcore::ownership::{Carrier, CarrierId, Hub};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use super::carrier::{LinkCarrier, Waker};
use super::driver::{Driver, Parts, ThreadPriority};
use super::eligibility::{Exclusion, ExclusionError};
use super::links::LinkWatch;
use super::protocol::Protocol;
use super::socket::{PacketSocket, now};
use super::status::{StatusBoard, is_active, is_with_another};
use crate::counters::{Counters, Counts};
use crate::member::{DEFAULT_MEMBER_PORT, MemberPort};

/// How many timeouts of ownership [`Announcer::hand_over`] waits for a successor: as many as ownership offers the addresses for, and
/// one more to hear of the last claim.
const HAND_OVER_TIMEOUTS: u32 = 4;

/// What an announcer on a segment is started with. Announcers that share a hub should be given the same.
#[derive(Clone, Debug)]
pub struct Config {
    /// Decides who answers for an address; shared with the announcers of other families.
    pub hub: Arc<Hub>,
    /// Links that are passed over ([L2-21]).
    pub exclude: Exclusion,
    /// UDP port of member frames; the same on all members of a segment ([OWN-11]).
    pub port: MemberPort,
    /// Whether the thread raises its priority.
    pub priority: ThreadPriority,
    /// Announces each address again at this interval after its burst; `None` (and zero) is never ([D162-7], [L2-86]).
    pub gratuitous_interval: Option<Duration>,
}

impl Config {
    /// The defaults: upstream's exclusion list ([L2-22]), port 7472, raised priority, nothing after a burst.
    ///
    /// # Errors
    /// None in practice: see [`Exclusion::upstream_default`].
    pub fn new(hub: Arc<Hub>) -> Result<Self, ExclusionError> {
        let exclude = Exclusion::upstream_default()?;
        let priority = ThreadPriority::default();
        Ok(Self { hub, exclude, port: DEFAULT_MEMBER_PORT, priority, gratuitous_interval: None })
    }
}

/// Why an announcer could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Packet sockets are not allowed.
    #[error("packet sockets are not allowed for this process: run it as root, or give it CAP_NET_RAW")]
    NotAllowed(#[source] io::Error),
    /// The kernel refused a socket.
    #[error("a {what} could not be opened")]
    Socket {
        /// Which kind.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// The kernel refused a thread.
    #[error("the {protocol} thread could not be started")]
    Thread {
        /// Whose.
        protocol: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Announces the addresses of one family by one protocol on the eligible links of this host's network namespace.
///
/// It runs a thread until it is [shut down](Announcer::shutdown) or dropped. Its asynchronous methods need a tokio runtime with
/// time enabled.
#[derive(Debug)]
pub struct SegmentAnnouncer<P: Protocol> {
    hub: Arc<Hub>,
    id: CarrierId,
    carrier: Arc<LinkCarrier<P>>,
    counters: Arc<Counters<P::Reason>>,
    status: Arc<StatusBoard>,
    must_stop: Arc<AtomicBool>,
    /// The desired set that the hub knows. The hub is told under this lock, so that no older set comes after a newer one.
    told: Mutex<Generation>,
    /// Closed when the thread has ended.
    alive: watch::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl<P: Protocol> SegmentAnnouncer<P> {
    /// Registers with the hub and starts the thread. Links are found from then on.
    ///
    /// # Errors
    /// [`StartError`], by its variants.
    pub fn start(config: Config) -> Result<Self, StartError> {
        let Config { hub, exclude, port, priority, gratuitous_interval } = config;
        PacketSocket::probe_permission().map_err(|source| {
            if source.kind() == io::ErrorKind::PermissionDenied {
                StartError::NotAllowed(source)
            } else {
                StartError::Socket { what: "packet socket", source }
            }
        })?;
        let watch = LinkWatch::open(exclude).map_err(|source| StartError::Socket { what: "netlink socket", source })?;
        let (waker, wake_ups) =
            Waker::pair().map_err(|source| StartError::Socket { what: "pair of sockets", source })?;
        let counters = Arc::new(Counters::new());
        let grace = hub.config().timings.timeout / 2;
        let carrier = Arc::new(LinkCarrier::<P>::new(grace, waker, Arc::clone(&counters)));
        let for_hub: Arc<dyn Carrier> = Arc::<LinkCarrier<P>>::clone(&carrier);
        let id = hub.register(P::FAMILY, for_hub);
        let status = Arc::new(StatusBoard::new());
        let must_stop = Arc::new(AtomicBool::new(false));
        let (alive_sender, alive) = watch::channel(());
        let driver = Driver::new(Parts {
            hub: Arc::clone(&hub),
            id,
            carrier: Arc::clone(&carrier),
            wake_ups,
            watch,
            port,
            priority,
            gratuitous_interval,
            counters: Arc::clone(&counters),
            status: Arc::clone(&status),
            must_stop: Arc::clone(&must_stop),
            alive: alive_sender,
        });
        let thread = Builder::new().name(format!("ferrule-{}", P::NAME)).spawn(move || driver.run());
        let thread = thread.map_err(|source| {
            hub.unregister(now(), id);
            StartError::Thread { protocol: P::NAME, source }
        })?;
        let (told, thread) = (Mutex::new(Generation(0)), Mutex::new(Some(thread)));
        Ok(Self { hub, id, carrier, counters, status, must_stop, told, alive, thread })
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts<P::Reason> {
        self.counters.counts()
    }

    fn has_stopped(&self) -> bool {
        self.must_stop.load(Ordering::SeqCst)
    }

    fn stop(&self) {
        self.must_stop.store(true, Ordering::SeqCst);
        self.carrier.wake();
    }
}

/// Whether it is one address of the family, not a net.
fn is_address_of(family: IpFamily, prefix: IpNetwork) -> bool {
    match (family, prefix) {
        (IpFamily::V4, IpNetwork::V4(net)) => net.prefix() == 32,
        (IpFamily::V6, IpNetwork::V6(net)) => net.prefix() == 128,
        (IpFamily::V4, IpNetwork::V6(_)) | (IpFamily::V6, IpNetwork::V4(_)) => false,
    }
}

#[async_trait]
impl<P: Protocol> Announcer for SegmentAnnouncer<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn supports(&self, announcement: &Announcement) -> bool {
        matches!(announcement.reach, Reach::Link(_)) && is_address_of(P::FAMILY, announcement.prefix)
    }

    async fn replace(&self, desired: Arc<DesiredSet>) {
        if !self.has_stopped() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            self.hub.replace(now(), self.id, &desired);
            *told = desired.generation();
            self.carrier.wake();
        }
    }

    async fn update(&self, change: Change) {
        if !self.has_stopped() {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            // An empty set of generation 0 may be anybody's beginning, so it says nothing of what came after it.
            if change.from == *told && change.from != Generation(0) {
                self.hub.update(now(), self.id, &change.put, &change.removed);
            } else {
                self.hub.replace(now(), self.id, &change.full);
            }
            *told = change.full.generation();
            self.carrier.wake();
        }
    }

    fn status_since(&self, since: StatusVersion) -> StatusDelta {
        self.status.since(since)
    }

    async fn changed(&self, since: StatusVersion) {
        self.status.changed(since).await;
    }

    async fn hand_over(&self, keys: &[AnnouncementKey]) -> Result<(), HandOverError> {
        if self.has_stopped() {
            return Err(HandOverError::Stopped);
        }
        // What this node does not answer for needs no successor.
        let mut held = self.status.active_among(keys);
        self.hub.hand_over(now(), keys);
        self.carrier.wake();
        let within = self.hub.config().timings.timeout * HAND_OVER_TIMEOUTS;
        let is_over = self.status.until(|states| held.iter().all(|key| is_with_another(states.get(key))));
        if timeout(within, is_over).await.is_ok() {
            return Ok(());
        }
        self.status.retain_without_successor(&mut held);
        held.first().map_or(Ok(()), |key| Err(HandOverError::NoSuccessor { key: *key }))
    }

    async fn shutdown(&self, within: Duration) {
        if !self.has_stopped() {
            self.hub.leave(now());
            self.carrier.wake();
            let is_over = self.status.until(|states| !states.values().any(|state| is_active(Some(state))));
            if timeout(within, is_over).await.is_err() {
                warn!("addresses were given up without a successor: the time to hand over was not enough");
            }
            self.stop();
        }
        // An error says that the sender is gone, and with it the thread.
        while self.alive.clone().changed().await.is_ok() {}
    }
}

impl<P: Protocol> Drop for SegmentAnnouncer<P> {
    fn drop(&mut self) {
        self.stop();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            warn!(protocol = P::NAME, "thread had failed");
        }
    }
}
