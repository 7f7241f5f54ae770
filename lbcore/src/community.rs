//! BGP communities as values: the standard ones of RFC 1997 and the large ones of RFC 8092 ([COMM-1] to [COMM-3]).

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// A text that is no community.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseCommunityError {
    /// Neither two nor four parts; it may be the name of an alias ([COMM-5]).
    #[error("{text:?} is not a community: write A:B, or large:A:B:C")]
    Format {
        /// What was given.
        text: String,
    },
    /// The right number of parts, but a wrong marker or a number that does not fit.
    #[error("{text:?} is not a community: A:B takes numbers up to 65535, large:A:B:C numbers up to 4294967295")]
    Value {
        /// What was given.
        text: String,
    },
}

/// A community. `Display` writes `a:b` or `a:b:c`, without the marker ([COMM-2]); `FromStr` reads the form of the resources,
/// with the marker `large`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Community {
    /// RFC 1997: two 16-bit numbers in one.
    Standard(u32),
    /// RFC 8092: three 32-bit numbers.
    Large([u32; 3]),
}

impl Community {
    /// What orders communities: standard ones stand as large ones with zeros behind ([COMM-3]).
    const fn rank(self) -> [u32; 3] {
        match self {
            Self::Standard(value) => [value, 0, 0],
            Self::Large(parts) => parts,
        }
    }
}

impl Ord for Community {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        let kind = |community: &Self| matches!(community, Self::Large(_));
        self.rank().cmp(&other.rank()).then(kind(self).cmp(&kind(other)))
    }
}

impl PartialOrd for Community {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Community {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Standard(value) => write!(f, "{}:{}", value >> 16, value & 0xffff),
            Self::Large([global, first, second]) => write!(f, "{global}:{first}:{second}"),
        }
    }
}

/// A number in decimal digits alone: no sign, no blank.
fn decimal<N: FromStr>(text: &str) -> Option<N> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

impl FromStr for Community {
    type Err = ParseCommunityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let value = || ParseCommunityError::Value { text: text.to_owned() };
        let parts: Vec<&str> = text.split(':').collect();
        match parts.as_slice() {
            [high, low] => {
                let high: u16 = decimal(high).ok_or_else(value)?;
                let low: u16 = decimal(low).ok_or_else(value)?;
                Ok(Self::Standard(u32::from(high) << 16 | u32::from(low)))
            }
            ["large", global, first, second] => {
                let part = |text| decimal::<u32>(text).ok_or_else(value);
                Ok(Self::Large([part(global)?, part(first)?, part(second)?]))
            }
            [_, _, _, _] => Err(value()),
            _ => Err(ParseCommunityError::Format { text: text.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // [COMM-1], [VEC-COMM]
    #[test]
    fn literals_are_read_or_refused_by_class() {
        let format = |text: &str| Err(ParseCommunityError::Format { text: text.to_owned() });
        let value = |text: &str| Err(ParseCommunityError::Value { text: text.to_owned() });
        assert_eq!("64512:1234".parse(), Ok(Community::Standard(0xfc00_04d2)));
        assert_eq!("large:123:9999:124".parse(), Ok(Community::Large([123, 9999, 124])));
        for text in ["65536:1", "1:65536", "99999999:1", "lar:123:9999:123", "large:4294967296:0:0", "+1:2", "1:", ":"]
        {
            assert_eq!(text.parse::<Community>(), value(text));
        }
        for text in ["1:2:3", "abc", "", "large:1:2:3:4"] {
            assert_eq!(text.parse::<Community>(), format(text));
        }
    }

    // [COMM-2]
    #[test]
    fn text_is_without_the_marker() {
        assert_eq!(Community::Standard(0xfc00_0007).to_string(), "64512:7");
        assert_eq!(Community::Large([1, 2, 3]).to_string(), "1:2:3");
    }

    // [COMM-3]
    #[test]
    fn standard_communities_are_ordered_as_large_ones_with_zeros() {
        let mut list = [Community::Large([65536, 0, 1]), Community::Standard(65537), Community::Standard(65536)];
        list.sort();
        assert_eq!(list, [Community::Standard(65536), Community::Large([65536, 0, 1]), Community::Standard(65537)]);
    }
}
