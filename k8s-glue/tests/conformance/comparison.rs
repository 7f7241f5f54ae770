//! What a vector expects against what came out; every difference is a line.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;
use k8s_glue::manifest::Document;
use k8s_glue::{admission, convert, load};
use lbcore::config::{Config, Level, ObjectRef, Origin, Severity};
use serde_json::{Map, Value, json};

use crate::announcement;
use crate::conversion;
use crate::vector::{Action, Kind, Vector};
use crate::world::{Outcome, World, identity, is_native, read, settings_of};

pub(crate) type Differences = Vec<String>;

pub(crate) fn run(vector: &Vector) -> Result<(), Differences> {
    let differences = match vector.kind {
        Kind::Convert => conversion::compare(vector),
        Kind::Plan => {
            let world = World::new(vector);
            compare(&world, &world_before(&world), &vector.expect)
        }
        Kind::Sequence if settings_of(vector).level == Level::Admission => admission(vector),
        Kind::Sequence => sequence(vector),
        Kind::Validate => validate(vector),
    };
    if differences.is_empty() { Ok(()) } else { Err(differences) }
}

/// Addresses of every Service before a step, for `unchanged`.
type Before = Vec<(String, BTreeSet<IpAddr>)>;

fn world_before(world: &World) -> Before {
    let services = world.load().objects.services;
    services
        .iter()
        .map(|service| (service.key.to_string(), world.recorded(service.key.as_str()).into_iter().collect()))
        .collect()
}

fn sequence(vector: &Vector) -> Differences {
    let mut world = World::new(vector);
    let mut differences = compare(&world, &world_before(&world), &vector.expect);
    for (number, step) in vector.steps.iter().enumerate() {
        let before = world_before(&world);
        world.step(&step.action);
        let of_step = compare(&world, &before, &step.expect);
        differences.extend(of_step.into_iter().map(|difference| format!("step {}: {difference}", number + 1)));
    }
    differences
}

/// Each step is one change, which takes effect where it is let through.
fn admission(vector: &Vector) -> Differences {
    let settings = settings_of(vector);
    let mut documents = read(&vector.input).documents;
    let object_of = |document: &Document| convert::object_of(document, Origin(0), &settings.install_namespace);
    let is_same = |one: &ObjectRef, other: &ObjectRef| {
        one.kind == other.kind && one.namespace == other.namespace && one.name == other.name
    };
    let mut differences = unknown(&vector.expect, &[]);
    for (number, step) in vector.steps.iter().enumerate() {
        let (object, incoming, problems) = match &step.action {
            Action::Apply(text) => {
                let mut read = read(text).documents;
                let (Some(incoming), true) = (read.pop(), read.is_empty()) else {
                    panic!("a request is about one object")
                };
                let problems = admission::admit(&documents, &incoming, &settings);
                (object_of(&incoming), Some(incoming), problems)
            }
            Action::Delete(name) => {
                let known = documents.iter().find(|document| identity(document) == *name);
                let object = object_of(known.unwrap_or_else(|| panic!("there is no {name} to delete")));
                let problems = admission::admit_deletion(&documents, &object, &settings);
                (object, None, problems)
            }
            Action::Check | Action::Restart => panic!("admission is of objects that are applied or deleted"),
        };
        let found: BTreeSet<&str> = problems.iter().map(|problem| problem.category.as_str()).collect();
        let reasons = texts(step.expect.get("reasons"));
        let expected = step.expect.get("admitted") == Some(&Value::Bool(true)) || only_unsupported(vector, &reasons);
        let fits_reason = reasons.is_empty() || reasons.iter().any(|reason| found.contains(reason.as_str()));
        if expected != found.is_empty() || !fits_reason && !expected {
            differences.push(format!("step {}: expected {expected} {reasons:?}, found {found:?}", number + 1));
        }
        differences.extend(unknown(&step.expect, &["admitted", "reasons"]));
        if found.is_empty() {
            documents.retain(|document| !is_same(&object_of(document), &object));
            documents.extend(incoming);
        }
    }
    differences
}

fn validate(vector: &Vector) -> Differences {
    let settings = settings_of(vector);
    let loaded = load::check(read(&vector.input), &settings);
    let mut differences = Differences::new();
    let errors: BTreeSet<&str> = loaded
        .report
        .findings()
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .map(|finding| finding.category)
        .collect();
    let reasons = vector.expect.get("reasons").map(|reasons| texts(Some(reasons))).unwrap_or_default();
    let only_unsupported = only_unsupported(vector, &reasons);
    let expected = vector.expect.get("valid") == Some(&Value::Bool(true)) || only_unsupported;
    if expected != errors.is_empty() {
        differences.push(format!("valid: expected {expected}, found {}", loaded.report.to_text()));
    }
    if !expected && !reasons.is_empty() && !errors.iter().any(|found| reasons.iter().any(|reason| reason == found)) {
        differences.push(format!("reasons: expected one of {reasons:?}, found {errors:?}"));
    }
    for (node, expected) in entries(vector.expect.get("valid_on")) {
        let known = loaded.objects.config.nodes.iter().find(|known| known.name.as_str() == node);
        let part = known.map(|node| loaded.objects.config.for_node(node));
        let found = part.map(|part| Config::build(&part, &settings).errors().count() == 0);
        if json!(found) != expected && !(only_unsupported && found == Some(true)) {
            differences.push(format!("valid_on {node}: expected {expected}, found {found:?}"));
        }
    }
    differences.extend(unknown(&vector.expect, &["valid", "reasons", "valid_on"]));
    differences
}

