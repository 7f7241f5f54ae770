//! Follows changes of files and folders: [`Watch::changed`] returns when it is worth reading them again.
//!
//! The kernel's notices (inotify) are a hint only. What decides is a fingerprint of every path: where it leads through symbolic links,
//! which file that is, how long, and when it was changed. So an editor that writes a new file and renames it, a folder whose link is
//! swapped as Kubernetes does with mounted `ConfigMap`s, a file that vanishes and comes back, all look alike; a notice about something
//! else in the same folder wakes nobody. The fingerprint is also taken at intervals, for file systems that send no notices and links
//! that lead elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use inotify::{Event, EventMask, EventStream, Inotify, WatchDescriptor, WatchMask};
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::manifest::is_read;

/// Quiet for so long, a burst of changes is over.
const QUIET: Duration = Duration::from_millis(50);
/// A burst that does not end is acted on all the same after this time.
const BURST_MAX: Duration = Duration::from_secs(1);
/// A file that a program writes to is not read before the program has closed it, or this time has passed.
const WRITER_MAX: Duration = Duration::from_secs(10);
/// Between two looks without a notice.
const POLL: Duration = Duration::from_secs(2);
/// As `POLL`, where the kernel sends no notices at all.
const POLL_WITHOUT_NOTICES: Duration = Duration::from_millis(500);
/// Octets for notices of one wake-up.
const NOTICE_BUFFER: usize = 8 << 10;

/// What is watched for in a folder.
fn mask() -> WatchMask {
    WatchMask::ATTRIB
        | WatchMask::CLOSE_WRITE
        | WatchMask::CREATE
        | WatchMask::DELETE
        | WatchMask::DELETE_SELF
        | WatchMask::MODIFY
        | WatchMask::MOVE
        | WatchMask::MOVE_SELF
        | WatchMask::ONLYDIR
}

/// What ends the writing of a file, or puts another in its place.
const ENDS: EventMask =
    EventMask::CLOSE_WRITE.union(EventMask::DELETE).union(EventMask::MOVED_FROM).union(EventMask::MOVED_TO);

/// One file as far as a look from outside tells.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mark {
    resolved: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Every watched file, and every folder's content; a path that leads nowhere has no mark.
type Fingerprint = BTreeMap<PathBuf, Option<Mark>>;

fn mark(path: &Path) -> Option<Mark> {
    let resolved = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&resolved).ok()?;
    Some(Mark {
        resolved,
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

fn fingerprint(paths: &[PathBuf]) -> Fingerprint {
    let mut marks = Fingerprint::new();
    for path in paths {
        if path.is_dir() {
            let names: Vec<OsString> =
                fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.file_name()).collect();
            // A folder's own times change with every temporary file in it: only the names and the files count.
            for name in names.iter().filter(|name| is_read(name)) {
                let file = path.join(name);
                marks.insert(file.clone(), mark(&file));
            }
        } else {
            marks.insert(path.clone(), mark(path));
        }
    }
    marks
}

/// The folders whose notices tell of changes of these paths: each folder itself, for a file the one it is in, and the same again
/// where links lead.
fn folders(paths: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders = BTreeSet::new();
    let mut add_parent = |path: &Path| {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        folders.insert(parent.unwrap_or_else(|| Path::new(".")).to_owned());
    };
    let mut inner = BTreeSet::new();
    for path in paths {
        // Also for a folder: it may be removed and made anew.
        add_parent(path);
        if path.is_dir() {
            inner.insert(path.clone());
        }
        for resolved in fingerprint(std::slice::from_ref(path)).into_values().flatten().map(|mark| mark.resolved) {
            add_parent(&resolved);
        }
    }
    folders.append(&mut inner);
    folders
}

/// The kernel's notices about a set of folders that follows the paths.
struct Notices {
    stream: EventStream<Vec<u8>>,
    watched: BTreeMap<PathBuf, (WatchDescriptor, u64)>,
    /// Files of the folders that were written to and not closed since.
    written: Vec<(WatchDescriptor, OsString)>,
}

impl Notices {
    fn new() -> io::Result<Self> {
        let stream = Inotify::init()?.into_event_stream(vec![0; NOTICE_BUFFER])?;
        Ok(Self { stream, watched: BTreeMap::new(), written: Vec::new() })
    }

    /// Takes note of who writes to what.
    fn take(&mut self, event: Event<OsString>) {
        let Some(name) = event.name else { return };
        let file = (event.wd, name);
        if event.mask.contains(EventMask::MODIFY) {
            if !self.written.contains(&file) {
                self.written.push(file);
            }
        } else if event.mask.intersects(ENDS) {
            self.written.retain(|written| *written != file);
        }
    }

    /// Watches just these folders. One that cannot be watched is left to the looks at intervals.
    fn follow(&mut self, wanted: &BTreeSet<PathBuf>) {
        let inode = |folder: &Path| fs::metadata(folder).ok().map(|metadata| metadata.ino());
        let stale: Vec<PathBuf> = self
            .watched
            .iter()
            .filter(|(folder, (_, watched))| !wanted.contains(*folder) || inode(folder) != Some(*watched))
            .map(|(folder, _)| folder.clone())
            .collect();
        for folder in stale {
            if let Some((descriptor, _)) = self.watched.remove(&folder)
                // Two paths may lead to one folder, which has one descriptor.
                && !self.watched.values().any(|(other, _)| *other == descriptor)
            {
                // The folder may be gone, and its watch with it.
                let _ = self.stream.watches().remove(descriptor);
            }
        }
        for folder in wanted {
            if !self.watched.contains_key(folder)
                && let Some(inode) = inode(folder)
                && let Ok(descriptor) = self.stream.watches().add(folder, mask())
            {
                self.watched.insert(folder.clone(), (descriptor, inode));
            }
        }
    }
}

/// Watches paths for as long as it lives.
pub(crate) struct Watch {
    paths: Vec<PathBuf>,
    notices: Option<Notices>,
    seen: Fingerprint,
    /// Since when a change waits for quiet.
    waiting_since: Option<Instant>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("paths", &self.paths).finish_non_exhaustive()
    }
}

