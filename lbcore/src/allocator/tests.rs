//! The published outcomes of sharing and pool choice ([VEC-SHARE], [VEC-POOL]) and the rules of assigning, one by one.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::*;
use crate::family::{IpFamilyPolicy, ServiceFamilies};
use crate::labels::{Labels, Requirement, Selector};
use crate::pool::{BuggyAddresses, PoolRestriction, ServiceAllocation};
use crate::service::SharingKey;
use crate::sharing::{BackendKey, Protocol, ServicePort, SharingConflict};

const V4: ServiceFamilies = ServiceFamilies::Single(IpFamily::V4);
const DUAL: ServiceFamilies = ServiceFamilies::Dual { primary: IpFamily::V4 };

fn pool(name: &str, ranges: &[&str]) -> Pool {
    Pool::new(name.parse().unwrap(), ranges.iter().map(|text| text.parse().unwrap()).collect())
}

fn allocator(pools: impl IntoIterator<Item = Pool>) -> Allocator {
    let mut allocator = Allocator::default();
    allocator.replace_pools(pools).unwrap();
    allocator
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn key(text: &str) -> ServiceKey {
    text.parse().unwrap()
}

fn terms(sharing_key: &str, backend: &str, protocol: Protocol, port: u16) -> ServiceTerms {
    let backend_key = BackendKey::local("ns", &Labels::from([("app".to_owned(), backend.to_owned())]));
    let ports = [ServicePort { protocol, port }].into_iter().collect();
    let sharing = SharingTerms { sharing_key: SharingKey::new(sharing_key).ok(), backend_key, ports };
    ServiceTerms { labels: Arc::default(), sharing }
}

fn given(grant: Result<Grant, NoAddress>) -> String {
    match grant {
        Ok(grant) => grant.addresses.to_string(),
        Err(reason) => reason.category().to_owned(),
    }
}

// [VEC-SHARE]
#[test]
fn the_published_sequence_of_assigns_holds() {
    use Protocol::{Tcp, Udp};
    let mut allocator = allocator([pool("p", &["192.0.2.0/28"])]);
    let x = [address("192.0.2.7")];
    let mut assign = |service: &str, terms: &ServiceTerms| {
        allocator.assign_by_key(&key(service), terms, &x).map(|_| ()).map_err(|reason| {
            let NoAddress::SharingConflict { conflict, .. } = reason else { panic!("{reason}") };
            conflict
        })
    };
    assert_eq!(assign("ns/s4", &terms("sharing", "b", Tcp, 80)), Ok(()));
    assert_eq!(assign("ns/s4", &terms("share", "b", Tcp, 80)), Ok(()));
    let port = ServicePort { protocol: Tcp, port: 80 };
    assert_eq!(assign("ns/s3", &terms("share", "b", Tcp, 80)), Err(SharingConflict::PortTaken { port }));
    let keys = SharingConflict::DifferentKeys { key: "share".parse().unwrap() };
    assert_eq!(assign("ns/s3", &terms("other", "b", Tcp, 443)), Err(keys.clone()));
    assert_eq!(assign("ns/s3", &terms("share", "c", Tcp, 443)), Err(SharingConflict::DifferentBackends));
    assert_eq!(assign("ns/s3", &terms("share", "b", Tcp, 443)), Ok(()));
    assert_eq!(assign("ns/s3", &terms("share", "b", Udp, 53)), Ok(()));
    assert_eq!(assign("ns/s3", &terms("other", "b", Udp, 53)), Err(keys));
    assert_eq!(assign("ns/s3", &terms("share", "c", Udp, 53)), Err(SharingConflict::DifferentBackends));
}

// [VEC-SHARE], [ALLOC-10]
#[test]
fn services_without_a_key_do_not_share() {
    let mut allocator = allocator([pool("p", &["192.0.2.0/28"])]);
    let x = [address("192.0.2.7")];
    allocator.assign_by_key(&key("ns/s2"), &terms("", "b", Protocol::Tcp, 80), &x).unwrap();
    let refused = allocator.assign_by_key(&key("ns/s1"), &terms("", "b", Protocol::Tcp, 443), &x).unwrap_err();
    assert_eq!(refused.category(), "sharing-conflict");
    assert!(refused.to_string().starts_with("192.0.2.7 is in use by ns/s2, which shares it with nobody: "));
}

/// The pools of [VEC-POOL].
fn restricted_pools() -> Vec<Pool> {
    let team = || {
        let values = BTreeSet::from(["metallb".to_owned()]);
        vec![Selector::new([Requirement::In { key: "team".to_owned(), values }])]
    };
    let restricted = |name, range, priority, namespace: Option<&str>, service_selectors| {
        let namespaces = namespace.map(|namespace| BTreeSet::from([namespace.to_owned()]));
        Pool { allocation: Some(ServiceAllocation { priority, namespaces, service_selectors }), ..pool(name, &[range]) }
    };
    vec![
        restricted("a", "7.8.9.0/31", 10, Some("ns1"), vec![]),
        restricted("b", "10.11.12.0/31", 11, Some("ns1"), vec![]),
        restricted("c", "13.14.15.0/31", 9, None, team()),
        restricted("d", "16.17.18.0/31", 0, Some("ns2"), vec![]),
        restricted("e", "19.20.21.0/31", 8, None, team()),
        restricted("f", "22.23.24.0/31", 8, Some("ns1"), team()),
        restricted("g", "25.26.27.0/31", 5, Some("ns1"), team()),
        pool("z", &["1.2.3.0/31"]),
    ]
}

// [VEC-POOL], [ALLOC-30]
#[test]
fn the_published_choice_of_pools_holds() {
    let mut request = ServiceRequest::new(V4);
    let first = |service: &str, request: &ServiceRequest| {
        given(allocator(restricted_pools()).allocate_by_key(&key(service), request))
    };
    assert_eq!(first("ns1/s", &request), "7.8.9.0");
    assert_eq!(first("ns2/s", &request), "16.17.18.0");
    assert_eq!(first("ns3/s", &request), "1.2.3.0");
    request.terms.labels = Arc::new(Labels::from([("team".to_owned(), "metallb".to_owned())]));
    assert_eq!(first("ns3/s", &request), "19.20.21.0");
    assert_eq!(first("ns1/s", &request), "25.26.27.0");
}

// [VEC-POOL], [ALLOC-30]
#[test]
fn exhausted_pinned_pools_fall_back_to_unrestricted_ones() {
    let mut allocator = allocator(restricted_pools());
    let request = ServiceRequest::new(V4);
    let given: Vec<String> =
        (0..7).map(|number| given(allocator.allocate_by_key(&key(&format!("ns1/s{number}")), &request))).collect();
    let expected = ["7.8.9.0", "7.8.9.1", "10.11.12.0", "10.11.12.1", "1.2.3.0", "1.2.3.1", "pool-exhausted"];
    assert_eq!(given, expected);
}

// [VEC-POOL], [API-POOL-3]
#[test]
fn an_address_of_a_pool_of_others_is_refused() {
    let mut allocator = allocator(restricted_pools());
    let refused = allocator.assign_by_key(&key("ns3/s"), &ServiceTerms::default(), &[address("7.8.9.0")]).unwrap_err();
    let expected = NoAddress::PoolNotAllowed { pool: "a".parse().unwrap(), restriction: PoolRestriction::Namespace };
    assert_eq!(refused, expected);
}

// [ALLOC-30], [ALLOC-37]
#[test]
fn priorities_go_negative_positive_zero_and_ties_go_by_name() {
    let pinned = |name: &str, range, priority| Pool {
        allocation: Some(ServiceAllocation { priority, ..ServiceAllocation::default() }),
        ..pool(name, &[range])
    };
    let mut allocator = allocator([
        pinned("zero", "10.0.0.0/32", 0),
        pinned("one-b", "10.0.1.0/32", 1),
        pinned("one-a", "10.0.2.0/32", 1),
        pinned("minus-one", "10.0.3.0/32", -1),
        pinned("minus-two", "10.0.4.0/32", -2),
    ]);
    let given: Vec<String> = (0..5)
        .map(|number| given(allocator.allocate_by_key(&key(&format!("ns/s{number}")), &ServiceRequest::new(V4))))
        .collect();
    assert_eq!(given, ["10.0.4.0", "10.0.3.0", "10.0.2.0", "10.0.1.0", "10.0.0.0"]);
}

// [ALLOC-20], [ALLOC-21]
#[test]
fn ranges_are_searched_as_written_and_the_lowest_usable_address_wins() {
    let mut allocator = allocator([pool("p", &["192.0.2.8/31", "192.0.2.0/31"])]);
    let shared = |port| {
        let mut request = ServiceRequest::new(V4);
        request.terms = terms("k", "b", Protocol::Tcp, port);
        request
    };
    let alone = ServiceRequest::new(V4);
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &alone)), "192.0.2.8");
    assert_eq!(given(allocator.allocate_by_key(&key("ns/b"), &shared(80))), "192.0.2.9");
    // A free lower address wins over a shareable higher one, and the other way round.
    allocator.release_by_key(&key("ns/a"));
    assert_eq!(given(allocator.allocate_by_key(&key("ns/c"), &shared(443))), "192.0.2.8");
    assert_eq!(given(allocator.allocate_by_key(&key("ns/d"), &shared(80))), "192.0.2.8");
    assert_eq!(given(allocator.allocate_by_key(&key("ns/e"), &shared(80))), "192.0.2.0");
    assert_eq!(given(allocator.allocate_by_key(&key("ns/f"), &shared(443))), "192.0.2.9");
}

