//! The routes of one family. Every operation costs the same however many routes there are, but for the look-up of the prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lbcore::announce::RouteAttributes;
use lbcore::time::Timestamp;

use super::{Encoding, RouteState, Touched};
use crate::wire::LONGEST_MESSAGE;
use crate::wire::nlri::WirePrefix;
use crate::wire::update::compose::{AttributeBlock, Composer, NextHop, how_many_fit, withdraw_fixed_octets};

/// Prefixes of which a change of status is told one by one; above it stands for "any".
const MAX_TOUCHED: usize = 1_024;

/// Place of a set of attributes in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SetId(u32);

/// Place of a route in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RouteId(u32);

fn index(id: u32) -> usize {
    usize::try_from(id).unwrap_or(usize::MAX)
}

fn id(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Where a route waits to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Queue {
    None,
    Withdrawals,
    Announcements(SetId),
}

/// Whether a route is sent although the peer has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resend {
    No,
    AskedFor,
}

#[derive(Clone, Debug)]
struct Route<P> {
    prefix: P,
    resend: Resend,
    wanted: Option<SetId>,
    sent: Option<SetId>,
    queue: Queue,
    /// Place in the queue.
    place: u32,
    /// When the peer first got the prefix.
    since: Timestamp,
}

/// Whether a set can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    Fits,
    TooLong,
}

#[derive(Clone, Debug)]
struct Set {
    attributes: Arc<RouteAttributes>,
    /// As octets on this session, once they were needed.
    block: Option<Arc<AttributeBlock>>,
    fit: Fit,
    /// How many routes want it or were sent with it.
    uses: u32,
    /// Routes that wait to be announced with it.
    pending: Vec<RouteId>,
}

/// The routes of one family.
#[derive(Clone, Debug)]
pub(super) struct Table<P> {
    /// Where the routes lead; `None` where no session carries them, or its link has no address to lead to: then nothing is announced, and
    /// what was is withdrawn.
    next_hop: Option<NextHop>,
    places: BTreeMap<P, RouteId>,
    routes: Vec<Option<Route<P>>>,
    free_routes: Vec<RouteId>,
    known_sets: BTreeMap<Arc<RouteAttributes>, SetId>,
    sets: Vec<Option<Set>>,
    free_sets: Vec<SetId>,
    withdrawals: Vec<RouteId>,
    /// Sets with routes that wait.
    waiting_sets: BTreeSet<SetId>,
    touched: Vec<P>,
    touched_any: bool,
    announced: usize,
    wanted: usize,
}

impl<P> Default for Table<P> {
    fn default() -> Self {
        Self {
            next_hop: None,
            places: BTreeMap::new(),
            routes: Vec::new(),
            free_routes: Vec::new(),
            known_sets: BTreeMap::new(),
            sets: Vec::new(),
            free_sets: Vec::new(),
            withdrawals: Vec::new(),
            waiting_sets: BTreeSet::new(),
            touched: Vec::new(),
            touched_any: false,
            announced: 0,
            wanted: 0,
        }
    }
}

impl<P: WirePrefix> Table<P> {
    pub(super) const fn announced(&self) -> usize {
        self.announced
    }

    pub(super) const fn wanted(&self) -> usize {
        self.wanted
    }

    pub(super) fn is_pending(&self) -> bool {
        !self.withdrawals.is_empty() || !self.waiting_sets.is_empty()
    }

    pub(super) fn state(&self, prefix: P) -> Option<RouteState> {
        let route = self.route(*self.places.get(&prefix)?)?;
        let wanted = route.wanted?;
        let is_too_long = self.set_at(wanted).is_some_and(|set| set.fit == Fit::TooLong);
        Some(match route.sent {
            _ if is_too_long => RouteState::TooLong,
            Some(_) => RouteState::Sent { since: route.since },
            None => RouteState::Waiting,
        })
    }

    pub(super) fn set(&mut self, prefix: P, attributes: Option<&Arc<RouteAttributes>>) {
        let known = self.places.get(&prefix).copied();
        let wanted = attributes.map(|attributes| self.set_of(attributes));
        let route = match (known, wanted) {
            (Some(route), _) => route,
            (None, Some(_)) => self.add_route(prefix),
            (None, None) => return,
        };
        self.want(route, wanted);
    }

