//! What may be shown of a webhook.

use consign_core::connector::Connector;
use consign_core::time::Timestamp;
use consign_store::{Db, connectors};
use serde_json::{Value, json};

use crate::ops::OpError;
use crate::ops::connector::{Access, access_of, described};
use crate::ops::overview::ByHour;

pub(super) async fn shown(
    db: &mut Db,
    connector: &Connector,
    hours: &ByHour,
    now: Timestamp,
) -> Result<Value, OpError> {
    let access = access_of(db, connector).await?;
    let counts = connectors::waiting_counts(db, &[connector.id]).await?;
    Ok(show(connector, &access, counts.get(&connector.id), hours, now))
}

/// What may be shown of a webhook.
pub(in crate::ops) fn show(
    connector: &Connector,
    access: &Access,
    counts: Option<&connectors::WaitingCount>,
    hours: &ByHour,
    now: Timestamp,
) -> Value {
    let mut shown = described(connector, access, now);
    let waiting = counts.map_or(0, |counts| counts.waiting);
    let (delivered, failed) = hours.sum(Some(connector.id));
    shown.insert(
        "last_24_hours".to_owned(),
        json!({
            "delivered": delivered,
            "failed": failed,
            "waiting": waiting,
            "waiting_is_capped": waiting >= connectors::WAITING_MAX,
            "retrying": counts.map_or(0, |counts| counts.retrying),
            "retrying_is_capped": counts.is_some_and(|counts| counts.retrying >= connectors::RETRYING_MAX),
            "retrying_status": counts.and_then(|counts| counts.retrying_status),
        }),
    );
    shown.insert("by_hour".to_owned(), hours.show(Some(connector.id)));
    shown.insert("last_delivery_at".to_owned(), json!(counts.and_then(|counts| counts.last_delivery_at)));
    shown.insert("created_at".to_owned(), json!(connector.created_at));
    shown.insert("updated_at".to_owned(), json!(connector.updated_at));
    Value::Object(shown)
}
