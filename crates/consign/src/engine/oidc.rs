//! What is asked of the OpenID provider that people sign in with: its description, its keys, and who a code stands for.
//! OpenID Connect Core 1.0 section 3.1.3, over the one way out, without redirects.
//!
//! The keys are read anew for each sign-in, and once more for a key that is not among them: a provider that changes its
//! keys is followed at once, and one that takes a key back is too.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use consign_core::connector::Message;
use consign_core::credential::Access;
use consign_core::oidc::{self, Claims, Expected, Keys, NotBelieved, Provider, ProviderFault};
use consign_core::secret::Secret;
use consign_core::target::{Address, RemotePath};
use consign_core::token::{ANSWER_BYTES_MAX, strict};
use consign_transport::Limits;
use form_urlencoded::{Serializer, byte_serialize};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::Engine;

/// A person waits for each of these requests.
const LIMITS: Limits = Limits {
    timeout: Duration::from_secs(15),
    head_timeout: Some(Duration::from_secs(10)),
    answer_bytes_max: ANSWER_BYTES_MAX * 4,
};
/// Of what a provider says for people.
const SHOWN_CHARS_MAX: usize = 300;

/// Who we are at the provider, and what this sign-in began with.
#[derive(Debug)]
pub struct Redeem<'a> {
    /// As whom we are known.
    pub client_id: &'a str,
    /// How we prove it.
    pub client_secret: Option<&'a Secret>,
    /// Where the person came back.
    pub redirect_url: &'a str,
    /// What the person brought.
    pub code: &'a Secret,
    /// The proof key.
    pub verifier: &'a Secret,
    /// What the ID token has to repeat.
    pub nonce: &'a str,
    /// Whether the groups of the person are needed.
    pub groups: bool,
}

/// Why a provider did not tell who somebody is.
#[derive(Debug, thiserror::Error)]
pub enum OidcFault {
    /// It was not reached; what was seen, a whole sentence.
    #[error("{0}")]
    Unreached(String),
    /// It answered something else than it should.
    #[error("the provider answered {status} at its {place}")]
    Status {
        /// The status.
        status: u16,
        /// Where.
        place: &'static str,
    },
    /// Its description cannot be used.
    #[error("the provider {0}")]
    Provider(#[from] ProviderFault),
    /// Something else of it cannot be read.
    #[error("the {0} of the provider {1}")]
    Form(&'static str, &'static str),
    /// It did not take the code; its own words.
    #[error("the provider refused the code: {0}")]
    Refused(String),
    /// Its word cannot be believed.
    #[error("what the provider says about you {0}")]
    NotBelieved(#[from] NotBelieved),
}

/// One request: where, how, and with which proof.
struct Call<'a> {
    place: &'static str,
    to: &'a Address,
    method: Method,
    authorization: Option<Secret>,
    form: String,
}

impl Engine {
    /// Reads how a provider describes itself.
    ///
    /// # Errors
    /// When it is not reached, or cannot be used.
    pub async fn read_provider(&self, issuer: &str) -> Result<Provider, OidcFault> {
        let place = "description";
        let address = oidc::discovery(issuer).map_err(|_| ProviderFault::Address("issuer"))?;
        let body = self.read(place, &address, None).await?;
        Ok(Provider::read(issuer, &body)?)
    }

    /// Asks who a code stands for, and makes sure of the answer.
    ///
    /// # Errors
    /// When the provider does not say, or is not believed.
    pub async fn redeem_sign_in(
        &self,
        provider: &Provider,
        redeem: &Redeem<'_>,
    ) -> Result<Claims, OidcFault> {
        let (id_token, access_token) = self.tokens_of(provider, redeem).await?;
        let expected =
            Expected { issuer: &provider.issuer, client_id: redeem.client_id, nonce: redeem.nonce };
        let mut keys = self.read_keys(provider).await?;
        let mut judged = Claims::of_token(id_token.expose(), &keys, &expected, self.now());
        if judged == Err(NotBelieved::UnknownKey) {
            // What answers for the keys may be a moment behind what signs with them.
            keys = self.read_keys(provider).await?;
            judged = Claims::of_token(id_token.expose(), &keys, &expected, self.now());
        }
        let claims = judged?;
        let complete = claims.email.is_some() && (claims.groups.is_some() || !redeem.groups);
        let (Some(address), Some(token), false) = (&provider.user_info, access_token, complete) else {
            return Ok(claims);
        };
        let authorization = Secret::new(format!("Bearer {}", token.expose()));
        let more = self.read("user information", address, Some(authorization)).await?;
        Ok(claims.with_user_info(&more)?)
    }

