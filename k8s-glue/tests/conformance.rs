//! Holds the build against the conformance vectors: every file below `CONFORMANCE_DIR` (default: the copy beside this file).
//!
//! Nothing is skipped. A vector that cannot pass yet is listed in [`NOT_BUILT`] with what is missing; it fails the run when it passes,
//! so that the list stays true. `conformance-vectors/README.md` says what the files mean. `cargo test --test conformance -- NAME` runs
//! some of them.
#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_in_result,
    clippy::unwrap_used,
    reason = "a test with a harness of its own, which the lints do not know for a test"
)]

#[path = "conformance/announcement.rs"]
mod announcement;
#[path = "conformance/comparison.rs"]
mod comparison;
#[path = "conformance/conversion.rs"]
mod conversion;
#[path = "conformance/vector.rs"]
mod vector;
#[path = "conformance/world.rs"]
mod world;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use vector::{Kind, Vector};

/// What is not built yet: areas (with a slash behind), or single vectors, and what they need.
const NOT_BUILT: &[(&str, &str)] = &[];

/// Passed and run, by area and kind.
type Counts = Arc<Mutex<BTreeMap<(String, Kind), (usize, usize)>>>;

fn main() -> ExitCode {
    let folder = std::env::var_os("CONFORMANCE_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance-vectors"), PathBuf::from);
    let counts = Counts::default();
    let mut trials: Vec<Trial> = Vec::new();
    for file in files_below(&folder) {
        let counts = Arc::clone(&counts);
        let name = file.strip_prefix(&folder).unwrap_or(&file).with_extension("").to_string_lossy().into_owned();
        trials.push(Trial::test(name.clone(), move || judge(&name, &file, &counts)));
    }
    assert!(!trials.is_empty(), "there is no vector below {}", folder.display());
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    print_counts(&counts);
    conclusion.exit_code()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Runs one vector; a listed one has to fail.
fn judge(name: &str, file: &Path, counts: &Counts) -> Result<(), Failed> {
    let vector = Vector::read(file).map_err(Failed::from)?;
    let outcome = comparison::run(&vector);
    let area = name.split('/').next().unwrap_or_default().to_owned();
    let mut counts = counts.lock().unwrap();
    let count = counts.entry((area, vector.kind)).or_default();
    count.1 += 1;
    let missing =
        NOT_BUILT.iter().find(|(listed, _)| name == *listed || (listed.ends_with('/') && name.starts_with(listed)));
    match (outcome, missing) {
        (Ok(()), None) => {
            count.0 += 1;
            Ok(())
        }
        (Ok(()), Some((listed, _))) => {
            Err(format!("it passes, and is listed as not built ({listed}): take it off the list").into())
        }
        (Err(_), Some(_)) => Ok(()),
        (Err(differences), None) => Err(format!("{}\n{}", vector.description, differences.join("\n")).into()),
    }
}

fn print_counts(counts: &Counts) {
    let counts = counts.lock().unwrap();
    let mut sum = (0, 0);
    println!("{:<26} {:<9} passed", "area", "kind");
    for ((area, kind), (passed, run)) in counts.iter() {
        println!("{area:<26} {:<9} {passed} of {run}", kind.as_str());
        sum = (sum.0 + passed, sum.1 + run);
    }
    println!("{:<36} {} of {}", "all", sum.0, sum.1);
    for (listed, what) in NOT_BUILT {
        println!("not built: {listed} ({what})");
    }
}
