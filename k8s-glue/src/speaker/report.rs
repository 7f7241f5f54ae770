//! The objects in which this node says what it announces: `ServiceL2Status` ([STAT-1] to [STAT-9]) and `ServiceBGPStatus` ([STAT-20] to
//! [STAT-24]).
//!
//! Pure and level-driven: what shall be said, what stands there, and the one write that comes first. An object has a name that follows
//! from node and Service, so that a creation whose answer was lost cannot make a second one.

use std::collections::{BTreeMap, BTreeSet};

use lbcore::service::ServiceKey;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use crate::cluster::configuration_state::{OwnPod, label_value};
use crate::cluster::watch::Kind;

/// Label with the node.
pub(crate) const NODE_LABEL: &str = "metallb.io/node";
const NAME_LABEL: &str = "metallb.io/service-name";
const NAMESPACE_LABEL: &str = "metallb.io/service-namespace";

/// One of the two kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportKind {
    Bgp,
    Layer2,
}

impl ReportKind {
    /// As it is watched.
    pub(crate) const fn kind(self) -> Kind {
        match self {
            Self::Bgp => Kind::ServiceBgpStatus,
            Self::Layer2 => Kind::ServiceL2Status,
        }
    }

    const fn prefix(self) -> &'static str {
        match self {
            Self::Bgp => "bgp-",
            Self::Layer2 => "l2-",
        }
    }

    /// The field that lists peers or links, as the API has it.
    fn detail(self, names: &[String]) -> (&'static str, Value) {
        match self {
            Self::Bgp => ("peers", json!(names)),
            Self::Layer2 => {
                ("interfaces", names.iter().map(|name| json!({"name": name})).collect::<Vec<Value>>().into())
            }
        }
    }
}

/// What is written into the objects of one kind of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Author {
    pub(crate) kind: ReportKind,
    pub(crate) namespace: String,
    pub(crate) node: String,
    pub(crate) pod: OwnPod,
}

/// A write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    Create {
        name: String,
        body: Value,
    },
    /// Puts labels and owner right.
    Merge {
        name: String,
        body: Value,
    },
    Status {
        name: String,
        body: Value,
    },
    Delete {
        name: String,
    },
}

impl Write {
    /// The object that is written.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Create { name, .. }
            | Self::Merge { name, .. }
            | Self::Status { name, .. }
            | Self::Delete { name } => name,
        }
    }
}

/// An object as it stands.
#[derive(Clone, Debug)]
struct Standing {
    service: ServiceKey,
    /// As the API server numbers versions; 0 where it gives none.
    version: u64,
    object: Map<String, Value>,
}

/// What is wanted, and what stands there, of one kind.
#[derive(Debug)]
pub(crate) struct Reports {
    author: Author,
    /// What shall be said of a Service; `None`: nothing. One that is absent is not judged yet.
    wanted: BTreeMap<ServiceKey, Option<Vec<String>>>,
    /// The names of the objects of what is judged.
    names: BTreeMap<String, ServiceKey>,
    standing: BTreeMap<String, Standing>,
    of_service: BTreeMap<ServiceKey, BTreeSet<String>>,
    /// Those with an object and nothing wanted: kept, because it is asked for at each report, and empty nearly always.
    unjudged: BTreeSet<ServiceKey>,
    due: BTreeSet<ServiceKey>,
    is_listed: bool,
}

impl Reports {
    /// Nothing wanted, nothing seen.
    pub(crate) const fn new(author: Author) -> Self {
        Self {
            author,
            wanted: BTreeMap::new(),
            names: BTreeMap::new(),
            standing: BTreeMap::new(),
            of_service: BTreeMap::new(),
            unjudged: BTreeSet::new(),
            due: BTreeSet::new(),
            is_listed: false,
        }
    }

    /// Who writes.
    pub(crate) const fn author(&self) -> &Author {
        &self.author
    }

    /// What shall be said of a Service from now on: links or peers, or nothing.
    pub(crate) fn handle_wanted(&mut self, service: ServiceKey, wanted: Option<Vec<String>>) {
        if self.wanted.get(&service) == Some(&wanted) {
            return;
        }
        // What says nothing of a Service that stands nowhere needs no memory.
        if wanted.is_none() && !self.of_service.contains_key(&service) && !self.wanted.contains_key(&service) {
            return;
        }
        self.names.insert(self.name_of(&service), service.clone());
        self.unjudged.remove(&service);
        self.wanted.insert(service.clone(), wanted);
        self.due.insert(service);
    }

    /// Every object has been seen; only from then on is anything written.
    pub(crate) const fn handle_listed(&mut self) {
        self.is_listed = true;
    }

