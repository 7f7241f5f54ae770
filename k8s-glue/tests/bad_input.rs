//! Files that somebody wrote to break a reader: it ends in bounded time and memory, with an error that names file and line.
//!
//! Each file is read by a process of its own, which is this test again: it does what `validate` does with the files alone. Time is that of
//! the processor, so that other work on the machine does not count. A file that takes long is made again with a quarter of the size, which
//! must take no less than its share: what grows with the square would take a sixteenth.
//!
//! Each file is as large as `FERRULE_BAD_INPUT_MIB` says, in MiB; 1 where it is not set. The figures of `docs/testing.md` are those of
//! `FERRULE_BAD_INPUT_MIB=10 cargo test --release -p k8s-glue --no-default-features --test bad_input -- --nocapture --test-threads 1`.
#![expect(
    clippy::cast_precision_loss,
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
    /// Of the processor.
    time: Duration,
    peak_mib: u64,
}

/// The size of each file, in octets.
fn size() -> usize {
    let mib = std::env::var("FERRULE_BAD_INPUT_MIB").ok().and_then(|text| text.parse::<usize>().ok());
    mib.unwrap_or(1) << 20
}

/// As often as fits the size.
fn repeated(text: &str, size: usize) -> String {
    text.repeat(size / text.len())
}

/// Lines made from their numbers, as many as fit the size.
fn numbered(size: usize, line: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for number in 0.. {
        text.push_str(&line(number));
        if text.len() >= size {
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

/// The time of the processor that a process has taken so far, in its own code and in the kernel's.
fn time_taken(process: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program stands in brackets, and may hold blanks. Times are the 14th and 15th field, in hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut hundredths = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((hundredths()? + hundredths()?) * 10))
}

/// Makes a file of a size.
type Maker<'m> = &'m dyn Fn(usize) -> Vec<u8>;

/// Reads a file of this size, and of a quarter of it where that says more.
fn read(name: &str, make: Maker<'_>) -> Outcome {
    let (octets, outcome) = read_text(&make(size()));
    println!(
        "| {name} | {:.2} | {:.2} s | {} MiB |",
        octets as f64 / f64::from(1 << 20),
        outcome.time.as_secs_f64(),
        outcome.peak_mib
    );
    is_bounded(name, octets, &outcome);
    if outcome.time > WORTH_COMPARING {
        let (less, quarter) = read_text(&make(size() / 4));
        let growth = outcome.time.as_secs_f64() / quarter.time.max(LEAST).as_secs_f64();
        let share = octets as f64 / less as f64;
        assert!(growth < share * GROWTH, "{name}: {share:.1} times the octets take {growth:.1} times as long");
    }
    outcome
}

fn read_text(text: &[u8]) -> (usize, Outcome) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("bad.yaml");
    std::fs::write(&file, text).expect("the folder is ours");
    (text.len(), read_path(folder.path(), &file))
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
    let (mut peak, mut time, mut status) = (0, Duration::ZERO, None);
    while status.is_none() {
        peak = peak.max(peak_mib(process.id()).unwrap_or_default());
        time = time.max(time_taken(process.id()).unwrap_or_default());
        status = process.try_wait().expect("it is our child");
        if begun.elapsed() > PATIENCE {
            process.kill().expect("it is our child");
        }
        sleep(Duration::from_millis(2));
    }
    let status = process.wait().ok().or(status);
    let said = std::fs::read(&said).map(|octets| String::from_utf8_lossy(&octets).into_owned()).unwrap_or_default();
    Outcome { code: status.and_then(|status| status.code()), said, time, peak_mib: peak }
}

/// A reader that hangs without doing anything is stopped then.
const PATIENCE: Duration = Duration::from_secs(240);
/// A file takes no longer: so much, and so much for each MiB. A build without optimisation has five times as long.
const TIME: Duration = Duration::from_secs(1);
const TIME_FACTOR: Duration = Duration::from_secs(3);
const SLOWER_WITHOUT_OPTIMISATION: u32 = 5;
/// What a file may take in memory: so much, and so much for each octet.
const MEMORY_MIB: usize = 32;
const MEMORY_FACTOR: usize = 260;
/// A file that takes less is not worth a comparison, and one that takes still less is within what clocks can tell.
const WORTH_COMPARING: Duration = Duration::from_millis(400);
const LEAST: Duration = Duration::from_millis(50);
/// Beyond its share, a file may take so much longer than a smaller one.
const GROWTH: f64 = 2.0;

/// It ended by itself, within its bounds, and each line that it printed is one that a person can read.
fn is_bounded(name: &str, octets: usize, outcome: &Outcome) {
    assert!(matches!(outcome.code, Some(VALID | INVALID)), "{name}: code {:?} after {:?}", outcome.code, outcome.time);
    let mib = octets as f64 / f64::from(1 << 20);
    let slower = if cfg!(debug_assertions) { SLOWER_WITHOUT_OPTIMISATION } else { 1 };
    let most = (TIME + TIME_FACTOR.mul_f64(mib)) * slower;
    assert!(outcome.time < most, "{name}: {:?}, which is above {most:?}", outcome.time);
    let most = MEMORY_MIB as f64 + MEMORY_FACTOR as f64 * mib;
    assert!((outcome.peak_mib as f64) < most, "{name}: {} MiB, which is above {most}", outcome.peak_mib);
    let longest = outcome.said.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 10_000, "{name}: a line of {longest} octets");
}

