//! `ferrule explain`: why a Service has its address or has none, and which node announces it and why.
//!
//! `scene` is what is judged (files, or a cluster that `live` reads once), `subject` what is asked about, `reports` what
//! speakers say that they do, `view` the machine form of the
//! traces of [`lbcore::explain`], `answer` the one sentence that comes first, `text` the form for people. Nothing is decided here.

mod answer;
mod live;
mod reports;
mod scene;
mod subject;
mod text;
mod unstarted;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use lbcore::allocator::{Allocator, PoolsError};
use lbcore::decide::Snapshot;
use lbcore::explain::{Allocation, Announcement, allocation_at, announcement, standing};
use lbcore::service::{NodeName, ServiceKey};
use thiserror::Error;

pub use live::LiveError;
pub use subject::{NoSubject, Subject};

use self::answer::Judged;
use self::reports::ReportView;
use self::scene::Scene;
use self::subject::near;
use self::view::{Explanation, ServiceView};
use crate::args::{ExplainArgs, ExplainOutput, Outcome};
use crate::output;
use crate::plan::{self, Assignment, PlanError};

/// What kept an explanation from being given.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The cluster cannot be read.
    #[error(transparent)]
    Live(#[from] LiveError),
    /// No node has the name.
    #[error("there is no Node {node}: {}", known_nodes(.known))]
    NoNode {
        /// What was given.
        node: String,
        /// Those that are there.
        known: Vec<String>,
    },
    /// No Service has the name.
    #[error("there is no Service {service}: {}", near_names(.near, *.known))]
    NoService {
        /// What was given.
        service: ServiceKey,
        /// Names near it.
        near: Vec<String>,
        /// How many Services there are.
        known: usize,
    },
    /// Standard output cannot be written to.
    #[error("the result cannot be written")]
    Output(#[from] io::Error),
    /// A fault of our own.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl From<PoolsError> for ExplainError {
    fn from(error: PoolsError) -> Self {
        Self::Plan(error.into())
    }
}

fn near_names(near: &[String], known: usize) -> String {
    match (known, near) {
        (0, _) => none_at_all("services"),
        (_, []) => "none has a name near it".to_owned(),
        (_, near) => format!("near names are {}", near.join(", ")),
    }
}

fn known_nodes(known: &[String]) -> String {
    if known.is_empty() { none_at_all("nodes") } else { format!("Nodes are {}", known.join(", ")) }
}

fn none_at_all(what: &str) -> String {
    format!("there are no {what} at all; where files are read, add the output of `kubectl get {what} -A -o yaml`")
}

/// `ferrule explain`.
///
/// # Errors
/// [`ExplainError`].
pub fn explain(arguments: &ExplainArgs) -> Result<Outcome, ExplainError> {
    let subject = &arguments.subject;
    let scene =
        if arguments.filenames.is_empty() { live::read(arguments, subject)? } else { Scene::from_files(arguments) };
    let explanation = explanation(&scene, subject, arguments.node.as_deref())?;
    output::print(&match arguments.output {
        ExplainOutput::Text => text::of(&explanation),
        ExplainOutput::Json => output::json(&explanation),
    })?;
    Ok(if scene.is_refused() { Outcome::InputBad } else { Outcome::Good })
}

fn explanation(scene: &Scene, subject: &Subject, node: Option<&str>) -> Result<Explanation, ExplainError> {
    let mut allocator = Allocator::default();
    let assignments = plan::assign(&scene.config, &scene.objects, &scene.settings, &mut allocator)?;
    let snapshot = plan::snapshot::of(&scene.config, &scene.objects, &assignments, &scene.settings);
    let nodes = nodes_asked(&snapshot, node)?;
    let keys: BTreeSet<ServiceKey> = match subject {
        Subject::Service(key) => {
            let services = &scene.objects.services;
            if !services.iter().any(|service| service.key == *key) {
                let near = near(key, services.iter().map(|service| &service.key));
                let near = near.into_iter().map(ToString::to_string).collect();
                return Err(ExplainError::NoService { service: key.clone(), near, known: services.len() });
            }
            BTreeSet::from([key.clone()])
        }
        Subject::Address(address) => concerned(&assignments, *address),
    };
    let mut traced: BTreeMap<ServiceKey, Allocation> = BTreeMap::new();
    plan::assign_watched(&scene.config, &scene.objects, &scene.settings, &mut Allocator::default(), |moment| {
        if keys.contains(&moment.state.key) {
            let explained = allocation_at(moment.allocator, moment.state, moment.recorded);
            traced.insert(moment.state.key.clone(), explained);
        }
    })?;
    let mut services = Vec::new();
    for key in &keys {
        let Some(object) = scene.objects.services.iter().find(|service| service.key == *key) else { continue };
        let announcements: Vec<(NodeName, Announcement)> =
            nodes.iter().map(|node| (node.clone(), announced(&snapshot, key, node))).collect();
        let assignment = assignments.iter().find(|assignment| assignment.state.key == *key);
        let judged = Judged {
            scene,
            object,
            assignment,
            allocation: traced.get(key),
            standing: standing(&snapshot, key),
            reports: reports(scene, &snapshot, key, assignment.is_some(), &announcements, node.is_some()),
            announcements,
            is_one_node: node.is_some(),
        };
        services.push(ServiceView::of(&judged));
    }
    let (answer, fix) = match subject {
        Subject::Service(_) => {
            services.first().map(|service| (service.answer.clone(), service.fix.clone())).unwrap_or_default()
        }
        Subject::Address(address) => answer::of_address(*address, &allocator, &services),
    };
    Ok(Explanation::new(scene, answer, fix, services))
}

/// What a node does with a Service, as far as this build does it.
fn announced(snapshot: &Snapshot, service: &ServiceKey, node: &NodeName) -> Announcement {
    let mut announcement = announcement(snapshot, service, node);
    unstarted::strike_out(&mut announcement, snapshot.config());
    announcement
}

/// What speakers say of a Service; of one of another class nothing is expected.
fn reports(
    scene: &Scene,
    snapshot: &Snapshot,
    service: &ServiceKey,
    is_ours: bool,
    announcements: &[(NodeName, Announcement)],
    is_one_node: bool,
) -> Vec<ReportView> {
    if is_ours { scene.reports.told(snapshot, service, announcements, is_one_node) } else { Vec::new() }
}

/// The nodes to tell about.
fn nodes_asked(snapshot: &Snapshot, node: Option<&str>) -> Result<Vec<NodeName>, ExplainError> {
    let known = snapshot.nodes().map(|known| known.name.clone());
    let Some(node) = node else { return Ok(known.collect()) };
    let asked: Vec<NodeName> = known.filter(|known| known.as_str() == node).collect();
    if asked.is_empty() {
        let known = snapshot.nodes().map(|known| known.name.to_string()).take(8).collect();
        return Err(ExplainError::NoNode { node: node.to_owned(), known });
    }
    Ok(asked)
}

/// The Services that hold an address, ask for it, or have it recorded.
fn concerned(assignments: &[Assignment<'_>], address: IpAddr) -> BTreeSet<ServiceKey> {
    let concerned = assignments.iter().filter(|assignment| {
        let state = &assignment.state;
        let requested = state.requested_addresses.as_ref().ok().copied().flatten();
        [assignment.outcome.addresses, requested, state.recorded.known()]
            .into_iter()
            .flatten()
            .any(|addresses| addresses.contains(address))
    });
    concerned.map(|assignment| assignment.state.key.clone()).collect()
}