    /// The Services that an object speaks of and that nobody has judged yet.
    pub(crate) fn unjudged(&self) -> Vec<ServiceKey> {
        let is_unjudged = |service: &&ServiceKey| !self.wanted.contains_key(*service);
        debug_assert!(self.unjudged.iter().eq(self.of_service.keys().filter(is_unjudged)), "kept in step");
        self.unjudged.iter().cloned().collect()
    }

    /// Whether something shall be said of the Service.
    pub(crate) fn wants(&self, service: &ServiceKey) -> bool {
        matches!(self.wanted.get(service), Some(Some(_)))
    }

    /// Whether an object of this node stands there for the Service.
    pub(crate) fn has(&self, service: &ServiceKey) -> bool {
        self.of_service.contains_key(service)
    }

    /// An object is as given, or gone. An older version than the one known says nothing.
    pub(crate) fn handle_object(&mut self, name: &str, object: Option<Map<String, Value>>) {
        let Some(object) = object else { return self.forget(name) };
        let version = version_of(&object);
        if self.standing.get(name).is_some_and(|known| version != 0 && version < known.version) {
            return;
        }
        let Some(service) = self.service_of(name, &object) else { return self.forget(name) };
        self.forget(name);
        self.stand(name.to_owned(), Standing { service, version, object });
    }

    fn stand(&mut self, name: String, standing: Standing) {
        let service = &standing.service;
        self.of_service.entry(service.clone()).or_default().insert(name.clone());
        if !self.wanted.contains_key(service) {
            self.unjudged.insert(service.clone());
        }
        self.due.insert(service.clone());
        self.standing.insert(name, standing);
    }

    fn forget(&mut self, name: &str) {
        let Some(standing) = self.standing.remove(name) else { return };
        if let Some(names) = self.of_service.get_mut(&standing.service) {
            names.remove(name);
            if names.is_empty() {
                self.of_service.remove(&standing.service);
                self.unjudged.remove(&standing.service);
            }
        }
        self.due.insert(standing.service);
    }

    /// The Service that an object of this node speaks of; `None` for one of another node.
    fn service_of(&self, name: &str, object: &Map<String, Value>) -> Option<ServiceKey> {
        if let Some(service) = self.names.get(name) {
            return Some(service.clone());
        }
        let status = object.get("status");
        let status = |key: &str| status.and_then(|status| status.get(key)?.as_str());
        let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
        let label = |key: &str| labels.and_then(|labels| labels.get(key)?.as_str());
        let is_own = match status("node") {
            Some(node) => node == self.author.node,
            None => label(NODE_LABEL) == Some(label_value(&self.author.node).as_str()),
        };
        let namespace = status("serviceNamespace").or_else(|| label(NAMESPACE_LABEL))?;
        let service = status("serviceName").or_else(|| label(NAME_LABEL))?;
        is_own.then(|| ServiceKey::new(namespace, service).ok()).flatten()
    }

    /// The Services that may need a write, each once until something changes.
    pub(crate) fn take_due(&mut self, most: usize) -> Vec<ServiceKey> {
        if !self.is_listed {
            return Vec::new();
        }
        let taken: Vec<ServiceKey> = self.due.iter().take(most).cloned().collect();
        for service in &taken {
            self.due.remove(service);
        }
        taken
    }

    /// The Service has to be looked at again.
    pub(crate) fn make_due(&mut self, service: ServiceKey) {
        self.due.insert(service);
    }

    /// The write that comes first for a Service; `None` where everything is as it shall be, or nobody has judged it.
    pub(crate) fn next_write(&mut self, service: &ServiceKey) -> Option<Write> {
        let wanted = self.wanted.get(service)?;
        let name = self.name_of(service);
        let others = self.of_service.get(service).into_iter().flatten();
        let Some(details) = wanted else {
            let first = others.into_iter().next().cloned();
            if first.is_none() {
                self.wanted.remove(service);
                self.names.remove(&name);
            }
            return first.map(|name| Write::Delete { name });
        };
        match self.standing.get(&name) {
            None => return Some(Write::Create { body: self.body(service, &name), name }),
            Some(standing) if !self.is_labelled(service, &standing.object) => {
                let metadata = self.metadata(service);
                return Some(Write::Merge { name, body: json!({ "metadata": metadata }) });
            }
            Some(standing) if !self.says(service, details, &standing.object) => {
                return Some(Write::Status { body: self.status(service, &name, details), name });
            }
            Some(_) => {}
        }
        let redundant = others.into_iter().find(|other| **other != name)?;
        Some(Write::Delete { name: redundant.clone() })
    }

