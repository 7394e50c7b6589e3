//! OAuth 2.0 – SAML: an assertion of our own, signed anew for each token request, is traded for an access token. RFC
//! 7522, and RFC 7521 for the client beside it.

use std::time::Duration;

use super::oauth::{self, Client};
use super::*;
use crate::assertion::{self, Assertion};
use crate::catalog::stored_rows;
use crate::sign;
use crate::target::Address;
use crate::token::{Grant, ToSign};

/// When neither the tool nor anybody else says how long a token lives.
const LIFE: Duration = Duration::from_secs(300);
/// Enough for every tool known; an assertion of this size still fits into every form.
const ATTRIBUTE_BYTES_MAX: usize = 16 << 10;
const ATTRIBUTES_MAX: usize = 50;

/// The heading over what most tools need no other value for.
const MORE: Option<&str> = Some("More SAML settings");

/// SAML 2.0 core section 8.3: what `emailAddress` stands for, and the others.
const FORMATS: &[Choice] = &[
    Choice { kind: "unspecified", label: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified" },
    Choice { kind: "emailAddress", label: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress" },
    Choice { kind: "persistent", label: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" },
    Choice { kind: "transient", label: "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" },
    Choice { kind: "entity", label: "urn:oasis:names:tc:SAML:2.0:nameid-format:entity" },
    Choice { kind: "X509SubjectName", label: "urn:oasis:names:tc:SAML:1.1:nameid-format:X509SubjectName" },
    Choice {
        kind: "WindowsDomainQualifiedName",
        label: "urn:oasis:names:tc:SAML:1.1:nameid-format:WindowsDomainQualifiedName",
    },
];

/// SAML 2.0 authentication context, section 3.4.
const CONTEXTS: &[Choice] = &[
    Choice { kind: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified", label: "unspecified" },
    Choice {
        kind: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
        label: "PasswordProtectedTransport",
    },
    Choice { kind: "urn:oasis:names:tc:SAML:2.0:ac:classes:X509", label: "X509" },
    Choice { kind: "urn:oasis:names:tc:SAML:2.0:ac:classes:PreviousSession", label: "PreviousSession" },
];

const ENCODINGS: &[Choice] =
    &[Choice { kind: "base64url", label: "base64url" }, Choice { kind: "base64", label: "base64" }];

const SWITCH: &[Choice] = &[Choice { kind: "on", label: "On" }, Choice { kind: "off", label: "Off" }];

const PLACEMENTS: &[Choice] = &[
    Choice { kind: "none", label: "None" },
    Choice { kind: "header", label: "Header" },
    Choice { kind: "body", label: "Body" },
    Choice { kind: "header_raw", label: "Header, not encoded" },
    Choice { kind: oauth::BY_CERTIFICATE, label: "Client certificate (tls_client_auth)" },
];

/// There unless nothing proves the client.
const WITH_CLIENT: Option<When> = Some(When { field: "authentication_information", is_not: &["none"] });
/// The same, unless a certificate proves it.
const WITH_SECRET: Option<When> =
    Some(When { field: "authentication_information", is_not: &["none", oauth::BY_CERTIFICATE] });

/// The authorization type *OAuth 2.0 – SAML*.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "oauth2_saml_bearer",
    label: "OAuth 2.0 – SAML",
    protocol: Protocol::Https,
    address_is_secret: false,
    tokens: Tokens::Fetched,
    refusals_lock: false,
    fields: &[
        Field {
            key: "certificate",
            label: "Certificate",
            hint: "The tool uses the certificate to check our signature. The private key stays here.",
            input: Input::Certificate("private_key"),
            missing: Some("Add a certificate or create one"),
            max_chars: sign::CERTIFICATE_CHARACTERS_MAX,
            ..Field::PLAIN
        },
        Field {
            key: "private_key",
            label: "Private key",
            input: Input::CertificateKey,
            missing: Some("Add the private key that belongs to this certificate"),
            max_chars: sign::CERTIFICATE_CHARACTERS_MAX,
            ..Field::PLAIN
        },
        Field {
            key: "name_id",
            label: "Name ID",
            hint: "The user or object we act as, in the form the tool expects.",
            missing: Some("Enter the Name ID"),
            max_chars: 256,
            rule: |text| assertion::judge_name("Name ID", text),
            ..Field::PLAIN
        },
        Field {
            key: "recipient",
            label: "Recipient",
            hint: "The tool's token address. We send the assertion there.",
            input: Input::Address,
            missing: Some("Enter the Recipient"),
            binds: true,
            rule: |text| Address::parse("Recipient", text).map(drop),
            ..Field::PLAIN
        },
        Field {
            key: "issuer",
            label: "Issuer",
            hint: "Who signs. Usually the address of this server.",
            prefill: crate::catalog::PUBLIC_URL,
            missing: Some("Enter the Issuer"),
            max_chars: 512,
            rule: |text| assertion::judge_name("Issuer", text),
            ..Field::PLAIN
        },
        Field {
            key: "audience",
            label: "Audience",
            hint: "Often the token address or the tool's entity ID.",
            missing: Some("Enter the Audience"),
            max_chars: 512,
            rule: |text| assertion::judge_name("Audience", text),
            ..Field::PLAIN
        },
        Field {
            // A client ID in the header does not keep S/4HANA from asking for it in the form.
            input: Input::Rows(&Rows { reserved_while_filled: &[], ..oauth::PARAMETERS }),
            ..oauth::TOKEN_REQUESTS
        },
        Field {
            key: "saml_attributes",
            label: "SAML Attributes",
            hint: "Values the tool asks for inside the assertion. Check the tool's documentation for the optional \
                   values it needs.",
            input: Input::Rows(&Rows {
                what: "attribute",
                secrets: false,
                query: false,
                rows_max: ATTRIBUTES_MAX,
                value_chars_max: 1_024,
                names: Names::Text,
                bytes_max: ATTRIBUTE_BYTES_MAX,
                reserved: &[],
                reserved_while_filled: &[],
            }),
            ..Field::PLAIN
        },
        Field {
            key: "name_id_format",
            label: "Name ID format",
            hint: "One of these, or a URN.",
            input: Input::Suggested(FORMATS),
            prefill: "unspecified",
            missing: Some("Enter the Name ID format"),
            max_chars: 256,
            under: MORE,
            rule: |text| format_urn(text).map(drop),
            ..Field::PLAIN
        },
        Field {
            key: "name_qualifier",
            label: "Name qualifier",
            hint: "Where the Name ID is from, if the tool asks for it.",
            max_chars: 256,
            under: MORE,
            rule: |text| assertion::judge_name("Name qualifier", text),
            ..Field::PLAIN
        },
        Field {
            key: "authn_context_class_ref",
            label: "Authentication context",
            input: Input::Suggested(CONTEXTS),
            prefill: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
            missing: Some("Enter the Authentication context"),
            max_chars: 512,
            under: MORE,
            rule: |text| assertion::judge_name("Authentication context", text),
            ..Field::PLAIN
        },
        Field {
            key: "assertion_encoding",
            label: "Assertion encoding",
            hint: "base64url is what the standard asks for; some tools want base64.",
            input: Input::Choice(ENCODINGS),
            prefill: "base64url",
            missing: Some("Select base64url or base64"),
            under: MORE,
            ..Field::PLAIN
        },
        Field {
            key: "embed_certificate",
            label: "Include the certificate",
            input: Input::Choice(SWITCH),
            prefill: "on",
            missing: Some("Select On or Off"),
            under: MORE,
            ..Field::PLAIN
        },
        Field {
            key: "assertion_lifetime_seconds",
            label: "Assertion lifetime",
            hint: "Seconds, from 60 to 600.",
            prefill: "300",
            missing: Some("Enter a number from 60 to 600"),
            under: MORE,
            rule: |text| match text.parse::<u32>() {
                Ok(60..=600) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(()),
                _ => Err(Fault::new("out_of_range", "Enter a number from 60 to 600")),
            },
            ..Field::PLAIN
        },
        Field {
            hint: "Only if it differs from Recipient.",
            missing: None,
            under: MORE,
            ..oauth::ACCESS_TOKEN_URL
        },
        Field {
            input: Input::Choice(PLACEMENTS),
            prefill: "none",
            missing: Some("Select None, Header or Body"),
            under: MORE,
            ..oauth::AUTHENTICATION_INFORMATION
        },
        Field { when: WITH_CLIENT, under: MORE, ..oauth::CLIENT_ID },
        Field { when: WITH_SECRET, under: MORE, ..oauth::CLIENT_SECRET },
        client_certificate::CERTIFICATE,
        client_certificate::KEY,
        client_certificate::SENT_WITH,
    ],
    check,
    warn,
    parse: |fields| Ok(Box::new(SamlBearer::parse(fields)?)),
};

/// The URN of a format.
fn format_urn(text: &str) -> Result<String, Fault> {
    if let Some(known) = FORMATS.iter().find(|known| known.kind == text) {
        return Ok(known.label.to_owned());
    }
    let is_urn = text.to_ascii_lowercase().starts_with("urn:") && text.bytes().all(|b| b.is_ascii_graphic());
    if is_urn {
        return Ok(text.to_owned());
    }
    let kinds: Vec<_> = FORMATS.iter().map(|known| known.kind).collect();
    Err(Fault::new("unknown", format!("Name ID format must be one of {}, or a URN", kinds.join(", "))))
}

/// Rules between the fields: in the body the client ID is ours to set.
fn check(fields: &Fields) -> Vec<Invalid> {
    let mut invalid = oauth::check(fields);
    let rows = stored_rows(fields.text("oauth_token_requests")).unwrap_or_default();
    if fields.text("authentication_information") == "body" {
        let ours = rows.iter().enumerate().filter(|(_, row)| row.name == "client_id");
        invalid.extend(ours.map(|(index, _)| {
            let fault = Fault::new("reserved", "“client_id” is set automatically");
            fault.at(format!("oauth_token_requests/{index}/name"))
        }));
    }
    invalid
}

fn warn(fields: &Fields) -> Vec<Warning> {
    let mut warnings = oauth::warn(fields);
    let apart = recipient_apart(fields.text("access_token_url"), fields.text("recipient"));
    warnings.extend(apart.map(|message| Warning { field: "access_token_url", message }));
    warnings
}

/// What is worth saying when the assertion goes to another address than the one it is made out to. RFC 7522 section 3,
/// point 5: the token address checks that the Recipient is itself.
pub fn recipient_apart(token_url: &str, recipient: &str) -> Option<String> {
    let apart = !token_url.is_empty() && !recipient.is_empty() && token_url != recipient;
    apart.then(|| {
        format!(
            "The assertion is sent to {token_url} and made out to {recipient}. Most tools accept one only at the address \
             that it is made out to. Leave Access Token URL empty unless the tool's documentation names both."
        )
    })
}

struct SamlBearer {
    client: Client,
    assertion: Assertion,
    key: Secret,
    url_safe: bool,
}

impl SamlBearer {
    fn parse(fields: &Fields) -> Result<Self, Absent> {
        let address =
            if fields.text("access_token_url").is_empty() { "recipient" } else { "access_token_url" };
        let client = Client::at(fields, address)?;
        let key = fields.secret("private_key").ok_or(Absent("private_key"))?;
        let certificate = fields.text("certificate");
        let base64: String = certificate.lines().filter(|line| !line.starts_with("-----")).collect();
        if base64.is_empty() {
            return Err(Absent("certificate"));
        }
        let seconds = fields.text("assertion_lifetime_seconds").parse();
        let text = |key: &str| fields.text(key).to_owned();
        let assertion = Assertion {
            issuer: text("issuer"),
            name_id: text("name_id"),
            name_id_format: format_urn(fields.text("name_id_format"))
                .map_err(|_| Absent("name_id_format"))?,
            name_qualifier: text("name_qualifier"),
            recipient: text("recipient"),
            audience: text("audience"),
            authn_context: text("authn_context_class_ref"),
            attributes: attributes(fields)?,
            lifetime: seconds.map(Duration::from_secs).map_err(|_| Absent("assertion_lifetime_seconds"))?,
            certificate: (fields.text("embed_certificate") != "off").then_some(base64),
        };
        Ok(Self {
            client,
            assertion,
            key: Secret::new(key.expose().to_owned()),
            url_safe: fields.text("assertion_encoding") != "base64",
        })
    }

    /// RFC 7522 section 2.1. The assertion is not signed yet: it is when it is sent, and only then.
    fn exchange(&self) -> Exchange {
        let to_sign = ToSign {
            assertion: self.assertion.clone(),
            key: Secret::new(self.key.expose().to_owned()),
            url_safe: self.url_safe,
        };
        let exchange = self.client.exchange(Grant::Saml2Bearer, &[], Some(LIFE));
        Exchange { assertion: Some(to_sign), ..exchange }
    }
}

impl Authorizer for SamlBearer {
    fn step(&self, token: Option<&Token>, now: Timestamp) -> Step {
        oauth::step(token, now, || Some(self.exchange()))
    }

    fn assertion(&self) -> Option<Assertion> {
        Some(self.assertion.clone())
    }
}

/// Rows of one name are one attribute with several values, where the first of them stands.
fn attributes(fields: &Fields) -> Result<Vec<(String, Vec<String>)>, Absent> {
    let mut attributes: Vec<(String, Vec<String>)> = Vec::new();
    for row in fields.parameters("saml_attributes")? {
        let value = row.value.expose().to_owned();
        match attributes.iter_mut().find(|(name, _)| *name == row.name) {
            Some((_, values)) => values.push(value),
            None => attributes.push((row.name, vec![value])),
        }
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests;
