//! UPDATEs that we send. The only file of the product that names zettabgp, and only to compose.
//!
//! Of zettabgp stand here: ORIGIN, NEXT_HOP, MULTI_EXIT_DISC, LOCAL_PREF, MP_REACH_NLRI with one next hop, MP_UNREACH_NLRI, withdrawn routes
//! and the octets of prefixes. Handed to it as raw octets: AS_PATH and AS4_PATH (its encoder swaps the segment types), LARGE_COMMUNITY
//! (it sets the partial bit), COMMUNITIES (its two octets of length cost every message one prefix), and MP_REACH_NLRI with two next
//! hops, which it cannot write.
//!
//! It is never shown what a peer sent. Its encoders fail by panicking where the buffer is short: the buffer here holds more than any
//! message, and every size is computed before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lbcore::family::IpFamily;
use zettabgp::afi::{BgpAddr, BgpAddrV4, BgpAddrV6, BgpAddrs, encode_bgpitems_to};
use zettabgp::message::attributes::BgpAttrItem;
use zettabgp::message::attributes::localpref::BgpLocalpref;
use zettabgp::message::attributes::med::BgpMED;
use zettabgp::message::attributes::multiproto::{BgpMPUpdates, BgpMPWithdraws};
use zettabgp::message::attributes::nexthop::BgpNextHop;
use zettabgp::message::attributes::origin::{BgpAttrOrigin, BgpOrigin};
use zettabgp::message::attributes::unknown::BgpAttrUnknown;
use zettabgp::message::update::BgpUpdateMessage;
use zettabgp::{BgpMessage, BgpSessionParams, BgpTransportMode};

use crate::wire::attribute::AsWidth;
use crate::wire::iana::{AS_SEQUENCE, AS_TRANS, SAFI_UNICAST, afi, attribute};
use crate::wire::nlri::{PrefixV4, PrefixV6, Prefixes, WirePrefix};
use crate::wire::{HEADER_LENGTH, LONGEST_MESSAGE, MessageKind};

/// More than any message, so that no encoder ever runs out of it.
const ROOM: usize = 65_600;
/// The lengths of withdrawn routes and of attributes, which every UPDATE has.
const LENGTHS: usize = 4;
/// Header of an attribute with a length of two octets.
const EXTENDED_HEADER: usize = 4;
/// MP_REACH_NLRI without next hop and prefixes: AFI, SAFI, length of the next hop, reserved octet.
const REACH_FIXED: usize = 5;
/// MP_UNREACH_NLRI without prefixes: AFI and SAFI.
const UNREACH_FIXED: usize = 3;
/// Octets of a large community (RFC 8092 section 3).
const LARGE_OCTETS: usize = 12;

/// The path that routes of ours show (RFC 4271 section 5.1.2, RFC 6793 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsPath {
    /// Within our AS: none.
    Empty,
    /// Toward another: our AS so many times.
    Own {
        /// Our AS as this peer knows it.
        asn: u32,
        /// 1 to 255.
        times: u8,
        /// How wide numbers are on this session.
        width: AsWidth,
    },
}

/// Where routes of ours lead on one session ([WIRE-50] to [WIRE-53]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextHop {
    /// For IPv4 prefixes: NEXT_HOP.
    V4(Ipv4Addr),
    /// For IPv6 prefixes: in MP_REACH_NLRI, with the link-local address where the peer shares the link (RFC 2545 section 3).
    V6 {
        /// The first address.
        first: Ipv6Addr,
        /// The second one, link-local.
        link_local: Option<Ipv6Addr>,
    },
}

/// What goes with prefixes on one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathAttributes<'a> {
    /// AS_PATH.
    pub as_path: AsPath,
    /// NEXT_HOP, for IPv4 alone.
    pub next_hop: Option<Ipv4Addr>,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF.
    pub local_pref: Option<u32>,
    /// COMMUNITIES, sorted; none where empty.
    pub communities: &'a [u32],
    /// LARGE_COMMUNITY, sorted; none where empty.
    pub large_communities: &'a [[u32; 3]],
}

