//! The command line of the two roles as upstream's programs take it: one dash or two, a value after an equals sign or as the next word,
//! a switch without a value.
//!
//! The words are put into the form `--name=value` before clap sees them, by what clap knows of each flag; clap stays the only list of flags.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command};

/// Puts the words after a role's name into the form `--name=value`. What is no flag of the role stays as it is, so that clap says what
/// is wrong with it.
pub(super) fn settle(role: &Command, words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut words = words.into_iter();
    let mut settled = Vec::new();
    while let Some(word) = words.next() {
        let Some(flag) = flag_of(role, &word) else {
            settled.push(word);
            continue;
        };
        let mut text = OsString::from("--");
        text.push(&flag.text);
        if flag.wants_value
            && let Some(value) = words.next()
        {
            text.push("=");
            text.push(value);
        }
        settled.push(text);
    }
    settled
}

struct Flag {
    /// Without dashes; with the value where an equals sign gives one.
    text: OsString,
    /// Whether the next word is its value, whatever it begins with.
    wants_value: bool,
}

fn flag_of(role: &Command, word: &OsStr) -> Option<Flag> {
    let text = word.to_str()?;
    let text = text.strip_prefix("--").or_else(|| text.strip_prefix('-'))?;
    let name = text.split_once('=').map_or(text, |(name, _)| name);
    if name == "help" {
        return Some(Flag { text: text.into(), wants_value: false });
    }
    let flag = role.get_arguments().find(|flag| flag.get_long() == Some(name))?;
    Some(Flag { text: text.into(), wants_value: name == text && !is_switch(flag) })
}

/// Whether the flag may stand without a value.
fn is_switch(flag: &Arg) -> bool {
    !flag.get_action().takes_values() || flag.get_num_args().is_some_and(|count| count.min_values() == 0)
}

/// A switch's value, spelled as upstream's flag library reads it.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err("write true or false".to_owned()),
    }
}

/// A text of which the empty one means that nothing is set, as an empty variable of the environment does.
#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants of a parser")]
pub(super) fn optional_text(text: &str) -> Result<Option<String>, String> {
    Ok(Some(text).filter(|text| !text.is_empty()).map(str::to_owned))
}
