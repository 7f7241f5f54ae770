//! Which links are announced on: pure decisions over what the kernel says of a link ([L2-21] to [L2-23]).

use core::fmt;

use lbcore::family::IpFamily;
use lbcore::link::MacAddr;
use netlink_packet_route::link::LinkFlags;
use regex::{RegexSet, RegexSetBuilder};
use thiserror::Error;

/// The link that a standalone host holds its addresses on. Never announced on, whatever the exclusion says.
pub const HOLDER_LINK: &str = "ferrule0";

/// The links that a node of a cluster has by the hundred, and that lead to no segment of ours ([L2-22]).
pub const DEFAULT_EXCLUSION: [&str; 14] = [
    "^docker.*",
    "^cbr.*",
    "^dummy.*",
    "^virbr.*",
    "^lxcbr.*",
    "^veth.*",
    "^lo$",
    "^cali.*",
    "^tunl.*",
    "^flannel.*",
    "^kube-ipvs.*",
    "^cni.*",
    "^nodelocaldns.*",
    "^lxc.*",
];

/// Octets that the compiled expressions may take; far above any list that a person writes.
const MAX_COMPILED: usize = 10 << 20;

/// A list of expressions that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the links to exclude are no list of regular expressions: {reason}")]
pub struct ExclusionError {
    /// What is wrong, with the expression.
    pub reason: String,
}

/// Names of links that are passed over entirely ([L2-21]).
#[derive(Clone, Debug)]
pub struct Exclusion(RegexSet);

impl Exclusion {
    /// Excludes each link whose name one of the expressions finds, anywhere in it (RE2 syntax). An empty list excludes nothing.
    ///
    /// # Errors
    /// [`ExclusionError`] where an expression is malformed or all together are too large.
    pub fn new<I, S>(expressions: I) -> Result<Self, ExclusionError>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<str>,
    {
        RegexSetBuilder::new(expressions)
            .size_limit(MAX_COMPILED)
            .build()
            .map(Self)
            .map_err(|error| ExclusionError { reason: error.to_string() })
    }

    /// The default list of [L2-22].
    ///
    /// # Errors
    /// None in practice: a test compiles the list.
    pub fn upstream_default() -> Result<Self, ExclusionError> {
        Self::new(DEFAULT_EXCLUSION)
    }

    /// Whether a link of this name is passed over.
    pub fn excludes(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// What the kernel says of a link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LinkFacts {
    /// Its name.
    pub(super) name: String,
    /// Its hardware address, where it is one of Ethernet.
    pub(super) mac: Option<MacAddr>,
    /// Its flags.
    pub(super) flags: LinkFlags,
    /// Whether it is a port of a bond, a bridge or the like.
    pub(super) role: LinkRole,
}

/// Whether a link works for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LinkRole {
    /// It does.
    Independent,
    /// It has a master device.
    Port,
}

/// Why a link is not announced on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ineligible {
    /// Its name is excluded ([L2-21]).
    Excluded,
    /// It is [`HOLDER_LINK`].
    Holder,
    /// It is administratively down ([L2-23]).
    Down,
    /// Its cable is unplugged, or its peer is down.
    NoCarrier,
    /// Frames come in through its master device ([L2-23]).
    HasMaster,
    /// It does without ARP ([L2-23]).
    NoArp,
    /// It cannot broadcast ([L2-23]).
    NoBroadcast,
    /// It is not Ethernet.
    NotEthernet,
    /// It cannot multicast, without which there is no neighbor discovery.
    NoMulticast,
    /// It has no link-local address that is in use (IPv6 is disabled, or another host has the address) ([L2-23], [L2-67]).
    NoLinkLocal,
}

impl fmt::Display for Ineligible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Excluded => "its name is excluded",
            Self::Holder => "it holds this host's own addresses",
            Self::Down => "it is down",
            Self::NoCarrier => "it has no carrier",
            Self::HasMaster => "it has a master device",
            Self::NoArp => "it does without ARP",
            Self::NoBroadcast => "it cannot broadcast",
            Self::NotEthernet => "it is not Ethernet",
            Self::NoMulticast => "it cannot multicast",
            Self::NoLinkLocal => "it has no usable IPv6 link-local address",
        })
    }
}

/// Whether a link has an address of its own of the family that is announced: of IPv6 a link-local one that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OwnAddress {
    Absent,
    Present,
}

