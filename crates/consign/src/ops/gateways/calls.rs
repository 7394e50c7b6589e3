//! What was called through a gateway.

use std::time::Duration;

use consign_core::connector::Connector;
use consign_core::rights::Right;
use consign_core::time::Timestamp;
use consign_store::gateway_calls::{self, COUNTED_MAX, CallFilter, GatewayCall};
use consign_store::{Db, Listed, Page, StoreError};
use serde_json::{Value, json};

use super::by_reference;
use crate::App;
use crate::ops::{Actor, OpError};

const DAY: Duration = Duration::from_secs(86_400);

/// A page of the calls of a gateway, newest first.
///
/// # Errors
/// Without the right, or when there is no such gateway.
pub async fn calls(
    app: &App,
    actor: &Actor,
    reference: &str,
    filter: &CallFilter,
    page: &Page,
) -> Result<Listed<Value>, OpError> {
    actor.require(Right::DeliveriesRead)?;
    let mut db = app.store.read().await?;
    let gateway = by_reference(&mut db, reference).await?;
    let found = gateway_calls::list(&mut db, gateway.id, filter, page).await?;
    let items = found.items.iter().map(show).collect();
    Ok(Listed { items, next: found.next, previous: found.previous, count: found.count })
}

/// How much a gateway was called lately.
pub(super) async fn last_day(db: &mut Db, gateway: &Connector, now: Timestamp) -> Result<Value, StoreError> {
    let counted = gateway_calls::count_since(db, gateway.id, now.minus(DAY)).await?;
    let is_capped = counted.calls >= COUNTED_MAX;
    Ok(json!({ "calls": counted.calls, "errors": counted.errors, "is_capped": is_capped }))
}

fn show(call: &GatewayCall) -> Value {
    json!({
        "id": call.id,
        "started_at": call.started_at,
        "duration_ms": call.duration_ms,
        "api_key": call.key.map(|id| json!({ "id": id, "name": call.key_name })),
        "caller": call.key_name,
        "method": call.method,
        "path": call.path,
        "status": call.status,
        "code": call.code,
        "answer": answer(call),
        "request_bytes": call.request_bytes,
        "answer_bytes": call.answer_bytes,
        "token_renewed": call.renewed,
        "secret_hidden": call.hidden,
    })
}

/// What the application got, in words.
fn answer(call: &GatewayCall) -> String {
    let caller = if call.key.is_some() { "the application" } else { "whoever tried it" };
    match (call.status, call.code.as_deref()) {
        (Some(status), None) => status.to_string(),
        (Some(status), Some("client_gone")) => format!("{status}, then {caller} hung up"),
        (Some(status), Some(_)) => format!("{status}, then broke off"),
        (None, Some("client_gone")) => capitalized(&format!("{caller} hung up")),
        (None, code) => capitalized(&code.unwrap_or("none").replace('_', " ")),
    }
}

fn capitalized(words: &str) -> String {
    let (first, rest) = words.split_at(words.chars().next().map_or(0, char::len_utf8));
    format!("{}{rest}", first.to_uppercase())
}
