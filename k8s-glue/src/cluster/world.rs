//! The watched objects folded into one view. Each change says what it touches, and nothing where nothing that counts has changed.
//!
//! Services and endpoints are kept in the form that decisions need, not as objects: ten thousand of them cost megabytes, not hundreds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::config::{Problem, RawConfig};
use lbcore::converge::ServiceKind;
use lbcore::decide::ServiceFacts;
use lbcore::labels::Labels;
use lbcore::node::Node;
use lbcore::service::{NodeName, ServiceKey};
use serde_json::{Map, Value};

use super::watch::{Kind, ObjectName, Seen, Trouble};
use crate::convert::{self, Endpoint, ServiceObject};
use crate::manifest::Document;
use crate::plan::snapshot::facts;

pub(crate) use crate::names::{POOL, POOL_BEFORE};

/// What the annotations of a Service begin with that mean something here.
const OUR_ANNOTATIONS: [&str; 2] = ["metallb.io/", "metallb.universe.tf/"];

/// A Service, and what a write of its status needs beside what decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SeenService {
    /// The Service as decisions see it; of its annotations those of MetalLB.
    pub(crate) object: ServiceObject,
    uid: Box<str>,
    version: Box<str>,
    /// `metadata` and `status` as one JSON text: they are needed whole when the status is written, and never otherwise.
    written_parts: Box<str>,
}

impl SeenService {
    /// The version of the object that was seen; empty where the server gives none.
    pub(crate) fn resource_version(&self) -> &str {
        &self.version
    }

    /// The pool that its recorded addresses are from; `None` where it has none.
    pub(crate) fn recorded_pool(&self) -> Option<&str> {
        let object = &self.object;
        let is_served = object.service_kind == ServiceKind::LoadBalancer && !object.recorded.is_empty();
        let pool = object.annotations.get(POOL).or_else(|| object.annotations.get(POOL_BEFORE));
        pool.filter(|_| is_served).map(String::as_str)
    }

    /// The identity of the object over its life.
    pub(crate) fn uid(&self) -> &str {
        &self.uid
    }

    /// `metadata` (without `managedFields`) and `status`, as they were seen; empty where the view does not keep them.
    pub(crate) fn written_parts(&self) -> (Map<String, Value>, Map<String, Value>) {
        // It was written by us.
        serde_json::from_str(&self.written_parts).unwrap_or_default()
    }
}

/// Whether Services are kept with what a write of their status needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum WrittenParts {
    /// They are read only.
    #[default]
    Dropped,
    Kept,
}

/// What a change touches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Touched {
    /// Nothing that counts.
    Nothing,
    /// An object of the configuration: pools, advertisements, peers, profiles, communities, Secrets; or labels of a namespace.
    Configuration,
    /// The status of a pool was changed, and nothing else of it.
    PoolStatus(String),
    /// The status of a policy for pools was changed, and nothing else of it.
    PolicyStatus(String),
    /// A node came, went, or its labels or its network condition changed.
    Node(NodeName),
    /// A Service came, changed or went.
    Service(ServiceKey),
    /// The endpoints of a Service changed.
    Endpoints(ServiceKey),
    /// An object that programs write.
    Report(Kind, ObjectName),
    /// Every watched object of the kind is known now, for the first time or again.
    Complete(Kind),
    /// The watch of the kind is in trouble.
    Trouble(Kind, Trouble),
}

/// Everything seen.
#[derive(Debug, Default)]
pub(crate) struct World {
    install_namespace: Arc<str>,
    written_parts: WrittenParts,
    ours: BTreeMap<(Kind, ObjectName), Document>,
    namespaces: BTreeMap<String, Labels>,
    nodes: BTreeMap<NodeName, Node>,
    services: BTreeMap<ServiceKey, Arc<SeenService>>,
    slices: BTreeMap<ObjectName, (ServiceKey, Vec<Endpoint>)>,
    slices_of: BTreeMap<ServiceKey, BTreeSet<ObjectName>>,
    reports: BTreeMap<(Kind, ObjectName), Map<String, Value>>,
    /// Kinds being listed, with what has come of them.
    listing: BTreeMap<Kind, BTreeSet<ObjectName>>,
    complete: BTreeSet<Kind>,
}

impl World {
    /// Nothing seen yet.
    pub(crate) fn new(install_namespace: &str) -> Self {
        Self { install_namespace: install_namespace.into(), ..Self::default() }
    }

