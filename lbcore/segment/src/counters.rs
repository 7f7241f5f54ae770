//! What is counted, and how an observer reads it while the responder's thread counts.
//!
//! Counters are relaxed atomics: adding to one costs a nanosecond or two and takes no lock. The table of addresses has a lock,
//! taken only when an address comes or goes and when somebody reads.

use core::marker::PhantomData;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lbcore::ownership::frame::FrameError;

/// Why a frame was not answered: one enum for each protocol.
pub trait Reason: Copy + Ord + 'static {
    /// All of them, in ascending order.
    const ALL: &'static [Self];

    /// Its place in [`ALL`](Self::ALL).
    fn index(self) -> usize;

    /// A short name for logs and metrics, in lower case with hyphens.
    fn label(self) -> &'static str;
}

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
pub struct AddressCounters {
    requests: Count,
    replies: Count,
    gratuitous: Count,
}

impl AddressCounters {
    /// A request passed every check.
    pub fn count_request(&self) {
        self.requests.add(1);
    }

    /// A reply has left.
    pub fn count_reply(&self) {
        self.replies.add(1);
    }

    /// So many unsolicited frames have left.
    pub fn count_gratuitous(&self, frames: u64) {
        self.gratuitous.add(frames);
    }
}

/// Counts of one address since it came to be watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressCounts {
    /// Requests (ARP requests, neighbor solicitations) that passed every check ([L2-45]).
    pub requests: u64,
    /// Replies that were sent ([L2-45]).
    pub replies: u64,
    /// Unsolicited frames that were sent: a round on one link adds 2 for ARP, 1 for NDP ([L2-85]).
    pub gratuitous: u64,
}

/// All counts at one moment. Each number is exact; numbers may be a frame apart from each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts<R> {
    /// By address, of those that this node stands for at the moment.
    pub addresses: BTreeMap<IpAddr, AddressCounts>,
    /// Frames received and not answered, by reason; reasons that never occurred are absent.
    pub dropped: BTreeMap<R, u64>,
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
#[derive(Debug)]
pub struct Counters<R> {
    addresses: Mutex<BTreeMap<IpAddr, Arc<AddressCounters>>>,
    /// In the order of [`Reason::ALL`].
    dropped: Box<[Count]>,
    reasons: PhantomData<fn(R)>,
    member_frames_received: Count,
    member_frames_malformed: Count,
    member_frames_unverified: Count,
    member_frames_sent: Count,
    probes_sent: Count,
    not_sent: Count,
    stale: Count,
    discarded: Count,
}

impl<R: Reason> Default for Counters<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Reason> Counters<R> {
    /// All zero.
    pub fn new() -> Self {
        Self {
            addresses: Mutex::default(),
            dropped: R::ALL.iter().map(|_| Count::default()).collect(),
            reasons: PhantomData,
            member_frames_received: Count::default(),
            member_frames_malformed: Count::default(),
            member_frames_unverified: Count::default(),
            member_frames_sent: Count::default(),
            probes_sent: Count::default(),
            not_sent: Count::default(),
            stale: Count::default(),
            discarded: Count::default(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts<R> {
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
            dropped: R::ALL
                .iter()
                .copied()
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

    /// The counters of an address, made where there are none yet.
    pub fn watch(&self, address: IpAddr) -> Arc<AddressCounters> {
        Arc::clone(self.lock().entry(address).or_default())
    }

    /// Takes the address out of the counts.
    pub fn forget(&self, address: IpAddr) {
        self.lock().remove(&address);
    }

    /// A frame was not answered.
    pub fn count_dropped(&self, reason: R) {
        if let Some(count) = self.dropped.get(reason.index()) {
            count.add(1);
        }
    }

    /// A member frame came in whole.
    pub fn count_member_frame_received(&self) {
        self.member_frames_received.add(1);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<IpAddr, Arc<AddressCounters>>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What only the shell can count: what really left, and what it threw away.
impl<R> Counters<R> {
    /// A member frame has left.
    pub fn count_member_frame_sent(&self) {
        self.member_frames_sent.add(1);
    }

    /// Ownership refused a member frame.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other reason, of later versions too, is about its octets"
    )]
    pub fn count_member_frame_refused(&self, reason: FrameError) {
        match reason {
            FrameError::Unverified => self.member_frames_unverified.add(1),
            _ => self.member_frames_malformed.add(1),
        }
    }

    /// A probe has left.
    pub fn count_probe_sent(&self) {
        self.probes_sent.add(1);
    }

    /// A frame was not sent.
    pub fn count_not_sent(&self) {
        self.not_sent.add(1);
    }

    /// Authority had run out, and so many frames were thrown away.
    pub fn count_stale(&self, discarded: u64) {
        self.stale.add(1);
        self.discarded.add(discarded);
    }
}
