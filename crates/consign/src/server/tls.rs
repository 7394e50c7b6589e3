//! Built-in TLS, 1.2 and 1.3 (RFC 5246, RFC 8446), with the one crypto provider. A renewed certificate is taken up
//! without a restart.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::ServerOptions;

/// The files are looked at no more often, and only when somebody connects.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What accepts TLS connections, with the certificate that the files hold now.
pub(super) struct Tls {
    chain: PathBuf,
    key: PathBuf,
    present: Mutex<Present>,
}

struct Present {
    acceptor: TlsAcceptor,
    stamp: Stamp,
    looked: Instant,
}

/// What changes when a file is written again or replaced.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl Tls {
    /// `None` when no certificate is configured.
    ///
    /// # Errors
    /// When certificate or key cannot be used.
    pub(super) fn new(options: &ServerOptions, now: Instant) -> io::Result<Option<Self>> {
        let (Some(chain), Some(key)) = (&options.tls_cert_file, &options.tls_key_file) else {
            return Ok(None);
        };
        // The stamp first: what is written in between is read again.
        let stamp = stamp(chain, key);
        let present = Present { acceptor: acceptor(chain, key)?, stamp, looked: now };
        Ok(Some(Self { chain: chain.clone(), key: key.clone(), present: Mutex::new(present) }))
    }

    /// For the next connection. Files that do not fit each other, as in the middle of a renewal, are left alone until
    /// they change again.
    pub(super) fn acceptor(&self, now: Instant) -> TlsAcceptor {
        let mut present = self.present.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(present.looked) >= LOOK_EVERY {
            present.looked = now;
            let stamp = stamp(&self.chain, &self.key);
            if stamp != present.stamp {
                present.stamp = stamp;
                match acceptor(&self.chain, &self.key) {
                    Ok(acceptor) => {
                        tracing::info!("the certificate of built-in TLS was renewed");
                        present.acceptor = acceptor;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the changed certificate is not used; the one before stays");
                    }
                }
            }
        }
        present.acceptor.clone()
    }
}

fn stamp(chain: &Path, key: &Path) -> Stamp {
    [chain, key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn acceptor(chain: &Path, key: &Path) -> io::Result<TlsAcceptor> {
    let certificates = read(chain, "server.tls.cert_file", |pem| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
        chain.ok().filter(|chain| !chain.is_empty())
    })?;
    let key = read(key, "server.tls.key_file", |pem| PrivateKeyDer::from_pem_slice(pem).ok())?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| {
            io::Error::other(format!("server.tls: certificate and key cannot be used: {error}"))
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read<T>(path: &Path, option: &str, parse: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let wrong = |why: String| io::Error::other(format!("{option} {} cannot be used: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    parse(&pem).ok_or_else(|| wrong("it is not in PEM form".to_owned()))
}

#[cfg(test)]
mod tests;
