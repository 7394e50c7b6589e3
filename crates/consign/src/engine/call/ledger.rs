//! What is kept of a call, from its begin to its end, however that comes about: a record, a line in the log, the metrics,
//! and its place among the calls of its gateway.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use consign_core::connector::{Connector, Gateway};
use consign_core::credential::Credential;
use consign_core::id::{AttemptId, ConnectorId, CredentialId, KeyId};
use consign_core::time::Timestamp;
use consign_store::gateway_calls::GatewayCall;
use consign_transport::Forwarded;
use http::Method;

use super::super::Engine;
use super::super::lanes::NoPlace;
use super::{CallBody, Hangup};
use crate::telemetry;

/// The answer broke off on the side of the tool, or here.
pub(super) const CUT: &str = "cut";
/// The application did not wait for the end.
pub(super) const CLIENT_GONE: &str = "client_gone";
/// Longer paths are cut in the record.
const PATH_CHARS_MAX: usize = 1_024;
/// Nothing waits for the application.
const NOT_WAITING: i64 = i64::MAX;

/// The calls of this process that are under way.
#[derive(Default)]
pub(in crate::engine) struct Calls(Mutex<HashMap<AttemptId, Arc<Live>>>);

/// A call whose answer is on its way.
struct Live {
    connector: ConnectorId,
    /// Its API key; a person has none.
    key: Option<KeyId>,
    hangup: Hangup,
    /// The longest that the application may take nothing.
    idle: AtomicI64,
    /// Since when a piece waits for the application, in milliseconds.
    waits_since: AtomicI64,
}

impl Calls {
    pub(super) fn under_way(&self) -> usize {
        self.table().len()
    }

    /// Hangs up where a piece waits for too long, and where a gateway or key would begin no call any more.
    pub(super) fn end_dead(&self, now: Timestamp, is_good: impl Fn(ConnectorId, Option<KeyId>) -> bool) {
        for live in self.table().values() {
            let waits_since = live.waits_since.load(Ordering::Relaxed);
            let idle = live.idle.load(Ordering::Relaxed);
            let is_stuck = waits_since != NOT_WAITING && now.millis().saturating_sub(waits_since) > idle;
            if is_stuck || !is_good(live.connector, live.key) {
                live.hangup.cut();
            }
        }
    }

    fn table(&self) -> MutexGuard<'_, HashMap<AttemptId, Arc<Live>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The book of one call. Dropped, it is closed: whatever has happened by then is what happened.
pub struct Ledger {
    engine: Arc<Engine>,
    call: GatewayCall,
    method: Method,
    /// Bytes that were taken from the application.
    taken: Arc<AtomicU64>,
    live: Arc<Live>,
    place: Option<(ConnectorId, CredentialId)>,
    keeps: bool,
}

impl Ledger {
    /// Opens it for a call that an API key, or a person without one, may make; `target` is the raw path with its query.
    pub fn begin(
        engine: &Arc<Engine>,
        connector: &Connector,
        (key, key_name): (Option<KeyId>, &str),
        method: &Method,
        target: &str,
        hangup: Hangup,
    ) -> Self {
        let now = engine.now();
        let gateway = connector.gateway();
        let path = target.split('?').next().unwrap_or_default();
        let call = GatewayCall {
            id: AttemptId::new(now),
            connector: connector.id,
            key,
            key_name: key_name.to_owned(),
            started_at: now,
            duration_ms: 0,
            method: method.as_str().chars().take(PATH_CHARS_MAX).collect(),
            path: path.chars().take(PATH_CHARS_MAX).collect(),
            status: None,
            code: None,
            request_bytes: 0,
            answer_bytes: 0,
            renewed: false,
            hidden: false,
        };
        let idle = gateway.map_or(0, |gateway| i64::from(gateway.idle_seconds) * 1_000);
        let waits_since = NOT_WAITING.into();
        let live = Arc::new(Live { connector: connector.id, key, hangup, idle: idle.into(), waits_since });
        engine.calls.table().insert(call.id, live.clone());
        Self {
            engine: engine.clone(),
            call,
            method: method.clone(),
            taken: Arc::default(),
            live,
            place: None,
            // What a person tries is always written down.
            keeps: key.is_none() || gateway.is_some_and(|gateway| gateway.record_calls),
        }
    }

    /// Consign itself answers, with this code.
    pub fn refused(&mut self, code: &'static str) {
        self.call.code = Some(code.to_owned());
    }

