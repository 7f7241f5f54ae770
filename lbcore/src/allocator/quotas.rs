//! How many distinct addresses Services hold under the quotas, and whether they may have more.
//!
//! Counted where holdings begin and end ([`super::index::Index::attach`], `detach`), so that no way of holding escapes. Invariant: each
//! count is that of a walk over all holdings, with the labels that Services had when they were entered last.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::addresses::ServiceAddresses;
use crate::labels::Labels;
use crate::policy::{Policies, PoolPolicy, Quota, QuotaScope};
use crate::pool::Pool;
use crate::service::ServiceKey;

use super::roster::SlotNumber;

/// A quota with what is used of it, for one of those whom it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaUsage {
    /// The policy that sets it.
    pub policy: Arc<str>,
    /// Its name in the policy.
    pub quota: Arc<str>,
    /// The namespace counted; `None` where all are counted together.
    pub namespace: Option<Arc<str>>,
    /// Distinct addresses held.
    pub used: u64,
    /// The most that may be.
    pub limit: u64,
}

/// The addresses that count, and how many Services hold each.
type Counter = BTreeMap<IpAddr, u32>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Counters {
    Together(Counter),
    ByNamespace(BTreeMap<Arc<str>, Counter>),
}

impl Counters {
    const fn new(scope: QuotaScope) -> Self {
        match scope {
            QuotaScope::Namespace => Self::ByNamespace(BTreeMap::new()),
            QuotaScope::Together => Self::Together(Counter::new()),
        }
    }

    fn of(&self, namespace: &str) -> Option<&Counter> {
        match self {
            Self::Together(counter) => Some(counter),
            Self::ByNamespace(counters) => counters.get(namespace),
        }
    }
}

/// One quota of one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    policy: Arc<PoolPolicy>,
    quota: Quota,
    counters: Counters,
}

/// Every quota.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Quotas {
    entries: Vec<Entry>,
    /// Places of entries, by number of the pool; empty where there is no quota.
    by_pool: Vec<Vec<usize>>,
    /// The labels of Services, as far as a quota selects by labels and the Service has some.
    labels: BTreeMap<SlotNumber, Arc<Labels>>,
    selects_by_labels: bool,
}

