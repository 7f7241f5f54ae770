//! The one or two addresses of a Service: as held, as requested and as recorded ([CTRL-33], [ANNOT-10]).
//!
//! Texts are read here once; IPv6 notations of IPv4 addresses (`::ffff:192.0.2.1`) count as IPv4.

use core::fmt;
use core::str::FromStr;
use std::net::IpAddr;

use thiserror::Error;

use crate::family::{IpFamily, ServiceFamilies};

/// One address, or two of different families, in an order that matters ([CTRL-46]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAddresses(Count);

/// Private, so that a pair is of two families by construction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Count {
    One(IpAddr),
    Two([IpAddr; 2]),
}

/// A list of addresses that no Service can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum AddressesError {
    /// No address at all.
    #[error("no address is given: a Service has one, or one of each family")]
    Empty,
    /// Two addresses of one family.
    #[error("{first} and {second} are both {family}: give one address of each family")]
    SameFamily {
        /// The first of the two.
        first: IpAddr,
        /// The second of the two.
        second: IpAddr,
        /// The family of both.
        family: IpFamily,
    },
    /// Three or more.
    #[error("{count} addresses are given: a Service has at most one of each family")]
    TooMany {
        /// How many.
        count: usize,
    },
}

impl ServiceAddresses {
    /// Takes one address, or two of different families, and keeps their order.
    ///
    /// # Errors
    /// [`AddressesError`] for any other list.
    pub fn new(addresses: &[IpAddr]) -> Result<Self, AddressesError> {
        match *addresses {
            [] => Err(AddressesError::Empty),
            [single] => Ok(Self::one(single)),
            [first, second] => Self::pair(first, second).ok_or_else(|| AddressesError::SameFamily {
                first,
                second,
                family: IpFamily::of(first),
            }),
            _ => Err(AddressesError::TooMany { count: addresses.len() }),
        }
    }

    /// A single address.
    pub const fn one(address: IpAddr) -> Self {
        Self(Count::One(address))
    }

    /// Two addresses in this order; `None` where both are of one family.
    pub fn pair(first: IpAddr, second: IpAddr) -> Option<Self> {
        (IpFamily::of(first) != IpFamily::of(second)).then_some(Self(Count::Two([first, second])))
    }

    /// The addresses in order: one or two.
    pub const fn as_slice(&self) -> &[IpAddr] {
        match &self.0 {
            Count::One(address) => core::slice::from_ref(address),
            Count::Two(pair) => pair,
        }
    }

    /// The addresses in order: one or two.
    pub fn iter(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.as_slice().iter().copied()
    }

    /// The address of a family, if there is one.
    pub fn of_family(&self, family: IpFamily) -> Option<IpAddr> {
        self.iter().find(|address| IpFamily::of(*address) == family)
    }

    /// Whether the address is one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.as_slice().contains(&address)
    }

    /// Whether both hold the same addresses, in any order.
    pub fn same_set(&self, other: &Self) -> bool {
        self.as_slice().len() == other.as_slice().len() && self.iter().all(|address| other.contains(address))
    }

    /// Whether these are exactly the families of the Service.
    pub fn are_of(&self, families: ServiceFamilies) -> bool {
        match (self.0, families) {
            (Count::One(address), ServiceFamilies::Single(family)) => IpFamily::of(address) == family,
            (Count::Two(_), ServiceFamilies::Dual { .. }) => true,
            (Count::One(_), ServiceFamilies::Dual { .. }) | (Count::Two(_), ServiceFamilies::Single(_)) => false,
        }
    }
}

impl fmt::Display for ServiceAddresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Count::One(address) => write!(f, "{address}"),
            Count::Two([first, second]) => write!(f, "{first}, {second}"),
        }
    }
}

/// A request for addresses that cannot be read ([ANNOT-10]).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The annotation and the field are both set.
    #[error(
        "addresses are requested twice, {annotation:?} by the annotation loadBalancerIPs and {field:?} by spec.loadBalancerIP: \
         remove one of the two"
    )]
    Both {
        /// Value of the annotation.
        annotation: String,
        /// Value of the field.
        field: String,
    },
    /// A list no Service can have.
    #[error("the request {text:?} cannot be met: {problem}")]
    List {
        /// What was given.
        text: String,
        /// What is wrong with it.
        problem: AddressesError,
    },
    /// Not an address.
    #[error(
        "{part:?} in the request {text:?} is not an address: write an IPv4 or IPv6 address, or one of each with a comma between"
    )]
    NotAnAddress {
        /// The part that is none.
        part: String,
        /// The whole request.
        text: String,
    },
}

/// Reads the addresses that a Service requests: the value of the annotation `loadBalancerIPs` (one address, or one of each family
/// with a comma between) and the field `spec.loadBalancerIP` (one address). Empty texts count as absent ([ANNOT-7]).
///
/// # Errors
/// [`RequestError`] where both are given or one cannot be read.
///
/// # Examples
/// ```
/// use lbcore::addresses::parse_requested;
///
/// let requested = parse_requested(Some("192.0.2.1, 2001:db8::1"), None)?;
/// assert_eq!(requested.map(|addresses| addresses.to_string()).as_deref(), Some("192.0.2.1, 2001:db8::1"));
/// assert_eq!(parse_requested(Some(""), None)?, None);
/// assert!(parse_requested(Some("192.0.2.1"), Some("192.0.2.1")).is_err());
/// # Ok::<(), lbcore::addresses::RequestError>(())
/// ```
///
/// Source: [ANNOT-7], [ANNOT-10].
pub fn parse_requested(
    annotation: Option<&str>,
    field: Option<&str>,
) -> Result<Option<ServiceAddresses>, RequestError> {
    let given = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
    match (given(annotation), given(field)) {
        (None, None) => Ok(None),
        (Some(annotation), Some(field)) => Err(RequestError::Both { annotation, field }),
        (Some(text), None) => text.parse().map(Some),
        (None, Some(text)) => parse_part(&text, &text).map(|address| Some(ServiceAddresses::one(address))),
    }
}

