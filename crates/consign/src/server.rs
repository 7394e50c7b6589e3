//! The HTTP/1.1 server (RFC 9112) before console and API: limits, request ids, client addresses, a clean stop.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use consign_core::id::RequestId;
use consign_store::Store;
use http::header::{CONTENT_TYPE, HeaderName, STRICT_TRANSPORT_SECURITY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tower_service::Service as _;

use crate::App;
use crate::config::{CLIENT_HEADERS, Config};
use crate::engine::Hangup;
use crate::telemetry::HTTP_SERVER_DURATION;
use body::Patient;
use client::Proxies;
use tls::Tls;

pub use health::{health, metrics};

mod body;
mod client;
mod health;
pub mod pieces;
mod tls;
mod url_check;

/// Connections at one time; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4_096;
/// The largest head of a request.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// The most bytes of one connection that wait to be read: a whole head, and a body in large pieces.
const WAITING_BYTES_MAX: usize = 128 << 10;
/// A client that sends its head more slowly is hung up on; an unused connection stays open as long.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// TLS needs a few round trips.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);
/// Requests under way at the end get this long; deliveries have their own time afterwards.
const LAST_REQUESTS_TIME_MAX: Duration = Duration::from_secs(10);
/// After a failed accept, usually for want of open files, others need a moment to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ONE_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Where the addresses of gateways begin.
const GATEWAYS: &str = "/gateway/";

/// The client's address, in the extensions of every request. Behind a trusted proxy: the one that it names.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub SocketAddr);

/// A route's name for metrics and the log, such as `/api/v1/credentials/{id}`. Whoever routes puts it into
/// the extensions of the answer; without it a request is counted under the first part of its path.
#[derive(Clone, Copy, Debug)]
pub struct RouteName(pub &'static str);

/// Console, API and health, as one router.
pub fn router(app: Arc<App>) -> Router {
    let open = Arc::new(AtomicBool::new(false));
    router_until(app, open)
}

/// As [`router`]; `/readyz` fails from the moment that `draining` is set.
pub fn router_until(app: Arc<App>, draining: Arc<AtomicBool>) -> Router {
    let routes = crate::api::router(app.clone()).merge(crate::console::router(app.clone()));
    routes.merge(url_check::routes(app.clone())).merge(health(app, draining))
}

/// Serves until `stop`; then accepts nothing more and lets requests under way end.
///
/// # Errors
/// When the certificate or key of built-in TLS cannot be used.
pub async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    let front = Front::new(&app.config, app.store.clone(), router)?.reached_as_chosen(app);
    front.serve(listener, stop).await;
    Ok(())
}

/// Judges certificate and key of built-in TLS, if there are any.
///
/// # Errors
/// When they cannot be used.
pub fn check_tls(config: &Config) -> io::Result<()> {
    Tls::new(&config.server, clock()).map(drop)
}

/// Whether browsers are told to come by TLS only.
enum TlsOnly {
    /// As it was at the start.
    Fixed(bool),
    /// When that is the address that people chose, as it is at the time of an answer.
    AsChosen(Arc<App>),
}

impl TlsOnly {
    fn holds(&self) -> bool {
        match self {
            Self::Fixed(holds) => *holds,
            Self::AsChosen(app) => app.engine.is_public_by_tls(),
        }
    }
}

/// A router behind the limits of this server.
pub struct Front {
    router: Router,
    store: Store,
    proxies: Proxies,
    tls: Option<Tls>,
    tls_only: TlsOnly,
}

impl Front {
    /// A front with the options of `server.*`.
    ///
    /// # Errors
    /// When the certificate or key of built-in TLS cannot be used.
    pub fn new(config: &Config, store: Store, router: Router) -> io::Result<Self> {
        let tls = Tls::new(&config.server, clock())?;
        let tls_only = TlsOnly::Fixed(config.public_url().starts_with("https://"));
        let proxies =
            Proxies { trusted: config.server.trusted_proxies.clone(), header: config.server.client_header };
        Ok(Self { router, store, proxies, tls, tls_only })
    }

    /// The same for an installation whose people choose its address: by TLS only, while that is what they chose.
    pub fn reached_as_chosen(mut self, app: Arc<App>) -> Self {
        self.tls_only = TlsOnly::AsChosen(app);
        self
    }

    /// A front without TLS, for metrics and health.
    pub fn plain(store: Store, router: Router) -> Self {
        let proxies = Proxies { trusted: Vec::new(), header: CLIENT_HEADERS[0] };
        Self { router, store, proxies, tls: None, tls_only: TlsOnly::Fixed(false) }
    }

    /// Serves until `stop`; then accepts nothing more and lets requests under way end.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let front = Arc::new(self);
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (stopping, stopped) = watch::channel(false);
        let mut stop = pin!(stop);
        loop {
            // A full house must not keep the program from stopping.
            let entered = async {
                let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
                (place, listener.accept().await)
            };
            let (place, accepted) = tokio::select! {
                biased;
                () = stop.as_mut() => break,
                entered = entered => entered,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let (front, stopped) = (front.clone(), stopped.clone());
                    tokio::spawn(async move {
                        front.connection(stream, peer, stopped).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        stopping.send_replace(true);
        let all = u32::try_from(CONNECTIONS_MAX).expect("a few thousand");
        if timeout(LAST_REQUESTS_TIME_MAX, places.acquire_many(all)).await.is_err() {
            tracing::warn!("requests were still under way at the end");
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
        stopped: watch::Receiver<bool>,
    ) {
        // Answers are written whole; waiting for more would only delay them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection ended at its start");
            return;
        }
        let Some(acceptor) = self.tls.as_ref().map(|tls| tls.acceptor(clock())) else {
            return self.requests(stream, peer, stopped).await;
        };
        match timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.requests(stream, peer, stopped).await,
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn requests<S>(self: Arc<Self>, stream: S, peer: SocketAddr, mut stopped: watch::Receiver<bool>)
    where
        S: AsyncRead + AsyncWrite + Wire + Unpin + Send + 'static,
    {
        let hangup = Hangup::default();
        let own = hangup.clone();
        let service = service_fn(move |request| {
            let (front, hangup) = (self.clone(), own.clone());
            async move { Ok::<_, Infallible>(front.answer(request, peer, hangup).await) }
        });
        let mut settings = http1::Builder::new();
        // At most 100 headers is hyper's own rule.
        settings
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(WAITING_BYTES_MAX);
        let mut connection = settings.serve_connection(TokioIo::new(stream), service);
        let mut stopping = false;
        loop {
            tokio::select! {
                biased;
                () = hangup.told() => break,
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(error = &error as &dyn std::error::Error, "a connection ended early");
                    }
                    break;
                }
                () = told(&mut stopped), if !stopping => {
                    Pin::new(&mut connection).graceful_shutdown();
                    stopping = true;
                }
            }
        }
        if hangup.is_cut() {
            connection.into_parts().io.inner().cut();
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr, hangup: Hangup) -> Response<Body> {
        let started = clock();
        let id = RequestId::new(self.store.local_now());
        let peer = client::address(peer, request.headers(), &self.proxies);
        let method = method_label(request.method());
        let part = part_of(request.uri().path());
        let gateway = part == GATEWAYS;
        let mut request =
            request.map(|body| if gateway { Patient::unhurried(body) } else { Patient::new(body) });
        request.extensions_mut().insert(id);
        request.extensions_mut().insert(PeerAddress(peer));
        request.extensions_mut().insert(hangup);
        let mut router = self.router.clone();
        let mut response = match caught(router.call(request)).await {
            Some(Ok(response)) => response,
            None => broken(id),
        };
        let text = id.to_string();
        let own_id = HeaderValue::from_str(&text).expect("an id is ASCII");
        // That of a tool, through a gateway, stays.
        response.headers_mut().entry(REQUEST_ID).or_insert(own_id);
        if self.tls_only.holds() {
            response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, ONE_YEAR);
        }
        let route = response.extensions().get::<RouteName>().map_or(part, |route| route.0);
        let status = response.status();
        let took = clock().duration_since(started);
        record(method, route, status, took);
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "consign::request",
            request_id = text, method, route, status = status.as_u16(), duration_ms,
            "answered"
        );
        response
    }
}

/// What a connection stands on.
trait Wire {
    /// Its end will tell the other side that what came is not all.
    fn cut(&self);
}

impl Wire for TcpStream {
    fn cut(&self) {
        // Where that is refused, the other side sees an end without a reset.
        if let Err(error) = self.set_zero_linger() {
            tracing::debug!(%error, "a connection ends without a reset");
        }
    }
}

impl Wire for TlsStream<TcpStream> {
    fn cut(&self) {
        self.get_ref().0.cut();
    }
}

/// Waits for the end of serving.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // An error means that whoever would tell is gone.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn record(method: &'static str, route: &'static str, status: StatusCode, took: Duration) {
    // Codes are few, so each text is found, not made.
    let code = match status.as_u16() {
        200 => "200",
        201 => "201",
        202 => "202",
        204 => "204",
        303 => "303",
        304 => "304",
        400 => "400",
        401 => "401",
        403 => "403",
        404 => "404",
        409 => "409",
        412 => "412",
        422 => "422",
        500 => "500",
        503 => "503",
        _ if status.is_success() => "2xx",
        _ if status.is_redirection() => "3xx",
        _ if status.is_client_error() => "4xx",
        _ => "5xx",
    };
    metrics::histogram!(HTTP_SERVER_DURATION, "method" => method, "route" => route, "status" => code)
        .record(took);
}

/// Methods as a closed set: a client may invent others.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// The part of Consign that a path belongs to.
fn part_of(path: &str) -> &'static str {
    const PARTS: &[&str] =
        &["/api/", GATEWAYS, "/assets/", "/docs/", "/healthz", "/readyz", "/startupz", "/metrics"];
    PARTS.iter().copied().find(|part| path.starts_with(part)).unwrap_or("console")
}

/// Runs an answer to its end; `None` when it panicked. Other requests of the process go on.
async fn caught<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    std::future::poll_fn(move |context| {
        let poll = AssertUnwindSafe(|| Pin::as_mut(&mut future).poll(context));
        match std::panic::catch_unwind(poll) {
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(_) => Poll::Ready(None),
        }
    })
    .await
}

/// The answer when ours broke: the request's id, and nothing else.
fn broken(id: RequestId) -> Response<Body> {
    let problem = serde_json::json!({
        "type": "/docs/problems/internal",
        "title": "Something went wrong on this server",
        "status": 500,
        "code": "internal",
        "request_id": id,
    });
    let mut response = Response::new(Body::from(problem.to_string()));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    response
}

/// Sets `draining` when `stop` comes, and passes it on.
pub async fn drain(draining: Arc<AtomicBool>, stop: impl Future<Output = ()>) {
    stop.await;
    draining.store(true, Ordering::Relaxed);
}

/// The clock for durations.
#[expect(clippy::disallowed_methods, reason = "the one place of the server that reads a clock")]
fn clock() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests;
