//! `ferrule speaker`: the role that announces addresses from a node of a cluster.

use thiserror::Error;

use crate::args::{Outcome, SpeakerArgs};

/// Why the speaker did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpeakerError {
    /// This build has the command line of the speaker, and no more.
    #[error("this build has no speaker yet")]
    NotBuilt,
}

/// Runs until it is told to stop.
///
/// # Errors
/// [`SpeakerError`].
pub const fn run(_arguments: &SpeakerArgs) -> Result<Outcome, SpeakerError> {
    Err(SpeakerError::NotBuilt)
}
