//! The examples of MetalLB's documentation (configuration, usage, full example) and of its `configsamples`, applied as they are written,
//! give what the documentation says: seen from a client, and in the tables of BIRD and FRR.
//!
//! The laboratory is built around the examples' addresses: a router is 10.0.0.1 (AS 64501), another one is 172.30.0.3 and
//! `fc00:f853:ccd:e793::5` (AS 64512). What an example leaves to the reader, such as an advertisement beside a pool, is made beside it.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lab::cluster::INSTALL_NAMESPACE;
use lab::control_plane::objects::Transport;
use lab::router::Route;
use lab::{Host, Via, datagram};

use super::Scenario;
use super::bgp::{ALL, by, prefix_of, routes_by};
use super::rig::{Checked, Rig, check, fetch_from, wait};
use super::routers::{Place, Seen, nodes_at};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("documented_l2_a_range_is_answered_for", |rig| tidy(rig, l2_range)),
    ("documented_l2_pools_of_some_nodes", |rig| tidy(rig, l2_some_nodes)),
    ("documented_l2_interfaces", |rig| tidy(rig, l2_interfaces)),
    ("documented_l2_sample_deployment", |rig| tidy(rig, l2_deployment)),
    ("documented_bgp_one_router_and_a_range", |rig| tidy(rig, bgp_range)),
    ("documented_bgp_peers_of_both_families", |rig| tidy(rig, bgp_deployment)),
    ("documented_bgp_a_host_route_and_an_aggregate", |rig| tidy(rig, bgp_aggregation)),
    ("documented_bgp_communities", |rig| tidy(rig, bgp_communities)),
    ("documented_bgp_pools_by_label", |rig| tidy(rig, bgp_pools_by_label)),
    ("documented_bgp_routes_of_some_nodes", |rig| tidy(rig, bgp_routes_of_some_nodes)),
    ("documented_bgp_a_peer_of_some_nodes", |rig| tidy(rig, bgp_peer_of_some_nodes)),
    ("documented_bgp_source_address", |rig| tidy(rig, bgp_source_address)),
    ("documented_bgp_password_and_session_options", |rig| tidy(rig, bgp_session_options)),
    ("documented_usage_requested_addresses", |rig| tidy(rig, requested)),
    ("documented_usage_a_shared_address", |rig| tidy(rig, shared)),
    ("documented_usage_full_example", |rig| tidy(rig, full_example)),
];

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/catalogue/manifests");
/// Where the Services of examples end up that name no namespace.
const DEFAULT: &str = "default";
const LAN_NODES: [&str; 3] = ["192.168.1.11", "192.168.1.12", "192.168.1.13"];
const LAN_NODES_V6: [&str; 3] = ["fc00:f853:ccd:e793::11", "fc00:f853:ccd:e793::12", "fc00:f853:ccd:e793::13"];
const SMALL_NET_NODES: [&str; 3] = ["10.0.0.11", "10.0.0.12", "10.0.0.13"];
const PEER: &str = "172.30.0.3";
const PEER_V6: &str = "fc00:f853:ccd:e793::5";
/// How the next hops of the two routers begin.
const BY_LAN: &str = "192.168.1.";
const BY_LAN_V6: &str = "fc00:f853:ccd:e793:";
const BY_SMALL_NET: &str = "10.0.0.";

/// Runs a check and takes away what only these examples make, whatever came of it.
fn tidy(rig: &mut Rig, check: fn(&mut Rig) -> Checked) -> Checked {
    let outcome = check(rig);
    let others = ["--namespace", DEFAULT, "--field-selector", "metadata.name!=kubernetes"];
    let kinds = ["delete", "services,deployments,endpointslices,events"];
    let tidied = rig.cluster.admin().run(&[kinds.as_slice(), others.as_slice()].concat());
    outcome?;
    tidied.map(drop).map_err(Into::into)
}

/// Applies a configuration as it is written, into the install namespace where it names none.
fn configure(rig: &Rig, example: &str) -> Checked {
    rig.cluster.admin().run(&["apply", "--namespace", INSTALL_NAMESPACE, "-f", &format!("{FOLDER}/{example}.yaml")])?;
    Ok(())
}

