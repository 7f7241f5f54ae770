//! The files of `ferrule run`, read into what the host works with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use lbcore::config::{Config, ObjectRef, RawConfig, Settings};
use lbcore::converge::ServiceState;
use lbcore::decide::ServiceFacts;
use lbcore::labels::Labels;
use lbcore::node::{NetworkCondition, Node};
use lbcore::policy::KeptAddress;
use lbcore::service::{NodeName, ServiceKey};

use super::ledger::takes_part;
use crate::args::InputArgs;
use crate::convert::{Objects, ServiceObject};
use crate::freeze::{self, Live};
use crate::load::{self, Loaded};
use crate::manifest;
use crate::plan::snapshot::facts;
use crate::report::Report;
use crate::state::RecordedService;

/// Standard input is read up to this size.
const STDIN_MAX: u64 = 64 << 20;

/// Where the input comes from; reading it again gives its present content.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    paths: Vec<PathBuf>,
    /// Standard input can be read once only.
    stdin: Option<Vec<u8>>,
    settings: Settings,
    class: Option<String>,
}

impl Source {
    /// # Errors
    /// Standard input cannot be read.
    pub(crate) fn new(arguments: &InputArgs) -> io::Result<Self> {
        let (stdin, paths): (Vec<PathBuf>, Vec<PathBuf>) =
            arguments.filenames.iter().cloned().partition(|path| path.as_os_str() == "-");
        let mut content = Vec::new();
        if !stdin.is_empty() {
            io::stdin().lock().take(STDIN_MAX).read_to_end(&mut content)?;
        }
        Ok(Self {
            paths,
            stdin: (!stdin.is_empty()).then_some(content),
            settings: Settings { install_namespace: arguments.namespace.as_str().into(), ..Settings::default() },
            class: arguments.load_balancer_class.clone(),
        })
    }

    /// The paths that can change.
    pub(crate) fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Reads everything. Takes as long as the input is large; not for a thread that must not wait.
    pub(crate) fn read(&self) -> (Option<Input>, Report) {
        let mut manifests = manifest::read_paths(&self.paths);
        if let Some(content) = &self.stdin {
            manifests.read_bytes(&"<stdin>".into(), content);
        }
        let loaded = load::check(manifests, &self.settings);
        let files = contents(&loaded);
        let Loaded { objects, config, report, .. } = loaded;
        let settings = self.settings.clone();
        let input =
            config.map(|config| Input { settings, files, ..Input::new(config, objects, self.class.as_deref()) });
        (input, report)
    }
}

/// What a file holds, and which file that is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Content {
    /// Device and inode: those of another file where it was replaced by renaming.
    identity: Option<(u64, u64)>,
    services: usize,
    pools: usize,
}

fn contents(loaded: &Loaded) -> BTreeMap<Arc<str>, Content> {
    let identity = |file: &Arc<str>| fs::metadata(&**file).ok().map(|metadata| (metadata.dev(), metadata.ino()));
    let fresh = |file: &Arc<str>| (Arc::clone(file), Content { identity: identity(file), ..Content::default() });
    let mut contents: BTreeMap<Arc<str>, Content> = loaded.files.iter().map(fresh).collect();
    let file_of = |object: &ObjectRef| {
        let index = usize::try_from(object.origin.0).ok()?;
        loaded.documents.get(index).map(|document| Arc::clone(&document.file))
    };
    for file in loaded.objects.services.iter().filter_map(|service| file_of(&service.object)) {
        contents.entry(file).or_default().services += 1;
    }
    for file in loaded.objects.config.pools.iter().filter_map(|pool| file_of(&pool.object)) {
        contents.entry(file).or_default().pools += 1;
    }
    contents
}

/// A good configuration and its Services.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) config: Arc<Config>,
    /// What freezes keep in it.
    pub(crate) kept: Vec<KeptAddress>,
    settings: Settings,
    files: BTreeMap<Arc<str>, Content>,
    objects: Arc<Objects>,
    services: BTreeMap<ServiceKey, ServiceObject>,
}

