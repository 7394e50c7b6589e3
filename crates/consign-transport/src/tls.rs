//! TLS 1.2 and 1.3 (RFC 5246, RFC 8446) with rustls and aws-lc-rs: whom we trust, and why a handshake failed.
//!
//! There is no switch that turns verification off. The authorities of the system are read at the first
//! handshake.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use consign_core::credential::Identity;
use consign_core::host::Host;
use consign_core::target::Origin;
use consign_core::time::Timestamp;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{AlertDescription, CertificateError, ClientConfig, PeerIncompatible, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout_at;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::{NothingSent, Timing, To, now, phase, words};
pub(crate) use alerts::{Alert, Watched};
use verifier::{UnknownIssuer, Verifier};

mod alerts;
mod certificate;
mod verifier;

/// Enough for every origin in use; a lost session costs one full handshake.
const SESSIONS_KEPT: usize = 1_024;
/// Tickets of one destination.
const SESSIONS_OF_ONE_IDENTITY: usize = 8;
/// Names of a wrong certificate that are told.
const NAMES_SHOWN: usize = 5;

/// The oldest TLS version that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMin {
    /// TLS 1.2.
    #[default]
    V12,
    /// TLS 1.3.
    V13,
}

impl TlsMin {
    /// The version in words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::V12 => "TLS 1.2",
            Self::V13 => "TLS 1.3",
        }
    }
}

/// What is wrong with a file of authorities.
#[derive(Debug, thiserror::Error)]
pub enum CaFileFault {
    /// It is not PEM.
    #[error("the file is not in PEM form")]
    NotPem,
    /// There is no `BEGIN CERTIFICATE` in it.
    #[error("the file holds no certificate")]
    Empty,
    /// A certificate, counted from 1, cannot be an authority.
    #[error("certificate {0} in the file cannot be read")]
    Unreadable(usize),
}

/// Reads the certificates of a PEM file and makes sure that each can be trusted as an authority.
pub(crate) fn read_ca_file(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaFileFault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let found = found.map_err(|_| CaFileFault::NotPem)?;
    if found.is_empty() {
        return Err(CaFileFault::Empty);
    }
    let mut roots = RootCertStore::empty();
    for (index, certificate) in found.iter().enumerate() {
        roots.add(certificate.clone()).map_err(|_| CaFileFault::Unreadable(index + 1))?;
    }
    Ok(found)
}

/// Makes secure connections.
pub(crate) struct Tls {
    extra_roots: Vec<CertificateDer<'static>>,
    system_roots: bool,
    min: TlsMin,
    connector: OnceCell<TlsConnector>,
}

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsFault {
    #[error(
        "This server trusts no certificate authority. Install those of the system, or set egress.ca_file."
    )]
    NoRoots,
    #[error("{0} cannot be named in a TLS handshake.")]
    NoServerName(Host),
    #[error("{0} did not finish the secure connection within {limit}.", limit = words(*.1))]
    TimedOut(Host, Duration),
    #[error(
        "{0} uses a certificate from an authority this server does not trust: {1}. Add your company's \
         CA with egress.ca_file."
    )]
    UnknownIssuer(Host, String),
    #[error("The certificate of {0} ended on {1}.")]
    Ended(Host, String),
    #[error("The certificate of {0} is not valid before {1}.")]
    NotYet(Host, String),
    #[error("The certificate is for {1}, not {0}.")]
    WrongName(Host, String),
    #[error("{0} does not speak {label} or later.", label = .1.label())]
    OldVersion(Host, TlsMin),
    #[error("{0} does not speak HTTPS at port {1}.")]
    NotTls(Host, u16),
    #[error("{0} asks for a client certificate. A credential takes one under Client certificate.")]
    WantsCertificate(Host),
    #[error(
        "{0} asks for a client certificate, and none was shown: it takes no key of the kind that this one has."
    )]
    WantsAnother(Host),
    #[error(
        "{0} did not accept the client certificate: {1}. Check that the tool knows this certificate, and that its \
         authorities stand behind it."
    )]
    CertificateRefused(Host, &'static str),
    #[error("The client certificate and its key cannot be used. Enter both again.")]
    CertificateUnusable,
    #[error("{0} ended the connection during the TLS handshake.")]
    Lost(Host),
    #[error("The secure connection to {0} failed: {1}.")]
    Other(Host, rustls::Error),
}

impl From<TlsFault> for NothingSent {
    fn from(fault: TlsFault) -> Self {
        Self::unreachable_tls(fault.to_string())
    }
}

