//! Announces prefixes to routers by BGP (RFC 4271): so far the framing of messages, pure.
//!
//! | file | what lives there |
//! |---|---|
//! | [`wire`] | the message header: found in a stream, checked, written (RFC 4271 sections 4.1 and 6.1) |
//!
//! Messages, the state machine, sessions and the `Announcer` are not here yet.
#![forbid(unsafe_code)]

pub mod wire;
