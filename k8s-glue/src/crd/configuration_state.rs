//! ConfigurationState: whether a process could use the configuration ([API-CFGST-1] to [API-CFGST-3]).

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::schema;

/// Nothing: the kind has no `spec`, and none is in the definition ([API-GEN-3]).
#[derive(Clone, CustomResource, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "ConfigurationState",
    plural = "configurationstates",
    namespaced,
    doc = "Whether a process could use the configuration; written by the controller and by speakers.",
    status = "ConfigurationStateStatus",
    printcolumn = r#"{"name": "Result", "type": "string", "jsonPath": ".status.result"}"#,
    printcolumn = r#"{"name": "ErrorSummary", "type": "string", "jsonPath": ".status.errorSummary"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}"#
)]
pub struct ConfigurationStateSpec {}

/// The outcome.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationStateStatus {
    /// Valid, Invalid, or Unknown while nothing is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "result")]
    pub result: Option<String>,

    /// The messages of the conditions that fail, a line each; empty where all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_summary: Option<String>,

    /// One for each part of the process that reads the configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A condition as Kubernetes has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What it is about.
    #[serde(rename = "type")]
    #[schemars(schema_with = "condition_type")]
    pub condition_type: String,

    /// True, False or Unknown.
    #[schemars(schema_with = "condition_status")]
    pub status: String,

    /// Why, in one word.
    #[schemars(schema_with = "condition_reason")]
    pub reason: String,

    /// Why, in a sentence; may be empty.
    #[schemars(length(max = 32_768))]
    pub message: String,

    /// When the status was last another.
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: String,

    /// The generation that was looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::count", extend("minimum" = 0))]
    pub observed_generation: Option<i64>,
}

fn result(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Valid", "Invalid", "Unknown"]})
}

fn condition_type(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 316,
        "pattern": "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
    })
}

fn condition_status(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["True", "False", "Unknown"]})
}

fn condition_reason(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 1024,
        "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
    })
}
