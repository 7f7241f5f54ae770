//! Unsolicited advertisements: which address is announced unasked, and when. A round is one advertisement to all nodes
//! ([`Advertisement::unsolicited`]) on each link of the address ([L2-83]).

use std::net::Ipv6Addr;

use lbcore::link::MacAddr;
pub use segment::bursts::{MAX_ROUNDS_PER_SLOT, ROUNDS, SLOT};

use crate::wire::Advertisement;

/// The bursts that are going on.
pub type Bursts = segment::bursts::Bursts<Ipv6Addr>;

/// The frame of one round on a link ([L2-83]).
pub const fn round(mac: MacAddr, address: Ipv6Addr) -> Advertisement {
    Advertisement::unsolicited(mac, address)
}
