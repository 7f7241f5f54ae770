//! `ferrule explain` against the API server: what it says to an administrator, and to somebody who may read little.

use lab::control_plane::objects;

use super::rig::{Checked, Plane, Rights, SOON, Site, ensure, eventually};

/// What `site` holds: two Services have the two addresses of its pool, a third waits.
fn fill(plane: &Plane, site: &Site) -> Checked {
    site.pool(plane, "public", "198.51.100.0/31")?;
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
    let writes = site.writes(plane)?.len();
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
    ] {
        ensure(narrow.contains(said), || format!("{said:?} is not said: {narrow}"))?;
    }
    Ok(())
}
