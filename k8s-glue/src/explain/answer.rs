//! The one sentence that comes first, with the mend.

use std::collections::BTreeSet;
use std::net::IpAddr;

use lbcore::allocator::Allocator;
use lbcore::converge::{RecordFate, ServiceKind};
use lbcore::decide::{BgpDecision, Layer2Decision, Reason};
use lbcore::explain::{Allocation, Announcement, Standing, Verdict, why_not_kept};
use lbcore::pool::Pool;
use lbcore::service::NodeName;

use super::reports::ReportView;
use super::scene::{Scene, Source};
use super::view::{ServiceView, StepView};
use crate::convert::ServiceObject;
use crate::plan::Assignment;

/// A Service with everything that was found out about it.
pub(super) struct Judged<'a> {
    pub(super) scene: &'a Scene,
    pub(super) object: &'a ServiceObject,
    /// `None` where it is of another class.
    pub(super) assignment: Option<&'a Assignment<'a>>,
    pub(super) allocation: Option<&'a Allocation>,
    pub(super) standing: Standing,
    /// What speakers say.
    pub(super) reports: Vec<ReportView>,
    /// By node.
    pub(super) announcements: Vec<(NodeName, Announcement)>,
    /// Whether one node was asked about.
    pub(super) is_one_node: bool,
}

type Answer = (String, Option<String>);

/// The answer about one Service.
pub(super) fn of_service(judged: &Judged<'_>) -> Answer {
    let key = &judged.object.key;
    let (Some(assignment), Some(allocation)) = (judged.assignment, judged.allocation) else {
        let step = class_step(judged);
        return (format!("{key} is not looked at: {}.", step.text), step.fix);
    };
    let outcome = &assignment.outcome;
    let last = allocation.trace.refusals().last();
    let fix = last.and_then(|step| step.fix.clone());
    match (&outcome.addresses, &outcome.problem) {
        (None, Some(_)) => {
            let wrong = last.map_or_else(String::new, ToString::to_string);
            let fix = missing_cluster_ip(judged).or(fix);
            (format!("{key} has no address{}: {wrong}.", gives_up(assignment)), fix)
        }
        (None, None) => {
            debug_assert_eq!(assignment.state.kind, ServiceKind::Other);
            (format!("{key} has no address{}: its type is not LoadBalancer.", gives_up(assignment)), fix)
        }
        (Some(addresses), Some(_)) => {
            let wrong = last.map_or_else(String::new, |step| step.text.clone());
            let (announced, _) = announced(judged);
            let (differs, _) = differs(&judged.reports);
            (format!("{key} keeps {addresses}{announced}{differs}; but its request is not met: {wrong}."), fix)
        }
        (Some(_), None) => {
            let (has, fix_of_address) = has(judged, assignment);
            let (announced, fix_of_announcement) = announced(judged);
            let (differs, fix_of_report) = differs(&judged.reports);
            (format!("{key} {has}{announced}{differs}."), fix_of_announcement.or(fix_of_address).or(fix_of_report))
        }
    }
}

/// Where speakers say that they do otherwise than the rules say.
fn differs(reports: &[ReportView]) -> Answer {
    let mut differing = reports.iter().filter(|report| report.agrees == Some(false));
    match (differing.next(), differing.count()) {
        (None, _) => Answer::default(),
        (Some(one), 0) => (format!("; but {}", one.text), one.fix.clone()),
        (Some(one), more) => (format!("; but {} (and {more} more, below)", one.text), one.fix.clone()),
    }
}

/// What a Service without a cluster IP needs, where no cluster gives it one.
fn missing_cluster_ip(judged: &Judged<'_>) -> Option<String> {
    let is_missing = judged.assignment.is_some_and(|assignment| {
        assignment.outcome.problem.as_ref().is_some_and(|problem| problem.category() == "no-cluster-ip")
    });
    let is_offline = judged.scene.source == Source::Files;
    let has_none = judged.object.cluster_ips.is_empty() && judged.object.cluster_ip.is_none();
    (is_missing && is_offline && has_none).then(|| {
        "take the Service as the cluster has it (kubectl get service -o yaml); for `ferrule run`, which needs none, add --standalone".to_owned()
    })
}

fn gives_up(assignment: &Assignment<'_>) -> String {
    match (assignment.state.recorded.known(), assignment.outcome.addresses) {
        (Some(recorded), None) => format!(" and loses {recorded}"),
        (Some(_) | None, _) => String::new(),
    }
}

