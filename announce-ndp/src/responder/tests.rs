//! Rules [L2-60] to [L2-66], what ownership gets to hear, and any octets of any length.

use std::net::IpAddr;

use lbcore::ownership::Destination;
use proptest::prelude::*;

use super::*;
use crate::multicast::solicited_node;
use crate::wire::{ALL_NODES, DEFAULT_MEMBER_PORT, MemberEncoder, group_mac};

const ETH0: LinkIndex = LinkIndex::new(2);
const ETH1: LinkIndex = LinkIndex::new(3);
const MAC0: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const MAC1: MacAddr = MacAddr::new([2, 0, 0, 0, 1, 1]);
const CLIENT: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0x50]);
const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const OTHER: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x11);
const CLIENT_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50);
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

fn at(ms: u64) -> Timestamp {
    Timestamp::from_micros(ms * 1_000)
}

fn responder() -> (Responder, Arc<Counters>) {
    let counters = Arc::new(Counters::new());
    let mut responder = Responder::new(DEFAULT_MEMBER_PORT, Arc::clone(&counters));
    responder.set_link(ETH0, MAC0);
    responder.set_link_local(ETH0, LINK_LOCAL);
    responder.set_link(ETH1, MAC1);
    responder.activate(VIP, Arc::from([ETH0]));
    (responder, counters)
}

fn question() -> Solicitation {
    Solicitation { source: CLIENT_ADDRESS, source_link_layer: Some(CLIENT), ..Solicitation::probe(CLIENT, VIP) }
}

fn verdict(responder: &mut Responder, link: LinkIndex, frame: &Solicitation) -> Verdict<'static> {
    let octets = frame.encode();
    match responder.handle_frame(at(0), link, octets.as_ref()).verdict {
        Verdict::Reply(reply) => Verdict::Reply(reply),
        Verdict::Dropped(reason) => Verdict::Dropped(reason),
        Verdict::Member { .. } => panic!("a solicitation was taken for a member frame"),
    }
}

fn sighting(responder: &mut Responder, ms: u64, link: LinkIndex, frame: &[u8]) -> Option<Sighting> {
    responder.handle_frame(at(ms), link, frame).sighting
}

// [L2-62], [L2-63], [L2-66]
#[test]
fn a_solicitation_for_an_active_address_is_answered_to_the_asker() {
    let (mut responder, _) = responder();
    let expected = Advertisement {
        destination_mac: CLIENT,
        source_mac: MAC0,
        source: VIP,
        destination: CLIENT_ADDRESS,
        is_router: false,
        is_solicited: true,
        is_override: true,
        target: VIP,
        target_link_layer: Some(MAC0),
    };
    assert_eq!(verdict(&mut responder, ETH0, &question()), Verdict::Reply(expected));
}

// [L2-64]: so that a host that configures the address is told.
#[test]
fn a_probe_for_duplicates_is_answered_to_all_nodes() {
    let (mut responder, _) = responder();
    let expected = Advertisement::unsolicited(MAC0, VIP);
    assert_eq!(verdict(&mut responder, ETH0, &Solicitation::probe(CLIENT, VIP)), Verdict::Reply(expected));
    assert_eq!((expected.destination, expected.destination_mac), (ALL_NODES, group_mac(ALL_NODES)));
}

// [L2-65]: neighbor unreachability detection asks the address itself; it may leave its own hardware address out.
#[test]
fn a_solicitation_to_the_address_itself_is_answered() {
    let (mut responder, _) = responder();
    for source_link_layer in [Some(CLIENT), None] {
        let ask = Solicitation { destination_mac: MAC0, destination: VIP, source_link_layer, ..question() };
        let answer = verdict(&mut responder, ETH0, &ask);
        assert!(matches!(answer, Verdict::Reply(reply) if reply.destination_mac == CLIENT && reply.is_solicited));
    }
}

