//! Golden octets of what we send: every attribute, every message, the published vectors, and the arithmetic of packing.

use ipnetwork::IpNetwork;
use lbcore::peer::SessionKind;

use super::*;
use crate::wire::attribute::DecodeContext;
use crate::wire::update::{Reaction, walk};
use crate::wire::{MessageKind, take_message};

fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |text, octet| text + &format!("{octet:02x}"))
}

/// What follows the marker.
fn after_marker(message: &str) -> &str {
    message.get(32..).unwrap()
}

fn v4(prefixes: &[&str]) -> Vec<PrefixV4> {
    prefixes.iter().map(|text| PrefixV4::from_network(text.parse::<IpNetwork>().unwrap()).unwrap()).collect()
}

fn v6(prefixes: &[&str]) -> Vec<PrefixV6> {
    prefixes.iter().map(|text| PrefixV6::from_network(text.parse::<IpNetwork>().unwrap()).unwrap()).collect()
}

const OURS: AsPath = AsPath::Own { asn: 64_512, times: 1, width: AsWidth::Four };
const HOP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

/// What [BGP-43] sends toward another AS.
const BARE: PathAttributes<'static> = PathAttributes {
    as_path: OURS,
    next_hop: Some(HOP),
    med: None,
    local_pref: None,
    communities: &[],
    large_communities: &[],
};

fn block(path: &PathAttributes<'_>) -> String {
    hex(&Composer::new().attributes(path).unwrap().0)
}

fn announce(path: &PathAttributes<'_>, next_hop: NextHop, prefixes: Prefixes<'_>) -> String {
    let mut composer = Composer::new();
    let block = composer.attributes(path).unwrap();
    let mut out = vec![7];
    composer.announce(&mut out, &block, next_hop, prefixes).unwrap();
    let framed = take_message(&out[1..]).unwrap().unwrap();
    assert_eq!((framed.kind, framed.rest), (MessageKind::Update, &[][..]));
    let kind = if path.local_pref.is_some() { SessionKind::Internal } else { SessionKind::External };
    let context = DecodeContext { kind, as_width: AsWidth::Four };
    assert_eq!(walk(framed.body, context).map(|received| received.reaction), Ok(Reaction::None));
    hex(&out[1..])
}

fn withdraw(prefixes: Prefixes<'_>) -> String {
    let mut out = Vec::new();
    Composer::new().withdraw(&mut out, prefixes).unwrap();
    hex(&out)
}

// [VEC-12]
#[test]
fn vector_12_external_with_four_octets() {
    let message = announce(&BARE, NextHop::V4(HOP), Prefixes::V4(&v4(&["192.168.10.1/32"])));
    let expected = "ffffffffffffffffffffffffffffffff003002000000144001010040020602010000fc004003040a00000120c0a80a01";
    assert_eq!(message, expected);
}

// [VEC-13]
#[test]
fn vector_13_external_with_two_octets() {
    let path = PathAttributes { as_path: AsPath::Own { asn: 64_512, times: 1, width: AsWidth::Two }, ..BARE };
    let mut out = Vec::new();
    let mut composer = Composer::new();
    let block = composer.attributes(&path).unwrap();
    composer.announce(&mut out, &block, NextHop::V4(HOP), Prefixes::V4(&v4(&["192.168.10.0/24"]))).unwrap();
    assert_eq!(hex(&out), "ffffffffffffffffffffffffffffffff002d0200000012400101004002040201fc004003040a00000118c0a80a");
}

// [VEC-14]
#[test]
fn vector_14_internal_with_preference_and_community() {
    let path = PathAttributes { as_path: AsPath::Empty, local_pref: Some(100), communities: &[0xffff_ff02], ..BARE };
    let message = announce(&path, NextHop::V4(HOP), Prefixes::V4(&v4(&["192.168.10.1/32"])));
    let expected = "ffffffffffffffffffffffffffffffff0038020000001c400101004002004003040a00000140050400000064c00804ffffff02\
                    20c0a80a01";
    assert_eq!(message, expected);
}