// [ALLOC-32], [ALLOC-36]
#[test]
fn preferring_two_addresses_takes_a_pinned_single_one_first() {
    let pinned = Pool { allocation: Some(ServiceAllocation::default()), ..pool("a", &["2001:db8::/127"]) };
    let mut allocator = allocator([pinned, pool("b", &["192.0.2.0/31", "2001:db8:1::/127"])]);
    let mut request = ServiceRequest::new(DUAL);
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &request)), "192.0.2.0, 2001:db8:1::");
    request.policy = IpFamilyPolicy::PreferDualStack;
    assert_eq!(given(allocator.allocate_by_key(&key("ns/b"), &request)), "2001:db8::");
}

// [ALLOC-12], [ANNOT-12]
#[test]
fn two_addresses_must_be_of_one_pool() {
    let mut allocator = allocator([pool("a", &["192.0.2.0/31"]), pool("b", &["2001:db8::/127"])]);
    let both = [address("192.0.2.0"), address("2001:db8::")];
    let refused = allocator.assign_by_key(&key("ns/a"), &ServiceTerms::default(), &both).unwrap_err();
    assert_eq!(refused.category(), "not-in-pool");
    assert!(allocator.allocation_by_key(&key("ns/a")).is_none());
}

// [ALLOC-15]
#[test]
fn repeating_an_assign_changes_nothing() {
    let mut allocator = allocator([pool("p", &["192.0.2.0/28"])]);
    let held = terms("k", "b", Protocol::Tcp, 80);
    let x = [address("192.0.2.7")];
    assert_eq!(allocator.assign_by_key(&key("ns/a"), &held, &x).unwrap().change, Change::Changed);
    let generation = allocator.freed_generation();
    assert_eq!(allocator.assign_by_key(&key("ns/a"), &held, &x).unwrap().change, Change::Unchanged);
    assert_eq!(allocator.freed_generation(), generation);
}

