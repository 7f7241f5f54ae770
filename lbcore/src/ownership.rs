//! Who answers for an address on a segment: members, claims, hand-over.
//!
//! The machine is pure; a [`Hub`] holds one behind a mutex, so that several announcers of a node (ARP, NDP) share it. A shell
//! registers as a [`Carrier`], feeds what it hears, and carries out the [`Effect`]s it is given.

mod hub;

pub use hub::{BootId, Hub, HubConfig};

use core::fmt;
use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;

use crate::announce::AnnouncementState;
use crate::link::{LinkIndex, MacAddr};

/// Where a member frame goes on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// The members' group: 224.0.0.254 (or `ff02::114`) under its multicast hardware address.
    Group,
    /// The group's network address under the Ethernet broadcast address, for members that multicast does not reach ([OWN-11]).
    Broadcast,
    /// One member's hardware address.
    Unicast(MacAddr),
}

/// What a shell lends to the [`Hub`]: transmission of member frames on its links. Never blocks.
pub trait Carrier: Send + Sync + fmt::Debug {
    /// Puts a member frame (the UDP payload) on the link, or drops it where that would block.
    fn transmit(&self, link: LinkIndex, to: Destination, payload: &[u8]);

    /// Wakes the shell's thread: effects wait for it, or the next deadline came nearer.
    fn wake(&self);
}

/// Names a registered carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarrierId(pub(crate) u32);

/// What the shell that carries the address's family has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// Answer for the address on these links (replaces what was said before) and send its burst of unsolicited announcements.
    Activate {
        /// The address.
        address: IpAddr,
        /// Links to answer on, sorted, unique, at least one.
        links: Arc<[LinkIndex]>,
    },
    /// Answer for the address no more, from now on.
    Deactivate {
        /// The address.
        address: IpAddr,
    },
    /// The address is active and stays so: send its burst once more.
    Announce {
        /// The address.
        address: IpAddr,
    },
    /// Get ready to answer for the address (join groups); it may become active at any time.
    Prepare {
        /// The address.
        address: IpAddr,
        /// Links it would be answered on.
        links: Arc<[LinkIndex]>,
    },
    /// Ask the segment once who holds the address, with an unspecified sender (RFC 5227 section 2.1.1).
    Probe {
        /// The address.
        address: IpAddr,
        /// Where.
        link: LinkIndex,
    },
    /// Ask one or a few hosts seen lately on the link for their own address, to learn whether this node hears anybody ([OWN-33]).
    ProbeNeighbors {
        /// Where.
        link: LinkIndex,
    },
    /// What is true of the address has changed.
    State {
        /// The address.
        address: IpAddr,
        /// What is true now; `None` where it is not stood for any more.
        state: Option<AnnouncementState>,
    },
}

/// What a shell saw of an address on a link: any ARP or neighbour-discovery frame of another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The sender's protocol address; `None` for a probe (unspecified sender).
    pub address: Option<IpAddr>,
    /// The sender's hardware address.
    pub mac: MacAddr,
    /// The address asked for, where it was a probe.
    pub probed: Option<IpAddr>,
}

/// A change of a link that the shell works with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The link can be used from now on, or has changed.
    Up {
        /// Which.
        link: LinkIndex,
        /// Its name.
        name: Arc<str>,
        /// Its hardware address.
        mac: MacAddr,
    },
    /// The link cannot be used any more.
    Down {
        /// Which.
        link: LinkIndex,
    },
}

/// Period and timeout of liveness on the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Between two heartbeats of one member: 100 ms by default, 50 ms tuned.
    pub period: Duration,
    /// Silence after which a member counts as dead: 700 ms by default, 250 ms tuned.
    pub timeout: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self { period: Duration::from_millis(100), timeout: Duration::from_millis(700) }
    }
}
