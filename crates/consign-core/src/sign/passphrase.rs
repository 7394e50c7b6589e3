//! Private keys under a passphrase: PBES2 with PBKDF2 and AES-CBC (RFC 8018 section 6.2), which is what OpenSSL and
//! Java write. The passphrase is used once and not kept.

use std::num::NonZeroU32;

use aws_lc_rs::cipher::{self, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::pbkdf2;
use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{Decode as _, Reader as _, SliceReader};
use pkcs8::pkcs5::pbes2::{EncryptionScheme, Kdf, Pbkdf2Prf};
use zeroize::Zeroizing;

use super::import::NotTaken;
use crate::catalog::{Fault, with_commas};
use crate::secret::Secret;

/// A second of work, far above what programs use.
const ROUNDS_MAX: u32 = 1_000_000;

/// Opens an encrypted key.
pub(super) fn open(
    sealed: &EncryptedPrivateKeyInfoRef<'_>,
    typed: Option<&Secret>,
) -> Result<Zeroizing<Vec<u8>>, NotTaken> {
    let refuse = |code, sentence: &str| NotTaken::Key(Fault::new(code, sentence));
    let unsupported = || refuse("unsupported", super::import::UNSUPPORTED);
    let scheme = sealed.encryption_algorithm.pbes2().ok_or_else(unsupported)?;
    let Kdf::Pbkdf2(kdf) = &scheme.kdf else { return Err(unsupported()) };
    let (algorithm, iv) = match &scheme.encryption {
        EncryptionScheme::Aes128Cbc { iv } => (&cipher::AES_128, iv),
        EncryptionScheme::Aes192Cbc { iv } => (&cipher::AES_192, iv),
        EncryptionScheme::Aes256Cbc { iv } => (&cipher::AES_256, iv),
        _ => return Err(unsupported()),
    };
    let prf = match kdf.prf {
        Pbkdf2Prf::HmacWithSha1 => pbkdf2::PBKDF2_HMAC_SHA1,
        Pbkdf2Prf::HmacWithSha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Pbkdf2Prf::HmacWithSha384 => pbkdf2::PBKDF2_HMAC_SHA384,
        Pbkdf2Prf::HmacWithSha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => return Err(unsupported()),
    };
    let rounds = kdf.iteration_count;
    if rounds > ROUNDS_MAX {
        let rounds = usize::try_from(rounds).unwrap_or(usize::MAX);
        let most = with_commas(1_000_000);
        let sentence = format!(
            "This private key asks for {} rounds of work to open. Save it again with {most} or fewer",
            with_commas(rounds)
        );
        return Err(refuse("too_much_work", &sentence));
    }
    let typed = typed
        .filter(|typed| !typed.expose().is_empty())
        .ok_or_else(|| NotTaken::Passphrase(Fault::new("missing", "This private key needs a passphrase")))?;
    let not_matching =
        || NotTaken::Passphrase(Fault::new("not_matching", "The passphrase does not open this private key"));
    let rounds = NonZeroU32::new(rounds).ok_or_else(unsupported)?;
    let mut key = Zeroizing::new(vec![0; scheme.encryption.key_size()]);
    pbkdf2::derive(prf, rounds, kdf.salt.as_bytes(), typed.expose().as_bytes(), &mut key);
    let key = UnboundCipherKey::new(algorithm, &key).and_then(PaddedBlockDecryptingKey::cbc_pkcs7);
    let key = key.map_err(|_| unsupported())?;
    let mut content = Zeroizing::new(sealed.encrypted_data.as_bytes().to_vec());
    let context = DecryptionContext::Iv128(FixedLength::from(iv));
    let opened = key.decrypt(&mut content, context).map_err(|_| not_matching())?;
    let opened = Zeroizing::new(opened.to_vec());
    // One wrong passphrase in 256 leaves padding that looks right.
    if opened.first() == Some(&SEQUENCE) { Ok(opened) } else { Err(not_matching()) }
}

const SEQUENCE: u8 = 0x30;

/// Whether DER looks like an encrypted key of a scheme that is not known here: an algorithm and a string of bytes.
pub(super) fn is_sealed(der: &[u8]) -> bool {
    let Ok(outer) = AnyRef::from_der(der) else { return false };
    let Ok(mut inside) = SliceReader::new(outer.value()) else { return false };
    let algorithm = AnyRef::decode(&mut inside);
    let content = <&OctetStringRef>::decode(&mut inside);
    algorithm.is_ok_and(|algorithm| algorithm.value().first() == Some(&OBJECT_IDENTIFIER))
        && content.is_ok()
        && inside.is_finished()
}

const OBJECT_IDENTIFIER: u8 = 0x06;
