//! The program under test with the objects around it, as a cluster would have them: documents with their recorded status.
//!
//! Everything that decides is the library's; this file only applies and deletes objects, records outcomes, and repeats until nothing
//! changes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_glue::convert::{Objects, ServiceObject};
use k8s_glue::load::{self, Loaded};
use k8s_glue::manifest::{Document, Manifests};
use k8s_glue::plan::{self, PlanSettings, PlannedError};
use lbcore::addresses::parse_address;
use lbcore::allocator::Allocator;
use lbcore::config::salvage::{Salvaged, salvage};
use lbcore::config::{Config, Level, PeerRules, RawConfig, Settings};
use lbcore::converge::{Convergence, ServiceKind, converge};
use lbcore::decide::Snapshot;
use lbcore::service::{PoolName, ServiceKey};
use lbcore::usage::PoolUsage;
use serde_json::{Value, json};

use crate::vector::{Action, Vector};

/// A Service as it ends up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The addresses in the order recorded.
    pub(crate) ips: Vec<IpAddr>,
    pub(crate) pool: Option<String>,
    pub(crate) error: Option<PlannedError>,
}

/// How often all Services are looked at before the outcome counts as unsettled.
const MAX_PASSES: usize = 20;

pub(crate) struct World {
    documents: Vec<Document>,
    settings: Settings,
    plan_settings: PlanSettings,
    allocator: Allocator,
    /// What the roles of a cluster hold in force: a faulty object's last good version, or nothing of it.
    config: Arc<Config>,
    in_force: RawConfig,
    /// Whether a pool is left out: the addresses that no other pool has may be its.
    has_refused_pool: bool,
    /// Whether the vector speaks for a backend that lacks what ours has.
    is_native: bool,
    outcomes: BTreeMap<ServiceKey, Outcome>,
}

pub(crate) fn settings_of(vector: &Vector) -> Settings {
    Settings {
        level: if vector.option("level") == "admission" { Level::Admission } else { Level::Full },
        peer_rules: if vector.option("bgpBackend") == "frr" { PeerRules::OneRouter } else { PeerRules::Independent },
        ..Settings::default()
    }
}

/// Whether the vector is of the backend that lacks most; what it refuses for that alone is accepted here.
pub(crate) fn is_native(vector: &Vector) -> bool {
    vector.option("bgpBackend") == "native"
}

pub(crate) fn read(text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"input".into(), text.as_bytes());
    manifests
}

