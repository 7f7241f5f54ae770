//! `plan --against`: what a change of each kind does to a small cluster, told in full, and its exit code.

use std::fmt::Write as _;

use super::{ferrule, stdout, write_file};

/// Two nodes, a pool that layer 2 and BGP announce, and three Services: two with addresses by their statuses, one that waits for the
/// controller.
const NOW: &str = "\
apiVersion: v1
kind: Node
metadata: {name: node1, labels: {rack: a}}
---
apiVersion: v1
kind: Node
metadata: {name: node2, labels: {rack: b}}
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: public, labels: {zone: east}}
spec: {addresses: [192.0.2.0/28]}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: first}
spec: {ipAddressPools: [public], nodeSelectors: [{matchLabels: {rack: a}}]}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {name: routes}
spec: {ipAddressPoolSelectors: [{matchLabels: {zone: east}}]}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {name: tor}
spec: {myASN: 64500, peerASN: 64500, peerAddress: 203.0.113.1, nodeSelectors: [{matchLabels: {rack: b}}]}
";

pub(super) fn service(name: &str, annotations: &str, ingress: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop, annotations: {{{annotations}}}}}\nspec: {{type: \
         LoadBalancer, clusterIP: 10.96.0.7, ports: [{{port: 80}}]}}\nstatus: {{loadBalancer: {{{ingress}}}}}\n---\napiVersion: \
         discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}-1, namespace: shop, labels: {{kubernetes.io/service-name: \
         {name}}}}}\naddressType: IPv4\nendpoints: [{{addresses: [10.244.0.9], nodeName: node1}}, {{addresses: [10.244.1.9], nodeName: node2}}]\n"
    )
}

pub(super) fn now() -> String {
    NOW.to_owned()
        + &service("web", FROM, "ingress: [{ip: 192.0.2.0}]")
        + &service("api", FROM, "ingress: [{ip: 192.0.2.9}]")
        + &service("late", "", "")
}

/// A pool with the labels of the one of now, and a further line of its spec.
fn pool(name: &str, addresses: &str, more: &str) -> String {
    format!(
        "---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: {name}, labels: {{zone: east}}}}\nspec: {{addresses: \
         [{addresses}]{more}}}\n"
    )
}

/// The exit code and the text of a change.
fn judged(now: &str, new: &str, flags: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (now, new) = (write_file(&folder, "now.yaml", now), write_file(&folder, "new.yaml", new));
    let output = ferrule(&[&["plan", "-f", &new, "--against", &now], flags].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.lines().all(|line| line.contains(": warning: ")), "{told}");
    (output.status.code().unwrap_or(-1), stdout(&output))
}

/// What follows the spec of an object in what `kubectl get -o yaml --show-managed-fields` prints.
const MANAGED: &str = "annotations: {kubectl.kubernetes.io/last-applied-configuration: \"{\\\"apiVersion\\\":\\\"v1\\\"}\\n\"}, \
                       creationTimestamp: '2026-11-26T20:00:00Z', generation: 2, resourceVersion: '4711', uid: \
                       0f1d9bd0-7c1e-4a52-9a0e-0f5ad9b0b1a1, managedFields: [{apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {'f:spec': \
                       {'f:addresses': {}}}, manager: kubectl-client-side-apply, operation: Update, time: '2026-11-26T20:00:00Z'}]";

