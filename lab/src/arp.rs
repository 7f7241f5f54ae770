//! ARP in Ethernet (RFC 826), read and written by the laboratory itself: a judge that shared the announcer's code would share its
//! mistakes.

use std::net::Ipv4Addr;

use crate::host::Hardware;

/// Octets of an ARP packet for Ethernet and IPv4 with its Ethernet header.
pub const FRAME_OCTETS: usize = 42;

/// EtherType of ARP.
pub const ETHER_TYPE: u16 = 0x0806;

/// What an ARP packet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Asks who has the target address (1).
    Request,
    /// Says who has the sender address (2).
    Reply,
}

/// An ARP packet for Ethernet and IPv4 with the addresses of its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Destination of the frame.
    pub frame_destination: Hardware,
    /// Source of the frame.
    pub frame_source: Hardware,
    /// Request or reply.
    pub operation: Operation,
    /// Sender hardware address.
    pub sender_hardware: Hardware,
    /// Sender protocol address; 0.0.0.0 in a probe (RFC 5227).
    pub sender: Ipv4Addr,
    /// Target hardware address.
    pub target_hardware: Hardware,
    /// Target protocol address.
    pub target: Ipv4Addr,
}

impl Packet {
    /// Reads a frame; `None` for everything that is not an ARP request or reply for Ethernet and IPv4.
    pub fn read(frame: &[u8]) -> Option<Self> {
        let hardware = |from: usize| Some(Hardware(<[u8; 6]>::try_from(frame.get(from..from + 6)?).ok()?));
        let protocol = |from: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(from..from + 4)?).ok()?));
        // EtherType, hardware type 1, protocol type IPv4, lengths 6 and 4.
        if frame.get(12..20)? != [0x08, 0x06, 0, 1, 0x08, 0, 6, 4] {
            return None;
        }
        let operation = match frame.get(20..22)? {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return None,
        };
        Some(Self {
            frame_destination: hardware(0)?,
            frame_source: hardware(6)?,
            operation,
            sender_hardware: hardware(22)?,
            sender: protocol(28)?,
            target_hardware: hardware(32)?,
            target: protocol(38)?,
        })
    }

    /// The frame as it goes on the wire, without padding.
    pub fn write(&self) -> [u8; FRAME_OCTETS] {
        let operation = match self.operation {
            Operation::Request => 1,
            Operation::Reply => 2,
        };
        let parts: [&[u8]; 8] = [
            &self.frame_destination.0,
            &self.frame_source.0,
            &[0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, operation],
            &self.sender_hardware.0,
            &self.sender.octets(),
            &self.target_hardware.0,
            &self.target.octets(),
            &[],
        ];
        let mut frame = [0; FRAME_OCTETS];
        for (place, octet) in frame.iter_mut().zip(parts.into_iter().flatten()) {
            *place = *octet;
        }
        frame
    }

    /// A broadcast question for `target`.
    pub const fn request(from: Hardware, sender: Ipv4Addr, target: Ipv4Addr) -> Self {
        Self {
            frame_destination: Hardware::BROADCAST,
            frame_source: from,
            operation: Operation::Request,
            sender_hardware: from,
            sender,
            target_hardware: Hardware::ZERO,
            target,
        }
    }

    /// The answer of `from` to a request.
    pub const fn reply_to(request: &Self, from: Hardware) -> Self {
        Self {
            frame_destination: request.sender_hardware,
            frame_source: from,
            operation: Operation::Reply,
            sender_hardware: from,
            sender: request.target,
            target_hardware: request.sender_hardware,
            target: request.sender,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = "ffffffffffff021ab00000010806000108000604000102 1ab0000001c0000201000000000000c0000209";

    fn octets(hex: &str) -> Vec<u8> {
        let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
        digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
    }

    #[test]
    fn a_request_is_written_as_rfc_826_draws_it() {
        let from = Hardware([0x02, 0x1a, 0xb0, 0, 0, 1]);
        let packet = Packet::request(from, Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 9));
        assert_eq!(packet.write().to_vec(), octets(REQUEST));
        assert_eq!(Packet::read(&octets(REQUEST)), Some(packet));
    }

    #[test]
    fn a_reply_swaps_the_parties_and_reads_back() {
        let request = Packet::read(&octets(REQUEST)).unwrap();
        let reply = Packet::reply_to(&request, Hardware([2, 0, 0, 0, 0, 9]));
        assert_eq!((reply.sender, reply.target), (request.target, request.sender));
        assert_eq!(Packet::read(&reply.write()), Some(reply));
    }

    #[test]
    fn a_frame_cut_short_at_any_octet_is_no_packet() {
        let whole = octets(REQUEST);
        for length in 0..whole.len() {
            assert_eq!(Packet::read(&whole[..length]), None, "{length}");
        }
    }
}
