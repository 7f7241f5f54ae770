//! What speakers say that they announce (`ServiceL2Status`, `ServiceBGPStatus`), beside what the rules say.
//!
//! A report says what a speaker did last, not what it ought to do: an address on layer 2 stays with a healthy node that answers for it, and a
//! speaker that is cut off from the API server, or dead, says what it said before. So both are told, and where they differ.

use std::collections::{BTreeMap, BTreeSet};

use lbcore::decide::{BgpDecision, Layer2Decision, Snapshot, peers_of_prefix};
use lbcore::explain::Announcement;
use lbcore::link::LinkSelection;
use lbcore::service::{NodeName, ServiceKey};
use serde::Serialize;
use serde_json::{Map, Value};

use super::answer::listed;
use super::unstarted;
use crate::cluster::watch::Kind;
use crate::manifest::Document;
use crate::recorded::documents_of;
use crate::speaker::report::subject_of;

/// By Service and node: links or peers.
type Said = BTreeMap<ServiceKey, BTreeMap<String, BTreeSet<String>>>;

/// What all speakers say; `None` where that is not known.
#[derive(Clone, Debug, Default)]
pub(super) struct Reports {
    layer2: Option<Said>,
    bgp: Option<Said>,
}

/// What is said of one node and one protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ReportView {
    /// `layer2` or `bgp`.
    pub(super) protocol: &'static str,
    pub(super) node: String,
    /// Whether the speaker of the node reports anything of the Service.
    #[serde(rename = "reported")]
    pub(super) is_reported: bool,
    /// Whether the report is as the rules say; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) agrees: Option<bool>,
    /// The links reported; none means all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) interfaces: Vec<String>,
    /// The peers reported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) peers: Vec<String>,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// The rule about such reports.
    pub(super) rule: &'static str,
}

const LAYER2: (&str, &str) = ("layer2", "STAT-4");
const BGP: (&str, &str) = ("bgp", "STAT-21");

impl Reports {
    /// Those among the documents, of the kinds that are known.
    pub(super) fn of(documents: &[Document], install_namespace: &str, is_known: impl Fn(Kind) -> bool) -> Self {
        let said = |kind: Kind, details: fn(&Map<String, Value>) -> BTreeSet<String>| {
            is_known(kind).then(|| {
                let mut said = Said::new();
                for document in documents_of(documents, kind, install_namespace) {
                    let status = document.value.get("status").and_then(Value::as_object);
                    let node = status.and_then(|status| status.get("node")?.as_str());
                    if let (Some(status), Some(node), Some(service)) = (status, node, subject_of(&document.value)) {
                        said.entry(service).or_default().entry(node.to_owned()).or_default().extend(details(status));
                    }
                }
                said
            })
        };
        Self {
            layer2: said(Kind::ServiceL2Status, |status| texts(status, "interfaces")),
            bgp: said(Kind::ServiceBgpStatus, |status| texts(status, "peers")),
        }
    }

    /// Those of files: a kind of which they hold none is not known.
    pub(super) fn of_files(documents: &[Document], install_namespace: &str) -> Self {
        Self::of(documents, install_namespace, |kind| documents_of(documents, kind, install_namespace).next().is_some())
    }

    /// What is reported of a Service, and what is not though the rules say it, by protocol and node. `announcements` are those of the
    /// nodes asked about; `is_one_node` where that is not all of them.
    pub(super) fn told(
        &self,
        snapshot: &Snapshot,
        service: &ServiceKey,
        announcements: &[(NodeName, Announcement)],
        is_one_node: bool,
    ) -> Vec<ReportView> {
        let of = |said: &'_ Said| said.get(service).cloned().unwrap_or_default();
        let judged = Judged {
            by_node: announcements.iter().map(|(node, one)| (node.as_str(), one)).collect(),
            snapshot,
            is_one_node,
        };
        let mut told = self.layer2.as_ref().map(|said| judged.layer2(&of(said))).unwrap_or_default();
        told.extend(self.bgp.as_ref().map(|said| judged.bgp(&of(said))).unwrap_or_default());
        told
    }
}

/// The texts of a list, or the names of its entries.
fn texts(status: &Map<String, Value>, field: &str) -> BTreeSet<String> {
    let entries = status.get(field).and_then(Value::as_array).into_iter().flatten();
    let text = |entry: &Value| entry.as_str().or_else(|| entry.get("name")?.as_str()).map(str::to_owned);
    entries.filter_map(text).collect()
}

/// What the rules say.
struct Judged<'a> {
    by_node: BTreeMap<&'a str, &'a Announcement>,
    snapshot: &'a Snapshot,
    is_one_node: bool,
}

