//! When the statuses of the objects of one kind are written: all together as [`Pace`] says, and those that failed each in a time of its own
//! ([ARCH-10]), so that one that is refused for ever costs little and holds up no other. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lbcore::time::Timestamp;

use super::pace::Pace;
use crate::cluster::write::Failing;

/// Time before the first new try after a failure, doubling up to [`AGAIN_MAX`].
const AGAIN_MIN: Duration = Duration::from_secs(1);
/// What was refused may be allowed meanwhile: that is found out within this time.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// A status that could not be written.
#[derive(Clone, Copy, Debug)]
struct Setback {
    failing: Failing,
    wait: Duration,
    /// When it is tried again; `None` while it is.
    again_at: Option<Timestamp>,
    is_told: bool,
}

/// Whether a failure is worth a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// It is the first of the kind that lasts.
    Told,
    /// It may pass by itself, as where an object has just changed or gone, or was told before.
    Nothing,
}

/// Remembers whether there was a change, what failed, and when either may be followed.
#[derive(Clone, Debug)]
pub(crate) struct StatusPace {
    pace: Pace,
    /// By the name of the object.
    setbacks: BTreeMap<Box<str>, Setback>,
}

impl StatusPace {
    /// Nothing is to be done before the first change.
    pub(crate) const fn new(period: Duration) -> Self {
        Self { pace: Pace::new(period), setbacks: BTreeMap::new() }
    }

    /// Something changed that the statuses may have to say, or somebody changed what they say.
    pub(crate) const fn handle_change(&mut self) {
        self.pace.handle_change();
    }

    /// A write came to its end.
    pub(crate) fn handle_written(&mut self, now: Timestamp, name: &str, outcome: Result<(), Failing>) -> News {
        let failing = match outcome {
            Ok(()) => {
                self.setbacks.remove(name);
                return News::Nothing;
            }
            // It says nothing of the object. Should the right come back, all is looked at.
            Err(Failing::Authority) => {
                self.handle_change();
                return News::Nothing;
            }
            Err(failing) => failing,
        };
        let before = self.setbacks.get(name).copied();
        if before.is_some_and(|before| before.again_at.is_some()) {
            // Two writes crossed: one failure counts.
            return News::Nothing;
        }
        let is_known = self.setbacks.values().any(|setback| setback.is_told && setback.failing == failing);
        let is_news = before.is_some() && failing != Failing::Conflict && !is_known;
        let wait = before.map_or(AGAIN_MIN, |before| (before.wait * 2).min(AGAIN_MAX));
        let is_told = is_news || before.is_some_and(|before| before.is_told && before.failing == failing);
        self.setbacks.insert(name.into(), Setback { failing, wait, again_at: Some(now + wait), is_told });
        if is_news { News::Told } else { News::Nothing }
    }

    /// Whether it is time to look at the statuses; then that is done.
    pub(crate) fn poll(&mut self, now: Timestamp) -> bool {
        for setback in self.setbacks.values_mut().filter(|setback| setback.again_at.is_some_and(|at| at <= now)) {
            setback.again_at = None;
            self.pace.handle_change();
        }
        self.pace.poll(now)
    }

    /// Of the writes that statuses need those that may be made now.
    pub(crate) fn choose<W>(&mut self, writes: Vec<W>, name_of: impl Fn(&W) -> &str) -> Vec<W> {
        // What needs no write is as it shall be, or gone.
        let needed: BTreeSet<&str> = writes.iter().map(&name_of).collect();
        self.setbacks.retain(|name, _| needed.contains(&**name));
        let is_waiting = |write: &W| self.setbacks.get(name_of(write)).is_some_and(|one| one.again_at.is_some());
        writes.into_iter().filter(|write| !is_waiting(write)).collect()
    }

