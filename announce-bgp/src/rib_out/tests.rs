//! The routes of a peer against a model receiver that replays every octet, and the figures of packing.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::wire::attribute::take;
use crate::wire::iana::attribute;
use crate::wire::update::split;
use crate::wire::{LONGEST_MESSAGE, MessageKind, nlri, take_message};

const EXTERNAL: Encoding = Encoding {
    kind: SessionKind::External,
    local_as: 64_512,
    as_width: AsWidth::Four,
    defaults: EngineDefaults::Native,
    v4: Some(Ipv4Addr::new(10, 0, 0, 1)),
    v6: Some(NextHop::V6 { first: std::net::Ipv6Addr::LOCALHOST, link_local: None }),
};

/// The families of a session that carries both.
fn both() -> BTreeSet<IpFamily> {
    [IpFamily::V4, IpFamily::V6].into()
}

/// What a peer has: attributes as octets for each prefix, and the families that were said to be complete.
#[derive(Debug, Default)]
struct Receiver {
    routes: BTreeMap<IpNetwork, Vec<u8>>,
    complete: Vec<IpFamily>,
    messages: usize,
    longest: usize,
}

impl Receiver {
    fn take(&mut self, mut octets: &[u8]) {
        while let Some(framed) = take_message(octets).unwrap() {
            assert_eq!(framed.kind, MessageKind::Update);
            self.messages += 1;
            self.longest = self.longest.max(octets.len() - framed.rest.len());
            octets = framed.rest;
            self.message(framed.body);
        }
        assert_eq!(octets, &[] as &[u8]);
    }

    fn message(&mut self, body: &[u8]) {
        let parts = split(body).unwrap();
        let mut withdrawn = nlri::read(IpFamily::V4, parts.withdrawn).unwrap();
        let mut reached = nlri::read(IpFamily::V4, parts.reachable).unwrap();
        let (mut list, mut rest) = (parts.attributes, Vec::new());
        while let Some((raw, after)) = take(list).unwrap() {
            match (raw.code, raw.value) {
                (attribute::MP_UNREACH_NLRI, [0, 2, 1]) if parts.attributes.len() == raw.whole.len() => {
                    self.complete.push(IpFamily::V6);
                }
                (attribute::MP_UNREACH_NLRI, [0, 2, 1, prefixes @ ..]) => {
                    withdrawn.extend(nlri::read(IpFamily::V6, prefixes).unwrap());
                }
                (attribute::MP_REACH_NLRI, [0, 2, 1, length, value @ ..]) => {
                    let prefixes = &value[usize::from(*length) + 1..];
                    reached.extend(nlri::read(IpFamily::V6, prefixes).unwrap());
                }
                _ => rest.extend_from_slice(raw.whole),
            }
            list = after;
        }
        if body.len() == 4 {
            self.complete.push(IpFamily::V4);
        }
        // RFC 4271 section 4.3, RFC 7606 section 5.1: never both ways at once, never one prefix twice in a message.
        assert!(withdrawn.is_empty() || reached.is_empty());
        for prefix in withdrawn {
            assert!(self.routes.remove(&prefix).is_some(), "{prefix} was withdrawn without being there");
        }
        for prefix in reached {
            self.routes.insert(prefix, rest.clone());
        }
    }

    fn drain(&mut self, rib: &mut RibOut) {
        while rib.is_pending() {
            let mut octets = Vec::new();
            let packed = rib.pack(Timestamp::ZERO, &mut octets);
            let before = self.messages;
            self.take(&octets);
            assert_eq!(self.messages - before, usize::try_from(packed.updates).unwrap());
            assert!(octets.len() < BATCH_OCTETS + LONGEST_MESSAGE);
            rib.confirm();
        }
    }
}

fn v4(number: u32) -> IpNetwork {
    IpNetwork::from(std::net::IpAddr::from(number.to_be_bytes()))
}

fn with(community: u32) -> Arc<RouteAttributes> {
    Arc::new(RouteAttributes { communities: vec![community], ..RouteAttributes::default() })
}

