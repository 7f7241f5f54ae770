//! Writing a command's result to standard output, and complaints beside it.

use core::fmt::Write as _;
use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::Value;

use crate::manifest;
use crate::names::{self, Shown};

/// Writes the text. A reader that has gone away (`| head`) is no error: what it wanted, it has.
///
/// # Errors
/// Any other failure of standard output.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes the text to standard error.
///
/// # Errors
/// Any failure of standard error but a reader that has gone away.
pub fn complain(text: &str) -> io::Result<()> {
    match io::stderr().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// Writes each piece given, such as a line of a log, as one line: hidden characters in front of its end are written as escapes, so that no text
/// from outside can begin a line of its own. Escape sequences pass: the logger puts them in for colours, and takes out those of others.
#[derive(Debug)]
pub struct OneLine<W>(pub W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(piece);
        let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
        let parts: Vec<String> = text.split('\u{1b}').map(|part| Shown(part).to_string()).collect();
        self.0.write_all(format!("{}{end}", parts.join("\u{1b}")).as_bytes())?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A value as indented JSON, with a line break at the end. Hidden characters of its texts are written as escapes, which mean the same.
pub fn json(value: &impl Serialize) -> String {
    // Only a map whose keys are no text fails, and no result has one.
    let text = format!("{:#}\n", serde_json::to_value(value).unwrap_or(Value::Null));
    // Outside of texts there is no such character but ends of lines.
    let is_hidden = |character: char| character != '\n' && names::is_hidden(character);
    if !text.contains(is_hidden) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if is_hidden(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

/// A value as YAML in block style.
pub fn yaml(value: &impl Serialize) -> String {
    manifest::to_yaml(&serde_json::to_value(value).unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_escapes_in_json_and_yaml_and_mean_the_same() {
        let value = serde_json::json!({"a\u{200b}": "b\u{202e}c\u{9b}\u{e0041}\n\u{feff}é"});
        let text = json(&value);
        assert_eq!(text, "{\n  \"a\\u200b\": \"b\\u202ec\\u009b\\udb40\\udc41\\n\\ufeffé\"\n}\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        assert_eq!(yaml(&value), "\"a\\u200b\": \"b\\u202ec\\u009b\\U000e0041\\n\\ufeffé\"\n");
    }

    #[test]
    fn a_log_line_stays_one_line_and_keeps_its_colours() {
        let mut written = Vec::new();
        OneLine(&mut written).write_all(b"\x1b[33mWARN\x1b[0m name=a\nERROR forged\n").unwrap();
        assert_eq!(written, b"\x1b[33mWARN\x1b[0m name=a\\nERROR forged\n");
    }
}
