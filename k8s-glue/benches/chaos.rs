//! `make chaos`: what clients see while parts of a cluster die, stop or are cut off, as a table.
//!
//! A real cluster (control plane, three nodes with kube-proxy, roles with the rights of `deploy/`, a router), six Services of different
//! kinds, and a client that begins a request each 10 ms for each address. `-- speaker` runs the faults with that word in their names alone.
//! It fails where a figure that is demanded does not hold.
//!
//! `rig` has the cluster and its clients, `faults` what is done to it, `table` what is demanded and how it is printed.

#![expect(clippy::print_stdout, reason = "what a benchmark is for")]

#[path = "chaos/faults.rs"]
mod faults;
#[path = "chaos/rig.rs"]
mod rig;
#[path = "chaos/table.rs"]
mod table;

use std::error::Error;
use std::process::ExitCode;

use lab::control_plane::{Binaries, enter_for_tests};

use rig::Rig;
use table::Row;

type Fallible<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    let binaries = match enter_for_tests("chaos") {
        Ok(binaries) => binaries,
        Err(status) => return status,
    };
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    match run(&binaries, &words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("chaos: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether everything held.
fn run(binaries: &Binaries, words: &[String]) -> Fallible<bool> {
    let wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word.as_str()));
    let faults: Vec<_> = faults::ALL.iter().filter(|(name, _)| wanted(name)).collect();
    if faults.is_empty() {
        let names: Vec<&str> = faults::ALL.iter().map(|(name, _)| *name).collect();
        return Err(format!("no fault has one of these words in its name; there are: {}", names.join(", ")).into());
    }
    let mut rig = Rig::build(binaries)?;
    let mut rows: Vec<Row> = Vec::new();
    for (name, fault) in faults {
        println!("# {name}");
        let row = fault(&mut rig).map_err(|error| format!("{name}: {error}\n{}", rig.logs()))?;
        println!("{}", row.in_words(&Rig::labels()));
        rows.push(row);
    }
    println!("{}", table::markdown(&Rig::labels(), &rows));
    let broken: Vec<String> = rows.iter().flat_map(Row::broken).collect();
    for line in &broken {
        println!("does not hold: {line}");
    }
    if !broken.is_empty() {
        println!("{}", rig.logs());
    }
    Ok(broken.is_empty())
}
