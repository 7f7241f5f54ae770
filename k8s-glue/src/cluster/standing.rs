//! What stays in force of a configuration that has faults ([SPK-8], [SPK-9]); the same for controller and speakers, though each judges for
//! itself.
//!
//! [`lbcore::config::salvage`] prefers what was in force. A process that has just started knows nothing of that, and of two that run one may
//! have seen a pool before the other. So where a pool is refused, pools are put in this order first, each that agrees with those before it:
//! those that Services have recorded addresses of, those in force and unchanged, the older by their creation, the names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lbcore::config::salvage::{Salvaged, salvage};
use lbcore::config::{Category, Config, ObjectRef, Problem, Raw, RawConfig, RawPool, Settings, Severity};
use lbcore::service::PoolName;

use super::watch::Kind;
use super::world::World;

/// What was judged last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    in_force: RawConfig,
    problems: Vec<Problem>,
    left_out: Vec<ObjectRef>,
    outdated: Vec<ObjectRef>,
    /// The pools that Services had recorded addresses of.
    used: BTreeSet<String>,
}

impl Standing {
    /// Judges a description of what the world shows. `typed` are the faults found while it was read.
    pub(crate) fn judge(
        &mut self,
        world: &World,
        given: &RawConfig,
        typed: &[Problem],
        settings: &Settings,
    ) -> Arc<Config> {
        let mut salvaged = salvage(given, typed, &self.in_force, settings);
        if has_pools(&salvaged.left_out) || has_pools(&salvaged.outdated) {
            self.used = used_pools(world);
            let pools = self.pools_in_order(world, given, typed, settings);
            let given_way = given_way(given, &pools);
            let faults: Vec<Problem> = typed.iter().chain(&given_way).cloned().collect();
            let before = RawConfig { pools, ..self.in_force.clone() };
            salvaged = salvage(given, &faults, &before, settings);
            salvaged.problems.retain(|problem| !given_way.contains(problem));
        }
        let Salvaged { config, in_force, problems, left_out, outdated } = salvaged;
        (self.in_force, self.problems) = (in_force, problems);
        (self.left_out, self.outdated) = (left_out, outdated);
        config
    }

    /// The pools that count: as they are given, or as they were where that is faulty or does not agree with those before it.
    fn pools_in_order(
        &self,
        world: &World,
        given: &RawConfig,
        typed: &[Problem],
        settings: &Settings,
    ) -> Vec<Raw<RawPool>> {
        let faulty: BTreeSet<&str> = errors(typed).filter_map(|problem| pool_of(problem.object.as_ref()?)).collect();
        let alone = |pool: &Raw<RawPool>| RawConfig {
            pools: vec![pool.clone()],
            namespaces: given.namespaces.clone(),
            ..RawConfig::default()
        };
        let is_good =
            |pool: &&Raw<RawPool>| !faulty.contains(&*pool.object.name) && !has_errors(&alone(pool), settings);
        let good: BTreeMap<&str, &Raw<RawPool>> =
            given.pools.iter().filter(is_good).map(|pool| (&*pool.object.name, pool)).collect();
        let old: BTreeMap<&str, &Raw<RawPool>> =
            self.in_force.pools.iter().map(|pool| (&*pool.object.name, pool)).collect();
        let mut order = Vec::new();
        for pool in &given.pools {
            let name = &*pool.object.name;
            let (new, old) = (good.get(name).copied(), old.get(name).copied());
            let is_changed = new.zip(old).is_none_or(|(new, old)| !is_same(new, old));
            let rank = |is_in_force: bool, is_old: bool| {
                (!self.used.contains(name), !is_in_force, created(world, name), name, is_old)
            };
            order.extend(new.map(|new| (rank(!is_changed, false), new)));
            order.extend(old.filter(|_| is_changed).map(|old| (rank(new.is_none(), true), old)));
        }
        order.sort_by(|(left, _), (right, _)| left.cmp(right));
        let order: Vec<&Raw<RawPool>> = order.into_iter().map(|(_, pool)| pool).collect();
        let mut chosen = RawConfig { namespaces: given.namespaces.clone(), ..RawConfig::default() };
        add(&mut chosen, &order, settings);
        chosen.pools
    }

    /// The pools of which nothing is in force.
    pub(crate) fn refused_pools(&self) -> BTreeSet<PoolName> {
        self.left_out.iter().filter_map(|object| pool_of(object)?.parse().ok()).collect()
    }

    /// Whether a Service has come to have an address recorded of a pool that is left out, which would have come first with it.
    pub(crate) fn is_behind(&self, recorded_pool: &str) -> bool {
        !self.used.contains(recorded_pool) && self.left_out.iter().any(|object| pool_of(object) == Some(recorded_pool))
    }

    /// The description of what is in force.
    pub(crate) const fn in_force(&self) -> &RawConfig {
        &self.in_force
    }

