//! What stays in force of a description that has faults: each object that the rules refuse is replaced by its last good version, or left
//! out where it has none, and all others count.
//!
//! The order of preference: what is in force and was not changed; then what is new; then the version in force of what was changed for the
//! worse, with whatever that version refers to and is gone or was spoiled (a Secret, a BFD profile, an alias). Nothing valid is lost:
//! an object that could be put in without a fault is in.

mod item;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::problem::{ObjectRef, Problem, Severity};
use super::raw::RawConfig;
use super::{BuildOutcome, Config, Settings};
use item::{Id, Item};

/// Passes over what is still out; each puts in what became possible by the one before, and references are two steps long.
const PASSES: usize = 6;

/// What stays in force, and what that cost.
#[derive(Clone, Debug)]
pub struct Salvaged {
    /// The configuration in force.
    pub config: Arc<Config>,
    /// The description that it was made from: free of faults, and the last good version of each of its objects.
    pub in_force: RawConfig,
    /// Everything that is wrong with the description as it was given, warnings included.
    pub problems: Vec<Problem>,
    /// Objects of which nothing is in force.
    pub left_out: Vec<ObjectRef>,
    /// Objects of which an earlier version is in force.
    pub outdated: Vec<ObjectRef>,
}

impl Salvaged {
    /// Whether the description as given is in force, all of it.
    pub fn is_whole(&self) -> bool {
        self.left_out.is_empty() && self.outdated.is_empty()
    }
}

/// Makes the most of a description. `typed` are faults found while the objects were read, each for itself; `before` is what was in force
/// until now.
///
/// # Examples
/// ```
/// use lbcore::config::salvage::salvage;
/// use lbcore::config::{RawConfig, Settings};
///
/// let nothing = RawConfig::default();
/// let salvaged = salvage(&nothing, &[], &nothing, &Settings::default());
/// assert!(salvaged.is_whole());
/// ```
pub fn salvage(given: &RawConfig, typed: &[Problem], before: &RawConfig, settings: &Settings) -> Salvaged {
    let BuildOutcome { config, problems: ruled } = Config::build(given, settings);
    let refused: BTreeSet<Id> = errors(typed).collect();
    let problems: Vec<Problem> = typed.iter().cloned().chain(ruled).collect();
    if let (Some(config), true) = (config, refused.is_empty()) {
        let in_force = given.clone();
        return Salvaged { config, in_force, problems, left_out: Vec::new(), outdated: Vec::new() };
    }
    let (in_force, left_out, outdated) = settled(given, &refused, before, settings);
    let config = Config::build(&in_force, settings).config.unwrap_or_default();
    Salvaged { config, in_force, problems, left_out, outdated }
}

type Remainder = (RawConfig, Vec<ObjectRef>, Vec<ObjectRef>);

/// Chooses until choosing again changes nothing, so that a host that asks at every event does not swing between two remainders. What came
/// in becomes "in force and unchanged" for the next choice, which can then prefer it to what it had to give way to before; where
/// that goes round in a circle, one of the circle is taken, and the same one from wherever it is entered.
fn settled(given: &RawConfig, refused: &BTreeSet<Id>, before: &RawConfig, settings: &Settings) -> Remainder {
    let mut seen: Vec<(Versions, Remainder)> = Vec::new();
    let mut in_force = before.clone();
    loop {
        let bench = Bench::new(given, refused, &in_force, settings);
        let chosen = bench.choose();
        let (versions, versions_before) = (bench.versions(&chosen), bench.versions(&bench.in_force_before()));
        if let Some(first) = seen.iter().position(|(earlier, _)| *earlier == versions) {
            let circle = seen.into_iter().skip(first);
            let least = circle.min_by(|(left, _), (right, _)| left.cmp(right));
            return least.map(|(_, remainder)| remainder).unwrap_or_default();
        }
        in_force = bench.description(&chosen);
        let (left_out, outdated) = bench.missing(&chosen);
        let remainder = (in_force.clone(), left_out, outdated);
        // What is in force already was settled when it was chosen.
        if seen.is_empty() && versions == versions_before {
            return remainder;
        }
        seen.push((versions, remainder));
    }
}

/// The objects in force, and whether each is as it was given.
type Versions = BTreeSet<(Id, bool)>;

/// The objects that have an error.
fn errors(problems: &[Problem]) -> impl Iterator<Item = Id> {
    let errors = problems.iter().filter(|problem| problem.severity == Severity::Error);
    errors.filter_map(|problem| problem.object.as_ref()).map(Id::of)
}

