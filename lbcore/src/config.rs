//! From a raw description to a [`Config`]: every problem is collected, each with the object and the field that have it.
//!
//! What lives here: the description as read ([`raw`]), the findings ([`problem`]), the checks between them, and the judgement of one
//! change ([`admission`]). Objects are
//! processed in the order of their names, so that the outcome does not depend on the order in which they were listed ([CFG-3]).

pub mod admission;
mod advertisements;
pub(crate) mod between_advertisements;
mod between_peers;
mod communities;
mod peers;
mod policies;
mod pools;
pub mod problem;
pub mod raw;
mod report;
pub mod salvage;
mod selectors;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::advertisement::{BgpAdvertisement, L2Advertisement, covers};
use crate::node::Node;
use crate::peer::{BfdProfile, Peer};
use crate::policy::Policies;
use crate::pool::Pool;
use crate::service::PoolName;
use report::Findings;

pub use problem::{Category, ObjectRef, Origin, Problem, Severity};
pub use raw::{
    Raw, RawAddressReservation, RawAlias, RawBfdProfile, RawBgpAdvertisement, RawCommunity, RawConfig, RawFreeze,
    RawL2Advertisement, RawPeer, RawPool, RawPoolPolicy, RawPreference, RawQuota, RawRequirement, RawSecret,
    RawSecretReference, RawSelector, RawServiceAllocation,
};

/// How much of the configuration is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Level {
    /// The whole, references included; an object in another namespace is ignored with a warning.
    #[default]
    Full,
    /// What admission refuses: no references to objects that may come later ([WEBHOOK-20]); an object in another namespace is
    /// an error ([WEBHOOK-10]).
    Admission,
}

/// Whether all peers of a node must fit in one router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PeerRules {
    /// Each session stands alone; a second session to one address is a warning.
    #[default]
    Independent,
    /// One router a node and VRF: [MODE-14] and [MODE-15] are errors.
    OneRouter,
}

/// What the checks need to know beside the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The namespace whose objects count.
    pub install_namespace: Arc<str>,
    /// How much is looked at.
    pub level: Level,
    /// Rules between the peers of a node.
    pub peer_rules: PeerRules,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            install_namespace: Arc::from("metallb-system"),
            level: Level::default(),
            peer_rules: PeerRules::default(),
        }
    }
}

/// A pool with the advertisements attached to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredPool {
    /// The pool.
    pub pool: Arc<Pool>,
    /// Its L2 advertisements in the order of their names, each once.
    pub l2: Vec<Arc<L2Advertisement>>,
    /// Its BGP advertisements in the order of their names, each once.
    pub bgp: Vec<Arc<BgpAdvertisement>>,
}

/// A configuration without fault. Two are equal exactly if they mean the same, whatever the order in which their objects were
/// listed ([CFG-3], [CFG-12]); nodes are no part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    pools: BTreeMap<PoolName, ConfiguredPool>,
    peers: BTreeMap<Arc<str>, Arc<Peer>>,
    bfd_profiles: BTreeMap<Arc<str>, Arc<BfdProfile>>,
    policies: Arc<Policies>,
}

/// What came of a description.
#[derive(Clone, Debug)]
pub struct BuildOutcome {
    /// The configuration; `None` where a problem is an error.
    pub config: Option<Arc<Config>>,
    /// Every problem, errors and warnings, in an order that does not depend on that of the input.
    pub problems: Vec<Problem>,
}

impl BuildOutcome {
    /// The problems for which the configuration is refused.
    pub fn errors(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter().filter(|problem| problem.severity == Severity::Error)
    }
}

impl Config {
    /// Checks a description and collects every problem ([CFG-6]).
    ///
    /// # Examples
    /// ```
    /// use lbcore::config::{Config, RawConfig, Settings};
    ///
    /// let outcome = Config::build(&RawConfig::default(), &Settings::default());
    /// assert!(outcome.config.is_some());
    /// ```
    ///
    /// Source: [CFG-1] to [CFG-45].
    pub fn build(raw: &RawConfig, settings: &Settings) -> BuildOutcome {
        let mut findings = Findings::default();
        let config = Self::read(raw, settings, &mut findings);
        let problems = findings.into_problems();
        let refused = problems.iter().any(|problem| problem.severity == Severity::Error);
        BuildOutcome { config: (!refused).then(|| Arc::new(config)), problems }
    }

