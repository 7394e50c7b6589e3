//! Long work: how it stands, and how it is stopped.

use std::time::Duration;

use consign_core::delivery::DeliveryState;
use consign_core::id::OperationId;
use consign_core::operation::{OperationKind, OperationState};
use consign_core::replay::{REPLAYS_MAX, ReplaySettings};
use consign_core::rights::Right;
use consign_store::connectors::WAITING_MAX;
use consign_store::operations::{self, Operation};
use consign_store::{Db, Listed, Page, deliveries};
use serde_json::{Value, json};

use super::{Actor, Object, OpError, audit_entry, backup, commit};
use crate::App;

/// A page of operations, the newest first; of one kind, or of all.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn list(
    app: &App,
    actor: &Actor,
    kind: Option<OperationKind>,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::DeliveriesRead)?;
    // Others than administrators are shown what they may see.
    let kind = match kind {
        None if !actor.rights.allow(Right::Admin) => Some(OperationKind::Replay),
        kind => kind,
    };
    if let Some(kind) = kind {
        actor.require(right_to_see(kind))?;
    }
    let mut db = app.store.read().await?;
    let found = operations::list(&mut db, kind, page).await?;
    let mut items = Vec::with_capacity(found.items.len());
    for operation in &found.items {
        items.push(show(app, &mut db, operation, WAITING_MAX).await?);
    }
    Ok(Listed { items, next: found.next, previous: found.previous, count: found.count })
}

/// One operation.
///
/// # Errors
/// Without the right, or when there is none.
pub async fn find(app: &App, actor: &Actor, id: OperationId) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let operation = operations::find(&mut db, id).await?.ok_or(OpError::NotFound("operation"))?;
    actor.require(right_to_see(operation.kind))?;
    show(app, &mut db, &operation, REPLAYS_MAX).await
}

const fn right_to_see(kind: OperationKind) -> Right {
    match kind {
        OperationKind::Replay => Right::DeliveriesRead,
        OperationKind::Backup => Right::Admin,
    }
}

/// Stops an operation: what it has done stays done, the rest is left as it is.
///
/// # Errors
/// When there is none, or it has ended.
pub async fn stop(app: &App, actor: &Actor, id: OperationId) -> Result<Value, OpError> {
    actor.require(Right::DeliveriesOperate)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let operation = operations::find(&mut tx, id).await?.ok_or(OpError::NotFound("operation"))?;
    let action = match operation.kind {
        OperationKind::Replay => "Stopped replay",
        OperationKind::Backup => {
            actor.require(Right::Admin)?;
            "Stopped backup"
        }
    };
    if !operations::end(&mut tx, id, OperationState::Stopped, "", now).await? {
        return Err(OpError::WrongState("This operation has ended already".to_owned()));
    }
    let stopped = operations::find(&mut tx, id).await?.ok_or(OpError::NotFound("operation"))?;
    let changes = json!({ "done": stopped.done, "total": stopped.total });
    audit_entry(app, &mut tx, actor, action, object(&operation), changes).await?;
    let shown = show(app, &mut tx, &stopped, REPLAYS_MAX).await?;
    commit(app, tx).await?;
    Ok(shown)
}

/// What the audit log calls an operation.
pub(super) fn object(operation: &Operation) -> Object<'static> {
    Object { kind: "operation", id: operation.id.to_string(), name: operation.kind.kind() }
}

/// An operation; of each state so many deliveries are counted at most.
pub(super) async fn show(app: &App, db: &mut Db, operation: &Operation, most: u64) -> Result<Value, OpError> {
    let result = match operation.kind {
        OperationKind::Replay => result(db, operation.id, most).await?,
        OperationKind::Backup => backup::result(app, operation),
    };
    let settings = ReplaySettings::from_json(&operation.settings);
    let rate = settings.as_ref().map(|settings| settings.rate.per_second());
    let running = operation.state == OperationState::Running;
    let left = operation.total.saturating_sub(operation.done);
    #[expect(clippy::cast_precision_loss, reason = "100,000 at most")]
    let seconds_left =
        rate.filter(|_| running).map(|rate| Duration::from_secs_f64(left as f64 / rate).as_secs());
    Ok(json!({
        "id": operation.id,
        "kind": operation.kind.kind(),
        "state": operation.state.kind(),
        "state_label": operation.state.label(),
        "done": operation.done,
        // What came to its state while it ran may have been counted in.
        "total": operation.total.max(operation.done),
        "unit": operation.kind.unit(),
        "filter": settings.as_ref().map(|settings| settings.selection.to_json()),
        "rate_per_second": rate,
        "request": settings.as_ref().map(|settings| settings.request.kind()),
        "seconds_left": seconds_left,
        "step": backup::step(operation),
        "result": result,
        "problem": (!operation.problem.is_empty()).then_some(&operation.problem),
        "started_by": operation.started_by,
        "started_at": operation.started_at,
        "ended_at": operation.ended_at,
    }))
}

/// What became of the deliveries that it sent again.
async fn result(db: &mut Db, id: OperationId, most: u64) -> Result<Value, OpError> {
    let states = deliveries::states_of_operation(db, id, most).await?;
    let of = |wanted: DeliveryState| {
        states.iter().find(|(state, _)| *state == wanted).map_or(0, |(_, count)| *count)
    };
    Ok(json!({
        "waiting": of(DeliveryState::Pending),
        "held": of(DeliveryState::Held),
        "delivered": of(DeliveryState::Delivered),
        "failed": of(DeliveryState::Failed),
        "cancelled": of(DeliveryState::Cancelled),
        "is_capped": states.iter().any(|(_, count)| *count >= most),
    }))
}