impl Input {
    fn new(config: Arc<Config>, objects: Objects, class: Option<&str>) -> Self {
        let ours = objects.services.iter().filter(|service| service.is_of_class(class));
        let services = ours.map(|service| (service.key.clone(), service.clone())).collect();
        let (kept, settings, files) = (Vec::new(), Settings::default(), BTreeMap::new());
        Self { config, kept, settings, files, objects: Arc::new(objects), services }
    }

    /// Lets freezes keep what they have to of what Services hold. `before` is the configuration in force until now, `recorded` what was
    /// kept until now. True where the configuration is another one by that.
    pub(crate) fn keep(
        &mut self,
        before: Option<&Config>,
        recorded: &[KeptAddress],
        held: &BTreeMap<ServiceKey, RecordedService>,
    ) -> bool {
        let live = held.iter().filter_map(|(service, recorded)| {
            let labels = (*self.services.get(service)?.labels).clone();
            let (service, pool, addresses) = (service.clone(), recorded.pool.clone(), recorded.addresses.clone());
            Some(Live { service, labels, pool, addresses })
        });
        let described = |kept: &[KeptAddress]| {
            let raw = RawConfig { kept: kept.to_vec(), ..self.objects.config.clone() };
            // Kept addresses put nothing in the wrong.
            Config::build(&raw, &self.settings).config.unwrap_or_else(|| Arc::clone(&self.config))
        };
        let kept = if recorded.is_empty() {
            freeze::kept(&self.config, before, live)
        } else {
            freeze::kept(&described(recorded), before, live)
        };
        if kept == self.kept {
            return false;
        }
        let config = described(&kept);
        (self.config, self.kept) = (config, kept);
        true
    }

    /// Whether another input allocates by the same pools and policies.
    pub(crate) fn allocates_as(&self, other: &Self) -> bool {
        let pools = |input: &'_ Self| -> Vec<_> {
            input.config.pools().values().map(|configured| Arc::clone(&configured.pool)).collect()
        };
        pools(self) == pools(other) && self.config.policies() == other.config.policies()
    }

    /// The files that were written in place and have lost all their Services, or all their pools, in what was read now: perhaps only half of
    /// them is written.
    pub(crate) fn cut_short(&self, now: &Self) -> Vec<Arc<str>> {
        let is_cut = |(file, before): &(&Arc<str>, &Content)| {
            let Some(after) = now.files.get(*file) else { return false };
            let is_same_file = before.identity.is_some() && before.identity == after.identity;
            let lost = |before: usize, after: usize| before > 0 && after == 0;
            is_same_file && (lost(before.services, after.services) || lost(before.pools, after.pools))
        };
        self.files.iter().filter(is_cut).map(|(file, _)| Arc::clone(file)).collect()
    }

    /// What decides the addresses of each Service that takes part.
    pub(crate) fn states(&self) -> Vec<ServiceState> {
        self.services.values().map(ServiceObject::state_without_cluster).filter(takes_part).collect()
    }

    /// A Service with these addresses as decisions see it.
    pub(crate) fn facts(&self, service: &ServiceKey, addresses: &[IpAddr]) -> Option<ServiceFacts> {
        let object = self.services.get(service)?;
        Some(facts(object, addresses.to_vec(), self.objects.endpoints.get(service).map(Vec::as_slice)))
    }

    /// This node, with the labels of the command line and of a Node document of its name, and the members with what their Node documents
    /// say: each daemon judges only its own labels.
    pub(crate) fn nodes(&self, own: &NodeName, labels: &Labels, members: &BTreeSet<NodeName>) -> Vec<Node> {
        let documented = |name: &NodeName| self.objects.config.nodes.iter().find(|node| node.name == *name).cloned();
        let plain =
            |name: &NodeName| Node { name: name.clone(), labels: Labels::new(), network: NetworkCondition::default() };
        let mut this = documented(own).unwrap_or_else(|| plain(own));
        this.labels.extend(labels.clone());
        let others =
            members.iter().filter(|name| *name != own).map(|name| documented(name).unwrap_or_else(|| plain(name)));
        std::iter::once(this).chain(others).collect()
    }
}

