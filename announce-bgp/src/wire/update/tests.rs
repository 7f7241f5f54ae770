//! The walk over received UPDATEs: each rule of RFC 7606, and any octets at all.

use lbcore::peer::SessionKind;
use proptest::prelude::*;

use super::*;
use crate::wire::attribute::AsWidth;

const EXTERNAL: DecodeContext = DecodeContext { kind: SessionKind::External, as_width: AsWidth::Four };
const INTERNAL: DecodeContext = DecodeContext { kind: SessionKind::Internal, as_width: AsWidth::Four };

fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn body(withdrawn: &str, attributes: &str, reachable: &str) -> Vec<u8> {
    let (withdrawn, attributes) = (octets(withdrawn), octets(attributes));
    let mut body = u16::try_from(withdrawn.len()).unwrap().to_be_bytes().to_vec();
    body.extend(&withdrawn);
    body.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    body.extend(&attributes);
    body.extend(octets(reachable));
    body
}

const ORIGIN: &str = "40010100";
const AS_PATH: &str = "4002060201 0000fde9";
const NEXT_HOP: &str = "4003040a000002";
const NLRI: &str = "20 c0000201 18 c63364";

/// A good announcement of two prefixes with more attributes.
fn with(more: &str, context: DecodeContext) -> Result<Received, UpdateError> {
    walk(&body("", &format!("{ORIGIN}{AS_PATH}{NEXT_HOP}{more}"), NLRI), context)
}

fn reaction(attributes: &str, context: DecodeContext) -> Reaction {
    walk(&body("", attributes, NLRI), context).unwrap().reaction
}

#[test]
fn prefixes_are_counted_by_family() {
    let received = walk(&body("08 0a 18 c0a814", "", ""), EXTERNAL).unwrap();
    assert_eq!((received.withdrawn.v4, received.reachable.total(), received.end_of_rib), (2, 0, None));
    let received = with("", EXTERNAL).unwrap();
    assert_eq!((received.reachable.v4, received.reaction), (2, Reaction::None));
    let reach = "800e1a 0002 01 10 20010db8000000000000000000000002 00 20 20010db8";
    let unreach = "800f08 0002 01 20 20010db9";
    let received = walk(&body("", &format!("{reach}{unreach}{ORIGIN}{AS_PATH}"), ""), EXTERNAL).unwrap();
    assert_eq!((received.reachable.v6, received.withdrawn.v6, received.reaction), (1, 1, Reaction::None));
}

// RFC 4724 section 2
#[test]
fn the_end_of_a_table_is_recognised() {
    assert_eq!(walk(&body("", "", ""), EXTERNAL).unwrap().end_of_rib, Some(IpFamily::V4));
    assert_eq!(walk(&body("", "900f0003 0002 01", ""), EXTERNAL).unwrap().end_of_rib, Some(IpFamily::V6));
    assert_eq!(walk(&body("", "800f03 0001 01", ""), EXTERNAL).unwrap().end_of_rib, Some(IpFamily::V4));
    let others = [
        body("08 0a", "", ""),
        body("", "800f08 0002 01 20 20010db8", ""),
        body("", &format!("{ORIGIN} 800f03 0002 01"), ""),
        body("", "800f03 0019 46", ""),
        body("", ORIGIN, ""),
    ];
    for other in others {
        assert_eq!(walk(&other, EXTERNAL).unwrap().end_of_rib, None, "{other:02x?}");
    }
}

// RFC 4271 section 6.3
#[test]
fn lengths_that_run_past_the_message_reset() {
    for broken in ["", "00", "0001", "0000", "0000 0001", "0002 0800", "ffff 0000", "0000 ffff"] {
        let refused = walk(&octets(broken), EXTERNAL);
        assert!(
            matches!(refused, Err(UpdateError::MalformedAttributeList { .. } | UpdateError::InvalidNetwork)),
            "{broken}"
        );
    }
    assert_eq!(walk(&body("21 0102030405", "", ""), EXTERNAL), Err(UpdateError::InvalidNetwork));
    assert_eq!(walk(&body("", "", "18 c000"), EXTERNAL), Err(UpdateError::InvalidNetwork));
}

