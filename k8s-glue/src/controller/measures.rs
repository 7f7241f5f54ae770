//! The figures of this process for its metrics ([MET-1] to [MET-11]): what the term that leads showed last.
//!
//! Who waits for the lease has no pools and no configuration, and shows no figures of them: alerts on what is not loaded are about the
//! process that leads.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lbcore::pool::Pool;
use lbcore::service::PoolName;
use lbcore::usage::{Capacity, PoolUsage};

use crate::metrics::controller::{self, AddressFigures, PoolFigures, WorkFigures};

/// Time between two times that figures are put together: it costs a look at every Service.
pub(crate) const PERIOD: Duration = Duration::from_millis(250);

/// What a scrape is given.
#[derive(Debug, Default)]
pub(crate) struct Measures {
    shown: Mutex<Option<(WorkFigures, Vec<PoolFigures>)>>,
}

impl Measures {
    /// The page of this moment.
    pub(crate) fn render(&self) -> String {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (work, pools) = shown.unzip();
        controller::render(work, &pools.unwrap_or_default())
    }

    /// These figures hold from now on.
    pub(crate) fn show(&self, work: WorkFigures, pools: Vec<PoolFigures>) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some((work, pools));
    }

    /// Another process leads.
    pub(crate) fn clear(&self) {
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// The figures of a pool ([MET-1] to [MET-7]).
pub(crate) fn of_pool(pool: &Pool, usage: PoolUsage, services: &BTreeMap<PoolName, u64>) -> PoolFigures {
    let capacity = Capacity::of(pool);
    let figures = |total: i64, in_use: i64| AddressFigures {
        total: u64::try_from(total).unwrap_or_default(),
        in_use: u64::try_from(in_use).unwrap_or_default(),
    };
    PoolFigures {
        pool: pool.name.to_string(),
        both: figures(capacity.total, usage.assigned_ipv4.saturating_add(usage.assigned_ipv6)),
        ipv4: figures(capacity.ipv4, usage.assigned_ipv4),
        ipv6: figures(capacity.ipv6, usage.assigned_ipv6),
        services: services.get(&pool.name).copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use lbcore::time::Timestamp;

    use super::super::pace::Pace;
    use super::*;

    // [MET-20]
    #[test]
    fn who_does_not_lead_shows_no_figures() {
        let measures = Measures::default();
        assert!(!measures.render().contains("metallb_"));
        measures.show(WorkFigures::default(), vec![PoolFigures { pool: "gold".to_owned(), ..PoolFigures::default() }]);
        let page = measures.render();
        assert!(page.contains("config_loaded_bool 0") && page.contains("pool=\"gold\""), "{page}");
        measures.clear();
        assert!(!measures.render().contains("metallb_"));
    }

    #[test]
    fn figures_are_put_together_at_a_change_and_not_too_often() {
        let mut pace = Pace::due(PERIOD);
        let start = Timestamp::ZERO + Duration::from_secs(5);
        assert!(pace.poll(start) && !pace.poll(start + PERIOD * 2));
        pace.handle_change();
        assert!(pace.poll(start + PERIOD * 2));
        pace.handle_change();
        assert!(!pace.poll(start + PERIOD * 2));
        assert_eq!(pace.poll_timeout(), Some(start + PERIOD * 3));
        assert!(pace.poll(start + PERIOD * 3));
    }
}
