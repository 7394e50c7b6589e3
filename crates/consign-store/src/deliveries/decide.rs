//! What a person decides about deliveries, or a repair brings about.

use consign_core::id::{ConnectorId, DeliveryId};
use consign_core::time::Timestamp;

use crate::db::query;
use crate::{Db, StoreError};

/// Sends a held delivery again: pending, due now, its crashes forgotten. `false` when it is not held.
///
/// # Errors
/// When the database cannot be written.
pub async fn release(db: &mut Db, id: DeliveryId, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update delivery set state = 'pending', hold_reason = null, due_at = $1, crashes = 0
         where id = $2 and state = 'held'",
    );
    Ok(query.bind(now.millis()).bind(id.to_string()).execute(db).await? == 1)
}

/// Makes pending again what could not be rendered for a connector that was edited since, and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn release_not_rendered(
    db: &mut Db,
    connector: ConnectorId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let query = query(
        "update delivery set state = 'pending', hold_reason = null, due_at = $1
         where connector_id = $2 and state = 'held' and state <> 'delivered'
           and hold_reason = 'not_rendered'",
    );
    query.bind(now.millis()).bind(connector.to_string()).execute(db).await
}

/// Stops a delivery for good. A request that is under way is not called back, but its result changes
/// nothing any more. `false` when it has ended already.
///
/// # Errors
/// When the database cannot be written.
pub async fn cancel(db: &mut Db, id: DeliveryId, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update delivery set state = 'cancelled', hold_reason = null, ended_at = $1, fence = fence + 1,
           lease_until = null, lease_by = null
         where id = $2 and state in ('pending', 'held')",
    );
    Ok(query.bind(now.millis()).bind(id.to_string()).execute(db).await? == 1)
}

/// Stops everything that waits for a connector, as [`cancel`], and tells how many.
///
/// # Errors
/// When the database cannot be written.
pub async fn cancel_of_connector(
    db: &mut Db,
    connector: ConnectorId,
    now: Timestamp,
) -> Result<u64, StoreError> {
    // Two statements, because each has an index that passes over what has ended.
    let pending = query(
        "update delivery set state = 'cancelled', ended_at = $1, fence = fence + 1,
           lease_until = null, lease_by = null
         where connector_id = $2 and state = 'pending' and due_at >= 0",
    );
    let pending = pending.bind(now.millis()).bind(connector.to_string()).execute(db).await?;
    let held = query(
        "update delivery set state = 'cancelled', ended_at = $1, fence = fence + 1, hold_reason = null
         where connector_id = $2 and state = 'held' and state <> 'delivered'",
    );
    let held = held.bind(now.millis()).bind(connector.to_string()).execute(db).await?;
    Ok(pending + held)
}

/// A person knows that a held delivery arrived. `false` when it is not held.
///
/// # Errors
/// When the database cannot be written.
pub async fn resolve_delivered(db: &mut Db, id: DeliveryId, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update delivery set state = 'delivered', hold_reason = null, ended_at = $1, fence = fence + 1
         where id = $2 and state = 'held'",
    );
    Ok(query.bind(now.millis()).bind(id.to_string()).execute(db).await? == 1)
}

/// Makes a pending delivery due now. `false` when it is not pending or is under way.
///
/// # Errors
/// When the database cannot be written.
pub async fn try_now(db: &mut Db, id: DeliveryId, now: Timestamp) -> Result<bool, StoreError> {
    let query = query(
        "update delivery set due_at = $1
         where id = $2 and state = 'pending' and coalesce(lease_until, 0) <= $1",
    );
    Ok(query.bind(now.millis()).bind(id.to_string()).execute(db).await? == 1)
}
