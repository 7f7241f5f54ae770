//! When the ConfigurationState of the controller is looked at, and written where it says something else ([CFGST-10]). Pure.

use std::time::Duration;

use lbcore::time::Timestamp;

use super::status_pace::News;
use crate::cluster::configuration_state::Verdict;
use crate::cluster::write::Failing;

/// Time before the first new try after a failure, doubling up to [`AGAIN_MAX`].
const AGAIN_MIN: Duration = Duration::from_secs(2);
/// What was refused may be allowed meanwhile: that is found out within this time.
const AGAIN_MAX: Duration = Duration::from_secs(60);

/// What shall be said, and whether it may have to be written.
#[derive(Clone, Debug)]
pub(crate) struct StateReport {
    verdict: Option<Verdict>,
    /// Whether it is known what the object says. A cluster need not have the kind: then it never is.
    is_listed: bool,
    is_stale: bool,
    is_writing: bool,
    next_at: Timestamp,
    /// How long was waited after the last failure; `None` where the last write succeeded.
    waited: Option<Duration>,
    /// What was told of why it fails.
    told: Option<Failing>,
}

impl StateReport {
    /// Nothing is to be said before the first verdict.
    pub(crate) const fn new() -> Self {
        Self {
            verdict: None,
            is_listed: false,
            is_stale: true,
            is_writing: false,
            next_at: Timestamp::ZERO,
            waited: None,
            told: None,
        }
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
    pub(crate) fn handle_written(&mut self, now: Timestamp, outcome: Result<(), Failing>) -> News {
        self.is_writing = false;
        let Err(failing) = outcome else {
            (self.waited, self.told) = (None, None);
            return News::Nothing;
        };
        let wait = self.waited.map_or(AGAIN_MIN, |waited| (waited * 2).min(AGAIN_MAX));
        (self.is_stale, self.next_at) = (true, now + wait);
        // The first failure may pass by itself.
        let lasts = self.waited.replace(wait).is_some();
        let is_news = lasts && failing != Failing::Conflict && self.told != Some(failing);
        if !is_news {
            return News::Nothing;
        }
        self.told = Some(failing);
        News::Told
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
        report.handle_written(at(1), Ok(()));
        assert!(report.poll(at(1)).is_some());
    }

    // [ARCH-10]
    #[test]
    fn a_write_that_is_refused_for_ever_is_made_ever_less_and_told_once() {
        let mut report = StateReport::new();
        report.handle_listed();
        report.handle_verdict(Verdict::Reconciled);
        let (mut times, mut told) = (Vec::new(), 0);
        while let Some(now) = report.poll_timeout().filter(|at| at.as_micros() < 200_000_000) {
            assert!(report.poll(now).is_some());
            report.handle_started();
            told += u32::from(report.handle_written(now, Err(Failing::Refused)) == News::Told);
            times.push(now.as_micros() / 1_000_000);
        }
        assert_eq!((times, told), (vec![0, 2, 6, 14, 30, 62, 122, 182], 1));
        report.handle_written(at(200_000), Ok(()));
        report.handle_written(at(200_000), Err(Failing::Refused));
        assert_eq!(report.poll_timeout(), Some(at(202_000)), "another trouble begins anew");
    }
}
