//! `ferrule explain` against the API server: what it says to an administrator, and to somebody who may read little.

use std::process::Command;
use std::time::{Duration, Instant};

use lab::control_plane::objects;
use lab::wait_until;
use serde_json::{Value, json};

use super::rig::{Checked, Fallible, Plane, Rights, SOON, Site, dump, ensure, eventually};

/// What `site` holds: two Services have the two addresses of its pool, a third waits.
fn fill(plane: &Plane, site: &Site) -> Checked {
    pool(plane, site, "public", "198.51.100.0/31")?;
    for name in ["web", "api"] {
        plane.control.apply(&site.service(name, "", ""))?;
        site.addresses(plane, name, |addresses| addresses.len() == 1)?;
    }
    plane.control.apply(&site.service("late", "", ""))?;
    let namespace = site.name;
    plane.control.apply(&format!(
        "{{apiVersion: metallb.io/v1beta1, kind: L2Advertisement, metadata: {{name: all, namespace: {namespace}}}}}"
    ))?;
    plane.control.apply(&objects::node("n1", &[]))?;
    plane.control.apply(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: explained-web-1, namespace: shop, labels: \
         {kubernetes.io/service-name: explained-web}}\naddressType: IPv4\nendpoints: [{addresses: [10.244.0.9], nodeName: n1, conditions: {ready: \
         true}}]\n",
    )?;
    Ok(())
}

/// How often the controller has written, once it has no more to write: its statuses of pools and of policies are written some time after
/// what they tell of.
fn writes_at_rest(plane: &Plane, site: &Site) -> Fallible<usize> {
    const REST: Duration = Duration::from_secs(3);
    let mut known = (0, Instant::now());
    let at_rest = wait_until(SOON, "the controller to write nothing more", || {
        let count = site.writes(plane).ok()?.len();
        if count != known.0 {
            known = (count, Instant::now());
        }
        (known.1.elapsed() > REST).then_some(count)
    })?;
    Ok(at_rest)
}

/// A pool with a label.
fn pool(plane: &Plane, site: &Site, name: &str, addresses: &str) -> Checked {
    let namespace = site.name;
    plane.control.apply(&format!(
        "{{apiVersion: metallb.io/v1beta1, kind: IPAddressPool, metadata: {{name: {name}, namespace: {namespace}, labels: {{zone: east}}}}, \
         spec: {{addresses: [{addresses}]}}}}"
    ))?;
    Ok(())
}

/// What a speaker on a node would write of the Service `web`.
fn report(plane: &Plane, site: &Site, kind: &str, node: &str, more: &Value) -> Checked {
    let (namespace, name) = (site.name, format!("{kind}-{node}").to_lowercase());
    plane.control.apply(&format!(
        "{{apiVersion: metallb.io/v1beta1, kind: {kind}, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{}}}}"
    ))?;
    let mut status = json!({"node": node, "serviceName": format!("{namespace}-web"), "serviceNamespace": "shop"});
    for (field, value) in more.as_object().into_iter().flatten() {
        status[field] = value.clone();
    }
    let patch = json!({"status": status}).to_string();
    let admin = plane.control.admin();
    admin.run(&["patch", kind, &name, "-n", namespace, "--subresource=status", "--type=merge", "-p", &patch])?;
    Ok(())
}

/// What the speakers say stands beside what the rules say.
fn reports_are_told(plane: &Plane, site: &Site, ask: impl Fn(&str) -> Fallible<String>) -> Checked {
    let expect = |first: &str, told: &str| {
        let web = ask("shop/explained-web")?;
        let found = web.split_once("\nWhat speakers report\n").map_or("", |(_, told)| told);
        ensure(web.starts_with(first) && found == told, || format!("{first}\n{told}\nis wanted, and it says {web}"))
    };
    let has = "shop/explained-web has 198.51.100.0 from pool public; n1 answers for it, and no other node may";
    let nobody = "no speaker reports that it answers on layer 2; by the rules n1 does";
    let look = "see that the speaker on n1 runs and is ready, and what its log says; it may also need a moment";
    expect(
        &format!("{has}; but {nobody}.\nMend: {look}\n"),
        &format!("  differs STAT-4      {nobody}\n                      mend: {look}\n"),
    )?;
    report(plane, site, "ServiceL2Status", "n1", &json!({}))?;
    let agrees = "  agrees  STAT-4      n1 reports that it answers on layer 2, on all links\n";
    expect(&format!("{has}.\n"), agrees)?;
    report(plane, site, "ServiceBGPStatus", "n1", &json!({"peers": ["tor"]}))?;
    let bgp = "n1 reports that it announces it by BGP to tor; by the rules it does not: no advertisement of its pool covers the Service";
    expect(
        &format!("{has}; but {bgp}.\nMend: {look}\n"),
        &format!("{agrees}  differs STAT-21     {bgp}\n                      mend: {look}\n"),
    )?;
    plane.control.admin().run(&["delete", "servicebgpstatus", "-n", site.name, "--all"])?;
    Ok(())
}

