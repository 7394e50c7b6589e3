//! What may be shown of a delivery and its attempts, in words: what happened, why it waits, what mends it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use consign_core::catalog::Tokens;
use consign_core::connector::Connector;
use consign_core::credential::{Credential, NextAction, Refuser, StatusCode};
use consign_core::delivery::{DeliveryState, HoldReason, Outcome};
use consign_core::id::{ConnectorId, CredentialId};
use consign_core::replay::ReplayRequest;
use consign_core::schedule::TimeZone;
use consign_core::time::{Timestamp, in_words};
use consign_store::attempts::{Attempt, Tried};
use consign_store::deliveries::{Delivery, Line};
use consign_store::tokens::TokenRow;
use consign_store::{Db, attempts, connectors, tokens};
use serde_json::{Map, Value, json};

use super::curl::curl;
use crate::App;
use crate::ops::credentials::{refused_by, shown_away};
use crate::ops::{OpError, sending};

/// Begins the text of a hold that names who refused.
const REFUSED: &str = "The sign-in was refused: ";
/// What happens to a delivery for which there is no token.
const ASKED_AGAIN: &str =
    "It goes on by itself when the token address may be asked again, or at once with Try now.";

/// What a sign-in met that was refused or has no token, as it is stored now: the connectors in memory may be those of a moment before.
#[derive(Default)]
pub(super) struct Refusals {
    /// By connector: what was seen, in one line.
    seen: HashMap<ConnectorId, String>,
    /// By credential: who it was. Only where it makes a difference.
    by: HashMap<CredentialId, Refuser>,
    /// By credential: its tokens, where nothing is sent for want of one.
    away: HashMap<CredentialId, TokenRow>,
}

/// One delivery.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn shown(app: &App, db: &mut Db, line: &Line) -> Result<Value, OpError> {
    shown_in(app, db, line, &utc()).await
}

/// The same, with the times of its sentences as they are read in a zone.
///
/// # Errors
/// As of [`shown`].
pub(super) async fn shown_in(app: &App, db: &mut Db, line: &Line, zone: &TimeZone) -> Result<Value, OpError> {
    let refusals = refusals(app, db, std::slice::from_ref(line)).await?;
    let tried = attempts::tried(db, &[line.delivery.id]).await?;
    Ok(with_tried(show(app, line, &refusals, zone), tried.get(&line.delivery.id)))
}

/// What programs read.
pub(super) fn utc() -> TimeZone {
    TimeZone::parse("").expect("no name is UTC")
}

/// Adds how often a delivery was tried: a hold costs none of its attempts, and the tool was asked all the same.
pub(super) fn with_tried(mut shown: Value, tried: Option<&Tried>) -> Value {
    let counted = shown["attempts"].as_u64().unwrap_or_default();
    shown["attempts_made"] = json!(tried.map_or(0, |tried| tried.attempts).max(counted));
    shown["last_duration_ms"] = json!(tried.map(|tried| tried.last_duration_ms));
    shown
}

/// Looks up who refused a sign-in and how, and which token addresses are away, for deliveries that wait because of it. Where there is no token nobody but
/// the tool can have refused.
///
/// # Errors
/// When the database cannot be read.
pub(super) async fn refusals(app: &App, db: &mut Db, lines: &[Line]) -> Result<Refusals, OpError> {
    let snapshot = app.engine.snapshot();
    let refused = lines.iter().map(|line| &line.delivery);
    let refused = refused.filter(|delivery| delivery.shown_state().1 == Some(HoldReason::SignInRefused));
    let connectors: BTreeSet<_> = refused.map(|delivery| delivery.connector).collect();
    let mut refusals = Refusals::default();
    let mut granted = Vec::new();
    for id in connectors {
        let credential =
            snapshot.connector(id).and_then(|connector| snapshot.credential(connector.credential?));
        let Some(credential) = credential else { continue };
        match credential.authorization_type.tokens {
            Tokens::None => continue,
            Tokens::Fetched => {}
            Tokens::Granted => granted.push(credential.id),
        }
        if let Some(connector) = connectors::find(db, id).await? {
            refusals.seen.insert(id, connector.state_reason);
        }
    }
    if !granted.is_empty() {
        let rows = tokens::of(db, &granted).await?;
        refusals.by = granted.into_iter().map(|id| (id, refused_by(rows.get(&id)))).collect();
    }
    refusals.away = away(app, db, lines).await?;
    Ok(refusals)
}

