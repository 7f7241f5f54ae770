//! A ledger in memory, bounded by the number of its entries.

use std::collections::VecDeque;
use std::net::IpAddr;

use super::{Cause, Entry, Event, Ledger};
use crate::service::ServiceKey;
use crate::time::UnixTime;

/// The last entries that were recorded; the oldest give way, and are counted.
///
/// Queries look at every entry: a few milliseconds at a hundred thousand.
///
/// # Examples
/// ```
/// use lbcore::ledger::{Cause, Entry, Event, Ledger, MemoryLedger, Why};
/// use lbcore::time::UnixTime;
///
/// let mut ledger = MemoryLedger::new(1_000);
/// ledger.record(Entry {
///     at: UnixTime::from_secs(1_767_225_600),
///     address: "192.0.2.7".parse()?,
///     service: "shop/web".parse()?,
///     pool: Some("public".parse()?),
///     event: Event::Granted,
///     cause: Cause::new(Why::Choice, "the lowest free address of the pool"),
/// });
/// assert_eq!(ledger.of_address("192.0.2.7".parse()?).count(), 1);
/// assert_eq!(ledger.dropped(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLedger {
    limit: usize,
    entries: VecDeque<Entry>,
    dropped: u64,
}

/// One time during which a Service had an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The Service.
    pub service: ServiceKey,
    /// When it got the address; `None` where that was before the oldest entry kept.
    pub from: Option<UnixTime>,
    /// When and why it gave it up; `None` where it has it still.
    pub until: Option<(UnixTime, Cause)>,
}

impl MemoryLedger {
    /// An empty ledger that keeps so many entries; 0 keeps none and counts all as dropped.
    pub const fn new(limit: usize) -> Self {
        Self { limit, entries: VecDeque::new(), dropped: 0 }
    }

    /// A ledger that goes on from what was kept elsewhere: `entries` from the oldest on, and how many were dropped before them.
    pub fn restored(limit: usize, entries: impl IntoIterator<Item = Entry>, dropped: u64) -> Self {
        let mut ledger = Self { dropped, ..Self::new(limit) };
        for entry in entries {
            ledger.record(entry);
        }
        ledger
    }

    /// All entries kept, from the oldest on.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = &Entry> + ExactSizeIterator {
        self.entries.iter()
    }

    /// What happened to an address, from the oldest entry on.
    pub fn of_address(&self, address: IpAddr) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.address == address)
    }

    /// What happened to a Service, from the oldest entry on.
    pub fn of_service<'l>(&'l self, service: &'l ServiceKey) -> impl DoubleEndedIterator<Item = &'l Entry> {
        self.entries.iter().filter(move |entry| entry.service == *service)
    }

    /// What happened from the first of these times to the second, both included, in the order recorded.
    pub fn between(&self, first: UnixTime, last: UnixTime) -> impl DoubleEndedIterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| (first..=last).contains(&entry.at))
    }

    /// How many entries had to give way.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Who had an address when, as far as the entries kept tell: in the order in which they got it. Services that share it overlap.
    pub fn tenures(&self, address: IpAddr) -> Vec<Tenure> {
        let mut tenures: Vec<Tenure> = Vec::new();
        for entry in self.of_address(address) {
            let open = tenures.iter_mut().find(|tenure| tenure.until.is_none() && tenure.service == entry.service);
            match (entry.event, open) {
                (Event::Granted, None) => {
                    tenures.push(Tenure { service: entry.service.clone(), from: Some(entry.at), until: None });
                }
                (Event::Moved | Event::Released, Some(open)) => open.until = Some((entry.at, entry.cause.clone())),
                (Event::Moved | Event::Released, None) => {
                    let until = Some((entry.at, entry.cause.clone()));
                    tenures.push(Tenure { service: entry.service.clone(), from: None, until });
                }
                (Event::Granted, Some(_)) | (Event::Held | Event::HoldEnded | Event::Kept | Event::KeepEnded, _) => {}
            }
        }
        tenures
    }
}

impl Ledger for MemoryLedger {
    fn record(&mut self, entry: Entry) {
        self.entries.push_back(entry);
        while self.entries.len() > self.limit {
            self.entries.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
    }
}
