//! What both roles of a cluster share: the way to the API server, the watches, and the one view of what they saw.
//!
//! | file | what it does |
//! |---|---|
//! | `client` | finds the API server and keeps every request short |
//! | `watch` | one stream of what happens to the watched kinds; reconnects by itself |
//! | `world` | folds that stream into the present state, and says what each change touches |
//!
//! Nothing here decides: [`convert`](crate::convert) and lbcore do, as for files.

#[expect(dead_code, reason = "the roles that use all of it follow")]
pub(crate) mod client;
#[expect(dead_code, reason = "the roles that use all of it follow")]
pub(crate) mod watch;
#[expect(dead_code, reason = "the roles that use all of it follow")]
pub(crate) mod world;
