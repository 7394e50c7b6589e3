//! One attempt, from the leased delivery to the recorded result.

use std::sync::Arc;
use std::time::Duration;

use consign_core::connector::{Connector, Webhook};
use consign_core::credential::Credential;
use consign_core::delivery::{
    CRASHES_MAX, DeliveryState, HoldReason, Next, NoAnswer, Outcome, Progress, Refusal, Retry,
    THROTTLED_LIFE_MAX, Verdict,
};
use consign_core::id::AttemptId;
use consign_core::time::Timestamp;
use consign_store::attempts::{self, Attempt};
use consign_store::deliveries::Recording;
use consign_transport::Limits;

use super::work::Work;
use super::{Engine, PayloadKeys};
use crate::telemetry;

use made::Made;
pub(super) use seen::{Kept, Seen, seen, shown};

mod made;
mod seen;

/// Of an answer no more than this is read.
pub(super) const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The attempt was stopped before anything left.
const STOPPING: Outcome = Outcome::Refused { refusal: Refusal::Stopping };

impl Engine {
    /// Makes one attempt of a leased delivery and records it. `Some(true)`: the tool failed.
    pub(super) async fn deliver(
        self: &Arc<Self>,
        work: &Work,
        (connector, webhook): (&Arc<Connector>, &Webhook),
        credential: Option<&Arc<Credential>>,
    ) -> Option<bool> {
        let started = self.now();
        let retry = webhook.retry(&self.delivery_rules().retry_schedule());
        let seen = self.attempt(work, (connector, webhook), credential, started).await;
        let ended = self.now();
        let counted = work.attempts + u32::from(work.abandoned);
        let throttled_for = self.throttled_for(work, &seen.outcome, ended).await;
        let progress = Progress { attempt: counted + 1, throttled_for };
        let verdict = self.judge(work, &retry, progress, &seen.outcome, ended);
        let failed = match &seen.outcome {
            Outcome::Refused { .. } => None,
            outcome => Some(outcome.is_failure_of_the_tool()),
        };
        self.learn(connector, credential, &seen, &verdict, ended).await;
        let took = ended.since(started);
        self.note(work, connector, &seen, took, &verdict);
        if seen.outcome == STOPPING {
            self.give_back(std::slice::from_ref(work)).await;
            return None;
        }
        let recording = recording(work, connector, seen, &verdict, counted, (started, took, ended));
        match self.commit.record(recording).await {
            Ok(true) => {}
            Ok(false) => {
                tracing::warn!(delivery.id = %work.delivery, "the lease was lost; another worker has it")
            }
            Err(error) => {
                tracing::error!(delivery.id = %work.delivery, %error, "the result is not on disk; it will be sent again")
            }
        }
        if let Next::RetryAt(at) | Next::WaitUntil(at) = verdict.next {
            self.due_at(connector.id, at);
        }
        failed
    }

    /// How long a delivery has met nothing but throttling. Asked only where it can matter.
    async fn throttled_for(&self, work: &Work, outcome: &Outcome, now: Timestamp) -> Duration {
        let young = now.since(work.created_at) <= THROTTLED_LIFE_MAX;
        if young || outcome.class() != Outcome::THROTTLED {
            return Duration::ZERO;
        }
        let since = async {
            let mut db = self.store.read().await?;
            attempts::outcome_since(&mut db, work.delivery, Outcome::THROTTLED).await
        };
        match since.await {
            Ok(since) => since.map(|since| now.since(since)).unwrap_or_default(),
            Err(error) => {
                tracing::warn!(delivery.id = %work.delivery, %error, "its attempts cannot be read; it waits on");
                Duration::ZERO
            }
        }
    }

    fn judge(
        &self,
        work: &Work,
        retry: &Retry,
        progress: Progress,
        outcome: &Outcome,
        now: Timestamp,
    ) -> Verdict {
        let stopped = Outcome::Unanswered { reason: NoAnswer::ProgramStopped };
        if *outcome == stopped && work.crashes >= CRASHES_MAX {
            return Verdict { next: Next::Hold(HoldReason::RepeatedCrash), lane: None, credential: None };
        }
        let verdict = retry.next(progress, outcome, now, self.jitter());
        match verdict.next {
            // A test is one attempt: whoever pressed the button is looking at its result.
            Next::RetryAt(_) | Next::WaitUntil(_) if work.test && *outcome != STOPPING => {
                Verdict { next: Next::Fail, ..verdict }
            }
            _ => verdict,
        }
    }

