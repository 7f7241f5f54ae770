//! A Service as far as load balancing looks at it ([ANNOT-1] to [ANNOT-13], [CTRL-1]).

use std::collections::BTreeMap;
use std::sync::Arc;

use lbcore::addresses::{RecordedAddresses, RequestError, parse_requested};
use lbcore::allocator::NoAddress;
use lbcore::config::{Category, ObjectRef, Severity};
use lbcore::converge::{CreationTime, ServiceKind, ServiceState};
use lbcore::decide::TrafficPolicy;
use lbcore::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use lbcore::labels::Labels;
use lbcore::request::{ClusterIpsProblem, ServiceTerms, families_of};
use lbcore::service::{PoolName, ServiceKey, SharingKey};
use lbcore::sharing::{BackendKey, Protocol, ServicePort, SharingTerms};

use super::field::Fields;
use super::time::parse_time;

/// The annotations read, each with its older spelling ([ANNOT-1] to [ANNOT-3]).
const ADDRESS_POOL: [&str; 2] = ["metallb.io/address-pool", "metallb.universe.tf/address-pool"];
const ADDRESSES: [&str; 2] = ["metallb.io/loadBalancerIPs", "metallb.universe.tf/loadBalancerIPs"];
const SHARING_KEY: [&str; 2] = ["metallb.io/allow-shared-ip", "metallb.universe.tf/allow-shared-ip"];

const LOAD_BALANCER_IP: &str = "spec.loadBalancerIP";
const RECORDED: &str = "status.loadBalancer.ingress";

/// A Service as read: types checked, requests not yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceObject {
    /// Namespace (`default` where absent) and name.
    pub key: ServiceKey,
    /// The object, for problems.
    pub object: ObjectRef,
    /// Whether it asks for a load balancer.
    pub service_kind: ServiceKind,
    /// `spec.loadBalancerClass`.
    pub class: Option<String>,
    /// `metadata.creationTimestamp`; 0 where it is absent.
    pub created: CreationTime,
    /// `metadata.labels`.
    pub labels: Arc<Labels>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// `spec.clusterIP`.
    pub cluster_ip: Option<String>,
    /// `spec.clusterIPs`.
    pub cluster_ips: Vec<String>,
    /// `spec.ipFamilies`.
    pub ip_families: Vec<IpFamily>,
    /// `spec.ipFamilyPolicy`.
    pub ip_family_policy: IpFamilyPolicy,
    /// `spec.externalTrafficPolicy`.
    pub traffic_policy: TrafficPolicy,
    /// `spec.ports`.
    pub ports: Vec<ServicePort>,
    /// `spec.selector`.
    pub selector: Labels,
    /// `spec.loadBalancerIP`.
    pub load_balancer_ip: Option<String>,
    /// The `ip` texts of `status.loadBalancer.ingress` in order; entries with a host name only are empty texts ([CTRL-33]).
    pub recorded: Vec<String>,
}

impl ServiceObject {
    fn annotation(&self, [current, older]: [&str; 2]) -> Option<&str> {
        // The newer spelling wins even where it is empty ([ANNOT-6]).
        self.annotations.get(current).or_else(|| self.annotations.get(older)).map(String::as_str)
    }

    /// The pool asked for by annotation; empty counts as not asked ([ANNOT-7]).
    pub fn requested_pool(&self) -> Option<&str> {
        self.annotation(ADDRESS_POOL).filter(|pool| !pool.is_empty())
    }

    /// The addresses asked for by annotation, as written ([ANNOT-2]).
    pub fn requested_addresses(&self) -> Option<&str> {
        self.annotation(ADDRESSES)
    }

    /// The sharing key; empty counts as none ([ANNOT-7]).
    pub fn sharing_key(&self) -> Option<&str> {
        self.annotation(SHARING_KEY).filter(|key| !key.is_empty())
    }

    /// Whether one of the sharing annotations is there, with any value ([ANN-31]).
    pub fn has_sharing_annotation(&self) -> bool {
        SHARING_KEY.iter().any(|key| self.annotations.contains_key(*key))
    }

