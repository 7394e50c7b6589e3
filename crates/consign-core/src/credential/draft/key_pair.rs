//! A certificate with its private key: created here, or somebody's own. Both are read together, because one says
//! nothing without the other.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Change, Given, Reading};
use crate::auth::AuthorizationType;
use crate::catalog::{Fault, Field, Fields, Invalid, Reader};
use crate::client_certificate;
use crate::credential::key_pairs;
use crate::id::CredentialId;
use crate::secret::Secret;
use crate::sign::{self, CERTIFICATE_YEARS_MAX, Certificate, KeySize, NotTaken};
use crate::target::Target;
use crate::time::Timestamp;

/// The passphrase of a private key: used when it is read, and not kept.
pub const PASSPHRASE: &str = "private_key_passphrase";
const KEY_PAIR: &str = "key_pair";
const BITS: &str = "key_pair_bits";
const YEARS: &str = "key_pair_years";

/// What can be sent beside the fields of a type with a certificate.
pub(super) const KEYS: &[&str] = &[KEY_PAIR, BITS, YEARS, PASSPHRASE];
/// Keys of an answer that may come back and say nothing.
pub(super) const READ_ONLY: &[&str] = &["certificates"];

/// A certificate lives this long when nobody says otherwise.
const YEARS_USUAL: u8 = 3;

/// A key pair that is to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyPairWish {
    /// The field of the certificate.
    pub certificate: &'static str,
    /// The field of the private key.
    pub key: &'static str,
    /// How long the key shall be; none: as is usual for a new one, and as it is for one that is there.
    pub size: Option<KeySize>,
    /// How long the certificate lives.
    pub years: u8,
}

impl KeyPairWish {
    /// The usual one for a type with a certificate.
    pub fn usual(entry: &AuthorizationType) -> Option<Self> {
        let (certificate, key) = key_pairs::fields(entry)?;
        Some(Self { certificate, key, size: None, years: YEARS_USUAL })
    }

    /// Creates it for a credential. It takes up to seconds.
    pub fn create(&self, id: CredentialId, now: Timestamp) -> (Certificate, Secret) {
        let created = sign::create(&common_name(id), self.size.unwrap_or_default(), self.years, now);
        created.expect("the system has randomness, and what is created can be read")
    }

    /// Whether a credential's certificate was made for such a wish: here, for a key of the length that is asked for.
    pub fn made(&self, id: CredentialId, certificate: &str) -> bool {
        Certificate::parse(certificate).is_ok_and(|certificate| {
            certificate.subject == format!("CN={}", common_name(id))
                && self.size.is_none_or(|size| certificate.key == format!("RSA {}", size.bits()))
        })
    }
}

/// A key pair that shall wait next to the one that signs.
#[derive(Debug)]
pub enum NextPair {
    /// To be created.
    Create(KeyPairWish),
    /// Somebody's own.
    Own(Certificate, Secret),
}

impl NextPair {
    /// Reads what is sent for one; nothing at all asks for a new one.
    ///
    /// # Errors
    /// Every value that was not accepted.
    pub fn parse(
        entry: &'static AuthorizationType,
        mut sent: Map<String, Value>,
        now: Timestamp,
    ) -> Result<Self, Vec<Invalid>> {
        let named = |key: &str| entry.fields.iter().find(|field| field.key == key);
        let pair = key_pairs::fields(entry).and_then(|(certificate, key)| Some((named(certificate)?, key)));
        let Some((field, key)) = pair else { return Err(Vec::new()) };
        if [field.key, key, KEY_PAIR].iter().all(|key| !sent.contains_key(*key)) {
            sent.insert(KEY_PAIR.to_owned(), "generate".into());
        }
        let mut reading = Reading { reader: Reader::new(sent), current: None, now, new_key_pair: None };
        let (mut typed, mut secrets) = (Fields::default(), BTreeMap::new());
        reading.key_pair(entry, (field, key), &mut typed, &mut secrets);
        let known: Vec<_> = KEYS.iter().copied().chain([field.key, key]).collect();
        reading.reader.refuse_unknown(&known, &[]);
        let invalid = reading.reader.into_invalid();
        let own = Certificate::parse(typed.text(field.key)).ok().zip(typed.secrets.remove(key));
        match (reading.new_key_pair, own) {
            _ if !invalid.is_empty() => Err(invalid),
            (Some(wish), _) => Ok(Self::Create(wish)),
            (None, Some((certificate, key))) => Ok(Self::Own(certificate, key)),
            (None, None) => Err(invalid),
        }
    }

