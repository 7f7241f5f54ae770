//! Tests of the lines that roles write.

use std::sync::{Arc, Mutex, PoisonError};

use lbcore::peer::Password;
use serde_json::json;
use tracing::subscriber::with_default;

use super::*;

/// What was written, shared with the subscriber.
#[derive(Clone, Debug, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines(level: LogLevel, act: impl FnOnce()) -> Vec<Map<String, Value>> {
    let written = Written::default();
    let sink = written.clone();
    let layer = JsonLines::new(move || sink.clone()).with_filter(filter(level));
    with_default(Registry::default().with(layer), act);
    let octets = written.0.lock().unwrap().clone();
    let text = String::from_utf8(octets).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

// [LOG-1], [CLOG-1]
#[test]
fn a_line_has_time_level_caller_message_and_free_keys() {
    let lines = lines(LogLevel::Info, || {
        let span = tracing::info_span!("service", service = "shop/web");
        let _inside = span.enter();
        tracing::info!(op = "allocate", ips = ?["192.0.2.1"], count = 3, "address allocated");
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!(line["level"], "info");
    assert_eq!(line["msg"], "address allocated");
    assert_eq!(line["service"], "shop/web");
    assert_eq!((&line["op"], &line["count"]), (&json!("allocate"), &json!(3)));
    let caller = line["caller"].as_str().unwrap();
    assert!(caller.starts_with("tests.rs:"), "{caller}");
    let time = line["ts"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.len() > 20 && time.as_bytes()[10] == b'T', "{time}");
}

// [CLI-10], [LOG-2], [CLOG-4]
#[test]
fn the_level_says_what_is_written() {
    let count = |level| {
        let lines = lines(level, || {
            tracing::trace!("t");
            tracing::debug!("d");
            tracing::info!("i");
            tracing::warn!("w");
            tracing::error!("e");
        });
        lines.len()
    };
    let levels = [LogLevel::All, LogLevel::Debug, LogLevel::Info, LogLevel::Warn, LogLevel::Error, LogLevel::None];
    assert_eq!(levels.map(count), [4, 4, 3, 2, 1, 0]);
}

// [LOG-3], [CLOG-2]
#[test]
fn passwords_and_chatty_libraries_are_not_heard() {
    let lines = lines(LogLevel::All, || {
        tracing::info!(password = ?Password::new(b"hunter2".to_vec()), "peer configured");
        tracing::debug!(target: "kube_client", body = "hunter2", "request");
        tracing::error!(target: "kube_client::client::builder", "failed with error client error (Connect)");
        tracing::warn!(target: "kube_runtime::watcher", "watch list error with 403");
    });
    assert_eq!(lines.len(), 1);
    assert!(!format!("{lines:?}").contains("hunter2"), "{lines:?}");
}

#[test]
fn a_flag_without_effect_is_a_warning() {
    let lines = lines(LogLevel::Warn, || {
        tell_ineffective(&[Ineffective { flag: "ml-bindport", reason: "for a reason" }]);
    });
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((&line["flag"], &line["reason"]), (&json!("ml-bindport"), &json!("for a reason")));
}
