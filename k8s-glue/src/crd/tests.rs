//! Tests of the definitions: their form, and the copies in `deploy/`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::*;

/// The kinds that MetalLB does not have.
const OWN: [&str; 2] = ["AddressReservation", "PoolPolicy"];

/// The schema of a version, below `properties` of the root.
fn schema(kind: &str, version: &str, below: &str) -> Value {
    let all = definitions();
    let definition = all.iter().find(|one| one.kind == kind).unwrap();
    let versions = definition.object["spec"]["versions"].as_array().unwrap();
    let version = versions.iter().find(|one| one["name"] == version).unwrap();
    version["schema"]["openAPIV3Schema"].pointer(below).cloned().unwrap_or_default()
}

fn spec(kind: &str, field: &str) -> Value {
    let version = match kind {
        "BGPPeer" => "v1beta2",
        own if OWN.contains(&own) => "v1alpha1",
        _ => "v1beta1",
    };
    let mut found = schema(kind, version, &format!("/properties/spec/properties/{field}"));
    if let Some(found) = found.as_object_mut() {
        found.remove("description");
    }
    found
}

// [API-GEN-1], [API-GEN-2]
#[test]
fn all_kinds_are_namespaced_and_have_a_status_that_is_written_apart() {
    let all = definitions();
    let names: Vec<&str> = all.iter().map(|one| one.object["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "addressreservations.ferrule.io",
            "bfdprofiles.metallb.io",
            "bgpadvertisements.metallb.io",
            "bgppeers.metallb.io",
            "communities.metallb.io",
            "configurationstates.metallb.io",
            "ipaddresspools.metallb.io",
            "l2advertisements.metallb.io",
            "poolpolicies.ferrule.io",
            "servicebgpstatuses.metallb.io",
            "servicel2statuses.metallb.io",
        ]
    );
    for one in &all {
        let spec = &one.object["spec"];
        let group = if OWN.contains(&one.kind.as_str()) { "ferrule.io" } else { "metallb.io" };
        assert_eq!((&spec["scope"], &spec["group"]), (&Value::from("Namespaced"), &Value::from(group)));
        assert_eq!(spec["names"]["singular"], one.kind.to_lowercase());
        assert_eq!(spec["names"]["listKind"], format!("{}List", one.kind));
        assert!(spec["names"].get("shortNames").is_none() && spec["names"].get("categories").is_none());
        let versions = spec["versions"].as_array().unwrap();
        assert!(versions.iter().all(|version| version["subresources"]["status"].is_object()));
        let stored: Vec<_> = versions.iter().filter(|version| version["storage"] == true).collect();
        assert_eq!(stored.len(), 1, "{}", one.kind);
        assert_eq!(stored[0]["served"], true, "{}", one.kind);
    }
}

// [API-CONV-1]
#[test]
fn the_older_peer_is_described_and_not_served() {
    let all = definitions();
    let peer = all.iter().find(|one| one.kind == "BGPPeer").unwrap();
    let versions = peer.object["spec"]["versions"].as_array().unwrap();
    let facts: Vec<_> =
        versions.iter().map(|one| (one["name"].as_str().unwrap(), &one["served"], &one["storage"])).collect();
    assert_eq!(
        facts,
        [("v1beta1", &Value::from(false), &Value::from(false)), ("v1beta2", &Value::from(true), &Value::from(true))]
    );
    assert_eq!(versions[0]["deprecated"], true);
    assert!(versions[0]["deprecationWarning"].as_str().unwrap().contains("v1beta2"));
    let required = schema("BGPPeer", "v1beta1", "/properties/spec/required");
    assert_eq!(required, serde_json::json!(["myASN", "peerASN", "peerAddress"]));
}

