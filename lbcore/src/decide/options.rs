//! Switches that change what decisions mean.

use std::collections::BTreeSet;

use crate::service::NodeName;

/// What the label `node.kubernetes.io/exclude-from-external-load-balancers` does ([ANN-44]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExcludeLabel {
    /// A node that carries it announces nothing.
    #[default]
    Respected,
    /// It is not looked at (`--ignore-exclude-lb`).
    Ignored,
}

/// What a Service without any slice is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum MissingSlices {
    /// It has no endpoint and is announced nowhere ([ANN-30], [ANN-46]).
    #[default]
    NoEndpoint,
    /// Every node serves it: standalone hosts without health checks.
    ServedEverywhere,
}

/// The switches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecideOptions {
    /// The exclude label.
    pub exclude_label: ExcludeLabel,
    /// Services without slices.
    pub missing_slices: MissingSlices,
    /// The nodes on which a speaker is alive; `None` means all. A node announces nothing where none is. Whoever decides for its own
    /// node counts itself, so that whom it hears of matters on segments alone ([ML-1]).
    pub live_nodes: Option<BTreeSet<NodeName>>,
}
