//! Address families, and what a Service asks of them.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use thiserror::Error;

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// Both, IPv4 first.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The other family.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// Length of an address in bits: 32 or 128.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }
}

/// A text that names no address family.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not an address family: write IPv4 or IPv6")]
pub struct ParseFamilyError {
    /// What was given.
    pub text: String,
}

impl FromStr for IpFamily {
    type Err = ParseFamilyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "IPv4" => Ok(Self::V4),
            "IPv6" => Ok(Self::V6),
            _ => Err(ParseFamilyError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for IpFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// The families of a Service, as its cluster IPs tell them ([CTRL-37]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServiceFamilies {
    /// One family.
    Single(IpFamily),
    /// Both; `primary` is the first of `spec.ipFamilies` (IPv4 where the Service does not say).
    Dual {
        /// The family preferred where only one can be had ([ALLOC-32]).
        primary: IpFamily,
    },
}

impl ServiceFamilies {
    /// Whether the Service has this family.
    pub fn has(self, family: IpFamily) -> bool {
        match self {
            Self::Single(single) => single == family,
            Self::Dual { .. } => true,
        }
    }
}

/// `spec.ipFamilyPolicy`; absent means `SingleStack` ([CTRL-34]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum IpFamilyPolicy {
    /// One address.
    #[default]
    SingleStack,
    /// Two addresses where possible, else one.
    PreferDualStack,
    /// Two addresses or none.
    RequireDualStack,
}
