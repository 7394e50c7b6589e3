//! The configuration of a provider (OpenID Connect Discovery 1.0 section 3), and the request it is sent.

use aws_lc_rs::digest;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use form_urlencoded::Serializer;
use serde_json::{Map, Value};

use crate::catalog::Fault;
use crate::secret::Secret;
use crate::target::Address;
use crate::token::strict;

/// What is below an issuer.
const DISCOVERY: &str = "/.well-known/openid-configuration";
/// How the option is called in the sentences about it.
const ISSUER: &str = "The issuer";

/// A provider, as it describes itself.
#[derive(Debug)]
pub struct Provider {
    /// Its name for itself: what every ID token of it says.
    pub issuer: String,
    /// Where people go. The address is public.
    authorization: String,
    /// Where a code becomes an ID token.
    pub token: Address,
    /// Where its public keys are.
    pub keys: Address,
    /// Where it says more about a person.
    pub user_info: Option<Address>,
    /// It takes the client's secret in the body alone.
    pub secret_in_body: bool,
    /// It says on the way back who it is (RFC 9207).
    pub names_itself: bool,
    /// It has a scope for the groups of a person.
    knows_groups: bool,
}

/// Why a provider's description cannot be used, to follow “the provider”.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProviderFault {
    /// It is not what such a description is.
    #[error("answers with something that {0}")]
    Form(&'static str),
    /// It has another name than the one that is configured.
    #[error("calls itself {0}. auth.oidc.issuer must be exactly that")]
    OtherIssuer(String),
    /// An address is missing or cannot be used.
    #[error("has no usable {0}")]
    Address(&'static str),
    /// It cannot do what is needed.
    #[error("does not offer {0}")]
    Lacks(&'static str),
}

/// One sign-in, as the provider is asked for it.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// As whom we are known.
    pub client_id: &'a str,
    /// Where people come back.
    pub redirect_url: &'a str,
    /// Comes back in the address.
    pub state: &'a str,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// The proof key of RFC 7636; only its hash leaves now.
    pub verifier: &'a Secret,
    /// Whether the groups of the person are needed.
    pub groups: bool,
}

/// Where an issuer describes itself.
///
/// # Errors
/// When the issuer is no https address without query and fragment.
pub fn discovery(issuer: &str) -> Result<Address, Fault> {
    if issuer.contains(['?', '#']) {
        return Err(Fault::new("bad_form", format!("{ISSUER} must not have a query or fragment")));
    }
    Address::parse(ISSUER, &format!("{}{DISCOVERY}", issuer.strip_suffix('/').unwrap_or(issuer)))
}

impl Provider {
    /// Reads the description of the provider that is configured as `issuer`.
    ///
    /// # Errors
    /// When it is another one, or one that cannot be used.
    pub fn read(issuer: &str, body: &[u8]) -> Result<Self, ProviderFault> {
        let said = strict::object(body).map_err(ProviderFault::Form)?;
        match said.get("issuer").and_then(Value::as_str) {
            Some(name) if name == issuer => {}
            Some(name) => return Err(ProviderFault::OtherIssuer(name.chars().take(200).collect())),
            None => return Err(ProviderFault::Form("does not name its issuer")),
        }
        let authorization = text(&said, "authorization_endpoint");
        address(&said, "authorization_endpoint")?;
        if !offers(&said, "response_types_supported", "code", true) {
            return Err(ProviderFault::Lacks("the response type code"));
        }
        if !offers(&said, "code_challenge_methods_supported", "S256", true) {
            return Err(ProviderFault::Lacks("proof keys with S256 (PKCE)"));
        }
        let basic = offers(&said, "token_endpoint_auth_methods_supported", "client_secret_basic", true);
        Ok(Self {
            issuer: issuer.to_owned(),
            authorization: authorization.to_owned(),
            token: address(&said, "token_endpoint")?,
            keys: address(&said, "jwks_uri")?,
            user_info: match said.get("userinfo_endpoint") {
                Some(_) => Some(address(&said, "userinfo_endpoint")?),
                None => None,
            },
            secret_in_body: !basic
                && offers(&said, "token_endpoint_auth_methods_supported", "client_secret_post", false),
            names_itself: said.get("authorization_response_iss_parameter_supported")
                == Some(&Value::Bool(true)),
            knows_groups: offers(&said, "scopes_supported", "groups", false),
        })
    }

    /// Where a person is sent.
    pub fn departure(&self, ask: &Ask<'_>) -> String {
        let challenge = digest::digest(&digest::SHA256, ask.verifier.expose().as_bytes());
        let groups = if ask.groups && self.knows_groups { " groups" } else { "" };
        let query = Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", ask.client_id)
            .append_pair("redirect_uri", ask.redirect_url)
            .append_pair("scope", &format!("openid email profile{groups}"))
            .append_pair("state", ask.state)
            .append_pair("nonce", ask.nonce)
            .append_pair("code_challenge", &BASE64_URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256")
            .finish();
        let joint = if self.authorization.contains('?') { '&' } else { '?' };
        format!("{}{joint}{query}", self.authorization)
    }
}

fn text<'a>(said: &'a Map<String, Value>, key: &str) -> &'a str {
    said.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn address(said: &Map<String, Value>, key: &'static str) -> Result<Address, ProviderFault> {
    Address::parse(key, text(said, key)).map_err(|_| ProviderFault::Address(key))
}

/// Whether a list of the description has a word; `unsaid`: what it means when there is no such list.
fn offers(said: &Map<String, Value>, key: &str, word: &str, unsaid: bool) -> bool {
    match said.get(key).and_then(Value::as_array) {
        Some(words) => words.iter().any(|one| one.as_str() == Some(word)),
        None => unsaid,
    }
}
