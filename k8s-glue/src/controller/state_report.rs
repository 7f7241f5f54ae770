//! When the ConfigurationState of the controller is looked at, and written where it says something else ([CFGST-10]). Pure.

use std::time::Duration;

use lbcore::time::Timestamp;

use crate::cluster::configuration_state::Verdict;

/// One that could not be written is tried again after this time.
const AGAIN: Duration = Duration::from_secs(2);

/// What shall be said, and whether it may have to be written.
#[derive(Clone, Debug)]
pub(crate) struct StateReport {
    verdict: Option<Verdict>,
    /// Whether it is known what the object says. A cluster need not have the kind: then it never is.
    is_listed: bool,
    is_stale: bool,
    is_writing: bool,
    next_at: Timestamp,
}

impl StateReport {
    /// Nothing is to be said before the first verdict.
    pub(crate) const fn new() -> Self {
        Self { verdict: None, is_listed: false, is_stale: true, is_writing: false, next_at: Timestamp::ZERO }
    }

    /// What is true from now on.
    pub(crate) fn handle_verdict(&mut self, verdict: Verdict) {
        if self.verdict.as_ref() != Some(&verdict) {
            self.verdict = Some(verdict);
            self.is_stale = true;
        }
    }

    /// The object was listed: it is known what it says, or that it is not there.
    pub(crate) const fn handle_listed(&mut self) {
        self.is_listed = true;
        self.is_stale = true;
    }

    /// The object came, changed or went.
    pub(crate) const fn handle_change(&mut self) {
        self.is_stale = true;
    }

    /// What the object has to be held against now; once for each change.
    pub(crate) fn poll(&mut self, now: Timestamp) -> Option<Verdict> {
        self.poll_timeout().filter(|at| *at <= now)?;
        self.is_stale = false;
        self.verdict.clone()
    }

    /// A write has begun: there is no other before its end.
    pub(crate) const fn handle_started(&mut self) {
        self.is_writing = true;
    }

    /// The write came to its end.
    pub(crate) fn handle_written<T, E>(&mut self, now: Timestamp, outcome: &Result<T, E>) {
        self.is_writing = false;
        if outcome.is_err() {
            self.is_stale = true;
            self.next_at = now + AGAIN;
        }
    }

    /// When to poll; `None` where something has to happen before, so that nobody is woken for nothing.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        let may_be_due = self.is_stale && self.is_listed && !self.is_writing && self.verdict.is_some();
        may_be_due.then_some(self.next_at)
    }

    /// What is true, as far as that is known.
    pub(crate) const fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    // [COMPAT-8]: a deadline that nothing can be done about would be one for ever, and the loop would run hot.
    #[test]
    fn an_object_that_cannot_be_listed_wakes_nobody() {
        let mut report = StateReport::new();
        report.handle_verdict(Verdict::Reconciled);
        assert_eq!((report.poll_timeout(), report.poll(at(10))), (None, None));
        report.handle_listed();
        assert_eq!(report.poll_timeout(), Some(Timestamp::ZERO));
        assert_eq!(report.poll(at(10)), Some(Verdict::Reconciled));
        assert_eq!((report.poll_timeout(), report.poll(at(10))), (None, None));
    }

    // [CFGST-10]
    #[test]
    fn a_verdict_is_held_against_the_object_when_either_changes_and_no_write_is_under_way() {
        let mut report = StateReport::new();
        report.handle_listed();
        assert_eq!(report.poll(at(0)), None, "nothing was judged");
        report.handle_verdict(Verdict::Reconciled);
        assert!(report.poll(at(0)).is_some());
        report.handle_verdict(Verdict::Reconciled);
        assert_eq!(report.poll(at(0)), None, "it is the same");
        report.handle_change();
        assert!(report.poll(at(0)).is_some());
        report.handle_started();
        report.handle_change();
        assert_eq!((report.poll_timeout(), report.poll(at(0))), (None, None));
        report.handle_written(at(1), &Ok::<(), ()>(()));
        assert!(report.poll(at(1)).is_some());
    }
}