/// What `kubectl get -o yaml` prints is what a change is held against.
fn a_dump_is_planned_against(plane: &Plane, site: &Site) -> Checked {
    let folder = tempfile::tempdir()?;
    let (now, new) = (folder.path().join("now.yaml"), folder.path().join("new.yaml"));
    let dump = dump(plane)?;
    ensure(dump.contains("managedFields:") && dump.contains("kind: List"), || dump.clone())?;
    std::fs::write(&now, dump)?;
    let pool = "apiVersion: metallb.io/v1beta1\nkind: IPAddressPool\nmetadata: {name: public, namespace: explained}\nspec: {addresses: \
                [198.51.100.1/32]}\n";
    std::fs::write(&new, pool)?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_ferrule"));
    command.args(["plan", "--namespace", site.name, "--lb-class", "explained/x"]).arg("-f").arg(&new);
    let planned = command.arg("--against").arg(&now).output()?;
    let text = String::from_utf8(planned.stdout)?;
    let lost = "lost: shop/explained-web: 198.51.100.0 (pool public) -> no address (pool-exhausted)\n";
    let ensured = planned.status.code() == Some(2)
        && text.starts_with(lost)
        && text.ends_with("\nlive addresses that move or are lost: 198.51.100.0\n");
    ensure(ensured, || format!("{:?} {text}{}", planned.status, String::from_utf8_lossy(&planned.stderr)))
}

/// Applies the policy of the site.
fn policy(plane: &Plane, site: &Site, spec: &str) -> Checked {
    let namespace = site.name;
    plane.control.apply(&format!(
        "{{apiVersion: ferrule.io/v1alpha1, kind: PoolPolicy, metadata: {{name: rules, namespace: {namespace}}}, spec: {spec}}}"
    ))?;
    Ok(())
}

/// Waits until the policy with this quota is in force: its use is told then.
fn counts(plane: &Plane, site: &Site, quota: &str) -> Checked {
    eventually("the policy to count", || {
        Ok(site.own(plane, "poolpolicy", "rules")?["status"]["quotas"][0]["name"] == quota)
    })
}

/// The first entry of a list in the status of the policy.
fn recorded(plane: &Plane, site: &Site, list: &str) -> Fallible<Value> {
    Ok(site.own(plane, "poolpolicy", "rules")?["status"][list][0]["address"].clone())
}

/// What waits, and what a freeze keeps of a pool that is gone, is known as the controller knows it.
fn what_policies_record_counts(plane: &Plane, site: &Site, ask: impl Fn(&str) -> Fallible<String>) -> Checked {
    policy(plane, site, "{retention: 1h, quotas: [{name: waiting, limit: 9}]}")?;
    counts(plane, site, "waiting")?;
    plane.control.admin().run(&["delete", "service", "-n", "shop", "explained-api"])?;
    eventually("the hold", || Ok(recorded(plane, site, "held")? == "198.51.100.1"))?;
    let late = ask("shop/explained-late")?;
    let first = "shop/explained-late has no address: no IPv4 address is left in any pool that may be used automatically (public).\n";
    ensure(late.starts_with(first) && late.contains("(waiting: 198.51.100.1 for shop/explained-api until "), || {
        late.clone()
    })?;
    let waits = ask("198.51.100.1")?;
    ensure(waits.starts_with("198.51.100.1 waits for shop/explained-api until "), || waits.clone())?;

    let frozen =
        "{ipAddressPoolSelectors: [{matchLabels: {zone: east}}], freeze: {}, quotas: [{name: frozen, limit: 9}]}";
    policy(plane, site, frozen)?;
    counts(plane, site, "frozen")?;
    plane.control.admin().run(&["delete", "ipaddresspool", "-n", site.name, "public"])?;
    eventually("the kept address", || Ok(recorded(plane, site, "kept")? == "198.51.100.0"))?;
    let web = ask("shop/explained-web")?;
    ensure(web.starts_with("shop/explained-web has 198.51.100.0 from pool public; n1 answers for it"), || web.clone())
}

