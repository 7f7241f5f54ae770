//! The machine that answers: a frame in, an advertisement or the reason for none out.
//!
//! One look-up of the target address and one of the sender's decide about a frame, whatever the number of addresses. Beside its verdict
//! a frame may yield a [`Sighting`] for ownership: see [`segment::table`].
//!
//! The machine sends nothing and has no deadline of its own; authority is checked by the shell before each send ([OWN-50]).

use core::ops::{Deref, DerefMut};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::sync::Arc;

use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::Sighting;
use lbcore::time::Timestamp;
use segment::counters::Reason;
pub use segment::table::{IRRELEVANT_SIGHTING_INTERVAL, MAX_NEIGHBORS};
use segment::table::{Seen, Unanswered};

use crate::counters::Counters;
use crate::wire::{Advertisement, DecodeError, Frame, MemberPort, Solicitation};

/// A host that was heard on a link.
pub type Neighbor = segment::table::Neighbor<Ipv6Addr>;

/// The addresses that this node stands for, and its links.
pub type Table = segment::table::Table<Ipv6Addr, DropReason>;

/// Why a frame was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// It could not be read.
    Malformed(DecodeError),
    /// It came in on a link that the responder does not know (any more).
    UnknownLink,
    /// It is our own, thrown back by the segment ([L2-62]).
    OwnFrame,
    /// It is an advertisement.
    NotSolicitation,
    /// Its Ethernet destination is neither a group nor the link's hardware address.
    OtherDestination,
    /// It asks a group and gives no hardware address, although it is no probe ([L2-62]).
    NoLinkLayerAddress,
    /// This node does not answer for its target ([L2-62]).
    NotAnnounced,
    /// This node answers for its target on other links only ([L2-62]).
    LinkNotSelected,
}

impl DropReason {
    /// All of them, in ascending order.
    pub const ALL: [Self; 24] = [
        Self::Malformed(DecodeError::Truncated),
        Self::Malformed(DecodeError::EtherType),
        Self::Malformed(DecodeError::Ipv6Header),
        Self::Malformed(DecodeError::GroupSource),
        Self::Malformed(DecodeError::NextHeader),
        Self::Malformed(DecodeError::HopLimit),
        Self::Malformed(DecodeError::IcmpChecksum),
        Self::Malformed(DecodeError::IcmpType),
        Self::Malformed(DecodeError::IcmpLength),
        Self::Malformed(DecodeError::GroupTarget),
        Self::Malformed(DecodeError::Option),
        Self::Malformed(DecodeError::ProbeForm),
        Self::Malformed(DecodeError::SolicitedGroup),
        Self::Malformed(DecodeError::NotMemberGroup),
        Self::Malformed(DecodeError::OtherPort),
        Self::Malformed(DecodeError::UdpLength),
        Self::Malformed(DecodeError::UdpChecksum),
        Self::UnknownLink,
        Self::OwnFrame,
        Self::NotSolicitation,
        Self::OtherDestination,
        Self::NoLinkLayerAddress,
        Self::NotAnnounced,
        Self::LinkNotSelected,
    ];

    /// A short name for logs and metrics, in lower case with hyphens.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Malformed(error) => match error {
                DecodeError::Truncated => "truncated",
                DecodeError::EtherType => "ether-type",
                DecodeError::Ipv6Header => "ipv6-header",
                DecodeError::GroupSource => "group-source",
                DecodeError::NextHeader => "next-header",
                DecodeError::HopLimit => "hop-limit",
                DecodeError::IcmpChecksum => "icmp-checksum",
                DecodeError::IcmpType => "icmp-type",
                DecodeError::IcmpLength => "icmp-length",
                DecodeError::GroupTarget => "group-target",
                DecodeError::Option => "option",
                DecodeError::ProbeForm => "probe-form",
                DecodeError::SolicitedGroup => "solicited-group",
                DecodeError::NotMemberGroup => "not-member-group",
                DecodeError::OtherPort => "other-port",
                DecodeError::UdpLength => "udp-length",
                DecodeError::UdpChecksum => "udp-checksum",
            },
            Self::UnknownLink => "unknown-link",
            Self::OwnFrame => "own-frame",
            Self::NotSolicitation => "not-solicitation",
            Self::OtherDestination => "other-destination",
            Self::NoLinkLayerAddress => "no-link-layer-address",
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
            Self::NotSolicitation => BEHIND_MALFORMED + 2,
            Self::OtherDestination => BEHIND_MALFORMED + 3,
            Self::NoLinkLayerAddress => BEHIND_MALFORMED + 4,
            Self::NotAnnounced => BEHIND_MALFORMED + 5,
            Self::LinkNotSelected => BEHIND_MALFORMED + 6,
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
    /// Send this through the link that the frame came in on, and report it with [`Table::reply_was_sent`].
    Reply(Advertisement),
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

impl Outcome<'_> {
    const fn dropped(reason: DropReason) -> Self {
        Self { verdict: Verdict::Dropped(reason), sighting: None }
    }
}

