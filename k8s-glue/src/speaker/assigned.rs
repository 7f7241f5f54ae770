//! When an event says that a node announces a Service ([EVT-1]): at a change, not on every look ([D162-8]).

use std::collections::BTreeMap;
use std::net::IpAddr;

use lbcore::decide::Protocol;
use lbcore::service::ServiceKey;

/// What the API server has of an earlier run of this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Earlier {
    /// A status that says that this node announces the Service: that was told.
    Told,
    /// Nothing.
    Nothing,
}

/// The addresses that were told of last, by Service and protocol; none where it was told and has ended since.
#[derive(Debug, Default)]
pub(crate) struct Assigned(BTreeMap<(ServiceKey, Protocol), Vec<IpAddr>>);

impl Assigned {
    /// These addresses of a Service are announced now. Gives whether that has to be told.
    pub(crate) fn handle(
        &mut self,
        service: &ServiceKey,
        protocol: Protocol,
        now: &[IpAddr],
        earlier: Earlier,
    ) -> bool {
        let place = (service.clone(), protocol);
        let is_known = match self.0.get(&place) {
            Some(told) => told == now,
            None if now.is_empty() => return false,
            None => earlier == Earlier::Told,
        };
        self.0.insert(place, now.to_vec());
        !is_known && !now.is_empty()
    }

    /// The Service is gone.
    pub(crate) fn forget(&mut self, service: &ServiceKey) {
        for protocol in [Protocol::Bgp, Protocol::Layer2] {
            self.0.remove(&(service.clone(), protocol));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(assigned: &mut Assigned, addresses: &[u8], earlier: Earlier) -> bool {
        let addresses: Vec<IpAddr> = addresses.iter().map(|last| IpAddr::from([192, 0, 2, *last])).collect();
        assigned.handle(&"shop/web".parse().unwrap(), Protocol::Layer2, &addresses, earlier)
    }

    // [EVT-1], [EVT-3], [D162-8]
    #[test]
    fn a_change_is_told_and_the_same_again_is_not() {
        let mut assigned = Assigned::default();
        let seen = [&[][..], &[1], &[1], &[1, 2], &[], &[1, 2]].map(|now| told(&mut assigned, now, Earlier::Nothing));
        assert_eq!(seen, [false, true, false, true, false, true]);
    }

    #[test]
    fn a_restart_is_no_change() {
        let mut assigned = Assigned::default();
        assert!(!told(&mut assigned, &[1], Earlier::Told));
        // Its own status of this run stands there, too.
        assert!(told(&mut assigned, &[2], Earlier::Told));
        assigned.forget(&"shop/web".parse().unwrap());
        assert!(told(&mut assigned, &[2], Earlier::Nothing));
    }

    #[test]
    fn protocols_are_told_apart() {
        let mut assigned = Assigned::default();
        assert!(told(&mut assigned, &[1], Earlier::Nothing));
        let address = IpAddr::from([192, 0, 2, 1]);
        assert!(assigned.handle(&"shop/web".parse().unwrap(), Protocol::Bgp, &[address], Earlier::Nothing));
    }
}
