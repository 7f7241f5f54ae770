//! Addresses set aside: which, and for whom.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use thiserror::Error;

use super::Audience;
use crate::family::IpFamily;
use crate::labels::Labels;
use crate::pool::Pool;
use crate::range::{AddressRange, address_to_number, number_to_address};
use crate::service::{PoolName, ServiceKey};

/// The host part of an address, written as the address with a prefix of zeros: `::80`, `0.0.0.80`.
///
/// # Examples
/// ```
/// use lbcore::policy::HostPart;
///
/// let pin: HostPart = "::80".parse()?;
/// let address = pin.within(&"2001:db8:7::/64".parse()?);
/// assert_eq!(address.map(|address| address.to_string()).as_deref(), Some("2001:db8:7::80"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPart {
    family: IpFamily,
    number: u128,
}

/// A text that is no host part.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text:?} is not a host part: write an address whose prefix is all zeros, such as ::80 or 0.0.0.80")]
pub struct ParseHostPartError {
    /// What was given.
    pub text: String,
}

impl HostPart {
    /// The family of the addresses it makes.
    pub const fn family(self) -> IpFamily {
        self.family
    }

    /// The address with this host part in a range that is a prefix; `None` where the range is none, is of the other family, or is too
    /// small for it.
    pub fn within(self, range: &AddressRange) -> Option<IpAddr> {
        range.prefix_length()?;
        let address = number_to_address(self.family, range.first_number().checked_add(self.number)?);
        let fits = self.family == range.family() && self.number < range.count();
        (fits && range.contains(address)).then_some(address)
    }
}

impl FromStr for HostPart {
    type Err = ParseHostPartError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address: IpAddr = text.parse().map_err(|_| ParseHostPartError { text: text.to_owned() })?;
        Ok(Self { family: IpFamily::of(address), number: address_to_number(address) })
    }
}

impl fmt::Display for HostPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", number_to_address(self.family, self.number))
    }
}

/// By what a reservation means a Service. The order is that in which a Service that is meant by several takes from them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Specificity {
    /// By its name.
    Service,
    /// By its labels, perhaps with its namespace.
    Labels,
    /// By its namespace alone.
    Namespace,
}

/// For whom addresses are set aside: the Services named, and those of the audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Beneficiaries {
    /// Services by name.
    pub services: BTreeSet<ServiceKey>,
    /// Services by namespace and labels; `None` where only names count.
    pub audience: Option<Audience>,
}

impl Beneficiaries {
    /// By what a Service with these labels is meant, most specific first; `None` where it is not.
    pub fn specificity(&self, service: &ServiceKey, labels: &Labels) -> Option<Specificity> {
        if self.services.contains(service) {
            return Some(Specificity::Service);
        }
        let audience = self.audience.as_ref().filter(|audience| audience.includes(service.namespace(), labels))?;
        Some(if audience.service_selectors.is_empty() { Specificity::Namespace } else { Specificity::Labels })
    }
}

/// An `AddressReservation`, checked: addresses that nobody else is given, and that its Services are given before any others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressReservation {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// The addresses. Only those that are in a pool count.
    pub addresses: Vec<AddressRange>,
    /// In each range of the pool that is a prefix, the address with this host part.
    pub host_parts: Vec<HostPart>,
    /// The pool whose addresses are meant; `None` means whichever pool has them.
    pub pool: Option<PoolName>,
    /// For whom.
    pub beneficiaries: Beneficiaries,
}

impl AddressReservation {
    /// The ranges set aside of a pool, as far as this tells; parts of them may lie outside of the pool.
    pub fn ranges_in<'a>(&'a self, pool: &'a Pool) -> impl Iterator<Item = AddressRange> + 'a {
        let of_pool = self.pool.as_ref().is_none_or(|name| *name == pool.name);
        let pins = self.host_parts.iter().flat_map(|pin| pool.ranges.iter().filter_map(|range| pin.within(range)));
        let all = self.addresses.iter().copied().chain(pins.map(AddressRange::single));
        all.filter(move |range| of_pool && pool.ranges.iter().any(|other| other.overlaps(range)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pin(text: &str, range: &str) -> Option<String> {
        let part: HostPart = text.parse().unwrap();
        part.within(&range.parse().unwrap()).map(|address| address.to_string())
    }

    #[test]
    fn a_host_part_follows_the_prefix() {
        assert_eq!(pin("0.0.0.80", "192.0.2.0/24").as_deref(), Some("192.0.2.80"));
        assert_eq!(pin("::1:80", "2001:db8::/64").as_deref(), Some("2001:db8::1:80"));
        assert_eq!(pin("0.0.0.7", "192.0.2.0-192.0.2.7").as_deref(), Some("192.0.2.7"));
    }

    #[test]
    fn a_host_part_that_does_not_fit_makes_no_address() {
        for (text, range) in [
            ("0.0.0.80", "192.0.2.0/26"),
            ("0.0.0.80", "192.0.2.1-192.0.2.200"),
            ("::80", "192.0.2.0/24"),
            ("0.0.0.80", "2001:db8::/64"),
            ("ffff::", "::/1"),
        ] {
            assert_eq!(pin(text, range), None, "{text} in {range}");
        }
    }

    #[test]
    fn the_name_is_more_specific_than_labels_and_these_than_the_namespace() {
        let service: ServiceKey = "shop/web".parse().unwrap();
        let labels = Labels::from([("app".to_owned(), "web".to_owned())]);
        let namespaces = Some(BTreeSet::from(["shop".to_owned()]));
        let selector = crate::labels::Selector::new([crate::labels::Requirement::Exists { key: "app".to_owned() }]);
        let of = |services: BTreeSet<ServiceKey>, audience| Beneficiaries { services, audience };
        let by_name = of(BTreeSet::from([service.clone()]), None);
        assert_eq!(by_name.specificity(&service, &labels), Some(Specificity::Service));
        let both = Audience { namespaces: namespaces.clone(), service_selectors: vec![selector] };
        assert_eq!(of(BTreeSet::new(), Some(both.clone())).specificity(&service, &labels), Some(Specificity::Labels));
        assert_eq!(of(BTreeSet::new(), Some(both)).specificity(&service, &Labels::new()), None);
        let namespace = Audience { namespaces, service_selectors: vec![] };
        let by_namespace = of(BTreeSet::new(), Some(namespace));
        assert_eq!(by_namespace.specificity(&service, &labels), Some(Specificity::Namespace));
        assert_eq!(by_namespace.specificity(&"bank/web".parse().unwrap(), &labels), None);
        assert!(Specificity::Service < Specificity::Labels && Specificity::Labels < Specificity::Namespace);
    }
}
