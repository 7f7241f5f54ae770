//! The figures of this process for its metrics ([METRIC-1] to [METRIC-34]). They are put together when somebody asks.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use announce_arp::counters::AddressCounts;
use announce_arp::io::ArpAnnouncer;
use announce_bgp::io::{BgpAnnouncer, SessionView};
use announce_ndp::io::NdpAnnouncer;
use lbcore::decide::Protocol as Announced;
use lbcore::service::ServiceKey;

use super::board::Moved;
use crate::metrics::controller::WorkFigures;
use crate::metrics::speaker::{AnnouncedFigures, Layer2Figures, Protocol, SessionFigures, SpeakerFigures};

/// Counts of addresses over the life of the process: an announcer forgets an address that it does not stand for any more, and begins
/// at zero when that comes back ([METRIC-51]).
#[derive(Debug, Default)]
struct Totals {
    before: BTreeMap<IpAddr, AddressCounts>,
    last: BTreeMap<IpAddr, AddressCounts>,
}

impl Totals {
    fn handle(&mut self, now: BTreeMap<IpAddr, AddressCounts>) {
        for (address, last) in &self.last {
            let is_new = now.get(address).is_none_or(|now| {
                now.requests < last.requests || now.replies < last.replies || now.gratuitous < last.gratuitous
            });
            if is_new {
                let before = self.before.entry(*address).or_default();
                *before = sum(*before, *last);
            }
        }
        self.last = now;
    }

    /// Those that were ever used.
    fn figures(&self) -> Vec<Layer2Figures> {
        let addresses: BTreeSet<&IpAddr> = self.before.keys().chain(self.last.keys()).collect();
        let of = |counts: &BTreeMap<IpAddr, AddressCounts>, address| counts.get(address).copied().unwrap_or_default();
        let totals =
            addresses.into_iter().map(|address| (*address, sum(of(&self.before, address), of(&self.last, address))));
        totals
            .filter(|(_, counts)| *counts != AddressCounts::default())
            .map(|(address, AddressCounts { requests, replies, gratuitous })| Layer2Figures {
                address,
                requests,
                replies,
                gratuitous,
            })
            .collect()
    }
}

const fn sum(left: AddressCounts, right: AddressCounts) -> AddressCounts {
    AddressCounts {
        requests: left.requests + right.requests,
        replies: left.replies + right.replies,
        gratuitous: left.gratuitous + right.gratuitous,
    }
}

#[derive(Debug, Default)]
struct State {
    work: WorkFigures,
    announced: BTreeMap<(ServiceKey, Announced), Vec<IpAddr>>,
    totals: Totals,
}

/// What is counted, shared by the loop and who serves it.
#[derive(Debug)]
pub(crate) struct Measures {
    node: String,
    state: Mutex<State>,
    arp: OnceLock<Arc<ArpAnnouncer>>,
    ndp: OnceLock<Arc<NdpAnnouncer>>,
    bgp: Arc<BgpAnnouncer>,
}

impl Measures {
    /// Nothing counted yet.
    pub(crate) fn new(node: &str, bgp: Arc<BgpAnnouncer>) -> Self {
        let (arp, ndp) = (OnceLock::new(), OnceLock::new());
        Self { node: node.to_owned(), state: Mutex::default(), arp, ndp, bgp }
    }

    /// The announcers of segments run.
    pub(crate) fn follow(&self, arp: Arc<ArpAnnouncer>, ndp: Arc<NdpAnnouncer>) {
        // They are started once.
        let _ = (self.arp.set(arp), self.ndp.set(ndp));
    }

    /// So many changes of objects were processed.
    pub(crate) fn count_updates(&self, updates: u64) {
        self.state().work.updates += updates;
    }

    /// A watch is in trouble.
    pub(crate) fn count_error(&self) {
        self.state().work.update_errors += 1;
    }

    /// A configuration is in force; it is stale where part of what is given is not.
    pub(crate) fn set_configuration(&self, is_stale: bool) {
        let mut state = self.state();
        state.work.config_loaded = true;
        state.work.config_stale = is_stale;
    }

    /// Another thing is announced for a Service.
    pub(crate) fn handle_moved(&self, moved: &Moved) {
        let mut state = self.state();
        for protocol in [Announced::Bgp, Announced::Layer2] {
            let (_, addresses) = moved.addresses(protocol);
            let place = (moved.service.clone(), protocol);
            if addresses.is_empty() {
                state.announced.remove(&place);
            } else {
                state.announced.insert(place, addresses.to_vec());
            }
        }
    }

    /// Everything of this moment.
    pub(crate) fn figures(&self) -> SpeakerFigures {
        let mut counts: BTreeMap<IpAddr, AddressCounts> = BTreeMap::new();
        counts.extend(self.arp.get().map(|arp| arp.counts().addresses).unwrap_or_default());
        counts.extend(self.ndp.get().map(|ndp| ndp.counts().addresses).unwrap_or_default());
        let sessions = self.bgp.sessions().iter().map(session).collect();
        let mut state = self.state();
        state.totals.handle(counts);
        let announced = state.announced.iter().flat_map(|((service, protocol), addresses)| {
            let protocol = match protocol {
                Announced::Bgp => Protocol::Bgp,
                Announced::Layer2 => Protocol::Layer2,
            };
            addresses.iter().map(move |address| AnnouncedFigures {
                service: service.to_string(),
                protocol,
                address: *address,
            })
        });
        SpeakerFigures {
            node: self.node.clone(),
            work: state.work,
            announced: announced.collect(),
            layer2: state.totals.figures(),
            sessions,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn session(view: &SessionView) -> SessionFigures {
    let (sent, received) = (&view.counts.sent, &view.counts.received);
    SessionFigures {
        peer: view.label(),
        vrf: view.vrf.as_deref().map(ToOwned::to_owned),
        up: view.is_up(),
        announced_prefixes: view.announced_prefixes,
        pending_prefixes: view.pending_prefixes,
        opens_sent: sent.opens,
        opens_received: received.opens,
        notifications_sent: sent.notifications,
        updates_sent: sent.updates,
        updates_received: received.updates,
        keepalives_sent: sent.keepalives,
        keepalives_received: received.keepalives,
        route_refreshes_sent: sent.route_refreshes,
        total_sent: sent.total(),
        total_received: received.total(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64) -> BTreeMap<IpAddr, AddressCounts> {
        let counts = AddressCounts { requests, ..AddressCounts::default() };
        [(IpAddr::from([192, 0, 2, 1]), counts)].into()
    }

    // [METRIC-51]
    #[test]
    fn series_appear_with_the_first_use_and_never_go_back() {
        let mut totals = Totals::default();
        totals.handle(counts(0));
        assert!(totals.figures().is_empty());
        let mut seen = Vec::new();
        for now in [counts(3), counts(5), BTreeMap::new(), BTreeMap::new(), counts(1), counts(0)] {
            totals.handle(now);
            seen.push(totals.figures()[0].requests);
        }
        assert_eq!(seen, [3, 5, 5, 5, 6, 6]);
    }
}
