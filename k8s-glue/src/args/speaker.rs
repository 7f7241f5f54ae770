//! `ferrule speaker` ([CLI-1] to [CLI-20], [ENV-1], [D162-7]).

use std::path::PathBuf;

use clap::{ArgAction, Args};
use lbcore::ownership::ReturnPolicy;

use super::role::{Ineffective, RoleArgs, Setting};
use super::spelling::{optional_text, switch};

/// Why flags of upstream's gossip change nothing.
const NO_GOSSIP: &str = "members hear each other on the segment itself";
/// Why flags of upstream's other back ends change nothing.
const NO_FRR: &str = "BGP is spoken by this process itself";

/// Flags of `ferrule speaker`.
#[derive(Args, Clone, Debug)]
pub struct SpeakerArgs {
    /// What both roles take.
    #[command(flatten)]
    pub role: RoleArgs,

    /// The name of this node; needed.
    #[arg(long, value_name = "NAME", env = "METALLB_NODE_NAME", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub node_name: Setting,

    /// Announce on nodes with the label node.kubernetes.io/exclude-from-external-load-balancers all the same.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", hide_default_value = true, value_parser = switch
    )]
    pub ignore_exclude_lb: bool,

    /// Seconds between two gratuitous ARP frames (and unsolicited neighbour advertisements) of every announced address; 0: none but
    /// those of changes.
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=2_147_483_647))]
    pub gratuitous_arp_interval: u32,

    /// The folder whose file `secretkey` holds the key that members share (without: it is read from the Secret memberlist).
    #[arg(long, value_name = "FOLDER", env = "METALLB_ML_SECRET_KEY_PATH", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub ml_secret_key_path: Setting,

    /// The file with the links to exclude.
    #[arg(long, hide = true, value_name = "FILE", default_value = "/etc/metallb/excludel2.yaml")]
    pub exclude_l2_file: PathBuf,

    /// Milliseconds between two heartbeats of this node; the same on all nodes of a segment.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub heartbeat_period: u64,

    /// Milliseconds of silence after which a node counts as dead: at least four periods, the same on all nodes of a segment.
    #[arg(long, value_name = "MS", default_value_t = 700, value_parser = clap::value_parser!(u64).range(40..=100_000))]
    pub heartbeat_timeout: u64,

    /// Whether a healthy owner gives addresses back to the node that the election order prefers: `never`, `at-once`, or after so many
    /// seconds.
    #[arg(long = "return", value_name = "WHEN", default_value = "never", value_parser = super::parse_return)]
    pub return_policy: ReturnPolicy,

    /// Accepted without effect.
    #[arg(long, value_name = "ADDRESS", env = "METALLB_HOST", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub host: Setting,

    /// Accepted without effect: members hear each other on the segment itself.
    #[arg(long, value_name = "ADDRESS", env = "METALLB_ML_BIND_ADDR", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub ml_bindaddr: Setting,

    /// Accepted without effect: members hear each other on the segment itself.
    #[arg(long, value_name = "PORT", env = "METALLB_ML_BIND_PORT", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub ml_bindport: Setting,

    /// Accepted without effect: members hear each other on the segment itself.
    #[arg(long, value_name = "SELECTOR", env = "METALLB_ML_LABELS", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub ml_labels: Setting,

    /// Accepted without effect: see --heartbeat-period and --heartbeat-timeout.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", hide_default_value = true, value_parser = switch
    )]
    pub ml_wan_config: bool,

    /// Milliseconds; accepted without effect: changes go out at once.
    #[arg(long, value_name = "MS", env = "METALLB_BGP_DEBOUNCE_TIMEOUT", default_value = "", hide_default_value = true, value_parser = debounce)]
    pub bgp_debounce_timeout: Milliseconds,

    /// Accepted without effect: BGP is spoken by this process itself.
    #[arg(long, value_name = "NS", env = "FRRK8S_NAMESPACE", default_value = "", hide_default_value = true, value_parser = optional_text)]
    pub frrk8s_namespace: Setting,

    /// Accepted without effect: BGP is spoken by this process itself.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, action = ArgAction::Set,
        default_value = "false", default_missing_value = "true", hide_default_value = true, value_parser = switch
    )]
    pub frrk8s_secret_passthrough: bool,
}

/// A number of milliseconds that may be unset.
type Milliseconds = Option<u64>;

fn debounce(text: &str) -> Result<Milliseconds, String> {
    match text.parse() {
        _ if text.is_empty() => Ok(None),
        Ok(milliseconds @ 1..) => Ok(Some(milliseconds)),
        Ok(0) | Err(_) => Err("write a whole number of milliseconds above 0".to_owned()),
    }
}

impl SpeakerArgs {
    /// The flags that were given and change nothing; each is said once at start.
    pub fn without_effect(&self) -> Vec<Ineffective> {
        let own = Ineffective::given([
            (self.ml_bindport.is_some(), "ml-bindport", NO_GOSSIP),
            (self.ml_wan_config, "ml-wan-config", "heartbeats are timed by --heartbeat-period and --heartbeat-timeout"),
            (self.bgp_debounce_timeout.is_some(), "bgp-debounce-timeout", "changes go out at once"),
            (self.frrk8s_namespace.is_some(), "frrk8s-namespace", NO_FRR),
            (self.frrk8s_secret_passthrough, "frrk8s-secret-passthrough", NO_FRR),
            (self.host.is_some(), "host", "it has no meaning upstream either"),
            (self.ml_bindaddr.is_some(), "ml-bindaddr", NO_GOSSIP),
            (self.ml_labels.is_some(), "ml-labels", NO_GOSSIP),
        ]);
        [self.role.without_effect(), own].concat()
    }
}