/// Has, keeps or gets which addresses.
fn has(judged: &Judged<'_>, assignment: &Assignment<'_>) -> Answer {
    let outcome = &assignment.outcome;
    let addresses = outcome.addresses.map(|addresses| addresses.to_string()).unwrap_or_default();
    let pool = outcome.pool.as_ref().map(|pool| format!(" from pool {pool}")).unwrap_or_default();
    let recorded = assignment.state.recorded.known();
    let is_live = judged.scene.source == Source::Cluster;
    let unwritten =
        || "see that the controller runs and what it says: kubectl get configurationstates, and its log".to_owned();
    match (recorded, is_live) {
        (Some(recorded), _) if Some(recorded) == outcome.addresses => (format!("has {addresses}{pool}"), None),
        (Some(recorded), _) => {
            let requested = assignment.state.requested_pool.as_ref();
            let why = why_not_kept(&assignment.fate, requested).map(|(why, _)| format!(", because {why}"));
            let why = why.unwrap_or_default();
            let text = match assignment.fate {
                RecordFate::Kept { .. } => format!("keeps {recorded} and gets {addresses}{pool}"),
                RecordFate::NotReached
                | RecordFate::Nothing
                | RecordFate::Unreadable
                | RecordFate::Untouched { .. }
                | RecordFate::OtherFamilies { .. }
                | RecordFate::Refused { .. }
                | RecordFate::OtherPool { .. }
                | RecordFate::OtherAddresses { .. }
                | RecordFate::Incomplete { .. }
                | _ => format!("gets {addresses}{pool} in place of {recorded}{why}"),
            };
            (text, is_live.then(unwritten))
        }
        (None, true) => (
            format!("has no address yet: {addresses}{pool} is for it, and the controller has not recorded it"),
            Some(unwritten()),
        ),
        (None, false) => (format!("gets {addresses}{pool}"), None),
    }
}

/// Who announces it, as the rest of the sentence.
fn announced(judged: &Judged<'_>) -> Answer {
    if judged.announcements.is_empty() {
        return (String::new(), None);
    }
    if judged.is_one_node {
        return judged.announcements.first().map(|(node, one)| on_one_node(node, one)).unwrap_or_default();
    }
    let first = judged.announcements.iter().find_map(|(_, one)| one.first_owner.clone());
    let routed: Vec<&NodeName> =
        judged.announcements.iter().filter(|(_, one)| !one.routes.is_empty()).map(|(node, _)| node).collect();
    let peers: BTreeSet<&str> =
        judged.announcements.iter().flat_map(|(_, one)| &one.routes).map(|route| &*route.peer).collect();
    let mut parts = Vec::new();
    if let Some(first) = first {
        parts.push(match judged.standing.order.len().saturating_sub(1) {
            0 => format!("{first} answers for it, and no other node may"),
            1 => format!("{first} answers for it first, and 1 more node stands by"),
            others => format!("{first} answers for it first, and {others} more nodes stand by"),
        });
    }
    if !routed.is_empty() {
        parts.push(format!(
            "{} announce{} it by BGP to {}",
            listed(&routed),
            if routed.len() == 1 { "s" } else { "" },
            listed(peers)
        ));
    }
    if parts.is_empty() {
        return nobody(&judged.announcements);
    }
    (format!("; {}", parts.join("; ")), None)
}

fn on_one_node(node: &NodeName, one: &Announcement) -> Answer {
    let layer2 = match &one.decision.layer2 {
        Layer2Decision::Stand(_) if one.first_owner.as_ref() == Some(node) => {
            Some(format!("{node} answers for it first"))
        }
        Layer2Decision::Stand(_) => one.first_owner.as_ref().map(|first| format!("{node} stands by for {first}")),
        Layer2Decision::Withhold(_) => None,
    };
    let peers: BTreeSet<&str> = one.routes.iter().map(|route| &*route.peer).collect();
    let bgp = (!peers.is_empty()).then(|| format!("{node} announces it by BGP to {}", listed(peers)));
    let parts: Vec<String> = layer2.into_iter().chain(bgp).collect();
    if parts.is_empty() {
        let (why, fix) = why_withheld(one);
        return (format!(", but {node} does not announce it: {why}"), fix);
    }
    (format!("; {}", parts.join("; ")), None)
}

/// No node announces it: the reason of the first node that has one of its own, since most have the same.
fn nobody(announcements: &[(NodeName, Announcement)]) -> Answer {
    let Some((node, one)) = announcements.first() else { return Answer::default() };
    let (why, fix) = why_withheld(one);
    let is_same = announcements.iter().all(|(_, other)| why_withheld(other).0 == why);
    let text = if is_same {
        format!(", but no node announces it: {why}")
    } else {
        format!(", but no node announces it; on {node}: {why}")
    };
    (text, fix)
}

/// The reason of layer 2, or of BGP where there is no L2Advertisement for it.
fn why_withheld(one: &Announcement) -> Answer {
    let bgp = match &one.decision.bgp {
        BgpDecision::Withhold(reason) => Some(reason),
        BgpDecision::Announce(_) => None,
    };
    let reason = bgp.map(|routed| match &one.decision.layer2 {
        Layer2Decision::Withhold(reason) if *reason != Reason::NoAdvertisement => reason,
        Layer2Decision::Withhold(_) | Layer2Decision::Stand(_) => routed,
    });
    let last = one.trace.refusals().filter(|step| step.fix.is_some()).last();
    match reason {
        Some(reason) => {
            let text = reason.to_string();
            let step = one.trace.refusals().find(|step| step.text.ends_with(&text) && step.fix.is_some());
            (text, step.or(last).and_then(|step| step.fix.clone()))
        }
        // Routes that nobody hears of.
        None => last.map(|step| (step.text.clone(), step.fix.clone())).unwrap_or_default(),
    }
}

