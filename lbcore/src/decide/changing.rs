//! Changes of nodes, configuration and options, each at the cost of what depends on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::DecideOptions;
use super::affected::{Affected, NodeExtent};
use super::facts::Endpoints;
use super::layout::Layout;
use super::placed::Placed;
use super::plans::Plans;
use super::snapshot::Snapshot;
use crate::advertisement::PeerSelection;
use crate::config::{Config, ConfiguredPool};
use crate::node::Node;
use crate::peer::Peer;
use crate::pool::Pool;
use crate::service::{NodeName, PoolName, ServiceKey};

impl Snapshot {
    /// Puts a node in, or another version of it. Costs the advertisements and the peers, no Service.
    pub fn set_node(&mut self, node: Node) -> Affected {
        let known = self.plans.node_index(&node.name).and_then(|place| self.plans.nodes.get(place));
        if known == Some(&node) {
            return Affected::default();
        }
        let name = node.name.clone();
        let extent = Arc::make_mut(&mut self.plans).put_node(node);
        of_node(name, extent)
    }

    /// Takes a node out. Costs the advertisements and the peers, no Service.
    pub fn remove_node(&mut self, name: &NodeName) -> Affected {
        if self.plans.node_index(name).is_none() {
            return Affected::default();
        }
        let extent = Arc::make_mut(&mut self.plans).remove_node(name);
        of_node(name.clone(), extent)
    }

    /// Makes these all the nodes there are; of nodes with one name the last counts.
    pub fn replace_nodes(&mut self, nodes: impl IntoIterator<Item = Node>) -> Affected {
        let nodes: BTreeMap<NodeName, Node> = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        let gone = self.nodes().map(|node| &node.name).filter(|name| !nodes.contains_key(*name));
        let gone: Vec<NodeName> = gone.cloned().collect();
        let mut affected = Affected::default();
        for name in gone {
            affected.extend(self.remove_node(&name));
        }
        for node in nodes.into_values() {
            affected.extend(self.set_node(node));
        }
        affected
    }

    /// Takes another configuration. Costs the pools, advertisements and peers, and the Services of those that differ.
    pub fn set_config(&mut self, config: Arc<Config>) -> Affected {
        if *self.config() == config {
            return Affected::default();
        }
        let after = Arc::new(self.plans.with_config(config));
        let before = std::mem::replace(&mut self.plans, Arc::clone(&after));
        let difference = Difference::between(&before.layout, &after.layout);
        let mut changed = self.services_in(&difference.pools, &[&before.layout, &after.layout]);
        changed.retain(|key| self.place_anew(key, &before, &after, &difference));
        let mut affected = Affected::default();
        for key in changed {
            if !affected.services.contains(&key) {
                self.add_reach(&key, &mut affected);
            }
        }
        for address in &affected.addresses {
            let now = after.prefixes_of(*address);
            affected.prefixes.extend(before.prefixes_of(*address).into_iter().filter(|prefix| !now.contains(prefix)));
        }
        affected
    }

    /// Takes other options. A change of the living nodes costs the nodes; one of [`MissingSlices`](super::MissingSlices) all Services.
    pub fn set_options(&mut self, options: DecideOptions) -> Affected {
        let mut affected = Affected::default();
        if *self.plans.options == options {
            return affected;
        }
        if self.plans.options.missing_slices != options.missing_slices {
            let without = self.services().filter(|facts| facts.endpoints == Endpoints::NoSlice);
            for key in without.map(|facts| facts.key.clone()).collect::<Vec<_>>() {
                self.add_reach(&key, &mut affected);
            }
        }
        for node in Arc::make_mut(&mut self.plans).set_options(options) {
            affected.add_node(node, NodeExtent::Everything);
        }
        affected
    }

    /// The Services with an address in one of these pools, by any of these layouts.
    pub(super) fn services_in(&self, pools: &BTreeSet<PoolName>, layouts: &[&Layout]) -> BTreeSet<ServiceKey> {
        let pools = layouts.iter().flat_map(|layout| pools.iter().filter_map(|pool| layout.pool_named(pool)));
        let ranges: BTreeSet<_> = pools.flat_map(|plan| plan.pool.extents()).collect();
        let holders = ranges.into_iter().flat_map(|range| self.holders_in(range));
        holders.flat_map(|(_, holders)| holders.iter().cloned()).collect()
    }

