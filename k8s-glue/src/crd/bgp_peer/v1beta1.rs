//! The older version of BGPPeer; described, and not served until it can be converted ([API-CONV-1] to [API-CONV-6]).

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::PeerPassword;
use crate::crd::schema::{self, EmptyStatus};

/// A router, and how sessions with it are held.
#[derive(Clone, CustomResource, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BGPPeer",
    plural = "bgppeers",
    namespaced,
    served = false,
    storage = false,
    doc = "A router that nodes hold BGP sessions with.",
    status = "EmptyStatus",
    deprecated = "v1beta1 is deprecated, please use v1beta2",
    printcolumn = r#"{"name": "Address", "type": "string", "jsonPath": ".spec.peerAddress"}"#,
    printcolumn = r#"{"name": "ASN", "type": "string", "jsonPath": ".spec.peerASN"}"#,
    printcolumn = r#"{"name": "BFD Profile", "type": "string", "jsonPath": ".spec.bfdProfile"}"#,
    printcolumn = r#"{"name": "Multi Hops", "type": "string", "jsonPath": ".spec.ebgpMultiHop"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BGPPeerSpec {
    /// Our AS.
    #[serde(rename = "myASN")]
    #[schemars(schema_with = "schema::asn")]
    pub my_asn: u32,

    /// The router's AS.
    #[serde(rename = "peerASN")]
    #[schemars(schema_with = "schema::asn")]
    pub peer_asn: u32,

    /// The router's address.
    pub peer_address: String,

    /// Our address on the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,

    /// The router's TCP port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "peer_port")]
    pub peer_port: Option<u16>,

    /// Silence after which the session is lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<String>,

    /// Time between two signs of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_time: Option<String>,

    /// Our BGP identifier, written as an IPv4 address.
    #[serde(rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,

    /// Nodes that hold a session; none: all nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<NodeSelector>,

    /// The password of TCP-MD5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PeerPassword>,

    /// Name of the BFDProfile by which the path to the router is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd_profile: Option<String>,

    /// Whether a router of another AS may be more than one hop away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,
}

/// Nodes by label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// Labels that must be there with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,

    /// Expressions about labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<MatchExpression>,
}

/// An expression about one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatchExpression {
    /// The label.
    pub key: String,

    /// `In` or `NotIn`; the others cannot be said in this version.
    pub operator: String,

    /// At least one value.
    #[schemars(length(min = 1))]
    pub values: Vec<String>,
}

fn peer_port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 0, "maximum": 16_384})
}
