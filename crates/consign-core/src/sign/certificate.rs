//! An X.509 certificate (RFC 5280): read, judged, and held against its private key.

use aws_lc_rs::digest;
use base64::prelude::{BASE64_STANDARD, Engine as _};
use x509_cert::certificate::Version;
use x509_cert::der::asn1::{ContextSpecific, SequenceRef, UintRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Decode as _, Reader as _, SliceReader, TagNumber};
use x509_cert::ext::pkix::KeyUsage;
use x509_cert::spki::AlgorithmIdentifierOwned;

use super::{SigningKey, pem};
use crate::catalog::{Fault, too_long};
use crate::time::Timestamp;

/// The longest text of a certificate or key; a certificate alone takes 2,000 characters.
pub const CHARACTERS_MAX: usize = 16 << 10;
/// Weaker keys can be broken.
const RSA_BITS_MIN: usize = 2_048;
/// Longer ones only cost time.
const RSA_BITS_MAX: usize = 4_096;
/// A name that is shown.
const SUBJECT_CHARACTERS_MAX: usize = 200;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// SHA-256, SHA-384 and SHA-512 with RSA (RFC 8017 appendix A.2.4) and with ECDSA (RFC 5758 section 3.2).
const SIGNATURES: [ObjectIdentifier; 6] = [
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12"),
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3"),
    ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.4"),
];
/// RSASSA-PSS: the hash is among its parameters.
const RSA_PSS: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.10");
/// SHA-256, SHA-384 and SHA-512 (RFC 8017 appendix B.1).
const HASHES: [ObjectIdentifier; 3] = [
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2"),
    ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3"),
];
/// With smaller ones signatures were forged where padding was checked carelessly; NIST SP 800-56B asks for this one.
const RSA_EXPONENT_MIN: u64 = 65_537;

/// A certificate and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    der: Vec<u8>,
    /// The name of its owner, such as `CN=Consign crd_…`.
    pub subject: String,
    /// From when on it is good.
    pub begins: Timestamp,
    /// Until when.
    pub ends: Timestamp,
    /// The key, such as `RSA 3072`.
    pub key: String,
    public_key: Vec<u8>,
}

impl Certificate {
    /// Reads one certificate: PEM, or the Base64 of DER. Its times are not judged.
    ///
    /// # Errors
    /// The sentence for the certificate.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let bad_form =
            || Fault::new("bad_form", "Certificate must be an X.509 certificate in PEM or DER form");
        if text.chars().count() > CHARACTERS_MAX {
            return Err(too_long("Certificate", CHARACTERS_MAX));
        }
        if text.contains("PRIVATE KEY-----") {
            let sentence = "This is a private key. Remove it from here and treat it as exposed";
            return Err(Fault::new("private_key_given", sentence));
        }
        if text.contains("-----") {
            let blocks = pem::blocks(text).ok_or_else(bad_form)?;
            if blocks.len() > 1 {
                return Err(Fault::new("too_many", "Add one certificate only"));
            }
        }
        let block = pem::one(text).ok_or_else(bad_form)?;
        if !matches!(block.label, "" | "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE") {
            return Err(bad_form());
        }
        if pem::is_pkcs12(&block.content) {
            return Err(pem::pkcs12());
        }
        let read = x509_cert::Certificate::from_der(&block.content).map_err(|_| bad_form())?;
        if read.tbs_certificate().version() != Version::V3 {
            let sentence = "Certificate must be an X.509 certificate of version 3";
            return Err(Fault::new("unsupported", sentence));
        }
        let key = key_of(&read)?;
        if !is_strong(read.signature_algorithm()) {
            let sentence = "Certificate must be signed with SHA-256 or better";
            return Err(Fault::new("weak_signature", sentence));
        }
        let inner = read.tbs_certificate();
        let usage = inner.get_extension::<KeyUsage>().map_err(|_| bad_form())?;
        if usage.is_some_and(|(_, usage)| !usage.digital_signature() && !usage.non_repudiation()) {
            let sentence = "The key usage of this certificate does not allow signatures";
            return Err(Fault::new("key_usage", sentence));
        }
        let millis = |time: x509_cert::time::Time| {
            i64::try_from(time.to_unix_duration().as_millis()).map(Timestamp::from_millis)
        };
        let validity = inner.validity();
        let shown = inner.subject().to_string();
        let shown = shown.chars().filter(|c| !c.is_control()).take(SUBJECT_CHARACTERS_MAX);
        Ok(Self {
            der: block.content.to_vec(),
            subject: shown.collect(),
            begins: millis(validity.not_before).map_err(|_| bad_form())?,
            ends: millis(validity.not_after).map_err(|_| bad_form())?,
            key,
            public_key: in_short(public_key_of(&read)),
        })
    }

    /// Whether it is good now.
    ///
    /// # Errors
    /// The sentence for one that has ended or not begun.
    pub fn judge_time(&self, now: Timestamp) -> Result<(), Fault> {
        if self.ends <= now {
            return Err(Fault::new("ended", format!("This certificate ended on {}", self.ends.day())));
        }
        if self.begins > now {
            let sentence = format!("This certificate begins on {}", self.begins.day());
            return Err(Fault::new("not_begun", sentence));
        }
        Ok(())
    }

    /// Whether a private key is the one of this certificate.
    pub fn belongs_to(&self, key: &SigningKey) -> bool {
        self.public_key == in_short(key.public_key())
    }

    /// Whether another certificate is of the same key.
    pub fn has_key_of(&self, other: &Self) -> bool {
        self.public_key == other.public_key
    }

    /// The text between BEGIN and END lines, with them.
    pub fn pem(&self) -> String {
        pem::certificate(&self.der)
    }

    /// The text between BEGIN and END lines, in one line.
    pub fn base64(&self) -> String {
        BASE64_STANDARD.encode(&self.der)
    }

    /// The SHA-256 of it, as tools show it: `AB:CD:…`.
    pub fn fingerprint(&self) -> String {
        let hash = digest::digest(&digest::SHA256, &self.der);
        let pairs: Vec<_> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }
}

