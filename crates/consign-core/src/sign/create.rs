//! A key pair of one's own: RSA, with a certificate that it signs itself.

use std::time::Duration;

use jiff::ToSpan as _;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, RsaKeySize,
    date_time_ymd,
};
use zeroize::Zeroizing;

use super::{Certificate, SigningKey, Unusable, pem};
use crate::secret::Secret;
use crate::time::Timestamp;

/// The longest life of a certificate that is created here.
pub const CERTIFICATE_YEARS_MAX: u8 = 10;

/// How long the key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeySize {
    /// 2,048 bits: a signature takes a third of the time.
    Rsa2048,
    /// 3,072 bits: 128 bits of strength.
    #[default]
    Rsa3072,
}

impl KeySize {
    /// All, in screen order.
    pub const ALL: [Self; 2] = [Self::Rsa3072, Self::Rsa2048];

    /// The number of bits.
    pub const fn bits(self) -> u16 {
        match self {
            Self::Rsa2048 => 2_048,
            Self::Rsa3072 => 3_072,
        }
    }

    /// The size of so many bits.
    pub fn of_bits(bits: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.bits().to_string() == bits)
    }
}

/// Creates a key and its certificate. It takes up to seconds: no run time's thread should wait for it.
///
/// # Errors
/// When the system has no randomness.
pub fn create(
    common_name: &str,
    size: KeySize,
    years: u8,
    now: Timestamp,
) -> Result<(Certificate, Secret), Unusable> {
    let rsa = match size {
        KeySize::Rsa2048 => RsaKeySize::_2048,
        KeySize::Rsa3072 => RsaKeySize::_3072,
    };
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, rsa).map_err(|_| Unusable)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let today = now.day().parse::<jiff::civil::Date>().map_err(|_| Unusable)?;
    let midnight = |day: jiff::civil::Date| {
        let part = |part: i8| u8::try_from(part).expect("months and days are above zero");
        date_time_ymd(i32::from(day.year()), part(day.month()), part(day.day()))
    };
    // A tool whose clock is behind takes it today, too.
    params.not_before = midnight(today.saturating_sub(1.day()));
    // The last second of a day: a certificate that ends on a day is good on it.
    params.not_after = midnight(today.saturating_add(i16::from(years).years())) - Duration::from_secs(1);
    let certificate = params.self_signed(&key).map_err(|_| Unusable)?;
    let certificate = Certificate::parse(&certificate.pem()).map_err(|_| Unusable)?;
    let stored = pem::private_key(&Zeroizing::new(key.serialize_der()));
    // What was made is what can be read back and belongs together.
    let belongs = certificate.belongs_to(&SigningKey::stored(&stored)?);
    if belongs { Ok((certificate, stored)) } else { Err(Unusable) }
}
