//! Who uses which address of a range.
//!
//! Invariants: a block has at least one used address; an address is in the map of shared ones exactly where two or more Services use it.
//! Neighbours are kept together, because addresses in use mostly are neighbours, and a map with an entry for each is several times as
//! large as the processor's cache where a million are in use.

use crate::hash::NumberMap;
use crate::sharing::{ServicePort, ServicePorts};

use super::few::FewMap;
use super::roster::{Roster, SlotNumber};

/// Neighbouring addresses kept in one entry: as many as fit into a cache line with their number.
const BLOCK: u128 = 8;

/// Who uses an address; at least one Service. The terms of the Services are in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Users<'a> {
    One(SlotNumber),
    /// Two or more.
    Many(&'a Sharers),
}

/// The Services that share an address, and which of them has which port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sharers {
    pub(super) slots: FewMap<SlotNumber, ()>,
    pub(super) ports: FewMap<ServicePort, SlotNumber>,
}

/// An address within a block, in four octets: see [`Cell::state`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Cell(u32);

/// What a cell says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unused,
    One(SlotNumber),
    Shared,
}

impl Cell {
    const UNUSED: Self = Self(0);
    const SHARED: Self = Self(u32::MAX);

    /// One Service alone. Slots are places in a vector whose elements are larger than 16 octets, so the largest number is never reached.
    const fn one(slot: SlotNumber) -> Self {
        Self(slot.saturating_add(1))
    }

    const fn state(self) -> State {
        match self.0 {
            0 => State::Unused,
            u32::MAX => State::Shared,
            more => State::One(more - 1),
        }
    }
}

/// The users of the addresses of a range, by the addresses' numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Occupancy {
    blocks: NumberMap<[Cell; BLOCK as usize]>,
    shared: NumberMap<Sharers>,
}

impl Users<'_> {
    /// The ports that the users hold together.
    pub(super) fn ports(self, roster: &Roster) -> ServicePorts {
        match self {
            Self::One(slot) => roster.sharing(slot).ports.clone(),
            Self::Many(sharers) => sharers.all_ports(),
        }
    }
}

impl Sharers {
    fn add(&mut self, slot: SlotNumber, ports: &ServicePorts) {
        self.slots.insert(slot, ());
        for port in ports.as_slice() {
            self.ports.insert(*port, slot);
        }
    }

    fn all_ports(&self) -> ServicePorts {
        self.ports.keys().copied().collect()
    }
}

impl Occupancy {
    /// The users of an address, if it has any.
    pub(super) fn users(&self, number: u128) -> Option<Users<'_>> {
        match self.blocks.get(&(number / BLOCK))?.get(offset(number))?.state() {
            State::Unused => None,
            State::One(slot) => Some(Users::One(slot)),
            State::Shared => self.shared.get(&number).map(Users::Many),
        }
    }

    /// Adds a Service with these ports to the users of an address.
    pub(super) fn add(&mut self, number: u128, slot: SlotNumber, ports: &ServicePorts, roster: &Roster) {
        let block = self.blocks.entry(number / BLOCK).or_default();
        let Some(cell) = block.get_mut(offset(number)) else { return };
        match cell.state() {
            State::Unused => *cell = Cell::one(slot),
            State::One(first) => {
                let sharers = self.shared.entry(number).or_default();
                sharers.add(first, &roster.sharing(first).ports);
                sharers.add(slot, ports);
                *cell = Cell::SHARED;
            }
            State::Shared => self.shared.entry(number).or_default().add(slot, ports),
        }
    }

    /// Takes a Service with these ports from the users of an address. Tells the ports of those who remain; `None` where nobody does.
    pub(super) fn remove(&mut self, number: u128, slot: SlotNumber, ports: &ServicePorts) -> Option<ServicePorts> {
        let block = self.blocks.get_mut(&(number / BLOCK))?;
        let cell = block.get_mut(offset(number))?;
        if *cell == Cell::SHARED {
            let sharers = self.shared.get_mut(&number)?;
            sharers.slots.remove(&slot);
            for port in ports.as_slice() {
                sharers.ports.remove(port);
            }
            let remaining = sharers.all_ports();
            let last = sharers.slots.keys().next().copied().filter(|_| sharers.slots.len() == 1);
            if let Some(last) = last {
                *cell = Cell::one(last);
                self.shared.remove(&number);
            }
            return Some(remaining);
        }
        *cell = Cell::UNUSED;
        if block.iter().all(|cell| *cell == Cell::UNUSED) {
            self.blocks.remove(&(number / BLOCK));
        }
        None
    }
}

/// The place of a number in its block.
fn offset(number: u128) -> usize {
    usize::try_from(number % BLOCK).unwrap_or_default()
}
