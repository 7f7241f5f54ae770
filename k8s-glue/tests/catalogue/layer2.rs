//! Scenarios of section 3 of the end-to-end catalogue: layer 2. Speakers run with `--return at-once`, as the scenarios were written for
//! owners that return.

use std::collections::BTreeSet;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use lab::cluster::Answer;
use lab::control_plane::objects::Transport;
use lab::datagram;

use super::Scenario;
use super::rig::{CALM, Checked, Rig, SHOP, Statuses, check, wait};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("l2_01_a_service_is_reached", l2_01),
    ("l2_02_a_status_names_the_node_that_announces", l2_02),
    ("l2_03_with_policy_local_the_announcing_node_answers_itself", l2_03),
    ("l2_04_ports_of_tcp_and_udp", l2_04),
    ("l2_05_a_node_without_network_announces_nothing", l2_05),
    ("l2_06_an_excluded_node_announces_nothing", l2_06),
    ("l2_07_pools_as_ranges_and_as_prefixes", l2_07),
    ("l2_08_a_shared_address_has_one_node", l2_08),
    ("l2_09_services_that_name_their_pools", l2_09),
    ("l2_10_an_advertisement_for_one_node_after_the_other", l2_10),
    ("l2_11_the_node_with_the_endpoint_among_two_advertisements", l2_11),
    ("l2_12_a_node_that_is_given_the_label", l2_12),
    ("l2_13_pools_and_services_by_labels", l2_13),
    ("l2_14_two_advertisements_for_one_service", l2_14),
    ("l2_15_advertisements_that_do_not_match", l2_15),
    ("l2_16_services_by_an_expression", l2_16),
    ("l2_17_a_speaker_that_is_gone_and_comes_back", l2_17),
    ("l2_18_a_service_of_another_class", l2_18),
    ("l2_20_a_preferred_node", l2_20),
    ("l2_21_preferences_that_make_no_difference", l2_21),
    ("l2_22_a_preferred_node_that_is_excluded", l2_22),
    ("l2_23_a_preference_that_changes", l2_23),
    ("l2_24_a_preference_within_the_selected_nodes", l2_24),
    ("l2_25_a_preference_outside_of_the_selected_nodes", l2_25),
    ("l2_26_preferences_of_two_advertisements_add_up", l2_26),
    ("l2_27_a_preference_for_some_services", l2_27),
    ("l2_30_the_status_lists_the_interfaces", l2_30),
    ("l2_31_answers_give_the_hardware_address_of_the_interface", l2_31),
    ("l2_32_one_interface_after_the_other", l2_32),
    ("l2_33_an_interface_that_does_not_exist", l2_33),
    ("l2_34_two_advertisements_of_an_interface_each", l2_34),
    ("l2_35_an_interface_and_a_node", l2_35),
];

const ALL: [&str; 3] = ["n1", "n2", "n3"];
const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
const V4: &str = "192.168.1.240-192.168.1.250";
const V6: &str = "fc00:f853:ccd:e793::f0-fc00:f853:ccd:e793::ff";

fn advertise(rig: &Rig, name: &str, spec: &str) -> Checked {
    rig.ours("L2Advertisement", "v1beta1", name, spec)
}

fn on_node(node: &str) -> String {
    format!("nodeSelectors: [{{matchLabels: {{kubernetes.io/hostname: {node}}}}}]")
}

/// A pool of both families, an empty advertisement, everything running.
fn usual(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.start_all()
}

/// Waits until the status says that the node announces, and it is the one that answers.
fn speaks(rig: &Rig, service: &str, address: &str, node: &str) -> Checked {
    rig.speaks(service, node)?;
    wait("the node to answer", || rig.owner(address), |owner| owner == node).map(drop)
}

/// The node that announces by the election order.
fn natural(rig: &Rig, service: &str) -> Result<String, Box<dyn Error>> {
    rig.speaker_of(service)
}

fn others(node: &str) -> Vec<&'static str> {
    ALL.into_iter().filter(|other| *other != node).collect()
}

fn silent(rig: &Rig, addresses: &[String], during: Duration) -> Checked {
    for address in addresses {
        let answering = rig.answering(address, during)?;
        check(answering.is_empty(), format!("{answering:?} answer for {address}"))?;
    }
    Ok(())
}

fn l2_01(rig: &mut Rig) -> Checked {
    usual(rig)?;
    for address in rig.ask("web", "", true, &ALL)? {
        rig.reach(&address)?;
    }
    Ok(())
}

