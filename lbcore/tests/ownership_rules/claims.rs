//! Claims, takeovers, hand-overs: [OWN-30] to [OWN-35], [OWN-2], [OWN-4], [OWN-5].

use core::time::Duration;

use lbcore::announce::{AnnouncementKey, AnnouncementState, LinkReach};
use lbcore::ownership::event::TakeCause;
use lbcore::ownership::{Event, ReturnPolicy, Timings};

use crate::segment::{Ears, Gateway, Segment, Setup, address, reach};
use crate::{for_seeds, ms, settled};

fn scored(number: u16, score: u32) -> LinkReach {
    LinkReach { score, ..reach(address(number)) }
}

// [OWN-2]
#[test]
fn tuned_timings_replace_a_dead_owner_in_under_three_hundred_milliseconds_and_some() {
    for_seeds(|seed| {
        let timings = Timings { period: ms(50), timeout: ms(250) };
        let mut segment = settled(Setup { seed, timings, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let killed = segment.now();
        segment.kill(victim);
        segment.run(ms(1_500));
        let gap = segment.longest_gap_since(killed);
        // One timeout from the last heartbeat, and a period for whoever is second in the order.
        assert!(gap <= ms(300), "{gap:?}");
        segment.assert_one_owner_each("after the death");
        segment.assert_never_two(ms(0), "tuned");
    });
}

// [OWN-4]
#[test]
fn every_move_is_told_with_its_cause_and_nothing_moves_at_rest() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let start = segment.now();
        segment.run(ms(60_000));
        for node in 0..3 {
            assert_eq!(segment.events_since(node, start).count(), 0, "events at rest");
        }
        assert_eq!(segment.moves(), 0);
        let victim = segment.owner(0).unwrap();
        segment.kill(victim);
        segment.run(ms(1_500));
        let name = format!("node{victim}");
        let told = (0..3).filter(|node| *node != victim).any(|node| {
            segment.events_since(node, start).any(|event| {
                matches!(event, Event::Took { cause: TakeCause::OwnerSilent(owner), .. } if owner.as_str() == name)
            })
        });
        assert!(told);
    });
}

// [OWN-5]: two of two, one-way: the wire settles it once they hear each other again.
#[test]
fn two_nodes_that_lose_each_other_settle_within_a_third_of_a_second_of_the_heal() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, gateway: Gateway::Present, ..Setup::default() });
        segment.set_loss(0, 1, 1.0);
        segment.set_loss(1, 0, f64::from(u8::from(seed % 2 == 0)));
        segment.run(ms(4_000));
        segment.set_loss(0, 1, 0.0);
        segment.set_loss(1, 0, 0.0);
        segment.forget_judgement();
        segment.run(ms(4_000));
        segment.assert_one_owner_each("after the heal");
        segment.assert_never_two(ms(300), "after the heal");
    });
}

// [OWN-30]
#[test]
fn a_claim_made_alone_has_epoch_zero_and_one_or_more_once_a_member_hears_it() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 2, ..Setup::default() });
        segment.start(0);
        segment.run(ms(3_000));
        assert_eq!(segment.epoch(0, address(1)), Some(0));
        segment.start(1);
        segment.run(ms(1_500));
        assert_eq!(segment.owner(0), Some(0), "it keeps what it has");
        assert!(segment.epoch(0, address(1)) >= Some(1));
        segment.assert_never_two(ms(0), "second start");
    });
}

// [OWN-30]: two that claimed alone meet; one keeps all it wins, and epochs do not climb.
#[test]
fn two_that_claimed_alone_settle_by_the_total_order_and_epochs_stay_low() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 2, addresses: 12, ..Setup::default() });
        segment.set_loss(0, 1, 1.0);
        segment.set_loss(1, 0, 1.0);
        segment.start(0);
        segment.start(1);
        segment.run(ms(3_000));
        segment.set_loss(0, 1, 0.0);
        segment.set_loss(1, 0, 0.0);
        segment.forget_judgement();
        segment.run(ms(20_000));
        segment.assert_one_owner_each("after they met");
        segment.assert_never_two(ms(300), "after they met");
        for number in 1..=12 {
            let names = (0..2).map(|node| (format!("node{node}").parse().unwrap(), 0));
            let first = lbcore::election::first(address(number), names).unwrap();
            let owner = segment.owner_of(address(number)).unwrap();
            assert_eq!(format!("node{owner}"), first.as_str(), "the digest order decides among equals");
            let epoch = segment.epoch(owner, address(number)).unwrap();
            assert!((1..=3).contains(&epoch), "epoch {epoch}");
        }
    });
}

