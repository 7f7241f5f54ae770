//! The machine form, `-o json`. Fields may be added, none renamed.

use std::net::IpAddr;
use std::sync::Arc;

use lbcore::config::Severity;
use lbcore::decide::{Layer2Decision, Protocol};
use lbcore::explain::{Announcement, Step, Trace};
use lbcore::family::IpFamily;
use lbcore::service::NodeName;
use serde::Serialize;

use super::answer::{self, Judged};
use super::reports::ReportView;
use super::scene::Scene;
use crate::plan::PlannedError;
use crate::report::Finding;

/// The whole answer.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Explanation {
    /// One sentence.
    pub(super) answer: String,
    /// What would change it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// The Service asked about, or those that have to do with the address.
    pub(super) services: Vec<ServiceView>,
    /// What must be known beside, such as what may not be read.
    pub(super) remarks: Vec<String>,
    /// What is wrong with the input, as far as it matters.
    pub(super) problems: Vec<Finding>,
}

/// One Service.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ServiceView {
    pub(super) service: String,
    pub(super) answer: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pool: Option<String>,
    /// What it has or gets, IPv4 first.
    pub(super) ips: Vec<IpAddr>,
    /// What its status records, as it stands there.
    pub(super) recorded: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<PlannedError>,
    /// The rules about its addresses.
    pub(super) allocation: Vec<StepView>,
    /// The rules that hold on every node.
    pub(super) announcement: Vec<StepView>,
    pub(super) nodes: Vec<NodeView>,
    /// What speakers say that they announce, beside that.
    pub(super) reports: Vec<ReportView>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct NodeView {
    pub(super) node: String,
    /// `first-owner`, `stands-by` or `withheld`.
    pub(super) layer2: &'static str,
    /// Why it is withheld on layer 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<PlannedError>,
    /// What its peers hear.
    pub(super) bgp: Vec<RouteView>,
    pub(super) steps: Vec<StepView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RouteView {
    pub(super) prefix: String,
    pub(super) peer: String,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct StepView {
    pub(super) rule: &'static str,
    /// `passed`, `refused`, `chosen` or `noted`.
    pub(super) outcome: &'static str,
    pub(super) objects: Vec<ObjectView>,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<String>,
    /// The same as one line, with the object that it is about.
    #[serde(skip)]
    pub(super) line: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct ObjectView {
    pub(super) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<Arc<str>>,
    pub(super) name: Arc<str>,
}

impl Explanation {
    pub(super) fn new(scene: &Scene, answer: String, fix: Option<String>, services: Vec<ServiceView>) -> Self {
        let errors = scene.error_count();
        let answer = match errors {
            0 => answer,
            1 => format!("The configuration is refused for an error; without what is wrong: {answer}"),
            _ => format!("The configuration is refused for {errors} errors; without what is wrong: {answer}"),
        };
        let is_about = |finding: &Finding| {
            let name = format!("{}/{}", finding.namespace, finding.name);
            &*finding.kind == "Service" && services.iter().any(|service| service.service == name)
        };
        let concerns_all = |finding: &Finding| {
            matches!(&*finding.kind, "IPAddressPool" | "L2Advertisement" | "BGPAdvertisement" | "BGPPeer")
        };
        let matters =
            |finding: &&Finding| finding.severity == Severity::Error || is_about(finding) || concerns_all(finding);
        let problems = scene.findings.iter().filter(matters).cloned().collect();
        Self { answer, fix, services, remarks: scene.remarks.clone(), problems }
    }
}

impl ServiceView {
    pub(super) fn of(judged: &Judged<'_>) -> Self {
        let (answer, fix) = answer::of_service(judged);
        let namespace = &judged.scene.install_namespace;
        let outcome = judged.assignment.map(|assignment| &assignment.outcome);
        let mut ips: Vec<IpAddr> = outcome
            .and_then(|outcome| outcome.addresses)
            .iter()
            .flat_map(|held| held.iter().collect::<Vec<_>>())
            .collect();
        ips.sort_by_key(|address| IpFamily::of(*address));
        let has_addresses = !ips.is_empty();
        let allocation = match judged.allocation {
            Some(allocation) => steps(&allocation.trace, namespace),
            None => vec![answer::class_step(judged)],
        };
        let standing = if has_addresses { steps(&judged.standing.trace, namespace) } else { Vec::new() };
        let nodes = judged.announcements.iter().filter(|_| has_addresses);
        Self {
            service: judged.object.key.to_string(),
            answer,
            fix,
            pool: outcome.and_then(|outcome| outcome.pool.as_ref()).map(ToString::to_string),
            ips,
            recorded: judged.object.recorded.clone(),
            error: outcome.and_then(|outcome| outcome.problem.as_ref()).map(PlannedError::from),
            allocation,
            announcement: standing,
            reports: judged.reports.clone(),
            nodes: nodes.map(|(node, announcement)| NodeView::of(node, announcement, namespace)).collect(),
        }
    }
}

impl NodeView {
    fn of(node: &NodeName, announcement: &Announcement, install_namespace: &Arc<str>) -> Self {
        let (layer2, reason) = match &announcement.decision.layer2 {
            Layer2Decision::Stand(_) if announcement.first_owner.as_ref() == Some(node) => ("first-owner", None),
            Layer2Decision::Stand(_) => ("stands-by", None),
            Layer2Decision::Withhold(reason) => {
                let category = reason.category(Protocol::Layer2);
                ("withheld", Some(PlannedError { category, message: reason.to_string() }))
            }
        };
        let routes = announcement.routes.iter();
        let bgp = routes.map(|route| RouteView { prefix: route.prefix.to_string(), peer: route.peer.to_string() });
        let bgp = bgp.collect();
        Self { node: node.to_string(), layer2, reason, bgp, steps: steps(&announcement.trace, install_namespace) }
    }
}

fn steps(trace: &Trace, install_namespace: &Arc<str>) -> Vec<StepView> {
    trace.steps.iter().map(|step| StepView::of(step, install_namespace)).collect()
}

impl StepView {
    fn of(step: &Step, install_namespace: &Arc<str>) -> Self {
        let objects = step.objects.iter().map(|object| {
            let is_ours = !matches!(object.kind, "Node" | "Service");
            let namespace = object.namespace.clone().or_else(|| is_ours.then(|| Arc::clone(install_namespace)));
            ObjectView { kind: object.kind, namespace, name: Arc::clone(&object.name) }
        });
        Self {
            rule: step.rule,
            outcome: step.verdict.as_str(),
            objects: objects.collect(),
            text: step.text.clone(),
            fix: step.fix.clone(),
            line: step.to_string(),
        }
    }
}
