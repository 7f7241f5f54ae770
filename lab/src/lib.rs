//! A laboratory: hosts as network namespaces, switches between them, commands in them, and witnesses of every frame.
//!
//! ```no_run
//! # fn main() -> lab::Result<()> {
//! lab::privilege::enter()?; // first of all, while the process has one thread
//! let lab = lab::Lab::new("sketch");
//! let (one, two) = (lab.host("n1")?, lab.host("n2")?);
//! let lan = lab.segment("lan", &[&one, &two])?;
//! one.address("eth0", "192.0.2.1/24")?;
//! two.address("eth0", "192.0.2.2/24")?;
//! let capture = lab::Capture::start(&lan, lab::Keep::Arp)?;
//! # Ok(()) }
//! ```
//!
//! What everything here holds to:
//! - **Nothing stays behind.** Namespaces are held by descriptors, links die with them, commands die with us ([`process`]). That is so
//!   after a panic, SIGINT and SIGKILL alike.
//! - **Nothing waits for ever.** Every wait has a deadline and names what it waited for ([`deadline`]).
//! - **Nothing need be installed.** Links, addresses and faults are set by netlink ([`segment`]).
//! - **The witness is independent.** Frames are read and judged with code of its own, none of the announcers' ([`judge`]).

pub mod arp;
pub mod capture;
pub mod client;
pub mod clock;
pub mod cluster;
pub mod control_plane;
pub mod datagram;
pub mod deadline;
pub mod error;
pub mod folder;
pub mod host;
pub mod http;
pub mod judge;
pub mod ndp;
mod netlink;
pub mod outage;
pub mod privilege;
pub mod prober;
pub mod process;
pub mod router;
pub mod segment;
mod sys;
mod worker;

use std::sync::atomic::{AtomicU8, Ordering};

pub use capture::{Capture, Frame, Keep};
pub use client::Client;
pub use clock::Moment;
pub use cluster::Cluster;
pub use control_plane::{ControlPlane, Kubectl};
pub use deadline::{Deadline, wait_until};
pub use error::{Error, Result};
pub use folder::Folder;
pub use host::{Hardware, Host, Via};
pub use judge::Judge;
pub use prober::{Prober, inject};
pub use process::{Output, Process};
pub use segment::{Fault, Segment};

/// A laboratory: makes hosts and the segments between them.
#[derive(Debug)]
pub struct Lab {
    name: String,
    segments: AtomicU8,
}

impl Lab {
    /// An empty laboratory; the name is for messages. [`privilege::enter`] must have succeeded before.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), segments: AtomicU8::new(0) }
    }

    /// The name it was made with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A new host without links but its loopback.
    ///
    /// # Errors
    /// [`Error::Input`] for a name that is empty, longer than 13 octets, or has other characters than letters, digits and hyphens;
    /// else what the kernel refused.
    pub fn host(&self, name: &str) -> Result<Host> {
        Host::new(name)
    }

    /// A switch with a port for each host, whose links are called `eth0`, or `eth1` for a second segment, and so on.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn segment(&self, name: &str, hosts: &[&Host]) -> Result<Segment> {
        Segment::new(name, self.segments.fetch_add(1, Ordering::Relaxed), hosts)
    }
}
