//! OAuth 2.0 - Client credentials: the client's own token, RFC 6749 section 4.4.

use std::time::Duration;

use super::oauth::{self, Client};
use super::*;
use crate::token::Grant;

/// When neither the tool nor anybody else says how long a token lives.
const LIFE: Duration = Duration::from_secs(300);

/// The authorization type *OAuth 2.0 - Client credentials*.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "oauth2_client_credentials",
    label: "OAuth 2.0 - Client credentials",
    protocol: Protocol::Https,
    address_is_secret: false,
    tokens: Tokens::Fetched,
    refusals_lock: false,
    fields: &[
        oauth::CLIENT_ID,
        oauth::CLIENT_SECRET,
        oauth::ACCESS_TOKEN_URL,
        oauth::SCOPE,
        oauth::AUTHENTICATION_INFORMATION,
        oauth::TOKEN_REQUESTS,
        oauth::TOKEN_LIFETIME,
        client_certificate::CERTIFICATE,
        client_certificate::KEY,
        client_certificate::SENT_WITH,
    ],
    check: oauth::check,
    warn: oauth::warn,
    parse: |fields| Ok(Box::new(ClientCredentials { client: Client::parse(fields)? })),
};

struct ClientCredentials {
    client: Client,
}

impl Authorizer for ClientCredentials {
    fn step(&self, token: Option<&Token>, now: Timestamp) -> Step {
        oauth::step(token, now, || Some(self.exchange()))
    }
}

impl ClientCredentials {
    /// RFC 6749 section 4.4.2.
    fn exchange(&self) -> Exchange {
        let scope = self.client.scope.as_str();
        let form = [("scope", scope)];
        let form = if scope.is_empty() { &[][..] } else { &form };
        self.client.exchange(Grant::ClientCredentials, form, Some(LIFE))
    }
}
