//! The vectors of RFC 6238 appendix B and RFC 4648 section 10, and the rule that no code works twice.

use super::*;

const KEY: &[u8] = b"12345678901234567890";

#[test]
fn codes_are_those_of_the_standard() {
    // RFC 6238 appendix B, the rows for SHA-1.
    for (seconds, code) in [
        (59, "94287082"),
        (1_111_111_109, "07081804"),
        (1_111_111_111, "14050471"),
        (1_234_567_890, "89005924"),
        (2_000_000_000, "69279037"),
        (20_000_000_000, "65353130"),
    ] {
        assert_eq!(code_at(KEY, seconds / STEP_SECONDS, 8), code, "{seconds}");
    }
    // RFC 4226 appendix D.
    assert_eq!(code_at(KEY, 0, 6), "755224");
    assert_eq!(code_at(KEY, 9, 6), "520489");
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

#[test]
fn a_code_fits_one_step_around_and_never_twice() {
    let step = 1_111_111_111 / STEP_SECONDS;
    let code = code_at(KEY, step, 6);
    let spaced = format!("{} {}", &code[..3], &code[3..]);
    for (off, fits) in [(-2, false), (-1, true), (0, true), (1, true), (2, false)] {
        let now = at((step + off) * STEP_SECONDS);
        assert_eq!(accept(KEY, &code, now, None).is_some(), fits, "{off}");
        assert_eq!(accept(KEY, &spaced, now, None).is_some(), fits, "{off}");
    }
    let now = at(step * STEP_SECONDS);
    assert_eq!(accept(KEY, &code, now, None), Some(step));
    assert_eq!(accept(KEY, &code, now, Some(step)), None, "within its step");
    assert_eq!(accept(KEY, &code, now, Some(step + 1)), None);
    assert_eq!(accept(KEY, &code, now, Some(step - 1)), Some(step));
    for wrong in ["", "000000", "75522", "7552241", "abcdef", "７５５２２４"] {
        assert_eq!(accept(KEY, wrong, now, None), None, "{wrong}");
    }
}

#[test]
fn base32_is_that_of_the_standard() {
    // RFC 4648 section 10, without padding.
    for (bytes, text) in
        [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foob", "MZXW6YQ"), ("fooba", "MZXW6YTB")]
    {
        assert_eq!(base32(bytes.as_bytes()), text);
        assert_eq!(from_base32(text).as_deref(), Some(bytes.as_bytes()));
    }
    assert_eq!(from_base32("mzxw-6ytb oi").as_deref(), Some("foobar".as_bytes()));
    assert_eq!(from_base32("MZ1W"), None, "1 is no letter of it");
    assert_eq!(base32(KEY).len(), 32);
}

#[test]
fn the_address_of_a_key_names_whose_it_is() {
    let address = address("MZXW6YTB", "Consign: Acme & Co", "ana@acme.example");
    assert_eq!(
        address.expose(),
        "otpauth://totp/Consign%3A%20Acme%20%26%20Co:ana%40acme.example?secret=MZXW6YTB&issuer=Consign%3A%20Acme%20%26%20Co"
    );
}
