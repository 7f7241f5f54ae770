//! OPENs octet by octet: what we send, what others send, and what is refused.

use proptest::prelude::*;

use super::*;
use crate::wire::capability::GracefulRestart;
use crate::wire::{HEADER_LENGTH, take_message};

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn native(asn: u32, hold_time: u16, router_id: [u8; 4]) -> Open {
    let capabilities =
        vec![Capability::unicast(IpFamily::V4), Capability::unicast(IpFamily::V6), Capability::FourOctetAs(asn)];
    Open { my_as: Open::as_field(asn), hold_time, router_id: router_id.into(), capabilities }
}

// [VEC-10], [VEC-11], [BGP-20]
#[test]
fn opens_are_those_of_the_published_vectors() {
    let first = "ffffffffffffffffffffffffffffffff00310104fc00005a0a00000114021201040001000101040002000141040000fc00";
    assert_eq!(native(64_512, 90, [10, 0, 0, 1]).encode(), Some(octets(first)));
    let second = "ffffffffffffffffffffffffffffffff003101045ba000b4c00002071402120104000100010104000200014104fa56ea00";
    assert_eq!(native(4_200_000_000, 180, [192, 0, 2, 7]).encode(), Some(octets(second)));
    for open in [first, second] {
        let open = octets(open);
        assert_eq!(Open::decode(&open[HEADER_LENGTH..]).unwrap().encode(), Some(open));
    }
}

fn body(parameters: &[u8]) -> Vec<u8> {
    let mut body = vec![4, 0xfd, 0xe9, 0, 90, 10, 0, 0, 2, u8::try_from(parameters.len()).unwrap()];
    body.extend_from_slice(parameters);
    body
}

// [VEC-18], RFC 5492 section 4
#[test]
fn what_other_speakers_send_is_accepted() {
    // Without capability 65: a 2-octet AS.
    let two = Open::decode(&body(&octets("0210 010400010001 0200 4006 0078 00010180"))).unwrap();
    assert_eq!((two.four_octet_as(), two.asn()), (None, 65_001));
    let restart = GracefulRestart { flags: 0, time: 120, families: vec![(1, 1, 0x80)] };
    assert!(two.capabilities.contains(&Capability::GracefulRestart(restart)));
    // Each capability in a parameter of its own, the old refresh beside the new one, repeats.
    let many =
        Open::decode(&body(&octets("0202 8000 0202 0200 0206 0104 00010001 0206 0104 00010001 0206 4104 0000fde9")));
    let many = many.unwrap();
    assert_eq!(many.capabilities.len(), 4, "{many:?}");
    assert_eq!(many.capabilities[0], Capability::Unknown { code: 128, value: [].into() });
    // FRR's and GoBGP's: extended next hop, ADD-PATH, enhanced refresh, FQDN with odd lengths, software version.
    let odd = octets("0223 0506 000100010002 4504 00010101 4600 4903 ff0102 4b04 03667272 4104 0000fde9 0200");
    assert_eq!(Open::decode(&body(&odd)).unwrap().asn(), 65_001);
    assert_eq!(Open::decode(&body(&[])).unwrap().families(), BTreeSet::from([IpFamily::V4]));
}

// RFC 4760 section 8
#[test]
fn families_are_those_offered() {
    let v6 = Open::decode(&body(&octets("0206 0104 00020001"))).unwrap();
    assert_eq!(v6.families(), BTreeSet::from([IpFamily::V6]));
    let evpn = Open::decode(&body(&octets("0206 0104 00190046"))).unwrap();
    assert_eq!(evpn.families(), BTreeSet::new());
}

// RFC 9072 section 2
#[test]
fn the_long_form_is_read_and_written_where_it_is_needed() {
    let mut long = octets("04 fde9 005a 0a000002 ff ff 0009 02 0006 4104 0000fde9");
    assert_eq!(Open::decode(&long).unwrap().four_octet_as(), Some(65_001));
    long[9] = 7;
    assert_eq!(Open::decode(&long).unwrap().four_octet_as(), Some(65_001));
    long.push(0);
    assert!(Open::decode(&long).is_err());
    for (value, is_long) in [(249, false), (250, false), (251, true), (255, true)] {
        let mut open = native(65_001, 90, [10, 0, 0, 2]);
        open.capabilities = vec![Capability::Unknown { code: 200, value: vec![7; value].into() }];
        let message = open.encode().unwrap();
        assert_eq!(message[HEADER_LENGTH + 10] == 255, is_long, "{value}");
        assert_eq!(Open::decode(&message[HEADER_LENGTH..]), Ok(open));
    }
}

