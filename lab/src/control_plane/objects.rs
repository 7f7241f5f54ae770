//! Objects that Kubernetes' own programs would write and that a test has to write in their place, as YAML for `kubectl apply`.

use std::fmt::Write as _;
use std::net::IpAddr;

/// One endpoint of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Address of the pod.
    pub address: IpAddr,
    /// Node it runs on.
    pub node: String,
    /// What traffic it takes.
    pub condition: Condition,
}

/// State of an endpoint, as the three conditions of an `EndpointSlice` tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Condition {
    /// Takes traffic.
    #[default]
    Ready,
    /// Does not answer its readiness probe.
    NotReady,
    /// Is being stopped and still answers.
    Terminating,
}

impl Condition {
    const fn yaml(self) -> &'static str {
        match self {
            Self::Ready => "{ready: true, serving: true, terminating: false}",
            Self::NotReady => "{ready: false, serving: false, terminating: false}",
            Self::Terminating => "{ready: false, serving: true, terminating: true}",
        }
    }
}

/// A port of an `EndpointSlice`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlicePort<'a> {
    /// The name that the Service gives it; empty for a Service's only port without a name.
    pub name: &'a str,
    /// Its number at the pod.
    pub number: u16,
    /// What is spoken there.
    pub transport: Transport,
}

/// Protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl Transport {
    const fn yaml(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// A namespace.
pub fn namespace(name: &str) -> String {
    format!("---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}}}}}\n")
}

/// A Node with internal addresses that is ready. Its status counts only for `kubectl replace --subresource=status`, which has to come
/// after `kubectl apply` of the same text.
pub fn node(name: &str, addresses: &[IpAddr]) -> String {
    let internal = addresses.iter().map(|address| format!("{{type: InternalIP, address: \"{address}\"}}"));
    let all: Vec<String> = internal.chain([format!("{{type: Hostname, address: {name}}}")]).collect();
    let addresses = all.join(", ");
    format!(
        "\
---
apiVersion: v1
kind: Node
metadata:
  name: {name}
  labels: {{kubernetes.io/hostname: {name}, kubernetes.io/os: linux}}
status:
  addresses: [{addresses}]
  conditions:
  - {{type: Ready, status: \"True\", reason: Laboratory, message: \"\"}}
  - {{type: NetworkUnavailable, status: \"False\", reason: Laboratory, message: \"\"}}
"
    )
}

/// The Pod that a process believes it runs in.
pub fn pod(namespace: &str, name: &str, component: &str, node: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: {name}\n  namespace: {namespace}\n  labels: {{app: metallb, component: \
         {component}}}\nspec:\n  nodeName: {node}\n  hostNetwork: true\n  containers: [{{name: {component}, image: ferrule}}]\n"
    )
}

/// The slices of a Service, one for each family, which an endpoint controller would write. A family without endpoints has an empty
/// slice, so that applying again after the last endpoint has gone takes it away.
pub fn endpoint_slices(namespace: &str, service: &str, ports: &[SlicePort<'_>], endpoints: &[Endpoint]) -> String {
    let row = |SlicePort { name, number, transport }: &SlicePort<'_>| {
        format!("{{name: \"{name}\", port: {number}, protocol: {}}}", transport.yaml())
    };
    let ports: Vec<String> = ports.iter().map(row).collect();
    let mut text = String::new();
    for (family, suffix, is_v4) in [("IPv4", "v4", true), ("IPv6", "v6", false)] {
        let rows: Vec<String> = endpoints
            .iter()
            .filter(|endpoint| endpoint.address.is_ipv4() == is_v4)
            .map(|endpoint| {
                let (address, node, conditions) = (endpoint.address, &endpoint.node, endpoint.condition.yaml());
                format!("{{addresses: [\"{address}\"], nodeName: {node}, conditions: {conditions}}}")
            })
            .collect();
        // A String takes every write.
        let _ = write!(
            text,
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: {service}-{suffix}\n  namespace: {namespace}\n  \
             labels: {{kubernetes.io/service-name: {service}}}\naddressType: {family}\nports: [{}]\nendpoints: [{}]\n",
            ports.join(", "),
            rows.join(", ")
        );
    }
    text
}
