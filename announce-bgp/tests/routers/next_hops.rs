//! Which addresses of a node routes lead to, with the addresses that nodes really have: floating ones, labels, loopback and those given by DHCP.

use std::process::Command;

use lab::router::{Bird, Router};
use lab::{Host, Via};
use lbcore::peer::{Feature, Peer, SessionFamilies};

use crate::bird::{TAKES_V4, TAKES_V6, Waiting};
use crate::speaker::{Checked, OURS, Speaker, THEIRS, config, peer, plain};
use crate::{NODE_V4, NODE_V6, ROUTER_V4, ROUTER_V6, SOON, Scenario, Site, check};

pub(crate) const TRIALS: &[Scenario] = &[
    ("next_hops_do_not_float_away", next_hops_do_not_float_away),
    ("next_hops_of_a_labelled_address_are_found", next_hops_of_a_labelled_address_are_found),
    ("next_hops_follow_the_addresses_of_the_node", next_hops_follow_the_addresses_of_the_node),
    ("sessions_from_loopback_lead_to_a_link", sessions_from_loopback_lead_to_a_link),
    ("a_lone_address_on_a_shared_link_has_both_next_hops", a_lone_address_has_both_next_hops),
];

/// What BIRD waits for, with routes of both families.
fn waiting(local: &str, neighbor: &str, more: &str) -> String {
    let more = format!("{more} {TAKES_V4} {TAKES_V6}");
    Waiting { local, neighbor, more: &more, ..Waiting::default() }.text()
}

fn dual(address: &str) -> Peer {
    Peer { families: SessionFamilies::Both, ..peer("tor", address, OURS, THEIRS) }
}

/// The next hops of the one IPv6 route, once they are these.
fn wait_hops(bird: &Bird, family: u8, expected: &[&str]) -> Checked {
    let are = |routes: &[lab::router::Route]| routes.len() == 1 && routes[0].next_hops == expected;
    let told = bird.wait_routes(family, &format!("the next hops {expected:?}"), SOON, &are);
    told.map_err(|error| format!("{error}: {:?}", bird.ask("show route all")))?;
    Ok(())
}

fn ip(host: &Host, words: &str) -> Checked {
    let mut command = Command::new("ip");
    command.args(words.split_whitespace());
    host.run(command, SOON)?.success()?;
    Ok(())
}

// [WIRE-50], RFC 4271 section 5.1.3: the kernel lists the address that came last first.
fn next_hops_do_not_float_away() -> Checked {
    let site = Site::new("hop-floats")?;
    site.node.address("eth0", "2001:db8::77/128")?;
    site.node.address("eth0", "2001:db8::99/64")?;
    let bird = Bird::start(&site.router, &waiting(ROUTER_V4, NODE_V4, ""))?;
    let speaker = Speaker::start(&site.node, config([dual(ROUTER_V4)]))?;
    speaker.announce([plain("2001:db8:1::1/128", &["tor"])]);
    wait_hops(&bird, 6, &[NODE_V6])
}

// [WIRE-50]: a node is renumbered, or gets its IPv6 address after its sessions; no session is reset for it.
fn next_hops_follow_the_addresses_of_the_node() -> Checked {
    let site = Site::new("hop-follows")?;
    let bird = Bird::start(&site.router, &waiting(ROUTER_V4, NODE_V4, ""))?;
    let speaker = Speaker::start(&site.node, config([dual(ROUTER_V4)]))?;
    speaker.announce([plain("2001:db8:1::1/128", &["tor"])]);
    wait_hops(&bird, 6, &[NODE_V6])?;
    site.node.address("eth0", "2001:db8::5/64")?;
    site.node.remove_address("eth0", &format!("{NODE_V6}/64"))?;
    wait_hops(&bird, 6, &["2001:db8::5"])?;
    // No IPv6 at all: the peer must not go on sending to nobody.
    site.node.sysctl("net.ipv6.conf.eth0.disable_ipv6", "1")?;
    bird.wait_routes(6, "no route", SOON, &|routes| routes.is_empty())?;
    site.node.sysctl("net.ipv6.conf.eth0.disable_ipv6", "0")?;
    site.node.address("eth0", &format!("{NODE_V6}/64"))?;
    wait_hops(&bird, 6, &[NODE_V6])?;
    check(speaker.view("tor").counts.established == 1, "the session was reset")
}

// [WIRE-50]
fn next_hops_of_a_labelled_address_are_found() -> Checked {
    let site = Site::new("hop-label")?;
    ip(&site.node, "address add 192.0.2.11/24 dev eth0 label eth0:1")?;
    let bird = Bird::start(&site.router, &waiting(ROUTER_V4, "192.0.2.11", ""))?;
    let labelled = Peer { source_address: Some("192.0.2.11".parse()?), ..dual(ROUTER_V4) };
    let speaker = Speaker::start(&site.node, config([labelled]))?;
    speaker.announce([plain("2001:db8:1::1/128", &["tor"])]);
    wait_hops(&bird, 6, &[NODE_V6])
}

// [WIRE-8], [WIRE-50], [WIRE-51], RFC 4271 section 6.3: neither 127.0.0.1 nor ::1 is anybody's next hop or identifier.
fn sessions_from_loopback_lead_to_a_link() -> Checked {
    let cases = [
        ("10.255.0.1", 32, ROUTER_V4, NODE_V4, 6, NODE_V6, "10.255.0.1"),
        // The checksum of the node's name: no address of the link that owns the session's says more.
        ("2001:db8:a::1", 128, ROUTER_V6, NODE_V6, 4, NODE_V4, "64.37.239.133"),
    ];
    for (own, prefix, router, node, family, hop, id) in cases {
        let site = Site::new("hop-lo")?;
        let own_prefix = format!("{own}/{prefix}");
        site.node.address("lo", &own_prefix)?;
        site.router.route(&own_prefix, Via::Gateway(node.parse()?))?;
        let bird = Bird::start(&site.router, &waiting(router, own, "multihop;"))?;
        let far = Peer { source_address: Some(own.parse()?), multi_hop: Feature::On, ..dual(router) };
        let speaker = Speaker::start(&site.node, config([far]))?;
        speaker.announce([plain("198.51.100.1/32", &["tor"]), plain("2001:db8:1::1/128", &["tor"])]);
        wait_hops(&bird, family, &[hop])?;
        let told = bird.ask("show protocols all p")?;
        check(told.contains(&format!("Neighbor ID:      {id}\n")), told)?;
    }
    Ok(())
}

// [WIRE-51], RFC 2545 section 3: what DHCPv6 gives is a /128, and that the others are on the link is told by routers.
fn a_lone_address_has_both_next_hops() -> Checked {
    let site = Site::new("hop-lone")?;
    site.node.remove_address("eth0", &format!("{NODE_V6}/64"))?;
    site.node.address("eth0", &format!("{NODE_V6}/128"))?;
    site.node.route("2001:db8::/64", Via::Link("eth0"))?;
    let bird = Bird::start(&site.router, &waiting(ROUTER_V6, NODE_V6, ""))?;
    let speaker = Speaker::start(&site.node, config([dual(ROUTER_V6)]))?;
    speaker.announce([plain("2001:db8:1::1/128", &["tor"])]);
    let routes = bird.wait_routes(6, "the route", SOON, &|routes| routes.len() == 1)?;
    let hops = &routes[0].next_hops;
    check(hops.len() == 2 && hops[0] == NODE_V6 && hops[1].starts_with("fe80:"), format!("{hops:?}"))
}
