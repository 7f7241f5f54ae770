//! What one Service asks of the allocator, already parsed and checked as far as one object alone allows.

use std::sync::Arc;

use thiserror::Error;

use crate::addresses::{ServiceAddresses, parse_address};
use crate::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use crate::labels::Labels;
use crate::service::PoolName;
use crate::sharing::SharingTerms;

/// On what terms a Service may hold an address, whichever it is. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceTerms {
    /// Its labels, for pools that select Services ([API-POOL-4]).
    pub labels: Arc<Labels>,
    /// Its ports and keys ([ALLOC-10]).
    pub sharing: SharingTerms,
}

/// What a Service without addresses asks for ([CTRL-50] to [CTRL-53]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRequest {
    /// Terms of holding any address.
    pub terms: ServiceTerms,
    /// The families it has.
    pub families: ServiceFamilies,
    /// What to do where both families cannot be had.
    pub policy: IpFamilyPolicy,
    /// Exactly these addresses.
    pub addresses: Option<ServiceAddresses>,
    /// Only from this pool.
    pub pool: Option<PoolName>,
}

impl ServiceRequest {
    /// A request for any address of these families: no labels, ports or keys, no wish for a pool or an address. Both families are
    /// required where there are two.
    pub fn new(families: ServiceFamilies) -> Self {
        let policy = match families {
            ServiceFamilies::Single(_) => IpFamilyPolicy::SingleStack,
            ServiceFamilies::Dual { .. } => IpFamilyPolicy::RequireDualStack,
        };
        Self { terms: ServiceTerms::default(), families, policy, addresses: None, pool: None }
    }
}

/// Cluster IPs that do not tell the families of a Service.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ClusterIpsProblem {
    /// There are none ([CTRL-32]).
    #[error("the Service has no cluster IP yet, which tells its address family: it is looked at again when it has one")]
    Missing,
    /// They are not one address, or one of each family ([CTRL-37]).
    #[error(
        "the cluster IPs {texts:?} do not tell an address family: give the Service one address, or one of each family"
    )]
    Undeterminable {
        /// What the Service has.
        texts: Vec<String>,
    },
}

impl ClusterIpsProblem {
    /// How many cluster IPs there are.
    pub const fn count(&self) -> usize {
        match self {
            Self::Missing => 0,
            Self::Undeterminable { texts } => texts.len(),
        }
    }
}

/// Tells the families of a Service from its cluster IPs: `spec.clusterIPs` where there are any, else `spec.clusterIP` (empty texts
/// count as absent). `first_family` is the first of `spec.ipFamilies`.
///
/// # Errors
/// [`ClusterIpsProblem`] where they do not tell.
///
/// # Examples
/// ```
/// use lbcore::family::{IpFamily, ServiceFamilies};
/// use lbcore::request::families_of;
///
/// assert_eq!(families_of(Some("10.96.0.7"), &[], None), Ok(ServiceFamilies::Single(IpFamily::V4)));
/// assert!(families_of(Some("None"), &["None"], None).is_err());
/// ```
///
/// Source: [CTRL-32], [CTRL-37], [ALLOC-32].
pub fn families_of(
    cluster_ip: Option<&str>,
    cluster_ips: &[&str],
    first_family: Option<IpFamily>,
) -> Result<ServiceFamilies, ClusterIpsProblem> {
    let mut texts: Vec<&str> = cluster_ips.iter().copied().filter(|text| !text.is_empty()).collect();
    if texts.is_empty() {
        texts.extend(cluster_ip.filter(|text| !text.is_empty()));
    }
    if texts.is_empty() {
        return Err(ClusterIpsProblem::Missing);
    }
    let undeterminable =
        || ClusterIpsProblem::Undeterminable { texts: texts.iter().map(|&text| text.to_owned()).collect() };
    let parsed: Option<Vec<_>> = texts.iter().map(|text| parse_address(text)).collect();
    let addresses = parsed.and_then(|addresses| ServiceAddresses::new(&addresses).ok()).ok_or_else(undeterminable)?;
    Ok(match addresses.as_slice() {
        [single] => ServiceFamilies::Single(IpFamily::of(*single)),
        _ => ServiceFamilies::Dual { primary: first_family.unwrap_or(IpFamily::V4) },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    // [CTRL-37]
    #[test]
    fn the_list_of_cluster_ips_wins_over_the_single_field() {
        let dual = ServiceFamilies::Dual { primary: IpFamily::V6 };
        assert_eq!(families_of(Some("fd00::1"), &["fd00::1", "10.96.0.1"], Some(IpFamily::V6)), Ok(dual));
        assert_eq!(families_of(Some("10.96.0.1"), &["fd00::1"], None), Ok(ServiceFamilies::Single(IpFamily::V6)));
    }

    // [CTRL-32], [CTRL-37]
    #[test]
    fn missing_and_odd_cluster_ips_are_told_apart() {
        assert_eq!(families_of(Some(""), &[""], None), Err(ClusterIpsProblem::Missing));
        for odd in [vec!["None"], vec!["10.96.0.1", "10.96.0.2"], vec!["10.96.0.1", "fd00::1", "fd00::2"]] {
            let problem = families_of(None, &odd, None).unwrap_err();
            assert_eq!(problem.count(), odd.len());
        }
    }

    // [ALLOC-32]
    #[test]
    fn ipv4_is_primary_where_the_service_does_not_say() {
        let families = families_of(None, &["fd00::1", "10.96.0.1"], None);
        assert_eq!(families, Ok(ServiceFamilies::Dual { primary: IpFamily::V4 }));
    }
}
