//! What one node announces of a Service, and why it does not ([ANN-24] to [ANN-49], [ADV-6], [ADV-7], [L2-1]).

use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::mend::{mend_of_reason, rule_of_reason};
use super::standing::{pool_of_all, withhold};
use super::{Trace, Verdict, list, selectors};
use crate::advertisement::covers;
use crate::config::ConfiguredPool;
use crate::decide::{
    BgpDecision, Decision, Endpoints, ExcludeLabel, Layer2Decision, Protocol, Reason, RouteRequest, Scope,
    ServiceFacts, Snapshot, TrafficPolicy, decide, first_owner,
};
use crate::family::IpFamily;
use crate::labels::{Labels, Selector};
use crate::node::{EXCLUDE_LABEL, NetworkCondition, Node};
use crate::peer::Peer;
use crate::service::{NodeName, ServiceKey};

/// A route that a peer hears of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerRoute {
    /// The prefix.
    pub prefix: IpNetwork,
    /// The peer's name.
    pub peer: Arc<str>,
}

/// What one node does with a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// What `decide` says.
    pub decision: Decision,
    /// The first owner on layer 2, of all nodes ([L2-4]).
    pub first_owner: Option<NodeName>,
    /// What the peers of the node hear of the Service, sorted.
    pub routes: Vec<PeerRoute>,
    /// The rules that were looked at.
    pub trace: Trace,
}

/// Explains what a node does with a Service. What holds for every node is told by [`standing`](super::standing).
///
/// Source: [ANN-24] to [ANN-49], [L2-1], [ADV-6], [ADV-7].
pub fn announcement(snapshot: &Snapshot, service: &ServiceKey, node: &NodeName) -> Announcement {
    let decision = decide(snapshot, service, node);
    let first_owner = first_owner(snapshot, service).map(|(first, _)| first);
    let mut trace = Trace::default();
    let known = snapshot.nodes().find(|known| known.name == *node);
    let facts = snapshot.service(service);
    let pool = facts.and_then(|facts| pool_of_all(snapshot.config(), &facts.addresses));
    if let (Some(known), Some(facts), Some(pool)) = (known, facts, pool) {
        tell_node(&mut trace, snapshot, known);
        tell_local(&mut trace, facts, known);
        tell_including(&mut trace, pool, facts, known);
    }
    match (&decision.layer2, pool) {
        (Layer2Decision::Withhold(reason @ Reason::NoAdvertisement), Some(pool))
            if pool.l2.is_empty() && !pool.bgp.is_empty() =>
        {
            let text = "layer 2: no L2Advertisement is for its pool, so it is announced by BGP alone";
            trace.step(rule_of_reason(reason, Protocol::Layer2), Verdict::Noted, text);
        }
        (layer2, _) => tell_layer2(&mut trace, layer2, node, first_owner.as_ref()),
    }
    let routes = tell_bgp(&mut trace, snapshot, &decision.bgp, pool, known);
    Announcement { decision, first_owner, routes, trace }
}

/// The node's own state ([L2-1] steps 1 to 3, [ANN-43], [ANN-44]).
fn tell_node(trace: &mut Trace, snapshot: &Snapshot, node: &Node) {
    let options = snapshot.options();
    if options.live_nodes.as_ref().is_some_and(|live| !live.contains(&node.name)) {
        withhold(trace, &Reason::NodeNotAlive, Protocol::Layer2);
    }
    if node.network == NetworkCondition::Unavailable {
        withhold(trace, &Reason::NodeNetworkUnavailable, Protocol::Layer2);
    }
    if node.is_excluded() {
        match options.exclude_label {
            ExcludeLabel::Respected => withhold(trace, &Reason::NodeExcluded, Protocol::Layer2),
            ExcludeLabel::Ignored => {
                trace.step("ANN-44", Verdict::Noted, format!("the node is labelled {EXCLUDE_LABEL}, which is ignored"));
            }
        }
    }
}

/// [ANN-24]
fn tell_local(trace: &mut Trace, facts: &ServiceFacts, node: &Node) {
    if facts.policy == TrafficPolicy::Cluster {
        return;
    }
    let Endpoints::Counted { per_node, .. } = &facts.endpoints else { return };
    match per_node.get(&node.name).map_or(0, |endpoints| endpoints.all) {
        0 => withhold(trace, &Reason::NoLocalEndpoints, Protocol::Layer2),
        1 => {
            trace.step("ANN-24", Verdict::Passed, "an endpoint on the node can serve");
        }
        count => {
            trace.step("ANN-24", Verdict::Passed, format!("{count} endpoints on the node can serve"));
        }
    }
}

/// The advertisements that cover the Service: which of them include the node ([ADV-6], [ADV-41]).
fn tell_including(trace: &mut Trace, pool: &ConfiguredPool, facts: &ServiceFacts, node: &Node) {
    let layer2 = pool.l2.iter().filter(|ad| ad.covers_service(&facts.labels));
    for advertisement in layer2 {
        let about = ("L2Advertisement", "ADV-41", &advertisement.name);
        tell_selection(trace, about, &advertisement.node_selectors, &node.labels);
    }
    let bgp = pool.bgp.iter().filter(|ad| ad.covers_service(&facts.labels));
    for advertisement in bgp {
        let about = ("BGPAdvertisement", "ADV-6", &advertisement.name);
        tell_selection(trace, about, &advertisement.node_selectors, &node.labels);
    }
}

