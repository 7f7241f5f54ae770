//! A real control plane and a real data path: objects are checked and guarded, addresses of Services lead to pods, clients outlive
//! a restart of the API server, and nothing stays behind.

#![expect(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    reason = "a test without the standard harness, to which the exceptions for tests in clippy.toml do not reach"
)]

use std::collections::BTreeSet;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use lab::cluster::{Answer, Plan, Pod};
use lab::control_plane::{self, Binaries, Part, Settings};
use lab::{Cluster, ControlPlane, Lab, http, wait_until};
use libtest_mimic::{Arguments, Failed, Trial};

/// Set for a copy of this binary that starts a control plane, says where it is, and waits to be killed.
const VICTIM: &str = "LAB_TEST_CLUSTER_VICTIM";

/// What has to come about at all does so within this time, on a busy machine too.
const SOON: Duration = Duration::from_secs(30);
/// How long one fetch may take.
const FETCH_WITHIN: Duration = Duration::from_millis(700);
/// How often an answer is looked for that must not come.
const ATTEMPTS: usize = 5;

type Checked = Result<(), Box<dyn Error>>;

fn main() -> ExitCode {
    let binaries = match control_plane::enter_for_tests("lab cluster") {
        Ok(binaries) => binaries,
        Err(status) => return status,
    };
    if std::env::var_os(VICTIM).is_some() {
        return victim(&binaries);
    }
    BINARIES.get_or_init(|| binaries);
    let trial = |name: &'static str, check: fn(&mut Cluster) -> Checked| {
        Trial::test(name, move || {
            let mut cluster = cluster().map_err(Failed::from)?;
            check(&mut cluster).map_err(|error| Failed::from(error.to_string()))
        })
    };
    let trials = vec![
        trial("a_definition_with_rules_refuses_what_they_forbid", a_definition_with_rules_refuses),
        trial("a_service_account_may_what_it_was_given_and_nothing_else", a_service_account_may_what_it_was_given),
        trial("every_write_is_recorded_and_no_read", every_write_is_recorded),
        trial("a_secret_is_mounted_once_it_is_there", a_secret_is_mounted),
        trial("a_role_runs_in_its_place_under_its_name", a_role_runs_in_its_place),
        trial("an_address_bound_to_one_node_leads_to_every_pod", an_address_leads_to_every_pod),
        trial("with_policy_local_a_node_serves_its_own_pods_alone", policy_local_serves_its_own_pods),
        trial("a_node_cut_off_from_the_api_server_comes_back", a_node_cut_off_comes_back),
        trial("traffic_goes_on_without_api_server_and_watches_outlive_it", watches_outlive_the_api_server),
        Trial::test("nothing_is_left_after_sigkill", || {
            nothing_is_left_after_sigkill().map_err(|error| Failed::from(error.to_string()))
        }),
    ];
    let mut arguments = Arguments::from_args();
    // One cluster for all, which some of them break for a while.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit_code()
}

static BINARIES: OnceLock<Binaries> = OnceLock::new();

/// The one cluster of this binary.
fn cluster() -> Result<MutexGuard<'static, Cluster>, String> {
    static CLUSTER: OnceLock<Result<Mutex<Cluster>, String>> = OnceLock::new();
    let started = CLUSTER.get_or_init(|| {
        let binaries = BINARIES.get().ok_or("the programs were not looked for")?;
        Cluster::start(binaries, &Plan::default()).map(Mutex::new).map_err(|error| error.to_string())
    });
    match started {
        Ok(cluster) => Ok(cluster.lock().unwrap_or_else(PoisonError::into_inner)),
        Err(error) => Err(format!("the cluster did not start: {error}")),
    }
}

fn check(holds: bool, what: impl Into<String>) -> Checked {
    if holds { Ok(()) } else { Err(what.into().into()) }
}

