//! What the OAuth 2.0 grants share (RFC 6749): fields, how the client proves itself at the token address, the token
//! request, the use of the token, and the browser's part of the code flow.

use std::time::Duration;

use aws_lc_rs::{digest, rand};
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use form_urlencoded::byte_serialize;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::*;
use crate::catalog::{Parameter, SentIn};
use crate::target::Address;
use crate::token::{Grant, Life};

/// Mutual TLS proves the client, RFC 8705 section 2.1.
pub(super) const BY_CERTIFICATE: &str = "tls_client_auth";

/// Where the client credentials travel; RFC 6749 section 2.3.1 and what tools made of it.
const PLACEMENTS: &[Choice] = &[
    Choice { kind: "header", label: "Header" },
    Choice { kind: "body", label: "Body" },
    Choice { kind: "header_raw", label: "Header, not encoded" },
    Choice { kind: BY_CERTIFICATE, label: "Client certificate (tls_client_auth)" },
];

/// Twenty rows of the longest values take less.
pub(super) const PARAMETER_BYTES_MAX: usize = 256 << 10;

/// Parameters of a token request that Consign sets itself.
pub(super) const RESERVED: &[&str] = &[
    "grant_type",
    "assertion",
    "client_assertion",
    "client_assertion_type",
    "client_secret",
    "code",
    "code_verifier",
    "redirect_uri",
    "refresh_token",
];

/// Those of them that prove a grant.
const PROOFS: &[&str] = &["assertion", "client_assertion", "code", "code_verifier", "refresh_token"];

pub(super) const CLIENT_ID: Field = Field {
    key: "client_id",
    label: "Client ID",
    missing: Some("Enter the client ID"),
    max_chars: 512,
    rule: |text| visible(text, "Client ID must use plain characters"),
    ..Field::PLAIN
};

pub(super) const CLIENT_SECRET: Field = Field {
    key: "client_secret",
    label: "Client secret",
    input: Input::Secret,
    missing: Some("Enter the client secret"),
    when: Some(When { field: "authentication_information", is_not: &[BY_CERTIFICATE] }),
    rule: |text| {
        let copied = "Client secret must use plain characters. Check for a line break copied with it";
        visible(text, copied)
    },
    ..Field::PLAIN
};

pub(super) const ACCESS_TOKEN_URL: Field = Field {
    key: "access_token_url",
    label: "Access Token URL",
    hint: "We ask here for a new token when the current one ends.",
    input: Input::Address,
    missing: Some("Enter the Access Token URL"),
    binds: true,
    rule: |text| without_secrets("Access Token URL", text),
    ..Field::PLAIN
};

pub(super) const SCOPE: Field = Field {
    key: "scope",
    label: "Scope",
    hint: "What the token may do. Separate several with a space.",
    rule: scope,
    ..Field::PLAIN
};

pub(super) const AUTHENTICATION_INFORMATION: Field = Field {
    key: "authentication_information",
    label: "Authentication information",
    hint: "Where the client ID and client secret travel in the token request.",
    input: Input::Choice(PLACEMENTS),
    prefill: "header",
    missing: Some("Select Header or Body"),
    ..Field::PLAIN
};

pub(super) const TOKEN_REQUESTS: Field = Field {
    key: "oauth_token_requests",
    label: "OAuth Token Requests",
    hint: "Extra parameters of the token request, such as client_id or company_id.",
    input: Input::Rows(&PARAMETERS),
    ..Field::PLAIN
};

/// Extra parameters of a token request.
pub(super) const PARAMETERS: Rows = Rows {
    what: "parameter",
    secrets: true,
    query: true,
    rows_max: 20,
    value_chars_max: 2_048,
    names: Names::Parameter,
    bytes_max: PARAMETER_BYTES_MAX,
    reserved: RESERVED,
    reserved_while_filled: &["client_id", "scope"],
};

pub(super) const TOKEN_LIFETIME: Field = Field {
    key: "token_lifetime_seconds",
    label: "Token lifetime",
    hint: "Only if the tool does not say how long a token lasts.",
    rule: |text| match text.parse::<u32>() {
        Ok(1..=31_536_000) if !text.starts_with('+') => Ok(()),
        _ => Err(Fault::new("out_of_range", "Enter a number of seconds from 1 to 31,536,000")),
    },
    ..Field::PLAIN
};

