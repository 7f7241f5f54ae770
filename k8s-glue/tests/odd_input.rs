//! Files as people have them, through the real binary: what is no object is told for what it seems to be, with its line and what to do.

use std::process::{Command, Output};

fn ferrule(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ferrule")).args(arguments).output().expect("the binary is built before its tests")
}

/// The exit code, and what is printed on either stream, with the file as `f`.
fn said(command: &str, name: &str, octets: &[u8]) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join(name);
    std::fs::write(&file, octets).expect("the folder is ours");
    let file = file.to_str().expect("temporary paths are text");
    let words: Vec<&str> = command.split(' ').chain(["-f", file]).collect();
    let output = ferrule(&words);
    let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("output is text");
    (output.status.code(), text.replace(file, "f"))
}

/// The findings of `validate`, each a line, without the last line with the counts.
fn findings(text: &str) -> Vec<String> {
    let (code, said) = said("validate", "f.yaml", text.as_bytes());
    let mut lines: Vec<String> = said.lines().map(str::to_owned).collect();
    let counts = lines.pop().unwrap_or_default();
    assert_eq!(code, Some(i32::from(!counts.starts_with("0 errors"))), "{text}: {said}");
    lines
}

const POOL: &str =
    "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: p}\nspec:\n  addresses:\n  - 192.0.2.0/28\n";
const OLD: &str = "# MetalLB\npeers:\n- {peer-address: 10.0.0.1, peer-asn: 64501, my-asn: 64500}\naddress-pools:\n- {name: a, protocol: bgp, \
                   addresses: [192.0.2.0/28]}\n";

#[track_caller]
fn is_told(text: &str, place: &str, parts: &[&str]) {
    let lines = findings(text);
    assert_eq!(lines.len(), 1, "{text}: {lines:?}");
    let line = lines.first().map(String::as_str).unwrap_or_default();
    assert!(line.starts_with(place), "{place} in {line}");
    assert!(parts.iter().all(|part| line.contains(part)), "{parts:?} in {line}");
}

#[test]
fn the_old_format_is_sent_to_convert() {
    is_told(
        OLD,
        "f:4: error: address-pools: ",
        &["the text of the ConfigMap of MetalLB before 0.13", "`ferrule convert`"],
    );
    let peers = OLD.split("address-pools").next().unwrap_or_default();
    is_told(peers, "f:2: error: peers: ", &["`ferrule convert`"]);
    let block: String = OLD.lines().flat_map(|line| ["    ", line, "\n"]).collect();
    let data = format!("data:\n  config: |\n{block}");
    let object =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: config, namespace: metallb-system}}\n{data}");
    is_told(&object, "f:5: warning: ConfigMap metallb-system/config: data.config: ", &["`ferrule convert`"]);
    is_told(&data, "f:2: error: data.config: ", &["`ferrule convert`"]);
    let values = format!("controller: {{}}\nconfigInline:\n{}", block.replace("    ", "  "));
    is_told(&values, "f:2: error: configInline: ", &["values of MetalLB's chart", "`ferrule convert`"]);
    for text in [OLD, &object, &data, &values] {
        let (code, said) = said("convert", "f.yaml", text.as_bytes());
        assert!(code == Some(0) && said.contains("kind: BGPPeer"), "{text}: {said}");
    }
}

#[test]
fn values_templates_and_kustomizations_are_told_for_what_they_are() {
    let values = "# Default values for metallb.\nimagePullSecrets: []\ncontroller:\n  enabled: true\nspeaker:\n  enabled: true\n";
    is_told(values, "f:5: error: speaker: ", &["values of a Helm chart", "helm template"]);
    let chart = "apiVersion: v2\nname: metallb\ndescription: x\nversion: 0.15.3\n";
    is_told(chart, "f:4: error: version: ", &["Chart.yaml", "helm template"]);
    let kustomization = "resources:\n- pool.yaml\n";
    is_told(kustomization, "f:1: error: resources: ", &["a kustomization", "kubectl kustomize"]);
    let named = format!("apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n{kustomization}");
    is_told(&named, "f:2: warning: ", &["not built here", "kubectl kustomize"]);
}

