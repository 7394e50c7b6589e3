//! Pinned host keys (RFC 4253 section 8, RFC 4255 for the fingerprint, sshd(8) for `known_hosts`): what a server must
//! show before anything is offered to it. Nothing is trusted on first use.

use std::fmt;

use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};

use crate::catalog::Fault;
use crate::target::SftpAddress;
use crate::time::Timestamp;

mod read;

/// The key of the pins in API, CLI and storage.
pub const FIELD: &str = "sftp_server_fingerprint";
/// Room for a change of keys, no more.
pub const PINS_MAX: usize = 4;
/// Shorter RSA keys are not accepted, of servers and of people.
pub const RSA_BITS_MIN: u32 = 2_048;
/// Shorter RSA keys are taken, with a word: NIST SP 800-57 part 1 sees 128 bits of strength from here on.
pub const RSA_BITS_GOOD: u32 = 3_072;

/// The families of host keys that a server may prove itself with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// RSA, with signatures by SHA-512 or SHA-256.
    Rsa,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// Ed25519.
    Ed25519,
}

impl KeyType {
    /// All, in the order in which they are offered.
    pub const ALL: &'static [Self] =
        &[Self::Rsa, Self::EcdsaP256, Self::EcdsaP384, Self::EcdsaP521, Self::Ed25519];

    /// The word before a fingerprint: the signature that is asked for first.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Rsa => "rsa-sha2-512",
            _ => self.key_kind(),
        }
    }

    /// The word before a public key, and within it.
    pub const fn key_kind(self) -> &'static str {
        match self {
            Self::Rsa => "ssh-rsa",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::Ed25519 => "ssh-ed25519",
        }
    }

    /// The family that a word belongs to.
    pub fn find(word: &str) -> Option<Self> {
        match word {
            "rsa-sha2-512" | "rsa-sha2-256" => Some(Self::Rsa),
            _ => Self::ALL.iter().copied().find(|family| family.key_kind() == word),
        }
    }
}

/// SHA-256 of a host key as it goes over the wire; two keys have different ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// That of a key, in its wire form.
    pub fn of(key: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, key);
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.as_ref());
        Self(bytes)
    }
}

/// `SHA256:` and 43 characters of Base64.
impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", BASE64_STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host key, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKey {
    /// Its family.
    pub key_type: KeyType,
    /// Its size in bits.
    pub bits: u32,
    /// Its wire form (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709 section 4).
    pub key: Vec<u8>,
}

impl HostKey {
    /// Reads a key in its wire form. `None` for keys that are not whole, or of no accepted family.
    pub fn parse(key: &[u8]) -> Option<Self> {
        let parsed = ssh_key::PublicKey::from_bytes(key).ok()?;
        let key_type = KeyType::find(parsed.algorithm().as_str())?;
        let bits = match parsed.key_data() {
            ssh_key::public::KeyData::Rsa(rsa) => rsa.key_size(),
            _ => match key_type {
                KeyType::Rsa | KeyType::EcdsaP256 | KeyType::Ed25519 => 256,
                KeyType::EcdsaP384 => 384,
                KeyType::EcdsaP521 => 521,
            },
        };
        Some(Self { key_type, bits, key: key.to_vec() })
    }

    /// SHA-256 of it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.key)
    }

    /// Whether it is too short to prove anything.
    pub fn is_weak(&self) -> bool {
        self.key_type == KeyType::Rsa && self.bits < RSA_BITS_MIN
    }

    /// Whether it is taken, but shorter than keys of today.
    pub fn is_short(&self) -> bool {
        self.key_type == KeyType::Rsa && self.bits < RSA_BITS_GOOD
    }

    /// As a line of a `.pub` file, without a comment.
    pub fn line(&self) -> String {
        format!("{} {}", self.key_type.key_kind(), BASE64_STANDARD.encode(&self.key))
    }
}

/// How a key that a server showed stands to those that are pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// It is one of them.
    Same,
    /// Another key of its family is pinned.
    Differs,
    /// None of its family is pinned.
    New,
}

impl Compared {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Same, Self::Differs, Self::New];

    /// As it is sent.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Differs => "differs",
            Self::New => "new",
        }
    }

    /// In words.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Same => "same as pinned",
            Self::Differs => "differs from the pinned key",
            Self::New => "new",
        }
    }

    /// The one that is sent so.
    pub fn find(kind: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.kind() == kind)
    }
}

/// Who said that a key is the right one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmed {
    /// The name of the person or API key.
    pub by: String,
    /// When, in milliseconds.
    pub at: i64,
    /// What it was compared with, in their words; empty when they did not say.
    pub compared_with: String,
}

impl Confirmed {
    /// When.
    pub fn time(&self) -> Timestamp {
        Timestamp::from_millis(self.at)
    }
}

/// One pinned host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostKeyPin {
    /// Its family; `None` while only a bare fingerprint is known.
    pub key_type: Option<KeyType>,
    /// What the key must hash to. It alone decides.
    pub fingerprint: Fingerprint,
    /// The key itself, when it was given.
    pub key: Option<Vec<u8>>,
    /// Who pinned it; `None` until it is saved.
    pub confirmed: Option<Confirmed>,
}

