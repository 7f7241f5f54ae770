//! The judge on answers written by hand: `A@10` is an answer of host A at 10 ms.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::*;

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const LIMIT: Duration = Duration::from_millis(100);

fn moment(milliseconds: u64) -> Moment {
    Moment::from_epoch(Duration::from_millis(milliseconds))
}

fn judge(story: &str) -> Judge {
    Judge::new(story.split_whitespace().map(|word| {
        let (host, at) = word.split_once('@').unwrap();
        Sighting {
            at: moment(at.parse().unwrap()),
            host: Arc::from(host),
            address: ADDRESS.into(),
            hardware: Hardware([2, 0, 0, 0, 0, host.as_bytes()[0]]),
            form: Form::Answer,
        }
    }))
}

/// Answers of a host each 50 ms from the first to the last moment.
fn steady(host: &str, from: u64, to: u64) -> String {
    (from..=to).step_by(50).fold(String::new(), |story, at| story + &format!("{host}@{at} "))
}

#[test]
fn one_owner_alone_overlaps_with_nobody() {
    assert_eq!(judge(&steady("A", 0, 5_000)).overlaps(), vec![]);
}

#[test]
fn a_takeover_after_silence_is_no_overlap() {
    let story = steady("A", 0, 1_000) + &steady("B", 1_700, 3_000);
    assert_eq!(judge(&story).overlaps(), vec![]);
}

#[test]
fn a_move_and_a_move_back_seconds_later_are_no_overlap() {
    let story = steady("A", 0, 1_000) + &steady("B", 1_010, 3_000) + &steady("A", 3_010, 5_000);
    assert_eq!(judge(&story).overlaps(), vec![]);
}

// [OWN-1]
#[test]
fn a_hand_over_is_measured_from_the_first_frame_of_the_successor_to_the_last_of_the_old_owner() {
    let story = steady("A", 0, 1_060) + "B@1040 B@1055 " + &steady("B", 1_105, 3_000);
    let judge = judge(&story.replace("A@1050", "A@1052"));
    let overlaps = judge.overlaps();
    assert_eq!(overlaps.len(), 1);
    assert_eq!((overlaps[0].kind, overlaps[0].from, overlaps[0].until), (Kind::HandOver, moment(1_040), moment(1_052)));
    assert_eq!(judge.violations(LIMIT), vec![]);
}

// [OWN-1]
#[test]
fn two_owners_for_a_second_are_a_violation_of_that_length() {
    let story = steady("A", 0, 2_000) + &steady("B", 1_001, 4_000);
    let violations = judge(&story).violations(LIMIT);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!((violations[0].kind, violations[0].length()), (Kind::HandOver, Duration::from_millis(999)));
}

// [OWN-1]
#[test]
fn two_owners_that_never_settle_are_one_violation() {
    let violations = judge(&(steady("A", 0, 4_000) + &steady("B", 1_001, 4_000))).violations(LIMIT);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert!(violations[0].length() >= Duration::from_millis(2_900), "{}", violations[0]);
}

// [OWN-3]
#[test]
fn one_stale_answer_of_a_resumed_owner_is_a_violation_however_short() {
    let story = steady("A", 0, 1_000) + &steady("B", 1_700, 6_000) + "A@4001 A@4001 A@4002";
    let violations = judge(&story).violations(LIMIT);
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!((violations[0].kind, violations[0].from), (Kind::Intrusion, moment(4_001)));
}

#[test]
fn two_contentions_seconds_apart_are_told_apart() {
    let story = steady("A", 0, 9_000) + "B@2001 B@7001";
    assert_eq!(judge(&story).violations(LIMIT).len(), 2);
}

#[test]
fn three_hosts_in_one_contention_are_all_named() {
    let story = steady("A", 0, 1_000) + "B@1010 C@1015 A@1020 " + &steady("C", 1_030, 2_000);
    let overlaps = judge(&story).overlaps();
    assert_eq!(overlaps.len(), 1);
    let names: Vec<&str> = overlaps[0].hosts.iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["A", "B", "C"]);
}

#[test]
fn a_stranger_can_be_left_out() {
    let story = steady("A", 0, 3_000) + &steady("X", 1_001, 3_000);
    assert_eq!(judge(&story).violations(LIMIT).len(), 1);
    assert_eq!(judge(&story).without("X").violations(LIMIT), vec![]);
}

