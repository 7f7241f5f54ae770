//! BGP peers and BFD profiles as configuration values ([CFG-20] to [CFG-27], [PEER-10] to [PEER-42]).

use core::fmt;
use core::num::NonZeroU32;
use core::time::Duration;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use crate::advertisement::covers;
use crate::family::IpFamily;
use crate::labels::{Labels, Selector};

/// A password for TCP MD5. `Debug` never shows it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Arc<[u8]>);

impl Password {
    /// Takes the octets of a password.
    pub fn new(octets: impl Into<Arc<[u8]>>) -> Self {
        Self(octets.into())
    }

    /// The octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Number of an autonomous system, 1 to 4294967295.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asn(NonZeroU32);

impl Asn {
    /// Takes a number; `None` for 0.
    pub fn new(number: u32) -> Option<Self> {
        NonZeroU32::new(number).map(Self)
    }

    /// The number.
    pub const fn as_u32(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for Asn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Which AS the peer may have ([PEER-11], [PEER-12]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RemoteAs {
    /// This one.
    Exactly(Asn),
    /// Any other than ours.
    External,
    /// Ours.
    Internal,
}

/// Whether a session stays within our AS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionKind {
    /// Between two systems (eBGP).
    External,
    /// Within our system (iBGP).
    Internal,
}

/// Whom the session is with ([PEER-14], [PEER-15]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PeerEndpoint {
    /// The host of this address.
    Address(IpAddr),
    /// Whoever is at the other end of this link (unnumbered, RFC 8950).
    Interface(Arc<str>),
}

impl fmt::Display for PeerEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => fmt::Display::fmt(address, f),
            Self::Interface(name) => f.write_str(name),
        }
    }
}

/// Hold and keepalive time, whole seconds; both zero means that no timers run ([PEER-41], [PEER-42]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerTimers {
    /// 0, or 3 s to 65535 s.
    pub hold: Duration,
    /// At most the hold time.
    pub keepalive: Duration,
}

/// Which address families a session carries ([FRR-3]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SessionFamilies {
    /// Both.
    Both,
    /// One.
    Only(IpFamily),
}

impl SessionFamilies {
    /// Whether prefixes of this family are sent.
    pub fn carries(self, family: IpFamily) -> bool {
        match self {
            Self::Both => true,
            Self::Only(only) => only == family,
        }
    }
}

/// Whether a feature of a session is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Feature {
    /// It is not.
    #[default]
    Off,
    /// It is.
    On,
}

impl Feature {
    /// From the field of a resource; absent means off.
    pub fn from_field(field: Option<bool>) -> Self {
        if field == Some(true) { Self::On } else { Self::Off }
    }
}

/// A BGPPeer, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Our AS.
    pub my_asn: Asn,
    /// The AS that the peer may have.
    pub remote: RemoteAs,
    /// The AS that we show to this peer instead of ours ([PEER-13]).
    pub local_asn: Option<Asn>,
    /// Whom the session is with.
    pub endpoint: PeerEndpoint,
    /// Our address of the session.
    pub source_address: Option<IpAddr>,
    /// TCP port to dial, 1 to 16384.
    pub port: u16,
    /// Timers to propose; `None` leaves them to the engine ([PEER-40]).
    pub timers: Option<PeerTimers>,
    /// Wait between attempts, whole seconds, 1 s to 65535 s.
    pub connect_time: Option<Duration>,
    /// BGP identifier.
    pub router_id: Option<Ipv4Addr>,
    /// Nodes that open the session, OR-ed; empty means all ([CFG-21]). Sorted.
    pub node_selectors: Vec<Selector>,
    /// TCP MD5 password, in the clear or from the secret.
    pub password: Option<Password>,
    /// Name of a BFD profile; it exists unless the check was for admission.
    pub bfd_profile: Option<Arc<str>>,
    /// Graceful restart (RFC 4724).
    pub graceful_restart: Feature,
    /// The peer may be more than one hop away.
    pub multi_hop: Feature,
    /// Linux VRF device of the session; `None` for the default one.
    pub vrf: Option<Arc<str>>,
    /// Address families of the session.
    pub families: SessionFamilies,
}

impl Peer {
    /// Our AS as this peer knows it ([WIRE-9]).
    pub fn local_as(&self) -> Asn {
        self.local_asn.unwrap_or(self.my_asn)
    }

    /// The kind of the session by the AS numbers that will be used on it, as far as they are configured ([WIRE-6]).
    pub fn session_kind(&self) -> SessionKind {
        match self.remote {
            RemoteAs::Exactly(asn) if asn == self.local_as() => SessionKind::Internal,
            // Its AS is `my_asn`, whatever AS we call ourselves ([PEER-11]).
            RemoteAs::Internal if self.my_asn == self.local_as() => SessionKind::Internal,
            RemoteAs::Exactly(_) | RemoteAs::External | RemoteAs::Internal => SessionKind::External,
        }
    }

    /// Whether a node with these labels opens the session.
    pub fn includes_node(&self, labels: &Labels) -> bool {
        covers(&self.node_selectors, labels)
    }
}

/// A BFDProfile, checked; `None` leaves a value to the engine ([BFD-1] to [BFD-7]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdProfile {
    /// `metadata.name`.
    pub name: Arc<str>,
    /// Shortest interval at which packets are received, 10 ms to 60 s.
    pub receive_interval: Option<Duration>,
    /// Shortest interval at which packets are sent, 10 ms to 60 s.
    pub transmit_interval: Option<Duration>,
    /// Packets missed before the session is down, 2 to 255.
    pub detect_multiplier: Option<u8>,
    /// Interval of echo packets, 10 ms to 60 s.
    pub echo_interval: Option<Duration>,
    /// The echo function.
    pub echo_mode: Feature,
    /// Wait for the peer to start.
    pub passive_mode: Feature,
    /// Least TTL taken on multi-hop sessions, 1 to 254.
    pub minimum_ttl: Option<u8>,
}
