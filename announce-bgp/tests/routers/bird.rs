//! Against BIRD.

use std::time::Duration;

use lab::router::{Bird, Route, Router};
use lab::wait_until;
use lbcore::announce::{AnnouncementState, RouteAttributes};
use lbcore::peer::Password;

use crate::speaker::{Checked, OURS, ROUTER_ID, Speaker, THEIRS, config, peer, plain, route, timers};
use crate::{NODE_V4, NODE_V6, ROUTER_V4, ROUTER_V6, SOON, Scenario, Site, check};

/// `SIGSTOP` and `SIGCONT` on Linux.
const STOP: i32 = 19;
const CONTINUE: i32 = 18;

pub(crate) const TRIALS: &[Scenario] = &[
    ("bird_takes_routes_of_an_external_peer", bird_takes_routes_of_an_external_peer),
    ("bird_hears_withdrawals_then_a_cease", bird_hears_withdrawals_then_a_cease),
    ("a_wrong_as_is_refused_with_its_notification", a_wrong_as_is_refused_with_its_notification),
    ("a_peer_that_falls_silent_is_given_up", a_peer_that_falls_silent_is_given_up),
    ("bird_sees_the_router_id", bird_sees_the_router_id),
    ("routes_come_over_ipv6_with_both_next_hops", routes_come_over_ipv6_with_both_next_hops),
    ("a_password_must_be_the_same_on_both_sides", a_password_must_be_the_same_on_both_sides),
];

/// A table-only BIRD that waits for the node, and soon again after an error (its default is a minute and more).
pub(crate) fn passive(node_as: u32, router_as: u32, more: &str) -> String {
    format!(
        "router id 10.0.0.2;\nprotocol bgp p {{ local {ROUTER_V4} as {router_as}; neighbor {NODE_V4} as {node_as};\n\
         passive on; error wait time 1, 2; {more}\n ipv4 {{ import all; export none; }}; }}"
    )
}

fn attributes(communities: &[u32]) -> RouteAttributes {
    RouteAttributes { communities: communities.to_vec(), ..RouteAttributes::default() }
}

// [WIRE-40], BGP-40
fn bird_takes_routes_of_an_external_peer() -> Checked {
    let site = Site::new("bird-external")?;
    let bird = Bird::start(&site.router, &passive(OURS, THEIRS, ""))?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    speaker.announce([
        route("198.51.100.1/32", &["tor"], attributes(&[(64_512 << 16) + 7])),
        plain("203.0.113.0/24", &["tor"]),
    ]);
    speaker.wait_up("tor", SOON)?;
    let routes = bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    let expected = Route {
        prefix: "198.51.100.1/32".into(),
        next_hops: vec![NODE_V4.into()],
        as_path: vec![OURS],
        med: Some(0),
        local_pref: Some(100),
        communities: vec!["64512:7".into()],
        large_communities: vec![],
    };
    check(routes[0] == expected, format!("{:?}", routes[0]))?;
    let aggregate = Route { prefix: "203.0.113.0/24".into(), communities: vec![], ..expected };
    check(routes[1] == aggregate, format!("{:?}", routes[1]))?;
    speaker.wait_active("198.51.100.1/32", SOON)
}

// [WIRE-2], RFC 9003
fn bird_hears_withdrawals_then_a_cease() -> Checked {
    let site = Site::new("bird-stop")?;
    let bird = Bird::start(&site.router, &passive(OURS, THEIRS, ""))?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS)]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"]), plain("198.51.100.2/32", &["tor"])]);
    bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    speaker.announce([plain("198.51.100.2/32", &["tor"])]);
    let left = bird.wait_routes(4, "one route", SOON, &|routes| routes.len() == 1)?;
    check(left[0].prefix == "198.51.100.2/32", format!("{left:?}"))?;
    check(bird.is_established(NODE_V4)?, "the session is as it was")?;
    speaker.shutdown();
    bird.wait_routes(4, "no route", SOON, &|routes| routes.is_empty())?;
    let said = || bird.process.stderr().contains("Received: Administrative shutdown").then_some(());
    let said = wait_until(SOON, "BIRD to tell of the shutdown", said);
    Ok(said.map_err(|error| format!("{error}: {}", bird.process.stderr()))?)
}

