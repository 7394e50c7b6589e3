//! The client certificate, which every type of the web takes: mutual TLS (RFC 8446 section 4.4.2) beside whatever else
//! lets us in, and the proof of a client at its token address (RFC 8705 section 2).

use crate::catalog::{Absent, Choice, Fault, Field, Fields, Input, Invalid};
use crate::credential::{Identity, SentWith};
use crate::secret::Secret;
use crate::sign::Chain;

/// The key of the certificate.
pub const CERTIFICATE_KEY: &str = "client_certificate";
/// The key of its private key among the secrets.
pub const PRIVATE_KEY: &str = "client_certificate_key";
/// The key of the choice which connections show it.
pub const SENT_WITH_KEY: &str = "client_certificate_sent_with";
/// What opens the private key: used when it is read, and not kept.
pub const PASSPHRASE: &str = "client_certificate_key_passphrase";

const HEADING: Option<&str> = Some("Client certificate");

/// The certificate.
pub(crate) const CERTIFICATE: Field = Field {
    key: CERTIFICATE_KEY,
    label: "Client certificate",
    hint: "Only if the tool asks for mutual TLS. PEM, from BEGIN to END: our certificate first, those of its authorities \
           behind it.",
    input: Input::ClientCertificate,
    under: HEADING,
    max_chars: crate::sign::CHAIN_CHARACTERS_MAX,
    ..Field::PLAIN
};

/// Its private key.
pub(crate) const KEY: Field = Field {
    key: PRIVATE_KEY,
    label: "Client certificate key",
    hint: "From BEGIN to END. PKCS#8, PKCS#1 or SEC1.",
    input: Input::ClientKey,
    under: HEADING,
    max_chars: crate::sign::CERTIFICATE_CHARACTERS_MAX,
    ..Field::PLAIN
};

/// Which connections show it; for types with a token request.
pub(crate) const SENT_WITH: Field = Field {
    key: SENT_WITH_KEY,
    label: "Client certificate sent with",
    input: Input::Choice(CONNECTIONS),
    prefill: SentWith::Both.kind(),
    under: HEADING,
    ..Field::PLAIN
};

const CONNECTIONS: &[Choice] = &[
    Choice { kind: SentWith::Both.kind(), label: SentWith::Both.label() },
    Choice { kind: SentWith::TokenRequest.kind(), label: SentWith::TokenRequest.label() },
    Choice { kind: SentWith::ApiRequest.kind(), label: SentWith::ApiRequest.label() },
];

/// What is wrong when the certificate has to prove the client at the token address.
pub(crate) fn must_prove_the_client(fields: &Fields) -> Option<Invalid> {
    if fields.text(CERTIFICATE_KEY).is_empty() {
        return Some(Fault::new("missing", "Add a client certificate").at(CERTIFICATE_KEY));
    }
    let sent_with = fields.text(SENT_WITH_KEY);
    let sentence = "The client certificate proves the client in the token request: send it there as well";
    (sent_with == SentWith::ApiRequest.kind()).then(|| Fault::new("not_sent", sentence).at(SENT_WITH_KEY))
}

/// What connections show, of complete fields; nothing where the certificate is said to go with `except`.
///
/// # Errors
/// The key of a field that is not there, or is not as it was judged.
pub fn identity(fields: &Fields, except: Option<SentWith>) -> Result<Option<Identity>, Absent> {
    let certificate = fields.text(CERTIFICATE_KEY);
    if certificate.is_empty() {
        return Ok(None);
    }
    let sent_with = SentWith::find(fields.text(SENT_WITH_KEY)).unwrap_or_default();
    if Some(sent_with) == except {
        return Ok(None);
    }
    let chain = Chain::stored(certificate).ok_or(Absent(CERTIFICATE_KEY))?;
    let key = fields.secret(PRIVATE_KEY).ok_or(Absent(PRIVATE_KEY))?;
    Ok(Some(Identity::new(chain, Secret::new(key.expose().to_owned()))))
}
