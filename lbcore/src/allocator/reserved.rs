//! Which reservations mean a Service, found without a look at all of them.

use std::collections::BTreeMap;

use crate::labels::Labels;
use crate::policy::{Policies, Specificity};
use crate::service::ServiceKey;

use super::compartment::ReservationNumber;

/// The reservations by whom they mean.
#[derive(Clone, Debug, Default)]
pub(super) struct ReservedFor {
    by_service: BTreeMap<ServiceKey, Vec<ReservationNumber>>,
    /// Those that mean Services by namespace or labels.
    by_audience: Vec<ReservationNumber>,
}

impl ReservedFor {
    pub(super) fn new(policies: &Policies) -> Self {
        let mut built = Self::default();
        for (number, reservation) in (0..).zip(&policies.reservations) {
            for service in &reservation.beneficiaries.services {
                built.by_service.entry(service.clone()).or_default().push(number);
            }
            if reservation.beneficiaries.audience.is_some() {
                built.by_audience.push(number);
            }
        }
        built
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_service.is_empty() && self.by_audience.is_empty()
    }

    /// The reservations that mean a Service with these labels: most specific first, then by name.
    pub(super) fn of(&self, policies: &Policies, service: &ServiceKey, labels: &Labels) -> Vec<ReservationNumber> {
        let by_name = self.by_service.get(service).into_iter().flatten();
        let mut found: Vec<(Specificity, ReservationNumber)> = by_name
            .chain(&self.by_audience)
            .filter_map(|number| {
                let reservation = policies.reservations.get(*number as usize)?;
                Some((reservation.beneficiaries.specificity(service, labels)?, *number))
            })
            .collect();
        found.sort_unstable();
        found.dedup();
        found.into_iter().map(|(_, number)| number).collect()
    }
}
