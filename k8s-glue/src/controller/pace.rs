//! When something is done that many changes ask for: after a change, and at most once a period. Pure.

use std::time::Duration;

use lbcore::time::Timestamp;

/// Remembers whether there was a change, and when it may be followed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    period: Duration,
    is_stale: bool,
    next_at: Timestamp,
}

impl Pace {
    /// Nothing is to be done before the first change.
    pub(crate) const fn new(period: Duration) -> Self {
        Self { period, is_stale: false, next_at: Timestamp::ZERO }
    }

    /// It is to be done at once, without a change.
    pub(crate) const fn due(period: Duration) -> Self {
        Self { is_stale: true, ..Self::new(period) }
    }

    /// Something changed.
    pub(crate) const fn handle_change(&mut self) {
        self.is_stale = true;
    }

    /// Whether it is time; then it is done.
    pub(crate) fn poll(&mut self, now: Timestamp) -> bool {
        let is_due = self.is_stale && now >= self.next_at;
        if is_due {
            self.is_stale = false;
            self.next_at = now + self.period;
        }
        is_due
    }

    /// When to come back.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.is_stale.then_some(self.next_at)
    }
}
