//! The configuration of releases before custom resources, from its `ConfigMap` to resources ([LEGACY-1] to [LEGACY-4]).
//!
//! Read is the object, the text that it holds under `config`, values of MetalLB's chart that hold it under `configInline`, and the
//! kind `AddressPool`, which came between the two formats. What comes out was checked like any other configuration.

mod address_pool;
mod config;
mod name;

use std::io;
use std::sync::Arc;

use lbcore::config::{Category, ObjectRef, Origin, Problem, Settings, Severity};
use serde_json::Value;

use crate::args::{ConvertArgs, Outcome};
use crate::manifest::{self, Document, Manifests, Positions};
use crate::report::{Finding, Report};
use crate::{load, output};

/// What came of old configurations.
#[derive(Clone, Debug, Default)]
pub struct Conversion {
    /// The resources: peers, pools, advertisements by BGP and on layer 2, BFD profiles, communities.
    pub resources: Vec<Value>,
    /// What is wrong with the input.
    pub report: Report,
}

/// Converts every old configuration among the documents. `namespace` is for those that name none. Beside one, other objects are left
/// out with a warning: files hold more than one thing.
pub fn convert(manifests: Manifests, namespace: &str) -> Conversion {
    let Manifests { documents, malformed, files } = manifests;
    let mut findings: Vec<Finding> = malformed.iter().map(Finding::of_malformed).collect();
    let count = documents.len() + malformed.len();
    let mut resources = Vec::new();
    let mut pools = Vec::new();
    let is_among_old = documents.iter().any(|document| !matches!(Source::of(document), Source::Nothing(_)));
    for document in &documents {
        let source = Source::of(document);
        let is_pool = matches!(source, Source::AddressPool);
        match convert_document(document, source, namespace) {
            Ok((converted, warnings)) if is_pool => {
                pools.extend(converted);
                findings.extend(warnings);
            }
            Ok((converted, warnings)) => {
                resources.extend(converted);
                findings.extend(warnings);
            }
            Err(problems) => findings.extend(problems),
        }
    }
    if is_among_old {
        findings.iter_mut().filter(|finding| is_nothing(finding.category)).for_each(pass_over);
    }
    let problems = address_pool::check(&pools, &documents, namespace);
    if problems.is_empty() {
        resources.extend(pools);
    }
    findings.extend(problems);
    Conversion { resources, report: Report::new(findings, &files, count) }
}

/// What a document holds.
#[derive(Clone, Copy)]
enum Source {
    /// The text in an object, or in a piece of one.
    ConfigMap,
    /// The text itself, or the values of a chart.
    Plain,
    /// A pool of the kind that came between the formats.
    AddressPool,
    /// No old configuration, for this reason.
    Nothing(Category),
}

impl Source {
    fn of(document: &Document) -> Self {
        let has_text = document.value.get("data").and_then(|data| data.get("config")).is_some_and(Value::is_string);
        let group = document.value.get("apiVersion").and_then(Value::as_str).and_then(|text| text.split_once('/'));
        match document.value.get("kind").and_then(Value::as_str) {
            None | Some("ConfigMap") if has_text => Self::ConfigMap,
            Some("ConfigMap") => Self::Nothing(Category::NoData),
            None => Self::Plain,
            Some("AddressPool") if group.is_some_and(|(group, _)| group == "metallb.io") => Self::AddressPool,
            Some(_) => Self::Nothing(Category::NotAConfigMap),
        }
    }
}

/// Whether a finding of this category says that there is nothing to convert.
fn is_nothing(category: &str) -> bool {
    [Category::NoData.as_str(), Category::NotAConfigMap.as_str()].contains(&category)
}

