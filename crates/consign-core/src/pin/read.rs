//! Reading pinned host keys in the forms that people have them in.

use aws_lc_rs::hmac;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD, Engine as _};

use super::{Fingerprint, HostKey, HostKeyPin, KeyType, PINS_MAX, RSA_BITS_MIN};
use crate::catalog::Fault;
use crate::target::SftpAddress;

/// What stands before a fingerprint.
const PREFIX: &str = "SHA256:";
/// SHA-256 in Base64 without padding.
const FINGERPRINT_CHARACTERS: usize = 43;
/// Four keys with comments fit many times over.
const TEXT_BYTES_MAX: usize = 32 << 10;

/// Reads one pin a line; empty lines and comments say nothing.
pub(super) fn pins(text: &str, address: Option<&SftpAddress>) -> Result<Vec<HostKeyPin>, Fault> {
    if text.contains("PRIVATE KEY-----") || text.contains("PuTTY-User-Key-File-") {
        let sentence = "This is a private key. Remove it from here and treat it as exposed";
        return Err(Fault::new("private_key_given", sentence));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(bad_form());
    }
    let mut pins: Vec<HostKeyPin> = Vec::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let pin = pin(&words, address)?;
        match pins.iter_mut().find(|known| known.fingerprint == pin.fingerprint) {
            // The same key twice is one pin; the form that says more stays.
            Some(known) => {
                known.key_type = known.key_type.or(pin.key_type);
                known.key = known.key.take().or(pin.key);
            }
            None => pins.push(pin),
        }
    }
    match pins.len() {
        0 => {
            let sentence = "Enter the SFTP server fingerprint or read it from the server";
            Err(Fault::new("missing", sentence))
        }
        1..=PINS_MAX => Ok(pins),
        _ => Err(Fault::new("too_many", "Add 4 host keys or fewer")),
    }
}

fn pin(words: &[&str], address: Option<&SftpAddress>) -> Result<HostKeyPin, Fault> {
    if let Some(mark) = words.first().filter(|word| word.starts_with('@')) {
        return Err(unsupported(mark));
    }
    if words.iter().take(2).any(|word| is_md5(word)) {
        let sentence = "This is an MD5 fingerprint, which can be forged. Enter a SHA256 fingerprint";
        return Err(Fault::new("md5_fingerprint", sentence));
    }
    if let [word] = words
        && let Some(hash) = sha256_in_hex(word)
    {
        let converted = BASE64_STANDARD_NO_PAD.encode(hash);
        let sentence = format!("This is a SHA-256 value in hex. Enter it as SHA256:{converted}");
        return Err(Fault::new("bad_form", sentence));
    }
    match words {
        [print] if print.starts_with(PREFIX) => bare(fingerprint(print)?, None),
        [kind, print] if print.starts_with(PREFIX) && !is_number(kind) => {
            bare(fingerprint(print)?, Some(family(kind)?))
        }
        [bits, print, .., kind] if print.starts_with(PREFIX) && is_number(bits) => {
            bare(fingerprint(print)?, Some(family_in_brackets(bits, kind)?))
        }
        [kind, key, ..] if is_kind(kind) => whole(kind, key),
        [hosts, kind, key, ..] if is_kind(kind) => {
            let pin = whole(kind, key)?;
            for_host(hosts, address)?;
            Ok(pin)
        }
        _ => Err(bad_form()),
    }
}

fn bare(fingerprint: Fingerprint, key_type: Option<KeyType>) -> Result<HostKeyPin, Fault> {
    Ok(HostKeyPin { key_type, fingerprint, key: None, confirmed: None })
}

/// `SHA256:` and 43 characters; the `=` that pads them is tolerated.
fn fingerprint(word: &str) -> Result<Fingerprint, Fault> {
    let text = word.strip_prefix(PREFIX).unwrap_or_default();
    let text = text.strip_suffix('=').unwrap_or(text);
    if text.chars().count() != FINGERPRINT_CHARACTERS {
        let sentence = "SHA256 fingerprint must have 43 characters after SHA256:";
        return Err(Fault::new("bad_length", sentence));
    }
    let hash = BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| bad_form())?;
    hash.try_into().map(Fingerprint).map_err(|_| bad_form())
}

/// A type and a key in Base64, as a `.pub` file has them.
fn whole(kind: &str, key: &str) -> Result<HostKeyPin, Fault> {
    let said = family(kind)?;
    let key = BASE64_STANDARD.decode(key).map_err(|_| bad_form())?;
    let within = kind_within(&key).ok_or_else(bad_form)?;
    if within != said.key_kind() {
        let sentence = format!("The key says {}, the line says {kind}", shown(within));
        return Err(Fault::new("not_matching", sentence));
    }
    let host_key = HostKey::parse(&key).ok_or_else(bad_form)?;
    if host_key.is_weak() {
        return Err(unsupported(&format!("RSA {}-bit", host_key.bits)));
    }
    let fingerprint = host_key.fingerprint();
    Ok(HostKeyPin { key_type: Some(said), fingerprint, key: Some(key), confirmed: None })
}

