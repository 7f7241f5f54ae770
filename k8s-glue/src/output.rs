//! Writing a command's result to standard output, and complaints beside it.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::Value;

use crate::manifest;

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

/// A value as indented JSON, with a line break at the end.
pub fn json(value: &impl Serialize) -> String {
    // Only a map whose keys are no text fails, and no result has one.
    format!("{:#}\n", serde_json::to_value(value).unwrap_or(Value::Null))
}

/// A value as YAML in block style.
pub fn yaml(value: &impl Serialize) -> String {
    manifest::to_yaml(&serde_json::to_value(value).unwrap_or(Value::Null))
}
