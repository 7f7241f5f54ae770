//! Time as the pure machines see it: a number that the caller hands in.
//!
//! No machine reads a clock. For [`Timestamp`] the shells take `CLOCK_BOOTTIME`, which also runs while the machine is suspended, so that
//! a node that slept never acts on an authority that has run out meanwhile ([OWN-50]). [`UnixTime`] is for what outlives a process and
//! is read by people: how long an address is held, when it was given.

use core::fmt;
use core::ops::Add;
use core::str::FromStr;
use core::time::Duration;

use thiserror::Error;

/// A point in time: microseconds since an arbitrary origin that stays the same for one machine's life.
///
/// Source: models 2.3 (the machine contract); [OWN-50].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The origin.
    pub const ZERO: Self = Self(0);

    /// Makes a timestamp from microseconds since the origin.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Microseconds since the origin.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to `self`; zero where `earlier` is the later of the two.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// A point in wall time: whole seconds since 1970-01-01 00:00 UTC. Written and read as `2026-03-01T10:00:00Z` (RFC 3339, UTC, no
/// fractions).
///
/// # Examples
/// ```
/// use lbcore::time::UnixTime;
///
/// let leap: UnixTime = "2024-02-29T23:59:59Z".parse()?;
/// assert_eq!((leap.as_secs(), leap.to_string().as_str()), (1_709_251_199, "2024-02-29T23:59:59Z"));
/// # Ok::<(), lbcore::time::ParseUnixTimeError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

/// A text that is not a time as [`UnixTime`] writes it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a time: write it as 2026-03-01T10:00:00Z")]
pub struct ParseUnixTimeError {
    /// What was given.
    pub text: String,
}

const SECONDS_A_DAY: u64 = 86_400;
/// Days from the first of March of the year 0 to the first of January 1970.
const DAYS_TO_1970: u64 = 719_468;
/// Days of 400 years, after which the calendar repeats.
const DAYS_AN_ERA: u64 = 146_097;

impl UnixTime {
    /// Makes a time from seconds since 1970.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// The time from `self` to `later`; zero where `later` is the earlier of the two.
    pub const fn until(self, later: Self) -> Duration {
        Duration::from_secs(later.0.saturating_sub(self.0))
    }
}

impl Add<Duration> for UnixTime {
    type Output = Self;

    /// Parts of a second count as a whole one, so that nothing ends too early.
    fn add(self, duration: Duration) -> Self {
        let part = u64::from(duration.subsec_nanos() > 0);
        Self(self.0.saturating_add(duration.as_secs()).saturating_add(part))
    }
}

/// Year, month and day of a number of days since 1970. Years are counted from March, so that the leap day is the last of its year.
const fn date_of(days: u64) -> (u64, u64, u64) {
    let days = days + DAYS_TO_1970;
    let (era, of_era) = (days / DAYS_AN_ERA, days % DAYS_AN_ERA);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + next_year, month, day)
}

/// The inverse of [`date_of`]; `None` before 1970.
fn days_of(year: u64, month: u64, day: u64) -> Option<u64> {
    let year = if month <= 2 { year.checked_sub(1)? } else { year };
    let (era, of_era) = (year / 400, year % 400);
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    (era * DAYS_AN_ERA + of_era * 365 + of_era / 4 - of_era / 100 + of_year).checked_sub(DAYS_TO_1970)
}

impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.0 / SECONDS_A_DAY);
        let second = self.0 % SECONDS_A_DAY;
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

impl FromStr for UnixTime {
    type Err = ParseUnixTimeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || -> Option<Self> {
            let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
            let number =
                |part: &str| part.bytes().all(|byte| byte.is_ascii_digit()).then(|| part.parse::<u64>().ok())?;
            let numbers = |part: &str, separator| part.split(separator).map(number).collect::<Option<Vec<u64>>>();
            let ([year, month, day], [hour, minute, second]) =
                (<[u64; 3]>::try_from(numbers(date, '-')?).ok()?, <[u64; 3]>::try_from(numbers(time, ':')?).ok()?);
            if year > 9999 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 {
                return None;
            }
            let days = days_of(year, month, day).filter(|days| date_of(*days) == (year, month, day))?;
            (second <= 59).then(|| Self(days * SECONDS_A_DAY + hour * 3600 + minute * 60 + second))
        };
        read().ok_or_else(|| ParseUnixTimeError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "2023-02-29T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01",
            "1969-12-31T23:59:59Z",
            "",
        ] {
            assert!(text.parse::<UnixTime>().is_err(), "{text:?} was taken");
        }
    }

    #[test]
    fn a_part_of_a_second_counts_as_a_whole_one() {
        assert_eq!((UnixTime::from_secs(5) + Duration::from_millis(1)).as_secs(), 6);
        assert_eq!((UnixTime::from_secs(u64::MAX) + Duration::from_secs(9)).as_secs(), u64::MAX);
    }

    proptest! {
        #[test]
        fn writing_and_reading_are_inverse(seconds in 0_u64..253_402_300_800) {
            let time = UnixTime::from_secs(seconds);
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}
