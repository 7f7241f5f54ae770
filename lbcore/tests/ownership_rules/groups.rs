//! Groups and eligibility: [OWN-20] to [OWN-24], with [OWN-70].

use std::net::IpAddr;

use lbcore::announce::{AnnouncementState, LinkReach, Standing, Withheld};
use lbcore::family::IpFamily;
use lbcore::ownership::event::LossCause;
use lbcore::ownership::{Event, ReturnPolicy};

use crate::segment::{LINK, SECOND_LINK, Segment, Setup, Stack, address, address6, reach};
use crate::{for_seeds, ms, settled};

fn standing(group: IpAddr, standing: Standing) -> LinkReach {
    LinkReach { standing, ..reach(group) }
}

// [OWN-20]
#[test]
fn both_families_of_a_service_have_one_owner_through_every_move() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, stack: Stack::Dual, ..Setup::default() });
        let together = |segment: &Segment| {
            (1..=4).all(|number| {
                let owner = segment.owner_of(address(number));
                owner.is_some() && owner == segment.owner_of(address6(number))
            })
        };
        assert!(together(&segment), "at the start");
        let victim = segment.owner(0).unwrap();
        let killed = segment.now();
        segment.kill(victim);
        segment.run(ms(1_500));
        assert!(together(&segment), "after the death");
        let gap = segment.longest_gap_since(killed);
        assert!(gap < ms(1_000), "{gap:?}");
        segment.start(victim);
        segment.run(ms(3_000));
        let leaver = segment.owner(0).unwrap();
        segment.leave(leaver);
        segment.run(ms(1_500));
        assert!(together(&segment), "after the planned move");
        segment.assert_never_two(ms(100), "moves");
    });
}

// [OWN-20], [OWN-1]: groups that merge, at another moment on each node; nothing is unanswered meanwhile.
#[test]
fn the_higher_claim_keeps_a_merged_group_and_the_other_hands_over_without_a_gap() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, addresses: 12, ..Setup::default() });
        // Epochs apart: one owner dies first.
        if seed % 2 == 0 {
            let victim = segment.owner(0).unwrap();
            segment.kill(victim);
            segment.run(ms(2_000));
            segment.start(victim);
            segment.run(ms(3_000));
        }
        segment.forget_judgement();
        let began = segment.now();
        for place in 0..3 {
            let node = (place + seed as usize) % 3;
            for number in 2..=12 {
                segment.set_stand(node, address(number), Some(reach(address(number - 1 + number % 2))));
            }
            segment.run(ms(seed * 173 % 900));
        }
        segment.run(ms(3_000));
        segment.assert_one_owner_each("after the merge");
        for number in [1, 3, 5, 7, 9, 11] {
            assert_eq!(segment.owner_of(address(number)), segment.owner_of(address(number + 1)), "group {number}");
        }
        let gap = segment.longest_gap_since(began);
        assert!(gap <= ms(10), "a gap of {gap:?}");
        segment.assert_never_two(ms(100), "merge");
    });
}

// [OWN-20]: a group that comes apart stays where it is.
#[test]
fn a_group_that_comes_apart_moves_nothing() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, ..Setup::default() });
        for node in 0..3 {
            for number in 2..=4 {
                segment.set_stand(node, address(number), Some(reach(address(1))));
            }
            segment.start(node);
        }
        segment.run(ms(4_000));
        let before = segment.owners();
        let began = segment.now();
        for place in 0..3 {
            let node = (place + seed as usize) % 3;
            for number in 2..=4 {
                segment.set_stand(node, address(number), Some(reach(address(number))));
            }
            segment.run(ms(seed * 97 % 700));
        }
        segment.run(ms(2_000));
        assert_eq!(before, segment.owners());
        let gap = segment.longest_gap_since(began);
        assert!(gap == ms(0), "{gap:?}");
        segment.assert_never_two(ms(0), "split");
    });
}

// [OWN-20], [OWN-31]: an address that comes to an owned group is asked for first.
#[test]
fn an_address_added_to_an_owned_group_is_probed_and_goes_to_its_owner() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        for node in 0..3 {
            segment.set_stand(node, address(9), Some(reach(address(1))));
        }
        segment.run(ms(450));
        assert_eq!(segment.owner_of(address(9)), None, "not before three probes");
        segment.run(ms(600));
        assert_eq!(segment.owner_of(address(9)), Some(owner));
        assert!(segment.probes(owner, address(9)).len() >= 3);
    });
}

