//! One leader among the processes of a role, by a `Lease` of `coordination.k8s.io`.
//!
//! [`Elector`] is pure: it is told what was read and written and when, and says what to read or write next and until when this process
//! leads. `refusals` is pure too, and knows when that is done without a Lease. `keeper` carries both out. Timings and the record are
//! those of client-go, so that its tools can read them.
//!
//! Invariants: whoever leads may write until [`Timings::renew`] after the *start* of its last good renewal, by its own clock; everybody
//! else waits [`Timings::lease`] from the moment they first saw the record as it is, by theirs. Two rights to write never overlap as long
//! as clocks run within a fifth of each other.

mod keeper;
mod refusals;

use std::time::Duration;

use lbcore::time::Timestamp;

pub(crate) use self::keeper::{Leadership, LeaseName, keep};

/// The three times of an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timings {
    /// A record that did not change for so long is nobody's.
    pub(crate) lease: Duration,
    /// Who could not renew for so long stops writing.
    pub(crate) renew: Duration,
    /// Time between two renewals, and between two looks at somebody else's record.
    pub(crate) retry: Duration,
}

impl Default for Timings {
    /// Those of client-go.
    fn default() -> Self {
        Self { lease: Duration::from_secs(15), renew: Duration::from_secs(10), retry: Duration::from_secs(2) }
    }
}

/// What the Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    /// Who holds it; empty for nobody.
    pub(crate) holder: String,
    /// How long it is good after a renewal; `None` where the object does not say.
    pub(crate) duration: Option<Duration>,
    /// How often it has gone from one holder to another.
    pub(crate) transitions: i64,
}

/// A record as read, with the version of the object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Observed {
    pub(crate) version: String,
    pub(crate) record: Record,
}

/// Whether a record that is written begins a new holding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Acquisition {
    /// `acquireTime` is now.
    New,
    /// The holder was this process before.
    Renewed,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing before this time.
    Wait(Timestamp),
    /// Read the Lease.
    Read,
    /// Make the Lease, which is not there.
    Create(Record),
    /// Replace the record in this version of the Lease.
    Replace { version: String, record: Record, acquisition: Acquisition },
}

/// What is known of the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// Nothing that could be relied on.
    Nothing,
    /// There is none.
    Absent,
    /// It is as given, and was first seen so at this time.
    Present { observed: Observed, first_seen: Timestamp },
}

/// Takes part in an election.
#[derive(Clone, Debug)]
pub(crate) struct Elector {
    identity: String,
    timings: Timings,
    known: Known,
    leads_until: Option<Timestamp>,
    next_at: Timestamp,
}

impl Elector {
    /// A process of this name, which no other one may have at the same time. Nothing is known yet.
    pub(crate) fn new(identity: &str, timings: Timings) -> Self {
        Self {
            identity: identity.to_owned(),
            timings,
            known: Known::Nothing,
            leads_until: None,
            next_at: Timestamp::ZERO,
        }
    }

    /// Until when this process may write; `None` where it may not. A right that has ended comes back only by a new acquisition.
    pub(crate) fn leads_until(&self) -> Option<Timestamp> {
        self.leads_until
    }

    /// Who holds the Lease as far as is known.
    pub(crate) fn holder(&self) -> Option<&str> {
        match &self.known {
            Known::Present { observed, .. } => Some(observed.record.holder.as_str()),
            Known::Nothing | Known::Absent => None,
        }
    }

    /// Takes back the right to write where its time is over.
    pub(crate) fn handle_timeout(&mut self, now: Timestamp) {
        if self.leads_until.is_some_and(|until| now >= until) {
            self.leads_until = None;
            // What was known is as old as the right was.
            self.known = Known::Nothing;
            self.next_at = now;
        }
    }

