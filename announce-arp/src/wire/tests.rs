//! Golden vectors VEC-30 and VEC-31, round trips, and any octets of any length.

use std::net::Ipv4Addr;

use lbcore::link::MacAddr;
use lbcore::ownership::Destination;
use proptest::prelude::*;

use super::*;

const LEADER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const CLIENT: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0x50]);
const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 10, 1);

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

fn encoder() -> MemberEncoder {
    MemberEncoder { mac: LEADER, address: Ipv4Addr::new(192, 168, 10, 7), port: DEFAULT_MEMBER_PORT }
}

fn member(to: Destination, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encoder().encode(to, payload, &mut frame).unwrap();
    frame
}

fn decode(frame: &[u8]) -> Result<Frame<'_>, DecodeError> {
    Frame::decode(frame, DEFAULT_MEMBER_PORT)
}

/// Sets one octet of the IPv4 header and mends the header's checksum.
fn with_ipv4_octet(mut frame: Vec<u8>, offset: usize, value: u8) -> Vec<u8> {
    frame[14 + offset] = value;
    frame[24..26].fill(0);
    let mut sum: u32 = frame[14..34].chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    let checksum = !u16::try_from(sum).unwrap();
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    frame
}

// [VEC-30], [L2-43]
#[test]
fn a_reply_is_the_published_vector_octet_by_octet() {
    let mut request = ArpFrame::probe(CLIENT, VIP);
    request.sender_address = Ipv4Addr::new(192, 168, 10, 50);

    let reply = ArpFrame::reply_to(&request, LEADER);

    let expected =
        octets("020000000050 020000000001 0806 0001 0800 06 04 0002 020000000001 c0a80a01 020000000050 c0a80a32");
    assert_eq!(reply.encode().as_slice(), expected);
}

// [VEC-31], [L2-82]
#[test]
fn a_gratuitous_request_is_the_published_vector_octet_by_octet() {
    let expected =
        octets("ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 c0a80a01 ffffffffffff c0a80a01");
    assert_eq!(ArpFrame::gratuitous_request(LEADER, VIP).encode().as_slice(), expected);
}

// [VEC-31] but for the target hardware address, which is the sender's: what Linux counts as gratuitous.
#[test]
fn a_gratuitous_reply_differs_from_the_vector_in_its_target_hardware_address_alone() {
    let expected =
        octets("ffffffffffff 020000000001 0806 0001 0800 06 04 0002 020000000001 c0a80a01 020000000001 c0a80a01");
    assert_eq!(ArpFrame::gratuitous_reply(LEADER, VIP).encode().as_slice(), expected);
}

// RFC 5227 section 2.1.1: sender address zero, target hardware address zero, broadcast.
#[test]
fn a_probe_names_no_sender_address() {
    let expected =
        octets("ffffffffffff 020000000001 0806 0001 0800 06 04 0001 020000000001 00000000 000000000000 c0a80a01");
    assert_eq!(ArpFrame::probe(LEADER, VIP).encode().as_slice(), expected);
}

#[test]
fn arp_about_other_hardware_or_protocols_is_refused() {
    for (offset, value) in [(15, 6), (16, 0x86), (18, 8), (19, 16)] {
        let mut frame = ArpFrame::probe(LEADER, VIP).encode();
        frame[offset] = value;
        assert_eq!(decode(&frame), Err(DecodeError::ArpFormat), "octet {offset}");
    }
}

#[test]
fn an_unknown_arp_operation_is_refused() {
    let mut frame = ArpFrame::probe(LEADER, VIP).encode();
    frame[21] = 3;
    assert_eq!(decode(&frame), Err(DecodeError::ArpOperation));
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    let arp = ArpFrame::probe(LEADER, VIP).encode();
    let group = member(Destination::Group, b"payload");
    for length in 0..arp.len() {
        assert_eq!(decode(&arp[..length]), Err(DecodeError::Truncated), "ARP of {length} octets");
    }
    for length in 0..group.len() {
        assert!(decode(&group[..length]).is_err(), "member frame of {length} octets");
    }
}

