//! The programs that the kernel runs so that only neighbor discovery and member frames for us wake the shell.
//!
//! Neither looks behind extension headers: frames that have one are refused anyway.

use segment::filter::{
    ETHER_TYPE, Instruction, JUMP_EQUAL, LOAD_HALF, LOAD_OCTET, LOAD_WORD, OTHER_HOST, OUTGOING, PACKET_TYPE, RETURN,
    WHOLE, jump, plain,
};

use crate::wire::{MEMBER_GROUP, MemberPort};

/// Offsets into the frame, from the Ethernet destination on.
const IPV6_NEXT_HEADER: u32 = 20;
const IPV6_DESTINATION: u32 = 38;
const ICMPV6_TYPE: u32 = 54;
const UDP_DESTINATION: u32 = 56;

const IPV6: u32 = 0x86dd;
const ICMPV6: u32 = 58;
const UDP: u32 = 17;
const SOLICITATION: u32 = 135;
const ADVERTISEMENT: u32 = 136;

/// Every neighbor solicitation and advertisement of another host that is for this host or a group that it takes in. Advertisements pass
/// too: they tell of conflicts ([OWN-41]).
pub const fn neighbor_discovery() -> [Instruction; 12] {
    [
        plain(LOAD_OCTET, PACKET_TYPE),
        jump(JUMP_EQUAL, OTHER_HOST, 9, 0),
        jump(JUMP_EQUAL, OUTGOING, 8, 0),
        plain(LOAD_HALF, ETHER_TYPE),
        jump(JUMP_EQUAL, IPV6, 0, 6),
        plain(LOAD_OCTET, IPV6_NEXT_HEADER),
        jump(JUMP_EQUAL, ICMPV6, 0, 4),
        plain(LOAD_OCTET, ICMPV6_TYPE),
        jump(JUMP_EQUAL, SOLICITATION, 1, 0),
        jump(JUMP_EQUAL, ADVERTISEMENT, 0, 1),
        plain(RETURN, WHOLE),
        plain(RETURN, 0),
    ]
}

/// Member frames of other hosts: UDP to the members' group and port, whatever the Ethernet destination that made them ours. The hop
/// limit is left to the responder, which counts what it refuses.
pub const fn member_frames(port: MemberPort) -> [Instruction; 19] {
    let [first, second, third, fourth] = words(MEMBER_GROUP.to_bits());
    [
        plain(LOAD_OCTET, PACKET_TYPE),
        jump(JUMP_EQUAL, OTHER_HOST, 16, 0),
        jump(JUMP_EQUAL, OUTGOING, 15, 0),
        plain(LOAD_HALF, ETHER_TYPE),
        jump(JUMP_EQUAL, IPV6, 0, 13),
        plain(LOAD_OCTET, IPV6_NEXT_HEADER),
        jump(JUMP_EQUAL, UDP, 0, 11),
        plain(LOAD_WORD, IPV6_DESTINATION + 12),
        jump(JUMP_EQUAL, fourth, 0, 9),
        plain(LOAD_WORD, IPV6_DESTINATION),
        jump(JUMP_EQUAL, first, 0, 7),
        plain(LOAD_WORD, IPV6_DESTINATION + 4),
        jump(JUMP_EQUAL, second, 0, 5),
        plain(LOAD_WORD, IPV6_DESTINATION + 8),
        jump(JUMP_EQUAL, third, 0, 3),
        plain(LOAD_HALF, UDP_DESTINATION),
        jump(JUMP_EQUAL, port.get() as u32, 0, 1),
        plain(RETURN, WHOLE),
        plain(RETURN, 0),
    ]
}

/// An address in four words, the first on the wire first.
#[expect(clippy::cast_possible_truncation, reason = "the low 32 bits are what is wanted")]
const fn words(address: u128) -> [u32; 4] {
    [(address >> 96) as u32, (address >> 64) as u32, (address >> 32) as u32, address as u32]
}

#[cfg(test)]
mod tests {
    use lbcore::link::MacAddr;
    use lbcore::ownership::Destination;
    use segment::filter::{self, BROADCAST, HOST, MULTICAST};

    use super::*;
    use crate::wire::{Advertisement, DEFAULT_MEMBER_PORT, MemberEncoder, Solicitation};

    const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

    fn passes(program: &[Instruction], packet_type: u32, frame: &[u8]) -> bool {
        filter::passes(program, packet_type, frame).unwrap()
    }

    fn discovery() -> [Vec<u8>; 2] {
        let address = "2001:db8::10".parse().unwrap();
        let (probe, answer) = (Solicitation::probe(MAC, address), Advertisement::unsolicited(MAC, address));
        [probe.encode().as_ref().to_vec(), answer.encode().as_ref().to_vec()]
    }

    fn member_frame() -> Vec<u8> {
        let encoder = MemberEncoder { mac: MAC, address: "fe80::1".parse().unwrap(), port: DEFAULT_MEMBER_PORT };
        let mut frame = Vec::new();
        encoder.encode(Destination::Group, &[7; 1_200], &mut frame).unwrap();
        frame
    }

    // [OWN-11]
    #[test]
    fn frames_for_this_host_pass_whole() {
        for packet_type in [HOST, BROADCAST, MULTICAST] {
            for frame in discovery() {
                assert!(passes(&neighbor_discovery(), packet_type, &frame));
            }
            assert!(passes(&member_frames(DEFAULT_MEMBER_PORT), packet_type, &member_frame()));
        }
    }

    #[test]
    fn frames_of_this_host_and_for_others_are_dropped() {
        for packet_type in [OTHER_HOST, OUTGOING] {
            for frame in discovery() {
                assert!(!passes(&neighbor_discovery(), packet_type, &frame));
            }
            assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), packet_type, &member_frame()));
        }
    }

    #[test]
    fn each_socket_takes_its_own_frames_alone() {
        assert!(!passes(&neighbor_discovery(), MULTICAST, &member_frame()));
        for frame in discovery() {
            assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), MULTICAST, &frame));
        }
    }

    #[test]
    fn other_messages_of_icmpv6_are_dropped() {
        // Echo request and reply, router solicitation and advertisement, redirect, MLD.
        for kind in [128, 129, 133, 134, 137, 143] {
            for mut frame in discovery() {
                frame[54] = kind;
                assert!(!passes(&neighbor_discovery(), MULTICAST, &frame), "type {kind}");
            }
        }
    }

    #[test]
    fn ipv6_that_is_no_member_frame_is_dropped() {
        // EtherType, next header, each word of the destination, port.
        for offset in [13, 20, 41, 45, 49, 53, 57] {
            let mut frame = member_frame();
            frame[offset] ^= 1;
            assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), MULTICAST, &frame), "octet {offset}");
        }
    }

    #[test]
    fn a_frame_that_ends_before_what_is_looked_at_is_dropped() {
        for length in 0..58 {
            assert!(!passes(&member_frames(DEFAULT_MEMBER_PORT), MULTICAST, &member_frame()[..length]));
        }
        for length in 0..55 {
            assert!(!passes(&neighbor_discovery(), MULTICAST, &discovery()[1][..length]));
        }
    }

    #[test]
    fn the_kernel_takes_both_programs() {
        assert!(filter::is_sound(&neighbor_discovery()));
        assert!(filter::is_sound(&member_frames(DEFAULT_MEMBER_PORT)));
    }
}
