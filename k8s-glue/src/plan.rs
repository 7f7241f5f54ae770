//! What would happen with an input: addresses of Services, owners on layer 2, routes of BGP.
//!
//! [`Plan`] is the machine form of `ferrule plan -o json`, a contract: fields may be added, none renamed.

mod against;
mod remarks;
pub mod snapshot;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use lbcore::allocator::{Allocator, Hold, NoAddress, PoolsError};
use lbcore::announce::RouteAttributes;
use lbcore::config::{Config, Settings};
use lbcore::converge::{Convergence, Moment, RecordFate, ServiceKind, ServiceState, Told, converge_all_telling};
use lbcore::decide::{Owners, Snapshot, routes_by_peer};
use lbcore::family::IpFamily;
use lbcore::link::LinkSelection;
use lbcore::service::{NodeName, ServiceKey};
use lbcore::time::UnixTime;
use serde::Serialize;
use thiserror::Error;

use crate::args::{Outcome, PlanArgs, PlanOutput};
use crate::cluster::clock::unix_now;
use crate::convert::{Objects, ServiceObject};
use crate::honoured;
use crate::load::{self, Loaded};
use crate::manifest::{self, Document, Malformed};
use crate::output;
use crate::report::Finding;

/// What would happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The Services that are ours, by name.
    pub services: Vec<PlannedService>,
    /// Who answers for each address, by address.
    pub layer2: Vec<PlannedOwner>,
    /// The routes announced, by node, peer and prefix.
    pub bgp: Vec<PlannedRoute>,
}

/// What a Service gets; addresses and an error together mean that it keeps them though its request is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedService {
    /// `namespace/name`.
    pub service: String,
    /// The pool of the addresses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// The addresses, IPv4 first; absent where there are none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<IpAddr>,
    /// Why it gets nothing, or not what it asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<PlannedError>,
}

/// Why a request cannot be met.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedError {
    /// The category, one of the machine contract.
    pub category: &'static str,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl From<&NoAddress> for PlannedError {
    fn from(reason: &NoAddress) -> Self {
        Self { category: reason.category(), message: reason.to_string() }
    }
}

/// The node that answers for an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PlannedOwner {
    /// The address.
    pub ip: IpAddr,
    /// A Service that has it.
    pub service: String,
    /// The node.
    pub node: String,
    /// Names of the links it answers on, sorted; `*` means all.
    pub interfaces: Vec<String>,
}

/// A route that a node announces to a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRoute {
    /// The node.
    pub node: String,
    /// The peer's name.
    pub peer: String,
    /// The prefix.
    pub prefix: String,
    /// `self`: the node's own address on the session.
    pub next_hop: &'static str,
    /// Only on internal sessions, and where an advertisement sets it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    /// `a:b`, sorted.
    pub communities: Vec<String>,
    /// `a:b:c`, sorted.
    pub large_communities: Vec<String>,
}

/// What a plan depends on beside the objects.
#[derive(Clone, Debug, Default)]
pub struct PlanSettings {
    /// The class of Services handled; `None` handles those without a class.
    pub load_balancer_class: Option<String>,
    /// Whether it is judged as `ferrule run` does, where nobody gives cluster IPs and no endpoints need to be known.
    pub standalone: bool,
    /// Whether nodes are used in spite of the label that takes them out of load balancing ([ANN-44]).
    pub ignore_exclude_label: bool,
    /// The nodes on which a speaker is alive; `None` means all.
    pub live_nodes: Option<BTreeSet<String>>,
    /// The links that each node has; `None` means every link that anybody names.
    pub interfaces: Option<BTreeMap<String, BTreeSet<String>>>,
    /// The addresses that wait, as recorded.
    pub holds: Vec<Hold>,
    /// The time now, which tells what of it waits no more.
    pub now: UnixTime,
}

/// What kept a plan from being made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Standard output cannot be written to.
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
    /// A checked configuration has pools that the allocator refuses: a fault of our own.
    #[error("the checked pools are refused by the allocator")]
    Pools(#[from] PoolsError),
}

/// The outcome for one Service of the class, of any type.
#[derive(Clone, Debug)]
pub struct Assignment<'o> {
    /// The Service as read.
    pub object: &'o ServiceObject,
    /// What decides its addresses.
    pub state: ServiceState,
    /// What it gets.
    pub outcome: Convergence,
    /// What becomes of the addresses recorded for it.
    pub fate: RecordFate,
}

/// Gives every Service of the class its addresses, as a program does that has just started.
///
/// # Errors
/// [`PlanError::Pools`].
///
/// Source: [CTRL-12], [CTRL-17].
pub fn assign<'o>(
    config: &Config,
    objects: &'o Objects,
    settings: &PlanSettings,
    allocator: &mut Allocator,
) -> Result<Vec<Assignment<'o>>, PlanError> {
    assign_watched(config, objects, settings, allocator, |_| {})
}

