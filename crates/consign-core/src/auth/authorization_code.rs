//! OAuth 2.0 - Authorization code: a person grants access, tokens are renewed from then on. RFC 6749 sections 4.1 and
//! 6, with the proof key of RFC 7636.

use super::oauth::{self, Client, Consent};
use super::*;

/// Parameters of the approval page that Consign sets itself.
const RESERVED: &[&str] = &[
    "response_type",
    "client_id",
    "client_secret",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
];

const PROOF_KEYS: &[Choice] =
    &[Choice { kind: "s256", label: "On (S256)" }, Choice { kind: "off", label: "Off" }];

/// The authorization type *OAuth 2.0 - Authorization code*.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "oauth2_authorization_code",
    label: "OAuth 2.0 - Authorization code",
    protocol: Protocol::Https,
    address_is_secret: false,
    tokens: Tokens::Granted,
    refusals_lock: false,
    fields: &[
        oauth::CLIENT_ID,
        oauth::CLIENT_SECRET,
        Field {
            key: "authorization_code_url",
            label: "Authorization code URL",
            hint: "Where people approve access.",
            input: Input::Address,
            missing: Some("Enter the Authorization code URL"),
            binds: true,
            rule: |text| oauth::without_secrets("Authorization code URL", text),
            ..Field::PLAIN
        },
        Field { label: "Access token URL", ..oauth::ACCESS_TOKEN_URL },
        oauth::SCOPE,
        oauth::AUTHENTICATION_INFORMATION,
        Field {
            key: "authorization_parameters",
            label: "Authorization parameters",
            hint: "Extra parameters of the approval page, such as audience or prompt.",
            input: Input::Rows(&Rows {
                what: "parameter",
                secrets: false,
                query: false,
                rows_max: 20,
                value_chars_max: 2_048,
                names: Names::Parameter,
                bytes_max: oauth::PARAMETER_BYTES_MAX,
                reserved: RESERVED,
                reserved_while_filled: &[],
            }),
            ..Field::PLAIN
        },
        oauth::TOKEN_REQUESTS,
        oauth::TOKEN_LIFETIME,
        Field {
            key: "pkce",
            label: "Proof key (PKCE)",
            hint: "Switch off only if the tool refuses it.",
            input: Input::Choice(PROOF_KEYS),
            prefill: "s256",
            missing: Some("Select On or Off"),
            ..Field::PLAIN
        },
        client_certificate::CERTIFICATE,
        client_certificate::KEY,
        client_certificate::SENT_WITH,
    ],
    check: oauth::check,
    warn: |fields| {
        let mut warnings = oauth::warn(fields);
        if fields.text("pkce") == "off" {
            let message = "Without a proof key a stolen code is easier to misuse.".to_owned();
            warnings.push(Warning { field: "pkce", message });
        }
        warnings
    },
    parse: |fields| {
        Ok(Box::new(AuthorizationCode {
            consent: Consent {
                client: Client::parse(fields)?,
                authorization_url: fields.text("authorization_code_url").to_owned(),
                parameters: fields.parameters("authorization_parameters")?,
                proof_key: fields.text("pkce") != "off",
            },
        }))
    },
};

struct AuthorizationCode {
    consent: Consent,
}

impl Authorizer for AuthorizationCode {
    fn step(&self, token: Option<&Token>, now: Timestamp) -> Step {
        let refresh = token.and_then(|token| token.refresh.as_ref());
        oauth::step(token, now, || refresh.map(|refresh| self.consent.client.renewal(refresh)))
    }

    fn consent(&self) -> Option<&Consent> {
        Some(&self.consent)
    }
}
