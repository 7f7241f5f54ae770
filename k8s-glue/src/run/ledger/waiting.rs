//! The clock of policies, and who holds what of which pool.

use std::net::IpAddr;

use lbcore::allocator::Hold;
use lbcore::service::{PoolName, ServiceKey};
use lbcore::time::UnixTime;

use super::Ledger;

impl Ledger {
    /// What time it is: addresses that have waited long enough are free. To be told before anything else.
    pub(crate) fn tick(&mut self, wall: UnixTime) {
        self.allocator.expire(wall);
    }

    /// The addresses that wait, in order.
    pub(crate) fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.allocator.holds()
    }

    /// When an address will have waited long enough.
    pub(crate) fn next_expiry(&self) -> Option<UnixTime> {
        self.allocator.next_expiry()
    }

    /// Whether a Service holds an address, live or by its record.
    pub(crate) fn has(&self, service: &ServiceKey, address: IpAddr) -> bool {
        self.allocator.allocation_by_key(service).is_some_and(|held| held.addresses.contains(address))
    }

    /// The pool of what a Service holds.
    pub(crate) fn pool_of(&self, service: &ServiceKey) -> Option<PoolName> {
        self.allocator.allocation_by_key(service).map(|held| held.pool.clone())
    }
}