/// The file is refused: some line names file and line, and says this.
fn refused(name: &str, make: impl Fn(usize) -> String, expected: &str) {
    let outcome = read(name, &|size| make(size).into_bytes());
    let first = outcome.said.lines().find(|line| line.contains(": error: ")).unwrap_or_default();
    assert_eq!(outcome.code, Some(INVALID), "{name}: {}", outcome.said.lines().next().unwrap_or_default());
    let place = first.split_once("bad.yaml:").and_then(|(_, rest)| rest.split_once(':'));
    assert!(place.is_some_and(|(line, _)| line.parse::<usize>().is_ok()), "{name}: no file and line in {first}");
    assert!(outcome.said.contains(expected), "{name}: expected {expected:?} in {first}");
}

/// The file is read, whatever is said of it.
fn taken(name: &str, make: impl Fn(usize) -> String) -> Outcome {
    read(name, &|size| make(size).into_bytes())
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
    refused("a billion laughs", |_| laughs.clone(), "repetition limit exceeded");
    // Each of these documents alone stays below every bound.
    let small: String = levels.iter().take(5).cloned().collect();
    let expand = "its aliases, with those before it, expand";
    refused("many small bombs", |size| repeated(&format!("{small}---\n"), size), expand);
    let listed = |word: &str, size: usize| vec![word; size / 8].join(",");
    let wide = |size| format!("a: &a [{}]\nb: [{}]\n", listed("x", size), listed("*a", size));
    refused("a long list, repeated", wide, expand);
    let long = |size| format!("a: &a {}\nb: [{}]\n", "x".repeat(size / 2), listed("*a", size));
    refused("a long text, repeated", long, expand);
    let merges = |size| {
        format!("a: &a {{{}}}\n<<: [{}]\n", numbered(size, |n| format!("k{n}: 1, ")), vec!["*a"; 1000].join(","))
    };
    refused("a large map, merged a thousand times", merges, expand);
    taken("an anchor on each value", |size| numbered(size, |number| format!("k{number}: &a{number} x\n")));
}

#[test]
fn nesting_is_bounded() {
    for (name, text, expected) in [
        ("lists in lists", "[", "nested too deep"),
        ("maps in maps", "{", "nested too deep"),
        ("JSON in JSON", "{\"a\":", "nested too deep"),
        ("lists in maps in lists", "[{a: ", "nested too deep"),
        ("lists of one line", "- ", ""),
        ("keys of one line", "a: ", ""),
        ("question marks", "? ", ""),
    ] {
        refused(name, |size| repeated(text, size), expected);
    }
    let deeper = |size: usize| (0..size.isqrt()).map(|depth| " ".repeat(depth) + "a:\n").collect();
    refused("blocks, each deeper", deeper, "nested too deep");
}

