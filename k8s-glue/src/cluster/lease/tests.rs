//! Single rules, and a simulation of several electors on one API server.

use proptest::prelude::*;

use super::*;

const SECOND: u64 = 1_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_micros(seconds * SECOND)
}

fn held(by: &str, version: &str) -> Observed {
    let record = Record { holder: by.to_owned(), duration: Some(Duration::from_secs(15)), transitions: 3 };
    Observed { version: version.to_owned(), record }
}

fn elector() -> Elector {
    Elector::new("pod-a", Timings::default())
}

#[test]
fn an_absent_lease_is_made_at_once() {
    let mut elector = elector();
    assert_eq!(elector.poll_step(at(1)), Step::Read);
    elector.handle_read(at(1), None);
    assert!(matches!(elector.poll_step(at(1)), Step::Create(record) if record.holder == "pod-a"));
    elector.handle_written(at(1), at(2), held("pod-a", "1"));
    assert_eq!(elector.leads_until(), Some(at(11)), "counted from the start of the request");
    assert_eq!(elector.poll_step(at(2)), Step::Wait(at(3)));
}

#[test]
fn a_restart_in_the_same_pod_resumes_at_once() {
    let mut elector = elector();
    elector.handle_read(at(1), Some(held("pod-a", "7")));
    let Step::Replace { version, record, acquisition } = elector.poll_step(at(1)) else {
        panic!("its own lease was not taken up");
    };
    assert_eq!((version.as_str(), record.transitions, acquisition), ("7", 3, Acquisition::Renewed));
}

#[test]
fn the_lease_of_another_is_taken_when_it_has_not_changed_for_its_duration() {
    let mut elector = elector();
    elector.handle_read(at(1), Some(held("pod-b", "7")));
    assert_eq!(elector.poll_step(at(2)), Step::Wait(at(3)));
    elector.handle_read(at(3), Some(held("pod-b", "7")));
    elector.handle_read(at(15), Some(held("pod-b", "8")));
    elector.handle_read(at(29), Some(held("pod-b", "8")));
    assert_eq!(elector.poll_step(at(29)), Step::Wait(at(30)), "it is looked at when it runs out, not later");
    let Step::Replace { version, record, acquisition } = elector.poll_step(at(30)) else { panic!("not taken") };
    assert_eq!((version.as_str(), record.transitions, acquisition), ("8", 4, Acquisition::New));
}

#[test]
fn a_released_lease_is_taken_at_once() {
    let mut elector = elector();
    elector.handle_read(at(1), Some(held("", "7")));
    assert!(matches!(elector.poll_step(at(1)), Step::Replace { acquisition: Acquisition::New, .. }));
}

#[test]
fn who_was_stopped_reads_before_it_leads_again() {
    let mut elector = elector();
    elector.handle_read(at(0), None);
    elector.handle_written(at(0), at(0), held("pod-a", "1"));
    elector.handle_timeout(at(9));
    assert_eq!(elector.leads_until(), Some(at(10)));
    elector.handle_timeout(at(40));
    assert_eq!(elector.leads_until(), None);
    assert_eq!(elector.poll_step(at(40)), Step::Read);
}

#[test]
fn a_renewal_that_is_answered_after_the_deadline_is_a_new_acquisition() {
    let mut elector = elector();
    elector.handle_written(at(0), at(0), held("pod-a", "1"));
    elector.handle_written(at(9), at(11), held("pod-a", "2"));
    assert_eq!(elector.leads_until(), None);
    assert_eq!(elector.poll_step(at(11)), Step::Read);
}

#[test]
fn a_failed_renewal_keeps_the_right_until_its_deadline_and_is_read_again() {
    let mut elector = elector();
    elector.handle_written(at(0), at(0), held("pod-a", "1"));
    elector.handle_failure(at(5), Failed::Write);
    assert_eq!(elector.leads_until(), Some(at(10)));
    assert_eq!(elector.poll_step(at(7)), Step::Read);
    elector.handle_read(at(7), Some(held("pod-b", "2")));
    assert_eq!(elector.leads_until(), None, "somebody else was written there");
}

#[test]
fn a_renewal_that_meets_another_version_holds_all_writes_until_it_is_read() {
    let mut elector = elector();
    elector.handle_written(at(0), at(0), held("pod-a", "1"));
    elector.handle_conflict(at(2));
    assert_eq!((elector.leads_until(), elector.poll_step(at(2))), (None, Step::Read));
    elector.handle_read(at(2), Some(held("pod-a", "2")));
    assert!(matches!(elector.poll_step(at(2)), Step::Replace { .. }), "somebody else changed what is still ours");
    elector.handle_conflict(at(2));
    assert_eq!(elector.poll_step(at(2)), Step::Wait(at(4)), "not again and again");
}

