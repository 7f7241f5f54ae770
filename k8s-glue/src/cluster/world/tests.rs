//! Changes in, what they touch out.

use serde_json::json;

use super::*;

fn object(kind: Kind, namespace: &str, name: &str, rest: &Value) -> Seen {
    let mut value = Map::new();
    value.insert("apiVersion".to_owned(), kind.resource().api_version.into());
    value.insert("kind".to_owned(), kind.as_str().into());
    let mut metadata = json!({"name": name, "namespace": namespace});
    if let Some(labels) = rest.get("labels") {
        metadata["labels"] = labels.clone();
    }
    value.insert("metadata".to_owned(), metadata);
    for part in ["spec", "status", "endpoints"] {
        if let Some(part_value) = rest.get(part) {
            value.insert(part.to_owned(), part_value.clone());
        }
    }
    Seen::Object(kind, named(namespace, name), value)
}

fn named(namespace: &str, name: &str) -> ObjectName {
    ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }
}

fn pool(addresses: &str, status: &Value) -> Seen {
    let rest = json!({"spec": {"addresses": [addresses]}, "status": status});
    object(Kind::IpAddressPool, "metallb-system", "p", &rest)
}

fn web() -> ServiceKey {
    "shop/web".parse().unwrap()
}

fn service(ip: &str) -> Seen {
    let status = json!({"loadBalancer": {"ingress": [{"ip": ip, "ipMode": "VIP"}]}});
    object(Kind::Service, "shop", "web", &json!({"spec": {"type": "LoadBalancer"}, "status": status}))
}

fn slice(name: &str, service: &str, ready: bool) -> Seen {
    let endpoints = json!([{"addresses": ["10.0.0.1"], "nodeName": "n1", "conditions": {"ready": ready}}]);
    let rest = json!({"labels": {"kubernetes.io/service-name": service}, "endpoints": endpoints});
    object(Kind::EndpointSlice, "shop", name, &rest)
}

// [SPK-13]
#[test]
fn a_node_counts_by_its_labels_and_its_network_alone() {
    let mut world = World::new("metallb-system");
    let node = |label: &str, heartbeat: &str| {
        let conditions = json!([{"type": "Ready", "status": "True", "lastHeartbeatTime": heartbeat}]);
        object(Kind::Node, "", "n1", &json!({"labels": {"zone": label}, "status": {"conditions": conditions}}))
    };
    let n1: NodeName = "n1".parse().unwrap();
    assert_eq!(world.fold(node("a", "1")), [Touched::Node(n1.clone())]);
    assert_eq!(world.fold(node("a", "2")), [Touched::Nothing]);
    assert_eq!(world.fold(node("b", "2")), [Touched::Node(n1)]);
}

// [POOLST-3]
#[test]
fn a_status_of_a_pool_is_no_new_configuration() {
    let mut world = World::new("metallb-system");
    assert_eq!(world.fold(pool("192.0.2.0/24", &json!({}))), [Touched::Configuration]);
    let status = json!({"availableIPv4": 3});
    assert_eq!(world.fold(pool("192.0.2.0/24", &status)), [Touched::PoolStatus("p".to_owned())]);
    assert_eq!(world.fold(pool("192.0.2.0/24", &status)), [Touched::Nothing]);
    assert_eq!(world.fold(pool("192.0.2.0/25", &status)), [Touched::Configuration]);
    let (raw, problems) = world.raw_config(&[Kind::IpAddressPool]);
    assert_eq!(raw.pools[0].spec.addresses, ["192.0.2.0/25"]);
    assert_eq!(problems, []);
    assert!(world.raw_config(&[Kind::BgpPeer]).0.pools.is_empty());
}

#[test]
fn what_a_new_list_lacks_is_gone() {
    let mut world = World::new("metallb-system");
    world.fold(service("192.0.2.1"));
    world.fold(Seen::Began(Kind::Service));
    assert!(!world.is_complete(&[Kind::Service]));
    let touched = world.fold(Seen::Complete(Kind::Service));
    assert_eq!(touched, [Touched::Service(web()), Touched::Complete(Kind::Service)]);
    assert!(world.service(&web()).is_none() && world.is_complete(&[Kind::Service]));
}

#[test]
fn a_list_keeps_what_it_names() {
    let mut world = World::new("metallb-system");
    world.fold(service("192.0.2.1"));
    world.fold(Seen::Began(Kind::Service));
    world.fold(service("192.0.2.2"));
    assert_eq!(world.fold(Seen::Complete(Kind::Service)), [Touched::Complete(Kind::Service)]);
    assert_eq!(world.service(&web()).unwrap().object.recorded, ["192.0.2.2"]);
}

// [ANN-21]
#[test]
fn the_slices_of_a_service_count_together() {
    let mut world = World::new("metallb-system");
    world.fold(service("192.0.2.1"));
    assert_eq!(world.fold(slice("a", "web", true)), [Touched::Endpoints(web())]);
    assert_eq!(world.fold(slice("a", "web", true)), [Touched::Nothing]);
    world.fold(slice("b", "web", false));
    let usable = |world: &World| world.facts(&web(), Vec::new()).unwrap().endpoints;
    let both = usable(&world);
    world.fold(Seen::Gone(Kind::EndpointSlice, named("shop", "b")));
    assert_eq!(usable(&world), both, "an endpoint that is not ready adds nothing");
    let other: ServiceKey = "shop/other".parse().unwrap();
    let moved = world.fold(slice("a", "other", true));
    assert_eq!(
        moved,
        [Touched::Endpoints(web()), Touched::Endpoints(other)],
        "the Service that it left is decided again"
    );
    assert_eq!(usable(&world), lbcore::decide::Endpoints::NoSlice);
}

// [CTRL-60]
#[test]
fn a_writer_keeps_metadata_and_status_whole() {
    let mut world = World::for_writer("metallb-system");
    world.fold(service("192.0.2.1"));
    let (metadata, status) = world.service(&web()).unwrap().written_parts();
    assert_eq!(metadata["namespace"], "shop");
    assert_eq!(status["loadBalancer"]["ingress"], json!([{"ip": "192.0.2.1", "ipMode": "VIP"}]));
}

// [CTRL-4]
#[test]
fn a_service_that_never_was_a_load_balancer_is_not_kept() {
    let mut world = World::new("metallb-system");
    let plain = || object(Kind::Service, "shop", "web", &json!({"spec": {"type": "ClusterIP"}}));
    assert_eq!(world.fold(plain()), [Touched::Nothing]);
    world.fold(service("192.0.2.1"));
    assert_eq!(world.fold(plain()), [Touched::Service(web())]);
    assert!(world.service(&web()).is_none());
}

// While Services are listed again, one that has gone still stands beside those that came.
#[test]
fn a_list_under_way_is_known_as_such() {
    let mut world = World::new("metallb-system");
    world.fold(Seen::Began(Kind::Service));
    assert!(world.is_listing(&[Kind::Service]) && !world.is_listing(&[Kind::Node]));
    world.fold(Seen::Complete(Kind::Service));
    assert!(!world.is_listing(&[Kind::Service]));
}
