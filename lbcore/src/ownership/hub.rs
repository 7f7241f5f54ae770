//! The shared handle: one ownership machine behind a mutex, with the carriers that work for it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::announce::{Announcement, AnnouncementKey, DesiredSet};
use crate::family::IpFamily;
use crate::link::{LinkIndex, MacAddr};
use crate::service::ServiceKey;
use crate::time::Timestamp;

use super::frame::FrameError;
use super::key::MemberKeys;
use super::machine::{Hop, Output, Ownership};
use super::{Assignment, Carrier, CarrierId, Effect, Event, HubConfig, LinkEvent, MemberView, Observer, Sighting};

#[derive(Debug)]
struct CarrierEntry {
    carrier: Arc<dyn Carrier>,
    effects: VecDeque<Effect>,
}

#[derive(Debug)]
struct Inner {
    machine: Ownership,
    carriers: BTreeMap<CarrierId, CarrierEntry>,
    next_carrier: u32,
    observer: Option<Arc<dyn Observer>>,
    members_version: u64,
}

/// One ownership machine for a node, shared by its announcers. All methods take the lock for a short, bounded time.
///
/// Order of calls of a shell, once a round: what it heard (`handle_link`, `handle_member_frame`, `handle_sighting`), then
/// [`handle_timeout`](Self::handle_timeout), then [`poll_effect`](Self::poll_effect) until `None`, then
/// [`handle_round`](Self::handle_round), then sleep until [`poll_timeout`](Self::poll_timeout) or a wake-up.
/// Member frames go out through [`Carrier::transmit`] from within these calls, so that a claim always leaves before the
/// first answer that rests on it.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    inner: Mutex<Inner>,
}

/// What to do once the lock is released.
struct After {
    wake: Vec<Arc<dyn Carrier>>,
    observer: Option<Arc<dyn Observer>>,
}

impl After {
    fn run(self) {
        for carrier in self.wake {
            carrier.wake();
        }
        if let Some(observer) = self.observer {
            observer.notify();
        }
    }
}

impl Hub {
    /// Makes a hub. It does nothing before a carrier has registered and a link is up.
    pub fn new(config: HubConfig, now: Timestamp, seed: u64) -> Arc<Self> {
        let inner = Inner {
            machine: Ownership::new(config.clone(), now, seed),
            carriers: BTreeMap::new(),
            next_carrier: 0,
            observer: None,
            members_version: 0,
        };
        Arc::new(Self { config, inner: Mutex::new(inner) })
    }

    /// The settings it was made with; the keys may have been replaced since.
    pub const fn config(&self) -> &HubConfig {
        &self.config
    }

    /// Registers a shell that carries addresses of one family.
    pub fn register(&self, family: IpFamily, carrier: Arc<dyn Carrier>) -> CarrierId {
        let mut inner = self.lock();
        let id = CarrierId(inner.next_carrier);
        inner.next_carrier += 1;
        inner.carriers.insert(id, CarrierEntry { carrier, effects: VecDeque::new() });
        inner.machine.register(id, family);
        id
    }

    /// Forgets a shell: its addresses are given up at once.
    pub fn unregister(&self, now: Timestamp, carrier: CarrierId) {
        self.with(|machine| machine.unregister(now, carrier));
        self.lock().carriers.remove(&carrier);
    }

    /// The whole desired set of this carrier; announcements of other families and reaches are passed over.
    pub fn replace(&self, now: Timestamp, carrier: CarrierId, desired: &DesiredSet) {
        self.with(|machine| machine.replace(now, carrier, desired));
    }

    /// What changed in the desired set of this carrier since it was last told: announcements that are new or differ, and keys that
    /// are gone. Costs as much as the change, not as the set; other families and reaches are passed over.
    pub fn update(&self, now: Timestamp, carrier: CarrierId, put: &[Arc<Announcement>], removed: &[AnnouncementKey]) {
        self.with(|machine| machine.update(now, carrier, put, removed));
    }

    /// A link appeared, changed or went.
    pub fn handle_link(&self, now: Timestamp, carrier: CarrierId, event: &LinkEvent) {
        self.with(|machine| machine.handle_link(now, carrier, event));
    }

    /// A member frame (UDP payload) came in on a link from this Ethernet source. Any bytes are safe.
    ///
    /// # Errors
    /// [`FrameError`] says why a payload was dropped; for counting.
    pub fn handle_member_frame(
        &self,
        now: Timestamp,
        carrier: CarrierId,
        link: LinkIndex,
        source: MacAddr,
        payload: &[u8],
    ) -> Result<(), FrameError> {
        self.with(|machine| machine.handle_member_frame(now, carrier, Hop { link, mac: source }, payload))
    }

