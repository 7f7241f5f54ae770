//! `ferrule explain` on files: its machine form field by field, what it says of a refused configuration, and what speakers report beside the
//! rules.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::against::now;
use super::{ferrule, json_of, stdout, write_file};

fn explained(text: &str, arguments: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write_file(&folder, "now.yaml", text);
    let output = ferrule(&[&["explain"], arguments, &["-f", &file]].concat());
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap_or(-1), stdout(&output).replace(&file, "now.yaml"))
}

fn explained_as_json(text: &str, subject: &str) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write_file(&folder, "now.yaml", text);
    json_of(&ferrule(&["explain", subject, "-o", "json", "-f", &file]))
}

/// An object in which a speaker says what it announces.
fn report(kind: &str, service: &str, node: &str, more: &str) -> String {
    format!(
        "---\napiVersion: metallb.io/v1beta1\nkind: {kind}\nmetadata: {{name: {node}-{service}, namespace: metallb-system}}\nstatus: {{node: \
         {node}, serviceName: {service}, serviceNamespace: shop{more}}}\n"
    )
}

fn layer2(node: &str, more: &str) -> String {
    report("ServiceL2Status", "web", node, more)
}

fn bgp(node: &str, peers: &str) -> String {
    report("ServiceBGPStatus", "web", node, &format!(", peers: [{peers}]"))
}

/// The names of an object's fields.
fn fields(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("it is an object").keys().map(String::as_str).collect()
}

fn set<'a>(names: &[&'a str]) -> BTreeSet<&'a str> {
    names.iter().copied().collect()
}

// Every field that docs/explain.md names is there, and none that it does not name.
#[test]
fn the_machine_form_has_the_documented_fields() {
    let reports = layer2("node1", "") + &bgp("node1", "tor") + &bgp("node2", "tor, old");
    let web = explained_as_json(&(now() + &reports), "shop/web");
    assert_eq!(fields(&web), set(&["answer", "fix", "services", "remarks", "problems"]));
    let service = &web["services"][0];
    let always = ["service", "answer", "ips", "recorded", "allocation", "announcement", "nodes", "reports"];
    assert_eq!(fields(service), set(&[&always[..], &["fix", "pool"]].concat()));
    assert_eq!((&service["service"], &service["pool"]), (&json!("shop/web"), &json!("public")));
    assert_eq!((&service["ips"], &service["recorded"]), (&json!(["192.0.2.0"]), &json!(["192.0.2.0"])));
    let kept = &service["allocation"][2];
    assert_eq!(fields(kept), set(&["rule", "outcome", "objects", "text"]));
    assert_eq!((&kept["rule"], &kept["outcome"]), (&json!("CTRL-47"), &json!("chosen")));
    assert_eq!(kept["objects"], json!([{"kind": "IPAddressPool", "namespace": "metallb-system", "name": "public"}]));
    let [first, second] = [0, 1].map(|place| &service["nodes"][place]);
    assert_eq!(fields(first), set(&["node", "layer2", "bgp", "steps"]));
    assert_eq!((&first["node"], &first["layer2"]), (&json!("node1"), &json!("first-owner")));
    assert_eq!(fields(second), set(&["node", "layer2", "reason", "bgp", "steps"]));
    assert_eq!(
        (&second["layer2"], &second["reason"]["category"]),
        (&json!("withheld"), &json!("no-matching-advertisement"))
    );
    assert_eq!(second["bgp"], json!([{"prefix": "192.0.2.0/32", "peer": "tor"}]));
    let text = |node: &str, rest: &str| format!("{node} reports that it {rest}");
    let look = |node: &str| {
        format!("see that the speaker on {node} runs and is ready, and what its log says; it may also need a moment")
    };
    assert_eq!(
        service["reports"],
        json!([
            {"protocol": "layer2", "node": "node1", "reported": true, "agrees": true, "rule": "STAT-4",
             "text": text("node1", "answers on layer 2, on all links")},
            {"protocol": "bgp", "node": "node1", "reported": true, "agrees": false, "peers": ["tor"], "rule": "STAT-21",
             "text": text("node1", "announces it by BGP to tor; by the rules nobody hears of it"), "fix": look("node1")},
            {"protocol": "bgp", "node": "node2", "reported": true, "agrees": false, "peers": ["old", "tor"], "rule": "STAT-21",
             "text": text("node2", "announces it by BGP to old, tor; by the rules to tor"), "fix": look("node2")},
        ])
    );

    let full = now().replace("[192.0.2.0/28]", "[192.0.2.0/32, 192.0.2.9/32]");
    let late = explained_as_json(&full, "shop/late");
    let service = &late["services"][0];
    assert_eq!(fields(service), set(&[&always[..], &["fix", "error"]].concat()));
    assert_eq!((&service["ips"], &service["nodes"]), (&json!([]), &json!([])));
    assert_eq!(fields(&service["error"]), set(&["category", "message"]));
    assert_eq!(service["error"]["category"], "pool-exhausted");
    assert_eq!(late["fix"], service["fix"]);
    let refused: Vec<&Value> =
        service["allocation"].as_array().unwrap().iter().filter(|step| step["outcome"] == "refused").collect();
    assert!(refused.iter().all(|step| step["fix"].is_string() && step["rule"].is_string()), "{refused:?}");

    let wrong = explained_as_json(&now().replace("[192.0.2.0/28]", "[192.0.2.0/28, 7]"), "shop/web");
    let problem = ["severity", "category", "file", "line", "kind", "namespace", "name", "field", "message", "fix"];
    assert_eq!(fields(&wrong["problems"][0]), set(&problem));
    assert!(wrong["remarks"].as_array().is_some_and(|remarks| !remarks.is_empty()), "{}", wrong["remarks"]);

    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explain.md")).unwrap();
    let table = page.split("## For programs").nth(1).expect("the section is there");
    let steps = ["rule", "outcome", "objects", "text"].into_iter();
    let named =
        always.into_iter().chain(["fix", "pool", "error", "remarks", "problems", "node", "layer2", "reason", "bgp"]);
    let reports = ["protocol", "reported", "agrees", "interfaces", "peers"];
    for field in named.chain(steps).chain(reports).chain(["prefix", "peer", "steps", "kind", "namespace", "name"]) {
        let is_named = table.contains(&format!("`{field}`")) || table.contains(&format!("`{field}[]`"));
        assert!(is_named || table.contains(&format!("].{field}[]`")), "{field} is not documented");
    }
}

