//! The trait [`Announcer`] and its value types: all that a host sees of a back end.
//!
//! A host (the Kubernetes speaker, `ferrule run`, an orchestrator of somebody else) decides *what* shall be announced from this
//! node and hands the whole of it over as a [`DesiredSet`]. The announcer computes the difference, does it on the wire and
//! reports what was really done. Composition is a list of boxed announcers; each takes the announcements it
//! [`supports`](Announcer::supports).
//!
//! What a back end needs beyond announcements (peers and secrets; keys and timings) is not in the trait: each crate has a
//! configuration of its own.

use core::fmt;
use core::time::Duration;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::link::{LinkIndex, LinkSelection, MacAddr};
use crate::service::{NodeName, ServiceKey};
use crate::time::Timestamp;

/// The tie that keeps addresses together: all addresses of a group are answered for by one node ([OWN-20]).
///
/// It is the first address of the Service with the most addresses, then by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupKey(pub IpAddr);

impl fmt::Display for GroupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Whether this node may own a group, by its own judgement ([OWN-22], [OWN-24]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It may become the owner and stay it.
    Eligible,
    /// It may not become the owner; where it is, it says "releasing" and answers until a successor has claimed.
    Leaving,
}

/// How a layer-2 address is reached: this node stands for it, ownership decides who is active ([OWN-21]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkReach {
    /// The group of addresses that moves together.
    pub group: GroupKey,
    /// The address whose text the election hashes: the Service's first ([L2-3]).
    pub election_key: IpAddr,
    /// Sum of matching preferences of this node ([L2-6]); higher is better.
    pub score: u32,
    /// The links asked for.
    pub links: LinkSelection,
    /// Whether this node may own the group.
    pub standing: Standing,
}

/// Peers that hear the same of a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutedPart {
    /// Names of the peers, sorted, unique, at least one; each has a session with this node that carries the prefix's family.
    pub peers: Arc<[Arc<str>]>,
    /// What goes with the prefix toward them, shared between announcements that have the same.
    pub attributes: Arc<RouteAttributes>,
}

/// How a routed prefix is reached. BGP fills this with peers and attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutedReach {
    /// Who hears what: at least one part, no peer in two of them; what no part names does not hear of the prefix.
    pub parts: Arc<[RoutedPart]>,
}

/// Path attributes that the operator chooses.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteAttributes {
    /// `LOCAL_PREF`, on internal sessions alone.
    pub local_pref: Option<u32>,
    /// How often the own AS is prepended beyond once, on external sessions alone; 1 to 10 ([D162-1]).
    pub as_path_prepend: Option<u8>,
    /// Communities (RFC 1997) as 32-bit numbers, sorted, unique.
    pub communities: Vec<u32>,
    /// Large communities (RFC 8092), sorted, unique.
    pub large_communities: Vec<[u32; 3]>,
}

/// On the segment, or by routing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reach {
    /// ARP (IPv4) or NDP (IPv6) on links of this host.
    Link(LinkReach),
    /// BGP.
    Routed(RoutedReach),
}

/// Which of the two reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReachKind {
    /// [`Reach::Link`].
    Link,
    /// [`Reach::Routed`].
    Routed,
}

/// Identity of an announcement within a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnnouncementKey {
    /// The prefix; an address stands as /32 or /128.
    pub prefix: IpNetwork,
    /// How it is reached.
    pub kind: ReachKind,
}

impl AnnouncementKey {
    /// The key of a single address on the segment.
    pub fn link(address: IpAddr) -> Self {
        Self { prefix: IpNetwork::from(address), kind: ReachKind::Link }
    }
}

/// One prefix that this node shall announce, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// The Services behind the prefix, sorted, unique, at least one.
    pub services: Arc<[ServiceKey]>,
    /// The prefix; an address stands as /32 or /128.
    pub prefix: IpNetwork,
    /// How it is reached.
    pub reach: Reach,
}

impl Announcement {
    /// Its identity.
    pub fn key(&self) -> AnnouncementKey {
        let kind = match self.reach {
            Reach::Link(_) => ReachKind::Link,
            Reach::Routed(_) => ReachKind::Routed,
        };
        AnnouncementKey { prefix: self.prefix, kind }
    }
}

/// Number of a desired set; a later set has a higher one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

type Announcements = rpds::RedBlackTreeMapSync<AnnouncementKey, Arc<Announcement>>;

/// Everything that this node shall announce. Persistent: a changed copy shares what did not change.
#[derive(Clone, Debug, Default)]
pub struct DesiredSet {
    generation: Generation,
    announcements: Announcements,
}

impl DesiredSet {
    /// The empty set, generation 0.
    pub fn new() -> Self {
        Self::default()
    }

    /// Its number.
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// How many announcements it holds.
    pub fn len(&self) -> usize {
        self.announcements.size()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.announcements.is_empty()
    }

    /// The announcement of this identity.
    pub fn get(&self, key: &AnnouncementKey) -> Option<&Arc<Announcement>> {
        self.announcements.get(key)
    }

    /// All announcements in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Announcement>> {
        self.announcements.values()
    }

    /// A next generation with some announcements put in (replacing those of the same key) and some keys taken out.
    #[must_use]
    pub fn changed(
        &self,
        put: impl IntoIterator<Item = Announcement>,
        removed: impl IntoIterator<Item = AnnouncementKey>,
    ) -> Self {
        let mut announcements = self.announcements.clone();
        for key in removed {
            announcements.remove_mut(&key);
        }
        for announcement in put {
            announcements.insert_mut(announcement.key(), Arc::new(announcement));
        }
        Self { generation: Generation(self.generation.0 + 1), announcements }
    }
}

