//! From a parsed tree to the JSON value that `kubectl` would send for the same text.
//!
//! kubectl reads YAML 1.1: `yes`, `no`, `on`, `off` are booleans, `0644` is octal, `1_000` is a number, `<<` merges. The parser
//! reads 1.2, so plain scalars are read again here from the text as written. Numbers to the base of sixty stay text in both.

use serde_json::{Map, Number, Value};

use super::positions::{Positions, Spot};
use super::tree::Tree;

/// Something that was read but is surely not what was meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// The field's path; empty for the whole document.
    pub field: String,
    /// The line in the file.
    pub line: usize,
    /// What it is.
    pub kind: OddityKind,
}

/// Kinds of oddities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OddityKind {
    /// The key stands twice in one map; the last one counts.
    DuplicateKey {
        /// The line of the one that does not count.
        first: usize,
    },
    /// A plain `y` or `n`, which is read as a text, or as this where a boolean is expected. No fault.
    Letter {
        /// What it means there.
        value: bool,
    },
    /// A tag that has no meaning here.
    Tag {
        /// The tag without its exclamation mark.
        name: String,
    },
}

/// What the paths of the oddities of one document may take together, in octets: a path can be long, and there can be many.
const ODDITY_OCTETS: usize = 4 << 20;
/// What an oddity takes beside its path.
const ODDITY_OVERHEAD: usize = 64;

/// Walks tree and positions side by side.
pub(super) struct Settler<'p> {
    positions: &'p Positions,
    oddities: Vec<Oddity>,
    /// What is left of [`ODDITY_OCTETS`]; `None` when it was not enough.
    room: Option<usize>,
}

impl<'p> Settler<'p> {
    pub(super) const fn new(positions: &'p Positions) -> Self {
        Self { positions, oddities: Vec::new(), room: Some(ODDITY_OCTETS) }
    }

    /// The value of a whole document with its oddities; `None` where there are too many of them.
    pub(super) fn document(mut self, tree: Tree) -> (Value, Option<Vec<Oddity>>) {
        let (spot, line) = (self.positions.root_spot(), self.positions.first_line());
        let value = self.settle(tree, spot, line, &mut String::new());
        (value, self.room.is_some().then_some(self.oddities))
    }

    fn note(&mut self, path: &str, line: usize, kind: OddityKind) {
        self.room = self.room.and_then(|room| room.checked_sub(path.len() + ODDITY_OVERHEAD));
        if self.room.is_some() {
            self.oddities.push(Oddity { field: path.to_owned(), line, kind });
        }
    }

    /// `line` is that of the key or of the dash before the value, or of what is nearest.
    fn settle(&mut self, tree: Tree, spot: Option<&Spot>, line: usize, path: &mut String) -> Value {
        match tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(value),
            Tree::Number(number) => match plain(spot).and_then(integer) {
                Some(exact) => Value::Number(exact),
                None => Value::Number(number),
            },
            Tree::Text(text) => {
                if let Some(value) = plain(spot).and_then(letter) {
                    self.note(path, line, OddityKind::Letter { value });
                }
                plain(spot).and_then(reread).unwrap_or(Value::String(text))
            }
            Tree::List(items) => {
                let settled = items.into_iter().enumerate().map(|(place, item)| {
                    let length = path.len();
                    path.push('[');
                    path.push_str(&place.to_string());
                    path.push(']');
                    let (line, spot) = match spot.and_then(|spot| self.positions.element(spot, place)) {
                        Some((line, spot)) => (line, spot),
                        None => (line, None),
                    };
                    let value = self.settle(item, spot, line, path);
                    path.truncate(length);
                    value
                });
                Value::Array(settled.collect())
            }
            Tree::Map(entries) => Value::Object(self.settle_map(entries, spot, line, path)),
            Tree::Tagged(name, inner) => {
                self.note(path, line, OddityKind::Tag { name });
                self.settle(*inner, spot, line, path)
            }
        }
    }

    fn settle_map(
        &mut self,
        entries: Vec<(String, Tree)>,
        spot: Option<&Spot>,
        line: usize,
        path: &mut String,
    ) -> Map<String, Value> {
        let mut map = Map::new();
        let mut lines: Map<String, Value> = Map::new();
        let mut merged = Vec::new();
        for (place, (key, tree)) in entries.into_iter().enumerate() {
            let entry = spot.and_then(|spot| self.positions.entry(spot, place)).filter(|(entry, _)| *entry.key == *key);
            let length = path.len();
            push_key(path, &key);
            let line = entry.map_or(line, |(entry, _)| entry.line);
            let value = self.settle(tree, entry.and_then(|(_, spot)| spot), line, path);
            if key == "<<" && (value.is_object() || value.is_array()) {
                merged.push(value);
            } else {
                if let Some(first) = lines.insert(key.clone(), line.into()) {
                    let first = first.as_u64().and_then(|first| usize::try_from(first).ok()).unwrap_or(line);
                    self.note(path, line, OddityKind::DuplicateKey { first });
                }
                map.insert(key, value);
            }
            path.truncate(length);
        }
        for source in merged {
            merge(&mut map, source);
        }
        map
    }
}

