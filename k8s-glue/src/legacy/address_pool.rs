//! The kind `AddressPool`, which came between the `ConfigMap` and the resources of today and is gone since MetalLB 0.14: one object for
//! a pool and how it is announced.

use std::sync::Arc;

use lbcore::config::{ObjectRef, Settings, Severity};
use serde_json::{Map, Value, json};

use super::config::{Writer, finished, put, put_list};
use super::{Converted, to_text};
use crate::convert::field::{Fields, Findings};
use crate::load;
use crate::manifest::{self, Document, Manifests};
use crate::report::Finding;

/// The pool, with an advertisement for each way in which it was announced; all of them have its name.
pub(super) fn convert(document: &Document, object: ObjectRef) -> Converted {
    let writer = Writer { namespace: object.namespace.clone().unwrap_or_default() };
    let name = Arc::clone(&object.name);
    let findings = Findings::of(object, document);
    let mut root = Fields::of(&findings, &document.value);
    for known in ["apiVersion", "kind", "metadata", "status"] {
        root.pass_over(known);
    }
    let mut pool = root.child("spec");
    let mut spec = Map::new();
    put_list(&mut spec, "addresses", pool.texts("addresses"));
    put(&mut spec, "autoAssign", pool.boolean("autoAssign"));
    put(&mut spec, "avoidBuggyIPs", pool.boolean("avoidBuggyIPs"));
    let mut resources = vec![writer.resource("v1beta1", "IPAddressPool", &name, spec)];
    let protocol = pool.text("protocol").unwrap_or_default();
    let mut advertisements: Vec<Map<String, Value>> = Vec::new();
    for mut advertisement in pool.children("bgpAdvertisements") {
        let mut spec = Map::new();
        put(&mut spec, "aggregationLength", advertisement.integer("aggregationLength"));
        put(&mut spec, "aggregationLengthV6", advertisement.integer("aggregationLengthV6"));
        put(&mut spec, "localPref", advertisement.integer("localPref"));
        put_list(&mut spec, "communities", advertisement.texts("communities"));
        advertisement.warn_unknown();
        advertisements.push(spec);
    }
    if advertisements.is_empty() && protocol == "bgp" {
        advertisements.push(Map::new());
    }
    for (place, mut spec) in advertisements.into_iter().enumerate() {
        spec.insert("ipAddressPools".to_owned(), json!([&*name]));
        let own_name = if place == 0 { name.to_string() } else { format!("{name}-{}", place + 1) };
        resources.push(writer.resource("v1beta1", "BGPAdvertisement", &own_name, spec));
    }
    if protocol == "layer2" {
        let spec = Map::from_iter([("ipAddressPools".to_owned(), json!([&*name]))]);
        resources.push(writer.resource("v1beta1", "L2Advertisement", &name, spec));
    }
    pool.warn_unknown();
    root.warn_unknown();
    finished(resources, findings, document)
}

/// What is wrong with the pools together, and with the resources of today that stand beside them; empty where nothing is.
pub(super) fn check(pools: &[Value], documents: &[Document], namespace: &str) -> Vec<Finding> {
    let Some(first) = pools.first() else { return Vec::new() };
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"".into(), to_text(pools).as_bytes());
    for value in documents.iter().filter(|document| is_of_today(document)).map(|document| &document.value) {
        manifests.read_bytes(&"".into(), manifest::to_yaml(&Value::Object(value.clone())).as_bytes());
    }
    let namespace = first.get("metadata").and_then(|metadata| metadata.get("namespace")?.as_str()).unwrap_or(namespace);
    let settings = Settings { install_namespace: namespace.into(), ..Settings::default() };
    let report = load::check(manifests, &settings).report;
    let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error).cloned();
    errors.map(|finding| placed(finding, documents)).collect()
}

fn is_of_today(document: &Document) -> bool {
    let text = |name: &str| document.value.get(name).and_then(Value::as_str).unwrap_or_default();
    text("apiVersion").starts_with("metallb.io/") && text("kind") != "AddressPool"
}

/// With the place of the document that has the name.
fn placed(finding: Finding, documents: &[Document]) -> Finding {
    let name_of = |document: &Document| {
        document.value.get("metadata").and_then(|metadata| metadata.get("name")?.as_str().map(str::to_owned))
    };
    let document = documents.iter().find(|document| name_of(document).as_deref() == Some(&*finding.name));
    match document.or_else(|| documents.first()) {
        Some(document) => Finding { file: Arc::clone(&document.file), line: document.line, ..finding },
        None => finding,
    }
}
