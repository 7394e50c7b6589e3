//! A person approves access: out to the tool and back with a code, which becomes the tokens of the credential.
//! RFC 6749 section 4.1, RFC 7636, RFC 9207.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use consign_core::auth::Ask;
use consign_core::credential::{Credential, Status, StatusCode};
use consign_core::delivery::Refusal;
use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::token::{OAuthError, StoredToken, TokenFacts};
use consign_core::vault::{Place, Sealed};
use consign_store::consents::{self, PendingConsent};
use consign_store::tokens::{self, TokenLease};
use consign_store::{StoreError, connectors, credentials, installation};

use super::Engine;
use super::authorize::Opened;
use super::token_request::AskError;
use super::tokens::{LEASE, LOOK_AGAIN, WAIT_MAX, persist};

/// A link to the tool is good for so long.
const LINK_LIFE: Duration = Duration::from_secs(600);

/// Where a person is sent to, and what they are asked for there.
#[derive(Debug)]
pub struct Departure {
    /// The address of the approval page.
    pub url: String,
    /// Its host.
    pub host: String,
    /// The scope that is asked for.
    pub scope: String,
}

/// What came back with the person.
#[derive(Debug)]
pub struct Return<'a> {
    /// `code`; absent when the tool sent an error.
    pub code: Option<Secret>,
    /// `error` and `error_description`.
    pub error: Option<OAuthError>,
    /// `iss` (RFC 9207).
    pub issuer: Option<&'a str>,
    /// A parameter that came more than once (RFC 6749 section 3.1).
    pub repeated: Option<&'static str>,
    /// The hash of the session that came back.
    pub session_hash: &'a str,
}

/// How an approval ended. The words are part of the API.
#[derive(Debug)]
pub enum Consented {
    /// Access was granted, and the tokens are stored.
    Connected(TokenFacts),
    /// As [`Consented::Connected`], but without a new refresh token.
    ConnectedWillStop(TokenFacts),
    /// The person said no.
    AccessDenied,
    /// The tool does not know the redirect URL.
    RedirectMismatch,
    /// The link was used before, is too old, or the credential was changed since.
    LinkUsedOrOld,
    /// Another session came back.
    OtherSession,
    /// The tool refused the code, or the way back was not its own; what was seen.
    CodeRefused(String),
}

impl Consented {
    /// The public word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Connected(_) => "connected",
            Self::ConnectedWillStop(_) => "connected_will_stop",
            Self::AccessDenied => "access_denied",
            Self::RedirectMismatch => "redirect_mismatch",
            Self::LinkUsedOrOld => "link_used_or_old",
            Self::OtherSession => "other_session",
            Self::CodeRefused(_) => "code_refused",
        }
    }
}