// RFC 4271 section 6.2, [WIRE-2], BGP-16
fn a_wrong_as_is_refused_with_its_notification() -> Checked {
    let site = Site::new("bird-as")?;
    let bird = Bird::start(&site.router, &passive(OURS, THEIRS, ""))?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS + 1)]))?;
    speaker.wait_ending("tor", "2/2 (bad peer AS): bad peer AS 64999, expected 65000", SOON)?;
    let said = || bird.process.stderr().contains("Received: Bad peer AS").then_some(());
    wait_until(SOON, "BIRD to tell of the AS", said)?;
    speaker.announcer.configure(config([peer("tor", ROUTER_V4, OURS, THEIRS)]));
    speaker.wait_up("tor", SOON)
}

// RFC 4271 section 6.5, [BGP-31]
fn a_peer_that_falls_silent_is_given_up() -> Checked {
    let site = Site::new("bird-silent")?;
    let mut bird = Bird::start(&site.router, &passive(OURS, THEIRS, ""))?;
    let mut tor = peer("tor", ROUTER_V4, OURS, THEIRS);
    tor.timers = Some(timers(3, 1));
    let speaker = Speaker::start(&site.node, config([tor]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    speaker.wait_active("198.51.100.1/32", SOON)?;
    bird.process.signal(STOP)?;
    speaker.wait_ending("tor", "4/0 (hold timer expired)", SOON)?;
    let state = speaker.state("198.51.100.1/32");
    check(state == Some(AnnouncementState::Pending), format!("{state:?}"))?;
    bird.process.signal(CONTINUE)?;
    speaker.wait_active("198.51.100.1/32", SOON)
}

// [WIRE-8], BGP-10
fn bird_sees_the_router_id() -> Checked {
    let site = Site::new("bird-id")?;
    let bird = Bird::start(&site.router, &passive(OURS, THEIRS, ""))?;
    let mut tor = peer("tor", ROUTER_V4, OURS, THEIRS);
    tor.router_id = Some(ROUTER_ID);
    let speaker = Speaker::start(&site.node, config([tor]))?;
    speaker.wait_up("tor", SOON)?;
    let told = || bird.ask("show protocols all p").is_ok_and(|text| text.contains("10.10.10.1")).then_some(());
    Ok(wait_until(SOON, "the router id", told)?)
}

// [WIRE-51], RFC 2545 section 3
fn routes_come_over_ipv6_with_both_next_hops() -> Checked {
    let site = Site::new("bird-v6")?;
    let config_v6 = format!(
        "router id 10.0.0.2;\nprotocol bgp p {{ local {ROUTER_V6} as {THEIRS}; neighbor {NODE_V6} as {OURS};\n\
         passive on;\n ipv6 {{ import all; export none; }}; }}"
    );
    let bird = Bird::start(&site.router, &config_v6)?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V6, OURS, THEIRS)]))?;
    speaker.announce([plain("2001:db8:1::1/128", &["tor"]), plain("2001:db8:2::/48", &["tor"])]);
    let routes = bird.wait_routes(6, "both routes", SOON, &|routes| routes.len() == 2)?;
    check(routes[0].prefix == "2001:db8:1::1/128" && routes[1].prefix == "2001:db8:2::/48", format!("{routes:?}"))?;
    let hops = &routes[0].next_hops;
    check(hops.len() == 2 && hops[0] == NODE_V6 && hops[1].starts_with("fe80:"), format!("{hops:?}"))?;
    check(routes[0].as_path == [OURS], format!("{routes:?}"))
}

// [PEER-23], BGP-13
fn a_password_must_be_the_same_on_both_sides() -> Checked {
    let site = Site::new("bird-md5")?;
    let bird = Bird::start(&site.router, &passive(OURS, THEIRS, "password \"s3cret\";"))?;
    let with = |password: &str| {
        let mut peer = peer("tor", ROUTER_V4, OURS, THEIRS);
        peer.password = Some(Password::new(password.as_bytes()));
        config([peer])
    };
    let speaker = Speaker::start(&site.node, with("wrong"))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    std::thread::sleep(Duration::from_secs(2));
    check(!speaker.view("tor").is_up(), "a wrong password let a session up")?;
    check(!bird.is_established(NODE_V4)?, "a wrong password let a session up")?;
    let state = speaker.state("198.51.100.1/32");
    check(state == Some(AnnouncementState::Pending), format!("{state:?}"))?;
    speaker.announcer.configure(with("s3cret"));
    speaker.wait_up("tor", SOON)?;
    bird.wait_routes(4, "the route", SOON, &|routes| routes.len() == 1).map(drop)?;
    Ok(())
}
