//! Round trips, and that no bytes are unsafe.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::ownership::claims::ClaimState;
use crate::ownership::key::MemberKey;

fn keys(materials: &[&[u8]]) -> MemberKeys {
    MemberKeys::new(materials.iter().map(|material| MemberKey::new(material).unwrap()).collect()).unwrap()
}

fn claims_frame() -> Frame {
    let claim = Claim {
        group: GroupKey("192.0.2.9".parse().unwrap()),
        state: ClaimState::Releasing,
        epoch: 77,
        score: 50,
        election_key: "192.0.2.9".parse().unwrap(),
        addresses: Arc::from(["192.0.2.9".parse().unwrap(), "2001:db8::9".parse().unwrap()]),
        links: Arc::from([Arc::from("eth7")]),
    };
    Frame {
        boot_id: BootId(0x0102_0304_0506_0708),
        name: "beryl".parse().unwrap(),
        sequence: 513,
        body: Body::Claims(Claims {
            relayed: Some((BootId(99), "onyx".parse().unwrap())),
            more: More::Yes,
            complete: Some((GroupKey("192.0.2.1".parse().unwrap()), GroupKey("2001:db8::ffff".parse().unwrap()))),
            claims: vec![claim],
            withdrawn: vec![GroupKey("192.0.2.200".parse().unwrap())],
        }),
    }
}

fn bodies() -> Vec<Body> {
    let service: ServiceKey = "shop/front".parse().unwrap();
    vec![
        claims_frame().body,
        Body::Request(Request { target: BootId(5), table: Table::Assignments }),
        Body::Heartbeat(Heartbeat {
            copy: Copy::Broadcast,
            heard: vec![Heard { boot_id: BootId(8), sequence: 3, age_ms: 40, by: HeardBy::BroadcastAlone }],
            claims: TableDigest { count: 4, sum: 9 },
            assignments: TableDigest { count: 2, sum: 1 },
            keys: vec![KeyId(6)],
            heard_links: 2,
        }),
        Body::Assignments(Assignments {
            complete: Some((String::new(), "\u{10ffff}".to_owned())),
            entries: vec![(
                service.clone(),
                Assignment { addresses: vec!["192.0.2.3".parse().unwrap()], since_ms: 12 },
            )],
            removed: vec![service],
        }),
    ]
}

#[test]
fn every_body_comes_back_as_it_was() {
    let keys = keys(&[b"0123456789abcdef"]);
    let id = keys.ids().next().unwrap();
    for body in bodies() {
        let frame = Frame { body, ..claims_frame() };
        let mut payload = encode(&frame, &keys, id);
        assert!(payload.len() <= LONGEST_FRAME);
        payload.extend_from_slice(&[0; 9]);
        assert_eq!(decode(&payload, &keys), Ok(frame));
    }
}

// [OWN-16]
#[test]
fn only_a_key_that_is_held_verifies() {
    let (old, new) = (b"the-old-member-key".as_slice(), b"the-new-member-key".as_slice());
    let both = keys(&[new, old]);
    let with_old = encode(&claims_frame(), &keys(&[old]), keys(&[old]).ids().next().unwrap());
    assert!(decode(&with_old, &both).is_ok());
    assert_eq!(decode(&with_old, &keys(&[new])), Err(FrameError::Unverified));
    assert_eq!(decode(&with_old, &MemberKeys::none()), Err(FrameError::Unverified));
    let without = encode(&claims_frame(), &MemberKeys::none(), KeyId::NONE);
    assert!(decode(&without, &MemberKeys::none()).is_ok());
    assert_eq!(decode(&without, &both), Err(FrameError::Unverified));
    let mut forged = with_old;
    forged[22] ^= 1;
    assert_eq!(decode(&forged, &both), Err(FrameError::Unverified));
}

// [OWN-12]: unknown parts are skipped.
#[test]
fn a_part_of_a_later_form_is_skipped() {
    let none = MemberKeys::none();
    let frame = Frame { body: bodies().remove(2), ..claims_frame() };
    let mut payload = encode(&frame, &none, KeyId::NONE);
    let tag = payload.split_off(payload.len() - TAG_LENGTH);
    payload.extend_from_slice(&[200, 0, 0, 3, 1, 2, 3]);
    payload.extend_from_slice(&tag);
    let total = u16::try_from(payload.len()).unwrap();
    payload[6..8].copy_from_slice(&total.to_be_bytes());
    assert_eq!(decode(&payload, &none), Ok(frame));
}

proptest! {
    #[test]
    fn any_bytes_are_safe(payload in proptest::collection::vec(any::<u8>(), 0..1_400)) {
        let _ = decode(&payload, &MemberKeys::none());
    }

    #[test]
    fn a_damaged_frame_is_safe(index in 0_usize..400, value: u8, cut in 0_usize..400) {
        for body in bodies() {
            let mut payload = encode(&Frame { body, ..claims_frame() }, &MemberKeys::none(), KeyId::NONE);
            if let Some(octet) = payload.get_mut(index) {
                *octet = value;
            }
            let _ = decode(&payload, &MemberKeys::none());
            payload.truncate(cut);
            let _ = decode(&payload, &MemberKeys::none());
        }
    }
}