// [API-GEN-3], [API-PEER-1]
#[test]
fn only_what_upstream_requires_is_required() {
    for (kind, version, root, spec) in [
        ("BFDProfile", "v1beta1", "null", "null"),
        ("BGPAdvertisement", "v1beta1", "null", "null"),
        ("BGPPeer", "v1beta2", "null", r#"["myASN"]"#),
        ("Community", "v1beta1", "null", "null"),
        ("ConfigurationState", "v1beta1", "null", "null"),
        ("IPAddressPool", "v1beta1", r#"["spec"]"#, r#"["addresses"]"#),
        ("L2Advertisement", "v1beta1", "null", "null"),
        ("ServiceBGPStatus", "v1beta1", "null", "null"),
        ("ServiceL2Status", "v1beta1", "null", "null"),
    ] {
        assert_eq!(schema(kind, version, "/required").to_string(), root, "{kind}");
        assert_eq!(schema(kind, version, "/properties/spec/required").to_string(), spec, "{kind}");
    }
    assert_eq!(schema("ConfigurationState", "v1beta1", "/properties/spec"), Value::Null);
    let status = schema("IPAddressPool", "v1beta1", "/properties/status/required");
    assert_eq!(status, serde_json::json!(["assignedIPv4", "assignedIPv6", "availableIPv4", "availableIPv6"]));
}

// Sections 2.2 to 2.8 of the specification, and [D162-1].
#[test]
fn fields_have_the_bounds_and_defaults_of_upstream() {
    for (kind, field, expected) in [
        ("IPAddressPool", "addresses", r#"{"items":{"type":"string"},"type":"array"}"#),
        ("IPAddressPool", "autoAssign", r#"{"default":true,"type":"boolean"}"#),
        ("IPAddressPool", "avoidBuggyIPs", r#"{"default":false,"type":"boolean"}"#),
        ("IPAddressPool", "serviceAllocation/properties/priority", r#"{"type":"integer"}"#),
        ("BGPAdvertisement", "aggregationLength", r#"{"default":32,"format":"int32","minimum":1,"type":"integer"}"#),
        ("BGPAdvertisement", "aggregationLengthV6", r#"{"default":128,"format":"int32","type":"integer"}"#),
        ("BGPAdvertisement", "asPathPrepend", r#"{"format":"int32","maximum":10,"minimum":1,"type":"integer"}"#),
        ("BGPAdvertisement", "localPref", r#"{"format":"int64","maximum":4294967295,"minimum":0,"type":"integer"}"#),
        ("BGPPeer", "myASN", r#"{"format":"int64","maximum":4294967295,"minimum":0,"type":"integer"}"#),
        ("BGPPeer", "localASN", r#"{"format":"int64","maximum":4294967295,"minimum":1,"type":"integer"}"#),
        ("BGPPeer", "dynamicASN", r#"{"enum":["internal","external"],"type":"string"}"#),
        ("BGPPeer", "peerPort", r#"{"default":179,"maximum":16384,"minimum":1,"type":"integer"}"#),
        ("BGPPeer", "disableMP", r#"{"default":false,"type":"boolean"}"#),
        ("BGPPeer", "dualStackAddressFamily", r#"{"default":false,"type":"boolean"}"#),
        ("BGPPeer", "ebgpMultiHop", r#"{"type":"boolean"}"#),
        ("BGPPeer", "peerAddress", r#"{"type":"string"}"#),
        ("BFDProfile", "receiveInterval", r#"{"format":"int32","maximum":60000,"minimum":10,"type":"integer"}"#),
        ("BFDProfile", "detectMultiplier", r#"{"format":"int32","maximum":255,"minimum":2,"type":"integer"}"#),
        ("BFDProfile", "minimumTtl", r#"{"format":"int32","maximum":254,"minimum":1,"type":"integer"}"#),
        ("L2Advertisement", "interfaces", r#"{"items":{"type":"string"},"type":"array"}"#),
    ] {
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(as_sorted(&spec(kind, field)), as_sorted(&expected), "{kind} {field}");
    }
    let weight = spec("L2Advertisement", "preferredNodeSelectors/items/properties/weight");
    assert_eq!((weight["minimum"].as_i64(), weight["maximum"].as_i64()), (Some(1), Some(100)));
    let preference = spec("L2Advertisement", "preferredNodeSelectors/items");
    assert_eq!(preference["required"], serde_json::json!(["preference", "weight"]));
}

/// The value as text with sorted keys, whole numbers written as such.
fn as_sorted(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: std::collections::BTreeMap<_, _> =
                map.iter().map(|(key, value)| (key, as_sorted(value))).collect();
            format!("{sorted:?}")
        }
        Value::Number(number) => number.as_f64().unwrap_or_default().to_string(),
        Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) => value.to_string(),
    }
}

// [API-GEN-9]: the API server takes structural schemas only, and prunes what they do not name.
#[test]
fn schemas_are_structural() {
    fn walk(path: &str, schema: &Value) {
        let map = schema.as_object().unwrap_or_else(|| panic!("{path}: {schema}"));
        assert!(map.get("type").is_some_and(Value::is_string), "{path}: {schema}");
        for forbidden in
            ["$ref", "anyOf", "oneOf", "allOf", "not", "nullable", "title", "$schema", "definitions", "$defs"]
        {
            assert!(!map.contains_key(forbidden), "{path}: {forbidden}");
        }
        for (name, below) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
            walk(&format!("{path}.{name}"), below);
        }
        for name in ["items", "additionalProperties"] {
            if let Some(below) = map.get(name) {
                walk(&format!("{path}.{name}"), below);
            }
        }
    }
    for one in definitions() {
        for version in one.object["spec"]["versions"].as_array().unwrap() {
            walk(&one.kind, &version["schema"]["openAPIV3Schema"]);
        }
    }
}

// [API-GEN-5]
#[test]
fn columns_are_those_of_upstream() {
    let columns = |kind: &str| -> Vec<String> {
        let all = definitions();
        let object = &all.iter().find(|one| one.kind == kind).unwrap().object;
        let version = object["spec"]["versions"].as_array().unwrap().last().unwrap().clone();
        let columns = version["additionalPrinterColumns"].as_array().cloned().unwrap_or_default();
        let shown = columns.iter().map(|column| {
            let priority = column.get("priority").and_then(Value::as_i64).unwrap_or_default();
            format!(
                "{} {} {} {priority}",
                column["name"].as_str().unwrap(),
                column["type"].as_str().unwrap(),
                column["jsonPath"].as_str().unwrap()
            )
        });
        shown.collect()
    };
    assert_eq!(
        columns("L2Advertisement"),
        [
            "IPAddressPools string .spec.ipAddressPools 0",
            "IPAddressPool Selectors string .spec.ipAddressPoolSelectors 0",
            "Interfaces string .spec.interfaces 0",
            "Node Selectors string .spec.nodeSelectors 10",
        ]
    );
    assert_eq!(columns("BGPPeer")[1], "ASN string .spec.peerASN 0");
    assert_eq!(columns("ConfigurationState")[2], "Age date .metadata.creationTimestamp 0");
    assert_eq!(columns("Community"), Vec::<String>::new());
    let counts = definitions().iter().map(|one| columns(&one.kind).len()).collect::<Vec<_>>();
    assert_eq!(counts, [6, 4, 4, 4, 0, 3, 3, 4, 6, 3, 3]);
}

#[test]
fn kinds_of_our_own_refuse_what_can_be_seen_without_other_objects() {
    assert_eq!(schema("AddressReservation", "v1alpha1", "/required"), serde_json::json!(["spec"]));
    assert_eq!(schema("PoolPolicy", "v1alpha1", "/required"), Value::Null);
    let rules = schema("AddressReservation", "v1alpha1", "/properties/spec/x-kubernetes-validations");
    let messages: Vec<&str> = rules.as_array().unwrap().iter().map(|rule| rule["message"].as_str().unwrap()).collect();
    assert_eq!(messages.len(), 3, "{messages:?}");
    for (field, expected) in [
        ("quotas/items/properties/scope", r#"{"default":"Namespace","enum":["Namespace","Together"],"type":"string"}"#),
        ("quotas/items/properties/limit", r#"{"format":"int64","minimum":0,"type":"integer"}"#),
        ("quotas/items/required", r#"["limit"]"#),
        ("exclusions", r#"{"items":{"type":"string"},"type":"array"}"#),
    ] {
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(as_sorted(&spec("PoolPolicy", field)), as_sorted(&expected), "{field}");
    }
    for field in ["retention", "reuseCooldown"] {
        let pattern = regex::Regex::new(spec("PoolPolicy", field)["pattern"].as_str().unwrap()).unwrap();
        for (text, is_one) in [("24h", true), ("1h30m", true), ("1.5s", true), ("0", true), ("1d", false), ("", false)]
        {
            assert_eq!(pattern.is_match(text), is_one, "{field} {text}");
            assert_eq!(crate::convert::parse_duration(text).is_some(), is_one, "{field} {text}");
        }
    }
}

// The password of a peer never prints ([LOG-3]).
#[test]
fn a_password_prints_as_stars() {
    assert_eq!(format!("{:?}", bgp_peer::PeerPassword("hunter2".to_owned())), "***");
}

#[test]
fn one_kind_is_found_by_kind_or_plural() {
    let wanted = |name: &str| run(&CrdsArgs { kind: Some(name.to_owned()), into: None });
    assert!(matches!(wanted("nonsense"), Err(CrdError::UnknownKind { known, .. }) if known.contains("IPAddressPool")));
}

#[test]
fn the_copies_in_deploy_are_fresh() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/crds");
    let mend = "mend it with: make crds";
    let mut expected: BTreeSet<String> = BTreeSet::from(["kustomization.yaml".to_owned()]);
    for one in definitions() {
        let name = format!("{}.yaml", one.plural);
        let found = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert!(found == one.to_yaml(), "deploy/crds/{name} is stale; {mend}");
        expected.insert(name);
    }
    let found: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert_eq!(found, expected, "deploy/crds/ holds other files; {mend}");
}
