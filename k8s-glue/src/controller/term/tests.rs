//! Tests of what a term does between watches and writes, without an API server.

use axum::http::{Request, Response};
use kube::client::Body;
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
