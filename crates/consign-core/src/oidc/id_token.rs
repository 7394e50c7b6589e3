//! The ID token: a signed statement of the provider about who signed in, for us, now, at our asking. OpenID Connect Core
//! 1.0 sections 2 and 3.1.3.7, RFC 7519, RFC 8725.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Map, Value};

use super::keys::{Algorithm, Keys, Verified};
use crate::time::Timestamp;
use crate::token::strict;

/// A token with a hundred groups is far smaller.
const TOKEN_BYTES_MAX: usize = 64 << 10;
/// OpenID Connect Core section 2.
const SUBJECT_CHARS_MAX: usize = 255;
/// How far two clocks may be apart.
const LEEWAY_SECONDS: f64 = 60.0;
/// More groups than anybody is in.
const GROUPS_MAX: usize = 2_000;

/// What is said about a person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Who it is: never given to anybody else by this provider.
    pub subject: String,
    /// Their address.
    pub email: Option<String>,
    /// Whether the provider made sure that it is theirs.
    pub email_verified: bool,
    /// Their name.
    pub name: Option<String>,
    /// The groups they are in; `None` when nothing is said about them.
    pub groups: Option<Vec<String>>,
}

/// What an ID token has to say.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The name of the provider.
    pub issuer: &'a str,
    /// Our name there.
    pub client_id: &'a str,
    /// What this browser was sent out with.
    pub nonce: &'a str,
}

/// Why it is not believed, to follow “what the provider says about you”.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotBelieved {
    /// It is no signed JWT.
    #[error("is no ID token: it {0}")]
    Form(&'static str),
    /// `none`, a shared secret, or something that is not verified here.
    #[error("is signed in a way that is not accepted")]
    Algorithm,
    /// None of the provider's keys is the one that it names.
    #[error("is signed with a key that the provider does not publish")]
    UnknownKey,
    /// It was changed, or somebody else made it.
    #[error("has a signature that is not right")]
    Signature,
    /// Another provider made it.
    #[error("comes from another issuer")]
    Issuer,
    /// It is for somebody else.
    #[error("is meant for another client")]
    Audience,
    /// It does not belong to this sign-in.
    #[error("belongs to another sign-in")]
    Nonce,
    /// It has ended, or is of the future.
    #[error("is not valid at the time of this server")]
    Clock,
    /// It does not say who.
    #[error("does not say who you are")]
    Subject,
}

impl Claims {
    /// Reads an ID token and judges it.
    ///
    /// # Errors
    /// Why it is not to be believed.
    pub fn of_token(
        token: &str,
        keys: &Keys,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Self, NotBelieved> {
        let said = signed(token, keys)?;
        let text = |key: &str| said.get(key).and_then(Value::as_str);
        if text("iss") != Some(expected.issuer) {
            return Err(NotBelieved::Issuer);
        }
        judge_audience(&said, expected.client_id)?;
        let nonce = text("nonce").unwrap_or_default().as_bytes();
        if verify_slices_are_equal(nonce, expected.nonce.as_bytes()).is_err() {
            return Err(NotBelieved::Nonce);
        }
        judge_times(&said, now)?;
        Self::read(&said)
    }

    /// Adds what the provider says elsewhere (OpenID Connect Core section 5.3). What the token says counts first.
    ///
    /// # Errors
    /// When it is about somebody else (section 5.3.2), or cannot be read.
    pub fn with_user_info(mut self, body: &[u8]) -> Result<Self, NotBelieved> {
        let more = Self::read(&strict::object(body).map_err(NotBelieved::Form)?)?;
        if more.subject != self.subject {
            return Err(NotBelieved::Subject);
        }
        if self.email.is_none() {
            (self.email, self.email_verified) = (more.email, more.email_verified);
        }
        self.name = self.name.or(more.name);
        self.groups = self.groups.or(more.groups);
        Ok(self)
    }

    /// The address, if the provider made sure of it.
    pub fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified)
    }

    /// Whether the person is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().flatten().any(|one| one == group)
    }

    fn read(said: &Map<String, Value>) -> Result<Self, NotBelieved> {
        let text = |key: &str| said.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let subject = text("sub").ok_or(NotBelieved::Subject)?;
        if subject.len() > SUBJECT_CHARS_MAX || subject.chars().any(char::is_control) {
            return Err(NotBelieved::Subject);
        }
        let groups = match said.get("groups") {
            Some(Value::Array(rows)) => {
                let texts = rows.iter().take(GROUPS_MAX).filter_map(Value::as_str);
                Some(texts.map(str::to_owned).collect())
            }
            Some(Value::String(one)) => Some(vec![one.clone()]),
            _ => None,
        };
        Ok(Self {
            subject: subject.to_owned(),
            email: text("email").map(str::to_owned),
            email_verified: said.get("email_verified") == Some(&Value::Bool(true)),
            name: text("name").map(str::to_owned),
            groups,
        })
    }
}

