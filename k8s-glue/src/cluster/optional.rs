//! Kinds that a cluster need not have: those of `ferrule.io`. Pure.
//!
//! Without them everything is as if they had no objects, so a process waits at its start until it knows that they are absent: one that
//! decided before would give reserved addresses away. A kind is absent where the API server has pools and does not have it, or where it
//! forbids to list it for so long that it is no trouble of its own start (the rights of MetalLB's manifests, [COMPAT-8]). A kind that comes
//! later counts from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use lbcore::time::Timestamp;

use super::watch::{Absence, Kind, Trouble};
use super::world::World;

/// What is forbidden for so long is meant so.
const FORBIDDEN_FOR: Duration = Duration::from_secs(3);

/// What is known of the absence of kinds.
#[derive(Clone, Debug)]
pub(crate) struct Optional {
    /// The kinds that are watched.
    kinds: &'static [Kind],
    /// Since when the API server says so.
    absent: BTreeMap<Kind, (Timestamp, Absence)>,
    is_settled: bool,
    is_told: bool,
}

impl Optional {
    /// For a process that watches these kinds.
    pub(crate) const fn new(kinds: &'static [Kind]) -> Self {
        Self { kinds, absent: BTreeMap::new(), is_settled: false, is_told: false }
    }

    /// A watch of a kind is in trouble.
    pub(crate) fn handle_trouble(&mut self, now: Timestamp, kind: Kind, trouble: &Trouble) {
        if !self.kinds.contains(&kind) {
            return;
        }
        match trouble.absence {
            Some(absence) => {
                let (_, latest) = self.absent.entry(kind).or_insert((now, absence));
                *latest = absence;
            }
            None => {
                self.absent.remove(&kind);
            }
        }
    }

    /// Every object of a kind is known.
    pub(crate) fn handle_complete(&mut self, kind: Kind) {
        self.absent.remove(&kind);
    }

    /// Whether it is known of every such kind which objects there are, or that there are none; what was known once stays known.
    pub(crate) fn is_settled(&mut self, now: Timestamp, world: &World) -> bool {
        self.is_settled |= self.settled_at(world).is_some_and(|at| at <= now);
        self.is_settled
    }

    /// When it is settled without anything happening; `None` too where something has to happen before, which no clock brings about.
    pub(crate) fn poll_timeout(&self, world: &World) -> Option<Timestamp> {
        self.settled_at(world).filter(|_| !self.is_settled)
    }

    fn settled_at(&self, world: &World) -> Option<Timestamp> {
        let of_kind = |kind: &Kind| match self.absent.get(kind) {
            _ if world.is_complete(&[*kind]) => Some(Timestamp::ZERO),
            Some((since, Absence::Forbidden)) => Some(*since + FORBIDDEN_FOR),
            Some((_, Absence::Missing)) => world.is_complete(&[Kind::IpAddressPool]).then_some(Timestamp::ZERO),
            None => None,
        };
        let times: Option<Vec<Timestamp>> = self.kinds.iter().map(of_kind).collect();
        times.map(|times| times.into_iter().max().unwrap_or_default())
    }

    /// Whether [`is_settled`](Self::is_settled) was true before.
    pub(crate) const fn was_settled(&self) -> bool {
        self.is_settled
    }

    /// What to tell the operator once it is settled: the kinds that are absent, and why. It is given once.
    pub(crate) fn take_remark(&mut self) -> Option<String> {
        if !self.is_settled || std::mem::replace(&mut self.is_told, true) {
            return None;
        }
        let words = |absence| match absence {
            Absence::Missing => "the cluster does not have the kind",
            Absence::Forbidden => "this account may not list the kind",
        };
        let parts: Vec<String> =
            self.absent.iter().map(|(kind, (_, absence))| format!("{}: {}", kind.as_str(), words(*absence))).collect();
        (!parts.is_empty()).then(|| parts.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::watch::Seen;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn trouble(absence: Option<Absence>) -> Trouble {
        Trouble { text: "cannot be listed".to_owned(), is_refused: true, absence }
    }

    fn world(kinds: &[Kind]) -> World {
        let mut world = World::new("metallb-system");
        for kind in kinds {
            world.fold(Seen::Complete(*kind));
        }
        world
    }

    #[test]
    fn a_cluster_without_the_kinds_is_known_as_soon_as_it_has_pools() {
        let mut optional = Optional::new(&Kind::OPTIONAL);
        for kind in Kind::OPTIONAL {
            optional.handle_trouble(at(0), kind, &trouble(Some(Absence::Missing)));
        }
        assert!(!optional.is_settled(at(9_000), &world(&[])), "an API server that starts has no kinds at all");
        assert!(optional.is_settled(at(0), &world(&[Kind::IpAddressPool])));
        assert!(
            optional.take_remark().is_some_and(|text| text.contains("PoolPolicy") && text.contains("does not have"))
        );
    }

    // [COMPAT-8]
    #[test]
    fn rights_that_are_missing_for_a_moment_are_not_taken_for_an_absence() {
        let pools = world(&[Kind::IpAddressPool, Kind::AddressReservation]);
        let mut optional = Optional::new(&Kind::OPTIONAL);
        optional.handle_trouble(at(0), Kind::PoolPolicy, &trouble(Some(Absence::Forbidden)));
        assert!(!optional.is_settled(at(2_999), &pools));
        assert_eq!(optional.poll_timeout(&pools), Some(at(3_000)));
        // The clock alone does not say what becomes of the other kind: a deadline for it would lie in the past for ever.
        assert_eq!(optional.poll_timeout(&world(&[Kind::IpAddressPool])), None);
        optional.handle_trouble(at(2_999), Kind::PoolPolicy, &trouble(None));
        assert!(!optional.is_settled(at(4_000), &pools), "an API server that fails says nothing of the kind");
        optional.handle_trouble(at(5_000), Kind::PoolPolicy, &trouble(Some(Absence::Forbidden)));
        assert!(!optional.is_settled(at(7_000), &pools) && optional.is_settled(at(8_000), &pools));
        assert_eq!(optional.poll_timeout(&pools), None);
    }

    #[test]
    fn kinds_that_are_there_are_waited_for_and_stay_known() {
        let mut optional = Optional::new(&Kind::OPTIONAL);
        assert!(!optional.is_settled(at(60_000), &world(&[Kind::PoolPolicy])));
        assert!(optional.is_settled(at(60_000), &world(&Kind::OPTIONAL)));
        optional.handle_trouble(at(61_000), Kind::PoolPolicy, &trouble(Some(Absence::Forbidden)));
        assert!(optional.is_settled(at(61_000), &world(&Kind::OPTIONAL)));
        optional.handle_complete(Kind::PoolPolicy);
        assert_eq!(optional.take_remark(), None);
    }
}
