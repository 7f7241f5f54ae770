//! Writing a command's result to standard output, and complaints beside it.

use std::io::{self, ErrorKind, Write};

use serde::Serialize;
use serde_json::Value;

use crate::manifest;
use crate::names::Shown;

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

/// A value as indented JSON, with a line break at the end.
pub fn json(value: &impl Serialize) -> String {
    // Only a map whose keys are no text fails, and no result has one.
    format!("{:#}\n", serde_json::to_value(value).unwrap_or(Value::Null))
}

/// A value as YAML in block style.
pub fn yaml(value: &impl Serialize) -> String {
    manifest::to_yaml(&serde_json::to_value(value).unwrap_or(Value::Null))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_line_stays_one_line_and_keeps_its_colours() {
        let mut written = Vec::new();
        OneLine(&mut written).write_all(b"\x1b[33mWARN\x1b[0m name=a\nERROR forged\n").unwrap();
        assert_eq!(written, b"\x1b[33mWARN\x1b[0m name=a\\nERROR forged\n");
    }
}