const DEFINITION: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ranges.lab.test}
spec:
  group: lab.test
  scope: Namespaced
  names: {kind: Range, plural: ranges, singular: range}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [prefixes]
            x-kubernetes-validations:
            - {rule: "self.prefixes.all(prefix, isCIDR(prefix))", message: "each entry is a prefix"}
            properties:
              prefixes: {type: array, minItems: 1, maxItems: 16, items: {type: string, maxLength: 64}}
"#;

fn range(name: &str, prefix: &str) -> String {
    format!(
        "{{apiVersion: lab.test/v1, kind: Range, metadata: {{name: {name}, namespace: default}}, spec: {{prefixes: [\"{prefix}\"]}}}}"
    )
}

fn a_definition_with_rules_refuses(cluster: &mut Cluster) -> Checked {
    cluster.apply(DEFINITION)?;
    cluster.apply(&range("good", "192.0.2.0/24"))?;
    let refused = cluster.apply(&range("bad", "nonsense")).err().map(|error| error.to_string()).unwrap_or_default();
    check(refused.contains("each entry is a prefix"), format!("not refused by its rule: {refused}"))
}

const ACCOUNT: &str = "
{apiVersion: v1, kind: Namespace, metadata: {name: tenant}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: reader, namespace: tenant}}
";

const GRANT: &str = r#"
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [services], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: tenant}]
"#;

fn a_service_account_may_what_it_was_given(cluster: &mut Cluster) -> Checked {
    cluster.apply(ACCOUNT)?;
    let reader = cluster.plane().service_account("tenant", "reader")?;
    let who = reader.run(&["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"])?;
    check(who == "system:serviceaccount:tenant:reader", who)?;
    let refused = reader.try_run(&["get", "services", "--all-namespaces"])?;
    check(!refused.status.success() && refused.stderr.contains("forbidden"), "not refused before the grant")?;
    cluster.apply(GRANT)?;
    wait_until(SOON, "the grant to count", || reader.run(&["get", "services", "--all-namespaces"]).ok())?;
    let refused = reader.try_run(&["create", "configmap", "mine", "--namespace", "tenant"])?;
    check(!refused.status.success() && refused.stderr.contains("forbidden"), "more was granted than asked for")
}

fn every_write_is_recorded(cluster: &mut Cluster) -> Checked {
    let before = cluster.plane().writes()?.len();
    cluster.admin().run(&["get", "nodes"])?;
    cluster.admin().run(&["create", "configmap", "written", "--from-literal=a=b"])?;
    cluster.admin().run(&["annotate", "configmap", "written", "c=d"])?;
    let find = || {
        let writes = cluster.plane().writes().ok()?;
        let seen: Vec<String> = writes
            .iter()
            .skip(before)
            .filter(|write| write.user == "admin" && write.is_success() && write.resource != "selfsubjectreviews")
            .map(|write| format!("{} {}/{}", write.verb, write.resource, write.name))
            .collect();
        (seen == ["create configmaps/written", "patch configmaps/written"]).then_some(())
    };
    wait_until(SOON, "two writes, and no more, in the record", find)?;
    Ok(())
}

fn a_secret_is_mounted(cluster: &mut Cluster) -> Checked {
    let mount = |within| cluster.plane().mount_secret("default", "shared", "secretkey", within);
    check(mount(Duration::from_millis(300)).is_err(), "a Secret that is not there was mounted")?;
    cluster.admin().run(&["create", "secret", "generic", "shared", "--from-literal=secretkey=of all"])?;
    let folder = mount(SOON)?;
    check(std::fs::read_to_string(folder.join("secretkey"))? == "of all", "another text")
}

/// A stand-in for the product: says what it was given, and stays.
const SCRIPT: &str = "#!/bin/sh\necho \"is $1 as $METALLB_POD_NAME on $METALLB_NODE_NAME\"\nexec sleep 600\n";

