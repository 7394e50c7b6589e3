//! Signing in with the OpenID provider of the configuration. RFC 6749 section 4.1, RFC 7636, RFC 9207, OpenID Connect
//! Core 1.0 section 3.1.
//!
//! Who comes for the first time has to be invited, by an address that the provider made sure of, or be in the group of
//! administrators. From then on the account is bound to what the provider calls them for good, and the address no longer
//! counts. What belongs to one sign-in is made of one random text in a cookie, so that nothing is stored for those who
//! never come back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use consign_core::api_key::hash;
use consign_core::oidc::{Ask, Claims, Provider};
use consign_core::secret::Secret;
use consign_core::time::Timestamp;
use consign_store::users::{Identity, User};
use consign_store::{Tx, users};
use serde_json::json;
use tokio::sync::Mutex;

use super::brake::network;
use super::sign_in::{await_code, begin, refused};
use super::{Entered, acting, is_as_saved, judge_email, object, person_of, random_text, row, save};
use crate::App;
use crate::config::OidcOptions;
use crate::engine::{OidcFault, Redeem};
use crate::ops::settings::sign_in::rules;
use crate::ops::{OpError, audit_rows, commit};
use crate::telemetry;

/// Below the public address.
pub const CALLBACK: &str = "/sign-in/oidc/callback";
/// From the button to the way back.
pub const WAY_SECONDS: u32 = 600;
/// A description of the provider is used for so long: providers seldom move.
const DESCRIPTION_LIFE: Duration = Duration::from_secs(600);
/// Of a person's name.
const NAME_CHARS_MAX: usize = 80;

/// What is known of the provider, in memory.
#[derive(Default)]
pub struct KnownProvider(Mutex<Option<(Timestamp, Arc<Provider>)>>);

/// A person on the way to the provider.
#[derive(Debug)]
pub struct Departure {
    /// Where they are sent.
    pub url: String,
    /// What their browser keeps for the way back.
    pub cookie: Secret,
}

/// What comes back with a person.
#[derive(Debug)]
pub struct Arrival<'a> {
    /// What the browser kept.
    pub cookie: Option<&'a str>,
    /// `state`.
    pub state: Secret,
    /// `code`.
    pub code: Option<Secret>,
    /// `error`.
    pub error: &'a str,
    /// `error_description`.
    pub error_description: &'a str,
    /// `iss` (RFC 9207).
    pub issuer: Option<&'a str>,
    /// A parameter that came more than once (RFC 6749 section 3.1).
    pub repeated: bool,
}

