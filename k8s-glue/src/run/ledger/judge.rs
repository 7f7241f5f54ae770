//! What the configuration of this host says of addresses and sharing, whoever holds what: the [`Judge`] of the agreement.
//!
//! The question "may this Service have these addresses" is put to the same algorithm that allocates, over an allocator with the same
//! pools and nobody in it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::agreement::{Assignment, Judge};
use lbcore::allocator::{Allocator, Change, PoolsError};
use lbcore::config::Config;
use lbcore::converge::converge;
use lbcore::family::IpFamilyPolicy;
use lbcore::service::ServiceKey;

use super::Account;

/// An allocator that stays empty, and the answers it gave since the input last changed.
#[derive(Debug)]
pub(super) struct Bench {
    allocator: RefCell<Allocator>,
    answers: RefCell<BTreeMap<ServiceKey, (Vec<IpAddr>, bool)>>,
}

impl Bench {
    /// With the pools of a configuration. Quotas and reservations do not count: they are about what is given, not about what is held.
    pub(super) fn new(config: &Config) -> Result<Self, PoolsError> {
        let mut allocator = Allocator::default();
        allocator.replace_pools(config.pools().values().map(|configured| (*configured.pool).clone()))?;
        Ok(Self { allocator: RefCell::new(allocator), answers: RefCell::default() })
    }

    /// The Service has changed or gone.
    pub(super) fn forget(&self, service: &ServiceKey) {
        self.answers.borrow_mut().remove(service);
    }

    pub(super) const fn judge<'a>(&'a self, accounts: &'a BTreeMap<ServiceKey, Account>) -> Judgement<'a> {
        Judgement { bench: self, accounts }
    }
}

/// The bench and the Services it judges.
#[derive(Debug)]
pub(super) struct Judgement<'a> {
    bench: &'a Bench,
    accounts: &'a BTreeMap<ServiceKey, Account>,
}

impl Judgement<'_> {
    fn ask(&self, account: &Account, addresses: &[IpAddr]) -> bool {
        let assignment = Assignment { addresses: addresses.to_vec(), since_ms: 0 };
        let state = account.with(&assignment);
        if state.recorded.known().is_none() {
            return false;
        }
        let mut allocator = self.bench.allocator.borrow_mut();
        let outcome = converge(&mut allocator, &state);
        allocator.forget_by_key(&state.key);
        // A second address that could be added is no reason to refuse the first.
        let may_grow = state.policy == IpFamilyPolicy::PreferDualStack
            && outcome.addresses.is_some_and(|kept| addresses.iter().all(|address| kept.contains(*address)));
        outcome.addresses.is_some() && (outcome.change == Change::Unchanged || may_grow)
    }
}

impl Judge for Judgement<'_> {
    fn accepts(&self, service: &ServiceKey, addresses: &[IpAddr]) -> bool {
        let Some(account) = self.accounts.get(service) else { return false };
        if let Some((asked, answer)) = self.bench.answers.borrow().get(service)
            && asked == addresses
        {
            return *answer;
        }
        let answer = self.ask(account, addresses);
        self.bench.answers.borrow_mut().insert(service.clone(), (addresses.to_vec(), answer));
        answer
    }

    fn may_share(&self, one: &ServiceKey, other: &ServiceKey) -> bool {
        match (self.accounts.get(one), self.accounts.get(other)) {
            (Some(one), Some(other)) => one.state.terms.sharing.admit(&other.state.terms.sharing).is_ok(),
            _ => false,
        }
    }
}
