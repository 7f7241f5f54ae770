//! The table that a responder answers from: addresses with the links they are answered on, links with the hosts heard there.
//!
//! One look-up of the target address and one of the sender's decide about a frame, whatever the number of addresses ([L2-46]). What was
//! seen of other hosts goes to ownership as a [`Sighting`]: always where it concerns an address that this node stands for ([OWN-40],
//! [OWN-41]), and now and then of any other host's frame, since a node that hears nobody must not win ([OWN-33]).

use core::fmt;
use core::hash::Hash;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use lbcore::hash::HashMap;
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::Sighting;
use lbcore::time::Timestamp;

use crate::counters::{AddressCounters, Counters, Reason};

/// Frames of other hosts that concern none of our addresses are reported at most once in this time and link.
///
/// Ownership needs to know that something was heard since the owner's last heartbeat ([OWN-33]); twenty reports a second
/// say that early enough, while a busy segment carries thousands of frames.
pub const IRRELEVANT_SIGHTING_INTERVAL: Duration = Duration::from_millis(50);

/// Hosts remembered for each link, to be asked when ownership wants to know whether anybody is heard ([OWN-33]).
pub const MAX_NEIGHBORS: usize = 4;

/// An address of one family.
pub trait Address: Copy + Ord + Hash + fmt::Debug + fmt::Display + Into<IpAddr> + Send + Sync + 'static {
    /// The address, where it is of this family.
    fn of(address: IpAddr) -> Option<Self>;
}

impl Address for Ipv4Addr {
    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }
}

impl Address for Ipv6Addr {
    fn of(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }
    }
}

/// A host that was heard on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor<A> {
    /// Its address, none that this node stands for.
    pub address: A,
    /// Its hardware address.
    pub mac: MacAddr,
}

/// What a frame of another host says of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen<A> {
    /// The hardware address that the frame gives.
    pub mac: MacAddr,
    /// The address that goes with it; `None` in a probe.
    pub address: Option<A>,
    /// The address asked for, where the asker names none of its own.
    pub probed: Option<A>,
}

/// Why a question for an address is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unanswered {
    /// This node does not answer for it.
    NotAnnounced,
    /// This node answers for it on other links only ([L2-29]).
    LinkNotSelected,
}

#[derive(Debug)]
struct Entry {
    /// Links to answer on; empty while the address is only watched.
    links: Arc<[LinkIndex]>,
    counters: Arc<AddressCounters>,
}

#[derive(Debug)]
struct Link<A> {
    mac: MacAddr,
    /// When a frame that concerns none of our addresses was last reported.
    reported: Option<Timestamp>,
    /// Hosts heard, the latest last; at most [`MAX_NEIGHBORS`].
    neighbors: Vec<Neighbor<A>>,
}

impl<A: Address> Link<A> {
    fn remember(&mut self, neighbor: Neighbor<A>) {
        self.neighbors.retain(|known| known.address != neighbor.address);
        if self.neighbors.len() >= MAX_NEIGHBORS {
            self.neighbors.remove(0);
        }
        self.neighbors.push(neighbor);
    }
}

/// The addresses that this node stands for, and its links.
#[derive(Debug)]
pub struct Table<A, R> {
    counters: Arc<Counters<R>>,
    links: BTreeMap<LinkIndex, Link<A>>,
    entries: HashMap<A, Entry>,
}

impl<A: Address, R: Reason> Table<A, R> {
    /// A table of nothing.
    pub fn new(counters: Arc<Counters<R>>) -> Self {
        Self { counters, links: BTreeMap::new(), entries: HashMap::default() }
    }

    /// A link can be used from now on, or its hardware address has changed.
    pub fn set_link(&mut self, link: LinkIndex, mac: MacAddr) {
        if self.mac(link) == Some(mac) {
            return;
        }
        self.links.insert(link, Link { mac, reported: None, neighbors: Vec::new() });
    }

