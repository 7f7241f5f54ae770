//! Policies one by one: what is given, what is refused and how that is told.

use core::time::Duration;
use std::collections::BTreeSet;

use super::*;
use crate::allocator::{HoldReason, NoAddress};
use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::policy::{AddressReservation, Audience, Beneficiaries, PoolPolicy, Quota, QuotaScope, ReleaseNow};
use crate::pool::{AutoAssign, ServiceAllocation};
use crate::range::AddressRange;
use crate::request::ServiceRequest;
use crate::service::ServiceKey;

const V4: ServiceFamilies = ServiceFamilies::Single(IpFamily::V4);
const DUAL: ServiceFamilies = ServiceFamilies::Dual { primary: IpFamily::V4 };

fn pool(name: &str, ranges: &[&str]) -> Pool {
    Pool::new(name.parse().unwrap(), ranges.iter().map(|text| text.parse().unwrap()).collect())
}

fn reservation(name: &str, addresses: &[&str], services: &[&str]) -> Arc<AddressReservation> {
    Arc::new(AddressReservation {
        name: name.into(),
        addresses: addresses.iter().map(|text| AddressRange::parse_lenient(text).unwrap()).collect(),
        host_parts: vec![],
        pool: None,
        beneficiaries: Beneficiaries {
            services: services.iter().map(|text| text.parse().unwrap()).collect(),
            audience: None,
        },
    })
}

fn reserving(reservations: Vec<Arc<AddressReservation>>) -> Arc<Policies> {
    Arc::new(Policies { reservations, ..Policies::default() })
}

fn under(policy: PoolPolicy) -> Arc<Policies> {
    Arc::new(Policies { pool_policies: vec![Arc::new(policy)], ..Policies::default() })
}

fn waiting(retention: u64, cooldown: u64) -> PoolPolicy {
    PoolPolicy {
        name: "waits".into(),
        retention: Some(Duration::from_secs(retention)),
        reuse_cooldown: Some(Duration::from_secs(cooldown)),
        ..PoolPolicy::default()
    }
}

fn start(pools: Vec<Pool>, policies: &Arc<Policies>) -> Allocator {
    let mut allocator = Allocator::default();
    allocator.expire(UnixTime::from_secs(1_000));
    allocator.replace(pools, Arc::clone(policies)).unwrap();
    allocator
}

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

/// The addresses given, or the category of the refusal.
fn ask(allocator: &mut Allocator, service: &str, request: &ServiceRequest) -> String {
    match allocator.allocate_by_key(&key(service), request) {
        Ok(grant) => grant.addresses.to_string(),
        Err(reason) => reason.category().to_owned(),
    }
}

fn ask_any(allocator: &mut Allocator, service: &str) -> String {
    ask(allocator, service, &ServiceRequest::new(V4))
}

fn for_one(address: &str) -> ServiceRequest {
    let addresses = Some(crate::addresses::ServiceAddresses::one(address.parse().unwrap()));
    ServiceRequest { addresses, ..ServiceRequest::new(V4) }
}

fn ask_for(allocator: &mut Allocator, service: &str, address: &str) -> Result<String, NoAddress> {
    let request = for_one(address);
    let service = key(service);
    allocator.allocate_by_key(&service, &request).map(|grant| grant.addresses.to_string())
}

#[test]
fn a_reserved_address_comes_first_for_its_service_and_never_for_another() {
    let policies = reserving(vec![reservation("web", &["192.0.2.2"], &["shop/web"])]);
    let manual = Pool { auto_assign: AutoAssign::Disabled, ..pool("z", &["192.0.2.0/30"]) };
    let mut allocator = start(vec![pool("a", &["198.51.100.0/30"]), manual], &policies);
    assert_eq!(ask_any(&mut allocator, "shop/other"), "198.51.100.0");
    assert_eq!(ask_any(&mut allocator, "shop/web"), "192.0.2.2");
    allocator.release_by_key(&key("shop/web"));
    let refusal = ask_for(&mut allocator, "shop/other", "192.0.2.2").unwrap_err();
    assert_eq!(refusal.category(), "reserved");
    assert!(refusal.to_string().contains("AddressReservation web"), "{refusal}");
    assert_eq!(ask_for(&mut allocator, "shop/web", "192.0.2.2").unwrap(), "192.0.2.2");
}

