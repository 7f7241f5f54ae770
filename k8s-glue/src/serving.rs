//! What a role serves: metrics and its ledger by HTTPS to those who may read metrics, and probes.
//!
//! | file | what it does |
//! |---|---|
//! | `access` | who may read metrics: asks the API server, remembers the answers for a while |
//! | `certificate` | the certificate: from a folder, read again when it changes, or of our own making |
//! | `limits` | what one client may take: connections, and time for each |
//! | `tls` | versions, cipher suites and groups, as the flags of upstream name them |
//!
//! Source: [HTTP-1], [HTTP-2], [CHTTP-1] to [CHTTP-8], [TLS-1], [TLS-2].

pub(crate) mod access;
pub mod certificate;
pub(crate) mod limits;
pub mod tls;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use kube::Client;
use thiserror::Error;
use tokio::task::JoinSet;

use crate::args::RoleArgs;
use crate::metrics::text;

use access::{Access, ApiServer, Denial, Reviewer};
use certificate::{Certificate, CertificateError};
use tls::{TlsError, TlsSettings};

/// The path of the metrics.
const METRICS: &str = "/metrics";
/// The path of the ledger.
const LEDGER: &str = "/ledger";

/// Gives the page of metrics of this moment.
pub type Render = Arc<dyn Fn() -> String + Send + Sync>;
/// Answers the query of a URL with JSON, or says what is wrong with the query.
pub type Answer = Arc<dyn Fn(&str) -> Result<String, String> + Send + Sync>;
/// Says whether the role is ready; never depends on what users configured ([CHTTP-6]).
pub type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// Where probes are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProbesOn {
    /// All addresses of both families: the controller.
    Everywhere,
    /// 127.0.0.1 alone: the speaker, whose addresses are the node's ([HTTP-2]).
    Loopback,
}

/// Why nothing is served.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServingError {
    /// A flag of TLS cannot be carried out.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The port cannot be had.
    #[error("cannot serve {what} on {address}; choose another port with {flag}")]
    Bind {
        /// What is served.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// The flag of the port.
        flag: &'static str,
        /// Why.
        source: io::Error,
    },
}

/// How metrics are carried, and who may read them.
#[derive(Clone)]
pub enum Transport {
    /// Plain HTTP, to anybody.
    Plain,
    /// HTTPS, to those whom the API server lets.
    Tls {
        /// Versions, suites, groups.
        settings: TlsSettings,
        /// The folder of the certificate; `None`: one of our own making.
        folder: Option<PathBuf>,
        /// The API server.
        client: Client,
    },
}

/// What is served. A port of 0 is switched off.
#[derive(Clone)]
pub struct ServingConfig {
    /// Port of the metrics, on all addresses.
    pub metrics_port: u16,
    /// How metrics are carried.
    pub transport: Transport,
    /// The page of metrics.
    pub render: Render,
    /// What `/ledger` answers, beside the metrics and to the same accounts; `None`: there is no such page.
    pub ledger: Option<Answer>,
    /// Port of the probes.
    pub probes_port: u16,
    /// Where probes are answered.
    pub probes_on: ProbesOn,
    /// Whether the role is ready.
    pub ready: Ready,
}

impl fmt::Debug for ServingConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metrics, probes) = (self.metrics_port, self.probes_port);
        f.debug_struct("ServingConfig")
            .field("metrics_port", &metrics)
            .field("probes_port", &probes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Tls { .. } => "Tls",
        })
    }
}

impl ServingConfig {
    /// What the flags ask for; what of them has no effect is logged.
    ///
    /// # Errors
    /// [`ServingError::Tls`].
    pub fn from_role(
        role: &RoleArgs,
        client: &Client,
        probes_on: ProbesOn,
        render: Render,
        ready: Ready,
    ) -> Result<Self, ServingError> {
        let (settings, notes) = TlsSettings::new(&role.tls)?;
        for note in notes {
            tracing::warn!(op = "startup", reason = %note, "flag without full effect");
        }
        let folder = role.tls.metrics_cert_dir.as_deref().map(PathBuf::from);
        let transport = if role.metrics_plain_http {
            Transport::Plain
        } else {
            Transport::Tls { settings, folder, client: client.clone() }
        };
        let (metrics_port, probes_port) = (role.port, role.health_probe_port);
        Ok(Self { metrics_port, transport, render, ledger: None, probes_port, probes_on, ready })
    }
}

/// Servers; they end when the value is dropped.
#[derive(Debug)]
pub struct Serving {
    /// Where metrics are served.
    pub metrics: Option<SocketAddr>,
    /// Where probes are answered.
    pub probes: Option<SocketAddr>,
    tasks: JoinSet<()>,
}

/// Starts what is asked for; when it returns, the ports are open.
///
/// # Errors
/// [`ServingError`].
pub async fn start(config: ServingConfig) -> Result<Serving, ServingError> {
    let mut serving = Serving { metrics: None, probes: None, tasks: JoinSet::new() };
    if config.probes_port != 0 {
        let listener = bind("probes", "--health-probe-port", config.probes_on, config.probes_port)?;
        serving.start_probes(listener, config.ready)?;
    }
    if config.metrics_port != 0 {
        let listener = bind("metrics", "--port", ProbesOn::Everywhere, config.metrics_port)?;
        let pages = Pages { render: config.render, ledger: config.ledger };
        serving.start_metrics(listener, config.transport, pages).await?;
    }
    Ok(serving)
}