// [WIRE-42], PACK-1: the guide's arithmetic of 100,000 /32 in four sets
#[test]
fn a_hundred_thousand_prefixes_take_as_many_octets_as_they_must() {
    let sets: Vec<_> = (0..4).map(with).collect();
    let mut rib = RibOut::new();
    rib.replace((0..100_000_u32).map(|number| (v4(0x1400_0000 + number), Arc::clone(&sets[number as usize / 25_000]))));
    rib.start(Encoding { v6: None, ..EXTERNAL }, &[IpFamily::V4].into());
    let (mut octets, mut messages) = (0, 0);
    let mut receiver = Receiver::default();
    while rib.is_pending() {
        let mut out = Vec::new();
        messages += rib.pack(Timestamp::ZERO, &mut out).updates;
        octets += out.len();
        receiver.take(&out);
    }
    // And 23 octets of End-of-RIB.
    assert_eq!((messages, octets), (124 + 1, 506_200 + 23));
    assert_eq!((receiver.routes.len(), receiver.longest, rib.announced()), (100_000, 50 + 809 * 5, 100_000));
    assert_eq!(receiver.complete, [IpFamily::V4]);
    rib.clear();
    let before = receiver.messages;
    receiver.drain(&mut rib);
    assert_eq!((receiver.routes.len(), receiver.messages - before), (0, 123));
    assert_eq!((rib.announced(), rib.wanted()), (0, 0));
}

// [WIRE-44], [WIRE-45]
#[test]
fn a_change_sends_what_it_changes() {
    let mut rib = RibOut::new();
    let mut receiver = Receiver::default();
    rib.replace((0..10).map(|number| (v4(number), with(1))));
    rib.start(EXTERNAL, &both());
    receiver.drain(&mut rib);
    assert_eq!((receiver.messages, receiver.complete.len()), (3, 2));
    // The same again, and back and forth before anything is sent, is nothing.
    rib.set(v4(3), Some(&with(1)));
    rib.set(v4(4), None);
    rib.set(v4(4), Some(&with(1)));
    rib.set(v4(99), Some(&with(2)));
    rib.set(v4(99), None);
    assert!(!rib.is_pending());
    // Other attributes are one announcement, without a withdrawal.
    rib.set(v4(3), Some(&with(7)));
    receiver.drain(&mut rib);
    assert_eq!((receiver.messages, receiver.routes.len()), (4, 10));
    // A withdrawal goes out before an announcement.
    rib.set(v4(50), Some(&with(1)));
    rib.set(v4(5), None);
    let mut out = Vec::new();
    rib.pack(Timestamp::ZERO, &mut out);
    assert_eq!(out[19..21], [0, 5], "the first message withdraws one /32");
    receiver.take(&out);
    assert_eq!((receiver.messages, receiver.routes.len()), (6, 10));
}

// RFC 2918 section 4, REFR-1
#[test]
fn a_refresh_sends_all_once_however_often_it_is_asked_for() {
    let mut rib = RibOut::new();
    let mut receiver = Receiver::default();
    rib.replace((0..1_000).map(|number| (v4(number), with(1))));
    rib.start(EXTERNAL, &both());
    receiver.drain(&mut rib);
    let before = receiver.messages;
    for _ in 0..5 {
        rib.refresh(IpFamily::V4);
    }
    rib.refresh(IpFamily::V6);
    rib.set(v4(3), None);
    receiver.drain(&mut rib);
    // One withdrawal, two messages for 999 routes; no second End-of-RIB.
    assert_eq!((receiver.messages - before, receiver.routes.len(), receiver.complete.len()), (3, 999, 2));
}

// [WIRE-50], RFC 4271 section 5.1.3
#[test]
fn other_next_hops_send_the_routes_again_and_none_withdraws_them() {
    let mut rib = RibOut::new();
    let mut receiver = Receiver::default();
    let six: IpNetwork = "2001:db8:1::/48".parse().unwrap();
    rib.replace((0..10).map(|number| (v4(number), with(1))).chain([(six, with(1))]));
    let none = Encoding { v6: None, ..EXTERNAL };
    rib.start(none, &both());
    receiver.drain(&mut rib);
    // A family without a next hop is complete, too ([WIRE-35]).
    assert_eq!((receiver.messages, receiver.complete.len(), receiver.routes.len()), (3, 2, 10));
    assert_eq!(rib.state(six), Some(RouteState::Waiting));
    let moved = Encoding { v4: Some(Ipv4Addr::new(10, 0, 0, 9)), ..EXTERNAL };
    rib.readdress(moved);
    receiver.drain(&mut rib);
    assert_eq!((receiver.messages, receiver.complete.len(), receiver.routes.len()), (5, 2, 11));
    let next_hop = [0x40, 3, 4, 10, 0, 0, 9];
    assert!(receiver.routes[&v4(3)].windows(7).any(|part| part == next_hop), "{:02x?}", receiver.routes[&v4(3)]);
    rib.readdress(moved);
    assert!(!rib.is_pending());
    rib.readdress(Encoding { v6: None, ..moved });
    let mut octets = Vec::new();
    rib.pack(Timestamp::ZERO, &mut octets);
    receiver.take(&octets);
    assert_eq!((receiver.messages, receiver.routes.len(), rib.announced(), rib.wanted()), (6, 10, 10, 11));
    // What is told of the route is no more that the peer has it.
    assert_eq!((rib.confirm(), rib.state(six)), (Touched::All, Some(RouteState::Waiting)));
}

