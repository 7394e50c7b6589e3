//! What the requests of webhooks are signed with: new keys, the change from one to the next, and checks for receivers.

use std::time::Duration;

use consign_core::catalog::Reader;
use consign_core::connector::Connector;
use consign_core::connector::signature::{self, Checked, KEYS_MAX, Received, Signing, TOLERANCE_SECONDS};
use consign_core::credential::parse_count;
use consign_core::rights::Right;
use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_store::signing_keys::{self, SigningKey};
use consign_store::{StoreError, Tx, connectors, deliveries};
use serde_json::{Value, json};

use super::connector::{object, row};
use super::webhooks::by_reference;
use super::{Actor, OpError, Sent, audit_rows, commit_answered, require_as_saved};
use crate::App;

const HOUR: Duration = Duration::from_secs(3_600);
/// An old key signs beside the new one for so long, unless somebody says otherwise.
const OLD_ENDS_IN_HOURS: u32 = 24;
const OLD_ENDS_IN_HOURS_MAX: u32 = 7 * 24;

/// What a save of a webhook did to its keys.
pub(super) enum Followed {
    /// Nothing.
    Same,
    /// A key was made; the secret of those that both sides know.
    Made(Option<Secret>),
    /// Keys were destroyed.
    Destroyed,
}

impl Followed {
    /// The word for the audit log.
    pub(super) const fn word(&self) -> Option<&'static str> {
        match self {
            Self::Same => None,
            Self::Made(_) => Some("made"),
            Self::Destroyed => Some("destroyed"),
        }
    }

    /// A secret to show once.
    pub(super) const fn secret(&self) -> Option<&Secret> {
        match self {
            Self::Made(secret) => secret.as_ref(),
            Self::Same | Self::Destroyed => None,
        }
    }
}

/// Makes a key where a saved webhook signs and has none of that kind, and destroys its keys where it signs no more.
pub(super) async fn follow(app: &App, tx: &mut Tx, connector: &Connector) -> Result<Followed, StoreError> {
    let signing = connector.webhook().map_or(Signing::Off, |webhook| webhook.signature);
    if signing == Signing::Off {
        let gone = signing_keys::delete_of(tx, connector.id).await?;
        return Ok(if gone > 0 { Followed::Destroyed } else { Followed::Same });
    }
    let keys = signing_keys::of(tx, connector.id).await?;
    if keys.first().is_some_and(|key| key.signing == signing) {
        return Ok(Followed::Same);
    }
    let old_ends_at = tx.now().plus(HOUR * OLD_ENDS_IN_HOURS);
    let (key, secret) = make(app, tx, (connector, signing), &keys, old_ends_at).await?;
    Ok(Followed::Made((key.signing == Signing::Hmac).then_some(secret)))
}

/// Makes a key; those before it end, and the third one at once.
async fn make(
    app: &App,
    tx: &mut Tx,
    (connector, signing): (&Connector, Signing),
    keys: &[SigningKey],
    old_ends_at: Timestamp,
) -> Result<(SigningKey, Secret), StoreError> {
    let now = tx.now();
    let secret = signature::generate();
    let generation = keys.first().map_or(0, |newest| newest.generation + 1).max(now.millis());
    let (record, own) = (connector.id.to_string(), Binding::of(&[]));
    let place = signature::place(&record, signing, generation, &own);
    let sealed = app.vault.seal(&place, &secret);
    let key =
        SigningKey { connector: connector.id, generation, signing, sealed, created_at: now, ends_at: None };
    if let Some(newest) = keys.first() {
        signing_keys::end(tx, newest, old_ends_at).await?;
    }
    if let Some(one_too_many) = keys.get(KEYS_MAX - 1) {
        signing_keys::end(tx, one_too_many, now).await?;
    }
    signing_keys::insert(tx, &key).await?;
    Ok((key, secret))
}

/// The keys of a webhook, the newest first, without their secrets.
///
/// # Errors
/// Without the right, or when there is no such webhook.
pub async fn list(app: &App, actor: &Actor, reference: &str) -> Result<Vec<Value>, OpError> {
    actor.require(Right::ConnectorsRead)?;
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, reference).await?;
    let (keys, now) = (signing_keys::of(&mut db, connector.id).await?, app.now());
    let in_use = keys.iter().filter(|key| key.is_in_use(now));
    let show = |key: &SigningKey| {
        json!({
            "signature": key.signing.kind(),
            "public_key": app.engine.public_key(key),
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
    let named = by_reference(&mut tx, reference).await?;
    let connector = connectors::lock(&mut tx, named.id).await?.ok_or(OpError::NotFound("webhook"))?;
    require_as_saved(app, &mut tx, &row(&connector)).await?;
    let signing = connector.webhook().map_or(Signing::Off, |webhook| webhook.signature);
    if signing == Signing::Off {
        return Err(OpError::WrongState("This webhook does not sign. Choose a signature first".to_owned()));
    }
    let keys = signing_keys::of(&mut tx, connector.id).await?;
    let old_ends_at = now.plus(HOUR * hours);
    let (key, secret) = make(app, &mut tx, (&connector, signing), &keys, old_ends_at).await?;
    // What could not be signed can be now.
    deliveries::release_not_rendered(&mut tx, connector.id, now).await?;
    let old_ends_at = (!keys.is_empty()).then_some(old_ends_at);
    let changes = json!({ "signing_secret": "replaced", "old_ends_at": old_ends_at });
    let rows = [row(&connector)];
    audit_rows(app, &mut tx, actor, "Changed signing secret", object(&connector), changes, &rows).await?;
    let value = json!({
        "signature": signing.kind(),
        // The half that signs is nobody's but ours.
        "signing_secret": (signing == Signing::Hmac).then(|| secret.expose()),
        "public_key": app.engine.public_key(&key),
        "created_at": now,
        "old_ends_at": old_ends_at,
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
    let mut db = app.store.read().await?;
    let connector = by_reference(&mut db, reference).await?;
    // A key that somebody put back proves nothing.
    require_as_saved(app, &mut db, &row(&connector)).await?;
    drop(db);
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
            "The line breaks of the body are not those that were signed. Check the bytes as they came."
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