/// Which version of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// As given, and as it was in force before.
    Unchanged,
    /// As given; it was not in force before, or differently.
    New,
    /// As given, and not to be used.
    Refused,
    /// As it was in force before; it is given differently or not at all.
    Old,
}

#[derive(Debug)]
struct Candidate {
    id: Id,
    item: Item,
    version: Version,
    was_in_force: bool,
}

/// Places of candidates.
type Chosen = BTreeSet<usize>;

/// All versions of all objects, those that others refer to first.
#[derive(Debug)]
struct Bench<'a> {
    candidates: Vec<Candidate>,
    /// The objects that are given.
    given: BTreeSet<Id>,
    whole: &'a RawConfig,
    settings: &'a Settings,
}

impl<'a> Bench<'a> {
    fn new(given: &'a RawConfig, refused: &BTreeSet<Id>, before: &RawConfig, settings: &'a Settings) -> Self {
        let mut old: BTreeMap<Id, Item> = item::items(before).map(|item| (item.id(), item)).collect();
        let mut candidates = Vec::new();
        for item in item::items(given) {
            let id = item.id();
            let is_unchanged = old.get(&id).is_some_and(|old| old.says_the_same(&item));
            let version = match (refused.contains(&id), is_unchanged) {
                (true, _) => Version::Refused,
                (false, true) => Version::Unchanged,
                (false, false) => Version::New,
            };
            if is_unchanged {
                old.remove(&id);
            }
            candidates.push(Candidate { id, item, version, was_in_force: is_unchanged });
        }
        let given_ids = candidates.iter().map(|candidate| candidate.id.clone()).collect();
        let old = old.into_iter().map(|(id, item)| Candidate { id, item, version: Version::Old, was_in_force: true });
        candidates.extend(old);
        candidates.sort_by(|left, right| left.id.cmp(&right.id));
        Self { candidates, given: given_ids, whole: given, settings }
    }

    fn choose(&self) -> Chosen {
        let unchanged = self.places(|candidate| candidate.version == Version::Unchanged);
        let new = self.places(|candidate| candidate.version == Version::New);
        // What is in force may have come to disagree by a node's labels, or lost what it referred to.
        let base = self.shrink(unchanged.clone(), &unchanged).unwrap_or_default();
        let both: Chosen = base.union(&new).copied().collect();
        let mut chosen = match self.shrink(both, &new) {
            Some(chosen) => chosen,
            // Something new puts something in force in the wrong: the new one has to wait.
            None => self.add(base, &new.into_iter().collect::<Vec<_>>()),
        };
        for _ in 0..PASSES {
            let before = chosen.clone();
            chosen = self.put_back(chosen);
            chosen = self.restore_with_references(chosen);
            if chosen == before {
                break;
            }
        }
        chosen
    }

    /// Takes out the removable ones that have errors until none is left; `None` where others have them.
    fn shrink(&self, mut chosen: Chosen, removable: &Chosen) -> Option<Chosen> {
        loop {
            let faulty: BTreeSet<Id> = self.faulty(&chosen);
            if faulty.is_empty() {
                return Some(chosen);
            }
            let culprits: Vec<usize> =
                chosen.intersection(removable).copied().filter(|at| self.has_id(*at, &faulty)).collect();
            if culprits.is_empty() {
                return None;
            }
            for culprit in culprits {
                chosen.remove(&culprit);
            }
        }
    }

    /// Puts in, in their order, those that cause no fault; another version of the same object gives way to them.
    fn add(&self, chosen: Chosen, more: &[usize]) -> Chosen {
        if more.is_empty() {
            return chosen;
        }
        let ids: BTreeSet<&Id> = more.iter().filter_map(|at| self.id(*at)).collect();
        let others = chosen.iter().filter(|at| self.id(**at).is_none_or(|id| !ids.contains(id)));
        let tried: Chosen = others.chain(more).copied().collect();
        if self.faulty(&tried).is_empty() {
            return tried;
        }
        if more.len() == 1 {
            return chosen;
        }
        let (first, rest) = more.split_at(more.len() / 2);
        self.add(self.add(chosen, first), rest)
    }

