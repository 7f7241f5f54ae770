//! What a controller has written into the statuses of policies, for the commands that judge objects as they stand in a cluster: addresses
//! that wait, and addresses that a freeze keeps. A controller that starts reads the same.

use lbcore::allocator::Hold;
use lbcore::policy::KeptAddress;
use serde_json::Value;

use crate::cluster::kept::kept_of;
use crate::cluster::watch::Kind;
use crate::controller::policy_status::holds_of;
use crate::manifest::Document;

/// What the statuses of all policies say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    pub(crate) holds: Vec<Hold>,
    pub(crate) kept: Vec<KeptAddress>,
}

impl Recorded {
    /// Reads those of the install namespace; what cannot be read is left out.
    pub(crate) fn of(documents: &[Document], install_namespace: &str) -> Self {
        let mut recorded = Self::default();
        for document in documents_of(documents, Kind::PoolPolicy, install_namespace) {
            recorded.holds.extend(holds_of(&document.value));
            recorded.kept.extend(kept_of(&document.value));
        }
        recorded
    }
}

/// The documents of a kind in the install namespace; one without a namespace is there.
pub(crate) fn documents_of<'d>(
    documents: &'d [Document],
    kind: Kind,
    install_namespace: &str,
) -> impl Iterator<Item = &'d Document> {
    documents.iter().filter(move |document| {
        let text = |name: &str| document.value.get(name).and_then(Value::as_str);
        let namespace = document.value.get("metadata").and_then(|metadata| metadata.get("namespace")?.as_str());
        text("kind") == Some(kind.as_str())
            && text("apiVersion") == Some(kind.api_version())
            && namespace.is_none_or(|namespace| namespace.is_empty() || namespace == install_namespace)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifests;

    #[test]
    fn the_statuses_of_the_install_namespace_count_also_within_a_list() {
        let policy = |name: &str, namespace: &str, address: &str| {
            format!(
                "- apiVersion: ferrule.io/v1alpha1\n  kind: PoolPolicy\n  metadata: {{name: {name}{namespace}}}\n  status:\n    held: \
                 [{{address: {address}, service: shop/web, until: '2100-01-01T00:00:00Z', reason: Retention}}]\n    kept: [{{address: {address}, \
                 pool: p, service: shop/web}}]\n"
            )
        };
        let text = "apiVersion: v1\nkind: List\nitems:\n".to_owned()
            + &policy("a", ", namespace: lb", "192.0.2.1")
            + &policy("b", "", "192.0.2.2")
            + &policy("c", ", namespace: elsewhere", "192.0.2.3");
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let Recorded { holds, kept } = Recorded::of(&manifests.documents, "lb");
        let held: Vec<String> = holds.iter().map(|hold| hold.address.to_string()).collect();
        let kept: Vec<String> = kept.iter().map(|kept| kept.address.to_string()).collect();
        assert_eq!((held.as_slice(), kept.as_slice()), (&["192.0.2.1", "192.0.2.2"].map(str::to_owned)[..], &held[..]));
    }
}
