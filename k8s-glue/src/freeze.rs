//! Which addresses freezes keep, from what Services hold and where it is recorded to be from. Pure, and the same for all hosts: controller
//! and speakers see the same Services, and so each arrives at it by itself, without a moment in which a kept address is nobody's.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::addresses::{ServiceAddresses, parse_address};
use lbcore::config::{Config, RawConfig, Settings};
use lbcore::labels::Labels;
use lbcore::policy::{KeptAddress, LiveAddresses, kept_by_freezes};
use lbcore::service::{PoolName, ServiceKey};

use crate::convert::ServiceObject;
use crate::names::{POOL, POOL_BEFORE};

/// What a Service has, and of which pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Live {
    pub(crate) service: ServiceKey,
    /// The labels of the Service.
    pub(crate) labels: Labels,
    pub(crate) pool: PoolName,
    pub(crate) addresses: Vec<IpAddr>,
}

/// Whether any policy freezes anything.
pub(crate) fn is_any(config: &Config) -> bool {
    config.policies().pool_policies.iter().any(|policy| policy.freeze.is_some())
}

/// The addresses to keep in this configuration, in order. `before` is the configuration that was in force until now. It and what `config` keeps
/// already tell the labels of pools that are gone, so a process that starts has what was recorded as kept in its description first.
pub(crate) fn kept(config: &Config, before: Option<&Config>, live: impl IntoIterator<Item = Live>) -> Vec<KeptAddress> {
    if !is_any(config) {
        return Vec::new();
    }
    let nothing = Config::default();
    let live: Vec<Live> = live.into_iter().collect();
    let live = live.iter().filter_map(|Live { service, labels, pool, addresses }| {
        let addresses = ServiceAddresses::new(addresses).ok()?;
        Some(LiveAddresses { service, labels, pool, addresses })
    });
    kept_by_freezes(before.unwrap_or(&nothing), config, live)
}

/// The configuration of objects in which freezes keep what Services have by their statuses, with the pool that is recorded there or, where none is,
/// the one in `pools`. `before` and what `raw` keeps already tell the labels of pools that are gone; `config` is built of `raw`.
pub(crate) fn effective(
    config: &Arc<Config>,
    raw: &RawConfig,
    services: &[ServiceObject],
    pools: &BTreeMap<ServiceKey, PoolName>,
    before: Option<&Config>,
    settings: &Settings,
) -> Arc<Config> {
    let live = services.iter().filter_map(|service| {
        let recorded = service.annotations.get(POOL).or_else(|| service.annotations.get(POOL_BEFORE));
        let recorded = recorded.and_then(|pool| PoolName::new(pool.as_str()).ok());
        let pool = recorded.or_else(|| pools.get(&service.key).cloned())?;
        let addresses = service.recorded.iter().filter_map(|text| parse_address(text)).collect();
        Some(Live { service: service.key.clone(), labels: (*service.labels).clone(), pool, addresses })
    });
    let kept = kept(config, before, live);
    if kept == raw.kept {
        return Arc::clone(config);
    }
    let outcome = Config::build(&RawConfig { kept, ..raw.clone() }, settings);
    outcome.config.unwrap_or_else(|| Arc::clone(config))
}

#[cfg(test)]
mod tests {
    use lbcore::config::{BuildOutcome, Settings};

    use super::*;
    use crate::convert;
    use crate::manifest::Manifests;

    fn config(pool: &str, policy: &str, kept: &[KeptAddress]) -> Config {
        let text = format!(
            "{pool}---\napiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {{name: rules}}\nspec: {policy}\n"
        );
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let mut raw = convert::objects(&manifests.documents, "metallb-system").config;
        raw.kept = kept.to_vec();
        let BuildOutcome { config, problems } = Config::build(&raw, &Settings::default());
        (*config.unwrap_or_else(|| panic!("{problems:?}"))).clone()
    }

    fn pool(addresses: &str, more: &str) -> String {
        format!(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: public, labels: {{zone: east}}}}\nspec: {{addresses: \
             [{addresses}]{more}}}\n"
        )
    }

    fn live(addresses: &[&str]) -> Vec<Live> {
        vec![Live {
            service: "shop/web".parse().unwrap(),
            labels: Labels::new(),
            pool: "public".parse().unwrap(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }]
    }

    fn addresses(kept: &[KeptAddress]) -> Vec<String> {
        kept.iter().map(|kept| kept.address.to_string()).collect()
    }

    #[test]
    fn what_a_pool_lost_is_kept_until_it_is_confirmed() {
        let web = || live(&["192.0.2.7", "2001:db8::7"]);
        let of = |pool: &str, policy: &str| addresses(&kept(&config(pool, policy, &[]), None, web()));
        let both = ["192.0.2.7", "2001:db8::7"];
        let whole = pool("192.0.2.0/24, 2001:db8::/64", "");
        assert_eq!(of(&whole, "{freeze: {}}"), [""; 0]);
        let half = pool("192.0.2.0/24", "");
        assert_eq!(of(&half, "{freeze: {}}"), both, "a pair stays a pair");
        assert_eq!(of(&half, "{freeze: {confirmed: ['2001:db8::/64']}}"), [""; 0]);
        assert_eq!(of(&half, "{}"), [""; 0]);
        assert_eq!(of(&half, "{ipAddressPools: [other], freeze: {}}"), [""; 0]);
        let restricted = pool("192.0.2.0/24, 2001:db8::/64", ", serviceAllocation: {namespaces: [bank]}");
        assert_eq!(of(&restricted, "{freeze: {}}"), both);
        assert_eq!(of(&whole, "{exclusions: [192.0.2.7], freeze: {}}"), both);
    }

    #[test]
    fn a_pool_that_is_gone_is_known_by_the_labels_that_it_had() {
        let by_label = "{ipAddressPoolSelectors: [{matchLabels: {zone: east}}], freeze: {}}";
        let before = config(&pool("192.0.2.0/24", ""), by_label, &[]);
        let other = pool("198.51.100.0/24", "").replace("public", "other").replace("east", "west");
        let after = config(&other, by_label, &[]);
        let first = kept(&after, Some(&before), live(&["192.0.2.7"]));
        assert_eq!(addresses(&first), ["192.0.2.7"]);
        // A process that has just started knows the labels from what was recorded.
        assert_eq!(kept(&after, None, live(&["192.0.2.7"])), []);
        let effective = config(&other, by_label, &first);
        assert_eq!(kept(&effective, None, live(&["192.0.2.7"])), first);
        assert!(effective.pools().get(&first[0].pool).is_some_and(|pool| pool.pool.contains(first[0].address)));
        assert_eq!(kept(&effective, Some(&before), live(&["192.0.2.7"])), first, "it settles");
    }
}
