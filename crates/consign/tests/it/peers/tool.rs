//! A tool that does what a test tells it, over TLS, and writes down every request byte for byte.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::{Authority, Identity, authority};

/// What the tool does with a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// Status, headers, body.
    Reply(u16, Vec<(String, String)>, String),
    /// The same, later.
    Late(Duration, Box<Self>),
    /// Reads the request and says nothing, until the other side gives up.
    Silence,
    /// Reads the request and hangs up.
    HangUp,
    /// 200 and a body that never ends.
    Endless,
    /// 200 and a body of 1 GiB, as fast as it is taken.
    Gibibyte,
    /// The body is cut in its middle.
    Cut,
    /// These bytes as they are, then hangs up.
    Bytes(Vec<u8>),
    /// These bytes as they are, then nothing more, until the other side gives up.
    Stall(Vec<u8>),
    /// These bytes one by one, with a pause before each.
    Drip(Duration, Vec<u8>),
    /// All headers and the body come back in the answer.
    Echo(u16),
    /// What this makes of the request.
    By(fn(&Asked) -> Self),
    /// Not HTTP.
    Noise,
}

impl Answer {
    pub(crate) fn status(status: u16) -> Self {
        Self::Reply(status, Vec::new(), String::new())
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::Reply(
            status,
            vec![("content-type".to_owned(), "application/json".to_owned())],
            body.to_string(),
        )
    }

    pub(crate) fn with(status: u16, headers: &[(&str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self::Reply(status, headers.collect(), String::new())
    }

    pub(crate) fn after(self, wait: Duration) -> Self {
        Self::Late(wait, Box::new(self))
    }
}

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Path and query as sent.
    pub(crate) target: String,
    /// In their order; names as sent.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What the connection showed, DER.
    pub(crate) certificate: Option<Vec<u8>>,
}

impl Asked {
    /// Whether a header is there.
    pub(crate) fn has_header(&self, name: &str) -> bool {
        self.headers.iter().any(|(other, _)| other.eq_ignore_ascii_case(name))
    }

    /// The value of a header that must be there once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers_named(name);
        assert_eq!(found.len(), 1, "{name}: {:?}", self.headers);
        found[0]
    }

    pub(crate) fn headers_named(&self, name: &str) -> Vec<&str> {
        let found = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the body is JSON")
    }
}

#[derive(Default)]
struct Script {
    always: Option<Answer>,
    next: VecDeque<Answer>,
    by_path: HashMap<String, Answer>,
    asked: Vec<Asked>,
}

/// The running tool.
#[derive(Clone)]
pub(crate) struct Tool {
    address: SocketAddr,
    script: Arc<Mutex<Script>>,
    connections: Arc<AtomicUsize>,
    listening: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Tool {
    /// Starts one that answers 200 to everything.
    pub(crate) async fn start() -> Self {
        Self::start_with(tls(&authority().identity())).await
    }

    /// The same, for those alone who show a certificate of this authority.
    pub(crate) async fn start_asking(clients: &Authority) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(clients.root()).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let identity = authority().identity();
        let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap())
            .with_single_cert(vec![identity.certificate.der().clone()], key)
            .unwrap();
        Self::start_with(config).await
    }

    async fn start_with(config: ServerConfig) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let tool = Self {
            address: listener.local_addr().unwrap(),
            script: Arc::default(),
            connections: Arc::default(),
            listening: Arc::default(),
        };
        tool.listen(listener, config);
        tool
    }

    /// Hangs up on everybody and goes on at the same address, with this certificate.
    pub(crate) async fn open_as(&self, identity: &Identity) {
        self.close().await;
        self.listen(TcpListener::bind(self.address).await.unwrap(), tls(identity));
    }

    /// Hangs up on everybody and listens no more.
    pub(crate) async fn close(&self) {
        let listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(listening) = listening {
            listening.abort();
            // Its end is the end of its connections.
            let _ = listening.await;
        }
    }

    fn listen(&self, listener: TcpListener, config: ServerConfig) {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = self.clone();
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::SeqCst);
                let (acceptor, tool) = (acceptor.clone(), serving.clone());
                // What became of a connection is the business of its other side.
                while served.try_join_next().is_some() {}
                served.spawn(async move {
                    stream.set_nodelay(true)?;
                    tool.serve(acceptor.accept(stream).await?).await
                });
            }
        });
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }

    async fn serve(&self, mut stream: TlsStream<TcpStream>) -> io::Result<()> {
        while let Some(asked) = read(&mut stream).await? {
            let answer = self.note(asked.clone());
            if !give(&mut stream, &asked, answer).await? {
                break;
            }
        }
        stream.shutdown().await
    }

    /// The address as people type it.
    pub(crate) fn origin(&self) -> String {
        format!("https://{}/", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// From now on.
    pub(crate) fn answer(&self, answer: Answer) {
        self.script().always = Some(answer);
    }

    /// Once, before anything else.
    pub(crate) fn answer_next(&self, answer: Answer) {
        self.script().next.push_back(answer);
    }

    /// From now on one after the other, and the last one for good.
    pub(crate) fn answer_each(&self, answers: Vec<Answer>) {
        let mut script = self.script();
        script.next = answers.into();
        script.always = script.next.pop_back();
    }

    /// From now on, at one path.
    pub(crate) fn answer_at(&self, path: &str, answer: Answer) {
        self.script().by_path.insert(path.to_owned(), answer);
    }

    /// Every request so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.script().asked.clone()
    }

    /// Every request of one path.
    pub(crate) fn asked_at(&self, path: &str) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| asked.target == path).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.script().asked.len()
    }

    /// Connections that were made, whether a request came or not.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until so many requests arrived.
    pub(crate) async fn until_asked(&self, count: usize) -> Vec<Asked> {
        let what = format!("{count} requests at the tool");
        crate::harness::eventually(&what, async || (self.count() >= count).then(|| self.asked())).await
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, asked: Asked) -> Answer {
        let mut script = self.script();
        let path = asked.target.split('?').next().unwrap_or_default().to_owned();
        script.asked.push(asked);
        let scripted = script.next.pop_front().or_else(|| script.by_path.get(&path).cloned());
        scripted.or_else(|| script.always.clone()).unwrap_or_else(|| Answer::status(200))
    }
}

