//! `ferrule speaker`: the role that announces addresses from a node of a cluster.
//!
//! | file | what it does |
//! |---|---|
//! | `start`, `exclude`, `keys` | what must hold before anything is announced: rights, names, links to pass over, the members' key |
//! | `scene` | everything that decisions rest on: what the watches saw, the part of the configuration that is in force, the snapshot |
//! | `asking` | what is asked of the API server: watches, the own Pod |
//! | `host` | the loop: what is seen and reported in, the desired set out |
//! | `board` | what this node announces for each Service, as the announcers report it |
//! | `clerk`, `assigned`, `failures` | what is told of it: statuses, events, the state of the configuration |
//! | `sight` | whether this node sees what it has to judge |
//! | `remarks`, `measures` | what is wrong with objects, figures for metrics |
//! | `sessions`, `event_log` | the log: sessions, what is announced |
//! | `report`, `scribe`, `verdict` | how that is written, and put right where others change it |
//!
//! Nothing is announced before every object was seen once ([SPK-7]). The announcing never waits for the API server: with that away
//! it goes on as it is ([OWN-24]). No address is bound to a link ([L2-24]).

mod asking;
mod assigned;
mod board;
mod clerk;
mod event_log;
mod exclude;
mod failures;
mod host;
mod keys;
mod measures;
mod remarks;
pub(crate) mod report;
mod scene;
mod scribe;
mod sessions;
mod sight;
mod start;
mod verdict;

use std::io;

use lbcore::ownership::key::KeyError;
use lbcore::service::EmptyName;
use thiserror::Error;
use tokio::runtime;

pub use crate::cluster::client::{ConnectError, RequestError};
pub use exclude::ExcludeFileError;

use crate::args::{Outcome, SpeakerArgs, UnknownNamespace};
use crate::run::RunError;
use crate::serving::ServingError;

/// Why the speaker did not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SpeakerError {
    /// The namespace of the configuration is not known ([CLI-1]).
    #[error(transparent)]
    Namespace(#[from] UnknownNamespace),
    /// The node's name is missing or none ([CLI-2]).
    #[error("the name of the node cannot be used: give --node-name or METALLB_NODE_NAME")]
    NodeName(#[source] Option<EmptyName>),
    /// The Pod's name is missing ([CLI-3]).
    #[error("the name of the Pod is not known: give --pod-name or METALLB_POD_NAME")]
    PodName,
    /// The API server does not know the Pod, or does not show it ([CLI-3]).
    #[error("Pod {namespace}/{name} cannot be read: it owns what this process writes")]
    Pod {
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
        /// What the API server said.
        source: Box<RequestError>,
    },
    /// A right, the timings, or something that the system refuses.
    #[error(transparent)]
    Start(#[from] RunError),
    /// ARP or neighbor discovery could not be started.
    #[error("addresses cannot be announced on segments")]
    Segment(#[source] announce_arp::io::StartError),
    /// The list of links to exclude.
    #[error(transparent)]
    Exclude(#[from] ExcludeFileError),
    /// There is no way to an API server.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Metrics or probes cannot be served.
    #[error(transparent)]
    Serving(#[from] ServingError),
    /// The members' key cannot be used.
    #[error("the key of the members in {path} cannot be used")]
    Key {
        /// The file.
        path: String,
        /// Why.
        source: KeyError,
    },
}

/// Runs until it is told to stop.
///
/// # Errors
/// [`SpeakerError`] for everything that keeps it from starting.
pub fn run(arguments: &SpeakerArgs) -> Result<Outcome, SpeakerError> {
    start::begin_to_log(arguments);
    let start = start::Start::new(arguments)?;
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ferrule-speaker")
        .build()
        .map_err(|source: io::Error| RunError::System { action: "start threads", source })?;
    let outcome = runtime.block_on(host::run(start));
    // Whatever still waits for the API server must not keep the process.
    runtime.shutdown_background();
    outcome
}
