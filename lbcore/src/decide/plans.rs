//! What follows from configuration and nodes alone, worked out once: node sets, scores and attributes per advertisement, and the nodes
//! that may take part in elections. A change of one node costs the advertisements and peers, not the Services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::DecideOptions;
use super::affected::NodeExtent;
use super::layout::{Layout, PoolPlan, put_at};
use super::nodes::Nodes;
use super::options::ExcludeLabel;
use crate::advertisement::{BgpAdvertisement, L2Advertisement};
use crate::announce::RouteAttributes;
use crate::community::Community;
use crate::config::Config;
use crate::labels::{Labels, Selector};
use crate::node::{NetworkCondition, Node};
use crate::node_set::NodeSet;
use crate::peer::Peer;
use crate::service::{NodeName, PoolName};

/// The nodes that a list of selectors covers.
fn covered(selectors: &[Selector], nodes: &Nodes) -> NodeSet {
    let mut set = NodeSet::default();
    for (place, node) in nodes.placed() {
        if crate::advertisement::covers(selectors, &node.labels) {
            set.insert(place);
        }
    }
    set
}

/// An L2 advertisement with the nodes it includes.
#[derive(Clone, Debug)]
pub(super) struct L2Plan {
    pub(super) advertisement: Arc<L2Advertisement>,
    pub(super) nodes: NodeSet,
    /// Scores above 0, by node, of included nodes alone ([API-L2-4]).
    scores: BTreeMap<usize, u32>,
}

impl L2Plan {
    fn new(advertisement: &Arc<L2Advertisement>, nodes: &Nodes) -> Self {
        let set = covered(&advertisement.node_selectors, nodes);
        let mut plan = Self { advertisement: Arc::clone(advertisement), nodes: set, scores: BTreeMap::new() };
        if !advertisement.preferences.is_empty() {
            let scored = nodes.placed().map(|(place, node)| (place, plan.score_of(&node.labels)));
            plan.scores = scored.filter(|(_, score)| *score > 0).collect();
        }
        plan
    }

    /// What the advertisement adds to the score of a node with these labels; 0 where it does not include it.
    fn score_of(&self, labels: &Labels) -> u32 {
        if self.advertisement.includes_node(labels) { self.advertisement.score(labels) } else { 0 }
    }

    /// What the advertisement adds to the node's score.
    pub(super) fn score(&self, node: usize) -> u32 {
        self.scores.get(&node).copied().unwrap_or(0)
    }

    /// Whether any node has a score above 0.
    pub(super) fn has_scores(&self) -> bool {
        !self.scores.is_empty()
    }

    /// Whether both give the same scores.
    pub(super) fn scores_as(&self, other: &Self) -> bool {
        self.scores == other.scores
    }
}

/// A BGP advertisement with the nodes it includes and the attributes it sets.
#[derive(Clone, Debug)]
pub(super) struct BgpPlan {
    pub(super) advertisement: Arc<BgpAdvertisement>,
    pub(super) nodes: NodeSet,
    pub(super) attributes: Arc<RouteAttributes>,
}

