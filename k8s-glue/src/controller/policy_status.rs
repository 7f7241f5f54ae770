//! What the status of a PoolPolicy says: the use of its quotas, the addresses that wait, and those that a freeze keeps. Pure.
//!
//! It is written where it differs from what the object says, all policies together at most once a second, and read by the next controller:
//! holds go on where they were ([`holds_of`]). A hold that was begun within the last second before a controller died is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lbcore::allocator::{Hold, HoldReason, QuotaUsage};
use lbcore::config::Config;
use lbcore::policy::{KeptAddress, PoolPolicy};
use lbcore::pool::Pool;
use serde_json::{Map, Value};

use crate::crd::pool_policy::{HeldAddress, KeptAddress as ShownKept, PoolPolicyStatus, QuotaUse};

/// Time between two looks, and so between two writes of one policy.
pub(crate) const PERIOD: Duration = Duration::from_secs(1);
/// Entries of a list in a status; an object must stay below what an API server takes (1.5 MB).
const ENTRIES_MAX: usize = 5_000;

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PolicyWrite {
    pub(crate) policy: Arc<str>,
    pub(crate) body: Value,
}

/// What the policies lead to now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Effects {
    pub(crate) quotas: Vec<QuotaUsage>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) kept: Vec<KeptAddress>,
}

/// The writes that make the statuses so. `observed` gives the object of a policy, as the API server last showed it.
pub(crate) fn writes<'a>(
    config: &Config,
    effects: &Effects,
    observed: impl Fn(&str) -> Option<&'a Map<String, Value>>,
) -> Vec<PolicyWrite> {
    let statuses = statuses(config, effects);
    let writes = statuses.iter().filter_map(|(policy, status)| {
        let object = observed(policy)?;
        // Plain data always becomes a value.
        let status = serde_json::to_value(status).unwrap_or_default();
        let nothing = Value::Object(Map::new());
        if *object.get("status").unwrap_or(&nothing) == status {
            return None;
        }
        let metadata = object.get("metadata")?;
        let body = serde_json::json!({
            "apiVersion": "ferrule.io/v1alpha1",
            "kind": "PoolPolicy",
            "metadata": {
                "name": &**policy, "namespace": metadata.get("namespace"), "resourceVersion": metadata.get("resourceVersion"),
            },
            "status": status,
        });
        Some(PolicyWrite { policy: Arc::clone(policy), body })
    });
    writes.collect()
}

/// The status of each policy in force.
fn statuses(config: &Config, effects: &Effects) -> BTreeMap<Arc<str>, PoolPolicyStatus> {
    let policies = config.policies();
    let mut statuses: BTreeMap<Arc<str>, PoolPolicyStatus> =
        policies.pool_policies.iter().map(|policy| (Arc::clone(&policy.name), PoolPolicyStatus::default())).collect();
    for usage in &effects.quotas {
        let Some(status) = statuses.get_mut(&usage.policy) else { continue };
        let bounded = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        status.quotas.push(QuotaUse {
            name: usage.quota.to_string(),
            namespace: usage.namespace.as_ref().map(ToString::to_string),
            used: bounded(usage.used),
            limit: bounded(usage.limit),
        });
    }
    let pool_with = |hold: &Hold| -> Option<&Pool> {
        config.pools().values().map(|configured| &*configured.pool).find(|pool| pool.contains(hold.address))
    };
    for hold in &effects.holds {
        let has_holds = |policy: &&Arc<PoolPolicy>| policy.retention.is_some() || policy.reuse_cooldown.is_some();
        let owner = pool_with(hold).and_then(|pool| policies.of_pool(&pool.name, &pool.labels).find(has_holds));
        if let Some(status) = owner.and_then(|policy| statuses.get_mut(&policy.name)) {
            status.held.push(shown_hold(hold));
        }
    }
    for kept in &effects.kept {
        let mut owners = policies.of_pool(&kept.pool, &kept.pool_labels).filter(|policy| policy.freeze.is_some());
        if let Some(status) = owners.next().and_then(|policy| statuses.get_mut(&policy.name)) {
            status.kept.push(ShownKept {
                address: kept.address.to_string(),
                pool: kept.pool.to_string(),
                pool_labels: kept.pool_labels.clone(),
                service: kept.service.to_string(),
            });
        }
    }
    for status in statuses.values_mut() {
        // Those that wait longest are those that a restart must not forget.
        status.held.sort_by(|left, right| right.until.cmp(&left.until));
        status.held.truncate(ENTRIES_MAX);
        status.held.sort_by(|left, right| left.address.cmp(&right.address));
        status.kept.truncate(ENTRIES_MAX);
        status.quotas.truncate(ENTRIES_MAX);
    }
    statuses
}

const RETENTION: &str = "Retention";
const COOLDOWN: &str = "Cooldown";

fn shown_hold(hold: &Hold) -> HeldAddress {
    let reason = match hold.reason {
        HoldReason::Retention => RETENTION,
        HoldReason::Cooldown => COOLDOWN,
    };
    HeldAddress {
        address: hold.address.to_string(),
        service: hold.service.to_string(),
        until: hold.until.to_string(),
        reason: reason.to_owned(),
    }
}

