//! Authority and assignments: [OWN-3], [OWN-50], [OWN-51], [OWN-60].

use std::collections::BTreeMap;

use lbcore::ownership::event::{LossCause, TakeCause};
use lbcore::ownership::{Assignment, Event};

use crate::segment::{Carriage, Gateway, LINK, Segment, Setup, address};
use crate::{for_seeds, ms, settled};

// [OWN-3], [OWN-50]: stopped for less than anybody notices: it listens for one timeout, then resumes under its own epoch.
#[test]
fn a_short_stop_is_followed_by_a_timeout_of_listening_before_answers_go_on() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let stop = 400 + seed % 15 * 10;
        segment.pause(owner, ms(stop));
        segment.run(ms(stop + 5));
        assert_ne!(segment.owner(0), Some(owner), "it listens");
        segment.run(ms(600));
        assert_ne!(segment.owner(0), Some(owner), "it still listens");
        segment.run(ms(2_000));
        segment.assert_one_owner_each("after the stop");
        segment.assert_never_two(ms(0), "stop");
        assert!(segment.events(owner).any(|event| matches!(event, Event::Took { cause: TakeCause::Resumed, .. })));
    });
}

// [OWN-3], [OWN-50]: stopped for long: another has it by then.
#[test]
fn after_a_long_stop_the_old_owner_gives_up_what_another_took() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        let stopped = segment.now();
        segment.pause(owner, ms(3_000));
        segment.run(ms(6_000));
        assert!(segment.owner(0).is_some_and(|new| new != owner));
        let stalled = segment.events(owner).any(|event| matches!(event, Event::Lost { cause: LossCause::Stalled, .. }));
        assert!(stalled);
        segment.assert_never_two(ms(0), "stop");
        let gap = segment.longest_gap_since(stopped);
        assert!(gap < ms(1_000), "{gap:?}");
    });
}

// [OWN-50]: all stopped at once, as on a host that suspends its guests.
#[test]
fn a_stop_of_all_nodes_at_once_ends_with_the_owners_of_before() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let before = segment.owners();
        for node in 0..3 {
            segment.pause(node, ms(5_000 + seed % 12 * node as u64 * 20));
        }
        segment.run(ms(9_000));
        assert_eq!(before, segment.owners());
        segment.assert_never_two(ms(0), "stop of all");
    });
}

// [OWN-3]: a stop must not make others believe that a member is alive which died long before.
#[test]
fn a_stopped_node_does_not_vouch_for_a_member_that_died_meanwhile() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 4, ..Setup::default() });
        let victim = segment.owner(0).unwrap();
        let stopped = (victim + 1) % 4;
        let killed = segment.now();
        segment.kill(victim);
        segment.pause(stopped, ms(450));
        segment.run(ms(3_000));
        let gap = segment.longest_gap_since(killed);
        // What the stopped node owned itself is back within its stop and a timeout.
        assert!(gap < ms(1_200), "{gap:?}");
        segment.assert_one_owner_each("after both");
        segment.assert_never_two(ms(0), "both");
    });
}

// [OWN-3]: cut off without loss of carrier, back after another took over.
#[test]
fn a_node_that_was_cut_off_yields_at_once_when_it_is_back() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, ..Setup::default() });
        let owner = segment.owner(0).unwrap();
        segment.link(owner, Carriage::Down);
        segment.run(ms(3_000));
        segment.link(owner, Carriage::Up);
        segment.run(ms(3_000));
        segment.assert_one_owner_each("after it is back");
        assert_ne!(segment.owner(0), Some(owner));
        segment.assert_never_two(ms(0), "cut off");
    });
}

// [OWN-51]: a shell whose responder never ran says nothing.
#[test]
fn no_heartbeat_goes_out_before_every_responder_of_the_link_runs() {
    for_seeds(|seed| {
        let mut segment =
            Segment::idle(Setup { seed, nodes: 2, stack: crate::segment::Stack::Dual, ..Setup::default() });
        segment.start(0);
        segment.stall(1, Some(lbcore::family::IpFamily::V6));
        segment.start(1);
        segment.run(ms(300));
        segment.record();
        segment.run(ms(2_000));
        let mac = segment.mac(1, LINK);
        let beats = segment.recorded_by(mac).filter(|sent| crate::members::is_heartbeat(&sent.payload)).count();
        assert_eq!(beats, 0);
        segment.stall(1, None);
        segment.run(ms(1_000));
        let beats = segment.recorded_by(mac).filter(|sent| crate::members::is_heartbeat(&sent.payload)).count();
        assert!(beats >= 7, "{beats} heartbeats once it runs");
    });
}

fn table(entries: &[(u32, u16)]) -> BTreeMap<lbcore::service::ServiceKey, Assignment> {
    entries
        .iter()
        .map(|(service, number)| {
            let assignment = Assignment { addresses: vec![address(*number)], since_ms: u64::from(*service) };
            (format!("shop/s{service}").parse().unwrap(), assignment)
        })
        .collect()
}