/// One address, or one of each family with a comma between.
impl FromStr for ServiceAddresses {
    type Err = RequestError;

    fn from_str(text: &str) -> Result<Self, RequestError> {
        let mut addresses = Vec::new();
        for part in text.split(',') {
            addresses.push(parse_part(part.trim(), text)?);
        }
        Self::new(&addresses).map_err(|problem| RequestError::List { text: text.to_owned(), problem })
    }
}

fn parse_part(part: &str, text: &str) -> Result<IpAddr, RequestError> {
    parse_address(part).ok_or_else(|| RequestError::NotAnAddress { part: part.to_owned(), text: text.to_owned() })
}

/// Reads one address; the IPv6 notation of an IPv4 address is the IPv4 address.
pub fn parse_address(text: &str) -> Option<IpAddr> {
    text.parse::<IpAddr>().ok().map(|address| address.to_canonical())
}

/// The addresses recorded in the status of a Service ([CTRL-33]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RecordedAddresses {
    /// None.
    #[default]
    Nothing,
    /// A list that a Service can have, in the order recorded.
    Known(ServiceAddresses),
    /// Texts whose families cannot be told: three or more, two of one family, or not addresses ([CTRL-36]).
    Unknown(Vec<String>),
}

impl RecordedAddresses {
    /// Reads the `ip` texts of the ingress entries; empty ones (entries with a host name only) are dropped.
    pub fn parse<'a>(entries: impl IntoIterator<Item = &'a str>) -> Self {
        let texts: Vec<&str> = entries.into_iter().filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            return Self::Nothing;
        }
        let addresses: Option<Vec<IpAddr>> = texts.iter().map(|text| parse_address(text)).collect();
        match addresses.map(|addresses| ServiceAddresses::new(&addresses)) {
            Some(Ok(addresses)) => Self::Known(addresses),
            Some(Err(_)) | None => Self::Unknown(texts.into_iter().map(str::to_owned).collect()),
        }
    }

    /// The addresses where they are known.
    pub const fn known(&self) -> Option<ServiceAddresses> {
        match self {
            Self::Known(addresses) => Some(*addresses),
            Self::Nothing | Self::Unknown(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    // [ANNOT-10]
    #[test]
    fn requests_are_read_with_blanks_and_refused_with_empty_parts() {
        let pair = ServiceAddresses::pair(address("1.2.3.0"), address("1000::"));
        assert_eq!(parse_requested(Some(" 1.2.3.0 , 1000:: "), None), Ok(pair));
        assert_eq!(parse_requested(None, Some("1.2.3.1")), Ok(Some(ServiceAddresses::one(address("1.2.3.1")))));
        for refused in
            ["1.2.3.0,", ",", "1.2.3.0,1.2.3.1", "1.2.3.0,1000::,1000::1", "garbage", "1.2.3.0/32", "fe80::1%eth0"]
        {
            assert!(parse_requested(Some(refused), None).is_err(), "{refused:?} was taken");
        }
        assert!(parse_requested(None, Some("1.2.3.0,1000::")).is_err());
    }

    // [ANNOT-7]
    #[test]
    fn empty_texts_request_nothing() {
        assert_eq!(parse_requested(Some(""), Some("")), Ok(None));
        assert_eq!(parse_requested(None, None), Ok(None));
    }

    // [CTRL-33], [CTRL-36]
    #[test]
    fn recorded_host_names_are_dropped_and_odd_lists_are_unknown() {
        assert_eq!(RecordedAddresses::parse(["", ""]), RecordedAddresses::Nothing);
        let known = RecordedAddresses::parse(["", "2.3.4.5"]);
        assert_eq!(known.known(), Some(ServiceAddresses::one(address("2.3.4.5"))));
        for odd in [vec!["1.2.3.0", "1.2.3.1"], vec!["1.2.3.0", "1000::", "1000::1"], vec!["1.2.3.x"]] {
            assert!(matches!(RecordedAddresses::parse(odd), RecordedAddresses::Unknown(_)));
        }
    }

    #[test]
    fn an_ipv4_address_in_ipv6_notation_is_ipv4() {
        assert_eq!(parse_address("::ffff:192.0.2.1"), Some(address("192.0.2.1")));
    }

    #[test]
    fn pairs_compare_as_sets_and_keep_their_order() {
        let first = ServiceAddresses::pair(address("1.2.3.0"), address("1000::")).unwrap();
        let second = ServiceAddresses::pair(address("1000::"), address("1.2.3.0")).unwrap();
        assert!(first.same_set(&second) && first != second);
        assert!(!first.same_set(&ServiceAddresses::one(address("1.2.3.0"))));
        assert_eq!(second.to_string(), "1000::, 1.2.3.0");
    }
}
