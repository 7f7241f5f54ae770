//! The difference for people.

use core::fmt::Write as _;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::difference::{Difference, Effect, Exceeded, HeldReserved, OwnerChange, ServiceChange};
use crate::names::Shown;
use crate::plan::{PlannedOwner, PlannedRoute, PlannedService};

/// The whole of it; the last line is the verdict.
pub(super) fn of(difference: &Difference) -> String {
    let mut out = String::new();
    // Writing to a text cannot fail.
    for change in &difference.services {
        service(change, difference.is_anything_live, &mut out);
    }
    let given_up: BTreeSet<IpAddr> = difference.services.iter().flat_map(ServiceChange::given_up).collect();
    // An address that goes is told already.
    let told = |change: &&OwnerChange| change.to.is_some() || !given_up.contains(&change.ip);
    owners(difference.layer2.iter().filter(told), &mut out);
    routes(difference, &mut out);
    keepings(difference, &mut out);
    let changes_nothing = out.is_empty();
    if !difference.taken.is_empty() {
        let taken = difference.taken.iter().map(|taken| format!("{} ({})", taken.kind, taken.count));
        let _ = writeln!(
            out,
            "as now, because the new input has none (with --complete they are gone): {}",
            taken.collect::<Vec<_>>().join(", ")
        );
    }
    for gone in &difference.gone {
        let _ = writeln!(out, "not in the new input, so gone: {} {}", gone.kind, Shown(&listed(&gone.names)));
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

/// What stays as it is though something speaks against it, and what would be announced by nobody.
fn keepings(difference: &Difference, out: &mut String) {
    let to_nobody: BTreeSet<IpAddr> =
        difference.layer2.iter().filter(|change| change.to.is_none()).map(|change| change.ip).collect();
    let unannounced = difference.unannounced.iter().filter(|ip| !to_nobody.contains(*ip));
    let unannounced: Vec<String> = unannounced.map(ToString::to_string).collect();
    if !unannounced.is_empty() {
        let _ = writeln!(out, "announced by nobody any more: {}", listed(&unannounced));
    }
    for kept in &difference.kept {
        let _ = writeln!(out, "kept by a freeze: {}: {} (pool {})", kept.service, kept.ip, kept.pool);
    }
    for HeldReserved { ip, service, reservation } in &difference.reserved {
        let _ = writeln!(out, "kept, though set aside for others: {service}: {ip} (AddressReservation {reservation})");
    }
    for Exceeded { policy, quota, namespace, used, limit } in &difference.exceeded {
        let whose = namespace.as_ref().map_or_else(String::new, |namespace| format!(" by namespace {namespace}"));
        let _ = writeln!(
            out,
            "kept, though above a quota: {used} addresses are used{whose}, and quota {quota} of PoolPolicy {policy} allows {limit}"
        );
    }
}

/// Names, of many only the first few.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
    match names.len().saturating_sub(SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn service(change: &ServiceChange, is_anything_live: bool, out: &mut String) {
    let word = match change.effect {
        // Beside those that have addresses, one that would only be given one has nothing to lose.
        Effect::Moved | Effect::Lost if is_anything_live && !change.is_live => "planned",
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
    let Some(service) = service else { return "no such load balancer".to_owned() };
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

/// Addresses with the same change stand together.
fn owners<'c>(changes: impl Iterator<Item = &'c OwnerChange>, out: &mut String) {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut order: Vec<String> = Vec::new();
    for change in changes {
        let text = owner(change);
        if !groups.contains_key(&text) {
            order.push(text.clone());
        }
        groups.entry(text).or_default().push(change.ip.to_string());
    }
    for text in order {
        let addresses = groups.get(&text).map(|addresses| listed(addresses)).unwrap_or_default();
        let _ = writeln!(out, "{}", text.replacen("{}", &addresses, 1));
    }
}

/// The change, with `{}` for the address.
fn owner(change: &OwnerChange) -> String {
    let node = |owner: Option<&PlannedOwner>| owner.map_or("nobody", |owner| owner.node.as_str()).to_owned();
    let links = |owner: Option<&PlannedOwner>| owner.map(|owner| owner.interfaces.join(",")).unwrap_or_default();
    let (from, to) = (node(change.from.as_ref()), node(change.to.as_ref()));
    if from == to {
        let (from, to) = (links(change.from.as_ref()), links(change.to.as_ref()));
        return format!("links of {{}}: {from} -> {to}");
    }
    let mut text = format!("owner of {{}}: {from} -> {to}");
    if let Some(why) = &change.why {
        let _ = write!(text, "\n  why not {from}: {}", Shown(why));
    }
    if let Some(fix) = &change.fix {
        let _ = write!(text, "\n  mend: {}", Shown(fix));
    }
    text
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
        let of_place = lines.iter_mut().rev().take_while(|((of, to, ..), _)| (*of, *to) == (prefix, peer));
        match of_place.into_iter().find(|(known, _)| *known == line) {
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
