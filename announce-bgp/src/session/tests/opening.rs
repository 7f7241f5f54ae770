//! From dialling to Established: OPENs, what they come to, what is refused.

use super::*;

// RFC 4271 section 8.2.2, [WIRE-2]
#[test]
fn a_session_opens_by_the_book() {
    let mut rig = Rig::new(peer("a"));
    assert_eq!((rig.session.state(), rig.count(&Output::Dial)), (State::Connect, 1));
    rig.connect();
    assert_eq!((rig.session.state(), rig.kinds()), (State::OpenSent, vec![MessageKind::Open]));
    let ours = Open::decode(&rig.sent()[0].1).unwrap();
    assert_eq!((ours.asn(), ours.hold_time, ours.router_id), (OURS, 180, Ipv4Addr::new(192, 0, 2, 1)));
    assert_eq!(ours.families(), BTreeSet::from([IpFamily::V4]));
    rig.send(&open(THEIRS, 90, &[IpFamily::V4, IpFamily::V6]));
    assert_eq!(rig.session.state(), State::OpenConfirm);
    assert_eq!(rig.kinds(), [MessageKind::Open, MessageKind::KeepAlive]);
    // [BGP-4]: established is what the peer's KEEPALIVE makes it, not ours.
    assert!(rig.session.up_since().is_none());
    rig.send(&keepalive());
    let negotiated = rig.session.negotiated().unwrap().clone();
    assert_eq!((negotiated.hold, negotiated.keepalive), (secs(90), Some(secs(30))));
    assert_eq!((negotiated.kind, negotiated.families.clone()), (SessionKind::External, [IpFamily::V4].into()));
    assert!(rig.events().contains(&&Event::Up(Box::new(negotiated))));
    rig.written();
    // End-of-RIB of the empty table.
    assert_eq!(rig.sent().last(), Some(&(MessageKind::Update, vec![0, 0, 0, 0])));
}

#[test]
fn messages_in_pieces_are_the_same_messages() {
    let mut rig = Rig::new(peer("a"));
    rig.connect();
    let mut octets = open(THEIRS, 90, &[IpFamily::V4]);
    octets.extend(keepalive());
    octets.extend(keepalive());
    for octet in octets {
        rig.send(&[octet]);
    }
    assert_eq!((rig.session.state(), rig.session.counts().received.total()), (State::Established, 3));
}

// [PEER-11], [PEER-12], [WIRE-5], BGP-15, BGP-16
#[test]
fn the_as_of_the_peer_must_be_the_expected_one() {
    let asn = |number: u32| Asn::new(number).unwrap();
    let outcome = |remote: RemoteAs, local: Option<u32>, sent: u32| {
        let mut rig = Rig::new(Peer { remote, local_asn: local.map(asn), ..peer("a") });
        rig.connect();
        rig.send(&open(sent, 90, &[IpFamily::V4]));
        (rig.session.state() == State::OpenConfirm).then(|| rig.session.negotiated().unwrap().kind)
    };
    let (internal, external) = (Some(SessionKind::Internal), Some(SessionKind::External));
    assert_eq!(outcome(RemoteAs::Exactly(asn(THEIRS)), None, THEIRS), external);
    assert_eq!(outcome(RemoteAs::Exactly(asn(THEIRS)), None, THEIRS + 1), None);
    assert_eq!(outcome(RemoteAs::Exactly(asn(OURS)), None, OURS), internal);
    assert_eq!(outcome(RemoteAs::Internal, None, OURS), internal);
    assert_eq!(outcome(RemoteAs::Internal, None, THEIRS), None);
    assert_eq!(outcome(RemoteAs::External, None, THEIRS), external);
    assert_eq!(outcome(RemoteAs::External, None, 4_200_000_000), external);
    assert_eq!(outcome(RemoteAs::External, None, OURS), None);
    // [WIRE-6]: by the numbers that are used.
    assert_eq!(outcome(RemoteAs::Exactly(asn(OURS)), Some(64_520), OURS), external);
    assert_eq!(outcome(RemoteAs::Exactly(asn(64_520)), Some(64_520), 64_520), internal);
    let mut rig = Rig::new(peer("a"));
    rig.connect();
    rig.send(&open(OURS, 90, &[IpFamily::V4]));
    assert_eq!(rig.notification(), Some((2, 2, vec![])));
    assert_eq!(
        rig.ending().unwrap().to_string(),
        "sent NOTIFICATION 2/2 (bad peer AS): bad peer AS 64512, expected 64999"
    );
}

