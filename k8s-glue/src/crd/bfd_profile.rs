//! BFDProfile: how the path to a router is watched ([CFG-27]).

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::schema::{self, EmptyStatus};

/// Times and manners of BFD; times in milliseconds.
#[derive(Clone, CustomResource, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "BFDProfile",
    plural = "bfdprofiles",
    namespaced,
    doc = "How the path to a router is watched by BFD.",
    status = "EmptyStatus",
    printcolumn = r#"{"name": "Passive Mode", "type": "boolean", "jsonPath": ".spec.passiveMode"}"#,
    printcolumn = r#"{"name": "Transmit Interval", "type": "integer", "jsonPath": ".spec.transmitInterval"}"#,
    printcolumn = r#"{"name": "Receive Interval", "type": "integer", "jsonPath": ".spec.receiveInterval"}"#,
    printcolumn = r#"{"name": "Multiplier", "type": "integer", "jsonPath": ".spec.detectMultiplier"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct BFDProfileSpec {
    /// The shortest time between two packets that we can take; 300 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bfd_interval")]
    pub receive_interval: Option<u32>,

    /// The shortest time between two packets that we want to send; 300 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bfd_interval")]
    pub transmit_interval: Option<u32>,

    /// Packets that may be missing before the path is down; 3 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "multiplier")]
    pub detect_multiplier: Option<u32>,

    /// The shortest time between two echo packets that we can take; 50 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::bfd_interval")]
    pub echo_interval: Option<u32>,

    /// Whether echo packets are used; not over several hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub echo_mode: Option<bool>,

    /// Whether the router must begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passive_mode: Option<bool>,

    /// The smallest TTL that is taken, over several hops; 254 where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "minimum_ttl")]
    pub minimum_ttl: Option<u32>,
}

fn multiplier(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 2, "maximum": 255})
}

fn minimum_ttl(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int32", "minimum": 1, "maximum": 254})
}
