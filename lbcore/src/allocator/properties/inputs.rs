//! Random pools, policies, requests and operations, small enough that most operations touch what others did.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use crate::addresses::ServiceAddresses;
use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::labels::{Labels, Requirement, Selector};
use crate::policy::{
    AddressReservation, Audience, Beneficiaries, Policies, PoolPolicy, PoolSelection, Quota, QuotaScope, ReleaseNow,
};
use crate::pool::{AutoAssign, BuggyAddresses, Pool, ServiceAllocation};
use crate::range::{AddressRange, address_to_number, number_to_address};
use crate::request::{ServiceRequest, ServiceTerms};
use crate::sharing::{BackendKey, Protocol, ServicePort, SharingTerms};

/// First addresses of windows of four, from which ranges are cut; several cross a .255 to .0 border.
pub(super) const WINDOWS: [&str; 8] = [
    "192.0.2.250",
    "192.0.2.254",
    "192.0.3.2",
    "10.0.0.0",
    "10.255.255.254",
    "2001:db8::",
    "2001:db8::4",
    "2001:db8::ffff",
];
pub(super) const WINDOW_LENGTH: u128 = 4;
pub(super) const POOLS: [&str; 4] = ["a", "b", "c", "d"];
pub(crate) const SERVICES: [&str; 6] = ["n0/s0", "n0/s1", "n0/s2", "n1/s0", "n1/s1", "n1/s2"];

#[derive(Clone, Debug)]
pub(super) enum Operation {
    Allocate(usize, ServiceRequest),
    /// Asks for one of the addresses that wait, by its place among them; then so many seconds pass.
    AllocateWaiting(usize, usize, ServiceTerms, u64),
    Assign(usize, ServiceTerms, Vec<IpAddr>),
    AddFamily(usize, ServiceTerms),
    Release(usize),
    Forget(usize),
    /// Asks for an address, is forgotten, and there again at once without a request for certain addresses.
    ComeBack(usize, IpAddr, ServiceRequest),
    ReplacePools(Vec<Pool>),
    Replace(Vec<Pool>, Policies),
    /// So many seconds pass.
    Expire(u64),
    Reserve(IpAddr),
    Unreserve(IpAddr),
}

fn window_address(window: usize, offset: u128) -> IpAddr {
    let first: IpAddr = WINDOWS[window].parse().unwrap();
    number_to_address(IpFamily::of(first), address_to_number(first) + offset)
}

pub(crate) fn any_address() -> impl Strategy<Value = IpAddr> {
    (0..WINDOWS.len(), 0..WINDOW_LENGTH).prop_map(|(window, offset)| window_address(window, offset))
}

fn any_terms() -> impl Strategy<Value = ServiceTerms> {
    let ports = prop::sample::subsequence(vec![(Protocol::Tcp, 80), (Protocol::Tcp, 443), (Protocol::Udp, 80)], 0..=2);
    let key = prop_oneof![3 => Just(None), 5 => Just(Some("k")), 1 => Just(Some("l"))];
    (ports, key, prop::bool::weighted(0.2), any::<bool>()).prop_map(|(ports, key, local, labelled)| {
        let label = Labels::from([("team".to_owned(), "x".to_owned())]);
        let sharing = SharingTerms {
            sharing_key: key.map(|key| key.parse().unwrap()),
            backend_key: if local { BackendKey::local("n0", &label) } else { BackendKey::Cluster },
            ports: ports.into_iter().map(|(protocol, port)| ServicePort { protocol, port }).collect(),
        };
        ServiceTerms { labels: Arc::new(if labelled { label } else { Labels::new() }), sharing }
    })
}

fn any_families() -> impl Strategy<Value = (ServiceFamilies, IpFamilyPolicy)> {
    use IpFamilyPolicy::{PreferDualStack, RequireDualStack, SingleStack};
    let family = || prop_oneof![Just(IpFamily::V4), Just(IpFamily::V6)];
    let policy = prop_oneof![1 => Just(SingleStack), 6 => Just(PreferDualStack), 6 => Just(RequireDualStack)];
    prop_oneof![
        family().prop_map(|family| (ServiceFamilies::Single(family), SingleStack)),
        (family(), policy).prop_map(|(primary, policy)| (ServiceFamilies::Dual { primary }, policy)),
    ]
}

