//! Admission of one change: what a webhook refuses, and no more ([WEBHOOK-10] to [WEBHOOK-20]).
//!
//! The object is judged with those that exist and that its kind is held against; only problems that the change *introduces* count,
//! so that one bad object that is already stored does not block the mending of others ([WEBHOOK-15]).

use std::collections::BTreeSet;

use super::problem::{Category, ObjectRef, Problem, Severity};
use super::raw::{
    Raw, RawAddressReservation, RawBfdProfile, RawBgpAdvertisement, RawCommunity, RawConfig, RawL2Advertisement,
    RawPeer, RawPool, RawPoolPolicy,
};
use super::{Config, Level, Settings};

/// An object as it shall be after the change.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Incoming {
    /// An AddressReservation, held against the others and the pools.
    AddressReservation(Raw<RawAddressReservation>),
    /// A BFDProfile, held against nothing.
    BfdProfile(Raw<RawBfdProfile>),
    /// A BGPAdvertisement, held against the others, the pools and the nodes.
    BgpAdvertisement(Raw<RawBgpAdvertisement>),
    /// A Community, held against the others.
    Community(Raw<RawCommunity>),
    /// An L2Advertisement, held against the others and the pools.
    L2Advertisement(Raw<RawL2Advertisement>),
    /// A BGPPeer of the newer version, held against the others and the nodes.
    Peer(Box<Raw<RawPeer>>),
    /// An IPAddressPool, held against the others.
    Pool(Raw<RawPool>),
    /// A PoolPolicy, held against the others and the pools.
    PoolPolicy(Raw<RawPoolPolicy>),
}

impl Incoming {
    /// The identity of the object.
    pub fn object_mut(&mut self) -> &mut ObjectRef {
        match self {
            Self::AddressReservation(raw) => &mut raw.object,
            Self::PoolPolicy(raw) => &mut raw.object,
            Self::BfdProfile(raw) => &mut raw.object,
            Self::BgpAdvertisement(raw) => &mut raw.object,
            Self::Community(raw) => &mut raw.object,
            Self::L2Advertisement(raw) => &mut raw.object,
            Self::Peer(raw) => &mut raw.object,
            Self::Pool(raw) => &mut raw.object,
        }
    }
}

/// Judges the creation or change of an object among those that exist; it replaces the one of its name. The change is refused
/// where a problem is an error; warnings are for the answer of the webhook.
///
/// `settings.level` is taken for [`Level::Admission`] whatever it says.
///
/// Source: [WEBHOOK-10], [WEBHOOK-11], [WEBHOOK-14], [WEBHOOK-15].
pub fn admit(existing: &RawConfig, incoming: &Incoming, settings: &Settings) -> Vec<Problem> {
    let before = relevant(existing, incoming);
    let mut after = before.clone();
    let mut immutable = None;
    match incoming {
        Incoming::AddressReservation(raw) => replace(&mut after.address_reservations, raw),
        Incoming::PoolPolicy(raw) => replace(&mut after.pool_policies, raw),
        Incoming::BfdProfile(raw) => replace(&mut after.bfd_profiles, raw),
        Incoming::BgpAdvertisement(raw) => replace(&mut after.bgp_advertisements, raw),
        Incoming::Community(raw) => replace(&mut after.communities, raw),
        Incoming::L2Advertisement(raw) => replace(&mut after.l2_advertisements, raw),
        Incoming::Peer(raw) => {
            let known = before.peers.iter().find(|known| is_same(&known.object, &raw.object));
            immutable = immutable_field(known, raw);
            replace(&mut after.peers, raw);
        }
        Incoming::Pool(raw) => replace(&mut after.pools, raw),
    }
    introduced(&before, &after, settings, immutable)
}

