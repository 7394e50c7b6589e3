//! The key ring: one text line per key, `csgkey1_{id}_{32 bytes Base64url}_{checksum}`. The first line seals.

use std::fmt;

use aws_lc_rs::digest;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use zeroize::Zeroizing;

use super::{KEY_BYTES, random_key};
use crate::hex::hex;

const PREFIX: &str = "csgkey1_";
const CHECKSUM_CHARS: usize = 8;

/// Why a text is not a key ring. The text itself is never repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// No line holds a key.
    #[error("the key ring holds no key")]
    Empty,
    /// A line without the form of a key.
    #[error("line {0} of the key ring is not a key: it does not start with csgkey1_")]
    NotAKey(usize),
    /// A line that was cut or changed.
    #[error("line {0} of the key ring is damaged or cut: its checksum does not fit")]
    Damaged(usize),
    /// Two lines with one id.
    #[error("line {0} of the key ring repeats an id")]
    Repeated(usize),
}

/// One key of the ring: a public id and 32 secret bytes.
pub struct RingKey {
    id: String,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl RingKey {
    /// A new key with a random id such as `k-7f3a91bc`.
    pub fn generate() -> Self {
        let bytes = random_key();
        let id = format!("k-{}", hex(&random_key()[..4]));
        Self { id, bytes }
    }

    /// The public id.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The line to keep: whoever has it can open every value sealed by this key.
    pub fn line(&self) -> Zeroizing<String> {
        let secret = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(self.bytes.as_slice()));
        let checksum = checksum(&self.id, &secret);
        Zeroizing::new(format!("{PREFIX}{}_{}_{checksum}", self.id, secret.as_str()))
    }

    fn parse(line: &str, number: usize) -> Result<Self, RingError> {
        let rest = line.strip_prefix(PREFIX).ok_or(RingError::NotAKey(number))?;
        let (id, rest) = rest.split_once('_').ok_or(RingError::Damaged(number))?;
        let (secret, given) = rest.rsplit_once('_').ok_or(RingError::Damaged(number))?;
        if checksum(id, secret) != given {
            return Err(RingError::Damaged(number));
        }
        let decoded =
            Zeroizing::new(BASE64_URL_SAFE_NO_PAD.decode(secret).map_err(|_| RingError::Damaged(number))?);
        let bytes: [u8; KEY_BYTES] = decoded.as_slice().try_into().map_err(|_| RingError::Damaged(number))?;
        Ok(Self { id: id.to_owned(), bytes: Zeroizing::new(bytes) })
    }
}

impl fmt::Debug for RingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RingKey({})", self.id)
    }
}

fn checksum(id: &str, secret: &str) -> String {
    let hash = digest::digest(&digest::SHA256, format!("{id}_{secret}").as_bytes());
    hex(hash.as_ref())[..CHECKSUM_CHARS].to_owned()
}

/// The keys at hand; never empty.
#[derive(Debug)]
pub struct KeyRing {
    keys: Vec<RingKey>,
}

impl KeyRing {
    /// A ring of one new key.
    pub fn generate() -> Self {
        Self { keys: vec![RingKey::generate()] }
    }

    /// Reads the lines of a ring; empty lines and lines that start with `#` are passed over.
    ///
    /// # Errors
    /// Names the line that is wrong, never its content.
    pub fn parse(text: &str) -> Result<Self, RingError> {
        let mut keys: Vec<RingKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = RingKey::parse(line, index + 1)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(RingError::Repeated(index + 1));
            }
            keys.push(key);
        }
        if keys.is_empty() {
            return Err(RingError::Empty);
        }
        Ok(Self { keys })
    }

    /// All keys, the sealing one first.
    pub fn keys(&self) -> &[RingKey] {
        &self.keys
    }

    /// The key that seals new values.
    pub fn sealing(&self) -> &RingKey {
        &self.keys[0]
    }
}
