//! HTTP clients of the product: one for setting it up, many for sending events. Every answer is checked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::recorder::event_data;
use crate::sink::now_ns;

const EVENTS: &str = "/api/v1/events";
/// Longer than any single answer on the slowest machine, also to a large file.
const PATIENCE: Duration = Duration::from_secs(600);

/// Speaks to one Consign with one API key.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    host: HeaderValue,
    authorization: HeaderValue,
}

pub(crate) type Connection = SendRequest<Full<Bytes>>;

impl Client {
    pub(crate) fn new(address: SocketAddr, key: &str) -> anyhow::Result<Self> {
        let host = HeaderValue::from_str(&address.to_string())?;
        Ok(Self { address, host, authorization: HeaderValue::from_str(&format!("Bearer {key}"))? })
    }

    /// The value of its `Authorization` header.
    pub(crate) fn bearer(&self) -> anyhow::Result<&str> {
        Ok(self.authorization.to_str()?)
    }

    pub(crate) async fn connect<B>(&self) -> anyhow::Result<SendRequest<B>>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        // When it fails, the request on it says so.
        tokio::spawn(connection);
        Ok(sender)
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(path).header(HOST, self.host.clone());
        request.header(AUTHORIZATION, self.authorization.clone()).header(CONTENT_TYPE, "application/json")
    }

    /// One call of the API that must succeed.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.succeed(self.request(method, &format!("/api/v1{path}")).body(Full::new(bytes))?).await
    }

    /// One call that makes something once, however often it is sent.
    pub(crate) async fn call_once(
        &self,
        method: Method,
        path: &str,
        key: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let request = self.request(method, &format!("/api/v1{path}")).header("idempotency-key", key);
        self.succeed(request.body(Full::new(Bytes::from(body.to_string())))?).await
    }

    async fn succeed(&self, request: Request<Full<Bytes>>) -> anyhow::Result<Value> {
        let what = format!("{} {}", request.method(), request.uri());
        let (status, answer) = exchange(&mut self.connect().await?, request).await?;
        if !status.is_success() {
            bail!("{what}: {status} {}", String::from_utf8_lossy(&answer));
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// A request that makes something once, and must succeed; its body may be larger than memory.
    pub(crate) async fn post<B>(&self, path: &str, content_type: &str, body: B) -> anyhow::Result<Value>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: std::error::Error + Send + Sync,
    {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let key = format!("bench-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut request = self
            .request(Method::POST, &format!("/api/v1{path}"))
            .header("idempotency-key", key)
            .body(body)?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_str(content_type)?);
        let (status, answer) = exchange(&mut self.connect().await?, request).await?;
        if !status.is_success() {
            bail!("POST {path}: {status} {}", String::from_utf8_lossy(&answer));
        }
        Ok(serde_json::from_slice(&answer)?)
    }

    /// So many calls through a gateway, one after another.
    pub(crate) async fn call_gateway(&self, path: &str, count: u64) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        for _ in 0..count {
            let request = self.request(Method::GET, path).body(Full::new(Bytes::new()))?;
            let (status, answer) = exchange(&mut connection, request).await?;
            if !status.is_success() {
                bail!("GET {path}: {status} {}", String::from_utf8_lossy(&answer));
            }
        }
        Ok(())
    }

    /// Whether no delivery is in this state.
    pub(crate) async fn has_none(&self, state: &str) -> anyhow::Result<bool> {
        let page = self.call(Method::GET, &format!("/deliveries?state={state}&limit=1"), None).await?;
        Ok(page["items"].as_array().context("a page has items")?.is_empty())
    }
}

async fn exchange<B>(
    connection: &mut SendRequest<B>,
    request: Request<B>,
) -> anyhow::Result<(StatusCode, Bytes)>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: std::error::Error + Send + Sync,
{
    let answered = async {
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        let status = response.status();
        Ok::<_, hyper::Error>((status, response.into_body().collect().await?.to_bytes()))
    };
    Ok(tokio::time::timeout(PATIENCE, answered).await.context("no answer in time")??)
}

/// Events to send.
#[derive(Clone, Copy)]
pub(crate) struct Load {
    pub(crate) first_id: u64,
    pub(crate) count: u64,
    /// Connections, each with one request at a time.
    pub(crate) clients: usize,
    /// Events a second; without it each client sends as soon as it has its answer.
    pub(crate) per_second: Option<u32>,
    /// Event types `bench.0`, `bench.1`, … in turn.
    pub(crate) types: u64,
}

