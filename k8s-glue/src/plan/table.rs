//! A plan as columns for people.

use core::fmt::Write as _;

use super::Plan;
use crate::names::Shown;

/// The plan; parts without entries are left out.
pub(super) fn plan(plan: &Plan) -> String {
    let mut out = String::new();
    let services = plan.services.iter().map(|service| {
        let ips: Vec<String> = service.ips.iter().map(ToString::to_string).collect();
        let problem = service.error.as_ref().map(|error| format!("{}: {}", error.category, error.message));
        [
            service.service.clone(),
            dash(service.pool.clone().unwrap_or_default()),
            dash(ips.join(",")),
            problem.unwrap_or_default(),
        ]
    });
    columns(["SERVICE", "POOL", "ADDRESSES", "PROBLEM"], services.collect(), &mut out);
    let owners = plan
        .layer2
        .iter()
        .map(|owner| [owner.ip.to_string(), owner.service.clone(), owner.node.clone(), owner.interfaces.join(",")]);
    columns(["ADDRESS", "SERVICE", "OWNER", "INTERFACES"], owners.collect(), &mut out);
    let routes = plan.bgp.iter().map(|route| {
        let local_pref = route.local_pref.map(|value| value.to_string()).unwrap_or_default();
        let communities = [route.communities.as_slice(), route.large_communities.as_slice()].concat().join(",");
        [route.node.clone(), route.peer.clone(), route.prefix.clone(), dash(local_pref), dash(communities)]
    });
    columns(["NODE", "PEER", "PREFIX", "LOCALPREF", "COMMUNITIES"], routes.collect(), &mut out);
    if out.is_empty() { "no Service of ours in the input\n".to_owned() } else { out }
}

fn dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

/// Rows below their heads, as wide as the widest cell; a blank line before all but the first table.
fn columns<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>, out: &mut String) {
    if rows.is_empty() {
        return;
    }
    if !out.is_empty() {
        out.push('\n');
    }
    let heads = heads.map(str::to_owned);
    let shown = |row: [String; N]| row.map(|cell| Shown(&cell).to_string());
    let rows: Vec<[String; N]> = core::iter::once(heads).chain(rows.into_iter().map(shown)).collect();
    let mut widths = [0; N];
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a text cannot fail.
            let _ = write!(line, "{cell:width$}  ");
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
}
