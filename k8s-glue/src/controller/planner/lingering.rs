//! Addresses that statuses may still name though their Services do not hold them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::addresses::ServiceAddresses;
use lbcore::service::ServiceKey;

use super::Planner;

/// Which addresses linger, by Service and by address, and which of them are withheld from others.
#[derive(Debug, Default)]
pub(super) struct Lingering {
    of: BTreeMap<ServiceKey, BTreeSet<IpAddr>>,
    by: BTreeMap<IpAddr, BTreeSet<ServiceKey>>,
    withheld: BTreeSet<IpAddr>,
}

impl Lingering {
    /// Sets the addresses of a Service; returns those that changed.
    pub(super) fn replace(&mut self, key: &ServiceKey, addresses: BTreeSet<IpAddr>) -> Vec<IpAddr> {
        let before = self.of.remove(key).unwrap_or_default();
        for address in before.difference(&addresses) {
            if let Some(keys) = self.by.get_mut(address) {
                keys.remove(key);
                if keys.is_empty() {
                    self.by.remove(address);
                }
            }
        }
        for address in addresses.difference(&before) {
            self.by.entry(*address).or_default().insert(key.clone());
        }
        let changed = before.symmetric_difference(&addresses).copied().collect();
        if !addresses.is_empty() {
            self.of.insert(key.clone(), addresses);
        }
        changed
    }
}

/// What was so before a look.
#[derive(Debug)]
pub(super) struct Before {
    held: Option<ServiceAddresses>,
    lifted: Vec<IpAddr>,
    /// The allocator's generation.
    generation: u64,
}

impl Planner {
    /// Lets a Service take back what lingers of it.
    pub(super) fn lift(&mut self, key: &ServiceKey) -> Before {
        let generation = self.allocator.freed_generation();
        let held = self.allocator.allocation_by_key(key).map(|held| held.addresses);
        let own = self.lingering.of.get(key).into_iter().flatten();
        let lifted: Vec<IpAddr> = own.filter(|address| self.lingering.withheld.contains(*address)).copied().collect();
        for address in &lifted {
            self.lingering.withheld.remove(address);
            self.allocator.unreserve(*address);
        }
        Before { held, lifted, generation }
    }

    /// Withholds again what lingers now.
    pub(super) fn put_back(&mut self, key: &ServiceKey, before: &Before) {
        let held = before.held.iter().flat_map(ServiceAddresses::iter);
        let touched: Vec<IpAddr> = held.chain(before.lifted.iter().copied()).collect();
        self.linger(key, &touched);
        let now_held = self.allocator.allocation_by_key(key).map(|held| held.addresses);
        let is_taken = |address: &IpAddr| {
            self.lingering.withheld.contains(address) || now_held.is_some_and(|held| held.contains(*address))
        };
        if self.considered == before.generation && before.lifted.iter().all(is_taken) {
            // Nobody else could have had them meanwhile: that is no reason to try those who wait.
            self.considered += u64::try_from(before.lifted.len()).unwrap_or_default();
        }
    }

    /// Takes note of what lingers of a Service; `touched` are further addresses whose users may have changed.
    pub(super) fn linger(&mut self, key: &ServiceKey, touched: &[IpAddr]) {
        let Some(account) = self.accounts.get(key) else { return };
        let mut named = account.named();
        if let Some(held) = self.allocator.allocation_by_key(key) {
            for address in held.addresses.iter() {
                named.remove(&address);
            }
        }
        let changed = self.lingering.replace(key, named);
        self.balance(changed.into_iter().chain(touched.iter().copied()));
    }

    /// Withholds these addresses or not, as they linger and are used.
    pub(super) fn balance(&mut self, addresses: impl Iterator<Item = IpAddr>) {
        for address in addresses {
            let keys = self.lingering.by.get(&address);
            let holder = keys.and_then(BTreeSet::first).filter(|_| self.allocator.users_of(address).is_empty());
            match holder {
                Some(holder) => {
                    if self.lingering.withheld.insert(address) {
                        self.allocator.reserve(address, holder.as_str());
                    }
                }
                None => {
                    if self.lingering.withheld.remove(&address) {
                        self.allocator.unreserve(address);
                    }
                }
            }
        }
    }
}
