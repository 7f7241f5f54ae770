//! A first decision in pieces, so that announcing begins before all of it is made.

use core::num::NonZeroUsize;

use super::affected::Affected;
use super::snapshot::Snapshot;
use crate::service::ServiceKey;

/// All Services of a snapshot in pieces, each to be handed to [`changes_for`](super::changes_for); groups stay whole, so that every
/// piece can be announced by itself. From [`Snapshot::parts`].
#[derive(Clone, Debug)]
pub struct Parts {
    snapshot: Snapshot,
    size: NonZeroUsize,
    /// The Service that was looked at last.
    after: Option<ServiceKey>,
}

impl Snapshot {
    /// All Services in pieces of so many, the last smaller; a piece is larger by the groups of its Services. What was in the desired
    /// set before and has no Service any more is in none of them: that a change says what it affects takes care of it.
    pub fn parts(&self, size: NonZeroUsize) -> Parts {
        Parts { snapshot: self.clone(), size, after: None }
    }
}

impl Iterator for Parts {
    type Item = Affected;

    fn next(&mut self) -> Option<Affected> {
        let mut part = Affected::default();
        let mut last = None;
        for (key, members) in self.snapshot.walk(self.after.as_ref()).take(self.size.get()) {
            last = Some(key);
            // One without an address is in no group and stands for itself; one that is not the first of its group came with the first.
            if members.is_empty() && self.snapshot.service(key).is_some_and(|facts| facts.addresses.is_empty()) {
                part.services.insert(key.clone());
            }
            for member in members {
                part.services.insert(member.facts.key.clone());
                part.addresses.extend(&member.facts.addresses);
            }
        }
        let last = last.cloned()?;
        self.after = Some(last);
        Some(part)
    }
}
