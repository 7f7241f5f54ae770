//! The text of the old `ConfigMap` as resources: peers, pools with their advertisements, BFD profiles, communities ([LEGACY-1]).

use core::time::Duration;
use std::sync::Arc;

use lbcore::config::{Category, ObjectRef, Severity};
use serde_json::{Map, Value, json};

use super::{Converted, name};
use crate::convert::field::{Fields, Findings};
use crate::convert::parse_duration;
use crate::manifest::Document;
use crate::report::Finding;

/// Hold time where the old format gives none.
const DEFAULT_HOLD_TIME: Duration = Duration::from_secs(90);
/// Where the values of MetalLB's chart had the configuration.
const CHART_KEY: &str = "configInline";

/// A resource with the fields of its spec that are there.
pub(super) struct Writer {
    pub(super) namespace: Arc<str>,
}

impl Writer {
    pub(super) fn resource(&self, version: &str, kind: &str, name: &str, spec: Map<String, Value>) -> Value {
        Value::Object(Map::from_iter([
            ("apiVersion".to_owned(), format!("metallb.io/{version}").into()),
            ("kind".to_owned(), kind.into()),
            ("metadata".to_owned(), json!({"name": name, "namespace": &*self.namespace})),
            ("spec".to_owned(), Value::Object(spec)),
        ]))
    }
}

/// Puts a field in where it is there.
pub(super) fn put(spec: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        spec.insert(name.to_owned(), value.into());
    }
}

pub(super) fn put_list(spec: &mut Map<String, Value>, name: &str, values: Vec<String>) {
    put(spec, name, (!values.is_empty()).then_some(values));
}

/// Converts the text, or the values of a chart that hold it.
pub(super) fn convert(document: &Document, object: ObjectRef) -> Converted {
    let writer = Writer { namespace: object.namespace.clone().unwrap_or_default() };
    let findings = Findings::of(object, document);
    let mut root = Fields::of(&findings, &document.value);
    if document.value.contains_key(CHART_KEY) {
        root = root.child(CHART_KEY);
    }
    let mut resources: Vec<Value> = Vec::new();
    for (index, peer) in root.children("peers").into_iter().enumerate() {
        let mut peer = peer.with_loose_texts();
        let spec = peer_spec(&mut peer);
        peer.warn_unknown();
        resources.push(writer.resource("v1beta2", "BGPPeer", &format!("peer{}", index + 1), spec));
    }
    let mut advertisements = Advertisements::default();
    for mut pool in root.children("address-pools") {
        let name = resource_name(&mut pool);
        let mut spec = Map::new();
        put_list(&mut spec, "addresses", pool.texts("addresses"));
        put(&mut spec, "autoAssign", pool.boolean("auto-assign"));
        put(&mut spec, "avoidBuggyIPs", pool.boolean("avoid-buggy-ips"));
        resources.push(writer.resource("v1beta1", "IPAddressPool", &name, spec));
        advertisements.of_pool(&mut pool, &name, &writer);
        pool.warn_unknown();
    }
    resources.extend(advertisements.bgp.into_iter().chain(advertisements.l2));
    for mut profile in root.children("bfd-profiles") {
        let name = resource_name(&mut profile);
        let spec = profile_spec(&mut profile);
        profile.warn_unknown();
        resources.push(writer.resource("v1beta1", "BFDProfile", &name, spec));
    }
    let aliases = root.text_map("bgp-communities");
    if !aliases.is_empty() {
        let aliases: Vec<Value> = aliases.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let spec = Map::from_iter([("communities".to_owned(), aliases.into())]);
        resources.push(writer.resource("v1beta1", "Community", "communities", spec));
    }
    root.warn_unknown();
    finished(resources, findings, document)
}

/// The resources with the warnings, or everything that is wrong.
pub(super) fn finished(resources: Vec<Value>, findings: Findings, document: &Document) -> Converted {
    let documents = core::slice::from_ref(document);
    let problems = findings.into_problems().into_iter();
    let found: Vec<Finding> = problems.map(|problem| Finding::of_problem(problem, documents)).collect();
    let refused = found.iter().any(|finding| finding.severity == Severity::Error);
    if refused { Err(found) } else { Ok((resources, found)) }
}

/// The name of a pool or profile, made into one that the API server takes ([LEGACY-2]).
fn resource_name(fields: &mut Fields<'_>) -> String {
    let given = fields.text("name").unwrap_or_default();
    sanitized(fields, "name", &given)
}

fn sanitized(fields: &Fields<'_>, field: &str, given: &str) -> String {
    name::sanitized(given).unwrap_or_else(|| {
        let message = format!("no name of a resource can be made of {given:?}");
        let fix = "give it a name with a letter";
        fields.findings().add(Severity::Error, Category::InvalidName, &fields.path_of(field), message, fix);
        String::new()
    })
}

/// BGP and layer 2 advertisements, numbered across all pools.
#[derive(Default)]
struct Advertisements {
    bgp: Vec<Value>,
    l2: Vec<Value>,
}

