//! Against BIRD: sessions and routes as the catalogue has them.

use std::net::{IpAddr, TcpStream};
use std::time::Duration;

use lab::router::{Bird, Route, Router};
use lab::wait_until;
use lbcore::announce::{AnnouncementState, RouteAttributes};
use lbcore::family::IpFamily;
use lbcore::peer::{Password, Peer, RemoteAs, SessionFamilies};

use crate::speaker::{Checked, OURS, ROUTER_ID, Speaker, THEIRS, asn, config, native, peer, plain, route, timers};
use crate::{CONTINUE, NODE_V4, NODE_V6, ROUTER_V4, ROUTER_V6, SOON, STOP, Scenario, Site, check};

pub(crate) const TRIALS: &[Scenario] = &[
    ("bird_takes_routes_of_an_external_peer", takes_routes_of_an_external_peer),
    ("bird_takes_routes_of_an_internal_peer", takes_routes_of_an_internal_peer),
    ("bird_takes_the_values_of_the_native_engine", takes_the_values_of_the_native_engine),
    ("bird_takes_ipv6_routes_with_both_next_hops", takes_ipv6_routes_with_both_next_hops),
    ("bird_takes_both_families_on_either_session", takes_both_families_on_either_session),
    ("bird_sees_a_change_of_attributes_and_aggregation", sees_a_change_of_attributes_and_aggregation),
    ("bird_hears_withdrawals_then_a_cease", hears_withdrawals_then_a_cease),
    ("bird_sees_the_router_id", sees_the_router_id),
    ("bird_sees_the_overriding_as", sees_the_overriding_as),
    ("bird_with_dynamic_as_is_taken_or_refused", with_dynamic_as_is_taken_or_refused),
    ("bird_with_a_wrong_as_is_refused", with_a_wrong_as_is_refused),
    ("bird_with_another_password_is_never_heard", with_another_password_is_never_heard),
    ("bird_that_falls_silent_is_given_up", that_falls_silent_is_given_up),
    ("bird_that_is_killed_and_comes_back_is_found", that_is_killed_and_comes_back_is_found),
    ("bird_that_resets_its_session_is_dialled_again", that_resets_its_session_is_dialled_again),
    ("bird_that_asks_again_gets_all_again", that_asks_again_gets_all_again),
    ("bird_that_announces_routes_is_heard_and_not_believed", that_announces_routes_is_not_believed),
    ("bird_that_stops_reading_costs_no_keepalive", that_stops_reading_costs_no_keepalive),
    ("only_peers_that_changed_are_reset", only_peers_that_changed_are_reset),
];

/// A session as BIRD is told of it: it waits for the node, and soon again after an error (its default is a minute and more).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting<'a> {
    pub(crate) name: &'a str,
    pub(crate) local: &'a str,
    pub(crate) neighbor: &'a str,
    pub(crate) local_as: u32,
    pub(crate) node_as: u32,
    /// Options and channels.
    pub(crate) more: &'a str,
}

pub(crate) const TAKES_V4: &str = "ipv4 { import all; export none; };";
pub(crate) const TAKES_V6: &str = "ipv6 { import all; export none; };";

impl Default for Waiting<'_> {
    fn default() -> Self {
        Self { name: "p", local: ROUTER_V4, neighbor: NODE_V4, local_as: THEIRS, node_as: OURS, more: TAKES_V4 }
    }
}

impl Waiting<'_> {
    pub(crate) fn text(&self) -> String {
        let Self { name, local, neighbor, local_as, node_as, more } = self;
        format!(
            "router id 10.0.0.2;\nprotocol direct d{name} {{ ipv4; ipv6; }}\nprotocol bgp {name} {{ local {local} as {local_as}; neighbor {neighbor} as {node_as};\n\
             passive on; error wait time 1, 2;\n{more} }}\n"
        )
    }
}

fn v6(more: &str) -> Waiting<'_> {
    Waiting { local: ROUTER_V6, neighbor: NODE_V6, more, ..Waiting::default() }
}

fn attributes(communities: &[u32]) -> RouteAttributes {
    RouteAttributes { communities: communities.to_vec(), ..RouteAttributes::default() }
}

