//! What one controller does for Services, and what it leaves alone.

use std::thread::sleep;
use std::time::Duration;

use serde_json::json;

use super::rig::{Checked, Plane, Rights, SOON, Site, addresses_of, ensure, eventually};

/// How long nothing may be written to count as nothing.
const QUIET: Duration = Duration::from_secs(8);

// [CTRL-45], [CTRL-60], [CTRL-62], [CEVT-1], [POOLST-1], [CFGST-1], [MLSEC-1], [ARCH-3]
pub(crate) fn a_service_gets_an_address(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "first", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.0/30")?;
    let mut controller = site.controller(plane, "first-1")?;
    controller.wait_for("became the leader", SOON)?;
    let metadata = ", finalizers: [example.com/keep], annotations: {note: kept}, ownerReferences: [{apiVersion: v1, kind: ConfigMap, \
                    name: owner, uid: 6b1d3c5e-0000-4000-8000-000000000001}]";
    plane.control.apply(&site.service("web", metadata, ""))?;
    site.addresses(plane, "web", |addresses| addresses == ["192.0.2.0"])?;
    let service = site.get(plane, "web")?;
    let kept = &service["metadata"];
    ensure(kept["annotations"]["metallb.io/ip-allocated-from-pool"] == "public", || format!("{kept}"))?;
    ensure(kept["annotations"]["note"] == "kept" && kept["labels"]["app"] == "web", || format!("{kept}"))?;
    ensure(kept["finalizers"] == json!(["example.com/keep"]), || format!("{kept}"))?;
    ensure(kept["ownerReferences"][0]["name"] == "owner", || format!("{kept}"))?;
    ensure(service["spec"]["ports"][0]["port"] == 80, || format!("{service}"))?;
    ensure(service["status"]["loadBalancer"]["ingress"][0]["ipMode"] == "VIP", || format!("{service}"))?;
    let writes = site.writes(plane)?;
    let of_service = writes.iter().filter(|write| write.resource == "services").count();
    ensure(of_service == 1, || format!("{of_service} writes for one Service: {writes:?}"))?;
    eventually("the event", || {
        let events = site.events(plane, "web")?;
        Ok(events.iter().any(|event| {
            event["reason"] == "IPAllocated"
                && event["type"] == "Normal"
                && event["source"]["component"] == "metallb-controller"
        }))
    })?;
    eventually("the status of the pool", || {
        let pool = site.own(plane, "ipaddresspool", "public")?;
        let wanted = json!({"assignedIPv4": 1, "assignedIPv6": 0, "availableIPv4": 3, "availableIPv6": 0});
        Ok(pool["status"] == wanted)
    })?;
    eventually("the configuration state", || {
        let state = site.own(plane, "configurationstate", "controller")?;
        Ok(state["status"]["result"] == "Valid" && state["metadata"]["ownerReferences"][0]["name"] == "first-1")
    })?;
    let secret = site.own(plane, "secret", "memberlist")?;
    let key = secret["data"]["secretkey"].as_str().map(str::len);
    // 22 characters, encoded once more as every value of a Secret.
    ensure(key == Some(32), || format!("{secret}"))?;
    ensure(secret["metadata"]["ownerReferences"][0]["kind"] == "Deployment", || format!("{secret}"))?;
    // [POOLST-2]: a stranger's edit is undone.
    let strange = r#"{"status":{"assignedIPv4":77,"assignedIPv6":0,"availableIPv4":0,"availableIPv6":0}}"#;
    plane.control.admin().run(&[
        "patch",
        "ipaddresspool",
        "-n",
        site.name,
        "public",
        "--subresource=status",
        "--type=merge",
        "-p",
        strange,
    ])?;
    eventually("the status of the pool again", || {
        Ok(site.own(plane, "ipaddresspool", "public")?["status"]["assignedIPv4"] == 1)
    })?;
    // [CFGST-1]
    plane.control.admin().run(&["delete", "configurationstate", "-n", site.name, "controller"])?;
    eventually("the configuration state again", || {
        Ok(site.own(plane, "configurationstate", "controller")?["status"]["result"] == "Valid")
    })
}