    /// An ARP or neighbour-discovery frame of another host was seen.
    pub fn handle_sighting(&self, now: Timestamp, _carrier: CarrierId, link: LinkIndex, sighting: Sighting) {
        self.with(|machine| machine.handle_sighting(now, link, sighting));
    }

    /// The shell's responder completed a round: authority runs from here ([OWN-50], [OWN-51]).
    pub fn handle_round(&self, now: Timestamp, carrier: CarrierId) {
        self.with(|machine| machine.handle_round(now, carrier));
    }

    /// The shell found its authority run out; it has drained and discarded its receive queues ([OWN-50]).
    pub fn handle_stale(&self, now: Timestamp, carrier: CarrierId) {
        self.with(|machine| machine.handle_stale(now, carrier));
    }

    /// A deadline may have passed; calling it too early or twice does no harm.
    pub fn handle_timeout(&self, now: Timestamp) {
        self.with(|machine| machine.handle_timeout(now));
    }

    /// Begins a planned hand-over of these announcements ([OWN-35]).
    pub fn hand_over(&self, now: Timestamp, keys: &[AnnouncementKey]) {
        self.with(|machine| machine.hand_over(now, keys));
    }

    /// Begins a planned hand-over of everything; this node takes nothing any more.
    pub fn leave(&self, now: Timestamp) {
        self.with(|machine| machine.leave(now));
    }

    /// Whether this node answers for nothing.
    pub fn is_idle(&self) -> bool {
        self.lock().machine.is_idle()
    }

    /// Tells the other members which addresses this daemon holds for which Services; the whole table ([OWN-60]).
    pub fn publish(&self, now: Timestamp, table: BTreeMap<ServiceKey, Assignment>) {
        self.with(|machine| machine.publish(now, table));
    }

    /// The live members other than this node, by name.
    pub fn members(&self) -> Vec<MemberView> {
        self.lock().machine.members()
    }

    /// How many claims of other members are kept, for metrics.
    pub fn foreign_claims(&self) -> u32 {
        self.lock().machine.claims_of_all()
    }

    /// Whether no link has been listened to for a timeout yet: nobody else can be judged ([OWN-31]).
    pub fn is_listening(&self) -> bool {
        self.lock().machine.is_listening()
    }

    /// Replaces the keys shared with the other members. Give the new one and the old one together until every member holds the new
    /// one: frames go out under the old one until then ([OWN-16]).
    pub fn set_keys(&self, keys: MemberKeys) {
        self.lock().machine.set_keys(keys);
    }

    /// Names who is told of changes; replaces the one before.
    pub fn set_observer(&self, observer: Arc<dyn Observer>) {
        self.lock().observer = Some(observer);
    }

    /// The oldest event not fetched yet.
    pub fn poll_event(&self) -> Option<Event> {
        self.lock().machine.poll_event()
    }

    /// The next thing this carrier has to do.
    pub fn poll_effect(&self, carrier: CarrierId) -> Option<Effect> {
        self.lock().carriers.get_mut(&carrier)?.effects.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.lock().machine.poll_timeout()
    }

    fn with<T>(&self, work: impl FnOnce(&mut Ownership) -> T) -> T {
        let mut inner = self.lock();
        let deadline = inner.machine.poll_timeout();
        let result = work(&mut inner.machine);
        let after = inner.drain(deadline);
        drop(inner);
        after.run();
        result
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic under the lock is a broken invariant; what the machine holds is still the best there is.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Carries out what can be done at once, and says whom to wake.
    fn drain(&mut self, deadline_before: Option<Timestamp>) -> After {
        let mut woken = Vec::new();
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Transmit { carrier, link, to, payload } => {
                    if let Some(entry) = self.carriers.get(&carrier) {
                        entry.carrier.transmit(link, to, &payload);
                    }
                }
                Output::Effect(carrier, effect) => {
                    if let Some(entry) = self.carriers.get_mut(&carrier) {
                        entry.effects.push_back(effect);
                        woken.push(carrier);
                    }
                }
            }
        }
        let deadline = self.machine.poll_timeout();
        if deadline < deadline_before || (deadline.is_some() && deadline_before.is_none()) {
            woken.extend(self.carriers.keys().next().copied());
        }
        woken.sort_unstable();
        woken.dedup();
        let wake =
            woken.iter().filter_map(|id| self.carriers.get(id)).map(|entry| Arc::clone(&entry.carrier)).collect();
        let changed = self.machine.has_events() || self.members_version != self.machine.members_version();
        self.members_version = self.machine.members_version();
        After { wake, observer: if changed { self.observer.clone() } else { None } }
    }
}

#[cfg(test)]
mod tests;