// [CTRL-27]
#[test]
fn giving_up_a_port_of_a_shared_address_is_noticed() {
    let mut allocator = allocator([pool("p", &["192.0.2.0/28"])]);
    let x = [address("192.0.2.7")];
    allocator.assign_by_key(&key("ns/a"), &terms("k", "b", Protocol::Tcp, 80), &x).unwrap();
    let generation = allocator.freed_generation();
    allocator.assign_by_key(&key("ns/a"), &terms("k", "b", Protocol::Tcp, 81), &x).unwrap();
    assert!(allocator.freed_generation() > generation);
    assert_eq!(given(allocator.assign_by_key(&key("ns/b"), &terms("k", "b", Protocol::Tcp, 80), &x)), "192.0.2.7");
}

// [ADDR-8], [ALLOC-12]
#[test]
fn avoided_addresses_are_not_in_the_pool() {
    let avoiding = Pool { buggy_addresses: BuggyAddresses::Avoided, ..pool("p", &["192.0.2.254-192.0.3.1"]) };
    let mut allocator = allocator([avoiding]);
    let request = ServiceRequest::new(V4);
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &request)), "192.0.2.254");
    assert_eq!(given(allocator.allocate_by_key(&key("ns/b"), &request)), "192.0.3.1");
    assert_eq!(given(allocator.allocate_by_key(&key("ns/c"), &request)), "pool-exhausted");
    allocator.release_by_key(&key("ns/a"));
    assert_eq!(given(allocator.allocate_by_key(&key("ns/c"), &request)), "192.0.2.254");
    let refused = allocator.assign_by_key(&key("ns/a"), &ServiceTerms::default(), &[address("192.0.2.255")]);
    assert!(matches!(refused, Err(NoAddress::Avoided { .. })));
}

