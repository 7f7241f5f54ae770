//! Announces IPv6 addresses on a segment by neighbor discovery: this host answers for addresses that ownership gives it.
//!
//! # How the files divide the work
//! - [`wire`]: frames as values, solicitations, advertisements and member frames; the only place that knows octets.
//! - [`responder`]: the machine that answers: a frame in, an advertisement or the reason for none out.
//! - [`unsolicited`]: unsolicited advertisements: which address is announced unasked, and when.
//! - [`multicast`]: solicited-node groups to join and leave, as outputs.
//! - [`counters`]: what is counted, and how it is read.
//! - [`filter`]: the programs that the kernel runs so that only frames for us wake the shell.
//! - `io`: the shell (feature `io`, on by default): NDP's part of the shell of [`segment::io`], group memberships, and `NdpAnnouncer`,
//!   which a host embeds.
//!
//! # Data flow
//! A packet socket hands a frame to [`responder::Responder::handle_frame`]. The advertisement goes out through the link that the
//! solicitation came in on; a member frame and what was seen of other hosts go to [`lbcore::ownership::Hub`], which says with its
//! effects which addresses are answered for, on which links, and when a burst starts. Solicitations are sent to groups: the kernel
//! joins them for us, since only what it joins is reported to switches that look (MLD).
//!
//! # RFCs
//! - RFC 4861 (neighbor discovery): sections 4.3, 4.4, 4.6.1, 7.1.1, 7.1.2, 7.2.4, 7.2.6. Solicitations and advertisements on Ethernet.
//! - RFC 4862 (duplicate address detection): the form of probes, and who answers them. Its times are not kept (probing is shorter,
//!   [OWN-31]).
//! - RFC 4291 section 2.7.1: solicited-node groups. RFC 3810 (MLD): by the kernel.
//! - RFC 6980: fragments are refused, and every extension header with them.
//! - RFC 8200, RFC 768: as much as member frames need.
//! - Not: router discovery, redirects, RFC 3971 (secured neighbor discovery), proxying.

pub mod counters;
pub mod filter;
#[cfg(feature = "io")]
pub mod io;
pub mod multicast;
pub mod responder;
pub mod unsolicited;
pub mod wire;
