//! The best two of those that may answer for a group, and how they change with one node more or less ([L2-4], [L2-6]).
//!
//! Of each only the score and the first eight octets of its digest are kept. Where these are equal, which happens once in 2^64, the whole
//! digests decide.

use core::cmp::Ordering;
use core::num::NonZeroU32;
use std::net::IpAddr;

use super::layer2::score;
use super::placed::Placed;
use super::plans::{L2Plan, Plans};
use crate::announce::GroupKey;
use crate::election::{Ballot, Rank};
use crate::node_set::NodeSet;

/// One of the best two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Contender {
    /// The first eight octets of its digest.
    prefix: u64,
    score: u32,
    /// Its place among the nodes, plus one.
    number: NonZeroU32,
}

impl Contender {
    fn new(node: usize, score: u32, prefix: u64) -> Option<Self> {
        let number = NonZeroU32::new(u32::try_from(node).ok()?.checked_add(1)?)?;
        Some(Self { prefix, score, number })
    }

    /// Its place among the nodes.
    pub(super) fn node(self) -> usize {
        usize::try_from(self.number.get() - 1).unwrap_or(usize::MAX)
    }

    /// Its score.
    pub(super) const fn score(self) -> u32 {
        self.score
    }

    /// Whether it comes before the other.
    fn precedes(self, other: Self, address: IpAddr, plans: &Plans) -> bool {
        let rough = other.score.cmp(&self.score).then(self.prefix.cmp(&other.prefix));
        let rank = |contender: Self| {
            let node = plans.nodes.get(contender.node())?;
            Some(Rank::new(node.name.clone(), address, contender.score))
        };
        let exact = || match (rank(self), rank(other)) {
            (Some(own), Some(other)) => own.cmp(&other),
            (Some(_), None) => Ordering::Less,
            (None, _) => Ordering::Greater,
        };
        rough.then_with(exact) == Ordering::Less
    }
}

/// The first and the second in the order of election; none where nobody may answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Best([Option<Contender>; 2]);

impl Best {
    /// The place of the first owner among the nodes.
    pub(super) fn first(self) -> Option<usize> {
        let [first, _] = self.0;
        first.map(Contender::node)
    }

    /// Both places.
    pub(super) fn nodes(self) -> impl Iterator<Item = usize> {
        self.0.into_iter().flatten().map(Contender::node)
    }

    /// The one of the best two that stands at a place.
    pub(super) fn get(self, node: usize) -> Option<Contender> {
        self.0.into_iter().flatten().find(|contender| contender.node() == node)
    }

    /// Whether a node of this score may come among them: only then its digest has to be known.
    pub(super) fn admits(self, score: u32) -> bool {
        let [_, second] = self.0;
        second.is_none_or(|second| second.score <= score)
    }

    fn put(&mut self, new: Contender, address: IpAddr, plans: &Plans) {
        let [first, second] = &mut self.0;
        if first.is_none_or(|first| new.precedes(first, address, plans)) {
            *second = first.replace(new);
        } else if second.is_none_or(|second| new.precedes(second, address, plans)) {
            *second = Some(new);
        }
    }

    /// Takes in nodes, with their scores, that are none of them; costs a digest each at most.
    pub(super) fn add(&mut self, nodes: &[(usize, u32)], key: GroupKey, plans: &Plans) {
        let mut put = |node: usize, score: u32, prefix: u64| {
            if let Some(new) = Contender::new(node, score, prefix) {
                self.put(new, key.0, plans);
            }
        };
        if let [(node, score)] = nodes {
            if let Some(known) = plans.nodes.known(*node) {
                put(*node, *score, Ballot::prefix(key.0, &known.node.name));
            }
        } else if !nodes.is_empty() {
            let known = nodes.iter().filter_map(|(node, score)| Some(((*node, *score), plans.nodes.known(*node)?)));
            let voters = known.map(|(number, known)| (number, &known.node.name, &known.voter));
            Ballot::new(key.0).prefixes(voters, |(node, score), prefix| put(node, score, prefix));
        }
    }

    /// The best two of these nodes.
    fn of(nodes: impl IntoIterator<Item = usize>, score: u32, ballot: &Ballot, key: GroupKey, plans: &Plans) -> Self {
        let mut best = Self::default();
        let known = nodes.into_iter().filter_map(|node| Some((node, plans.nodes.known(node)?)));
        let voters = known.map(|(node, known)| (node, &known.node.name, &known.voter));
        ballot.prefixes(voters, |node, prefix| {
            let [_, second] = best.0;
            if second.is_none_or(|second| prefix <= second.prefix)
                && let Some(new) = Contender::new(node, score, prefix)
            {
                best.put(new, key.0, plans);
            }
        });
        best
    }
}

/// The best two of the nodes that may answer for a group: digests are made of those alone whose score may bring them there.
pub(super) fn of_electorate(electorate: &NodeSet, lead: &Placed, key: GroupKey, plans: &Plans) -> Best {
    let ballot = Ballot::new(key.0);
    if !lead.l2_plans(plans).any(L2Plan::has_scores) {
        return Best::of(electorate.iter(), 0, &ballot, key, plans);
    }
    let mut scored: Vec<(u32, usize)> = electorate.iter().map(|node| (score(lead, plans, node), node)).collect();
    scored.sort_unstable_by(|left, right| right.cmp(left));
    let mut best = Best::default();
    for level in scored.chunk_by(|(left, _), (right, _)| left == right) {
        let Some((score, _)) = level.first() else { continue };
        let of_level = Best::of(level.iter().map(|(_, node)| *node), *score, &ballot, key, plans);
        for contender in of_level.0.into_iter().flatten() {
            best.put(contender, key.0, plans);
        }
        if best.nodes().count() == 2 {
            break;
        }
    }
    best
}