pub(super) fn tls(identity: &Identity) -> ServerConfig {
    let key = PrivateKeyDer::try_from(identity.key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![identity.certificate.der().clone()], key)
        .unwrap()
}

/// Reads one request with a body of stated length; `None` at the end of the connection.
async fn read(stream: &mut TlsStream<TcpStream>) -> io::Result<Option<Asked>> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let text = String::from_utf8_lossy(&bytes[..head]).into_owned();
    let mut lines = text.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: usize = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = bytes.split_off(head + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(None);
        }
    }
    if headers
        .iter()
        .any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked")
    {
        while !body.ends_with(b"0\r\n\r\n") {
            if stream.read_buf(&mut body).await? == 0 {
                return Ok(None);
            }
        }
        body = unchunked(&body);
    }
    let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
    let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = shown.map(|certificate| certificate.to_vec());
    Ok(Some(Asked { method, target, headers, body, certificate }))
}

/// What stands in the chunks of a body (RFC 9112 section 7.1).
fn unchunked(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = chunks.windows(2).position(|window| window == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&chunks[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&chunks[end + 2..end + 2 + size]);
        chunks = &chunks[end + 2 + size + 2..];
    }
}

/// Answers; `false` when the connection is over.
async fn give(stream: &mut TlsStream<TcpStream>, asked: &Asked, answer: Answer) -> io::Result<bool> {
    let mut answer = answer;
    while let Answer::Late(wait, then) = answer {
        tokio::time::sleep(wait).await;
        answer = *then;
    }
    if let Answer::By(make) = answer {
        answer = make(asked);
    }
    match answer {
        Answer::Reply(status, headers, body) => reply(stream, status, &headers, body.as_bytes()).await,
        Answer::Echo(status) => {
            // The last headers first: those that the credential adds.
            let said: Vec<_> =
                asked.headers.iter().rev().map(|(name, value)| format!("{name}: {value}")).collect();
            let said = format!("{}; {}", said.join(", "), String::from_utf8_lossy(&asked.body));
            let body = serde_json::json!({ "error": { "message": said } });
            let headers: Vec<_> =
                asked.headers.iter().map(|(name, value)| (format!("x-echo-{name}"), value.clone())).collect();
            let headers =
                [headers, vec![("content-type".to_owned(), "application/json".to_owned())]].concat();
            reply(stream, status, &headers, body.to_string().as_bytes()).await
        }
        Answer::Silence => silence(stream).await,
        Answer::HangUp => Ok(false),
        Answer::Noise => {
            stream.write_all(b"220 mail.example.org ESMTP\r\n").await?;
            Ok(false)
        }
        Answer::Cut => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf").await?;
            stream.flush().await?;
            Ok(false)
        }
        Answer::Bytes(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            Ok(false)
        }
        Answer::Stall(bytes) => {
            stream.write_all(&bytes).await?;
            stream.flush().await?;
            silence(stream).await
        }
        Answer::Drip(pause, bytes) => {
            for byte in bytes {
                tokio::time::sleep(pause).await;
                stream.write_all(&[byte]).await?;
                stream.flush().await?;
            }
            Ok(true)
        }
        Answer::Endless => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            loop {
                stream.write_all(b"1\r\na\r\n").await?;
                stream.flush().await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Answer::Gibibyte => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n").await?;
            let block = vec![b'a'; 64 << 10];
            for _ in 0..(1 << 30) / block.len() {
                stream.write_all(&block).await?;
            }
            Ok(true)
        }
        Answer::Late(..) | Answer::By(_) => unreachable!("waited for and made above"),
    }
}

/// Ends when the other side hangs up.
async fn silence(stream: &mut TlsStream<TcpStream>) -> io::Result<bool> {
    while stream.read_u8().await.is_ok() {}
    Ok(false)
}

async fn reply(
    stream: &mut TlsStream<TcpStream>,
    status: u16,
    headers: &[(String, String)],
    body: &[u8],
) -> io::Result<bool> {
    let mut head = format!("HTTP/1.1 {status} Whatever\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if status != 204 && status != 304 {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    stream.write_all(&[head.as_bytes(), body].concat()).await?;
    stream.flush().await?;
    Ok(true)
}
