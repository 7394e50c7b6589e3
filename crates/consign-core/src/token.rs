//! Tokens: the request that fetches one, what its answer means, and how long a token is used (RFC 6749 sections 5
//! and 6). Nothing here touches the network.
//!
//! Every answer, however odd, is one of four: a token; *transient*, ask again later; *refused*, someone must look;
//! *grant ended*, a person must approve again. The text of an answer is never repeated: it may hold a token.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use form_urlencoded::byte_serialize;
use http::{HeaderName, HeaderValue};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::assertion::{self, Assertion, Ids};
use crate::redact::Scrubber;
use crate::secret::Secret;
use crate::sign::{SigningKey, Unusable};
use crate::target::Address;
use crate::time::Timestamp;

pub use stored::{SealedToken, StoredToken, Which, place};

mod stored;
pub mod strict;

/// An answer of a token endpoint is far shorter.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;
/// The longest access or refresh token.
const TOKEN_BYTES_MAX: usize = 16_384;
/// A longer life is a mistake, or a token that somebody will forget.
const LIFE_MAX: Duration = Duration::from_secs(30 * 86_400);
/// A token is not used in its last seconds: the request has to arrive, too.
const MARGIN: Duration = Duration::from_secs(30);
/// Lives shorter than this have a margin of a tenth.
const SHORT_LIFE: Duration = Duration::from_secs(300);
/// A token that lives shorter than this on arrival is used for a minute, so that it is not fetched in a loop.
const BORN_EXPIRED: Duration = Duration::from_secs(2);
/// See [`BORN_EXPIRED`].
const USED_AT_LEAST: Duration = Duration::from_secs(60);
/// The longest description of an error that is shown.
const DESCRIPTION_CHARS_MAX: usize = 300;
/// Stands for an error code that is none.
const UNUSUAL_CODE: &str = "an unusual code";

/// What a token request is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// RFC 6749 section 4.4.
    ClientCredentials,
    /// RFC 6749 section 4.1.3.
    AuthorizationCode,
    /// RFC 6749 section 6.
    RefreshToken,
    /// RFC 7522 section 2.1.
    Saml2Bearer,
}

impl Grant {
    /// The `grant_type` of the request.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::ClientCredentials => "client_credentials",
            Self::AuthorizationCode => "authorization_code",
            Self::RefreshToken => "refresh_token",
            Self::Saml2Bearer => "urn:ietf:params:oauth:grant-type:saml2-bearer",
        }
    }
}

/// How long a token lives whose answer does not say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The field *Token lifetime*.
    pub stated: Option<Duration>,
    /// When nothing else is known; `None`: until the tool refuses it.
    pub otherwise: Option<Duration>,
}

/// A token request, complete: a POST with a form.
#[derive(Debug)]
pub struct Exchange {
    /// Where it goes.
    pub to: Address,
    /// Parameters for the query of the address, encoded.
    pub query: Secret,
    /// How the client proves itself, when that is a header; marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The form; the whole of it is [`Exchange::form`].
    pub body: Secret,
    /// What in the form proves the grant, such as a code or a refresh token: to be hidden in what comes back.
    pub proofs: Vec<Secret>,
    /// What is signed anew for each request and goes into the form.
    pub assertion: Option<ToSign>,
    /// What it is made with.
    pub grant: Grant,
    /// The scope that was asked for.
    pub scope: String,
    /// For an answer without `expires_in`.
    pub life: Life,
}

/// The tokens of a credential, opened.
#[derive(Debug)]
pub struct Token {
    /// Lets a request in; `None` once it was refused or dropped.
    pub access: Option<Secret>,
    /// Fetches the next one.
    pub refresh: Option<Secret>,
    /// What may be shown.
    pub facts: TokenFacts,
}

/// What may be shown of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFacts {
    /// When it was fetched.
    pub obtained_at: Timestamp,
    /// When it ends; `None`: not before the tool refuses it.
    pub ends_at: Option<Timestamp>,
    /// What it may do, as the tool says; absent: as asked for (RFC 6749 section 5.1).
    pub scope: Option<String>,
    /// When the refresh token ends, if the tool says so.
    pub refresh_ends_at: Option<Timestamp>,
}

