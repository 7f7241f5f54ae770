//! Classic BPF programs for the packet sockets: only frames for us wake the shell.
//!
//! A link has two sockets, one bound to ARP and one to IPv4, and not one for all protocols: the kernel offers frames to
//! sockets of one protocol after it has given tagged frames to their VLAN device, to all-protocol sockets before that and with the
//! tag already taken off, so that a request of another VLAN would be answered untagged.
//!
//! Both programs drop what the kernel marks as another host's (a tagged frame without a matching VLAN device is) and what this
//! host sent. They are hints to the kernel, not checks: the responder looks at every frame again.

use crate::wire::{MEMBER_GROUP, MemberPort};

/// One instruction, as `struct sock_filter` lays it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// The operation.
    pub code: u16,
    /// Instructions to skip where a comparison holds.
    pub jump_true: u8,
    /// Instructions to skip where it does not.
    pub jump_false: u8,
    /// The operand.
    pub operand: u32,
}

/// Offset from which ancillary data is loaded (`SKF_AD_OFF + SKF_AD_PKTTYPE`, -0x1000 + 4): the frame's packet type.
const PACKET_TYPE: u32 = 0xffff_f004;
/// `PACKET_OTHERHOST`.
const OTHER_HOST: u32 = 3;
/// `PACKET_OUTGOING`.
const OUTGOING: u32 = 4;
/// Octets of a frame to hand over: all of them.
const WHOLE: u32 = 0x0004_0000;

/// Offsets into the frame, from the Ethernet destination on.
const ETHER_TYPE: u32 = 12;
const IPV4_VERSION: u32 = 14;
const IPV4_FRAGMENT: u32 = 20;
const IPV4_PROTOCOL: u32 = 23;
const IPV4_DESTINATION: u32 = 30;
/// Of the UDP destination port, where the index register holds the IPv4 header's length.
const UDP_DESTINATION: u32 = 16;

const LOAD_WORD: u16 = 0x20;
const LOAD_HALF: u16 = 0x28;
const LOAD_OCTET: u16 = 0x30;
const LOAD_HALF_INDEXED: u16 = 0x48;
/// `BPF_LDX | BPF_B | BPF_MSH`: four times the low half of an octet, into the index register.
const LOAD_HEADER_LENGTH: u16 = 0xb1;
const JUMP_EQUAL: u16 = 0x15;
const JUMP_SET: u16 = 0x45;
const RETURN: u16 = 0x06;

const fn plain(code: u16, operand: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, operand }
}

const fn jump(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, operand }
}

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

    use super::*;
    use crate::wire::{ArpFrame, DEFAULT_MEMBER_PORT, MemberEncoder};

    const HOST: u32 = 0;
    const BROADCAST: u32 = 1;
    const MULTICAST: u32 = 2;

    /// Runs a program as the kernel does: octets passed, 0 for a load beyond the frame. Fails on what our programs do not use.
    fn run(program: &[Instruction], packet_type: u32, frame: &[u8]) -> u32 {
        let load = |offset: u32, width: usize| -> Option<u32> {
            let offset = usize::try_from(offset).unwrap();
            let octets = frame.get(offset..offset + width)?;
            Some(octets.iter().fold(0, |value, octet| value << 8 | u32::from(*octet)))
        };
        let (mut accumulator, mut index, mut at) = (0_u32, 0_u32, 0_usize);
        loop {
            let Instruction { code, jump_true, jump_false, operand } = program[at];
            at += 1;
            let mut branch = |holds: bool| at += usize::from(if holds { jump_true } else { jump_false });
            let loaded = match code {
                RETURN => return operand,
                JUMP_EQUAL => {
                    branch(accumulator == operand);
                    continue;
                }
                JUMP_SET => {
                    branch(accumulator & operand != 0);
                    continue;
                }
                LOAD_HEADER_LENGTH => {
                    let Some(octet) = load(operand, 1) else { return 0 };
                    index = (octet & 0xf) * 4;
                    continue;
                }
                LOAD_OCTET if operand == PACKET_TYPE => Some(packet_type),
                LOAD_OCTET => load(operand, 1),
                LOAD_HALF => load(operand, 2),
                LOAD_WORD => load(operand, 4),
                LOAD_HALF_INDEXED => load(index + operand, 2),
                other => panic!("unknown operation {other:#x}"),
            };
            let Some(value) = loaded else { return 0 };
            accumulator = value;
        }
    }

    fn passes(program: &[Instruction], packet_type: u32, frame: &[u8]) -> bool {
        run(program, packet_type, frame) >= u32::try_from(frame.len()).unwrap() && !frame.is_empty()
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
    fn every_jump_lands_inside_the_program() {
        let programs = [arp().to_vec(), member_frames(DEFAULT_MEMBER_PORT).to_vec()];
        for program in programs {
            for (at, instruction) in program.iter().enumerate() {
                let furthest = at + 1 + usize::from(instruction.jump_true.max(instruction.jump_false));
                assert!(instruction.code == RETURN || furthest < program.len(), "instruction {at}");
            }
        }
    }
}