/// The pool and two Services of now as `kubectl get -A -o yaml` prints them.
fn dump() -> String {
    let service = |name: &str, ip: &str, port: u16| {
        format!(
            "- apiVersion: v1\n  kind: Service\n  metadata: {{name: {name}, namespace: shop, {MANAGED}}}\n  spec: {{allocateLoadBalancerNodePorts: \
             true, clusterIP: 10.96.0.{port}, clusterIPs: [10.96.0.{port}], externalTrafficPolicy: Cluster, internalTrafficPolicy: Cluster, \
             ipFamilies: [IPv4], ipFamilyPolicy: SingleStack, ports: [{{nodePort: 310{port}, port: {port}, protocol: TCP, targetPort: 8080}}], \
             selector: {{app: {name}}}, sessionAffinity: None, type: LoadBalancer}}\n  status: {{loadBalancer: {{ingress: [{{ip: {ip}, ipMode: \
             VIP}}]}}}}\n"
        )
    };
    format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n- apiVersion: metallb.io/v1beta1\n  kind: IPAddressPool\n  \
         metadata: {{name: public, namespace: metallb-system, {MANAGED}}}\n  spec: {{addresses: [192.0.2.0/28], autoAssign: true, avoidBuggyIPs: \
         false}}\n  status: {{assignedIPv4: 2, assignedIPv6: 0, availableIPv4: 14, availableIPv6: 0}}\n- apiVersion: metallb.io/v1beta1\n  kind: \
         L2Advertisement\n  metadata: {{name: all, namespace: metallb-system, {MANAGED}}}\n  spec: {{}}\n- apiVersion: v1\n  kind: Node\n  \
         metadata: {{name: node1, labels: {{kubernetes.io/hostname: node1}}, {MANAGED}}}\n  spec: {{podCIDR: 10.244.0.0/24}}\n  status: \
         {{conditions: [{{type: Ready, status: 'True'}}], nodeInfo: {{architecture: amd64}}}}\n- apiVersion: discovery.k8s.io/v1\n  kind: \
         EndpointSlice\n  metadata: {{name: web-x7, namespace: shop, labels: {{kubernetes.io/service-name: web}}, {MANAGED}}}\n  addressType: \
         IPv4\n  endpoints: [{{addresses: [10.244.0.9], conditions: {{ready: true, serving: true, terminating: false}}, nodeName: node1}}]\n  \
         ports: [{{name: '', port: 8080, protocol: TCP}}]\n{}{}",
        service("web", "192.0.2.0", 80),
        service("api", "192.0.2.9", 81)
    )
}

