//! The files read again while the daemon runs, and when a change is held back because it looks like half of one.

use std::time::Duration;

use lbcore::config::Severity;
use tokio::task;
use tokio::time::Instant;

use super::Host;
use crate::cluster::clock::unix_now;
use crate::report::{Finding, Report};

/// A file that was cut short in place is looked at again after this time: a writer that truncates it first is done by then.
const HOLD: Duration = Duration::from_secs(5);

/// How a change of the files is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// What looks like half of a change waits.
    Patient,
    /// Somebody asked for it.
    AtOnce,
}

impl Host {
    pub(super) async fn reload(&mut self, haste: Haste) {
        let held_until = self.held_until.take();
        let source = self.source.clone();
        let Ok((input, report)) = task::spawn_blocking(move || source.read()).await else { return };
        let Some(mut input) = input else {
            if self.said.problems.as_ref() != Some(&report) {
                tracing::error!("configuration has errors; the last good one stays in force");
            }
            self.say_problems(&report);
            return;
        };
        let cut = self.input.cut_short(&input);
        let is_due = held_until.is_some_and(|until| until <= Instant::now());
        if let Some(file) = cut.first().filter(|_| haste == Haste::Patient && !is_due) {
            if held_until.is_none() {
                tracing::warn!(
                    %file,
                    "a file that was written in place has lost all its Services or pools; that is held back for {HOLD:?}, as it may be half \
                     written. Replace files by renaming (mv), so that nobody reads half of one; SIGHUP takes it at once"
                );
            }
            self.held_until = held_until.or_else(|| Some(Instant::now() + HOLD));
            return;
        }
        self.say_problems(&report);
        input.keep(Some(&self.input.config), &self.input.kept, &self.ledger.records());
        self.ledger.tick(unix_now());
        let config = (!input.allocates_as(&self.input)).then_some(&*input.config);
        match self.ledger.replace_input(config, input.states()) {
            Ok(outcome) => self.tell_all(&outcome.reports),
            Err(error) => {
                tracing::error!(%error, "pools were refused; the last good configuration stays in force");
                return;
            }
        }
        self.input = input;
        // Every Service is looked at anew: any of its facts may differ.
        self.take_circumstances();
        self.announced.clear();
        tracing::info!("configuration was read");
    }

    pub(super) fn say_problems(&mut self, report: &Report) {
        let known: Vec<Finding> = self.said.problems.take().map(|known| known.findings().to_vec()).unwrap_or_default();
        for finding in report.findings().iter().filter(|finding| !known.contains(finding)) {
            match finding.severity {
                Severity::Error => tracing::error!("{finding}"),
                Severity::Warning => tracing::warn!("{finding}"),
            }
        }
        self.said.problems = Some(report.clone());
    }
}