// [OWN-30]: epochs grow with moves alone.
#[test]
fn epochs_do_not_grow_without_moves_even_under_loss() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 4, loss: 0.05, ..Setup::default() });
        let epochs = |segment: &Segment| -> u64 {
            (0..4).flat_map(|node| (1..=4).filter_map(move |number| segment.epoch(node, address(number)))).sum()
        };
        let (before, moves) = (epochs(&segment), segment.moves() as u64);
        segment.run(ms(60_000));
        let grown = epochs(&segment) - before;
        assert!(grown <= 2 * (segment.moves() as u64 - moves), "{grown} epochs");
    });
}

// [OWN-31]
#[test]
fn a_node_that_starts_listens_for_a_timeout_and_adopts_what_it_hears() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, ..Setup::default() });
        let before = segment.owners();
        let late = segment.add("node9".to_owned());
        segment.start(late);
        segment.run(ms(650));
        let state = segment.state(late, address(1));
        assert_eq!(state, Some(&AnnouncementState::Pending), "it listens");
        segment.run(ms(2_000));
        assert_eq!(before, segment.owners(), "it takes nothing");
        let owner = segment.owner(0).unwrap();
        let name = format!("node{owner}").parse().ok();
        assert_eq!(segment.state(late, address(1)), Some(&AnnouncementState::Standby { owner: name }));
    });
}

// [OWN-31]
#[test]
fn a_first_claim_comes_after_three_probes_within_six_hundred_milliseconds() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 1, ..Setup::default() });
        segment.start(0);
        let began = segment.now();
        assert!(segment.run_until(ms(3_000), |now| now.owner(0).is_some()));
        let probes = segment.probes(0, address(1)).to_vec();
        assert_eq!(probes.len(), 3, "{probes:?}");
        assert!(probes[0].since(began) >= ms(699), "it listened first");
        let span = segment.now().since(probes[0]);
        assert!(span <= ms(603), "claimed {span:?} after the first probe");
    });
}

// [OWN-31]: the winner of a conflict tells the segment again.
#[test]
fn the_winner_sends_its_burst_again_after_a_settled_conflict() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let lonely = segment.owner(0).unwrap();
        for other in (0..3).filter(|other| *other != lonely) {
            segment.set_loss(other, lonely, 1.0);
            segment.set_loss(lonely, other, 1.0);
        }
        segment.run(ms(3_000));
        let winner = (0..3).find(|node| *node != lonely && segment.epoch(*node, address(1)).is_some()).unwrap();
        let healed = segment.now();
        for other in (0..3).filter(|other| *other != lonely) {
            segment.set_loss(other, lonely, 0.0);
            segment.set_loss(lonely, other, 0.0);
        }
        segment.run(ms(1_000));
        assert_eq!(segment.owner(0), Some(winner));
        assert!(segment.announced(winner, address(1)).iter().any(|at| *at > healed), "no burst after the heal");
    });
}

// [OWN-32]
#[test]
fn an_answer_from_the_owners_hardware_address_vetoes_the_takeover() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let before = segment.owners();
        let owner = segment.owner(0).unwrap();
        segment.lose_members_of(owner);
        segment.run(ms(5_000));
        assert_eq!(before[0], segment.owner(0), "it answers, only its heartbeats are lost");
        segment.assert_never_two(ms(0), "veto");
        let killed = segment.now();
        segment.kill(owner);
        segment.run(ms(2_000));
        segment.assert_one_owner_each("after it died");
        let gap = segment.longest_gap_since(killed);
        assert!(gap < ms(1_200), "{gap:?}");
    });
}

