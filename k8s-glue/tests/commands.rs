//! `validate`, `plan` and `explain` through the real binary: what is printed, in which order, and the exit codes.

#[path = "commands/against.rs"]
mod against;
#[path = "commands/explaining.rs"]
mod explaining;
#[path = "commands/warnings.rs"]
mod warnings;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

fn ferrule(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferrule")).args(arguments).output().expect("the binary is built before its tests")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("output is text")
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).expect("the output is JSON")
}

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    path.to_str().expect("the path of the repository is text").to_owned()
}

/// Severity, category and line of each problem.
fn problems(report: &Value) -> Vec<(String, String, u64)> {
    let problems = report["problems"].as_array().expect("problems are a list").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    problems
        .map(|problem| {
            assert_ne!(problem["fix"], "", "{problem}");
            (text(&problem["severity"]), text(&problem["category"]), problem["line"].as_u64().unwrap_or_default())
        })
        .collect()
}

fn write_file(folder: &tempfile::TempDir, name: &str, text: &str) -> String {
    let path: PathBuf = folder.path().join(name);
    std::fs::write(&path, text).expect("the folder is ours");
    path.to_str().expect("temporary paths are text").to_owned()
}

/// A pool of its own /28 in 10.0.0.0/8, on five lines with its mark.
fn pool(number: usize) -> String {
    let (high, low) = (number / 16, number % 16 * 16);
    format!(
        "---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: pool{number}}}\nspec: {{addresses: [10.{}.{}.{low}/28]}}\n",
        high / 256,
        high % 256
    )
}

#[test]
fn a_thousand_documents_with_three_bad_ones_give_three_problems_in_one_run() {
    let mut documents: Vec<String> = (1..=1_000).map(pool).collect();
    documents[0] = documents[0].replace("/28", "/33");
    documents[499] = documents[499].replace("name: pool500}", "name: [pool500}");
    documents[999] = documents[999].replace("addresses: [", "addresses: [10.9.9.9, ");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write_file(&folder, "many.yaml", &documents.concat());
    let output = ferrule(&["validate", "-o", "json", "-f", &file]);
    assert_eq!(output.status.code(), Some(1));
    let report = json_of(&output);
    assert_eq!(report["valid"], false);
    let expected = [("invalid-address-range", 5), ("schema", 499 * 5 + 4), ("invalid-address-range", 999 * 5 + 5)];
    let expected = expected.map(|(category, line)| ("error".to_owned(), category.to_owned(), line));
    assert_eq!(problems(&report), expected);
    let text = stdout(&ferrule(&["validate", "-f", &file]));
    assert!(text.ends_with("3 errors and 0 warnings in 1000 documents\n"), "{text}");
    assert!(
        text.starts_with(&format!("{file}:5: error: IPAddressPool metallb-system/pool1: spec.addresses[0]: ")),
        "{text}"
    );
}

#[test]
fn the_quick_start_is_valid_and_its_plan_is_the_contract() {
    let folder = example("quick-start");
    let valid = ferrule(&["validate", "-f", &folder]);
    assert_eq!((valid.status.code(), stdout(&valid).as_str()), (Some(0), "0 errors and 0 warnings in 14 documents\n"));
    let plan = ferrule(&["plan", "-f", &folder, "-o", "json"]);
    assert_eq!(plan.status.code(), Some(0));
    let owner =
        |ip: &str, service: &str, node: &str| json!({"ip": ip, "service": service, "node": node, "interfaces": ["*"]});
    let service = |name: &str, pool: &str, ip: &str| json!({"service": name, "pool": pool, "ips": [ip]});
    let expected = json!({
        "services": [
            service("office/dns-tcp", "office", "192.0.2.10"),
            service("office/dns-udp", "office", "192.0.2.10"),
            service("office/printer", "reserved", "192.0.2.200"),
            service("shop/web", "office", "192.0.2.11"),
        ],
        "layer2": [
            owner("192.0.2.10", "office/dns-tcp", "node2"),
            owner("192.0.2.11", "shop/web", "node3"),
            owner("192.0.2.200", "office/printer", "node2"),
        ],
        "bgp": [],
    });
    assert_eq!(json_of(&plan), expected);
    let table = stdout(&ferrule(&["plan", "-f", &folder]));
    assert!(table.contains("shop/web        office    192.0.2.11\n"), "{table}");
}