/// Appends a key to a path: with a dot, or in brackets where it holds dots itself.
pub(super) fn push_key(path: &mut String, key: &str) {
    if key.contains('.') {
        path.push('[');
        path.push_str(key);
        path.push(']');
    } else {
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(key);
    }
}

/// Fills in what the map lacks; of several sources the first wins.
fn merge(map: &mut Map<String, Value>, source: Value) {
    match source {
        Value::Object(entries) => {
            for (key, value) in entries {
                map.entry(key).or_insert(value);
            }
        }
        Value::Array(sources) => {
            for source in sources {
                merge(map, source);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn plain(spot: Option<&Spot>) -> Option<&str> {
    match spot? {
        Spot::Scalar { plain, .. } => plain.as_deref(),
        Spot::List { .. } | Spot::Map { .. } | Spot::Alias { .. } => None,
    }
}

fn letter(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" => Some(true),
        "n" | "N" => Some(false),
        _ => None,
    }
}

/// What YAML 1.1 makes of a plain scalar that YAML 1.2 calls text. `y` and `n` stay text, and are noted as [`OddityKind::Letter`]: they are
/// fine names, and booleans only where a boolean is expected.
pub(super) fn reread(text: &str) -> Option<Value> {
    match text {
        "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(Value::Bool(true)),
        "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(Value::Bool(false)),
        _ => integer(text).map(Value::Number),
    }
}

/// Integers with a sign, a base (`0x`, `0o`, `0b`, or a leading zero for octal) and underscores between digits.
fn integer(text: &str) -> Option<Number> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits: String = digits.chars().filter(|digit| *digit != '_').collect();
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits.as_str()),
    };
    if !digits.starts_with(|digit: char| digit.is_ascii_hexdigit()) {
        return None;
    }
    if negative {
        i64::from_str_radix(&format!("-{digits}"), radix).ok().map(Number::from)
    } else {
        u64::from_str_radix(digits, radix).ok().map(Number::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_kubectl_reads_them() {
        for (text, expected) in [
            ("0644", Some(420)),
            ("0o644", Some(420)),
            ("0x1F", Some(31)),
            ("0b11", Some(3)),
            ("1_000", Some(1000)),
            ("+7", Some(7)),
            ("0", Some(0)),
            ("64500:59", None),
            ("", None),
            ("-", None),
            ("_", None),
            ("0x", None),
            ("089", None),
            ("1.5", None),
            ("--1", None),
        ] {
            assert_eq!(integer(text), expected.map(Number::from), "{text:?}");
        }
        assert_eq!(integer("-010"), Some(Number::from(-8)));
    }
}
