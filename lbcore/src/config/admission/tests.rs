//! Tests of the admission of one change.

use std::sync::Arc;

use super::*;
use crate::config::{Origin, RawAlias};
use crate::labels::Labels;

fn raw<T>(name: &str, spec: T) -> Raw<T> {
    let namespace = Some(Arc::from("metallb-system"));
    let object = ObjectRef { kind: "Any".into(), namespace, name: name.into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

fn pool(name: &str, addresses: &str) -> Raw<RawPool> {
    raw(name, RawPool { addresses: vec![addresses.to_owned()], ..RawPool::default() })
}

fn peer(name: &str, address: &str) -> Raw<RawPeer> {
    let peer_address = Some(address.to_owned());
    raw(name, RawPeer { my_asn: Some(64512), peer_asn: Some(64999), peer_address, ..RawPeer::default() })
}

fn aggregating(name: &str, length: i64) -> Raw<RawBgpAdvertisement> {
    raw(name, RawBgpAdvertisement { aggregation_length: Some(length), ..RawBgpAdvertisement::default() })
}

fn refusals(existing: &RawConfig, incoming: &Incoming) -> Vec<&'static str> {
    let problems = admit(existing, incoming, &Settings::default());
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.map(|problem| problem.category.as_str()).collect()
}

// [WEBHOOK-11]
#[test]
fn a_changed_object_stands_in_the_place_of_the_old_one() {
    let existing =
        RawConfig { pools: vec![pool("p", "192.0.2.0/24"), pool("q", "198.51.100.0/24")], ..RawConfig::default() };
    assert!(refusals(&existing, &Incoming::Pool(pool("p", "192.0.2.0/25"))).is_empty());
    assert_eq!(refusals(&existing, &Incoming::Pool(pool("r", "192.0.2.0/25"))), ["overlapping-ranges"]);
}

// [WEBHOOK-11]: pools are not held against advertisements, advertisements are held against pools.
#[test]
fn each_kind_is_held_against_what_its_row_names() {
    let existing = RawConfig {
        pools: vec![pool("p", "192.0.2.0/28")],
        bgp_advertisements: vec![aggregating("a", 28)],
        ..RawConfig::default()
    };
    assert!(refusals(&existing, &Incoming::Pool(pool("p", "192.0.2.0/29"))).is_empty());
    let wide = Incoming::BgpAdvertisement(aggregating("a", 26));
    assert_eq!(refusals(&existing, &wide), ["invalid-aggregation-length"]);
}

// [WEBHOOK-15]
#[test]
fn a_bad_object_that_is_stored_does_not_block_others() {
    let existing = RawConfig { peers: vec![peer("bad", "nowhere")], ..RawConfig::default() };
    assert!(refusals(&existing, &Incoming::Peer(Box::new(peer("good", "192.0.2.1")))).is_empty());
    assert_eq!(refusals(&existing, &Incoming::Peer(Box::new(peer("worse", "1.2")))), ["invalid-peer-address"]);
}

// [WEBHOOK-10]
#[test]
fn the_namespace_is_checked_at_creation_alone() {
    let mut stray = pool("p", "192.0.2.0/24");
    stray.object.namespace = Some(Arc::from("elsewhere"));
    let mut existing = RawConfig::default();
    assert_eq!(refusals(&existing, &Incoming::Pool(stray.clone())), ["wrong-namespace"]);
    existing.pools.push(stray.clone());
    assert!(refusals(&existing, &Incoming::Pool(stray)).is_empty());
}

// [WEBHOOK-14]
#[test]
fn a_deprecated_field_earns_a_warning_and_every_check() {
    let mut old = peer("old", "1.2.3");
    old.spec.disable_mp = Some(true);
    let problems = admit(&RawConfig::default(), &Incoming::Peer(Box::new(old)), &Settings::default());
    let found: Vec<_> = problems.iter().map(|problem| (problem.severity, problem.field.as_str())).collect();
    assert_eq!(found, [(Severity::Error, "spec.peerAddress"), (Severity::Warning, "spec.disableMP")]);
}

// [PEER-26]
#[test]
fn graceful_restart_may_not_change_where_both_versions_say_it() {
    let with = |value: Option<bool>| {
        let mut peer = peer("tor", "192.0.2.1");
        peer.spec.enable_graceful_restart = value;
        peer
    };
    let existing = RawConfig { peers: vec![with(Some(true))], ..RawConfig::default() };
    assert_eq!(refusals(&existing, &Incoming::Peer(Box::new(with(Some(false))))), ["immutable"]);
    assert!(refusals(&existing, &Incoming::Peer(Box::new(with(None)))).is_empty());
    assert!(refusals(&existing, &Incoming::Peer(Box::new(with(Some(true))))).is_empty());
}

// [COMM-4]
#[test]
fn an_alias_of_another_object_is_not_defined_again() {
    let object = |name: &str, alias: &str| {
        let communities = vec![RawAlias { name: alias.to_owned(), value: "1:2".to_owned() }];
        raw(name, RawCommunity { communities })
    };
    let existing = RawConfig { communities: vec![object("c1", "blue")], ..RawConfig::default() };
    assert_eq!(refusals(&existing, &Incoming::Community(object("c2", "blue"))), ["duplicate-community-alias"]);
    assert!(refusals(&existing, &Incoming::Community(object("c2", "green"))).is_empty());
}

// [WEBHOOK-12]
#[test]
fn a_profile_in_use_is_not_deleted() {
    let mut user = peer("tor", "192.0.2.1");
    user.spec.bfd_profile = Some("fast".to_owned());
    let existing = RawConfig { peers: vec![user], ..RawConfig::default() };
    let profile = |name: &str| raw(name, RawBfdProfile::default()).object;
    let refused = admit_profile_deletion(&existing, &profile("fast"));
    assert_eq!(refused.iter().map(|problem| problem.category).collect::<Vec<_>>(), [Category::InUse]);
    assert!(admit_profile_deletion(&existing, &profile("slow")).is_empty());
}
