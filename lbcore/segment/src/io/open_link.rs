//! A link that is announced on, with its sockets.

use std::io;
use std::sync::Arc;

use lbcore::link::LinkIndex;

use super::links::UsableLink;
use super::protocol::Ports;
use super::socket::PacketSocket;

/// Which of a link's two sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    Answers,
    Members,
}

/// A link in use.
#[derive(Debug)]
pub(super) struct OpenLink<A> {
    pub(super) facts: UsableLink<A>,
    pub(super) answers: PacketSocket,
    pub(super) members: Arc<PacketSocket>,
}

impl<A: Clone> OpenLink<A> {
    /// # Errors
    /// What the kernel said to one of the sockets.
    pub(super) fn open(link: LinkIndex, facts: &UsableLink<A>, ports: &Ports) -> io::Result<Self> {
        let answers = PacketSocket::open(link, &ports.answers)?;
        let members = Arc::new(PacketSocket::open(link, &ports.members)?);
        Ok(Self { facts: facts.clone(), answers, members })
    }

    /// One of its sockets.
    pub(super) fn queue(&self, queue: Queue) -> &PacketSocket {
        match queue {
            Queue::Answers => &self.answers,
            Queue::Members => self.members.as_ref(),
        }
    }
}
