//! What was found wrong with the input, as people and programs read it.
//!
//! The JSON form is a contract: fields may be added, none renamed. Findings are ordered as the input was read: by file, then by line.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lbcore::allocator::NoAddress;
use lbcore::config::{Category, Problem, Severity};
use lbcore::request::ClusterIpsProblem;
use serde::{Serialize, Serializer};

use crate::convert::ServiceObject;
use crate::manifest::{Document, Malformed};
use crate::names::Shown;
use crate::output;

/// One problem with its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it makes the input unusable.
    #[serde(serialize_with = "as_text")]
    pub severity: Severity,
    /// The category, one of the machine contract.
    pub category: &'static str,
    /// The file, empty where no single file is concerned.
    pub file: Arc<str>,
    /// The line in the file, from 1; 0 where no file is given.
    pub line: usize,
    /// The kind of the object; empty where there is none. Of text that does not parse it is what seems to stand there.
    pub kind: Arc<str>,
    /// The namespace; empty for objects outside of namespaces.
    pub namespace: Arc<str>,
    /// The name.
    pub name: Arc<str>,
    /// Path of the field, such as `spec.addresses[1]`; empty for the whole object.
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// How to mend it.
    pub fix: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn as_text<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(severity)
}

impl Finding {
    /// A text that could not be read.
    pub fn of_malformed(malformed: &Malformed) -> Self {
        Self {
            severity: Severity::Error,
            category: Category::Schema.as_str(),
            file: Arc::clone(&malformed.file),
            line: malformed.line,
            kind: Arc::clone(&malformed.claimed.kind),
            namespace: Arc::clone(&malformed.claimed.namespace),
            name: Arc::clone(&malformed.claimed.name),
            field: String::new(),
            message: malformed.reason.to_string(),
            fix: malformed.reason.fix().to_owned(),
        }
    }

    /// A file in which there is no object.
    pub fn of_empty(file: &Arc<str>) -> Self {
        Self {
            severity: Severity::Warning,
            category: Category::NoData.as_str(),
            file: Arc::clone(file),
            line: 1,
            kind: "".into(),
            namespace: "".into(),
            name: "".into(),
            field: String::new(),
            message: "there is no object in it".to_owned(),
            fix: "write objects with apiVersion, kind and metadata, or leave the file out".to_owned(),
        }
    }

    /// A Service that gets nothing, or not what it asks for. The reason says how to mend it.
    pub fn of_service(service: &ServiceObject, reason: &NoAddress, documents: &[Document]) -> Self {
        let object = &service.object;
        let field = service.field_of(reason);
        let document = usize::try_from(object.origin.0).ok().and_then(|index| documents.get(index));
        let text = reason.to_string();
        // The mend stands last, behind a colon.
        let (message, fix) = text.rsplit_once(": ").unwrap_or((&text, ""));
        let standalone = if *reason == NoAddress::ClusterIps(ClusterIpsProblem::Missing) {
            "; `ferrule run` needs none: check for it with --standalone"
        } else {
            ""
        };
        let (message, fix) = (message.to_owned(), format!("{fix}{standalone}"));
        Self {
            severity: Severity::Warning,
            category: reason.category(),
            file: document.map_or_else(|| "".into(), |document| Arc::clone(&document.file)),
            line: document.map_or(0, |document| document.positions.line_of(&field)),
            kind: Arc::clone(&object.kind),
            namespace: object.namespace.clone().unwrap_or_else(|| "".into()),
            name: Arc::clone(&object.name),
            field,
            message,
            fix,
        }
    }

    /// What it says of which object, without the place. Of what concerns no object the file is one.
    fn subject(&self) -> [&str; 6] {
        let object = if self.name.is_empty() { &self.file } else { &self.name };
        [&self.kind, &self.namespace, object, &self.field, self.category, &self.message]
    }

    /// A problem, whose origin is the index of its document.
    pub fn of_problem(problem: Problem, documents: &[Document]) -> Self {
        let Problem { severity, category, object, field, message, fix } = problem;
        let index = object.as_ref().and_then(|object| usize::try_from(object.origin.0).ok());
        let document = index.and_then(|index| documents.get(index));
        let (file, line) = document.map_or_else(
            || ("".into(), 0),
            |document| (Arc::clone(&document.file), document.positions.line_of(&field)),
        );
        let (kind, namespace, name) =
            object.map_or_else(|| ("".into(), None, "".into()), |object| (object.kind, object.namespace, object.name));
        let namespace = namespace.unwrap_or_else(|| "".into());
        Self { severity, category: category.as_str(), file, line, kind, namespace, name, field, message, fix }
    }
}

/// `file:line: severity: Kind namespace/name: field: message (fix)` on one line, whatever stands in the input.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}:{}: ", Shown(&self.file), self.line)?;
        }
        write!(f, "{}: ", self.severity)?;
        if !self.kind.is_empty() && self.name.is_empty() {
            write!(f, "{}: ", Shown(&self.kind))?;
        } else if !self.kind.is_empty() {
            let slash = if self.namespace.is_empty() { "" } else { "/" };
            write!(f, "{} {}{slash}{}: ", Shown(&self.kind), Shown(&self.namespace), Shown(&self.name))?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", Shown(&self.field))?;
        }
        write!(f, "{}", Shown(&self.message))?;
        if self.fix.is_empty() { Ok(()) } else { write!(f, " ({})", Shown(&self.fix)) }
    }
}

