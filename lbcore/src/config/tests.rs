//! Tests of the checks between description and configuration.

use std::net::Ipv4Addr;

use core::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::community::Community;
use crate::labels::Labels;
use crate::node::NetworkCondition;
use crate::peer::{Password, PeerTimers, SessionFamilies};
use crate::service::NodeName;

fn raw<T>(kind: &str, name: &str, spec: T) -> Raw<T> {
    let namespace = Some(Arc::from("metallb-system"));
    let object = ObjectRef { kind: kind.into(), namespace, name: name.into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

fn pool(name: &str, addresses: &[&str]) -> Raw<RawPool> {
    let addresses = addresses.iter().map(ToString::to_string).collect();
    raw("IPAddressPool", name, RawPool { addresses, ..RawPool::default() })
}

fn bgp(name: &str, spec: RawBgpAdvertisement) -> Raw<RawBgpAdvertisement> {
    raw("BGPAdvertisement", name, spec)
}

fn good_peer() -> RawPeer {
    RawPeer {
        my_asn: Some(64512),
        peer_asn: Some(64999),
        peer_address: Some("192.0.2.1".to_owned()),
        ..RawPeer::default()
    }
}

fn peer(name: &str, spec: RawPeer) -> Raw<RawPeer> {
    raw("BGPPeer", name, spec)
}

fn label(key: &str, value: &str) -> RawSelector {
    RawSelector { match_labels: [(key.to_owned(), value.to_owned())].into(), match_expressions: Vec::new() }
}

fn expression(key: &str, operator: &str, values: &[&str]) -> RawSelector {
    let values = values.iter().map(ToString::to_string).collect();
    let requirement = RawRequirement { key: key.to_owned(), operator: operator.to_owned(), values };
    RawSelector { match_expressions: vec![requirement], ..RawSelector::default() }
}

fn node(name: &str) -> Node {
    let labels = [("name".to_owned(), name.to_owned())].into();
    Node { name: NodeName::new(name).unwrap(), labels, network: NetworkCondition::Available }
}

fn build(raw: &RawConfig) -> BuildOutcome {
    Config::build(raw, &Settings::default())
}

fn categories(outcome: &BuildOutcome) -> Vec<&'static str> {
    outcome.errors().map(|problem| problem.category.as_str()).collect()
}

fn errors_of(raw: &RawConfig) -> Vec<&'static str> {
    categories(&build(raw))
}

fn errors_at_admission(raw: &RawConfig) -> Vec<&'static str> {
    categories(&Config::build(raw, &Settings { level: Level::Admission, ..Settings::default() }))
}

fn with_pools(pools: Vec<Raw<RawPool>>) -> RawConfig {
    RawConfig { pools, ..RawConfig::default() }
}

fn with_peer(spec: RawPeer) -> RawConfig {
    RawConfig { peers: vec![peer("tor", spec)], ..RawConfig::default() }
}

fn read_peer(spec: RawPeer) -> Arc<Peer> {
    Arc::clone(&build(&with_peer(spec)).config.unwrap().peers()["tor"])
}

// [PEER-14]: an address that is good on any link says nothing of which.
#[test]
fn a_link_local_peer_is_told_to_name_its_link() {
    let outcome = build(&with_peer(RawPeer { peer_address: Some("fe80::1".to_owned()), ..good_peer() }));
    assert_eq!(outcome.problems[0].message, "fe80::1 is an address of one link alone, and does not say of which");
    assert!(outcome.problems[0].fix.contains("interface"), "{}", outcome.problems[0].fix);
}

