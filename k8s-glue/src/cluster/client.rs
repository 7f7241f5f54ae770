//! The way to the API server, and the limit of every request.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use lbcore::time::Timestamp;
use thiserror::Error;
use tokio::time::timeout;
use tower::{BoxError, ServiceBuilder};

/// A request other than a watch is given up after this time: the lease is renewed within its own deadline even where one hangs.
pub(crate) const REQUEST_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection is given up after this time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// A watch may say nothing for minutes. After so long without an octet the other end is asked whether it is there,
const SILENCE: Duration = Duration::from_secs(10);
/// again after so long without an answer,
const ASK_AGAIN: Duration = Duration::from_secs(3);
/// and so many times: 19 s after it was cut, a connection has ended, and another is tried.
const ASKED_AT_MOST: u32 = 3;

/// Why the API server could not be found.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The file named cannot be used.
    #[error("kubeconfig {path} cannot be used")]
    Kubeconfig {
        /// The file.
        path: String,
        /// Why.
        source: Box<KubeconfigError>,
    },
    /// Neither a file nor a Pod's service account.
    #[error("there is no way to an API server: give --kubeconfig FILE, or run as a Pod")]
    Nowhere(#[source] Box<kube::config::InferConfigError>),
    /// The configuration cannot be turned into a client.
    #[error("the client of the API server cannot be made")]
    Client(#[source] Box<kube::Error>),
}

/// Makes a client: by the file given, else by `KUBECONFIG` or the service account of the Pod.
///
/// # Errors
/// [`ConnectError`]; whether the API server answers is not tried.
pub(crate) async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        None => Config::infer().await.map_err(|error| ConnectError::Nowhere(Box::new(error)))?,
        Some(path) => {
            let failed =
                |source| ConnectError::Kubeconfig { path: path.display().to_string(), source: Box::new(source) };
            let file = Kubeconfig::read_from(path).map_err(failed)?;
            Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(failed)?
        }
    };
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.write_timeout = Some(REQUEST_TIMEOUT);
    // Each caller knows better when to try again, and whether it still may.
    config.default_retry = false;
    client_of(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

/// What [`Client::try_from`] makes, with connections that notice when the other end is gone without a word: a machine that lost power, a
/// firewall that forgot. Without that a watch would end by its own limit alone, after 295 s.
fn client_of(config: Config) -> Result<Client, kube::Error> {
    if config.proxy_url.is_some() {
        // It says which proxies it can do.
        return Client::try_from(config);
    }
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_keepalive(Some(SILENCE));
    connector.set_keepalive_interval(Some(ASK_AGAIN));
    connector.set_keepalive_retries(Some(ASKED_AT_MOST));
    connector.set_tcp_user_timeout(Some(SILENCE + ASK_AGAIN * ASKED_AT_MOST));
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(connector)?);
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_write_timeout(config.write_timeout);
    let http = Http::builder(TokioExecutor::new()).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(http);
    Ok(Client::new(service, config.default_namespace))
}

/// Why a request did not succeed.
#[derive(Debug, Error)]
pub enum RequestError {
    /// The API server said no, or could not be reached. What it said stands in the text, whole: the error of the library below has no more
    /// to say, and says it as a program's value.
    #[error("{}", text_of(.0))]
    Api(Box<kube::Error>),
    /// No answer in time; whether it was carried out is not known.
    #[error("the API server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

impl From<kube::Error> for RequestError {
    fn from(error: kube::Error) -> Self {
        Self::Api(Box::new(error))
    }
}

/// What the API server said, without what else its answer holds; or what keeps us from it, with its causes.
pub(crate) fn text_of(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return format!("{} ({})", status.message, status.code);
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}

impl RequestError {
    /// The HTTP status of the API server's answer, where it gave one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Api(error) => status_of(error),
            Self::Timeout => None,
        }
    }
}

/// The HTTP status of the API server's answer, where it gave one.
pub(crate) fn status_of(error: &kube::Error) -> Option<u16> {
    if let kube::Error::Api(status) = error { Some(status.code) } else { None }
}

/// A request within [`REQUEST_TIMEOUT`].
///
/// # Errors
/// [`RequestError`].
pub(crate) async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RequestError> {
    timeout(REQUEST_TIMEOUT, request).await.map_err(|_| RequestError::Timeout)?.map_err(RequestError::from)
}

/// An account that may do nothing, for as long as it takes to tell a rule that is missing from an API server that has not read its rules
/// yet: it answers 401 and 403 to everybody for a moment after its start.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Patience {
    refused_since: Option<Timestamp>,
}

impl Patience {
    /// Refusals are not believed for so long.
    const LIMIT: Duration = Duration::from_secs(30);

    /// Whether an error is worth another try; one that says no for good is not.
    pub(crate) fn is_worth_a_try(&mut self, error: &RequestError, now: Timestamp) -> bool {
        match error.status() {
            Some(401 | 403) => now.since(*self.refused_since.get_or_insert(now)) < Self::LIMIT,
            None | Some(429 | 500..) => {
                self.refused_since = None;
                true
            }
            Some(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use axum::http::Request;

    use super::*;

    fn refused(code: u16) -> RequestError {
        let status = kube::core::Status::failure("pods \"x\" not found", "NotFound").with_code(code);
        kube::Error::Api(status.boxed()).into()
    }

    #[test]
    fn an_error_is_told_in_words_and_once() {
        let error = anyhow::Error::from(refused(404)).context("Pod a/x cannot be read");
        assert_eq!(format!("{error:#}"), "Pod a/x cannot be read: pods \"x\" not found (404)");
    }

    #[test]
    fn an_api_server_that_boots_refuses_for_a_moment() {
        let at = |seconds: u64| Timestamp::from_micros(seconds * 1_000_000);
        let mut patience = Patience::default();
        assert!(patience.is_worth_a_try(&refused(403), at(10)) && patience.is_worth_a_try(&refused(401), at(39)));
        assert!(!patience.is_worth_a_try(&refused(403), at(40)));
        assert!(patience.is_worth_a_try(&RequestError::Timeout, at(50)));
        assert!(patience.is_worth_a_try(&refused(403), at(60)), "it was away in between");
        assert!(!patience.is_worth_a_try(&refused(404), at(61)));
    }

    // A connection that dies without a word is found by its keepalive timer alone.
    #[test]
    fn connections_are_asked_whether_they_are_still_there() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut config = Config::new(format!("http://{address}").parse().unwrap());
        config.accept_invalid_certs = true;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async { client_of(config).unwrap() });
        let asking =
            runtime.spawn(async move { client.request_text(Request::get("/").body(Vec::new()).unwrap()).await });
        let (_server, _) = listener.accept().unwrap();
        // The socket whose peer is the listener: fields 2 and 5 of its line are that peer, and its timer (2: keepalive).
        let peer = format!("0100007F:{:04X}", address.port());
        let timer = || {
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let fields = table.lines().map(|line| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            fields.filter(|fields| fields.get(2) == Some(&peer)).find_map(|fields| fields.get(5).cloned())
        };
        let found = (0..100).any(|_| {
            std::thread::sleep(Duration::from_millis(20));
            timer().is_some_and(|timer| timer.starts_with("02:"))
        });
        asking.abort();
        runtime.shutdown_background();
        assert!(found, "{:?}", timer());
    }
}
