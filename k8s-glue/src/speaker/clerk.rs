//! What is told through the API server of what this node does: statuses, the state of the configuration, events.
//!
//! What to tell, and when, is decided here, without waiting for anything; [`scribe`](super::scribe), [`verdict`](super::verdict) and
//! the event sink carry it out.

use std::collections::BTreeSet;

use kube::Client;
use lbcore::converge::NoticeKind;
use lbcore::decide::{Protocol, Snapshot, first_owner};
use lbcore::service::{NodeName, ServiceKey};
use lbcore::time::Timestamp;

use super::assigned::{Assigned, Earlier};
use super::board::{Board, Moved};
use super::failures::{Company, Failures};
use super::report::{Author, ReportKind};
use super::scene::{Decide, Settled, among};
use super::scribe::Scribe;
use super::verdict::VerdictKeeper;
use crate::cluster::configuration_state::{Component, OwnPod, Speaking, Verdict};
use crate::cluster::events::{About, EventSink, Reporter, Told};
use crate::cluster::watch::{Kind, ObjectName};
use crate::cluster::world::World;
use crate::cluster::write::Writer;

/// Component of the events ([EVT-1]).
const COMPONENT: &str = "metallb-speaker";

/// Whether ownership has listened to the segment: before that nobody can say who announces what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    NotYet,
    Enough,
}

/// Tells.
#[derive(Debug)]
pub(crate) struct Clerk {
    node: String,
    layer2: Scribe,
    bgp: Scribe,
    verdict: VerdictKeeper,
    events: EventSink,
    assigned: Assigned,
    failures: Failures,
    /// The view that says who comes first among these members; `None` where it has to be made anew.
    order: Option<(BTreeSet<NodeName>, Snapshot)>,
    /// Whether objects of an earlier run may still wait for a judgement.
    unjudged: bool,
    /// What was told of objects, so that it is told once.
    refused: BTreeSet<(String, String)>,
}

impl Clerk {
    /// Starts the tasks that write.
    pub(crate) fn start(client: &Client, namespace: &str, node: &str, pod: &OwnPod) -> Self {
        let writer = Writer::without_lease(client.clone());
        let author = |kind| Author { kind, namespace: namespace.to_owned(), node: node.to_owned(), pod: pod.clone() };
        let reporter = Reporter { component: COMPONENT, instance: node.to_owned() };
        let speaking = Speaking {
            component: Component::Speaker(node.to_owned()),
            namespace: namespace.to_owned(),
            pod: Some(pod.clone()),
            remark: String::new(),
        };
        Self {
            node: node.to_owned(),
            layer2: Scribe::start(author(ReportKind::Layer2), client.clone(), writer.clone()),
            bgp: Scribe::start(author(ReportKind::Bgp), client.clone(), writer.clone()),
            verdict: VerdictKeeper::start(speaking, writer.clone()),
            events: EventSink::start(writer, reporter),
            assigned: Assigned::default(),
            failures: Failures::default(),
            order: None,
            unjudged: true,
            refused: BTreeSet::new(),
        }
    }

    /// An object that programs write has changed or gone.
    pub(crate) fn see(&mut self, world: &World, kind: Kind, name: &ObjectName) {
        let object = world.report(kind, name);
        match self.scribe_of(kind) {
            Some(scribe) => {
                scribe.see(&name.name, object);
                self.unjudged = true;
            }
            None => self.verdict.see(name, object),
        }
    }

    /// Every object of a kind was seen.
    pub(crate) fn see_all(&self, kind: Kind) {
        match self.scribe_of(kind) {
            Some(scribe) => scribe.see_all(),
            None if kind == Kind::ConfigurationState => self.verdict.see_all(),
            None => {}
        }
    }

    const fn scribe_of(&self, kind: Kind) -> Option<&Scribe> {
        match kind {
            Kind::ServiceL2Status => Some(&self.layer2),
            Kind::ServiceBgpStatus => Some(&self.bgp),
            Kind::AddressReservation
            | Kind::BfdProfile
            | Kind::BgpAdvertisement
            | Kind::BgpPeer
            | Kind::Community
            | Kind::ConfigurationState
            | Kind::EndpointSlice
            | Kind::IpAddressPool
            | Kind::L2Advertisement
            | Kind::Namespace
            | Kind::Node
            | Kind::PoolPolicy
            | Kind::Secret
            | Kind::Service => None,
        }
    }

    /// What becomes of the configuration, and what is not honoured in full.
    pub(crate) fn tell_configuration(&self, verdict: Verdict, remark: String) {
        self.verdict.say(verdict, remark);
    }

    /// An object is refused, or not honoured in full: told once for each text, and again where it came back.
    pub(crate) fn tell_objects(&mut self, told: Vec<Told>) {
        let key = |told: &Told| (format!("{} {}", told.about.kind, told.about.name), told.text.clone());
        let now: BTreeSet<(String, String)> = told.iter().map(key).collect();
        for one in told {
            if !self.refused.contains(&key(&one)) {
                self.events.tell(one);
            }
        }
        self.refused = now;
    }

