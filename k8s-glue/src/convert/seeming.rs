//! Documents that are no objects, or no finished ones: what they seem to be, and what makes objects of them.
//!
//! People give what they have: the values of a chart, a template, a kustomization, the text that the old ConfigMap held.

use core::fmt::Write as _;

use serde_json::{Map, Value};

use crate::manifest;

/// What a document seems to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seeming {
    /// The field that shows it.
    pub(super) field: String,
    pub(super) message: String,
    pub(super) fix: &'static str,
}

impl Seeming {
    fn new(field: &str, what: &str, fix: &'static str) -> Self {
        Self { field: field.to_owned(), message: format!("this seems to be {what}"), fix }
    }
}

/// How to turn the old format into resources.
const CONVERT: &str = "turn it into resources with `ferrule convert`";
/// How to get the objects of a chart.
const RENDER: &str =
    "render the chart first, and give what comes out: `helm template NAME CHART -f VALUES | ferrule validate -f -`";
/// How to get the objects of a kustomization.
pub(super) const BUILD: &str =
    "build it first, and give what comes out: `kubectl kustomize FOLDER | ferrule validate -f -`";

/// Keys of the old format, with what shows that they are of it: `peers` is a word of others, too.
const OLD_FORMAT: [&str; 3] = ["address-pools", "bfd-profiles", "bgp-communities"];
/// Keys of its peers.
const OLD_PEER: [&str; 3] = ["peer-address", "peer-asn", "my-asn"];
/// Keys of the values of MetalLB's chart, of a chart around it, and of charts in general.
const CHART_VALUES: [&str; 16] = [
    "speaker",
    "controller",
    "frrk8s",
    "frr-k8s",
    "metallb",
    "loadBalancerClass",
    "existingConfigMap",
    "configInline",
    "nameOverride",
    "fullnameOverride",
    "imagePullSecrets",
    "prometheus",
    "rbac",
    "crds",
    "replicaCount",
    "global",
];
/// Keys of a kustomization that says neither `apiVersion` nor `kind`, which its tool allows.
const KUSTOMIZATION: [&str; 9] = [
    "resources",
    "bases",
    "components",
    "patches",
    "patchesStrategicMerge",
    "configMapGenerator",
    "secretGenerator",
    "helmCharts",
    "namePrefix",
];

/// Whether a text begins a line with a key of the old format.
pub(super) fn is_old_format(text: &str) -> bool {
    let is_of_it = |line: &str| {
        let key = line.split_once(':').map_or("", |(key, _)| key);
        key == "peers" || OLD_FORMAT.contains(&key)
    };
    text.lines().any(is_of_it)
}

/// What a document without an `apiVersion` or a `kind` seems to be; `None` where it may be an object that lacks them.
pub(super) fn without_kind(document: &Map<String, Value>) -> Option<Seeming> {
    let has = |key: &str| document.contains_key(key);
    if has("kind") || has("metadata") || has("spec") {
        return None;
    }
    if document.get("configInline").and_then(Value::as_object).is_some_and(|config| !config.is_empty()) {
        return Some(Seeming::new(
            "configInline",
            "values of MetalLB's chart with a configuration in the old format",
            CONVERT,
        ));
    }
    let old_peers = document.get("peers").is_some_and(has_old_peer).then_some("peers");
    if let Some(key) = OLD_FORMAT.into_iter().find(|key| has(key)).or(old_peers) {
        return Some(Seeming::new(key, "the text of the ConfigMap of MetalLB before 0.13, which is not read", CONVERT));
    }
    if document.get("data").and_then(|data| data.get("config")?.as_str()).is_some_and(is_old_format) {
        return Some(Seeming::new(
            "data.config",
            "a piece of the ConfigMap of MetalLB before 0.13, which is not read",
            CONVERT,
        ));
    }
    if has("apiVersion") {
        let is_chart = has("name") && has("version");
        return is_chart.then(|| Seeming::new("version", "the Chart.yaml of a Helm chart", RENDER));
    }
    if let Some(key) = CHART_VALUES.into_iter().find(|key| has(key)) {
        return Some(Seeming::new(key, "values of a Helm chart, which hold no objects", RENDER));
    }
    KUSTOMIZATION.into_iter().find(|key| has(key)).map(|key| Seeming::new(key, "a kustomization", BUILD))
}

fn has_old_peer(peers: &Value) -> bool {
    let peers = peers.as_array().map(Vec::as_slice).unwrap_or_default();
    peers.iter().any(|peer| OLD_PEER.iter().any(|key| peer.get(*key).is_some()))
}

