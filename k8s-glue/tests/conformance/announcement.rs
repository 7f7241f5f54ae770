//! Expectations about announcements: owners and links on layer 2, routes of each peer, and reasons.

use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_glue::plan;
use lbcore::decide::{
    BgpDecision, Protocol, Snapshot, decide, first_owner_of_address, routes_by_peer, why_not_first_owner,
};
use lbcore::link::LinkSelection;
use lbcore::service::{NodeName, ServiceKey};
use serde_json::{Map, Value, json};

use crate::comparison::{Differences, entries, texts};
use crate::world::World;

pub(crate) fn compare(world: &World, expect: &Map<String, Value>) -> Differences {
    let wanted = ["l2", "l2_interfaces", "bgp", "why"].iter().any(|name| expect.contains_key(*name));
    if !wanted {
        return Differences::new();
    }
    let snapshot = world.snapshot();
    let mut differences = owners(world, &snapshot, expect);
    differences.extend(links(&snapshot, expect));
    let bgp = entries(expect.get("bgp"));
    differences.extend(bgp.iter().flat_map(|(node, peers)| routes(world, &snapshot, node, peers)));
    differences.extend(reasons(&snapshot, expect));
    differences
}

fn owners(world: &World, snapshot: &Snapshot, expect: &Map<String, Value>) -> Differences {
    let (owners, _) = plan::owners(snapshot, world.plan_settings());
    let mut differences = Differences::new();
    for (address, expected) in entries(expect.get("l2")) {
        let address: IpAddr = address.parse().unwrap();
        let found = owners.iter().find(|owner| owner.ip == address).map(|owner| owner.node.as_str());
        let fits = match expected.get("one_of") {
            Some(nodes) => found.is_some_and(|found| texts(Some(nodes)).iter().any(|node| node == found)),
            None => json!(found) == expected || world.expects_less() && expected.is_null(),
        };
        if !fits {
            differences.push(format!("l2 {address}: expected {expected}, found {found:?}"));
        }
    }
    differences
}

fn links(snapshot: &Snapshot, expect: &Map<String, Value>) -> Differences {
    let mut differences = Differences::new();
    for (address, expected) in entries(expect.get("l2_interfaces")) {
        let found = match first_owner_of_address(snapshot, address.parse().unwrap()) {
            None => json!(null),
            Some((_, LinkSelection::All)) => json!("all"),
            Some((_, LinkSelection::Named(names))) => json!(names.iter().collect::<Vec<_>>()),
        };
        let as_set = |value: &Value| texts(Some(value)).into_iter().collect::<BTreeSet<_>>();
        if as_set(&found) != as_set(&expected) {
            differences.push(format!("l2_interfaces {address}: expected {expected}, found {found}"));
        }
    }
    differences
}

fn routes(world: &World, snapshot: &Snapshot, node: &str, peers: &Value) -> Differences {
    let heard = routes_by_peer(snapshot, &NodeName::new(node).unwrap());
    let planned = plan::routes(snapshot);
    let mut differences = Differences::new();
    let names: BTreeSet<String> =
        entries(Some(peers)).into_iter().map(|(peer, _)| peer).chain(heard.keys().map(ToString::to_string)).collect();
    for peer in names {
        let expected = peers.get(&peer).cloned().unwrap_or(Value::Null);
        let has_session = heard.keys().any(|known| **known == *peer);
        let of_peer = planned.iter().filter(|route| route.node == node && route.peer == peer);
        let found: BTreeSet<String> = of_peer.map(|route| normal(&serde_json::to_value(route).unwrap())).collect();
        let wanted: Option<BTreeSet<String>> = expected.as_array().map(|routes| routes.iter().map(normal).collect());
        let fits = match wanted {
            None => !has_session || world.expects_less(),
            Some(wanted) => has_session && (wanted == found || world.expects_less() && wanted.is_subset(&found)),
        };
        if !fits {
            differences.push(format!("bgp {node} {peer}: expected {expected}, found {has_session} {found:?}"));
        }
    }
    differences
}

/// A route with its sets sorted and what the vectors leave out gone.
fn normal(route: &Value) -> String {
    let set = |name: &str| texts(route.get(name)).into_iter().collect::<BTreeSet<_>>();
    format!("{} {} {:?} {:?}", route["prefix"], route["localPref"], set("communities"), set("largeCommunities"))
}

fn reasons(snapshot: &Snapshot, expect: &Map<String, Value>) -> Differences {
    let mut differences = Differences::new();
    for (service, nodes) in entries(expect.get("why")) {
        let key: ServiceKey = service.parse().unwrap();
        for (node, protocols) in entries(Some(&nodes)) {
            let name = NodeName::new(node.as_str()).unwrap();
            for (protocol, expected) in entries(Some(&protocols)) {
                let found = match protocol.as_str() {
                    "l2" => why_not_first_owner(snapshot, &key, &name).map(|reason| reason.category(Protocol::Layer2)),
                    _ => match decide(snapshot, &key, &name).bgp {
                        BgpDecision::Withhold(reason) => Some(reason.category(Protocol::Bgp)),
                        BgpDecision::Announce(_) => None,
                    },
                };
                if json!(found) != expected {
                    differences.push(format!("why {service} {node} {protocol}: expected {expected}, found {found:?}"));
                }
            }
        }
    }
    differences
}
