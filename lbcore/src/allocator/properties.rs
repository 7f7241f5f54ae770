//! The allocator against a naive model: a first-fit scan over every address of every range, with plain lists of who holds what.
//!
//! Windows are small and Services few, so that most operations touch what others did. Operations are random: allocate (with and without requested addresses and pools, one family and both), assign, add a family, release,
//! forget, replace the pools, reserve and let go. After each of them both have given the same answer, hold the same, and count the same;
//! every invariant holds; and no request that was refused before has become possible unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::family::{IpFamilyPolicy, ServiceFamilies};
use crate::labels::{Labels, Requirement, Selector};
use crate::pool::{AutoAssign, BuggyAddresses, ServiceAllocation};
use crate::range::{AddressRange, address_to_number};
use crate::sharing::{BackendKey, Protocol, ServicePort, SharingTerms};
use crate::usage::PoolUsage;

/// First addresses of windows of four, from which ranges are cut; several cross a .255 to .0 border.
const WINDOWS: [&str; 8] = [
    "192.0.2.250",
    "192.0.2.254",
    "192.0.3.2",
    "10.0.0.0",
    "10.255.255.254",
    "2001:db8::",
    "2001:db8::4",
    "2001:db8::ffff",
];
const WINDOW_LENGTH: u128 = 4;
const POOLS: [&str; 4] = ["a", "b", "c", "d"];
const SERVICES: [&str; 6] = ["n0/s0", "n0/s1", "n0/s2", "n1/s0", "n1/s1", "n1/s2"];

#[derive(Clone, Debug)]
enum Operation {
    Allocate(usize, ServiceRequest),
    Assign(usize, ServiceTerms, Vec<IpAddr>),
    AddFamily(usize, ServiceTerms),
    Release(usize),
    Forget(usize),
    ReplacePools(Vec<Pool>),
    Reserve(IpAddr),
    Unreserve(IpAddr),
}

fn window_address(window: usize, offset: u128) -> IpAddr {
    let first: IpAddr = WINDOWS[window].parse().unwrap();
    number_to_address(IpFamily::of(first), address_to_number(first) + offset)
}

fn any_address() -> impl Strategy<Value = IpAddr> {
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

fn any_request() -> impl Strategy<Value = ServiceRequest> {
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
fn any_pools() -> impl Strategy<Value = Vec<Pool>> {
    let order = Just((0..WINDOWS.len()).collect::<Vec<usize>>()).prop_shuffle();
    let cuts = prop::collection::vec((0..=POOLS.len(), 0..WINDOW_LENGTH, 0..WINDOW_LENGTH), WINDOWS.len());
    let attributes = prop::collection::vec((prop::bool::weighted(0.2), any::<bool>(), any_restrictions()), POOLS.len());
    (order, cuts, attributes).prop_map(|(order, cuts, attributes)| {
        let mut ranges: BTreeMap<usize, Vec<AddressRange>> = BTreeMap::new();
        for window in order {
            let (pool, one, other) = cuts[window];
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
                ..Pool::new(name.parse().unwrap(), ranges.remove(&number)?)
            })
        });
        pools.collect()
    })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    let service = || 0..SERVICES.len();
    let addresses = prop::collection::vec(any_address(), 0..=2);
    prop_oneof![
        10 => (service(), any_request()).prop_map(|(service, request)| Operation::Allocate(service, request)),
        4 => (service(), any_terms(), addresses).prop_map(|(service, terms, given)| Operation::Assign(service, terms, given)),
        2 => (service(), any_terms()).prop_map(|(service, terms)| Operation::AddFamily(service, terms)),
        3 => service().prop_map(Operation::Release),
        1 => service().prop_map(Operation::Forget),
        2 => any_pools().prop_map(Operation::ReplacePools),
        1 => any_address().prop_map(Operation::Reserve),
        1 => any_address().prop_map(Operation::Unreserve),
    ]
}

/// A pool's name and addresses, or the category of the refusal.
type Answer = Result<(String, Vec<IpAddr>), &'static str>;

#[derive(Clone, Debug)]
struct Held {
    pool: String,
    addresses: Vec<IpAddr>,
    sharing: SharingTerms,
}

/// First-fit by looking at everything.
#[derive(Clone, Debug, Default)]
struct Model {
    pools: Vec<Pool>,
    held: BTreeMap<String, Held>,
    reserved: BTreeSet<IpAddr>,
}

impl Model {
    fn pool_of(&self, address: IpAddr) -> Option<&Pool> {
        self.pools.iter().find(|pool| pool.contains(address))
    }

