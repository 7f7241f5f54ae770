//! Address ranges: first and last address of one family, written as a CIDR or as `a-b` ([ADDR-1] to [ADDR-8]).

use core::fmt;
use core::str::FromStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use thiserror::Error;

use crate::family::IpFamily;

/// A text or a pair of addresses that is no range. Every text ends with the mend, behind a colon.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RangeError {
    /// Neither `address/length` nor `first-last`.
    #[error("{text:?} is not an address range: {}", mend_of(text))]
    Syntax {
        /// What was given.
        text: String,
    },
    /// A bare address ([ADDR-5]).
    #[error("{address} has no prefix length: write {address}/{bits} for the single address")]
    NoLength {
        /// The address.
        address: IpAddr,
        /// The length that means one address.
        bits: u8,
    },
    /// The prefix length is beyond the family's.
    #[error("{text:?} has no prefix length of its family: write one from 0 to {bits}")]
    Length {
        /// What was given.
        text: String,
        /// The longest length of the family.
        bits: u8,
    },
    /// The first address is above the last ([ADDR-3]).
    #[error("the first address of {first}-{last} is above the last: write the lower one first")]
    Reversed {
        /// The first as given.
        first: IpAddr,
        /// The last as given.
        last: IpAddr,
    },
    /// The two ends are of different families ([D162-3]).
    #[error("the ends of {first}-{last} are of different address families: write a range for each family")]
    MixedFamilies {
        /// The first as given.
        first: IpAddr,
        /// The last as given.
        last: IpAddr,
    },
}

/// What is most likely meant by a text that is no range.
fn mend_of(text: &str) -> String {
    let number = |text: &str| text.trim().parse::<u8>().ok();
    if text.contains("${") || text.contains("{{") || text.contains("$(") {
        return "replace the variable first, nothing does it here".to_owned();
    }
    if text.contains(['\u{2013}', '\u{2014}']) {
        return "put a plain dash between the two ends".to_owned();
    }
    if text.contains(',') {
        return "write an entry of the list for each range".to_owned();
    }
    if text.contains('%') {
        return "leave out the zone, pools hold addresses alone".to_owned();
    }
    if text.split(['.', '-', '/', ' ']).any(|part| part.len() > 1 && part.starts_with('0') && number(part).is_some()) {
        return "write the numbers without zeros in front".to_owned();
    }
    if let Some(length) = text.split_once('/').and_then(|(_, mask)| length_of_mask(mask)) {
        return format!("write the length of the mask, /{length}");
    }
    if text != text.trim() && !text.contains('-') {
        return "remove the blanks around it".to_owned();
    }
    if let Some(odd) = text.chars().find(|character| !(' '..='~').contains(character)) {
        return format!("write it in plain characters, without U+{:04X}", u32::from(odd));
    }
    match text.split_once('-') {
        Some((first, last)) if first.contains('/') || last.contains('/') => {
            "write the two ends without a length, or one prefix alone".to_owned()
        }
        Some((first, last)) => match (first.trim().parse::<Ipv4Addr>(), number(last)) {
            (Ok(first), Some(last)) => {
                let [one, two, three, _] = first.octets();
                format!("write the last address whole, {first}-{one}.{two}.{three}.{last}")
            }
            _ => FORMS.to_owned(),
        },
        None => FORMS.to_owned(),
    }
}

/// The prefix length that an IPv4 mask stands for.
fn length_of_mask(mask: &str) -> Option<u32> {
    let bits = mask.parse::<Ipv4Addr>().ok()?.to_bits();
    (bits.leading_ones() + bits.trailing_zeros() == 32).then(|| bits.leading_ones())
}

/// How a range is written.
const FORMS: &str = "write ADDRESS/LENGTH or FIRST-LAST";

/// The bits in front of an IPv4 address in the notation of IPv6 (RFC 4291 section 2.5.5.2).
const MAPPED_BITS: u8 = 96;

/// A contiguous, non-empty range of addresses of one family, both ends included.
///
/// `Display` writes a CIDR where the range is one, else `first-last`; `FromStr` reads both.
///
/// # Examples
/// ```
/// use lbcore::range::AddressRange;
///
/// let range: AddressRange = "192.0.2.10 - 192.0.2.20".parse()?;
/// assert!(range.contains("192.0.2.20".parse()?));
/// assert_eq!(range.to_string(), "192.0.2.10-192.0.2.20");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: [ADDR-1] to [ADDR-8].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    family: IpFamily,
    first: u128,
    last: u128,
}