impl Engine {
    /// Prepares a way to the tool and back for one session. `None`: this credential needs nobody's approval.
    ///
    /// # Errors
    /// When its secrets do not open; the inner error is the database's.
    pub async fn depart(
        &self,
        credential: &Credential,
        redirect_url: String,
        session_hash: &str,
    ) -> Result<Result<Option<Departure>, Refusal>, StoreError> {
        let ask = Ask::new(redirect_url);
        let departure = match Opened::open(&self.vault, credential) {
            Ok(opened) => match opened.authorizer().consent() {
                Some(consent) => Departure {
                    url: consent.authorization_url(&ask),
                    host: consent.host(),
                    scope: consent.scope().to_owned(),
                },
                None => return Ok(Ok(None)),
            },
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let state_hash = hash_of(&ask.state);
        let own = Binding::of(&[]);
        let sealed = self.vault.seal(&place(&state_hash, &own), &ask.verifier);
        let pending = PendingConsent {
            sealed_verifier: sealed.as_stored().to_owned(),
            state_hash,
            credential: credential.id,
            revision: credential.revision,
            session_hash: session_hash.to_owned(),
            redirect_url: ask.redirect_url,
            created_at: now,
        };
        consents::delete_before(&mut tx, now.minus(LINK_LIFE)).await?;
        consents::insert(&mut tx, &pending).await?;
        tx.commit().await?;
        Ok(Ok(Some(departure)))
    }

    /// Someone came back. The link is good for this once, whatever becomes of it.
    ///
    /// # Errors
    /// When the database cannot be used.
    pub async fn arrive(
        self: &Arc<Self>,
        credential: &Arc<Credential>,
        state: &Secret,
        back: Return<'_>,
    ) -> Result<Consented, StoreError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let taken = consents::take(&mut tx, &hash_of(state)).await?;
        let known = tokens::find(&mut tx, credential.id).await?;
        tx.commit().await?;
        let Some(pending) = taken else { return Ok(Consented::LinkUsedOrOld) };
        // The state must arrive at the redirect URL of its own credential (RFC 9700 section 4.4).
        let stale = pending.credential != credential.id
            || pending.revision != credential.revision
            || now.since(pending.created_at) > LINK_LIFE;
        if stale {
            return Ok(Consented::LinkUsedOrOld);
        }
        if pending.session_hash != back.session_hash {
            return Ok(Consented::OtherSession);
        }
        if let Some(name) = back.repeated {
            return Ok(Consented::CodeRefused(format!("the answer holds {name} more than once")));
        }
        let issuer = known.and_then(|row| row.token).and_then(|token| token.issuer);
        if let Some(what) = issuer.and_then(|before| of_issuer(&before, back.issuer)) {
            return Ok(Consented::CodeRefused(what.to_owned()));
        }
        if let Some(error) = back.error {
            let Ok(opened) = Opened::open(&self.vault, credential) else {
                return Ok(Consented::CodeRefused("the credential cannot be opened".to_owned()));
            };
            return Ok(of_error(&error.scrubbed(&opened.scrubber(None))));
        }
        let Some(code) = back.code else {
            return Ok(Consented::CodeRefused("the answer holds no code".to_owned()));
        };
        let own = Binding::of(&[]);
        let sealed = Sealed::from_stored(pending.sealed_verifier.clone());
        let Ok(verifier) = self.vault.open_own(&place(&pending.state_hash, &own), &sealed) else {
            return Ok(Consented::LinkUsedOrOld);
        };
        let ask = Ask { redirect_url: pending.redirect_url, state: Secret::new(String::new()), verifier };
        // A task of its own: a browser that goes away now does not lose the tokens.
        let (engine, credential) = (self.clone(), credential.clone());
        let issuer = back.issuer.map(str::to_owned);
        let redeeming = tokio::spawn(async move { engine.redeem(&credential, &code, &ask, issuer).await });
        redeeming.await.unwrap_or_else(|_| Ok(Consented::CodeRefused("the exchange did not end".to_owned())))
    }