fn pool_of(addresses: &str) -> String {
    let head = POOL.split("  addresses").next().unwrap_or_default();
    format!("{head}  addresses:\n{addresses}")
}

#[test]
fn many_of_a_kind_take_no_more_than_their_share() {
    let single = |n: usize| format!("  - 10.{}.{}.{}/32\n", n >> 16 & 255, n >> 8 & 255, n & 255);
    taken("addresses of one pool", |size| pool_of(&numbered(size, single)));
    let (texts, numbers) = (|n: usize| format!("  - x{n}\n"), |n: usize| format!("  - {n}\n"));
    refused("addresses that are none", |size| pool_of(&numbered(size, texts)), "is not an address range");
    refused("numbers where texts belong", |size| pool_of(&numbered(size, numbers)), "stands where a text belongs");
    let both = |n| if n % 2 == 0 { numbers(n) } else { texts(n) };
    refused("both of them", |size| pool_of(&numbered(size, both)), "belongs");
    taken("fields that nobody knows", |size| with_pool(&numbered(size, |n| format!("  unknown{n}: 1\n"))));
    taken("single letters that may be booleans", |size| with_pool(&numbered(size, |n| format!("  u{n}: y\n"))));
    taken("one key over and over", |size| with_pool(&repeated("  u: 1\n", size)));
    taken("a tag on each value", |size| with_pool(&numbered(size, |n| format!("  u{n}: !t 1\n"))));
    refused("directives", |size| format!("{}a: 1\n", numbered(size, |n| format!("%TAG !a{n}! x\n"))), "directives");
    refused("lists of nothing", |size| format!("[{}]", repeated("[],", size)), "a list, not an object");
    refused("pairs of nothing", |size| format!("[{}]", repeated(":,", size)), "");
    taken("keys without values", |size| format!("a: {{{}}}", numbered(size, |n| format!("{n},"))));
}

#[test]
fn odd_values_take_no_more_than_their_share() {
    // The event parser gives up at the tab, and the other one goes on.
    let letters = |size, letter| numbered(size, move |n| format!("  {letter}{n}: y\n"));
    let half = |size| with_pool(&format!("{}  t:\t'x'\n{}", letters(size / 2, 'u'), letters(size / 2, 'v')));
    taken("what only one of two parsers takes", half);
    let long_path = format!("{}: ", "k".repeat(1000));
    let deep: Vec<String> = (0..60).map(|depth| format!("{}{long_path}\n", " ".repeat(depth))).collect();
    let deep = deep.concat();
    refused(
        "odd values below a long path",
        |size| format!("{deep}{}", numbered(size, |n| format!("{}u{n}: y\n", " ".repeat(60)))),
        "too many repeated keys",
    );
}

#[test]
fn one_value_may_be_as_long_as_the_file() {
    let long = |size| repeated("x", size);
    taken("a text", |size| with_pool(&format!("  u: {}\n", long(size))));
    refused("a name", |size| POOL.replace("name: p", &format!("name: {}", long(size))), "characters is too long");
    refused("an address", |size| POOL.replace("192.0.2.0/24", &long(size)), "octets more");
    refused("a key in YAML", |size| format!("{}: 1\n", long(size)), "");
    refused(
        "a key after a question mark",
        |size| format!("? {}\n: 1\n", long(size)),
        "a key is longer than 1024 octets",
    );
    refused("a key in JSON", |size| format!("{{\"{}\": 1}}", long(size)), "");
    refused("a quote that nothing ends", |size| format!("a: '{}", long(size)), "");
    refused("a kind", |size| format!("apiVersion: metallb.io/v1beta1\nkind: {}\n", long(size)), "there is no kind");
    taken("escapes", |size| with_pool(&format!("  u: \"{}\"\n", repeated("\\u2028", size))));
    taken("comments", |size| with_pool(&repeated("# y\n", size)));
    taken("blank lines", |size| with_pool(&repeated("\n", size)));
    taken("one line of colons", |size| with_pool(&format!("  u: {}\n", repeated("a:", size))));
}

