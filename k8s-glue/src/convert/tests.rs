//! What is made of objects, and which types are refused.

use lbcore::allocator::NoAddress;
use lbcore::decide::TrafficPolicy;
use lbcore::family::{IpFamily, IpFamilyPolicy};
use lbcore::node::NetworkCondition;

use super::*;
use crate::manifest::Manifests;

fn read(text: &str) -> Objects {
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
    assert_eq!(manifests.malformed, []);
    objects(&manifests.documents, "metallb-system")
}

fn found(objects: &Objects) -> Vec<(Severity, Category, &str)> {
    objects.problems.iter().map(|problem| (problem.severity, problem.category, problem.field.as_str())).collect()
}

#[test]
fn every_wrong_type_of_an_object_is_reported() {
    let objects = read(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p, labels: {a: yes}}\nspec:\n  addresses: 1.2.3.0/24\n  \
         autoAssign: 'no'\n  serviceAllocation: {priority: high, namespaces: [1], typo: x}\n",
    );
    assert_eq!(
        found(&objects),
        [
            (Severity::Error, Category::Schema, "metadata.labels[a]"),
            (Severity::Error, Category::Schema, "spec.addresses"),
            (Severity::Error, Category::Schema, "spec.autoAssign"),
            (Severity::Error, Category::Schema, "spec.serviceAllocation.priority"),
            (Severity::Error, Category::Schema, "spec.serviceAllocation.namespaces[0]"),
            (Severity::Warning, Category::Schema, "spec.serviceAllocation.typo"),
        ]
    );
    assert!(objects.problems.iter().all(|problem| !problem.fix.is_empty()));
}

#[test]
fn kinds_of_our_own_are_read_field_by_field() {
    let objects = read(
        "apiVersion: ferrule.io/v1alpha1\nkind: AddressReservation\nmetadata: {name: r}\nspec: {addresses: [192.0.2.80], hostParts: ['::80'], \
         pool: public, services: [shop/web], namespaces: [shop], namespaceSelectors: [{}], serviceSelectors: [{matchLabels: {a: b}}]}\n---\n\
         apiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {name: p}\nspec:\n  ipAddressPools: [public]\n  exclusions: \
         [192.0.2.1-192.0.2.9]\n  retention: 24h\n  releaseNow: [shop/web]\n  reuseCooldown: 90s\n  quotas: [{name: q, scope: Together, \
         limit: 5}]\n  freeze: {confirmed: [192.0.2.7]}\nstatus: {held: []}\n",
    );
    assert_eq!(found(&objects), []);
    let reservation = &objects.config.address_reservations[0].spec;
    assert_eq!((reservation.addresses.len(), reservation.host_parts.len(), reservation.services.len()), (1, 1, 1));
    assert_eq!((reservation.namespace_selectors.len(), reservation.service_selectors.len()), (1, 1));
    assert_eq!((reservation.pool.as_deref(), reservation.namespaces.len()), (Some("public"), 1));
    let policy = &objects.config.pool_policies[0].spec;
    assert_eq!(policy.retention, Some(core::time::Duration::from_secs(86_400)));
    assert_eq!(policy.reuse_cooldown, Some(core::time::Duration::from_secs(90)));
    assert_eq!((policy.exclusions.len(), policy.release_now.len(), policy.ip_address_pools.len()), (1, 1, 1));
    assert_eq!((policy.quotas[0].limit, policy.quotas[0].scope.as_deref()), (Some(5), Some("Together")));
    assert_eq!(policy.freeze.as_ref().map(|freeze| freeze.confirmed.len()), Some(1));
    let faulty = read(
        "apiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {name: p}\nspec: {retention: 1d, quotas: [{limit: many}], freeze: \
         {confirm: []}, excludes: []}\n",
    );
    let expected = [
        (Severity::Error, Category::Schema, "spec.quotas[0].limit"),
        (Severity::Warning, Category::Schema, "spec.freeze.confirm"),
        (Severity::Error, Category::Schema, "spec.retention"),
        (Severity::Warning, Category::Schema, "spec.excludes"),
    ];
    assert_eq!(found(&faulty), expected);
}