    /// Nothing seen yet; Services will be kept so that their status can be written.
    pub(crate) fn for_writer(install_namespace: &str) -> Self {
        Self { written_parts: WrittenParts::Kept, ..Self::new(install_namespace) }
    }

    /// Takes in one thing seen; the end of a list may touch much.
    pub(crate) fn fold(&mut self, seen: Seen) -> Vec<Touched> {
        match seen {
            Seen::Began(kind) => {
                self.listing.insert(kind, BTreeSet::new());
                Vec::new()
            }
            Seen::Object(kind, name, value) => {
                if let Some(listed) = self.listing.get_mut(&kind) {
                    listed.insert(name.clone());
                }
                self.apply(kind, name, value)
            }
            Seen::Gone(kind, name) => vec![self.delete(kind, &name)],
            Seen::Complete(kind) => {
                let mut touched = self.forget_unlisted(kind);
                self.complete.insert(kind);
                touched.push(Touched::Complete(kind));
                touched
            }
            Seen::Trouble(kind, trouble) => vec![Touched::Trouble(kind, trouble)],
        }
    }

    fn forget_unlisted(&mut self, kind: Kind) -> Vec<Touched> {
        let Some(listed) = self.listing.remove(&kind) else { return Vec::new() };
        let gone: Vec<ObjectName> = self.names(kind).into_iter().filter(|name| !listed.contains(name)).collect();
        gone.iter().map(|name| self.delete(kind, name)).collect()
    }

    fn names(&self, kind: Kind) -> Vec<ObjectName> {
        let plain = |name: &str| ObjectName { namespace: String::new(), name: name.to_owned() };
        match kind {
            Kind::Namespace => self.namespaces.keys().map(|name| plain(name)).collect(),
            Kind::Node => self.nodes.keys().map(|name| plain(name.as_str())).collect(),
            Kind::Service => self.services.keys().map(object_name).collect(),
            Kind::EndpointSlice => self.slices.keys().cloned().collect(),
            Kind::ConfigurationState | Kind::ServiceBgpStatus | Kind::ServiceL2Status => {
                self.reports.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect()
            }
            Kind::AddressReservation
            | Kind::BfdProfile
            | Kind::BgpAdvertisement
            | Kind::BgpPeer
            | Kind::Community
            | Kind::IpAddressPool
            | Kind::L2Advertisement
            | Kind::PoolPolicy
            | Kind::Secret => self.ours.keys().filter(|(of, _)| *of == kind).map(|(_, name)| name.clone()).collect(),
        }
    }

    fn apply(&mut self, kind: Kind, name: ObjectName, value: Map<String, Value>) -> Vec<Touched> {
        let touched = match kind {
            Kind::ConfigurationState | Kind::ServiceBgpStatus | Kind::ServiceL2Status => {
                self.reports.insert((kind, name.clone()), value);
                Touched::Report(kind, name)
            }
            Kind::Namespace => {
                let labels = self.read(value).config.namespaces.pop_first().map(|(_, labels)| labels);
                let labels = labels.unwrap_or_default();
                let before = self.namespaces.insert(name.name, labels.clone());
                if before == Some(labels) { Touched::Nothing } else { Touched::Configuration }
            }
            Kind::Node => {
                let Some(node) = self.read(value).config.nodes.pop() else { return Vec::new() };
                let name = node.name.clone();
                let before = self.nodes.insert(name.clone(), node.clone());
                if before.as_ref() == Some(&node) { Touched::Nothing } else { Touched::Node(name) }
            }
            Kind::Service => self.apply_service(&name, value),
            Kind::EndpointSlice => return self.apply_slice(name, value),
            Kind::AddressReservation
            | Kind::BfdProfile
            | Kind::BgpAdvertisement
            | Kind::BgpPeer
            | Kind::Community
            | Kind::IpAddressPool
            | Kind::L2Advertisement
            | Kind::PoolPolicy
            | Kind::Secret => self.apply_ours(kind, name, value),
        };
        vec![touched]
    }

    fn read(&self, value: Map<String, Value>) -> convert::Objects {
        convert::objects(&[Document::of_server(value)], &self.install_namespace)
    }

