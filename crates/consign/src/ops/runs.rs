//! Runs of exporters: start, look at, stop, send again.

use consign_core::connector::Connector;
use consign_core::connector::exporter::{Exporter, RunState, Step};
use consign_core::delivery::HoldReason;
use consign_core::id::RunId;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::runs::{Cause, Run};
use consign_store::{Db, Listed, Page, Tx, connectors, runs};
use serde_json::{Map, Value, json};

use super::connector::object;
use super::deliveries::Resolution;
use super::exporters::{by_reference, locked};
use super::{Actor, OpError, audit_entry, commit_answered};
use crate::App;
use crate::engine::{Again, Beginning, Begun};
use crate::telemetry;

/// The newest lines of a log that are shown.
const LOG_LINES_MAX: u32 = 200;

/// A page of the runs of an exporter.
///
/// # Errors
/// Without the right, or when there is no such exporter.
pub async fn list(
    app: &App,
    actor: &Actor,
    reference: &str,
    state: Option<RunState>,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let (connector, _) = by_reference(&mut db, reference).await?;
    let now = db.now();
    let found = runs::list(&mut db, connector.id, state, now, page).await?;
    Ok(found.map(|run| Value::Object(show(&run, Some(&connector), now))))
}

/// The run of an exporter that is not finished, if there is one; the one whose turn it is of several pushed files.
///
/// # Errors
/// Without the right, or when there is no such exporter.
pub async fn open_of(app: &App, actor: &Actor, reference: &str) -> Result<Option<Value>, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let (connector, _) = by_reference(&mut db, reference).await?;
    let now = db.now();
    let open = runs::open_of(&mut db, connector.id).await?;
    Ok(open.map(|run| Value::Object(show(&run, Some(&connector), now))))
}

/// One run, with its steps and its log.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, id: RunId) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let now = db.now();
    whole(&mut db, id, now).await
}

/// Starts a run now.
///
/// # Errors
/// When another one is not finished.
pub async fn start(app: &App, actor: &Actor, reference: &str) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let key = app.engine.payloads().current(app.now()).await?;
    let mut tx = app.store.begin().await?;
    let (connector, exporter) = locked(app, &mut tx, reference).await?;
    let id = RunId::new(tx.now());
    let at = tx.now();
    let of = Beginning { id, cause: Cause::Hand, by: actor.name(), at, again: None, file: None, key: &key };
    begin(app, actor, tx, &connector, &exporter, &of).await
}

/// Sends a run again: what was done goes out once more as it was, and so does what repeats that; a pushed file that did not
/// arrive goes out as its exporter is now, and any other failed run is a new one with what it owes.
///
/// # Errors
/// When it has not ended, its records are gone, or another run is not finished.
pub async fn repeat(app: &App, actor: &Actor, id: RunId) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut db = app.store.read().await?;
    let now = db.now();
    let run = runs::find(&mut db, id).await?.ok_or(OpError::NotFound("run"))?;
    by_reference(&mut db, &run.connector.to_string()).await?;
    let is_kept = runs::has_payloads(&mut db, run.source).await?;
    drop(db);
    if !run.has_ended() {
        return Err(OpError::WrongState("This run is not finished. Cancel it first".to_owned()));
    }
    let done = run.state(now) == RunState::Done;
    let as_it_was = done || (run.source != run.id && run.file.is_none());
    let again = if as_it_was || run.file.is_some() {
        let set_up = app.engine.set_up_of(&run).await?.filter(|_| is_kept);
        let removed = || {
            let sentence =
                "What this run sent was removed. It is kept for the days of retention.payload_days";
            OpError::WrongState(sentence.to_owned())
        };
        Some(Again { set_up: set_up.ok_or_else(removed)?, as_it_was, run: run.clone() })
    } else {
        None
    };
    let key = app.engine.payloads().current(app.now()).await?;
    let mut tx = app.store.begin().await?;
    let (connector, exporter) = locked(app, &mut tx, &run.connector.to_string()).await?;
    let of = Beginning {
        id: RunId::new(tx.now()),
        cause: if again.is_some() { Cause::Again } else { Cause::Hand },
        by: actor.name(),
        at: tx.now(),
        again: again.as_ref(),
        file: None,
        key: &key,
    };
    begin(app, actor, tx, &connector, &exporter, &of).await
}

