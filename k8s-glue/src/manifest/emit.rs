//! JSON values to YAML in block style, such that every reader of YAML 1.1 and 1.2 reads the same value back.
//!
//! The YAML crate's own writer leaves texts like `Y` and `1_000` without quotes, which kubectl reads as a boolean and a number.

use serde_json::{Map, Value};

use super::settle::reread;
use crate::names::is_hidden;

/// Writes a value as a document of its own, without a mark.
pub(super) fn document(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => block_map(map, 0, &mut out),
        Value::Array(items) if !items.is_empty() => block_list(items, 0, &mut out),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
            scalar(value, &mut out);
            out.push('\n');
        }
    }
    out
}

fn block_map(map: &Map<String, Value>, depth: usize, out: &mut String) {
    for (place, (key, value)) in map.iter().enumerate() {
        // The first entry of a map in a list stands on the line of its dash.
        if place > 0 || out.ends_with('\n') || out.is_empty() {
            indent(depth, out);
        }
        text(key, out);
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                block_map(inner, depth + 1, out);
            }
            Value::Array(items) if !items.is_empty() => {
                out.push('\n');
                block_list(items, depth + 1, out);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                out.push(' ');
                scalar(value, out);
                out.push('\n');
            }
        }
    }
}

fn block_list(items: &[Value], depth: usize, out: &mut String) {
    for item in items {
        indent(depth, out);
        match item {
            Value::Object(map) if !map.is_empty() => {
                out.push_str("- ");
                block_map(map, depth + 1, out);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push_str("-\n");
                block_list(inner, depth + 1, out);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                out.push_str("- ");
                scalar(item, out);
                out.push('\n');
            }
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(core::iter::repeat_n("  ", depth));
}

fn scalar(value: &Value, out: &mut String) {
    match value {
        Value::String(content) => text(content, out),
        // Empty collections, numbers, booleans and null are written alike in both languages.
        Value::Object(_) | Value::Array(_) | Value::Number(_) | Value::Bool(_) | Value::Null => {
            out.push_str(&value.to_string());
        }
    }
}

fn text(content: &str, out: &mut String) {
    if is_safe_plain(content) { out.push_str(content) } else { quoted(content, out) }
}

/// Whether the text means itself without quotes, in every version of YAML.
fn is_safe_plain(content: &str) -> bool {
    let words = ["true", "false", "null", "y", "n"];
    content.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && content.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte))
        && reread(content).is_none()
        && !words.iter().any(|word| content.eq_ignore_ascii_case(word))
}

fn quoted(content: &str, out: &mut String) {
    out.push('"');
    for letter in content.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            _ if is_hidden(letter) => escaped(letter, out),
            _ => out.push(letter),
        }
    }
    out.push('"');
}

fn escaped(letter: char, out: &mut String) {
    let number = u32::from(letter);
    let digits = if number > 0xffff { format!("\\U{number:08x}") } else { format!("\\u{number:04x}") };
    out.push_str(&digits);
}
