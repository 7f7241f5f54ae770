//! A Service with what follows from the configuration for it, and the groups that Services form ([OWN-20]).

use core::cmp::Reverse;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::facts::ServiceFacts;
use super::layout::{Layout, PoolPlan};
use super::plans::{L2Plan, Plans};
use crate::announce::GroupKey;
use crate::service::ServiceKey;

/// A Service with its pool and the advertisements that cover it. It does not depend on nodes.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) facts: Arc<ServiceFacts>,
    /// Place of the one pool that has all its addresses ([ANN-6]).
    pub(super) pool: Option<usize>,
    /// Places of the pool's L2 advertisements that cover the Service, in the order of their names.
    pub(super) l2: Box<[usize]>,
    /// Places of the pool's BGP advertisements that cover the Service, in the order of their names.
    pub(super) bgp: Box<[usize]>,
}

impl Placed {
    pub(super) fn new(facts: Arc<ServiceFacts>, plans: &Plans) -> Self {
        let pool = plans.layout.pool_of_all(&facts.addresses);
        let (mut l2, mut bgp) = (Box::default(), Box::default());
        if let Some(plan) = pool.and_then(|pool| plans.pool(pool)) {
            let covers = |place: &usize| {
                plans.l2_plan(*place).is_some_and(|plan| plan.advertisement.covers_service(&facts.labels))
            };
            l2 = plan.l2.iter().copied().filter(covers).collect();
            let covers = |place: &usize| {
                plans.bgp_plan(*place).is_some_and(|plan| plan.advertisement.covers_service(&facts.labels))
            };
            bgp = plan.bgp.iter().copied().filter(covers).collect();
        }
        Self { facts, pool, l2, bgp }
    }

    /// Whether the same pool has the Service's addresses and the same advertisements cover it.
    pub(super) fn is_placed_as(&self, other: &Self) -> bool {
        (self.pool, &self.l2, &self.bgp) == (other.pool, &other.l2, &other.bgp)
    }

    /// The pool that has all its addresses.
    pub(super) fn pool_plan<'a>(&self, layout: &'a Layout) -> Option<&'a PoolPlan> {
        layout.pool(self.pool?)
    }

    /// The L2 advertisements that cover the Service.
    pub(super) fn l2_plans<'a>(&'a self, plans: &'a Plans) -> impl Iterator<Item = &'a L2Plan> {
        self.l2.iter().filter_map(|place| plans.l2_plan(*place).map(AsRef::as_ref))
    }
}

/// Addresses that one node answers for together, and the Services that tie them ([OWN-20]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The first address of the Service with the most addresses, then by name; among the Services whose addresses are in a pool
    /// where there are such.
    pub key: GroupKey,
    /// All addresses; at least one.
    pub addresses: BTreeSet<IpAddr>,
    /// All Services; at least one.
    pub services: BTreeSet<ServiceKey>,
}

/// What makes a Service give its name to a group, least first: an address in a pool, more addresses, the name.
pub(super) fn precedence(placed: &Placed) -> (bool, Reverse<usize>, &ServiceKey) {
    (placed.pool.is_none(), Reverse(placed.facts.addresses.len()), &placed.facts.key)
}
