//! The certificate of the metrics server ([CLI-19], [TLS-2]).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use thiserror::Error;
use tokio::time::sleep;

use super::tls::{TlsError, TlsSettings};

/// Time between two looks at the files. A look costs two reads; a notice of the kernel would miss what is mounted anew.
const LOOK: Duration = Duration::from_secs(10);
/// The certificate's file.
const CERTIFICATE: &str = "tls.crt";
/// The key's file.
const KEY: &str = "tls.key";

/// Why there is no certificate.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("cannot read {}; --metrics-cert-dir needs tls.crt and tls.key", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no such thing in PEM.
    #[error("{} holds no {what} in PEM", path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
    },
    /// Certificate and key do not fit together, or cannot be used.
    #[error(transparent)]
    Unusable(#[from] TlsError),
    /// None could be made.
    #[error("a certificate of our own cannot be made")]
    Own(#[from] rcgen::Error),
}

/// What the two files held.
#[derive(Clone, PartialEq, Eq)]
struct Files {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate in use.
pub struct Certificate {
    source: Option<(PathBuf, Files)>,
    settings: TlsSettings,
    current: RustlsConfig,
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folder = self.source.as_ref().map(|(folder, _)| folder);
        f.debug_struct("Certificate").field("folder", &folder).finish_non_exhaustive()
    }
}

impl Certificate {
    /// That of the folder, or one of our own making.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub async fn open(folder: Option<&Path>, settings: TlsSettings) -> Result<Self, CertificateError> {
        let (config, source) = match folder {
            None => {
                let own = rcgen::generate_simple_self_signed(vec!["ferrule".to_owned()])?;
                let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
                (settings.server(vec![own.cert.der().clone()], key.into())?, None)
            }
            Some(folder) => {
                let files = read(folder).await?;
                (server(folder, &files, &settings)?, Some((folder.to_owned(), files)))
            }
        };
        Ok(Self { source, settings, current: RustlsConfig::from_config(Arc::new(config)) })
    }

    /// Makes TLS of connections, always with the certificate of the moment.
    pub fn acceptor(&self) -> RustlsAcceptor {
        RustlsAcceptor::new(self.current.clone())
    }

    /// Looks at the files again and again. New ones that cannot be used are told once, and the old ones stay.
    pub async fn follow(mut self) {
        while self.source.is_some() {
            sleep(LOOK).await;
            self.look().await;
        }
    }

    async fn look(&mut self) {
        let Some((folder, known)) = &mut self.source else { return };
        // While files are being replaced, they may be missing for a moment.
        let Ok(files) = read(folder).await else { return };
        if files == *known {
            return;
        }
        match server(folder, &files, &self.settings) {
            Ok(config) => {
                self.current.reload_from_config(Arc::new(config));
                tracing::info!(op = "metrics", folder = %folder.display(), "certificate reloaded");
            }
            Err(error) => {
                let error: &(dyn std::error::Error + 'static) = &error;
                tracing::warn!(op = "metrics", error, "new certificate not usable, the old one stays");
            }
        }
        *known = files;
    }
}

async fn read(folder: &Path) -> Result<Files, CertificateError> {
    Ok(Files { certificate: read_file(folder.join(CERTIFICATE)).await?, key: read_file(folder.join(KEY)).await? })
}

async fn read_file(path: PathBuf) -> Result<Vec<u8>, CertificateError> {
    tokio::fs::read(&path).await.map_err(|source| CertificateError::File { path, source })
}

fn server(folder: &Path, files: &Files, settings: &TlsSettings) -> Result<ServerConfig, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&files.certificate).collect();
    let Some(chain) = chain.ok().filter(|chain| !chain.is_empty()) else {
        return Err(CertificateError::Pem { path: folder.join(CERTIFICATE), what: "certificate" });
    };
    let Ok(key) = PrivateKeyDer::from_pem_slice(&files.key) else {
        return Err(CertificateError::Pem { path: folder.join(KEY), what: "private key" });
    };
    Ok(settings.server(chain, key)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::args::TlsArgs;

    fn settings() -> TlsSettings {
        TlsSettings::new(&TlsArgs::default()).unwrap().0
    }

    fn write(folder: &Path, name: &str) {
        let own = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        fs::write(folder.join(CERTIFICATE), own.cert.pem()).unwrap();
        fs::write(folder.join(KEY), own.signing_key.serialize_pem()).unwrap();
    }

    // [CLI-19]
    #[tokio::test]
    async fn a_new_certificate_takes_the_place_of_the_old_one_and_a_bad_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "first");
        let mut certificate = Certificate::open(Some(folder.path()), settings()).await.unwrap();
        let first = certificate.current.get_inner();
        certificate.look().await;
        assert!(Arc::ptr_eq(&first, &certificate.current.get_inner()), "nothing changed");
        write(folder.path(), "second");
        certificate.look().await;
        let second = certificate.current.get_inner();
        assert!(!Arc::ptr_eq(&first, &second));
        fs::write(folder.path().join(CERTIFICATE), "rubbish").unwrap();
        certificate.look().await;
        assert!(Arc::ptr_eq(&second, &certificate.current.get_inner()));
    }

    #[tokio::test]
    async fn what_is_missing_or_wrong_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Certificate::open(Some(folder.path()), settings()).await.unwrap_err().to_string();
        assert!(missing.contains(CERTIFICATE), "{missing}");
        write(folder.path(), "one");
        let key = fs::read(folder.path().join(KEY)).unwrap();
        write(folder.path(), "other");
        fs::write(folder.path().join(KEY), key).unwrap();
        assert!(matches!(
            Certificate::open(Some(folder.path()), settings()).await,
            Err(CertificateError::Unusable(TlsError::Certificate { .. }))
        ));
        fs::write(folder.path().join(KEY), "rubbish").unwrap();
        let rubbish = Certificate::open(Some(folder.path()), settings()).await.unwrap_err().to_string();
        assert!(rubbish.contains(KEY) && rubbish.contains("private key"), "{rubbish}");
    }
}