// RFC 7606 section 4
#[test]
fn an_attribute_that_runs_past_the_list_costs_routes_where_they_are_known() {
    for cut in ["4001", "400102 00", "5001 00", "80"] {
        let received = walk(&body("", cut, NLRI), EXTERNAL).unwrap();
        assert!(matches!(received.reaction, Reaction::TreatAsWithdraw(_)), "{cut}");
        assert_eq!((received.reachable.v4, received.withdrawn.v4), (0, 2), "{cut}");
        let unknown = walk(&body("", cut, ""), EXTERNAL);
        assert!(matches!(unknown, Err(UpdateError::MalformedAttributeList { .. })), "{cut}");
    }
    let reach = "800e1a 0002 01 10 20010db8000000000000000000000002 00 20 20010db8";
    let received = walk(&body("", &format!("{reach} 4001"), ""), EXTERNAL).unwrap();
    assert_eq!((received.reachable.v6, received.withdrawn.v6), (0, 1));
}

// RFC 7606 section 3
#[test]
fn of_two_equal_attributes_the_first_counts() {
    let good = format!("{ORIGIN}{AS_PATH}{NEXT_HOP}");
    assert_eq!(reaction(&format!("{good} 40010109"), EXTERNAL), Reaction::AttributeDiscard);
    let reach = "800e1a 0002 01 10 20010db8000000000000000000000002 00 20 20010db8";
    let twice = walk(&body("", &format!("{reach}{reach}"), ""), EXTERNAL);
    assert!(matches!(twice, Err(UpdateError::MalformedAttributeList { .. })));
    let twice = walk(&body("", "800f03 0002 01 800f03 0002 01", ""), EXTERNAL);
    assert!(matches!(twice, Err(UpdateError::MalformedAttributeList { .. })));
}

// RFC 7606 section 3 d
#[test]
fn a_missing_mandatory_attribute_costs_the_routes() {
    let parts = [ORIGIN, AS_PATH, NEXT_HOP];
    for missing in 0..3 {
        let attributes: String = (0..3).filter(|place| *place != missing).map(|place| parts[place]).collect();
        assert!(matches!(reaction(&attributes, EXTERNAL), Reaction::TreatAsWithdraw(_)), "{missing}");
    }
    let reach = "800e1a 0002 01 10 20010db8000000000000000000000002 00 20 20010db8";
    let received = walk(&body("", &format!("{reach}{ORIGIN}"), ""), EXTERNAL).unwrap();
    assert_eq!(received.reaction, Reaction::TreatAsWithdraw("missing well-known attribute"));
    // Section 5.2: without routes there is nothing to withdraw, and nothing to complain of.
    assert_eq!(walk(&body("08 0a", ORIGIN, ""), EXTERNAL).unwrap().reaction, Reaction::None);
}

