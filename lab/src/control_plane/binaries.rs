//! Where the programs of a control plane are: named by `KUBEBUILDER_ASSETS`, or built once into a cache folder.
//!
//! The cache is `$XDG_CACHE_HOME/ferrule/control-plane/VERSIONS`, or `~/.cache/...`. [`find_or_build`] may take minutes; `make
//! control-plane` calls it and nothing else.

use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use super::compile;
use crate::error::{Error, Result};

/// Names a folder with `kube-apiserver`, `etcd` and `kubectl` (and perhaps `kube-proxy`) to use instead of built ones.
pub const ASSETS: &str = "KUBEBUILDER_ASSETS";

/// The programs, in the order in which they are built: the largest first, since the others share most of its packages.
pub(crate) const PROGRAMS: [&str; 4] = ["kube-apiserver", "etcd", "kube-proxy", "kubectl"];

/// Raised when the way of building changes without a change of versions.
const RECIPE: u32 = 1;

/// The programs of a control plane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    kube_proxy: bool,
}

impl Binaries {
    /// The folder they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The API server.
    pub fn kube_apiserver(&self) -> PathBuf {
        self.folder.join("kube-apiserver")
    }

    /// Its store.
    pub fn etcd(&self) -> PathBuf {
        self.folder.join("etcd")
    }

    /// The command line of the API.
    pub fn kubectl(&self) -> PathBuf {
        self.folder.join("kubectl")
    }

    /// What makes a node send a Service's address to an endpoint.
    ///
    /// # Errors
    /// [`Error::Missing`] where the folder of `KUBEBUILDER_ASSETS` has none.
    pub fn kube_proxy(&self) -> Result<PathBuf> {
        let path = self.folder.join("kube-proxy");
        if self.kube_proxy {
            return Ok(path);
        }
        Err(Error::Missing {
            what: format!("{} ({ASSETS} names that folder)", path.display()),
            mend: format!("put a kube-proxy there, or unset {ASSETS} to have all programs built"),
        })
    }
}

/// The programs that are there already.
///
/// # Errors
/// [`Error::Missing`] where `KUBEBUILDER_ASSETS` names a folder without them, or no cache folder can be named.
pub fn find() -> Result<Option<Binaries>> {
    if let Some(folder) = env::var_os(ASSETS).filter(|value| !value.is_empty()).map(PathBuf::from) {
        return in_assets(&folder).map(Some);
    }
    let folder = cache_folder()?;
    Ok(PROGRAMS.iter().all(|name| is_program(&folder.join(name))).then_some(Binaries { folder, kube_proxy: true }))
}

/// The programs, built first where they are missing; `say` is told what is done and how far it is.
///
/// Needs the Go toolchain and the network for the first build, so it has to come before [`crate::privilege::enter`] where that makes
/// a user namespace. Of several processes that ask at once, one builds and the others wait.
///
/// # Errors
/// [`Error::Missing`] with what to install where the Go toolchain is missing or too old; [`Error::Exit`] where a build fails.
pub fn find_or_build(say: &mut dyn FnMut(&str)) -> Result<Binaries> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    let folder = cache_folder()?;
    fs::create_dir_all(&folder).map_err(|source| Error::system(format!("making {}", folder.display()), source))?;
    let _lock = lock(&folder, say)?;
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !is_program(&folder.join(name))).collect();
    if !missing.is_empty() {
        compile::all(&folder, &missing, say)?;
    }
    Ok(Binaries { folder, kube_proxy: true })
}

/// The folder that built programs are kept in, one for each set of versions.
///
/// # Errors
/// [`Error::Missing`] where neither `XDG_CACHE_HOME` nor `HOME` is an absolute path.
pub fn cache_folder() -> Result<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let root = absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")));
    let root = root.ok_or_else(|| Error::Missing {
        what: "a folder for what is built once".into(),
        mend: "set HOME or XDG_CACHE_HOME to an absolute path".into(),
    })?;
    let versions = format!("kubernetes-{}-etcd-{}-{RECIPE}", compile::kubernetes_version(), compile::etcd_version());
    Ok(root.join("ferrule").join("control-plane").join(versions))
}

fn in_assets(folder: &Path) -> Result<Binaries> {
    let missing: Vec<&str> = PROGRAMS.into_iter().filter(|name| !is_program(&folder.join(name))).collect();
    match missing.as_slice() {
        [] => Ok(Binaries { folder: folder.to_owned(), kube_proxy: true }),
        ["kube-proxy"] => Ok(Binaries { folder: folder.to_owned(), kube_proxy: false }),
        _ => Err(Error::Missing {
            what: format!("{} in {} ({ASSETS} names that folder)", missing.join(", "), folder.display()),
            mend: format!("put them there, or unset {ASSETS} to have them built"),
        }),
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Waits until no other process builds here; the lock goes with the file.
fn lock(folder: &Path, say: &mut dyn FnMut(&str)) -> Result<File> {
    let path = folder.join("lock");
    let failed = |source| Error::system(format!("locking {}", path.display()), source);
    let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(failed(source)),
        Err(TryLockError::WouldBlock) => {
            say("another process builds the control plane; waiting for it");
            file.lock().map_err(failed)?;
        }
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    fn place(folder: &Folder, names: &[&str]) {
        use std::os::unix::fs::PermissionsExt as _;
        for name in names {
            let path = folder.write(name, "#!/bin/sh\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
    }

    #[test]
    fn a_folder_without_kube_proxy_is_taken_and_says_so_when_it_is_asked_for() {
        let folder = Folder::make("assets").unwrap();
        place(&folder, &["kube-apiserver", "etcd", "kubectl"]);
        let found = in_assets(folder.path()).unwrap();
        assert_eq!(found.kubectl(), folder.file("kubectl"));
        let error = found.kube_proxy().unwrap_err().to_string();
        assert!(error.contains("kube-proxy") && error.contains(ASSETS), "{error}");
    }

    #[test]
    fn a_folder_without_etcd_is_refused_by_name() {
        let folder = Folder::make("assets").unwrap();
        place(&folder, &["kube-apiserver", "kubectl", "kube-proxy"]);
        folder.write("etcd", "not executable").unwrap();
        let error = in_assets(folder.path()).unwrap_err().to_string();
        assert!(error.contains("etcd in ") && !error.contains("kubectl in"), "{error}");
    }
}
