//! Scenarios of section 2 of the end-to-end catalogue: BGP, with BIRD on the cluster's router as an external peer (AS 65000, by
//! `192.168.1.254` and `fc00:f853:ccd:e793::254`) and as an internal one (AS 64512, by `10.0.0.1`).

use std::collections::BTreeSet;
use std::error::Error;
use std::time::Duration;

use lab::router::{Bird, Route, Router};

use super::Scenario;
use super::rig::{CALM, Checked, Rig, SHOP, SOON, check, wait};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("bgp_01_every_node_announces", bgp_01),
    ("bgp_02_a_node_without_network_withdraws", bgp_02),
    ("bgp_03_with_policy_local_the_nodes_with_endpoints_announce", bgp_03),
    ("bgp_05_a_shared_address", bgp_05),
    ("bgp_06_pools_as_ranges", bgp_06),
    ("bgp_07_layer_2_beside_it", bgp_07),
    ("bgp_10_router_ids", bgp_10),
    ("bgp_13_passwords_from_secrets", bgp_13),
    ("bgp_14_peers_one_after_the_other", bgp_14),
    ("bgp_15_dynamic_systems", bgp_15),
    ("bgp_16_dynamic_systems_of_the_other_kind", bgp_16),
    ("bgp_17_peers_for_some_nodes", bgp_17),
    ("bgp_26_a_changed_configuration_is_said_to_be_loaded", bgp_26),
    ("bgp_40_communities_and_preference", bgp_40),
    ("bgp_40_large_communities", bgp_40_large),
    ("bgp_40_communities_by_alias", bgp_40_alias),
    ("bgp_41_communities_of_two_advertisements", bgp_41),
    ("bgp_42_attributes_and_aggregation_that_change", bgp_42),
    ("bgp_50_advertisements_for_some_peers", bgp_50),
    ("bgp_51_communities_for_some_peers", bgp_51),
    ("bgp_52_advertisements_for_some_nodes", bgp_52),
    ("bgp_53_communities_for_some_nodes", bgp_53),
    ("bgp_54_a_node_that_is_given_the_label", bgp_54),
    ("bgp_55_an_advertisement_that_loses_its_nodes", bgp_55),
    ("bgp_57_services_of_two_labels", bgp_57),
    ("bgp_58_an_advertisement_that_changes_its_services", bgp_58),
    ("bgp_59_services_that_change_their_labels", bgp_59),
    ("bgp_60_a_host_route_and_an_aggregate", bgp_60),
    ("bgp_70_a_second_pool", bgp_70),
    ("bgp_71_statuses_name_the_peers", bgp_71),
];

pub(super) const ALL: [&str; 3] = ["n1", "n2", "n3"];
pub(super) const POOL_V4: &str = "192.168.10.0/24";
pub(super) const POOL_V6: &str = "fc00:f853:0ccd:e799::/124";
/// Where the router is reached: by eBGP over IPv4 and IPv6, by iBGP.
pub(super) const EXTERNAL: &str = "192.168.1.254";
pub(super) const EXTERNAL_V6: &str = "fc00:f853:ccd:e793::254";
pub(super) const INTERNAL: &str = "10.0.0.1";

/// What the sessions of BIRD have beside their addresses.
pub(super) struct Peering<'a> {
    /// More lines for the external sessions.
    pub(super) external: &'a str,
    /// More lines for the internal sessions.
    pub(super) internal: &'a str,
    /// The AS of each node.
    pub(super) nodes: [u32; 3],
    /// More protocols, whose routes the nodes are sent.
    pub(super) announced: &'a str,
}

impl Default for Peering<'_> {
    fn default() -> Self {
        Self { external: "", internal: "", nodes: [64_512; 3], announced: "" }
    }
}

