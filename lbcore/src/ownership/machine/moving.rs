//! Addresses that change their group: groups that merge or come apart ([OWN-20]).
//!
//! Nodes learn of a merge at different moments. Whoever holds the higher claim keeps and answers for the whole, the other hands
//! over its part; until both know, each goes on with what it answered before.

use std::net::IpAddr;

use crate::announce::GroupKey;
use crate::ownership::CarrierId;
use crate::ownership::claims::ClaimState;
use crate::time::Timestamp;

use super::Ownership;
use super::group::{Group, Joining, Stand, State};

/// What becomes of an address that moves to another group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// It goes along with what its group is: nothing is answered that was not, nothing stops.
    Plain,
    /// The group it comes to takes over the claim of the group it comes from.
    Adopt,
    /// It stays with its old group until the higher claim covers it.
    Later,
}

impl Ownership {
    /// An address changes its group: what this node owns it keeps or hands over, without a gap.
    pub(super) fn move_address(&mut self, now: Timestamp, carrier: CarrierId, address: IpAddr, stand: Stand) {
        let (from, to) = (self.group_of.get(&address).copied(), stand.group);
        let Some((from, old)) = from.and_then(|from| self.groups.get(&from).map(|group| (from, group))) else {
            return self.add_address(now, carrier, address, stand);
        };
        let kind = self.judge_move(address, from, old, to);
        if kind == Move::Later {
            self.moving.insert(address, to);
            return;
        }
        self.moving.remove(&address);
        let Some(old) = self.groups.get_mut(&from) else { return };
        let (inherited, known_epoch, answered) = (old.state.clone(), old.known_epoch, old.answers());
        let Some(mut entry) = old.addresses.remove(&address) else { return };
        let emptied = old.addresses.is_empty();
        entry.stand = stand;
        let group = self.groups.entry(to).or_insert_with(|| Group::new(now));
        group.known_epoch = group.known_epoch.max(known_epoch);
        if kind == Move::Adopt {
            group.state = inherited;
            for other in group.addresses.values_mut() {
                other.joining = Some(Joining::new(now));
            }
        } else if !answered && group.answers() {
            entry.joining = Some(Joining::new(now));
        }
        group.addresses.insert(address, entry);
        self.group_of.insert(address, to);
        self.touched.insert(to);
        if emptied {
            self.end_group(now, from);
        } else {
            self.touched.insert(from);
        }
    }

    fn judge_move(&self, address: IpAddr, from: GroupKey, old: &Group, to: GroupKey) -> Move {
        let joining = old.addresses.get(&address).is_some_and(|entry| entry.joining.is_some());
        let Some(epoch) = old.answered_epoch().filter(|_| !joining) else { return Move::Plain };
        let Some(group) = self.groups.get(&to) else { return Move::Adopt };
        if group.answers() {
            return Move::Plain;
        }
        let foreign = self.foreign_claims(group);
        let Some(owner) = foreign.iter().find(|other| other.alive && other.state == ClaimState::Active) else {
            let undecided = matches!(group.state, State::Suspended { .. } | State::InUse { .. });
            return if undecided { Move::Later } else { Move::Adopt };
        };
        if owner.order < self.own_order(from, old, epoch) {
            Move::Adopt
        } else if owner.addresses.contains(&address) {
            Move::Plain
        } else {
            Move::Later
        }
    }

    /// After a group was looked at: moves that waited for it.
    pub(super) fn retry_moves(&mut self, now: Timestamp, key: GroupKey) {
        let waiting: Vec<IpAddr> = self
            .moving
            .iter()
            .filter(|(address, to)| **to == key || self.group_of.get(*address) == Some(&key))
            .map(|(address, _)| *address)
            .collect();
        for address in waiting {
            let Some(carrier) = self.carrier_of(address) else { continue };
            let stand = self.carriers.get(&carrier).and_then(|record| record.stands.get(&address)).cloned();
            if let Some(stand) = stand {
                self.move_address(now, carrier, address, stand);
            }
        }
    }
}