/// An account in the namespace of the Services that may read them and the pools, and nothing else.
const DEVELOPER: &str = "
apiVersion: v1
kind: ServiceAccount
metadata: {name: developer, namespace: shop}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: developer, namespace: shop}
rules:
- {apiGroups: [\"\"], resources: [services], verbs: [get, list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: developer, namespace: shop}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: developer}
subjects: [{kind: ServiceAccount, name: developer, namespace: shop}]
";

const POOL_READER: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: pool-reader, namespace: explained}
rules:
- {apiGroups: [metallb.io], resources: [ipaddresspools], verbs: [list]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: pool-reader, namespace: explained}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: pool-reader}
subjects: [{kind: ServiceAccount, name: developer, namespace: shop}]
";

// [ALLOC-23], [CTRL-47], [L2-4]
pub(crate) fn a_cluster_is_explained(plane: &mut Plane) -> Checked {
    let site = Site::new(plane, "explained", Rights::Ours)?;
    let mut controller = site.controller(plane, "explained-1")?;
    controller.wait_for("became the leader", SOON)?;
    fill(plane, &site)?;
    let writes = writes_at_rest(plane, &site)?;
    let admin = plane.control.kubeconfig().to_owned();
    let ask = |plane: &Plane, kubeconfig: &std::path::Path, subject: &str| {
        let class = format!("{}/x", site.name);
        plane.explain(kubeconfig, &[subject, "--namespace", site.name, "--lb-class", &class])
    };
    let late = ask(plane, &admin, "shop/explained-late")?;
    ensure(late.status.code() == Some(0), || format!("{late:?}"))?;
    let first = "shop/explained-late has no address: no IPv4 address is left in any pool that may be used automatically (public).\n";
    ensure(late.stdout.starts_with(first), || late.stdout.clone())?;
    ensure(late.stdout.contains("IPAddressPool public: it is full: 2 of 2 IPv4 addresses are in use\n"), || {
        late.stdout.clone()
    })?;
    let web = ask(plane, &admin, "shop/explained-web")?.stdout;
    ensure(web.starts_with("shop/explained-web has 198.51.100.0 from pool public; n1 answers for it"), || web.clone())?;
    let address = ask(plane, &admin, "198.51.100.1")?.stdout;
    ensure(address.starts_with("198.51.100.1 is held by shop/explained-api, from pool public."), || address.clone())?;
    let unknown = ask(plane, &admin, "shop/explained-wbe")?;
    ensure(unknown.status.code() == Some(1) && unknown.stderr.contains("near names are shop/explained-web"), || {
        format!("{unknown:?}")
    })?;
    ensure(site.writes(plane)?.len() == writes, || "explain wrote something".to_owned())?;

    plane.control.apply(DEVELOPER)?;
    let developer = plane.control.service_account("shop", "developer")?;
    let refused = ask(plane, developer.kubeconfig(), "shop/explained-late")?;
    ensure(
        refused.status.code() == Some(1)
            && refused.stderr.contains("IPAddressPool objects of namespace explained cannot be read"),
        || format!("{refused:?}"),
    )?;
    plane.control.apply(POOL_READER)?;
    let mut narrow = String::new();
    eventually("the right to read pools", || {
        narrow = ask(plane, developer.kubeconfig(), "shop/explained-late")?.stdout;
        Ok(narrow.starts_with(first))
    })?;
    for said in [
        "Note: Services of other namespaces than shop may not be read",
        "Note: L2Advertisement objects count as absent",
        "Note: Node objects may not be read, so who announces is not told",
        "Note: what speakers report of layer 2 is not told, because ServiceL2Status objects cannot be read",
        "Note: PoolPolicy objects count as absent",
    ] {
        ensure(narrow.contains(said), || format!("{said:?} is not said: {narrow}"))?;
    }
    let asked = |subject: &str| Ok(ask(plane, &admin, subject)?.stdout);
    a_dump_is_planned_against(plane, &site)?;
    reports_are_told(plane, &site, asked)?;
    what_policies_record_counts(plane, &site, asked)
}
