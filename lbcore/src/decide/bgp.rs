//! BGP: which prefixes a node announces for a Service, and what each peer hears ([ANN-40] to [ANN-49], [ADV-20] to [ADV-34]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::facts::{Endpoints, TrafficPolicy};
use super::layer2::gate;
use super::options::MissingSlices;
use super::placed::Placed;
use super::plans::{BgpPlan, Plans};
use super::reason::Reason;
use super::snapshot::Snapshot;
use crate::advertisement::PeerSelection;
use crate::announce::{RouteAttributes, RoutedPart};
use crate::family::IpFamily;
use crate::node::NetworkCondition;
use crate::peer::{Peer, SessionKind};
use crate::service::{NodeName, ServiceKey};

/// One route asked for by one advertisement for one address of a Service ([ADV-20]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteRequest {
    /// The prefix, host bits cleared.
    pub prefix: IpNetwork,
    /// The peers that hear of it, as far as they have a session with the node.
    pub peers: PeerSelection,
    /// What goes with it.
    pub attributes: Arc<RouteAttributes>,
    /// The advertisement's name.
    pub advertisement: Arc<str>,
}

/// The advertisements by which the node announces the Service.
fn announced<'a>(placed: &Placed, plans: &'a Plans, node: usize) -> Result<Vec<&'a BgpPlan>, Reason> {
    gate(placed)?;
    if placed.bgp.is_empty() {
        return Err(Reason::NoAdvertisement);
    }
    let including = |place: &usize| plans.bgp_plan(*place).filter(|plan| plan.nodes.contains(node)).map(AsRef::as_ref);
    let applying: Vec<&BgpPlan> = placed.bgp.iter().filter_map(including).collect();
    if applying.is_empty() {
        return Err(Reason::NoMatchingAdvertisement);
    }
    check_conflict(placed, plans, node)?;
    let known = plans.nodes.get(node).ok_or(Reason::NodeUnknown)?;
    if !plans.options.is_alive(&known.name) {
        return Err(Reason::NodeNotAlive);
    }
    if known.network == NetworkCondition::Unavailable {
        return Err(Reason::NodeNetworkUnavailable);
    }
    if plans.options.excludes(known) {
        return Err(Reason::NodeExcluded);
    }
    check_endpoints(placed, plans, &known.name)?;
    Ok(applying)
}

/// [ANN-42]: two advertisements that apply here give one route two values.
fn check_conflict(placed: &Placed, plans: &Plans, node: usize) -> Result<(), Reason> {
    let Some(pool) = placed.pool_plan(&plans.layout) else { return Ok(()) };
    for (earlier, later) in &pool.conflicts {
        let applies = |place: &usize| {
            let plan = plans.bgp_plan(*place).filter(|plan| plan.nodes.contains(node))?;
            placed.bgp.contains(place).then_some(&plan.advertisement.name)
        };
        if let (Some(one), Some(other)) = (applies(earlier), applies(later)) {
            return Err(Reason::ConflictingAdvertisements { advertisements: [one.to_string(), other.to_string()] });
        }
    }
    Ok(())
}

/// [ANN-45], [ANN-46]; an endpoint without an address does not count ([ANN-22]).
fn check_endpoints(placed: &Placed, plans: &Plans, node: &NodeName) -> Result<(), Reason> {
    let local = placed.facts.policy == TrafficPolicy::Local;
    match &placed.facts.endpoints {
        Endpoints::NoSlice if plans.options.missing_slices == MissingSlices::ServedEverywhere => Ok(()),
        Endpoints::NoSlice if local => Err(Reason::NoLocalEndpoints),
        Endpoints::NoSlice => Err(Reason::NoEndpoints),
        Endpoints::Counted { per_node, .. } if local => match per_node.get(node) {
            Some(endpoints) if endpoints.with_address > 0 => Ok(()),
            _ => Err(Reason::NoLocalEndpoints),
        },
        Endpoints::Counted { per_node, unplaced } => {
            let any = unplaced.with_address > 0 || per_node.values().any(|endpoints| endpoints.with_address > 0);
            if any { Ok(()) } else { Err(Reason::NoEndpoints) }
        }
    }
}

/// The decision of one node for one Service.
pub(super) fn decide(snapshot: &Snapshot, placed: &Placed, node: &NodeName) -> Result<Vec<RouteRequest>, Reason> {
    let plans = &snapshot.plans;
    gate(placed)?;
    let node = plans.node_index(node).ok_or(Reason::NodeUnknown)?;
    let applying = announced(placed, plans, node)?;
    let requests = placed.facts.addresses.iter().flat_map(|address| {
        applying.iter().map(|plan| RouteRequest {
            prefix: plan.advertisement.prefix_of(*address),
            peers: plan.advertisement.peers.clone(),
            attributes: Arc::clone(&plan.attributes),
            advertisement: Arc::clone(&plan.advertisement.name),
        })
    });
    Ok(requests.collect())
}

/// What several requests for one prefix come to.
#[derive(Debug, Default)]
pub(super) struct MergedRoute {
    pub(super) services: BTreeSet<ServiceKey>,
    /// By the peer's place.
    parts: BTreeMap<usize, RouteAttributes>,
}

impl MergedRoute {
    /// Takes in a request: communities are united, of two values the higher counts ([ADV-33]).
    fn add(&mut self, service: &ServiceKey, plan: &BgpPlan, peers: &[(usize, &Peer)], family: IpFamily) {
        for (place, peer) in peers {
            if !plan.advertisement.peers.selects(&peer.name) || !peer.families.carries(family) {
                continue;
            }
            self.services.insert(service.clone());
            let part = self.parts.entry(*place).or_default();
            let kind = peer.session_kind();
            if kind == SessionKind::Internal {
                part.local_pref = part.local_pref.max(plan.attributes.local_pref);
            } else {
                part.as_path_prepend = part.as_path_prepend.max(plan.attributes.as_path_prepend);
            }
            part.communities.extend(&plan.attributes.communities);
            part.large_communities.extend(&plan.attributes.large_communities);
        }
    }