// [CFG-6]
#[test]
fn every_problem_is_reported_with_object_and_field() {
    let outcome = build(&RawConfig {
        pools: vec![pool("b", &["10.0.0.5", "192.0.2.0/24", "1.2.3.10-1.2.3.1"]), pool("a", &[])],
        peers: vec![peer("tor", RawPeer::default())],
        ..RawConfig::default()
    });
    let found: Vec<_> = outcome
        .problems
        .iter()
        .map(|problem| (problem.object.as_ref().unwrap().name.as_ref(), problem.field.as_str(), problem.category))
        .collect();
    assert_eq!(
        found,
        [
            ("tor", "spec.myASN", Category::InvalidAsn),
            ("tor", "spec.peerASN", Category::InvalidAsn),
            ("tor", "spec.peerAddress", Category::InvalidPeerAddress),
            ("a", "spec.addresses", Category::MissingField),
            ("b", "spec.addresses[0]", Category::InvalidAddressRange),
            ("b", "spec.addresses[2]", Category::InvalidAddressRange),
        ]
    );
    assert!(outcome.config.is_none());
}

// [ADDR-11], [ADDR-13]
#[test]
fn overlap_names_both_ranges_and_both_pools() {
    let outcome = build(&with_pools(vec![pool("b", &["10.0.0.128-10.0.1.7"]), pool("a", &["10.0.0.0/24"])]));
    assert_eq!(categories(&outcome), ["overlapping-ranges"]);
    let problem = &outcome.problems[0];
    assert_eq!(problem.object.as_ref().unwrap().name.as_ref(), "b");
    assert_eq!(problem.field, "spec.addresses[0]");
    assert_eq!(problem.message, "10.0.0.128-10.0.1.7 of pool b overlaps 10.0.0.0/24 of pool a (spec.addresses[0])");
}

// [ADDR-11]
#[test]
fn each_pair_of_nested_ranges_is_reported() {
    let raw =
        with_pools(vec![pool("a", &["10.0.0.0/24", "10.0.0.8/29", "10.0.0.8-10.0.0.9", "10.0.1.0/24", "::a00:8/125"])]);
    assert_eq!(errors_of(&raw), ["overlapping-ranges"; 3]);
}

// [ADDR-13]
#[test]
fn ranges_that_touch_do_not_overlap() {
    let raw =
        with_pools(vec![pool("a", &["10.0.0.0/25", "10.0.0.128-10.0.0.255"]), pool("b", &["10.0.1.0/24", "::/0"])]);
    assert!(errors_of(&raw).is_empty());
}

// [API-POOL-3], [API-POOL-6]
#[test]
fn a_pool_is_restricted_to_named_and_selected_namespaces_even_if_there_are_none() {
    let mut restricted = pool("a", &["10.0.0.0/24"]);
    restricted.spec.service_allocation = Some(RawServiceAllocation {
        namespaces: vec!["named".to_owned()],
        namespace_selectors: vec![label("tier", "gold")],
        ..RawServiceAllocation::default()
    });
    let mut closed = pool("b", &["10.0.1.0/24"]);
    closed.spec.service_allocation = Some(RawServiceAllocation {
        namespace_selectors: vec![label("tier", "none")],
        ..RawServiceAllocation::default()
    });
    let mut raw = with_pools(vec![restricted, closed]);
    raw.namespaces.insert("rich".to_owned(), [("tier".to_owned(), "gold".to_owned())].into());
    let config = build(&raw).config.unwrap();
    let pool = |name: &str| Arc::clone(&config.pools()[&PoolName::new(name).unwrap()].pool);
    assert!(pool("a").allows("named", &Labels::new()) && pool("a").allows("rich", &Labels::new()));
    assert!(!pool("a").allows("poor", &Labels::new()));
    assert!(!pool("b").allows("rich", &Labels::new()));
}

// [API-GEN-6]
#[test]
fn selectors_that_do_not_parse_are_refused() {
    let long = "x".repeat(64);
    for selector in [
        expression("", "Exists", &[]),
        expression("k", "In", &[]),
        expression("k", "Exists", &["v"]),
        expression("k", "Gt", &["1"]),
        expression("k", "In", &["-v"]),
        expression("a/b/c", "Exists", &[]),
        expression("UPPER.example/k", "Exists", &[]),
        label(&long, "v"),
        label("k", &long),
    ] {
        let spec = RawPeer { node_selectors: vec![selector.clone()], ..good_peer() };
        assert_eq!(errors_of(&with_peer(spec)), ["invalid-selector"], "{selector:?}");
    }
    let spec = RawPeer { node_selectors: vec![label("example.com/k", ""), RawSelector::default()], ..good_peer() };
    assert!(errors_of(&with_peer(spec)).is_empty());
}

