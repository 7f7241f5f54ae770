//! Golden vectors VEC-33, round trips, every reason to refuse, and any octets of any length.

use std::net::Ipv6Addr;

use lbcore::link::MacAddr;
use lbcore::ownership::Destination;
use proptest::prelude::*;

use super::*;

const LEADER: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);
const CLIENT: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 0x50]);
const VIP: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);
const CLIENT_ADDRESS: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x50);

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

/// A client's question to the solicited-node group.
fn question() -> Solicitation {
    let probe = Solicitation::probe(CLIENT, VIP);
    Solicitation { source: CLIENT_ADDRESS, source_link_layer: Some(CLIENT), ..probe }
}

fn encoder() -> MemberEncoder {
    MemberEncoder { mac: LEADER, address: "fe80::7".parse().unwrap(), port: DEFAULT_MEMBER_PORT }
}

fn member(to: Destination, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    encoder().encode(to, payload, &mut frame).unwrap();
    frame
}

fn decode(frame: &[u8]) -> Result<Frame<'_>, DecodeError> {
    Frame::decode(frame, DEFAULT_MEMBER_PORT)
}

/// A frame with its ICMPv6 or UDP payload changed, lengths and checksum mended by code apart from that under test (RFC 8200 section 8.1).
fn with_payload(frame: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (headers, payload) = frame.split_at(54);
    let (mut frame, mut payload) = (headers.to_vec(), payload.to_vec());
    change(&mut payload);
    let place = if frame[20] == 58 { 2 } else { 6 };
    let length = u16::try_from(payload.len()).unwrap();
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    if payload.len() > place + 1 {
        payload[place..place + 2].fill(0);
        let mut summed = frame[22..54].to_vec();
        let [high, low] = length.to_be_bytes();
        summed.extend([0, 0, high, low, 0, 0, 0, frame[20]]);
        summed.extend(&payload);
        summed.resize(summed.len().next_multiple_of(2), 0);
        let mut sum: u32 = summed.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        payload[place..place + 2].copy_from_slice(&(!u16::try_from(sum).unwrap()).to_be_bytes());
    }
    frame.extend(payload);
    frame
}

// [VEC-33]: the body of the vector with its checksum, which was computed apart from this code.
#[test]
fn an_unsolicited_advertisement_is_the_published_vector_octet_by_octet() {
    let expected = octets(
        "333300000001 020000000001 86dd
         60000000 0020 3aff 20010db8000000000000000000000010 ff020000000000000000000000000001
         8800f90c 20000000 20010db8000000000000000000000010 02 01 020000000001",
    );
    assert_eq!(Advertisement::unsolicited(LEADER, VIP).encode().as_ref(), expected);
}

// [VEC-33] but for Override, which is set ([L2-66]).
#[test]
fn a_solicited_advertisement_differs_from_the_vector_in_its_override_flag_alone() {
    let expected = octets(
        "020000000050 020000000001 86dd
         60000000 0020 3aff 20010db8000000000000000000000010 fe800000000000000000000000000050
         8800b93f 60000000 20010db8000000000000000000000010 02 01 020000000001",
    );
    assert_eq!(Advertisement::answer_to(&question(), LEADER).encode().as_ref(), expected);
}

// RFC 4862 section 5.4.2: from the unspecified address to the solicited-node group, without a hardware address.
#[test]
fn a_probe_is_a_solicitation_for_duplicates() {
    let expected = octets(
        "3333ff000010 020000000001 86dd
         60000000 0018 3aff 00000000000000000000000000000000 ff0200000000000000000001ff000010
         87004ccf 00000000 20010db8000000000000000000000010",
    );
    assert_eq!(Solicitation::probe(LEADER, VIP).encode().as_ref(), expected);
}

// RFC 4861 section 7.2.4; [L2-64]
#[test]
fn a_probe_is_answered_to_all_nodes_and_not_as_solicited() {
    let answer = Advertisement::answer_to(&Solicitation::probe(CLIENT, VIP), LEADER);
    assert_eq!(answer, Advertisement::unsolicited(LEADER, VIP));
    assert_eq!((answer.destination, answer.is_solicited, answer.is_override), (ALL_NODES, false, true));
}

// [OWN-11]
#[test]
fn a_member_frame_is_the_golden_frame_octet_by_octet() {
    // The checksum was computed apart from this code, from RFC 8200 section 8.1.
    let expected = octets(
        "333300000114 020000000001 86dd
         6c000000 000b 11ff fe800000000000000000000000000007 ff020000000000000000000000000114
         1d30 1d30 000b b0ce 0a0b0c",
    );
    assert_eq!(member(Destination::Group, &[0x0a, 0x0b, 0x0c]), expected);
}

