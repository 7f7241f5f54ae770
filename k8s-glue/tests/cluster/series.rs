//! Section 7 of the catalogue: what metrics say, read by HTTPS with the token of an account that may.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::IpAddr;

use lab::Prober;

use crate::Scenario;
use crate::rig::{Checked, Rig, SHOP, check, wait};
use crate::scrape;

pub(crate) const ALL: &[Scenario] = &[
    ("mt_00_metrics_are_for_those_who_may_read_them", mt_00),
    ("mt_04_a_stale_configuration_shows_until_it_is_mended", mt_04),
    ("mt_05_layer_2_figures_are_those_of_the_node_that_announces", mt_05),
];

type Series = BTreeMap<String, f64>;

/// Where the processes serve: the controller's host, then the nodes.
fn controller_address(rig: &Rig) -> Result<IpAddr, Box<dyn Error>> {
    // The first guest of the laboratory has host part 30.
    let _ = rig.controller.host();
    Ok("192.168.1.30".parse()?)
}

fn of(rig: &Rig, address: IpAddr) -> Result<Series, Box<dyn Error>> {
    let token = scrape::token(&rig.scraper)?;
    let (status, page) = scrape::metrics(rig.cluster.client(), address, Some(&token))?;
    check(status == 200, format!("{address} answered {status}: {page}"))?;
    Ok(scrape::series(&page))
}

fn of_controller(rig: &Rig) -> Result<Series, Box<dyn Error>> {
    of(rig, controller_address(rig)?)
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
    let places = [controller_address(rig)?, node.address_v4().into(), node.address_v6().into()];
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
    wait("an empty pool again", || of_controller(rig), |found| has(found, &pool(0.0, 0.0))).map(drop)
}