impl Tls {
    pub(crate) fn new(extra_roots: Vec<CertificateDer<'static>>, system_roots: bool, min: TlsMin) -> Self {
        Self { extra_roots, system_roots, min, connector: OnceCell::new() }
    }

    /// What makes connections that show nothing of themselves.
    pub(crate) async fn connector(&self) -> Result<&TlsConnector, TlsFault> {
        self.connector.get_or_try_init(|| self.trusting()).await
    }

    /// What makes connections that show a client certificate. Their sessions are their own: one that is resumed is not
    /// asked for a certificate again.
    pub(crate) async fn connector_showing(&self, identity: &Identity) -> Result<TlsConnector, TlsFault> {
        let mut config = ClientConfig::clone(self.connector().await?.config());
        let shown = certified(identity).ok_or(TlsFault::CertificateUnusable)?;
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
        config.resumption = Resumption::in_memory_sessions(SESSIONS_OF_ONE_IDENTITY);
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// As [`Tls::handshake`], for a protocol that is not HTTP: none is offered.
    pub(crate) async fn handshake_of_mail(
        &self,
        stream: TcpStream,
        origin: &Origin,
        limit: Duration,
        deadline: Instant,
    ) -> Result<TlsStream<TcpStream>, TlsFault> {
        let mut config = ClientConfig::clone(self.connector().await?.config());
        config.alpn_protocols.clear();
        let connector = TlsConnector::from(Arc::new(config));
        let to = To { origin, identity: None };
        self.handshake(&connector, stream, to, limit, deadline, &mut Timing::default()).await
    }

    /// Secures a connection. The certificate must be for the host of the origin, whatever address was
    /// dialled.
    pub(crate) async fn handshake(
        &self,
        connector: &TlsConnector,
        stream: TcpStream,
        to: To<'_>,
        limit: Duration,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<TlsStream<TcpStream>, TlsFault> {
        let host = to.origin.host();
        let name = server_name(host).ok_or_else(|| TlsFault::NoServerName(host.clone()))?;
        let start = now();
        let (end, limit) = phase(limit, deadline);
        let secured = timeout_at(end, connector.connect(name, stream)).await;
        timing.tls = Some(now().saturating_duration_since(start));
        match secured {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(self.explain(to, &error)),
            Err(_) => Err(TlsFault::TimedOut(host.clone(), limit)),
        }
    }

    /// Reads the trusted authorities and makes the configuration of all connections.
    async fn trusting(&self) -> Result<TlsConnector, TlsFault> {
        let mut roots = RootCertStore::empty();
        if self.system_roots {
            roots.add_parsable_certificates(system_roots().await);
        }
        roots.add_parsable_certificates(self.extra_roots.iter().cloned());
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = config(roots, provider, self.min).ok_or(TlsFault::NoRoots)?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// The failure of a handshake in words.
    fn explain(&self, to: To<'_>, error: &io::Error) -> TlsFault {
        let host = to.origin.host().clone();
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return TlsFault::Lost(host);
        };
        match error {
            rustls::Error::InvalidCertificate(fault) => certificate_fault(host, fault, error),
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion)
            | rustls::Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
            ) => TlsFault::OldVersion(host, self.min),
            rustls::Error::InvalidMessage(_) => TlsFault::NotTls(host, to.origin.port()),
            rustls::Error::AlertReceived(alert) => {
                of_certificate(to, *alert).unwrap_or_else(|| TlsFault::Other(host, error.clone()))
            }
            other => TlsFault::Other(host, other.clone()),
        }
    }
}

/// What an alert says of the certificate that was shown, or was not (RFC 8446 section 6.2); `None` for other alerts.
fn of_certificate(to: To<'_>, alert: AlertDescription) -> Option<TlsFault> {
    let host = to.origin.host().clone();
    let why = match (alert, to.identity) {
        (AlertDescription::CertificateRequired, None) => return Some(TlsFault::WantsCertificate(host)),
        (AlertDescription::CertificateRequired, Some(_)) => return Some(TlsFault::WantsAnother(host)),
        (_, None) => return None,
        (alert, Some(_)) => why_refused(alert)?,
    };
    Some(TlsFault::CertificateRefused(host, why))
}

