//! The vectors that are failed on purpose, as `docs/differences.md` lists them, and what that means for an outcome.

use std::collections::BTreeMap;

use libtest_mimic::{Failed, Trial};

use crate::comparison::Differences;

/// The section of `docs/differences.md`; below it is a table with a row for each vector: its id, and why.
const HEADING: &str = "## Conformance vectors failed on purpose";

/// Reasons by id.
pub(crate) type Listed = BTreeMap<String, String>;

/// Reads the rows below the heading, up to the next one.
///
/// # Panics
/// Where the heading is not there, or a row has no reason: then nobody would see what is listed.
pub(crate) fn listed(text: &str) -> Listed {
    let lines = text.lines().skip_while(|line| line.trim() != HEADING);
    let section: Vec<&str> = lines.skip(1).take_while(|line| !line.starts_with("## ")).collect();
    assert!(text.lines().any(|line| line.trim() == HEADING), "docs/differences.md has no section {HEADING:?}");
    let rows = section.iter().filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.map(|row| row.splitn(2, '|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>());
    // The head of the table and the line below it.
    cells
        .skip(2)
        .map(|cells| match cells.as_slice() {
            [id, reason] if !id.is_empty() && !reason.is_empty() => ((*id).to_owned(), (*reason).to_owned()),
            _ => panic!("a row of docs/differences.md needs an id and a reason: {cells:?}"),
        })
        .collect()
}

/// A vector that is not listed has to pass, one that is listed has to fail.
pub(crate) fn verdict(outcome: Result<(), Differences>, reason: Option<&str>) -> Result<(), String> {
    match (outcome, reason) {
        (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
        (Ok(()), Some(reason)) => {
            Err(format!("it passes, and docs/differences.md lists it as failed on purpose ({reason}): take it off"))
        }
        (Err(differences), None) => Err(differences.join("\n")),
    }
}

/// Trials of this file itself: the harness knows no other tests.
pub(crate) fn trials(differences: &str) -> Vec<Trial> {
    let text = differences.to_owned();
    vec![
        Trial::test("runner: a listed vector that passes fails the run", || {
            let passes = verdict(Ok(()), Some("a reason"));
            let fails = verdict(Err(vec!["a difference".to_owned()]), Some("a reason"));
            hold(passes.is_err_and(|text| text.contains("take it off")) && fails.is_ok())
        }),
        Trial::test("runner: a vector that is not listed has to pass", || {
            let fails = verdict(Err(vec!["a difference".to_owned()]), None);
            hold(fails == Err("a difference".to_owned()) && verdict(Ok(()), None).is_ok())
        }),
        Trial::test("runner: rows of differences.md are read", move || {
            let rows = "| vector | why |\n|---|---|\n| `alloc-000` | for a \\| reason |\n";
            let extended = text.replace(HEADING, &format!("{HEADING}\n\n{rows}\n## Next"));
            let found = listed(&extended);
            hold(found.len() == 1 && found.get("alloc-000").is_some_and(|why| why == "for a \\| reason"))
        }),
    ]
}

fn hold(condition: bool) -> Result<(), Failed> {
    if condition { Ok(()) } else { Err("it does not hold".into()) }
}