// [CTRL-46], [CTRL-51], [CTRL-52], [ALLOC-10], [VEC-CONV]
pub(crate) fn families_requests_and_sharing(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "kinds", Rights::Ours)?;
    site.pool(plane, "both", "192.0.2.16/28, 2001:db8::/124")?;
    site.pool(plane, "other", "198.51.100.0/28")?;
    let _controller = site.controller(plane, "kinds-1")?;
    let dual = ", ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv6, IPv4]";
    let services = [
        site.service("dual", "", dual),
        site.service("six", "", ", ipFamilies: [IPv6], ipFamilyPolicy: SingleStack"),
        site.service("asked", ", annotations: {metallb.io/loadBalancerIPs: 198.51.100.7}", ""),
        site.service("pooled", ", annotations: {metallb.io/address-pool: other}", ""),
        site.service("field", "", ", loadBalancerIP: 198.51.100.9"),
        site.service("nowhere", ", annotations: {metallb.io/loadBalancerIPs: 203.0.113.1}", ""),
        site.service(
            "shared-a",
            ", annotations: {metallb.io/loadBalancerIPs: 192.0.2.30, metallb.io/allow-shared-ip: k}",
            "",
        ),
        site.service(
            "shared-b",
            ", annotations: {metallb.io/loadBalancerIPs: 192.0.2.30, metallb.io/allow-shared-ip: k}",
            "",
        )
        .replace("port: 80", "port: 443"),
    ];
    plane.control.apply(&services.concat())?;
    let one = |name: &str, wanted: &str| site.addresses(plane, name, |addresses| addresses == [wanted]);
    site.addresses(plane, "dual", |addresses| addresses == ["192.0.2.16", "2001:db8::"])?;
    one("six", "2001:db8::1")?;
    one("asked", "198.51.100.7")?;
    one("pooled", "198.51.100.0")?;
    one("field", "198.51.100.9")?;
    one("shared-a", "192.0.2.30")?;
    one("shared-b", "192.0.2.30")?;
    eventually("the event of a request that cannot be met", || {
        Ok(site.events(plane, "nowhere")?.iter().any(|event| event["reason"] == "AllocationFailed"))
    })?;
    ensure(addresses_of(&site.get(plane, "nowhere")?).is_empty(), || "an address from nowhere".to_owned())?;
    // [CHG-12]: another request moves the Service.
    let name = format!("{}-asked", site.name);
    let annotation = "metallb.io/loadBalancerIPs=198.51.100.8";
    plane.control.admin().run(&["annotate", "service", "-n", "shop", &name, "--overwrite", annotation])?;
    one("asked", "198.51.100.8").map(drop)
}

// [ARCH-2], [CTRL-16], [CTRL-62], [CFGST-10], [POOLST-5]
pub(crate) fn idle_and_restart_write_nothing(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "idle", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.64/27")?;
    let mut controller = site.controller(plane, "idle-1")?;
    let services: Vec<String> = (0..20).map(|index| site.service(&format!("s{index}"), "", "")).collect();
    plane.control.apply(&services.concat())?;
    site.all_served(plane, 20)?;
    eventually("the status of the pool", || {
        Ok(site.own(plane, "ipaddresspool", "public")?["status"]["assignedIPv4"] == 20)
    })?;
    eventually("all events", || {
        let writes = site.writes(plane)?;
        Ok(writes.iter().filter(|write| write.resource == "events").count() == 20)
    })?;
    let before = (site.all(plane)?, site.writes(plane)?.len());
    sleep(QUIET);
    let idle = site.writes(plane)?;
    ensure(idle.len() == before.1, || format!("written while idle: {:?}", idle.get(before.1..)))?;
    controller.kill()?;
    let mut again = site.controller(plane, "idle-1")?;
    // In the same Pod it need not wait for its own lease to run out.
    again.wait_for("configuration is in force", Duration::from_secs(10))?;
    sleep(QUIET);
    let after = site.writes(plane)?;
    ensure(after.len() == before.1, || format!("written by a restart: {:?}", after.get(before.1..)))?;
    ensure(site.all(plane)? == before.0, || "an address has changed".to_owned())
}

// [CTRL-17]
pub(crate) fn two_services_with_one_address(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "twice", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.96/30")?;
    plane.control.apply(&site.service("z-older", "", ""))?;
    sleep(Duration::from_millis(1_100));
    plane.control.apply(&site.service("a-younger", "", ""))?;
    for name in ["z-older", "a-younger"] {
        let name = format!("{}-{name}", site.name);
        let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.97"}]}}}"#;
        plane.control.admin().run(&[
            "patch",
            "service",
            "-n",
            "shop",
            &name,
            "--subresource=status",
            "--type=merge",
            "-p",
            status,
        ])?;
    }
    let _controller = site.controller(plane, "twice-1")?;
    site.addresses(plane, "a-younger", |addresses| addresses == ["192.0.2.96"])?;
    site.addresses(plane, "z-older", |addresses| addresses == ["192.0.2.97"])?;
    eventually("an event on both", || {
        let told = |name: &str, reason: &str| -> Result<bool, Box<dyn std::error::Error>> {
            Ok(site.events(plane, name)?.iter().any(|event| event["reason"] == reason))
        };
        Ok(told("z-older", "AddressConflict")? && told("a-younger", "ClearAssignment")?)
    })
}

