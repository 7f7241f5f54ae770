//! What the reader makes of good, odd and hostile texts.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(text: &str) -> Manifests {
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
    manifests
}

fn only(text: &str) -> Document {
    let manifests = read(text);
    assert_eq!(manifests.malformed, [], "{text}");
    assert_eq!(manifests.documents.len(), 1, "{text}");
    manifests.documents.into_iter().next().unwrap()
}

fn value(text: &str) -> Value {
    Value::Object(only(text).value)
}

#[test]
fn a_malformed_document_costs_only_itself() {
    let manifests = read("a: 1\n---\nb: [\n--- # third\nc: 3\n...\nd: 4\n---\n# nothing\n---\n");
    let values: Vec<_> = manifests.documents.iter().map(|document| Value::Object(document.value.clone())).collect();
    assert_eq!(values, [json!({"a": 1}), json!({"c": 3}), json!({"d": 4})]);
    let lines: Vec<_> = manifests.documents.iter().map(|document| document.line).collect();
    assert_eq!(lines, [1, 5, 7]);
    assert_eq!(manifests.malformed.len(), 1);
    assert!((2..=4).contains(&manifests.malformed[0].line), "{:?}", manifests.malformed);
}

#[test]
fn a_syntax_error_names_the_line_that_has_it_and_the_object() {
    for (text, line) in [
        ("a: 1\nmetadata: {name: web\n# a comment\n\nspec: {}\n", 2),
        ("a: [1,\n  2\n", 2),
        ("metadata: {name: web\nspec: {addresses: [1]}\n", 1),
        ("a: {b: 1\n  c: 2}\n", 1),
        ("a: 'no end\nb: 1\n", 1),
        ("a: 1\nb: \"no end\n", 2),
        ("a: 1\nb\nc: 2\n", 2),
        ("a: 1\nb: c: d\n", 2),
        ("a: [1, 2}\n", 1),
    ] {
        let manifests = read(&format!("x: 1\n---\n{text}"));
        assert_eq!(manifests.malformed.len(), 1, "{text}");
        assert_eq!(manifests.malformed[0].line, 2 + line, "{text}: {:?}", manifests.malformed);
    }
    let claimed = read("kind: Service\nmetadata: {name: web\nspec: {}\n").malformed.remove(0).claimed;
    assert_eq!((&*claimed.kind, &*claimed.name), ("Service", "web"));
}

#[test]
fn content_may_follow_the_mark() {
    assert_eq!(value("--- {a: b}\n"), json!({"a": "b"}));
    assert!(matches!(read("--- text\n").malformed[0].reason, ReadError::NotAnObject("a text")));
    assert_eq!(value("%YAML 1.1\n---\na: b\n"), json!({"a": "b"}));
    // Not a mark: no blank follows.
    assert_eq!(value("---a: b\n"), json!({"---a": "b"}));
}

#[test]
fn scalars_are_read_as_kubectl_reads_them() {
    let text = "yes: no\non: 'off'\nlist: [yes, \"yes\", 64500:59, 0644, 0o644, 1_000, ~, 1.5, 2026-01-01]\n";
    let expected = json!({"yes": false, "on": "off",
        "list": [true, "yes", "64500:59", 420, 420, 1000, null, 1.5, "2026-01-01"]});
    assert_eq!(value(text), expected);
}

#[test]
fn a_repeated_key_is_an_oddity_and_the_last_wins() {
    let document = only("spec:\n  a: 1\n  b: 2\n  a: 3\n");
    assert_eq!(document.value["spec"], json!({"a": 3, "b": 2}));
    let expected = Oddity { field: "spec.a".into(), line: 4, kind: OddityKind::DuplicateKey { first: 2 } };
    assert_eq!(document.oddities, [expected]);
    assert_eq!(document.positions.line_of("spec.a"), 4);
    let json = only("{\"a\": 1,\n \"a\": 2}");
    assert_eq!(json.oddities[0].line, 2);
}

#[test]
fn merges_and_aliases_are_followed() {
    let text = "base: &base\n  a: 1\n  b: yes\nspec:\n  <<: *base\n  a: 2\nagain: *base\n";
    let document = only(text);
    assert_eq!(document.value["spec"], json!({"a": 2, "b": true}));
    assert_eq!(document.value["again"], json!({"a": 1, "b": true}));
    assert_eq!(document.positions.line_of("again"), 7);
}

#[test]
fn a_tag_is_an_oddity_and_core_tags_are_not() {
    let document = only("a: !secret b\nc: !!str 1\n");
    assert_eq!(Value::Object(document.value), json!({"a": "b", "c": "1"}));
    assert_eq!(document.oddities.len(), 1);
    assert_eq!(document.oddities[0].field, "a");
}

