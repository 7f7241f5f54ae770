//! Policies in files: what they keep survives a restart, and a change of them counts at once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::rig::{Checked, Rig, SOON, answers, check, objects, wait};

fn policy(spec: &str) -> String {
    format!(
        "---\napiVersion: ferrule.io/v1alpha1\nkind: PoolPolicy\nmetadata: {{name: lan, namespace: metallb-system}}\nspec: {spec}\n"
    )
}

fn with_policy(last: &str, services: &[&str], spec: &str) -> String {
    objects(last, services.iter().copied()) + &policy(spec)
}

/// Waits until Services have these last octets, and no other Service has any.
fn recorded(rig: &Rig, expected: &[(&str, u8)]) -> Checked {
    let address = |octet: u8| vec![IpAddr::from([198, 51, 100, octet])];
    let expected: BTreeMap<String, Vec<IpAddr>> =
        expected.iter().map(|(name, octet)| (format!("default/{name}"), address(*octet))).collect();
    wait(&format!("{expected:?}"), || rig.recorded("n1"), |found| *found == expected).map(drop)
}

pub(crate) fn a_deleted_service_gets_its_address_back() -> Checked {
    let rig = Rig::new("retention", 1)?;
    let spec = "{retention: 1h}";
    rig.write("n1", &with_policy("198.51.100.20", &["mail", "web"], spec))?;
    let mut daemon = rig.start(0)?;
    recorded(&rig, &[("mail", 10), ("web", 11)])?;
    rig.write("n1", &with_policy("198.51.100.20", &["web"], spec))?;
    recorded(&rig, &[("web", 11)])?;
    rig.write("n1", &with_policy("198.51.100.20", &["api", "web"], spec))?;
    // The address that was freed is the lowest, and waits for somebody else.
    recorded(&rig, &[("api", 12), ("web", 11)])?;
    daemon.terminate()?;
    daemon.wait(SOON)?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for("started", SOON)?;
    rig.write("n1", &with_policy("198.51.100.20", &["api", "mail", "web", "zoo"], spec))?;
    recorded(&rig, &[("api", 12), ("mail", 10), ("web", 11), ("zoo", 13)])?;
    let history = rig.state("n1")?.history;
    let of_mail: Vec<&str> =
        history.entries.iter().filter(|line| line.service == "default/mail").map(|line| line.event.as_str()).collect();
    check(of_mail == ["granted", "released", "held", "granted"], format!("{of_mail:?}"))?;
    // Whom the operator lets go waits no longer.
    rig.write("n1", &with_policy("198.51.100.20", &["api", "web", "zoo"], spec))?;
    recorded(&rig, &[("api", 12), ("web", 11), ("zoo", 13)])?;
    let spec = "{retention: 1h, releaseNow: [default/mail]}";
    rig.write("n1", &with_policy("198.51.100.20", &["api", "new", "web", "zoo"], spec))?;
    recorded(&rig, &[("api", 12), ("new", 10), ("web", 11), ("zoo", 13)])?;
    check(rig.state("n1")?.holds.is_empty(), "it is held all the same")
}

pub(crate) fn a_freeze_keeps_an_address_that_its_pool_lost() -> Checked {
    let rig = Rig::new("freeze", 1)?;
    let narrow = |spec: &str| with_policy("198.51.100.20", &["web"], spec).replace("198.51.100.10-", "198.51.100.15-");
    rig.write("n1", &with_policy("198.51.100.20", &["web"], "{freeze: {}}"))?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for("now active", SOON)?;
    recorded(&rig, &[("web", 10)])?;
    rig.write("n1", &narrow("{freeze: {}}"))?;
    wait("the kept address on disk", || Ok(rig.state("n1")?.kept), |kept| kept.len() == 1)?;
    recorded(&rig, &[("web", 10)])?;
    check(answers(&rig.client, "198.51.100.10")?, "the kept address does not answer")?;
    daemon.terminate()?;
    daemon.wait(SOON)?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for("now active", SOON)?;
    recorded(&rig, &[("web", 10)])?;
    check(answers(&rig.client, "198.51.100.10")?, "it does not answer after a restart")?;
    rig.write("n1", &narrow("{freeze: {confirmed: [198.51.100.10]}}"))?;
    recorded(&rig, &[("web", 15)])?;
    wait("nothing kept on disk", || Ok(rig.state("n1")?.kept), Vec::is_empty).map(drop)
}

pub(crate) fn reservations_quotas_and_exclusions_count() -> Checked {
    let rig = Rig::new("policies", 1)?;
    let reservation = "---\napiVersion: ferrule.io/v1alpha1\nkind: AddressReservation\nmetadata: {name: web, namespace: metallb-system}\nspec: \
                       {addresses: [198.51.100.11], services: [default/web]}\n";
    let spec = "{exclusions: [198.51.100.10], quotas: [{name: few, limit: 2}]}";
    rig.write("n1", &(with_policy("198.51.100.20", &["api", "web", "zoo"], spec) + reservation))?;
    let mut daemon = rig.start(0)?;
    recorded(&rig, &[("api", 12), ("web", 11)])?;
    daemon.wait_for("few", SOON)?;
    rig.write("n1", &(with_policy("198.51.100.20", &["api", "web", "zoo"], "{}") + reservation))?;
    recorded(&rig, &[("api", 12), ("web", 11), ("zoo", 10)])
}