impl Serving {
    fn start_probes(&mut self, listener: Bound, ready: Ready) -> Result<(), ServingError> {
        let routes = probe_routes(ready);
        self.probes = Some(listener.address);
        let server = listener.server()?.acceptor(limits::Limited::default());
        self.tasks.spawn(async move { ended("probes", limits::bound(server).serve(routes.into_make_service()).await) });
        Ok(())
    }

    async fn start_metrics(&mut self, listener: Bound, transport: Transport, pages: Pages) -> Result<(), ServingError> {
        self.metrics = Some(listener.address);
        let limited = limits::Limited::default();
        match transport {
            Transport::Plain => {
                let routes = plain_routes(pages);
                let server = listener.server()?.acceptor(limited);
                self.tasks.spawn(async move {
                    ended("metrics", limits::bound(server).serve(routes.into_make_service()).await);
                });
            }
            Transport::Tls { settings, folder, client } => {
                let certificate = Certificate::open(folder.as_deref(), settings).await?;
                let routes = guarded_routes(Access::new(ApiServer::new(client)), pages);
                let acceptor = certificate.acceptor().handshake_timeout(limits::HANDSHAKE).acceptor(limited);
                let server = listener.server()?.acceptor(acceptor);
                self.tasks.spawn(async move {
                    ended("metrics", limits::bound(server).serve(routes.into_make_service()).await);
                });
                self.tasks.spawn(certificate.follow());
            }
        }
        Ok(())
    }
}

fn ended(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        let error: &(dyn std::error::Error + 'static) = &error;
        tracing::error!(op = what, error, "serving ended");
    }
}

/// What there is to read beside the probes.
#[derive(Clone)]
struct Pages {
    render: Render,
    ledger: Option<Answer>,
}

impl Pages {
    fn page(&self, url: &Uri) -> Response {
        if url.path() == METRICS {
            return ([(CONTENT_TYPE, text::CONTENT_TYPE)], (self.render)()).into_response();
        }
        match self.ledger.as_ref().map(|ledger| ledger(url.query().unwrap_or_default())) {
            Some(Ok(json)) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
            Some(Err(reason)) => (StatusCode::BAD_REQUEST, format!("{reason}\n")).into_response(),
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }
}

fn plain_routes(pages: Pages) -> Router {
    let answer = move |url: Uri| async move { pages.page(&url) };
    Router::new().route(METRICS, get(answer.clone())).route(LEDGER, get(answer))
}

fn probe_routes(ready: Ready) -> Router {
    let readiness = move || async move {
        if ready() { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready") }
    };
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/livez", get(|| async { "ok" }))
        .route("/readyz", get(readiness))
}

/// The pages for those who may read metrics ([HTTP-1], [CHTTP-1]).
fn guarded_routes<R: Reviewer>(access: Access<R>, pages: Pages) -> Router {
    let state = Arc::new((access, pages));
    Router::new().route(METRICS, get(guarded::<R>)).route(LEDGER, get(guarded::<R>)).with_state(state)
}

async fn guarded<R: Reviewer>(
    State(state): State<Arc<(Access<R>, Pages)>>,
    method: Method,
    url: Uri,
    headers: HeaderMap,
) -> Response {
    let (access, pages) = state.as_ref();
    match access.check(&headers, &method).await {
        Ok(()) => pages.page(&url),
        Err(Denial::Unauthenticated) => {
            (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], "no valid bearer token\n").into_response()
        }
        Err(Denial::Forbidden) => {
            (StatusCode::FORBIDDEN, "the account may not get the non-resource URL /metrics\n").into_response()
        }
        Err(Denial::Review) => (StatusCode::INTERNAL_SERVER_ERROR, "the API server cannot be asked\n").into_response(),
    }
}

/// An open port.
#[derive(Debug)]
struct Bound {
    what: &'static str,
    flag: &'static str,
    address: SocketAddr,
    listener: TcpListener,
}

impl Bound {
    fn server(self) -> Result<axum_server::Server<SocketAddr>, ServingError> {
        let Self { what, flag, address, listener } = self;
        axum_server::from_tcp(listener).map_err(|source| ServingError::Bind { what, address, flag, source })
    }
}

/// Opens a port: on loopback, or on all addresses of both families, and of IPv4 alone where the host has no IPv6 ([CHTTP-7]).
fn bind(what: &'static str, flag: &'static str, on: ProbesOn, port: u16) -> Result<Bound, ServingError> {
    let everywhere = [SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))];
    let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (first, opened) = match on {
        ProbesOn::Everywhere => (everywhere[0], TcpListener::bind(&everywhere[..])),
        ProbesOn::Loopback => (loopback, TcpListener::bind(loopback)),
    };
    let failed = |source| ServingError::Bind { what, address: first, flag, source };
    let listener = opened.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Bound { what, flag, address, listener })
}

#[cfg(test)]
mod tests;