    /// What this node does for a Service is another thing than before.
    pub(crate) fn tell_moved(&mut self, now: Timestamp, world: &World, moved: &Moved) {
        for protocol in [Protocol::Layer2, Protocol::Bgp] {
            self.tell_assigned(world, moved, protocol);
        }
        let (links, routes) = (&moved.after.links, &moved.after.routes);
        if !links.addresses.is_empty() {
            self.layer2.want(&moved.service, Some(links.interfaces.clone()));
            if moved.before.links.addresses.is_empty() {
                self.layer2.won(&moved.service);
            }
        } else if !links.pending {
            self.layer2.want(&moved.service, None);
        }
        self.bgp.want(&moved.service, (!routes.peers.is_empty()).then(|| routes.peers.clone()));
        self.failures.handle_links(now, &moved.service, &links.without_link);
    }

    /// [EVT-1], at a change alone ([D162-8]). What an earlier run of this node had told is no change.
    fn tell_assigned(&mut self, world: &World, moved: &Moved, protocol: Protocol) {
        let (_, addresses) = moved.addresses(protocol);
        if protocol == Protocol::Layer2 && moved.after.links.pending {
            return;
        }
        let Some(service) = world.service(&moved.service) else {
            self.assigned.forget(&moved.service);
            return;
        };
        let scribe = if protocol == Protocol::Layer2 { &self.layer2 } else { &self.bgp };
        let earlier = if scribe.has(&moved.service) { Earlier::Told } else { Earlier::Nothing };
        if !self.assigned.handle(&moved.service, protocol, addresses, earlier) {
            return;
        }
        let name = match protocol {
            Protocol::Bgp => "bgp",
            Protocol::Layer2 => "layer2",
        };
        self.events.tell(Told {
            about: About::service(&moved.service, service.uid()),
            kind: NoticeKind::Normal,
            reason: "nodeAssigned",
            text: format!("announcing from node {:?} with protocol {name:?}", self.node),
        });
    }

    /// Decisions rest on another view from now on.
    pub(crate) fn handle_settled(&mut self, now: Timestamp, settled: &Settled) {
        self.order = None;
        if let Decide::Only(affected) = &settled.decide {
            self.failures.handle_affected(now, affected);
        }
    }

    /// When something has to be told without anything happening.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.failures.poll_timeout()
    }

    /// Takes note of who is heard, where that matters.
    pub(crate) fn hear(&mut self, now: Timestamp, members: impl FnOnce() -> BTreeSet<NodeName>) {
        if self.failures.needs_members() {
            self.failures.handle_members(now, members());
        }
    }

    /// Tells that addresses cannot be announced for want of their links ([EVT-2]), where this node comes first in the order: of all
    /// nodes that could tell it one does.
    pub(crate) fn tell_failures(&mut self, now: Timestamp, world: &World, snapshot: &Snapshot, own: &NodeName) {
        if !self.failures.is_due(now) {
            return;
        }
        let others = snapshot.nodes().map(|node| node.name.clone()).filter(|node| node != own);
        let company = self.failures.company(others);
        let members = self.failures.members();
        let order = match self.order.take() {
            Some((known, order)) if known == *members => order,
            Some(_) | None => among(snapshot, members, own),
        };
        let members = members.clone();
        let is_first = |service: &ServiceKey| {
            company == Company::Known && first_owner(&order, service).is_some_and(|(first, _)| first == *own)
        };
        for (service, addresses) in self.failures.poll_untold(now, is_first) {
            let Some(seen) = world.service(&service) else { continue };
            for address in addresses {
                self.events.tell(Told {
                    about: About::service(&service, seen.uid()),
                    kind: NoticeKind::Warning,
                    reason: "announceFailed",
                    text: format!(
                        "{address} is not announced from node {:?} with protocol \"layer2\": none of the interfaces asked for is there \
                         and up; correct `interfaces` of the L2Advertisement",
                        self.node
                    ),
                });
            }
        }
        self.order = Some((members, order));
    }

    /// Takes away objects of an earlier run for Services that this node turns out not to announce.
    pub(crate) fn judge_rest(&mut self, board: &Board, heard: Heard) {
        if !self.unjudged || heard == Heard::NotYet {
            return;
        }
        let mut is_open = false;
        for (scribe, protocol) in [(&self.layer2, Protocol::Layer2), (&self.bgp, Protocol::Bgp)] {
            for service in scribe.unjudged() {
                let standing = board.standings().get(&service);
                let announced = standing.is_some_and(|standing| match protocol {
                    Protocol::Layer2 => !standing.links.addresses.is_empty(),
                    Protocol::Bgp => !standing.routes.peers.is_empty(),
                });
                let pending = standing.is_some_and(|standing| standing.links.pending);
                if pending || announced {
                    is_open = true;
                } else {
                    scribe.want(&service, None);
                }
            }
        }
        self.unjudged = is_open;
    }
}