// [VEC-15]
#[test]
fn vector_15_withdrawal() {
    let message = withdraw(Prefixes::V4(&v4(&["192.168.10.1/32", "192.168.20.0/24"])));
    assert_eq!(message, "ffffffffffffffffffffffffffffffff002002000920c0a80a0118c0a8140000");
}

// [VEC-16]
#[test]
fn vector_16_keepalive() {
    let message = crate::wire::write_message(MessageKind::KeepAlive, &[]).unwrap();
    assert_eq!(hex(&message), "ffffffffffffffffffffffffffffffff001304");
}

// RFC 4271 section 4.3, RFC 1997, RFC 8092, [WIRE-40]: flags, order, lengths
#[test]
fn each_attribute_has_its_octets() {
    assert_eq!(block(&BARE), "400101004002060201 0000fc00 4003040a000001".replace(' ', ""));
    let full = PathAttributes {
        as_path: AsPath::Own { asn: 64_512, times: 3, width: AsWidth::Four },
        med: Some(0),
        local_pref: Some(200),
        communities: &[0xfc00_0001, 0xffff_ff01],
        large_communities: &[[1, 2, 3], [4_294_967_295, 0, 9]],
        ..BARE
    };
    let expected = "40010100 40020e0203 0000fc00 0000fc00 0000fc00 4003040a000001 80040400000000 400504000000c8 \
                    c00808 fc000001 ffffff01 c02018 00000001 00000002 00000003 ffffffff 00000000 00000009";
    assert_eq!(block(&full), expected.replace(' ', ""));
}

// RFC 4271 section 4.3: the extended length where a value has more than 255 octets
#[test]
fn a_long_value_gets_a_long_length() {
    for (count, head) in [(63_u32, "c008fc"), (64, "d0080100")] {
        let communities: Vec<u32> = (1..=count).collect();
        let block = block(&PathAttributes { communities: &communities, ..BARE });
        assert!(block.contains(&format!("4003040a000001{head}00000001")), "{block}");
    }
    let path = PathAttributes { as_path: AsPath::Own { asn: 64_512, times: 255, width: AsWidth::Four }, ..BARE };
    assert!(block(&path).contains("500203fe02ff"));
}

// RFC 6793 section 4.2.2
#[test]
fn a_peer_with_two_octets_gets_the_true_path_beside() {
    let long = AsPath::Own { asn: 4_200_000_001, times: 2, width: AsWidth::Two };
    let path = PathAttributes { as_path: long, ..BARE };
    assert_eq!(
        block(&path),
        "40010100 400206 0202 5ba0 5ba0 4003040a000001 c0110a 0202 fa56ea01 fa56ea01".replace(' ', "")
    );
}

// RFC 4760 section 3, RFC 2545 section 3, RFC 7606 section 5.1
#[test]
fn ipv6_prefixes_stand_first_with_one_or_two_next_hops() {
    let path = PathAttributes { next_hop: None, ..BARE };
    let first = "2001:db8::1".parse().unwrap();
    let prefixes = v6(&["2001:db8:1::1/128", "2001:db8:2::/48", "::/0"]);
    let message = announce(&path, NextHop::V6 { first, link_local: None }, Prefixes::V6(&prefixes));
    let nlri = "80 20010db8000100000000000000000001 30 20010db80002 00";
    let rest = "40010100 4002060201 0000fc00";
    let expected = format!("0056 02 0000 003f 900e002e 0002 01 10 20010db8000000000000000000000001 00 {nlri} {rest}");
    assert_eq!(after_marker(&message), expected.replace(' ', ""));
    let link_local = Some("fe80::1".parse().unwrap());
    let message = announce(&path, NextHop::V6 { first, link_local }, Prefixes::V6(&v6(&["2001:db8:2::/48"])));
    let hops = "20010db8000000000000000000000001 fe800000000000000000000000000001";
    let expected = format!("0054 02 0000 003d 900e002c 0002 01 20 {hops} 00 30 20010db80002 {rest}");
    assert_eq!(after_marker(&message), expected.replace(' ', ""));
}

