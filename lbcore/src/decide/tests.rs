//! Tests of the decisions of a node.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::announce::{Announcement, AnnouncementKey, DesiredSet, GroupKey, Reach, RouteAttributes, Standing};
use crate::config::{
    Config, ObjectRef, Origin, Raw, RawBgpAdvertisement, RawConfig, RawL2Advertisement, RawPeer, RawPool,
    RawPreference, RawSelector, Settings,
};
use crate::labels::Labels;
use crate::link::LinkSelection;
use crate::node::{EXCLUDE_LABEL, NetworkCondition, Node};

mod incremental;

fn raw<T>(name: &str, spec: T) -> Raw<T> {
    let object = ObjectRef { kind: "Any".into(), namespace: None, name: name.into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn labels(pairs: &[(&str, &str)]) -> Labels {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn choose(key: &str, value: &str) -> RawSelector {
    RawSelector { match_labels: labels(&[(key, value)]), match_expressions: Vec::new() }
}

fn name(node: &str) -> NodeName {
    NodeName::new(node).unwrap()
}

fn key(service: &str) -> ServiceKey {
    ServiceKey::new("default", service).unwrap()
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn node(node: &str) -> Node {
    Node { name: name(node), labels: labels(&[("name", node)]), network: NetworkCondition::Available }
}

/// A Service with one usable endpoint on each of the nodes.
fn service(service: &str, addresses: &[&str], endpoints_on: &[&str]) -> ServiceFacts {
    let mut endpoints = Endpoints::none();
    for node in endpoints_on {
        endpoints.add(Some(&name(node)), EndpointAddress::Present);
    }
    ServiceFacts {
        key: key(service),
        labels: labels(&[("app", service)]),
        addresses: addresses.iter().map(|text| address(text)).collect(),
        policy: TrafficPolicy::Cluster,
        sharing: SharingAnnotation::Absent,
        endpoints,
    }
}

/// Two pools of both families with one L2 advertisement for all, and two nodes more than needed.
fn world() -> RawConfig {
    RawConfig {
        pools: vec![
            raw("main", RawPool { addresses: texts(&["192.168.10.0/24", "2001:db8::/64"]), ..RawPool::default() }),
            raw("spare", RawPool { addresses: texts(&["198.51.100.0/24"]), ..RawPool::default() }),
        ],
        l2_advertisements: vec![raw("everywhere", RawL2Advertisement::default())],
        nodes: vec![node("node1"), node("node2"), node("node3")],
        ..RawConfig::default()
    }
}

fn view(raw: &RawConfig, options: DecideOptions, services: impl IntoIterator<Item = ServiceFacts>) -> Snapshot {
    let outcome = Config::build(raw, &Settings::default());
    assert_eq!(outcome.errors().next(), None);
    let mut snapshot = Snapshot::new(outcome.config.unwrap(), raw.nodes.clone(), options);
    for facts in services {
        snapshot.set_service(facts);
    }
    snapshot
}

fn look(raw: &RawConfig, services: impl IntoIterator<Item = ServiceFacts>) -> Snapshot {
    view(raw, DecideOptions::default(), services)
}

fn owner(snapshot: &Snapshot, service: &str) -> Option<String> {
    first_owner(snapshot, &key(service)).map(|(node, _)| node.to_string())
}

fn withheld(snapshot: &Snapshot, service: &str, node: &str) -> Option<Reason> {
    match decide(snapshot, &key(service), &name(node)).layer2 {
        Layer2Decision::Stand(_) => None,
        Layer2Decision::Withhold(reason) => Some(reason),
    }
}

fn named(links: &[&str]) -> LinkSelection {
    LinkSelection::Named(Arc::new(links.iter().map(ToString::to_string).collect()))
}

// [OWN-21], [L2-4], [VEC-5]
#[test]
fn every_eligible_node_stands_and_the_first_of_the_order_owns() {
    let snapshot = look(&world(), [service("web", &["192.168.10.1"], &["node2"])]);
    for node in ["node1", "node2", "node3"] {
        let Layer2Decision::Stand(reach) = decide(&snapshot, &key("web"), &name(node)).layer2 else {
            panic!("{node} does not stand");
        };
        assert_eq!(reach.group, GroupKey(address("192.168.10.1")));
        assert_eq!((reach.score, reach.links, reach.standing), (0, LinkSelection::All, Standing::Eligible));
    }
    assert_eq!(owner(&snapshot, "web").as_deref(), Some("node3"));
    let reason = why_not_first_owner(&snapshot, &key("web"), &name("node1")).unwrap();
    assert_eq!(reason, Reason::NotElected { first: name("node3") });
    assert_eq!(reason.category(Protocol::Layer2), "not-elected");
    assert_eq!(why_not_first_owner(&snapshot, &key("web"), &name("node3")), None);
}

// [ANN-1], [ANN-4], [ANN-6]
#[test]
fn the_gate_withholds_what_has_no_place_in_a_pool() {
    let snapshot = look(
        &world(),
        [
            service("bare", &[], &["node1"]),
            service("foreign", &["203.0.113.1"], &["node1"]),
            service("torn", &["192.168.10.7", "198.51.100.7"], &["node1"]),
        ],
    );
    assert_eq!(withheld(&snapshot, "ghost", "node1"), Some(Reason::ServiceDeleted));
    assert_eq!(withheld(&snapshot, "bare", "node1"), Some(Reason::NoIpAllocated));
    assert_eq!(withheld(&snapshot, "foreign", "node1"), Some(Reason::IpNotAllowed));
    assert_eq!(withheld(&snapshot, "torn", "node1"), Some(Reason::IpNotAllowed));
}

// [ADDR-8] through [ANN-6]
#[test]
fn an_address_that_its_pool_avoids_is_not_in_it() {
    let mut raw = world();
    raw.pools[0].spec.avoid_buggy_ips = Some(true);
    let snapshot = look(&raw, [service("web", &["192.168.10.255"], &["node1"])]);
    assert_eq!(withheld(&snapshot, "web", "node1"), Some(Reason::IpNotAllowed));
}

// [ANN-30], [OWN-24]
#[test]
fn without_a_usable_endpoint_nobody_announces() {
    let snapshot = look(&world(), [service("web", &["192.168.10.1"], &[])]);
    let reason = withheld(&snapshot, "web", "node1").unwrap();
    assert_eq!((reason.scope(), reason.category(Protocol::Layer2)), (Scope::Everywhere, "not-elected"));
    assert_eq!(owner(&snapshot, "web"), None);
}

#[test]
fn without_a_slice_a_standalone_host_takes_the_service_as_served_everywhere() {
    let facts = ServiceFacts {
        endpoints: Endpoints::NoSlice,
        policy: TrafficPolicy::Local,
        ..service("web", &["192.168.10.1"], &[])
    };
    assert_eq!(withheld(&look(&world(), [facts.clone()]), "web", "node1"), Some(Reason::NoEndpoints));
    let options = DecideOptions { missing_slices: MissingSlices::ServedEverywhere, ..DecideOptions::default() };
    assert_eq!(withheld(&view(&world(), options, [facts]), "web", "node1"), None);
}

// [L2-1], [ANN-24]
#[test]
fn under_policy_local_only_nodes_with_an_endpoint_stand() {
    let mut facts = service("web", &["192.168.10.1"], &["node1", "node1", "node2"]);
    facts.policy = TrafficPolicy::Local;
    let snapshot = look(&world(), [facts.clone()]);
    assert_eq!(withheld(&snapshot, "web", "node3"), Some(Reason::NoLocalEndpoints));
    assert_eq!(owner(&snapshot, "web").as_deref(), Some("node1"));
    facts.endpoints = Endpoints::none();
    facts.endpoints.add(None, EndpointAddress::Absent);
    assert_eq!(owner(&look(&world(), [facts.clone()]), "web"), None);
    facts.policy = TrafficPolicy::Cluster;
    assert_eq!(owner(&look(&world(), [facts]), "web").as_deref(), Some("node3"));
}

// [L2-1] steps 1 to 3
#[test]
fn nodes_without_network_excluded_or_without_a_speaker_do_not_stand() {
    let mut raw = world();
    raw.nodes[2].network = NetworkCondition::Unavailable;
    raw.nodes[0].labels.insert(EXCLUDE_LABEL.to_owned(), String::new());
    let facts = service("web", &["192.168.10.1"], &["node1"]);
    let snapshot = look(&raw, [facts.clone()]);
    assert_eq!(withheld(&snapshot, "web", "node3"), Some(Reason::NodeNetworkUnavailable));
    assert_eq!(withheld(&snapshot, "web", "node1"), Some(Reason::NodeExcluded));
    assert_eq!(owner(&snapshot, "web").as_deref(), Some("node2"));
    let ignoring = DecideOptions { exclude_label: ExcludeLabel::Ignored, ..DecideOptions::default() };
    assert_eq!(owner(&view(&raw, ignoring, [facts.clone()]), "web").as_deref(), Some("node1"));
    let alone = DecideOptions { live_nodes: Some(BTreeSet::from([name("node3")])), ..DecideOptions::default() };
    let snapshot = view(&raw, alone, [facts]);
    assert_eq!(withheld(&snapshot, "web", "node2"), Some(Reason::NodeNotAlive));
    assert_eq!(owner(&snapshot, "web"), None);
}

// [ANN-32], [ANN-11]
#[test]
fn advertisements_choose_nodes_and_services() {
    let mut raw = world();
    raw.l2_advertisements[0].spec.node_selectors = vec![choose("name", "node1")];
    raw.l2_advertisements[0].spec.service_selectors = vec![choose("app", "web")];
    let services = [service("web", &["192.168.10.1"], &["node3"]), service("other", &["192.168.10.2"], &["node3"])];
    let snapshot = look(&raw, services);
    assert_eq!(withheld(&snapshot, "web", "node1"), None);
    assert_eq!(withheld(&snapshot, "web", "node2"), Some(Reason::NoMatchingAdvertisement));
    assert_eq!(withheld(&snapshot, "other", "node1"), Some(Reason::NoAdvertisement));
}

// [ANN-31]
#[test]
fn a_service_that_may_share_is_not_announced_through_a_service_selector() {
    let mut raw = world();
    raw.l2_advertisements[0].spec.service_selectors = vec![choose("app", "web")];
    raw.l2_advertisements.push(self::raw("plain", RawL2Advertisement::default()));
    let shared = |service_name: &str, at: &str| ServiceFacts {
        sharing: SharingAnnotation::Present,
        ..service(service_name, &[at], &["node1"])
    };
    let snapshot = look(&raw, [shared("web", "192.168.10.1"), shared("other", "192.168.10.2")]);
    assert_eq!(withheld(&snapshot, "web", "node1"), Some(Reason::SharedIpWithServiceSelector));
    assert_eq!(withheld(&snapshot, "other", "node1"), None);
}

// [L2-6], [API-L2-4]
#[test]
fn preferences_add_up_over_advertisements_that_include_the_node() {
    let prefer =
        |weight: i64, node: &str| RawPreference { weight: Some(weight), preference: Some(choose("name", node)) };
    let mut raw = world();
    raw.l2_advertisements[0].spec.preferred_node_selectors = vec![prefer(20, "node1"), prefer(7, "node2")];
    raw.l2_advertisements.push(self::raw(
        "second",
        RawL2Advertisement { preferred_node_selectors: vec![prefer(15, "node2")], ..RawL2Advertisement::default() },
    ));
    raw.l2_advertisements.push(self::raw(
        "not for node3",
        RawL2Advertisement {
            node_selectors: vec![choose("name", "node1")],
            preferred_node_selectors: vec![prefer(100, "node3")],
            ..RawL2Advertisement::default()
        },
    ));
    let snapshot = look(&raw, [service("web", &["192.168.10.1"], &["node1"])]);
    let score = |node: &str| match decide(&snapshot, &key("web"), &name(node)).layer2 {
        Layer2Decision::Stand(reach) => reach.score,
        Layer2Decision::Withhold(reason) => panic!("{reason}"),
    };
    assert_eq!(["node1", "node2", "node3"].map(score), [20, 22, 0]);
    assert_eq!(owner(&snapshot, "web").as_deref(), Some("node2"));
}

// [L2-29]
#[test]
fn links_are_the_union_of_the_advertisements_that_include_the_node() {
    let on = |interfaces: &[&str], nodes: Vec<RawSelector>, services: Vec<RawSelector>| RawL2Advertisement {
        interfaces: texts(interfaces),
        node_selectors: nodes,
        service_selectors: services,
        ..RawL2Advertisement::default()
    };
    let mut raw = world();
    raw.l2_advertisements = vec![
        self::raw("a", on(&["eth0", "eth1"], vec![], vec![])),
        self::raw("b", on(&["eth2"], vec![choose("name", "node1")], vec![])),
        self::raw("c", on(&[], vec![choose("name", "node2")], vec![])),
        self::raw("d", on(&["eth9"], vec![], vec![choose("app", "other")])),
    ];
    let snapshot = look(&raw, [service("web", &["192.168.10.1"], &["node1"])]);
    let links = |node: &str| match decide(&snapshot, &key("web"), &name(node)).layer2 {
        Layer2Decision::Stand(reach) => reach.links,
        Layer2Decision::Withhold(reason) => panic!("{reason}"),
    };
    assert_eq!(links("node1"), named(&["eth0", "eth1", "eth2"]));
    assert_eq!(links("node2"), LinkSelection::All);
    assert_eq!(links("node3"), named(&["eth0", "eth1"]));
}

// [OWN-20], [L2-3], [L2-103]
#[test]
fn addresses_tied_by_services_form_one_group_with_one_key() {
    let snapshot = look(
        &world(),
        [
            service("a-single", &["2001:db8::10"], &["node1"]),
            service("dual", &["192.168.10.1", "2001:db8::10"], &["node1"]),
            service("z-single", &["192.168.10.1"], &["node1"]),
            service("apart", &["192.168.10.9"], &["node1"]),
        ],
    );
    let groups = snapshot.groups();
    assert_eq!(groups.len(), 2);
    assert_eq!(groups[0].key, GroupKey(address("192.168.10.1")));
    assert_eq!(groups[0].services, ["a-single", "dual", "z-single"].map(key).into());
    assert_eq!(groups[0].addresses, ["192.168.10.1", "2001:db8::10"].map(address).into());
    assert_eq!(groups[1].key, GroupKey(address("192.168.10.9")));
    // By its own address alone the first would go to node1 ([VEC-8]).
    assert_eq!(owner(&snapshot, "a-single").as_deref(), Some("node3"));
    assert_eq!(owner(&snapshot, "dual").as_deref(), Some("node3"));
}

// [OWN-22]
#[test]
fn a_node_must_be_eligible_for_every_announced_service_of_the_group() {
    let local = |service_name: &str, nodes: &[&str]| ServiceFacts {
        policy: TrafficPolicy::Local,
        ..service(service_name, &["192.168.10.1"], nodes)
    };
    let snapshot = look(&world(), [local("one", &["node1", "node3"]), local("two", &["node1"]), local("idle", &[])]);
    let because = Box::new(Reason::NoLocalEndpoints);
    assert_eq!(withheld(&snapshot, "one", "node3"), Some(Reason::GroupNotEligible { service: key("two"), because }));
    assert_eq!(withheld(&snapshot, "one", "node1"), None);
    assert_eq!(owner(&snapshot, "one").as_deref(), Some("node1"));
    assert_eq!(owner(&snapshot, "idle"), None);
}

fn desired(snapshot: &Snapshot, node: &str) -> BTreeMap<AnnouncementKey, Announcement> {
    desired_for(snapshot, &name(node)).into_iter().map(|announcement| (announcement.key(), announcement)).collect()
}

// [L2-101], [L2-100]
#[test]
fn an_address_of_several_services_is_announced_once_with_the_union_of_links() {
    let mut raw = world();
    raw.l2_advertisements = vec![
        self::raw(
            "a",
            RawL2Advertisement {
                interfaces: texts(&["eth0"]),
                service_selectors: vec![choose("app", "one")],
                ..RawL2Advertisement::default()
            },
        ),
        self::raw(
            "b",
            RawL2Advertisement {
                interfaces: texts(&["eth1"]),
                service_selectors: vec![choose("app", "two")],
                ..RawL2Advertisement::default()
            },
        ),
    ];
    let snapshot = look(
        &raw,
        [
            service("two", &["192.168.10.1"], &["node1"]),
            service("one", &["192.168.10.1", "2001:db8::7"], &["node1"]),
            service("idle", &["192.168.10.1"], &[]),
        ],
    );
    let all = desired(&snapshot, "node1");
    assert_eq!(all.len(), 2);
    let shared = &all[&AnnouncementKey::link(address("192.168.10.1"))];
    assert_eq!(*shared.services, [key("one"), key("two")]);
    let Reach::Link(reach) = &shared.reach else { panic!("not on a link") };
    assert_eq!(reach.links, named(&["eth0", "eth1"]));
    let Reach::Link(reach) = &all[&AnnouncementKey::link(address("2001:db8::7"))].reach else {
        panic!("not on a link")
    };
    assert_eq!((reach.links.clone(), reach.group), (named(&["eth0"]), GroupKey(address("192.168.10.1"))));
    let (_, links) = first_owner_of_address(&snapshot, address("192.168.10.1")).unwrap();
    assert_eq!(links, named(&["eth0", "eth1"]));
}

fn apply(set: &DesiredSet, changes: Changes) -> DesiredSet {
    set.changed(changes.put, changes.removed)
}

fn standing(set: &DesiredSet, at: &str) -> Option<Standing> {
    match &set.get(&AnnouncementKey::link(address(at)))?.reach {
        Reach::Link(reach) => Some(reach.standing),
        Reach::Routed(_) => None,
    }
}

// [OWN-24]
#[test]
fn a_node_leaves_what_others_may_announce_and_drops_what_nobody_may() {
    let local =
        |nodes: &[&str]| ServiceFacts { policy: TrafficPolicy::Local, ..service("web", &["192.168.10.1"], nodes) };
    let mut snapshot = look(&world(), [local(&["node1", "node2"])]);
    let start = apply(&DesiredSet::new(), changes_for(&snapshot, &name("node1"), &DesiredSet::new(), Extent::All));
    assert_eq!(standing(&start, "192.168.10.1"), Some(Standing::Eligible));
    let affected = snapshot.set_service(local(&["node2"]));
    let left = apply(&start, changes_for(&snapshot, &name("node1"), &start, Extent::Only(&affected)));
    assert_eq!(standing(&left, "192.168.10.1"), Some(Standing::Leaving));
    let affected = snapshot.set_service(local(&[]));
    let gone = apply(&left, changes_for(&snapshot, &name("node1"), &left, Extent::Only(&affected)));
    assert_eq!(standing(&gone, "192.168.10.1"), None);
}

// [OWN-24]
#[test]
fn an_excluded_node_leaves_everything() {
    let snapshot = look(&world(), [service("web", &["192.168.10.1"], &["node1"])]);
    let start = apply(&DesiredSet::new(), changes_for(&snapshot, &name("node1"), &DesiredSet::new(), Extent::All));
    let mut nodes: Vec<Node> = snapshot.nodes().cloned().collect();
    nodes[0].labels.insert(EXCLUDE_LABEL.to_owned(), String::new());
    let snapshot = snapshot.rebuilt(Arc::clone(snapshot.config()), nodes, DecideOptions::default());
    let left = apply(&start, changes_for(&snapshot, &name("node1"), &start, Extent::All));
    assert_eq!(standing(&left, "192.168.10.1"), Some(Standing::Leaving));
}

#[test]
fn a_service_set_again_without_change_affects_nothing() {
    let facts = service("web", &["192.168.10.1"], &["node1"]);
    let mut snapshot = look(&world(), [facts.clone()]);
    assert_eq!(snapshot.set_service(facts), Affected::default());
}

/// The world with two BGP peers: `inner` of our AS on every node, `outer` of another on node1.
fn routed() -> RawConfig {
    let peer = |peer_asn: i64, at: &str, node_selectors: Vec<RawSelector>| RawPeer {
        my_asn: Some(64512),
        peer_asn: Some(peer_asn),
        peer_address: Some(at.to_owned()),
        node_selectors,
        ..RawPeer::default()
    };
    RawConfig {
        peers: vec![
            raw("inner", peer(64512, "192.0.2.1", vec![])),
            raw("outer", peer(64999, "192.0.2.2", vec![choose("name", "node1")])),
        ],
        bgp_advertisements: vec![
            raw(
                "whole",
                RawBgpAdvertisement {
                    local_pref: Some(150),
                    as_path_prepend: Some(2),
                    communities: texts(&["64512:1"]),
                    ..RawBgpAdvertisement::default()
                },
            ),
            raw(
                "aggregate",
                RawBgpAdvertisement {
                    aggregation_length: Some(24),
                    aggregation_length_v6: Some(64),
                    ip_address_pools: texts(&["main"]),
                    peers: texts(&["outer"]),
                    ..RawBgpAdvertisement::default()
                },
            ),
        ],
        l2_advertisements: Vec::new(),
        ..world()
    }
}

fn heard(snapshot: &Snapshot, node: &str) -> BTreeMap<String, BTreeMap<String, RouteAttributes>> {
    let routes = routes_by_peer(snapshot, &name(node)).into_iter();
    routes
        .map(|(peer, routes)| {
            (
                peer.to_string(),
                routes.into_iter().map(|(prefix, attributes)| (prefix.to_string(), attributes)).collect(),
            )
        })
        .collect()
}

fn bgp_reason(snapshot: &Snapshot, service: &str, node: &str) -> Option<Reason> {
    match decide(snapshot, &key(service), &name(node)).bgp {
        BgpDecision::Announce(_) => None,
        BgpDecision::Withhold(reason) => Some(reason),
    }
}

// [ADV-20] to [ADV-24], [FRR-3], [FRR-8], [D162-1]
#[test]
fn each_peer_hears_what_is_meant_for_it() {
    let snapshot = look(&routed(), [service("web", &["192.168.10.1", "2001:db8::10"], &["node2"])]);
    let community = vec![0xfc00_0001];
    let inner = RouteAttributes { local_pref: Some(150), communities: community.clone(), ..RouteAttributes::default() };
    let outer = RouteAttributes { as_path_prepend: Some(2), communities: community, ..RouteAttributes::default() };
    let whole = "192.168.10.1/32".to_owned();
    let to_inner = BTreeMap::from([(whole.clone(), inner)]);
    let to_outer = BTreeMap::from([(whole, outer), ("192.168.10.0/24".to_owned(), RouteAttributes::default())]);
    let expected = BTreeMap::from([("inner".to_owned(), to_inner.clone()), ("outer".to_owned(), to_outer)]);
    assert_eq!(heard(&snapshot, "node1"), expected);
    assert_eq!(heard(&snapshot, "node2"), BTreeMap::from([("inner".to_owned(), to_inner)]));
}

// [WIRE-6], [WIRE-9], [FRR-8]
#[test]
fn a_session_is_internal_by_the_as_that_the_peer_is_shown() {
    let internal = RouteAttributes { local_pref: Some(150), ..RouteAttributes::default() };
    let external = RouteAttributes { as_path_prepend: Some(2), ..RouteAttributes::default() };
    for (peer_asn, local_asn, expected) in [
        (64512, None, &internal),
        (64512, Some(65000), &external),
        (65000, Some(65000), &internal),
        (64999, Some(65000), &external),
    ] {
        let mut raw = routed();
        raw.peers.truncate(1);
        raw.bgp_advertisements.truncate(1);
        raw.bgp_advertisements[0].spec.communities.clear();
        (raw.peers[0].spec.peer_asn, raw.peers[0].spec.local_asn) = (Some(peer_asn), local_asn);
        let heard = heard(&look(&raw, [service("web", &["192.168.10.1"], &["node1"])]), "node1");
        let hears: Vec<&RouteAttributes> = heard["inner"].values().collect();
        assert_eq!(hears, [expected], "peer {peer_asn}, local {local_asn:?}");
    }
}

#[test]
fn a_node_on_which_no_speaker_lives_has_no_session() {
    let options = DecideOptions { live_nodes: Some(BTreeSet::from([name("node1")])), ..DecideOptions::default() };
    let snapshot = view(&routed(), options, [service("web", &["192.168.10.1"], &["node1"])]);
    assert_eq!((bgp_reason(&snapshot, "web", "node1"), heard(&snapshot, "node1").len()), (None, 2));
    assert_eq!(
        (bgp_reason(&snapshot, "web", "node2"), heard(&snapshot, "node2").len()),
        (Some(Reason::NodeNotAlive), 0)
    );
    assert_eq!(Reason::NodeNotAlive.category(Protocol::Bgp), "node-not-alive");
}

// [ANN-40] to [ANN-46]
#[test]
fn bgp_is_withheld_for_the_published_reasons() {
    let mut raw = routed();
    raw.bgp_advertisements[0].spec.node_selectors = vec![choose("name", "node1"), choose("name", "node2")];
    raw.bgp_advertisements.truncate(1);
    raw.nodes[1].network = NetworkCondition::Unavailable;
    let local = ServiceFacts { policy: TrafficPolicy::Local, ..service("local", &["192.168.10.2"], &["node3"]) };
    let snapshot =
        look(&raw, [service("web", &["192.168.10.1"], &["node1"]), local, service("idle", &["192.168.10.3"], &[])]);
    assert_eq!(bgp_reason(&snapshot, "web", "node1"), None);
    assert_eq!(bgp_reason(&snapshot, "web", "node2"), Some(Reason::NodeNetworkUnavailable));
    assert_eq!(bgp_reason(&snapshot, "web", "node3"), Some(Reason::NoMatchingAdvertisement));
    assert_eq!(bgp_reason(&snapshot, "local", "node1"), Some(Reason::NoLocalEndpoints));
    assert_eq!(bgp_reason(&snapshot, "idle", "node1"), Some(Reason::NoEndpoints));
    assert_eq!(Reason::NodeExcluded.upstream_name(Protocol::Bgp), "nodeLabeledExcludeBalancers");
}

// [ANN-22]
#[test]
fn an_endpoint_without_an_address_counts_on_the_segment_and_not_for_bgp() {
    let mut facts = service("web", &["192.168.10.1"], &[]);
    facts.endpoints.add(Some(&name("node1")), EndpointAddress::Absent);
    let mut raw = routed();
    raw.l2_advertisements = world().l2_advertisements;
    let snapshot = look(&raw, [facts]);
    assert_eq!(withheld(&snapshot, "web", "node1"), None);
    assert_eq!(bgp_reason(&snapshot, "web", "node1"), Some(Reason::NoEndpoints));
}

// [ANN-42], [ADV-32], [D162-2]
#[test]
fn advertisements_that_conflict_for_a_service_withhold_it_alone() {
    let mut raw = routed();
    raw.bgp_advertisements = vec![
        self::raw("for all", RawBgpAdvertisement { local_pref: Some(100), ..RawBgpAdvertisement::default() }),
        self::raw(
            "for web",
            RawBgpAdvertisement {
                local_pref: Some(200),
                service_selectors: vec![choose("app", "web")],
                ..RawBgpAdvertisement::default()
            },
        ),
    ];
    let snapshot =
        look(&raw, [service("web", &["192.168.10.1"], &["node1"]), service("other", &["192.168.10.2"], &["node1"])]);
    let advertisements = ["for all".to_owned(), "for web".to_owned()];
    assert_eq!(bgp_reason(&snapshot, "web", "node1"), Some(Reason::ConflictingAdvertisements { advertisements }));
    assert_eq!(bgp_reason(&snapshot, "other", "node1"), None);
}

// [ANN-49], [ADV-22]
#[test]
fn a_shared_prefix_stays_while_one_service_asks_for_it() {
    let mut snapshot =
        look(&routed(), [service("one", &["192.168.10.1"], &["node1"]), service("two", &["192.168.10.2"], &["node1"])]);
    let start = apply(&DesiredSet::new(), changes_for(&snapshot, &name("node1"), &DesiredSet::new(), Extent::All));
    assert_eq!(start.len(), 3);
    let affected = snapshot.remove_service(&key("one"));
    let changes = changes_for(&snapshot, &name("node1"), &start, Extent::Only(&affected));
    let removed: Vec<String> = changes.removed.iter().map(|key| key.prefix.to_string()).collect();
    assert_eq!(removed, ["192.168.10.1/32"]);
    assert_eq!(changes.put.len(), 1);
    assert_eq!(*changes.put[0].services, [key("two")]);
    assert_eq!(changes.put[0].prefix.to_string(), "192.168.10.0/24");
}

fn any_service() -> impl Strategy<Value = ServiceFacts> {
    let pairs = vec![
        vec!["192.168.10.1"],
        vec!["192.168.10.2"],
        vec!["192.168.10.1", "2001:db8::1"],
        vec!["2001:db8::1"],
        vec![],
    ];
    let nodes = prop::sample::subsequence(vec!["node1", "node2", "node3"], 0..=3);
    (prop::sample::select(vec!["a", "b", "c", "d"]), prop::sample::select(pairs), nodes, any::<bool>()).prop_map(
        |(name, addresses, nodes, local)| ServiceFacts {
            policy: if local { TrafficPolicy::Local } else { TrafficPolicy::Cluster },
            ..service(name, &addresses, &nodes)
        },
    )
}

proptest! {
    // [SPK-20]: step by step or at once, the same comes out.
    #[test]
    fn changes_step_by_step_lead_to_the_whole(steps in prop::collection::vec(any_service(), 1..12), gone in "[a-d]") {
        let mut raw = routed();
        raw.l2_advertisements = world().l2_advertisements;
        let mut snapshot = look(&raw, []);
        let mut set = DesiredSet::new();
        let node = name("node1");
        for facts in steps {
            let affected = snapshot.set_service(facts);
            set = apply(&set, changes_for(&snapshot, &node, &set, Extent::Only(&affected)));
        }
        let affected = snapshot.remove_service(&key(&gone));
        set = apply(&set, changes_for(&snapshot, &node, &set, Extent::Only(&affected)));
        let staying = |announcement: &&Arc<Announcement>| !matches!(&announcement.reach, Reach::Link(reach) if reach.standing == Standing::Leaving);
        let stepwise: Vec<Announcement> = set.iter().filter(staying).map(|announcement| (**announcement).clone()).collect();
        prop_assert_eq!(stepwise, desired_for(&snapshot, &node));
    }

    // [OWN-21]: the first owner is one of the nodes that stand, and there is one exactly if a node stands.
    #[test]
    fn the_first_owner_stands(steps in prop::collection::vec(any_service(), 1..6)) {
        let snapshot = look(&world(), steps.clone());
        for facts in steps {
            let standing: Vec<&str> = ["node1", "node2", "node3"]
                .into_iter()
                .filter(|node| matches!(decide(&snapshot, &facts.key, &name(node)).layer2, Layer2Decision::Stand(_)))
                .collect();
            match first_owner(&snapshot, &facts.key) {
                Some((first, _)) => prop_assert!(standing.contains(&first.as_str())),
                None => prop_assert!(standing.is_empty()),
            }
        }
    }
}
