//! Typed reading of one object's fields: every wrong type is a problem with its path, none stops the reading.
//!
//! Asking for a field makes it known; [`Fields::warn_unknown`] names what was never asked for. A field that is `null` counts as
//! absent, as the API server has it. The reader of the old format shares it.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::BTreeMap;

use lbcore::config::{Category, ObjectRef, Problem, RawRequirement, RawSelector, Severity};
use serde_json::{Map, Value};

use super::duration::parse_duration;
use crate::manifest::{Document, OddityKind, is_not_finite};

/// As many problems of one object are told; nobody reads more.
const MOST_PROBLEMS: usize = 1000;

/// Collects the problems of one object.
#[derive(Debug)]
pub(crate) struct Findings {
    object: ObjectRef,
    problems: RefCell<Vec<Problem>>,
    /// How many are not told, and the worst of them.
    untold: Cell<(usize, Severity)>,
    /// Where a plain `y` or `n` stands, which is a boolean where one is expected.
    letters: BTreeMap<String, bool>,
}

impl Findings {
    /// For the object of a document.
    pub(crate) fn of(object: ObjectRef, document: &Document) -> Self {
        let letters = document.oddities.iter().filter_map(|oddity| match oddity.kind {
            OddityKind::Letter { value } => Some((oddity.field.clone(), value)),
            OddityKind::DuplicateKey { .. } | OddityKind::Tag { .. } => None,
        });
        let untold = Cell::new((0, Severity::Warning));
        Self { object, problems: RefCell::default(), untold, letters: letters.collect() }
    }

    pub(crate) fn add(&self, severity: Severity, category: Category, field: &str, message: String, fix: &str) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() >= MOST_PROBLEMS {
            let (count, worst) = self.untold.get();
            self.untold.set((count + 1, worst.min(severity)));
            return;
        }
        let object = Some(self.object.clone());
        problems.push(Problem { severity, category, object, field: field.to_owned(), message, fix: fix.to_owned() });
    }

    pub(crate) fn into_problems(self) -> Vec<Problem> {
        let mut problems = self.problems.into_inner();
        if let (count @ 1.., severity) = self.untold.get() {
            problems.push(Problem {
                severity,
                category: Category::Schema,
                object: Some(self.object),
                field: String::new(),
                message: format!("the object has {count} more problems"),
                fix: "mend those that are told, and look again".to_owned(),
            });
        }
        problems
    }
}

/// The fields of one map within an object.
#[derive(Debug)]
pub(crate) struct Fields<'o> {
    findings: &'o Findings,
    map: Option<&'o Map<String, Value>>,
    path: String,
    known: Vec<&'static str>,
    /// Whether a whole number is taken for the text of it, here and below.
    loose_texts: bool,
}

/// How a value is called in a message; texts and numbers with what they are.
fn describe(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("the boolean {value}"),
        Value::Number(number) => format!("the number {number}"),
        Value::String(text) => format!("the text {text:?}"),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a map".to_owned(),
    }
}

impl<'o> Fields<'o> {
    /// The fields of the whole object.
    pub(crate) const fn of(findings: &'o Findings, map: &'o Map<String, Value>) -> Self {
        Self { findings, map: Some(map), path: String::new(), known: Vec::new(), loose_texts: false }
    }

    /// Takes a whole number for its text, as the reader of the old format did: `password: 12345`.
    #[cfg(feature = "hosts")]
    pub(crate) fn with_loose_texts(self) -> Self {
        Self { loose_texts: true, ..self }
    }

