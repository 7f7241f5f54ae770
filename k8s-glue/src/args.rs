//! The command line: one struct a command, and the exit codes. The two roles of a cluster have files of their own in `args/`, with what
//! they share in `role` and the spelling of upstream's flags in `spelling`.
//!
//! Nothing here decides; each command lives in the module of its name.

mod controller;
mod explain;
mod role;
mod speaker;
mod spelling;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use lbcore::ownership::ReturnPolicy;

use crate::{crd, demo, legacy, plan, run, validate};

pub use controller::{ControllerArgs, WebhookMode};
pub use explain::{ExplainArgs, ExplainOutput};
pub use role::{BgpType, Ineffective, LogLevel, RoleArgs, TlsArgs, UnknownNamespace};
pub use speaker::SpeakerArgs;

/// How a command ended; the numbers are part of the contract with scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 0: done, the input is good.
    Good,
    /// 1: the input is bad, or a role failed to start.
    InputBad,
    /// 2: `plan --against` found a live address that moves or is lost.
    AddressesMove,
    /// 64: the command line is wrong.
    Usage,
    /// 70: a fault of our own.
    OwnFault,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        Self::from(match outcome {
            Outcome::Good => 0,
            Outcome::InputBad => 1,
            Outcome::AddressesMove => 2,
            Outcome::Usage => 64,
            Outcome::OwnFault => 70,
        })
    }
}

/// Load balancer addresses for clusters and hosts without a cloud: hands them out from pools and makes the network find them.
#[derive(Debug, Parser)]
#[command(
    name = "ferrule",
    version,
    after_help = "Exit codes: 0 good, 1 bad input or failed start, 2 addresses move \
    (plan --against), 64 wrong command line, 70 a fault of ferrule."
)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the long help of `ferrule run` says beside the flags.
const RUN_HELP: &str = "\
Reads pools, advertisements, BGP peers, Services and, where present, Nodes and EndpointSlices, and follows changes of the files (SIGHUP reads \
them at once). All daemons of a segment agree on addresses and owners by themselves. Health checks are not there yet: a Service without \
an EndpointSlice counts as served on every node.

The addresses that this node owns are on the link ferrule0, so that local servers receive the traffic; meanwhile arp_ignore and \
arp_announce of the links are set, so that the kernel does not answer for them. SIGTERM and SIGINT hand over, undo both and end with 0; \
a second one skips the hand-over. Needs CAP_NET_RAW and CAP_NET_ADMIN. RUST_LOG sets what is logged (default info).";

/// The commands that are also the names of upstream's programs: a link of that name to this binary is the role.
const ROLES: [&str; 2] = ["controller", "speaker"];

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run as the controller of a cluster: allocate addresses to its Services.
    #[command(args_override_self = true)]
    Controller(ControllerArgs),
    /// Turn a configuration in the old ConfigMap format into resources, as YAML on standard output.
    Convert(ConvertArgs),
    /// Print the definitions that make an API server know the resources, as YAML.
    Crds(CrdsArgs),
    /// Watch the main job done in a laboratory on this machine: an owner dies, another takes over, the outage is measured.
    Demo(DemoArgs),
    /// Say why a Service has its address or has none, and which node announces it and why: rule by rule, with what would change it.
    Explain(ExplainArgs),
    /// Show what would happen, offline: addresses, layer 2 owners, BGP routes.
    Plan(PlanArgs),
    /// Run as a daemon of this host, without a cluster: allocate addresses to Services in files and answer for them on the segment.
    #[command(after_long_help = RUN_HELP)]
    Run(RunArgs),
    /// Run as the speaker of a node of a cluster: announce addresses to the network.
    #[command(args_override_self = true)]
    Speaker(SpeakerArgs),
    /// Check files and report every problem with its line and its mend.
    Validate(ValidateArgs),
}

/// Where objects are read from; the same for every command that reads them.
#[derive(Args, Clone, Debug)]
pub struct InputArgs {
    /// Files or folders of YAML or JSON (*.yaml, *.yml, *.json; folders are not searched deeper); `-` is standard input.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true, num_args = 1..)]
    pub filenames: Vec<PathBuf>,

    /// The install namespace: objects of metallb.io count only there, and without a namespace are there.
    #[arg(long, value_name = "NS", default_value = "metallb-system")]
    pub namespace: String,

    /// Handle the Services of this class only (without: only Services without a class).
    #[arg(long = "lb-class", visible_alias = "load-balancer-class", value_name = "CLASS")]
    pub load_balancer_class: Option<String>,
}

