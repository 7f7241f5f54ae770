//! What follows from configuration and nodes alone, worked out once: node sets, scores and attributes per advertisement, and
//! which pool an address is in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::DecideOptions;
use super::options::ExcludeLabel;
use crate::advertisement::{BgpAdvertisement, L2Advertisement};
use crate::announce::RouteAttributes;
use crate::community::Community;
use crate::config::Config;
use crate::config::between_advertisements::{PoolFamilies, disagreements};
use crate::family::IpFamily;
use crate::node::{NetworkCondition, Node};
use crate::node_set::NodeSet;
use crate::peer::Peer;
use crate::pool::Pool;
use crate::range::{AddressRange, address_to_number};
use crate::service::NodeName;

/// An L2 advertisement with the nodes it includes.
#[derive(Debug)]
pub(super) struct L2Plan {
    pub(super) advertisement: Arc<L2Advertisement>,
    pub(super) nodes: NodeSet,
    /// Scores above 0, by node, of included nodes alone ([API-L2-4]).
    scores: BTreeMap<usize, u32>,
}

impl L2Plan {
    fn new(advertisement: &Arc<L2Advertisement>, nodes: &[Node]) -> Self {
        let set = NodeSet::covered(&advertisement.node_selectors, nodes.iter().map(|node| &node.labels));
        let scored = (0..).zip(nodes).filter(|(index, _)| set.contains(*index));
        let scored = scored.map(|(index, node)| (index, advertisement.score(&node.labels)));
        let scores = scored.filter(|(_, score)| *score > 0).collect();
        Self { advertisement: Arc::clone(advertisement), nodes: set, scores }
    }

    /// What the advertisement adds to the node's score.
    pub(super) fn score(&self, node: usize) -> u32 {
        self.scores.get(&node).copied().unwrap_or(0)
    }
}

/// A BGP advertisement with the nodes it includes and the attributes it sets.
#[derive(Debug)]
pub(super) struct BgpPlan {
    pub(super) advertisement: Arc<BgpAdvertisement>,
    pub(super) nodes: NodeSet,
    pub(super) attributes: Arc<RouteAttributes>,
}

impl BgpPlan {
    fn new(advertisement: &Arc<BgpAdvertisement>, nodes: &[Node]) -> Self {
        let set = NodeSet::covered(&advertisement.node_selectors, nodes.iter().map(|node| &node.labels));
        let mut attributes = RouteAttributes {
            local_pref: advertisement.local_pref,
            as_path_prepend: advertisement.as_path_prepend,
            ..RouteAttributes::default()
        };
        for community in &advertisement.communities {
            match community {
                Community::Standard(value) => attributes.communities.push(*value),
                Community::Large(parts) => attributes.large_communities.push(*parts),
            }
        }
        attributes.large_communities.sort_unstable();
        Self { advertisement: Arc::clone(advertisement), nodes: set, attributes: Arc::new(attributes) }
    }
}

/// A pool with its advertisements.
#[derive(Debug)]
pub(super) struct PoolPlan {
    pub(super) pool: Arc<Pool>,
    pub(super) l2: Vec<Arc<L2Plan>>,
    pub(super) bgp: Vec<Arc<BgpPlan>>,
    /// Places in `bgp` of advertisements that give one route two values ([ADV-30]).
    pub(super) conflicts: Vec<(usize, usize)>,
}

/// Everything that does not depend on Services.
#[derive(Debug)]
pub(super) struct Plans {
    pub(super) config: Arc<Config>,
    pub(super) options: DecideOptions,
    /// Sorted by name, each name once.
    pub(super) nodes: Vec<Node>,
    pub(super) pools: Vec<PoolPlan>,
    /// The peers, and the nodes that open a session with them.
    pub(super) peers: Vec<(Arc<Peer>, NodeSet)>,
    /// Nodes that may take part in the election as far as their own state goes ([L2-1] steps 1 to 3).
    pub(super) candidates: NodeSet,
    /// Ascending and disjoint, with the place of their pool.
    ranges: Vec<(AddressRange, usize)>,
    /// Addresses that freezes keep, with the place of their pool.
    kept: BTreeMap<IpAddr, usize>,
}

