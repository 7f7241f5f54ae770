//! What member frames have in common, whatever carries them.

use core::num::NonZeroU16;

/// The UDP port where nothing else is said.
pub const DEFAULT_MEMBER_PORT: MemberPort = MemberPort(NonZeroU16::new(7472).expect("7472 is not zero"));

/// Hop limit of member frames, sent and asked for: what was routed does not count as hearing ([OWN-11]).
pub const HOP_LIMIT: u8 = 255;

/// Traffic class of member frames, the octet in the IP header: network control, as routing protocols mark theirs, so that a busy switch
/// drops heartbeats last (RFC 4594 section 3.2).
pub const TRAFFIC_CLASS: u8 = 48 << 2;

/// The UDP port of members, source and destination alike; the same on every member of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MemberPort(NonZeroU16);

impl MemberPort {
    /// Wraps a port number.
    pub const fn new(port: NonZeroU16) -> Self {
        Self(port)
    }

    /// The number, never 0.
    pub const fn get(self) -> u16 {
        self.0.get()
    }
}
