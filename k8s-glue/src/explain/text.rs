//! The form for people: the answer and its mend first, then the rules in order.

use core::fmt::Write as _;
use std::collections::BTreeSet;

use super::view::{Explanation, NodeView, ServiceView, StepView};
use crate::names::Shown;

/// The whole answer.
pub(super) fn of(explanation: &Explanation) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{}", Shown(&explanation.answer));
    if let Some(fix) = &explanation.fix {
        let _ = writeln!(out, "Mend: {}", Shown(fix));
    }
    let is_one = explanation.services.len() == 1;
    for service in &explanation.services {
        if !(is_one && explanation.answer.ends_with(&service.answer)) {
            let _ = write!(out, "\n{}\n", Shown(&service.answer));
            if let Some(fix) = &service.fix {
                let _ = writeln!(out, "Mend: {}", Shown(fix));
            }
        }
        service_text(service, &mut out);
    }
    if !explanation.remarks.is_empty() || !explanation.problems.is_empty() {
        out.push('\n');
    }
    for remark in &explanation.remarks {
        let _ = writeln!(out, "Note: {}", Shown(remark));
    }
    for problem in &explanation.problems {
        let _ = writeln!(out, "{problem}");
    }
    out
}

fn service_text(service: &ServiceView, out: &mut String) {
    let mut told = BTreeSet::new();
    part("Address", &service.allocation, &mut told, out);
    part("Announcement, on every node", &service.announcement, &mut told, out);
    for (names, node) in alike(&service.nodes) {
        part(&format!("Announcement, on {}", names.join(", ")), &node.steps, &mut told, out);
    }
    if !service.reports.is_empty() {
        out.push_str("\nWhat speakers report\n");
    }
    for report in &service.reports {
        line(report.verdict(), report.rule, &report.text, report.fix.as_deref(), &mut told, out);
    }
}

/// Nodes of which the same is to be told, together, in the order of the first of each.
fn alike(nodes: &[NodeView]) -> Vec<(Vec<&str>, &NodeView)> {
    let mut groups: Vec<(Vec<&str>, &NodeView)> = Vec::new();
    for node in nodes {
        match groups.iter_mut().find(|(_, known)| known.steps == node.steps) {
            Some((names, _)) => names.push(&node.node),
            None => groups.push((vec![&node.node], node)),
        }
    }
    groups
}

/// Each mend is told once.
fn part<'s>(head: &str, steps: &'s [StepView], told: &mut BTreeSet<&'s str>, out: &mut String) {
    if steps.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{}", Shown(head));
    for step in steps {
        line(step.outcome, step.rule, &step.line, step.fix.as_deref(), told, out);
    }
}

fn line<'s>(
    verdict: &str,
    rule: &str,
    text: &str,
    fix: Option<&'s str>,
    told: &mut BTreeSet<&'s str>,
    out: &mut String,
) {
    let _ = writeln!(out, "  {verdict:8}{rule:12}{}", Shown(text));
    if let Some(fix) = fix.filter(|fix| told.insert(fix)) {
        let _ = writeln!(out, "  {:20}mend: {}", "", Shown(fix));
    }
}
