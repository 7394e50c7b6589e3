//! A private key that somebody brings along, in the forms that tools hand out.

use pkcs8::der::Decode as _;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use zeroize::Zeroizing;

use super::{SigningKey, passphrase, pem};
use crate::catalog::{Fault, mask};
use crate::secret::Secret;

/// A key of 4,096 bits takes 3,300 characters, encoded twice 4,500.
const CHARACTERS_MAX: usize = 16 << 10;

/// Why a key was not taken: at the key itself, or at its passphrase.
#[derive(Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// The key.
    Key(Fault),
    /// The passphrase.
    Passphrase(Fault),
}

/// Reads a private key: PKCS#8, PKCS#1 and RFC 5915, in PEM or as the Base64 of DER; PKCS#8 under a passphrase; and
/// the file of SuccessFactors, a block named `ENCRYPTED PRIVATE KEY` that is PKCS#8 encoded in Base64 twice.
///
/// # Errors
/// The sentence for the key or its passphrase.
pub fn private_key(text: &str, typed: Option<&Secret>) -> Result<SigningKey, NotTaken> {
    let refuse = |code, sentence: &str| Err(NotTaken::Key(Fault::new(code, sentence)));
    if crate::catalog::is_mask(text.trim()) {
        return Err(NotTaken::Key(mask("Private key")));
    }
    if text.len() > CHARACTERS_MAX {
        return Err(NotTaken::Key(crate::catalog::too_long("Private key", CHARACTERS_MAX)));
    }
    if text.contains("-----BEGIN ") && !text.contains("-----END ") {
        let sentence = "Private key is not complete. Copy from the BEGIN line to the END line";
        return refuse("incomplete", sentence);
    }
    if text.contains("-----BEGIN PUBLIC KEY") || text.contains("-----BEGIN RSA PUBLIC KEY") {
        return refuse("public_key_given", "This is a public key. Enter the private key");
    }
    // Some files hold the certificate as well, which is asked for elsewhere.
    let block = if text.contains("-----") {
        let blocks = pem::blocks(text).unwrap_or_default();
        let mut keys: Vec<_> =
            blocks.into_iter().filter(|block| block.label.ends_with("PRIVATE KEY")).collect();
        if keys.len() == 1 { keys.pop() } else { None }
    } else {
        pem::one(text)
    };
    let Some(block) = block else { return refuse("bad_form", BAD_FORM) };
    if block.headers || block.label == "OPENSSH PRIVATE KEY" {
        return refuse("unsupported", UNSUPPORTED);
    }
    if pem::is_pkcs12(&block.content) {
        return Err(NotTaken::Key(pem::pkcs12()));
    }
    let opened;
    let content = match EncryptedPrivateKeyInfoRef::from_der(&block.content) {
        Ok(sealed) => {
            opened = passphrase::open(&sealed, typed)?;
            &opened
        }
        Err(_) if passphrase::is_sealed(&block.content) => return refuse("unsupported", UNSUPPORTED),
        Err(_) => &block.content,
    };
    let kind = "Private key must be an RSA key, or an EC key on P-256 or P-384";
    match read(content).or_else(|| read(&twice(content)?)) {
        Some(key) => Ok(key),
        None if is_other_key(content) => refuse("unsupported", kind),
        None => refuse("bad_form", BAD_FORM),
    }
}

const BAD_FORM: &str = "Private key must be in PEM or DER form";
pub(super) const UNSUPPORTED: &str =
    "This private key is encrypted in a form that is not supported. Save it again as PKCS#8 with AES";

fn read(der: &[u8]) -> Option<SigningKey> {
    SigningKey::pkcs8(der).or_else(|| SigningKey::traditional(der))
}

/// What is left when Base64 stands where DER should.
fn twice(content: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    pem::decoded(std::str::from_utf8(content).ok()?)
}

/// A whole private key, of a kind that does not sign here.
fn is_other_key(der: &[u8]) -> bool {
    PrivateKeyInfoRef::from_der(der).is_ok()
}
