//! Section 4 of the catalogue, first part: which address a Service gets, and when it loses it.

use std::time::Duration;

use crate::Scenario;
use crate::rig::{Checked, OTHER, Rig, SHOP};

pub(crate) const ALL: &[Scenario] = &[
    ("as_01_an_address_is_free_when_a_service_changes_its_type", as_01),
    ("as_02_an_address_is_free_when_a_service_is_deleted", as_02),
    ("as_03_addresses_survive_restarts_of_the_controller", as_03),
    ("as_04_who_may_share_changes_with_policy_and_selector", as_04),
    ("as_05_without_pools_there_is_no_address", as_05),
    ("as_06_a_service_moves_when_its_pool_goes", as_06),
    ("as_07_priorities_of_a_namespace", as_07),
    ("as_08_priorities_alone", as_08),
    ("as_09_namespaces_by_name_and_by_label", as_09),
    ("as_10_services_by_label_and_a_namespace", as_10),
    ("as_11_namespace_then_service_label_then_namespace", as_11),
    ("as_12_a_namespace_that_gets_a_label", as_12),
];

const ONE: &str = "192.168.10.100";

fn holder_and_waiter(rig: &Rig) -> Checked {
    rig.pool("one", &["192.168.10.100/32"])?;
    rig.service("first", "")?;
    rig.gets("first", &[ONE])?;
    rig.service("second", "")?;
    rig.keeps("second", &[])
}

