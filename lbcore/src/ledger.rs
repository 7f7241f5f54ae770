//! Who had which address when, and why it moved.
//!
//! A host records what happens to addresses as [`Entry`] values in a [`Ledger`] of its choice: in memory ([`MemoryLedger`]), in a file, in a
//! database of its own. Nothing in this crate decides by what is recorded: a ledger is for people who ask afterwards.
//!
//! [`changes`] makes the entries for one Service from what it held before and what it holds now, so that every host tells the same story.

mod cause;
mod memory;

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use thiserror::Error;

use crate::addresses::ServiceAddresses;
use crate::service::{PoolName, ServiceKey};
use crate::time::UnixTime;

pub use cause::{Cause, Why};
pub use memory::{MemoryLedger, Tenure};

/// What happened to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Event {
    /// The Service has it from now on.
    Granted,
    /// The Service gave it up and has others of the same family from now on.
    Moved,
    /// The Service gave it up.
    Released,
    /// Nobody has it; it waits for this Service to come back, or for the end of its cool-down.
    Held,
    /// It waits no longer, and whoever asks may have it.
    HoldEnded,
    /// No pool has it any more; a freeze lets the Service keep it.
    Kept,
    /// A freeze does not keep it any longer.
    KeepEnded,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Granted, Self::Moved, Self::Released, Self::Held, Self::HoldEnded, Self::Kept, Self::KeepEnded];

    /// One word, such as `granted`; part of the machine contract.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::Moved => "moved",
            Self::Released => "released",
            Self::Held => "held",
            Self::HoldEnded => "hold-ended",
            Self::Kept => "kept",
            Self::KeepEnded => "keep-ended",
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is no event, or no reason of one.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is nothing that a ledger knows")]
pub struct ParseWordError {
    /// What was given.
    pub text: String,
}

impl FromStr for Event {
    type Err = ParseWordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|event| event.as_str() == text);
        found.ok_or_else(|| ParseWordError { text: text.to_owned() })
    }
}

/// One line of a ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When, by the clock of the host.
    pub at: UnixTime,
    /// The address.
    pub address: IpAddr,
    /// The Service that it is about.
    pub service: ServiceKey,
    /// The pool that the address is from; `None` where it is not known any more.
    pub pool: Option<PoolName>,
    /// What happened.
    pub event: Event,
    /// Why.
    pub cause: Cause,
}

/// `192.0.2.7 granted to shop/web from pool public: CAUSE`, without the time, whose form is the host's.
impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, service, event, cause, .. } = self;
        match event {
            Event::Granted => write!(f, "{address} granted to {service}")?,
            Event::Moved => write!(f, "{address} given up by {service} for others")?,
            Event::Released => write!(f, "{address} released by {service}")?,
            Event::Held => write!(f, "{address} held for {service}")?,
            Event::HoldEnded => write!(f, "{address} held for {service} no longer")?,
            Event::Kept => write!(f, "{address} kept for {service}")?,
            Event::KeepEnded => write!(f, "{address} kept for {service} no longer")?,
        }
        if let Some(pool) = &self.pool {
            write!(f, ", pool {pool}")?;
        }
        write!(f, ": {cause}")
    }
}

/// Where entries go.
///
/// # Examples
/// A host that prints them:
/// ```
/// use lbcore::ledger::{Entry, Ledger};
///
/// struct Print;
///
/// impl Ledger for Print {
///     fn record(&mut self, entry: Entry) {
///         println!("{} {entry}", entry.at);
///     }
/// }
/// ```
pub trait Ledger {
    /// Takes an entry. Entries come in the order in which things happened; their times may step back where the clock was set.
    fn record(&mut self, entry: Entry);
}

/// What a Service holds, as far as a ledger wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// Its addresses.
    pub addresses: &'a ServiceAddresses,
    /// The pool that they are from; `None` where it is not known.
    pub pool: Option<&'a PoolName>,
}

/// The entries for a Service that held `before` and holds `after`: first what it gave up, then what it got, each in the order held. Nothing
/// where the addresses are the same.
///
/// # Examples
/// ```
/// use lbcore::addresses::ServiceAddresses;
/// use lbcore::ledger::{Cause, Event, Held, Why, changes};
/// use lbcore::time::UnixTime;
///
/// let (old, new) = (ServiceAddresses::one("192.0.2.7".parse()?), ServiceAddresses::one("192.0.2.9".parse()?));
/// let cause = Cause::new(Why::Request, "it asks for 192.0.2.9");
/// let held = |addresses| Some(Held { addresses, pool: None });
/// let entries = changes(UnixTime::from_secs(0), &"shop/web".parse()?, held(&old), held(&new), &cause);
/// assert_eq!([entries[0].event, entries[1].event], [Event::Moved, Event::Granted]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn changes(
    at: UnixTime,
    service: &ServiceKey,
    before: Option<Held<'_>>,
    after: Option<Held<'_>>,
    cause: &Cause,
) -> Vec<Entry> {
    let entry = |held: Held<'_>, address: IpAddr, event: Event| {
        let (service, pool, cause) = (service.clone(), held.pool.cloned(), cause.clone());
        Entry { at, address, service, pool, event, cause }
    };
    let has = |held: Option<Held<'_>>, address: IpAddr| held.is_some_and(|held| held.addresses.contains(address));
    let mut entries = Vec::new();
    if let Some(held) = before {
        for address in held.addresses.iter().filter(|address| !has(after, *address)) {
            let is_replaced = after.is_some_and(|after| {
                after.addresses.iter().any(|new| new.is_ipv4() == address.is_ipv4() && !has(before, new))
            });
            entries.push(entry(held, address, if is_replaced { Event::Moved } else { Event::Released }));
        }
    }
    if let Some(held) = after {
        let new = held.addresses.iter().filter(|address| !has(before, *address));
        entries.extend(new.map(|address| entry(held, address, Event::Granted)));
    }
    entries
}

#[cfg(test)]
mod tests;
