//! How sessions end, and how the next attempt comes.

use super::*;

// RFC 4271 section 6.5, [BGP-31]
#[test]
fn a_silent_peer_is_given_up_with_its_notification() {
    let mut rig = Rig::established(peer("a"));
    rig.pass(secs(89));
    assert_eq!(rig.session.state(), State::Established);
    assert!(rig.kinds().len() >= 3, "KEEPALIVEs at a third of the hold time: {:?}", rig.kinds());
    assert!(rig.kinds().iter().all(|kind| *kind == MessageKind::KeepAlive));
    rig.pass(Duration::from_millis(1_001));
    assert_eq!(rig.notification(), Some((4, 0, vec![])));
    assert!(matches!(rig.ending(), Some(Ending::Sent { .. })));
    assert_eq!(rig.count(&Output::Disconnect), 1);
}

// RFC 4271 section 8.2.2
#[test]
fn what_the_peer_says_keeps_the_session() {
    let mut rig = Rig::established(peer("a"));
    for _ in 0..10 {
        rig.pass(secs(80));
        rig.send(&keepalive());
        rig.pass(secs(80));
        rig.send(&crate::wire::write_message(MessageKind::Update, &[0, 0, 0, 0]).unwrap());
    }
    assert_eq!(rig.session.state(), State::Established);
}

// [BGP-1]
#[test]
fn nobody_is_waited_for_longer_than_an_attempt() {
    let mut rig = Rig::new(peer("a"));
    rig.pass(Duration::from_millis(10_500));
    assert_eq!((rig.count(&Output::Dial), rig.ending()), (2, Some(&Ending::NoAnswer(secs(10)))));
    rig.connect();
    rig.pass(Duration::from_millis(9_900));
    assert_eq!(rig.session.state(), State::OpenSent);
    rig.pass(Duration::from_millis(200));
    assert_eq!((rig.notification(), rig.session.state()), (Some((4, 0, vec![])), State::Connect));
}

// RFC 6608
#[test]
fn a_message_out_of_place_names_the_state() {
    let update = crate::wire::write_message(MessageKind::Update, &[0, 0, 0, 0]).unwrap();
    let mut rig = Rig::new(peer("a"));
    rig.connect();
    rig.send(&update);
    assert_eq!(rig.notification(), Some((5, 1, vec![])));
    let mut rig = Rig::new(peer("a"));
    rig.connect();
    rig.send(&open(THEIRS, 90, &[IpFamily::V4]));
    rig.send(&update);
    assert_eq!(rig.notification(), Some((5, 2, vec![])));
    let mut rig = Rig::established(peer("a"));
    rig.send(&open(THEIRS, 90, &[IpFamily::V4]));
    assert_eq!(rig.notification(), Some((5, 3, vec![])));
}

// RFC 4271 section 6, RFC 7606
#[test]
fn messages_that_cannot_be_read_end_the_session_with_the_reason() {
    let mut rig = Rig::established(peer("a"));
    rig.send(&[0; 19]);
    assert_eq!(rig.notification(), Some((1, 1, vec![])));
    let mut rig = Rig::established(peer("a"));
    rig.send(&crate::wire::write_message(MessageKind::Update, &[0, 2, 33, 0, 0, 0]).unwrap());
    assert_eq!(rig.notification(), Some((3, 10, vec![])));
    // What RFC 7606 lets pass does not.
    let mut rig = Rig::established(peer("a"));
    let body = [&[0, 0, 0, 4, 0x40, 1, 1, 9][..], &[24, 192, 0, 2]].concat();
    rig.send(&crate::wire::write_message(MessageKind::Update, &body).unwrap());
    assert_eq!(rig.session.state(), State::Established);
    assert_eq!((rig.session.counts().treated_as_withdraw, rig.session.counts().prefixes_dropped), (1, 0));
}