fn a_role_runs_in_its_place(cluster: &mut Cluster) -> Checked {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = lab::Folder::make("script")?;
    let path = folder.write("product", SCRIPT)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: metallb-system}}")?;
    let mut speaker = cluster.speaker(&lab::cluster::Program::new(path), "n2", cluster.admin())?;
    let pod = ["pod", "speaker-n2", "--namespace", "metallb-system"];
    check(cluster.admin().field(&pod, "{.spec.nodeName}")? == "n2", "its Pod is on another node")?;
    for _ in 0..2 {
        speaker.start()?;
        let process = speaker.process().ok_or("it does not run")?;
        process.wait_for("is speaker as speaker-n2 on n2", SOON)?;
    }
    speaker.kill()?;
    check(speaker.process().is_none() && speaker.log().matches("is speaker").count() == 2, "its log is not whole")
}

/// A Service with an address of each family on the segment of the nodes, which no controller gave it.
fn service(cluster: &Cluster, name: &str, policy: &str, host_part: u8) -> Result<[IpAddr; 2], Box<dyn Error>> {
    let addresses = [format!("192.168.1.{host_part}"), format!("fc00:f853:ccd:e793::{host_part}")];
    cluster.apply(&format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: default}}, spec: {{type: LoadBalancer, \
         externalTrafficPolicy: {policy}, ipFamilyPolicy: RequireDualStack, ports: [{{port: 80, targetPort: 8080}}]}}}}"
    ))?;
    let ingress = addresses.iter().map(|address| format!("{{\"ip\":\"{address}\"}}")).collect::<Vec<_>>().join(",");
    let patch = format!("{{\"status\":{{\"loadBalancer\":{{\"ingress\":[{ingress}]}}}}}}");
    cluster.admin().run(&["patch", "service", name, "--subresource=status", "--type=merge", "-p", &patch])?;
    Ok([addresses[0].parse()?, addresses[1].parse()?])
}

/// Binds the addresses to a node in the client, so that nobody has to announce them.
fn bind(cluster: &Cluster, addresses: &[IpAddr], node: usize) -> Checked {
    let hardware = cluster.nodes()[node].hardware()?;
    for address in addresses {
        cluster.client().set_neighbour("eth0", *address, hardware)?;
    }
    Ok(())
}

fn fetch(cluster: &Cluster, address: IpAddr) -> Option<Answer> {
    let page = http::get_from(cluster.client(), SocketAddr::new(address, 80), FETCH_WITHIN).ok()?;
    Answer::of(&page)
}

/// The pods that answer at an address until all of `wanted` have.
fn answers_of(cluster: &Cluster, address: IpAddr, wanted: &[&str]) -> Result<BTreeSet<Answer>, Box<dyn Error>> {
    let mut seen = BTreeSet::new();
    wait_until(SOON, &format!("{wanted:?} to answer at {address}"), || {
        seen.extend(fetch(cluster, address));
        wanted.iter().all(|pod| seen.iter().any(|answer| answer.pod == *pod)).then_some(())
    })?;
    Ok(seen)
}

fn pods(cluster: &Cluster, names: [&str; 2]) -> Result<[Pod; 2], Box<dyn Error>> {
    Ok([cluster.nodes()[0].pod(names[0])?, cluster.nodes()[1].pod(names[1])?])
}

fn an_address_leads_to_every_pod(cluster: &mut Cluster) -> Checked {
    cluster.nodes_mut().iter_mut().try_for_each(lab::cluster::Node::wait_for_proxy)?;
    let pods = pods(cluster, ["all-0", "all-1"])?;
    let addresses = service(cluster, "all", "Cluster", 240)?;
    cluster.endpoints("default", "all", &pods.each_ref())?;
    // The third node has no pod of its own.
    bind(cluster, &addresses, 2)?;
    for address in addresses {
        let seen = answers_of(cluster, address, &["all-0", "all-1"])?;
        let wanted = [("n1", "all-0"), ("n2", "all-1")];
        check(
            seen.iter().all(|answer| wanted.contains(&(&answer.node, &answer.pod))),
            format!("answers from elsewhere: {seen:?}"),
        )?;
    }
    Ok(())
}

