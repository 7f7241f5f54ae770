//! From decisions to announcements: Services that hold one address, or ask for one prefix, put together ([L2-101], [ANN-49]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::affected::{Affected, NodeExtent};
use super::bgp::{self, MergedRoute};
use super::layer2::{GroupView, eligible};
use super::reason::Scope;
use super::snapshot::Snapshot;
use crate::announce::{Announcement, AnnouncementKey, DesiredSet, LinkReach, Reach, ReachKind, RoutedReach, Standing};
use crate::service::{NodeName, ServiceKey};

/// How much is looked at again.
#[derive(Clone, Copy, Debug)]
pub enum Extent<'a> {
    /// Everything.
    All,
    /// What a change affects.
    Only(&'a Affected),
}

/// The difference between a set and what is desired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Announcements that are new or differ, in the order of their keys.
    pub put: Vec<Announcement>,
    /// Announcements that are gone, in the order of their keys.
    pub removed: Vec<AnnouncementKey>,
}

impl Changes {
    /// Whether nothing differs.
    pub const fn is_empty(&self) -> bool {
        self.put.is_empty() && self.removed.is_empty()
    }
}

type Announcements = BTreeMap<AnnouncementKey, Announcement>;

/// Everything that the node stands for or announces, in the order of keys. All link announcements are
/// [`Standing::Eligible`]; see [`changes_for`] for those that a node leaves.
pub fn desired_for(snapshot: &Snapshot, node: &NodeName) -> Vec<Announcement> {
    all_of(snapshot, node).into_values().collect()
}

/// What must change in `previous` so that it is what the node desires.
///
/// A link announcement that the node may not make any more while another node may stays, as [`Standing::Leaving`], so that an
/// owner goes on until a successor has claimed; where nobody may, it is removed at once ([OWN-24]).
pub fn changes_for(snapshot: &Snapshot, node: &NodeName, previous: &DesiredSet, extent: Extent<'_>) -> Changes {
    let everything = || {
        let desired = all_of(snapshot, node);
        let mut keys: BTreeSet<AnnouncementKey> = desired.keys().copied().collect();
        keys.extend(previous.iter().map(|announcement| announcement.key()));
        (keys, desired)
    };
    let (keys, mut desired) = match extent {
        Extent::All => everything(),
        Extent::Only(affected) => match affected.nodes.get(node) {
            None => some_of(snapshot, node, affected),
            Some(NodeExtent::Everything) => everything(),
            Some(NodeExtent::Pools(pools)) => {
                let mut more = affected.clone();
                for service in snapshot.services_in(pools, &[&snapshot.plans.layout]) {
                    if !more.services.contains(&service) {
                        snapshot.add_reach(&service, &mut more);
                    }
                }
                some_of(snapshot, node, &more)
            }
        },
    };
    let mut changes = Changes::default();
    for key in keys {
        let before = previous.get(&key);
        let after = desired.remove(&key).or_else(|| leaving(snapshot, node, before?));
        match (before, after) {
            (Some(before), Some(after)) if **before == after => {}
            (_, Some(after)) => changes.put.push(after),
            (Some(_), None) => changes.removed.push(key),
            (None, None) => {}
        }
    }
    changes
}

fn all_of(snapshot: &Snapshot, node: &NodeName) -> Announcements {
    let mut announcements = Announcements::new();
    let Some(index) = snapshot.plans.node_index(node) else { return announcements };
    for (_, members) in snapshot.walk(None) {
        add_group(snapshot, index, GroupView::new(&members), &mut announcements);
    }
    for (prefix, route) in bgp::all_routes(snapshot, index) {
        add_route(snapshot, prefix, route, &mut announcements);
    }
    announcements
}

/// The keys that the change can have an effect on, and what is desired of them.
fn some_of(snapshot: &Snapshot, node: &NodeName, affected: &Affected) -> (BTreeSet<AnnouncementKey>, Announcements) {
    let mut keys: BTreeSet<AnnouncementKey> =
        affected.addresses.iter().map(|address| AnnouncementKey::link(*address)).collect();
    let mut prefixes = affected.prefixes.clone();
    prefixes.extend(affected.addresses.iter().flat_map(|address| snapshot.plans.prefixes_of(*address)));
    keys.extend(prefixes.iter().map(|prefix| AnnouncementKey { prefix: *prefix, kind: ReachKind::Routed }));
    let mut announcements = Announcements::new();
    let Some(index) = snapshot.plans.node_index(node) else { return (keys, announcements) };
    let mut done: BTreeSet<ServiceKey> = BTreeSet::new();
    for service in &affected.services {
        if done.contains(service) {
            continue;
        }
        let view = GroupView::of(snapshot, service);
        let members = view.iter().flat_map(|view| view.members.iter()).filter(|member| member.facts.key != *service);
        done.extend(members.map(|member| member.facts.key.clone()));
        add_group(snapshot, index, view, &mut announcements);
    }
    for prefix in prefixes {
        if let Some(route) = bgp::route_of(snapshot, index, prefix) {
            add_route(snapshot, prefix, route, &mut announcements);
        }
    }
    (keys, announcements)
}

fn add_group(snapshot: &Snapshot, node: usize, view: Option<GroupView<'_>>, announcements: &mut Announcements) {
    let plans = &snapshot.plans;
    let Some(view) = view.filter(|view| view.eligible(plans, node).is_ok()) else { return };
    for address in view.addresses() {
        let Some(links) = view.links(plans, node, address) else { continue };
        let holders = view.members.iter().filter(|member| member.facts.addresses.contains(&address));
        let announced = holders.filter(|member| eligible(member, plans, node).is_ok());
        let services = announced.map(|member| member.facts.key.clone()).collect();
        let reach = Reach::Link(view.reach(plans, node, links));
        let announcement = Announcement { services, prefix: IpNetwork::from(address), reach };
        announcements.insert(announcement.key(), announcement);
    }
}

fn add_route(snapshot: &Snapshot, prefix: IpNetwork, route: MergedRoute, announcements: &mut Announcements) {
    let services = route.services.iter().cloned().collect();
    let reach = Reach::Routed(RoutedReach { parts: route.into_routed_parts(&snapshot.plans) });
    let announcement = Announcement { services, prefix, reach };
    announcements.insert(announcement.key(), announcement);
}

/// What becomes of a link announcement that is not desired any more: it stays as one that the node leaves while another node may
/// make it.
fn leaving(snapshot: &Snapshot, node: &NodeName, before: &Announcement) -> Option<Announcement> {
    let Reach::Link(reach) = &before.reach else { return None };
    let address: IpAddr = before.prefix.ip();
    let index = snapshot.plans.node_index(node);
    let others_may = snapshot.placed_at(address).any(|placed| {
        let outcome = eligible(placed, &snapshot.plans, index.unwrap_or(usize::MAX));
        outcome.map_or_else(|reason| reason.scope() == Scope::ThisNode, |()| true)
    });
    let reach = LinkReach { standing: Standing::Leaving, ..reach.clone() };
    others_may.then(|| Announcement { reach: Reach::Link(reach), ..before.clone() })
}
