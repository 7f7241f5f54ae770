//! The machine that answers: a frame in, a reply or the reason for none out.
//!
//! One look-up of the target address and one of the sender's decide about a frame, whatever the number of addresses. The order
//! of checks is that of [L2-41]. Beside its verdict a frame may yield a [`Sighting`] for ownership: always where it concerns an
//! address that this node stands for ([OWN-40], [OWN-41]), and now and then of any other host's frame, since a node that
//! hears nobody must not win ([OWN-33]).
//!
//! The machine sends nothing and has no deadline of its own; authority is checked by the shell before each send ([OWN-50]).

use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use lbcore::hash::HashMap;
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::Sighting;
use lbcore::time::Timestamp;

use crate::counters::{AddressCounters, Counters};
use crate::wire::{ArpFrame, DecodeError, Frame, MemberPort, Operation};

/// Frames of other hosts that concern none of our addresses are reported at most once in this time and link.
///
/// Ownership needs to know that something was heard since the owner's last heartbeat ([OWN-33]); twenty reports a second
/// say that early enough, while a busy segment carries thousands of frames.
pub const IRRELEVANT_SIGHTING_INTERVAL: Duration = Duration::from_millis(50);

/// Hosts remembered for each link, to be asked when ownership wants to know whether anybody is heard ([OWN-33]).
pub const MAX_NEIGHBORS: usize = 4;

/// Why a frame was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It could not be read.
    Malformed(DecodeError),
    /// It came in on a link that the responder does not know (any more).
    UnknownLink,
    /// It is our own, thrown back by the segment.
    OwnFrame,
    /// It is a reply ([L2-41] 1).
    NotRequest,
    /// Its Ethernet destination is neither broadcast nor the link's hardware address ([L2-41] 2).
    OtherDestination,
    /// This node does not answer for its target address ([L2-41] 3).
    NotAnnounced,
    /// This node answers for its target address on other links only ([L2-41] 4).
    LinkNotSelected,
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// All of them, in ascending order.
    pub const ALL: [Self; 19] = [
        Self::Malformed(DecodeError::Truncated),
        Self::Malformed(DecodeError::EtherType),
        Self::Malformed(DecodeError::ArpFormat),
        Self::Malformed(DecodeError::ArpOperation),
        Self::Malformed(DecodeError::Ipv4Header),
        Self::Malformed(DecodeError::Ipv4Checksum),
        Self::Malformed(DecodeError::Ipv4Fragment),
        Self::Malformed(DecodeError::NotUdp),
        Self::Malformed(DecodeError::NotMemberGroup),
        Self::Malformed(DecodeError::OtherPort),
        Self::Malformed(DecodeError::HopLimit),
        Self::Malformed(DecodeError::UdpLength),
        Self::Malformed(DecodeError::UdpChecksum),
        Self::UnknownLink,
        Self::OwnFrame,
        Self::NotRequest,
        Self::OtherDestination,
        Self::NotAnnounced,
        Self::LinkNotSelected,
    ];

    /// Its place in [`ALL`](Self::ALL).
    pub(crate) const fn index(self) -> usize {
        const BEHIND_MALFORMED: usize = DecodeError::UdpChecksum as usize + 1;
        match self {
            Self::Malformed(error) => error as usize,
            Self::UnknownLink => BEHIND_MALFORMED,
            Self::OwnFrame => BEHIND_MALFORMED + 1,
            Self::NotRequest => BEHIND_MALFORMED + 2,
            Self::OtherDestination => BEHIND_MALFORMED + 3,
            Self::NotAnnounced => BEHIND_MALFORMED + 4,
            Self::LinkNotSelected => BEHIND_MALFORMED + 5,
        }
    }

    /// A short name for logs and metrics, in lower case with hyphens.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed(error) => match error {
                DecodeError::Truncated => "truncated",
                DecodeError::EtherType => "ether-type",
                DecodeError::ArpFormat => "arp-format",
                DecodeError::ArpOperation => "arp-operation",
                DecodeError::Ipv4Header => "ipv4-header",
                DecodeError::Ipv4Checksum => "ipv4-checksum",
                DecodeError::Ipv4Fragment => "ipv4-fragment",
                DecodeError::NotUdp => "not-udp",
                DecodeError::NotMemberGroup => "not-member-group",
                DecodeError::OtherPort => "other-port",
                DecodeError::HopLimit => "hop-limit",
                DecodeError::UdpLength => "udp-length",
                DecodeError::UdpChecksum => "udp-checksum",
            },
            Self::UnknownLink => "unknown-link",
            Self::OwnFrame => "own-frame",
            Self::NotRequest => "not-request",
            Self::OtherDestination => "other-destination",
            Self::NotAnnounced => "not-announced",
            Self::LinkNotSelected => "link-not-selected",
        }
    }
}

