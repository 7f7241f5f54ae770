//! What a Service costs the API server: every write of the roles for it, by the API server's own record.

use std::collections::BTreeMap;
use std::thread;

use lab::control_plane::audit::Write;

use crate::Scenario;
use crate::rig::{CALM, Checked, Rig, SHOP, check, wait};

pub(crate) const ALL: &[Scenario] = &[("writes_of_a_service_from_its_creation_to_its_end", writes_of_a_service)];

/// The start of the names of the ServiceAccounts of the roles.
const ROLES: &str = "system:serviceaccount:metallb-system:";

type Counts = BTreeMap<String, usize>;

/// What the roles asked for after the first `skipped` writes of the record, answered with success or not; Leases are for themselves.
fn counts(rig: &Rig, skipped: usize) -> Result<Counts, Box<dyn std::error::Error>> {
    let mut counts = Counts::new();
    for write in rig.cluster.plane().writes()?.iter().skip(skipped) {
        let Some(role) = write.user.strip_prefix(ROLES).filter(|_| write.resource != "leases") else { continue };
        *counts.entry(row(role, write)).or_default() += 1;
    }
    Ok(counts)
}

fn row(role: &str, write: &Write) -> String {
    let slash = if write.subresource.is_empty() { "" } else { "/" };
    let failed = if write.is_success() { "" } else { " in vain" };
    format!("{role} {} {}{slash}{}{failed}", write.verb, write.resource, write.subresource)
}

/// Waits for these writes, and that no other follows.
fn exactly(rig: &Rig, skipped: usize, rows: &[(&str, usize)]) -> Checked {
    let expected: Counts = rows.iter().map(|(row, count)| ((*row).to_owned(), *count)).collect();
    let has_all = |found: &Counts| expected.iter().all(|(row, count)| found.get(row) >= Some(count));
    wait("every write", || counts(rig, skipped), has_all)?;
    thread::sleep(CALM);
    let found = counts(rig, skipped)?;
    check(found == expected, format!("{found:#?}"))
}

// [CTRL-60], [CEVT-1], [POOLST-6], [STAT-8], [STAT-23], [EVT-1], [EVT-3], [D162-8]
fn writes_of_a_service(rig: &mut Rig) -> Checked {
    rig.pool("both", &["192.168.1.240/30", "fc00:f853:ccd:e793::f0/126"])?;
    rig.ours("L2Advertisement", "all", "{ipAddressPools: [both]}")?;
    rig.ours("BGPAdvertisement", "all", "{ipAddressPools: [both]}")?;
    rig.ours("BGPPeer", "tor", "{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.9}")?;
    thread::sleep(CALM);
    let record = |rig: &Rig| rig.cluster.plane().writes().map(|writes| writes.len());
    let before = record(rig)?;
    rig.service("web", "ipFamilyPolicy: RequireDualStack, ")?;
    let pods: Vec<_> = rig.pods.iter().collect();
    rig.cluster.endpoints(SHOP, "web", &pods)?;
    // One node answers on the segment, both have routes.
    let made = [
        ("controller create events", 1),
        ("controller update ipaddresspools/status", 1),
        ("controller update services/status", 1),
        ("speaker create events", 3),
        ("speaker create servicebgpstatuses", 2),
        ("speaker create servicel2statuses", 1),
        ("speaker patch servicebgpstatuses/status", 2),
        ("speaker patch servicel2statuses/status", 1),
    ];
    exactly(rig, before, &made)?;
    let before = record(rig)?;
    rig.cluster.admin().run(&["label", "service", "web", "-n", SHOP, "a=b"])?;
    exactly(rig, before, &[])?;
    rig.delete("web")?;
    let ended = [
        ("controller update ipaddresspools/status", 1),
        ("speaker delete servicebgpstatuses", 2),
        ("speaker delete servicel2statuses", 1),
    ];
    exactly(rig, before, &ended)
}