#[test]
fn lines_are_found_in_block_and_flow_style() {
    let text = "---\n# comment\nspec:\n  addresses:\n  - a\n  - b\n  more: {x: 1,\n    y: [1,\n     2]}\nmetadata:\n  annotations:\n    e.com/k.l: v\n    e.com/k: w\n";
    let document = only(text);
    assert_eq!(document.line, 3);
    for (path, line) in [
        ("spec", 3),
        ("spec.addresses", 4),
        ("spec.addresses[1]", 6),
        ("spec.addresses[7]", 4),
        ("spec.more.y[1]", 9),
        ("spec.absent.deeper", 3),
        ("metadata.annotations[e.com/k.l]", 12),
        ("metadata.annotations.e.com/k", 13),
        ("", 3),
        ("absent", 3),
    ] {
        assert_eq!(document.positions.line_of(path), line, "{path}");
    }
}

#[test]
fn carriage_returns_and_the_byte_order_mark_are_no_content() {
    let manifests = read("\u{feff}a: 1\r\n---\r\nb: |\r\n  x\r\n...\r\n");
    assert_eq!(manifests.malformed, []);
    assert_eq!(manifests.documents.len(), 2);
    assert_eq!(manifests.documents[1].line, 3);
}

// Found by the fuzzer.
#[test]
fn a_carriage_return_alone_ends_a_line_of_yaml_and_no_line_of_the_file() {
    let manifests = read("a: 1\rb:\r\r  c: y\nd: 2\n---\ne: [1\r\r\n]: {\n");
    let [document] = manifests.documents.as_slice() else { panic!("{manifests:?}") };
    let lines = ["a", "b", "b.c", "d"].map(|field| document.positions.line_of(field));
    assert_eq!((lines, document.oddities[0].line), ([1, 1, 1, 2], 1));
    assert!((4..=6).contains(&manifests.malformed[0].line), "{:?}", manifests.malformed);
}

#[test]
fn files_with_byte_order_marks_may_stand_behind_each_other() {
    let manifests = read("\u{feff}a: 1\n\u{feff}---\nb: 2\n---\n\u{feff}c: 3\n\u{feff}d: 4\n");
    assert_eq!(manifests.malformed, []);
    let lines: Vec<_> = manifests.documents.iter().map(|document| document.line).collect();
    assert_eq!(lines, [1, 3, 5, 6]);
}

#[test]
fn a_list_may_hold_lists() {
    let manifests = read(
        "kind: List\nitems:\n- kind: NodeList\n  apiVersion: v1\n  items:\n  - metadata: {name: a}\n- kind: List\n  items: [7]\n",
    );
    assert_eq!(manifests.documents.len(), 1);
    assert_eq!((&manifests.documents[0].value["kind"], manifests.documents[0].line), (&json!("Node"), 6));
    assert_eq!((manifests.malformed[0].line, &manifests.malformed[0].reason), (8, &ReadError::BadList));
}

#[test]
fn a_control_character_has_its_line() {
    let manifests = read("x: 1\n---\na: 1\nb: \0\n");
    assert_eq!(manifests.malformed[0].line, 4, "{:?}", manifests.malformed);
}

#[test]
fn json_streams_are_cut_where_an_object_ends() {
    let manifests = read("{\"a\": \"}\"} {\"b\": 2}\n{\"c\":\n {\"d\": 3}}\n");
    assert_eq!(manifests.malformed, []);
    let lines: Vec<_> = manifests.documents.iter().map(|document| document.line).collect();
    assert_eq!(lines, [1, 1, 2]);
    assert_eq!(manifests.documents[2].positions.line_of("c.d"), 3);
    let broken = read("{\"a\": 1}\n{\"b\": ]}\n{\"c\": 3}\n");
    assert_eq!((broken.documents.len(), broken.malformed.len()), (2, 1));
    assert_eq!(broken.malformed[0].line, 2);
    assert_eq!(value("{\"smile\": \"\\ud83d\\ude00\"}"), json!({"smile": "\u{1f600}"}));
    assert_eq!(value("{a: b,\n{c: d}: e}\n".replace("{c: d}", "c").as_str()), json!({"a": "b", "c": "e"}));
}