impl BgpPlan {
    fn new(advertisement: &Arc<BgpAdvertisement>, nodes: &Nodes) -> Self {
        let set = covered(&advertisement.node_selectors, nodes);
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

/// A peer and the nodes that open a session with it.
#[derive(Clone, Debug)]
pub(super) struct PeerPlan {
    pub(super) peer: Arc<Peer>,
    pub(super) nodes: NodeSet,
}

/// Everything that does not depend on Services.
#[derive(Clone, Debug)]
pub(super) struct Plans {
    pub(super) layout: Arc<Layout>,
    pub(super) options: Arc<DecideOptions>,
    pub(super) nodes: Nodes,
    /// By the place that the layout gives.
    l2: Vec<Option<Arc<L2Plan>>>,
    bgp: Vec<Option<Arc<BgpPlan>>>,
    /// In the order of their names.
    pub(super) peers: Vec<PeerPlan>,
    /// Nodes that may take part in the election as far as their own state goes ([L2-1] steps 1 to 3).
    pub(super) candidates: NodeSet,
}

/// What of a node's own state counts for it ([L2-1] steps 1 to 3, [ANN-43], [ANN-44]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fitness {
    is_alive: bool,
    network: NetworkCondition,
    is_excluded: bool,
}

impl Fitness {
    const fn is_candidate(self) -> bool {
        self.is_alive && matches!(self.network, NetworkCondition::Available) && !self.is_excluded
    }
}

impl Plans {
    pub(super) fn new(config: Arc<Config>, nodes: Vec<Node>, options: DecideOptions) -> Self {
        let mut plans = Self {
            layout: Arc::new(Layout::new(config, None)),
            options: Arc::new(options),
            nodes: Nodes::new(nodes),
            l2: Vec::new(),
            bgp: Vec::new(),
            peers: Vec::new(),
            candidates: NodeSet::default(),
        };
        plans.plan_advertisements();
        plans.choose_candidates();
        plans
    }

    /// The same nodes and options under another configuration.
    pub(super) fn with_config(&self, config: Arc<Config>) -> Self {
        let mut plans = Self { layout: Arc::new(Layout::new(config, Some(&self.layout))), ..self.clone() };
        plans.plan_advertisements();
        plans
    }

    /// Makes the plans of the layout's advertisements and peers; what is the same as before is kept.
    fn plan_advertisements(&mut self) {
        let layout = Arc::clone(&self.layout);
        let mut l2: Vec<Option<Arc<L2Plan>>> = Vec::new();
        for (place, advertisement) in layout.l2_advertisements() {
            let kept = self.l2_plan(place).filter(|plan| plan.advertisement == *advertisement);
            let plan = kept.map_or_else(|| Arc::new(L2Plan::new(advertisement, &self.nodes)), Arc::clone);
            put_at(&mut l2, place, plan);
        }
        let mut bgp: Vec<Option<Arc<BgpPlan>>> = Vec::new();
        for (place, advertisement) in layout.bgp_advertisements() {
            let kept = self.bgp_plan(place).filter(|plan| plan.advertisement == *advertisement);
            let plan = kept.map_or_else(|| Arc::new(BgpPlan::new(advertisement, &self.nodes)), Arc::clone);
            put_at(&mut bgp, place, plan);
        }
        let peers = layout.config.peers().values();
        let peers =
            peers.map(|peer| PeerPlan { peer: Arc::clone(peer), nodes: covered(&peer.node_selectors, &self.nodes) });
        self.peers = peers.collect();
        (self.l2, self.bgp) = (l2, bgp);
    }

    fn choose_candidates(&mut self) {
        let mut candidates = NodeSet::default();
        for (place, node) in self.nodes.placed() {
            if self.options.fitness(node).is_candidate() {
                candidates.insert(place);
            }
        }
        self.candidates = candidates;
    }

    /// Puts a node in or replaces it; `None` where nothing that counts has changed.
    pub(super) fn put_node(&mut self, node: Node) -> Option<NodeExtent> {
        let before = self.node_index(&node.name).and_then(|place| self.nodes.get(place)).cloned();
        if before.as_ref() == Some(&node) {
            return None;
        }
        let fitness = self.options.fitness(&node);
        let labels = node.labels.clone();
        let place = self.nodes.put(node);
        self.candidates.set(place, fitness.is_candidate());
        let pools = self.bring_into_advertisements(place, Some(&labels));
        let same_sessions = self.bring_into_peers(place, Some(&labels));
        let same_fitness = before.is_some_and(|before| self.options.fitness(&before) == fitness);
        if !(same_fitness && same_sessions) {
            return Some(NodeExtent::Everything);
        }
        let names = pools.into_iter().filter_map(|pool| Some(self.layout.pool(pool)?.pool.name.clone()));
        let pools: BTreeSet<PoolName> = names.collect();
        (!pools.is_empty()).then_some(NodeExtent::Pools(pools))
    }