/// The attributes of many messages as octets, without those that hold prefixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttributeBlock(Vec<u8>);

impl AttributeBlock {
    /// Octets of a message that announces with this block, without prefixes.
    pub const fn fixed_octets(&self, next_hop: NextHop) -> usize {
        let fixed = HEADER_LENGTH + LENGTHS + self.0.len();
        match next_hop {
            NextHop::V4(_) => fixed,
            NextHop::V6 { link_local: None, .. } => fixed + EXTENDED_HEADER + REACH_FIXED + 16,
            NextHop::V6 { link_local: Some(_), .. } => fixed + EXTENDED_HEADER + REACH_FIXED + 32,
        }
    }
}

/// Octets of a message that withdraws, without prefixes.
pub const fn withdraw_fixed_octets(family: IpFamily) -> usize {
    match family {
        IpFamily::V4 => HEADER_LENGTH + LENGTHS,
        IpFamily::V6 => HEADER_LENGTH + LENGTHS + EXTENDED_HEADER + UNREACH_FIXED,
    }
}

/// How many prefixes from the front fit a message that holds `fixed` octets without them.
pub fn how_many_fit<P: WirePrefix>(fixed: usize, prefixes: impl Iterator<Item = P>) -> usize {
    let mut octets = fixed;
    let fits = |prefix: &P| {
        octets += prefix.octets();
        octets <= LONGEST_MESSAGE
    };
    prefixes.take_while(fits).count()
}

/// What was to be written does not fit a message, which is for the caller to see to before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an UPDATE would be longer than {LONGEST_MESSAGE} octets")]
pub struct TooLong;

/// Composes UPDATEs into buffers of its own and of its caller.
#[derive(Debug)]
pub struct Composer {
    session: BgpSessionParams,
    room: Vec<u8>,
}

impl Default for Composer {
    fn default() -> Self {
        Self::new()
    }
}

impl Composer {
    /// One for any session.
    pub fn new() -> Self {
        // The mode says how base prefixes and NEXT_HOP are written, whatever the connection runs over.
        let mode = BgpTransportMode::IPv4;
        let mut session = BgpSessionParams::new(0, 0, mode, Ipv4Addr::UNSPECIFIED, Vec::new());
        session.fuzzy_pathid = false;
        Self { session, room: vec![0; ROOM] }
    }

    /// Writes attributes in ascending order of their types, for any number of messages.
    ///
    /// # Errors
    /// [`TooLong`] where they alone do not fit a message.
    pub fn attributes(&mut self, path: &PathAttributes<'_>) -> Result<AttributeBlock, TooLong> {
        let large = path.large_communities.len() * LARGE_OCTETS;
        if path.communities.len() * 4 + large > LONGEST_MESSAGE {
            return Err(TooLong);
        }
        let mut update = BgpUpdateMessage::new();
        let attributes = &mut update.attrs;
        attributes.push(BgpAttrItem::Origin(BgpOrigin { value: BgpAttrOrigin::Igp }));
        attributes.push(raw(attribute::TRANSITIVE, attribute::AS_PATH, as_path(path.as_path)));
        attributes.extend(path.next_hop.map(|next_hop| BgpAttrItem::NextHop(BgpNextHop::new(IpAddr::V4(next_hop)))));
        attributes.extend(path.med.map(|value| BgpAttrItem::MED(BgpMED { value })));
        attributes.extend(path.local_pref.map(|value| BgpAttrItem::LocalPref(BgpLocalpref { value })));
        let optional = attribute::OPTIONAL | attribute::TRANSITIVE;
        if !path.communities.is_empty() {
            let value = path.communities.iter().flat_map(|community| community.to_be_bytes()).collect();
            attributes.push(raw(optional, attribute::COMMUNITIES, value));
        }
        if let Some(value) = as4_path(path.as_path) {
            attributes.push(raw(optional, attribute::AS4_PATH, value));
        }
        if !path.large_communities.is_empty() {
            let parts = path.large_communities.iter().flatten();
            let value = parts.flat_map(|part| part.to_be_bytes()).collect();
            attributes.push(raw(optional, attribute::LARGE_COMMUNITY, value));
        }
        let octets = update.encode_to(&self.session, &mut self.room).map_err(|_| TooLong)?;
        let block = self.room.get(LENGTHS..octets).unwrap_or_default();
        Ok(AttributeBlock(block.to_vec()))
    }

