//! ARP for IPv4 on Ethernet: RFC 826, with the forms of RFC 5227 (probe) and of gratuitous announcements.

use std::net::Ipv4Addr;

use lbcore::link::MacAddr;
use pnet_packet::Packet;
use pnet_packet::arp::{ArpHardwareTypes, ArpOperations, ArpPacket, MutableArpPacket};
use pnet_packet::ethernet::{EtherTypes, EthernetPacket, MutableEthernetPacket};

use super::{DecodeError, ETHERNET_HEADER_LENGTH};

/// Octets of an ARP frame on Ethernet before padding: 14 of Ethernet, 28 of ARP.
pub const ARP_FRAME_LENGTH: usize = ETHERNET_HEADER_LENGTH + 28;

const MAC_LENGTH: u8 = 6;
const IPV4_LENGTH: u8 = 4;

/// What an ARP packet does. Source: RFC 826 (`ar$op`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// 1: who has the target address?
    Request,
    /// 2: the sender has the sender address.
    Reply,
}

/// An ARP packet with the Ethernet header around it.
///
/// Source: RFC 826.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ArpFrame {
    /// Ethernet destination.
    pub destination: MacAddr,
    /// Ethernet source.
    pub source: MacAddr,
    /// Request or reply.
    pub operation: Operation,
    /// Hardware address of the sender (`ar$sha`).
    pub sender_mac: MacAddr,
    /// Protocol address of the sender (`ar$spa`); 0.0.0.0 in a probe.
    pub sender_address: Ipv4Addr,
    /// Hardware address of the target (`ar$tha`); without meaning in a request.
    pub target_mac: MacAddr,
    /// Protocol address of the target (`ar$tpa`).
    pub target_address: Ipv4Addr,
}

impl ArpFrame {
    /// The answer to `request` from a link whose hardware address is `mac`: unicast, to the hardware address in the ARP body.
    ///
    /// Source: RFC 826; [L2-43].
    pub const fn reply_to(request: &Self, mac: MacAddr) -> Self {
        Self {
            destination: request.sender_mac,
            source: mac,
            operation: Operation::Reply,
            sender_mac: mac,
            sender_address: request.target_address,
            target_mac: request.sender_mac,
            target_address: request.sender_address,
        }
    }

    /// Asks the whole segment who holds `address`, without saying that we do: the sender address is unspecified.
    ///
    /// Source: RFC 5227 section 2.1.1; [OWN-31].
    pub const fn probe(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self {
            destination: MacAddr::BROADCAST,
            source: mac,
            operation: Operation::Request,
            sender_mac: mac,
            sender_address: Ipv4Addr::UNSPECIFIED,
            target_mac: MacAddr::ZERO,
            target_address: address,
        }
    }

    /// The same question to one host alone, to learn whether it can be heard ([OWN-33]).
    pub const fn probe_of_neighbor(mac: MacAddr, neighbor: MacAddr, address: Ipv4Addr) -> Self {
        Self { destination: neighbor, ..Self::probe(mac, address) }
    }

    /// The first of a gratuitous pair: a broadcast request whose sender and target address are `address`.
    ///
    /// Source: RFC 5227 section 2.3; [L2-82]; the first frame of VEC-31.
    pub const fn gratuitous_request(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self {
            destination: MacAddr::BROADCAST,
            source: mac,
            operation: Operation::Request,
            sender_mac: mac,
            sender_address: address,
            target_mac: MacAddr::BROADCAST,
            target_address: address,
        }
    }

    /// The second of a gratuitous pair: a broadcast reply whose target hardware address equals its sender's.
    ///
    /// With the all-ones target of [L2-82] Linux does not count the reply as gratuitous and passes it over for one second
    /// after the neighbour entry last changed, which is when it matters.
    pub const fn gratuitous_reply(mac: MacAddr, address: Ipv4Addr) -> Self {
        Self { operation: Operation::Reply, target_mac: mac, ..Self::gratuitous_request(mac, address) }
    }

    /// The octets on the wire, before the padding that the link adds.
    pub fn encode(&self) -> [u8; ARP_FRAME_LENGTH] {
        let mut octets = [0; ARP_FRAME_LENGTH];
        let (header, body) = octets.split_at_mut(ETHERNET_HEADER_LENGTH);
        if let Some(mut ethernet) = MutableEthernetPacket::new(header) {
            ethernet.set_destination(self.destination.octets().into());
            ethernet.set_source(self.source.octets().into());
            ethernet.set_ethertype(EtherTypes::Arp);
        }
        if let Some(mut arp) = MutableArpPacket::new(body) {
            arp.set_hardware_type(ArpHardwareTypes::Ethernet);
            arp.set_protocol_type(EtherTypes::Ipv4);
            arp.set_hw_addr_len(MAC_LENGTH);
            arp.set_proto_addr_len(IPV4_LENGTH);
            arp.set_operation(match self.operation {
                Operation::Request => ArpOperations::Request,
                Operation::Reply => ArpOperations::Reply,
            });
            arp.set_sender_hw_addr(self.sender_mac.octets().into());
            arp.set_sender_proto_addr(self.sender_address);
            arp.set_target_hw_addr(self.target_mac.octets().into());
            arp.set_target_proto_addr(self.target_address);
        }
        octets
    }

    pub(super) fn decode_payload(ethernet: &EthernetPacket<'_>) -> Result<Self, DecodeError> {
        let arp = ArpPacket::new(ethernet.payload()).ok_or(DecodeError::Truncated)?;
        if arp.get_hardware_type() != ArpHardwareTypes::Ethernet
            || arp.get_protocol_type() != EtherTypes::Ipv4
            || arp.get_hw_addr_len() != MAC_LENGTH
            || arp.get_proto_addr_len() != IPV4_LENGTH
        {
            return Err(DecodeError::ArpFormat);
        }
        let operation = match arp.get_operation() {
            ArpOperations::Request => Operation::Request,
            ArpOperations::Reply => Operation::Reply,
            _ => return Err(DecodeError::ArpOperation),
        };
        Ok(Self {
            destination: MacAddr::new(ethernet.get_destination().octets()),
            source: MacAddr::new(ethernet.get_source().octets()),
            operation,
            sender_mac: MacAddr::new(arp.get_sender_hw_addr().octets()),
            sender_address: arp.get_sender_proto_addr(),
            target_mac: MacAddr::new(arp.get_target_hw_addr().octets()),
            target_address: arp.get_target_proto_addr(),
        })
    }
}