pub(crate) fn any_request() -> impl Strategy<Value = ServiceRequest> {
    let addresses = prop_oneof![
        4 => Just(None),
        1 => any_address().prop_map(|address| Some(ServiceAddresses::one(address))),
        1 => (any_address(), any_address()).prop_map(|(first, second)| ServiceAddresses::pair(first, second)),
    ];
    let pool = prop_oneof![3 => Just(None), 2 => prop::sample::select(vec!["a", "b", "c", "d", "none"]).prop_map(Some)];
    (any_terms(), any_families(), addresses, pool).prop_map(|(terms, (families, policy), addresses, pool)| {
        ServiceRequest { terms, families, policy, addresses, pool: pool.map(|pool| pool.parse().unwrap()) }
    })
}

fn any_restrictions() -> impl Strategy<Value = Option<ServiceAllocation>> {
    let namespaces = prop_oneof![12 => Just(None), 4 => Just(Some(vec!["n0"])), 1 => Just(Some(vec![]))];
    let restricted = (-1_i64..3, namespaces, prop::bool::weighted(0.2)).prop_map(|(priority, namespaces, selects)| {
        ServiceAllocation {
            priority,
            namespaces: namespaces.map(|names| names.into_iter().map(str::to_owned).collect()),
            service_selectors: if selects {
                let values = BTreeSet::from(["x".to_owned()]);
                vec![Selector::new([Requirement::In { key: "team".to_owned(), values }])]
            } else {
                vec![]
            },
        }
    });
    prop_oneof![2 => Just(None), 3 => restricted.prop_map(Some)]
}

/// Pools made of parts of the windows, in any order; a window may be left out.
pub(crate) fn any_pools() -> impl Strategy<Value = Vec<Pool>> {
    let order = Just((0..WINDOWS.len()).collect::<Vec<usize>>()).prop_shuffle();
    let offset = || prop::option::weighted(0.15, 0..WINDOW_LENGTH);
    let cuts =
        prop::collection::vec((0..=POOLS.len(), 0..WINDOW_LENGTH, 0..WINDOW_LENGTH, offset(), offset()), WINDOWS.len());
    let attributes = prop::collection::vec((prop::bool::weighted(0.2), any::<bool>(), any_restrictions()), POOLS.len());
    (order, cuts, attributes).prop_map(|(order, cuts, attributes)| {
        let mut ranges: BTreeMap<usize, Vec<AddressRange>> = BTreeMap::new();
        let mut kept: BTreeMap<usize, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut exclusions: BTreeMap<usize, Vec<AddressRange>> = BTreeMap::new();
        for window in order {
            let (pool, one, other, keeps, excludes) = cuts[window];
            kept.entry(pool).or_default().extend(keeps.map(|offset| window_address(window, offset)));
            let excluded = excludes.map(|offset| AddressRange::single(window_address(window, offset)));
            exclusions.entry(pool).or_default().extend(excluded);
            let range =
                AddressRange::new(window_address(window, one.min(other)), window_address(window, one.max(other)));
            ranges.entry(pool).or_default().push(range.unwrap());
        }
        let described = POOLS.iter().zip(attributes).enumerate();
        let pools = described.filter_map(|(number, (name, (manual, avoid, allocation)))| {
            Some(Pool {
                auto_assign: if manual { AutoAssign::Disabled } else { AutoAssign::Enabled },
                buggy_addresses: if avoid { BuggyAddresses::Avoided } else { BuggyAddresses::Used },
                allocation,
                exclusions: exclusions.remove(&number).unwrap_or_default(),
                kept: kept.remove(&number).unwrap_or_default(),
                ..Pool::new(name.parse().unwrap(), ranges.remove(&number)?)
            })
        });
        pools.collect()
    })
}

pub(super) fn any_operation() -> impl Strategy<Value = Operation> {
    let service = || 0..SERVICES.len();
    let addresses = prop::collection::vec(any_address(), 0..=2);
    prop_oneof![
        10 => (service(), any_request()).prop_map(|(service, request)| Operation::Allocate(service, request)),
        4 => (service(), any_terms(), addresses).prop_map(|(service, terms, given)| Operation::Assign(service, terms, given)),
        2 => (service(), any_terms()).prop_map(|(service, terms)| Operation::AddFamily(service, terms)),
        3 => service().prop_map(Operation::Release),
        1 => service().prop_map(Operation::Forget),
        4 => (service(), any_address(), any_request())
            .prop_map(|(service, address, request)| Operation::ComeBack(service, address, request)),
        2 => any_pools().prop_map(Operation::ReplacePools),
        2 => (any_pools(), any_policies()).prop_map(|(pools, policies)| Operation::Replace(pools, policies)),
        3 => (1_u64..8).prop_map(Operation::Expire),
        4 => (service(), 0_usize..3, any_terms(), 1_u64..8)
            .prop_map(|(service, nth, terms, seconds)| Operation::AllocateWaiting(service, nth, terms, seconds)),
        1 => any_address().prop_map(Operation::Reserve),
        1 => any_address().prop_map(Operation::Unreserve),
    ]
}