#[test]
fn many_documents_are_read_one_by_one() {
    let pool = |n: usize| {
        let address = format!("10.{}.{}.{}/32", n >> 16, n >> 8 & 255, n & 255);
        format!("---\n{}", POOL.replace("name: p", &format!("name: p{n}")).replace("192.0.2.0/24", &address))
    };
    let outcome = taken("pools", |size| numbered(size, pool));
    assert_eq!(outcome.code, Some(VALID), "{}", outcome.said);
    assert!(outcome.said.starts_with("0 errors and 0 warnings in "), "{}", outcome.said);
    let open = "---\na: [\n";
    let all = format!("{} errors", size() / open.len());
    refused("documents that do not parse", |size| repeated(open, size), &all);
    let many = |size| repeated("{\"a\": [1,\n{}\n", size);
    refused("objects of JSON that nothing ends", many, "");
    taken("objects of JSON on a line", |size| repeated("{\"a\": 1} ", size));
}

#[test]
fn lists_of_objects_are_taken_apart_in_bounded_time() {
    let item = |n| format!("- {{apiVersion: v1, kind: Node, metadata: {{name: n{n}, labels: {{l: z}}}}}}\n");
    let items = |size| format!("items:\n{}", numbered(size, item));
    let outcome = taken("items of a list", |size| format!("apiVersion: v1\nkind: List\n{}", items(size)));
    assert_eq!(outcome.code, Some(VALID), "{}", outcome.said);
    let others = |size| numbered(size, |n| format!("u{n}: y\n"));
    taken("a list with other keys", |size| {
        format!("apiVersion: v1\nkind: List\n{}{}", others(size / 2), items(size / 2))
    });
    refused(
        "items that are no objects",
        |size| format!("kind: List\nitems:\n{}", repeated("- x\n", size)),
        "is not an object",
    );
}

#[test]
fn octets_that_are_no_manifest_are_refused_with_their_line() {
    let after = |octets: Vec<u8>| [POOL.as_bytes(), b"---\n", &octets].concat();
    let files: [(&str, Maker<'_>, &str); 5] = [
        ("NUL", &|size| after(vec![0; size]), "control characters"),
        ("invalid UTF-8", &|size| after(vec![0xff; size]), "it is not UTF-8 text"),
        ("UTF-16", &|size| repeated(POOL, size / 2).encode_utf16().flat_map(u16::to_le_bytes).collect(), ""),
        ("tabs", &|size| format!("{POOL}{}x\n", repeated("\t", size)).into_bytes(), ""),
        (
            "a name of many scripts",
            &|_| POOL.replace("name: p", "name: \u{202e}пул-池-🏊\u{200b}").into_bytes(),
            "no such name",
        ),
    ];
    for (name, make, expected) in files {
        let outcome = read(name, make);
        assert_eq!(outcome.code, Some(INVALID), "{name}: {}", outcome.said);
        assert!(outcome.said.contains("bad.yaml:") && outcome.said.contains(expected), "{name}: {}", outcome.said);
        let hidden = |character: char| character != '\n' && k8s_glue::names::is_hidden(character);
        assert!(!outcome.said.contains(hidden), "{name}: hidden characters in {:?}", outcome.said);
    }
    let windows = format!("\u{feff}{}", POOL.replace('\n', "\r\n"));
    let outcome = taken("byte order mark and carriage returns", |_| windows.clone());
    assert!(outcome.said.ends_with("0 errors and 0 warnings in 1 document\n"), "{}", outcome.said);
}

#[test]
fn a_folder_of_many_files_is_read() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let files = folder.path().join("files");
    std::fs::create_dir(&files).expect("the folder is ours");
    for number in 0..5_000 {
        std::fs::write(files.join(format!("{number}.yaml")), "a: [\n").expect("the folder is ours");
    }
    let outcome = read_path(folder.path(), &files);
    println!("| 5,000 files | 0.03 | {:.2} s | {} MiB |", outcome.time.as_secs_f64(), outcome.peak_mib);
    assert!(outcome.said.ends_with("5000 errors and 0 warnings in 5000 documents\n"));
    is_bounded("5,000 files", size(), &outcome);
}
