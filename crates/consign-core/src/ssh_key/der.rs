//! Keys in ASN.1: PKCS#8, PKCS#1 and SEC1. They are turned into the form that SSH has for keys, and read from that, so
//! that there is one reader of numbers and curves.

use aws_lc_rs::cipher::{
    AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey,
};
use aws_lc_rs::encoding::AsBigEndian;
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use pkcs8::der::asn1::UintRef;
use pkcs8::der::{Decode as _, Reader as _, SliceReader};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::{EncryptedPrivateKeyInfoRef, ObjectIdentifier, PrivateKeyInfoRef};
use ssh_key::PrivateKey;
use ssh_key::encoding::Decode as _;
use ssh_key::private::KeypairData;
use zeroize::Zeroizing;

use super::KeyFault;
use super::pem::Block;
use crate::secret::Secret;

/// PBKDF2 does two million rounds in about a second.
const PBKDF2_ROUNDS_MAX: u32 = 2_000_000;
/// scrypt: 128 bytes times this are held in memory.
const SCRYPT_BLOCKS_MAX: u64 = 1 << 19;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

/// Its identifier, as it stands in a key (1.3.132.0.10).
const SECP256K1: [u8; 7] = [0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];

/// The curves, and what SSH calls them (RFC 5656 section 10.1).
const CURVES: [(&EcdsaSigningAlgorithm, &str); 3] = [
    (&ECDSA_P256_SHA256_ASN1_SIGNING, "nistp256"),
    (&ECDSA_P384_SHA384_ASN1_SIGNING, "nistp384"),
    (&ECDSA_P521_SHA512_ASN1_SIGNING, "nistp521"),
];

/// A block that may open, looked at without doing any work.
pub(super) struct Found {
    block: Block,
    form: Form,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Pkcs8,
    Pkcs8Encrypted,
    Pkcs1,
    Sec1,
}

/// Looks at a block: what it asks for before it opens.
pub(super) fn glance(block: Block) -> Result<Found, KeyFault> {
    let form = match block.label.as_str() {
        "RSA PRIVATE KEY" => Form::Pkcs1,
        "EC PRIVATE KEY" => Form::Sec1,
        "ENCRYPTED PRIVATE KEY" => Form::Pkcs8Encrypted,
        _ => Form::Pkcs8,
    };
    match (form, &block.cipher) {
        (Form::Pkcs8Encrypted, _) => judge_work(&block.content)?,
        (Form::Pkcs1 | Form::Sec1, Some(cipher)) => drop(dek(cipher)?),
        // What is not encrypted is read at once.
        (Form::Pkcs8 | Form::Pkcs1 | Form::Sec1, _) => drop(key(form, &block.content)?),
    }
    Ok(Found { block, form })
}

/// Opens a block.
pub(super) fn open(found: &Found, passphrase: Option<&Secret>) -> Result<PrivateKey, KeyFault> {
    let Found { block, form } = found;
    let passphrase = || passphrase.ok_or_else(KeyFault::no_passphrase);
    match (form, &block.cipher) {
        (Form::Pkcs8Encrypted, _) => {
            let encrypted = EncryptedPrivateKeyInfoRef::from_der(&block.content);
            let encrypted = encrypted.map_err(|_| KeyFault::incomplete())?;
            let opened = encrypted.decrypt(passphrase()?.expose());
            let opened = opened.map_err(|_| KeyFault::wrong_passphrase())?;
            key(Form::Pkcs8, opened.as_bytes())
        }
        (Form::Pkcs1 | Form::Sec1, Some(cipher)) => {
            let opened = decrypt(cipher, &block.content, passphrase()?)?;
            // A wrong passphrase leaves rubbish that now and then ends like padding.
            key(*form, &opened).map_err(|fault| match fault.fault.code {
                "incomplete" => KeyFault::wrong_passphrase(),
                _ => fault,
            })
        }
        (Form::Pkcs8 | Form::Pkcs1 | Form::Sec1, _) => key(*form, &block.content),
    }
}

/// Reads the work that a PKCS#8 file asks for (RFC 8018, RFC 7914).
fn judge_work(content: &[u8]) -> Result<(), KeyFault> {
    let parsed = EncryptedPrivateKeyInfoRef::from_der(content);
    let parsed = parsed.map_err(|_| KeyFault::unsupported("PKCS#8 PBES1"))?;
    let EncryptionScheme::Pbes2(parameters) = &parsed.encryption_algorithm else {
        return Err(KeyFault::unsupported("PKCS#8 PBES1"));
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(kdf) if kdf.iteration_count > PBKDF2_ROUNDS_MAX => {
            Err(KeyFault::too_much_work(u64::from(kdf.iteration_count)))
        }
        Kdf::Scrypt(kdf) => {
            let blocks = kdf.cost_parameter.saturating_mul(u64::from(kdf.block_size));
            let work = blocks.saturating_mul(u64::from(kdf.parallelization));
            if work > SCRYPT_BLOCKS_MAX { Err(KeyFault::too_much_work(work)) } else { Ok(()) }
        }
        _ => Ok(()),
    }
}

/// The key in unencrypted ASN.1.
fn key(form: Form, content: &[u8]) -> Result<PrivateKey, KeyFault> {
    let wire = match form {
        Form::Pkcs1 => rsa(content)?,
        Form::Sec1 => ec(content)?,
        Form::Pkcs8 | Form::Pkcs8Encrypted => {
            let info = PrivateKeyInfoRef::from_der(content).map_err(|_| KeyFault::incomplete())?;
            match info.algorithm.oid {
                RSA => rsa(info.private_key.as_bytes())?,
                EC => ec(content)?,
                ED25519 => ed25519(content)?,
                DSA => return Err(KeyFault::unsupported("DSA")),
                other => return Err(KeyFault::unsupported(&other.to_string())),
            }
        }
    };
    let pair = KeypairData::decode(&mut wire.0.as_slice()).map_err(|_| KeyFault::incomplete())?;
    PrivateKey::new(pair, "").map_err(|_| KeyFault::incomplete())
}

