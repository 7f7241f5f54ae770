//! The links that are passed over: `excludel2.yaml` ([L2-21], [FILE-1]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use announce_arp::io::{Exclusion, ExclusionError};
use serde_json::Value;
use thiserror::Error;

use crate::manifest::Manifests;

/// The one key of the file.
const KEY: &str = "announcedInterfacesToExclude";

/// A file that cannot be used.
#[derive(Debug, Error)]
#[error("{}: {reason}", path.display())]
pub struct ExcludeFileError {
    path: PathBuf,
    reason: Reason,
}

#[derive(Debug, Error)]
enum Reason {
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    #[error("line {line}: {text}")]
    Malformed { line: usize, text: String },
    #[error("{KEY} must be a list of regular expressions")]
    NotAList,
    #[error(transparent)]
    Expression(#[from] ExclusionError),
}

/// Reads the file; one that is not there excludes nothing ([L2-22]).
///
/// # Errors
/// [`ExcludeFileError`], with the line.
pub(crate) fn read(path: &Path) -> Result<Exclusion, ExcludeFileError> {
    read_file(path).map_err(|reason| ExcludeFileError { path: path.to_owned(), reason })
}

fn read_file(path: &Path) -> Result<Exclusion, Reason> {
    let octets = match fs::read(path) {
        Ok(octets) => octets,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    Ok(Exclusion::new(expressions(&octets)?)?)
}

fn expressions(octets: &[u8]) -> Result<Vec<String>, Reason> {
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"excludel2.yaml".into(), octets);
    if let Some(malformed) = manifests.malformed.first() {
        return Err(Reason::Malformed { line: malformed.line, text: malformed.reason.to_string() });
    }
    let mut all = Vec::new();
    for list in manifests.documents.iter().filter_map(|document| document.value.get(KEY)) {
        match list {
            Value::Null => {}
            Value::Array(list) => {
                for expression in list {
                    all.push(expression.as_str().ok_or(Reason::NotAList)?.to_owned());
                }
            }
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_) => return Err(Reason::NotAList),
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    // [L2-21], [L2-22]
    #[test]
    fn the_list_is_read_and_a_missing_file_excludes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("excludel2.yaml");
        assert!(!read(&path).unwrap().excludes("docker0"));
        fs::write(&path, "announcedInterfacesToExclude: [\"^docker.*\", ^lo$]\n").unwrap();
        let exclusion = read(&path).unwrap();
        assert!(exclusion.excludes("docker0") && exclusion.excludes("lo") && !exclusion.excludes("eth0"));
        fs::write(&path, "announcedInterfacesToExclude:\n").unwrap();
        assert!(!read(&path).unwrap().excludes("eth0"));
    }

    #[test]
    fn a_malformed_list_is_refused_with_the_reason() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("excludel2.yaml");
        for (text, part) in [
            ("announcedInterfacesToExclude: ['(']\n", "regular expressions"),
            ("announcedInterfacesToExclude: eth0\n", "must be a list"),
            ("announcedInterfacesToExclude: [\n", "line "),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("excludel2.yaml"), "{error}");
        }
    }
}
