//! What was seen of a fault, what is demanded of it, and both as text.

use std::fmt::Write as _;
use std::time::Duration;

use lab::outage::{Report, milliseconds};

/// The longest outage of a takeover: the timeout of 700 ms, a claim, and what a busy machine adds to threads that have to be woken.
pub(crate) const TAKEOVER: Duration = Duration::from_millis(1_500);

/// What the clients may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    /// Every request is answered.
    Whole,
    /// Addresses move to another node within [`TAKEOVER`].
    TakenOver,
}

/// One fault.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) fault: String,
    pub(crate) demanded: Traffic,
    /// What each client saw.
    pub(crate) seen: Vec<Report>,
    /// What else was measured.
    pub(crate) measured: Vec<String>,
    /// Moves that belong to the fault.
    pub(crate) moved: usize,
    /// What must not be.
    pub(crate) wrong: Vec<String>,
}

impl Row {
    fn outage(&self) -> Duration {
        self.seen.iter().map(|seen| seen.outage).max().unwrap_or_default()
    }

    fn recovered(&self) -> Duration {
        self.seen.iter().map(|seen| seen.recovered).max().unwrap_or_default()
    }

    /// Every demand that does not hold.
    pub(crate) fn broken(&self) -> Vec<String> {
        let failed: usize = self.seen.iter().map(|seen| seen.failed).sum();
        let traffic = match self.demanded {
            Traffic::Whole if failed > 0 => Some(format!("{failed} requests failed")),
            Traffic::TakenOver if self.outage() > TAKEOVER => Some(format!("an outage of {:?}", self.outage())),
            Traffic::Whole | Traffic::TakenOver => None,
        };
        traffic.into_iter().chain(self.wrong.iter().cloned()).map(|text| format!("{}: {text}", self.fault)).collect()
    }

    /// For who waits beside it.
    pub(crate) fn in_words(&self, labels: &[&str]) -> String {
        let mut text = String::new();
        for (label, seen) in labels.iter().zip(&self.seen) {
            // A String takes every write.
            let _ = writeln!(
                text,
                "  {label:<14} {:>6} requests, {:>4} failed, outage {:>5} ms, back after {:>5} ms",
                seen.requests,
                seen.failed,
                milliseconds(seen.outage),
                milliseconds(seen.recovered)
            );
        }
        for line in self.measured.iter().chain(&self.wrong) {
            let _ = writeln!(text, "  {line}");
        }
        let _ = write!(text, "  moved: {}", self.moved);
        text
    }
}

/// The table of all faults.
pub(crate) fn markdown(labels: &[&str], rows: &[Row]) -> String {
    let mut text = format!(
        "\n| fault | requests | failed: {} | longest outage | all answered after | moved | wrong |\n|",
        labels.join(" | ")
    );
    text.push_str(&"---|".repeat(labels.len() + 6));
    for row in rows {
        let requests: usize = row.seen.iter().map(|seen| seen.requests).sum();
        let failed: Vec<String> = row.seen.iter().map(|seen| seen.failed.to_string()).collect();
        let wrong = if row.wrong.is_empty() { "nothing".to_owned() } else { row.wrong.join("; ") };
        let _ = write!(
            text,
            "\n| {} | {requests} | {} | {} ms | {} ms | {} | {wrong} |",
            row.fault,
            failed.join(" | "),
            milliseconds(row.outage()),
            milliseconds(row.recovered()),
            row.moved
        );
    }
    text.push('\n');
    for row in rows.iter().filter(|row| !row.measured.is_empty()) {
        let _ = write!(text, "\n- {}: {}.", row.fault, row.measured.join("; "));
    }
    text.push('\n');
    text
}