impl TokenFacts {
    /// Whether the access token may still be sent.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        let Some(ends_at) = self.ends_at else { return true };
        let life = ends_at.since(self.obtained_at);
        if life < BORN_EXPIRED {
            return now < self.obtained_at.plus(USED_AT_LEAST);
        }
        let margin = if life < SHORT_LIFE { life / 10 } else { MARGIN };
        now < ends_at.minus(margin)
    }

    /// Whether a new one should be fetched while this one still serves: after 80 % of its life.
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|ends_at| {
            let life = ends_at.since(self.obtained_at);
            life >= BORN_EXPIRED && now >= self.obtained_at.plus(life.mul_f64(0.8))
        })
    }

    /// Whether its time is over, so that a refusal may mean no more than that.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|ends_at| now >= ends_at)
    }
}

/// An answer as the transport read it.
#[derive(Clone, Copy)]
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// The `Content-Type`.
    pub content_type: Option<&'a str>,
    /// The body, up to [`ANSWER_BYTES_MAX`].
    pub body: &'a [u8],
    /// Whether that is all of it.
    pub whole: bool,
    /// The wait that the answer asks for.
    pub wait: Option<Duration>,
}

/// Why no token came. The reason is one line for people, without any text of the answer but its error code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Passing: ask again later.
    Transient {
        /// What was seen.
        reason: String,
        /// The wait that the answer asks for.
        wait: Option<Duration>,
    },
    /// Final, or wrong in itself.
    Refused {
        /// What was seen.
        reason: String,
        /// The error of the answer, in its own words.
        said: Option<OAuthError>,
    },
    /// The refresh token or code is no longer good.
    GrantEnded {
        /// What was seen.
        reason: String,
        /// The error of the answer, in its own words.
        said: Option<OAuthError>,
    },
}

impl TokenError {
    /// What was seen, in one line.
    pub fn reason(&self) -> &str {
        match self {
            Self::Transient { reason, .. }
            | Self::Refused { reason, .. }
            | Self::GrantEnded { reason, .. } => reason,
        }
    }

    /// The same without secrets: the other side may repeat what it was sent.
    pub fn scrubbed(self, scrubber: &Scrubber) -> Self {
        let hide = |text: String| scrubber.scrub_whole(&text);
        let said = |said: Option<OAuthError>| said.map(|said| said.scrubbed(scrubber));
        match self {
            Self::Transient { reason, wait } => Self::Transient { reason: hide(reason), wait },
            Self::Refused { reason, said: error } => {
                Self::Refused { reason: hide(reason), said: said(error) }
            }
            Self::GrantEnded { reason, said: error } => {
                Self::GrantEnded { reason: hide(reason), said: said(error) }
            }
        }
    }

    /// What the answer says in its own words; may be empty.
    pub fn description(&self) -> &str {
        match self {
            Self::Transient { .. } => "",
            Self::Refused { said, .. } | Self::GrantEnded { said, .. } => {
                said.as_ref().map_or("", |said| said.description.as_str())
            }
        }
    }

    /// The error code of the answer, if it had one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Transient { .. } => None,
            Self::Refused { said, .. } | Self::GrantEnded { said, .. } => {
                said.as_ref().map(|said| said.code.as_str())
            }
        }
    }
}

/// An error of RFC 6749 section 5.2 or 4.1.2.1, as the tool said it. Text, to be shown as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthError {
    /// `error`, such as `invalid_client`.
    pub code: String,
    /// `error_description`; it may repeat what was sent, so that only [`OAuthError::scrubbed`] is shown.
    pub description: String,
}

impl OAuthError {
    /// An error from its two texts; `None` when the code is not one (RFC 6749 appendix A.7).
    pub fn of(code: &str, description: &str) -> Option<Self> {
        let plain = |c: char| matches!(c, '\x20'..='\x7e') && c != '"' && c != '\\';
        if code.is_empty() || code.len() > 64 || !code.chars().all(plain) {
            return None;
        }
        // What is no word in small letters may be something that was sent, and codes are logged.
        let word = code.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let code = if word { code } else { UNUSUAL_CODE };
        let plain = description.chars().map(|c| if c.is_control() { ' ' } else { c });
        Some(Self { code: code.to_owned(), description: plain.collect() })
    }

    /// What may be shown of it, without secrets and cut: in this order, so that none is cut in half and shown.
    pub fn scrubbed(&self, scrubber: &Scrubber) -> Self {
        let same = scrubber.scrub_whole(&self.code) == self.code;
        let code = if same { self.code.clone() } else { UNUSUAL_CODE.to_owned() };
        let description = scrubber.scrub_whole(&self.description);
        Self { code, description: description.chars().take(DESCRIPTION_CHARS_MAX).collect() }
    }
}