    /// [ALLOC-10], by looking at every other Service.
    fn is_usable(&self, address: IpAddr, service: &str, sharing: &SharingTerms) -> bool {
        !self.reserved.contains(&address)
            && self.held.iter().filter(|(name, held)| *name != service && held.addresses.contains(&address)).all(
                |(_, held)| {
                    held.sharing.sharing_key.is_some()
                        && held.sharing.sharing_key == sharing.sharing_key
                        && held.sharing.backend_key == sharing.backend_key
                        && !sharing.ports.as_slice().iter().any(|port| held.sharing.ports.as_slice().contains(port))
                },
            )
    }

    /// [ALLOC-20], by looking at every address.
    fn first_fit(&self, pool: &Pool, family: IpFamily, service: &str, sharing: &SharingTerms) -> Option<IpAddr> {
        let ranges = pool.ranges.iter().filter(|range| range.family() == family);
        ranges
            .flat_map(|range| range.first_number()..=range.last_number())
            .map(|number| number_to_address(family, number))
            .find(|address| pool.contains(*address) && self.is_usable(*address, service, sharing))
    }

    /// [ALLOC-32], [ALLOC-34]
    fn best<'a>(
        &'a self,
        pools: &(impl Iterator<Item = &'a Pool> + Clone),
        service: &str,
        request: &ServiceRequest,
    ) -> Option<(String, Vec<IpAddr>)> {
        let find = |pool: &Pool, families: &[IpFamily]| -> Option<(String, Vec<IpAddr>)> {
            let each = families.iter().map(|family| self.first_fit(pool, *family, service, &request.terms.sharing));
            Some((pool.name.to_string(), each.collect::<Option<_>>()?))
        };
        let wishes: Vec<Vec<IpFamily>> = match (request.families, request.policy) {
            (ServiceFamilies::Single(family), _) => vec![vec![family]],
            (ServiceFamilies::Dual { primary }, IpFamilyPolicy::PreferDualStack) => {
                vec![vec![IpFamily::V4, IpFamily::V6], vec![primary], vec![primary.other()]]
            }
            (ServiceFamilies::Dual { .. }, _) => vec![vec![IpFamily::V4, IpFamily::V6]],
        };
        wishes.iter().find_map(|families| pools.clone().find_map(|pool| find(pool, families)))
    }

    fn allocate(&mut self, service: &str, request: &ServiceRequest) -> Answer {
        if self.pools.is_empty() {
            return Err("no-config");
        }
        let namespace = service.split('/').next().unwrap();
        if let Some(addresses) = request.addresses {
            return self.allocate_requested(service, request, addresses);
        }
        if matches!(request.families, ServiceFamilies::Dual { .. }) && request.policy == IpFamilyPolicy::SingleStack {
            return Err("invalid-request");
        }
        let serves = |pool: &&Pool| pool.allows(namespace, &request.terms.labels);
        let found = if let Some(name) = &request.pool {
            let named = self.pools.iter().find(|pool| pool.name == *name).ok_or("no-such-pool")?;
            if !serves(&named) {
                return Err("pool-not-allowed");
            }
            self.best(&[named].into_iter(), service, request)
        } else {
            let automatic = || self.pools.iter().filter(|pool| pool.auto_assign == AutoAssign::Enabled).filter(serves);
            let mut pinned: Vec<&Pool> = automatic().filter(|pool| pool.allocation.is_some()).collect();
            pinned.sort_by_key(|pool| {
                let priority = pool.allocation.as_ref().map_or(0, |allocation| allocation.priority);
                (if priority == 0 { i64::MAX } else { priority }, pool.name.clone())
            });
            if automatic().next().is_none() {
                return Err("no-eligible-pool");
            }
            let unpinned = automatic().filter(|pool| pool.allocation.is_none());
            self.best(&pinned.into_iter(), service, request).or_else(|| self.best(&unpinned, service, request))
        };
        // Which of the two reasons it is depends on the pools looked at, and is left to the unit tests.
        let (pool, addresses) = found.ok_or("nothing-left")?;
        self.hold(service, pool, addresses, &request.terms)
    }

