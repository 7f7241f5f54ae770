//! Against FRR and `GoBGP`: the same scenarios for both, by other implementations than BIRD's.

use lab::router::{Frr, Gobgp, Route, Router};
use lab::{Host, wait_until};
use lbcore::announce::RouteAttributes;
use lbcore::peer::{Password, Peer, SessionFamilies};

use crate::speaker::{Checked, OURS, Speaker, THEIRS, config, peer, plain, route};
use crate::{NODE_V4, NODE_V6, ROUTER_V4, ROUTER_V6, SOON, Scenario, Site, check};

pub(crate) const TRIALS: &[Scenario] = &[
    ("frr_takes_both_families_with_all_attributes", || takes_both_families(&frr)),
    ("gobgp_takes_both_families_with_all_attributes", || takes_both_families(&gobgp)),
    ("frr_takes_routes_of_an_internal_peer", || takes_routes_of_an_internal_peer(&frr)),
    ("gobgp_takes_routes_of_an_internal_peer", || takes_routes_of_an_internal_peer(&gobgp)),
    ("frr_with_a_password_is_heard", || with_a_password_is_heard(&frr)),
    ("gobgp_with_a_password_is_heard", || with_a_password_is_heard(&gobgp)),
    ("frr_that_clears_its_sessions_gets_all_again", frr_that_clears_its_sessions),
];

/// What a router is to do.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    router_as: u32,
    /// Our addresses, one session each.
    neighbors: &'a [&'a str],
    password: Option<&'a str>,
}

type Start = dyn Fn(&Host, Wanted<'_>) -> lab::Result<Box<dyn Router>>;

fn frr_text(wanted: Wanted<'_>) -> String {
    let Wanted { router_as, neighbors, password } = wanted;
    let mut text = format!(
        "hostname bgpd\nrouter bgp {router_as}\n bgp router-id 10.0.0.2\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n"
    );
    for neighbor in neighbors {
        text += &format!(" neighbor {neighbor} remote-as {OURS}\n neighbor {neighbor} passive\n");
        // It knows no links to be connected by.
        text += &format!(" neighbor {neighbor} disable-connected-check\n");
        if let Some(password) = password {
            text += &format!(" neighbor {neighbor} password {password}\n");
        }
    }
    for family in ["ipv4", "ipv6"] {
        text += &format!(" address-family {family} unicast\n");
        let activated = neighbors.iter().map(|neighbor| format!("  neighbor {neighbor} activate\n"));
        text += &activated.collect::<String>();
        text += " exit-address-family\n";
    }
    text
}

fn frr(host: &Host, wanted: Wanted<'_>) -> lab::Result<Box<dyn Router>> {
    Ok(Box::new(Frr::start(host, &frr_text(wanted))?))
}

fn gobgp(host: &Host, wanted: Wanted<'_>) -> lab::Result<Box<dyn Router>> {
    let Wanted { router_as, neighbors, password } = wanted;
    let mut text = format!("[global.config]\n  as = {router_as}\n  router-id = \"10.0.0.2\"\n");
    for neighbor in neighbors {
        text += &format!(
            "[[neighbors]]\n  [neighbors.config]\n    neighbor-address = \"{neighbor}\"\n    peer-as = {OURS}\n"
        );
        if let Some(password) = password {
            text += &format!("    auth-password = \"{password}\"\n");
        }
        text += "  [neighbors.transport.config]\n    passive-mode = true\n";
        for family in ["ipv4-unicast", "ipv6-unicast"] {
            text += &format!(
                "  [[neighbors.afi-safis]]\n    [neighbors.afi-safis.config]\n      afi-safi-name = \"{family}\"\n"
            );
        }
    }
    Ok(Box::new(Gobgp::start(host, &text)?))
}

fn everything() -> RouteAttributes {
    RouteAttributes {
        local_pref: Some(50),
        as_path_prepend: Some(1),
        communities: vec![(64_512 << 16) + 7, (65_000 << 16) + 200],
        large_communities: vec![[123, 456, 7_890]],
    }
}

/// What every router shows of a route with [`everything`]; the local preference is not always shown.
fn shown(prefix: &str, as_path: &[u32], local_pref: Option<u32>) -> Route {
    Route {
        prefix: prefix.into(),
        next_hops: vec![],
        as_path: as_path.to_vec(),
        med: Some(0),
        local_pref,
        communities: vec!["64512:7".into(), "65000:200".into()],
        large_communities: vec!["123:456:7890".into()],
    }
}

fn same(found: &[Route], expected: &[Route]) -> Checked {
    let found: Vec<Route> = found.iter().map(|route| Route { next_hops: vec![], ..route.clone() }).collect();
    check(found == expected, format!("found {found:#?}\nexpected {expected:#?}"))
}

// [WIRE-40], [WIRE-50], [WIRE-51], [D162-1], BGP-40, BGP-43
fn takes_both_families(start: &Start) -> Checked {
    let site = Site::new("interop-dual")?;
    let wanted = Wanted { router_as: THEIRS, neighbors: &[NODE_V4, NODE_V6], password: None };
    let router = start(&site.router, wanted)?;
    let dual =
        |name: &str, address: &str| Peer { families: SessionFamilies::Both, ..peer(name, address, OURS, THEIRS) };
    let speaker = Speaker::start(&site.node, config([dual("v4", ROUTER_V4), dual("v6", ROUTER_V6)]))?;
    // Each session carries one route of each family.
    let over_v6 = if router.takes_link_local_next_hops() { "v6" } else { "v4" };
    speaker.announce([
        route("198.51.100.1/32", &["v4"], everything()),
        route("198.51.100.2/32", &["v6"], everything()),
        route("2001:db8:1::1/128", &["v4"], everything()),
        route("2001:db8:1::2/128", &[over_v6], everything()),
    ]);
    for name in ["v4", "v6"] {
        speaker.wait_up(name, SOON)?;
    }
    for peer in [NODE_V4, NODE_V6] {
        let established = router.wait_established(peer, true, SOON);
        established.map_err(|error| format!("{error}: {:?}", speaker.announcer.sessions()))?;
    }
    let path = [OURS, OURS];
    let v4 = router.wait_routes(4, "both IPv4 routes", SOON, &|routes| routes.len() == 2)?;
    same(&v4, &[shown("198.51.100.1/32", &path, None), shown("198.51.100.2/32", &path, None)])?;
    check(v4.iter().all(|route| route.next_hops == [NODE_V4]), format!("{v4:?}"))?;
    let v6 = router.wait_routes(6, "both IPv6 routes", SOON, &|routes| routes.len() == 2)?;
    same(&v6, &[shown("2001:db8:1::1/128", &path, None), shown("2001:db8:1::2/128", &path, None)])?;
    let has_global = |route: &Route| route.next_hops.iter().any(|hop| hop == NODE_V6);
    check(v6.iter().all(has_global), format!("{v6:?}"))?;
    // What is withdrawn goes, family by family, and a stop takes the rest.
    speaker.announce([route("198.51.100.2/32", &["v6"], everything())]);
    router.wait_routes(6, "no IPv6 route", SOON, &|routes| routes.is_empty())?;
    router.wait_routes(4, "one IPv4 route", SOON, &|routes| routes.len() == 1)?;
    speaker.shutdown();
    router.wait_routes(4, "no IPv4 route", SOON, &|routes| routes.is_empty())?;
    router.wait_established(NODE_V4, false, SOON)?;
    Ok(())
}

// [FRR-8], BGP-40
fn takes_routes_of_an_internal_peer(start: &Start) -> Checked {
    let site = Site::new("interop-internal")?;
    let wanted = Wanted { router_as: OURS, neighbors: &[NODE_V4], password: None };
    let router = start(&site.router, wanted)?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, OURS)]))?;
    speaker.announce([route("198.51.100.1/32", &["tor"], everything()), plain("198.51.100.2/32", &["tor"])]);
    let routes = router.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    let bare = Route { communities: vec![], large_communities: vec![], ..shown("198.51.100.2/32", &[], Some(100)) };
    same(&routes, &[shown("198.51.100.1/32", &[], Some(50)), bare])
}

