//! What a client's attempts say about an outage. Pure.
//!
//! An outage is the longest time in which no request was answered, less the time between two requests: a service that answers every
//! one has an outage of zero. Attempts that were answered late count where they were answered, so that a request that waited for
//! the new owner does not hide the wait.

use std::time::Duration;

use crate::clock::Moment;

/// Time between two requests of a client, and so the resolution of an outage.
pub const PERIOD: Duration = Duration::from_millis(10);

/// So many answered attempts in a row, and traffic has come back.
pub const SETTLED_ATTEMPTS: usize = 30;

/// One request of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it was begun.
    pub started: Moment,
    /// When it was answered or given up.
    pub ended: Moment,
    /// What became of it.
    pub ending: Ending,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The connection stood and then broke: it began at the old owner, and its later segments reached the new one.
    Cut,
    /// No connection came about.
    Unconnected,
    /// A page came: what it says, without white space around it (the name of its server).
    Served(String),
}

impl Attempt {
    /// What the page said that came: which server answered.
    pub fn served_by(&self) -> Option<&str> {
        match &self.ending {
            Ending::Served(by) => Some(by),
            Ending::Cut | Ending::Unconnected => None,
        }
    }
}

/// The longest time without an answer between two moments, less [`PERIOD`]; an answer just before `from` counts.
pub fn outage(attempts: &[Attempt], from: Moment, to: Moment) -> Duration {
    let mut answers: Vec<Moment> =
        attempts.iter().filter(|attempt| attempt.served_by().is_some()).map(|attempt| attempt.ended).collect();
    answers.sort_unstable();
    let before = answers.iter().rev().find(|at| **at <= from).copied().unwrap_or(from);
    let within = answers.iter().copied().filter(|at| (from..=to).contains(at));
    let mut longest = Duration::ZERO;
    let mut last = before;
    for at in within.chain([to]) {
        longest = longest.max(at.since(last));
        last = at;
    }
    longest.saturating_sub(PERIOD)
}

/// Attempts begun between two moments that ended like this.
pub fn count(attempts: &[Attempt], from: Moment, to: Moment, ending: &Ending) -> usize {
    let within = attempts.iter().filter(|attempt| (from..=to).contains(&attempt.started));
    within.filter(|attempt| attempt.ending == *ending).count()
}

/// Whether the latest [`SETTLED_ATTEMPTS`] attempts begun after a moment were all answered, by others than `old`.
pub fn is_settled(attempts: &[Attempt], after: Moment, old: &str) -> bool {
    let mut later: Vec<&Attempt> = attempts.iter().filter(|attempt| attempt.started > after).collect();
    later.sort_unstable_by_key(|attempt| std::cmp::Reverse(attempt.started));
    later.len() >= SETTLED_ATTEMPTS
        && later.iter().take(SETTLED_ATTEMPTS).all(|attempt| attempt.served_by().is_some_and(|by| by != old))
}

/// What a client saw between two moments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Report {
    /// Requests that were begun.
    pub requests: usize,
    /// Those of them that were not answered.
    pub failed: usize,
    /// The longest time without an answer, less [`PERIOD`].
    pub outage: Duration,
    /// From the first moment to the end of the last request that failed; zero where none did.
    pub recovered: Duration,
}

/// What a client saw between two moments; attempts that are not over by `to` are left out.
pub fn report(attempts: &[Attempt], from: Moment, to: Moment) -> Report {
    let within = || attempts.iter().filter(|attempt| (from..=to).contains(&attempt.started) && attempt.ended <= to);
    let failed = || within().filter(|attempt| attempt.served_by().is_none());
    Report {
        requests: within().count(),
        failed: failed().count(),
        outage: outage(attempts, from, to),
        recovered: failed().map(|attempt| attempt.ended.since(from)).max().unwrap_or_default(),
    }
}

/// Whole milliseconds, rounded up: an outage is never made to look shorter.
pub fn milliseconds(span: Duration) -> u128 {
    span.as_micros().div_ceil(1_000)
}

