//! The resources on a real API server: examples of upstream's documentation are taken, and what the schemas refuse is refused, with the
//! reason.

use lab::cluster::INSTALL_NAMESPACE;

use crate::Scenario;
use crate::rig::{Checked, Rig, check};

pub(crate) const ALL: &[Scenario] = &[
    ("documented_objects_are_taken", documented_objects_are_taken),
    ("what_a_schema_refuses_is_refused_with_the_reason", refusals),
    ("rules_about_changes_hold", rules_about_changes),
    ("defaults_are_filled_in_and_unknown_fields_are_pruned", defaults),
    ("columns_are_shown", columns),
];

/// Kind, version, name, spec.
type Example = (&'static str, &'static str, &'static str, &'static str);

const DOCUMENTED: &[Example] = &[
    (
        "IPAddressPool",
        "v1beta1",
        "first-pool",
        "{addresses: [192.168.10.0/24, 192.168.9.1-192.168.9.5, \"fc00:f853:0ccd:e799::/124\"]}",
    ),
    ("IPAddressPool", "v1beta1", "cheap", "{addresses: [192.168.144.0/20], autoAssign: false, avoidBuggyIPs: true}"),
    (
        "IPAddressPool",
        "v1beta1",
        "for-tenants",
        "{addresses: [42.176.25.64/30], serviceAllocation: {priority: 50, namespaces: [a, b], namespaceSelectors: [{matchLabels: {foo: \
         bar}}], serviceSelectors: [{matchExpressions: [{key: app, operator: In, values: [bar]}]}]}}",
    ),
    ("L2Advertisement", "v1beta1", "example", "{ipAddressPools: [first-pool]}"),
    ("L2Advertisement", "v1beta1", "everything", "{}"),
    (
        "L2Advertisement",
        "v1beta1",
        "chosen",
        "{ipAddressPoolSelectors: [{matchExpressions: [{key: zone, operator: In, values: [east]}]}], interfaces: [eth3], nodeSelectors: \
         [{matchLabels: {kubernetes.io/hostname: NodeA}}], serviceSelectors: [{matchLabels: {a: b}}], preferredNodeSelectors: [{weight: \
         100, preference: {matchLabels: {rack: one}}}]}",
    ),
    (
        "BGPAdvertisement",
        "v1beta1",
        "local",
        "{ipAddressPools: [first-pool], aggregationLength: 32, localPref: 100, communities: [65535:65282]}",
    ),
    (
        "BGPAdvertisement",
        "v1beta1",
        "external",
        "{ipAddressPools: [first-pool], aggregationLength: 24, aggregationLengthV6: 64, asPathPrepend: 10}",
    ),
    ("BGPAdvertisement", "v1beta1", "everything", "{}"),
    (
        "BGPAdvertisement",
        "v1beta1",
        "for-services",
        "{aggregationLength: 32, aggregationLengthV6: 128, serviceSelectors: [{matchLabels: {a: b}}], peers: [tor], localPref: 4294967295}",
    ),
    (
        "Community",
        "v1beta1",
        "communities",
        "{communities: [{name: vpn-only, value: \"1234:1\"}, {name: NO_ADVERTISE, value: 65535:65282}]}",
    ),
    ("BGPPeer", "v1beta2", "sample", "{myASN: 64500, peerASN: 64501, peerAddress: 10.0.0.1}"),
    (
        "BGPPeer",
        "v1beta2",
        "full",
        "{myASN: 64512, dynamicASN: external, localASN: 64600, peerAddress: \"2001:db8::1\", sourceAddress: \"2001:db8::2\", peerPort: 180, \
         holdTime: 180s, keepaliveTime: 60s, connectTime: 10s, routerID: 10.10.10.10, nodeSelectors: [{matchLabels: {rack: frontend}}], \
         passwordSecret: {name: bgp, namespace: metallb-system}, bfdProfile: full, enableGracefulRestart: true, ebgpMultiHop: true, vrf: \
         red, disableMP: false, dualStackAddressFamily: true}",
    ),
    (
        "BGPPeer",
        "v1beta2",
        "unnumbered",
        "{myASN: 4294967295, peerASN: 4294967295, interface: eth0, password: hunter2}",
    ),
    (
        "BFDProfile",
        "v1beta1",
        "full",
        "{receiveInterval: 10, transmitInterval: 60000, detectMultiplier: 255, echoInterval: 50, echoMode: false, passiveMode: true, \
         minimumTtl: 254}",
    ),
    ("BFDProfile", "v1beta1", "empty", "{}"),
];

fn text((kind, version, name, spec): Example) -> String {
    format!(
        "{{apiVersion: metallb.io/{version}, kind: {kind}, metadata: {{name: {name}, namespace: {INSTALL_NAMESPACE}}}, spec: {spec}}}"
    )
}

