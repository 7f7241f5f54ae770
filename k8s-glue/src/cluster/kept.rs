//! What the status of a PoolPolicy says of the addresses that a freeze keeps: read alike by controller and speakers. Pure.

use lbcore::policy::KeptAddress;
use serde_json::{Map, Value};

/// The kept addresses in the status of a policy; what cannot be read is left out.
pub(crate) fn kept_of(object: &Map<String, Value>) -> Vec<KeptAddress> {
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = |entry: &Value| -> Option<KeptAddress> {
        let labels = entry.get("poolLabels").and_then(Value::as_object);
        let label = |(name, value): (&String, &Value)| Some((name.clone(), value.as_str()?.to_owned()));
        Some(KeptAddress {
            address: text(entry, "address").parse().ok()?,
            pool: text(entry, "pool").parse().ok()?,
            service: text(entry, "service").parse().ok()?,
            pool_labels: labels.into_iter().flatten().filter_map(label).collect(),
        })
    };
    let kept = object.get("status").and_then(|status| status.get("kept")?.as_array());
    kept.into_iter().flatten().filter_map(read).collect()
}
