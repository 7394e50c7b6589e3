//! A credential becomes an access: the only place of the program where its secrets and tokens are opened.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use consign_core::auth::{Authorizer, Proof, Step};
use consign_core::catalog::{Fields, Tokens};
use consign_core::client_certificate;
use consign_core::connector::signature::{self, WebhookKey};
use consign_core::credential::{Access, Credential, Identity, SentWith, SftpAccess};
use consign_core::delivery::Refusal;
use consign_core::redact::Scrubber;
use consign_core::secret::Secret;
use consign_core::target::Binding;
use consign_core::time::Timestamp;
use consign_core::token::{self, Exchange, SealedToken, StoredToken, Token, Which};
use consign_core::vault::{Place, Sealed, Vault};
use consign_store::signing_keys::SigningKey;

use super::Engine;

/// What a request may carry, and what its answer must not show.
pub(super) struct Authorized {
    /// For the transport.
    pub access: Access,
    /// Finds the secrets of this credential in what comes back.
    pub scrubber: Arc<Scrubber>,
    /// The token that the access is made of, where it is made of one.
    pub token: Option<UsedToken>,
}

/// A token that a request was sent with.
#[derive(Clone, Copy, Debug)]
pub(super) struct UsedToken {
    /// Which.
    pub generation: i64,
    /// Its time was over when it was used.
    pub ended: bool,
}

/// A credential with its secrets at hand.
pub(super) struct Opened<'a> {
    pub(super) credential: &'a Credential,
    vault: &'a Vault,
    id: String,
    binding: Binding,
    fields: Fields,
    authorizer: Box<dyn Authorizer>,
}

impl<'a> Opened<'a> {
    /// Opens the secrets of a credential.
    ///
    /// # Errors
    /// When a secret does not open at its place and destination, or the record is not whole.
    pub(super) fn open(vault: &'a Vault, credential: &'a Credential) -> Result<Self, Refusal> {
        let (id, binding) = (credential.id.to_string(), credential.binding());
        let mut fields = Fields { plain: credential.plain.clone(), ..Fields::default() };
        for (key, stored) in &credential.secrets {
            let place = Credential::place(&id, key, stored.generation, &binding);
            fields.secrets.insert(key.clone(), open(vault, &place, &stored.sealed)?);
        }
        let authorizer =
            (credential.authorization_type.parse)(&fields).map_err(|_| Refusal::CredentialLocked)?;
        Ok(Self { credential, vault, id, binding, fields, authorizer })
    }

    /// The same credential with another choice in one of its fields, for a test of that choice.
    pub(super) fn with_choice(mut self, field: &str, choice: &str) -> Result<Self, Refusal> {
        self.fields.plain.insert(field.to_owned(), choice.to_owned());
        let parse = self.credential.authorization_type.parse;
        self.authorizer = parse(&self.fields).map_err(|_| Refusal::CredentialLocked)?;
        Ok(self)
    }

    /// How this credential is let in.
    pub(super) fn authorizer(&self) -> &dyn Authorizer {
        &*self.authorizer
    }

    /// A secret, sealed for another field of the same credential.
    pub(super) fn reseal(&self, from: &str, to: &str, generation: i64) -> Option<Sealed> {
        let place = Credential::place(&self.id, to, generation, &self.binding);
        Some(self.vault.seal(&place, self.fields.secret(from)?))
    }

    /// Whether it needs a token.
    pub(super) fn uses_tokens(&self) -> bool {
        self.credential.authorization_type.tokens != Tokens::None
    }

    /// Opens stored tokens.
    ///
    /// # Errors
    /// When they do not open for this credential and destination.
    pub(super) fn token(&self, stored: &StoredToken) -> Result<Token, Refusal> {
        let opened = |which, token: &Option<SealedToken>| {
            let token = token.as_ref().map(|token| {
                let place = token::place(&self.id, which, token.generation, &self.binding);
                open(self.vault, &place, &token.sealed)
            });
            token.transpose()
        };
        Ok(Token {
            access: opened(Which::Access, &stored.access)?,
            refresh: opened(Which::Refresh, &stored.refresh)?,
            facts: stored.facts.clone(),
        })
    }

    /// Seals new tokens behind `before`, whose refresh token is kept as it is when the new ones have none of their
    /// own.
    pub(super) fn seal(&self, token: &Token, before: Option<&StoredToken>, generation: i64) -> StoredToken {
        let same = |kept: &SealedToken| {
            let place = token::place(&self.id, Which::Refresh, kept.generation, &self.binding);
            let old = open(self.vault, &place, &kept.sealed).ok();
            matches!((old, &token.refresh), (Some(old), Some(new)) if old.expose() == new.expose())
        };
        let kept = before.and_then(|before| before.refresh.clone()).filter(same);
        StoredToken::seal(self.vault, &self.id, &self.binding, generation, (token, kept))
    }

