//! Everything that leaves for a third party: one dialler that judges addresses, TLS, kept connections,
//! requests.
//!
//! [`Network::send`] never fails with an error: what went wrong is part of the [`Sent`] value. Nothing here
//! follows a redirect, reads a proxy variable, keeps a cookie or asks for a compressed answer. Calls of someone else are
//! passed on by [`Network::forward`], bodies and all.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ::http::HeaderMap;
use bytes::Bytes;
use consign_core::address::{Blocked, Egress, RuleUsed};
use consign_core::connector::Message;
use consign_core::credential::{Access, Identity};
use consign_core::delivery::Outcome;
use consign_core::host::Host;
use consign_core::proxy::Proxy;
use consign_core::target::{Origin, Target};
use consign_core::time::Timestamp;

use guard::Guard;
use pool::{Lease, Pool};
use tls::{Tls, Watched};

pub use body::{Closed, Pieces, Sending, Stream};
pub use forward::{Broke, Flow, Forwarded, Onward, Patience, Searched};
pub use guard::{AddressJudged, Explained};
pub use probe::{Probe, TlsFacts};
pub use rustls::pki_types::CertificateDer;
pub use tls::{CaFileFault, TlsMin};

mod body;
mod forward;
mod guard;
mod http;
mod pool;
mod probe;
mod proxy;
pub mod sftp;
pub mod smtp;
mod tls;

/// What the operator decided about the network.
#[derive(Debug)]
pub struct Settings {
    /// Which destinations may be reached.
    pub egress: Egress,
    /// The ports this server listens on: closed at its own addresses, whatever the egress rules say.
    pub own_ports: Vec<u16>,
    /// Authorities trusted beside those of the system, from [`Network::read_ca_file`].
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Whether the authorities of the system are trusted.
    pub system_roots: bool,
    /// The oldest TLS version.
    pub tls_min: TlsMin,
    /// The longest wait for a connection, and again for its TLS handshake.
    pub connect_timeout: Duration,
    /// The way out, where there is only one. Mail does not take it: its server is the company's own.
    pub proxy: Option<Arc<Proxy>>,
}

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the start to the end of the answer; what was read of the answer by then counts.
    pub timeout: Duration,
    /// From the start to the head of the answer, when that is less.
    pub head_timeout: Option<Duration>,
    /// The most bytes of an answer's body that are read.
    pub answer_bytes_max: usize,
}

/// What became of a request.
#[derive(Debug)]
pub struct Sent {
    /// The outcome for the record and for what happens next.
    pub outcome: Outcome,
    /// What the tool answered, when it did.
    pub answer: Option<Answer>,
    /// How long each part took.
    pub timing: Timing,
    /// What happened, in words for people: no header values, no path, no query.
    pub detail: String,
    /// The size of the request as HTTP/1.1 text, head and body; 0 when nothing left.
    pub request_bytes: u64,
}

/// An answer. It may repeat what was sent, so `Debug` shows its size only.
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// All headers, as they came.
    pub headers: HeaderMap,
    /// The start of the body, up to the limit that was asked for.
    pub body: Bytes,
    /// Whether that is all of it.
    pub whole: bool,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("headers", &self.headers.len())
            .field("body_bytes", &self.body.len())
            .finish()
    }
}

/// How long each part took; `None` for parts that did not happen.
#[derive(Clone, Copy, Debug, Default)]
pub struct Timing {
    /// Finding the addresses of the name.
    pub dns: Option<Duration>,
    /// The TCP connection.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From handing over the request to the head of the answer.
    pub first_byte: Option<Duration>,
    /// From the head of the answer to its end.
    pub body: Option<Duration>,
    /// All of it.
    pub total: Duration,
    /// Whether a kept connection was used.
    pub reused: bool,
}