/// Applies Services, or Services and configuration, as they are written.
fn create(rig: &Rig, example: &str) -> Checked {
    rig.cluster.admin().run(&["apply", "-f", &format!("{FOLDER}/{example}.yaml")])?;
    Ok(())
}

fn advertise_by_bgp(rig: &Rig) -> Checked {
    rig.ours("BGPAdvertisement", "v1beta1", "all", "{}")
}

/// Waits for the addresses of a Service of the examples.
fn addresses(rig: &Rig, service: &str) -> Result<Vec<String>, Box<dyn Error>> {
    let look = || rig.addresses_in(DEFAULT, service);
    wait(&format!("addresses of {service}"), look, |addresses| !addresses.is_empty())
}

fn serve_nginx(rig: &Rig, port: &str) -> Checked {
    rig.serve(DEFAULT, "nginx", &[(port, Transport::Tcp)], &ALL)
}

/// Waits until a host gets a page.
fn reach(host: &Host, address: &str, port: u16) -> Checked {
    let what = format!("a page of {address} port {port} in {}", host.name());
    wait(&what, || fetch_from(host, address, port), |_| true).map(drop)
}

/// Gives the nodes the names of an example in the label that selectors read, for a check.
fn with_names(rig: &mut Rig, names: [&str; 3], check: impl FnOnce(&mut Rig) -> Checked) -> Checked {
    let call = |rig: &Rig, names: [&str; 3]| {
        ALL.iter().zip(names).try_for_each(|(node, name)| rig.label(node, &format!("kubernetes.io/hostname={name}")))
    };
    call(rig, names)?;
    let outcome = check(rig);
    let called_back = call(rig, ALL);
    outcome?;
    called_back
}

/// The router 10.0.0.1 with AS 64501 and the client behind it.
fn first_router(rig: &Rig) -> Result<(Host, Host), Box<dyn Error>> {
    let router = rig.cluster.router().ok_or("the cluster has no router")?;
    let client = rig.cluster.far_client().ok_or("the cluster has no client behind its router")?;
    Ok((router.clone(), client.clone()))
}

fn at_first_router<'a>(host: &'a Host, sessions: &'a [(&'a str, &'a str)]) -> Place<'a> {
    Place { host, systems: (64_501, 64_500), port: 179, password: None, sessions }
}

/// The router 172.30.0.3 with AS 64512, and a client that sends what it has routes for by way of it.
fn second_router(rig: &Rig) -> Result<(Host, Host), Box<dyn Error>> {
    let (router, client) = (rig.cluster.guest("peer")?, rig.cluster.second_client().clone());
    router.sysctl("net.ipv4.ip_forward", "1")?;
    router.sysctl("net.ipv6.conf.all.forwarding", "1")?;
    // A client that has been told of a better way would go it without the router.
    for scope in ["all", "eth0"] {
        router.sysctl(&format!("net.ipv4.conf.{scope}.send_redirects"), "0")?;
        client.sysctl(&format!("net.ipv6.conf.{scope}.accept_redirects"), "0")?;
    }
    for address in ["172.30.0.3/24", "192.168.1.253/24", "fc00:f853:ccd:e793::5/64"] {
        router.address("eth0", address)?;
    }
    for node in rig.cluster.nodes() {
        node.host().route("172.30.0.3/32", Via::Link("eth0"))?;
    }
    for pool in ["192.168.9.0/24", "192.168.10.0/24", "198.51.100.0/24"] {
        client.route(pool, Via::Gateway("192.168.1.253".parse()?))?;
    }
    client.route("fc00:f853:ccd:e799::/64", Via::Gateway(PEER_V6.parse()?))?;
    Ok((router, client))
}

fn at_second_router<'a>(host: &'a Host, sessions: &'a [(&'a str, &'a str)]) -> Place<'a> {
    Place { host, systems: (64_512, 64_512), port: 179, password: None, sessions }
}

/// Whether all routes of an address that a router has are as they should be.
fn all_are(seen: Seen<'_>, prefix: &str, start: &str, holds: impl Fn(&Route) -> bool) -> Checked {
    let routes = routes_by(seen.router, prefix, start)?;
    check(!routes.is_empty() && routes.iter().all(holds), format!("{prefix}: {routes:?}"))
}

fn is_bare(route: &Route) -> bool {
    route.communities.is_empty() && route.large_communities.is_empty()
}