// [PEER-23], BGP-13
fn with_a_password_is_heard(start: &Start) -> Checked {
    let site = Site::new("interop-md5")?;
    let neighbors = [NODE_V4, NODE_V6];
    let router = start(&site.router, Wanted { router_as: THEIRS, neighbors: &neighbors, password: Some("s3cret") })?;
    let with = |name: &str, address: &str, password: &[u8]| Peer {
        password: Some(Password::new(password)),
        ..peer(name, address, OURS, THEIRS)
    };
    let speaker =
        Speaker::start(&site.node, config([with("v4", ROUTER_V4, b"other"), with("v6", ROUTER_V6, b"s3cret")]))?;
    speaker.wait_up("v6", SOON)?;
    check(!speaker.view("v4").is_up(), "a wrong password let a session up")?;
    speaker.announcer.configure(config([with("v4", ROUTER_V4, b"s3cret"), with("v6", ROUTER_V6, b"s3cret")]));
    speaker.wait_up("v4", SOON)?;
    router.wait_established(NODE_V4, true, SOON)?;
    Ok(())
}

// [BGP-32], BGP-21
fn frr_that_clears_its_sessions() -> Checked {
    let site = Site::new("frr-clear")?;
    let wanted = Wanted { router_as: THEIRS, neighbors: &[NODE_V4], password: None };
    let frr = Frr::start(&site.router, &frr_text(wanted))?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    frr.wait_routes(4, "the route", SOON, &|routes| routes.len() == 1)?;
    frr.ask("clear bgp *")?;
    speaker.wait_notification("tor", "the peer sent NOTIFICATION 6/4 (administrative reset)", SOON)?;
    speaker.wait_up("tor", SOON)?;
    frr.wait_routes(4, "the route", SOON, &|routes| routes.len() == 1)?;
    // A soft reset asks for the routes again, on the session that there is.
    let established = speaker.view("tor").counts.established;
    frr.ask("clear bgp * soft in")?;
    let refreshed = || (speaker.view("tor").counts.received.route_refreshes >= 1).then_some(());
    wait_until(SOON, "FRR to ask again", refreshed)?;
    check(speaker.view("tor").counts.established == established, "the session was reset")
}
