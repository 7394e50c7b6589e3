//! One token request, from the credential to what its answer means.

use std::time::Duration;

use bytes::Bytes;
use consign_core::connector::Message;
use consign_core::delivery::{Outcome, Refusal, Unreached};
use consign_core::redact::Scrubber;
use consign_core::secret::Secret;
use consign_core::target::{RemotePath, Target};
use consign_core::time::Timestamp;
use consign_core::token::{self, Answer, Exchange, Token, TokenError};
use consign_transport::{Limits, Sent, Timing};
use http::header::{ACCEPT, CONTENT_TYPE, DATE, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method};

use super::Engine;
use super::authorize::Opened;
use crate::telemetry;

/// All of a token request, its answer included; a lease outlasts it.
const TIMEOUT: Duration = Duration::from_secs(20);
/// Until the head of the answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// What became of a token request.
pub(super) struct Asked {
    /// The token, or why there is none.
    pub result: Result<Token, AskError>,
    /// The status and clock of the answer, for a test.
    pub seen: Option<AnswerSeen>,
    /// How long it took.
    pub timing: Timing,
}

/// Of an answer only what can hold no token.
pub(super) struct AnswerSeen {
    pub status: u16,
    pub date: Option<String>,
}

/// Why there is no token.
#[derive(Debug)]
pub(super) enum AskError {
    /// What the token address said, or that it said nothing.
    Token(TokenError),
    /// Nothing answered; `trust`: it was not believed to be the one.
    Unreached {
        /// What was seen.
        reason: String,
        /// The secure connection failed.
        trust: bool,
    },
    /// It was not asked.
    Refused(Refusal),
}

impl Engine {
    /// Sends a token request and reads the answer. No transaction may be open.
    pub(super) async fn ask(
        &self,
        opened: &Opened<'_>,
        exchange: &Exchange,
        before: Option<Token>,
        life_seen: Option<Duration>,
        now: Timestamp,
    ) -> Asked {
        let access = match opened.enter_exchange(exchange) {
            Ok(access) => access,
            Err(refusal) => {
                let result = Err(AskError::Refused(refusal));
                return Asked { result, seen: None, timing: Timing::default() };
            }
        };
        // A signature takes about a millisecond of a processor, which other work must not wait for.
        let form = match exchange.assertion {
            Some(_) => tokio::task::block_in_place(|| exchange.form(now)),
            None => exchange.form(now),
        };
        let Ok((form, proofs)) = form else {
            let result = Err(AskError::Refused(Refusal::CredentialLocked));
            return Asked { result, seen: None, timing: Timing::default() };
        };
        let headers = [
            (ACCEPT, "application/json"),
            (CONTENT_TYPE, "application/x-www-form-urlencoded"),
            (USER_AGENT, concat!("Consign/", env!("CARGO_PKG_VERSION"))),
        ];
        let message = Message {
            method: Method::POST,
            path: RemotePath::root(),
            headers: headers.map(|(name, value)| (name, HeaderValue::from_static(value))).into(),
        };
        let body = Bytes::copy_from_slice(form.expose().as_bytes());
        let limits = Limits {
            timeout: TIMEOUT,
            head_timeout: Some(HEAD_TIMEOUT),
            answer_bytes_max: token::ANSWER_BYTES_MAX,
        };
        let sent = self.network.send(&access, &message, body, &limits, now).await;
        self.note_use_of(opened.credential.id, &Target::Https(access.origin));
        let timing = sent.timing;
        let seen = sent
            .answer
            .as_ref()
            .map(|answer| AnswerSeen { status: answer.status, date: text(&answer.headers, DATE.as_str()) });
        let copied = |token: &Token| -> Vec<Secret> {
            let both = [&token.access, &token.refresh].into_iter().flatten();
            both.map(|token| Secret::new(token.expose().to_owned())).collect()
        };
        let mut tokens = before.as_ref().map(copied).unwrap_or_default();
        let result = read(exchange, sent, before, life_seen, self.now());
        tokens.extend(result.iter().flat_map(copied));
        tokens.extend(proofs);
        let result = scrubbed(result, &opened.scrubber_of_exchange(exchange, &tokens));
        let outcome = match &result {
            Ok(_) => "ok",
            Err(AskError::Unreached { .. } | AskError::Token(TokenError::Transient { .. })) => "transient",
            Err(AskError::Token(TokenError::Refused { .. })) => "refused",
            Err(AskError::Token(TokenError::GrantEnded { .. })) => "grant_ended",
            Err(AskError::Refused(_)) => "blocked",
        };
        let grant = exchange.grant.kind();
        metrics::counter!(telemetry::TOKEN_REQUESTS, "grant" => grant, "outcome" => outcome).increment(1);
        let reason = match &result {
            Ok(_) => "",
            Err(AskError::Token(error)) => error.reason(),
            Err(AskError::Unreached { reason, .. }) => reason,
            Err(AskError::Refused(_)) => "not sent",
        };
        tracing::info!(credential.id = %opened.credential.id, grant, outcome, reason, "token request finished");
        Asked { result, seen, timing }
    }
}

fn read(
    exchange: &Exchange,
    sent: Sent,
    before: Option<Token>,
    life_seen: Option<Duration>,
    now: Timestamp,
) -> Result<Token, AskError> {
    let unreached =
        |trust| AskError::Unreached { reason: sent.detail.trim_end_matches('.').to_owned(), trust };
    match sent.outcome {
        Outcome::Refused { refusal } => Err(AskError::Refused(refusal)),
        Outcome::Unreachable { reason } => Err(unreached(reason == Unreached::Tls)),
        // No file server is asked for a token.
        Outcome::Unanswered { .. } | Outcome::File { .. } => Err(unreached(false)),
        Outcome::Accepted { .. } | Outcome::Rejected { .. } => {
            let Some(reply) = &sent.answer else { return Err(unreached(false)) };
            let content_type = text(&reply.headers, CONTENT_TYPE.as_str());
            let wait = match sent.outcome {
                Outcome::Rejected { wait, .. } => wait,
                _ => None,
            };
            let answer = Answer {
                status: reply.status,
                content_type: content_type.as_deref(),
                body: &reply.body,
                whole: reply.whole,
                wait,
            };
            exchange.read(answer, before, life_seen, now).map_err(AskError::Token)
        }
    }
}

/// What is shown of an answer is free of all that it may repeat.
fn scrubbed(result: Result<Token, AskError>, scrubber: &Scrubber) -> Result<Token, AskError> {
    match result {
        Ok(mut token) => {
            token.facts.scope = token.facts.scope.map(|scope| scrubber.scrub_whole(&scope));
            Ok(token)
        }
        Err(AskError::Token(error)) => Err(AskError::Token(error.scrubbed(scrubber))),
        Err(AskError::Unreached { reason, trust }) => {
            Err(AskError::Unreached { reason: scrubber.scrub_whole(&reason), trust })
        }
        Err(error @ AskError::Refused(_)) => Err(error),
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}