#[test]
fn routes_are_planned_with_the_names_of_the_contract() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "apiVersion: v1\nkind: Node\nmetadata: {name: node1}\n---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: \
                rack}\nspec: {addresses: [198.51.100.1/32]}\n---\napiVersion: metallb.io/v1beta2\nkind: BGPPeer\nmetadata: {name: tor1}\nspec: {myASN: \
                64500, peerASN: 64500, peerAddress: 192.0.2.254}\n---\napiVersion: metallb.io/v1beta1\nkind: BGPAdvertisement\nmetadata: {name: \
                all}\nspec: {localPref: 200, communities: ['64500:59', 'large:64500:1:2']}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: \
                web}\nspec: {type: LoadBalancer, clusterIP: 10.96.0.1}\n---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: \
                web-1, labels: {kubernetes.io/service-name: web}}\naddressType: IPv4\nendpoints: [{addresses: [10.244.0.1], nodeName: node1}]\n";
    let file = write_file(&folder, "bgp.yaml", text);
    let plan = json_of(&ferrule(&["plan", "-o", "json", "-f", &file]));
    let expected = json!([{"node": "node1", "peer": "tor1", "prefix": "198.51.100.1/32", "nextHop": "self", "localPref": 200,
        "communities": ["64500:59"], "largeCommunities": ["64500:1:2"]}]);
    assert_eq!(plan["bgp"], expected);
}

#[test]
fn broken_examples_are_refused_line_by_line() {
    let error = |category: &str, line: u64| ("error".to_owned(), category.to_owned(), line);
    let warning = |category: &str, line: u64| ("warning".to_owned(), category.to_owned(), line);
    let range = "invalid-address-range";
    for (name, code, expected) in [
        (
            "ranges.yaml",
            1,
            vec![error(range, 8), error(range, 9), error(range, 10), error(range, 11), error("overlapping-ranges", 12)],
        ),
        (
            "types.yaml",
            1,
            vec![
                error("schema", 6),
                error("schema", 7),
                warning("schema", 8),
                error("schema", 14),
                error("schema", 22),
                error("schema", 23),
            ],
        ),
        ("syntax.yaml", 1, vec![error("schema", 9), error("schema", 13)]),
        (
            "references.yaml",
            0,
            vec![
                warning("no-such-pool", 10),
                warning("wrong-namespace", 15),
                warning("no-such-pool", 19),
                warning("schema", 27),
            ],
        ),
    ] {
        let output = ferrule(&["validate", "-o", "json", "-f", &example(&format!("broken/{name}"))]);
        assert_eq!(output.status.code(), Some(code), "{name}");
        assert_eq!(problems(&json_of(&output)), expected, "{name}");
    }
}