    /// The path of the field that has to do with why there is no address; empty where no single one has.
    pub fn field_of(&self, reason: &NoAddress) -> String {
        let given = |keys: [&'static str; 2]| {
            let key = keys.into_iter().find(|key| self.annotations.contains_key(*key))?;
            Some(format!("metadata.annotations[{key}]"))
        };
        let pool = self.requested_pool().and_then(|_| given(ADDRESS_POOL));
        let by_field = || self.load_balancer_ip.as_ref().map(|_| LOAD_BALANCER_IP.to_owned());
        let addresses = self.requested_addresses().filter(|text| !text.is_empty()).and_then(|_| given(ADDRESSES));
        let addresses = addresses.or_else(by_field);
        let recorded = || (!self.recorded.is_empty()).then(|| RECORDED.to_owned());
        let field = match reason {
            NoAddress::Request(RequestError::Both { .. }) => Some(LOAD_BALANCER_IP.to_owned()),
            NoAddress::Addresses(_)
            | NoAddress::Avoided { .. }
            | NoAddress::DifferentPools { .. }
            | NoAddress::FamilyMismatch { .. }
            | NoAddress::NotInPool { .. }
            | NoAddress::Request(_)
            | NoAddress::Reserved { .. }
            | NoAddress::SharingConflict { .. } => addresses.or_else(recorded),
            NoAddress::FamilyNotInPool { .. }
            | NoAddress::NoSuchPool { .. }
            | NoAddress::PoolExhausted { .. }
            | NoAddress::PoolMismatch { .. }
            | NoAddress::PoolNotAllowed { .. } => pool.or(addresses).or_else(recorded),
            NoAddress::ClusterIps(_) if self.cluster_ips.is_empty() => Some("spec.clusterIP".to_owned()),
            NoAddress::ClusterIps(_) => Some("spec.clusterIPs".to_owned()),
            NoAddress::DualStackRequired { .. } | NoAddress::DualStackUnwanted => {
                Some("spec.ipFamilyPolicy".to_owned())
            }
            NoAddress::FamilyNowhere { .. }
            | NoAddress::Forgotten
            | NoAddress::NoEligiblePool
            | NoAddress::NoPools
            | NoAddress::NothingToAddTo
            | NoAddress::PoolsExhausted { .. }
            | _ => None,
        };
        field.unwrap_or_default()
    }

    /// What is wrong with its request whatever the pools are.
    pub fn fault_of_request(&self, state: &ServiceState) -> Option<NoAddress> {
        let (families, requested) = match (&state.families, &state.requested_addresses) {
            (Err(problem), _) => return Some(NoAddress::ClusterIps(problem.clone())),
            (_, Err(error)) => return Some(NoAddress::Request(error.clone())),
            (Ok(families), Ok(requested)) => (*families, *requested),
        };
        match (families, state.policy, requested) {
            (ServiceFamilies::Single(_), IpFamilyPolicy::RequireDualStack, _) => {
                Some(NoAddress::DualStackRequired { count: 1 })
            }
            (ServiceFamilies::Dual { .. }, IpFamilyPolicy::SingleStack, _) => Some(NoAddress::DualStackUnwanted),
            (ServiceFamilies::Single(_), _, Some(addresses)) if !addresses.are_of(families) => {
                Some(NoAddress::FamilyMismatch { addresses, families })
            }
            _ => None,
        }
    }

    /// Its state where nobody gives cluster IPs: the families of a Service without one are those that it asks for, IPv4 where it does not
    /// say. In a cluster the API server would give it one address of each.
    pub fn state_without_cluster(&self) -> ServiceState {
        let mut state = self.state();
        if state.families == Err(ClusterIpsProblem::Missing) {
            let primary = self.ip_families.first().copied().unwrap_or(IpFamily::V4);
            let is_dual = self.ip_families.len() > 1 || state.policy != IpFamilyPolicy::SingleStack;
            state.families =
                Ok(if is_dual { ServiceFamilies::Dual { primary } } else { ServiceFamilies::Single(primary) });
        }
        state
    }

    /// Whether a program of this class handles the Service ([CTRL-1]).
    pub fn is_of_class(&self, class: Option<&str>) -> bool {
        self.class.as_deref() == class
    }

    /// What decides its addresses, as lbcore has it.
    ///
    /// Source: [CTRL-33], [ALLOC-4], [ALLOC-5], [ANNOT-1] to [ANNOT-10].
    pub fn state(&self) -> ServiceState {
        let cluster_ips: Vec<&str> = self.cluster_ips.iter().map(String::as_str).collect();
        let families = families_of(self.cluster_ip.as_deref(), &cluster_ips, self.ip_families.first().copied());
        let backend_key = match self.traffic_policy {
            TrafficPolicy::Cluster => BackendKey::Cluster,
            TrafficPolicy::Local => BackendKey::local(self.key.namespace(), &self.selector),
        };
        let sharing = SharingTerms {
            sharing_key: self.sharing_key().and_then(|key| SharingKey::new(key).ok()),
            backend_key,
            ports: self.ports.iter().copied().collect(),
        };
        ServiceState {
            created: self.created,
            kind: self.service_kind,
            policy: self.ip_family_policy,
            terms: ServiceTerms { labels: Arc::clone(&self.labels), sharing },
            requested_addresses: parse_requested(self.requested_addresses(), self.load_balancer_ip.as_deref()),
            requested_pool: self.requested_pool().and_then(|pool| PoolName::new(pool).ok()),
            recorded: RecordedAddresses::parse(self.recorded.iter().map(String::as_str)),
            ..ServiceState::new(self.key.clone(), families)
        }
    }
}

