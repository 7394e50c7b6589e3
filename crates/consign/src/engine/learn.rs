//! What an attempt teaches about its connector and credential: closed, held, working again.

use std::sync::Arc;
use std::time::Duration;

use consign_core::connector::{Connector, ConnectorState, HeldBy};
use consign_core::credential::{Credential, Status, StatusCode};
use consign_core::delivery::{CredentialLesson, LaneChange, Outcome, Unreached, Verdict};
use consign_core::time::Timestamp;
use consign_store::{StoreError, connectors, credentials, installation};

use super::Engine;
use super::deliver::Seen;

/// A connector that only failed for so long is paused.
const FAILING_MAX: Duration = Duration::from_secs(5 * 86_400);
/// So many uses that reached nothing make the status *Cannot reach*.
const UNREACHED_MAX: u32 = 3;

/// What changed about a credential.
pub(super) struct News {
    code: StatusCode,
    reason: String,
    held_by: Option<HeldBy>,
}

impl Engine {
    /// Takes the consequences of an attempt for its connector and credential, before its result is recorded, so
    /// that nothing else of a held lane starts in between.
    pub(super) async fn learn(
        &self,
        connector: &Arc<Connector>,
        credential: Option<&Arc<Credential>>,
        seen: &Seen,
        verdict: &Verdict,
        now: Timestamp,
    ) {
        // What was refused here was not dialled.
        if let (Some(credential), false) = (credential, matches!(seen.outcome, Outcome::Refused { .. })) {
            self.note_use(credential.id);
        }
        let lane = self.learn_of_connector(connector, seen, verdict.lane, now).await;
        // Any answer at all shows that the tool can be reached.
        let answered = seen.outcome.status().is_some().then_some(CredentialLesson::Answered);
        let lesson = match (credential, verdict.credential.or(answered)) {
            (Some(credential), Some(lesson)) => match self.news(credential, lesson) {
                Some(news) => self.write_news(credential, news, now).await,
                None => Ok(false),
            },
            _ => Ok(false),
        };
        match (lane, lesson) {
            (Ok(false), Ok(false)) => {}
            (Ok(_), Ok(_)) => self.changed().await,
            (Err(error), _) | (_, Err(error)) => {
                tracing::error!(connector.id = %connector.id, %error, "a change of state is not on disk");
            }
        }
    }

    async fn learn_of_connector(
        &self,
        connector: &Connector,
        seen: &Seen,
        change: Option<LaneChange>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let failing = seen.outcome.is_failure_of_the_tool();
        let answered = seen.outcome.status().is_some() || matches!(seen.outcome, Outcome::File { .. });
        let works = answered && !failing;
        let failing_since = match connector.failing_since {
            None if failing => Some(Some(now)),
            Some(_) if works => Some(None),
            _ => None,
        };
        let too_long = failing && connector.failing_since.is_some_and(|since| now.since(since) > FAILING_MAX);
        if change.is_none() && failing_since.is_none() && !too_long {
            return Ok(false);
        }
        let reason = seen.message.clone().unwrap_or_default();
        let mut tx = self.store.begin().await?;
        if let Some(since) = failing_since {
            connectors::set_failing_since(&mut tx, connector.id, since).await?;
        }
        let mut stop = None;
        match change {
            Some(LaneChange::ClosedUntil(until)) => {
                connectors::close_until(&mut tx, connector.id, until).await?;
            }
            Some(LaneChange::Hold(
                HeldBy::SignInRefused | HeldBy::HostKeyChanged | HeldBy::CredentialLocked,
            )) => {
                // Held with its credential, below: all connectors of it at once.
            }
            Some(LaneChange::Hold(by)) => stop = Some((ConnectorState::Held(by), reason.as_str())),
            Some(LaneChange::Pause) => {
                stop = Some((
                    ConnectorState::PausedAfterFailures,
                    "The tool answered 410: the address is gone.",
                ));
            }
            None if too_long => {
                stop = Some((ConnectorState::PausedAfterFailures, "It only failed for 5 days."));
            }
            None => {}
        }
        if let Some((state, reason)) = stop {
            let active = Some(ConnectorState::Active);
            connectors::set_state(&mut tx, connector.id, active, state, reason, now).await?;
        }
        installation::bump(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// What a lesson changes about a credential, if it does: that is to be written down.
    pub(super) fn news(&self, credential: &Credential, lesson: CredentialLesson) -> Option<News> {
        let unreached = self.count_unreached(credential.id, lesson);
        let (code, reason, held_by) = match lesson {
            CredentialLesson::Works => {
                self.used(credential.id);
                (StatusCode::Working, String::new(), None)
            }
            CredentialLesson::Answered if credential.seen.code != StatusCode::CannotReach => {
                return None;
            }
            CredentialLesson::Answered => (StatusCode::NotTested, String::new(), None),
            CredentialLesson::Refused(status) => {
                let reason = match status {
                    0 => "the server refused the sign-in".to_owned(),
                    status => format!("the tool answered {status}"),
                };
                (StatusCode::SignInRefused, reason, Some(HeldBy::SignInRefused))
            }
            CredentialLesson::HostKeyChanged => {
                let reason = "the server showed another host key than the pinned one";
                (StatusCode::HostKeyChanged, reason.to_owned(), Some(HeldBy::HostKeyChanged))
            }
            CredentialLesson::Locked => {
                let reason =
                    "a secret does not open with the loaded keys, or the address it belongs to was changed";
                let known = Some(&credential.seen).filter(|seen| seen.code == StatusCode::Locked);
                let reason = known.map_or_else(|| reason.to_owned(), |seen| seen.reason.clone());
                (StatusCode::Locked, reason, Some(HeldBy::CredentialLocked))
            }
            // A refusal stands until the tool lets us in again, whether it can be reached or not.
            CredentialLesson::Unreachable(_) if unreached < UNREACHED_MAX || credential.seen.code.holds() => {
                return None;
            }
            CredentialLesson::Unreachable(what) => (StatusCode::CannotReach, words(what).to_owned(), None),
        };
        let same = credential.seen.code == code;
        (!same || held_by.is_some()).then_some(News { code, reason, held_by })
    }

    /// Writes down what changed about a credential. `false`: it was saved meanwhile, and nothing was.
    pub(super) async fn write_news(
        &self,
        credential: &Credential,
        News { code, reason, held_by }: News,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let same = credential.seen.code == code;
        let mut tx = self.store.begin().await?;
        let since = if same { credential.seen.since } else { now };
        let status = Status { code, reason: reason.clone(), since };
        if !credentials::learn(&mut tx, credential, &status).await? {
            // It was saved or refused meanwhile: what was met before says nothing about it now.
            return Ok(false);
        }
        if code == StatusCode::Working {
            credentials::mark_used(&mut tx, credential.id, now).await?;
        }
        match held_by {
            Some(by) => {
                let held = connectors::hold_by_credential(&mut tx, credential.id, by, &reason, now).await?;
                tracing::warn!(credential.id = %credential.id, credential.status = code.kind(), connectors = held, "credential needs attention; its deliveries wait");
            }
            None if credential.seen.code.holds() => {
                let freed = connectors::release_by_credential(&mut tx, credential.id, now).await?;
                tracing::info!(credential.id = %credential.id, connectors = freed, "credential works again; its deliveries go on");
            }
            None => {}
        }
        installation::bump(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }
}

fn words(unreached: Unreached) -> &'static str {
    match unreached {
        Unreached::Name => "the name was not found",
        Unreached::Connect => "the connection failed",
        Unreached::Tls => "the secure connection failed",
    }
}