#[test]
fn a_plan_of_a_refused_configuration_prints_its_problems() {
    let output = ferrule(&["plan", "-f", &example("broken/ranges.yaml")]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(json_of(&output)["valid"], false);
}

#[test]
fn standard_input_files_and_folders_are_read_together() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ferrule"))
        .args(["validate", "-o", "json", "-f", "-", "-f", &example("quick-start"), "/nonexistent.yaml"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary is built before its tests");
    let mut stdin = child.stdin.take().expect("it is piped");
    stdin.write_all(b"{\"apiVersion\": \"metallb.io/v1beta1\", \"kind\": \"Pool\"}").expect("the child reads");
    drop(stdin);
    let report = json_of(&child.wait_with_output().expect("the child ends"));
    let files: Vec<&str> =
        report["problems"].as_array().unwrap().iter().filter_map(|problem| problem["file"].as_str()).collect();
    assert_eq!(files, ["<stdin>", "/nonexistent.yaml"]);
}

#[test]
fn usage_errors_and_help_have_their_exit_codes() {
    assert_eq!(ferrule(&["validate"]).status.code(), Some(64));
    assert_eq!(ferrule(&["nonsense"]).status.code(), Some(64));
    assert_eq!(ferrule(&["--help"]).status.code(), Some(0));
    assert_eq!(ferrule(&["--version"]).status.code(), Some(0));
}

#[test]
fn bad_values_of_flags_of_run_end_with_64_before_anything_is_read() {
    let long = "n".repeat(256);
    for flags in [
        ["--heartbeat-timeout", "100"],
        ["--exclude-link", "("],
        ["--node-name", ""],
        ["--node-name", "n1\nERROR forged"],
        ["--node-name", &long],
        ["--heartbeat-period", "soon"],
    ] {
        let refused = ferrule(&["run", "-f", "/nonexistent.yaml", flags[0], flags[1]]);
        let complaint = String::from_utf8(refused.stderr).expect("complaints are text");
        assert_eq!(refused.status.code(), Some(64), "{flags:?}: {complaint}");
        assert!(complaint.contains(flags[0]), "{flags:?}: {complaint}");
    }
}

/// A pool and a Service; `{addresses}` and `{status}` are filled in.
fn small(addresses: &str, status: &str) -> String {
    format!(
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {{name: p}}\nspec: {{addresses: [{addresses}]}}\n---\napiVersion: \
         v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{type: LoadBalancer, clusterIP: 10.96.0.1}}\n{status}\n"
    )
}

#[test]
fn a_live_address_that_moves_or_is_lost_ends_with_2() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let status = "status: {loadBalancer: {ingress: [{ip: 192.0.2.7}]}}";
    let now = write_file(&folder, "now.yaml", &small("192.0.2.0/28", status));
    // A wider pool whose lowest address is free: the Service keeps what it has.
    let wider = write_file(&folder, "wider.yaml", &small("192.0.2.0/24", ""));
    let same = ferrule(&["plan", "-f", &wider, "--against", &now]);
    assert_eq!((same.status.code(), stdout(&same).as_str()), (Some(0), "nothing changes\n"));
    let other = write_file(&folder, "other.yaml", &small("198.51.100.0/28", ""));
    let moved = ferrule(&["plan", "-f", &other, "--against", &now, "-o", "json"]);
    assert_eq!(moved.status.code(), Some(2));
    let difference = json_of(&moved);
    assert_eq!(difference["moves"], json!(["192.0.2.7"]));
    assert_eq!(difference["services"][0]["effect"], "moved");
    assert_eq!(difference["services"][0]["to"]["ips"], json!(["198.51.100.0"]));
    // Pools alone: the Services are those of now.
    let pool = write_file(
        &folder,
        "pool.yaml",
        "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\nspec: {addresses: ['fd00::/64']}\n",
    );
    // Nothing is recorded, so nothing is live: the difference alone is printed.
    let planned = write_file(&folder, "planned.yaml", &small("192.0.2.0/28", ""));
    let differs = ferrule(&["plan", "-f", &other, "--against", &planned]);
    assert_eq!(differs.status.code(), Some(0));
    assert!(stdout(&differs).starts_with("moved: default/web: 192.0.2.0 (pool p) -> "), "{}", stdout(&differs));
    assert!(stdout(&differs).contains("no live address moves: the state of now records none"), "{}", stdout(&differs));
    let lost = ferrule(&["plan", "-f", &pool, "--against", &now]);
    assert_eq!(lost.status.code(), Some(2));
    assert!(stdout(&lost).ends_with("live addresses that move or are lost: 192.0.2.7\n"), "{}", stdout(&lost));
}

#[test]
fn an_owner_that_changes_is_a_move() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let advertisement = write_file(
        &folder,
        "l2.yaml",
        "apiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: office}\nspec: {nodeSelectors: [{matchLabels: \
         {kubernetes.io/hostname: node1}}]}\n---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: office}\nspec: {addresses: \
         [192.0.2.10-192.0.2.39]}\n---\napiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: reserved}\nspec: {addresses: \
         [192.0.2.200/32]}\n",
    );
    let services = std::fs::read_to_string(example("quick-start/services.yaml")).expect("the example is there");
    let (web, others) = services.split_once("\n---").expect("web comes first");
    let live = format!("{web}\nstatus: {{loadBalancer: {{ingress: [{{ip: 192.0.2.11}}]}}}}\n---{others}");
    let live = write_file(&folder, "live.yaml", &live);
    let now = ["nodes.yaml", "pool.yaml"].map(|name| example(&format!("quick-start/{name}")));
    let output = ferrule(&["plan", "-f", &advertisement, "--against", &live, &now[0], &now[1]]);
    assert_eq!(output.status.code(), Some(2));
    let text = stdout(&output);
    assert!(text.contains("owner of 192.0.2.11: node3 -> node1\n"), "{text}");
}