/// Attribute, what a peer of another AS causes with it, and what one of ours: `.` nothing, `d` attribute discard, `w` withdrawal.
const TABLE: &[(&str, char, char)] = &[
    // MULTI_EXIT_DISC
    ("800404 00000000", '.', '.'),
    ("800403 000000", 'w', 'w'),
    ("400404 00000000", 'w', 'w'),
    // LOCAL_PREF
    ("400504 00000064", 'd', '.'),
    ("400503 000064", 'd', 'w'),
    // ATOMIC_AGGREGATE
    ("400600", '.', '.'),
    ("400601 00", 'd', 'd'),
    // AGGREGATOR
    ("c00708 0000fde9 0a000001", '.', '.'),
    ("c00706 fde9 0a000001", 'd', 'd'),
    ("c00708 00000000 0a000001", 'd', 'd'),
    // COMMUNITIES
    ("c00804 fde90001", '.', '.'),
    ("c00805 fde9000100", 'w', 'w'),
    ("c00800", 'w', 'w'),
    ("800804 fde90001", 'w', 'w'),
    // ORIGINATOR_ID, CLUSTER_LIST
    ("800904 0a000001", 'd', '.'),
    ("800903 0a0000", 'd', 'w'),
    ("800a04 0a000001", 'd', '.'),
    ("800a00", 'd', 'w'),
    // EXTENDED COMMUNITIES, IPv6 EXTENDED COMMUNITIES
    ("c01008 0002fde900000001", '.', '.'),
    ("c01004 0002fde9", 'w', 'w'),
    ("c01914 0002fde900000001000000000000000000000000", '.', '.'),
    ("c01908 0002fde900000001", 'w', 'w'),
    // AS4_PATH, AS4_AGGREGATOR from a peer with four octets
    ("c01106 0201 0000fde9", 'd', 'd'),
    ("c01208 0000fde9 0a000001", 'd', 'd'),
    // LARGE_COMMUNITY
    ("c0200c 000000010000000200000003", '.', '.'),
    ("c0200b 0000000100000002000000", 'w', 'w'),
    // Unknown: optional ones pass, well-known ones do not.
    ("c0c803 010203", '.', '.'),
    ("80c800", '.', '.'),
    ("40c800", 'w', 'w'),
];

// RFC 7606 section 7, RFC 6793 section 6
#[test]
fn each_attribute_is_judged_by_its_rule() {
    let shown = |reaction: Reaction| match reaction {
        Reaction::None => '.',
        Reaction::AttributeDiscard => 'd',
        Reaction::TreatAsWithdraw(_) => 'w',
    };
    for (attribute, external, internal) in TABLE {
        assert_eq!(shown(with(attribute, EXTERNAL).unwrap().reaction), *external, "{attribute} from another AS");
        assert_eq!(shown(with(attribute, INTERNAL).unwrap().reaction), *internal, "{attribute} from our AS");
    }
    // Section 3 b: of two reactions the stronger one.
    let both = with("400601 00 c00805 fde9000100", EXTERNAL).unwrap();
    assert_eq!(both.reaction, Reaction::TreatAsWithdraw("COMMUNITIES"));
}

// RFC 7606 sections 7.1 to 7.3, RFC 9774, RFC 7607
#[test]
fn origin_path_and_next_hop_are_checked() {
    let good = [
        ("40010102", AS_PATH, NEXT_HOP),
        (ORIGIN, "400200", NEXT_HOP),
        (ORIGIN, "5002000a 0202 0000fde9 00000001", NEXT_HOP),
    ];
    for (origin, path, hop) in good {
        assert_eq!(reaction(&format!("{origin}{path}{hop}"), EXTERNAL), Reaction::None, "{origin} {path} {hop}");
    }
    let bad = [
        ("40010103", AS_PATH, NEXT_HOP),
        ("400100", AS_PATH, NEXT_HOP),
        ("c0010100", AS_PATH, NEXT_HOP),
        // AS_SET, confederation, unknown segment, no AS in it, AS 0, too long, too short, one octet left over.
        (ORIGIN, "4002060101 0000fde9", NEXT_HOP),
        (ORIGIN, "4002060301 0000fde9", NEXT_HOP),
        (ORIGIN, "4002060901 0000fde9", NEXT_HOP),
        (ORIGIN, "4002020200", NEXT_HOP),
        (ORIGIN, "4002060201 00000000", NEXT_HOP),
        (ORIGIN, "4002060202 0000fde9", NEXT_HOP),
        (ORIGIN, "4002040201 fde9", NEXT_HOP),
        (ORIGIN, "4002070201 0000fde9 02", NEXT_HOP),
        (ORIGIN, AS_PATH, "40030100"),
        (ORIGIN, AS_PATH, "40031020010db8000000000000000000000002"),
    ];
    for (origin, path, hop) in bad {
        let reaction = reaction(&format!("{origin}{path}{hop}"), EXTERNAL);
        assert!(matches!(reaction, Reaction::TreatAsWithdraw(_)), "{origin} {path} {hop}");
    }
    let two = DecodeContext { as_width: AsWidth::Two, ..EXTERNAL };
    assert_eq!(reaction(&format!("{ORIGIN} 4002040201 fde9 {NEXT_HOP} c01106 0201 0000fde9"), two), Reaction::None);
    assert_eq!(
        reaction(&format!("{ORIGIN} 4002040201 fde9 {NEXT_HOP} c01104 0201 fde9"), two),
        Reaction::AttributeDiscard
    );
}

