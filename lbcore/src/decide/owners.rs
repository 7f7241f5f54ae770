//! Who comes first for each group in the whole cluster, kept from one change to the next.
//!
//! Of the nodes that may answer for a group only the best two are kept, with eight octets of their digests, not a digest for every pair
//! of group and node. So a node that joins costs one digest a group, and a node that leaves costs anew only the groups whose best two
//! held it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::affected::Affected;
use super::contest::{self, Best};
use super::layer2::{GroupView, electorate, is_elector, owner_of, owner_of_address, score};
use super::placed::Placed;
use super::plans::{L2Plan, Plans};
use super::snapshot::{Snapshot, lead};
use crate::announce::GroupKey;
use crate::link::LinkSelection;
use crate::service::{NodeName, ServiceKey};

/// The Services of a group, in the order of their keys.
#[derive(Clone, Debug)]
enum Members {
    One(Arc<Placed>),
    Several(Box<Several>),
}

#[derive(Clone, Debug)]
struct Several(Vec<Arc<Placed>>);

impl Members {
    /// `None` for no members.
    fn new(members: &[&Arc<Placed>]) -> Option<Self> {
        match members {
            [] => None,
            [one] => Some(Self::One(Arc::clone(one))),
            several => Some(Self::Several(Box::new(Several(several.iter().map(|one| Arc::clone(one)).collect())))),
        }
    }

    fn as_slice(&self) -> &[Arc<Placed>] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Several(several) => &several.0,
        }
    }

    fn placed(&self) -> impl Iterator<Item = &Placed> {
        self.as_slice().iter().map(AsRef::as_ref)
    }

    fn lead(&self) -> Option<&Placed> {
        lead(self.as_slice()).map(AsRef::as_ref)
    }
}

/// A group with its best two.
#[derive(Clone, Debug)]
struct Entry {
    members: Members,
    best: Best,
}

impl Entry {
    fn contested(members: Members, key: GroupKey, plans: &Plans) -> Self {
        let mut entry = Self { members, best: Best::default() };
        entry.contest(key, plans);
        entry
    }

    fn contest(&mut self, key: GroupKey, plans: &Plans) {
        let Some(lead) = self.members.lead() else { return };
        self.best = contest::of_electorate(&electorate(self.members.placed(), plans), lead, key, plans);
    }

    /// The same group with these members, worked out from what was known of it.
    fn revised(self, before: &Plans, members: Members, key: GroupKey, plans: &Plans) -> Self {
        let Some((old_lead, lead)) = self.members.lead().zip(members.lead()) else {
            return Self::contested(members, key, plans);
        };
        let (was, is) = (electorate(self.members.placed(), before), electorate(members.placed(), plans));
        if !scores_alike(old_lead, before, lead, plans) || self.best.nodes().any(|node| !is.contains(node)) {
            return Self::contested(members, key, plans);
        }
        let gained = is.iter().filter(|node| !was.contains(*node) && self.best.get(*node).is_none());
        let gained: Vec<(usize, u32)> = gained.map(|node| (node, score(lead, plans, node))).collect();
        let mut best = self.best;
        best.add(&gained, key, plans);
        Self { members, best }
    }

    /// Takes in nodes that changed, came or went: the places where they stood, and where they stand.
    fn take_nodes(&mut self, key: GroupKey, change: &NodeChange<'_>) {
        let plans = change.after;
        let Some(lead) = self.members.lead() else { return };
        let is_stale = |node: usize| {
            let is_same = change.has_same_node(node) && is_elector(self.members.placed(), plans, node);
            !is_same || self.best.get(node).is_none_or(|known| known.score() != score(lead, plans, node))
        };
        if self.best.nodes().any(|node| change.concerns(node) && is_stale(node)) {
            self.contest(key, plans);
            return;
        }
        let may_come = |node: &usize| {
            self.best.get(*node).is_none()
                && self.best.admits(score(lead, plans, *node))
                && is_elector(self.members.placed(), plans, *node)
        };
        let coming = change.now.iter().copied().filter(may_come);
        let coming: Vec<(usize, u32)> = coming.map(|node| (node, score(lead, plans, node))).collect();
        self.best.add(&coming, key, plans);
    }
}

/// Whether a node has the same score for the old and the new lead of a group.
fn scores_alike(old: &Placed, before: &Plans, new: &Placed, after: &Plans) -> bool {
    let with_scores = |placed: &'_ Placed, plans: &'_ Plans| {
        let plans = placed.l2.iter().filter_map(|place| plans.l2_plan(*place));
        plans.filter(|plan| plan.has_scores()).map(Arc::clone).collect::<Vec<Arc<L2Plan>>>()
    };
    let (old, new) = (with_scores(old, before), with_scores(new, after));
    let mut pairs = old.iter().zip(&new);
    old.len() == new.len() && pairs.all(|(old, new)| Arc::ptr_eq(old, new) || old.scores_as(new))
}

/// Nodes that changed, came or went.
struct NodeChange<'a> {
    before: &'a Plans,
    after: &'a Plans,
    /// The places where they stood.
    then: BTreeSet<usize>,
    /// The places where they stand.
    now: BTreeSet<usize>,
}

impl NodeChange<'_> {
    fn concerns(&self, node: usize) -> bool {
        self.then.contains(&node) || self.now.contains(&node)
    }

    /// Whether the same node stands at the place as before.
    fn has_same_node(&self, node: usize) -> bool {
        let name = |plans: &'_ Plans| plans.nodes.get(node).map(|node| node.name.clone());
        name(self.before) == name(self.after)
    }
}

