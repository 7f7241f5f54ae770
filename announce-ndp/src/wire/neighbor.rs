//! Neighbor solicitations and advertisements on Ethernet (RFC 4861 sections 4.3 and 4.4), with the forms of RFC 4862 (probe) and of
//! unsolicited announcements.

use std::net::Ipv6Addr;

use lbcore::link::MacAddr;
use pnet_packet::icmpv6::{Icmpv6Packet, checksum};
use pnet_packet::ip::IpNextHeaderProtocols;

use super::ipv6::{HEADERS_LENGTH, Headers, Packet};
use super::options::{self, SOURCE_LINK_LAYER, TARGET_LINK_LAYER};
use super::{ALL_NODES, DecodeError, Frame, group_mac};
use crate::multicast::{is_solicited_node, solicited_node};

const TYPE_SOLICITATION: u8 = 135;
const TYPE_ADVERTISEMENT: u8 = 136;
const FLAG_ROUTER: u8 = 0x80;
const FLAG_SOLICITED: u8 = 0x40;
const FLAG_OVERRIDE: u8 = 0x20;
/// Type, code, checksum, flags or reserved, target.
const FIXED_LENGTH: usize = 24;
/// An option with an Ethernet address.
const OPTION_LENGTH: usize = 8;
const LONGEST: usize = HEADERS_LENGTH + FIXED_LENGTH + OPTION_LENGTH;

/// A frame as octets, before the padding that the link adds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Octets {
    octets: [u8; LONGEST],
    length: usize,
}

impl AsRef<[u8]> for Octets {
    fn as_ref(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

/// Who has the target address? With the headers around it.
///
/// Source: RFC 4861 section 4.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Solicitation {
    /// Ethernet destination.
    pub destination_mac: MacAddr,
    /// Ethernet source.
    pub source_mac: MacAddr,
    /// Who asks; unspecified in a probe.
    pub source: Ipv6Addr,
    /// The target's solicited-node group, or the target itself where its neighbor entry is confirmed.
    pub destination: Ipv6Addr,
    /// The address asked for.
    pub target: Ipv6Addr,
    /// The asker's hardware address; absent in a probe, and it may be where the destination is no group.
    pub source_link_layer: Option<MacAddr>,
}

impl Solicitation {
    /// Asks the whole segment who holds `address`, without saying that we do: the form of duplicate address detection.
    ///
    /// Source: RFC 4862 section 5.4.2; [OWN-31].
    pub const fn probe(mac: MacAddr, address: Ipv6Addr) -> Self {
        let group = solicited_node(address);
        Self {
            destination_mac: group_mac(group),
            source_mac: mac,
            source: Ipv6Addr::UNSPECIFIED,
            destination: group,
            target: address,
            source_link_layer: None,
        }
    }

    /// Asks one host for its own address, to learn whether it can be heard ([OWN-33]); `source` is the link's link-local address.
    ///
    /// Source: RFC 4861 section 7.3.3.
    pub const fn probe_of_neighbor(mac: MacAddr, source: Ipv6Addr, neighbor: MacAddr, address: Ipv6Addr) -> Self {
        Self {
            destination_mac: neighbor,
            source_mac: mac,
            source,
            destination: address,
            target: address,
            source_link_layer: Some(mac),
        }
    }

    /// Whether it asks for duplicates: the asker has no address yet.
    pub const fn is_probe(&self) -> bool {
        self.source.is_unspecified()
    }

    /// The hardware address to answer to: the one it gives, else where it came from.
    pub fn asker(&self) -> MacAddr {
        self.source_link_layer.unwrap_or(self.source_mac)
    }

    /// The frame.
    pub fn encode(&self) -> Octets {
        let message = Message {
            kind: TYPE_SOLICITATION,
            flags: 0,
            target: self.target,
            option: self.source_link_layer.map(|mac| (SOURCE_LINK_LAYER, mac)),
        };
        message.encode(self.destination_mac, self.source_mac, self.source, self.destination)
    }
}

/// Somebody has the target address, with the headers around it.
///
/// Source: RFC 4861 section 4.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Advertisement {
    /// Ethernet destination.
    pub destination_mac: MacAddr,
    /// Ethernet source.
    pub source_mac: MacAddr,
    /// Who says so.
    pub source: Ipv6Addr,
    /// Who is told.
    pub destination: Ipv6Addr,
    /// Whether the sender is a router.
    pub is_router: bool,
    /// Whether it answers a solicitation of the destination.
    pub is_solicited: bool,
    /// Whether a hardware address that is known already is to be replaced.
    pub is_override: bool,
    /// The address.
    pub target: Ipv6Addr,
    /// The hardware address that goes with it.
    pub target_link_layer: Option<MacAddr>,
}

impl Advertisement {
    /// The answer to `solicitation` from a link whose hardware address is `mac`: to the asker alone and solicited; to all nodes and
    /// not solicited where it was a probe. Override is set: the owner of an address is the only one to answer for it ([L2-66]). It is
    /// sent from the address itself.
    ///
    /// Source: RFC 4861 section 7.2.4; [L2-63], [L2-64].
    pub fn answer_to(solicitation: &Solicitation, mac: MacAddr) -> Self {
        let unsolicited = Self::unsolicited(mac, solicitation.target);
        if solicitation.is_probe() {
            return unsolicited;
        }
        Self {
            destination_mac: solicitation.asker(),
            destination: solicitation.source,
            is_solicited: true,
            ..unsolicited
        }
    }

