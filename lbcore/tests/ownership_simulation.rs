//! Several nodes on a segment in virtual time, with faults: at most one answers, a dead owner is replaced, everything heals.
//!
//! Each node is a real `Hub` behind a toy shell. A failure prints its seed.
//!
//! `SEED=7` runs one seed, `TRACE=1` prints what each node did, `FERRULE_SIM_SEEDS=5000` runs so many seeds.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::wildcard_enum_match_arm,
    reason = "a test: it may fail loudly, and its seed comes from the environment"
)]

#[path = "ownership_simulation/segment.rs"]
#[expect(dead_code, reason = "shared with the tests of single rules, which use more of it")]
mod segment;

use core::time::Duration;

use lbcore::rng::Rng;
use segment::{Segment, Setup};

const SEEDS: u64 = 100;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn settled(setup: Setup) -> Segment {
    let mut segment = Segment::new(setup);
    segment.run(ms(4_000));
    segment.assert_one_owner_each("after the start");
    segment
}

fn for_seeds(name: &str, run: impl Fn(u64)) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = number("FERRULE_SIM_SEEDS").unwrap_or(SEEDS);
    for seed in number("SEED").map_or(0..seeds, |seed| seed..seed + 1) {
        let result = std::panic::catch_unwind(core::panic::AssertUnwindSafe(|| run(seed)));
        if let Err(cause) = result {
            let text = cause.downcast_ref::<String>().cloned().unwrap_or_default();
            panic!("{name}, seed {seed}: {text}");
        }
    }
}

// [OWN-1], [OWN-31]
#[test]
fn nodes_started_together_agree_on_one_owner_for_each_address() {
    for_seeds("start", |seed| {
        let segment = settled(Setup { seed, nodes: 2 + seed as usize % 4, addresses: 12, ..Setup::default() });
        segment.assert_never_two(ms(0), "clean start");
        segment.assert_spread();
    });
}

// [OWN-2]
#[test]
fn a_killed_owner_is_replaced_in_under_a_second() {
    for_seeds("kill", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let killed = segment.now();
        segment.kill(victim);
        segment.run(ms(3_000));
        segment.assert_one_owner_each("after the kill");
        segment.assert_never_two(ms(0), "kill");
        let outage = segment.longest_gap_since(killed);
        assert!(outage < ms(1_000), "outage of {outage:?}");
    });
}

// [OWN-10]: a new boot id voids the claims of the old one at once.
#[test]
fn an_owner_killed_and_restarted_at_once_is_replaced_or_returns() {
    for_seeds("restart", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let killed = segment.now();
        segment.kill(victim);
        segment.run(ms(seed % 300));
        segment.start(victim);
        segment.run(ms(4_000));
        segment.assert_one_owner_each("after the restart");
        segment.assert_never_two(ms(0), "restart");
        let outage = segment.longest_gap_since(killed);
        assert!(outage < ms(1_000), "outage of {outage:?}");
    });
}

// [OWN-3], [OWN-50]
#[test]
fn a_stopped_owner_never_answers_on_stale_authority() {
    for_seeds("pause", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        segment.pause(victim, ms(200 + seed * 37 % 4_000));
        segment.run(ms(7_000));
        segment.assert_one_owner_each("after the pause");
        segment.assert_never_two(ms(0), "pause");
    });
}

// [OWN-3]: link cut with loss of carrier, and heal.
#[test]
fn a_node_cut_off_and_back_does_not_answer_beside_its_successor() {
    for_seeds("cut", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        segment.link(victim, segment::Carriage::Down);
        segment.run(ms(200 + seed * 53 % 3_000));
        segment.link(victim, segment::Carriage::Up);
        segment.run(ms(4_000));
        segment.assert_one_owner_each("after the heal");
        segment.assert_never_two(ms(0), "cut and heal");
    });
}

// [OWN-15], [OWN-32]: one-way loss between two nodes, the third hears both.
#[test]
fn one_way_loss_between_two_members_moves_nothing() {
    for_seeds("one way", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let other = (owner + 1) % 3;
        let (from, to) = if seed % 2 == 0 { (owner, other) } else { (other, owner) };
        let before = segment.owners();
        segment.set_loss(from, to, 1.0);
        segment.run(ms(5_000));
        assert_eq!(before, segment.owners(), "ownership moved");
        segment.set_loss(from, to, 0.0);
        segment.run(ms(2_000));
        assert_eq!(before, segment.owners(), "ownership moved at the heal");
        segment.assert_never_two(ms(0), "one-way loss");
    });
}

// [OWN-5]: a silent partition has two owners; the wire settles it within 300 ms of the heal.
#[test]
fn a_partition_settles_soon_after_it_heals() {
    for_seeds("partition", |seed| {
        let mut segment = settled(Setup { seed, nodes: 4, addresses: 9, ..Setup::default() });
        let lonely = seed as usize % 4;
        for other in (0..4).filter(|other| *other != lonely) {
            segment.set_loss(lonely, other, 1.0);
            segment.set_loss(other, lonely, 1.0);
        }
        segment.run(ms(3_000));
        for other in (0..4).filter(|other| *other != lonely) {
            segment.set_loss(lonely, other, 0.0);
            segment.set_loss(other, lonely, 0.0);
        }
        segment.forget_judgement();
        segment.run(ms(3_000));
        segment.assert_one_owner_each("after the heal");
        segment.assert_never_two(ms(300), "heal");
    });
}

// [OWN-35]
#[test]
fn a_planned_move_leaves_no_gap_and_overlaps_under_a_tenth_of_a_second() {
    for_seeds("leave", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let began = segment.now();
        segment.leave(owner);
        // The best placed standby claims as soon as it hears of the release, not a period later.
        segment.run(ms(20));
        assert!(!segment.owners().contains(&Some(owner)), "it still answers");
        segment.run(ms(1_500));
        segment.assert_one_owner_each("after the move");
        segment.assert_never_two(ms(100), "move");
        let outage = segment.longest_gap_since(began);
        assert!(outage <= ms(5), "outage of {outage:?}");
    });
}

