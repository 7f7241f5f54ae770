//! What the controller exposes: figures of pools, and of its work.

use super::text::Page;
use super::{family, process};

/// Figures of the work with objects; both roles have them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WorkFigures {
    /// Changes processed ([MET-8], [METRIC-2]).
    pub updates: u64,
    /// Changes whose processing failed ([MET-9], [METRIC-3]).
    pub update_errors: u64,
    /// Whether a configuration was ever loaded ([MET-10], [METRIC-4]).
    pub config_loaded: bool,
    /// Whether the newest configuration is refused ([MET-11], [METRIC-5]).
    pub config_stale: bool,
}

impl WorkFigures {
    pub(super) fn put(self, page: &mut Page) {
        page.put(&family::UPDATES, [], self.updates);
        page.put(&family::UPDATE_ERRORS, [], self.update_errors);
        page.put(&family::CONFIG_LOADED, [], self.config_loaded);
        page.put(&family::CONFIG_STALE, [], self.config_stale);
    }
}

/// Addresses of one family, or of both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddressFigures {
    /// Usable ones; at most 2^63 − 1 ([D162-5]).
    pub total: u64,
    /// Those in use.
    pub in_use: u64,
}

/// Figures of one pool ([MET-1] to [MET-7]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Its name.
    pub pool: String,
    /// IPv4 and IPv6 together.
    pub both: AddressFigures,
    /// IPv4.
    pub ipv4: AddressFigures,
    /// IPv6.
    pub ipv6: AddressFigures,
    /// Services that have addresses of it.
    pub services: u64,
}

/// The page of the controller. A pool that is not given has no series ([MET-20]); one that does not lead has no work to tell of.
pub fn render(work: Option<WorkFigures>, pools: &[PoolFigures]) -> String {
    let mut page = Page::default();
    if let Some(work) = work {
        work.put(&mut page);
    }
    for figures in pools {
        let labels = [figures.pool.as_str()];
        page.put(&family::POOL_TOTAL, labels, figures.both.total);
        page.put(&family::POOL_IPV4_TOTAL, labels, figures.ipv4.total);
        page.put(&family::POOL_IPV6_TOTAL, labels, figures.ipv6.total);
        page.put(&family::POOL_IN_USE, labels, figures.both.in_use);
        page.put(&family::POOL_IPV4_IN_USE, labels, figures.ipv4.in_use);
        page.put(&family::POOL_IPV6_IN_USE, labels, figures.ipv6.in_use);
        page.put(&family::POOL_SERVICES, labels, figures.services);
    }
    process::put(&mut page);
    page.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    // [MET-1] to [MET-11], [MET-20]
    #[test]
    fn a_pool_has_its_series_while_it_is_there() {
        let work = WorkFigures { updates: 5, config_stale: true, ..WorkFigures::default() };
        let pool = PoolFigures {
            pool: "gold".to_owned(),
            both: AddressFigures { total: 272, in_use: 3 },
            ipv4: AddressFigures { total: 256, in_use: 2 },
            ipv6: AddressFigures { total: 16, in_use: 1 },
            services: 2,
        };
        let page = render(Some(work), &[pool]);
        for line in [
            "metallb_allocator_addresses_total{pool=\"gold\"} 272",
            "metallb_allocator_ipv4_addresses_in_use_total{pool=\"gold\"} 2",
            "metallb_allocator_ipv6_addresses_total{pool=\"gold\"} 16",
            "metallb_allocator_services_allocated_total{pool=\"gold\"} 2",
            "metallb_k8s_client_updates_total 5",
            "metallb_k8s_client_config_loaded_bool 0",
            "metallb_k8s_client_config_stale_bool 1",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} in\n{page}");
        }
        assert!(!render(Some(work), &[]).contains("metallb_allocator"));
    }
}
