//! The emulator's own certificate authority and the TLS configurations signed by it.
//!
//! `server.rs` takes one `rustls::ServerConfig` per [`CertificateKind`] from here, so that a
//! certificate fault is a choice of configuration and needs no restart. Tests and benchmarks take
//! [`Authority::ca_pem`] as trust anchor and [`Authority::server_pem`] for other TLS servers.
//!
//! No process-wide crypto provider is read or set: every configuration names aws-lc-rs itself.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// The only name a [`CertificateKind::WrongName`] certificate is valid for.
pub const WRONG_NAME: &str = "wrong-name.invalid";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Which certificate a server presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateKind {
    /// For the names asked for, valid from yesterday and for a year.
    Valid,
    /// For the names asked for, but its validity ended yesterday.
    Expired,
    /// Its validity ends in three days.
    Ending,
    /// Its validity begins in a day.
    Early,
    /// In date, but only for [`WRONG_NAME`].
    WrongName,
}

/// A certificate could not be made, or a TLS configuration could not be built from it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The key or the certificate could not be generated or signed; a name that is neither a DNS
    /// name nor an IP address ends here too.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused the certificate, the key or the protocol versions.
    #[error("cannot build the TLS configuration: {0}")]
    Configuration(#[from] rustls::Error),
    /// The CA's PEM file could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file that was to be written.
        path: String,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A certificate authority that lives as long as the value and trusts nobody else.
///
/// Cheap to share behind an `Arc`; several servers of one test can then be verified with one CA.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    pem: String,
}

struct Leaf {
    chain: Vec<CertificateDer<'static>>,
    chain_pem: String,
    key: KeyPair,
}

impl Authority {
    /// Makes a new key (ECDSA P-256) and a self-signed CA certificate for it.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] when the key cannot be generated or used.
    pub fn new() -> Result<Self, TlsError> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "HolySheep emulator CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let now = SystemTime::now();
        params.not_before = (now - 800 * DAY).into();
        params.not_after = (now + 400 * DAY).into();
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let pem = issuer.pem();
        Ok(Self { issuer, pem })
    }

    /// The CA certificate, PEM.
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// The CA certificate, DER, as `rustls::RootCertStore::add` takes it.
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    /// Writes the CA certificate as PEM to `path`, replacing what was there.
    ///
    /// # Errors
    /// [`TlsError::Write`] with the path and the reason.
    pub fn write_ca_pem(&self, path: &Path) -> Result<(), TlsError> {
        std::fs::write(path, &self.pem).map_err(|source| TlsError::Write {
            path: path.display().to_string(),
            source,
        })
    }

    /// A server's TLS configuration: TLS 1.3 and 1.2, ALPN `h2` and `http/1.1`, session tickets.
    ///
    /// `names` are DNS names or IP addresses. Each call makes a new key, certificate and ticket
    /// key, so sessions resume only on servers that share one returned value.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] for a name no certificate can carry, [`TlsError::Configuration`]
    /// when rustls refuses the result.
    pub fn server_config(
        &self,
        names: &[&str],
        kind: CertificateKind,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let leaf = self.leaf(names, kind)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_no_client_auth()
            .with_single_cert(leaf.chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(Arc::new(config))
    }

    /// A valid server certificate chain and its private key, both PEM, for servers that read files
    /// (nginx, HAProxy). HAProxy wants them concatenated.
    ///
    /// # Errors
    /// [`TlsError::Certificate`] for a name no certificate can carry.
    pub fn server_pem(&self, names: &[&str]) -> Result<(String, String), TlsError> {
        self.server_pem_of(names, CertificateKind::Valid)
    }

    /// The same of another kind.
    ///
    /// # Errors
    /// As [`Self::server_pem`].
    pub fn server_pem_of(
        &self,
        names: &[&str],
        kind: CertificateKind,
    ) -> Result<(String, String), TlsError> {
        let leaf = self.leaf(names, kind)?;
        Ok((leaf.chain_pem, leaf.key.serialize_pem()))
    }

    /// A client's TLS configuration that trusts this CA alone and offers `alpn` in that order.
    ///
    /// # Errors
    /// [`TlsError::Configuration`] when rustls refuses the CA certificate.
    pub fn client_config(&self, alpn: &[&str]) -> Result<Arc<rustls::ClientConfig>, TlsError> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca_der().clone())?;
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn leaf(&self, names: &[&str], kind: CertificateKind) -> Result<Leaf, TlsError> {
        let names: &[&str] = match kind {
            CertificateKind::WrongName => &[WRONG_NAME],
            _ => names,
        };
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "HolySheep emulator");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // OpenSSL's strict mode, Python's default since 3.13, refuses a leaf without it.
        params.use_authority_key_identifier_extension = true;
        let now = SystemTime::now();
        let (from, until) = match kind {
            CertificateKind::Valid | CertificateKind::WrongName => (now - DAY, now + 365 * DAY),
            CertificateKind::Expired => (now - 366 * DAY, now - DAY),
            CertificateKind::Ending => (now - 362 * DAY, now + 3 * DAY),
            CertificateKind::Early => (now + DAY, now + 366 * DAY),
        };
        params.not_before = from.into();
        params.not_after = until.into();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Leaf {
            chain_pem: certificate.pem(),
            chain: vec![certificate.into()],
            key,
        })
    }
}

impl std::fmt::Debug for Authority {
    /// Leaves the private key out.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

#[cfg(test)]
mod tests;