#[test]
fn a_heal_soon_after_a_move_can_be_judged_apart() {
    let story = steady("A", 0, 1_000) + &steady("B", 1_010, 3_000) + "A@1301 A@1351";
    let judge = judge(&story);
    assert_eq!(judge.violations(LIMIT).len(), 1);
    assert_eq!(judge.until(moment(1_300)).violations(LIMIT), vec![]);
    let later = judge.since(moment(1_300)).overlaps();
    assert_eq!(later.iter().map(|overlap| overlap.from).collect::<Vec<_>>(), [moment(1_310)]);
}

#[test]
fn a_gap_counts_from_the_start_to_the_first_answer_and_from_the_last_to_the_end() {
    let judge = judge("A@100 A@150 B@800 B@850");
    assert_eq!(judge.gap(ADDRESS, moment(0), moment(900)), (Duration::from_millis(650), moment(150)));
    assert_eq!(judge.gap(ADDRESS, moment(0), moment(2_000)), (Duration::from_millis(1_150), moment(850)));
    assert_eq!(judge.gap(ADDRESS, moment(5_000), moment(5_500)), (Duration::from_millis(500), moment(5_000)));
}

#[test]
fn the_owner_at_a_moment_and_its_successor_are_found() {
    let judge = judge("A@100 A@150 B@800 B@850");
    assert_eq!(judge.owner_at(ADDRESS, moment(799)).as_deref(), Some("A"));
    assert_eq!(judge.owner_at(ADDRESS, moment(99)), None);
    assert_eq!(judge.successor_of("A", ADDRESS, moment(150)).map(|answer| answer.at), Some(moment(800)));
}

#[test]
fn a_frame_that_the_switch_lost_answers_nobody_and_a_probe_is_no_answer() {
    let from = Hardware([2, 0, 0, 0, 0, 1]);
    let frame = |sender: Ipv4Addr, fate| Frame {
        at: moment(1),
        host: Arc::from("A"),
        octets: Packet::request(from, sender, ADDRESS).write().to_vec(),
        fate,
    };
    let frames = [frame(ADDRESS, Fate::Lost), frame(Ipv4Addr::UNSPECIFIED, Fate::Forwarded)];
    assert_eq!(Judge::of(&frames).addresses().count(), 0);
    assert_eq!(Judge::of(&[frame(ADDRESS, Fate::Forwarded)]).addresses().collect::<Vec<_>>(), vec![ADDRESS]);
}

// [OWN-1]: advertisements and questions from an address answer for it, probes for duplicates do not, and neither does what was routed.
#[test]
fn neighbor_discovery_answers_as_arp_does() {
    let address: Ipv6Addr = "2001:db8::10".parse().unwrap();
    let hardware = Hardware([2, 0, 0, 0, 0, 1]);
    let frame = |at, message: Message| Frame {
        at: moment(at),
        host: Arc::from("A"),
        octets: message.write(),
        fate: Fate::Forwarded,
    };
    let other = "2001:db8::11".parse().unwrap();
    let told = Message {
        kind: Discovery::Advertisement { solicited: false, overrides: true },
        ..Message::solicitation(hardware, "fe80::1".parse().unwrap(), address)
    };
    let judge = Judge::of(&[
        frame(1, told),
        frame(2, Message::solicitation(hardware, address, other)),
        frame(3, Message::probe(hardware, address)),
        frame(4, Message { hop_limit: 64, ..told }),
    ]);
    let forms: Vec<Form> = judge.answers(address).iter().map(|answer| answer.form).collect();
    assert_eq!(forms, [Form::Answer, Form::Question]);
    assert!(judge.answers(other).is_empty());
}

#[test]
fn a_pair_split_over_two_hosts_is_two_owners_of_one() {
    let second = IpAddr::from(Ipv4Addr::new(192, 0, 2, 11));
    let mut sightings: Vec<Sighting> = judge(&steady("A", 0, 3_000)).answers(ADDRESS).to_vec();
    let of_other = judge(&steady("B", 20, 3_000)).answers(ADDRESS).to_vec();
    sightings.extend(of_other.into_iter().map(|answer| Sighting { address: second, ..answer }));
    let split = Judge::new(sightings);
    assert_eq!(split.violations(LIMIT), vec![]);
    assert!(!split.as_one(&[(ADDRESS.into(), second)]).violations(LIMIT).is_empty());
}
