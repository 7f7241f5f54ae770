//! What is known of one Service beside the object itself.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use lbcore::addresses::{RecordedAddresses, parse_address};
use lbcore::time::Timestamp;

use super::trouble::Fault;
use crate::cluster::events::Told;
use crate::cluster::world::SeenService;
use crate::cluster::write::{Failing, Taken};
use crate::controller::service_status::Desired;

/// Whether a write is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flight {
    None,
    Writing,
    /// And the Service has to be looked at again when it has come to its end.
    Called,
}

/// What stands in for the record while the cache shows the version that a write was based on ([CTRL-63]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assumed {
    /// The version that the write was based on.
    pub(super) against: Box<str>,
    /// What was decided last.
    pub(super) recorded: RecordedAddresses,
    /// What the API server has taken, where it has.
    pub(super) written: Option<Desired>,
    /// Addresses of the write under way.
    pub(super) sending: Vec<IpAddr>,
    /// Addresses that were sent without an answer: the API server may have taken them.
    pub(super) sent: Vec<IpAddr>,
}

#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) seen: Arc<SeenService>,
    pub(super) assumed: Option<Assumed>,
    pub(super) flight: Flight,
    /// The version that the write under way is based on.
    pub(super) writes_on: Box<str>,
    /// What it held when it went to another class.
    pub(super) left: Vec<IpAddr>,
    /// Its state and annotation have to go, whatever becomes of its class.
    pub(super) is_releasing: bool,
    /// The allocator's generation at the last look.
    pub(super) generation: u64,
    /// Digests of what the last look said.
    pub(super) standing: Vec<u64>,
    /// What is told when the write has succeeded.
    pub(super) untold: Vec<Told>,
    pub(super) fault: Fault,
    is_conflict: bool,
    pub(super) not_before: Timestamp,
}

impl Account {
    pub(super) fn new(seen: Arc<SeenService>) -> Self {
        let writes_on = Box::default();
        Self {
            seen,
            assumed: None,
            flight: Flight::None,
            writes_on,
            left: Vec::new(),
            is_releasing: false,
            generation: 0,
            standing: Vec::new(),
            untold: Vec::new(),
            fault: Fault::default(),
            is_conflict: false,
            not_before: Timestamp::ZERO,
        }
    }

    /// The Service as it is seen now.
    pub(super) fn renew(&mut self, seen: Arc<SeenService>) {
        if self.is_conflict && seen.resource_version() != self.seen.resource_version() {
            // Here is what the write conflicted with.
            self.is_conflict = false;
            self.not_before = Timestamp::ZERO;
        }
        self.seen = seen;
    }

    /// What stands in for the record, while it does.
    pub(super) fn assumed(&self) -> Option<&Assumed> {
        self.assumed.as_ref().filter(|assumed| *assumed.against == *self.seen.resource_version())
    }

    pub(super) fn assumed_mut(&mut self) -> Option<&mut Assumed> {
        let version = self.seen.resource_version();
        self.assumed.as_mut().filter(|assumed| *assumed.against == *version)
    }

    /// The addresses that the status at the API server may name: as seen, as written since, as perhaps written.
    pub(super) fn named(&self) -> BTreeSet<IpAddr> {
        let assumed = self.assumed();
        if let Some(written) = assumed.and_then(|assumed| assumed.written.as_ref()) {
            // It has taken the place of what is seen.
            return written.addresses().iter().copied().collect();
        }
        let seen = self.seen.object.recorded.iter().filter_map(|text| parse_address(text));
        let sent = assumed.into_iter().flat_map(|assumed| assumed.sent.iter().chain(&assumed.sending).copied());
        seen.chain(sent).collect()
    }

    pub(super) fn succeed(&mut self, desired: &Desired, taken: Taken) {
        self.fault = Fault::default();
        self.is_conflict = false;
        self.not_before = Timestamp::ZERO;
        self.is_releasing = false;
        if taken == Taken::Unchanged && desired.is_said_by(&self.seen) {
            // What is seen is what is there, and no event will come that says so.
            self.assumed = None;
        } else if let Some(assumed) = self.assumed_mut() {
            assumed.sending.clear();
            assumed.written = Some(desired.clone());
        } else {
            // The cache has shown the outcome before the answer came.
            self.assumed = None;
        }
    }

    /// `delay` is how long this Service waits before the next try; `None` where all writes pause instead.
    pub(super) fn fail(&mut self, now: Timestamp, failing: Failing, delay: Option<Duration>) {
        self.is_conflict = failing == Failing::Conflict;
        let is_unknown = match failing {
            Failing::Server | Failing::Internal | Failing::Authority => true,
            Failing::Conflict | Failing::Missing | Failing::Refused => false,
        };
        if let Some(assumed) = self.assumed_mut() {
            let sent = std::mem::take(&mut assumed.sending);
            // Whether it was carried out is not known.
            assumed.sent.extend(sent.iter().filter(|_| is_unknown));
        }
        if let Some(delay) = delay {
            self.not_before = now + delay;
        }
    }
}
