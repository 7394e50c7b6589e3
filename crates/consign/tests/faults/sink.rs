//! A tool over TLS that takes everything and writes down who sent what.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::spawn;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// The name that the driver gave the event.
    pub(crate) id: String,
    /// The id that Consign gave it.
    pub(crate) event: String,
    pub(crate) authorization: String,
}

#[derive(Clone)]
pub(crate) struct Sink {
    pub(crate) address: SocketAddr,
    /// The authority of its certificate, PEM.
    pub(crate) authority: String,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Sink {
    pub(crate) fn start() -> Self {
        let (config, authority) = identity();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let sink = Self { address: listener.local_addr().unwrap(), authority, arrivals: Arc::default() };
        let serving = sink.clone();
        spawn(move || {
            for stream in listener.incoming().flatten() {
                let (config, sink) = (config.clone(), serving.clone());
                spawn(move || sink.serve(config, stream));
            }
        });
        sink
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes requests until the connection ends, however it ends.
    fn serve(&self, config: Arc<ServerConfig>, stream: TcpStream) -> Option<()> {
        stream.set_nodelay(true).ok()?;
        let mut stream = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
        let mut bytes = Vec::new();
        let mut block = [0; 4 << 10];
        loop {
            let whole = loop {
                if let Some(whole) = request(&bytes) {
                    break whole;
                }
                let count = stream.read(&mut block).ok().filter(|count| *count > 0)?;
                bytes.extend_from_slice(&block[..count]);
            };
            let (arrival, length) = whole;
            bytes.drain(..length);
            self.arrivals.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}").ok()?;
            stream.flush().ok()?;
        }
    }
}

/// The request at the start of these bytes, when it is whole, and its length.
fn request(bytes: &[u8]) -> Option<(Arrival, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut found = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.next().map(|(_, value)| value.to_owned()).unwrap_or_default()
    };
    let length = end + 4 + header("content-length").parse::<usize>().unwrap_or(0);
    let body = bytes.get(end + 4..length)?;
    let id: String = serde_json::from_slice(body).unwrap_or_default();
    Some((Arrival { id, event: header("webhook-id"), authorization: header("authorization") }, length))
}

fn identity() -> (Arc<ServerConfig>, String) {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    let certificate = params.signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (Arc::new(config), authority.pem())
}