    fn allocate_requested(&mut self, service: &str, request: &ServiceRequest, addresses: ServiceAddresses) -> Answer {
        let families: BTreeSet<IpFamily> = addresses.iter().map(IpFamily::of).collect();
        let wanted = match request.families {
            ServiceFamilies::Single(family) => BTreeSet::from([family]),
            ServiceFamilies::Dual { .. } => BTreeSet::from([IpFamily::V4, IpFamily::V6]),
        };
        if families != wanted {
            return Err("family-mismatch");
        }
        if let Some(name) = &request.pool {
            if !self.pools.iter().any(|pool| pool.name == *name) {
                return Err("no-such-pool");
            }
            for address in addresses.iter() {
                if self.pool_of(address).ok_or("not-in-pool")?.name != *name {
                    return Err("pool-mismatch");
                }
            }
        }
        self.assign(service, &request.terms, addresses.as_slice())
    }

    fn assign(&mut self, service: &str, terms: &ServiceTerms, addresses: &[IpAddr]) -> Answer {
        let families: BTreeSet<IpFamily> = addresses.iter().copied().map(IpFamily::of).collect();
        if addresses.is_empty() || families.len() != addresses.len() {
            return Err("invalid-request");
        }
        let pool = self.pools.iter().find(|pool| addresses.iter().all(|address| pool.contains(*address)));
        let pool = pool.ok_or("not-in-pool")?;
        if !pool.allows(service.split('/').next().unwrap(), &terms.labels) {
            return Err("pool-not-allowed");
        }
        if !addresses.iter().all(|address| self.is_usable(*address, service, &terms.sharing)) {
            return Err("sharing-conflict");
        }
        self.hold(service, pool.name.to_string(), addresses.to_vec(), terms)
    }

    fn add_family(&mut self, service: &str, terms: &ServiceTerms) -> Answer {
        let held = self.held.get(service).filter(|held| held.addresses.len() == 1).ok_or("invalid-request")?;
        let pool = self.pools.iter().find(|pool| pool.name.as_str() == held.pool).unwrap();
        let family = IpFamily::of(held.addresses[0]).other();
        let second = self.first_fit(pool, family, service, &terms.sharing).ok_or("nothing-left")?;
        let both = [held.addresses[0], second];
        self.assign(service, terms, &both)
    }

    #[expect(clippy::unnecessary_wraps, reason = "every answer of the model has this type")]
    fn hold(&mut self, service: &str, pool: String, addresses: Vec<IpAddr>, terms: &ServiceTerms) -> Answer {
        let held = Held { pool: pool.clone(), addresses: addresses.clone(), sharing: terms.sharing.clone() };
        self.held.insert(service.to_owned(), held);
        Ok((pool, addresses))
    }

    fn replace_pools(&mut self, pools: Vec<Pool>) -> (Vec<String>, Vec<String>) {
        self.pools = pools;
        let (mut released, mut moved) = (Vec::new(), Vec::new());
        for (service, mut held) in core::mem::take(&mut self.held) {
            match self.pools.iter().find(|pool| held.addresses.iter().all(|address| pool.contains(*address))) {
                None => released.push(service),
                Some(pool) => {
                    if pool.name.as_str() != held.pool {
                        moved.push(service.clone());
                    }
                    held.pool = pool.name.to_string();
                    self.held.insert(service, held);
                }
            }
        }
        (released, moved)
    }

    fn usage(&self, pool: &Pool) -> PoolUsage {
        let used: BTreeSet<IpAddr> = self.held.values().flat_map(|held| held.addresses.clone()).collect();
        let (mut usage, mut numbers) = (PoolUsage::default(), Vec::new());
        for range in &pool.ranges {
            numbers.extend(
                (range.first_number()..=range.last_number()).map(|number| number_to_address(range.family(), number)),
            );
        }
        for address in numbers.into_iter().filter(|address| pool.contains(*address)) {
            let (assigned, available) = match IpFamily::of(address) {
                IpFamily::V4 => (&mut usage.assigned_ipv4, &mut usage.available_ipv4),
                IpFamily::V6 => (&mut usage.assigned_ipv6, &mut usage.available_ipv6),
            };
            *assigned += i64::from(used.contains(&address));
            *available += i64::from(!used.contains(&address) && !self.reserved.contains(&address));
        }
        usage
    }
}

fn answer(grant: Result<Grant, NoAddress>) -> Answer {
    match grant {
        Ok(grant) => Ok((grant.pool.to_string(), grant.addresses.as_slice().to_vec())),
        Err(reason) => Err(match reason.category() {
            "pool-exhausted" | "family-unavailable" => "nothing-left",
            category => category,
        }),
    }
}

/// Both sides, and the requests that were refused with the counter at that time.
struct Contest {
    allocator: Allocator,
    model: Model,
    waiting: BTreeMap<usize, (ServiceRequest, u64)>,
}