#[test]
fn a_template_is_told_with_its_first_mark() {
    let rendered = ["this seems to be a template that was not rendered", "helm template"];
    let plain = POOL.replace("192.0.2.0/28", "{{ .Values.range }}");
    is_told(&plain, "f:6: error: IPAddressPool p: `{{ .Values.range }}` stands here", &rendered);
    let named = POOL.replace("{name: p}", "\n  name: {{ .Values.name }}");
    is_told(&named, "f:4: error: IPAddressPool: `{{ .Values.name }}` stands here", &rendered);
    let lines = format!("# {{{{ not this }}}}\n{{{{- if .Values.pool }}}}\n{POOL}{{{{- end }}}}\n");
    is_told(&lines, "f:2: error: IPAddressPool p: `{{- if .Values.pool }}` stands here", &rendered);
    let quoted = POOL.replace("192.0.2.0/28", "\"{{ .Values.range }}\"");
    let start = "f:6: error: IPAddressPool metallb-system/p: spec.addresses[0]: `{{ .Values.range }}` stands here";
    is_told(&quoted, start, &rendered);
    // What others make of their objects is their business.
    let foreign = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: rules}\ndata: {a: '{{ $labels.instance }}'}\n";
    assert_eq!(findings(foreign), Vec::<String>::new());
    // A mistake of another kind stays what it is.
    let mistake = format!("{foreign}b: [\n---\na: [\nb: '{{{{ x }}}}'\n");
    assert!(findings(&mistake).iter().any(|line| line.contains("did not find expected")));
}

fn with_addresses(addresses: &str) -> String {
    POOL.replace("192.0.2.0/28", addresses)
}

// [ADDR-1] to [ADDR-7]
#[test]
fn addresses_as_people_write_them_are_read_or_their_mend_is_told() {
    for good in ["192.0.2.1 - 192.0.2.9", "'2001:DB8::/64'", "192.0.2.77/24", "'::/0'", "'::ffff:192.0.2.0/120'"] {
        assert_eq!(findings(&with_addresses(good)), Vec::<String>::new(), "{good}");
    }
    for (bad, mend) in [
        ("' 192.0.2.0/28'", "(remove the blanks around it)"),
        ("\"192.0.2.0/28\\n\"", "(remove the blanks around it)"),
        ("010.0.0.1/32", "(write the numbers without zeros in front)"),
        ("'fe80::1%eth0/64'", "(leave out the zone"),
        ("192.0.2.9-192.0.2.1", "(write the lower one first)"),
        ("192.0.2.1", "(write 192.0.2.1/32 for the single address)"),
        ("192.0.2.0/255.255.255.0", "(write the length of the mask, /24)"),
        ("192.0.2.0/28\u{200b}", "\\u{200b}\" is not an address range (write it in plain characters, without U+200B)"),
        ("3232235776", "the number 3232235776 stands where a text belongs"),
        ("192.0.2.1-2001:db8::1", "are of different address families"),
    ] {
        is_told(&with_addresses(bad), "f:6: error: IPAddressPool metallb-system/p: spec.addresses[0]: ", &[mend]);
    }
}

#[test]
fn mistakes_of_form_have_their_line_and_what_is_odd_there() {
    let named = |name: &str| POOL.replace("name: p", &format!("name: {name}"));
    for (text, place, part) in [
        (POOL.replace("  - ", "\t- "), "f:6: error: IPAddressPool p: ", "a tab stands there"),
        (POOL.replace("kind: ", "kind:\u{a0}"), "f:2: error: ", "the character U+00A0 stands there"),
        (POOL.replace("  - ", "<<<<<<< HEAD\n  - "), "f:6: error: IPAddressPool p: ", "a mark of a merge"),
        (named("p\0"), "f:3: error: IPAddressPool p: ", "the character U+0000 stands there"),
        (format!("```yaml\n{POOL}```\n"), "f:1: error: ", "a mark of Markdown"),
        (
            named("123"),
            "f:3: error: ",
            "metadata.name: the number 123 stands where a text belongs (put the value in quotes)",
        ),
        (named("no"), "f:3: error: ", "the boolean false stands where a text belongs"),
        (named(&"a".repeat(254)), "f:3: error: ", "a name of 254 characters is too long"),
        (named("büro"), "f:3: error: IPAddressPool metallb-system/büro: ", "the character 'ü' is not allowed"),
        (POOL.replace("{name: p}", "\nname: p"), "f:3: error: ", "(indent the name, so that it stands in metadata)"),
        (
            POOL.replace("apiVersion: metallb.io/v1beta1\n", ""),
            "f:1: error: ",
            "(write apiVersion: metallb.io/v1beta1)",
        ),
        (
            format!("{POOL}  addresses: [198.51.100.0/28]\n"),
            "f:7: warning: ",
            "the key stands twice in one map, here and on line 5",
        ),
        (format!("{POOL}  autoAssign: 'false'\n"), "f:7: error: ", "(write true or false, without quotes)"),
        (
            format!("{POOL}---\n{}", with_addresses("198.51.100.0/28")),
            "f:10: error: ",
            "there is another IPAddressPool of the name p",
        ),
        (format!("- {}", POOL.trim_end().replace('\n', "\n  ")), "f:1: error: ", "it is a list, not an object"),
        ("{\"kind\": \"Status\", \"apiVersion\": \"v1\"}".to_owned(), "f:1: warning: ", "an answer of the API server"),
        (String::new(), "f:1: warning: ", "there is no object in it"),
        ("# nothing\n---\n---\n".to_owned(), "f:1: warning: ", "there is no object in it"),
    ] {
        is_told(&text, place, &[part]);
    }
    let wide: Vec<u8> = POOL.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let (code, said) = said("validate", "f.yaml", &[&b"\xff\xfe"[..], &wide].concat());
    assert!(code == Some(1) && said.contains("f:1: error: it is not UTF-8 text (save it as UTF-8)"), "{said}");
}

