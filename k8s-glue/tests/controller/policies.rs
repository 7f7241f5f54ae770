//! What the kinds of `ferrule.io` make the controller do, and what becomes of a cluster that has none.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::rig::{Checked, Fallible, Plane, Rights, SOON, Site, addresses_of, definitions, ensure, eventually};

/// How long nothing may be written to count as nothing.
const QUIET: Duration = Duration::from_secs(8);

fn apply(plane: &Plane, site: &Site, kind: &str, name: &str, spec: &str) -> Checked {
    let namespace = site.name;
    plane.control.apply(&format!(
        "{{apiVersion: ferrule.io/v1alpha1, kind: {kind}, metadata: {{name: {name}, namespace: {namespace}}}, spec: {spec}}}"
    ))?;
    Ok(())
}

fn status(plane: &Plane, site: &Site) -> Fallible<Value> {
    Ok(site.own(plane, "poolpolicy", "rules")?["status"].clone())
}

fn one(plane: &Plane, site: &Site, name: &str, wanted: &str) -> Checked {
    site.addresses(plane, name, |addresses| addresses == [wanted]).map(drop)
}

fn delete(plane: &Plane, site: &Site, name: &str) -> Checked {
    plane.control.admin().run(&["delete", "service", "-n", "shop", &format!("{}-{name}", site.name)])?;
    Ok(())
}

pub(crate) fn reservations_quotas_and_retention(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "policed", Rights::Ours)?;
    site.pool(plane, "public", "203.0.113.0/28")?;
    apply(plane, &site, "AddressReservation", "web", "{addresses: [203.0.113.9], services: [shop/policed-web]}")?;
    let rules = |limit: u32| format!("{{retention: 1h, quotas: [{{name: few, limit: {limit}}}]}}");
    apply(plane, &site, "PoolPolicy", "rules", &rules(3))?;
    let mut controller = site.controller(plane, "policed-1")?;
    for (name, wanted) in [("web", "203.0.113.9"), ("a", "203.0.113.0"), ("b", "203.0.113.1")] {
        plane.control.apply(&site.service(name, "", ""))?;
        one(plane, &site, name, wanted)?;
    }
    plane.control.apply(&site.service("c", "", ""))?;
    eventually("the event of a quota", || {
        Ok(site.events(plane, "c")?.iter().any(|event| {
            event["reason"] == "AllocationFailed" && event["message"].as_str().is_some_and(|text| text.contains("few"))
        }))
    })?;
    eventually("the use of the quota", || {
        let expected = json!([{"name": "few", "namespace": "shop", "used": 3, "limit": 3}]);
        Ok(status(plane, &site)?["quotas"] == expected)
    })?;
    delete(plane, &site, "a")?;
    // What was freed is the lowest, and waits for somebody else.
    one(plane, &site, "c", "203.0.113.2")?;
    eventually("the hold", || {
        let held = &status(plane, &site)?["held"];
        Ok(held[0]["address"] == "203.0.113.0"
            && held[0]["service"] == "shop/policed-a"
            && held[0]["reason"] == "Retention")
    })?;
    let before = site.writes(plane)?.len();
    sleep(QUIET);
    let idle = site.writes(plane)?;
    ensure(idle.len() == before, || format!("written while idle: {:?}", idle.get(before..)))?;
    controller.kill()?;
    let mut again = site.controller(plane, "policed-1")?;
    again.wait_for("configuration is in force", SOON)?;
    sleep(QUIET);
    let after = site.writes(plane)?;
    ensure(after.len() == before, || format!("written by a restart: {:?}", after.get(before..)))?;
    apply(plane, &site, "PoolPolicy", "rules", &rules(9))?;
    plane.control.apply(&site.service("d", "", ""))?;
    one(plane, &site, "d", "203.0.113.3")?;
    plane.control.apply(&site.service("a", "", ""))?;
    one(plane, &site, "a", "203.0.113.0")?;
    eventually("no hold", || Ok(status(plane, &site)?.get("held").is_none()))?;
    // A hold ends by itself.
    apply(plane, &site, "PoolPolicy", "rules", "{retention: 3s}")?;
    delete(plane, &site, "b")?;
    eventually("a short hold", || Ok(status(plane, &site)?["held"][0]["address"] == "203.0.113.1"))?;
    plane.control.apply(&site.service("e", ", annotations: {metallb.io/loadBalancerIPs: 203.0.113.1}", ""))?;
    one(plane, &site, "e", "203.0.113.1")
}

pub(crate) fn a_freeze_keeps_addresses(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "frozen", Rights::Ours)?;
    site.pool(plane, "public", "203.0.113.32/28")?;
    apply(plane, &site, "PoolPolicy", "rules", "{freeze: {}}")?;
    let mut controller = site.controller(plane, "frozen-1")?;
    plane.control.apply(&site.service("web", "", ""))?;
    one(plane, &site, "web", "203.0.113.32")?;
    site.pool(plane, "public", "203.0.113.40/29")?;
    eventually("the kept address", || {
        let kept = &status(plane, &site)?["kept"];
        Ok(kept[0]["address"] == "203.0.113.32"
            && kept[0]["pool"] == "public"
            && kept[0]["service"] == "shop/frozen-web")
    })?;
    plane.control.apply(&site.service("late", "", ""))?;
    one(plane, &site, "late", "203.0.113.40")?;
    controller.kill()?;
    let mut again = site.controller(plane, "frozen-1")?;
    again.wait_for("configuration is in force", SOON)?;
    plane.control.apply(&site.service("later", "", ""))?;
    one(plane, &site, "later", "203.0.113.41")?;
    ensure(addresses_of(&site.get(plane, "web")?) == ["203.0.113.32"], || "a restart took it away".to_owned())?;
    apply(plane, &site, "PoolPolicy", "rules", "{freeze: {confirmed: [203.0.113.32]}}")?;
    one(plane, &site, "web", "203.0.113.42")?;
    eventually("nothing kept", || Ok(status(plane, &site)?.get("kept").is_none()))
}

pub(crate) fn a_cluster_without_policies(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "without", Rights::Ours)?;
    site.pool(plane, "public", "203.0.113.64/28")?;
    let kinds = ["poolpolicies.ferrule.io", "addressreservations.ferrule.io"];
    plane.control.admin().run(&["delete", "crd", kinds[0], kinds[1]])?;
    let mut controller = site.controller(plane, "without-1")?;
    controller.wait_for("there are no policies", SOON)?;
    plane.control.apply(&site.service("web", "", ""))?;
    one(plane, &site, "web", "203.0.113.64")?;
    plane.control.apply(&definitions())?;
    eventually("the kinds", || {
        let spec = "{addresses: [203.0.113.70], services: [shop/without-late]}";
        Ok(apply(plane, &site, "AddressReservation", "late", spec).is_ok())
    })?;
    // It is asked for less and less often, so that it counts within a minute.
    eventually("the kinds to count", || {
        let name = "without-late";
        let _ = plane.control.admin().run(&["delete", "service", "-n", "shop", name, "--ignore-not-found"]);
        plane.control.apply(&site.service("late", "", ""))?;
        Ok(site.addresses(plane, "late", |addresses| !addresses.is_empty())? == ["203.0.113.70"])
    })
}
