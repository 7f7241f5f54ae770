//! Member frames: UDP in IPv6 in Ethernet, all of it built and read by us ([OWN-11]).
//!
//! They go through the packet socket, never through the host's IP stack, so that a host firewall can neither hide them nor keep
//! them alive where neighbor discovery is dead. The IPv6 destination is the members' group also where the Ethernet destination is
//! broadcast or one member: no kernel answers what is sent to a group with an ICMPv6 error (RFC 4443 section 2.4). The hop limit is
//! 255 and checked: what was routed does not count as hearing.

use std::net::Ipv6Addr;

use lbcore::link::MacAddr;
use lbcore::ownership::Destination;
use pnet_packet::ip::IpNextHeaderProtocols;
use pnet_packet::udp::{self, MutableUdpPacket, UdpPacket};
use segment::member::{MemberPort, TRAFFIC_CLASS};
use thiserror::Error;

use super::ipv6::{HEADERS_LENGTH, Headers, IPV6_HEADER_LENGTH, Packet};
use super::{DecodeError, group_mac};

/// The members' group, an experimental value of link-local scope, which no router forwards ([OWN-11]).
pub const MEMBER_GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x114);

/// The hardware address of [`MEMBER_GROUP`].
pub const MEMBER_GROUP_MAC: MacAddr = group_mac(MEMBER_GROUP);

/// Octets that a member frame may carry: what fits an Ethernet of 1,500 octets. Claim frames keep below 1,200 ([OWN-13]).
pub const MAX_PAYLOAD: usize = 1500 - IPV6_HEADER_LENGTH - UDP_HEADER_LENGTH;

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
    pub(super) fn decode_packet(packet: &Packet<'a>, port: MemberPort) -> Result<Self, DecodeError> {
        packet.check_hop_limit()?;
        if packet.destination != MEMBER_GROUP {
            return Err(DecodeError::NotMemberGroup);
        }
        let payload = read_udp(packet.payload, packet.source, port)?;
        Ok(Self { source: packet.source_mac, payload })
    }
}

fn read_udp(datagram: &[u8], source: Ipv6Addr, port: MemberPort) -> Result<&[u8], DecodeError> {
    let header = UdpPacket::new(datagram).ok_or(DecodeError::UdpLength)?;
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
fn udp_checksum(datagram: &[u8], source: Ipv6Addr) -> Option<u16> {
    let sum = udp::ipv6_checksum(&UdpPacket::new(datagram)?, &source, &MEMBER_GROUP);
    Some(if sum == 0 { u16::MAX } else { sum })
}

/// A payload that does not fit a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a member frame carries at most {MAX_PAYLOAD} octets, not {length}")]
pub struct EncodeError {
    /// Octets of the payload.
    pub length: usize,
}

/// Builds the member frames of one link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberEncoder {
    /// Ethernet source: the link's hardware address.
    pub mac: MacAddr,
    /// IPv6 source: the link's link-local address. Receivers do not look at it.
    pub address: Ipv6Addr,
    /// UDP source and destination.
    pub port: MemberPort,
}

impl MemberEncoder {
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
        frame.resize(HEADERS_LENGTH + UDP_HEADER_LENGTH, 0);
        frame.extend_from_slice(payload);
        let headers = Headers {
            destination_mac: match to {
                Destination::Group => MEMBER_GROUP_MAC,
                Destination::Broadcast => MacAddr::BROADCAST,
                Destination::Unicast(mac) => mac,
            },
            source_mac: self.mac,
            source: self.address,
            destination: MEMBER_GROUP,
            next_header: IpNextHeaderProtocols::Udp,
            traffic_class: TRAFFIC_CLASS,
            payload_length: datagram_length,
        };
        headers.encode(frame);
        if let Some(datagram) = frame.get_mut(HEADERS_LENGTH..) {
            self.write_udp(datagram, datagram_length);
        }
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
}