/// The tokens of what pending deliveries wait for.
async fn away(app: &App, db: &mut Db, lines: &[Line]) -> Result<HashMap<CredentialId, TokenRow>, OpError> {
    let snapshot = app.engine.snapshot();
    let pending = lines.iter().filter(|line| line.delivery.shown_state().0 == DeliveryState::Pending);
    let credentials: BTreeSet<_> = pending
        .filter_map(|line| snapshot.credential(snapshot.connector(line.delivery.connector)?.credential?))
        .filter(|credential| credential.authorization_type.tokens != Tokens::None)
        .map(|credential| credential.id)
        .collect();
    let rows = tokens::of(db, &credentials.into_iter().collect::<Vec<_>>()).await?;
    Ok(rows.into_iter().filter(|(_, row)| row.away_until.is_some()).collect())
}

/// The words for a state: an open delivery says what it is doing.
fn shown_state(app: &App, delivery: &Delivery) -> (&'static str, &'static str) {
    match delivery.shown_state().0 {
        DeliveryState::Pending if app.engine.is_under_way(delivery.connector, delivery.id) => {
            ("sending", "Sending")
        }
        DeliveryState::Pending if delivery.last_outcome.is_some() => ("retrying", "Retrying"),
        DeliveryState::Pending => ("waiting", "Waiting"),
        DeliveryState::Held => ("held", "On hold"),
        DeliveryState::Delivered => ("delivered", "Delivered"),
        DeliveryState::Failed => ("failed", "Failed"),
        DeliveryState::Cancelled => ("cancelled", "Cancelled"),
    }
}

pub(super) fn show(app: &App, line: &Line, refusals: &Refusals, zone: &TimeZone) -> Value {
    let delivery = &line.delivery;
    let snapshot = app.engine.snapshot();
    let connector = snapshot.connector(delivery.connector).map(Arc::as_ref);
    let credential = connector.and_then(|connector| connector.credential);
    let credential = credential.and_then(|id| snapshot.credential(id)).map(Arc::as_ref);
    let attempts_max = connector.map_or(10, |connector| attempts_max(app, connector));
    let (shown_state, state_label) = shown_state(app, delivery);
    let (state, reason) = delivery.shown_state();
    let due = due_at(delivery, connector);
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    put("id", json!(delivery.id));
    put("event", json!({ "id": delivery.event, "type": line.event_type, "subject": line.subject }));
    put("connector", json!({ "id": delivery.connector, "name": delivery.connector_name, "kind": "webhook" }));
    let mend = credential.and_then(|credential| mend(credential, reason?, refusals));
    put("credential", json!(credential.map(|credential| show_credential(credential, mend))));
    put("state", json!(state.kind()));
    put("shown_state", json!(shown_state));
    put("state_label", json!(state_label));
    put("hold_reason", json!(reason));
    let away = credential.and_then(|credential| refusals.away.get(&credential.id));
    let away = away.filter(|_| state == DeliveryState::Pending);
    let token = away.and_then(|row| row.away(app.now())).map(|(_, reason)| reason);
    let hold = Hold { reason, text: hold_text(reason, refusals.seen.get(&delivery.connector)), mend, token };
    put("hold_text", json!(hold.text));
    put("away", shown_away(away, app.now()));
    let pause = snapshot.sending_pause().filter(|_| ["waiting", "retrying"].contains(&shown_state));
    let happened = match pause {
        Some(pause) => format!("{}.", sending::sentence(pause)),
        None => what_happened(delivery, shown_state, (attempts_max, due), &hold, (app.now(), zone)),
    };
    put("what_happened", json!(happened));
    put("attempts", json!(delivery.attempts));
    put("attempts_max", json!(attempts_max));
    put("due_at", json!(due));
    put("last_outcome", json!(delivery.last_outcome));
    let label = delivery.last_outcome.as_deref().map(|class| outcome_label(class, delivery.last_status));
    put("last_outcome_label", json!(label));
    put("last_status", json!(delivery.last_status));
    put("last_message", json!(delivery.last_message));
    put("reference", json!(delivery.reference));
    put("idempotency_key", json!(delivery.idempotency_key));
    put("replay_of", json!(delivery.replay_of));
    let request =
        if delivery.sent_as.is_some() { ReplayRequest::AsFirstSent } else { ReplayRequest::Present };
    put("request", json!(request.kind()));
    put("operation", json!(delivery.operation));
    put("test", json!(delivery.test));
    put("created_at", json!(delivery.created_at));
    put("ended_at", json!(delivery.ended_at));
    put("actions", json!(actions(delivery, connector.is_some(), token.is_some())));
    Value::Object(shown)
}

