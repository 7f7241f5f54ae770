//! `ferrule run`: the standalone host. One daemon a node and one command: Services in files, addresses from pools, answers on the segment.
//!
//! | file | what it does |
//! |---|---|
//! | `start` | what must hold before anything is changed: rights, names, keys |
//! | `input` | files to a checked configuration; `watch`: when to read them again |
//! | `ledger` | who has which address, in agreement with the other daemons ([OWN-60]) |
//! | `chronicle`, `record` | what the state file says of the past, and of addresses that wait or are kept |
//! | `host` | the loop: files, members and signals in; state file, member table and desired set out, in this order |
//! | `status` | what the announcers report, as log lines and as addresses on `ferrule0` |
//! | `addresses`, `settings` | the changes made to the kernel, all of them undone at the end ([OWN-42]) |
//!
//! Nothing is announced before it is in the state file. A configuration with errors is refused at the start (exit 1); later, the last
//! good one stays in force and the problems are logged.

mod addresses;
mod chronicle;
mod host;
mod input;
mod kernel;
mod ledger;
mod record;
mod routes;
mod settings;
pub(crate) mod start;
mod status;
mod watch;

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use lbcore::allocator::PoolsError;
use lbcore::ownership::key::KeyError;
use thiserror::Error;
use tokio::runtime;
use tracing_subscriber::EnvFilter;

use crate::args::{Outcome, RunArgs};
use crate::names::SUBDOMAIN_MAX;
use crate::output::{self, OneLine};
use crate::state::StateError;

/// What is logged where `RUST_LOG` does not say otherwise.
const LOG_DEFAULT: &str = "info,netlink_proto=warn";

/// Why the daemon did not start, or stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// No address of the host can be announced without this right.
    #[error(
        "this process lacks {missing}, without which it cannot {purpose}; run it as root or give it the capability"
    )]
    Right {
        /// The capability.
        missing: &'static str,
        /// What it is for.
        purpose: &'static str,
    },
    /// The node's name cannot be used.
    #[error(
        "node name {name:?}: {reason}; give this node a name of its own with --node-name: lower case letters, digits, `-` and `.`, at most \
         {SUBDOMAIN_MAX} characters"
    )]
    NodeName {
        /// What was given, or what the host is called.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file with the member key cannot be used.
    #[error("member key file {}: {reason}", path.display())]
    MemberKeyFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: KeyFileProblem,
    },
    /// Heartbeats that would declare the living dead.
    #[error(
        "--heartbeat-timeout {timeout_ms} is shorter than four periods of {period_ms} ms: a lost frame or two would count as a death; give at least {}",
        period_ms * 4
    )]
    Timings {
        /// Milliseconds between heartbeats.
        period_ms: u64,
        /// Milliseconds of silence.
        timeout_ms: u64,
    },
    /// An expression of `--exclude-link` cannot be read.
    #[error("an expression of --exclude-link cannot be used")]
    Exclusion(#[from] announce_arp::io::ExclusionError),
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// The kernel refused a link, an address or a setting.
    #[error("{0}")]
    Kernel(String),
    /// ARP or NDP could not be started.
    #[error("addresses cannot be announced on the segment")]
    Segment(#[from] announce_arp::io::StartError),
    /// A checked configuration has pools that the allocator refuses: a fault of our own.
    #[error("the checked pools are refused by the allocator")]
    Pools(#[from] PoolsError),
    /// The system refused something that every program gets.
    #[error("cannot {action}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// What is wrong with a member key file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeyFileProblem {
    /// It cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It holds nothing.
    #[error("holds no key; write a secret of at least 16 characters on its first line, the same on every node")]
    Empty,
    /// A line is no key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// `ferrule run`; returns when the daemon has been told to stop.
///
/// # Errors
/// [`RunError`], by its variants. A bad input and a bad flag are no errors of this kind: what is wrong is printed, and the outcome says so.
pub fn run(arguments: &RunArgs) -> Result<Outcome, RunError> {
    if let Err(error) = start::check_flags(arguments) {
        let said = output::complain(&format!("ferrule: {:#}\n", anyhow::Error::from(error)));
        return said
            .map(|()| Outcome::Usage)
            .map_err(|source| RunError::System { action: "print the problem", source });
    }
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    // A second call in one process, as in tests, keeps the first one's settings.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| OneLine(io::stderr()))
        .try_init();
    let runtime = runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("ferrule-run")
        .build()
        .map_err(|source| RunError::System { action: "start threads", source })?;
    let outcome = runtime.block_on(host::run(arguments));
    // Whatever still blocks (a disk that hangs) must not keep the process.
    runtime.shutdown_background();
    outcome
}
