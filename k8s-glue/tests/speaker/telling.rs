//! What is told through the API server, and that nothing else is.

use std::collections::BTreeSet;
use std::time::Duration;

use lab::control_plane::audit::Write;
use serde_json::Value;

use super::rig::{CALM, Checked, FIRST, FIRST_V6, Rig, SHOP, check, wait};

const ALL: [&str; 3] = ["n1", "n2", "n3"];
const L2: &str = "servicel2statuses";

fn l2(rig: &Rig, what: &str, wanted: &[(&str, &str, &str)]) -> Checked {
    let row = |(node, service, details): &(&str, &str, &str)| {
        ((*node).to_owned(), (*service).to_owned(), (*details).to_owned())
    };
    let wanted: BTreeSet<(String, String, String)> = wanted.iter().map(row).collect();
    wait(what, || rig.statuses(L2), |statuses| *statuses == wanted).map(drop)
}

fn only_name(rig: &Rig) -> Result<String, Box<dyn std::error::Error>> {
    let items = rig.get(&[L2, "-n", "metallb-system"])?;
    let [item] = items.as_slice() else { return Err(format!("{} objects", items.len()).into()) };
    Ok(item["metadata"]["name"].as_str().unwrap_or_default().to_owned())
}

// [STAT-1] to [STAT-6]
pub(crate) fn statuses(rig: &mut Rig) -> Checked {
    rig.pool("lan", &["192.168.1.240-192.168.1.250"])?;
    rig.ours("L2Advertisement", "v1beta1", "all", "{interfaces: [eth0]}")?;
    rig.service("web", "", &[FIRST], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let owner = rig.owner(FIRST)?;
    let interfaces = r#"[{"name":"eth0"}]"#;
    l2(rig, "one status of the owner", &[(&owner, "web", interfaces)])?;
    let name = only_name(rig)?;
    let item = &rig.get(&[L2, "-n", "metallb-system"])?[0];
    let metadata = &item["metadata"];
    check(name.starts_with("l2-"), format!("the name is {name}"))?;
    check(metadata["labels"]["metallb.io/node"] == owner.as_str(), format!("{metadata}"))?;
    check(metadata["labels"]["metallb.io/service-namespace"] == SHOP, format!("{metadata}"))?;
    check(metadata["ownerReferences"][0]["name"] == format!("speaker-{owner}"), format!("{metadata}"))?;
    // What others change is put right.
    let admin = rig.cluster.admin();
    let edit = r#"{"status": {"interfaces": [{"name": "eth9"}]}}"#;
    admin.run(&["patch", L2, &name, "-n", "metallb-system", "--subresource=status", "--type=merge", "-p", edit])?;
    l2(rig, "the edit to be put right", &[(&owner, "web", interfaces)])?;
    admin.run(&["delete", L2, &name, "-n", "metallb-system"])?;
    l2(rig, "the status to be made again", &[(&owner, "web", interfaces)])?;
    // Another owner: its own status, and the one of the dead node is taken away.
    rig.speaker(&owner)?.kill()?;
    let next = wait("another node", || rig.owner(FIRST), |next| *next != owner)?;
    l2(rig, "the status of the next owner alone", &[(&next, "web", interfaces)])?;
    rig.ours("L2Advertisement", "v1beta1", "all", "{}")?;
    wait(
        "all interfaces",
        || rig.statuses(L2),
        |all| all.iter().all(|(.., details)| details.is_empty() || details == "[]"),
    )?;
    rig.cluster.admin().run(&["delete", "service", "web", "-n", SHOP])?;
    l2(rig, "no status", &[])
}

// [EVT-1], [D162-8]
pub(crate) fn events(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST, FIRST_V6], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let owner = rig.owner(FIRST)?;
    let text = |node: &str| format!("announcing from node {node:?} with protocol \"layer2\"");
    let is_told = |events: &Vec<(String, String)>| {
        events.iter().any(|(reason, message)| reason == "nodeAssigned" && *message == text(&owner))
    };
    wait("the event", || rig.events("web"), is_told)?;
    // Passes over everything, and a change of what does not matter, tell nothing.
    rig.service("api", "", &["192.168.1.241"], &ALL)?;
    rig.cluster.admin().run(&["label", "service", "web", "-n", SHOP, "a=b"])?;
    rig.owner("192.168.1.241")?;
    std::thread::sleep(CALM);
    let told = rig.events("web")?;
    check(told.len() == 1, format!("{told:?}"))?;
    rig.speaker(&owner)?.kill()?;
    let next = wait("another node", || rig.owner(FIRST), |next| *next != owner)?;
    wait(
        "the event of the next owner",
        || rig.events("web"),
        |events| events.len() == 2 && events.iter().any(|(_, message)| *message == text(&next)),
    )
    .map(drop)
}

