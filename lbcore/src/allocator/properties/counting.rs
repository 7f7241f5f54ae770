//! The naive model's counts: quotas and usage, by looking at every Service each time.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::family::IpFamily;
use crate::labels::Labels;
use crate::policy::{PoolPolicy, Quota, QuotaScope};
use crate::pool::Pool;
use crate::range::number_to_address;
use crate::usage::PoolUsage;

use super::model::{Model, Seeker, namespace};

impl Model {
    /// The quotas that concern a Service in a pool.
    fn quotas(&self, pool: &Pool, service: &str, labels: &Labels) -> Vec<(Arc<PoolPolicy>, Quota)> {
        let policies = self.policies.of_pool(&pool.name, &pool.labels);
        let all =
            policies.flat_map(|policy| policy.quotas.iter().map(move |quota| (Arc::clone(policy), quota.clone())));
        all.filter(|(_, quota)| quota.audience.includes(namespace(service), labels)).collect()
    }

    /// The distinct addresses that count under a quota.
    fn counted(&self, policy: &PoolPolicy, quota: &Quota, of: &str, without: &str) -> BTreeSet<IpAddr> {
        let unlabelled = Arc::new(Labels::new());
        let mut counted = BTreeSet::new();
        for (service, held) in self.held.iter().filter(|(service, _)| *service != without) {
            let pool = self.pools.iter().find(|pool| pool.name.as_str() == held.pool).unwrap();
            let labels = self.labels.get(service).unwrap_or(&unlabelled);
            let together = quota.scope == QuotaScope::Together || namespace(service) == namespace(of);
            if together
                && policy.pools.selects(&pool.name, &pool.labels)
                && quota.audience.includes(namespace(service), labels)
            {
                counted.extend(held.addresses.iter().copied());
            }
        }
        counted
    }

    pub(super) fn counts(&self, pool: &Pool, seeker: Seeker<'_>, address: IpAddr) -> bool {
        let quotas = self.quotas(pool, seeker.service, &seeker.terms.labels);
        quotas.iter().all(|(policy, quota)| self.counted(policy, quota, seeker.service, "").contains(&address))
    }

    /// `without` is the Service whose holdings do not count, as it gives them up.
    pub(super) fn admits(&self, pool: &Pool, seeker: Seeker<'_>, addresses: &[IpAddr], without: &str) -> bool {
        let quotas = self.quotas(pool, seeker.service, &seeker.terms.labels);
        quotas.iter().all(|(policy, quota)| {
            let counted = self.counted(policy, quota, seeker.service, without);
            let more = addresses.iter().filter(|address| !counted.contains(address)).count() as u64;
            more == 0 || counted.len() as u64 + more <= quota.limit
        })
    }

    pub(super) fn usage(&self, pool: &Pool) -> PoolUsage {
        let used: BTreeSet<IpAddr> = self.held.values().flat_map(|held| held.addresses.clone()).collect();
        let (mut usage, mut addresses) = (PoolUsage::default(), Vec::new());
        for range in pool.extents() {
            let numbers = range.first_number()..=range.last_number();
            addresses.extend(numbers.map(|number| number_to_address(range.family(), number)));
        }
        for address in addresses.into_iter().filter(|address| pool.contains(*address)) {
            let (assigned, available) = match IpFamily::of(address) {
                IpFamily::V4 => (&mut usage.assigned_ipv4, &mut usage.available_ipv4),
                IpFamily::V6 => (&mut usage.assigned_ipv6, &mut usage.available_ipv6),
            };
            let is_withheld = self.reserved.contains(&address) || self.waiting.contains_key(&address);
            *assigned += i64::from(used.contains(&address));
            *available += i64::from(pool.offers(address) && !used.contains(&address) && !is_withheld);
        }
        usage
    }

    /// What is used of each quota that counts each namespace by itself, or all together, where something is used.
    pub(super) fn quota_figures(&self) -> BTreeMap<(usize, usize, Option<String>), u64> {
        let mut figures = BTreeMap::new();
        for (place, policy) in self.policies.pool_policies.iter().enumerate() {
            for (number, quota) in policy.quotas.iter().enumerate() {
                for of in ["n0/x", "n1/x"] {
                    let used = self.counted(policy, quota, of, "").len() as u64;
                    let name = (quota.scope == QuotaScope::Namespace).then(|| namespace(of).to_owned());
                    if used > 0 {
                        figures.insert((place, number, name), used);
                    }
                }
            }
        }
        figures
    }
}
