//! Private keys of people and programs, in the forms they are kept in: OpenSSH (PROTOCOL.key), PKCS#8 (RFC 5958),
//! PKCS#1 (RFC 8017 appendix A.1.2) and SEC1 (RFC 5915), each with a passphrase or without. How much work a key asks
//! for is read before any of it is done.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use ssh_key::private::KeypairData;
use ssh_key::{Algorithm, HashAlg, Kdf, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use crate::catalog::Fault;
use crate::pin::RSA_BITS_MIN;
use crate::secret::Secret;

use der::Found;

mod der;
mod pem;

/// The field of the key, in sentences.
const KEY: &str = "ssh_key";
/// The field of the passphrase.
const PASSPHRASE: &str = "passphrase";
/// More than the largest accepted key needs, with a comment.
pub const KEY_BYTES_MAX: usize = 16 << 10;
/// Larger RSA keys take seconds for each signature.
const RSA_BITS_MAX: u32 = 8_192;
/// OpenSSH writes 16 or 24. Each costs about ten milliseconds, and the file may ask for four thousand million.
pub const ROUNDS_MAX: u32 = 256;

/// What is wrong with a key or its passphrase, and which of the two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    /// The field.
    pub field: &'static str,
    /// The sentence.
    pub fault: Fault,
}

impl KeyFault {
    fn key(code: &'static str, sentence: impl Into<String>) -> Self {
        Self { field: KEY, fault: Fault::new(code, sentence) }
    }

    fn passphrase(code: &'static str, sentence: &str) -> Self {
        Self { field: PASSPHRASE, fault: Fault::new(code, sentence) }
    }

    fn incomplete() -> Self {
        Self::key("incomplete", "SSH key is not complete. Copy from the BEGIN line to the END line")
    }

    fn unsupported(kind: &str) -> Self {
        Self::key("unsupported", format!("{kind} keys are not supported"))
    }

    fn no_passphrase() -> Self {
        Self::passphrase("missing", "This SSH key needs a passphrase")
    }

    fn wrong_passphrase() -> Self {
        Self::passphrase("not_matching", "The passphrase does not open this SSH key")
    }

    fn too_much_work(rounds: u64) -> Self {
        let rounds = crate::catalog::with_commas(usize::try_from(rounds).unwrap_or(usize::MAX));
        let sentence =
            format!("This SSH key asks for {rounds} rounds of work to open. Save it again with 256 or fewer");
        Self::key("too_much_work", sentence)
    }
}

/// Opens a key. Slow where a passphrase is stretched: up to some seconds of one core.
///
/// # Errors
/// The field and the sentence.
pub fn open(key: &Secret, passphrase: Option<&Secret>) -> Result<PrivateKey, KeyFault> {
    let passphrase = passphrase.filter(|passphrase| !passphrase.expose().is_empty());
    let opened = match read(key.expose())? {
        Form::OpenSsh(key) if key.is_encrypted() => decrypt(&key, passphrase)?,
        Form::OpenSsh(key) => *key,
        Form::Der(found) => der::open(&found, passphrase)?,
    };
    judge(&opened)?;
    Ok(opened)
}

/// Judges a key as far as that needs no passphrase and no work.
///
/// # Errors
/// The sentence for the key.
pub fn glance(key: &str) -> Result<(), Fault> {
    read(key).map(drop).map_err(|fault| fault.fault)
}

/// The public half of a key, as a line for the server's list of authorized keys. `None` when it does not open.
pub fn public_half(key: &Secret, passphrase: Option<&Secret>) -> Option<String> {
    // The public half of an OpenSSH file is readable without the passphrase.
    let public = match read(key.expose()).ok()? {
        Form::OpenSsh(key) => key.public_key().clone(),
        Form::Der(_) => open(key, passphrase).ok()?.public_key().clone(),
    };
    PublicKey::new(public.key_data().clone(), "").to_openssh().ok()
}

/// A public half with its type, size and fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicHalf {
    /// The line for the server's list.
    pub line: String,
    /// `ssh-ed25519`.
    pub key_type: String,
    /// In bits, for RSA.
    pub bits: Option<u32>,
    /// `SHA256:…`.
    pub fingerprint: String,
}