#[test]
fn the_class_decides_which_services_are_ours() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = small("192.0.2.0/28", "")
        .replace("type: LoadBalancer", "type: LoadBalancer, loadBalancerClass: example.com/lb");
    let file = write_file(&folder, "class.yaml", &text);
    // [CTRL-1]
    assert_eq!(json_of(&ferrule(&["plan", "-o", "json", "-f", &file]))["services"], json!([]));
    let ours = json_of(&ferrule(&["plan", "-o", "json", "-f", &file, "--lb-class", "example.com/lb"]));
    assert_eq!(ours["services"][0]["ips"], json!(["192.0.2.0"]));
}

// [L2-30]
#[test]
fn an_owner_without_any_of_the_links_answers_nowhere() {
    let folder = example("quick-start");
    let words =
        ["plan", "-o", "json", "-f", &folder, "--node-interfaces", "node2=", "--live-node", "node1", "node2", "nod3"];
    let planned = ferrule(&words);
    let plan = json_of(&planned);
    let owners: Vec<&str> =
        plan["layer2"].as_array().unwrap().iter().filter_map(|owner| owner["node"].as_str()).collect();
    assert_eq!(owners, ["node1"]);
    let said = String::from_utf8(planned.stderr).expect("warnings are text");
    let lines: Vec<&str> = said.lines().collect();
    let [misnamed, silent @ ..] = lines.as_slice() else { panic!("no warning") };
    assert_eq!(*misnamed, "ferrule: warning: --live-node nod3: the input has no node of this name");
    let expected = [("192.0.2.10", "office/dns-tcp"), ("192.0.2.200", "office/printer")].map(|(address, service)| {
        format!(
            "ferrule: warning: nobody answers for {address} ({service}): its owner is node2, which has no link by --node-interfaces"
        )
    });
    assert_eq!(silent, expected);
}

#[test]
fn an_old_config_map_becomes_resources_that_are_valid() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: config, namespace: metallb-system}\ndata:\n  config: |\n    address-pools:\n    \
                - name: office\n      protocol: layer2\n      addresses: [192.0.2.0/28]\n";
    let file = write_file(&folder, "old.yaml", text);
    let converted = ferrule(&["convert", "-f", &file]);
    assert_eq!(converted.status.code(), Some(0));
    assert!(!stdout(&converted).ends_with("---\n"), "{}", stdout(&converted));
    let resources = write_file(&folder, "new.yaml", &stdout(&converted));
    let valid = ferrule(&["validate", "-f", &resources]);
    assert_eq!(stdout(&valid), "0 errors and 0 warnings in 2 documents\n");
    let odd =
        write_file(&folder, "odd.yaml", &text.replace("protocol: layer2", "protocol: layer2\n      colour: blue"));
    let warned = ferrule(&["convert", "-f", &odd]);
    let complaint = String::from_utf8(warned.stderr).expect("complaints are text");
    assert_eq!(warned.status.code(), Some(0));
    assert!(
        complaint.contains("odd.yaml:9: warning: ConfigMap metallb-system/config: address-pools[0].colour: "),
        "{complaint}"
    );
    let broken = write_file(&folder, "broken.yaml", &text.replace("192.0.2.0/28", "7"));
    let refused = ferrule(&["convert", "-f", &broken]);
    assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(1), ""));
    let complaint = String::from_utf8(refused.stderr).expect("complaints are text");
    assert!(
        complaint.starts_with(&format!(
            "{broken}:9: error: ConfigMap metallb-system/config: address-pools[0].addresses[0]: "
        )),
        "{complaint}"
    );
}

const REQUEST: &str = "apiVersion: v1\nkind: Service\nmetadata:\n  name: a\n  namespace: x\nspec:\n  type: LoadBalancer\n  clusterIP: \
                       10.96.0.1\n  loadBalancerIP: 192.0.2.300\n";