    /// What a request goes out with.
    ///
    /// # Errors
    /// When a custom header cannot be sent as stored.
    pub(super) fn enter(
        &self,
        proof: Proof,
        used: Option<(&StoredToken, &Token)>,
        now: Timestamp,
    ) -> Result<Authorized, Refusal> {
        let access = Access::join(self.credential, proof, &self.fields).ok_or(Refusal::CredentialLocked)?;
        let token = used.and_then(|(stored, token)| {
            let generation = stored.access.as_ref()?.generation;
            Some(UsedToken { generation, ended: token.facts.has_ended(now) })
        });
        let scrubber = Arc::new(self.scrubber(used.map(|(_, token)| token)));
        Ok(Authorized { access, scrubber, token })
    }

    /// What a session on a file server is opened with.
    ///
    /// # Errors
    /// When the credential is for something else.
    pub(super) fn enter_session(&self, now: Timestamp) -> Result<SftpAccess, Refusal> {
        match self.authorizer.step(None, now) {
            Step::SignIn(login) => SftpAccess::join(self.credential, *login).ok_or(Refusal::CredentialLocked),
            Step::Apply(_) | Step::Fetch { .. } | Step::AskConsent => Err(Refusal::CredentialLocked),
        }
    }

    /// What a token request goes out with.
    ///
    /// # Errors
    /// As [`Opened::enter`].
    pub(super) fn enter_exchange(&self, exchange: &Exchange) -> Result<Access, Refusal> {
        Access::join_exchange(self.credential, exchange, &self.fields).ok_or(Refusal::CredentialLocked)
    }

    /// What connections for these requests show.
    ///
    /// # Errors
    /// When the client certificate is not as it was saved.
    pub(super) fn identity(&self, requests: SentWith) -> Result<Option<Identity>, Refusal> {
        let except = self.credential.left_out_of(requests);
        client_certificate::identity(&self.fields, except).map_err(|_| Refusal::CredentialLocked)
    }

    /// Finds the secrets of this credential, and of a token, in texts.
    pub(super) fn scrubber(&self, token: Option<&Token>) -> Scrubber {
        let tokens = token.into_iter().flat_map(|token| [&token.access, &token.refresh]).flatten();
        Scrubber::new(self.fields.secrets.values().chain(tokens).map(Secret::expose))
    }

    /// Finds in an answer of the token address what it was asked with and what it gave, besides the secrets of this
    /// credential and the tokens before.
    pub(super) fn scrubber_of_exchange(&self, exchange: &Exchange, tokens: &[Secret]) -> Scrubber {
        let known = self.fields.secrets.values().chain(&exchange.proofs).chain(tokens);
        Scrubber::new(known.map(Secret::expose))
    }

    /// The proof of a credential that needs no token, or whose token still serves.
    pub(super) fn step(&self, token: Option<&Token>, now: Timestamp) -> Step {
        self.authorizer.step(token, now)
    }
}

impl Engine {
    /// Which of some secrets are the ones that a credential has, each with its key. How long it takes does not tell how
    /// far two of them agree. One that does not open is another one.
    pub fn same_secrets(&self, credential: &Credential, sent: &[(&str, &Secret)]) -> Vec<String> {
        let (id, binding) = (credential.id.to_string(), credential.binding());
        let is_same = |(key, sent): &&(&str, &Secret)| {
            let Some(stored) = credential.secrets.get(*key) else { return false };
            let place = Credential::place(&id, key, stored.generation, &binding);
            let Ok(stored) = open(&self.vault, &place, &stored.sealed) else { return false };
            let hash = |secret: &Secret| digest(&SHA256, secret.expose().as_bytes());
            verify_slices_are_equal(hash(&stored).as_ref(), hash(sent).as_ref()).is_ok()
        };
        sent.iter().filter(is_same).map(|(key, _)| (*key).to_owned()).collect()
    }
}

/// What a webhook signs with now, the newest first. An old one that does not open is left out.
///
/// # Errors
/// When there is none, or the newest does not open.
pub(super) fn signing_keys(
    vault: &Vault,
    keys: &[SigningKey],
    now: Timestamp,
) -> Result<Vec<WebhookKey>, &'static str> {
    let own = Binding::of(&[]);
    let open = |key: &SigningKey| {
        let record = key.connector.to_string();
        let secret = vault.open(&signature::place(&record, key.signing, key.generation, &own), &key.sealed);
        secret.ok().and_then(|secret| WebhookKey::read(key.signing, &secret))
    };
    let mut in_use = keys.iter().filter(|key| key.is_in_use(now));
    let newest = in_use.next().ok_or("there is no signing key")?;
    let newest = open(newest).ok_or("the signing key does not open")?;
    Ok([newest].into_iter().chain(in_use.filter_map(open)).collect())
}

fn open(vault: &Vault, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, Refusal> {
    vault.open(place, sealed).map_err(|error| {
        tracing::error!(credential.id = place.record, field = place.field, %error, "a secret does not open");
        Refusal::CredentialLocked
    })
}
