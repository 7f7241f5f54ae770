//! The resources of `metallb.io` as lbcore's raw description: one function a kind, types checked, values left to lbcore.

use lbcore::config::{
    Category, RawAlias, RawBfdProfile, RawBgpAdvertisement, RawCommunity, RawL2Advertisement, RawPeer, RawPool,
    RawPreference, RawSecretReference, RawServiceAllocation, Severity,
};
use lbcore::peer::Password;

use super::field::Fields;

/// IPAddressPool ([API-POOL-1]).
pub(super) fn pool(mut spec: Fields<'_>) -> RawPool {
    let pool = RawPool {
        addresses: spec.texts("addresses"),
        auto_assign: spec.boolean("autoAssign"),
        avoid_buggy_ips: spec.boolean("avoidBuggyIPs"),
        service_allocation: spec.optional("serviceAllocation").map(service_allocation),
    };
    spec.warn_unknown();
    pool
}

fn service_allocation(mut fields: Fields<'_>) -> RawServiceAllocation {
    let allocation = RawServiceAllocation {
        priority: fields.integer("priority"),
        namespaces: fields.texts("namespaces"),
        namespace_selectors: fields.selectors("namespaceSelectors"),
        service_selectors: fields.selectors("serviceSelectors"),
    };
    fields.warn_unknown();
    allocation
}

/// L2Advertisement ([API-L2-1]).
pub(super) fn l2_advertisement(mut spec: Fields<'_>) -> RawL2Advertisement {
    let preferences = spec.children("preferredNodeSelectors").into_iter().map(|mut fields| {
        let preference =
            RawPreference { weight: fields.integer("weight"), preference: fields.optional_selector("preference") };
        fields.warn_unknown();
        preference
    });
    let preferred_node_selectors = preferences.collect();
    let advertisement = RawL2Advertisement {
        ip_address_pools: spec.texts("ipAddressPools"),
        ip_address_pool_selectors: spec.selectors("ipAddressPoolSelectors"),
        node_selectors: spec.selectors("nodeSelectors"),
        interfaces: spec.texts("interfaces"),
        service_selectors: spec.selectors("serviceSelectors"),
        preferred_node_selectors,
    };
    spec.warn_unknown();
    advertisement
}

/// BGPAdvertisement ([API-BGPADV-1]).
pub(super) fn bgp_advertisement(mut spec: Fields<'_>) -> RawBgpAdvertisement {
    let advertisement = RawBgpAdvertisement {
        aggregation_length: spec.integer("aggregationLength"),
        aggregation_length_v6: spec.integer("aggregationLengthV6"),
        local_pref: spec.integer("localPref"),
        as_path_prepend: spec.integer("asPathPrepend"),
        communities: spec.texts("communities"),
        ip_address_pools: spec.texts("ipAddressPools"),
        ip_address_pool_selectors: spec.selectors("ipAddressPoolSelectors"),
        node_selectors: spec.selectors("nodeSelectors"),
        peers: spec.texts("peers"),
        service_selectors: spec.selectors("serviceSelectors"),
    };
    spec.warn_unknown();
    advertisement
}

/// What both versions of BGPPeer have.
fn peer_core(spec: &mut Fields<'_>) -> RawPeer {
    RawPeer {
        my_asn: spec.integer("myASN"),
        peer_asn: spec.integer("peerASN"),
        peer_address: spec.text("peerAddress"),
        source_address: spec.text("sourceAddress"),
        peer_port: spec.integer("peerPort"),
        hold_time: spec.duration("holdTime"),
        keepalive_time: spec.duration("keepaliveTime"),
        router_id: spec.text("routerID"),
        node_selectors: spec.selectors("nodeSelectors"),
        password: spec.text("password").filter(|text| !text.is_empty()).map(|text| Password::new(text.into_bytes())),
        bfd_profile: spec.text("bfdProfile"),
        ebgp_multi_hop: spec.boolean("ebgpMultiHop"),
        ..RawPeer::default()
    }
}

/// BGPPeer of version v1beta2 ([API-PEER-1]).
pub(super) fn peer(mut spec: Fields<'_>) -> RawPeer {
    let password_secret = spec.optional("passwordSecret").map(|mut fields| {
        let reference = RawSecretReference {
            name: fields.text("name").unwrap_or_default(),
            namespace: fields.text("namespace").unwrap_or_default(),
        };
        fields.warn_unknown();
        reference
    });
    let peer = RawPeer {
        dynamic_asn: spec.text("dynamicASN"),
        local_asn: spec.integer("localASN"),
        interface: spec.text("interface"),
        connect_time: spec.duration("connectTime"),
        password_secret,
        enable_graceful_restart: spec.boolean("enableGracefulRestart"),
        vrf: spec.text("vrf"),
        disable_mp: spec.boolean("disableMP"),
        dual_stack_address_family: spec.boolean("dualStackAddressFamily"),
        ..peer_core(&mut spec)
    };
    spec.warn_unknown();
    peer
}

/// BGPPeer of version v1beta1, read as v1beta2: timers that are absent stay absent ([API-CONV-3], [API-CONV-6]). Its schema wants a value
/// in every expression.
pub(super) fn peer_v1beta1(mut spec: Fields<'_>) -> RawPeer {
    let mut peer = peer_core(&mut spec);
    // The older schema lets 0 pass and means the default by it.
    peer.peer_port = peer.peer_port.filter(|port| *port != 0);
    for (place, selector) in peer.node_selectors.iter().enumerate() {
        for (index, _) in selector.match_expressions.iter().enumerate().filter(|(_, one)| one.values.is_empty()) {
            let field = spec.path_of(&format!("nodeSelectors[{place}].matchExpressions[{index}].values"));
            let message = "version v1beta1 needs at least one value in every expression".to_owned();
            let fix = "write metallb.io/v1beta2, which has Exists and DoesNotExist";
            spec.findings().add(Severity::Error, Category::Schema, &field, message, fix);
        }
    }
    spec.warn_unknown();
    peer
}

/// BFDProfile ([CFG-27]).
pub(super) fn bfd_profile(mut spec: Fields<'_>) -> RawBfdProfile {
    let profile = RawBfdProfile {
        receive_interval: spec.integer("receiveInterval"),
        transmit_interval: spec.integer("transmitInterval"),
        detect_multiplier: spec.integer("detectMultiplier"),
        echo_interval: spec.integer("echoInterval"),
        echo_mode: spec.boolean("echoMode"),
        passive_mode: spec.boolean("passiveMode"),
        minimum_ttl: spec.integer("minimumTtl"),
    };
    spec.warn_unknown();
    profile
}

/// Community ([API-COMM-1]).
pub(super) fn community(mut spec: Fields<'_>) -> RawCommunity {
    let aliases = spec.children("communities").into_iter().map(|mut fields| {
        let alias =
            RawAlias { name: fields.text("name").unwrap_or_default(), value: fields.text("value").unwrap_or_default() };
        fields.warn_unknown();
        alias
    });
    let communities = aliases.collect();
    spec.warn_unknown();
    RawCommunity { communities }
}
