//! What convergence promises whatever pools, policies, requests and records are: it settles at once, a restart arrives at the same place, and
//! no policy moves a live address.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::allocator::properties::inputs::{SERVICES, any_address, any_policies, any_pools, any_request};
use crate::policy::Policies;
use crate::pool::Pool;
use crate::time::UnixTime;

const NOW: UnixTime = UnixTime::from_secs(1_000);

fn any_record() -> impl Strategy<Value = RecordedAddresses> {
    prop_oneof![
        3 => Just(RecordedAddresses::Nothing),
        3 => any_address().prop_map(|address| RecordedAddresses::Known(ServiceAddresses::one(address))),
        2 => (any_address(), any_address()).prop_map(|(first, second)| {
            ServiceAddresses::pair(first, second).map_or(RecordedAddresses::Nothing, RecordedAddresses::Known)
        }),
        1 => Just(RecordedAddresses::Unknown(vec!["x".to_owned()])),
    ]
}

/// A state of each Service.
fn any_states() -> impl Strategy<Value = Vec<ServiceState>> {
    let one = (any_request(), any_record(), prop::bool::weighted(0.1), 0_i64..3);
    prop::collection::vec(one, SERVICES.len()).prop_map(|all| {
        let state = |(key, (request, recorded, other, created)): (&&str, (_, _, bool, _))| {
            let request: ServiceRequest = request;
            ServiceState {
                key: key.parse().unwrap(),
                created: CreationTime(created),
                kind: if other { ServiceKind::Other } else { ServiceKind::LoadBalancer },
                families: Ok(request.families),
                policy: request.policy,
                terms: request.terms,
                requested_addresses: Ok(request.addresses),
                requested_pool: request.pool,
                recorded,
            }
        };
        SERVICES.iter().zip(all).map(state).collect()
    })
}

fn start(pools: &[Pool], policies: &Arc<Policies>) -> Allocator {
    let mut allocator = Allocator::default();
    allocator.expire(NOW);
    allocator.replace(pools.to_vec(), Arc::clone(policies)).unwrap();
    allocator
}

/// The states with the outcomes written down.
fn written(states: &[ServiceState], outcomes: &[Convergence]) -> Vec<ServiceState> {
    let write = |(state, outcome): (&ServiceState, &Convergence)| {
        let recorded = match (outcome.change, outcome.addresses) {
            (Change::Unchanged, _) => state.recorded.clone(),
            (Change::Changed, Some(addresses)) => RecordedAddresses::Known(addresses),
            (Change::Changed, None) => RecordedAddresses::Nothing,
        };
        ServiceState { recorded, ..state.clone() }
    };
    states.iter().zip(outcomes).map(write).collect()
}

proptest! {
    // [CTRL-17], [CTRL-47]
    #[test]
    fn outcomes_stand_over_a_second_pass_a_restart_and_other_policies(
        pools in any_pools(),
        policies in any_policies().prop_map(Arc::new),
        others in any_policies().prop_map(Arc::new),
        states in any_states(),
    ) {
        let mut allocator = start(&pools, &policies);
        let outcomes = converge_all(&mut allocator, &states);
        let states = written(&states, &outcomes);
        for (state, before) in states.iter().zip(&outcomes) {
            let again = converge(&mut allocator, state);
            prop_assert_eq!((again.change, again.addresses), (Change::Unchanged, before.addresses), "{}", &state.key);
            prop_assert_eq!(again.problem.is_some(), before.problem.is_some(), "{}", &state.key);
        }
        let mut restarted = start(&pools, &policies);
        restarted.restore_holds(NOW, allocator.holds().cloned());
        let replayed = converge_all(&mut restarted, &states);
        for ((state, before), after) in states.iter().zip(&outcomes).zip(&replayed) {
            prop_assert_eq!((after.change, after.addresses), (Change::Unchanged, before.addresses), "{}", &state.key);
        }
        prop_assert_eq!(restarted.holds().collect::<Vec<_>>(), allocator.holds().collect::<Vec<_>>());
        prop_assert_eq!(restarted.quota_usage().collect::<Vec<_>>(), allocator.quota_usage().collect::<Vec<_>>());
        allocator.replace(pools, others).unwrap();
        for (state, before) in states.iter().zip(&outcomes) {
            let after = converge(&mut allocator, state);
            for address in before.addresses.iter().flat_map(ServiceAddresses::iter) {
                prop_assert!(after.addresses.is_some_and(|kept| kept.contains(address)), "{} lost {address}", &state.key);
            }
        }
    }
}