/// The first field of an object's name or spec, or of the annotations that are read, in which a template's mark still stands.
pub(super) fn template(document: &Map<String, Value>) -> Option<Seeming> {
    let metadata = document.get("metadata");
    let names = ["name", "namespace"].into_iter().filter_map(|name| Some((name, metadata?.get(name)?)));
    let annotations = metadata.and_then(|metadata| metadata.get("annotations")?.as_object()).into_iter().flatten();
    let ours = annotations.filter(|(key, _)| key.starts_with("metallb."));
    let mut places = names
        .map(|(name, value)| (format!("metadata.{name}"), value))
        .chain(ours.map(|(key, value)| (format!("metadata.annotations[{key}]"), value)))
        .chain(document.get("spec").map(|spec| ("spec".to_owned(), spec)));
    let (mut field, value) = places.find(|(_, value)| holds_mark(value))?;
    let mark = mark_in(value, &mut field)?;
    let message = format!("`{mark}` stands here: this seems to be a template that was not rendered");
    Some(Seeming { field, message, fix: manifest::RENDER })
}

/// Whether there is a mark at all: most values have none, and need no path.
fn holds_mark(value: &Value) -> bool {
    match value {
        Value::String(text) => manifest::template_mark(text).is_some(),
        Value::Array(items) => items.iter().any(holds_mark),
        Value::Object(map) => map.values().any(holds_mark),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The first mark; the path goes on to the text that has it.
fn mark_in<'v>(value: &'v Value, path: &mut String) -> Option<&'v str> {
    let length = path.len();
    let mut within = |step: core::fmt::Arguments<'_>, value: &'v Value| {
        let _ = path.write_fmt(step);
        let mark = mark_in(value, path);
        if mark.is_none() {
            path.truncate(length);
        }
        mark
    };
    match value {
        Value::String(text) => manifest::template_mark(text),
        Value::Array(items) => items.iter().zip(0..).find_map(|(item, index)| within(format_args!("[{index}]"), item)),
        Value::Object(map) => map.iter().find_map(|(key, item)| within(format_args!(".{key}"), item)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn seems(value: &Value) -> Option<(String, bool)> {
        let seeming = value.as_object().and_then(without_kind)?;
        Some((seeming.field, seeming.fix == CONVERT))
    }

    #[test]
    fn what_people_have_beside_objects_is_told_apart() {
        for (value, field, is_converted) in [
            (json!({"address-pools": []}), "address-pools", true),
            (json!({"bgp-communities": {"a": "1:2"}, "peers": null}), "bgp-communities", true),
            (json!({"peers": [{"peer-address": "192.0.2.1"}]}), "peers", true),
            (json!({"configInline": {"peers": []}, "controller": {}}), "configInline", true),
            (json!({"data": {"config": "peers:\n- {}\n"}}), "data.config", true),
            (json!({"configInline": {}, "controller": {}}), "controller", false),
            (json!({"speaker": {"frr": {"enabled": false}}, "controller": {}}), "speaker", false),
            (json!({"metallb": {"speaker": {}}}), "metallb", false),
            (json!({"apiVersion": "v2", "name": "metallb", "version": "0.15.3"}), "version", false),
            (json!({"resources": ["pool.yaml"], "namePrefix": "a-"}), "resources", false),
        ] {
            assert_eq!(seems(&value), Some((field.to_owned(), is_converted)), "{value}");
        }
        for value in [
            json!({"spec": {"addresses": []}, "speaker": {}}),
            json!({"kind": "Service", "controller": {}}),
            json!({"peers": ["a", "b"]}),
            json!({"apiVersion": "v1"}),
            json!({"a": 1}),
        ] {
            assert_eq!(seems(&value), None, "{value}");
        }
    }

    #[test]
    fn a_mark_of_a_template_is_found_with_its_field() {
        let pool = json!({"metadata": {"name": "p"}, "spec": {"addresses": ["192.0.2.0/24", "{{ .Values.range }}"]}});
        let seeming = template(pool.as_object().expect("a map")).expect("it is a template");
        assert_eq!(seeming.field, "spec.addresses[1]");
        assert!(seeming.message.starts_with("`{{ .Values.range }}` stands here"), "{}", seeming.message);
        let service =
            json!({"metadata": {"name": "s", "annotations": {"example.com/a": "{{ x }}", "metallb.io/b": "{{ y }}"}}});
        let seeming = template(service.as_object().expect("a map")).expect("it is a template");
        assert_eq!(seeming.field, "metadata.annotations[metallb.io/b]");
        let secret = json!({"metadata": {"name": "s", "labels": {"a": "{{"}}, "stringData": {"a": "{{ x }}"}});
        assert_eq!(template(secret.as_object().expect("a map")), None);
    }
}
