//! Our end of a connection: which addresses of this host routes of a session may lead to.
//!
//! An address that others shall forward to must outlast the session. So what passes does not count (temporary, deprecated, not yet or
//! never unique), nor what means another host elsewhere (loopback), and among several the one that was there first is taken: addresses
//! that float between nodes come later than those of the node.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnetwork::IpNetwork;
use lbcore::link::LinkIndex;

use super::SessionConfig;
use crate::wire::update::compose::NextHop;

/// Whether the peer's address lies on the link that the connection leaves by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nearness {
    /// It does.
    OnLink,
    /// A router stands between, or nothing is known.
    Routed,
}

/// How long an address is to be counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Until somebody takes it away.
    Permanent,
    /// As long as a router or a server goes on lending it.
    Leased,
    /// Not at all: temporary (RFC 8981), deprecated, tentative or a duplicate (RFC 4862).
    Passing,
}

/// An address of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkAddress {
    /// The link.
    pub link: LinkIndex,
    /// The address.
    pub address: IpAddr,
    /// The network that is reached through it; on a link with two ends that of the other end.
    pub network: IpNetwork,
    /// How long it is to be counted on.
    pub standing: Standing,
    /// When it was made, in hundredths of a second since the system began.
    pub created: u32,
}

/// Whether an address is of a network that the link is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Company {
    /// It is.
    Network,
    /// It stands alone, as floating addresses and those of Services do, or is an IPv4 address of the link alone (RFC 3927).
    Alone,
}

impl LinkAddress {
    /// The less the better; `None` where no route may lead here. `place` is that in the kernel's list, which has IPv4 addresses in the order
    /// in which they were made and IPv6 addresses the other way round: it decides between those of one hundredth of a second.
    fn rank(&self, place: usize) -> Option<(Company, u32, Standing, usize)> {
        let address = self.address;
        let is_of_one_host = !address.is_loopback() && !address.is_unspecified() && !address.is_multicast();
        if !is_of_one_host || self.standing == Standing::Passing {
            return None;
        }
        let is_alone = match (address, self.network) {
            (IpAddr::V4(address), network) => network.prefix() == 32 || address.is_link_local(),
            (IpAddr::V6(_), network) => network.prefix() == 128,
        };
        let company = if is_alone { Company::Alone } else { Company::Network };
        let age = if address.is_ipv4() { place } else { usize::MAX - place };
        Some((company, self.created, self.standing, age))
    }
}

/// Both ends of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Our address.
    pub local: IpAddr,
    /// The peer's.
    pub remote: IpAddr,
}

/// How the system reaches the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    /// The link that packets leave by.
    pub link: LinkIndex,
    /// Whether they need a router.
    pub nearness: Nearness,
}

/// Our end of a connection, as the shell found it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalEnd {
    /// Our address.
    pub local: IpAddr,
    /// An IPv4 address of the link that owns it.
    pub link_v4: Option<Ipv4Addr>,
    /// An IPv4 address of the link that the way to the peer begins on, which is another where the session stands on a loopback address.
    pub way_v4: Option<Ipv4Addr>,
    /// A global IPv6 address of the link that owns our address, else of the one that the way to the peer begins on.
    pub link_v6: Option<Ipv6Addr>,
    /// The link-local IPv6 address of the link that the way to the peer begins on.
    pub link_local: Option<Ipv6Addr>,
    /// Where the peer is.
    pub nearness: Nearness,
}

impl LocalEnd {
    /// An end of which nothing but its address is known.
    pub const fn of(local: IpAddr) -> Self {
        Self { local, link_v4: None, way_v4: None, link_v6: None, link_local: None, nearness: Nearness::Routed }
    }