    async fn read_keys(&self, provider: &Provider) -> Result<Keys, OidcFault> {
        let place = "keys";
        let body = self.read(place, &provider.keys, None).await?;
        Keys::read(&body).map_err(|fault| OidcFault::Form(place, fault))
    }

    /// The ID token that a code stands for, and the access token that came with it.
    async fn tokens_of(
        &self,
        provider: &Provider,
        redeem: &Redeem<'_>,
    ) -> Result<(Secret, Option<Secret>), OidcFault> {
        let place = "token address";
        let (form, authorization) = token_request(provider, redeem);
        let call = Call { place, to: &provider.token, method: Method::POST, authorization, form };
        let (status, body) = self.call(call).await?;
        let said = strict::object(&body);
        if status != 200 {
            let said = said.unwrap_or_default();
            let text = |key: &str| said.get(key).and_then(Value::as_str).unwrap_or_default();
            return Err(match text("error") {
                "" => OidcFault::Status { status, place },
                error => OidcFault::Refused(shown(error, text("error_description"))),
            });
        }
        let said = said.map_err(|fault| OidcFault::Form("token answer", fault))?;
        let token =
            |key: &str| said.get(key).and_then(Value::as_str).map(|token| Secret::new(token.to_owned()));
        let id_token = token("id_token").ok_or(OidcFault::Form("token answer", "holds no ID token"))?;
        Ok((id_token, token("access_token")))
    }

    /// A document of the provider.
    async fn read(
        &self,
        place: &'static str,
        to: &Address,
        authorization: Option<Secret>,
    ) -> Result<Bytes, OidcFault> {
        let call = Call { place, to, method: Method::GET, authorization, form: String::new() };
        match self.call(call).await? {
            (200, body) => Ok(body),
            (status, _) => Err(OidcFault::Status { status, place }),
        }
    }

    async fn call(&self, call: Call<'_>) -> Result<(u16, Bytes), OidcFault> {
        let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
            (ACCEPT, HeaderValue::from_static("application/json")),
            (USER_AGENT, HeaderValue::from_static(concat!("Consign/", env!("CARGO_PKG_VERSION")))),
        ];
        if call.method == Method::POST {
            let form = "application/x-www-form-urlencoded";
            headers.push((CONTENT_TYPE, HeaderValue::from_static(form)));
        }
        let proof = match &call.authorization {
            Some(proof) => {
                let value = HeaderValue::from_str(proof.expose())
                    .map_err(|_| OidcFault::Form("access token", "has characters that cannot be sent"))?;
                vec![(AUTHORIZATION, value)]
            }
            None => Vec::new(),
        };
        let access = Access {
            origin: call.to.origin().clone(),
            headers: proof,
            path: Some(call.to.tail_with("")),
            identity: None,
        };
        let message = Message { method: call.method, path: RemotePath::root(), headers };
        let sent = self.network.send(&access, &message, call.form.into(), &LIMITS, self.now()).await;
        match sent.answer {
            Some(answer) if answer.whole => Ok((answer.status, answer.body)),
            Some(_) => Err(OidcFault::Form(call.place, "is too long, or ends early")),
            None => Err(OidcFault::Unreached(sent.detail)),
        }
    }
}

/// What is sent for a code: the form, and the proof in the header.
fn token_request(provider: &Provider, redeem: &Redeem<'_>) -> (String, Option<Secret>) {
    let mut form = Serializer::new(String::new());
    form.append_pair("grant_type", "authorization_code")
        .append_pair("code", redeem.code.expose())
        .append_pair("redirect_uri", redeem.redirect_url)
        .append_pair("code_verifier", redeem.verifier.expose());
    let header = redeem.client_secret.filter(|_| !provider.secret_in_body);
    if header.is_none() {
        form.append_pair("client_id", redeem.client_id);
        if let Some(secret) = redeem.client_secret {
            form.append_pair("client_secret", secret.expose());
        }
    }
    (form.finish(), header.map(|secret| basic(redeem.client_id, secret)))
}

/// Name and secret, encoded as a form before they are joined (RFC 6749 section 2.3.1).
fn basic(client_id: &str, secret: &Secret) -> Secret {
    let encoded = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    let both = format!("{}:{}", encoded(client_id), encoded(secret.expose()));
    Secret::new(format!("Basic {}", BASE64_STANDARD.encode(both)))
}

/// What a provider says went wrong, cut, and without what would change a line.
pub fn shown(error: &str, description: &str) -> String {
    let joint = if description.is_empty() { "" } else { ": " };
    let whole = format!("{error}{joint}{description}");
    whole.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}
