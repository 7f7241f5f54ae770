//! Services as small numbers: interning of keys, and what each Service holds.
//!
//! Invariants: a slot with a key is in the table under that key; a slot without one holds nothing and is listed as vacant. Memory is
//! bounded by the largest number of Services known at one time ([ALLOC-51]).

use std::hash::BuildHasher;

use crate::addresses::ServiceAddresses;
use crate::hash::FixedState;
use crate::service::ServiceKey;
use crate::sharing::SharingTerms;

use super::key_table::KeyTable;

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

#[derive(Clone, Debug, Default)]
struct Slot {
    generation: u32,
    holding: Option<Holding>,
}

/// All Services known.
#[derive(Clone, Debug, Default)]
pub(super) struct Roster {
    by_key: KeyTable,
    slots: Vec<Slot>,
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
        debug_assert!(entry.holding.is_none(), "a forgotten Service holds nothing");
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

    pub(super) fn holding(&self, slot: SlotNumber) -> Option<&Holding> {
        self.slots.get(slot as usize).and_then(|entry| entry.holding.as_ref())
    }

    /// The terms of a Service that holds something.
    pub(super) fn sharing(&self, slot: SlotNumber) -> &SharingTerms {
        &self.holding(slot).expect("who is listed with an address holds it").sharing
    }

    /// Puts a holding in, or takes it out with `None`; gives back what was there.
    pub(super) fn set_holding(&mut self, slot: SlotNumber, holding: Option<Holding>) -> Option<Holding> {
        let entry = self.slots.get_mut(slot as usize)?;
        core::mem::replace(&mut entry.holding, holding)
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