// [L2-62]
#[test]
fn a_solicitation_to_a_group_without_a_hardware_address_is_not_answered() {
    let (mut responder, _) = responder();
    let ask = Solicitation { source_link_layer: None, ..question() };
    assert_eq!(verdict(&mut responder, ETH0, &ask), Verdict::Dropped(DropReason::NoLinkLayerAddress));
}

#[test]
fn an_advertisement_is_not_answered() {
    let (mut responder, _) = responder();
    let told = Advertisement::unsolicited(CLIENT, VIP).encode();
    let verdict = responder.handle_frame(at(0), ETH0, told.as_ref()).verdict;
    assert_eq!(verdict, Verdict::Dropped(DropReason::NotSolicitation));
}

#[test]
fn a_frame_to_another_hosts_hardware_address_is_not_answered() {
    let (mut responder, _) = responder();
    let ask = Solicitation { destination_mac: MAC1, ..question() };
    assert_eq!(verdict(&mut responder, ETH0, &ask), Verdict::Dropped(DropReason::OtherDestination));
}

// RFC 4861 section 7.1.1, which [L2-62] leaves out.
#[test]
fn a_routed_solicitation_is_not_answered() {
    let (mut responder, counters) = responder();
    let mut routed = question().encode().as_ref().to_vec();
    routed[21] = 64;
    responder.handle_frame(at(0), ETH0, &routed);
    assert_eq!(counters.counts().dropped, BTreeMap::from([(DropReason::Malformed(DecodeError::HopLimit), 1)]));
}

// [L2-62]
#[test]
fn an_address_that_is_not_active_is_not_answered_for() {
    let (mut responder, _) = responder();
    let ask = Solicitation { target: OTHER, ..question() };
    assert_eq!(verdict(&mut responder, ETH0, &ask), Verdict::Dropped(DropReason::NotAnnounced));
    responder.watch(OTHER);
    assert_eq!(verdict(&mut responder, ETH0, &ask), Verdict::Dropped(DropReason::NotAnnounced));
    // Another that shares the solicited-node group is not meant.
    let namesake = Ipv6Addr::from_bits(VIP.to_bits() | 1 << 64);
    assert_eq!(solicited_node(namesake), solicited_node(VIP));
    let ask = Solicitation { target: namesake, ..question() };
    assert_eq!(verdict(&mut responder, ETH0, &ask), Verdict::Dropped(DropReason::NotAnnounced));
}

// [L2-62], [L2-32]
#[test]
fn an_address_is_answered_for_on_its_links_alone_and_a_new_list_counts_at_once() {
    let (mut responder, _) = responder();
    assert_eq!(verdict(&mut responder, ETH1, &question()), Verdict::Dropped(DropReason::LinkNotSelected));
    responder.activate(VIP, Arc::from([ETH1]));
    assert_eq!(verdict(&mut responder, ETH0, &question()), Verdict::Dropped(DropReason::LinkNotSelected));
    let answer = verdict(&mut responder, ETH1, &question());
    assert!(matches!(answer, Verdict::Reply(reply) if reply.target_link_layer == Some(MAC1)));
}

// [L2-87]
#[test]
fn a_withdrawn_address_is_silent() {
    let (mut responder, _) = responder();
    responder.deactivate(VIP);
    assert_eq!(verdict(&mut responder, ETH0, &question()), Verdict::Dropped(DropReason::NotAnnounced));
    assert_eq!(responder.links_of(VIP), []);
}

// [L2-62]
#[test]
fn our_own_frames_thrown_back_are_dropped_and_tell_nothing() {
    let (mut responder, _) = responder();
    for own in [Advertisement::unsolicited(MAC0, VIP).encode(), Solicitation::probe(MAC0, VIP).encode()] {
        let outcome = responder.handle_frame(at(0), ETH0, own.as_ref());
        assert_eq!(outcome, Outcome { verdict: Verdict::Dropped(DropReason::OwnFrame), sighting: None });
    }
}

#[test]
fn a_frame_on_an_unknown_link_is_dropped() {
    let (mut responder, _) = responder();
    responder.remove_link(ETH0);
    assert_eq!(verdict(&mut responder, ETH0, &question()), Verdict::Dropped(DropReason::UnknownLink));
}

