//! What of an outcome is new to the owner of the Service ([CEVT-1] to [CEVT-9], [CEVT-20]).

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lbcore::allocator::NoAddress;
use lbcore::converge::{Convergence, Notice, NoticeKind};
use lbcore::service::ServiceKey;

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
            .map(|notice| told(notice.kind(), notice.event_reason(), notice.to_string()))
            .collect();
        if is_writing {
            let annotations = account.seen.object.annotations.keys();
            now.extend(annotations.filter(|name| name.starts_with(DEPRECATED)).map(|name| {
                let text = format!("the annotation {name} is deprecated: write metallb.io in place of {DEPRECATED}");
                told(NoticeKind::Warning, "deprecatedAnnotation", text)
            }));
        }
        let digests: Vec<u64> = now.iter().map(digest).collect();
        let mut news = now;
        let standing = std::mem::replace(&mut account.standing, digests.clone());
        let mut digests = digests.iter();
        news.retain(|_| digests.next().is_some_and(|digest| !standing.contains(digest)));
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

fn digest(told: &Told) -> u64 {
    // Compared within one process only.
    let mut hasher = DefaultHasher::new();
    (told.reason, &told.text).hash(&mut hasher);
    hasher.finish()
}
