//! What of an outcome is new to the owner of the Service ([CEVT-1] to [CEVT-9], [CEVT-20]).

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lbcore::allocator::NoAddress;
use lbcore::converge::{Convergence, Notice, NoticeKind};
use lbcore::service::{PoolName, ServiceKey};

use super::account::Account;
use super::{Output, Planner};
use crate::cluster::events::{About, Told};

/// What the annotations of older versions begin with ([CTRL-25]).
const DEPRECATED: &str = "metallb.universe.tf";

impl Planner {
    /// Passes on what the last look did not say already: after the write that makes it true, or at once where there is none.
    pub(super) fn tell(&mut self, key: &ServiceKey, outcome: &Convergence, is_writing: bool) {
        let Some(account) = self.accounts.get_mut(key) else { return };
        let about = About::service(key, account.seen.uid());
        let told = |kind, reason, text| Told { about: about.clone(), kind, reason, text };
        let mut now: Vec<Told> = outcome
            .notices
            .iter()
            .map(|notice| told(notice.kind(), notice.event_reason(), in_words(notice, &self.refused)))
            .collect();
        if is_writing {
            let annotations = account.seen.object.annotations.keys();
            now.extend(annotations.filter(|name| name.starts_with(DEPRECATED)).map(|name| {
                let text = format!("the annotation {name} is deprecated: write metallb.io in place of {DEPRECATED}");
                told(NoticeKind::Warning, "deprecatedAnnotation", text)
            }));
        }
        let news = account.news(now);
        account.untold.extend(news);
        if !is_writing {
            self.outputs.extend(account.untold.drain(..).map(Output::Tell));
        }
        for notice in &outcome.notices {
            self.tell_winner(key, notice);
        }
    }

    /// Two Services with one unsharable address: the one that keeps it is told as well ([CTRL-17]).
    fn tell_winner(&mut self, loser: &ServiceKey, notice: &Notice) {
        let Notice::Cleared { reason: NoAddress::SharingConflict { address, holder, conflict }, .. } = notice else {
            return;
        };
        let Some(account) = self.accounts.get(holder) else { return };
        let text =
            format!("{address} was recorded for {loser} too, {conflict}; it stays here and {loser} gets another");
        let about = About::service(holder, account.seen.uid());
        self.outputs.push_back(Output::Tell(Told {
            about,
            kind: NoticeKind::Warning,
            reason: "AddressConflict",
            text,
        }));
    }
}

/// A notice as its text; a pool that is refused is there, and what is wrong is said elsewhere.
fn in_words(notice: &Notice, refused: &BTreeSet<PoolName>) -> String {
    let Notice::AllocationFailed { reason } = notice else { return notice.to_string() };
    if let NoAddress::NoSuchPool { pool } = reason
        && refused.contains(pool)
    {
        return format!("no address: the pool {pool} is refused: correct it, its events say what is wrong");
    }
    let lacks_pools = matches!(
        reason,
        NoAddress::NoPools
            | NoAddress::NotInPool { .. }
            | NoAddress::NoEligiblePool
            | NoAddress::FamilyNowhere { .. }
            | NoAddress::PoolsExhausted { .. }
    );
    if refused.is_empty() || !lacks_pools {
        return notice.to_string();
    }
    let names: Vec<&str> = refused.iter().map(PoolName::as_str).collect();
    format!("{notice}; refused, and to be corrected: {}", names.join(", "))
}

impl Account {
    /// What of this was not said by the look before.
    pub(super) fn news(&mut self, now: Vec<Told>) -> Vec<Told> {
        let digests: Vec<u64> = now.iter().map(digest).collect();
        let standing = std::mem::replace(&mut self.standing, digests.clone());
        now.into_iter().zip(digests).filter(|(_, digest)| !standing.contains(digest)).map(|(told, _)| told).collect()
    }
}

fn digest(told: &Told) -> u64 {
    // Compared within one process only.
    let mut hasher = DefaultHasher::new();
    (told.reason, &told.text).hash(&mut hasher);
    hasher.finish()
}
