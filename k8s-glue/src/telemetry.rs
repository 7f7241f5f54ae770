//! What the roles of a cluster write: one JSON object a line on standard output ([LOG-1], [CLOG-1]).
//!
//! Every line has `ts` (RFC 3339), `level`, `caller` (file and line) and, where there is a text, `msg`; the fields of the event and of the
//! spans around it stand beside them. Fields are written as they are given: passwords print as `***` by their own type ([LOG-3]), and
//! libraries that see them in requests are not heard.

use std::fmt;
use std::io;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::{LookupSpan, Registry, Scope};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::args::{Ineffective, LogLevel};

/// The crates of which every level counts; all others are heard from `warn` on.
const OWN_CRATES: [&str; 6] = ["announce_arp", "announce_bgp", "announce_ndp", "ferrule", "k8s_glue", "lbcore"];
/// Crates that are not heard: each failure of theirs is returned to us, and told by us once.
const SILENT_CRATES: [&str; 4] = ["kube_client", "kube_runtime", "tower", "tower_http"];

/// Begins to write lines from this level on. Where lines are written already, nothing changes.
pub fn start(level: LogLevel) {
    let _ = Registry::default().with(JsonLines::new(io::stdout).with_filter(filter(level))).try_init();
}

fn filter(level: LogLevel) -> Targets {
    let (own, others) = match level {
        LogLevel::All | LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::None => (LevelFilter::OFF, LevelFilter::OFF),
    };
    let silent = SILENT_CRATES.map(|name| (name, LevelFilter::OFF));
    Targets::new().with_default(others).with_targets(OWN_CRATES.map(|name| (name, own))).with_targets(silent)
}

/// Says which flags were given and change nothing.
pub fn tell_ineffective(flags: &[Ineffective]) {
    for Ineffective { flag, reason } in flags {
        tracing::warn!(op = "startup", flag, reason, "flag without effect");
    }
}

/// Writes events as JSON lines to what `make` gives for each.
#[derive(Debug)]
struct JsonLines<M> {
    make: M,
}

impl<M> JsonLines<M> {
    const fn new(make: M) -> Self {
        Self { make }
    }
}

/// The fields of a span, kept with it.
#[derive(Debug, Default)]
struct SpanFields(Map<String, Value>);

impl<S, M, W> Layer<S> for JsonLines<M>
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    M: Fn() -> W + 'static,
    W: io::Write,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = SpanFields::default();
        attributes.record(&mut IntoMap(&mut fields.0));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<SpanFields>()
        {
            values.record(&mut IntoMap(&mut fields.0));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut line = head(event);
        for span in context.event_scope(event).into_iter().flat_map(Scope::from_root) {
            if let Some(SpanFields(fields)) = span.extensions().get::<SpanFields>() {
                line.extend(fields.clone());
            }
        }
        event.record(&mut IntoMap(&mut line));
        let mut text = Value::Object(line).to_string();
        text.push('\n');
        // Nobody reads: there is no other place to say so.
        let _ = (self.make)().write_all(text.as_bytes());
    }
}

fn head(event: &Event<'_>) -> Map<String, Value> {
    let metadata = event.metadata();
    let mut now = String::new();
    // Writing to a text does not fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut now));
    let file = metadata.file().and_then(|path| path.rsplit('/').next()).unwrap_or_else(|| metadata.target());
    let caller = metadata.line().map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
    let mut line = Map::new();
    line.insert("ts".to_owned(), now.into());
    line.insert("level".to_owned(), level_name(*metadata.level()).into());
    line.insert("caller".to_owned(), caller.into());
    line
}

fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// Fields as values of JSON; the message is `msg`.
struct IntoMap<'a>(&'a mut Map<String, Value>);

impl IntoMap<'_> {
    fn insert(&mut self, field: &Field, value: impl Into<Value>) {
        let name = if field.name() == "message" { "msg" } else { field.name() };
        self.0.insert(name.to_owned(), value.into());
    }
}

impl Visit for IntoMap<'_> {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.insert(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.insert(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.insert(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.insert(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        self.insert(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.insert(field, format!("{value:?}"));
    }
}

#[cfg(test)]
mod tests;
