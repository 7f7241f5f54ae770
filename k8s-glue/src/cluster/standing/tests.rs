//! Faulty pools, as processes see them that judge for themselves.

use serde_json::{Value, json};

use super::*;
use crate::cluster::watch::{ObjectName, Seen};

fn fold(world: &mut World, kind: Kind, namespace: &str, name: &str, value: Value) {
    let Value::Object(mut value) = value else { panic!("an object") };
    value.insert("apiVersion".to_owned(), kind.resource().api_version.into());
    value.insert("kind".to_owned(), kind.as_str().into());
    value["metadata"]["name"] = name.into();
    value["metadata"]["namespace"] = namespace.into();
    world.fold(Seen::Object(kind, ObjectName { namespace: namespace.to_owned(), name: name.to_owned() }, value));
}

fn pool(world: &mut World, name: &str, range: &str, created: u8) {
    let created = format!("2026-01-01T00:00:{created:02}Z");
    let value = json!({"metadata": {"creationTimestamp": created}, "spec": {"addresses": [range]}});
    fold(world, Kind::IpAddressPool, "metallb-system", name, value);
}

fn service(world: &mut World, name: &str, address: &str, pool: &str) {
    let value = json!({
        "metadata": {"annotations": {"metallb.io/ip-allocated-from-pool": pool}},
        "spec": {"type": "LoadBalancer"},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
    });
    fold(world, Kind::Service, "shop", name, value);
}

fn judge(standing: &mut Standing, world: &World) -> Vec<String> {
    let (given, typed) = world.raw_config(&[Kind::IpAddressPool]);
    let settings = Settings { install_namespace: "metallb-system".into(), ..Settings::default() };
    let config = standing.judge(world, &given, &typed, &settings);
    config.pools().keys().map(ToString::to_string).collect()
}

// [CFG-2], [SPK-8]
#[test]
fn a_faulty_pool_costs_itself() {
    let mut world = World::new("metallb-system");
    pool(&mut world, "small", "192.0.2.0/30", 1);
    let mut standing = Standing::default();
    assert_eq!(judge(&mut standing, &world), ["small"]);
    pool(&mut world, "zz-bad", "192.0.2.0/29", 2);
    pool(&mut world, "good2", "198.51.100.0/30", 3);
    assert_eq!(judge(&mut standing, &world), ["good2", "small"]);
    assert_eq!(standing.refused_pools(), BTreeSet::from(["zz-bad".parse().unwrap()]));
    let lines = standing.refusals();
    assert!(lines[0].starts_with("IPAddressPool metallb-system/zz-bad: spec.addresses[0]: "), "{lines:?}");
    assert_eq!(lines[1], "IPAddressPool metallb-system/zz-bad is left out");
}

// [SPK-8]
#[test]
fn a_pool_that_is_changed_for_the_worse_stays_as_it_was() {
    let mut world = World::new("metallb-system");
    pool(&mut world, "small", "192.0.2.0/30", 1);
    let mut standing = Standing::default();
    judge(&mut standing, &world);
    pool(&mut world, "small", "192.0.2.", 1);
    assert_eq!(judge(&mut standing, &world), ["small"]);
    assert!(standing.refused_pools().is_empty());
    let lines = standing.refusals();
    assert_eq!(lines.last().unwrap(), "IPAddressPool metallb-system/small stays in force as it was before its change");
    // A process that starts now has no version of it.
    let mut later = Standing::default();
    assert_eq!(judge(&mut later, &world), Vec::<String>::new());
    assert_eq!(later.refused_pools().len(), 1);
}