impl Contest {
    fn service(number: usize) -> ServiceKey {
        SERVICES[number].parse().unwrap()
    }

    fn run(&mut self, operation: Operation) -> Result<(), TestCaseError> {
        match operation {
            Operation::Allocate(service, request) => {
                let given = self.allocator.allocate_by_key(&Self::service(service), &request);
                let refused = given.is_err();
                prop_assert_eq!(answer(given), self.model.allocate(SERVICES[service], &request));
                self.waiting.remove(&service);
                if refused && !self.model.held.contains_key(SERVICES[service]) {
                    self.waiting.insert(service, (request, self.allocator.freed_generation()));
                }
            }
            Operation::Assign(service, terms, addresses) => {
                let given = self.allocator.assign_by_key(&Self::service(service), &terms, &addresses);
                prop_assert_eq!(answer(given), self.model.assign(SERVICES[service], &terms, &addresses));
                self.waiting.remove(&service);
            }
            Operation::AddFamily(service, terms) => {
                let id = self.allocator.intern(&Self::service(service));
                let given = self.allocator.add_family(id, &terms);
                prop_assert_eq!(answer(given), self.model.add_family(SERVICES[service], &terms));
                self.waiting.remove(&service);
            }
            Operation::Release(service) => {
                let released = self.allocator.release_by_key(&Self::service(service));
                self.compare_release(service, released)?;
            }
            Operation::Forget(service) => {
                let released = self.allocator.forget_by_key(&Self::service(service));
                self.compare_release(service, released)?;
                prop_assert!(self.allocator.find(&Self::service(service)).is_none());
            }
            Operation::ReplacePools(pools) => {
                let replaced = self
                    .allocator
                    .replace_pools(pools.clone())
                    .map_err(|error| TestCaseError::fail(error.to_string()))?;
                let (released, moved) = self.model.replace_pools(pools);
                let names = |keys: Vec<ServiceKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
                prop_assert_eq!(names(replaced.released), released);
                prop_assert_eq!(names(replaced.moved.into_iter().map(|(key, _)| key).collect()), moved);
            }
            Operation::Reserve(address) => {
                self.allocator.reserve(address, "somebody");
                self.model.reserved.insert(address);
            }
            Operation::Unreserve(address) => {
                prop_assert_eq!(self.allocator.unreserve(address), self.model.reserved.remove(&address));
            }
        }
        self.compare_state()?;
        self.compare_waiting()
    }

    fn compare_release(&mut self, service: usize, released: Option<ServiceAddresses>) -> Result<(), TestCaseError> {
        let expected = self.model.held.remove(SERVICES[service]).map(|held| held.addresses);
        prop_assert_eq!(released.map(|addresses| addresses.as_slice().to_vec()), expected);
        self.waiting.remove(&service);
        Ok(())
    }

    fn compare_state(&self) -> Result<(), TestCaseError> {
        self.allocator.index.check_everything();
        for (number, service) in SERVICES.into_iter().enumerate() {
            let held = self.allocator.allocation_by_key(&Self::service(number));
            let here =
                held.map(|held| (held.pool.to_string(), held.addresses.as_slice().to_vec(), held.sharing.clone()));
            let expected = self.model.held.get(service).cloned().map(|held| (held.pool, held.addresses, held.sharing));
            prop_assert_eq!(here, expected, "what {} holds", service);
        }
        for pool in &self.model.pools {
            prop_assert_eq!(self.allocator.usage(&pool.name), Some(self.model.usage(pool)), "usage of {}", &pool.name);
        }
        Ok(())
    }

    /// [CTRL-27]: as long as the counter stands, a refused request is still refused.
    fn compare_waiting(&self) -> Result<(), TestCaseError> {
        for (service, (request, generation)) in &self.waiting {
            if *generation == self.allocator.freed_generation() {
                let again = self.model.clone().allocate(SERVICES[*service], request);
                prop_assert!(again.is_err(), "{} could have {:?} unnoticed", SERVICES[*service], again);
            }
        }
        Ok(())
    }
}

proptest! {
    // [ALLOC-10] to [ALLOC-44], [ALLOC-50]
    #[test]
    fn the_allocator_equals_a_naive_first_fit(
        pools in any_pools(),
        operations in prop::collection::vec(any_operation(), 1..60),
    ) {
        let mut contest = Contest { allocator: Allocator::default(), model: Model::default(), waiting: BTreeMap::new() };
        contest.run(Operation::ReplacePools(pools))?;
        for operation in operations {
            contest.run(operation)?;
        }
    }
}
