//! Frames as values: what this crate reads from a link and puts on it, octet by octet.
//!
//! Two kinds exist: ARP in Ethernet ([`ArpFrame`], RFC 826) and member frames ([`MemberFrame`]: UDP in IPv4 in Ethernet, built
//! by us so that they share the fate of ARP, [OWN-11]). Views of packets come from `pnet_packet`; its types stay in here.
//! Decoding accepts any octets of any length and never panics; what it refuses it names with a [`DecodeError`].

mod arp;
mod member;

pub use arp::{ARP_FRAME_LENGTH, ArpFrame, Operation};
pub use member::{EncodeError, MAX_PAYLOAD, MEMBER_GROUP, MEMBER_GROUP_MAC, MemberEncoder, MemberFrame};
pub use segment::member::{DEFAULT_MEMBER_PORT, MemberPort};

use lbcore::link::MacAddr;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket};
use thiserror::Error;

/// Length of the Ethernet header: two addresses and the EtherType.
pub(crate) const ETHERNET_HEADER_LENGTH: usize = 14;

/// Why a frame could not be read. The order is the order in which a frame is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It ends before its headers do.
    #[error("the frame ends before its headers do")]
    Truncated,
    /// The EtherType is neither ARP nor IPv4.
    #[error("the EtherType is neither ARP nor IPv4")]
    EtherType,
    /// Hardware type, protocol type or address lengths are not those of IPv4 on Ethernet.
    #[error("the ARP packet is not about IPv4 on Ethernet")]
    ArpFormat,
    /// The ARP operation is neither request nor reply.
    #[error("the ARP operation is neither request nor reply")]
    ArpOperation,
    /// Version or header length of the IPv4 header is wrong, or its total length is more than came or less than its header.
    #[error("the IPv4 header contradicts itself or the frame")]
    Ipv4Header,
    /// The IPv4 header's checksum is wrong.
    #[error("the IPv4 header checksum is wrong")]
    Ipv4Checksum,
    /// It is a fragment; members send none.
    #[error("the IPv4 packet is a fragment")]
    Ipv4Fragment,
    /// It is not UDP.
    #[error("the IPv4 packet is not UDP")]
    NotUdp,
    /// The IPv4 destination is not the members' group.
    #[error("the IPv4 destination is not the members' group")]
    NotMemberGroup,
    /// The UDP destination is not the members' port.
    #[error("the UDP destination is not the members' port")]
    OtherPort,
    /// The hop limit is below 255: the frame was routed ([OWN-11]).
    #[error("the hop limit is below 255")]
    HopLimit,
    /// The UDP length contradicts the IPv4 length.
    #[error("the UDP length contradicts the IPv4 length")]
    UdpLength,
    /// The UDP checksum is wrong or absent; members always send one.
    #[error("the UDP checksum is wrong or absent")]
    UdpChecksum,
}

/// A frame that this crate understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// ARP.
    Arp(ArpFrame),
    /// Between members.
    Member(MemberFrame<'a>),
}

impl<'a> Frame<'a> {
    /// Reads an Ethernet frame as a packet socket hands it over: from the destination address on, without checksum. Octets
    /// behind the packet (padding) are passed over.
    ///
    /// # Errors
    /// The first [`DecodeError`] found.
    pub fn decode(octets: &'a [u8], port: MemberPort) -> Result<Self, DecodeError> {
        let ethernet = EthernetPacket::new(octets).ok_or(DecodeError::Truncated)?;
        match ethernet.get_ethertype() {
            EtherTypes::Arp => ArpFrame::decode_payload(&ethernet).map(Frame::Arp),
            EtherTypes::Ipv4 => {
                let source = MacAddr::new(ethernet.get_source().octets());
                let packet = octets.get(ETHERNET_HEADER_LENGTH..).ok_or(DecodeError::Truncated)?;
                MemberFrame::decode_packet(source, packet, port).map(Frame::Member)
            }
            _ => Err(DecodeError::EtherType),
        }
    }
}

#[cfg(test)]
mod tests;
