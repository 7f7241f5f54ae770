//! Addresses that cannot be announced for want of their links, and which of them this node has to tell of ([EVT-2]). Pure.
//!
//! Of all nodes one tells: the one that comes first among those alive. Who that is costs a digest for each node that could answer, so a
//! Service is asked about once, and again where the answer may be another one: where it is decided again, or nodes or members changed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use lbcore::decide::Affected;
use lbcore::service::{NodeName, ServiceKey};
use lbcore::time::Timestamp;

/// An address has to be without its links for so long. An owner that loses a link is followed by another within a second, which has it.
const LASTING: Duration = Duration::from_secs(3);
/// Services that are asked about in one pass: those that are announced do not wait for those that are not.
const ASKED_AT_ONCE: usize = 100;

/// Whether other nodes that could announce an address are heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Company {
    /// Others are heard, or there are none.
    Known,
    /// Others were heard and are not any more, though the cluster has them: this node is cut off, and does not know what they do.
    Lost,
}

/// Remembers what failed, and of whom that has to be found out.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// The addresses of each Service, and whether that was told.
    without_link: BTreeMap<ServiceKey, BTreeMap<IpAddr, bool>>,
    /// Services of which something was not told yet, with the time when they are asked about; none where another node comes first.
    untold: BTreeMap<ServiceKey, Option<Timestamp>>,
    /// The same by time.
    due: BTreeSet<(Timestamp, ServiceKey)>,
    members: BTreeSet<NodeName>,
    has_heard: bool,
}

impl Failures {
    /// For these addresses of a Service no link asked for is there.
    pub(crate) fn handle_links(&mut self, now: Timestamp, service: &ServiceKey, without: &[IpAddr]) {
        if without.is_empty() {
            self.without_link.remove(service);
            self.settle(service);
            return;
        }
        let addresses = self.without_link.entry(service.clone()).or_default();
        addresses.retain(|address, _| without.contains(address));
        let before = addresses.len();
        for address in without {
            addresses.entry(*address).or_insert(false);
        }
        if addresses.len() > before {
            self.settle(service);
            self.ask(now + LASTING, service);
        } else if addresses.values().all(|is_told| *is_told) {
            self.settle(service);
        }
    }

    /// These Services are decided again, or nodes changed.
    pub(crate) fn handle_affected(&mut self, now: Timestamp, affected: &Affected) {
        if affected.nodes.is_empty() {
            let known = affected.services.iter().filter(|service| self.untold.contains_key(*service));
            let known: Vec<ServiceKey> = known.cloned().collect();
            for service in &known {
                self.ask(now + LASTING, service);
            }
        } else {
            self.ask_all(now);
        }
    }

    /// Whether it matters who is heard: nobody was heard yet, or something has to be told.
    pub(crate) fn needs_members(&self) -> bool {
        !self.has_heard || !self.untold.is_empty()
    }

    /// The members that are heard.
    pub(crate) fn handle_members(&mut self, now: Timestamp, members: BTreeSet<NodeName>) {
        self.has_heard |= !members.is_empty();
        if self.members != members {
            self.members = members;
            self.ask_all(now);
        }
    }

    /// The members that were heard last.
    pub(crate) const fn members(&self) -> &BTreeSet<NodeName> {
        &self.members
    }

    /// Whether others are heard, in a cluster with these other nodes.
    pub(crate) fn company(&self, mut others: impl Iterator<Item = NodeName>) -> Company {
        let is_lost = self.members.is_empty() && self.has_heard && others.next().is_some();
        if is_lost { Company::Lost } else { Company::Known }
    }