    /// When to come back.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let again = self.setbacks.values().filter_map(|setback| setback.again_at);
        again.chain(self.pace.poll_timeout()).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(1);

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn chosen<'a>(pace: &mut StatusPace, needed: &[&'a str]) -> Vec<&'a str> {
        pace.choose(needed.to_vec(), |name| name)
    }

    /// Looks whenever it is time, as a host does, and says when objects were written all of whose writes fail.
    fn tries(pace: &mut StatusPace, needed: &[&str], failing: Failing, until: Timestamp) -> Vec<(u64, News)> {
        let (mut tries, mut wakes) = (Vec::new(), 0);
        let mut now = Timestamp::ZERO;
        while let Some(next) = pace.poll_timeout().map(|at| at.max(now)).filter(|at| *at < until) {
            now = next;
            wakes += 1;
            assert!(wakes < 100, "a deadline that stays in the past");
            if !pace.poll(now) {
                continue;
            }
            for name in chosen(pace, needed) {
                now = now + Duration::from_millis(3);
                tries.push((now.as_micros() / 1_000_000, pace.handle_written(now, name, Err(failing))));
            }
        }
        tries
    }

    // [ARCH-10]
    #[test]
    fn a_status_that_is_refused_for_ever_is_written_ever_less_and_told_once() {
        let mut pace = StatusPace::new(PERIOD);
        pace.handle_change();
        let tries = tries(&mut pace, &["p"], Failing::Refused, at(250_000));
        let times: Vec<u64> = tries.iter().map(|(second, _)| *second).collect();
        assert_eq!(times, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
        let told = tries.iter().filter(|(_, news)| *news == News::Told);
        assert_eq!(told.map(|(second, _)| *second).collect::<Vec<u64>>(), [1]);
    }

    #[test]
    fn of_many_that_are_refused_one_is_told() {
        let mut pace = StatusPace::new(PERIOD);
        pace.handle_change();
        let tries = tries(&mut pace, &["a", "b", "c"], Failing::Refused, at(100_000));
        assert_eq!(tries.iter().filter(|(_, news)| *news == News::Told).count(), 1);
    }

    // [POOLST-6]
    #[test]
    fn one_that_is_refused_holds_up_no_other() {
        let mut pace = StatusPace::new(PERIOD);
        pace.handle_change();
        for second in 0..20 {
            let now = at(second * 1_000);
            pace.handle_change();
            assert!(pace.poll(now));
            for name in chosen(&mut pace, &["bad", "good"]) {
                pace.handle_written(now, name, if name == "bad" { Err(Failing::Refused) } else { Ok(()) });
            }
        }
        pace.handle_change();
        assert!(pace.poll(at(20_000)));
        assert_eq!(chosen(&mut pace, &["bad", "good"]), ["good"]);
        // Once it is taken, it is like any other.
        assert!(pace.poll(at(31_000)));
        assert_eq!(chosen(&mut pace, &["bad"]), ["bad"]);
        assert_eq!(pace.handle_written(at(31_001), "bad", Ok(())), News::Nothing);
        pace.handle_change();
        assert_eq!(pace.poll_timeout(), Some(at(32_000)));
    }

    #[test]
    fn what_is_gone_is_neither_told_nor_remembered() {
        let mut pace = StatusPace::new(PERIOD);
        pace.handle_change();
        assert!(pace.poll(at(0)));
        assert_eq!(chosen(&mut pace, &["p"]), ["p"]);
        assert_eq!(pace.handle_written(at(5), "p", Err(Failing::Missing)), News::Nothing);
        assert!(pace.poll(at(1_005)));
        assert_eq!(chosen(&mut pace, &[]), [""; 0]);
        assert_eq!(pace.poll_timeout(), None);
    }

    #[test]
    fn who_may_not_write_any_more_looks_again_without_a_wait() {
        let mut pace = StatusPace::new(PERIOD);
        pace.handle_change();
        assert!(pace.poll(at(0)));
        assert_eq!(pace.handle_written(at(5), "p", Err(Failing::Authority)), News::Nothing);
        assert_eq!(pace.poll_timeout(), Some(at(1_000)));
        assert!(pace.poll(at(1_000)));
        assert_eq!(chosen(&mut pace, &["p"]), ["p"]);
    }
}