    async fn redeem(
        self: &Arc<Self>,
        credential: &Arc<Credential>,
        code: &Secret,
        ask: &Ask,
        issuer: Option<String>,
    ) -> Result<Consented, StoreError> {
        let Ok(opened) = Opened::open(&self.vault, credential) else {
            return Ok(Consented::CodeRefused("the credential cannot be opened".to_owned()));
        };
        let Some(consent) = opened.authorizer().consent() else { return Ok(Consented::LinkUsedOrOld) };
        let exchange = consent.redeem(code, ask);
        let deadline = self.now().plus(WAIT_MAX);
        let (lease, row) = loop {
            let mut tx = self.store.begin().await?;
            let now = tx.now();
            let leased = tokens::lease(&mut tx, credential.id, &self.by, now, now.plus(LEASE)).await?;
            tx.commit().await?;
            if let Some(leased) = leased {
                break leased;
            }
            if self.now() >= deadline {
                let what = "a token request for this credential is under way; try again".to_owned();
                return Ok(Consented::CodeRefused(what));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        };
        let asked = self.ask(&opened, &exchange, None, row.life, self.now()).await;
        let token = match asked.result {
            Ok(token) => token,
            Err(error) => {
                // The old grant stays as it was.
                let mut tx = self.store.begin().await?;
                tokens::release(&mut tx, &lease).await?;
                tx.commit().await?;
                return Ok(of_refused_code(error));
            }
        };
        let mut stored = opened.seal(&token, row.token.as_ref(), row.generation + 1);
        stored.issuer = issuer;
        // A success without a new refresh token keeps the old one, which may have ended with the old grant.
        let lasts = stored.refresh.is_some() || token.facts.ends_at.is_none();
        let old = row.token.as_ref().and_then(|token| token.refresh.clone());
        stored.refresh = stored.refresh.or(old);
        if !persist(credential.id, || self.connect(credential, &lease, &stored)).await? {
            return Ok(Consented::CodeRefused("the credential was changed meanwhile".to_owned()));
        }
        self.changed().await;
        Ok(if lasts { Consented::Connected(token.facts) } else { Consented::ConnectedWillStop(token.facts) })
    }

    /// Stores what was granted, and what waited for it goes on. `false`: the credential leads elsewhere now.
    async fn connect(
        &self,
        asked: &Credential,
        lease: &TokenLease,
        stored: &StoredToken,
    ) -> Result<bool, StoreError> {
        let mut tx = self.store.begin().await?;
        let now = tx.now();
        let Some(present) = credentials::lock(&mut tx, asked.id).await? else { return Ok(false) };
        // An access token of a client that was saved meanwhile is given up where it can be renewed.
        let given_up = stored.refresh.is_some() && !present.signs_in_like(asked);
        let access = stored.access.clone().filter(|_| !given_up);
        if !tokens::store(&mut tx, lease, &StoredToken { access, ..stored.clone() }).await? {
            return Ok(false);
        }
        let status = Status { code: StatusCode::NotTested, reason: "connected".to_owned(), since: now };
        credentials::set_seen(&mut tx, present.id, present.revision, &status).await?;
        connectors::release_by_credential(&mut tx, present.id, now).await?;
        installation::bump(&mut tx).await?;
        tx.commit().await?;
        Ok(true)
    }
}

/// What is wrong with the server that an answer names: one that named itself before does so in every answer (RFC 9207
/// section 2.4).
fn of_issuer(before: &str, now: Option<&str>) -> Option<&'static str> {
    match now {
        Some(now) if now == before => None,
        Some(_) => Some("the answer came from another authorization server than the last time"),
        None => {
            Some("the answer does not say which authorization server it came from, as it did the last time")
        }
    }
}

/// RFC 6749 section 4.1.2.1.
fn of_error(error: &OAuthError) -> Consented {
    let redirect = error.code == "redirect_uri_mismatch"
        || (error.code == "invalid_request" && error.description.to_lowercase().contains("redirect"));
    match error.code.as_str() {
        "access_denied" => Consented::AccessDenied,
        _ if redirect => Consented::RedirectMismatch,
        _ => Consented::CodeRefused(said(error)),
    }
}

/// The error comes without secrets from the token request.
fn of_refused_code(error: AskError) -> Consented {
    use consign_core::token::TokenError;
    match error {
        AskError::Token(
            TokenError::Refused { said: Some(error), .. } | TokenError::GrantEnded { said: Some(error), .. },
        ) => match of_error(&error) {
            Consented::AccessDenied => Consented::CodeRefused(said(&error)),
            other => other,
        },
        AskError::Token(error) => Consented::CodeRefused(error.reason().to_owned()),
        AskError::Unreached { reason, .. } => Consented::CodeRefused(reason),
        AskError::Refused(refusal) => Consented::CodeRefused(match refusal {
            Refusal::DestinationBlocked(words) | Refusal::NotRendered(words) => words,
            _ => "the token address was not asked".to_owned(),
        }),
    }
}

fn said(error: &OAuthError) -> String {
    if error.description.is_empty() {
        return error.code.clone();
    }
    format!("{}: {}", error.code, error.description)
}

fn hash_of(state: &Secret) -> String {
    let hash = digest::digest(&digest::SHA256, state.expose().as_bytes());
    hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn place<'a>(record: &'a str, binding: &'a Binding) -> Place<'a> {
    Place { table: "consent", record, field: "verifier", generation: 1, binding }
}