    /// Places a Service under the new plans; whether anything may be decided or announced differently for it.
    fn place_anew(&mut self, key: &ServiceKey, before: &Plans, after: &Plans, difference: &Difference) -> bool {
        let Some(old) = self.services.get(key) else { return false };
        let new = Placed::new(Arc::clone(&old.facts), after);
        if !new.is_placed_as(old) {
            self.services.insert_mut(key.clone(), Arc::new(new));
            return true;
        }
        let l2 = old.l2.iter().any(|place| {
            let plans = before.l2_plan(*place).zip(after.l2_plan(*place));
            plans.is_none_or(|(before, after)| !Arc::ptr_eq(before, after))
        });
        let bgp = || {
            old.bgp.iter().any(|place| {
                let plans = before.bgp_plan(*place).zip(after.bgp_plan(*place));
                plans.is_none_or(|(before, after)| {
                    !Arc::ptr_eq(before, after) || difference.concerns_peers(&after.advertisement.peers)
                })
            })
        };
        let conflicts = || {
            let conflicts = |plans: &Plans| old.pool_plan(&plans.layout).map(|pool| pool.conflicts.clone());
            !old.bgp.is_empty() && conflicts(before) != conflicts(after)
        };
        l2 || bgp() || conflicts()
    }
}

fn of_node(name: NodeName, extent: Option<NodeExtent>) -> Affected {
    let nodes = extent.map(|extent| (name, extent)).into_iter().collect();
    Affected { nodes, ..Affected::default() }
}

/// What differs between two configurations, as far as decisions look at it.
struct Difference {
    /// The pools whose Services have to be looked at.
    pools: BTreeSet<PoolName>,
    /// The names of peers that are new, gone, or have other sessions or routes.
    peers: BTreeSet<Arc<str>>,
}

impl Difference {
    fn between(before: &Layout, after: &Layout) -> Self {
        let (old, new) = (before.config.peers(), after.config.peers());
        let peers = old.keys().chain(new.keys()).filter(|name| {
            let both = old.get(*name).zip(new.get(*name));
            both.is_none_or(|(old, new)| !is_heard_alike(old, new))
        });
        let mut difference = Self { pools: BTreeSet::new(), peers: peers.cloned().collect() };
        let (old, new) = (before.config.pools(), after.config.pools());
        let pools = old.keys().chain(new.keys()).filter(|name| {
            let both = old.get(*name).zip(new.get(*name));
            both.is_none_or(|(old, new)| !is_decided_alike(old, new) || difference.concerns_pool(new))
        });
        let pools = pools.cloned().collect();
        difference.pools = pools;
        difference
    }

    fn concerns_peers(&self, selection: &PeerSelection) -> bool {
        self.peers.iter().any(|peer| selection.selects(peer))
    }

    fn concerns_pool(&self, pool: &ConfiguredPool) -> bool {
        !self.peers.is_empty() && pool.bgp.iter().any(|advertisement| self.concerns_peers(&advertisement.peers))
    }
}

/// Whether routes toward both are the same on the same nodes.
fn is_heard_alike(old: &Peer, new: &Peer) -> bool {
    old.families == new.families && old.session_kind() == new.session_kind() && old.node_selectors == new.node_selectors
}

/// Whether both have the same addresses and advertisements; who may be given an address does not matter here.
fn is_decided_alike(old: &ConfiguredPool, new: &ConfiguredPool) -> bool {
    let (labels, allocation) = (new.pool.labels.clone(), new.pool.allocation.clone());
    let alike = Pool { labels, allocation, auto_assign: new.pool.auto_assign, ..(*old.pool).clone() };
    (old.pool == new.pool || alike == *new.pool) && old.l2 == new.l2 && old.bgp == new.bgp
}
