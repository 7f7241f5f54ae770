//! Label selectors: syntax, and what stands twice ([API-GEN-6] to [API-GEN-8]).

use std::collections::BTreeSet;

use super::problem::Category;
use super::raw::{RawRequirement, RawSelector};
use super::report::Report;
use crate::labels::{Requirement, Selector};

/// Longest name part of a key, and longest value.
const NAME_LIMIT: usize = 63;
/// Longest prefix of a key.
const PREFIX_LIMIT: usize = 253;

/// Reads a list of selectors; what is wrong is reported and left out. The outcome is sorted.
pub(super) fn parse_list(report: &mut Report<'_>, field: &str, list: &[RawSelector]) -> Vec<Selector> {
    let normal: Vec<RawSelector> = list.iter().map(normalized).collect();
    let mut seen = BTreeSet::new();
    for (place, selector) in normal.iter().enumerate() {
        if !seen.insert(selector) {
            duplicate(report, format!("{field}[{place}]"), "the same selector stands in the list twice".to_owned());
        }
        let mut seen_expressions = BTreeSet::new();
        for (index, expression) in selector.match_expressions.iter().enumerate() {
            let at = format!("{field}[{place}].matchExpressions[{index}]");
            if !seen_expressions.insert(expression) {
                duplicate(report, at.clone(), "the same expression stands in the selector twice".to_owned());
            }
            if let Some(value) = expression.values.windows(2).find_map(repeated) {
                duplicate(report, format!("{at}.values"), format!("{value:?} stands in the list twice"));
            }
        }
    }
    let parsed = list.iter().enumerate().filter_map(|(at, raw)| parse(report, &format!("{field}[{at}]"), raw));
    let mut selectors: Vec<Selector> = parsed.collect();
    selectors.sort();
    selectors
}

/// Reads one selector; what is wrong is reported.
pub(super) fn parse(report: &mut Report<'_>, field: &str, raw: &RawSelector) -> Option<Selector> {
    let mut faults = Vec::new();
    let selector = read(raw, &mut faults);
    for fault in faults {
        report.error(Category::InvalidSelector, format!("{field}.{}", fault.field), fault.message, fault.fix);
    }
    selector
}

/// Reads one selector without a report.
pub(super) fn parse_quietly(raw: &RawSelector) -> Option<Selector> {
    read(raw, &mut Vec::new())
}

struct Fault {
    field: String,
    message: String,
    fix: &'static str,
}

fn read(raw: &RawSelector, faults: &mut Vec<Fault>) -> Option<Selector> {
    let before = faults.len();
    let mut requirements = Vec::new();
    for (key, value) in &raw.match_labels {
        check_key(faults, "matchLabels", key);
        check_value(faults, &format!("matchLabels.{key}"), value);
        requirements.push(Requirement::In { key: key.clone(), values: BTreeSet::from([value.clone()]) });
    }
    for (index, expression) in raw.match_expressions.iter().enumerate() {
        requirements.extend(read_expression(faults, &format!("matchExpressions[{index}]"), expression));
    }
    (faults.len() == before).then(|| Selector::new(requirements))
}

fn read_expression(faults: &mut Vec<Fault>, field: &str, raw: &RawRequirement) -> Option<Requirement> {
    check_key(faults, &format!("{field}.key"), &raw.key);
    for (index, value) in raw.values.iter().enumerate() {
        check_value(faults, &format!("{field}.values[{index}]"), value);
    }
    let key = raw.key.clone();
    let values: BTreeSet<String> = raw.values.iter().cloned().collect();
    let requirement = match raw.operator.as_str() {
        "In" => Requirement::In { key, values },
        "NotIn" => Requirement::NotIn { key, values },
        "Exists" => Requirement::Exists { key },
        "DoesNotExist" => Requirement::DoesNotExist { key },
        other => {
            faults.push(Fault {
                field: format!("{field}.operator"),
                message: format!("{other:?} is not an operator"),
                fix: "write In, NotIn, Exists or DoesNotExist",
            });
            return None;
        }
    };
    let takes_values = matches!(requirement, Requirement::In { .. } | Requirement::NotIn { .. });
    if takes_values == raw.values.is_empty() {
        let (message, fix) = if takes_values {
            ("needs at least one value", "write the values, or use Exists or DoesNotExist")
        } else {
            ("takes no values", "remove the values, or use In or NotIn")
        };
        let message = format!("{} {message}", raw.operator);
        faults.push(Fault { field: format!("{field}.values"), message, fix });
    }
    Some(requirement)
}

fn check_key(faults: &mut Vec<Fault>, field: &str, key: &str) {
    let (prefix, name) = key.split_once('/').map_or((None, key), |(prefix, name)| (Some(prefix), name));
    if !is_name(name) || prefix.is_some_and(|prefix| !is_dns_name(prefix)) {
        faults.push(Fault {
            field: field.to_owned(),
            message: format!("{key:?} is not a label key"),
            fix: "write NAME or PREFIX/NAME: letters, digits, '-', '_' and '.', at most 63 of them",
        });
    }
}

fn check_value(faults: &mut Vec<Fault>, field: &str, value: &str) {
    if !value.is_empty() && !is_name(value) {
        faults.push(Fault {
            field: field.to_owned(),
            message: format!("{value:?} is not a label value"),
            fix: "use letters, digits, '-', '_' and '.', at most 63 of them, a letter or digit at both ends",
        });
    }
}

/// The name part of a label key, or a label value that is not empty.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    text.len() <= NAME_LIMIT && has_alphanumeric_ends(text) && text.bytes().all(inner)
}

/// A DNS subdomain: lower case, dots between labels.
fn is_dns_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let label = |part: &str| has_alphanumeric_ends(part) && part.bytes().all(inner);
    text.len() <= PREFIX_LIMIT && text.split('.').all(label)
}

fn has_alphanumeric_ends(text: &str) -> bool {
    let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    end(text.bytes().next()) && end(text.bytes().next_back())
}

/// The form in which selectors are compared: values sorted, expressions as written ([API-GEN-8]).
fn normalized(raw: &RawSelector) -> RawSelector {
    let mut normal = raw.clone();
    for expression in &mut normal.match_expressions {
        expression.values.sort();
    }
    normal
}

fn repeated(pair: &[String]) -> Option<&String> {
    match pair {
        [first, second] if first == second => Some(first),
        _ => None,
    }
}

fn duplicate(report: &mut Report<'_>, field: String, message: String) {
    report.error(Category::DuplicateSelector, field, message, "remove one of the two");
}