// [OWN-32]: nobody takes over while a third lists the owner freshly; when the owner dies, the third's word ends too.
#[test]
fn a_third_that_hears_the_owner_holds_a_takeover_off_and_its_death_is_still_noticed() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 3, addresses: 1, ..Setup::default() });
        // node2 hears both and owns nothing.
        segment.set_stand(2, address(1), None);
        for node in 0..3 {
            segment.start(node);
        }
        segment.run(ms(4_000));
        let owner = segment.owner(0).unwrap();
        let other = 1 - owner;
        segment.set_loss(owner, other, 1.0);
        segment.run(ms(4_000));
        assert_eq!(segment.owner(0), Some(owner));
        // The third is away for a moment and comes back: what it tells counts again, and ends again.
        segment.set_loss(2, other, 1.0);
        segment.run(ms(500));
        segment.set_loss(2, other, 0.0);
        segment.run(ms(2_000));
        segment.assert_never_two(ms(0), "third");
        let killed = segment.now();
        segment.kill(owner);
        segment.run(ms(4_000));
        assert_eq!(segment.owner(0), Some(other), "the death was not noticed");
        let gap = segment.longest_gap_since(killed);
        assert!(gap < ms(1_200), "{gap:?}");
    });
}

// [OWN-33]
#[test]
fn a_node_that_hears_nothing_at_all_waits_three_timeouts_and_claims_at_epoch_zero() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let other = 1 - victim;
        let killed = segment.now();
        segment.kill(victim);
        segment.run(ms(1_900));
        assert_eq!(segment.epoch(other, address(1)), None, "nothing tells it apart from a deaf node");
        segment.run(ms(500));
        assert_eq!(segment.epoch(other, address(1)), Some(0));
        assert!(segment.now().since(killed) < ms(2_500));
        // [OWN-3]: while nothing comes in it answers nothing; soon after the first frame of any host it does.
        assert_eq!(segment.owner(0), None);
        segment.client_speaks();
        segment.run(ms(300));
        assert_eq!(segment.owner(0), Some(other));
        segment.run(ms(5_000));
        assert_eq!(segment.owner(0), Some(other), "a lonely node goes on answering through quiet times");
    });
}

// [OWN-33]: with any other host on the segment it need not wait.
#[test]
fn an_answer_of_a_neighbour_makes_the_takeover_quick() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, gateway: Gateway::Present, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        segment.kill(victim);
        segment.run(ms(1_000));
        assert_eq!(segment.owner(0), Some(1 - victim));
    });
}

// [OWN-33]: deaf nodes do not win, and their claims are not yielded to.
#[test]
fn a_deaf_standby_takes_nothing_from_a_living_owner() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 3, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let deaf = (owner + 1 + seed as usize % 2) % 3;
        segment.set_ears(deaf, Ears::Deaf);
        segment.run(ms(10_000));
        assert_eq!(segment.owner(0), Some(owner), "the living owner yielded to the deaf");
        segment.set_ears(deaf, Ears::Open);
        segment.forget_judgement();
        segment.run(ms(3_000));
        segment.assert_one_owner_each("after it hears again");
        segment.assert_never_two(ms(300), "after it hears again");
        assert_eq!(segment.owner(0), Some(owner));
    });
}

// [OWN-33], [OWN-2]: an owner that nothing reaches cannot answer: it is replaced, though its heartbeats go on.
#[test]
fn a_deaf_owner_is_replaced() {
    for_seeds(|seed| {
        let nodes = 2 + seed as usize % 3;
        let mut segment = settled(Setup { seed, nodes, gateway: Gateway::Present, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        segment.set_ears(owner, Ears::Deaf);
        let began = segment.now();
        segment.run(ms(8_000));
        segment.assert_one_owner_each("beside the deaf owner");
        let gap = segment.longest_gap_since(began);
        let longest = if nodes == 2 { ms(6_000) } else { ms(2_000) };
        assert!(gap < longest, "{gap:?} of {nodes}");
        segment.set_ears(owner, Ears::Open);
        segment.forget_judgement();
        segment.run(ms(3_000));
        segment.assert_one_owner_each("after it hears again");
        segment.assert_never_two(ms(300), "after it hears again");
    });
}

// [OWN-34]
#[test]
fn among_equal_scores_an_owner_keeps_what_it_has() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 4, ..Setup::default() });
        segment.start(seed as usize % 4);
        segment.run(ms(3_000));
        for node in 0..4 {
            segment.start(node);
            segment.run(ms(1_500));
        }
        assert_eq!(segment.owners(), vec![Some(seed as usize % 4); 4]);
    });
}