/// Like [`assign`], and shows each moment before a Service gets its addresses.
///
/// # Errors
/// [`PlanError::Pools`].
pub fn assign_watched<'o>(
    config: &Config,
    objects: &'o Objects,
    settings: &PlanSettings,
    allocator: &mut Allocator,
    watch: impl FnMut(Moment<'_>),
) -> Result<Vec<Assignment<'o>>, PlanError> {
    allocator.follow(config)?;
    allocator.restore_holds(settings.now, settings.holds.iter().cloned());
    let class = settings.load_balancer_class.as_deref();
    let ours: Vec<&ServiceObject> = objects.services.iter().filter(|service| service.is_of_class(class)).collect();
    let states: Vec<ServiceState> = ours.iter().map(|service| settings.state_of(service)).collect();
    let told = converge_all_telling(allocator, &states, watch);
    let assignments = ours.into_iter().zip(states).zip(told);
    let assignment = |((object, state), told)| {
        let Told { outcome, fate, .. } = told;
        Assignment { object, state, outcome, fate }
    };
    Ok(assignments.map(assignment).collect())
}

/// The Services whose request cannot be met, as warnings: they do not make a configuration wrong.
pub fn unmet_requests(assignments: &[Assignment<'_>], documents: &[Document]) -> Vec<Finding> {
    let unmet = assignments.iter().filter_map(|assignment| {
        let reason = assignment.outcome.problem.as_ref()?;
        Some(Finding::of_service(assignment.object, reason, documents))
    });
    unmet.collect()
}

/// The Services whose request is wrong in itself, or names a pool that is nowhere: what can be said of them where the configuration is
/// refused. Text that was not understood may hold that pool.
pub fn faulty_requests(
    objects: &Objects,
    settings: &PlanSettings,
    malformed: &[Malformed],
    documents: &[Document],
) -> Vec<Finding> {
    let class = settings.load_balancer_class.as_deref();
    let pools: BTreeSet<&str> = objects.config.pools.iter().map(|pool| &*pool.object.name).collect();
    let may_hold = |pool: &str| {
        malformed.iter().any(|text| matches!(&*text.claimed.name, name if name == pool || name.is_empty()))
    };
    let faults = objects.services.iter().filter(|service| service.is_of_class(class)).filter_map(|service| {
        let state = settings.state_of(service);
        let missing =
            state.requested_pool.clone().filter(|pool| !pools.contains(pool.as_str()) && !may_hold(pool.as_str()));
        let fault = service.fault_of_request(&state).or_else(|| missing.map(|pool| NoAddress::NoSuchPool { pool }));
        let fault = fault.filter(|_| state.kind == ServiceKind::LoadBalancer)?;
        Some(Finding::of_service(service, &fault, documents))
    });
    faults.collect()
}

/// The services part of a plan, sorted.
pub fn planned_services(assignments: &[Assignment<'_>]) -> Vec<PlannedService> {
    let ours = assignments.iter().filter(|assignment| assignment.state.kind == ServiceKind::LoadBalancer);
    let mut services: Vec<PlannedService> =
        ours.map(|assignment| planned_service(&assignment.state.key, &assignment.outcome)).collect();
    services.sort_by(|left, right| left.service.cmp(&right.service));
    services
}

fn planned_service(key: &ServiceKey, outcome: &Convergence) -> PlannedService {
    let mut ips: Vec<IpAddr> =
        outcome.addresses.as_ref().map(|addresses| addresses.as_slice().to_vec()).unwrap_or_default();
    ips.sort_by_key(|address| IpFamily::of(*address));
    PlannedService {
        service: key.to_string(),
        pool: outcome.pool.as_ref().map(ToString::to_string),
        ips,
        error: outcome.problem.as_ref().map(PlannedError::from),
    }
}

/// Plans a checked configuration.
///
/// # Errors
/// [`PlanError::Pools`].
pub fn plan_of(config: &Arc<Config>, objects: &Objects, settings: &PlanSettings) -> Result<Plan, PlanError> {
    Ok(planned(config, objects, settings)?.plan)
}

/// A plan with what it was made from.
#[derive(Debug)]
struct Planned<'o> {
    plan: Plan,
    /// Owners that answer nowhere.
    silent: Vec<PlannedOwner>,
    assignments: Vec<Assignment<'o>>,
    snapshot: Snapshot,
    /// With what every Service got.
    allocator: Allocator,
}

fn planned<'o>(config: &Arc<Config>, objects: &'o Objects, settings: &PlanSettings) -> Result<Planned<'o>, PlanError> {
    let mut allocator = Allocator::default();
    let assignments = assign(config, objects, settings, &mut allocator)?;
    let snapshot = snapshot::of(config, objects, &assignments, settings);
    let services = planned_services(&assignments);
    let (layer2, silent) = owners(&snapshot, settings);
    let plan = Plan { services, layer2, bgp: routes(&snapshot) };
    Ok(Planned { plan, silent, assignments, snapshot, allocator })
}

