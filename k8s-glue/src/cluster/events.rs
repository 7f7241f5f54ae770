//! Events of core/v1: what users read in `kubectl describe`.
//!
//! [`Desk`] is pure: it takes what is to be told, merges what repeats, and lets out as much as the API server can bear. Who tells
//! something is expected to tell it when it changes, not on every look ([CEVT-20]). `EventSink` carries it out.

mod sink;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lbcore::converge::NoticeKind;
use lbcore::service::ServiceKey;
use lbcore::time::Timestamp;
use serde_json::{Value, json};

pub(crate) use self::sink::EventSink;
use super::clock::WallTime;

/// Events a second, in the long run. One costs the API server a few milliseconds.
const RATE_PER_SECOND: u64 = 25;
/// Events at once after a quiet time.
const BURST: u64 = 100;
/// Events that wait to be sent; the oldest give way, for the newest say how things stand.
const QUEUE: usize = 10_000;
/// Events that are remembered, so that the same one again is counted instead of made anew.
const REMEMBERED: usize = 4_096;
/// The API server refuses longer messages.
const TEXT_LIMIT: usize = 1_024;

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct About {
    pub(crate) api_version: &'static str,
    pub(crate) kind: &'static str,
    /// Empty for an object without a namespace.
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
    pub(crate) uid: Arc<str>,
}

impl About {
    /// A Service.
    pub(crate) fn service(key: &ServiceKey, uid: &str) -> Self {
        Self {
            api_version: "v1",
            kind: "Service",
            namespace: key.namespace().into(),
            name: key.name().into(),
            uid: uid.into(),
        }
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) about: About,
    pub(crate) kind: NoticeKind,
    pub(crate) reason: &'static str,
    pub(crate) text: String,
}

/// A write of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Post {
    /// A new event.
    Create(Ticket),
    /// It was told before: its count and its last time are patched.
    Repeat(Ticket),
}

/// An event with its name and how often it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) told: Told,
    pub(crate) name: String,
    pub(crate) count: u64,
}

/// Who tells: component, and the instance of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reporter {
    pub(crate) component: &'static str,
    pub(crate) instance: String,
}

/// What the desk has to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Post(Post),
    Wait(Timestamp),
    /// Nothing to tell.
    Idle,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct MemoryKey {
    about: About,
    reason: &'static str,
}

#[derive(Clone, Debug)]
struct Memory {
    text: String,
    name: String,
    count: u64,
}

/// Merges and rations events.
#[derive(Debug)]
pub(crate) struct Desk {
    waiting: VecDeque<Told>,
    remembered: BTreeMap<MemoryKey, Memory>,
    /// The order in which they came to be remembered.
    order: VecDeque<MemoryKey>,
    tokens: u64,
    filled_at: Timestamp,
    dropped: u64,
}

impl Default for Desk {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            remembered: BTreeMap::new(),
            order: VecDeque::new(),
            tokens: BURST,
            filled_at: Timestamp::ZERO,
            dropped: 0,
        }
    }
}

impl Desk {
    /// Takes something to tell. One that waits already with the same words is told once.
    pub(crate) fn handle_told(&mut self, mut told: Told) {
        truncate(&mut told.text, TEXT_LIMIT);
        if self.waiting.back() == Some(&told) {
            return;
        }
        if self.waiting.len() >= QUEUE {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(told);
    }

    /// Events that were given up since the last call, because too many waited.
    pub(crate) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// What to do now. `wall` makes the names of new events.
    pub(crate) fn poll_next(&mut self, now: Timestamp, wall: WallTime) -> Next {
        self.fill(now);
        if self.waiting.is_empty() {
            return Next::Idle;
        }
        if self.tokens == 0 {
            return Next::Wait(self.filled_at + Duration::from_secs(1) / u32::try_from(RATE_PER_SECOND).unwrap_or(1));
        }
        let Some(told) = self.waiting.pop_front() else { return Next::Idle };
        self.tokens -= 1;
        Next::Post(self.post(told, wall))
    }

    fn fill(&mut self, now: Timestamp) {
        let period = 1_000_000 / RATE_PER_SECOND;
        let periods = u64::try_from(now.since(self.filled_at).as_micros()).unwrap_or(u64::MAX) / period;
        if periods > 0 {
            self.tokens = self.tokens.saturating_add(periods).min(BURST);
            self.filled_at = self.filled_at + Duration::from_micros(periods.saturating_mul(period));
        }
    }

    fn post(&mut self, told: Told, wall: WallTime) -> Post {
        let key = MemoryKey { about: told.about.clone(), reason: told.reason };
        if let Some(memory) = self.remembered.get_mut(&key).filter(|memory| memory.text == told.text) {
            memory.count += 1;
            return Post::Repeat(Ticket { told, name: memory.name.clone(), count: memory.count });
        }
        let name = event_name(&told, wall);
        self.remember(key, Memory { text: told.text.clone(), name: name.clone(), count: 1 });
        Post::Create(Ticket { told, name, count: 1 })
    }

    fn remember(&mut self, key: MemoryKey, memory: Memory) {
        if self.remembered.insert(key.clone(), memory).is_none() {
            self.order.push_back(key);
        }
        while self.order.len() > REMEMBERED {
            if let Some(oldest) = self.order.pop_front() {
                self.remembered.remove(&oldest);
            }
        }
    }

    /// A repeated event is not there any more (the API server keeps them for an hour): it is made anew.
    pub(crate) fn handle_missing(&mut self, ticket: Ticket, wall: WallTime) -> Ticket {
        let key = MemoryKey { about: ticket.told.about.clone(), reason: ticket.told.reason };
        let name = event_name(&ticket.told, wall);
        self.remember(key, Memory { text: ticket.told.text.clone(), name: name.clone(), count: 1 });
        Ticket { told: ticket.told, name, count: 1 }
    }
}

/// The name of the object and the time, as client-go makes it.
fn event_name(told: &Told, wall: WallTime) -> String {
    // An event's name is one of 253 octets at most.
    let mut name = told.about.name.to_string();
    truncate(&mut name, 200);
    format!("{name}.{:x}", wall.as_micros())
}

fn truncate(text: &mut String, limit: usize) {
    if text.len() > limit {
        let end = (0..=limit).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
    }
}

impl Ticket {
    /// The namespace that the event is in: that of its object, else `default`.
    pub(crate) fn namespace(&self) -> &str {
        let namespace: &str = &self.told.about.namespace;
        if namespace.is_empty() { "default" } else { namespace }
    }

