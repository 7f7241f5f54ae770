//! All that the daemon changes in the kernel, in an order that leaves nothing behind: recorded on disk, then done; at the end undone, and
//! after a crash undone by the next start.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use announce_arp::io::Exclusion;
use tokio::sync::Mutex;
use tokio::task;

use super::RunError;
use super::addresses::{Holder, KernelEvents};
use super::settings::{LinkName, Settings};
use crate::state::{RecordedSetting, State, StateError, StateFile};

/// The state file and its content, with the kernel's settings that it accounts for.
#[derive(Debug)]
pub(crate) struct Kernel {
    file: Arc<StateFile>,
    /// What is on disk.
    saved: State,
    settings: Settings,
    exclusion: Exclusion,
    /// The links that the kernel is kept from answering on.
    prepared: BTreeSet<LinkName>,
    /// The link with the addresses; also used by the task that follows the announcers.
    pub(crate) holder: Arc<Mutex<Holder>>,
}

fn kernel_error(error: &dyn std::fmt::Display) -> RunError {
    RunError::Kernel(error.to_string())
}

impl Kernel {
    /// Sweeps what an earlier daemon left, makes `ferrule0`, and prepares the links that are there.
    ///
    /// # Errors
    /// [`RunError`]; what was changed is undone then.
    pub(crate) async fn open(
        file: StateFile,
        saved: State,
        settings_folder: &Path,
        exclusion: Exclusion,
    ) -> Result<(Self, KernelEvents), RunError> {
        let (holder, events) = Holder::open().await.map_err(|error| kernel_error(&error))?;
        let settings = Settings::new(settings_folder);
        let holder = Arc::new(Mutex::new(holder));
        let mut kernel = Self { file: Arc::new(file), saved, settings, exclusion, prepared: BTreeSet::new(), holder };
        let prepared = async {
            kernel.restore_settings();
            let links = kernel.holder.lock().await.links().await.map_err(|error| kernel_error(&error))?;
            for link in links {
                kernel.prepare_link(&link).await?;
            }
            Ok(())
        };
        match prepared.await {
            Ok(()) => Ok((kernel, events)),
            Err(error) => {
                kernel.close().await;
                Err(error)
            }
        }
    }

    /// What is on disk.
    pub(crate) const fn saved(&self) -> &State {
        &self.saved
    }

    /// Makes a new content durable.
    ///
    /// # Errors
    /// [`StateError::Io`]; the old content stays.
    pub(crate) async fn save(&mut self, state: State) -> Result<(), StateError> {
        let (file, content) = (Arc::clone(&self.file), state.clone());
        let written = task::spawn_blocking(move || file.save(&content)).await;
        // The closure neither panics nor is cancelled before the runtime ends.
        written.unwrap_or(Ok(()))?;
        self.saved = state;
        Ok(())
    }

    /// Keeps the kernel from answering on a link, where the link may be announced on ([OWN-42]).
    ///
    /// # Errors
    /// [`RunError`]; nothing is changed then.
    pub(crate) async fn prepare_link(&mut self, link: &LinkName) -> Result<(), RunError> {
        if self.exclusion.excludes(&link.name) {
            return Ok(());
        }
        // A link keeps its index when it is renamed.
        self.prepared.retain(|known| known.index != link.index);
        self.prepared.insert(link.clone());
        let changes = self.settings.plan(link).map_err(|error| kernel_error(&error))?;
        if changes.is_empty() {
            return Ok(());
        }
        // On disk first: a daemon that dies in between leaves a record too many, which restores nothing.
        let mut state = self.saved.clone();
        let is_old = |old: &RecordedSetting| {
            changes.iter().any(|new| (&new.link, new.setting) == (&old.link, old.setting) && new.index != old.index)
        };
        state.settings.retain(|old| !is_old(old));
        for change in &changes {
            let is_known = state
                .settings
                .iter()
                .any(|old| (&old.link, old.index, old.setting) == (&change.link, change.index, change.setting));
            // Somebody set it back while we run: what was there first is what to restore.
            if !is_known {
                state.settings.push(change.clone());
            }
        }
        self.save(state).await?;
        for change in &changes {
            self.settings.apply(change).map_err(|error| kernel_error(&error))?;
        }
        tracing::debug!(link = %link.name, "kernel was kept from answering on the link");
        Ok(())
    }

    /// Looks at the settings of the links that are prepared, and sets again what somebody else has changed ([OWN-42]): the kernel sends no
    /// notice of it.
    ///
    /// # Errors
    /// As [`prepare_link`](Self::prepare_link).
    pub(crate) async fn keep_prepared(&mut self) -> Result<(), RunError> {
        for link in self.prepared.clone() {
            let changed = self.settings.plan(&link).map_err(|error| kernel_error(&error))?;
            for change in &changed {
                let (setting, found, needed) = (change.setting.name(), change.original, change.written);
                tracing::warn!(
                    link = %link.name,
                    setting,
                    found,
                    needed,
                    "somebody changed a setting that keeps the kernel from answering for addresses of other nodes; it is set again"
                );
            }
            if !changed.is_empty() {
                self.prepare_link(&link).await?;
            }
        }
        Ok(())
    }

    /// A link is gone, and its settings with it.
    pub(crate) fn forget_link(&mut self, link: &LinkName) {
        // Written with the next change; until then the index keeps a namesake safe.
        self.saved.settings.retain(|recorded| recorded.index != link.index);
        self.prepared.retain(|known| known.index != link.index);
    }

    fn restore_settings(&self) {
        for recorded in &self.saved.settings {
            if let Err(error) = self.settings.restore(recorded) {
                tracing::warn!(%error, link = %recorded.link, "setting of a link could not be put back");
            }
        }
    }

    /// Removes the addresses and puts the settings back.
    pub(crate) async fn close(mut self) {
        if let Err(error) = self.holder.lock().await.close().await {
            tracing::warn!(%error, "addresses could not be removed");
        }
        self.restore_settings();
        if !self.saved.settings.is_empty() {
            let state = State { settings: Vec::new(), ..self.saved.clone() };
            if let Err(error) = self.save(state).await {
                tracing::warn!(%error, "state file was not updated");
            }
        }
    }
}
