//! Kubernetes objects to the values of lbcore: the only place where both meet.
//!
//! Only the types of values are judged here (`field`); their ranges and the rules between objects are lbcore's. Every problem
//! is collected, and carries as its [`Origin`] the index of its document.

mod cluster;
mod duration;
pub(crate) mod field;
mod kind;
mod likely;
mod policy;
mod resource;
mod seeming;
mod service;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

use lbcore::config::{Category, ObjectRef, Origin, Problem, Raw, RawConfig, Severity};
use lbcore::labels::Labels;
use lbcore::service::{NodeName, ServiceKey};
use serde_json::Value;

pub use cluster::{Endpoint, Readiness};
pub use duration::parse_duration;
use field::{Fields, Findings};
use kind::{Core, Kind, Ours, kind_of};
use likely::Likely;
use seeming::Seeming;
pub use service::ServiceObject;
#[cfg(all(test, feature = "hosts"))]
pub(crate) use time::parse_time;

use crate::manifest::{Document, OddityKind};
use crate::names::{self, NameError};

/// Everything that the documents describe.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    /// Pools, advertisements, peers and the rest, with nodes and namespaces.
    pub config: RawConfig,
    /// The Services of every type and class, in the order read.
    pub services: Vec<ServiceObject>,
    /// The endpoints of each Service that has a slice at all, of all slices together ([ANN-21]).
    pub endpoints: BTreeMap<ServiceKey, Vec<Endpoint>>,
    /// What is wrong with the objects each for itself; the origin is the index of the document.
    pub problems: Vec<Problem>,
}

/// The identity of the object in a document; empty texts where it has no kind or name.
pub fn object_of(document: &Document, origin: Origin, namespace: &str) -> ObjectRef {
    let text = |name: &str| document.value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    identity(document, &kind_of(api_version, kind), kind, origin, namespace)
}

/// Reads the objects of all documents. `namespace` is where objects of `metallb.io` and `ferrule.io` and Secrets without a namespace are.
pub fn objects(documents: &[Document], namespace: &str) -> Objects {
    let mut objects = Objects::default();
    let mut names = BTreeMap::new();
    for (index, document) in documents.iter().enumerate() {
        objects.read(document, Origin(index as u64), namespace, &mut names);
    }
    objects
}

/// Kind, namespace and name of each object read, with the document that has it.
type Names = BTreeMap<(Arc<str>, Option<Arc<str>>, Arc<str>), u64>;

impl Objects {
    fn read(&mut self, document: &Document, origin: Origin, install_namespace: &str, names: &mut Names) {
        let text = |name: &str| document.value.get(name).and_then(Value::as_str).unwrap_or_default();
        let (api_version, kind) = (text("apiVersion"), text("kind"));
        let class = kind_of(api_version, kind);
        let object = identity(document, &class, kind, origin, install_namespace);
        if matches!(class, Kind::Foreign) && !api_version.is_empty() && !kind.is_empty() {
            self.problems.extend(likely::meaning(api_version, kind).map(|likely| likely_meant(object, likely)));
            return;
        }
        let findings = Findings::of(object.clone(), document);
        let mut root = Fields::of(&findings, &document.value);
        warn_of_oddities(document, &findings);
        if !matches!(class, Kind::Foreign)
            && !document.is_of_server()
            && let Some(Seeming { field, message, fix }) = seeming::template(&document.value)
        {
            findings.add(Severity::Error, Category::Schema, &field, message, fix);
            self.problems.extend(findings.into_problems());
            return;
        }
        let mut metadata = root.child("metadata");
        let labels = metadata.text_map("labels");
        match class {
            Kind::Foreign => {
                refuse_without_kind(document, &findings);
            }
            Kind::Unknown { message, fix } => {
                findings.add(Severity::Error, Category::Schema, "kind", message, fix);
            }
            _ if object.name.is_empty() => {
                let _ = (metadata.text("name"), metadata.text("namespace"));
                refuse_without_name(document, &findings);
            }
            Kind::Ours(ours) if object.namespace.as_deref() != Some(install_namespace) => {
                // As if absent: lbcore says that it is in the wrong place, and what else is wrong with it harms nobody.
                self.read_ours(ours, object, labels, root);
                return;
            }
            Kind::Ours(ours) => {
                let _ = metadata.text("namespace");
                check_names(&object, names::subdomain, &findings);
                self.read_ours(ours, object, labels, root);
            }
            Kind::Core(core) => {
                let _ = metadata.text("namespace");
                check_names(&object, core.name_rule(), &findings);
                let foreign_secret = core == Core::Secret && object.namespace.as_deref() != Some(install_namespace);
                let key = (Arc::clone(&object.kind), object.namespace.clone(), Arc::clone(&object.name));
                match names.insert(key, origin.0) {
                    Some(_) => {
                        let message = format!("{object} stands twice in the input");
                        let fix = "remove or rename one of the two";
                        findings.add(Severity::Error, Category::DuplicateName, "metadata.name", message, fix);
                    }
                    None if foreign_secret => {}
                    None => self.read_core(core, object, labels, &mut root),
                }
            }
        }
        self.problems.extend(findings.into_problems());
    }

