//! Kept connections per origin and client certificate: idle ones for HTTP/1.1, shared ones for HTTP/2 (RFC 9112 section 9, RFC 9113
//! section 5).
//!
//! Locks are held for a few steps of memory and never across a wait. Connections that are driven live in
//! tasks of their own, which end when the last sender of the connection is dropped.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use consign_core::credential::IdentityId;
use consign_core::target::Origin;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::sync::{Notify, OnceCell};
use tokio::task::AbortHandle;
use tokio::time::{timeout, timeout_at};
use tokio_rustls::TlsConnector;

use crate::body::Body;
use crate::now;
use crate::tls::{Alert, Watched};

/// Together with the pause between sweeps no connection is idle for more than 90 s.
const IDLE_MAX: Duration = Duration::from_secs(75);
const SWEEP_EVERY: Duration = Duration::from_secs(15);
/// Then a connection takes no more requests, so that a change of addresses is followed.
const AGE_MAX: Duration = Duration::from_secs(600);
/// Enough for the most requests at one time that a connector may have.
const IDLE_PER_ORIGIN_MAX: usize = 128;
/// Kept connections of all origins: well below the open files that a system allows.
const KEPT_MAX: usize = 1_024;
/// The largest head of an answer; more than that is no head.
const ANSWER_HEAD_BYTES_MAX: usize = 64 << 10;
/// What one HTTP/2 answer may send ahead of our reading.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
/// What all HTTP/2 answers of a connection may send ahead.
const CONNECTION_WINDOW_BYTES: u32 = 1 << 20;
/// Requests at one time on an HTTP/2 connection before its settings are known (RFC 9113 section 6.5.2): more
/// might be refused. Others wait inside the connection for the moment that takes.
const STREAMS_AT_FIRST: usize = 1;
/// Requests that are given to an HTTP/2 connection before its settings are known.
const STREAMS_EXPECTED: usize = 100;
/// After the end of an answer, a connection that is not ready for the next request within this is dropped.
const READY_WITHIN: Duration = Duration::from_millis(10);

/// All kept connections.
#[derive(Default)]
pub(crate) struct Pool {
    lanes: Mutex<Lanes>,
    kept: Arc<AtomicUsize>,
}

#[derive(Default)]
struct Lanes {
    /// Several where connections to one origin show different certificates.
    by_origin: HashMap<Origin, Vec<Arc<Lane>>>,
    swept: bool,
}

/// The kept connections to one origin that show the same client certificate, or none.
#[derive(Default)]
pub(crate) struct Lane {
    /// What they show.
    identity: Option<IdentityId>,
    /// What makes those that show one: it holds the private key for as long as the lane is used.
    pub(crate) connector: OnceCell<TlsConnector>,
    state: Mutex<LaneState>,
    dialled: Notify,
}

#[derive(Default)]
struct LaneState {
    idle: Vec<Idle>,
    shared: Vec<Shared>,
    dialling: usize,
    /// The last connection could not be shared, so nobody waits for another's.
    unshared: bool,
}

/// An HTTP/1.1 connection between two requests.
struct Idle {
    sender: http1::SendRequest<Body>,
    task: AbortHandle,
    born: Instant,
    until: Instant,
    place: Place,
}

/// An HTTP/2 connection.
struct Shared {
    sender: http2::SendRequest<Body>,
    born: Instant,
    last_used: Instant,
    streams: Arc<Streams>,
    alert: Alert,
    _place: Place,
}

struct Streams {
    open: AtomicUsize,
    max: AtomicUsize,
}

/// A connection for one request.
pub(crate) struct Lease {
    lane: Arc<Lane>,
    wire: Wire,
    /// Whether the connection was refused before anything was said over it.
    pub(crate) alert: Alert,
}

enum Wire {
    Http1 { sender: http1::SendRequest<Body>, task: AbortHandle, born: Instant, place: Option<Place> },
    Http2 { sender: http2::SendRequest<Body>, stream: Stream },
}

/// A place among the kept connections of all origins.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One of the requests at one time on an HTTP/2 connection.
struct Stream(Arc<Streams>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// While it lives, others wait to see whether the new connection can be shared.
pub(crate) struct Dialling(Arc<Lane>);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.lock().dialling -= 1;
        self.0.dialled.notify_waiters();
    }
}

impl Pool {
    /// The lane of an origin and what its connections show, made when there is none.
    pub(crate) fn lane(self: &Arc<Self>, origin: &Origin, identity: Option<IdentityId>) -> Arc<Lane> {
        let mut lanes = self.lock();
        let found = lanes.by_origin.get(origin);
        if let Some(lane) = found.and_then(|lanes| lanes.iter().find(|lane| lane.identity == identity)) {
            return Arc::clone(lane);
        }
        let lane = Arc::new(Lane { identity, ..Lane::default() });
        lanes.by_origin.entry(origin.clone()).or_default().push(Arc::clone(&lane));
        if !lanes.swept {
            lanes.swept = true;
            tokio::spawn(keep_swept(Arc::downgrade(self)));
        }
        lane
    }

