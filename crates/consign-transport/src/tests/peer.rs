//! Servers on loopback with an authority of their own, and networks that may reach them.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use ::http::header::{AUTHORIZATION, CONTENT_TYPE};
use ::http::{HeaderName, HeaderValue, Method};
use consign_core::target::RemotePath;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

pub(super) type Tls = tokio_rustls::server::TlsStream<TcpStream>;

/// The name of every server here; it is found at 127.0.0.1.
pub(super) const NAME: &str = "tool.example.org";
/// The secret in the header of every request.
pub(super) const CANARY: &str = "Basic Y2FuYXJ5OmNhbmFyeQ==";
pub(super) const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// The authority that the networks here trust.
pub(super) static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new("Loopback Authority"));

pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(super) fn root(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate of this authority.
    pub(super) fn signed(&self, params: &CertificateParams, key: &KeyPair) -> CertificateDer<'static> {
        params.clone().signed_by(key, &self.0).unwrap().der().clone()
    }

    /// A server's configuration with a certificate for these names, changed by `edit`.
    pub(super) fn config(&self, names: &[&str], edit: impl FnOnce(&mut CertificateParams)) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        edit(&mut params);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        config(certificate.der().clone(), &key, &[&rustls::version::TLS13, &rustls::version::TLS12])
    }
}

pub(super) fn params(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

pub(super) fn config(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ServerConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap()
}

/// A good certificate and no protocol negotiation: HTTP/1.1.
pub(super) fn good() -> ServerConfig {
    AUTHORITY.config(&[NAME], |_| {})
}

/// A server, and what it saw.
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Peer {
    /// Serves each connection, after its handshake, with `serve`.
    pub(super) async fn start<F, Served>(config: ServerConfig, serve: F) -> Self
    where
        F: Fn(Tls, Seen) -> Served + Send + Sync + 'static,
        Served: Future<Output = io::Result<()>> + Send + 'static,
    {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serve = Arc::new(serve);
        Self::start_plain(Ipv4Addr::LOCALHOST, move |stream, seen| {
            let (acceptor, serve) = (acceptor.clone(), Arc::clone(&serve));
            async move { serve(acceptor.accept(stream).await?, seen).await }
        })
        .await
    }

    /// Serves each TCP connection with `serve`.
    pub(super) async fn start_plain<F, Served>(address: Ipv4Addr, serve: F) -> Self
    where
        F: Fn(TcpStream, Seen) -> Served + Send + Sync + 'static,
        Served: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let (accepted, requests): (Arc<AtomicUsize>, Arc<Mutex<_>>) = Default::default();
        let peer = Self { address: listener.local_addr().unwrap(), accepted, requests };
        let (accepted, requests) = (Arc::clone(&peer.accepted), Arc::clone(&peer.requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::SeqCst);
                stream.set_nodelay(true).unwrap();
                tokio::spawn(serve(stream, Seen { requests: Arc::clone(&requests) }));
            }
        });
        peer
    }

    /// Answers every request with the same bytes and keeps the connection.
    pub(super) async fn answering(config: ServerConfig, answer: impl Into<Vec<u8>>) -> Self {
        let answer: Arc<[u8]> = answer.into().into();
        Self::start(config, move |mut stream, seen| {
            let answer = Arc::clone(&answer);
            async move {
                while seen.read(&mut stream).await?.is_some() {
                    stream.write_all(&answer).await?;
                }
                Ok(())
            }
        })
        .await
    }

    pub(super) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// Every request, byte for byte.
    pub(super) fn requests(&self) -> Vec<Vec<u8>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn origin(&self) -> Origin {
        origin(NAME, self.address.port())
    }

    pub(super) fn access(&self) -> Access {
        access(self.origin())
    }

    /// A network that finds this peer by its name and may reach it.
    pub(super) fn network(&self) -> Network {
        network(settings(&[&format!("{NAME}:*")]))
    }
}

/// Where a connection writes down what it reads.
pub(super) struct Seen {
    requests: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Seen {
    /// Writes down what was read otherwise.
    pub(super) fn write_down(&self, read: Vec<u8>) {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(read);
    }

    /// Reads one request with a body of stated length; `None` at the end of the connection. Answers those
    /// that only warm the connection.
    pub(super) async fn read<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut request = Vec::new();
        loop {
            if stream.read_buf(&mut request).await? == 0 {
                return Ok(None);
            }
            let Some(head) = request.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length =
                text.split_once("content-length: ").map_or("0", |(_, rest)| rest.lines().next().unwrap());
            if text.starts_with("post /warm ") {
                stream.write_all(OK).await?;
                request.clear();
                continue;
            }
            if request.len() >= head + 4 + length.parse::<usize>().unwrap() {
                self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
                return Ok(Some(request));
            }
        }
    }
}

pub(super) fn settings(rules: &[&str]) -> Settings {
    let rules: Vec<String> = rules.iter().map(|rule| (*rule).to_owned()).collect();
    Settings {
        egress: Egress::parse(&rules, true).unwrap(),
        own_ports: Vec::new(),
        extra_roots: vec![AUTHORITY.root()],
        system_roots: false,
        tls_min: TlsMin::V12,
        connect_timeout: Duration::from_secs(5),
        proxy: None,
    }
}

/// Every name is found at 127.0.0.1.
pub(super) fn network(settings: Settings) -> Network {
    let mut network = Network::new(settings);
    network.guard.script(|_| vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]);
    network
}

pub(super) fn origin(host: &str, port: u16) -> Origin {
    Origin::parse("Hostname", &format!("https://{host}:{port}/")).unwrap()
}

pub(super) fn access(origin: Origin) -> Access {
    let mut proof = HeaderValue::from_static(CANARY);
    proof.set_sensitive(true);
    Access { origin, headers: vec![(AUTHORIZATION, proof)], path: None, identity: None }
}

pub(super) fn message(path: &str) -> Message {
    let headers = vec![
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (HeaderName::from_static("webhook-id"), HeaderValue::from_static("dlv_1")),
    ];
    Message { method: Method::POST, path: RemotePath::parse(path).unwrap(), headers }
}

/// Time enough on any machine.
pub(super) const PATIENT: Limits =
    Limits { timeout: Duration::from_secs(20), head_timeout: None, answer_bytes_max: 64 << 10 };
/// For what never comes, on a connection that was [`warm`]ed: a handshake may take longer.
pub(super) const BRIEF: Limits =
    Limits { timeout: Duration::from_millis(150), head_timeout: None, answer_bytes_max: 64 << 10 };

pub(super) const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

pub(super) async fn send(network: &Network, access: &Access, limits: &Limits) -> Sent {
    network.send(access, &message("/hook"), Bytes::from_static(b"{\"n\":1}"), limits, NOW).await
}

/// Makes the connection that the next request will use.
pub(super) async fn warm(network: &Network, access: &Access) {
    let sent = network.send(access, &message("/warm"), Bytes::new(), &PATIENT, NOW).await;
    assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
}