// RFC 4271 section 6.4
#[test]
fn a_notification_is_never_answered() {
    for established in [false, true] {
        let mut rig = Rig::new(peer("a"));
        if established {
            rig.establish();
        } else {
            rig.connect();
            rig.outputs.clear();
        }
        rig.send(&Notification::new(6, 5).encode());
        assert_eq!(rig.kinds(), []);
        let expected = Ending::Received(Notification::new(6, 5));
        assert_eq!((rig.ending(), rig.count(&Output::Disconnect)), (Some(&expected), 1));
    }
}

// [WIRE-3], [BGP-5]
#[test]
fn the_next_attempt_comes_at_once_only_after_a_stable_session() {
    let mut rig = Rig::established(peer("a"));
    let lose = |rig: &mut Rig| {
        rig.outputs.clear();
        rig.input(Input::Lost("gone".into()));
        let (at, timer) = rig.session.poll_timeout().unwrap();
        assert_eq!(timer, Timer::IdleHold);
        at.since(rig.now)
    };
    // The attempt that led here was the first one; the loss is followed by one at once, the next ones wait.
    assert_eq!(lose(&mut rig), Duration::ZERO);
    for full in [250, 500, 1_000, 1_000] {
        rig.pass(secs(2));
        rig.establish();
        let wait = lose(&mut rig);
        let full = Duration::from_millis(full);
        assert!(wait >= full * 3 / 4 && wait <= full, "{wait:?} of {full:?}");
    }
    rig.pass(secs(2));
    rig.establish();
    rig.pass(secs(10));
    assert_eq!(lose(&mut rig), Duration::ZERO);
}

// [PEER-20], BGP-19, BGP-21
#[test]
fn the_connect_time_sets_the_wait() {
    let mut rig = Rig::new(Peer { connect_time: Some(secs(5)), ..peer("a") });
    for _ in 0..2 {
        rig.input(Input::Lost("refused".into()));
        assert_eq!(rig.session.poll_timeout().map(|(at, _)| at.since(rig.now)), Some(secs(5)));
        rig.pass(secs(5));
        assert_eq!(rig.session.state(), State::Connect);
    }
    rig.input(Input::ConnectTime(Some(secs(7))));
    rig.input(Input::Lost("refused".into()));
    assert_eq!(rig.session.poll_timeout().map(|(at, _)| at.since(rig.now)), Some(secs(7)));
}

// [PEER-20], RFC 4271 section 8.2.2 (ConnectRetryTime): a peer that is silent is dialled no more often, and no less, than one that refuses.
#[test]
fn the_connect_time_sets_the_wait_for_an_answer() {
    for time in [3, 120] {
        let mut rig = Rig::new(Peer { connect_time: Some(secs(time)), ..peer("a") });
        rig.pass(secs(10 * time));
        assert_eq!(rig.count(&Output::Dial), 11, "every {time} s");
        assert_eq!(rig.ending().unwrap().to_string(), format!("nobody answered within {time} s"));
    }
}

// [PEER-20]: who shortens a wait does not wait for the end of the long one.
#[test]
fn another_connect_time_holds_for_the_wait_under_way() {
    let deadline = |rig: &Rig| rig.session.poll_timeout().map(|(at, _)| at.since(rig.now));
    let long = Peer { connect_time: Some(secs(65_535)), ..peer("a") };
    let waits: [fn(&mut Rig); 3] = [
        |rig| rig.input(Input::Lost("refused".into())),
        |_| {},
        |rig| {
            rig.connect();
            rig.input(Input::Lost("gone".into()));
            assert_eq!(rig.session.state(), State::Active);
        },
    ];
    for wait in waits {
        let mut rig = Rig::new(long.clone());
        wait(&mut rig);
        assert_eq!(deadline(&rig), Some(secs(65_535)));
        rig.input(Input::ConnectTime(Some(secs(65_000))));
        rig.pass(secs(1_000));
        // The same again, as with every change of another peer, does not begin the wait anew.
        rig.input(Input::ConnectTime(Some(secs(65_000))));
        assert_eq!(deadline(&rig), Some(secs(64_000)));
        rig.input(Input::ConnectTime(Some(secs(5))));
        assert_eq!(deadline(&rig), Some(secs(5)));
        rig.input(Input::ConnectTime(None));
        assert!(deadline(&rig) <= Some(secs(5)));
        // Nothing is waited for that was not before.
        rig.pass(secs(2));
        rig.establish();
        let before = rig.session.poll_timeout();
        rig.input(Input::ConnectTime(Some(secs(1))));
        assert_eq!(rig.session.poll_timeout(), before);
    }
}