    /// Withdraws every route that is not among these.
    pub(super) fn retain(&mut self, mut prefixes: Vec<P>) {
        if self.wanted == 0 {
            return;
        }
        prefixes.sort_unstable();
        let others = self.places.iter().filter(|(prefix, _)| prefixes.binary_search(prefix).is_err());
        for route in others.map(|(_, route)| *route).collect::<Vec<_>>() {
            self.want(route, None);
        }
    }

    /// The peer has nothing any more, and there is no session.
    pub(super) fn forget(&mut self) {
        self.next_hop = None;
        self.drop_blocks();
        for set in self.sets.iter_mut().flatten() {
            set.pending.clear();
        }
        self.waiting_sets.clear();
        self.withdrawals.clear();
        self.touched = Vec::new();
        self.touched_any = false;
        let routes: Vec<RouteId> = self.places.values().copied().collect();
        for id in routes {
            let sent = self.route_mut(id).and_then(|route| {
                route.queue = Queue::None;
                route.resend = Resend::No;
                route.sent.take()
            });
            if let Some(sent) = sent {
                self.announced -= 1;
                self.release(sent);
            }
            self.settle(id);
        }
    }

    /// The routes lead elsewhere from now on: all are sent again in the order of prefixes, or withdrawn where they lead nowhere.
    pub(super) fn lead(&mut self, next_hop: Option<NextHop>) {
        if self.next_hop == next_hop {
            return;
        }
        self.next_hop = next_hop;
        self.drop_blocks();
        if next_hop.is_none() && self.announced > 0 {
            self.touched_any = true;
        }
        self.refresh();
    }

    /// Sets are written anew: what stands in their octets, and whether they fit, has changed.
    fn drop_blocks(&mut self) {
        for set in self.sets.iter_mut().flatten() {
            set.block = None;
            set.fit = Fit::Fits;
        }
    }

    pub(super) fn refresh(&mut self) {
        // Queues are emptied from their end.
        let routes: Vec<RouteId> = self.places.values().rev().copied().collect();
        for id in routes {
            if let Some(route) = self.route_mut(id) {
                route.resend = if route.sent.is_some() { Resend::AskedFor } else { Resend::No };
            }
            self.settle(id);
        }
    }

    /// Appends messages until the buffer is as long as it may be or nothing is left; returns how many.
    pub(super) fn pack(
        &mut self,
        composer: &mut Composer,
        encoding: &Encoding,
        stamp: Timestamp,
        (out, end): (&mut Vec<u8>, usize),
    ) -> u32 {
        let mut messages = 0;
        let mut prefixes = Vec::new();
        while out.len() < end {
            prefixes.clear();
            let written = if !self.withdrawals.is_empty() {
                self.take_withdrawals(&mut prefixes);
                composer.withdraw(out, P::several(&prefixes))
            } else if let (Some(set), Some(next_hop)) = (self.waiting_sets.first().copied(), self.next_hop) {
                let Some(block) = self.block_of(set, composer, encoding, next_hop) else { continue };
                let fixed = block.fixed_octets(next_hop);
                self.take_announcements(set, fixed, stamp, &mut prefixes);
                composer.announce(out, &block, next_hop, P::several(&prefixes))
            } else {
                break;
            };
            debug_assert_eq!(written, Ok(()), "prefixes are counted before");
            messages += u32::from(written.is_ok());
        }
        messages
    }

    /// The octets of a set. Where they leave no room for a prefix its routes are not announced, and withdrawn where they were before.
    fn block_of(
        &mut self,
        id: SetId,
        composer: &mut Composer,
        encoding: &Encoding,
        next_hop: NextHop,
    ) -> Option<Arc<AttributeBlock>> {
        let Some(set) = self.sets.get_mut(index(id.0)).and_then(Option::as_mut) else {
            self.waiting_sets.remove(&id);
            return None;
        };
        if let Some(block) = &set.block {
            return Some(Arc::clone(block));
        }
        let longest_prefix = 1 + usize::from(P::FAMILY.bits() / 8);
        let block = composer.attributes(&encoding.path(P::FAMILY, &set.attributes));
        if let Ok(block) = block
            && block.fixed_octets(next_hop) + longest_prefix <= LONGEST_MESSAGE
        {
            let block = Arc::new(block);
            set.block = Some(Arc::clone(&block));
            return Some(block);
        }
        set.fit = Fit::TooLong;
        for route in set.pending.clone() {
            self.touch(route);
            self.settle(route);
        }
        None
    }

