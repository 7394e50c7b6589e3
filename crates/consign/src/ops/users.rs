//! People: the first one, signing in and out, and what their web session keeps for them.

use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::rand;
use consign_core::api_key::hash;
use consign_core::audit::Table;
use consign_core::hex::hex;
use consign_core::id::{RequestId, UserId};
use consign_core::rights::Rights;
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_store::sessions::Session;
use consign_store::users::User;
use consign_store::{Db, installation, sessions, users};
use serde_json::Value;

use super::{Actor, ActorKind, Object, OpError, audit_entry, audit_rows, commit};
use crate::App;
use crate::telemetry;

pub use brake::SignInBrake;
pub use links::{
    new_setup_link, new_sign_in_link, redeem_sign_in_link, setup_link_works, sign_in_link_waits,
};
pub use typed::{keep_typed, take_typed};

use links::{SETUP_LINK, link_fits};
use password::{hash_password, is_guessed_first, password_fits};

mod brake;
mod links;
mod password;
mod typed;

const PASSWORD_CHARS_MIN: usize = 12;
const PASSWORD_CHARS_MAX: usize = 1_024;

/// A session that has begun: the token goes into the cookie.
#[derive(Debug)]
pub struct Begun {
    /// 256 random bits; stored only as a hash.
    pub token: Secret,
}

/// A person who is signed in.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// Their id.
    pub id: UserId,
    /// Their name.
    pub name: String,
    /// `light`, `dark`, or empty for the system's.
    pub theme: String,
    /// The token of every form of this session.
    pub csrf: String,
    /// The hash of the session's token.
    pub hash: String,
}

impl SignedIn {
    /// The person as an actor. Everyone who signs in is an administrator so far.
    pub fn actor(&self, from: Option<IpAddr>, request_id: RequestId) -> Actor {
        let kind = ActorKind::User { id: self.id, name: self.name.clone() };
        Actor::new(kind, Rights::all(), from, request_id)
    }
}

/// Why a sign-in is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The same words for an unknown email and a wrong password.
    #[error("The email or password is not right")]
    Wrong,
    /// Too many tries for this account or from this address.
    #[error("Too many tries. Wait {seconds} seconds")]
    TooMany {
        /// The wait.
        seconds: u64,
    },
    /// Not a matter of the password.
    #[error(transparent)]
    Op(#[from] OpError),
}

/// Whether nobody can sign in yet.
///
/// # Errors
/// When the database cannot be read.
pub async fn setup_needed(app: &App) -> Result<bool, OpError> {
    Ok(users::count(&mut *app.store.read().await?).await? == 0)
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
    if !link_fits(stored.as_deref(), token, now) || users::count(&mut tx).await? > 0 {
        return Err(OpError::WrongState("This set-up link was used".to_owned()));
    }
    installation::remove(&mut tx, SETUP_LINK).await?;
    let user = person(now, name, email, password_hash);
    users::insert(&mut tx, &user).await?;
    let (begun, session) = new_session(&user, now);
    sessions::insert(&mut tx, &session).await?;
    let actor = acting(&user, from, now);
    let object = Object { kind: "user", id: user.id.to_string(), name: &user.name };
    audit_rows(app, &mut tx, &actor, "Set up Consign", object, Value::Null, &[row(&user)]).await?;
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
    let user = person(now, name, email, password_hash);
    users::insert(&mut tx, &user).await?;
    let object = Object { kind: "user", id: user.id.to_string(), name: &user.name };
    let (actor, action) = (Actor::system(now), "Created first administrator");
    audit_rows(app, &mut tx, &actor, action, object, Value::Null, &[row(&user)]).await?;
    commit(app, tx).await?;
    Ok(())
}

fn person(now: Timestamp, name: String, email: String, password_hash: String) -> User {
    User {
        id: UserId::new(now),
        name,
        email,
        password_hash,
        theme: String::new(),
        created_at: now,
        last_seen_at: None,
    }
}

fn row(user: &User) -> (Table, String) {
    (Table::User, user.id.to_string())
}

/// Whoever changes the rows of people in the database lets nobody in.
async fn is_as_saved(app: &App, db: &mut Db, user: &User) -> Result<bool, OpError> {
    let fits = app.records.fits(db, Table::User, &user.id.to_string()).await?;
    if !fits {
        tracing::error!(user.id = %user.id, "an account is not as it was saved last: it was changed outside Consign");
    }
    Ok(fits)
}

fn acting(user: &User, from: Option<IpAddr>, now: Timestamp) -> Actor {
    let kind = ActorKind::User { id: user.id, name: user.name.clone() };
    Actor::new(kind, Rights::all(), from, RequestId::new(now))
}

fn judge_person(name: &str, email: &str, password: &Secret) -> Result<(String, String), OpError> {
    let mut faults = Vec::new();
    let fault = consign_core::catalog::Fault::new;
    let (name, email) = (name.trim().to_owned(), email.trim().to_owned());
    if name.is_empty() || name.chars().count() > 80 || name.chars().any(char::is_control) {
        faults.push(fault("missing", "Enter your name, in 80 characters or fewer").at("name"));
    }
    let at = email.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.len() > 1);
    if !at || email.len() > 254 || email.chars().any(|c| c.is_whitespace() || c.is_control()) {
        faults.push(fault("bad_form", "Enter an email address such as ana@acme.example").at("email"));
    }
    let length = password.expose().chars().count();
    if length < PASSWORD_CHARS_MIN {
        faults.push(
            fault("too_short", "Password must be 12 characters or more. Longer is better").at("password"),
        );
    } else if length > PASSWORD_CHARS_MAX {
        faults.push(fault("too_long", "Password must be 1,024 characters or fewer").at("password"));
    } else if is_guessed_first(password.expose(), &name, &email) {
        let sentence = "This password is one of the first that are guessed. Choose another";
        faults.push(fault("too_weak", sentence).at("password"));
    }
    if faults.is_empty() { Ok((name, email)) } else { Err(OpError::Invalid(faults)) }
}

