//! The addresses of one Service: which rule gave them, kept them or refused them ([CTRL-30] to [CTRL-53]).

use super::mend::{parts_of, rule_of};
use super::pools::Trial;
use super::{Trace, Verdict, record};
use crate::addresses::RecordedAddresses;
use crate::allocator::{Allocator, NoAddress};
use crate::converge::{Convergence, Notice, RecordFate, ServiceKind, ServiceState, converge_telling};
use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::request::{ClusterIpsProblem, ServiceRequest};

/// What would become of a Service, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allocation {
    /// What `converge` says.
    pub outcome: Convergence,
    /// What becomes of the recorded addresses.
    pub fate: RecordFate,
    /// The way there.
    pub trace: Trace,
}

/// Explains what `converge` would do with a Service now. Nothing is changed; it costs a copy or two of the allocator.
///
/// # Examples
/// ```
/// use lbcore::allocator::Allocator;
/// use lbcore::converge::ServiceState;
/// use lbcore::explain::allocation;
/// use lbcore::request::families_of;
///
/// let state = ServiceState::new("shop/web".parse()?, families_of(Some("10.96.0.7"), &[], None));
/// let explained = allocation(&Allocator::default(), &state);
/// let last = explained.trace.refusals().last();
/// assert_eq!(last.and_then(|step| step.fix.as_deref()), Some("create an IPAddressPool"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: [CTRL-30] to [CTRL-53], [ALLOC-10] to [ALLOC-38].
pub fn allocation(allocator: &Allocator, state: &ServiceState) -> Allocation {
    allocation_at(allocator, state, &state.recorded)
}

/// Like [`allocation`], against another record than that in `state`: for a moment that `converge_all_telling` shows.
pub fn allocation_at(allocator: &Allocator, state: &ServiceState, recorded: &RecordedAddresses) -> Allocation {
    let (outcome, fate) = converge_telling(&mut allocator.clone(), state, recorded);
    let mut trace = Trace::default();
    if begin(&mut trace, allocator, state) {
        tell_request(&mut trace, state);
        record::tell(&mut trace, &fate, recorded, state.requested_pool.as_ref());
        match &fate {
            RecordFate::NotReached | RecordFate::Untouched { .. } => {}
            RecordFate::Kept { .. } => {
                tell_second(&mut trace, &outcome);
                tell_given_up(&mut trace, &outcome);
            }
            RecordFate::Nothing
            | RecordFate::Unreadable
            | RecordFate::OtherFamilies { .. }
            | RecordFate::Refused { .. }
            | RecordFate::OtherPool { .. }
            | RecordFate::OtherAddresses { .. }
            | RecordFate::Incomplete { .. } => search(&mut trace, allocator, state, &outcome),
        }
    }
    Allocation { outcome, fate, trace }
}

/// The rules that come before any address is looked at; whether all of them pass.
fn begin(trace: &mut Trace, allocator: &Allocator, state: &ServiceState) -> bool {
    if state.kind == ServiceKind::Other {
        let text = "the type of the Service is not LoadBalancer, so it has no address and gives back what it had";
        trace.step("CTRL-30", Verdict::Refused, text).mend("set spec.type to LoadBalancer");
        return false;
    }
    trace.step("CTRL-30", Verdict::Passed, "the type of the Service is LoadBalancer");
    if allocator.pools().next().is_none() {
        refuse(trace, &NoAddress::NoPools);
        return false;
    }
    let text = match &state.families {
        Ok(ServiceFamilies::Single(family)) => format!("the cluster IP makes the Service {family}"),
        Ok(ServiceFamilies::Dual { primary }) => {
            format!("the cluster IPs make the Service IPv4 and IPv6, {primary} first")
        }
        Err(problem @ ClusterIpsProblem::Missing) => {
            refuse(trace, &problem.clone().into());
            return false;
        }
        Err(problem @ ClusterIpsProblem::Undeterminable { .. }) => {
            refuse(trace, &problem.clone().into());
            return requires_too_much(trace, state);
        }
    };
    trace.step("CTRL-37", Verdict::Passed, text);
    requires_too_much(trace, state)
}

/// [CTRL-34]; true where it passes.
fn requires_too_much(trace: &mut Trace, state: &ServiceState) -> bool {
    let count = match &state.families {
        Ok(ServiceFamilies::Single(_)) => 1,
        Ok(ServiceFamilies::Dual { .. }) => 2,
        Err(problem) => problem.count(),
    };
    let refused = state.policy == IpFamilyPolicy::RequireDualStack && count < 2;
    if refused {
        refuse(trace, &NoAddress::DualStackRequired { count });
    }
    !refused
}

fn tell_request(trace: &mut Trace, state: &ServiceState) {
    match &state.requested_addresses {
        Ok(None) => {}
        Ok(Some(addresses)) => {
            trace.step("ANNOT-10", Verdict::Passed, format!("the Service asks for {addresses}"));
        }
        Err(problem) => refuse(trace, &problem.clone().into()),
    }
    if let Some(pool) = &state.requested_pool {
        let text = format!("the Service asks for pool {pool}, and no other is tried");
        trace.step("CTRL-52", Verdict::Passed, text).about("IPAddressPool", pool.as_str());
    }
}

