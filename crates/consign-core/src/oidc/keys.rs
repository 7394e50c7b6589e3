//! The public keys of a provider (RFC 7517, RFC 7518 section 6, RFC 8037) and the signatures they verify (RFC 7518
//! section 3). Only what is on the list is verified: no `none`, and nothing with a shared secret.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256, RsaParameters,
    RsaPublicKeyComponents, UnparsedPublicKey,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Map, Value};

use crate::token::strict;

/// A provider that rotates has a handful.
const KEYS_MAX: usize = 100;
/// An uncompressed point: SEC 1 section 2.3.3.
const UNCOMPRESSED: u8 = 4;

/// How an ID token may be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Es256,
    Es384,
    EdDsa,
}

impl Algorithm {
    pub(super) fn find(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// The keys that may have signed.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// The one algorithm that it is for, when it says so.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Debug)]
enum Material {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

/// What came of a search for the key of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verified {
    Yes,
    No,
    /// No key fits what the token names.
    NoSuchKey,
}

impl Keys {
    /// Reads a set of keys. Those that sign nothing, or in a way that is not verified here, are left out.
    ///
    /// # Errors
    /// What is wrong with the document.
    pub fn read(body: &[u8]) -> Result<Self, &'static str> {
        let said = strict::object(body)?;
        let rows = said.get("keys").and_then(Value::as_array).ok_or("has no keys")?;
        if rows.len() > KEYS_MAX {
            return Err("has too many keys");
        }
        Ok(Self(rows.iter().filter_map(Value::as_object).filter_map(Key::read).collect()))
    }

    /// Whether one of them made a signature. A token that names its key is verified with that one alone.
    pub(super) fn verify(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
        message: &[u8],
        signature: &[u8],
    ) -> Verified {
        let named = |key: &&Key| id.is_none() || key.id.as_deref() == id;
        let mut fitting = self.0.iter().filter(named).filter(|key| key.fits(algorithm)).peekable();
        if fitting.peek().is_none() {
            return Verified::NoSuchKey;
        }
        if fitting.any(|key| key.verifies(algorithm, message, signature)) {
            Verified::Yes
        } else {
            Verified::No
        }
    }
}

impl Key {
    fn read(row: &Map<String, Value>) -> Option<Self> {
        let text = |key: &str| row.get(key).and_then(Value::as_str);
        let bytes = |key: &str| BASE64_URL_SAFE_NO_PAD.decode(text(key)?).ok();
        if text("use").is_some_and(|used| used != "sig") {
            return None;
        }
        let algorithm = match text("alg") {
            Some(name) => Some(Algorithm::find(name)?),
            None => None,
        };
        let point = |size: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == size && y.len() == size).then(|| [vec![UNCOMPRESSED], x, y].concat())
        };
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => Material::Rsa { modulus: bytes("n")?, exponent: bytes("e")? },
            ("EC", Some("P-256")) => Material::P256(point(32)?),
            ("EC", Some("P-384")) => Material::P384(point(48)?),
            ("OKP", Some("Ed25519")) => Material::Ed25519(bytes("x").filter(|x| x.len() == 32)?),
            _ => return None,
        };
        Some(Self { id: text("kid").map(str::to_owned), algorithm, material })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let kind = match algorithm {
            Algorithm::Rs256 | Algorithm::Rs384 | Algorithm::Rs512 | Algorithm::Ps256 => {
                matches!(self.material, Material::Rsa { .. })
            }
            Algorithm::Es256 => matches!(self.material, Material::P256(_)),
            Algorithm::Es384 => matches!(self.material, Material::P384(_)),
            Algorithm::EdDsa => matches!(self.material, Material::Ed25519(_)),
        };
        kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa { modulus, exponent } => {
                let Some(parameters) = rsa(algorithm) else { return false };
                let key = RsaPublicKeyComponents { n: modulus, e: exponent };
                key.verify(parameters, message, signature).is_ok()
            }
            Material::P256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
            }
            Material::P384(point) => {
                UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point).verify(message, signature).is_ok()
            }
            Material::Ed25519(point) => {
                UnparsedPublicKey::new(&ED25519, point).verify(message, signature).is_ok()
            }
        }
    }
}

/// RSA with a key of 2,048 bits or more.
fn rsa(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => None,
    }
}
