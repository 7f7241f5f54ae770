//! What is to be told of objects of the configuration: those that the rules refuse, and fields that this build does not honour yet.

use std::sync::Arc;
use std::time::Duration;

use announce_bgp::config::{left_out, not_started};
use lbcore::config::{ObjectRef, Severity};
use lbcore::converge::NoticeKind;
use lbcore::peer::Peer;
use lbcore::time::Timestamp;
use serde_json::Value;

use super::scene::Scene;
use crate::cluster::events::{About, Told};
use crate::cluster::watch::Kind;

/// Whether this node speaks for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Voice {
    /// It tells only of what concerns some nodes.
    Own,
    /// It is the first of the living: it tells of what concerns all nodes, too.
    All,
}

/// The configuration has to be left alone for so long before its faults are told of: a file of many objects comes one by one, and what
/// refers to others may come before them.
const QUIET: Duration = Duration::from_secs(1);
/// They are told of after this time, however often it changes.
const QUIET_LIMIT: Duration = Duration::from_secs(5);

/// Waits for the configuration to be left alone.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quiet {
    /// When it changed first since the last telling, and when last.
    changed: Option<(Timestamp, Timestamp)>,
}

impl Quiet {
    /// The configuration was looked at anew.
    pub(crate) fn handle_change(&mut self, now: Timestamp) {
        let first = self.changed.map_or(now, |(first, _)| first);
        self.changed = Some((first, now));
    }

    /// When there is something to tell; `None` where there is nothing.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.changed.map(|(first, last)| (last + QUIET).min(first + QUIET_LIMIT))
    }

    /// Whether it is to be told of now; once for each time.
    pub(crate) fn poll(&mut self, now: Timestamp) -> bool {
        let is_due = self.poll_timeout().is_some_and(|at| at <= now);
        if is_due {
            self.changed = None;
        }
        is_due
    }
}

/// Events on the objects themselves.
pub(crate) fn of_objects(scene: &Scene, voice: Voice) -> Vec<Told> {
    let errors = scene.standing().problems().iter().filter(|problem| problem.severity == Severity::Error);
    let refused = errors.filter_map(|problem| {
        let field = if problem.field.is_empty() { String::new() } else { format!("{}: ", problem.field) };
        let stays = scene.standing().stays(problem).map(|text| format!("; {text}")).unwrap_or_default();
        let text = format!("{field}{} [{}]; {}{stays}", problem.message, problem.category, problem.fix);
        tell(scene, voice, problem.object.as_ref()?, "configurationRefused", text)
    });
    let giving_way = scene.standing().giving_way().filter_map(|object| {
        let reasons = scene.refusals().join("; ");
        tell(scene, voice, object, "configurationRefused", format!("it gives way to others: {reasons}"))
    });
    let unhonoured = unhonoured(scene).into_iter().filter_map(|(peer, text)| {
        let object = ObjectRef {
            kind: "BGPPeer".into(),
            namespace: None,
            name: peer.as_str().into(),
            origin: lbcore::config::Origin(0),
        };
        tell(scene, voice, &object, "fieldNotHonoured", text)
    });
    refused.chain(giving_way).chain(unhonoured).collect()
}

/// What peers of this node do without: name and text, in the order of names.
pub(crate) fn unhonoured(scene: &Scene) -> Vec<(String, String)> {
    let Some(config) = scene.config() else { return Vec::new() };
    let own = scene.own_node();
    let peers = config.peers().values().filter(|peer| peer.includes_node(&own.labels));
    peers.flat_map(|peer| lacks(peer).into_iter().map(|text| (peer.name.to_string(), text))).collect()
}

/// The same as one text, a line each.
pub(crate) fn as_text(scene: &Scene) -> String {
    let lines = unhonoured(scene).into_iter().map(|(peer, text)| format!("BGPPeer {peer}: {text}"));
    lines.collect::<Vec<_>>().join("\n")
}

fn lacks(peer: &Peer) -> Vec<String> {
    match not_started(peer) {
        Some(reason) => vec![reason.to_string()],
        None => left_out(peer).iter().map(ToString::to_string).collect(),
    }
}

fn tell(scene: &Scene, voice: Voice, object: &ObjectRef, reason: &'static str, text: String) -> Option<Told> {
    let kind = kind_of(&object.kind)?;
    let value = scene.world().ours(kind, &object.name)?;
    let selectors = value.get("spec").and_then(|spec| spec.get("nodeSelectors")?.as_array());
    let concerns_some = selectors.is_some_and(|selectors| !selectors.is_empty());
    if voice == Voice::Own && !(concerns_some && matches!(kind, Kind::BgpPeer | Kind::BgpAdvertisement)) {
        return None;
    }
    let metadata = |key: &str| value.get("metadata").and_then(|metadata| metadata.get(key)).and_then(Value::as_str);
    let about = About {
        api_version: kind.api_version(),
        kind: kind.as_str(),
        namespace: metadata("namespace").unwrap_or_default().into(),
        name: Arc::clone(&object.name),
        uid: metadata("uid").unwrap_or_default().into(),
    };
    Some(Told { about, kind: NoticeKind::Warning, reason, text })
}

fn kind_of(kind: &str) -> Option<Kind> {
    Some(match kind {
        "AddressReservation" => Kind::AddressReservation,
        "BFDProfile" => Kind::BfdProfile,
        "BGPAdvertisement" => Kind::BgpAdvertisement,
        "BGPPeer" => Kind::BgpPeer,
        "Community" => Kind::Community,
        "IPAddressPool" => Kind::IpAddressPool,
        "L2Advertisement" => Kind::L2Advertisement,
        "PoolPolicy" => Kind::PoolPolicy,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    #[test]
    fn faults_are_told_when_the_configuration_is_left_alone() {
        let mut quiet = Quiet::default();
        assert!(!quiet.poll(at(9_000)));
        quiet.handle_change(at(0));
        quiet.handle_change(at(900));
        assert!(!quiet.poll(at(1_800)));
        assert_eq!(quiet.poll_timeout(), Some(at(1_900)));
        assert!(quiet.poll(at(1_900)) && !quiet.poll(at(1_900)));
        for change in 0..20 {
            quiet.handle_change(at(2_000 + change * 500));
        }
        assert_eq!(quiet.poll_timeout(), Some(at(7_000)));
    }
}