#[test]
fn another_ether_type_is_refused() {
    let mut frame = ArpFrame::probe(LEADER, VIP).encode();
    frame[12..14].copy_from_slice(&[0x86, 0xdd]);
    assert_eq!(decode(&frame), Err(DecodeError::EtherType));
}

// [OWN-11]
#[test]
fn a_member_frame_is_the_golden_frame_octet_by_octet() {
    // Both checksums were computed apart from this code, from RFC 791 and RFC 768.
    let expected = octets(
        "01005e0000fe 020000000001 0800
         45c0 001f 0000 4000 ff11 cf5f c0a80a07 e00000fe
         1d30 1d30 000b 03bf 0a0b0c",
    );
    let frame = member(Destination::Group, &[0x0a, 0x0b, 0x0c]);
    assert_eq!(frame, expected);
}

// [OWN-11]
#[test]
fn a_destination_chooses_the_ethernet_address_and_leaves_the_group_in_ipv4() {
    let peer = MacAddr::new([2, 0, 0, 0, 0, 9]);
    let cases = [
        (Destination::Group, MEMBER_GROUP_MAC),
        (Destination::Broadcast, MacAddr::BROADCAST),
        (Destination::Unicast(peer), peer),
    ];
    for (to, expected) in cases {
        let frame = member(to, b"x");
        assert_eq!(frame[..6], expected.octets());
        assert_eq!(frame[30..34], MEMBER_GROUP.octets());
    }
}

// [OWN-11]: nothing routed counts as hearing.
#[test]
fn a_member_frame_that_was_routed_is_refused() {
    let frame = with_ipv4_octet(member(Destination::Group, b"x"), 8, 254);
    assert_eq!(decode(&frame), Err(DecodeError::HopLimit));
}

#[test]
fn a_fragment_is_refused() {
    let more = with_ipv4_octet(member(Destination::Group, b"x"), 6, 0x20);
    let later = with_ipv4_octet(member(Destination::Group, b"x"), 7, 1);
    assert_eq!(decode(&more), Err(DecodeError::Ipv4Fragment));
    assert_eq!(decode(&later), Err(DecodeError::Ipv4Fragment));
}

#[test]
fn wrong_checksums_are_refused() {
    let mut header = member(Destination::Group, b"payload");
    header[24] ^= 1;
    assert_eq!(decode(&header), Err(DecodeError::Ipv4Checksum));
    let mut payload = member(Destination::Group, b"payload");
    payload[44] ^= 1;
    assert_eq!(decode(&payload), Err(DecodeError::UdpChecksum));
    let mut absent = member(Destination::Group, b"payload");
    absent[40..42].fill(0);
    assert_eq!(decode(&absent), Err(DecodeError::UdpChecksum));
}

#[test]
fn other_protocols_groups_and_ports_are_refused() {
    let frame = member(Destination::Group, b"x");
    assert_eq!(decode(&with_ipv4_octet(frame.clone(), 9, 6)), Err(DecodeError::NotUdp));
    assert_eq!(decode(&with_ipv4_octet(frame.clone(), 19, 253)), Err(DecodeError::NotMemberGroup));
    let mut port = frame;
    port[37] ^= 1;
    assert_eq!(decode(&port), Err(DecodeError::OtherPort));
}

#[test]
fn lengths_that_contradict_each_other_are_refused() {
    let frame = member(Destination::Group, b"x");
    assert_eq!(decode(&with_ipv4_octet(frame.clone(), 0, 0x44)), Err(DecodeError::Ipv4Header));
    assert_eq!(decode(&with_ipv4_octet(frame.clone(), 0, 0x55)), Err(DecodeError::Ipv4Header));
    assert_eq!(decode(&with_ipv4_octet(frame.clone(), 3, 19)), Err(DecodeError::Ipv4Header));
    assert_eq!(decode(&with_ipv4_octet(frame.clone(), 2, 1)), Err(DecodeError::Ipv4Header));
    for length in [7, 10] {
        let mut udp = frame.clone();
        udp[39] = length;
        assert_eq!(decode(&udp), Err(DecodeError::UdpLength), "UDP length {length}");
    }
}

