//! Rules [L2-41] to [L2-45], what ownership gets to hear, and any octets of any length.

use std::collections::BTreeMap;
use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::wire::{DEFAULT_MEMBER_PORT, MemberEncoder};
use lbcore::ownership::Destination;

const ETH0: LinkIndex = LinkIndex::new(2);
const ETH1: LinkIndex = LinkIndex::new(3);
const MAC0: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const MAC1: MacAddr = MacAddr::new([2, 0, 0, 0, 1, 1]);
const CLIENT: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0x50]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);
const CLIENT_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 50);

fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros(ms * 1_000)
}

fn responder() -> (Responder, Arc<Counters>) {
    let counters = Arc::new(Counters::new());
    let mut responder = Responder::new(DEFAULT_MEMBER_PORT, Arc::clone(&counters));
    responder.set_link(ETH0, MAC0);
    responder.set_link(ETH1, MAC1);
    responder.activate(VIP, Arc::from([ETH0]));
    (responder, counters)
}

fn request() -> ArpFrame {
    ArpFrame { sender_address: CLIENT_ADDRESS, ..ArpFrame::probe(CLIENT, VIP) }
}

fn verdict(responder: &mut Responder, link: LinkIndex, frame: &ArpFrame) -> Verdict<'static> {
    let octets = frame.encode();
    match responder.handle_frame(at(0), link, &octets).verdict {
        Verdict::Reply(reply) => Verdict::Reply(reply),
        Verdict::Dropped(reason) => Verdict::Dropped(reason),
        Verdict::Member { .. } => panic!("ARP was taken for a member frame"),
    }
}

fn sighting(responder: &mut Responder, ms: u64, link: LinkIndex, frame: &ArpFrame) -> Option<Sighting> {
    responder.handle_frame(at(ms), link, &frame.encode()).sighting
}

// [L2-41], [L2-43]
#[test]
fn a_request_for_an_active_address_is_answered_to_the_sender() {
    let (mut responder, _) = responder();
    let expected = ArpFrame {
        destination: CLIENT,
        source: MAC0,
        operation: Operation::Reply,
        sender_mac: MAC0,
        sender_address: VIP,
        target_mac: CLIENT,
        target_address: CLIENT_ADDRESS,
    };
    assert_eq!(verdict(&mut responder, ETH0, &request()), Verdict::Reply(expected));
}

// [L2-41] 1
#[test]
fn a_reply_is_not_answered() {
    let (mut responder, _) = responder();
    let reply = ArpFrame { operation: Operation::Reply, ..request() };
    assert_eq!(verdict(&mut responder, ETH0, &reply), Verdict::Dropped(DropReason::NotRequest));
}

// [L2-41] 2
#[test]
fn a_request_to_the_links_own_hardware_address_is_answered_and_to_others_not() {
    let (mut responder, _) = responder();
    let to = |destination| ArpFrame { destination, ..request() };
    assert!(matches!(verdict(&mut responder, ETH0, &to(MAC0)), Verdict::Reply(_)));
    for other in [MAC1, MacAddr::new([1, 0, 0x5e, 0, 0, 1])] {
        assert_eq!(verdict(&mut responder, ETH0, &to(other)), Verdict::Dropped(DropReason::OtherDestination));
    }
}

// [L2-41] 3
#[test]
fn an_address_that_is_not_active_is_not_answered_for() {
    let (mut responder, _) = responder();
    let other = Ipv4Addr::new(192, 168, 10, 2);
    let ask = ArpFrame { target_address: other, ..request() };
    assert_eq!(verdict(&mut responder, ETH0, &ask), Verdict::Dropped(DropReason::NotAnnounced));
    responder.watch(other);
    assert_eq!(verdict(&mut responder, ETH0, &ask), Verdict::Dropped(DropReason::NotAnnounced));
}

// [L2-41] 4, [L2-32]
#[test]
fn an_address_is_answered_for_on_its_links_alone_and_a_new_list_counts_at_once() {
    let (mut responder, _) = responder();
    assert_eq!(verdict(&mut responder, ETH1, &request()), Verdict::Dropped(DropReason::LinkNotSelected));
    responder.activate(VIP, Arc::from([ETH1]));
    assert_eq!(verdict(&mut responder, ETH0, &request()), Verdict::Dropped(DropReason::LinkNotSelected));
    // [L2-44]: the reply carries the hardware address of the link that the request came in on.
    let answer = verdict(&mut responder, ETH1, &request());
    assert!(matches!(answer, Verdict::Reply(reply) if reply.source == MAC1 && reply.sender_mac == MAC1));
}