/// The number of an address: its octets as one big-endian integer.
pub const fn address_to_number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_bits() as u128,
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The address of a number; for IPv4 only the low 32 bits count.
#[expect(clippy::cast_possible_truncation, reason = "IPv4 numbers fit in 32 bits by construction")]
pub const fn number_to_address(family: IpFamily, number: u128) -> IpAddr {
    match family {
        IpFamily::V4 => IpAddr::V4(Ipv4Addr::from_bits(number as u32)),
        IpFamily::V6 => IpAddr::V6(Ipv6Addr::from_bits(number)),
    }
}

impl AddressRange {
    /// Makes a range from its two ends.
    ///
    /// # Errors
    /// [`RangeError::MixedFamilies`] or [`RangeError::Reversed`].
    pub fn new(first: IpAddr, last: IpAddr) -> Result<Self, RangeError> {
        let family = IpFamily::of(first);
        if family != IpFamily::of(last) {
            return Err(RangeError::MixedFamilies { first, last });
        }
        let (low, high) = (address_to_number(first), address_to_number(last));
        if low > high {
            return Err(RangeError::Reversed { first, last });
        }
        Ok(Self { family, first: low, last: high })
    }

    /// The range of one address.
    pub const fn single(address: IpAddr) -> Self {
        let number = address_to_number(address);
        Self { family: IpFamily::of(address), first: number, last: number }
    }

    /// Reads an address alone, as its own range, or whatever [`FromStr`] reads. For fields that name addresses rather than pools.
    ///
    /// # Errors
    /// As [`FromStr`].
    pub fn parse_lenient(text: &str) -> Result<Self, RangeError> {
        text.parse::<IpAddr>().map_or_else(|_| text.parse(), |address| Ok(Self::single(address.to_canonical())))
    }

    /// What of this range lies outside of the others, ascending.
    pub fn without(&self, others: &[Self]) -> Vec<Self> {
        let mut cuts: Vec<&Self> = others.iter().filter(|other| self.overlaps(other)).collect();
        cuts.sort_unstable();
        let mut parts = Vec::new();
        let mut next = Some(self.first);
        for cut in cuts {
            let Some(first) = next else { break };
            if first < cut.first {
                parts.push(Self { family: self.family, first, last: cut.first - 1 });
            }
            next = cut.last.checked_add(1).map(|after| after.max(first));
        }
        if let Some(first) = next.filter(|first| *first <= self.last) {
            parts.push(Self { family: self.family, first, last: self.last });
        }
        parts
    }

    /// The part from one number to another; both must lie in the range, the first not above the last.
    pub(crate) const fn between(&self, first: u128, last: u128) -> Self {
        debug_assert!(self.first <= first && first <= last && last <= self.last, "a part lies within");
        Self { family: self.family, first, last }
    }

    /// What both have in common.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (first, last) = (self.first.max(other.first), self.last.min(other.last));
        self.overlaps(other).then_some(Self { family: self.family, first, last })
    }

    /// The family of both ends.
    pub const fn family(&self) -> IpFamily {
        self.family
    }

    /// The lowest address.
    pub const fn first(&self) -> IpAddr {
        number_to_address(self.family, self.first)
    }

    /// The highest address.
    pub const fn last(&self) -> IpAddr {
        number_to_address(self.family, self.last)
    }

    /// The lowest address as a number.
    pub const fn first_number(&self) -> u128 {
        self.first
    }

    /// The highest address as a number.
    pub const fn last_number(&self) -> u128 {
        self.last
    }

    /// Whether the address lies in the range.
    pub fn contains(&self, address: IpAddr) -> bool {
        let number = address_to_number(address);
        IpFamily::of(address) == self.family && self.first <= number && number <= self.last
    }

    /// Whether the two have an address in common; families never overlap.
    pub const fn overlaps(&self, other: &Self) -> bool {
        matches!((self.family, other.family), (IpFamily::V4, IpFamily::V4) | (IpFamily::V6, IpFamily::V6))
            && self.first <= other.last
            && other.first <= self.last
    }

    /// The number of addresses, `u128::MAX` for the whole of IPv6 (which has one more).
    pub const fn count(&self) -> u128 {
        (self.last - self.first).saturating_add(1)
    }

    /// The prefix length of the CIDR that is exactly this range, if there is one.
    pub fn prefix_length(&self) -> Option<u8> {
        let span = self.last - self.first;
        let host_bits = u8::try_from(span.trailing_ones()).ok()?;
        let whole = span.checked_add(1).is_none_or(u128::is_power_of_two);
        (whole && self.first & span == 0).then(|| self.family.bits() - host_bits)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix_length() {
            Some(length) => write!(f, "{}/{length}", self.first()),
            None => write!(f, "{}-{}", self.first(), self.last()),
        }
    }
}

