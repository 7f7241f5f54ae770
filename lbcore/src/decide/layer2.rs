//! Layer 2: which nodes stand for a group of addresses, and which of them is the first owner ([ANN-30] to [ANN-34], [L2-1] to
//! [L2-9], [OWN-20] to [OWN-22]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::contest::{self, Best};
use super::facts::{Endpoints, TrafficPolicy};
use super::options::MissingSlices;
use super::placed::Placed;
use super::plans::Plans;
use super::reason::{Reason, Scope};
use super::snapshot::{Snapshot, lead};
use crate::announce::{GroupKey, LinkReach, Standing};
use crate::link::LinkSelection;
use crate::node::NetworkCondition;
use crate::node_set::NodeSet;
use crate::service::{NodeName, ServiceKey};

/// The gate that both protocols share ([ANN-4] to [ANN-6]).
pub(super) fn gate(placed: &Placed) -> Result<(), Reason> {
    if placed.facts.addresses.is_empty() {
        return Err(Reason::NoIpAllocated);
    }
    if placed.pool.is_none() { Err(Reason::IpNotAllowed) } else { Ok(()) }
}

/// What keeps the Service from being announced by anybody.
fn announced_somewhere(placed: &Placed, plans: &Plans) -> Result<(), Reason> {
    gate(placed)?;
    let has_endpoint = match &placed.facts.endpoints {
        Endpoints::NoSlice => plans.options.missing_slices == MissingSlices::ServedEverywhere,
        Endpoints::Counted { per_node, unplaced } => {
            unplaced.all > 0 || per_node.values().any(|endpoints| endpoints.all > 0)
        }
    };
    if !has_endpoint {
        return Err(Reason::NoEndpoints);
    }
    let mut advertisements = placed.l2_plans(plans).map(|plan| &plan.advertisement).peekable();
    if advertisements.peek().is_none() {
        return Err(Reason::NoAdvertisement);
    }
    let shared = placed.facts.sharing == super::SharingAnnotation::Present;
    if shared && advertisements.any(|advertisement| !advertisement.service_selectors.is_empty()) {
        return Err(Reason::SharedIpWithServiceSelector);
    }
    Ok(())
}

/// Whether the node may answer for the Service, were it alone in its group.
pub(super) fn eligible(placed: &Placed, plans: &Plans, node: usize) -> Result<(), Reason> {
    announced_somewhere(placed, plans)?;
    if !placed.l2_plans(plans).any(|plan| plan.nodes.contains(node)) {
        return Err(Reason::NoMatchingAdvertisement);
    }
    if !plans.candidates.contains(node) {
        return Err(unfit(plans, node));
    }
    if placed.facts.policy == TrafficPolicy::Local
        && let Endpoints::Counted { per_node, .. } = &placed.facts.endpoints
    {
        let name = plans.nodes.get(node).map(|node| &node.name);
        let local = name.and_then(|name| per_node.get(name)).is_some_and(|endpoints| endpoints.all > 0);
        return if local { Ok(()) } else { Err(Reason::NoLocalEndpoints) };
    }
    Ok(())
}

/// Why the node's own state keeps it out of every election.
fn unfit(plans: &Plans, node: usize) -> Reason {
    match plans.nodes.get(node) {
        None => Reason::NodeUnknown,
        Some(node) if !plans.options.is_alive(&node.name) => Reason::NodeNotAlive,
        Some(node) if node.network == NetworkCondition::Unavailable => Reason::NodeNetworkUnavailable,
        Some(_) => Reason::NodeExcluded,
    }
}