// [ALLOC-39]
#[test]
fn new_pools_keep_move_or_release_what_is_held() {
    let mut allocator = allocator([pool("a", &["192.0.2.0/30", "2001:db8::/127"])]);
    let free = ServiceTerms::default();
    allocator.assign_by_key(&key("ns/kept"), &free, &[address("192.0.2.0")]).unwrap();
    allocator.assign_by_key(&key("ns/moved"), &free, &[address("192.0.2.3")]).unwrap();
    allocator.assign_by_key(&key("ns/torn"), &free, &[address("192.0.2.2"), address("2001:db8::")]).unwrap();
    let pools = [pool("a", &["192.0.2.0/31", "2001:db8::/127"]), pool("b", &["192.0.2.2/31"])];
    let replaced = allocator.replace_pools(pools).unwrap();
    assert_eq!(replaced.released, [key("ns/torn")]);
    assert_eq!(replaced.moved, [(key("ns/moved"), "b".parse().unwrap())]);
    let usage = allocator.usage(&"a".parse().unwrap()).unwrap();
    assert_eq!((usage.assigned_ipv4, usage.available_ipv4, usage.available_ipv6), (1, 1, 2));
    assert_eq!(given(allocator.allocate_by_key(&key("ns/new"), &ServiceRequest::new(V4))), "192.0.2.1");
}

// [ADDR-11], [ADDR-12]
#[test]
fn pools_that_overlap_or_repeat_a_name_are_refused_and_change_nothing() {
    let mut allocator = allocator([pool("a", &["192.0.2.0/24"])]);
    let overlapping = allocator.replace_pools([pool("b", &["10.0.0.0/8"]), pool("c", &["10.255.0.0/16"])]).unwrap_err();
    let expected =
        "10.0.0.0/8 of pool b and 10.255.0.0/16 of pool c overlap: remove the common addresses from one of them";
    assert_eq!(overlapping.to_string(), expected);
    assert!(allocator.replace_pools([pool("a", &["192.0.2.0/24"]), pool("a", &["192.0.2.0/24"])]).is_err());
    assert_eq!(allocator.pools().map(|pool| pool.name.as_str()).collect::<Vec<_>>(), ["a"]);
}

#[test]
fn reserved_addresses_are_not_handed_out_until_they_are_let_go() {
    let mut allocator = allocator([pool("p", &["192.0.2.0/31"])]);
    let request = ServiceRequest::new(V4);
    assert_eq!(allocator.reserve(address("192.0.2.0"), "node-b"), Reserved::Free);
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &request)), "192.0.2.1");
    let refused = allocator.assign_by_key(&key("ns/b"), &request.terms, &[address("192.0.2.0")]).unwrap_err();
    assert_eq!(refused.to_string(), "192.0.2.0 is held by node-b: request another address, or release it there");
    assert_eq!(allocator.usage(&"p".parse().unwrap()).unwrap().available_ipv4, 0);
    assert_eq!(allocator.reserve(address("192.0.2.1"), "node-b"), Reserved::InUseBy(vec![key("ns/a")]));
    allocator.release_by_key(&key("ns/a"));
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &request)), "pool-exhausted");
    let generation = allocator.freed_generation();
    assert!(allocator.unreserve(address("192.0.2.1")) && !allocator.unreserve(address("192.0.2.9")));
    assert!(allocator.freed_generation() > generation);
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &request)), "192.0.2.1");
}

#[test]
fn a_refused_search_leaves_a_service_on_an_address_reserved_meanwhile() {
    let mut allocator = allocator([pool("p", &["192.0.2.0/31"])]);
    let id = allocator.intern(&key("ns/a"));
    allocator.assign(id, &ServiceTerms::default(), &[address("192.0.2.1")]).unwrap();
    allocator.reserve(address("192.0.2.1"), "node-b");
    assert!(allocator.allocate(id, &ServiceRequest::new(DUAL)).is_err());
    assert_eq!(allocator.users_of(address("192.0.2.1")), [key("ns/a")]);
    let usage = allocator.usage(&"p".parse().unwrap()).unwrap();
    assert_eq!((usage.assigned_ipv4, usage.available_ipv4), (1, 1));
}