// [API-GEN-8]
#[test]
fn selectors_values_and_expressions_that_stand_twice_are_refused() {
    let twice = RawSelector {
        match_expressions: vec![
            expression("k", "In", &["a", "b"]).match_expressions[0].clone(),
            expression("k", "In", &["b", "a"]).match_expressions[0].clone(),
        ],
        ..RawSelector::default()
    };
    for list in [
        vec![expression("k", "In", &["a", "b"]), expression("k", "In", &["b", "a"])],
        vec![expression("k", "In", &["a", "b", "a"])],
        vec![twice],
    ] {
        let spec = RawPeer { node_selectors: list, ..good_peer() };
        assert_eq!(errors_of(&with_peer(spec)), ["duplicate-selector"]);
    }
    // Another spelling of the same is no duplicate.
    let spec = RawPeer { node_selectors: vec![label("k", "a"), expression("k", "In", &["a"])], ..good_peer() };
    assert!(errors_of(&with_peer(spec)).is_empty());
}

// [API-L2-1], [API-L2-2], [CFG-42]
#[test]
fn pools_are_reached_by_name_and_label_once_and_unknown_names_are_warned_about() {
    let mut labelled = pool("labelled", &["10.0.1.0/24"]);
    labelled.labels.insert("zone".to_owned(), "a".to_owned());
    let mut raw_config = with_pools(vec![labelled, pool("named", &["10.0.0.0/24"]), pool("other", &["10.0.2.0/24"])]);
    let advertisement = |names: &[&str], selectors: Vec<RawSelector>| RawL2Advertisement {
        ip_address_pools: names.iter().map(ToString::to_string).collect(),
        ip_address_pool_selectors: selectors,
        ..RawL2Advertisement::default()
    };
    raw_config.l2_advertisements = vec![
        raw("L2Advertisement", "union", advertisement(&["named", "labelled"], vec![label("zone", "a")])),
        raw("L2Advertisement", "nothing", advertisement(&["ghost"], vec![])),
        raw("L2Advertisement", "all", advertisement(&[], vec![])),
    ];
    let outcome = build(&raw_config);
    let warnings: Vec<_> = outcome.problems.iter().map(|problem| (problem.severity, problem.category)).collect();
    assert_eq!(warnings, [(Severity::Warning, Category::NoSuchPool)]);
    let config = outcome.config.unwrap();
    let attached = |name: &str| -> Vec<String> {
        config.pools()[&PoolName::new(name).unwrap()].l2.iter().map(|l2| l2.name.to_string()).collect()
    };
    assert_eq!(attached("named"), ["all", "union"]);
    assert_eq!(attached("labelled"), ["all", "union"]);
    assert_eq!(attached("other"), ["all"]);
}

// [API-L2-6] with the bounds of the schema
#[test]
fn weights_outside_of_1_to_100_are_refused() {
    for (weight, good) in [(Some(0), false), (Some(1), true), (Some(100), true), (Some(101), false), (None, false)] {
        let preference = RawPreference { weight, preference: Some(RawSelector::default()) };
        let spec = RawL2Advertisement { preferred_node_selectors: vec![preference], ..RawL2Advertisement::default() };
        let raw = RawConfig { l2_advertisements: vec![raw("L2Advertisement", "a", spec)], ..RawConfig::default() };
        assert_eq!(errors_of(&raw).is_empty(), good, "{weight:?}");
    }
}

fn aggregated(pool_entries: &[&str], length: i64) -> Vec<&'static str> {
    let spec = RawBgpAdvertisement { aggregation_length: Some(length), ..RawBgpAdvertisement::default() };
    let pools = vec![pool("p", pool_entries)];
    errors_of(&RawConfig { pools, bgp_advertisements: vec![bgp("a", spec)], ..RawConfig::default() })
}