// [L2-42]
#[test]
fn probes_and_requests_from_other_subnets_are_answered() {
    let (mut responder, _) = responder();
    for sender in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::new(10, 1, 2, 3)] {
        let ask = ArpFrame { sender_address: sender, ..request() };
        let answer = verdict(&mut responder, ETH0, &ask);
        assert!(matches!(answer, Verdict::Reply(reply) if reply.target_address == sender), "sender {sender}");
    }
}

// [L2-43]: the hardware address in the ARP body counts, not the one in the Ethernet header.
#[test]
fn a_reply_goes_to_the_hardware_address_in_the_arp_body() {
    let (mut responder, _) = responder();
    let relay = MacAddr::new([2, 0, 0, 0, 0, 0x99]);
    let ask = ArpFrame { source: relay, ..request() };
    let answer = verdict(&mut responder, ETH0, &ask);
    assert!(matches!(answer, Verdict::Reply(reply) if reply.destination == CLIENT && reply.target_mac == CLIENT));
}

// [L2-87]
#[test]
fn a_withdrawn_address_is_silent() {
    let (mut responder, _) = responder();
    responder.deactivate(VIP);
    assert_eq!(verdict(&mut responder, ETH0, &request()), Verdict::Dropped(DropReason::NotAnnounced));
    assert_eq!(responder.links_of(VIP), []);
}

#[test]
fn our_own_frames_thrown_back_are_dropped_and_tell_nothing() {
    let (mut responder, _) = responder();
    let own = ArpFrame::gratuitous_request(MAC0, VIP);
    let octets = own.encode();
    let outcome = responder.handle_frame(at(0), ETH0, &octets);
    assert_eq!(outcome, Outcome { verdict: Verdict::Dropped(DropReason::OwnFrame), sighting: None });
}

#[test]
fn a_frame_on_an_unknown_link_is_dropped() {
    let (mut responder, _) = responder();
    responder.remove_link(ETH0);
    assert_eq!(verdict(&mut responder, ETH0, &request()), Verdict::Dropped(DropReason::UnknownLink));
}

// [L2-27]
#[test]
fn a_changed_hardware_address_is_in_the_next_reply() {
    let (mut responder, _) = responder();
    let changed = MacAddr::new([2, 0, 0, 0, 0, 0x77]);
    responder.set_link(ETH0, changed);
    assert!(matches!(verdict(&mut responder, ETH0, &request()), Verdict::Reply(reply) if reply.sender_mac == changed));
}

// [L2-45], [L2-85]
#[test]
fn requests_replies_and_gratuitous_frames_are_counted_for_each_address() {
    let (mut responder, counters) = responder();
    verdict(&mut responder, ETH0, &request());
    verdict(&mut responder, ETH0, &request());
    responder.reply_was_sent(VIP);
    responder.gratuitous_were_sent(VIP, 2);
    assert_eq!(
        counters.counts().addresses[&IpAddr::V4(VIP)],
        crate::counters::AddressCounts { requests: 2, replies: 1, gratuitous: 2 }
    );
    responder.forget(VIP);
    assert!(counters.counts().addresses.is_empty());
}

#[test]
fn drops_are_counted_by_reason() {
    let (mut responder, counters) = responder();
    verdict(&mut responder, ETH1, &request());
    responder.handle_frame(at(0), ETH0, &[0; 3]);
    responder.handle_frame(at(0), ETH0, &[0; 3]);
    let expected =
        BTreeMap::from([(DropReason::LinkNotSelected, 1), (DropReason::Malformed(DecodeError::Truncated), 2)]);
    assert_eq!(counters.counts().dropped, expected);
}

#[test]
fn every_drop_reason_has_its_own_place_and_label() {
    for (place, reason) in DropReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.index(), place, "{reason:?}");
    }
    let mut labels = DropReason::ALL.map(DropReason::label);
    labels.sort_unstable();
    assert!(labels.windows(2).all(|pair| pair[0] != pair[1]));
}

// [OWN-41]
#[test]
fn a_stranger_that_answers_for_our_address_is_always_seen() {
    let (mut responder, _) = responder();
    let stranger = ArpFrame { operation: Operation::Reply, sender_address: VIP, ..request() };
    let expected = Some(Sighting { address: Some(IpAddr::V4(VIP)), mac: CLIENT, probed: None });
    for ms in 0..3 {
        assert_eq!(sighting(&mut responder, ms, ETH0, &stranger), expected);
    }
}

