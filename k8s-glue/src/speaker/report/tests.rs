//! Tests of the objects that say what is announced.

use super::*;

fn author(kind: ReportKind, node: &str) -> Author {
    let pod = OwnPod { name: "speaker-1".to_owned(), uid: "uid-1".to_owned() };
    Author { kind, namespace: "metallb-system".to_owned(), node: node.to_owned(), pod }
}

fn reports(kind: ReportKind) -> Reports {
    let mut reports = Reports::new(author(kind, "n1"));
    reports.handle_listed();
    reports
}

fn web() -> ServiceKey {
    "shop/web".parse().unwrap()
}

#[expect(clippy::unnecessary_wraps, reason = "what is wanted is given so, or not at all")]
fn names(names: &[&str]) -> Option<Vec<String>> {
    Some(names.iter().map(ToString::to_string).collect())
}

/// Carries out everything that is due; returns the verbs.
fn carry_out(reports: &mut Reports) -> Vec<&'static str> {
    let mut done = Vec::new();
    loop {
        let due = reports.take_due(10);
        if due.is_empty() {
            return done;
        }
        for service in due {
            let Some(write) = reports.next_write(&service) else { continue };
            done.push(match write {
                Write::Create { .. } => "create",
                Write::Merge { .. } => "merge",
                Write::Status { .. } => "status",
                Write::Delete { .. } => "delete",
            });
            reports.handle_written(&service, &write, "7");
            assert!(done.len() < 20, "{done:?}");
        }
    }
}

fn object_of(reports: &Reports, service: &ServiceKey) -> Map<String, Value> {
    reports.standing[&reports.name_of(service)].object.clone()
}

// [STAT-1], [STAT-2], [STAT-3], [STAT-5]
#[test]
fn an_announced_service_gets_an_object_and_then_its_status() {
    let mut reports = reports(ReportKind::Layer2);
    reports.handle_wanted(web(), names(&["eth0"]));
    assert_eq!(carry_out(&mut reports), ["create", "status"]);
    let object = Value::Object(object_of(&reports, &web()));
    assert_eq!(object["status"]["interfaces"], json!([{"name": "eth0"}]));
    assert_eq!(object["status"]["node"], "n1");
    assert_eq!(object["metadata"]["labels"]["metallb.io/service-namespace"], "shop");
    assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "uid-1");
    assert!(object["metadata"]["ownerReferences"][0].get("controller").is_none());
    assert!(reports.name_of(&web()).starts_with("l2-"));
}

// Coalesced: what stands is written once.
#[test]
fn nothing_is_written_where_nothing_changed() {
    let mut reports = reports(ReportKind::Bgp);
    reports.handle_wanted(web(), names(&["tor1", "tor2"]));
    carry_out(&mut reports);
    let object = object_of(&reports, &web());
    assert_eq!(object["status"]["peers"], json!(["tor1", "tor2"]));
    reports.handle_object(&reports.name_of(&web()), Some(object));
    reports.handle_wanted(web(), names(&["tor1", "tor2"]));
    assert_eq!(carry_out(&mut reports), Vec::<&str>::new());
    reports.handle_wanted(web(), names(&["tor2"]));
    assert_eq!(carry_out(&mut reports), ["status"]);
}

// [STAT-6], [D162-9]
#[test]
fn what_others_delete_or_edit_is_put_right() {
    let mut reports = reports(ReportKind::Layer2);
    reports.handle_wanted(web(), names(&[]));
    carry_out(&mut reports);
    let name = reports.name_of(&web());
    let whole = object_of(&reports, &web());
    reports.handle_object(&name, None);
    assert_eq!(carry_out(&mut reports), ["create", "status"]);
    let mut edited = whole.clone();
    edited["status"]["interfaces"] = json!([{"name": "eth9"}]);
    reports.handle_object(&name, Some(edited));
    assert_eq!(carry_out(&mut reports), ["status"]);
    let mut unlabelled = whole;
    unlabelled["metadata"]["labels"] = json!({"metallb.io/service-name": "other"});
    reports.handle_object(&name, Some(unlabelled));
    assert_eq!(carry_out(&mut reports), ["merge"]);
}

// [STAT-4], [STAT-23]
#[test]
fn a_service_that_is_lost_loses_the_own_object_and_redundant_ones() {
    let mut reports = reports(ReportKind::Layer2);
    reports.handle_wanted(web(), names(&[]));
    carry_out(&mut reports);
    let second = object_of(&reports, &web());
    reports.handle_object("l2-abcde", Some(second));
    assert_eq!(carry_out(&mut reports), ["delete"]);
    reports.handle_wanted(web(), None);
    assert_eq!(carry_out(&mut reports), ["delete"]);
    assert!(!reports.has(&web()));
}

// What an earlier run left is neither taken away nor written anew before ownership is settled.
#[test]
fn objects_of_services_that_nobody_has_judged_are_left_alone() {
    let mut first = reports(ReportKind::Layer2);
    first.handle_wanted(web(), names(&[]));
    carry_out(&mut first);
    let (name, object) = (first.name_of(&web()), object_of(&first, &web()));
    let mut second = reports(ReportKind::Layer2);
    second.handle_object(&name, Some(object));
    assert!(carry_out(&mut second).is_empty());
    assert_eq!(second.unjudged(), [web()]);
    second.handle_wanted(web(), names(&[]));
    assert!(carry_out(&mut second).is_empty());
    second.handle_wanted(web(), None);
    assert_eq!(carry_out(&mut second), ["delete"]);
}

#[test]
fn nothing_is_written_before_everything_was_seen() {
    let mut reports = Reports::new(author(ReportKind::Layer2, "n1"));
    reports.handle_wanted(web(), names(&[]));
    assert!(carry_out(&mut reports).is_empty());
    reports.handle_listed();
    assert_eq!(carry_out(&mut reports), ["create", "status"]);
}

#[test]
fn an_older_version_that_comes_late_says_nothing() {
    let mut reports = reports(ReportKind::Layer2);
    reports.handle_wanted(web(), names(&[]));
    carry_out(&mut reports);
    let name = reports.name_of(&web());
    let mut old = object_of(&reports, &web());
    old["metadata"]["resourceVersion"] = "6".into();
    old.remove("status");
    reports.handle_object(&name, Some(old));
    assert!(carry_out(&mut reports).is_empty());
}

// [API-BGPST-2]
#[test]
fn a_long_node_name_is_cut_in_the_label_alone() {
    let node = format!("{}.example.org", "n".repeat(80));
    let mut reports = Reports::new(author(ReportKind::Bgp, &node));
    reports.handle_listed();
    reports.handle_wanted(web(), names(&["tor"]));
    carry_out(&mut reports);
    let object = Value::Object(object_of(&reports, &web()));
    assert_eq!(object["status"]["node"], node);
    assert!(object["metadata"]["labels"][NODE_LABEL].as_str().unwrap().len() <= 63);
}

#[test]
fn objects_of_other_nodes_are_known_as_such() {
    let object = json!({"status": {"node": "n2", "serviceName": "web", "serviceNamespace": "shop"}});
    let object = object.as_object().unwrap();
    assert!(is_of_another(object, "n1") && !is_of_another(object, "n2"));
    assert_eq!(subject_of(object), Some(web()));
    let mut reports = reports(ReportKind::Layer2);
    reports.handle_object("l2-x", Some(object.clone()));
    assert!(!reports.has(&web()));
}