#[test]
fn unknown_kinds_and_versions_of_the_group_are_problems_and_others_are_not() {
    for text in [
        "apiVersion: metallb.io/v1beta1\nkind: AddressPool\nmetadata: {name: p}\n",
        "apiVersion: metallb.io/v1beta1\nkind: IPAdressPool\nmetadata: {name: p}\n",
        "apiVersion: metallb.io/v1beta2\nkind: IPAddressPool\nmetadata: {name: p}\n",
        "apiVersion: metallb.io/v1\nkind: BGPPeer\nmetadata: {name: p}\n",
        "apiVersion: metallb.io/v1beta1\nkind: PoolPolicy\nmetadata: {name: p}\n",
        "apiVersion: ferrule.io/v1alpha1\nkind: IPAddressPool\nmetadata: {name: p}\n",
        "apiVersion: ferrule.io/v1\nkind: AddressReservation\nmetadata: {name: p}\n",
    ] {
        assert_eq!(found(&read(text)), [(Severity::Error, Category::Schema, "kind")], "{text}");
    }
    for text in [
        "apiVersion: apps/v1\nkind: Deployment\nspec: 7\n",
        "apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: s}\n",
        "apiVersion: metallb.io/v1beta1\nkind: ConfigurationState\nmetadata: {name: p}\nstatus: {result: Valid}\n",
    ] {
        assert_eq!(found(&read(text)), [], "{text}");
    }
}

#[test]
fn identity_is_required() {
    assert_eq!(found(&read("kind: Service\n"))[0].2, "apiVersion");
    assert_eq!(found(&read("apiVersion: v1\n"))[0].2, "kind");
    assert_eq!(
        found(&read("apiVersion: v1\nkind: Service\n"))[0],
        (Severity::Error, Category::MissingField, "metadata.name")
    );
}

#[test]
fn objects_without_a_namespace_are_where_their_kind_is() {
    let objects = read(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: \
         s}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: n}\n",
    );
    assert_eq!(objects.config.pools[0].object.namespace.as_deref(), Some("metallb-system"));
    assert_eq!(objects.services[0].key.as_str(), "default/s");
    assert_eq!(objects.config.nodes[0].name.as_str(), "n");
}

// [ANNOT-6], [ANNOT-7]
#[test]
fn the_newer_annotation_wins_even_where_it_is_empty() {
    let service = |annotations: &str| {
        read(&format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s, annotations: {{{annotations}}}}}\n"))
            .services
            .remove(0)
    };
    let both = service("metallb.io/address-pool: '', metallb.universe.tf/address-pool: old");
    assert_eq!(both.requested_pool(), None);
    assert_eq!(service("metallb.universe.tf/address-pool: old").requested_pool(), Some("old"));
    let shared = service("metallb.universe.tf/allow-shared-ip: ''");
    assert_eq!((shared.sharing_key(), shared.has_sharing_annotation()), (None, true));
}

#[test]
fn a_service_is_read_whole() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: shop, labels: {a: b}}\nspec:\n  type: LoadBalancer\n  \
                clusterIPs: [10.0.0.1, 'fd00::1']\n  ipFamilies: [IPv6, IPv4]\n  ipFamilyPolicy: PreferDualStack\n  \
                externalTrafficPolicy: Local\n  ports: [{port: 80}, {port: 53, protocol: UDP}]\n  selector: {app: s}\nstatus: {loadBalancer: \
                {ingress: [{ip: 192.0.2.1}, {hostname: h}]}}\n";
    let objects = read(text);
    assert_eq!(objects.problems, []);
    let service = &objects.services[0];
    assert_eq!(service.ip_families, [IpFamily::V6, IpFamily::V4]);
    assert_eq!(service.ip_family_policy, IpFamilyPolicy::PreferDualStack);
    assert_eq!(service.traffic_policy, TrafficPolicy::Local);
    assert_eq!(service.ports.iter().map(ToString::to_string).collect::<Vec<_>>(), ["TCP/80", "UDP/53"]);
    assert_eq!(service.recorded, ["192.0.2.1", ""]);
}