#[test]
fn a_request_that_cannot_be_met_has_its_field_and_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write_file(&folder, "e.yaml", REQUEST);
    let pool = write_file(&folder, "pool.yaml", &pool(1));
    let start = format!("{file}:9: warning: Service x/a: spec.loadBalancerIP: ");
    let text = stdout(&ferrule(&["validate", "-f", &file, &pool]));
    assert!(text.starts_with(&start), "{text}");
    // Another file that is refused takes nothing from it.
    let bad =
        write_file(&folder, "bad.yaml", "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\n");
    let refused = ferrule(&["validate", "-f", &file, &bad]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(stdout(&refused).starts_with(&start), "{}", stdout(&refused));
    let all = stdout(&ferrule(&["validate", "-f", &example("broken")]));
    assert!(
        all.contains(
            "references.yaml:19: warning: Service default/web: metadata.annotations[metallb.io/address-pool]: "
        ),
        "{all}"
    );
}

#[test]
fn text_from_the_input_does_not_reach_the_terminal_as_it_is() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: \"a\\e[31m\\nx\"}\nspec: {type: LoadBalancer, clusterIP: 10.96.0.1}\n";
    let file = write_file(&folder, "escape.yaml", text);
    let printed = stdout(&ferrule(&["validate", "-f", &file]));
    assert_eq!(printed.lines().count(), 2, "{printed}");
    assert!(printed.contains("default/a\\u{1b}[31m\\nx: metadata.name: "), "{printed}");
}

#[test]
fn an_input_without_objects_is_told() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = write_file(&folder, "empty.yaml", "# nothing\n");
    let valid = ferrule(&["validate", "-f", &file]);
    assert_eq!(valid.status.code(), Some(0));
    let expected = format!("{file}:1: warning: there is no object in it (");
    assert!(stdout(&valid).starts_with(&expected), "{}", stdout(&valid));
    let converted = ferrule(&["convert", "-f", &file]);
    assert_eq!((converted.status.code(), stdout(&converted).as_str()), (Some(1), ""));
}

#[test]
fn standalone_judges_a_service_without_a_cluster_ip_as_run_does() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let text = small("192.0.2.0/28", "").replace(", clusterIP: 10.96.0.1", "")
        + "---\napiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {name: l}\n";
    let file = write_file(&folder, "web.yaml", &text);
    let waiting = stdout(&ferrule(&["validate", "-f", &file]));
    assert!(
        waiting.contains("warning: Service default/web: spec.clusterIP: ") && waiting.contains("--standalone"),
        "{waiting}"
    );
    let valid = stdout(&ferrule(&["validate", "--standalone", "-f", &file]));
    assert!(valid.starts_with("0 errors and 0 warnings"), "{valid}");
    let plan = json_of(&ferrule(&["plan", "--standalone", "--live-node", "n1", "-o", "json", "-f", &file]));
    assert_eq!(plan["services"][0]["ips"], json!(["192.0.2.0"]));
    assert_eq!(plan["layer2"][0]["node"], "n1");
}

const POLICIES: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: public}
spec: {addresses: [192.0.2.0/28]}
---
apiVersion: ferrule.io/v1alpha1
kind: AddressReservation
metadata: {name: web}
spec: {addresses: [192.0.2.9], services: [shop/web]}
---
apiVersion: ferrule.io/v1alpha1
kind: PoolPolicy
metadata: {name: rules}
spec: {exclusions: [192.0.2.0], quotas: [{name: few, limit: 2}]}
";

fn load_balancer(name: &str, annotations: &str, status: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop, annotations: {{{annotations}}}}}\nspec: {{type: \
         LoadBalancer, clusterIP: 10.96.0.7, ports: [{{port: 80}}]}}\nstatus: {{loadBalancer: {{{status}}}}}\n"
    )
}

#[test]
fn policies_are_planned_and_what_they_refuse_is_told_with_its_category() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let asks = |name: &str, address: &str| load_balancer(name, &format!("metallb.io/loadBalancerIPs: {address}"), "");
    let services = [load_balancer("api", "", ""), load_balancer("web", "", ""), load_balancer("zoo", "", "")].concat();
    let services = services + &asks("asks-excluded", "192.0.2.0") + &asks("asks-reserved", "192.0.2.9");
    let file = write_file(&folder, "all.yaml", &(POLICIES.to_owned() + &services));
    let plan = json_of(&ferrule(&["plan", "-f", &file, "-o", "json"]));
    let rows: Vec<String> = plan["services"]
        .as_array()
        .expect("services are a list")
        .iter()
        .map(|service| format!("{} {} {}", service["service"], service["ips"], service["error"]["category"]))
        .collect();
    assert_eq!(
        rows,
        [
            r#""shop/api" ["192.0.2.1"] null"#,
            r#""shop/asks-excluded" null "excluded""#,
            r#""shop/asks-reserved" null "reserved""#,
            r#""shop/web" ["192.0.2.9"] null"#,
            r#""shop/zoo" null "quota-exceeded""#,
        ]
    );
    let report = json_of(&ferrule(&["validate", "-f", &file, "-o", "json"]));
    let categories: Vec<String> = problems(&report).into_iter().map(|(_, category, _)| category).collect();
    assert_eq!(categories, ["quota-exceeded", "excluded", "reserved"]);
}