/// Makes a warning of a finding that says that there is nothing to convert.
fn pass_over(finding: &mut Finding) {
    finding.severity = Severity::Warning;
    finding.message.push_str(", and it is left out");
    "keep it beside the result where it is still needed".clone_into(&mut finding.fix);
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

fn convert_document(document: &Document, source: Source, namespace: &str) -> Converted {
    let metadata =
        |name: &str| document.value.get("metadata").and_then(|metadata| metadata.get(name)).and_then(Value::as_str);
    let object = ObjectRef {
        kind: document.value.get("kind").and_then(Value::as_str).unwrap_or("ConfigMap").into(),
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
    let inner = match source {
        Source::AddressPool => return address_pool::convert(document, object),
        Source::Plain => vec![document.clone()],
        Source::ConfigMap => {
            let text = document.value.get("data").and_then(|data| data.get("config")).and_then(Value::as_str);
            inner_documents(document, text.unwrap_or_default()).map_err(|(line, message)| {
                let message = format!("line {line} of the text: {message}");
                refuse(
                    Category::Schema,
                    "data.config",
                    &message,
                    "correct the YAML there; it is indented with blanks alone",
                )
            })?
        }
        Source::Nothing(Category::NoData) => {
            let fix = "put the configuration under data.config";
            return Err(refuse(Category::NoData, "data.config", "there is no configuration in it", fix));
        }
        Source::Nothing(category) => {
            let fix = "give the ConfigMap, or the text of its key config";
            return Err(refuse(category, "kind", "this is no ConfigMap", fix));
        }
    };
    let (mut resources, mut warnings) = (Vec::new(), Vec::new());
    for document in inner {
        let (converted, found) = config::convert(&document, object.clone())?;
        resources.extend(converted);
        warnings.extend(found);
    }
    match check(&resources, &object, document) {
        Ok(()) => Ok((resources, warnings)),
        Err(errors) => Err(warnings.into_iter().chain(errors).collect()),
    }
}

/// The configuration within the object, or the line of the text that cannot be read and why. Blank lines in front make the lines of a
/// block those of the file; of a text in quotes every line is that of its key.
fn inner_documents(document: &Document, text: &str) -> Result<Vec<Document>, (usize, String)> {
    let mut manifests = Manifests::default();
    let key_line = document.positions.line_of("data.config");
    let padded = "\n".repeat(key_line) + text;
    manifests.read_bytes(&document.file, padded.as_bytes());
    if let Some(malformed) = manifests.malformed.first() {
        return Err((malformed.line.saturating_sub(key_line), malformed.reason.to_string()));
    }
    let mut documents = manifests.documents;
    if !is_block(document, key_line, text) {
        for inner in &mut documents {
            inner.line = key_line;
            inner.positions = Positions::unknown(key_line);
        }
    }
    Ok(documents)
}

/// Whether the text is likely to stand in lines of its own below its key: nothing else of the object stands there.
fn is_block(document: &Document, key_line: usize, text: &str) -> bool {
    let last = key_line + text.lines().count();
    let others = document.value.keys().filter(|key| *key != "data").map(|key| document.positions.line_of(key));
    others.into_iter().all(|line| line < key_line || line > last)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(text: &str) -> (Vec<String>, Vec<(Severity, &'static str, usize)>) {
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let Conversion { resources, report } = convert(manifests, "metallb-system");
        let name = |resource: &Value| format!("{} {}", resource["kind"], resource["metadata"]["name"]).replace('"', "");
        let findings = report.findings().iter().map(|finding| (finding.severity, finding.category, finding.line));
        (resources.iter().map(name).collect(), findings.collect())
    }

    const OLD_POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: AddressPool\nmetadata: {name: office}\nspec:\n  protocol: bgp\n  addresses: \
                            [192.0.2.0/24]\n  bgpAdvertisements: [{aggregationLength: 24}, {communities: [home]}]\n";
    const HOME: &str = "apiVersion: metallb.io/v1beta1\nkind: Community\nmetadata: {name: c}\nspec: {communities: [{name: home, value: '1:2'}]}\n";

    #[test]
    fn pools_of_the_kind_in_between_are_turned_with_what_stands_beside_them() {
        let (resources, findings) = converted(&format!("{OLD_POOL}---\n{HOME}"));
        assert_eq!(resources, ["IPAddressPool office", "BGPAdvertisement office", "BGPAdvertisement office-2"]);
        assert_eq!(findings, [(Severity::Warning, "not-a-configmap", 10)]);
        let (resources, findings) = converted(OLD_POOL);
        assert_eq!((resources.len(), findings), (0, vec![(Severity::Error, "unknown-community", 1)]));
    }

    #[test]
    fn values_of_the_chart_and_pieces_of_the_object_are_taken() {
        let config = "address-pools: [{name: office, protocol: layer2, addresses: [192.0.2.0/24]}]";
        for text in [format!("configInline:\n  {config}\ncontroller: {{}}\n"), format!("data:\n  config: '{config}'\n")]
        {
            let (resources, findings) = converted(&text);
            assert_eq!(resources, ["IPAddressPool office", "L2Advertisement l2advertisement1"], "{text}");
            assert_eq!(findings, [], "{text}");
        }
    }

    // [LEGACY-1], [LEGACY-2]
    #[test]
    fn an_empty_time_is_absent_and_a_reference_without_a_letter_is_no_name() {
        let peer =
            |more: &str| format!("peers:\n- {{my-asn: 64500, peer-asn: 64501, peer-address: 192.0.2.1, {more}}}\n");
        assert_eq!(
            converted(&peer("hold-time: '', keepalive-time: ''")),
            (vec!["BGPPeer peer1".to_owned()], Vec::new())
        );
        assert_eq!(converted(&peer("bfd-profile: '123'")).1, [(Severity::Error, "invalid-name", 2)]);
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let object = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata:\n";
        let block = format!("{object}  config: |\n    address-pools:\n    - name: 7\n      addresses: x\n");
        assert_eq!(converted(&block).1[0].2, 7);
        let quoted =
            "apiVersion: v1\ndata:\n  config: \"address-pools:\\n- name: 'a'\\n  addresses: x\\n\"\nkind: ConfigMap\n";
        assert_eq!(converted(quoted).1[0].2, 3);
        let tab = "apiVersion: v1\ndata:\n  config: \"address-pools:\\n\\t- a\\n\"\nkind: ConfigMap\n";
        assert_eq!(converted(tab).1, [(Severity::Error, "schema", 3)]);
    }
}