    /// What addresses of the host, in the order of the kernel's list, and the way to the peer tell of an end. Where the way is not known it is taken to begin on the link that
    /// owns our address.
    ///
    /// Source: [WIRE-50], [WIRE-51]; RFC 4271 section 5.1.3.
    pub fn find(ends: Ends, addresses: &[LinkAddress], way: Option<Way>) -> Self {
        let mut end = Self::of(ends.local);
        let is_on_way = |known: &&LinkAddress| way.is_none_or(|way| way.link == known.link);
        let owners = || addresses.iter().filter(|known| known.address == ends.local);
        let Some(owner) = owners().find(is_on_way).or_else(|| owners().next()) else { return end };
        let near = if owner.network.contains(ends.remote) { Nearness::OnLink } else { Nearness::Routed };
        let way = way.unwrap_or(Way { link: owner.link, nearness: near });
        let best = |link: LinkIndex, is_wanted: &dyn Fn(IpAddr) -> bool| {
            let known =
                addresses.iter().enumerate().filter(|(_, known)| known.link == link && is_wanted(known.address));
            let ranked = known.filter_map(|(place, known)| Some((known.rank(place)?, known.address)));
            ranked.min().map(|(_, address)| address)
        };
        let v4 = |link| match best(link, &|address| address.is_ipv4()) {
            Some(IpAddr::V4(address)) => Some(address),
            Some(IpAddr::V6(_)) | None => None,
        };
        let v6 = |link, is_wanted: &dyn Fn(Ipv6Addr) -> bool| match best(
            link,
            &|address| matches!(address, IpAddr::V6(address) if is_wanted(address)),
        ) {
            Some(IpAddr::V6(address)) => Some(address),
            Some(IpAddr::V4(_)) | None => None,
        };
        let is_global = |address: Ipv6Addr| !address.is_unicast_link_local();
        end.link_v4 = v4(owner.link);
        end.way_v4 = v4(way.link);
        end.link_v6 = v6(owner.link, &is_global).or_else(|| v6(way.link, &is_global));
        // On another link than the connection's it would reach nobody but where the peer is on that link itself.
        if way.link == owner.link || way.nearness == Nearness::OnLink {
            end.link_local = v6(way.link, &|address| address.is_unicast_link_local());
        }
        end.nearness = way.nearness;
        end
    }

    /// Our BGP identifier ([WIRE-8]). A loopback address is that of every host, so it identifies none (RFC 6286).
    pub(super) fn router_id(&self, config: &SessionConfig) -> Ipv4Addr {
        let of_session = match self.local {
            IpAddr::V4(local) => Some(local).filter(|local| !local.is_loopback()),
            IpAddr::V6(_) => self.link_v4,
        };
        config.peer.router_id.or(of_session).unwrap_or(config.router_id_of_node)
    }

    /// Where IPv4 routes lead ([WIRE-50], [WIRE-51]).
    pub(super) fn next_hop_v4(&self, router_id: Ipv4Addr) -> Ipv4Addr {
        match self.local {
            IpAddr::V4(local) => local,
            IpAddr::V6(_) => self.link_v4.or(self.way_v4).unwrap_or(router_id),
        }
    }

