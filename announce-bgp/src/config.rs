//! What the speaker of one node is configured with, made from the checked configuration of the cluster.

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use lbcore::config::Config;
use lbcore::labels::Labels;
use lbcore::peer::{Feature, Peer, PeerEndpoint, PeerTimers, SessionKind};
use lbcore::service::NodeName;

/// Which upstream engine's values stand where the configuration has none ([WIRE-40], [PEER-40], [WIRE-4]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum EngineDefaults {
    /// Those of `METALLB_BGP_TYPE` `frr` and `frr-k8s`: LOCAL_PREF 100, MED 0, hold time 180 s, TTL 1 toward other systems.
    #[default]
    Frr,
    /// Those of `native`: LOCAL_PREF 0, no MED, hold time 90 s, the system's TTL.
    Native,
}

impl EngineDefaults {
    /// MULTI_EXIT_DISC of every route.
    pub const fn med(self) -> Option<u32> {
        match self {
            Self::Frr => Some(0),
            Self::Native => None,
        }
    }

    /// LOCAL_PREF of a route without one.
    pub const fn local_pref(self) -> u32 {
        match self {
            Self::Frr => 100,
            Self::Native => 0,
        }
    }

    /// Timers of a peer without any.
    pub const fn timers(self) -> PeerTimers {
        let (hold, keepalive) = match self {
            Self::Frr => (180, 60),
            Self::Native => (90, 30),
        };
        PeerTimers { hold: Duration::from_secs(hold), keepalive: Duration::from_secs(keepalive) }
    }

    /// TTL or hop limit of the connection; `None` leaves it to the system ([FRR-11], [WIRE-4]).
    pub fn ttl(self, peer: &Peer) -> Option<u8> {
        let is_direct = peer.session_kind() == SessionKind::External && peer.multi_hop == Feature::Off;
        match self {
            Self::Native => None,
            Self::Frr if is_direct => Some(1),
            Self::Frr => Some(255),
        }
    }
}

/// Why a peer has no session although it is configured for the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NotStarted {
    /// It is reached through a VRF, which this build does not do.
    Vrf,
    /// It is named by an interface, which this build does not do.
    Interface,
}

impl fmt::Display for NotStarted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Vrf => "not started: the field vrf is not supported yet",
            Self::Interface => "not started: the field interface (unnumbered peering) is not supported yet",
        })
    }
}

/// A field of a peer that its session runs without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeftOut {
    /// `bfdProfile`.
    Bfd,
    /// `enableGracefulRestart`.
    GracefulRestart,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bfd => "the field bfdProfile is not supported yet; the session runs without BFD",
            Self::GracefulRestart => {
                "the field enableGracefulRestart is not supported yet; the session runs without graceful restart"
            }
        })
    }
}

/// Why the peer gets no session; `None` where it gets one.
pub fn not_started(peer: &Peer) -> Option<NotStarted> {
    match (&peer.endpoint, &peer.vrf) {
        (PeerEndpoint::Interface(_), _) => Some(NotStarted::Interface),
        (PeerEndpoint::Address(_), Some(_)) => Some(NotStarted::Vrf),
        (PeerEndpoint::Address(_), None) => None,
    }
}

/// What the peer's session runs without, in the order of the variants.
pub fn left_out(peer: &Peer) -> Vec<LeftOut> {
    let bfd = peer.bfd_profile.is_some().then_some(LeftOut::Bfd);
    let restart = (peer.graceful_restart == Feature::On).then_some(LeftOut::GracefulRestart);
    bfd.into_iter().chain(restart).collect()
}

/// Whether a session of the one may go on as a session of the other ([PEER-5], [WIRE-3]): only what both ends or the connection are
/// told of counts.
pub fn is_same_on_the_wire(one: &Peer, other: &Peer) -> bool {
    let facts = |peer: &Peer| Peer {
        name: Arc::clone(&one.name),
        node_selectors: Vec::new(),
        connect_time: None,
        bfd_profile: None,
        graceful_restart: Feature::Off,
        ..peer.clone()
    };
    facts(one) == facts(other)
}

/// What the speaker of one node is configured with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BgpConfig {
    /// The node's name: the last source of a BGP identifier ([WIRE-8]).
    pub node: NodeName,
    /// The peers that this node has sessions with, by name.
    pub peers: BTreeMap<Arc<str>, Arc<Peer>>,
    /// What stands for values that are not configured.
    pub defaults: EngineDefaults,
}

impl BgpConfig {
    /// No peers.
    pub const fn new(node: NodeName, defaults: EngineDefaults) -> Self {
        Self { node, peers: BTreeMap::new(), defaults }
    }

    /// The peers of a configuration whose selectors match the labels of the node ([PEER-2]).
    pub fn for_node(config: &Config, node: NodeName, labels: &Labels, defaults: EngineDefaults) -> Self {
        let ours = config.peers().iter().filter(|(_, peer)| peer.includes_node(labels));
        let peers = ours.map(|(name, peer)| (Arc::clone(name), Arc::clone(peer))).collect();
        Self { node, peers, defaults }
    }
}

/// The BGP identifier where there is no IPv4 address at all: CRC-32 of the node's name, its octets in little-endian order ([VEC-17]).
///
/// Zero is no identifier (RFC 6286), so a name that hashes to it gets 0.0.0.1.
pub fn router_id_of_name(node: &NodeName) -> Ipv4Addr {
    let mut remainder = u32::MAX;
    for octet in node.as_str().bytes() {
        remainder ^= u32::from(octet);
        for _ in 0..8 {
            let carry = remainder & 1;
            remainder >>= 1;
            if carry == 1 {
                remainder ^= 0xedb8_8320;
            }
        }
    }
    let id = Ipv4Addr::from((!remainder).to_le_bytes());
    if id.is_unspecified() { Ipv4Addr::new(0, 0, 0, 1) } else { id }
}

#[cfg(test)]
pub(crate) mod tests;
