//! What a freeze keeps: live addresses that an edit of pools or policies would take away, until the operator confirms the loss.
//!
//! Level driven: from the configuration as it is described now and the addresses that Services have, whatever was before. A host that
//! starts while its pools are half edited so arrives at the same place as one that saw the edit.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::KeptAddress;
use crate::addresses::ServiceAddresses;
use crate::config::{Config, ConfiguredPool};
use crate::labels::Labels;
use crate::range::AddressRange;
use crate::service::{PoolName, ServiceKey};

/// Addresses that a Service has.
#[derive(Clone, Copy, Debug)]
pub struct LiveAddresses<'a> {
    /// The Service.
    pub service: &'a ServiceKey,
    /// Its labels.
    pub labels: &'a Labels,
    /// The pool that is recorded for them. What is recorded counts, also where the pool is gone.
    pub pool: &'a PoolName,
    /// The addresses.
    pub addresses: ServiceAddresses,
}

/// The addresses that freezes keep: those of each live Service that the pools as written, with their exclusions and restrictions, would not
/// leave it, where its pool is frozen and none of its losses is confirmed. Sorted, each address once.
///
/// `before` is the configuration that was in force; it tells the labels of pools that are gone, and may be empty. `now` is the
/// configuration that shall be in force, with or without what was kept until now. A host puts the outcome into
/// [`crate::config::RawConfig::kept`], builds the configuration anew where it differs from what is there, and has the allocator follow
/// that; it does so when the description changes, and when a Service gave up an address that is kept.
///
/// # Examples
/// ```
/// use lbcore::config::Config;
/// use lbcore::policy::kept_by_freezes;
///
/// let config = Config::default();
/// assert_eq!(kept_by_freezes(&config, &config, []), []);
/// ```
pub fn kept_by_freezes<'a>(
    before: &Config,
    now: &Config,
    live: impl IntoIterator<Item = LiveAddresses<'a>>,
) -> Vec<KeptAddress> {
    let mut kept: BTreeMap<IpAddr, KeptAddress> = BTreeMap::new();
    if !now.policies().pool_policies.iter().any(|policy| policy.freeze.is_some()) {
        return Vec::new();
    }
    let written = Written::new(now);
    let unlabelled = Labels::new();
    let mut live: Vec<LiveAddresses<'a>> = live.into_iter().collect();
    live.sort_by_key(|live| live.service);
    for LiveAddresses { service, labels, pool, addresses } in live {
        if written.leaves(service, labels, &addresses) {
            continue;
        }
        let known = now.pools().get(pool).or_else(|| before.pools().get(pool));
        let pool_labels = known.map_or(&unlabelled, |known| &known.pool.labels);
        let freeze = now.policies().freeze_of(pool, pool_labels);
        if freeze.is_none_or(|freeze| addresses.iter().any(|address| freeze.confirms(address))) {
            continue;
        }
        for address in addresses.iter() {
            kept.entry(address).or_insert_with(|| KeptAddress {
                address,
                pool: pool.clone(),
                service: service.clone(),
                pool_labels: pool_labels.clone(),
            });
        }
    }
    kept.into_values().collect()
}

/// The pools as they are written, without what is kept.
struct Written<'a> {
    now: &'a Config,
    /// Ascending and disjoint.
    ranges: Vec<(AddressRange, &'a ConfiguredPool)>,
}

impl<'a> Written<'a> {
    fn new(now: &'a Config) -> Self {
        let mut ranges: Vec<(AddressRange, &ConfiguredPool)> = Vec::new();
        for configured in now.pools().values() {
            ranges.extend(configured.pool.ranges.iter().map(|range| (*range, configured)));
        }
        ranges.sort_unstable_by_key(|(range, _)| *range);
        Self { now, ranges }
    }