/// When it is due: not while what it goes through has asked to wait.
fn due_at(delivery: &Delivery, connector: Option<&Connector>) -> Timestamp {
    let closed_until = connector.and_then(|connector| connector.closed_until);
    match delivery.state {
        DeliveryState::Pending => delivery.due_at.max(closed_until.unwrap_or(delivery.due_at)),
        DeliveryState::Held | DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Cancelled => {
            delivery.due_at
        }
    }
}

/// Why a delivery waits.
struct Hold<'a> {
    reason: Option<HoldReason>,
    text: Option<String>,
    mend: Option<NextAction>,
    /// Why there is no token.
    token: Option<&'a str>,
}

/// What a person can do about a credential that a delivery waits for.
fn mend(credential: &Credential, reason: HoldReason, refusals: &Refusals) -> Option<NextAction> {
    let code = match reason {
        HoldReason::SignInRefused => StatusCode::SignInRefused,
        HoldReason::NotAuthorized => StatusCode::NotAuthorized,
        HoldReason::ReconnectNeeded => StatusCode::ReconnectNeeded,
        HoldReason::CredentialLocked => StatusCode::Locked,
        HoldReason::HostKeyChanged => StatusCode::HostKeyChanged,
        HoldReason::CredentialMissing
        | HoldReason::NotAllowed
        | HoldReason::DestinationBlocked
        | HoldReason::NotAsSaved
        | HoldReason::NotRendered
        | HoldReason::RepeatedCrash
        | HoldReason::NoAnswer
        | HoldReason::ConnectorPaused
        | HoldReason::PausedAfterFailures => return None,
    };
    let refused_by = refusals.by.get(&credential.id).copied().unwrap_or(Refuser::Tool);
    code.action(credential.authorization_type.tokens, refused_by)
}

fn show_credential(credential: &Credential, mend: Option<NextAction>) -> Value {
    let mut shown = json!({ "id": credential.id, "name": credential.name });
    if let Some(action) = mend {
        shown["action"] = json!(action.label());
        shown["action_code"] = json!(action);
    }
    shown
}

/// Why a delivery is held. Where a token is fetched, two sides can refuse the sign-in: what was seen says which.
fn hold_text(reason: Option<HoldReason>, seen: Option<&String>) -> Option<String> {
    let reason = reason?;
    let seen = seen.map_or("", |seen| seen.trim_end_matches('.'));
    if reason != HoldReason::SignInRefused || seen.is_empty() {
        return Some(reason.text().to_owned());
    }
    // What a connection test saw is a sentence of its own.
    let sentence = seen.starts_with(char::is_uppercase);
    Some(if sentence { format!("{seen}.") } else { format!("{REFUSED}{seen}.") })
}

