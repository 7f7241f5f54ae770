//! The immutable view that decisions are made from, and the groups of addresses in it ([OWN-20]).

use core::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::DecideOptions;
use super::facts::ServiceFacts;
use super::plans::{BgpPlan, L2Plan, Plans, PoolPlan};
use crate::announce::GroupKey;
use crate::config::Config;
use crate::hash::HashSet;
use crate::node::Node;
use crate::service::ServiceKey;

/// A Service with what follows from the configuration for it: its pool, and the advertisements that cover it.
#[derive(Debug)]
pub(super) struct Placed {
    pub(super) facts: ServiceFacts,
    /// Place of the one pool that has all its addresses ([ANN-6]).
    pub(super) pool: Option<usize>,
    /// Places of the pool's L2 advertisements that cover the Service.
    l2: Vec<usize>,
    /// Places of the pool's BGP advertisements that cover the Service.
    pub(super) bgp: Vec<usize>,
}

impl Placed {
    fn new(facts: ServiceFacts, plans: &Plans) -> Self {
        let pool = plans.pool_of_all(&facts.addresses);
        let (mut l2, mut bgp) = (Vec::new(), Vec::new());
        if let Some(plan) = pool.and_then(|pool| plans.pools.get(pool)) {
            let covering = |(place, plan): (usize, &Arc<L2Plan>)| {
                plan.advertisement.covers_service(&facts.labels).then_some(place)
            };
            l2 = plan.l2.iter().enumerate().filter_map(covering).collect();
            let covering = |(place, plan): (usize, &Arc<BgpPlan>)| {
                plan.advertisement.covers_service(&facts.labels).then_some(place)
            };
            bgp = plan.bgp.iter().enumerate().filter_map(covering).collect();
        }
        Self { facts, pool, l2, bgp }
    }

    /// The pool that has all its addresses.
    pub(super) fn pool_plan<'a>(&self, plans: &'a Plans) -> Option<&'a PoolPlan> {
        plans.pools.get(self.pool?)
    }

    /// The L2 advertisements that cover the Service.
    pub(super) fn l2_plans<'a>(&'a self, plans: &'a Plans) -> impl Iterator<Item = &'a L2Plan> {
        let pool = self.pool_plan(plans);
        self.l2.iter().filter_map(move |place| pool?.l2.get(*place).map(AsRef::as_ref))
    }
}

/// Addresses that one node answers for together, and the Services that tie them ([OWN-20]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The first address of the Service with the most addresses, then by name; among the Services whose addresses are in a pool
    /// where there are such.
    pub key: GroupKey,
    /// All addresses; at least one.
    pub addresses: BTreeSet<IpAddr>,
    /// All Services; at least one.
    pub services: BTreeSet<ServiceKey>,
}

/// What a change of one Service can have an effect on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Affected {
    /// The Services to decide again, the changed one included.
    pub services: BTreeSet<ServiceKey>,
    /// The addresses whose announcements may differ, also those given up.
    pub addresses: BTreeSet<IpAddr>,
}

impl Affected {
    /// Takes in another.
    pub fn extend(&mut self, other: Self) {
        self.services.extend(other.services);
        self.addresses.extend(other.addresses);
    }
}

type Services = rpds::RedBlackTreeMapSync<ServiceKey, Arc<Placed>>;
type Holders = rpds::RedBlackTreeMapSync<IpAddr, Arc<BTreeSet<ServiceKey>>>;

/// Configuration, nodes and Services at one moment. A copy is cheap and shares what is not changed in it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) plans: Arc<Plans>,
    services: Services,
    holders: Holders,
}

impl Snapshot {
    /// A view without Services. Of nodes with one name the last counts.
    pub fn new(config: Arc<Config>, nodes: Vec<Node>, options: DecideOptions) -> Self {
        let plans = Arc::new(Plans::new(config, nodes, options));
        Self { plans, services: Services::new_sync(), holders: Holders::new_sync() }
    }

    /// The same Services under another configuration, other nodes or other options. Costs all Services; what a change of nodes
    /// means for this node's own decisions is only seen in its own [`Node`].
    #[must_use]
    pub fn rebuilt(&self, config: Arc<Config>, nodes: Vec<Node>, options: DecideOptions) -> Self {
        let plans = Arc::new(Plans::new(config, nodes, options));
        let mut services = Services::new_sync();
        for (key, placed) in &self.services {
            services.insert_mut(key.clone(), Arc::new(Placed::new(placed.facts.clone(), &plans)));
        }
        Self { plans, services, holders: self.holders.clone() }
    }

