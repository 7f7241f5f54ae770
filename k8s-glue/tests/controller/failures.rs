//! What becomes of addresses when a controller or the API server breaks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use lab::control_plane::Part;

use super::rig::{Checked, Plane, Rights, SOON, Site, ensure, eventually};

/// Services made while leaders change.
const MANY: usize = 500;

// [CRBAC-1], [COMPAT-8]
pub(crate) fn without_leases(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "bare", Rights::WithoutLeases)?;
    site.pool(plane, "public", "192.0.2.150-192.0.2.159")?;
    let mut controller = site.controller(plane, "bare-1")?;
    controller.wait_for("may not use Leases", SOON)?;
    plane.control.apply(&site.service("web", "", ""))?;
    site.addresses(plane, "web", |addresses| addresses == ["192.0.2.150"]).map(drop)
}

// [COMPAT-8], [DEPLOY-8]: an API server answers 403 to everybody for a moment after each start.
pub(crate) fn leases_refused_for_a_moment(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "refused", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.128/28")?;
    let mut first = site.controller(plane, "refused-1")?;
    first.wait_for("became the leader", SOON)?;
    let mut second = site.controller(plane, "refused-2")?;
    second.wait_for("started", SOON)?;
    std::thread::sleep(Duration::from_secs(3));
    site.unbind(plane)?;
    second.wait_for("the Lease is refused to this account", SOON)?;
    std::thread::sleep(Duration::from_secs(3));
    site.bind(plane)?;
    for name in ["a", "b", "c"] {
        plane.control.apply(&site.service(name, "", ""))?;
    }
    site.all_served(plane, 3)?;
    ensure_unique(&site, plane)?;
    let log = second.stdout();
    ensure(!log.contains("running without a leader election"), || format!("it leads beside the leader: {log}"))
}

// [CHTTP-6]
pub(crate) fn a_namespace_that_is_not_there(plane: &mut Plane) -> Checked {
    let (mut controller, probes) = Site::stray(plane, "nowhere")?;
    controller.wait_for("make the namespace nowhere", SOON)?;
    std::thread::sleep(Duration::from_secs(5));
    let told = controller.stdout().matches("make the namespace").count();
    ensure(told == 1, || format!("told {told} times"))?;
    let (alive, ready) = (Site::probe(plane, probes, "/healthz")?, Site::probe(plane, probes, "/readyz")?);
    ensure(alive && !ready, || format!("alive: {alive}, ready: {ready}"))
}

// [DEPLOY-8], [CCLI-4]
pub(crate) fn a_polite_stop(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "polite", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.160/28")?;
    let mut first = site.controller(plane, "polite-1")?;
    first.wait_for("became the leader", SOON)?;
    let mut second = site.controller(plane, "polite-2")?;
    second.wait_for("started", SOON)?;
    let began = Instant::now();
    first.terminate()?;
    let status = first.wait(SOON)?;
    ensure(status.success(), || format!("{status}"))?;
    ensure(began.elapsed() < Duration::from_secs(2), || format!("stopping took {:?}", began.elapsed()))?;
    second.wait_for("became the leader", Duration::from_secs(8))?;
    plane.control.apply(&site.service("web", "", ""))?;
    site.addresses(plane, "web", |addresses| addresses == ["192.0.2.160"])?;
    let state = || site.own(plane, "configurationstate", "controller");
    eventually("the state to be the second one's", || {
        Ok(state()?["metadata"]["ownerReferences"][0]["name"] == "polite-2")
    })
}

/// No address in two statuses.
fn ensure_unique(site: &Site, plane: &Plane) -> Checked {
    let mut holders: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, addresses) in site.all(plane)? {
        for address in addresses {
            holders.entry(address).or_default().push(name.clone());
        }
    }
    let twice: Vec<_> = holders.iter().filter(|(_, names)| names.len() > 1).collect();
    ensure(twice.is_empty(), || format!("given twice: {twice:?}"))
}

// [BEAT-5], [DEPLOY-8]
pub(crate) fn a_stopped_leader(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "stopped", Rights::Ours)?;
    site.pool(plane, "public", "198.18.0.0/22")?;
    let mut first = site.controller(plane, "stopped-1")?;
    first.wait_for("became the leader", SOON)?;
    let mut second = site.controller(plane, "stopped-2")?;
    second.wait_for("started", SOON)?;
    let services: Vec<String> = (0..MANY).map(|index| site.service(&format!("s{index:03}"), "", "")).collect();
    let half = services.len() / 2;
    let create = |part: &[String]| plane.control.admin().feed(&["create"], &part.concat()).map(drop);
    create(&services[..half])?;
    first.signal(libc::SIGSTOP)?;
    let stopped = Instant::now();
    create(&services[half..])?;
    second.wait_for("became the leader", SOON)?;
    site.all_served(plane, MANY)?;
    std::thread::sleep(Duration::from_secs(30).saturating_sub(stopped.elapsed()));
    let statuses = || -> Result<usize, Box<dyn std::error::Error>> {
        Ok(site.writes(plane)?.iter().filter(|write| write.resource == "services").count())
    };
    let before = statuses()?;
    first.signal(libc::SIGCONT)?;
    first.wait_for("is not the leader any more", SOON)?;
    std::thread::sleep(Duration::from_secs(2));
    let after = statuses()?;
    ensure(after == before, || format!("it tried {} writes on its old lease", after - before))?;
    site.all_served(plane, MANY)?;
    ensure_unique(&site, plane)?;
    // The pools are exact too: what was given is in use.
    eventually("the status of the pool", || {
        Ok(site.own(plane, "ipaddresspool", "public")?["status"]["assignedIPv4"] == MANY)
    })
}

