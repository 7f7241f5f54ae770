//! The machine that answers: a frame in, a reply or the reason for none out.
//!
//! One look-up of the target address and one of the sender's decide about a frame, whatever the number of addresses. The order
//! of checks is that of [L2-41]. Beside its verdict a frame may yield a [`Sighting`] for ownership: always where it concerns an
//! address that this node stands for ([OWN-40], [OWN-41]), and now and then of any other host's frame, since a node that
//! hears nobody must not win ([OWN-33]).
//!
//! The machine sends nothing and has no deadline of its own; authority is checked by the shell before each send ([OWN-50]).

use core::ops::{Deref, DerefMut};
use std::net::Ipv4Addr;
use std::sync::Arc;

use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::Sighting;
use lbcore::time::Timestamp;
use segment::counters::Reason;
pub use segment::table::{IRRELEVANT_SIGHTING_INTERVAL, MAX_NEIGHBORS};
use segment::table::{Seen, Unanswered};

use crate::counters::Counters;
use crate::wire::{ArpFrame, DecodeError, Frame, MemberPort, Operation};

/// A host that was heard on a link.
pub type Neighbor = segment::table::Neighbor<Ipv4Addr>;

/// The addresses that this node stands for, and its links.
pub type Table = segment::table::Table<Ipv4Addr, DropReason>;

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

impl Reason for DropReason {
    const ALL: &'static [Self] = &Self::ALL;

    fn index(self) -> usize {
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

    fn label(self) -> &'static str {
        self.label()
    }
}

impl From<Unanswered> for DropReason {
    fn from(reason: Unanswered) -> Self {
        match reason {
            Unanswered::NotAnnounced => Self::NotAnnounced,
            Unanswered::LinkNotSelected => Self::LinkNotSelected,
        }
    }
}

/// What to do about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Send this through the link that the frame came in on ([L2-44]), and report it with `Table::reply_was_sent`.
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

/// Answers ARP requests for the addresses that this node holds.
///
/// Source: RFC 826; [L2-41] to [L2-46].
#[derive(Debug)]
pub struct Responder {
    port: MemberPort,
    counters: Arc<Counters>,
    table: Table,
}

/// What is announced where is said to the table.
impl Deref for Responder {
    type Target = Table;

    fn deref(&self) -> &Table {
        &self.table
    }
}

impl DerefMut for Responder {
    fn deref_mut(&mut self) -> &mut Table {
        &mut self.table
    }
}

impl Responder {
    /// A responder that answers for nothing.
    pub fn new(port: MemberPort, counters: Arc<Counters>) -> Self {
        Self { port, table: Table::new(Arc::clone(&counters)), counters }
    }

    /// The UDP port of members that it listens to.
    pub const fn port(&self) -> MemberPort {
        self.port
    }

    /// A frame came in on a link. Any octets are safe; each frame is counted once.
    pub fn handle_frame<'a>(&mut self, now: Timestamp, link: LinkIndex, octets: &'a [u8]) -> Outcome<'a> {
        let outcome = match Frame::decode(octets, self.port) {
            Ok(Frame::Arp(arp)) => self.handle_arp(now, link, &arp),
            Ok(Frame::Member(member)) => {
                let verdict = match self.table.mac(link) {
                    None => Verdict::Dropped(DropReason::UnknownLink),
                    Some(own) if own == member.source => Verdict::Dropped(DropReason::OwnFrame),
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
        let Some(mac) = self.table.mac(link) else {
            return Outcome { verdict: Verdict::Dropped(DropReason::UnknownLink), sighting: None };
        };
        if arp.source == mac || arp.sender_mac == mac {
            return Outcome { verdict: Verdict::Dropped(DropReason::OwnFrame), sighting: None };
        }
        let sighting = self.table.sight(now, link, seen(arp));
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
        self.table.ask(link, arp.target_address)?;
        Ok(ArpFrame::reply_to(arp, mac))
    }
}

/// What a frame says of addresses: who sends from 0.0.0.0 says nothing of its own, and probes where it asks.
fn seen(arp: &ArpFrame) -> Seen<Ipv4Addr> {
    let is_probe = arp.sender_address.is_unspecified();
    Seen {
        mac: arp.sender_mac,
        address: (!is_probe).then_some(arp.sender_address),
        probed: (is_probe && arp.operation == Operation::Request).then_some(arp.target_address),
    }
}

#[cfg(test)]
mod tests;
