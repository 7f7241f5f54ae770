//! Frames as values: what this crate reads from a link and puts on it, octet by octet.
//!
//! Three kinds exist, all of IPv6 in Ethernet: [`Solicitation`] and [`Advertisement`] (ICMPv6, RFC 4861), and member frames
//! ([`MemberFrame`]: UDP, built by us so that they share the fate of neighbor discovery, [OWN-11]). Views of packets come from
//! `pnet_packet`; its types stay in here. Decoding accepts any octets of any length and never panics; what it refuses it names with
//! a [`DecodeError`]. Packets with extension headers are refused: neither neighbor discovery nor members send any.

mod ipv6;
mod member;
mod neighbor;
mod options;

pub use member::{EncodeError, MAX_PAYLOAD, MEMBER_GROUP, MEMBER_GROUP_MAC, MemberEncoder, MemberFrame};
pub use neighbor::{Advertisement, Octets, Solicitation};
pub use segment::member::{DEFAULT_MEMBER_PORT, MemberPort};

use std::net::Ipv6Addr;

use lbcore::link::MacAddr;
use pnet_packet::ip::IpNextHeaderProtocols;
use thiserror::Error;

use self::ipv6::Packet;

/// `ff02::1`: where what concerns everybody is sent. Source: RFC 4291 section 2.7.1.
pub const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// The hardware address of an IPv6 group: 33:33 and the group's last 32 bits. Source: RFC 2464 section 7.
pub const fn group_mac(group: Ipv6Addr) -> MacAddr {
    let [.., a, b, c, d] = group.octets();
    MacAddr::new([0x33, 0x33, a, b, c, d])
}

/// Why a frame could not be read. The order is the order in which a frame is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// It ends before its headers do.
    #[error("the frame ends before its headers do")]
    Truncated,
    /// The EtherType is not IPv6.
    #[error("the EtherType is not IPv6")]
    EtherType,
    /// The version of the IPv6 header is wrong, or its payload length is more than came.
    #[error("the IPv6 header contradicts itself or the frame")]
    Ipv6Header,
    /// The IPv6 source is a group, which nobody can be.
    #[error("the IPv6 source is a group")]
    GroupSource,
    /// What follows is neither ICMPv6 nor UDP: extension headers and fragments too (RFC 6980 section 5).
    #[error("the IPv6 payload is neither ICMPv6 nor UDP")]
    NextHeader,
    /// The hop limit is below 255: the frame was routed (RFC 4861 section 7.1.1, [OWN-11]).
    #[error("the hop limit is below 255")]
    HopLimit,
    /// The ICMPv6 checksum is wrong.
    #[error("the ICMPv6 checksum is wrong")]
    IcmpChecksum,
    /// The ICMPv6 type is neither neighbor solicitation nor neighbor advertisement, or the code is not 0.
    #[error("the ICMPv6 message is neither a neighbor solicitation nor a neighbor advertisement")]
    IcmpType,
    /// The ICMPv6 message is shorter than the fixed part of its type.
    #[error("the ICMPv6 message is shorter than its fixed part")]
    IcmpLength,
    /// The target is a group.
    #[error("the target is a group")]
    GroupTarget,
    /// An option has length zero, or runs past the end (RFC 4861 section 4.6).
    #[error("an option has length zero or runs past the end")]
    Option,
    /// A probe (a solicitation from the unspecified address) that is not sent to a solicited-node group, or that gives a hardware
    /// address (RFC 4861 section 7.1.1).
    #[error("a solicitation from :: is not sent to a solicited-node group or gives a hardware address")]
    ProbeForm,
    /// An advertisement to a group that calls itself solicited (RFC 4861 section 7.1.2).
    #[error("an advertisement to a group calls itself solicited")]
    SolicitedGroup,
    /// The IPv6 destination is not the members' group.
    #[error("the IPv6 destination is not the members' group")]
    NotMemberGroup,
    /// The UDP destination is not the members' port.
    #[error("the UDP destination is not the members' port")]
    OtherPort,
    /// The UDP length contradicts the IPv6 length.
    #[error("the UDP length contradicts the IPv6 length")]
    UdpLength,
    /// The UDP checksum is wrong or absent, which IPv6 does not allow.
    #[error("the UDP checksum is wrong or absent")]
    UdpChecksum,
}

/// A frame that this crate understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Who has an address?
    Solicitation(Solicitation),
    /// Somebody has an address.
    Advertisement(Advertisement),
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
        let packet = Packet::decode(octets)?;
        match packet.next_header {
            IpNextHeaderProtocols::Icmpv6 => neighbor::decode(&packet),
            IpNextHeaderProtocols::Udp => MemberFrame::decode_packet(&packet, port).map(Frame::Member),
            _ => Err(DecodeError::NextHeader),
        }
    }
}

#[cfg(test)]
mod tests;