    /// The path of a field of this map.
    pub(crate) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The findings of the object.
    pub(crate) const fn findings(&self) -> &'o Findings {
        self.findings
    }

    fn value(&mut self, name: &'static str) -> Option<&'o Value> {
        self.known.push(name);
        self.map?.get(name).filter(|value| !value.is_null())
    }

    fn refuse(&self, path: &str, value: &Value, wanted: &str, fix: &str) {
        let message = format!("{} stands where {wanted} belongs", describe(value));
        self.findings.add(Severity::Error, Category::Schema, path, message, fix);
    }

    fn refuse_number(&self, path: &str, value: &Value) {
        const FIX: &str = "write a whole number of 64 bits, without quotes";
        let message = match value {
            Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
                let size = if number.as_f64() < Some(0.0) { "small" } else { "large" };
                format!("the number {number} is too {size}")
            }
            Value::String(text) if is_not_finite(text) => format!("{text} is no whole number"),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                return self.refuse(path, value, "a whole number", FIX);
            }
        };
        self.findings.add(Severity::Error, Category::Schema, path, message, FIX);
    }

    fn as_text(&self, path: &str, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if self.loose_texts && !number.is_f64() => Some(number.to_string()),
            Value::Bool(_) | Value::Number(_) => {
                self.refuse(path, value, "a text", "put the value in quotes");
                None
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                self.refuse(path, value, "a text", "write one text");
                None
            }
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        let value = self.value(name)?;
        self.as_text(&self.path_of(name), value)
    }

    /// A boolean.
    pub(crate) fn boolean(&mut self, name: &'static str) -> Option<bool> {
        let value = self.value(name)?;
        let path = self.path_of(name);
        let letter = self.findings.letters.get(&path).copied().filter(|_| value.is_string());
        let read = value.as_bool().or(letter);
        if read.is_none() {
            self.refuse(&path, value, "a boolean", "write true or false, without quotes");
        }
        read
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, name: &'static str) -> Option<i64> {
        let value = self.value(name)?;
        let number = value.as_i64().or_else(|| whole(value.as_f64()?));
        if number.is_none() {
            self.refuse_number(&self.path_of(name), value);
        }
        number
    }

    /// A duration as Go writes it.
    pub(crate) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        let value = self.value(name)?;
        let duration = value.as_str().and_then(parse_duration);
        if duration.is_none() {
            self.refuse(&self.path_of(name), value, "a duration", "write a duration such as 90s, 1m30s or 500ms");
        }
        duration
    }

    fn list(&mut self, name: &'static str) -> &'o [Value] {
        let Some(value) = self.value(name) else { return &[] };
        if let Value::Array(items) = value {
            return items;
        }
        self.refuse(&self.path_of(name), value, "a list", "write a list, one entry a line with a dash");
        &[]
    }

    /// A list of texts; empty where absent.
    pub(crate) fn texts(&mut self, name: &'static str) -> Vec<String> {
        let items = self.list(name).iter().enumerate();
        let path = self.path_of(name);
        items.filter_map(|(index, item)| self.as_text(&format!("{path}[{index}]"), item)).collect()
    }

    /// A map of texts to texts; empty where absent.
    pub(crate) fn text_map(&mut self, name: &'static str) -> BTreeMap<String, String> {
        let path = self.path_of(name);
        let Some(value) = self.value(name) else { return BTreeMap::new() };
        let Value::Object(map) = value else {
            self.refuse(&path, value, "a map", "write one KEY: VALUE a line");
            return BTreeMap::new();
        };
        let entries = map.iter().filter_map(|(key, value)| {
            let value =
                if value.is_null() { Some(String::new()) } else { self.as_text(&format!("{path}[{key}]"), value) };
            Some((key.clone(), value?))
        });
        entries.collect()
    }

    fn as_map(&self, path: String, value: &'o Value) -> Option<Self> {
        let Value::Object(map) = value else {
            self.refuse(&path, value, "a map", "write fields of its own below it");
            return None;
        };
        Some(Self { findings: self.findings, map: Some(map), path, known: Vec::new(), loose_texts: self.loose_texts })
    }

    /// A map with fields of its own, `None` where absent.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Self> {
        let value = self.value(name)?;
        self.as_map(self.path_of(name), value)
    }

    /// A map with fields of its own; one without fields where absent.
    pub(crate) fn child(&mut self, name: &'static str) -> Self {
        let (path, loose_texts) = (self.path_of(name), self.loose_texts);
        let empty = Self { findings: self.findings, map: None, path, known: Vec::new(), loose_texts };
        self.optional(name).unwrap_or(empty)
    }

    /// A list of maps with fields of their own.
    pub(crate) fn children(&mut self, name: &'static str) -> Vec<Self> {
        let items = self.list(name).iter().enumerate();
        let path = self.path_of(name);
        items.filter_map(|(index, item)| self.as_map(format!("{path}[{index}]"), item)).collect()
    }

    fn selector(mut self) -> RawSelector {
        let match_labels = self.text_map("matchLabels");
        let expressions = self.children("matchExpressions").into_iter().map(|mut expression| {
            let requirement = RawRequirement {
                key: expression.text("key").unwrap_or_default(),
                operator: expression.text("operator").unwrap_or_default(),
                values: expression.texts("values"),
            };
            expression.warn_unknown();
            requirement
        });
        let match_expressions = expressions.collect();
        self.warn_unknown();
        RawSelector { match_labels, match_expressions }
    }

    /// A list of label selectors ([API-GEN-6]).
    pub(crate) fn selectors(&mut self, name: &'static str) -> Vec<RawSelector> {
        self.children(name).into_iter().map(Self::selector).collect()
    }

    /// A label selector.
    pub(crate) fn optional_selector(&mut self, name: &'static str) -> Option<RawSelector> {
        self.optional(name).map(Self::selector)
    }

    /// A text two levels down of an object whose types are nobody's business here.
    pub(crate) fn peek_text(&self, outer: &str, inner: &str) -> Option<&'o str> {
        self.map?.get(outer)?.get(inner)?.as_str()
    }

    /// Marks a field as known that is not looked at.
    pub(crate) fn pass_over(&mut self, name: &'static str) {
        self.known.push(name);
    }

    /// Warns of every field that was not asked for: the API server drops such fields ([API-GEN-9]).
    pub(crate) fn warn_unknown(self) {
        let Some(map) = self.map else { return };
        for name in map.keys().filter(|name| !self.known.contains(&name.as_str())) {
            let mut known = self.known.clone();
            known.sort_unstable();
            known.dedup();
            let fix = format!("remove it, or correct its name; known here: {}", known.join(", "));
            let message = format!("there is no field {name:?} here; it has no effect");
            self.findings.add(Severity::Warning, Category::Schema, &self.path_of(name), message, &fix);
        }
    }
}

/// `3.0` is a whole number to the API server.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked, and a fraction is refused")]
fn whole(number: f64) -> Option<i64> {
    let bound = 2_f64.powi(53);
    (number.fract() == 0.0 && number.abs() <= bound).then_some(number as i64)
}
