//! PoolPolicy: what holds for the addresses of pools beyond their ranges. A kind of our own; MetalLB has none like it.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::schema::{self, LabelSelector};

/// Rules for the addresses of some pools; without a field nothing of its kind holds.
#[derive(Clone, CustomResource, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ferrule.io",
    version = "v1alpha1",
    kind = "PoolPolicy",
    plural = "poolpolicies",
    namespaced,
    doc = "Exclusions, retention, cool-down, quotas and freeze for the addresses of pools.",
    status = "PoolPolicyStatus",
    printcolumn = r#"{"name": "Pools", "type": "string", "jsonPath": ".spec.ipAddressPools"}"#,
    printcolumn = r#"{"name": "Retention", "type": "string", "jsonPath": ".spec.retention"}"#,
    printcolumn = r#"{"name": "Reuse Cooldown", "type": "string", "jsonPath": ".spec.reuseCooldown"}"#,
    printcolumn = r#"{"name": "Held", "type": "string", "jsonPath": ".status.held[*].address"}"#,
    printcolumn = r#"{"name": "Kept", "type": "string", "jsonPath": ".status.kept[*].address"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 10}"#
)]
#[serde(rename_all = "camelCase")]
pub struct PoolPolicySpec {
    /// Pools by name. Neither names nor selectors: all pools.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pools: Vec<String>,

    /// Pools by label, beside those by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ip_address_pool_selectors: Vec<LabelSelector>,

    /// Addresses, ranges and prefixes that are not in the pools, whatever their ranges say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<String>,

    /// How long the addresses of a deleted Service wait for one of the same namespace and name, such as 24h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub retention: Option<String>,

    /// Services as NAMESPACE/NAME and addresses, whose retention and cool-down end at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub release_now: Vec<String>,

    /// How long an address that was given up is given to nobody else, such as 10m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::duration")]
    pub reuse_cooldown: Option<String>,

    /// How many addresses of the pools may be in use.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<PoolQuota>,

    /// Present: a change of the pools takes no address away that is in use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze: Option<PoolFreeze>,
}

/// A limit for those whom it concerns; where nobody is named, for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolQuota {
    /// What it is called in messages and in the status; its place in the list, where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// Namespace: each namespace counts by itself. Together: all count as one.
    #[serde(default = "namespace")]
    #[schemars(schema_with = "scope")]
    pub scope: String,

    /// Services of these namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,

    /// Services of namespaces with these labels, beside those by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Services with these labels; where namespaces are given, too, both must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,

    /// How many distinct addresses they may have.
    #[schemars(schema_with = "amount")]
    pub limit: i64,
}

fn namespace() -> String {
    "Namespace".to_owned()
}

fn scope(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Namespace", "Together"]})
}

fn amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "integer", "format": "int64", "minimum": 0})
}

/// What of a freeze was let go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolFreeze {
    /// Addresses, ranges and prefixes whose loss is confirmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confirmed: Vec<String>,
}

/// What the policy leads to now; written by the controller, which starts from it after a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PoolPolicyStatus {
    /// How much of each quota is used.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub quotas: Vec<QuotaUse>,

    /// Addresses that wait, by retention or cool-down.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldAddress>,

    /// Addresses that no range has any more, and that their Services keep.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<KeptAddress>,
}

/// The use of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct QuotaUse {
    /// The quota.
    pub name: String,

    /// The namespace that counts; absent where all count as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,

    /// Distinct addresses in use.
    #[schemars(schema_with = "schema::count")]
    pub used: i64,

    /// How many may be.
    #[schemars(schema_with = "schema::count")]
    pub limit: i64,
}

/// An address that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldAddress {
    /// The address.
    pub address: String,

    /// The Service that had it, as NAMESPACE/NAME.
    pub service: String,

    /// When it is free for all.
    #[schemars(schema_with = "schema::time")]
    pub until: String,

    /// Retention or Cooldown.
    pub reason: String,
}

/// An address that a freeze keeps, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KeptAddress {
    /// The address.
    pub address: String,

    /// The pool that had it.
    pub pool: String,

    /// The labels of that pool when it was last there: they tell which advertisements select it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pool_labels: BTreeMap<String, String>,

    /// A Service that has it, as NAMESPACE/NAME.
    pub service: String,
}