// Configuration, "Layer 2 configuration": L2-01
fn l2_range(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    configure(rig, "configuration-l2-pool")?;
    configure(rig, "configuration-l2-all-pools")?;
    rig.pool("second-pool", &["192.168.1.235/32"])?;
    let address = rig.asked("web", "metallb.io/address-pool: first-pool", 80, &ALL)?.remove(0);
    let last: u8 = address.trim_start_matches("192.168.1.").parse()?;
    check((240..=250).contains(&last), format!("{address} is not of the range"))?;
    rig.reach(&address)?;
    rig.asked("other", "metallb.io/address-pool: second-pool", 80, &ALL)?;
    rig.reach("192.168.1.235")?;
    // Only the pool it names is announced by an advertisement that names one.
    configure(rig, "configuration-l2-one-pool")?;
    let look = || rig.answering("192.168.1.235", Duration::from_millis(600));
    wait("nobody to answer for the other pool", look, BTreeSet::is_empty)?;
    rig.owner(&address).map(drop)
}

// Advanced L2 configuration, "Limiting the set of nodes where the service can be announced from": L2-10
fn l2_some_nodes(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    rig.pool("first-pool", &["192.168.1.240-192.168.1.244"])?;
    rig.pool("second-pool", &["192.168.1.245-192.168.1.250"])?;
    with_names(rig, ["NodeA", "NodeB", "NodeC"], |rig| {
        configure(rig, "advanced-l2-first-pool")?;
        // Names that a fair order would give to all three nodes.
        for number in 0..5 {
            let address =
                rig.asked(&format!("web-{number}"), "metallb.io/address-pool: first-pool", 80, &ALL)?.remove(0);
            let owner = rig.owner(&address)?;
            check(owner != "n3", format!("{owner} announces {address}"))?;
        }
        configure(rig, "advanced-l2-second-pool")?;
        for number in 0..3 {
            let name = format!("other-{number}");
            rig.asked(&name, "metallb.io/address-pool: second-pool", 80, &ALL)?;
            rig.speaks(&name, "n3")?;
        }
        Ok(())
    })
}

// Advanced L2 configuration, "Specify network interfaces that LB IP can be announced from": L2-30
fn l2_interfaces(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    rig.pool("third-pool", &["192.168.1.240-192.168.1.250"])?;
    configure(rig, "advanced-l2-interfaces")?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    let owner = rig.owner(&address)?;
    let is_listed = |details: &str| details.contains("eth0") && !details.contains("cni0");
    let look = || rig.statuses("servicel2statuses");
    let told = |all: &super::rig::Statuses| all.iter().any(|(node, _, details)| *node == owner && is_listed(details));
    wait("the status with its interfaces", look, told)?;
    rig.reach(&address).map(drop)
}

// configsamples, "deployment_l2": L2-01
fn l2_deployment(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    create(rig, "sample-deployment-l2")?;
    serve_nginx(rig, "http")?;
    let address = addresses(rig, "nginx")?.remove(0);
    check(address.starts_with("192.168.10."), format!("{address} is not of the pool"))?;
    rig.owner(&address)?;
    // A client on the segment for which the pool is there too.
    let client = rig.cluster.client();
    client.route("192.168.10.0/24", Via::Link("eth0"))?;
    reach(client, &address, 80)
}

// Configuration, "BGP configuration": BGP-01
fn bgp_range(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = first_router(rig)?;
    configure(rig, "configuration-bgp-peer")?;
    configure(rig, "configuration-l2-pool")?;
    rig.pool("second-pool", &["192.168.11.1/32"])?;
    let address = rig.asked("web", "metallb.io/address-pool: first-pool", 80, &ALL)?.remove(0);
    rig.asked("other", "metallb.io/address-pool: second-pool", 80, &ALL)?;
    let sessions = nodes_at("10.0.0.1", &SMALL_NET_NODES);
    at_first_router(&router, &sessions).both(|seen| {
        configure(rig, "configuration-bgp-all-pools")?;
        by(seen.router, &prefix_of(&address), BY_SMALL_NET, &ALL)?;
        by(seen.router, "192.168.11.1/32", BY_SMALL_NET, &ALL)?;
        all_are(seen, &prefix_of(&address), BY_SMALL_NET, |route| route.as_path == [64_500] && is_bare(route))?;
        if seen.forwards {
            reach(&client, &address, 80)?;
        }
        configure(rig, "configuration-bgp-one-pool")?;
        by(seen.router, "192.168.11.1/32", BY_SMALL_NET, &[])?;
        by(seen.router, &prefix_of(&address), BY_SMALL_NET, &ALL)
    })
}