/// What is changed, the state of now, and the new input.
type Scenario = (&'static str, String, String);

fn of(title: &'static str, now: &str, new: impl Into<String>) -> Scenario {
    (title, now.to_owned(), new.into())
}

fn l2(name: &str, spec: &str) -> String {
    object("metallb.io/v1beta1", "L2Advertisement", name, spec)
}

fn bgp(name: &str, spec: &str) -> String {
    object("metallb.io/v1beta1", "BGPAdvertisement", name, spec)
}

fn policy(spec: &str) -> String {
    object("ferrule.io/v1alpha1", "PoolPolicy", "rules", spec)
}

fn whole() -> String {
    pool("public", "192.0.2.0/28", "")
}

const EVERYWHERE: &str = "{nodeSelectors: [{matchLabels: {rack: a}}]}";

fn of_pools() -> Vec<Scenario> {
    let now = now();
    let halves = pool("public", "192.0.2.0/29", "") + &pool("upper", "192.0.2.8/29", "");
    let manual =
        now.replace("spec: {addresses: [192.0.2.0/28]}", "spec: {addresses: [192.0.2.0/28], autoAssign: false}");
    let asking = now.replace(
        "name: web, namespace: shop, annotations: {",
        "name: web, namespace: shop, annotations: {metallb.io/address-pool: public, ",
    );
    let both = "clusterIP: 10.96.0.8, clusterIPs: [10.96.0.8, 'fd00::8'], ipFamilyPolicy: RequireDualStack";
    let dual = service("dual", FROM, "ingress: [{ip: 192.0.2.3}, {ip: '2001:db8::3'}]");
    let two_families =
        now.replace("[192.0.2.0/28]", "[192.0.2.0/28, '2001:db8::/124']") + &dual.replace("clusterIP: 10.96.0.7", both);
    let office = pool("office", "192.0.2.0/28", "");
    let hole = pool("public", "192.0.2.0/30", "") + &pool("upper", "192.0.2.12/30", "");
    vec![
        of("the same pool", &now, whole()),
        of("a pool split in two, and only one of them advertised on layer 2", &now, halves.clone()),
        of("a pool split in two, both advertised", &now, halves + &l2("first", EVERYWHERE)),
        of("a pool split in two with a hole", &now, hole),
        of("a pool split by family", &two_families, whole() + &pool("six", "'2001:db8::/124'", "")),
        of("a pool renamed", &now, office.clone()),
        of("a pool renamed that a Service asks for", &asking, office + &l2("first", EVERYWHERE)),
        of("autoAssign turned off", &now, pool("public", "192.0.2.0/28", ", autoAssign: false")),
        of("autoAssign turned on", &manual, whole()),
        of("what kubectl prints", &dump(), pool("public", "192.0.2.8/29", "")),
    ]
}

fn of_advertisements() -> Vec<Scenario> {
    let now = now();
    let first = l2("first", "{ipAddressPools: [public], nodeSelectors: [{matchLabels: {rack: a}}]}");
    let second = l2("second", "{nodeSelectors: [{matchLabels: {rack: b}}]}");
    let routes = bgp("routes", "{ipAddressPoolSelectors: [{matchLabels: {zone: east}}]}");
    let by_routes = now
        .replace("name: first", "name: unused")
        .replace("ipAddressPools: [public], nodeSelectors", "ipAddressPools: [other], nodeSelectors");
    let with_preference = bgp("routes", "{ipAddressPoolSelectors: [{matchLabels: {zone: east}}], localPref: 50}");
    let more = bgp("more", "{aggregationLength: 28, localPref: 50, communities: ['64500:7']}");
    let two_routes = now.clone() + &bgp("more", "{aggregationLength: 28}");
    let nodes = |first: &str, second: &str| {
        let node = |name: &str, rack: &str| {
            format!("---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}, labels: {{rack: {rack}}}}}\n")
        };
        node("node1", first) + &node("node2", second)
    };
    let one_node = "apiVersion: v1\nkind: Node\nmetadata: {name: node2, labels: {rack: a}}\n";
    vec![
        of("an L2Advertisement added", &now, first.clone() + &second),
        of("an L2Advertisement removed", &(now.clone() + &second), first),
        of("the L2Advertisement made one for another pool", &now, l2("first", "{ipAddressPools: [other]}")),
        of("a BGPAdvertisement added", &now, routes.clone() + &more),
        of("a BGPAdvertisement removed", &two_routes, routes),
        of("what is announced by BGP alone is no more", &by_routes, bgp("routes", "{ipAddressPools: [other]}")),
        of("the attributes of routes", &now, with_preference),
        of("node labels exchanged", &now, nodes("b", "a")),
        of("a node label that nothing selects", &now, nodes("c", "b")),
        of("a node gone", &now, one_node),
    ]
}

fn of_policies() -> Vec<Scenario> {
    let now = now();
    let reserves = |spec: &str| object("ferrule.io/v1alpha1", "AddressReservation", "later", spec);
    let held = policy("{retention: 24h}")
        + "status: {held: [{address: 192.0.2.1, service: shop/gone, until: '2100-01-01T00:00:00Z', reason: Retention}]}\n";
    let frozen = "{ipAddressPoolSelectors: [{matchLabels: {zone: east}}], freeze: {}}";
    let kept = policy(frozen)
        + "status: {kept: [{address: 198.51.100.7, pool: before, poolLabels: {zone: east}, service: shop/old}]}\n"
        + &service("old", "metallb.io/ip-allocated-from-pool: before", "ingress: [{ip: 198.51.100.7}]");
    let (held, kept) = (now.clone() + &held, now.clone() + &kept);
    let confirmed = policy(&frozen.replace("{}", "{confirmed: [198.51.100.7]}"));
    let for_late = |address: &str| reserves(&format!("{{addresses: [{address}], services: [shop/late]}}"));
    vec![
        of("a quota that is used up", &now, policy("{quotas: [{name: few, limit: 2}]}")),
        of("a quota below what is used", &now, policy("{quotas: [{name: few, limit: 1}]}")),
        of("a reservation for who waits", &now, for_late("192.0.2.5")),
        of("a reservation of what somebody else has", &now, for_late("192.0.2.9")),
        of("an exclusion of what is in use", &now, policy("{exclusions: [192.0.2.9]}")),
        of("an exclusion of what is in use, frozen", &now, policy("{exclusions: [192.0.2.9], freeze: {}}")),
        of("what waits goes on waiting", &held, whole()),
        of("what waits is released", &held, policy("{retention: 24h, releaseNow: [shop/gone]}")),
        of("a Service deleted and one made, under retention", &held, services(&service("new", "", ""))),
        of("what a freeze keeps stays", &kept, whole()),
        of("the freeze taken away", &kept, policy("{}")),
        of("the loss confirmed", &kept, confirmed),
    ]
}

/// The Services of now with something else in place of `api`.
fn services(api: &str) -> String {
    service("web", FROM, "ingress: [{ip: 192.0.2.0}]") + api + &service("late", "", "")
}

fn of_services() -> Vec<Scenario> {
    let now = now();
    let typed = service("api", FROM, "").replace("type: LoadBalancer", "type: ClusterIP");
    let asks = service("api", "metallb.io/loadBalancerIPs: 192.0.2.4", "");
    vec![
        of("a Service deleted", &now, services("")),
        of("a Service of another type", &now, services(&typed)),
        of("a Service asks for another address", &now, services(&asks)),
    ]
}

const FROM: &str = "metallb.io/ip-allocated-from-pool: public";

fn object(version: &str, kind: &str, name: &str, spec: &str) -> String {
    format!("---\napiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n")
}

// FERRULE_REWRITE_DOCS=1 writes down what is printed now.
#[test]
fn each_change_is_told_in_full() {
    let mut told = String::new();
    for (title, now, new) in [of_pools(), of_advertisements(), of_policies(), of_services()].concat() {
        let (code, text) = judged(&now, &new, &[]);
        // Writing to a text cannot fail.
        let _ = writeln!(told, "# {title}: exit code {code}\n{text}");
    }
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/against.txt");
    if std::env::var_os("FERRULE_REWRITE_DOCS").is_some() {
        std::fs::write(&path, &told).expect("the file can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the file is there");
    let parts = expected.split("\n# ").zip(told.split("\n# "));
    for (expected, told) in parts {
        assert_eq!(told, expected);
    }
    assert_eq!(told, expected);
}

#[test]
fn a_complete_input_has_nothing_of_now() {
    let without = now()
        .replace("kind: L2Advertisement", "kind: BFDProfile")
        .replace("ipAddressPools: [public], nodeSelectors: [{matchLabels: {rack: a}}]", "");
    let (code, text) = judged(&now(), &without, &[]);
    assert_eq!((code, text.lines().last()), (0, Some("nothing changes")), "{text}");
    let (code, text) = judged(&now(), &without, &["--complete"]);
    let expected = "owner of 192.0.2.0, 192.0.2.1, 192.0.2.9: node1 -> nobody\n  why not node1: no advertisement of its pool covers the Service\n  \
                    mend: create an L2Advertisement or BGPAdvertisement that covers the pool, and the Service where it has serviceSelectors\nnot in \
                    the new input, so gone: L2Advertisement first\nlive addresses that move or are lost: 192.0.2.0, 192.0.2.9\n";
    assert_eq!((code, text.as_str()), (2, expected));
    let usage = ferrule(&["plan", "-f", "-", "--complete"]);
    assert_eq!(usage.status.code(), Some(64));
}
