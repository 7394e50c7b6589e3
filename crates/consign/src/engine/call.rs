//! One call through a gateway: limits, credential, the way to the tool and back, and the one repeat after 401.
//!
//! Nothing is asked of the database: connectors, credentials and keys are those of the snapshot, and the record of the call
//! is written after it, in a shared transaction.

use std::sync::Arc;
use std::time::Duration;

use consign_core::catalog::with_commas;
use consign_core::connector::gateway::admit::{NotAllowed, judge_query};
use consign_core::connector::gateway::headers;
use consign_core::connector::{Connector, ConnectorState, Gateway, HeldBy, Message};
use consign_core::credential::Credential;
use consign_core::delivery::{CredentialLesson, HoldReason, NoAnswer, Outcome, Refusal};
use consign_core::id::CredentialId;
use consign_core::redact::Scrubber;
use consign_core::secret::Secret;
use consign_core::target::RemotePath;
use consign_core::time::Timestamp;
use consign_transport::{Forwarded, Onward, Patience, Searched, Sent};
use http::header::{ACCEPT_ENCODING, IF_RANGE, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::Engine;
use super::authorize::Authorized;
use super::deliver::words_of;
use super::lanes::NoPlace;
use crate::telemetry;

pub use answer::CallBody;
pub use body::Unread;
pub use hangup::Hangup;
pub use ledger::Ledger;

use body::Taken;

pub(super) use ledger::Calls;

mod answer;
mod body;
mod hangup;
mod ledger;

/// When all places are taken, one may be free soon.
const FULL_WAIT: Duration = Duration::from_secs(1);

/// A call that was admitted.
pub struct Call {
    /// The gateway.
    pub connector: Arc<Connector>,
    /// Its method.
    pub method: Method,
    /// What is sent of its address.
    pub path: RemotePath,
    /// Its headers, as the application sent them.
    pub headers: HeaderMap,
    /// What is kept of it.
    pub ledger: Ledger,
}

/// The answer of a tool, on its way to the application.
#[derive(Debug)]
pub struct CallAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as the application gets them.
    pub headers: HeaderMap,
    /// Its body.
    pub body: CallBody,
}

/// Why a call was not passed on, or has no answer.
#[derive(Debug)]
pub enum CallFault {
    /// The gateway is paused, or all sending is.
    Paused(&'static str),
    /// Its own limit.
    TooMany(Duration),
    /// What it asks for.
    NotAllowed(NotAllowed),
    /// The credential cannot sign in now.
    CredentialNotUsable {
        /// The closed word.
        reason: &'static str,
        /// What it means.
        detail: String,
        /// When it may be worth another try.
        wait: Option<Duration>,
    },
    /// The egress rules.
    Blocked(String),
    /// No connection, or no whole head of an answer.
    Unreachable(String),
    /// No first byte in time.
    TooSlow(String),
    /// Its body.
    Unread(Unread),
}

impl CallFault {
    /// The closed word.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Paused(_) => "gateway_paused",
            Self::TooMany(_) => "too_many_calls",
            Self::NotAllowed(why) if why.is_of_method() => "method_not_allowed",
            Self::NotAllowed(_) => "path_not_allowed",
            Self::CredentialNotUsable { .. } => "credential_not_usable",
            Self::Blocked(_) => "destination_blocked",
            Self::Unreachable(_) => "tool_unreachable",
            Self::TooSlow(_) => "tool_too_slow",
            Self::Unread(Unread::TooLarge(_)) => "request_too_large",
            Self::Unread(Unread::TooSlow) => "too_slow",
            Self::Unread(Unread::Gone) => ledger::CLIENT_GONE,
        }
    }

    /// What happened, as a sentence.
    pub fn detail(&self) -> String {
        match self {
            Self::Paused(detail) => (*detail).to_owned(),
            Self::TooMany(_) => "This gateway, or its credential, takes no more calls just now.".to_owned(),
            Self::NotAllowed(why) => why.to_string(),
            Self::CredentialNotUsable { detail, .. } | Self::Unreachable(detail) | Self::TooSlow(detail) => {
                detail.clone()
            }
            Self::Blocked(what) => {
                let (first, rest) = what.split_at(what.chars().next().map_or(0, char::len_utf8));
                format!("{}{rest}.", first.to_uppercase())
            }
            Self::Unread(Unread::TooLarge(bytes)) => {
                let bytes = usize::try_from(*bytes).unwrap_or(usize::MAX);
                format!("The body must be {} bytes or fewer.", with_commas(bytes))
            }
            Self::Unread(Unread::TooSlow) => "The body did not arrive in time.".to_owned(),
            Self::Unread(Unread::Gone) => "The body broke off.".to_owned(),
        }
    }

    fn of_state(reason: HoldReason) -> Self {
        Self::CredentialNotUsable { reason: reason.kind(), detail: reason.text().to_owned(), wait: None }
    }
}

