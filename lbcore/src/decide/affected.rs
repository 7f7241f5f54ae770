//! What a change can have an effect on.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use crate::service::{NodeName, PoolName, ServiceKey};

/// What a change of one node means for that node's own decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeExtent {
    /// Any of them may differ.
    Everything,
    /// Those for the Services of these pools may differ.
    Pools(BTreeSet<PoolName>),
}

impl NodeExtent {
    fn extend(&mut self, other: Self) {
        match (self, other) {
            (Self::Everything, _) => {}
            (Self::Pools(pools), Self::Pools(more)) => pools.extend(more),
            (extent @ Self::Pools(_), Self::Everything) => *extent = Self::Everything,
        }
    }
}

/// What a change can have an effect on: nothing else is decided differently by any node, or announced differently.
///
/// Who is the *first owner* of an address may besides differ for each group that one of the [`nodes`](Self::nodes) may answer for or
/// could before; [`Owners`](super::Owners) finds those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The Services that every node decides again, a changed one and those of its group included.
    pub services: BTreeSet<ServiceKey>,
    /// The addresses whose announcements may differ on every node, also those given up.
    pub addresses: BTreeSet<IpAddr>,
    /// Prefixes that no advertisement makes of these addresses any more.
    pub prefixes: BTreeSet<IpNetwork>,
    /// The nodes that were changed, came or went. The decisions of the others do not depend on them ([OWN-22]).
    pub nodes: BTreeMap<NodeName, NodeExtent>,
}

impl Affected {
    /// Whether nothing can differ.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty() && self.addresses.is_empty() && self.prefixes.is_empty() && self.nodes.is_empty()
    }

    /// Takes in another. What follows a series of changes is affected by what any of them affects.
    pub fn extend(&mut self, other: Self) {
        self.services.extend(other.services);
        self.addresses.extend(other.addresses);
        self.prefixes.extend(other.prefixes);
        for (node, extent) in other.nodes {
            self.add_node(node, extent);
        }
    }

    pub(super) fn add_node(&mut self, node: NodeName, extent: NodeExtent) {
        match self.nodes.get_mut(&node) {
            Some(known) => known.extend(extent),
            None => {
                self.nodes.insert(node, extent);
            }
        }
    }
}
