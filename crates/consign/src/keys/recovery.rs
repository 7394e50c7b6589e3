//! The recovery file: the whole key ring, sealed with a passphrase, to be kept away from the server. Text, so that it can
//! be printed: version, salt, nonce and ciphertext in Base64 between two lines.
//!
//! The key is made of the passphrase by Argon2id (RFC 9106) and seals with AES-256-GCM; the first line is authenticated,
//! too.

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use consign_core::secret::Secret;
use consign_core::vault::{KeyRing, RingKey};

const FIRST: &str = "-----BEGIN CONSIGN RECOVERY FILE 1-----";
const LAST: &str = "-----END CONSIGN RECOVERY FILE 1-----";
const SALT_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const LINE_CHARS: usize = 64;
/// A file of some hundred keys; what is larger is none.
const TEXT_BYTES_MAX: usize = 256 << 10;
/// RFC 9106 section 4, the second recommendation: whoever has the file has time to guess.
const MEMORY_KIB: u32 = 64 << 10;
const PASSES: u32 = 3;
const LANES: u32 = 4;
/// Shorter ones are guessed.
pub const PASSPHRASE_CHARS_MIN: usize = 12;

/// Why a recovery file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// It is something else, or was cut.
    #[error("this is not a recovery file of Consign, or a part of it is missing")]
    NotOne,
    /// The passphrase, or the file, is not the one that belongs to the other.
    #[error("the passphrase does not open this recovery file")]
    Passphrase,
    /// No key can be made of the passphrase, or no random bytes are to be had.
    #[error("this machine cannot make a key of a passphrase")]
    Machine,
}

/// Writes the ring into the text of a recovery file.
///
/// # Errors
/// When there is not enough memory to make a key of the passphrase.
pub fn write(ring: &KeyRing, passphrase: &Secret) -> Result<Secret, RecoveryError> {
    let lines: Vec<_> = ring.keys().iter().map(RingKey::line).collect();
    let lines = Secret::new(lines.iter().map(|line| line.as_str()).collect::<Vec<_>>().join("\n"));
    let mut sealed = lines.expose().as_bytes().to_vec();
    let (mut salt, mut nonce) = ([0; SALT_BYTES], [0; NONCE_BYTES]);
    rand::fill(&mut salt).and_then(|()| rand::fill(&mut nonce)).map_err(|_| RecoveryError::Machine)?;
    let key = key(passphrase, &salt)?;
    let nonce_used = Nonce::assume_unique_for_key(nonce);
    key.seal_in_place_append_tag(nonce_used, Aad::from(FIRST.as_bytes()), &mut sealed)
        .map_err(|_| RecoveryError::Machine)?;
    let bytes = [salt.as_slice(), nonce.as_slice(), &sealed].concat();
    let encoded = BASE64_STANDARD.encode(bytes);
    let wrapped: Vec<_> = encoded.as_bytes().chunks(LINE_CHARS).map(String::from_utf8_lossy).collect();
    Ok(Secret::new(format!("{FIRST}\n{}\n{LAST}\n", wrapped.join("\n"))))
}

/// Opens a recovery file.
///
/// # Errors
/// When it is none, or the passphrase is another one.
pub fn read(text: &str, passphrase: &Secret) -> Result<KeyRing, RecoveryError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(RecoveryError::NotOne);
    }
    let (_, rest) = text.split_once(FIRST).ok_or(RecoveryError::NotOne)?;
    let (encoded, _) = rest.split_once(LAST).ok_or(RecoveryError::NotOne)?;
    let encoded: String = encoded.split_whitespace().collect();
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| RecoveryError::NotOne)?;
    let (salt, rest) = bytes.split_at_checked(SALT_BYTES).ok_or(RecoveryError::NotOne)?;
    let (nonce, sealed) = rest.split_at_checked(NONCE_BYTES).ok_or(RecoveryError::NotOne)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| RecoveryError::NotOne)?;
    let key = key(passphrase, salt)?;
    let mut opened = sealed.to_vec();
    let length = key.open_in_place(nonce, Aad::from(FIRST.as_bytes()), &mut opened);
    let length = length.map_err(|_| RecoveryError::Passphrase)?.len();
    opened.truncate(length);
    let lines = Secret::new(String::from_utf8(opened).map_err(|_| RecoveryError::NotOne)?);
    KeyRing::parse(lines.expose()).map_err(|_| RecoveryError::NotOne)
}

fn key(passphrase: &Secret, salt: &[u8]) -> Result<LessSafeKey, RecoveryError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| RecoveryError::Machine)?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut key)
        .map_err(|_| RecoveryError::Machine)?;
    let unbound = UnboundKey::new(&AES_256_GCM, &key);
    key.fill(0);
    unbound.map(LessSafeKey::new).map_err(|_| RecoveryError::Machine)
}

#[cfg(test)]
mod tests;
