//! The immutable view that decisions are made from: what holds for nodes and configuration, the Services, and who holds which address.

use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use ipnetwork::IpNetwork;

use super::DecideOptions;
use super::affected::Affected;
use super::facts::ServiceFacts;
use super::placed::{Group, Placed, precedence};
use super::plans::Plans;
use crate::announce::GroupKey;
use crate::config::Config;
use crate::hash::HashSet;
use crate::node::Node;
use crate::range::AddressRange;
use crate::service::ServiceKey;

type Services = rpds::RedBlackTreeMapSync<ServiceKey, Arc<Placed>>;
/// The Services that hold an address, in the order of their keys; at least one.
type Holders = rpds::RedBlackTreeMapSync<IpAddr, Arc<[ServiceKey]>>;

/// Configuration, nodes and Services at one moment. A copy is cheap and shares what is not changed in it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(super) plans: Arc<Plans>,
    pub(super) services: Services,
    holders: Holders,
}

impl Snapshot {
    /// A view without Services. Of nodes with one name the last counts.
    pub fn new(config: Arc<Config>, nodes: Vec<Node>, options: DecideOptions) -> Self {
        let plans = Arc::new(Plans::new(config, nodes, options));
        Self { plans, services: Services::new_sync(), holders: Holders::new_sync() }
    }

    /// The same Services under another configuration, other nodes or other options, worked out from nothing. Costs all Services;
    /// [`set_config`](Self::set_config), [`set_node`](Self::set_node), [`remove_node`](Self::remove_node) and
    /// [`set_options`](Self::set_options) lead to the same at the cost of what they change.
    #[must_use]
    pub fn rebuilt(&self, config: Arc<Config>, nodes: Vec<Node>, options: DecideOptions) -> Self {
        let plans = Arc::new(Plans::new(config, nodes, options));
        let mut services = Services::new_sync();
        for (key, placed) in &self.services {
            services.insert_mut(key.clone(), Arc::new(Placed::new(Arc::clone(&placed.facts), &plans)));
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
            let mut holders: Vec<ServiceKey> = self.holders.get(address).map_or_else(Vec::new, |known| known.to_vec());
            if let Err(place) = holders.binary_search(&key) {
                holders.insert(place, key.clone());
                self.holders.insert_mut(*address, holders.into());
            }
        }
        self.services.insert_mut(key.clone(), Arc::new(Placed::new(Arc::new(facts), &self.plans)));
        self.add_reach(&key, &mut affected);
        affected
    }

    /// Takes a Service out, and says what may be announced differently now.
    pub fn remove_service(&mut self, key: &ServiceKey) -> Affected {
        self.take_out(key)
    }

    fn take_out(&mut self, key: &ServiceKey) -> Affected {
        let mut affected = Affected::default();
        self.add_reach(key, &mut affected);
        let Some(placed) = self.services.get(key).cloned() else { return affected };
        for address in &placed.facts.addresses {
            let Some(holders) = self.holders.get(address) else { continue };
            let rest: Vec<ServiceKey> = holders.iter().filter(|holder| *holder != key).cloned().collect();
            if rest.is_empty() {
                self.holders.remove_mut(address);
            } else {
                self.holders.insert_mut(*address, rest.into());
            }
        }
        self.services.remove_mut(key);
        affected
    }

    /// Adds the Service and all that is in one group with it.
    pub(super) fn add_reach(&self, key: &ServiceKey, affected: &mut Affected) {
        affected.services.insert(key.clone());
        for member in self.members(key) {
            affected.addresses.extend(&member.facts.addresses);
            if member.facts.key != *key {
                affected.services.insert(member.facts.key.clone());
            }
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.plans.layout.config
    }

    /// The options.
    pub fn options(&self) -> &DecideOptions {
        &self.plans.options
    }

    /// The nodes in the order of their names.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.plans.nodes.iter()
    }