#[cfg(test)]
mod tests {
    use lbcore::family::{IpFamily, ServiceFamilies};
    use lbcore::request::ClusterIpsProblem;

    use super::*;

    fn families(spec: &str) -> Result<ServiceFamilies, ClusterIpsProblem> {
        let mut manifests = manifest::Manifests::default();
        let text =
            format!("apiVersion: v1\nkind: Service\nmetadata: {{name: web}}\nspec: {{type: LoadBalancer{spec}}}\n");
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let Loaded { objects, config, .. } = load::check(manifests, &Settings::default());
        let states = Input::new(config.unwrap(), objects, None).states();
        states.into_iter().next().unwrap().families
    }

    // [CTRL-32] holds where somebody gives cluster IPs.
    #[test]
    fn a_service_without_a_cluster_ip_has_the_families_it_asks_for() {
        assert_eq!(families(""), Ok(ServiceFamilies::Single(IpFamily::V4)));
        assert_eq!(families(", ipFamilies: [IPv6]"), Ok(ServiceFamilies::Single(IpFamily::V6)));
        let dual = Ok(ServiceFamilies::Dual { primary: IpFamily::V4 });
        assert_eq!(families(", ipFamilyPolicy: RequireDualStack"), dual);
        assert_eq!(families(", ipFamilyPolicy: PreferDualStack, ipFamilies: [IPv4, IPv6]"), dual);
        assert_eq!(families(", clusterIP: 'fd00::1'"), Ok(ServiceFamilies::Single(IpFamily::V6)));
        assert!(families(", clusterIP: None").is_err());
    }

    #[test]
    fn a_node_document_and_the_command_line_both_label_this_node() {
        let mut manifests = manifest::Manifests::default();
        let text = "apiVersion: v1\nkind: Node\nmetadata: {name: n1, labels: {a: file, b: file}}\n";
        manifests.read_bytes(&"a.yaml".into(), text.as_bytes());
        let Loaded { objects, config, .. } = load::check(manifests, &Settings::default());
        let input = Input::new(config.unwrap(), objects, None);
        let labels = Labels::from([("b".to_owned(), "flag".to_owned())]);
        let (own, other): (NodeName, NodeName) = ("n1".parse().unwrap(), "n2".parse().unwrap());
        let nodes = input.nodes(&own, &labels, &BTreeSet::from([own.clone(), other.clone()]));
        assert_eq!(nodes.iter().map(|node| node.name.clone()).collect::<Vec<_>>(), [own, other]);
        assert_eq!(nodes[0].labels["a"], "file");
        assert_eq!(nodes[0].labels["b"], "flag");
    }

    #[test]
    fn a_file_that_is_emptied_in_place_is_cut_short_and_one_that_is_replaced_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("web.yaml");
        let text = "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {type: LoadBalancer}\n";
        let arguments = InputArgs {
            filenames: vec![folder.path().to_owned()],
            namespace: "metallb-system".to_owned(),
            load_balancer_class: None,
        };
        let source = Source::new(&arguments).unwrap();
        let read = |text: &str| {
            fs::write(&file, text).unwrap();
            source.read().0.unwrap()
        };
        let two = format!("{text}---\n{}", text.replace("web", "mail"));
        let before = read(&two);
        assert_eq!(before.cut_short(&read(text)).len(), 0, "one of two is an edit");
        assert_eq!(before.cut_short(&read("# the head alone\n")).len(), 1);
        fs::write(folder.path().join("new"), "# nothing\n").unwrap();
        fs::rename(folder.path().join("new"), &file).unwrap();
        assert_eq!(before.cut_short(&source.read().0.unwrap()).len(), 0, "another file took its place");
    }
}