#[test]
fn forms_that_mean_the_same_are_read_alike() {
    let fields: String = POOL.lines().skip(2).flat_map(|line| ["  ", line, "\n"]).collect();
    for text in [
        POOL.replace('\n', "\r\n"),
        format!("---\n---\n{POOL}---\n\n---\n# end\n"),
        format!("\u{feff}{POOL}\u{feff}---\n{}", POOL.replace("name: p", "name: q").replace("192.0.2.0", "198.51.100.0")),
        format!("{POOL}  autoAssign: no\n  avoidBuggyIPs: Yes\n"),
        format!("apiVersion: metallb.io/v1beta1\nkind: IPAddressPoolList\nitems:\n-{}", fields.strip_prefix(' ').unwrap_or_default()),
        "{\"apiVersion\":\"metallb.io/v1beta1\",\"kind\":\"IPAddressPool\",\"metadata\":{\"name\":\"p\",\"managedFields\":[{\"fieldsV1\":{\"f:spec\":\
         {\".\":{}}}}]},\"spec\":{\"addresses\":[\"192.0.2.0/28\"]},\"status\":{\"assignedIPv4\":1}}"
            .to_owned(),
    ] {
        assert_eq!(findings(&text), Vec::<String>::new(), "{text}");
        let (_, plan) = said("plan", "f.yaml", format!("{text}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{type: \
            LoadBalancer, clusterIP: 10.96.0.1, loadBalancerIP: 192.0.2.9}}\n").as_bytes());
        assert!(plan.contains("default/web  p     192.0.2.9"), "{text}: {plan}");
    }
}

#[test]
fn hidden_characters_are_printed_as_escapes_by_every_command() {
    let hidden = "\u{200b}\u{200c}\u{200d}\u{2060}\u{feff}\u{202e}\u{2066}\u{9b}\u{2028}\u{2029}\u{ad}\u{a0}";
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop, annotations: {metallb.io/address-pool: 'HIDE'}}\n\
                   spec: {type: LoadBalancer, clusterIP: 10.96.0.1}\n";
    let quoted: Vec<String> = hidden.chars().map(|character| format!("\\u{:04x}", u32::from(character))).collect();
    let quoted = quoted.concat();
    let text = POOL.replace("{name: p}", "{name: \"a-HIDE\", labels: {\"b-HIDE\": \"c-HIDE\"}}")
        + &service.replace("'HIDE'", "\"d-HIDE\"");
    let text = text.replace("HIDE", &quoted);
    let service = service.replace("'HIDE'", &format!("\"d-{quoted}\""));
    for (command, text) in [
        ("validate", text.clone()),
        ("validate -o json", text.clone()),
        ("plan", text.clone()),
        ("run --node-name n1", text),
        ("plan", POOL.to_owned() + &service),
        ("plan -o json", POOL.to_owned() + &service),
        ("validate", POOL.to_owned() + &service),
        ("explain shop/web", POOL.to_owned() + &service),
        ("explain shop/web -o json", POOL.to_owned() + &service),
    ] {
        let (_, said) = said(command, "f.yaml", text.as_bytes());
        let found: Vec<char> = said.chars().filter(|character| hidden.contains(*character)).collect();
        assert_eq!(found, [], "{command}: {said}");
        assert!(said.contains("\\u{200b}") || said.contains("\\u200b"), "{command} shows nothing of it: {said}");
    }
}
