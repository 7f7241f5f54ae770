//! Two carriers on one link, and nodes that can announce one family alone: [OWN-11], [OWN-20], [OWN-22], [OWN-23], [L2-67].

use lbcore::announce::{AnnouncementState, Withheld};
use lbcore::family::IpFamily;
use lbcore::ownership::Destination;

use crate::segment::{Carriage, Segment, Setup, Stack, address, address6};
use crate::{for_seeds, ms, settled};

fn dual(seed: u64) -> Setup {
    Setup { seed, stack: Stack::Dual, ..Setup::default() }
}

/// Group frames of each family that each node sent in a second.
fn frames_in_a_second(segment: &mut Segment, nodes: usize) -> Vec<[usize; 2]> {
    segment.record();
    segment.run(ms(1_000));
    let recorded = segment.recorded();
    let count = |node: usize, family: IpFamily| {
        recorded
            .iter()
            .filter(|frame| (frame.from, frame.family, frame.to) == (node, family, Destination::Group))
            .count()
    };
    (0..nodes).map(|node| [count(node, IpFamily::V4), count(node, IpFamily::V6)]).collect()
}

fn is_together(segment: &Segment) -> bool {
    (1..=4).all(|number| {
        let owner = segment.owner_of(address(number));
        owner.is_some() && owner == segment.owner_of(address6(number))
    })
}

// [OWN-11]: one heartbeat in a period, by each family in turn.
#[test]
fn families_take_turns_on_a_link_that_both_serve() {
    for_seeds(|seed| {
        let mut segment = settled(dual(seed));
        for [v4, v6] in frames_in_a_second(&mut segment, 3) {
            assert!((9..=13).contains(&(v4 + v6)), "{v4} and {v6} in a second");
            assert!(v4.abs_diff(v6) <= 1, "{v4} and {v6} in a second");
        }
    });
}

// [OWN-11], [OWN-20]: a member that knows ARP alone and others that know both hear each other in every period, and nothing splits.
#[test]
fn members_of_one_family_and_of_both_agree() {
    for_seeds(|seed| {
        let mut segment = Segment::new(Setup { seed, stack: Stack::Mixed, ..Setup::default() });
        segment.run(ms(8_000));
        let frames = frames_in_a_second(&mut segment, 3);
        assert_eq!(frames[0][1], 0);
        for [v4, v6] in frames {
            assert!(v4 >= 9 && (v6 == 0 || v6 >= 9), "{v4} and {v6} in a second");
        }
        // [OWN-22]: who can answer for both families owns, and the one of them dead the other.
        assert!(is_together(&segment), "{:?}", segment.owners());
        for number in 1..=4 {
            assert_ne!(segment.owner_of(address(number)), Some(0));
        }
        let victim = segment.owner(0).unwrap();
        segment.kill(victim);
        segment.run(ms(8_000));
        assert!(is_together(&segment), "after the death: {:?}", segment.owners());
        segment.assert_never_two(ms(100), "mixed");
    });
}

// [OWN-22], [L2-67]: where no node can answer for both families, the one that can be is, and the other is withheld with the reason.
#[test]
fn a_family_that_no_node_can_announce_does_not_disturb_the_other() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(dual(seed));
        for node in 0..3 {
            segment.start(node);
            segment.set_serving(node, IpFamily::V6, Carriage::Down);
        }
        segment.run(ms(5_000));
        for number in 1..=4 {
            let owner = segment.owner_of(address(number)).expect("an owner of the family that works");
            let state = segment.state(owner, address6(number));
            assert_eq!(state, Some(&AnnouncementState::Withheld(Withheld::NoLink)));
        }
        // One node gets what the family needs: it takes over the whole, after a hand-over.
        let able = (seed % 3) as usize;
        let began = segment.now();
        segment.set_serving(able, IpFamily::V6, Carriage::Up);
        segment.run(ms(6_000));
        for number in 1..=4 {
            assert_eq!(segment.owner_of(address(number)), Some(able), "{:?}", segment.owners());
            assert_eq!(segment.owner_of(address6(number)), Some(able));
            let gap = segment.gap_of(address(number), began);
            assert!(gap <= ms(10), "{} was unanswered for {gap:?}", address(number));
        }
        segment.assert_never_two(ms(100), "a family that comes");
    });
}

// [OWN-22], [OWN-24]: an owner that loses one family hands the whole over.
#[test]
fn an_owner_that_loses_one_family_hands_over_both() {
    for_seeds(|seed| {
        let mut segment = settled(dual(seed));
        let victim = segment.owner(0).unwrap();
        let began = segment.now();
        segment.set_serving(victim, IpFamily::V6, Carriage::Down);
        segment.run(ms(6_000));
        assert!(is_together(&segment), "{:?}", segment.owners());
        for number in 1..=4 {
            assert_ne!(segment.owner_of(address(number)), Some(victim));
            let gap = segment.gap_of(address(number), began);
            assert!(gap <= ms(10), "{} was unanswered for {gap:?}", address(number));
        }
        segment.assert_never_two(ms(100), "a family that goes");
    });
}

// [OWN-11]: while one family's frames are lost on the segment, members go on hearing each other by the other.
#[test]
fn a_segment_that_drops_one_familys_member_frames_moves_nothing() {
    for_seeds(|seed| {
        let mut segment = settled(dual(seed));
        let before = segment.owners();
        let family = if seed % 2 == 0 { IpFamily::V4 } else { IpFamily::V6 };
        segment.block(family, None);
        segment.run(ms(10_000));
        assert_eq!(segment.owners(), before, "{family:?} was lost");
        // Every frame goes out by both: what is lost may come back.
        for [v4, v6] in frames_in_a_second(&mut segment, 3) {
            assert!(v4 >= 9 && v6 >= 9, "{v4} and {v6} in a second");
        }
        // Death is still found in time.
        let victim = segment.owner(0).unwrap();
        let killed = segment.now();
        segment.kill(victim);
        segment.run(ms(3_000));
        assert!(is_together(&segment));
        let gap = segment.longest_gap_since(killed);
        assert!(gap < ms(1_000), "{gap:?}");
        segment.assert_never_two(ms(0), "one family lost");
    });
}

// [OWN-23]: who hears members by one family alone, where another hears them by both, is unfit for groups that have the other.
#[test]
fn an_owner_deaf_for_one_family_gives_its_groups_to_others() {
    for_seeds(|seed| {
        let mut segment = settled(dual(seed));
        let deaf = segment.owner(0).unwrap();
        segment.block(IpFamily::V6, Some(deaf));
        segment.run(ms(5_000));
        assert!(is_together(&segment), "{:?}", segment.owners());
        for number in 1..=4 {
            assert_ne!(segment.owner_of(address(number)), Some(deaf));
        }
        segment.assert_never_two(ms(100), "deaf for one family");
    });
}