// [AS-01], [CTRL-27]
fn as_01(rig: &mut Rig) -> Checked {
    holder_and_waiter(rig)?;
    rig.change("first", r#"{"type": "ClusterIP"}"#)?;
    rig.gets("second", &[ONE])?;
    rig.gets("first", &[])
}

// [AS-02]
fn as_02(rig: &mut Rig) -> Checked {
    holder_and_waiter(rig)?;
    rig.delete("first")?;
    rig.gets("second", &[ONE])
}

// [AS-03], [ARCH-2]
fn as_03(rig: &mut Rig) -> Checked {
    rig.pool("two", &["192.168.10.100/32", "192.168.20.200/32"])?;
    for (name, address) in [("a", "192.168.10.100"), ("b", "192.168.20.200")] {
        rig.service(name, "")?;
        rig.gets(name, &[address])?;
    }
    for name in ["c", "d"] {
        rig.service(name, "")?;
    }
    for _ in 0..5 {
        rig.controller.kill()?;
        rig.controller.start()?;
        rig.keep_all(
            &[("a", &["192.168.10.100"]), ("b", &["192.168.20.200"]), ("c", &[]), ("d", &[])],
            Duration::from_secs(5),
        )?;
    }
    Ok(())
}

// [AS-04], [ALLOC-6]
fn as_04(rig: &mut Rig) -> Checked {
    rig.pool("one", &["192.168.10.100/32"])?;
    for (name, port) in [("first", 80), ("second", 81)] {
        let more = format!("externalTrafficPolicy: Cluster, ports: [{{port: {port}, targetPort: 8080}}]");
        rig.service_in(SHOP, name, "annotations: {metallb.io/allow-shared-ip: both}", &more)?;
        rig.gets(name, &[ONE])?;
    }
    rig.change("second", r#"{"externalTrafficPolicy": "Local"}"#)?;
    rig.gets("second", &[])?;
    rig.keeps("first", &[ONE])?;
    rig.change("first", r#"{"externalTrafficPolicy": "Local"}"#)?;
    rig.gets("second", &[ONE])?;
    rig.keeps("first", &[ONE])?;
    rig.change("first", r#"{"selector": {"app": "mail"}}"#)?;
    rig.gets("first", &[])?;
    rig.keeps("second", &[ONE])?;
    rig.change("second", r#"{"selector": {"app": "mail"}}"#)?;
    rig.gets("first", &[ONE])?;
    rig.keeps("second", &[ONE])
}

fn pinned_and_open(rig: &Rig) -> Checked {
    rig.pool_for("pinned", "192.168.5.0/32", "priority: 20, namespaces: [shop]")?;
    rig.pool("open", &["192.168.10.0/32"])?;
    rig.service("web", "")?;
    rig.gets("web", &["192.168.5.0"])
}

// [AS-05], [CTRL-31]
fn as_05(rig: &mut Rig) -> Checked {
    pinned_and_open(rig)?;
    rig.delete_ours("ipaddresspool", "open")?;
    rig.delete_ours("ipaddresspool", "pinned")?;
    rig.gets("web", &[])
}

// [AS-06], [CTRL-45]
fn as_06(rig: &mut Rig) -> Checked {
    pinned_and_open(rig)?;
    rig.delete_ours("ipaddresspool", "pinned")?;
    rig.gets("web", &["192.168.10.0"])
}

/// Services in turn, each with the address that it must get.
fn in_turn(rig: &Rig, metadata: &str, expected: &[(&str, &str)]) -> Checked {
    expected.iter().try_for_each(|(name, address)| {
        rig.service_in(SHOP, name, metadata, "")?;
        rig.gets(name, &[address])
    })
}

// [AS-07]
fn as_07(rig: &mut Rig) -> Checked {
    rig.pool_for("twenty", "192.168.20.0/32", "priority: 20, namespaces: [shop]")?;
    rig.pool_for("ten", "192.168.10.0/32", "priority: 10, namespaces: [shop]")?;
    rig.pool_for("none", "192.168.30.0/32", "namespaces: [shop]")?;
    in_turn(rig, "", &[("a", "192.168.10.0"), ("b", "192.168.20.0"), ("c", "192.168.30.0")])
}

// [AS-08], [API-POOL-5]
fn as_08(rig: &mut Rig) -> Checked {
    rig.pool_for("twenty", "192.168.20.0/32", "priority: 20")?;
    rig.pool_for("ten", "192.168.10.0/32", "priority: 10")?;
    in_turn(rig, "", &[("a", "192.168.10.0"), ("b", "192.168.20.0")])
}

// [AS-09]
fn as_09(rig: &mut Rig) -> Checked {
    rig.cluster.admin().run(&["label", "namespace", SHOP, "team=red"])?;
    rig.pool_for("twenty", "192.168.20.0/32", "priority: 20, namespaces: [shop]")?;
    rig.pool_for("ten", "192.168.10.0/32", "priority: 10, namespaceSelectors: [{matchLabels: {team: red}}]")?;
    rig.pool_for("none", "192.168.30.0/32", "namespaces: [shop]")?;
    in_turn(rig, "", &[("a", "192.168.10.0"), ("b", "192.168.20.0"), ("c", "192.168.30.0")])
}

// [AS-10]
fn as_10(rig: &mut Rig) -> Checked {
    rig.pool_for("twenty", "192.168.20.0/32", "priority: 20, serviceSelectors: [{matchLabels: {tier: gold}}]")?;
    rig.pool_for("ten", "192.168.10.0/32", "priority: 10, serviceSelectors: [{matchLabels: {tier: gold}}]")?;
    rig.pool_for("space", "192.168.30.0/32", "namespaces: [shop]")?;
    in_turn(rig, "labels: {tier: gold}", &[("a", "192.168.10.0"), ("b", "192.168.20.0"), ("c", "192.168.30.0")])
}

// [AS-11]
fn as_11(rig: &mut Rig) -> Checked {
    rig.pool_for("twenty", "192.168.20.0/32", "priority: 20, namespaces: [shop]")?;
    rig.pool_for("ten", "192.168.10.0/32", "priority: 10, serviceSelectors: [{matchLabels: {tier: gold}}]")?;
    rig.pool_for("space", "192.168.30.0/32", "namespaces: [shop]")?;
    in_turn(rig, "labels: {tier: gold}", &[("a", "192.168.10.0"), ("b", "192.168.20.0"), ("c", "192.168.30.0")])
}

// [AS-12], [API-POOL-3]
fn as_12(rig: &mut Rig) -> Checked {
    let label = |namespace: &str, label: &str| -> Checked {
        rig.cluster.admin().run(&["label", "namespace", namespace, label])?;
        Ok(())
    };
    label(SHOP, "team=red")?;
    label(OTHER, "team=blue")?;
    rig.pool_for("red", "192.168.10.0/32", "priority: 10, namespaceSelectors: [{matchLabels: {team: red}}]")?;
    rig.pool_for("blue", "192.168.20.0/32", "priority: 10, namespaceSelectors: [{matchLabels: {team: blue}}]")?;
    rig.pool_for(
        "both",
        "192.168.30.0/32",
        "priority: 5, namespaceSelectors: [{matchLabels: {team: blue, stage: test}}]",
    )?;
    rig.pool("all", &["192.168.40.0/32"])?;
    rig.service_in(OTHER, "one", "", "")?;
    rig.gets_in(OTHER, "one", &["192.168.20.0"])?;
    in_turn(rig, "", &[("two", "192.168.10.0"), ("three", "192.168.40.0")])?;
    label(OTHER, "stage=test")?;
    rig.service_in(OTHER, "four", "", "")?;
    rig.gets_in(OTHER, "four", &["192.168.30.0"])
}
