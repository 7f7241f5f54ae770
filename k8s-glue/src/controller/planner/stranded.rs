//! Services whose addresses are of a pool that is there, but of which nothing is in force.
//!
//! Somebody's typing error in a pool takes no address away: what is recorded stays recorded, is given to nobody else (it lingers), and
//! counts again once the pool does. A process that runs keeps the version before; this is for one that has just started.

use lbcore::addresses::ServiceAddresses;
use lbcore::converge::{NoticeKind, ServiceKind, ServiceState};
use lbcore::family::{IpFamilyPolicy, ServiceFamilies};
use lbcore::service::{PoolName, ServiceKey};

use super::{Output, Planner};
use crate::cluster::events::{About, Told};

impl Planner {
    /// Leaves a Service as it is where its addresses are of a refused pool, and says so; false where it is to be looked at like others.
    pub(super) fn strand(&mut self, key: &ServiceKey) -> bool {
        let Some((pool, addresses)) = self.stranded(key) else { return false };
        self.waiting.remove(key);
        self.untried.remove(key);
        let Some(account) = self.accounts.get_mut(key) else { return false };
        account.is_releasing = false;
        account.generation = self.allocator.freed_generation();
        let news = account.news(vec![Told {
            about: About::service(key, account.seen.uid()),
            kind: NoticeKind::Warning,
            reason: "poolRefused",
            text: format!(
                "{addresses} of the pool {pool} stays recorded, but that pool is refused, and speakers may not announce it: correct \
                 the pool, its events say what is wrong"
            ),
        }]);
        self.outputs.extend(news.into_iter().map(Output::Tell));
        true
    }

    fn stranded(&self, key: &ServiceKey) -> Option<(PoolName, ServiceAddresses)> {
        if self.refused.is_empty() || self.allocator.allocation_by_key(key).is_some() {
            return None;
        }
        let account = self.accounts.get(key)?;
        let recorded_pool = account.seen.recorded_pool()?;
        let pool = self.refused.iter().find(|pool| pool.as_str() == recorded_pool)?;
        let state = self.state_of(account);
        let addresses = state.recorded.known()?;
        // Where another pool has them, or another Service, the rules for those decide.
        let is_elsewhere = addresses.iter().all(|address| self.allocator.pool_of(address).is_some());
        let is_free = addresses.iter().all(|address| self.allocator.users_of(address).is_empty());
        (asks_for(&state, pool, &addresses) && is_free && !is_elsewhere).then(|| (pool.clone(), addresses))
    }
}

/// Whether a Service still asks for what it has.
fn asks_for(state: &ServiceState, pool: &PoolName, addresses: &ServiceAddresses) -> bool {
    let are_right = match state.families {
        Ok(families @ ServiceFamilies::Single(_)) => addresses.are_of(families),
        Ok(families @ ServiceFamilies::Dual { .. }) => {
            addresses.are_of(families) || state.policy == IpFamilyPolicy::PreferDualStack
        }
        Err(_) => false,
    };
    let are_wanted = match &state.requested_addresses {
        Ok(requested) => requested.as_ref().is_none_or(|requested| requested.same_set(addresses)),
        Err(_) => true,
    };
    let is_from = state.requested_pool.as_ref().is_none_or(|requested| requested == pool);
    state.kind == ServiceKind::LoadBalancer && are_right && are_wanted && is_from
}
