//! The shell of an announcer on a segment, without what is about its protocol.
//!
//! - `socket`: what the operating system is asked for; all `unsafe` is there.
//! - `eligibility`, `links`: which links are announced on, and how they are followed.
//! - `protocol`: what an announcer brings of its own: [`Protocol`].
//! - `carrier`: what any thread may ask of the shell: member frames, authority, a wake-up.
//! - `driver`: the loop.
//! - `status`: what is really true of each announcement.
//! - `announcer`: what a host holds: [`SegmentAnnouncer`].

mod announcer;
mod carrier;
mod driver;
mod ear;
mod eligibility;
mod links;
mod open_link;
mod protocol;
mod socket;
mod status;

pub use announcer::{Config, SegmentAnnouncer, StartError};
pub use driver::ThreadPriority;
pub use eligibility::{DEFAULT_EXCLUSION, Exclusion, ExclusionError, HOLDER_LINK};
pub use links::{LinkAddress, UsableLink};
pub use protocol::{Encoder, EtherType, Handled, Outcome, Port, Ports, Protocol};
pub use socket::now;