/// BIRD with three sessions to each node: `eN`, `xN` (IPv6) and `iN`. Each carries the families that the node asks for.
pub(super) fn bird(rig: &Rig, peering: &Peering<'_>) -> Result<Bird, Box<dyn Error>> {
    let router = rig.cluster.router().ok_or("the cluster has no router")?;
    let Peering { external, internal, announced, .. } = peering;
    let export = if announced.is_empty() { "none" } else { "where source = RTS_STATIC" };
    let sessions = peering.nodes.iter().zip(1..).map(|(system, number)| {
        let common = "passive on; error wait time 1, 2; connect delay time 1;";
        let (v4, v6) = ("ipv4 { import all; export", "ipv6 { import all; export");
        format!(
            "protocol bgp e{number} {{ local {EXTERNAL} as 65000; neighbor 192.168.1.1{number} as {system}; {common} {external} \
             {v4} {export}; }}; {v6} none; }}; }}\n\
             protocol bgp x{number} {{ local {EXTERNAL_V6} as 65000; neighbor fc00:f853:ccd:e793::1{number} as {system}; {common} {external} \
             {v6} {export}; }}; {v4} none; extended next hop on; }}; }}\n\
             protocol bgp i{number} {{ local {INTERNAL} as 64512; neighbor 10.0.0.1{number} as {system}; direct; {common} {internal} \
             {v4} {export}; }}; {v6} none; }}; }}\n"
        )
    });
    let text = format!("router id 10.0.0.1;\n{announced}\n{}", sessions.collect::<Vec<_>>().join("\n"));
    Ok(Bird::start(router, &text)?)
}

pub(super) fn external(more: &str) -> String {
    format!("{{myASN: 64512, peerASN: 65000, peerAddress: {EXTERNAL}{more}}}")
}

pub(super) fn external_v6(more: &str) -> String {
    format!("{{myASN: 64512, peerASN: 65000, peerAddress: \"{EXTERNAL_V6}\"{more}}}")
}

pub(super) fn internal(more: &str) -> String {
    format!("{{myASN: 64512, peerASN: 64512, peerAddress: {INTERNAL}{more}}}")
}

pub(super) fn peer(rig: &Rig, name: &str, spec: &str) -> Checked {
    rig.ours("BGPPeer", "v1beta2", name, spec)
}

pub(super) fn advertise(rig: &Rig, name: &str, spec: &str) -> Checked {
    rig.ours("BGPAdvertisement", "v1beta1", name, spec)
}

/// All three peers.
pub(super) fn peers(rig: &Rig) -> Checked {
    peer(rig, "external", &external(""))?;
    peer(rig, "external6", &external_v6(""))?;
    peer(rig, "internal", &internal(""))
}

/// The nodes whose routes for a prefix have come over the external sessions, or the internal ones.
fn next_hops(routes: &[Route], prefix: &str, start: &str) -> BTreeSet<String> {
    let of_prefix = routes.iter().filter(|route| route.prefix == prefix);
    let hops = of_prefix.filter_map(|route| route.next_hops.first()).filter(|hop| hop.starts_with(start));
    hops.filter_map(|hop| hop.chars().last()).map(|last| format!("n{last}")).collect()
}

pub(super) fn prefix_of(address: &str) -> String {
    if address.contains(':') { format!("{address}/128") } else { format!("{address}/32") }
}

fn names(nodes: &[&str]) -> BTreeSet<String> {
    nodes.iter().map(|node| (*node).to_owned()).collect()
}

/// Waits until the router has routes of exactly these nodes for the address, by each kind of session that carries it.
pub(super) fn routed(bird: &Bird, address: &str, nodes: &[&str]) -> Checked {
    if address.contains(':') {
        return by(bird, &prefix_of(address), "fc00:f853:ccd:e793:", nodes);
    }
    by(bird, &prefix_of(address), "192.168.1.", nodes)?;
    by(bird, &prefix_of(address), "10.0.0.", nodes)
}

/// Waits until the next hops of a prefix that begin so are those of exactly these nodes.
pub(super) fn by(router: &dyn Router, prefix: &str, start: &str, nodes: &[&str]) -> Checked {
    let family = if prefix.contains(':') { 6 } else { 4 };
    let wanted = names(nodes);
    let what = format!("routes of {prefix} by {start} from {nodes:?}");
    router.wait_routes(family, &what, SOON, &|routes| next_hops(routes, prefix, start) == wanted)?;
    Ok(())
}

pub(super) fn unrouted(bird: &Bird, address: &str, during: Duration) -> Checked {
    routed(bird, address, &[])?;
    std::thread::sleep(during);
    routed(bird, address, &[])
}

