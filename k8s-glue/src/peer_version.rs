//! BGPPeer between its two versions, as the conversion webhook has it ([API-CONV-3] to [API-CONV-6]).

use serde_json::{Map, Value};

/// The fields of both versions; the others of v1beta2 are lost on the way to v1beta1 ([API-CONV-5]).
const SHARED: [&str; 12] = [
    "bfdProfile",
    "ebgpMultiHop",
    "holdTime",
    "keepaliveTime",
    "myASN",
    "nodeSelectors",
    "password",
    "peerASN",
    "peerAddress",
    "peerPort",
    "routerID",
    "sourceAddress",
];

/// A version of BGPPeer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PeerVersion {
    /// `metallb.io/v1beta1`.
    V1Beta1,
    /// `metallb.io/v1beta2`.
    V1Beta2,
}

/// The timers that v1beta1 cannot leave out.
const TIMERS: [&str; 2] = ["holdTime", "keepaliveTime"];

/// The peer in the version wanted. Metadata and status stay. A timer that is absent in v1beta1 is so in v1beta2 ([API-CONV-6]); the other
/// way it becomes `0s` ([API-CONV-4]).
#[must_use]
pub fn to_version(mut peer: Map<String, Value>, wanted: PeerVersion) -> Map<String, Value> {
    let api_version = match wanted {
        PeerVersion::V1Beta1 => "metallb.io/v1beta1",
        PeerVersion::V1Beta2 => "metallb.io/v1beta2",
    };
    let known = peer.insert("apiVersion".to_owned(), api_version.into());
    if known.is_some_and(|known| known != api_version)
        && let Some(Value::Object(spec)) = peer.get_mut("spec")
    {
        spec.retain(|name, _| SHARED.contains(&name.as_str()));
        for timer in TIMERS.iter().filter(|_| wanted == PeerVersion::V1Beta1) {
            let value = spec.entry(*timer).or_insert(Value::Null);
            if value.is_null() {
                *value = "0s".into();
            }
        }
    }
    peer
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn converted(peer: &Value, wanted: PeerVersion) -> Value {
        Value::Object(to_version(peer.as_object().unwrap().clone(), wanted))
    }

    // [API-CONV-4] to [API-CONV-6]
    #[test]
    fn shared_fields_survive_and_timers_are_made_up_for_the_old_version_alone() {
        let new = json!({"apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer", "spec": {"myASN": 1, "vrf": "red", "holdTime": null}});
        let old = json!({"apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer", "spec": {"myASN": 1, "holdTime": "0s", "keepaliveTime": "0s"}});
        assert_eq!(converted(&new, PeerVersion::V1Beta1), old);
        assert_eq!(converted(&new, PeerVersion::V1Beta2), new);
        let bare = json!({"apiVersion": "metallb.io/v1beta1", "kind": "BGPPeer", "spec": {"myASN": 1}});
        let renewed = json!({"apiVersion": "metallb.io/v1beta2", "kind": "BGPPeer", "spec": {"myASN": 1}});
        assert_eq!(converted(&bare, PeerVersion::V1Beta2), renewed);
    }
}
