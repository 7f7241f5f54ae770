//! The kinds of `metallb.io` and `ferrule.io` as Rust types, and the definitions that make an API server know them.
//!
//! One file a kind: fields, defaults, bounds, rules and columns, and nothing that acts. The definitions come out of the types; the copies in
//! `deploy/crds/` are made by `ferrule crds`. Configuration is not read through these types but through
//! [`convert`](crate::convert), which collects every fault and its line.
//!
//! Source: [API-GEN-1] to [API-GEN-9], [D162-1].

pub mod address_reservation;
pub mod bfd_profile;
pub mod bgp_advertisement;
pub mod bgp_peer;
pub mod community;
pub mod configuration_state;
pub mod ip_address_pool;
pub mod l2_advertisement;
pub mod pool_policy;
pub mod schema;
pub mod service_bgp_status;
pub mod service_l2_status;

use std::fs;
use std::io;
use std::path::PathBuf;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::args::{CrdsArgs, Outcome};
use crate::output;

/// The kinds whose `spec` must be there ([API-GEN-3]): without one they say nothing.
const NEED_SPEC: [&str; 2] = ["AddressReservation", "IPAddressPool"];
/// The one kind without a `spec`.
const WITHOUT_SPEC: &str = "ConfigurationState";

/// A kind that was asked for and is none of ours.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CrdError {
    /// No kind of this name.
    #[error("there is no kind {name}; choose among {known}")]
    UnknownKind {
        /// As given.
        name: String,
        /// Those that are.
        known: String,
    },
    /// Standard output cannot be written to.
    #[error("cannot print the definitions")]
    Print(#[from] io::Error),
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A definition as it is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The kind that it defines.
    pub kind: String,
    /// The plural of the kind: the name of its copy in `deploy/crds/`, with `.yaml` behind it.
    pub plural: String,
    /// The definition as an object of the API server.
    pub object: Value,
}

impl Definition {
    /// The object as YAML.
    pub fn to_yaml(&self) -> String {
        output::yaml(&self.object)
    }
}

/// Prints or writes the definitions, of all kinds or of one.
///
/// # Errors
/// [`CrdError`].
pub fn run(arguments: &CrdsArgs) -> Result<Outcome, CrdError> {
    let definitions = definitions();
    let wanted: Vec<&Definition> = match &arguments.kind {
        None => definitions.iter().collect(),
        Some(name) => {
            let is_meant =
                |one: &&Definition| one.kind.eq_ignore_ascii_case(name) || one.plural.eq_ignore_ascii_case(name);
            let found: Vec<&Definition> = definitions.iter().filter(is_meant).collect();
            if found.is_empty() {
                let known = definitions.iter().map(|one| one.kind.as_str()).collect::<Vec<_>>().join(", ");
                return Err(CrdError::UnknownKind { name: name.clone(), known });
            }
            found
        }
    };
    let Some(folder) = &arguments.into else {
        let documents: Vec<String> = wanted.into_iter().map(Definition::to_yaml).collect();
        output::print(&documents.join("---\n"))?;
        return Ok(Outcome::Good);
    };
    for one in wanted {
        let path = folder.join(format!("{}.yaml", one.plural));
        fs::write(&path, one.to_yaml()).map_err(|source| CrdError::Write { path, source })?;
    }
    Ok(Outcome::Good)
}

/// The definitions in the order of their plurals.
pub fn definitions() -> Vec<Definition> {
    let mut peer = bgp_peer::BGPPeer::crd();
    // Its older version is described, so that the version cannot be taken for unknown, and served once it can be converted.
    peer.spec.versions.splice(0..0, bgp_peer::v1beta1::BGPPeer::crd().spec.versions);
    let all = [
        address_reservation::AddressReservation::crd(),
        bfd_profile::BFDProfile::crd(),
        bgp_advertisement::BGPAdvertisement::crd(),
        peer,
        community::Community::crd(),
        configuration_state::ConfigurationState::crd(),
        ip_address_pool::IPAddressPool::crd(),
        l2_advertisement::L2Advertisement::crd(),
        pool_policy::PoolPolicy::crd(),
        service_bgp_status::ServiceBGPStatus::crd(),
        service_l2_status::ServiceL2Status::crd(),
    ];
    all.iter().map(definition).collect()
}

fn definition(crd: &CustomResourceDefinition) -> Definition {
    let (kind, plural) = (crd.spec.names.kind.clone(), crd.spec.names.plural.clone());
    // Only a map whose keys are no text fails, and a definition has none.
    let mut object = serde_json::to_value(crd).unwrap_or_default();
    if let Some(names) = object.pointer_mut("/spec/names").and_then(Value::as_object_mut) {
        names.retain(|_, value| value.as_array().is_none_or(|list| !list.is_empty()));
        names.insert("listKind".to_owned(), format!("{kind}List").into());
    }
    let versions = object.pointer_mut("/spec/versions").and_then(Value::as_array_mut);
    for version in versions.into_iter().flatten() {
        if let Some(Value::Object(root)) = version.pointer_mut("/schema/openAPIV3Schema") {
            tidy_root(&kind, root);
        }
    }
    Definition { kind, plural, object }
}

/// Where `spec` and `status` stand in the schema of an object ([API-GEN-3]).
fn tidy_root(kind: &str, root: &mut Map<String, Value>) {
    root.remove("title");
    if !NEED_SPEC.contains(&kind) {
        root.remove("required");
    }
    if let Some(properties) = root.get_mut("properties").and_then(Value::as_object_mut) {
        if kind == WITHOUT_SPEC {
            properties.remove("spec");
        }
        properties.values_mut().for_each(tidy);
        let text = |description: &str| serde_json::json!({"type": "string", "description": description});
        properties.insert("apiVersion".to_owned(), text("The version of the kind."));
        properties.insert("kind".to_owned(), text("The kind."));
        properties.insert("metadata".to_owned(), serde_json::json!({"type": "object"}));
    }
}

/// Takes out what the generator adds and upstream's schemas have not: null as a value, and defaults of nothing.
fn tidy(schema: &mut Value) {
    let Value::Object(schema) = schema else { return };
    schema.remove("nullable");
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    for name in ["minimum", "maximum"] {
        // The type of a bound is a real number; all of ours are whole, and read better so.
        if let Some(bound) = schema.get_mut(name)
            && let Ok(whole) = bound.to_string().trim_end_matches(".0").parse::<i64>()
        {
            *bound = whole.into();
        }
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(name) {
            tidy(below);
        }
    }
}

#[cfg(test)]
mod tests;