#[test]
fn ipv4_options_are_passed_over() {
    let plain = member(Destination::Group, b"payload");
    let mut frame = plain[..34].to_vec();
    frame.extend_from_slice(&[1, 1, 1, 0]);
    frame.extend_from_slice(&plain[34..]);
    frame[14] = 0x46;
    frame[17] += 4;
    frame[24..26].fill(0);
    let header = pnet_packet::ipv4::Ipv4Packet::new(&frame[14..38]).unwrap();
    let checksum = pnet_packet::ipv4::checksum(&header).to_be_bytes();
    frame[24..26].copy_from_slice(&checksum);
    assert_eq!(decode(&frame), Ok(Frame::Member(MemberFrame { source: LEADER, payload: b"payload" })));
}

#[test]
fn a_payload_that_does_not_fit_is_refused_with_its_length() {
    let payload = vec![0; MAX_PAYLOAD + 1];
    let mut frame = vec![7];
    assert_eq!(
        encoder().encode(Destination::Group, &payload, &mut frame),
        Err(EncodeError { length: MAX_PAYLOAD + 1 })
    );
    assert_eq!(frame, [7]);
}

// RFC 3927 section 2.1
#[test]
fn a_link_without_an_address_sends_from_a_link_local_one() {
    let source = |high, low| MemberEncoder::source_for(MacAddr::new([2, 0, 0, 0, high, low]), None);
    assert_eq!(source(7, 9), Ipv4Addr::new(169, 254, 7, 9));
    assert_eq!(source(0, 9), Ipv4Addr::new(169, 254, 1, 9));
    assert_eq!(source(255, 9), Ipv4Addr::new(169, 254, 254, 9));
    assert_eq!(MemberEncoder::source_for(LEADER, Some(VIP)), VIP);
}

fn any_mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr::new)
}

prop_compose! {
    fn any_arp()(
        macs in [any_mac(), any_mac(), any_mac(), any_mac()],
        sender: [u8; 4],
        target: [u8; 4],
        operation in prop_oneof![Just(Operation::Request), Just(Operation::Reply)],
    ) -> ArpFrame {
        let [destination, source, sender_mac, target_mac] = macs;
        ArpFrame {
            destination, source, operation, sender_mac, target_mac,
            sender_address: sender.into(), target_address: target.into(),
        }
    }
}

proptest! {
    #[test]
    fn arp_survives_the_wire_with_any_padding(frame in any_arp(), padding in prop::collection::vec(any::<u8>(), 0..40)) {
        let mut octets = frame.encode().to_vec();
        octets.extend(padding);
        prop_assert_eq!(decode(&octets), Ok(Frame::Arp(frame)));
    }

    #[test]
    fn a_payload_survives_the_wire_with_any_padding(
        payload in prop::collection::vec(any::<u8>(), 0..=MAX_PAYLOAD),
        padding in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut frame = member(Destination::Group, &payload);
        frame.extend(padding);
        prop_assert_eq!(decode(&frame), Ok(Frame::Member(MemberFrame { source: LEADER, payload: &payload })));
    }

    #[test]
    fn any_octets_are_refused_or_read(octets in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = decode(&octets);
    }

    /// Random octets rarely pass the first checks; valid frames with a few octets changed go deeper.
    #[test]
    fn a_frame_with_any_octets_changed_is_refused_or_read(
        kind in any::<bool>(),
        changes in prop::collection::vec((0..80_usize, any::<u8>()), 0..6),
        length in 0..80_usize,
    ) {
        let mut octets = if kind { ArpFrame::probe(LEADER, VIP).encode().to_vec() } else { member(Destination::Group, &[5; 30]) };
        for (offset, value) in changes {
            if let Some(octet) = octets.get_mut(offset) {
                *octet = value;
            }
        }
        octets.truncate(length);
        let _ = decode(&octets);
    }
}
