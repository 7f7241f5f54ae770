//! What the node decides on: the world of the watches, the part of the configuration that is in force, and the snapshot made of both.
//!
//! Pure. Nothing is decided before every object of [`NEEDED`] has been seen once. After that a change of one Service costs that Service, one
//! of a pool or an advertisement the Services that it concerns, and one of another node no decision at all: a node's own do not depend on
//! it ([OWN-22]).

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::config::{Config, ObjectRef, Problem, RawConfig, Settings};
use lbcore::converge::ServiceKind;
use lbcore::decide::{Affected, DecideOptions, Snapshot};
use lbcore::labels::Labels;
use lbcore::node::{NetworkCondition, Node};
use lbcore::policy::KeptAddress;
use lbcore::service::{NodeName, PoolName, ServiceKey};

use crate::cluster::kept::kept_of;
use crate::cluster::standing::Standing;
use crate::cluster::watch::{Kind, Seen};
use crate::cluster::world::{Touched, World};
use crate::freeze::{self, Live};

/// The kinds of the configuration.
pub(crate) const CONFIGURATION: [Kind; 8] = [
    Kind::BfdProfile,
    Kind::BgpAdvertisement,
    Kind::BgpPeer,
    Kind::Community,
    Kind::IpAddressPool,
    Kind::L2Advertisement,
    Kind::PoolPolicy,
    Kind::Secret,
];

/// Those that a cluster need not have.
pub(crate) const OPTIONAL: [Kind; 1] = [Kind::PoolPolicy];

/// The kinds without which nothing is announced ([SPK-7]).
pub(crate) const NEEDED: [Kind; 11] = [
    Kind::BfdProfile,
    Kind::BgpAdvertisement,
    Kind::BgpPeer,
    Kind::Community,
    Kind::EndpointSlice,
    Kind::IpAddressPool,
    Kind::L2Advertisement,
    Kind::Namespace,
    Kind::Node,
    Kind::Secret,
    Kind::Service,
];

/// How this node judges.
#[derive(Clone, Debug)]
pub(crate) struct Judging {
    /// This node.
    pub(crate) node: NodeName,
    /// The class of Services that are handled ([ANN-9]).
    pub(crate) class: Option<String>,
    /// What the rules of the configuration need to know.
    pub(crate) settings: Settings,
    /// Switches of decisions.
    pub(crate) options: DecideOptions,
}

/// What a look at everything new came to.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    /// What has to be decided again.
    pub(crate) decide: Decide,
    /// Whether the configuration was looked at; what is wrong with it may differ.
    pub(crate) configuration: ConfigurationLook,
    /// Whether this node itself has changed.
    pub(crate) own_node: OwnNode,
}

impl Settled {
    /// Whether what this node does with peers may differ.
    pub(crate) fn concerns_sessions(&self) -> bool {
        self.configuration == ConfigurationLook::Changed || self.own_node == OwnNode::Changed
    }
}

/// What has to be decided again.
#[derive(Clone, Debug)]
pub(crate) enum Decide {
    /// Everything, for the first time.
    All,
    /// What changes have affected.
    Only(Affected),
}

/// What became of this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OwnNode {
    /// It is as it was.
    #[default]
    Same,
    /// It is new, or its labels or conditions differ.
    Changed,
}

/// What became of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ConfigurationLook {
    /// It was not looked at.
    Untouched,
    /// The same is in force; what is wrong with the rest may differ.
    Same,
    /// Another one is in force.
    Changed,
}

/// What has changed and was not looked at yet.
#[derive(Debug, Default)]
struct Dirty {
    configuration: bool,
    own_node: OwnNode,
    services: BTreeSet<ServiceKey>,
}

/// Everything that decisions of this node rest on.
#[derive(Debug)]
pub(crate) struct Scene {
    judging: Judging,
    world: World,
    /// `None` before the first full list.
    snapshot: Option<Snapshot>,
    standing: Standing,
    dirty: Dirty,
    /// Whether it is known which policies there are: without them addresses that a freeze keeps would go.
    knows_policies: bool,
    /// What freezes keep, and what statuses said of it when that was worked out.
    kept: Vec<KeptAddress>,
    recorded: Vec<KeptAddress>,
}

