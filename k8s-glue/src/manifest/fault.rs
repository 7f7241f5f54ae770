//! Where a text that does not parse is wrong, and which object it seems to be: best effort over text that no parser reads.

use std::sync::Arc;

use crate::names;

/// What a text says that it is; each part empty where that cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claimed {
    /// The kind.
    pub kind: Arc<str>,
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

/// The line, from 1, that has the mistake which the parser noticed at `line` and `column`.
///
/// A parser notices an open bracket, quote or key where the next thing comes, which is often a line too late.
pub(super) fn line_of(text: &str, message: &str, line: usize, column: usize) -> usize {
    for context in ["while scanning a quoted scalar at line ", "while scanning a simple key at line "] {
        if let Some(begun) = message.split_once(context).and_then(|(_, rest)| leading_number(rest)) {
            return begun;
        }
    }
    if message.starts_with("control characters are not allowed") {
        let before = text.split(is_not_yaml).next().unwrap_or_default();
        return before.matches('\n').count() + 1;
    }
    // Nothing, or the key that the parser took for more of the text before it.
    let begins = |text: &str| {
        let before: String = text.chars().take(column.saturating_sub(1)).collect();
        !before.trim().contains(|character: char| character.is_whitespace() || "[]{},\"'".contains(character))
    };
    let is_first = text.lines().nth(line.saturating_sub(1)).is_none_or(begins);
    if !(is_first && message.starts_with("did not find expected ',' or")) {
        return line;
    }
    let has_content = |text: &str| !text.trim().is_empty() && !text.trim_start().starts_with('#');
    let earlier = text.lines().take(line.saturating_sub(1)).zip(1..).filter(|(text, _)| has_content(text));
    earlier.last().map_or(line, |(_, number)| number)
}

/// Control characters that no YAML has.
const fn is_not_yaml(character: char) -> bool {
    matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}' | '\u{86}'..='\u{9f}')
}

/// The message with what is odd about its line, from 1, where that is likely the reason.
pub(super) fn with_hint(text: &str, line: usize, message: String) -> String {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let is_mark = ["<<<<<<< ", ">>>>>>> "].iter().any(|mark| line.starts_with(mark)) || line == "=======";
    let hint = if is_mark {
        "a mark of a merge stands there: choose one of the two sides".to_owned()
    } else if line.starts_with("```") {
        "a mark of Markdown stands there".to_owned()
    } else if let Some(hidden) = line.trim_end_matches('\r').chars().find(|character| names::is_hidden(*character)) {
        match hidden {
            '\t' => "a tab stands there, where YAML has blanks".to_owned(),
            _ => format!("the character U+{:04X} stands there, which is not seen", u32::from(hidden)),
        }
    } else {
        return message;
    };
    format!("{message}; {hint}")
}

fn leading_number(text: &str) -> Option<usize> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

/// As many octets of a template's mark are told.
const MARK_OCTETS: usize = 80;

/// The first mark of a template in a text, such as `{{ .Values.name }}`; the beginning of a long one.
pub(crate) fn template_mark(text: &str) -> Option<&str> {
    mark_between(text, "{{", "}}")
}

fn mark_between<'t>(text: &'t str, opens: &str, closes: &str) -> Option<&'t str> {
    let mark = text.get(text.find(opens)?..)?;
    let length = mark.find(closes)? + closes.len();
    let cut = (0..=length.min(MARK_OCTETS)).rev().find(|at| mark.is_char_boundary(*at))?;
    mark.get(..cut)
}

/// The first mark of a template that stands outside of comments and begins and ends on one line, up to this line, from 1.
pub(super) fn template_line(text: &str, last: usize) -> Option<(usize, &str)> {
    let mut lines = (1..=last).zip(text.lines()).filter(|(_, line)| !line.trim_start().starts_with('#'));
    let statement = |line| mark_between(line, "{%", "%}");
    lines.find_map(|(number, line)| Some((number, template_mark(line).or_else(|| statement(line))?)))
}

/// Kind, namespace and name as they stand in the first column and below `metadata`.
pub(super) fn claimed(text: &str) -> Claimed {
    let kind = text.lines().find_map(|line| line.strip_prefix("kind:")).map(word).unwrap_or_default();
    let mut lines = text.lines().skip_while(|line| !line.starts_with("metadata:"));
    let head = lines.next().and_then(|line| line.strip_prefix("metadata:")).unwrap_or_default();
    let below = lines.take_while(|line| line.starts_with([' ', '\t']) || line.trim().is_empty());
    let metadata: Vec<&str> = core::iter::once(head).chain(below).collect();
    let field = |name: &str| metadata.iter().find_map(|line| value_in(line, name)).map(word).unwrap_or_default();
    Claimed { kind: kind.into(), namespace: field("namespace:").into(), name: field("name:").into() }
}

/// What follows a key that begins a line or an entry of a flow map.
fn value_in<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    let mut found = line.match_indices(key);
    found.find_map(|(at, _)| {
        let before = line.get(..at)?;
        let begins = before.chars().next_back().is_none_or(|last| last.is_whitespace() || matches!(last, '{' | ','));
        begins.then(|| line.get(at + key.len()..)).flatten()
    })
}

fn word(text: &str) -> String {
    let text = text.trim_start().trim_start_matches(['"', '\'']);
    text.chars().take_while(|character| character.is_ascii_alphanumeric() || "-._".contains(*character)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_of_templates_are_found_up_to_the_mistake() {
        let text = "# {{ a }}\nb: {c: {d: e}}\nf: {{ .Values.f }}\ng: '{{ h }}'\n";
        assert_eq!(template_line(text, 9), Some((3, "{{ .Values.f }}")));
        assert_eq!(template_line(text, 2), None);
        assert_eq!(template_mark(&format!("{{{{ {} }}}}", "é".repeat(80))).map(str::len), Some(79));
    }

    #[test]
    fn what_is_odd_about_the_line_is_told() {
        let text = "a:\n\tb\n<<<<<<< HEAD\nkind:\u{a0}x\nc: d\r\n";
        let hint = |line| with_hint(text, line, "no".to_owned());
        assert_eq!(hint(2), "no; a tab stands there, where YAML has blanks");
        assert_eq!(hint(3), "no; a mark of a merge stands there: choose one of the two sides");
        assert_eq!(hint(4), "no; the character U+00A0 stands there, which is not seen");
        assert_eq!((hint(1), hint(5), hint(9)), ("no".to_owned(), "no".to_owned(), "no".to_owned()));
        assert_eq!(line_of("a: 1\nb: \0\n", "control characters are not allowed at position 8", 1, 1), 2);
    }

    #[test]
    fn an_object_is_told_in_both_styles() {
        let flow = claimed("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop\nspec: {}\n");
        assert_eq!((&*flow.kind, &*flow.namespace, &*flow.name), ("Service", "shop", "web"));
        let block = claimed("kind: \"Node\"\nmetadata:\n  labels: {hostname: x}\n  name: n1\nspec: [\n");
        assert_eq!((&*block.kind, &*block.namespace, &*block.name), ("Node", "", "n1"));
        assert_eq!(claimed("a: [\n"), Claimed::default());
    }
}
