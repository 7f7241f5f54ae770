//! How long a watch waits after a failure. Pure.

use std::time::Duration;

use lbcore::time::Timestamp;

use super::Kind;

/// Time before the first new try; doubles with each failure of the same kind.
const MIN: Duration = Duration::from_millis(200);
/// The longest time between two tries where the API server cannot be reached: one that is back is noticed within this time.
const UNREACHABLE_MAX: Duration = Duration::from_secs(2);
/// The longest time between two tries where it answers and says no.
const REFUSED_MAX: Duration = Duration::from_secs(5);
/// The same for a kind that the cluster need not have: a thousand nodes ask for it.
const OPTIONAL_MAX: Duration = Duration::from_secs(60);
/// A failure so long after the one before is another trouble.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15);

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No answer.
    Unreachable,
    /// An answer that says no, such as 403.
    Refused,
    /// The API server does not remember what happened since: 410. A list helps at once.
    Expired,
}

/// Counts failures.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// The failure before, when it was, and how long was waited then.
    last: Option<(Failure, Timestamp, Duration)>,
    refused_max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { last: None, refused_max: REFUSED_MAX }
    }
}

impl Backoff {
    /// For the watch of a kind.
    pub(super) fn of(kind: Kind) -> Self {
        let refused_max = if Kind::OPTIONAL.contains(&kind) { OPTIONAL_MAX } else { REFUSED_MAX };
        Self { refused_max, ..Self::default() }
    }

    /// How long to wait. Who starts up says no to everybody at first: the first no after silence is asked again soon.
    pub(crate) fn handle_failure(&mut self, now: Timestamp, failure: Failure) -> Duration {
        let most = match failure {
            Failure::Unreachable => UNREACHABLE_MAX,
            Failure::Refused | Failure::Expired => self.refused_max,
        };
        let wait = match self.last {
            Some((before, at, waited)) if before == failure && now.since(at) < waited + FORGOTTEN_AFTER => {
                (waited * 2).clamp(MIN, most)
            }
            Some(_) | None if failure == Failure::Expired => Duration::ZERO,
            Some(_) | None => MIN,
        };
        self.last = Some((failure, now, wait));
        wait
    }

    /// Everything was listed, or something was heard.
    pub(crate) fn handle_success(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(backoff: &mut Backoff, at: &mut Timestamp, failures: &[Failure]) -> Vec<u128> {
        let mut waits = Vec::new();
        for failure in failures {
            let wait = backoff.handle_failure(*at, *failure);
            *at = *at + wait + Duration::from_millis(5);
            waits.push(wait.as_millis());
        }
        waits
    }

    // [ARCH-10]
    #[test]
    fn who_is_refused_for_ever_asks_ever_less() {
        let (mut backoff, mut at) = (Backoff::default(), Timestamp::ZERO);
        let waits = waits(&mut backoff, &mut at, &[Failure::Refused; 8]);
        assert_eq!(waits, [200, 400, 800, 1_600, 3_200, 5_000, 5_000, 5_000]);
    }

    #[test]
    fn a_kind_that_need_not_be_there_is_asked_for_once_a_minute() {
        let (mut backoff, mut at) = (Backoff::of(Kind::PoolPolicy), Timestamp::ZERO);
        assert_eq!(waits(&mut backoff, &mut at, &[Failure::Refused; 11]).last(), Some(&60_000));
    }

    #[test]
    fn an_api_server_that_boots_costs_no_long_wait() {
        use Failure::{Expired, Refused, Unreachable};
        let (mut backoff, mut at) = (Backoff::default(), Timestamp::ZERO);
        let failures = [Unreachable, Unreachable, Unreachable, Unreachable, Unreachable, Refused, Refused, Expired];
        assert_eq!(waits(&mut backoff, &mut at, &failures), [200, 400, 800, 1_600, 2_000, 200, 400, 0]);
        backoff.handle_success();
        assert_eq!(waits(&mut backoff, &mut at, &[Expired, Expired, Expired]), [0, 200, 400], "no hot loop");
    }

    #[test]
    fn an_old_trouble_is_forgotten() {
        let (mut backoff, mut at) = (Backoff::default(), Timestamp::ZERO);
        waits(&mut backoff, &mut at, &[Failure::Refused; 8]);
        at = at + Duration::from_secs(60);
        assert_eq!(waits(&mut backoff, &mut at, &[Failure::Refused]), [200]);
    }
}
