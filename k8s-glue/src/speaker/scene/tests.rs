//! Tests of what the node decides on.

use lbcore::decide::{Layer2Decision, NodeExtent, decide};
use serde_json::{Value, json};

use super::*;
use crate::cluster::watch::ObjectName;

fn seen(kind: Kind, namespace: &str, name: &str, rest: &Value) -> Seen {
    let mut value = rest.as_object().cloned().unwrap_or_default();
    value.insert("apiVersion".to_owned(), kind.resource().api_version.into());
    value.insert("kind".to_owned(), kind.as_str().into());
    let mut metadata = json!({"name": name, "namespace": namespace});
    if let Some(labels) = value.remove("labels") {
        metadata["labels"] = labels;
    }
    value.insert("metadata".to_owned(), metadata);
    Seen::Object(kind, ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }, value)
}

fn ours(kind: Kind, name: &str, spec: &Value) -> Seen {
    seen(kind, "metallb-system", name, &json!({"spec": spec}))
}

fn pool(name: &str, addresses: &str) -> Seen {
    ours(Kind::IpAddressPool, name, &json!({"addresses": [addresses]}))
}

fn service(name: &str, class: Option<&str>, addresses: &[&str]) -> Seen {
    let ingress: Vec<Value> = addresses.iter().map(|address| json!({"ip": address})).collect();
    let spec = json!({"type": "LoadBalancer", "loadBalancerClass": class});
    seen(Kind::Service, "shop", name, &json!({"spec": spec, "status": {"loadBalancer": {"ingress": ingress}}}))
}

fn slice(service: &str, node: &str) -> Seen {
    let labels = json!({"kubernetes.io/service-name": service});
    let endpoints = json!([{"addresses": ["10.0.0.1"], "nodeName": node, "conditions": {"ready": true}}]);
    seen(Kind::EndpointSlice, "shop", service, &json!({"labels": labels, "endpoints": endpoints}))
}

fn node(name: &str, labels: &Value) -> Seen {
    seen(Kind::Node, "", name, &json!({"labels": labels}))
}

fn empty() -> Scene {
    Scene::new(Judging {
        node: "n1".parse().unwrap(),
        class: None,
        settings: Settings::default(),
        options: DecideOptions::default(),
    })
}

fn complete(scene: &mut Scene, but: &[Kind]) {
    for kind in NEEDED.iter().filter(|kind| !but.contains(kind)) {
        scene.fold(Seen::Complete(*kind));
    }
    scene.handle_policies_known();
}

/// Two nodes, a pool that both announce, and a Service with an address of it.
fn usual() -> Scene {
    let mut scene = empty();
    for one in [
        node("n1", &json!({})),
        node("n2", &json!({})),
        pool("p", "192.0.2.0/28"),
        ours(Kind::L2Advertisement, "all", &json!({})),
        service("web", None, &["192.0.2.1"]),
        slice("web", "n2"),
    ] {
        scene.fold(one);
    }
    complete(&mut scene, &[]);
    scene
}

/// What the next look affects.
fn affected(scene: &mut Scene) -> Affected {
    let Decide::Only(affected) = scene.settle().unwrap().decide else { panic!("it is the first look") };
    affected
}

fn stands(scene: &Scene) -> bool {
    let web: ServiceKey = "shop/web".parse().unwrap();
    let decision = decide(scene.snapshot().unwrap(), &web, &scene.judging.node).layer2;
    matches!(decision, Layer2Decision::Stand(_))
}

// [SPK-7]
#[test]
fn nothing_is_decided_before_everything_was_seen() {
    let mut scene = usual();
    let mut early = empty();
    complete(&mut early, &[Kind::BgpPeer]);
    assert!(early.settle().is_none() && early.snapshot().is_none());
    assert!(early.refusals().is_empty());
    assert!(matches!(scene.settle().unwrap().decide, Decide::All));
    assert!(stands(&scene));
    assert!(scene.settle().is_none());
}

#[test]
fn a_change_of_a_service_costs_that_service() {
    let mut scene = usual();
    scene.settle();
    scene.fold(service("api", None, &["192.0.2.2"]));
    assert_eq!(affected(&mut scene).services.len(), 1);
    scene.fold(service("api", None, &["192.0.2.2"]));
    assert!(scene.settle().is_none(), "the same again");
    scene.fold(Seen::Gone(Kind::Service, ObjectName { namespace: "shop".to_owned(), name: "api".to_owned() }));
    assert_eq!(affected(&mut scene).services.len(), 1);
}

// [ANN-2], [ANN-5], [ANN-9]
#[test]
fn other_classes_and_other_types_are_not_touched() {
    let mut scene = usual();
    scene.fold(service("classy", Some("other"), &["192.0.2.3"]));
    scene.fold(service("named", None, &["192.0.2.4", "not an address"]));
    scene.settle();
    let snapshot = scene.snapshot().unwrap();
    assert!(snapshot.service(&"shop/classy".parse().unwrap()).is_none());
    assert!(snapshot.service(&"shop/named".parse().unwrap()).unwrap().addresses.is_empty());
}

