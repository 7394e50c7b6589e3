//! Gateways: create, edit, pause, delete.

use consign_core::api_key::{self, ApiKey};
use consign_core::connector::{Connector, Gateway, GatewayDraft, Kind};
use consign_core::id::KeyId;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::connectors::ConnectorFilter;
use consign_store::{Db, Listed, Page, StoreError, Tx, api_keys, connectors};
use serde_json::{Value, json};

use super::connector::{
    self, Drafted, Wish, access_of, changed, described, edited, insert, is_applied, locked_credential, made,
    object, patched, row, update,
};
use super::{
    Actor, IfMatch, OpError, Rest, Sent, audit_rows, commit, commit_answered, differences, invalid,
    require_as_saved, with_manager,
};
use crate::App;

pub use calls::calls;
pub use trial::{METHODS as TRIED_METHODS, trial};

mod calls;
mod trial;

/// The word for them.
const KIND: &str = "gateway";

/// A page of gateways.
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

/// One gateway, by id or name.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, reference).await?;
    Ok(shown(app, &mut db, &connector, app.now()).await?)
}

/// The API keys that may call gateways, to choose from: their names, and nothing else of them.
///
/// # Errors
/// Without the right.
pub fn callers(app: &App, actor: &Actor) -> Result<Vec<Value>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let (snapshot, now) = (app.engine.snapshot(), app.now());
    let mut keys: Vec<_> = snapshot.keys().filter(|key| key.rights.allow(Right::GatewayCall)).collect();
    keys.sort_by_cached_key(|key| (key.name.to_lowercase(), key.id));
    let shown = keys.into_iter().map(|key| {
        let mut shown = show_key(key.id, Some(key));
        shown["ended"] = json!(key.has_ended(now));
        shown
    });
    Ok(shown.collect())
}

/// Creates a gateway.
///
/// # Errors
/// Every value that was not accepted.
pub async fn create(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let credential = locked_credential(&mut tx, &sent).await?;
    let draft = GatewayDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let drafted = Drafted {
        name: draft.name,
        description: draft.description,
        kind: Kind::Gateway(draft.gateway),
        managed_by: actor.owner_after(None)?,
    };
    let connector = made(drafted, credential.as_ref(), now);
    require_free(&mut tx, &connector, None).await?;
    insert(&mut tx, &connector).await?;
    let value = shown(app, &mut tx, &connector, now).await?;
    if actor.only_tries() {
        return Ok(value);
    }
    let changes = differences(&Value::Null, &value);
    audit_rows(app, &mut tx, actor, "Created gateway", object(&connector), changes, &[row(&connector)])
        .await?;
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// Replaces a gateway.
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
    save(app, actor, reference, if_match, Rest::Dropped, |_| sent).await
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
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let seen = by_reference(&mut tx, reference).await?;
    if_match.judge(seen.revision)?;
    if rest == Rest::Kept {
        require_as_saved(app, &mut tx, &row(&seen)).await?;
    }
    let sent = complete(&seen);
    let managed_by = actor.owner_after_save(seen.managed_by.as_ref(), &sent)?;
    let credential = locked_credential(&mut tx, &sent).await?;
    let draft = GatewayDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let drafted = Drafted {
        name: draft.name,
        description: draft.description,
        kind: Kind::Gateway(draft.gateway),
        managed_by,
    };
    let connector = changed(&seen, drafted, credential.as_ref(), now);
    if is_applied(app, &mut tx, actor, (&seen, &connector)).await? {
        return Ok(shown(app, &mut tx, &seen, now).await?);
    }
    require_free(&mut tx, &connector, Some(&seen)).await?;
    update(&mut tx, &seen, &connector).await?;
    if actor.only_tries() {
        return Ok(shown(app, &mut tx, &connector, now).await?);
    }
    let changes = edited(&mut tx, (&seen, &connector), now).await?;
    let changes = with_manager(changes, actor, seen.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, "Edited gateway", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(shown(app, &mut *app.store.read().await?, &connector, now).await?)
}

/// That the address part is free, and that the API keys it names may call. A key that was named before stays,
/// whatever became of it.
async fn require_free(tx: &mut Tx, connector: &Connector, before: Option<&Connector>) -> Result<(), OpError> {
    let is_other = |found: Option<Connector>| found.is_some_and(|found| found.id != connector.id);
    let Some(gateway) = connector.gateway() else { return Ok(()) };
    if is_other(connectors::find_by_slug(tx, &gateway.slug).await?) {
        return Err(OpError::Invalid(vec![gateway.slug.taken().at("slug")]));
    }
    let known = before.and_then(Connector::gateway).map(|before| before.api_keys.as_slice());
    for id in gateway.api_keys.iter().filter(|id| !known.unwrap_or_default().contains(id)) {
        let sentence = match api_keys::find(tx, *id).await? {
            None => format!("There is no API key {id}"),
            Some(key) if !key.rights.allow(Right::GatewayCall) => {
                format!("“{}” may not call gateways: it lacks the scope gateway:call", key.name)
            }
            Some(key) if !key.may_call(connector.id) => {
                format!("“{}” may only call the gateways that it was made for", key.name)
            }
            Some(_) => continue,
        };
        return Err(invalid("api_keys", "unknown", sentence));
    }
    Ok(())
}

/// What was done with a gateway, the newest first.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn history(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    connector::history(app, actor, KIND, reference).await
}