// [WIRE-2], RFC 4486, RFC 9003
#[test]
fn a_stop_withdraws_and_then_says_why() {
    let cases = [
        (StopReason::Shutdown, (6, 2, b"\x0dspeaker stops".to_vec())),
        (StopReason::DeConfigured, (6, 3, vec![])),
        (StopReason::Changed, (6, 6, vec![])),
    ];
    for (reason, notification) in cases {
        let mut rig = Rig::established(peer("a"));
        rig.input(Input::Replace(routes(2_000)));
        rig.written();
        rig.outputs.clear();
        rig.input(Input::Stop(reason));
        assert_eq!(rig.session.state(), State::Established, "not before the withdrawals are handed over");
        // A set that comes meanwhile is not announced any more.
        rig.input(Input::Replace(routes(5)));
        rig.written();
        assert_eq!(rig.notification(), Some(notification));
        let kinds = rig.kinds();
        assert_eq!(kinds.iter().filter(|kind| **kind == MessageKind::Update).count(), 3);
        assert_eq!(kinds.last(), Some(&MessageKind::Notification));
        assert_eq!(rig.outputs.last(), Some(&Output::Event(Event::Stopped)));
        assert_eq!(rig.session.poll_timeout(), None);
    }
}

#[test]
fn a_stop_in_any_state_comes_to_an_end() {
    let steps: [fn(&mut Rig); 4] = [
        |rig| rig.input(Input::Lost("refused".into())),
        |_| {},
        Rig::connect,
        |rig| {
            rig.connect();
            rig.send(&open(THEIRS, 90, &[IpFamily::V4]));
        },
    ];
    for (number, step) in steps.into_iter().enumerate() {
        let mut rig = Rig::new(peer("a"));
        step(&mut rig);
        rig.outputs.clear();
        rig.input(Input::Stop(StopReason::Shutdown));
        assert_eq!(rig.count(&Output::Event(Event::Stopped)), 1, "{number}");
        assert_eq!((rig.session.state(), rig.session.poll_timeout()), (State::Idle, None));
        assert_eq!(rig.notification().is_some(), number >= 2, "{number}");
    }
    // The connection is lost while routes are being withdrawn.
    let mut rig = Rig::established(peer("a"));
    rig.input(Input::Replace(routes(1)));
    rig.written();
    rig.input(Input::Stop(StopReason::Shutdown));
    rig.input(Input::Lost("gone".into()));
    assert_eq!((rig.count(&Output::Event(Event::Stopped)), rig.session.poll_timeout()), (1, None));
}

// RFC 9687
#[test]
fn a_peer_that_takes_nothing_is_given_up() {
    let mut rig = Rig::established(peer("a"));
    rig.input(Input::Replace(routes(1)));
    // Nothing is handed over from here on, while the peer goes on talking.
    let mut at = rig.now;
    while rig.session.state() == State::Established && at < rig.now + secs(1_000) {
        at = at + secs(20);
        rig.session.handle_input(at, Input::Received(&keepalive()));
        rig.session.handle_timeout(at);
        rig.drain();
    }
    assert_eq!(rig.notification(), Some((8, 0, vec![])));
    assert!(at.since(rig.now) >= secs(480));
}

#[test]
fn time_that_runs_backwards_is_taken_as_standing_still() {
    let mut rig = Rig::established(peer("a"));
    let before = rig.session.poll_timeout();
    rig.session.handle_input(Timestamp::ZERO, Input::Received(&keepalive()));
    assert!(rig.session.poll_timeout() >= before);
}
