//! The programs that the kernel runs so that only ARP and member frames for us wake the shell.

use segment::filter::{
    ETHER_TYPE, Instruction, JUMP_EQUAL, JUMP_SET, LOAD_HALF, LOAD_HALF_INDEXED, LOAD_HEADER_LENGTH, LOAD_OCTET,
    LOAD_WORD, OTHER_HOST, OUTGOING, PACKET_TYPE, RETURN, WHOLE, jump, plain,
};

use crate::wire::{MEMBER_GROUP, MemberPort};

/// Offsets into the frame, from the Ethernet destination on.
const IPV4_VERSION: u32 = 14;
const IPV4_FRAGMENT: u32 = 20;
const IPV4_PROTOCOL: u32 = 23;
const IPV4_DESTINATION: u32 = 30;
/// Of the UDP destination port, where the index register holds the IPv4 header's length.
const UDP_DESTINATION: u32 = 16;

/// Every ARP frame of another host that is for this host or for all. Replies pass too: they tell of conflicts ([OWN-41]).
pub const fn arp() -> [Instruction; 7] {
    [
        plain(LOAD_OCTET, PACKET_TYPE),
        jump(JUMP_EQUAL, OTHER_HOST, 4, 0),
        jump(JUMP_EQUAL, OUTGOING, 3, 0),
        plain(LOAD_HALF, ETHER_TYPE),
        jump(JUMP_EQUAL, 0x0806, 0, 1),
        plain(RETURN, WHOLE),
        plain(RETURN, 0),
    ]
}

/// Member frames of other hosts: unfragmented UDP to the members' group and port, whatever the Ethernet destination that made
/// them ours. The hop limit is left to the responder, which counts what it refuses.
pub const fn member_frames(port: MemberPort) -> [Instruction; 16] {
    [
        plain(LOAD_OCTET, PACKET_TYPE),
        jump(JUMP_EQUAL, OTHER_HOST, 13, 0),
        jump(JUMP_EQUAL, OUTGOING, 12, 0),
        plain(LOAD_HALF, ETHER_TYPE),
        jump(JUMP_EQUAL, 0x0800, 0, 10),
        plain(LOAD_WORD, IPV4_DESTINATION),
        jump(JUMP_EQUAL, MEMBER_GROUP.to_bits(), 0, 8),
        plain(LOAD_OCTET, IPV4_PROTOCOL),
        jump(JUMP_EQUAL, 17, 0, 6),
        plain(LOAD_HALF, IPV4_FRAGMENT),
        jump(JUMP_SET, 0x3fff, 4, 0),
        plain(LOAD_HEADER_LENGTH, IPV4_VERSION),
        plain(LOAD_HALF_INDEXED, UDP_DESTINATION),
        jump(JUMP_EQUAL, port.get() as u32, 0, 1),
        plain(RETURN, WHOLE),
        plain(RETURN, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use lbcore::link::MacAddr;
    use lbcore::ownership::Destination;
    use segment::filter::{self, BROADCAST, HOST, MULTICAST};

    use super::*;
    use crate::wire::{ArpFrame, DEFAULT_MEMBER_PORT, MemberEncoder};

    fn passes(program: &[Instruction], packet_type: u32, frame: &[u8]) -> bool {
        filter::passes(program, packet_type, frame).unwrap()
    }

    fn arp_frame() -> Vec<u8> {
        ArpFrame::probe(MacAddr::new([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(192, 0, 2, 1)).encode().to_vec()
    }

    fn member_frame() -> Vec<u8> {
        let mac = MacAddr::new([2, 0, 0, 0, 0, 1]);
        let encoder = MemberEncoder { mac, address: Ipv4Addr::new(192, 0, 2, 9), port: DEFAULT_MEMBER_PORT };
        let mut frame = Vec::new();
        encoder.encode(Destination::Group, &[7; 1_200], &mut frame).unwrap();
        frame
    }

    // [OWN-11]
    #[test]
    fn frames_for_this_host_pass_whole() {
        for packet_type in [HOST, BROADCAST, MULTICAST] {
            assert!(passes(&arp(), packet_type, &arp_frame()));
            assert!(passes(&member_frames(DEFAULT_MEMBER_PORT), packet_type, &member_frame()));
        }
    }

    #[test]
    fn frames_of_this_host_and_for_others_are_dropped() {
        for packet_type in [OTHER_HOST, OUTGOING] {
            assert!(!passes(&arp(), packet_type, &arp_frame()));
            assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), packet_type, &member_frame()));
        }
    }

    #[test]
    fn each_socket_takes_its_own_protocol_alone() {
        assert!(!passes(&arp(), BROADCAST, &member_frame()));
        assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), BROADCAST, &arp_frame()));
    }

    #[test]
    fn ipv4_that_is_no_member_frame_is_dropped() {
        // Destination, protocol, port, more fragments, fragment offset.
        for (offset, value) in [(33, 1), (23, 6), (37, 0), (20, 0x20), (21, 1)] {
            let mut frame = member_frame();
            frame[offset] = value;
            assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), MULTICAST, &frame), "octet {offset}");
        }
    }

    #[test]
    fn the_port_is_found_behind_ipv4_options() {
        let plain = member_frame();
        let mut frame = plain[..34].to_vec();
        frame[14] = 0x46;
        frame.extend_from_slice(&[1, 1, 1, 0]);
        frame.extend_from_slice(&plain[34..]);
        assert!(passes(&member_frames(DEFAULT_MEMBER_PORT), MULTICAST, &frame));
    }

    #[test]
    fn a_frame_that_ends_before_its_headers_is_dropped() {
        let whole = member_frame();
        for length in 0..38 {
            assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), MULTICAST, &whole[..length]), "{length} octets");
        }
    }

    #[test]
    fn the_kernel_takes_both_programs() {
        assert!(filter::is_sound(&arp()));
        assert!(filter::is_sound(&member_frames(DEFAULT_MEMBER_PORT)));
    }
}