    /// Takes a place among the calls of a gateway and of its credential.
    ///
    /// # Errors
    /// What it would have to wait for.
    pub(super) fn take_place(&mut self, gateway: &Gateway, credential: &Credential) -> Result<(), NoPlace> {
        let (engine, connector) = (&self.engine, self.call.connector);
        engine.lanes.begin_call(connector, gateway, credential, engine.now())?;
        self.place = Some((connector, credential.id));
        Ok(())
    }

    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.taken.clone()
    }

    pub(super) fn renewed(&mut self) {
        self.call.renewed = true;
    }

    pub(super) fn hidden(&mut self) {
        self.call.hidden = true;
    }

    /// The tool answers.
    pub(super) fn answered(mut self, engine: &Arc<Engine>, forwarded: Forwarded, idle: Duration) -> CallBody {
        self.call.status = Some(forwarded.status.as_u16());
        let idle = i64::try_from(idle.as_millis()).unwrap_or(i64::MAX);
        self.live.idle.store(idle, Ordering::Relaxed);
        CallBody::new(engine.clone(), forwarded.body, self)
    }

    /// The application wants the next piece.
    pub(super) fn asked(&self) {
        self.live.waits_since.store(NOT_WAITING, Ordering::Relaxed);
    }

    /// It has a piece to take.
    pub(super) fn gave(&mut self, length: usize, now: Timestamp) {
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        self.call.answer_bytes = self.call.answer_bytes.saturating_add(length);
        self.live.waits_since.store(now.millis(), Ordering::Relaxed);
    }

    /// The answer breaks off: the application is hung up on, so that it does not take what it has for the whole.
    pub(super) fn cut(&mut self, code: &'static str) {
        self.ended(code);
        self.live.hangup.cut();
    }

    /// The answer ended before its time.
    pub(super) fn ended(&mut self, code: &'static str) {
        if self.call.code.is_none() {
            let code = if self.live.hangup.is_cut() { CUT } else { code };
            self.call.code = Some(code.to_owned());
        }
    }

    /// The closed word for log and metrics.
    fn outcome(&self) -> &'static str {
        let codes = [
            "gateway_paused",
            "too_many_calls",
            "method_not_allowed",
            "path_not_allowed",
            "credential_not_usable",
            "destination_blocked",
            "tool_unreachable",
            "tool_too_slow",
            "request_too_large",
            "too_slow",
            CUT,
            CLIENT_GONE,
        ];
        let code = self.call.code.as_deref();
        if let Some(code) = code.and_then(|code| codes.into_iter().find(|known| *known == code)) {
            return code;
        }
        match self.call.status {
            Some(..400) => "ok",
            Some(400..=499) => "http_4xx",
            Some(_) => "http_5xx",
            None => CLIENT_GONE,
        }
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        let engine = self.engine.clone();
        engine.calls.table().remove(&self.call.id);
        if let Some((connector, credential)) = self.place.take() {
            engine.call_has_ended(connector, credential);
        }
        if self.call.status.is_none() {
            self.ended(CLIENT_GONE);
        }
        let took = engine.now().since(self.call.started_at);
        self.call.duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        self.call.request_bytes = self.taken.load(Ordering::Relaxed);
        let (outcome, method) = (self.outcome(), method_label(&self.method));
        tracing::info!(
            attempt.id = %self.call.id,
            connector.id = %self.call.connector,
            key.id = self.call.key.map(tracing::field::display),
            method,
            outcome,
            status = self.call.status,
            request_bytes = self.call.request_bytes,
            answer_bytes = self.call.answer_bytes,
            renewed = self.call.renewed,
            hidden = self.call.hidden,
            duration_ms = self.call.duration_ms,
            "call finished"
        );
        metrics::counter!(telemetry::GATEWAY_CALLS, "method" => method, "outcome" => outcome).increment(1);
        metrics::histogram!(telemetry::GATEWAY_CALL_DURATION).record(took.as_secs_f64());
        for (direction, bytes) in [("request", self.call.request_bytes), ("answer", self.call.answer_bytes)] {
            metrics::counter!(telemetry::GATEWAY_BYTES, "direction" => direction).increment(bytes);
        }
        if self.keeps {
            engine.commit.note_call(self.call.clone());
        }
    }
}

/// Methods as a closed set: a client may invent others.
fn method_label(method: &Method) -> &'static str {
    use consign_core::connector::gateway::METHODS;
    match METHODS.iter().find(|known| *known == method) {
        Some(&Method::GET) => "GET",
        Some(&Method::HEAD) => "HEAD",
        Some(&Method::POST) => "POST",
        Some(&Method::PUT) => "PUT",
        Some(&Method::PATCH) => "PATCH",
        Some(&Method::DELETE) => "DELETE",
        Some(&Method::OPTIONS) => "OPTIONS",
        _ => "other",
    }
}
