//! Signatures with a private key: RSA with SHA-256 (RFC 8017 section 8.2), ECDSA on P-256 and P-384 (RFC 7518 section
//! 3.4), and the X.509 certificate that goes with the key. All of it is done by aws-lc-rs.
//!
//! A key pair is created here or brought along; either way it is kept as PKCS#8 in PEM, and the key belongs to the
//! certificate.

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _,
    RSA_PKCS1_SHA256, RsaKeyPair,
};

use crate::secret::Secret;

pub use certificate::{CHARACTERS_MAX as CERTIFICATE_CHARACTERS_MAX, Certificate, owner_and_end};
pub use chain::{CHARACTERS_MAX as CHAIN_CHARACTERS_MAX, Chain};
pub use create::{CERTIFICATE_YEARS_MAX, KeySize, create};
pub use import::{NotTaken, private_key};

mod certificate;
mod chain;
mod create;
mod import;
mod passphrase;
mod pem;

/// What a key signs with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaSha256,
    /// ECDSA on P-256 with SHA-256.
    EcdsaSha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaSha384,
}

/// A private key, ready to sign. Reading one checks it, which takes longer than signing: do it when there is something
/// to sign.
pub struct SigningKey(Kind);

enum Kind {
    Rsa(Box<RsaKeyPair>),
    Ec(EcdsaKeyPair, Algorithm),
}

/// A stored key that cannot be read, or that does not sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the private key cannot be used")]
pub struct Unusable;

impl SigningKey {
    /// The key in its stored text, PKCS#8 in PEM.
    ///
    /// # Errors
    /// When it is none.
    pub fn stored(text: &Secret) -> Result<Self, Unusable> {
        let block = pem::one(text.expose()).ok_or(Unusable)?;
        Self::pkcs8(&block.content).ok_or(Unusable)
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match &self.0 {
            Kind::Rsa(_) => Algorithm::RsaSha256,
            Kind::Ec(_, algorithm) => *algorithm,
        }
    }

    /// The signature of a message; ECDSA as r‖s (XML Signature 1.1 section 6.4.3).
    ///
    /// # Errors
    /// When the key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, Unusable> {
        let random = SystemRandom::new();
        match &self.0 {
            Kind::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).map_err(|_| Unusable)?;
                Ok(signature)
            }
            Kind::Ec(key, _) => {
                let signature = key.sign(&random, message).map_err(|_| Unusable)?;
                Ok(signature.as_ref().to_vec())
            }
        }
    }

    /// The key as it is stored.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn to_stored(&self) -> Result<Secret, Unusable> {
        let written = match &self.0 {
            Kind::Rsa(key) => key.as_der().map(|der| pem::private_key(der.as_ref())),
            Kind::Ec(key, _) => key.to_pkcs8v1().map(|der| pem::private_key(der.as_ref())),
        };
        written.map_err(|_| Unusable)
    }

    /// The public half, as it stands in the certificate of the key.
    fn public_key(&self) -> &[u8] {
        match &self.0 {
            Kind::Rsa(key) => key.public_key().as_ref(),
            Kind::Ec(key, _) => key.public_key().as_ref(),
        }
    }

    /// PKCS#8 (RFC 5208), in DER.
    fn pkcs8(der: &[u8]) -> Option<Self> {
        if let Ok(key) = RsaKeyPair::from_pkcs8(der) {
            return Some(Self(Kind::Rsa(Box::new(key))));
        }
        CURVES.iter().find_map(|(curve, algorithm)| {
            EcdsaKeyPair::from_pkcs8(curve, der).ok().map(|key| Self(Kind::Ec(key, *algorithm)))
        })
    }

    /// PKCS#1 (RFC 8017 appendix A.1.2) or RFC 5915, in DER.
    fn traditional(der: &[u8]) -> Option<Self> {
        if let Ok(key) = RsaKeyPair::from_der(der) {
            return Some(Self(Kind::Rsa(Box::new(key))));
        }
        CURVES.iter().find_map(|(curve, algorithm)| {
            EcdsaKeyPair::from_private_key_der(curve, der).ok().map(|key| Self(Kind::Ec(key, *algorithm)))
        })
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?}, …)", self.algorithm())
    }
}

type Curve = (&'static aws_lc_rs::signature::EcdsaSigningAlgorithm, Algorithm);

const CURVES: [Curve; 2] = [
    (&ECDSA_P256_SHA256_FIXED_SIGNING, Algorithm::EcdsaSha256),
    (&ECDSA_P384_SHA384_FIXED_SIGNING, Algorithm::EcdsaSha384),
];

#[cfg(test)]
mod tests;
