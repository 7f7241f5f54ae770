//! Holds the build against the conformance vectors: every file below `CONFORMANCE_DIR` (default: the copy beside this file, and our own in `conformance-own`).
//!
//! Nothing is skipped. A vector that is failed on purpose stands with its reason in `docs/differences.md`, under the heading that `conformance/on_purpose.rs` names, and nowhere
//! else; it fails the run when it passes, so that the list stays true. `conformance-vectors/README.md` says what the files mean.
//! `cargo test --test conformance -- NAME` runs some of them.
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
#[path = "conformance/on_purpose.rs"]
mod on_purpose;
#[path = "conformance/vector.rs"]
mod vector;
#[path = "conformance/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use on_purpose::Listed;
use vector::{Kind, Vector};

/// The vectors that everybody has, and ours.
const FOLDERS: [&str; 2] = ["conformance-vectors", "conformance-own"];

/// Passed and run, by area and kind.
type Counts = Arc<Mutex<BTreeMap<(String, Kind), (usize, usize)>>>;

fn main() -> ExitCode {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let given = std::env::var_os("CONFORMANCE_DIR").map(PathBuf::from);
    let ours = || FOLDERS.map(|folder| crate_folder.join("tests").join(folder)).to_vec();
    let folders = given.clone().map_or_else(ours, |folder| vec![folder]);
    let differences = std::fs::read_to_string(crate_folder.join("../docs/differences.md")).unwrap();
    let listed = Arc::new(on_purpose::listed(&differences));
    let counts = Counts::default();
    let mut trials: Vec<Trial> = on_purpose::trials(&differences);
    let mut ids = BTreeSet::new();
    let files = folders.iter().flat_map(|folder| files_below(folder).into_iter().map(move |file| (folder, file)));
    for (folder, file) in files {
        let (counts, listed) = (Arc::clone(&counts), Arc::clone(&listed));
        let name = file.strip_prefix(folder).unwrap_or(&file).with_extension("").to_string_lossy().into_owned();
        ids.insert(id_of(&name).to_owned());
        trials.push(Trial::test(name.clone(), move || judge(&name, &file, &listed, &counts)));
    }
    assert!(!ids.is_empty(), "there is no vector below {folders:?}");
    if given.is_none() {
        let unknown: Vec<String> = listed.keys().filter(|id| !ids.contains(*id)).cloned().collect();
        trials.push(Trial::test("differences.md lists vectors that are there", move || {
            if unknown.is_empty() { Ok(()) } else { Err(format!("there is no vector {unknown:?}").into()) }
        }));
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    print_counts(&counts, &listed);
    conclusion.exit_code()
}

/// A file is named after the id of its vector.
fn id_of(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
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
fn judge(name: &str, file: &Path, listed: &Listed, counts: &Counts) -> Result<(), Failed> {
    let vector = Vector::read(file).map_err(Failed::from)?;
    let outcome = comparison::run(&vector);
    let area = name.split('/').next().unwrap_or_default().to_owned();
    let mut counts = counts.lock().unwrap();
    let count = counts.entry((area, vector.kind)).or_default();
    count.1 += 1;
    count.0 += usize::from(outcome.is_ok());
    drop(counts);
    let reason = listed.get(id_of(name)).map(String::as_str);
    on_purpose::verdict(outcome, reason).map_err(|text| format!("{}\n{text}", vector.description).into())
}

fn print_counts(counts: &Counts, listed: &Listed) {
    let counts = counts.lock().unwrap();
    let mut sum = (0, 0);
    println!("{:<26} {:<9} passed", "area", "kind");
    for ((area, kind), (passed, run)) in counts.iter() {
        println!("{area:<26} {:<9} {passed} of {run}", kind.as_str());
        sum = (sum.0 + passed, sum.1 + run);
    }
    println!("{:<36} {} of {}", "all", sum.0, sum.1);
    for (id, reason) in listed {
        println!("failed on purpose: {id} ({reason})");
    }
}
