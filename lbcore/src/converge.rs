//! What shall become of one Service, given what it asks for, what is recorded for it and what the allocator holds ([CTRL-30] to
//! [CTRL-48]).
//!
//! Level driven: the whole state of the Service goes in, the whole outcome comes out, and a second call on the outcome changes nothing.
//! The record (the status of the Service, or the state file of a host without a cluster) is the truth ([CTRL-48]); the allocator follows
//! it as far as pools and other Services permit.
//!
//! A host that starts calls [`replay`] over all Services before it converges any of them, so that no recorded address is given to
//! somebody else ([CTRL-17]); [`converge_all`] does both and retries who waits.

mod fate;
mod notice;
mod rounds;

use core::fmt;
use std::sync::Arc;

use crate::addresses::{RecordedAddresses, RequestError, ServiceAddresses};
use crate::allocator::{Allocator, Change, Grant, NoAddress, ServiceId};
use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::request::{ClusterIpsProblem, ServiceRequest, ServiceTerms};
use crate::service::{PoolName, ServiceKey};

pub use self::fate::RecordFate;
pub use self::notice::{Notice, NoticeKind};
pub use self::rounds::{Moment, Told, converge_all, converge_all_telling, replay};

/// Whether a Service wants addresses at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceKind {
    /// Type `LoadBalancer`.
    #[default]
    LoadBalancer,
    /// Any other type: it only gives back what it has ([CTRL-4]).
    Other,
}

/// When a Service was made, in seconds since 1970; what is older wins a conflict over a recorded address ([CTRL-17]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CreationTime(pub i64);

/// Everything about a Service that decides its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceState {
    /// Namespace and name.
    pub key: ServiceKey,
    /// When it was made.
    pub created: CreationTime,
    /// Its type.
    pub kind: ServiceKind,
    /// Its families, or why its cluster IPs do not tell them (`request::families_of`).
    pub families: Result<ServiceFamilies, ClusterIpsProblem>,
    /// `spec.ipFamilyPolicy`.
    pub policy: IpFamilyPolicy,
    /// Labels, ports and keys.
    pub terms: ServiceTerms,
    /// The addresses it requests, or why the request cannot be read (`addresses::parse_requested`).
    pub requested_addresses: Result<Option<ServiceAddresses>, RequestError>,
    /// The pool it requests.
    pub requested_pool: Option<PoolName>,
    /// The addresses recorded for it.
    pub recorded: RecordedAddresses,
}

impl ServiceState {
    /// A load balancer Service of these families that asks for nothing particular and has nothing recorded.
    pub fn new(key: ServiceKey, families: Result<ServiceFamilies, ClusterIpsProblem>) -> Self {
        Self {
            key,
            created: CreationTime::default(),
            kind: ServiceKind::LoadBalancer,
            families,
            policy: IpFamilyPolicy::SingleStack,
            terms: ServiceTerms::default(),
            requested_addresses: Ok(None),
            requested_pool: None,
            recorded: RecordedAddresses::Nothing,
        }
    }
}

/// The outcome for a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Convergence {
    /// The addresses it shall have, in the order to record them; `None` where it shall have none.
    pub addresses: Option<ServiceAddresses>,
    /// The pool that they are from. Known wherever there are addresses, except where a problem leaves a record alone that the allocator
    /// never took over ([CTRL-37]).
    pub pool: Option<PoolName>,
    /// Whether the record must be written. Where it is unchanged the record stays as it is, even one that cannot be read.
    pub change: Change,
    /// Why it has no address, or what is wrong with its request while it keeps those it has.
    pub problem: Option<NoAddress>,
    /// What to tell the Service's owner, in order ([CEVT-1] to [CEVT-10]).
    pub notices: Vec<Notice>,
}

impl Convergence {
    /// Whether a later change elsewhere could give the Service more than it has: it waits for an address, or for a second one.
    pub fn is_waiting(&self) -> bool {
        self.problem.is_some() || self.notices.iter().any(|notice| matches!(notice, Notice::AdditionalFailed { .. }))
    }
}

/// Brings the allocator and a Service together.
///
/// # Examples
/// ```
/// use lbcore::allocator::Allocator;
/// use lbcore::converge::{ServiceState, converge};
/// use lbcore::request::families_of;
///
/// let mut allocator = Allocator::default();
/// let state = ServiceState::new("shop/web".parse()?, families_of(Some("10.96.0.7"), &[], None));
/// let outcome = converge(&mut allocator, &state);
/// assert_eq!(outcome.problem.map(|problem| problem.category()), Some("no-config"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Source: [CTRL-30] to [CTRL-48].
pub fn converge(allocator: &mut Allocator, state: &ServiceState) -> Convergence {
    converge_recorded(allocator, state, &state.recorded).0
}

