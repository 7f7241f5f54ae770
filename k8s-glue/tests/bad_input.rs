//! Files that somebody wrote to break a reader: it ends in bounded time and memory, with an error that names file and line.
//!
//! Each file is read by a process of its own, which is this test again: it does what `validate` does with the files alone.
//!
//! Each file is as large as `FERRULE_BAD_INPUT_MIB` says, in MiB; 1 where it is not set. The figures of `docs/testing.md` are those of
//! `FERRULE_BAD_INPUT_MIB=10 cargo test --release -p k8s-glue --no-default-features --test bad_input -- --nocapture --test-threads 1`.
#![expect(
    clippy::exit,
    clippy::print_stdout,
    reason = "a test that prints figures, and is a process of its own for each"
)]

use std::path::Path;
use std::process::{self, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use k8s_glue::load;
use lbcore::config::Settings;

/// The test that is the reader, and what it is told by.
const THE_READER: &str = "the_reader_alone";
const FILE: &str = "FERRULE_BAD_INPUT_FILE";
const REPORT: &str = "FERRULE_BAD_INPUT_REPORT";

/// Reads the file that the environment names and writes the report. It does nothing where none is named.
#[test]
fn the_reader_alone() {
    let (Some(file), Some(report)) = (std::env::var_os(FILE), std::env::var_os(REPORT)) else { return };
    let loaded = load::load(&[file.into()], &Settings::default());
    let valid = loaded.report.is_valid();
    std::fs::write(report, loaded.report.to_text()).expect("the folder is ours");
    // The exit code of a test that fails is another one, and that of a panic in the reader too.
    process::exit(if valid { VALID } else { INVALID });
}

const VALID: i32 = 70;
const INVALID: i32 = 71;

/// What reading a file took and said.
struct Outcome {
    code: Option<i32>,
    said: String,
    elapsed: Duration,
    peak_mib: u64,
}

/// The size of each file, in octets.
fn size() -> usize {
    let mib = std::env::var("FERRULE_BAD_INPUT_MIB").ok().and_then(|text| text.parse::<usize>().ok());
    mib.unwrap_or(1) << 20
}

/// As often as fits the size.
fn repeated(text: &str) -> String {
    text.repeat(size() / text.len())
}

/// Lines made from their numbers, as many as fit the size.
fn numbered(line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        text.push_str(&line(number));
        if text.len() >= size() {
            break;
        }
    }
    text
}

/// The most memory that a process has had, while it runs.
fn peak_mib(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? >> 10)
}

fn read(name: &str, text: &[u8]) -> Outcome {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bad.yaml");
    std::fs::write(&file, text).expect("the folder is ours");
    let outcome = read_path(folder.path(), &file);
    println!(
        "{name:<44} {:>6} KiB {:>9.2} s {:>6} MiB, exit code {:?}",
        text.len() >> 10,
        outcome.elapsed.as_secs_f64(),
        outcome.peak_mib,
        outcome.code
    );
    outcome
}

fn read_path(folder: &Path, path: &Path) -> Outcome {
    let said = folder.join(".said");
    let begun = Instant::now();
    let mut process = Command::new(std::env::current_exe().expect("this is a program"))
        .args(["--exact", THE_READER])
        .env(FILE, path)
        .env(REPORT, &said)
        .stdout(Stdio::null())
        .spawn()
        .expect("this program runs");
    let (mut peak, mut status) = (0, None);
    while status.is_none() {
        peak = peak.max(peak_mib(process.id()).unwrap_or_default());
        status = process.try_wait().expect("it is our child");
        if begun.elapsed() > PATIENCE {
            process.kill().expect("it is our child");
        }
        sleep(Duration::from_millis(2));
    }
    let status = process.wait().ok().or(status);
    let said = std::fs::read(&said).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    Outcome { code: status.and_then(|status| status.code()), said, elapsed: begun.elapsed(), peak_mib: peak }
}

/// No file takes longer: a build without optimisation on a machine with other work included.
const PATIENCE: Duration = Duration::from_secs(240);
/// What a file may take in memory: so much, and so much for each octet.
const MEMORY_MIB: u64 = 256;
const MEMORY_FACTOR: u64 = 260;

/// It ended by itself, within its bounds, and each line that it printed is one that a person can read.
fn is_bounded(outcome: &Outcome) {
    assert!(matches!(outcome.code, Some(VALID | INVALID)), "exit code {:?} after {:?}", outcome.code, outcome.elapsed);
    let bound = MEMORY_MIB + MEMORY_FACTOR * (size() as u64 >> 20);
    assert!(outcome.peak_mib < bound, "{} MiB, which is above {bound}", outcome.peak_mib);
    let longest = outcome.said.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 10_000, "a line of {longest} octets");
}