#[test]
fn values_that_the_api_server_refuses_in_a_service_are_problems() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: s, annotations: {metallb.io/allow-shared-ip: yes}}\nspec: {type: Loadbalancer, \
                ports: [{port: 0}, {port: 65536}, {port: 1, protocol: tcp}], externalTrafficPolicy: local}\n";
    let objects = read(text);
    assert!(objects.problems.iter().all(|problem| problem.category == Category::Schema));
    let fields: Vec<_> = objects.problems.iter().map(|problem| problem.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "metadata.annotations[metallb.io/allow-shared-ip]",
            "spec.type",
            "spec.externalTrafficPolicy",
            "spec.ports[0].port",
            "spec.ports[1].port",
            "spec.ports[2].protocol",
        ]
    );
}

// [ANN-20] to [ANN-22], [ANN-24]
#[test]
fn endpoints_of_all_slices_are_taken_together() {
    let slice = |name: &str, endpoints: &str| {
        format!(
            "---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {{name: {name}, labels: {{kubernetes.io/service-name: \
             s}}}}\nendpoints: {endpoints}\n"
        )
    };
    let text = slice("a", "[{addresses: [10.1.0.1], nodeName: n}, {conditions: {ready: false}}]")
        + &slice(
            "b",
            "[{conditions: {ready: false, serving: true}}, {conditions: {ready: true, serving: false}}, {conditions: {serving: false}}]",
        );
    let objects = read(&text);
    let endpoints = &objects.endpoints[&"default/s".parse().unwrap()];
    let usable: Vec<_> = endpoints.iter().map(|endpoint| endpoint.readiness == Readiness::Usable).collect();
    assert_eq!(usable, [true, false, true, true, true]);
    assert_eq!(endpoints[0].node.as_ref().map(NodeName::as_str), Some("n"));
}

// [ANN-43]
#[test]
fn only_a_true_condition_makes_the_network_unavailable() {
    let network = |status: &str| {
        let text = format!(
            "apiVersion: v1\nkind: Node\nmetadata: {{name: n}}\nstatus: {{conditions: [{{type: NetworkUnavailable, status: '{status}'}}]}}\n"
        );
        read(&text).config.nodes[0].network
    };
    assert_eq!(network("True"), NetworkCondition::Unavailable);
    assert_eq!(network("Unknown"), NetworkCondition::Available);
}

// [CFG-24]
#[test]
fn secrets_are_decoded_and_plain_text_wins() {
    let secret = |rest: &str| read(&format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{rest}\n"));
    let password = |objects: &Objects| {
        objects.config.secrets[0].spec.password.as_ref().map(|password| password.as_bytes().to_vec())
    };
    assert_eq!(password(&secret("data: {password: czNjcmV0}")), Some(b"s3cret".to_vec()));
    assert_eq!(password(&secret("data: {password: czNjcmV0}\nstringData: {password: other}")), Some(b"other".to_vec()));
    assert_eq!(found(&secret("data: {password: '%'}")), [(Severity::Error, Category::Schema, "data.password")]);
    let elsewhere = read("apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: default}\n");
    assert_eq!(elsewhere.config.secrets.len(), 0);
}

#[test]
fn repeated_core_objects_and_old_config_maps_are_noticed() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\n";
    let objects = read(&format!("{service}---\n{service}"));
    assert_eq!(found(&objects), [(Severity::Error, Category::DuplicateName, "metadata.name")]);
    assert_eq!(objects.problems[0].object.as_ref().map(|object| object.origin), Some(Origin(1)));
    let old =
        read("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config}\ndata: {config: \"address-pools: []\\n\"}\n");
    assert_eq!(found(&old), [(Severity::Warning, Category::Schema, "data.config")]);
}

#[test]
fn what_is_wrong_with_an_object_of_another_namespace_harms_nobody() {
    let objects = read(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p, namespace: default}\nspec: {addresses: 7}\n",
    );
    assert_eq!(found(&objects), []);
    assert_eq!(objects.config.pools.len(), 1);
}

const POOL: &str = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\nspec: ";

#[test]
fn a_plain_y_or_n_is_a_boolean_where_one_is_expected_and_a_name_elsewhere() {
    let auto_assign = |value: &str| {
        let objects = read(&format!("{POOL}{{addresses: [192.0.2.0/28], autoAssign: {value}}}\n"));
        (objects.config.pools[0].spec.auto_assign, objects.problems.len())
    };
    assert_eq!(auto_assign("y"), (Some(true), 0));
    assert_eq!(auto_assign("Y"), (Some(true), 0));
    assert_eq!(auto_assign("n"), (Some(false), 0));
    assert_eq!(auto_assign("'n'"), (None, 1));
    let list = read(&format!("kind: List\nitems:\n- {}", format!("{POOL}{{autoAssign: n}}\n").replace('\n', "\n  ")));
    assert_eq!(list.config.pools[0].spec.auto_assign, Some(false));
    assert_eq!(read("apiVersion: v1\nkind: Service\nmetadata: {name: y}\n").services[0].key.as_str(), "default/y");
}