/// A community of two numbers.
const fn community(high: u32, low: u32) -> u32 {
    high << 16 | low
}

fn tor() -> Peer {
    peer("tor", ROUTER_V4, OURS, THEIRS)
}

/// What BIRD shows of a bare route of ours.
fn bare(prefix: &str) -> Route {
    Route {
        prefix: prefix.into(),
        next_hops: vec![NODE_V4.into()],
        as_path: vec![OURS],
        med: Some(0),
        local_pref: Some(100),
        ..Route::default()
    }
}

fn same(found: &[Route], expected: &[Route]) -> Checked {
    check(found == expected, format!("found {found:#?}\nexpected {expected:#?}"))
}

// [WIRE-40], [D162-1], BGP-40, BGP-41
fn takes_routes_of_an_external_peer() -> Checked {
    let site = Site::new("bird-external")?;
    let bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([tor()]))?;
    let everything = RouteAttributes {
        // Never sent to another AS.
        local_pref: Some(50),
        as_path_prepend: Some(2),
        communities: vec![community(65_000, 100), community(65_000, 200)],
        large_communities: vec![[123, 456, 7_890]],
    };
    speaker.announce([
        route("198.51.100.1/32", &["tor"], everything),
        route("198.51.100.2/32", &["tor"], attributes(&[community(64_512, 7)])),
        plain("203.0.113.0/24", &["tor"]),
        plain("203.0.114.0/24", &["another"]),
    ]);
    speaker.wait_up("tor", SOON)?;
    let routes = bird.wait_routes(4, "three routes", SOON, &|routes| routes.len() == 3)?;
    let first = Route {
        as_path: vec![OURS; 3],
        communities: vec!["65000:100".into(), "65000:200".into()],
        large_communities: vec!["123:456:7890".into()],
        ..bare("198.51.100.1/32")
    };
    let second = Route { communities: vec!["64512:7".into()], ..bare("198.51.100.2/32") };
    same(&routes, &[first, second, bare("203.0.113.0/24")])?;
    speaker.wait_active("198.51.100.1/32", SOON)?;
    let peers = speaker.announcer.announced_to("203.0.113.0/24".parse()?);
    check(peers.len() == 1 && &*peers[0] == "tor", format!("{peers:?}"))?;
    check(speaker.state("203.0.114.0/24") == Some(AnnouncementState::Pending), "no peer has it")?;
    // [WIRE-1], [PEER-3]: nobody listens here.
    let dialled = site.router.inside(|| TcpStream::connect((NODE_V4, 179)))?;
    check(dialled.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused), "port 179 is open")
}

// [WIRE-40], [FRR-8], BGP-40
fn takes_routes_of_an_internal_peer() -> Checked {
    let site = Site::new("bird-internal")?;
    let bird = Bird::start(&site.router, &Waiting { local_as: OURS, ..Waiting::default() }.text())?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, OURS)]))?;
    let asked = RouteAttributes {
        local_pref: Some(50),
        // Not within our AS ([D162-1]).
        as_path_prepend: Some(2),
        communities: vec![community(64_512, 7)],
        large_communities: vec![[123, 456, 7_890]],
    };
    speaker.announce([route("198.51.100.1/32", &["tor"], asked), plain("198.51.100.2/32", &["tor"])]);
    let routes = bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    let second = Route { as_path: vec![], ..bare("198.51.100.2/32") };
    let first = Route {
        local_pref: Some(50),
        communities: vec!["64512:7".into()],
        large_communities: vec!["123:456:7890".into()],
        prefix: "198.51.100.1/32".into(),
        ..second.clone()
    };
    same(&routes, &[first, second])
}