    fn take_withdrawals(&mut self, prefixes: &mut Vec<P>) {
        let waiting = self.withdrawals.iter().rev().filter_map(|route| self.route(*route)).map(|route| route.prefix);
        let count = how_many_fit(withdraw_fixed_octets(P::FAMILY), waiting);
        let taken = self.withdrawals.split_off(self.withdrawals.len().saturating_sub(count));
        for id in taken.into_iter().rev() {
            let sent = self.route_mut(id).and_then(|route| {
                prefixes.push(route.prefix);
                route.queue = Queue::None;
                route.resend = Resend::No;
                route.sent.take()
            });
            if let Some(sent) = sent {
                self.announced -= 1;
                self.release(sent);
            }
            self.settle(id);
        }
    }

    fn take_announcements(&mut self, id: SetId, fixed: usize, stamp: Timestamp, prefixes: &mut Vec<P>) {
        let Some(set) = self.set_at(id) else { return };
        let waiting = set.pending.iter().rev().filter_map(|route| self.route(*route)).map(|route| route.prefix);
        let count = how_many_fit(fixed, waiting);
        let Some(set) = self.set_at_mut(id) else { return };
        let taken = set.pending.split_off(set.pending.len().saturating_sub(count));
        if set.pending.is_empty() {
            self.waiting_sets.remove(&id);
        }
        for route_id in taken.into_iter().rev() {
            let Some(route) = self.route_mut(route_id) else { continue };
            prefixes.push(route.prefix);
            route.queue = Queue::None;
            route.resend = Resend::No;
            let before = route.sent.replace(id);
            if before.is_none() {
                route.since = stamp;
                self.announced += 1;
                self.touch(route_id);
            }
            self.keep(id);
            if let Some(before) = before {
                self.release(before);
            }
        }
    }

    pub(super) fn take_touched(&mut self) -> Touched {
        let touched = core::mem::take(&mut self.touched);
        if core::mem::take(&mut self.touched_any) {
            return Touched::All;
        }
        Touched::Some(touched.into_iter().map(WirePrefix::to_network).collect())
    }

    fn touch(&mut self, id: RouteId) {
        let Some(prefix) = self.route(id).map(|route| route.prefix) else { return };
        if self.touched.len() < MAX_TOUCHED {
            self.touched.push(prefix);
        } else {
            self.touched_any = true;
        }
    }

    fn want(&mut self, id: RouteId, wanted: Option<SetId>) {
        let Some(route) = self.route_mut(id) else { return };
        let before = core::mem::replace(&mut route.wanted, wanted);
        if let Some(set) = wanted {
            self.wanted += 1;
            self.keep(set);
        }
        if let Some(set) = before {
            self.wanted -= 1;
            self.release(set);
        }
        self.settle(id);
    }

    /// Puts a route into the queue where it belongs, or out of the table.
    fn settle(&mut self, id: RouteId) {
        let Some(route) = self.route(id) else { return };
        let leads = self.next_hop.is_some();
        let can_be_written = |set: &SetId| leads && self.set_at(*set).is_some_and(|set| set.fit == Fit::Fits);
        let queue = match (route.wanted.filter(can_be_written), route.sent) {
            (Some(wanted), Some(sent)) if wanted == sent && route.resend == Resend::No => Queue::None,
            (Some(wanted), _) => Queue::Announcements(wanted),
            (None, Some(_)) => Queue::Withdrawals,
            (None, None) => Queue::None,
        };
        let (before, place, is_gone) = (route.queue, route.place, route.wanted.is_none() && route.sent.is_none());
        if before != queue {
            self.leave_queue(before, place);
            let place = self.join_queue(queue, id);
            if let Some(route) = self.route_mut(id) {
                route.queue = queue;
                route.place = place;
            }
        }
        if is_gone {
            self.remove_route(id);
        }
    }

