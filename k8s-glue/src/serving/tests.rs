//! Tests of the servers, over sockets of loopback.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::access::tests::Scripted;
use super::*;
use crate::args::TlsArgs;

/// A port that is free at this moment.
fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

fn render() -> Render {
    Arc::new(|| "metallb_k8s_client_config_loaded_bool 1\n".to_owned())
}

/// Metrics, and a ledger that repeats the question.
fn pages() -> Pages {
    let ledger: Answer =
        Arc::new(|query| if query == "bad" { Err("no".to_owned()) } else { Ok(format!("[\"{query}\"]")) });
    Pages { render: render(), ledger: Some(ledger) }
}

async fn exchange(address: impl tokio::net::ToSocketAddrs, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
}

fn config(metrics_port: u16, probes_port: u16, ready: &Arc<AtomicBool>) -> ServingConfig {
    let ready = Arc::clone(ready);
    ServingConfig {
        metrics_port,
        transport: Transport::Plain,
        render: render(),
        ledger: None,
        probes_port,
        probes_on: ProbesOn::Loopback,
        ready: Arc::new(move || ready.load(Ordering::Relaxed)),
    }
}

// [HTTP-2], [CHTTP-2], [CHTTP-3], [CHTTP-6]
#[tokio::test]
async fn probes_say_that_the_process_lives_and_when_it_is_ready() {
    let ready = Arc::new(AtomicBool::new(false));
    let serving = start(config(0, free_port(), &ready)).await.unwrap();
    assert_eq!(serving.metrics, None);
    let address = serving.probes.unwrap();
    assert!(address.ip().is_loopback());
    for (path, status) in [("/healthz", "200"), ("/livez", "200"), ("/readyz", "503"), ("/metrics", "404")] {
        assert!(exchange(address, &request(path)).await.starts_with(&format!("HTTP/1.1 {status}")), "{path}");
    }
    ready.store(true, Ordering::Relaxed);
    assert!(exchange(address, &request("/readyz")).await.starts_with("HTTP/1.1 200"));
}

// [CHTTP-7]
#[tokio::test]
async fn plain_metrics_are_served_on_both_families() {
    let port = free_port();
    let serving = start(config(port, 0, &Arc::default())).await.unwrap();
    assert_eq!(serving.probes, None);
    let answer = exchange((Ipv4Addr::LOCALHOST, port), &request("/metrics")).await;
    assert!(answer.contains("text/plain; version=0.0.4") && answer.ends_with("loaded_bool 1\n"), "{answer}");
    let answer = exchange((Ipv4Addr::LOCALHOST, port), &request("/ledger")).await;
    assert!(answer.starts_with("HTTP/1.1 404"), "a role without a ledger: {answer}");
    if serving.metrics.is_some_and(|address| address.is_ipv6()) {
        assert!(exchange((Ipv6Addr::LOCALHOST, port), &request("/metrics")).await.starts_with("HTTP/1.1 200"));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_with_its_flag() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = start(config(0, port, &Arc::default())).await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port}")) && error.contains("--health-probe-port"), "{error}");
}

#[tokio::test]
async fn huge_heads_are_refused() {
    let serving = start(config(0, free_port(), &Arc::default())).await.unwrap();
    let huge = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n", "a".repeat(64 * 1024));
    let mut stream = TcpStream::connect(serving.probes.unwrap()).await.unwrap();
    let _ = stream.write_all(huge.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

// [TLS-1], [TLS-2], [HTTP-1]: the certificate of our own making carries a page to whoever may read it, and plain HTTP gets nothing.
#[tokio::test]
async fn guarded_metrics_answer_401_403_500_and_200() {
    let (settings, _) = TlsSettings::new(&TlsArgs::default()).unwrap();
    let certificate = Certificate::open(None, settings).await.unwrap();
    let bound_port = bind("metrics", "--port", ProbesOn::Loopback, 0).unwrap();
    let address = bound_port.address;
    let routes = guarded_routes(Access::new(Scripted::default()), pages());
    let server = bound_port.server().unwrap().acceptor(certificate.acceptor().acceptor(limits::Limited::default()));
    let served = tokio::spawn(limits::bound(server).serve(routes.into_make_service()));
    for (token, status) in [("stranger", "401"), ("guest", "403"), ("away", "500"), ("scraper", "200")] {
        let head =
            format!("GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        let answer = over_tls(address, head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{token}: {answer}");
        assert_eq!(answer.contains("loaded_bool 1"), token == "scraper", "{answer}");
    }
    for (path, token, status) in [
        ("/ledger?service=shop/web", "stranger", "401"),
        ("/ledger?service=shop/web", "guest", "403"),
        ("/ledger?service=shop/web", "scraper", "200"),
        ("/ledger?bad", "scraper", "400"),
    ] {
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n");
        let answer = over_tls(address, head).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path} {token}: {answer}");
        assert_eq!(answer.contains(r#"["service=shop/web"]"#), status == "200", "{answer}");
    }
    assert!(!exchange(address, &request("/metrics")).await.contains("HTTP/1.1 200"));
    served.abort();
}

/// One request over TLS, with whatever certificate the server shows.
async fn over_tls(address: SocketAddr, request: String) -> String {
    let exchange = move || {
        use std::io::{Read as _, Write as _};
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            .with_no_client_auth();
        let mut client = rustls::ClientConnection::new(Arc::new(config), "ferrule".try_into().unwrap()).unwrap();
        let mut socket = std::net::TcpStream::connect(address).unwrap();
        let mut stream = rustls::Stream::new(&mut client, &mut socket);
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // A server that closes without a farewell has said all it had to say.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(exchange).await.unwrap()
}

/// Takes any certificate, as scrapers of a self-signed one do.
#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl rustls::client::danger::ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &rustls::pki_types::CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