/// All findings about one input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    findings: Vec<Finding>,
    /// How many documents there were, malformed ones included.
    documents: usize,
}

/// The form of `-o json`.
#[derive(Serialize)]
struct JsonReport<'r> {
    valid: bool,
    problems: &'r [Finding],
}

impl Report {
    /// Orders the findings by file as read, then by line; those of one line keep their order.
    pub fn new(mut findings: Vec<Finding>, files: &[Arc<str>], documents: usize) -> Self {
        // Of a file that was read twice the first place counts.
        let places: BTreeMap<&Arc<str>, usize> =
            files.iter().zip(0_usize..).collect::<Vec<_>>().into_iter().rev().collect();
        findings.sort_by_key(|finding| (places.get(&finding.file).copied(), finding.line));
        Self { findings, documents }
    }

    /// Adds findings, in the order of the files.
    pub fn add(&mut self, findings: Vec<Finding>, files: &[Arc<str>]) {
        let known = core::mem::take(&mut self.findings);
        *self = Self::new(known.into_iter().chain(findings).collect(), files, self.documents);
    }

    /// Takes out what another report says of the same object as well, wherever that stands there.
    pub fn leave_out(&mut self, other: &Self) {
        let known: BTreeSet<_> = other.findings.iter().map(Finding::subject).collect();
        self.findings.retain(|finding| !known.contains(&finding.subject()));
    }

    /// Several reports as one, each in its order.
    pub fn joined(reports: impl IntoIterator<Item = Self>) -> Self {
        let mut joined = Self::default();
        for report in reports {
            joined.findings.extend(report.findings);
            joined.documents += report.documents;
        }
        joined
    }

    /// The findings in order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Whether nothing is an error.
    pub fn is_valid(&self) -> bool {
        self.count(Severity::Error) == 0
    }

    /// One line a warning, for commands that print something else.
    pub fn warnings(&self) -> String {
        let warnings = self.findings.iter().filter(|finding| finding.severity == Severity::Warning);
        warnings.flat_map(|finding| [finding.to_string(), "\n".to_owned()]).collect()
    }

    fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// One line a finding, and a last one with the counts.
    pub fn to_text(&self) -> String {
        let lines = self.findings.iter().map(|finding| format!("{finding}\n"));
        lines.chain([format!("{}\n", self.summary())]).collect()
    }

    fn summary(&self) -> String {
        let counted = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
        format!(
            "{} and {} in {}",
            counted(self.count(Severity::Error), "error"),
            counted(self.count(Severity::Warning), "warning"),
            counted(self.documents, "document")
        )
    }

    /// The machine form, with a line break at the end.
    pub fn to_json(&self) -> String {
        let report = JsonReport { valid: self.is_valid(), problems: &self.findings };
        output::json(&report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(file: &str, line: usize, severity: Severity) -> Finding {
        Finding {
            severity,
            category: "schema",
            file: file.into(),
            line,
            kind: "IPAddressPool".into(),
            namespace: "metallb-system".into(),
            name: "office".into(),
            field: "spec.addresses[1]".into(),
            message: "bad".into(),
            fix: "good".into(),
        }
    }

    #[test]
    fn findings_come_in_the_order_of_the_input() {
        let findings = vec![
            finding("b", 1, Severity::Error),
            finding("a", 9, Severity::Warning),
            finding("b", 0, Severity::Error),
        ];
        let report = Report::new(findings, &["b".into(), "a".into()], 3);
        let places: Vec<_> = report.findings().iter().map(|finding| (&*finding.file, finding.line)).collect();
        assert_eq!(places, [("b", 0), ("b", 1), ("a", 9)]);
        assert!(!report.is_valid());
        let text = report.to_text();
        let last = "a:9: warning: IPAddressPool metallb-system/office: spec.addresses[1]: bad (good)\n2 errors and 1 warning in 3 documents\n";
        assert!(text.ends_with(last), "{text}");
    }

    #[test]
    fn an_object_without_a_name_is_told_by_its_kind() {
        let nameless = Finding { name: "".into(), ..finding("a", 9, Severity::Error) };
        assert!(nameless.to_string().starts_with("a:9: error: IPAddressPool: spec"), "{nameless}");
    }

    #[test]
    fn the_machine_form_has_its_names() {
        let report = Report::new(vec![finding("a", 9, Severity::Warning)], &["a".into()], 1);
        let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
        let expected = serde_json::json!({"valid": true, "problems": [{"severity": "warning", "category": "schema", "file": "a",
            "line": 9, "kind": "IPAddressPool", "namespace": "metallb-system", "name": "office", "field": "spec.addresses[1]",
            "message": "bad", "fix": "good"}]});
        assert_eq!(json, expected);
    }
}
