//! Selectors in words: which requirement failed, and on which label.

use super::list;
use crate::labels::{Labels, Requirement, Selector};

/// A requirement as one writes it for `kubectl -l`.
fn written(requirement: &Requirement) -> String {
    let joined = |values: &std::collections::BTreeSet<String>| list(values);
    match requirement {
        Requirement::In { key, values } if values.len() == 1 => format!("{key}={}", joined(values)),
        Requirement::In { key, values } => format!("{key} in ({})", joined(values)),
        Requirement::NotIn { key, values } => format!("{key} notin ({})", joined(values)),
        Requirement::Exists { key } => key.clone(),
        Requirement::DoesNotExist { key } => format!("!{key}"),
    }
}

/// A selector as one writes it for `kubectl -l`.
pub(super) fn shown(selector: &Selector) -> String {
    let requirements: Vec<String> = selector.requirements().map(written).collect();
    if requirements.is_empty() { "everything".to_owned() } else { requirements.join(",") }
}

const fn key_of(requirement: &Requirement) -> &String {
    match requirement {
        Requirement::In { key, .. }
        | Requirement::NotIn { key, .. }
        | Requirement::Exists { key }
        | Requirement::DoesNotExist { key } => key,
    }
}

/// Why a selector does not match: the first requirement that is not met, and what the label is. `None` where it matches.
fn unmet(selector: &Selector, labels: &Labels) -> Option<String> {
    let failed = selector.requirements().find(|requirement| !requirement.matches(labels))?;
    let key = key_of(failed);
    let found = match labels.get(key) {
        Some(value) => format!("it has {key}={value}"),
        None => format!("it has no label {key}"),
    };
    Some(format!("{} is wanted and {found}", written(failed)))
}

/// Why none of the selectors matches; `None` where one does, or where there is none.
pub(super) fn none_matches(selectors: &[Selector], labels: &Labels) -> Option<String> {
    let reasons: Option<Vec<String>> = selectors.iter().map(|selector| unmet(selector, labels)).collect();
    reasons.filter(|reasons| !reasons.is_empty()).map(|reasons| reasons.join("; "))
}

/// The selector that covers the labels, in words; `None` where none does. No selector at all covers everything.
pub(super) fn covering(selectors: &[Selector], labels: &Labels) -> Option<String> {
    if selectors.is_empty() {
        return Some("all".to_owned());
    }
    selectors.iter().find(|selector| selector.matches(labels)).map(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn is_in(key: &str, values: &[&str]) -> Selector {
        let values = values.iter().map(|value| (*value).to_owned()).collect();
        Selector::new([Requirement::In { key: key.to_owned(), values }])
    }

    // [API-GEN-7]
    #[test]
    fn a_selector_that_fails_says_on_which_label() {
        let rack = is_in("rack", &["a"]);
        assert_eq!(none_matches(&[], &labels(&[])), None);
        assert_eq!(none_matches(std::slice::from_ref(&rack), &labels(&[("rack", "a")])), None);
        let found = none_matches(&[rack, is_in("zone", &["x", "y"])], &labels(&[("rack", "b")]));
        let expected = "rack=a is wanted and it has rack=b; zone in (x, y) is wanted and it has no label zone";
        assert_eq!(found.as_deref(), Some(expected));
    }
}