/// What the API server says to an object that it would only try.
fn tried(rig: &Rig, object: &str) -> Result<(), String> {
    // Unknown fields are refused, so that a field that is missing in a schema cannot hide.
    let arguments = ["create", "--dry-run=server", "--validate=strict"];
    rig.cluster.admin().feed(&arguments, object).map(drop).map_err(|error| error.to_string())
}

// Sections 2.2 to 2.8 of the specification.
fn documented_objects_are_taken(rig: &mut Rig) -> Checked {
    for example in DOCUMENTED.iter().copied() {
        tried(rig, &text(example)).map_err(|error| format!("{} {}: {error}", example.0, example.2))?;
    }
    // [API-GEN-3]: `spec` may be missing but for pools.
    for kind in ["L2Advertisement", "BGPAdvertisement", "BFDProfile", "Community"] {
        let without = format!(
            "{{apiVersion: metallb.io/v1beta1, kind: {kind}, metadata: {{name: x, namespace: {INSTALL_NAMESPACE}}}}}"
        );
        tried(rig, &without)?;
    }
    Ok(())
}

// [API-PEER-3], [API-BGPADV-2], [API-L2-6], [CFG-27], [D162-1]
fn refusals(rig: &mut Rig) -> Checked {
    let peer = |more: &str| format!("{{myASN: 64500, peerASN: 64501, peerAddress: 10.0.0.1, {more}}}");
    let cases: &[(&str, String, &[&str])] = &[
        ("IPAddressPool", "{}".to_owned(), &["spec.addresses", "Required"]),
        ("IPAddressPool", "{addresses: 192.0.2.0/24}".to_owned(), &["spec.addresses", "array"]),
        (
            "L2Advertisement",
            "{preferredNodeSelectors: [{weight: 0, preference: {}}]}".to_owned(),
            &["weight", "greater than or equal to 1"],
        ),
        (
            "L2Advertisement",
            "{preferredNodeSelectors: [{weight: 101, preference: {}}]}".to_owned(),
            &["weight", "less than or equal to 100"],
        ),
        ("L2Advertisement", "{preferredNodeSelectors: [{weight: 1}]}".to_owned(), &["preference", "Required"]),
        (
            "BGPAdvertisement",
            "{aggregationLength: 0}".to_owned(),
            &["spec.aggregationLength", "greater than or equal to 1"],
        ),
        ("BGPAdvertisement", "{asPathPrepend: 0}".to_owned(), &["spec.asPathPrepend", "greater than or equal to 1"]),
        ("BGPAdvertisement", "{asPathPrepend: 11}".to_owned(), &["spec.asPathPrepend", "less than or equal to 10"]),
        ("BGPAdvertisement", "{localPref: -1}".to_owned(), &["spec.localPref", "greater than or equal to 0"]),
        (
            "BGPAdvertisement",
            "{aggregationLength: 24, serviceSelectors: [{matchLabels: {a: b}}]}".to_owned(),
            &["aggregationLength must be 32"],
        ),
        ("BGPPeer", "{peerASN: 1, peerAddress: 10.0.0.1}".to_owned(), &["spec.myASN", "Required"]),
        ("BGPPeer", peer("localASN: 0"), &["spec.localASN", "greater than or equal to 1"]),
        (
            "BGPPeer",
            "{myASN: 4294967296, peerASN: 1, peerAddress: 10.0.0.1}".to_owned(),
            &["spec.myASN", "less than or equal to"],
        ),
        ("BGPPeer", peer("dynamicASN: sometimes"), &["spec.dynamicASN", "Unsupported value"]),
        ("BGPPeer", peer("peerPort: 0"), &["spec.peerPort", "greater than or equal to 1"]),
        ("BGPPeer", peer("peerPort: 16385"), &["spec.peerPort", "less than or equal to 16384"]),
        ("BGPPeer", peer("connectTime: 0s"), &["spec.connectTime", "between 1 seconds to 65535"]),
        ("BGPPeer", peer("connectTime: 65536s"), &["spec.connectTime", "between 1 seconds to 65535"]),
        ("BGPPeer", peer("connectTime: 1500ms"), &["spec.connectTime", "whole number of seconds"]),
        ("BFDProfile", "{receiveInterval: 9}".to_owned(), &["spec.receiveInterval", "greater than or equal to 10"]),
        ("BFDProfile", "{echoInterval: 60001}".to_owned(), &["spec.echoInterval", "less than or equal to 60000"]),
        ("BFDProfile", "{detectMultiplier: 1}".to_owned(), &["spec.detectMultiplier", "greater than or equal to 2"]),
        ("BFDProfile", "{minimumTtl: 255}".to_owned(), &["spec.minimumTtl", "less than or equal to 254"]),
        ("Community", "{communities: [{alias: x}]}".to_owned(), &["unknown field", "alias"]),
    ];
    for (kind, spec, words) in cases {
        let version = if *kind == "BGPPeer" { "v1beta2" } else { "v1beta1" };
        let object = format!(
            "{{apiVersion: metallb.io/{version}, kind: {kind}, metadata: {{name: x, namespace: {INSTALL_NAMESPACE}}}, spec: {spec}}}"
        );
        let said = tried(rig, &object).err().ok_or_else(|| format!("{kind} {spec} was taken"))?;
        check(words.iter().all(|word| said.contains(word)), format!("{kind} {spec}: {words:?} are not in: {said}"))?;
    }
    // [API-CONV-1]: the older version is not served yet.
    let served = rig.cluster.admin().run(&["get", "--raw", "/apis/metallb.io/v1beta1"])?;
    check(!served.contains("bgppeers") && served.contains("ipaddresspools"), served)
}

