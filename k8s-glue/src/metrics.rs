//! Every metric of both roles in one table, and the text in which Prometheus reads them.
//!
//! Figures are not kept here: a role gives a snapshot when it is asked, so that the series of what is gone are gone. The text is written by
//! ourselves, because libraries append `_total` to the names of counters, as the newer format wants it, and the names are a contract
//! ([METRIC-1] to [METRIC-41], [MET-1] to [MET-21]).
//!
//! | file | what it does |
//! |---|---|
//! | `text` | the exposition format |
//! | `process` | figures of this process, from `/proc` |
//! | `controller`, `speaker` | snapshots of the roles, and the series they become |

pub mod controller;
pub mod process;
pub mod speaker;
pub mod text;

use std::fmt::Write as _;

/// How values of a family behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricType {
    /// Only grows while the process lives.
    Counter,
    /// Any value.
    Gauge,
}

impl MetricType {
    /// As the text has it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// Series of one name, told apart by `N` labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Family<const N: usize> {
    /// The name, as it is exposed.
    pub name: &'static str,
    /// How values behave.
    pub metric_type: MetricType,
    /// One line for people.
    pub help: &'static str,
    /// Names of the labels, in the order of their values.
    pub labels: [&'static str; N],
}

/// A row of the table of all metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Description {
    /// The name.
    pub name: &'static str,
    /// How values behave.
    pub metric_type: MetricType,
    /// One line for people.
    pub help: &'static str,
    /// Names of the labels.
    pub labels: &'static [&'static str],
    /// Who exposes it.
    pub role: &'static str,
}

macro_rules! families {
    ($($role:literal { $($constant:ident: $name:literal $metric_type:ident [$($label:literal),*] $help:literal;)* })*) => {
        /// The families by name.
        pub mod family {
            use super::{Family, MetricType};
            $($(
                #[doc = $help]
                pub const $constant: Family<{ <[&str]>::len(&[$($label),*]) }> =
                    Family { name: $name, metric_type: MetricType::$metric_type, help: $help, labels: [$($label),*] };
            )*)*
        }

        /// All metrics, in the order of the documentation.
        pub const ALL: &[Description] = &[$($(
            Description { name: $name, metric_type: MetricType::$metric_type, help: $help, labels: &[$($label),*], role: $role },
        )*)*];
    };
}

