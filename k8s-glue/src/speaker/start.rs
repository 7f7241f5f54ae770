//! What must hold before anything is announced, checked before the first thread starts.

use std::path::PathBuf;
use std::sync::Arc;

use announce_arp::io::{Exclusion, now};
use announce_bgp::config::EngineDefaults;
use lbcore::config::{Level, PeerRules, Settings};
use lbcore::decide::{DecideOptions, ExcludeLabel, MissingSlices};
use lbcore::ownership::{Hub, HubConfig};
use lbcore::service::NodeName;

use super::keys::{self, KeyRing};
use super::scene::Judging;
use super::{SpeakerError, exclude};
use crate::args::{BgpType, SpeakerArgs};
use crate::run::start as host;
use crate::telemetry;

/// Begins to write lines, and says which flags change nothing.
pub(super) fn begin_to_log(arguments: &SpeakerArgs) {
    telemetry::start(arguments.role.log_level);
    telemetry::tell_ineffective(&arguments.without_effect());
}

/// Everything that the arguments come to.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) judging: Judging,
    pub(super) pod: String,
    pub(super) hub: Arc<Hub>,
    pub(super) keys: KeyRing,
    /// Where the key is mounted; without, it is read through the API server.
    pub(super) key_folder: Option<PathBuf>,
    pub(super) exclude: Exclusion,
    pub(super) defaults: EngineDefaults,
    pub(super) arguments: SpeakerArgs,
}

impl Start {
    /// Checks the arguments, the rights, and the files that are read once.
    ///
    /// # Errors
    /// [`SpeakerError`].
    pub(super) fn new(arguments: &SpeakerArgs) -> Result<Self, SpeakerError> {
        let namespace = arguments.role.install_namespace()?;
        let node = arguments.node_name.as_deref().ok_or(SpeakerError::NodeName(None))?;
        let node = NodeName::new(node).map_err(|error| SpeakerError::NodeName(Some(error)))?;
        let pod = arguments.role.pod_name.clone().ok_or(SpeakerError::PodName)?;
        host::check_packet_right()?;
        let exclude = exclude::read(&arguments.exclude_l2_file)?;
        let (boot_id, seed) = host::random()?;
        let mut config = HubConfig::new(node.clone(), boot_id);
        config.timings = host::timings(arguments.heartbeat_period, arguments.heartbeat_timeout)?;
        config.return_policy = arguments.return_policy;
        let key_folder = arguments.ml_secret_key_path.as_ref().map(PathBuf::from);
        let mut ring = KeyRing::default();
        if let Some(folder) = &key_folder {
            let material = keys::of_folder(folder).unwrap_or_else(|error| {
                tracing::error!(folder = %folder.display(), %error, "member key cannot be read");
                None
            });
            let failed = |source| SpeakerError::Key { path: folder.display().to_string(), source };
            if let Some(keys) = ring.handle_material(now(), material).map_err(failed)? {
                config.keys = keys;
            }
        }
        let hub = Hub::new(config, now(), seed);
        Ok(Self {
            judging: judging(arguments, &namespace, node),
            pod,
            hub,
            keys: ring,
            key_folder,
            exclude,
            defaults: match arguments.role.bgp_type {
                Some(BgpType::Native) => EngineDefaults::Native,
                Some(BgpType::Frr | BgpType::FrrK8s | BgpType::Other) | None => EngineDefaults::Frr,
            },
            arguments: arguments.clone(),
        })
    }
}

fn judging(arguments: &SpeakerArgs, namespace: &str, node: NodeName) -> Judging {
    let peer_rules = match arguments.role.bgp_type {
        // What was refused there must not begin to run here by itself ([MODE-14], [MODE-15]).
        Some(BgpType::Frr | BgpType::FrrK8s) => PeerRules::OneRouter,
        Some(BgpType::Native | BgpType::Other) | None => PeerRules::Independent,
    };
    Judging {
        node,
        class: arguments.role.load_balancer_class.clone(),
        settings: Settings { install_namespace: namespace.into(), level: Level::Full, peer_rules },
        options: DecideOptions {
            exclude_label: if arguments.ignore_exclude_lb { ExcludeLabel::Ignored } else { ExcludeLabel::Respected },
            missing_slices: MissingSlices::NoEndpoint,
            live_nodes: None,
        },
    }
}