// [API-BGPADV-3], [VEC-AGG]
#[test]
fn aggregation_must_not_reach_beyond_the_widest_block() {
    assert!(aggregated(&["3.3.3.2-3.3.3.254"], 26).is_empty());
    assert_eq!(aggregated(&["3.3.3.2-3.3.3.254"], 25), ["invalid-aggregation-length"]);
    assert_eq!(aggregated(&["10.20.30.40/24", "1.2.3.0/28"], 26), ["invalid-aggregation-length"]);
    assert!(aggregated(&["10.20.0.0/16", "10.50.0.0/24"], 24).is_empty());
    assert_eq!(aggregated(&["10.20.0.0/16"], 33), ["invalid-aggregation-length"]);
    assert_eq!(aggregated(&["2001:db8::/64"], 8), [] as [&str; 0]);
}

// [API-BGPADV-2]
#[test]
fn service_selectors_go_with_whole_addresses_only() {
    for (length, good) in [(None, true), (Some(32), true), (Some(24), false)] {
        let service_selectors = vec![label("app", "web")];
        let spec =
            RawBgpAdvertisement { aggregation_length: length, service_selectors, ..RawBgpAdvertisement::default() };
        let raw = RawConfig { bgp_advertisements: vec![bgp("a", spec)], ..RawConfig::default() };
        assert_eq!(errors_of(&raw).is_empty(), good);
    }
}

/// Two advertisements on one IPv4 pool that differ as told, with two nodes known.
fn conflicting(change: impl Fn(&mut RawBgpAdvertisement, &mut RawBgpAdvertisement)) -> Vec<&'static str> {
    let mut low = RawBgpAdvertisement { local_pref: Some(100), ..RawBgpAdvertisement::default() };
    let mut high = RawBgpAdvertisement { local_pref: Some(200), ..RawBgpAdvertisement::default() };
    change(&mut low, &mut high);
    errors_of(&RawConfig {
        pools: vec![pool("p", &["10.0.0.0/24"])],
        bgp_advertisements: vec![bgp("high", high), bgp("low", low)],
        nodes: vec![node("iris"), node("pandora")],
        ..RawConfig::default()
    })
}

// [CFG-40], [VEC-LP]
#[test]
fn two_local_preferences_for_one_route_are_refused() {
    assert_eq!(conflicting(|_, _| ()), ["localpref-conflict"]);
    assert!(conflicting(|low, _| low.aggregation_length = Some(24)).is_empty());
    assert_eq!(conflicting(|low, _| low.aggregation_length_v6 = Some(64)), ["localpref-conflict"]);
    assert!(
        conflicting(|low, high| {
            low.peers = vec!["one".to_owned()];
            high.peers = vec!["two".to_owned()];
        })
        .is_empty()
    );
    assert_eq!(conflicting(|low, _| low.peers = vec!["one".to_owned()]), ["localpref-conflict"]);
    assert!(
        conflicting(|low, high| {
            low.node_selectors = vec![label("name", "iris")];
            high.node_selectors = vec![label("name", "pandora")];
        })
        .is_empty()
    );
    assert!(conflicting(|low, _| low.service_selectors = vec![label("app", "web")]).is_empty());
}

// [D162-2]
#[test]
fn two_lengths_of_prepending_for_one_route_are_refused() {
    let prepend = |low: &mut RawBgpAdvertisement, high: &mut RawBgpAdvertisement| {
        low.local_pref = high.local_pref;
        low.as_path_prepend = Some(3);
    };
    assert_eq!(conflicting(prepend), ["prepend-conflict"]);
}

// [D162-1]
#[test]
fn prepending_is_bounded() {
    for (times, good) in [(0, false), (1, true), (10, true), (11, false)] {
        let spec = RawBgpAdvertisement { as_path_prepend: Some(times), ..RawBgpAdvertisement::default() };
        let raw = RawConfig { bgp_advertisements: vec![bgp("a", spec)], ..RawConfig::default() };
        assert_eq!(errors_of(&raw).is_empty(), good);
    }
}

