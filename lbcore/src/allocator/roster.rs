//! Services as small numbers: interning of keys, and what each Service holds.
//!
//! What a Service holds takes 32 octets, so that two fit into a cache line and none lies in two: an operation on one of a million Services
//! waits for memory and for little else. Which pool and which of its ranges an address is in follows from the address, and is not kept.
//!
//! Invariants: a slot with a key is in the table under that key; a slot without one holds nothing and is listed as vacant. Memory is
//! bounded by the largest number of Services known at one time ([ALLOC-51]).

use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addresses::ServiceAddresses;
use crate::hash::FixedState;
use crate::service::ServiceKey;
use crate::sharing::SharingTerms;

use super::key_table::KeyTable;
use super::terms::{TermsNumber, TermsTable};

/// A Service as a small number, from `Allocator::intern`. Numbers of forgotten Services are used again; an id that outlives its
/// Service is recognised as stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    slot: SlotNumber,
    /// How often the slot was given up before.
    generation: u32,
}

/// Place of a Service in the roster.
pub(super) type SlotNumber = u32;

/// Addresses of one pool, and in which of the pool's ranges each lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    /// Number of the pool.
    pub(super) pool: u32,
    /// The addresses.
    pub(super) addresses: ServiceAddresses,
    /// Number of the range of each address, in the order of the addresses; the second counts only where there are two.
    pub(super) ranges: [u32; 2],
}

/// What a Service holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holding {
    pub(super) placement: Placement,
    pub(super) sharing: SharingTerms,
}

/// Which of the addresses in a slot count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Held {
    #[default]
    Nothing,
    V4,
    V6,
    /// Both, IPv4 first.
    V4V6,
    /// Both, IPv6 first.
    V6V4,
}

#[derive(Clone, Debug)]
#[repr(align(32))]
struct Slot {
    generation: u32,
    /// Counts where it holds something.
    terms: TermsNumber,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    held: Held,
}

const _: () = assert!(size_of::<Slot>() == 32, "two slots fill a cache line");

impl Default for Slot {
    fn default() -> Self {
        Self { generation: 0, terms: 0, v4: Ipv4Addr::UNSPECIFIED, v6: Ipv6Addr::UNSPECIFIED, held: Held::Nothing }
    }
}

impl Slot {
    fn addresses(&self) -> Option<ServiceAddresses> {
        let (v4, v6) = (IpAddr::V4(self.v4), IpAddr::V6(self.v6));
        match self.held {
            Held::Nothing => None,
            Held::V4 => Some(ServiceAddresses::one(v4)),
            Held::V6 => Some(ServiceAddresses::one(v6)),
            Held::V4V6 => ServiceAddresses::pair(v4, v6),
            Held::V6V4 => ServiceAddresses::pair(v6, v4),
        }
    }

    fn set_addresses(&mut self, addresses: &ServiceAddresses) {
        for address in addresses.iter() {
            match address {
                IpAddr::V4(v4) => self.v4 = v4,
                IpAddr::V6(v6) => self.v6 = v6,
            }
        }
        self.held = match addresses.as_slice() {
            [] => Held::Nothing,
            [IpAddr::V4(_)] => Held::V4,
            [IpAddr::V6(_)] => Held::V6,
            [IpAddr::V4(_), ..] => Held::V4V6,
            [IpAddr::V6(_), ..] => Held::V6V4,
        };
    }
}

/// All Services known.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    by_key: KeyTable,
    slots: Vec<Slot>,
    terms: TermsTable,
    /// The keys of the slots. Kept apart, because most calls need a holding and no key.
    keys: Vec<Option<ServiceKey>>,
    vacant: Vec<SlotNumber>,
}

