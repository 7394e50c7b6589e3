//! Recording what attempts saw and what happens next, many at once.

use std::collections::HashSet;

use consign_core::delivery::{DeliveryState, HoldReason};
use consign_core::id::DeliveryId;
use consign_core::time::Timestamp;

use crate::attempts::{self, Attempt};
use crate::row::millis;
use crate::statement::{Statement, chunks};
use crate::{Db, StoreError};

/// The result of an attempt.
#[derive(Clone, Debug)]
pub struct Recording {
    /// The delivery.
    pub delivery: DeliveryId,
    /// The fence of the lease under which it was attempted.
    pub fence: i64,
    /// Its state from now on.
    pub state: DeliveryState,
    /// Why it is held on its own account.
    pub hold_reason: Option<HoldReason>,
    /// When the next attempt is due.
    pub due_at: Timestamp,
    /// Attempts that count, this one included if it does.
    pub attempts: u32,
    /// The class of the outcome.
    pub outcome: &'static str,
    /// The status of the answer.
    pub status: Option<u16>,
    /// What the tool said.
    pub message: Option<String>,
    /// The record that the tool made, as it calls it; absent, an earlier one stays.
    pub reference: Option<String>,
    /// When it came to its end.
    pub ended_at: Option<Timestamp>,
    /// What was seen.
    pub attempt: Attempt,
}

/// Records attempts and moves their deliveries on. `true`: the fence still held. `false`: the lease was
/// lost and the delivery is unchanged; the attempt is recorded all the same.
///
/// # Errors
/// When nothing was recorded; the transaction is to be dropped.
pub async fn record(db: &mut Db, recordings: &[&Recording]) -> Result<Vec<bool>, StoreError> {
    let mut moved: HashSet<DeliveryId> = HashSet::with_capacity(recordings.len());
    for chunk in chunks(recordings) {
        let mut statement = Statement::new(
            db,
            "update delivery set lease_until = null, lease_by = null, state = v.column3,
               hold_reason = v.column4, due_at = v.column5, attempts = v.column6, last_outcome = v.column7,
               last_status = v.column8, last_message = v.column9,
               reference = coalesce(v.column10, reference), ended_at = v.column11
             from (values ",
        );
        statement.rows(chunk, |row, of| {
            row.bind(of.delivery.to_string())
                .push(", ")
                .bind(of.fence)
                .push(", ")
                .bind(of.state.kind())
                .push(", ");
            row.bind(of.hold_reason.map(HoldReason::kind)).push(", ").bind(of.due_at.millis()).push(", ");
            row.bind(i64::from(of.attempts)).push(", ").bind(of.outcome).push(", ");
            row.bind(of.status.map(i64::from)).push(", ").bind(of.message.as_deref()).push(", ");
            row.bind(of.reference.as_deref()).push(", ").bind(millis(of.ended_at));
        });
        statement.push(") as v where delivery.id = v.column1 and delivery.fence = v.column2 returning id");
        for row in statement.all(db).await? {
            moved.insert(row.id("id")?);
        }
    }
    let attempts: Vec<&Attempt> = recordings.iter().map(|recording| &recording.attempt).collect();
    attempts::insert(db, &attempts).await?;
    Ok(recordings.iter().map(|recording| moved.contains(&recording.delivery)).collect())
}