/// An address whose query holds no secret: addresses are stored and shown as they are.
pub(super) fn without_secrets(label: &str, text: &str) -> Result<(), Fault> {
    Address::parse(label, text)?;
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let Some(name) = names.into_iter().find(|name| names_a_secret(name)) else { return Ok(()) };
    let belongs = match name.to_ascii_lowercase().as_str() {
        "client_secret" => "Enter it in the field Client secret",
        known if RESERVED.contains(&known) => "Remove it: it is set automatically",
        _ => {
            "Put it into a row of OAuth Token Requests that is marked as a secret and sent in the query \
             (sent_in: query)"
        }
    };
    let shown: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    let sentence = format!("{label} must not include “{shown}”, because the address is shown. {belongs}");
    Err(Fault::new("secret_in_address", sentence))
}

/// Whether the value of a parameter of this name is a secret, as far as names tell: its last word says so.
fn names_a_secret(name: &str) -> bool {
    const SECRET: &[&str] = &[
        "secret",
        "password",
        "passwd",
        "passphrase",
        "pwd",
        "token",
        "key",
        "apikey",
        "assertion",
        "sig",
        "signature",
        "credential",
        "credentials",
    ];
    let mut words = String::new();
    for (place, c) in name.char_indices() {
        let new =
            place > 0 && c.is_ascii_uppercase() && !name[..place].ends_with(|c: char| c.is_ascii_uppercase());
        match c {
            c if c.is_ascii_alphanumeric() && new => words.extend([' ', c.to_ascii_lowercase()]),
            c if c.is_ascii_alphanumeric() => words.push(c.to_ascii_lowercase()),
            _ => words.push(' '),
        }
    }
    words.split_whitespace().next_back().is_some_and(|last| SECRET.contains(&last))
}

/// RFC 6749 appendix A: VSCHAR.
fn visible(text: &str, sentence: &str) -> Result<(), Fault> {
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Ok(());
    }
    Err(Fault::new("bad_characters", sentence))
}

/// RFC 6749 section 3.3.
fn scope(text: &str) -> Result<(), Fault> {
    if text.bytes().all(|byte| matches!(byte, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
        return Ok(());
    }
    Err(Fault::new("bad_characters", "Scope must not include quotation marks or backslashes"))
}

/// Rules between the fields of a client.
pub(super) fn check(fields: &Fields) -> Vec<Invalid> {
    let colon =
        fields.text("authentication_information") == "header_raw" && fields.text("client_id").contains(':');
    let fault = || Fault::new("bad_characters", "Client ID must not include a colon (:)").at("client_id");
    let mut invalid: Vec<_> = colon.then(fault).into_iter().collect();
    if fields.text("authentication_information") == BY_CERTIFICATE {
        invalid.extend(client_certificate::must_prove_the_client(fields));
    }
    invalid
}

/// What often goes wrong with a client, and is no error.
pub(super) fn warn(fields: &Fields) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let placement = fields.text("authentication_information");
    if placement == "header" {
        let secret = fields.secret("client_secret").map_or("", Secret::expose);
        let typed = [
            ("client_secret", "client secret", secret),
            ("client_id", "client ID", fields.text("client_id")),
        ];
        let found = typed.into_iter().map(|(field, what, text)| (field, what, special(text)));
        warnings.extend(found.filter(|(_, _, list)| !list.is_empty()).map(|(field, what, list)| Warning {
            field,
            message: format!(
                "The {what} has special characters ({list}). In the header they are URL-encoded, as the OAuth \
                 standard asks. If the tool answers 400 or 401, test with Body."
            ),
        }));
    }
    if placement == "body" {
        let message = "Body works, but the OAuth standard prefers Header (RFC 6749, section 2.3.1). \
                       Use Body only if the tool needs it.";
        warnings.push(Warning { field: "authentication_information", message: message.to_owned() });
    }
    let scope = fields.text("scope");
    if scope.contains(',') {
        let message = format!("Scopes are separated with spaces. Is “{scope}” one scope?");
        warnings.push(Warning { field: "scope", message });
    }
    warnings
}

/// The characters that the form encoding changes, each once, in their order: which ones tells nothing that helps to
/// guess a secret, and whoever sees them typed it just now.
fn special(text: &str) -> String {
    let mut found: Vec<char> = Vec::new();
    for c in text.chars() {
        if !c.is_ascii_alphanumeric() && !"*-._".contains(c) && !found.contains(&c) {
            found.push(c);
        }
    }
    let named = found.into_iter().map(|c| if c == ' ' { "space".to_owned() } else { c.to_string() });
    named.collect::<Vec<_>>().join(" ")
}