// [OWN-11]
#[test]
fn a_destination_chooses_the_ethernet_address_and_leaves_the_group_in_ipv6() {
    let peer = MacAddr::new([2, 0, 0, 0, 0, 9]);
    let cases = [
        (Destination::Group, MEMBER_GROUP_MAC),
        (Destination::Broadcast, MacAddr::BROADCAST),
        (Destination::Unicast(peer), peer),
    ];
    for (to, expected) in cases {
        let frame = member(to, b"x");
        assert_eq!(frame[..6], expected.octets());
        assert_eq!(frame[38..54], MEMBER_GROUP.octets());
    }
}

// RFC 4861 section 7.1.1; [OWN-11]
#[test]
fn what_was_routed_is_refused() {
    for frame in [question().encode().as_ref().to_vec(), member(Destination::Group, b"x")] {
        let mut routed = frame;
        routed[21] = 254;
        assert_eq!(decode(&routed), Err(DecodeError::HopLimit));
    }
}

// RFC 4861 section 4.6: a length of zero discards the message, and so does one past the end. A length of 32 units and more is what
// readers with eight-bit arithmetic stumble over.
#[test]
fn options_are_read_strictly() {
    let own = question().encode();
    let bad: [&[u8]; 6] = [
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[1, 2, 0, 0, 0, 0, 0, 0],
        &[1, 32, 0, 0, 0, 0, 0, 0],
        &[14, 255, 0, 0, 0, 0, 0, 0],
        &[1],
        &[1, 1, 2],
    ];
    for options in bad {
        let frame = with_payload(own.as_ref(), |payload| payload.splice(24.., options.iter().copied()).for_each(drop));
        assert_eq!(decode(&frame), Err(DecodeError::Option), "{options:?}");
        let behind = with_payload(own.as_ref(), |payload| payload.extend(options));
        assert_eq!(decode(&behind), Err(DecodeError::Option), "{options:?} behind a good one");
    }
}

#[test]
fn options_of_other_kinds_are_passed_over_and_the_first_of_ours_counts() {
    let own = question().encode();
    let frame = with_payload(own.as_ref(), |payload| {
        payload.splice(24..24, [14, 2, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]).for_each(drop);
        payload.extend([1, 1, 2, 0, 0, 0, 0, 0x99]);
    });
    assert_eq!(decode(&frame), Ok(Frame::Solicitation(question())));
}

#[test]
fn other_messages_and_codes_are_refused() {
    for (place, value) in [(0, 133), (0, 128), (1, 1)] {
        let frame = with_payload(question().encode().as_ref(), |payload| payload[place] = value);
        assert_eq!(decode(&frame), Err(DecodeError::IcmpType));
    }
}

#[test]
fn a_wrong_checksum_is_refused() {
    let mut frame = question().encode().as_ref().to_vec();
    frame[70] ^= 1;
    assert_eq!(decode(&frame), Err(DecodeError::IcmpChecksum));
    let mut payload = member(Destination::Group, b"payload");
    payload[64] ^= 1;
    assert_eq!(decode(&payload), Err(DecodeError::UdpChecksum));
    let mut absent = member(Destination::Group, b"payload");
    absent[60..62].fill(0);
    assert_eq!(decode(&absent), Err(DecodeError::UdpChecksum));
}

// RFC 4861 sections 7.1.1 and 7.1.2
#[test]
fn a_group_is_no_target_and_no_source() {
    let target = Solicitation { target: ALL_NODES, ..question() };
    assert_eq!(decode(target.encode().as_ref()), Err(DecodeError::GroupTarget));
    let source = Solicitation { source: ALL_NODES, ..question() };
    assert_eq!(decode(source.encode().as_ref()), Err(DecodeError::GroupSource));
}

// RFC 4861 section 7.1.1
#[test]
fn a_probe_of_another_form_is_refused() {
    let probe = Solicitation::probe(CLIENT, VIP);
    let with_mac = Solicitation { source_link_layer: Some(CLIENT), ..probe };
    let to_all = Solicitation { destination: ALL_NODES, ..probe };
    let to_one = Solicitation { destination: VIP, ..probe };
    for formless in [with_mac, to_all, to_one] {
        assert_eq!(decode(formless.encode().as_ref()), Err(DecodeError::ProbeForm));
    }
    assert_eq!(decode(probe.encode().as_ref()), Ok(Frame::Solicitation(probe)));
}

// RFC 4861 section 7.1.2
#[test]
fn an_advertisement_to_a_group_is_never_solicited() {
    let told = Advertisement { is_solicited: true, ..Advertisement::unsolicited(LEADER, VIP) };
    assert_eq!(decode(told.encode().as_ref()), Err(DecodeError::SolicitedGroup));
}

