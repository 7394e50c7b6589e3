//! Connection tests: of a stored credential, or of a complete set of new values.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use consign_core::catalog::Tokens;
use consign_core::connection_test::{StepCode, StepState, TestResult};
use consign_core::connector::HeldBy;
use consign_core::credential::{Credential, Draft, Refuser, Save, Status, StatusCode};
use consign_core::delivery::CredentialLesson;
use consign_core::id::{CredentialId, TestId};
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::credential_tests::{self as kept, FinishedTest};
use consign_store::{Tx, connectors, credentials, installation, tokens};
use serde_json::{Value, json};

use super::credentials::{by_reference, judge_destinations, object, read, refused_by, row};
use super::{Actor, Object, OpError, Rest, Sent, audit_entry, commit, invalid, require_as_saved};
use crate::App;
use crate::engine::{StepWatch, TestHow};

pub mod live;

/// So many tests of one credential, comparisons of its secrets, or tests of new values by one caller, in this time.
const TESTS_MAX: usize = 10;
const PER: Duration = Duration::from_secs(60);

/// Keeps tests and comparisons from being used to try passwords, and tests to scan networks. Each replica counts for itself.
#[derive(Default)]
pub struct TestBrake(Mutex<HashMap<String, Vec<Timestamp>>>);

impl TestBrake {
    pub(super) fn take(&self, what: String, now: Timestamp) -> Result<(), OpError> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        table.retain(|_, times| times.iter().any(|at| now.since(*at) < PER));
        let times = table.entry(what).or_default();
        times.retain(|at| now.since(*at) < PER);
        match times.first() {
            Some(first) if times.len() >= TESTS_MAX => {
                let seconds = PER.saturating_sub(now.since(*first)).as_secs().max(1);
                Err(OpError::TooMany { seconds })
            }
            _ => {
                times.push(now);
                Ok(())
            }
        }
    }
}

/// Tests a stored credential. With values it is tested as if they were saved; they are not. Its steps go to `watch` as they
/// end.
///
/// # Errors
/// Without the right, too often, or when a value is not accepted; a changed destination asks for every secret.
pub async fn start(
    app: &App,
    actor: &Actor,
    reference: &str,
    values: Option<Sent>,
    write: bool,
    watch: Option<StepWatch>,
) -> Result<Value, OpError> {
    actor.require(Right::CredentialsTest)?;
    let now = app.now();
    let mut db = app.store.read().await?;
    let stored = by_reference(&mut db, reference).await?;
    require_as_saved(app, &mut db, &row(&stored)).await?;
    drop(db);
    let (credential, saved) = match values {
        None => (stored, true),
        Some(sent) => {
            let draft = read(sent, Some((&stored, Rest::Kept)), now).await?;
            require_known_key(&draft)?;
            judge_destinations(app, &draft, Some(&stored)).await?;
            let save = Save { now, by: actor.name() };
            (draft.seal(&app.vault, &save, stored.id, Some(&stored)), false)
        }
    };
    app.tests.take(credential.id.to_string(), now)?;
    run(app, actor, &Arc::new(credential), TestHow { saved, write }, watch).await
}

/// Tests a complete set of new values. Nothing is stored but the audit entry. Its steps go to `watch` as they end.
///
/// # Errors
/// Without the right, too often, or when a value is not accepted.
pub async fn of_values(
    app: &App,
    actor: &Actor,
    sent: Sent,
    write: bool,
    watch: Option<StepWatch>,
) -> Result<Value, OpError> {
    actor.require(Right::CredentialsTest)?;
    let now = app.now();
    let draft = read(sent, None, now).await?;
    require_known_key(&draft)?;
    judge_destinations(app, &draft, None).await?;
    app.tests.take(actor.caller(), now)?;
    let save = Save { now, by: actor.name() };
    let credential = draft.seal(&app.vault, &save, CredentialId::new(now), None);
    let result = app.engine.test(&Arc::new(credential.clone()), TestHow { saved: false, write }, watch).await;
    let mut tx = app.store.begin().await?;
    let of = Object { kind: "credential", id: String::new(), name: credential.name.as_str() };
    let changes = json!({ "outcome": result.outcome.kind() });
    audit_entry(app, &mut tx, actor, "Tested values of a credential", of, changes).await?;
    commit(app, tx).await?;
    Ok(show(None, app.now(), actor.name(), &json!(result)))
}

/// No tool knows a key pair that is not there yet.
fn require_known_key(draft: &Draft) -> Result<(), OpError> {
    match &draft.new_key_pair {
        None => Ok(()),
        Some(wish) => {
            let sentence = "Save first: the key pair is made then, and the tool needs its certificate";
            Err(invalid(wish.certificate, "not_made_yet", sentence))
        }
    }
}

/// The last tests of a credential, newest first.
///
/// # Errors
/// Without the right, or when there is no such credential.
pub async fn list(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    actor.require(Right::CredentialsRead)?;
    let mut db = app.store.read().await?;
    let credential = by_reference(&mut db, reference).await?;
    let tests = kept::list(&mut db, credential.id).await?;
    let shown = tests.iter().map(|test| {
        let result = serde_json::from_str(&test.result).unwrap_or(Value::Null);
        show(Some(test.id), test.at, &test.by, &result)
    });
    Ok(shown.collect())
}

/// Tests a credential that was just saved or approved, while nobody waits.
pub fn start_in_background(app: &Arc<App>, actor: &Actor, id: CredentialId) {
    let (app, actor) = (app.clone(), actor.clone());
    tokio::spawn(async move {
        if !actor.rights.allow(Right::CredentialsTest) {
            return;
        }
        match start(&app, &actor, &id.to_string(), None, false, None).await {
            Ok(_) | Err(OpError::TooMany { .. } | OpError::NotFound(_)) => {}
            Err(error) => tracing::warn!(credential.id = %id, %error, "the test after a save was not done"),
        }
    });
}

