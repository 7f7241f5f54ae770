//! The command line of `ferrule explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::explain::Subject;

/// `ferrule explain`.
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    /// The Service, as NAMESPACE/NAME or as NAME in the namespace `default`; or an address, to learn who has it.
    #[arg(value_name = "SERVICE", value_parser = Subject::parse)]
    pub subject: Subject,

    /// Files or folders of YAML or JSON; `-` is standard input. Without, the cluster is asked (by --kubeconfig, KUBECONFIG, ~/.kube/config or
    /// the service account of a Pod); nothing is written there.
    #[arg(short = 'f', long = "filename", value_name = "PATH", num_args = 1..)]
    pub filenames: Vec<PathBuf>,

    /// How to reach the cluster.
    #[arg(long, value_name = "FILE", conflicts_with = "filenames")]
    pub kubeconfig: Option<PathBuf>,

    /// Only this node.
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,

    /// The install namespace: objects of metallb.io count only there, and without a namespace are there.
    #[arg(long, value_name = "NS", default_value = "metallb-system")]
    pub namespace: String,

    /// Judge as a controller of this class (without: one that handles Services without a class).
    #[arg(long = "lb-class", visible_alias = "load-balancer-class", value_name = "CLASS")]
    pub load_balancer_class: Option<String>,

    /// Judge as `ferrule run` does: without a cluster nobody gives cluster IPs or endpoints.
    #[arg(long, conflicts_with = "kubeconfig", requires = "filenames")]
    pub standalone: bool,

    /// Use nodes with the label node.kubernetes.io/exclude-from-external-load-balancers all the same.
    #[arg(long)]
    pub ignore_exclude_lb: bool,

    /// The nodes on which a speaker is alive (without: all nodes).
    #[arg(long = "live-node", value_name = "NAME", num_args = 1..)]
    pub live_nodes: Option<Vec<String>>,

    /// How to print it.
    #[arg(short, long, value_enum, default_value_t = ExplainOutput::Text)]
    pub output: ExplainOutput,
}

/// Formats of `ferrule explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ExplainOutput {
    /// Sentences, for people.
    Text,
    /// One JSON object, for programs.
    Json,
}
