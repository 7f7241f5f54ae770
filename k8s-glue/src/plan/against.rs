//! `ferrule plan --against`: what an input changes for the Services of now, and which live addresses it would move.
//!
//! The input after `--against` is the state of now, best with statuses (`kubectl get -o yaml`). Services of the new input keep the
//! addresses of now as far as the new configuration lets them, as a running program would. Kinds that the new input does not hold at
//! all (no Service, no Node, no object of `metallb.io`) are taken from the state of now, so that a change can be judged alone.
//!
//! Live is an address that the state of now records in the status of a Service. What the state of now would merely get by its own plan is in
//! no use: a difference there is printed, and moves nothing.

use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::addresses::parse_address;
use lbcore::config::{Config, RawConfig, Settings};
use lbcore::service::{PoolName, ServiceKey};
use serde::Serialize;

use super::{Plan, PlanError, PlanSettings, PlannedOwner, PlannedRoute, PlannedService, plan_of};
use crate::args::{Outcome, PlanArgs, PlanOutput};
use crate::convert::{Objects, ServiceObject};
use crate::freeze;
use crate::load::{self, Loaded};
use crate::output;
use crate::report::{Finding, Report};

/// What becomes of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ServiceChange {
    service: String,
    effect: Effect,
    /// What it has now.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<PlannedService>,
    /// What it would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<PlannedService>,
}

/// Kinds of change, the worse ones last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Effect {
    /// Only pool or error differ.
    Changed,
    /// It gets addresses beside those it has.
    Gained,
    /// It has an address now and would have another.
    Moved,
    /// It has an address now that nothing would take the place of.
    Lost,
}

/// Another node would answer for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct OwnerChange {
    ip: IpAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<PlannedOwner>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<PlannedOwner>,
}

impl OwnerChange {
    /// Whether an address that is answered for now would be answered for by another node, or by none.
    fn moves(&self) -> bool {
        self.from.as_ref().is_some_and(|from| self.to.as_ref().is_none_or(|to| to.node != from.node))
    }
}

/// The difference of two plans.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    services: Vec<ServiceChange>,
    layer2: Vec<OwnerChange>,
    bgp: RouteChanges,
    /// Every live address that would move or be lost, sorted.
    moves: Vec<IpAddr>,
    #[serde(skip)]
    is_anything_live: bool,
}

/// Routes that come and go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct RouteChanges {
    withdrawn: Vec<PlannedRoute>,
    announced: Vec<PlannedRoute>,
}

/// Plans both inputs and prints the difference.
pub(super) fn compare(arguments: &PlanArgs, checks: &Settings, settings: &PlanSettings) -> Result<Outcome, PlanError> {
    let before = load::load(&arguments.against, checks);
    let after = load::load(&arguments.input.filenames, checks);
    let (Some(config_before), Some(config_after)) = (before.config.as_ref(), after.config.as_ref()) else {
        output::print(&Report::joined([before.report, after.report]).to_json())?;
        return Ok(Outcome::InputBad);
    };
    let plan_before = plan_of(config_before, &before.objects, settings)?;
    let (objects, raw_changed) = overlay(&before, &after, &plan_before);
    let config_after = if raw_changed {
        let outcome = Config::build(&objects.config, checks);
        let Some(config) = outcome.config else {
            let documents: Vec<_> = [before.documents, after.documents].concat();
            let findings =
                outcome.problems.into_iter().map(|problem| Finding::of_problem(problem, &documents)).collect();
            output::print(&Report::new(findings, &[], documents.len()).to_json())?;
            return Ok(Outcome::InputBad);
        };
        config
    } else {
        Arc::clone(config_after)
    };
    let pools = pools_of(&before.objects, &plan_before);
    let config_after =
        freeze::effective(&config_after, &objects.config, &objects.services, &pools, Some(config_before), checks);
    let plan_after = plan_of(&config_after, &objects, settings)?;
    let difference = difference(&plan_before, &plan_after, &live(&before.objects));
    output::print(&match arguments.output {
        PlanOutput::Table => difference.to_text(),
        PlanOutput::Json => output::json(&difference),
        PlanOutput::Yaml => output::yaml(&difference),
    })?;
    Ok(if difference.moves.is_empty() { Outcome::Good } else { Outcome::AddressesMove })
}

