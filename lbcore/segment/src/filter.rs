//! Classic BPF for packet sockets: the instructions that our programs are made of, and what the kernel makes of them.
//!
//! A link has two sockets, one for the protocol that is answered and one for member frames, each bound to one EtherType, and not one
//! for all protocols: the kernel offers frames to sockets of one protocol after it has given tagged frames to their VLAN device, to
//! all-protocol sockets before that and with the tag already taken off, so that a request of another VLAN would be answered untagged.
//!
//! Programs drop what the kernel marks as another host's (a tagged frame without a matching VLAN device is) and what this host sent.
//! They are hints to the kernel, not checks: the responder looks at every frame again.

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
pub const PACKET_TYPE: u32 = 0xffff_f004;
/// `PACKET_HOST`: for this host alone.
pub const HOST: u32 = 0;
/// `PACKET_BROADCAST`.
pub const BROADCAST: u32 = 1;
/// `PACKET_MULTICAST`.
pub const MULTICAST: u32 = 2;
/// `PACKET_OTHERHOST`.
pub const OTHER_HOST: u32 = 3;
/// `PACKET_OUTGOING`.
pub const OUTGOING: u32 = 4;
/// Octets of a frame to hand over: all of them.
pub const WHOLE: u32 = 0x0004_0000;
/// Where the EtherType stands.
pub const ETHER_TYPE: u32 = 12;

/// `BPF_LD | BPF_W | BPF_ABS`.
pub const LOAD_WORD: u16 = 0x20;
/// `BPF_LD | BPF_H | BPF_ABS`.
pub const LOAD_HALF: u16 = 0x28;
/// `BPF_LD | BPF_B | BPF_ABS`.
pub const LOAD_OCTET: u16 = 0x30;
/// `BPF_LD | BPF_H | BPF_IND`.
pub const LOAD_HALF_INDEXED: u16 = 0x48;
/// `BPF_LDX | BPF_B | BPF_MSH`: four times the low half of an octet, into the index register.
pub const LOAD_HEADER_LENGTH: u16 = 0xb1;
/// `BPF_JMP | BPF_JEQ | BPF_K`.
pub const JUMP_EQUAL: u16 = 0x15;
/// `BPF_JMP | BPF_JSET | BPF_K`.
pub const JUMP_SET: u16 = 0x45;
/// `BPF_RET | BPF_K`.
pub const RETURN: u16 = 0x06;

/// An instruction that goes on with the next one.
pub const fn plain(code: u16, operand: u32) -> Instruction {
    Instruction { code, jump_true: 0, jump_false: 0, operand }
}

/// A comparison.
pub const fn jump(code: u16, operand: u32, jump_true: u8, jump_false: u8) -> Instruction {
    Instruction { code, jump_true, jump_false, operand }
}

/// Whether the kernel would hand the whole frame over; `None` for a program that it would refuse or that uses what ours do not.
///
/// A load beyond the frame drops it, as in the kernel.
pub fn passes(program: &[Instruction], packet_type: u32, frame: &[u8]) -> Option<bool> {
    let length = u32::try_from(frame.len()).ok()?;
    Some(run(program, packet_type, frame)? >= length && length > 0)
}

fn load(frame: &[u8], offset: u32, width: usize) -> Option<u32> {
    let offset = usize::try_from(offset).ok()?;
    let octets = frame.get(offset..offset.checked_add(width)?)?;
    Some(octets.iter().fold(0, |value, octet| value << 8 | u32::from(*octet)))
}

/// Octets passed. Every jump goes forward, so that a program of n instructions ends after n of them.
fn run(program: &[Instruction], packet_type: u32, frame: &[u8]) -> Option<u32> {
    let (mut accumulator, mut index, mut at) = (0_u32, 0_u32, 0_usize);
    loop {
        let Instruction { code, jump_true, jump_false, operand } = *program.get(at)?;
        at += 1;
        let mut branch = |holds: bool| at += usize::from(if holds { jump_true } else { jump_false });
        let loaded = match code {
            RETURN => return Some(operand),
            JUMP_EQUAL => {
                branch(accumulator == operand);
                continue;
            }
            JUMP_SET => {
                branch(accumulator & operand != 0);
                continue;
            }
            LOAD_HEADER_LENGTH => {
                let Some(octet) = load(frame, operand, 1) else { return Some(0) };
                index = (octet & 0xf) * 4;
                continue;
            }
            LOAD_OCTET if operand == PACKET_TYPE => Some(packet_type),
            LOAD_OCTET => load(frame, operand, 1),
            LOAD_HALF => load(frame, operand, 2),
            LOAD_WORD => load(frame, operand, 4),
            LOAD_HALF_INDEXED => load(frame, index.checked_add(operand)?, 2),
            _ => return None,
        };
        let Some(value) = loaded else { return Some(0) };
        accumulator = value;
    }
}

/// Whether every jump of a program lands inside it, and every way through it ends: what the kernel asks before it takes one.
pub fn is_sound(program: &[Instruction]) -> bool {
    let ends = program.last().is_some_and(|last| last.code == RETURN);
    ends && program.iter().enumerate().all(|(at, step)| {
        step.code == RETURN || at + 1 + usize::from(step.jump_true.max(step.jump_false)) < program.len()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IS_IPV4: [Instruction; 4] =
        [plain(LOAD_HALF, ETHER_TYPE), jump(JUMP_EQUAL, 0x0800, 0, 1), plain(RETURN, WHOLE), plain(RETURN, 0)];

    #[test]
    fn a_program_passes_what_it_compares_equal_and_nothing_cut_short() {
        let mut frame = [0; 60];
        frame[12] = 8;
        assert_eq!(passes(&IS_IPV4, HOST, &frame), Some(true));
        assert_eq!(passes(&IS_IPV4, HOST, &frame[..13]), Some(false));
        frame[13] = 6;
        assert_eq!(passes(&IS_IPV4, HOST, &frame), Some(false));
    }

    #[test]
    fn a_program_without_an_end_or_with_unknown_instructions_is_no_program() {
        assert!(is_sound(&IS_IPV4));
        assert!(!is_sound(&IS_IPV4[..3]));
        assert!(!is_sound(&IS_IPV4[..2]));
        assert_eq!(passes(&IS_IPV4[..2], HOST, &[0; 60]), None);
        assert_eq!(passes(&[plain(0xffff, 0)], HOST, &[0; 60]), None);
    }
}