// [CFG-10], [CFG-11], [CFGST-3], [CFGST-6]
pub(crate) fn bad_pools_change_nothing(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "faulty", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.128/30")?;
    site.pool(plane, "overlaps", "192.0.2.128/29")?;
    plane.control.apply(&site.service("web", "", ""))?;
    let name = format!("{}-web", site.name);
    let status = r#"{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.130"}]}}}"#;
    plane.control.admin().run(&[
        "patch",
        "service",
        "-n",
        "shop",
        &name,
        "--subresource=status",
        "--type=merge",
        "-p",
        status,
    ])?;
    let controller = site.controller(plane, "faulty-1")?;
    let result = |wanted: &str| {
        eventually(&format!("the result {wanted}"), || {
            let state = site.own(plane, "configurationstate", "controller")?;
            Ok(state["status"]["result"] == wanted)
        })
    };
    result("Invalid")?;
    let state = site.own(plane, "configurationstate", "controller")?;
    let summary = state["status"]["errorSummary"].as_str().unwrap_or_default();
    ensure(summary.starts_with("configuration error") && summary.contains("overlaps"), || summary.to_owned())?;
    ensure(addresses_of(&site.get(plane, "web")?) == ["192.0.2.130"], || "the status was touched".to_owned())?;
    plane.control.admin().run(&["delete", "ipaddresspool", "-n", site.name, "overlaps"])?;
    result("Valid")?;
    eventually("the annotation", || {
        let service = site.get(plane, "web")?;
        Ok(service["metadata"]["annotations"]["metallb.io/ip-allocated-from-pool"] == "public")
    })?;
    site.pool(plane, "overlaps", "192.0.2.128/29")?;
    result("Invalid")?;
    ensure(addresses_of(&site.get(plane, "web")?) == ["192.0.2.130"], || "the last good pools are gone".to_owned())?;
    // A good pool counts beside the faulty one, and after a restart as well.
    site.pool(plane, "good2", "198.51.100.128/30")?;
    let asks = ", annotations: {metallb.io/address-pool: good2}";
    plane.control.apply(&site.service("asks", asks, ""))?;
    site.addresses(plane, "asks", |addresses| addresses == ["198.51.100.128"])?;
    drop(controller);
    let _controller = site.controller(plane, "faulty-2")?;
    plane.control.apply(&site.service("later", asks, ""))?;
    site.addresses(plane, "later", |addresses| addresses == ["198.51.100.129"])?;
    ensure(addresses_of(&site.get(plane, "web")?) == ["192.0.2.130"], || "a restart took it away".to_owned())
}

// [CTRL-27], [CHG-1], [CHG-2]
pub(crate) fn who_waits_is_served(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "waits", Rights::Ours)?;
    site.pool(plane, "public", "192.0.2.140-192.0.2.140")?;
    let _controller = site.controller(plane, "waits-1")?;
    plane.control.apply(&site.service("one", "", ""))?;
    site.addresses(plane, "one", |addresses| !addresses.is_empty())?;
    // Within one second of creation the names decide, so they stand in the order of creation.
    plane.control.apply(&site.service("second", "", ""))?;
    plane.control.apply(&site.service("third", "", ""))?;
    eventually("the event of who waits", || {
        Ok(site.events(plane, "third")?.iter().any(|event| event["reason"] == "AllocationFailed"))
    })?;
    // A change of type frees it, class and all ([CTRL-3]).
    let name = format!("{}-one", site.name);
    let plain = r#"{"spec":{"type":"ClusterIP","loadBalancerClass":null,"allocateLoadBalancerNodePorts":null}}"#;
    plane.control.admin().run(&["patch", "service", "-n", "shop", &name, "--type=merge", "-p", plain])?;
    site.addresses(plane, "second", |addresses| addresses == ["192.0.2.140"])?;
    eventually("the annotation to go", || {
        let service = site.get(plane, "one")?;
        Ok(service["metadata"]["annotations"].get("metallb.io/ip-allocated-from-pool").is_none())
    })?;
    plane.control.admin().run(&["delete", "service", "-n", "shop", &format!("{}-second", site.name)])?;
    site.addresses(plane, "third", |addresses| addresses == ["192.0.2.140"]).map(drop)
}