// configsamples, "deployment_bgp", which has a peer of each family; Usage, "IPv6 and dual stack services": BGP-01, BGP-06
fn bgp_deployment(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = second_router(rig)?;
    create(rig, "sample-deployment-bgp")?;
    serve_nginx(rig, "http")?;
    let mut all = addresses(rig, "nginx")?;
    all.extend(rig.ask("both", "", true, &ALL)?);
    check(all.len() == 3 && all.iter().filter(|address| address.contains(':')).count() == 1, format!("{all:?}"))?;
    let sessions = [nodes_at(PEER, &LAN_NODES), nodes_at(PEER_V6, &LAN_NODES_V6)].concat();
    at_second_router(&router, &sessions).both(|seen| {
        for address in &all {
            let (start, pool) =
                if address.contains(':') { (BY_LAN_V6, "fc00:f853:ccd:e799::") } else { (BY_LAN, "192.168.10.") };
            check(address.starts_with(pool), format!("{address} is not of the pool"))?;
            by(seen.router, &prefix_of(address), start, &ALL)?;
            all_are(seen, &prefix_of(address), start, |route| route.as_path.is_empty() && is_bare(route))?;
            if seen.forwards {
                reach(&client, address, 80)?;
            }
        }
        Ok(())
    })
}

// Advanced BGP configuration, "Advertisement configuration": BGP-42, BGP-60
fn bgp_aggregation(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = second_router(rig)?;
    configure(rig, "sample-peer")?;
    configure(rig, "advanced-bgp-aggregation")?;
    let (first, second) = ("198.51.100.10", "198.51.100.11");
    rig.asked("web", &format!("metallb.io/loadBalancerIPs: {first}"), 80, &ALL)?;
    rig.asked("more", &format!("metallb.io/loadBalancerIPs: {second}"), 80, &ALL)?;
    let sessions = nodes_at(PEER, &LAN_NODES);
    at_second_router(&router, &sessions).both(|seen| {
        for address in [first, second] {
            by(seen.router, &prefix_of(address), BY_LAN, &ALL)?;
            let is_local = |route: &Route| route.local_pref == Some(100) && route.communities == ["65535:65282"];
            all_are(seen, &prefix_of(address), BY_LAN, is_local)?;
        }
        // One route of each node for all Services, however many there are.
        by(seen.router, "198.51.100.0/24", BY_LAN, &ALL)?;
        all_are(seen, "198.51.100.0/24", BY_LAN, is_bare)?;
        let count = routes_by(seen.router, "198.51.100.0/24", BY_LAN)?.len();
        check(count == 3, format!("{count} aggregates"))?;
        if seen.forwards {
            reach(&client, first, 80)?;
        }
        Ok(())
    })
}

// Advanced BGP configuration, "Community Aliases"; configsamples, "bgpadvertisement_communities_localpref" and
// "bgpadvertisement_community_alias": BGP-40
fn bgp_communities(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = second_router(rig)?;
    configure(rig, "sample-peer")?;
    configure(rig, "configuration-pool")?;
    rig.pool("bgp-with-advertisement", &["198.51.100.0/24"])?;
    let first = rig.asked("web", "metallb.io/address-pool: first-pool", 80, &ALL)?.remove(0);
    let second = rig.asked("more", "metallb.io/address-pool: bgp-with-advertisement", 80, &ALL)?.remove(0);
    configure(rig, "advanced-bgp-community-aliases")?;
    configure(rig, "sample-communities-and-preference")?;
    let sessions = nodes_at(PEER, &LAN_NODES);
    let place = at_second_router(&router, &sessions);
    let seen_as_documented = |seen: Seen<'_>| -> Checked {
        by(seen.router, &prefix_of(&first), BY_LAN, &ALL)?;
        by(seen.router, &prefix_of(&second), BY_LAN, &ALL)?;
        let is_vpn = |route: &Route| route.local_pref == Some(100) && route.communities == ["1234:1"];
        all_are(seen, &prefix_of(&first), BY_LAN, is_vpn)?;
        let is_quiet = |route: &Route| route.local_pref == Some(150) && route.communities == ["65535:65282"];
        all_are(seen, &prefix_of(&second), BY_LAN, is_quiet)?;
        if seen.forwards {
            reach(&client, &first, 80)?;
        }
        Ok(())
    };
    place.both(seen_as_documented)?;
    // By an alias it is the same; both resources that define it may not be there at once.
    rig.cluster.admin().run(&["delete", "community", "communities", "-n", INSTALL_NAMESPACE])?;
    rig.cluster.admin().run(&["delete", "bgpadvertisement", "local", "advertisement", "-n", INSTALL_NAMESPACE])?;
    place.bird(|seen| {
        by(seen.router, &prefix_of(&second), BY_LAN, &[])?;
        configure(rig, "sample-community-alias")?;
        by(seen.router, &prefix_of(&second), BY_LAN, &ALL)?;
        let is_quiet = |route: &Route| route.local_pref == Some(150) && route.communities == ["65535:65282"];
        all_are(seen, &prefix_of(&second), BY_LAN, is_quiet)
    })
}

