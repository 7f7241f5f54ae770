//! BGP by the standalone host: a router sees the routes of Services, and traffic by them arrives.

use std::error::Error;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use lab::http::Server;
use lab::router::{Bird, Router};
use lab::wait_until;

use super::rig::{Checked, Rig, SOON, check};

/// The node's and the router's address on the rig's segment.
const NODE: &str = "198.51.100.1";
const ROUTER: &str = "198.51.100.200";

/// A BIRD on the client's host that waits for the node, with or without a password, and puts what it learns into the kernel.
fn router(rig: &Rig, password: Option<&str>) -> lab::Result<Bird> {
    let password = password.map(|password| format!("password \"{password}\";")).unwrap_or_default();
    let config = format!(
        "router id {ROUTER};\nprotocol direct {{ ipv4; }}\nprotocol kernel {{ ipv4 {{ export where source = RTS_BGP; }}; }}\n\
         protocol bgp node {{ local {ROUTER} as 64999; neighbor {NODE} as 64512; passive on; error wait time 1, 2; {password}\n\
         ipv4 {{ import all; export none; }}; }}"
    );
    Bird::start(&rig.client, &config)
}

fn objects(password: Option<&str>, communities: &str, services: &[&str]) -> String {
    let password = password.map(|password| format!(", password: {password}")).unwrap_or_default();
    let mut text = format!(
        "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {{name: routed, namespace: metallb-system}}
spec: {{addresses: [203.0.113.10-203.0.113.20]}}
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: {{name: tor, namespace: metallb-system}}
spec: {{myASN: 64512, peerASN: 64999, peerAddress: {ROUTER}{password}}}
---
apiVersion: metallb.io/v1beta1
kind: Community
metadata: {{name: names, namespace: metallb-system}}
spec: {{communities: [{{name: vip, value: '64512:7'}}]}}
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: {{name: routed, namespace: metallb-system}}
spec: {{ipAddressPools: [routed], communities: [{communities}]}}
"
    );
    for name in services {
        let more = format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{type: LoadBalancer, ports: [{{port: 80}}]}}\n"
        );
        text.push_str(&more);
    }
    text
}

fn wait_prefixes(bird: &Bird, expected: &[&str]) -> Checked {
    let what = format!("the routes {expected:?}");
    bird.wait_routes(4, &what, SOON, &|routes| {
        routes.iter().map(|route| route.prefix.as_str()).eq(expected.iter().copied())
    })?;
    Ok(())
}

// Issue item 7; BGP-40
pub(crate) fn a_router_sees_a_service_come_and_go() -> Checked {
    let rig = Rig::new("routes", 1)?;
    let bird = router(&rig, Some("s3cret"))?;
    rig.write("n1", &objects(Some("s3cret"), "vip", &["a", "b"]))?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for("session up", SOON)?;
    let routes = bird.wait_routes(4, "both routes", SOON, &|routes| routes.len() == 2)?;
    let first = &routes[0];
    check(first.prefix == "203.0.113.10/32" && first.next_hops == [NODE], format!("{first:?}"))?;
    check(first.communities == ["64512:7"] && first.as_path == [64_512], format!("{first:?}"))?;
    fetch(&rig)?;
    // A Service goes, another community comes; the session is the same.
    rig.write("n1", &objects(Some("s3cret"), "'64512:8'", &["b"]))?;
    let changed = |routes: &[lab::router::Route]| {
        routes.len() == 1 && routes[0].prefix == "203.0.113.11/32" && routes[0].communities == ["64512:8"]
    };
    bird.wait_routes(4, "the route of b with its new community", SOON, &changed)?;
    check(!bird.process.stderr().contains("Received:"), bird.process.stderr())?;
    // The peer goes, and comes back.
    let without_peer =
        objects(Some("s3cret"), "vip", &["b"]).replace("peerAddress: 198.51.100.200", "peerAddress: 198.51.100.201");
    rig.write("n1", &without_peer)?;
    wait_prefixes(&bird, &[])?;
    rig.write("n1", &objects(Some("s3cret"), "vip", &["b"]))?;
    wait_prefixes(&bird, &["203.0.113.11/32"])?;
    daemon.terminate()?;
    let status = daemon.wait(SOON)?;
    check(status.success(), format!("ended with {status}"))?;
    wait_prefixes(&bird, &[])?;
    let told = || bird.process.stderr().contains("Received: Administrative shutdown").then_some(());
    wait_until(SOON, "the router to be told", told)?;
    Ok(())
}

/// A client behind the router fetches a page by the route.
fn fetch(rig: &Rig) -> Result<(), Box<dyn Error>> {
    let everywhere = SocketAddr::from(([0, 0, 0, 0], 80));
    let _server = Server::start(&rig.nodes[0], everywhere, "the page")?;
    let page = wait_until(SOON, "the page by the route", || {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "2", "http://203.0.113.10/"]);
        rig.client.run(curl, SOON).ok()?.success().ok()
    })?;
    check(page == "the page", format!("another page: {page}"))
}

// [PEER-23]: another password is silence, and nothing but the route waits for it.
pub(crate) fn a_wrong_password_costs_the_route_alone() -> Checked {
    let rig = Rig::new("routes-md5", 1)?;
    let bird = router(&rig, Some("s3cret"))?;
    rig.write("n1", &objects(Some("other"), "vip", &["a"]))?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for("allocated", SOON)?;
    std::thread::sleep(Duration::from_secs(1));
    check(bird.routes(4)?.is_empty() && !bird.is_established(NODE)?, "a wrong password let a session up")?;
    rig.write("n1", &objects(Some("s3cret"), "vip", &["a"]))?;
    wait_prefixes(&bird, &["203.0.113.10/32"])
}
