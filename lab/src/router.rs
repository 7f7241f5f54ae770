//! Routers made by others: BIRD, FRR and `GoBGP` in a host, each with a configuration of its own, a folder of its own and ways to ask it.
//!
//! They come from the distribution's packages (`bird2`, `frr`, `gobgpd`), which start nothing by themselves here.

mod bird;
mod frr;
mod gobgp;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

pub use bird::Bird;
pub use frr::Frr;
pub use gobgp::Gobgp;

use crate::deadline::wait_until;
use crate::error::{Error, Result};

/// How long a router may take to start.
const START_WITHIN: Duration = Duration::from_secs(20);
/// How long a router may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A route as a router tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// `192.0.2.1/32`
    pub prefix: String,
    /// Next hops, the link-local one last.
    pub next_hops: Vec<String>,
    /// AS path, nearest first.
    pub as_path: Vec<u32>,
    /// `MULTI_EXIT_DISC`.
    pub med: Option<u32>,
    /// `LOCAL_PREF`, as received or as the router sets it.
    pub local_pref: Option<u32>,
    /// Communities as `64512:1`, sorted.
    pub communities: Vec<String>,
    /// Large communities as `64512:1:2`, sorted.
    pub large_communities: Vec<String>,
}

/// What can be asked of every router.
pub trait Router {
    /// Whether its session with the peer of this address is established.
    ///
    /// # Errors
    /// Where it does not answer.
    fn is_established(&self, peer: &str) -> Result<bool>;

    /// The routes of a family (`4`, `6`) that it has from its peers, in the order of prefixes.
    ///
    /// # Errors
    /// Where it does not answer, or not so that it can be understood.
    fn routes(&self, family: u8) -> Result<Vec<Route>>;

    /// Whether it takes IPv6 routes with a link-local next hop beside the global one.
    fn takes_link_local_next_hops(&self) -> bool {
        true
    }

    /// Waits until its session with the peer is established, or is not.
    ///
    /// # Errors
    /// [`Error::Late`]; where it does not answer at all, what it was waited for in vain.
    fn wait_established(&self, peer: &str, established: bool, within: Duration) -> Result<()> {
        let what = format!("the session with {peer} to be {}", if established { "established" } else { "down" });
        wait_until(within, &what, || (self.is_established(peer).ok()? == established).then_some(()))
    }

    /// Waits until its routes of a family are as `holds` wants them, and returns them.
    ///
    /// # Errors
    /// [`Error::Late`] with the routes that it had last.
    fn wait_routes(
        &self,
        family: u8,
        what: &str,
        within: Duration,
        holds: &dyn Fn(&[Route]) -> bool,
    ) -> Result<Vec<Route>> {
        let mut last = Vec::new();
        let found = wait_until(within, what, || {
            last = self.routes(family).ok()?;
            holds(&last).then(|| last.clone())
        });
        found.map_err(|_| Error::Late { what: format!("{what}; it had {last:?}"), waited: within })
    }
}

/// A folder for what a router writes, gone when it is dropped.
#[derive(Debug)]
struct RunFolder(PathBuf);

impl RunFolder {
    fn new(kind: &str) -> Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("lab-{kind}-{}-{number}", std::process::id()));
        fs::create_dir_all(&path).map_err(|source| Error::system(format!("making {}", path.display()), source))?;
        Ok(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, text).map_err(|source| Error::system(format!("writing {}", path.display()), source))?;
        Ok(path)
    }

    fn folder(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// An answer that cannot be understood.
fn unreadable(router: &str, answer: &str) -> Error {
    Error::Netlink { doing: format!("asking {router}"), detail: answer.chars().take(400).collect() }
}