/// The objects of the new input with what it leaves to the state of now, and whether its configuration was completed.
fn overlay(before: &Loaded, after: &Loaded, plan_before: &Plan) -> (Objects, bool) {
    let mut objects = after.objects.clone();
    let (old, new) = (&before.objects, &after.objects);
    let mut completed = false;
    if new.services.is_empty() {
        objects.services.clone_from(&old.services);
    }
    if new.endpoints.is_empty() {
        objects.endpoints.clone_from(&old.endpoints);
    }
    if !has_resources(&new.config) && has_resources(&old.config) {
        let nodes = core::mem::take(&mut objects.config.nodes);
        let namespaces = core::mem::take(&mut objects.config.namespaces);
        objects.config = old.config.clone();
        objects.config.nodes = nodes;
        objects.config.namespaces = namespaces;
        completed = true;
    }
    if new.config.nodes.is_empty() && !old.config.nodes.is_empty() {
        objects.config.nodes.clone_from(&old.config.nodes);
        completed = true;
    }
    if new.config.namespaces.is_empty() && !old.config.namespaces.is_empty() {
        objects.config.namespaces.clone_from(&old.config.namespaces);
        completed = true;
    }
    if new.config.secrets.is_empty() && !old.config.secrets.is_empty() {
        objects.config.secrets.clone_from(&old.config.secrets);
        completed = true;
    }
    keep_addresses(&mut objects, plan_before);
    (objects, completed)
}

/// The pool of each Service that has live addresses now.
fn pools_of(objects: &Objects, plan: &Plan) -> BTreeMap<ServiceKey, PoolName> {
    let is_live = |service: &&ServiceObject| !service.recorded.is_empty();
    let pool_of = |service: &ServiceObject| {
        let planned = plan.services.iter().find(|planned| planned.service == service.key.as_str())?;
        Some((service.key.clone(), PoolName::new(planned.pool.clone()?).ok()?))
    };
    objects.services.iter().filter(is_live).filter_map(pool_of).collect()
}

/// Whether there is any object of `metallb.io` or `ferrule.io`.
fn has_resources(config: &RawConfig) -> bool {
    !(config.pools.is_empty()
        && config.l2_advertisements.is_empty()
        && config.bgp_advertisements.is_empty()
        && config.peers.is_empty()
        && config.bfd_profiles.is_empty()
        && config.communities.is_empty()
        && config.address_reservations.is_empty()
        && config.pool_policies.is_empty())
}

/// Records the addresses of now with the Services that have none recorded.
fn keep_addresses(objects: &mut Objects, plan_before: &Plan) {
    let held: BTreeMap<&str, &PlannedService> =
        plan_before.services.iter().map(|service| (service.service.as_str(), service)).collect();
    for service in &mut objects.services {
        if service.recorded.iter().all(String::is_empty)
            && let Some(held) = held.get(service.key.as_str())
        {
            service.recorded = held.ips.iter().map(ToString::to_string).collect();
        }
    }
}

/// The recorded addresses of each Service.
type Live = BTreeMap<String, BTreeSet<IpAddr>>;

fn live(objects: &Objects) -> Live {
    let recorded = |service: &ServiceObject| service.recorded.iter().filter_map(|text| parse_address(text)).collect();
    objects.services.iter().map(|service| (service.key.to_string(), recorded(service))).collect()
}

fn difference(before: &Plan, after: &Plan, live: &Live) -> Difference {
    let services = service_changes(before, after);
    let layer2 = owner_changes(before, after);
    let lost = services.iter().filter(|change| change.effect >= Effect::Moved).flat_map(|change| {
        let recorded = live.get(&change.service);
        change.given_up().into_iter().filter(move |ip| recorded.is_some_and(|recorded| recorded.contains(ip)))
    });
    let is_live = |ip: &IpAddr| live.values().any(|recorded| recorded.contains(ip));
    let moved = layer2.iter().filter(|change| change.moves()).map(|change| change.ip).filter(is_live);
    let moves: BTreeSet<IpAddr> = lost.chain(moved).collect();
    let only_in = |these: &[PlannedRoute], those: &[PlannedRoute]| -> Vec<PlannedRoute> {
        these.iter().filter(|route| !those.contains(route)).cloned().collect()
    };
    let bgp = RouteChanges { withdrawn: only_in(&before.bgp, &after.bgp), announced: only_in(&after.bgp, &before.bgp) };
    let is_anything_live = live.values().any(|recorded| !recorded.is_empty());
    Difference { services, layer2, bgp, moves: moves.into_iter().collect(), is_anything_live }
}