/// Smallest, median (the lower of two) and largest of some spans; `None` for none.
pub fn spread(spans: &[Duration]) -> Option<(Duration, Duration, Duration)> {
    let mut sorted = spans.to_vec();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len().saturating_sub(1) / 2)?;
    Some((*sorted.first()?, *median, *sorted.last()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(milliseconds: u64) -> Moment {
        Moment::from_epoch(Duration::from_millis(milliseconds))
    }

    /// Attempts each 10 ms from `from` on, answered after 1 ms by `by`.
    fn steady(by: Option<&str>, from: u64, to: u64) -> Vec<Attempt> {
        let ending = by.map_or(Ending::Unconnected, |by| Ending::Served(by.to_owned()));
        let attempt = |at| Attempt { started: moment(at), ended: moment(at + 1), ending: ending.clone() };
        (from..to).step_by(10).map(attempt).collect()
    }

    #[test]
    fn a_service_that_answers_every_request_has_no_outage() {
        assert_eq!(outage(&steady(Some("n1"), 0, 1_000), moment(500), moment(991)), Duration::ZERO);
    }

    #[test]
    fn an_outage_lasts_from_the_last_answer_before_to_the_first_after_less_one_period() {
        let mut attempts = steady(Some("n1"), 0, 500);
        attempts.extend(steady(None, 500, 1_000));
        attempts.extend(steady(Some("n2"), 1_000, 1_500));
        // 491 to 1001, less 10.
        assert_eq!(outage(&attempts, moment(495), moment(1_491)), Duration::from_millis(500));
        assert_eq!(count(&attempts, moment(495), moment(1_491), &Ending::Unconnected), 50);
    }

    #[test]
    fn one_lost_request_among_answered_ones_is_an_outage_of_one_period() {
        let mut attempts = steady(Some("n1"), 0, 500);
        attempts[30].ending = Ending::Cut;
        assert_eq!(outage(&attempts, moment(200), moment(491)), Duration::from_millis(10));
        assert_eq!(count(&attempts, moment(200), moment(491), &Ending::Cut), 1);
    }

    #[test]
    fn traffic_that_does_not_come_back_is_an_outage_to_the_end() {
        let attempts = steady(Some("n1"), 0, 500);
        assert_eq!(outage(&attempts, moment(495), moment(5_491)), Duration::from_millis(4_990));
    }

    #[test]
    fn a_request_that_was_answered_late_does_not_shorten_the_outage() {
        let mut attempts = steady(Some("n1"), 0, 500);
        attempts.push(Attempt { started: moment(500), ended: moment(1_101), ending: Ending::Served("n2".into()) });
        attempts.extend(steady(Some("n2"), 1_100, 1_500));
        assert_eq!(outage(&attempts, moment(495), moment(1_491)), Duration::from_millis(600));
    }

    #[test]
    fn traffic_has_settled_once_enough_requests_in_a_row_reached_another_node() {
        let mut attempts = steady(Some("n1"), 0, 500);
        assert!(!is_settled(&attempts, moment(0), "n1"), "the old node still answers");
        attempts.extend(steady(Some("n2"), 500, 790));
        assert!(!is_settled(&attempts, moment(0), "n1"), "29 are too few");
        attempts.extend(steady(Some("n2"), 790, 800));
        assert!(is_settled(&attempts, moment(0), "n1"));
        attempts.extend(steady(None, 800, 810));
        assert!(!is_settled(&attempts, moment(0), "n1"), "the latest was lost");
    }

    #[test]
    fn a_report_counts_what_failed_and_when_it_was_over() {
        let mut attempts = steady(Some("n1"), 0, 500);
        attempts.extend(steady(None, 500, 700));
        attempts.extend(steady(Some("n2"), 700, 1_000));
        let seen = report(&attempts, moment(400), moment(995));
        assert_eq!((seen.requests, seen.failed), (60, 20));
        assert_eq!((seen.outage, seen.recovered), (Duration::from_millis(200), Duration::from_millis(291)));
        assert_eq!(report(&steady(Some("n1"), 0, 500), moment(100), moment(480)).failed, 0);
    }

    #[test]
    fn milliseconds_are_rounded_up() {
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_millis(7)), 7);
        assert_eq!(milliseconds(Duration::ZERO), 0);
    }

    #[test]
    fn the_spread_of_four_has_the_lower_middle_as_median() {
        let spans = [40, 10, 30, 20].map(Duration::from_millis);
        assert_eq!(spread(&spans), Some((spans[1], spans[3], spans[0])));
        assert_eq!(spread(&[]), None);
    }
}
