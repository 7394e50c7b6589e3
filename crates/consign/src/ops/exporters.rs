//! Data exporters: create, edit, pause, preview, delete.

use consign_core::connector::exporter::{Destination, Exporter, ExporterDraft, Source, Stamp};
use consign_core::connector::format::{Encoder, Record};
use consign_core::connector::{Connector, ConnectorState, Kind};
use consign_core::credential::Credential;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::connectors::ConnectorFilter;
use consign_store::runs::{Loss, Run, WAITING_COUNT_MAX, Waiting};
use consign_store::{Db, Listed, Page, Tx, connectors, runs};
use serde_json::{Value, json};

use super::connector::{
    self, Access, Drafted, Wish, access_of, changed, described, edited, insert, is_applied,
    locked_credential, made, named_credential, object, patched, row, update,
};
use super::settings::delivery::with_usual_timeout;
use super::settings::time_zone;
use super::webhooks::sample;
use super::{
    Actor, IfMatch, OpError, Rest, Sent, audit_rows, commit, commit_answered, differences, invalid,
    require_as_saved, with_manager,
};
use crate::App;

/// The word for them.
const KIND: &str = "exporter";
/// Times that a preview shows.
const PREVIEW_TIMES: usize = 3;

/// A page of exporters.
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

/// One exporter, by id or name.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let (connector, _) = by_reference(&mut db, reference).await?;
    shown(&mut db, &connector, app.now()).await
}

/// Creates an exporter.
///
/// # Errors
/// Every value that was not accepted.
pub async fn create(app: &App, actor: &Actor, mut sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let credential = locked_credential(&mut tx, &sent).await?;
    with_usual(app, &mut sent, credential.as_ref());
    let draft = ExporterDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let next = draft.exporter.schedule.next_after(now);
    let drafted = Drafted {
        name: draft.name,
        description: draft.description,
        kind: Kind::Exporter(draft.exporter),
        managed_by: actor.owner_after(None)?,
    };
    let connector = made(drafted, credential.as_ref(), now);
    insert(&mut tx, &connector).await?;
    runs::set_next_run(&mut tx, connector.id, next).await?;
    let value = shown(&mut tx, &connector, now).await?;
    if actor.only_tries() {
        return Ok(value);
    }
    let changes = differences(&Value::Null, &value);
    audit_rows(app, &mut tx, actor, "Created exporter", object(&connector), changes, &[row(&connector)])
        .await?;
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// Gives an exporter that is saved without them the time zone of this installation, and the timeout that is usual here.
fn with_usual(app: &App, sent: &mut Sent, credential: Option<&Credential>) {
    let blank = sent.get("time_zone").is_none_or(|value| value.is_null() || value == "");
    if blank {
        sent.insert("time_zone".to_owned(), json!(time_zone(app)));
    }
    if credential.is_some_and(|credential| credential.target.origin().is_some()) {
        with_usual_timeout(app, sent);
    }
}

/// Replaces an exporter.
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
    let (seen, before) = by_reference(&mut tx, reference).await?;
    if_match.judge(seen.revision)?;
    if rest == Rest::Kept {
        require_as_saved(app, &mut tx, &row(&seen)).await?;
    }
    let mut sent = complete(&seen);
    let managed_by = actor.owner_after_save(seen.managed_by.as_ref(), &sent)?;
    let credential = locked_credential(&mut tx, &sent).await?;
    with_usual(app, &mut sent, credential.as_ref());
    let draft = ExporterDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let (was, is) = (&before.schedule, &draft.exporter.schedule);
    let same_times = was.as_str() == is.as_str() && was.zone().name() == is.zone().name();
    let next = is.next_after(now);
    let drafted = Drafted {
        name: draft.name,
        description: draft.description,
        kind: Kind::Exporter(draft.exporter),
        managed_by,
    };
    let connector = changed(&seen, drafted, credential.as_ref(), now);
    if is_applied(app, &mut tx, actor, (&seen, &connector)).await? {
        return shown(&mut tx, &seen, now).await;
    }
    update(&mut tx, &seen, &connector).await?;
    require_same_protocol(&mut tx, &before, &connector).await?;
    if !same_times {
        runs::set_next_run(&mut tx, connector.id, next).await?;
    }
    if actor.only_tries() {
        return shown(&mut tx, &connector, now).await;
    }
    let changes = edited(&mut tx, (&seen, &connector), now).await?;
    let changes = with_manager(changes, actor, seen.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, "Edited exporter", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    shown(&mut *app.store.read().await?, &connector, now).await
}

/// A run goes on as it began, with the credential of its exporter: it cannot go on with one of the other protocol.
async fn require_same_protocol(db: &mut Db, before: &Exporter, after: &Connector) -> Result<(), OpError> {
    let (was, is) = (before.destination.kind(), after.exporter().map(|one| one.destination.kind()));
    if is == Some(was) {
        return Ok(());
    }
    match runs::open_of(db, after.id).await? {
        None => Ok(()),
        Some(open) => {
            let sentence = format!(
                "Run {} is not finished, and goes on as it began, over {}. Wait for its end or cancel it, then \
                 choose this credential",
                open.number,
                open.protocol.short()
            );
            Err(invalid("credential", "run_not_finished", sentence))
        }
    }
}

/// What was done with an exporter, the newest first.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn history(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    connector::history(app, actor, KIND, reference).await
}