families! {
    "controller" {
        POOL_TOTAL: "metallb_allocator_addresses_total" Gauge ["pool"] "Addresses of the pool.";
        POOL_IPV4_TOTAL: "metallb_allocator_ipv4_addresses_total" Gauge ["pool"] "IPv4 addresses of the pool.";
        POOL_IPV6_TOTAL: "metallb_allocator_ipv6_addresses_total" Gauge ["pool"] "IPv6 addresses of the pool.";
        POOL_IN_USE: "metallb_allocator_addresses_in_use_total" Gauge ["pool"] "Addresses of the pool in use.";
        POOL_IPV4_IN_USE: "metallb_allocator_ipv4_addresses_in_use_total" Gauge ["pool"] "IPv4 addresses of the pool in use.";
        POOL_IPV6_IN_USE: "metallb_allocator_ipv6_addresses_in_use_total" Gauge ["pool"] "IPv6 addresses of the pool in use.";
        POOL_SERVICES: "metallb_allocator_services_allocated_total" Gauge ["pool"] "Services with addresses of the pool.";
    }
    "both" {
        UPDATES: "metallb_k8s_client_updates_total" Counter [] "Changes of objects that were processed.";
        UPDATE_ERRORS: "metallb_k8s_client_update_errors_total" Counter [] "Changes of objects whose processing failed.";
        CONFIG_LOADED: "metallb_k8s_client_config_loaded_bool" Gauge [] "1 once a configuration was loaded.";
        CONFIG_STALE: "metallb_k8s_client_config_stale_bool" Gauge [] "1 while the newest configuration is refused and an older one is in force.";
    }
    "speaker" {
        ANNOUNCED: "metallb_speaker_announced" Gauge ["service", "protocol", "node", "ip"] "1 for each address that this node announces.";
        LAYER2_REQUESTS: "metallb_layer2_requests_received" Counter ["ip"] "Requests (ARP, neighbour solicitations) received for the address while it was owned.";
        LAYER2_RESPONSES: "metallb_layer2_responses_sent" Counter ["ip"] "Replies sent for the address.";
        LAYER2_GRATUITOUS: "metallb_layer2_gratuitous_sent" Counter ["ip"] "Gratuitous frames sent for the address.";
        BGP_SESSION_UP: "metallb_bgp_session_up" Gauge ["peer", "vrf"] "1 while the session is established.";
        BGP_UPDATES_SENT: "metallb_bgp_updates_total" Counter ["peer", "vrf"] "UPDATE messages sent.";
        BGP_PREFIXES: "metallb_bgp_announced_prefixes_total" Gauge ["peer", "vrf"] "Prefixes announced on the session.";
        BGP_PENDING: "metallb_bgp_pending_prefixes_total" Gauge ["peer"] "Prefixes that should be announced on the session.";
        BGP_OPENS_SENT: "metallb_bgp_opens_sent" Counter ["peer", "vrf"] "OPEN messages sent.";
        BGP_OPENS_RECEIVED: "metallb_bgp_opens_received" Counter ["peer", "vrf"] "OPEN messages received.";
        BGP_NOTIFICATIONS_SENT: "metallb_bgp_notifications_sent" Counter ["peer", "vrf"] "NOTIFICATION messages sent.";
        BGP_UPDATES_RECEIVED: "metallb_bgp_updates_total_received" Counter ["peer", "vrf"] "UPDATE messages received.";
        BGP_KEEPALIVES_SENT: "metallb_bgp_keepalives_sent" Counter ["peer", "vrf"] "KEEPALIVE messages sent.";
        BGP_KEEPALIVES_RECEIVED: "metallb_bgp_keepalives_received" Counter ["peer", "vrf"] "KEEPALIVE messages received.";
        BGP_ROUTE_REFRESH_SENT: "metallb_bgp_route_refresh_sent" Counter ["peer", "vrf"] "ROUTE-REFRESH messages sent.";
        BGP_TOTAL_SENT: "metallb_bgp_total_sent" Counter ["peer", "vrf"] "Messages sent.";
        BGP_TOTAL_RECEIVED: "metallb_bgp_total_received" Counter ["peer", "vrf"] "Messages received.";
    }
    "both" {
        PROCESS_CPU: "process_cpu_seconds_total" Counter [] "Seconds of processor time, of the user and of the system.";
        PROCESS_RESIDENT: "process_resident_memory_bytes" Gauge [] "Resident memory in octets.";
        PROCESS_VIRTUAL: "process_virtual_memory_bytes" Gauge [] "Virtual memory in octets.";
        PROCESS_THREADS: "process_threads" Gauge [] "Threads.";
        PROCESS_OPEN_FDS: "process_open_fds" Gauge [] "Open file descriptors.";
        PROCESS_MAX_FDS: "process_max_fds" Gauge [] "File descriptors that may be open.";
        PROCESS_START: "process_start_time_seconds" Gauge [] "When the process began, in seconds of Unix time.";
    }
}

/// The table of the documentation (`docs/metrics.md`).
pub fn markdown_table() -> String {
    let mut table = "| metric | type | labels | role | meaning |\n|---|---|---|---|---|\n".to_owned();
    for Description { name, metric_type, help, labels, role } in ALL {
        let labels = labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        // Writing to a text does not fail.
        let _ = writeln!(table, "| `{name}` | {} | {labels} | {role} | {help} |", metric_type.as_str());
    }
    table
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_documentation_has_the_table() {
        let page = include_str!("../../docs/metrics.md");
        let table = markdown_table();
        assert!(page.contains(&table), "put this table into docs/metrics.md:\n{table}");
    }

    #[test]
    fn names_are_unique_and_helped() {
        let names: BTreeSet<&str> = ALL.iter().map(|description| description.name).collect();
        assert_eq!(names.len(), ALL.len());
        assert!(ALL.iter().all(|description| description.help.ends_with('.')));
    }
}
