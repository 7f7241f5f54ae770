//! Gratuitous ARP: which address is announced unasked, and when. A round is one gratuitous pair
//! ([`ArpFrame::gratuitous_request`], then [`ArpFrame::gratuitous_reply`]) on each link of the address.
//!
//! [`ArpFrame::gratuitous_request`]: crate::wire::ArpFrame::gratuitous_request
//! [`ArpFrame::gratuitous_reply`]: crate::wire::ArpFrame::gratuitous_reply

use std::net::Ipv4Addr;

use lbcore::link::MacAddr;
pub use segment::bursts::{MAX_ROUNDS_PER_SLOT, ROUNDS, SLOT};

use crate::wire::ArpFrame;

/// The bursts that are going on.
pub type Bursts = segment::bursts::Bursts<Ipv4Addr>;

/// The frames of one round on a link, in their order ([L2-82]).
pub const fn round(mac: MacAddr, address: Ipv4Addr) -> [ArpFrame; 2] {
    [ArpFrame::gratuitous_request(mac, address), ArpFrame::gratuitous_reply(mac, address)]
}