// [ALLOC-20]: the order of what is left stays, and a Service whose reservation is used up is one like others.
#[test]
fn around_reserved_addresses_the_order_stays() {
    let policies = reserving(vec![reservation("web", &["192.0.2.1"], &["shop/a", "shop/b"])]);
    let mut allocator = start(vec![pool("p", &["192.0.2.0/30"])], &policies);
    let given: Vec<String> =
        ["shop/a", "shop/b", "shop/c", "shop/d"].iter().map(|service| ask_any(&mut allocator, service)).collect();
    assert_eq!(given, ["192.0.2.1", "192.0.2.0", "192.0.2.2", "192.0.2.3"]);
    assert_eq!(ask_any(&mut allocator, "shop/e"), "pool-exhausted");
}

#[test]
fn a_live_address_stays_when_it_comes_to_be_reserved_for_somebody_else() {
    let mut allocator = start(vec![pool("p", &["192.0.2.0/30"])], &Arc::default());
    assert_eq!(ask_any(&mut allocator, "shop/old"), "192.0.2.0");
    let policies = reserving(vec![reservation("web", &["192.0.2.0"], &["shop/web"])]);
    allocator.replace(vec![pool("p", &["192.0.2.0/30"])], policies).unwrap();
    let id = allocator.find(&key("shop/old")).unwrap();
    let terms = ServiceTerms::default();
    let against = allocator.held_against_reservations(id, &terms);
    assert_eq!(
        against.iter().map(|(address, by)| format!("{address} {}", by.name)).collect::<Vec<_>>(),
        ["192.0.2.0 web"]
    );
    let recorded = ["192.0.2.0".parse().unwrap()];
    assert!(allocator.assign(id, &terms, &recorded).is_ok());
    assert_eq!(ask_any(&mut allocator, "shop/web"), "192.0.2.1");
    allocator.release(id);
    allocator.release_by_key(&key("shop/web"));
    assert_eq!(ask_any(&mut allocator, "shop/old"), "192.0.2.1");
    assert_eq!(ask_any(&mut allocator, "shop/web"), "192.0.2.0");
}

// [ALLOC-35]
#[test]
fn a_reservation_of_one_family_is_completed_from_its_pool() {
    let policies = reserving(vec![reservation("web", &["192.0.2.2"], &["shop/web"])]);
    let pools =
        vec![pool("a", &["198.51.100.0/30", "2001:db8:a::/64"]), pool("b", &["192.0.2.0/30", "2001:db8:b::/64"])];
    let mut allocator = start(pools, &policies);
    let request = ServiceRequest { policy: IpFamilyPolicy::RequireDualStack, ..ServiceRequest::new(DUAL) };
    assert_eq!(ask(&mut allocator, "shop/web", &request), "192.0.2.2, 2001:db8:b::");
}

#[test]
fn a_host_part_pin_follows_the_prefix_of_the_pool() {
    let pin = AddressReservation {
        name: "pin".into(),
        addresses: vec![],
        host_parts: vec!["::80".parse().unwrap()],
        pool: Some("p".parse().unwrap()),
        beneficiaries: Beneficiaries { services: BTreeSet::from([key("shop/web")]), audience: None },
    };
    let policies = reserving(vec![Arc::new(pin)]);
    let mut allocator = start(vec![pool("p", &["2001:db8:1::/64"])], &policies);
    let request = ServiceRequest::new(ServiceFamilies::Single(IpFamily::V6));
    assert_eq!(ask(&mut allocator, "shop/web", &request), "2001:db8:1::80");
    // The provider's prefix changes.
    let replaced = allocator.replace(vec![pool("p", &["2001:db8:2::/64"])], policies).unwrap();
    assert_eq!(replaced.released, [key("shop/web")]);
    assert_eq!(ask(&mut allocator, "shop/web", &request), "2001:db8:2::80");
}

#[test]
fn an_excluded_address_is_no_address_of_the_pool() {
    let exclusions = vec!["192.0.2.0/31".parse().unwrap()];
    let mut allocator = start(vec![Pool { exclusions, ..pool("p", &["192.0.2.0/30"]) }], &Arc::default());
    assert_eq!(allocator.usage(&"p".parse().unwrap()).unwrap().available_ipv4, 2);
    assert_eq!(ask_any(&mut allocator, "shop/a"), "192.0.2.2");
    assert_eq!(ask_for(&mut allocator, "shop/b", "192.0.2.1").unwrap_err().category(), "excluded");
}

