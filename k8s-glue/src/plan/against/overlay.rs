//! What a new input leaves out is as it is now: kind by kind.
//!
//! A kind of which the new input holds any object is as that input says, so that an object that is not there any more is seen as deleted; a
//! kind of which it holds none is taken from the state of now, so that a change can be judged alone. Which kinds were taken, and which objects
//! are gone, is told.

use std::collections::BTreeSet;

use lbcore::config::{Origin, Raw, RawConfig};

use crate::load::Input;
use crate::manifest::Document;

/// What came of it; the objects are in the new input itself.
pub(super) struct Merged {
    /// The documents that origins point to: those of the new input, then those of now.
    pub(super) documents: Vec<Document>,
    /// The kinds taken from the state of now, with how many objects.
    pub(super) taken: Vec<(&'static str, usize)>,
    /// The objects of now that are not there any more, by kind. Services are not among them: what becomes of each is told.
    pub(super) gone: Vec<(&'static str, Vec<String>)>,
}

impl Merged {
    /// The new input as it is. What freezes keep is nothing that an input could leave out.
    pub(super) fn complete(before: &Input, after: &mut Input) -> Self {
        after.objects.config.kept.clone_from(&before.objects.config.kept);
        let gone = gone(&before.objects.config, &after.objects.config);
        Self { documents: after.documents.clone(), taken: Vec::new(), gone }
    }
}

/// Completes the new input.
pub(super) fn merge(before: &Input, after: &mut Input) -> Merged {
    let offset = after.documents.len() as u64;
    let mut taken = Vec::new();
    let old = &before.objects;
    let RawConfig {
        pools,
        l2_advertisements,
        bgp_advertisements,
        peers,
        bfd_profiles,
        communities,
        secrets,
        address_reservations,
        pool_policies,
        kept,
        nodes,
        namespaces,
    } = &mut after.objects.config;
    take(pools, &old.config.pools, offset, "IPAddressPool", &mut taken);
    take(l2_advertisements, &old.config.l2_advertisements, offset, "L2Advertisement", &mut taken);
    take(bgp_advertisements, &old.config.bgp_advertisements, offset, "BGPAdvertisement", &mut taken);
    take(peers, &old.config.peers, offset, "BGPPeer", &mut taken);
    take(bfd_profiles, &old.config.bfd_profiles, offset, "BFDProfile", &mut taken);
    take(communities, &old.config.communities, offset, "Community", &mut taken);
    take(secrets, &old.config.secrets, offset, "Secret", &mut taken);
    take(address_reservations, &old.config.address_reservations, offset, "AddressReservation", &mut taken);
    take(pool_policies, &old.config.pool_policies, offset, "PoolPolicy", &mut taken);
    if kept.is_empty() {
        kept.clone_from(&old.config.kept);
    }
    if nodes.is_empty() && !old.config.nodes.is_empty() {
        nodes.clone_from(&old.config.nodes);
        taken.push(("Node", nodes.len()));
    }
    if namespaces.is_empty() && !old.config.namespaces.is_empty() {
        namespaces.clone_from(&old.config.namespaces);
        taken.push(("Namespace", namespaces.len()));
    }
    if after.objects.services.is_empty() && !old.services.is_empty() {
        after.objects.services.clone_from(&old.services);
        for service in &mut after.objects.services {
            service.object.origin = Origin(service.object.origin.0 + offset);
        }
        taken.push(("Service", old.services.len()));
    }
    if after.objects.endpoints.is_empty() && !old.endpoints.is_empty() {
        after.objects.endpoints.clone_from(&old.endpoints);
        taken.push(("Service with EndpointSlices", old.endpoints.len()));
    }
    let documents = after.documents.iter().chain(&before.documents).cloned().collect();
    Merged { documents, taken, gone: gone(&before.objects.config, &after.objects.config) }
}

/// The objects of one configuration that another does not have.
fn gone(old: &RawConfig, new: &RawConfig) -> Vec<(&'static str, Vec<String>)> {
    let all = names(old).into_iter().zip(names(new));
    let gone = all.map(|((kind, old), (_, new))| (kind, old.difference(&new).map(ToString::to_string).collect()));
    gone.filter(|(_, names): &(_, Vec<String>)| !names.is_empty()).collect()
}

fn names(config: &RawConfig) -> [(&'static str, BTreeSet<&str>); 9] {
    fn of<T>(objects: &[Raw<T>]) -> BTreeSet<&str> {
        objects.iter().map(|raw| raw.object.name.as_ref()).collect()
    }
    [
        ("IPAddressPool", of(&config.pools)),
        ("L2Advertisement", of(&config.l2_advertisements)),
        ("BGPAdvertisement", of(&config.bgp_advertisements)),
        ("BGPPeer", of(&config.peers)),
        ("BFDProfile", of(&config.bfd_profiles)),
        ("Community", of(&config.communities)),
        ("AddressReservation", of(&config.address_reservations)),
        ("PoolPolicy", of(&config.pool_policies)),
        ("Node", config.nodes.iter().map(|node| node.name.as_str()).collect()),
    ]
}

fn take<T: Clone>(
    new: &mut Vec<Raw<T>>,
    old: &[Raw<T>],
    offset: u64,
    kind: &'static str,
    taken: &mut Vec<(&'static str, usize)>,
) {
    if new.is_empty() && !old.is_empty() {
        new.extend_from_slice(old);
        for raw in new.iter_mut() {
            raw.object.origin = Origin(raw.object.origin.0 + offset);
        }
        taken.push((kind, old.len()));
    }
}

/// Where no Secret is given at all, as people rightly do not print theirs, passwords of peers count as right: they move no address.
pub(super) fn without_unknown_secrets(config: &mut RawConfig) {
    for peer in &mut config.peers {
        peer.spec.password_secret = None;
    }
}
