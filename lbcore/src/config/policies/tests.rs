//! Tests of reading policies, and of what they put into pools.

use core::time::Duration;

use crate::config::problem::{Category, ObjectRef, Origin, Severity};
use crate::config::raw::{
    Raw, RawAddressReservation, RawConfig, RawFreeze, RawPool, RawPoolPolicy, RawQuota, RawSelector,
};
use crate::config::salvage::salvage;
use crate::config::{BuildOutcome, Config, Settings};
use crate::labels::Labels;
use crate::policy::{KeptAddress, QuotaScope, ReleaseNow, Specificity};

fn raw<T>(kind: &str, name: &str, spec: T) -> Raw<T> {
    let object = ObjectRef { kind: kind.into(), namespace: None, name: name.into(), origin: Origin(0) };
    Raw { object, labels: Labels::new(), spec }
}

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn with_pools(pools: &[(&str, &[&str])]) -> RawConfig {
    let pool = |(name, ranges): &(&str, &[&str])| {
        raw("IPAddressPool", name, RawPool { addresses: texts(ranges), ..RawPool::default() })
    };
    RawConfig { pools: pools.iter().map(pool).collect(), ..RawConfig::default() }
}

fn policy(name: &str, spec: RawPoolPolicy) -> Raw<RawPoolPolicy> {
    raw("PoolPolicy", name, spec)
}

fn reservation(name: &str, spec: RawAddressReservation) -> Raw<RawAddressReservation> {
    raw("AddressReservation", name, spec)
}

fn build(description: &RawConfig) -> BuildOutcome {
    Config::build(description, &Settings::default())
}

/// Severity, category and field of each problem.
fn found(outcome: &BuildOutcome) -> Vec<(Severity, Category, &str)> {
    outcome.problems.iter().map(|problem| (problem.severity, problem.category, problem.field.as_str())).collect()
}

fn good_reservation() -> RawAddressReservation {
    RawAddressReservation { addresses: texts(&["192.0.2.80"]), services: texts(&["shop/web"]), ..Default::default() }
}

#[test]
fn every_fault_of_a_reservation_is_found_with_its_field() {
    use Category::{
        DuplicateEntry, InvalidAddressRange, InvalidHostPart, InvalidServiceName, MissingField, NoEffect, NoSuchPool,
    };
    use Severity::{Error, Warning};
    let of = |spec: RawAddressReservation| {
        let mut description = with_pools(&[("p", &["192.0.2.0/24"])]);
        description.address_reservations.push(reservation("r", spec));
        let outcome = build(&description);
        found(&outcome).into_iter().map(|(severity, category, field)| (severity, category, field.to_owned())).collect()
    };
    let one = |severity, category, field: &str| vec![(severity, category, field.to_owned())];
    let good = good_reservation;
    let nothing: Vec<(Severity, Category, String)> = of(good());
    assert_eq!(nothing, []);
    assert_eq!(of(RawAddressReservation { addresses: vec![], ..good() }), one(Error, MissingField, "spec.addresses"));
    assert_eq!(of(RawAddressReservation { services: vec![], ..good() }), one(Error, MissingField, "spec.services"));
    let addresses = texts(&["192.0.2.1", "192.0.2.9-192.0.2.1"]);
    assert_eq!(of(RawAddressReservation { addresses, ..good() }), one(Error, InvalidAddressRange, "spec.addresses[1]"));
    let host_parts = texts(&["80"]);
    let pool = Some("p".to_owned());
    let spec = RawAddressReservation { host_parts, pool: pool.clone(), ..good() };
    assert_eq!(of(spec), one(Error, InvalidHostPart, "spec.hostParts[0]"));
    let spec = RawAddressReservation { host_parts: texts(&["0.0.0.80"]), ..good() };
    assert_eq!(of(spec), one(Error, MissingField, "spec.pool"));
    for odd in ["web", "shop/", "/web", "a/b/c"] {
        let spec = RawAddressReservation { services: texts(&[odd]), ..good() };
        assert_eq!(of(spec), one(Error, InvalidServiceName, "spec.services[0]"), "{odd}");
    }
    let spec = RawAddressReservation { services: texts(&["shop/web", "shop/web"]), ..good() };
    assert_eq!(of(spec), one(Error, DuplicateEntry, "spec.services[1]"));
    let spec = RawAddressReservation { pool: Some("q".to_owned()), ..good() };
    assert_eq!(of(spec), one(Warning, NoSuchPool, "spec.pool"));
    let spec = RawAddressReservation { addresses: texts(&["198.51.100.1"]), ..good() };
    assert_eq!(of(spec), one(Warning, NoEffect, "spec.addresses[0]"));
    let spec = RawAddressReservation { host_parts: texts(&["0.0.1.0"]), pool, ..good() };
    assert_eq!(of(spec), one(Warning, NoEffect, "spec.hostParts[0]"));
}

