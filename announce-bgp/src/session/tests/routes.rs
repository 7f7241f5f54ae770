//! Routes on a session: when they are sent, what is asked for again, what comes in.

use super::*;
use crate::wire::route_refresh::RouteRefresh;

fn updates(rig: &Rig) -> usize {
    rig.kinds().iter().filter(|kind| **kind == MessageKind::Update).count()
}

// [BGP-32], PACK-3
#[test]
fn all_routes_are_sent_on_every_new_session_then_the_end_mark() {
    let mut rig = Rig::new(peer("a"));
    rig.input(Input::Replace(routes(1_000)));
    for _ in 0..2 {
        rig.connect();
        rig.send(&open(THEIRS, 90, &[IpFamily::V4]));
        rig.send(&keepalive());
        rig.written();
        assert_eq!((updates(&rig), rig.session.routes().announced()), (3, 1_000));
        assert_eq!(rig.sent().last(), Some(&(MessageKind::Update, vec![0, 0, 0, 0])));
        rig.outputs.clear();
        rig.input(Input::Lost("gone".into()));
        assert!(rig.events().contains(&&Event::Routes(Touched::All)));
        assert_eq!(rig.session.routes().announced(), 0);
        rig.pass(secs(2));
        rig.outputs.clear();
    }
}

// PFX-2, FSM-3
#[test]
fn nothing_more_is_made_while_the_network_takes_nothing() {
    let mut rig = Rig::established(peer("a"));
    rig.input(Input::Replace(routes(100_000)));
    let octets = |rig: &Rig| -> usize {
        let length = |output: &Output| if let Output::Transmit(octets) = output { octets.len() } else { 0 };
        rig.outputs.iter().map(length).sum()
    };
    assert!(octets(&rig) < 70_000, "{}", octets(&rig));
    // KEEPALIVEs go on.
    let until = rig.now + secs(60);
    while let Some((at, _)) = rig.session.poll_timeout().filter(|(at, _)| *at <= until) {
        rig.session.handle_timeout(at);
        rig.drain();
    }
    let keepalives = rig.kinds().iter().filter(|kind| **kind == MessageKind::KeepAlive).count();
    assert!(keepalives >= 2 && octets(&rig) < 70_000, "{keepalives}");
    rig.written();
    assert_eq!(rig.session.routes().announced(), 100_000);
}

// [WIRE-23], RFC 2918 section 4
#[test]
fn a_refresh_is_answered_for_families_of_the_session() {
    let mut rig = Rig::established(peer("a"));
    rig.input(Input::Replace(routes(3)));
    rig.written();
    rig.outputs.clear();
    rig.send(&RouteRefresh::request(IpFamily::V6));
    rig.written();
    assert_eq!(updates(&rig), 0);
    rig.send(&RouteRefresh::request(IpFamily::V4));
    rig.written();
    assert_eq!((updates(&rig), rig.session.counts().received.route_refreshes), (1, 2));
    // RFC 7313 section 5
    rig.send(&crate::wire::write_message(MessageKind::RouteRefresh, &[0, 1, 1, 1, 0]).unwrap());
    let data = [&[0xff; 16][..], &[0, 24, 5, 0, 1, 1, 1, 0]].concat();
    assert_eq!(rig.notification(), Some((7, 1, data)));
}

// [WIRE-23]: what a message costs must not grow with the routes.
#[test]
fn many_requests_are_answered_once() {
    let mut rig = Rig::established(peer("a"));
    rig.input(Input::Replace(routes(1_000)));
    // Before the routes are handed over, and after.
    rig.send(&RouteRefresh::request(IpFamily::V4).repeat(1_000));
    assert_eq!(rig.session.counts().refreshes_answered, 0);
    rig.written();
    assert_eq!((updates(&rig), rig.session.counts().refreshes_answered), (2 + 2, 1));
    rig.send(&RouteRefresh::request(IpFamily::V4).repeat(2_849));
    rig.send(&RouteRefresh::request(IpFamily::V4).repeat(2_849));
    rig.written();
    // The first begins an answer at once; what comes while it is under way shares the next.
    assert_eq!((updates(&rig), rig.session.counts().refreshes_answered), (4 + 4, 3));
    assert_eq!(rig.session.counts().received.route_refreshes, 1_000 + 2 * 2_849);
    // Nothing is owed to the next session.
    rig.send(&RouteRefresh::request(IpFamily::V4));
    rig.send(&RouteRefresh::request(IpFamily::V4));
    rig.input(Input::Lost("gone".into()));
    rig.pass(secs(1));
    rig.outputs.clear();
    rig.connect();
    rig.send(&open(THEIRS, 90, &[IpFamily::V4]));
    rig.send(&keepalive());
    rig.written();
    assert_eq!(updates(&rig), 2 + 1);
}