// [COMM-5], [COMM-6], [WEBHOOK-20]
#[test]
fn communities_are_resolved_aliases_first() {
    let alias = |name: &str, value: &str| RawAlias { name: name.to_owned(), value: value.to_owned() };
    let with = |list: &[&str]| RawConfig {
        pools: vec![pool("p", &["10.0.0.0/24"])],
        communities: vec![raw(
            "Community",
            "c",
            RawCommunity { communities: vec![alias("blue", "64512:7"), alias("1:2", "large:1:2:3")] },
        )],
        bgp_advertisements: vec![bgp(
            "a",
            RawBgpAdvertisement {
                communities: list.iter().map(ToString::to_string).collect(),
                ..RawBgpAdvertisement::default()
            },
        )],
        ..RawConfig::default()
    };
    let config = build(&with(&["blue", "1:2", "64512:7"])).config.unwrap();
    let attached = &config.pools()[&PoolName::new("p").unwrap()].bgp[0].communities;
    let expected = BTreeSet::from([Community::Large([1, 2, 3]), Community::Standard(0xfc00_0007)]);
    assert_eq!(*attached, expected);
    assert_eq!(errors_of(&with(&["green"])), ["unknown-community"]);
    assert!(errors_at_admission(&with(&["green"])).is_empty());
    assert_eq!(errors_of(&with(&["70000:1"])), ["invalid-community"]);
    assert_eq!(errors_of(&with(&["blue", "blue"])), ["duplicate-entry"]);
}

// [COMM-4]
#[test]
fn an_alias_is_defined_once_over_all_objects() {
    let object = |name: &str| {
        let communities = vec![RawAlias { name: "blue".to_owned(), value: "1:2".to_owned() }];
        raw("Community", name, RawCommunity { communities })
    };
    let raw = RawConfig { communities: vec![object("x"), object("y")], ..RawConfig::default() };
    assert_eq!(errors_of(&raw), ["duplicate-community-alias"]);
}

// [CFG-20], [VEC-PEER]
#[test]
fn impossible_peers_are_refused_by_category() {
    let cases: [(RawPeer, &str); 14] = [
        (RawPeer { my_asn: None, ..good_peer() }, "invalid-asn"),
        (RawPeer { my_asn: Some(1 << 32), ..good_peer() }, "schema"),
        (RawPeer { peer_asn: None, ..good_peer() }, "invalid-asn"),
        (RawPeer { dynamic_asn: Some("internal".to_owned()), ..good_peer() }, "invalid-asn"),
        (RawPeer { peer_asn: None, dynamic_asn: Some("auto".to_owned()), ..good_peer() }, "invalid-asn"),
        (RawPeer { local_asn: Some(0), ..good_peer() }, "schema"),
        (RawPeer { peer_asn: Some(64512), ebgp_multi_hop: Some(true), ..good_peer() }, "multihop-ibgp"),
        (RawPeer { interface: Some("eth0".to_owned()), ..good_peer() }, "invalid-peer-address"),
        (RawPeer { peer_address: Some("1.2.3".to_owned()), ..good_peer() }, "invalid-peer-address"),
        (RawPeer { peer_address: Some("fe80::1".to_owned()), ..good_peer() }, "invalid-peer-address"),
        (RawPeer { source_address: Some("x".to_owned()), ..good_peer() }, "invalid-source-address"),
        (RawPeer { router_id: Some("2001:db8::1".to_owned()), ..good_peer() }, "invalid-router-id"),
        (RawPeer { peer_port: Some(16385), ..good_peer() }, "schema"),
        (RawPeer { connect_time: Some(Duration::from_millis(1500)), ..good_peer() }, "schema"),
    ];
    for (spec, category) in cases {
        assert_eq!(errors_of(&with_peer(spec.clone())), [category], "{spec:?}");
    }
}

