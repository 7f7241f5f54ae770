//! Reading metrics as Prometheus does: HTTPS with a bearer token, whatever certificate the server shows.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use lab::Host;
use lab::control_plane::Kubectl;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, Stream};

/// The port of metrics.
const PORT: u16 = 9_120;
/// How long one answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The status line's number and the body of `GET /metrics`, asked from a host.
pub(crate) fn metrics(from: &Host, address: IpAddr, token: Option<&str>) -> Result<(u16, String), Box<dyn Error>> {
    let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n")).unwrap_or_default();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: ferrule\r\n{authorization}Connection: close\r\n\r\n");
    let answer =
        from.inside(|| exchange(SocketAddr::new(address, PORT), &request).map_err(|error| error.to_string()))??;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer without an end of its head")?;
    let status = head.split_whitespace().nth(1).ok_or("an answer without a status")?.parse()?;
    Ok((status, body.to_owned()))
}

/// The token of an account, as its kubeconfig has it.
pub(crate) fn token(account: &Kubectl) -> Result<String, Box<dyn Error>> {
    let text = std::fs::read_to_string(account.kubeconfig())?;
    let behind = text.split_once("token:").ok_or("a kubeconfig without a token")?.1;
    let is_of_token = |sign: char| sign.is_ascii_alphanumeric() || "-_.".contains(sign);
    let token: String = behind.trim_start().chars().take_while(|sign| is_of_token(*sign)).collect();
    if token.is_empty() { Err("a kubeconfig with an empty token".into()) } else { Ok(token) }
}

/// Series by name and labels, as the text has them.
pub(crate) fn series(page: &str) -> BTreeMap<String, f64> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?)))
        .collect()
}

fn exchange(address: SocketAddr, request: &str) -> Result<String, Box<dyn Error>> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let verifier = Arc::new(AnyCertificate(provider));
    let config = config.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), "ferrule".try_into()?)?;
    let mut socket = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
    socket.set_read_timeout(Some(ANSWER_WITHIN))?;
    let mut stream = Stream::new(&mut client, &mut socket);
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8(answer)?)
}

#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