/// Reads a line made by [`public_half`].
pub fn describe(line: &str) -> Option<PublicHalf> {
    let key = PublicKey::from_openssh(line).ok()?;
    Some(PublicHalf {
        line: line.to_owned(),
        key_type: key.algorithm().as_str().to_owned(),
        bits: key.key_data().rsa().map(ssh_key::public::RsaPublicKey::key_size),
        fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
    })
}

/// A key as far as it reads without a passphrase.
enum Form {
    OpenSsh(Box<PrivateKey>),
    Der(Found),
}

fn read(text: &str) -> Result<Form, KeyFault> {
    if text.len() > KEY_BYTES_MAX {
        return Err(KeyFault::key("too_long", "SSH key must be 16,384 characters or fewer"));
    }
    let text = text.trim();
    if text.starts_with("PuTTY-User-Key-File-") {
        return Err(KeyFault::key("unsupported", "This is a PuTTY key. Export it in OpenSSH form"));
    }
    if text.starts_with("-----BEGIN PUBLIC KEY")
        || text.starts_with("---- BEGIN SSH2 PUBLIC")
        || is_public(text)
    {
        return Err(KeyFault::key("public_key_given", "This is a public key. Enter the private key"));
    }
    let block = pem::read(text).ok_or_else(KeyFault::incomplete)?;
    match block.label.as_str() {
        "OPENSSH PRIVATE KEY" => openssh(&block.content).map(|key| Form::OpenSsh(Box::new(key))),
        "DSA PRIVATE KEY" => Err(KeyFault::unsupported("DSA")),
        "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            der::glance(block).map(Form::Der)
        }
        label if label.ends_with("PUBLIC KEY") || label.ends_with("CERTIFICATE") => {
            Err(KeyFault::key("public_key_given", "This is a public key. Enter the private key"))
        }
        label => Err(KeyFault::unsupported(label)),
    }
}

/// A line of a `.pub` file.
fn is_public(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let (Some(kind), Some(key)) = (words.next(), words.next()) else { return false };
    (kind.starts_with("ssh-") || kind.starts_with("ecdsa-") || kind.starts_with("sk-"))
        && key.starts_with("AAAA")
}

fn openssh(content: &[u8]) -> Result<PrivateKey, KeyFault> {
    let key = PrivateKey::from_bytes(content).map_err(|_| KeyFault::incomplete())?;
    if let Kdf::Bcrypt { rounds, .. } = key.kdf()
        && *rounds > ROUNDS_MAX
    {
        return Err(KeyFault::too_much_work(u64::from(*rounds)));
    }
    judge_public(key.public_key())?;
    Ok(key)
}

fn decrypt(key: &PrivateKey, passphrase: Option<&Secret>) -> Result<PrivateKey, KeyFault> {
    let passphrase = passphrase.ok_or_else(KeyFault::no_passphrase)?;
    let opened = key.decrypt(passphrase.expose()).map_err(|_| KeyFault::wrong_passphrase())?;
    if opened.public_key().key_data() != key.public_key().key_data() {
        return Err(KeyFault::incomplete());
    }
    Ok(opened)
}

fn judge(key: &PrivateKey) -> Result<(), KeyFault> {
    judge_public(key.public_key())?;
    match key.key_data() {
        KeypairData::Ecdsa(_) | KeypairData::Ed25519(_) | KeypairData::Rsa(_) => Ok(()),
        _ => Err(KeyFault::unsupported(key.algorithm().as_str())),
    }
}

fn judge_public(key: &PublicKey) -> Result<(), KeyFault> {
    match key.algorithm() {
        Algorithm::Rsa { .. } => {
            match key.key_data().rsa().map_or(0, ssh_key::public::RsaPublicKey::key_size) {
                ..RSA_BITS_MIN => Err(KeyFault::key("weak_key", "SSH key must be 2048 bits or more")),
                RSA_BITS_MIN..=RSA_BITS_MAX => Ok(()),
                bits => Err(KeyFault::unsupported(&format!("RSA {bits}-bit"))),
            }
        }
        Algorithm::Ecdsa { .. } | Algorithm::Ed25519 => Ok(()),
        Algorithm::Dsa => Err(KeyFault::unsupported("DSA")),
        other => Err(KeyFault::unsupported(other.as_str())),
    }
}

/// Base64 of the content of a block.
fn decoded(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    BASE64_STANDARD.decode(text).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests;