/// Signs a person in. The same work is done for an unknown email as for a wrong password.
///
/// # Errors
/// When email and password do not fit, or too many were tried.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &Secret,
    from: Option<IpAddr>,
) -> Result<Begun, SignInError> {
    let now = app.now();
    let account = format!("account {}", email.trim().to_lowercase());
    let address = format!("address {}", from.map(|address| address.to_string()).unwrap_or_default());
    // Counted before the password is looked at, so that many tries at once are many tries.
    let wait = app.sign_ins.try_once(&account, now).max(app.sign_ins.try_once(&address, now));
    if let Some(wait) = wait {
        metrics::counter!(telemetry::SIGN_INS, "outcome" => "braked").increment(1);
        return Err(SignInError::TooMany { seconds: wait.as_secs() + 1 });
    }
    let mut db = app.store.read().await.map_err(OpError::from)?;
    let mut user = users::find_by_email(&mut db, email.trim()).await.map_err(OpError::from)?;
    if let Some(found) = &user
        && !is_as_saved(app, &mut db, found).await?
    {
        user = None;
    }
    drop(db);
    let stored = user.as_ref().map(|user| user.password_hash.clone());
    if !password_fits(app, password, stored).await? {
        metrics::counter!(telemetry::SIGN_INS, "outcome" => "refused").increment(1);
        record_refusal(app, email, from).await?;
        return Err(SignInError::Wrong);
    }
    let user = user.ok_or(SignInError::Wrong)?;
    app.sign_ins.passed(&account);
    app.sign_ins.passed(&address);
    metrics::counter!(telemetry::SIGN_INS, "outcome" => "done").increment(1);
    Ok(begin_session(app, &user, from).await?)
}

async fn begin_session(app: &App, user: &User, from: Option<IpAddr>) -> Result<Begun, OpError> {
    let mut tx = app.store.begin().await?;
    let now = tx.now();
    let (begun, session) = new_session(user, now);
    sessions::insert(&mut tx, &session).await?;
    users::set_seen(&mut tx, user.id, now).await?;
    sessions::delete_old(&mut tx, now.minus(session_life(app)), now.minus(idle_life(app))).await?;
    let object = Object { kind: "user", id: user.id.to_string(), name: &user.name };
    audit_entry(app, &mut tx, &acting(user, from, now), "Signed in", object, Value::Null).await?;
    commit(app, tx).await?;
    Ok(begun)
}

async fn record_refusal(app: &App, email: &str, from: Option<IpAddr>) -> Result<(), OpError> {
    let mut tx = app.store.begin().await?;
    let actor = Actor { from, ..Actor::system(tx.now()) };
    let shown: String = email.chars().filter(|c| !c.is_control()).take(80).collect();
    let object = Object { kind: "user", id: String::new(), name: &shown };
    audit_entry(app, &mut tx, &actor, "Refused sign-in", object, Value::Null).await?;
    commit(app, tx).await?;
    Ok(())
}

fn new_session(user: &User, now: Timestamp) -> (Begun, Session) {
    let token = random_text();
    let session = Session {
        hash: hash(token.expose()),
        user: user.id,
        csrf: random_text().expose().to_owned(),
        created_at: now,
        seen_at: now,
        pending: None,
    };
    (Begun { token }, session)
}

fn session_life(app: &App) -> Duration {
    Duration::from_secs(app.config.auth.session_hours * 3_600)
}

fn idle_life(app: &App) -> Duration {
    Duration::from_secs(app.config.auth.idle_minutes * 60)
}

/// Who a session's token belongs to, while it lives. `quiet` requests, such as polls of a page, do not prolong it.
///
/// # Errors
/// When the database cannot be read.
pub async fn session(app: &App, token: &str, quiet: bool) -> Result<Option<SignedIn>, OpError> {
    const TOUCH_EVERY: Duration = Duration::from_secs(60);
    let now = app.now();
    let hash = hash(token);
    let mut db = app.store.read().await?;
    let Some(session) = sessions::find(&mut db, &hash).await? else { return Ok(None) };
    if now.since(session.created_at) > session_life(app) || now.since(session.seen_at) > idle_life(app) {
        return Ok(None);
    }
    let Some(user) = users::find(&mut db, session.user).await? else { return Ok(None) };
    if !is_as_saved(app, &mut db, &user).await? {
        return Ok(None);
    }
    drop(db);
    if !quiet && now.since(session.seen_at) > TOUCH_EVERY {
        let mut tx = app.store.begin().await?;
        sessions::touch(&mut tx, &hash, now).await?;
        users::set_seen(&mut tx, user.id, now).await?;
        tx.commit().await?;
    }
    Ok(Some(SignedIn { id: user.id, name: user.name, theme: user.theme, csrf: session.csrf, hash }))
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
fn random_text() -> Secret {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).expect("the system has randomness");
    Secret::new(hex(&bytes))
}

#[cfg(test)]
mod tests;
