//! Announces IPv6 addresses on a segment by neighbour discovery (RFC 4861): so far the wire formats, pure.
//!
//! | file | what lives there |
//! |---|---|
//! | [`wire`] | neighbor solicitations read strictly, neighbor advertisements written with their checksum |
//! | [`multicast`] | solicited-node groups (RFC 4291 section 2.7.1) |
//!
//! The responder, its shell and the `Announcer` are not here yet: IPv6 addresses are allocated, and announced by nobody.
#![forbid(unsafe_code)]

pub mod multicast;
pub mod wire;
