//! A folder for one laboratory's files that goes when the process does, however that ends.
//!
//! A shell waits at the other end of a pipe and removes the folder when the pipe closes: by [`Drop`], by a panic, by SIGINT or by
//! SIGKILL of the process that holds it.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// Waits for the end of its input, then removes its first argument. A process that was killed with us may still be writing there
/// for a moment, hence the second attempt.
const REMOVE: &str = r#"cat >/dev/null; rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }"#;

/// A folder that only this user can read, removed with its value or with the process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    remover: Child,
}

impl Folder {
    /// Makes an empty folder below the system's folder for temporary files; the name begins with `ferrule-PURPOSE-`.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be made or no shell can be started.
    pub fn make(purpose: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("ferrule-{purpose}-{}-{number}", std::process::id()));
        let doing = || format!("making {}", path.display());
        // What a process with the same number left behind long ago is none of ours.
        drop(fs::remove_dir_all(&path));
        fs::DirBuilder::new().mode(0o700).create(&path).map_err(|source| Error::system(doing(), source))?;
        let mut command = Command::new("sh");
        command.args(["-c", REMOVE, "sh"]).arg(&path);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A group of its own: an interrupt at the terminal must not end it before it has done its work.
        command.process_group(0);
        let remover = command.spawn().map_err(|source| Error::system("starting sh", source))?;
        Ok(Self { path, remover })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The path of a file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file in it; returns its path.
    ///
    /// # Errors
    /// [`Error::System`] where it cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.file(name);
        let made = path.parent().map_or(Ok(()), fs::create_dir_all);
        let written = made.and_then(|()| fs::write(&path, text));
        written.map_err(|source| Error::system(format!("writing {}", path.display()), source))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.remover.stdin.take());
        drop(self.remover.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_goes_with_its_value() {
        let folder = Folder::make("test").unwrap();
        let path = folder.path().to_owned();
        folder.write("deep/file", "text").unwrap();
        assert!(path.join("deep/file").exists());
        drop(folder);
        assert!(!path.exists());
    }
}
