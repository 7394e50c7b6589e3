//! Webhooks: create, edit, pause, test, delete.

use std::time::Duration;

use consign_core::audit::Table;
use consign_core::connector::signature::Signing;
use consign_core::connector::webhook::RenderFor;
use consign_core::connector::{Connector, Kind, WebhookDraft};
use consign_core::event::{Event, JSON};
use consign_core::id::{DeliveryId, EventId};
use consign_core::rights::Right;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_store::connectors::ConnectorFilter;
use consign_store::{Db, Listed, Page, connectors, deliveries, signing_keys};
use serde_json::{Value, json};

use super::connector::{
    self, Drafted, Wish, changed, edited, insert, is_applied, locked_credential, made, named_credential,
    object, patched, row, update,
};
use super::overview::ByHour;
use super::settings::delivery::with_usual_timeout;
use super::signing::{self, Followed};
use super::{
    Actor, IfMatch, OpError, Rest, Sent, audit_rows, commit, commit_answered, differences, invalid,
    require_as_saved, with_manager,
};
use crate::App;

pub(super) use show::show;
use show::shown;

mod show;

/// The word for them.
const KIND: &str = "webhook";
/// As long as the longest timeout of a webhook, for a test that was taken by something else.
const TEST_WAIT: Duration = Duration::from_secs(60);

/// A page of webhooks.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    filter: &ConnectorFilter,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    connector::list(app, actor, &ConnectorFilter { kind: Some(KIND), ..filter.clone() }, page).await
}

/// One webhook, by id or name.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, reference).await?;
    let hours = app.hours.last(&mut db, app.now()).await?;
    shown(&mut db, &connector, &hours, app.now()).await
}

/// What came to its end in the last hours, counted beside the transaction of a change.
async fn last_hours(app: &App) -> Result<ByHour, OpError> {
    Ok(app.hours.last(&mut *app.store.read().await?, app.now()).await?)
}

