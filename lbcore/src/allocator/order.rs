//! In which order the pools are tried for a Service, for whoever wants to tell why.

use super::Allocator;
use super::choice::Search;
use super::roster::ServiceId;
use crate::family::ServiceFamilies;
use crate::pool::Pool;
use crate::request::ServiceTerms;

/// Which pools are tried together: those of a later rank only where no earlier one gives an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PoolRank {
    /// Something in it is set aside for the Service, or waits for it.
    OwnAddress,
    /// Pools for certain Services, by priority and name.
    Pinned,
    /// Pools for all, by name.
    Unpinned,
}

impl Allocator {
    /// The pools for automatic choice, each once, in the order in which they are tried for a Service that holds nothing. Nothing for a stale
    /// id.
    ///
    /// Source: [ALLOC-30], [ALLOC-37].
    pub fn pool_order(&self, id: ServiceId, terms: &ServiceTerms, families: ServiceFamilies) -> Vec<(PoolRank, &Pool)> {
        let Some(slot) = self.index.roster.slot(id) else { return Vec::new() };
        let ranks = [PoolRank::OwnAddress, PoolRank::Pinned, PoolRank::Unpinned];
        let mut seen = Vec::new();
        let mut order = Vec::new();
        for (rank, numbers) in ranks.into_iter().zip(Search::new(&self.index, slot, terms).order(families)) {
            for number in numbers {
                if !seen.contains(&number)
                    && let Some(space) = self.index.pools.space(number)
                {
                    seen.push(number);
                    order.push((rank, &space.pool));
                }
            }
        }
        order
    }
}