// [OWN-22]: another node's labels change nothing here; the own ones everything.
#[test]
fn only_the_own_node_makes_everything_be_decided_again() {
    let mut scene = usual();
    scene.settle();
    scene.fold(node("n2", &json!({"zone": "b"})));
    let settled = scene.settle().unwrap();
    assert!(matches!(&settled.decide, Decide::Only(affected) if affected.is_empty()));
    assert!(!settled.concerns_sessions());
    scene.fold(node("n1", &json!({"node.kubernetes.io/exclude-from-external-load-balancers": ""})));
    let settled = scene.settle().unwrap();
    assert!(settled.concerns_sessions());
    let Decide::Only(affected) = settled.decide else { panic!("nothing is new") };
    assert_eq!(affected.nodes.get(&scene.judging.node), Some(&NodeExtent::Everything));
    assert!(affected.services.is_empty());
    assert!(!stands(&scene));
}

// A change of one pool costs the Services of that pool.
#[test]
fn a_change_of_a_pool_costs_its_services() {
    let mut scene = usual();
    scene.fold(pool("q", "198.51.100.0/24"));
    scene.fold(service("api", None, &["198.51.100.1"]));
    scene.settle();
    scene.fold(pool("q", "198.51.100.128/25"));
    let affected = affected(&mut scene);
    assert_eq!(affected.services.iter().map(ToString::to_string).collect::<Vec<_>>(), ["shop/api"]);
}

// [SPK-8], [SPK-9]
#[test]
fn a_wrong_object_costs_itself_and_is_told() {
    let mut scene = usual();
    scene.fold(ours(Kind::BgpPeer, "tor", &json!({"myASN": 64512, "peerASN": 64513, "peerAddress": "1.1.1"})));
    scene.settle();
    assert!(stands(&scene));
    let told = scene.refusals().join("\n");
    assert!(told.contains("1.1.1") && told.contains("BGPPeer metallb-system/tor is left out"), "{told}");
    scene.fold(pool("p", "nonsense"));
    let settled = scene.settle().unwrap();
    assert_eq!(settled.configuration, ConfigurationLook::Same);
    assert!(stands(&scene), "the pool stays as it was");
    assert!(scene.refusals().iter().any(|line| line.contains("stays in force")));
    scene.fold(pool("p", "192.0.2.0/28"));
    scene
        .fold(Seen::Gone(Kind::BgpPeer, ObjectName { namespace: "metallb-system".to_owned(), name: "tor".to_owned() }));
    scene.settle();
    assert!(scene.refusals().is_empty());
}

// [CFG-4]
#[test]
fn a_peer_for_other_nodes_is_none_of_ours() {
    let mut scene = usual();
    let selector = json!([{"matchLabels": {"rack": "b"}}]);
    let spec = json!({"myASN": 64512, "peerASN": 64513, "peerAddress": "1.1.1", "nodeSelectors": selector});
    scene.fold(ours(Kind::BgpPeer, "tor", &spec));
    scene.settle();
    assert!(scene.refusals().is_empty());
    scene.fold(node("n1", &json!({"rack": "b"})));
    scene.settle();
    assert_eq!(scene.refusals().len(), 2);
}

// [SPK-11]
#[test]
fn an_address_that_no_pool_has_any_more_is_withdrawn_alone() {
    let mut scene = usual();
    scene.settle();
    scene.fold(pool("p", "192.0.2.8/29"));
    let settled = scene.settle().unwrap();
    assert_eq!(settled.configuration, ConfigurationLook::Changed);
    assert!(!stands(&scene));
}

/// The Service of [`usual`], with the pool recorded for its address.
fn recorded() -> Seen {
    let metadata = json!({"metallb.io/ip-allocated-from-pool": "p"});
    let mut seen = service("web", None, &["192.0.2.1"]);
    if let Seen::Object(_, _, object) = &mut seen {
        object["metadata"]["annotations"] = metadata;
    }
    seen
}

// Nothing has to be written before a kept address goes on being announced.
#[test]
fn an_address_that_a_freeze_keeps_is_stood_for_and_goes_with_its_service() {
    let mut scene = usual();
    scene.fold(recorded());
    scene.fold(ours(Kind::PoolPolicy, "rules", &json!({"freeze": {}})));
    scene.settle();
    scene.fold(pool("p", "198.51.100.0/28"));
    scene.settle();
    assert!(stands(&scene), "kept");
    // The same for a speaker that starts now.
    let mut late = usual();
    late.fold(recorded());
    late.fold(pool("p", "198.51.100.0/28"));
    late.fold(ours(Kind::PoolPolicy, "rules", &json!({"freeze": {}})));
    late.settle();
    assert!(stands(&late), "kept by who comes later");
    late.fold(ours(Kind::PoolPolicy, "rules", &json!({"freeze": {"confirmed": ["192.0.2.1"]}})));
    late.settle();
    assert!(!stands(&late), "its loss is confirmed");
    scene.fold(Seen::Gone(Kind::Service, ObjectName { namespace: "shop".to_owned(), name: "web".to_owned() }));
    assert_eq!(scene.settle().unwrap().configuration, ConfigurationLook::Changed, "nobody has it: nothing is kept");
}

#[test]
fn the_use_of_quotas_is_no_news_to_a_speaker() {
    let mut scene = usual();
    let policy = |status: Value| {
        seen(Kind::PoolPolicy, "metallb-system", "rules", &json!({"spec": {"freeze": {}}, "status": status}))
    };
    scene.fold(policy(json!({})));
    scene.settle();
    scene.fold(policy(json!({"quotas": [{"name": "few", "used": 1, "limit": 2}]})));
    assert!(scene.settle().is_none());
}