// [WIRE-40]: METALLB_BGP_TYPE=native
fn takes_the_values_of_the_native_engine() -> Checked {
    let site = Site::new("bird-native")?;
    let bird = Bird::start(&site.router, &Waiting { local_as: OURS, ..Waiting::default() }.text())?;
    let speaker = Speaker::start(&site.node, native([peer("tor", ROUTER_V4, OURS, OURS)]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    let routes = bird.wait_routes(4, "the route", SOON, &|routes| routes.len() == 1)?;
    same(&routes, &[Route { as_path: vec![], med: None, local_pref: Some(0), ..bare("198.51.100.1/32") }])?;
    let hold = speaker.view("tor").facts.map(|facts| facts.hold);
    check(hold == Some(Duration::from_secs(90)), format!("{hold:?}"))
}

// [WIRE-51], RFC 2545 section 3, BGP-40 (6)
fn takes_ipv6_routes_with_both_next_hops() -> Checked {
    let site = Site::new("bird-v6")?;
    let bird = Bird::start(&site.router, &v6(&format!("password \"s3cret\"; {TAKES_V6}")).text())?;
    let mut tor = peer("tor", ROUTER_V6, OURS, THEIRS);
    tor.password = Some(Password::new(*b"s3cret"));
    let speaker = Speaker::start(&site.node, config([tor]))?;
    let asked = RouteAttributes { large_communities: vec![[123, 456, 7_890]], ..attributes(&[community(64_512, 7)]) };
    speaker.announce([route("2001:db8:1::1/128", &["tor"], asked), plain("2001:db8:2::/48", &["tor"])]);
    let routes = bird.wait_routes(6, "both routes", SOON, &|routes| routes.len() == 2)?;
    let hops = routes[0].next_hops.clone();
    check(hops.len() == 2 && hops[0] == NODE_V6 && hops[1].starts_with("fe80:"), format!("{hops:?}"))?;
    let second = Route { next_hops: hops, ..bare("2001:db8:2::/48") };
    let first = Route {
        communities: vec!["64512:7".into()],
        large_communities: vec!["123:456:7890".into()],
        prefix: "2001:db8:1::1/128".into(),
        ..second.clone()
    };
    same(&routes, &[first, second])
}

// [WIRE-50], [WIRE-51], BGP-43, BGP-44, BGP-45
fn takes_both_families_on_either_session() -> Checked {
    for (local, neighbor) in [(ROUTER_V4, NODE_V4), (ROUTER_V6, NODE_V6)] {
        let site = Site::new("bird-dual")?;
        let more = format!("{TAKES_V4} {TAKES_V6}");
        let bird = Bird::start(&site.router, &Waiting { local, neighbor, more: &more, ..Waiting::default() }.text())?;
        let dual = Peer { families: SessionFamilies::Both, ..peer("tor", local, OURS, THEIRS) };
        let speaker = Speaker::start(&site.node, config([dual]))?;
        let tagged = attributes(&[community(64_512, 7)]);
        speaker.announce([
            route("198.51.100.1/32", &["tor"], tagged.clone()),
            route("2001:db8:1::1/128", &["tor"], tagged),
        ]);
        let v4 = bird.wait_routes(4, "the IPv4 route", SOON, &|routes| routes.len() == 1)?;
        let tagged = |route: Route| Route { communities: vec!["64512:7".into()], ..route };
        same(&v4, &[tagged(bare("198.51.100.1/32"))])?;
        let v6 = bird.wait_routes(6, "the IPv6 route", SOON, &|routes| routes.len() == 1)?;
        check(v6[0].next_hops.first().is_some_and(|hop| hop == NODE_V6), format!("{v6:?}"))?;
        check(v6[0].communities == ["64512:7"], format!("{v6:?}"))?;
        // One family alone, then the other.
        speaker.announce([plain("2001:db8:1::1/128", &["tor"])]);
        bird.wait_routes(4, "no IPv4 route", SOON, &|routes| routes.is_empty())?;
        bird.wait_routes(6, "the IPv6 route", SOON, &|routes| routes.len() == 1)?;
        let families = speaker.view("tor").facts.map(|facts| facts.families);
        check(families == Some([IpFamily::V4, IpFamily::V6].into()), format!("{families:?}"))?;
    }
    Ok(())
}

// [WIRE-44], [WIRE-45], BGP-42
fn sees_a_change_of_attributes_and_aggregation() -> Checked {
    let site = Site::new("bird-change")?;
    let bird = Bird::start(&site.router, &Waiting { local_as: OURS, ..Waiting::default() }.text())?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, OURS)]))?;
    let before = RouteAttributes { local_pref: Some(200), ..attributes(&[0xffff_ff02]) };
    speaker.announce([route("198.51.100.1/32", &["tor"], before)]);
    let routes = bird.wait_routes(4, "the host route", SOON, &|routes| routes.len() == 1)?;
    let host = Route {
        as_path: vec![],
        local_pref: Some(200),
        communities: vec!["65535:65282".into()],
        ..bare("198.51.100.1/32")
    };
    same(&routes, std::slice::from_ref(&host))?;
    let updates = speaker.view("tor").counts.sent.updates;
    let after = RouteAttributes { local_pref: Some(300), ..attributes(&[community(123, 456)]) };
    speaker.announce([route("198.51.100.0/24", &["tor"], after)]);
    let is_aggregate = |routes: &[Route]| routes.len() == 1 && routes[0].prefix == "198.51.100.0/24";
    let routes = bird.wait_routes(4, "the aggregate", SOON, &is_aggregate)?;
    let aggregate = Route { local_pref: Some(300), communities: vec!["123:456".into()], ..host };
    same(&routes, &[Route { prefix: "198.51.100.0/24".into(), ..aggregate }])?;
    let sent = speaker.view("tor").counts.sent.updates - updates;
    check(sent == 2, format!("one withdrawal and one announcement, not {sent} UPDATEs"))
}

