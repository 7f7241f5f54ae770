//! Tests of the writing against a scripted API server, for what a real one cannot be made to do.

use axum::http::{Request, Response};
use kube::client::Body;
use serde_json::json;
use tokio::sync::mpsc;
use tower::service_fn;

use super::*;
use crate::cluster::configuration_state::OwnPod;

/// What the API server got: `METHOD path?query`; or `given up`, where a request was dropped before its answer.
type Log = mpsc::UnboundedReceiver<String>;

struct Unanswered(mpsc::UnboundedSender<String>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        let _ = self.0.send("given up".to_owned());
    }
}

/// A client whose requests are answered by the script; `None` never comes.
fn scripted(answer: impl Fn(&str) -> Option<Value> + Clone + Send + Sync + 'static) -> (Client, Log) {
    let (sender, log) = mpsc::unbounded_channel();
    let service = service_fn(move |request: Request<Body>| {
        let (answer, sender) = (answer.clone(), sender.clone());
        async move {
            let line = format!("{} {}", request.method(), request.uri());
            let _ = sender.send(line.clone());
            let Some(body) = answer(&line) else {
                let _unanswered = Unanswered(sender);
                return std::future::pending().await;
            };
            Ok::<_, std::convert::Infallible>(Response::new(Body::from(body.to_string().into_bytes())))
        }
    });
    (Client::new(service, "metallb-system"), log)
}

fn scribe(client: &Client) -> Scribe {
    let pod = OwnPod { name: "speaker-1".to_owned(), uid: "uid-1".to_owned() };
    let author =
        Author { kind: ReportKind::Layer2, namespace: "metallb-system".to_owned(), node: "n1".to_owned(), pod };
    let scribe = Scribe::start(author, client.clone(), Writer::without_lease(client.clone()));
    scribe.see_all();
    scribe
}

fn service(number: usize) -> ServiceKey {
    format!("shop/s{number}").parse().unwrap()
}

fn is_list(line: &str) -> bool {
    line.starts_with("GET") && line.contains("limit=")
}

async fn until(log: &mut Log, is_it: impl Fn(&str) -> bool) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(line) = log.recv().await {
        lines.push(line);
        if lines.last().is_some_and(|line| is_it(line)) {
            return lines;
        }
    }
    panic!("the log ended: {lines:?}");
}

fn stored() -> Value {
    json!({"metadata": {"name": "x", "resourceVersion": "7"}})
}

#[tokio::test]
async fn a_list_that_does_not_come_keeps_no_status_waiting() {
    let (client, mut log) = scripted(|line| if line.starts_with("GET") { None } else { Some(stored()) });
    let scribe = scribe(&client);
    scribe.want(&service(1), Some(vec!["eth0".to_owned()]));
    scribe.won(&service(1));
    until(&mut log, is_list).await;
    scribe.want(&service(2), Some(vec!["eth0".to_owned()]));
    let name = scribe.shared.reports().name_of(&service(2));
    let lines = until(&mut log, |line| line.starts_with("PATCH") && line.contains(&name)).await;
    assert!(!lines.iter().any(|line| line == "given up"), "the status came after the end of the list: {lines:?}");
}

// [STAT-4]
#[tokio::test]
async fn many_objects_are_listed_page_by_page_and_those_of_others_taken_away() {
    let object = |name: &str, node: &str, service: &str| {
        json!({
            "metadata": {"name": name, "resourceVersion": "3"},
            "status": {"node": node, "serviceNamespace": "shop", "serviceName": service},
        })
    };
    let page = move |next: &str, items: Value| {
        json!({
            "apiVersion": "metallb.io/v1beta1", "kind": "ServiceL2StatusList",
            "metadata": {"resourceVersion": "9", "continue": next}, "items": items,
        })
    };
    let (client, mut log) = scripted(move |line| {
        Some(match line {
            line if line.contains("continue=second") => page("", json!([object("l2-late", "n2", "s3")])),
            line if is_list(line) => page(
                "second",
                json!([
                    object("l2-other", "n2", "s1"),
                    object("l2-own", "n1", "s1"),
                    object("l2-foreign", "n2", "lost")
                ]),
            ),
            _ => stored(),
        })
    });
    let scribe = scribe(&client);
    for number in 0..20 {
        scribe.want(&service(number), Some(vec!["eth0".to_owned()]));
        scribe.shared.won().insert(service(number));
    }
    scribe.won(&service(0));
    let lines = until(&mut log, |line| line.starts_with("DELETE") && line.contains("l2-late")).await;
    let of_sweep: Vec<&String> = lines.iter().filter(|line| is_list(line) || line.starts_with("DELETE")).collect();
    assert!(of_sweep[0].contains("limit=500") && !of_sweep[0].contains("labelSelector"), "{of_sweep:?}");
    assert!(of_sweep[1].contains("l2-other") && of_sweep[2].contains("continue=second"), "{of_sweep:?}");
    assert_eq!(of_sweep.len(), 4, "{of_sweep:?}");
}