/// Judges the deletion of a BFDProfile: refused while a peer names it. Other kinds may always be deleted ([WEBHOOK-12]).
pub fn admit_profile_deletion(existing: &RawConfig, profile: &ObjectRef) -> Vec<Problem> {
    let users = existing.peers.iter().filter(|peer| peer.spec.bfd_profile.as_deref() == Some(profile.name.as_ref()));
    let names: BTreeSet<&str> = users.map(|peer| peer.object.name.as_ref()).collect();
    let problem = |name: &str| Problem {
        severity: Severity::Error,
        category: Category::InUse,
        object: Some(profile.clone()),
        field: String::new(),
        message: format!("BGPPeer {name} uses the profile"),
        fix: "take the profile out of the peer first".to_owned(),
    };
    names.into_iter().map(problem).collect()
}

/// The part of what exists that an object of this kind is held against.
fn relevant(existing: &RawConfig, incoming: &Incoming) -> RawConfig {
    let nothing = RawConfig::default();
    match incoming {
        Incoming::AddressReservation(_) => RawConfig {
            address_reservations: existing.address_reservations.clone(),
            pools: existing.pools.clone(),
            namespaces: existing.namespaces.clone(),
            ..nothing
        },
        Incoming::PoolPolicy(_) => RawConfig {
            pool_policies: existing.pool_policies.clone(),
            pools: existing.pools.clone(),
            namespaces: existing.namespaces.clone(),
            ..nothing
        },
        Incoming::BfdProfile(_) => nothing,
        Incoming::BgpAdvertisement(_) => RawConfig {
            bgp_advertisements: existing.bgp_advertisements.clone(),
            pools: existing.pools.clone(),
            nodes: existing.nodes.clone(),
            ..nothing
        },
        Incoming::Community(_) => RawConfig { communities: existing.communities.clone(), ..nothing },
        Incoming::L2Advertisement(_) => RawConfig {
            l2_advertisements: existing.l2_advertisements.clone(),
            pools: existing.pools.clone(),
            ..nothing
        },
        Incoming::Peer(_) => RawConfig { peers: existing.peers.clone(), nodes: existing.nodes.clone(), ..nothing },
        Incoming::Pool(_) => RawConfig { pools: existing.pools.clone(), ..nothing },
    }
}

/// Puts the object in the place of the one of its name.
fn replace<T: Clone>(objects: &mut Vec<Raw<T>>, incoming: &Raw<T>) {
    objects.retain(|known| !is_same(&known.object, &incoming.object));
    objects.push(incoming.clone());
}

fn is_same(known: &ObjectRef, incoming: &ObjectRef) -> bool {
    known.name == incoming.name && (known.namespace == incoming.namespace || incoming.namespace.is_none())
}

/// Graceful restart may not change where both versions say something ([PEER-26]).
fn immutable_field(known: Option<&Raw<RawPeer>>, incoming: &Raw<RawPeer>) -> Option<Problem> {
    let before = known?.spec.enable_graceful_restart?;
    let after = incoming.spec.enable_graceful_restart?;
    (before != after).then(|| Problem {
        severity: Severity::Error,
        category: Category::Immutable,
        object: Some(incoming.object.clone()),
        field: "spec.enableGracefulRestart".to_owned(),
        message: format!("the field may not change from {before} to {after}"),
        fix: "delete the peer and create it anew".to_owned(),
    })
}

fn introduced(before: &RawConfig, after: &RawConfig, settings: &Settings, more: Option<Problem>) -> Vec<Problem> {
    let settings = Settings { level: Level::Admission, ..settings.clone() };
    let known = Config::build(before, &settings).problems;
    let found = Config::build(after, &settings).problems.into_iter();
    more.into_iter().chain(found.filter(|problem| !known.iter().any(|old| is_alike(old, problem)))).collect()
}

/// Whether two problems are the same, wherever their objects were read.
fn is_alike(left: &Problem, right: &Problem) -> bool {
    let same_object = match (&left.object, &right.object) {
        (Some(left), Some(right)) => left.name == right.name && left.namespace == right.namespace,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    };
    let judgement = |problem: &Problem| (problem.severity, problem.category);
    same_object && judgement(left) == judgement(right) && left.field == right.field && left.message == right.message
}

#[cfg(test)]
mod tests;
