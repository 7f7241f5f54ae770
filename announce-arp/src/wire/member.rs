//! Member frames: UDP in IPv4 in Ethernet, all of it built and read by us ([OWN-11]).
//!
//! They go through the packet socket, never through the host's IP stack, so that a host firewall can neither hide them nor keep
//! them alive where ARP is dead. The IPv4 destination is the members' group also where the Ethernet destination is broadcast
//! or one member: no kernel has joined the group, so none answers with an ICMP error. The hop limit is 255 and checked: what was
//! routed does not count as hearing.

use std::net::Ipv4Addr;

use lbcore::link::MacAddr;
use lbcore::ownership::Destination;
use pnet_packet::ethernet::{EtherTypes, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::ipv4::{self, Ipv4Flags, Ipv4Packet, MutableIpv4Packet};
use pnet_packet::udp::{self, MutableUdpPacket, UdpPacket};
use segment::member::{HOP_LIMIT, MemberPort};
use thiserror::Error;

use super::{DecodeError, ETHERNET_HEADER_LENGTH};

/// The members' group, an experimental value of the local network control block, which no router forwards ([OWN-11]).
pub const MEMBER_GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 254);

/// The hardware address of [`MEMBER_GROUP`]. Source: RFC 1112 section 6.4.
pub const MEMBER_GROUP_MAC: MacAddr = MacAddr::new([0x01, 0x00, 0x5e, 0x00, 0x00, 0xfe]);

/// Octets that a member frame may carry: what fits an Ethernet of 1,500 octets. Claim frames keep below 1,200 ([OWN-13]).
pub const MAX_PAYLOAD: usize = 1500 - IPV4_HEADER_LENGTH - UDP_HEADER_LENGTH;

const IPV4_HEADER_LENGTH: usize = 20;
const UDP_HEADER_LENGTH: usize = 8;

/// A member frame that was read: its payload is for [`lbcore::ownership::Hub::handle_member_frame`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberFrame<'a> {
    /// Ethernet source.
    pub source: MacAddr,
    /// The UDP payload, any octets, may be empty.
    pub payload: &'a [u8],
}

impl<'a> MemberFrame<'a> {
    /// Reads an IPv4 packet. Options are passed over; fragments are refused, since members send none.
    pub(super) fn decode_packet(source: MacAddr, packet: &'a [u8], port: MemberPort) -> Result<Self, DecodeError> {
        let header = Ipv4Packet::new(packet).ok_or(DecodeError::Truncated)?;
        let header_length = usize::from(header.get_header_length()) * 4;
        let total_length = usize::from(header.get_total_length());
        if header.get_version() != 4 || header_length < IPV4_HEADER_LENGTH {
            return Err(DecodeError::Ipv4Header);
        }
        let datagram = packet.get(header_length..total_length).ok_or(DecodeError::Ipv4Header)?;
        if ipv4::checksum(&header) != header.get_checksum() {
            return Err(DecodeError::Ipv4Checksum);
        }
        if header.get_flags() & Ipv4Flags::MoreFragments != 0 || header.get_fragment_offset() != 0 {
            return Err(DecodeError::Ipv4Fragment);
        }
        if header.get_next_level_protocol() != IpNextHeaderProtocols::Udp {
            return Err(DecodeError::NotUdp);
        }
        if header.get_destination() != MEMBER_GROUP {
            return Err(DecodeError::NotMemberGroup);
        }
        if header.get_ttl() != HOP_LIMIT {
            return Err(DecodeError::HopLimit);
        }
        let payload = read_udp(datagram, header.get_source(), port)?;
        Ok(Self { source, payload })
    }
}

fn read_udp(datagram: &[u8], source: Ipv4Addr, port: MemberPort) -> Result<&[u8], DecodeError> {
    let header = UdpPacket::new(datagram).ok_or(DecodeError::Truncated)?;
    if header.get_destination() != port.get() {
        return Err(DecodeError::OtherPort);
    }
    let exact = datagram.get(..usize::from(header.get_length())).ok_or(DecodeError::UdpLength)?;
    let payload = exact.get(UDP_HEADER_LENGTH..).ok_or(DecodeError::UdpLength)?;
    if header.get_checksum() == 0 || udp_checksum(exact, source) != Some(header.get_checksum()) {
        return Err(DecodeError::UdpChecksum);
    }
    Ok(payload)
}

/// The checksum of a datagram to the group; a sum of zero is sent as all ones (RFC 768). `None` where it has no whole header.
fn udp_checksum(datagram: &[u8], source: Ipv4Addr) -> Option<u16> {
    let sum = udp::ipv4_checksum(&UdpPacket::new(datagram)?, &source, &MEMBER_GROUP);
    Some(if sum == 0 { u16::MAX } else { sum })
}