#[test]
fn lists_are_taken_apart() {
    let text = "apiVersion: v1\nkind: ServiceList\nitems:\n- metadata:\n    name: a\n    name: b\n- 7\n";
    let manifests = read(text);
    assert_eq!(manifests.documents.len(), 1);
    let document = &manifests.documents[0];
    assert_eq!(document.value["kind"], "Service");
    assert_eq!(document.value["apiVersion"], "v1");
    assert_eq!(document.line, 4);
    assert_eq!(document.positions.line_of("metadata.name"), 6);
    assert_eq!(document.oddities[0].field, "metadata.name");
    assert_eq!(manifests.malformed[0].reason, ReadError::BadList);
    assert_eq!(manifests.malformed[0].line, 7);
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut levels = vec!["a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned()];
    for level in 1..12 {
        let before = level - 1;
        let items = vec![format!("*a{before}"); 10].join(", ");
        levels.push(format!("a{level}: &a{level} [{items}]\n"));
    }
    assert!(matches!(read(&levels.concat()).malformed[0].reason, ReadError::Syntax(_)));
    // One large list repeated often stays below the parser's own count of repetitions.
    let large = format!("a: &a [{}]\nb: [{}]\n", vec!["x"; 2000].join(", "), vec!["*a"; 2000].join(", "));
    assert!(matches!(read(&large).malformed[0].reason, ReadError::Syntax(_)));
}

#[test]
fn deep_nesting_is_refused() {
    // Half a million levels: a reader that needs the square of it would not end today.
    for text in ["[", "{", "{\"a\":", "[{a: ", "a: ", "- ", "? "] {
        let manifests = read(&text.repeat(500_000));
        assert_eq!(manifests.malformed.len(), 1, "{text}");
    }
    // The event parser gives up at the tab, the other one would not.
    let tab = format!("a:\t*b\nc: {}", "{\"a\":".repeat(500_000));
    assert_eq!(read(&tab).malformed.len(), 1);
}

#[test]
fn octets_that_are_no_text_cost_only_their_document() {
    let mut manifests = Manifests::default();
    manifests.read_bytes(&"a.yaml".into(), b"a: 1\n---\nb: \n  \xff\n---\nc: 3\n");
    assert_eq!(manifests.documents.len(), 2);
    assert_eq!(manifests.malformed[0].line, 4);
    assert_eq!(manifests.malformed[0].reason, ReadError::NotText);
}

#[test]
fn folders_are_read_in_order_and_not_entered() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("b.yml", "b: 1\n"),
        ("a.yaml", "a: 1\n"),
        ("c.json", "{\"c\": 1}"),
        ("d.txt", "d: 1\n"),
        (".e.yaml", "e: 1\n"),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::create_dir(folder.path().join("sub.yaml")).unwrap();
    // The lock of an editor leads nowhere.
    std::os::unix::fs::symlink("me@host.1234", folder.path().join(".#a.yaml")).unwrap();
    let manifests = read_paths(&[folder.path().to_owned(), folder.path().join("a.yaml"), "/nonexistent/x".into()]);
    let keys: Vec<_> =
        manifests.documents.iter().map(|document| document.value.keys().next().unwrap().as_str()).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    assert!(matches!(manifests.malformed[0].reason, ReadError::Unreadable(_)));
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(read_paths(&[empty.path().to_owned()]).malformed[0].reason, ReadError::EmptyFolder);
}

/// Texts made of the marks that confuse readers.
fn confusing_text() -> impl Strategy<Value = String> {
    let mark = prop::sample::select(vec![
        "---",
        "...",
        "\n",
        " ",
        "- ",
        ": ",
        "a",
        "b: ",
        "{",
        "}",
        "[",
        "]",
        ",",
        "&x ",
        "*x",
        "!t ",
        "!!str ",
        "<<: ",
        "|",
        ">",
        "'",
        "\"",
        "#",
        "%YAML 1.2",
        "\t",
        "\r\n",
        "? ",
        "\u{feff}",
        "\0",
        "\\u",
        "yes",
        "0x",
        "kind: List\n",
        "items: ",
    ]);
    prop::collection::vec(mark, 0..60).prop_map(|marks| marks.concat())
}

proptest! {
    #[test]
    fn no_octets_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        Manifests::default().read_bytes(&"a".into(), &bytes);
    }

    #[test]
    fn no_text_panics(text in confusing_text()) {
        let manifests = read(&text);
        for document in &manifests.documents {
            prop_assert!(document.line >= 1 && document.line <= text.lines().count() + 1);
            let _ = document.positions.line_of(&text);
        }
    }

    #[test]
    fn values_survive_the_way_through_yaml(value in any_object()) {
        let yaml = to_yaml(&value);
        let manifests = read(&yaml);
        prop_assert_eq!(manifests.documents.len(), 1, "{}", yaml);
        prop_assert_eq!(Value::Object(manifests.documents[0].value.clone()), value);
    }
}

/// Objects of a few levels, with texts that look like something else.
fn any_object() -> impl Strategy<Value = Value> {
    let text = prop_oneof![".{0,20}", "[yYnNoOfFeEsSx0-9_:~. -]{1,5}", "[a-z]{1,8}"];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    let nested = leaf.prop_recursive(3, 20, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("[a-z.]{1,6}|.{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    nested
        .prop_map(|value| json!({"value": value}))
        .prop_filter("a merge is no value", |value| !value.to_string().contains("<<"))
}