// [OWN-31]
#[test]
fn a_probe_for_a_watched_address_is_always_seen() {
    let (mut responder, _) = responder();
    let watched = Ipv4Addr::new(192, 168, 10, 2);
    responder.watch(watched);
    let probe = ArpFrame::probe(CLIENT, watched);
    let expected = Some(Sighting { address: None, mac: CLIENT, probed: Some(IpAddr::V4(watched)) });
    for ms in 0..3 {
        assert_eq!(sighting(&mut responder, ms, ETH0, &probe), expected);
    }
    responder.forget(watched);
    sighting(&mut responder, 3, ETH0, &probe);
    assert_eq!(sighting(&mut responder, 4, ETH0, &probe), None);
}

// [OWN-33]: that somebody is heard is said for each link, and not for each frame.
#[test]
fn other_frames_are_seen_once_in_fifty_milliseconds_and_link() {
    let (mut responder, _) = responder();
    let expected = Some(Sighting { address: Some(IpAddr::V4(CLIENT_ADDRESS)), mac: CLIENT, probed: None });
    assert_eq!(sighting(&mut responder, 1_000, ETH0, &request()), expected);
    assert_eq!(sighting(&mut responder, 1_049, ETH0, &request()), None);
    assert_eq!(sighting(&mut responder, 1_049, ETH1, &request()), expected);
    assert_eq!(sighting(&mut responder, 1_050, ETH0, &request()), expected);
}

#[test]
fn a_frame_of_another_link_of_this_host_is_no_sighting() {
    let (mut responder, _) = responder();
    assert_eq!(sighting(&mut responder, 0, ETH0, &ArpFrame::gratuitous_reply(MAC1, VIP)), None);
}

// [OWN-33]
#[test]
fn the_latest_hosts_heard_are_remembered_without_our_own_addresses() {
    let (mut responder, _) = responder();
    for host in 1..=6_u8 {
        let address = Ipv4Addr::new(192, 168, 10, 100 + host);
        let frame = ArpFrame { sender_address: address, ..request() };
        sighting(&mut responder, u64::from(host) * 100, ETH0, &frame);
    }
    responder.watch(Ipv4Addr::new(192, 168, 10, 105));
    let heard: Vec<u8> = responder.neighbors(ETH0).map(|neighbor| neighbor.address.octets()[3]).collect();
    assert_eq!(heard, [106, 104, 103]);
    assert_eq!(responder.neighbors(ETH1).count(), 0);
}

// [OWN-11]
#[test]
fn a_member_frame_is_handed_on_with_its_source() {
    let (mut responder, counters) = responder();
    let encoder = MemberEncoder { mac: CLIENT, address: CLIENT_ADDRESS, port: DEFAULT_MEMBER_PORT };
    let mut frame = Vec::new();
    encoder.encode(Destination::Group, b"heartbeat", &mut frame).unwrap();
    let outcome = responder.handle_frame(at(0), ETH0, &frame);
    assert_eq!(outcome.verdict, Verdict::Member { source: CLIENT, payload: b"heartbeat" });
    assert_eq!(counters.counts().member_frames_received, 1);
}

proptest! {
    #[test]
    fn any_octets_on_any_link_are_safe(octets in prop::collection::vec(any::<u8>(), 0..200), link in 0..5_u32) {
        let (mut responder, _) = responder();
        responder.handle_frame(at(0), LinkIndex::new(link), &octets);
    }

    // Only requests are answered, only for addresses that are active on the link, and each frame is counted once.
    #[test]
    fn nothing_but_a_request_for_an_active_address_is_answered(
        mut octets in Just(request().encode().to_vec()),
        changes in prop::collection::vec((0..42_usize, any::<u8>()), 0..4),
    ) {
        for (offset, value) in changes {
            octets[offset] = value;
        }
        let (mut responder, counters) = responder();
        let verdict = responder.handle_frame(at(0), ETH0, &octets).verdict;
        let counts = counters.counts();
        if let Verdict::Reply(reply) = verdict {
            prop_assert_eq!(reply.sender_address, VIP);
            prop_assert_eq!(octets[21], 1);
            prop_assert_eq!(counts.addresses[&IpAddr::V4(VIP)].requests, 1);
        }
        let total = counts.dropped.values().sum::<u64>() + counts.addresses[&IpAddr::V4(VIP)].requests + counts.member_frames_received;
        prop_assert_eq!(total, 1);
    }
}
