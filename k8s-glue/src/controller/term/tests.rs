//! Tests of what a term does between watches and writes, without an API server.

use axum::http::{Request, Response};
use kube::client::Body;
use serde_json::{Map, Value, json};
use tower::service_fn;

use super::*;
use crate::cluster::configuration_state::Component;
use crate::cluster::events::Reporter;
use crate::cluster::watch::Seen;
use crate::cluster::write::Authority;

/// A term that sees what it is given, and whose requests are never answered.
fn term(authority: &Arc<Authority>) -> Term {
    let service = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, std::io::Error>>());
    let client = Client::new(service, "metallb-system");
    let writer = Writer::new(client.clone(), Arc::clone(authority));
    let reporter = Reporter { component: "metallb-controller", instance: "c1".to_owned() };
    let context = TermContext {
        namespace: "metallb-system".to_owned(),
        class: None,
        events: EventSink::start(writer.clone(), reporter),
        writer,
        speaking: Speaking {
            component: Component::Controller,
            namespace: "metallb-system".to_owned(),
            pod: None,
            remark: String::new(),
        },
        is_ready: Arc::default(),
        measures: Arc::default(),
        ledger: Arc::new(Mutex::new(MemoryLedger::new(10))),
    };
    Term::new(Watches::start(&client, Vec::new()), context)
}

fn see(term: &mut Term, seen: Seen) {
    for touched in term.world.fold(seen) {
        term.take(touched);
    }
}

fn pool_name() -> ObjectName {
    ObjectName { namespace: "metallb-system".to_owned(), name: "p".to_owned() }
}

fn pool(version: &str, status: &Value) -> Seen {
    let mut object = Map::new();
    object.insert("apiVersion".to_owned(), "metallb.io/v1beta1".into());
    object.insert("kind".to_owned(), "IPAddressPool".into());
    let metadata = json!({"name": "p", "namespace": "metallb-system", "resourceVersion": version});
    object.insert("metadata".to_owned(), metadata);
    object.insert("spec".to_owned(), json!({"addresses": ["192.0.2.0/28"]}));
    object.insert("status".to_owned(), status.clone());
    Seen::Object(Kind::IpAddressPool, pool_name(), object)
}

fn is_hot(term: &Term) -> bool {
    let now = now();
    term.deadline(now).is_some_and(|at| at <= now)
}

// [COMPAT-8]
#[tokio::test]
async fn a_cluster_without_the_kind_configuration_state_does_not_keep_the_loop_awake() {
    let mut term = term(&Arc::new(Authority::unlimited()));
    for kind in NEEDED.into_iter().chain(Kind::OPTIONAL) {
        see(&mut term, Seen::Complete(kind));
    }
    term.act().unwrap();
    assert!(term.state_report.verdict().is_some() && !is_hot(&term));
}

// [POOLST-1]
#[tokio::test]
async fn a_pool_that_is_made_anew_as_it_was_gets_its_status() {
    let mut term = term(&Arc::new(Authority::unlimited()));
    let said = json!({"assignedIPv4": 0, "assignedIPv6": 0, "availableIPv4": 16, "availableIPv6": 0});
    see(&mut term, pool("1", &said));
    for kind in NEEDED.into_iter().chain(Kind::OPTIONAL) {
        see(&mut term, Seen::Complete(kind));
    }
    term.act().unwrap();
    assert_eq!((term.writes.len(), term.pool_statuses.poll_timeout()), (0, None));
    see(&mut term, Seen::Gone(Kind::IpAddressPool, pool_name()));
    see(&mut term, pool("2", &json!({})));
    term.act().unwrap();
    assert!(term.pool_statuses.poll_timeout().is_some(), "nobody looks at it");
}

#[tokio::test]
async fn a_right_to_write_that_comes_back_is_used() {
    let authority = Arc::new(Authority::none());
    let term = term(&authority);
    let regained = term.until_writing();
    let renewal = async {
        tokio::task::yield_now().await;
        authority.set(Some(Timestamp::from_micros(u64::MAX)));
    };
    tokio::join!(regained, renewal);
    assert!(term.context.writer.may_write());
}
