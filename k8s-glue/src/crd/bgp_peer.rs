//! BGPPeer: a router that sessions are held with ([API-PEER-1] to [API-PEER-3], [API-CONV-1]).

use std::fmt;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::schema::{self, EmptyStatus, LabelSelector};

pub mod v1beta1;

/// A password of TCP-MD5; prints as `***`.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PeerPassword(pub String);

impl fmt::Debug for PeerPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Whether an AS that is not named must be ours or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DynamicAsn {
    /// Any other than ours.
    External,
    /// Ours.
    Internal,
}

/// A router, and how sessions with it are held.
#[derive(Clone, CustomResource, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta2",
    kind = "BGPPeer",
    plural = "bgppeers",
    namespaced,
    doc = "A router that nodes hold BGP sessions with.",
    status = "EmptyStatus",
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

    /// The router's AS; either this or dynamicASN.
    #[serde(default, rename = "peerASN", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::asn")]
    pub peer_asn: Option<u32>,

    /// Any AS is taken from the router, as long as it is ours (internal) or another (external).
    #[serde(default, rename = "dynamicASN", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "dynamic_asn")]
    pub dynamic_asn: Option<DynamicAsn>,

    /// The AS that this router sees as ours, in place of myASN.
    #[serde(default, rename = "localASN", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::positive_asn")]
    pub local_asn: Option<u32>,

    /// The router's address; either this or interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_address: Option<String>,

    /// The link at whose other end the router is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,

    /// Our address on the connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_address: Option<String>,

    /// The router's TCP port.
    #[serde(default = "bgp_port")]
    #[schemars(schema_with = "peer_port")]
    pub peer_port: u16,

    /// Silence after which the session is lost: 0 (never) or at least 3 s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_time: Option<String>,

    /// Time between two signs of life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keepalive_time: Option<String>,

    /// Time between two attempts to connect: whole seconds from 1 to 65535.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "connect_time")]
    pub connect_time: Option<String>,

    /// Our BGP identifier, written as an IPv4 address.
    #[serde(rename = "routerID", skip_serializing_if = "Option::is_none")]
    pub router_id: Option<String>,

    /// Nodes that hold a session; none: all nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub node_selectors: Vec<LabelSelector>,

    /// The password of TCP-MD5; either this or passwordSecret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<PeerPassword>,

    /// The Secret of type kubernetes.io/basic-auth with the password, in the same namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_secret: Option<SecretReference>,

    /// Name of the BFDProfile by which the path to the router is watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd_profile: Option<String>,

    /// Whether routes stay while we restart; set once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "graceful_restart")]
    pub enable_graceful_restart: Option<bool>,

    /// Whether a router of another AS may be more than one hop away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebgp_multi_hop: Option<bool>,

    /// The VRF that the session is held from; none: the default one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vrf: Option<String>,

    /// Deprecated and without effect; see dualStackAddressFamily.
    #[serde(default, rename = "disableMP")]
    pub disable_mp: bool,

    /// Whether routes of both families go over the session.
    #[serde(default)]
    pub dual_stack_address_family: bool,
}

/// A Secret by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct SecretReference {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Not looked at: the Secret is in the namespace of the peer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
}

const fn bgp_port() -> u16 {
    179
}

fn dynamic_asn(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["internal", "external"]})
}

fn peer_port(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "minimum": 1, "maximum": 16_384})
}

fn connect_time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "x-kubernetes-validations": [
            {
                "rule": "duration(self).getSeconds() >= 1 && duration(self).getSeconds() <= 65535",
                "message": "connect time should be between 1 seconds to 65535",
            },
            {
                "rule": "duration(self).getMilliseconds() % 1000 == 0",
                "message": "connect time should contain a whole number of seconds",
            },
        ],
    })
}

fn graceful_restart(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "boolean",
        "x-kubernetes-validations": [
            {"rule": "self == oldSelf", "message": "EnableGracefulRestart cannot be changed after creation"},
        ],
    })
}
