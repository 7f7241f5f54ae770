//! Policies: reservations and pool policies one at a time, what two policies of one pool may not both say, and what they put into the
//! pools.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::pools::ReadPool;
use super::problem::{Category, ObjectRef};
use super::raw::{Raw, RawAddressReservation, RawConfig, RawPool, RawPoolPolicy, RawQuota, RawSelector};
use super::report::{Findings, Report};
use super::selectors;
use crate::labels::{Labels, any_matches};
use crate::policy::{
    AddressReservation, Audience, Beneficiaries, Freeze, HostPart, Policies, PoolPolicy, PoolSelection, Quota,
    QuotaScope, ReleaseNow,
};
use crate::pool::{AutoAssign, Pool};
use crate::range::{AddressRange, RangeError};
use crate::service::{PoolName, ServiceKey};

/// What policies are held against.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) pools: &'a [ReadPool<'a>],
    pub(super) namespaces: &'a BTreeMap<String, Labels>,
}

/// Reads every policy, in the order given (that of the names), then looks for what two say of one pool.
pub(super) fn read(
    reservations: &[&Raw<RawAddressReservation>],
    policies: &[&Raw<RawPoolPolicy>],
    context: &Context<'_>,
    findings: &mut Findings,
) -> Policies {
    let reservations = reservations
        .iter()
        .map(|raw| Arc::new(read_reservation(raw, context, &mut findings.on(&raw.object))))
        .collect();
    let read: Vec<(&ObjectRef, Arc<PoolPolicy>)> = policies
        .iter()
        .map(|raw| (&raw.object, Arc::new(read_pool_policy(raw, context, &mut findings.on(&raw.object)))))
        .collect();
    report_conflicts(&read, context.pools, findings);
    Policies { reservations, pool_policies: read.into_iter().map(|(_, policy)| policy).collect() }
}

/// The pools that are gone but for what a freeze keeps in them, as objects that say nothing.
pub(super) fn ghosts(raw: &RawConfig, known: &[&Raw<RawPool>]) -> Vec<Raw<RawPool>> {
    let known: BTreeSet<&str> = known.iter().map(|raw| raw.object.name.as_ref()).collect();
    let gone = raw.kept.iter().filter(|kept| !known.contains(kept.pool.as_str()));
    let by_name: BTreeMap<&PoolName, &Labels> = gone.map(|kept| (&kept.pool, &kept.pool_labels)).collect();
    let ghost = |(name, labels): (&PoolName, &Labels)| {
        let object = ObjectRef {
            kind: Arc::from("IPAddressPool"),
            namespace: None,
            name: Arc::from(name.as_str()),
            origin: super::Origin::default(),
        };
        Raw { object, labels: labels.clone(), spec: RawPool::default() }
    };
    by_name.into_iter().map(ghost).collect()
}

/// A pool that is gone, to be filled with what is kept.
pub(super) fn read_ghost(raw: &Raw<RawPool>) -> Option<ReadPool<'_>> {
    let name = PoolName::new(raw.object.name.as_ref()).ok()?;
    let pool = Pool { labels: raw.labels.clone(), auto_assign: AutoAssign::Disabled, ..Pool::new(name, Vec::new()) };
    Some(ReadPool { raw, entries: Vec::new(), pool })
}