    /// Whether there is somebody to ask about now.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.poll_timeout().is_some_and(|at| at <= now)
    }

    /// When to come back.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Of the Services that are due, those that this node has to tell of, with their addresses.
    pub(crate) fn poll_untold(
        &mut self,
        now: Timestamp,
        is_first: impl Fn(&ServiceKey) -> bool,
    ) -> Vec<(ServiceKey, Vec<IpAddr>)> {
        let mut untold = Vec::new();
        for _ in 0..ASKED_AT_ONCE {
            let Some((_, service)) = self.due.first().filter(|(at, _)| *at <= now).cloned() else { break };
            self.due.pop_first();
            self.untold.insert(service.clone(), None);
            if !is_first(&service) {
                continue;
            }
            self.untold.remove(&service);
            let addresses = self.without_link.get_mut(&service).into_iter().flatten();
            let new = addresses.filter_map(|(address, told)| (!std::mem::replace(told, true)).then_some(*address));
            let new: Vec<IpAddr> = new.collect();
            untold.push((service, new));
        }
        untold
    }

    fn ask_all(&mut self, now: Timestamp) {
        let untold: Vec<ServiceKey> = self.untold.keys().cloned().collect();
        for service in &untold {
            self.ask(now + LASTING, service);
        }
    }

    /// Has a Service asked about; where that is planned already it stays so, so that changes that never end put nothing off.
    fn ask(&mut self, at: Timestamp, service: &ServiceKey) {
        let planned = self.untold.entry(service.clone()).or_default();
        if planned.is_none() {
            *planned = Some(at);
            self.due.insert((at, service.clone()));
        }
    }

    /// Nothing has to be found out about a Service.
    fn settle(&mut self, service: &ServiceKey) {
        if let Some(Some(at)) = self.untold.remove(service) {
            self.due.remove(&(at, service.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn service(number: usize) -> ServiceKey {
        format!("shop/s{number}").parse().unwrap()
    }

    fn address(octet: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, octet])
    }

    fn members(names: &[&str]) -> BTreeSet<NodeName> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    }

    fn services(numbers: &[usize]) -> Affected {
        Affected { services: numbers.iter().map(|number| service(*number)).collect(), ..Affected::default() }
    }

    /// The Services that are asked about when it is time, where another node comes first.
    fn asked(failures: &mut Failures, now: Timestamp) -> usize {
        let asked = Cell::new(0);
        while failures.is_due(now) {
            let untold = failures.poll_untold(now, |_| {
                asked.set(asked.get() + 1);
                false
            });
            assert_eq!(untold, []);
        }
        asked.get()
    }

    // [EVT-2]
    #[test]
    fn the_node_that_comes_first_tells_once_of_each_address() {
        let mut failures = Failures::default();
        failures.handle_links(at(0), &service(1), &[address(1)]);
        assert_eq!(failures.poll_timeout(), Some(at(3_000)));
        assert_eq!(failures.poll_untold(at(2_999), |_| true), [], "it may pass by itself");
        assert_eq!(failures.poll_untold(at(3_000), |_| true), [(service(1), vec![address(1)])]);
        failures.handle_links(at(4_000), &service(1), &[address(1)]);
        failures.handle_affected(at(4_000), &services(&[1]));
        assert_eq!(failures.poll_timeout(), None);
        failures.handle_links(at(5_000), &service(1), &[address(1), address(2)]);
        assert_eq!(failures.poll_untold(at(8_000), |_| true), [(service(1), vec![address(2)])]);
        // What works again and fails again is told again.
        failures.handle_links(at(9_000), &service(1), &[]);
        failures.handle_links(at(9_000), &service(1), &[address(1)]);
        assert_eq!(failures.poll_untold(at(12_000), |_| true), [(service(1), vec![address(1)])]);
    }

    // An owner that loses its link has nobody to follow it for a moment.
    #[test]
    fn what_another_node_takes_over_at_once_is_not_told() {
        let mut failures = Failures::default();
        failures.handle_links(at(0), &service(1), &[address(1)]);
        failures.handle_links(at(700), &service(1), &[]);
        assert_eq!(failures.poll_timeout(), None);
    }

    #[test]
    fn who_comes_first_is_asked_again_where_it_may_be_another_only() {
        let mut failures = Failures::default();
        for number in 0..1_000 {
            failures.handle_links(at(0), &service(number), &[address(1)]);
        }
        assert_eq!(asked(&mut failures, at(3_000)), 1_000);
        failures.handle_members(at(4_000), members(&[]));
        failures.handle_affected(at(4_000), &services(&[2_000]));
        assert_eq!((failures.poll_timeout(), asked(&mut failures, at(60_000))), (None, 0));
        failures.handle_affected(at(61_000), &services(&[7, 8]));
        assert_eq!(asked(&mut failures, at(64_000)), 2);
        failures.handle_members(at(65_000), members(&["n2"]));
        failures.handle_members(at(66_000), members(&["n2", "n3"]));
        assert_eq!(asked(&mut failures, at(68_000)), 1_000, "changes one after the other cost one round");
        assert_eq!(failures.poll_timeout(), None);
    }

    #[test]
    fn a_pass_asks_about_few() {
        let mut failures = Failures::default();
        for number in 0..250 {
            failures.handle_links(at(0), &service(number), &[address(1)]);
        }
        assert_eq!(failures.poll_untold(at(3_000), |_| true).len(), 100);
        assert!(failures.is_due(at(3_000)), "the rest follows");
    }

    #[test]
    fn who_hears_nobody_any_more_does_not_know_what_the_others_do() {
        let others = || members(&["n2"]).into_iter();
        let mut failures = Failures::default();
        assert_eq!(failures.company(others()), Company::Known, "it never heard them: they may be on another segment");
        failures.handle_members(at(0), members(&["n2"]));
        assert_eq!(failures.company(others()), Company::Known);
        failures.handle_members(at(1), members(&[]));
        assert_eq!(failures.company(others()), Company::Lost);
        assert_eq!(failures.company(members(&[]).into_iter()), Company::Known, "the cluster has no others any more");
    }
}
