//! What the planner follows beside Services: the configuration, the clock, and what waited before this process came to lead.

use std::net::IpAddr;

use lbcore::allocator::{Hold, PoolsError, QuotaUsage};
use lbcore::config::Config;
use lbcore::converge::{ServiceState, replay};
use lbcore::ledger::Entry;
#[cfg(test)]
use lbcore::pool::Pool;
use lbcore::service::{PoolName, ServiceKey};
use lbcore::time::UnixTime;

use super::Planner;
use crate::freeze::Live;

impl Planner {
    /// What time it is: addresses that have waited long enough are free. To be handed in before anything else of a pass.
    pub(crate) fn handle_clock(&mut self, wall: UnixTime) {
        self.wall = self.wall.max(wall);
        let ended = self.allocator.expire(wall);
        self.counts.expiries += u64::try_from(ended.len()).unwrap_or_default();
        self.record_expiries(&ended);
    }

    /// When an address will have waited long enough.
    pub(crate) fn next_expiry(&self) -> Option<UnixTime> {
        self.allocator.next_expiry()
    }

    /// What waited before this process came to lead.
    pub(crate) fn handle_holds(&mut self, holds: Vec<Hold>) {
        self.allocator.restore_holds(self.wall, holds);
    }

    /// The pools and policies in force from now on. The first ones begin the work.
    ///
    /// # Errors
    /// [`PoolsError`], which a checked configuration does not cause; nothing is changed then.
    pub(crate) fn handle_config(&mut self, config: &Config) -> Result<(), PoolsError> {
        let (holds, kept) = (self.holds_by_address(), self.kept_by_address());
        self.allocator.follow(config)?;
        self.record_policies(&holds, &kept);
        self.begin();
        Ok(())
    }

    /// Pools alone, as a configuration without policies has them.
    #[cfg(test)]
    pub(crate) fn handle_pools(&mut self, pools: impl IntoIterator<Item = Pool>) -> Result<(), PoolsError> {
        self.allocator.replace_pools(pools)?;
        self.begin();
        Ok(())
    }

    /// Has everybody looked at; with the first pools every recorded address is entered before.
    fn begin(&mut self) {
        if !self.has_pools {
            self.has_pools = true;
            self.untried = self.accounts.keys().cloned().collect();
            let states: Vec<ServiceState> = self.accounts.values().map(|account| self.state_of(account)).collect();
            // Who loses is told when it is looked at.
            replay(&mut self.allocator, &states);
        }
        let keys: Vec<ServiceKey> = self.accounts.keys().cloned().collect();
        for key in keys {
            self.linger(&key, &[]);
            self.call(&key);
        }
    }

    /// The addresses that wait, in order.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.allocator.holds()
    }

    /// The use of the quotas, in order.
    pub(crate) fn quotas(&self) -> impl Iterator<Item = QuotaUsage> + '_ {
        self.allocator.quota_usage()
    }

    /// Whether a Service holds an address.
    pub(crate) fn has(&self, key: &ServiceKey, address: IpAddr) -> bool {
        self.allocator.allocation_by_key(key).is_some_and(|held| held.addresses.contains(address))
    }

    /// What Services have, and of which pool: what they hold, and before the first pools what is recorded for them.
    pub(crate) fn live(&self) -> impl Iterator<Item = Live> + '_ {
        self.accounts.iter().filter_map(|(key, account)| {
            let object = &account.seen.object;
            let recorded = || {
                let is_ours = !self.has_pools && object.is_of_class(self.class.as_deref());
                let pool = account.seen.recorded_pool().filter(|_| is_ours)?;
                Some((self.state_of(account).recorded.known()?, PoolName::new(pool).ok()?))
            };
            let (addresses, pool) = self.holding(key).or_else(recorded)?;
            let (labels, addresses) = ((*object.labels).clone(), addresses.as_slice().to_vec());
            Some(Live { service: key.clone(), labels, pool, addresses })
        })
    }

    /// What happened to addresses since the last call.
    pub(crate) fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }
}
