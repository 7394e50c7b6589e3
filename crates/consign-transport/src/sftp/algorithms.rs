//! What is offered to a server, and nothing else: no SHA-1, no CBC, no compression, no certificates.

use std::borrow::Cow;

use consign_core::pin::KeyType;
use russh::keys::{Algorithm, EcdsaCurve, HashAlg};
use russh::{Names, Preferred, cipher, compression, kex, mac};

use super::{SftpFault, SftpWhy};

const KEY_EXCHANGES: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G14_SHA256,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];

/// AES-GCM first: with AES in hardware it is the fastest by far.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM, mac::HMAC_SHA512, mac::HMAC_SHA256];

/// The offer for these families of host keys.
pub(super) fn offer(families: &[KeyType]) -> Preferred {
    Preferred {
        kex: Cow::Borrowed(KEY_EXCHANGES),
        key: families.iter().flat_map(|family| signatures(*family)).cloned().collect(),
        host_key_certificates: Cow::Borrowed(&[]),
        cipher: Cow::Borrowed(CIPHERS),
        mac: Cow::Borrowed(MACS),
        compression: Cow::Borrowed(&[compression::NONE]),
    }
}

/// The signatures of a family; never SHA-1.
fn signatures(family: KeyType) -> &'static [Algorithm] {
    const RSA: &[Algorithm] =
        &[Algorithm::Rsa { hash: Some(HashAlg::Sha512) }, Algorithm::Rsa { hash: Some(HashAlg::Sha256) }];
    match family {
        KeyType::Rsa => RSA,
        KeyType::EcdsaP256 => &[Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 }],
        KeyType::EcdsaP384 => &[Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 }],
        KeyType::EcdsaP521 => &[Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 }],
        KeyType::Ed25519 => &[Algorithm::Ed25519],
    }
}

/// The Terrapin attack (CVE-2023-48795) needs chacha20-poly1305 or an encrypt-then-MAC, and an exchange that is not
/// strict.
///
/// # Errors
/// When a session would be open to it.
pub(super) fn judge(names: &Names) -> Result<(), SftpFault> {
    let gcm = [cipher::AES_256_GCM, cipher::AES_128_GCM].contains(&names.cipher);
    let etm = [names.client_mac, names.server_mac]
        .iter()
        .any(|name| [mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM].contains(name));
    if names.strict_kex() || gcm || names.cipher != cipher::CHACHA20_POLY1305 && !etm {
        return Ok(());
    }
    let detail = "The server encrypts in a way that needs strict key exchange, which it does not offer.";
    Err(SftpFault::new(SftpWhy::Unreachable(consign_core::delivery::Unreached::Connect), detail))
}
