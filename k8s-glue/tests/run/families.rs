//! IPv6 and dual-stack Services on one daemon.

use std::error::Error;
use std::fs;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::process::Command;

use lab::http::Server;
use lab::ndp::Message;
use lab::{Capture, Host, Judge, Keep, Moment, Prober, Process, inject, wait_until};

use super::rig::{Checked, Rig, SOON, answers, check, wait};

const ADDRESS: &str = "198.51.100.10";
const ADDRESS6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0x10);
const CLIENT6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 0xc1);
const NODE6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x99, 0, 0, 0, 0, 1);

const OBJECTS: &str = "\
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: {name: lan, namespace: metallb-system}
spec: {addresses: [198.51.100.10-198.51.100.20, '2001:db8:99::10-2001:db8:99::20']}
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {name: lan, namespace: metallb-system}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {type: LoadBalancer, ipFamilies: [IPv4, IPv6], ipFamilyPolicy: RequireDualStack, ports: [{port: 80}]}
";

/// One node with one dual-stack Service and its daemon answering for both addresses; node and client have IPv6 addresses of their own.
fn answering(name: &str) -> Result<(Rig, Capture, Process), Box<dyn Error>> {
    let rig = Rig::new(name, 1)?;
    for (host, own) in [(&rig.client, CLIENT6), (&rig.nodes[0], NODE6)] {
        host.sysctl("net.ipv6.conf.eth0.accept_dad", "0")?;
        host.address("eth0", &format!("{own}/64"))?;
    }
    let capture = Capture::start(&rig.segment, Keep::ArpAndGroups)?;
    rig.write("n1", OBJECTS)?;
    let mut daemon = rig.start(0)?;
    for address in [ADDRESS.parse::<IpAddr>()?, ADDRESS6.into()] {
        daemon.wait_for(&format!("now active address={address}"), SOON)?;
    }
    wait("the IPv6 address on ferrule0", || flags_on_holder(&rig.nodes[0]), Option::is_some)?;
    Ok((rig, capture, daemon))
}

/// The kernel's flags of the address on `ferrule0`, where it is there.
fn flags_on_holder(host: &Host) -> Result<Option<u8>, Box<dyn Error>> {
    let table = host.inside(|| fs::read_to_string("/proc/thread-self/net/if_inet6"))??;
    let wanted = format!("{:032x}", ADDRESS6.to_bits());
    let columns = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let mut flags = columns.filter_map(|columns| match columns.as_slice() {
        [address, _, _, _, flags, link] if *address == wanted && *link == "ferrule0" => {
            Some(u8::from_str_radix(flags, 16))
        }
        _ => None,
    });
    Ok(flags.next().transpose()?)
}

fn fetch(client: &Host, url: &str, family: &str) -> Result<String, Box<dyn Error>> {
    let mut curl = Command::new("curl");
    curl.args([family, "--globoff", "--silent", "--show-error", "--max-time", "5", url]);
    Ok(client.run(curl, SOON)?.success()?)
}

pub(crate) fn curl_reaches_both_addresses() -> Checked {
    let (rig, _capture, mut daemon) = answering("families")?;
    let node = &rig.nodes[0];
    // IFA_F_NODAD, IFA_F_DEPRECATED: usable at once, and no choice of the kernel for connections of its own.
    let flags = flags_on_holder(node)?;
    check(flags.is_some_and(|flags| flags & 0x22 == 0x22 && flags & 0x48 == 0), format!("flags {flags:02x?}"))?;
    let _server = Server::start(node, SocketAddr::from((Ipv6Addr::UNSPECIFIED, 80)), "the page")?;
    for (url, family) in [(format!("http://[{ADDRESS6}]/"), "-6"), (format!("http://{ADDRESS}/"), "-4")] {
        let page = fetch(&rig.client, &url, family)?;
        check(page == "the page", format!("{url} is another page: {page}"))?;
    }
    daemon.terminate()?;
    check(daemon.wait(SOON)?.success(), "ended badly")?;
    check(flags_on_holder(node)?.is_none(), "the address was left")
}

/// What the node said of the address after a moment.
fn said(capture: &Capture, after: Moment) -> Result<usize, Box<dyn Error>> {
    let judge = Judge::of(&capture.frames()?).without("client");
    Ok(judge.since(after).answers(ADDRESS6).len())
}

// [OWN-42]: IPv6 needs no setting. The address stays on `ferrule0` when the daemon is killed, and the kernel neither answers for it, by
// whatever form it is asked, nor asks from it. The judge would see it: with the address on the link itself the kernel does answer.
pub(crate) fn a_kernel_never_answers() -> Checked {
    let (rig, capture, mut daemon) = answering("silent")?;
    let (node, client) = (&rig.nodes[0], &rig.client);
    daemon.kill()?;
    check(flags_on_holder(node)?.is_some(), "the address goes with the daemon; nothing is left to test")?;
    let killed = Moment::now();
    let (from, at) = (client.hardware("eth0")?, node.hardware("eth0")?);
    let _prober = Prober::start(client, "eth0", CLIENT6, &[ADDRESS6], 20)?;
    let forms = [Message::confirmation(from, CLIENT6, ADDRESS6, at), Message::probe(from, ADDRESS6)];
    for _ in 0..10 {
        inject(client, "eth0", &forms.map(|form| form.write()))?;
        // From the address itself the node's kernel has to find the client: it asks, from its link's own address.
        client.forget_neighbour("eth0", CLIENT6)?;
        node.forget_neighbour("eth0", CLIENT6)?;
        node.inside(|| {
            let socket = std::net::UdpSocket::bind((ADDRESS6, 0))?;
            socket.send_to(b"from the address", (CLIENT6, 9))
        })??;
    }
    let asked = |frames: &[lab::Frame]| {
        let messages = frames.iter().filter(|frame| &*frame.host == "n1" && frame.at > killed);
        messages.filter_map(|frame| Message::read(&frame.octets)).filter(|message| message.target == CLIENT6).count()
    };
    wait_until(SOON, "the node's kernel to ask for the client", || (asked(&capture.frames().ok()?) > 0).then_some(()))?;
    check(said(&capture, killed)? == 0, "the kernel of a dead daemon answered or asked from the address")?;
    let shown = Moment::now();
    node.sysctl("net.ipv6.conf.eth0.accept_dad", "0")?;
    node.address("eth0", &format!("{ADDRESS6}/128"))?;
    wait_until(SOON, "the kernel to answer once the address is on its link", || {
        (said(&capture, shown).ok()? > 0).then_some(())
    })?;
    Ok(())
}

// [L2-67]
pub(crate) fn a_host_without_ipv6() -> Checked {
    let rig = Rig::new("without", 1)?;
    let node = &rig.nodes[0];
    for scope in ["all", "default"] {
        node.sysctl(&format!("net.ipv6.conf.{scope}.disable_ipv6"), "1")?;
    }
    rig.write("n1", OBJECTS)?;
    let mut daemon = rig.start(0)?;
    daemon.wait_for(&format!("now active address={ADDRESS}"), SOON)?;
    check(answers(&rig.client, ADDRESS)?, "arping gets no answer")?;
    check(flags_on_holder(node)?.is_none(), "an address that nobody can reach is held")?;
    check(daemon.poll()?.is_none(), "the daemon ended")
}