impl Engine {
    /// Passes on a call, up to the head of the answer.
    ///
    /// # Errors
    /// Why there is no answer of the tool.
    pub async fn forward_call<B>(self: &Arc<Self>, call: Call, body: B) -> Result<CallAnswer, CallFault>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    {
        let Call { connector, method, path, headers, mut ledger } = call;
        let gateway = connector.gateway().expect("calls are admitted by gateways");
        let passed = async {
            let credential = self.open_gateway(&connector)?;
            ledger.take_place(gateway, &credential).map_err(|why| self.too_many(why))?;
            self.begin_probe(&connector)?;
            let message = Message { method, path, headers: onward(gateway, &headers) };
            self.pass_on(gateway, &credential, message, body, &mut ledger).await
        };
        match passed.await {
            Ok((forwarded, headers)) => {
                let status = forwarded.status;
                let idle = Duration::from_secs(u64::from(gateway.idle_seconds));
                Ok(CallAnswer { status, headers, body: ledger.answered(self, forwarded, idle) })
            }
            Err(fault) => {
                ledger.refused(fault.code());
                Err(fault)
            }
        }
    }

    /// The credential to call with, if the gateway is open.
    fn open_gateway(&self, connector: &Connector) -> Result<Arc<Credential>, CallFault> {
        let snapshot = self.snapshot();
        if snapshot.sending_pause().is_some() {
            return Err(CallFault::Paused("All sending is paused."));
        }
        if let Some(detail) = paused(connector) {
            return Err(CallFault::Paused(detail));
        }
        match connector.state.hold_reason() {
            Some(_) if is_probe(connector) && self.probe_due(connector).is_some() => {}
            Some(reason) => return Err(CallFault::of_state(reason)),
            None => {}
        }
        if !snapshot.fits(connector.id) {
            return Err(CallFault::of_state(HoldReason::NotAsSaved));
        }
        let credential = connector.credential.and_then(|id| snapshot.credential(id)).cloned();
        let credential = credential.ok_or_else(|| CallFault::of_state(HoldReason::CredentialMissing))?;
        if snapshot.fits(credential.id) {
            Ok(credential)
        } else {
            Err(CallFault::of_state(HoldReason::CredentialLocked))
        }
    }

    /// The credential that was refused, when it is time to try it again.
    fn probe_due(&self, connector: &Connector) -> Option<CredentialId> {
        let snapshot = self.snapshot();
        let credential = connector.credential.and_then(|id| snapshot.credential(id))?;
        self.probe_is_due(credential, self.now()).then_some(credential.id)
    }

    /// A call that tries a refused credential again goes on from here: there is no other one for a while.
    fn begin_probe(&self, connector: &Connector) -> Result<(), CallFault> {
        let Some(reason) = connector.state.hold_reason() else { return Ok(()) };
        let due = self.probe_due(connector).ok_or_else(|| CallFault::of_state(reason))?;
        self.memory().probed.insert(due, self.now());
        Ok(())
    }

    fn too_many(&self, why: NoPlace) -> CallFault {
        CallFault::TooMany(match why {
            NoPlace::Full => FULL_WAIT,
            NoPlace::WaitUntil(at) => at.since(self.now()),
        })
    }

