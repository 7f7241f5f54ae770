//! The YAML crate is named in one file, so that it can be replaced in one file.

use std::path::{Path, PathBuf};

fn sources_below(folder: &Path) -> Vec<PathBuf> {
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the sources are there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            sources.extend(sources_below(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            sources.push(path);
        }
    }
    sources
}

#[test]
fn only_the_manifest_reader_names_the_yaml_crate() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let naming = sources_below(&folder).into_iter().filter(|path| {
        let text = std::fs::read_to_string(path).expect("sources are text");
        text.contains("serde_yaml::")
    });
    let naming: Vec<PathBuf> = naming.map(|path| path.strip_prefix(&folder).expect("it is below").to_owned()).collect();
    assert_eq!(naming, [Path::new("manifest.rs")]);
}
