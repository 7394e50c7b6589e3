//! People: the first one, signing in and out, and what their web session keeps for them.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::rand;
use consign_core::audit::Table;
use consign_core::catalog::{Fault, Invalid};
use consign_core::hex::hex;
use consign_core::id::{RequestId, UserId};
use consign_core::role::Role;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_store::sessions::Session;
use consign_store::users::User;
use consign_store::{Db, Tx, installation, sessions, users};
use serde_json::Value;

use super::settings::sign_in::{SignInRules, rules};
use super::{Actor, ActorKind, Object, OpError, audit_rows, commit};
use crate::App;

use links::{SETUP_LINK, link_fits};
use password::{hash_password, is_guessed_first};
use proof::Kind;

pub use account::{change as change_account, change_password, find as account};
pub use again::require_password;
pub use brake::SignInBrake;
pub use links::{
    DemoLink, new_setup_link, new_sign_in_link, redeem_sign_in_link, setup_link_works, sign_in_link_waits,
};
pub use sign_in::{Entered, SignInError, awaits_code, prove, sign_in, sign_in_with_code};
pub use typed::{keep_typed, take_typed};

mod account;
pub(super) mod again;
mod brake;
mod links;
pub mod oidc;
pub(super) mod password;
mod proof;
mod sign_in;
pub mod two_step;
mod typed;

const PASSWORD_CHARS_MIN: usize = 12;
const PASSWORD_CHARS_MAX: usize = 1_024;
/// RFC 5321 section 4.5.3.1.3, without the angle brackets.
const EMAIL_BYTES_MAX: usize = 254;

/// A session that has begun: the token goes into the cookie.
#[derive(Debug)]
pub struct Begun {
    /// 256 random bits; stored only as a keyed hash.
    pub token: Secret,
}

/// A person who is signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// Their address.
    pub email: String,
    /// What they may do.
    pub role: Role,
    /// Whether they have a password, and a second step.
    pub signs_in_with: SignsInWith,
    /// `light`, `dark`, or empty for the system's.
    pub theme: String,
    /// Where the clock of their pages hangs; empty for that of the installation.
    pub time_zone: String,
    /// Nothing else is done in this session before a second step is set up.
    pub must_set_up: bool,
    /// The token of every form of this session.
    pub csrf: String,
    /// The hash of the session's token.
    pub hash: String,
    /// When they signed in.
    pub signed_in_at: Timestamp,
}

/// What a person is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignsInWith {
    /// A password.
    pub password: bool,
    /// A code after it.
    pub code: bool,
}

impl SignsInWith {
    /// What is asked of this person. A password from before passwords were switched off is asked of nobody who comes by the
    /// provider.
    fn of(user: &User, rules: &SignInRules) -> Self {
        let is_over = !rules.local && user.identity.is_some();
        Self { password: !user.password_hash.is_empty() && !is_over, code: user.two_step.is_some() }
    }
}

impl SignedIn {
    /// The person as an actor, with the rights of their role.
    pub fn actor(&self, from: Option<IpAddr>, request_id: RequestId) -> Actor {
        let kind = ActorKind::User { id: self.id, name: self.name.clone() };
        let signed_in_at = Some(self.signed_in_at);
        Actor { signed_in_at, ..Actor::new(kind, self.role.rights(), from, request_id) }
    }
}

/// The names of those who can give a role to somebody.
///
/// # Errors
/// When the database cannot be read.
pub async fn administrators(app: &App) -> Result<Vec<String>, OpError> {
    let found = users::active_with(&mut *app.store.read().await?, Role::Administrator).await?;
    Ok(found.into_iter().map(|user| user.name).collect())
}

/// Whether there is nobody, and never was.
///
/// # Errors
/// When the database cannot be read.
pub async fn setup_needed(app: &App) -> Result<bool, OpError> {
    let mut db = app.store.read().await?;
    Ok(users::count(&mut db).await? == 0 && !app.records.knows_any(&mut db, Table::User).await?)
}

/// Whether there is nobody although the audit log knows people: their rows were removed outside Consign. Nobody sets
/// Consign up over them.
///
/// # Errors
/// When the database cannot be read.
pub async fn people_are_gone(app: &App) -> Result<bool, OpError> {
    let mut db = app.store.read().await?;
    Ok(users::count(&mut db).await? == 0 && app.records.knows_any(&mut db, Table::User).await?)
}

/// Whether somebody has to open a set-up link before anybody can sign in.
///
/// # Errors
/// When the database cannot be read.
pub async fn waits_for_setup(app: &App) -> Result<bool, OpError> {
    Ok(setup_needed(app).await? && !app.config.auth.oidc.brings_administrators())
}

