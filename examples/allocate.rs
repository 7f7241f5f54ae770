//! Allocation alone, without privileges, network or cluster: a pool, Services that ask, share and wait, and a pool that grows.
//!
//! Run: `cargo run -p ferrule-examples --example allocate`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use lbcore::allocator::{Allocator, NoAddress};
use lbcore::family::{IpFamily, IpFamilyPolicy, ServiceFamilies};
use lbcore::pool::{BuggyAddresses, Pool};
use lbcore::request::ServiceRequest;
use lbcore::service::ServiceKey;
use lbcore::sharing::{Protocol, ServicePort};

fn pool(ranges: &[&str]) -> Result<Pool, Box<dyn Error>> {
    let ranges = ranges.iter().map(|range| range.parse()).collect::<Result<_, _>>()?;
    Ok(Pool { buggy_addresses: BuggyAddresses::Avoided, ..Pool::new("public".parse()?, ranges) })
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut allocator = Allocator::default();
    allocator.replace_pools([pool(&["192.0.2.0-192.0.2.2", "2001:db8::/64"])?])?;

    // The lowest usable address; .0 is avoided.
    let web: ServiceKey = "shop/web".parse()?;
    let mut request = ServiceRequest::new(ServiceFamilies::Single(IpFamily::V4));
    let grant = allocator.allocate_by_key(&web, &request)?;
    println!("{web} has {} from pool {}", grant.addresses, grant.pool);

    // Two Services with one sharing key and different ports live on one address.
    for (name, protocol) in [("dns/tcp", Protocol::Tcp), ("dns/udp", Protocol::Udp)] {
        let key: ServiceKey = name.parse()?;
        request.terms.sharing.sharing_key = Some("dns".parse()?);
        request.terms.sharing.ports = [ServicePort { protocol, port: 53 }].into_iter().collect();
        let grant = allocator.allocate_by_key(&key, &request)?;
        println!("{key} has {}", grant.addresses);
    }

    // Nothing is left for IPv4 alone, but whoever prefers both families is content with IPv6.
    let late: ServiceKey = "shop/late".parse()?;
    let mut request = ServiceRequest::new(ServiceFamilies::Single(IpFamily::V4));
    if let Err(reason) = allocator.allocate_by_key(&late, &request) {
        report(&late, &reason);
    }
    request.families = ServiceFamilies::Dual { primary: IpFamily::V4 };
    request.policy = IpFamilyPolicy::PreferDualStack;
    println!("{late} has {}", allocator.allocate_by_key(&late, &request)?.addresses);

    // A larger pool makes room. The counter tells that another try is worth it.
    let generation = allocator.freed_generation();
    allocator.replace_pools([pool(&["192.0.2.0/24", "2001:db8::/64"])?])?;
    if allocator.freed_generation() != generation {
        let id = allocator.intern(&late);
        println!("{late} has {}", allocator.add_family(id, &request.terms)?.addresses);
    }

    // An address that somebody asks for by name, and is refused.
    let wish = ["192.0.2.1".parse()?];
    if let Err(reason) = allocator.assign_by_key(&"bank/web".parse()?, &request.terms, &wish) {
        report(&"bank/web".parse()?, &reason);
    }
    println!("{:?}", allocator.usage(&grant.pool));
    Ok(())
}

fn report(key: &ServiceKey, reason: &NoAddress) {
    println!("{key} has no address ({}): {reason}", reason.category());
}