// [API-POOL-6]: as with pools, a selector that matches no namespace means nobody, not everybody.
#[test]
fn namespaces_and_their_selectors_unite_and_may_mean_nobody() {
    let mut description = with_pools(&[("p", &["192.0.2.0/24"])]);
    let team =
        |name: &str| RawSelector { match_labels: [("team".to_owned(), name.to_owned())].into(), ..Default::default() };
    let spec = |namespaces: &[&str], team_name| RawAddressReservation {
        services: vec![],
        namespaces: texts(namespaces),
        namespace_selectors: vec![team(team_name)],
        ..good_reservation()
    };
    description.namespaces.insert("shop".to_owned(), [("team".to_owned(), "x".to_owned())].into());
    description.address_reservations.push(reservation("a", spec(&["bank"], "x")));
    description.address_reservations.push(reservation("b", spec(&[], "none")));
    let config = build(&description).config.unwrap();
    let means = |place: usize, key: &str| {
        let reservation = &config.policies().reservations[place];
        reservation.beneficiaries.specificity(&key.parse().unwrap(), &Labels::new())
    };
    assert_eq!(means(0, "shop/web"), Some(Specificity::Namespace));
    assert_eq!(means(0, "bank/web"), Some(Specificity::Namespace));
    assert_eq!(means(0, "other/web"), None);
    assert_eq!(means(1, "shop/web"), None);
}

#[test]
fn every_fault_of_a_policy_is_found_with_its_field() {
    use Category::{
        DuplicateEntry, InvalidAddressRange, InvalidServiceName, MissingField, NoEffect, NoSuchPool, Schema,
    };
    use Severity::{Error, Warning};
    let mut description = with_pools(&[("p", &["192.0.2.0/24"])]);
    let quota = |name: Option<&str>, scope: Option<&str>, limit| RawQuota {
        name: name.map(ToOwned::to_owned),
        scope: scope.map(ToOwned::to_owned),
        limit,
        ..RawQuota::default()
    };
    description.pool_policies.push(policy(
        "a",
        RawPoolPolicy {
            ip_address_pools: texts(&["p", "q"]),
            exclusions: texts(&["198.51.100.0/24", "nonsense"]),
            release_now: texts(&["shop/web", "192.0.2.64/26", "nonsense"]),
            quotas: vec![
                quota(None, None, None),
                quota(Some("x"), Some("Everybody"), Some(1)),
                quota(Some("x"), None, Some(-1)),
            ],
            freeze: Some(RawFreeze { confirmed: texts(&["x"]) }),
            ..RawPoolPolicy::default()
        },
    ));
    let expected = [
        (Warning, NoSuchPool, "spec.ipAddressPools[1]"),
        (Error, InvalidAddressRange, "spec.exclusions[1]"),
        (Warning, NoEffect, "spec.exclusions[0]"),
        (Error, InvalidServiceName, "spec.releaseNow[2]"),
        (Error, InvalidAddressRange, "spec.freeze.confirmed[0]"),
        (Error, MissingField, "spec.quotas[0].limit"),
        (Error, Schema, "spec.quotas[1].scope"),
        (Error, DuplicateEntry, "spec.quotas[2].name"),
        (Error, Schema, "spec.quotas[2].limit"),
    ];
    assert_eq!(found(&build(&description)), expected);
}