// [WIRE-9], BGP-12
#[test]
fn an_overriding_as_is_what_the_peer_sees() {
    let mut rig = Rig::new(Peer { local_asn: Asn::new(64_520), ..peer("a") });
    rig.input(Input::Replace(routes(1)));
    rig.connect();
    assert_eq!(Open::decode(&rig.sent()[0].1).unwrap().asn(), 64_520);
    rig.send(&open(THEIRS, 90, &[IpFamily::V4]));
    rig.send(&keepalive());
    rig.written();
    let update = rig.sent().into_iter().find(|(kind, _)| *kind == MessageKind::Update).unwrap().1;
    let path = [0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0x08];
    assert!(update.windows(path.len()).any(|part| part == path), "{update:02x?}");
}

// RFC 6286 section 2.2
#[test]
fn our_own_identifier_is_refused_within_our_as() {
    for (asn, accepted) in [(OURS, false), (THEIRS, true)] {
        let mut rig = Rig::new(Peer { remote: RemoteAs::Exactly(Asn::new(asn).unwrap()), ..peer("a") });
        rig.connect();
        let theirs = Open { router_id: Ipv4Addr::new(192, 0, 2, 1), ..their_open(asn, 90, &[IpFamily::V4]) };
        rig.send(&theirs.encode().unwrap());
        assert_eq!(rig.session.state() == State::OpenConfirm, accepted);
        assert_eq!(rig.notification(), (!accepted).then(|| (2, 3, vec![])));
    }
}

// [WIRE-8]
#[test]
fn the_identifier_is_the_first_that_there_is() {
    let identifier = |configured: Option<Ipv4Addr>, local: LocalEnd| {
        let mut rig = Rig::new(Peer { router_id: configured, ..peer("a") });
        rig.input(Input::Connected(local));
        Open::decode(&rig.sent()[0].1).unwrap().router_id
    };
    let v6 = LocalEnd::of("2001:db8::1".parse().unwrap());
    let with_v4 = LocalEnd { link_v4: Some(Ipv4Addr::new(192, 0, 2, 7)), ..v6 };
    assert_eq!(identifier(Some(Ipv4Addr::new(10, 10, 10, 1)), with_v4), Ipv4Addr::new(10, 10, 10, 1));
    assert_eq!(identifier(None, LocalEnd::of("192.0.2.1".parse().unwrap())), Ipv4Addr::new(192, 0, 2, 1));
    assert_eq!(identifier(None, with_v4), Ipv4Addr::new(192, 0, 2, 7));
    assert_eq!(identifier(None, v6), Ipv4Addr::new(64, 37, 239, 133));
}

// [WIRE-7], RFC 4271 section 4.2
#[test]
fn the_hold_time_is_the_smaller_one_and_zero_stops_the_timers() {
    let agreed = |ours: Option<(u64, u64)>, theirs: u16| {
        let timers = ours.map(|(hold, keepalive)| PeerTimers { hold: secs(hold), keepalive: secs(keepalive) });
        let mut rig = Rig::new(Peer { timers, ..peer("a") });
        rig.connect();
        rig.send(&open(THEIRS, theirs, &[IpFamily::V4]));
        let negotiated = rig.session.negotiated().unwrap();
        (negotiated.hold.as_secs(), negotiated.keepalive.map(|wait| wait.as_secs()))
    };
    assert_eq!(agreed(None, 90), (90, Some(30)));
    assert_eq!(agreed(None, 240), (180, Some(60)));
    assert_eq!(agreed(Some((90, 10)), 240), (90, Some(10)));
    assert_eq!(agreed(Some((90, 30)), 9), (9, Some(3)));
    assert_eq!(agreed(Some((3, 0)), 3), (3, Some(1)));
    assert_eq!(agreed(Some((0, 0)), 90), (0, None));
    assert_eq!(agreed(None, 0), (0, None));
    let mut rig = Rig::new(peer("a"));
    rig.connect();
    rig.send(&open(THEIRS, 0, &[IpFamily::V4]));
    rig.send(&keepalive());
    rig.written();
    rig.pass(secs(100_000));
    assert_eq!(rig.session.state(), State::Established);
}

