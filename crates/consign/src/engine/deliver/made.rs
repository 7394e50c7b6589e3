//! The request of an attempt: made of the event with the present set-up, or the one that was first sent.

use std::sync::Arc;

use bytes::Bytes;
use consign_core::connector::kept::KeptRequest;
use consign_core::connector::signature::Signing;
use consign_core::connector::webhook::RenderFor;
use consign_core::connector::{Connector, Message, Webhook};
use consign_core::credential::Credential;
use consign_core::delivery::Refusal;
use consign_core::event::Event;
use consign_core::id::DeliveryId;
use consign_core::time::Timestamp;
use consign_core::vault::DerivedKey;
use consign_store::{StoreError, attempts};
use http::{HeaderName, HeaderValue};

use crate::engine::Engine;
use crate::engine::snapshot::Snapshot;
use crate::engine::work::{Content, Work, opened};

/// The time of the attempt, in whole seconds since 1970.
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");

/// A request that may go out, without its sign-in.
pub(super) struct Made {
    /// Its head.
    pub message: Message,
    /// Its body.
    pub body: Bytes,
    /// Both, sealed to be kept.
    pub request: Option<Vec<u8>>,
    /// Today's, for what is kept of the answer.
    pub payload_key: Arc<DerivedKey>,
}

/// Why there is none, and what a person reads about it.
type Unmade = (Refusal, Option<String>);

/// What the request of a delivery is sealed for.
pub(in crate::engine) fn place(delivery: DeliveryId) -> String {
    format!("{delivery}/request")
}

impl Engine {
    /// Makes the request of an attempt, with its signature.
    pub(super) async fn made(
        &self,
        work: &Work,
        (connector, webhook): (&Connector, &Webhook),
        credential: &Credential,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Made, Unmade> {
        let (event, payload_key) =
            self.content(&work.event, now).await.map_err(|refusal| match &refusal {
                Refusal::NotRendered(what) => {
                    let words = what.clone();
                    (refusal, Some(words))
                }
                _ => (refusal, None),
            })?;
        let origin = credential.target.to_string();
        let (mut message, body) = match work.sent_as {
            Some(first) => self.first_request(first, &event, &origin, now).await?,
            None => {
                let of = RenderFor {
                    delivery: work.delivery,
                    idempotency_key: work.idempotency_key,
                    connector: connector.name.as_str(),
                    now,
                };
                webhook.render(&event, &of).map_err(|error| {
                    let words = format!("The request could not be made: {error}.");
                    (Refusal::NotRendered(error.to_string()), Some(words))
                })?
            }
        };
        let kept = KeptRequest::new(origin, &message, &body);
        let request =
            kept.map(|kept| payload_key.encrypt(&place(work.delivery), &kept.to_bytes(&event.data)));
        let signature = match webhook.signature {
            Signing::Off => Ok(None),
            Signing::Hmac | Signing::Ed25519 => {
                self.signature(snapshot, connector.id, event.id, now, &body).map(Some)
            }
        };
        match signature {
            Ok(signature) => message.headers.extend(signature),
            // It was saved meanwhile, perhaps without a signature: it is sent as it is now.
            Err(_)
                if snapshot.connector(connector.id).is_none_or(|now| now.revision != connector.revision) =>
            {
                return Err((Refusal::Stopping, None));
            }
            Err(what) => {
                let words = format!("The request could not be signed: {what}.");
                return Err((Refusal::NotRendered(what.to_owned()), Some(words)));
            }
        }
        Ok(Made { message, body, request, payload_key })
    }

    /// The request of a delivery as it was first sent, for an event with this data; `None` when it is not kept, or no
    /// longer.
    ///
    /// # Errors
    /// When the database cannot be read, or the key of its day does not open.
    pub async fn first_sent(
        &self,
        delivery: DeliveryId,
        data: &Bytes,
    ) -> Result<Option<KeptRequest>, StoreError> {
        let mut db = self.store.read().await?;
        let found = attempts::first_request(&mut db, delivery).await?;
        drop(db);
        let Some(found) = found else { return Ok(None) };
        let Some(key) = self.settings.payloads.of_day(found.payload_key).await? else { return Ok(None) };
        let opened = key.decrypt(&place(delivery), &found.sealed).ok();
        Ok(opened.and_then(|bytes| KeptRequest::from_bytes(&bytes, data)))
    }

    /// The request that was first sent for a delivery, for the same address only.
    async fn first_request(
        &self,
        first: DeliveryId,
        event: &Event,
        origin: &str,
        now: Timestamp,
    ) -> Result<(Message, Bytes), Unmade> {
        let unmade = |words: String| (Refusal::NotAsFirstSent(words.clone()), Some(words));
        let gone = || unmade("The request that was first sent is no longer kept.".to_owned());
        let unread = |error: StoreError| match error {
            StoreError::Damaged(_) => unmade("The request that was first sent cannot be opened.".to_owned()),
            // Ours and passing: it goes back into the queue and costs no attempt.
            _ => (Refusal::Stopping, None),
        };
        let mut kept = self.first_sent(first, &event.data).await.map_err(unread)?.ok_or_else(gone)?;
        if kept.origin != origin {
            return Err(unmade(format!(
                "It was first sent to {}, and the credential points at {origin} now. Nothing was sent.",
                kept.origin
            )));
        }
        // Its time is that of this attempt; a signature comes behind it.
        kept.message.headers.push((TIMESTAMP, HeaderValue::from(now.seconds())));
        Ok((kept.message, kept.body))
    }

    /// The event with its data, and today's payload key for what is kept of the answer.
    async fn content(
        &self,
        content: &Content,
        now: Timestamp,
    ) -> Result<(Arc<Event>, Arc<DerivedKey>), Refusal> {
        let gone = |error: StoreError| match error {
            StoreError::Damaged(_) => Refusal::NotRendered("the payload cannot be opened".to_owned()),
            // Ours and passing: it goes back into the queue and costs no attempt.
            _ => Refusal::Stopping,
        };
        let (_, today) = self.settings.payloads.current(now).await.map_err(gone)?;
        let stored = match content {
            Content::Here(event) => return Ok((event.clone(), today)),
            Content::Stored(stored) => stored,
        };
        let removed = || Refusal::NotRendered("the payload was removed".to_owned());
        let sealed = stored.sealed_data.as_ref().ok_or_else(removed)?;
        let key =
            self.settings.payloads.of_day(stored.payload_key).await.map_err(gone)?.ok_or_else(removed)?;
        let data = key
            .decrypt(&stored.event.id.to_string(), sealed)
            .map_err(|error| Refusal::NotRendered(error.to_string()))?;
        Ok((Arc::new(opened(stored, data)), today))
    }
}
