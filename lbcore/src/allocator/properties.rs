//! The allocator against a naive model: a first-fit scan over every address of every range, with plain lists of who holds what.
//!
//! Windows are small and Services few, so that most operations touch what others did. Operations are random: allocate (with and without requested addresses and pools, one family and both), assign, add a family, release,
//! forget, replace the pools and the policies, reserve and let go, and time that passes. After each of them both have given the same answer, hold the same, count the same, and have the same waiting;
//! every invariant holds; and no request that was refused before has become possible unnoticed.

mod counting;
pub(crate) mod inputs;
mod model;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use self::inputs::{Operation, SERVICES, any_operation, any_policies, any_pools};
use self::model::{Answer, Model};
use super::*;
use crate::family::{IpFamilyPolicy, ServiceFamilies};
use crate::policy::Policies;
use crate::time::UnixTime;

fn answer(grant: Result<Grant, NoAddress>) -> Answer {
    match grant {
        Ok(grant) => Ok((grant.pool.to_string(), grant.addresses.as_slice().to_vec())),
        Err(reason) => Err(match reason.category() {
            "pool-exhausted" | "family-unavailable" => "nothing-left",
            category => category,
        }),
    }
}

/// A request for one address.
fn of_one(address: IpAddr, terms: ServiceTerms) -> ServiceRequest {
    ServiceRequest {
        terms,
        families: ServiceFamilies::Single(IpFamily::of(address)),
        policy: IpFamilyPolicy::SingleStack,
        addresses: Some(ServiceAddresses::one(address)),
        pool: None,
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
            Operation::AllocateWaiting(service, nth, terms, seconds) => {
                let Some(address) = self.model.waiting.keys().nth(nth).copied() else { return Ok(()) };
                self.run(Operation::Allocate(service, of_one(address, terms)))?;
                return self.run(Operation::Expire(seconds));
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
                self.compare_release(service, released, false)?;
            }
            Operation::Forget(service) => {
                let released = self.allocator.forget_by_key(&Self::service(service));
                self.compare_release(service, released, true)?;
                prop_assert!(self.allocator.find(&Self::service(service)).is_none());
            }
            Operation::ComeBack(service, address, request) => {
                self.run(Operation::Allocate(service, of_one(address, request.terms.clone())))?;
                self.run(Operation::Forget(service))?;
                return self.run(Operation::Allocate(service, ServiceRequest { addresses: None, ..request }));
            }
            Operation::ReplacePools(pools) => {
                let replaced = self.allocator.replace_pools(pools.clone());
                let policies = self.model.policies.clone();
                self.compare_replaced(replaced, pools, policies)?;
            }
            Operation::Replace(pools, policies) => {
                let replaced = self.allocator.replace(pools.clone(), Arc::new(policies.clone()));
                self.compare_replaced(replaced, pools, policies)?;
            }
            Operation::Expire(seconds) => {
                let expected = self.model.expire(seconds);
                let due = self.allocator.next_expiry().is_some_and(|next| next.as_secs() <= self.model.now);
                prop_assert_eq!(due, !expected.is_empty());
                let ended = self.allocator.expire(UnixTime::from_secs(self.model.now));
                prop_assert_eq!(ended.iter().map(|hold| hold.address).collect::<BTreeSet<_>>(), expected);
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

    fn compare_replaced(
        &mut self,
        replaced: Result<PoolsReplaced, PoolsError>,
        pools: Vec<Pool>,
        policies: Policies,
    ) -> Result<(), TestCaseError> {
        let replaced = replaced.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let (released, moved) = self.model.replace(pools, policies);
        let names = |keys: Vec<ServiceKey>| keys.iter().map(ToString::to_string).collect::<Vec<_>>();
        prop_assert_eq!(names(replaced.released), released);
        prop_assert_eq!(names(replaced.moved.into_iter().map(|(key, _)| key).collect()), moved);
        Ok(())
    }

    fn compare_release(
        &mut self,
        service: usize,
        released: Option<ServiceAddresses>,
        is_gone: bool,
    ) -> Result<(), TestCaseError> {
        let expected = self.model.release(SERVICES[service], is_gone);
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
        let waiting = self.allocator.holds().map(|hold| {
            let retained = hold.reason == HoldReason::Retention;
            (hold.address, (hold.service.to_string(), hold.until.as_secs(), retained))
        });
        prop_assert_eq!(waiting.collect::<BTreeMap<_, _>>(), self.model.waiting.clone(), "what waits");
        let total: u64 = self.allocator.quota_usage().map(|usage| usage.used).sum();
        prop_assert_eq!(total, self.model.quota_figures().values().sum::<u64>(), "what counts under quotas");
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
    #![proptest_config(ProptestConfig::with_cases(384))]

    // [ALLOC-10] to [ALLOC-44], [ALLOC-50]
    #[test]
    fn the_allocator_equals_a_naive_first_fit(
        pools in any_pools(),
        policies in any_policies(),
        operations in prop::collection::vec(any_operation(), 1..60),
    ) {
        let mut contest = Contest { allocator: Allocator::default(), model: Model::default(), waiting: BTreeMap::new() };
        contest.run(Operation::Replace(pools, policies))?;
        for operation in operations {
            contest.run(operation)?;
        }
    }
}