fn any_audience() -> impl Strategy<Value = Audience> {
    let namespaces = prop_oneof![2 => Just(None), 2 => Just(Some("n0")), 1 => Just(Some("n1"))];
    (namespaces, prop::bool::weighted(0.3)).prop_map(|(namespace, selects)| {
        let values = BTreeSet::from(["x".to_owned()]);
        let selector = Selector::new([Requirement::In { key: "team".to_owned(), values }]);
        Audience {
            namespaces: namespace.map(|name| BTreeSet::from([name.to_owned()])),
            service_selectors: if selects { vec![selector] } else { vec![] },
        }
    })
}

fn any_reservation() -> impl Strategy<Value = AddressReservation> {
    let addresses = prop::collection::vec((0..WINDOWS.len(), 0..WINDOW_LENGTH, 0..WINDOW_LENGTH), 1..=2);
    let services = prop::sample::subsequence(SERVICES.to_vec(), 0..=2);
    let pool = prop::option::weighted(0.2, prop::sample::select(POOLS.to_vec()));
    let pin = prop::option::weighted(0.2, prop::sample::select(vec!["0.0.0.1", "::1", "::"]));
    (addresses, services, prop::option::of(any_audience()), pool, pin).prop_map(
        |(addresses, services, audience, pool, pin)| {
            let range = |(window, one, other): (usize, u128, u128)| {
                AddressRange::new(window_address(window, one.min(other)), window_address(window, one.max(other)))
                    .unwrap()
            };
            AddressReservation {
                name: "r".into(),
                addresses: addresses.into_iter().map(range).collect(),
                host_parts: pin.map(|pin| pin.parse().unwrap()).into_iter().collect(),
                pool: pool.map(|pool| pool.parse().unwrap()),
                beneficiaries: Beneficiaries {
                    services: services.into_iter().map(|key| key.parse().unwrap()).collect(),
                    audience,
                },
            }
        },
    )
}

fn any_pool_policy() -> impl Strategy<Value = PoolPolicy> {
    let length = || prop::option::of((1_u64..10).prop_map(Duration::from_secs));
    let quota = (any::<bool>(), any_audience(), 0_u64..4).prop_map(|(together, audience, limit)| Quota {
        name: "q".into(),
        scope: if together { QuotaScope::Together } else { QuotaScope::Namespace },
        audience,
        limit,
    });
    let release_now = prop_oneof![
        4 => Just(None),
        1 => any_address().prop_map(|address| Some(ReleaseNow::Addresses(AddressRange::single(address)))),
        1 => prop::sample::select(SERVICES.to_vec()).prop_map(|key| Some(ReleaseNow::Service(key.parse().unwrap()))),
    ];
    let pools = prop::sample::subsequence(POOLS.to_vec(), 0..=2);
    (pools, length(), length(), prop::collection::vec(quota, 0..=2), release_now).prop_map(
        |(pools, retention, reuse_cooldown, quotas, release_now)| PoolPolicy {
            pools: PoolSelection {
                names: pools.into_iter().map(|name| name.parse().unwrap()).collect(),
                selectors: vec![],
            },
            retention,
            reuse_cooldown,
            quotas,
            release_now: release_now.into_iter().collect(),
            ..PoolPolicy::default()
        },
    )
}

/// None at all in half of the cases.
pub(crate) fn any_policies() -> impl Strategy<Value = Policies> {
    let some = (prop::collection::vec(any_reservation(), 0..=2), prop::collection::vec(any_pool_policy(), 0..=2));
    let some = some.prop_map(|(reservations, pool_policies)| Policies {
        reservations: reservations.into_iter().map(Arc::new).collect(),
        pool_policies: pool_policies.into_iter().map(Arc::new).collect(),
    });
    prop_oneof![Just(Policies::default()), some]
}