// [WIRE-35], [WIRE-50]: an address that comes late, as after a boot, or goes while the session stands.
#[test]
fn a_family_waits_for_a_next_hop_and_is_told() {
    let mut rig = Rig::new(Peer { families: SessionFamilies::Both, ..peer("a") });
    let six = ("2001:db8:1::/48".parse().unwrap(), Arc::new(RouteAttributes::default()));
    rig.input(Input::Replace(vec![six.clone()]));
    rig.connect();
    rig.send(&open(THEIRS, 90, &[IpFamily::V4, IpFamily::V6]));
    rig.send(&keepalive());
    rig.written();
    let told = |rig: &Rig| rig.events().contains(&&Event::NoNextHop(IpFamily::V6));
    // End-of-RIB of both families.
    assert_eq!((updates(&rig), told(&rig), rig.session.routes().announced()), (2, true, 0));
    rig.outputs.clear();
    let end = LocalEnd::of("192.0.2.1".parse().unwrap());
    rig.input(Input::Readdressed(end));
    assert!(rig.outputs.is_empty(), "{:?}", rig.outputs);
    let with_v6 = LocalEnd { link_v6: Some("2001:db8::1".parse().unwrap()), ..end };
    rig.input(Input::Readdressed(with_v6));
    rig.written();
    assert_eq!((updates(&rig), told(&rig), rig.session.routes().announced()), (1, false, 1));
    assert!(rig.events().iter().any(|event| matches!(event, Event::Readdressed(_))));
    rig.outputs.clear();
    rig.input(Input::Readdressed(end));
    rig.written();
    assert_eq!((updates(&rig), told(&rig), rig.session.routes().announced()), (1, true, 0));
    assert!(matches!(rig.session.routes().state(six.0), Some(crate::rib_out::RouteState::Waiting)));
    // The identifier is that of the OPEN.
    let moved = LocalEnd { link_v4: Some(Ipv4Addr::new(9, 9, 9, 9)), ..end };
    rig.input(Input::Readdressed(moved));
    assert_eq!(rig.session.negotiated().unwrap().local_id, Ipv4Addr::new(192, 0, 2, 1));
}

// [WIRE-43]
#[test]
fn a_change_goes_out_at_once_and_is_told_when_it_is_handed_over() {
    let mut rig = Rig::established(peer("a"));
    let (prefix, attributes) = routes(1).remove(0);
    rig.input(Input::Change(&[(prefix, Some(Arc::clone(&attributes)))]));
    assert_eq!(updates(&rig), 1);
    assert!(rig.events().is_empty());
    rig.input(Input::Written);
    assert_eq!(rig.events(), [&Event::Routes(Touched::Some(vec![prefix]))]);
    rig.input(Input::Change(&[(prefix, None)]));
    rig.written();
    assert_eq!((updates(&rig), rig.session.routes().announced()), (2, 0));
}

// [WIRE-60], BGP-22
#[test]
fn routes_of_the_peer_are_counted_and_dropped() {
    let mut rig = Rig::established(peer("a"));
    let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe7, 0x40, 3, 4, 192, 0, 2, 2];
    let mut body = vec![0, 0, 0, 20];
    body.extend(attributes);
    body.extend([24, 198, 51, 100, 32, 203, 0, 113, 1]);
    let update = crate::wire::write_message(MessageKind::Update, &body).unwrap();
    for _ in 0..1_000 {
        rig.send(&update);
    }
    let counts = rig.session.counts();
    assert_eq!((counts.prefixes_dropped, counts.received.updates, counts.treated_as_withdraw), (2_000, 1_000, 0));
    assert!(rig.outputs.is_empty());
}

// [ADV-35]
#[test]
fn a_route_that_fits_no_message_stops_nothing() {
    let mut rig = Rig::established(peer("a"));
    let (prefix, attributes) = routes(1).remove(0);
    let huge = Arc::new(RouteAttributes { communities: (0..2_000).collect(), ..RouteAttributes::default() });
    rig.input(Input::Change(&[(prefix, Some(huge))]));
    assert_eq!((updates(&rig), rig.events()), (0, vec![&Event::Routes(Touched::Some(vec![prefix]))]));
    // What comes after it goes out, and so does its own better form.
    rig.input(Input::Change(&[(prefix, Some(attributes))]));
    rig.written();
    assert_eq!((updates(&rig), rig.session.routes().announced()), (1, 1));
    rig.outputs.clear();
    let huge = Arc::new(RouteAttributes { communities: (0..2_000).collect(), ..RouteAttributes::default() });
    rig.input(Input::Change(&[(prefix, Some(huge))]));
    rig.input(Input::Stop(StopReason::Shutdown));
    rig.written();
    assert_eq!((updates(&rig), rig.count(&Output::Event(Event::Stopped))), (1, 1));
}
