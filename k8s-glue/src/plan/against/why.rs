//! Why a Service does not keep an address, and why a node does not answer for one any more: what the rules said in the new plan.

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::addresses::ServiceAddresses;
use lbcore::allocator::NoAddress;
use lbcore::converge::{RecordFate, ServiceKind};
use lbcore::decide::why_not_first_owner;
use lbcore::explain::{mend_of_reason, why_not_kept};
use lbcore::service::NodeName;

use crate::plan::{Assignment, Planned, PlannedService};

/// What would let a Service keep an address that its pool is to lose.
const LEFT_FIX: &str =
    "leave it in a pool until the Service may move; one with autoAssign false gives it to nobody new";

/// Both plans, with what the new one says of each Service at hand.
pub(super) struct Why<'p> {
    before: &'p Planned<'p>,
    after: &'p Planned<'p>,
    assignments: BTreeMap<&'p str, &'p Assignment<'p>>,
}

impl<'p> Why<'p> {
    pub(super) fn new(before: &'p Planned<'p>, after: &'p Planned<'p>) -> Self {
        let assignments = after.assignments.iter().map(|assignment| (assignment.state.key.as_str(), assignment));
        Self { before, after, assignments: assignments.collect() }
    }

    /// Why the Service does not keep what it has, and what would let it.
    pub(super) fn not_kept(&self, service: &str, to: Option<&PlannedService>) -> Option<(String, Option<String>)> {
        let Some(assignment) = self.assignments.get(service) else {
            return Some(("there is no such Service of the class in the new input".to_owned(), None));
        };
        if assignment.state.kind == ServiceKind::Other {
            return Some(("its type is no longer LoadBalancer".to_owned(), None));
        }
        let requested = assignment.state.requested_pool.as_ref();
        let left_a_pool = match &assignment.fate {
            RecordFate::Refused { addresses, reason } => self.left_a_pool(addresses, reason),
            RecordFate::NotReached
            | RecordFate::Nothing
            | RecordFate::Unreadable
            | RecordFate::Untouched { .. }
            | RecordFate::OtherFamilies { .. }
            | RecordFate::OtherPool { .. }
            | RecordFate::OtherAddresses { .. }
            | RecordFate::Incomplete { .. }
            | RecordFate::Kept { .. }
            | _ => None,
        };
        let lost = left_a_pool.or_else(|| why_not_kept(&assignment.fate, requested));
        let error = to.and_then(|to| to.error.as_ref());
        match (lost, error) {
            (Some((why, fix)), Some(error)) if to.is_some_and(|to| to.ips.is_empty()) => {
                Some((format!("{why}; and it gets no other: {}", error.message), fix))
            }
            (Some(lost), _) => Some(lost),
            (None, Some(error)) => Some((error.message.clone(), None)),
            (None, None) => None,
        }
    }

    /// Where an address is in no pool any more.
    fn left_a_pool(&self, addresses: &ServiceAddresses, reason: &NoAddress) -> Option<(String, Option<String>)> {
        let NoAddress::NotInPool { address } = reason else { return None };
        let left = self.left(*address);
        let is_all = addresses.as_slice().len() == 1;
        let why = if is_all { left } else { format!("{addresses} cannot be kept, because {left}") };
        Some((why, Some(LEFT_FIX.to_owned())))
    }

    /// What happened to the pool that has an address now.
    fn left(&self, address: IpAddr) -> String {
        let pools = self.before.snapshot.config().pools();
        let held = pools.iter().find(|(_, configured)| configured.pool.contains(address));
        match held {
            Some((name, configured)) if configured.pool.kept.contains(&address) => {
                format!("no freeze keeps {address} in pool {name} any more, and no other pool contains it")
            }
            Some((name, _)) if self.after.snapshot.config().pools().contains_key(name) => {
                format!("pool {name} does not contain {address} any more, and no other pool does")
            }
            Some((name, _)) => format!("there is no pool {name} any more, and no other contains {address}"),
            None => format!("{address} is in no pool"),
        }
    }

    /// Why a node would not be the first to answer for an address, and what would let it.
    pub(super) fn not_owner(&self, address: IpAddr, node: &str) -> Option<(String, Option<String>)> {
        let snapshot = &self.after.snapshot;
        let Some(service) = snapshot.services_at(address).next() else {
            return Some(("no Service would have the address".to_owned(), None));
        };
        let node = NodeName::new(node).ok()?;
        let reason = why_not_first_owner(snapshot, &service.key, &node)?;
        Some((reason.to_string(), mend_of_reason(&reason)))
    }
}