/// The routes of an address that have come by sessions of one kind.
pub(super) fn routes_by(router: &dyn Router, prefix: &str, start: &str) -> Result<Vec<Route>, Box<dyn Error>> {
    let family = if prefix.contains(':') { 6 } else { 4 };
    let is_of =
        |route: &Route| route.prefix == prefix && route.next_hops.first().is_some_and(|hop| hop.starts_with(start));
    Ok(router.routes(family)?.into_iter().filter(is_of).collect())
}

pub(super) fn up(bird: &Bird, start: &str, nodes: &[&str]) -> Checked {
    for node in ALL {
        let address = format!("{start}1{}", node.trim_start_matches('n'));
        bird.wait_established(&address, nodes.contains(&node), SOON)?;
    }
    Ok(())
}

/// A pool of both families, all peers, an empty advertisement, everything running.
pub(super) fn usual(rig: &mut Rig) -> Result<Bird, Box<dyn Error>> {
    usual_with(rig, &Peering::default(), &[POOL_V4, POOL_V6])
}

pub(super) fn usual_with(rig: &mut Rig, peering: &Peering<'_>, pool: &[&str]) -> Result<Bird, Box<dyn Error>> {
    let bird = bird(rig, peering)?;
    rig.pool("bgp", pool)?;
    peers(rig)?;
    advertise(rig, "all", "{}")?;
    rig.start_all()?;
    Ok(bird)
}

fn bgp_01(rig: &mut Rig) -> Checked {
    let bird = usual(rig)?;
    for address in rig.ask("web", "", true, &ALL)? {
        routed(&bird, &address, &ALL)?;
    }
    let asked = rig.asked("asked", "metallb.io/loadBalancerIPs: 192.168.10.100", 80, &ALL)?;
    check(asked == ["192.168.10.100"], format!("{asked:?}"))?;
    routed(&bird, "192.168.10.100", &ALL)
}

fn bgp_02(rig: &mut Rig) -> Checked {
    let bird = usual(rig)?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    routed(&bird, &address, &ALL)?;
    rig.network("n1", "True")?;
    routed(&bird, &address, &["n2", "n3"])?;
    rig.network("n1", "False")?;
    routed(&bird, &address, &ALL)
}

fn bgp_03(rig: &mut Rig) -> Checked {
    let bird = usual(rig)?;
    for address in rig.ask("web", "externalTrafficPolicy: Local, ", true, &["n1", "n3"])? {
        routed(&bird, &address, &["n1", "n3"])?;
    }
    Ok(())
}

fn bgp_05(rig: &mut Rig) -> Checked {
    let bird = usual(rig)?;
    let annotations = "metallb.io/allow-shared-ip: key, metallb.io/loadBalancerIPs: 192.168.10.1";
    rig.asked("one", annotations, 80, &ALL)?;
    rig.asked("two", annotations, 81, &ALL)?;
    routed(&bird, "192.168.10.1", &ALL)?;
    // It stays as long as one of the two has it.
    rig.cluster.admin().run(&["delete", "service", "one", "-n", SHOP])?;
    std::thread::sleep(Duration::from_secs(2));
    routed(&bird, "192.168.10.1", &ALL)
}

fn bgp_06(rig: &mut Rig) -> Checked {
    let bird = usual_with(
        rig,
        &Peering::default(),
        &["192.168.10.0-192.168.10.18", "fc00:f853:0ccd:e799::0-fc00:f853:0ccd:e799::18"],
    )?;
    for address in rig.ask("web", "", true, &ALL)? {
        let in_range = address.starts_with("192.168.10.") || address.starts_with("fc00:f853:ccd:e799::");
        check(in_range, format!("{address} is not of the pool"))?;
        routed(&bird, &address, &ALL)?;
    }
    Ok(())
}

fn bgp_07(rig: &mut Rig) -> Checked {
    let bird = usual_with(rig, &Peering::default(), &["192.168.1.240-192.168.1.250"])?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    routed(&bird, &address, &ALL)?;
    let answering = rig.answering(&address, Duration::from_secs(3))?;
    check(answering.is_empty(), format!("{answering:?} answer by ARP"))?;
    rig.ours("L2Advertisement", "v1beta1", "all", "{}")?;
    rig.owner(&address)?;
    routed(&bird, &address, &ALL)?;
    rig.cluster.admin().run(&["delete", "l2advertisement", "all", "-n", "metallb-system"])?;
    let look = || rig.answering(&address, Duration::from_millis(600));
    wait("silence", look, BTreeSet::is_empty)?;
    routed(&bird, &address, &ALL)
}