    /// The pools by name.
    pub const fn pools(&self) -> &BTreeMap<PoolName, ConfiguredPool> {
        &self.pools
    }

    /// The peers by name.
    pub const fn peers(&self) -> &BTreeMap<Arc<str>, Arc<Peer>> {
        &self.peers
    }

    /// The BFD profiles by name.
    pub const fn bfd_profiles(&self) -> &BTreeMap<Arc<str>, Arc<BfdProfile>> {
        &self.bfd_profiles
    }

    /// The policies. What they exclude and keep is in the pools already.
    pub const fn policies(&self) -> &Arc<Policies> {
        &self.policies
    }

    fn read(raw: &RawConfig, settings: &Settings, findings: &mut Findings) -> Self {
        let level = settings.level;
        let bfd_profiles: BTreeMap<Arc<str>, Arc<BfdProfile>> = ours(&raw.bfd_profiles, settings, findings)
            .into_iter()
            .map(|raw| (Arc::clone(&raw.object.name), Arc::new(peers::read_profile(raw, findings))))
            .collect();
        let secrets = secrets_by_name(&raw.secrets, settings);
        let references = peers::References { profiles: &bfd_profiles, secrets: &secrets, level };
        let raw_peers = ours(&raw.peers, settings, findings);
        let read_peers: Vec<(&ObjectRef, Peer)> = raw_peers
            .iter()
            .filter_map(|raw| Some((&raw.object, peers::read_peer(raw, &references, findings)?)))
            .collect();
        let peers: Vec<(&ObjectRef, &Peer)> = read_peers.iter().map(|(object, peer)| (*object, peer)).collect();
        between_peers::check(&peers, &raw.nodes, settings.peer_rules, findings);
        let aliases = communities::read_aliases(&ours(&raw.communities, settings, findings), findings);
        let raw_pools = ours(&raw.pools, settings, findings);
        let ghosts = policies::ghosts(raw, &raw_pools);
        let mut read_pools = pools::read(&raw_pools, raw, findings);
        read_pools.extend(ghosts.iter().filter_map(policies::read_ghost));
        let policies = policies::read(
            &ours(&raw.address_reservations, settings, findings),
            &ours(&raw.pool_policies, settings, findings),
            &policies::Context { pools: &read_pools, namespaces: &raw.namespaces },
            findings,
        );
        policies::put_into(&mut read_pools, &policies, raw);
        let l2: Vec<_> = ours(&raw.l2_advertisements, settings, findings)
            .into_iter()
            .map(|raw| advertisements::read_l2(raw, &read_pools, findings))
            .collect();
        let peer_names: BTreeSet<&str> = raw_peers.iter().map(|raw| raw.object.name.as_ref()).collect();
        let context = advertisements::BgpContext { pools: &read_pools, aliases: &aliases, peers: &peer_names, level };
        let bgp: Vec<_> = ours(&raw.bgp_advertisements, settings, findings)
            .into_iter()
            .map(|raw| advertisements::read_bgp(raw, &context, findings))
            .collect();
        between_advertisements::check_conflicts(&bgp, &read_pools, &raw.nodes, findings);
        // Admission never sees a peer, its profile and the pools at once ([WEBHOOK-11]).
        if level == Level::Full {
            between_advertisements::check_echo(&bgp, &read_pools, &peers, &bfd_profiles, findings);
        }
        let peers = read_peers.into_iter().map(|(_, peer)| (Arc::clone(&peer.name), Arc::new(peer))).collect();
        Self { pools: attach(&read_pools, &l2, &bgp), peers, bfd_profiles, policies: Arc::new(policies) }
    }
}

