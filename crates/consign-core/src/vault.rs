//! Envelope encryption: every secret under a data key of its own, bound to its place and its destination.
//!
//! A value is sealed with AES-256-GCM under a random data key; that key is wrapped with AES-256-GCM-SIV under the
//! first key of the ring. What is authenticated but not stored is the [`Place`]: put the ciphertext into another
//! row, field or generation, or change the destination, and it does not open.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use aws_lc_rs::aead::{AES_256_GCM, AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac, rand};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use zeroize::Zeroizing;

use crate::hex::hex;
use crate::secret::Secret;
use crate::target::Binding;

pub use ring::{KeyRing, RingError, RingKey};

mod ring;

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 12;

/// A sealed value: `v1.<key id>.<wrapped data key>.<ciphertext>`, all Base64url. Safe to store, useless elsewhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed(String);

impl Sealed {
    /// As read from the database; judged when it is opened.
    pub fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The text to store.
    pub fn as_stored(&self) -> &str {
        &self.0
    }

    /// What stays when only the data key is wrapped anew; the whole text if it has not the form of a sealed value.
    pub fn ciphertext(&self) -> &str {
        self.0.rsplit('.').next().unwrap_or(&self.0)
    }

    /// The key that sealed it, if the text has the form of a sealed value.
    pub fn key_id(&self) -> Option<&str> {
        self.0.strip_prefix("v1.")?.split('.').next()
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({})", self.key_id().unwrap_or("damaged"))
    }
}

/// Where a value stands and where it may be sent: authenticated, not stored.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// The table of the record.
    pub table: &'static str,
    /// The id of the record.
    pub record: &'a str,
    /// The field within it.
    pub field: &'a str,
    /// The generation of this value; an older one does not open in its stead.
    pub generation: i64,
    /// The canonical destination.
    pub binding: &'a Binding,
}

impl Place<'_> {
    /// One unambiguous text: every part is preceded by its length.
    fn associated(&self, installation: &str, key_id: Option<&str>) -> Vec<u8> {
        let generation = self.generation.to_be_bytes();
        let parts: [&[u8]; 8] = [
            b"consign v1",
            installation.as_bytes(),
            self.table.as_bytes(),
            self.record.as_bytes(),
            self.field.as_bytes(),
            &generation,
            self.binding.as_bytes(),
            key_id.unwrap_or("").as_bytes(),
        ];
        let mut framed = Vec::with_capacity(160);
        for part in parts {
            framed.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            framed.extend_from_slice(part);
        }
        framed
    }
}

/// Why a sealed value does not open.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Sealed under a key that the ring does not hold.
    #[error("no key `{0}` in the key ring")]
    NoKey(String),
    /// Not at its place, for another destination, or damaged.
    #[error("the sealed value does not belong to this place and destination")]
    Misplaced,
    /// Not the form of a sealed value.
    #[error("the sealed value is damaged")]
    Damaged,
}

/// What seals and opens. The first key of the ring seals, all keys open.
pub struct Vault {
    installation: String,
    ring: RwLock<Arc<Ring>>,
}

/// The keys of the ring, ready for use.
struct Ring {
    sealing: String,
    /// In the order of the ring.
    ids: Vec<String>,
    keys: HashMap<String, RandomizedNonceKey>,
}

impl Ring {
    fn of(ring: &KeyRing) -> Arc<Self> {
        let keys = ring.keys().iter().map(|key| (key.id().to_owned(), wrapping_key(key.bytes())));
        let ids = ring.keys().iter().map(|key| key.id().to_owned());
        Arc::new(Self { sealing: ring.sealing().id().to_owned(), ids: ids.collect(), keys: keys.collect() })
    }
}

impl Vault {
    /// A vault for one installation; values of another installation do not open.
    pub fn new(ring: &KeyRing, installation: &str) -> Self {
        Self { installation: installation.to_owned(), ring: RwLock::new(Ring::of(ring)) }
    }

    /// Seals and opens with another ring from now on. It should hold the keys of the one before.
    pub fn take(&self, ring: &KeyRing) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Ring::of(ring);
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The id of the key that seals new values.
    pub fn sealing_key_id(&self) -> String {
        self.ring().sealing.clone()
    }

    /// The ids of all keys in the order of the ring: the first one seals.
    pub fn key_ids(&self) -> Vec<String> {
        self.ring().ids.clone()
    }