/// What a server says against a certificate that was shown.
const fn why_refused(alert: AlertDescription) -> Option<&'static str> {
    Some(match alert {
        AlertDescription::BadCertificate => "it does not take it for a good one",
        AlertDescription::UnsupportedCertificate => "it is of a kind that it does not support",
        AlertDescription::CertificateRevoked => "it was revoked",
        AlertDescription::CertificateExpired => "it has ended",
        AlertDescription::CertificateUnknown => "it does not say why",
        AlertDescription::UnknownCA => "it does not know its authority",
        AlertDescription::AccessDenied => "it does not let its owner in",
        _ => return None,
    })
}

/// What a connection that was secured and refused before anything was said over it tells of the certificate that it showed,
/// or did not. A server that looked at it and at more says so with another alert.
pub(crate) fn refusal_of_certificate(to: To<'_>, alert: &Alert) -> Option<TlsFault> {
    let alert = alert.get().filter(|alert| *alert != AlertDescription::AccessDenied)?;
    of_certificate(to, alert)
}

/// A certificate with its key, as rustls shows and signs with it.
fn certified(identity: &Identity) -> Option<CertifiedKey> {
    let key = PrivateKeyDer::from_pem_slice(identity.key.expose().as_bytes()).ok()?;
    let key = aws_lc_rs::sign::any_supported_type(&key).ok()?;
    let chain = identity.chain.iter().map(|certificate| CertificateDer::from(certificate.clone()));
    Some(CertifiedKey::new(chain.collect(), key))
}

/// The version of TLS that a connection speaks.
pub(crate) fn protocol_of(stream: &TlsStream<TcpStream>) -> Option<rustls::ProtocolVersion> {
    stream.get_ref().1.protocol_version()
}

/// The last day of the certificate that the other side showed.
pub(crate) fn certificate_ends(stream: &TlsStream<TcpStream>) -> Option<String> {
    certificate::ends(stream.get_ref().1.peer_certificates()?.first()?)
}

fn certificate_fault(host: Host, fault: &CertificateError, error: &rustls::Error) -> TlsFault {
    match fault {
        CertificateError::ExpiredContext { not_after, .. } => TlsFault::Ended(host, day(*not_after)),
        CertificateError::NotValidYetContext { not_before, .. } => TlsFault::NotYet(host, day(*not_before)),
        CertificateError::NotValidForNameContext { presented, .. } => {
            TlsFault::WrongName(host, presented_names(presented))
        }
        CertificateError::Other(other) => match other.0.downcast_ref::<UnknownIssuer>() {
            Some(UnknownIssuer(issuer)) => TlsFault::UnknownIssuer(host, issuer.clone()),
            None => TlsFault::Other(host, error.clone()),
        },
        _ => TlsFault::Other(host, error.clone()),
    }
}

/// The names of a certificate, which come as `DnsName("tool.example.org")`.
fn presented_names(presented: &[String]) -> String {
    let name = |text: &String| {
        let inner = text.split_once('(').map_or(text.as_str(), |(_, rest)| rest.trim_end_matches(')'));
        certificate::printable(inner.trim_matches('"'))
    };
    let shown: Vec<String> = presented.iter().take(NAMES_SHOWN).map(name).collect();
    if shown.is_empty() { "no host".to_owned() } else { shown.join(", ") }
}

fn day(time: UnixTime) -> String {
    let millis = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
    Timestamp::from_millis(millis).day()
}

fn server_name(host: &Host) -> Option<ServerName<'static>> {
    match host {
        Host::Name(name) => ServerName::try_from(name.clone()).ok(),
        Host::V4(address) => Some(ServerName::from(std::net::IpAddr::V4(*address))),
        Host::V6(address) => Some(ServerName::from(std::net::IpAddr::V6(*address))),
    }
}

/// The authorities of the operating system. Unreadable ones are logged and left out.
async fn system_roots() -> Vec<CertificateDer<'static>> {
    let loaded = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await;
    let Ok(loaded) = loaded else { return Vec::new() };
    for error in &loaded.errors {
        tracing::warn!(%error, "some certificate authorities of the system cannot be read");
    }
    loaded.certs
}

/// `None` when nobody would be trusted.
fn config(roots: RootCertStore, provider: Arc<CryptoProvider>, min: TlsMin) -> Option<ClientConfig> {
    let versions: &[_] = match min {
        TlsMin::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsMin::V13 => &[&rustls::version::TLS13],
    };
    let verifier = Verifier::new(roots, Arc::clone(&provider))?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("the provider has cipher suites for TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::in_memory_sessions(SESSIONS_KEPT);
    Some(config)
}