    /// A Service.
    pub fn service(&self, key: &ServiceKey) -> Option<&ServiceFacts> {
        self.placed(key).map(|placed| &*placed.facts)
    }

    /// The Services in the order of their keys.
    pub fn services(&self) -> impl Iterator<Item = &ServiceFacts> {
        self.all_placed().map(|placed| &*placed.facts)
    }

    /// The Services that hold an address, in the order of their keys.
    pub fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &ServiceFacts> {
        self.placed_at(address).map(|placed| &*placed.facts)
    }

    /// The group of a Service; `None` where it is not there or has no address.
    pub fn group_of(&self, key: &ServiceKey) -> Option<Group> {
        group(&self.members(key))
    }

    /// All groups, in the order of their first Service ([OWN-20]).
    pub fn groups(&self) -> Vec<Group> {
        self.walk(None).filter_map(|(_, members)| group(&members)).collect()
    }

    /// The Services in one group with this one, itself included, in the order of their keys; none where it is not there or has no
    /// address.
    pub(super) fn members(&self, key: &ServiceKey) -> Vec<&Arc<Placed>> {
        let Some(start) = self.services.get(key).filter(|placed| !placed.facts.addresses.is_empty()) else {
            return Vec::new();
        };
        let is_alone = |address| self.holders.get(address).is_none_or(|holders| holders.len() == 1);
        if start.facts.addresses.iter().all(is_alone) {
            return vec![start];
        }
        let mut members: BTreeMap<&ServiceKey, &Arc<Placed>> = BTreeMap::from([(&start.facts.key, start)]);
        let mut addresses = BTreeSet::new();
        let mut open = vec![start];
        while let Some(placed) = open.pop() {
            for address in placed.facts.addresses.iter().filter(|address| addresses.insert(**address)) {
                let holders = self.holders.get(address).into_iter().flat_map(|holders| holders.iter());
                for holder in holders.filter_map(|holder| self.services.get(holder)) {
                    if members.insert(&holder.facts.key, holder).is_none() {
                        open.push(holder);
                    }
                }
            }
        }
        members.into_values().collect()
    }

    /// The Services after one, or all of them, in the order of their keys, with the members of the group of which each is the first;
    /// none where it is not the first of a group.
    pub(super) fn walk(&self, after: Option<&ServiceKey>) -> impl Iterator<Item = (&ServiceKey, Vec<&Arc<Placed>>)> {
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut seen: HashSet<&ServiceKey> = HashSet::default();
        self.services.range::<ServiceKey, _>((start, Bound::Unbounded)).map(move |(key, _)| {
            if !seen.is_empty() && seen.contains(key) {
                return (key, Vec::new());
            }
            let mut members = self.members(key);
            if members.len() > 1 {
                seen.extend(members.iter().map(|member| &member.facts.key));
                if members.first().is_some_and(|first| first.facts.key != *key) {
                    members.clear();
                }
            }
            (key, members)
        })
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
        self.holders_in(AddressRange::from(prefix)).map(|(address, _)| address)
    }

    /// The addresses of a range that Services hold, ascending, with these Services.
    pub(super) fn holders_in(&self, range: AddressRange) -> impl Iterator<Item = (IpAddr, &[ServiceKey])> {
        self.holders.range(range.first()..=range.last()).map(|(address, holders)| (*address, holders.as_ref()))
    }
}

/// The member that gives a group its key and its score.
pub(super) fn lead<'a>(members: impl IntoIterator<Item = &'a Arc<Placed>>) -> Option<&'a Arc<Placed>> {
    members.into_iter().min_by_key(|member| precedence(member))
}

fn group(members: &[&Arc<Placed>]) -> Option<Group> {
    let key = GroupKey(*lead(members.iter().copied())?.facts.addresses.first()?);
    let addresses = members.iter().flat_map(|member| member.facts.addresses.iter().copied()).collect();
    Some(Group { key, addresses, services: members.iter().map(|member| member.facts.key.clone()).collect() })
}
