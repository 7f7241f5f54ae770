//! What holds for a Service on every node: its pool, the advertisements that cover it, its endpoints, and the order of the nodes that
//! may answer for it ([ANN-1] to [ANN-34], [L2-1] to [L2-6]).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::mend::{mend_of_reason, rule_of_reason};
use super::{Trace, Verdict, list, selectors};
use crate::config::{Config, ConfiguredPool};
use crate::decide::{
    Endpoints, Layer2Decision, MissingSlices, Protocol, Reason, ServiceFacts, Snapshot, TrafficPolicy, UsableEndpoints,
    decide,
};
use crate::election;
use crate::labels::{Labels, Selector};
use crate::service::{NodeName, PoolName, ServiceKey};

/// What holds for a Service on every node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The one pool that has all its addresses ([ANN-6]).
    pub pool: Option<PoolName>,
    /// The nodes that may answer for its addresses, in the order of election; the first is the first owner ([L2-4]).
    pub order: Vec<NodeName>,
    /// The rules that were looked at.
    pub trace: Trace,
}

/// Explains what holds for a Service on every node. Costs a decision for each node.
///
/// Source: [ANN-1] to [ANN-34], [ADV-5], [ADV-8], [L2-4], [OWN-20].
pub fn standing(snapshot: &Snapshot, service: &ServiceKey) -> Standing {
    let mut standing = Standing::default();
    let trace = &mut standing.trace;
    let Some(facts) = snapshot.service(service) else {
        withhold(trace, &Reason::ServiceDeleted, Protocol::Layer2);
        return standing;
    };
    if facts.addresses.is_empty() {
        withhold(trace, &Reason::NoIpAllocated, Protocol::Layer2);
        return standing;
    }
    let Some(configured) = pool_of_all(snapshot.config(), &facts.addresses) else {
        withhold(trace, &Reason::IpNotAllowed, Protocol::Layer2);
        return standing;
    };
    let name = &configured.pool.name;
    let text = format!("pool {name} has {}", list(&facts.addresses));
    trace.step("ANN-6", Verdict::Passed, text).about("IPAddressPool", name.as_str());
    standing.pool = Some(name.clone());
    let layer2 = configured.l2.iter().map(|ad| (&ad.name, ad.service_selectors.as_slice()));
    tell_covering(trace, "L2Advertisement", "ADV-43", layer2, &facts.labels);
    let bgp = configured.bgp.iter().map(|ad| (&ad.name, ad.service_selectors.as_slice()));
    tell_covering(trace, "BGPAdvertisement", "ADV-8", bgp, &facts.labels);
    if configured.l2.is_empty() && configured.bgp.is_empty() {
        tell_elsewhere(trace, snapshot.config(), name);
    }
    tell_endpoints(trace, snapshot, facts);
    tell_group(trace, snapshot, service);
    tell_order(&mut standing, snapshot, service);
    standing
}

/// The pool that has all the addresses, by the predicate that decisions use.
pub(super) fn pool_of_all<'a>(config: &'a Config, addresses: &[IpAddr]) -> Option<&'a ConfiguredPool> {
    config.pools().values().find(|configured| addresses.iter().all(|address| configured.pool.contains(*address)))
}

/// Adds a refusal with its rule and its mend.
pub(super) fn withhold(trace: &mut Trace, reason: &Reason, protocol: Protocol) {
    let step = trace.step(rule_of_reason(reason, protocol), Verdict::Refused, reason.to_string());
    step.fix = mend_of_reason(reason);
}

fn tell_covering<'a>(
    trace: &mut Trace,
    kind: &'static str,
    rule: &'static str,
    advertisements: impl Iterator<Item = (&'a Arc<str>, &'a [Selector])>,
    labels: &Labels,
) {
    for (name, service_selectors) in advertisements {
        match selectors::none_matches(service_selectors, labels) {
            None => {
                let by = selectors::covering(service_selectors, labels).filter(|_| !service_selectors.is_empty());
                let by = by.map_or_else(String::new, |selector| format!(", by its serviceSelector {selector}"));
                trace.step(rule, Verdict::Passed, format!("it covers the Service{by}")).about(kind, name);
            }
            Some(unmet) => {
                let text = format!("its serviceSelectors do not match the Service: {unmet}");
                let fix = "label the Service so that one matches, or widen spec.serviceSelectors";
                trace.step(rule, Verdict::Refused, text).about(kind, name).mend(fix);
            }
        }
    }
}