    /// Where IPv6 routes lead ([WIRE-50] to [WIRE-52]); `None` where there is no IPv6 address to lead to.
    pub(super) fn next_hop_v6(&self) -> Option<NextHop> {
        match self.local {
            IpAddr::V6(local) if local.is_unicast_link_local() => {
                Some(NextHop::V6 { first: self.link_v6.unwrap_or(local), link_local: Some(local) })
            }
            IpAddr::V6(local) => {
                let link_local = self.link_local.filter(|_| self.nearness == Nearness::OnLink);
                Some(NextHop::V6 { first: local, link_local })
            }
            IpAddr::V4(_) => match (self.link_v6, self.link_local) {
                (Some(first), _) => Some(NextHop::V6 { first, link_local: None }),
                (None, Some(local)) => Some(NextHop::V6 { first: local, link_local: Some(local) }),
                (None, None) => None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ETH0: u32 = 2;
    const ETH1: u32 = 3;
    const LO: u32 = 1;

    /// Addresses of a test are made in the order in which they are written.
    fn host(list: &[(u32, &str, Standing)]) -> Vec<LinkAddress> {
        let made = list.iter().zip(100..).map(|((link, text, standing), created)| {
            let (address, _) = text.split_once('/').unwrap();
            let network = text.parse().unwrap();
            let link = LinkIndex::new(*link);
            LinkAddress { link, address: address.parse().unwrap(), network, standing: *standing, created }
        });
        made.collect()
    }

    fn ends(local: &str, remote: &str) -> Ends {
        Ends { local: local.parse().unwrap(), remote: remote.parse().unwrap() }
    }

    const fn way(link: u32, nearness: Nearness) -> Way {
        Way { link: LinkIndex::new(link), nearness }
    }

    fn v6(text: &str) -> Option<Ipv6Addr> {
        text.parse().ok()
    }

    const FOR_GOOD: Standing = Standing::Permanent;

    // [WIRE-50], [WIRE-51]
    #[test]
    fn the_link_of_an_address_tells_its_others() {
        let addresses = host(&[
            (ETH0, "192.0.2.1/24", FOR_GOOD),
            (ETH1, "198.51.100.1/24", FOR_GOOD),
            (ETH0, "fe80::1/64", FOR_GOOD),
            (ETH0, "2001:db8::1/64", FOR_GOOD),
        ]);
        let own = Ipv4Addr::new(192, 0, 2, 1);
        let end = LocalEnd::find(ends("192.0.2.1", "192.0.2.9"), &addresses, None);
        let expected = LocalEnd {
            local: own.into(),
            link_v4: Some(own),
            way_v4: Some(own),
            link_v6: v6("2001:db8::1"),
            link_local: v6("fe80::1"),
            nearness: Nearness::OnLink,
        };
        assert_eq!(end, expected);
        let routed = LocalEnd::find(ends("2001:db8::1", "2001:db8:9::1"), &addresses, None);
        assert_eq!((routed.nearness, routed.link_v4), (Nearness::Routed, Some(own)));
        let unknown = ends("203.0.113.1", "203.0.113.1");
        assert_eq!(LocalEnd::find(unknown, &addresses, None), LocalEnd::of(unknown.local));
    }

    // RFC 4271 section 5.1.3: whatever the kernel lists first, routes lead to what stays.
    #[test]
    fn a_next_hop_is_an_address_that_lasts() {
        let next = |mut others: Vec<(u32, &'static str, Standing)>| {
            others.insert(0, (ETH0, "192.0.2.1/24", FOR_GOOD));
            let mut addresses = host(&others);
            let end = LocalEnd::find(ends("192.0.2.1", "192.0.2.9"), &addresses, None);
            addresses.reverse();
            assert_eq!(LocalEnd::find(ends("192.0.2.1", "192.0.2.9"), &addresses, None), end);
            end.link_v6
        };
        let own = (ETH0, "2001:db8::1/64", FOR_GOOD);
        assert_eq!(next(vec![own, (ETH0, "2001:db8::77/64", FOR_GOOD)]), v6("2001:db8::1"));
        // One that floats may have been there first after a restart of the link.
        assert_eq!(next(vec![(ETH0, "2001:db8::77/128", FOR_GOOD), own]), v6("2001:db8::1"));
        assert_eq!(next(vec![(ETH0, "2001:db8::9/64", Standing::Passing), own]), v6("2001:db8::1"));
        assert_eq!(next(vec![(ETH0, "2001:db8::9/64", Standing::Passing)]), None);
        assert_eq!(next(vec![(ETH0, "2001:db8::5/64", Standing::Leased)]), v6("2001:db8::5"));
        assert_eq!(next(vec![(ETH0, "2001:db8::5/128", Standing::Leased)]), v6("2001:db8::5"));
    }

    // The kernel tells the hundredth of a second, and lists IPv6 addresses from the newest to the oldest.
    #[test]
    fn of_addresses_made_at_once_the_kernels_order_decides() {
        let mut addresses = host(&[
            (ETH0, "192.168.1.11/24", FOR_GOOD),
            (ETH0, "10.0.0.11/24", FOR_GOOD),
            (ETH0, "2001:db8::1/64", FOR_GOOD),
            (ETH0, "2001:db8::2/64", FOR_GOOD),
        ]);
        for address in &mut addresses {
            address.created = 100;
        }
        let end = LocalEnd::find(ends("2001:db8::2", "2001:db8::9"), &addresses, None);
        assert_eq!((end.link_v4, end.link_v6), (Some(Ipv4Addr::new(192, 168, 1, 11)), v6("2001:db8::2")));
    }

    // RFC 4271 section 6.3, RFC 6286: 127.0.0.1 and ::1 are the same everywhere.
    #[test]
    fn loopback_addresses_are_no_next_hops() {
        let mut addresses = host(&[
            (LO, "127.0.0.1/8", FOR_GOOD),
            (LO, "::1/128", FOR_GOOD),
            (LO, "10.255.0.1/32", FOR_GOOD),
            (ETH0, "192.0.2.1/24", FOR_GOOD),
            (ETH0, "2001:db8::1/64", FOR_GOOD),
            (ETH0, "fe80::1/64", FOR_GOOD),
        ]);
        let from_lo = ends("10.255.0.1", "10.255.0.9");
        let routed = Some(way(ETH0, Nearness::Routed));
        assert_eq!(LocalEnd::find(from_lo, &addresses, None).link_v6, None);
        let end = LocalEnd::find(from_lo, &addresses, routed);
        // A link-local address reaches nobody who is further than the link.
        assert_eq!((end.link_v6, end.link_local), (v6("2001:db8::1"), None));
        addresses.push(host(&[(LO, "2001:db8::a/128", FOR_GOOD)])[0]);
        let end = LocalEnd::find(ends("2001:db8::a", "2001:db8:9::1"), &addresses, routed);
        assert_eq!(end.next_hop_v4(Ipv4Addr::new(9, 9, 9, 9)), Ipv4Addr::new(10, 255, 0, 1));
        addresses.retain(|known| known.address != from_lo.local);
        let end = LocalEnd::find(ends("2001:db8::a", "2001:db8:9::1"), &addresses, routed);
        assert_eq!((end.link_v4, end.next_hop_v4(Ipv4Addr::new(9, 9, 9, 9))), (None, Ipv4Addr::new(192, 0, 2, 1)));
    }

    // [WIRE-51], RFC 2545 section 3: a lone address of DHCPv6 beside a network that routers announce as on the link.
    #[test]
    fn the_way_to_the_peer_tells_whether_it_is_near() {
        let addresses = host(&[(ETH0, "2001:db8::1/128", FOR_GOOD), (ETH0, "fe80::1/64", FOR_GOOD)]);
        let between = ends("2001:db8::1", "2001:db8::2");
        let first = "2001:db8::1".parse().unwrap();
        let hop = |way| LocalEnd::find(between, &addresses, way).next_hop_v6();
        assert_eq!(hop(None), Some(NextHop::V6 { first, link_local: None }));
        assert_eq!(hop(Some(way(ETH0, Nearness::Routed))), Some(NextHop::V6 { first, link_local: None }));
        assert_eq!(hop(Some(way(ETH0, Nearness::OnLink))), Some(NextHop::V6 { first, link_local: v6("fe80::1") }));
    }

    // One address may stand on several links, as those of Services do.
    #[test]
    fn an_address_on_several_links_is_that_of_the_way() {
        let addresses = host(&[
            (ETH1, "192.0.2.1/32", FOR_GOOD),
            (ETH0, "192.0.2.1/24", FOR_GOOD),
            (ETH0, "2001:db8::1/64", FOR_GOOD),
            (ETH1, "2001:db8::2/64", FOR_GOOD),
        ]);
        let end = LocalEnd::find(ends("192.0.2.1", "192.0.2.9"), &addresses, Some(way(ETH0, Nearness::OnLink)));
        assert_eq!(end.link_v6, v6("2001:db8::1"));
    }
}