impl From<IpNetwork> for AddressRange {
    fn from(network: IpNetwork) -> Self {
        let (first, last) = match network {
            IpNetwork::V4(v4) => (IpAddr::V4(v4.network()), IpAddr::V4(v4.broadcast())),
            IpNetwork::V6(v6) => (IpAddr::V6(v6.network()), IpAddr::V6(v6.broadcast())),
        };
        Self { family: IpFamily::of(first), first: address_to_number(first), last: address_to_number(last) }
    }
}

impl FromStr for AddressRange {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let syntax = || RangeError::Syntax { text: text.to_owned() };
        if let Some((first, last)) = text.split_once('-') {
            let end = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| syntax());
            return Self::new(end(first)?.to_canonical(), end(last)?.to_canonical());
        }
        let Some((address, length)) = text.split_once('/') else {
            return Err(match text.parse::<IpAddr>() {
                Ok(address) => RangeError::NoLength { address, bits: IpFamily::of(address).bits() },
                Err(_) => syntax(),
            });
        };
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(syntax());
        }
        let bits = IpFamily::of(address).bits();
        let too_long = || RangeError::Length { text: text.to_owned(), bits };
        let length: u8 = length.parse().map_err(|_| too_long())?;
        // An IPv4 address in the notation of IPv6 is one of IPv4 here, too.
        let (address, length) = match (address.to_canonical(), length.checked_sub(MAPPED_BITS)) {
            (canonical, Some(length)) if canonical != address => (canonical, length),
            _ => (address, length),
        };
        IpNetwork::new(address, length).map(Self::from).map_err(|_| too_long())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().unwrap()
    }

    // [ADDR-1] to [ADDR-6], [VEC-RANGE]
    #[test]
    fn written_forms_are_read() {
        assert_eq!(range("198.51.100.10/24"), range("198.51.100.0-198.51.100.255"));
        assert_eq!(range("40.0.0.250 - 40.0.0.250").to_string(), "40.0.0.250/32");
        assert_eq!(range("40.0.0.150-40.0.0.200").count(), 51);
        assert_eq!(range("::/0").count(), u128::MAX);
        assert_eq!(range("::/0").to_string(), "::/0");
        assert_eq!(range("0.0.0.0/0").to_string(), "0.0.0.0/0");
        assert_eq!(range("::ffff:192.0.2.9/120"), range("192.0.2.0/24"));
        assert_eq!(range("::ffff:192.0.2.1-192.0.2.2"), range("192.0.2.1-192.0.2.2"));
        assert_eq!(range("::ffff:0:0/95").family(), IpFamily::V6);
        assert!("::ffff:192.0.2.1/129".parse::<AddressRange>().is_err());
    }

    // What people write, and what they are told.
    #[test]
    fn the_mend_fits_the_mistake() {
        for (text, mend) in [
            ("192.168.1.10-20", "write the last address whole, 192.168.1.10-192.168.1.20"),
            ("${RANGE}", "replace the variable first, nothing does it here"),
            ("192.0.2.1\u{2013}192.0.2.9", "put a plain dash between the two ends"),
            ("192.0.2.1/24-192.0.2.9/24", "write the two ends without a length, or one prefix alone"),
            ("192.0.2.1, 192.0.2.9", "write an entry of the list for each range"),
            ("192.0.2.0/24 ", "remove the blanks around it"),
            ("192.0.2.5", "write 192.0.2.5/32 for the single address"),
            ("010.0.0.1/32", "write the numbers without zeros in front"),
            ("192.0.2.010-192.0.2.020", "write the numbers without zeros in front"),
            ("192.0.2.0/255.255.255.0", "write the length of the mask, /24"),
            ("fe80::1%eth0/64", "leave out the zone, pools hold addresses alone"),
            ("192.0.2.0/24\n", "remove the blanks around it"),
            ("192.0.2.0/24\u{200b}", "write it in plain characters, without U+200B"),
            ("office", "write ADDRESS/LENGTH or FIRST-LAST"),
        ] {
            let told = text.parse::<AddressRange>().unwrap_err().to_string();
            assert!(told.ends_with(&format!(": {mend}")), "{told}");
        }
    }

    #[test]
    fn impossible_ranges_are_refused() {
        for text in [
            "1.2.3.10-1.2.3.1",
            "10.0.0.5",
            "100.200.300.400/24",
            "1.2.3.0/33",
            "10.0.0.1-fc00::5",
            "::-0.0.0.0",
            "a-b",
            "",
            "1.2.3.0/-1",
            "1.2.3.0/+8",
            "1.2.3.0/",
            " 1.2.3.0/24",
            "fe80::1%eth0/64",
            "::/129",
            "10.0.0.0/24/24",
        ] {
            assert!(text.parse::<AddressRange>().is_err(), "{text:?} was taken");
        }
    }
}
