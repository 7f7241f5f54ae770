//! The difference for people.

use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::difference::{Difference, Effect, OwnerChange, ServiceChange};
use crate::names::Shown;
use crate::plan::{PlannedOwner, PlannedRoute, PlannedService};

/// The whole of it; the last line is the verdict.
pub(super) fn of(difference: &Difference) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    for change in &difference.services {
        service(change, &mut out);
    }
    let given_up: BTreeSet<IpAddr> = difference.services.iter().flat_map(ServiceChange::given_up).collect();
    for change in &difference.layer2 {
        // An address that goes is told already.
        if change.to.is_some() || !given_up.contains(&change.ip) {
            owner(change, &mut out);
        }
    }
    routes(difference, &mut out);
    for kept in &difference.kept {
        let _ = writeln!(out, "kept by a freeze: {}: {} (pool {})", kept.service, kept.ip, kept.pool);
    }
    let changes_nothing = out.is_empty();
    if !difference.taken.is_empty() {
        let taken = difference.taken.iter().map(|taken| format!("{} ({})", taken.kind, taken.count));
        let _ = writeln!(out, "as now, because the new input has none: {}", taken.collect::<Vec<_>>().join(", "));
    }
    let addresses: Vec<String> = difference.moves.iter().map(ToString::to_string).collect();
    let last = match addresses.as_slice() {
        [] if changes_nothing => "nothing changes".to_owned(),
        [] if !difference.is_anything_live => {
            "no live address moves: the state of now records none (status.loadBalancer.ingress)".to_owned()
        }
        [] => "no live address moves".to_owned(),
        _ => format!("live addresses that move or are lost: {}", addresses.join(", ")),
    };
    let _ = writeln!(out, "{last}");
    out
}

fn service(change: &ServiceChange, out: &mut String) {
    let word = match change.effect {
        Effect::Changed => "changed",
        Effect::Gained => "gained",
        Effect::Moved => "moved",
        Effect::Lost => "lost",
    };
    let is_explained = change.why.is_some();
    let (from, to) = (summary(change.from.as_ref(), false), summary(change.to.as_ref(), is_explained));
    let _ = writeln!(out, "{word}: {}: {from} -> {to}", change.service);
    if let Some(why) = &change.why {
        let _ = writeln!(out, "  why: {}", Shown(why));
    }
    if let Some(fix) = &change.fix {
        let _ = writeln!(out, "  mend: {}", Shown(fix));
    }
}

fn summary(service: Option<&PlannedService>, is_explained: bool) -> String {
    let Some(service) = service else { return "no such Service".to_owned() };
    let ips: Vec<String> = service.ips.iter().map(ToString::to_string).collect();
    let mut text = if ips.is_empty() { "no address".to_owned() } else { ips.join(",") };
    if let Some(pool) = &service.pool {
        let _ = write!(text, " (pool {pool})");
    }
    if let Some(error) = &service.error {
        if is_explained {
            let _ = write!(text, " ({})", error.category);
        } else {
            let _ = write!(text, " ({}: {})", error.category, Shown(&error.message));
        }
    }
    text
}

fn owner(change: &OwnerChange, out: &mut String) {
    let node = |owner: Option<&PlannedOwner>| owner.map_or("nobody", |owner| owner.node.as_str()).to_owned();
    let links = |owner: Option<&PlannedOwner>| owner.map(|owner| owner.interfaces.join(",")).unwrap_or_default();
    let (from, to) = (node(change.from.as_ref()), node(change.to.as_ref()));
    if from == to {
        let (from, to) = (links(change.from.as_ref()), links(change.to.as_ref()));
        let _ = writeln!(out, "links of {}: {from} -> {to}", change.ip);
    } else {
        let _ = writeln!(out, "owner of {}: {from} -> {to}", change.ip);
        if let Some(why) = &change.why {
            let _ = writeln!(out, "  why not {from}: {}", Shown(why));
        }
    }
}

/// What is the same for many nodes stands on one line.
fn routes(difference: &Difference, out: &mut String) {
    type Place<'r> = (&'r str, &'r str, &'r str);
    type Line<'r> = (&'r str, &'r str, char, String);
    fn place(route: &PlannedRoute) -> Place<'_> {
        (&route.prefix, &route.peer, &route.node)
    }
    let old: BTreeMap<Place<'_>, &PlannedRoute> =
        difference.bgp.withdrawn.iter().map(|route| (place(route), route)).collect();
    let new: BTreeMap<Place<'_>, &PlannedRoute> =
        difference.bgp.announced.iter().map(|route| (place(route), route)).collect();
    let places: BTreeSet<Place<'_>> = old.keys().chain(new.keys()).copied().collect();
    let mut lines: Vec<(Line<'_>, Vec<&str>)> = Vec::new();
    for (prefix, peer, node) in places {
        let at = (prefix, peer, node);
        let (sign, change) = match (old.get(&at), new.get(&at)) {
            (Some(old), Some(new)) => ('~', format!(": {} -> {}", attributes(old), attributes(new))),
            (Some(_), None) => ('-', String::new()),
            (None, _) => ('+', String::new()),
        };
        let line = (prefix, peer, sign, change);
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, nodes)) => nodes.push(node),
            None => lines.push((line, vec![node])),
        }
    }
    for ((prefix, peer, sign, change), nodes) in lines {
        let _ = writeln!(out, "{sign} {prefix} to {peer} from {}{change}", nodes.join(", "));
    }
}

fn attributes(route: &PlannedRoute) -> String {
    let local_pref = route.local_pref.map(|value| format!("localPref {value}"));
    let communities = [route.communities.as_slice(), route.large_communities.as_slice()].concat();
    let communities = (!communities.is_empty()).then(|| format!("communities {}", communities.join(",")));
    let all: Vec<String> = local_pref.into_iter().chain(communities).collect();
    if all.is_empty() { "no attributes".to_owned() } else { all.join(" ") }
}