// [CFG-22], [VEC-PEER]
#[test]
fn a_missing_timer_follows_from_the_other() {
    let timers = |hold: Option<u64>, keepalive: Option<u64>| RawPeer {
        hold_time: hold.map(Duration::from_secs),
        keepalive_time: keepalive.map(Duration::from_secs),
        ..good_peer()
    };
    let expected = |hold, keepalive| {
        Some(PeerTimers { hold: Duration::from_secs(hold), keepalive: Duration::from_secs(keepalive) })
    };
    assert_eq!(read_peer(timers(Some(180), None)).timers, expected(180, 60));
    assert_eq!(read_peer(timers(None, Some(60))).timers, expected(180, 60));
    assert_eq!(read_peer(timers(Some(0), Some(0))).timers, expected(0, 0));
    assert_eq!(read_peer(timers(None, None)).timers, None);
    assert_eq!(errors_of(&with_peer(timers(Some(1), None))), ["invalid-timers"]);
    assert_eq!(errors_of(&with_peer(timers(Some(30), Some(90)))), ["invalid-timers"]);
    assert_eq!(errors_of(&with_peer(timers(Some(65_536), None))), ["invalid-timers"]);
    let half = RawPeer { keepalive_time: Some(Duration::from_millis(500)), ..good_peer() };
    assert_eq!(errors_of(&with_peer(half)), ["invalid-timers"]);
}

// [CFG-24]
#[test]
fn the_secret_must_be_of_the_right_type_and_hold_a_password() {
    let secret = |secret_type: &str, password: Option<&[u8]>| {
        let password = password.map(Password::new);
        raw("Secret", "key", RawSecret { secret_type: secret_type.to_owned(), password })
    };
    let reference = RawSecretReference { name: "key".to_owned(), namespace: "elsewhere".to_owned() };
    let spec = RawPeer { password_secret: Some(reference), ..good_peer() };
    let with = |secrets: Vec<Raw<RawSecret>>| RawConfig { secrets, ..with_peer(spec.clone()) };
    assert_eq!(errors_of(&with(vec![])), ["secret-missing"]);
    assert!(errors_at_admission(&with(vec![])).is_empty());
    assert_eq!(errors_of(&with(vec![secret("Opaque", Some(b"x"))])), ["secret-wrong-type"]);
    assert_eq!(errors_of(&with(vec![secret("kubernetes.io/basic-auth", None)])), ["secret-no-password"]);
    let good = build(&with(vec![secret("kubernetes.io/basic-auth", Some(b"hidden"))])).config.unwrap();
    assert_eq!(good.peers()["tor"].password.as_ref().map(Password::as_bytes), Some(b"hidden".as_slice()));
    assert!(!format!("{good:?}").contains("hidden"));
    let both = RawPeer { password: Some(Password::new(b"a".as_slice())), ..spec.clone() };
    assert_eq!(errors_of(&with_peer(both)), ["password-and-secret"]);
}

// [FRR-3]
#[test]
fn a_session_carries_the_family_of_its_address_unless_told_otherwise() {
    use crate::family::IpFamily;
    assert_eq!(read_peer(good_peer()).families, SessionFamilies::Only(IpFamily::V4));
    let both = RawPeer { dual_stack_address_family: Some(true), ..good_peer() };
    assert_eq!(read_peer(both).families, SessionFamilies::Both);
    let unnumbered = RawPeer { peer_address: None, interface: Some("eth0".to_owned()), ..good_peer() };
    assert_eq!(read_peer(unnumbered).families, SessionFamilies::Both);
}

// [MODE-14], [MODE-15]
#[test]
fn peers_of_one_router_must_fit_together() {
    let rules = Settings { peer_rules: PeerRules::OneRouter, ..Settings::default() };
    let two = |second: RawPeer, nodes: Vec<Node>| {
        let peers = vec![
            peer("one", RawPeer { node_selectors: vec![label("name", "iris")], ..good_peer() }),
            peer("two", second),
        ];
        let raw = RawConfig { peers, nodes, ..RawConfig::default() };
        (categories(&Config::build(&raw, &rules)), build(&raw).problems)
    };
    let both = || vec![node("iris"), node("pandora")];
    let elsewhere = RawPeer { node_selectors: vec![label("name", "pandora")], ..good_peer() };
    let (errors, warnings) = two(good_peer(), both());
    assert_eq!(errors, ["duplicate-peer"]);
    assert_eq!(warnings.iter().map(|problem| problem.severity).collect::<Vec<_>>(), [Severity::Warning]);
    assert!(two(elsewhere.clone(), both()).0.is_empty());
    assert_eq!(two(elsewhere, vec![]).0, ["duplicate-peer"]);
    let other = RawPeer { peer_address: Some("192.0.2.2".to_owned()), ..good_peer() };
    assert!(two(other.clone(), both()).0.is_empty());
    let id = Some(Ipv4Addr::new(10, 0, 0, 1).to_string());
    assert_eq!(two(RawPeer { router_id: id, ..other.clone() }, both()).0, ["router-id-mismatch"]);
    let asn = RawPeer { my_asn: Some(64513), ..other };
    assert_eq!(two(asn.clone(), both()).0, ["asn-mismatch"]);
    assert!(two(RawPeer { vrf: Some("red".to_owned()), ..asn }, both()).0.is_empty());
}

