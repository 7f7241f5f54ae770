//! Text to documents: YAML and JSON, streams and lists, each object with the lines of its fields.
//!
//! Nothing outside of this file names the YAML crate; everything after it works on JSON values. A malformed document costs only
//! itself (`split` cuts before anything is parsed), and no input panics, hangs or expands without bound.

mod breaks;
mod emit;
mod fault;
mod keys;
mod positions;
mod settle;
mod split;
mod tree;

use core::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeSeed;
use serde_json::{Map, Value};
use thiserror::Error;

pub use fault::Claimed;
pub(crate) use fault::template_mark;
pub use positions::Positions;
use settle::Settler;
pub use settle::{Oddity, OddityKind};
use tree::{Reader, Tree};

/// No file is read beyond this: a configuration of a hundred thousand Services has less, a device file has no end.
const FILE_LIMIT_BYTES: u64 = 512 << 20;
/// How many values, and octets of their texts, the aliases of one file may add to what is written out.
const ALIAS_ALLOWANCE: usize = 1_000_000;
/// How many lines of directives a document may have before it: parsers hold each against all before it.
const MAX_DIRECTIVES: usize = 100;

/// How to get the objects that a template makes.
pub(crate) const RENDER: &str = "render it first, for instance with `helm template`, and give what comes out";

/// One object as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The file, `<stdin>` for standard input; empty for an object from an API server.
    pub file: Arc<str>,
    /// The line of its first field, from 1; 0 for an object from an API server.
    pub line: usize,
    /// The object: always a map.
    pub value: Map<String, Value>,
    /// Lines of its fields.
    pub positions: Positions,
    /// What is odd about the text; the fields are paths within this object.
    pub oddities: Vec<Oddity>,
}

impl Document {
    /// An object as an API server gives it: it stands in no text.
    #[cfg(feature = "hosts")]
    pub(crate) fn of_server(value: Map<String, Value>) -> Self {
        Self { file: "".into(), line: 0, value, positions: Positions::unknown(0), oddities: Vec::new() }
    }

    /// Whether it is from an API server: whatever it holds is meant.
    pub(crate) fn is_of_server(&self) -> bool {
        self.file.is_empty()
    }
}

/// A text that could not be read; the other documents are not touched by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The file, `<stdin>` for standard input.
    pub file: Arc<str>,
    /// The line, 1 where the whole file is concerned.
    pub line: usize,
    /// Why.
    pub reason: ReadError,
    /// Which object it seems to be.
    pub claimed: Claimed,
}

impl Malformed {
    fn new(file: &Arc<str>, line: usize, reason: ReadError) -> Self {
        Self { file: Arc::clone(file), line, reason, claimed: Claimed::default() }
    }
}

/// Why a text could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A folder without any file to read.
    #[error("the folder holds no *.yaml, *.yml or *.json file")]
    EmptyFolder,
    /// More than this reader takes.
    #[error("it is larger than {} MiB", FILE_LIMIT_BYTES >> 20)]
    TooLarge,
    /// Octets that are no UTF-8.
    #[error("it is not UTF-8 text")]
    NotText,
    /// Not YAML, not JSON.
    #[error("{0}")]
    Syntax(String),
    /// Not YAML, as a mark of a template stands in it.
    #[error("`{mark}` stands here: this seems to be a template that was not rendered, and no YAML yet ({message})")]
    Template {
        /// The first mark, or its beginning.
        mark: String,
        /// Why it is no YAML.
        message: String,
    },
    /// A document that is a list, a text or a number.
    #[error("it is {0}, not an object")]
    NotAnObject(&'static str),
    /// `items` of a list that is no list of objects.
    #[error("an item of the list is not an object")]
    BadList,
}

impl ReadError {
    /// How to mend it.
    pub const fn fix(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "check the path and its permissions",
            Self::EmptyFolder => "name a file, or put files with these endings in the folder",
            Self::TooLarge => "split it into several files",
            Self::NotText => "save it as UTF-8",
            Self::Syntax(_) => "correct the YAML at this line; the other documents were read",
            Self::Template { .. } => RENDER,
            Self::NotAnObject(_) => "write an object with apiVersion, kind and metadata",
            Self::BadList => "write objects with apiVersion, kind and metadata under items",
        }
    }
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    /// The objects in the order read: files as given, documents as written.
    pub documents: Vec<Document>,
    /// What could not be read, in the same order.
    pub malformed: Vec<Malformed>,
    /// The names of the texts in the order read, those that could not be read included.
    pub files: Vec<Arc<str>>,
}

/// Whether a file of a folder is read: those that end in `.yaml`, `.yml` or `.json`, but none whose name begins with a dot, which are
/// lock and backup files of editors.
pub fn is_read(name: &OsStr) -> bool {
    let ending = Path::new(name).extension().and_then(OsStr::to_str);
    matches!(ending, Some("yaml" | "yml" | "json")) && !name.as_encoded_bytes().starts_with(b".")
}