    fn apply_ours(&mut self, kind: Kind, name: ObjectName, value: Map<String, Value>) -> Touched {
        let place = (kind, name);
        let before = self.ours.get(&place);
        let touched = match before {
            Some(before)
                if is_same_but_for(&before.value, &value, &["metadata", "status"])
                    && same_labels(&before.value, &value) =>
            {
                let is_status = before.value.get("status") != value.get("status");
                if is_status && kind == Kind::IpAddressPool {
                    Touched::PoolStatus(place.1.name.clone())
                } else if is_status && kind == Kind::PoolPolicy {
                    Touched::PolicyStatus(place.1.name.clone())
                } else {
                    Touched::Nothing
                }
            }
            Some(_) | None => Touched::Configuration,
        };
        self.ours.insert(place, Document::of_server(value));
        touched
    }

    fn apply_service(&mut self, name: &ObjectName, value: Map<String, Value>) -> Touched {
        let text = |name: &str| {
            let text = value.get("metadata").and_then(|metadata| metadata.get(name)?.as_str());
            Box::from(text.unwrap_or_default())
        };
        let (uid, version) = (text("uid"), text("resourceVersion"));
        let written_parts = match self.written_parts {
            WrittenParts::Dropped => Box::default(),
            WrittenParts::Kept => {
                let part = |name: &str| value.get(name).and_then(Value::as_object).cloned().unwrap_or_default();
                // Maps of JSON always become a text.
                serde_json::to_string(&(part("metadata"), part("status"))).unwrap_or_default().into_boxed_str()
            }
        };
        let Some(mut object) = self.read(value).services.pop() else {
            // Nobody may go on with what it was before.
            return self.delete(Kind::Service, name);
        };
        let key = object.key.clone();
        object.annotations.retain(|name, _| OUR_ANNOTATIONS.iter().any(|prefix| name.starts_with(prefix)));
        if object.service_kind == ServiceKind::Other && object.recorded.is_empty() && object.annotations.is_empty() {
            // Most Services of a cluster: nobody has anything to do with them.
            return match self.services.remove(&key) {
                Some(_) => Touched::Service(key),
                None => Touched::Nothing,
            };
        }
        let seen = SeenService { object, uid, version, written_parts };
        self.services.insert(key.clone(), Arc::new(seen));
        Touched::Service(key)
    }

    /// A slice that goes from one Service to another touches both ([ANN-21]).
    fn apply_slice(&mut self, name: ObjectName, value: Map<String, Value>) -> Vec<Touched> {
        let Some((service, endpoints)) = self.read(value).endpoints.pop_first() else {
            return vec![self.delete(Kind::EndpointSlice, &name)];
        };
        let entry = (service.clone(), endpoints);
        let before = self.slices.insert(name.clone(), entry.clone());
        if before.as_ref() == Some(&entry) {
            return vec![Touched::Nothing];
        }
        let left = before.map(|(other, _)| other).filter(|other| *other != service);
        if let Some(other) = &left {
            self.forget_slice_of(other, &name);
        }
        self.slices_of.entry(service.clone()).or_default().insert(name);
        left.into_iter().chain([service]).map(Touched::Endpoints).collect()
    }

    fn forget_slice_of(&mut self, service: &ServiceKey, name: &ObjectName) {
        if let Some(slices) = self.slices_of.get_mut(service) {
            slices.remove(name);
            if slices.is_empty() {
                self.slices_of.remove(service);
            }
        }
    }

    fn delete(&mut self, kind: Kind, name: &ObjectName) -> Touched {
        match kind {
            Kind::ConfigurationState | Kind::ServiceBgpStatus | Kind::ServiceL2Status => {
                self.reports.remove(&(kind, name.clone()));
                Touched::Report(kind, name.clone())
            }
            Kind::Namespace => {
                self.namespaces.remove(&name.name);
                Touched::Configuration
            }
            Kind::Node => match NodeName::new(name.name.as_str()) {
                Ok(node) if self.nodes.remove(&node).is_some() => Touched::Node(node),
                Ok(_) | Err(_) => Touched::Nothing,
            },
            Kind::Service => match ServiceKey::new(&name.namespace, &name.name) {
                Ok(key) if self.services.remove(&key).is_some() => Touched::Service(key),
                Ok(_) | Err(_) => Touched::Nothing,
            },
            Kind::EndpointSlice => match self.slices.remove(name) {
                Some((service, _)) => {
                    self.forget_slice_of(&service, name);
                    Touched::Endpoints(service)
                }
                None => Touched::Nothing,
            },
            Kind::AddressReservation
            | Kind::BfdProfile
            | Kind::BgpAdvertisement
            | Kind::BgpPeer
            | Kind::Community
            | Kind::IpAddressPool
            | Kind::L2Advertisement
            | Kind::PoolPolicy
            | Kind::Secret => match self.ours.remove(&(kind, name.clone())) {
                Some(_) => Touched::Configuration,
                None => Touched::Nothing,
            },
        }
    }