fn service_changes(before: &Plan, after: &Plan) -> Vec<ServiceChange> {
    let by_name = |plan: &Plan| -> BTreeMap<String, PlannedService> {
        plan.services.iter().map(|service| (service.service.clone(), service.clone())).collect()
    };
    let (mut old, mut new) = (by_name(before), by_name(after));
    let names: BTreeSet<String> = old.keys().chain(new.keys()).cloned().collect();
    let changes = names.into_iter().filter_map(|service| {
        let (from, to) = (old.remove(&service), new.remove(&service));
        let effect = effect(from.as_ref(), to.as_ref())?;
        Some(ServiceChange { service, effect, from, to })
    });
    changes.collect()
}

fn effect(from: Option<&PlannedService>, to: Option<&PlannedService>) -> Option<Effect> {
    let ips = |service: Option<&PlannedService>| service.map(|service| service.ips.clone()).unwrap_or_default();
    let (old, new) = (ips(from), ips(to));
    let gone = old.iter().any(|ip| !new.contains(ip));
    let come = new.iter().any(|ip| !old.contains(ip));
    match (gone, come) {
        (true, true) => Some(Effect::Moved),
        (true, false) => Some(Effect::Lost),
        (false, true) => Some(Effect::Gained),
        (false, false) if from != to => Some(Effect::Changed),
        (false, false) => None,
    }
}

impl ServiceChange {
    /// The addresses that the Service has now and would not have.
    fn given_up(&self) -> Vec<IpAddr> {
        let kept = self.to.as_ref().map(|to| to.ips.as_slice()).unwrap_or_default();
        let had = self.from.iter().flat_map(|from| &from.ips);
        had.filter(|ip| !kept.contains(ip)).copied().collect()
    }
}

fn owner_changes(before: &Plan, after: &Plan) -> Vec<OwnerChange> {
    let by_address = |plan: &Plan| -> BTreeMap<IpAddr, PlannedOwner> {
        plan.layer2.iter().map(|owner| (owner.ip, owner.clone())).collect()
    };
    let (mut old, mut new) = (by_address(before), by_address(after));
    let addresses: BTreeSet<IpAddr> = old.keys().chain(new.keys()).copied().collect();
    let changes = addresses.into_iter().map(|ip| OwnerChange { ip, from: old.remove(&ip), to: new.remove(&ip) });
    changes.filter(|change| change.from != change.to).collect()
}

impl Difference {
    fn to_text(&self) -> String {
        let mut out = String::new();
        // Writing to a text cannot fail.
        for change in &self.services {
            let _ = writeln!(out, "{}", change.to_text());
        }
        for change in &self.layer2 {
            let node =
                |owner: Option<&PlannedOwner>| owner.map_or_else(|| "nobody".to_owned(), |owner| owner.node.clone());
            let (from, to) = (node(change.from.as_ref()), node(change.to.as_ref()));
            let _ = writeln!(out, "owner of {}: {from} -> {to}", change.ip);
        }
        let routes = self.bgp.withdrawn.iter().map(|route| ('-', route));
        for (sign, route) in routes.chain(self.bgp.announced.iter().map(|route| ('+', route))) {
            let _ = writeln!(out, "{sign} {} to {} from {}", route.prefix, route.peer, route.node);
        }
        let addresses: Vec<String> = self.moves.iter().map(ToString::to_string).collect();
        let last = match addresses.as_slice() {
            [] if out.is_empty() => "nothing changes".to_owned(),
            [] if !self.is_anything_live => {
                "no live address moves: the state of now records none (status.loadBalancer.ingress)".to_owned()
            }
            [] => "no live address moves".to_owned(),
            _ => format!("live addresses that move or are lost: {}", addresses.join(", ")),
        };
        let _ = writeln!(out, "{last}");
        out
    }
}

impl ServiceChange {
    fn to_text(&self) -> String {
        let word = match self.effect {
            Effect::Changed => "changed",
            Effect::Gained => "gained",
            Effect::Moved => "moved",
            Effect::Lost => "lost",
        };
        format!("{word}: {}: {} -> {}", self.service, summary(self.from.as_ref()), summary(self.to.as_ref()))
    }
}

fn summary(service: Option<&PlannedService>) -> String {
    let Some(service) = service else { return "no such Service".to_owned() };
    let ips: Vec<String> = service.ips.iter().map(ToString::to_string).collect();
    let mut text = if ips.is_empty() { "no address".to_owned() } else { ips.join(",") };
    if let Some(pool) = &service.pool {
        let _ = write!(text, " (pool {pool})");
    }
    if let Some(error) = &service.error {
        let _ = write!(text, " ({}: {})", error.category, error.message);
    }
    text
}