// [WIRE-2], RFC 9003
fn hears_withdrawals_then_a_cease() -> Checked {
    let site = Site::new("bird-stop")?;
    let bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([tor()]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"]), plain("198.51.100.2/32", &["tor"])]);
    bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    speaker.announce([plain("198.51.100.2/32", &["tor"])]);
    let left = bird.wait_routes(4, "one route", SOON, &|routes| routes.len() == 1)?;
    check(left[0].prefix == "198.51.100.2/32", format!("{left:?}"))?;
    check(bird.is_established(NODE_V4)?, "the session is as it was")?;
    speaker.shutdown();
    bird.wait_routes(4, "no route", SOON, &|routes| routes.is_empty())?;
    wait_said(&bird, "Received: Administrative shutdown")?;
    // What is stopped stays so.
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    check(speaker.announcer.sessions().is_empty() && speaker.state("198.51.100.1/32").is_none(), "it goes on")
}

fn wait_said(bird: &Bird, words: &str) -> Checked {
    let said = || bird.process.stderr().contains(words).then_some(());
    let said = wait_until(SOON, &format!("BIRD to say {words:?}"), said);
    Ok(said.map_err(|error| format!("{error}: {}", bird.process.stderr()))?)
}

fn wait_told(bird: &Bird, words: &str) -> Checked {
    let told = || bird.ask("show protocols all p").is_ok_and(|text| text.contains(words)).then_some(());
    let told = wait_until(SOON, &format!("BIRD to tell {words:?}"), told);
    Ok(told.map_err(|error| format!("{error}: {}", bird.ask("show protocols all p").unwrap_or_default()))?)
}

// [WIRE-8], BGP-10
fn sees_the_router_id() -> Checked {
    let site = Site::new("bird-id")?;
    let bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([tor()]))?;
    speaker.wait_up("tor", SOON)?;
    wait_told(&bird, &format!("Neighbor ID:      {NODE_V4}"))?;
    speaker.announcer.configure(config([Peer { router_id: Some(ROUTER_ID), ..tor() }]));
    wait_told(&bird, "Neighbor ID:      10.10.10.1")
}

