//! Whether one change of an object of `metallb.io` is let through, given the objects that are there ([WEBHOOK-10] to [WEBHOOK-20]).
//!
//! Pure: the server around it decodes requests and encodes answers. A change is judged with the objects of its kind, and with those
//! that its kind is checked against; references to objects that may come later are no obstacle.

use core::slice;

use lbcore::config::admission::{self, Incoming};
use lbcore::config::{ObjectRef, Origin, Problem, RawConfig, Settings, Severity};

use crate::convert;
use crate::manifest::Document;

/// Why creating or replacing an object is refused; empty where it is let through. Only problems that the change introduces count
/// ([WEBHOOK-15]). The origin of every problem is the index of its document, that of the incoming one being the number of the
/// existing ones.
///
/// Source: [WEBHOOK-10], [WEBHOOK-11], [WEBHOOK-20].
pub fn admit(existing: &[Document], incoming: &Document, settings: &Settings) -> Vec<Problem> {
    let namespace = &settings.install_namespace;
    let place = Origin(existing.len() as u64);
    let others = convert::objects(existing, namespace).config;
    let objects = convert::objects(slice::from_ref(incoming), namespace);
    let typed = objects.problems.into_iter().map(|problem| Problem {
        object: problem.object.map(|object| ObjectRef { origin: place, ..object }),
        ..problem
    });
    let ruled = incoming_of(objects.config, place).map(|incoming| admission::admit(&others, &incoming, settings));
    let refused = typed.chain(ruled.unwrap_or_default()).filter(|problem| problem.severity == Severity::Error);
    refused.collect()
}

/// Why deleting an object is refused: a BFD profile that a peer names. Nothing else is ever refused ([WEBHOOK-12]).
pub fn admit_deletion(existing: &[Document], deleted: &ObjectRef, settings: &Settings) -> Vec<Problem> {
    if &*deleted.kind != "BFDProfile" {
        return Vec::new();
    }
    admission::admit_profile_deletion(&convert::objects(existing, &settings.install_namespace).config, deleted)
}

/// The one object of a configuration, where its kind is judged at all.
fn incoming_of(mut config: RawConfig, place: Origin) -> Option<Incoming> {
    let mut incoming = (config.pools.pop().map(Incoming::Pool))
        .or_else(|| config.l2_advertisements.pop().map(Incoming::L2Advertisement))
        .or_else(|| config.bgp_advertisements.pop().map(Incoming::BgpAdvertisement))
        .or_else(|| config.peers.pop().map(|peer| Incoming::Peer(Box::new(peer))))
        .or_else(|| config.bfd_profiles.pop().map(Incoming::BfdProfile))
        .or_else(|| config.communities.pop().map(Incoming::Community))?;
    incoming.object_mut().origin = place;
    Some(incoming)
}

#[cfg(test)]
mod tests {
    use lbcore::config::Category;

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
