//! Pool by pool: which were looked at in which order, and why each was passed over ([ALLOC-30] to [ALLOC-37]).
//!
//! What a pool would give is asked of a copy of the allocator, so that the answer is that of the search itself.

use super::allocation::{families, refuse};
use super::mend::{parts_of, rule_of};
use super::{Trace, Verdict, list, selectors};
use crate::allocator::{Allocator, Grant, NoAddress, PoolRank};
use crate::converge::{Convergence, ServiceState};
use crate::family::IpFamily;
use crate::pool::{AutoAssign, Pool, PoolRestriction};
use crate::request::ServiceRequest;
use crate::service::PoolName;
use crate::usage::Capacity;

/// A copy of the allocator in which the Service holds nothing, as before its search.
pub(super) struct Trial<'a> {
    state: &'a ServiceState,
    request: ServiceRequest,
    /// As it was given.
    before: &'a Allocator,
    allocator: Allocator,
}

impl<'a> Trial<'a> {
    pub(super) fn new(before: &'a Allocator, state: &'a ServiceState, request: ServiceRequest) -> Self {
        let mut allocator = before.clone();
        let id = allocator.intern(&state.key);
        allocator.release(id);
        Self { state, request, before, allocator }
    }

    /// What the pool would give; what another pool gave on trial is given up for it, and counts as free.
    fn ask(&mut self, pool: &PoolName) -> Result<Grant, NoAddress> {
        let request = ServiceRequest { pool: Some(pool.clone()), ..self.request.clone() };
        self.allocator.allocate_by_key(&self.state.key, &request)
    }

    fn pool(&self, name: &PoolName) -> Option<&Pool> {
        self.allocator.pools().find(|pool| pool.name == *name)
    }

    /// [ALLOC-31]
    pub(super) fn tell_named(&mut self, trace: &mut Trace, name: &PoolName) {
        match self.ask(name) {
            Ok(grant) => self.chosen(trace, &grant),
            Err(reason) => self.pass_over(trace, name, &reason),
        }
    }

    /// [ALLOC-30]
    pub(super) fn tell_automatic(&mut self, trace: &mut Trace, outcome: &Convergence) {
        let id = self.allocator.intern(&self.state.key);
        let order = self.allocator.pool_order(id, &self.request.terms, self.request.families);
        let order: Vec<(PoolRank, PoolName)> =
            order.into_iter().map(|(rank, pool)| (rank, pool.name.clone())).collect();
        let chosen = outcome.pool.as_ref().filter(|_| outcome.problem.is_none());
        let rank_of = |name| order.iter().find(|(_, pool)| pool == name).map(|(rank, _)| *rank);
        self.tell_disabled(trace, chosen.is_none());
        let wanted = families(self.request.families).len();
        let missing_family = |grant: &Grant| grant.addresses.as_slice().len() < wanted;
        let mut later: Vec<&PoolName> = Vec::new();
        let mut winner: Option<Grant> = None;
        for (rank, name) in &order {
            let is_settled = match (&winner, chosen) {
                // A pool that lacks a family won because no other of its kind has both, so all of these were looked at.
                (Some(won), Some(chosen)) => !missing_family(won) || rank_of(chosen) != Some(*rank),
                (None | Some(_), _) => false,
            };
            if is_settled {
                later.push(name);
                continue;
            }
            match self.ask(name) {
                Ok(grant) if chosen == Some(name) => {
                    self.chosen(trace, &grant);
                    winner = Some(grant);
                }
                Ok(grant) => {
                    let text = format!("it has {} alone, and a better pool was found", grant.addresses);
                    trace.step("ALLOC-32", Verdict::Refused, text).about("IPAddressPool", name.as_str());
                }
                Err(reason) => self.pass_over(trace, name, &reason),
            }
        }
        if !later.is_empty() {
            let text = format!("not looked at, because an earlier pool gives an address: {}", list(later));
            trace.step("ALLOC-30", Verdict::Noted, text);
        }
        if let Some(problem) = &outcome.problem {
            let (wrong, _) = parts_of(problem);
            // The last pool may have said it already.
            if trace.refusals().last().is_none_or(|step| step.text != wrong) {
                refuse(trace, problem);
            }
        }
    }

    fn chosen(&self, trace: &mut Trace, grant: &Grant) {
        let users: Vec<_> = grant
            .addresses
            .iter()
            .flat_map(|address| self.allocator.users_of(address))
            .filter(|user| *user != self.state.key)
            .collect();
        let own = self.own(grant);
        let which = if !users.is_empty() {
            format!("the lowest that it may use, shared with {}", list(users))
        } else if let Some(own) = own {
            own
        } else {
            "the lowest free".to_owned()
        };
        let why = self.pool(&grant.pool).map_or("", |pool| match &pool.allocation {
            Some(allocation) if self.request.pool.is_none() && allocation.priority != 0 => {
                " (a pool for certain Services, by priority)"
            }
            Some(_) if self.request.pool.is_none() => " (a pool for certain Services comes before those for all)",
            Some(_) | None => "",
        });
        let text = format!("it gives {}, {which}{why}", grant.addresses);
        trace.step("ALLOC-20", Verdict::Chosen, text).about("IPAddressPool", grant.pool.as_str());
    }

