//! Community: names for communities ([API-COMM-1] to [API-COMM-3]).

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::EmptyStatus;

/// Names that a BGPAdvertisement may use.
#[derive(Clone, CustomResource, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "metallb.io",
    version = "v1beta1",
    kind = "Community",
    plural = "communities",
    namespaced,
    doc = "Names for BGP communities.",
    status = "EmptyStatus"
)]
#[serde(rename_all = "camelCase")]
pub struct CommunitySpec {
    /// The names; each once in all Communities of the namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub communities: Vec<CommunityAlias>,
}

/// One name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CommunityAlias {
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,

    /// What it stands for: 64512:100 or large:64512:1:2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
