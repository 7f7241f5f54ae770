//! The judge: who would answer for each address at each moment, for how long two did and for how long nobody.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use lbcore::time::Timestamp;

use super::{STEP, Segment};

#[derive(Debug, Default)]
pub(super) struct Judge {
    two_since: BTreeMap<IpAddr, Timestamp>,
    longest_two: Duration,
    longest_two_of: Option<(IpAddr, Timestamp)>,
    none_since: BTreeMap<IpAddr, Timestamp>,
    gaps: Vec<(Timestamp, IpAddr, Duration)>,
    pub(super) last_owner: BTreeMap<IpAddr, usize>,
    pub(super) moves: usize,
}

impl Segment {
    pub(super) fn answering(&self, address: IpAddr) -> Vec<usize> {
        (0..self.nodes.len()).filter(|index| self.nodes[*index].answers(self.now, address)).collect()
    }

    pub(super) fn judge(&mut self) {
        for address in self.addresses() {
            let owners = (0..self.nodes.len()).filter(|index| self.nodes[*index].answers(self.now, address));
            let (mut count, mut first) = (0, None);
            for owner in owners {
                count += 1;
                first = first.or(Some(owner));
            }
            let judge = &mut self.judge;
            if count > 1 {
                let since = *judge.two_since.entry(address).or_insert(self.now);
                let length = self.now.since(since) + STEP;
                if length > judge.longest_two {
                    judge.longest_two = length;
                    judge.longest_two_of = Some((address, self.now));
                }
            } else {
                judge.two_since.remove(&address);
            }
            if let (1, Some(owner)) = (count, first)
                && judge.last_owner.insert(address, owner).is_some_and(|before| before != owner)
            {
                judge.moves += 1;
            }
            if count == 0 {
                judge.none_since.entry(address).or_insert(self.now);
            } else if let Some(since) = judge.none_since.remove(&address) {
                judge.gaps.push((since, address, self.now.since(since)));
            }
        }
    }

    pub(crate) fn forget_judgement(&mut self) {
        self.judge.two_since.clear();
        self.judge.longest_two = Duration::ZERO;
    }

    /// How often an address went from one node to another so far.
    pub(crate) fn moves(&self) -> usize {
        self.judge.moves
    }

    /// The only node that answers for the address now.
    pub(crate) fn owner_of(&self, address: IpAddr) -> Option<usize> {
        match self.answering(address).as_slice() {
            [owner] => Some(*owner),
            _ => None,
        }
    }

    pub(crate) fn owner(&self, address: usize) -> Option<usize> {
        self.owners()[address]
    }

    pub(crate) fn owners(&self) -> Vec<Option<usize>> {
        self.addresses().map(|address| self.answering(address).first().copied()).collect()
    }

    pub(crate) fn longest_gap_since(&self, start: Timestamp) -> Duration {
        let open = self.judge.none_since.values().map(|since| self.now.since(*since)).max();
        let closed = self.judge.gaps.iter().filter(|(since, ..)| *since >= start).map(|(_, _, gap)| *gap).max();
        open.max(closed).unwrap_or_default()
    }

    /// The longest time in which nobody answered for an address, of those that began at `start` or later.
    pub(crate) fn gap_of(&self, address: IpAddr, start: Timestamp) -> Duration {
        let open = self.judge.none_since.get(&address).map(|since| self.now.since(*since));
        let gaps = self.judge.gaps.iter().filter(|(since, of, _)| *since >= start && *of == address);
        open.max(gaps.map(|(_, _, gap)| *gap).max()).unwrap_or_default()
    }

    pub(crate) fn assert_one_owner_each(&self, when: &str) {
        for address in self.addresses() {
            let owners = self.answering(address);
            assert_eq!(owners.len(), 1, "{when}: {address} is answered by {owners:?}");
        }
    }

    pub(crate) fn assert_never_two(&self, longer_than: Duration, what: &str) {
        let longest = self.judge.longest_two;
        assert!(longest <= longer_than, "{what}: two owners for {longest:?}: {:?}", self.judge.longest_two_of);
    }

    /// The election order spreads addresses over nodes.
    pub(crate) fn assert_spread(&self) {
        let owners: BTreeSet<_> = self.owners().into_iter().collect();
        assert!(owners.len() > 1, "all addresses on one node: {owners:?}");
    }
}