/// `RSAPrivateKey`: version, n, e, d, p, q, d mod (p-1), d mod (q-1), 1/q mod p.
fn rsa(content: &[u8]) -> Result<Wire, KeyFault> {
    let numbers = rsa_numbers(content).map_err(|_| KeyFault::incomplete())?;
    let [_, n, e, d, p, q, _, _, inverse] = numbers;
    let mut wire = Wire::of("ssh-rsa");
    for number in [n, e, d, inverse, p, q] {
        wire.number(number.as_bytes());
    }
    Ok(wire)
}

fn rsa_numbers(content: &[u8]) -> pkcs8::der::Result<[UintRef<'_>; 9]> {
    let mut reader = SliceReader::new(content)?;
    reader.sequence(|reader| {
        let mut numbers = [UintRef::new(&[0])?; 9];
        for number in &mut numbers {
            *number = reader.decode()?;
        }
        Ok::<_, pkcs8::der::Error>(numbers)
    })
}

/// SEC1, or PKCS#8 around it; the public half is worked out, not believed.
fn ec(content: &[u8]) -> Result<Wire, KeyFault> {
    let found = CURVES.iter().find_map(|(curve, name)| {
        EcdsaKeyPair::from_private_key_der(curve, content).ok().map(|pair| (pair, *name))
    });
    let Some((pair, name)) = found else {
        // The curve of Bitcoin is the one other that people have keys on.
        let known = content.windows(SECP256K1.len()).any(|window| window == SECP256K1);
        return Err(if known { KeyFault::unsupported("secp256k1") } else { KeyFault::incomplete() });
    };
    let private = pair.private_key().as_be_bytes().map_err(|_| KeyFault::incomplete())?;
    let mut wire = Wire::of(&format!("ecdsa-sha2-{name}"));
    wire.string(name.as_bytes());
    wire.string(pair.public_key().as_ref());
    wire.number(private.as_ref());
    Ok(wire)
}

/// RFC 8410 section 7.
fn ed25519(content: &[u8]) -> Result<Wire, KeyFault> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(content).map_err(|_| KeyFault::incomplete())?;
    let seed = pair.seed().map_err(|_| KeyFault::incomplete())?;
    let seed = seed.as_be_bytes().map_err(|_| KeyFault::incomplete())?;
    let public = pair.public_key().as_ref();
    let mut wire = Wire::of("ssh-ed25519");
    wire.string(public);
    wire.string(&Zeroizing::new([seed.as_ref(), public].concat()));
    Ok(wire)
}

/// The name and the first bytes of `DEK-Info: AES-128-CBC,…`.
fn dek(cipher: &str) -> Result<(&'static Algorithm, [u8; 16]), KeyFault> {
    let (name, salt) = cipher.split_once(',').ok_or_else(KeyFault::incomplete)?;
    let algorithm = match name {
        "AES-128-CBC" => &AES_128,
        "AES-192-CBC" => &AES_192,
        "AES-256-CBC" => &AES_256,
        other => return Err(KeyFault::unsupported(&format!("{other} encrypted"))),
    };
    let salt = u128::from_str_radix(salt, 16).ok().filter(|_| salt.len() == 32);
    Ok((algorithm, salt.ok_or_else(KeyFault::incomplete)?.to_be_bytes()))
}

/// The key is MD5 over itself, passphrase and salt, until it is long enough (RFC 1423, as OpenSSL does it).
fn decrypt(cipher: &str, content: &[u8], passphrase: &Secret) -> Result<Zeroizing<Vec<u8>>, KeyFault> {
    let (algorithm, iv) = dek(cipher)?;
    let length = match algorithm {
        _ if *algorithm == AES_128 => 16,
        _ if *algorithm == AES_192 => 24,
        _ => 32,
    };
    let mut stretched = Zeroizing::new(Vec::with_capacity(32));
    let mut last: Zeroizing<Vec<u8>> = Zeroizing::default();
    while stretched.len() < length {
        let input = Zeroizing::new([last.as_slice(), passphrase.expose().as_bytes(), &iv[..8]].concat());
        *last = md5::compute(input.as_slice()).0.to_vec();
        stretched.extend_from_slice(&last);
    }
    let wrong = |_| KeyFault::wrong_passphrase();
    let key = UnboundCipherKey::new(algorithm, &stretched[..length]).map_err(wrong)?;
    let key = PaddedBlockDecryptingKey::cbc_pkcs7(key).map_err(wrong)?;
    let mut content = Zeroizing::new(content.to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(&iv));
    let opened = key.decrypt(&mut content, context).map_err(wrong)?;
    Ok(Zeroizing::new(opened.to_vec()))
}

/// A key as SSH writes it (RFC 4251 section 5).
struct Wire(Zeroizing<Vec<u8>>);

impl Wire {
    fn of(kind: &str) -> Self {
        let mut wire = Self(Zeroizing::new(Vec::with_capacity(4_096)));
        wire.string(kind.as_bytes());
        wire
    }

    fn string(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a key is far below 4 GiB");
        self.0.extend_from_slice(&length.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    /// Without zeros in front, but for one where the first bit would be a sign.
    fn number(&mut self, bytes: &[u8]) {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let bytes = &bytes[start..];
        match bytes.first() {
            Some(0x80..) => self.string(&Zeroizing::new([&[0], bytes].concat())),
            _ => self.string(bytes),
        }
    }
}