/// What to do about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Send this through the link that the frame came in on ([L2-44]), and report it with [`Responder::reply_was_sent`].
    Reply(ArpFrame),
    /// Hand this to ownership.
    Member {
        /// Ethernet source.
        source: MacAddr,
        /// The UDP payload.
        payload: &'a [u8],
    },
    /// Nothing; it has been counted.
    Dropped(DropReason),
}

/// The outcome of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome<'a> {
    /// What to do.
    pub verdict: Verdict<'a>,
    /// What ownership is to hear of it, before the verdict is carried out.
    pub sighting: Option<Sighting>,
}

/// A host that was heard on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neighbor {
    /// Its IPv4 address, none that this node stands for.
    pub address: Ipv4Addr,
    /// Its hardware address.
    pub mac: MacAddr,
}

#[derive(Debug)]
struct Entry {
    /// Links to answer on; empty while the address is only watched.
    links: Arc<[LinkIndex]>,
    counters: Arc<AddressCounters>,
}

#[derive(Debug)]
struct Link {
    mac: MacAddr,
    /// When a frame that concerns none of our addresses was last reported.
    reported: Option<Timestamp>,
    /// Hosts heard, the latest last; at most [`MAX_NEIGHBORS`].
    neighbors: Vec<Neighbor>,
}

impl Link {
    fn remember(&mut self, neighbor: Neighbor) {
        self.neighbors.retain(|known| known.address != neighbor.address);
        if self.neighbors.len() >= MAX_NEIGHBORS {
            self.neighbors.remove(0);
        }
        self.neighbors.push(neighbor);
    }
}

/// Answers ARP requests for the addresses that this node holds.
///
/// Source: RFC 826; [L2-41] to [L2-46].
#[derive(Debug)]
pub struct Responder {
    port: MemberPort,
    counters: Arc<Counters>,
    links: BTreeMap<LinkIndex, Link>,
    entries: HashMap<Ipv4Addr, Entry>,
}

impl Responder {
    /// A responder that answers for nothing.
    pub fn new(port: MemberPort, counters: Arc<Counters>) -> Self {
        Self { port, counters, links: BTreeMap::new(), entries: HashMap::default() }
    }

