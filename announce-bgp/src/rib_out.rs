//! The routes of one peer: desired against announced, and the octets that lead from one to the other.
//!
//! A change costs what it changes. Prefixes with equal attributes share messages, as many as 4,096 octets hold; a withdrawal and an
//! announcement that were not sent yet cancel each other; changed attributes replace the old ones without a withdrawal ([WIRE-42] to
//! [WIRE-45]). A table knows nothing of time but the stamps it is handed.

mod table;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnetwork::IpNetwork;
use lbcore::announce::RouteAttributes;
use lbcore::family::IpFamily;
use lbcore::peer::SessionKind;
use lbcore::time::Timestamp;

use self::table::Table;
use crate::config::EngineDefaults;
use crate::wire::attribute::AsWidth;
use crate::wire::nlri::{PrefixV4, PrefixV6, Prefixes, WirePrefix};
use crate::wire::update::compose::{AsPath, Composer, NextHop, PathAttributes};

/// How many octets one call of [`RibOut::pack`] makes at most, and one message more: enough for one large write, little enough that a
/// peer that reads slowly costs no memory and that what is under way is soon confirmed.
pub const BATCH_OCTETS: usize = 65_536;

/// What of a session decides how routes are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Whether the peer is in our AS.
    pub kind: SessionKind,
    /// Our AS as the peer knows it.
    pub local_as: u32,
    /// How wide AS numbers are.
    pub as_width: AsWidth,
    /// What stands for attributes without a value.
    pub defaults: EngineDefaults,
    /// Where IPv4 routes lead; `None` where the session carries none.
    pub v4: Option<Ipv4Addr>,
    /// Where IPv6 routes lead; `None` where the session carries none, or has no address for them to lead to.
    pub v6: Option<NextHop>,
}

impl Encoding {
    pub(crate) fn next_hop(&self, family: IpFamily) -> Option<NextHop> {
        match family {
            IpFamily::V4 => self.v4.map(NextHop::V4),
            IpFamily::V6 => self.v6,
        }
    }

    /// The attributes on the wire of what the operator chose ([WIRE-40], [D162-1]).
    fn path<'a>(&self, family: IpFamily, attributes: &'a RouteAttributes) -> PathAttributes<'a> {
        let is_internal = self.kind == SessionKind::Internal;
        let times = 1 + attributes.as_path_prepend.unwrap_or(0).min(u8::MAX - 1);
        let as_path =
            if is_internal { AsPath::Empty } else { AsPath::Own { asn: self.local_as, times, width: self.as_width } };
        PathAttributes {
            as_path,
            next_hop: if family == IpFamily::V4 { self.v4 } else { None },
            med: self.defaults.med(),
            local_pref: is_internal.then(|| attributes.local_pref.unwrap_or_else(|| self.defaults.local_pref())),
            communities: &attributes.communities,
            large_communities: &attributes.large_communities,
        }
    }
}

/// What is true of a route toward the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// The peer does not have it yet.
    Waiting,
    /// The peer has it.
    Sent {
        /// Since when.
        since: Timestamp,
    },
    /// It cannot be written: its attributes do not fit a message.
    TooLong,
}

/// Whose status may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// That of these prefixes.
    Some(Vec<IpNetwork>),
    /// That of any.
    All,
}

/// What one call of [`RibOut::pack`] made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packed {
    /// Messages.
    pub updates: u32,
}

/// The routes of one peer.
#[derive(Debug, Default)]
pub struct RibOut {
    v4: Table<PrefixV4>,
    v6: Table<PrefixV6>,
    composer: Composer,
    encoding: Option<Encoding>,
    /// Families whose End-of-RIB is still to be sent.
    end_of_rib: BTreeSet<IpFamily>,
    stamp: Timestamp,
    /// Up to which stamp the peer has what was packed.
    confirmed: Timestamp,
}

impl RibOut {
    /// No routes, no session.
    pub fn new() -> Self {
        Self::default()
    }

    /// What shall be announced of a prefix; `None` withdraws it. Host bits of the prefix are cleared.
    pub fn set(&mut self, prefix: IpNetwork, attributes: Option<&Arc<RouteAttributes>>) {
        if let Some(prefix) = PrefixV4::from_network(prefix) {
            self.v4.set(prefix, attributes);
        } else if let Some(prefix) = PrefixV6::from_network(prefix) {
            self.v6.set(prefix, attributes);
        }
    }

    /// The whole of what shall be announced; what is absent is withdrawn.
    pub fn replace(&mut self, routes: impl Iterator<Item = (IpNetwork, Arc<RouteAttributes>)>) {
        let (mut seen_v4, mut seen_v6) = (Vec::new(), Vec::new());
        for (prefix, attributes) in routes {
            self.set(prefix, Some(&attributes));
            seen_v4.extend(PrefixV4::from_network(prefix));
            seen_v6.extend(PrefixV6::from_network(prefix));
        }
        self.v4.retain(seen_v4);
        self.v6.retain(seen_v6);
    }