/// One BGP engine for all: what the native backend alone lacks is accepted.
fn only_unsupported(vector: &Vector, reasons: &[String]) -> bool {
    is_native(vector) && reasons == ["unsupported-by-backend"]
}

fn unknown(expect: &Map<String, Value>, known: &[&str]) -> Differences {
    expect.keys().filter(|key| !known.contains(&key.as_str())).map(|key| format!("nobody compares {key}")).collect()
}

pub(crate) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(text)) => vec![text.clone()],
        _ => Vec::new(),
    }
}

pub(crate) fn entries(value: Option<&Value>) -> Vec<(String, Value)> {
    let map = value.and_then(Value::as_object).cloned().unwrap_or_default();
    map.into_iter().collect()
}

fn addresses(value: &Value) -> BTreeSet<IpAddr> {
    texts(Some(value)).iter().map(|text| text.parse().unwrap()).collect()
}

const COMPARED: [&str; 9] =
    ["assignments", "distinct", "same", "unchanged", "pool_status", "l2", "l2_interfaces", "bgp", "why"];

fn compare(world: &World, before: &Before, expect: &Map<String, Value>) -> Differences {
    let mut differences = unknown(expect, &COMPARED);
    for (service, form) in entries(expect.get("assignments")) {
        differences.extend(assignment(world, &service, &form));
    }
    for (name, wants_same) in [("distinct", false), ("same", true)] {
        for group in expect.get(name).and_then(Value::as_array).into_iter().flatten() {
            differences.extend(group_of(world, &texts(Some(group)), wants_same));
        }
    }
    for service in texts(expect.get("unchanged")) {
        let old = before.iter().find(|(known, _)| *known == service).map(|(_, ips)| ips.clone());
        let new: BTreeSet<IpAddr> = world.recorded(&service).into_iter().collect();
        if old.as_ref() != Some(&new) {
            differences.push(format!("unchanged {service}: {old:?} became {new:?}"));
        }
    }
    for (pool, counters) in entries(expect.get("pool_status")) {
        differences.extend(pool_status(world, &pool, &counters));
    }
    differences.extend(announcement::compare(world, expect));
    differences
}

fn group_of(world: &World, services: &[String], wants_same: bool) -> Differences {
    let mut differences = Differences::new();
    let held: Vec<BTreeSet<IpAddr>> =
        services.iter().map(|service| world.recorded(service).into_iter().collect()).collect();
    for (place, one) in held.iter().enumerate() {
        for other in held.iter().skip(place + 1) {
            let fits = if wants_same { one == other && !one.is_empty() } else { one.is_disjoint(other) };
            if !fits {
                differences.push(format!("{services:?}: {one:?} against {other:?}, same wanted: {wants_same}"));
            }
        }
    }
    differences
}

fn pool_status(world: &World, pool: &str, counters: &Value) -> Differences {
    let Some(usage) = world.usage(pool) else { return vec![format!("pool_status: there is no pool {pool}")] };
    let found = json!({"assignedIPv4": usage.assigned_ipv4, "assignedIPv6": usage.assigned_ipv6,
        "availableIPv4": usage.available_ipv4, "availableIPv6": usage.available_ipv6});
    let wrong = entries(Some(counters)).into_iter().filter(|(name, expected)| found[name] != *expected);
    wrong
        .map(|(name, expected)| format!("pool_status {pool} {name}: expected {expected}, found {}", found[&name]))
        .collect()
}

fn assignment(world: &World, service: &str, form: &Value) -> Differences {
    let found = world.outcome(service);
    let mut differences = Differences::new();
    let mut differ = |what: &str| differences.push(format!("{service}: {what}: expected {form}, found {found:?}"));
    if form.get("ignored").is_some() {
        if found.is_some() {
            differ("ignored");
        }
        if let Some(ips) = form.get("ips")
            && addresses(ips) != world.recorded(service).into_iter().collect()
        {
            differ("the recorded status");
        }
        return differences;
    }
    let none = Outcome::default();
    let outcome = found.unwrap_or(&none);
    let ips: BTreeSet<IpAddr> = outcome.ips.iter().copied().collect();
    if form.get("none").is_some() && *outcome != none {
        differ("none");
    }
    if let Some(expected) = form.get("ips") {
        if addresses(expected) != ips {
            differ("addresses");
        }
        let ordered: Vec<String> = outcome.ips.iter().map(ToString::to_string).collect();
        if form.get("ordered").is_some() && texts(Some(expected)) != ordered {
            differ("order");
        }
    }
    if let Some(blocks) = form.get("ips_in") {
        let blocks: Vec<IpNetwork> = texts(Some(blocks)).iter().map(|block| block.parse().unwrap()).collect();
        if !ips.iter().all(|ip| blocks.iter().any(|block| block.contains(*ip))) {
            differ("blocks");
        }
    }
    if form.get("count").and_then(Value::as_u64).is_some_and(|count| count != ips.len() as u64) {
        differ("count");
    }
    if let Some(sets) = form.get("one_of").and_then(Value::as_array)
        && !sets.iter().any(|set| addresses(set) == ips)
    {
        differ("one of");
    }
    let pools = [texts(form.get("pool")), texts(form.get("pool_in"))].concat();
    if !pools.is_empty() && !pools.iter().any(|pool| outcome.pool.as_deref() == Some(pool)) {
        differ("pool");
    }
    let errors = texts(form.get("error"));
    match (&outcome.error, errors.is_empty()) {
        (None, true) => {}
        (Some(error), false) if errors.iter().any(|category| category == error.category) => {}
        _ => differ("error"),
    }
    if !errors.is_empty() && form.get("ips").is_none() && !ips.is_empty() {
        differ("no address");
    }
    differences
}