impl Watch {
    /// Begins to watch; must be called within a tokio runtime. Changes from now on are told, so read the files afterwards.
    /// `-` (standard input) is not watched.
    pub(crate) fn new(paths: &[PathBuf]) -> Self {
        let paths: Vec<PathBuf> = paths.iter().filter(|path| path.as_os_str() != "-").cloned().collect();
        let notices = Notices::new()
            .inspect_err(|error| {
                tracing::warn!(%error, "no notices of file changes (inotify); files are looked at every half second");
            })
            .ok();
        let mut watch = Self { paths, notices, seen: Fingerprint::new(), waiting_since: None };
        watch.follow();
        watch.seen = fingerprint(&watch.paths);
        watch
    }

    fn follow(&mut self) {
        if let Some(notices) = &mut self.notices {
            notices.follow(&folders(&self.paths));
        }
    }

    /// Returns when something changed since the last return, and then was quiet for 50 ms, with no program writing to any of the files. May
    /// be dropped and called again.
    pub(crate) async fn changed(&mut self) {
        if self.paths.is_empty() {
            return std::future::pending().await;
        }
        let mut next_look = Instant::now();
        loop {
            let interval = if self.notices.is_some() { POLL } else { POLL_WITHOUT_NOTICES };
            if fingerprint(&self.paths) != self.seen {
                self.wait_until_quiet().await;
                self.waiting_since = None;
                // What changes from here on differs from this and is found by the next call.
                self.seen = fingerprint(&self.paths);
                self.follow();
                return;
            }
            next_look = next_look.max(Instant::now()) + interval;
            self.notice(next_look).await;
            self.follow();
        }
    }

    /// Returns at the next notice, at the latest at `deadline`.
    async fn notice(&mut self, deadline: Instant) {
        let Some(notices) = &mut self.notices else {
            return sleep_until(deadline).await;
        };
        match timeout_at(deadline, notices.stream.next()).await {
            Ok(Some(Ok(event))) => notices.take(event),
            // The stream has ended or failed: from now on the looks at intervals have to do.
            Ok(None | Some(Err(_))) => self.notices = None,
            Err(_) => {}
        }
    }

    /// Whether a program has one of the files open and has written to it.
    fn is_written_to(&self) -> bool {
        let written = self.notices.iter().flat_map(|notices| &notices.written);
        let is_named = |name: &OsString| self.paths.iter().any(|path| path.file_name() == Some(name));
        written.into_iter().any(|(_, name)| is_read(name) || is_named(name))
    }

