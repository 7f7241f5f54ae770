//! Collecting problems while the checks go on.

use std::collections::BTreeSet;

use super::problem::{Category, ObjectRef, Problem, Severity};

/// The problems found so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    problems: Vec<Problem>,
}

impl Findings {
    /// Opens the findings for one object.
    pub(super) const fn on<'a>(&'a mut self, object: &'a ObjectRef) -> Report<'a> {
        Report { findings: self, object }
    }

    /// All of them, in the order found.
    pub(super) fn into_problems(self) -> Vec<Problem> {
        self.problems
    }
}

/// The findings of one object.
#[derive(Debug)]
pub(super) struct Report<'a> {
    findings: &'a mut Findings,
    object: &'a ObjectRef,
}

impl Report<'_> {
    /// The object is refused.
    pub(super) fn error(
        &mut self,
        category: Category,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(Severity::Error, category, field.into(), message.into(), fix.into());
    }

    /// The object is taken, but surely not what was meant.
    pub(super) fn warning(
        &mut self,
        category: Category,
        field: impl Into<String>,
        message: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.push(Severity::Warning, category, field.into(), message.into(), fix.into());
    }

    /// Text that stands twice in a list ("duplicate-entry").
    pub(super) fn duplicate_entries(&mut self, field: &str, entries: &[String]) {
        let mut seen = BTreeSet::new();
        for (place, entry) in entries.iter().enumerate() {
            if !seen.insert(entry) {
                self.error(
                    Category::DuplicateEntry,
                    format!("{field}[{place}]"),
                    format!("{entry:?} stands in the list twice"),
                    "remove one of the two",
                );
            }
        }
    }

    /// A number that must lie between two bounds; `None` where it does not.
    pub(super) fn bounded(&mut self, category: Category, field: &str, value: i64, bounds: (i64, i64)) -> Option<i64> {
        let (low, high) = bounds;
        if (low..=high).contains(&value) {
            return Some(value);
        }
        self.error(
            category,
            field,
            format!("{value} is not between {low} and {high}"),
            format!("write a number from {low} to {high}"),
        );
        None
    }

    fn push(&mut self, severity: Severity, category: Category, field: String, message: String, fix: String) {
        let object = Some(self.object.clone());
        self.findings.problems.push(Problem { severity, category, object, field, message, fix });
    }
}
