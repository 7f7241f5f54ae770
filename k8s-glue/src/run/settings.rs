//! The two settings of a link that keep the kernel from answering for addresses of another link ([OWN-42]).
//!
//! `arp_ignore` 1: the kernel answers for an address only on the link that has it, and ours are on `ferrule0`, where nobody asks.
//! `arp_announce` 2: the kernel never names an address of another link as the sender of its own requests. Without it a standby that
//! was the owner a moment ago flips its neighbours back to itself by merely asking for them.
//!
//! They are set per link, only where a link may be announced on, before the first address is added. They stay when the process dies,
//! and so does the address: the kernel of a dead daemon does not answer. What was there before is recorded first, and put back when
//! the daemon stops, or when the next one starts, unless somebody else has changed it since.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::state::{LinkSetting, RecordedSetting};

/// Where the kernel shows the settings of IPv4 links.
pub(crate) const SETTINGS_FOLDER: &str = "/proc/sys/net/ipv4/conf";

/// A setting that cannot be read or changed.
#[derive(Debug, Error)]
pub(crate) enum SettingError {
    /// The kernel, or a read-only mount, refuses.
    #[error(
        "cannot {action} {}: {source}; the kernel would answer for addresses that another node owns. Mount /proc/sys writable, or set \
         arp_ignore=1 and arp_announce=2 there yourself before the start",
        path.display()
    )]
    Refused { action: &'static str, path: PathBuf, source: io::Error },
    /// The setting for all links is higher than the one that is needed, and the higher one counts.
    #[error(
        "net.ipv4.conf.all.{name} is {all}, which overrides what each link has; the kernel would answer for addresses that another node \
         owns. Set it to 0",
        name = setting.name()
    )]
    Overridden { setting: LinkSetting, all: u8 },
}

impl SettingError {
    /// Whether there is no such link, as when it went between a notice and the look at it.
    fn is_of_missing_link(&self) -> bool {
        matches!(self, Self::Refused { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

impl LinkSetting {
    const ALL: [Self; 2] = [Self::ArpIgnore, Self::ArpAnnounce];

    /// The file's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ArpAnnounce => "arp_announce",
            Self::ArpIgnore => "arp_ignore",
        }
    }

    /// What is written.
    const fn needed(self) -> u8 {
        match self {
            Self::ArpAnnounce => 2,
            Self::ArpIgnore => 1,
        }
    }

    /// Whether this value keeps the kernel quiet about addresses of scope host on another link.
    const fn suffices(self, value: u8) -> bool {
        match self {
            Self::ArpAnnounce => value >= 2,
            Self::ArpIgnore => matches!(value, 1 | 2 | 3 | 8),
        }
    }
}

/// A link of this host by name and index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkName {
    pub(crate) name: String,
    pub(crate) index: u32,
}

/// The settings below a folder; the kernel's is [`SETTINGS_FOLDER`].
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    folder: PathBuf,
}

impl Settings {
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    fn file(&self, link: &str, setting: LinkSetting) -> PathBuf {
        // The kernel allows no slash in a link's name, and neither `.` nor `..` as one.
        self.folder.join(link).join(setting.name())
    }

