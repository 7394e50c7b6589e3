//! Sending many again, at a pace. A portion is decided, written and counted in one transaction, so that neither a
//! crash nor another replica makes a delivery go twice.

use std::sync::Arc;
use std::time::Duration;

use consign_core::delivery::DeliveryState;
use consign_core::operation::{OperationKind, OperationState};
use consign_core::replay::{ReplaySettings, portion};
use consign_core::time::Timestamp;
use consign_store::deliveries::{Again, next_again, send_again};
use consign_store::operations::{self, Operation};
use consign_store::{StoreError, Tx};

use super::Engine;

/// Somebody may have started one on another replica.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Rows in one transaction: short enough that an accept behind it hardly waits.
const PORTION_ROWS: u32 = 250;

impl Engine {
    /// An operation was started: it need not wait for the next look.
    pub fn operation_started(&self) {
        self.operations.notify_one();
    }

    pub(super) async fn replay_loop(self: Arc<Self>) {
        while !self.lanes.is_stopping() {
            let round = self.rounds.read().await;
            let next = self.replay_what_is_due().await;
            drop(round);
            let wait = match next {
                Ok(next) => next.map_or(LOOK_EVERY, |at| at.since(self.now()).min(LOOK_EVERY)),
                Err(error) => {
                    tracing::error!(%error, "deliveries could not be sent again; trying again in a second");
                    LOOK_EVERY
                }
            };
            let _ = tokio::time::timeout(wait, self.operations.notified()).await;
        }
    }

    /// Does what is due, and tells when more is.
    async fn replay_what_is_due(&self) -> Result<Option<Timestamp>, StoreError> {
        loop {
            let next = operations::next_due(&mut *self.store.read().await?, OperationKind::Replay).await?;
            if next.is_none_or(|at| at > self.now()) || self.lanes.is_stopping() {
                return Ok(next);
            }
            let mut tx = self.store.begin().await?;
            let now = tx.now();
            let Some(operation) = operations::take_due(&mut tx, OperationKind::Replay, now).await? else {
                return Ok(None);
            };
            let again = replay_portion(&mut tx, &operation).await?;
            tx.commit().await?;
            for one in &again {
                self.lanes.note_behind(one.connector);
            }
            if !again.is_empty() {
                self.wake.notify_one();
            }
        }
    }
}

/// The next portion of an operation, as its pace allows; its end when there is none.
async fn replay_portion(tx: &mut Tx, operation: &Operation) -> Result<Vec<Again>, StoreError> {
    let now = tx.now();
    let Some(settings) = ReplaySettings::from_json(&operation.settings) else {
        let problem = "It was started by a newer program, which this one does not understand.";
        operations::end(tx, operation.id, OperationState::Failed, problem, now).await?;
        return Ok(Vec::new());
    };
    let (count, due_at) = portion(settings.rate, operation.due_at, now, PORTION_ROWS);
    let (from, mut after) = place(&operation.place);
    let states =
        settings.selection.states.iter().skip_while(|state| from.is_some_and(|from| from != **state));
    for state in states {
        let again =
            next_again(tx, (&settings.selection, settings.request), *state, settings.before, after, count)
                .await?;
        if let Some(last) = again.last() {
            send_again(tx, operation.id, (*state, settings.request), &again, now).await?;
            let done = operation.done + u64::try_from(again.len()).unwrap_or(u64::MAX);
            let place = format!("{} {}", state.kind(), last.id);
            operations::advance(tx, operation.id, done, &place, due_at).await?;
            return Ok(again);
        }
        after = "";
    }
    operations::end(tx, operation.id, OperationState::Done, "", now).await?;
    Ok(Vec::new())
}

/// A state, and the last id in it that was done.
fn place(stored: &str) -> (Option<DeliveryState>, &str) {
    match stored.split_once(' ') {
        Some((state, id)) => (DeliveryState::find(state), id),
        None => (None, ""),
    }
}