    /// The pair itself, for a credential. One that is created takes up to seconds.
    pub fn made(self, id: CredentialId, now: Timestamp) -> (Certificate, Secret) {
        match self {
            Self::Create(wish) => wish.create(id, now),
            Self::Own(certificate, key) => (certificate, key),
        }
    }
}

/// Whose a certificate says it is that is made here.
fn common_name(id: CredentialId) -> String {
    format!("Consign {id}")
}

/// Whether a type has a certificate with a private key.
pub(super) fn has_one(entry: &AuthorizationType) -> bool {
    key_pairs::fields(entry).is_some()
}

/// Whether something that was sent creates a key pair, or reads somebody's own.
pub(super) fn is_asked(sent: &Map<String, Value>) -> bool {
    let has_text = |key: &str| sent.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty());
    let keys = crate::auth::AUTHORIZATION_TYPES.iter().filter_map(|entry| key_pairs::fields(entry));
    has_text(KEY_PAIR)
        || has_text(client_certificate::PRIVATE_KEY)
        || keys.into_iter().any(|(_, key)| has_text(key))
}

impl Reading<'_> {
    pub(super) fn key_pair(
        &mut self,
        entry: &'static AuthorizationType,
        (field, key): (&'static Field, &'static str),
        typed: &mut Fields,
        secrets: &mut BTreeMap<String, Change>,
    ) {
        let Some(key) = entry.fields.iter().find(|other| other.key == key) else { return };
        let wish = self.wish(field, key);
        let passphrase = match self.given(PASSPHRASE, "Passphrase") {
            Given::Typed(passphrase) => Some(passphrase),
            Given::Kept | Given::Removed | Given::Refused => None,
        };
        let text = self.reader.text(field.key, field.label);
        let given = self.given(key.key, key.label);
        let current = self.current.filter(|current| current.authorization_type.kind == entry.kind);
        let stored = current.and_then(|current| current.plain.get(field.key)).map_or("", String::as_str);
        if let Some(wish) = wish {
            // What is stored comes back with a patch; it makes room for the new one.
            if matches!(given, Given::Typed(_)) || !text.is_empty() && text != stored {
                let sentence = "Send a certificate and its key, or ask for a new key pair";
                self.reader.refuse(KEY_PAIR, Fault::new("bad_form", sentence));
            }
            self.new_key_pair = Some(wish);
            return;
        }
        if !self.reader.is_clean(KEY_PAIR) {
            return;
        }
        let judged = field.judge(&text).and_then(|()| Certificate::parse(&text));
        let certificate = self.reader.accept(field.key, judged);
        let (certificate, same) = match certificate {
            Some(read) => {
                (Some(read.clone()), Certificate::parse(stored).ok().filter(|old| old.has_key_of(&read)))
            }
            None => (None, None),
        };
        if let Some(certificate) = &certificate {
            // One that is stored was judged before: its end is shown, and stops nothing.
            if certificate.pem() != stored {
                self.reader.accept(field.key, certificate.judge_time(self.now));
            }
            typed.plain.insert(field.key.to_owned(), certificate.pem());
        }
        let is_stored = current.is_some_and(|current| current.secrets.contains_key(key.key));
        match given {
            Given::Kept if is_stored && same.is_some() => {
                secrets.insert(key.key.to_owned(), Change::Keep);
            }
            Given::Typed(typed_key) if !typed_key.expose().trim().is_empty() => {
                let read = own_key(&typed_key, passphrase.as_ref(), certificate.as_ref());
                match read {
                    Ok(stored) => drop(typed.secrets.insert(key.key.to_owned(), stored)),
                    Err(NotTaken::Key(fault)) => self.reader.refuse(key.key, fault),
                    Err(NotTaken::Passphrase(fault)) => self.reader.refuse(PASSPHRASE, fault),
                }
            }
            // Without a certificate there is nothing that a key could belong to.
            Given::Kept | Given::Removed | Given::Typed(_) if certificate.is_some() => {
                self.reader.accept(key.key, key.judge(""));
            }
            Given::Kept | Given::Removed | Given::Typed(_) | Given::Refused => {}
        }
    }

    /// What is asked for instead of a certificate of one's own.
    fn wish(&mut self, certificate: &'static Field, key: &'static Field) -> Option<KeyPairWish> {
        let wanted = self.reader.text(KEY_PAIR, "Key pair");
        let bits = self.plain_text(BITS, "Key length");
        let years = self.plain_text(YEARS, "Years");
        match wanted.as_str() {
            "generate" => {}
            "" | "own" => return None,
            _ => {
                let sentence = "Key pair must be one of generate, own";
                self.reader.refuse(KEY_PAIR, Fault::new("unknown", sentence));
                return None;
            }
        }
        let size = match bits.as_str() {
            "" => Ok(None),
            bits => KeySize::of_bits(bits)
                .map(Some)
                .ok_or_else(|| Fault::new("unknown", "Key length must be one of 3072, 2048")),
        };
        let size = self.reader.accept(BITS, size).unwrap_or_default();
        let life = match years.as_str() {
            "" => Some(YEARS_USUAL),
            years => years.parse().ok().filter(|years| (1..=CERTIFICATE_YEARS_MAX).contains(years)),
        };
        let life = life.ok_or_else(|| {
            Fault::new("out_of_range", format!("Enter a number from 1 to {CERTIFICATE_YEARS_MAX}"))
        });
        let years = self.reader.accept(YEARS, life).unwrap_or(YEARS_USUAL);
        Some(KeyPairWish { certificate: certificate.key, key: key.key, size, years })
    }

    /// The key pair that waits, and for a week the one before, stay with the credential. At another destination they are destroyed:
    /// nobody could type them again.
    pub(super) fn keep_other_key_pairs(
        &mut self,
        entry: &'static AuthorizationType,
        target: &Target,
        typed: &mut Fields,
        secrets: &mut BTreeMap<String, Change>,
    ) {
        let (Some(current), Some(_)) = (self.current, key_pairs::fields(entry)) else { return };
        if current.binding() != crate::credential::binding(target, entry, &typed.plain) {
            return;
        }
        let (plain, kept) = current.other_pairs(self.now);
        for key in plain {
            if let Some(text) = current.plain.get(key) {
                typed.plain.insert(key.to_owned(), text.clone());
            }
        }
        for key in kept {
            if current.secrets.contains_key(key) {
                secrets.insert(key.to_owned(), Change::Keep);
            }
        }
    }
}

/// Somebody's own key, as it is stored.
pub(super) fn own_key(
    text: &Secret,
    passphrase: Option<&Secret>,
    certificate: Option<&Certificate>,
) -> Result<Secret, NotTaken> {
    let key = sign::private_key(text.expose(), passphrase)?;
    if certificate.is_some_and(|certificate| !certificate.belongs_to(&key)) {
        let sentence = "The private key does not belong to this certificate";
        return Err(NotTaken::Key(Fault::new("key_mismatch", sentence)));
    }
    let unusable = |_| NotTaken::Key(Fault::new("bad_form", "Private key must be in PEM or DER form"));
    key.to_stored().map_err(unusable)
}
