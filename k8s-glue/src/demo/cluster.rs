//! `ferrule demo --cluster`: the same main job on a real API server, over ARP and over BGP.
//!
//! A control plane, three nodes with kube-proxy, a router that is BIRD, two clients beside the nodes and one behind the router. The
//! controller and the speakers run as they do in a cluster, with the rights of `deploy/` and no more. Then what the quick start of the
//! documentation says is applied with `kubectl`, a page is fetched over layer 2 and over BGP, and the owner's node is killed while two
//! clients fetch a page each 10 ms.
//!
//! [`stage`] builds all of it; the story is here.

mod deploy;
pub mod stage;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lab::client::{Client, Memory};
use lab::cluster::Answer;
use lab::control_plane::{self, Binaries};
use lab::judge::HAND_OVER_LIMIT;
use lab::outage::{self, milliseconds};
use lab::{Moment, http, wait_until};

use super::{DemoError, Narrator, RECOVER_WITHIN};
use stage::Stage;

/// How long an object may take to have its effect.
const EFFECT_WITHIN: Duration = Duration::from_secs(30);
/// How long one page may take.
const PAGE_WITHIN: Duration = Duration::from_millis(500);

/// The objects of the documentation's first steps.
const QUICK_START: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata:
  name: first-pool
  namespace: metallb-system
spec:
  addresses:
  - 192.168.1.240-192.168.1.250
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata:
  name: example
  namespace: metallb-system
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata:
  name: sample
  namespace: metallb-system
spec:
  myASN: 64500
  peerASN: 64501
  peerAddress: 10.0.0.1
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata:
  name: example
  namespace: metallb-system
";

/// The Service that gets an address.
const SERVICE: &str = "\
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: default
spec:
  type: LoadBalancer
  ports:
  - port: 80
    targetPort: 8080
";

/// What the kill did.
#[derive(Clone, Copy, Debug)]
struct Kill {
    kept: Duration,
    cleared: Duration,
    first_frame: Duration,
}

/// Programs that are not built here, and their Debian packages.
const OTHERS: [(&str, &str); 2] = [("bird", "bird2"), ("nft", "nftables")];

/// Finds the programs of a control plane, or builds them and tells how far that is; what else is needed must be there before.
pub(super) fn find_programs(out: &mut Narrator) -> Result<Binaries, DemoError> {
    OTHERS.iter().try_for_each(|(program, package)| lab::process::require(program, package))?;
    let mut failed = None;
    let found = control_plane::find_or_build(&mut |line| failed = out.say(line).err());
    match failed {
        Some(error) => Err(error),
        None => Ok(found?),
    }
}

/// The whole story.
pub(super) fn tell(out: &mut Narrator, binaries: &Binaries) -> Result<(), DemoError> {
    let mut stage = Stage::build(out, binaries)?;
    apply(out, &stage, "the quick start", QUICK_START)?;
    let created = Moment::now();
    apply(out, &stage, "a Service", SERVICE)?;
    let address = stage.address_of("web", EFFECT_WITHIN)?;
    let allocated = stage.time_to_allocate("web", created, EFFECT_WITHIN)?;
    out.say(&format!(
        "\nService default/web has {address}, written {} ms after it was created.",
        milliseconds(allocated)
    ))?;

    let target = SocketAddr::from((address, 80));
    let _prober = stage.probe(address)?;
    let near = stage.cluster.client().clone();
    let over_l2 = page(&stage, &near, target)?;
    out.say(&format!("Over layer 2, client {} got a page from pod {} on {}.", CLIENT, over_l2.pod, over_l2.node))?;
    let routes = stage.wait_for_routes(address, EFFECT_WITHIN)?;
    out.say(&format!("BIRD has {address}/32 by {}.", routes.join(", ")))?;
    let over_bgp = page(&stage, &stage.far.clone(), target)?;
    out.say(&format!("Over BGP, client {} got a page from pod {} on {}.", FAR_CLIENT, over_bgp.pod, over_bgp.node))?;

    let owner = stage.wait_for_owner(address)?;
    out.say(&format!("\n{:<14} {:<16} {:<6} {}", "SERVICE", "ADDRESS", "OWNER", "HARDWARE ADDRESS"))?;
    out.say(&format!("{:<14} {address:<16} {owner:<6} {}", "default/web", stage.cluster.node(&owner)?.hardware()?))?;

    let kill = kill_owner(out, &mut stage, &owner, address)?;
    out.say("\nReport")?;
    let [first, kept, cleared] = [kill.first_frame, kill.kept, kill.cleared].map(milliseconds);
    out.say(&format!("first frame of the new owner {first} ms, outage {kept} ms (remembers) {cleared} ms (forgets)"))?;
    out.say(&format!("kill: outage {} ms", kept.max(cleared)))?;
    out.say(&format!("allocated in {} ms", milliseconds(allocated)))
}