impl Advertisements {
    /// [LEGACY-1]
    fn of_pool(&mut self, pool: &mut Fields<'_>, name: &str, writer: &Writer) {
        let protocol = pool.text("protocol").unwrap_or_default();
        let mut given: Vec<Map<String, Value>> = Vec::new();
        for mut advertisement in pool.children("bgp-advertisements") {
            let mut spec = Map::new();
            put(&mut spec, "aggregationLength", advertisement.integer("aggregation-length"));
            put(&mut spec, "aggregationLengthV6", advertisement.integer("aggregation-length-v6"));
            put(&mut spec, "localPref", advertisement.integer("localpref"));
            put_list(&mut spec, "communities", advertisement.texts("communities"));
            advertisement.warn_unknown();
            given.push(spec);
        }
        if given.is_empty() && protocol == "bgp" {
            given.push(Map::new());
        }
        for mut spec in given {
            spec.insert("ipAddressPools".to_owned(), json!([name]));
            let own_name = format!("bgpadvertisement{}", self.bgp.len() + 1);
            self.bgp.push(writer.resource("v1beta1", "BGPAdvertisement", &own_name, spec));
        }
        if protocol == "layer2" {
            let spec = Map::from_iter([("ipAddressPools".to_owned(), json!([name]))]);
            let own_name = format!("l2advertisement{}", self.l2.len() + 1);
            self.l2.push(writer.resource("v1beta1", "L2Advertisement", &own_name, spec));
        }
    }
}

fn peer_spec(peer: &mut Fields<'_>) -> Map<String, Value> {
    let mut spec = Map::new();
    put(&mut spec, "myASN", peer.integer("my-asn"));
    put(&mut spec, "peerASN", peer.integer("peer-asn"));
    put(&mut spec, "peerAddress", peer.text("peer-address"));
    put(&mut spec, "sourceAddress", peer.text("source-address"));
    put(&mut spec, "peerPort", peer.integer("peer-port").filter(|port| *port != 0));
    let hold_time = whole_seconds(peer, "hold-time").unwrap_or(DEFAULT_HOLD_TIME.as_secs());
    put(&mut spec, "holdTime", Some(format!("{hold_time}s")));
    put(&mut spec, "keepaliveTime", whole_seconds(peer, "keepalive-time").map(|seconds| format!("{seconds}s")));
    put(&mut spec, "routerID", peer.text("router-id"));
    put(&mut spec, "password", peer.text("password"));
    let profile = peer.text("bfd-profile").filter(|profile| !profile.is_empty());
    put(&mut spec, "bfdProfile", profile.map(|profile| sanitized(peer, "bfd-profile", &profile)));
    put(&mut spec, "ebgpMultiHop", peer.boolean("ebgp-multihop"));
    let selectors: Vec<Value> = peer.children("node-selectors").into_iter().map(selector).collect();
    put(&mut spec, "nodeSelectors", (!selectors.is_empty()).then_some(selectors));
    spec
}

/// A timer without its fractions of a second.
fn whole_seconds(peer: &mut Fields<'_>, name: &'static str) -> Option<u64> {
    let text = peer.text(name).filter(|text| !text.is_empty())?;
    let duration = parse_duration(&text);
    if duration.is_none() {
        let message = format!("{text:?} is no duration");
        let fix = "write a duration such as 90s";
        peer.findings().add(Severity::Error, Category::InvalidTimers, &peer.path_of(name), message, fix);
    }
    Some(duration?.as_secs())
}

fn selector(mut fields: Fields<'_>) -> Value {
    let mut selector = Map::new();
    let labels = fields.text_map("match-labels");
    if !labels.is_empty() {
        selector.insert("matchLabels".to_owned(), json!(labels));
    }
    let mut expressions = Vec::new();
    for mut expression in fields.children("match-expressions") {
        let mut requirement = Map::new();
        put(&mut requirement, "key", expression.text("key"));
        put(&mut requirement, "operator", expression.text("operator"));
        put_list(&mut requirement, "values", expression.texts("values"));
        expression.warn_unknown();
        expressions.push(Value::Object(requirement));
    }
    put(&mut selector, "matchExpressions", (!expressions.is_empty()).then_some(expressions));
    fields.warn_unknown();
    Value::Object(selector)
}

fn profile_spec(profile: &mut Fields<'_>) -> Map<String, Value> {
    let mut spec = Map::new();
    put(&mut spec, "receiveInterval", profile.integer("receive-interval"));
    put(&mut spec, "transmitInterval", profile.integer("transmit-interval"));
    put(&mut spec, "detectMultiplier", profile.integer("detect-multiplier"));
    put(&mut spec, "echoInterval", profile.integer("echo-interval"));
    put(&mut spec, "echoMode", Some(profile.boolean("echo-mode").unwrap_or_default()));
    put(&mut spec, "passiveMode", Some(profile.boolean("passive-mode").unwrap_or_default()));
    put(&mut spec, "minimumTtl", profile.integer("minimum-ttl"));
    spec
}