    /// Kind by kind, those that others refer to first: what is given, then the old version of what is still out.
    fn put_back(&self, mut chosen: Chosen) -> Chosen {
        for kind in item::KINDS {
            let of_kind = |candidate: &Candidate| candidate.id.kind() == kind;
            let out = |chosen: &Chosen, wanted: &dyn Fn(&Candidate) -> bool| -> Vec<usize> {
                self.places(|candidate| of_kind(candidate) && wanted(candidate)).difference(chosen).copied().collect()
            };
            let given = out(&chosen, &|candidate| matches!(candidate.version, Version::Unchanged | Version::New));
            chosen = self.add(chosen, &given);
            let present = self.ids(&chosen);
            let old = out(&chosen, &|candidate| {
                candidate.version == Version::Old
                    && self.given.contains(&candidate.id)
                    && !present.contains(&candidate.id)
            });
            chosen = self.add(chosen, &old);
        }
        chosen
    }

    /// The old version of what is still out, with the old versions of what it refers to.
    fn restore_with_references(&self, mut chosen: Chosen) -> Chosen {
        for (place, candidate) in self.candidates.iter().enumerate() {
            let is_out = || !self.ids(&chosen).contains(&candidate.id);
            let is_old = matches!(candidate.version, Version::Old | Version::Unchanged);
            if !is_old || !self.given.contains(&candidate.id) || !is_out() {
                continue;
            }
            let needed = self.places(|other| other.version == Version::Old && candidate.item.refers_to(&other.item));
            let group: Vec<usize> = needed.into_iter().chain([place]).collect();
            let ids: BTreeSet<&Id> = group.iter().filter_map(|at| self.id(*at)).collect();
            let others = chosen.iter().filter(|at| self.id(**at).is_none_or(|id| !ids.contains(id)));
            let tried: Chosen = others.chain(&group).copied().collect();
            if self.faulty(&tried).is_empty() {
                chosen = tried;
            }
        }
        chosen
    }

    /// What was in force, of whichever version.
    fn in_force_before(&self) -> Chosen {
        self.places(|candidate| candidate.was_in_force)
    }

    fn versions(&self, chosen: &Chosen) -> Versions {
        let chosen = chosen.iter().filter_map(|at| self.candidates.get(*at));
        chosen.map(|candidate| (candidate.id.clone(), candidate.version != Version::Old)).collect()
    }

    fn faulty(&self, chosen: &Chosen) -> BTreeSet<Id> {
        errors(&Config::build(&self.description(chosen), self.settings).problems).collect()
    }

    fn description(&self, chosen: &Chosen) -> RawConfig {
        let mut description = RawConfig {
            nodes: self.whole.nodes.clone(),
            namespaces: self.whole.namespaces.clone(),
            kept: self.whole.kept.clone(),
            ..RawConfig::default()
        };
        for candidate in chosen.iter().filter_map(|at| self.candidates.get(*at)) {
            candidate.item.clone().put_into(&mut description);
        }
        description
    }

    /// The objects that are given and of which nothing, or an old version, is chosen.
    fn missing(&self, chosen: &Chosen) -> (Vec<ObjectRef>, Vec<ObjectRef>) {
        let (mut left_out, mut outdated) = (BTreeMap::new(), BTreeMap::new());
        let in_force: BTreeMap<&Id, &Candidate> = chosen
            .iter()
            .filter_map(|at| self.candidates.get(*at))
            .map(|candidate| (&candidate.id, candidate))
            .collect();
        for candidate in self.candidates.iter().filter(|candidate| candidate.version != Version::Old) {
            match in_force.get(&candidate.id) {
                None => left_out.insert(&candidate.id, candidate.item.object().clone()),
                Some(chosen) if chosen.version == Version::Old => {
                    outdated.insert(&candidate.id, candidate.item.object().clone())
                }
                Some(_) => None,
            };
        }
        (left_out.into_values().collect(), outdated.into_values().collect())
    }

    fn places(&self, wanted: impl Fn(&Candidate) -> bool) -> Chosen {
        (0..).zip(&self.candidates).filter(|(_, candidate)| wanted(candidate)).map(|(place, _)| place).collect()
    }

    fn ids(&self, chosen: &Chosen) -> BTreeSet<Id> {
        chosen.iter().filter_map(|at| self.id(*at)).cloned().collect()
    }

    fn id(&self, place: usize) -> Option<&Id> {
        self.candidates.get(place).map(|candidate| &candidate.id)
    }

    fn has_id(&self, place: usize, ids: &BTreeSet<Id>) -> bool {
        self.id(place).is_some_and(|id| ids.contains(id))
    }
}

#[cfg(test)]
mod tests;