fn bgp_10(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    peer(rig, "external", &external(", routerID: 10.10.10.1"))?;
    rig.start_all()?;
    up(&bird, "192.168.1.", &ALL)?;
    for number in 1..=3 {
        let told = bird.ask(&format!("show protocols all e{number}"))?;
        check(told.contains("10.10.10.1"), told)?;
    }
    Ok(())
}

fn bgp_13(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering { external: "password \"from-a-secret\";", ..Peering::default() })?;
    let secret = |text: &str| {
        format!(
            "{{apiVersion: v1, kind: Secret, metadata: {{name: tor, namespace: metallb-system}}, type: kubernetes.io/basic-auth, \
             stringData: {{username: \"\", password: {text}}}}}"
        )
    };
    rig.cluster.apply(&secret("from-a-secret"))?;
    peer(rig, "external", &external(", passwordSecret: {name: tor}"))?;
    rig.start_all()?;
    up(&bird, "192.168.1.", &ALL)?;
    rig.cluster.admin().run(&["delete", "secret", "tor", "-n", "metallb-system"])?;
    // What runs goes on with the password that it has ([SPK-8]).
    std::thread::sleep(Duration::from_secs(3));
    up(&bird, "192.168.1.", &ALL)
}

fn bgp_14(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.start_all()?;
    for (name, spec, start) in [
        ("external", external(""), "192.168.1."),
        ("external6", external_v6(""), "fc00:f853:ccd:e793::"),
        ("internal", internal(""), "10.0.0."),
    ] {
        peer(rig, name, &spec)?;
        up(&bird, start, &ALL)?;
        rig.cluster.admin().run(&["delete", "bgppeer", name, "-n", "metallb-system"])?;
        up(&bird, start, &[])?;
    }
    Ok(())
}

fn dynamic(kind: &str, address: &str) -> String {
    format!("{{myASN: 64512, dynamicASN: {kind}, peerAddress: {address}}}")
}

fn bgp_15(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    peer(rig, "external", &dynamic("external", EXTERNAL))?;
    peer(rig, "internal", &dynamic("internal", INTERNAL))?;
    rig.start_all()?;
    up(&bird, "192.168.1.", &ALL)?;
    up(&bird, "10.0.0.", &ALL)
}

fn bgp_16(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    peer(rig, "external", &dynamic("internal", EXTERNAL))?;
    peer(rig, "internal", &dynamic("external", INTERNAL))?;
    rig.start_all()?;
    // Attempts come within a second of each other.
    std::thread::sleep(CALM);
    up(&bird, "192.168.1.", &[])?;
    up(&bird, "10.0.0.", &[])
}

fn bgp_17(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    let on = |nodes: &str| {
        format!(
            ", nodeSelectors: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{nodes}]}}]}}]"
        )
    };
    peer(rig, "external", &external(&on("n1")))?;
    peer(rig, "internal", &internal(&on("n2, n3")))?;
    rig.start_all()?;
    up(&bird, "192.168.1.", &["n1"])?;
    up(&bird, "10.0.0.", &["n2", "n3"])
}

fn bgp_26(rig: &mut Rig) -> Checked {
    let _bird = usual(rig)?;
    let count = |rig: &Rig| -> Vec<usize> {
        rig.speakers.iter().map(|role| role.log().matches("config reloaded").count()).collect()
    };
    wait("the first configuration", || Ok(count(rig)), |counts| counts.iter().all(|count| *count > 0))?;
    let before = count(rig);
    rig.pool("bgp", &["192.168.11.0/24"])?;
    let is_more = |now: &Vec<usize>| now.iter().zip(&before).all(|(now, before)| now > before);
    wait("the next configuration", || Ok(count(rig)), is_more).map(drop)
}

