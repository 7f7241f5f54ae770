//! Pools: ranges, restrictions, and the check that no range overlaps another ([ADDR-1] to [ADDR-13], [API-POOL-1] to
//! [API-POOL-8]).

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Category;
use super::raw::{Raw, RawConfig, RawPool, RawServiceAllocation};
use super::report::{Findings, Report};
use super::selectors;
use crate::family::IpFamily;
use crate::labels::{Labels, any_matches};
use crate::pool::{AutoAssign, BuggyAddresses, Pool, ServiceAllocation};
use crate::range::{AddressRange, RangeError};
use crate::service::PoolName;

/// At most so many overlaps are reported for one range, so that a thousand equal ranges give no million problems.
const OVERLAPS_REPORTED: usize = 8;

/// One entry of a pool's `addresses` that could be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its place in the list as written.
    pub(super) place: usize,
    pub(super) range: AddressRange,
}

/// A pool with what could be read of it; later checks go on with it even where it is refused.
#[derive(Debug)]
pub(super) struct ReadPool<'a> {
    pub(super) raw: &'a Raw<RawPool>,
    pub(super) entries: Vec<Entry>,
    pub(super) pool: Pool,
}

impl ReadPool<'_> {
    /// Whether an entry is of this family.
    pub(super) fn has_family(&self, family: IpFamily) -> bool {
        self.entries.iter().any(|entry| entry.range.family() == family)
    }
}

/// Reads every pool, in the order given (that of the names), then looks for overlaps.
pub(super) fn read<'a>(pools: &[&'a Raw<RawPool>], whole: &RawConfig, findings: &mut Findings) -> Vec<ReadPool<'a>> {
    let read: Vec<ReadPool<'a>> =
        pools.iter().filter_map(|raw| read_pool(raw, &whole.namespaces, &mut findings.on(&raw.object))).collect();
    report_overlaps(&read, findings);
    read
}

fn read_pool<'a>(
    raw: &'a Raw<RawPool>,
    namespaces: &BTreeMap<String, Labels>,
    report: &mut Report<'_>,
) -> Option<ReadPool<'a>> {
    let spec = &raw.spec;
    let entries = read_entries(&spec.addresses, report);
    let allocation = spec.service_allocation.as_ref().map(|raw| read_allocation(raw, namespaces, report));
    // A name that is empty has been reported with the identities.
    let name = PoolName::new(raw.object.name.as_ref()).ok()?;
    let avoided = if spec.avoid_buggy_ips == Some(true) { BuggyAddresses::Avoided } else { BuggyAddresses::Used };
    let auto_assign = if spec.auto_assign == Some(false) { AutoAssign::Disabled } else { AutoAssign::Enabled };
    let ranges = entries.iter().map(|entry| entry.range).collect();
    let labels = raw.labels.clone();
    let pool = Pool { labels, auto_assign, buggy_addresses: avoided, allocation, ..Pool::new(name, ranges) };
    Some(ReadPool { raw, entries, pool })
}

fn read_entries(addresses: &[String], report: &mut Report<'_>) -> Vec<Entry> {
    if addresses.is_empty() {
        report.error(
            Category::MissingField,
            "spec.addresses",
            "the pool has no addresses",
            "write at least one range, such as 192.0.2.0/24 or 192.0.2.10-192.0.2.20",
        );
    }
    let mut entries = Vec::with_capacity(addresses.len());
    for (place, text) in addresses.iter().enumerate() {
        match text.parse() {
            Ok(range) => entries.push(Entry { place, range }),
            Err(error) => {
                let (error, field) = (RangeError::to_string(&error), format!("spec.addresses[{place}]"));
                let (message, mend) = error.rsplit_once(": ").unwrap_or((&error, ""));
                report.error(Category::InvalidAddressRange, field, message, mend);
            }
        }
    }
    entries
}

fn read_allocation(
    raw: &RawServiceAllocation,
    namespaces: &BTreeMap<String, Labels>,
    report: &mut Report<'_>,
) -> ServiceAllocation {
    report.duplicate_entries("spec.serviceAllocation.namespaces", &raw.namespaces);
    let namespace_selectors =
        selectors::parse_list(report, "spec.serviceAllocation.namespaceSelectors", &raw.namespace_selectors);
    let service_selectors =
        selectors::parse_list(report, "spec.serviceAllocation.serviceSelectors", &raw.service_selectors);
    let restricted = !raw.namespaces.is_empty() || !raw.namespace_selectors.is_empty();
    let allowed = || -> BTreeSet<String> {
        let selected = namespaces.iter().filter(|(_, labels)| any_matches(&namespace_selectors, labels));
        raw.namespaces.iter().cloned().chain(selected.map(|(name, _)| name.clone())).collect()
    };
    ServiceAllocation { priority: raw.priority.unwrap_or(0), namespaces: restricted.then(allowed), service_selectors }
}

/// Where a range stands: its pool in the order of names, its place among the entries read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    pool: usize,
    entry: usize,
}

/// Reports each range that overlaps one that comes before it in the order of pools and entries ([ADDR-11]).
///
/// One sweep over the ranges in the order of their first addresses, with those that still reach further kept in the order of
/// their last: O(C log C) and the overlaps reported ([ADDR-13]).
fn report_overlaps(pools: &[ReadPool<'_>], findings: &mut Findings) {
    let mut ranges: Vec<(AddressRange, Position)> = Vec::new();
    for (pool, read) in pools.iter().enumerate() {
        let positions = (0..).map(|entry| Position { pool, entry });
        ranges.extend(read.entries.iter().map(|entry| entry.range).zip(positions));
    }
    ranges.sort();
    let mut found: BTreeSet<(Position, Position)> = BTreeSet::new();
    let mut open: BTreeMap<(u128, Position), AddressRange> = BTreeMap::new();
    let mut family = IpFamily::V4;
    for (range, position) in ranges {
        if range.family() != family {
            family = range.family();
            open.clear();
        }
        while open.first_key_value().is_some_and(|((last, _), _)| *last < range.first_number()) {
            open.pop_first();
        }
        for (_, other) in open.keys().take(OVERLAPS_REPORTED) {
            found.insert((position.max(*other), position.min(*other)));
        }
        open.insert((range.last_number(), position), range);
    }
    for (later, earlier) in found {
        report_overlap(pools, later, earlier, findings);
    }
}

fn report_overlap(pools: &[ReadPool<'_>], later: Position, earlier: Position, findings: &mut Findings) {
    let place = |position: Position| {
        let pool = pools.get(position.pool)?;
        Some((pool, pool.entries.get(position.entry)?))
    };
    let (Some((pool, entry)), Some((other_pool, other))) = (place(later), place(earlier)) else { return };
    let whose = if later.pool == earlier.pool {
        "of the same pool".to_owned()
    } else {
        format!("of pool {}", other_pool.pool.name)
    };
    let range = entry.range;
    let message = format!(
        "{range} of pool {} overlaps {} {whose} (spec.addresses[{}])",
        pool.pool.name, other.range, other.place
    );
    let field = format!("spec.addresses[{}]", entry.place);
    let fix = "take the common addresses out of one of the two";
    findings.on(&pool.raw.object).error(Category::OverlappingRanges, field, message, fix);
}
