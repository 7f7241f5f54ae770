//! `make control-plane`: finds the programs of a control plane, or builds them, and says where they are.

use std::process::ExitCode;

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "what a command line program is for")]
fn main() -> ExitCode {
    match lab::control_plane::find_or_build(&mut |line| eprintln!("control plane: {line}")) {
        Ok(binaries) => {
            println!("{}", binaries.folder().display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("control plane: {error}");
            ExitCode::FAILURE
        }
    }
}