    /// Tells all nodes unasked. With Override clear the old entry would merely become stale; with Solicited set Linux passes it over.
    ///
    /// Source: RFC 4861 section 7.2.6; [L2-83].
    pub const fn unsolicited(mac: MacAddr, address: Ipv6Addr) -> Self {
        Self {
            destination_mac: group_mac(ALL_NODES),
            source_mac: mac,
            source: address,
            destination: ALL_NODES,
            is_router: false,
            is_solicited: false,
            is_override: true,
            target: address,
            target_link_layer: Some(mac),
        }
    }

    /// The frame.
    pub fn encode(&self) -> Octets {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        let message = Message {
            kind: TYPE_ADVERTISEMENT,
            flags: flag(self.is_router, FLAG_ROUTER)
                | flag(self.is_solicited, FLAG_SOLICITED)
                | flag(self.is_override, FLAG_OVERRIDE),
            target: self.target,
            option: self.target_link_layer.map(|mac| (TARGET_LINK_LAYER, mac)),
        };
        message.encode(self.destination_mac, self.source_mac, self.source, self.destination)
    }
}

/// What both messages are made of.
struct Message {
    kind: u8,
    flags: u8,
    target: Ipv6Addr,
    option: Option<(u8, MacAddr)>,
}

impl Message {
    fn encode(&self, destination_mac: MacAddr, source_mac: MacAddr, source: Ipv6Addr, destination: Ipv6Addr) -> Octets {
        let mut octets = [0; LONGEST];
        let option_length = if self.option.is_some() { OPTION_LENGTH } else { 0 };
        let length = HEADERS_LENGTH + FIXED_LENGTH + option_length;
        let headers = Headers {
            destination_mac,
            source_mac,
            source,
            destination,
            next_header: IpNextHeaderProtocols::Icmpv6,
            traffic_class: 0,
            payload_length: u16::try_from(length - HEADERS_LENGTH).unwrap_or_default(),
        };
        headers.encode(&mut octets);
        if let Some(message) = octets.get_mut(HEADERS_LENGTH..length) {
            self.write(message);
            let sum = Icmpv6Packet::new(message).map_or(0, |packet| checksum(&packet, &source, &destination));
            if let Some(field) = message.get_mut(2..4) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
        }
        Octets { octets, length }
    }

    fn write(&self, message: &mut [u8]) {
        let head = [self.kind, 0, 0, 0, self.flags, 0, 0, 0];
        let target = self.target.octets();
        let (kind, mac) = self.option.unwrap_or((0, MacAddr::ZERO));
        let option = [kind, 1];
        let parts = head.iter().chain(&target).chain(&option).copied().chain(mac.octets());
        for (place, octet) in message.iter_mut().zip(parts) {
            *place = octet;
        }
    }
}

/// Reads the ICMPv6 message of a packet; every check of RFC 4861 sections 7.1.1 and 7.1.2.
pub(super) fn decode<'a>(packet: &Packet<'_>) -> Result<Frame<'a>, DecodeError> {
    packet.check_hop_limit()?;
    let header = Icmpv6Packet::new(packet.payload).ok_or(DecodeError::IcmpLength)?;
    if checksum(&header, &packet.source, &packet.destination) != header.get_checksum() {
        return Err(DecodeError::IcmpChecksum);
    }
    let (kind, code) = (header.get_icmpv6_type().0, header.get_icmpv6_code().0);
    if !matches!((kind, code), (TYPE_SOLICITATION | TYPE_ADVERTISEMENT, 0)) {
        return Err(DecodeError::IcmpType);
    }
    let (fixed, options) = packet.payload.split_first_chunk::<FIXED_LENGTH>().ok_or(DecodeError::IcmpLength)?;
    let [_, _, _, _, flags, _, _, _, target @ ..] = *fixed;
    let target = Ipv6Addr::from(target);
    if target.is_multicast() {
        return Err(DecodeError::GroupTarget);
    }
    if kind == TYPE_SOLICITATION {
        solicitation(packet, target, options).map(Frame::Solicitation)
    } else {
        advertisement(packet, flags, target, options).map(Frame::Advertisement)
    }
}

fn solicitation(packet: &Packet<'_>, target: Ipv6Addr, options: &[u8]) -> Result<Solicitation, DecodeError> {
    let solicitation = Solicitation {
        destination_mac: packet.destination_mac,
        source_mac: packet.source_mac,
        source: packet.source,
        destination: packet.destination,
        target,
        source_link_layer: options::link_layer_address(options, SOURCE_LINK_LAYER)?,
    };
    let is_formless = !is_solicited_node(packet.destination) || solicitation.source_link_layer.is_some();
    if solicitation.is_probe() && is_formless {
        return Err(DecodeError::ProbeForm);
    }
    Ok(solicitation)
}

fn advertisement(
    packet: &Packet<'_>,
    flags: u8,
    target: Ipv6Addr,
    options: &[u8],
) -> Result<Advertisement, DecodeError> {
    let advertisement = Advertisement {
        destination_mac: packet.destination_mac,
        source_mac: packet.source_mac,
        source: packet.source,
        destination: packet.destination,
        is_router: flags & FLAG_ROUTER != 0,
        is_solicited: flags & FLAG_SOLICITED != 0,
        is_override: flags & FLAG_OVERRIDE != 0,
        target,
        target_link_layer: options::link_layer_address(options, TARGET_LINK_LAYER)?,
    };
    if advertisement.is_solicited && packet.destination.is_multicast() {
        return Err(DecodeError::SolicitedGroup);
    }
    Ok(advertisement)
}
