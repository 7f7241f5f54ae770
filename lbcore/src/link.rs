//! Links (network interfaces) of this host and the hardware addresses on them.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;
use std::sync::Arc;

use thiserror::Error;

/// The kernel's index of a network interface; new for each interface made, also under an old name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkIndex(u32);

impl LinkIndex {
    /// Wraps the kernel's index.
    pub const fn new(index: u32) -> Self {
        Self(index)
    }

    /// The kernel's number.
    pub const fn as_u32(self) -> u32 {
        self.0
    }
}

impl fmt::Display for LinkIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A text that is no hardware address.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a hardware address: write six pairs of hexadecimal digits with colons between them")]
pub struct ParseMacAddrError {
    /// What was given.
    pub text: String,
}

/// An IEEE 802 MAC-48 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MacAddr([u8; 6]);

impl MacAddr {
    /// `ff:ff:ff:ff:ff:ff`.
    pub const BROADCAST: Self = Self([0xff; 6]);
    /// `00:00:00:00:00:00`.
    pub const ZERO: Self = Self([0; 6]);

    /// Wraps six octets, first one first on the wire.
    pub const fn new(octets: [u8; 6]) -> Self {
        Self(octets)
    }

    /// The six octets, first one first on the wire.
    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// Whether the group bit is set (multicast and broadcast).
    pub const fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, octet) in self.0.iter().enumerate() {
            let separator = if place == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = ParseMacAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = || ParseMacAddrError { text: text.to_owned() };
        let mut octets = [0; 6];
        let mut pairs = text.split(':');
        for octet in &mut octets {
            let pair = pairs.next().filter(|pair| pair.len() == 2).ok_or_else(fail)?;
            *octet = u8::from_str_radix(pair, 16).map_err(|_| fail())?;
        }
        if pairs.next().is_some() { Err(fail()) } else { Ok(Self(octets)) }
    }
}

/// Which links an address is announced on ([L2-29]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkSelection {
    /// Every eligible link.
    All,
    /// The eligible ones among these names; exact names, at least one.
    Named(Arc<BTreeSet<String>>),
}

impl LinkSelection {
    /// Whether a link of this name is selected.
    pub fn selects(&self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Named(names) => names.contains(name),
        }
    }
}
