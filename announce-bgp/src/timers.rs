//! The timers of a session as a table of deadlines, and the waits between attempts.

use core::time::Duration;

use lbcore::rng::Rng;
use lbcore::time::Timestamp;

/// The timers of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// When to give up dialling and begin again, or to dial again after a connection was lost before it was agreed (RFC 4271
    /// section 8, `ConnectRetryTimer`).
    ConnectRetry,
    /// When to give the session up because nothing was heard (`HoldTimer`).
    Hold,
    /// When to leave Idle (`IdleHoldTimer`).
    IdleHold,
    /// When to send a KEEPALIVE (`KeepaliveTimer`).
    KeepAlive,
    /// When to give the session up because the peer takes nothing (RFC 9687, `SendHoldTimer`).
    SendHold,
    /// When to call a session stable, so that the next loss is followed by an attempt at once ([BGP-5]).
    Stable,
}

const TIMERS: [Timer; 6] =
    [Timer::ConnectRetry, Timer::Hold, Timer::IdleHold, Timer::KeepAlive, Timer::SendHold, Timer::Stable];

/// Which timer runs until when.
#[derive(Clone, Debug, Default)]
pub struct TimerTable([Option<Timestamp>; TIMERS.len()]);

impl TimerTable {
    /// None runs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a timer, or sets it anew.
    pub fn set(&mut self, timer: Timer, at: Timestamp) {
        if let Some(place) = self.place(timer) {
            *place = Some(at);
        }
    }

    /// Sets a timer that runs to a deadline that comes sooner; one that does not run stays so.
    pub fn shorten(&mut self, timer: Timer, at: Timestamp) {
        if let Some(place) = self.place(timer) {
            *place = place.map(|before| before.min(at));
        }
    }

    /// Stops a timer; one that does not run is no error.
    pub fn stop(&mut self, timer: Timer) {
        if let Some(place) = self.place(timer) {
            *place = None;
        }
    }

    /// Stops all.
    pub fn stop_all(&mut self) {
        self.0 = [None; TIMERS.len()];
    }

    /// Whether it runs.
    pub fn is_running(&self, timer: Timer) -> bool {
        TIMERS.iter().zip(self.0).any(|(known, at)| *known == timer && at.is_some())
    }

    /// The next deadline with its name.
    pub fn next(&self) -> Option<(Timestamp, Timer)> {
        TIMERS.iter().zip(self.0).filter_map(|(timer, at)| Some((at?, *timer))).min()
    }

    /// Stops and returns the first timer whose deadline has passed.
    pub fn expire(&mut self, now: Timestamp) -> Option<Timer> {
        let (_, timer) = self.next().filter(|(at, _)| *at <= now)?;
        self.stop(timer);
        Some(timer)
    }

    fn place(&mut self, timer: Timer) -> Option<&mut Option<Timestamp>> {
        TIMERS.iter().zip(&mut self.0).find_map(|(known, place)| (*known == timer).then_some(place))
    }
}

/// Shortens a wait to 75 to 100 hundredths of it (RFC 4271 section 10).
pub fn jittered(wait: Duration, rng: &mut Rng) -> Duration {
    let percent = 75 + u32::try_from(rng.below(26)).unwrap_or(25);
    wait * percent / 100
}

/// The waits between attempts: none, then 0.25 s doubling to 1 s, with jitter ([WIRE-3], [BGP-5]).
#[derive(Clone, Debug, Default)]
pub struct Backoff {
    failures: u32,
}

/// The wait after the second failure.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// The longest wait.
pub const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Backoff {
    /// The wait before the next attempt; each call makes the following one longer. `fixed` is `connectTime` ([PEER-20]), which takes the
    /// place of the waits.
    pub fn next_wait(&mut self, fixed: Option<Duration>, rng: &mut Rng) -> Duration {
        let failures = self.failures;
        self.failures = failures.saturating_add(1);
        match (failures, fixed) {
            (_, Some(fixed)) => fixed,
            (0, None) => Duration::ZERO,
            (failures, None) => {
                let doubled = FIRST_WAIT * 2_u32.pow((failures - 1).min(2));
                jittered(doubled.min(LONGEST_WAIT), rng)
            }
        }
    }

    /// Begins anew, after a session that was stable.
    pub const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn the_next_deadline_is_the_earliest() {
        let mut table = TimerTable::new();
        assert_eq!(table.next(), None);
        table.set(Timer::Hold, at(9));
        table.set(Timer::KeepAlive, at(3));
        table.set(Timer::KeepAlive, at(4));
        assert_eq!(table.next(), Some((at(4), Timer::KeepAlive)));
        assert_eq!(table.expire(at(3)), None);
        assert_eq!(table.expire(at(10)), Some(Timer::KeepAlive));
        assert!(table.is_running(Timer::Hold) && !table.is_running(Timer::KeepAlive));
        table.stop_all();
        assert_eq!(table.expire(at(10)), None);
    }

    // [WIRE-3], RFC 4271 section 10
    #[test]
    fn attempts_come_at_once_then_double_up_to_a_second() {
        let mut rng = Rng::new(7);
        for _ in 0..100 {
            let mut backoff = Backoff::default();
            let waits: Vec<Duration> = (0..6).map(|_| backoff.next_wait(None, &mut rng)).collect();
            assert_eq!(waits[0], Duration::ZERO);
            for (wait, full) in waits[1..].iter().zip([250, 500, 1_000, 1_000, 1_000]) {
                let full = Duration::from_millis(full);
                assert!(*wait >= full * 3 / 4 && *wait <= full, "{wait:?} of {full:?}");
            }
            backoff.reset();
            assert_eq!(backoff.next_wait(None, &mut rng), Duration::ZERO);
        }
    }

    // [PEER-20], [WIRE-3]
    #[test]
    fn the_connect_time_takes_the_place_of_all_waits() {
        let mut backoff = Backoff::default();
        let fixed = Duration::from_secs(5);
        for _ in 0..3 {
            assert_eq!(backoff.next_wait(Some(fixed), &mut Rng::new(1)), fixed);
        }
    }
}