    /// A link is gone. Addresses active on it stay so on their other links.
    pub fn remove_link(&mut self, link: LinkIndex) {
        self.links.remove(&link);
    }

    /// The hardware address of a link that is in use.
    pub fn mac(&self, link: LinkIndex) -> Option<MacAddr> {
        self.links.get(&link).map(|known| known.mac)
    }

    /// Reports frames about `address` from now on. Whether it is answered for does not change.
    pub fn watch(&mut self, address: A) {
        self.entry(address);
    }

    /// Answers for `address` on exactly these links from now on ([L2-32]); sorted, unique.
    pub fn activate(&mut self, address: A, links: Arc<[LinkIndex]>) {
        self.entry(address).links = links;
    }

    /// Answers for `address` no more, and goes on reporting frames about it ([L2-87]).
    pub fn deactivate(&mut self, address: A) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.links = Arc::default();
        }
    }

    /// Forgets `address` altogether, its counters too.
    pub fn forget(&mut self, address: A) {
        self.entries.remove(&address);
        self.counters.forget(address.into());
    }

    /// The links that `address` is answered on; empty where it is not.
    pub fn links_of(&self, address: A) -> &[LinkIndex] {
        self.entries.get(&address).map_or(&[], |entry| &entry.links)
    }

    /// Hosts heard on a link, the latest first; at most [`MAX_NEIGHBORS`], may be empty.
    pub fn neighbors(&self, link: LinkIndex) -> impl Iterator<Item = Neighbor<A>> {
        let heard = self.links.get(&link).map(|known| known.neighbors.iter().rev().copied());
        heard.into_iter().flatten().filter(|neighbor| !self.entries.contains_key(&neighbor.address))
    }

    /// A reply for `address` has left ([L2-45]).
    pub fn reply_was_sent(&self, address: A) {
        if let Some(entry) = self.entries.get(&address) {
            entry.counters.count_reply();
        }
    }

    /// So many unsolicited frames for `address` have left ([L2-85]).
    pub fn gratuitous_were_sent(&self, address: A, frames: u64) {
        if let Some(entry) = self.entries.get(&address) {
            entry.counters.count_gratuitous(frames);
        }
    }

    /// Whether a question for `target` that came in on `link` is answered; counts it where it is.
    ///
    /// # Errors
    /// Why not.
    pub fn ask(&self, link: LinkIndex, target: A) -> Result<(), Unanswered> {
        let entry = self.entries.get(&target).ok_or(Unanswered::NotAnnounced)?;
        if entry.links.is_empty() {
            return Err(Unanswered::NotAnnounced);
        }
        if !entry.links.contains(&link) {
            return Err(Unanswered::LinkNotSelected);
        }
        entry.counters.count_request();
        Ok(())
    }

    /// Takes note of a frame of another host; what ownership is to hear of it.
    pub fn sight(&mut self, now: Timestamp, link: LinkIndex, seen: Seen<A>) -> Option<Sighting> {
        let Seen { mac, address, probed } = seen;
        let is_relevant = address.or(probed).is_some_and(|subject| self.entries.contains_key(&subject));
        if !is_relevant {
            let known = self.links.get_mut(&link)?;
            if known.reported.is_some_and(|last| now.since(last) < IRRELEVANT_SIGHTING_INTERVAL) {
                return None;
            }
            known.reported = Some(now);
            if let Some(address) = address
                && !mac.is_group()
            {
                known.remember(Neighbor { address, mac });
            }
        }
        // A frame that another link of this host sent onto the same segment is no other host's.
        if self.links.values().any(|own| own.mac == mac) {
            return None;
        }
        Some(Sighting { address: address.map(Into::into), mac, probed: probed.map(Into::into) })
    }

    fn entry(&mut self, address: A) -> &mut Entry {
        let counters = &self.counters;
        self.entries
            .entry(address)
            .or_insert_with(|| Entry { links: Arc::default(), counters: counters.watch(address.into()) })
    }
}