    /// Appends a message that announces these prefixes.
    ///
    /// # Errors
    /// [`TooLong`] where they do not fit one message ([`how_many_fit`]), or where prefixes and next hop are of different families.
    pub fn announce(
        &mut self,
        out: &mut Vec<u8>,
        block: &AttributeBlock,
        next_hop: NextHop,
        prefixes: Prefixes<'_>,
    ) -> Result<(), TooLong> {
        if block.fixed_octets(next_hop) + prefix_octets(prefixes) > LONGEST_MESSAGE {
            return Err(TooLong);
        }
        let start = begin(out);
        out.extend_from_slice(&[0, 0]);
        match (next_hop, prefixes) {
            (NextHop::V4(_), Prefixes::V4(prefixes)) => {
                append_length(out, block.0.len())?;
                out.extend_from_slice(&block.0);
                let octets = encode_bgpitems_to(&for_codec_v4(prefixes), &mut self.room).map_err(|_| TooLong)?;
                out.extend_from_slice(self.room.get(..octets).unwrap_or_default());
            }
            // The attribute with the prefixes is the first of the list (RFC 7606 section 5.1).
            (NextHop::V6 { first, link_local }, Prefixes::V6(prefixes)) => {
                let reach = match link_local {
                    None => BgpAttrItem::MPUpdates(BgpMPUpdates {
                        nexthop: BgpAddr::V6(first),
                        addrs: BgpAddrs::IPV6U(for_codec_v6(prefixes)),
                    }),
                    Some(link_local) => self.reach_with_two(first, link_local, prefixes)?,
                };
                let octets = reach.encode_to(&self.session, &mut self.room).map_err(|_| TooLong)?;
                append_length(out, octets + block.0.len())?;
                out.extend_from_slice(self.room.get(..octets).unwrap_or_default());
                out.extend_from_slice(&block.0);
            }
            (NextHop::V4(_), Prefixes::V6(_)) | (NextHop::V6 { .. }, Prefixes::V4(_)) => {
                out.truncate(start);
                return Err(TooLong);
            }
        }
        end(out, start)
    }

    fn reach_with_two(
        &mut self,
        first: Ipv6Addr,
        link_local: Ipv6Addr,
        prefixes: &[PrefixV6],
    ) -> Result<BgpAttrItem, TooLong> {
        let mut value = afi(IpFamily::V6).to_be_bytes().to_vec();
        value.extend_from_slice(&[SAFI_UNICAST, 32]);
        value.extend_from_slice(&first.octets());
        value.extend_from_slice(&link_local.octets());
        value.push(0);
        let octets = encode_bgpitems_to(&for_codec_v6(prefixes), &mut self.room).map_err(|_| TooLong)?;
        value.extend_from_slice(self.room.get(..octets).unwrap_or_default());
        Ok(raw(attribute::OPTIONAL | attribute::EXTENDED_LENGTH, attribute::MP_REACH_NLRI, value))
    }

