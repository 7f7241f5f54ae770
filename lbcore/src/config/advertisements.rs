//! Advertisements one at a time, and which pools they reach ([API-L2-1], [API-BGPADV-1] to [API-BGPADV-3]).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Level;
use super::communities::{self, Aliases};
use super::pools::{Entry, ReadPool};
use super::problem::Category;
use super::raw::{Raw, RawBgpAdvertisement, RawL2Advertisement, RawSelector};
use super::report::{Findings, Report};
use super::selectors;
use crate::advertisement::{BgpAdvertisement, L2Advertisement, PeerSelection, Preference};
use crate::family::IpFamily;
use crate::labels::{Selector, any_matches};
use crate::link::LinkSelection;
use crate::range::AddressRange;

/// Bounds of a preference's weight.
const WEIGHTS: (i64, i64) = (1, 100);

/// An advertisement with the places of the pools that it reaches, ascending.
#[derive(Debug)]
pub(super) struct Attached<'a, S, A> {
    pub(super) raw: &'a Raw<S>,
    pub(super) advertisement: Arc<A>,
    pub(super) pools: Vec<usize>,
}

/// An L2 advertisement with its pools.
pub(super) type AttachedL2<'a> = Attached<'a, RawL2Advertisement, L2Advertisement>;
/// A BGP advertisement with its pools.
pub(super) type AttachedBgp<'a> = Attached<'a, RawBgpAdvertisement, BgpAdvertisement>;

/// Which pools an advertisement names and selects, as written.
struct PoolReach<'a> {
    names: &'a [String],
    selectors: &'a [RawSelector],
}

/// Reads an L2 advertisement.
pub(super) fn read_l2<'a>(
    raw: &'a Raw<RawL2Advertisement>,
    pools: &[ReadPool<'_>],
    findings: &mut Findings,
) -> AttachedL2<'a> {
    let mut report = findings.on(&raw.object);
    let report = &mut report;
    let spec = &raw.spec;
    let reach = PoolReach { names: &spec.ip_address_pools, selectors: &spec.ip_address_pool_selectors };
    let reached = reached_pools(&reach, pools, report);
    let node_selectors = selectors::parse_list(report, "spec.nodeSelectors", &spec.node_selectors);
    let service_selectors = selectors::parse_list(report, "spec.serviceSelectors", &spec.service_selectors);
    let names: BTreeSet<String> = spec.interfaces.iter().cloned().collect();
    let links = if names.is_empty() { LinkSelection::All } else { LinkSelection::Named(Arc::new(names)) };
    let preferences = read_preferences(spec, report);
    let name = Arc::clone(&raw.object.name);
    let advertisement = L2Advertisement { name, node_selectors, links, service_selectors, preferences };
    Attached { raw, advertisement: Arc::new(advertisement), pools: reached }
}

fn read_preferences(spec: &RawL2Advertisement, report: &mut Report<'_>) -> Vec<Preference> {
    let mut preferences = Vec::new();
    for (place, raw) in spec.preferred_node_selectors.iter().enumerate() {
        let field = format!("spec.preferredNodeSelectors[{place}]");
        if raw.weight.is_none() {
            report.error(Category::Schema, format!("{field}.weight"), "the weight is missing", "write 1 to 100");
        }
        if raw.preference.is_none() {
            let fix = "write a label selector; {} means every node";
            report.error(Category::Schema, format!("{field}.preference"), "the preference is missing", fix);
        }
        let weight =
            raw.weight.and_then(|weight| report.bounded(Category::Schema, &format!("{field}.weight"), weight, WEIGHTS));
        let nodes = raw
            .preference
            .as_ref()
            .and_then(|selector| selectors::parse(report, &format!("{field}.preference"), selector));
        if let (Some(weight), Some(nodes)) = (weight.and_then(|weight| u32::try_from(weight).ok()), nodes) {
            preferences.push(Preference { weight, nodes });
        }
    }
    preferences.sort();
    preferences
}