    /// Sends it, and once more with a new token where the tool asks for one and the body is still there.
    async fn pass_on<B>(
        self: &Arc<Self>,
        gateway: &Gateway,
        credential: &Arc<Credential>,
        message: Message,
        body: B,
        ledger: &mut Ledger,
    ) -> Result<(Forwarded, HeaderMap), CallFault>
    where
        B: hyper::body::Body<Data = bytes::Bytes> + Send + Unpin + 'static,
    {
        let mut authorized = match self.authorize(credential, self.now()).await {
            Ok(authorized) => authorized,
            Err(refusal) => return Err(self.refused_call(credential, refusal)),
        };
        let base = authorized.access.path.as_ref().map(Secret::expose);
        judge_query(&message.path, base).map_err(CallFault::NotAllowed)?;
        let (mut taken, first) =
            body::take(body, gateway, ledger.counter()).await.map_err(CallFault::Unread)?;
        let mut sent = self.send_call(gateway, &authorized, &message, first).await;
        let refused = matches!(&sent, Ok(answer) if answer.status == StatusCode::UNAUTHORIZED);
        let mut renewal_due = false;
        if let Some(token) = authorized.token.filter(|_| refused) {
            match taken.again().await {
                Some(again) => {
                    let fresh = self.authorize_again(credential, token.generation).await;
                    let fresh = fresh.map_err(|refusal| self.refused_call(credential, refusal))?;
                    if let Some(fresh) = fresh {
                        ledger.renewed();
                        authorized = fresh;
                        sent = self.send_call(gateway, &authorized, &message, again).await;
                    }
                }
                None => {
                    // It cannot be repeated; the next call has another token.
                    renewal_due = true;
                    let (engine, credential) = (self.clone(), credential.clone());
                    tokio::spawn(async move { engine.authorize_again(&credential, token.generation).await });
                }
            }
        }
        match sent {
            Ok(forwarded) => {
                self.note_use(credential.id);
                if !renewal_due {
                    self.learn_of_call(credential, lesson_of(forwarded.status));
                }
                let headers =
                    answered(gateway, (&message.path, &self.public_url()), &authorized, &forwarded, ledger);
                Ok((forwarded, headers))
            }
            Err(sent) => Err(self.unanswered_call(credential, *sent, &mut taken).await),
        }
    }

    async fn send_call(
        &self,
        gateway: &Gateway,
        authorized: &Authorized,
        message: &Message,
        body: Onward,
    ) -> Result<Forwarded, Box<Sent>> {
        let searched =
            if gateway.scrub_answers { Searched::For(authorized.scrubber.clone()) } else { Searched::Not };
        let seconds = |seconds: u32| Duration::from_secs(u64::from(seconds));
        let patience =
            Patience { first_byte: seconds(gateway.timeout_seconds), idle: seconds(gateway.idle_seconds) };
        // Boxed: the future of a request is large, and there may be two of them.
        Box::pin(self.network.forward(&authorized.access, message, body, searched, &patience)).await
    }

    /// Why there is no way in.
    fn refused_call(self: &Arc<Self>, credential: &Arc<Credential>, refusal: Refusal) -> CallFault {
        let words = words_of(&refusal);
        let with_words = |reason: HoldReason| CallFault::CredentialNotUsable {
            reason: reason.kind(),
            detail: words.clone().unwrap_or_else(|| reason.text().to_owned()),
            wait: None,
        };
        match refusal {
            Refusal::CredentialMissing => CallFault::of_state(HoldReason::CredentialMissing),
            Refusal::CredentialLocked => {
                self.learn_of_call(credential, CredentialLesson::Locked);
                CallFault::of_state(HoldReason::CredentialLocked)
            }
            Refusal::NotAsSaved => CallFault::of_state(HoldReason::NotAsSaved),
            Refusal::TokenRefused(_) | Refusal::SignInRefused => with_words(HoldReason::SignInRefused),
            Refusal::NoGrant(ref why) if why.is_empty() => with_words(HoldReason::NotAuthorized),
            Refusal::NoGrant(_) => with_words(HoldReason::ReconnectNeeded),
            Refusal::HostKeyChanged => with_words(HoldReason::HostKeyChanged),
            Refusal::DestinationBlocked(what) => blocked(what),
            Refusal::TokenAway { until, .. } => CallFault::CredentialNotUsable {
                reason: "no_token",
                detail: words.unwrap_or_default(),
                wait: Some(until.since(self.now())),
            },
            Refusal::NotRendered(what) | Refusal::NotAsFirstSent(what) => CallFault::Unreachable(what),
            Refusal::Stopping => CallFault::CredentialNotUsable {
                reason: "not_ready",
                detail: "The credential could not be read just now.".to_owned(),
                wait: Some(FULL_WAIT),
            },
        }
    }

    /// Why no answer came.
    async fn unanswered_call(
        self: &Arc<Self>,
        credential: &Arc<Credential>,
        sent: Sent,
        taken: &mut Taken,
    ) -> CallFault {
        // A body that broke off on its way here breaks the request off, too.
        if let Some(unread) = taken.unread().await {
            return CallFault::Unread(unread);
        }
        if !matches!(sent.outcome, Outcome::Refused { .. }) {
            self.note_use(credential.id);
        }
        match sent.outcome {
            Outcome::Refused { refusal: Refusal::DestinationBlocked(what) } => blocked(what),
            Outcome::Unreachable { reason } => {
                self.learn_of_call(credential, CredentialLesson::Unreachable(reason));
                CallFault::Unreachable(sent.detail)
            }
            Outcome::Unanswered { reason: NoAnswer::TimedOut } => CallFault::TooSlow(sent.detail),
            Outcome::Unanswered { .. }
            | Outcome::Refused { .. }
            | Outcome::Accepted { .. }
            | Outcome::Rejected { .. }
            | Outcome::File { .. } => CallFault::Unreachable(sent.detail),
        }
    }