// [ADV-35], RFC 8654 section 4
#[test]
fn attributes_that_fit_no_message_hold_up_nothing_else() {
    let mut rib = RibOut::new();
    let mut receiver = Receiver::default();
    let huge = Arc::new(RouteAttributes { communities: (0..2_000).collect(), ..RouteAttributes::default() });
    rib.replace([(v4(1), with(1)), (v4(2), Arc::clone(&huge))].into_iter());
    rib.start(EXTERNAL, &both());
    receiver.drain(&mut rib);
    assert_eq!(receiver.routes.len(), 1);
    assert_eq!(rib.state(v4(2)), Some(RouteState::TooLong));
    // One that was announced before is withdrawn.
    rib.set(v4(1), Some(&huge));
    receiver.drain(&mut rib);
    assert_eq!((receiver.routes.len(), rib.state(v4(1))), (0, Some(RouteState::TooLong)));
    rib.set(v4(1), Some(&with(3)));
    receiver.drain(&mut rib);
    assert_eq!((receiver.routes.len(), rib.wanted()), (1, 2));
}

#[test]
fn a_route_counts_as_sent_once_it_is_handed_to_the_network() {
    let mut rib = RibOut::new();
    rib.set(v4(1), Some(&with(1)));
    assert_eq!(rib.state(v4(1)), Some(RouteState::Waiting));
    rib.start(EXTERNAL, &both());
    let now = Timestamp::from_micros(77);
    rib.pack(now, &mut Vec::new());
    assert_eq!(rib.state(v4(1)), Some(RouteState::Waiting));
    assert_eq!(rib.confirm(), Touched::Some(vec![v4(1)]));
    assert_eq!(rib.state(v4(1)), Some(RouteState::Sent { since: now }));
    assert_eq!(rib.state(v4(2)), None);
    assert!(rib.forget());
    assert_eq!((rib.state(v4(1)), rib.announced()), (Some(RouteState::Waiting), 0));
}

// [WIRE-40], [D162-1], [FRR-8]
#[test]
fn attributes_follow_the_kind_of_session_and_the_engine() {
    let asked = RouteAttributes { local_pref: Some(50), as_path_prepend: Some(2), ..RouteAttributes::default() };
    let path = |encoding: &Encoding, attributes| {
        let path = encoding.path(IpFamily::V4, attributes);
        (path.as_path, path.local_pref, path.med)
    };
    let own = |times| AsPath::Own { asn: 64_512, times, width: AsWidth::Four };
    let internal = Encoding { kind: SessionKind::Internal, ..EXTERNAL };
    let frr = |encoding| Encoding { defaults: EngineDefaults::Frr, ..encoding };
    let bare = RouteAttributes::default();
    assert_eq!(path(&EXTERNAL, &asked), (own(3), None, None));
    assert_eq!(path(&frr(EXTERNAL), &bare), (own(1), None, Some(0)));
    assert_eq!(path(&internal, &asked), (AsPath::Empty, Some(50), None));
    assert_eq!(path(&internal, &bare), (AsPath::Empty, Some(0), None));
    assert_eq!(path(&frr(internal), &bare), (AsPath::Empty, Some(100), Some(0)));
}