    /// The whole event.
    pub(crate) fn body(&self, reporter: &Reporter, wall: WallTime) -> Value {
        let about = &self.told.about;
        let kind = match self.told.kind {
            NoticeKind::Normal => "Normal",
            NoticeKind::Warning => "Warning",
        };
        json!({
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": self.name, "namespace": self.namespace()},
            "involvedObject": {
                "apiVersion": about.api_version, "kind": about.kind, "namespace": &*about.namespace, "name": &*about.name,
                "uid": &*about.uid,
            },
            "reason": self.told.reason,
            "message": self.told.text,
            "type": kind,
            "source": {"component": reporter.component, "host": reporter.instance},
            "reportingComponent": reporter.component,
            "reportingInstance": reporter.instance,
            "firstTimestamp": wall.seconds(),
            "lastTimestamp": wall.seconds(),
            "count": self.count,
        })
    }

    /// What is patched where it is told again.
    pub(crate) fn repetition(&self, wall: WallTime) -> Value {
        json!({"count": self.count, "lastTimestamp": wall.seconds()})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str, text: &str) -> Told {
        Told {
            about: About::service(&format!("shop/{name}").parse().unwrap(), "uid-1"),
            kind: NoticeKind::Warning,
            reason: "AllocationFailed",
            text: text.to_owned(),
        }
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    fn post(desk: &mut Desk, millis: u64) -> Post {
        match desk.poll_next(at(millis), WallTime::from_micros(millis + 1)) {
            Next::Post(post) => post,
            other @ (Next::Wait(_) | Next::Idle) => panic!("{other:?}"),
        }
    }

    // [CEVT-20]
    #[test]
    fn the_same_words_are_counted_and_others_are_a_new_event() {
        let mut desk = Desk::default();
        desk.handle_told(told("web", "full"));
        let Post::Create(first) = post(&mut desk, 1) else { panic!() };
        desk.handle_told(told("web", "full"));
        let Post::Repeat(again) = post(&mut desk, 2) else { panic!() };
        assert_eq!((again.name.as_str(), again.count), (first.name.as_str(), 2));
        desk.handle_told(told("web", "gone"));
        let Post::Create(other) = post(&mut desk, 3) else { panic!() };
        assert_ne!(other.name, first.name);
        assert_eq!(desk.poll_next(at(3), WallTime::default()), Next::Idle);
    }

    // [CEVT-20]
    #[test]
    fn a_flood_is_rationed() {
        let mut desk = Desk::default();
        for index in 0..1_000 {
            desk.handle_told(told(&format!("web{index}"), "full"));
        }
        let mut posted = 0;
        let mut now = 0;
        while now < 4_000 {
            match desk.poll_next(at(now), WallTime::from_micros(now)) {
                Next::Post(_) => posted += 1,
                Next::Wait(until) => {
                    assert!(until > at(now));
                    now = until.as_micros() / 1_000;
                }
                Next::Idle => panic!("nothing waits"),
            }
        }
        assert!((190..=210).contains(&posted), "{posted} in four seconds");
    }

    #[test]
    fn the_oldest_gives_way_where_too_many_wait() {
        let mut desk = Desk::default();
        for index in 0..=QUEUE {
            desk.handle_told(told(&format!("web{index}"), "full"));
        }
        assert_eq!((desk.take_dropped(), desk.take_dropped()), (1, 0));
        assert!(matches!(post(&mut desk, 1), Post::Create(ticket) if &*ticket.told.about.name == "web1"));
    }

    #[test]
    fn an_event_names_its_object_and_its_times() {
        let mut desk = Desk::default();
        desk.handle_told(told("web", &"ä".repeat(600)));
        let Post::Create(ticket) = post(&mut desk, 1) else { panic!() };
        let reporter = Reporter { component: "metallb-controller", instance: "pod-1".to_owned() };
        let body = ticket.body(&reporter, WallTime::from_micros(1_000_000));
        assert_eq!(body["involvedObject"]["uid"], "uid-1");
        assert_eq!(body["metadata"]["namespace"], "shop");
        assert_eq!((&body["type"], &body["count"]), (&json!("Warning"), &json!(1)));
        assert_eq!(body["lastTimestamp"], "1970-01-01T00:00:01Z");
        assert_eq!(body["message"].as_str().unwrap().len(), TEXT_LIMIT);
    }
}