    async fn wait_until_quiet(&mut self) {
        let begun = *self.waiting_since.get_or_insert_with(Instant::now);
        let mut last = fingerprint(&self.paths);
        loop {
            let quiet = Instant::now() + QUIET;
            while Instant::now() < quiet {
                self.notice(quiet).await;
            }
            let now = fingerprint(&self.paths);
            let is_written_to = self.is_written_to();
            let limit = if is_written_to { WRITER_MAX } else { BURST_MAX };
            if begun.elapsed() >= limit {
                if let Some(notices) = &mut self.notices {
                    notices.written.clear();
                }
                return;
            }
            if now == last && !is_written_to {
                return;
            }
            last = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::fs::symlink;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    async fn is_told(watch: &mut Watch) {
        tokio::time::timeout(SOON, watch.changed()).await.expect("the change is told");
    }

    async fn stays_quiet(watch: &mut Watch) {
        assert!(tokio::time::timeout(Duration::from_millis(150), watch.changed()).await.is_err(), "nothing changed");
    }

    #[tokio::test]
    async fn a_file_written_in_place_is_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file));
        stays_quiet(&mut watch).await;
        fs::write(&file, "longer").unwrap();
        is_told(&mut watch).await;
        stays_quiet(&mut watch).await;
    }

    #[tokio::test]
    async fn a_file_that_is_written_slowly_is_told_when_it_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "first\nsecond\n").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file));
        let mut writer = fs::File::create(&file).unwrap();
        writer.write_all(b"first\n").unwrap();
        let early = tokio::time::timeout(Duration::from_millis(1_500), watch.changed()).await;
        assert!(early.is_err(), "half of it was told");
        writer.write_all(b"second\n").unwrap();
        drop(writer);
        is_told(&mut watch).await;
        stays_quiet(&mut watch).await;
    }

    #[tokio::test]
    async fn an_editor_that_replaces_the_file_is_noticed_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        fs::write(&file, "a").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&file));
        for content in ["first", "second"] {
            fs::write(folder.path().join(".a.yaml.swp"), content).unwrap();
            stays_quiet(&mut watch).await;
            fs::rename(folder.path().join(".a.yaml.swp"), &file).unwrap();
            is_told(&mut watch).await;
        }
    }

    #[tokio::test]
    async fn a_folder_tells_of_new_and_removed_manifests_only() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new(&[folder.path().to_owned()]);
        fs::write(folder.path().join("notes.txt"), "x").unwrap();
        fs::write(folder.path().join(".hidden.yaml"), "x").unwrap();
        stays_quiet(&mut watch).await;
        fs::write(folder.path().join("b.yaml"), "x").unwrap();
        is_told(&mut watch).await;
        fs::remove_file(folder.path().join("b.yaml")).unwrap();
        is_told(&mut watch).await;
    }

    #[tokio::test]
    async fn a_swapped_link_as_in_a_mounted_config_map_is_told() {
        let folder = tempfile::tempdir().unwrap();
        for (version, content) in [("one", "a"), ("two", "b")] {
            fs::create_dir(folder.path().join(version)).unwrap();
            fs::write(folder.path().join(version).join("c.yaml"), content).unwrap();
        }
        symlink("one", folder.path().join("..data")).unwrap();
        symlink("..data/c.yaml", folder.path().join("c.yaml")).unwrap();
        for paths in [vec![folder.path().to_owned()], vec![folder.path().join("c.yaml")]] {
            let mut watch = Watch::new(&paths);
            for version in ["two", "one"] {
                symlink(version, folder.path().join("..next")).unwrap();
                fs::rename(folder.path().join("..next"), folder.path().join("..data")).unwrap();
                is_told(&mut watch).await;
            }
        }
    }

    #[tokio::test]
    async fn a_folder_that_goes_and_comes_back_is_followed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("conf");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.yaml"), "a").unwrap();
        let mut watch = Watch::new(std::slice::from_ref(&folder));
        fs::remove_dir_all(&folder).unwrap();
        is_told(&mut watch).await;
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.yaml"), "a").unwrap();
        is_told(&mut watch).await;
        fs::write(folder.join("a.yaml"), "changed").unwrap();
        is_told(&mut watch).await;
    }

    #[tokio::test]
    async fn looks_at_intervals_do_without_notices() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.yaml");
        let mut watch = Watch::new(std::slice::from_ref(&file));
        watch.notices = None;
        fs::write(&file, "a").unwrap();
        is_told(&mut watch).await;
    }
}
