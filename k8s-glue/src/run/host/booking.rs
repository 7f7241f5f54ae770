//! What a pass did, told and made durable: the log, the book of addresses, the state file.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use lbcore::allocator::Hold;
use lbcore::ledger::Ledger as _;
use lbcore::ownership::Observer as _;
use lbcore::service::ServiceKey;

use super::{Host, Retry, Told, tell};
use crate::cluster::clock::unix_now;
use crate::history::History;
use crate::run::{chronicle, record};
use crate::state::State;

impl Host {
    /// Logs what happened, and enters it in the book.
    pub(super) fn tell_all(&mut self, reports: &[Told]) {
        let saved = &self.kernel.saved().services;
        let pool_of = |service: &ServiceKey| {
            self.ledger.pool_of(service).or_else(|| saved.get(service).map(|recorded| recorded.pool.clone()))
        };
        let at = unix_now();
        for report in reports {
            tell(report);
            for entry in chronicle::entries(at, report, pool_of) {
                self.book.record(entry);
                self.is_book_stale = true;
            }
        }
    }

    /// Enters in the book what begins to wait or to be kept, or ends it.
    pub(super) fn book_waiting(&mut self) {
        let at = unix_now();
        let holds: Vec<Hold> = self.ledger.holds().cloned().collect();
        let (holds_before, kept_before) = &self.booked;
        if *holds_before == holds && *kept_before == self.input.kept {
            return;
        }
        let pools = self.input.config.pools();
        let pool_of = |address: IpAddr| {
            pools.iter().find(|(_, configured)| configured.pool.contains(address)).map(|(name, _)| name.clone())
        };
        let used: BTreeSet<IpAddr> = self.ledger.held().flat_map(|(_, addresses)| addresses).copied().collect();
        let is_used = |address: IpAddr| used.contains(&address);
        let mut entries = chronicle::hold_entries(at, holds_before, &holds, is_used, pool_of);
        entries.extend(chronicle::kept_entries(at, kept_before, &self.input.kept));
        self.is_book_stale |= !entries.is_empty();
        for entry in entries {
            tracing::info!(service = %entry.service, address = %entry.address, cause = %entry.cause, "{}", entry.event);
            self.book.record(entry);
        }
        self.booked = (holds, self.input.kept.clone());
    }

    /// What a Service gave up is not kept any longer.
    pub(super) fn keep_what_is_held(&mut self) {
        if self.input.kept.iter().all(|kept| self.ledger.has(&kept.service, kept.address)) {
            return;
        }
        let (before, recorded) = (Arc::clone(&self.input.config), self.input.kept.clone());
        if !self.input.keep(Some(&before), &recorded, &self.ledger.records()) {
            return;
        }
        match self.ledger.replace_input(Some(&self.input.config), self.input.states()) {
            Ok(outcome) => self.tell_all(&outcome.reports),
            Err(error) => tracing::error!(%error, "pools were refused"),
        }
        self.take_circumstances();
        self.announced.clear();
        // Who waits for what is free now is served by the next pass.
        self.bell.notify();
    }

    pub(super) async fn make_durable(&mut self) -> Retry {
        let services = self.ledger.records();
        let (holds, kept) = (record::of_holds(self.ledger.holds()), record::of_kept(&self.input.kept));
        let saved = self.kernel.saved();
        if services == saved.services && holds == saved.holds && kept == saved.kept && !self.is_book_stale {
            return Retry::No;
        }
        let history = if self.is_book_stale { History::of(&self.book) } else { saved.history.clone() };
        let state = State { services, holds, kept, history, settings: saved.settings.clone() };
        match self.kernel.save(state).await {
            Ok(()) => {
                self.is_book_stale = false;
                if self.said.save.take().is_some() {
                    tracing::info!("allocations are durable again");
                }
                Retry::No
            }
            Err(error) => {
                let text = error.to_string();
                if self.said.save.as_ref() != Some(&text) {
                    tracing::error!(%error, "allocations are not durable; nothing new is announced");
                    self.said.save = Some(text);
                }
                Retry::Soon
            }
        }
    }
}