/// `ferrule convert`.
#[derive(Args, Clone, Debug)]
pub struct ConvertArgs {
    /// Files or folders with the ConfigMap, or with the text of its key `config` alone; `-` is standard input.
    #[arg(short = 'f', long = "filename", value_name = "PATH", required = true, num_args = 1..)]
    pub filenames: Vec<PathBuf>,

    /// The namespace of the resources where the input names none.
    #[arg(long, value_name = "NS", default_value = "metallb-system")]
    pub namespace: String,
}

/// `ferrule crds`.
#[derive(Args, Clone, Debug)]
pub struct CrdsArgs {
    /// Only the definition of this kind, such as `IPAddressPool` or `ipaddresspools`.
    #[arg(value_name = "KIND")]
    pub kind: Option<String>,

    /// Write each definition to a file of its own in this folder, named by the plural of its kind, instead of printing it.
    #[arg(long, value_name = "FOLDER")]
    pub into: Option<PathBuf>,
}

/// `ferrule validate`.
#[derive(Args, Clone, Debug)]
pub struct ValidateArgs {
    /// The objects.
    #[command(flatten)]
    pub input: InputArgs,

    /// Judge as `ferrule run` does: without a cluster nobody gives cluster IPs or endpoints.
    #[arg(long)]
    pub standalone: bool,

    /// How to print the problems.
    #[arg(short, long, value_enum, default_value_t = ValidateOutput::Text)]
    pub output: ValidateOutput,
}

/// Formats of `ferrule validate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ValidateOutput {
    /// One line a problem, for people and editors.
    Text,
    /// One JSON object, for programs.
    Json,
}

/// `ferrule plan`.
#[derive(Args, Clone, Debug)]
pub struct PlanArgs {
    /// The objects.
    #[command(flatten)]
    pub input: InputArgs,

    /// How to print the plan.
    #[arg(short, long, value_enum, default_value_t = PlanOutput::Table)]
    pub output: PlanOutput,

    /// Print the difference to the plan of these files or folders (the state of now), and exit 2 when an address would move or be lost.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub against: Vec<PathBuf>,

    /// The new input is all there will be: a kind of which it holds no object has none, instead of being as in the state of now.
    #[arg(long, requires = "against")]
    pub complete: bool,

    /// Judge as `ferrule run` does: without a cluster nobody gives cluster IPs or endpoints.
    #[arg(long)]
    pub standalone: bool,

    /// Use nodes with the label node.kubernetes.io/exclude-from-external-load-balancers all the same.
    #[arg(long)]
    pub ignore_exclude_lb: bool,

    /// The nodes on which a speaker is alive (without: all nodes of the input).
    #[arg(long = "live-node", value_name = "NAME", num_args = 1..)]
    pub live_nodes: Option<Vec<String>>,

    /// The links that a node has; may be repeated (without: every link that an advertisement names).
    #[arg(long = "node-interfaces", value_name = "NODE=LINK,...", value_parser = parse_label)]
    pub node_interfaces: Vec<(String, String)>,
}

/// Formats of `ferrule plan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanOutput {
    /// Columns for people.
    Table,
    /// One JSON object, for programs.
    Json,
    /// The same as YAML.
    Yaml,
}

/// `ferrule run`.
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    /// The objects; the files are watched.
    #[command(flatten)]
    pub input: InputArgs,

    /// Where allocations are kept, so that they survive a restart.
    #[arg(long, value_name = "FILE", default_value = "/var/lib/ferrule/state.json")]
    pub state: PathBuf,

    /// The name of this node (without: the host's name).
    #[arg(long, value_name = "NAME")]
    pub node_name: Option<String>,

    /// A label of this node; may be repeated.
    #[arg(long = "node-label", value_name = "KEY=VALUE", value_parser = parse_label)]
    pub node_labels: Vec<(String, String)>,

    /// The file with the secret that all nodes of the segment share: 16 characters or more on a line. A second line is a second key that
    /// is accepted too, so that a secret can be changed without a gap.
    #[arg(long, value_name = "FILE")]
    pub member_key_file: Option<PathBuf>,

    /// Milliseconds between two heartbeats of this node; the same on all nodes of a segment.
    #[arg(long, value_name = "MS", default_value_t = 100, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    pub heartbeat_period: u64,

    /// Milliseconds of silence after which a node counts as dead: at least four periods, the same on all nodes of a segment. Tuned for
    /// speed: 250 with a period of 50.
    #[arg(long, value_name = "MS", default_value_t = 700, value_parser = clap::value_parser!(u64).range(40..=100_000))]
    pub heartbeat_timeout: u64,

    /// Whether a healthy owner gives addresses back to the node that the election order prefers: `never`, `at-once`, or after so many
    /// seconds.
    #[arg(long = "return", value_name = "WHEN", default_value = "never", value_parser = parse_return)]
    pub return_policy: ReturnPolicy,

    /// Links to leave alone: a regular expression for their names; may be repeated. Takes the place of the default list (docker, veth, cali
    /// and so on; see docs/platform.md).
    #[arg(long = "exclude-link", value_name = "REGEX")]
    pub exclude_links: Vec<String>,

    /// Whose values stand where BGP objects have none: native (`LOCAL_PREF` 0, no MED, hold time 90 s), frr or frr-k8s (100, 0, 180 s).
    #[arg(long, value_name = "NAME", env = "METALLB_BGP_TYPE", default_value = "frr")]
    pub bgp_type: BgpType,
}