async fn run(
    app: &App,
    actor: &Actor,
    credential: &Arc<Credential>,
    how: TestHow,
    watch: Option<StepWatch>,
) -> Result<Value, OpError> {
    let saved = how.saved;
    let at = app.now();
    let result = app.engine.test(credential, how, watch).await;
    if saved {
        app.engine.note_use(credential.id);
    }
    let value = json!(result);
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let id = saved.then(|| TestId::new(at));
    let mut changed = false;
    if let Some(id) = id {
        let test = FinishedTest {
            id,
            at,
            by: actor.name().to_owned(),
            outcome: result.outcome.kind().to_owned(),
            result: value.to_string(),
        };
        // A credential that was deleted meanwhile keeps nothing.
        let present = credentials::lock(&mut tx, credential.id).await?;
        let present = present.ok_or(OpError::NotFound("credential"))?;
        kept::insert(&mut tx, credential.id, &test).await?;
        // What was tested and what a token was asked for with since is the same.
        let let_in = got_token(credential, &result) && present.signs_in_like(credential);
        let refused = let_in && was_refused_a_token(&mut tx, credential.id).await?;
        // The credential is locked: its tokens come before its connectors.
        let forgiven = let_in && tokens::forgive(&mut tx, credential.id).await?;
        changed = draw_consequences(&mut tx, credential, &result, refused, now).await? || forgiven;
        if changed {
            installation::bump(&mut tx).await?;
        }
    }
    let changes =
        json!({ "outcome": result.outcome.kind(), "values": if saved { "saved" } else { "unsaved" } });
    audit_entry(app, &mut tx, actor, "Tested credential", object(credential), changes).await?;
    commit(app, tx).await?;
    if changed {
        app.engine.changed().await;
    }
    Ok(show(id, at, actor.name(), &value))
}

/// Whether the token address gave the test a token of its own.
fn got_token(credential: &Credential, result: &TestResult) -> bool {
    let token = result.steps.iter().find(|step| step.code == StepCode::Token);
    credential.authorization_type.tokens == Tokens::Fetched
        && token.is_some_and(|step| step.state == StepState::Done)
}

/// Whether it was the token address that refused the sign-in.
async fn was_refused_a_token(tx: &mut Tx, id: CredentialId) -> Result<bool, OpError> {
    Ok(refused_by(tokens::find(tx, id).await?.as_ref()) == Refuser::TokenAddress)
}

/// A test of what is stored sets the status; one that proved the sign-in is a repair, and so is a token from the
/// address that had `refused` one.
async fn draw_consequences(
    tx: &mut Tx,
    credential: &Credential,
    result: &TestResult,
    refused: bool,
    now: Timestamp,
) -> Result<bool, OpError> {
    let present = credential.seen.code;
    let (code, reason) = match result.lesson {
        Some(CredentialLesson::Works) => (StatusCode::Working, String::new()),
        // What is proven by use stays proven, what is refused stays refused.
        Some(CredentialLesson::Answered) => match present {
            StatusCode::NotTested | StatusCode::NotProven | StatusCode::CannotReach => {
                (StatusCode::NotProven, String::new())
            }
            StatusCode::SignInRefused if refused => (StatusCode::NotProven, String::new()),
            _ => return Ok(false),
        },
        Some(CredentialLesson::Refused(_)) => (StatusCode::SignInRefused, reason_of(result)),
        Some(CredentialLesson::HostKeyChanged) => (StatusCode::HostKeyChanged, reason_of(result)),
        Some(CredentialLesson::Unreachable(_)) if !present.holds() => {
            (StatusCode::CannotReach, result.message.clone())
        }
        Some(CredentialLesson::Unreachable(_) | CredentialLesson::Locked) | None => return Ok(false),
    };
    let since = if present == code { credential.seen.since } else { now };
    let status = Status { code, reason: reason.clone(), since };
    if !credentials::learn(tx, credential, &status).await? {
        return Ok(false);
    }
    match code {
        StatusCode::Working => {
            tokens::forgive(tx, credential.id).await?;
            credentials::mark_used(tx, credential.id, now).await?;
            connectors::release_by_credential(tx, credential.id, now).await?;
        }
        StatusCode::NotProven if present.holds() => {
            connectors::release_by_credential(tx, credential.id, now).await?;
        }
        StatusCode::SignInRefused => {
            connectors::hold_by_credential(tx, credential.id, HeldBy::SignInRefused, &reason, now).await?;
        }
        StatusCode::HostKeyChanged => {
            connectors::hold_by_credential(tx, credential.id, HeldBy::HostKeyChanged, &reason, now).await?;
        }
        _ => {}
    }
    Ok(true)
}

/// One line for the list: the fact of the failed step, else the whole message.
fn reason_of(result: &TestResult) -> String {
    let failed = result.steps.iter().find(|step| step.state == StepState::Failed);
    let fact = failed.filter(|step| step.code == StepCode::Token).map(|step| step.fact.clone());
    fact.filter(|fact| !fact.is_empty()).unwrap_or_else(|| result.message.clone())
}

fn show(id: Option<TestId>, at: Timestamp, by: &str, result: &Value) -> Value {
    let mut shown = json!({ "id": id, "at": at.to_string(), "by": by });
    if let (Value::Object(shown), Value::Object(result)) = (&mut shown, result) {
        shown.extend(result.clone());
    }
    shown
}

#[cfg(test)]
mod tests;
