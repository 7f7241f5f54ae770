//! Sessions of BGP as log lines ([LOG-4]).

use std::collections::BTreeMap;
use std::sync::Arc;

use announce_bgp::io::{BgpAnnouncer, SessionsVersion};

/// Why a session is down whose peer has another one, which has not ended yet.
const CHANGED: &str = "the configuration of the peer changed";

/// Follows the sessions of the announcer.
#[derive(Debug, Default)]
pub(crate) struct SessionLog {
    version: SessionsVersion,
    up: BTreeMap<Arc<str>, bool>,
    notified: BTreeMap<Arc<str>, String>,
}

impl SessionLog {
    /// Resolves when a session changed.
    pub(crate) async fn changed(&self, bgp: &BgpAnnouncer) {
        bgp.sessions_changed(self.version).await;
    }

    /// Says which sessions went up or down, came or went.
    pub(crate) fn tell(&mut self, bgp: &BgpAnnouncer) {
        let version = bgp.sessions_version();
        if version == self.version {
            return;
        }
        self.version = version;
        let mut before = std::mem::take(&mut self.up);
        for session in bgp.sessions() {
            let (peer, address) = (&session.name, session.label());
            let is_up = session.is_up();
            match (before.remove(peer), is_up) {
                (Some(true), false) => {
                    let reason = session.last_ending.unwrap_or_else(|| CHANGED.to_owned());
                    tracing::warn!(event = "sessionDown", %peer, address, reason, "BGP session is down");
                }
                (Some(false) | None, true) => {
                    let remote = session.facts.map(|facts| facts.remote_as);
                    tracing::info!(event = "sessionUp", %peer, address, asn = remote, "BGP session is up");
                }
                (None, false) => tracing::info!(event = "peerAdded", %peer, address, "BGP peer was added"),
                (Some(_), _) => {}
            }
            self.up.insert(Arc::clone(peer), is_up);
            if let Some(notification) = session.last_notification
                && self.notified.get(peer) != Some(&notification)
            {
                tracing::warn!(event = "peerNotification", %peer, address, notification, "one side ended the BGP session");
                self.notified.insert(Arc::clone(peer), notification);
            }
        }
        self.notified.retain(|peer, _| self.up.contains_key(peer));
        for peer in before.into_keys() {
            tracing::info!(event = "peerRemoved", %peer, "BGP peer was removed");
        }
    }
}