#[test]
fn a_release_ends_the_right_and_names_nobody() {
    let mut elector = elector();
    assert_eq!(elector.handle_release(), None);
    elector.handle_written(at(0), at(0), held("pod-a", "1"));
    let (version, record) = elector.handle_release().unwrap();
    assert_eq!((version.as_str(), record.holder.as_str(), elector.leads_until()), ("1", "", None));
}

/// A request on its way.
#[derive(Clone)]
struct Flight {
    started: Timestamp,
    step: Step,
    applied_at: u64,
    answered_at: u64,
    lost: bool,
    outcome: Option<Result<Option<Observed>, ()>>,
}

struct Process {
    elector: Elector,
    /// Thousandths of the true speed.
    rate: u64,
    offset: u64,
    stopped_until: u64,
    flight: Option<Flight>,
}

impl Process {
    fn now(&self, true_ms: u64) -> Timestamp {
        Timestamp::from_micros(self.offset * 1_000 + true_ms * self.rate)
    }

    fn may_write(&self, true_ms: u64) -> bool {
        self.elector.leads_until().is_some_and(|until| self.now(true_ms) < until)
    }
}

/// A small generator, so that a failure is told by its seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

#[derive(Default)]
struct Server {
    lease: Option<Observed>,
    version: u64,
}

impl Server {
    fn apply(&mut self, step: &Step) -> Result<Option<Observed>, ()> {
        let record = match (step, &self.lease) {
            (Step::Read, lease) => return Ok(lease.clone()),
            (Step::Create(record), None) => record,
            (Step::Replace { version, record, .. }, Some(lease)) if *version == lease.version => record,
            (Step::Create(_) | Step::Replace { .. } | Step::Wait(_), _) => return Err(()),
        };
        self.version += 1;
        self.lease = Some(Observed { version: self.version.to_string(), record: record.clone() });
        Ok(self.lease.clone())
    }
}

fn advance(process: &mut Process, server: &mut Server, draw: &mut Draw, true_ms: u64, faults: bool) {
    let now = process.now(true_ms);
    if let Some(flight) = &mut process.flight {
        // Applied by the server whatever the process does meanwhile.
        if flight.outcome.is_none() && true_ms >= flight.applied_at {
            flight.outcome = Some(server.apply(&flight.step));
        }
    }
    if true_ms < process.stopped_until {
        return;
    }
    process.elector.handle_timeout(now);
    if let Some(flight) = process.flight.take_if(|flight| true_ms >= flight.answered_at) {
        let of = if flight.step == Step::Read { Failed::Read } else { Failed::Write };
        match flight.outcome {
            _ if flight.lost => process.elector.handle_failure(now, of),
            Some(Ok(read)) if of == Failed::Read => process.elector.handle_read(now, read),
            Some(Ok(Some(written))) => process.elector.handle_written(flight.started, now, written),
            Some(Ok(None) | Err(())) | None => process.elector.handle_conflict(now),
        }
    }
    if process.flight.is_none() {
        let step = process.elector.poll_step(now);
        if matches!(step, Step::Wait(_)) {
            return;
        }
        let lost = faults && draw.below(8) == 0;
        let delay = if faults { draw.below(2_500) } else { draw.below(20) };
        let never = lost && draw.below(2) == 0;
        process.flight = Some(Flight {
            started: now,
            step,
            applied_at: if never { u64::MAX } else { true_ms + delay / 2 },
            answered_at: true_ms + if lost { 3_000 } else { delay },
            lost,
            outcome: None,
        });
        if faults && draw.below(40) == 0 {
            process.stopped_until = true_ms + draw.below(40_000);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn two_never_may_write_at_once_and_one_may_when_all_is_well(seed in 1_u64.., rates in prop::array::uniform3(900_u64..=1_100)) {
        let mut draw = Draw(seed);
        let mut server = Server::default();
        let mut processes: Vec<Process> = rates.iter().enumerate().map(|(index, rate)| Process {
            elector: Elector::new(&format!("pod-{index}"), Timings::default()),
            rate: *rate,
            offset: draw.below(1_000_000),
            stopped_until: 0,
            flight: None,
        }).collect();
        let (faults_end, end) = (200_000, 320_000);
        let mut led = 0;
        for true_ms in (0..end).step_by(50) {
            for process in &mut processes {
                advance(process, &mut server, &mut draw, true_ms, true_ms < faults_end);
            }
            let leaders = processes.iter().filter(|process| process.may_write(true_ms)).count();
            prop_assert!(leaders <= 1, "{leaders} at {true_ms} ms");
            led += usize::from(leaders == 1 && true_ms > faults_end + 80_000);
        }
        prop_assert!(led > 0 && processes.iter().any(|process| process.may_write(end)), "nobody leads after all is well");
    }
}