/// Deletes a gateway: calls of its address find nothing from now on. The answer is the name it had.
///
/// # Errors
/// When there is none, or someone else changed it.
pub async fn delete(app: &App, actor: &Actor, reference: &str, if_match: IfMatch) -> Result<String, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let mut tx = app.store.begin().await?;
    let connector = by_reference(&mut tx, reference).await?;
    if_match.judge(connector.revision)?;
    actor.owner_after(connector.managed_by.as_ref())?;
    connectors::delete(&mut tx, connector.id).await?;
    let changes = with_manager(Value::Null, actor, connector.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, "Deleted gateway", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(connector.name.to_string())
}

/// Pauses a gateway: calls are refused until it is resumed.
///
/// # Errors
/// When there is none.
pub async fn pause(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Paused gateway", Wish::Pause).await
}

/// Resumes a gateway that is paused or on hold.
///
/// # Errors
/// When there is none, or its credential must be repaired first.
pub async fn resume(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Resumed gateway", Wish::Resume).await
}

async fn set_state(
    app: &App,
    actor: &Actor,
    reference: &str,
    action: &str,
    wish: Wish,
) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let connector = by_reference(&mut tx, reference).await?;
    let connector = connector::set_state(app, &mut tx, actor, &connector, (wish, action)).await?;
    let value = shown(app, &mut tx, &connector, now).await?;
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// Finds a gateway by id or name.
pub(super) async fn by_reference(db: &mut Db, reference: &str) -> Result<Connector, OpError> {
    connector::by_reference(db, KIND, reference).await
}

/// What may be shown of a gateway.
pub(super) async fn shown(
    app: &App,
    db: &mut Db,
    connector: &Connector,
    now: Timestamp,
) -> Result<Value, StoreError> {
    let access = access_of(db, connector).await?;
    let mut shown = described(connector, &access, now);
    if let Some(gateway) = connector.gateway() {
        shown.insert("address".to_owned(), json!(address(app, gateway)));
        shown.insert("warnings".to_owned(), json!(gateway.warnings()));
        let snapshot = app.engine.snapshot();
        let keys = gateway.api_keys.iter().map(|id| show_key(*id, snapshot.key(*id)));
        shown.insert("api_keys".to_owned(), keys.collect());
    }
    shown.insert("last_24_hours".to_owned(), calls::last_day(db, connector, now).await?);
    shown.insert("created_at".to_owned(), json!(connector.created_at));
    shown.insert("updated_at".to_owned(), json!(connector.updated_at));
    Ok(Value::Object(shown))
}

/// What applications put in front of a path of the tool.
fn address(app: &App, gateway: &Gateway) -> String {
    format!("{}/gateway/{}/", app.public_url().trim_end_matches('/'), gateway.slug)
}

/// An API key by its name; one that was revoked has none any more.
fn show_key(id: KeyId, key: Option<&ApiKey>) -> Value {
    json!({ "id": id, "key": api_key::shown(id), "name": key.map(|key| key.name.as_str()) })
}