/// The files that a path stands for: itself, or those directly in the folder that [`is_read`] names, sorted by name (as kubectl does;
/// folders below it are not entered).
///
/// # Errors
/// [`ReadError::Unreadable`] and [`ReadError::EmptyFolder`].
pub fn files_of(path: &Path) -> Result<Vec<PathBuf>, ReadError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: io::Error| ReadError::Unreadable(error.to_string());
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.file_name().is_some_and(is_read) && !file.is_dir() {
            files.push(file);
        }
    }
    files.sort();
    if files.is_empty() { Err(ReadError::EmptyFolder) } else { Ok(files) }
}

/// Reads files and folders; `-` is standard input. A file named twice is read once.
pub fn read_paths(paths: &[PathBuf]) -> Manifests {
    let mut manifests = Manifests::default();
    let mut seen: BTreeSet<PathBuf> = BTreeSet::new();
    for path in paths {
        let name: Arc<str> = path.to_string_lossy().into();
        let files = match files_of(path) {
            Ok(files) => files,
            Err(reason) => {
                manifests.refuse_file(&name, reason);
                continue;
            }
        };
        for file in files {
            if seen.contains(&file) {
                continue;
            }
            let read = if file.as_os_str() == "-" { read_limited(io::stdin().lock()) } else { read_file(&file) };
            let name: Arc<str> = if file.as_os_str() == "-" { "<stdin>".into() } else { file.to_string_lossy().into() };
            match read {
                Ok(bytes) => manifests.read_bytes(&name, &bytes),
                Err(reason) => manifests.refuse_file(&name, reason),
            }
            seen.insert(file);
        }
    }
    manifests
}

fn read_file(path: &Path) -> Result<Vec<u8>, ReadError> {
    read_limited(File::open(path).map_err(|error| ReadError::Unreadable(error.to_string()))?)
}

fn read_limited(source: impl Read) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::new();
    let read = source.take(FILE_LIMIT_BYTES + 1).read_to_end(&mut bytes);
    let length = read.map_err(|error| ReadError::Unreadable(error.to_string()))?;
    if length as u64 > FILE_LIMIT_BYTES { Err(ReadError::TooLarge) } else { Ok(bytes) }
}

impl Manifests {
    fn refuse_file(&mut self, file: &Arc<str>, reason: ReadError) {
        self.files.push(Arc::clone(file));
        self.malformed.push(Malformed::new(file, 1, reason));
    }

    /// Reads the documents of one text.
    pub fn read_bytes(&mut self, file: &Arc<str>, bytes: &[u8]) {
        self.files.push(Arc::clone(file));
        let allowance = Cell::new(ALIAS_ALLOWANCE);
        for piece in split::documents(bytes) {
            match core::str::from_utf8(piece.bytes) {
                Ok(text) => {
                    for (object, line) in split::json_objects(text, piece.line) {
                        self.read_object(file, object, line, &allowance);
                    }
                }
                Err(error) => {
                    let before = piece.bytes.get(..error.valid_up_to()).unwrap_or_default();
                    let line = piece.line + before.split(|byte| *byte == b'\n').count() - 1;
                    self.malformed.push(Malformed::new(file, line, ReadError::NotText));
                }
            }
        }
    }

    fn read_object(&mut self, file: &Arc<str>, text: &str, line: usize, allowance: &Cell<usize>) {
        let (positions, tree) = match parse(text, line, allowance) {
            Ok(read) => read,
            Err((place, message)) => {
                let claimed = fault::claimed(text);
                // The parser gives up where a mark stands, or on the line after it.
                let (place, reason) = match fault::template_line(text, (place + 2).saturating_sub(line)) {
                    Some((number, mark)) => {
                        let of_mark = line + number - 1;
                        let message = if of_mark == place { message } else { format!("line {place}: {message}") };
                        (of_mark, ReadError::Template { mark: mark.to_owned(), message })
                    }
                    None => (place, ReadError::Syntax(fault::with_hint(text, place + 1 - line, message))),
                };
                self.malformed.push(Malformed { claimed, ..Malformed::new(file, place, reason) });
                return;
            }
        };
        let (value, oddities) = Settler::new(&positions).document(tree);
        let Some(oddities) = oddities else {
            let message = "it has too many repeated keys, tags, and plain letters y and n".to_owned();
            self.malformed.push(Malformed::new(file, positions.first_line(), ReadError::Syntax(message)));
            return;
        };
        let what = match value {
            Value::Object(value) => {
                let line = positions.first_line();
                return self.add(Document { file: Arc::clone(file), line, value, positions, oddities });
            }
            // A document of comments only, or with nothing but its mark.
            Value::Null => return,
            Value::Array(_) => "a list",
            Value::String(_) => "a text",
            Value::Number(_) => "a number",
            Value::Bool(_) => "a boolean",
        };
        let reason = ReadError::NotAnObject(what);
        self.malformed.push(Malformed::new(file, positions.first_line(), reason));
    }