fn l2_02(rig: &mut Rig) -> Checked {
    usual(rig)?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    let owner = rig.owner(&addresses[0])?;
    rig.speaks("web", &owner)?;
    std::thread::sleep(Duration::from_secs(3));
    check(rig.speaker_of("web")? == owner, "the status says another node now")?;
    rig.cluster.admin().run(&["delete", "service", "web", "-n", SHOP])?;
    wait("no status", || rig.statuses("servicel2statuses"), BTreeSet::is_empty).map(drop)
}

fn l2_03(rig: &mut Rig) -> Checked {
    usual(rig)?;
    let addresses = rig.ask("web", "externalTrafficPolicy: Local, ", false, &ALL)?;
    let owner = rig.owner(&addresses[0])?;
    rig.reach(&addresses[0])?;
    for _ in 0..5 {
        let answer = Answer::of(&rig.fetch(&addresses[0])?).ok_or("not a page of a pod")?;
        check(answer.node == owner, format!("{owner} announces and {} answers", answer.node))?;
    }
    Ok(())
}

fn l2_04(rig: &mut Rig) -> Checked {
    usual(rig)?;
    let ports = "[{name: pages, port: 80, protocol: TCP}, {name: datagrams, port: 81, protocol: UDP}]";
    rig.cluster.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, namespace: {SHOP}}}, spec: {{type: LoadBalancer, ports: {ports}}}}}"
    ))?;
    rig.serve(SHOP, "web", &[("pages", Transport::Tcp), ("datagrams", Transport::Udp)], &ALL)?;
    let address = wait("an address", || rig.addresses("web"), |addresses| !addresses.is_empty())?.remove(0);
    rig.reach(&address)?;
    let server = SocketAddr::new(address.parse()?, 81);
    let ask = || Ok(datagram::ask_from(rig.cluster.client(), server, Duration::from_secs(1))?);
    wait("an answer to a datagram", ask, |page| Answer::of(page).is_some()).map(drop)
}

fn away_and_back(rig: &mut Rig, away: impl Fn(&Rig, &str) -> Checked, back: impl Fn(&Rig, &str) -> Checked) -> Checked {
    usual(rig)?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    let first = rig.owner(&addresses[0])?;
    away(rig, &first)?;
    let next = wait("another node", || rig.owner(&addresses[0]), |next| *next != first)?;
    rig.speaks("web", &next)?;
    back(rig, &first)?;
    speaks(rig, "web", &addresses[0], &first)
}

fn l2_05(rig: &mut Rig) -> Checked {
    away_and_back(rig, |rig, node| rig.network(node, "True"), |rig, node| rig.network(node, "False"))
}

fn l2_06(rig: &mut Rig) -> Checked {
    away_and_back(
        rig,
        |rig, node| rig.label(node, &format!("{EXCLUDE}=")),
        |rig, node| rig.label(node, &format!("{EXCLUDE}-")),
    )
}

fn l2_07(rig: &mut Rig) -> Checked {
    advertise(rig, "all", "{}")?;
    rig.start_all()?;
    for (name, addresses) in [("range", [V4, V6]), ("prefix", ["192.168.1.240/29", "fc00:f853:ccd:e793::f0/125"])] {
        rig.pool("lan", &addresses)?;
        for address in rig.ask(name, "", true, &ALL)? {
            let in_range = address.starts_with("192.168.1.24") || address.starts_with("fc00:f853:ccd:e793::f");
            check(in_range, format!("{address} is not of the pool"))?;
            rig.reach(&address)?;
        }
        rig.cluster.admin().run(&["delete", "service", name, "-n", SHOP])?;
    }
    Ok(())
}

fn l2_08(rig: &mut Rig) -> Checked {
    usual(rig)?;
    let shared = "metallb.io/allow-shared-ip: key";
    rig.asked("one", &format!("{shared}, metallb.io/loadBalancerIPs: 192.168.1.245"), 80, &["n1"])?;
    rig.asked("two", &format!("{shared}, metallb.io/loadBalancerIPs: 192.168.1.245"), 81, &["n2"])?;
    rig.reach("192.168.1.245")?;
    let one = rig.speaker_of("one")?;
    rig.speaks("two", &one)
}

