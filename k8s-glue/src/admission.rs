//! Whether one change of an object of `metallb.io` is let through, given the objects that are there ([WEBHOOK-10] to [WEBHOOK-20]).
//!
//! Pure: the server around it decodes requests and encodes answers. A change is judged with the objects of its kind, and with those
//! that its kind is checked against; references to objects that may come later are no obstacle.

use lbcore::config::{Category, Config, Level, ObjectRef, Origin, Problem, RawConfig, Settings, Severity};

use crate::convert::{self, Objects};
use crate::manifest::Document;

/// Why creating or replacing an object is refused; empty where it is let through. The origin of every problem is the index of its
/// document, that of the incoming one being the number of the existing ones.
///
/// Source: [WEBHOOK-10], [WEBHOOK-11], [WEBHOOK-20].
pub fn admit(existing: &[Document], incoming: &Document, settings: &Settings) -> Vec<Problem> {
    let settings = Settings { level: Level::Admission, ..settings.clone() };
    let place = Origin(existing.len() as u64);
    let object = convert::object_of(incoming, place, &settings.install_namespace);
    let is_other =
        |document: &Document| !is_same(&convert::object_of(document, place, &settings.install_namespace), &object);
    // The old version makes room for the new one, which keeps its place behind all others.
    let documents: Vec<Document> =
        existing.iter().filter(|document| is_other(document)).chain([incoming]).cloned().collect();
    let mut objects = convert::objects(&documents, &settings.install_namespace);
    let last = Origin((documents.len() - 1) as u64);
    let typed = core::mem::take(&mut objects.problems);
    let typed = typed.into_iter().filter(|problem| problem.object.as_ref().is_some_and(|object| object.origin == last));
    let ruled = Config::build(&checked_with(&object.kind, objects, last), &settings).problems;
    let refused = typed.chain(ruled).filter(|problem| problem.severity == Severity::Error);
    refused.collect()
}

/// Why deleting an object is refused: a BFD profile that a peer names. Nothing else is ever refused ([WEBHOOK-12]).
pub fn admit_deletion(existing: &[Document], deleted: &ObjectRef, settings: &Settings) -> Vec<Problem> {
    if &*deleted.kind != "BFDProfile" {
        return Vec::new();
    }
    let peers = convert::objects(existing, &settings.install_namespace).config.peers;
    let users = peers.into_iter().filter(|peer| peer.spec.bfd_profile.as_deref() == Some(&*deleted.name));
    users
        .map(|peer| Problem {
            severity: Severity::Error,
            category: Category::InUse,
            object: Some(deleted.clone()),
            field: String::new(),
            message: format!("{} uses the profile", peer.object),
            fix: "take the profile out of the peer first".to_owned(),
        })
        .collect()
}

fn is_same(one: &ObjectRef, other: &ObjectRef) -> bool {
    (&one.kind, &one.namespace, &one.name) == (&other.kind, &other.namespace, &other.name)
}

/// What an object of this kind is checked with ([WEBHOOK-11]).
fn checked_with(kind: &str, objects: Objects, incoming: Origin) -> RawConfig {
    let all = objects.config;
    match kind {
        "BFDProfile" => {
            let only_it = all.bfd_profiles.into_iter().filter(|profile| profile.object.origin == incoming);
            RawConfig { bfd_profiles: only_it.collect(), ..RawConfig::default() }
        }
        "BGPAdvertisement" => RawConfig {
            pools: all.pools,
            bgp_advertisements: all.bgp_advertisements,
            nodes: all.nodes,
            ..RawConfig::default()
        },
        "BGPPeer" => RawConfig { peers: all.peers, nodes: all.nodes, ..RawConfig::default() },
        "Community" => RawConfig { communities: all.communities, ..RawConfig::default() },
        "IPAddressPool" => RawConfig { pools: all.pools, ..RawConfig::default() },
        "L2Advertisement" => {
            RawConfig { pools: all.pools, l2_advertisements: all.l2_advertisements, ..RawConfig::default() }
        }
        _ => RawConfig::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifests;

    fn documents(text: &str) -> Vec<Document> {
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        manifests.documents
    }

    fn categories(problems: &[Problem]) -> Vec<Category> {
        problems.iter().map(|problem| problem.category).collect()
    }

    const PEER: &str = "apiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: tor}\nspec: {myASN: 64500, peerASN: 64501, peerAddress: \
                        192.0.2.1, bfdProfile: fast}\n";

    // [WEBHOOK-12]
    #[test]
    fn a_profile_in_use_cannot_be_deleted() {
        let existing = documents(PEER);
        let profile = |name: &str| ObjectRef {
            kind: "BFDProfile".into(),
            namespace: Some("metallb-system".into()),
            name: name.into(),
            origin: Origin(0),
        };
        let settings = Settings::default();
        assert_eq!(categories(&admit_deletion(&existing, &profile("fast"), &settings)), [Category::InUse]);
        assert_eq!(admit_deletion(&existing, &profile("slow"), &settings), []);
    }

    // [WEBHOOK-10], [WEBHOOK-20]
    #[test]
    fn another_namespace_and_wrong_types_are_refused_and_later_references_are_not() {
        let settings = Settings::default();
        assert_eq!(admit(&[], &documents(PEER)[0], &settings), []);
        let elsewhere = documents(&PEER.replace("name: tor", "name: tor, namespace: default"));
        assert_eq!(categories(&admit(&[], &elsewhere[0], &settings)), [Category::WrongNamespace]);
        let text = documents(&PEER.replace("64501", "'64501'"));
        assert!(categories(&admit(&[], &text[0], &settings)).contains(&Category::Schema));
    }

    // [WEBHOOK-11]
    #[test]
    fn a_new_version_is_judged_in_place_of_the_old_one() {
        let pool = |name: &str, range: &str| {
            documents(&format!(
                "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: {name}}}\nspec: {{addresses: [{range}]}}\n"
            ))
        };
        let existing = [pool("a", "192.0.2.0/28"), pool("b", "192.0.2.16/28")].concat();
        let settings = Settings::default();
        assert_eq!(admit(&existing, &pool("a", "192.0.2.0/29")[0], &settings), []);
        let overlapping = admit(&existing, &pool("a", "192.0.2.0/27")[0], &settings);
        assert!(categories(&overlapping).contains(&Category::OverlappingRanges));
    }
}