#[test]
fn a_deleted_service_gets_its_address_back_and_nobody_else_does() {
    let policies = under(waiting(60, 5));
    let mut allocator = start(vec![pool("p", &["192.0.2.0/30"])], &policies);
    for service in ["shop/a", "shop/b"] {
        ask_any(&mut allocator, service);
    }
    allocator.forget_by_key(&key("shop/b"));
    let hold = allocator.holds().next().unwrap();
    assert_eq!((hold.until, hold.reason), (UnixTime::from_secs(1_060), HoldReason::Retention));
    assert_eq!(ask_any(&mut allocator, "shop/c"), "192.0.2.2");
    let refusal = ask_for(&mut allocator, "shop/d", "192.0.2.1").unwrap_err();
    assert_eq!(refusal.category(), "retained");
    assert!(refusal.to_string().contains("waits for shop/b until 1970-01-01T00:17:40Z"), "{refusal}");
    assert_eq!(allocator.usage(&"p".parse().unwrap()).unwrap().available_ipv4, 1);
    // Released from below it meanwhile, its own is still the first for it.
    allocator.forget_by_key(&key("shop/a"));
    assert_eq!(ask_any(&mut allocator, "shop/b"), "192.0.2.1");
    assert_eq!(allocator.holds().map(|hold| hold.service.to_string()).collect::<Vec<_>>(), ["shop/a"]);
}

#[test]
fn what_has_waited_long_enough_is_free_and_wakes_who_waits() {
    let policies = under(waiting(60, 5));
    let mut allocator = start(vec![pool("p", &["192.0.2.0/32"])], &policies);
    ask_any(&mut allocator, "shop/a");
    allocator.release_by_key(&key("shop/a"));
    assert_eq!(ask_any(&mut allocator, "shop/b"), "pool-exhausted");
    let generation = allocator.freed_generation();
    assert_eq!(allocator.next_expiry(), Some(UnixTime::from_secs(1_005)));
    assert_eq!(allocator.expire(UnixTime::from_secs(1_004)), []);
    assert_eq!(allocator.freed_generation(), generation);
    let ended = allocator.expire(UnixTime::from_secs(1_005));
    assert_eq!(ended.first().map(|hold| hold.reason), Some(HoldReason::Cooldown));
    assert!(allocator.freed_generation() > generation && allocator.next_expiry().is_none());
    assert_eq!(ask_any(&mut allocator, "shop/b"), "192.0.2.0");
}

// [POL-RESERVE], [POL-WAIT]: what is set aside for a Service comes before what waits for it and is for everybody, and that before the lowest.
#[test]
fn what_is_set_aside_comes_before_what_waits() {
    let reservations = vec![reservation("web", &["192.0.2.3"], &["shop/web"])];
    let policies = Policies { reservations, pool_policies: vec![Arc::new(waiting(60, 0))] };
    let mut allocator = start(vec![pool("p", &["192.0.2.0/30"])], &Arc::new(policies));
    assert_eq!(ask_for(&mut allocator, "shop/web", "192.0.2.2").unwrap(), "192.0.2.2");
    allocator.forget_by_key(&key("shop/web"));
    assert_eq!(ask_any(&mut allocator, "shop/web"), "192.0.2.3");
    assert_eq!(ask_for(&mut allocator, "shop/thief", "192.0.2.2").unwrap_err().category(), "retained");
}

#[test]
fn release_now_ends_what_waits_and_lets_nothing_begin() {
    let policies = under(waiting(60, 5));
    let mut allocator = start(vec![pool("p", &["192.0.2.0/30"])], &policies);
    for service in ["shop/a", "shop/b", "shop/c"] {
        ask_any(&mut allocator, service);
        allocator.forget_by_key(&key(service));
    }
    assert_eq!(allocator.holds().count(), 3);
    let addresses = ReleaseNow::Addresses("192.0.2.0/32".parse().unwrap());
    let release_now = vec![addresses, ReleaseNow::Service(key("shop/b"))];
    let policies = under(PoolPolicy { release_now, ..waiting(60, 5) });
    allocator.replace(vec![pool("p", &["192.0.2.0/30"])], policies).unwrap();
    assert_eq!(allocator.holds().map(|hold| hold.service.to_string()).collect::<Vec<_>>(), ["shop/c"]);
    assert_eq!(ask_any(&mut allocator, "shop/b"), "192.0.2.0");
    allocator.forget_by_key(&key("shop/b"));
    assert_eq!(allocator.holds().count(), 1);
}

