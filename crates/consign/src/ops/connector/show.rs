//! What may be shown of every connector: how it is set up, whether it sends, and why not.

use consign_core::catalog::Tokens;
use consign_core::connector::Connector;
use consign_core::credential::{Credential, NextAction};
use consign_core::time::Timestamp;
use consign_store::tokens::TokenRow;
use consign_store::{Db, StoreError, tokens};
use serde_json::{Map, Value, json};

use super::credential_of;
use crate::ops::credentials::{refused_by, shown_away};
use crate::ops::differences;

/// How a connector is let in: its credential, and the tokens of it.
pub(in crate::ops) struct Access {
    credential: Option<Credential>,
    token: Option<TokenRow>,
}

pub(in crate::ops) async fn access_of(db: &mut Db, connector: &Connector) -> Result<Access, StoreError> {
    let credential = credential_of(db, connector).await?;
    let with_token = credential.as_ref().filter(|saved| saved.authorization_type.tokens != Tokens::None);
    let token = match with_token {
        Some(credential) => tokens::find(db, credential.id).await?,
        None => None,
    };
    Ok(Access { credential, token })
}

/// How a connector is set up and whether it sends, without a count of anything.
pub(in crate::ops) fn described(
    connector: &Connector,
    access: &Access,
    now: Timestamp,
) -> Map<String, Value> {
    let mut shown = head(connector, access, now);
    if let Some(exporter) = connector.exporter() {
        shown.insert("schedule_in_words".to_owned(), json!(exporter.schedule.to_string()));
    }
    shown.extend(state(connector, access, now));
    shown
}

/// What an edit changed.
pub(in crate::ops) async fn edited(
    db: &mut Db,
    (old, new): (&Connector, &Connector),
    now: Timestamp,
) -> Result<Value, StoreError> {
    let old = described(old, &access_of(db, old).await?, now);
    let new = described(new, &access_of(db, new).await?, now);
    Ok(differences(&Value::Object(old), &Value::Object(new)))
}

/// What every connector begins with: itself, its credential, its settings.
fn head(connector: &Connector, access: &Access, now: Timestamp) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert("id".to_owned(), json!(connector.id));
    shown.insert("kind".to_owned(), json!(connector.kind.word()));
    shown.insert("etag".to_owned(), json!(format!("\"{}\"", connector.revision)));
    shown.insert("name".to_owned(), json!(connector.name));
    shown.insert("description".to_owned(), json!(connector.description));
    shown.insert("managed_by".to_owned(), json!(connector.managed_by));
    let credential = access.credential.as_ref().map(|credential| {
        let status = credential.status(now);
        let refused_by = refused_by(access.token.as_ref());
        let action = status.code.action(credential.authorization_type.tokens, refused_by);
        json!({
            "id": credential.id,
            "name": credential.name,
            "address": credential.shown_address(),
            "status": {
                "code": status.code.kind(),
                "label": status.code.label(),
                "reason": status.reason,
                "action": action.map(NextAction::label),
                "action_code": action,
            },
        })
    });
    shown.insert("credential".to_owned(), json!(credential));
    if let Value::Object(settings) = connector.kind.to_json() {
        shown.extend(settings);
    }
    shown
}

/// Whether a connector sends, and why not.
fn state(connector: &Connector, access: &Access, now: Timestamp) -> Map<String, Value> {
    let mut shown = Map::new();
    let state = connector.state;
    shown.insert("state".to_owned(), json!(state.kind()));
    shown.insert("state_label".to_owned(), json!(state.label()));
    let away = access.token.as_ref().and_then(|token| token.away(now));
    let reason = match (connector.state_reason.as_str(), state.hold_reason(), away) {
        ("", Some(reason), _) => reason.text().to_owned(),
        ("", None, Some((_, reason))) => format!("No token: {reason}."),
        (known, ..) => known.to_owned(),
    };
    shown.insert("state_reason".to_owned(), json!(reason));
    shown.insert("away".to_owned(), shown_away(access.token.as_ref(), now));
    shown.insert("state_since".to_owned(), json!(connector.state_since));
    shown.insert("hold_reason".to_owned(), json!(state.hold_reason()));
    shown.insert("lost_credential".to_owned(), json!(connector.lost_credential));
    shown
}