/// What is not sent any more when an exporter is deleted, and the name it had.
#[derive(Debug)]
pub struct Deleted {
    /// The name.
    pub name: String,
    /// What is lost.
    pub loss: Loss,
}

/// What would be lost with an exporter: its runs that are not finished, and what they and the next one would have sent.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn unsent(app: &App, actor: &Actor, reference: &str) -> Result<Loss, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let (connector, _) = by_reference(&mut db, reference).await?;
    Ok(runs::unsent(&mut db, connector.id).await?)
}

/// Deletes an exporter; its runs become cancelled, what waits is not sent. A run under way stops within a second: what its
/// tool accepted stays there, and a file gets no name.
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
    let (connector, _) = by_reference(&mut tx, reference).await?;
    if_match.judge(connector.revision)?;
    actor.owner_after(connector.managed_by.as_ref())?;
    let loss = runs::cancel_of_connector(&mut tx, connector.id, now).await?;
    connectors::delete(&mut tx, connector.id).await?;
    let changes = json!({
        "cancelled_runs": loss.runs, "records_left_out": loss.records, "files_left_out": loss.files,
    });
    let changes = with_manager(changes, actor, connector.managed_by.as_ref());
    audit_rows(app, &mut tx, actor, "Deleted exporter", object(&connector), changes, &[row(&connector)])
        .await?;
    commit(app, tx).await?;
    app.engine.changed().await;
    Ok(Deleted { name: connector.name.to_string(), loss })
}

/// Pauses an exporter: records keep arriving and wait, and nothing is sent.
///
/// # Errors
/// When there is none.
pub async fn pause(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Paused exporter", Wish::Pause).await
}