/// Like [`converge`], against another record than that in `state`, and tells what became of that record.
///
/// Source: [CTRL-35] to [CTRL-42].
pub fn converge_telling(
    allocator: &mut Allocator,
    state: &ServiceState,
    recorded: &RecordedAddresses,
) -> (Convergence, RecordFate) {
    converge_recorded(allocator, state, recorded)
}

fn converge_recorded(
    allocator: &mut Allocator,
    state: &ServiceState,
    recorded: &RecordedAddresses,
) -> (Convergence, RecordFate) {
    if state.kind == ServiceKind::Other {
        // [CTRL-30]
        allocator.forget_by_key(&state.key);
        return (outcome(recorded, Ok(None), Vec::new()), RecordFate::NotReached);
    }
    let id = allocator.intern(&state.key);
    let mut pass = Pass { allocator, state, id, notices: Vec::new(), fate: RecordFate::NotReached };
    let result = pass.run(recorded);
    let Pass { notices, fate, .. } = pass;
    (outcome(recorded, result, notices), fate)
}

/// Why a pass ended without what was asked for.
#[derive(Debug)]
enum Failure {
    /// The Service ends with no address.
    Nothing(NoAddress),
    /// The Service keeps what the allocator holds for it.
    Kept(NoAddress, Grant),
    /// The record is left alone.
    Untouched(NoAddress),
}

fn outcome(
    recorded: &RecordedAddresses,
    result: Result<Option<Grant>, Box<Failure>>,
    notices: Vec<Notice>,
) -> Convergence {
    let (grant, problem) = match result.map_err(|failure| *failure) {
        Ok(grant) => (grant, None),
        Err(Failure::Nothing(problem)) => (None, Some(problem)),
        Err(Failure::Kept(problem, grant)) => (Some(grant), Some(problem)),
        Err(Failure::Untouched(problem)) => {
            let addresses = recorded.known();
            return Convergence { addresses, pool: None, change: Change::Unchanged, problem: Some(problem), notices };
        }
    };
    let addresses = grant.as_ref().map(|grant| grant.addresses);
    Convergence {
        addresses,
        pool: grant.map(|grant| grant.pool),
        change: difference(recorded, addresses),
        problem,
        notices,
    }
}

fn difference(recorded: &RecordedAddresses, addresses: Option<ServiceAddresses>) -> Change {
    let same = match recorded {
        RecordedAddresses::Nothing => addresses.is_none(),
        RecordedAddresses::Known(recorded) => addresses == Some(*recorded),
        RecordedAddresses::Unknown(_) => false,
    };
    if same { Change::Unchanged } else { Change::Changed }
}

/// What of a record the families of the Service let it keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Survivor {
    /// All of it, or the part whose family the Service still has.
    Keep(ServiceAddresses),
    /// This one, if the other family can be added; else nothing ([CHG-31]).
    KeepIfCompleted(ServiceAddresses),
    /// Nothing.
    Drop,
}

/// The family change test ([CTRL-38]), which spares the address of a family that the Service still has ([CHG-31]).
fn survivor(recorded: ServiceAddresses, families: ServiceFamilies, policy: IpFamilyPolicy) -> Survivor {
    if recorded.are_of(families) {
        return Survivor::Keep(recorded);
    }
    match (families, policy) {
        (ServiceFamilies::Dual { .. }, IpFamilyPolicy::PreferDualStack) => Survivor::Keep(recorded),
        (ServiceFamilies::Dual { .. }, IpFamilyPolicy::RequireDualStack) => Survivor::KeepIfCompleted(recorded),
        (ServiceFamilies::Dual { .. }, IpFamilyPolicy::SingleStack) => Survivor::Drop,
        (ServiceFamilies::Single(family), _) => {
            recorded.of_family(family).map_or(Survivor::Drop, |address| Survivor::Keep(ServiceAddresses::one(address)))
        }
    }
}