/// Two pools: services in the first, which this advertisement covers, and in the second, which an empty one covers.
fn attributes(rig: &mut Rig, spec: &str, community: Option<(&str, bool)>, preference: Option<u32>) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("first", &["192.168.10.0/25"])?;
    rig.pool("second", &["192.168.10.128/25"])?;
    peers(rig)?;
    advertise(rig, "first", &format!("{{ipAddressPools: [first], {spec}}}"))?;
    advertise(rig, "second", "{ipAddressPools: [second]}")?;
    rig.start_all()?;
    for (name, last) in [("one", 0), ("two", 1), ("three", 128)] {
        let address = format!("192.168.10.{last}");
        rig.asked(name, &format!("metallb.io/loadBalancerIPs: {address}"), 80, &ALL)?;
        routed(&bird, &address, &ALL)?;
        let is_first = name != "three";
        for start in ["192.168.1.", "10.0.0."] {
            for route in routes_by(&bird, &prefix_of(&address), start)? {
                if let Some((community, is_large)) = community {
                    let list = if is_large { &route.large_communities } else { &route.communities };
                    check(list.iter().any(|one| one == community) == is_first, format!("{route:?}"))?;
                }
                if start == "10.0.0." {
                    let wanted = if is_first { preference.unwrap_or(100) } else { 100 };
                    check(route.local_pref == Some(wanted), format!("{route:?}"))?;
                }
            }
        }
    }
    Ok(())
}

fn bgp_40(rig: &mut Rig) -> Checked {
    attributes(rig, "communities: [\"65535:65282\"], localPref: 50", Some(("65535:65282", false)), Some(50))
}

fn bgp_40_large(rig: &mut Rig) -> Checked {
    attributes(rig, "communities: [\"large:123:456:7890\"], localPref: 50", Some(("123:456:7890", true)), Some(50))
}

fn bgp_40_alias(rig: &mut Rig) -> Checked {
    rig.ours("Community", "v1beta1", "aliases", "{communities: [{name: quiet, value: \"65535:65282\"}]}")?;
    attributes(rig, "communities: [quiet], localPref: 50", Some(("65535:65282", false)), Some(50))
}

fn bgp_41(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("bgp", &[POOL_V4])?;
    peers(rig)?;
    advertise(rig, "one", "{communities: [\"65000:100\"]}")?;
    advertise(rig, "two", "{communities: [\"65000:200\"]}")?;
    rig.start_all()?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    routed(&bird, &address, &ALL)?;
    for start in ["192.168.1.", "10.0.0."] {
        for route in routes_by(&bird, &prefix_of(&address), start)? {
            check(route.communities == ["65000:100", "65000:200"], format!("{route:?}"))?;
        }
    }
    Ok(())
}

fn bgp_42(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("bgp", &[POOL_V4])?;
    peers(rig)?;
    advertise(rig, "all", "{communities: [\"65535:65282\"], localPref: 200}")?;
    rig.start_all()?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    routed(&bird, &address, &ALL)?;
    for (prefix, community, preference) in
        [(prefix_of(&address), "65535:65282", 200), (POOL_V4.to_owned(), "123:456", 300)]
    {
        if prefix == POOL_V4 {
            advertise(rig, "all", "{communities: [\"123:456\"], localPref: 300, aggregationLength: 24}")?;
            by(&bird, &prefix, "10.0.0.", &ALL)?;
            routed(&bird, &address, &[])?;
        }
        for route in routes_by(&bird, &prefix, "10.0.0.")? {
            let holds = route.communities == [community] && route.local_pref == Some(preference);
            check(holds, format!("{route:?}"))?;
        }
    }
    Ok(())
}

fn bgp_50(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("first", &["192.168.10.0/25"])?;
    rig.pool("second", &["192.168.10.128/25"])?;
    peers(rig)?;
    advertise(rig, "first", "{ipAddressPools: [first], peers: [external]}")?;
    advertise(rig, "second", "{ipAddressPools: [second], peers: [internal]}")?;
    rig.start_all()?;
    rig.asked("one", "metallb.io/loadBalancerIPs: 192.168.10.1", 80, &ALL)?;
    rig.asked("two", "metallb.io/loadBalancerIPs: 192.168.10.129", 80, &ALL)?;
    let (one, two) = ("192.168.10.1/32", "192.168.10.129/32");
    by(&bird, one, "192.168.1.", &ALL)?;
    by(&bird, two, "10.0.0.", &ALL)?;
    by(&bird, one, "10.0.0.", &[])?;
    by(&bird, two, "192.168.1.", &[])?;
    advertise(rig, "first", "{ipAddressPools: [first], peers: []}")?;
    advertise(rig, "second", "{ipAddressPools: [second], peers: []}")?;
    routed(&bird, "192.168.10.1", &ALL)?;
    routed(&bird, "192.168.10.129", &ALL)
}