// [ALLOC-51]
#[test]
fn numbers_of_forgotten_services_are_used_again_and_old_ids_are_stale() {
    let mut allocator = allocator([pool("p", &["192.0.2.0/28"])]);
    let old = allocator.intern(&key("ns/old"));
    allocator.allocate(old, &ServiceRequest::new(V4)).unwrap();
    assert_eq!(allocator.forget(old).map(|addresses| addresses.to_string()).as_deref(), Some("192.0.2.0"));
    let new = allocator.intern(&key("ns/new"));
    assert_eq!(allocator.service_count(), 1);
    assert_eq!(allocator.allocate(old, &ServiceRequest::new(V4)), Err(NoAddress::Forgotten));
    assert!(allocator.key(old).is_none() && allocator.forget(old).is_none());
    assert_eq!(allocator.key(new), Some(&key("ns/new")));
}

// [ALLOC-33]
#[test]
fn a_second_family_comes_from_the_same_pool_or_not_at_all() {
    let mut allocator = allocator([pool("a", &["192.0.2.0/31"]), pool("b", &["198.51.100.0/31", "2001:db8::/128"])]);
    let terms = ServiceTerms::default();
    let (first, second) = (allocator.intern(&key("ns/a")), allocator.intern(&key("ns/b")));
    assert_eq!(allocator.add_family(first, &terms), Err(NoAddress::NothingToAddTo));
    allocator.assign(first, &terms, &[address("192.0.2.1")]).unwrap();
    assert_eq!(allocator.add_family(first, &terms).unwrap_err().category(), "family-unavailable");
    allocator.assign(second, &terms, &[address("198.51.100.1")]).unwrap();
    assert_eq!(given(allocator.add_family(second, &terms)), "198.51.100.1, 2001:db8::");
    assert_eq!(allocator.add_family(second, &terms), Err(NoAddress::NothingToAddTo));
}

#[test]
fn allocating_anew_gives_up_what_is_held_only_for_something_else() {
    let mut allocator = allocator([pool("p", &["192.0.2.0/31"])]);
    let id = allocator.intern(&key("ns/a"));
    allocator.assign(id, &ServiceTerms::default(), &[address("192.0.2.1")]).unwrap();
    let mut request = ServiceRequest::new(ServiceFamilies::Single(IpFamily::V6));
    assert!(allocator.allocate(id, &request).is_err());
    assert_eq!(allocator.users_of(address("192.0.2.1")), [key("ns/a")]);
    request.families = V4;
    assert_eq!(given(allocator.allocate(id, &request)), "192.0.2.0");
    assert!(allocator.users_of(address("192.0.2.1")).is_empty());
}

// [API-POOL-6]
#[test]
fn an_empty_set_of_namespaces_admits_nobody() {
    let allocation = ServiceAllocation { namespaces: Some(BTreeSet::new()), ..ServiceAllocation::default() };
    let mut allocator = allocator([Pool { allocation: Some(allocation), ..pool("p", &["192.0.2.0/31"]) }]);
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &ServiceRequest::new(V4))), "no-eligible-pool");
    let mut named = ServiceRequest::new(V4);
    named.pool = Some("p".parse().unwrap());
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &named)), "pool-not-allowed");
}

#[test]
fn the_whole_of_ipv6_and_of_ipv4_are_pools_like_others() {
    let avoiding = Pool { buggy_addresses: BuggyAddresses::Avoided, ..pool("all", &["::/0", "0.0.0.0/0"]) };
    let mut allocator = allocator([avoiding]);
    assert_eq!(given(allocator.allocate_by_key(&key("ns/a"), &ServiceRequest::new(DUAL))), "0.0.0.1, ::");
    let last = [address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), address("255.255.255.254")];
    assert!(allocator.assign_by_key(&key("ns/b"), &ServiceTerms::default(), &last).is_ok());
    let usage = allocator.usage(&"all".parse().unwrap()).unwrap();
    assert_eq!((usage.assigned_ipv6, usage.available_ipv6), (2, i64::MAX - 2));
    assert_eq!((usage.assigned_ipv4, usage.available_ipv4), (2, (1 << 32) - (1 << 25) - 2));
}
