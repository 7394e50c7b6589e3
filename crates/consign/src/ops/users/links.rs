//! Links that work once: to set Consign up, and into the demo.

use std::net::IpAddr;
use std::time::Duration;

use consign_core::api_key::hash;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_store::{installation, users};
use serde_json::Value;

use super::{Begun, object, person_of, random_text, row, setup_needed, sign_in};
use crate::App;
use crate::ops::{Actor, OpError, audit_rows, commit};

pub(super) const SETUP_LINK: &str = "setup_link";
const SIGN_IN_LINK: &str = "sign_in_link";
const LINK_LIFE: Duration = Duration::from_secs(30 * 60);

/// A new set-up link: it works once, for 30 minutes, and the ones before it no longer do.
///
/// # Errors
/// When the database did not take it.
pub async fn new_setup_link(app: &App) -> Result<Secret, OpError> {
    new_link(app, SETUP_LINK).await
}

/// Whether a set-up link would work now.
///
/// # Errors
/// When the database cannot be read.
pub async fn setup_link_works(app: &App, token: &str) -> Result<bool, OpError> {
    let stored = installation::get(&mut *app.store.read().await?, SETUP_LINK).await?;
    Ok(link_fits(stored.as_deref(), token, app.now()) && setup_needed(app).await?)
}

/// A link that signs in once, as a person made for it: for the demo.
///
/// # Errors
/// When the database did not take it.
pub async fn new_sign_in_link(app: &App) -> Result<Secret, OpError> {
    new_link(app, SIGN_IN_LINK).await
}

/// Whether a link of [`new_sign_in_link`] would work now.
///
/// # Errors
/// When the database cannot be read.
pub async fn sign_in_link_waits(app: &App) -> Result<bool, OpError> {
    let stored = installation::get(&mut *app.store.read().await?, SIGN_IN_LINK).await?;
    Ok(stored.and_then(|stored| until(&stored)).is_some_and(|until| until > app.now()))
}

/// Signs in by a link of [`new_sign_in_link`]. The person it is for is called Demo.
///
/// # Errors
/// When the link is used or old.
pub async fn redeem_sign_in_link(app: &App, token: &str, from: Option<IpAddr>) -> Result<Begun, OpError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let stored = installation::get(&mut tx, SIGN_IN_LINK).await?;
    if !link_fits(stored.as_deref(), token, now) {
        return Err(OpError::WrongState("This link was already used or is older than 30 minutes".to_owned()));
    }
    installation::remove(&mut tx, SIGN_IN_LINK).await?;
    let email = "demo@localhost";
    let user = match users::find_by_email(&mut tx, email).await? {
        Some(user) => user,
        None => {
            // No password opens this account: the stored text is no hash.
            let user = person_of(now, "Demo".to_owned(), email.to_owned(), String::new());
            users::insert(&mut tx, &user).await?;
            let (actor, action) = (Actor::system(now), "Created demo account");
            audit_rows(app, &mut tx, &actor, action, object(&user), Value::Null, &[row(&user)]).await?;
            user
        }
    };
    commit(app, tx).await?;
    sign_in::begin_session(app, &user, from, Value::Null).await
}

async fn new_link(app: &App, key: &str) -> Result<Secret, OpError> {
    let token = random_text();
    let mut tx = app.store.begin().await?;
    let until = tx.now().plus(LINK_LIFE);
    installation::put(&mut tx, key, &format!("{} {}", until.millis(), hash(token.expose()))).await?;
    tx.commit().await?;
    Ok(token)
}

pub(super) fn link_fits(stored: Option<&str>, token: &str, now: Timestamp) -> bool {
    let expected = stored.and_then(|stored| stored.split_once(' ')).map(|(_, expected)| expected);
    stored.and_then(until).is_some_and(|until| until > now) && expected == Some(hash(token).as_str())
}

/// The end of a stored link.
fn until(stored: &str) -> Option<Timestamp> {
    let (until, _) = stored.split_once(' ')?;
    until.parse().ok().map(Timestamp::from_millis)
}

#[cfg(test)]
mod tests;
