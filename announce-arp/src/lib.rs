//! Announces IPv4 addresses on a segment by ARP: this host answers for addresses that ownership gives it.
//!
//! # How the files divide the work
//! - [`wire`]: frames as values, ARP and member frames; the only place that knows octets.
//! - [`responder`]: the machine that answers: a frame in, a reply or the reason for none out.
//! - [`unsolicited`]: gratuitous ARP: which address is announced unasked, and when.
//! - [`counters`]: what is counted, and how it is read.
//! - [`filter`]: the programs that the kernel runs so that only frames for us wake the shell.
//! - `io`: the shell (feature `io`, on by default): ARP's part of the shell of [`segment::io`], and `ArpAnnouncer`, which a host embeds.
//!
//! # Data flow
//! A packet socket hands a frame to [`responder::Responder::handle_frame`]. The reply goes out through the link that the frame
//! came in on; a member frame and what was seen of other hosts go to [`lbcore::ownership::Hub`], which says with its effects
//! which addresses are answered for, on which links, and when a burst starts.
//!
//! # RFCs
//! - RFC 826 (ARP): requests are answered, replies are read to see who else answers. Only IPv4 on Ethernet.
//! - RFC 5227 (conflict detection): the forms of probe and announcement. Its times are not kept (probing is shorter, [OWN-31]),
//!   and defence is a policy of ownership ([OWN-41]).
//! - RFC 791, RFC 768: as much as member frames need; fragments and datagrams without a checksum are refused.
//! - Not: RFC 903 (reverse ARP), RFC 1027 (proxy ARP), RFC 2390 (inverse ARP), RFC 3927 (choosing link-local addresses).

pub mod counters;
pub mod filter;
#[cfg(feature = "io")]
pub mod io;
pub mod responder;
pub mod unsolicited;
pub mod wire;
