//! Members and hearing: [OWN-10] to [OWN-16].

use lbcore::announce::{AnnouncementState, Withheld};
use lbcore::ownership::frame::{self, Body, Copy, Frame, HeardBy, Heartbeat, LONGEST_FRAME};
use lbcore::ownership::key::{KeyId, MemberKey, MemberKeys};
use lbcore::ownership::{BootId, Destination, Event, Mutual};

use crate::segment::{LINK, SECOND_LINK, Segment, Setup, address};
use crate::{for_seeds, ms, settled};

const KEY: &[u8] = b"a key that sixteen octets fit in";
const NEXT_KEY: &[u8] = b"another key, brought in later on";

fn keys(material: &[u8]) -> MemberKeys {
    MemberKeys::new(vec![MemberKey::new(material).unwrap()]).unwrap()
}

// [OWN-10]
#[test]
fn a_new_boot_id_voids_the_claims_of_the_old_one_before_the_timeout() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        segment.kill(victim);
        segment.start(victim);
        let replaced = segment.run_until(ms(650), |now| now.owners().iter().all(Option::is_some));
        assert!(replaced, "not before the timeout");
        let (name, mac) = (format!("node{victim}"), segment.mac(victim, LINK));
        segment.assert_never_two(ms(3), "restart");
        assert!(mac != lbcore::link::MacAddr::ZERO && !name.is_empty());
    });
}

// [OWN-10]
#[test]
fn a_twin_is_reported_with_both_hardware_addresses_and_claims_nothing() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, ..Setup::default() });
        let twin = segment.add_twin(0);
        segment.run(ms(3_000));
        let (mac, twin_mac) = (segment.mac(0, LINK), segment.mac(twin, LINK));
        for (node, ours, theirs) in [(0, mac, twin_mac), (twin, twin_mac, mac)] {
            assert!(
                segment.events(node).any(|event| matches!(event,
                    Event::DuplicateName { ours: o, theirs: t, .. } if *o == ours && *t == theirs)),
                "node {node} does not report it"
            );
        }
        assert!(!segment.owners().contains(&Some(twin)));
        for number in 1..=4 {
            let state = segment.state(twin, address(number));
            let told = matches!(state, Some(AnnouncementState::Withheld(Withheld::DuplicateNodeName { holder }))
                if *holder == mac)
                || matches!(state, Some(AnnouncementState::Standby { owner: Some(_) }));
            assert!(told, "{state:?}");
        }
    });
}

// [OWN-10]: after the twin has gone the one that is left counts as a member again.
#[test]
fn the_one_that_is_left_of_two_twins_can_own_again_without_a_second_owner() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, ..Setup::default() });
        let twin = segment.add_twin(0);
        segment.run(ms(3_000));
        segment.kill(twin);
        segment.run(ms(6_000));
        segment.forget_judgement();
        segment.kill(1);
        segment.run(ms(3_000));
        segment.start(1);
        segment.run(ms(6_000));
        segment.assert_one_owner_each("after the twin has gone");
        segment.assert_never_two(ms(3), "after the twin has gone");
    });
}

// [OWN-11]
#[test]
fn members_that_multicast_does_not_reach_hear_each_other_by_broadcast() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let before = segment.owners();
        segment.multicast_lost();
        segment.run(ms(5_000));
        assert_eq!(before, segment.owners(), "ownership moved");
        let victim = segment.owner(0).unwrap();
        let killed = segment.now();
        segment.kill(victim);
        segment.run(ms(2_000));
        segment.start(victim);
        segment.run(ms(4_000));
        segment.assert_one_owner_each("without multicast");
        segment.assert_never_two(ms(3), "without multicast");
        let gap = segment.longest_gap_since(killed);
        assert!(gap < ms(1_000), "{gap:?}");
    });
}

// [OWN-11]: multicast that never worked.
#[test]
fn members_started_where_multicast_is_lost_agree() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, ..Setup::default() });
        segment.multicast_lost();
        for node in 0..3 {
            segment.start(node);
            segment.run(ms(seed * 31 % 200));
        }
        segment.run(ms(5_000));
        segment.assert_one_owner_each("without multicast");
        segment.assert_never_two(ms(3), "without multicast");
    });
}

