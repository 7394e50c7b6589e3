//! `/me` and `/meta`: who asks, and who answers.

use consign_core::event::BATCH_EVENTS_MAX;
use serde_json::json;

use super::answer::Answer;
use super::body;
use super::call::{Call, PAGE_ITEMS_MAX};
use super::problem::Problem;
use crate::ops::ActorKind;

pub(super) async fn me(call: Call) -> Result<Answer, Problem> {
    let kind = match &call.actor.kind {
        ActorKind::User { .. } => "user",
        ActorKind::Key { .. } => "api_key",
        ActorKind::System => "system",
    };
    Ok(Answer::ok(&json!({
        "kind": kind,
        "id": call.actor.caller(),
        "name": call.actor.name(),
        "rights": call.actor.rights,
    })))
}

pub(super) async fn meta(call: Call) -> Result<Answer, Problem> {
    Ok(Answer::ok(&json!({
        "name": "consign",
        "version": env!("CARGO_PKG_VERSION"),
        "api": "v1",
        "public_url": call.app.public_url(),
        "database": if call.app.store.is_postgres() { "postgresql" } else { "sqlite" },
        "licence": env!("CARGO_PKG_LICENSE"),
        "limits": {
            "body_bytes": body::BYTES_MAX,
            "event_bytes": call.app.config.limits.event_bytes,
            "export_bytes": call.app.config.limits.export_bytes,
            "batch_events": BATCH_EVENTS_MAX,
            "page_items": PAGE_ITEMS_MAX,
        },
    })))
}
