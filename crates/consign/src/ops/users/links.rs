//! Links that work once: to set Consign up, and into the demo. The link of the demo is in the memory of the process
//! that made it: a row of the database opens nothing.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use consign_core::api_key::hash;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_core::vault::DerivedKey;
use consign_store::{installation, users};
use serde_json::Value;

use super::proof::{self, Kind};
use super::{Begun, object, person_of, random_text, row, setup_needed, sign_in};
use crate::App;
use crate::ops::{Actor, OpError, audit_rows, commit};

pub(super) const SETUP_LINK: &str = "setup_link";
const LINK_LIFE: Duration = Duration::from_secs(30 * 60);

/// What a process of the demo knows of its link. Every other process never makes one.
#[derive(Default)]
pub struct DemoLink(Mutex<DemoState>);

#[derive(Default)]
enum DemoState {
    /// This is no demo.
    #[default]
    None,
    /// The end of the link, and the hash of its token.
    Waiting(Timestamp, String),
    /// It was used.
    Used,
}

impl DemoLink {
    /// Whether this process is a demo: it has made a link.
    pub fn is_demo(&self) -> bool {
        !matches!(*self.0.lock().unwrap_or_else(PoisonError::into_inner), DemoState::None)
    }

    fn make(&self, until: Timestamp) -> Secret {
        let token = random_text();
        let waiting = DemoState::Waiting(until, hash(token.expose()));
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = waiting;
        token
    }

    fn waits(&self, now: Timestamp) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(*state, DemoState::Waiting(until, _) if until > now)
    }

    /// Spends the link, and tells whether this was its token.
    fn spend(&self, token: &str, now: Timestamp) -> bool {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            matches!(&*state, DemoState::Waiting(until, known) if *until > now && *known == hash(token));
        if fits {
            *state = DemoState::Used;
        }
        fits
    }
}

/// A new set-up link: it works once, for 30 minutes, and the ones before it no longer do.
///
/// # Errors
/// When the database did not take it.
pub async fn new_setup_link(app: &App) -> Result<Secret, OpError> {
    let token = random_text();
    let mut tx = app.store.begin().await?;
    let until = tx.now().plus(LINK_LIFE);
    let proof = proof::of_link(&app.audit_key, Kind::SetupLink, token.expose(), until);
    installation::put(&mut tx, SETUP_LINK, &format!("{} {proof}", until.millis())).await?;
    tx.commit().await?;
    Ok(token)
}

/// Whether a set-up link would work now.
///
/// # Errors
/// When the database cannot be read.
pub async fn setup_link_works(app: &App, token: &str) -> Result<bool, OpError> {
    let stored = installation::get(&mut *app.store.read().await?, SETUP_LINK).await?;
    Ok(link_fits(&app.audit_key, stored.as_deref(), token, app.now()) && setup_needed(app).await?)
}

/// A link that signs in once, as a person made for it. Only the demo makes one, and its process is a demo from then on.
pub fn new_sign_in_link(app: &App) -> Secret {
    app.demo.make(app.now().plus(LINK_LIFE))
}

/// Whether a link of [`new_sign_in_link`] would work now.
pub fn sign_in_link_waits(app: &App) -> bool {
    app.demo.waits(app.now())
}

/// Signs in by a link of [`new_sign_in_link`]. The person it is for is called Demo.
///
/// # Errors
/// When the link is used or old.
pub async fn redeem_sign_in_link(app: &App, token: &str, from: Option<IpAddr>) -> Result<Begun, OpError> {
    if !app.demo.spend(token, app.now()) {
        return Err(OpError::WrongState("This link was already used or is older than 30 minutes".to_owned()));
    }
    let mut tx = app.store.begin().await?;
    let now = tx.now();
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
    sign_in::begin_session(app, &user, from, Value::Null).await.map_err(OpError::from)
}

pub(super) fn link_fits(key: &DerivedKey, stored: Option<&str>, token: &str, now: Timestamp) -> bool {
    let Some((until, known)) = stored.and_then(|stored| stored.split_once(' ')) else { return false };
    let Ok(until) = until.parse().map(Timestamp::from_millis) else { return false };
    until > now && proof::same(known, &proof::of_link(key, Kind::SetupLink, token, until))
}

#[cfg(test)]
mod tests;