/// The file is refused: some line names file and line, and says this.
fn refused(name: &str, text: &str, expected: &str) {
    let outcome = read(name, text.as_bytes());
    is_bounded(&outcome);
    let first = outcome.said.lines().find(|line| line.contains(": error: ")).unwrap_or_default();
    assert_eq!(outcome.code, Some(INVALID), "{name}: {}", outcome.said.lines().next().unwrap_or_default());
    let place = first.split_once("bad.yaml:").and_then(|(_, rest)| rest.split_once(':'));
    assert!(place.is_some_and(|(line, _)| line.parse::<usize>().is_ok()), "{name}: no file and line in {first}");
    assert!(outcome.said.contains(expected), "{name}: expected {expected:?} in {first}");
}

/// The file is read, whatever is said of it.
fn taken(name: &str, text: &str) -> Outcome {
    let outcome = read(name, text.as_bytes());
    is_bounded(&outcome);
    outcome
}

const POOL: &str =
    "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\nspec:\n  addresses: [192.0.2.0/24]\n";

fn with_pool(rest: &str) -> String {
    format!("{POOL}{rest}")
}

#[test]
fn bombs_of_aliases_are_refused() {
    let mut levels = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned()];
    for level in 1..12 {
        levels.push(format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")));
    }
    let laughs = levels.concat();
    refused("a billion laughs", &laughs, "repetition limit exceeded");
    // Each of these documents alone stays below every bound.
    let small: String = levels.iter().take(5).cloned().collect();
    refused("many small bombs", &repeated(&format!("{small}---\n")), "its aliases, with those before it, expand");
    let wide = format!("a: &a [{}]\nb: [{}]\n", vec!["x"; size() / 8].join(","), vec!["*a"; size() / 8].join(","));
    refused("a long list, repeated", &wide, "its aliases, with those before it, expand");
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(size() / 2), vec!["*a"; size() / 8].join(","));
    refused("a long text, repeated", &text, "its aliases, with those before it, expand");
    let merges = format!("a: &a {{{}}}\n<<: [{}]\n", numbered(|n| format!("k{n}: 1, ")), vec!["*a"; 1000].join(","));
    refused("a large map, merged a thousand times", &merges, "its aliases, with those before it, expand");
    let anchors = numbered(|number| format!("k{number}: &a{number} x\n"));
    taken("an anchor on each value", &anchors);
}

#[test]
fn many_of_a_kind_take_no_more_than_their_share() {
    let pool_of = |addresses: &str| {
        let head = POOL.split("  addresses").next().unwrap_or_default();
        format!("{head}  addresses:\n{addresses}")
    };
    let single = |n: usize| format!("  - 10.{}.{}.{}/32\n", n >> 16 & 255, n >> 8 & 255, n & 255);
    taken("addresses of one pool", &pool_of(&numbered(single)));
    let (texts, numbers) = (|n: usize| format!("  - x{n}\n"), |n: usize| format!("  - {n}\n"));
    refused("addresses that are none", &pool_of(&numbered(texts)), "is not an address range");
    refused("numbers where texts belong", &pool_of(&numbered(numbers)), "stands where a text belongs");
    let both = numbered(|n| if n % 2 == 0 { numbers(n) } else { texts(n) });
    refused("both of them", &pool_of(&both), "belongs");
    taken("fields that nobody knows", &with_pool(&numbered(|n| format!("  unknown{n}: 1\n"))));
    taken("single letters that may be booleans", &with_pool(&numbered(|n| format!("  u{n}: y\n"))));
    taken("one key over and over", &with_pool(&repeated("  u: 1\n")));
    taken("a tag on each value", &with_pool(&numbered(|n| format!("  u{n}: !t 1\n"))));
    // The event parser gives up at the tab, and the other one goes on.
    taken(
        "what only one of two parsers takes",
        &with_pool(&format!(
            "{}  t:\t'x'\n{}",
            numbered(|n| format!("  u{n}: y\n")),
            numbered(|n| format!("  v{n}: y\n"))
        )),
    );
    refused("directives", &format!("{}a: 1\n", numbered(|n| format!("%TAG !a{n}! x\n"))), "directives");
    refused("lists of nothing", &format!("[{}]", repeated("[],")), "a list, not an object");
    refused("pairs of nothing", &format!("[{}]", repeated(":,")), "");
    taken("keys without values", &format!("a: {{{}}}", numbered(|n| format!("{n},"))));
    let long_path = format!("{}: ", "k".repeat(1000));
    let deep: Vec<String> = (0..60).map(|depth| format!("{}{long_path}\n", " ".repeat(depth))).collect();
    let deep = deep.concat();
    refused(
        "odd values below a long path",
        &format!("{deep}{}", numbered(|n| format!("{}u{n}: y\n", " ".repeat(60)))),
        "too many repeated keys",
    );
}

#[test]
fn a_folder_of_many_files_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = folder.path().join("files");
    std::fs::create_dir(&files).expect("the folder is ours");
    for number in 0..20_000 {
        std::fs::write(files.join(format!("{number}.yaml")), "a: [\n").expect("the folder is ours");
    }
    let outcome = read_path(folder.path(), &files);
    println!("20,000 files: {:?}, {} MiB", outcome.elapsed, outcome.peak_mib);
    assert!(outcome.said.ends_with("20000 errors and 0 warnings in 20000 documents\n"));
    is_bounded(&outcome);
}