/// A payload that no member frame can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a member frame carries at most {MAX_PAYLOAD} octets, this payload has {length}")]
pub struct EncodeError {
    /// Octets of the payload.
    pub length: usize,
}

/// Builds the member frames of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberEncoder {
    /// Ethernet source: the link's hardware address.
    pub mac: MacAddr,
    /// IPv4 source. Receivers do not look at it; see [`MemberEncoder::source_for`].
    pub address: Ipv4Addr,
    /// UDP source and destination.
    pub port: MemberPort,
}

impl MemberEncoder {
    /// The IPv4 source for a link: its own address where it has one, else one of 169.254.0.0/16 derived from the hardware address.
    ///
    /// The link's own address passes where switches and clouds check the source of IPv4 (DHCP snooping, port security); dropped
    /// there, members would not hear each other although ARP works. 0.0.0.0 is for hosts that ask for an address (RFC 1122
    /// section 3.2.1.3) and is dropped by some switches. A link without an address (a VLAN, [L2-23]) needs some source
    /// nevertheless.
    pub fn source_for(mac: MacAddr, own: Option<Ipv4Addr>) -> Ipv4Addr {
        own.unwrap_or_else(|| {
            let [.., high, low] = mac.octets();
            // RFC 3927 section 2.1 keeps the first and last 256 addresses of the block back.
            Ipv4Addr::new(169, 254, high.clamp(1, 254), low)
        })
    }

    /// Writes the frame into `frame`, replacing what it held.
    ///
    /// # Errors
    /// [`EncodeError`] for a payload of more than [`MAX_PAYLOAD`] octets; `frame` is then unchanged.
    pub fn encode(&self, to: Destination, payload: &[u8], frame: &mut Vec<u8>) -> Result<(), EncodeError> {
        let fail = EncodeError { length: payload.len() };
        if payload.len() > MAX_PAYLOAD {
            return Err(fail);
        }
        let datagram_length = u16::try_from(UDP_HEADER_LENGTH + payload.len()).map_err(|_| fail)?;
        frame.clear();
        frame.resize(ETHERNET_HEADER_LENGTH + IPV4_HEADER_LENGTH + UDP_HEADER_LENGTH, 0);
        frame.extend_from_slice(payload);
        let (ethernet, packet) = frame.split_at_mut(ETHERNET_HEADER_LENGTH);
        let (header, datagram) = packet.split_at_mut(IPV4_HEADER_LENGTH);
        self.write_udp(datagram, datagram_length);
        self.write_ipv4(header, datagram_length);
        self.write_ethernet(ethernet, to);
        Ok(())
    }

    fn write_udp(&self, datagram: &mut [u8], length: u16) {
        if let Some(mut header) = MutableUdpPacket::new(datagram) {
            header.set_source(self.port.get());
            header.set_destination(self.port.get());
            header.set_length(length);
        }
        let checksum = udp_checksum(datagram, self.address).unwrap_or_default();
        if let Some(mut header) = MutableUdpPacket::new(datagram) {
            header.set_checksum(checksum);
        }
    }

    fn write_ipv4(&self, octets: &mut [u8], datagram_length: u16) {
        let Some(mut header) = MutableIpv4Packet::new(octets) else { return };
        header.set_version(4);
        header.set_header_length(5);
        // Network control, as routing protocols mark theirs: a busy switch drops heartbeats last (RFC 4594 section 3.2).
        header.set_dscp(48);
        header.set_total_length(datagram_length.saturating_add(20));
        header.set_flags(Ipv4Flags::DontFragment);
        header.set_ttl(HOP_LIMIT);
        header.set_next_level_protocol(IpNextHeaderProtocols::Udp);
        header.set_source(self.address);
        header.set_destination(MEMBER_GROUP);
        let checksum = ipv4::checksum(&header.to_immutable());
        header.set_checksum(checksum);
    }

    fn write_ethernet(&self, octets: &mut [u8], to: Destination) {
        let destination = match to {
            Destination::Group => MEMBER_GROUP_MAC,
            Destination::Broadcast => MacAddr::BROADCAST,
            Destination::Unicast(mac) => mac,
        };
        if let Some(mut header) = MutableEthernetPacket::new(octets) {
            header.set_destination(destination.octets().into());
            header.set_source(self.mac.octets().into());
            header.set_ethertype(EtherTypes::Ipv4);
        }
    }
}