fn bgp_51(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("bgp", &[POOL_V4])?;
    peers(rig)?;
    advertise(rig, "one", "{communities: [\"65531:65281\"], peers: [external]}")?;
    advertise(rig, "two", "{communities: [\"65532:65282\"], peers: [internal]}")?;
    rig.start_all()?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    routed(&bird, &address, &ALL)?;
    for (start, community) in [("192.168.1.", "65531:65281"), ("10.0.0.", "65532:65282")] {
        for route in routes_by(&bird, &prefix_of(&address), start)? {
            check(route.communities == [community], format!("{route:?}"))?;
        }
    }
    Ok(())
}

pub(super) fn on(nodes: &str) -> String {
    format!("nodeSelectors: [{{matchExpressions: [{{key: kubernetes.io/hostname, operator: In, values: [{nodes}]}}]}}]")
}

fn bgp_52(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("first", &["192.168.10.0/25"])?;
    rig.pool("second", &["192.168.10.128/25"])?;
    peers(rig)?;
    advertise(rig, "first", &format!("{{ipAddressPools: [first], {}}}", on("n1")))?;
    advertise(rig, "second", &format!("{{ipAddressPools: [second], {}}}", on("n1, n2")))?;
    rig.start_all()?;
    rig.asked("one", "metallb.io/loadBalancerIPs: 192.168.10.1", 80, &ALL)?;
    rig.asked("two", "metallb.io/loadBalancerIPs: 192.168.10.129", 80, &ALL)?;
    routed(&bird, "192.168.10.1", &["n1"])?;
    routed(&bird, "192.168.10.129", &["n1", "n2"])
}

fn bgp_53(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("bgp", &[POOL_V4])?;
    peers(rig)?;
    advertise(rig, "one", &format!("{{communities: [\"65535:65282\"], {}}}", on("n1")))?;
    advertise(rig, "two", &format!("{{communities: [\"65535:0\"], {}}}", on("n1, n2")))?;
    rig.start_all()?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    routed(&bird, &address, &["n1", "n2"])?;
    for route in routes_by(&bird, &prefix_of(&address), "192.168.1.")? {
        let is_first = route.next_hops == ["192.168.1.11"];
        let wanted: &[&str] = if is_first { &["65535:0", "65535:65282"] } else { &["65535:0"] };
        check(route.communities == wanted, format!("{route:?}"))?;
    }
    Ok(())
}

fn bgp_54(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("bgp", &[POOL_V4])?;
    peers(rig)?;
    advertise(rig, "some", "{nodeSelectors: [{matchLabels: {kind: chosen}}]}")?;
    rig.start_all()?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    up(&bird, "192.168.1.", &ALL)?;
    unrouted(&bird, &address, Duration::from_secs(2))?;
    rig.label("n1", "kind=chosen")?;
    routed(&bird, &address, &["n1"])
}

fn bgp_55(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("first", &["192.168.10.0/25"])?;
    rig.pool("second", &["192.168.10.128/25"])?;
    peers(rig)?;
    advertise(rig, "first", "{ipAddressPools: [first]}")?;
    advertise(rig, "second", "{ipAddressPools: [second]}")?;
    rig.start_all()?;
    rig.asked("one", "metallb.io/loadBalancerIPs: 192.168.10.1", 80, &ALL)?;
    rig.asked("two", "metallb.io/loadBalancerIPs: 192.168.10.129", 80, &ALL)?;
    routed(&bird, "192.168.10.1", &ALL)?;
    routed(&bird, "192.168.10.129", &ALL)?;
    advertise(rig, "second", "{ipAddressPools: [second], nodeSelectors: [{matchLabels: {kind: chosen}}]}")?;
    routed(&bird, "192.168.10.129", &[])?;
    routed(&bird, "192.168.10.1", &ALL)
}