/// Decides about one link for one family; yields the hardware address to answer with.
///
/// An address of the link's own is needed for IPv6 alone: ARP works on a VLAN without one. Carrier is asked for beside [L2-23]: sends to a link whose peer lost carrier succeed into nothing, so an owner there would
/// be deaf and mute without an error.
pub(super) fn judge(
    link: &LinkFacts,
    own: OwnAddress,
    family: IpFamily,
    exclusion: &Exclusion,
) -> Result<MacAddr, Ineligible> {
    if link.name == HOLDER_LINK {
        return Err(Ineligible::Holder);
    }
    if exclusion.excludes(&link.name) {
        return Err(Ineligible::Excluded);
    }
    let for_group = match family {
        IpFamily::V4 => (LinkFlags::Broadcast, Ineligible::NoBroadcast),
        IpFamily::V6 => (LinkFlags::Multicast, Ineligible::NoMulticast),
    };
    let needed = [(LinkFlags::Up, Ineligible::Down), for_group, (LinkFlags::LowerUp, Ineligible::NoCarrier)];
    for (flag, reason) in needed {
        if !link.flags.contains(flag) {
            return Err(reason);
        }
    }
    if link.flags.contains(LinkFlags::Noarp) {
        return Err(Ineligible::NoArp);
    }
    let mac = match link.role {
        LinkRole::Port => Err(Ineligible::HasMaster),
        LinkRole::Independent => link.mac.ok_or(Ineligible::NotEthernet),
    }?;
    match (family, own) {
        (IpFamily::V6, OwnAddress::Absent) => Err(Ineligible::NoLinkLocal),
        (IpFamily::V4, _) | (IpFamily::V6, OwnAddress::Present) => Ok(mac),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddr = MacAddr::new([2, 0, 0, 0, 0, 1]);

    fn usable(name: &str) -> LinkFacts {
        LinkFacts {
            name: name.to_owned(),
            mac: Some(MAC),
            flags: LinkFlags::Up
                | LinkFlags::Broadcast
                | LinkFlags::LowerUp
                | LinkFlags::Multicast
                | LinkFlags::Running,
            role: LinkRole::Independent,
        }
    }

    fn default_exclusion() -> Exclusion {
        Exclusion::upstream_default().unwrap()
    }

    /// As ARP sees it.
    fn judge_for_arp(link: &LinkFacts, exclusion: &Exclusion) -> Result<MacAddr, Ineligible> {
        judge(link, OwnAddress::Absent, IpFamily::V4, exclusion)
    }

    fn verdict(link: &LinkFacts) -> Result<MacAddr, Ineligible> {
        judge_for_arp(link, &default_exclusion())
    }

    // [L2-23]: no IPv4 address is needed, bonds and bridges count themselves.
    #[test]
    fn links_that_are_up_and_can_broadcast_are_eligible() {
        for name in ["eth0", "ens3", "bond0", "br-lan", "eth0.100", "wlan0", "eth0veth"] {
            assert_eq!(verdict(&usable(name)), Ok(MAC), "{name}");
        }
    }

    // [L2-22]
    #[test]
    fn the_default_list_excludes_what_clusters_make() {
        let names = [
            "docker0",
            "cbr0",
            "dummy1",
            "virbr0",
            "lxcbr0",
            "veth1a2b",
            "lo",
            "cali12",
            "tunl0",
            "flannel.1",
            "kube-ipvs0",
            "cni0",
            "nodelocaldns",
            "lxc1",
        ];
        for name in names {
            assert_eq!(verdict(&usable(name)), Err(Ineligible::Excluded), "{name}");
        }
    }

    // [L2-21]: an unanchored search.
    #[test]
    fn an_expression_is_searched_anywhere_in_the_name() {
        let exclusion = Exclusion::new(["th1"]).unwrap();
        assert_eq!(judge_for_arp(&usable("eth1"), &exclusion), Err(Ineligible::Excluded));
        assert_eq!(judge_for_arp(&usable("eth0"), &exclusion), Ok(MAC));
    }

    // [L2-22], second half
    #[test]
    fn an_empty_list_excludes_nothing_but_the_holder_of_our_own_addresses() {
        let none = Exclusion::new::<_, &str>([]).unwrap();
        assert_eq!(judge_for_arp(&usable("veth1"), &none), Ok(MAC));
        assert_eq!(judge_for_arp(&usable(HOLDER_LINK), &none), Err(Ineligible::Holder));
    }

    // [L2-21]: malformed is fatal at start.
    #[test]
    fn a_malformed_expression_is_refused_and_named() {
        let error = Exclusion::new(["eth(", "fine"]).unwrap_err();
        assert!(error.to_string().contains("eth("), "{error}");
    }

    // [L2-23]
    #[test]
    fn a_link_that_cannot_carry_an_answer_is_not_eligible() {
        let without = |flag| LinkFacts { flags: usable("eth0").flags - flag, ..usable("eth0") };
        assert_eq!(verdict(&without(LinkFlags::Up)), Err(Ineligible::Down));
        assert_eq!(verdict(&without(LinkFlags::LowerUp)), Err(Ineligible::NoCarrier));
        assert_eq!(verdict(&without(LinkFlags::Broadcast)), Err(Ineligible::NoBroadcast));
        let silent = LinkFacts { flags: usable("eth0").flags | LinkFlags::Noarp, ..usable("eth0") };
        assert_eq!(verdict(&silent), Err(Ineligible::NoArp));
        assert_eq!(verdict(&LinkFacts { role: LinkRole::Port, ..usable("eth0") }), Err(Ineligible::HasMaster));
        assert_eq!(verdict(&LinkFacts { mac: None, ..usable("ib0") }), Err(Ineligible::NotEthernet));
    }

    // [L2-23], [L2-67]
    #[test]
    fn ipv6_needs_a_link_local_address_and_multicast_and_no_broadcast() {
        let exclusion = default_exclusion();
        let for_ndp = |link: &LinkFacts, own| judge(link, own, IpFamily::V6, &exclusion);
        assert_eq!(for_ndp(&usable("eth0"), OwnAddress::Present), Ok(MAC));
        assert_eq!(for_ndp(&usable("eth0"), OwnAddress::Absent), Err(Ineligible::NoLinkLocal));
        let without = |flag| LinkFacts { flags: usable("eth0").flags - flag, ..usable("eth0") };
        assert_eq!(for_ndp(&without(LinkFlags::Broadcast), OwnAddress::Present), Ok(MAC));
        assert_eq!(for_ndp(&without(LinkFlags::Multicast), OwnAddress::Present), Err(Ineligible::NoMulticast));
        assert_eq!(for_ndp(&usable("veth0"), OwnAddress::Present), Err(Ineligible::Excluded));
    }
}
