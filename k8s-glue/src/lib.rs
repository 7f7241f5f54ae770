//! The hosts of Ferrule: the commands of the binary, and everything that knows Kubernetes objects.
//!
//! Without the feature `hosts` (which is on by default) there is only the way from files to a checked configuration: [`manifest`],
//! [`convert`], [`load`] and what they report with.

pub mod admission;
#[cfg(feature = "hosts")]
mod announcing;
#[cfg(feature = "hosts")]
pub mod args;
#[cfg(feature = "hosts")]
pub mod cluster;
#[cfg(feature = "hosts")]
pub mod controller;
pub mod convert;
#[cfg(feature = "hosts")]
pub mod crd;
#[cfg(feature = "hosts")]
pub mod demo;
#[cfg(feature = "hosts")]
pub mod explain;
mod freeze;
#[cfg(feature = "hosts")]
pub mod history;
#[cfg(feature = "hosts")]
pub mod honoured;
#[cfg(feature = "hosts")]
pub mod legacy;
pub mod load;
pub mod manifest;
#[cfg(feature = "hosts")]
pub mod metrics;
pub mod names;
pub mod output;
pub mod peer_version;
#[cfg(feature = "hosts")]
pub mod plan;
#[cfg(feature = "hosts")]
mod recorded;
pub mod report;
#[cfg(feature = "hosts")]
pub mod run;
#[cfg(feature = "hosts")]
pub mod serving;
#[cfg(feature = "hosts")]
pub mod speaker;
#[cfg(feature = "hosts")]
pub mod state;
#[cfg(feature = "hosts")]
pub mod telemetry;
#[cfg(feature = "hosts")]
pub mod validate;