    fn read_ours(&mut self, ours: Ours, object: ObjectRef, labels: Labels, mut root: Fields<'_>) {
        for name in ["apiVersion", "kind", "metadata", "status"] {
            root.pass_over(name);
        }
        let spec = root.child("spec");
        match ours {
            Ours::AddressReservation => {
                self.config.address_reservations.push(Raw { object, labels, spec: policy::reservation(spec) });
            }
            Ours::PoolPolicy => {
                self.config.pool_policies.push(Raw { object, labels, spec: policy::pool_policy(spec) });
            }
            Ours::BfdProfile => {
                self.config.bfd_profiles.push(Raw { object, labels, spec: resource::bfd_profile(spec) });
            }
            Ours::BgpAdvertisement => {
                self.config.bgp_advertisements.push(Raw { object, labels, spec: resource::bgp_advertisement(spec) });
            }
            Ours::BgpPeer => self.config.peers.push(Raw { object, labels, spec: resource::peer(spec) }),
            Ours::BgpPeerV1Beta1 => {
                let message = "version v1beta1 of BGPPeer is deprecated".to_owned();
                let fix = "write metallb.io/v1beta2; the fields keep their names";
                root.findings().add(Severity::Warning, Category::Schema, "apiVersion", message, fix);
                self.config.peers.push(Raw { object, labels, spec: resource::peer_v1beta1(spec) });
            }
            Ours::Community => self.config.communities.push(Raw { object, labels, spec: resource::community(spec) }),
            Ours::IpAddressPool => self.config.pools.push(Raw { object, labels, spec: resource::pool(spec) }),
            Ours::L2Advertisement => {
                self.config.l2_advertisements.push(Raw { object, labels, spec: resource::l2_advertisement(spec) });
            }
            Ours::Status => {}
        }
        root.warn_unknown();
    }

    fn read_core(&mut self, core: Core, object: ObjectRef, labels: Labels, root: &mut Fields<'_>) {
        let namespace = object.namespace.clone().unwrap_or_default();
        match core {
            Core::ConfigMap => cluster::warn_of_legacy_config_map(root),
            Core::EndpointSlice => {
                if let Some((key, endpoints)) = cluster::endpoint_slice(&namespace, &labels, root) {
                    self.endpoints.entry(key).or_default().extend(endpoints);
                }
            }
            Core::Namespace => {
                self.config.namespaces.insert(object.name.to_string(), labels);
            }
            Core::Node => {
                if let Ok(name) = NodeName::new(object.name) {
                    self.config.nodes.push(cluster::node(name, labels, root));
                }
            }
            Core::Secret => {
                let spec = cluster::secret(root);
                self.config.secrets.push(Raw { object, labels, spec });
            }
            Core::Service => match ServiceKey::new(&namespace, &object.name) {
                Ok(key) => self.services.push(service::service(key, object, labels, root)),
                Err(error) => {
                    let fix = "correct metadata.namespace and metadata.name";
                    let message = error.to_string();
                    root.findings().add(Severity::Error, Category::Schema, "metadata.namespace", message, fix);
                }
            },
        }
    }
}

