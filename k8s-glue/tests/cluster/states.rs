//! Section 6 of the catalogue: every process says whether it can use the configuration. Rules between the peers of one router (CS-07) hold
//! where the manifests name a back end of upstream that has one; else each session stands alone.

use std::collections::BTreeMap;

use lab::cluster::{INSTALL_NAMESPACE, Role};
use serde_json::Value;

use crate::Scenario;
use crate::rig::{self, Checked, Rig, check, wait};

pub(crate) const ALL: &[Scenario] = &[
    ("cs_01_a_secret_of_the_wrong_type_is_told_by_its_node_alone", cs_01),
    ("cs_02_a_missing_profile_is_told_until_it_is_there", cs_02),
    ("cs_03_a_peer_that_names_another_profile", cs_03),
    ("cs_04_an_unknown_alias_is_told_by_speakers_alone", cs_04),
    ("cs_05_one_fault_after_the_other_is_mended", cs_05),
    ("cs_06_a_peer_with_a_secret_is_valid", cs_06),
    ("cs_07_two_peers_of_one_address_on_a_node_that_has_one_router", cs_07),
    ("cs_08_states_are_made_anew_with_the_same_verdict", cs_08),
    ("cs_09_a_fault_of_one_node_is_told_there_alone", cs_09),
    ("cs_10_a_deleted_state_is_made_anew", cs_10),
];

const CONTROLLER: &str = "controller";
const N1: &str = "speaker-n1";
const N2: &str = "speaker-n2";
const EVERYBODY: [&str; 3] = [CONTROLLER, N1, N2];

/// Waits until exactly these processes say that the configuration is not valid, and the others that it is; every word must stand in
/// what they say.
fn invalid(rig: &Rig, processes: &[&str], words: &[&str]) -> Checked {
    let what = format!("{processes:?} alone to be Invalid with {words:?}");
    let holds = |states: &BTreeMap<String, (String, String)>| {
        EVERYBODY.iter().all(|name| {
            let Some((result, summary)) = states.get(*name) else { return false };
            if processes.contains(name) {
                result == "Invalid" && words.iter().all(|word| summary.contains(word))
            } else {
                result == "Valid" && summary.is_empty()
            }
        })
    };
    wait(&what, || rig.states(), holds).map(drop)
}

fn valid(rig: &Rig) -> Checked {
    invalid(rig, &[], &[])
}

fn peer(rig: &Rig, name: &str, more: &str) -> Checked {
    rig.ours("BGPPeer", name, &format!("{{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.9, {more}}}"))
}

fn secret(rig: &Rig, name: &str, secret_type: &str) -> Checked {
    rig.cluster.apply(&format!(
        "{{apiVersion: v1, kind: Secret, metadata: {{name: {name}, namespace: {INSTALL_NAMESPACE}, labels: {{test: \"\"}}}}, type: \
         {secret_type}, stringData: {{username: u, password: hunter2}}}}"
    ))?;
    Ok(())
}

// [CS-01], [CFG-24], [CFGST-8]
fn cs_01(rig: &mut Rig) -> Checked {
    secret(rig, "tor-password", "Opaque")?;
    peer(
        rig,
        "tor",
        "passwordSecret: {name: tor-password}, nodeSelectors: [{matchLabels: {kubernetes.io/hostname: n1}}]",
    )?;
    invalid(rig, &[N1], &["tor", "tor-password", "kubernetes.io/basic-auth"])?;
    rig.delete_ours("secret", "tor-password")?;
    secret(rig, "tor-password", "kubernetes.io/basic-auth")?;
    valid(rig)?;
    let logs: String = rig.speakers.iter().map(Role::log).collect();
    check(!logs.contains("hunter2"), "a password stands in the log")
}

// [CS-02], [CFG-25]
fn cs_02(rig: &mut Rig) -> Checked {
    peer(rig, "tor", "bfdProfile: fast")?;
    invalid(rig, &[N1, N2], &["tor", "fast"])?;
    rig.ours("BFDProfile", "fast", "{}")?;
    valid(rig)
}

// [CS-03]
fn cs_03(rig: &mut Rig) -> Checked {
    rig.ours("BFDProfile", "fast", "{}")?;
    peer(rig, "tor", "bfdProfile: fast")?;
    valid(rig)?;
    peer(rig, "tor", "bfdProfile: slow")?;
    invalid(rig, &[N1, N2], &["tor", "slow"])
}

// [CS-04], [COMM-5]
fn cs_04(rig: &mut Rig) -> Checked {
    rig.ours("BGPAdvertisement", "all", "{ipAddressPools: [nowhere], communities: [no-export-here]}")?;
    invalid(rig, &[N1, N2], &["no-export-here"])?;
    rig.ours("Community", "names", "{communities: [{name: no-export-here, value: \"64512:100\"}]}")?;
    valid(rig)
}