// [OWN-11]
#[test]
fn one_heartbeat_goes_out_for_each_link_and_period() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, links: 2, ..Setup::default() });
        segment.record();
        segment.run(ms(3_000));
        for link in [LINK, SECOND_LINK] {
            let mac = segment.mac(0, link);
            let frames = segment.recorded_by(mac).filter(|frame| is_heartbeat(&frame.payload)).count();
            assert!((26..=36).contains(&frames), "{frames} heartbeats in thirty periods on {link}");
        }
    });
}

pub(crate) fn is_heartbeat(payload: &[u8]) -> bool {
    matches!(frame::decode(payload, &MemberKeys::none()), Ok(Frame { body: Body::Heartbeat(_), .. }))
}

// [OWN-12]
#[test]
fn hearing_is_mutual_only_when_the_other_lists_us() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, ..Setup::default() });
        let mutual = |segment: &mut Segment, node| {
            segment.with_hub(node, |hub| hub.members().iter().map(|member| member.mutual).collect::<Vec<_>>()).unwrap()
        };
        assert_eq!(mutual(&mut segment, 0), [Mutual::Yes]);
        segment.set_loss(0, 1, 1.0);
        segment.run(ms(2_000));
        assert_eq!(mutual(&mut segment, 0), [Mutual::No], "it hears the other, the other does not hear it");
        assert_eq!(mutual(&mut segment, 1), []);
    });
}

// [OWN-12]: heartbeats list the last sequence heard and carry the table's digest.
#[test]
fn a_heartbeat_lists_whom_it_hears_with_the_last_sequence() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, ..Setup::default() });
        segment.record();
        segment.run(ms(1_000));
        let frames: Vec<(usize, Frame)> = segment
            .recorded()
            .into_iter()
            .map(|sent| (sent.from, frame::decode(&sent.payload, &MemberKeys::none()).unwrap()))
            .collect();
        let mut last = 0;
        let mut listed = 0;
        for (from, frame) in frames {
            match frame.body {
                _ if from == 0 => last = frame.sequence,
                Body::Heartbeat(heartbeat) => {
                    let Some(heard) = heartbeat.heard.iter().find(|heard| heard.boot_id == segment.boot_id(0)) else {
                        panic!("node1 does not list node0");
                    };
                    assert!(last == 0 || heard.sequence + 4 >= last, "lists {} of {last}", heard.sequence);
                    assert_eq!(heard.by, HeardBy::Group);
                    listed += 1;
                }
                _ => {}
            }
        }
        assert!(listed > 5);
    });
}

// [OWN-13]
#[test]
fn no_frame_is_longer_than_twelve_hundred_octets_and_a_change_is_told_three_times() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 200, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let moved = segment.owners().iter().filter(|owner| **owner == Some(victim)).count();
        segment.kill(victim);
        segment.record();
        segment.run(ms(1_500));
        let mut told = std::collections::BTreeMap::new();
        let mut claims_frames = 0;
        for sent in segment.recorded() {
            assert!(sent.payload.len() <= LONGEST_FRAME, "{} octets", sent.payload.len());
            let Ok(Frame { body: Body::Claims(claims), .. }) = frame::decode(&sent.payload, &MemberKeys::none()) else {
                continue;
            };
            claims_frames += usize::from(sent.to == Destination::Group);
            for claim in claims.claims.iter().filter(|claim| claim.epoch == 2) {
                *told.entry((sent.from, claim.group)).or_insert(0) += 1;
            }
        }
        assert_eq!(told.len(), moved);
        assert!(told.values().all(|copies| *copies >= 3), "{told:?}");
        assert!(claims_frames < moved, "{claims_frames} frames for {moved} claims: several fit in one");
    });
}

// [OWN-13]: what was lost is asked for.
#[test]
fn a_claim_whose_frames_were_all_lost_is_asked_for() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let deaf = (owner + 1) % 3;
        segment.set_ears(deaf, crate::segment::Ears::Deaf);
        segment.set_stand(owner, address(9), Some(crate::segment::reach(address(9))));
        segment.run(ms(300));
        segment.set_ears(deaf, crate::segment::Ears::Open);
        segment.set_stand(deaf, address(9), Some(crate::segment::reach(address(9))));
        segment.run(ms(2_500));
        assert_eq!(segment.owner_of(address(9)).map(|_| ()), Some(()), "one owner");
        segment.assert_never_two(ms(3), "lost claim");
    });
}

