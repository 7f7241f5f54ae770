//! Moments on the clock that stamps captured frames (`CLOCK_REALTIME`), so that "killed at" and "first frame at" can be subtracted.
//!
//! A step of the host's clock during a test shows as a wrong figure; laboratories are short enough to accept that.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A moment: nanoseconds since 1970 on the clock of the kernel's frame stamps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(Duration);

impl Moment {
    /// The present.
    pub fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// The moment this long after 1970.
    pub const fn from_epoch(since: Duration) -> Self {
        Self(since)
    }

    /// Time since 1970.
    pub const fn since_epoch(self) -> Duration {
        self.0
    }

    /// Time from `earlier` to here; zero where `earlier` is later.
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The moment `span` later.
    #[must_use]
    pub const fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

impl fmt::Debug for Moment {
    /// Seconds with microseconds, without the leading digits that no two moments of a test differ in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0.as_secs() % 100_000, self.0.subsec_micros())
    }
}
