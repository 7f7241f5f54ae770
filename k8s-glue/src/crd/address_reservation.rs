//! AddressReservation: addresses that are kept for some Services. A kind of our own; MetalLB has none like it.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{EmptyStatus, LabelSelector, service_names};

/// Which addresses are withheld from everybody else, and for whom.
#[derive(Clone, CustomResource, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "ferrule.io",
    version = "v1alpha1",
    kind = "AddressReservation",
    plural = "addressreservations",
    namespaced,
    doc = "Withholds addresses of pools from all Services but those that it names.",
    status = "EmptyStatus",
    printcolumn = r#"{"name": "Addresses", "type": "string", "jsonPath": ".spec.addresses"}"#,
    printcolumn = r#"{"name": "Host Parts", "type": "string", "jsonPath": ".spec.hostParts"}"#,
    printcolumn = r#"{"name": "Pool", "type": "string", "jsonPath": ".spec.pool"}"#,
    printcolumn = r#"{"name": "Services", "type": "string", "jsonPath": ".spec.services"}"#,
    printcolumn = r#"{"name": "Namespaces", "type": "string", "jsonPath": ".spec.namespaces"}"#,
    printcolumn = r#"{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp", "priority": 10}"#
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(has(self.addresses) && size(self.addresses) > 0) || (has(self.hostParts) && size(self.hostParts) > 0)",
        "message": "write at least one of addresses and hostParts"
    },
    {
        "rule": "!has(self.hostParts) || size(self.hostParts) == 0 || (has(self.pool) && size(self.pool) > 0)",
        "message": "hostParts need a pool"
    },
    {
        "rule": "(has(self.services) && size(self.services) > 0) || (has(self.namespaces) && size(self.namespaces) > 0) || (has(self.namespaceSelectors) && size(self.namespaceSelectors) > 0) || (has(self.serviceSelectors) && size(self.serviceSelectors) > 0)",
        "message": "write for whom: services, namespaces, namespaceSelectors or serviceSelectors"
    },
]))]
pub struct AddressReservationSpec {
    /// Addresses (192.0.2.80), ranges (192.0.2.90-192.0.2.95) and prefixes (`2001:db8::/120`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_024))]
    pub addresses: Vec<String>,

    /// Host parts, such as `::80` or `0.0.0.80`: in each prefix of the pool the address with this host part, whatever the prefix is now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_024))]
    pub host_parts: Vec<String>,

    /// The pool that the addresses have to be of; needed with hostParts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,

    /// Services as NAMESPACE/NAME.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "service_names")]
    pub services: Vec<String>,

    /// Services of these namespaces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,

    /// Services of namespaces with these labels, beside those by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,

    /// Services with these labels; where namespaces are given, too, both must match.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_selectors: Vec<LabelSelector>,
}
