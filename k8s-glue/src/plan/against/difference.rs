//! Two plans compared: Services, owners, routes, and the live addresses among what changes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use lbcore::converge::Notice;
use serde::Serialize;

use super::why::Why;
use crate::plan::{Plan, Planned, PlannedOwner, PlannedRoute, PlannedService};

/// What becomes of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ServiceChange {
    pub(super) service: String,
    pub(super) effect: Effect,
    /// Whether what it has now is recorded.
    #[serde(rename = "live")]
    pub(super) is_live: bool,
    /// What it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<PlannedService>,
    /// What it would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<PlannedService>,
    /// Why it does not keep what it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// What would let it keep that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

/// Kinds of change, the worse ones last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Effect {
    /// Only pool or error differ.
    Changed,
    /// It gets addresses beside those it has.
    Gained,
    /// It has an address now and would have another.
    Moved,
    /// It has an address now that nothing would take the place of.
    Lost,
}

/// Another node would answer for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct OwnerChange {
    pub(super) ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Option<PlannedOwner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Option<PlannedOwner>,
    /// Why the node of now would not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
    /// What would let it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
}

impl OwnerChange {
    /// Whether an address that is answered for now would be answered for by another node, or by none.
    fn moves(&self) -> bool {
        self.from.as_ref().is_some_and(|from| self.to.as_ref().is_none_or(|to| to.node != from.node))
    }
}

/// Routes that come and go; one that changes is in both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RouteChanges {
    pub(super) withdrawn: Vec<PlannedRoute>,
    pub(super) announced: Vec<PlannedRoute>,
}

/// Objects that the new input leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Taken {
    pub(super) kind: &'static str,
    pub(super) count: usize,
}

/// Objects of now that the new input does not have any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Gone {
    pub(super) kind: &'static str,
    pub(super) names: Vec<String>,
}

/// An address that a freeze keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Kept {
    pub(super) ip: IpAddr,
    pub(super) pool: String,
    pub(super) service: String,
}

/// An address that a Service keeps though it is set aside for others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(super) struct HeldReserved {
    pub(super) ip: IpAddr,
    pub(super) service: String,
    pub(super) reservation: String,
}

/// A quota of which more is used than it allows: nothing is taken away, and nothing more is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Exceeded {
    pub(super) policy: String,
    pub(super) quota: String,
    /// Absent where all count together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    pub(super) used: u64,
    pub(super) limit: u64,
}

/// The difference of two plans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) services: Vec<ServiceChange>,
    pub(super) layer2: Vec<OwnerChange>,
    pub(super) bgp: RouteChanges,
    /// The live addresses that are announced now and, though their Services keep them, would be announced by nobody, sorted.
    pub(super) unannounced: Vec<IpAddr>,
    /// Every live address that would move or be lost, or be announced by nobody, sorted.
    pub(super) moves: Vec<IpAddr>,
    /// The kinds of which the new input has no object: they are as now.
    pub(super) taken: Vec<Taken>,
    /// The objects that the new input has no more, though it has others of the kind or is complete.
    pub(super) gone: Vec<Gone>,
    /// Addresses that only a freeze keeps in their pools.
    pub(super) kept: Vec<Kept>,
    /// Addresses that would be set aside for others than those who have them.
    pub(super) reserved: Vec<HeldReserved>,
    /// Quotas of which more would be used than they allow.
    pub(super) exceeded: Vec<Exceeded>,
    #[serde(skip)]
    pub(super) is_anything_live: bool,
}

/// The recorded addresses of each Service.
pub(super) type Live = BTreeMap<String, BTreeSet<IpAddr>>;

/// What changes for Services, owners and routes.
pub(super) fn difference(before: &Planned<'_>, after: &Planned<'_>, live: &Live) -> Difference {
    let why = Why::new(before, after);
    let services = service_changes(&before.plan, &after.plan, live, &why);
    let layer2 = owner_changes(&before.plan, &after.plan, &why);
    let lost = services.iter().filter(|change| change.effect >= Effect::Moved).flat_map(|change| {
        let recorded = live.get(&change.service);
        change.given_up().into_iter().filter(move |ip| recorded.is_some_and(|recorded| recorded.contains(ip)))
    });
    let is_live = |ip: &IpAddr| live.values().any(|recorded| recorded.contains(ip));
    let moved = layer2.iter().filter(|change| change.moves()).map(|change| change.ip).filter(is_live);
    let unannounced = unannounced(&before.plan, &after.plan, live);
    let moves: BTreeSet<IpAddr> = lost.chain(moved).chain(unannounced.iter().copied()).collect();
    let (old, new) = (&before.plan.bgp, &after.plan.bgp);
    let bgp = RouteChanges { withdrawn: only_in(old, new), announced: only_in(new, old) };
    let reserved = held_reserved(after).difference(&held_reserved(before)).cloned().collect();
    let known = exceeded(before);
    let exceeded = exceeded(after).into_iter().filter(|one| !known.contains(one)).collect();
    Difference {
        services,
        layer2,
        bgp,
        unannounced,
        reserved,
        exceeded,
        moves: moves.into_iter().collect(),
        is_anything_live: live.values().any(|recorded| !recorded.is_empty()),
        ..Difference::default()
    }
}

/// The routes that are among these and not among those, which are sorted alike.
fn only_in(these: &[PlannedRoute], those: &[PlannedRoute]) -> Vec<PlannedRoute> {
    let place = |route: &PlannedRoute| (route.node.clone(), route.peer.clone(), route.prefix.clone());
    let known: BTreeMap<_, &PlannedRoute> = those.iter().map(|route| (place(route), route)).collect();
    these.iter().filter(|route| known.get(&place(route)) != Some(route)).cloned().collect()
}

