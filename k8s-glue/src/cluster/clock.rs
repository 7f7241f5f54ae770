//! The wall clock, as objects carry it: seconds and microseconds since 1970 in UTC, written as RFC 3339 has it.
//!
//! For texts that people and other programs read. Deadlines use the clock of [`lbcore::time`].

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lbcore::time::UnixTime;

const SECONDS_PER_DAY: u64 = 86_400;

/// Now, in whole seconds; 1970 where the clock is set before that.
pub(crate) fn unix_now() -> UnixTime {
    UnixTime::from_secs(WallTime::now().0.as_secs())
}

/// A point in time on the wall clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WallTime(Duration);

impl WallTime {
    /// Now; 1970 where the clock is set before that.
    pub(crate) fn now() -> Self {
        Self(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// Microseconds since 1970.
    #[cfg(test)]
    pub(crate) const fn from_micros(micros: u64) -> Self {
        Self(Duration::from_micros(micros))
    }

    /// Microseconds since 1970, for names that must not repeat.
    pub(crate) const fn as_micros(self) -> u128 {
        self.0.as_micros()
    }

    /// With whole seconds, as `metav1.Time` has it: `2026-01-02T03:04:05Z`.
    pub(crate) fn seconds(self) -> String {
        format!("{}Z", Civil::of(self.0))
    }

    /// With microseconds, as `metav1.MicroTime` has it: `2026-01-02T03:04:05.000006Z`.
    pub(crate) fn micros(self) -> String {
        format!("{}.{:06}Z", Civil::of(self.0), self.0.subsec_micros())
    }
}

/// Date and time of day in UTC.
struct Civil {
    year: u64,
    month: u64,
    day: u64,
    second_of_day: u64,
}

impl Civil {
    /// Years begin in March here, so that the day of a leap year comes last.
    const fn of(since_1970: Duration) -> Self {
        let seconds = since_1970.as_secs();
        // Days since 1 March of the year 0.
        let days = seconds / SECONDS_PER_DAY + 719_468;
        let era = days / 146_097;
        let day_of_era = days % 146_097;
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        Self {
            year: year_of_era + era * 400 + if month <= 2 { 1 } else { 0 },
            month,
            day: day_of_year - (153 * month_from_march + 2) / 5 + 1,
            second_of_day: seconds % SECONDS_PER_DAY,
        }
    }
}

impl fmt::Display for Civil {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) =
            (self.second_of_day / 3_600, self.second_of_day / 60 % 60, self.second_of_day % 60);
        write!(f, "{:04}-{:02}-{:02}T{hour:02}:{minute:02}:{second:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::convert::parse_time;

    #[test]
    fn leap_days_and_the_first_second_are_written_right() {
        let second = |seconds: u64| WallTime::from_micros(seconds * 1_000_000).seconds();
        assert_eq!(second(0), "1970-01-01T00:00:00Z");
        assert_eq!(second(951_782_400), "2000-02-29T00:00:00Z");
        assert_eq!(second(1_798_761_599), "2026-12-31T23:59:59Z");
        assert_eq!(WallTime::from_micros(1_000_006).micros(), "1970-01-01T00:00:01.000006Z");
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(seconds in 0_u32..) {
            let text = WallTime::from_micros(u64::from(seconds) * 1_000_000).seconds();
            prop_assert_eq!(parse_time(&text), Some(i64::from(seconds)));
        }
    }
}