// [OWN-14] up to the bound: what twenty members send to the group in a second.
#[test]
fn twenty_members_at_rest_send_two_hundred_and_fifty_group_frames_a_second_at_most() {
    let mut segment = settled(Setup { seed: 3, nodes: 20, addresses: 40, ..Setup::default() });
    segment.record();
    segment.run(ms(5_000));
    let frames = segment.recorded().iter().filter(|sent| !matches!(sent.to, Destination::Unicast(_))).count();
    assert!(frames <= 1_250, "{frames} frames in five seconds");
}

// [OWN-15]
#[test]
fn two_that_do_not_hear_each_other_settle_through_a_third_that_owns_nothing() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 3, ..Setup::default() });
        for (from, to) in [(0, 1), (1, 0)] {
            segment.set_loss(from, to, 1.0);
        }
        for number in 1..=4 {
            let mut reach = crate::segment::reach(address(number));
            reach.standing = lbcore::announce::Standing::Leaving;
            segment.set_stand(2, address(number), Some(reach));
        }
        for node in 0..3 {
            segment.start(node);
            segment.run(ms(seed * 91 % 1_000));
        }
        segment.run(ms(6_000));
        segment.assert_one_owner_each("through the third");
        let before = segment.owners();
        segment.forget_judgement();
        segment.run(ms(5_000));
        assert_eq!(before, segment.owners(), "it stays settled");
        segment.assert_never_two(ms(0), "through the third");
        let owner = segment.owner(0).unwrap();
        segment.kill(owner);
        segment.run(ms(3_000));
        segment.assert_one_owner_each("after the owner died that only the third heard");
        segment.assert_never_two(ms(3), "through the third");
    });
}

// [OWN-16]
#[test]
fn a_member_with_another_key_is_noticed_and_never_obeyed() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, key: Some(KEY), ..Setup::default() });
        let before = segment.owners();
        let stranger = segment.add("other".to_owned());
        segment.set_keys(stranger, vec![NEXT_KEY]);
        segment.start(stranger);
        segment.run(ms(500));
        assert_eq!(before, segment.owners(), "nothing moves because of it");
        for node in 0..2 {
            assert!(segment.refused(node) > 0);
            assert!(segment.events(node).any(|event| matches!(event, Event::Unverified { .. })));
            let names = segment.with_hub(node, |hub| hub.members().len()).unwrap();
            assert_eq!(names, 1, "it is no member");
        }
    });
}

// [OWN-16]
#[test]
fn a_forged_claim_without_a_key_changes_nothing_where_there_is_one() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, key: Some(KEY), ..Setup::default() });
        let before = segment.owners();
        let body = Body::Heartbeat(Heartbeat {
            copy: Copy::Group,
            heard: Vec::new(),
            claims: lbcore::ownership::claims::TableDigest::default(),
            assignments: lbcore::ownership::claims::TableDigest::default(),
            keys: Vec::new(),
            heard_links: 1,
        });
        let frame = Frame { boot_id: BootId(77), name: "node0".parse().unwrap(), sequence: 1, body };
        let payload = frame::encode(&frame, &MemberKeys::none(), KeyId::NONE);
        let mac = segment.mac(1, LINK);
        for _ in 0..20 {
            segment.inject(LINK, mac, &payload);
            segment.run(ms(50));
        }
        assert_eq!(before, segment.owners());
        let twin = segment.events(0).any(|event| matches!(event, Event::DuplicateName { .. }));
        assert!(!twin, "nor is it taken for a twin");
    });
}

// [OWN-16]: a key is changed node by node without a move.
#[test]
fn a_new_key_is_brought_in_without_a_move_of_what_other_nodes_own() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, key: Some(KEY), ..Setup::default() });
        let rounds: [Vec<&'static [u8]>; 2] = [vec![NEXT_KEY, KEY], vec![NEXT_KEY]];
        for round in rounds {
            for node in 0..3 {
                segment.kill(node);
                segment.set_keys(node, round.clone());
                segment.start(node);
                segment.run(ms(2_500));
                segment.assert_one_owner_each("while keys change");
            }
        }
        segment.assert_never_two(ms(3), "while keys change");
        segment.record();
        segment.run(ms(500));
        let next = keys(NEXT_KEY);
        assert!(
            segment.recorded().iter().all(|sent| frame::decode(&sent.payload, &next).is_ok()),
            "all use the new key"
        );
        assert!(!segment.events(0).any(|event| matches!(event, Event::Unverified { .. })));
    });
}