// [OWN-1] under random loss: short overlaps may come of lost claims, but they settle, and nothing moves without need.
#[test]
fn light_loss_moves_nothing() {
    for_seeds("loss", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, loss: 0.02, ..Setup::default() });
        let before = segment.owners();
        segment.run(ms(10_000));
        assert_eq!(before, segment.owners(), "ownership moved");
        segment.assert_never_two(ms(100), "loss");
    });
}

// [OWN-10]
#[test]
fn a_second_node_of_the_same_name_claims_nothing() {
    for_seeds("same name", |seed| {
        let mut segment = settled(Setup { seed, nodes: 3, addresses: 9, ..Setup::default() });
        let twin = segment.add_twin(0);
        segment.run(ms(6_000));
        assert!(!segment.owners().contains(&Some(twin)), "the twin owns something");
        segment.assert_one_owner_each("beside the twin");
        segment.assert_never_two(ms(100), "same name");
    });
}

/// One fault at a random node.
fn strike(segment: &mut Segment, rng: &mut Rng, nodes: usize) {
    let node = rng.below(nodes as u64) as usize;
    let other = rng.below(nodes as u64) as usize;
    let kind = rng.below(9);
    segment.trace(&|| format!("fault {kind} at node{node}, other node{other}"));
    match kind {
        0 => segment.kill(node),
        1 => segment.start(node),
        2 => segment.pause(node, ms(rng.below(3_000))),
        3 => segment.link(node, segment::Carriage::Down),
        4 => segment.set_loss(node, other, 1.0),
        5 => segment.set_ears(node, segment::Ears::Deaf),
        6 => {
            segment.kill(node);
            segment.run(ms(rng.below(300)));
            segment.start(node);
        }
        7 => segment.leave(node),
        _ => {
            let mut reach = segment::reach(segment::address(1 + rng.below(6) as u16));
            reach.score = rng.below(3) as u32;
            let address = reach.group.0;
            segment.set_stand(node, address, Some(reach));
        }
    }
}

fn heal(segment: &mut Segment, nodes: usize) {
    for node in 0..nodes {
        segment.link(node, segment::Carriage::Up);
        segment.set_ears(node, segment::Ears::Open);
        for other in 0..nodes {
            segment.set_loss(node, other, 0.0);
        }
    }
}

// Faults in random order: at rest everything has one owner again, and stays with it.
#[test]
fn random_faults_come_to_rest_with_one_owner_each() {
    for_seeds("random faults", |seed| {
        let nodes = 3 + seed as usize % 3;
        let gateway = if seed % 2 == 0 { segment::Gateway::Present } else { segment::Gateway::Absent };
        let mut segment = settled(Setup { seed, nodes, addresses: 6, loss: 0.01, gateway, ..Setup::default() });
        let mut rng = Rng::new(seed ^ 0xfa17);
        for _ in 0..8 {
            strike(&mut segment, &mut rng, nodes);
            segment.run(ms(rng.below(1_500)));
            if rng.below(3) == 0 {
                heal(&mut segment, nodes);
                segment.run(ms(rng.below(1_500)));
            }
        }
        heal(&mut segment, nodes);
        for node in 0..nodes {
            // One that left takes nothing any more.
            segment.kill(node);
            segment.start(node);
            segment.run(ms(rng.below(900)));
        }
        segment.run(ms(6_000));
        segment.assert_one_owner_each("at rest");
        segment.forget_judgement();
        let before = segment.owners();
        segment.run(ms(3_000));
        assert_eq!(before, segment.owners(), "it moves at rest");
        segment.assert_never_two(ms(0), "at rest");
    });
}

// [OWN-1] under faults that leave mutual hearing whole: kill, start, stop, lost carrier.
#[test]
fn faults_that_leave_hearing_mutual_never_make_two_owners_for_long() {
    for_seeds("clean faults", |seed| {
        let nodes = 3 + seed as usize % 3;
        let mut segment = settled(Setup { seed, nodes, addresses: 6, loss: 0.01, ..Setup::default() });
        let mut rng = Rng::new(seed ^ 0xc1ea);
        for _ in 0..6 {
            let node = rng.below(nodes as u64) as usize;
            let kind = rng.below(4);
            segment.trace(&|| format!("fault {kind} at node{node}"));
            match kind {
                0 => segment.kill(node),
                1 => segment.start(node),
                2 => segment.pause(node, ms(rng.below(3_000))),
                _ => segment.link(node, segment::Carriage::Down),
            }
            segment.run(ms(rng.below(1_500)));
            segment.link(node, segment::Carriage::Up);
        }
        for node in 0..nodes {
            segment.start(node);
        }
        segment.run(ms(8_000));
        segment.assert_one_owner_each("at rest");
        segment.assert_never_two(ms(100), "clean faults");
    });
}

// [OWN-1], [OWN-2] at the size of a large cluster: the claims of a whole node fit in one burst.
#[test]
fn three_thousand_addresses_move_as_fast_as_one() {
    let mut segment = settled(Setup { seed: 5, nodes: 3, addresses: 3_000, ..Setup::default() });
    segment.assert_never_two(ms(0), "start");
    let victim = segment.owner(0).unwrap();
    let killed = segment.now();
    segment.kill(victim);
    segment.run(ms(2_000));
    segment.assert_one_owner_each("after the kill");
    segment.assert_never_two(ms(0), "kill");
    let outage = segment.longest_gap_since(killed);
    assert!(outage < ms(1_000), "outage of {outage:?}");
}