fn tell_selection(
    trace: &mut Trace,
    (kind, rule, name): (&'static str, &'static str, &Arc<str>),
    node_selectors: &[Selector],
    labels: &Labels,
) {
    match selectors::none_matches(node_selectors, labels) {
        None if node_selectors.is_empty() => {
            trace.step(rule, Verdict::Passed, "it includes every node").about(kind, name);
        }
        None => {
            let by = selectors::covering(node_selectors, labels).unwrap_or_default();
            trace
                .step(rule, Verdict::Passed, format!("it includes the node, by its nodeSelector {by}"))
                .about(kind, name);
        }
        Some(unmet) => {
            let text = format!("its nodeSelectors leave the node out: {unmet}");
            let fix = "label the node so that one matches, or widen spec.nodeSelectors";
            trace.step(rule, Verdict::Refused, text).about(kind, name).mend(fix);
        }
    }
}

fn tell_layer2(trace: &mut Trace, decision: &Layer2Decision, node: &NodeName, first: Option<&NodeName>) {
    match decision {
        Layer2Decision::Stand(_) if first == Some(node) => {
            let text =
                "layer 2: it comes first in the election, so it answers unless another healthy node already does";
            trace.step("L2-4", Verdict::Chosen, text);
        }
        Layer2Decision::Stand(_) => {
            let first = first.map_or("another node", NodeName::as_str);
            let text = format!("layer 2: it stands by for {first}, which comes first in the election");
            trace.step("ANN-34", Verdict::Noted, text);
        }
        Layer2Decision::Withhold(reason) => tell_reason(trace, "layer 2", reason, Protocol::Layer2),
    }
}

fn tell_reason(trace: &mut Trace, protocol_name: &str, reason: &Reason, protocol: Protocol) {
    let place = match reason.scope() {
        Scope::Everywhere => "no node announces it",
        Scope::ThisNode => "not from this node",
    };
    let text = format!("{protocol_name}: {place}, because {reason}");
    trace.step(rule_of_reason(reason, protocol), Verdict::Refused, text).fix = mend_of_reason(reason);
}

fn tell_bgp(
    trace: &mut Trace,
    snapshot: &Snapshot,
    decision: &BgpDecision,
    pool: Option<&ConfiguredPool>,
    node: Option<&Node>,
) -> Vec<PeerRoute> {
    let requests = match decision {
        // What keeps the Service from both protocols is told once, and where no BGP advertisement is for the pool, BGP was not asked for.
        BgpDecision::Withhold(_) if pool.is_none_or(|pool| pool.bgp.is_empty()) => return Vec::new(),
        BgpDecision::Withhold(reason) => {
            tell_reason(trace, "BGP", reason, Protocol::Bgp);
            return Vec::new();
        }
        BgpDecision::Announce(requests) => requests,
    };
    let peers = snapshot.config().peers().values();
    let sessions: Vec<&Arc<Peer>> =
        peers.filter(|peer| node.is_some_and(|node| covers(&peer.node_selectors, &node.labels))).collect();
    let mut routes = Vec::new();
    for request in requests {
        let hearing: Vec<&Arc<Peer>> = sessions.iter().copied().filter(|peer| hears(peer, request)).collect();
        routes.extend(hearing.iter().map(|peer| PeerRoute { prefix: request.prefix, peer: Arc::clone(&peer.name) }));
        let about = ("BGPAdvertisement", &*request.advertisement);
        if hearing.is_empty() {
            let (text, fix) = nobody_hears(snapshot, &sessions, request);
            trace.step("ADV-7", Verdict::Refused, text).about(about.0, about.1).mend(fix);
        } else {
            let text =
                format!("BGP: it announces {} to {}", request.prefix, list(hearing.iter().map(|peer| &peer.name)));
            let step = trace.step("ADV-20", Verdict::Chosen, text).about(about.0, about.1);
            for peer in hearing {
                step.about("BGPPeer", &peer.name);
            }
        }
    }
    routes.sort();
    routes.dedup();
    routes
}

fn hears(peer: &Peer, request: &RouteRequest) -> bool {
    request.peers.selects(&peer.name) && peer.families.carries(IpFamily::of(request.prefix.ip()))
}

fn nobody_hears(snapshot: &Snapshot, sessions: &[&Arc<Peer>], request: &RouteRequest) -> (String, &'static str) {
    let prefix = request.prefix;
    if snapshot.config().peers().is_empty() {
        return (format!("BGP: nobody hears of {prefix}: there is no BGPPeer"), "create a BGPPeer");
    }
    if sessions.is_empty() {
        let text = format!("BGP: nobody hears of {prefix}: no BGPPeer selects the node");
        return (text, "widen the nodeSelectors of a BGPPeer");
    }
    if sessions.iter().any(|peer| request.peers.selects(&peer.name)) {
        let text = format!("BGP: nobody hears of {prefix}: the sessions do not carry {}", IpFamily::of(prefix.ip()));
        return (text, "reach a peer over that family, or set dualStackAddressFamily");
    }
    let text = format!("BGP: nobody hears of {prefix}: the advertisement names other peers than those of the node");
    (text, "add a peer of the node to spec.peers of the advertisement")
}