/// Resumes an exporter that is paused or on hold.
///
/// # Errors
/// When there is none, or its credential must be repaired first.
pub async fn resume(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    set_state(app, actor, reference, "Resumed exporter", Wish::Resume).await
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
    let (connector, _) = by_reference(&mut tx, reference).await?;
    let connector = connector::set_state(app, &mut tx, actor, &connector, (wish, action)).await?;
    if connector.state == ConnectorState::Active {
        runs::hurry(&mut tx, connector.id, now).await?;
    }
    let value = shown(&mut tx, &connector, now).await?;
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// What an exporter would do, without doing it: its times, the name of its file, a sample record as it would be
/// written.
///
/// # Errors
/// Every value that was not accepted.
pub async fn preview(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let now = app.now();
    let mut db = app.store.read().await?;
    let credential = named_credential(&mut db, &sent).await?;
    drop(db);
    let draft = ExporterDraft::parse(sent, credential.as_ref()).map_err(OpError::Invalid)?;
    let exporter = &draft.exporter;
    let mut times = Vec::new();
    while let Some(next) = exporter.schedule.next_after(times.last().copied().unwrap_or(now)) {
        times.push(next);
        if times.len() == PREVIEW_TIMES {
            break;
        }
    }
    let address = credential.map(|credential| credential.shown_address()).unwrap_or_default();
    let stamp = exporter.stamp(draft.name.as_str(), 1, times.first().copied().unwrap_or(now));
    let (sends_to, file_name) = match &exporter.destination {
        Destination::Https(bulk) => {
            let path = bulk.path.as_str().trim_start_matches('/');
            (format!("{} {address}{path}", bulk.method), None)
        }
        Destination::Sftp(place) => (address, Some(place.file_name.of(&stamp, 1))),
    };
    Ok(json!({
        "schedule_in_words": exporter.schedule.to_string(),
        "next_runs": times,
        "sends_to": sends_to,
        "file_name": file_name,
        "content_type": exporter.format.content_type(),
        "sample": sample_of(exporter, &stamp, now),
    }))
}

/// A file or request with one record.
fn sample_of(exporter: &Exporter, stamp: &Stamp, now: Timestamp) -> String {
    let event = sample(now);
    let facts = matches!(exporter.source, Source::Events { .. }).then(|| event.facts());
    let mut encoder = Encoder::new(&exporter.format, |text| stamp.fill(text, 1));
    let mut out = Vec::new();
    encoder.start(&mut out);
    encoder.push(&Record { event: facts, text: &event.data, is_json: true }, &mut out);
    encoder.finish(&mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// Finds an exporter by id or name.
pub(super) async fn by_reference(db: &mut Db, reference: &str) -> Result<(Connector, Exporter), OpError> {
    let found = connector::by_reference(db, KIND, reference).await?;
    let exporter = found.exporter().cloned().ok_or(OpError::NotFound(KIND))?;
    Ok((found, exporter))
}

/// Finds an exporter that stays as it is until the end of the transaction, as what it was saved as.
pub(super) async fn locked(
    app: &App,
    tx: &mut Tx,
    reference: &str,
) -> Result<(Connector, Exporter), OpError> {
    let (found, _) = by_reference(tx, reference).await?;
    let locked = connectors::lock(tx, found.id).await?.ok_or(OpError::NotFound("exporter"))?;
    let exporter = locked.exporter().cloned().ok_or(OpError::NotFound("exporter"))?;
    require_as_saved(app, tx, &row(&locked)).await?;
    Ok((locked, exporter))
}

async fn shown(db: &mut Db, connector: &Connector, now: Timestamp) -> Result<Value, OpError> {
    let access = access_of(db, connector).await?;
    let mut waiting = runs::waiting_of(db, &[connector.id]).await?.remove(&connector.id).unwrap_or_default();
    if waiting.is_capped {
        waiting.records = runs::waiting_count(db, connector.id).await?;
        waiting.is_capped = waiting.records >= u64::from(WAITING_COUNT_MAX);
    }
    Ok(show(connector, &access, Some(waiting), now))
}

/// What may be shown of an exporter.
pub(super) fn show(
    connector: &Connector,
    access: &Access,
    waiting: Option<Waiting>,
    now: Timestamp,
) -> Value {
    let mut shown = described(connector, access, now);
    let waiting = waiting.unwrap_or_default();
    shown.insert("waiting_records".to_owned(), json!(waiting.records));
    shown.insert("waiting_is_capped".to_owned(), json!(waiting.is_capped));
    shown.insert("next_run_at".to_owned(), json!(waiting.next_run_at));
    shown.insert("last_run".to_owned(), json!(waiting.last_run.map(|run| show_last(&run, now))));
    shown.insert("created_at".to_owned(), json!(connector.created_at));
    shown.insert("updated_at".to_owned(), json!(connector.updated_at));
    Value::Object(shown)
}

fn show_last(run: &Run, now: Timestamp) -> Value {
    json!({
        "id": run.id,
        "state": run.state(now),
        "state_label": run.state(now).label(),
        "records": run.sent_records,
        "bytes": run.sent_bytes,
        "file_name": Some(&run.file_name).filter(|name| !name.is_empty()),
        "message": run.message,
        "created_at": run.created_at,
        "ended_at": run.ended_at,
    })
}