    /// Withdraws everything.
    pub fn clear(&mut self) {
        self.v4.retain(Vec::new());
        self.v6.retain(Vec::new());
        self.end_of_rib.clear();
    }

    /// A session begins: the peer has nothing, and gets all of it, then End-of-RIB of each family that the session carries. One that has
    /// no next hop is complete without a route ([WIRE-35]).
    pub fn start(&mut self, encoding: Encoding, families: &BTreeSet<IpFamily>) {
        if self.encoding.is_some() {
            self.forget();
        }
        self.end_of_rib.clone_from(families);
        self.lead(encoding);
    }

    /// Next hops of the session are others: routes are sent again as they are now written, or withdrawn where their family has none.
    pub fn readdress(&mut self, encoding: Encoding) {
        if self.encoding.is_some() {
            self.lead(encoding);
        }
    }

    fn lead(&mut self, encoding: Encoding) {
        self.encoding = Some(encoding);
        self.v4.lead(encoding.next_hop(IpFamily::V4));
        self.v6.lead(encoding.next_hop(IpFamily::V6));
    }

    /// The session is over, and with it what the peer had. Says whether it had anything.
    pub fn forget(&mut self) -> bool {
        let had = self.announced() > 0;
        self.v4.forget();
        self.v6.forget();
        self.encoding = None;
        self.end_of_rib.clear();
        had
    }

    /// The peer asks for all routes of a family again (RFC 2918). Asking again before they are sent changes nothing, and costs a walk over
    /// all routes each time.
    pub fn refresh(&mut self, family: IpFamily) {
        match family {
            IpFamily::V4 => self.v4.refresh(),
            IpFamily::V6 => self.v6.refresh(),
        }
    }

    /// Whether something is to be sent that this session carries.
    pub fn is_pending(&self) -> bool {
        self.encoding.is_some() && (!self.end_of_rib.is_empty() || self.v4.is_pending() || self.v6.is_pending())
    }

    /// Appends messages, [`BATCH_OCTETS`] and one message at most: withdrawals first, then announcements, then End-of-RIB.
    pub fn pack(&mut self, now: Timestamp, out: &mut Vec<u8>) -> Packed {
        let Some(encoding) = self.encoding else { return Packed::default() };
        // Each batch has a stamp of its own, so that one is not taken for confirmed with the one before.
        self.stamp = now.max(Timestamp::from_micros(self.stamp.as_micros() + 1));
        let end = out.len() + BATCH_OCTETS;
        let mut updates = self.v4.pack(&mut self.composer, &encoding, self.stamp, (out, end));
        updates += self.end_of_rib(IpFamily::V4, out, end);
        updates += self.v6.pack(&mut self.composer, &encoding, self.stamp, (out, end));
        updates += self.end_of_rib(IpFamily::V6, out, end);
        Packed { updates }
    }

    fn end_of_rib(&mut self, family: IpFamily, out: &mut Vec<u8>, end: usize) -> u32 {
        let (is_pending, none) = match family {
            IpFamily::V4 => (self.v4.is_pending(), Prefixes::V4(&[])),
            IpFamily::V6 => (self.v6.is_pending(), Prefixes::V6(&[])),
        };
        if is_pending || out.len() >= end || !self.end_of_rib.remove(&family) {
            return 0;
        }
        // Without a prefix it always fits.
        self.composer.withdraw(out, none).map_or(0, |()| 1)
    }

    /// Everything packed so far has been handed to the network. Says whose status may have changed.
    pub fn confirm(&mut self) -> Touched {
        self.confirmed = self.stamp;
        match (self.v4.take_touched(), self.v6.take_touched()) {
            (Touched::Some(mut v4), Touched::Some(v6)) => {
                v4.extend(v6);
                Touched::Some(v4)
            }
            (Touched::All, _) | (_, Touched::All) => Touched::All,
        }
    }

    /// What is true of a prefix; `None` where it is not wanted.
    pub fn state(&self, prefix: IpNetwork) -> Option<RouteState> {
        let state = match prefix {
            IpNetwork::V4(_) => self.v4.state(PrefixV4::from_network(prefix)?)?,
            IpNetwork::V6(_) => self.v6.state(PrefixV6::from_network(prefix)?)?,
        };
        // What is packed but not yet handed over is not sent.
        let is_under_way = matches!(state, RouteState::Sent { since } if since > self.confirmed);
        Some(if is_under_way { RouteState::Waiting } else { state })
    }

    /// Prefixes that the peer has, or has under way to it.
    pub fn announced(&self) -> usize {
        self.v4.announced() + self.v6.announced()
    }

    /// Prefixes that the peer shall have, whether its session carries their family or not.
    pub fn wanted(&self) -> usize {
        self.v4.wanted() + self.v6.wanted()
    }
}

#[cfg(test)]
mod tests;