fn l2_09(rig: &mut Rig) -> Checked {
    advertise(rig, "all", "{}")?;
    rig.start_all()?;
    for (assign, [first, second]) in [("true", ["a", "b"]), ("false", ["c", "d"])] {
        for (name, address) in [(first, "192.168.1.24"), (second, "192.168.1.25")] {
            let last = i32::from(assign != "true");
            let spec = format!("{{addresses: [{address}{last}/32], autoAssign: {assign}}}");
            rig.ours("IPAddressPool", "v1beta1", name, &spec)?;
            rig.asked(name, &format!("metallb.io/address-pool: {name}"), 80, &ALL)?;
            check(rig.addresses(name)? == [format!("{address}{last}")], "not of the pool that was asked for")?;
            rig.reach(&format!("{address}{last}"))?;
            let service = &rig.get(&["service", name, "-n", SHOP])?[0];
            let noted = &service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"];
            check(noted == name, format!("the annotation is {noted}"))?;
        }
        let last = i32::from(assign != "true");
        check(rig.addresses(first)? == [format!("192.168.1.24{last}")], "the first lost its address")?;
    }
    Ok(())
}

fn l2_10(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    for node in ALL {
        advertise(rig, "one", &format!("{{{}}}", on_node(node)))?;
        speaks(rig, "web", &addresses[0], node)?;
    }
    Ok(())
}

fn l2_11(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    advertise(rig, "second", &format!("{{{}}}", on_node("n2")))?;
    advertise(rig, "all", "{}")?;
    rig.start_all()?;
    let addresses = rig.ask("web", "externalTrafficPolicy: Local, ", false, &["n1"])?;
    speaks(rig, "web", &addresses[0], "n1")
}

fn l2_12(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    advertise(rig, "some", "{nodeSelectors: [{matchLabels: {kind: chosen}}]}")?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    silent(rig, &addresses, CALM)?;
    rig.label("n1", "kind=chosen")?;
    speaks(rig, "web", &addresses[0], "n1")
}

fn l2_13(rig: &mut Rig) -> Checked {
    for (name, addresses) in [("a", "192.168.1.240-192.168.1.244"), ("b", "192.168.1.245-192.168.1.250")] {
        rig.pool(name, &[addresses])?;
        rig.cluster.admin().run(&["label", "ipaddresspool", name, "-n", "metallb-system", &format!("kind={name}")])?;
    }
    let spec =
        "{ipAddressPoolSelectors: [{matchLabels: {kind: a}}], serviceSelectors: [{matchLabels: {expose: \"true\"}}]}";
    advertise(rig, "some", spec)?;
    rig.start_all()?;
    for name in ["a", "b"] {
        rig.asked(name, &format!("metallb.io/address-pool: {name}"), 80, &ALL)?;
        rig.label_service(name, "expose=true")?;
    }
    rig.speaker_of("a")?;
    for (value, wanted) in [("false", 0), ("true", 1)] {
        for name in ["a", "b"] {
            rig.label_service(name, &format!("expose={value}"))?;
        }
        let only_a =
            |statuses: &Statuses| statuses.len() == wanted && statuses.iter().all(|(_, service, _)| service == "a");
        wait("the status of the exposed one alone", || rig.statuses("servicel2statuses"), only_a)?;
    }
    Ok(())
}

fn l2_14(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    for node in ["n1", "n2"] {
        advertise(rig, node, &format!("{{{}, serviceSelectors: [{{matchLabels: {{app: web}}}}]}}", on_node(node)))?;
    }
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    rig.label_service("web", "app=web")?;
    let owner = rig.owner(&addresses[0])?;
    check(owner != "n3", "announced by the node that no advertisement names")
}

fn l2_15(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    advertise(rig, "other", "{serviceSelectors: [{matchLabels: {app: other}}]}")?;
    advertise(rig, "nowhere", &format!("{{{}, serviceSelectors: [{{matchLabels: {{app: web}}}}]}}", on_node("n9")))?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    rig.label_service("web", "app=web")?;
    silent(rig, &addresses, CALM)
}

fn l2_16(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    let expression = "{serviceSelectors: [{matchExpressions: [{key: app, operator: In, values: [nginx, apache]}]}]}";
    advertise(rig, "some", expression)?;
    rig.start_all()?;
    for name in ["nginx", "apache", "other"] {
        rig.ask(name, "", false, &ALL)?;
        rig.label_service(name, &format!("app={name}"))?;
    }
    rig.reach(&rig.addresses("nginx")?[0])?;
    rig.reach(&rig.addresses("apache")?[0])?;
    silent(rig, &rig.addresses("other")?, CALM)
}

