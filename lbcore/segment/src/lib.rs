//! What announcing addresses on a segment by ARP and by NDP have in common. The announcers do not know each other; both stand on this.
//!
//! | file | what lives there |
//! |---|---|
//! | [`table`] | which addresses are watched and answered for on which links, and who else is heard there |
//! | [`bursts`] | which address is announced unasked, and when |
//! | [`counters`] | what is counted, in one shape for both |
//! | [`filter`] | instructions of the kernel's packet filter |
//! | [`member`] | the UDP port of members |
//! | `io` | the shell (feature `io`, on by default): sockets, links, the thread, and the part of an announcer that is not about the protocol |
//!
//! An announcer brings what is its own: the wire formats, the machine that answers, and an implementation of `io::Protocol`, which says
//! which sockets a link needs and turns what ownership wants into frames.

pub mod bursts;
pub mod counters;
pub mod filter;
#[cfg(feature = "io")]
pub mod io;
pub mod member;
pub mod table;
