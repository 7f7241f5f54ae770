//! What the status of a Service shall say, whether it says so already, and the one write that makes it so ([CTRL-45], [CTRL-60] to
//! [CTRL-62], [D162-4]).
//!
//! The API server takes `spec` from the stored object in a write of the status, but labels, annotations, finalizers and owner references
//! from what is sent; so all of `metadata` is sent as it was seen, with the version seen.

use std::net::IpAddr;

use lbcore::addresses::{RecordedAddresses, ServiceAddresses, parse_address};
use lbcore::converge::ServiceKind;
use lbcore::service::PoolName;
use serde_json::{Map, Value, json};

use crate::cluster::world::SeenService;
pub(crate) use crate::cluster::world::{POOL, POOL_BEFORE};

/// What the status of a Service shall say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Desired {
    /// No address, and no annotation.
    Nothing,
    /// No annotation, and none of these addresses: what else is there is of whoever handles its class now ([CTRL-2]).
    Left(Vec<IpAddr>),
    /// These addresses in this order, from this pool.
    Addresses { addresses: ServiceAddresses, pool: PoolName },
}

impl Desired {
    /// The addresses; empty for none.
    pub(crate) fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Nothing | Self::Left(_) => &[],
            Self::Addresses { addresses, .. } => addresses.as_slice(),
        }
    }

    /// The pool.
    pub(crate) const fn pool(&self) -> Option<&PoolName> {
        match self {
            Self::Nothing | Self::Left(_) => None,
            Self::Addresses { pool, .. } => Some(pool),
        }
    }

    /// Whether nothing of ours shall be there.
    pub(crate) const fn is_nothing(&self) -> bool {
        self.pool().is_none()
    }

    /// As a record that a later pass starts from.
    pub(crate) const fn recorded(&self) -> RecordedAddresses {
        match self {
            Self::Nothing | Self::Left(_) => RecordedAddresses::Nothing,
            Self::Addresses { addresses, .. } => RecordedAddresses::Known(*addresses),
        }
    }

    /// Whether the Service as seen says just this. Entries count by their address alone, so that what the API server or somebody else
    /// adds to them (`ipMode`, `ports`) is no difference.
    pub(crate) fn is_said_by(&self, seen: &SeenService) -> bool {
        let annotations = &seen.object.annotations;
        let recorded = seen.object.recorded.iter().map(|text| parse_address(text));
        annotations.get(POOL).map(String::as_str) == self.pool().map(PoolName::as_str)
            && !annotations.contains_key(POOL_BEFORE)
            && match self {
                Self::Left(ours) => !recorded.flatten().any(|address| ours.contains(&address)),
                Self::Nothing | Self::Addresses { .. } => recorded.eq(self.addresses().iter().copied().map(Some)),
            }
    }

    /// The body of the write. Entries whose address stays keep `ipMode` and `ports`; conditions and whatever else is in the status stay.
    pub(crate) fn body(&self, seen: &SeenService) -> Value {
        let (mut metadata, mut status) = seen.written_parts();
        let before = status.get("loadBalancer").and_then(|balancer| balancer.get("ingress")?.as_array());
        let before = before.cloned().unwrap_or_default();
        let is_ours = |ours: &[IpAddr], entry: &Value| address_of(entry).is_some_and(|address| ours.contains(&address));
        let ingress: Vec<Value> = match self {
            Self::Left(ours) => before.into_iter().filter(|entry| !is_ours(ours, entry)).collect(),
            Self::Nothing | Self::Addresses { .. } => {
                self.addresses().iter().map(|address| entry(*address, &before)).collect()
            }
        };
        let balancer = if ingress.is_empty() { json!({}) } else { json!({"ingress": ingress}) };
        status.insert("loadBalancer".to_owned(), balancer);
        self.annotate(&mut metadata);
        metadata.remove("managedFields");
        // The type is kept from the stored object too, but only a load balancer sent as one has its `ipMode` filled in.
        let service_type = match seen.object.service_kind {
            ServiceKind::LoadBalancer => "LoadBalancer",
            ServiceKind::Other => "ClusterIP",
        };
        json!({
            "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": service_type}, "status": status,
        })
    }

    fn annotate(&self, metadata: &mut Map<String, Value>) {
        let mut annotations = match metadata.remove("annotations") {
            Some(Value::Object(annotations)) => annotations,
            Some(_) | None => Map::new(),
        };
        annotations.shift_remove(POOL_BEFORE);
        match self.pool() {
            Some(pool) => {
                annotations.insert(POOL.to_owned(), pool.as_str().into());
            }
            None => {
                annotations.shift_remove(POOL);
            }
        }
        if !annotations.is_empty() {
            metadata.insert("annotations".to_owned(), Value::Object(annotations));
        }
    }
}

fn address_of(entry: &Value) -> Option<IpAddr> {
    entry.get("ip").and_then(Value::as_str).and_then(parse_address)
}

