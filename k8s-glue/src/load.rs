//! From paths to a checked configuration: read, convert, check, and one report of everything that was found.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

#[cfg(feature = "hosts")]
use lbcore::allocator::Hold;
use lbcore::config::{Config, Origin, Problem, Settings, Severity};

use crate::convert::{self, Objects};
use crate::freeze;
use crate::manifest::{self, Document, Malformed, Manifests};
#[cfg(feature = "hosts")]
use crate::recorded::Recorded;
use crate::report::{Finding, Report};

/// An input, read and checked.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The documents read.
    pub documents: Vec<Document>,
    /// The texts that could not be read.
    pub malformed: Vec<Malformed>,
    /// What they describe.
    pub objects: Objects,
    /// The configuration; `None` where anything in the input is an error.
    pub config: Option<Arc<Config>>,
    /// Everything that was found.
    pub report: Report,
    /// The names of the files in the order read.
    pub files: Vec<Arc<str>>,
}

/// Reads files and folders and checks what they describe.
pub fn load(paths: &[PathBuf], settings: &Settings) -> Loaded {
    check(manifest::read_paths(paths), settings)
}

/// An input that was read, before the rules between its objects are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) documents: Vec<Document>,
    malformed: Vec<Malformed>,
    pub(crate) objects: Objects,
    /// What is wrong with the objects each for itself.
    pub(crate) typed: Vec<Problem>,
    /// The same and what could not be read, as findings.
    pub(crate) findings: Vec<Finding>,
    pub(crate) files: Vec<Arc<str>>,
}

/// Reads files and folders, and judges each object for itself.
#[cfg(feature = "hosts")]
pub(crate) fn read(paths: &[PathBuf], settings: &Settings) -> Input {
    input(manifest::read_paths(paths), settings)
}

fn input(manifests: Manifests, settings: &Settings) -> Input {
    let Manifests { documents, malformed, files } = manifests;
    let mut objects = convert::objects(&documents, &settings.install_namespace);
    let typed = core::mem::take(&mut objects.problems);
    let mut findings: Vec<Finding> = malformed.iter().map(Finding::of_malformed).collect();
    findings.extend(empty_files(&documents, &malformed, &files));
    findings.extend(typed.iter().cloned().map(|problem| Finding::of_problem(problem, &documents)));
    Input { documents, malformed, objects, typed, findings, files }
}

/// Checks what was read. What controllers have written into the statuses of policies does not count.
pub fn check(manifests: Manifests, settings: &Settings) -> Loaded {
    judged(input(manifests, settings), settings)
}

/// Checks what was read as it stands in a cluster: what the statuses of policies say that a freeze keeps is kept, and what they say
/// that waits is given beside.
#[cfg(feature = "hosts")]
pub(crate) fn check_as_recorded(manifests: Manifests, settings: &Settings) -> (Loaded, Vec<Hold>) {
    let mut input = input(manifests, settings);
    let Recorded { holds, kept } = Recorded::of(&input.documents, &settings.install_namespace);
    input.objects.config.kept = kept;
    (judged(input, settings), holds)
}

fn judged(input: Input, settings: &Settings) -> Loaded {
    let Input { documents, malformed, objects, typed, mut findings, files } = input;
    let outcome = Config::build(&objects.config, settings);
    let unreadable = Unreadable::of(&typed);
    let ruled = outcome.problems.into_iter().filter(|problem| !unreadable.explains(problem));
    findings.extend(ruled.map(|problem| Finding::of_problem(problem, &documents)));
    let report = Report::new(findings, &files, documents.len() + malformed.len());
    let config = outcome.config.filter(|_| report.is_valid());
    let none = BTreeMap::new();
    let config =
        config.map(|config| freeze::effective(&config, &objects.config, &objects.services, &none, None, settings));
    Loaded { documents, malformed, objects, config, report, files }
}

/// A file without any object is surely not what was meant: half written, or the wrong one.
fn empty_files(documents: &[Document], malformed: &[Malformed], files: &[Arc<str>]) -> Vec<Finding> {
    let told: BTreeSet<&Arc<str>> =
        documents.iter().map(|document| &document.file).chain(malformed.iter().map(|text| &text.file)).collect();
    files.iter().filter(|file| !told.contains(file)).map(Finding::of_empty).collect()
}

/// The fields of each document whose values could not be read.
#[derive(Debug, Default)]
pub(crate) struct Unreadable<'p>(BTreeMap<Origin, BTreeSet<&'p str>>);

impl<'p> Unreadable<'p> {
    pub(crate) fn of(typed: &'p [Problem]) -> Self {
        let mut fields: BTreeMap<Origin, BTreeSet<&'p str>> = BTreeMap::new();
        for problem in typed.iter().filter(|problem| problem.severity == Severity::Error) {
            fields.entry(origin_of(problem)).or_default().insert(&problem.field);
        }
        Self(fields)
    }

    /// Whether a rule complains of a field only because its value, or one within it or around it, could not be read, which is reported
    /// already.
    pub(crate) fn explains(&self, problem: &Problem) -> bool {
        let Some(fields) = problem.object.as_ref().and_then(|object| self.0.get(&object.origin)) else { return false };
        let field = problem.field.as_str();
        let within = fields.range(field..).next().is_some_and(|known| known.starts_with(field));
        let ends = field.char_indices().map(|(at, _)| at);
        within || ends.filter_map(|end| field.get(..end)).any(|around| fields.contains(around))
    }
}

fn origin_of(problem: &Problem) -> Origin {
    problem.object.as_ref().map_or(Origin(0), |object| object.origin)
}

#[cfg(test)]
mod tests {
    use lbcore::config::Category;

    use super::*;

    fn checked(text: &str) -> Loaded {
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        check(manifests, &Settings::default())
    }

    #[test]
    fn a_value_of_the_wrong_type_is_reported_once() {
        let loaded = checked(
            "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\nspec:\n  addresses: 1.2.3.0/24\n",
        );
        assert_eq!(loaded.report.findings().len(), 1, "{}", loaded.report.to_text());
        assert_eq!(loaded.report.findings()[0].line, 5);
        assert!(loaded.config.is_none());
    }

    #[test]
    fn rules_name_the_line_of_the_entry() {
        let loaded = checked(
            "---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\nspec:\n  addresses:\n  - 1.2.3.0/24\n  - \
             10.0.0.9-10.0.0.1\n",
        );
        let finding = &loaded.report.findings()[0];
        assert_eq!((finding.line, finding.category), (8, Category::InvalidAddressRange.as_str()));
    }

    #[test]
    fn a_file_without_objects_is_a_warning() {
        for text in ["", "\n", "# nothing\n---\n...\n"] {
            let report = checked(text).report;
            assert_eq!(report.findings().len(), 1, "{text:?}: {}", report.to_text());
            assert!(report.is_valid() && report.findings()[0].category == "no-data");
        }
    }

    #[test]
    fn malformed_text_refuses_the_configuration() {
        let loaded = checked("a: [\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n1}\n");
        assert!(loaded.config.is_none());
        assert_eq!(loaded.objects.config.nodes.len(), 1);
    }
}