// [OWN-21]: without a rival the election order decides: node3, node1, node2 by [VEC-5], here with other names.
#[test]
fn the_first_owner_is_the_first_of_the_election_order() {
    for_seeds(|seed| {
        let setup = Setup { seed, nodes: 3, addresses: 8, ..Setup::default() };
        let mut segment = Segment::idle(setup);
        for node in 0..3 {
            segment.start(node);
        }
        segment.run(ms(4_000));
        for number in 1..=8 {
            let names = (0..3).map(|node| (format!("node{node}").parse().unwrap(), 0));
            let first = lbcore::election::first(address(number), names).unwrap();
            let owner = segment.owner_of(address(number)).unwrap();
            assert_eq!(format!("node{owner}"), first.as_str(), "{}", address(number));
        }
    });
}

// [OWN-22]
#[test]
fn a_group_that_nobody_may_own_is_withheld_with_the_reason_and_taken_when_somebody_may() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, ..Setup::default() });
        for node in 0..3 {
            segment.set_stand(node, address(1), Some(standing(address(1), Standing::Leaving)));
            segment.start(node);
        }
        segment.run(ms(4_000));
        assert_eq!(segment.owner_of(address(1)), None);
        for node in 0..3 {
            let state = segment.state(node, address(1));
            assert_eq!(state, Some(&AnnouncementState::Withheld(Withheld::NotEligible)));
        }
        let chosen = seed as usize % 3;
        segment.set_stand(chosen, address(1), Some(reach(address(1))));
        segment.run(ms(1_500));
        assert_eq!(segment.owner_of(address(1)), Some(chosen));
    });
}

// [OWN-22]: eligible for one address of the group only is not enough.
#[test]
fn a_candidate_must_be_eligible_for_every_address_of_the_group() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, stack: Stack::Dual, ..Setup::default() });
        for node in 0..2 {
            segment.set_stand(node, address6(1), Some(standing(address(1), Standing::Leaving)));
        }
        for node in 0..3 {
            segment.start(node);
        }
        segment.run(ms(4_000));
        assert_eq!((segment.owner_of(address(1)), segment.owner_of(address6(1))), (Some(2), Some(2)));
    });
}

// [OWN-23]
#[test]
fn a_node_deaf_on_one_of_two_links_gives_up_what_it_owns() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, links: 2, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        for other in (0..3).filter(|other| *other != owner) {
            segment.set_link_loss(SECOND_LINK, other, owner, 1.0);
        }
        let began = segment.now();
        segment.run(ms(3_000));
        assert_ne!(segment.owner(0), Some(owner), "still the owner");
        segment.assert_one_owner_each("beside the partly deaf");
        let gap = segment.longest_gap_since(began);
        assert!(gap <= ms(5), "it hands over: {gap:?}");
        // Alone it would have to: nobody else is there to do it better.
        for other in (0..3).filter(|other| *other != owner) {
            segment.kill(other);
        }
        segment.run(ms(4_000));
        segment.client_speaks();
        segment.run(ms(500));
        segment.assert_one_owner_each("alone");
    });
}

// [OWN-23]: a link on which nobody is heard by anybody makes nobody unfit.
#[test]
fn a_link_that_went_silent_for_all_moves_nothing() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, links: 2, ..Setup::default() });
        let before = segment.owners();
        for from in 0..3 {
            for to in 0..3 {
                segment.set_link_loss(SECOND_LINK, from, to, 1.0);
            }
        }
        segment.run(ms(4_000));
        assert_eq!(before, segment.owners());
        segment.assert_never_two(ms(0), "silent link");
    });
}

// [OWN-23]: a link that loses its carrier is not asked of the node any more.
#[test]
fn a_lost_carrier_on_one_link_keeps_the_owner_on_the_other() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, links: 2, ..Setup::default() });
        let before = segment.owners();
        let owner = segment.owner(0).unwrap();
        segment.one_link(owner, LINK, crate::segment::Carriage::Down);
        segment.run(ms(2_000));
        segment.one_link(owner, LINK, crate::segment::Carriage::Up);
        segment.run(ms(3_000));
        assert_eq!(before, segment.owners());
        segment.assert_never_two(ms(0), "lost carrier");
    });
}

// [OWN-24]
#[test]
fn an_owner_that_becomes_ineligible_answers_until_a_successor_has_claimed() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let began = segment.now();
        segment.set_stand(owner, address(1), Some(standing(address(1), Standing::Leaving)));
        segment.run(ms(600));
        assert!(segment.owner(0).is_some_and(|new| new != owner));
        let gap = segment.longest_gap_since(began);
        assert!(gap <= ms(3), "{gap:?}");
        segment.assert_never_two(ms(100), "hand-over");
        let lost = segment
            .events_since(owner, began)
            .any(|event| matches!(event, Event::Lost { cause: LossCause::HandedOver(_), .. }));
        assert!(lost, "it says why");
    });
}