    /// Takes a node out; `None` where it was not there.
    pub(super) fn remove_node(&mut self, name: &NodeName) -> Option<NodeExtent> {
        let place = self.nodes.remove(name)?;
        self.candidates.set(place, false);
        self.bring_into_advertisements(place, None);
        self.bring_into_peers(place, None);
        Some(NodeExtent::Everything)
    }

    /// Brings the node sets and scores in line with the labels of the node at the place, or with its absence. Gives the places of the
    /// pools for which that makes a difference.
    fn bring_into_advertisements(&mut self, place: usize, labels: Option<&Labels>) -> BTreeSet<usize> {
        let mut pools = BTreeSet::new();
        for (at, plan) in self.l2.iter_mut().enumerate().filter_map(|(at, plan)| Some((at, plan.as_mut()?))) {
            let is_in = labels.is_some_and(|labels| plan.advertisement.includes_node(labels));
            let score = labels.map_or(0, |labels| plan.score_of(labels));
            if is_in == plan.nodes.contains(place) && score == plan.score(place) {
                continue;
            }
            let plan = Arc::make_mut(plan);
            plan.nodes.set(place, is_in);
            if score > 0 {
                plan.scores.insert(place, score);
            } else {
                plan.scores.remove(&place);
            }
            pools.extend(self.layout.pools_of_l2(at));
        }
        for (at, plan) in self.bgp.iter_mut().enumerate().filter_map(|(at, plan)| Some((at, plan.as_mut()?))) {
            let is_in = labels.is_some_and(|labels| plan.advertisement.includes_node(labels));
            if is_in != plan.nodes.contains(place) {
                Arc::make_mut(plan).nodes.set(place, is_in);
                pools.extend(self.layout.pools_of_bgp(at));
            }
        }
        pools
    }

    /// The same for the peers; whether the node has sessions with the same ones as before.
    fn bring_into_peers(&mut self, place: usize, labels: Option<&Labels>) -> bool {
        let mut is_same = true;
        for plan in &mut self.peers {
            let is_in = labels.is_some_and(|labels| plan.peer.includes_node(labels));
            is_same &= is_in == plan.nodes.contains(place);
            plan.nodes.set(place, is_in);
        }
        is_same
    }

    /// Takes other options, and gives the nodes whose own state counts otherwise now.
    pub(super) fn set_options(&mut self, options: DecideOptions) -> Vec<NodeName> {
        let before = std::mem::replace(&mut self.options, Arc::new(options));
        let differs = |node: &&Node| before.fitness(node) != self.options.fitness(node);
        let differing = self.nodes.iter().filter(differs).map(|node| node.name.clone()).collect();
        self.choose_candidates();
        differing
    }

    /// The node's place.
    pub(super) fn node_index(&self, node: &NodeName) -> Option<usize> {
        self.nodes.place(node)
    }

    /// The L2 advertisement at a place.
    pub(super) fn l2_plan(&self, place: usize) -> Option<&Arc<L2Plan>> {
        self.l2.get(place)?.as_ref()
    }

    /// The BGP advertisement at a place.
    pub(super) fn bgp_plan(&self, place: usize) -> Option<&Arc<BgpPlan>> {
        self.bgp.get(place)?.as_ref()
    }

    /// The pool at a place.
    pub(super) fn pool(&self, place: usize) -> Option<&PoolPlan> {
        self.layout.pool(place)
    }

    /// The prefixes that stand for an address in any advertisement of its pool, whether or not one applies.
    pub(super) fn prefixes_of(&self, address: IpAddr) -> BTreeSet<IpNetwork> {
        let pool = self.layout.pool_of_all(&[address]).and_then(|pool| self.pool(pool));
        let places = pool.into_iter().flat_map(|pool| pool.bgp.iter());
        places.filter_map(|place| Some(self.bgp_plan(*place)?.advertisement.prefix_of(address))).collect()
    }
}

impl DecideOptions {
    fn fitness(&self, node: &Node) -> Fitness {
        Fitness { is_alive: self.is_alive(&node.name), network: node.network, is_excluded: self.excludes(node) }
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
