//! The wire: [OWN-40], [OWN-41].

use lbcore::announce::{AnnouncementState, Withheld};
use lbcore::ownership::Event;

use crate::segment::{Segment, Setup, address};
use crate::{for_seeds, ms, settled};

// [OWN-40]
#[test]
fn an_address_that_a_stranger_answers_for_is_withheld_with_its_hardware_address() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, ..Setup::default() });
        let holder = segment.stranger(address(1));
        for node in 0..3 {
            segment.start(node);
            segment.run(ms(seed * 41 % 500));
        }
        segment.run(ms(8_000));
        assert_eq!(segment.owner(0), None);
        let withheld = AnnouncementState::Withheld(Withheld::AddressInUse { holder });
        assert!((0..3).any(|node| segment.state(node, address(1)) == Some(&withheld)));
        assert!((1..4).all(|place| segment.owner(place).is_some()), "the others are owned");
        segment.assert_never_two(ms(3), "beside a stranger");
    });
}

// [OWN-40]
#[test]
fn it_is_asked_for_each_second_and_claimed_after_three_silent_probes_by_one() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, addresses: 6, ..Setup::default() });
        for number in 1..=6 {
            segment.stranger(address(number));
        }
        for node in 0..3 {
            segment.start(node);
        }
        segment.run(ms(5_000 + seed * 117));
        let asked = segment.probes(0, address(1)).len();
        segment.run(ms(5_000));
        let asked = segment.probes(0, address(1)).len() - asked;
        assert!((4..=6).contains(&asked), "{asked} probes in five seconds");
        for number in 1..=6 {
            segment.stranger_goes(address(number));
        }
        segment.run(ms(2_000));
        assert_eq!(segment.owners(), vec![None; 6], "not before three silent probes");
        segment.run(ms(3_500));
        segment.assert_one_owner_each("after the stranger went");
        segment.assert_never_two(ms(0), "after the stranger went");
    });
}

// [OWN-41]
#[test]
fn an_owner_yields_to_a_stranger_tells_of_it_and_takes_the_address_again() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let holder = segment.stranger(address(1));
        segment.stranger_speaks(address(1));
        segment.run(ms(100));
        assert_eq!(segment.owner(0), None);
        let told =
            segment.events(owner).any(|event| matches!(event, Event::Stranger { holder: mac, .. } if *mac == holder));
        assert!(told);
        segment.run(ms(5_000));
        assert_eq!(segment.owner(0), None);
        segment.stranger_goes(address(1));
        segment.run(ms(6_000));
        segment.assert_one_owner_each("after the stranger went");
        segment.assert_never_two(ms(0), "stranger");
    });
}

// [OWN-41]: a rival that only configures the address says nothing by itself.
#[test]
fn an_owner_finds_a_silent_stranger_by_probing_now_and_then() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, addresses: 1, ..Setup::default() });
        segment.stranger(address(1));
        assert!(segment.run_until(ms(45_000), |now| now.owner(0).is_none()), "not found");
    });
}

// [OWN-31], [OWN-40]: a member's probe is no conflict, nor is its answer.
#[test]
fn probes_and_answers_of_members_are_no_strangers() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 4, ..Setup::default() });
        for _ in 0..3 {
            let victim = segment.owner(0).unwrap();
            segment.kill(victim);
            segment.run(ms(50));
            segment.start(victim);
            segment.run(ms(3_000));
        }
        for node in 0..4 {
            assert!(!segment.events(node).any(|event| matches!(event, Event::Stranger { .. })));
        }
    });
}
