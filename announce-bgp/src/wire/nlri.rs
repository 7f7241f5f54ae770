//! Prefixes as they stand in UPDATEs: a length in bits, then as many octets as it needs (RFC 4271 section 4.3).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use lbcore::family::IpFamily;

/// An IPv4 prefix in five octets; host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixV4 {
    pub(super) network: [u8; 4],
    pub(super) length: u8,
}

/// An IPv6 prefix in seventeen octets; host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrefixV6 {
    pub(super) network: [u8; 16],
    pub(super) length: u8,
}

/// Prefixes of one family, as many as one message takes.
#[derive(Clone, Copy, Debug)]
pub enum Prefixes<'a> {
    /// IPv4.
    V4(&'a [PrefixV4]),
    /// IPv6.
    V6(&'a [PrefixV6]),
}

/// A prefix of one family.
pub trait WirePrefix: Copy + Ord + core::fmt::Debug {
    /// The family.
    const FAMILY: IpFamily;

    /// From a network; `None` for one of the other family. Host bits are cleared.
    fn from_network(network: IpNetwork) -> Option<Self>;

    /// As a network.
    fn to_network(self) -> IpNetwork;

    /// Octets on the wire, the length included.
    fn octets(self) -> usize;

    /// Several of them.
    fn several(prefixes: &[Self]) -> Prefixes<'_>;
}

impl WirePrefix for PrefixV4 {
    const FAMILY: IpFamily = IpFamily::V4;

    fn from_network(network: IpNetwork) -> Option<Self> {
        match network {
            IpNetwork::V4(network) => Some(Self { network: network.network().octets(), length: network.prefix() }),
            IpNetwork::V6(_) => None,
        }
    }

    fn to_network(self) -> IpNetwork {
        let address = IpAddr::V4(Ipv4Addr::from(self.network));
        IpNetwork::new(address, self.length).unwrap_or_else(|_| IpNetwork::from(address))
    }

    fn octets(self) -> usize {
        1 + usize::from(self.length.div_ceil(8))
    }

    fn several(prefixes: &[Self]) -> Prefixes<'_> {
        Prefixes::V4(prefixes)
    }
}

impl WirePrefix for PrefixV6 {
    const FAMILY: IpFamily = IpFamily::V6;

    fn from_network(network: IpNetwork) -> Option<Self> {
        match network {
            IpNetwork::V6(network) => Some(Self { network: network.network().octets(), length: network.prefix() }),
            IpNetwork::V4(_) => None,
        }
    }

    fn to_network(self) -> IpNetwork {
        let address = IpAddr::V6(Ipv6Addr::from(self.network));
        IpNetwork::new(address, self.length).unwrap_or_else(|_| IpNetwork::from(address))
    }

    fn octets(self) -> usize {
        1 + usize::from(self.length.div_ceil(8))
    }

    fn several(prefixes: &[Self]) -> Prefixes<'_> {
        Prefixes::V6(prefixes)
    }
}

/// Octets that are no list of prefixes of the family: a length above the address, or too few octets behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadPrefix;

/// Counts the prefixes of a received list. Set host bits are no error (RFC 7606 section 5.3).
pub(super) fn count(family: IpFamily, octets: &[u8]) -> Result<u32, BadPrefix> {
    let mut prefixes = 0;
    for_each(family, octets, |_| prefixes += 1)?;
    Ok(prefixes)
}

/// Walks over a received list of prefixes.
///
/// # Errors
/// [`BadPrefix`] where the list ends within a prefix, or a length is longer than an address.
fn for_each(family: IpFamily, mut octets: &[u8], mut take: impl FnMut((u8, &[u8]))) -> Result<(), BadPrefix> {
    while let Some((length, rest)) = octets.split_first() {
        if *length > family.bits() {
            return Err(BadPrefix);
        }
        let (address, rest) = rest.split_at_checked(usize::from(length.div_ceil(8))).ok_or(BadPrefix)?;
        take((*length, address));
        octets = rest;
    }
    Ok(())
}

/// The prefixes of a received list, for whoever keeps them: a receiver in tests, a debug view. The session itself keeps none.
///
/// `None` where the octets are no list of prefixes of the family.
pub fn read(family: IpFamily, octets: &[u8]) -> Option<Vec<IpNetwork>> {
    let mut prefixes = Vec::new();
    let taken = for_each(family, octets, |(length, address)| {
        let network = match family {
            IpFamily::V4 => {
                let mut full = [0; 4];
                full.iter_mut().zip(address).for_each(|(place, octet)| *place = *octet);
                PrefixV4::from_parts(full, length)
            }
            IpFamily::V6 => {
                let mut full = [0; 16];
                full.iter_mut().zip(address).for_each(|(place, octet)| *place = *octet);
                PrefixV6::from_parts(full, length)
            }
        };
        prefixes.push(network);
    });
    taken.ok().map(|()| prefixes)
}

impl PrefixV4 {
    fn from_parts(network: [u8; 4], length: u8) -> IpNetwork {
        let network = Self { network, length }.to_network();
        Self::from_network(network).map_or(network, Self::to_network)
    }
}

impl PrefixV6 {
    fn from_parts(network: [u8; 16], length: u8) -> IpNetwork {
        let network = Self { network, length }.to_network();
        Self::from_network(network).map_or(network, Self::to_network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 4271 section 4.3, RFC 7606 section 5.3
    #[test]
    fn a_list_is_counted_or_refused() {
        assert_eq!(count(IpFamily::V4, &[0, 8, 10, 25, 192, 0, 2, 255, 32, 1, 2, 3, 4]), Ok(4));
        assert_eq!(count(IpFamily::V4, &[33, 1, 2, 3, 4, 5]), Err(BadPrefix));
        assert_eq!(count(IpFamily::V4, &[24, 1, 2]), Err(BadPrefix));
        assert_eq!(count(IpFamily::V6, &[33, 0x20, 1, 0xd, 0xb8, 0x80]), Ok(1));
        assert_eq!(count(IpFamily::V6, &[129]), Err(BadPrefix));
    }

    // RFC 4271 section 4.3: trailing bits are of no meaning
    #[test]
    fn host_bits_are_cleared_on_both_ways() {
        let read = read(IpFamily::V4, &[20, 10, 1, 0xff]).unwrap();
        assert_eq!(read, ["10.1.240.0/20".parse().unwrap()]);
        let prefix = PrefixV4::from_network("10.1.255.7/20".parse().unwrap()).unwrap();
        assert_eq!((prefix.network, prefix.octets()), ([10, 1, 240, 0], 4));
        assert_eq!(PrefixV6::from_network("10.0.0.0/8".parse().unwrap()), None);
    }
}
