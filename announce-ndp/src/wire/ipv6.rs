//! IPv6 in Ethernet, as much as neighbor discovery and member frames need (RFC 8200, RFC 2464).

use std::net::Ipv6Addr;

use lbcore::link::MacAddr;
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};
use pnet_packet::ip::IpNextHeaderProtocol;
use pnet_packet::ipv6::{Ipv6Packet, MutableIpv6Packet};
use segment::member::HOP_LIMIT;

use super::DecodeError;

/// Octets before the IPv6 payload: 14 of Ethernet, 40 of IPv6.
pub(super) const HEADERS_LENGTH: usize = ETHERNET_HEADER_LENGTH + IPV6_HEADER_LENGTH;

const ETHERNET_HEADER_LENGTH: usize = 14;
pub(super) const IPV6_HEADER_LENGTH: usize = 40;

/// A packet that was read, without its headers.
pub(super) struct Packet<'a> {
    pub(super) destination_mac: MacAddr,
    pub(super) source_mac: MacAddr,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) next_header: IpNextHeaderProtocol,
    pub(super) hop_limit: u8,
    /// As long as the header says.
    pub(super) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    pub(super) fn decode(octets: &'a [u8]) -> Result<Self, DecodeError> {
        let ethernet = EthernetPacket::new(octets).ok_or(DecodeError::Truncated)?;
        if ethernet.get_ethertype() != EtherTypes::Ipv6 {
            return Err(DecodeError::EtherType);
        }
        let packet = octets.get(ETHERNET_HEADER_LENGTH..).ok_or(DecodeError::Truncated)?;
        let header = Ipv6Packet::new(packet).ok_or(DecodeError::Truncated)?;
        if header.get_version() != 6 {
            return Err(DecodeError::Ipv6Header);
        }
        let end = IPV6_HEADER_LENGTH + usize::from(header.get_payload_length());
        let payload = packet.get(IPV6_HEADER_LENGTH..end).ok_or(DecodeError::Ipv6Header)?;
        let source = header.get_source();
        if source.is_multicast() {
            return Err(DecodeError::GroupSource);
        }
        Ok(Self {
            destination_mac: MacAddr::new(ethernet.get_destination().octets()),
            source_mac: MacAddr::new(ethernet.get_source().octets()),
            source,
            destination: header.get_destination(),
            next_header: header.get_next_header(),
            hop_limit: header.get_hop_limit(),
            payload,
        })
    }

    /// Nothing that came through a router counts.
    pub(super) const fn check_hop_limit(&self) -> Result<(), DecodeError> {
        if self.hop_limit == HOP_LIMIT { Ok(()) } else { Err(DecodeError::HopLimit) }
    }
}

/// The headers of a packet to send.
#[derive(Clone, Copy)]
pub(super) struct Headers {
    pub(super) destination_mac: MacAddr,
    pub(super) source_mac: MacAddr,
    pub(super) source: Ipv6Addr,
    pub(super) destination: Ipv6Addr,
    pub(super) next_header: IpNextHeaderProtocol,
    pub(super) traffic_class: u8,
    pub(super) payload_length: u16,
}

impl Headers {
    /// Writes them into the first [`HEADERS_LENGTH`] octets; a shorter slice stays as it is.
    pub(super) fn encode(&self, octets: &mut [u8]) {
        let Some((ethernet, packet)) = octets.split_at_mut_checked(ETHERNET_HEADER_LENGTH) else { return };
        if let Some(mut header) = MutableEthernetPacket::new(ethernet) {
            header.set_destination(self.destination_mac.octets().into());
            header.set_source(self.source_mac.octets().into());
            header.set_ethertype(EtherTypes::Ipv6);
        }
        if let Some(mut header) = MutableIpv6Packet::new(packet) {
            header.set_version(6);
            header.set_traffic_class(self.traffic_class);
            header.set_payload_length(self.payload_length);
            header.set_next_header(self.next_header);
            header.set_hop_limit(HOP_LIMIT);
            header.set_source(self.source);
            header.set_destination(self.destination);
        }
    }
}
