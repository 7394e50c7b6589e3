//! The receiving tool, as a process of its own: HTTPS servers on loopback that record what arrives. Commands come
//! as lines on standard input, answers go as lines of JSON to standard output; the end of the input is its end.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::recorder::Recorder;

/// Where the tool gives tokens.
pub(crate) const TOKEN_PATH: &str = "/token";
/// How long the hanging endpoint keeps a request.
const HANG: Duration = Duration::from_secs(30);

struct Tool {
    acceptor: TlsAcceptor,
    authorization: String,
    token: String,
    recorder: Mutex<Recorder>,
    tokens: Mutex<Tokens>,
}

/// How tokens are given, and how many were.
#[derive(Clone, Copy, Default)]
struct Tokens {
    life_seconds: u64,
    delay: Duration,
    given: u64,
}

/// Receives until standard input ends. The words: certificate chain, key, token, the first event and how
/// many are expected, and ports; `~` in front of a port makes it the one that hangs.
pub(crate) fn run(words: &[String]) -> anyhow::Result<()> {
    let [chain, key, token, first_id, count, ports @ ..] = words else {
        bail!("certificate, key, token, expected events and ports are needed")
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let tool = Arc::new(Tool {
            acceptor: acceptor(chain, key)?,
            authorization: format!("Bearer {token}"),
            token: token.clone(),
            recorder: Mutex::default(),
            tokens: Mutex::default(),
        });
        tool.recorder().expect(first_id.parse()?, count.parse()?);
        for port in ports {
            let hangs = port.starts_with('~');
            let port = port.trim_start_matches('~').parse()?;
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let listener = TcpListener::bind(address).await.with_context(|| format!("{address} is taken"))?;
            tokio::spawn(listen(tool.clone(), listener, hangs));
        }
        println!("\"receiving\"");
        obey(&tool).await
    })
}

fn acceptor(chain: &str, key: &str) -> anyhow::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(chain)?.collect::<Result<Vec<_>, _>>()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn obey(tool: &Tool) -> anyhow::Result<()> {
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words.as_slice() {
            ["expect", first, count] => {
                tool.recorder().expect(first.parse()?, count.parse()?);
                "null".to_owned()
            }
            ["count"] => serde_json::to_string(tool.recorder().count())?,
            ["tokens", life_seconds, delay_ms] => {
                let delay = Duration::from_millis(delay_ms.parse()?);
                *tool.tokens() = Tokens { life_seconds: life_seconds.parse()?, delay, given: 0 };
                "null".to_owned()
            }
            ["tokens_given"] => tool.tokens().given.to_string(),
            ["lateness"] => serde_json::to_string(&tool.recorder().lateness())?,
            _ => bail!("no such command: {line}"),
        };
        println!("{answer}");
    }
    Ok(())
}

async fn listen(tool: Arc<Tool>, listener: TcpListener, hangs: bool) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(connection(tool.clone(), stream, hangs));
    }
}

async fn connection(tool: Arc<Tool>, stream: TcpStream, hangs: bool) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = tool.acceptor.accept(stream).await else { return };
    let service = service_fn(move |request| tool.clone().answer(request, hangs));
    // A client that goes away ends its connection and nothing else; what it did not deliver is missed later.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

impl Tool {
    fn recorder(&self) -> MutexGuard<'_, Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same access token each time, so that the tool judges it as it judges a fixed one.
    async fn give_token(&self) -> Bytes {
        let Tokens { life_seconds, delay, .. } = {
            let mut tokens = self.tokens();
            tokens.given += 1;
            *tokens
        };
        tokio::time::sleep(delay).await;
        let token = &self.token;
        format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{life_seconds}}}"#).into()
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        hangs: bool,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        if request.uri().path() == TOKEN_PATH {
            let body = self.give_token().await;
            return Ok(json(body));
        }
        let given = request.headers().get(AUTHORIZATION);
        let authorized = given.is_some_and(|given| given.as_bytes() == self.authorization.as_bytes());
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        if hangs {
            tokio::time::sleep(HANG).await;
        } else {
            self.recorder().note(authorized, &body, now_ns());
        }
        Ok(json(Bytes::from_static(br#"{"status":"accepted"}"#)))
    }
}

fn json(body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The system's clock: the only one that several processes share.
pub(crate) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
