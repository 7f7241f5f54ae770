//! Why a decision is as it is: each with its trace of rules, the objects involved, and what would change the outcome.
//!
//! Nothing here decides. [`allocation`] lets `converge` decide on a copy of the allocator and asks the same copy about each pool;
//! [`announcement`] asks `decide`. What a trace adds is the way there, worked out with the very predicates that those use; property
//! tests hold its steps against their outcomes. Nothing given is changed.

mod allocation;
mod announcement;
mod mend;
mod pools;
mod record;
mod selectors;
mod standing;

use core::fmt;
use std::sync::Arc;

use crate::service::ServiceKey;

pub use allocation::{Allocation, allocation, allocation_at};
pub use announcement::{Announcement, PeerRoute, announcement};
pub use mend::mend_of_reason;
pub use record::why_not_kept;
pub use standing::{Standing, standing};

/// What a step says about the thing that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// The rule lets it pass.
    Passed,
    /// The rule refuses it, or passes an object over.
    Refused,
    /// This is what was chosen.
    Chosen,
    /// Worth knowing; it decides nothing.
    Noted,
}

impl Verdict {
    /// The word for people and programs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Refused => "refused",
            Self::Chosen => "chosen",
            Self::Noted => "noted",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// An object that a step looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    /// Its kind, such as `IPAddressPool`.
    pub kind: &'static str,
    /// Its namespace; `None` for nodes, and for objects of the configuration, which are all in one namespace that is not known here.
    pub namespace: Option<Arc<str>>,
    /// Its name.
    pub name: Arc<str>,
}

impl ObjectName {
    pub(crate) fn service(key: &ServiceKey) -> Self {
        Self { kind: "Service", namespace: Some(key.namespace().into()), name: key.name().into() }
    }

    /// An object without a namespace, or of the configuration.
    pub(crate) fn new(kind: &'static str, name: &str) -> Self {
        Self { kind, namespace: None, name: name.into() }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}

/// One rule that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The rule, such as `ALLOC-20`.
    pub rule: &'static str,
    /// What it says.
    pub verdict: Verdict,
    /// The objects that it looked at, the one that it is about first.
    pub objects: Vec<ObjectName>,
    /// What was found, as a sentence without an end.
    pub text: String,
    /// What would change it.
    pub fix: Option<String>,
}

/// The rules that were looked at, in that order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The steps.
    pub steps: Vec<Step>,
}

impl Trace {
    pub(crate) fn step(&mut self, rule: &'static str, verdict: Verdict, text: impl Into<String>) -> &mut Step {
        let at = self.steps.len();
        self.steps.push(Step { rule, verdict, objects: Vec::new(), text: text.into(), fix: None });
        self.steps.get_mut(at).expect("it was put there just now")
    }

    /// The steps that refuse something.
    pub fn refusals(&self) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(|step| step.verdict == Verdict::Refused)
    }
}

/// `Kind name: text`, where the text speaks of the object as `it`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.objects.first() {
            Some(object) if self.text.starts_with("it ") || self.text.starts_with("its ") => {
                write!(f, "{object}: {}", self.text)
            }
            Some(_) | None => f.write_str(&self.text),
        }
    }
}

impl Step {
    pub(crate) fn about(&mut self, kind: &'static str, name: &str) -> &mut Self {
        self.objects.push(ObjectName::new(kind, name));
        self
    }

    pub(crate) fn mend(&mut self, fix: impl Into<String>) -> &mut Self {
        self.fix = Some(fix.into());
        self
    }
}

/// Texts with commas between; of many only the first few.
pub(crate) fn list(texts: impl IntoIterator<Item = impl fmt::Display>) -> String {
    const SHOWN: usize = 8;
    let texts: Vec<String> = texts.into_iter().map(|text| text.to_string()).collect();
    let shown = texts.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match texts.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests;