/// An assertion that is not signed yet, and how it travels.
#[derive(Debug)]
pub struct ToSign {
    /// What it says.
    pub assertion: Assertion,
    /// The private key, as it is stored.
    pub key: Secret,
    /// Base64 as RFC 7522 section 2.1 asks for it, or the one with `+`, `/` and padding.
    pub url_safe: bool,
}

impl ToSign {
    /// The assertion for one request, encoded and as XML: its signature takes about a millisecond.
    fn signed(&self, now: Timestamp) -> Result<(Secret, Secret), Unusable> {
        let key = SigningKey::stored(&self.key)?;
        let xml = Secret::new(self.assertion.signed(&Ids::random(), now, &key)?);
        let bytes = xml.expose().as_bytes();
        let encoded = Secret::new(if self.url_safe {
            BASE64_URL_SAFE_NO_PAD.encode(bytes)
        } else {
            BASE64_STANDARD.encode(bytes)
        });
        Ok((encoded, xml))
    }
}

impl Exchange {
    /// The form of one request, and what an answer must not repeat of the assertion that was signed for it: all of it,
    /// encoded and not, and its signature alone. With an assertion it is another form each time, and must not be sent
    /// twice.
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn form(&self, now: Timestamp) -> Result<(Secret, Vec<Secret>), Unusable> {
        let body = self.body.expose();
        let Some(to_sign) = &self.assertion else { return Ok((Secret::new(body.to_owned()), Vec::new())) };
        let (signed, xml) = to_sign.signed(now)?;
        // Behind `grant_type`, in front of the client and the rows.
        let (grant, rest) = body.split_at(body.find('&').unwrap_or(body.len()));
        let encoded = byte_serialize(signed.expose().as_bytes());
        let mut form = Zeroizing::new(String::with_capacity(body.len() + signed.expose().len() * 5 / 4 + 16));
        form.push_str(grant);
        form.push_str("&assertion=");
        encoded.for_each(|part| form.push_str(part));
        form.push_str(rest);
        let signature = assertion::signature_value(xml.expose()).map(|value| Secret::new(value.to_owned()));
        let proofs = [signed, xml].into_iter().chain(signature).collect();
        Ok((Secret::new(std::mem::take(&mut *form)), proofs))
    }

    /// What an answer means. `before` is the token that this one follows, `seen` the life that this address gave
    /// last.
    ///
    /// # Errors
    /// Why there is no token.
    pub fn read(
        &self,
        answer: Answer<'_>,
        before: Option<Token>,
        seen: Option<Duration>,
        now: Timestamp,
    ) -> Result<Token, TokenError> {
        let body = match answer.status {
            200 | 201 => body(answer)?,
            300..=399 => {
                return Err(refused(format!(
                    "the token address answered {} and sends us on; redirects are not followed",
                    answer.status
                )));
            }
            408 | 425 | 429 | ..200 | 500.. => {
                // RFC 6749 knows no 5xx errors, but some tools say `invalid_grant` with one.
                if let Some(ended) =
                    self.said(&answer).filter(|error| matches!(error, TokenError::GrantEnded { .. }))
                {
                    return Err(ended);
                }
                let reason = format!("the token address answered {}", answer.status);
                return Err(TokenError::Transient { reason, wait: answer.wait });
            }
            202..=299 => {
                if answer.body.is_empty() {
                    return Err(transient("the token address gave an empty answer"));
                }
                return Err(refused(format!("the token address answered {} without a token", answer.status)));
            }
            status => {
                return Err(self.said(&answer).unwrap_or_else(|| {
                    let page = if is_html(&answer) { " with a web page" } else { "" };
                    refused(format!("the token address answered {status}{page}"))
                }));
            }
        };
        if let Some(error) = self.error_in(&body) {
            return Err(error);
        }
        self.token(&body, before, seen, now)
    }

