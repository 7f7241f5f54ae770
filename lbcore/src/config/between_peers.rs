//! Rules between the peers of one node ([MODE-14], [MODE-15], [PEER-51]).

use std::collections::{BTreeMap, BTreeSet};

use super::PeerRules;
use super::problem::{Category, ObjectRef};
use super::report::Findings;
use crate::node::Node;
use crate::peer::Peer;

/// What two peers of a node may not have in common, or must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Clash {
    Session,
    RouterId,
    LocalAs,
}

/// Checks the peers, given in the order of names, node by node: each against the first of its kind on that node, so that the
/// cost is that of all sessions. With no node known, all peers are taken to meet ([MODE-15]).
pub(super) fn check(peers: &[(&ObjectRef, &Peer)], nodes: &[Node], rules: PeerRules, findings: &mut Findings) {
    let mut clashes: BTreeSet<(usize, Clash, usize)> = BTreeSet::new();
    if nodes.is_empty() {
        let all: Vec<usize> = (0..peers.len()).collect();
        collect(peers, &all, &mut clashes);
    }
    for node in nodes {
        let met = peers.iter().enumerate().filter(|(_, (_, peer))| peer.includes_node(&node.labels));
        let met: Vec<usize> = met.map(|(index, _)| index).collect();
        collect(peers, &met, &mut clashes);
    }
    for (later, clash, earlier) in clashes {
        if let (Some((object, peer)), Some((_, other))) = (peers.get(later), peers.get(earlier)) {
            report(clash, rules, (object, peer), other, findings);
        }
    }
}

fn collect(peers: &[(&ObjectRef, &Peer)], met: &[usize], clashes: &mut BTreeSet<(usize, Clash, usize)>) {
    let mut sessions = BTreeMap::new();
    let mut systems = BTreeMap::new();
    let mut first = None;
    for index in met {
        let Some((_, peer)) = peers.get(*index) else { continue };
        let earlier = *sessions.entry((&peer.endpoint, &peer.vrf)).or_insert(*index);
        if earlier != *index {
            clashes.insert((*index, Clash::Session, earlier));
        }
        let (system, earlier) = *systems.entry(&peer.vrf).or_insert((peer.my_asn, *index));
        if system != peer.my_asn {
            clashes.insert((*index, Clash::LocalAs, earlier));
        }
        let (router_id, earlier) = *first.get_or_insert((peer.router_id, *index));
        if router_id != peer.router_id {
            clashes.insert((*index, Clash::RouterId, earlier));
        }
    }
}

fn report(clash: Clash, rules: PeerRules, peer: (&ObjectRef, &Peer), other: &Peer, findings: &mut Findings) {
    let (object, peer) = peer;
    let mut report = findings.on(object);
    let vrf = peer.vrf.as_deref().unwrap_or("the default one");
    match (clash, rules) {
        (Clash::Session, PeerRules::OneRouter) => report.error(
            Category::DuplicatePeer,
            "spec.peerAddress",
            format!("peer {} has the same address {} in the same VRF on a common node", other.name, peer.endpoint),
            "remove one of the two, or let their nodeSelectors choose different nodes",
        ),
        (Clash::Session, PeerRules::Independent) => report.warning(
            Category::DuplicatePeer,
            "spec.peerAddress",
            format!("peer {} has the same address {} in the same VRF on a common node", other.name, peer.endpoint),
            "most routers take one session per neighbor address: remove one of the two",
        ),
        (Clash::RouterId, PeerRules::OneRouter) => report.error(
            Category::RouterIdMismatch,
            "spec.routerID",
            format!("peer {} asks for another router id on a common node", other.name),
            "write the same routerID in both, or in neither",
        ),
        (Clash::LocalAs, PeerRules::OneRouter) => report.error(
            Category::AsnMismatch,
            "spec.myASN",
            format!("peer {} has local AS {}, this one {}, in one VRF ({vrf})", other.name, other.my_asn, peer.my_asn),
            "write the same myASN in both, use localASN, or choose different nodes",
        ),
        // Each session has an identity of its own.
        (Clash::RouterId | Clash::LocalAs, PeerRules::Independent) => {}
    }
}
