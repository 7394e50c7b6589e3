//! Built-in TLS, 1.2 and 1.3 (RFC 5246, RFC 8446), with the one crypto provider.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::ServerOptions;

/// What accepts TLS connections; `None` when no certificate is configured.
pub(super) fn acceptor(options: &ServerOptions) -> io::Result<Option<TlsAcceptor>> {
    let (Some(chain), Some(key)) = (&options.tls_cert_file, &options.tls_key_file) else { return Ok(None) };
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
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn read<T>(path: &Path, option: &str, parse: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let wrong = |why: String| io::Error::other(format!("{option} {} cannot be used: {why}", path.display()));
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    parse(&pem).ok_or_else(|| wrong("it is not in PEM form".to_owned()))
}