/// Takes out of the pools what policies exclude, and puts in what is kept. An address that one pool keeps is in no other.
pub(super) fn put_into(pools: &mut [ReadPool<'_>], policies: &Policies, raw: &RawConfig) {
    let kept: BTreeMap<_, _> = raw.kept.iter().map(|kept| (kept.address, &kept.pool)).collect();
    for ReadPool { pool, .. } in pools {
        let of_policies: Vec<AddressRange> =
            policies.of_pool(&pool.name, &pool.labels).flat_map(|policy| policy.exclusions.iter().copied()).collect();
        let elsewhere = kept.iter().filter(|(_, owner)| **owner != &pool.name);
        let elsewhere = elsewhere.map(|(address, _)| AddressRange::single(*address));
        let mut exclusions: Vec<AddressRange> = of_policies
            .into_iter()
            .chain(elsewhere)
            .filter(|exclusion| pool.ranges.iter().any(|range| range.overlaps(exclusion)))
            .collect();
        exclusions.sort_unstable();
        exclusions.dedup();
        pool.exclusions = exclusions;
        let here = kept.iter().filter(|(_, owner)| **owner == &pool.name);
        pool.kept = here.map(|(address, _)| *address).collect();
    }
}

fn read_reservation(
    raw: &Raw<RawAddressReservation>,
    context: &Context<'_>,
    report: &mut Report<'_>,
) -> AddressReservation {
    let spec = &raw.spec;
    let addresses = read_ranges(&spec.addresses, "spec.addresses", report);
    report.duplicate_entries("spec.hostParts", &spec.host_parts);
    let mut host_parts = Vec::new();
    for (place, text) in spec.host_parts.iter().enumerate() {
        match text.parse::<HostPart>() {
            Ok(part) => host_parts.push((place, part)),
            Err(error) => report.error(
                Category::InvalidHostPart,
                format!("spec.hostParts[{place}]"),
                error.to_string(),
                "write the address with zeros in place of its prefix",
            ),
        }
    }
    if spec.addresses.is_empty() && spec.host_parts.is_empty() {
        let fix = "write addresses, or hostParts and a pool";
        report.error(Category::MissingField, "spec.addresses", "the reservation names no address", fix);
    }
    let pool = spec.pool.as_deref().and_then(|name| PoolName::new(name).ok());
    if pool.is_none() && !spec.host_parts.is_empty() {
        let fix = "write the name of the IPAddressPool whose prefixes are meant";
        report.error(Category::MissingField, "spec.pool", "hostParts are given without a pool", fix);
    }
    let beneficiaries = read_beneficiaries(spec, context, report);
    warn_of_reservation(&addresses, &host_parts, pool.as_ref(), context, report);
    AddressReservation {
        name: Arc::clone(&raw.object.name),
        addresses: addresses.into_iter().map(|(_, range)| range).collect(),
        host_parts: host_parts.into_iter().map(|(_, part)| part).collect(),
        pool,
        beneficiaries,
    }
}

fn read_beneficiaries(spec: &RawAddressReservation, context: &Context<'_>, report: &mut Report<'_>) -> Beneficiaries {
    report.duplicate_entries("spec.services", &spec.services);
    let mut services = BTreeSet::new();
    for (place, text) in spec.services.iter().enumerate() {
        services.extend(read_service(text, &format!("spec.services[{place}]"), report));
    }
    let lists = AudienceLists {
        namespaces: &spec.namespaces,
        namespace_selectors: &spec.namespace_selectors,
        service_selectors: &spec.service_selectors,
    };
    let audience = read_audience(&lists, "spec", context, report);
    if spec.services.is_empty() && lists.are_empty() {
        let fix =
            "write services, namespaces, namespaceSelectors or serviceSelectors; {} as a selector means every one";
        report.error(Category::MissingField, "spec.services", "the reservation is for nobody", fix);
    }
    Beneficiaries { services, audience: (!lists.are_empty()).then_some(audience) }
}

/// What is surely not meant: addresses of no pool, host parts that fit nowhere, a pool that is not there.
fn warn_of_reservation(
    addresses: &[(usize, AddressRange)],
    host_parts: &[(usize, HostPart)],
    pool: Option<&PoolName>,
    context: &Context<'_>,
    report: &mut Report<'_>,
) {
    let meant = |read: &&ReadPool<'_>| pool.is_none_or(|name| *name == read.pool.name);
    let ranges: Vec<AddressRange> =
        context.pools.iter().filter(meant).flat_map(|read| read.pool.ranges.iter().copied()).collect();
    if let Some(name) = pool.filter(|name| !context.pools.iter().any(|read| read.pool.name == **name)) {
        let fix = "create the IPAddressPool, or correct the name";
        report.warning(Category::NoSuchPool, "spec.pool", format!("there is no pool {name}"), fix);
        return;
    }
    let whose = pool.map_or_else(|| "any pool".to_owned(), |name| format!("the pool {name}"));
    for (place, range) in addresses {
        if !ranges.iter().any(|other| other.overlaps(range)) {
            let message = format!("{range} is not in {whose}");
            let fix = "correct the addresses, or add them to the pool";
            report.warning(Category::NoEffect, format!("spec.addresses[{place}]"), message, fix);
        }
    }
    for (place, part) in host_parts {
        if !ranges.iter().any(|range| part.within(range).is_some()) {
            let message = format!("no range of {whose} is a prefix in which {part} fits");
            let fix = "write a smaller host part, or the range as a prefix";
            report.warning(Category::NoEffect, format!("spec.hostParts[{place}]"), message, fix);
        }
    }
}

fn read_pool_policy(raw: &Raw<RawPoolPolicy>, context: &Context<'_>, report: &mut Report<'_>) -> PoolPolicy {
    let spec = &raw.spec;
    let pools = read_selection(spec, context, report);
    let exclusions = read_ranges(&spec.exclusions, "spec.exclusions", report);
    for (place, exclusion) in &exclusions {
        let mut selected = context.pools.iter().filter(|read| pools.selects(&read.pool.name, &read.pool.labels));
        if !selected.any(|read| read.pool.ranges.iter().any(|range| range.overlaps(exclusion))) {
            let message = format!("{exclusion} is in no range of the pools of this policy");
            let fix = "correct the exclusion, or remove it";
            report.warning(Category::NoEffect, format!("spec.exclusions[{place}]"), message, fix);
        }
    }
    report.duplicate_entries("spec.releaseNow", &spec.release_now);
    let mut release_now = Vec::new();
    for (place, text) in spec.release_now.iter().enumerate() {
        let field = format!("spec.releaseNow[{place}]");
        release_now.extend(match AddressRange::parse_lenient(text) {
            Ok(range) => Some(ReleaseNow::Addresses(range)),
            Err(_) => read_service(text, &field, report).map(ReleaseNow::Service),
        });
    }
    release_now.sort_unstable();
    let freeze = spec.freeze.as_ref().map(|freeze| {
        let confirmed = read_ranges(&freeze.confirmed, "spec.freeze.confirmed", report);
        Freeze { confirmed: confirmed.into_iter().map(|(_, range)| range).collect() }
    });
    let given = |duration: Option<Duration>| duration.filter(|duration| !duration.is_zero());
    PoolPolicy {
        name: Arc::clone(&raw.object.name),
        pools,
        exclusions: exclusions.into_iter().map(|(_, range)| range).collect(),
        retention: given(spec.retention),
        release_now,
        reuse_cooldown: given(spec.reuse_cooldown),
        quotas: read_quotas(&spec.quotas, context, report),
        freeze,
    }
}

fn read_selection(spec: &RawPoolPolicy, context: &Context<'_>, report: &mut Report<'_>) -> PoolSelection {
    report.duplicate_entries("spec.ipAddressPools", &spec.ip_address_pools);
    let selectors = selectors::parse_list(report, "spec.ipAddressPoolSelectors", &spec.ip_address_pool_selectors);
    let mut names = BTreeSet::new();
    for (place, text) in spec.ip_address_pools.iter().enumerate() {
        let field = format!("spec.ipAddressPools[{place}]");
        let Ok(name) = PoolName::new(text.as_str()) else {
            report.error(
                Category::MissingField,
                field,
                "the name of the pool is empty",
                "write it, or remove the entry",
            );
            continue;
        };
        if !context.pools.iter().any(|read| read.pool.name == name) {
            let fix = "create the IPAddressPool, or correct the name";
            report.warning(Category::NoSuchPool, field, format!("there is no pool {name:?}"), fix);
        }
        names.insert(name);
    }
    // Entries that cannot be read are errors; that they then leave "all pools" is of no consequence.
    PoolSelection { names, selectors }
}

fn read_quotas(raw: &[RawQuota], context: &Context<'_>, report: &mut Report<'_>) -> Vec<Quota> {
    let (mut quotas, mut names) = (Vec::new(), BTreeSet::new());
    for (place, raw) in raw.iter().enumerate() {
        let field = format!("spec.quotas[{place}]");
        let name = raw.name.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| place.to_string());
        if !names.insert(name.clone()) {
            let message = format!("there is another quota of the name {name}");
            let fix = "rename or remove one of the two";
            report.error(Category::DuplicateEntry, format!("{field}.name"), message, fix);
        }
        let scope = match raw.scope.as_deref().unwrap_or("Namespace") {
            "" | "Namespace" => QuotaScope::Namespace,
            "Together" => QuotaScope::Together,
            other => {
                let fix = "write Namespace or Together";
                report.error(Category::Schema, format!("{field}.scope"), format!("{other:?} is not a scope"), fix);
                continue;
            }
        };
        let lists = AudienceLists {
            namespaces: &raw.namespaces,
            namespace_selectors: &raw.namespace_selectors,
            service_selectors: &raw.service_selectors,
        };
        let audience = read_audience(&lists, &field, context, report);
        let field = format!("{field}.limit");
        let Some(limit) = raw.limit else {
            report.error(
                Category::MissingField,
                field,
                "the quota has no limit",
                "write how many addresses are allowed",
            );
            continue;
        };
        let limit = report.bounded(Category::Schema, &field, limit, (0, i64::MAX));
        if let Some(limit) = limit.and_then(|limit| u64::try_from(limit).ok()) {
            quotas.push(Quota { name: Arc::from(name), scope, audience, limit });
        }
    }
    quotas
}