// [OWN-24]
#[test]
fn an_ineligible_owner_without_a_successor_stops_after_half_a_second() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 2, addresses: 1, ..Setup::default() });
        segment.set_stand(1, address(1), Some(standing(address(1), Standing::Leaving)));
        segment.start(0);
        segment.start(1);
        segment.run(ms(3_000));
        assert_eq!(segment.owner(0), Some(0));
        segment.set_stand(0, address(1), Some(standing(address(1), Standing::Leaving)));
        segment.run(ms(450));
        assert_eq!(segment.owner(0), Some(0), "it goes on for a while");
        segment.run(ms(100));
        assert_eq!(segment.owner(0), None, "at most 500 ms");
        segment.set_stand(0, address(1), Some(reach(address(1))));
        segment.run(ms(1_500));
        assert_eq!(segment.owner(0), Some(0), "and takes it again when it may");
    });
}

// [OWN-24]: eligible again while releasing, and nobody took it.
#[test]
fn an_owner_that_becomes_eligible_again_while_releasing_goes_on_without_a_gap() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 1, addresses: 1, ..Setup::default() });
        segment.add("quiet".to_owned());
        segment.set_stand(1, address(1), None);
        segment.start(1);
        segment.run(ms(2_000));
        let began = segment.now();
        segment.set_stand(0, address(1), Some(standing(address(1), Standing::Leaving)));
        segment.run(ms(200 + seed % 25 * 10));
        segment.set_stand(0, address(1), Some(reach(address(1))));
        segment.run(ms(1_000));
        assert_eq!(segment.owner(0), Some(0));
        assert_eq!(segment.longest_gap_since(began), ms(0));
    });
}

// [OWN-24]: no usable endpoint anywhere: nobody stands for it any more.
#[test]
fn what_nobody_stands_for_any_more_is_withdrawn_at_once() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        for node in 0..3 {
            segment.set_stand(node, address(1), None);
        }
        segment.run(ms(5));
        assert_eq!(segment.owner(0), None);
        assert_eq!(segment.state(0, address(1)), None);
        for node in 0..3 {
            segment.set_stand(node, address(1), Some(reach(address(1))));
        }
        segment.run(ms(2_500));
        segment.assert_one_owner_each("it came back");
        segment.assert_never_two(ms(3), "it came back");
    });
}

// Desired sets that change while others own: nobody loses what was not touched.
#[test]
fn desired_sets_that_change_at_random_leave_one_owner_for_what_is_wanted() {
    for_seeds(|seed| {
        let mut segment =
            settled(Setup { seed, addresses: 10, return_policy: ReturnPolicy::Never, ..Setup::default() });
        let mut rng = lbcore::rng::Rng::new(seed ^ 0x5e7);
        for _ in 0..30 {
            let (node, number) = (rng.below(3) as usize, 1 + rng.below(10) as u16);
            let change = match rng.below(4) {
                0 => None,
                1 => Some(standing(address(number), Standing::Leaving)),
                2 => Some(LinkReach { score: rng.below(3) as u32, ..reach(address(number)) }),
                _ => Some(reach(address(1 + number % 2))),
            };
            segment.trace(&|| format!("node{node} stands for {}: {change:?}", address(number)));
            segment.set_stand(node, address(number), change);
            segment.run(ms(rng.below(400)));
        }
        for node in 0..3 {
            for number in 1..=10 {
                segment.set_stand(node, address(number), Some(reach(address(number))));
            }
        }
        segment.run(ms(5_000));
        segment.assert_one_owner_each("at rest");
        segment.assert_never_two(ms(100), "changing sets");
    });
}

// [OWN-51], [OWN-20]: one family's responder stands still: the node says nothing on that link, and another takes the group.
#[test]
fn a_stalled_responder_of_one_family_costs_the_node_its_groups() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, stack: Stack::Dual, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let family = if seed % 2 == 0 { IpFamily::V4 } else { IpFamily::V6 };
        segment.stall(owner, Some(family));
        segment.record();
        segment.run(ms(250));
        segment.record();
        segment.run(ms(1_500));
        let mac = segment.mac(owner, LINK);
        let beats = segment.recorded_by(mac).filter(|sent| crate::members::is_heartbeat(&sent.payload)).count();
        assert_eq!(beats, 0, "heartbeats of a node whose responder stands still");
        let taken = (0..3).filter(|node| *node != owner).any(|node| segment.epoch(node, address(1)) == Some(2));
        assert!(taken, "nobody took over");
    });
}