    fn read(&self, link: &str, setting: LinkSetting) -> Result<u8, SettingError> {
        let path = self.file(link, setting);
        let read = fs::read_to_string(&path)
            .and_then(|text| text.trim().parse().map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)));
        read.map_err(|source| SettingError::Refused { action: "read", path, source })
    }

    /// What has to be changed on a link; empty where everything is as needed, and where the link is gone. Changes nothing.
    ///
    /// # Errors
    /// [`SettingError`] where it cannot be known, or cannot be had.
    pub(crate) fn plan(&self, link: &LinkName) -> Result<Vec<RecordedSetting>, SettingError> {
        let mut changes = Vec::new();
        for setting in LinkSetting::ALL {
            // The kernel takes the higher of the two.
            let all = self.read("all", setting)?;
            let original = match self.read(&link.name, setting) {
                Err(error) if error.is_of_missing_link() => continue,
                read => read?,
            };
            if setting.suffices(all.max(original)) {
                continue;
            }
            let written = setting.needed();
            if !setting.suffices(all.max(written)) {
                return Err(SettingError::Overridden { setting, all });
            }
            let (link, index) = (link.name.clone(), link.index);
            changes.push(RecordedSetting { link, index, setting, original, written });
        }
        Ok(changes)
    }

    /// Makes a change that was planned and recorded.
    ///
    /// # Errors
    /// [`SettingError::Refused`]. A link that is gone is no error.
    pub(crate) fn apply(&self, change: &RecordedSetting) -> Result<(), SettingError> {
        match write(&self.file(&change.link, change.setting), change.written) {
            Err(error) if error.is_of_missing_link() => Ok(()),
            written => written,
        }
    }

    /// Puts back what was there before, unless somebody else has set it meanwhile.
    ///
    /// # Errors
    /// [`SettingError::Refused`]. A link that is gone is no error.
    pub(crate) fn restore(&self, change: &RecordedSetting) -> Result<(), SettingError> {
        match self.read(&change.link, change.setting) {
            Ok(value) if value == change.written => write(&self.file(&change.link, change.setting), change.original),
            Ok(_) => Ok(()),
            Err(error) if error.is_of_missing_link() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

fn write(path: &Path, value: u8) -> Result<(), SettingError> {
    fs::write(path, format!("{value}\n")).map_err(|source| SettingError::Refused {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the settings of `all` and `eth0`: ignore, then announce.
    fn folder(all: [u8; 2], eth0: [u8; 2]) -> (tempfile::TempDir, Settings) {
        let folder = tempfile::tempdir().unwrap();
        for (link, values) in [("all", all), ("eth0", eth0)] {
            fs::create_dir(folder.path().join(link)).unwrap();
            for (setting, value) in LinkSetting::ALL.into_iter().zip(values) {
                fs::write(folder.path().join(link).join(setting.name()), format!("{value}\n")).unwrap();
            }
        }
        let settings = Settings::new(folder.path());
        (folder, settings)
    }

    fn eth0() -> LinkName {
        LinkName { name: "eth0".to_owned(), index: 3 }
    }

    fn values(settings: &Settings) -> [u8; 2] {
        LinkSetting::ALL.map(|setting| settings.read("eth0", setting).unwrap())
    }

    // [OWN-42]
    #[test]
    fn both_settings_are_set_and_put_back() {
        let (_folder, settings) = folder([0, 0], [0, 1]);
        let changes = settings.plan(&eth0()).unwrap();
        assert_eq!(values(&settings), [0, 1], "planning changes nothing");
        for change in &changes {
            settings.apply(change).unwrap();
        }
        assert_eq!(values(&settings), [1, 2]);
        assert_eq!(settings.plan(&eth0()).unwrap(), []);
        for change in &changes {
            settings.restore(change).unwrap();
        }
        assert_eq!(values(&settings), [0, 1]);
    }

    #[test]
    fn what_is_set_for_all_links_is_not_set_again() {
        let (_folder, settings) = folder([1, 2], [0, 0]);
        assert_eq!(settings.plan(&eth0()).unwrap(), []);
    }

    #[test]
    fn what_somebody_else_set_meanwhile_is_left() {
        let (folder, settings) = folder([0, 0], [0, 0]);
        let changes = settings.plan(&eth0()).unwrap();
        fs::write(folder.path().join("eth0/arp_ignore"), "8\n").unwrap();
        for change in &changes {
            settings.restore(change).unwrap();
        }
        assert_eq!(values(&settings), [8, 0]);
    }

    #[test]
    fn a_link_that_is_gone_needs_no_restoring() {
        let (folder, settings) = folder([0, 0], [0, 0]);
        let changes = settings.plan(&eth0()).unwrap();
        fs::remove_dir_all(folder.path().join("eth0")).unwrap();
        for change in &changes {
            settings.restore(change).unwrap();
        }
        assert_eq!(settings.plan(&eth0()).unwrap(), []);
        settings.apply(&changes[0]).unwrap();
        fs::remove_dir_all(folder.path().join("all")).unwrap();
        assert!(settings.plan(&eth0()).is_err(), "without the settings at all it cannot be known");
    }

    #[test]
    fn a_value_for_all_links_that_defeats_ours_is_named() {
        let (_folder, settings) = folder([5, 0], [0, 0]);
        let text = settings.plan(&eth0()).unwrap_err().to_string();
        assert!(text.contains("net.ipv4.conf.all.arp_ignore is 5"), "{text}");
    }

    #[test]
    fn a_setting_that_cannot_be_written_says_what_to_do() {
        let (folder, settings) = folder([0, 0], [0, 0]);
        let change = settings.plan(&eth0()).unwrap().remove(0);
        fs::remove_file(folder.path().join("eth0/arp_ignore")).unwrap();
        fs::create_dir(folder.path().join("eth0/arp_ignore")).unwrap();
        let text = settings.apply(&change).unwrap_err().to_string();
        assert!(text.contains("eth0/arp_ignore") && text.contains("arp_announce=2"), "{text}");
    }
}
