//! Memberships of IPv6 groups, held by sockets that receive nothing: the kernel reports them to switches and routers (MLD), which a
//! packet socket's own membership does not.
//!
//! A socket takes as many memberships as its share of `net.core.optmem_max` allows: some 360 where that is 20 kB, some 2,300 where it is
//! 128 kB. When one is full, another is opened.

use std::collections::BTreeMap;
use std::io;
use std::net::Ipv6Addr;

use lbcore::link::LinkIndex;
use socket2::{Domain, Socket, Type};

/// What is joined on which links. Dropping it leaves all.
#[derive(Debug, Default)]
pub(super) struct Memberships(BTreeMap<LinkIndex, OnLink>);

#[derive(Debug, Default)]
struct OnLink {
    sockets: Vec<Socket>,
    /// Each group with the place of its socket.
    joined: BTreeMap<Ipv6Addr, usize>,
}

impl OnLink {
    fn join(&mut self, link: LinkIndex, group: Ipv6Addr) -> io::Result<()> {
        if self.joined.contains_key(&group) {
            return Ok(());
        }
        // The last one opened is the one that most likely has room.
        for (place, socket) in self.sockets.iter().enumerate().rev() {
            match socket.join_multicast_v6(&group, link.as_u32()) {
                Ok(()) => {
                    self.joined.insert(group, place);
                    return Ok(());
                }
                Err(error) if matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::ENOBUFS)) => {}
                Err(error) => return Err(error),
            }
        }
        let socket = Socket::new(Domain::IPV6, Type::DGRAM, None)?;
        socket.join_multicast_v6(&group, link.as_u32())?;
        self.joined.insert(group, self.sockets.len());
        self.sockets.push(socket);
        Ok(())
    }
}

impl Memberships {
    /// Joins a group on a link; twice is once.
    ///
    /// # Errors
    /// What the kernel said; among others where IPv6 is disabled or the link is gone.
    pub(super) fn join(&mut self, link: LinkIndex, group: Ipv6Addr) -> io::Result<()> {
        self.0.entry(link).or_default().join(link, group)
    }

    /// Leaves a group on a link.
    pub(super) fn leave(&mut self, link: LinkIndex, group: Ipv6Addr) {
        let Some(on_link) = self.0.get_mut(&link) else { return };
        let Some(place) = on_link.joined.remove(&group) else { return };
        if let Some(socket) = on_link.sockets.get(place) {
            // It fails only where the kernel has ended the membership with the link.
            let _ = socket.leave_multicast_v6(&group, link.as_u32());
        }
    }

    /// Leaves all groups of a link.
    pub(super) fn close(&mut self, link: LinkIndex) {
        self.0.remove(&link);
    }
}
