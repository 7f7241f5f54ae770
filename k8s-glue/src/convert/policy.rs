//! The resources of `ferrule.io` as lbcore's raw description: types checked, values left to lbcore.

use lbcore::config::{RawAddressReservation, RawFreeze, RawPoolPolicy, RawQuota};

use super::field::Fields;

/// AddressReservation.
pub(super) fn reservation(mut spec: Fields<'_>) -> RawAddressReservation {
    let reservation = RawAddressReservation {
        addresses: spec.texts("addresses"),
        host_parts: spec.texts("hostParts"),
        pool: spec.text("pool"),
        services: spec.texts("services"),
        namespaces: spec.texts("namespaces"),
        namespace_selectors: spec.selectors("namespaceSelectors"),
        service_selectors: spec.selectors("serviceSelectors"),
    };
    spec.warn_unknown();
    reservation
}

/// PoolPolicy.
pub(super) fn pool_policy(mut spec: Fields<'_>) -> RawPoolPolicy {
    let quotas = spec.children("quotas").into_iter().map(quota).collect();
    let freeze = spec.optional("freeze").map(|mut fields| {
        let freeze = RawFreeze { confirmed: fields.texts("confirmed") };
        fields.warn_unknown();
        freeze
    });
    let policy = RawPoolPolicy {
        ip_address_pools: spec.texts("ipAddressPools"),
        ip_address_pool_selectors: spec.selectors("ipAddressPoolSelectors"),
        exclusions: spec.texts("exclusions"),
        retention: spec.duration("retention"),
        release_now: spec.texts("releaseNow"),
        reuse_cooldown: spec.duration("reuseCooldown"),
        quotas,
        freeze,
    };
    spec.warn_unknown();
    policy
}

fn quota(mut fields: Fields<'_>) -> RawQuota {
    let quota = RawQuota {
        name: fields.text("name"),
        scope: fields.text("scope"),
        namespaces: fields.texts("namespaces"),
        namespace_selectors: fields.selectors("namespaceSelectors"),
        service_selectors: fields.selectors("serviceSelectors"),
        limit: fields.integer("limit"),
    };
    fields.warn_unknown();
    quota
}
