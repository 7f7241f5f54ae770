//! The objects around Services: nodes, endpoints, namespaces, Secrets, the old ConfigMap.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lbcore::config::{Category, RawSecret, Severity};
use lbcore::labels::Labels;
use lbcore::node::{NetworkCondition, Node};
use lbcore::peer::Password;
use lbcore::service::{NodeName, ServiceKey};

use super::field::Fields;
use super::seeming::is_old_format;

/// The label that says to which Service a slice belongs.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Whether an endpoint can serve ([ANN-20]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Readiness {
    /// It is ready, or says nothing about it, or serves while it terminates.
    Usable,
    /// It cannot.
    Unusable,
}

/// One endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The node it runs on; one without counts for policy Cluster only ([ANN-24]).
    pub node: Option<NodeName>,
    /// Whether it can serve.
    pub readiness: Readiness,
    /// Its addresses as written; BGP wants at least one ([ANN-22]).
    pub addresses: Vec<String>,
}

/// Reads a Node.
pub(super) fn node(name: NodeName, labels: Labels, root: &mut Fields<'_>) -> Node {
    let mut network = NetworkCondition::Available;
    for mut condition in root.child("status").children("conditions") {
        let (condition_type, status) = (condition.text("type"), condition.text("status"));
        if condition_type.as_deref() == Some("NetworkUnavailable") && status.as_deref() == Some("True") {
            network = NetworkCondition::Unavailable;
        }
    }
    Node { name, labels, network }
}

/// Reads an EndpointSlice: the Service that it belongs to, and its endpoints. A slice without the label belongs to none.
pub(super) fn endpoint_slice(
    namespace: &str,
    labels: &Labels,
    root: &mut Fields<'_>,
) -> Option<(ServiceKey, Vec<Endpoint>)> {
    let endpoints = root.children("endpoints").into_iter().map(|mut fields| {
        let mut conditions = fields.child("conditions");
        let (ready, serving) = (conditions.boolean("ready"), conditions.boolean("serving"));
        let usable = ready != Some(false) || serving == Some(true);
        Endpoint {
            node: fields.text("nodeName").and_then(|name| NodeName::new(name).ok()),
            readiness: if usable { Readiness::Usable } else { Readiness::Unusable },
            addresses: fields.texts("addresses"),
        }
    });
    let endpoints = endpoints.collect();
    let key = ServiceKey::new(namespace, labels.get(SERVICE_NAME)?).ok()?;
    Some((key, endpoints))
}

/// Reads a Secret as far as peers need it ([CFG-24]). `stringData` wins over `data`, as it does in the API server.
pub(super) fn secret(root: &mut Fields<'_>) -> RawSecret {
    let secret_type = root.text("type").unwrap_or_default();
    let plain = root.text_map("stringData");
    let encoded: BTreeMap<String, String> = root.text_map("data");
    let decoded = encoded.get("password").and_then(|text| {
        // Line breaks within the value are no fault to the API server.
        let text: String = text.split_ascii_whitespace().collect();
        let octets = STANDARD.decode(text).ok();
        if octets.is_none() {
            let message = "the value is not base64".to_owned();
            let fix = "encode it with base64, or write it as it is under stringData";
            root.findings().add(Severity::Error, Category::Schema, "data.password", message, fix);
        }
        octets
    });
    let password = plain.get("password").map(|text| text.clone().into_bytes()).or(decoded).map(Password::new);
    RawSecret { secret_type, password }
}

/// Whether a ConfigMap holds the configuration of releases before custom resources; then a warning says what to do.
pub(super) fn warn_of_legacy_config_map(root: &Fields<'_>) {
    let is_legacy = root.peek_text("data", "config").is_some_and(is_old_format);
    if is_legacy {
        let message = "this is a configuration in the old ConfigMap format; it is not read".to_owned();
        let fix = "turn it into resources with `ferrule convert`";
        root.findings().add(Severity::Warning, Category::Schema, "data.config", message, fix);
    }
}