/// What a BGP advertisement needs to know beside itself.
#[derive(Debug)]
pub(super) struct BgpContext<'a> {
    pub(super) pools: &'a [ReadPool<'a>],
    pub(super) aliases: &'a Aliases,
    /// Names of the peers that were described, whether or not they are good.
    pub(super) peers: &'a BTreeSet<&'a str>,
    pub(super) level: Level,
}

/// Reads a BGP advertisement.
pub(super) fn read_bgp<'a>(
    raw: &'a Raw<RawBgpAdvertisement>,
    context: &BgpContext<'_>,
    findings: &mut Findings,
) -> AttachedBgp<'a> {
    let mut report = findings.on(&raw.object);
    let report = &mut report;
    let spec = &raw.spec;
    let reach = PoolReach { names: &spec.ip_address_pools, selectors: &spec.ip_address_pool_selectors };
    let reached = reached_pools(&reach, context.pools, report);
    let node_selectors = selectors::parse_list(report, "spec.nodeSelectors", &spec.node_selectors);
    let service_selectors = selectors::parse_list(report, "spec.serviceSelectors", &spec.service_selectors);
    let peers = read_peers(spec, context, report);
    let aggregation_v4 = read_aggregation(spec.aggregation_length, IpFamily::V4, report);
    let aggregation_v6 = read_aggregation(spec.aggregation_length_v6, IpFamily::V6, report);
    let selects_services = !spec.service_selectors.is_empty();
    if selects_services && (aggregation_v4 != IpFamily::V4.bits() || aggregation_v6 != IpFamily::V6.bits()) {
        report.error(
            Category::ServiceSelectorWithAggregation,
            "spec.serviceSelectors",
            "serviceSelectors is set together with an aggregation length",
            "remove serviceSelectors, or announce whole addresses (32 and 128)",
        );
    }
    for index in &reached {
        if let Some(pool) = context.pools.get(*index) {
            check_aggregation(pool, (aggregation_v4, aggregation_v6), report);
        }
    }
    let limit = i64::from(u32::MAX);
    let preference =
        spec.local_pref.and_then(|value| report.bounded(Category::Schema, "spec.localPref", value, (0, limit)));
    let prepend =
        spec.as_path_prepend.and_then(|value| report.bounded(Category::Schema, "spec.asPathPrepend", value, (1, 10)));
    let advertisement = BgpAdvertisement {
        name: Arc::clone(&raw.object.name),
        node_selectors,
        service_selectors,
        peers,
        aggregation_v4,
        aggregation_v6,
        local_pref: preference.and_then(|value| u32::try_from(value).ok()).filter(|value| *value != 0),
        as_path_prepend: prepend.and_then(|value| u8::try_from(value).ok()),
        communities: communities::resolve(&spec.communities, context.aliases, context.level, report),
    };
    Attached { raw, advertisement: Arc::new(advertisement), pools: reached }
}

fn read_peers(spec: &RawBgpAdvertisement, context: &BgpContext<'_>, report: &mut Report<'_>) -> PeerSelection {
    report.duplicate_entries("spec.peers", &spec.peers);
    for (place, name) in spec.peers.iter().enumerate() {
        if context.level == Level::Full && !context.peers.contains(name.as_str()) {
            let message = format!("there is no peer {name:?}");
            let fix = "create the BGPPeer, or correct the name";
            report.warning(Category::UnknownPeer, format!("spec.peers[{place}]"), message, fix);
        }
    }
    if spec.peers.is_empty() {
        PeerSelection::All
    } else {
        PeerSelection::Named(spec.peers.iter().map(|name| Arc::from(name.as_str())).collect())
    }
}

