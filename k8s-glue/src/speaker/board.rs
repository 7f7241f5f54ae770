//! What this node announces for each Service, as the announcers report it: the source of statuses, events and the metric of
//! announcements.
//!
//! Pure. On a segment what counts is what is answered for ([L2-31]); by BGP what is asked for, as the status says intent ([STAT-21]).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::announce::{Announcement, AnnouncementKey, AnnouncementState, Change, Reach, ReachKind, Withheld};
use lbcore::decide::Protocol;
use lbcore::link::LinkSelection;
use lbcore::service::ServiceKey;

/// What a node does for a Service on segments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct OnLinks {
    /// The addresses that it answers for, in the order of the Service.
    pub(crate) addresses: Vec<IpAddr>,
    /// The names of the links asked for, sorted; none where all are ([STAT-5]).
    pub(crate) interfaces: Vec<String>,
    /// Whether something is still under way: listening, probing.
    pub(crate) pending: bool,
    /// The addresses for which no link asked for is there ([EVT-2]).
    pub(crate) without_link: Vec<IpAddr>,
}

/// What a node does for a Service by BGP.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ByRoutes {
    /// The addresses that it asks its peers to be routed here, in the order of the Service.
    pub(crate) addresses: Vec<IpAddr>,
    /// The names of the peers, sorted ([STAT-21]).
    pub(crate) peers: Vec<String>,
}

/// What a node does for a Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) links: OnLinks,
    pub(crate) routes: ByRoutes,
}

/// A Service whose standing is another than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Moved {
    pub(crate) service: ServiceKey,
    pub(crate) before: Standing,
    pub(crate) after: Standing,
}

impl Moved {
    /// The addresses that are announced by a protocol, before and after.
    pub(crate) fn addresses(&self, protocol: Protocol) -> (&[IpAddr], &[IpAddr]) {
        match protocol {
            Protocol::Bgp => (&self.before.routes.addresses, &self.after.routes.addresses),
            Protocol::Layer2 => (&self.before.links.addresses, &self.after.links.addresses),
        }
    }
}

/// What is announced for whom.
#[derive(Debug, Default)]
pub(crate) struct Board {
    desired: BTreeMap<AnnouncementKey, Arc<Announcement>>,
    states: BTreeMap<AnnouncementKey, AnnouncementState>,
    of_service: BTreeMap<ServiceKey, BTreeSet<AnnouncementKey>>,
    standings: BTreeMap<ServiceKey, Standing>,
    /// Peers that have no session on this node.
    without_session: BTreeSet<Arc<str>>,
    touched: BTreeSet<ServiceKey>,
}

impl Board {
    /// Other things are announced from now on.
    pub(crate) fn handle_change(&mut self, change: &Change) {
        for key in &change.removed {
            if let Some(announcement) = self.desired.remove(key) {
                self.unlink(key, &announcement);
            }
        }
        for announcement in &change.put {
            let key = announcement.key();
            if let Some(before) = self.desired.insert(key, Arc::clone(announcement)) {
                self.unlink(&key, &before);
            }
            for service in announcement.services.iter() {
                self.of_service.entry(service.clone()).or_default().insert(key);
                self.touched.insert(service.clone());
            }
        }
    }

    fn unlink(&mut self, key: &AnnouncementKey, announcement: &Announcement) {
        for service in announcement.services.iter() {
            self.touched.insert(service.clone());
            if let Some(keys) = self.of_service.get_mut(service) {
                keys.remove(key);
                if keys.is_empty() {
                    self.of_service.remove(service);
                }
            }
        }
    }

    /// An announcer reports.
    pub(crate) fn handle_state(&mut self, key: AnnouncementKey, state: Option<AnnouncementState>) {
        match state {
            Some(state) => self.states.insert(key, state),
            None => self.states.remove(&key),
        };
        let services = self.desired.get(&key).into_iter().flat_map(|announcement| announcement.services.iter());
        self.touched.extend(services.cloned());
    }