/// Creates the first person from a set-up link and signs them in.
///
/// # Errors
/// When the link is used or old, or a value was not accepted.
pub async fn setup(
    app: &App,
    token: &str,
    name: &str,
    email: &str,
    password: &Secret,
    from: Option<IpAddr>,
) -> Result<Begun, OpError> {
    let (name, email) = judge_person(name, email, password)?;
    if !setup_link_works(app, token).await? {
        let sentence =
            "This set-up link was used or is older than 30 minutes. Make a new one: consign admin setup-link";
        return Err(OpError::WrongState(sentence.to_owned()));
    }
    let password_hash = hash_password(app, password).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let stored = installation::get(&mut tx, SETUP_LINK).await?;
    let somebody = users::count(&mut tx).await? > 0 || app.records.knows_any(&mut tx, Table::User).await?;
    if somebody || !link_fits(&app.audit_key, stored.as_deref(), token, now) {
        return Err(OpError::WrongState("This set-up link was used".to_owned()));
    }
    installation::remove(&mut tx, SETUP_LINK).await?;
    let user = person_of(now, name, email, password_hash);
    users::insert(&mut tx, &user).await?;
    let (begun, session) = new_session(app, &user, now);
    sessions::insert(&mut tx, &session).await?;
    let actor = acting(&user, from, now);
    audit_rows(app, &mut tx, &actor, "Set up Consign", object(&user), Value::Null, &[row(&user)]).await?;
    commit(app, tx).await?;
    Ok(begun)
}

/// Creates the first person from the configuration, for an unattended start. Does nothing once there is one.
///
/// # Errors
/// When a value was not accepted.
pub async fn setup_unattended(app: &App, email: &str, password: &Secret) -> Result<(), OpError> {
    if !setup_needed(app).await? {
        return Ok(());
    }
    let (name, email) = judge_person("Administrator", email, password)?;
    let password_hash = hash_password(app, password).await?;
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let user = person_of(now, name, email, password_hash);
    users::insert(&mut tx, &user).await?;
    let (actor, action) = (Actor::system(now), "Created first administrator");
    audit_rows(app, &mut tx, &actor, action, object(&user), Value::Null, &[row(&user)]).await?;
    commit(app, tx).await?;
    Ok(())
}

/// A new person who may do everything.
pub(super) fn person_of(now: Timestamp, name: String, email: String, password_hash: String) -> User {
    User {
        id: UserId::new(now),
        name,
        email,
        password_hash,
        role: Role::Administrator,
        suspended_at: None,
        invitation: None,
        two_step: None,
        identity: None,
        theme: String::new(),
        time_zone: String::new(),
        created_at: now,
        last_seen_at: None,
        revision: 1,
    }
}

pub(super) fn row(user: &User) -> (Table, String) {
    (Table::User, user.id.to_string())
}

pub(super) fn object(user: &User) -> Object<'_> {
    Object { kind: "user", id: user.id.to_string(), name: shown_name(user) }
}

/// People have no name until they come.
pub(super) fn shown_name(user: &User) -> &str {
    if user.name.is_empty() { &user.email } else { &user.name }
}

/// Stores a person over the revision that was read.
pub(super) async fn save(tx: &mut Tx, user: &mut User) -> Result<(), OpError> {
    if !users::update(tx, user).await? {
        return Err(OpError::Changed { current: user.revision });
    }
    user.revision += 1;
    Ok(())
}

/// Whoever changes the rows of people in the database lets nobody in.
async fn is_as_saved(app: &App, db: &mut Db, user: &User) -> Result<bool, OpError> {
    let fits = app.records.fits(db, Table::User, &user.id.to_string()).await?;
    if !fits {
        tracing::error!(user.id = %user.id, "an account is not as it was saved last: it was changed outside Consign");
    }
    Ok(fits)
}

pub(super) fn acting(user: &User, from: Option<IpAddr>, now: Timestamp) -> Actor {
    let kind = ActorKind::User { id: user.id, name: user.name.clone() };
    Actor::new(kind, user.role.rights(), from, RequestId::new(now))
}

pub(super) fn judge_person(name: &str, email: &str, password: &Secret) -> Result<(String, String), OpError> {
    let (name, email) = (name.trim().to_owned(), email.trim().to_owned());
    let faults = [judge_name(&name), judge_email(&email), judge_password(password, &name, &email)];
    let faults: Vec<_> = faults.into_iter().flatten().collect();
    if faults.is_empty() { Ok((name, email)) } else { Err(OpError::Invalid(faults)) }
}

pub(super) fn judge_name(name: &str) -> Option<Invalid> {
    let bad = name.is_empty() || name.chars().count() > 80 || name.chars().any(char::is_control);
    bad.then(|| Fault::new("missing", "Enter your name, in 80 characters or fewer").at("name"))
}

pub(super) fn judge_email(email: &str) -> Option<Invalid> {
    let at = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.len() > 1);
    let bad =
        !at || email.len() > EMAIL_BYTES_MAX || email.chars().any(|c| c.is_whitespace() || c.is_control());
    bad.then(|| Fault::new("bad_form", "Enter an email address such as ana@acme.example").at("email"))
}