/// Advertisements that are for other pools, where this one has none.
fn tell_elsewhere(trace: &mut Trace, config: &Config, pool: &PoolName) {
    let mut found: BTreeMap<(&'static str, Arc<str>), Vec<&PoolName>> = BTreeMap::new();
    for (name, configured) in config.pools() {
        for advertisement in &configured.l2 {
            found.entry(("L2Advertisement", Arc::clone(&advertisement.name))).or_default().push(name);
        }
        for advertisement in &configured.bgp {
            found.entry(("BGPAdvertisement", Arc::clone(&advertisement.name))).or_default().push(name);
        }
    }
    for ((kind, name), pools) in found {
        let rule = if kind == "L2Advertisement" { "ADV-40" } else { "ADV-5" };
        let text = format!("it is for other pools: {}", list(pools));
        let fix = format!("add {pool} to its spec.ipAddressPools, or write an advertisement for it");
        trace.step(rule, Verdict::Refused, text).about(kind, &name).mend(fix);
    }
}

fn tell_endpoints(trace: &mut Trace, snapshot: &Snapshot, facts: &ServiceFacts) {
    let policy = match facts.policy {
        TrafficPolicy::Cluster => "",
        TrafficPolicy::Local => "; externalTrafficPolicy is Local, so only these nodes may announce it",
    };
    match &facts.endpoints {
        Endpoints::NoSlice if snapshot.options().missing_slices == MissingSlices::ServedEverywhere => {
            let text = "no EndpointSlice is known for the Service, so every node counts as serving it";
            trace.step("ANN-20", Verdict::Noted, text);
        }
        Endpoints::NoSlice => {
            let step = trace.step("ANN-20", Verdict::Refused, "there is no EndpointSlice for the Service");
            step.fix = mend_of_reason(&Reason::NoEndpoints);
        }
        Endpoints::Counted { per_node, unplaced } => {
            let all = per_node.values().fold(unplaced.all, |sum, endpoints| sum.saturating_add(endpoints.all));
            if all == 0 {
                let step = trace.step("ANN-20", Verdict::Refused, "none of its endpoints is ready or serving");
                step.fix = mend_of_reason(&Reason::NoEndpoints);
            } else {
                let text = format!("{}{policy}", counted(all, per_node));
                trace.step("ANN-20", Verdict::Passed, text);
            }
        }
    }
}

fn counted(all: u32, per_node: &BTreeMap<NodeName, UsableEndpoints>) -> String {
    let plural = if all == 1 { "" } else { "s" };
    let nodes = per_node.iter().filter(|(_, endpoints)| endpoints.all > 0).map(|(node, _)| node);
    let nodes = list(nodes);
    let place = if nodes.is_empty() { "on nodes that are not known".to_owned() } else { format!("on {nodes}") };
    format!("{all} endpoint{plural} can serve, {place}")
}

/// [OWN-20]
fn tell_group(trace: &mut Trace, snapshot: &Snapshot, service: &ServiceKey) {
    let Some(group) = snapshot.group_of(service).filter(|group| group.services.len() > 1) else { return };
    let others: Vec<&ServiceKey> = group.services.iter().filter(|other| *other != service).collect();
    let text = format!("one node answers for it together with {}, because they share an address", list(&others));
    let step = trace.step("OWN-20", Verdict::Noted, text);
    for other in others {
        step.objects.push(super::ObjectName::service(other));
    }
}

/// [L2-4]
fn tell_order(standing: &mut Standing, snapshot: &Snapshot, service: &ServiceKey) {
    let Some(group) = snapshot.group_of(service) else { return };
    let mut scores: Vec<(NodeName, u32)> = Vec::new();
    for node in snapshot.nodes() {
        if let Layer2Decision::Stand(reach) = decide(snapshot, service, &node.name).layer2 {
            scores.push((node.name.clone(), reach.score));
        }
    }
    let scored: BTreeMap<NodeName, u32> = scores.iter().filter(|(_, score)| *score > 0).cloned().collect();
    standing.order = election::order(group.key.0, scores);
    let Some(first) = standing.order.first() else { return };
    let order = standing.order.iter().map(|node| match scored.get(node) {
        Some(score) => format!("{node} (score {score})"),
        None => node.to_string(),
    });
    let text = format!("{first} is the first owner; order for {}: {}", group.key.0, list(order));
    standing.trace.step("L2-4", Verdict::Chosen, text).about("Node", first.as_str());
}