    /// Why an address was for the Service before all others.
    fn own(&self, grant: &Grant) -> Option<String> {
        let waited =
            self.before.holds().find(|hold| grant.addresses.contains(hold.address) && hold.service == self.state.key);
        if waited.is_some() {
            return Some("which waited for the Service since it gave it up".to_owned());
        }
        let pool = self.pool(&grant.pool)?;
        let policies = self.allocator.policies();
        let reservation = policies.reservations.iter().find(|reservation| {
            reservation.beneficiaries.specificity(&self.state.key, &self.state.terms.labels).is_some()
                && reservation
                    .ranges_in(pool)
                    .any(|range| grant.addresses.iter().any(|address| range.contains(address)))
        })?;
        Some(format!("set aside for the Service by AddressReservation {}", reservation.name))
    }

    /// What in a pool is set aside for others, or waits for others, in words.
    fn withheld(&self, pool: &Pool, family: IpFamily) -> String {
        let mut parts = Vec::new();
        let policies = self.allocator.policies();
        let others = policies.reservations.iter().filter(|reservation| {
            reservation.beneficiaries.specificity(&self.state.key, &self.state.terms.labels).is_none()
                && reservation.ranges_in(pool).any(|range| range.family() == family)
        });
        let others: Vec<_> = others.map(|reservation| &reservation.name).collect();
        if !others.is_empty() {
            parts.push(format!("some are set aside for others by AddressReservation {}", list(others)));
        }
        let waiting = self.before.holds().filter(|hold| {
            hold.service != self.state.key && IpFamily::of(hold.address) == family && pool.contains(hold.address)
        });
        let waiting: Vec<String> =
            waiting.map(|hold| format!("{} for {} until {}", hold.address, hold.service, hold.until)).collect();
        if !waiting.is_empty() {
            parts.push(format!("waiting: {}", list(waiting)));
        }
        if parts.is_empty() { String::new() } else { format!(" ({})", parts.join("; ")) }
    }

    /// A pool that gives nothing, and what would change that.
    fn pass_over(&self, trace: &mut Trace, name: &PoolName, reason: &NoAddress) {
        let (wrong, fix) = match (reason, self.pool(name)) {
            (NoAddress::PoolNotAllowed { restriction, .. }, Some(pool)) => self.kept_out(pool, *restriction),
            (NoAddress::PoolExhausted { .. }, Some(pool)) => (self.exhausted(pool), parts_of(reason).1),
            _ => parts_of(reason),
        };
        let step = trace.step(rule_of(reason), Verdict::Refused, wrong).about("IPAddressPool", name.as_str());
        step.fix = fix;
    }

    fn kept_out(&self, pool: &Pool, restriction: PoolRestriction) -> (String, Option<String>) {
        let allocation = pool.allocation.as_ref();
        match restriction {
            PoolRestriction::Namespace => {
                let allowed = allocation.and_then(|allocation| allocation.namespaces.as_ref());
                let namespaces = match allowed {
                    Some(allowed) if !allowed.is_empty() => format!("namespaces {}", list(allowed)),
                    Some(_) | None => "no namespace now".to_owned(),
                };
                let own = self.state.key.namespace();
                let text = format!("it serves {namespaces}, and the Service is in {own}");
                let fix = format!(
                    "add {own} to spec.serviceAllocation.namespaces of the pool, or label the namespace so that a namespace selector matches"
                );
                (text, Some(fix))
            }
            PoolRestriction::ServiceLabels => {
                let selectors =
                    allocation.map(|allocation| allocation.service_selectors.as_slice()).unwrap_or_default();
                let unmet = selectors::none_matches(selectors, &self.state.terms.labels).unwrap_or_default();
                let text = format!("its serviceSelectors do not match the Service: {unmet}");
                (
                    text,
                    Some(
                        "label the Service so that one matches, or widen spec.serviceAllocation.serviceSelectors"
                            .to_owned(),
                    ),
                )
            }
        }
    }

    fn exhausted(&self, pool: &Pool) -> String {
        let capacity = Capacity::of(pool);
        let usage = self.allocator.usage(&pool.name).unwrap_or_default();
        let figures = families(self.request.families).iter().map(|family| {
            let (total, (used, available)) = (capacity.family(*family), usage.family(*family));
            let withheld = match total.saturating_sub(used).saturating_sub(available) {
                0 => String::new(),
                withheld => format!(", {withheld} withheld"),
            };
            let named = self.withheld(pool, *family);
            format!("{used} of {total} {family} addresses are in use{withheld}{named}")
        });
        let figures = figures.collect::<Vec<_>>().join(", ");
        match &self.request.terms.sharing.sharing_key {
            Some(key) => format!("it is full: {figures}, and none can be shared under the key {key}"),
            None => format!("it is full: {figures}"),
        }
    }

    /// Pools that automatic choice leaves out. Where there is no address the mend is told.
    fn tell_disabled(&self, trace: &mut Trace, is_wanted: bool) {
        for pool in self.allocator.pools().filter(|pool| pool.auto_assign == AutoAssign::Disabled) {
            let text = "it is only for Services that ask for it, because autoAssign is false";
            let step = trace.step("ALLOC-30", Verdict::Refused, text).about("IPAddressPool", pool.name.as_str());
            if is_wanted && pool.allows(self.state.key.namespace(), &self.state.terms.labels) {
                let fix = format!(
                    "annotate the Service with metallb.io/address-pool: {}, or set autoAssign to true",
                    pool.name
                );
                step.mend(fix);
            }
        }
    }
}