// RFC 4760 section 4, RFC 4724 section 2
#[test]
fn ipv6_withdrawals_and_both_ends_of_rib() {
    let message = withdraw(Prefixes::V6(&v6(&["2001:db8:2::/48"])));
    assert_eq!(after_marker(&message), "0025 02 0000 000e 900f000a 0002 01 30 20010db80002".replace(' ', ""));
    assert_eq!(after_marker(&withdraw(Prefixes::V4(&[]))), "0017 02 0000 0000".replace(' ', ""));
    assert_eq!(after_marker(&withdraw(Prefixes::V6(&[]))), "001e 02 0000 0007 900f0003 0002 01".replace(' ', ""));
}

/// The most /32 or /128 that one message takes.
fn most(fixed: usize, octets: usize) -> usize {
    (LONGEST_MESSAGE - fixed) / octets
}

// [WIRE-42], PACK-1: the arithmetic of the fullest message
#[test]
fn messages_are_filled_to_the_last_octet() {
    let mut composer = Composer::new();
    let with_community = PathAttributes { communities: &[0xfc00_0001], ..BARE };
    let external = composer.attributes(&with_community).unwrap();
    assert_eq!(external.fixed_octets(NextHop::V4(HOP)), 50);
    let internal = PathAttributes { as_path: AsPath::Empty, local_pref: Some(100), ..with_community };
    assert_eq!(composer.attributes(&internal).unwrap().fixed_octets(NextHop::V4(HOP)), 51);
    let first = "2001:db8::1".parse().unwrap();
    let one = NextHop::V6 { first, link_local: None };
    let two = NextHop::V6 { first, link_local: Some("fe80::1".parse().unwrap()) };
    let for_v6 = composer.attributes(&PathAttributes { next_hop: None, ..with_community }).unwrap();
    assert_eq!((for_v6.fixed_octets(one), for_v6.fixed_octets(two)), (68, 84));
    let figures = [(50, 5, 809), (51, 5, 809), (68, 17, 236), (withdraw_fixed_octets(IpFamily::V4), 5, 814)];
    for (fixed, octets, count) in figures {
        assert_eq!(most(fixed, octets), count);
    }
    let prefixes: Vec<PrefixV4> = (0..900_u32)
        .map(|number| {
            let network = IpNetwork::from(IpAddr::from(number.to_be_bytes()));
            PrefixV4::from_network(network).unwrap()
        })
        .collect();
    assert_eq!(how_many_fit(50, prefixes.iter().copied()), 809);
    let mut out = Vec::new();
    composer.announce(&mut out, &external, NextHop::V4(HOP), Prefixes::V4(&prefixes[..809])).unwrap();
    assert_eq!(out.len(), 50 + 809 * 5);
    let before = out.clone();
    let refused = composer.announce(&mut out, &external, NextHop::V4(HOP), Prefixes::V4(&prefixes[..810]));
    assert_eq!((refused, out), (Err(TooLong), before));
    let mut out = Vec::new();
    assert_eq!(composer.withdraw(&mut out, Prefixes::V4(&prefixes[..814])), Ok(()));
    assert_eq!(composer.withdraw(&mut out, Prefixes::V4(&prefixes[..815])), Err(TooLong));
}

#[test]
fn attributes_that_fit_no_message_and_mixed_families_are_refused() {
    let communities: Vec<u32> = (0..1_100).collect();
    let mut composer = Composer::new();
    assert_eq!(composer.attributes(&PathAttributes { communities: &communities, ..BARE }).unwrap_err(), TooLong);
    let block = composer.attributes(&BARE).unwrap();
    let mut out = Vec::new();
    let mixed = composer.announce(&mut out, &block, NextHop::V4(HOP), Prefixes::V6(&v6(&["::/0"])));
    assert_eq!((mixed, out.len()), (Err(TooLong), 0));
}