async fn begin(
    app: &App,
    actor: &Actor,
    mut tx: Tx,
    connector: &Connector,
    exporter: &Exporter,
    of: &Beginning<'_>,
) -> Result<Value, OpError> {
    if let Some(again) = of.again.filter(|again| again.as_it_was) {
        require_its_protocol(&again.run, exporter)?;
    }
    match app.engine.begin_run(&mut tx, connector, exporter, of).await? {
        Begun::New(id) => {
            let action = if of.again.is_some() { "Repeated run" } else { "Started run" };
            audit_entry(app, &mut tx, actor, action, object(connector), json!({ "run": id })).await?;
            let now = tx.now();
            let value = whole(&mut tx, id, now).await?;
            commit_answered(app, actor, tx, &value).await?;
            app.engine.wake_all();
            Ok(value)
        }
        Begun::Busy(open) => {
            let sentence = format!("Run {} is not finished. Wait for its end, or cancel it", open.number);
            Err(OpError::WrongState(sentence))
        }
        Begun::Changed => Err(OpError::NotFound("exporter")),
    }
}

/// A run goes out once more as it was, but with the credential of its exporter.
fn require_its_protocol(run: &Run, exporter: &Exporter) -> Result<(), OpError> {
    if run.protocol.kind() == exporter.destination.kind() {
        return Ok(());
    }
    let sentence = format!(
        "This run went over {}, and its exporter has a credential of the other protocol now. \
         Choose one for {} to send it again",
        run.protocol.short(),
        run.protocol.short()
    );
    Err(OpError::WrongState(sentence))
}

/// Stops a run. Its records go with the next run, unless they are left out. One whose file may have arrived waits for a
/// person first, whether or not it did: it is not cancelled then.
///
/// # Errors
/// When it has ended.
pub async fn cancel(app: &App, actor: &Actor, id: RunId, leave_out: bool) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let run = runs::find(&mut tx, id).await?.ok_or(OpError::NotFound("run"))?;
    let (connector, _) = by_reference(&mut tx, &run.connector.to_string()).await?;
    if !runs::cancel(&mut tx, id, leave_out, now).await? {
        return stop_for_a_look(app, actor, tx, (id, &connector)).await;
    }
    let what = match (run.file.is_some(), leave_out) {
        (true, _) => "",
        (false, true) => " Its records are left out.",
        (false, false) => " Its records go with the next run.",
    };
    runs::log(&mut tx, id, &format!("Cancelled by {}.{what}", actor.name()), now).await?;
    let changes = json!({ "run": id, "records": if leave_out { "left_out" } else { "next_run" } });
    audit_entry(app, &mut tx, actor, "Cancelled run", object(&connector), changes).await?;
    let value = whole(&mut tx, id, now).await?;
    commit_answered(app, actor, tx, &value).await?;
    metrics::counter!(telemetry::EXPORTER_RUNS, "outcome" => RunState::Cancelled.kind()).increment(1);
    app.engine.wake_all();
    Ok(value)
}

/// The file of a run may have arrived, and its records would go once more: it is stopped, and waits for a person who has
/// looked.
async fn stop_for_a_look(
    app: &App,
    actor: &Actor,
    mut tx: Tx,
    (id, connector): (RunId, &Connector),
) -> Result<Value, OpError> {
    let now = tx.now();
    let run = runs::find(&mut tx, id).await?.ok_or(OpError::NotFound("run"))?;
    let held = (HoldReason::NoAnswer, ("stopped", "It was stopped, and its file may have arrived."));
    if run.has_ended() || !runs::hold(&mut tx, &run, held.0, held.1, now).await? {
        let label = run.state(now).label().to_lowercase();
        return Err(OpError::WrongState(format!("This run is {label} already")));
    }
    let line = format!(
        "Stopped by {}. {} may have arrived: no answer came. Look there, then decide.",
        actor.name(),
        run.file_name
    );
    runs::log(&mut tx, id, &line, now).await?;
    audit_entry(app, &mut tx, actor, "Stopped run", object(connector), json!({ "run": id })).await?;
    let value = whole(&mut tx, id, now).await?;
    commit_answered(app, actor, tx, &value).await?;
    app.engine.wake_all();
    Ok(value)
}

/// Ends the hold of a run as a person decides: it is sent again, or all of it has arrived.
///
/// # Errors
/// When it is not held on its own account.
pub async fn resolve(app: &App, actor: &Actor, id: RunId, resolution: Resolution) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let run = runs::find(&mut tx, id).await?.ok_or(OpError::NotFound("run"))?;
    let (connector, _) = by_reference(&mut tx, &run.connector.to_string()).await?;
    let (action, line) = match resolution {
        Resolution::SendAgain => ("Sent run again", format!("Sent again by {}.", actor.name())),
        Resolution::Delivered => {
            ("Marked run as delivered", format!("Marked as delivered by {}.", actor.name()))
        }
    };
    let resolved = match resolution {
        Resolution::SendAgain => runs::send_again(&mut tx, id, now).await?,
        Resolution::Delivered => runs::mark_done(&mut tx, id, &line, now).await?,
    };
    if !resolved {
        return Err(OpError::WrongState("This run is not held for a decision".to_owned()));
    }
    runs::log(&mut tx, id, &line, now).await?;
    audit_entry(app, &mut tx, actor, action, object(&connector), json!({ "run": id })).await?;
    let value = whole(&mut tx, id, now).await?;
    commit_answered(app, actor, tx, &value).await?;
    if resolution == Resolution::Delivered {
        metrics::counter!(telemetry::EXPORTER_RUNS, "outcome" => RunState::Done.kind()).increment(1);
    }
    app.engine.wake_all();
    Ok(value)
}

