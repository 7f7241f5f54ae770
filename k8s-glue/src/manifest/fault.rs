//! Where a text that does not parse is wrong, and which object it seems to be: best effort over text that no parser reads.

use std::sync::Arc;

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

fn leading_number(text: &str) -> Option<usize> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
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
    fn an_object_is_told_in_both_styles() {
        let flow = claimed("apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop\nspec: {}\n");
        assert_eq!((&*flow.kind, &*flow.namespace, &*flow.name), ("Service", "shop", "web"));
        let block = claimed("kind: \"Node\"\nmetadata:\n  labels: {hostname: x}\n  name: n1\nspec: [\n");
        assert_eq!((&*block.kind, &*block.namespace, &*block.name), ("Node", "", "n1"));
        assert_eq!(claimed("a: [\n"), Claimed::default());
    }
}