// [OWN-34], [L2-8]
#[test]
fn a_strictly_higher_score_takes_over_by_a_planned_hand_over() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let wanted = (owner + 1) % 3;
        let began = segment.now();
        segment.set_stand(wanted, address(1), Some(scored(1, 50)));
        segment.run(ms(1_000));
        assert_eq!(segment.owner(0), Some(wanted));
        let gap = segment.longest_gap_since(began);
        assert!(gap <= ms(3), "{gap:?}");
        segment.assert_never_two(ms(100), "score");
        // The same score elsewhere moves nothing, a lower one of its own gives it up.
        segment.set_stand(owner, address(1), Some(scored(1, 50)));
        segment.run(ms(1_000));
        assert_eq!(segment.owner(0), Some(wanted));
        segment.set_stand(wanted, address(1), Some(scored(1, 10)));
        segment.run(ms(1_000));
        assert_eq!(segment.owner(0), Some(owner));
    });
}

fn returned(seed: u64, policy: ReturnPolicy, wait: Duration) -> bool {
    let mut segment = settled(Setup { seed, addresses: 1, return_policy: policy, ..Setup::default() });
    let first = segment.owner(0).unwrap();
    segment.kill(first);
    segment.run(ms(2_000));
    segment.start(first);
    let began = segment.now();
    segment.run(wait);
    segment.assert_never_two(ms(100), "return");
    segment.assert_one_owner_each("return");
    let gap = segment.longest_gap_since(began);
    assert!(gap <= ms(3), "{gap:?}");
    segment.owner(0) == Some(first)
}

// [OWN-34], [L2-5]
#[test]
fn whether_an_address_returns_is_a_matter_of_policy() {
    for_seeds(|seed| {
        assert!(!returned(seed, ReturnPolicy::Never, ms(20_000)), "never");
        assert!(returned(seed, ReturnPolicy::AtOnce, ms(2_500)), "at once");
        assert!(!returned(seed, ReturnPolicy::After(ms(8_000)), ms(5_000)), "after eight seconds, not before");
        assert!(returned(seed, ReturnPolicy::After(ms(8_000)), ms(8_000)), "after eight seconds");
    });
}

// [OWN-34]
#[test]
fn moves_by_choice_are_damped() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, addresses: 1, ..Setup::default() });
        let began = segment.moves();
        for round in 0..60 {
            segment.set_stand(0, address(1), Some(scored(1, 10 + 20 * (round % 2))));
            segment.set_stand(1, address(1), Some(scored(1, 20)));
            segment.run(ms(500));
        }
        let moves = segment.moves() - began;
        assert!((2..=10).contains(&moves), "{moves} moves in half a minute");
        segment.set_stand(0, address(1), Some(scored(1, 90)));
        segment.run(ms(240_000));
        assert_eq!(segment.owner(0), Some(0), "it does move in the end");
    });
}

// [OWN-35]
#[test]
fn a_single_announcement_is_handed_over_and_the_rest_stays() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, addresses: 6, ..Setup::default() });
        let before = segment.owners();
        let (owner, began) = (before[0].unwrap(), segment.now());
        segment.with_hub(owner, |hub| hub.hand_over(began, &[AnnouncementKey::link(address(1))]));
        segment.run(ms(1_000));
        assert!(segment.owner(0).is_some_and(|new| new != owner));
        assert_eq!(before[1..], segment.owners()[1..]);
        assert_eq!(segment.longest_gap_since(began), ms(0));
        segment.assert_never_two(ms(100), "hand-over");
        segment.run(ms(10_000));
        assert!(segment.owner(0).is_some_and(|new| new != owner), "it does not come back");
    });
}

// [OWN-35]
#[test]
fn a_node_that_leaves_is_idle_soon_and_takes_nothing_any_more() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let began = segment.now();
        segment.leave(owner);
        segment.run(ms(600));
        assert_eq!(segment.with_hub(owner, lbcore::ownership::Hub::is_idle), Some(true));
        segment.assert_one_owner_each("after it left");
        assert_eq!(segment.longest_gap_since(began), ms(0));
        for other in (0..3).filter(|other| *other != owner) {
            segment.kill(other);
        }
        segment.run(ms(5_000));
        assert_eq!(segment.owner(0), None);
    });
}
