//! Section 4 of the catalogue, second part: Services of two families, and how full pools are.

use serde_json::{Value, json};

use lab::cluster::INSTALL_NAMESPACE;

use crate::Scenario;
use crate::rig::{Checked, Rig, SHOP, wait};

pub(crate) const ALL: &[Scenario] = &[
    ("as_20_prefer_dual_stack_takes_a_pool_of_both_families", as_20),
    ("as_21_prefer_dual_stack_without_such_a_pool_ipv4_first", as_21),
    ("as_22_prefer_dual_stack_without_such_a_pool_ipv6_first", as_22),
    ("as_23_a_second_address_comes_when_the_pool_gets_it", as_23),
    ("as_24_require_dual_stack_takes_the_single_address_away", as_24),
    ("as_25_a_single_address_is_kept_when_a_pool_of_both_appears", as_25),
    ("as_26_both_addresses_move_when_the_pool_loses_a_family", as_26),
    ("as_30_the_status_of_a_pool_says_how_full_it_is", as_30),
];

const PREFER: &str = "ipFamilyPolicy: PreferDualStack, ";

// [AS-20]
fn as_20(rig: &mut Rig) -> Checked {
    rig.pool("four", &["192.168.10.0/32"])?;
    rig.pool("six", &["fc00:f853:ccd:e799::/128"])?;
    rig.pool("dual", &["192.168.20.0/32", "fc00:f853:ccd:e79a::/128"])?;
    rig.service("web", PREFER)?;
    rig.gets("web", &["192.168.20.0", "fc00:f853:ccd:e79a::"])
}

fn single_pools(rig: &Rig) -> Checked {
    rig.pool("six", &["fc00:f853:ccd:e799::/128"])?;
    rig.pool("four", &["192.168.10.0/32"])
}

// [AS-21]
fn as_21(rig: &mut Rig) -> Checked {
    single_pools(rig)?;
    rig.service("web", "ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv4, IPv6], ")?;
    rig.gets("web", &["192.168.10.0"])?;
    rig.keeps("web", &["192.168.10.0"])
}

// [AS-22]
fn as_22(rig: &mut Rig) -> Checked {
    single_pools(rig)?;
    rig.service("web", "ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv6, IPv4], ")?;
    rig.gets("web", &["fc00:f853:ccd:e799::"])?;
    rig.keeps("web", &["fc00:f853:ccd:e799::"])
}

// [AS-23]
fn as_23(rig: &mut Rig) -> Checked {
    rig.pool("grows", &["192.168.10.0/32"])?;
    rig.service("web", PREFER)?;
    rig.gets("web", &["192.168.10.0"])?;
    rig.pool("grows", &["192.168.10.0/30", "fc00:f853:ccd:e799::/124"])?;
    rig.gets("web", &["192.168.10.0", "fc00:f853:ccd:e799::"])
}

// [AS-24]
fn as_24(rig: &mut Rig) -> Checked {
    rig.pool("four", &["192.168.10.0/32"])?;
    rig.service("web", PREFER)?;
    rig.gets("web", &["192.168.10.0"])?;
    rig.change("web", r#"{"ipFamilyPolicy": "RequireDualStack"}"#)?;
    rig.gets("web", &[])?;
    rig.change("web", r#"{"ipFamilyPolicy": "PreferDualStack"}"#)?;
    rig.gets("web", &["192.168.10.0"])
}

// [AS-25]
fn as_25(rig: &mut Rig) -> Checked {
    rig.pool("four", &["192.168.10.0/32"])?;
    rig.service("web", PREFER)?;
    rig.gets("web", &["192.168.10.0"])?;
    rig.pool("dual", &["192.168.20.0/32", "fc00:f853:ccd:e79a::/128"])?;
    rig.keeps("web", &["192.168.10.0"])
}

// [AS-26]
fn as_26(rig: &mut Rig) -> Checked {
    rig.pool("first", &["192.168.10.0/32", "fc00:f853:ccd:e799::/128"])?;
    rig.service("web", PREFER)?;
    rig.gets("web", &["192.168.10.0", "fc00:f853:ccd:e799::"])?;
    rig.pool("second", &["192.168.20.0/32", "fc00:f853:ccd:e79a::/128"])?;
    rig.keeps("web", &["192.168.10.0", "fc00:f853:ccd:e799::"])?;
    rig.pool("first", &["fc00:f853:ccd:e799::/128"])?;
    rig.gets("web", &["192.168.20.0", "fc00:f853:ccd:e79a::"])
}

// [AS-30], [POOLST-5]
fn as_30(rig: &mut Rig) -> Checked {
    let shows = |available: i64, assigned: i64| -> Checked {
        let expected = json!({"availableIPv4": available, "availableIPv6": available, "assignedIPv4": assigned, "assignedIPv6": assigned});
        let what = format!("the status of the pool to be {available} available and {assigned} assigned");
        let look = || {
            let found = rig.get(&["ipaddresspool", "dual", "-n", INSTALL_NAMESPACE])?;
            Ok(found[0].get("status").cloned().unwrap_or(Value::Null))
        };
        wait(&what, look, |found| *found == expected).map(drop)
    };
    rig.pool("dual", &["192.168.10.0/30", "fc00:f853:ccd:e799::/126"])?;
    shows(4, 0)?;
    rig.service_in(SHOP, "web", "", "ipFamilyPolicy: RequireDualStack, ")?;
    shows(3, 1)?;
    rig.pool("dual", &["192.168.10.0/29", "fc00:f853:ccd:e799::/125"])?;
    shows(7, 1)?;
    rig.delete("web")?;
    shows(8, 0)?;
    let wrong = r#"{"status": {"availableIPv4": 1, "availableIPv6": 1, "assignedIPv4": 1, "assignedIPv6": 1}}"#;
    let arguments = [
        "patch",
        "ipaddresspool",
        "dual",
        "-n",
        INSTALL_NAMESPACE,
        "--subresource=status",
        "--type=merge",
        "-p",
        wrong,
    ];
    rig.cluster.admin().run(&arguments)?;
    shows(8, 0)
}