// configsamples, "bgpadv_selectspool_by_label" and "simple_pool_adv_bgp": BGP-40, BGP-56
fn bgp_pools_by_label(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, _) = second_router(rig)?;
    configure(rig, "sample-peer")?;
    configure(rig, "configuration-pool")?;
    configure(rig, "sample-pools-by-label")?;
    // Of its first range, of its second one, and of IPv6.
    let first = rig.asked("web", "metallb.io/loadBalancerIPs: 192.168.10.77", 80, &ALL)?.remove(0);
    let second = rig.asked("more", "metallb.io/loadBalancerIPs: 192.168.9.5", 80, &ALL)?.remove(0);
    let sessions = nodes_at(PEER, &LAN_NODES);
    at_second_router(&router, &sessions).bird(|seen| {
        LAN_NODES.iter().try_for_each(|node| seen.router.wait_established(node, true, super::rig::SOON))?;
        by(seen.router, &prefix_of(&first), BY_LAN, &[])?;
        let label = ["label", "ipaddresspool", "first-pool", "-n", INSTALL_NAMESPACE, "test=bgp-with-advertisement"];
        rig.cluster.admin().run(&label)?;
        by(seen.router, &prefix_of(&first), BY_LAN, &ALL)?;
        by(seen.router, &prefix_of(&second), BY_LAN, &ALL)
    })
}

// Advanced BGP configuration, "Announcing the Service from a subset of nodes": BGP-52
fn bgp_routes_of_some_nodes(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = first_router(rig)?;
    configure(rig, "configuration-bgp-peer")?;
    configure(rig, "configuration-pool")?;
    let address = rig.ask("web", "", false, &["n3"])?.remove(0);
    with_names(rig, ["NodeA", "NodeB", "NodeC"], |rig| {
        configure(rig, "advanced-bgp-routes-of-some-nodes")?;
        let sessions = nodes_at("10.0.0.1", &SMALL_NET_NODES);
        at_first_router(&router, &sessions).bird(|seen| {
            // NodeC is a peer too, and serves; it announces nothing.
            seen.router.wait_established("10.0.0.13", true, super::rig::SOON)?;
            by(seen.router, &prefix_of(&address), BY_SMALL_NET, &["n1", "n2"])?;
            reach(&client, &address, 80)?;
            by(seen.router, &prefix_of(&address), BY_SMALL_NET, &["n1", "n2"])
        })
    })
}

// Advanced BGP configuration, "Limiting peers to certain nodes": BGP-17
fn bgp_peer_of_some_nodes(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, _) = second_router(rig)?;
    rig.label("n2", "rack=frontend")?;
    rig.label("n3", "rack=frontend")?;
    rig.label("n3", "network-speed=slow")?;
    with_names(rig, ["hostA", "other", "another"], |rig| {
        configure(rig, "advanced-bgp-peer-of-some-nodes")?;
        let sessions = nodes_at(PEER, &LAN_NODES);
        let place = Place { port: 180, ..at_second_router(&router, &sessions) };
        place.bird(|seen| {
            for (node, expected) in LAN_NODES.iter().zip([true, true, false]) {
                seen.router.wait_established(node, expected, super::rig::SOON)?;
            }
            // The one that is left out joins as soon as it is not slow, and the first leaves with its name.
            rig.label("n3", "network-speed=fast")?;
            rig.label("n1", "kubernetes.io/hostname=hostC")?;
            for (node, expected) in LAN_NODES.iter().zip([false, true, true]) {
                seen.router.wait_established(node, expected, super::rig::SOON)?;
            }
            Ok(())
        })
    })
}

