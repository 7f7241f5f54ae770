//! The hosts of Ferrule: the commands of the binary, and everything that knows Kubernetes objects.

pub mod args;
pub mod manifest;
pub mod state;