// Section 2.5 of the specification, [API-L2ST-1].
fn rules_about_changes(rig: &mut Rig) -> Checked {
    let peer = |more: &str| {
        rig.ours("BGPPeer", "tor", &format!("{{myASN: 64500, peerASN: 64501, peerAddress: 10.0.0.1, {more}}}"))
    };
    peer("enableGracefulRestart: true")?;
    let said = peer("enableGracefulRestart: false").err().map(|error| error.to_string()).unwrap_or_default();
    check(said.contains("EnableGracefulRestart cannot be changed"), format!("said: {said}"))?;
    let status = "{apiVersion: metallb.io/v1beta1, kind: ServiceL2Status, metadata: {name: l2-x, namespace: metallb-system, labels: {test: \
                  \"\"}}, spec: {}}";
    rig.cluster.apply(status)?;
    let admin = rig.cluster.admin();
    let write = |node: &str| {
        let patch = format!("{{\"status\": {{\"node\": \"{node}\", \"interfaces\": [{{\"name\": \"eth0\"}}]}}}}");
        admin.run(&[
            "patch",
            "servicel2status",
            "l2-x",
            "-n",
            INSTALL_NAMESPACE,
            "--subresource=status",
            "--type=merge",
            "-p",
            &patch,
        ])
    };
    write("n1")?;
    let said = write("n2").err().map(|error| error.to_string()).unwrap_or_default();
    rig.delete_ours("servicel2status", "l2-x")?;
    check(said.contains("Value is immutable"), format!("said: {said}"))
}

// [API-GEN-9] and the defaults of sections 2.2, 2.4 and 2.5.
fn defaults(rig: &mut Rig) -> Checked {
    rig.pool("plain", &["192.0.2.0/24"])?;
    rig.ours("BGPAdvertisement", "plain", "{}")?;
    rig.ours("BGPPeer", "plain", "{myASN: 1, peerASN: 2, peerAddress: 10.0.0.1}")?;
    for (kind, path, expected) in [
        ("ipaddresspool", "{.spec.autoAssign} {.spec.avoidBuggyIPs}", "true false"),
        ("bgpadvertisement", "{.spec.aggregationLength} {.spec.aggregationLengthV6} {.spec.localPref}", "32 128 "),
        (
            "bgppeer",
            "{.spec.peerPort} {.spec.disableMP} {.spec.dualStackAddressFamily} {.spec.ebgpMultiHop}",
            "179 false false ",
        ),
    ] {
        let arguments = ["get", kind, "plain", "-n", INSTALL_NAMESPACE, "-o", &format!("jsonpath={path}")];
        let found = rig.cluster.admin().run(&arguments)?;
        check(found == expected, format!("{kind}: {found:?}, not {expected:?}"))?;
    }
    let unknown = "{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {name: plain, namespace: metallb-system}, spec: {addresses: \
                   [192.0.2.0/24], colour: blue}}";
    rig.cluster.admin().feed(&["apply", "--validate=ignore"], unknown)?;
    let pool = rig.get(&["ipaddresspool", "plain", "-n", INSTALL_NAMESPACE])?;
    check(pool[0]["spec"].get("colour").is_none(), format!("{}", pool[0]["spec"]))
}

// [API-GEN-5]
fn columns(rig: &mut Rig) -> Checked {
    rig.pool("plain", &["192.0.2.0/24"])?;
    rig.ours("L2Advertisement", "plain", "{ipAddressPools: [plain], nodeSelectors: [{matchLabels: {a: b}}]}")?;
    for (arguments, words) in [
        (&["get", "ipaddresspools"][..], &["AUTO ASSIGN", "AVOID BUGGY IPS", "ADDRESSES", "[\"192.0.2.0/24\"]"][..]),
        (&["get", "l2advertisements"], &["IPADDRESSPOOLS", "IPADDRESSPOOL SELECTORS", "INTERFACES"]),
        (&["get", "l2advertisements", "-o", "wide"], &["NODE SELECTORS"]),
        (&["get", "configurationstates"], &["RESULT", "ERRORSUMMARY", "AGE"]),
    ] {
        let arguments: Vec<&str> = arguments.iter().copied().chain(["-n", INSTALL_NAMESPACE]).collect();
        let shown = rig.cluster.admin().run(&arguments)?;
        check(words.iter().all(|word| shown.contains(word)), format!("{arguments:?}: {words:?} are not in\n{shown}"))?;
    }
    Ok(())
}
