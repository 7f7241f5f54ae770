//! Who answers for an address on a segment: members, claims, hand-over.
//!
//! The machine is pure; a [`Hub`] holds one behind a mutex, so that several announcers of a node (ARP, NDP) share it. A shell
//! registers as a [`Carrier`], feeds what it hears, and carries out the [`Effect`]s it is given.

pub mod claims;
pub mod event;
pub mod frame;
mod hub;
pub mod key;
mod machine;
mod member;

pub use event::Event;
pub use hub::Hub;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::announce::AnnouncementState;
use crate::link::{LinkIndex, MacAddr};
use crate::service::{NodeName, ServiceKey};

use key::MemberKeys;

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

/// A number drawn at random by the host at each start ([OWN-10]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BootId(pub u64);

/// Whether a healthy owner gives back what a better placed node could have ([OWN-34]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReturnPolicy {
    /// It keeps it.
    #[default]
    Never,
    /// It gives it back once it has owned it for so long.
    After(Duration),
    /// It gives it back as soon as the other stands ready: upstream's behaviour ([L2-5]).
    AtOnce,
}

/// What a hub is made with.
#[derive(Clone, Debug)]
pub struct HubConfig {
    /// This node.
    pub node: NodeName,
    /// Drawn at this start.
    pub boot_id: BootId,
    /// Period and timeout.
    pub timings: Timings,
    /// Keys shared with the other members.
    pub keys: MemberKeys,
    /// Whether addresses return to better placed nodes.
    pub return_policy: ReturnPolicy,
}

impl HubConfig {
    /// The defaults for a node: 100 ms and 700 ms, no key, no return.
    pub fn new(node: NodeName, boot_id: BootId) -> Self {
        Self {
            node,
            boot_id,
            timings: Timings::default(),
            keys: MemberKeys::none(),
            return_policy: ReturnPolicy::Never,
        }
    }
}

/// Addresses that a daemon holds for a Service, told to the other members ([OWN-60]).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// At most two; none says "I have this Service and no address for it yet".
    pub addresses: Vec<IpAddr>,
    /// When they were allocated: milliseconds since the Unix epoch, by the allocating host's clock.
    pub since_ms: u64,
}

/// Whether a member hears us, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutual {
    /// It is heard, or heard of, but has not told within the timeout that it hears us.
    No,
    /// Both hear each other.
    Yes,
}

/// A live member as the host sees it.
#[derive(Clone, Debug)]
pub struct MemberView {
    /// Its name.
    pub name: NodeName,
    /// Its boot.
    pub boot_id: BootId,
    /// Where its frames come from; `None` for one known by relay alone.
    pub mac: Option<MacAddr>,
    /// Whether hearing is mutual.
    pub mutual: Mutual,
    /// The assignments it told.
    pub assignments: Arc<BTreeMap<ServiceKey, Assignment>>,
    /// Whether `assignments` is its whole and current table.
    pub synced: bool,
}

/// Told when something changed that a host may want to look at. Called with the hub's lock released; must not block.
pub trait Observer: Send + Sync + fmt::Debug {
    /// Members, their assignments or the list of events changed.
    fn notify(&self);
}
