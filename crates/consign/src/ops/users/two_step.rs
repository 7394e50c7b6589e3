//! The second step of signing in: codes of an app (RFC 6238), and recovery codes for when the app is gone. A person sets
//! it up and switches it off with their password; the key is sealed, recovery codes are kept as hashes.

use aws_lc_rs::rand;
use consign_core::api_key::hash;
use consign_core::catalog::Fault;
use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_core::totp::{KEY_BYTES, accept, address, base32, from_base32};
use consign_core::vault::{Place, Sealed};
use consign_store::users::{TwoStep, User};
use consign_store::{Tx, users};
use serde_json::json;

use super::again::require_password;
use super::{SignedIn, is_as_saved, object, row, save};
use crate::App;
use crate::ops::settings::sign_in::rules;
use crate::ops::{Actor, OpError, audit_rows, commit};

const RECOVERY_CODES: usize = 10;
/// 80 random bits: nobody guesses one, so that a fast hash keeps them.
const RECOVERY_BYTES: usize = 10;
/// In groups, as people copy them.
const GROUP: usize = 4;
/// How long a key that was shown can be set up.
const OFFER_LIFE_MS: i64 = 15 * 60 * 1_000;

/// A key that is shown to be set up, and is nobody's yet.
pub struct Offer {
    /// The key as text.
    pub key: Secret,
    /// What an app reads from the QR code.
    pub address: Secret,
    /// The key again, sealed to the session that it was shown in, for the form to bring back.
    pub sealed: String,
}

/// What a typed code fits to.
#[derive(Debug)]
pub(super) enum Fits {
    /// The code of this step.
    Code(i64),
    /// A recovery code; the hashes of the others.
    Recovery(Vec<String>),
}

/// A new key for the app of a person. Nothing is stored.
pub fn offer(app: &App, person: &SignedIn, issuer: &str) -> Offer {
    let mut bytes = [0_u8; KEY_BYTES];
    rand::fill(&mut bytes).expect("the system has randomness");
    let key = Secret::new(base32(&bytes));
    let now = app.now().millis();
    let own = Binding::of(&[]);
    let sealed = app.vault.seal(&offer_place(&person.hash, now, &own), &key);
    offered(person, issuer, key, format!("{now} {}", sealed.as_stored()))
}

fn offered(person: &SignedIn, issuer: &str, key: Secret, sealed: String) -> Offer {
    Offer { address: address(key.expose(), issuer, &person.email), key, sealed }
}

/// The key that a form brings back; a new one when it is too old or was shown to somebody else.
pub fn offer_again(app: &App, person: &SignedIn, issuer: &str, sealed: &str) -> Offer {
    match open_offer(app, person, sealed) {
        Some(key) => offered(person, issuer, key, sealed.to_owned()),
        None => offer(app, person, issuer),
    }
}

fn open_offer(app: &App, person: &SignedIn, sealed: &str) -> Option<Secret> {
    let (at, stored) = sealed.split_once(' ')?;
    let at: i64 = at.parse().ok()?;
    if !(0..=OFFER_LIFE_MS).contains(&app.now().millis().checked_sub(at)?) {
        return None;
    }
    let own = Binding::of(&[]);
    let place = offer_place(&person.hash, at, &own);
    app.vault.open_own(&place, &Sealed::from_stored(stored.to_owned())).ok()
}

fn offer_place<'a>(session: &'a str, generation: i64, binding: &'a Binding) -> Place<'a> {
    Place { table: "session", record: session, field: "totp", generation, binding }
}

/// Switches two-step sign-in on with a first code; the recovery codes are in this answer and nowhere else.
///
/// # Errors
/// When the password or the code does not fit, or it is on already.
pub async fn switch_on(
    app: &App,
    actor: &Actor,
    person: &SignedIn,
    sealed: &str,
    (code, password): (&str, &Secret),
) -> Result<Vec<Secret>, OpError> {
    let Some(key) = open_offer(app, person, sealed) else {
        let sentence = "This key was shown more than 15 minutes ago. Scan the new one";
        return Err(OpError::Invalid(vec![Fault::new("too_old", sentence).at("code")]));
    };
    let now = app.now();
    let bytes = from_base32(key.expose()).ok_or(OpError::NotFound("key"))?;
    let Some(step) = accept(&bytes, code, now, None) else {
        let sentence =
            "The code does not fit this key. Enter the newest one, and check the clock of your phone";
        return Err(OpError::Invalid(vec![Fault::new("wrong", sentence).at("code")]));
    };
    require_password(app, actor, password).await?;
    let (codes, hashes) = new_recovery_codes();
    let mut tx = app.store.begin().await?;
    let mut user = own_row(app, &mut tx, person).await?;
    if user.two_step.is_some() {
        return Err(OpError::WrongState("Two-step sign-in is on already".to_owned()));
    }
    let since = tx.now();
    let own = Binding::of(&[]);
    let key = app.vault.seal(&key_place(&user.id.to_string(), since, &own), &key);
    user.two_step = Some(TwoStep { key, since, recovery: hashes });
    save(&mut tx, &mut user).await?;
    users::use_code(&mut tx, user.id, step).await?;
    audit(app, &mut tx, actor, "Switched two-step sign-in on", &user).await?;
    commit(app, tx).await?;
    Ok(codes)
}

