//! The ledger of addresses as JSON: lines of the state file of `ferrule run`, and what the controller shows.
//!
//! The form is a contract: fields may be added, none renamed.

use std::net::IpAddr;

use lbcore::ledger::{Cause, Entry, Event, MemoryLedger, ParseWordError, Why};
use lbcore::service::{EmptyName, ParseServiceKeyError, PoolName, ServiceKey};
use lbcore::time::{ParseUnixTimeError, UnixTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When, such as `2026-01-02T03:04:05Z`.
    pub at: String,
    /// The address.
    pub address: IpAddr,
    /// `namespace/name` of the Service.
    pub service: String,
    /// The pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// What happened, in one word.
    pub event: String,
    /// The kind of the cause, in one word.
    pub why: String,
    /// The cause in a sentence.
    pub cause: String,
}

/// A line that no ledger wrote.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LineError {
    /// The time.
    #[error(transparent)]
    Time(#[from] ParseUnixTimeError),
    /// The Service.
    #[error(transparent)]
    Service(#[from] ParseServiceKeyError),
    /// The pool.
    #[error("the pool: {0}")]
    Pool(#[from] EmptyName),
    /// The event or the cause.
    #[error(transparent)]
    Word(#[from] ParseWordError),
}

impl From<&Entry> for Line {
    fn from(entry: &Entry) -> Self {
        Self {
            at: entry.at.to_string(),
            address: entry.address,
            service: entry.service.to_string(),
            pool: entry.pool.as_ref().map(ToString::to_string),
            event: entry.event.to_string(),
            why: entry.cause.why.to_string(),
            cause: entry.cause.text.to_string(),
        }
    }
}

impl TryFrom<Line> for Entry {
    type Error = LineError;

    fn try_from(line: Line) -> Result<Self, LineError> {
        Ok(Self {
            at: line.at.parse::<UnixTime>()?,
            address: line.address,
            service: line.service.parse::<ServiceKey>()?,
            pool: line.pool.map(PoolName::new).transpose()?,
            event: line.event.parse::<Event>()?,
            cause: Cause::new(line.why.parse::<Why>()?, line.cause),
        })
    }
}

/// A ledger as it is kept: what was dropped, and the entries from the oldest on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// How many older entries there were.
    pub dropped: u64,
    /// The entries.
    pub entries: Vec<Line>,
}

impl History {
    /// Of a ledger, whole.
    pub fn of(ledger: &MemoryLedger) -> Self {
        Self { dropped: ledger.dropped(), entries: ledger.entries().map(Line::from).collect() }
    }

    /// Whether nothing was ever recorded.
    pub const fn is_empty(&self) -> bool {
        self.dropped == 0 && self.entries.is_empty()
    }

    /// The ledger that goes on from here. Lines that say what this build does not know are left out and counted as dropped: a ledger
    /// decides nothing.
    pub fn into_ledger(self, limit: usize) -> MemoryLedger {
        let count = self.entries.len();
        let entries: Vec<Entry> = self.entries.into_iter().filter_map(|line| line.try_into().ok()).collect();
        let unknown = u64::try_from(count - entries.len()).unwrap_or_default();
        MemoryLedger::restored(limit, entries, self.dropped.saturating_add(unknown))
    }
}

/// What somebody wants to know of a ledger; without any limit everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Only entries of this address.
    pub address: Option<IpAddr>,
    /// Only entries of this Service.
    pub service: Option<ServiceKey>,
    /// Only entries from this time on.
    pub since: Option<UnixTime>,
    /// Only entries up to this time.
    pub until: Option<UnixTime>,
}

/// A question that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{name}={value:?} cannot be read: ask with address=ADDRESS, service=NAMESPACE/NAME, since=TIME and until=TIME (2026-01-02T03:04:05Z)"
)]
pub struct QuestionError {
    /// The part that is wrong.
    pub name: String,
    /// What was given for it.
    pub value: String,
}