#[test]
fn names_that_the_api_server_refuses_are_problems() {
    let long = "a".repeat(254);
    for (kind, name) in [
        ("metallb.io/v1beta1\nkind: IPAddressPool", "Bad Name!"),
        ("metallb.io/v1beta1\nkind: L2Advertisement", "../../etc"),
        ("v1\nkind: Node", long.as_str()),
        ("v1\nkind: Service", "a.b"),
        ("v1\nkind: Secret", "a\\n b"),
        ("v1\nkind: Namespace", "-x"),
    ] {
        let objects = read(&format!("apiVersion: {kind}\nmetadata: {{name: \"{name}\"}}\n"));
        assert_eq!(found(&objects)[0], (Severity::Error, Category::Schema, "metadata.name"), "{kind} {name}");
    }
    let capital = read("apiVersion: v1\nkind: Node\nmetadata: {name: nodeA}\n");
    assert_eq!(found(&capital), [(Severity::Warning, Category::Schema, "metadata.name")]);
    let elsewhere = read("apiVersion: v1\nkind: Service\nmetadata: {name: a, namespace: 'x/y'}\n");
    assert_eq!(found(&elsewhere)[0].2, "metadata.namespace");
    for good in ["apiVersion: v1\nkind: Node\nmetadata: {name: n1.example.com}\n", &format!("{POOL}{{}}\n")] {
        assert_eq!(found(&read(good)), [], "{good}");
    }
}

#[test]
fn objects_that_a_typing_error_takes_out_are_told() {
    for (text, field) in
        [("apiVersion: metallb.io\nkind: IPAddressPool\n", "apiVersion"), ("apiVersion: v1\nkind: service\n", "kind")]
    {
        assert_eq!(found(&read(text)), [(Severity::Warning, Category::Schema, field)], "{text}");
    }
    let nameless = read("apiVersion: metallb.io/v1beta1\nmetadata: {name: p}\n");
    assert_eq!(found(&nameless), [(Severity::Error, Category::MissingField, "kind")]);
}

#[test]
fn numbers_beyond_the_field_say_so() {
    let message = |value: &str| {
        let objects = read(&format!("{POOL}{{serviceAllocation: {{priority: {value}}}}}\n"));
        assert_eq!(objects.problems.len(), 1, "{value}: {:?}", objects.problems);
        objects.problems[0].message.clone()
    };
    for value in ["99999999999999999999999999", "18446744073709551615", "1e300"] {
        assert!(message(value).ends_with("is too large"), "{}", message(value));
    }
    assert!(message("-99999999999999999999999999").ends_with("is too small"));
    assert_eq!(message(".inf"), ".inf is no whole number");
    assert_eq!(message("'7'"), "the text \"7\" stands where a whole number belongs");
}

#[test]
fn a_reason_has_its_field() {
    let field = |rest: &str, reason: &NoAddress| {
        let text = format!("apiVersion: v1\nkind: Service\nmetadata: {{name: s{rest}}}\n");
        read(&text).services[0].field_of(reason)
    };
    let reason = NoAddress::NotInPool { address: "192.0.2.1".parse().unwrap() };
    let old = ", annotations: {metallb.universe.tf/loadBalancerIPs: 192.0.2.1}";
    assert_eq!(field(old, &reason), "metadata.annotations[metallb.universe.tf/loadBalancerIPs]");
    assert_eq!(field("}\nspec: {loadBalancerIP: 192.0.2.1", &reason), "spec.loadBalancerIP");
    assert_eq!(field("", &reason), "");
    let pool = NoAddress::NoSuchPool { pool: "lab".parse().unwrap() };
    assert_eq!(
        field(", annotations: {metallb.io/address-pool: lab}", &pool),
        "metadata.annotations[metallb.io/address-pool]"
    );
}