// [CFG-25], [CFG-27]
#[test]
fn bfd_profiles_are_bounded_and_must_exist() {
    let spec = RawPeer { bfd_profile: Some("fast".to_owned()), ..good_peer() };
    assert_eq!(errors_of(&with_peer(spec.clone())), ["unknown-bfd-profile"]);
    assert!(errors_at_admission(&with_peer(spec.clone())).is_empty());
    let profile = RawBfdProfile { receive_interval: Some(9), minimum_ttl: Some(255), ..RawBfdProfile::default() };
    let raw = RawConfig { bfd_profiles: vec![raw("BFDProfile", "fast", profile)], ..with_peer(spec) };
    assert_eq!(errors_of(&raw), ["bfd-out-of-range"; 2]);
}

// [CFG-45]
#[test]
fn echo_mode_does_not_go_with_an_ipv6_pool() {
    let profile = RawBfdProfile { echo_mode: Some(true), ..RawBfdProfile::default() };
    let with = |peers: &[&str]| RawConfig {
        bfd_profiles: vec![raw("BFDProfile", "echo", profile.clone())],
        pools: vec![pool("six", &["2001:db8::/64"])],
        peers: vec![
            peer("loud", RawPeer { bfd_profile: Some("echo".to_owned()), ..good_peer() }),
            peer("still", RawPeer { peer_address: Some("192.0.2.9".to_owned()), ..good_peer() }),
        ],
        bgp_advertisements: vec![bgp(
            "a",
            RawBgpAdvertisement {
                peers: peers.iter().map(ToString::to_string).collect(),
                ..RawBgpAdvertisement::default()
            },
        )],
        ..RawConfig::default()
    };
    assert_eq!(errors_of(&with(&[])), ["bfd-echo-ipv6"]);
    assert_eq!(errors_of(&with(&["still", "loud"])), ["bfd-echo-ipv6"]);
    assert!(errors_of(&with(&["still"])).is_empty());
}

// [ARCH-6], [WEBHOOK-10]
#[test]
fn objects_of_other_namespaces_are_ignored_in_full_and_refused_at_admission() {
    let mut stranger = pool("a", &["no range"]);
    stranger.object.namespace = Some(Arc::from("elsewhere"));
    let mut raw = with_pools(vec![stranger]);
    let outcome = build(&raw);
    assert!(outcome.config.unwrap().pools().is_empty());
    assert_eq!(outcome.problems[0].category, Category::WrongNamespace);
    assert_eq!(errors_at_admission(&raw), ["wrong-namespace"]);
    raw.pools[0].object.namespace = None;
    assert_eq!(errors_of(&raw), ["invalid-address-range"]);
}

// [ADDR-12]
#[test]
fn a_name_given_twice_is_refused_with_and_without_namespace() {
    let mut second = pool("a", &["10.0.1.0/24"]);
    second.object.namespace = None;
    let raw = with_pools(vec![pool("a", &["10.0.0.0/24"]), pool("b", &["10.0.2.0/24"]), second]);
    assert_eq!(errors_of(&raw), ["duplicate-name"]);
}