/// The type that stands at the start of a key (RFC 4253 section 6.6).
fn kind_within(key: &[u8]) -> Option<&str> {
    let (length, rest) = key.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    std::str::from_utf8(rest.get(..length)?).ok()
}

fn family(kind: &str) -> Result<KeyType, Fault> {
    KeyType::find(kind).ok_or_else(|| if is_kind(kind) { unsupported(kind) } else { bad_form() })
}

/// The type at the end of a line of `ssh-keygen -l`: `256 SHA256:… comment (ECDSA)`.
fn family_in_brackets(bits: &str, kind: &str) -> Result<KeyType, Fault> {
    let inner = kind.strip_prefix('(').and_then(|kind| kind.strip_suffix(')')).ok_or_else(bad_form)?;
    let bits: u32 = bits.parse().map_err(|_| bad_form())?;
    match (inner, bits) {
        ("RSA", RSA_BITS_MIN..) => Ok(KeyType::Rsa),
        ("RSA", _) => Err(unsupported(&format!("RSA {bits}-bit"))),
        ("ECDSA", 256) => Ok(KeyType::EcdsaP256),
        ("ECDSA", 384) => Ok(KeyType::EcdsaP384),
        ("ECDSA", 521) => Ok(KeyType::EcdsaP521),
        ("ED25519", 256) => Ok(KeyType::Ed25519),
        ("ECDSA" | "ED25519", _) => Err(bad_form()),
        _ => Err(unsupported(inner)),
    }
}

/// Whether a word is the name of a kind of key, accepted or not.
fn is_kind(word: &str) -> bool {
    let starts = ["ssh-", "ecdsa-sha2-", "rsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
    starts.iter().any(|start| word.starts_with(start)) || word.contains("-cert-v0")
}

fn is_number(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit())
}

/// 16 bytes in hex, with colons or without, or behind `MD5:`.
fn is_md5(word: &str) -> bool {
    let marked = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("MD5:"));
    marked || in_hex(word).is_some_and(|bytes| bytes.len() == 16)
}

fn sha256_in_hex(word: &str) -> Option<Vec<u8>> {
    in_hex(word).filter(|bytes| bytes.len() == 32)
}

/// Bytes in hex: all together, or in pairs between colons.
fn in_hex(word: &str) -> Option<Vec<u8>> {
    let text = if word.contains(':') {
        let pairs: Vec<&str> = word.split(':').collect();
        if pairs.iter().any(|pair| pair.len() != 2) {
            return None;
        }
        pairs.concat()
    } else {
        word.to_owned()
    };
    let digits: Option<Vec<u32>> = text.chars().map(|c| c.to_digit(16)).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    let byte = |[high, low]: &[u32; 2]| u8::try_from(high * 16 + low).expect("two hex digits are one byte");
    (rest.is_empty() && !pairs.is_empty()).then(|| pairs.iter().map(byte).collect())
}

/// A line of `known_hosts` must be for our server: sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT".
fn for_host(hosts: &str, address: Option<&SftpAddress>) -> Result<(), Fault> {
    let Some(address) = address else { return Ok(()) };
    let ours = address.known_hosts_name();
    let found = hosts.split(',').any(|host| match host.strip_prefix("|1|") {
        Some(hashed) => is_hash_of(hashed, &ours).unwrap_or(false),
        None => host.eq_ignore_ascii_case(&ours),
    });
    if found {
        return Ok(());
    }
    let theirs = if hosts.starts_with('|') { "another host" } else { hosts };
    let sentence = format!("This line is for {}, not for {ours}", shown(theirs));
    Err(Fault::new("other_host", sentence))
}

/// `salt|hash`, both in Base64: the hash is HMAC-SHA1 of the name under the salt.
fn is_hash_of(hashed: &str, name: &str) -> Option<bool> {
    let (salt, hash) = hashed.split_once('|')?;
    let (salt, hash) = (BASE64_STANDARD.decode(salt).ok()?, BASE64_STANDARD.decode(hash).ok()?);
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
    Some(hmac::verify(&key, name.as_bytes(), &hash).is_ok())
}

fn unsupported(kind: &str) -> Fault {
    Fault::new("unsupported", format!("{} keys are not supported", shown(kind)))
}

fn bad_form() -> Fault {
    Fault::new("bad_form", "SFTP server fingerprint must start with SHA256: or be a public key line")
}

/// A word of a stranger in a sentence.
fn shown(word: &str) -> String {
    word.chars().filter(|c| !c.is_control()).take(80).collect()
}
