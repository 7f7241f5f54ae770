//! What this node does for Services as log lines with the event keys that users look for ([LOG-4], [EVT-3]).

use lbcore::decide::{Affected, BgpDecision, Layer2Decision, Protocol, Snapshot, decide};
use lbcore::labels::Labels;
use lbcore::node::Node;
use lbcore::service::NodeName;

use super::board::Moved;

/// Says what came to be announced from here, and what is not any more.
pub(super) fn tell_moved(moved: &Moved, snapshot: &Snapshot, node: &NodeName) {
    let service = &moved.service;
    for (protocol, name) in [(Protocol::Bgp, "bgp"), (Protocol::Layer2, "layer2")] {
        let (before, after) = moved.addresses(protocol);
        if before == after {
            continue;
        }
        if after.is_empty() {
            let reason = why_not(moved, protocol, snapshot, node);
            tracing::info!(event = "serviceWithdrawn", %service, ips = ?before, protocol = name, reason, "service is not announced here any more");
        } else {
            tracing::info!(event = "serviceAnnounced", %service, ips = ?after, protocol = name, "service is announced from here");
        }
    }
    let (before, after) = (&moved.before.routes, &moved.after.routes);
    if !before.addresses.is_empty() && !after.addresses.is_empty() && before != after {
        let (ips, peers) = (&after.addresses, &after.peers);
        tracing::info!(event = "updatedAdvertisements", %service, ?ips, ?peers, "routes of the service changed");
    }
}

/// Why nothing of a Service is announced by a protocol.
fn why_not(moved: &Moved, protocol: Protocol, snapshot: &Snapshot, node: &NodeName) -> String {
    let decision = decide(snapshot, &moved.service, node);
    match (protocol, decision.layer2, decision.bgp) {
        (Protocol::Layer2, Layer2Decision::Withhold(reason), _) | (Protocol::Bgp, _, BgpDecision::Withhold(reason)) => {
            reason.to_string()
        }
        (Protocol::Layer2, Layer2Decision::Stand(_), _) if !moved.after.links.without_link.is_empty() => {
            "none of the interfaces asked for is there and up".to_owned()
        }
        (Protocol::Layer2, Layer2Decision::Stand(_), _) => "another node answers for it".to_owned(),
        (Protocol::Bgp, _, BgpDecision::Announce(_)) => "no peer is left that it could be announced to".to_owned(),
    }
}

/// Says at level debug why Services are not stood for here ([LOG-5]).
pub(super) fn say_withheld(snapshot: &Snapshot, node: &NodeName, affected: &Affected) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for service in &affected.services {
        if let Layer2Decision::Withhold(reason) = decide(snapshot, service, node).layer2 {
            tracing::debug!(%service, %reason, "not announced on segments by this node");
        }
    }
}

/// Notices when the labels of the own node change.
#[derive(Debug, Default)]
pub(super) struct LabelLog(Option<Labels>);

impl LabelLog {
    /// The own node as it is now; the first look is no change.
    pub(super) fn tell(&mut self, node: Node) {
        if self.0.as_ref().is_some_and(|before| *before != node.labels) {
            tracing::info!(event = "nodeLabelsChanged", node = %node.name, "labels of this node changed");
        }
        self.0 = Some(node.labels);
    }
}
