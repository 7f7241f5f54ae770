//! The core of Ferrule: allocation of addresses, decisions about announcements, and ownership on a segment.
//!
//! Pure by rule: no clock, no socket, no thread, no environment, no hash order. Everything that happens is a value that the
//! caller hands in, everything that shall be done is a value that it gets back. It knows no Kubernetes and no packet.
//!
//! # For whoever builds on it
//!
//! A host is the program around these machines: it reads what is wanted, keeps what must outlive it, and hands on what comes out. What a
//! host calls, in this order:
//!
//! | step | with | what comes back |
//! |---|---|---|
//! | read a configuration | [`config::Config::build`] on a [`config::RawConfig`] | pools and advertisements, or every problem with its field |
//! | hand pools and policies over | [`allocator::Allocator::follow`] | who lost an address by it |
//! | start with what was recorded | [`converge::replay`] | records that nobody can have any more |
//! | the same for addresses that wait, where policies have any wait | [`allocator::Allocator::restore_holds`] | |
//! | before each change, and at [`allocator::Allocator::next_expiry`] | [`allocator::Allocator::expire`] | what waits no more |
//! | for each Service that came or changed | [`converge::converge`] | its addresses, or the reason and the mend |
//! | for each that went | [`allocator::Allocator::forget_by_key`] | what is free again |
//! | keep what must outlive it | [`allocator::Allocator::holds`], [`ledger::changes`] | what waits, and who had what when, for a [`ledger::Ledger`] |
//! | answer questions | [`explain::allocation`], [`explain::announcement`] | rule by rule, why it is so and what would change it |
//! | decide who announces | [`decide::Snapshot`], [`decide::desired_for`], [`decide::changes_for`] | announcements of one node |
//! | announce | [`announce::Announcer`] | what is really done, as changes of status |
//!
//! A *Service* is whatever shall have addresses: it has a key of two parts ([`service::ServiceKey`]) and nothing else of Kubernetes. A
//! host without pools in YAML fills a [`pool::Pool`] itself, hands it over by [`allocator::Allocator::replace_pools`], or with
//! [`policy::Policies`] by [`allocator::Allocator::replace`], and needs no configuration; one that only hands out addresses stops before
//! the rows of announcing. Reservations, quotas and waiting times are policies: pools handed over without them have none.
//!
//! ```
//! use std::sync::Arc;
//!
//! use lbcore::addresses::RecordedAddresses;
//! use lbcore::allocator::Allocator;
//! use lbcore::announce::DesiredSet;
//! use lbcore::config::{Config, ObjectRef, Origin, Raw, RawConfig, RawL2Advertisement, RawPool, Settings};
//! use lbcore::converge::{ServiceState, converge, replay};
//! use lbcore::decide::{DecideOptions, Extent, MissingSlices, ServiceFacts, Snapshot, changes_for};
//! use lbcore::family::{IpFamily, ServiceFamilies};
//! use lbcore::node::Node;
//! use lbcore::service::NodeName;
//!
//! // 1. A configuration, as text from anywhere. Problems come all at once, each with its object and field.
//! fn named<T>(kind: &str, spec: T) -> Raw<T> {
//!     let object = ObjectRef { kind: kind.into(), namespace: None, name: "public".into(), origin: Origin(0) };
//!     Raw { object, labels: Default::default(), spec }
//! }
//! let addresses = vec!["192.0.2.1-192.0.2.2".to_owned()];
//! let raw = RawConfig {
//!     pools: vec![named("IPAddressPool", RawPool { addresses, ..RawPool::default() })],
//!     l2_advertisements: vec![named("L2Advertisement", RawL2Advertisement::default())],
//!     ..RawConfig::default()
//! };
//! let config = Config::build(&raw, &Settings::default()).config.ok_or("it has problems")?;
//!
//! // 2. The allocator, with pools and policies and with what an earlier run recorded: nobody else gets that address meanwhile.
//! let mut allocator = Allocator::default();
//! allocator.follow(&config)?;
//! let ipv4 = Ok(ServiceFamilies::Single(IpFamily::V4));
//! let mut web = ServiceState::new("shop/web".parse()?, ipv4.clone());
//! web.recorded = RecordedAddresses::parse(["192.0.2.2"]);
//! assert!(replay(&mut allocator, &[web.clone()]).is_empty());
//!
//! // 3. Services: the same call for a new one, a changed one, and one that waits.
//! let kept = converge(&mut allocator, &web).addresses.ok_or("no address")?;
//! assert_eq!(kept.to_string(), "192.0.2.2");
//! let dns = converge(&mut allocator, &ServiceState::new("net/dns".parse()?, ipv4.clone()));
//! assert_eq!(dns.addresses.ok_or("no address")?.to_string(), "192.0.2.1");
//! let late = ServiceState::new("shop/late".parse()?, ipv4);
//! let refused = converge(&mut allocator, &late).problem.ok_or("it has an address")?;
//! assert_eq!(refused.category(), "pool-exhausted");
//! // Whoever waits is worth another look when this number has grown, and only then.
//! let generation = allocator.freed_generation();
//! allocator.forget_by_key(&"net/dns".parse()?);
//! assert!(allocator.freed_generation() > generation);
//! assert!(converge(&mut allocator, &late).addresses.is_some());
//!
//! // 4. Who announces: this node asks for itself, and gets the difference to what it announces already.
//! let node = NodeName::new("node-1")?;
//! let options = DecideOptions { missing_slices: MissingSlices::ServedEverywhere, ..DecideOptions::default() };
//! let mut snapshot = Snapshot::new(config, vec![Node::new(node.clone())], options);
//! let affected = snapshot.set_service(ServiceFacts::new(web.key.clone(), kept.as_slice().to_vec()));
//! let announced = DesiredSet::new();
//! let changes = changes_for(&snapshot, &node, &announced, Extent::Only(&affected));
//! // 5. The whole set goes to each announcer (`Announcer::replace`); a changed copy shares what did not change.
//! let announced = Arc::new(announced.changed(changes.put, changes.removed));
//! assert_eq!(announced.len(), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The programs in `examples/` of the repository are whole: `allocate` (addresses alone), `custom_announcer` (a back end of one's own),
//! `custom_controller` (an orchestrator with persistence), `announce_arp`, `announce_ndp` and `bgp_speaker` (the back ends that are here).
//!
//! What a host can rely on:
//! - The same calls in the same order give the same answers, on every machine and in every build.
//! - A call that is refused changes nothing, and its error says what to do. No input panics.
//! - An address that a Service has stays with it as long as it may; that another would be better is no reason.
//! - Nothing blocks and nothing waits: time is handed in ([`time`]), deadlines are asked for.
//! - What must outlive the program is small: the key, the pool and the addresses of each Service. With the feature `serde` these, and
//!   the other names and texts, can be written with any format.
#![forbid(unsafe_code)]

pub mod addresses;
pub mod advertisement;
pub mod agreement;
pub mod allocator;
pub mod announce;
pub mod community;
pub mod config;
pub mod converge;
pub mod decide;
pub mod election;
pub mod explain;
pub mod family;
pub mod hash;
pub mod interval;
pub mod labels;
pub mod ledger;
pub mod link;
pub mod node;
pub(crate) mod node_set;
pub mod ownership;
pub mod peer;
pub mod policy;
pub mod pool;
pub mod range;
pub mod request;
pub mod rng;
pub mod service;
pub mod sharing;
#[cfg(feature = "serde")]
mod text_forms;
pub mod time;
pub mod usage;