impl Question {
    /// Reads the query of a URL, such as `service=shop/web&since=2026-01-02T03:04:05Z`. `%3A` and `%2F` may stand for `:` and `/`.
    ///
    /// # Errors
    /// [`QuestionError`], for the first part that is wrong.
    pub fn of_query(query: &str) -> Result<Self, QuestionError> {
        let mut question = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = value.replace("%3A", ":").replace("%3a", ":").replace("%2F", "/").replace("%2f", "/");
            let is_read = match name {
                "address" => value.parse().map(|address| question.address = Some(address)).is_ok(),
                "service" => value.parse().map(|service| question.service = Some(service)).is_ok(),
                "since" => value.parse().map(|since| question.since = Some(since)).is_ok(),
                "until" => value.parse().map(|until| question.until = Some(until)).is_ok(),
                _ => false,
            };
            if !is_read {
                return Err(QuestionError { name: name.to_owned(), value });
            }
        }
        Ok(question)
    }

    /// The entries that are asked for, from the oldest on.
    pub fn answer(&self, ledger: &MemoryLedger) -> History {
        let is_wanted = |entry: &&Entry| {
            self.address.is_none_or(|address| entry.address == address)
                && self.service.as_ref().is_none_or(|service| entry.service == *service)
                && self.since.is_none_or(|since| entry.at >= since)
                && self.until.is_none_or(|until| entry.at <= until)
        };
        History { dropped: ledger.dropped(), entries: ledger.entries().filter(is_wanted).map(Line::from).collect() }
    }
}

#[cfg(test)]
mod tests {
    use lbcore::ledger::Ledger as _;

    use super::*;

    fn entry(seconds: u64, address: &str, service: &str) -> Entry {
        Entry {
            at: UnixTime::from_secs(seconds),
            address: address.parse().unwrap(),
            service: service.parse().unwrap(),
            pool: Some("public".parse().unwrap()),
            event: Event::Moved,
            cause: Cause::new(Why::Conflict, "node n2 has it"),
        }
    }

    fn ledger() -> MemoryLedger {
        let mut ledger = MemoryLedger::new(3);
        for (seconds, address, service) in [
            (1, "192.0.2.1", "shop/old"),
            (2, "192.0.2.7", "shop/web"),
            (3, "192.0.2.8", "shop/web"),
            (4, "192.0.2.7", "shop/mail"),
        ] {
            ledger.record(entry(seconds, address, service));
        }
        ledger
    }

    #[test]
    fn what_is_kept_is_read_back() {
        let history = History::of(&ledger());
        let text = serde_json::to_string(&history).unwrap();
        assert!(
            text.starts_with(r#"{"dropped":1,"entries":[{"at":"1970-01-01T00:00:02Z","address":"192.0.2.7""#),
            "{text}"
        );
        let read: History = serde_json::from_str(&text).unwrap();
        assert_eq!(read.clone().into_ledger(3), ledger());
        assert_eq!(read.into_ledger(2).dropped(), 2, "a smaller limit drops the oldest");
    }

    #[test]
    fn lines_that_are_not_understood_are_counted_as_dropped() {
        let mut history = History::of(&ledger());
        history.entries[0].event = "teleported".to_owned();
        let ledger = history.into_ledger(10);
        assert_eq!((ledger.entries().len(), ledger.dropped()), (2, 2));
    }

    #[test]
    fn questions_are_answered_by_all_their_parts() {
        let count = |query: &str| Question::of_query(query).unwrap().answer(&ledger()).entries.len();
        assert_eq!(count(""), 3);
        assert_eq!(count("address=192.0.2.7"), 2);
        assert_eq!(count("address=192.0.2.7&service=shop%2Fweb"), 1);
        assert_eq!(count("since=1970-01-01T00:00:03Z"), 2);
        assert_eq!(count("since=1970-01-01T00%3A00%3A03Z&until=1970-01-01T00:00:03Z"), 1);
        for query in ["address=x", "service=web", "since=yesterday", "who=me", "address"] {
            let refused = Question::of_query(query).unwrap_err().to_string();
            assert!(refused.contains("ask with address="), "{refused}");
        }
    }
}