/// The line it is read from, in its shortest form: a public key line, or a fingerprint behind its type.
impl fmt::Display for HostKeyPin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key_type, &self.key) {
            (Some(family), Some(key)) => write!(f, "{} {}", family.key_kind(), BASE64_STANDARD.encode(key)),
            (Some(family), None) => write!(f, "{} {}", family.kind(), self.fingerprint),
            (None, _) => self.fingerprint.fmt(f),
        }
    }
}

/// One to four pinned host keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pins(Vec<HostKeyPin>);

/// A pin as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredPin {
    line: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    confirmed: Option<Confirmed>,
}

impl Pins {
    /// Reads pins as a person or program gives them: several lines, several forms. Those of `known_hosts` must be
    /// for `address`, when there is one.
    ///
    /// # Errors
    /// The sentence for the field.
    pub fn parse(text: &str, address: Option<&SftpAddress>) -> Result<Self, Fault> {
        read::pins(text, address).map(Self)
    }

    /// The pins, in the order they were given.
    pub fn iter(&self) -> impl Iterator<Item = &HostKeyPin> {
        self.0.iter()
    }

    /// How a key that a server showed stands to these.
    pub fn compare(&self, key: &HostKey) -> Compared {
        match self.matching(key.fingerprint()) {
            Some(_) => Compared::Same,
            None if self.iter().any(|pin| pin.key_type == Some(key.key_type)) => Compared::Differs,
            None => Compared::New,
        }
    }

    /// The pin that a key matches.
    pub fn matching(&self, fingerprint: Fingerprint) -> Option<&HostKeyPin> {
        self.0.iter().find(|pin| pin.fingerprint == fingerprint)
    }

    /// The families that are offered to the server, in the order of the offer; all of them, when one is not known.
    pub fn key_types(&self) -> Vec<KeyType> {
        let known: Option<Vec<_>> = self.0.iter().map(|pin| pin.key_type).collect();
        let asked = |family: &&KeyType| known.as_ref().is_none_or(|known| known.contains(family));
        KeyType::ALL.iter().filter(asked).copied().collect()
    }

    /// Whether the family of one of them is not known yet.
    pub fn has_unknown_type(&self) -> bool {
        self.0.iter().any(|pin| pin.key_type.is_none())
    }

    /// What the binding holds of them: all fingerprints, in an order of their own.
    pub fn binding(&self) -> String {
        let mut all: Vec<_> = self.0.iter().map(|pin| pin.fingerprint).collect();
        all.sort_unstable();
        all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// What is worth saying of those whose key is known, and no error.
    pub fn warning(&self) -> Option<String> {
        let keys = self.0.iter().filter_map(|pin| HostKey::parse(pin.key.as_deref()?));
        let short = keys.into_iter().find(HostKey::is_short)?;
        Some(format!(
            "The RSA host key has {} bits. Keys of today have 3072 or more; ask for one, or for an Ed25519 key.",
            short.bits
        ))
    }

    /// The lines they are read from.
    pub fn lines(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }

    /// Takes over what is known of pins that were there before, and notes who brings the others.
    pub fn confirm(&mut self, before: Option<&Self>, confirmed: &Confirmed) {
        for pin in &mut self.0 {
            let known = before.and_then(|before| before.matching(pin.fingerprint));
            pin.key_type = pin.key_type.or_else(|| known.and_then(|known| known.key_type));
            pin.key = pin.key.take().or_else(|| known.and_then(|known| known.key.clone()));
            pin.confirmed = known.map_or_else(|| Some(confirmed.clone()), |known| known.confirmed.clone());
        }
    }

    /// Notes the family of a key that matched. `false`, and no change, when it was known.
    pub fn learn(&mut self, fingerprint: Fingerprint, key_type: KeyType) -> bool {
        let unknown = |pin: &&mut HostKeyPin| pin.fingerprint == fingerprint && pin.key_type.is_none();
        let Some(pin) = self.0.iter_mut().find(unknown) else { return false };
        pin.key_type = Some(key_type);
        true
    }

    /// As they are stored, with who pinned them.
    pub fn to_stored(&self) -> String {
        let pins =
            self.0.iter().map(|pin| StoredPin { line: pin.to_string(), confirmed: pin.confirmed.clone() });
        serde_json::to_string(&pins.collect::<Vec<_>>()).expect("lines and names are JSON")
    }

    /// Reads stored pins; `None` when they are damaged.
    pub fn from_stored(text: &str) -> Option<Self> {
        let stored: Vec<StoredPin> = serde_json::from_str(text).ok()?;
        let lines: Vec<_> = stored.iter().map(|pin| pin.line.as_str()).collect();
        let mut pins = Self::parse(&lines.join("\n"), None).ok()?;
        if pins.0.len() != stored.len() {
            return None;
        }
        for (pin, stored) in pins.0.iter_mut().zip(stored) {
            pin.confirmed = stored.confirmed;
        }
        Some(pins)
    }
}

#[cfg(test)]
mod tests;