/// One thing that happens to the routes of a peer.
#[derive(Clone, Debug)]
enum Step {
    Set(u8, Option<u8>),
    Replace(Vec<(u8, u8)>),
    Refresh(bool),
    Reconnect,
    /// The next hops of each family are others, or none.
    Lead(Option<u8>, Option<u8>),
    /// A batch is packed, and handed over or lost with the session.
    Send,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u8..24, proptest::option::of(0_u8..5)).prop_map(|(prefix, set)| Step::Set(prefix, set)),
        1 => proptest::collection::vec((0_u8..24, 0_u8..5), 0..20).prop_map(Step::Replace),
        1 => any::<bool>().prop_map(Step::Refresh),
        1 => Just(Step::Reconnect),
        1 => (proptest::option::of(0_u8..2), proptest::option::of(0_u8..2)).prop_map(|(v4, v6)| Step::Lead(v4, v6)),
        4 => Just(Step::Send),
    ]
}

/// Even numbers are IPv4 prefixes, odd ones IPv6.
fn prefix(number: u8) -> IpNetwork {
    if number.is_multiple_of(2) {
        v4(u32::from(number) << 8)
    } else {
        format!("2001:db8:{number:x}::/48").parse().unwrap()
    }
}

/// Set 4 fits no message.
fn attributes(set: u8) -> Arc<RouteAttributes> {
    let communities = if set == 4 { (0..2_000).collect() } else { vec![u32::from(set)] };
    Arc::new(RouteAttributes { communities, ..RouteAttributes::default() })
}

proptest! {
    // PACK-2: whatever happened, replaying all octets of a session gives exactly the wanted table.
    #[test]
    fn a_receiver_has_exactly_what_is_wanted(steps in proptest::collection::vec(step(), 1..60)) {
        let mut rib = RibOut::new();
        rib.start(EXTERNAL, &both());
        let mut receiver = Receiver::default();
        let mut wanted: BTreeMap<IpNetwork, u8> = BTreeMap::new();
        let mut encoding = EXTERNAL;
        for step in steps {
            match step {
                Step::Set(number, Some(set)) => {
                    rib.set(prefix(number), Some(&attributes(set)));
                    wanted.insert(prefix(number), set);
                }
                Step::Set(number, None) => {
                    rib.set(prefix(number), None);
                    wanted.remove(&prefix(number));
                }
                Step::Replace(all) => {
                    wanted = all.iter().map(|(number, set)| (prefix(*number), *set)).collect();
                    rib.replace(wanted.iter().map(|(prefix, set)| (*prefix, attributes(*set))));
                }
                Step::Refresh(is_v4) => rib.refresh(if is_v4 { IpFamily::V4 } else { IpFamily::V6 }),
                Step::Reconnect => {
                    rib.forget();
                    receiver = Receiver::default();
                    rib.start(encoding, &both());
                }
                Step::Lead(v4, v6) => {
                    encoding.v4 = v4.map(|last| Ipv4Addr::new(10, 0, 0, last));
                    let first = |last: u8| std::net::Ipv6Addr::from(u128::from(last));
                    encoding.v6 = v6.map(|last| NextHop::V6 { first: first(last), link_local: None });
                    rib.readdress(encoding);
                }
                Step::Send => {
                    let mut octets = Vec::new();
                    rib.pack(Timestamp::ZERO, &mut octets);
                    receiver.take(&octets);
                    rib.confirm();
                }
            }
        }
        receiver.drain(&mut rib);
        let leads = |prefix: &IpNetwork| if prefix.is_ipv4() { encoding.v4.is_some() } else { encoding.v6.is_some() };
        let fitting = || wanted.iter().filter(|(prefix, set)| **set != 4 && leads(prefix));
        let expected: Vec<IpNetwork> = fitting().map(|(prefix, _)| *prefix).collect();
        prop_assert_eq!(receiver.routes.keys().copied().collect::<Vec<_>>(), expected);
        for (prefix, set) in fitting() {
            let community = [0xc0, 8, 4, 0, 0, 0, *set];
            prop_assert!(receiver.routes[prefix].windows(7).any(|part| part == community), "{prefix}");
            let is_sent = matches!(rib.state(*prefix), Some(RouteState::Sent { .. }));
            prop_assert!(is_sent, "{prefix} is not counted as sent");
        }
        prop_assert_eq!((rib.announced(), rib.wanted()), (receiver.routes.len(), wanted.len()));
        let mut complete = receiver.complete.clone();
        complete.sort_unstable();
        prop_assert_eq!(complete, [IpFamily::V4, IpFamily::V6]);
    }
}
