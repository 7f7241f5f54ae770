//! What can go wrong in a laboratory: one enum, since a test or the demo does the same with each of them: print and stop.

use std::io;
use std::time::Duration;

/// Why a step of a laboratory failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither root nor user namespaces are to be had.
    #[error("network namespaces cannot be made here ({reason}); {mend}")]
    Forbidden {
        /// What the kernel refused.
        reason: String,
        /// What to enable.
        mend: String,
    },
    /// A system call failed.
    #[error("{doing} failed: {source}")]
    System {
        /// The step, as a phrase: "opening a packet socket on p-n1".
        doing: String,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel's answer to a netlink request could not be read.
    #[error("{doing} failed: the answer of the kernel cannot be read: {detail}")]
    Netlink {
        /// The step, as a phrase.
        doing: String,
        /// What was wrong with the answer.
        detail: String,
    },
    /// Something did not come about in time.
    #[error("waited {waited:?} for {what}, in vain")]
    Late {
        /// What was waited for.
        what: String,
        /// How long.
        waited: Duration,
    },
    /// A command ended with another status than zero.
    #[error("{command} ended with {status}: {log}")]
    Exit {
        /// Program and arguments.
        command: String,
        /// Exit status or signal.
        status: String,
        /// The end of what it printed.
        log: String,
    },
    /// A program or a folder that is needed is not there.
    #[error("missing: {what}; {mend}")]
    Missing {
        /// What is missing, and what for.
        what: String,
        /// What to install or to set.
        mend: String,
    },
    /// A name, an address or a number that no laboratory can have.
    #[error("{what} {value:?} is not possible: {mend}")]
    Input {
        /// What was given: "address", "host".
        what: &'static str,
        /// The value given.
        value: String,
        /// What would do.
        mend: String,
    },
    /// A thread of the laboratory panicked or ended early.
    #[error("the thread for {what} ended before its work was done")]
    Thread {
        /// What the thread was for.
        what: String,
    },
}

impl Error {
    /// What was seen at the last look of a wait that was in vain; other errors stay as they are.
    #[must_use]
    pub fn with_last_look(self, seen: &str) -> Self {
        if let Self::Late { what, waited } = self {
            return Self::Late { what: format!("{what}; last seen: {seen}"), waited };
        }
        self
    }

    /// Wraps what a system call returned, with the step it was part of.
    pub fn system(doing: impl Into<String>, source: io::Error) -> Self {
        Self::System { doing: doing.into(), source }
    }
}

/// The result of a step of a laboratory.
pub type Result<T> = std::result::Result<T, Error>;