/// A run with its log.
pub(super) async fn whole(db: &mut Db, id: RunId, now: Timestamp) -> Result<Value, OpError> {
    let run = runs::find(db, id).await?.ok_or(OpError::NotFound("run"))?;
    let connector = connectors::find(db, run.connector).await?;
    let mut shown = show(&run, connector.as_ref(), now);
    let lines = runs::log_of(db, id, LOG_LINES_MAX).await?;
    let lines = lines.into_iter().map(|line| json!({ "at": line.at, "line": line.line }));
    shown.insert("log".to_owned(), lines.collect());
    Ok(Value::Object(shown))
}

fn show(run: &Run, connector: Option<&Connector>, now: Timestamp) -> Map<String, Value> {
    let state = run.state(now);
    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| drop(shown.insert(key.to_owned(), value));
    put("id", json!(run.id));
    put("exporter", json!({ "id": run.connector, "name": connector.map(|one| one.name.as_str()) }));
    put("number", json!(run.number));
    put("cause", json!(run.cause.kind()));
    put("started_by", json!(Some(&run.started_by).filter(|name| !name.is_empty())));
    put("repeats", json!((run.source != run.id).then_some(run.source)));
    put("state", json!(state));
    put("state_label", json!(state.label()));
    // What only a person can say about it comes before what its exporter waits for.
    let hold = run.hold.or_else(|| connector.and_then(|one| one.state.hold_reason()));
    let hold = hold.filter(|_| state == RunState::Waiting);
    put("hold_reason", json!(hold));
    put("hold_text", json!(hold.map(HoldReason::text)));
    put("destination", json!(run.protocol.kind()));
    let edited = connector.is_some_and(|one| one.revision != run.exporter_revision);
    put("exporter_edited", json!(edited));
    put("step", json!(run.step));
    put("steps", steps(run, state));
    put("file_name", json!(Some(&run.file_name).filter(|name| !name.is_empty())));
    let file = run.file.as_ref();
    put(
        "file",
        json!(file.map(|file| json!({
            "content_type": file.content_type, "sha256": file.digest, "bytes": file.bytes,
        }))),
    );
    put("records", json!(run.records));
    put("sent_records", json!(run.sent_records));
    put("sent_bytes", json!(run.sent_bytes));
    put("requests", json!(run.requests));
    put("attempts", json!(run.attempts));
    put("last_outcome", json!(run.outcome));
    put("message", json!(run.message));
    let waits = state == RunState::Waiting && hold.is_none();
    put("next_attempt_at", json!(waits.then_some(run.due_at)));
    put("records_in_next_run", json!(run.owes));
    put("may_have_arrived", json!(run.made_bytes.is_some() && state != RunState::Done));
    let until = run.ended_at.unwrap_or(now);
    let took = run.started_at.map(|from| until.since(from).as_millis());
    put("duration_ms", json!(took.and_then(|took| u64::try_from(took).ok())));
    put("created_at", json!(run.created_at));
    put("started_at", json!(run.started_at));
    put("ended_at", json!(run.ended_at));
    let actions: &[&str] = match (state.is_end(), connector.is_some()) {
        (_, false) => &[],
        (false, true) if run.hold.is_some() => &["send_again", "mark_delivered", "cancel"],
        (false, true) => &["cancel"],
        (true, true) => &["repeat"],
    };
    put("actions", json!(actions));
    shown
}

/// Each step with what became of it.
fn steps(run: &Run, state: RunState) -> Value {
    let steps = Step::of(run.protocol);
    let at = if run.collected && run.step == Step::Collect { Step::Upload } else { run.step };
    let row = |step: &Step| {
        let became = match state {
            RunState::Done => "done",
            _ if *step < at => "done",
            _ if *step > at => "waiting",
            RunState::Running => "running",
            RunState::Waiting => "waiting",
            RunState::Failed => "failed",
            RunState::Cancelled => "cancelled",
        };
        json!({ "step": step, "label": step.label(), "state": became })
    };
    steps.iter().filter(|step| run.file.is_none() || **step != Step::Collect).map(row).collect()
}
