//! Recordings and made-up members: [OWN-10], [OWN-16].

use lbcore::link::MacAddr;
use lbcore::ownership::claims::{Claim, ClaimState, TableDigest};
use lbcore::ownership::frame::{self, Body, Claims, Copy, Frame, Heartbeat, More};
use lbcore::ownership::key::{KeyId, MemberKeys};
use lbcore::ownership::{BootId, Event};

use crate::segment::{LINK, SECOND_LINK, Setup, address};
use crate::{for_seeds, ms, settled};

// [OWN-16]: a recording of a dead owner's frames, played at once on its own link.
#[test]
fn a_recording_does_not_keep_a_dead_owner_alive() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let mac = segment.mac(victim, LINK);
        segment.record();
        segment.run(ms(3_000));
        let frames: Vec<Vec<u8>> = segment.recorded_by(mac).map(|frame| frame.payload.clone()).collect();
        let killed = segment.now();
        segment.kill(victim);
        for payload in &frames {
            segment.inject(LINK, mac, payload);
            segment.run(ms(60));
        }
        segment.assert_one_owner_each("beside the recording");
        let gap = segment.longest_gap_since(killed);
        assert!(gap < ms(1_000), "{gap:?}");
    });
}

// [OWN-16]: every sequence is used once, so that a recording is worth nothing on another link either.
#[test]
fn a_recording_played_on_another_link_does_not_keep_a_dead_owner_alive() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, links: 2, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let mac = segment.mac(victim, LINK);
        for other in (0..3).filter(|other| *other != victim) {
            segment.set_link_loss(SECOND_LINK, victim, other, 1.0);
        }
        segment.record();
        segment.run(ms(12_000));
        let frames: Vec<Vec<u8>> = segment.recorded_by(mac).map(|frame| frame.payload.clone()).collect();
        let Some(owned) = (1..=4).map(address).find(|address| segment.owner_of(*address) == Some(victim)) else {
            return;
        };
        segment.kill(victim);
        for payload in frames.iter().take(30) {
            segment.inject(SECOND_LINK, mac, payload);
            segment.run(ms(60));
        }
        assert!(segment.owner_of(owned).is_some(), "{owned} has no owner beside the recording");
    });
}

// [OWN-10], [OWN-16]: long after the record of the member is gone.
#[test]
fn a_recording_of_an_old_boot_neither_voids_claims_nor_revives_a_member() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let mac = segment.mac(victim, LINK);
        segment.record();
        segment.run(ms(2_000));
        let frames: Vec<Vec<u8>> = segment.recorded_by(mac).map(|frame| frame.payload.clone()).collect();
        segment.kill(victim);
        segment.run(ms(100));
        segment.start(victim);
        segment.run(ms(8_000));
        segment.assert_one_owner_each("after the restart");
        let (before, start) = (segment.owners(), segment.now());
        for payload in &frames {
            segment.inject(LINK, mac, payload);
            segment.run(ms(60));
        }
        assert_eq!(before, segment.owners(), "ownership moved");
        for node in 0..3 {
            let told = segment.events_since(node, start).count();
            assert_eq!(told, 0, "node{node} tells of it");
        }
        // The new boot still counts: its death is noticed, and nobody waits for the old one.
        let killed = segment.now();
        segment.kill(victim);
        for payload in &frames {
            segment.inject(LINK, mac, payload);
            segment.run(ms(60));
        }
        segment.assert_one_owner_each("after the death");
        let gap = segment.longest_gap_since(killed);
        assert!(gap < ms(1_000), "{gap:?}");
    });
}