    /// Seals a text at its place.
    pub fn seal(&self, place: &Place<'_>, plain: &Secret) -> Sealed {
        self.seal_bytes(place, plain.expose().as_bytes())
    }

    /// Opens a text at its place.
    ///
    /// # Errors
    /// When the key is missing, the place or destination differs, or the value is damaged.
    pub fn open(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
        let bytes = self.open_bytes(place, sealed)?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => Ok(Secret::new(text.to_owned())),
            Err(_) => Err(OpenError::Damaged),
        }
    }

    /// Opens a text that the program sealed for itself, such as a kept answer. Secrets of credentials have a
    /// destination, and so never open here.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_own(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Secret, OpenError> {
        if *place.binding != Binding::of(&[]) {
            return Err(OpenError::Misplaced);
        }
        self.open(place, sealed)
    }

    /// Whether a value opens at its place, without handing it out.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn verify(&self, place: &Place<'_>, sealed: &Sealed) -> Result<(), OpenError> {
        self.open_bytes(place, sealed).map(drop)
    }

    /// Makes a new key for the program's own use, such as payloads or the audit chain, and seals it.
    pub fn create_key(&self, place: &Place<'_>) -> (DerivedKey, Sealed) {
        let bytes = random_key();
        let sealed = self.seal_bytes(place, bytes.as_slice());
        (DerivedKey::new(&bytes), sealed)
    }

    /// Opens a key made by [`Vault::create_key`].
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_key(&self, place: &Place<'_>, sealed: &Sealed) -> Result<DerivedKey, OpenError> {
        let bytes = self.open_bytes(place, sealed)?;
        let key: &[u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| OpenError::Damaged)?;
        Ok(DerivedKey::new(key))
    }

    /// Moves a value to the sealing key; only its data key is wrapped anew. `None`: it is there already.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn rewrap(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Option<Sealed>, OpenError> {
        let (parts, ring) = (Parts::read(sealed)?, self.ring());
        if parts.key_id == ring.sealing {
            return Ok(None);
        }
        let data_key = self.unwrap_key(&ring, place, &parts)?;
        Ok(Some(self.assemble(&ring, place, &data_key, &parts.ciphertext)))
    }

    fn seal_bytes(&self, place: &Place<'_>, plain: &[u8]) -> Sealed {
        let data_key = random_key();
        let ciphertext = encrypt(&data_key, &place.associated(&self.installation, None), plain);
        self.assemble(&self.ring(), place, &data_key, &ciphertext)
    }

    fn open_bytes(&self, place: &Place<'_>, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let parts = Parts::read(sealed)?;
        let data_key = self.unwrap_key(&self.ring(), place, &parts)?;
        decrypt(&data_key, &place.associated(&self.installation, None), &parts.ciphertext)
            .ok_or(OpenError::Misplaced)
    }

    fn unwrap_key(
        &self,
        ring: &Ring,
        place: &Place<'_>,
        parts: &Parts,
    ) -> Result<Zeroizing<[u8; KEY_BYTES]>, OpenError> {
        let key = ring.keys.get(&parts.key_id).ok_or_else(|| OpenError::NoKey(parts.key_id.clone()))?;
        let aad = place.associated(&self.installation, Some(&parts.key_id));
        let bytes = open_with(key, &aad, &parts.wrapped).ok_or(OpenError::Misplaced)?;
        let data_key: [u8; KEY_BYTES] = bytes.as_slice().try_into().map_err(|_| OpenError::Damaged)?;
        Ok(Zeroizing::new(data_key))
    }

    /// The sealed value: its data key under the sealing key, and the ciphertext.
    fn assemble(
        &self,
        ring: &Ring,
        place: &Place<'_>,
        data_key: &[u8; KEY_BYTES],
        ciphertext: &[u8],
    ) -> Sealed {
        let key = ring.keys.get(&ring.sealing).expect("a ring holds its sealing key");
        let wrapped = seal_with(key, &place.associated(&self.installation, Some(&ring.sealing)), data_key);
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        Sealed(format!("v1.{}.{}.{}", ring.sealing, encode(&wrapped), encode(ciphertext)))
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Vault({})", self.ring().sealing)
    }
}