fn l2_17(rig: &mut Rig) -> Checked {
    usual(rig)?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    let first = rig.owner(&addresses[0])?;
    rig.speaker(&first)?.terminate(Duration::from_secs(2))?;
    let next = wait("another node", || rig.owner(&addresses[0]), |next| *next != first)?;
    rig.speaks("web", &next)?;
    rig.speaker(&first)?.start()?;
    speaks(rig, "web", &addresses[0], &first)
}

fn l2_18(rig: &mut Rig) -> Checked {
    usual(rig)?;
    rig.create("web", "loadBalancerClass: foo, ", false, &ALL)?;
    std::thread::sleep(CALM);
    check(rig.addresses("web")?.is_empty(), "it got an address")
}

/// A running Service under an empty advertisement: its address, and the node that announces it by the order.
fn natural_service(rig: &mut Rig) -> Result<(String, String), Box<dyn Error>> {
    rig.pool("lan", &[V4])?;
    advertise(rig, "all", "{}")?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    Ok((addresses[0].clone(), natural(rig, "web")?))
}

fn prefer(weights: &[(&str, u8)]) -> String {
    let entry = |(label, weight): &(&str, u8)| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        format!("{{weight: {weight}, preference: {{matchLabels: {{{key}: \"{value}\"}}}}}}")
    };
    format!("preferredNodeSelectors: [{}]", weights.iter().map(entry).collect::<Vec<_>>().join(", "))
}

fn l2_20(rig: &mut Rig) -> Checked {
    let (address, natural) = natural_service(rig)?;
    let chosen = others(&natural)[0];
    rig.label(chosen, "x=y")?;
    advertise(rig, "all", &format!("{{{}}}", prefer(&[("x=y", 100)])))?;
    speaks(rig, "web", &address, chosen)?;
    rig.label(chosen, "x-")?;
    speaks(rig, "web", &address, &natural)
}

fn l2_21(rig: &mut Rig) -> Checked {
    let (address, natural) = natural_service(rig)?;
    let any = "{weight: 10, preference: {}}";
    let none = "{weight: 100, preference: {matchLabels: {nobody: has}}}";
    advertise(rig, "all", &format!("{{preferredNodeSelectors: [{none}, {any}]}}"))?;
    std::thread::sleep(CALM);
    speaks(rig, "web", &address, &natural)
}

fn l2_22(rig: &mut Rig) -> Checked {
    let (address, natural) = natural_service(rig)?;
    let chosen = others(&natural)[0];
    rig.label(chosen, "x=y")?;
    advertise(rig, "all", &format!("{{{}}}", prefer(&[("x=y", 100)])))?;
    speaks(rig, "web", &address, chosen)?;
    rig.label(chosen, &format!("{EXCLUDE}="))?;
    speaks(rig, "web", &address, &natural)?;
    rig.label(chosen, &format!("{EXCLUDE}-"))?;
    speaks(rig, "web", &address, chosen)
}

fn l2_23(rig: &mut Rig) -> Checked {
    let (address, natural) = natural_service(rig)?;
    for node in others(&natural) {
        rig.label(node, &format!("name={node}"))?;
        advertise(rig, "all", &format!("{{{}}}", prefer(&[(&format!("name={node}"), 100)])))?;
        speaks(rig, "web", &address, node)?;
    }
    advertise(rig, "all", "{preferredNodeSelectors: []}")?;
    speaks(rig, "web", &address, &natural)
}

fn l2_24(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    rig.label("n1", "x=y")?;
    rig.label("n1", "in=set")?;
    rig.label("n2", "in=set")?;
    let nodes = "nodeSelectors: [{matchLabels: {in: set}}]";
    advertise(rig, "some", &format!("{{{nodes}, {}}}", prefer(&[("x=y", 100)])))?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    speaks(rig, "web", &addresses[0], "n1")
}

fn l2_25(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    rig.label("n2", "x=y")?;
    advertise(rig, "some", &format!("{{{}, {}}}", on_node("n1"), prefer(&[("x=y", 100)])))?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    speaks(rig, "web", &addresses[0], "n1")?;
    let answering = rig.answering(&addresses[0], Duration::from_secs(3))?;
    check(answering == BTreeSet::from(["n1".to_owned()]), format!("{answering:?}"))
}