/// The clients' addresses as the laboratory gives them.
const CLIENT: &str = "192.168.1.100";
const FAR_CLIENT: &str = "172.30.0.100";

/// Shows objects and applies them.
fn apply(out: &mut Narrator, stage: &Stage, what: &str, yaml: &str) -> Result<(), DemoError> {
    out.say(&format!("\nApplying {what}:"))?;
    for line in yaml.lines() {
        out.say(&format!("    {line}"))?;
    }
    let said = stage.cluster.apply(yaml)?;
    said.lines().try_for_each(|line| out.say(&format!("kubectl: {line}")))
}

/// A page for a client; the first one is waited for.
fn page(stage: &Stage, client: &lab::Host, target: SocketAddr) -> Result<Answer, DemoError> {
    let what = format!("a page of http://{target}/ for {}", client.name());
    let fetched = wait_until(EFFECT_WITHIN, &what, || {
        http::get_from(client, target, PAGE_WITHIN).ok().and_then(|page| Answer::of(&page))
    });
    fetched.map_err(|error| stage.unserved(&error))
}

/// Kills the owner's node under two clients.
fn kill_owner(out: &mut Narrator, stage: &mut Stage, owner: &str, address: Ipv4Addr) -> Result<Kill, DemoError> {
    // What is measured is how long the address is away, not how long a dead pod is still among the endpoints.
    stage.serve_without(owner)?;
    let target = SocketAddr::new(IpAddr::V4(address), 80);
    let kept = Client::start("remembers", stage.cluster.client(), target, Memory::Kept)?;
    let cleared = Client::start("forgets", stage.cluster.second_client(), target, Memory::Cleared)?;
    settle(stage, [&kept, &cleared], Moment::now())?;
    out.say(&format!("\nKilling {owner}: its speaker and kube-proxy (SIGKILL) and its link."))?;
    stage.capture.clear();
    std::thread::sleep(Duration::from_millis(100));
    let at = stage.kill_node(owner)?;
    settle(stage, [&kept, &cleared], at)?;
    let to = Moment::now();
    let judge = stage.judge(address)?;
    let hardware = stage.cluster.node(owner)?.hardware()?;
    let successor = judge.successor_of(owner, address, at).ok_or(DemoError::NobodyTookOver { address, hardware })?;
    out.say(&format!("{} answers instead of {owner}.", successor.host))?;
    for violation in judge.violations(HAND_OVER_LIMIT) {
        out.say(&format!("Two nodes answered at once: {violation}"))?;
    }
    Ok(Kill {
        kept: outage::outage(&kept.attempts(), at, to),
        cleared: outage::outage(&cleared.attempts(), at, to),
        first_frame: successor.at.since(at),
    })
}

/// Waits until both clients are served.
fn settle(stage: &Stage, clients: [&Client; 2], after: Moment) -> Result<(), DemoError> {
    for client in clients {
        let what = format!("traffic for the client that {}", client.name());
        let settled = || outage::is_settled(&client.attempts(), after, "").then_some(());
        wait_until(RECOVER_WITHIN, &what, settled).map_err(|error| stage.unserved(&error))?;
    }
    Ok(())
}
