//! Section 7 of the catalogue: what metrics say, read by HTTPS with the token of an account that may.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};

use lab::Prober;
use lab::cluster::INSTALL_NAMESPACE;
use lab::router::{Bird, Router as _};
use serde_json::json;

use crate::Scenario;
use crate::rig::{Checked, Rig, SHOP, check, wait};
use crate::scrape;

pub(crate) const ALL: &[Scenario] = &[
    ("mt_00_metrics_are_for_those_who_may_read_them", mt_00),
    ("mt_01_4_bgp_figures_before_and_after_a_service", mt_01_v4),
    ("mt_01_6_bgp_figures_before_and_after_a_service", mt_01_v6),
    ("mt_02_4_messages_are_counted_in_both_directions", mt_02_v4),
    ("mt_02_6_messages_are_counted_in_both_directions", mt_02_v6),
    ("mt_04_a_stale_configuration_shows_until_it_is_mended", mt_04),
    ("mt_05_layer_2_figures_are_those_of_the_node_that_announces", mt_05),
];

type Series = BTreeMap<String, f64>;

/// The address of the controller's host: the first guest of the laboratory.
const CONTROLLER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 30));

fn of(rig: &Rig, address: IpAddr) -> Result<Series, Box<dyn Error>> {
    let token = scrape::token(&rig.scraper)?;
    let (status, page) = scrape::metrics(rig.cluster.client(), address, Some(&token))?;
    check(status == 200, format!("{address} answered {status}: {page}"))?;
    Ok(scrape::series(&page))
}

fn of_controller(rig: &Rig) -> Result<Series, Box<dyn Error>> {
    of(rig, CONTROLLER)
}

fn of_speakers(rig: &Rig) -> Result<Vec<Series>, Box<dyn Error>> {
    rig.cluster.nodes().iter().map(|node| of(rig, node.address_v4().into())).collect()
}

fn has(series: &Series, expected: &[(&str, f64)]) -> bool {
    expected.iter().all(|(name, value)| series.get(*name).is_some_and(|found| (found - value).abs() < 1e-9))
}

// [HTTP-1], [CHTTP-1], [CHTTP-7], [CRBAC-2]
fn mt_00(rig: &mut Rig) -> Checked {
    let token = scrape::token(&rig.scraper)?;
    let stranger = scrape::token(&rig.cluster.plane().service_account("metallb-system", "speaker")?)?;
    let node = rig.cluster.node("n1")?;
    let places = [CONTROLLER, node.address_v4().into(), node.address_v6().into()];
    for place in places {
        for (shown, expected) in
            [(None, 401), (Some("nonsense"), 401), (Some(stranger.as_str()), 403), (Some(token.as_str()), 200)]
        {
            let (status, page) = scrape::metrics(rig.cluster.client(), place, shown)?;
            check(status == expected, format!("{place} answered {status} instead of {expected}: {page}"))?;
        }
    }
    Ok(())
}

/// A router on the segment with a session to each node, of one family.
struct Peering {
    router: &'static str,
    nodes: [&'static str; 2],
    pool: &'static str,
    size: f64,
    channel: &'static str,
}

const V4_PEERING: Peering = Peering {
    router: "192.168.1.101",
    nodes: ["192.168.1.11", "192.168.1.12"],
    pool: "192.168.10.0/24",
    size: 256.0,
    channel: "ipv4",
};
const V6_PEERING: Peering = Peering {
    router: "fc00:f853:ccd:e793::101",
    nodes: ["fc00:f853:ccd:e793::11", "fc00:f853:ccd:e793::12"],
    pool: "fc00:f853:ccd:e799::/124",
    size: 16.0,
    channel: "ipv6",
};

impl Peering {
    /// Applies pool, advertisement and peer, and waits for the sessions.
    fn peer(&self, rig: &Rig) -> Result<Bird, Box<dyn Error>> {
        let bird = self.start(rig)?;
        rig.pool("routed", &[self.pool])?;
        rig.ours("BGPAdvertisement", "all", "{ipAddressPools: [routed]}")?;
        rig.ours("BGPPeer", "tor", &format!("{{myASN: 64512, peerASN: 64513, peerAddress: \"{}\"}}", self.router))?;
        for node in self.nodes {
            bird.wait_established(node, true, crate::rig::SOON)?;
        }
        Ok(bird)
    }

    /// A series of its session.
    fn series(&self, name: &str) -> String {
        format!("{name}{{peer=\"{}\",vrf=\"default\"}}", self.label())
    }

    /// Waits until every node says that its session is up, with so many prefixes.
    fn wait_for_prefixes(&self, rig: &Rig, count: f64) -> Checked {
        let [up, prefixes] =
            ["metallb_bgp_session_up", "metallb_bgp_announced_prefixes_total"].map(|name| self.series(name));
        let shows =
            |all: &Vec<Series>| all.iter().all(|one| has(one, &[(up.as_str(), 1.0), (prefixes.as_str(), count)]));
        wait(&format!("{count} prefixes"), || of_speakers(rig), shows).map(drop)
    }

