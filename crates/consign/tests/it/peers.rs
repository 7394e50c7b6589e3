//! The other side: a scriptable HTTPS tool, nginx, authorization servers, and a browser. One authority signs
//! for all of a process.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) use nginx::Nginx;
pub(crate) use tool::{Answer, Asked, Tool};

pub(crate) mod assertion_verifiers;
pub(crate) mod authorization_server;
pub(crate) mod browser;
pub(crate) mod company_proxy;
pub(crate) mod mail_server;
pub(crate) mod nginx;
pub(crate) mod refusing;
pub(crate) mod rekeying;
pub(crate) mod relay;
pub(crate) mod sshd;
pub(crate) mod token_endpoint;
pub(crate) mod tool;
pub(crate) mod turncoat;

/// Signs the certificates of all tools here; the product trusts it through `egress.ca_file`.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, PEM and DER.
pub(crate) struct Identity {
    pub(crate) certificate: rcgen::Certificate,
    pub(crate) key: KeyPair,
}

/// The authority of this process.
pub(crate) fn authority() -> &'static Authority {
    static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Authority of the tests");
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    });
    &AUTHORITY
}

impl Authority {
    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for this machine's loopback address.
    pub(crate) fn identity(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        Identity { certificate: params_for(loopback()).signed_by(&key, &self.0).unwrap(), key }
    }

    /// The same, which ends on this day.
    pub(crate) fn identity_until(&self, year: i32, month: u8, day: u8) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params_for(loopback());
        params.not_after = rcgen::date_time_ymd(year, month, day);
        Identity { certificate: params.signed_by(&key, &self.0).unwrap(), key }
    }

    pub(crate) fn root(&self) -> CertificateDer<'static> {
        let certificate: &rcgen::Certificate = self.0.as_ref();
        certificate.der().clone()
    }

    /// A certificate for somebody else.
    pub(crate) fn identity_of_another(&self) -> Identity {
        let key = KeyPair::generate().unwrap();
        let name = SanType::DnsName("another.example".try_into().expect("it is ASCII"));
        Identity { certificate: params_for(name).signed_by(&key, &self.0).unwrap(), key }
    }
}

/// A certificate for this machine's loopback address that nobody but itself vouches for.
pub(crate) fn self_signed() -> Identity {
    let key = KeyPair::generate().unwrap();
    Identity { certificate: params_for(loopback()).self_signed(&key).unwrap(), key }
}

fn loopback() -> SanType {
    SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

fn params_for(name: SanType) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(name);
    params
}

/// TLS with a peer, by somebody who trusts the authority and nobody else.
pub(crate) async fn secured(stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    static CONFIG: LazyLock<Arc<ClientConfig>> = LazyLock::new(|| {
        let mut roots = RootCertStore::empty();
        roots.add(authority().root()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        Arc::new(builder.with_root_certificates(roots).with_no_client_auth())
    });
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
    TlsConnector::from(CONFIG.clone()).connect(name, stream).await
}

/// A port of loopback that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}
