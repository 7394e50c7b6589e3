//! Reminders of ends that come nearer: a line in the log, and an event that a webhook can carry to people.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use consign_core::credential::{Credential, Reminder};
use consign_core::event::{Event, JSON, OWN_SOURCE};
use consign_core::id::EventId;
use consign_core::time::Timestamp;
use consign_store::{StoreError, credentials};

use super::Engine;

/// The type of the event.
const TYPE: &str = "consign.credential.ends";
/// So many share an acceptance.
const PORTION: usize = 100;

impl Engine {
    /// Gives the reminders that are due and were not given. The source and its id make each of them one event, whichever
    /// replica is first, and after a restart as well.
    pub(super) async fn remind(self: &Arc<Self>, now: Timestamp) -> Result<(), StoreError> {
        let ending = credentials::ending_soon(&mut *self.store.read().await?, now).await?;
        let due: Vec<_> = ending
            .iter()
            .filter_map(|credential| credential.reminder(now).map(|reminder| (credential, reminder)))
            .map(|(credential, reminder)| (reminder.key(credential), credential, reminder))
            .collect();
        let given = std::mem::take(&mut self.memory().reminded);
        let fresh: Vec<_> = due.iter().filter(|(key, ..)| !given.contains(key)).collect();
        // What is not due any more is forgotten.
        let mut reminded: HashSet<_> =
            due.iter().map(|(key, ..)| key).filter(|key| given.contains(*key)).cloned().collect();
        // Many at a time: each acceptance waits for the disk.
        for portion in fresh.chunks(PORTION) {
            let events = portion
                .iter()
                .map(|(key, credential, reminder)| self.reminder_event(key, credential, reminder, now));
            match self.accept(events.collect()).await {
                Ok(accepted) => {
                    for ((key, credential, reminder), event) in portion.iter().zip(accepted) {
                        if !event.duplicate {
                            tracing::warn!(credential.id = %credential.id, days_left = reminder.days_left, "{}", reminder.sentence(credential));
                        }
                        reminded.insert(key.clone());
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "reminders of ends could not be stored; trying again in a minute");
                    break;
                }
            }
        }
        self.memory().reminded = reminded;
        Ok(())
    }

    fn reminder_event(
        &self,
        key: &str,
        credential: &Credential,
        reminder: &Reminder,
        now: Timestamp,
    ) -> Event {
        let page = format!("{}/credentials/{}", self.public_url(), credential.id);
        Event {
            id: EventId::new(now),
            event_type: TYPE.to_owned(),
            source: OWN_SOURCE.to_owned(),
            source_id: key.to_owned(),
            subject: Some(credential.id.to_string()),
            time: now,
            content_type: JSON.to_owned(),
            data: Bytes::from(reminder.data(credential, &page).to_string()),
            extensions: Vec::new(),
            received_at: now,
            received_from: "Consign".to_owned(),
            test: false,
        }
    }
}