    /// The pool that offers an address.
    fn pool_of(&self, address: IpAddr) -> Option<&'a ConfiguredPool> {
        let single = AddressRange::single(address);
        let after = self.ranges.partition_point(|(range, _)| {
            (range.family(), range.first_number()) <= (single.family(), single.first_number())
        });
        let (range, configured) = self.ranges.get(after.checked_sub(1)?)?;
        let pool = &configured.pool;
        let mut policies = self.now.policies().of_pool(&pool.name, &pool.labels);
        let is_excluded = policies.any(|policy| policy.exclusions.iter().any(|exclusion| exclusion.contains(address)));
        (range.contains(address) && !pool.avoids(address) && !is_excluded).then_some(*configured)
    }

    /// Whether a Service keeps its addresses without a freeze: one pool offers them all and serves it.
    fn leaves(&self, service: &ServiceKey, labels: &Labels, addresses: &ServiceAddresses) -> bool {
        let mut pools = addresses.iter().map(|address| self.pool_of(address));
        let Some(Some(first)) = pools.next() else { return false };
        first.pool.allows(service.namespace(), labels)
            && pools.all(|pool| pool.is_some_and(|pool| pool.pool.name == first.pool.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::allocator::Allocator;
    use crate::config::Settings;
    use crate::config::problem::{ObjectRef, Origin};
    use crate::config::raw::{Raw, RawConfig, RawFreeze, RawPool, RawPoolPolicy, RawServiceAllocation};
    use crate::request::ServiceTerms;

    fn raw<T>(kind: &str, name: &str, spec: T) -> Raw<T> {
        let object = ObjectRef { kind: kind.into(), namespace: None, name: name.into(), origin: Origin(0) };
        Raw { object, labels: Labels::new(), spec }
    }

    fn pool(name: &str, ranges: &[&str]) -> Raw<RawPool> {
        let addresses = ranges.iter().map(ToString::to_string).collect();
        raw("IPAddressPool", name, RawPool { addresses, ..RawPool::default() })
    }

    fn frozen(pools: &[&str], confirmed: &[&str]) -> Raw<RawPoolPolicy> {
        let freeze = Some(RawFreeze { confirmed: confirmed.iter().map(ToString::to_string).collect() });
        let ip_address_pools = pools.iter().map(ToString::to_string).collect();
        raw("PoolPolicy", "frozen", RawPoolPolicy { ip_address_pools, freeze, ..RawPoolPolicy::default() })
    }

    fn build(description: &RawConfig) -> Config {
        let outcome = Config::build(description, &Settings::default());
        outcome.config.as_deref().cloned().unwrap_or_else(|| panic!("{:?}", outcome.problems))
    }

    /// What is kept of one Service `shop/web` of pool `p`, and whether it keeps its addresses under the outcome.
    fn kept_of(description: &RawConfig, addresses: &[&str]) -> (Vec<String>, bool) {
        let parsed: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        let service: ServiceKey = "shop/web".parse().unwrap();
        let live = LiveAddresses {
            service: &service,
            labels: &Labels::new(),
            pool: &"p".parse().unwrap(),
            addresses: ServiceAddresses::new(&parsed).unwrap(),
        };
        let now = build(description);
        let kept = kept_by_freezes(&Config::default(), &now, [live]);
        let effective = build(&RawConfig { kept: kept.clone(), ..description.clone() });
        // Working it out again on the outcome changes nothing.
        assert_eq!(kept_by_freezes(&now, &effective, [live]), kept);
        let mut allocator = Allocator::default();
        allocator.follow(&effective).unwrap();
        let keeps = allocator.assign_by_key(&service, &ServiceTerms::default(), &parsed).is_ok();
        (kept.iter().map(|kept| format!("{} of {}", kept.address, kept.pool)).collect(), keeps)
    }

    fn with(pools: Vec<Raw<RawPool>>, policy: Raw<RawPoolPolicy>) -> RawConfig {
        RawConfig { pools, pool_policies: vec![policy], ..RawConfig::default() }
    }

    // [CHG-5], [CHG-3]: what a freeze is against.
    #[test]
    fn a_shrunk_or_deleted_pool_loses_no_live_address() {
        let shrunk = with(vec![pool("p", &["192.0.2.0/28"])], frozen(&["p"], &[]));
        assert_eq!(kept_of(&shrunk, &["192.0.2.200"]), (vec!["192.0.2.200 of p".to_owned()], true));
        assert_eq!(kept_of(&shrunk, &["192.0.2.7"]), (vec![], true));
        let deleted = with(vec![pool("other", &["198.51.100.0/24"])], frozen(&["p"], &[]));
        assert_eq!(kept_of(&deleted, &["192.0.2.200"]), (vec!["192.0.2.200 of p".to_owned()], true));
        let without = RawConfig { pool_policies: vec![], ..shrunk };
        assert_eq!(kept_of(&without, &["192.0.2.200"]), (vec![], false));
        let another = with(vec![pool("p", &["192.0.2.0/28"]), pool("q", &["198.51.100.0/24"])], frozen(&["q"], &[]));
        assert_eq!(kept_of(&another, &["192.0.2.200"]), (vec![], false));
    }

    #[test]
    fn a_confirmed_loss_is_a_loss() {
        let shrunk = with(vec![pool("p", &["192.0.2.0/28"])], frozen(&["p"], &["192.0.2.192/26"]));
        assert_eq!(kept_of(&shrunk, &["192.0.2.200"]), (vec![], false));
        assert_eq!(kept_of(&shrunk, &["192.0.2.100"]), (vec!["192.0.2.100 of p".to_owned()], true));
    }

    // [CHG-7]: an address that another pool offers is not lost.
    #[test]
    fn an_address_that_went_to_another_pool_goes_there() {
        let moved = with(vec![pool("q", &["192.0.2.0/24"])], frozen(&[], &[]));
        assert_eq!(kept_of(&moved, &["192.0.2.200"]), (vec![], true));
    }

    // [CHG-8], [CHG-10]
    #[test]
    fn avoided_excluded_and_restricted_addresses_are_kept() {
        let mut avoiding = pool("p", &["192.0.2.0/24"]);
        avoiding.spec.avoid_buggy_ips = Some(true);
        let kept = vec!["192.0.2.0 of p".to_owned()];
        assert_eq!(kept_of(&with(vec![avoiding], frozen(&[], &[])), &["192.0.2.0"]), (kept, true));
        let mut excluding = frozen(&[], &[]);
        excluding.spec.exclusions = vec!["192.0.2.7".to_owned()];
        let excluded = with(vec![pool("p", &["192.0.2.0/24"])], excluding);
        assert_eq!(kept_of(&excluded, &["192.0.2.7"]), (vec!["192.0.2.7 of p".to_owned()], true));
        let mut restricted = pool("p", &["192.0.2.0/24"]);
        let namespaces = vec!["bank".to_owned()];
        restricted.spec.service_allocation =
            Some(RawServiceAllocation { namespaces, ..RawServiceAllocation::default() });
        let restricted = with(vec![restricted], frozen(&[], &[]));
        assert_eq!(kept_of(&restricted, &["192.0.2.7"]), (vec!["192.0.2.7 of p".to_owned()], true));
    }

    // [CHG-23]: a pair is lost with one of its addresses, and so is kept whole; where another pool has one of them now, it does not.
    #[test]
    fn a_pair_is_kept_whole() {
        let lost = with(vec![pool("p", &["192.0.2.0/24"])], frozen(&[], &[]));
        let both = vec!["192.0.2.7 of p".to_owned(), "2001:db8::7 of p".to_owned()];
        assert_eq!(kept_of(&lost, &["192.0.2.7", "2001:db8::7"]), (both.clone(), true));
        let split = with(vec![pool("p", &["192.0.2.0/24"]), pool("q", &["2001:db8::/64"])], frozen(&[], &[]));
        assert_eq!(kept_of(&split, &["192.0.2.7", "2001:db8::7"]), (both, true));
    }
}
