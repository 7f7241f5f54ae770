//! By which family a frame goes out on a link that carriers of both serve, and in which ways members are heard ([OWN-11], [OWN-23]).
//!
//! Member frames must share the fate of what is announced: of ARP in IPv4, of neighbor discovery in IPv6. A link has one heartbeat in a
//! period, so where both families are served they take turns: each is proved within two periods, and a timeout has three of each. As
//! long as some member of the link is not heard by both (it announces one family alone, or one is blocked), each frame goes out by
//! both, since what reaches it is not known.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use crate::family::IpFamily;
use crate::link::{LinkIndex, MacAddr};
use crate::ownership::{CarrierId, Destination};
use crate::time::Timestamp;

use super::Ownership;

/// A member counts for the choice of families for so many timeouts after it was last heard on the link.
const REMEMBERED: u32 = 12;

impl Ownership {
    /// Links on which members are heard, with the families that they are heard by.
    pub(super) fn ways_heard(&self, now: Timestamp) -> BTreeSet<(LinkIndex, IpFamily)> {
        let timeout = self.timeout();
        let heard = self.members.values().flat_map(|member| &member.hearings).flat_map(|(link, hearing)| {
            let families = hearing.by_family.iter().filter(|(_, at)| now.since(**at) < timeout);
            families.map(|(family, _)| (*link, *family))
        });
        heard.filter(|(link, _)| self.links.contains_key(link)).collect()
    }

    /// The carriers that a frame goes out by; none on a link that is gone.
    pub(super) fn carriers_for(&mut self, now: Timestamp, index: LinkIndex, to: Destination) -> Vec<CarrierId> {
        let Some(link) = self.links.get(&index) else { return Vec::new() };
        let mut serving: BTreeMap<IpFamily, CarrierId> = BTreeMap::new();
        for carrier in &link.carriers {
            if let Some(record) = self.carriers.get(carrier) {
                serving.entry(record.family).or_insert(*carrier);
            }
        }
        if serving.len() < 2 {
            return serving.into_values().collect();
        }
        let chosen = match to {
            Destination::Unicast(mac) => self.last_heard_by(index, mac),
            Destination::Group | Destination::Broadcast => {
                let needs_all = link.settled_at > now || !self.all_are_heard_by(now, index, &serving.keys());
                (!needs_all).then(|| self.take_turn(index, to))
            }
        };
        match chosen {
            Some(family) => serving.get(&family).copied().into_iter().collect(),
            None => serving.into_values().collect(),
        }
    }

    /// The family by which the host with this hardware address was last heard on a link.
    fn last_heard_by(&self, index: LinkIndex, mac: MacAddr) -> Option<IpFamily> {
        let hearings = self.members.values().filter_map(|member| member.hearings.get(&index));
        let times = hearings.filter(|hearing| hearing.mac == mac).flat_map(|hearing| &hearing.by_family);
        times.max_by_key(|(_, at)| **at).map(|(family, _)| *family)
    }

    /// Whether every member of a link is heard by each of these families.
    fn all_are_heard_by<'a>(
        &self,
        now: Timestamp,
        index: LinkIndex,
        families: &(impl Iterator<Item = &'a IpFamily> + Clone),
    ) -> bool {
        let timeout = self.timeout();
        let is_recent = |at: Timestamp, within: Duration| now.since(at) < within;
        let present = self.members.values().filter(|member| !member.superseded);
        let hearings = present.filter_map(|member| member.hearings.get(&index));
        hearings.filter(|hearing| is_recent(hearing.last_heard, timeout.saturating_mul(REMEMBERED))).all(|hearing| {
            let heard_by = |family: &IpFamily| hearing.by_family.get(family).is_some_and(|at| is_recent(*at, timeout));
            families.clone().all(heard_by)
        })
    }

    /// The family whose turn it is on a link. A broadcast copy goes the way of the frame before it.
    fn take_turn(&mut self, index: LinkIndex, to: Destination) -> IpFamily {
        let Some(link) = self.links.get_mut(&index) else { return IpFamily::V4 };
        let next = match (link.turn, to) {
            (Some(same), Destination::Broadcast) => same,
            (Some(IpFamily::V4), _) => IpFamily::V6,
            (Some(IpFamily::V6) | None, _) => IpFamily::V4,
        };
        link.turn = Some(next);
        next
    }
}
