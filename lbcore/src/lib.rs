//! The core of Ferrule: allocation of addresses, decisions about announcements, and ownership on a segment.
//!
//! Pure by rule: no clock, no socket, no thread, no environment, no hash order. Everything that happens is a value that the
//! caller hands in, everything that shall be done is a value that it gets back. It knows no Kubernetes and no packet.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod advertisement;
pub mod agreement;
pub mod allocator;
pub mod announce;
pub mod community;
pub mod config;
pub mod converge;
pub mod decide;
pub mod election;
pub mod family;
pub mod hash;
pub mod interval;
pub mod labels;
pub mod ledger;
pub mod link;
pub mod node;
pub(crate) mod node_set;
pub mod ownership;
pub mod peer;
pub mod policy;
pub mod pool;
pub mod range;
pub mod request;
pub mod rng;
pub mod service;
pub mod sharing;
pub mod time;
pub mod usage;