#[test]
fn holds_are_restored_as_far_as_the_policies_let_them() {
    let policies = under(waiting(60, 5));
    let mut allocator = start(vec![pool("p", &["192.0.2.0/30"])], &policies);
    ask_any(&mut allocator, "shop/a");
    allocator.forget_by_key(&key("shop/a"));
    let holds: Vec<Hold> = allocator.holds().cloned().collect();
    let restored = |pools: Vec<Pool>, policies: &Arc<Policies>, now: u64| {
        let mut allocator = Allocator::default();
        allocator.replace(pools, Arc::clone(policies)).unwrap();
        allocator.restore_holds(UnixTime::from_secs(now), holds.clone());
        allocator.holds().map(|hold| hold.until.as_secs()).collect::<Vec<_>>()
    };
    let pools = || vec![pool("p", &["192.0.2.0/30"])];
    assert_eq!(restored(pools(), &policies, 1_010), [1_060]);
    assert_eq!(restored(pools(), &under(waiting(20, 5)), 1_010), [1_030]);
    assert_eq!(restored(pools(), &policies, 1_060), [0_u64; 0]);
    assert_eq!(restored(pools(), &Arc::default(), 1_010), [0_u64; 0]);
    assert_eq!(restored(vec![pool("p", &["198.51.100.0/30"])], &policies, 1_010), [0_u64; 0]);
}

#[test]
fn a_quota_refuses_what_is_new_and_keeps_what_is_held() {
    let quota =
        |limit| Quota { name: "each".into(), scope: QuotaScope::Namespace, audience: Audience::default(), limit };
    let with = |limit| under(PoolPolicy { name: "public".into(), quotas: vec![quota(limit)], ..PoolPolicy::default() });
    let mut allocator = start(vec![pool("p", &["192.0.2.0/29"])], &with(2));
    for service in ["shop/a", "shop/b", "bank/a"] {
        ask_any(&mut allocator, service);
    }
    let refusal = allocator.allocate_by_key(&key("shop/c"), &ServiceRequest::new(V4)).unwrap_err();
    assert_eq!(refusal.category(), "quota-exceeded");
    let text = refusal.to_string();
    assert!(text.contains("quota each of the PoolPolicy public") && text.contains("shop: 2 of 2"), "{text}");
    assert_eq!(ask_for(&mut allocator, "shop/c", "192.0.2.5").unwrap_err().category(), "quota-exceeded");
    allocator.replace(vec![pool("p", &["192.0.2.0/29"])], with(0)).unwrap();
    let recorded = ["192.0.2.0".parse().unwrap()];
    assert!(allocator.assign_by_key(&key("shop/a"), &ServiceTerms::default(), &recorded).is_ok());
    let figures: Vec<_> =
        allocator.quota_usage().map(|usage| (usage.namespace.unwrap().to_string(), usage.used, usage.limit)).collect();
    assert_eq!(figures, [("bank".to_owned(), 1, 0), ("shop".to_owned(), 2, 0)]);
}

// [ALLOC-30]: a pool whose quota is used up is passed over like a full one.
#[test]
fn a_used_up_quota_sends_on_to_the_next_pool() {
    let quota = Quota { name: "q".into(), scope: QuotaScope::Together, audience: Audience::default(), limit: 1 };
    let pools = crate::policy::PoolSelection { names: BTreeSet::from(["a".parse().unwrap()]), selectors: vec![] };
    let policies = under(PoolPolicy { pools, quotas: vec![quota], ..PoolPolicy::default() });
    let mut allocator = start(vec![pool("a", &["192.0.2.0/29"]), pool("b", &["198.51.100.0/29"])], &policies);
    let given: Vec<String> = ["n/a", "m/b", "n/c"].iter().map(|service| ask_any(&mut allocator, service)).collect();
    assert_eq!(given, ["192.0.2.0", "198.51.100.0", "198.51.100.1"]);
}

// What a freeze keeps: held by who holds it, whatever the pool says of that, and given to nobody.
#[test]
fn a_kept_address_is_recorded_again_and_never_given() {
    let kept = BTreeSet::from(["203.0.113.7".parse().unwrap()]);
    let allocation = Some(ServiceAllocation { namespaces: Some(BTreeSet::new()), ..ServiceAllocation::default() });
    let keeping = Pool { allocation, kept, ..pool("p", &["192.0.2.0/30"]) };
    let mut allocator = start(vec![keeping], &under(waiting(60, 5)));
    let recorded = ["203.0.113.7".parse().unwrap()];
    assert_eq!(ask_for(&mut allocator, "shop/other", "203.0.113.7").unwrap_err().category(), "pool-not-allowed");
    assert!(allocator.assign_by_key(&key("shop/web"), &ServiceTerms::default(), &recorded).is_ok());
    let usage = allocator.usage(&"p".parse().unwrap()).unwrap();
    assert_eq!((usage.assigned_ipv4, usage.available_ipv4), (1, 4));
    allocator.forget_by_key(&key("shop/web"));
    assert_eq!(allocator.holds().count(), 0);
}