// [CFG-4]
#[test]
fn what_does_not_select_a_node_is_no_matter_to_it() {
    let broken = RawPeer {
        bfd_profile: Some("missing".to_owned()),
        node_selectors: vec![label("name", "pandora")],
        ..good_peer()
    };
    let raw = with_peer(broken);
    assert!(errors_of(&raw.for_node(&node("iris"))).is_empty());
    assert_eq!(errors_of(&raw.for_node(&node("pandora"))), ["unknown-bfd-profile"]);
}

/// Objects of which some are good, some bad, some overlap, some share a name.
fn any_config() -> impl Strategy<Value = RawConfig> {
    let ranges = prop::sample::select(vec!["10.0.0.0/24", "10.0.0.128/25", "10.0.1.0/24", "bad", "2001:db8::/64"]);
    let entries = prop::collection::vec(ranges, 0..3);
    let pools = prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "d"]), entries), 0..5);
    let lengths = prop::option::of(20_i64..33);
    let prefs = prop::option::of(0_i64..3);
    let names = prop::collection::vec(prop::sample::select(vec!["a", "b", "ghost"]), 0..2);
    let advertisements =
        prop::collection::vec((prop::sample::select(vec!["x", "y", "z"]), lengths, prefs, names), 0..5);
    (pools, advertisements).prop_map(|(pools, advertisements)| {
        let mut origin = 0;
        let mut next = || {
            origin += 1;
            Origin(origin)
        };
        let pools = pools.into_iter().map(|(name, entries)| {
            let mut object = pool(name, &entries);
            object.object.origin = next();
            object
        });
        let pools = pools.collect();
        let advertisements = advertisements.into_iter().map(|(name, aggregation_length, local_pref, pools)| {
            let ip_address_pools = pools.iter().map(ToString::to_string).collect();
            let spec = RawBgpAdvertisement {
                aggregation_length,
                local_pref,
                ip_address_pools,
                ..RawBgpAdvertisement::default()
            };
            let mut object = bgp(name, spec);
            object.object.origin = next();
            object
        });
        let bgp_advertisements = advertisements.collect();
        RawConfig { pools, bgp_advertisements, nodes: vec![node("iris")], ..RawConfig::default() }
    })
}

proptest! {
    // [CFG-3], [CFG-15]
    #[test]
    fn the_order_of_listing_does_not_matter(raw in any_config(), seed in any::<u64>()) {
        let mut shuffled = raw.clone();
        let mut order = crate::rng::Rng::new(seed);
        let mut shuffle = |length: usize| -> Vec<u64> { (0..length).map(|_| order.next_u64()).collect() };
        let keys = shuffle(shuffled.pools.len());
        let mut pools: Vec<_> = keys.into_iter().zip(shuffled.pools).collect();
        pools.sort_by_key(|(key, _)| *key);
        shuffled.pools = pools.into_iter().map(|(_, pool)| pool).collect();
        let keys = shuffle(shuffled.bgp_advertisements.len());
        let mut advertisements: Vec<_> = keys.into_iter().zip(shuffled.bgp_advertisements).collect();
        advertisements.sort_by_key(|(key, _)| *key);
        shuffled.bgp_advertisements = advertisements.into_iter().map(|(_, advertisement)| advertisement).collect();
        let (left, right) = (build(&raw), build(&shuffled));
        prop_assert_eq!(left.problems, right.problems);
        prop_assert_eq!(left.config, right.config);
    }

    // [ADDR-11]
    #[test]
    fn overlaps_are_found_exactly_where_comparing_all_pairs_finds_them(
        bounds in prop::collection::vec((0_u8..60, 0_u8..6), 0..8),
    ) {
        let texts: Vec<String> =
            bounds.iter().map(|(first, more)| format!("10.0.0.{first}-10.0.0.{}", first + more)).collect();
        let entries: Vec<&str> = texts.iter().map(String::as_str).collect();
        let mut pairs = 0;
        for (at, (first, more)) in bounds.iter().enumerate() {
            for (other, other_more) in &bounds[..at] {
                pairs += usize::from(*first <= other + other_more && *other <= first + more);
            }
        }
        let found = errors_of(&with_pools(vec![pool("p", &entries)])).len();
        prop_assert_eq!(found, pairs + usize::from(bounds.is_empty()));
    }
}