    /// A link can be used from now on, or its hardware address has changed.
    pub fn set_link(&mut self, link: LinkIndex, mac: MacAddr) {
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
    pub fn watch(&mut self, address: Ipv4Addr) {
        self.entry(address);
    }

    /// Answers for `address` on exactly these links from now on ([L2-32]); sorted, unique.
    pub fn activate(&mut self, address: Ipv4Addr, links: Arc<[LinkIndex]>) {
        self.entry(address).links = links;
    }

    /// Answers for `address` no more, and goes on reporting frames about it ([L2-87]).
    pub fn deactivate(&mut self, address: Ipv4Addr) {
        if let Some(entry) = self.entries.get_mut(&address) {
            entry.links = Arc::default();
        }
    }

    /// Forgets `address` altogether, its counters too.
    pub fn forget(&mut self, address: Ipv4Addr) {
        self.entries.remove(&address);
        self.counters.forget(address);
    }

    /// The links that `address` is answered on; empty where it is not.
    pub fn links_of(&self, address: Ipv4Addr) -> &[LinkIndex] {
        self.entries.get(&address).map_or(&[], |entry| &entry.links)
    }

    /// Hosts heard on a link, the latest first; at most [`MAX_NEIGHBORS`], may be empty.
    pub fn neighbors(&self, link: LinkIndex) -> impl Iterator<Item = Neighbor> {
        let heard = self.links.get(&link).map(|known| known.neighbors.iter().rev().copied());
        heard.into_iter().flatten().filter(|neighbor| !self.entries.contains_key(&neighbor.address))
    }

    /// A reply for `address` has left ([L2-45]).
    pub fn reply_was_sent(&self, address: Ipv4Addr) {
        if let Some(entry) = self.entries.get(&address) {
            entry.counters.count_reply();
        }
    }

    /// So many gratuitous frames for `address` have left ([L2-85]).
    pub fn gratuitous_were_sent(&self, address: Ipv4Addr, frames: u64) {
        if let Some(entry) = self.entries.get(&address) {
            entry.counters.count_gratuitous(frames);
        }
    }

    /// A frame came in on a link. Any octets are safe; each frame is counted once.
    pub fn handle_frame<'a>(&mut self, now: Timestamp, link: LinkIndex, octets: &'a [u8]) -> Outcome<'a> {
        let outcome = match Frame::decode(octets, self.port) {
            Ok(Frame::Arp(arp)) => self.handle_arp(now, link, &arp),
            Ok(Frame::Member(member)) => {
                let verdict = match self.links.get(&link) {
                    None => Verdict::Dropped(DropReason::UnknownLink),
                    Some(known) if known.mac == member.source => Verdict::Dropped(DropReason::OwnFrame),
                    Some(_) => Verdict::Member { source: member.source, payload: member.payload },
                };
                Outcome { verdict, sighting: None }
            }
            Err(error) => Outcome { verdict: Verdict::Dropped(DropReason::Malformed(error)), sighting: None },
        };
        match outcome.verdict {
            Verdict::Dropped(reason) => self.counters.count_dropped(reason),
            Verdict::Member { .. } => self.counters.count_member_frame_received(),
            // Counted where the entry was at hand.
            Verdict::Reply(_) => {}
        }
        outcome
    }

    fn handle_arp(&mut self, now: Timestamp, link: LinkIndex, arp: &ArpFrame) -> Outcome<'static> {
        let Some(known) = self.links.get(&link) else {
            return Outcome { verdict: Verdict::Dropped(DropReason::UnknownLink), sighting: None };
        };
        let mac = known.mac;
        if arp.source == mac || arp.sender_mac == mac {
            return Outcome { verdict: Verdict::Dropped(DropReason::OwnFrame), sighting: None };
        }
        let sighting = self.sight(now, link, arp);
        let verdict = match self.answer(link, mac, arp) {
            Ok(reply) => Verdict::Reply(reply),
            Err(reason) => Verdict::Dropped(reason),
        };
        Outcome { verdict, sighting }
    }

    /// The checks of [L2-41] in their order. The sender's address is not among them ([L2-42]).
    fn answer(&self, link: LinkIndex, mac: MacAddr, arp: &ArpFrame) -> Result<ArpFrame, DropReason> {
        match arp.operation {
            Operation::Request => {}
            Operation::Reply => return Err(DropReason::NotRequest),
        }
        if arp.destination != MacAddr::BROADCAST && arp.destination != mac {
            return Err(DropReason::OtherDestination);
        }
        let entry = self.entries.get(&arp.target_address).ok_or(DropReason::NotAnnounced)?;
        if entry.links.is_empty() {
            return Err(DropReason::NotAnnounced);
        }
        if !entry.links.contains(&link) {
            return Err(DropReason::LinkNotSelected);
        }
        entry.counters.count_request();
        Ok(ArpFrame::reply_to(arp, mac))
    }

    fn sight(&mut self, now: Timestamp, link: LinkIndex, arp: &ArpFrame) -> Option<Sighting> {
        let is_probe = arp.sender_address.is_unspecified();
        let subject = if is_probe { arp.target_address } else { arp.sender_address };
        let is_relevant = self.entries.contains_key(&subject);
        if !is_relevant {
            let known = self.links.get_mut(&link)?;
            if known.reported.is_some_and(|last| now.since(last) < IRRELEVANT_SIGHTING_INTERVAL) {
                return None;
            }
            known.reported = Some(now);
            if !is_probe && !arp.sender_mac.is_group() {
                known.remember(Neighbor { address: subject, mac: arp.sender_mac });
            }
        }
        // A frame that another link of this host sent onto the same segment is no other host's.
        if self.links.values().any(|own| own.mac == arp.sender_mac) {
            return None;
        }
        Some(Sighting {
            address: (!is_probe).then_some(IpAddr::V4(arp.sender_address)),
            mac: arp.sender_mac,
            probed: (is_probe && arp.operation == Operation::Request).then_some(IpAddr::V4(arp.target_address)),
        })
    }

    fn entry(&mut self, address: Ipv4Addr) -> &mut Entry {
        let counters = &self.counters;
        self.entries
            .entry(address)
            .or_insert_with(|| Entry { links: Arc::default(), counters: counters.watch(address) })
    }
}

#[cfg(test)]
mod tests;