/// Switches it off again.
///
/// # Errors
/// When it is required here, or the password does not fit.
pub async fn switch_off(
    app: &App,
    actor: &Actor,
    person: &SignedIn,
    password: &Secret,
) -> Result<(), OpError> {
    if rules(app).two_step_since.is_some() {
        let sentence = "Two-step sign-in is required here, so it stays on. An administrator can reset it, and you set it \
                        up anew at the next sign-in";
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    require_password(app, actor, password).await?;
    let mut tx = app.store.begin().await?;
    let mut user = own_row(app, &mut tx, person).await?;
    if user.two_step.take().is_none() {
        return Ok(());
    }
    save(&mut tx, &mut user).await?;
    audit(app, &mut tx, actor, "Switched two-step sign-in off", &user).await?;
    commit(app, tx).await
}

/// New recovery codes; the ones before them no longer work.
///
/// # Errors
/// When the password does not fit, or there is no second step.
pub async fn renew_recovery_codes(
    app: &App,
    actor: &Actor,
    person: &SignedIn,
    password: &Secret,
) -> Result<Vec<Secret>, OpError> {
    require_password(app, actor, password).await?;
    let (codes, hashes) = new_recovery_codes();
    let mut tx = app.store.begin().await?;
    let mut user = own_row(app, &mut tx, person).await?;
    let Some(two_step) = &mut user.two_step else {
        return Err(OpError::WrongState("Two-step sign-in is off".to_owned()));
    };
    two_step.recovery = hashes;
    save(&mut tx, &mut user).await?;
    audit(app, &mut tx, actor, "Replaced recovery codes", &user).await?;
    commit(app, tx).await?;
    Ok(codes)
}

/// How many recovery codes a person has left; `None` without a second step.
///
/// # Errors
/// When the database cannot be read.
pub async fn recovery_codes_left(app: &App, person: &SignedIn) -> Result<Option<usize>, OpError> {
    let user = users::find(&mut *app.store.read().await?, person.id).await?;
    Ok(user.and_then(|user| user.two_step).map(|two_step| two_step.recovery.len()))
}

/// What a typed text fits to, if to anything.
pub(super) fn judge(
    app: &App,
    user: &User,
    typed: &Secret,
    last_step: Option<i64>,
) -> Result<Option<Fits>, OpError> {
    let Some(two_step) = &user.two_step else { return Ok(None) };
    let own = Binding::of(&[]);
    let id = user.id.to_string();
    let key = app.vault.open_own(&key_place(&id, two_step.since, &own), &two_step.key);
    let key = key.map_err(|error| OpError::Internal(error.into()))?;
    let key = from_base32(key.expose()).ok_or(OpError::NotFound("key"))?;
    if let Some(step) = accept(&key, typed.expose(), app.now(), last_step) {
        return Ok(Some(Fits::Code(step)));
    }
    let typed = recovery_hash(typed.expose());
    let rest: Vec<_> = two_step.recovery.iter().filter(|known| **known != typed).cloned().collect();
    Ok((rest.len() < two_step.recovery.len()).then_some(Fits::Recovery(rest)))
}

async fn own_row(app: &App, tx: &mut Tx, person: &SignedIn) -> Result<User, OpError> {
    let user = users::find(tx, person.id).await?.ok_or(OpError::NotFound("person"))?;
    if is_as_saved(app, tx, &user).await? { Ok(user) } else { Err(OpError::NotFound("person")) }
}

async fn audit(app: &App, tx: &mut Tx, actor: &Actor, action: &str, user: &User) -> Result<(), OpError> {
    audit_rows(app, tx, actor, action, object(user), json!({}), &[row(user)]).await
}

/// The place of what the two-step sign-in of a person is checked with.
pub(in crate::ops) fn key_place<'a>(user: &'a str, since: Timestamp, binding: &'a Binding) -> Place<'a> {
    Place { table: "users", record: user, field: "totp", generation: since.millis(), binding }
}

/// The codes, and the hashes to keep.
fn new_recovery_codes() -> (Vec<Secret>, Vec<String>) {
    let one = || {
        let mut bytes = [0_u8; RECOVERY_BYTES];
        rand::fill(&mut bytes).expect("the system has randomness");
        let letters = base32(&bytes).to_lowercase();
        let groups: Vec<_> = letters.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
        Secret::new(groups.join("-"))
    };
    let codes: Vec<_> = std::iter::repeat_with(one).take(RECOVERY_CODES).collect();
    let hashes = codes.iter().map(|code| recovery_hash(code.expose())).collect();
    (codes, hashes)
}

/// Of the letters alone, however they were typed.
fn recovery_hash(typed: &str) -> String {
    let letters: String = typed.chars().filter(char::is_ascii_alphanumeric).collect();
    hash(&letters.to_lowercase())
}

#[cfg(test)]
mod tests;