    /// A write was carried out; `version` is what the object has now.
    pub(crate) fn handle_written(&mut self, service: &ServiceKey, write: &Write, version: &str) {
        let name = write.name().to_owned();
        let version = version.parse().unwrap_or_default();
        let mut object = self.standing.get(&name).map(|standing| standing.object.clone()).unwrap_or_default();
        match write {
            Write::Delete { .. } => return self.forget(&name),
            Write::Create { body, .. } | Write::Merge { body, .. } => {
                let metadata = body.get("metadata").cloned().unwrap_or_default();
                object.insert("metadata".to_owned(), metadata);
            }
            Write::Status { body, .. } => {
                object.insert("status".to_owned(), body.get("status").cloned().unwrap_or_default());
            }
        }
        self.stand(name, Standing { service: service.clone(), version, object });
    }

    /// The name of this node's object for a Service.
    pub(crate) fn name_of(&self, service: &ServiceKey) -> String {
        let digest = Sha256::digest(format!("{}/{service}", self.author.node).as_bytes());
        let number = digest.iter().take(8).fold(0_u64, |number, octet| number << 8 | u64::from(*octet));
        format!("{}{number:016x}", self.author.kind.prefix())
    }

    fn labels(&self, service: &ServiceKey) -> Value {
        json!({
            NODE_LABEL: label_value(&self.author.node),
            NAME_LABEL: service.name(),
            NAMESPACE_LABEL: service.namespace(),
        })
    }

    fn metadata(&self, service: &ServiceKey) -> Value {
        json!({"labels": self.labels(service), "ownerReferences": [self.author.pod.reference()]})
    }

    fn body(&self, service: &ServiceKey, name: &str) -> Value {
        let mut metadata = self.metadata(service);
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("name".to_owned(), name.into());
            metadata.insert("namespace".to_owned(), self.author.namespace.as_str().into());
        }
        json!({"apiVersion": "metallb.io/v1beta1", "kind": self.author.kind.kind().as_str(), "metadata": metadata, "spec": {}})
    }

    fn status(&self, service: &ServiceKey, name: &str, details: &[String]) -> Value {
        let (field, list) = self.author.kind.detail(details);
        json!({
            "apiVersion": "metallb.io/v1beta1",
            "kind": self.author.kind.kind().as_str(),
            "metadata": {"name": name, "namespace": self.author.namespace},
            "status": {
                "node": self.author.node,
                "serviceName": service.name(),
                "serviceNamespace": service.namespace(),
                field: list,
            },
        })
    }

    fn is_labelled(&self, service: &ServiceKey, object: &Map<String, Value>) -> bool {
        let Some(metadata) = object.get("metadata") else { return false };
        let labels = self.labels(service);
        let has =
            |(key, value): (&String, &Value)| metadata.get("labels").and_then(|labels| labels.get(key)) == Some(value);
        let owners = metadata.get("ownerReferences").and_then(Value::as_array);
        let is_owned = owners.is_some_and(|owners| {
            owners.iter().any(|owner| owner.get("uid").and_then(Value::as_str) == Some(self.author.pod.uid.as_str()))
        });
        is_owned && labels.as_object().is_some_and(|labels| labels.iter().all(has))
    }

    fn says(&self, service: &ServiceKey, details: &[String], object: &Map<String, Value>) -> bool {
        let Some(status) = object.get("status") else { return false };
        let text = |key: &str| status.get(key).and_then(Value::as_str);
        let (field, list) = self.author.kind.detail(details);
        let stands = status.get(field).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        text("node") == Some(self.author.node.as_str())
            && text("serviceName") == Some(service.name())
            && text("serviceNamespace") == Some(service.namespace())
            && stands == list
    }
}

/// Whether an object says that another node announces the Service: what the owner takes away ([STAT-4]).
pub(crate) fn is_of_another(object: &Map<String, Value>, node: &str) -> bool {
    object.get("status").and_then(|status| status.get("node")?.as_str()).is_some_and(|other| other != node)
}

/// Chooses the objects of one Service, whoever wrote them.
pub(crate) fn selector_of(service: &ServiceKey) -> String {
    format!("{NAME_LABEL}={},{NAMESPACE_LABEL}={}", service.name(), service.namespace())
}

/// The Service that an object says it is about.
pub(crate) fn subject_of(object: &Map<String, Value>) -> Option<ServiceKey> {
    let text = |key: &str| object.get("status")?.get(key)?.as_str();
    ServiceKey::new(text("serviceNamespace")?, text("serviceName")?).ok()
}

fn version_of(object: &Map<String, Value>) -> u64 {
    let version = object.get("metadata").and_then(|metadata| metadata.get("resourceVersion")?.as_str());
    version.and_then(|version| version.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