/// A client at a token address.
pub(super) struct Client {
    id: String,
    secret: Option<Secret>,
    to: String,
    placement: Placement,
    parameters: Vec<Parameter>,
    lifetime: Option<Duration>,
    pub(super) scope: String,
}

/// The choice *Authentication information*.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Placement {
    Header,
    HeaderRaw,
    Body,
    Certificate,
    None,
}

impl Client {
    pub(super) fn parse(fields: &Fields) -> Result<Self, Absent> {
        Self::at(fields, "access_token_url")
    }

    /// A client whose token address is in this field.
    pub(super) fn at(fields: &Fields, address: &'static str) -> Result<Self, Absent> {
        let placement = match fields.text("authentication_information") {
            "header" => Placement::Header,
            "header_raw" => Placement::HeaderRaw,
            "body" => Placement::Body,
            "none" => Placement::None,
            BY_CERTIFICATE => Placement::Certificate,
            _ => return Err(Absent("authentication_information")),
        };
        let secret = match placement {
            Placement::None | Placement::Certificate => None,
            Placement::Header | Placement::HeaderRaw | Placement::Body => {
                let secret = fields.secret("client_secret").ok_or(Absent("client_secret"))?;
                Some(Secret::new(secret.expose().to_owned()))
            }
        };
        Address::parse("Access Token URL", fields.text(address)).map_err(|_| Absent(address))?;
        Ok(Self {
            id: fields.text("client_id").to_owned(),
            secret,
            to: fields.text(address).to_owned(),
            placement,
            parameters: fields.parameters("oauth_token_requests")?,
            lifetime: fields.text("token_lifetime_seconds").parse().ok().map(Duration::from_secs),
            scope: fields.text("scope").to_owned(),
        })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// A token request: `form` first, then the client, then the rows in their order.
    pub(super) fn exchange(&self, grant: Grant, form: &[(&str, &str)], life: Option<Duration>) -> Exchange {
        let mut body = Pairs::default();
        body.push("grant_type", grant.kind());
        form.iter().for_each(|(name, value)| body.push(name, value));
        let mut headers = Vec::new();
        let secret = self.secret.as_ref().map_or("", Secret::expose);
        match self.placement {
            Placement::Header => {
                let (id, secret) = (form_encoded(&self.id), form_encoded(secret));
                headers.push((AUTHORIZATION, basic(&Zeroizing::new(format!("{}:{}", *id, *secret)))));
            }
            Placement::HeaderRaw => {
                headers.push((AUTHORIZATION, basic(&Zeroizing::new(format!("{}:{secret}", self.id)))));
            }
            Placement::Body => {
                body.push("client_id", &self.id);
                body.push("client_secret", secret);
            }
            // RFC 8705 section 2: the rest is in the handshake.
            Placement::Certificate => body.push("client_id", &self.id),
            Placement::None => {}
        }
        let mut query = Pairs::default();
        for parameter in &self.parameters {
            let part = match parameter.sent_in {
                SentIn::Body => &mut body,
                SentIn::Query => &mut query,
            };
            part.push(&parameter.name, parameter.value.expose());
        }
        let proofs = form.iter().filter(|(name, _)| PROOFS.contains(name));
        Exchange {
            to: Address::parse("Access Token URL", &self.to).expect("it was read before"),
            query: query.into_secret(),
            headers,
            body: body.into_secret(),
            proofs: proofs.map(|(_, value)| Secret::new((*value).to_owned())).collect(),
            assertion: None,
            grant,
            scope: self.scope.clone(),
            life: Life { stated: self.lifetime, otherwise: life },
        }
    }

    /// The renewal of RFC 6749 section 6; the scope stays what was granted.
    pub(super) fn renewal(&self, refresh: &Secret) -> Exchange {
        self.exchange(Grant::RefreshToken, &[("refresh_token", refresh.expose())], None)
    }
}

/// `Authorization: Bearer …`, RFC 6750 section 2.1, when there is an access token.
pub(super) fn bearer(token: &Token) -> Option<Proof> {
    let header = Secret::new(format!("Bearer {}", token.access.as_ref()?.expose()));
    Some(Proof::header(AUTHORIZATION, crate::header::sensitive(&header)?))
}

/// What the grants have in common: use a token while it serves, fetch the next one in time.
pub(super) fn step(token: Option<&Token>, now: Timestamp, fetch: impl FnOnce() -> Option<Exchange>) -> Step {
    let serving = token.filter(|token| token.facts.is_usable(now));
    let proof = serving.and_then(bearer);
    let due = serving.is_some_and(|token| token.facts.is_due(now));
    match (proof, due) {
        (Some(proof), false) => Step::Apply(proof),
        (Some(proof), true) => match fetch() {
            Some(exchange) => Step::Fetch { exchange: Box::new(exchange), meanwhile: Some(proof) },
            None => Step::Apply(proof),
        },
        (None, _) => match fetch() {
            Some(exchange) => Step::Fetch { exchange: Box::new(exchange), meanwhile: None },
            None => Step::AskConsent,
        },
    }
}

/// How a person grants access: the browser's part of RFC 6749 section 4.1.
pub struct Consent {
    pub(super) client: Client,
    pub(super) authorization_url: String,
    pub(super) parameters: Vec<Parameter>,
    pub(super) proof_key: bool,
}

/// One asking for consent.
#[derive(Debug)]
pub struct Ask {
    /// Where the tool sends the person back to.
    pub redirect_url: String,
    /// Ties the answer to this asking (RFC 6749 section 10.12).
    pub state: Secret,
    /// The proof key (RFC 7636 section 4.1).
    pub verifier: Secret,
}

impl Ask {
    /// A new asking, with 256 random bits each for state and proof key.
    pub fn new(redirect_url: String) -> Self {
        Self { redirect_url, state: random(), verifier: random() }
    }
}

impl Consent {
    /// The address that the browser goes to: RFC 6749 section 4.1.1, RFC 7636 section 4.3.
    pub fn authorization_url(&self, ask: &Ask) -> String {
        let mut query = Pairs::default();
        query.push("response_type", "code");
        query.push("client_id", self.client.id());
        query.push("redirect_uri", &ask.redirect_url);
        if !self.client.scope.is_empty() {
            query.push("scope", &self.client.scope);
        }
        query.push("state", ask.state.expose());
        if self.proof_key {
            query.push("code_challenge", &challenge(&ask.verifier));
            query.push("code_challenge_method", "S256");
        }
        for parameter in &self.parameters {
            query.push(&parameter.name, parameter.value.expose());
        }
        let address = &self.authorization_url;
        let joint = match address.contains('?') {
            false => "?",
            true if address.ends_with(['?', '&']) => "",
            true => "&",
        };
        format!("{address}{joint}{}", query.into_secret().expose())
    }

