//! The binary `ferrule`: parse, call, print the error, map the exit code.

use std::process::ExitCode;

use k8s_glue::args::{self, Outcome};
use k8s_glue::names::Shown;

#[expect(clippy::print_stderr, reason = "the last error of the process has nowhere else to go")]
fn main() -> ExitCode {
    let outcome = args::parse(std::env::args_os()).and_then(|parsed| args::dispatch(&parsed)).unwrap_or_else(|error| {
        let text = format!("ferrule: {error:#}");
        text.lines().for_each(|line| eprintln!("{}", Shown(line)));
        Outcome::InputBad
    });
    outcome.into()
}