/// The three lists that mean Services by namespace and labels.
struct AudienceLists<'a> {
    namespaces: &'a [String],
    namespace_selectors: &'a [RawSelector],
    service_selectors: &'a [RawSelector],
}

impl AudienceLists<'_> {
    const fn are_empty(&self) -> bool {
        self.namespaces.is_empty() && self.namespace_selectors.is_empty() && self.service_selectors.is_empty()
    }
}

fn read_audience(lists: &AudienceLists<'_>, field: &str, context: &Context<'_>, report: &mut Report<'_>) -> Audience {
    report.duplicate_entries(&format!("{field}.namespaces"), lists.namespaces);
    let namespace_selectors =
        selectors::parse_list(report, &format!("{field}.namespaceSelectors"), lists.namespace_selectors);
    let service_selectors =
        selectors::parse_list(report, &format!("{field}.serviceSelectors"), lists.service_selectors);
    let restricted = !lists.namespaces.is_empty() || !lists.namespace_selectors.is_empty();
    let selected = context.namespaces.iter().filter(|(_, labels)| any_matches(&namespace_selectors, labels));
    let names = || lists.namespaces.iter().chain(selected.map(|(name, _)| name)).cloned().collect();
    Audience { namespaces: restricted.then(names), service_selectors }
}

/// Entries that are an address, a range or a prefix, with their places.
fn read_ranges(texts: &[String], field: &str, report: &mut Report<'_>) -> Vec<(usize, AddressRange)> {
    report.duplicate_entries(field, texts);
    let mut ranges = Vec::with_capacity(texts.len());
    for (place, text) in texts.iter().enumerate() {
        match AddressRange::parse_lenient(text) {
            Ok(range) => ranges.push((place, range)),
            Err(error) => {
                let (text, field) = (error.to_string(), format!("{field}[{place}]"));
                // The mend stands last, behind a colon; that of a text that is no range knows no lone address.
                let (message, fix) = text.rsplit_once(": ").unwrap_or((&text, ""));
                let fix = if matches!(error, RangeError::Syntax { .. }) {
                    "write ADDRESS, ADDRESS/LENGTH or FIRST-LAST"
                } else {
                    fix
                };
                report.error(Category::InvalidAddressRange, field, message, fix);
            }
        }
    }
    ranges
}

