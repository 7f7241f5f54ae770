//! What is judged: objects of files or of a cluster, with the configuration that is in force of them.

use std::path::PathBuf;
use std::sync::Arc;

use lbcore::config::salvage::salvage;
use lbcore::config::{Config, RawConfig, Settings, Severity};

use super::reports::Reports;
use crate::args::ExplainArgs;
use crate::cluster::clock::unix_now;
use crate::convert::{self, Objects};
use crate::honoured;
use crate::load::{self, Loaded};
use crate::manifest::{self, Document, Manifests};
use crate::plan::PlanSettings;
use crate::report::Finding;

/// Where the objects are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Files,
    Cluster,
}

/// What is judged.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) source: Source,
    /// The configuration in force: all of it, or what is left of a faulty one.
    pub(super) config: Arc<Config>,
    pub(super) objects: Objects,
    pub(super) settings: PlanSettings,
    pub(super) install_namespace: Arc<str>,
    pub(super) documents: Vec<Document>,
    /// What speakers say that they announce.
    pub(super) reports: Reports,
    /// Everything that is wrong.
    pub(super) findings: Vec<Finding>,
    /// What the reader must know beside, such as what may not be read.
    pub(super) remarks: Vec<String>,
}

impl Scene {
    /// Reads files.
    pub(super) fn from_files(arguments: &ExplainArgs) -> Self {
        let paths: &[PathBuf] = &arguments.filenames;
        let checks = checks(arguments);
        let mut scene = Self::of(Source::Files, manifest::read_paths(paths), arguments);
        scene.reports = Reports::of_files(&scene.documents, &checks.install_namespace);
        if scene.objects.config.nodes.is_empty() && !arguments.standalone {
            scene.remarks.push(
                "there is no Node among the documents, so nothing can be said about who announces: add the output of `kubectl get \
                 nodes,endpointslices -A -o yaml`"
                    .to_owned(),
            );
        }
        scene
    }

    /// What was read, with the configuration that a program would have in force, and what it would know to wait.
    pub(super) fn of(source: Source, manifests: Manifests, arguments: &ExplainArgs) -> Self {
        let checks = checks(arguments);
        let (loaded, holds) = load::check_as_recorded(manifests, &checks);
        let Loaded { documents, objects, config, mut report, files, .. } = loaded;
        let mut remarks = Vec::new();
        let config = config.unwrap_or_else(|| {
            let typed = convert::objects(&documents, &checks.install_namespace).problems;
            let salvaged = salvage(&objects.config, &typed, &RawConfig::default(), &checks);
            let left_out: Vec<String> = salvaged.left_out.iter().map(ToString::to_string).collect();
            if !left_out.is_empty() {
                remarks.push(format!(
                    "left out for the errors: {}; a program that has run before keeps their last good versions",
                    left_out.join(", ")
                ));
            }
            salvaged.config
        });
        let settings = PlanSettings {
            load_balancer_class: arguments.load_balancer_class.clone(),
            standalone: arguments.standalone,
            ignore_exclude_label: arguments.ignore_exclude_lb,
            live_nodes: arguments.live_nodes.clone().map(|names| names.into_iter().collect()),
            interfaces: None,
            holds,
            now: unix_now(),
        };
        report.add(honoured::findings(&objects.config.peers, &config, &documents), &files);
        let findings = report.findings().to_vec();
        let install_namespace = checks.install_namespace;
        let reports = Reports::default();
        Self { source, config, objects, settings, install_namespace, documents, reports, findings, remarks }
    }

    /// How many errors there are.
    pub(super) fn error_count(&self) -> usize {
        self.findings.iter().filter(|finding| finding.severity == Severity::Error).count()
    }

    /// Whether the configuration as a whole is refused.
    pub(super) fn is_refused(&self) -> bool {
        self.error_count() > 0
    }
}

/// How the objects are checked.
pub(super) fn checks(arguments: &ExplainArgs) -> Settings {
    Settings { install_namespace: arguments.namespace.as_str().into(), ..Settings::default() }
}