    async fn attempt(
        self: &Arc<Self>,
        work: &Work,
        (connector, webhook): (&Arc<Connector>, &Webhook),
        credential: Option<&Arc<Credential>>,
        now: Timestamp,
    ) -> Seen {
        let refused =
            |refusal: Refusal, words: Option<String>| Seen::nothing(Outcome::Refused { refusal }, words);
        let in_doubt = webhook.when_no_answer == consign_core::connector::WhenNoAnswer::Hold;
        if work.abandoned && (in_doubt || work.crashes >= CRASHES_MAX) {
            let words = "The program stopped while this was being sent.".to_owned();
            return Seen::nothing(Outcome::Unanswered { reason: NoAnswer::ProgramStopped }, Some(words));
        }
        let Some(credential) = credential else { return refused(Refusal::CredentialMissing, None) };
        let snapshot = self.snapshot();
        if !snapshot.fits(connector.id) {
            return refused(Refusal::NotAsSaved, None);
        }
        if !snapshot.fits(credential.id) {
            return refused(Refusal::CredentialLocked, None);
        }
        let Made { message, body, request, payload_key } =
            match self.made(work, (connector, webhook), credential, &snapshot, now).await {
                Ok(made) => made,
                Err((refusal, words)) => return refused(refusal, words),
            };
        let authorized = match self.authorize(credential, now).await {
            Ok(authorized) => authorized,
            Err(refusal) => {
                let words = words_of(&refusal);
                return refused(refusal, words);
            }
        };
        let timeout = webhook.timeout;
        let limits = Limits { timeout, head_timeout: None, answer_bytes_max: ANSWER_BYTES_MAX };
        let sent = self.network.send(&authorized.access, &message, body.clone(), &limits, now).await;
        let again = match authorized.token.filter(|token| asks_for_renewal(&sent.outcome, token.ended)) {
            Some(refused) => self.authorize_again(credential, refused.generation).await,
            None => Ok(None),
        };
        let (authorized, sent) = match again {
            Ok(None) => (authorized, sent),
            Ok(Some(fresh)) => {
                let sent = Box::pin(self.network.send(&fresh.access, &message, body, &limits, now)).await;
                (fresh, sent)
            }
            Err(refusal) => {
                let words = words_of(&refusal);
                return refused(refusal, words);
            }
        };
        let kept = Kept {
            record: &work.delivery.to_string(),
            success_when: webhook.success_when,
            outputs: &webhook.outputs,
        };
        let seen = seen(&kept, credential, &authorized, &message, sent, &payload_key);
        let left = !matches!(seen.outcome, Outcome::Refused { .. } | Outcome::Unreachable { .. });
        Seen { request: request.filter(|_| left), ..seen }
    }

    /// One log line and the metrics of an attempt.
    fn note(&self, work: &Work, connector: &Connector, seen: &Seen, took: Duration, verdict: &Verdict) {
        let outcome = seen.outcome.class();
        tracing::info!(
            delivery.id = %work.delivery,
            connector.id = %connector.id,
            attempt = work.attempts + 1,
            outcome,
            status = seen.outcome.status(),
            duration_ms = millis(took),
            "attempt finished"
        );
        let kind = "webhook";
        metrics::counter!(telemetry::DELIVERY_ATTEMPTS, "connector_kind" => kind, "outcome" => outcome)
            .increment(1);
        metrics::histogram!(telemetry::DELIVERY_ATTEMPT_DURATION, "connector_kind" => kind)
            .record(took.as_secs_f64());
        if outcome == "blocked" {
            metrics::counter!(telemetry::EGRESS_BLOCKED).increment(1);
        }
        let ended = match verdict.next {
            Next::Deliver => "delivered",
            Next::Fail => "failed",
            Next::RetryAt(_) | Next::WaitUntil(_) | Next::Hold(_) => return,
        };
        metrics::counter!(telemetry::DELIVERIES, "connector_kind" => kind, "outcome" => ended).increment(1);
        if ended == "delivered" {
            let lag = self.now().since(work.created_at);
            metrics::histogram!(telemetry::DELIVERY_LAG, "connector_kind" => kind).record(lag.as_secs_f64());
        }
    }
}