/// Whether an answer has said already what a hold is about.
fn says_the_same(answer: &str, hold_text: &str) -> bool {
    let seen = hold_text.strip_prefix(REFUSED).unwrap_or(hold_text).trim_end_matches('.');
    answer.to_lowercase().contains(&seen.to_lowercase())
}

/// What an attempt saw, in a word or two.
fn outcome_label(class: &str, status: Option<u16>) -> String {
    status.map_or_else(|| Outcome::class_label(class).to_owned(), |status| status.to_string())
}

fn attempts_max(app: &App, connector: &Connector) -> usize {
    let own = connector.webhook().and_then(|webhook| webhook.retry_schedule.as_deref());
    own.map_or_else(|| app.engine.delivery_rules().retry_schedule_seconds.len(), <[_]>::len) + 1
}

/// What a person can do with it now.
fn actions(delivery: &Delivery, connector_exists: bool, away: bool) -> Vec<&'static str> {
    match delivery.state {
        DeliveryState::Pending if delivery.shown_state().0 == DeliveryState::Held => vec!["cancel"],
        DeliveryState::Pending if away || delivery.last_outcome.is_some() => vec!["try_now", "cancel"],
        DeliveryState::Pending => vec!["cancel"],
        DeliveryState::Held => vec!["send_again", "mark_delivered", "cancel"],
        DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Cancelled if connector_exists => {
            vec!["replay"]
        }
        DeliveryState::Delivered | DeliveryState::Failed | DeliveryState::Cancelled => Vec::new(),
    }
}

/// What the last attempt met, in a sentence; nothing where there was none.
pub(in crate::ops) fn answered(delivery: &Delivery) -> String {
    match (delivery.last_status, delivery.last_message.as_deref()) {
        (_, Some(message)) if message.starts_with("The tool ") => {
            format!("{}.", message.trim_end_matches('.'))
        }
        (Some(status), Some(message)) => {
            format!("The tool answered {status}: {}.", message.trim_end_matches('.'))
        }
        (Some(status), None) => format!("The tool answered {status}."),
        (None, Some(message)) => format!("{}.", message.trim_end_matches('.')),
        (None, None) => String::new(),
    }
}

/// What happened, what happens next, and what is needed, in sentences.
fn what_happened(
    delivery: &Delivery,
    shown_state: &str,
    (attempts_max, due): (usize, Timestamp),
    hold: &Hold<'_>,
    (now, zone): (Timestamp, &TimeZone),
) -> String {
    let answer = answered(delivery);
    let next = match shown_state {
        "waiting" | "retrying" if hold.token.is_some() => {
            let seen = format!("No token: {}.", hold.token.unwrap_or_default());
            // What this delivery met itself need not be said twice.
            let seen = Some(seen).filter(|seen| *seen != answer).unwrap_or_default();
            format!("{seen} {ASKED_AGAIN}").trim_start().to_owned()
        }
        "waiting" => "It has not been sent yet. Nothing is needed from you.".to_owned(),
        "sending" => "It is being sent now.".to_owned(),
        "retrying" => {
            let number = delivery.attempts + 1;
            let next = format!("Attempt {number} of {attempts_max} comes {}.", at_in_words(due, now, zone));
            format!("{next} {}", needed(delivery.last_status)).trim_end().to_owned()
        }
        "held" => {
            // What this delivery met itself need not be said twice.
            let text = hold.text.as_deref().filter(|text| !says_the_same(&answer, text)).unwrap_or_default();
            format!("{text} {}", repair(hold)).trim_start().to_owned()
        }
        "delivered" => delivery
            .reference
            .as_ref()
            .map(|reference| format!("Reference: {reference}."))
            .unwrap_or_default(),
        "failed" => "It is not tried again by itself. You can replay it.".to_owned(),
        _ => "It was stopped and is not sent.".to_owned(),
    };
    format!("{answer} {next}").trim().to_owned()
}