// [SPK-8]
#[test]
fn a_typing_error_in_a_pool_lets_no_refused_one_in() {
    let mut world = World::new("metallb-system");
    pool(&mut world, "small", "192.0.2.0/30", 1);
    service(&mut world, "web", "192.0.2.1", "small");
    let mut standing = Standing::default();
    judge(&mut standing, &world);
    pool(&mut world, "zz-bad", "192.0.2.0/29", 2);
    judge(&mut standing, &world);
    pool(&mut world, "small", "192.0.2.", 1);
    assert_eq!(judge(&mut standing, &world), ["small"]);
    assert_eq!(standing.refused_pools(), BTreeSet::from(["zz-bad".parse().unwrap()]));
    assert_eq!(judge(&mut standing, &world), ["small"], "and so it stays");
    // A change for the better is taken up meanwhile.
    pool(&mut world, "small", "192.0.2.0/31", 1);
    assert_eq!(judge(&mut standing, &world), ["small"]);
    assert!(standing.refusals().iter().all(|line| line.contains("zz-bad")), "{:?}", standing.refusals());
}

// [SPK-8], [CFG-24]
#[test]
fn a_peer_whose_secret_is_gone_is_said_to_stay_in_force() {
    let mut world = World::new("metallb-system");
    let secret = json!({"metadata": {}, "type": "kubernetes.io/basic-auth", "data": {"password": "c2VjcmV0"}});
    fold(&mut world, Kind::Secret, "metallb-system", "bgppw", secret);
    let spec =
        json!({"myASN": 64500, "peerASN": 64501, "peerAddress": "192.0.2.1", "passwordSecret": {"name": "bgppw"}});
    fold(&mut world, Kind::BgpPeer, "metallb-system", "tor", json!({"metadata": {}, "spec": spec}));
    let settings = Settings { install_namespace: "metallb-system".into(), ..Settings::default() };
    let mut standing = Standing::default();
    let mut judge = |world: &World| {
        let (given, typed) = world.raw_config(&[Kind::BgpPeer, Kind::Secret]);
        let config = standing.judge(world, &given, &typed, &settings);
        (config.peers().len(), standing.refusals())
    };
    assert_eq!(judge(&world), (1, Vec::new()));
    world.fold(Seen::Gone(
        Kind::Secret,
        ObjectName { namespace: "metallb-system".to_owned(), name: "bgppw".to_owned() },
    ));
    let (peers, lines) = judge(&world);
    assert_eq!((peers, lines.len()), (1, 2), "{lines:?}");
    assert!(lines[0].contains("secret-missing"), "{lines:?}");
    assert_eq!(lines[1], "BGPPeer metallb-system/tor stays in force with the Secret as it was, until it changes");
}

// [SPK-8]
#[test]
fn who_has_just_started_agrees_with_who_ran_all_along() {
    let mut world = World::new("metallb-system");
    pool(&mut world, "small", "192.0.2.0/30", 1);
    let mut running = Standing::default();
    judge(&mut running, &world);
    // By its name it comes first, and the fault is found at the other.
    pool(&mut world, "aa-bad", "192.0.2.0/29", 2);
    assert_eq!(judge(&mut running, &world), ["small"]);
    assert_eq!(judge(&mut Standing::default(), &world), ["small"]);
    assert_eq!(running.giving_way().map(|object| object.name.to_string()).collect::<Vec<_>>(), ["aa-bad"]);
}

// [SPK-8]
#[test]
fn the_pool_that_services_have_addresses_of_comes_first() {
    let mut world = World::new("metallb-system");
    pool(&mut world, "older", "192.0.2.0/30", 1);
    pool(&mut world, "younger", "192.0.2.0/29", 2);
    let mut speaker = Standing::default();
    assert_eq!(judge(&mut speaker, &world), ["older"]);
    // The controller saw the other one first, and has given an address of it.
    service(&mut world, "web", "192.0.2.5", "younger");
    assert!(speaker.is_behind("younger"));
    assert_eq!(judge(&mut speaker, &world), ["younger"]);
    assert_eq!(judge(&mut Standing::default(), &world), ["younger"]);
    assert!(!speaker.is_behind("younger"), "it is in force");
}