fn read_service(text: &str, field: &str, report: &mut Report<'_>) -> Option<ServiceKey> {
    let key = text.parse::<ServiceKey>().ok().filter(|key| !key.name().contains('/'));
    if key.is_none() {
        let message = format!("{text:?} does not name a Service");
        report.error(Category::InvalidServiceName, field, message, "write NAMESPACE/NAME");
    }
    key
}

/// Whether a policy sets a field.
type IsSet = fn(&PoolPolicy) -> bool;

/// Of two policies for one pool only one may set each of these fields; the second by name is refused.
fn report_conflicts(policies: &[(&ObjectRef, Arc<PoolPolicy>)], pools: &[ReadPool<'_>], findings: &mut Findings) {
    let fields: [(&str, IsSet); 3] = [
        ("spec.retention", |policy| policy.retention.is_some()),
        ("spec.reuseCooldown", |policy| policy.reuse_cooldown.is_some()),
        ("spec.freeze", |policy| policy.freeze.is_some()),
    ];
    for (field, is_set) in fields {
        let mut reported = BTreeSet::new();
        for ReadPool { pool, .. } in pools {
            let mut setting =
                policies.iter().filter(|(_, policy)| is_set(policy) && policy.pools.selects(&pool.name, &pool.labels));
            let Some((_, first)) = setting.next() else { continue };
            for (object, second) in setting.filter(|(_, second)| reported.insert(Arc::clone(&second.name))) {
                let message = format!("the policy {} sets it for the pool {} too", first.name, pool.name);
                let fix = format!("remove it from {} or {}, or let one leave the pool out", first.name, second.name);
                findings.on(object).error(Category::PolicyConflict, field, message, fix);
            }
        }
    }
}

#[cfg(test)]
mod tests;
