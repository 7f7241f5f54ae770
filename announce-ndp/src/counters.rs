//! What is counted, by NDP's own reasons; the counters are those of [`segment::counters`].

pub use segment::counters::AddressCounts;

use crate::responder::DropReason;

/// Counts while the responder runs.
pub type Counters = segment::counters::Counters<DropReason>;

/// All counts at one moment.
pub type Counts = segment::counters::Counts<DropReason>;