// [CS-05], [CFG-6]
fn cs_05(rig: &mut Rig) -> Checked {
    peer(rig, "tor", "bfdProfile: fast")?;
    let second = "{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.10, passwordSecret: {name: gone}}";
    rig.ours("BGPPeer", "spine", second)?;
    invalid(rig, &[N1, N2], &["fast"])?;
    rig.delete_ours("bgppeer", "tor")?;
    invalid(rig, &[N1, N2], &["spine", "gone"])?;
    rig.delete_ours("bgppeer", "spine")?;
    valid(rig)
}

// [CS-06]
fn cs_06(rig: &mut Rig) -> Checked {
    secret(rig, "tor-password", "kubernetes.io/basic-auth")?;
    peer(rig, "tor", "passwordSecret: {name: tor-password}")?;
    valid(rig)
}

/// Runs with speakers that are given one more variable, and puts the usual ones back.
fn with_variable(rig: &mut Rig, name: &str, value: &str, check: fn(&Rig) -> Checked) -> Checked {
    rig.speakers.iter_mut().try_for_each(Role::kill)?;
    let program = rig::program().with_variable(name, value);
    let user = rig.cluster.plane().service_account(INSTALL_NAMESPACE, "speaker")?;
    let mut others = Vec::new();
    for node in rig.cluster.nodes() {
        let mut speaker = rig.cluster.speaker(&program, node.name(), &user)?;
        speaker.start()?;
        others.push(speaker);
    }
    let logs = |others: &[Role]| others.iter().map(Role::log).collect::<String>();
    let outcome = check(rig).map_err(|error| format!("{error}\n{}", logs(&others)).into());
    drop(others);
    rig.speakers.iter_mut().try_for_each(Role::start)?;
    outcome
}

// [CS-07], [MODE-14]
fn cs_07(rig: &mut Rig) -> Checked {
    with_variable(rig, "METALLB_BGP_TYPE", "frr", |rig| {
        rig.cluster.admin().run(&["label", "node", "n1", "rack=one"])?;
        rig.cluster.admin().run(&["label", "node", "n2", "row=two"])?;
        peer(rig, "spine", "nodeSelectors: [{matchLabels: {rack: one}}]")?;
        peer(rig, "tor", "nodeSelectors: [{matchLabels: {row: two}}]")?;
        valid(rig)?;
        rig.cluster.admin().run(&["label", "node", "n2", "rack=one"])?;
        invalid(rig, &[N2], &["duplicate-peer", "tor", "spine", "192.0.2.9"])?;
        rig.cluster.admin().run(&["label", "node", "n2", "rack-"])?;
        valid(rig)
    })
}

fn delete_states(rig: &Rig, names: &[&str]) -> Checked {
    let arguments: Vec<&str> =
        ["delete", "configurationstates", "-n", INSTALL_NAMESPACE].iter().chain(names).copied().collect();
    rig.cluster.admin().run(&arguments)?;
    Ok(())
}

// [CS-08], [CFGST-1]
fn cs_08(rig: &mut Rig) -> Checked {
    peer(rig, "tor", "bfdProfile: fast")?;
    invalid(rig, &[N1, N2], &["fast"])?;
    delete_states(rig, &["--all"])?;
    invalid(rig, &[N1, N2], &["fast"])?;
    rig.ours("BFDProfile", "fast", "{}")?;
    valid(rig)?;
    delete_states(rig, &["--all"])?;
    valid(rig)
}

// [CS-09], [CFG-4]
fn cs_09(rig: &mut Rig) -> Checked {
    peer(rig, "tor", "nodeSelectors: [{matchLabels: {kubernetes.io/hostname: n1}}]")?;
    let second = "{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.10, bfdProfile: fast, nodeSelectors: [{matchLabels: \
                  {kubernetes.io/hostname: n2}}]}";
    rig.ours("BGPPeer", "spine", second)?;
    invalid(rig, &[N2], &["spine", "fast"])
}

// [CS-10], [API-CFGST-2], [CFGST-2]
fn cs_10(rig: &mut Rig) -> Checked {
    valid(rig)?;
    for name in EVERYBODY {
        delete_states(rig, &[name])?;
        valid(rig)?;
    }
    for item in rig.get(&["configurationstates", "-n", INSTALL_NAMESPACE, "--show-managed-fields"])? {
        let name = item["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let labels = &item["metadata"]["labels"];
        let is_controller = name == CONTROLLER;
        let (component, manager) =
            if is_controller { ("controller", "poolReconciler") } else { ("speaker", "configReconciler") };
        check(labels["metallb.io/component-type"] == component, format!("{name}: {labels}"))?;
        check(
            is_controller || name == format!("speaker-{}", labels["metallb.io/node-name"].as_str().unwrap_or("?")),
            format!("{name}: {labels}"),
        )?;
        let managers: Vec<&Value> =
            item["metadata"]["managedFields"].as_array().into_iter().flatten().map(|entry| &entry["manager"]).collect();
        check(managers.iter().any(|found| **found == manager), format!("{name}: {managers:?}"))?;
    }
    Ok(())
}