fn names(value: Option<&Value>) -> Option<Vec<String>> {
    Some(value?.as_array()?.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
}

fn plan_settings_of(vector: &Vector) -> PlanSettings {
    let interfaces = vector.options.get("interfaces").and_then(Value::as_object);
    PlanSettings {
        standalone: false,
        load_balancer_class: vector.options.get("loadBalancerClass").and_then(Value::as_str).map(str::to_owned),
        ignore_exclude_label: vector.options.get("ignoreExcludeLB") == Some(&Value::Bool(true)),
        live_nodes: names(vector.options.get("liveSpeakers")).map(|names| names.into_iter().collect()),
        interfaces: interfaces.map(|nodes| {
            let of_node = |links: &Value| names(Some(links)).unwrap_or_default().into_iter().collect();
            nodes.iter().map(|(node, links)| (node.clone(), of_node(links))).collect()
        }),
        ..PlanSettings::default()
    }
}

/// Kind, namespace and name, as `delete` of a step writes them.
pub(crate) fn identity(document: &Document) -> String {
    let kind = document.value.get("kind").and_then(Value::as_str).unwrap_or_default();
    let metadata = |name: &str| document.value.get("metadata")?.get(name)?.as_str();
    let name = metadata("name").unwrap_or_default();
    match kind {
        "Node" | "Namespace" => format!("{kind}/{name}"),
        "Service" | "EndpointSlice" => format!("{kind}/{}/{name}", metadata("namespace").unwrap_or("default")),
        _ => format!("{kind}/{}/{name}", metadata("namespace").unwrap_or("metallb-system")),
    }
}

impl World {
    pub(crate) fn new(vector: &Vector) -> Self {
        let mut world = Self {
            documents: Vec::new(),
            settings: settings_of(vector),
            plan_settings: plan_settings_of(vector),
            allocator: Allocator::default(),
            config: Arc::default(),
            in_force: RawConfig::default(),
            has_refused_pool: false,
            is_native: is_native(vector),
            outcomes: BTreeMap::new(),
        };
        world.put(&vector.input);
        world.start();
        world
    }

    pub(crate) fn outcome(&self, service: &str) -> Option<&Outcome> {
        self.outcomes.get(&service.parse().unwrap())
    }

    pub(crate) fn recorded(&self, service: &str) -> Vec<IpAddr> {
        let document = self.documents.iter().find(|document| identity(document) == format!("Service/{service}"));
        let entries = document.map(|document| document.value.get("status").cloned().unwrap_or_default());
        let entries =
            entries.and_then(|status| status["loadBalancer"]["ingress"].as_array().cloned()).unwrap_or_default();
        entries.iter().filter_map(|entry| entry["ip"].as_str()?.parse().ok()).collect()
    }

    pub(crate) fn usage(&self, pool: &str) -> Option<PoolUsage> {
        self.allocator.usage(&PoolName::new(pool).ok()?)
    }

    pub(crate) fn load(&self) -> Loaded {
        let manifests = Manifests { documents: self.documents.clone(), ..Manifests::default() };
        load::check(manifests, &self.settings)
    }

    /// Takes over the objects as they are, as the roles of a cluster do.
    fn judge(&mut self) -> Objects {
        let Loaded { objects, .. } = self.load();
        let Salvaged { config, in_force, left_out, .. } =
            salvage(&objects.config, &objects.problems, &self.in_force, &self.settings);
        self.has_refused_pool = left_out.iter().any(|object| &*object.kind == "IPAddressPool");
        self.config = config;
        self.in_force = in_force;
        objects
    }

    /// Whether the addresses recorded for a Service may be those of a pool that is refused: they stay as they are ([CTRL-39]).
    fn is_stranded(&self, service: &ServiceObject) -> bool {
        let in_some_pool = |text: &String| {
            let address = parse_address(text);
            address.is_some_and(|address| self.config.pools().values().any(|pool| pool.pool.contains(address)))
        };
        self.has_refused_pool && !service.recorded.is_empty() && !service.recorded.iter().any(in_some_pool)
    }

    /// What decisions are made on: the recorded addresses of now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let objects = self.load().objects;
        let mut snapshot = plan::snapshot::of(&self.config, &objects, &[], &self.plan_settings);
        for service in objects.services.iter().filter(|service| self.outcomes.contains_key(&service.key)) {
            let endpoints = objects.endpoints.get(&service.key).map(Vec::as_slice);
            snapshot.set_service(plan::snapshot::facts(service, self.recorded(service.key.as_str()), endpoints));
        }
        snapshot
    }

    /// Whether less may be expected to be announced than we do: one engine has all that any backend has.
    pub(crate) const fn expects_less(&self) -> bool {
        self.is_native
    }

    pub(crate) fn plan_settings(&self) -> &PlanSettings {
        &self.plan_settings
    }

    /// Creates or replaces objects; returns the Services among them and whether there was nothing else.
    fn put(&mut self, text: &str) -> (Vec<ServiceKey>, bool) {
        let manifests = read(text);
        assert_eq!(manifests.malformed, [], "the objects of the vector cannot be read");
        let mut services = Vec::new();
        let mut only_services = true;
        for mut document in manifests.documents {
            let name = identity(&document);
            match name.strip_prefix("Service/") {
                Some(key) => services.push(key.parse().unwrap()),
                None => only_services = false,
            }
            match self.documents.iter_mut().find(|known| identity(known) == name) {
                Some(known) => {
                    if let (None, Some(status)) = (document.value.get("status"), known.value.get("status")) {
                        document.value.insert("status".to_owned(), status.clone());
                    }
                    *known = document;
                }
                None => self.documents.push(document),
            }
        }
        (services, only_services)
    }

    pub(crate) fn step(&mut self, action: &Action) {
        match action {
            Action::Apply(text) => {
                let (services, only_services) = self.put(text);
                self.settle(if only_services { &services } else { &[] });
            }
            Action::Delete(name) => {
                let before = self.documents.len();
                self.documents.retain(|document| identity(document) != *name);
                assert_ne!(before, self.documents.len(), "there is no {name} to delete");
                self.settle(&[]);
            }
            Action::Restart => {
                self.allocator = Allocator::default();
                self.in_force = RawConfig::default();
                self.start();
            }
            Action::Check => self.settle(&[]),
        }
    }

    /// What a program does that has just started.
    fn start(&mut self) {
        let mut objects = self.judge();
        self.outcomes.clear();
        objects.services.retain(|service| !self.is_stranded(service));
        let mut allocator = core::mem::take(&mut self.allocator);
        let assignments = plan::assign(&self.config, &objects, &self.plan_settings, &mut allocator).unwrap();
        self.allocator = allocator;
        for assignment in assignments {
            self.record(&assignment.state.key, assignment.state.kind, &assignment.outcome);
        }
        self.settle(&[]);
    }

    /// Takes over the objects as they are and looks at Services until nothing changes; those named first, in this order.
    fn settle(&mut self, first: &[ServiceKey]) {
        let objects = self.judge();
        self.allocator.follow(&self.config).unwrap();
        let gone: Vec<ServiceKey> = self.outcomes.keys().filter(|key| find(&objects, key).is_none()).cloned().collect();
        for key in gone {
            self.allocator.forget_by_key(&key);
            self.outcomes.remove(&key);
        }
        for key in first {
            self.look_at(key);
        }
        for _ in 0..MAX_PASSES {
            if !self.pass() {
                return;
            }
        }
        panic!("it does not settle");
    }

    /// Looks at every Service, those with the most recorded addresses first ([CTRL-12]); whether anything changed.
    fn pass(&mut self) -> bool {
        let before = self.outcomes.clone();
        let objects = self.load().objects;
        let mut services: Vec<&ServiceObject> = objects.services.iter().collect();
        services.sort_by_key(|service| (core::cmp::Reverse(service.recorded.len()), service.key.clone()));
        for service in services {
            self.look_at(&service.key);
        }
        before != self.outcomes
    }

    fn look_at(&mut self, key: &ServiceKey) {
        let objects = self.load().objects;
        let Some(service) = find(&objects, key) else { return };
        if self.is_stranded(service) && self.allocator.allocation_by_key(key).is_none() {
            return;
        }
        let ours = service.is_of_class(self.plan_settings.load_balancer_class.as_deref());
        // What holds an address in memory is handled to be released, whatever its class became ([CTRL-3]).
        if !ours && self.allocator.allocation_by_key(key).is_none() {
            self.outcomes.remove(key);
            return;
        }
        let mut state = service.state();
        if !ours {
            state.kind = ServiceKind::Other;
        }
        let outcome = converge(&mut self.allocator, &state);
        self.record(key, state.kind, &outcome);
    }

    /// Writes the outcome into the status of the Service.
    fn record(&mut self, key: &ServiceKey, kind: ServiceKind, outcome: &Convergence) {
        let ips: Vec<IpAddr> = outcome.addresses.as_ref().map(|ips| ips.as_slice().to_vec()).unwrap_or_default();
        let name = format!("Service/{key}");
        let document = self.documents.iter_mut().find(|document| identity(document) == name).unwrap();
        let ingress: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip})).collect();
        document.value.insert("status".to_owned(), json!({"loadBalancer": {"ingress": ingress}}));
        if kind == ServiceKind::Other {
            self.outcomes.remove(key);
            return;
        }
        let pool = outcome.pool.as_ref().map(ToString::to_string);
        let error = outcome.problem.as_ref().map(PlannedError::from);
        self.outcomes.insert(key.clone(), Outcome { ips, pool, error });
    }
}

fn find<'o>(objects: &'o Objects, key: &ServiceKey) -> Option<&'o ServiceObject> {
    objects.services.iter().find(|service| service.key == *key)
}
