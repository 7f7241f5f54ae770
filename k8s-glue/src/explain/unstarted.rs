//! Peers to which the rules announce and to which this build has no session: an explanation says so where their routes would be told.

use std::sync::Arc;

use announce_bgp::config::{NotStarted, not_started};
use lbcore::config::Config;
use lbcore::explain::{Announcement, ObjectName, Step, Verdict};

use crate::honoured;

/// The reason why a peer has no session.
pub(super) fn why(config: &Config, peer: &str) -> Option<NotStarted> {
    config.peers().get(peer).and_then(|peer| not_started(peer))
}

/// Takes the routes to such peers out, with a step for each peer.
pub(super) fn strike_out(announcement: &mut Announcement, config: &Config) {
    let peers = announcement.routes.iter().map(|route| Arc::clone(&route.peer));
    let mut struck: Vec<(Arc<str>, NotStarted)> =
        peers.filter_map(|peer| why(config, &peer).map(|reason| (peer, reason))).collect();
    struck.sort();
    struck.dedup();
    announcement.routes.retain(|route| struck.iter().all(|(peer, _)| *peer != route.peer));
    announcement.trace.steps.extend(struck.into_iter().map(|(name, reason)| Step {
        rule: match reason {
            NotStarted::Interface => "PEER-15",
            NotStarted::Vrf => "PEER-28",
        },
        verdict: Verdict::Refused,
        objects: vec![ObjectName { kind: "BGPPeer", namespace: None, name }],
        text: format!("it hears nothing: {reason}"),
        fix: Some(honoured::instead_of(reason).to_owned()),
    }));
}