    /// Whether objects of one of these kinds are being listed: what has gone meanwhile still stands here until the end of the list.
    pub(crate) fn is_listing(&self, kinds: &[Kind]) -> bool {
        kinds.iter().any(|kind| self.listing.contains_key(kind))
    }

    /// Whether every object of these kinds has been seen once.
    pub(crate) fn is_complete(&self, kinds: &[Kind]) -> bool {
        kinds.iter().all(|kind| self.complete.contains(kind))
    }

    /// The configuration as it was read, of these kinds, and what is wrong with its objects each for itself. Nodes and namespaces are
    /// in it where they are watched.
    pub(crate) fn raw_config(&self, kinds: &[Kind]) -> (RawConfig, Vec<Problem>) {
        let documents: Vec<Document> = self
            .ours
            .iter()
            .filter(|((kind, _), _)| kinds.contains(kind))
            .map(|(_, document)| document.clone())
            .collect();
        let objects = convert::objects(&documents, &self.install_namespace);
        let mut config = objects.config;
        config.nodes = self.nodes.values().cloned().collect();
        config.namespaces = self.namespaces.clone();
        (config, objects.problems)
    }

    /// The objects of a kind of the configuration as they stand.
    pub(crate) fn all_ours(&self, kind: Kind) -> impl Iterator<Item = &Map<String, Value>> {
        self.ours.iter().filter(move |((of, _), _)| *of == kind).map(|(_, document)| &document.value)
    }

    /// An object of the configuration as it stands, such as a pool with its status.
    pub(crate) fn ours(&self, kind: Kind, name: &str) -> Option<&Map<String, Value>> {
        let name = ObjectName { namespace: self.install_namespace.to_string(), name: name.to_owned() };
        self.ours.get(&(kind, name)).map(|document| &document.value)
    }

    /// The objects of a kind that programs write.
    pub(crate) fn reports(&self, kind: Kind) -> impl Iterator<Item = (&ObjectName, &Map<String, Value>)> {
        self.reports.iter().filter(move |((of, _), _)| *of == kind).map(|((_, name), value)| (name, value))
    }

    /// One object that a program wrote.
    pub(crate) fn report(&self, kind: Kind, name: &ObjectName) -> Option<&Map<String, Value>> {
        self.reports.get(&(kind, name.clone()))
    }

    /// A node.
    pub(crate) fn node(&self, name: &NodeName) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// A Service of any class: a load balancer, or one that still has something of one (a status, one of our annotations).
    pub(crate) fn service(&self, key: &ServiceKey) -> Option<&Arc<SeenService>> {
        self.services.get(key)
    }

    /// All Services in the order of their keys.
    pub(crate) fn services(&self) -> impl Iterator<Item = (&ServiceKey, &Arc<SeenService>)> {
        self.services.iter()
    }

    /// The Service with these addresses as decisions see it; of all its slices together ([ANN-21]).
    pub(crate) fn facts(&self, key: &ServiceKey, addresses: Vec<IpAddr>) -> Option<ServiceFacts> {
        let service = self.services.get(key)?;
        let slices = self.slices_of.get(key).map(|names| {
            let endpoints = names.iter().filter_map(|name| self.slices.get(name)).flat_map(|(_, endpoints)| endpoints);
            endpoints.cloned().collect::<Vec<Endpoint>>()
        });
        Some(facts(&service.object, addresses, slices.as_deref()))
    }
}

fn object_name(service: &ServiceKey) -> ObjectName {
    ObjectName { namespace: service.namespace().to_owned(), name: service.name().to_owned() }
}

fn is_same_but_for(left: &Map<String, Value>, right: &Map<String, Value>, ignored: &[&str]) -> bool {
    let counted = |map: &'_ Map<String, Value>| {
        map.iter()
            .filter(|(key, _)| !ignored.contains(&key.as_str()))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect::<BTreeMap<String, Value>>()
    };
    counted(left) == counted(right)
}

fn same_labels(left: &Map<String, Value>, right: &Map<String, Value>) -> bool {
    let labels = |map: &'_ Map<String, Value>| map.get("metadata").and_then(|metadata| metadata.get("labels")).cloned();
    labels(left) == labels(right)
}

#[cfg(test)]
mod tests;
