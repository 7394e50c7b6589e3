//! `/me`, `/me/password` and `/meta`: who asks, and who answers.

use consign_core::event::BATCH_EVENTS_MAX;
use serde_json::{Value, json};

use super::answer::Answer;
use super::body;
use super::call::{Call, PAGE_ITEMS_MAX};
use super::problem::Problem;
use crate::ops::{ActorKind, users};

pub(super) async fn me(call: Call) -> Result<Answer, Problem> {
    let kind = match &call.actor.kind {
        ActorKind::User { .. } => "user",
        ActorKind::Key { .. } => "api_key",
        ActorKind::System => "system",
    };
    let mut shown = json!({
        "kind": kind,
        "id": call.actor.caller(),
        "name": call.actor.name(),
        "rights": call.actor.rights,
    });
    if let (ActorKind::User { .. }, Some(shown)) = (&call.actor.kind, shown.as_object_mut())
        && let Value::Object(account) = users::account(&call.app, &call.actor).await?
    {
        shown.extend(account);
    }
    Ok(Answer::ok(&shown))
}

pub(super) async fn change(call: Call) -> Result<Answer, Problem> {
    users::change_account(&call.app, &call.actor, call.object()?).await?;
    me(call).await
}

pub(super) async fn change_password(call: Call) -> Result<Answer, Problem> {
    users::change_password(&call.app, &call.actor, call.session.as_deref(), call.object()?).await?;
    Ok(Answer::nothing())
}

pub(super) async fn meta(call: Call) -> Result<Answer, Problem> {
    let limits = call.app.engine.delivery_rules();
    Ok(Answer::ok(&json!({
        "name": "consign",
        "version": env!("CARGO_PKG_VERSION"),
        "api": "v1",
        "public_url": call.app.public_url(),
        "database": if call.app.store.is_postgres() { "postgresql" } else { "sqlite" },
        "licence": env!("CARGO_PKG_LICENSE"),
        "limits": {
            "body_bytes": body::BYTES_MAX,
            "event_bytes": limits.event_bytes,
            "export_bytes": limits.export_bytes,
            "batch_events": BATCH_EVENTS_MAX,
            "page_items": PAGE_ITEMS_MAX,
        },
    })))
}
