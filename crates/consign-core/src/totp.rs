//! Codes of the second step of signing in: TOTP (RFC 6238) with HMAC-SHA-1, 30 seconds and six digits, which is what
//! authenticator apps understand. Keys and recovery codes are written in Base32 (RFC 4648 section 6).

use aws_lc_rs::hmac;

use crate::secret::Secret;
use crate::time::Timestamp;

/// RFC 4226 section 4 recommends 160 bits.
pub const KEY_BYTES: usize = 20;
/// RFC 6238 section 5.2: the default step.
const STEP_SECONDS: i64 = 30;
const DIGITS: u32 = 6;
/// RFC 6238 section 5.2 recommends one step for the way of the code; one ahead is for a clock that is fast.
const STEPS_OFF: i64 = 1;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step that a code belongs to, when it fits now and is of a later step than the last one that was used: no code
/// works twice (RFC 6238 section 5.2).
pub fn accept(key: &[u8], code: &str, now: Timestamp, last_step: Option<i64>) -> Option<i64> {
    let typed = code.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let present = now.seconds() / STEP_SECONDS;
    let mut accepted = None;
    for step in present - STEPS_OFF..=present + STEPS_OFF {
        let expected = Secret::new(code_at(key, step, DIGITS));
        // Every step is compared in full: the time tells nothing.
        let fits =
            aws_lc_rs::constant_time::verify_slices_are_equal(expected.expose().as_bytes(), typed.as_bytes());
        if fits.is_ok() && last_step.is_none_or(|last| step > last) {
            accepted = Some(step);
        }
    }
    accepted
}

/// The code of a step: RFC 4226 section 5.3.
fn code_at(key: &[u8], step: i64, digits: u32) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 0x0f);
    let four: [u8; 4] = tag[offset..offset + 4].try_into().expect("SHA-1 gives 20 bytes");
    let number = u32::from_be_bytes(four) & 0x7fff_ffff;
    let width = usize::try_from(digits).expect("a handful");
    format!("{:0width$}", number % 10_u32.pow(digits))
}

/// What an app reads from a QR code: the key, and whose it is.
pub fn address(key: &str, issuer: &str, account: &str) -> Secret {
    let (issuer, account) = (escaped(issuer), escaped(account));
    Secret::new(format!("otpauth://totp/{issuer}:{account}?secret={key}&issuer={issuer}"))
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// Bytes in Base32, without padding.
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    for chunk in bytes.chunks(5) {
        let mut five = [0_u8; 8];
        five[3..3 + chunk.len()].copy_from_slice(chunk);
        let bits = u64::from_be_bytes(five);
        let letters = (chunk.len() * 8).div_ceil(5);
        for letter in 0..letters {
            let five_bits = (bits >> (35 - 5 * letter)) & 31;
            text.push(char::from(ALPHABET[usize::try_from(five_bits).expect("five bits")]));
        }
    }
    text
}

/// The bytes of a Base32 text; small letters, blanks and hyphens are taken as people write them.
pub fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'-') {
        let value = ALPHABET.iter().position(|known| *known == letter.to_ascii_uppercase())?;
        bits = (bits << 5) | u32::try_from(value).ok()?;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).ok()?);
        }
        bits &= (1 << held) - 1;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
