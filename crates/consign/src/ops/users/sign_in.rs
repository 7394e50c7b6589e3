//! Signing in: email and password, and a code after them for those who have set it up.

use std::net::IpAddr;
use std::time::Duration;

use consign_core::id::RequestId;
use consign_core::secret::Secret;
use consign_store::second_steps::SecondStep;
use consign_store::users::User;
use consign_store::{Db, Tx, second_steps, sessions, users};
use serde_json::{Value, json};

use super::brake::Guess;
use super::password::password_fits;
use super::proof::{self, Kind};
use super::two_step::{self, Fits};
use super::{
    Begun, EMAIL_BYTES_MAX, SignsInWith, acting, is_as_saved, must_set_up, new_session, object, random_text,
    row,
};
use crate::App;
use crate::ops::settings::sign_in::rules;
use crate::ops::{Actor, ActorKind, Object, OpError, audit_entry, audit_refusal, audit_rows, commit};
use crate::telemetry;

/// Between the password and the code.
const STEP_LIFE: Duration = Duration::from_secs(10 * 60);

/// How far a password leads.
#[derive(Debug)]
pub enum Entered {
    /// The session has begun.
    Whole(Begun),
    /// A code is missing; the token says whose.
    CodeNeeded(Begun),
}

/// Why a sign-in is refused.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// The same words for an unknown email and a wrong password.
    #[error("The email or password is not right")]
    Wrong,
    /// The code does not fit, or was used.
    #[error("The code is not right, or was used already. Wait for the next one")]
    WrongCode,
    /// Whoever was judged is not who is let in.
    #[error("This account was changed just now. Sign in again")]
    Changed,
    /// The password was right too long ago.
    #[error("This took longer than 10 minutes. Sign in again")]
    TooLate,
    /// The password was right, and the account is closed.
    #[error("This account is suspended. An administrator can reactivate it")]
    Suspended,
    /// The password was right, and a code is asked for, too.
    #[error("This account has two-step sign-in. Send the code of the app, too")]
    CodeMissing,
    /// The password was right, and is not enough here.
    #[error("Two-step sign-in is required here. Sign in to the console and set it up first")]
    SecondStepNeeded,
    /// Passwords are switched off.
    #[error("Passwords are switched off here. Sign in with {0}")]
    NotLocal(String),
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

impl From<SignInError> for OpError {
    /// For ways in that ask neither for a password nor for a code.
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Op(error) => error,
            SignInError::TooMany { seconds } => Self::TooMany { seconds },
            other => Self::WrongState(other.to_string()),
        }
    }
}

/// Signs a person in, or says that a code is missing. The same work is done for an unknown email as for a wrong
/// password.
///
/// # Errors
/// When email and password do not fit, or too many were tried.
pub async fn sign_in(
    app: &App,
    email: &str,
    password: &Secret,
    from: Option<IpAddr>,
) -> Result<Entered, SignInError> {
    let user = known(app, email, password, from).await?;
    if user.two_step.is_some() {
        return Ok(Entered::CodeNeeded(await_code(app, &user).await?));
    }
    metrics::counter!(telemetry::SIGN_INS, "outcome" => "done").increment(1);
    Ok(Entered::Whole(begin_session(app, &user, from, Value::Null).await?))
}

/// Whose email and password these are.
async fn known(app: &App, email: &str, password: &Secret, from: Option<IpAddr>) -> Result<User, SignInError> {
    if !rules(app).local {
        let provider = app.config.auth.oidc.shown_name().unwrap_or_default();
        return Err(SignInError::NotLocal(provider.to_owned()));
    }
    let (now, email) = (app.now(), email.trim());
    let is_address = email.len() <= EMAIL_BYTES_MAX;
    let guess = Guess::of(if is_address { email } else { "" }, from);
    // Counted before the password is looked at, so that many tries at once are many tries. The network comes first: of
    // one that has to wait nothing more is kept.
    if let Some(wait) = app.sign_ins.try_network(&guess, now) {
        return Err(braked(wait));
    }
    if !is_address {
        refused(app, email, from, "password").await?;
        return Err(SignInError::Wrong);
    }
    if let Some(wait) = app.sign_ins.try_account(&guess, now) {
        return Err(braked(wait));
    }
    let mut db = app.store.read().await.map_err(OpError::from)?;
    let mut user = users::find_by_email(&mut db, email).await.map_err(OpError::from)?;
    if let Some(found) = &user
        && !is_as_saved(app, &mut db, found).await?
    {
        user = None;
    }
    drop(db);
    let stored = user.as_ref().map(|user| user.password_hash.clone());
    if !password_fits(app, password, stored).await? {
        refused(app, email, from, "password").await?;
        return Err(SignInError::Wrong);
    }
    let user = user.ok_or(SignInError::Wrong)?;
    app.sign_ins.guessed(&guess, now);
    if !user.is_active() {
        refused(app, email, from, "suspended").await?;
        return Err(SignInError::Suspended);
    }
    Ok(user)
}