/// How far the owners are worked out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Those of some groups are not yet.
    Ongoing,
    /// All of them are.
    Done,
}

/// Up to which Service the groups are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Reached {
    Nothing,
    UpTo(ServiceKey),
    Everything,
}

/// The first owner of a group and the one after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstOwner {
    /// The group.
    pub group: GroupKey,
    /// The node that comes first in the election order among those that may answer.
    pub node: NodeName,
    /// The next in the order, which owns the group when the first is gone.
    pub successor: Option<NodeName>,
}

/// The first owners of all groups of a snapshot, kept up to date from change to change.
///
/// # Examples
/// ```
/// use std::sync::Arc;
/// use lbcore::config::Config;
/// use lbcore::decide::{DecideOptions, Owners, Progress, Snapshot};
/// use lbcore::labels::Labels;
/// use lbcore::node::{NetworkCondition, Node};
///
/// let mut snapshot = Snapshot::new(Arc::new(Config::default()), Vec::new(), DecideOptions::default());
/// let mut owners = Owners::new(&snapshot);
/// while owners.advance(1_000) == Progress::Ongoing {}
/// let node = Node { name: "n1".parse()?, labels: Labels::new(), network: NetworkCondition::Available };
/// let affected = snapshot.set_node(node);
/// owners.follow(&snapshot, &affected);
/// assert_eq!(owners.iter().count(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Owners {
    snapshot: Snapshot,
    /// By the key of the group.
    groups: BTreeMap<IpAddr, Entry>,
    reached: Reached,
}

impl Owners {
    /// Nothing is worked out yet: what is asked for costs a digest for each node that may answer.
    pub fn new(snapshot: &Snapshot) -> Self {
        Self { snapshot: snapshot.clone(), groups: BTreeMap::new(), reached: Reached::Nothing }
    }

    /// Works out the groups of so many more Services.
    pub fn advance(&mut self, services: usize) -> Progress {
        let plans = Arc::clone(&self.snapshot.plans);
        let after = match &self.reached {
            Reached::Nothing => None,
            Reached::UpTo(service) => Some(service.clone()),
            Reached::Everything => return Progress::Done,
        };
        let mut count = 0;
        for (service, members) in self.snapshot.walk(after.as_ref()).take(services) {
            count += 1;
            self.reached = Reached::UpTo(service.clone());
            let key = GroupView::new(&members).map(|view| view.key);
            if let Some((key, members)) = key.zip(Members::new(&members)) {
                self.groups.insert(key.0, Entry::contested(members, key, &plans));
            }
        }
        if count < services {
            self.reached = Reached::Everything;
        }
        if self.reached == Reached::Everything { Progress::Done } else { Progress::Ongoing }
    }

    /// Takes in a change, or several put together: the snapshot after it, and what it affected since the last one given.
    pub fn follow(&mut self, snapshot: &Snapshot, affected: &Affected) {
        let before = std::mem::replace(&mut self.snapshot, snapshot.clone());
        let plans = &snapshot.plans;
        let mut known: BTreeMap<IpAddr, Entry> =
            affected.addresses.iter().filter_map(|address| self.groups.remove_entry(address)).collect();
        for service in &affected.services {
            let members = snapshot.members(service);
            let Some(key) = GroupView::new(&members).map(|view| view.key) else { continue };
            let is_due = members.first().is_some_and(|first| self.has_reached(&first.facts.key));
            if !is_due || self.groups.contains_key(&key.0) {
                continue;
            }
            let Some(members) = Members::new(&members) else { continue };
            let entry = match known.remove(&key.0) {
                Some(entry) => entry.revised(&before.plans, members, key, plans),
                None => Entry::contested(members, key, plans),
            };
            self.groups.insert(key.0, entry);
        }
        if affected.nodes.is_empty() {
            return;
        }
        let places = |plans: &Plans| affected.nodes.keys().filter_map(|node| plans.node_index(node)).collect();
        let change =
            NodeChange { before: &before.plans, after: plans, then: places(&before.plans), now: places(plans) };
        for (key, entry) in &mut self.groups {
            entry.take_nodes(GroupKey(*key), &change);
        }
    }

    fn has_reached(&self, service: &ServiceKey) -> bool {
        match &self.reached {
            Reached::Nothing => false,
            Reached::UpTo(last) => service <= last,
            Reached::Everything => true,
        }
    }

    fn first_of(&self, view: &GroupView<'_>) -> Option<usize> {
        match self.groups.get(&view.key.0) {
            Some(entry) => entry.best.first(),
            None => view.best(&self.snapshot.plans).first(),
        }
    }

    /// As [`first_owner`](super::first_owner).
    pub fn first_owner(&self, service: &ServiceKey) -> Option<(NodeName, LinkSelection)> {
        owner_of(&self.snapshot, service, |view| self.first_of(view))
    }

    /// As [`first_owner_of_address`](super::first_owner_of_address).
    pub fn first_owner_of_address(&self, address: IpAddr) -> Option<(NodeName, LinkSelection)> {
        owner_of_address(&self.snapshot, address, |view| self.first_of(view))
    }

    /// The groups that are worked out and that a node may answer for, in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = FirstOwner> {
        let name = |node: usize| Some(self.snapshot.plans.nodes.get(node)?.name.clone());
        self.groups.iter().filter_map(move |(key, entry)| {
            let mut best = entry.best.nodes().filter_map(name);
            Some(FirstOwner { group: GroupKey(*key), node: best.next()?, successor: best.next() })
        })
    }
}