/// Answers neighbor solicitations for the addresses that this node holds.
///
/// Source: RFC 4861 section 7.2; [L2-60] to [L2-66].
#[derive(Debug)]
pub struct Responder {
    port: MemberPort,
    counters: Arc<Counters>,
    table: Table,
    /// Each link's own link-local address: what this node asks its neighbors from.
    link_local: BTreeMap<LinkIndex, Ipv6Addr>,
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
        Self { port, table: Table::new(Arc::clone(&counters)), counters, link_local: BTreeMap::new() }
    }

    /// The UDP port of members that it listens to.
    pub const fn port(&self) -> MemberPort {
        self.port
    }

    /// The link-local address of a link, from which neighbors are asked.
    pub fn set_link_local(&mut self, link: LinkIndex, address: Ipv6Addr) {
        self.link_local.insert(link, address);
    }

    /// The question to the whole segment who holds `address`; `None` on a link that is not in use.
    pub fn probe(&self, link: LinkIndex, address: Ipv6Addr) -> Option<Solicitation> {
        self.table.mac(link).map(|mac| Solicitation::probe(mac, address))
    }

    /// Questions to the hosts heard lately on a link for their own addresses ([OWN-33]).
    pub fn probes_of_neighbors(&self, link: LinkIndex) -> impl Iterator<Item = Solicitation> {
        let own = self.table.mac(link).zip(self.link_local.get(&link).copied());
        own.into_iter().flat_map(move |(mac, source)| {
            let ask = move |known: Neighbor| Solicitation::probe_of_neighbor(mac, source, known.mac, known.address);
            self.table.neighbors(link).map(ask)
        })
    }

    /// A frame came in on a link. Any octets are safe; each frame is counted once.
    pub fn handle_frame<'a>(&mut self, now: Timestamp, link: LinkIndex, octets: &'a [u8]) -> Outcome<'a> {
        let outcome = match Frame::decode(octets, self.port) {
            Ok(frame) => self.handle(now, link, frame),
            Err(error) => Outcome::dropped(DropReason::Malformed(error)),
        };
        match outcome.verdict {
            Verdict::Dropped(reason) => self.counters.count_dropped(reason),
            Verdict::Member { .. } => self.counters.count_member_frame_received(),
            // Counted where the entry was at hand.
            Verdict::Reply(_) => {}
        }
        outcome
    }

    fn handle<'a>(&mut self, now: Timestamp, link: LinkIndex, frame: Frame<'a>) -> Outcome<'a> {
        let Some(mac) = self.table.mac(link) else { return Outcome::dropped(DropReason::UnknownLink) };
        match frame {
            Frame::Member(member) if member.source == mac => Outcome::dropped(DropReason::OwnFrame),
            Frame::Member(member) => {
                let verdict = Verdict::Member { source: member.source, payload: member.payload };
                Outcome { verdict, sighting: None }
            }
            Frame::Solicitation(asked) if asked.source_mac == mac || asked.asker() == mac => {
                Outcome::dropped(DropReason::OwnFrame)
            }
            Frame::Solicitation(asked) => {
                let sighting = self.table.sight(now, link, seen_in_solicitation(&asked));
                let verdict = match self.answer(link, mac, &asked) {
                    Ok(reply) => Verdict::Reply(reply),
                    Err(reason) => Verdict::Dropped(reason),
                };
                Outcome { verdict, sighting }
            }
            Frame::Advertisement(told) if told.source_mac == mac || told.target_link_layer == Some(mac) => {
                Outcome::dropped(DropReason::OwnFrame)
            }
            Frame::Advertisement(told) => {
                let seen = Seen {
                    mac: told.target_link_layer.unwrap_or(told.source_mac),
                    address: Some(told.target),
                    probed: None,
                };
                let sighting = self.table.sight(now, link, seen);
                Outcome { verdict: Verdict::Dropped(DropReason::NotSolicitation), sighting }
            }
        }
    }

    /// The checks of [L2-62]. Solicitations to the address itself confirm a neighbor entry, and are answered like any other ([L2-65]).
    fn answer(&self, link: LinkIndex, mac: MacAddr, asked: &Solicitation) -> Result<Advertisement, DropReason> {
        if asked.destination_mac != mac && !asked.destination_mac.is_group() {
            return Err(DropReason::OtherDestination);
        }
        let may_be_absent = asked.is_probe() || !asked.destination.is_multicast();
        if asked.source_link_layer.is_none() && !may_be_absent {
            return Err(DropReason::NoLinkLayerAddress);
        }
        self.table.ask(link, asked.target)?;
        Ok(Advertisement::answer_to(asked, mac))
    }
}

/// What a solicitation says of addresses: a probe says nothing of the asker's own.
fn seen_in_solicitation(asked: &Solicitation) -> Seen<Ipv6Addr> {
    Seen {
        mac: asked.asker(),
        address: (!asked.is_probe()).then_some(asked.source),
        probed: asked.is_probe().then_some(asked.target),
    }
}

#[cfg(test)]
mod tests;