/// The recorded addresses that [`converge`] keeps, pools and other Services permitting.
fn kept_record(state: &ServiceState) -> Option<ServiceAddresses> {
    let recorded = state.recorded.known()?;
    if state.kind == ServiceKind::Other {
        return None;
    }
    let kept = match &state.families {
        Ok(ServiceFamilies::Single(_)) if state.policy == IpFamilyPolicy::RequireDualStack => return None,
        Ok(families) => match survivor(recorded, *families, state.policy) {
            Survivor::Keep(addresses) | Survivor::KeepIfCompleted(addresses) => addresses,
            Survivor::Drop => return None,
        },
        Err(ClusterIpsProblem::Missing) => return None,
        Err(ClusterIpsProblem::Undeterminable { .. }) => recorded,
    };
    match &state.requested_addresses {
        Ok(Some(requested)) if !requested.same_set(&kept) => None,
        Ok(_) | Err(_) => Some(kept),
    }
}

/// One walk through the algorithm.
struct Pass<'a> {
    allocator: &'a mut Allocator,
    state: &'a ServiceState,
    id: ServiceId,
    notices: Vec<Notice>,
    fate: RecordFate,
}

impl fmt::Debug for Pass<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("state", self.state).field("notices", &self.notices).finish_non_exhaustive()
    }
}

