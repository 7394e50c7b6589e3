//! What was really sent: the request of a delivery as it first left, for whoever may read payloads.

use bytes::Bytes;
use consign_core::id::DeliveryId;
use consign_core::replay::ReplayRequest;
use consign_core::rights::Right;
use consign_store::attempts;
use http::header::CONTENT_TYPE;
use serde_json::json;

use super::{Actor, OpError, load, object};
use crate::App;
use crate::ops::{audit_entry, commit, events};

/// A request as it first left, without its sign-in.
pub struct SentRequest {
    /// Such as `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// The media type of its body; empty without one.
    pub content_type: String,
    /// Its body.
    pub body: Bytes,
}

/// Whether the request of a delivery as it first left is kept.
///
/// # Errors
/// Without the right, or when the database cannot be read.
pub async fn keeps_request(app: &App, actor: &Actor, id: DeliveryId) -> Result<bool, OpError> {
    actor.require(Right::DeliveriesRead)?;
    Ok(attempts::keeps_request(&mut *app.store.read().await?, id).await?)
}

/// The request of a delivery as it first left; the opening is audited.
///
/// # Errors
/// Without the right, when there is no such delivery, or its request is not kept.
pub async fn request_body(app: &App, actor: &Actor, id: DeliveryId) -> Result<SentRequest, OpError> {
    opened(app, actor, id, "Opened payload").await
}

/// The same for somebody who takes it away.
///
/// # Errors
/// As of [`request_body`].
pub async fn download_request_body(app: &App, actor: &Actor, id: DeliveryId) -> Result<SentRequest, OpError> {
    opened(app, actor, id, "Downloaded payload").await
}

async fn opened(app: &App, actor: &Actor, id: DeliveryId, action: &str) -> Result<SentRequest, OpError> {
    actor.require(Right::PayloadsRead)?;
    let line = load(app, id).await?;
    let event = events::load(app, line.delivery.event).await?;
    let not_kept = || {
        let sentence = "What was sent is not kept: nothing left for this delivery, or it was removed by age";
        OpError::WrongState(sentence.to_owned())
    };
    let kept = app.engine.first_sent(id, &event.data).await?.ok_or_else(not_kept)?;
    let mut tx = app.store.begin().await?;
    let changes = json!({ "request": ReplayRequest::AsFirstSent.words() });
    audit_entry(app, &mut tx, actor, action, object(&line), changes).await?;
    commit(app, tx).await?;
    let media_type = kept.message.headers.iter().find(|(name, _)| *name == CONTENT_TYPE);
    let media_type = media_type.and_then(|(_, value)| value.to_str().ok()).unwrap_or_default();
    Ok(SentRequest {
        method: kept.message.method.to_string(),
        path: kept.message.path.as_str().to_owned(),
        content_type: media_type.to_owned(),
        body: kept.body,
    })
}