    /// What to do now.
    pub(crate) fn poll_step(&self, now: Timestamp) -> Step {
        if now < self.next_at {
            return Step::Wait(self.next_at);
        }
        match &self.known {
            Known::Nothing => Step::Read,
            Known::Absent => Step::Create(self.record(0)),
            Known::Present { observed, first_seen } => {
                let record = &observed.record;
                let replace = |transitions, acquisition| Step::Replace {
                    version: observed.version.clone(),
                    record: self.record(transitions),
                    acquisition,
                };
                if record.holder == self.identity {
                    return replace(record.transitions, Acquisition::Renewed);
                }
                let expires = *first_seen + record.duration.unwrap_or(self.timings.lease);
                if record.holder.is_empty() || now >= expires {
                    return replace(record.transitions.saturating_add(1), Acquisition::New);
                }
                Step::Read
            }
        }
    }

    fn record(&self, transitions: i64) -> Record {
        Record { holder: self.identity.clone(), duration: Some(self.timings.lease), transitions }
    }

    /// The Lease was read; `None` where there is none.
    pub(crate) fn handle_read(&mut self, now: Timestamp, read: Option<Observed>) {
        let was_absent = self.known == Known::Absent;
        match read {
            None => {
                self.known = Known::Absent;
                self.leads_until = None;
                // At once, unless making it has just failed.
                self.next_at = if was_absent { now + self.timings.retry } else { now };
            }
            Some(observed) => {
                if observed.record.holder != self.identity {
                    self.leads_until = None;
                }
                let first_seen = match &self.known {
                    Known::Present { observed: before, first_seen } if *before == observed => *first_seen,
                    Known::Present { .. } | Known::Absent | Known::Nothing => now,
                };
                self.known = Known::Present { observed, first_seen };
                self.next_at = now;
                if self.poll_step(now) == Step::Read {
                    self.next_at = self.next_look(now, first_seen);
                }
            }
        }
    }

    /// When somebody else's record is looked at again: with the rhythm of a candidate, and not after it has run out.
    fn next_look(&self, now: Timestamp, first_seen: Timestamp) -> Timestamp {
        let retry = now + self.timings.retry;
        match &self.known {
            Known::Present { observed, .. } => {
                let expires = first_seen + observed.record.duration.unwrap_or(self.timings.lease);
                retry.min(expires.max(now))
            }
            Known::Nothing | Known::Absent => retry,
        }
    }

    /// A record of this process was written by a request that began at `started`.
    pub(crate) fn handle_written(&mut self, started: Timestamp, now: Timestamp, observed: Observed) {
        if self.leads_until.is_some_and(|until| now >= until) {
            // Too late: what was decided by the old right is void, and a new one is taken from the beginning.
            self.handle_timeout(now);
            return;
        }
        let until = started + self.timings.renew;
        self.known = Known::Present { observed, first_seen: now };
        self.next_at = started + self.timings.retry;
        self.leads_until = (now < until).then_some(until);
    }

    /// A write met another version, or the Lease is gone: it must be read before anything is written. Who led may have been replaced: it
    /// stops writing and looks at once.
    pub(crate) fn handle_conflict(&mut self, now: Timestamp) {
        self.known = Known::Nothing;
        let was_leading = self.leads_until.take().is_some();
        self.next_at = if was_leading { now } else { now + self.timings.retry };
    }

    /// A request failed; a write may have been carried out all the same. What was known of somebody else's record stays known.
    pub(crate) fn handle_failure(&mut self, now: Timestamp, of: Failed) {
        if of == Failed::Write {
            self.known = Known::Nothing;
        }
        self.next_at = now + self.timings.retry;
    }

    /// Gives the Lease up: the right to write ends now, and the record to write says that nobody holds it. `None` where this process
    /// does not hold it.
    pub(crate) fn handle_release(&mut self) -> Option<(String, Record)> {
        self.leads_until.take()?;
        let known = std::mem::replace(&mut self.known, Known::Nothing);
        let Known::Present { observed, .. } = known else { return None };
        let record = Record {
            holder: String::new(),
            duration: Some(Duration::from_secs(1)),
            transitions: observed.record.transitions,
        };
        (observed.record.holder == self.identity).then_some((observed.version, record))
    }
}

/// Which request failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    Read,
    Write,
}

#[cfg(test)]
mod tests;
