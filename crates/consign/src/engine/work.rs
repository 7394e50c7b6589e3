//! A delivery that is leased to this process.

use std::sync::Arc;

use bytes::Bytes;
use consign_core::event::Event;
use consign_core::id::{ConnectorId, DeliveryId};
use consign_core::time::Timestamp;
use consign_store::deliveries::Claimed;
use consign_store::events::StoredEvent;
use tokio::sync::OwnedSemaphorePermit;

/// A leased delivery and all that is known of it without another query.
pub(super) struct Work {
    /// The delivery.
    pub delivery: DeliveryId,
    /// Its connector.
    pub connector: ConnectorId,
    /// Its event.
    pub event: Content,
    /// Attempts that counted so far.
    pub attempts: u32,
    /// Attempts that ended with the program.
    pub crashes: u32,
    /// The last of them did: its lease ran out without a result.
    pub abandoned: bool,
    /// Who is newest.
    pub fence: i64,
    /// Until when it is ours.
    pub lease_until: Timestamp,
    /// The first delivery of this event to this connector.
    pub idempotency_key: DeliveryId,
    /// When it was accepted.
    pub created_at: Timestamp,
    /// Since when it has been due.
    pub due_at: Timestamp,
    /// Held while a suspect is out: this process sends one of them at a time.
    #[expect(dead_code, reason = "held until the work is done, never read")]
    pub(super) alone: Option<OwnedSemaphorePermit>,
    /// A test: one attempt, no retries.
    pub test: bool,
    /// The delivery whose first request is sent, exactly as it was.
    pub sent_as: Option<DeliveryId>,
}

/// The event of a delivery.
pub(super) enum Content {
    /// In memory, because it has just been accepted.
    Here(Arc<Event>),
    /// As stored: its data is sealed.
    Stored(Box<StoredEvent>),
}

impl From<Claimed> for Work {
    fn from(claimed: Claimed) -> Self {
        Self {
            delivery: claimed.id,
            connector: claimed.connector,
            event: Content::Stored(Box::new(claimed.event)),
            attempts: claimed.attempts,
            crashes: claimed.crashes,
            abandoned: claimed.abandoned,
            fence: claimed.fence,
            lease_until: claimed.lease_until,
            idempotency_key: claimed.idempotency_key,
            created_at: claimed.created_at,
            due_at: claimed.due_at,
            alone: None,
            test: claimed.test,
            sent_as: claimed.sent_as,
        }
    }
}

/// A stored event with its data opened.
pub(super) fn opened(stored: &StoredEvent, data: Vec<u8>) -> Event {
    Event { data: Bytes::from(data), ..stored.event.clone() }
}