fn bgp_57(rig: &mut Rig) -> Checked {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("bgp", &[POOL_V4])?;
    peers(rig)?;
    advertise(rig, "some", "{serviceSelectors: [{matchLabels: {tier: frontend}}, {matchLabels: {tier: backend}}]}")?;
    rig.start_all()?;
    for name in ["frontend", "backend", "other"] {
        rig.ask(name, "", false, &ALL)?;
        rig.label_service(name, &format!("tier={name}"))?;
    }
    routed(&bird, &rig.addresses("frontend")?[0], &ALL)?;
    routed(&bird, &rig.addresses("backend")?[0], &ALL)?;
    unrouted(&bird, &rig.addresses("other")?[0], CALM)
}

/// Two services of two environments, and an advertisement of the first.
fn environments(rig: &mut Rig) -> Result<(Bird, String, String), Box<dyn Error>> {
    let bird = bird(rig, &Peering::default())?;
    rig.pool("bgp", &[POOL_V4])?;
    peers(rig)?;
    advertise(rig, "some", "{serviceSelectors: [{matchLabels: {environment: production}}]}")?;
    rig.start_all()?;
    for name in ["production", "staged"] {
        rig.ask(name, "", false, &ALL)?;
        rig.label_service(name, &format!("environment={name}"))?;
    }
    let (one, two) = (rig.addresses("production")?.remove(0), rig.addresses("staged")?.remove(0));
    routed(&bird, &one, &ALL)?;
    routed(&bird, &two, &[])?;
    Ok((bird, one, two))
}

fn bgp_58(rig: &mut Rig) -> Checked {
    let (bird, one, two) = environments(rig)?;
    advertise(rig, "some", "{serviceSelectors: [{matchLabels: {environment: staged}}]}")?;
    routed(&bird, &one, &[])?;
    routed(&bird, &two, &ALL)
}

fn bgp_59(rig: &mut Rig) -> Checked {
    let (bird, one, two) = environments(rig)?;
    rig.label_service("production", "environment=staged")?;
    rig.label_service("staged", "environment=production")?;
    routed(&bird, &one, &[])?;
    routed(&bird, &two, &ALL)
}

fn bgp_60(rig: &mut Rig) -> Checked {
    let (bird, one, _) = environments(rig)?;
    advertise(rig, "aggregate", "{aggregationLength: 24}")?;
    by(&bird, POOL_V4, "192.168.1.", &ALL)?;
    routed(&bird, &one, &ALL)
}

fn bgp_70(rig: &mut Rig) -> Checked {
    let bird = usual_with(rig, &Peering::default(), &["192.168.10.1-192.168.10.10"])?;
    let first = rig.asked("one", "metallb.io/address-pool: bgp", 80, &ALL)?;
    routed(&bird, &first[0], &ALL)?;
    rig.pool("more", &["192.168.10.11-192.168.10.20"])?;
    let second = rig.asked("two", "metallb.io/address-pool: more", 80, &ALL)?;
    routed(&bird, &second[0], &ALL)?;
    check(rig.addresses("one")? == first, "the first lost its address")?;
    routed(&bird, &first[0], &ALL)
}

fn bgp_71(rig: &mut Rig) -> Checked {
    let _bird = usual_with(rig, &Peering::default(), &[POOL_V4])?;
    rig.ask("web", "", false, &ALL)?;
    let expect = |rig: &Rig, nodes: &[&str], peers: &[&str]| -> Checked {
        let details = serde_json::to_string(peers)?;
        let wanted: BTreeSet<_> =
            nodes.iter().map(|node| ((*node).to_owned(), "web".to_owned(), details.clone())).collect();
        wait("the peers of each node", || rig.statuses("servicebgpstatuses"), |all| *all == wanted).map(drop)
    };
    // Peers of IPv6 alone do not carry an address of IPv4.
    expect(rig, &ALL, &["external", "internal"])?;
    advertise(rig, "all", "{peers: [external, external6, internal, nobody]}")?;
    std::thread::sleep(CALM);
    expect(rig, &ALL, &["external", "internal"])?;
    rig.cluster.admin().run(&["delete", "bgppeer", "external", "-n", "metallb-system"])?;
    expect(rig, &ALL, &["internal"])?;
    advertise(rig, "all", &format!("{{peers: [external, external6, internal, nobody], {}}}", on("n2, n3")))?;
    expect(rig, &["n2", "n3"], &["internal"])?;
    rig.cluster.admin().run(&["delete", "service", "web", "-n", SHOP])?;
    expect(rig, &[], &[])
}