/// Whether the node may answer for all Services of a group: a candidate must be eligible for every one that is announced at all
/// ([OWN-22]).
fn eligible_for_all<'a>(members: &[&'a Placed], plans: &Plans, node: usize) -> Result<(), (&'a Placed, Reason)> {
    for member in members {
        match eligible(member, plans, node) {
            Err(reason) if reason.scope() == Scope::ThisNode => return Err((member, reason)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// A group with its members at hand.
pub(super) struct GroupView<'a> {
    pub(super) key: GroupKey,
    /// In the order of their keys.
    pub(super) members: Vec<&'a Placed>,
    /// The member that gives the group its key and its score.
    lead: &'a Placed,
}

impl<'a> GroupView<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, service: &ServiceKey) -> Option<Self> {
        Self::new(&snapshot.members(service))
    }

    /// `None` for a group without members.
    pub(super) fn new(members: &[&'a Arc<Placed>]) -> Option<Self> {
        let lead: &'a Placed = lead(members.iter().copied())?;
        let key = GroupKey(*lead.facts.addresses.first()?);
        Some(Self { key, members: members.iter().map(|member| -> &'a Placed { member }).collect(), lead })
    }

    /// The addresses of the group, ascending.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let mut addresses: Vec<IpAddr> =
            self.members.iter().flat_map(|member| member.facts.addresses.iter().copied()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        addresses
    }

    /// Whether the node may answer for the whole group ([OWN-22]).
    pub(super) fn eligible(&self, plans: &Plans, node: usize) -> Result<(), (&'a Placed, Reason)> {
        eligible_for_all(&self.members, plans, node)
    }

    /// The node's score: the sum over the advertisements that cover the lead ([L2-6]).
    pub(super) fn score(&self, plans: &Plans, node: usize) -> u32 {
        score(self.lead, plans, node)
    }

    /// The best two of the nodes that may answer for it.
    pub(super) fn best(&self, plans: &Plans) -> Best {
        let nodes = electorate(self.members.iter().copied(), plans);
        contest::of_electorate(&nodes, self.lead, self.key, plans)
    }

    /// The links on which the node would answer for an address of the group: the union over its Services ([L2-101]) and over
    /// their advertisements that include the node ([L2-29]). `None` where no Service there is announced by it.
    pub(super) fn links(&self, plans: &Plans, node: usize, address: IpAddr) -> Option<LinkSelection> {
        let holders = self.members.iter().filter(|member| member.facts.addresses.contains(&address));
        unite(holders.filter(|member| eligible(member, plans, node).is_ok()).map(|member| links(member, plans, node)))
    }

    /// How the node stands for an address of the group, where it is eligible.
    pub(super) fn reach(&self, plans: &Plans, node: usize, links: LinkSelection) -> LinkReach {
        LinkReach {
            group: self.key,
            election_key: self.key.0,
            score: self.score(plans, node),
            links,
            standing: Standing::Eligible,
        }
    }
}

/// The union of the links of the Service's advertisements that include the node; all where one of them says all ([L2-29]).
fn links(placed: &Placed, plans: &Plans, node: usize) -> LinkSelection {
    let including = placed.l2_plans(plans).filter(|plan| plan.nodes.contains(node));
    let united = unite(including.map(|plan| plan.advertisement.links.clone()));
    united.unwrap_or_else(|| LinkSelection::Named(Arc::default()))
}

fn unite(selections: impl Iterator<Item = LinkSelection>) -> Option<LinkSelection> {
    selections.reduce(|left, right| match (left, right) {
        (LinkSelection::Named(left), LinkSelection::Named(right)) if left == right => LinkSelection::Named(left),
        (LinkSelection::Named(left), LinkSelection::Named(right)) => {
            let names: BTreeSet<String> = left.union(&right).cloned().collect();
            LinkSelection::Named(Arc::new(names))
        }
        (LinkSelection::All, _) | (_, LinkSelection::All) => LinkSelection::All,
    })
}

/// The decision of one node for one Service.
pub(super) fn decide(snapshot: &Snapshot, placed: &Placed, node: &NodeName) -> Result<LinkReach, Reason> {
    let plans = &snapshot.plans;
    announced_somewhere(placed, plans)?;
    let node = plans.node_index(node).ok_or(Reason::NodeUnknown)?;
    eligible(placed, plans, node)?;
    // A Service with an address always has a group.
    let view = GroupView::of(snapshot, &placed.facts.key).ok_or(Reason::NoIpAllocated)?;
    view.eligible(plans, node).map_err(|(other, because)| Reason::GroupNotEligible {
        service: other.facts.key.clone(),
        because: Box::new(because),
    })?;
    Ok(view.reach(plans, node, links(placed, plans, node)))
}

/// The score of a node for the group that this member leads ([L2-6]).
pub(super) fn score(lead: &Placed, plans: &Plans, node: usize) -> u32 {
    lead.l2_plans(plans).fold(0, |sum, plan| sum.saturating_add(plan.score(node)))
}

/// The nodes that may answer for the whole group: none where no Service of it is announced on a segment.
pub(super) fn electorate<'a>(members: impl IntoIterator<Item = &'a Placed>, plans: &Plans) -> NodeSet {
    let mut nodes: Option<NodeSet> = None;
    for member in members {
        if announced_somewhere(member, plans).is_err() {
            continue;
        }
        let nodes = nodes.get_or_insert_with(|| plans.candidates.clone());
        let mut plans_of = member.l2_plans(plans);
        match (plans_of.next(), plans_of.next()) {
            (Some(only), None) => nodes.restrict(&only.nodes),
            (first, second) => {
                let mut included = NodeSet::default();
                first.into_iter().chain(second).chain(plans_of).for_each(|plan| included.unite(&plan.nodes));
                nodes.restrict(&included);
            }
        }
        if member.facts.policy == TrafficPolicy::Local
            && let Endpoints::Counted { per_node, .. } = &member.facts.endpoints
        {
            let mut local = NodeSet::default();
            let usable = per_node.iter().filter(|(_, endpoints)| endpoints.all > 0);
            usable.filter_map(|(name, _)| plans.node_index(name)).for_each(|node| local.insert(node));
            nodes.restrict(&local);
        }
    }
    nodes.unwrap_or_default()
}

/// Whether the node is in the [`electorate`].
pub(super) fn is_elector<'a>(members: impl IntoIterator<Item = &'a Placed>, plans: &Plans, node: usize) -> bool {
    let mut is_announced = false;
    for member in members {
        match eligible(member, plans, node) {
            Ok(()) => is_announced = true,
            Err(reason) if reason.scope() == Scope::ThisNode => return false,
            Err(_) => {}
        }
    }
    is_announced
}

/// The node that comes first in the election order among those eligible for the whole group, and the links on which it would
/// answer for the Service's addresses ([L2-4], [OWN-21]). `None` where the Service is announced nowhere. Costs a digest for each
/// node that may answer; [`Owners`](super::Owners) keeps the outcome for all Services.
///
/// Source: [L2-4].
pub fn first_owner(snapshot: &Snapshot, service: &ServiceKey) -> Option<(NodeName, LinkSelection)> {
    owner_of(snapshot, service, |view| view.best(&snapshot.plans).first())
}

/// The first owner of an address, with the union of the links of all Services that hold it ([L2-101]).
pub fn first_owner_of_address(snapshot: &Snapshot, address: IpAddr) -> Option<(NodeName, LinkSelection)> {
    owner_of_address(snapshot, address, |view| view.best(&snapshot.plans).first())
}

/// [`first_owner`], where the first of a group is known.
pub(super) fn owner_of(
    snapshot: &Snapshot,
    service: &ServiceKey,
    first: impl FnOnce(&GroupView<'_>) -> Option<usize>,
) -> Option<(NodeName, LinkSelection)> {
    let plans = &snapshot.plans;
    let placed = snapshot.placed(service)?;
    announced_somewhere(placed, plans).ok()?;
    let node = first(&GroupView::of(snapshot, service)?)?;
    Some((plans.nodes.get(node)?.name.clone(), links(placed, plans, node)))
}

/// [`first_owner_of_address`], where the first of a group is known.
pub(super) fn owner_of_address(
    snapshot: &Snapshot,
    address: IpAddr,
    first: impl FnOnce(&GroupView<'_>) -> Option<usize>,
) -> Option<(NodeName, LinkSelection)> {
    let plans = &snapshot.plans;
    let holder = snapshot.placed_at(address).find(|placed| announced_somewhere(placed, plans).is_ok())?;
    let view = GroupView::of(snapshot, &holder.facts.key)?;
    let node = first(&view)?;
    Some((plans.nodes.get(node)?.name.clone(), view.links(plans, node, address)?))
}