    fn leave_queue(&mut self, queue: Queue, place: u32) {
        let waiting = match queue {
            Queue::None => return,
            Queue::Withdrawals => Some(&mut self.withdrawals),
            Queue::Announcements(set) => self.set_at_mut(set).map(|set| &mut set.pending),
        };
        let Some(waiting) = waiting.filter(|waiting| index(place) < waiting.len()) else { return };
        waiting.swap_remove(index(place));
        let moved = waiting.get(index(place)).copied();
        let is_empty = waiting.is_empty();
        if let Some(route) = moved.and_then(|moved| self.route_mut(moved)) {
            route.place = place;
        }
        if let (true, Queue::Announcements(set)) = (is_empty, queue) {
            self.waiting_sets.remove(&set);
        }
    }

    fn join_queue(&mut self, queue: Queue, route: RouteId) -> u32 {
        let waiting = match queue {
            Queue::None => return 0,
            Queue::Withdrawals => Some(&mut self.withdrawals),
            Queue::Announcements(set) => {
                self.waiting_sets.insert(set);
                self.set_at_mut(set).map(|set| &mut set.pending)
            }
        };
        let Some(waiting) = waiting else { return 0 };
        waiting.push(route);
        id(waiting.len() - 1)
    }

    fn add_route(&mut self, prefix: P) -> RouteId {
        let route = Route {
            prefix,
            resend: Resend::No,
            wanted: None,
            sent: None,
            queue: Queue::None,
            place: 0,
            since: Timestamp::ZERO,
        };
        let place = self.free_routes.pop().unwrap_or_else(|| {
            self.routes.push(None);
            RouteId(id(self.routes.len() - 1))
        });
        if let Some(slot) = self.routes.get_mut(index(place.0)) {
            *slot = Some(route);
        }
        self.places.insert(prefix, place);
        place
    }

    fn remove_route(&mut self, id: RouteId) {
        if let Some(route) = self.routes.get_mut(index(id.0)).and_then(Option::take) {
            self.places.remove(&route.prefix);
            self.free_routes.push(id);
        }
    }

    /// The set of these attributes, a new one where they are not known.
    fn set_of(&mut self, attributes: &Arc<RouteAttributes>) -> SetId {
        if let Some(known) = self.known_sets.get(attributes) {
            return *known;
        }
        let set = Set { attributes: Arc::clone(attributes), block: None, fit: Fit::Fits, uses: 0, pending: Vec::new() };
        let place = self.free_sets.pop().unwrap_or_else(|| {
            self.sets.push(None);
            SetId(id(self.sets.len() - 1))
        });
        if let Some(slot) = self.sets.get_mut(index(place.0)) {
            *slot = Some(set);
        }
        self.known_sets.insert(Arc::clone(attributes), place);
        place
    }

    fn keep(&mut self, id: SetId) {
        if let Some(set) = self.set_at_mut(id) {
            set.uses += 1;
        }
    }

    fn release(&mut self, id: SetId) {
        let Some(set) = self.set_at_mut(id) else { return };
        set.uses = set.uses.saturating_sub(1);
        if set.uses == 0
            && let Some(set) = self.sets.get_mut(index(id.0)).and_then(Option::take)
        {
            self.known_sets.remove(&set.attributes);
            self.waiting_sets.remove(&id);
            self.free_sets.push(id);
        }
    }

    fn route(&self, id: RouteId) -> Option<&Route<P>> {
        self.routes.get(index(id.0))?.as_ref()
    }

    fn route_mut(&mut self, id: RouteId) -> Option<&mut Route<P>> {
        self.routes.get_mut(index(id.0))?.as_mut()
    }

    fn set_at(&self, id: SetId) -> Option<&Set> {
        self.sets.get(index(id.0))?.as_ref()
    }

    fn set_at_mut(&mut self, id: SetId) -> Option<&mut Set> {
        self.sets.get_mut(index(id.0))?.as_mut()
    }
}