/// What the clients saw.
pub(crate) struct Sent {
    /// When the first was sent, on the system's clock.
    pub(crate) started_ns: u64,
    pub(crate) took: Duration,
    /// From the moment each event was due to its answer, sorted.
    pub(crate) acks_us: Vec<u32>,
}

impl Sent {
    pub(crate) fn per_second(&self) -> f64 {
        self.acks_us.len() as f64 / self.took.as_secs_f64()
    }
}

struct Sending {
    client: Client,
    load: Load,
    next: AtomicU64,
    start: Instant,
}

impl Load {
    /// Sends all of them. One answer that is not as it should be is an error.
    pub(crate) async fn send(self, client: &Client) -> anyhow::Result<Sent> {
        let started_ns = now_ns();
        let start = Instant::now();
        let sending =
            Arc::new(Sending { client: client.clone(), load: self, next: AtomicU64::new(0), start });
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(sending.clone().one_client());
        }
        let mut acks_us = Vec::new();
        while let Some(done) = clients.join_next().await {
            acks_us.extend(done??);
        }
        let took = start.elapsed();
        acks_us.sort_unstable();
        Ok(Sent { started_ns, took, acks_us })
    }

    /// Sends all of them in batches, until a time is over; tells how many went.
    pub(crate) async fn send_batches(
        self,
        client: &Client,
        batch: u64,
        time_max: Duration,
    ) -> anyhow::Result<u64> {
        let sending = Arc::new(Sending {
            client: client.clone(),
            load: self,
            next: AtomicU64::new(0),
            start: Instant::now(),
        });
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(sending.clone().one_filler(batch, time_max));
        }
        let mut sent = 0;
        while let Some(done) = clients.join_next().await {
            sent += done??;
        }
        Ok(sent)
    }
}

impl Sending {
    async fn one_client(self: Arc<Self>) -> anyhow::Result<Vec<u32>> {
        let mut connection = self.client.connect().await?;
        let mut acks_us = Vec::new();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.load.count {
                return Ok(acks_us);
            }
            let due = self.due(number).await;
            let body = Bytes::from(self.event(number, now_ns() - nanos(due.elapsed())));
            let request = self.client.request(Method::POST, EVENTS).body(Full::new(body))?;
            let (status, answer) = exchange(&mut connection, request).await?;
            acks_us.push(u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX));
            judge(status, &answer, 1)?;
        }
    }

    async fn one_filler(self: Arc<Self>, batch: u64, time_max: Duration) -> anyhow::Result<u64> {
        let mut connection = self.client.connect().await?;
        let mut sent = 0;
        loop {
            let first = self.next.fetch_add(batch, Ordering::Relaxed);
            if first >= self.load.count || self.start.elapsed() > time_max {
                return Ok(sent);
            }
            let count = batch.min(self.load.count - first);
            let events: Vec<String> =
                (first..first + count).map(|number| self.event(number, now_ns())).collect();
            let request = self
                .client
                .request(Method::POST, EVENTS)
                .header("idempotency-key", format!("batch-{}", self.load.first_id + first));
            let body = Full::new(Bytes::from(format!("[{}]", events.join(","))));
            let (status, answer) = exchange(&mut connection, request.body(body)?).await?;
            judge(status, &answer, usize::try_from(count)?)?;
            sent += count;
        }
    }

    /// Waits until an event is due: a server that stalls cannot hide it by being asked less.
    async fn due(&self, number: u64) -> Instant {
        let Some(rate) = self.load.per_second else { return Instant::now() };
        let due = self.start + Duration::from_nanos(number * 1_000_000_000 / u64::from(rate));
        tokio::time::sleep_until(due.into()).await;
        // The timer's own grain of a millisecond is not the server's.
        if due.elapsed() < Duration::from_millis(2) { Instant::now() } else { due }
    }

    fn event(&self, number: u64, due_ns: u64) -> String {
        let id = self.load.first_id + number;
        let data = event_data(id, due_ns);
        format!(r#"{{"type":"bench.{}","data":{data}}}"#, id % self.load.types)
    }
}

/// Every event is new and has exactly one delivery.
fn judge(status: StatusCode, answer: &[u8], events: usize) -> anyhow::Result<()> {
    let text = std::str::from_utf8(answer)?;
    let deliveries = text.matches(r#""id":"dlv_"#).count();
    let new = text.matches(r#""duplicate":false"#).count();
    if status != StatusCode::ACCEPTED || deliveries != events || new != events {
        let text: String = text.chars().take(400).collect();
        bail!("an event was not accepted with one delivery: {status} {text}");
    }
    Ok(())
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