// RFC 4271 section 4.4: jitter takes no KEEPALIVE below a second.
#[test]
fn keepalives_come_at_most_once_a_second() {
    let mut rig = Rig::new(Peer { timers: Some(PeerTimers { hold: secs(3), keepalive: secs(1) }), ..peer("a") });
    rig.connect();
    rig.send(&open(THEIRS, 3, &[IpFamily::V4]));
    rig.send(&keepalive());
    rig.written();
    let mut last = None;
    for _ in 0..100 {
        let (at, timer) = rig.session.poll_timeout().unwrap();
        rig.pass(at.since(rig.now));
        if timer == Timer::KeepAlive {
            let gap = last.replace(rig.now).map(|last| rig.now.since(last));
            assert!(gap.is_none_or(|gap| gap >= secs(1)), "{gap:?}");
        }
        rig.send(&keepalive());
    }
    assert!(last.is_some() && rig.session.state() == State::Established);
}

// [WIRE-24], RFC 5492 section 3
#[test]
fn a_peer_that_knows_no_capabilities_gets_none_the_next_time() {
    let mut rig = Rig::new(Peer { my_asn: Asn::new(4_200_000_001).unwrap(), ..peer("a") });
    rig.connect();
    rig.send(&Notification::new(2, 4).encode());
    assert_eq!((rig.session.state(), rig.notification()), (State::Idle, None));
    rig.outputs.clear();
    rig.pass(secs(1));
    rig.connect();
    let ours = Open::decode(&rig.sent()[0].1).unwrap();
    assert_eq!((ours.my_as, ours.capabilities.len()), (23_456, 0));
    let theirs = Open { capabilities: vec![], ..their_open(THEIRS, 90, &[]) };
    rig.input(Input::Replace(routes(1)));
    rig.send(&theirs.encode().unwrap());
    rig.send(&keepalive());
    rig.written();
    let update = &rig.sent()[2].1;
    // AS_TRANS in two octets, the true path beside.
    for part in [&[0x40, 2, 4, 2, 1, 0x5b, 0xa0][..], &[0xc0, 17, 6, 2, 1, 0xfa, 0x56, 0xea, 1]] {
        assert!(update.windows(part.len()).any(|found| found == part), "{update:02x?}");
    }
    // Later it may have learnt them.
    rig.outputs.clear();
    rig.input(Input::Lost("gone".into()));
    rig.pass(secs(1));
    rig.connect();
    assert_eq!(Open::decode(&rig.sent()[0].1).unwrap().capabilities.len(), 3);
}

// [WIRE-24], RFC 5492 section 3: an AS of four octets cannot be told without capabilities, so a refusal must not stay for ever.
#[test]
fn after_a_plain_attempt_that_fails_everything_is_offered_again() {
    let mut rig = Rig::new(Peer { my_asn: Asn::new(4_200_000_001).unwrap(), ..peer("a") });
    let mut offered = Vec::new();
    for answer in [(2, 4), (2, 2), (2, 4), (2, 4), (6, 5)] {
        rig.outputs.clear();
        rig.connect();
        offered.push(Open::decode(&rig.sent()[0].1).unwrap().capabilities.len());
        rig.send(&Notification::new(answer.0, answer.1).encode());
        rig.outputs.clear();
        rig.pass(secs(2));
        // Dialling in vain is no attempt with an offer.
        rig.input(Input::Lost("refused".into()));
        rig.pass(secs(2));
    }
    assert_eq!(offered, [3, 0, 3, 0, 3]);
}