// [OWN-60]
#[test]
fn assignments_of_a_member_are_known_to_the_others_and_to_who_comes_late() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 2, loss: 0.05, ..Setup::default() });
        let entries: Vec<(u32, u16)> = (0..200).map(|service| (service, 1 + (service % 100) as u16)).collect();
        let now = segment.now();
        segment.with_hub(0, |hub| hub.publish(now, table(&entries)));
        segment.run(ms(1_500));
        let late = segment.add("late".to_owned());
        segment.start(late);
        segment.run(ms(2_500));
        let changed = table(&entries[..150]);
        let now = segment.now();
        segment.with_hub(0, |hub| hub.publish(now, changed.clone()));
        segment.run(ms(2_000));
        for node in [1, late] {
            let members = segment.with_hub(node, lbcore::ownership::Hub::members).unwrap();
            let first = members.iter().find(|member| member.name.as_str() == "node0").unwrap();
            assert!(first.synced, "node{node} is not up to date");
            assert_eq!(*first.assignments, changed, "node{node}");
        }
        let others = segment.with_hub(0, lbcore::ownership::Hub::members).unwrap();
        assert!(others.iter().all(|member| member.synced && member.assignments.is_empty()));
    });
}

// [OWN-60]: a daemon listens first.
#[test]
fn a_hub_says_that_it_listens_until_the_segment_was_heard_for_a_timeout() {
    for_seeds(|seed| {
        let mut segment = Segment::idle(Setup { seed, nodes: 1, ..Setup::default() });
        segment.start(0);
        segment.run(ms(650));
        assert_eq!(segment.with_hub(0, lbcore::ownership::Hub::is_listening), Some(true));
        segment.run(ms(100));
        assert_eq!(segment.with_hub(0, lbcore::ownership::Hub::is_listening), Some(false));
    });
}

/// Two nodes, and a gateway that answers whoever asks.
fn pair(seed: u64) -> Segment {
    settled(Setup { seed, nodes: 2, gateway: Gateway::Present, ..Setup::default() })
}

// [OWN-3], [OWN-34]: the successor hears no member, so its claim has epoch 0; it answers all the same, and keeps what it has.
#[test]
fn of_two_nodes_the_one_whose_link_was_cut_comes_back_as_standby() {
    for_seeds(|seed| {
        let mut segment = pair(seed);
        let owner = segment.owner(0).unwrap();
        let other = 1 - owner;
        let cut = segment.now();
        segment.link(owner, Carriage::Down);
        segment.run(ms(3_000 + seed % 16 * 25));
        assert_eq!(segment.owner(0), Some(other));
        assert!(segment.longest_gap_since(cut) < ms(1_000), "{:?}", segment.longest_gap_since(cut));
        let healed = segment.now();
        segment.link(owner, Carriage::Up);
        segment.run(ms(4_000));
        assert_eq!(segment.owner(0), Some(other), "no second move");
        assert!(segment.longest_gap_since(healed) < ms(50), "{:?}", segment.longest_gap_since(healed));
        segment.assert_never_two(ms(0), "heal");
    });
}

// [OWN-3], [OWN-50]
#[test]
fn of_two_nodes_the_one_that_was_stopped_comes_back_as_standby() {
    for_seeds(|seed| {
        let mut segment = pair(seed);
        let owner = segment.owner(0).unwrap();
        segment.pause(owner, ms(3_000 + seed % 16 * 25));
        segment.run(ms(2_900));
        assert_eq!(segment.owner(0), Some(1 - owner));
        let woken = segment.now();
        segment.run(ms(4_000));
        assert_eq!(segment.owner(0), Some(1 - owner), "no second move");
        assert!(segment.longest_gap_since(woken) < ms(50), "{:?}", segment.longest_gap_since(woken));
        segment.assert_never_two(ms(0), "stop");
    });
}

// [OWN-50]: nobody else is there to take it.
#[test]
fn a_node_that_is_alone_goes_on_after_a_long_stop() {
    for_seeds(|seed| {
        let mut segment = settled(Setup { seed, nodes: 1, ..Setup::default() });
        segment.pause(0, ms(3_000));
        segment.run(ms(4_500));
        assert_eq!(segment.owner(0), Some(0));
    });
}

// [OWN-2], [OWN-33]: on a quiet segment a neighbour is asked, and its answer proves that this node hears.
#[test]
fn of_two_nodes_the_survivor_answers_within_a_second_and_in_every_quiet_while_after() {
    for_seeds(|seed| {
        let mut segment = pair(seed);
        let owner = segment.owner(0).unwrap();
        let killed = segment.now();
        segment.kill(owner);
        segment.link(owner, Carriage::Down);
        segment.run(ms(10_000));
        assert_eq!(segment.owner(0), Some(1 - owner));
        assert!(segment.longest_gap_since(killed) < ms(1_000), "{:?}", segment.longest_gap_since(killed));
    });
}
