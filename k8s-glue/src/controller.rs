//! `ferrule controller`: the role that allocates addresses to the Services of a cluster.

use thiserror::Error;

use crate::args::{ControllerArgs, Outcome};

/// Why the controller did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ControllerError {
    /// This build has the command line of the controller, and no more.
    #[error("this build has no controller yet")]
    NotBuilt,
}

/// Runs until it is told to stop.
///
/// # Errors
/// [`ControllerError`].
pub const fn run(_arguments: &ControllerArgs) -> Result<Outcome, ControllerError> {
    Err(ControllerError::NotBuilt)
}