impl Scene {
    /// Nothing seen yet.
    pub(crate) fn new(judging: Judging) -> Self {
        let world = World::new(&judging.settings.install_namespace);
        let (standing, dirty) = (Standing::default(), Dirty::default());
        let (kept, recorded) = (Vec::new(), Vec::new());
        Self { judging, world, snapshot: None, standing, dirty, knows_policies: false, kept, recorded }
    }

    /// It is known which policies there are, or that the cluster knows none.
    pub(crate) const fn handle_policies_known(&mut self) {
        self.knows_policies = true;
    }

    /// Takes in one thing seen, and gives what of it is none of the scene's: reports, and trouble of watches.
    pub(crate) fn fold(&mut self, seen: Seen) -> Vec<Touched> {
        let mut others = Vec::new();
        for touched in self.world.fold(seen) {
            match touched {
                Touched::Nothing | Touched::PoolStatus(_) => {}
                Touched::Configuration => self.dirty.configuration = true,
                // The use of quotas changes often, and is nothing to a speaker.
                Touched::PolicyStatus(_) => self.dirty.configuration |= self.recorded_kept() != self.recorded,
                Touched::Node(node) => {
                    // Rules between advertisements ask which nodes have both.
                    self.dirty.configuration = true;
                    if node == self.judging.node {
                        self.dirty.own_node = OwnNode::Changed;
                    }
                }
                Touched::Service(service) | Touched::Endpoints(service) => {
                    self.dirty.services.insert(service);
                }
                Touched::Complete(_) | Touched::Report(..) | Touched::Trouble(..) => others.push(touched),
            }
        }
        others
    }

    /// Looks at everything new; `None` where there is nothing, or where not everything has been seen yet.
    pub(crate) fn settle(&mut self) -> Option<Settled> {
        if self.snapshot.is_none() && !(self.knows_policies && self.world.is_complete(&NEEDED)) {
            return None;
        }
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.configuration |= dirty.services.iter().any(|service| {
            let pool = self.world.service(service).and_then(|seen| seen.recorded_pool());
            pool.is_some_and(|pool| self.standing.is_behind(pool)) || self.is_of_freeze(service)
        });
        let own_node = dirty.own_node;
        if self.snapshot.is_none() {
            self.look_at_configuration();
            let services: Vec<ServiceKey> = self.world.services().map(|(service, _)| service.clone()).collect();
            self.put_services(services);
            return Some(Settled { decide: Decide::All, configuration: ConfigurationLook::Changed, own_node });
        }
        let (configuration, mut affected) = if dirty.configuration {
            self.look_at_configuration()
        } else {
            (ConfigurationLook::Untouched, Affected::default())
        };
        affected.extend(self.put_services(dirty.services));
        let is_idle = affected.is_empty() && own_node == OwnNode::Same;
        if is_idle && configuration == ConfigurationLook::Untouched {
            return None;
        }
        Some(Settled { decide: Decide::Only(affected), configuration, own_node })
    }

    fn look_at_configuration(&mut self) -> (ConfigurationLook, Affected) {
        let own = self.own_node();
        let (raw, typed) = self.world.raw_config(&CONFIGURATION);
        let mut part = raw.for_node(&own);
        let typed: Vec<Problem> = typed.into_iter().filter(|problem| concerns(problem, &part)).collect();
        self.recorded = self.recorded_kept();
        if self.snapshot.is_none() {
            self.kept.clone_from(&self.recorded);
        }
        part.kept.clone_from(&self.kept);
        let mut config = self.standing.judge(&self.world, &part, &typed, &self.judging.settings);
        let kept = freeze::kept(&config, self.config().map(Arc::as_ref), self.live());
        if kept != part.kept {
            part.kept.clone_from(&kept);
            config = self.standing.judge(&self.world, &part, &typed, &self.judging.settings);
        }
        self.kept = kept;
        let nodes = self.standing.in_force().nodes.clone();
        let Some(snapshot) = &mut self.snapshot else {
            self.snapshot = Some(Snapshot::new(config, nodes, self.judging.options.clone()));
            return (ConfigurationLook::Changed, Affected::default());
        };
        let is_same = *snapshot.config() == config;
        let mut affected = snapshot.set_config(config);
        affected.extend(snapshot.replace_nodes(nodes));
        (if is_same { ConfigurationLook::Same } else { ConfigurationLook::Changed }, affected)
    }

    /// What the statuses of policies say that freezes keep.
    fn recorded_kept(&self) -> Vec<KeptAddress> {
        self.world.all_ours(Kind::PoolPolicy).flat_map(kept_of).collect()
    }