fn identity(document: &Document, class: &Kind, kind: &str, origin: Origin, install_namespace: &str) -> ObjectRef {
    let metadata = |name: &str| document.value.get("metadata")?.get(name)?.as_str().filter(|text| !text.is_empty());
    let default = match class {
        Kind::Core(Core::Node | Core::Namespace) => None,
        Kind::Core(Core::Service | Core::EndpointSlice | Core::ConfigMap) | Kind::Foreign => Some("default"),
        Kind::Core(Core::Secret) | Kind::Ours(_) | Kind::Unknown { .. } => Some(install_namespace),
    };
    ObjectRef {
        kind: kind.into(),
        namespace: default.map(|default| metadata("namespace").unwrap_or(default).into()),
        name: metadata("name").unwrap_or_default().into(),
        origin,
    }
}

/// Names that the API server refuses.
fn check_names(object: &ObjectRef, name_rule: fn(&str) -> Result<(), NameError>, findings: &Findings) {
    // A node with capitals is surely a mistake, and harms nobody: it is one that never speaks.
    let is_harmless = &*object.kind == "Node" && names::subdomain(&object.name.to_ascii_lowercase()).is_ok();
    let severity = if is_harmless { Severity::Warning } else { Severity::Error };
    let parts = [
        ("metadata.name", Some(name_rule(&object.name))),
        ("metadata.namespace", object.namespace.as_deref().map(names::label)),
    ];
    for (field, judged) in parts {
        if let Some(Err(error)) = judged {
            let message = format!("the API server takes no such name: {error}");
            findings.add(severity, Category::Schema, field, message, "give it another name");
        }
    }
}

/// An object without a name, unless what stands there is told already.
fn refuse_without_name(document: &Document, findings: &Findings) {
    let name = match document.value.get("metadata") {
        None | Some(Value::Null) => None,
        Some(Value::Object(metadata)) => metadata.get("name"),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => return,
    };
    if matches!(name, None | Some(Value::Null | Value::String(_))) {
        let is_outside = document.value.get("name").is_some_and(Value::is_string);
        let fix = if is_outside { "indent the name, so that it stands in metadata" } else { "set metadata.name" };
        let message = "the object has no name".to_owned();
        findings.add(Severity::Error, Category::MissingField, "metadata.name", message, fix);
    }
}

/// A document that says not what kind of object it is.
fn refuse_without_kind(document: &Document, findings: &Findings) {
    if let Some(Seeming { field, message, fix }) = seeming::without_kind(&document.value) {
        findings.add(Severity::Error, Category::Schema, &field, message, fix);
        return;
    }
    let text = |name: &str| document.value.get(name).and_then(Value::as_str).unwrap_or_default();
    let (field, version) =
        if text("apiVersion").is_empty() { ("apiVersion", likely::version_of(text("kind"))) } else { ("kind", None) };
    let fix = match version {
        Some(version) => format!("write apiVersion: {version}"),
        None => "write the apiVersion and kind of the object; every document needs both".to_owned(),
    };
    let message = match document.value.get(field) {
        None | Some(Value::Null) => format!("the document has no {field}"),
        Some(_) => format!("the {field} of the document is no text"),
    };
    findings.add(Severity::Error, Category::MissingField, field, message, &fix);
}

fn likely_meant(object: ObjectRef, likely: Likely) -> Problem {
    let Likely { field, message, fix } = likely;
    let (severity, category) = (Severity::Warning, Category::Schema);
    Problem { severity, category, object: Some(object), field: field.to_owned(), message, fix }
}

fn warn_of_oddities(document: &Document, findings: &Findings) {
    for oddity in &document.oddities {
        let (category, message, fix) = match &oddity.kind {
            OddityKind::DuplicateKey { first } => {
                let message = format!("the key stands twice in one map, here and on line {first}; the last one counts");
                (Category::DuplicateEntry, message, "remove one of the two")
            }
            OddityKind::Letter { .. } => continue,
            OddityKind::Tag { name } => {
                (Category::Schema, format!("the tag !{name} has no meaning here and is left out"), "remove the tag")
            }
        };
        findings.add(Severity::Warning, category, &oddity.field, message, fix);
    }
}

#[cfg(test)]
mod tests;