// [EVT-2], [L2-31]
pub(crate) fn no_interface(rig: &mut Rig) -> Checked {
    rig.pool("lan", &["192.168.1.240-192.168.1.250"])?;
    rig.ours("L2Advertisement", "v1beta1", "all", "{interfaces: [eth9]}")?;
    rig.service("web", "", &[FIRST], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    let is_told = |events: &Vec<(String, String)>| events.iter().any(|(reason, _)| reason == "announceFailed");
    wait("the event", || rig.events("web"), is_told)?;
    let answering = rig.answering(FIRST, CALM)?;
    check(answering.is_empty(), format!("{answering:?} answer"))?;
    let told = rig.events("web")?;
    check(told.len() == 1, format!("told by more than one node, or as assigned: {told:?}"))?;
    check(rig.statuses(L2)?.is_empty(), "a status says that it is announced")?;
    rig.ours("L2Advertisement", "v1beta1", "all", "{interfaces: [eth0]}")?;
    rig.reach(FIRST).map(drop)
}

fn states(rig: &Rig) -> Result<Vec<(String, String)>, Box<dyn std::error::Error>> {
    let text = |value: &Value, key: &str| value["status"][key].as_str().unwrap_or_default().to_owned();
    let items = rig.get(&["configurationstates", "-n", "metallb-system"])?;
    Ok(items.iter().map(|item| (text(item, "result"), text(item, "errorSummary"))).collect())
}

// [SPK-8], [SPK-9], [STAT-40] to [STAT-42]
pub(crate) fn wrong_objects(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST], &ALL)?;
    let peer = "{myASN: 64512, peerASN: 64513, peerAddress: 10.0.0.9, bfdProfile: missing}";
    rig.ours("BGPPeer", "v1beta2", "tor", peer)?;
    rig.start_speakers(&Rig::program())?;
    // A start on a faulty configuration announces what is good of it.
    rig.reach(FIRST)?;
    let is_invalid = |states: &Vec<(String, String)>| {
        states.len() == 3 && states.iter().all(|(result, summary)| result == "Invalid" && summary.contains("missing"))
    };
    wait("every speaker to say what is wrong", || states(rig), is_invalid)?;
    // One that is changed for the worse stays as it was.
    rig.ours("IPAddressPool", "v1beta1", "lan", "{addresses: [192.168.1.250-192.168.1.240]}")?;
    let says_pool = |states: &Vec<(String, String)>| states.iter().all(|(_, summary)| summary.contains("lan"));
    wait("the pool to be named", || states(rig), says_pool)?;
    rig.reach(FIRST)?;
    rig.service("api", "", &["192.168.1.241"], &ALL)?;
    rig.reach("192.168.1.241")?;
    rig.usual_pool()?;
    rig.cluster.admin().run(&["delete", "bgppeer", "tor", "-n", "metallb-system"])?;
    let is_valid = |states: &Vec<(String, String)>| {
        states.len() == 3 && states.iter().all(|(result, summary)| result == "Valid" && summary.is_empty())
    };
    wait("all to be well", || states(rig), is_valid).map(drop)
}

/// What was written by others than the API server itself.
fn writes(rig: &Rig) -> Result<Vec<Write>, Box<dyn std::error::Error>> {
    let writes = rig.cluster.plane().writes()?;
    Ok(writes.into_iter().filter(|write| write.user != "system:apiserver").collect())
}

// An idle cluster costs no write.
pub(crate) fn no_idle_writes(rig: &mut Rig) -> Checked {
    rig.usual_pool()?;
    rig.service("web", "", &[FIRST, FIRST_V6], &ALL)?;
    rig.start_speakers(&Rig::program())?;
    rig.reach(FIRST)?;
    wait("the status", || rig.statuses(L2), |statuses| statuses.len() == 1)?;
    wait(
        "all states",
        || states(rig),
        |states| states.len() == 3 && states.iter().all(|(result, _)| result == "Valid"),
    )?;
    std::thread::sleep(CALM);
    let before = writes(rig)?.len();
    std::thread::sleep(Duration::from_secs(10));
    let now = writes(rig)?;
    check(now.len() == before, format!("{:?}", &now[before..]))?;
    // A restart with everything as it was writes nothing but what its Pod owns.
    let owner = rig.owner(FIRST)?;
    let other = ALL.into_iter().find(|node| *node != owner).ok_or("one node")?;
    rig.speaker(other)?.kill()?;
    rig.speaker(other)?.start()?;
    std::thread::sleep(Duration::from_secs(5));
    let now = writes(rig)?;
    check(now.len() == before, format!("after a restart: {:?}", &now[before..]))
}
