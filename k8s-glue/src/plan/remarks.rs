//! What a plan says on standard error about what was asked for on the command line.

use core::fmt::Write as _;
use std::collections::BTreeSet;

use crate::convert::Objects;
use crate::names::Shown;

use super::{PlanSettings, PlannedOwner};

/// A line for each address whose owner has none of the links that are asked for ([L2-30]), and for each node that is named in vain.
pub(super) fn of(settings: &PlanSettings, objects: &Objects, silent: &[PlannedOwner]) -> String {
    let mut out = String::new();
    for (option, node) in named(settings).into_iter().filter(|(_, node)| !is_there(settings, objects, node)) {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "ferrule: warning: {option} {}: the input has no node of this name", Shown(node));
    }
    for owner in silent {
        let PlannedOwner { ip, service, node, interfaces } = owner;
        let links = interfaces.join(", ");
        let links = if links == "*" { "no link".to_owned() } else { format!("none of the links {links}") };
        let _ = writeln!(
            out,
            "ferrule: warning: nobody answers for {ip} ({}): its owner is {}, which has {} by --node-interfaces",
            Shown(service),
            Shown(node),
            Shown(&links)
        );
    }
    out
}

fn named(settings: &PlanSettings) -> BTreeSet<(&'static str, &str)> {
    let live = settings.live_nodes.iter().flatten().map(|node| ("--live-node", node.as_str()));
    let linked = settings.interfaces.iter().flatten().map(|(node, _)| ("--node-interfaces", node.as_str()));
    live.chain(linked).collect()
}

/// Without a cluster the nodes named are the nodes there are.
fn is_there(settings: &PlanSettings, objects: &Objects, node: &str) -> bool {
    let by_name = settings.live_nodes.iter().flatten().any(|live| live == node);
    (settings.standalone && by_name) || objects.config.nodes.iter().any(|known| known.name.as_str() == node)
}