    /// Puts a Service in, or replaces it, and says what may be announced differently now; nothing where it is as before.
    pub fn set_service(&mut self, facts: ServiceFacts) -> Affected {
        if self.service(&facts.key) == Some(&facts) {
            return Affected::default();
        }
        let key = facts.key.clone();
        let mut affected = self.take_out(&key);
        for address in &facts.addresses {
            let mut holders = self.holders.get(address).cloned().unwrap_or_default();
            Arc::make_mut(&mut holders).insert(key.clone());
            self.holders.insert_mut(*address, holders);
        }
        self.services.insert_mut(key.clone(), Arc::new(Placed::new(facts, &self.plans)));
        affected.extend(self.reach_of(&key));
        affected
    }

    /// Takes a Service out, and says what may be announced differently now.
    pub fn remove_service(&mut self, key: &ServiceKey) -> Affected {
        self.take_out(key)
    }

    fn take_out(&mut self, key: &ServiceKey) -> Affected {
        let affected = self.reach_of(key);
        let Some(placed) = self.services.get(key).cloned() else { return affected };
        for address in &placed.facts.addresses {
            let Some(mut holders) = self.holders.get(address).cloned() else { continue };
            Arc::make_mut(&mut holders).remove(key);
            if holders.is_empty() {
                self.holders.remove_mut(address);
            } else {
                self.holders.insert_mut(*address, holders);
            }
        }
        self.services.remove_mut(key);
        affected
    }

    fn reach_of(&self, key: &ServiceKey) -> Affected {
        match self.group_of(key) {
            Some(group) => Affected { services: group.services, addresses: group.addresses },
            None => Affected { services: BTreeSet::from([key.clone()]), addresses: BTreeSet::new() },
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.plans.config
    }

    /// The options.
    pub fn options(&self) -> &DecideOptions {
        &self.plans.options
    }

    /// The nodes in the order of their names.
    pub fn nodes(&self) -> &[Node] {
        &self.plans.nodes
    }

    /// A Service.
    pub fn service(&self, key: &ServiceKey) -> Option<&ServiceFacts> {
        self.services.get(key).map(|placed| &placed.facts)
    }

    /// The Services in the order of their keys.
    pub fn services(&self) -> impl Iterator<Item = &ServiceFacts> {
        self.services.values().map(|placed| &placed.facts)
    }

    /// The Services that hold an address, in the order of their keys.
    pub fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &ServiceFacts> {
        self.placed_at(address).map(|placed| &placed.facts)
    }

    /// The group of a Service; `None` where it is not there or has no address.
    pub fn group_of(&self, key: &ServiceKey) -> Option<Group> {
        let start = self.services.get(key).filter(|placed| !placed.facts.addresses.is_empty())?;
        let mut services = BTreeSet::from([key.clone()]);
        let mut addresses = BTreeSet::new();
        let mut open: Vec<&Placed> = vec![start];
        let mut lead: &Placed = start;
        while let Some(placed) = open.pop() {
            lead = if precedence(placed) < precedence(lead) { placed } else { lead };
            for address in placed.facts.addresses.iter().filter(|address| addresses.insert(**address)) {
                let holders = self.placed_at(*address);
                open.extend(holders.filter(|holder| services.insert(holder.facts.key.clone())));
            }
        }
        let key = GroupKey(*lead.facts.addresses.first()?);
        Some(Group { key, addresses, services })
    }

    /// All groups, in the order of their first Service ([OWN-20]).
    pub fn groups(&self) -> Vec<Group> {
        let mut seen: HashSet<&ServiceKey> = HashSet::default();
        let mut groups = Vec::new();
        for key in self.services.keys() {
            if seen.contains(key) {
                continue;
            }
            if let Some(group) = self.group_of(key) {
                let members = group.services.iter().filter_map(|member| self.services.get_key_value(member));
                seen.extend(members.map(|(member, _)| member));
                groups.push(group);
            }
        }
        groups
    }

    pub(super) fn placed(&self, key: &ServiceKey) -> Option<&Placed> {
        self.services.get(key).map(AsRef::as_ref)
    }

    pub(super) fn all_placed(&self) -> impl Iterator<Item = &Placed> {
        self.services.values().map(AsRef::as_ref)
    }

    pub(super) fn placed_at(&self, address: IpAddr) -> impl Iterator<Item = &Placed> {
        let holders = self.holders.get(&address).into_iter().flat_map(|holders| holders.iter());
        holders.filter_map(|key| self.placed(key))
    }

    /// The addresses within a prefix that Services hold, ascending.
    pub(super) fn addresses_in(&self, prefix: IpNetwork) -> impl Iterator<Item = IpAddr> {
        let range = crate::range::AddressRange::from(prefix);
        self.holders.range(range.first()..=range.last()).map(|(address, _)| *address)
    }
}

/// What makes a Service give its name to a group, least first: an address in a pool, more addresses, the name.
pub(super) fn precedence(placed: &Placed) -> (bool, Reverse<usize>, &ServiceKey) {
    (placed.pool.is_none(), Reverse(placed.facts.addresses.len()), &placed.facts.key)
}