// [OWN-10], [OWN-16]: a recording that a node hears although it never heard the boot it is of.
#[test]
fn a_recording_unknown_to_a_node_does_not_void_the_claims_of_the_living() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let late = (victim + 1) % 3;
        let mac = segment.mac(victim, LINK);
        segment.record();
        segment.run(ms(2_000));
        let frames: Vec<Vec<u8>> = segment.recorded_by(mac).map(|frame| frame.payload.clone()).collect();
        for node in [victim, late] {
            segment.kill(node);
            segment.start(node);
            segment.run(ms(3_000));
        }
        segment.forget_judgement();
        let before = segment.owners();
        for payload in &frames {
            segment.inject(LINK, mac, payload);
            segment.run(ms(60));
        }
        assert_eq!(before, segment.owners(), "ownership moved");
        let twin = segment.events(victim).any(|event| matches!(event, Event::DuplicateName { .. }));
        assert!(!twin, "a recording is no twin");
        segment.assert_never_two(ms(0), "recording");
    });
}

fn heartbeat(boot_id: u64, sequence: u64) -> Vec<u8> {
    let body = Body::Heartbeat(Heartbeat {
        copy: Copy::Group,
        heard: Vec::new(),
        claims: TableDigest::default(),
        assignments: TableDigest::default(),
        keys: Vec::new(),
        heard_links: 1,
    });
    let name = format!("made-up-{boot_id}").parse().unwrap();
    frame::encode(&Frame { boot_id: BootId(boot_id), name, sequence, body }, &MemberKeys::none(), KeyId::NONE)
}

// [OWN-14], [OWN-16]: without a key anybody can make up members; they cost little and lock nobody out.
#[test]
fn thousands_of_made_up_members_neither_lock_out_a_real_one_nor_make_this_node_noisy() {
    let mut segment = settled(Setup { seed: 4, nodes: 2, ..Setup::default() });
    segment.record();
    let mac = MacAddr::new([2, 9, 9, 9, 9, 9]);
    for step in 0..3_000 {
        segment.inject(LINK, mac, &heartbeat(1_000_000 + step, 1));
        if step % 3 == 0 {
            segment.run(ms(1));
        }
    }
    let sent = segment.recorded().iter().filter(|frame| frame.from == 0).count();
    assert!(sent < 500, "{sent} frames sent in a second of flood");
    let real = segment.add("late".to_owned());
    segment.start(real);
    for step in 0..2_000 {
        segment.inject(LINK, mac, &heartbeat(2_000_000 + step, 1));
        segment.run(ms(1));
    }
    let heard = segment.with_hub(0, |hub| hub.members().iter().any(|member| member.name.as_str() == "late"));
    assert_eq!(heard, Some(true));
    let kept = segment.with_hub(0, |hub| hub.members().len()).unwrap();
    assert!(kept <= 1_024, "{kept} members kept");
    segment.assert_one_owner_each("beside made-up members");
    segment.assert_never_two(ms(3), "beside made-up members");
}

// [OWN-16]: one made-up member cannot fill the memory with claims.
#[test]
fn a_member_that_claims_everything_keeps_a_bounded_table() {
    let mut segment = settled(Setup { seed: 6, nodes: 2, ..Setup::default() });
    let mac = MacAddr::new([2, 9, 9, 9, 9, 9]);
    let claim = |number: u32| {
        let address = std::net::IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + number));
        Claim {
            group: lbcore::announce::GroupKey(address),
            state: ClaimState::Active,
            epoch: 1,
            score: 0,
            election_key: address,
            addresses: std::sync::Arc::from([address]),
            links: std::sync::Arc::from([]),
        }
    };
    for page in 0..2_000_u32 {
        let claims = (0..20).map(|place| claim(page * 20 + place)).collect();
        let body =
            Body::Claims(Claims { relayed: None, more: More::No, complete: None, claims, withdrawn: Vec::new() });
        let frame = Frame { boot_id: BootId(9), name: "greedy".parse().unwrap(), sequence: u64::from(page) + 1, body };
        segment.inject(LINK, mac, &frame::encode(&frame, &MemberKeys::none(), KeyId::NONE));
        segment.run(ms(1));
    }
    let kept = segment.with_hub(0, lbcore::ownership::Hub::foreign_claims).unwrap();
    assert!((30_000..=32_800).contains(&kept), "{kept} claims kept of 40,000");
    segment.assert_one_owner_each("beside a greedy member");
}