fn l2_26(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    rig.label("n1", "zone=z")?;
    rig.label("n1", "role=r")?;
    rig.label("n2", "zone=z")?;
    advertise(rig, "zone", &format!("{{{}}}", prefer(&[("zone=z", 60)])))?;
    advertise(rig, "role", &format!("{{{}}}", prefer(&[("role=r", 50)])))?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    speaks(rig, "web", &addresses[0], "n1")?;
    rig.label("n1", "zone-")?;
    speaks(rig, "web", &addresses[0], "n2")
}

fn l2_27(rig: &mut Rig) -> Checked {
    let (address, natural) = natural_service(rig)?;
    let other = rig.ask("matched", "", false, &ALL)?;
    let before = rig.speaker_of("matched")?;
    let chosen = others(&before)[0];
    rig.label(chosen, "x=y")?;
    rig.label_service("matched", "app=matched")?;
    let spec = format!("{{serviceSelectors: [{{matchLabels: {{app: matched}}}}], {}}}", prefer(&[("x=y", 100)]));
    advertise(rig, "matched", &spec)?;
    speaks(rig, "matched", &other[0], chosen)?;
    speaks(rig, "web", &address, &natural)
}

fn l2_30(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    advertise(rig, "first", "{interfaces: [eth0]}")?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    let owner = rig.owner(&addresses[0])?;
    let wanted = BTreeSet::from([(owner, "web".to_owned(), r#"[{"name":"eth0"}]"#.to_owned())]);
    for _ in 0..2 {
        wait("the status with its interface", || rig.statuses("servicel2statuses"), |all| *all == wanted)?;
        std::thread::sleep(Duration::from_secs(2));
    }
    Ok(())
}

fn l2_31(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    advertise(rig, "first", "{interfaces: [eth0]}")?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    let owner = rig.owner(&addresses[0])?;
    let hardware = rig.cluster.node(&owner)?.hardware()?;
    let seen = rig.hardware_of(&addresses[0])?;
    check(seen == BTreeSet::from([hardware]), format!("{seen:?} and not {hardware:?}"))?;
    rig.reach(&addresses[0]).map(drop)
}

/// Waits until nobody or one node answers on each segment: the first, the second.
fn segments(rig: &Rig, address: &str, expected: [usize; 2]) -> Checked {
    let during = Duration::from_millis(600);
    let look = || Ok([rig.answering(address, during)?.len(), rig.answering_on_second(address, during)?.len()]);
    wait(&format!("{expected:?} nodes to answer on the two segments"), look, |found| *found == expected).map(drop)
}

fn l2_32(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    rig.start_all()?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    for (link, expected) in [("eth0", [1, 0]), ("eth1", [0, 1])] {
        advertise(rig, "one", &format!("{{interfaces: [{link}]}}"))?;
        segments(rig, &address, expected)?;
        let (first, second) = (rig.answering(&address, CALM)?.len(), rig.answering_on_second(&address, CALM)?.len());
        check([first, second] == expected, format!("{first} and {second} nodes answer, and not {expected:?}"))?;
    }
    Ok(())
}

fn l2_34(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    advertise(rig, "first", "{interfaces: [eth0]}")?;
    advertise(rig, "second", "{interfaces: [eth1]}")?;
    rig.start_all()?;
    let address = rig.ask("web", "", false, &ALL)?.remove(0);
    segments(rig, &address, [1, 1])?;
    let owner = rig.owner(&address)?;
    let second = rig.answering_on_second(&address, Duration::from_millis(600))?;
    check(second == BTreeSet::from([owner]), format!("another node answers on the second segment: {second:?}"))
}

fn l2_33(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    advertise(rig, "none", "{interfaces: [eth9]}")?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    let is_told = |events: &Vec<(String, String)>| events.iter().any(|(reason, _)| reason == "announceFailed");
    wait("the event", || rig.events("web"), is_told)?;
    silent(rig, &addresses, CALM)
}

fn l2_35(rig: &mut Rig) -> Checked {
    rig.pool("lan", &[V4])?;
    rig.start_all()?;
    let addresses = rig.ask("web", "", false, &ALL)?;
    for node in ALL {
        advertise(rig, "one", &format!("{{interfaces: [eth0], {}}}", on_node(node)))?;
        speaks(rig, "web", &addresses[0], node)?;
    }
    Ok(())
}
