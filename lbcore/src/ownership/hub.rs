//! The shared handle: one ownership machine behind a mutex, with the carriers that work for it.

use std::sync::{Arc, Mutex};

use crate::announce::{AnnouncementKey, DesiredSet};
use crate::family::IpFamily;
use crate::link::{LinkIndex, MacAddr};
use crate::service::NodeName;
use crate::time::Timestamp;

use super::{Carrier, CarrierId, Effect, LinkEvent, Sighting, Timings};

/// A number drawn at random by the host at each start ([OWN-10]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub u64);

/// What a hub is made with.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// This node.
    pub node: NodeName,
    /// Drawn at this start.
    pub boot_id: BootId,
    /// Period and timeout.
    pub timings: Timings,
}

#[derive(Debug, Default)]
struct Inner {
    carriers: Vec<(CarrierId, IpFamily, Arc<dyn Carrier>)>,
}

/// One ownership machine for a node, shared by its announcers. All methods take the lock for a short, bounded time.
///
/// Order of calls of a shell, once a round: what it heard (`handle_link`, `handle_member_frame`, `handle_sighting`), then
/// [`handle_timeout`](Self::handle_timeout), then [`poll_effect`](Self::poll_effect) until `None`, then
/// [`handle_round`](Self::handle_round), then sleep until [`poll_timeout`](Self::poll_timeout) or a wake-up.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    inner: Mutex<Inner>,
}

impl Hub {
    /// Makes a hub. It does nothing before a carrier has registered and a link is up.
    pub fn new(config: HubConfig, _now: Timestamp, _seed: u64) -> Arc<Self> {
        Arc::new(Self { config, inner: Mutex::default() })
    }

    /// The settings it was made with.
    pub const fn config(&self) -> &HubConfig {
        &self.config
    }

    /// Registers a shell that carries addresses of one family.
    pub fn register(&self, family: IpFamily, carrier: Arc<dyn Carrier>) -> CarrierId {
        let mut inner = self.lock();
        let id = CarrierId(u32::try_from(inner.carriers.len()).unwrap_or(u32::MAX));
        inner.carriers.push((id, family, carrier));
        id
    }

    /// Forgets a shell: its addresses are given up at once.
    pub fn unregister(&self, _now: Timestamp, _carrier: CarrierId) {}

    /// The whole desired set of this carrier; announcements of other families and reaches are passed over.
    pub fn replace(&self, _now: Timestamp, _carrier: CarrierId, _desired: &DesiredSet) {}

    /// A link appeared, changed or went.
    pub fn handle_link(&self, _now: Timestamp, _carrier: CarrierId, _event: &LinkEvent) {}

    /// A member frame (UDP payload) came in on a link from this Ethernet source. Any bytes are safe.
    pub fn handle_member_frame(
        &self,
        _now: Timestamp,
        _carrier: CarrierId,
        _link: LinkIndex,
        _source: MacAddr,
        _payload: &[u8],
    ) {
    }

    /// An ARP or neighbour-discovery frame of another host was seen.
    pub fn handle_sighting(&self, _now: Timestamp, _carrier: CarrierId, _link: LinkIndex, _sighting: Sighting) {}

    /// The shell's responder completed a round on these links: authority runs from here ([OWN-50], [OWN-51]).
    pub fn handle_round(&self, _now: Timestamp, _carrier: CarrierId) {}

    /// The shell found its authority run out; it has drained and discarded its receive queues ([OWN-50]).
    pub fn handle_stale(&self, _now: Timestamp, _carrier: CarrierId) {}

    /// A deadline may have passed; calling it too early or twice does no harm.
    pub fn handle_timeout(&self, _now: Timestamp) {}

    /// Begins a planned hand-over of these announcements ([OWN-35]).
    pub fn hand_over(&self, _now: Timestamp, _keys: &[AnnouncementKey]) {}

    /// Begins a planned hand-over of everything and stands for nothing any more.
    pub fn leave(&self, _now: Timestamp) {}

    /// The next thing this carrier has to do.
    pub fn poll_effect(&self, _carrier: CarrierId) -> Option<Effect> {
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        None
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
