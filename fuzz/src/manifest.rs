//! Any octets through the reader of manifests, to objects and to a checked configuration.

use k8s_glue::load::{self, Loaded};
use k8s_glue::manifest::{Document, Manifests, OddityKind, to_yaml};
use lbcore::config::Settings;
use serde_json::Value;

/// A document that nothing before it may hide or change.
const GOOD: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: last}\nspec: {addresses: [203.0.113.0/24]}\n";

fn read(octets: &[u8]) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"input.yaml".into(), octets);
    manifests
}

fn checked(manifests: Manifests) -> Loaded {
    load::check(manifests, &Settings::default())
}

/// A manifest as a file has it: read, converted, checked.
///
/// It ends, the same each time; each line that is named is one of the text, and moves with it; no document costs another one; what is
/// written as YAML again reads the same; a configuration does not depend on the order of documents ([CFG-3]).
pub fn manifest(octets: &[u8]) {
    let loaded = checked(read(octets));
    let again = checked(read(octets));
    assert_eq!((&loaded.documents, &loaded.malformed), (&again.documents, &again.malformed), "read twice");
    assert_eq!((&loaded.report, &loaded.config), (&again.report, &again.config), "checked twice");
    assert_eq!(loaded.config.is_some(), loaded.report.is_valid());
    check_lines(octets, &loaded);
    check_company(octets, &loaded);
    check_moved(octets);
    check_writing(&loaded.documents);
    if loaded.config.is_some() {
        let mut reversed = read(octets);
        reversed.documents.reverse();
        assert_eq!(checked(reversed).config, loaded.config, "the order of documents matters");
    }
}

fn check_lines(octets: &[u8], loaded: &Loaded) {
    let count = octets.iter().filter(|octet| **octet == b'\n').count() + 1;
    let lines = loaded.documents.iter().map(|document| document.line);
    let lines =
        lines.chain(loaded.documents.iter().flat_map(|document| document.oddities.iter().map(|oddity| oddity.line)));
    let lines = lines.chain(loaded.malformed.iter().map(|malformed| malformed.line));
    for line in lines.chain(loaded.report.findings().iter().map(|finding| finding.line)) {
        assert!((1..=count).contains(&line), "line {line} of {count}");
    }
}

/// Another document after it changes nothing of those before, and is read.
fn check_company(octets: &[u8], loaded: &Loaded) {
    let text = [octets, b"\n---\n", GOOD.as_bytes()].concat();
    let both = read(&text);
    let Some((last, before)) = both.documents.split_last() else { panic!("the last document is lost") };
    assert_eq!(Value::Object(last.value.clone()), Value::Object(read(GOOD.as_bytes()).documents.remove(0).value));
    assert_eq!(last.line, text.iter().filter(|octet| **octet == b'\n').count() - 3);
    assert_eq!(
        before.len() + both.malformed.len(),
        loaded.documents.len() + loaded.malformed.len(),
        "documents are lost"
    );
}

/// Behind another document, closed by its mark, the same is read at lines that stand as much lower.
fn check_moved(octets: &[u8]) {
    let before = [GOOD, "...\n"].concat();
    let moved = read(&[before.as_bytes(), octets].concat());
    let lines_of = |manifests: &Manifests, skipped: usize, shift: usize| {
        let documents: Vec<_> = manifests.documents.iter().skip(skipped).map(|it| lines(it, shift)).collect();
        let malformed: Vec<usize> = manifests.malformed.iter().map(|malformed| malformed.line - shift).collect();
        (documents, malformed)
    };
    let shift = before.lines().count();
    assert_eq!(lines_of(&moved, 1, shift), lines_of(&read(octets), 0, 0), "other lines behind another document");
}

/// The value of a document, and the lines of itself, of some fields and of its oddities, each less this.
fn lines(document: &Document, shift: usize) -> (Value, Vec<usize>) {
    let fields = ["kind", "metadata.name", "spec.addresses[1]"].map(|field| document.positions.line_of(field));
    let oddities = document.oddities.iter().flat_map(|oddity| match oddity.kind {
        OddityKind::DuplicateKey { first } => vec![oddity.line, first],
        OddityKind::Letter { .. } | OddityKind::Tag { .. } => vec![oddity.line],
    });
    let lines = core::iter::once(document.line).chain(fields).chain(oddities).map(|line| line - shift);
    (Value::Object(document.value.clone()), lines.collect())
}

/// What is read survives being written and read again. A list would be taken apart.
fn check_writing(documents: &[Document]) {
    let is_list = |document: &Document| {
        document.value.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
    };
    for document in documents.iter().filter(|document| !document.value.is_empty() && !is_list(document)) {
        let value = Value::Object(document.value.clone());
        let yaml = to_yaml(&value);
        let read = read(yaml.as_bytes());
        let values: Vec<Value> = read.documents.into_iter().map(|document| Value::Object(document.value)).collect();
        assert_eq!(values, [value], "written as\n{yaml}\nread with {:?}", read.malformed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{inputs, replay_whole};

    #[test]
    fn the_corpus_of_manifests_runs_through() {
        replay_whole("manifest", 4, manifest);
    }

    /// A corpus of texts that are all refused would test nothing.
    #[test]
    fn the_corpus_reaches_configurations_and_problems_of_many_kinds() {
        let loaded: Vec<Loaded> = inputs("manifest").iter().map(|octets| checked(read(octets))).collect();
        let pools = loaded.iter().filter_map(|loaded| loaded.config.as_ref()).map(|config| config.pools().len());
        assert!(pools.max() > Some(1), "no input gives a configuration with pools");
        assert!(loaded.iter().any(|loaded| loaded.config.as_ref().is_some_and(|config| !config.peers().is_empty())));
        assert!(loaded.iter().any(|loaded| !loaded.objects.services.is_empty()));
        assert!(loaded.iter().any(|loaded| loaded.documents.len() > 5));
        for category in [
            "schema",
            "missing-field",
            "invalid-address-range",
            "overlapping-ranges",
            "duplicate-name",
            "duplicate-entry",
            "unknown-community",
            "invalid-asn",
            "wrong-namespace",
            "no-data",
        ] {
            let found =
                loaded.iter().flat_map(|loaded| loaded.report.findings()).any(|finding| finding.category == category);
            assert!(found, "no input leads to {category}");
        }
    }
}