/// The way out to third parties, with its kept connections.
pub struct Network {
    guard: Guard,
    sftp_guard: Guard,
    tls: Tls,
    pool: Arc<Pool>,
    sessions: sftp::Sessions,
    learned: sftp::Learned,
    connect_timeout: Duration,
}

impl Network {
    /// Takes over the settings. The authorities of the system are read at first use, not here.
    pub fn new(settings: Settings) -> Self {
        Self {
            sftp_guard: Guard::new(
                settings.egress.for_sftp(),
                settings.own_ports.clone(),
                settings.proxy.clone(),
            ),
            guard: Guard::new(settings.egress, settings.own_ports, settings.proxy),
            tls: Tls::new(settings.extra_roots, settings.system_roots, settings.tls_min),
            pool: Arc::default(),
            sessions: sftp::Sessions::default(),
            learned: sftp::Learned::default(),
            connect_timeout: settings.connect_timeout,
        }
    }

    /// Reads a file of authorities, PEM.
    ///
    /// # Errors
    /// When it is no PEM, holds no certificate, or holds one that cannot be an authority.
    pub fn read_ca_file(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CaFileFault> {
        tls::read_ca_file(pem)
    }

    /// Whether a connection would be refused by the egress rules, so that a save can say it at once. A name
    /// that does not resolve within the time is judged by itself alone. Nothing is sent.
    ///
    /// # Errors
    /// What is blocked.
    pub async fn judge(&self, target: &Target, within: Duration) -> Result<(), Blocked> {
        guard::preview(self.guard_of(target), target.host(), target.port(), within).await
    }

    /// The rule of egress that opened a destination when it was dialled; `None` where none was needed, or nothing was
    /// dialled yet.
    pub fn exception_to(&self, target: &Target) -> Option<RuleUsed> {
        self.guard_of(target).opened_by(target.host(), target.port())
    }

    fn guard_of(&self, target: &Target) -> &Guard {
        match target {
            Target::Https(_) => &self.guard,
            Target::Sftp(_) => &self.sftp_guard,
        }
    }

    /// The proxy through which a destination is reached, as `host:port`.
    pub fn proxy_to(&self, host: &Host) -> Option<String> {
        self.guard.proxy_to(host).map(Proxy::name)
    }

    /// What the egress rules say of a destination, address by address. Nothing is sent.
    pub async fn explain(&self, host: &Host, port: u16, within: Duration) -> Explained {
        guard::explain(&self.guard, host, port, within).await
    }

    /// Sends a request with the proof of `access`, to the origin of `access` and nowhere else. `now` dates
    /// the waits that an answer asks for. Dropping the future ends the request.
    pub async fn send(
        &self,
        access: &Access,
        message: &Message,
        body: Bytes,
        limits: &Limits,
        now: Timestamp,
    ) -> Sent {
        http::send(self, access, message, body.into(), limits, now).await
    }

    /// As [`Network::send`], with a body that is made while it is sent. The time of `limits` is for the connection, and
    /// again for the answer once the body is out; until then it may take as long as bytes move.
    pub async fn send_stream(
        &self,
        access: &Access,
        message: &Message,
        body: Stream,
        limits: &Limits,
        now: Timestamp,
    ) -> Sent {
        http::send(self, access, message, body::Body::Stream(body), limits, now).await
    }

    /// Passes on a call of someone else with the proof of `access`: up to the head of the answer, whose body then streams.
    /// Dropping the future, or the answer, ends the request.
    ///
    /// # Errors
    /// What was seen instead of an answer.
    pub async fn forward(
        &self,
        access: &Access,
        message: &Message,
        body: Onward,
        searched: Searched,
        waits: &Patience,
    ) -> Result<Forwarded, Box<Sent>> {
        forward::forward(self, access, message, body, searched, waits).await
    }

    /// Connects and says what it saw, without a request. For a connection test. `seen` is told what it saw so far with each
    /// part of the way.
    pub async fn probe(
        &self,
        origin: &Origin,
        identity: Option<&Identity>,
        seen: &(dyn Fn(&Probe) + Sync),
    ) -> Probe {
        probe::run(self, origin, identity, seen).await
    }

    /// How many kept connections wait for a request.
    pub fn idle_connections(&self) -> usize {
        self.pool.idle_connections()
    }

    /// Closes the kept connections. Requests under way end undisturbed.
    pub fn close(&self) {
        self.pool.close();
        sftp::close(&self.sessions);
    }

    /// A connection to the origin: a kept one, unless a fresh one is asked for, or a new one.
    async fn connect(
        &self,
        to: To<'_>,
        fresh: bool,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Lease, NothingSent> {
        let lane = self.pool.lane(to.origin, to.identity.map(|identity| identity.id));
        if !fresh {
            if let Some(lease) = lane.take(now()) {
                timing.reused = true;
                return Ok(lease);
            }
            // Whether the origin shares one connection among requests is seen at the first one, so others
            // wait for it.
            if let Some(lease) = lane.wait_for_another(deadline).await {
                timing.reused = true;
                return Ok(lease);
            }
        }
        // Boxed: it is rare, and its future is large.
        Box::pin(self.dial(&lane, to, deadline, timing)).await
    }

    async fn dial(
        &self,
        lane: &Arc<pool::Lane>,
        to: To<'_>,
        deadline: Instant,
        timing: &mut Timing,
    ) -> Result<Lease, NothingSent> {
        let _dialling = lane.start_dialling();
        timing.reused = false;
        let (origin, limit) = (to.origin, self.connect_timeout);
        let stream = guard::dial(&self.guard, origin.host(), origin.port(), limit, deadline, timing).await?;
        let connector = match to.identity {
            None => self.tls.connector().await?,
            Some(identity) => lane.connector.get_or_try_init(|| self.tls.connector_showing(identity)).await?,
        };
        let stream = self.tls.handshake(connector, stream, to, limit, deadline, timing).await?;
        let stream = Watched::new(stream);
        let alert = stream.alert();
        pool::open(&self.pool, lane, stream, now()).await.map_err(|_| {
            let host = origin.host();
            let words = match tls::refusal_of_certificate(to, &alert) {
                Some(fault) => fault.to_string(),
                None => format!("{host} ended the connection before the request."),
            };
            NothingSent::unreachable_tls(words)
        })
    }
}

/// Where a connection goes, and what it shows of itself there.
#[derive(Clone, Copy)]
struct To<'a> {
    origin: &'a Origin,
    identity: Option<&'a Identity>,
}

impl<'a> To<'a> {
    fn of(access: &'a Access) -> Self {
        Self { origin: &access.origin, identity: access.identity.as_ref() }
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("idle_connections", &self.idle_connections()).finish()
    }
}

/// Why nothing left: the outcome and the sentence.
#[derive(Debug)]
struct NothingSent {
    outcome: Outcome,
    detail: String,
}

impl NothingSent {
    fn unreachable_tls(detail: String) -> Self {
        Self { outcome: Outcome::Unreachable { reason: consign_core::delivery::Unreached::Tls }, detail }
    }
}

/// The clock for spans and deadlines. Times of day come from the caller.
#[expect(clippy::disallowed_methods, reason = "the one place of the transport that reads a clock")]
fn now() -> Instant {
    Instant::now()
}

/// The end of a phase that may last `limit`, within a whole that ends at `deadline`; and how long that is.
fn phase(limit: Duration, deadline: Instant) -> (tokio::time::Instant, Duration) {
    let start = now();
    let length = limit.min(deadline.saturating_duration_since(start));
    ((start + length).into(), length)
}

/// A limit in words: `10 s`, `250 ms`.
fn words(limit: Duration) -> String {
    let millis = limit.as_millis();
    if millis >= 1_000 { format!("{} s", (millis + 500) / 1_000) } else { format!("{millis} ms") }
}

#[cfg(test)]
mod tests;