    /// Adds an object, or the objects of a list in its place.
    fn add(&mut self, document: Document) {
        let kind = document.value.get("kind").and_then(Value::as_str).unwrap_or_default();
        let is_list = kind.ends_with("List") && document.value.get("items").is_some_and(|items| !items.is_null());
        if !is_list {
            self.documents.push(document);
            return;
        }
        let Document { file, line, mut value, positions, oddities } = document;
        let api_version = value.get("apiVersion").cloned();
        let item_kind = kind_of_items(value.get("kind"));
        let mut oddities = oddities_by_item(oddities);
        let Some(Value::Array(items)) = value.remove("items") else {
            self.malformed.push(Malformed::new(&file, line, ReadError::BadList));
            return;
        };
        for (index, item) in items.into_iter().enumerate() {
            let positions = positions.item("items", index);
            let line = positions.first_line();
            let Value::Object(mut value) = item else {
                self.malformed.push(Malformed::new(&file, line, ReadError::BadList));
                continue;
            };
            // The API server leaves both out in the items of its typed lists.
            if let (Some(api_version), Some(kind)) = (&api_version, &item_kind) {
                value.entry("apiVersion").or_insert_with(|| api_version.clone());
                value.entry("kind").or_insert_with(|| kind.clone());
            }
            let oddities = oddities.remove(&index).unwrap_or_default();
            // A list may hold lists: as deep as a document may be nested.
            self.add(Document { file: Arc::clone(&file), line, value, positions, oddities });
        }
    }
}

/// `Service` for `ServiceList`; nothing for `List`.
fn kind_of_items(list_kind: Option<&Value>) -> Option<Value> {
    let kind = list_kind?.as_str()?.strip_suffix("List")?;
    (!kind.is_empty()).then(|| kind.into())
}

/// The oddities of each item of a list, with their fields as the item has them.
fn oddities_by_item(oddities: Vec<Oddity>) -> BTreeMap<usize, Vec<Oddity>> {
    let mut by_item: BTreeMap<usize, Vec<Oddity>> = BTreeMap::new();
    for oddity in oddities {
        let parts = oddity.field.strip_prefix("items[").and_then(|rest| rest.split_once(']'));
        let Some((index, field)) = parts.and_then(|(index, field)| Some((index.parse().ok()?, field))) else {
            continue;
        };
        let field = field.strip_prefix('.').unwrap_or(field).to_owned();
        by_item.entry(index).or_default().push(Oddity { field, ..oddity });
    }
    by_item
}

/// Parses one document with the lines of its fields; an error comes with its line in the file.
fn parse(text: &str, line: usize, allowance: &Cell<usize>) -> Result<(Positions, Tree), (usize, String)> {
    let own = Cell::default();
    let directives = text.lines().take_while(|line| line.starts_with(['%', '#']) || line.trim().is_empty());
    if directives.filter(|line| line.starts_with('%')).nth(MAX_DIRECTIVES).is_some() {
        return Err((line, format!("more than {MAX_DIRECTIVES} directives stand before it")));
    }
    let positions = Positions::of(text, line);
    if let Some(tree) = parse_json(text, Reader::of(text, &own, allowance)) {
        return Ok((positions.unwrap_or_else(|_| Positions::unknown(line)), tree));
    }
    let positions = positions?;
    let reader = Reader::of(text, &own, allowance);
    let tree = reader.deserialize(serde_yaml::Deserializer::from_str(text)).map_err(|error| {
        let message = error.to_string();
        let (place, column) = error.location().map_or((1, 1), |location| (location.line(), location.column()));
        let place = breaks::Breaks::of(text).before(place) + 1;
        let place = fault::line_of(text, &message, place, column);
        // At the end of a text some parsers name the line after it.
        let last = text.lines().count().max(1);
        (line + place.min(last).saturating_sub(1), without_place(&message))
    })?;
    Ok((positions, tree))
}

/// The value of a text that is JSON; YAML's flow style begins with a brace too, so another text is no error.
fn parse_json(text: &str, reader: Reader<'_>) -> Option<Tree> {
    if !text.starts_with('{') {
        return None;
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let tree = reader.deserialize(&mut json).ok()?;
    json.end().ok()?;
    Some(tree)
}

/// The message without its `at line 3 column 4`: those lines count from the document, not from the file.
fn without_place(message: &str) -> String {
    if message.starts_with("deserializing from YAML containing more than one document") {
        return "something stands behind the end of its value".to_owned();
    }
    let message = message.split(" at line ").next().unwrap_or(message);
    message.split(" at position ").next().unwrap_or(message).to_owned()
}

/// Whether a text is what an infinite number, or one that is none, is read as.
pub fn is_not_finite(text: &str) -> bool {
    tree::NOT_FINITE.contains(&text)
}

/// Writes a value as YAML in block style, as one document without its mark.
pub fn to_yaml(value: &Value) -> String {
    emit::document(value)
}

#[cfg(test)]
mod tests;
