//! Whether this account may use Leases at all ([COMPAT-8]).
//!
//! Pure. An API server answers 403 to accounts with every right for a moment after each start, while it reads the rules; and a rule can be
//! taken away and given back. Leading without a Lease beside one who leads by it gives addresses twice, so it takes more than that:
//! Leases never worked in this process, and were refused again and again for longer than a lease is good. Even then the right to write
//! lasts only from one refusal to the next, and ends at once where a Lease can be used after all.

use std::time::Duration;

use lbcore::time::Timestamp;

use super::Timings;

/// Refusals in a row that it takes.
const ENOUGH: u32 = 5;

/// What was answered so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    /// Nothing that says anything.
    None,
    /// Nothing but refusals, so many since this time.
    Refused { since: Timestamp, count: u32 },
    /// This account may not use Leases.
    Forbidden,
    /// Leases could be used once.
    Usable,
}

/// Counts refusals.
#[derive(Clone, Debug)]
pub(crate) struct Refusals {
    timings: Timings,
    answers: Answers,
    leads_until: Option<Timestamp>,
}

impl Refusals {
    /// Nothing was answered yet.
    pub(crate) const fn new(timings: Timings) -> Self {
        Self { timings, answers: Answers::None, leads_until: None }
    }

    /// Until when this process may write without a Lease; `None` where it may not.
    pub(crate) const fn leads_until(&self) -> Option<Timestamp> {
        self.leads_until
    }

    /// Takes back the right to write where its time is over.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        if self.leads_until.is_some_and(|until| now >= until) {
            self.leads_until = None;
        }
    }

    /// A request that began at `started` was answered with 403.
    pub(crate) fn handle_refused(&mut self, started: Timestamp, now: Timestamp) {
        let least: Duration = self.timings.lease;
        self.answers = match self.answers {
            Answers::None => Answers::Refused { since: started, count: 1 },
            Answers::Refused { since, count } if count + 1 >= ENOUGH && now.since(since) > least => Answers::Forbidden,
            Answers::Refused { since, count } => Answers::Refused { since, count: count.saturating_add(1) },
            Answers::Forbidden => Answers::Forbidden,
            Answers::Usable => Answers::Usable,
        };
        let until = started + self.timings.renew;
        self.leads_until = (self.answers == Answers::Forbidden && now < until).then_some(until);
    }

    /// A request failed for another reason: what was refused before it may be the same trouble.
    pub(crate) fn handle_failure(&mut self) {
        if matches!(self.answers, Answers::Refused { .. }) {
            self.answers = Answers::None;
        }
    }

    /// A Lease was read or written, or found to be absent.
    pub(crate) fn handle_used(&mut self) {
        self.answers = Answers::Usable;
        self.leads_until = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * SECOND)
    }

    fn refused(refusals: &mut Refusals, seconds: impl IntoIterator<Item = u64>) {
        for second in seconds {
            refusals.handle_refused(at(second), at(second));
        }
    }

    // [COMPAT-8], [DEPLOY-8]
    #[test]
    fn who_used_a_lease_once_never_leads_without() {
        let mut refusals = Refusals::new(Timings::default());
        refusals.handle_used();
        refused(&mut refusals, (10..1_000).step_by(2));
        assert_eq!(refusals.leads_until(), None);
    }

    // [COMPAT-8]
    #[test]
    fn refusals_count_after_a_lease_time_alone() {
        let mut refusals = Refusals::new(Timings::default());
        refused(&mut refusals, (10..=24).step_by(2));
        assert_eq!(refusals.leads_until(), None);
        refused(&mut refusals, [26]);
        assert_eq!(refusals.leads_until(), Some(at(36)), "and then until a renewal would be due");
        refusals.handle_timeout(at(36));
        assert_eq!(refusals.leads_until(), None, "nobody says any more that Leases are forbidden");
        refused(&mut refusals, [90]);
        assert_eq!(refusals.leads_until(), Some(at(100)));
        refusals.handle_used();
        assert_eq!(refusals.leads_until(), None, "at once");
        refused(&mut refusals, (200..300).step_by(2));
        assert_eq!(refusals.leads_until(), None);
    }

    #[test]
    fn few_refusals_over_a_long_time_are_not_enough() {
        let mut refusals = Refusals::new(Timings::default());
        refused(&mut refusals, [0, 20, 40, 60]);
        assert_eq!(refusals.leads_until(), None);
        refusals.handle_failure();
        refused(&mut refusals, [80, 82, 84, 86, 88]);
        assert_eq!(refusals.leads_until(), None, "an API server that is away in between begins anew");
        refused(&mut refusals, [96]);
        assert_eq!(refusals.leads_until(), Some(at(106)));
    }
}