// [L2-27]
#[test]
fn a_changed_hardware_address_is_in_the_next_advertisement() {
    let (mut responder, _) = responder();
    let changed = MacAddr::new([2, 0, 0, 0, 0, 0x77]);
    responder.set_link(ETH0, changed);
    let answer = verdict(&mut responder, ETH0, &question());
    assert!(matches!(answer, Verdict::Reply(reply) if reply.target_link_layer == Some(changed)));
}

// [L2-45], [L2-85]
#[test]
fn requests_replies_and_unsolicited_frames_are_counted_for_each_address() {
    let (mut responder, counters) = responder();
    verdict(&mut responder, ETH0, &question());
    verdict(&mut responder, ETH0, &question());
    responder.reply_was_sent(VIP);
    responder.gratuitous_were_sent(VIP, 1);
    let counts = crate::counters::AddressCounts { requests: 2, replies: 1, gratuitous: 1 };
    assert_eq!(counters.counts().addresses[&IpAddr::V6(VIP)], counts);
    responder.forget(VIP);
    assert!(counters.counts().addresses.is_empty());
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

// [OWN-40], [OWN-41]: any advertisement for the address, and any question asked from it.
#[test]
fn a_stranger_that_has_our_address_is_always_seen() {
    let (mut responder, _) = responder();
    let expected = Some(Sighting { address: Some(IpAddr::V6(VIP)), mac: CLIENT, probed: None });
    let told = Advertisement::unsolicited(CLIENT, VIP).encode();
    let asked = Solicitation { source: VIP, target: OTHER, ..question() }.encode();
    for ms in 0..3 {
        assert_eq!(sighting(&mut responder, ms, ETH0, told.as_ref()), expected);
        assert_eq!(sighting(&mut responder, ms, ETH0, asked.as_ref()), expected);
    }
}

// [OWN-31]
#[test]
fn a_probe_for_a_watched_address_is_always_seen() {
    let (mut responder, _) = responder();
    responder.watch(OTHER);
    let probe = Solicitation::probe(CLIENT, OTHER).encode();
    let expected = Some(Sighting { address: None, mac: CLIENT, probed: Some(IpAddr::V6(OTHER)) });
    for ms in 0..3 {
        assert_eq!(sighting(&mut responder, ms, ETH0, probe.as_ref()), expected);
    }
}

// [OWN-33]
#[test]
fn hosts_heard_are_remembered_and_asked_for_their_own_addresses() {
    let (mut responder, _) = responder();
    assert_eq!(responder.probes_of_neighbors(ETH0).count(), 0);
    sighting(&mut responder, 0, ETH0, question().encode().as_ref());
    let probes: Vec<Solicitation> = responder.probes_of_neighbors(ETH0).collect();
    assert_eq!(probes, [Solicitation::probe_of_neighbor(MAC0, LINK_LOCAL, CLIENT, CLIENT_ADDRESS)]);
    assert_eq!(responder.probes_of_neighbors(ETH1).count(), 0);
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

    // Only solicitations are answered, only for addresses that are active on the link, and each frame is counted once.
    #[test]
    fn nothing_but_a_solicitation_for_an_active_address_is_answered(
        mut octets in Just(question().encode().as_ref().to_vec()),
        changes in prop::collection::vec((0..86_usize, any::<u8>()), 0..4),
    ) {
        for (offset, value) in changes {
            octets[offset] = value;
        }
        let (mut responder, counters) = responder();
        let verdict = responder.handle_frame(at(0), ETH0, &octets).verdict;
        let counts = counters.counts();
        let requests = counts.addresses[&IpAddr::V6(VIP)].requests;
        if let Verdict::Reply(reply) = verdict {
            prop_assert_eq!(reply.target, VIP);
            prop_assert_eq!(octets[54], 135);
            prop_assert_eq!(requests, 1);
        }
        let total = counts.dropped.values().sum::<u64>() + requests + counts.member_frames_received;
        prop_assert_eq!(total, 1);
    }
}
