//! The way to the API server, and the limit of every request.

use std::path::Path;
use std::time::Duration;

use hyper_timeout::TimeoutConnector;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use kube::client::ConfigExt as _;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
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
    /// The API server said no, or could not be reached.
    #[error("{}", text_of(.0))]
    Api(#[from] kube::Error),
    /// No answer in time; whether it was carried out is not known.
    #[error("the API server did not answer within {} s", REQUEST_TIMEOUT.as_secs())]
    Timeout,
}

/// What the API server said, without what else its answer holds.
fn text_of(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        format!("{} ({})", status.message, status.code)
    } else {
        error.to_string()
    }
}

impl RequestError {
    /// The HTTP status of the API server's answer, where it gave one.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Api(kube::Error::Api(status)) => Some(status.code),
            Self::Api(_) | Self::Timeout => None,
        }
    }
}

/// A request within [`REQUEST_TIMEOUT`].
///
/// # Errors
/// [`RequestError`].
pub(crate) async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, RequestError> {
    timeout(REQUEST_TIMEOUT, request).await.map_err(|_| RequestError::Timeout)?.map_err(RequestError::from)
}