fn entry(address: IpAddr, before: &[Value]) -> Value {
    let mut entry = Map::new();
    let kept = before.iter().find(|entry| address_of(entry) == Some(address)).and_then(Value::as_object);
    // The text as it stands, which may be written another way than ours.
    let text = kept.and_then(|kept| kept.get("ip").cloned());
    entry.insert("ip".to_owned(), text.unwrap_or_else(|| address.to_string().into()));
    for name in ["ipMode", "ports"] {
        if let Some(value) = kept.and_then(|kept| kept.get(name)) {
            entry.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::planner::tests::seen;

    fn desired(addresses: &[&str], pool: &str) -> Desired {
        let parsed: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
        Desired::Addresses { addresses: ServiceAddresses::new(&parsed).unwrap(), pool: pool.parse().unwrap() }
    }

    fn service(annotations: &Value, ingress: &Value) -> SeenService {
        seen(&json!({
            "metadata": {
                "name": "web", "namespace": "shop", "uid": "u1", "resourceVersion": "7", "annotations": annotations,
                "labels": {"app": "web"}, "finalizers": ["a/b"], "ownerReferences": [{"uid": "o"}],
            },
            "spec": {"type": "LoadBalancer", "clusterIP": "10.96.0.7"},
            "status": {"loadBalancer": {"ingress": ingress}, "conditions": [{"type": "Odd"}]},
        }))
    }

    // [CTRL-62]
    #[test]
    fn a_defaulted_mode_is_no_difference() {
        let ingress = json!([{"ip": "192.0.2.1", "ipMode": "VIP"}]);
        let service = service(&json!({POOL: "p"}), &ingress);
        assert!(desired(&["192.0.2.1"], "p").is_said_by(&service));
        assert!(!desired(&["192.0.2.2"], "p").is_said_by(&service));
        assert!(!desired(&["192.0.2.1"], "q").is_said_by(&service));
        assert!(!Desired::Nothing.is_said_by(&service));
    }

    // [CTRL-33], [CTRL-45]
    #[test]
    fn a_host_name_beside_the_address_is_a_difference() {
        let ingress = json!([{"hostname": "a.example"}, {"ip": "192.0.2.1"}]);
        assert!(!desired(&["192.0.2.1"], "p").is_said_by(&service(&json!({POOL: "p"}), &ingress)));
    }

    // [D162-4]
    #[test]
    fn the_older_annotation_is_removed_with_an_address_and_without() {
        let ingress = json!([{"ip": "192.0.2.1"}]);
        let service = service(&json!({POOL: "p", POOL_BEFORE: "p", "other": "x"}), &ingress);
        let said = desired(&["192.0.2.1"], "p");
        assert!(!said.is_said_by(&service));
        assert_eq!(said.body(&service)["metadata"]["annotations"], json!({POOL: "p", "other": "x"}));
        assert_eq!(Desired::Nothing.body(&service)["metadata"]["annotations"], json!({"other": "x"}));
    }

    // [CTRL-2]
    #[test]
    fn a_service_of_another_class_keeps_what_is_not_ours() {
        let ours = Desired::Left(vec!["192.0.2.1".parse().unwrap()]);
        let both = json!([{"ip": "192.0.2.1"}, {"ip": "198.51.100.1"}, {"hostname": "a.example"}]);
        let left = service(&json!({POOL: "p"}), &both);
        assert!(!ours.is_said_by(&left));
        let body = ours.body(&left);
        assert_eq!(body["status"]["loadBalancer"]["ingress"], json!([both[1], both[2]]));
        assert!(body["metadata"].get("annotations").is_none());
        assert!(ours.is_said_by(&service(&Value::Null, &json!([both[1]]))));
        assert!(!ours.is_said_by(&service(&Value::Null, &both)), "our address is still there");
    }

    // [CTRL-60], [CTRL-62], [ARCH-3]
    #[test]
    fn a_write_keeps_what_is_not_ours() {
        let ingress = json!([{"ip": "192.0.2.1", "ipMode": "Proxy", "ports": [{"port": 80, "protocol": "TCP"}]}]);
        let body = desired(&["192.0.2.1", "2001:db8::1"], "p").body(&service(&Value::Null, &ingress));
        let metadata = &body["metadata"];
        assert_eq!(metadata["resourceVersion"], "7");
        assert_eq!(metadata["labels"], json!({"app": "web"}));
        assert_eq!(metadata["finalizers"], json!(["a/b"]));
        assert_eq!(metadata["ownerReferences"], json!([{"uid": "o"}]));
        assert_eq!(metadata["annotations"], json!({POOL: "p"}));
        assert_eq!(body["status"]["conditions"], json!([{"type": "Odd"}]));
        assert_eq!(body["status"]["loadBalancer"]["ingress"], json!([ingress[0], {"ip": "2001:db8::1"}]));
        assert_eq!(body["spec"], json!({"type": "LoadBalancer"}));
        let cleared = Desired::Nothing.body(&service(&json!({POOL: "p"}), &ingress));
        assert_eq!(cleared["status"]["loadBalancer"], json!({}));
        assert!(cleared["metadata"].get("annotations").is_none());
    }
}