impl Plans {
    pub(super) fn new(config: Arc<Config>, nodes: Vec<Node>, options: DecideOptions) -> Self {
        let by_name: BTreeMap<NodeName, Node> = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        let nodes: Vec<Node> = by_name.into_values().collect();
        let mut l2_plans: BTreeMap<Arc<str>, Arc<L2Plan>> = BTreeMap::new();
        let mut bgp_plans: BTreeMap<Arc<str>, Arc<BgpPlan>> = BTreeMap::new();
        let mut pools = Vec::with_capacity(config.pools().len());
        let (mut ranges, mut kept) = (Vec::new(), BTreeMap::new());
        for (index, configured) in config.pools().values().enumerate() {
            ranges.extend(configured.pool.ranges.iter().map(|range| (*range, index)));
            kept.extend(configured.pool.kept.iter().map(|address| (*address, index)));
            let l2 = configured.l2.iter().map(|advertisement| {
                let plan = l2_plans.entry(Arc::clone(&advertisement.name));
                Arc::clone(plan.or_insert_with(|| Arc::new(L2Plan::new(advertisement, &nodes))))
            });
            let bgp = configured.bgp.iter().map(|advertisement| {
                let plan = bgp_plans.entry(Arc::clone(&advertisement.name));
                Arc::clone(plan.or_insert_with(|| Arc::new(BgpPlan::new(advertisement, &nodes))))
            });
            let (l2, bgp) = (l2.collect(), bgp.collect::<Vec<_>>());
            let conflicts = conflicts(&configured.pool, &bgp);
            pools.push(PoolPlan { pool: Arc::clone(&configured.pool), l2, bgp, conflicts });
        }
        ranges.sort_unstable();
        let peers = config.peers().values().map(|peer| {
            let set = NodeSet::covered(&peer.node_selectors, nodes.iter().map(|node| &node.labels));
            (Arc::clone(peer), set)
        });
        let peers = peers.collect();
        let mut candidates = NodeSet::default();
        for (index, node) in nodes.iter().enumerate() {
            if options.is_candidate(node) {
                candidates.insert(index);
            }
        }
        Self { config, options, nodes, pools, peers, candidates, ranges, kept }
    }

    /// The node's place.
    pub(super) fn node_index(&self, node: &NodeName) -> Option<usize> {
        self.nodes.binary_search_by(|known| known.name.cmp(node)).ok()
    }

    /// The place of the pool that has the address ([ANN-6]); one that the pool avoids is not in it.
    fn pool_of(&self, address: IpAddr) -> Option<usize> {
        if let Some(pool) = self.kept.get(&address) {
            return Some(*pool);
        }
        let (family, number) = (IpFamily::of(address), address_to_number(address));
        let key = |range: &AddressRange| (range.family(), range.first_number());
        let after = self.ranges.partition_point(|(range, _)| key(range) <= (family, number));
        let (_, pool) = self.ranges.get(after.checked_sub(1)?)?;
        self.pools.get(*pool).filter(|plan| plan.pool.contains(address)).map(|_| *pool)
    }

    /// The place of the one pool that has all the addresses ([ANN-6]); `None` also where there are no addresses.
    pub(super) fn pool_of_all(&self, addresses: &[IpAddr]) -> Option<usize> {
        let pools: BTreeSet<Option<usize>> = addresses.iter().map(|address| self.pool_of(*address)).collect();
        match pools.into_iter().collect::<Vec<_>>().as_slice() {
            [Some(pool)] => Some(*pool),
            _ => None,
        }
    }
}

impl DecideOptions {
    /// [L2-1] steps 1 to 3.
    fn is_candidate(&self, node: &Node) -> bool {
        self.is_alive(&node.name) && node.network == NetworkCondition::Available && !self.excludes(node)
    }

    /// Whether a speaker lives on the node.
    pub(super) fn is_alive(&self, node: &NodeName) -> bool {
        self.live_nodes.as_ref().is_none_or(|live| live.contains(node))
    }

    /// Whether the node's exclude label counts ([ANN-44]).
    pub(super) fn excludes(&self, node: &Node) -> bool {
        self.exclude_label == ExcludeLabel::Respected && node.is_excluded()
    }
}

fn conflicts(pool: &Pool, plans: &[Arc<BgpPlan>]) -> Vec<(usize, usize)> {
    let has = |family| pool.ranges.iter().any(|range| range.family() == family);
    let families = PoolFamilies { v4: has(IpFamily::V4), v6: has(IpFamily::V6) };
    let mut found = Vec::new();
    for (later, left) in plans.iter().enumerate() {
        for (earlier, right) in plans.iter().enumerate().take(later) {
            if disagreements(families, &left.advertisement, &right.advertisement).next().is_some() {
                found.push((earlier, later));
            }
        }
    }
    found
}
