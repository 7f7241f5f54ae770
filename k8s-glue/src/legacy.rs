//! The configuration of releases before custom resources, from its `ConfigMap` to resources ([LEGACY-1] to [LEGACY-4]).
//!
//! Read is the object, or the text that it holds under `config`. What comes out was checked like any other configuration.

mod name;

use core::time::Duration;
use std::io;
use std::sync::Arc;

use lbcore::config::{Category, ObjectRef, Origin, Problem, Settings, Severity};
use serde_json::{Map, Value, json};

use crate::args::{ConvertArgs, Outcome};
use crate::convert::field::{Fields, Findings};
use crate::convert::parse_duration;
use crate::manifest::{self, Document, Manifests};
use crate::report::{Finding, Report};
use crate::{load, output};

/// Hold time where the old format gives none.
const DEFAULT_HOLD_TIME: Duration = Duration::from_secs(90);

/// What came of old configurations.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    /// The resources: peers, pools, advertisements by BGP and on layer 2, BFD profiles, communities.
    pub resources: Vec<Value>,
    /// What is wrong with the input.
    pub report: Report,
}

/// Converts every old configuration among the documents. `namespace` is for those that name none.
pub fn convert(manifests: Manifests, namespace: &str) -> Conversion {
    let Manifests { documents, malformed, files } = manifests;
    let mut findings: Vec<Finding> = malformed.iter().map(Finding::of_malformed).collect();
    let count = documents.len() + malformed.len();
    let mut resources = Vec::new();
    for document in &documents {
        match convert_document(document, namespace) {
            Ok((converted, warnings)) => {
                resources.extend(converted);
                findings.extend(warnings);
            }
            Err(problems) => findings.extend(problems),
        }
    }
    Conversion { resources, report: Report::new(findings, &files, count) }
}

/// The input is good and describes nothing.
fn nothing_in(files: &[Arc<str>]) -> Finding {
    let file = files.first().cloned().unwrap_or_default();
    Finding {
        severity: Severity::Error,
        category: Category::NoData.as_str(),
        line: usize::from(!file.is_empty()),
        file,
        kind: "".into(),
        namespace: "".into(),
        name: "".into(),
        field: String::new(),
        message: "there is no configuration to convert".to_owned(),
        fix: "give the ConfigMap, or the text of its key config".to_owned(),
    }
}

/// Resources with warnings, or what is wrong.
type Converted = Result<(Vec<Value>, Vec<Finding>), Vec<Finding>>;

fn convert_document(document: &Document, namespace: &str) -> Converted {
    let metadata =
        |name: &str| document.value.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_str);
    let kind = document.value.get("kind").and_then(Value::as_str);
    let object = ObjectRef {
        kind: kind.unwrap_or("ConfigMap").into(),
        namespace: Some(metadata("namespace").unwrap_or(namespace).into()),
        name: metadata("name").unwrap_or("config").into(),
        origin: Origin(0),
    };
    let refuse = |category, field: &str, message: &str, fix: &str| {
        let (message, fix) = (message.to_owned(), fix.to_owned());
        let problem = Problem {
            severity: Severity::Error,
            category,
            object: Some(object.clone()),
            field: field.to_owned(),
            message,
            fix,
        };
        vec![Finding::of_problem(problem, core::slice::from_ref(document))]
    };
    let inner = match kind {
        None => vec![document.clone()],
        Some("ConfigMap") => {
            let text = document.value.get("data").and_then(|data| data.get("config")).and_then(Value::as_str);
            let fix = "put the configuration under data.config";
            let text =
                text.ok_or_else(|| refuse(Category::NoData, "data.config", "there is no configuration in it", fix))?;
            inner_documents(document, text)?
        }
        Some(_) => {
            let fix = "give the ConfigMap, or the text of its key config";
            return Err(refuse(Category::NotAConfigMap, "kind", "this is no ConfigMap", fix));
        }
    };
    let (mut resources, mut warnings) = (Vec::new(), Vec::new());
    for document in inner {
        let (converted, found) = convert_config(&document, object.clone())?;
        resources.extend(converted);
        warnings.extend(found);
    }
    check(&resources, &object, document)?;
    Ok((resources, warnings))
}

/// The configuration within the object; blank lines in front make its lines those of the file.
fn inner_documents(document: &Document, text: &str) -> Result<Vec<Document>, Vec<Finding>> {
    let mut manifests = Manifests::default();
    let padded = "\n".repeat(document.positions.line_of("data.config")) + text;
    manifests.read_bytes(&document.file, padded.as_bytes());
    if manifests.malformed.is_empty() {
        return Ok(manifests.documents);
    }
    Err(manifests.malformed.iter().map(Finding::of_malformed).collect())
}