/// A webhook for statuses of Services with one label, at an address where nobody answers.
const WEBHOOK: &str = r#"
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: away}
webhooks:
- name: away.example.com
  admissionReviewVersions: [v1]
  sideEffects: None
  failurePolicy: Fail
  clientConfig: {url: "https://127.0.0.1:1/"}
  objectSelector: {matchLabels: {app: blocked}}
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [UPDATE], resources: [services/status], scope: "*"}]
"#;

// [ARCH-10], [POOLST-6]
pub(crate) fn a_webhook_away(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "blocked", Rights::Ours)?;
    site.pool(plane, "public", "198.18.4.0/28")?;
    plane.control.apply(WEBHOOK)?;
    plane.control.apply(&site.service("blocked", "", ""))?;
    let mut controller = site.controller(plane, "blocked-1")?;
    controller.wait_for("failed calling webhook", SOON)?;
    plane.control.apply(&site.service("web", "", ""))?;
    site.addresses(plane, "web", |addresses| addresses == ["198.18.4.1"])?;
    eventually("the status of the pool", || {
        Ok(site.own(plane, "ipaddresspool", "public")?["status"]["assignedIPv4"] == 2)
    })?;
    plane.control.admin().run(&["delete", "validatingwebhookconfiguration", "away"])?;
    site.addresses(plane, "blocked", |addresses| addresses == ["198.18.4.0"]).map(drop)
}

pub(crate) fn an_api_server_away(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "away", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.192/26")?;
    let mut controller = site.controller(plane, "away-1")?;
    controller.wait_for("became the leader", SOON)?;
    plane.control.apply(&site.service("before", "", ""))?;
    site.addresses(plane, "before", |addresses| addresses == ["192.0.2.192"])?;
    plane.control.kill(Part::ApiServer)?;
    std::thread::sleep(Duration::from_secs(20));
    ensure(controller.poll()?.is_none(), || "the controller has ended".to_owned())?;
    plane.control.start_part(Part::ApiServer)?;
    plane.control.wait_until_ready()?;
    plane.control.apply(&site.service("after", "", ""))?;
    site.addresses(plane, "after", |addresses| addresses == ["192.0.2.193"])?;
    site.addresses(plane, "before", |addresses| addresses == ["192.0.2.192"]).map(drop)
}

// The API server has forgotten the places of all watches, and things have changed meanwhile.
pub(crate) fn watches_that_expired(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "expired", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.32/31")?;
    let mut controller = site.controller(plane, "expired-1")?;
    controller.wait_for("became the leader", SOON)?;
    for (name, address) in [("kept", "192.0.2.32"), ("gone", "192.0.2.33")] {
        plane.control.apply(&site.service(name, "", ""))?;
        site.addresses(plane, name, |addresses| addresses == [address])?;
    }
    let before = site.writes(plane)?.len();
    // It cannot look before everything has changed.
    controller.signal(libc::SIGSTOP)?;
    plane.control.kill(Part::ApiServer)?;
    plane.control.start_part(Part::ApiServer)?;
    plane.control.wait_until_ready()?;
    plane.control.admin().run(&["delete", "service", "-n", "shop", "expired-gone"])?;
    plane.control.apply(&site.service("new", "", ""))?;
    controller.signal(libc::SIGCONT)?;
    // Only who knows that its Service is gone has it: a list can show the new one before that.
    site.addresses(plane, "new", |addresses| addresses == ["192.0.2.33"])?;
    site.addresses(plane, "kept", |addresses| addresses == ["192.0.2.32"])?;
    let log = controller.stdout() + &controller.stderr();
    // Where the API server took longer than the lease, everything is listed for that reason already.
    let is_anew = ["too old resource version", "is not the leader any more"].iter().any(|text| log.contains(text));
    ensure(is_anew, || format!("nothing expired:\n{log}"))?;
    std::thread::sleep(Duration::from_secs(2));
    let writes = site.writes(plane)?;
    let others = writes.iter().skip(before).filter(|write| {
        let is_expected = write.resource == "ipaddresspools" || write.name.starts_with("expired-new");
        write.is_success() && !is_expected
    });
    let others: Vec<_> = others.collect();
    ensure(others.is_empty(), || format!("other writes: {others:?}"))
}