#[test]
fn a_frozen_pool_loses_no_live_address_in_a_plan() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let frozen = POLICIES.replace("quotas: [{name: few, limit: 2}]", "freeze: {}");
    let pool = "metallb.io/ip-allocated-from-pool: public";
    let web = load_balancer("api", pool, "ingress: [{ip: 192.0.2.5}]");
    let now = write_file(&folder, "now.yaml", &(frozen.clone() + &web));
    let narrow = |text: &str| text.replace("192.0.2.0/28", "192.0.2.8/29").replace("exclusions: [192.0.2.0], ", "");
    let with = write_file(&folder, "with.yaml", &narrow(&frozen));
    let without = write_file(&folder, "without.yaml", &narrow(&frozen.replace("freeze: {}", "")));
    let kept = ferrule(&["plan", "-f", &with, "--against", &now]);
    assert_eq!((kept.status.code(), stdout(&kept).contains("moved")), (Some(0), false), "{}", stdout(&kept));
    let moved = ferrule(&["plan", "-f", &without, "--against", &now]);
    assert_eq!(
        (moved.status.code(), stdout(&moved).contains("moved: shop/api")),
        (Some(2), true),
        "{}",
        stdout(&moved)
    );
}

#[test]
fn faults_of_policies_have_file_line_field_and_mend() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let faulty = POLICIES.replace("192.0.2.9]", "nonsense]").replace("limit: 2", "limit: -2")
        + "---\napiVersion: ferrule.io/v1\nkind: \
        PoolPolicy\nmetadata: {name: p}\n";
    let file = write_file(&folder, "faulty.yaml", &faulty);
    let output = ferrule(&["validate", "-f", &file, "-o", "json"]);
    assert_eq!(output.status.code(), Some(1));
    let found = problems(&json_of(&output));
    let rows: Vec<(&str, u64)> = found.iter().map(|(_, category, line)| (category.as_str(), *line)).collect();
    assert_eq!(rows, [("invalid-address-range", 9), ("schema", 14), ("schema", 17)]);
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The text with what the commands in it print now: in blocks marked `console`, what follows `$ ferrule ...`.
fn with_real_output(text: &str) -> String {
    let mut out = String::new();
    let (mut in_block, mut in_output) = (false, false);
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = line == "```console";
            in_output = false;
        } else if let Some(arguments) = line.strip_prefix("$ ferrule ").filter(|_| in_block) {
            in_output = true;
            let ran = Command::new(env!("CARGO_BIN_EXE_ferrule"))
                .args(arguments.split_whitespace())
                .current_dir(root())
                .output()
                .expect("the binary is built before its tests");
            out.push_str(line);
            out.push('\n');
            out.push_str(&stdout(&ran));
            continue;
        } else if line.starts_with("$ ") {
            in_output = false;
        }
        if !in_output {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

// What these pages show is what the program prints. FERRULE_REWRITE_DOCS=1 puts it there.
#[test]
fn the_output_in_the_documents_is_that_of_the_program() {
    for name in ["README.md", "docs/explain.md"] {
        let path = root().join(name);
        let text = std::fs::read_to_string(&path).expect("the document is there");
        let real = with_real_output(&text);
        assert!(text.contains("$ ferrule explain ") && text.contains("$ ferrule plan "), "{name} shows neither");
        if std::env::var_os("FERRULE_REWRITE_DOCS").is_some() {
            std::fs::write(&path, real).expect("the document can be written");
        } else {
            let differs = text.lines().zip(real.lines()).find(|(shown, printed)| shown != printed);
            assert_eq!(text, real, "{name} is not what the program prints: {differs:?}");
        }
    }
}