/// The resources must make a configuration ([LEGACY-3]); what is wrong is said of the old object.
fn check(resources: &[Value], object: &ObjectRef, document: &Document) -> Result<(), Vec<Finding>> {
    let mut manifests = Manifests::default();
    manifests.read_bytes(&document.file, to_text(resources).as_bytes());
    let settings = Settings { install_namespace: object.namespace.clone().unwrap_or_default(), ..Settings::default() };
    let report = load::check(manifests, &settings).report;
    let errors = report.findings().iter().filter(|finding| finding.severity == Severity::Error).cloned();
    let of_object = |finding| Finding { file: Arc::clone(&document.file), line: document.line, ..finding };
    let errors: Vec<Finding> = errors.map(of_object).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The resources as documents, with a line that says where they are from ([LEGACY-4]).
pub fn to_text(resources: &[Value]) -> String {
    let documents: Vec<String> = resources.iter().map(manifest::to_yaml).collect();
    format!("# Made by ferrule convert from a configuration in the old ConfigMap format.\n{}", documents.join("---\n"))
}

/// A resource with the fields of its spec that are there.
struct Writer {
    namespace: Arc<str>,
}

impl Writer {
    fn resource(&self, version: &str, kind: &str, name: &str, spec: Map<String, Value>) -> Value {
        Value::Object(Map::from_iter([
            ("apiVersion".to_owned(), format!("metallb.io/{version}").into()),
            ("kind".to_owned(), kind.into()),
            ("metadata".to_owned(), json!({"name": name, "namespace": &*self.namespace})),
            ("spec".to_owned(), Value::Object(spec)),
        ]))
    }
}

/// Puts a field in where it is there.
fn put(spec: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        spec.insert(name.to_owned(), value.into());
    }
}

fn put_list(spec: &mut Map<String, Value>, name: &str, values: Vec<String>) {
    put(spec, name, (!values.is_empty()).then_some(values));
}

fn convert_config(document: &Document, object: ObjectRef) -> Converted {
    let writer = Writer { namespace: object.namespace.clone().unwrap_or_default() };
    let findings = Findings::of(object, document);
    let mut root = Fields::of(&findings, &document.value);
    let mut resources: Vec<Value> = Vec::new();
    for (index, mut peer) in root.children("peers").into_iter().enumerate() {
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
    let documents = core::slice::from_ref(document);
    let problems = findings.into_problems().into_iter();
    let found: Vec<Finding> = problems.map(|problem| Finding::of_problem(problem, documents)).collect();
    let refused = found.iter().any(|finding| finding.severity == Severity::Error);
    if refused { Err(found) } else { Ok((resources, found)) }
}

/// The name of a pool or profile, made into one that the API server takes ([LEGACY-2]).
fn resource_name(fields: &mut Fields<'_>) -> String {
    let given = fields.text("name").unwrap_or_default();
    name::sanitized(&given).unwrap_or_else(|| {
        let message = format!("no name of a resource can be made of {given:?}");
        let fix = "give it a name with a letter";
        fields.findings().add(Severity::Error, Category::InvalidName, &fields.path_of("name"), message, fix);
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
    put(&mut spec, "bfdProfile", profile.map(|profile| name::sanitized(&profile).unwrap_or(profile)));
    put(&mut spec, "ebgpMultiHop", peer.boolean("ebgp-multihop"));
    let selectors: Vec<Value> = peer.children("node-selectors").into_iter().map(selector).collect();
    put(&mut spec, "nodeSelectors", (!selectors.is_empty()).then_some(selectors));
    spec
}

/// A timer without its fractions of a second.
fn whole_seconds(peer: &mut Fields<'_>, name: &'static str) -> Option<u64> {
    let text = peer.text(name)?;
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

/// `ferrule convert`: resources on standard output, problems on standard error.
///
/// # Errors
/// Where one of the two cannot be written to.
pub fn run(arguments: &ConvertArgs) -> io::Result<Outcome> {
    let manifests = manifest::read_paths(&arguments.filenames);
    let files = manifests.files.clone();
    let mut conversion = convert(manifests, &arguments.namespace);
    if conversion.resources.is_empty() && conversion.report.is_valid() {
        conversion.report.add(vec![nothing_in(&files)], &files);
    }
    if !conversion.report.findings().is_empty() {
        output::complain(&conversion.report.to_text())?;
    }
    if !conversion.report.is_valid() {
        return Ok(Outcome::InputBad);
    }
    output::print(&to_text(&conversion.resources))?;
    Ok(Outcome::Good)
}
