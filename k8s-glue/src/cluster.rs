//! What both roles of a cluster share: the way to the API server, the watches, and the one view of what they saw.
//!
//! | file | what it does |
//! |---|---|
//! | `clock` | the wall clock, as objects carry it |
//! | `client` | finds the API server and keeps every request short |
//! | `configuration_state` | the object in which a role says whether it can use the configuration |
//! | `events` | what users read in `kubectl describe`: merged, rationed, sent |
//! | `kept` | which addresses a status says that a freeze keeps |
//! | `lease` | one leader among the processes of a role |
//! | `optional` | kinds that a cluster need not have |
//! | `standing` | what stays in force of a configuration that has faults |
//! | `watch` | one stream of what happens to the watched kinds; reconnects by itself |
//! | `world` | folds that stream into the present state, and says what each change touches |
//! | `write` | writes, each made only while its role may write |
//!
//! Nothing here decides: [`convert`](crate::convert) and lbcore do, as for files.

pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod configuration_state;
pub(crate) mod events;
pub(crate) mod kept;
pub(crate) mod lease;
pub(crate) mod optional;
pub(crate) mod standing;
pub(crate) mod watch;
pub(crate) mod world;
pub(crate) mod write;
