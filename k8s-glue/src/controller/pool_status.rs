//! When the counters of pools are written ([POOLST-1] to [POOLST-7]): where they differ from what the object says, all pools together at
//! most once a second.

use std::time::Duration;

use lbcore::service::PoolName;
use lbcore::time::Timestamp;
use lbcore::usage::PoolUsage;
use serde_json::{Map, Value, json};

use super::status_pace::{News, StatusPace};
use crate::cluster::write::Failing;

/// Time between two looks, and so between two writes of one pool ([POOLST-6]).
const PERIOD: Duration = Duration::from_secs(1);

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PoolWrite {
    pub(crate) pool: PoolName,
    pub(crate) body: Value,
}

/// Remembers whether pools have to be looked at, and when they may be.
#[derive(Clone, Debug)]
pub(crate) struct PoolStatuses(StatusPace);

impl Default for PoolStatuses {
    fn default() -> Self {
        Self(StatusPace::new(PERIOD))
    }
}

impl PoolStatuses {
    /// Something was allocated or released, or a pool or its status changed.
    pub(crate) const fn handle_change(&mut self) {
        self.0.handle_change();
    }

    /// A write came to its end.
    pub(crate) fn handle_written(&mut self, now: Timestamp, pool: &PoolName, outcome: Result<(), Failing>) -> News {
        self.0.handle_written(now, pool.as_str(), outcome)
    }

    /// The writes that are due. `observed` gives the object of a pool, as the API server last showed it.
    pub(crate) fn poll_writes<'a>(
        &mut self,
        now: Timestamp,
        usages: impl Iterator<Item = (PoolName, PoolUsage)>,
        observed: impl Fn(&PoolName) -> Option<&'a Map<String, Value>>,
    ) -> Vec<PoolWrite> {
        if !self.0.poll(now) {
            return Vec::new();
        }
        let writes = usages.filter_map(|(pool, usage)| write_of(&pool, usage, observed(&pool)?)).collect();
        self.0.choose(writes, |write: &PoolWrite| write.pool.as_str())
    }

    /// When to come back.
    pub(crate) fn poll_timeout(&self) -> Option<Timestamp> {
        self.0.poll_timeout()
    }
}

fn write_of(pool: &PoolName, usage: PoolUsage, observed: &Map<String, Value>) -> Option<PoolWrite> {
    let status = json!({
        "assignedIPv4": usage.assigned_ipv4,
        "assignedIPv6": usage.assigned_ipv6,
        "availableIPv4": usage.available_ipv4,
        "availableIPv6": usage.available_ipv6,
    });
    let said = observed.get("status");
    let is_said = |name: &str| said.and_then(|said| said.get(name)) == status.get(name);
    if ["assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6"].iter().all(|name| is_said(name)) {
        return None;
    }
    let metadata = observed.get("metadata")?;
    let body = json!({
        "apiVersion": "metallb.io/v1beta1",
        "kind": "IPAddressPool",
        "metadata": {
            "name": pool.as_str(), "namespace": metadata.get("namespace"), "resourceVersion": metadata.get("resourceVersion"),
        },
        "status": status,
    });
    Some(PoolWrite { pool: pool.clone(), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usages() -> impl Iterator<Item = (PoolName, PoolUsage)> {
        let usage = PoolUsage { assigned_ipv4: 1, available_ipv4: 255, ..PoolUsage::default() };
        [("p".parse().unwrap(), usage)].into_iter()
    }

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_micros(millis * 1_000)
    }

    // [POOLST-2], [POOLST-6]
    #[test]
    fn a_pool_is_written_where_it_differs_and_once_a_second_at_most() {
        let object =
            json!({"metadata": {"namespace": "lb", "resourceVersion": "3"}, "spec": {"addresses": []}, "status": {}});
        let object = object.as_object().unwrap().clone();
        let mut statuses = PoolStatuses::default();
        assert!(statuses.poll_writes(at(0), usages(), |_| Some(&object)).is_empty(), "nothing has changed");
        statuses.handle_change();
        let writes = statuses.poll_writes(at(10), usages(), |_| Some(&object));
        assert_eq!(writes[0].body["status"]["availableIPv4"], 255);
        assert_eq!(writes[0].body["metadata"]["resourceVersion"], "3");
        statuses.handle_change();
        assert!(statuses.poll_writes(at(20), usages(), |_| Some(&object)).is_empty());
        assert_eq!(statuses.poll_timeout(), Some(at(1_010)));
        assert_eq!(statuses.poll_writes(at(1_010), usages(), |_| Some(&object)).len(), 1);
        assert_eq!(statuses.poll_timeout(), None);
    }

    // [POOLST-1], [POOLST-4]
    #[test]
    fn nothing_is_written_that_is_said_or_gone() {
        let said = json!({"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 255, "availableIPv6": 0});
        let object = json!({"metadata": {}, "status": said}).as_object().unwrap().clone();
        let mut statuses = PoolStatuses::default();
        statuses.handle_change();
        assert!(statuses.poll_writes(at(0), usages(), |_| Some(&object)).is_empty());
        statuses.handle_change();
        assert!(statuses.poll_writes(at(2_000), usages(), |_| None).is_empty());
    }
}
