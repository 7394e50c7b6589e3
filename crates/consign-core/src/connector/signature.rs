//! Signatures of webhook requests, by which a receiver knows that Consign sent them and nobody changed them: Standard
//! Webhooks 1.0. What is signed is `{webhook-id}.{webhook-timestamp}.{body}`, the bytes as they are sent.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{hmac, rand};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::target::Binding;
use crate::vault::Place;

const KEY_BYTES: usize = 32;
/// What the secret that both sides know begins with.
const SECRET_PREFIX: &str = "whsec_";
/// What a public key begins with.
const PUBLIC_PREFIX: &str = "whpk_";
/// So many keys of a webhook sign at most: the one in use, and those before it that have not ended.
pub const KEYS_MAX: usize = 3;
/// So many signatures of a request are looked at.
const GIVEN_MAX: usize = 16;
/// A receiver takes requests that are this old at most, in seconds.
pub const TOLERANCE_SECONDS: i64 = 300;

/// How the requests of a webhook are signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signing {
    /// Not at all.
    Off,
    /// With a secret that both sides know: HMAC-SHA256.
    Hmac,
    /// With a key pair of which the receiver knows the public half: Ed25519.
    Ed25519,
}

impl Signing {
    /// Words, in screen order.
    pub const ALL: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("hmac", Self::Hmac), ("ed25519", Self::Ed25519)];

    /// The stored and public word.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Hmac => "hmac",
            Self::Ed25519 => "ed25519",
        }
    }

    /// Reads the stored word.
    pub fn find(stored: &str) -> Option<Self> {
        Self::ALL.iter().find(|(word, _)| *word == stored).map(|(_, signing)| *signing)
    }
}

/// The text of a new key, to be sealed.
pub fn generate() -> Secret {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    rand::fill(bytes.as_mut_slice()).expect("the system gives random bytes");
    Secret::new(format!("{SECRET_PREFIX}{}", BASE64_STANDARD.encode(bytes.as_slice())))
}

/// Where the key of a webhook stands: tied to the webhook and to its kind, as receivers know it wherever they are.
pub fn place<'a>(connector: &'a str, signing: Signing, generation: i64, own: &'a Binding) -> Place<'a> {
    Place { table: "signing_key", record: connector, field: signing.kind(), generation, binding: own }
}

/// A key that is ready to sign.
pub enum WebhookKey {
    /// Of [`Signing::Hmac`].
    Hmac(Box<hmac::Key>),
    /// Of [`Signing::Ed25519`].
    Ed25519(Ed25519KeyPair),
}

impl WebhookKey {
    /// A key in its stored text; `None` when it is none.
    pub fn read(signing: Signing, text: &Secret) -> Option<Self> {
        let encoded = text.expose().strip_prefix(SECRET_PREFIX)?;
        let bytes = Zeroizing::new(BASE64_STANDARD.decode(encoded).ok()?);
        match signing {
            Signing::Off => None,
            Signing::Hmac => Some(Self::Hmac(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))),
            Signing::Ed25519 => Ed25519KeyPair::from_seed_unchecked(&bytes).ok().map(Self::Ed25519),
        }
    }

    /// One signature, with the version that tells its kind.
    fn sign(&self, content: &[u8]) -> String {
        match self {
            Self::Hmac(key) => format!("v1,{}", BASE64_STANDARD.encode(hmac::sign(key, content))),
            Self::Ed25519(pair) => format!("v1a,{}", BASE64_STANDARD.encode(pair.sign(content))),
        }
    }

    /// Whether one of these signatures is this key's. The content is gone through once, and compared in constant time.
    fn made_one_of(&self, content: &[u8], given: &[Given]) -> bool {
        let signature = match self {
            Self::Hmac(key) => hmac::sign(key, content).as_ref().to_vec(),
            // The same key makes the same signature of the same content (RFC 8032 section 5.1).
            Self::Ed25519(pair) => pair.sign(content).as_ref().to_vec(),
        };
        given.iter().any(|given| verify_slices_are_equal(&signature, &given.bytes).is_ok())
    }

    /// The public half; `None` where both sides know the key itself.
    pub fn public(&self) -> Option<String> {
        match self {
            Self::Hmac(_) => None,
            Self::Ed25519(pair) => {
                Some(format!("{PUBLIC_PREFIX}{}", BASE64_STANDARD.encode(pair.public_key().as_ref())))
            }
        }
    }
}