    /// The host that the browser goes to, with its port where that is not 443.
    pub fn host(&self) -> String {
        let address = Address::parse("Authorization code URL", &self.authorization_url);
        address.map(|address| address.origin().authority()).unwrap_or_default()
    }

    /// The scope that is asked for.
    pub fn scope(&self) -> &str {
        &self.client.scope
    }

    /// Turns the code into tokens: RFC 6749 section 4.1.3.
    pub fn redeem(&self, code: &Secret, ask: &Ask) -> Exchange {
        let mut form = vec![("code", code.expose()), ("redirect_uri", ask.redirect_url.as_str())];
        if self.proof_key {
            form.push(("code_verifier", ask.verifier.expose()));
        }
        self.client.exchange(Grant::AuthorizationCode, &form, None)
    }
}

/// RFC 7636 section 4.2.
fn challenge(verifier: &Secret) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.expose().as_bytes()))
}

fn random() -> Secret {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    rand::fill(&mut *bytes).expect("the system has randomness");
    Secret::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes))
}

fn basic(pair: &str) -> HeaderValue {
    let value = Secret::new(format!("Basic {}", BASE64_STANDARD.encode(pair)));
    crate::header::sensitive(&value).expect("Base64 is a valid header value")
}

/// application/x-www-form-urlencoded, RFC 6749 appendix B.
fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(text.len() * 3));
    byte_serialize(text.as_bytes()).for_each(|part| encoded.push_str(part));
    encoded
}

/// Names and values as a form or a query.
#[derive(Default)]
struct Pairs(Zeroizing<String>);

impl Pairs {
    fn push(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push('&');
        }
        self.0.push_str(&form_encoded(name));
        self.0.push('=');
        self.0.push_str(&form_encoded(value));
    }

    fn into_secret(mut self) -> Secret {
        Secret::new(std::mem::take(&mut *self.0))
    }
}

#[cfg(test)]
mod tests;