/// Somebody who shows with one request who they are, by email, password and, where they have it, a code. No session
/// begins.
///
/// # Errors
/// As with [`sign_in`] and [`sign_in_with_code`].
pub async fn prove(
    app: &App,
    (email, password, code): (&str, &Secret, Option<&Secret>),
    from: Option<IpAddr>,
    request_id: RequestId,
) -> Result<Actor, SignInError> {
    let user = known(app, email, password, from).await?;
    let (now, rules) = (app.now(), rules(app));
    match (&user.two_step, code) {
        (None, _) if must_set_up(&rules, SignsInWith::of(&user, &rules), now) => {
            return Err(SignInError::SecondStepNeeded);
        }
        (None, _) => hold(&mut app.store.begin().await.map_err(OpError::from)?, &user).await?,
        (Some(_), None) => {
            // Whoever sent this knows the password.
            refused(app, &user.email, from, "code_missing").await?;
            return Err(SignInError::CodeMissing);
        }
        (Some(_), Some(code)) => {
            let guess = Guess::of_code(user.id, from);
            let fits = fits(app, &user, code, &guess).await?;
            let mut tx = app.store.begin().await.map_err(OpError::from)?;
            hold(&mut tx, &user).await?;
            let spent = match fits {
                Some(fits) => spend(app, &mut tx, &user, fits, from).await?,
                None => None,
            };
            if spent.is_none() {
                drop(tx);
                refused(app, &user.email, from, "code").await?;
                return Err(SignInError::WrongCode);
            }
            commit(app, tx).await?;
            app.sign_ins.guessed(&guess, now);
        }
    }
    let kind = ActorKind::User { id: user.id, name: user.name.clone() };
    let actor = Actor::new(kind, user.role.rights(), from, request_id);
    Ok(Actor { signed_in_at: Some(now), ..actor })
}

fn braked(wait: Duration) -> SignInError {
    metrics::counter!(telemetry::SIGN_INS, "outcome" => "braked").increment(1);
    SignInError::TooMany { seconds: wait.as_secs() + 1 }
}

/// Remembers for ten minutes that a password was right.
pub(super) async fn await_code(app: &App, user: &User) -> Result<Begun, SignInError> {
    let mut tx = app.store.begin().await.map_err(OpError::from)?;
    hold(&mut tx, user).await?;
    Ok(begin_step(app, tx, user).await?)
}

async fn begin_step(app: &App, mut tx: Tx, user: &User) -> Result<Begun, OpError> {
    let (token, now) = (random_text(), tx.now());
    second_steps::delete_old(&mut tx, now.minus(STEP_LIFE)).await?;
    let hash = proof::of_token(&app.audit_key, Kind::SecondStep, token.expose());
    let proof = proof::of_person(&app.audit_key, Kind::SecondStep, &hash, user.id, now);
    second_steps::insert(&mut tx, &SecondStep { hash, user: user.id, created_at: now, proof }).await?;
    tx.commit().await?;
    Ok(Begun { token })
}

/// Lets nobody in who was judged by what is no longer so, such as a password that was replaced while its hash was made:
/// sessions that a change ends must not begin behind it.
async fn hold(tx: &mut Tx, user: &User) -> Result<(), SignInError> {
    let same = users::hold(tx, user).await.map_err(OpError::from)?;
    if same { Ok(()) } else { Err(SignInError::Changed) }
}

/// Whether a token of [`Entered::CodeNeeded`] still waits for its code.
///
/// # Errors
/// When the database cannot be read.
pub async fn awaits_code(app: &App, token: &str) -> Result<bool, OpError> {
    Ok(waiting(app, &mut *app.store.read().await?, token).await?.is_some())
}

/// The step of a token, while it waits for its code, and as it was written.
async fn waiting(app: &App, db: &mut Db, token: &str) -> Result<Option<SecondStep>, OpError> {
    let hash = proof::of_token(&app.audit_key, Kind::SecondStep, token);
    let found = second_steps::find(db, &hash).await?;
    Ok(found.filter(|step| {
        let made = proof::of_person(&app.audit_key, Kind::SecondStep, &hash, step.user, step.created_at);
        app.now().since(step.created_at) <= STEP_LIFE && proof::same(&step.proof, &made)
    }))
}

/// The second step: a code of the app, or a recovery code.
///
/// # Errors
/// When it does not fit, was used, or too many were tried.
pub async fn sign_in_with_code(
    app: &App,
    token: &str,
    typed: &Secret,
    from: Option<IpAddr>,
) -> Result<Begun, SignInError> {
    let mut db = app.store.read().await.map_err(OpError::from)?;
    let Some(step) = waiting(app, &mut db, token).await? else { return Err(SignInError::TooLate) };
    let id = step.user;
    let user = users::find(&mut db, id).await.map_err(OpError::from)?.filter(User::is_active);
    let Some(user) = user else { return Err(SignInError::TooLate) };
    if !is_as_saved(app, &mut db, &user).await? {
        return Err(SignInError::TooLate);
    }
    drop(db);
    let guess = Guess::of_code(id, from);
    let fits = fits(app, &user, typed, &guess).await?;
    let Some(begun) = enter(app, user.clone(), &step.hash, fits, from).await? else {
        refused(app, &user.email, from, "code").await?;
        return Err(SignInError::WrongCode);
    };
    app.sign_ins.guessed(&guess, app.now());
    metrics::counter!(telemetry::SIGN_INS, "outcome" => "done").increment(1);
    Ok(begun)
}