/// The places of the pools reached: all where nothing is named or selected, else the union ([API-L2-1]).
fn reached_pools(reach: &PoolReach<'_>, pools: &[ReadPool<'_>], report: &mut Report<'_>) -> Vec<usize> {
    report.duplicate_entries("spec.ipAddressPools", reach.names);
    let selectors: Vec<Selector> = selectors::parse_list(report, "spec.ipAddressPoolSelectors", reach.selectors);
    let names: BTreeSet<&str> = reach.names.iter().map(String::as_str).collect();
    let known: BTreeSet<&str> = pools.iter().map(|pool| pool.pool.name.as_str()).collect();
    for (place, name) in reach.names.iter().enumerate() {
        if !known.contains(name.as_str()) {
            let message = format!("there is no pool {name:?}");
            let fix = "create the IPAddressPool, or correct the name";
            report.warning(Category::NoSuchPool, format!("spec.ipAddressPools[{place}]"), message, fix);
        }
    }
    let all = reach.names.is_empty() && reach.selectors.is_empty();
    let reached = |pool: &ReadPool<'_>| {
        all || names.contains(pool.pool.name.as_str()) || any_matches(&selectors, &pool.pool.labels)
    };
    pools.iter().enumerate().filter(|(_, pool)| reached(pool)).map(|(index, _)| index).collect()
}

const fn aggregation_field(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "spec.aggregationLength",
        IpFamily::V6 => "spec.aggregationLengthV6",
    }
}

/// A prefix length; the schema has a least value for IPv4 alone ([ADV-1], [ADV-2]).
fn read_aggregation(value: Option<i64>, family: IpFamily, report: &mut Report<'_>) -> u8 {
    let (field, bits) = (aggregation_field(family), family.bits());
    let Some(value) = value else { return bits };
    let least = match family {
        IpFamily::V4 => 1,
        IpFamily::V6 => 0,
    };
    let category = if value < least { Category::Schema } else { Category::InvalidAggregationLength };
    let bounded = report.bounded(category, field, value, (least, i64::from(bits)));
    bounded.and_then(|value| u8::try_from(value).ok()).unwrap_or(bits)
}

/// The length must fit in the widest block of every entry ([API-BGPADV-3], [ADV-14]).
fn check_aggregation(pool: &ReadPool<'_>, lengths: (u8, u8), report: &mut Report<'_>) {
    for Entry { range, .. } in &pool.entries {
        let length = match range.family() {
            IpFamily::V4 => lengths.0,
            IpFamily::V6 => lengths.1,
        };
        let widest = widest_block(range);
        if length < widest {
            report.error(
                Category::InvalidAggregationLength,
                aggregation_field(range.family()),
                format!(
                    "/{length} reaches beyond {range} of pool {}, whose widest block is a /{widest}",
                    pool.pool.name
                ),
                format!("write {widest} or more"),
            );
        }
    }
}

/// The length of the widest block among the least list of CIDRs that make up the range.
fn widest_block(range: &AddressRange) -> u8 {
    let (bits, last) = (u32::from(range.family().bits()), range.last_number());
    let mut first = range.first_number();
    let mut widest = 0;
    loop {
        let aligned = if first == 0 { bits } else { first.trailing_zeros().min(bits) };
        // Addresses from `first` on, less one, so that the whole of IPv6 does not overflow.
        let span = last - first;
        let fitting = if span == u128::MAX { 128 } else { (span + 1).ilog2() };
        let block = aligned.min(fitting);
        widest = widest.max(block);
        let after = 1_u128.checked_shl(block).and_then(|size| first.checked_add(size));
        match after {
            Some(next) if next <= last => first = next,
            _ => break,
        }
    }
    u8::try_from(bits - widest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    // [VEC-RANGE], [VEC-AGG]
    #[test]
    fn widest_block_of_a_range_is_found() {
        let cases = [
            ("3.3.3.2-3.3.3.254", 26),
            ("40.0.0.150-40.0.0.200", 27),
            ("40.0.0.250-40.0.0.250", 32),
            ("1.2.3.240-1.2.3.250", 29),
            ("10.0.0.10-10.0.0.50", 28),
            ("198.51.100.10/24", 24),
            ("0.0.0.0/0", 0),
            ("::/0", 0),
            ("::1-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 1),
            ("2001:db8::/64", 64),
        ];
        for (text, length) in cases {
            assert_eq!(widest_block(&text.parse().unwrap()), length, "{text}");
        }
    }
}