// RFC 7606 sections 5.3 and 7.11, RFC 4760
#[test]
fn multiprotocol_attributes_that_cannot_be_read_reset() {
    let reach = [
        "800e04 0002 01 10",
        "800e05 0002 01 00 00",
        "800e19 0002 01 14 20010db8000000000000000000000002 00000000 00",
        "800e09 0001 01 10 20010db8 00",
        "800e15 0002 01 10 20010db80000000000000000000000",
        "800e1a 0002 01 10 20010db8000000000000000000000002 00 30 20010db8",
        "800e16 0002 01 10 20010db8000000000000000000000002 00 81",
    ];
    let unreach = ["800f02 0002", "800f05 0002 01 81 20", "800f04 0001 01 21"];
    for attribute in reach.iter().chain(&unreach) {
        // A length octet of a hex that is written wrongly would prove nothing.
        let octets = octets(attribute);
        let refused = walk(&body("", attribute, ""), EXTERNAL);
        let is_reset =
            matches!(&refused, Err(UpdateError::OptionalAttribute { attribute, .. }) if *attribute == octets);
        let is_cut = matches!(&refused, Err(UpdateError::MalformedAttributeList { .. }));
        assert!(is_reset || is_cut, "{attribute}: {refused:?}");
    }
    // Families that we do not know are passed over whatever they hold.
    assert_eq!(walk(&body("", "800e05 0019 46 ff ff", ""), EXTERNAL).unwrap().reachable.total(), 0);
    // IPv4 with an IPv4 next hop is legal here too.
    let v4 = walk(&body("", &format!("800e0d 0001 01 04 0a000002 00 18 c00002 {ORIGIN}{AS_PATH}"), ""), EXTERNAL);
    assert_eq!(v4.unwrap().reachable.v4, 1);
}

// The message that makes other decoders run for ever: an AS_PATH segment that ends at once.
#[test]
fn the_walk_always_ends() {
    let killer = octets("0000 0006 400203 020000");
    assert!(walk(&killer, EXTERNAL).is_ok());
}

/// Attributes that are nearly right.
fn attribute_like() -> impl Strategy<Value = Vec<u8>> {
    let code = prop_oneof![0_u8..36, any::<u8>()];
    (any::<u8>(), code, proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(flags, code, value)| {
        let mut octets = vec![flags, code];
        let length = u16::try_from(value.len()).unwrap();
        if flags & 0x10 == 0 {
            octets.push(u8::try_from(length).unwrap());
        } else {
            octets.extend(length.to_be_bytes());
        }
        octets.extend(value);
        octets
    })
}

proptest! {
    #[test]
    fn any_octets_are_safe(octets in proptest::collection::vec(any::<u8>(), 0..4_077)) {
        for context in [EXTERNAL, INTERNAL, DecodeContext { as_width: AsWidth::Two, ..EXTERNAL }] {
            let _ = walk(&octets, context);
        }
    }

    #[test]
    fn lists_that_are_nearly_right_are_safe(list in proptest::collection::vec(attribute_like(), 0..12), nlri in proptest::collection::vec(any::<u8>(), 0..20)) {
        let list: Vec<u8> = list.concat();
        let mut body = vec![0, 0];
        body.extend(u16::try_from(list.len()).unwrap().to_be_bytes());
        body.extend(list);
        body.extend(nlri);
        for context in [EXTERNAL, INTERNAL] {
            if let Ok(received) = walk(&body, context) {
                prop_assert!(received.reachable.total() as usize <= body.len());
                prop_assert!(received.withdrawn.total() as usize <= body.len());
            }
        }
    }
}