#[test]
fn a_message_shorter_than_its_fixed_part_is_refused() {
    for length in 0..24 {
        let frame = with_payload(question().encode().as_ref(), |payload| payload.truncate(length));
        assert_eq!(decode(&frame), Err(DecodeError::IcmpLength), "{length} octets");
    }
}

#[test]
fn a_frame_cut_anywhere_is_refused() {
    for whole in [question().encode().as_ref().to_vec(), member(Destination::Group, b"payload")] {
        for length in 0..whole.len() {
            let expected = if length < 54 { DecodeError::Truncated } else { DecodeError::Ipv6Header };
            assert_eq!(decode(&whole[..length]), Err(expected), "{length} octets");
        }
    }
}

#[test]
fn other_protocols_versions_groups_and_ports_are_refused() {
    let changed = |offset: usize, value: u8| {
        let mut frame = member(Destination::Group, b"x");
        frame[offset] = value;
        frame
    };
    assert_eq!(decode(&changed(13, 0)), Err(DecodeError::EtherType));
    assert_eq!(decode(&changed(14, 0x40)), Err(DecodeError::Ipv6Header));
    // Hop-by-hop options, TCP, fragment (RFC 6980).
    for next_header in [0, 6, 44] {
        assert_eq!(decode(&changed(20, next_header)), Err(DecodeError::NextHeader));
    }
    assert_eq!(decode(&changed(53, 0x15)), Err(DecodeError::NotMemberGroup));
    assert_eq!(decode(&changed(57, 0x31)), Err(DecodeError::OtherPort));
    for length in [7, 10] {
        assert_eq!(decode(&changed(59, length)), Err(DecodeError::UdpLength), "UDP length {length}");
    }
}

#[test]
fn a_payload_that_does_not_fit_is_refused_with_its_length() {
    let payload = vec![0; MAX_PAYLOAD + 1];
    let mut frame = vec![7];
    let refused = encoder().encode(Destination::Group, &payload, &mut frame);
    assert_eq!(refused, Err(EncodeError { length: MAX_PAYLOAD + 1 }));
    assert_eq!(frame, [7]);
}

fn any_mac() -> impl Strategy<Value = MacAddr> {
    any::<[u8; 6]>().prop_map(MacAddr::new)
}

/// No group.
fn any_unicast() -> impl Strategy<Value = Ipv6Addr> {
    any::<u128>().prop_map(Ipv6Addr::from_bits).prop_filter("a host's address", |address| !address.is_multicast())
}

prop_compose! {
    fn any_solicitation()(
        macs in [any_mac(), any_mac()],
        source in any_unicast(),
        destination: u128,
        target in any_unicast(),
        source_link_layer in prop::option::of(any_mac()),
    ) -> Solicitation {
        let [destination_mac, source_mac] = macs;
        let destination = Ipv6Addr::from_bits(destination);
        Solicitation { destination_mac, source_mac, source, destination, target, source_link_layer }
    }
}

prop_compose! {
    fn any_advertisement()(
        macs in [any_mac(), any_mac()],
        source in any_unicast(),
        destination in any_unicast(),
        target in any_unicast(),
        flags: [bool; 3],
        target_link_layer in prop::option::of(any_mac()),
    ) -> Advertisement {
        let ([destination_mac, source_mac], [is_router, is_solicited, is_override]) = (macs, flags);
        Advertisement {
            destination_mac, source_mac, source, destination, is_router, is_solicited, is_override, target, target_link_layer,
        }
    }
}

proptest! {
    #[test]
    fn solicitations_survive_the_wire_with_any_padding(
        frame in any_solicitation(),
        padding in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut octets = frame.encode().as_ref().to_vec();
        octets.extend(padding);
        prop_assert_eq!(decode(&octets), Ok(Frame::Solicitation(frame)));
    }

    #[test]
    fn advertisements_survive_the_wire_with_any_padding(
        frame in any_advertisement(),
        padding in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let mut octets = frame.encode().as_ref().to_vec();
        octets.extend(padding);
        prop_assert_eq!(decode(&octets), Ok(Frame::Advertisement(frame)));
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

    /// Random octets rarely pass the first checks; valid frames with a few octets changed and the checksum mended go deeper.
    #[test]
    fn a_message_with_any_octets_changed_is_refused_or_read(
        changes in prop::collection::vec((0..60_usize, any::<u8>()), 0..6),
        options in prop::collection::vec(any::<u8>(), 0..80),
        length in 0..140_usize,
    ) {
        let frame = with_payload(question().encode().as_ref(), |payload| {
            payload.extend(options);
            for (offset, value) in changes {
                if let Some(octet) = payload.get_mut(offset) {
                    *octet = value;
                }
            }
        });
        let _ = decode(&frame);
        let _ = decode(frame.get(..length).unwrap_or(&frame));
    }
}