const REFUSED: &str = "\
The configuration is refused for an error; without what is wrong: shop/web has 192.0.2.0 from pool public; node1 answers for it first.

Address
  passed  CTRL-30     the type of the Service is LoadBalancer
  passed  CTRL-37     the cluster IP makes the Service IPv4
  chosen  CTRL-47     the recorded 192.0.2.0 is kept: pool public has it and serves the Service

Announcement, on every node
  passed  ANN-6       pool public has 192.0.2.0
  passed  ADV-43      L2Advertisement first: it covers the Service
  passed  ADV-8       BGPAdvertisement routes: it covers the Service
  passed  ANN-20      2 endpoints can serve, on node1, node2
  chosen  L2-4        node1 is the first owner; order for 192.0.2.0: node1

Announcement, on node1
  passed  ADV-41      L2Advertisement first: it includes the node, by its nodeSelector rack=a
  passed  ADV-6       BGPAdvertisement routes: it includes every node
  chosen  L2-4        layer 2: it comes first in the election, so it answers unless another healthy node already does
  refused ADV-7       BGP: nobody hears of 192.0.2.0/32: no BGPPeer selects the node
                      mend: widen the nodeSelectors of a BGPPeer

";

#[test]
fn a_refused_configuration_is_explained_as_far_as_it_is_right() {
    let faulty = "---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: lab}\nspec: {addresses: [nonsense]}\n";
    let lines = now().lines().count();
    let (code, text) = explained(&(now() + faulty), &["shop/web", "--node", "node1"]);
    let problem = format!(
        "Note: left out for the errors: IPAddressPool metallb-system/lab; a program that has run before keeps their last good versions\n\
         now.yaml:{}: error: IPAddressPool metallb-system/lab: spec.addresses[0]: \"nonsense\" is not an address range (write ADDRESS/LENGTH or \
         FIRST-LAST)\n",
        lines + 5
    );
    assert_eq!((code, text), (1, REFUSED.to_owned() + &problem));
    let (code, text) = explained(&(now() + "---\nkind: [\n"), &["shop/web", "--node", "node1"]);
    let what = "did not find expected node content (correct the YAML at this line; the other documents were read)";
    assert_eq!((code, text), (1, format!("{REFUSED}now.yaml:{}: error: {what}\n", lines + 2)));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write_file(&folder, "now.yaml", &(now() + faulty));
    let output = ferrule(&["explain", "shop/web", "-o", "json", "-f", &file]);
    assert_eq!(output.status.code(), Some(1));
    let problem = &json_of(&output)["problems"][0];
    assert_eq!((&problem["file"], &problem["line"]), (&json!(file), &json!(lines + 5)));
}

const HAS: &str = "shop/web has 192.0.2.0 from pool public; node2 answers for it first, and 1 more node stands by; node2 announces it by BGP to \
                   tor";