    /// Appends a message that withdraws these prefixes. Without any it says that the routes of the family are complete (End-of-RIB,
    /// RFC 4724 section 2).
    ///
    /// # Errors
    /// [`TooLong`] where they do not fit one message.
    pub fn withdraw(&mut self, out: &mut Vec<u8>, prefixes: Prefixes<'_>) -> Result<(), TooLong> {
        let mut update = BgpUpdateMessage::new();
        let family = match prefixes {
            Prefixes::V4(prefixes) => {
                update.withdraws = BgpAddrs::IPV4U(for_codec_v4(prefixes));
                IpFamily::V4
            }
            Prefixes::V6(prefixes) => {
                let addrs = BgpAddrs::IPV6U(for_codec_v6(prefixes));
                update.attrs.push(BgpAttrItem::MPWithdraws(BgpMPWithdraws::new(addrs)));
                IpFamily::V6
            }
        };
        if withdraw_fixed_octets(family) + prefix_octets(prefixes) > LONGEST_MESSAGE {
            return Err(TooLong);
        }
        let octets = update.encode_to(&self.session, &mut self.room).map_err(|_| TooLong)?;
        let start = begin(out);
        out.extend_from_slice(self.room.get(..octets).unwrap_or_default());
        end(out, start)
    }
}

/// Starts a message; its length is written by [`end`].
fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(&[0xff; 16]);
    out.extend_from_slice(&[0, 0, MessageKind::Update.code()]);
    start
}

fn end(out: &mut [u8], start: usize) -> Result<(), TooLong> {
    let length = out.len() - start;
    debug_assert!(length <= LONGEST_MESSAGE, "sizes are computed before");
    let length = u16::try_from(length).map_err(|_| TooLong)?.to_be_bytes();
    let place = out.get_mut(start + 16..start + 18).ok_or(TooLong)?;
    place.copy_from_slice(&length);
    Ok(())
}

fn append_length(out: &mut Vec<u8>, length: usize) -> Result<(), TooLong> {
    out.extend_from_slice(&u16::try_from(length).map_err(|_| TooLong)?.to_be_bytes());
    Ok(())
}

fn prefix_octets(prefixes: Prefixes<'_>) -> usize {
    match prefixes {
        Prefixes::V4(prefixes) => prefixes.iter().map(|prefix| prefix.octets()).sum(),
        Prefixes::V6(prefixes) => prefixes.iter().map(|prefix| prefix.octets()).sum(),
    }
}

fn for_codec_v4(prefixes: &[PrefixV4]) -> Vec<BgpAddrV4> {
    prefixes.iter().map(|prefix| BgpAddrV4::new(Ipv4Addr::from(prefix.network), prefix.length)).collect()
}

fn for_codec_v6(prefixes: &[PrefixV6]) -> Vec<BgpAddrV6> {
    prefixes.iter().map(|prefix| BgpAddrV6::new(Ipv6Addr::from(prefix.network), prefix.length)).collect()
}

/// An attribute whose value is ours. The length has two octets only where it must.
fn raw(flags: u8, code: u8, value: Vec<u8>) -> BgpAttrItem {
    let extended = if value.len() > usize::from(u8::MAX) { attribute::EXTENDED_LENGTH } else { 0 };
    let mut item = BgpAttrUnknown::new(code, flags | extended);
    item.value = value;
    BgpAttrItem::Unknown(item)
}

fn as_path(path: AsPath) -> Vec<u8> {
    match path {
        AsPath::Empty => Vec::new(),
        AsPath::Own { asn, times, width: AsWidth::Four } => sequence(&asn.to_be_bytes(), times),
        AsPath::Own { asn, times, width: AsWidth::Two } => {
            sequence(&u16::try_from(asn).unwrap_or(AS_TRANS).to_be_bytes(), times)
        }
    }
}

/// The true path, for a peer that takes numbers of two octets and where ours has four (RFC 6793 section 4.2.2).
fn as4_path(path: AsPath) -> Option<Vec<u8>> {
    match path {
        AsPath::Own { asn, times, width: AsWidth::Two } if asn > u32::from(u16::MAX) => {
            Some(sequence(&asn.to_be_bytes(), times))
        }
        AsPath::Own { .. } | AsPath::Empty => None,
    }
}

/// One AS_SEQUENCE segment of the same AS several times.
fn sequence(asn: &[u8], times: u8) -> Vec<u8> {
    let mut value = vec![AS_SEQUENCE, times];
    value.extend(core::iter::repeat_n(asn, usize::from(times)).flatten());
    value
}

#[cfg(test)]
mod tests;
