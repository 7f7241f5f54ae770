//! How sessions end: why one is stopped, and why one or an attempt came to nothing.

use core::fmt;
use core::time::Duration;
use std::sync::Arc;

use crate::wire::iana::{cease, error};
use crate::wire::notification::Notification;

/// Why a session is stopped for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// The speaker stops: CEASE 6/2.
    Shutdown,
    /// The peer was taken out of the configuration: 6/3.
    DeConfigured,
    /// The peer's configuration changed; another session follows: 6/6.
    Changed,
}

impl StopReason {
    pub(super) fn notification(self) -> Notification {
        match self {
            Self::Shutdown => Notification::shutdown("speaker stops"),
            Self::DeConfigured => Notification::new(error::CEASE, cease::PEER_DE_CONFIGURED),
            Self::Changed => Notification::new(error::CEASE, cease::OTHER_CONFIGURATION_CHANGE),
        }
    }
}

/// Why a session or an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// The peer said so.
    Received(Notification),
    /// We said so, for this reason.
    Sent {
        /// What was sent.
        notification: Notification,
        /// In words.
        reason: String,
    },
    /// Dialling failed or the connection broke, in the system's words.
    Lost(Arc<str>),
    /// Nobody answered within the time of an attempt.
    NoAnswer(Duration),
    /// It was stopped.
    Stopped,
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Received(notification) => write!(f, "the peer sent NOTIFICATION {notification}"),
            Self::Sent { notification, reason } if reason.is_empty() => write!(f, "sent NOTIFICATION {notification}"),
            Self::Sent { notification, reason } => write!(f, "sent NOTIFICATION {notification}: {reason}"),
            Self::Lost(words) => f.write_str(words),
            Self::NoAnswer(within) => write!(f, "nobody answered within {} s", within.as_secs()),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