// RFC 4271 section 6.2, RFC 6286, RFC 7607, RFC 5492 section 3, [BGP-23]
#[test]
fn what_cannot_be_agreed_is_refused_by_class() {
    let good = body(&octets("0206 4104 0000fde9"));
    let with = |place: usize, octet: u8| {
        let mut body = good.clone();
        body[place] = octet;
        Open::decode(&body)
    };
    assert!(Open::decode(&good).is_ok());
    assert_eq!(with(0, 3), Err(OpenError::UnsupportedVersion { version: 3 }));
    assert_eq!(with(4, 2), Err(OpenError::UnacceptableHoldTime { seconds: 2 }));
    assert_eq!(with(4, 0).map(|open| open.hold_time), Ok(0));
    assert_eq!(with(10, 1), Err(OpenError::UnsupportedParameter { kind: 1 }));
    assert_eq!(with(17, 0xea), Err(OpenError::BadPeerAs { asn: 0xfdea }));
    let nobody = octets("04 fde9 005a 00000000 00");
    assert_eq!(Open::decode(&nobody), Err(OpenError::BadIdentifier));
    let zero = octets("04 0000 005a 0a000002 00");
    assert_eq!(Open::decode(&zero), Err(OpenError::BadPeerAs { asn: 0 }));
    let zero = octets("04 5ba0 005a 0a000002 08 0206 4104 00000000");
    assert_eq!(Open::decode(&zero), Err(OpenError::BadPeerAs { asn: 0 }));
    for parameters in ["0204 0103 000100", "0205 4103 0000fd", "0203 0104 0001", "0209 4104 0000fde9", "02"] {
        let refused = Open::decode(&body(&octets(parameters)));
        assert!(matches!(refused, Err(OpenError::Malformed { .. })), "{parameters}: {refused:?}");
    }
    for length in 0..good.len() {
        assert!(Open::decode(&good[..length]).is_err(), "{length}");
    }
}

// RFC 6793 section 9
#[test]
fn a_number_that_does_not_fit_is_told_by_the_capability_alone() {
    let open = native(4_200_000_000, 90, [10, 0, 0, 1]);
    assert_eq!((open.my_as, open.asn()), (AS_TRANS, 4_200_000_000));
}

proptest! {
    #[test]
    fn any_octets_are_safe_and_what_is_read_is_written_the_same(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(open) = Open::decode(&octets) {
            let message = open.encode().unwrap();
            let framed = take_message(&message).unwrap().unwrap();
            prop_assert_eq!(Open::decode(framed.body), Ok(open));
        }
    }

    #[test]
    fn any_parameters_are_safe(parameters in proptest::collection::vec(any::<u8>(), 0..250)) {
        let _ = Open::decode(&body(&parameters));
    }
}

// A check by other code of what both can: zettabgp reads our OPEN. It never reads a peer's.
#[test]
fn zettabgp_reads_our_open_as_we_mean_it() {
    use zettabgp::message::open::BgpOpenMessage;
    use zettabgp::{BgpCapability, BgpMessage, BgpSessionParams, BgpTransportMode};

    let session = BgpSessionParams::new(0, 0, BgpTransportMode::IPv4, Ipv4Addr::UNSPECIFIED, Vec::new());
    let mut read = BgpOpenMessage::new();
    let mut open = native(64_512, 90, [10, 0, 0, 1]);
    open.capabilities.push(Capability::RouteRefresh);
    read.decode_from(&session, &open.encode().unwrap()[HEADER_LENGTH..]).unwrap();
    assert_eq!((read.as_num, read.hold_time, read.router_id), (64_512, 90, Ipv4Addr::new(10, 0, 0, 1)));
    let expected =
        [BgpCapability::SafiIPv4u, BgpCapability::SafiIPv6u, BgpCapability::CapASN32(64_512), BgpCapability::CapRR];
    assert_eq!(read.caps, expected);
}
