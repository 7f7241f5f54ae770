//! A vector as its file has it.

use std::path::Path;

use k8s_glue::manifest::read_paths;
use serde_json::{Map, Value};

/// What is done with the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Convert,
    Plan,
    Sequence,
    Validate,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Convert => "convert",
            Self::Plan => "plan",
            Self::Sequence => "sequence",
            Self::Validate => "validate",
        }
    }
}

/// What a step of a sequence does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Apply(String),
    Delete(String),
    Restart,
    Check,
}

/// A step with what must hold after it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) action: Action,
    pub(crate) expect: Map<String, Value>,
}

#[derive(Clone, Debug)]
pub(crate) struct Vector {
    pub(crate) kind: Kind,
    pub(crate) description: String,
    pub(crate) options: Map<String, Value>,
    pub(crate) input: String,
    pub(crate) steps: Vec<Step>,
    pub(crate) expect: Map<String, Value>,
}

impl Vector {
    pub(crate) fn read(file: &Path) -> Result<Self, String> {
        let manifests = read_paths(&[file.to_owned()]);
        if let Some(malformed) = manifests.malformed.first() {
            return Err(format!("the vector cannot be read: {malformed:?}"));
        }
        let [document] = manifests.documents.as_slice() else { return Err("a vector is one document".to_owned()) };
        let fields = &document.value;
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let kind = match text("kind").as_str() {
            "convert" => Kind::Convert,
            "plan" => Kind::Plan,
            "sequence" => Kind::Sequence,
            "validate" => Kind::Validate,
            other => return Err(format!("there is no kind of vector {other:?}")),
        };
        let steps = fields.get("steps").and_then(Value::as_array).cloned().unwrap_or_default();
        Ok(Self {
            kind,
            description: text("description"),
            options: map(fields.get("options")),
            input: text("input"),
            steps: steps.iter().map(step).collect::<Result<_, _>>()?,
            expect: map(fields.get("expect")),
        })
    }

    pub(crate) fn option(&self, name: &str) -> &str {
        self.options.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

fn map(value: Option<&Value>) -> Map<String, Value> {
    value.and_then(Value::as_object).cloned().unwrap_or_default()
}

fn step(value: &Value) -> Result<Step, String> {
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
    let action = match (text("apply"), text("delete"), value.get("restart"), value.get("check")) {
        (Some(objects), None, None, None) => Action::Apply(objects),
        (None, Some(object), None, None) => Action::Delete(object),
        (None, None, Some(_), None) => Action::Restart,
        (None, None, None, Some(_)) => Action::Check,
        _ => return Err(format!("a step does one thing: {value}")),
    };
    Ok(Step { action, expect: map(value.get("expect")) })
}