/// Somebody is in, or will be with a code.
#[derive(Debug)]
pub struct Arrived {
    /// How far they are.
    pub entered: Entered,
    /// The page that they wanted; not judged.
    pub next: String,
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No provider is configured.
    #[error("no provider is configured")]
    Off,
    /// The person, or the provider for them, said no.
    #[error("access was denied")]
    SaidNo,
    /// The provider reports something else; its words.
    #[error("the provider says {0}")]
    Reported(String),
    /// It was begun in another browser, or is over.
    #[error("it was begun in another browser")]
    OtherBrowser,
    /// It took too long.
    #[error("it took longer than ten minutes")]
    TooLate,
    /// Another provider sent the person here.
    #[error("another provider answered")]
    OtherIssuer,
    /// The provider did not make sure of an address.
    #[error("the provider confirms no email address")]
    NoEmail,
    /// Nobody invited this address.
    #[error("nobody invited this person")]
    NotInvited(String),
    /// The address belongs to an account of its own.
    #[error("there is another account with this address")]
    HasAccount(String),
    /// The account is closed.
    #[error("the account is suspended")]
    Suspended,
    /// The provider was of no help.
    #[error(transparent)]
    Fault(#[from] OidcFault),
    /// Too many tries from this address.
    #[error("too many tries")]
    TooMany {
        /// The wait.
        seconds: u64,
    },
    /// Not a matter of the provider.
    #[error(transparent)]
    Op(#[from] OpError),
}

impl OidcOptions {
    /// What people call the provider; `None` when there is none.
    pub fn shown_name(&self) -> Option<&str> {
        let issuer = self.issuer.as_deref()?;
        let host = issuer.split("://").last().and_then(|rest| rest.split('/').next());
        Some(self.name.as_deref().or(host).unwrap_or(issuer))
    }

    /// Whether the first administrator can come without a set-up link.
    pub fn brings_administrators(&self) -> bool {
        self.issuer.is_some() && self.admin_group.is_some()
    }
}

/// Sends somebody out.
///
/// # Errors
/// When the provider is not reached, or cannot be used.
pub async fn depart(app: &App, next: &str, from: Option<IpAddr>) -> Result<Departure, Refusal> {
    let client_id = app.config.auth.oidc.client_id.as_deref().ok_or(Refusal::Off)?;
    let address = format!("provider {}", network(from));
    let provider = provider(app, &address).await?;
    let way = Way::begin(app.now(), next);
    let url = provider.departure(&Ask {
        client_id,
        redirect_url: &redirect_url(app),
        state: &way.part("state"),
        nonce: &way.part("nonce"),
        verifier: &Secret::new(way.part("verifier")),
        groups: app.config.auth.oidc.admin_group.is_some(),
    });
    Ok(Departure { url, cookie: way.0 })
}

/// Takes somebody in who comes back.
///
/// # Errors
/// When it is not them, they may not come in, or the provider is of no help.
pub async fn arrive(app: &App, arrival: Arrival<'_>, from: Option<IpAddr>) -> Result<Arrived, Refusal> {
    let entered = match believed(app, &arrival, from).await {
        Ok(claims) => enter(app, claims, from).await,
        Err(refusal) => Err(refusal),
    };
    let refusal = match entered {
        Ok(entered) => {
            let next = arrival.cookie.map(Way::of).and_then(|way| way.next()).unwrap_or_default();
            return Ok(Arrived { entered, next });
        }
        Err(refusal) => refusal,
    };
    let why = refusal.to_string();
    let noted = noted(&refusal);
    match noted {
        Some(who) => refused(app, &who, from, &why).await?,
        None => tracing::info!(why, "a sign-in with the provider did not succeed"),
    }
    Err(refusal)
}

/// Whom a refusal is written down for. What anybody can bring about without the provider leaves no record.
fn noted(refusal: &Refusal) -> Option<String> {
    match refusal {
        Refusal::NotInvited(email) | Refusal::HasAccount(email) => Some(email.clone()),
        Refusal::NoEmail | Refusal::Suspended | Refusal::Fault(OidcFault::NotBelieved(_)) => {
            Some(String::new())
        }
        Refusal::Off
        | Refusal::SaidNo
        | Refusal::Reported(_)
        | Refusal::OtherBrowser
        | Refusal::TooLate
        | Refusal::OtherIssuer
        | Refusal::Fault(_)
        | Refusal::TooMany { .. }
        | Refusal::Op(_) => None,
    }
}

/// Who came back, on the provider's word.
async fn believed(app: &App, arrival: &Arrival<'_>, from: Option<IpAddr>) -> Result<Claims, Refusal> {
    let options = &app.config.auth.oidc;
    let client_id = options.client_id.as_deref().ok_or(Refusal::Off)?;
    let way = arrival.cookie.map(Way::of).ok_or(Refusal::OtherBrowser)?;
    let state = way.part("state");
    if verify_slices_are_equal(state.as_bytes(), arrival.state.expose().as_bytes()).is_err() {
        return Err(Refusal::OtherBrowser);
    }
    let began = way.began().ok_or(Refusal::OtherBrowser)?;
    if app.now().since(began) > Duration::from_secs(u64::from(WAY_SECONDS)) {
        return Err(Refusal::TooLate);
    }
    let address = format!("provider {}", network(from));
    let provider = provider(app, &address).await?;
    let named = match arrival.issuer {
        Some(issuer) => issuer == provider.issuer,
        None => !provider.names_itself,
    };
    if !named || arrival.repeated {
        return Err(Refusal::OtherIssuer);
    }
    let Some(code) = arrival.code.as_ref().filter(|_| arrival.error.is_empty()) else {
        return Err(match arrival.error {
            "access_denied" => Refusal::SaidNo,
            error => Refusal::Reported(crate::engine::shown_of_provider(error, arrival.error_description)),
        });
    };
    // Each code is a request of ours: whoever invents them is slowed.
    if let Some(wait) = app.sign_ins.try_once(&address, app.now()) {
        return Err(Refusal::TooMany { seconds: wait.as_secs() + 1 });
    }
    let redeem = Redeem {
        client_id,
        client_secret: options.client_secret.as_ref(),
        redirect_url: &redirect_url(app),
        code,
        verifier: &Secret::new(way.part("verifier")),
        nonce: &way.part("nonce"),
        groups: options.admin_group.is_some(),
    };
    let claims = app.engine.redeem_sign_in(&provider, &redeem).await?;
    app.sign_ins.take_back(&address);
    Ok(claims)
}

fn redirect_url(app: &App) -> String {
    format!("{}{CALLBACK}", app.public_url())
}

/// The provider as it described itself last, or does now. One at a time asks.
async fn provider(app: &App, address: &str) -> Result<Arc<Provider>, Refusal> {
    let issuer = app.config.auth.oidc.issuer.as_deref().ok_or(Refusal::Off)?;
    let mut known = app.provider.0.lock().await;
    let now = app.now();
    let fresh = known.as_ref().filter(|(since, _)| now.since(*since) < DESCRIPTION_LIFE);
    if let Some((_, provider)) = fresh {
        return Ok(provider.clone());
    }
    // A provider that is away is not asked as often as somebody likes.
    if let Some(wait) = app.sign_ins.try_once(&format!("description {address}"), now) {
        return Err(Refusal::TooMany { seconds: wait.as_secs() + 1 });
    }
    let provider = Arc::new(app.engine.read_provider(issuer).await?);
    app.sign_ins.take_back(&format!("description {address}"));
    *known = Some((now, provider.clone()));
    Ok(provider)
}

/// What a browser keeps for the way back: when it began, a random text, and where to go afterwards. State, nonce and
/// proof key are hashes of the whole, so that they fit this browser and nothing else.
struct Way(Secret);

impl Way {
    fn begin(now: Timestamp, next: &str) -> Self {
        let next = BASE64_URL_SAFE_NO_PAD.encode(next);
        Self(Secret::new(format!("{}.{}.{next}", now.millis(), random_text().expose())))
    }

    fn of(cookie: &str) -> Self {
        Self(Secret::new(cookie.to_owned()))
    }

    fn part(&self, name: &str) -> String {
        hash(&format!("{name} {}", self.0.expose()))
    }

    fn began(&self) -> Option<Timestamp> {
        self.0.expose().split('.').next()?.parse().ok().map(Timestamp::from_millis)
    }

    fn next(&self) -> Option<String> {
        let next = BASE64_URL_SAFE_NO_PAD.decode(self.0.expose().rsplit('.').next()?).ok()?;
        String::from_utf8(next).ok()
    }
}

/// Finds the account of a person, or makes the one that they were invited to, and begins their session.
async fn enter(app: &App, claims: Claims, from: Option<IpAddr>) -> Result<Entered, Refusal> {
    let issuer = app.config.auth.oidc.issuer.clone().ok_or(Refusal::Off)?;
    let identity = Identity { issuer, subject: claims.subject.clone() };
    let mut tx = app.store.begin().await.map_err(OpError::from)?;
    let found = users::find_by_identity(&mut tx, &identity).await.map_err(OpError::from)?;
    let user = match found {
        Some(user) if !is_as_saved(app, &mut tx, &user).await? => {
            return Err(Refusal::NotInvited(user.email));
        }
        Some(user) => user,
        None => newcomer(app, &mut tx, &claims, identity, from).await?,
    };
    if !user.is_active() {
        return Err(Refusal::Suspended);
    }
    if user.two_step.is_some() {
        commit(app, tx).await?;
        return Ok(Entered::CodeNeeded(await_code(app, &user).await.map_err(OpError::from)?));
    }
    let begun = begin(app, &mut tx, &user, from, json!({ "with": "oidc" })).await.map_err(OpError::from)?;
    commit(app, tx).await?;
    metrics::counter!(telemetry::SIGN_INS, "outcome" => "done").increment(1);
    Ok(Entered::Whole(begun))
}

/// Somebody comes for the first time.
async fn newcomer(
    app: &App,
    tx: &mut Tx,
    claims: &Claims,
    identity: Identity,
    from: Option<IpAddr>,
) -> Result<User, Refusal> {
    let email = claims.verified_email().filter(|email| judge_email(email).is_none());
    let email = email.ok_or(Refusal::NoEmail)?.to_owned();
    let now = tx.now();
    let group = app.config.auth.oidc.admin_group.as_deref();
    match users::find_by_email(tx, &email).await.map_err(OpError::from)? {
        None if group.is_some_and(|group| claims.is_in(group)) => {
            let name = name_of(claims, &email);
            let user = User { identity: Some(identity), ..person_of(now, name, email, String::new()) };
            users::insert(tx, &user).await.map_err(OpError::from)?;
            let changes = json!({ "email": user.email, "role": user.role, "by_group": group });
            let actor = acting(&user, from, now);
            let action = "Came as administrator by group";
            audit_rows(app, tx, &actor, action, object(&user), changes, &[row(&user)]).await?;
            Ok(user)
        }
        None => Err(Refusal::NotInvited(email)),
        Some(user) if !is_as_saved(app, tx, &user).await? => Err(Refusal::NotInvited(email)),
        Some(mut user) => {
            let invited = user.invitation.as_ref().map(|invitation| invitation.until > now);
            // Where nobody signs in with a password, the provider is who knows to whom an address belongs.
            let only_provider = !rules(app).local && user.identity.is_none();
            let action = match invited {
                Some(true) => "Accepted invitation",
                Some(false) => return Err(Refusal::NotInvited(email)),
                None if user.suspended_at.is_some() => return Err(Refusal::Suspended),
                None if only_provider => "Bound account to provider",
                None => return Err(Refusal::HasAccount(email)),
            };
            user.invitation = None;
            user.identity = Some(identity);
            if user.name.is_empty() {
                user.name = name_of(claims, &email);
            }
            save(tx, &mut user).await?;
            let (actor, changes) = (acting(&user, from, now), json!({ "with": "oidc" }));
            audit_rows(app, tx, &actor, action, object(&user), changes, &[row(&user)]).await?;
            Ok(user)
        }
    }
}

/// What the provider calls a person, or the front of their address.
fn name_of(claims: &Claims, email: &str) -> String {
    let said: String = claims.name.iter().flat_map(|name| name.chars()).filter(|c| !c.is_control()).collect();
    let front = email.split('@').next().unwrap_or(email);
    let name = if said.trim().is_empty() { front } else { said.trim() };
    name.chars().take(NAME_CHARS_MAX).collect()
}