    fn token(
        &self,
        body: &Map<String, Value>,
        before: Option<Token>,
        seen: Option<Duration>,
        now: Timestamp,
    ) -> Result<Token, TokenError> {
        let access = match body.get("access_token") {
            Some(Value::String(text)) if is_token(text) => Secret::new(text.clone()),
            Some(_) => return Err(refused("the token answer holds no usable access token".to_owned())),
            None => return Err(refused("the token answer holds no access token".to_owned())),
        };
        match body.get("token_type") {
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("bearer") => {}
            Some(_) => {
                return Err(refused("the token answer has a token type that is not Bearer".to_owned()));
            }
            None => return Err(refused("the token answer has no token type".to_owned())),
        }
        let refresh = match body.get("refresh_token") {
            _ if matches!(self.grant, Grant::ClientCredentials | Grant::Saml2Bearer) => None,
            None | Some(Value::Null) => before.and_then(|before| before.refresh),
            Some(Value::String(text)) if text.is_empty() => {
                let reason = "the tool answered with an empty refresh token".to_owned();
                return Err(TokenError::GrantEnded { reason, said: None });
            }
            Some(Value::String(text)) if is_token(text) => Some(Secret::new(text.clone())),
            Some(_) => return Err(refused("the token answer holds no usable refresh token".to_owned())),
        };
        let life = match body.get("expires_in") {
            None | Some(Value::Null) => self.life.stated.or(seen).or(self.life.otherwise),
            Some(value) => {
                let life = span(value);
                Some(life.ok_or_else(|| refused("the token answer says no usable expires_in".to_owned()))?)
            }
        };
        let refresh_life = ["refresh_token_expires_in", "refresh_expires_in"]
            .into_iter()
            .find_map(|key| span(body.get(key)?))
            // Zero means for ever where a tool sends it at all.
            .filter(|life| !life.is_zero());
        let scope = body.get("scope").and_then(Value::as_str).map(str::to_owned);
        Ok(Token {
            access: Some(access),
            refresh,
            facts: TokenFacts {
                obtained_at: now,
                ends_at: life.map(|life| now.plus(life.min(LIFE_MAX))),
                scope,
                refresh_ends_at: refresh_life.map(|life| now.plus(life)),
            },
        })
    }

    /// The error in the body of a refusal, if it is one that OAuth knows.
    fn said(&self, answer: &Answer<'_>) -> Option<TokenError> {
        self.error_in(&strict::object(answer.body).ok()?)
    }

    fn error_in(&self, body: &Map<String, Value>) -> Option<TokenError> {
        let code = body.get("error")?.as_str()?;
        let description = body.get("error_description").and_then(Value::as_str).unwrap_or_default();
        let said = OAuthError::of(code, description)?;
        let ended = matches!(self.grant, Grant::RefreshToken | Grant::AuthorizationCode);
        Some(if said.code == "invalid_grant" && ended {
            let what = if self.grant == Grant::RefreshToken { "refresh token" } else { "code" };
            let reason = format!("{what} was refused (invalid_grant)");
            TokenError::GrantEnded { reason, said: Some(said) }
        } else {
            let reason = format!("the token address answered {}", said.code);
            TokenError::Refused { reason, said: Some(said) }
        })
    }
}

/// The object in the body of a success.
fn body(answer: Answer<'_>) -> Result<Map<String, Value>, TokenError> {
    if !answer.whole {
        let reason = if answer.body.len() >= ANSWER_BYTES_MAX { "is too long" } else { "was cut off" };
        return Err(transient(&format!("the token answer {reason}")));
    }
    if answer.body.iter().all(u8::is_ascii_whitespace) {
        return Err(transient("the token address gave an empty answer"));
    }
    if is_html(&answer) {
        return Err(refused("the token address shows a web page, not a token".to_owned()));
    }
    strict::object(answer.body).map_err(|fault| refused(format!("the token answer {fault}")))
}

fn transient(reason: &str) -> TokenError {
    TokenError::Transient { reason: reason.to_owned(), wait: None }
}

fn refused(reason: String) -> TokenError {
    TokenError::Refused { reason, said: None }
}

fn is_html(answer: &Answer<'_>) -> bool {
    answer.content_type.is_some_and(|kind| kind.trim_start().to_ascii_lowercase().starts_with("text/html"))
        || answer.body.trim_ascii_start().first() == Some(&b'<')
}

/// 1 to 16,384 visible ASCII characters.
fn is_token(text: &str) -> bool {
    (1..=TOKEN_BYTES_MAX).contains(&text.len()) && text.bytes().all(|byte| matches!(byte, 0x21..=0x7e))
}

/// Seconds as a number or a text of digits; a number below zero is none.
fn span(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text)
            if (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            text.parse().ok()?
        }
        _ => return None,
    };
    Some(Duration::from_secs_f64(seconds.clamp(0.0, LIFE_MAX.as_secs_f64() * 1_000.0)))
}

#[cfg(test)]
mod tests;