impl Judged<'_> {
    fn is_asked(&self, node: &str) -> bool {
        !self.is_one_node || self.by_node.contains_key(node)
    }

    fn layer2(&self, said: &BTreeMap<String, BTreeSet<String>>) -> Vec<ReportView> {
        let mut told: Vec<ReportView> = said
            .iter()
            .filter(|(node, _)| self.is_asked(node))
            .map(|(node, links)| {
                let (agrees, text, fix) = self.judge_owner(node, links);
                let interfaces = links.iter().cloned().collect();
                ReportView { agrees, interfaces, fix, ..ReportView::reported(LAYER2, node, text) }
            })
            .collect();
        let first = self.by_node.values().find_map(|one| one.first_owner.as_ref());
        if let Some(first) = first.filter(|first| said.is_empty() && self.is_asked(first.as_str())) {
            let text = format!("no speaker reports that it answers on layer 2; by the rules {first} does");
            told.push(ReportView::missing(LAYER2, first.as_str(), text));
        }
        told
    }

    fn judge_owner(&self, node: &str, links: &BTreeSet<String>) -> (Option<bool>, String, Option<String>) {
        let reported = format!("{node} reports that it answers on layer 2, on {}", shown(links));
        let Some(one) = self.by_node.get(node) else {
            return self.judge_unknown(node, reported);
        };
        match &one.decision.layer2 {
            Layer2Decision::Withhold(reason) => {
                (Some(false), format!("{reported}; by the rules it does not: {reason}"), Some(look_at(node)))
            }
            Layer2Decision::Stand(reach) => {
                let wanted: BTreeSet<String> = match &reach.links {
                    LinkSelection::All => BTreeSet::new(),
                    LinkSelection::Named(names) => names.iter().cloned().collect(),
                };
                let first = one.first_owner.as_ref().map(NodeName::as_str).filter(|first| *first != node);
                match first {
                    _ if wanted != *links => {
                        (Some(false), format!("{reported}; by the rules on {}", shown(&wanted)), Some(look_at(node)))
                    }
                    Some(first) => {
                        let why = "but an address stays with a healthy node that answers for it";
                        (Some(false), format!("{reported}; {first} comes first in the election, {why}"), None)
                    }
                    None => (Some(true), reported, None),
                }
            }
        }
    }

    fn judge_unknown(&self, node: &str, reported: String) -> (Option<bool>, String, Option<String>) {
        if self.by_node.is_empty() {
            return (None, reported, None);
        }
        let fix = format!("delete the object that says so, if {node} is gone for good");
        (Some(false), format!("{reported}; there is no such Node"), Some(fix))
    }

    fn bgp(&self, said: &BTreeMap<String, BTreeSet<String>>) -> Vec<ReportView> {
        let announcing = self.by_node.iter().filter(|(_, one)| !one.routes.is_empty()).map(|(node, _)| *node);
        let nodes: BTreeSet<&str> = said.keys().map(String::as_str).chain(announcing).collect();
        let asked = nodes.into_iter().filter(|node| self.is_asked(node));
        let told = asked.map(|node| {
            let Some(peers) = said.get(node) else {
                let wanted = self.peers_of(node);
                let text = format!(
                    "{node} does not report that it announces it by BGP; by the rules it does, to {}",
                    listed(&wanted)
                );
                return ReportView::missing(BGP, node, text);
            };
            let (agrees, text, fix) = self.judge_peers(node, peers);
            let peers = peers.iter().cloned().collect();
            ReportView { agrees, peers, fix, ..ReportView::reported(BGP, node, text) }
        });
        told.collect()
    }

    fn judge_peers(&self, node: &str, peers: &BTreeSet<String>) -> (Option<bool>, String, Option<String>) {
        let reported = format!("{node} reports that it announces it by BGP to {}", listed(peers));
        let Some(one) = self.by_node.get(node) else { return self.judge_unknown(node, reported) };
        let wanted = self.peers_of(node);
        if wanted == *peers {
            return (Some(true), reported, None);
        }
        let by_rules = match &one.decision.bgp {
            BgpDecision::Withhold(reason) => format!("by the rules it does not: {reason}"),
            BgpDecision::Announce(_) if wanted.is_empty() => "by the rules nobody hears of it".to_owned(),
            BgpDecision::Announce(_) => format!("by the rules to {}", listed(&wanted)),
        };
        (Some(false), format!("{reported}; {by_rules}"), Some(look_at(node)))
    }

    /// The peers that hear of a prefix of the Service from the node, also those that hear of it because of another Service ([STAT-22]).
    fn peers_of(&self, node: &str) -> BTreeSet<String> {
        let Some(one) = self.by_node.get(node) else { return BTreeSet::new() };
        let BgpDecision::Announce(requests) = &one.decision.bgp else { return BTreeSet::new() };
        let Ok(node) = NodeName::new(node) else { return BTreeSet::new() };
        let hears = requests.iter().flat_map(|request| peers_of_prefix(self.snapshot, &node, request.prefix));
        let started = hears.filter(|peer| unstarted::why(self.snapshot.config(), peer).is_none());
        started.map(|peer| peer.to_string()).collect()
    }
}

impl ReportView {
    fn reported((protocol, rule): (&'static str, &'static str), node: &str, text: String) -> Self {
        Self {
            protocol,
            node: node.to_owned(),
            is_reported: true,
            agrees: None,
            interfaces: Vec::new(),
            peers: Vec::new(),
            text,
            fix: None,
            rule,
        }
    }

    fn missing(of: (&'static str, &'static str), node: &str, text: String) -> Self {
        let fix = Some(look_at(node));
        Self { is_reported: false, agrees: Some(false), fix, ..Self::reported(of, node, text) }
    }

    /// The word for people.
    pub(super) const fn verdict(&self) -> &'static str {
        match self.agrees {
            Some(true) => "agrees",
            Some(false) => "differs",
            None => "noted",
        }
    }
}

fn shown(links: &BTreeSet<String>) -> String {
    if links.is_empty() { "all links".to_owned() } else { listed(links) }
}

fn look_at(node: &str) -> String {
    format!("see that the speaker on {node} runs and is ready, and what its log says; it may also need a moment")
}