// [WIRE-9], BGP-12
fn sees_the_overriding_as() -> Checked {
    let site = Site::new("bird-local-as")?;
    let bird = Bird::start(&site.router, &Waiting { node_as: 64_520, ..Waiting::default() }.text())?;
    let speaker = Speaker::start(&site.node, config([Peer { local_asn: Some(asn(64_520)), ..tor() }]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    let routes = bird.wait_routes(4, "the route", SOON, &|routes| routes.len() == 1)?;
    same(&routes, &[Route { as_path: vec![64_520], ..bare("198.51.100.1/32") }])
}

// [WIRE-5], BGP-15, BGP-16
fn with_dynamic_as_is_taken_or_refused() -> Checked {
    let cases = [
        (OURS, RemoteAs::Internal, true),
        (THEIRS, RemoteAs::External, true),
        (OURS, RemoteAs::External, false),
        (THEIRS, RemoteAs::Internal, false),
    ];
    for (local_as, remote, accepted) in cases {
        let site = Site::new("bird-dynamic")?;
        let _bird = Bird::start(&site.router, &Waiting { local_as, ..Waiting::default() }.text())?;
        let speaker = Speaker::start(&site.node, config([Peer { remote, ..tor() }]))?;
        if accepted {
            speaker.wait_up("tor", SOON)?;
        } else {
            speaker.wait_notification("tor", "sent NOTIFICATION 2/2 (bad peer AS)", SOON)?;
            check(!speaker.view("tor").is_up(), "refused and yet up")?;
        }
    }
    Ok(())
}

// RFC 4271 section 6.2, [WIRE-2]
fn with_a_wrong_as_is_refused() -> Checked {
    let site = Site::new("bird-as")?;
    let bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([peer("tor", ROUTER_V4, OURS, THEIRS + 1)]))?;
    speaker.wait_notification("tor", "2/2 (bad peer AS): bad peer AS 64999, expected 65000", SOON)?;
    wait_said(&bird, "Received: Bad peer AS")?;
    speaker.announcer.configure(config([tor()]));
    speaker.wait_up("tor", SOON)
}

// [PEER-23], [BGP-8], BGP-13
fn with_another_password_is_never_heard() -> Checked {
    let site = Site::new("bird-md5")?;
    let with_password = format!("password \"s3cret\"; {TAKES_V4}");
    let bird = Bird::start(&site.router, &Waiting { more: &with_password, ..Waiting::default() }.text())?;
    let with = |password: &[u8]| config([Peer { password: Some(Password::new(password)), ..tor() }]);
    // An empty one is none.
    for wrong in [b"wrong".as_slice(), b"", &[b'x'; 81]] {
        let speaker = Speaker::start(&site.node, with(wrong))?;
        speaker.announce([plain("198.51.100.1/32", &["tor"])]);
        std::thread::sleep(Duration::from_millis(700));
        check(!speaker.view("tor").is_up() && !bird.is_established(NODE_V4)?, "a wrong password let a session up")?;
        let state = speaker.state("198.51.100.1/32");
        check(state == Some(AnnouncementState::Pending), format!("{state:?}"))?;
        if wrong.len() > 80 {
            let ending = speaker.view("tor").last_ending.unwrap_or_default();
            check(ending.contains("81 octets, TCP MD5 takes 1 to 80"), ending)?;
        }
    }
    let speaker = Speaker::start(&site.node, with(b"wrong"))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    speaker.announcer.configure(with(b"s3cret"));
    speaker.wait_up("tor", SOON)?;
    bird.wait_routes(4, "the route", SOON, &|routes| routes.len() == 1).map(drop)?;
    Ok(())
}

// RFC 4271 section 6.5, [BGP-31]
fn that_falls_silent_is_given_up() -> Checked {
    let site = Site::new("bird-silent")?;
    let mut bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([Peer { timers: Some(timers(3, 1)), ..tor() }]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    speaker.wait_active("198.51.100.1/32", SOON)?;
    bird.process.signal(STOP)?;
    speaker.wait_notification("tor", "4/0 (hold timer expired)", SOON)?;
    let state = speaker.state("198.51.100.1/32");
    check(state == Some(AnnouncementState::Pending), format!("{state:?}"))?;
    bird.process.signal(CONTINUE)?;
    speaker.wait_active("198.51.100.1/32", SOON)
}

// [BGP-32]
fn that_is_killed_and_comes_back_is_found() -> Checked {
    let site = Site::new("bird-killed")?;
    let mut bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([tor()]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"]), plain("198.51.100.2/32", &["tor"])]);
    speaker.wait_active("198.51.100.1/32", SOON)?;
    bird.process.kill()?;
    let down = || (!speaker.view("tor").is_up()).then_some(());
    wait_until(SOON, "the session to be down", down)?;
    // What changes meanwhile is what the next session begins with.
    speaker.announce([plain("198.51.100.2/32", &["tor"]), plain("198.51.100.3/32", &["tor"])]);
    drop(bird);
    let bird = Bird::start(&site.router, &Waiting::default().text())?;
    // The longest wait between attempts is a second.
    speaker.wait_up("tor", Duration::from_secs(4))?;
    let routes = bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    same(&routes, &[bare("198.51.100.2/32"), bare("198.51.100.3/32")])?;
    let counts = speaker.view("tor").counts;
    check(counts.established == 2 && counts.sent.opens >= 2, format!("{counts:?}"))
}

// [WIRE-3], BGP-19, BGP-21
fn that_resets_its_session_is_dialled_again() -> Checked {
    let site = Site::new("bird-reset")?;
    let bird = Bird::start(&site.router, &Waiting::default().text())?;
    let slow = Peer { connect_time: Some(Duration::from_secs(2)), ..tor() };
    let speaker = Speaker::start(&site.node, config([slow]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    speaker.wait_active("198.51.100.1/32", SOON)?;
    bird.ask("restart p")?;
    speaker.wait_notification("tor", "the peer sent NOTIFICATION 6/4 (administrative reset)", SOON)?;
    // Established again within twice the connect time.
    speaker.wait_up("tor", Duration::from_secs(4))?;
    let families = speaker.view("tor").facts.map(|facts| facts.families);
    check(families == Some([IpFamily::V4].into()), "each session carries the family of its address")?;
    bird.wait_routes(4, "the route", SOON, &|routes| routes.len() == 1)?;
    bird.ask("disable p \"maintenance of tor\"")?;
    speaker.wait_notification("tor", "6/2 (administrative shutdown) \"maintenance of tor\"", SOON)
}

// [WIRE-23], RFC 2918
fn that_asks_again_gets_all_again() -> Checked {
    let site = Site::new("bird-refresh")?;
    let bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([tor()]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor"]), plain("198.51.100.2/32", &["tor"])]);
    bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    // A filter that refuses what came is then taken back, which needs the routes once more.
    let only = "ipv4 { import where net = 198.51.100.1/32; export none; };";
    bird.reconfigure(&Waiting { more: only, ..Waiting::default() }.text())?;
    bird.wait_routes(4, "one route", SOON, &|routes| routes.len() == 1)?;
    bird.reconfigure(&Waiting::default().text())?;
    let routes = bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    same(&routes, &[bare("198.51.100.1/32"), bare("198.51.100.2/32")])?;
    let counts = speaker.view("tor").counts;
    check(counts.received.route_refreshes >= 1 && counts.established == 1, format!("{counts:?}"))
}

// [WIRE-60], [FRR-4], BGP-22
fn that_announces_routes_is_not_believed() -> Checked {
    let site = Site::new("bird-inbound")?;
    let exports = "ipv4 { import all; export where source = RTS_STATIC; };";
    let config_text = format!(
        "protocol static own {{ ipv4; route 172.16.1.1/32 blackhole; route 0.0.0.0/0 blackhole; }}\n{}",
        Waiting { more: exports, ..Waiting::default() }.text()
    );
    let bird = Bird::start(&site.router, &config_text)?;
    let speaker = Speaker::start(&site.node, config([tor()]))?;
    let dropped = || (speaker.view("tor").counts.prefixes_dropped == 2).then_some(());
    wait_until(SOON, "both prefixes to come", dropped)?;
    speaker.announce([plain("198.51.100.1/32", &["tor"])]);
    bird.wait_routes(4, "our route", SOON, &|routes| routes.len() == 1)?;
    let table = site.node.inside(|| std::fs::read_to_string("/proc/thread-self/net/route"))??;
    let destinations: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(1)).collect();
    check(destinations.iter().all(|destination| !["010110AC", "00000000"].contains(destination)), table.clone())
}

// FSM-3, RFC 9687
fn that_stops_reading_costs_no_keepalive() -> Checked {
    let site = Site::new("bird-slow")?;
    // Little fits between the two.
    site.node.sysctl("net.ipv4.tcp_wmem", "4096 16384 32768")?;
    site.router.sysctl("net.ipv4.tcp_rmem", "4096 16384 32768")?;
    let mut bird = Bird::start(&site.router, &Waiting::default().text())?;
    let speaker = Speaker::start(&site.node, config([tor()]))?;
    speaker.wait_up("tor", SOON)?;
    bird.process.signal(STOP)?;
    let many = |tag: u32| {
        let address = |number: u32| IpAddr::from((0x1400_0000 + number).to_be_bytes());
        let routes = (0..40_000).map(move |number| (address(number), community(64_512, tag)));
        routes.map(|(address, tag)| route(&format!("{address}/32"), &["tor"], attributes(&[tag]))).collect::<Vec<_>>()
    };
    speaker.announce(many(1));
    std::thread::sleep(Duration::from_secs(1));
    let view = speaker.view("tor");
    check(view.announced_prefixes < 40_000, "the kernel took everything, so nothing was held back")?;
    check(view.pending_prefixes == 40_000 && view.is_up(), format!("{view:?}"))?;
    // A change while the peer is slow is sent once, in its last form.
    speaker.announce(many(2));
    bird.process.signal(CONTINUE)?;
    let all = |routes: &str| routes.contains("40000 of ");
    let tagged = || {
        // Counting is work for BIRD too.
        std::thread::sleep(Duration::from_millis(200));
        bird.ask("show route where (64512,2) ~ bgp_community count").is_ok_and(|text| all(&text)).then_some(())
    };
    let tagged = wait_until(SOON * 2, "all routes in their last form", tagged);
    tagged.map_err(|error| format!("{error}: {:?} {:?}", speaker.view("tor"), bird.ask("show route count")))?;
    check(speaker.view("tor").announced_prefixes == 40_000, "not all are counted")
}

// [PEER-5], [PEER-15], [PEER-28], BGP-14
fn only_peers_that_changed_are_reset() -> Checked {
    let site = Site::new("bird-config")?;
    let (one, two) = (Waiting::default(), v6(TAKES_V6));
    let both = format!("{}{}", one.text(), Waiting { name: "q", ..two }.text().replace("router id 10.0.0.2;", ""));
    let bird = Bird::start(&site.router, &both)?;
    let (first, second) = (tor(), peer("v6", ROUTER_V6, OURS, THEIRS));
    let in_vrf = Peer { vrf: Some("red".into()), ..peer("vrf", "192.0.2.77", OURS, THEIRS) };
    let speaker = Speaker::start(&site.node, config([first.clone(), in_vrf]))?;
    speaker.announce([plain("198.51.100.1/32", &["tor", "vrf"]), plain("198.51.100.2/32", &["vrf"])]);
    speaker.wait_up("tor", SOON)?;
    let state = speaker.state("198.51.100.2/32");
    check(matches!(&state, Some(AnnouncementState::Failed(why)) if why.contains("vrf")), format!("{state:?}"))?;
    let view = speaker.view("vrf");
    check(view.not_started.is_some() && view.counts.attempts == 0, format!("{view:?}"))?;
    let since = speaker.view("tor").up_since;
    // Another peer comes, one goes, and of the first only what no wire shows changes.
    let renamed = Peer { connect_time: Some(Duration::from_secs(9)), bfd_profile: Some("fast".into()), ..first };
    speaker.announcer.configure(config([renamed.clone(), second]));
    speaker.wait_up("v6", SOON)?;
    check(speaker.view("tor").up_since == since, "the session was reset")?;
    check(speaker.view("tor").left_out.len() == 1, "what it runs without is said")?;
    check(speaker.announcer.sessions().len() == 2, "the peer in the VRF is gone")?;
    speaker.announcer.configure(config([renamed]));
    wait_said(&bird, "Received: Peer de-configured")?;
    check(speaker.view("tor").up_since == since && bird.is_established(NODE_V4)?, "the session was reset")
}