fn policy_local_serves_its_own_pods(cluster: &mut Cluster) -> Checked {
    let pods = pods(cluster, ["own-0", "own-1"])?;
    let addresses = service(cluster, "own", "Local", 241)?;
    cluster.endpoints("default", "own", &pods.each_ref())?;
    bind(cluster, &addresses, 0)?;
    for address in addresses {
        let seen = answers_of(cluster, address, &["own-0"])?;
        let client = if address.is_ipv4() { "192.168.1.100" } else { "fc00:f853:ccd:e793::100" };
        let good = |answer: &Answer| answer.pod == "own-0" && Ok(answer.client) == client.parse();
        check(seen.iter().all(good), format!("another pod, or not the client's own address: {seen:?}"))?;
    }
    bind(cluster, &addresses, 2)?;
    for address in addresses {
        let answered = (0..ATTEMPTS).find_map(|_| fetch(cluster, address));
        check(answered.is_none(), format!("a node without a pod answers: {answered:?}"))?;
    }
    Ok(())
}

fn a_node_cut_off_comes_back(cluster: &mut Cluster) -> Checked {
    let api = cluster.plane().address();
    let node = &cluster.nodes()[1];
    let connects = || node.host().inside(|| std::net::TcpStream::connect_timeout(&api, FETCH_WITHIN).is_ok());
    check(connects()?, "it does not reach the API server at first")?;
    node.lose_api_server()?;
    check(!connects()?, "it still reaches the API server")?;
    node.reach_api_server()?;
    check(connects()?, "it does not reach the API server again")
}

fn watches_outlive_the_api_server(cluster: &mut Cluster) -> Checked {
    let pods = pods(cluster, ["first", "second"])?;
    let addresses = service(cluster, "lasting", "Cluster", 242)?;
    cluster.endpoints("default", "lasting", &[&pods[0]])?;
    bind(cluster, &addresses, 2)?;
    answers_of(cluster, addresses[0], &["first"])?;
    cluster.plane_mut().kill(Part::ApiServer)?;
    for _ in 0..ATTEMPTS {
        check(fetch(cluster, addresses[0]).is_some(), "traffic stops with the API server")?;
    }
    cluster.plane_mut().start_part(Part::ApiServer)?;
    cluster.plane_mut().wait_until_ready()?;
    // What was written before is there, and who watched hears of what is written now.
    cluster.endpoints("default", "lasting", &[&pods[1]])?;
    answers_of(cluster, addresses[0], &["second"])?;
    Ok(())
}

fn nothing_is_left_after_sigkill() -> Checked {
    let host = Lab::new("killer").host("killer")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.env(VICTIM, "1");
    let mut victim = host.spawn(command)?;
    victim.wait_for("ready", Duration::from_secs(150))?;
    let said = victim.stdout();
    let word = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    let (folder, server) = (word("folder"), word("server"));
    let process = format!("/proc/{server}");
    check(Path::new(&folder).is_dir() && Path::new(&process).exists(), format!("it never was there: {said}"))?;
    let status = Command::new("kill").args(["-9", &victim.id().to_string()]).status()?;
    check(status.success(), "not killed")?;
    wait_until(SOON, "its API server to end", || (!is_alive(&process)).then_some(()))?;
    wait_until(SOON, "its folder to go", || (!Path::new(&folder).exists()).then_some(()))?;
    Ok(())
}

/// Whether a process runs; a dead one that nobody has asked for yet does not.
fn is_alive(process: &str) -> bool {
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap_or_default();
    status.contains("State:") && !status.contains("State:\tZ")
}

fn victim(binaries: &Binaries) -> ExitCode {
    let host = Lab::new("victim").host("control").unwrap_or_else(|error| panic!("{error}"));
    let plane = ControlPlane::start(&host, binaries, &Settings::default()).unwrap_or_else(|error| panic!("{error}"));
    println!("folder {}", plane.folder().display());
    println!("server {}", plane.process(Part::ApiServer).map_or(0, lab::Process::id));
    println!("ready");
    std::thread::sleep(Duration::from_secs(600));
    ExitCode::SUCCESS
}
