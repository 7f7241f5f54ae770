//! How long a Service, and everybody, waits after a write failed ([ARCH-10]).
//!
//! Whose failure it is shows in what becomes of the others. An API server that cannot be reached makes all writes pause, shortly, so that it
//! is used again soon after it is back. One that answers and fails (500) does so for one object, as where a webhook does not answer,
//! or for all: as long as others succeed it is the Service's own failure, and its own wait grows.

use std::collections::BTreeSet;
use std::time::Duration;

use lbcore::service::ServiceKey;
use lbcore::time::Timestamp;

use crate::cluster::write::Failing;

/// The first delay after a write of one Service failed; doubles.
const RETRY_MIN: Duration = Duration::from_millis(5);
/// The first delay after the API server failed at a write.
const RETRY_INTERNAL_MIN: Duration = Duration::from_millis(100);
/// The longest such delay.
const RETRY_MAX: Duration = Duration::from_secs(60);
/// The longest of one Service while several fail and none succeeds: it finds out whether that is over.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// The first pause of all writes after the API server failed; doubles.
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest such pause: an API server that is back is used again within it.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(2);

/// The failures of one Service since its last success.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fault {
    failures: u32,
    /// How many writes of all had succeeded when the API server failed at this one last.
    successes: Option<u64>,
    /// Others succeeded in between.
    is_own: bool,
}

impl Fault {
    /// Whether the failures are of this Service alone.
    pub(super) const fn is_own(self) -> bool {
        self.is_own
    }

    fn delay(&mut self, first: Duration, longest: Duration) -> Duration {
        let delay = first * 2_u32.saturating_pow(self.failures.min(20));
        self.failures = self.failures.saturating_add(1);
        delay.min(longest)
    }
}

/// The failures of all.
#[derive(Debug)]
pub(super) struct Trouble {
    /// No write before this time.
    paused_until: Timestamp,
    pause: Duration,
    successes: u64,
    /// Services at which the API server failed since the last success.
    failing: BTreeSet<ServiceKey>,
}

impl Default for Trouble {
    fn default() -> Self {
        Self { paused_until: Timestamp::ZERO, pause: PAUSE_MIN, successes: 0, failing: BTreeSet::new() }
    }
}

impl Trouble {
    /// When the pause of all ends; `None` where there is none.
    pub(super) fn paused_until(&self, now: Timestamp) -> Option<Timestamp> {
        (now < self.paused_until).then_some(self.paused_until)
    }

    /// A write of a Service succeeded. Returns the others that failed since the last success: it may be over for them, too.
    pub(super) fn succeed(&mut self, key: &ServiceKey) -> BTreeSet<ServiceKey> {
        self.failing.remove(key);
        self.pause = PAUSE_MIN;
        self.paused_until = Timestamp::ZERO;
        self.successes += 1;
        std::mem::take(&mut self.failing)
    }

    /// A write of a Service failed. Returns how long that Service has to wait; `None` where only all have to.
    pub(super) fn fail(
        &mut self,
        now: Timestamp,
        key: &ServiceKey,
        failing: Failing,
        fault: &mut Fault,
    ) -> Option<Duration> {
        match failing {
            Failing::Server | Failing::Authority => {
                self.pause_all(now);
                None
            }
            Failing::Internal => {
                fault.is_own |= fault.successes.is_some_and(|before| before < self.successes);
                fault.successes = Some(self.successes);
                if !fault.is_own {
                    self.failing.insert(key.clone());
                }
                let is_common = self.failing.len() > 1 && !fault.is_own;
                if is_common {
                    self.pause_all(now);
                }
                let is_probe = is_common && self.failing.first() == Some(key);
                Some(fault.delay(RETRY_INTERNAL_MIN, if is_probe { PROBE_MAX } else { RETRY_MAX }))
            }
            Failing::Conflict | Failing::Missing | Failing::Refused => Some(fault.delay(RETRY_MIN, RETRY_MAX)),
        }
    }

    /// A Service is gone.
    pub(super) fn forget(&mut self, key: &ServiceKey) {
        self.failing.remove(key);
    }

    /// The API server is away.
    pub(super) fn pause_all(&mut self, now: Timestamp) {
        self.paused_until = now + self.pause;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
    }
}
