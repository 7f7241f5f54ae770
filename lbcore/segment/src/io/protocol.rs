//! What an announcer brings of its own to the shell: which sockets a link needs, and the frames.

use core::fmt;
use std::io;
use std::sync::Arc;

use lbcore::family::IpFamily;
use lbcore::link::{LinkIndex, MacAddr};
use lbcore::ownership::{Destination, Sighting};
use lbcore::time::Timestamp;

use super::links::{LinkAddress, UsableLink};
use crate::counters::{Counters, Reason};
use crate::filter::Instruction;
use crate::member::MemberPort;
use crate::table::Table;

/// Which frames of a link a socket is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EtherType {
    /// 0x0800.
    Ipv4,
    /// 0x0806.
    Arp,
    /// 0x86dd.
    Ipv6,
}

/// A packet socket that a link needs.
#[derive(Clone, Debug)]
pub struct Port {
    /// Which frames it is offered.
    pub ether_type: EtherType,
    /// Which of them pass.
    pub filter: Vec<Instruction>,
    /// The hardware group that the link has to take in for it, where nothing else makes it do so.
    pub group: Option<MacAddr>,
}

/// The two packet sockets of a link.
#[derive(Clone, Debug)]
pub struct Ports {
    /// For what is answered.
    pub answers: Port,
    /// For member frames.
    pub members: Port,
}

/// What to do about a frame.
#[derive(Clone, Copy, Debug)]
pub enum Handled<'a, A, F> {
    /// Send this through the link that the frame came in on.
    Reply {
        /// The address that is answered for.
        address: A,
        /// The reply.
        frame: F,
    },
    /// Hand this to ownership.
    Member {
        /// Ethernet source.
        source: MacAddr,
        /// The UDP payload.
        payload: &'a [u8],
    },
    /// Nothing, for this reason; it has been counted.
    Dropped(&'static str),
}

/// The outcome of one frame.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a, A, F> {
    /// What to do.
    pub handled: Handled<'a, A, F>,
    /// What ownership is to hear of it.
    pub sighting: Option<Sighting>,
}

/// Builds the member frames of one link.
pub trait Encoder: fmt::Debug + Send + 'static {
    /// Writes the frame that carries `payload` into `frame`, replacing what it held; `false` where it does not fit.
    fn encode(&self, to: Destination, payload: &[u8], frame: &mut Vec<u8>) -> bool;
}

/// A protocol by which hosts find addresses on a segment: its machine, and what it needs beside packet sockets.
///
/// Called by the shell's thread alone. Nothing here sends: frames are handed back, and go out only while authority is held.
pub trait Protocol: fmt::Debug + Send + 'static {
    /// Its addresses.
    type Address: LinkAddress;
    /// Why its frames are dropped.
    type Reason: Reason + fmt::Debug + Send + Sync;
    /// A frame as octets.
    type Frame: AsRef<[u8]>;
    /// Builds its member frames.
    type Encoder: Encoder;

    /// The family that it announces.
    const FAMILY: IpFamily;
    /// For logs, metrics and the name of the thread, such as `arp`.
    const NAME: &'static str;

    /// Answers for nothing yet.
    fn new(port: MemberPort, counters: Arc<Counters<Self::Reason>>) -> Self;

    /// The sockets that a link needs.
    fn ports(port: MemberPort) -> Ports;

    /// Its table.
    fn table(&self) -> &Table<Self::Address, Self::Reason>;

    /// Its table.
    fn table_mut(&mut self) -> &mut Table<Self::Address, Self::Reason>;

    /// A link is about to be used: what has to be asked of the kernel beside its sockets.
    ///
    /// # Errors
    /// What the kernel said; the link is tried again later.
    fn open_link(&mut self, link: LinkIndex, facts: &UsableLink<Self::Address>) -> io::Result<()>;

    /// A link is used from now on, or something about it has changed; how member frames are sent there.
    fn set_link(&mut self, link: LinkIndex, facts: &UsableLink<Self::Address>) -> Self::Encoder;

    /// A link is gone, also one that could not be opened.
    fn close_link(&mut self, link: LinkIndex) {
        self.table_mut().remove_link(link);
    }

    /// Frames about `address` concern ownership from now on.
    fn watch(&mut self, address: Self::Address) {
        self.table_mut().watch(address);
    }

    /// `address` is answered for on these links from now on.
    fn activate(&mut self, address: Self::Address, links: Arc<[LinkIndex]>) {
        self.table_mut().activate(address, links);
    }

    /// `address` does not concern this node any more.
    fn forget(&mut self, address: Self::Address) {
        self.table_mut().forget(address);
    }

    /// What could not be had of the kernel is asked for again; when to call this the next time, where there is need.
    fn retry(&mut self, _now: Timestamp) -> Option<Timestamp> {
        None
    }

    /// A frame came in on a link. Any octets are safe.
    fn handle_frame<'a>(
        &mut self,
        now: Timestamp,
        link: LinkIndex,
        octets: &'a [u8],
    ) -> Outcome<'a, Self::Address, Self::Frame>;

    /// The question to the whole segment who holds `address`, without saying that we do; `None` on a link that is not in use.
    fn probe(&self, link: LinkIndex, address: Self::Address) -> Option<Self::Frame>;

    /// Questions to the hosts heard lately on a link for their own addresses ([OWN-33]).
    fn probes_of_neighbors(&self, link: LinkIndex) -> Vec<Self::Frame>;

    /// One round of a burst on a link.
    fn round(&self, link: LinkIndex, address: Self::Address) -> Vec<Self::Frame>;
}