/// `ferrule demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// Do it in a cluster: a control plane (built the first time, which takes minutes), three nodes, a router and clients, over ARP and
    /// BGP.
    #[arg(long, conflicts_with_all = ["kills", "serve"])]
    pub cluster: bool,

    /// Kill the owner's node this often, at seeded moments, and print how the outages spread.
    #[arg(long, hide = true, value_name = "COUNT")]
    pub kills: Option<u32>,

    /// Be the HTTP server of a node: what the demo starts in each.
    #[arg(long, hide = true, value_name = "NAME")]
    pub serve: Option<String>,
}

fn parse_return(text: &str) -> Result<ReturnPolicy, String> {
    match text {
        "never" => Ok(ReturnPolicy::Never),
        "at-once" => Ok(ReturnPolicy::AtOnce),
        seconds => seconds
            .parse()
            .map(|seconds| ReturnPolicy::After(Duration::from_secs(seconds)))
            .map_err(|_| "write never, at-once or a number of seconds".to_owned()),
    }
}

fn parse_label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it with a name in front of the equals sign".to_owned()),
    }
}

/// What the command line asked for.
#[derive(Debug)]
pub enum Parsed {
    /// Do this.
    Command(Box<Command>),
    /// Everything is said already (help, version, a usage error).
    Answered(Outcome),
}

/// Reads the command line; help, version and usage errors are printed here.
///
/// # Errors
/// Where the terminal cannot be written to.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Parsed> {
    let (role, arguments) = settle(arguments.into_iter().collect());
    match CommandLine::try_parse_from(arguments) {
        Ok(line) => Ok(Parsed::Command(Box::new(line.command))),
        Err(answer) => {
            answer.print()?;
            // clap ends usage errors with 2, which `plan --against` needs for itself.
            let bad_value = matches!(answer.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation);
            Ok(Parsed::Answered(match role {
                _ if !answer.use_stderr() => Outcome::Good,
                Some(_) if bad_value => Outcome::InputBad,
                Some(_) | None => Outcome::Usage,
            }))
        }
    }
}

/// The role that is asked for, by name or by that of the program, and the words in the form that clap reads.
fn settle(mut words: Vec<OsString>) -> (Option<&'static str>, Vec<OsString>) {
    let program = words.first().and_then(|word| Path::new(word).file_name());
    if let Some(role) = ROLES.into_iter().find(|role| program.is_some_and(|name| name == *role)) {
        words.insert(1, role.into());
    }
    let named = words.get(1).and_then(|word| ROLES.into_iter().find(|role| word == role));
    let command = CommandLine::command();
    let Some(role) = named.and_then(|role| command.find_subcommand(role)) else { return (named, words) };
    let flags = spelling::settle(role, words.split_off(2));
    words.extend(flags);
    (named, words)
}

/// Calls the command.
///
/// # Errors
/// Whatever kept the command from doing its work.
pub fn dispatch(parsed: &Parsed) -> Result<Outcome> {
    let command = match parsed {
        Parsed::Answered(outcome) => return Ok(*outcome),
        Parsed::Command(command) => command,
    };
    match command.as_ref() {
        Command::Controller(arguments) => crate::controller::run(arguments).map_err(Into::into),
        Command::Convert(arguments) => Ok(legacy::run(arguments)?),
        Command::Crds(arguments) => crd::run(arguments).map_err(Into::into),
        Command::Demo(arguments) => demo::run(arguments).map(|()| Outcome::Good).map_err(Into::into),
        Command::Explain(arguments) => crate::explain::explain(arguments).map_err(Into::into),
        Command::Plan(arguments) => plan::plan(arguments).map_err(Into::into),
        Command::Run(arguments) => run::run(arguments).map_err(Into::into),
        Command::Speaker(arguments) => crate::speaker::run(arguments).map_err(Into::into),
        Command::Validate(arguments) => Ok(validate::validate(arguments)?),
    }
}

#[cfg(test)]
mod tests;