/// What a typed code fits to; slowed as guesses of passwords are.
async fn fits(app: &App, user: &User, typed: &Secret, guess: &Guess) -> Result<Option<Fits>, SignInError> {
    let mut db = app.store.read().await.map_err(OpError::from)?;
    let last_step = users::last_code_step(&mut db, user.id).await.map_err(OpError::from)?;
    drop(db);
    let (brake, now) = (&app.sign_ins, app.now());
    if let Some(wait) = brake.try_network(guess, now).or_else(|| brake.try_account(guess, now)) {
        return Err(braked(wait));
    }
    Ok(two_step::judge(app, user, typed, last_step)?)
}

/// Uses what was typed and begins the session, in one transaction. `None`: it was used by somebody faster.
async fn enter(
    app: &App,
    user: User,
    step: &str,
    fits: Option<Fits>,
    from: Option<IpAddr>,
) -> Result<Option<Begun>, SignInError> {
    let Some(fits) = fits else { return Ok(None) };
    let mut tx = app.store.begin().await.map_err(OpError::from)?;
    hold(&mut tx, &user).await?;
    if !second_steps::delete(&mut tx, step).await.map_err(OpError::from)? {
        return Ok(None);
    }
    let Some(with) = spend(app, &mut tx, &user, fits, from).await? else { return Ok(None) };
    let begun = insert_session(app, &mut tx, &user, from, json!({ "second_step": with })).await?;
    commit(app, tx).await?;
    Ok(Some(begun))
}

/// Uses a code, or a recovery code, up. `None`: somebody was faster.
async fn spend(
    app: &App,
    tx: &mut Tx,
    user: &User,
    fits: Fits,
    from: Option<IpAddr>,
) -> Result<Option<&'static str>, OpError> {
    match fits {
        Fits::Code(step) => Ok(users::use_code(tx, user.id, step).await?.then_some("code")),
        Fits::Recovery(rest) => {
            let mut spent = user.clone();
            let left = rest.len();
            if let Some(two_step) = &mut spent.two_step {
                two_step.recovery = rest;
            }
            if !users::update(tx, &spent).await? {
                return Ok(None);
            }
            let actor = acting(user, from, tx.now());
            let changes = json!({ "recovery_codes_left": left });
            audit_rows(app, tx, &actor, "Used recovery code", object(user), changes, &[row(user)]).await?;
            Ok(Some("recovery code"))
        }
    }
}

/// Begins a session of a person who showed who they are.
pub(super) async fn begin_session(
    app: &App,
    user: &User,
    from: Option<IpAddr>,
    how: Value,
) -> Result<Begun, SignInError> {
    let mut tx = app.store.begin().await.map_err(OpError::from)?;
    let begun = begin(app, &mut tx, user, from, how).await?;
    commit(app, tx).await?;
    Ok(begun)
}

/// The same, in the transaction that judged them.
pub(super) async fn begin(
    app: &App,
    tx: &mut Tx,
    user: &User,
    from: Option<IpAddr>,
    how: Value,
) -> Result<Begun, SignInError> {
    hold(tx, user).await?;
    Ok(insert_session(app, tx, user, from, how).await?)
}

/// `user` is held.
async fn insert_session(
    app: &App,
    tx: &mut Tx,
    user: &User,
    from: Option<IpAddr>,
    how: Value,
) -> Result<Begun, OpError> {
    let now = tx.now();
    let (begun, session) = new_session(app, user, now);
    sessions::insert(tx, &session).await?;
    users::set_seen(tx, user.id, now).await?;
    let rules = rules(app);
    sessions::delete_old(tx, now.minus(rules.session()), now.minus(rules.idle())).await?;
    audit_entry(app, tx, &acting(user, from, now), "Signed in", object(user), how).await?;
    Ok(begun)
}

/// Writes down that somebody was not let in.
pub(super) async fn refused(app: &App, email: &str, from: Option<IpAddr>, why: &str) -> Result<(), OpError> {
    metrics::counter!(telemetry::SIGN_INS, "outcome" => "refused").increment(1);
    let mut tx = app.store.begin().await?;
    let actor = Actor { from, ..Actor::system(tx.now()) };
    let shown: String = email.chars().filter(|c| !c.is_control()).take(80).collect();
    let object = Object { kind: "user", id: String::new(), name: &shown };
    let why = json!({ "why": why });
    audit_refusal(app, &mut tx, &actor, "Refused sign-in", object, why).await?;
    commit(app, tx).await
}