    /// What Services have, and of which pool.
    fn live(&self) -> impl Iterator<Item = Live> + '_ {
        self.world.services().filter_map(|(service, seen)| {
            let pool = PoolName::new(seen.recorded_pool()?).ok()?;
            let addresses = self.addresses_of(service)?;
            Some(Live { service: service.clone(), labels: (*seen.object.labels).clone(), pool, addresses })
        })
    }

    /// Whether a change of a Service may change what freezes keep.
    fn is_of_freeze(&self, service: &ServiceKey) -> bool {
        let Some(config) = self.config().filter(|config| freeze::is_any(config)) else { return false };
        let is_outside = || {
            let seen = self.world.service(service)?;
            let pool = config.pools().get(&PoolName::new(seen.recorded_pool()?).ok()?);
            let addresses = self.addresses_of(service)?;
            Some(addresses.iter().any(|address| pool.is_none_or(|pool| !pool.pool.contains(*address))))
        };
        self.kept.iter().any(|kept| kept.service == *service) || is_outside() == Some(true)
    }

    fn put_services(&mut self, services: impl IntoIterator<Item = ServiceKey>) -> Affected {
        let mut affected = Affected::default();
        for service in services {
            let facts = self.addresses_of(&service).and_then(|addresses| self.world.facts(&service, addresses));
            let Some(snapshot) = &mut self.snapshot else { break };
            match facts {
                Some(facts) => affected.extend(snapshot.set_service(facts)),
                None if snapshot.service(&service).is_some() => affected.extend(snapshot.remove_service(&service)),
                None => {}
            }
        }
        affected
    }

    /// The addresses of a Service that is ours to announce; `None` for one that is not ours ([ANN-1], [ANN-2], [ANN-9]). One
    /// address that is none makes all of them none ([ANN-5]).
    fn addresses_of(&self, service: &ServiceKey) -> Option<Vec<IpAddr>> {
        let seen = self.world.service(service)?;
        let object = &seen.object;
        if object.service_kind != ServiceKind::LoadBalancer || !object.is_of_class(self.judging.class.as_deref()) {
            return None;
        }
        let parsed = object.recorded.iter().map(|text| text.parse::<IpAddr>().map(|address| address.to_canonical()));
        Some(parsed.collect::<Result<Vec<IpAddr>, _>>().unwrap_or_default())
    }

    /// This node as the API server has it; without labels where it has none of the name.
    pub(crate) fn own_node(&self) -> Node {
        let blank =
            || Node { name: self.judging.node.clone(), labels: Labels::new(), network: NetworkCondition::Available };
        self.world.node(&self.judging.node).cloned().unwrap_or_else(blank)
    }

    /// Everything seen.
    pub(crate) const fn world(&self) -> &World {
        &self.world
    }

    /// The view that decisions are made on; `None` before the first full list.
    pub(crate) const fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The configuration in force.
    pub(crate) fn config(&self) -> Option<&Arc<Config>> {
        self.snapshot.as_ref().map(Snapshot::config)
    }

    /// What the rules refuse, in words; empty where the whole configuration is in force.
    pub(crate) fn refusals(&self) -> Vec<String> {
        self.standing.refusals()
    }

    /// What stays in force, and what that cost.
    pub(crate) const fn standing(&self) -> &Standing {
        &self.standing
    }
}

/// The same view with these members and this node alive.
pub(super) fn among(snapshot: &Snapshot, members: &BTreeSet<NodeName>, own: &NodeName) -> Snapshot {
    let mut options = snapshot.options().clone();
    options.live_nodes = Some(members.iter().chain([own]).cloned().collect());
    let mut order = snapshot.clone();
    order.set_options(options);
    order
}

/// Whether a fault of types concerns this node: peers and BGP advertisements for others were taken out of its part ([CFG-4]).
fn concerns(problem: &Problem, part: &RawConfig) -> bool {
    let Some(object) = &problem.object else { return true };
    let same = |other: &ObjectRef| other.name == object.name && other.namespace == object.namespace;
    match object.kind.as_ref() {
        "BGPPeer" => part.peers.iter().any(|raw| same(&raw.object)),
        "BGPAdvertisement" => part.bgp_advertisements.iter().any(|raw| same(&raw.object)),
        _ => true,
    }
}

#[cfg(test)]
mod tests;
