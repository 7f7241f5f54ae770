//! What is told of sessions: for metrics, status objects and people.

use core::time::Duration;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use lbcore::family::IpFamily;
use lbcore::peer::{Peer, PeerEndpoint, SessionKind};
use lbcore::time::Timestamp;

use crate::config::{LeftOut, NotStarted, left_out};
use crate::fsm::State;
use crate::session::{Session, SessionCounts};

/// Number of a change of any session's state; grows with every change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionsVersion(pub u64);

/// What is agreed with the peer of an established session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionFacts {
    /// The peer's AS.
    pub remote_as: u32,
    /// Our AS as the peer knows it.
    pub local_as: u32,
    /// Whether both are the same.
    pub kind: SessionKind,
    /// The peer's BGP identifier.
    pub remote_id: Ipv4Addr,
    /// Our BGP identifier.
    pub local_id: Ipv4Addr,
    /// Hold time; zero where no timers run.
    pub hold: Duration,
    /// Families that both sides carry.
    pub families: BTreeSet<IpFamily>,
}

/// What is known of one peer of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Name of the BGPPeer.
    pub name: Arc<str>,
    /// Its address or interface.
    pub endpoint: PeerEndpoint,
    /// Its TCP port.
    pub port: u16,
    /// Its VRF; `None` for the default one.
    pub vrf: Option<Arc<str>>,
    /// State of the session.
    pub state: State,
    /// Why there is no session at all.
    pub not_started: Option<NotStarted>,
    /// Fields of the peer that the session runs without.
    pub left_out: Vec<LeftOut>,
    /// Since when it is established.
    pub up_since: Option<Timestamp>,
    /// What is agreed; `None` where it is not established.
    pub facts: Option<SessionFacts>,
    /// What was counted since the session was configured.
    pub counts: SessionCounts,
    /// Prefixes that the peer has ([METRIC-32]).
    pub announced_prefixes: usize,
    /// Prefixes that the peer shall have ([METRIC-33]).
    pub pending_prefixes: usize,
    /// Why the last session or attempt ended.
    pub last_ending: Option<String>,
    /// The last ending that one side told the other by a NOTIFICATION; it may be older than `last_ending`.
    pub last_notification: Option<String>,
}

impl SessionView {
    /// `address:port` of the peer, an IPv6 address in brackets: the label of the metrics ([METRIC-50]).
    pub fn label(&self) -> String {
        match &self.endpoint {
            PeerEndpoint::Address(IpAddr::V6(address)) => format!("[{address}]:{}", self.port),
            PeerEndpoint::Address(address) => format!("{address}:{}", self.port),
            PeerEndpoint::Interface(name) => format!("{name}:{}", self.port),
        }
    }

    /// Whether routes are exchanged.
    pub fn is_up(&self) -> bool {
        self.state == State::Established
    }

    pub(super) fn running(name: &Arc<str>, peer: &Peer, session: &Session) -> Self {
        let facts = session.negotiated().filter(|_| session.state() == State::Established).map(|agreed| SessionFacts {
            remote_as: agreed.remote_as,
            local_as: agreed.local_as,
            kind: agreed.kind,
            remote_id: agreed.remote_id,
            local_id: agreed.local_id,
            hold: agreed.hold,
            families: agreed.families.clone(),
        });
        Self {
            state: session.state(),
            up_since: session.up_since(),
            facts,
            counts: *session.counts(),
            announced_prefixes: session.routes().announced(),
            pending_prefixes: session.routes().wanted(),
            last_ending: session.last_ending().map(ToString::to_string),
            last_notification: session.last_notification().map(ToString::to_string),
            ..Self::blank(name, peer)
        }
    }

    pub(super) fn not_started(name: &Arc<str>, peer: &Peer, reason: NotStarted) -> Self {
        Self { not_started: Some(reason), ..Self::blank(name, peer) }
    }

    fn blank(name: &Arc<str>, peer: &Peer) -> Self {
        Self {
            name: Arc::clone(name),
            endpoint: peer.endpoint.clone(),
            port: peer.port,
            vrf: peer.vrf.clone(),
            state: State::Idle,
            not_started: None,
            left_out: left_out(peer),
            up_since: None,
            facts: None,
            counts: SessionCounts::default(),
            announced_prefixes: 0,
            pending_prefixes: 0,
            last_ending: None,
            last_notification: None,
        }
    }
}