    /// Drops what was idle or lived for too long. False when nothing is left to sweep.
    pub(crate) fn sweep(&self, now: Instant) -> bool {
        let mut lanes = self.lock();
        let is_used = |lane: &Arc<Lane>| !lane.lock().drop_old(now) || Arc::strong_count(lane) > 1;
        lanes.by_origin.retain(|_, lanes| {
            lanes.retain(is_used);
            !lanes.is_empty()
        });
        lanes.swept = !lanes.by_origin.is_empty();
        lanes.swept
    }

    pub(crate) fn idle_connections(&self) -> usize {
        self.lock().by_origin.values().flatten().map(|lane| lane.lock().idle_connections()).sum()
    }

    pub(crate) fn close(&self) {
        let lanes = std::mem::take(&mut self.lock().by_origin);
        for lane in lanes.values().flatten() {
            let mut state = lane.lock();
            state.idle.clear();
            state.shared.clear();
        }
    }

    /// `None` when enough connections are kept.
    fn place(&self) -> Option<Place> {
        let place = Place(Arc::clone(&self.kept));
        (self.kept.fetch_add(1, Ordering::Relaxed) < KEPT_MAX).then_some(place)
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sweeps until the pool is empty or gone.
async fn keep_swept(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(SWEEP_EVERY).await;
        let left = pool.upgrade().is_some_and(|pool| pool.sweep(now()));
        if !left {
            return;
        }
    }
}

impl Lane {
    /// A kept connection that is ready.
    pub(crate) fn take(self: &Arc<Self>, now: Instant) -> Option<Lease> {
        let (wire, alert) = self.lock().take(now)?;
        Some(Lease { lane: Arc::clone(self), wire, alert })
    }

    /// Announces a new connection.
    pub(crate) fn start_dialling(self: &Arc<Self>) -> Dialling {
        self.lock().dialling += 1;
        Dialling(Arc::clone(self))
    }

    /// A share in the connection that someone else is making, if it comes about and can be shared.
    pub(crate) async fn wait_for_another(self: &Arc<Self>, deadline: Instant) -> Option<Lease> {
        let mut dialled = pin!(self.dialled.notified());
        dialled.as_mut().enable();
        let alone = {
            let state = self.lock();
            state.dialling == 0 || state.unshared
        };
        if alone || timeout_at(deadline.into(), dialled).await.is_err() {
            return None;
        }
        self.take(now())
    }

    fn lock(&self) -> MutexGuard<'_, LaneState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneState {
    /// Last in, first out: what is not needed grows old and is closed.
    fn take(&mut self, now: Instant) -> Option<(Wire, Alert)> {
        while let Some(idle) = self.idle.pop() {
            if idle.is_usable(now) {
                let Idle { sender, task, born, place, .. } = idle;
                // It has carried an answer: no alert is about its handshake.
                let wire = Wire::Http1 { sender, task, born, place: Some(place) };
                return Some((wire, Alert::default()));
            }
        }
        self.shared.retain(|shared| shared.is_usable(now));
        let shared = self.shared.iter_mut().find(|shared| shared.streams.has_room())?;
        shared.last_used = now;
        let wire = Wire::Http2 { sender: shared.sender.clone(), stream: shared.streams.open() };
        Some((wire, shared.alert.clone()))
    }

    /// True when nothing is left.
    fn drop_old(&mut self, now: Instant) -> bool {
        self.idle.retain(|idle| idle.is_usable(now));
        let in_use = |shared: &Shared| shared.streams.open.load(Ordering::Relaxed) > 0;
        self.shared.retain(|shared| {
            shared.is_usable(now)
                && (in_use(shared) || now.saturating_duration_since(shared.last_used) < IDLE_MAX)
        });
        self.idle.is_empty() && self.shared.is_empty()
    }

    fn idle_connections(&self) -> usize {
        let unused = |shared: &&Shared| shared.streams.open.load(Ordering::Relaxed) == 0;
        self.idle.len() + self.shared.iter().filter(unused).count()
    }
}

impl Idle {
    fn is_usable(&self, now: Instant) -> bool {
        now < self.until && is_young(self.born, now) && self.sender.is_ready()
    }
}

impl Shared {
    fn is_usable(&self, now: Instant) -> bool {
        is_young(self.born, now) && !self.sender.is_closed()
    }
}

fn is_young(born: Instant, now: Instant) -> bool {
    now.saturating_duration_since(born) < AGE_MAX
}

impl Streams {
    fn has_room(&self) -> bool {
        self.open.load(Ordering::Relaxed) < self.max.load(Ordering::Relaxed)
    }

