//! BGPAdvertisement: which pools are announced to routers, how, and from where ([API-BGPADV-1] to [API-BGPADV-5], [D162-1]).

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::schema::{EmptyStatus, LabelSelector};

/// What is announced by BGP, and with which attributes.
#[derive(Clone, CustomResource, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPAdvertisement",
    plural = "bgpadvertisements",
    namespaced,
    doc = "Announces addresses of pools to routers, by BGP.",
    status = "EmptyStatus",
    printcolumn = r#"{"name": "IPAddressPools", "type": "string", "jsonPath": ".spec.ipAddressPools"}"#,
    printcolumn = r#"{"name": "IPAddressPool Selectors", "type": "string", "jsonPath": ".spec.ipAddressPoolSelectors"}"#,
    printcolumn = r#"{"name": "Peers", "type": "string", "jsonPath": ".spec.peers"}"#,
    printcolumn = r#"{"name": "Node Selectors", "type": "string", "jsonPath": ".spec.nodeSelectors", "priority": 10}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [{
    "rule": "!has(self.serviceSelectors) || size(self.serviceSelectors) == 0 || ((!has(self.aggregationLength) || \
        self.aggregationLength == 32) && (!has(self.aggregationLengthV6) || self.aggregationLengthV6 == 128))",
    "message": "with serviceSelectors, aggregationLength must be 32 and aggregationLengthV6 must be 128",
}]))]
pub struct BGPAdvertisementSpec {
    /// Length of the IPv4 prefixes that are announced; those of a pool must be at least as wide.
    #[serde(default = "ipv4_host")]
    #[schemars(range(min = 1))]
    pub aggregation_length: i32,

    /// The same for IPv6.
    #[serde(default = "ipv6_host", rename = "aggregationLengthV6")]
    pub aggregation_length_v6: i32,

    /// Local preference on sessions within our AS; the higher wins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "local_pref")]
    pub local_pref: Option<u32>,

    /// How many times our AS is put before the path once more, on sessions to another AS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "prepend")]
    pub as_path_prepend: Option<u32>,

    /// Communities: 64512:100, large:64512:1:2, or names that a Community object gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<String>,

    /// Pools by name. Neither names nor selectors: all pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,

    /// Pools by label, beside those by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,

    /// Nodes that announce; none: all nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,

    /// Peers by name; none: all peers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub peers: Vec<String>,

    /// Services by label; none: all Services. Only where single addresses are announced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}

const fn ipv4_host() -> i32 {
    32
}

const fn ipv6_host() -> i32 {
    128
}

/// Upstream's schema lets negative numbers pass, which its programs cannot read.
fn local_pref(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0, "maximum": u32::MAX})
}

fn prepend(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 10})
}
