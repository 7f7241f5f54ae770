//! Rules between BGP advertisements of one pool, and between them and BFD profiles ([CFG-40] to [CFG-45], [D162-2]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::advertisements::AttachedBgp;
use super::pools::ReadPool;
use super::problem::{Category, ObjectRef};
use super::report::Findings;
use crate::advertisement::BgpAdvertisement;
use crate::family::IpFamily;
use crate::node::Node;
use crate::node_set::NodeSet;
use crate::peer::{BfdProfile, Feature, Peer};

/// What two advertisements disagree on for one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Disagreement {
    /// Local preference ([ADV-30]).
    LocalPref,
    /// `asPathPrepend` ([D162-2]).
    Prepend,
}

/// The families that a pool has addresses of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolFamilies {
    pub(crate) v4: bool,
    pub(crate) v6: bool,
}

impl PoolFamilies {
    /// Whether the lengths differ in every family that the pool has; a pool without entries has no route at all.
    pub(crate) const fn separates(self, left: &BgpAdvertisement, right: &BgpAdvertisement) -> bool {
        let v4 = !self.v4 || left.aggregation_v4 != right.aggregation_v4;
        let v6 = !self.v6 || left.aggregation_v6 != right.aggregation_v6;
        v4 && v6
    }
}

/// What two advertisements that may meet on one route disagree on; node sets are the caller's matter.
pub(crate) fn disagreements(
    families: PoolFamilies,
    left: &BgpAdvertisement,
    right: &BgpAdvertisement,
) -> impl Iterator<Item = Disagreement> + use<> {
    let preference = (left.local_pref != right.local_pref).then_some(Disagreement::LocalPref);
    let prepend = (left.as_path_prepend != right.as_path_prepend).then_some(Disagreement::Prepend);
    let meet = !families.separates(left, right) && left.peers.intersects(&right.peers);
    [preference, prepend].into_iter().flatten().filter(move |_| meet)
}

/// Reports advertisements of one pool that would give one route two values. Those that select Services are compared when a
/// Service is announced ([ADV-32]).
pub(super) fn check_conflicts(
    advertisements: &[AttachedBgp<'_>],
    pools: &[ReadPool<'_>],
    nodes: &[Node],
    findings: &mut Findings,
) {
    let set = |attached: &AttachedBgp<'_>| {
        NodeSet::covered(&attached.advertisement.node_selectors, nodes.iter().map(|node| &node.labels))
    };
    let sets: Vec<NodeSet> = advertisements.iter().map(set).collect();
    let mut by_pool: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (index, attached) in advertisements.iter().enumerate() {
        if attached.advertisement.service_selectors.is_empty() {
            for pool in &attached.pools {
                by_pool.entry(*pool).or_default().push(index);
            }
        }
    }
    let mut found: BTreeMap<(usize, usize, Disagreement), usize> = BTreeMap::new();
    for (pool, members) in &by_pool {
        let Some(read) = pools.get(*pool) else { continue };
        let families = PoolFamilies { v4: read.has_family(IpFamily::V4), v6: read.has_family(IpFamily::V6) };
        for (place, later) in members.iter().enumerate() {
            for earlier in members.iter().take(place) {
                let (Some(left), Some(right)) = (advertisements.get(*later), advertisements.get(*earlier)) else {
                    continue;
                };
                for disagreement in disagreements(families, &left.advertisement, &right.advertisement) {
                    let meet = sets.get(*later).zip(sets.get(*earlier)).is_some_and(|(one, two)| one.intersects(two));
                    if meet {
                        found.entry((*later, *earlier, disagreement)).or_insert(*pool);
                    }
                }
            }
        }
    }
    for ((later, earlier, disagreement), pool) in found {
        let place = advertisements.get(later).zip(advertisements.get(earlier)).zip(pools.get(pool));
        if let Some(((later, earlier), pool)) = place {
            report_conflict(disagreement, later, earlier, pool, findings);
        }
    }
}

fn report_conflict(
    disagreement: Disagreement,
    later: &AttachedBgp<'_>,
    earlier: &AttachedBgp<'_>,
    pool: &ReadPool<'_>,
    findings: &mut Findings,
) {
    let (category, field) = match disagreement {
        Disagreement::LocalPref => (Category::LocalPrefConflict, "localPref"),
        Disagreement::Prepend => (Category::PrependConflict, "asPathPrepend"),
    };
    let value = |advertisement: &BgpAdvertisement| match disagreement {
        Disagreement::LocalPref => advertisement.local_pref.unwrap_or(0),
        Disagreement::Prepend => advertisement.as_path_prepend.map_or(0, u32::from),
    };
    let message = format!(
        "on pool {}, {field} is {} here and {} in BGPAdvertisement {}, for the same routes on a common node and peer",
        pool.pool.name,
        value(&later.advertisement),
        value(&earlier.advertisement),
        earlier.advertisement.name,
    );
    let fix = format!("write the same {field} in both, or separate them by peers, nodes or aggregation length");
    findings.on(&later.raw.object).error(category, format!("spec.{field}"), message, fix);
}

/// Reports peers whose BFD profile has echo mode and that get an IPv6 pool ([CFG-45]).
pub(super) fn check_echo(
    advertisements: &[AttachedBgp<'_>],
    pools: &[ReadPool<'_>],
    peers: &[(&ObjectRef, &Peer)],
    profiles: &BTreeMap<Arc<str>, Arc<BfdProfile>>,
    findings: &mut Findings,
) {
    let ipv6: BTreeSet<usize> =
        (0..).zip(pools).filter(|(_, pool)| pool.has_family(IpFamily::V6)).map(|(at, _)| at).collect();
    for (object, peer) in peers {
        let profile = peer.bfd_profile.as_ref().and_then(|name| profiles.get(name));
        let Some(profile) = profile.filter(|profile| profile.echo_mode == Feature::On) else { continue };
        let targeting = advertisements.iter().filter(|attached| attached.advertisement.peers.selects(&peer.name));
        let reached = targeting.flat_map(|attached| attached.pools.iter().map(move |pool| (attached, *pool)));
        let Some((attached, pool)) = reached.into_iter().find(|(_, pool)| ipv6.contains(pool)) else { continue };
        let pool = pools.get(pool).map_or_else(String::new, |pool| pool.pool.name.to_string());
        let message = format!(
            "BFD profile {} has echo mode, which IPv6 lacks, and BGPAdvertisement {} sends the IPv6 pool {pool} to this peer",
            profile.name, attached.advertisement.name,
        );
        let fix = "choose a profile without echoMode, or keep the pool from this peer";
        findings.on(object).error(Category::BfdEchoIpv6, "spec.bfdProfile", message, fix);
    }
}