// [FRR-3], [WIRE-22]
#[test]
fn without_capabilities_no_family_is_carried_that_is_not_configured() {
    let mut rig = Rig::new(Peer { families: SessionFamilies::Only(IpFamily::V6), ..peer("a") });
    rig.input(Input::Replace(routes(1)));
    rig.connect();
    rig.send(&Notification::new(2, 4).encode());
    rig.pass(secs(1));
    rig.outputs.clear();
    rig.connect();
    rig.send(&Open { capabilities: vec![], ..their_open(THEIRS, 90, &[]) }.encode().unwrap());
    rig.send(&keepalive());
    rig.written();
    assert_eq!(rig.session.negotiated().unwrap().families, BTreeSet::new());
    assert!(!rig.kinds().contains(&MessageKind::Update), "{:?}", rig.kinds());
}

// [FRR-3], RFC 5492 section 3
#[test]
fn only_families_that_both_offer_are_carried() {
    let carried = |ours: SessionFamilies, theirs: &[IpFamily]| {
        let mut rig = Rig::new(Peer { families: ours, ..peer("a") });
        let local = LocalEnd::of("192.0.2.1".parse().unwrap());
        let local = LocalEnd { link_v6: Some("2001:db8::1".parse().unwrap()), ..local };
        rig.input(Input::Connected(local));
        rig.send(&open(THEIRS, 90, theirs));
        let encoding = rig.session.negotiated().unwrap().encoding;
        (encoding.v4.is_some(), encoding.v6.is_some())
    };
    let both = [IpFamily::V4, IpFamily::V6];
    assert_eq!(carried(SessionFamilies::Both, &both), (true, true));
    assert_eq!(carried(SessionFamilies::Both, &[IpFamily::V6]), (false, true));
    assert_eq!(carried(SessionFamilies::Both, &[]), (true, false));
    assert_eq!(carried(SessionFamilies::Only(IpFamily::V4), &both), (true, false));
    assert_eq!(carried(SessionFamilies::Only(IpFamily::V6), &[IpFamily::V4]), (false, false));
}

// [WIRE-50] to [WIRE-52]
#[test]
fn next_hops_are_addresses_of_the_session() {
    use crate::wire::update::compose::NextHop;
    let v6 = |text: &str| text.parse().unwrap();
    let hops = |local: LocalEnd| {
        let mut rig = Rig::new(Peer { families: SessionFamilies::Both, ..peer("a") });
        rig.input(Input::Connected(local));
        rig.send(&open(THEIRS, 90, &[IpFamily::V4, IpFamily::V6]));
        let encoding = rig.session.negotiated().unwrap().encoding;
        (encoding.v4.unwrap(), encoding.v6)
    };
    let (own, global, link_local) = (Ipv4Addr::new(192, 0, 2, 1), v6("2001:db8::1"), v6("fe80::1"));
    let on_v4 = LocalEnd::of(own.into());
    assert_eq!(hops(on_v4), (own, None));
    let end = LocalEnd { link_v6: Some(global), link_local: Some(link_local), nearness: Nearness::OnLink, ..on_v4 };
    assert_eq!(hops(end), (own, Some(NextHop::V6 { first: global, link_local: None })));
    let end = LocalEnd { link_local: Some(link_local), ..on_v4 };
    assert_eq!(hops(end), (own, Some(NextHop::V6 { first: link_local, link_local: Some(link_local) })));
    let on_v6 = LocalEnd { link_local: Some(link_local), link_v4: Some(own), ..LocalEnd::of(global.into()) };
    assert_eq!(hops(on_v6), (own, Some(NextHop::V6 { first: global, link_local: None })));
    let near = LocalEnd { nearness: Nearness::OnLink, ..on_v6 };
    assert_eq!(hops(near), (own, Some(NextHop::V6 { first: global, link_local: Some(link_local) })));
    let router_id = Ipv4Addr::new(64, 37, 239, 133);
    let alone = LocalEnd::of(global.into());
    assert_eq!(hops(alone), (router_id, Some(NextHop::V6 { first: global, link_local: None })));
}

#[test]
fn a_password_is_shown_to_nobody() {
    let rig = Rig::new(Peer { password: Some(Password::new(*b"s3cret")), ..peer("a") });
    assert!(!format!("{:?}", rig.session).contains("s3cret"));
}