fn read_type(spec: &mut Fields<'_>) -> ServiceKind {
    match spec.text("type").as_deref() {
        Some("LoadBalancer") => ServiceKind::LoadBalancer,
        None | Some("ClusterIP" | "NodePort" | "ExternalName") => ServiceKind::Other,
        Some(other) => {
            refuse(spec, "type", other, "write LoadBalancer, ClusterIP, NodePort or ExternalName");
            ServiceKind::Other
        }
    }
}

fn refuse(fields: &Fields<'_>, name: &str, value: &str, fix: &str) {
    let message = format!("{value:?} is not a value of this field");
    fields.findings().add(Severity::Error, Category::Schema, &fields.path_of(name), message, fix);
}

fn read_policy(spec: &mut Fields<'_>) -> IpFamilyPolicy {
    match spec.text("ipFamilyPolicy").as_deref() {
        None | Some("SingleStack") => IpFamilyPolicy::SingleStack,
        Some("PreferDualStack") => IpFamilyPolicy::PreferDualStack,
        Some("RequireDualStack") => IpFamilyPolicy::RequireDualStack,
        Some(other) => {
            refuse(spec, "ipFamilyPolicy", other, "write SingleStack, PreferDualStack or RequireDualStack");
            IpFamilyPolicy::SingleStack
        }
    }
}

fn read_families(spec: &mut Fields<'_>) -> Vec<IpFamily> {
    let mut families = Vec::new();
    for (index, text) in spec.texts("ipFamilies").into_iter().enumerate() {
        match text.as_str() {
            "IPv4" => families.push(IpFamily::V4),
            "IPv6" => families.push(IpFamily::V6),
            _ => refuse(spec, &format!("ipFamilies[{index}]"), &text, "write IPv4 or IPv6"),
        }
    }
    families
}

fn read_traffic_policy(spec: &mut Fields<'_>) -> TrafficPolicy {
    match spec.text("externalTrafficPolicy").as_deref() {
        None | Some("" | "Cluster") => TrafficPolicy::Cluster,
        Some("Local") => TrafficPolicy::Local,
        Some(other) => {
            refuse(spec, "externalTrafficPolicy", other, "write Cluster or Local");
            TrafficPolicy::Cluster
        }
    }
}

fn read_port(fields: &mut Fields<'_>) -> Option<ServicePort> {
    let protocol = match fields.text("protocol").map(|text| (text.parse(), text)) {
        None => Protocol::Tcp,
        Some((Ok(protocol), _)) => protocol,
        Some((Err(_), text)) => {
            refuse(fields, "protocol", &text, "write TCP, UDP or SCTP");
            return None;
        }
    };
    let number = fields.integer("port")?;
    match u16::try_from(number) {
        Ok(port) if port > 0 => Some(ServicePort { protocol, port }),
        _ => {
            refuse(fields, "port", &number.to_string(), "write a number between 1 and 65535");
            None
        }
    }
}

/// Reads a Service.
pub(super) fn service(key: ServiceKey, object: ObjectRef, labels: Labels, root: &mut Fields<'_>) -> ServiceObject {
    let mut metadata = root.child("metadata");
    let annotations = metadata.text_map("annotations");
    let created = metadata.text("creationTimestamp").and_then(|text| parse_time(&text)).unwrap_or_default();
    let mut spec = root.child("spec");
    let mut balancer = root.child("status").child("loadBalancer");
    let ingress = balancer.children("ingress").into_iter();
    ServiceObject {
        key,
        object,
        service_kind: read_type(&mut spec),
        class: spec.text("loadBalancerClass").filter(|class| !class.is_empty()),
        created: CreationTime(created),
        labels: Arc::new(labels),
        annotations,
        cluster_ip: spec.text("clusterIP"),
        cluster_ips: spec.texts("clusterIPs"),
        ip_families: read_families(&mut spec),
        ip_family_policy: read_policy(&mut spec),
        traffic_policy: read_traffic_policy(&mut spec),
        ports: spec.children("ports").iter_mut().filter_map(read_port).collect(),
        selector: spec.text_map("selector"),
        load_balancer_ip: spec.text("loadBalancerIP"),
        recorded: ingress.map(|mut entry| entry.text("ip").unwrap_or_default()).collect(),
    }
}
