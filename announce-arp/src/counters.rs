//! What is counted, and how an observer reads it while the responder's thread counts.
//!
//! Counters are relaxed atomics: adding to one costs a nanosecond or two and takes no lock. The table of addresses has a lock,
//! taken only when an address comes or goes and when somebody reads.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(feature = "io")]
use lbcore::ownership::frame::FrameError;

use crate::responder::DropReason;

#[derive(Debug, Default)]
struct Count(AtomicU64);

impl Count {
    fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counters of one address, shared between the responder's table and observers.
#[derive(Debug, Default)]
pub(crate) struct AddressCounters {
    requests: Count,
    replies: Count,
    gratuitous: Count,
}

impl AddressCounters {
    pub(crate) fn count_request(&self) {
        self.requests.add(1);
    }

    pub(crate) fn count_reply(&self) {
        self.replies.add(1);
    }

    pub(crate) fn count_gratuitous(&self, frames: u64) {
        self.gratuitous.add(frames);
    }
}

/// Counts of one address since it came to be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts {
    /// Requests that passed every check ([L2-45]).
    pub requests: u64,
    /// Replies that were sent ([L2-45]).
    pub replies: u64,
    /// Gratuitous frames that were sent: a round on one link adds 2 ([L2-85]).
    pub gratuitous: u64,
}

/// All counts at one moment. Each number is exact; numbers may be a frame apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// By address, of those that this node stands for at the moment.
    pub addresses: BTreeMap<Ipv4Addr, AddressCounts>,
    /// Frames received and not answered, by reason; reasons that never occurred are absent.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Member frames received whole and handed to ownership.
    pub member_frames_received: u64,
    /// Of these, the ones that ownership could not read: of another protocol or version, or malformed.
    pub member_frames_malformed: u64,
    /// Of these, the ones that did not verify: someone is there who holds none of our keys ([OWN-16]).
    pub member_frames_unverified: u64,
    /// Member frames sent.
    pub member_frames_sent: u64,
    /// Probes sent.
    pub probes_sent: u64,
    /// Frames of any kind that the kernel did not take, or that were not offered to it since authority had run out ([OWN-50]).
    pub not_sent: u64,
    /// How often authority ran out: the process was stopped or starved ([OWN-50]).
    pub stale: u64,
    /// Frames that were read and thrown away after authority had run out ([OWN-50]).
    pub discarded: u64,
}

/// Counts while the responder runs; [`counts`](Self::counts) reads them.
#[derive(Debug, Default)]
pub struct Counters {
    addresses: Mutex<BTreeMap<Ipv4Addr, Arc<AddressCounters>>>,
    dropped: [Count; DropReason::COUNT],
    member_frames_received: Count,
    member_frames_malformed: Count,
    member_frames_unverified: Count,
    member_frames_sent: Count,
    probes_sent: Count,
    not_sent: Count,
    stale: Count,
    discarded: Count,
}

impl Counters {
    /// All zero.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        let table = self.lock();
        let addresses = table.iter().map(|(address, counters)| {
            let counts = AddressCounts {
                requests: counters.requests.value(),
                replies: counters.replies.value(),
                gratuitous: counters.gratuitous.value(),
            };
            (*address, counts)
        });
        Counts {
            addresses: addresses.collect(),
            dropped: DropReason::ALL
                .into_iter()
                .zip(&self.dropped)
                .map(|(reason, count)| (reason, count.value()))
                .filter(|(_, count)| *count > 0)
                .collect(),
            member_frames_received: self.member_frames_received.value(),
            member_frames_malformed: self.member_frames_malformed.value(),
            member_frames_unverified: self.member_frames_unverified.value(),
            member_frames_sent: self.member_frames_sent.value(),
            probes_sent: self.probes_sent.value(),
            not_sent: self.not_sent.value(),
            stale: self.stale.value(),
            discarded: self.discarded.value(),
        }
    }

    pub(crate) fn watch(&self, address: Ipv4Addr) -> Arc<AddressCounters> {
        Arc::clone(self.lock().entry(address).or_default())
    }

    pub(crate) fn forget(&self, address: Ipv4Addr) {
        self.lock().remove(&address);
    }

    pub(crate) fn count_dropped(&self, reason: DropReason) {
        if let Some(count) = self.dropped.get(reason.index()) {
            count.add(1);
        }
    }

    pub(crate) fn count_member_frame_received(&self) {
        self.member_frames_received.add(1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Ipv4Addr, Arc<AddressCounters>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What only the shell can count: what really left, and what it threw away.
#[cfg(feature = "io")]
impl Counters {
    pub(crate) fn count_member_frame_sent(&self) {
        self.member_frames_sent.add(1);
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other reason, of later versions too, is about its octets"
    )]
    pub(crate) fn count_member_frame_refused(&self, reason: FrameError) {
        match reason {
            FrameError::Unverified => self.member_frames_unverified.add(1),
            _ => self.member_frames_malformed.add(1),
        }
    }

    pub(crate) fn count_probe_sent(&self) {
        self.probes_sent.add(1);
    }

    pub(crate) fn count_not_sent(&self) {
        self.not_sent.add(1);
    }

    pub(crate) fn count_stale(&self, discarded: u64) {
        self.stale.add(1);
        self.discarded.add(discarded);
    }
}
