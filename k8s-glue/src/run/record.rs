//! What policies hold and keep, in the form of the state file and back.

use lbcore::allocator::{Hold, HoldReason};
use lbcore::policy::KeptAddress;

use crate::state::{RecordedHold, RecordedKept, RecordedReason, State};

/// The addresses that waited.
pub(crate) fn holds(state: &State) -> Vec<Hold> {
    let hold = |recorded: &RecordedHold| Hold {
        address: recorded.address,
        service: recorded.service.clone(),
        until: recorded.until,
        reason: match recorded.reason {
            RecordedReason::Retention => HoldReason::Retention,
            RecordedReason::CoolDown => HoldReason::Cooldown,
        },
    };
    state.holds.iter().map(hold).collect()
}

/// The addresses that were kept.
pub(crate) fn kept(state: &State) -> Vec<KeptAddress> {
    let kept = |recorded: &RecordedKept| {
        let RecordedKept { address, pool, service, pool_labels } = recorded.clone();
        KeptAddress { address, pool, service, pool_labels }
    };
    state.kept.iter().map(kept).collect()
}

/// The addresses that wait, as they are written.
pub(crate) fn of_holds<'h>(holds: impl Iterator<Item = &'h Hold>) -> Vec<RecordedHold> {
    let recorded = |hold: &Hold| RecordedHold {
        address: hold.address,
        service: hold.service.clone(),
        until: hold.until,
        reason: match hold.reason {
            HoldReason::Retention => RecordedReason::Retention,
            HoldReason::Cooldown => RecordedReason::CoolDown,
        },
    };
    holds.map(recorded).collect()
}

/// The addresses that are kept, as they are written.
pub(crate) fn of_kept(kept: &[KeptAddress]) -> Vec<RecordedKept> {
    let recorded = |kept: &KeptAddress| {
        let KeptAddress { address, pool, service, pool_labels } = kept.clone();
        RecordedKept { address, pool, service, pool_labels }
    };
    kept.iter().map(recorded).collect()
}