    /// What a call teaches about its credential, as a delivery would. Its answer does not wait for that.
    fn learn_of_call(self: &Arc<Self>, credential: &Arc<Credential>, lesson: CredentialLesson) {
        let Some(news) = self.news(credential, lesson) else { return };
        let (engine, credential) = (self.clone(), credential.clone());
        tokio::spawn(async move {
            match engine.write_news(&credential, news, engine.now()).await {
                Ok(true) => engine.changed().await,
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(credential.id = %credential.id, %error, "a change of state is not on disk");
                }
            }
        });
    }
}

/// The headers that the tool gets. While its answer is searched it is asked for one that can be.
fn onward(gateway: &Gateway, sent: &HeaderMap) -> Vec<(http::HeaderName, HeaderValue)> {
    let mut passed = headers::onward(sent);
    if gateway.scrub_answers {
        passed.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        // What is cut out of an answer cannot be searched.
        passed.remove(RANGE);
        passed.remove(IF_RANGE);
    }
    passed.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The headers that the application gets, for the path it asked for.
fn answered(
    gateway: &Gateway,
    (path, own): (&RemotePath, &str),
    authorized: &Authorized,
    forwarded: &Forwarded,
    ledger: &mut Ledger,
) -> HeaderMap {
    let access = &authorized.access;
    let mut passed = headers::back(&forwarded.headers);
    if let Some(location) = passed.remove(LOCATION) {
        let tool = (&access.origin, access.path.as_ref().map(Secret::expose));
        let told = location.to_str().ok().and_then(|to| gateway.redirect(tool, path, own, to));
        if let Some(told) = told.and_then(|told| HeaderValue::try_from(told).ok()) {
            passed.insert(LOCATION, told);
        }
    }
    if gateway.scrub_answers && hide(&authorized.scrubber, &mut passed) {
        ledger.hidden();
    }
    passed
}

/// Hides secrets in the values of headers, and tells whether there were any.
fn hide(scrubber: &Scrubber, headers: &mut HeaderMap) -> bool {
    let mut found = false;
    for (_, value) in headers.iter_mut() {
        if let Some(masked) = scrubber.mask(value.as_bytes()) {
            *value = HeaderValue::from_bytes(&masked).expect("stars are as good as what they replace");
            found = true;
        }
    }
    found
}

/// Why nothing passes, if somebody or something paused the gateway.
fn paused(connector: &Connector) -> Option<&'static str> {
    match connector.state {
        ConnectorState::Paused => Some("The gateway is paused."),
        ConnectorState::PausedAfterFailures => Some("The gateway was paused after failures."),
        ConnectorState::Active | ConnectorState::Held(_) | ConnectorState::CredentialMissing => None,
    }
}

/// Whether one call now and then tells if the tool lets us in again.
fn is_probe(connector: &Connector) -> bool {
    matches!(connector.state, ConnectorState::Held(HeldBy::SignInRefused | HeldBy::CredentialLocked))
}

fn blocked(what: String) -> CallFault {
    metrics::counter!(telemetry::EGRESS_BLOCKED).increment(1);
    CallFault::Blocked(what)
}

fn lesson_of(status: StatusCode) -> CredentialLesson {
    match status {
        StatusCode::UNAUTHORIZED => CredentialLesson::Refused(status.as_u16()),
        status if status.is_success() => CredentialLesson::Works,
        _ => CredentialLesson::Answered,
    }
}

/// The end of a wait in whole seconds, at least one.
pub fn seconds_of(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

impl Engine {
    /// Calls under way, and records of calls that are not on disk yet.
    pub(super) fn calls_under_way(&self) -> usize {
        self.calls.under_way() + self.commit.unwritten_calls()
    }

    /// Ends calls whose application takes nothing, and those whose key was revoked or whose gateway was paused or deleted.
    pub(super) fn end_dead_calls(&self, now: Timestamp) {
        let snapshot = self.snapshot();
        let is_stopped = snapshot.sending_pause().is_some();
        self.calls.end_dead(now, |connector, key| {
            let gateway = snapshot.connector(connector);
            !is_stopped
                && gateway.is_some_and(|gateway| paused(gateway).is_none())
                && key.is_none_or(|key| snapshot.key(key).is_some_and(|key| !key.has_ended(now)))
        });
    }
}
