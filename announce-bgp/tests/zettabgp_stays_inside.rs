//! zettabgp is named in one file of the product, and its decoders, which peers' octets can hang, nowhere in the product.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

/// May name zettabgp: to compose.
const COMPOSES: &str = "src/wire/update/compose.rs";
/// May name its decoders: a cross check of what we sent ourselves.
const CROSS_CHECKS: &str = "src/wire/open/tests.rs";

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// What of a source is no comment.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[test]
fn zettabgp_only_composes_and_only_in_one_file() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    assert!(files.len() > 20, "the sources were not found");
    let mut names = 0;
    for file in files {
        let relative = file.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
        let code = code(&std::fs::read_to_string(&file).unwrap());
        if code.contains("zettabgp") {
            names += 1;
            assert!([COMPOSES, CROSS_CHECKS].contains(&relative.as_str()), "{relative} names zettabgp");
        }
        if relative == COMPOSES {
            // Every decoder of zettabgp is called decode_..., extract_... or from_bits.
            for decoder in ["decode", "extract_", "from_bits", "prelude::*", "recv_"] {
                assert!(!code.contains(decoder), "{relative} names {decoder}, a decoder of zettabgp");
            }
        }
    }
    assert_eq!(names, 2, "the check would see nothing");
}
