//! Advertisements, checked: which addresses are announced, from which nodes, for which Services, and how
//! ([API-L2-1] to [API-L2-7], [ADV-1] to [ADV-8], [ADV-40] to [ADV-45]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use crate::community::Community;
use crate::family::IpFamily;
use crate::labels::{Labels, Selector, any_matches};
use crate::link::LinkSelection;

/// Whether a list of selectors covers the labels where the empty list means everything.
pub fn covers(selectors: &[Selector], labels: &Labels) -> bool {
    selectors.is_empty() || any_matches(selectors, labels)
}

/// A soft preference for nodes in the election on a segment ([L2-6]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Preference {
    /// Score added for a matching node, 1 to 100.
    pub weight: u32,
    /// The nodes that get it; the empty selector means all.
    pub nodes: Selector,
}

/// An L2Advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct L2Advertisement {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Nodes that may answer, OR-ed; empty means all. Sorted.
    pub node_selectors: Vec<Selector>,
    /// The links asked for.
    pub links: LinkSelection,
    /// Services that it covers, OR-ed; empty means all. Sorted.
    pub service_selectors: Vec<Selector>,
    /// Preferences; equal ones count twice. Sorted.
    pub preferences: Vec<Preference>,
}

impl L2Advertisement {
    /// Whether it covers a Service with these labels.
    pub fn covers_service(&self, labels: &Labels) -> bool {
        covers(&self.service_selectors, labels)
    }

    /// Whether a node with these labels may answer.
    pub fn includes_node(&self, labels: &Labels) -> bool {
        covers(&self.node_selectors, labels)
    }

    /// The sum of the weights that match the node's labels ([API-L2-4]). It counts only where the node is included.
    pub fn score(&self, labels: &Labels) -> u32 {
        let matching = self.preferences.iter().filter(|preference| preference.nodes.matches(labels));
        matching.fold(0, |sum, preference| sum.saturating_add(preference.weight))
    }
}

/// Which peers hear of an advertisement ([ADV-7]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerSelection {
    /// Every peer.
    All,
    /// The peers of these names; at least one. Unknown names select nothing.
    Named(BTreeSet<Arc<str>>),
}

impl PeerSelection {
    /// Whether a peer of this name is selected.
    pub fn selects(&self, peer: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(peer),
        }
    }

    /// Whether the two have a peer in common; `All` meets everything ([CFG-40]).
    pub fn intersects(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(left), Self::Named(right)) => !left.is_disjoint(right),
            (Self::All, _) | (_, Self::All) => true,
        }
    }
}

/// A BGPAdvertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpAdvertisement {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Nodes that announce, OR-ed; empty means all. Sorted.
    pub node_selectors: Vec<Selector>,
    /// Services that it covers, OR-ed; empty means all. Sorted.
    pub service_selectors: Vec<Selector>,
    /// The peers that hear of it.
    pub peers: PeerSelection,
    /// Length of IPv4 prefixes, 1 to 32.
    pub aggregation_v4: u8,
    /// Length of IPv6 prefixes, 0 to 128.
    pub aggregation_v6: u8,
    /// Local preference on internal sessions; `None` where unset ([FRR-8]: 0 counts as unset).
    pub local_pref: Option<u32>,
    /// How often our AS is prepended beyond once, 1 to 10; `None` where unset ([D162-1]).
    pub as_path_prepend: Option<u8>,
    /// Communities attached.
    pub communities: BTreeSet<Community>,
}

impl BgpAdvertisement {
    /// Whether it covers a Service with these labels.
    pub fn covers_service(&self, labels: &Labels) -> bool {
        covers(&self.service_selectors, labels)
    }

    /// Whether a node with these labels announces.
    pub fn includes_node(&self, labels: &Labels) -> bool {
        covers(&self.node_selectors, labels)
    }

    /// The prefix length for a family.
    pub const fn aggregation(&self, family: IpFamily) -> u8 {
        match family {
            IpFamily::V4 => self.aggregation_v4,
            IpFamily::V6 => self.aggregation_v6,
        }
    }

    /// The prefix that stands for an address ([ADV-20]): the address with its host bits cleared.
    pub fn prefix_of(&self, address: IpAddr) -> IpNetwork {
        let length = self.aggregation(IpFamily::of(address));
        let masked = IpNetwork::new(address, length).map(|network| network.network());
        masked.and_then(|network| IpNetwork::new(network, length)).unwrap_or_else(|_| IpNetwork::from(address))
    }
}