pub(super) fn listed<T: ToString>(names: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 6;
    let names: Vec<String> = names.into_iter().map(|name| name.to_string()).collect();
    let shown = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// [CTRL-1]: a Service of another class.
pub(super) fn class_step(judged: &Judged<'_>) -> StepView {
    let handled = judged.scene.settings.load_balancer_class.as_deref();
    let (text, fix) = match (judged.object.class.as_deref(), handled) {
        (Some(class), None) => (
            format!("its loadBalancerClass is {class}, and only Services without a class are handled"),
            format!("leave it to the load balancer of that class, or ask with --lb-class {class}"),
        ),
        (Some(class), Some(handled)) => (
            format!("its loadBalancerClass is {class}, and only Services of class {handled} are handled"),
            format!("leave it to the load balancer of that class, or ask with --lb-class {class}"),
        ),
        (None, handled) => (
            format!(
                "it has no loadBalancerClass, and only Services of class {} are handled",
                handled.unwrap_or_default()
            ),
            "set spec.loadBalancerClass when the Service is made, or ask without --lb-class".to_owned(),
        ),
    };
    let (outcome, line) = (Verdict::Refused.as_str(), text.clone());
    StepView { rule: "CTRL-1", outcome, objects: Vec::new(), text, fix: Some(fix), line }
}

/// The answer about an address.
pub(super) fn of_address(address: IpAddr, allocator: &Allocator, services: &[ServiceView]) -> Answer {
    let holders: Vec<&str> = services
        .iter()
        .filter(|service| service.ips.contains(&address))
        .map(|service| service.service.as_str())
        .collect();
    let asking: Vec<&str> = services
        .iter()
        .filter(|service| !service.ips.contains(&address))
        .map(|service| service.service.as_str())
        .collect();
    let in_vain = match asking.as_slice() {
        [] => String::new(),
        [one] => format!("; {one} would have it and has not"),
        several => format!("; {} would have it and have not", listed(several)),
    };
    let Some(pool) = allocator.pool_of(address) else {
        let (text, fix) = in_no_pool(address, allocator);
        return (format!("{address} {text}{in_vain}."), Some(fix));
    };
    let text = match holders.as_slice() {
        [] => return free(address, pool, allocator, &in_vain),
        [one] => format!("{address} is held by {one}, from pool {}", pool.name),
        several => format!("{address} is shared by {}, from pool {}", listed(several), pool.name),
    };
    let kept =
        if pool.kept.contains(&address) { "; a freeze keeps it there until it is released or confirmed" } else { "" };
    (format!("{text}{kept}{in_vain}."), None)
}

/// An address that nobody holds, and what sets it aside.
fn free(address: IpAddr, pool: &Pool, allocator: &Allocator, in_vain: &str) -> Answer {
    let name = &pool.name;
    if let Some(hold) = allocator.holds().find(|hold| hold.address == address) {
        let text = format!("{address} waits for {} until {}: pool {name} has it{in_vain}.", hold.service, hold.until);
        return (text, Some("end that by releaseNow in the PoolPolicy".to_owned()));
    }
    let policies = allocator.policies();
    let mut reservations = policies.reservations.iter();
    let reservation = reservations.find(|reservation| reservation.ranges_in(pool).any(|range| range.contains(address)));
    match reservation {
        Some(reservation) => (
            format!(
                "{address} is set aside by AddressReservation {}: pool {name} has it, and no Service holds it{in_vain}.",
                reservation.name
            ),
            None,
        ),
        None => (format!("{address} is free: pool {name} has it, and no Service holds it{in_vain}."), None),
    }
}

/// Why an address is in no pool, and how to put it into one.
fn in_no_pool(address: IpAddr, allocator: &Allocator) -> (String, String) {
    match allocator.pools().find(|pool| pool.ranges.iter().any(|range| range.contains(address))) {
        Some(pool) if pool.excludes(address) => (
            format!("is given to nobody: a PoolPolicy excludes it from pool {}", pool.name),
            "take it out of spec.exclusions of the PoolPolicy".to_owned(),
        ),
        Some(pool) => (
            format!("is given to nobody: pool {} avoids addresses that end in .0 and .255", pool.name),
            format!("set avoidBuggyIPs to false in pool {}", pool.name),
        ),
        None => (
            "is in no pool".to_owned(),
            "add it to spec.addresses of an IPAddressPool, if it is yours to give".to_owned(),
        ),
    }
}