    fn open(self: &Arc<Self>) -> Stream {
        self.open.fetch_add(1, Ordering::Relaxed);
        Stream(Arc::clone(self))
    }
}

/// Speaks HTTP on a new connection, in the version that the handshake agreed on.
pub(crate) async fn open(
    pool: &Pool,
    lane: &Arc<Lane>,
    stream: Watched,
    now: Instant,
) -> hyper::Result<Lease> {
    let (is_http2, alert) = (stream.is_http2(), stream.alert());
    let wire = if is_http2 {
        open_http2(pool, lane, stream, now).await?
    } else {
        open_http1(pool, stream, now).await?
    };
    lane.lock().unshared = !is_http2;
    Ok(Lease { lane: Arc::clone(lane), wire, alert })
}

async fn open_http1(pool: &Pool, stream: Watched, now: Instant) -> hyper::Result<Wire> {
    // Left at their defaults on purpose: at most 100 headers, and head and body in one vectored write.
    let mut builder = http1::Builder::new();
    builder.max_buf_size(ANSWER_HEAD_BYTES_MAX).max_header_size(ANSWER_HEAD_BYTES_MAX);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    // How it ends is seen by the request that it carries.
    let task = tokio::spawn(async move { drop(connection.await) }).abort_handle();
    Ok(Wire::Http1 { sender, task, born: now, place: pool.place() })
}

async fn open_http2(pool: &Pool, lane: &Lane, stream: Watched, now: Instant) -> hyper::Result<Wire> {
    let alert = stream.alert();
    let head_bytes_max = u32::try_from(ANSWER_HEAD_BYTES_MAX).unwrap_or(u32::MAX);
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_max_send_streams(STREAMS_AT_FIRST)
        .max_header_list_size(head_bytes_max);
    let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let streams = Arc::new(Streams { open: AtomicUsize::new(0), max: AtomicUsize::new(STREAMS_EXPECTED) });
    let seen = Arc::clone(&streams);
    tokio::spawn(async move {
        let mut connection = pin!(connection);
        let ended = poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            let max = connection.current_max_send_streams();
            if max > STREAMS_AT_FIRST {
                seen.max.store(max, Ordering::Relaxed);
            }
            polled
        });
        drop(ended.await);
    });
    let stream = streams.open();
    if let Some(place) = pool.place() {
        let sender = sender.clone();
        lane.lock().shared.push(Shared { sender, born: now, last_used: now, streams, alert, _place: place });
    }
    Ok(Wire::Http2 { sender, stream })
}

impl Lease {
    /// Whether requests are written as HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self.wire, Wire::Http2 { .. })
    }

    /// What ends the connection at once, whatever it waits for; HTTP/2 resets the stream instead.
    pub(crate) fn task(&self) -> Option<AbortHandle> {
        match &self.wire {
            Wire::Http1 { task, .. } => Some(task.clone()),
            Wire::Http2 { .. } => None,
        }
    }

    /// Sends the request. The error gives it back when nothing of it was sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match &mut self.wire {
            Wire::Http1 { sender, .. } => sender.try_send_request(request).await,
            Wire::Http2 { sender, .. } => sender.try_send_request(request).await,
        }
    }

    /// After the end of an answer: keeps the connection for the next request, for `idle_max` at most.
    pub(crate) async fn give_back(self, idle_max: Option<Duration>) {
        let Wire::Http1 { mut sender, task, born, place: Some(place) } = self.wire else { return };
        if !sender.is_ready() && !matches!(timeout(READY_WITHIN, sender.ready()).await, Ok(Ok(()))) {
            return;
        }
        let until = now() + idle_max.unwrap_or(IDLE_MAX).min(IDLE_MAX);
        let mut state = self.lane.lock();
        if state.idle.len() < IDLE_PER_ORIGIN_MAX {
            state.idle.push(Idle { sender, task, born, until, place });
        }
    }

    /// The same from where nobody can wait.
    pub(crate) fn give_back_later(self, idle_max: Option<Duration>) {
        // HTTP/2 is ready when its stream has ended.
        if let Wire::Http1 { .. } = &self.wire {
            tokio::spawn(self.give_back(idle_max));
        }
    }

    /// After a request that got no answer in time: no other request is given to its connection.
    pub(crate) fn retire(self) {
        if let Wire::Http2 { stream, .. } = &self.wire {
            self.lane.lock().shared.retain(|shared| !Arc::ptr_eq(&shared.streams, &stream.0));
        }
    }
}