// Advanced BGP configuration, "Configuring the BGP source address"
fn bgp_source_address(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, _) = second_router(rig)?;
    configure(rig, "configuration-pool")?;
    advertise_by_bgp(rig)?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    let node = rig.cluster.node("n1")?.host().clone();
    node.address("eth0", "172.30.0.2/32")?;
    let outcome = with_names(rig, ["node-1", "node-2", "node-3"], |rig| {
        configure(rig, "advanced-bgp-source-address")?;
        at_second_router(&router, &[(PEER, "172.30.0.2")]).bird(|seen| {
            seen.router.wait_established("172.30.0.2", true, super::rig::SOON)?;
            let holds = |routes: &[Route]| {
                routes.len() == 1 && routes[0].prefix == prefix_of(&address) && routes[0].next_hops == ["172.30.0.2"]
            };
            seen.router.wait_routes(4, "the route by the source address", super::rig::SOON, &holds)?;
            Ok(())
        })
    });
    node.remove_address("eth0", "172.30.0.2/32")?;
    outcome
}

// configsamples, "bgppeer_withsecret" and "bgppeer_with_session_options": BGP-13, BGP-20
fn bgp_session_options(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, _) = second_router(rig)?;
    rig.pool("example", &["192.168.10.0/24"])?;
    advertise_by_bgp(rig)?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    let sessions = nodes_at(PEER, &LAN_NODES);
    let place = at_second_router(&router, &sessions);
    // The wait of two minutes between attempts is for those that fail: a router is dialled at once.
    place.bird(|seen| {
        configure(rig, "sample-peer-session-options")?;
        by(seen.router, &prefix_of(&address), BY_LAN, &ALL)
    })?;
    rig.cluster.admin().run(&["delete", "bgppeer", "peer", "-n", INSTALL_NAMESPACE])?;
    let secret = "{apiVersion: v1, kind: Secret, metadata: {name: secretname, namespace: metallb-system}, \
                  type: kubernetes.io/basic-auth, stringData: {username: \"\", password: of-the-sample}}";
    rig.cluster.apply(secret)?;
    let place = Place { password: Some("of-the-sample"), ..place };
    let outcome = place.bird(|seen| {
        configure(rig, "sample-peer-with-secret")?;
        by(seen.router, &prefix_of(&address), BY_LAN, &ALL)
    });
    rig.cluster.admin().run(&["delete", "secret", "secretname", "-n", INSTALL_NAMESPACE])?;
    outcome
}

/// Waits for an event on a Service of the examples that says why it has no address.
fn refused(rig: &Rig, service: &str) -> Checked {
    let is_refusal = |events: &Vec<(String, String)>| events.iter().any(|(reason, _)| reason == "AllocationFailed");
    wait("an event that says why", || rig.events_in(DEFAULT, service), is_refusal)?;
    let addresses = rig.addresses_in(DEFAULT, service)?;
    check(addresses.is_empty(), format!("{addresses:?}"))
}