/// Creates a webhook.
///
/// # Errors
/// Every value that was not accepted.
pub async fn create(app: &App, actor: &Actor, mut sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    with_usual_timeout(app, &mut sent);
    let hours = last_hours(app).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let credential = locked_credential(&mut tx, &sent).await?;
    let draft = WebhookDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let drafted = Drafted {
        name: draft.name,
        description: draft.description,
        kind: Kind::Webhook(draft.webhook),
        managed_by: actor.owner_after(None)?,
    };
    let connector = made(drafted, credential.as_ref(), now);
    insert(&mut tx, &connector).await?;
    let followed = signing::follow(app, &mut tx, &connector).await?;
    let mut value = shown(&mut tx, &connector, &hours, now).await?;
    if actor.only_tries() {
        return Ok(value);
    }
    let changes = with_keys(differences(&Value::Null, &value), &followed);
    audit_rows(app, &mut tx, actor, "Created webhook", object(&connector), changes, &[row(&connector)])
        .await?;
    with_secret(&mut value, followed.secret());
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// What a save did to the signing keys, for the audit log.
fn with_keys(mut changes: Value, followed: &Followed) -> Value {
    if let Some(word) = followed.word() {
        changes["signing_secret"] = json!(word);
    }
    changes
}

/// The one answer that shows a new signing secret.
fn with_secret(value: &mut Value, secret: Option<&Secret>) {
    if let Some(secret) = secret {
        value["signing_secret"] = json!(secret.expose());
    }
}

/// Replaces a webhook.
///
/// # Errors
/// Every value that was not accepted, or when someone else changed it.
pub async fn replace(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    save(app, actor, reference, if_match, Rest::Dropped, |current| {
        let mut whole = sent;
        // As with secrets: what is left out is kept.
        let kept = current.webhook().map(|webhook| json!(webhook.signature.kind()));
        whole.entry("signature").or_insert(kept.unwrap_or_default());
        whole
    })
    .await
}

/// Changes what is sent and leaves the rest (RFC 7396).
///
/// # Errors
/// As [`replace`].
pub async fn patch(
    app: &App,
    actor: &Actor,
    reference: &str,
    sent: Sent,
    if_match: IfMatch,
) -> Result<Value, OpError> {
    save(app, actor, reference, if_match, Rest::Kept, |current| patched(current, sent)).await
}

async fn save(
    app: &App,
    actor: &Actor,
    reference: &str,
    if_match: IfMatch,
    rest: Rest,
    complete: impl FnOnce(&Connector) -> Sent,
) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let hours = last_hours(app).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let seen = by_reference(&mut tx, reference).await?;
    if_match.judge(seen.revision)?;
    if rest == Rest::Kept {
        require_as_saved(app, &mut tx, &row(&seen)).await?;
    }
    let is_as_saved = app.records.fits(&mut tx, Table::Connector, &seen.id.to_string()).await?;
    let mut sent = complete(&seen);
    let managed_by = actor.owner_after_save(seen.managed_by.as_ref(), &sent)?;
    with_usual_timeout(app, &mut sent);
    let credential = locked_credential(&mut tx, &sent).await?;
    let draft = WebhookDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let drafted = Drafted {
        name: draft.name,
        description: draft.description,
        kind: Kind::Webhook(draft.webhook),
        managed_by,
    };
    let connector = changed(&seen, drafted, credential.as_ref(), now);
    if is_applied(app, &mut tx, actor, (&seen, &connector)).await? {
        return shown(&mut tx, &seen, &hours, now).await;
    }
    update(&mut tx, &seen, &connector).await?;
    deliveries::release_not_rendered(&mut tx, connector.id, now).await?;
    if !is_as_saved {
        // Whose keys they are nobody knows: others take their place.
        signing_keys::delete_of(&mut tx, connector.id).await?;
    }
    let followed = signing::follow(app, &mut tx, &connector).await?;
    if actor.only_tries() {
        return shown(&mut tx, &connector, &hours, now).await;
    }
    let changes = with_keys(edited(&mut tx, (&seen, &connector), now).await?, &followed);
    let changes = with_manager(changes, actor, seen.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, "Edited webhook", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    let mut new = shown(&mut *app.store.read().await?, &connector, &hours, now).await?;
    with_secret(&mut new, followed.secret());
    Ok(new)
}

/// What a deletion left behind.
#[derive(Debug)]
pub struct Deleted {
    /// The name it had.
    pub name: String,
    /// Waiting deliveries that became cancelled.
    pub cancelled: u64,
}

/// Deletes a webhook; its waiting deliveries become cancelled.
///
/// # Errors
/// When there is none, or someone else changed it.
pub async fn delete(
    app: &App,
    actor: &Actor,
    reference: &str,
    if_match: IfMatch,
) -> Result<Deleted, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let connector = by_reference(&mut tx, reference).await?;
    if_match.judge(connector.revision)?;
    actor.owner_after(connector.managed_by.as_ref())?;
    let cancelled = deliveries::cancel_of_connector(&mut tx, connector.id, now).await?;
    connectors::delete(&mut tx, connector.id).await?;
    let changes =
        with_manager(json!({ "cancelled_deliveries": cancelled }), actor, connector.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, "Deleted webhook", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(Deleted { name: connector.name.to_string(), cancelled })
}

/// Pauses a webhook: events keep arriving and wait.
///
/// # Errors
/// When there is none.
pub async fn pause(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Paused webhook", Wish::Pause).await
}

/// Resumes a webhook that is paused or on hold.
///
/// # Errors
/// When there is none, or its credential must be repaired first.
pub async fn resume(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Resumed webhook", Wish::Resume).await
}

async fn set_state(
    app: &App,
    actor: &Actor,
    reference: &str,
    action: &str,
    wish: Wish,
) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let hours = last_hours(app).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let connector = by_reference(&mut tx, reference).await?;
    let connector = connector::set_state(app, &mut tx, actor, &connector, (wish, action)).await?;
    let value = shown(&mut tx, &connector, &hours, now).await?;
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// The request that a webhook would make of an event, without sending it and without its sign-in.
///
/// # Errors
/// Every value that was not accepted; what could not be filled in.
pub async fn preview(app: &App, actor: &Actor, sent: Sent, event: Option<EventId>) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let now = app.now();
    let mut db = app.store.read().await?;
    let credential = named_credential(&mut db, &sent).await?;
    drop(db);
    let draft = WebhookDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let event = match event {
        Some(id) => {
            actor.require(Right::PayloadsRead)?;
            super::events::open_at_work(app, actor, id).await?
        }
        None => sample(now),
    };
    let delivery = DeliveryId::new(now);
    let of = RenderFor { delivery, idempotency_key: delivery, connector: draft.name.as_str(), now };
    let rendered = draft.webhook.render(&event, &of);
    let (message, body) = rendered.map_err(|error| invalid("template", "not_rendered", error.to_string()))?;
    let origin = credential.map(|credential| credential.shown_address()).unwrap_or_default();
    let headers = message
        .headers
        .iter()
        .map(|(name, value)| json!({ "name": name.as_str(), "value": value.to_str().unwrap_or_default() }));
    // Made of the time when it is sent.
    let signature = (draft.webhook.signature != Signing::Off)
        .then(|| json!({ "name": "webhook-signature", "value": "…" }));
    Ok(json!({
        "method": message.method.as_str(),
        "url": format!("{origin}{}", message.path.as_str().trim_start_matches('/')),
        "headers": headers.chain(signature).collect::<Vec<_>>(),
        "body": String::from_utf8_lossy(&body),
    }))
}

/// What was done with a webhook, the newest first.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn history(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    connector::history(app, actor, KIND, reference).await
}

/// Sends a test event to one webhook and waits for what comes of it.
///
/// # Errors
/// When there is none, or the event is not accepted.
pub async fn send_test(
    app: &App,
    actor: &Actor,
    reference: &str,
    event: Option<Sent>,
) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let connector = by_reference(&mut *app.store.read().await?, reference).await?;
    let id = super::events::accept_test(app, actor, &connector, event.unwrap_or_default()).await?;
    let timeout = connector.webhook().map_or(TEST_WAIT, |webhook| webhook.timeout);
    super::deliveries::settled(app, id, timeout).await
}

/// A harmless event for previews and tests.
pub(super) fn sample(now: Timestamp) -> Event {
    let data = json!({ "message": "This is a test event from Consign.", "device": "LT-0231", "score": 2.1 });
    Event {
        id: EventId::new(now),
        event_type: "consign.test".to_owned(),
        source: "consign".to_owned(),
        source_id: EventId::new(now).to_string(),
        subject: None,
        time: now,
        content_type: JSON.to_owned(),
        data: data.to_string().into(),
        extensions: Vec::new(),
        received_at: now,
        received_from: String::new(),
        test: true,
    }
}

/// Finds a webhook by id or name.
pub(super) async fn by_reference(db: &mut Db, reference: &str) -> Result<Connector, OpError> {
    connector::by_reference(db, KIND, reference).await
}
