//! What the requests of webhooks are signed with: new keys, the change from one to the next, and checks for receivers.

use std::time::Duration;

use consign_core::catalog::Reader;
use consign_core::connector::Connector;
use consign_core::connector::signature::{self, Checked, NewKey, Received, Signing, TOLERANCE_SECONDS};
use consign_core::credential::parse_count;
use consign_core::rights::Right;
use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_store::signing_keys::{self, SigningKey};
use consign_store::{Db, StoreError, Tx};
use serde_json::{Value, json};

use super::webhooks::{by_reference, object};
use super::{Actor, OpError, Sent, audit_entry, commit_answered};
use crate::App;

const HOUR: Duration = Duration::from_secs(3_600);
/// An old key signs beside the new one for so long, unless somebody says otherwise.
const OLD_ENDS_IN_HOURS: u32 = 24;
const OLD_ENDS_IN_HOURS_MAX: u32 = 7 * 24;

/// A key that was just made.
struct Made {
    secret: Option<Secret>,
    public_key: Option<String>,
    old_ends_at: Option<Timestamp>,
}

/// Makes a key where a saved webhook signs and has none of that kind, and destroys its keys where it signs no more.
/// The secret of a new one, for those that both sides know.
pub(super) async fn follow(
    app: &App,
    tx: &mut Tx,
    connector: &Connector,
) -> Result<Option<Secret>, StoreError> {
    let signing = connector.webhook().map_or(Signing::Off, |webhook| webhook.signature);
    if signing == Signing::Off {
        signing_keys::delete_of(tx, connector.id).await?;
        return Ok(None);
    }
    let keys = signing_keys::of(tx, connector.id).await?;
    if keys.first().is_some_and(|key| key.signing == signing) {
        return Ok(None);
    }
    let old_ends_at = tx.now().plus(HOUR * OLD_ENDS_IN_HOURS);
    Ok(make(app, tx, (connector, signing), &keys, old_ends_at).await?.secret)
}

async fn make(
    app: &App,
    tx: &mut Tx,
    (connector, signing): (&Connector, Signing),
    keys: &[SigningKey],
    old_ends_at: Timestamp,
) -> Result<Made, StoreError> {
    let Some(NewKey { secret, public_key }) = NewKey::generate(signing) else {
        return Ok(Made { secret: None, public_key: None, old_ends_at: None });
    };
    let generation = keys.first().map_or(1, |newest| newest.generation + 1);
    let (record, own) = (connector.id.to_string(), Binding::of(&[]));
    let key = SigningKey {
        connector: connector.id,
        generation,
        signing,
        sealed: app.vault.seal(&signature::place(&record, generation, &own), &secret),
        public_key: public_key.clone(),
        created_at: tx.now(),
        ends_at: None,
    };
    signing_keys::insert(tx, &key, old_ends_at).await?;
    Ok(Made {
        // The half that signs is nobody's but ours.
        secret: (signing == Signing::Hmac).then_some(secret),
        public_key,
        old_ends_at: (!keys.is_empty()).then_some(old_ends_at),
    })
}

/// The keys of a webhook, the newest first, without their secrets.
///
/// # Errors
/// Without the right, or when there is no such webhook.
pub async fn list(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, reference).await?;
    shown(&mut db, &connector, app.now()).await
}

async fn shown(db: &mut Db, connector: &Connector, now: Timestamp) -> Result<Vec<Value>, OpError> {
    let keys = signing_keys::of(db, connector.id).await?;
    let in_use = keys.iter().filter(|key| key.ends_at.is_none_or(|ends_at| ends_at > now));
    let show = |key: &SigningKey| {
        json!({
            "signature": key.signing.kind(),
            "public_key": key.public_key,
            "created_at": key.created_at,
            "ends_at": key.ends_at,
        })
    };
    Ok(in_use.map(show).collect())
}

