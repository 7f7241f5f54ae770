//! Throw-away certificates: an authority, the API server's certificate, one for each user, and the key that signs tokens.

use std::net::IpAddr;
use std::path::PathBuf;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use crate::error::{Error, Result};
use crate::folder::Folder;

/// Names by which the API server is called inside a cluster, and on its own host.
const SERVER_NAMES: [&str; 4] = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];

/// The authority of one control plane, with the folder that its files are in.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(crate) certificate: PathBuf,
}

/// A certificate and its key, as files.
#[derive(Clone, Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Authority {
    /// Makes an authority and writes its certificate (`ca.crt`) into the folder.
    pub(crate) fn make(folder: &Folder) -> Result<Self> {
        let mut parameters = CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
        parameters.distinguished_name.push(DnType::CommonName, "laboratory");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = parameters.self_signed(&key).map_err(|error| failed(&error))?;
        let path = folder.write("ca.crt", &certificate.pem())?;
        Ok(Self { issuer: Issuer::new(parameters, key), certificate: path })
    }

    /// The API server's certificate, good for these addresses besides loopback.
    pub(crate) fn server(&self, folder: &Folder, addresses: &[IpAddr]) -> Result<Pair> {
        let names = SERVER_NAMES.iter().map(ToString::to_string);
        let loopback = ["127.0.0.1".to_owned(), "::1".to_owned()];
        let addresses = addresses.iter().map(ToString::to_string);
        let mut parameters = CertificateParams::new(names.chain(loopback).chain(addresses).collect::<Vec<_>>())
            .map_err(|error| failed(&error))?;
        parameters.distinguished_name.push(DnType::CommonName, "kube-apiserver");
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(folder, "apiserver", &parameters)
    }

    /// A user's certificate: the name is the user, the organisation a group of it.
    pub(crate) fn client(&self, folder: &Folder, file: &str, user: &str, group: Option<&str>) -> Result<Pair> {
        let mut parameters = CertificateParams::new(Vec::new()).map_err(|error| failed(&error))?;
        parameters.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            parameters.distinguished_name.push(DnType::OrganizationName, group);
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(folder, file, &parameters)
    }

    fn sign(&self, folder: &Folder, file: &str, parameters: &CertificateParams) -> Result<Pair> {
        let key = KeyPair::generate().map_err(|error| failed(&error))?;
        let certificate = parameters.signed_by(&key, &self.issuer).map_err(|error| failed(&error))?;
        Ok(Pair {
            certificate: folder.write(&format!("{file}.crt"), &certificate.pem())?,
            key: folder.write(&format!("{file}.key"), &key.serialize_pem())?,
        })
    }
}

/// A key for tokens of ServiceAccounts: the private half signs, the public half verifies.
pub(crate) fn token_key(folder: &Folder) -> Result<Pair> {
    let key = KeyPair::generate().map_err(|error| failed(&error))?;
    Ok(Pair {
        certificate: folder.write("tokens.pub", &key.public_key_pem())?,
        key: folder.write("tokens.key", &key.serialize_pem())?,
    })
}

fn failed(error: &rcgen::Error) -> Error {
    Error::system("making a certificate", std::io::Error::other(error.to_string()))
}
