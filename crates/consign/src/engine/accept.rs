//! Accepting: an event is sealed, fanned out to the webhooks that want it, and on disk before anyone is told.

use std::sync::Arc;

use consign_core::connector::Connector;
use consign_core::event::Event;
use consign_core::id::{ConnectorId, DeliveryId, EventId};
use consign_core::time::Timestamp;
use consign_store::events::{Accepted, Lease, NewDelivery};

use super::commit::{AcceptRow, CommitError};
use super::lanes::Rules;
use super::work::{Content, Work};
use super::{Engine, LEASE};

/// What became of an event.
#[derive(Debug)]
pub struct AcceptedEvent {
    /// Its id; of a repeat, the first one's.
    pub id: EventId,
    /// The same `source` and `source_id` came before.
    pub duplicate: bool,
    /// Its deliveries; none for a repeat.
    pub deliveries: Vec<(DeliveryId, ConnectorId)>,
    /// How many exporters send it with their next run.
    pub exporters: usize,
}

impl Engine {
    /// Stores events and their deliveries. Returns when they are on disk.
    ///
    /// # Errors
    /// When the queue is full or the database did not take them; then none of them is accepted.
    pub async fn accept(self: &Arc<Self>, events: Vec<Event>) -> Result<Vec<AcceptedEvent>, CommitError> {
        self.store_events(events, None).await
    }

    /// Stores events for one connector alone, whatever it subscribes to.
    ///
    /// # Errors
    /// As [`Engine::accept`].
    pub async fn accept_for(
        self: &Arc<Self>,
        events: Vec<Event>,
        connector: &Connector,
    ) -> Result<Vec<AcceptedEvent>, CommitError> {
        self.store_events(events, Some(connector.id)).await
    }

    async fn store_events(
        self: &Arc<Self>,
        events: Vec<Event>,
        only: Option<ConnectorId>,
    ) -> Result<Vec<AcceptedEvent>, CommitError> {
        let now = self.now();
        let (payload_key, key) = self.settings.payloads.current(now).await?;
        let mut promised = Promised { engine: self.clone(), connectors: Vec::new() };
        let rows = events
            .into_iter()
            .map(|event| {
                let sealed_data = key.encrypt(&event.id.to_string(), &event.data);
                let deliveries = self.fan_out(&event, only, now, &mut promised.connectors);
                let exporters = self.exporters_of(&event, only);
                AcceptRow { event: Arc::new(event), sealed_data, payload_key, deliveries, exporters }
            })
            .collect();
        // A task of its own: a client that hangs up now undoes nothing, and its deliveries still start.
        let storing = tokio::spawn(self.clone().store_rows(rows, promised));
        storing.await.map_err(|_| CommitError::Stopping)?
    }

    async fn store_rows(
        self: Arc<Self>,
        rows: Vec<AcceptRow>,
        mut promised: Promised,
    ) -> Result<Vec<AcceptedEvent>, CommitError> {
        let stored = self.commit.accept(rows).await?;
        promised.connectors.clear();
        let mut accepted = Vec::with_capacity(stored.len());
        let mut touched: Vec<ConnectorId> = Vec::new();
        let mut late = Vec::new();
        for (row, fate) in stored {
            for delivery in &row.deliveries {
                late.extend(self.place(&row, delivery, matches!(fate, Accepted::New)));
                if !touched.contains(&delivery.connector) {
                    touched.push(delivery.connector);
                }
            }
            accepted.push(answer(&row, &fate));
        }
        for connector in touched {
            self.pump(connector);
            if self.lanes.wants_more(connector) {
                self.wake.notify_one();
            }
        }
        self.give_back(&late).await;
        Ok(accepted)
    }

    /// A delivery for each webhook that takes the event, paused and held ones too. Where its lane has room it is
    /// born leased: no claim, no second sync.
    fn fan_out(
        &self,
        event: &Event,
        only: Option<ConnectorId>,
        now: Timestamp,
        promised: &mut Vec<ConnectorId>,
    ) -> Vec<NewDelivery> {
        let snapshot = self.snapshot();
        let interested = snapshot.webhooks().filter(|(connector, webhook)| match only {
            Some(id) => connector.id == id,
            None => webhook.matches(event),
        });
        interested
            .map(|(connector, webhook)| {
                let id = DeliveryId::new(now);
                let attempts_max = self.settings.attempts_max;
                let rules = Rules { connector, webhook, credential: None, attempts_max };
                let lease = self.lanes.reserve(&rules, now).then(|| {
                    promised.push(connector.id);
                    Lease { until: now.plus(LEASE), by: self.by.clone() }
                });
                NewDelivery {
                    id,
                    connector: connector.id,
                    due_at: now,
                    lease,
                    idempotency_key: id,
                    replay_of: None,
                    sent_as: None,
                    test: event.test,
                }
            })
            .collect()
    }

    /// The exporters that take the event, paused and held ones too: it leaves a record for their next run.
    fn exporters_of(&self, event: &Event, only: Option<ConnectorId>) -> Vec<ConnectorId> {
        if only.is_some() {
            return Vec::new();
        }
        let snapshot = self.snapshot();
        let interested = snapshot.exporters().filter(|(_, exporter)| exporter.matches(event));
        interested.map(|(connector, _)| connector.id).collect()
    }

    /// Puts a new delivery into its lane; a stopped engine gets it back.
    fn place(&self, row: &AcceptRow, delivery: &NewDelivery, new: bool) -> Option<Work> {
        let Some(lease) = &delivery.lease else {
            // Only now is it on disk: a claim that ran meanwhile has not seen it.
            if new {
                self.lanes.note_behind(delivery.connector);
            }
            return None;
        };
        if !new {
            self.lanes.release(delivery.connector);
            return None;
        }
        self.lanes.fill(Work {
            delivery: delivery.id,
            connector: delivery.connector,
            event: Content::Here(row.event.clone()),
            attempts: 0,
            crashes: 0,
            abandoned: false,
            fence: 1,
            lease_until: lease.until,
            idempotency_key: delivery.idempotency_key,
            created_at: row.event.received_at,
            due_at: delivery.due_at,
            alone: None,
            test: row.event.test,
            sent_as: None,
        })
    }
}

fn answer(row: &AcceptRow, fate: &Accepted) -> AcceptedEvent {
    match fate {
        Accepted::New => AcceptedEvent {
            id: row.event.id,
            duplicate: false,
            deliveries: row.deliveries.iter().map(|delivery| (delivery.id, delivery.connector)).collect(),
            exporters: row.exporters.len(),
        },
        Accepted::Duplicate(first) => {
            AcceptedEvent { id: *first, duplicate: true, deliveries: Vec::new(), exporters: 0 }
        }
    }
}

/// Places promised to events whose commit is under way; given up when it fails.
struct Promised {
    engine: Arc<Engine>,
    connectors: Vec<ConnectorId>,
}

impl Drop for Promised {
    fn drop(&mut self) {
        for connector in self.connectors.drain(..) {
            self.engine.lanes.release(connector);
        }
    }
}
