//! Announces prefixes to routers by BGP (RFC 4271): a speaker that always dials, sends routes of its own and keeps none of others.
//!
//! # How the files divide the work
//! - [`wire`]: messages as octets. What a peer sent is read by our own code; zettabgp composes parts of UPDATEs, in one file.
//! - [`fsm`]: states, events and the table of RFC 4271 section 8. Nothing else.
//! - [`timers`]: the deadlines of a session, and the waits between attempts.
//! - [`rib_out`]: the routes of one peer, desired against announced, packed into UPDATEs.
//! - [`session`]: the machine of one peer: the table with negotiated values, timers, routes and outputs.
//! - [`config`]: what the speaker of one node is configured with, made from the configuration of the cluster.
//! - `io`: the shell (feature `io`, on by default): TCP connections, one task a peer, and `BgpAnnouncer`, which a host embeds.
//!
//! # Data flow
//! A host hands a `DesiredSet` to the announcer, which tells each session what its peer shall hear. A session packs what differs from
//! what the peer has and gives it to its task as octets; the task tells the session what came, what went out and what time it is. Routes of
//! the peer are checked, counted and dropped.
//!
//! # RFCs
//! - RFC 4271 (BGP-4) for a speaker that dials: no listener, and so no collision of connections. RFC 4486 and RFC 9003 (Cease), RFC 6608
//!   (state machine errors), RFC 9687 (send hold timer).
//! - RFC 4760 (multiprotocol) for IPv4 and IPv6 unicast, RFC 2545 (IPv6 next hops), RFC 5492 and RFC 9072 (capabilities), RFC 6793 (AS
//!   numbers of four octets), RFC 6286 (identifiers), RFC 7607 (AS 0).
//! - RFC 7606 (errors in UPDATEs), RFC 9774 (no AS_SET).
//! - RFC 1997 and RFC 8092 (communities), RFC 2918 (ROUTE-REFRESH is answered), the End-of-RIB of RFC 4724.
//! - RFC 2385 (TCP MD5) where the kernel has it.
//! - Not: graceful restart (the rest of RFC 4724), BFD (RFC 5880), unnumbered peers (RFC 8950), RFC 7313, RFC 8654, RFC 7911, RFC 9234,
//!   TCP-AO (RFC 5925), GTSM (RFC 5082), and everything about routes of others.

#![cfg_attr(not(feature = "io"), forbid(unsafe_code))]

pub mod config;
pub mod fsm;
#[cfg(feature = "io")]
pub mod io;
pub mod rib_out;
pub mod session;
pub mod timers;
pub mod wire;
