//! Cuts bytes into pieces of one document each, before anything is parsed, so that a malformed document costs only itself.
//!
//! YAML ends a document at a line that begins with `---` or `...` wherever that line stands, block scalars and quoted text
//! included (YAML 1.2 section 9.1.2), so no parser is needed to find the cuts. A JSON stream has no such marks: its objects
//! follow each other, and are cut where one ends.

use serde::de::IgnoredAny;

/// One document's text, with the number of the line it begins at in its file (from 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece<'a> {
    /// The bytes, with the `---` line that opened the document, without one that closes it.
    pub(super) bytes: &'a [u8],
    /// The line of the first byte.
    pub(super) line: usize,
}

/// What editors on some systems begin a file with.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

enum Mark {
    /// `---`: the line belongs to the document that it opens.
    Opens,
    /// `...`: the line belongs to nobody.
    Closes,
    /// No mark.
    Inside,
}

fn mark_of(line: &[u8]) -> Mark {
    let ends_here = |rest: &[u8]| rest.first().is_none_or(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    match (line.strip_prefix(b"---"), line.strip_prefix(b"...")) {
        (Some(rest), _) if ends_here(rest) => Mark::Opens,
        (_, Some(rest)) if ends_here(rest) => Mark::Closes,
        _ => Mark::Inside,
    }
}

/// Cuts at document marks. Pieces that hold only blanks, comments and directives are left out.
pub(super) fn documents(bytes: &[u8]) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let mut start = Piece { bytes, line: 1 };
    let mut taken = 0;
    let mut offset = 0;
    for (number, line) in (1..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let next = offset + line.len();
        let (marked, shift) = match line.strip_prefix(BYTE_ORDER_MARK) {
            Some(rest) => (rest, BYTE_ORDER_MARK.len()),
            None => (line, 0),
        };
        match mark_of(marked) {
            Mark::Inside if shift == 0 => {}
            // Of files with such a mark that stand behind each other it belongs to nobody, and a document begins behind it.
            Mark::Inside | Mark::Opens => {
                pieces.push(Piece { bytes: bytes.get(taken..offset).unwrap_or_default(), line: start.line });
                taken = offset + shift;
                start.line = number;
            }
            Mark::Closes => {
                pieces.push(Piece { bytes: bytes.get(taken..offset).unwrap_or_default(), line: start.line });
                taken = next;
                start.line = number + 1;
            }
        }
        offset = next;
    }
    pieces.push(Piece { bytes: bytes.get(taken..).unwrap_or_default(), line: start.line });
    pieces.retain(|piece| has_content(piece.bytes));
    pieces
}

fn has_content(bytes: &[u8]) -> bool {
    let mut lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).enumerate();
    lines.any(|(index, line)| {
        let line = if index == 0 { line.strip_prefix(b"---").map_or(line, <[u8]>::trim_ascii) } else { line };
        !line.is_empty() && !line.starts_with(b"#") && !line.starts_with(b"%")
    })
}

/// Cuts a piece that is a stream of JSON objects into these; any other piece comes back whole.
///
/// A malformed object ends at the next line that begins with `{`.
pub(super) fn json_objects(text: &str, line: usize) -> Vec<(&str, usize)> {
    let mut found = Vec::new();
    let mut rest = text;
    let mut number = line;
    loop {
        let trimmed = rest.trim_start();
        number += newlines(rest.get(..rest.len() - trimmed.len()).unwrap_or_default());
        rest = trimmed;
        if rest.is_empty() {
            return found;
        }
        let length = first_object(rest).unwrap_or(rest.len());
        let (object, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        found.push((object, number));
        number += newlines(object);
        rest = after;
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

/// The length of the first object where another may follow it.
fn first_object(text: &str) -> Option<usize> {
    if !text.starts_with('{') {
        return None;
    }
    // YAML's flow style begins with a brace too and may go on in the first column: only a following JSON object tells.
    object_length(text).or_else(|| {
        let end = text.find("\n{")? + 1;
        object_length(text.get(end..)?).map(|_| end)
    })
}

/// The length of the JSON value that the text begins with.
fn object_length(text: &str) -> Option<usize> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
    stream.next()?.ok()?;
    Some(stream.byte_offset())
}