impl Roster {
    /// The id of a key, new where it has none.
    pub(super) fn intern(&mut self, key: &ServiceKey) -> ServiceId {
        if let Some(id) = self.find(key) {
            return id;
        }
        let slot = self.vacant.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            self.keys.push(None);
            SlotNumber::try_from(self.slots.len() - 1).expect("fewer than 2^32 Services fit into memory")
        });
        let generation = self.slots.get(slot as usize).expect("vacant slots exist").generation;
        *self.keys.get_mut(slot as usize).expect("each slot has a place for a key") = Some(key.clone());
        self.by_key.insert(hash(key), slot);
        ServiceId { slot, generation }
    }

    pub(super) fn find(&self, key: &ServiceKey) -> Option<ServiceId> {
        let slot = self.by_key.find(hash(key), |slot| has_key(&self.keys, slot, key))?;
        self.id(slot)
    }

    fn id(&self, slot: SlotNumber) -> Option<ServiceId> {
        self.slots.get(slot as usize).map(|entry| ServiceId { slot, generation: entry.generation })
    }

    /// The first half of forgetting: takes a key out of the table. Its id is good until [`Self::vacate`], which must follow.
    pub(super) fn unlist(&mut self, key: &ServiceKey) -> Option<ServiceId> {
        let slot = self.by_key.remove(hash(key), |slot| has_key(&self.keys, slot, key))?;
        self.id(slot)
    }

    /// The second half of forgetting: gives the slot up. The Service must hold nothing.
    pub(super) fn vacate(&mut self, id: ServiceId) {
        let Some(entry) = self.slots.get_mut(id.slot as usize) else { return };
        debug_assert!(entry.held == Held::Nothing, "a forgotten Service holds nothing");
        entry.generation = entry.generation.wrapping_add(1);
        if let Some(key) = self.keys.get_mut(id.slot as usize) {
            *key = None;
        }
        self.vacant.push(id.slot);
    }

    /// The slot of an id that is not stale. An id is given out with the generation that its slot has until the Service is forgotten.
    pub(super) fn slot(&self, id: ServiceId) -> Option<SlotNumber> {
        let entry = self.slots.get(id.slot as usize)?;
        (entry.generation == id.generation).then_some(id.slot)
    }

    /// The key in a slot that is in use.
    pub(super) fn key(&self, slot: SlotNumber) -> &ServiceKey {
        let key = self.keys.get(slot as usize).and_then(Option::as_ref);
        key.expect("slots in use have a key")
    }

    /// The addresses that a Service holds.
    pub(super) fn addresses(&self, slot: SlotNumber) -> Option<ServiceAddresses> {
        self.slots.get(slot as usize).and_then(Slot::addresses)
    }

    /// The terms of a Service that holds something.
    pub(super) fn sharing(&self, slot: SlotNumber) -> &SharingTerms {
        let entry = self.slots.get(slot as usize).filter(|entry| entry.held != Held::Nothing);
        self.terms.get(entry.expect("who is listed with an address holds it").terms)
    }

    /// Makes a Service, which holds nothing, hold addresses on these terms.
    pub(super) fn put(&mut self, slot: SlotNumber, addresses: &ServiceAddresses, sharing: &SharingTerms) {
        let Some(entry) = self.slots.get_mut(slot as usize) else { return };
        debug_assert!(entry.held == Held::Nothing, "a Service is detached before it is attached anew");
        entry.set_addresses(addresses);
        entry.terms = self.terms.take(sharing);
    }

    /// Makes a Service hold nothing; gives back what it held, and on what terms.
    pub(super) fn take(&mut self, slot: SlotNumber) -> Option<(ServiceAddresses, SharingTerms)> {
        let entry = self.slots.get_mut(slot as usize)?;
        let addresses = entry.addresses()?;
        entry.held = Held::Nothing;
        Some((addresses, self.terms.give_back(entry.terms)))
    }

    /// Every slot ever made, vacant ones included.
    pub(super) fn slot_numbers(&self) -> impl Iterator<Item = SlotNumber> + use<> {
        0..SlotNumber::try_from(self.slots.len()).expect("fewer than 2^32 Services fit into memory")
    }

    /// How many Services are known.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }
}

fn hash(key: &ServiceKey) -> u64 {
    FixedState::default().hash_one(key)
}

fn has_key(keys: &[Option<ServiceKey>], slot: SlotNumber, key: &ServiceKey) -> bool {
    keys.get(slot as usize).is_some_and(|known| known.as_ref() == Some(key))
}