/// "in 30 min (21:57 UTC)", with the day where it is another one there.
fn at_in_words(due: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    if due <= now {
        return "at once".to_owned();
    }
    // To the minute where there are minutes: the exact time is beside it.
    let span = due.since(now);
    let span = match span.as_secs() {
        seconds @ 0..60 => format!("{} s", seconds.max(1)),
        seconds => in_words(Duration::from_secs(seconds / 60 * 60)),
    };
    let is_today = zone.format(due, "%F") == zone.format(now, "%F");
    let exact = zone.format(due, if is_today { "%H:%M %Z" } else { "%F, %H:%M %Z" });
    format!("in {span} ({exact})")
}

/// What a person can do before the next attempt. A tool that is away or busy comes back; a path that is not there does not.
fn needed(status: Option<u16>) -> &'static str {
    match status {
        Some(404 | 405) => {
            "The tool has nothing at this path. Look at the path of the webhook: if it is wrong, correct it and \
             press Try now."
        }
        Some(408 | 425 | 429 | 500..) | None => "Nothing is needed from you.",
        Some(_) => "Look at what the tool answered: more attempts alone may not mend it.",
    }
}

fn repair(hold: &Hold<'_>) -> &'static str {
    match hold.reason {
        Some(HoldReason::CredentialMissing) => "Choose a credential in the webhook, and it continues.",
        Some(HoldReason::CredentialLocked) => "Load the right encryption key, or enter the secrets again.",
        Some(HoldReason::SignInRefused) if hold.mend == Some(NextAction::AuthorizeAgain) => {
            "Authorize the credential again, and it continues."
        }
        Some(HoldReason::SignInRefused) => "Replace the secret of the credential, and it continues.",
        Some(HoldReason::HostKeyChanged) => "Compare the host keys of the credential, and it continues.",
        Some(HoldReason::NotAuthorized) => "Authorize the credential, and it continues.",
        Some(HoldReason::ReconnectNeeded) => "Authorize the credential again, and it continues.",
        Some(HoldReason::NotAllowed) => "Check the role of the account, then resume the webhook.",
        Some(HoldReason::DestinationBlocked) => "The operator of this server can allow it with egress.allow.",
        Some(HoldReason::NotAsSaved) => {
            "Look at the settings of the webhook and save them, or put the database right."
        }
        Some(HoldReason::NotRendered) => "Edit the webhook, and it continues.",
        Some(HoldReason::RepeatedCrash | HoldReason::NoAnswer) => {
            "Decide: send it again, mark it as delivered, or cancel it."
        }
        Some(HoldReason::ConnectorPaused | HoldReason::PausedAfterFailures) => {
            "Resume the webhook, and it continues."
        }
        None => "",
    }
}

pub(super) async fn show_attempt(app: &App, attempt: &Attempt) -> Result<Value, OpError> {
    let excerpt = match &attempt.answer_excerpt {
        Some(sealed) => match app.engine.payloads().of_day(attempt.payload_key).await? {
            Some(key) => key.decrypt(&attempt.delivery.to_string(), sealed).ok(),
            None => None,
        },
        None => None,
    };
    let parsed = |text: &str| serde_json::from_str::<Value>(text).unwrap_or(Value::Null);
    let request_headers = parsed(&attempt.request_headers);
    Ok(json!({
        "id": attempt.id,
        "number": attempt.number,
        "started_at": attempt.started_at,
        "duration_ms": attempt.duration_ms,
        "outcome": attempt.outcome,
        "outcome_label": outcome_label(&attempt.outcome, attempt.status),
        "status": attempt.status,
        "message": attempt.message,
        "wait_ms": attempt.wait_ms,
        "request_line": attempt.request_line,
        "curl": curl(&attempt.request_line, &request_headers),
        "request_headers": request_headers,
        "answer_headers": parsed(&attempt.answer_headers),
        "answer_excerpt": excerpt.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        "timing": parsed(&attempt.timing),
        "request_bytes": attempt.request_bytes,
        "answer_bytes": attempt.answer_bytes,
    }))
}

#[cfg(test)]
mod tests;
