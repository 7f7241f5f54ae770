//! What a host sees of policies: the configuration as a whole, time, addresses that wait, and quotas.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::policy::{AddressReservation, Policies};
use crate::pool::Pool;
use crate::request::ServiceTerms;
use crate::time::UnixTime;

use super::compartment::Access;
use super::holds::Hold;
use super::index::Pools;
use super::outcome::{PoolsError, PoolsReplaced};
use super::quotas::QuotaUsage;
use super::roster::ServiceId;
use super::{Allocator, Search};

impl Allocator {
    /// Uses the pools and policies of a configuration from now on; see [`Self::replace`].
    ///
    /// # Errors
    /// As [`Self::replace`].
    pub fn follow(&mut self, config: &Config) -> Result<PoolsReplaced, PoolsError> {
        let pools = config.pools().values().map(|configured| configured.pool.as_ref().clone());
        self.replace(pools, Arc::clone(config.policies()))
    }

    /// Uses these pools and policies from now on. Services keep addresses that are still all in one pool, whatever reservations and
    /// quotas say, and without a look at whether that pool serves them: assigning anew finds out. What waits goes on waiting as far as
    /// the policies let it. The exclusions of the policies must be in the pools already, as those of a [`Config`] are.
    ///
    /// # Errors
    /// [`PoolsError`] where a name or an address is there twice; pools and policies are then as before.
    ///
    /// Source: [ALLOC-39].
    pub fn replace(
        &mut self,
        pools: impl IntoIterator<Item = Pool>,
        policies: Arc<Policies>,
    ) -> Result<PoolsReplaced, PoolsError> {
        let pools: Vec<Pool> = pools.into_iter().collect();
        let mut replaced = PoolsReplaced::default();
        let cut_alike = self.index.policies.reservations == policies.reservations;
        if cut_alike && self.index.pools.redescribe(&pools) {
            self.index.replace_policies(policies);
        } else {
            let pools = Pools::new(pools, &policies)?;
            let mut told = Vec::new();
            self.index.replace_pools(pools, policies, |slot, pool| told.push((slot, pool)));
            for (slot, pool) in told {
                let key = self.index.roster.key(slot).clone();
                match pool {
                    Some(pool) => replaced.moved.push((key, pool)),
                    None => replaced.released.push(key),
                }
            }
            replaced.released.sort_unstable();
            replaced.moved.sort_unstable();
        }
        // New ranges and new restrictions both can make room for who waits.
        self.freed_generation += 1;
        Ok(replaced)
    }

    /// The policies in force.
    pub const fn policies(&self) -> &Arc<Policies> {
        &self.index.policies
    }

    /// Moves the clock to `now`, and lets go of what has waited long enough; tells what that was, in the order in which it ended. Waiting
    /// times of addresses that are released begin at the latest time given here, so a host calls this before it changes anything, and
    /// again at [`Self::next_expiry`]. A host without such policies need not call it.
    pub fn expire(&mut self, now: UnixTime) -> Vec<Hold> {
        let ended = self.index.holds.advance(now);
        let ended: Vec<Hold> = ended.into_iter().filter_map(|address| self.index.end_hold(address)).collect();
        self.freed_generation += u64::from(!ended.is_empty());
        ended
    }

    /// When the next address will have waited long enough. It may change with every call that changes anything.
    pub fn next_expiry(&self) -> Option<UnixTime> {
        self.index.holds.next_end()
    }

    /// The addresses that wait for a Service, in order of address. A host records them, so that [`Self::restore_holds`] can enter them
    /// after a restart.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.index.holds.iter()
    }

    /// Moves the clock to `now` and enters what waited before a restart, as far as pools and policies let it. What a Service holds, or
    /// waits already, is left as it is; so it does not matter whether recorded addresses are entered before or after.
    pub fn restore_holds(&mut self, now: UnixTime, holds: impl IntoIterator<Item = Hold>) {
        self.expire(now);
        let unknown = holds.into_iter().filter(|hold| self.index.holds.of_address(hold.address).is_none());
        let holds = unknown.collect();
        self.index.enter_holds(holds);
    }

    /// What is used of each quota, in the order of the policies and their quotas, then by namespace. A namespace that holds nothing is
    /// left out.
    pub fn quota_usage(&self) -> impl Iterator<Item = QuotaUsage> + '_ {
        self.index.quotas.usages()
    }

    /// The addresses that a Service holds and that are set aside for others, with the reservation that does so. It keeps them.
    pub fn held_against_reservations(
        &self,
        id: ServiceId,
        terms: &ServiceTerms,
    ) -> Vec<(IpAddr, Arc<AddressReservation>)> {
        if self.index.policies.reservations.is_empty() {
            return Vec::new();
        }
        let Some(slot) = self.index.roster.slot(id) else { return Vec::new() };
        let Some(placement) = self.index.placement(slot) else { return Vec::new() };
        let Some(space) = self.index.pools.space(placement.pool) else { return Vec::new() };
        let search = Search::new(&self.index, slot, terms);
        let reservation = |access: &Access| {
            let number = search.set_aside_for_others(access)?;
            self.index.policies.reservations.get(number as usize).cloned()
        };
        let places = placement.places().zip(placement.addresses.iter());
        places.filter_map(|(place, address)| Some((address, reservation(space.access(place))?))).collect()
    }
}

#[cfg(test)]
mod tests;