/// The first owner of each address, sorted by address: those that answer for it, and those that have none of the links asked for and answer
/// nowhere ([L2-30]).
pub fn owners(snapshot: &Snapshot, settings: &PlanSettings) -> (Vec<PlannedOwner>, Vec<PlannedOwner>) {
    let mut first = Owners::new(snapshot);
    first.advance(usize::MAX);
    let mut owners: BTreeMap<IpAddr, (PlannedOwner, bool)> = BTreeMap::new();
    for facts in snapshot.services() {
        for ip in &facts.addresses {
            if owners.contains_key(ip) {
                continue;
            }
            let Some((node, links)) = first.first_owner_of_address(*ip) else { continue };
            let answers = settings.has_link(&node, &links);
            let interfaces = match links {
                LinkSelection::All => vec!["*".to_owned()],
                LinkSelection::Named(names) => names.iter().cloned().collect(),
            };
            let owner = PlannedOwner { ip: *ip, service: facts.key.to_string(), node: node.to_string(), interfaces };
            owners.insert(*ip, (owner, answers));
        }
    }
    let (answering, silent): (Vec<_>, Vec<_>) = owners.into_values().partition(|(_, answers)| *answers);
    let owners_of = |part: Vec<(PlannedOwner, bool)>| part.into_iter().map(|(owner, _)| owner).collect();
    (owners_of(answering), owners_of(silent))
}

/// The routes that each node announces, sorted by node, peer and prefix.
pub fn routes(snapshot: &Snapshot) -> Vec<PlannedRoute> {
    let mut routes = Vec::new();
    for node in snapshot.nodes().map(|node| &node.name) {
        for (peer, prefixes) in routes_by_peer(snapshot, node) {
            for (prefix, attributes) in prefixes {
                routes.push(PlannedRoute::new(node, &peer, &prefix.to_string(), &attributes));
            }
        }
    }
    routes
}

impl PlannedRoute {
    fn new(node: &NodeName, peer: &str, prefix: &str, attributes: &RouteAttributes) -> Self {
        let large =
            attributes.large_communities.iter().map(|[global, first, second]| format!("{global}:{first}:{second}"));
        Self {
            node: node.to_string(),
            peer: peer.to_owned(),
            prefix: prefix.to_owned(),
            next_hop: "self",
            local_pref: attributes.local_pref,
            communities: attributes
                .communities
                .iter()
                .map(|value| format!("{}:{}", value >> 16, value & 0xffff))
                .collect(),
            large_communities: large.collect(),
        }
    }
}

impl PlanSettings {
    fn state_of(&self, service: &ServiceObject) -> ServiceState {
        if self.standalone { service.state_without_cluster() } else { service.state() }
    }

    fn has_link(&self, node: &NodeName, links: &LinkSelection) -> bool {
        let known = self.interfaces.as_ref().and_then(|nodes| nodes.get(node.as_str()));
        known.is_none_or(|known| known.iter().any(|link| links.selects(link)))
    }
}

fn interfaces_of(given: &[(String, String)]) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let mut interfaces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (node, links) in given {
        let links = links.split(',').filter(|link| !link.is_empty()).map(str::to_owned);
        interfaces.entry(node.clone()).or_default().extend(links);
    }
    (!interfaces.is_empty()).then_some(interfaces)
}

/// `ferrule plan`: the plan on standard output, and warnings about the input on standard error.
///
/// # Errors
/// [`PlanError`].
pub fn plan(arguments: &PlanArgs) -> Result<Outcome, PlanError> {
    let reads_standard_input = |paths: &[PathBuf]| paths.iter().any(|path| path.as_os_str() == "-");
    if reads_standard_input(&arguments.input.filenames) && reads_standard_input(&arguments.against) {
        output::complain("ferrule: -f and --against cannot both read standard input: write one of them to a file\n")?;
        return Ok(Outcome::Usage);
    }
    let checks = Settings { install_namespace: arguments.input.namespace.as_str().into(), ..Settings::default() };
    let settings = PlanSettings {
        load_balancer_class: arguments.input.load_balancer_class.clone(),
        standalone: arguments.standalone,
        ignore_exclude_label: arguments.ignore_exclude_lb,
        live_nodes: arguments.live_nodes.clone().map(|names| names.into_iter().collect()),
        interfaces: interfaces_of(&arguments.node_interfaces),
        holds: Vec::new(),
        now: unix_now(),
    };
    if !arguments.against.is_empty() {
        return against::compare(arguments, &checks, settings);
    }
    let manifests = manifest::read_paths(&arguments.input.filenames);
    let (Loaded { documents, objects, config, mut report, files, .. }, holds) =
        load::check_as_recorded(manifests, &checks);
    let settings = PlanSettings { holds, ..settings };
    let Some(config) = config else {
        output::print(&report.to_json())?;
        return Ok(Outcome::InputBad);
    };
    report.add(honoured::findings(&objects.config.peers, &config, &documents), &files);
    output::complain(&report.warnings())?;
    let Planned { plan, silent, .. } = planned(&config, &objects, &settings)?;
    output::complain(&remarks::of(&settings, &objects, &silent))?;
    output::print(&match arguments.output {
        PlanOutput::Table => table::plan(&plan),
        PlanOutput::Json => output::json(&plan),
        PlanOutput::Yaml => output::yaml(&plan),
    })?;
    Ok(Outcome::Good)
}
