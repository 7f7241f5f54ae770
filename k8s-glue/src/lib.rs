//! The hosts of Ferrule: the commands of the binary, and everything that knows Kubernetes objects.

pub mod admission;
mod announcing;
pub mod args;
pub mod cluster;
pub mod controller;
pub mod convert;
pub mod crd;
pub mod demo;
mod freeze;
pub mod history;
pub mod honoured;
pub mod legacy;
pub mod load;
pub mod manifest;
pub mod metrics;
pub mod names;
pub mod output;
pub mod peer_version;
pub mod plan;
pub mod report;
pub mod run;
pub mod serving;
pub mod speaker;
pub mod state;
pub mod telemetry;
pub mod validate;