/// The content of a token whose signature is right.
fn signed(token: &str, keys: &Keys) -> Result<Map<String, Value>, NotBelieved> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(NotBelieved::Form("is too long"));
    }
    let (message, signature) = token.rsplit_once('.').ok_or(NotBelieved::Form("has no signature"))?;
    let (header, content) = message.split_once('.').ok_or(NotBelieved::Form("has no content"))?;
    let bytes = |part: &str| {
        BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| NotBelieved::Form("is not encoded as it should be"))
    };
    let header = strict::object(&bytes(header)?).map_err(NotBelieved::Form)?;
    let named = |key: &str| header.get(key).and_then(Value::as_str);
    // Whatever a token says that must be understood is not (RFC 7515 section 4.1.11).
    if header.contains_key("crit") || named("typ").is_some_and(|kind| !kind.eq_ignore_ascii_case("JWT")) {
        return Err(NotBelieved::Form("is of another kind"));
    }
    let algorithm = named("alg").and_then(Algorithm::find).ok_or(NotBelieved::Algorithm)?;
    match keys.verify(algorithm, named("kid"), message.as_bytes(), &bytes(signature)?) {
        Verified::Yes => strict::object(&bytes(content)?).map_err(NotBelieved::Form),
        Verified::No => Err(NotBelieved::Signature),
        Verified::NoSuchKey => Err(NotBelieved::UnknownKey),
    }
}

/// It is for us, and if it is for others too, or says so anyway, we are the one who asked.
fn judge_audience(said: &Map<String, Value>, client_id: &str) -> Result<(), NotBelieved> {
    let (ours, alone) = match said.get("aud") {
        Some(Value::String(one)) => (one == client_id, true),
        Some(Value::Array(all)) => (all.iter().any(|one| one.as_str() == Some(client_id)), all.len() == 1),
        _ => (false, false),
    };
    let asked = match said.get("azp") {
        Some(party) => party.as_str() == Some(client_id),
        None => alone,
    };
    if ours && asked { Ok(()) } else { Err(NotBelieved::Audience) }
}

/// It has an end, which has not come, and was not made in the future.
fn judge_times(said: &Map<String, Value>, now: Timestamp) -> Result<(), NotBelieved> {
    let time = |key: &str| said.get(key).and_then(Value::as_f64);
    // Exact for times far beyond those that a token may have.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a token are numbers of JSON")]
    let now = now.millis() as f64 / 1_000.0;
    let (Some(ends), Some(made)) = (time("exp"), time("iat")) else {
        return Err(NotBelieved::Form("does not say when it ends"));
    };
    let begins = match said.get("nbf") {
        Some(value) => value.as_f64().ok_or(NotBelieved::Form("does not say when it begins"))?,
        None => made,
    };
    let good = ends > now - LEEWAY_SECONDS && made < now + LEEWAY_SECONDS && begins < now + LEEWAY_SECONDS;
    if good { Ok(()) } else { Err(NotBelieved::Clock) }
}
