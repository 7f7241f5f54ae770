//! Which names the API server takes, and how any text from outside is shown on a terminal or in a log.
//!
//! What was typed into a manifest, a flag or a host's name may hold line breaks and escape sequences. Names are checked where they come in;
//! everything else is shown through [`Shown`].

use core::fmt::{self, Write as _};

use thiserror::Error;

/// The longest name of an object whose name is a DNS subdomain (RFC 1123).
pub const SUBDOMAIN_MAX: usize = 253;
/// The longest label of a name in the DNS (RFC 1035).
pub const LABEL_MAX: usize = 63;
/// The annotation with the pool that the addresses are from ([ANNOT-4]).
pub(crate) const POOL: &str = "metallb.io/ip-allocated-from-pool";
/// Its older spelling, which is only ever removed ([D162-4]).
pub(crate) const POOL_BEFORE: &str = "metallb.universe.tf/ip-allocated-from-pool";
/// As much of a text is shown.
const SHOWN_OCTETS: usize = 4096;

/// Why a text is no name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than the API server takes.
    #[error("a name of {length} characters is too long: at most {max} are allowed")]
    TooLong {
        /// How long it is, in octets.
        length: usize,
        /// How long it may be.
        max: usize,
    },
    /// A character that is not allowed at all.
    #[error("the character {found:?} is not allowed in it: only lower case letters, digits, `-`{dot} are")]
    Character {
        /// The first one.
        found: char,
        /// What is allowed beside.
        dot: &'static str,
    },
    /// A part that begins or ends with a dash, or is empty.
    #[error("it must begin and end with a letter or digit, and so must each part of it between dots")]
    Edge,
}

/// Whether a text is a DNS subdomain: the form of most names of objects, nodes among them.
///
/// # Errors
/// [`NameError`].
///
/// Source: RFC 1123 section 2.1.
pub fn subdomain(text: &str) -> Result<(), NameError> {
    check(text, SUBDOMAIN_MAX, " and `.`")?;
    text.split('.').try_for_each(edges)
}

/// Whether a text is a DNS label: the form of names of namespaces. Services may not begin with a digit either in older clusters; that is
/// let pass.
///
/// # Errors
/// [`NameError`].
///
/// Source: RFC 1123 section 2.1.
pub fn label(text: &str) -> Result<(), NameError> {
    check(text, LABEL_MAX, "")?;
    edges(text)
}

fn check(text: &str, max: usize, dot: &'static str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    if text.len() > max {
        return Err(NameError::TooLong { length: text.len(), max });
    }
    let allowed = |character: &char| {
        character.is_ascii_lowercase()
            || character.is_ascii_digit()
            || *character == '-'
            || (*character == '.' && !dot.is_empty())
    };
    match text.chars().find(|character| !allowed(character)) {
        Some(found) => Err(NameError::Character { found, dot }),
        None => Ok(()),
    }
}

fn edges(part: &str) -> Result<(), NameError> {
    if part.is_empty() || part.starts_with('-') || part.ends_with('-') { Err(NameError::Edge) } else { Ok(()) }
}

/// Whether a character does something to a terminal or a line of a log instead of being seen: control characters, ends of lines, and those
/// that turn the direction of writing.
pub fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of unknown origin as it may be printed: hidden characters are written as escapes such as `\n` and `\u{1b}`, and what is longer than
/// any message of ours is cut.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.len().min(SHOWN_OCTETS);
        let end = (0..=end).rev().find(|at| self.0.is_char_boundary(*at)).unwrap_or_default();
        for character in self.0.get(..end).unwrap_or_default().chars() {
            if is_hidden(character) {
                write!(f, "{}", character.escape_debug())?;
            } else {
                f.write_char(character)?;
            }
        }
        if end < self.0.len() { write!(f, "... ({} octets more)", self.0.len() - end) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subdomains_and_labels_are_what_the_api_server_takes() {
        for good in ["a", "0", "node-1.example.com", &"a".repeat(253)] {
            assert_eq!(subdomain(good), Ok(()), "{good}");
        }
        for bad in ["", "Bad Name!", "../../etc", "a..b", "-a", "a-", "a.-b", "a_b", "ä", "a\nb", &"a".repeat(254)] {
            assert!(subdomain(bad).is_err(), "{bad}");
        }
        assert_eq!(label(&"a".repeat(63)), Ok(()));
        assert!(label("a.b").is_err() && label(&"a".repeat(64)).is_err());
    }

    #[test]
    fn what_is_hidden_is_escaped_and_nothing_else() {
        assert_eq!(Shown("a\n\u{1b}[31m\u{202e}b\u{9b}").to_string(), "a\\n\\u{1b}[31m\\u{202e}b\\u{9b}");
        assert_eq!(Shown("Füße \"quoted\" \\").to_string(), "Füße \"quoted\" \\");
    }
}