/// Whether a certificate is signed with SHA-256 or better.
fn is_strong(signature: &AlgorithmIdentifierOwned) -> bool {
    SIGNATURES.contains(&signature.oid)
        || signature.oid == RSA_PSS && pss_hash(signature).is_some_and(|hash| HASHES.contains(&hash))
}

/// The hash in RSASSA-PSS-params (RFC 8017 appendix A.2.3); `None` when it is the default, which is SHA-1.
fn pss_hash(signature: &AlgorithmIdentifierOwned) -> Option<ObjectIdentifier> {
    let mut parameters = SliceReader::new(signature.parameters.as_ref()?.value()).ok()?;
    let hash = ContextSpecific::<AlgorithmIdentifierOwned>::decode_explicit(&mut parameters, TagNumber(0));
    hash.ok()?.map(|hash| hash.value.oid)
}

/// What kind of key it is of.
/// The owner and the end of any certificate, DER, such as of an authority. Nothing else of it is judged.
pub fn owner_and_end(der: &[u8]) -> Option<(String, Timestamp)> {
    let read = x509_cert::Certificate::from_der(der).ok()?;
    let inner = read.tbs_certificate();
    let shown = inner.subject().to_string();
    let shown = shown.chars().filter(|c| !c.is_control()).take(SUBJECT_CHARACTERS_MAX).collect();
    let ends = i64::try_from(inner.validity().not_after.to_unix_duration().as_millis()).ok()?;
    Some((shown, Timestamp::from_millis(ends)))
}

fn key_of(read: &x509_cert::Certificate) -> Result<String, Fault> {
    let weak = || {
        let sentence = "Certificate must use an RSA key of 2048 bits or more, or an EC key";
        Fault::new("weak_key", sentence)
    };
    let algorithm = &read.tbs_certificate().subject_public_key_info().algorithm;
    match algorithm.oid {
        RSA => {
            let (bits, exponent) = rsa_key(public_key_of(read)).ok_or_else(weak)?;
            if bits < RSA_BITS_MIN {
                return Err(weak());
            }
            if bits > RSA_BITS_MAX {
                let sentence = format!("Certificate must use an RSA key of {RSA_BITS_MAX} bits or fewer");
                return Err(Fault::new("too_long", sentence));
            }
            if exponent < RSA_EXPONENT_MIN {
                let sentence =
                    format!("Certificate must use an RSA key with an exponent of {RSA_EXPONENT_MIN} or more");
                return Err(Fault::new("weak_key", sentence));
            }
            Ok(format!("RSA {bits}"))
        }
        EC => {
            let curve = algorithm.parameters.as_ref().and_then(|curve| curve.decode_as().ok());
            match curve {
                Some(P256) => Ok("EC P-256".to_owned()),
                Some(P384) => Ok("EC P-384".to_owned()),
                _ => {
                    let sentence = "Certificate must use an EC key on P-256 or P-384";
                    Err(Fault::new("unsupported", sentence))
                }
            }
        }
        _ => Err(weak()),
    }
}

fn public_key_of(read: &x509_cert::Certificate) -> &[u8] {
    read.tbs_certificate().subject_public_key_info().subject_public_key.raw_bytes()
}

/// A public key in the one form in which keys are compared: points of curves have two (SEC 1 section 2.3.3), and the
/// compressed one says all there is to say. An RSAPublicKey begins with another byte.
pub(super) fn in_short(public_key: &[u8]) -> Vec<u8> {
    match public_key {
        [4, coordinates @ ..] => {
            let (x, y) = coordinates.split_at(coordinates.len() / 2);
            let odd = y.last().is_some_and(|last| last % 2 == 1);
            [&[2 + u8::from(odd)], x].concat()
        }
        other => other.to_vec(),
    }
}

/// The length of the modulus in an RSAPublicKey (RFC 8017 appendix A.1.1), and the exponent, as far as it goes.
fn rsa_key(public_key: &[u8]) -> Option<(usize, u64)> {
    let sequence = <&SequenceRef>::from_der(public_key).ok()?;
    let mut inside = SliceReader::new(sequence.as_bytes()).ok()?;
    let modulus = UintRef::decode(&mut inside).ok()?;
    let bytes = modulus.as_bytes();
    let exponent = UintRef::decode(&mut inside).ok().filter(|_| inside.is_finished())?;
    let exponent = exponent
        .as_bytes()
        .iter()
        .try_fold(0_u64, |value, byte| value.checked_mul(256).map(|value| value + u64::from(*byte)));
    let unused = usize::try_from(bytes.first()?.leading_zeros()).ok()?;
    Some((bytes.len() * 8 - unused, exponent.unwrap_or(u64::MAX)))
}