    /// These peers have no session here, whatever is asked for.
    pub(crate) fn handle_sessions(&mut self, without: BTreeSet<Arc<str>>) {
        if without != self.without_session {
            self.without_session = without;
            let routed = self.desired.iter().filter(|(key, _)| key.kind == ReachKind::Routed);
            self.touched.extend(routed.flat_map(|(_, announcement)| announcement.services.iter().cloned()));
        }
    }

    /// The Services whose standing differs since the last call. `addresses_of` gives the addresses of a Service in its order.
    pub(crate) fn take_moved(&mut self, addresses_of: impl Fn(&ServiceKey) -> Vec<IpAddr>) -> Vec<Moved> {
        let mut moved = Vec::new();
        for service in std::mem::take(&mut self.touched) {
            let after = self.judge(&service, &addresses_of(&service));
            let before = self.standings.get(&service).cloned().unwrap_or_default();
            if before == after {
                continue;
            }
            if after == Standing::default() {
                self.standings.remove(&service);
            } else {
                self.standings.insert(service.clone(), after.clone());
            }
            moved.push(Moved { service, before, after });
        }
        moved
    }

    /// Whether the Service is announced, or shall be, by anything here.
    #[cfg(test)]
    fn has(&self, service: &ServiceKey) -> bool {
        self.of_service.contains_key(service)
    }

    /// The standings of all Services that have one.
    pub(crate) const fn standings(&self) -> &BTreeMap<ServiceKey, Standing> {
        &self.standings
    }

    fn judge(&self, service: &ServiceKey, addresses: &[IpAddr]) -> Standing {
        let Some(keys) = self.of_service.get(service) else { return Standing::default() };
        Standing { links: self.on_links(addresses, keys), routes: self.by_routes(addresses, keys) }
    }

    fn on_links(&self, addresses: &[IpAddr], keys: &BTreeSet<AnnouncementKey>) -> OnLinks {
        let mut links = OnLinks::default();
        for address in addresses {
            let key = AnnouncementKey::link(*address);
            if !keys.contains(&key) {
                continue;
            }
            match self.states.get(&key) {
                Some(AnnouncementState::Active { .. }) => {
                    if links.addresses.is_empty() {
                        links.interfaces = self.interfaces(&key);
                    }
                    links.addresses.push(*address);
                }
                Some(AnnouncementState::Withheld(Withheld::NoLink)) => links.without_link.push(*address),
                None | Some(AnnouncementState::Pending | AnnouncementState::Probing) => links.pending = true,
                Some(_) => {}
            }
        }
        links
    }

    fn interfaces(&self, key: &AnnouncementKey) -> Vec<String> {
        match self.desired.get(key).map(|announcement| &announcement.reach) {
            Some(Reach::Link(reach)) => match &reach.links {
                LinkSelection::All => Vec::new(),
                LinkSelection::Named(names) => names.iter().cloned().collect(),
            },
            _ => Vec::new(),
        }
    }

    fn by_routes(&self, addresses: &[IpAddr], keys: &BTreeSet<AnnouncementKey>) -> ByRoutes {
        let mut peers: BTreeSet<&Arc<str>> = BTreeSet::new();
        let mut routed: BTreeSet<IpAddr> = BTreeSet::new();
        for announcement in keys.iter().filter_map(|key| self.desired.get(key)) {
            let Reach::Routed(reach) = &announcement.reach else { continue };
            let named = reach.parts.iter().flat_map(|part| part.peers.iter());
            let with_session: Vec<&Arc<str>> = named.filter(|peer| !self.without_session.contains(*peer)).collect();
            if !with_session.is_empty() {
                routed.extend(addresses.iter().filter(|address| announcement.prefix.contains(**address)));
                peers.extend(with_session);
            }
        }
        ByRoutes {
            addresses: addresses.iter().filter(|address| routed.contains(*address)).copied().collect(),
            peers: peers.into_iter().map(ToString::to_string).collect(),
        }
    }
}

#[cfg(test)]
mod tests;