struct Parts {
    key_id: String,
    wrapped: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Parts {
    fn read(sealed: &Sealed) -> Result<Self, OpenError> {
        let mut parts = sealed.0.split('.');
        let read = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        let (Some("v1"), Some(key_id), Some(wrapped), Some(ciphertext), None) = read else {
            return Err(OpenError::Damaged);
        };
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| OpenError::Damaged);
        Ok(Self { key_id: key_id.to_owned(), wrapped: decode(wrapped)?, ciphertext: decode(ciphertext)? })
    }
}

/// A key of the program's own: it encrypts payloads, or authenticates the audit chain.
pub struct DerivedKey {
    encrypt: RandomizedNonceKey,
    authenticate: hmac::Key,
}

impl DerivedKey {
    fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        // Two purposes, two keys: each is the hash of the purpose and the key.
        let derive = |purpose: &[u8]| {
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(purpose);
            context.update(bytes);
            context.finish()
        };
        let encrypt = RandomizedNonceKey::new(&AES_256_GCM, derive(b"consign encrypt").as_ref());
        Self {
            encrypt: encrypt.expect("32 bytes are an AES-256 key"),
            authenticate: hmac::Key::new(hmac::HMAC_SHA256, derive(b"consign authenticate").as_ref()),
        }
    }

    /// Encrypts bytes for a context, such as the id of the event they belong to.
    pub fn encrypt(&self, context: &str, plain: &[u8]) -> Vec<u8> {
        seal_with(&self.encrypt, context.as_bytes(), plain)
    }

    /// Decrypts what [`DerivedKey::encrypt`] made for the same context.
    ///
    /// # Errors
    /// When context or bytes differ.
    pub fn decrypt(&self, context: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let mut plain = open_with(&self.encrypt, context.as_bytes(), sealed).ok_or(OpenError::Misplaced)?;
        Ok(std::mem::take(&mut *plain))
    }

    /// The same where the bytes are; the answer is where among them the plaintext lies.
    ///
    /// # Errors
    /// As [`DerivedKey::decrypt`]; then nothing can be said about the bytes.
    pub fn decrypt_in_place(&self, context: &str, sealed: &mut [u8]) -> Result<Range<usize>, OpenError> {
        let (nonce, ciphertext) = sealed.split_at_mut_checked(NONCE_BYTES).ok_or(OpenError::Misplaced)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError::Misplaced)?;
        let opened = self.encrypt.open_in_place(nonce, Aad::from(context.as_bytes()), ciphertext);
        let length = opened.map_err(|_| OpenError::Misplaced)?.len();
        Ok(NONCE_BYTES..NONCE_BYTES + length)
    }

    /// HMAC-SHA256 over bytes, as lower-case hex.
    pub fn authenticate(&self, bytes: &[u8]) -> String {
        hex(hmac::sign(&self.authenticate, bytes).as_ref())
    }
}

impl fmt::Debug for DerivedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DerivedKey(…)")
    }
}

fn random_key() -> Zeroizing<[u8; KEY_BYTES]> {
    let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
    rand::fill(bytes.as_mut_slice()).expect("the system has randomness");
    bytes
}

fn wrapping_key(bytes: &[u8; KEY_BYTES]) -> RandomizedNonceKey {
    RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes).expect("32 bytes are an AES-256 key")
}

fn encrypt(key: &[u8; KEY_BYTES], aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key");
    seal_with(&key, aad, plain)
}

fn decrypt(key: &[u8; KEY_BYTES], aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let key = RandomizedNonceKey::new(&AES_256_GCM, key).expect("32 bytes are an AES-256 key");
    open_with(&key, aad, sealed)
}

/// Nonce first, then ciphertext and tag.
fn seal_with(key: &RandomizedNonceKey, aad: &[u8], plain: &[u8]) -> Vec<u8> {
    let mut buffer = plain.to_vec();
    let nonce = key
        .seal_in_place_append_tag(Aad::from(aad), &mut buffer)
        .expect("the value is far below the limit of the cipher");
    let mut sealed = Vec::with_capacity(NONCE_BYTES + buffer.len());
    sealed.extend_from_slice(nonce.as_ref());
    sealed.extend_from_slice(&buffer);
    sealed
}

fn open_with(key: &RandomizedNonceKey, aad: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = Zeroizing::new(ciphertext.to_vec());
    let length = key.open_in_place(nonce, Aad::from(aad), buffer.as_mut_slice()).ok()?.len();
    buffer.truncate(length);
    Some(buffer)
}

#[cfg(test)]
mod tests;