#[test]
fn a_policy_without_fault_is_read_as_written() {
    let mut description = with_pools(&[("p", &["192.0.2.0/24"])]);
    let quotas = vec![
        RawQuota { limit: Some(5), ..RawQuota::default() },
        RawQuota { scope: Some("Together".to_owned()), limit: Some(0), ..RawQuota::default() },
    ];
    let spec = RawPoolPolicy {
        retention: Some(Duration::from_secs(60)),
        reuse_cooldown: Some(Duration::ZERO),
        release_now: texts(&["shop/web", "192.0.2.7"]),
        quotas,
        freeze: Some(RawFreeze::default()),
        ..RawPoolPolicy::default()
    };
    description.pool_policies.push(policy("a", spec));
    let config = build(&description).config.unwrap();
    let [policy] = config.policies().pool_policies.as_slice() else { panic!("one policy") };
    assert_eq!((policy.retention, policy.reuse_cooldown), (Some(Duration::from_secs(60)), None));
    let addresses = ReleaseNow::Addresses("192.0.2.7/32".parse().unwrap());
    assert_eq!(policy.release_now, [addresses, ReleaseNow::Service("shop/web".parse().unwrap())]);
    let quotas: Vec<_> = policy.quotas.iter().map(|quota| (&*quota.name, quota.scope, quota.limit)).collect();
    assert_eq!(quotas, [("0", QuotaScope::Namespace, 5), ("1", QuotaScope::Together, 0)]);
    assert!(config.policies().freeze_of(&"p".parse().unwrap(), &Labels::new()).is_some());
}

#[test]
fn exclusions_unite_and_a_field_set_twice_is_refused() {
    let mut description = with_pools(&[("p", &["192.0.2.0/24"]), ("q", &["198.51.100.0/24"])]);
    let retention = |pools: &[&str], exclusion: &str| RawPoolPolicy {
        ip_address_pools: texts(pools),
        exclusions: texts(&[exclusion]),
        retention: Some(Duration::from_secs(60)),
        ..RawPoolPolicy::default()
    };
    description.pool_policies.push(policy("b", retention(&["p"], "192.0.2.1")));
    description.pool_policies.push(policy("a", retention(&["p"], "192.0.2.9")));
    description.pool_policies.push(policy("c", retention(&["q"], "198.51.100.7")));
    let outcome = build(&description);
    assert_eq!(found(&outcome), [(Severity::Error, Category::PolicyConflict, "spec.retention")]);
    assert_eq!(outcome.problems[0].object.as_ref().unwrap().name.as_ref(), "b");
    // The one that is refused is left out, and nothing else.
    let salvaged = salvage(&description, &[], &RawConfig::default(), &Settings::default());
    assert_eq!(salvaged.left_out.iter().map(|object| object.name.as_ref()).collect::<Vec<_>>(), ["b"]);
    assert_eq!(salvaged.config.policies().pool_policies.len(), 2);
    description.pool_policies[0].spec.retention = None;
    let config = build(&description).config.unwrap();
    let pool = &config.pools()[&"p".parse().unwrap()].pool;
    assert_eq!(pool.exclusions, ["192.0.2.1/32".parse().unwrap(), "192.0.2.9/32".parse().unwrap()]);
    assert!(!pool.contains("192.0.2.1".parse().unwrap()) && pool.contains("192.0.2.2".parse().unwrap()));
}

#[test]
fn what_is_kept_is_in_its_pool_and_in_no_other() {
    let mut description = with_pools(&[("p", &["192.0.2.0/24"])]);
    let kept = |address: &str, pool: &str| KeptAddress {
        address: address.parse().unwrap(),
        pool: pool.parse().unwrap(),
        service: "shop/web".parse().unwrap(),
        pool_labels: Labels::new(),
    };
    description.kept = vec![kept("192.0.2.7", "gone"), kept("198.51.100.7", "p")];
    let config = build(&description).config.unwrap();
    let contains =
        |pool: &str, address: &str| config.pools()[&pool.parse().unwrap()].pool.contains(address.parse().unwrap());
    assert!(contains("gone", "192.0.2.7") && !contains("p", "192.0.2.7") && contains("p", "198.51.100.7"));
    let extents: Vec<String> =
        config.pools()[&"p".parse().unwrap()].pool.extents().map(|range| range.to_string()).collect();
    assert_eq!(extents, ["192.0.2.0/24", "198.51.100.7/32"]);
}