/// [CTRL-42]: the second address beside one that is kept.
fn tell_second(trace: &mut Trace, outcome: &Convergence) {
    for notice in &outcome.notices {
        match notice {
            Notice::Allocated { addresses, pool } => {
                let text = format!("the other family is added from the same pool: {addresses}");
                trace.step("CTRL-42", Verdict::Chosen, text).about("IPAddressPool", pool.as_str());
            }
            Notice::AdditionalFailed { held, reason } => {
                let (wrong, fix) = parts_of(reason);
                let step = trace.step("CTRL-42", Verdict::Refused, format!("no second address beside {held}: {wrong}"));
                step.fix = fix;
                record::involve(step, reason);
            }
            Notice::HoldsReserved { address, reservation } => {
                let text = format!("it sets {address} aside for others; the Service keeps what it has");
                trace.step("POL-RESERVE", Verdict::Noted, text).about("AddressReservation", reservation);
            }
            Notice::Cleared { .. }
            | Notice::RequestInvalid { .. }
            | Notice::NotEnoughClusterIps { .. }
            | Notice::RecordedFamilyUnknown { .. }
            | Notice::ServiceFamilyUnknown { .. }
            | Notice::AllocationFailed { .. } => {}
        }
    }
}

/// [CTRL-50] to [CTRL-53]: a Service without addresses.
fn search(trace: &mut Trace, allocator: &Allocator, state: &ServiceState, outcome: &Convergence) {
    let (Ok(families), Ok(addresses)) = (&state.families, &state.requested_addresses) else {
        // What cannot be read was told already.
        return;
    };
    let request = ServiceRequest {
        terms: state.terms.clone(),
        families: *families,
        policy: state.policy,
        addresses: *addresses,
        pool: state.requested_pool.clone(),
    };
    let is_dual = matches!(families, ServiceFamilies::Dual { .. });
    match (&request.addresses, &request.pool) {
        (None, _) if is_dual && state.policy == IpFamilyPolicy::SingleStack => {
            refuse(trace, &NoAddress::DualStackUnwanted);
        }
        (Some(_), _) => tell_requested(trace, allocator, state, outcome),
        (None, Some(pool)) => {
            let mut trial = Trial::new(allocator, state, request.clone());
            trial.tell_named(trace, pool);
        }
        (None, None) => {
            let mut trial = Trial::new(allocator, state, request.clone());
            trial.tell_automatic(trace, outcome);
        }
    }
}

/// [CTRL-51]: the addresses that a Service asks for, and who else is on them.
fn tell_requested(trace: &mut Trace, allocator: &Allocator, state: &ServiceState, outcome: &Convergence) {
    let requested = state.requested_addresses.as_ref().ok().copied().flatten();
    for address in requested.iter().flat_map(|requested| requested.iter().collect::<Vec<_>>()) {
        if let Some(pool) = allocator.pool_of(address) {
            let text = format!("{address} is in pool {}", pool.name);
            trace.step("ALLOC-12", Verdict::Passed, text).about("IPAddressPool", pool.name.as_str());
        }
        let users: Vec<_> = allocator.users_of(address).into_iter().filter(|user| *user != state.key).collect();
        if outcome.problem.is_none() && !users.is_empty() {
            let text = format!("{address} is shared with {}", super::list(&users));
            let step = trace.step("ALLOC-10", Verdict::Passed, text);
            for user in users {
                step.objects.push(super::ObjectName::service(&user));
            }
        }
    }
    match (&outcome.problem, &outcome.addresses, &outcome.pool) {
        (Some(problem), ..) => refuse(trace, problem),
        (None, Some(addresses), Some(pool)) => {
            let text = format!("{addresses} is given as requested, whatever autoAssign of its pool says");
            trace.step("CTRL-51", Verdict::Chosen, text).about("IPAddressPool", pool.as_str());
        }
        (None, ..) => {}
    }
}

/// [CTRL-51]: what could be kept goes for a request that cannot be met.
fn tell_given_up(trace: &mut Trace, outcome: &Convergence) {
    let (Some(problem), None) = (&outcome.problem, &outcome.addresses) else { return };
    for step in trace.steps.iter_mut().filter(|step| step.verdict == Verdict::Chosen) {
        step.verdict = Verdict::Passed;
        step.text.push_str("; but not with what is asked for");
    }
    refuse(trace, problem);
}

/// Adds a refusal with its rule, its objects and its mend.
pub(super) fn refuse(trace: &mut Trace, reason: &NoAddress) {
    let (wrong, fix) = parts_of(reason);
    let step = trace.step(rule_of(reason), Verdict::Refused, wrong);
    step.fix = fix;
    record::involve(step, reason);
}

/// The families that a Service needs, in the order of the search.
pub(super) const fn families(of: ServiceFamilies) -> &'static [IpFamily] {
    match of {
        ServiceFamilies::Single(IpFamily::V4) => &[IpFamily::V4],
        ServiceFamilies::Single(IpFamily::V6) => &[IpFamily::V6],
        ServiceFamilies::Dual { .. } => &[IpFamily::V4, IpFamily::V6],
    }
}