/// Whether a new token could help: after 401, and after 403 and 404 when the time of the token was over, which is
/// how some tools say it.
pub(super) fn asks_for_renewal(outcome: &Outcome, ended: bool) -> bool {
    match outcome {
        Outcome::Rejected { status: 401, .. } => true,
        Outcome::Rejected { status: 403, wait: None } | Outcome::Rejected { status: 404, .. } => ended,
        _ => false,
    }
}

/// What a person reads about a request that was not made.
pub(super) fn words_of(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::TokenAway { reason, .. } => Some(format!("No token: {reason}.")),
        Refusal::TokenRefused(reason) => Some(format!("The tool gave no token: {reason}.")),
        Refusal::NoGrant(reason) if reason.is_empty() => Some("Nobody has approved access yet.".to_owned()),
        Refusal::NoGrant(reason) => Some(format!("Someone must approve access again: {reason}.")),
        Refusal::NotAsFirstSent(what) => Some(what.clone()),
        Refusal::CredentialMissing
        | Refusal::CredentialLocked
        | Refusal::NotAsSaved
        | Refusal::DestinationBlocked(_)
        | Refusal::NotRendered(_)
        | Refusal::HostKeyChanged
        | Refusal::SignInRefused
        | Refusal::Stopping => None,
    }
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn recording(
    work: &Work,
    connector: &Connector,
    seen: Seen,
    verdict: &Verdict,
    counted: u32,
    (started, took, ended): (Timestamp, Duration, Timestamp),
) -> Recording {
    let (state, hold_reason, due_at, attempts) = match verdict.next {
        Next::Deliver => (DeliveryState::Delivered, None, ended, counted + 1),
        Next::RetryAt(at) => (DeliveryState::Pending, None, at, counted + 1),
        // Due at once, when what holds it is repaired: at its old place, so that the oldest goes first.
        Next::WaitUntil(at) if at <= ended => (DeliveryState::Pending, None, work.created_at, counted),
        Next::WaitUntil(at) => (DeliveryState::Pending, None, at, counted),
        Next::Hold(reason) => (DeliveryState::Held, Some(reason), ended, counted),
        Next::Fail => (DeliveryState::Failed, None, ended, counted + 1),
    };
    let status = seen.outcome.status();
    let stopped = seen.outcome == Outcome::Unanswered { reason: NoAnswer::ProgramStopped };
    let wait_ms = match &seen.outcome {
        Outcome::Rejected { wait, .. } => wait.map(millis),
        _ => None,
    };
    Recording {
        delivery: work.delivery,
        fence: work.fence,
        state,
        hold_reason,
        due_at,
        attempts,
        outcome: seen.outcome.class(),
        status,
        message: seen.message.clone(),
        reference: seen.reference,
        ended_at: (!matches!(state, DeliveryState::Pending | DeliveryState::Held)).then_some(ended),
        attempt: Attempt {
            id: AttemptId::new(started),
            delivery: work.delivery,
            connector: connector.id,
            // An attempt that the program did not survive has been counted already.
            number: counted + u32::from(!stopped),
            started_at: started,
            duration_ms: millis(took),
            outcome: seen.outcome.class().to_owned(),
            status,
            message: seen.message,
            wait_ms,
            request_line: seen.request_line,
            request_headers: seen.request_headers,
            answer_headers: seen.answer_headers,
            answer_excerpt: seen.excerpt,
            payload_key: PayloadKeys::day(started),
            timing: seen.timing,
            request_bytes: seen.request_bytes,
            answer_bytes: seen.answer_bytes,
            request: seen.request,
        },
    }
}