fn judge_password(password: &Secret, name: &str, email: &str) -> Option<Invalid> {
    let length = password.expose().chars().count();
    let fault = if length < PASSWORD_CHARS_MIN {
        Fault::new("too_short", "Password must be 12 characters or more. Longer is better")
    } else if length > PASSWORD_CHARS_MAX {
        Fault::new("too_long", "Password must be 1,024 characters or fewer")
    } else if is_guessed_first(password.expose(), name, email) {
        Fault::new("too_weak", "This password is one of the first that are guessed. Choose another")
    } else {
        return None;
    };
    Some(fault.at("password"))
}

pub(super) fn new_session(app: &App, user: &User, now: Timestamp) -> (Begun, Session) {
    let token = random_text();
    let hash = proof::of_token(&app.audit_key, Kind::Session, token.expose());
    let session = Session {
        proof: proof::of_person(&app.audit_key, Kind::Session, &hash, user.id, now),
        hash,
        user: user.id,
        csrf: random_text().expose().to_owned(),
        created_at: now,
        seen_at: now,
        pending: None,
    };
    (Begun { token }, session)
}

/// Who a session's token belongs to, while it lives. `quiet` requests, such as polls of a page, do not prolong it.
///
/// # Errors
/// When the database cannot be read.
pub async fn session(app: &App, token: &str, quiet: bool) -> Result<Option<SignedIn>, OpError> {
    const TOUCH_EVERY: Duration = Duration::from_secs(60);
    /// Who comes and goes stays in for as long as is said, but for this part of it.
    const OF_IDLE: u32 = 4;
    let now = app.now();
    let hash = proof::of_token(&app.audit_key, Kind::Session, token);
    let mut db = app.store.read().await?;
    let Some(session) = sessions::find(&mut db, &hash).await? else { return Ok(None) };
    let made = proof::of_person(&app.audit_key, Kind::Session, &hash, session.user, session.created_at);
    if !proof::same(&session.proof, &made) {
        tracing::error!(user.id = %session.user, "a session is not as it began: it was changed outside Consign");
        return Ok(None);
    }
    let rules = rules(app);
    if now.since(session.created_at) > rules.session() || now.since(session.seen_at) > rules.idle() {
        return Ok(None);
    }
    let Some(user) = users::find(&mut db, session.user).await?.filter(User::is_active) else {
        return Ok(None);
    };
    if !is_as_saved(app, &mut db, &user).await? {
        return Ok(None);
    }
    drop(db);
    if !quiet && now.since(session.seen_at) > TOUCH_EVERY.min(rules.idle() / OF_IDLE) {
        let mut tx = app.store.begin().await?;
        // The person first, as all who change them and their sessions do: nobody waits for each other.
        users::set_seen(&mut tx, user.id, now).await?;
        sessions::touch(&mut tx, &hash, now).await?;
        tx.commit().await?;
    }
    let (signs_in_with, signed_in_at) = (SignsInWith::of(&user, &rules), session.created_at);
    let must_set_up = must_set_up(&rules, signs_in_with, signed_in_at);
    let User { id, name, email, role, theme, time_zone, .. } = user;
    let csrf = session.csrf;
    Ok(Some(SignedIn {
        id,
        name,
        email,
        role,
        signs_in_with,
        theme,
        time_zone,
        must_set_up,
        csrf,
        hash,
        signed_in_at,
    }))
}

/// Whether somebody who came at a time has to set up a second step first. Who comes by the provider shows there who
/// they are.
fn must_set_up(rules: &SignInRules, with: SignsInWith, came_at: Timestamp) -> bool {
    with.password && !with.code && rules.two_step_since.is_some_and(|since| came_at >= since)
}

/// Ends a session.
///
/// # Errors
/// When the database did not take it.
pub async fn sign_out(app: &App, session: &SignedIn) -> Result<(), OpError> {
    let mut tx = app.store.begin().await?;
    sessions::delete(&mut tx, &session.hash).await?;
    tx.commit().await?;
    Ok(())
}

/// Keeps a person's choice of theme: `light`, `dark` or empty.
///
/// # Errors
/// When the database did not take it.
pub async fn set_theme(app: &App, session: &SignedIn, theme: &str) -> Result<(), OpError> {
    let theme = if ["light", "dark"].contains(&theme) { theme } else { "" };
    let mut tx = app.store.begin().await?;
    users::set_theme(&mut tx, session.id, theme).await?;
    tx.commit().await?;
    Ok(())
}

/// 256 random bits in hex.
pub(super) fn random_text() -> Secret {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).expect("the system has randomness");
    Secret::new(hex(&bytes))
}

#[cfg(test)]
mod tests;