    /// Every problem, warnings included.
    pub(crate) fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Objects of which nothing, or an earlier version, is in force though the rules find nothing wrong with them: they give way to others.
    pub(crate) fn giving_way(&self) -> impl Iterator<Item = &ObjectRef> {
        let missing = self.left_out.iter().chain(&self.outdated);
        missing.filter(|object| !errors(&self.problems).any(|problem| problem.object.as_ref() == Some(*object)))
    }

    /// What stays in force though it is refused as it is given, and unchanged: what it refers to is gone or spoiled, and counts as it was.
    pub(crate) fn stays(&self, problem: &Problem) -> Option<String> {
        let object = problem.object.as_ref().filter(|_| problem.severity == Severity::Error)?;
        if self.left_out.contains(object) || self.outdated.contains(object) {
            return None;
        }
        let secret = [Category::SecretMissing, Category::SecretNoPassword, Category::SecretWrongType];
        let known = [(&secret[..], "Secret"), (&[Category::UnknownBfdProfile], "BFD profile")];
        let known = known.into_iter().chain([(&[Category::UnknownCommunity][..], "Community")]);
        let what = known.into_iter().find(|(categories, _)| categories.contains(&problem.category));
        let what = what.map_or("object that it refers to", |(_, what)| what);
        Some(format!("{object} stays in force with the {what} as it was, until it changes"))
    }

    /// What the rules refuse, in words: the causes, then what follows. Empty where the whole configuration is in force.
    pub(crate) fn refusals(&self) -> Vec<String> {
        let mut causes: Vec<String> = errors(&self.problems).map(without_severity).collect();
        causes.sort();
        let mut left_out: Vec<String> = self.left_out.iter().map(|object| format!("{object} is left out")).collect();
        left_out.sort();
        let stays = |object: &ObjectRef| format!("{object} stays in force as it was before its change");
        let mut outdated: Vec<String> = self.outdated.iter().map(stays).collect();
        outdated.sort();
        let mut unchanged: Vec<String> = errors(&self.problems).filter_map(|problem| self.stays(problem)).collect();
        unchanged.sort();
        let mut lines: Vec<String> = causes.into_iter().chain(left_out).chain(outdated).chain(unchanged).collect();
        lines.dedup();
        lines
    }
}

/// Keeps out what was not chosen as it is given.
fn given_way(given: &RawConfig, chosen: &[Raw<RawPool>]) -> Vec<Problem> {
    let chosen: BTreeMap<&str, &Raw<RawPool>> = chosen.iter().map(|pool| (&*pool.object.name, pool)).collect();
    let is_out = |pool: &&Raw<RawPool>| chosen.get(&*pool.object.name).is_none_or(|chosen| !is_same(pool, chosen));
    let out = given.pools.iter().filter(is_out).map(|pool| Problem {
        severity: Severity::Error,
        category: Category::OverlappingRanges,
        object: Some(pool.object.clone()),
        field: String::new(),
        message: String::new(),
        fix: String::new(),
    });
    out.collect()
}

/// Whether two versions of a pool are one.
fn is_same(left: &Raw<RawPool>, right: &Raw<RawPool>) -> bool {
    left.spec == right.spec && left.labels == right.labels
}

fn has_errors(description: &RawConfig, settings: &Settings) -> bool {
    errors(&Config::build(description, settings).problems).next().is_some()
}

fn errors(problems: &[Problem]) -> impl Iterator<Item = &Problem> {
    problems.iter().filter(|problem| problem.severity == Severity::Error)
}

/// What is said of errors alone need not say that they are errors.
fn without_severity(problem: &Problem) -> String {
    let text = problem.to_string();
    let start = format!("{}: ", problem.severity);
    text.strip_prefix(&start).map_or_else(|| text.clone(), str::to_owned)
}

fn pool_of(object: &ObjectRef) -> Option<&str> {
    (*object.kind == *Kind::IpAddressPool.as_str()).then_some(&*object.name)
}

fn has_pools(objects: &[ObjectRef]) -> bool {
    objects.iter().any(|object| pool_of(object).is_some())
}

fn used_pools(world: &World) -> BTreeSet<String> {
    world.services().filter_map(|(_, seen)| seen.recorded_pool()).map(str::to_owned).collect()
}

/// When a pool was created, as the API server writes it: the order of the texts is that of the times.
fn created(world: &World, name: &str) -> String {
    let metadata = world.ours(Kind::IpAddressPool, name).and_then(|pool| pool.get("metadata"));
    let created = metadata.and_then(|metadata| metadata.get("creationTimestamp")?.as_str());
    created.unwrap_or_default().to_owned()
}

/// Puts in, in their order, those that agree with what is in.
fn add(chosen: &mut RawConfig, more: &[&Raw<RawPool>], settings: &Settings) {
    let count = chosen.pools.len();
    chosen.pools.extend(more.iter().map(|pool| (*pool).clone()));
    if !has_errors(chosen, settings) {
        return;
    }
    chosen.pools.truncate(count);
    if more.len() > 1 {
        let (first, rest) = more.split_at(more.len() / 2);
        add(chosen, first, settings);
        add(chosen, rest, settings);
    }
}

#[cfg(test)]
mod tests;