impl Pass<'_> {
    fn run(&mut self, recorded: &RecordedAddresses) -> Result<Option<Grant>, Box<Failure>> {
        if self.allocator.pools().next().is_none() {
            return self.clear_and_fail(NoAddress::NoPools); // [CTRL-31]
        }
        if let Err(missing @ ClusterIpsProblem::Missing) = &self.state.families {
            return self.clear_and_fail(missing.clone().into()); // [CTRL-32]
        }
        self.check_required_families()?;
        let current = self.keep_recorded(recorded)?;
        match current.and_then(|grant| self.complete(grant)) {
            Some(grant) => Ok(Some(grant)),
            None => self.allocate().map(Some),
        }
    }

    /// [CTRL-34]
    fn check_required_families(&mut self) -> Result<(), Box<Failure>> {
        let count = match &self.state.families {
            Ok(ServiceFamilies::Single(_)) => 1,
            Ok(ServiceFamilies::Dual { .. }) => 2,
            Err(problem) => problem.count(),
        };
        if self.state.policy == IpFamilyPolicy::RequireDualStack && count < 2 {
            self.notices.push(Notice::NotEnoughClusterIps { count });
            return self.clear_and_fail(NoAddress::DualStackRequired { count });
        }
        Ok(())
    }

    /// [CTRL-35] to [CTRL-41]: what remains of the recorded addresses, entered in the allocator; `None` where nothing does.
    fn keep_recorded(&mut self, recorded: &RecordedAddresses) -> Result<Option<Grant>, Box<Failure>> {
        if *recorded == RecordedAddresses::Nothing {
            return self.give_up(RecordFate::Nothing); // [CTRL-35]
        }
        if let RecordedAddresses::Unknown(texts) = recorded {
            self.notices.push(Notice::RecordedFamilyUnknown { texts: texts.clone() }); // [CTRL-36]
        }
        let families = match &self.state.families {
            Ok(families) => *families,
            Err(problem) => {
                self.notices.push(Notice::ServiceFamilyUnknown { problem: problem.clone() }); // [CTRL-37]
                self.fate = RecordFate::Untouched { problem: problem.clone() };
                return Err(Box::new(Failure::Untouched(problem.clone().into())));
            }
        };
        let Some(known) = recorded.known() else { return self.give_up(RecordFate::Unreadable) };
        let kept = match survivor(known, families, self.state.policy) {
            Survivor::Keep(addresses) | Survivor::KeepIfCompleted(addresses) => addresses,
            Survivor::Drop => return self.give_up(RecordFate::OtherFamilies { addresses: known }), // [CTRL-38]
        };
        let grant = match self.allocator.assign(self.id, &self.state.terms, kept.as_slice()) {
            Ok(grant) => grant,
            Err(reason) => {
                self.notices.push(Notice::Cleared { addresses: kept, reason: reason.clone() }); // [CTRL-39]
                return self.give_up(RecordFate::Refused { addresses: kept, reason });
            }
        };
        if self.state.requested_pool.as_ref().is_some_and(|requested| *requested != grant.pool) {
            let Grant { addresses, pool, .. } = grant;
            return self.give_up(RecordFate::OtherPool { addresses, pool }); // [CTRL-40]
        }
        self.fate = RecordFate::kept(&grant);
        match &self.state.requested_addresses {
            Err(problem) => {
                self.notices.push(Notice::RequestInvalid { problem: problem.clone() }); // [CTRL-41]
                Err(Box::new(Failure::Kept(problem.clone().into(), grant)))
            }
            Ok(Some(requested)) if !requested.same_set(&grant.addresses) => {
                self.give_up(RecordFate::OtherAddresses { addresses: grant.addresses, requested: *requested }) // [CTRL-41]
            }
            Ok(_) => {
                for (address, reservation) in self.allocator.held_against_reservations(self.id, &self.state.terms) {
                    let reservation = Arc::clone(&reservation.name);
                    self.notices.push(Notice::HoldsReserved { address, reservation });
                }
                Ok(Some(grant))
            }
        }
    }

    /// Ends the life of the record: the Service holds nothing now.
    #[expect(clippy::unnecessary_wraps, reason = "it is the last word of keep_recorded, in its type")]
    fn give_up(&mut self, fate: RecordFate) -> Result<Option<Grant>, Box<Failure>> {
        self.allocator.release(self.id);
        self.fate = fate;
        Ok(None)
    }

    /// [CTRL-42]: adds the second address to a Service of two families that has one. The families are those of its cluster IPs, so that
    /// a Service with one cluster IP is left alone. Where two are required, one alone is given up ([CHG-31]). Nothing is added to an address
    /// that is requested alone: with a second one the Service would have other addresses than it asks for, and lose both in the next pass.
    fn complete(&mut self, grant: Grant) -> Option<Grant> {
        let [held] = *grant.addresses.as_slice() else { return Some(grant) };
        if !matches!(self.state.families, Ok(ServiceFamilies::Dual { .. })) {
            return Some(grant);
        }
        let is_requested_alone = matches!(self.state.requested_addresses, Ok(Some(_)));
        let completed = match self.state.policy {
            IpFamilyPolicy::SingleStack => return Some(grant),
            IpFamilyPolicy::PreferDualStack if is_requested_alone => return Some(grant),
            IpFamilyPolicy::RequireDualStack if is_requested_alone => {
                self.allocator.release(self.id);
                return None;
            }
            IpFamilyPolicy::PreferDualStack => self.allocator.add_family(self.id, &self.state.terms),
            IpFamilyPolicy::RequireDualStack => self.complete_required(),
        };
        match completed {
            Ok(both) => {
                self.notices.push(Notice::Allocated { addresses: both.addresses, pool: both.pool.clone() });
                Some(both)
            }
            Err(reason) if self.state.policy == IpFamilyPolicy::PreferDualStack => {
                self.notices.push(Notice::AdditionalFailed { held, reason });
                Some(grant)
            }
            Err(reason) => {
                self.allocator.release(self.id);
                self.fate = RecordFate::Incomplete { addresses: grant.addresses, reason };
                None
            }
        }
    }

    /// A pair made from the one address held, IPv4 first as in every required pair ([CTRL-46]).
    fn complete_required(&mut self) -> Result<Grant, NoAddress> {
        let both = self.allocator.add_family(self.id, &self.state.terms)?;
        let families = [IpFamily::V4, IpFamily::V6];
        let sorted: Vec<_> = families.iter().filter_map(|family| both.addresses.of_family(*family)).collect();
        self.allocator.assign(self.id, &self.state.terms, &sorted)
    }

    /// [CTRL-43], [CTRL-50] to [CTRL-53]
    fn allocate(&mut self) -> Result<Grant, Box<Failure>> {
        match self.request().and_then(|request| self.allocator.allocate(self.id, &request)) {
            Ok(grant) => {
                self.notices.push(Notice::Allocated { addresses: grant.addresses, pool: grant.pool.clone() });
                Ok(grant)
            }
            Err(reason) => {
                self.notices.push(Notice::AllocationFailed { reason: reason.clone() });
                self.clear_and_fail(reason)
            }
        }
    }

    fn request(&self) -> Result<ServiceRequest, NoAddress> {
        Ok(ServiceRequest {
            terms: self.state.terms.clone(),
            families: self.state.families.clone()?,
            policy: self.state.policy,
            addresses: self.state.requested_addresses.clone()?,
            pool: self.state.requested_pool.clone(),
        })
    }

    /// Releases what the Service holds, and ends the pass.
    fn clear_and_fail<T>(&mut self, reason: NoAddress) -> Result<T, Box<Failure>> {
        self.allocator.release(self.id);
        Err(Box::new(Failure::Nothing(reason)))
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
