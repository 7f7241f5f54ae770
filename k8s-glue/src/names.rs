//! Which names the API server takes, and how any text from outside is shown on a terminal or in a log.
//!
//! What was typed into a manifest, a flag or a host's name may hold line breaks and escape sequences. Names are checked where they come in;
//! everything else is shown through [`Shown`].

use core::fmt;

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

/// Characters beside the control characters that leave no ink where they are printed, or move what stands around them: first and last of each
/// range, in order.
///
/// Source: Unicode 16, property `Default_Ignorable_Code_Point`, separators of lines, of paragraphs and of words other than the blank itself,
/// annotation marks, format controls of hieroglyphs, and the empty Braille pattern.
const INVISIBLE: [(char, char); 24] = [
    ('\u{a0}', '\u{a0}'),
    ('\u{ad}', '\u{ad}'),
    ('\u{34f}', '\u{34f}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{115f}', '\u{1160}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{17b4}', '\u{17b5}'),
    ('\u{180b}', '\u{180f}'),
    ('\u{2000}', '\u{200f}'),
    ('\u{2028}', '\u{202f}'),
    ('\u{205f}', '\u{206f}'),
    ('\u{2800}', '\u{2800}'),
    ('\u{3000}', '\u{3000}'),
    ('\u{3164}', '\u{3164}'),
    ('\u{fdd0}', '\u{fdef}'),
    ('\u{fe00}', '\u{fe0f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{ffa0}', '\u{ffa0}'),
    ('\u{fff0}', '\u{fffb}'),
    ('\u{fffe}', '\u{ffff}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e0fff}'),
];

/// Whether a character is not seen where it is printed, or does something to a terminal or a line of a log: control characters, ends of
/// lines, those that turn the direction of writing, those without width, and blanks that are not the blank.
pub fn is_hidden(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_control();
    }
    let place = INVISIBLE.partition_point(|(_, last)| *last < character);
    character.is_control() || INVISIBLE.get(place).is_some_and(|(first, _)| *first <= character)
}

/// A text of unknown origin as it may be printed: hidden characters are written as escapes such as `\n` and `\u{1b}`, and what is longer than
/// any message of ours is cut.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.len().min(SHOWN_OCTETS);
        let end = (0..=end).rev().find(|at| self.0.is_char_boundary(*at)).unwrap_or_default();
        let mut rest = self.0.get(..end).unwrap_or_default();
        while let Some((at, character)) = rest.char_indices().find(|(_, character)| is_hidden(*character)) {
            f.write_str(rest.get(..at).unwrap_or_default())?;
            if character.is_control() {
                write!(f, "{}", character.escape_debug())?;
            } else {
                write!(f, "{}", character.escape_unicode())?;
            }
            rest = rest.get(at + character.len_utf8()..).unwrap_or_default();
        }
        f.write_str(rest)?;
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
        let marks = "\u{85}\u{a0}\u{ad}\u{180e}\u{200b}\u{200c}\u{200d}\u{200e}\u{2028}\u{2029}\u{202e}\u{2060}\u{2069}\u{3000}\u{3164}\u{fe0f}\u{feff}\u{e0041}";
        for mark in marks.chars() {
            assert_eq!(Shown(&format!("a{mark}b")).to_string(), format!("a\\u{{{:x}}}b", u32::from(mark)));
        }
        for seen in "aé\u{65}\u{301}пулプール池🏊–’€\u{fffd}\u{e000}".chars() {
            assert!(!is_hidden(seen), "{seen:?}");
        }
        assert!(INVISIBLE.windows(2).all(|pair| pair[0].1 < pair[1].0), "the ranges are in order");
    }
}
