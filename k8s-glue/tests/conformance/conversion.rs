//! Old forms against the resources that they shall become.

use k8s_glue::convert::parse_duration;
use k8s_glue::legacy;
use k8s_glue::peer_version::{PeerVersion, to_version};
use lbcore::config::Severity;
use serde_json::{Map, Value, json};

use crate::comparison::Differences;
use crate::vector::Vector;
use crate::world::read;

pub(crate) fn compare(vector: &Vector) -> Differences {
    let (found, errors) = match vector.option("to") {
        "" => {
            let conversion = legacy::convert(read(&vector.input), "metallb-system");
            let errors = conversion.report.findings().iter().filter(|finding| finding.severity == Severity::Error);
            let categories: Vec<&str> = errors.map(|finding| finding.category).collect();
            (conversion.resources, categories)
        }
        wanted => {
            let wanted = if wanted == "v1beta1" { PeerVersion::V1Beta1 } else { PeerVersion::V1Beta2 };
            let peers = read(&vector.input).documents.into_iter();
            (peers.map(|document| Value::Object(to_version(document.value, wanted))).collect(), Vec::new())
        }
    };
    match (vector.expect.get("error").and_then(Value::as_str), vector.expect.get("resources").and_then(Value::as_str)) {
        (Some(error), None) if errors.contains(&error) && found.is_empty() => Differences::new(),
        (Some(error), None) => vec![format!("expected {error}, found {errors:?} {found:?}")],
        (None, Some(resources)) => {
            let expected = read(resources).documents.into_iter().map(|document| Value::Object(document.value));
            let (mut expected, mut found): (Vec<String>, Vec<String>) =
                (expected.map(normal).collect(), found.into_iter().map(normal).collect());
            expected.sort();
            found.sort();
            let fits = expected == found && errors.is_empty();
            if fits { Differences::new() } else { vec![format!("expected {expected:#?}, found {found:#?} {errors:?}")] }
        }
        _ => vec!["a conversion expects resources or an error".to_owned()],
    }
}

/// Without status and what equals absent, keys in order, durations in one spelling.
fn normal(resource: Value) -> String {
    let mut resource = pruned(resource);
    if let Value::Object(map) = &mut resource {
        map.remove("status");
    }
    resource.to_string()
}

fn pruned(value: Value) -> Value {
    let empty = [json!(null), json!(""), json!([]), json!({}), json!(false), json!(0)];
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().map(|(key, value)| (key, pruned(value))).collect();
            entries.retain(|(_, value)| !empty.contains(value));
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(Map::from_iter(entries))
        }
        Value::Array(items) => Value::Array(items.into_iter().map(pruned).collect()),
        Value::String(text) => match parse_duration(&text) {
            Some(duration) => json!(format!("{} ns", duration.as_nanos())),
            None => json!(text),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}
