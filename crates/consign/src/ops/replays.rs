//! Many deliveries, sent again at a pace: a preview first, then an operation that survives a restart.

use consign_core::id::{ConnectorId, OperationId};
use consign_core::operation::{OperationKind, OperationState};
use consign_core::replay::{REPLAYS_MAX, ReplayDraft, ReplaySettings};
use consign_core::rights::Right;
use consign_store::Db;
use consign_store::deliveries::{Found, count_again};
use consign_store::operations::{self, Operation};
use serde_json::{Value, json};

use super::operations::{object, show};
use super::{Actor, OpError, Sent, audit_entry, commit_answered, invalid};
use crate::App;

/// What would be sent again, and how long that takes. Nothing is changed.
///
/// # Errors
/// Every value that was not accepted.
pub async fn preview(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut db = app.store.read().await?;
    let now = db.now();
    let draft = read(&mut db, sent).await?;
    let found = count_again(&mut db, &draft.selection, now, draft.request).await?;
    Ok(json!({
        "count": found.count(),
        "too_many": found.too_many,
        "without_payload": found.without_payload,
        "without_request": found.without_request,
        "request": draft.request.kind(),
        "oldest_created_at": found.oldest,
        "connectors": found.connectors.iter().map(|of| json!({
            "id": of.connector, "name": of.name, "count": of.count,
        })).collect::<Vec<_>>(),
        "rate_per_second": draft.rate.per_second(),
        "seconds": seconds(app, &found, draft.rate.per_second()),
        "filter": draft.selection.to_json(),
        "before": now,
    }))
}

/// Starts to send again what a filter finds now.
///
/// # Errors
/// Every value that was not accepted; when there is nothing to send again, or too much.
pub async fn start(app: &App, actor: &Actor, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    // Counted beside the transaction: nothing that is written meanwhile waits for it.
    let mut db = app.store.read().await?;
    let now = db.now();
    let draft = read(&mut db, sent).await?;
    let found = count_again(&mut db, &draft.selection, now, draft.request).await?;
    drop(db);
    if found.too_many {
        let most = consign_core::catalog::with_commas(usize::try_from(REPLAYS_MAX).unwrap_or(usize::MAX));
        let text =
            draft.selection.q.as_ref().map_or("", |_| ", or would have to be looked through for this text");
        let sentence =
            format!("More than {most} deliveries match{text}. Narrow the filter, for example by time");
        return Err(OpError::WrongState(sentence));
    }
    if found.count() == 0 {
        let sentence = match found.without_payload {
            _ if found.without_request > 0 => {
                "Of these deliveries nothing that was sent is kept. Replay them with the present set-up"
            }
            0 => "No delivery matches. Those that were sent again already are left out",
            _ => "The payloads of these deliveries were removed. Payloads are kept for a limited time",
        };
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    let settings =
        ReplaySettings { selection: draft.selection, rate: draft.rate, before: now, request: draft.request };
    let operation = Operation {
        id: OperationId::new(now),
        kind: OperationKind::Replay,
        state: OperationState::Running,
        done: 0,
        total: found.count(),
        settings: settings.to_json(),
        place: String::new(),
        due_at: now,
        started_by: actor.name().to_owned(),
        started_at: now,
        ended_at: None,
        problem: String::new(),
    };
    let mut tx = app.store.begin().await?;
    operations::insert(&mut tx, &operation).await?;
    let changes = json!({
        "deliveries": operation.total,
        "filter": settings.selection.to_json(),
        "rate_per_second": settings.rate.per_second(),
        "request": settings.request.words(),
    });
    audit_entry(app, &mut tx, actor, "Started replay", object(&operation), changes).await?;
    let shown = show(app, &mut tx, &operation, REPLAYS_MAX).await?;
    commit_answered(app, actor, tx, &shown).await?;
    app.engine.operation_started();
    Ok(shown)
}

/// Reads what was asked for; the connector may be named.
async fn read(db: &mut Db, mut sent: Sent) -> Result<ReplayDraft, OpError> {
    if let Some(Value::Object(filter)) = sent.get_mut("filter")
        && let Some(Value::String(named)) = filter.get("connector")
        && !named.is_empty()
        && named.parse::<ConnectorId>().is_err()
    {
        let found = match super::webhooks::by_reference(db, named).await {
            Ok(connector) => connector.id,
            Err(OpError::NotFound(_)) => {
                let sentence =
                    format!("There is no webhook “{}”", named.chars().take(80).collect::<String>());
                return Err(invalid("filter/connector", "unknown", sentence));
            }
            Err(other) => return Err(other),
        };
        filter.insert("connector".to_owned(), json!(found));
    }
    ReplayDraft::parse(sent).map_err(OpError::Invalid)
}

/// How long it takes: no faster than asked for, nor than the slowest webhook may send.
#[expect(clippy::cast_precision_loss, reason = "100,000 at most")]
fn seconds(app: &App, found: &Found, rate: f64) -> u64 {
    let snapshot = app.engine.snapshot();
    let of_connectors = found.connectors.iter().filter_map(|of| {
        let own = snapshot.connector(of.connector)?.webhook()?.max_per_second?;
        Some(of.count as f64 / own.per_second())
    });
    let seconds = of_connectors.fold(found.count() as f64 / rate, f64::max);
    std::time::Duration::from_secs_f64(seconds.ceil()).as_secs()
}