/// The holds in the status of a policy; what cannot be read is left out.
pub(crate) fn holds_of(object: &Map<String, Value>) -> Vec<Hold> {
    let text = |entry: &Value, name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let read = |entry: &Value| -> Option<Hold> {
        Some(Hold {
            address: text(entry, "address").parse().ok()?,
            service: text(entry, "service").parse().ok()?,
            until: text(entry, "until").parse().ok()?,
            reason: if text(entry, "reason") == COOLDOWN { HoldReason::Cooldown } else { HoldReason::Retention },
        })
    };
    let held = object.get("status").and_then(|status| status.get("held")?.as_array());
    held.into_iter().flatten().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use lbcore::config::Settings;
    use lbcore::labels::Labels;
    use lbcore::time::{Timestamp, UnixTime};
    use serde_json::json;

    use super::super::pace::Pace;
    use super::*;
    use crate::cluster::kept::kept_of;
    use crate::convert;
    use crate::manifest::Manifests;

    fn config() -> Arc<Config> {
        let text = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: public}\nspec: {addresses: [192.0.2.0/24]}\n---\n\
                    apiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {name: rules}\nspec: {retention: 1h, freeze: {}, quotas: \
                    [{name: few, limit: 3}]}\n---\napiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {name: other}\nspec: \
                    {exclusions: [192.0.2.1]}\n";
        let mut manifests = Manifests::default();
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let raw = convert::objects(&manifests.documents, "metallb-system").config;
        Config::build(&raw, &Settings::default()).config.unwrap()
    }

    fn effects() -> Effects {
        let usage = |namespace: &str, used| QuotaUsage {
            policy: "rules".into(),
            quota: "few".into(),
            namespace: Some(namespace.into()),
            used,
            limit: 3,
        };
        let hold = |octet: u8, reason| Hold {
            address: std::net::IpAddr::from([192, 0, 2, octet]),
            service: "shop/gone".parse().unwrap(),
            until: UnixTime::from_secs(1_767_225_600),
            reason,
        };
        let kept = KeptAddress {
            address: "198.51.100.7".parse().unwrap(),
            pool: "before".parse().unwrap(),
            service: "shop/web".parse().unwrap(),
            pool_labels: Labels::from([("zone".to_owned(), "east".to_owned())]),
        };
        Effects {
            quotas: vec![usage("bank", 1), usage("shop", 3)],
            holds: vec![hold(9, HoldReason::Cooldown), hold(4, HoldReason::Retention)],
            kept: vec![kept],
        }
    }

    fn object(status: Option<Value>) -> Map<String, Value> {
        let mut object = json!({"metadata": {"namespace": "lb", "resourceVersion": "3"}, "spec": {}});
        if let Some(status) = status {
            object["status"] = status;
        }
        object.as_object().unwrap().clone()
    }

    #[test]
    fn a_status_says_what_is_used_what_waits_and_what_is_kept() {
        let (config, fresh) = (config(), object(None));
        let written = writes(&config, &effects(), |_| Some(&fresh));
        let names: Vec<&str> = written.iter().map(|write| &*write.policy).collect();
        assert_eq!(names, ["rules"], "a policy that leads to nothing says nothing");
        let body = &written[0].body;
        assert_eq!(body["metadata"], json!({"name": "rules", "namespace": "lb", "resourceVersion": "3"}));
        let quota =
            |namespace: &str, used: u64| json!({"name": "few", "namespace": namespace, "used": used, "limit": 3});
        let held = |address: &str, reason: &str| json!({"address": address, "service": "shop/gone", "until": "2026-01-01T00:00:00Z", "reason": reason});
        let expected = json!({
            "quotas": [quota("bank", 1), quota("shop", 3)],
            "held": [held("192.0.2.4", "Retention"), held("192.0.2.9", "Cooldown")],
            "kept": [{"address": "198.51.100.7", "pool": "before", "poolLabels": {"zone": "east"}, "service": "shop/web"}],
        });
        assert_eq!(body["status"], expected);
        // What stands there already is not written again.
        let said = object(Some(expected));
        let rules = |policy: &str| (policy == "rules").then_some(&said);
        assert_eq!(writes(&config, &effects(), rules), []);
        assert_eq!(writes(&config, &effects(), |_| None), [], "a policy that is gone");
        assert_eq!(writes(&config, &Effects::default(), rules).len(), 1, "what is over is taken out");
    }

    #[test]
    fn the_next_controller_reads_what_was_written() {
        let (config, fresh) = (config(), object(None));
        let written = writes(&config, &effects(), |_| Some(&fresh));
        let said = object(Some(written[0].body["status"].clone()));
        let mut expected = effects().holds;
        expected.sort();
        assert_eq!(holds_of(&said), expected);
        assert_eq!(kept_of(&said), effects().kept);
        let strange = object(Some(json!({"held": [{"address": "x"}, 7], "kept": {}})));
        assert!(holds_of(&strange).is_empty() && kept_of(&strange).is_empty() && holds_of(&fresh).is_empty());
    }

    #[test]
    fn policies_are_looked_at_once_a_second_at_most() {
        let at = |millis: u64| Timestamp::from_micros(millis * 1_000);
        let mut statuses = Pace::new(PERIOD);
        assert!(!statuses.poll(at(0)));
        statuses.handle_change();
        assert!(statuses.poll(at(10)) && !statuses.poll(at(20)));
        statuses.handle_change();
        assert!(!statuses.poll(at(20)));
        assert_eq!(statuses.poll_timeout(), Some(at(1_010)));
        assert!(statuses.poll(at(1_010)));
        assert_eq!(statuses.poll_timeout(), None);
    }
}