impl Quotas {
    /// The quotas of the pools, which come in the order of their numbers, with nothing counted. Labels are taken over.
    pub(super) fn new<'a>(policies: &Policies, pools: impl Iterator<Item = &'a Pool>, before: &Self) -> Self {
        let mut entries = Vec::new();
        for policy in &policies.pool_policies {
            entries.extend(policy.quotas.iter().map(|quota| Entry {
                policy: Arc::clone(policy),
                quota: quota.clone(),
                counters: Counters::new(quota.scope),
            }));
        }
        if entries.is_empty() {
            return Self::default();
        }
        let of_pool = |pool: &Pool| {
            let selects = |entry: &Entry| entry.policy.pools.selects(&pool.name, &pool.labels);
            (0..).zip(&entries).filter(|(_, entry)| selects(entry)).map(|(place, _)| place).collect()
        };
        let by_pool = pools.map(of_pool).collect();
        let selects_by_labels = entries.iter().any(|entry| !entry.quota.audience.service_selectors.is_empty());
        let labels = if selects_by_labels { before.labels.clone() } else { BTreeMap::new() };
        Self { entries, by_pool, labels, selects_by_labels }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a quota counts addresses of a pool.
    pub(super) fn concern(&self, pool: u32) -> bool {
        self.by_pool.get(pool as usize).is_some_and(|entries| !entries.is_empty())
    }

    /// Whether the labels of a Service differ from those it is counted with.
    pub(super) fn would_relabel(&self, slot: SlotNumber, labels: &Labels) -> bool {
        self.selects_by_labels && self.labels_of(slot).unwrap_or(&Labels::new()) != labels
    }

    /// Takes note of the labels of a Service that holds nothing now.
    pub(super) fn relabel(&mut self, slot: SlotNumber, labels: &Arc<Labels>) {
        if !self.selects_by_labels {
            return;
        }
        if labels.is_empty() {
            self.labels.remove(&slot);
        } else {
            self.labels.insert(slot, Arc::clone(labels));
        }
    }

    /// Forgets a Service that holds nothing.
    pub(super) fn forget(&mut self, slot: SlotNumber) {
        if self.selects_by_labels {
            self.labels.remove(&slot);
        }
    }

    fn labels_of(&self, slot: SlotNumber) -> Option<&Labels> {
        self.labels.get(&slot).map(AsRef::as_ref)
    }

    /// Counts what a Service comes to hold.
    pub(super) fn count(&mut self, service: &ServiceKey, slot: SlotNumber, pool: u32, addresses: &ServiceAddresses) {
        self.change(service, slot, pool, |counter| {
            for address in addresses.iter() {
                *counter.entry(address).or_default() += 1;
            }
        });
    }

    /// Takes what a Service held out of the counts.
    pub(super) fn discount(&mut self, service: &ServiceKey, slot: SlotNumber, pool: u32, addresses: &ServiceAddresses) {
        self.change(service, slot, pool, |counter| {
            for address in addresses.iter() {
                if let Some(holders) = counter.get_mut(&address) {
                    *holders -= 1;
                    if *holders == 0 {
                        counter.remove(&address);
                    }
                }
            }
        });
    }

    fn change(&mut self, service: &ServiceKey, slot: SlotNumber, pool: u32, change: impl Fn(&mut Counter)) {
        let unlabelled = Labels::new();
        let labels = self.labels.get(&slot).map_or(&unlabelled, AsRef::as_ref);
        for place in self.by_pool.get(pool as usize).into_iter().flatten() {
            let Some(entry) = self.entries.get_mut(*place) else { continue };
            if !entry.quota.audience.includes(service.namespace(), labels) {
                continue;
            }
            match &mut entry.counters {
                Counters::Together(counter) => change(counter),
                Counters::ByNamespace(counters) => {
                    let namespace = service.namespace();
                    if !counters.contains_key(namespace) {
                        counters.insert(Arc::from(namespace), Counter::new());
                    }
                    if let Some(counter) = counters.get_mut(namespace) {
                        change(counter);
                        if counter.is_empty() {
                            counters.remove(namespace);
                        }
                    }
                }
            }
        }
    }

    /// Whether a Service that holds nothing may come to hold these addresses of a pool.
    ///
    /// # Errors
    /// The quota that is used up.
    pub(super) fn admit(
        &self,
        service: &ServiceKey,
        labels: &Labels,
        pool: u32,
        addresses: &ServiceAddresses,
    ) -> Result<(), Box<QuotaUsage>> {
        for entry in self.of(service, labels, pool) {
            let counter = entry.counters.of(service.namespace());
            let used = counter.map_or(0, BTreeMap::len) as u64;
            let is_new = |address: &IpAddr| !counter.is_some_and(|counter| counter.contains_key(address));
            let more = addresses.iter().filter(is_new).count() as u64;
            if more > 0 && used + more > entry.quota.limit {
                return Err(Box::new(entry.usage(service.namespace(), used)));
            }
        }
        Ok(())
    }

    /// Whether an address counts already under every quota that concerns the Service in the pool.
    pub(super) fn counts(&self, service: &ServiceKey, labels: &Labels, pool: u32, address: IpAddr) -> bool {
        self.of(service, labels, pool)
            .all(|entry| entry.counters.of(service.namespace()).is_some_and(|counter| counter.contains_key(&address)))
    }

    fn of<'a>(&'a self, service: &'a ServiceKey, labels: &'a Labels, pool: u32) -> impl Iterator<Item = &'a Entry> {
        let entries = self.by_pool.get(pool as usize).into_iter().flatten();
        let entries = entries.filter_map(|place| self.entries.get(*place));
        entries.filter(move |entry| entry.quota.audience.includes(service.namespace(), labels))
    }

    /// What is used of each quota, in the order of the policies and their quotas, then by namespace. A namespace that holds nothing is
    /// left out.
    pub(super) fn usages(&self) -> impl Iterator<Item = QuotaUsage> + '_ {
        self.entries.iter().flat_map(|entry| {
            let counters: Vec<(&str, u64)> = match &entry.counters {
                Counters::Together(counter) => vec![("", counter.len() as u64)],
                Counters::ByNamespace(counters) => {
                    counters.iter().map(|(namespace, counter)| (namespace.as_ref(), counter.len() as u64)).collect()
                }
            };
            counters.into_iter().map(|(namespace, used)| entry.usage(namespace, used))
        })
    }
}

impl Entry {
    fn usage(&self, namespace: &str, used: u64) -> QuotaUsage {
        let namespace = match self.quota.scope {
            QuotaScope::Namespace => Some(Arc::from(namespace)),
            QuotaScope::Together => None,
        };
        let (policy, quota) = (Arc::clone(&self.policy.name), Arc::clone(&self.quota.name));
        QuotaUsage { policy, quota, namespace, used, limit: self.quota.limit }
    }
}