#[test]
fn what_speakers_report_stands_beside_what_the_rules_say() {
    let both = now().replace("ipAddressPools: [public], nodeSelectors: [{matchLabels: {rack: a}}]", "");
    let web = |reports: &str, arguments: &[&str]| {
        let (code, text) = explained(&(both.clone() + reports), &[&["shop/web"], arguments].concat());
        assert_eq!(code, 0, "{text}");
        let (answer, rest) = text.split_once('\n').expect("lines");
        let told = rest.split_once("\nWhat speakers report\n").map(|(_, told)| told).unwrap_or_default();
        (answer.to_owned(), told.to_owned())
    };
    let look = |node: &str| {
        format!(
            "                      mend: see that the speaker on {node} runs and is ready, and what its log says; it may also need a moment\n"
        )
    };
    let gone = "                      mend: delete the object that says so, if node9 is gone for good\n".to_owned();
    let expect = |reports: &str, differs: &str, told: String| {
        assert_eq!(web(reports, &[]), (format!("{HAS}{differs}."), told), "{reports}");
    };
    expect("", "", String::new());
    // [STAT-4]
    expect(
        &layer2("node2", ""),
        "",
        "  agrees  STAT-4      node2 reports that it answers on layer 2, on all links\n".to_owned(),
    );
    let stays = "node1 reports that it answers on layer 2, on all links; node2 comes first in the election, but an address stays with a healthy node that answers for it";
    let absent = "node9 reports that it answers on layer 2, on all links; there is no such Node";
    let links = "node1 reports that it answers on layer 2, on eth0; by the rules on all links";
    let nobody = "no speaker reports that it answers on layer 2; by the rules node2 does";
    for (reports, text, mend) in [
        (layer2("node1", ""), stays, String::new()),
        (layer2("node9", ""), absent, gone),
        (layer2("node1", ", interfaces: [{name: eth0}]"), links, look("node1")),
        (report("ServiceL2Status", "api", "node1", ""), nobody, look("node2")),
    ] {
        expect(&reports, &format!("; but {text}"), format!("  differs STAT-4      {text}\n{mend}"));
    }
    // [STAT-21]
    expect(
        &bgp("node2", "tor"),
        "",
        "  agrees  STAT-21     node2 reports that it announces it by BGP to tor\n".to_owned(),
    );
    let first = "node1 reports that it announces it by BGP to tor; by the rules nobody hears of it";
    let second = "node2 does not report that it announces it by BGP; by the rules it does, to tor";
    let told =
        format!("  differs STAT-21     {first}\n{}  differs STAT-21     {second}\n{}", look("node1"), look("node2"));
    expect(&bgp("node1", "tor"), &format!("; but {first} (and 1 more, below)"), told);
    let reports = layer2("node1", "") + &bgp("node2", "tor");
    assert_eq!(web(&reports, &["--node", "node1"]).1.lines().count(), 1);
    // A node that the rules keep out.
    let kept_out = both
        .replace("labels: {rack: a}", "labels: {rack: a, node.kubernetes.io/exclude-from-external-load-balancers: ''}");
    let (_, text) = explained(&(kept_out + &layer2("node1", "")), &["shop/web"]);
    let differs =
        "\n  differs STAT-4      node1 reports that it answers on layer 2, on all links; by the rules it does not: ";
    assert!(text.contains(differs), "{text}");
}

// [POL-WAIT], [POL-FREEZE]: what the controller has written of a policy counts.
#[test]
fn what_waits_and_what_a_freeze_keeps_is_read_from_statuses() {
    let policy = "---\napiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {name: rules}\nspec: {retention: 24h, \
                  ipAddressPoolSelectors: [{matchLabels: {zone: east}}], freeze: {}}\nstatus:\n  held: [{address: 192.0.2.1, service: \
                  shop/gone, until: '2100-01-01T00:00:00Z', reason: Retention}]\n  kept: [{address: 198.51.100.7, pool: before, poolLabels: \
                  {zone: east}, service: shop/old}]\n";
    let old =
        super::against::service("old", "metallb.io/ip-allocated-from-pool: before", "ingress: [{ip: 198.51.100.7}]");
    let text = now() + policy + &old;
    let first = |subject: &str| {
        let (code, text) = explained(&text, &[subject]);
        assert_eq!(code, 0, "{text}");
        text.lines().next().unwrap_or_default().to_owned()
    };
    assert!(first("192.0.2.1").starts_with("192.0.2.1 waits for shop/gone until "), "{}", first("192.0.2.1"));
    assert!(first("shop/late").starts_with("shop/late gets 192.0.2.2 from pool public"), "{}", first("shop/late"));
    assert!(first("shop/old").starts_with("shop/old has 198.51.100.7 from pool before"), "{}", first("shop/old"));
}

#[test]
fn a_name_that_is_not_there_is_told_with_what_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let told = |text: &str, arguments: &[&str]| {
        let file = write_file(&folder, "now.yaml", text);
        let output = ferrule(&[&["explain"], arguments, &["-f", &file]].concat());
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let none = "at all; where files are read, add the output of `kubectl get ";
    let other = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n".to_owned();
    for (text, arguments, expected) in [
        (now(), ["shop/wbe"].as_slice(), "there is no Service shop/wbe: near names are shop/web".to_owned()),
        (now(), &["office/mail"], "there is no Service office/mail: none has a name near it".to_owned()),
        (other.clone(), &["shop/web"], format!("there is no Service shop/web: there are no services {none}services")),
        (now(), &["shop/web", "--node", "n"], "there is no Node n: Nodes are node1".to_owned()),
        (other, &["192.0.2.1", "--node", "n"], format!("there is no Node n: there are no nodes {none}nodes")),
    ] {
        let error = told(&text, arguments);
        assert!(error.contains(&expected), "{error}");
    }
}
