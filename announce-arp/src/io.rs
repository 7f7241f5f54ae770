//! The shell: [`ArpAnnouncer`] with packet sockets, netlink and a thread of its own.
//!
//! - `socket`: what the operating system is asked for; all `unsafe` is there.
//! - `eligibility`, `links`: which links are announced on, and how they are followed.
//! - `carrier`: what any thread may ask of the shell: member frames, authority, a wake-up.
//! - `driver`: the loop.
//! - `status`: what is really true of each announcement.

mod carrier;
mod driver;
mod eligibility;
mod links;
mod socket;
mod status;

pub use driver::ThreadPriority;
pub use eligibility::{DEFAULT_EXCLUSION, Exclusion, ExclusionError, HOLDER_LINK};
pub use socket::now;

use core::time::Duration;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use async_trait::async_trait;
use lbcore::announce::{
    Announcement, AnnouncementKey, Announcer, DesiredSet, HandOverError, Reach, StatusDelta, StatusVersion,
};
use lbcore::family::IpFamily;
use lbcore::ownership::{Carrier, CarrierId, Hub};
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use self::carrier::{ArpCarrier, Waker};
use self::driver::{Driver, Parts};
use self::links::LinkWatch;
use self::socket::PacketSocket;
use self::status::{StatusBoard, is_active, is_with_another};
use crate::counters::{Counters, Counts};
use crate::wire::{DEFAULT_MEMBER_PORT, MemberPort};

/// How many timeouts of ownership [`Announcer::hand_over`] waits for a successor: as many as ownership offers the addresses for, and
/// one more to hear of the last claim.
const HAND_OVER_TIMEOUTS: u32 = 4;

/// What an [`ArpAnnouncer`] is started with.
#[derive(Clone, Debug)]
pub struct ArpConfig {
    /// Decides who answers for an address; shared with the announcers of other families.
    pub hub: Arc<Hub>,
    /// Links that are passed over ([L2-21]).
    pub exclude: Exclusion,
    /// UDP port of member frames; the same on all members of a segment ([OWN-11]).
    pub port: MemberPort,
    /// Whether the thread raises its priority.
    pub priority: ThreadPriority,
}

impl ArpConfig {
    /// The defaults: upstream's exclusion list ([L2-22]), port 7472, raised priority.
    ///
    /// # Errors
    /// None in practice: see [`Exclusion::upstream_default`].
    pub fn new(hub: Arc<Hub>) -> Result<Self, ExclusionError> {
        let exclude = Exclusion::upstream_default()?;
        Ok(Self { hub, exclude, port: DEFAULT_MEMBER_PORT, priority: ThreadPriority::default() })
    }
}

/// Why an [`ArpAnnouncer`] could not start.
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
    #[error("the ARP thread could not be started")]
    Thread(#[source] io::Error),
}

/// Announces IPv4 addresses by ARP on the eligible links of this host's network namespace.
///
/// It runs a thread until it is [shut down](Announcer::shutdown) or dropped. Its asynchronous methods need a tokio runtime with
/// time enabled.
#[derive(Debug)]
pub struct ArpAnnouncer {
    hub: Arc<Hub>,
    id: CarrierId,
    carrier: Arc<ArpCarrier>,
    counters: Arc<Counters>,
    status: Arc<StatusBoard>,
    must_stop: Arc<AtomicBool>,
    /// Closed when the thread has ended.
    alive: watch::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl ArpAnnouncer {
    /// Registers with the hub and starts the thread. Links are found from then on.
    ///
    /// # Errors
    /// [`StartError`], by its variants.
    pub fn start(config: ArpConfig) -> Result<Self, StartError> {
        let ArpConfig { hub, exclude, port, priority } = config;
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
        let carrier = Arc::new(ArpCarrier::new(grace, waker, Arc::clone(&counters)));
        let for_hub: Arc<dyn Carrier> = Arc::<ArpCarrier>::clone(&carrier);
        let id = hub.register(IpFamily::V4, for_hub);
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
            counters: Arc::clone(&counters),
            status: Arc::clone(&status),
            must_stop: Arc::clone(&must_stop),
            alive: alive_sender,
        });
        let thread = Builder::new().name("ferrule-arp".to_owned()).spawn(move || driver.run()).map_err(|source| {
            hub.unregister(now(), id);
            StartError::Thread(source)
        });
        let thread = Mutex::new(Some(thread?));
        Ok(Self { hub, id, carrier, counters, status, must_stop, alive, thread })
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
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

#[async_trait]
impl Announcer for ArpAnnouncer {
    fn name(&self) -> &'static str {
        "arp"
    }

    fn supports(&self, announcement: &Announcement) -> bool {
        matches!(announcement.reach, Reach::Link(_))
            && announcement.prefix.is_ipv4()
            && announcement.prefix.prefix() == 32
    }

    async fn replace(&self, desired: Arc<DesiredSet>) {
        if !self.has_stopped() {
            self.hub.replace(now(), self.id, &desired);
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

impl Drop for ArpAnnouncer {
    fn drop(&mut self) {
        self.stop();
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            warn!("ARP thread had failed");
        }
    }
}