/// What changed since an earlier generation, with the whole set beside it.
#[derive(Clone, Debug)]
pub struct Change {
    /// The set before; an announcer that holds another generation takes `full`.
    pub from: Generation,
    /// The whole set after.
    pub full: Arc<DesiredSet>,
    /// Announcements that are new or differ.
    pub put: Vec<Arc<Announcement>>,
    /// Announcements that are gone.
    pub removed: Vec<AnnouncementKey>,
}

/// Why an announcement is not made although it is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Withheld {
    /// A stranger answers for the address ([OWN-40]).
    AddressInUse {
        /// Its hardware address.
        holder: MacAddr,
    },
    /// Another host uses this node's name ([OWN-10]).
    DuplicateNodeName {
        /// Its hardware address.
        holder: MacAddr,
    },
    /// None of the links asked for is there and eligible ([L2-30]).
    NoLink,
    /// This node is not eligible and no other owner is known.
    NotEligible,
    /// The node heard the segment on fewer links than its neighbours ([OWN-23]).
    PartlyDeaf,
}

impl fmt::Display for Withheld {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressInUse { holder } => write!(f, "address-in-use: {holder} answers for it"),
            Self::DuplicateNodeName { holder } => {
                write!(f, "duplicate-node-name: {holder} uses this node's name")
            }
            Self::NoLink => f.write_str("no-link: none of the links asked for is up"),
            Self::NotEligible => f.write_str("not-eligible: this node may not answer for it"),
            Self::PartlyDeaf => f.write_str("partly-deaf: members are heard on some links only"),
        }
    }
}

/// What is really true of one announcement ([OWN-70]).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnnouncementState {
    /// Wanted, nothing done yet (for example while listening).
    Pending,
    /// The segment is asked whether somebody holds the address.
    Probing,
    /// Another node answers for it.
    Standby {
        /// Who; `None` while nobody has claimed yet.
        owner: Option<NodeName>,
    },
    /// This node answers for it, or has sent the route.
    Active {
        /// Since when.
        since: Timestamp,
        /// The links it is answered on; empty for routed prefixes, and while all links carry nothing ([OWN-3]).
        links: Arc<[LinkIndex]>,
        /// The epoch of the claim; 0 for routed prefixes.
        epoch: u64,
    },
    /// Not announced, for this reason.
    Withheld(Withheld),
    /// The announcer could not do it.
    Failed(Arc<str>),
}

/// Number of a status; grows with every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatusVersion(pub u64);

/// One changed line of status; `state` is `None` where the announcement is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChange {
    /// Which announcement.
    pub key: AnnouncementKey,
    /// What is true of it now.
    pub state: Option<AnnouncementState>,
}

/// What changed since a version, or everything where that is not known any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatusDelta {
    /// The changes since the version asked for, in the order of keys, each key once.
    Changes {
        /// Ask with this the next time.
        version: StatusVersion,
        /// What changed.
        changes: Vec<StatusChange>,
    },
    /// The version asked for is too old: forget everything and take this.
    Resync {
        /// Ask with this the next time.
        version: StatusVersion,
        /// The state of every announcement, in the order of keys.
        all: Vec<(AnnouncementKey, AnnouncementState)>,
    },
}

/// A hand-over that did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandOverError {
    /// No successor claimed within the time; this node still answers, or has stopped where it must.
    #[error("no successor claimed {key:?} in time")]
    NoSuccessor {
        /// The announcement that nobody took.
        key: AnnouncementKey,
    },
    /// The announcer has been shut down.
    #[error("the announcer has stopped")]
    Stopped,
}

/// A back end that makes the network find addresses.
///
/// Object-safe; no runtime's type appears in a signature. All methods may be called from any thread.
///
/// Source: design section 4.
#[async_trait]
pub trait Announcer: Send + Sync + fmt::Debug {
    /// A short name for logs and metrics, such as `arp`.
    fn name(&self) -> &'static str;

    /// Whether this announcer can carry the announcement. A host hands each announcement to every announcer that says yes.
    fn supports(&self, announcement: &Announcement) -> bool;

    /// Takes the whole desired set: what is absent is withdrawn, the same set twice does nothing. What the announcer does not
    /// [support](Self::supports) is passed over.
    async fn replace(&self, desired: Arc<DesiredSet>);

    /// Takes what changed since a generation. The default takes the full set.
    async fn update(&self, change: Change) {
        self.replace(change.full).await;
    }

    /// What changed in what is really done on the wire since version `since`.
    fn status_since(&self, since: StatusVersion) -> StatusDelta;

    /// Resolves when the status is newer than `since`.
    async fn changed(&self, since: StatusVersion);

    /// Make before break: returns when it is safe for another to be the only owner of these announcements.
    ///
    /// # Errors
    /// [`HandOverError::NoSuccessor`] where nobody took over in time.
    async fn hand_over(&self, keys: &[AnnouncementKey]) -> Result<(), HandOverError>;

    /// Withdraws politely within the time given, then stops. Calling it twice does no harm.
    async fn shutdown(&self, within: Duration);
}