// Usage, "Requesting specific IPs"; Advanced AddressPool configuration, "Controlling automatic address allocation": BGP-01.4, L2-09
fn requested(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = first_router(rig)?;
    configure(rig, "configuration-bgp-peer")?;
    configure(rig, "configuration-bgp-all-pools")?;
    configure(rig, "configuration-l2-pool")?;
    // An address of no pool is refused, in words, until a pool has it.
    create(rig, "usage-requested-address")?;
    serve_nginx(rig, "")?;
    refused(rig, "nginx")?;
    rig.pool("asked-for", &["192.168.1.100/32"])?;
    check(addresses(rig, "nginx")? == ["192.168.1.100"], "not the address that was asked for")?;
    let sessions = nodes_at("10.0.0.1", &SMALL_NET_NODES);
    let place = at_first_router(&router, &sessions);
    place.both(|seen| {
        by(seen.router, "192.168.1.100/32", BY_SMALL_NET, &ALL)?;
        if seen.forwards { reach(&client, "192.168.1.100", 80) } else { Ok(()) }
    })?;
    // So is a pool that is not there.
    rig.cluster.admin().run(&["delete", "service", "nginx", "-n", DEFAULT])?;
    rig.cluster.admin().run(&["delete", "events", "--all", "-n", DEFAULT])?;
    create(rig, "usage-requested-pool")?;
    refused(rig, "nginx")?;
    rig.pool("production-public-ips", &["42.176.25.64/30"])?;
    let address = addresses(rig, "nginx")?.remove(0);
    check(address.starts_with("42.176.25.6"), format!("{address} is not of the pool that was asked for"))?;
    place.bird(|seen| {
        by(seen.router, &prefix_of(&address), BY_SMALL_NET, &ALL)?;
        reach(&client, &address, 80)
    })?;
    rig.cluster.admin().run(&["delete", "ipaddresspools", "--all", "-n", INSTALL_NAMESPACE])?;
    // A pool without automatic assignment is for those who ask for it.
    configure(rig, "advanced-pools-auto-assign")?;
    let cheap = rig.ask("web", "", false, &ALL)?.remove(0);
    let expensive = rig.asked("dear", "metallb.io/address-pool: expensive", 80, &ALL)?.remove(0);
    check(cheap.starts_with("192.168.10.") && expensive.starts_with("42.176.25.6"), format!("{cheap}, {expensive}"))
}

// Usage, "IP address sharing": BGP-05
fn shared(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = first_router(rig)?;
    configure(rig, "configuration-bgp-peer")?;
    configure(rig, "configuration-bgp-all-pools")?;
    rig.pool("asked-for", &["1.2.3.4/32"])?;
    create(rig, "usage-shared-address")?;
    for (service, port, transport) in
        [("dns-service-tcp", "dnstcp", Transport::Tcp), ("dns-service-udp", "dnsudp", Transport::Udp)]
    {
        rig.serve(DEFAULT, service, &[(port, transport)], &ALL)?;
        check(addresses(rig, service)? == ["1.2.3.4"], format!("{service} has another address"))?;
    }
    let sessions = nodes_at("10.0.0.1", &SMALL_NET_NODES);
    at_first_router(&router, &sessions).both(|seen| {
        by(seen.router, "1.2.3.4/32", BY_SMALL_NET, &ALL)?;
        if seen.forwards {
            reach(&client, "1.2.3.4", 53)?;
            let server = SocketAddr::new(IpAddr::from([1, 2, 3, 4]), 53);
            let ask = || Ok(datagram::ask_from(&client, server, Duration::from_secs(1))?);
            wait("an answer to a datagram", ask, |_| true)?;
        }
        Ok(())
    })
}

// Usage, "Full example": BGP-40, BGP-62
fn full_example(rig: &mut Rig) -> Checked {
    rig.start_all()?;
    let (router, client) = first_router(rig)?;
    configure(rig, "configuration-bgp-peer")?;
    configure(rig, "usage-full-example")?;
    let sandbox = rig.asked("sandbox", "metallb.io/address-pool: sandbox", 80, &ALL)?.remove(0);
    check(sandbox.starts_with("192.168.1"), format!("{sandbox} is not of the pool"))?;
    let production = rig.ask("production", "loadBalancerIP: 42.176.25.66, ", false, &ALL)?.remove(0);
    check(production == "42.176.25.66", format!("{production} was not asked for"))?;
    let sessions = nodes_at("10.0.0.1", &SMALL_NET_NODES);
    at_first_router(&router, &sessions).both(|seen| {
        by(seen.router, &prefix_of(&sandbox), BY_SMALL_NET, &ALL)?;
        by(seen.router, &prefix_of(&production), BY_SMALL_NET, &ALL)?;
        all_are(seen, &prefix_of(&sandbox), BY_SMALL_NET, |route| route.communities == ["1234:1"])?;
        all_are(seen, &prefix_of(&production), BY_SMALL_NET, is_bare)?;
        if seen.forwards {
            reach(&client, &sandbox, 80)?;
            reach(&client, &production, 80)?;
        }
        Ok(())
    })
}
