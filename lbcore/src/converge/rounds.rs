//! All Services of a host at once, as a program does that has just started: records first, then the others, then who waits again.

use super::{Convergence, Notice, RecordFate, ServiceState, converge_recorded, difference, kept_record};
use crate::addresses::{RecordedAddresses, ServiceAddresses};
use crate::allocator::{Allocator, Change, NoAddress};
use crate::service::ServiceKey;

/// Enters the recorded addresses of Services into an allocator, without allocating anything: the oldest Service first, then by key.
/// Only what [`converge`](super::converge) would keep is entered. Returns the Services whose record could not be entered, and why, in that order.
///
/// Source: [CTRL-17].
pub fn replay(allocator: &mut Allocator, states: &[ServiceState]) -> Vec<(ServiceKey, NoAddress)> {
    let mut order: Vec<(&ServiceState, ServiceAddresses)> =
        states.iter().filter_map(|state| kept_record(state).map(|addresses| (state, addresses))).collect();
    order.sort_by(|(left, _), (right, _)| (left.created, &left.key).cmp(&(right.created, &right.key)));
    let mut refused = Vec::new();
    for (state, addresses) in order {
        let in_other_pool = state.requested_pool.as_ref().is_some_and(|requested| {
            addresses.iter().any(|address| allocator.pool_of(address).is_some_and(|pool| pool.name != *requested))
        });
        if !in_other_pool && let Err(reason) = allocator.assign_by_key(&state.key, &state.terms, addresses.as_slice()) {
            refused.push((state.key.clone(), reason));
        }
    }
    refused
}

/// Converges all Services as a program does that has just started: recorded addresses are entered first ([`replay`]), then Services with
/// a record are looked at, then the others, each group from the oldest on; last, who waits is tried again as long as something became
/// free. Outcomes are in the order of `states`, against the records in `states`.
///
/// Source: [CTRL-12], [CTRL-17], [CTRL-27].
pub fn converge_all(allocator: &mut Allocator, states: &[ServiceState]) -> Vec<Convergence> {
    converge_all_telling(allocator, states, |_| {}).into_iter().map(|told| told.outcome).collect()
}

/// What a Service is about to be converged on.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The allocator as it is.
    pub allocator: &'a Allocator,
    /// The Service.
    pub state: &'a ServiceState,
    /// What counts as recorded for it: that of `state`, or what an earlier try gave it.
    pub recorded: &'a RecordedAddresses,
}

/// The outcome for a Service, and what became of its record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The outcome.
    pub outcome: Convergence,
    /// What became of the addresses recorded in its state.
    pub fate: RecordFate,
    /// [`Allocator::freed_generation`] after its last try.
    generation: u64,
}

/// Like [`converge_all`], tells what became of each record, and shows each moment before a Service is converged; who waits has several.
pub fn converge_all_telling(
    allocator: &mut Allocator,
    states: &[ServiceState],
    mut watch: impl FnMut(Moment<'_>),
) -> Vec<Told> {
    replay(allocator, states);
    let mut order: Vec<(usize, &ServiceState)> = states.iter().enumerate().collect();
    order.sort_by_key(|(_, state)| (state.recorded == RecordedAddresses::Nothing, state.created, &state.key));
    let mut outcomes: Vec<Option<Told>> = vec![None; states.len()];
    let mut pending = true;
    while pending {
        pending = false;
        for &(position, state) in &order {
            let Some(entry) = outcomes.get_mut(position) else { continue };
            let (outcome, fate) = match entry.take() {
                None => {
                    watch(Moment { allocator, state, recorded: &state.recorded });
                    converge_recorded(allocator, state, &state.recorded)
                }
                Some(told) if !told.outcome.is_waiting() || told.generation == allocator.freed_generation() => {
                    *entry = Some(told);
                    continue;
                }
                Some(Told { outcome, fate, .. }) => (retry(allocator, state, outcome, &mut watch), fate),
            };
            *entry = Some(Told { outcome, fate, generation: allocator.freed_generation() });
        }
        let now = allocator.freed_generation();
        pending |= outcomes.iter().flatten().any(|told| told.outcome.is_waiting() && told.generation != now);
    }
    outcomes.into_iter().flatten().collect()
}

/// Tries a Service again whose last outcome was recorded meanwhile. The notices of both tries are told, each once.
fn retry(
    allocator: &mut Allocator,
    state: &ServiceState,
    before: Convergence,
    watch: &mut impl FnMut(Moment<'_>),
) -> Convergence {
    let recorded = match (before.addresses, before.change) {
        (_, Change::Unchanged) => state.recorded.clone(),
        (Some(addresses), Change::Changed) => RecordedAddresses::Known(addresses),
        (None, Change::Changed) => RecordedAddresses::Nothing,
    };
    watch(Moment { allocator, state, recorded: &recorded });
    let (mut outcome, _) = converge_recorded(allocator, state, &recorded);
    if before.change == Change::Changed {
        outcome.change = difference(&state.recorded, outcome.addresses);
    }
    let mut notices = before.notices;
    // What the second try gave replaces the complaint of the first.
    notices.retain(|notice| !matches!(notice, Notice::AllocationFailed { .. } | Notice::AdditionalFailed { .. }));
    notices.extend(outcome.notices);
    notices.dedup();
    outcome.notices = notices;
    outcome
}