    fn start(&self, rig: &Rig) -> Result<Bird, Box<dyn Error>> {
        let Self { router, nodes, channel, .. } = self;
        let session = |(number, node): (usize, &&str)| {
            format!(
                "protocol bgp n{number} {{ local {router} as 64513; neighbor {node} as 64512; passive on; error wait time 1, 2; {channel} \
                 {{ import all; export none; }}; }}\n"
            )
        };
        let sessions: String = nodes.iter().enumerate().map(session).collect();
        Ok(Bird::start(rig.cluster.second_client(), &format!("router id 10.0.0.101;\n{sessions}"))?)
    }

    /// The label `peer` of its series.
    fn label(&self) -> String {
        let router = self.router;
        if router.contains(':') { format!("[{router}]:179") } else { format!("{router}:179") }
    }
}

fn mt_01_v4(rig: &mut Rig) -> Checked {
    mt_01(rig, &V4_PEERING, "IPv4")
}

fn mt_01_v6(rig: &mut Rig) -> Checked {
    mt_01(rig, &V6_PEERING, "IPv6")
}

/// A pool, a peer and its router, and a Service of the family.
fn with_service(rig: &Rig, peering: &Peering, family: &str) -> Checked {
    rig.service("web", &format!("ipFamilyPolicy: SingleStack, ipFamilies: [{family}], "))?;
    let pods: Vec<_> = rig.pods.iter().collect();
    rig.cluster.endpoints(SHOP, "web", &pods)?;
    peering.wait_for_prefixes(rig, 1.0)
}

// [MT-01], [MET-1], [MET-4], [METRIC-1], [METRIC-30] to [METRIC-32], [METRIC-50]
fn mt_01(rig: &Rig, peering: &Peering, family: &str) -> Checked {
    let _bird = peering.peer(rig)?;
    let in_use = |count: f64| {
        [
            ("metallb_allocator_addresses_total{pool=\"routed\"}", peering.size),
            ("metallb_allocator_addresses_in_use_total{pool=\"routed\"}", count),
        ]
    };
    peering.wait_for_prefixes(rig, 0.0)?;
    wait("an empty pool", || of_controller(rig), |found| has(found, &in_use(0.0)))?;
    with_service(rig, peering, family)?;
    wait("a pool in use", || of_controller(rig), |found| has(found, &in_use(1.0)))?;
    let is_announced = |series: &Series| {
        let updates = series.get(&peering.series("metallb_bgp_updates_total"));
        updates.is_some_and(|count| *count >= 1.0)
            && series.iter().any(|(name, value)| {
                name.starts_with("metallb_speaker_announced{service=\"shop/web\",protocol=\"bgp\"") && *value > 0.0
            })
    };
    wait("every node to announce", || of_speakers(rig), |all| all.iter().all(is_announced)).map(drop)
}

fn mt_02_v4(rig: &mut Rig) -> Checked {
    mt_02(rig, &V4_PEERING, "IPv4")
}

fn mt_02_v6(rig: &mut Rig) -> Checked {
    mt_02(rig, &V6_PEERING, "IPv6")
}

// [MT-02], [METRIC-31], [METRIC-34], [METRIC-52]
fn mt_02(rig: &Rig, peering: &Peering, family: &str) -> Checked {
    let _bird = peering.peer(rig)?;
    with_service(rig, peering, family)?;
    let counted = [
        "metallb_bgp_opens_sent",
        "metallb_bgp_opens_received",
        "metallb_bgp_updates_total_received",
        "metallb_bgp_keepalives_sent",
        "metallb_bgp_keepalives_received",
        "metallb_bgp_total_sent",
        "metallb_bgp_total_received",
    ];
    // Nothing is taken from a peer, so that it is never asked for its routes again.
    let refreshes = peering.series("metallb_bgp_route_refresh_sent");
    let counts = |series: &Series| {
        counted.iter().all(|name| series.get(&peering.series(name)).is_some_and(|count| *count >= 1.0))
            && has(series, &[(refreshes.as_str(), 0.0)])
    };
    wait("messages in both directions", || of_speakers(rig), |all| all.iter().all(counts))?;
    rig.delete_ours("bgppeer", "tor")?;
    let label = peering.label();
    let gone = |all: &Vec<Series>| all.iter().all(|one| !one.keys().any(|name| name.contains(&label)));
    wait("the series of the peer to be gone", || of_speakers(rig), gone).map(drop)
}

// [MT-04], [CFG-10], [MET-10], [MET-11]
fn mt_04(rig: &mut Rig) -> Checked {
    rig.ours("BGPPeer", "tor", "{myASN: 64512, peerASN: 64513, peerAddress: 192.0.2.9, bfdProfile: fast}")?;
    let stale = |value: f64| [("metallb_k8s_client_config_stale_bool", value)];
    wait("speakers to be stale", || of_speakers(rig), |all| all.iter().all(|one| has(one, &stale(1.0))))?;
    rig.ours("BFDProfile", "fast", "{}")?;
    let everybody = || -> Result<Vec<Series>, Box<dyn Error>> {
        let mut all = of_speakers(rig)?;
        all.push(of_controller(rig)?);
        Ok(all)
    };
    let is_well = |one: &Series| {
        has(one, &stale(0.0))
            && has(one, &[("metallb_k8s_client_config_loaded_bool", 1.0)])
            && one.get("metallb_k8s_client_updates_total").is_some_and(|count| *count > 0.0)
    };
    wait("everybody to be well", everybody, |all| all.iter().all(is_well)).map(drop)
}

const POOL: [&str; 2] = ["192.168.1.240/30", "fc00:f853:ccd:e793::f0/126"];
const V4: &str = "192.168.1.240";
const V6: &str = "fc00:f853:ccd:e793::f0";

// [MT-05], [MET-1] to [MET-6], [METRIC-1], [METRIC-20] to [METRIC-22]
fn mt_05(rig: &mut Rig) -> Checked {
    rig.pool("lan", &POOL)?;
    rig.ours("L2Advertisement", "all", "{ipAddressPools: [lan]}")?;
    let pool = |both: f64, one: f64| {
        [
            ("metallb_allocator_addresses_total{pool=\"lan\"}", 8.0),
            ("metallb_allocator_ipv4_addresses_total{pool=\"lan\"}", 4.0),
            ("metallb_allocator_ipv6_addresses_total{pool=\"lan\"}", 4.0),
            ("metallb_allocator_addresses_in_use_total{pool=\"lan\"}", both),
            ("metallb_allocator_ipv4_addresses_in_use_total{pool=\"lan\"}", one),
            ("metallb_allocator_ipv6_addresses_in_use_total{pool=\"lan\"}", one),
        ]
    };
    wait("an empty pool", || of_controller(rig), |found| has(found, &pool(0.0, 0.0)))?;
    rig.service("web", "ipFamilyPolicy: RequireDualStack, ")?;
    let pods: Vec<_> = rig.pods.iter().collect();
    rig.cluster.endpoints(SHOP, "web", &pods)?;
    rig.gets("web", &[V4, V6])?;
    wait("a pool in use", || of_controller(rig), |found| has(found, &pool(2.0, 1.0)))?;
    let client = rig.cluster.client();
    let _v4 = Prober::start(client, "eth0", "192.168.1.100".parse::<IpAddr>()?, &[V4.parse()?], 20)?;
    let _v6 = Prober::start(client, "eth0", "fc00:f853:ccd:e793::100".parse::<IpAddr>()?, &[V6.parse()?], 20)?;
    let announces = |series: &Series, node: &str, address: &str| {
        let announced = format!(
            "metallb_speaker_announced{{service=\"shop/web\",protocol=\"layer2\",node=\"{node}\",ip=\"{address}\"}}"
        );
        let at_least_one =
            |name: &str| series.get(&format!("{name}{{ip=\"{address}\"}}")).is_some_and(|count| *count >= 1.0);
        has(series, &[(&announced, 1.0)])
            && ["metallb_layer2_requests_received", "metallb_layer2_responses_sent", "metallb_layer2_gratuitous_sent"]
                .iter()
                .all(|name| at_least_one(name))
    };
    let says_nothing = |series: &Series| {
        !series.keys().any(|name| name.starts_with("metallb_speaker_announced") || name.contains("ip=\""))
    };
    let one_announces = |all: &Vec<Series>| {
        let one = |own: usize, other: usize| {
            let node = format!("n{}", own + 1);
            [V4, V6].iter().all(|address| announces(&all[own], &node, address)) && says_nothing(&all[other])
        };
        one(0, 1) || one(1, 0)
    };
    wait("one node alone to announce", || of_speakers(rig), one_announces)?;
    rig.delete("web")?;
    let gone =
        |all: &Vec<Series>| all.iter().all(|one| !one.keys().any(|name| name.starts_with("metallb_speaker_announced")));
    wait("the series to be gone", || of_speakers(rig), gone)?;
    wait("an empty pool again", || of_controller(rig), |found| has(found, &pool(0.0, 0.0)))?;
    let status = || Ok(rig.get(&["ipaddresspool", "lan", "-n", INSTALL_NAMESPACE])?[0]["status"].clone());
    let empty = json!({"assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 4, "availableIPv6": 4});
    wait("the status of an empty pool", status, |found| *found == empty).map(drop)
}