fn attach(
    pools: &[pools::ReadPool<'_>],
    l2: &[advertisements::AttachedL2<'_>],
    bgp: &[advertisements::AttachedBgp<'_>],
) -> BTreeMap<PoolName, ConfiguredPool> {
    let mut attached: Vec<ConfiguredPool> = pools
        .iter()
        .map(|read| ConfiguredPool { pool: Arc::new(read.pool.clone()), l2: Vec::new(), bgp: Vec::new() })
        .collect();
    for advertisement in l2 {
        for index in &advertisement.pools {
            if let Some(pool) = attached.get_mut(*index) {
                pool.l2.push(Arc::clone(&advertisement.advertisement));
            }
        }
    }
    for advertisement in bgp {
        for index in &advertisement.pools {
            if let Some(pool) = attached.get_mut(*index) {
                pool.bgp.push(Arc::clone(&advertisement.advertisement));
            }
        }
    }
    attached.into_iter().map(|pool| (pool.pool.name.clone(), pool)).collect()
}

/// The objects that count, in the order of their names: those of the install namespace, each name once.
fn ours<'a, T>(objects: &'a [Raw<T>], settings: &Settings, findings: &mut Findings) -> Vec<&'a Raw<T>> {
    let mut sorted: Vec<&Raw<T>> = objects.iter().collect();
    sorted.sort_by(|left, right| by_name(&left.object).cmp(&by_name(&right.object)));
    let mut kept: Vec<&Raw<T>> = Vec::with_capacity(sorted.len());
    for raw in sorted {
        let mut report = findings.on(&raw.object);
        if !is_ours(&raw.object, settings) {
            let fix = format!("move it to namespace {}", settings.install_namespace);
            match settings.level {
                Level::Full => report.warning(
                    Category::WrongNamespace,
                    "metadata.namespace",
                    format!("objects outside of namespace {} are not looked at", settings.install_namespace),
                    fix,
                ),
                Level::Admission => report.error(
                    Category::WrongNamespace,
                    "metadata.namespace",
                    format!("only namespace {} is looked at", settings.install_namespace),
                    fix,
                ),
            }
        } else if raw.object.name.is_empty() {
            report.error(Category::MissingField, "metadata.name", "the object has no name", "give it one");
        } else if kept.last().is_some_and(|last| last.object.name == raw.object.name) {
            report.error(
                Category::DuplicateName,
                "metadata.name",
                format!("there is another {} of the name {}", raw.object.kind, raw.object.name),
                "rename or remove one of the two",
            );
        } else {
            kept.push(raw);
        }
    }
    kept
}

/// What objects of one kind are sorted by: their names, then whatever makes the order total.
const fn by_name(object: &ObjectRef) -> (&Arc<str>, &ObjectRef) {
    (&object.name, object)
}

/// Whether an object is in the install namespace; one without a namespace counts as being there.
fn is_ours(object: &ObjectRef, settings: &Settings) -> bool {
    object.namespace.as_ref().is_none_or(|namespace| *namespace == settings.install_namespace)
}

/// The secrets of the install namespace; others are not ours to speak about. Of two of one name the last read counts.
fn secrets_by_name<'a>(secrets: &'a [Raw<RawSecret>], settings: &Settings) -> BTreeMap<&'a str, &'a Raw<RawSecret>> {
    let mut sorted: Vec<&Raw<RawSecret>> = secrets.iter().filter(|raw| is_ours(&raw.object, settings)).collect();
    sorted.sort_by(|left, right| by_name(&left.object).cmp(&by_name(&right.object)));
    sorted.into_iter().map(|raw| (raw.object.name.as_ref(), raw)).collect()
}

impl RawConfig {
    /// The part that concerns one node: peers and BGP advertisements whose node selectors leave it out are gone ([CFG-4]). One
    /// whose selectors cannot be read stays, so that its fault is seen.
    #[must_use]
    pub fn for_node(&self, node: &Node) -> Self {
        let concerns = |raw: &[RawSelector]| {
            let parsed: Option<Vec<_>> = raw.iter().map(selectors::parse_quietly).collect();
            parsed.is_none_or(|parsed| covers(&parsed, &node.labels))
        };
        let mut part = self.clone();
        part.peers.retain(|raw| concerns(&raw.spec.node_selectors));
        part.bgp_advertisements.retain(|raw| concerns(&raw.spec.node_selectors));
        part
    }
}

#[cfg(test)]
mod tests;