/// What is announced in any way.
struct Announced {
    owned: BTreeSet<IpAddr>,
    prefixes: BTreeSet<IpNetwork>,
    lengths: BTreeSet<u8>,
}

impl Announced {
    fn of(plan: &Plan) -> Self {
        let prefixes: BTreeSet<IpNetwork> = plan.bgp.iter().filter_map(|route| route.prefix.parse().ok()).collect();
        let lengths = prefixes.iter().map(IpNetwork::prefix).collect();
        Self { owned: plan.layer2.iter().map(|owner| owner.ip).collect(), prefixes, lengths }
    }

    fn has(&self, ip: IpAddr) -> bool {
        let around = |length: &u8| {
            let network = IpNetwork::new(ip, *length).ok()?;
            IpNetwork::new(network.network(), *length).ok()
        };
        let mut networks = self.lengths.iter().filter_map(around);
        self.owned.contains(&ip) || networks.any(|network| self.prefixes.contains(&network))
    }
}

fn unannounced(before: &Plan, after: &Plan, live: &Live) -> Vec<IpAddr> {
    let (then, later) = (Announced::of(before), Announced::of(after));
    let stays: BTreeSet<IpAddr> = after.services.iter().flat_map(|service| service.ips.iter().copied()).collect();
    let live: BTreeSet<IpAddr> = live.values().flatten().copied().collect();
    live.into_iter().filter(|ip| stays.contains(ip) && then.has(*ip) && !later.has(*ip)).collect()
}

fn held_reserved(planned: &Planned<'_>) -> BTreeSet<HeldReserved> {
    let notices = planned.assignments.iter().flat_map(|assignment| {
        let service = &assignment.state.key;
        assignment.outcome.notices.iter().filter_map(move |notice| {
            let Notice::HoldsReserved { address, reservation } = notice else { return None };
            Some(HeldReserved { ip: *address, service: service.to_string(), reservation: reservation.to_string() })
        })
    });
    notices.collect()
}

fn exceeded(planned: &Planned<'_>) -> Vec<Exceeded> {
    let usages = planned.allocator.quota_usage().filter(|usage| usage.used > usage.limit);
    let exceeded = usages.map(|usage| Exceeded {
        policy: usage.policy.to_string(),
        quota: usage.quota.to_string(),
        namespace: usage.namespace.as_ref().map(ToString::to_string),
        used: usage.used,
        limit: usage.limit,
    });
    exceeded.collect()
}

fn service_changes(before: &Plan, after: &Plan, live: &Live, why: &Why<'_>) -> Vec<ServiceChange> {
    let by_name = |plan: &Plan| -> BTreeMap<String, PlannedService> {
        plan.services.iter().map(|service| (service.service.clone(), service.clone())).collect()
    };
    let (mut old, mut new) = (by_name(before), by_name(after));
    let names: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let changes = names.into_iter().filter_map(|service| {
        let (from, to) = (old.remove(&service), new.remove(&service));
        let effect = effect(from.as_ref(), to.as_ref())?;
        let reason = if effect >= Effect::Moved { why.not_kept(&service, to.as_ref()) } else { None };
        let (why, fix) = reason.map_or((None, None), |(why, fix)| (Some(why), fix));
        let is_live = live.get(&service).is_some_and(|recorded| !recorded.is_empty());
        Some(ServiceChange { service, effect, is_live, from, to, why, fix })
    });
    changes.collect()
}

fn effect(from: Option<&PlannedService>, to: Option<&PlannedService>) -> Option<Effect> {
    let ips = |service: Option<&PlannedService>| service.map(|service| service.ips.clone()).unwrap_or_default();
    let (old, new) = (ips(from), ips(to));
    let gone = old.iter().any(|ip| !new.contains(ip));
    let come = new.iter().any(|ip| !old.contains(ip));
    match (gone, come) {
        (true, true) => Some(Effect::Moved),
        (true, false) => Some(Effect::Lost),
        (false, true) => Some(Effect::Gained),
        (false, false) if from != to => Some(Effect::Changed),
        (false, false) => None,
    }
}

impl ServiceChange {
    /// The addresses that the Service has now and would not have.
    pub(super) fn given_up(&self) -> Vec<IpAddr> {
        let kept = self.to.as_ref().map(|to| to.ips.as_slice()).unwrap_or_default();
        let had = self.from.iter().flat_map(|from| &from.ips);
        had.filter(|ip| !kept.contains(ip)).copied().collect()
    }
}

fn owner_changes(before: &Plan, after: &Plan, why: &Why<'_>) -> Vec<OwnerChange> {
    let by_address = |plan: &Plan| -> BTreeMap<IpAddr, PlannedOwner> {
        plan.layer2.iter().map(|owner| (owner.ip, owner.clone())).collect()
    };
    let (mut old, mut new) = (by_address(before), by_address(after));
    let addresses: BTreeSet<IpAddr> = old.keys().chain(new.keys()).copied().collect();
    let changes = addresses.into_iter().filter_map(|ip| {
        let (from, to) = (old.remove(&ip), new.remove(&ip));
        let place =
            |owner: &Option<PlannedOwner>| owner.as_ref().map(|owner| (owner.node.clone(), owner.interfaces.clone()));
        let differs = place(&from) != place(&to);
        let why = from.as_ref().filter(|_| differs).and_then(|from| why.not_owner(ip, &from.node));
        let (why, fix) = why.map_or((None, None), |(why, fix)| (Some(why), fix));
        differs.then_some(OwnerChange { ip, from, to, why, fix })
    });
    changes.collect()
}