/// The value of `webhook-signature`: one signature of each key, in their order.
pub fn header(keys: &[WebhookKey], id: &str, seconds: i64, body: &[u8]) -> String {
    let content = content(id, &seconds.to_string(), body);
    keys.iter().map(|key| key.sign(&content)).collect::<Vec<_>>().join(" ")
}

fn content(id: &str, seconds: &str, body: &[u8]) -> Vec<u8> {
    let mut content = Vec::with_capacity(id.len() + seconds.len() + 2 + body.len());
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        content.extend_from_slice(part);
    }
    content
}

/// A signature that somebody received.
struct Given {
    bytes: Vec<u8>,
}

impl Given {
    fn read(text: &str) -> Result<Self, &'static str> {
        let (version, encoded) = text.split_once(',').ok_or("Each signature begins with v1, or v1a,")?;
        let length = match version {
            "v1" => 32,
            "v1a" => 64,
            _ => return Err("Each signature begins with v1, or v1a,"),
        };
        let bytes = BASE64_STANDARD
            .decode(encoded)
            .map_err(|_| "A signature is not Base64: a part of it is missing")?;
        if bytes.len() == length { Ok(Self { bytes }) } else { Err("A signature is too short or too long") }
    }
}

/// A request as somebody received it.
pub struct Received<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`.
    pub timestamp: &'a str,
    /// `webhook-signature`.
    pub signature: &'a str,
    /// The body.
    pub body: &'a [u8],
}

/// What a check of a signature found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is right; whether by the newest key, and how many seconds old it is.
    Right {
        /// By the key that is in use now.
        by_newest: bool,
        /// Between its timestamp and now.
        age_seconds: i64,
    },
    /// A header has not its form: which, and what is wrong.
    NotReadable(&'static str, &'static str),
    /// It would be right if the line breaks of the body were others: one more or none at its end, or CR LF.
    LineBreak,
    /// It would be right if the JSON of the body were written without blanks.
    Reformatted,
    /// It is of another key, or id, timestamp or body are not those that were signed.
    Wrong,
}

/// Whether a request carries a signature of one of these keys; the first is the newest.
pub fn check(keys: &[WebhookKey], received: &Received<'_>, now_seconds: i64) -> Checked {
    let id = received.id.trim();
    if id.is_empty() || id.contains('.') || id.contains(char::is_whitespace) {
        return Checked::NotReadable("webhook-id", "It is one word, such as evt_01J…");
    }
    let timestamp = received.timestamp.trim();
    let Ok(seconds) = timestamp.parse::<i64>() else {
        return Checked::NotReadable("webhook-timestamp", "It is a number of seconds since 1970");
    };
    if received.signature.split_whitespace().nth(GIVEN_MAX).is_some() {
        return Checked::NotReadable("webhook-signature", "There are more signatures than anybody makes");
    }
    let given: Result<Vec<_>, _> = received.signature.split_whitespace().map(Given::read).collect();
    let given = match given {
        Ok(given) if !given.is_empty() => given,
        Ok(_) => return Checked::NotReadable("webhook-signature", "Enter the signature"),
        Err(what) => return Checked::NotReadable("webhook-signature", what),
    };
    let by = |body: &[u8]| {
        let content = content(id, timestamp, body);
        keys.iter().position(|key| key.made_one_of(&content, &given))
    };
    if let Some(key) = by(received.body) {
        return Checked::Right { by_newest: key == 0, age_seconds: now_seconds - seconds };
    }
    let trimmed = received.body.trim_ascii_end();
    let with_returns = || String::from_utf8_lossy(received.body).replace("\r\n", "\n").replace('\n', "\r\n");
    if by(trimmed).is_some()
        || by(&[trimmed, b"\n"].concat()).is_some()
        || by(with_returns().as_bytes()).is_some()
    {
        return Checked::LineBreak;
    }
    let compact = serde_json::from_slice::<serde_json::Value>(received.body).ok();
    if compact.is_some_and(|value| by(value.to_string().as_bytes()).is_some()) {
        return Checked::Reformatted;
    }
    Checked::Wrong
}

#[cfg(test)]
mod tests;
