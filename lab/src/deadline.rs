//! Waiting with an end: nothing in a laboratory waits for ever, and what was waited for is named.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// A moment after which a wait is a failure.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    started: Instant,
    within: Duration,
}

impl Deadline {
    /// A deadline this far from now.
    pub fn within(within: Duration) -> Self {
        Self { started: Instant::now(), within }
    }

    /// Time left; zero once it has passed.
    pub fn left(&self) -> Duration {
        self.within.saturating_sub(self.started.elapsed())
    }

    /// Whether it has passed.
    pub fn has_passed(&self) -> bool {
        self.left().is_zero()
    }

    /// The error that says what was waited for.
    pub fn missed(&self, what: impl Into<String>) -> Error {
        Error::Late { what: what.into(), waited: self.within }
    }
}

/// Looks every 5 ms until `look` yields something, and returns that.
///
/// # Errors
/// [`Error::Late`] with `what` once `within` has passed.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// let mut count = 0;
/// let found = lab::wait_until(Duration::from_secs(1), "the third look", || {
///     count += 1;
///     (count == 3).then_some(count)
/// });
/// assert_eq!(found.ok(), Some(3));
/// ```
pub fn wait_until<T>(within: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Deadline::within(within);
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if deadline.has_passed() {
            return Err(deadline.missed(what));
        }
        thread::sleep(LOOK_EVERY.min(deadline.left()));
    }
}