    /// Each peer's place with what it hears.
    fn into_parts(self) -> impl Iterator<Item = (usize, RouteAttributes)> {
        self.parts.into_iter().map(|(place, mut attributes)| {
            attributes.communities.sort_unstable();
            attributes.communities.dedup();
            attributes.large_communities.sort_unstable();
            attributes.large_communities.dedup();
            (place, attributes)
        })
    }

    /// Peers that hear the same put together, in the order of the first peer of each.
    pub(super) fn into_routed_parts(self, plans: &Plans) -> Arc<[RoutedPart]> {
        let mut parts: Vec<(RouteAttributes, Vec<Arc<str>>)> = Vec::new();
        for (place, attributes) in self.into_parts() {
            let Some(peer) = plans.peers.get(place).map(|plan| &plan.peer) else { continue };
            match parts.iter_mut().find(|(known, _)| *known == attributes) {
                Some((_, peers)) => peers.push(Arc::clone(&peer.name)),
                None => parts.push((attributes, vec![Arc::clone(&peer.name)])),
            }
        }
        let parts = parts.into_iter();
        parts.map(|(attributes, peers)| RoutedPart { peers: peers.into(), attributes: Arc::new(attributes) }).collect()
    }
}

/// The peers that the node has a session with, with their places: none where no speaker lives on it.
fn sessions(plans: &Plans, node: usize) -> Vec<(usize, &Peer)> {
    if !plans.nodes.get(node).is_some_and(|node| plans.options.is_alive(&node.name)) {
        return Vec::new();
    }
    let peers = plans.peers.iter().enumerate().filter(|(_, plan)| plan.nodes.contains(node));
    peers.map(|(place, plan)| (place, plan.peer.as_ref())).collect()
}

/// Every prefix that the node announces to somebody.
pub(super) fn all_routes(snapshot: &Snapshot, node: usize) -> BTreeMap<IpNetwork, MergedRoute> {
    let plans = &snapshot.plans;
    let peers = sessions(plans, node);
    let mut routes: BTreeMap<IpNetwork, MergedRoute> = BTreeMap::new();
    if peers.is_empty() {
        return routes;
    }
    for placed in snapshot.all_placed() {
        let Ok(applying) = announced(placed, plans, node) else { continue };
        for address in &placed.facts.addresses {
            for plan in &applying {
                let prefix = plan.advertisement.prefix_of(*address);
                let route = routes.entry(prefix).or_default();
                route.add(&placed.facts.key, plan, &peers, IpFamily::of(*address));
            }
        }
    }
    routes.retain(|_, route| !route.services.is_empty());
    routes
}

/// One prefix as the node announces it; `None` where nobody hears of it.
pub(super) fn route_of(snapshot: &Snapshot, node: usize, prefix: IpNetwork) -> Option<MergedRoute> {
    let plans = &snapshot.plans;
    let peers = sessions(plans, node);
    let mut route = MergedRoute::default();
    for address in snapshot.addresses_in(prefix) {
        for placed in snapshot.placed_at(address) {
            let Ok(applying) = announced(placed, plans, node) else { continue };
            for plan in applying.iter().filter(|plan| plan.advertisement.prefix_of(address) == prefix) {
                route.add(&placed.facts.key, plan, &peers, IpFamily::of(address));
            }
        }
    }
    (!route.services.is_empty()).then_some(route)
}

/// The peers that hear of a prefix from the node, whichever Services it is announced for. It costs what has an address in the prefix,
/// where [`routes_by_peer`] costs all that the node announces.
///
/// Source: [ADV-20], [STAT-22].
pub fn peers_of_prefix(snapshot: &Snapshot, node: &NodeName, prefix: IpNetwork) -> BTreeSet<Arc<str>> {
    let plans = &snapshot.plans;
    let route = plans.node_index(node).and_then(|node| route_of(snapshot, node, prefix));
    let places = route.into_iter().flat_map(MergedRoute::into_parts).map(|(place, _)| place);
    places.filter_map(|place| plans.peers.get(place)).map(|plan| Arc::clone(&plan.peer.name)).collect()
}

/// What each peer that the node has a session with hears: prefixes with what goes with them. A peer that hears nothing is there
/// with no prefix; one without a session is not there. Local preference stands on internal sessions alone, prepending on
/// external ones ([FRR-8], [D162-1]).
///
/// Source: [ADV-20] to [ADV-34].
pub fn routes_by_peer(
    snapshot: &Snapshot,
    node: &NodeName,
) -> BTreeMap<Arc<str>, BTreeMap<IpNetwork, RouteAttributes>> {
    let plans = &snapshot.plans;
    let Some(node) = plans.node_index(node) else { return BTreeMap::new() };
    let mut heard: BTreeMap<Arc<str>, BTreeMap<IpNetwork, RouteAttributes>> =
        sessions(plans, node).iter().map(|(_, peer)| (Arc::clone(&peer.name), BTreeMap::new())).collect();
    for (prefix, route) in all_routes(snapshot, node) {
        for (place, attributes) in route.into_parts() {
            let routes = plans.peers.get(place).and_then(|plan| heard.get_mut(&plan.peer.name));
            if let Some(routes) = routes {
                routes.insert(prefix, attributes);
            }
        }
    }
    heard
}
