//! The shell: [`NdpAnnouncer`], which is the shell of [`segment::io`] with NDP's part of it and the memberships of groups.

mod membership;

use core::time::Duration;
use std::io;
use std::net::Ipv6Addr;
use std::sync::Arc;

use lbcore::family::IpFamily;
use lbcore::link::LinkIndex;
use lbcore::ownership::Destination;
use lbcore::time::Timestamp;
pub use segment::io::{
    Config as NdpConfig, DEFAULT_EXCLUSION, Exclusion, ExclusionError, HOLDER_LINK, StartError, ThreadPriority, now,
};
use segment::io::{Encoder, EtherType, Handled, Outcome, Port, Ports, Protocol, SegmentAnnouncer, UsableLink};
use tracing::warn;

use self::membership::Memberships;
use crate::counters::Counters;
use crate::filter;
use crate::multicast::{Change, Groups};
use crate::responder::{DropReason, Responder, Table, Verdict};
use crate::unsolicited;
use crate::wire::{MEMBER_GROUP, MemberEncoder, MemberPort, Octets};

/// After this time a group that could not be joined is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Announces IPv6 addresses by neighbor discovery on the eligible links of this host's network namespace.
pub type NdpAnnouncer = SegmentAnnouncer<Ndp>;

/// NDP's part of the shell.
#[derive(Debug)]
pub struct Ndp {
    responder: Responder,
    groups: Groups,
    memberships: Memberships,
    /// When the kernel is asked again for the groups that it refused.
    retry_at: Option<Timestamp>,
}

impl Encoder for MemberEncoder {
    fn encode(&self, to: Destination, payload: &[u8], frame: &mut Vec<u8>) -> bool {
        self.encode(to, payload, frame).is_ok()
    }
}

impl Ndp {
    /// Asks the kernel for what the groups want.
    fn carry_out_changes(&mut self) {
        let mut refused = None;
        while let Some(change) = self.groups.poll_change() {
            match change {
                Change::Join { link, group } => {
                    if let Err(error) = self.memberships.join(link, group) {
                        self.groups.join_failed(link, group);
                        refused = Some((link, group, error));
                    }
                }
                Change::Leave { link, group } => self.memberships.leave(link, group),
            }
        }
        if let Some((link, group, error)) = refused {
            let count = self.groups.failures();
            warn!(index = %link, %group, count, %error, "groups could not be joined, they are tried again");
            self.retry_at = Some(now() + RETRY);
        }
    }
}

impl Protocol for Ndp {
    type Address = Ipv6Addr;
    type Reason = DropReason;
    type Frame = Octets;
    type Encoder = MemberEncoder;

    const FAMILY: IpFamily = IpFamily::V6;
    const NAME: &'static str = "ndp";

    fn new(port: MemberPort, counters: Arc<Counters>) -> Self {
        Self {
            responder: Responder::new(port, counters),
            groups: Groups::new(),
            memberships: Memberships::default(),
            retry_at: None,
        }
    }

    fn ports(port: MemberPort) -> Ports {
        let of = |filter: &[_]| Port { ether_type: EtherType::Ipv6, filter: filter.to_vec(), group: None };
        Ports { answers: of(&filter::neighbor_discovery()), members: of(&filter::member_frames(port)) }
    }

    fn table(&self) -> &Table {
        &self.responder
    }

    fn table_mut(&mut self) -> &mut Table {
        &mut self.responder
    }

    /// The members' group is joined as all others are, so that switches that look pass it on.
    fn open_link(&mut self, link: LinkIndex, _facts: &UsableLink<Ipv6Addr>) -> io::Result<()> {
        self.memberships.join(link, MEMBER_GROUP)?;
        self.groups.add_link(link);
        self.carry_out_changes();
        Ok(())
    }

    fn set_link(&mut self, link: LinkIndex, facts: &UsableLink<Ipv6Addr>) -> MemberEncoder {
        // Without a link-local address there is no link here; the unspecified one would do, too.
        let address = facts.address.unwrap_or(Ipv6Addr::UNSPECIFIED);
        self.responder.set_link(link, facts.mac);
        self.responder.set_link_local(link, address);
        MemberEncoder { mac: facts.mac, address, port: self.responder.port() }
    }

    fn close_link(&mut self, link: LinkIndex) {
        self.responder.remove_link(link);
        self.groups.remove_link(link);
        self.memberships.close(link);
    }

    fn watch(&mut self, address: Ipv6Addr) {
        self.responder.watch(address);
        self.groups.watch(address);
        self.carry_out_changes();
    }

    fn activate(&mut self, address: Ipv6Addr, links: Arc<[LinkIndex]>) {
        self.watch(address);
        self.responder.activate(address, links);
    }

    fn forget(&mut self, address: Ipv6Addr) {
        self.responder.forget(address);
        self.groups.forget(address);
        self.carry_out_changes();
    }

    fn retry(&mut self, now: Timestamp) -> Option<Timestamp> {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
            self.groups.retry();
            self.carry_out_changes();
        }
        self.retry_at
    }

    fn handle_frame<'a>(&mut self, now: Timestamp, link: LinkIndex, octets: &'a [u8]) -> Outcome<'a, Ipv6Addr, Octets> {
        let outcome = self.responder.handle_frame(now, link, octets);
        let handled = match outcome.verdict {
            Verdict::Reply(reply) => Handled::Reply { address: reply.target, frame: reply.encode() },
            Verdict::Member { source, payload } => Handled::Member { source, payload },
            Verdict::Dropped(reason) => Handled::Dropped(reason.label()),
        };
        Outcome { handled, sighting: outcome.sighting }
    }

    fn probe(&self, link: LinkIndex, address: Ipv6Addr) -> Option<Octets> {
        self.responder.probe(link, address).map(|probe| probe.encode())
    }

    fn probes_of_neighbors(&self, link: LinkIndex) -> Vec<Octets> {
        self.responder.probes_of_neighbors(link).map(|probe| probe.encode()).collect()
    }

    fn round(&self, link: LinkIndex, address: Ipv6Addr) -> Vec<Octets> {
        self.responder.mac(link).map(|mac| unsolicited::round(mac, address).encode()).into_iter().collect()
    }
}