/// Makes a new key; the old one signs beside it for `old_ends_in_hours`.
///
/// # Errors
/// Without the right, when the webhook does not sign, or for a time that is not accepted.
pub async fn change(app: &App, actor: &Actor, reference: &str, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsWrite)?;
    let mut reader = Reader::new(sent);
    let hours = parse_count(
        &reader.take("old_ends_in_hours"),
        0..=OLD_ENDS_IN_HOURS_MAX,
        "The old key must end in 0 to 168 hours",
    );
    let hours = reader.accept("old_ends_in_hours", hours).flatten().unwrap_or(OLD_ENDS_IN_HOURS);
    reader.refuse_unknown(&["old_ends_in_hours"], &[]);
    judged(reader)?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let connector = by_reference(&mut tx, reference).await?;
    let signing = connector.webhook().map_or(Signing::Off, |webhook| webhook.signature);
    if signing == Signing::Off {
        return Err(OpError::WrongState("This webhook does not sign. Choose a signature first".to_owned()));
    }
    let keys = signing_keys::of(&mut tx, connector.id).await?;
    let old_ends_at = now.plus(HOUR * hours);
    let made = make(app, &mut tx, (&connector, signing), &keys, old_ends_at).await?;
    let changes = json!({ "signing_secret": "replaced", "old_ends_at": made.old_ends_at });
    audit_entry(app, &mut tx, actor, "Changed signing secret", object(&connector), changes).await?;
    let value = json!({
        "signature": signing.kind(),
        "signing_secret": made.secret.as_ref().map(Secret::expose),
        "public_key": made.public_key,
        "created_at": now,
        "old_ends_at": made.old_ends_at,
    });
    commit_answered(app, actor, tx, &value).await?;
    app.engine.changed().await;
    Ok(value)
}

/// Whether a request that a receiver shows was signed by a webhook, and what differs if not.
///
/// # Errors
/// Without the right, when there is no such webhook, or when it does not sign.
pub async fn check(app: &App, actor: &Actor, reference: &str, sent: Sent) -> Result<Value, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut reader = Reader::new(sent);
    let id = reader.text("webhook_id", "webhook-id");
    let timestamp = reader.text("webhook_timestamp", "webhook-timestamp");
    let signature = reader.text("webhook_signature", "webhook-signature");
    let body = reader.text("body", "Body");
    reader.refuse_unknown(&["webhook_id", "webhook_timestamp", "webhook_signature", "body"], &[]);
    judged(reader)?;
    let connector = by_reference(&mut *app.store.read().await?, reference).await?;
    if connector.webhook().is_none_or(|webhook| webhook.signature == Signing::Off) {
        return Err(OpError::WrongState("This webhook does not sign. Choose a signature first".to_owned()));
    }
    let received = Received { id: &id, timestamp: &timestamp, signature: &signature, body: body.as_bytes() };
    let checked = app
        .engine
        .check_signature(connector.id, &received)
        .map_err(|what| OpError::WrongState(format!("The signature cannot be checked: {what}")))?;
    let (result, message) = told(&checked);
    Ok(json!({ "right": matches!(checked, Checked::Right { .. }), "result": result, "message": message }))
}

fn judged(reader: Reader) -> Result<(), OpError> {
    let invalid = reader.into_invalid();
    if invalid.is_empty() { Ok(()) } else { Err(OpError::Invalid(invalid)) }
}

/// What was found, as a word and in words.
fn told(checked: &Checked) -> (&'static str, String) {
    match checked {
        Checked::Right { age_seconds, .. } if *age_seconds > TOLERANCE_SECONDS => (
            "right_but_old",
            format!("The signature is right. It is {age_seconds} seconds old: a receiver refuses what is older than 300."),
        ),
        Checked::Right { age_seconds, .. } if -*age_seconds > TOLERANCE_SECONDS => (
            "right_but_early",
            format!("The signature is right. Its time is {} seconds ahead: a clock is wrong.", -age_seconds),
        ),
        Checked::Right { by_newest: false, .. } => {
            ("right_by_old_key", "The signature is right, by the key that is about to end.".to_owned())
        }
        Checked::Right { .. } => ("right", "The signature is right.".to_owned()),
        Checked::NotReadable(part, what) => ("not_readable", format!("{part} cannot be read. {what}.")),
        Checked::LineBreak => (
            "line_break",
            "The body has a line break at its end that was not signed, or lost one. Check the bytes as they came."
                .to_owned(),
        ),
        Checked::Reformatted => (
            "reformatted",
            "The JSON of the body was written anew. Check the bytes as they came, before they are parsed."
                .to_owned(),
        ),
        Checked::Wrong => (
            "wrong",
            "The signature is of another key, or the id, the timestamp or the body is not the one that was signed."
                .to_owned(),
        ),
    }
}
