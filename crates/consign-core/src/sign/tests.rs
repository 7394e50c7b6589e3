use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::import::NotTaken;
use super::*;
use crate::catalog::Fault;
use crate::time::Timestamp;

/// Made with OpenSSL 3.0 and pyca/cryptography: `rsa.*` is one key in many forms.
macro_rules! file {
    ($name:literal) => {
        include_str!(concat!("tests/", $name, ".pem"))
    };
}

const RSA: &str = file!("rsa.certificate");
const PASSPHRASE: &str = "open-sesame";
const PKCS12: &str = "This is a PKCS#12 file (.p12, .pfx), which holds a certificate and its key. Turn it into PEM and \
                      give each on its own: openssl pkcs12 -in file.p12 -out file.pem -nodes";

fn now() -> Timestamp {
    Timestamp::parse_rfc3339("2026-11-26T12:00:00Z").unwrap()
}

fn read(text: &str, passphrase: &str) -> Result<SigningKey, NotTaken> {
    private_key(text, Some(&Secret::new(passphrase.to_owned())))
}

/// What a key signs is verified with the certificate, after it was stored and read again.
#[track_caller]
fn check_key(text: &str, passphrase: &str, certificate: &str) {
    let key = read(text, passphrase).unwrap();
    let certificate = Certificate::parse(certificate).unwrap();
    assert!(certificate.belongs_to(&key));
    let key = SigningKey::stored(&key.to_stored().unwrap()).unwrap();
    assert!(certificate.belongs_to(&key));
    let algorithm: &dyn VerificationAlgorithm = match key.algorithm() {
        Algorithm::RsaSha256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::EcdsaSha256 => &ECDSA_P256_SHA256_FIXED,
        Algorithm::EcdsaSha384 => &ECDSA_P384_SHA384_FIXED,
    };
    let signature = key.sign(b"message").unwrap();
    let public = UnparsedPublicKey::new(algorithm, key.public_key());
    assert!(public.verify(b"message", &signature).is_ok() && public.verify(b"massage", &signature).is_err());
}

#[test]
fn keys_are_read_in_the_forms_that_tools_hand_out() {
    for text in [file!("rsa.pkcs8"), file!("rsa.pkcs1"), file!("rsa.twice")] {
        check_key(text, "", RSA);
        // Line breaks of other systems, and what stands around a block.
        check_key(&format!("key:\r\n{}\r\n", text.replace('\n', "\r\n")), "", RSA);
        let bare: String = text.lines().filter(|line| !line.contains("-----")).collect();
        check_key(&bare, "", RSA);
    }
    check_key(file!("rsa.aes256"), PASSPHRASE, RSA);
    check_key(file!("rsa.aes128"), PASSPHRASE, RSA);
    check_key(&format!("{RSA}{}", file!("rsa.pkcs8")), "not asked for", RSA);
    for text in [file!("p256.sec1"), file!("p256.pkcs8")] {
        check_key(text, "", file!("p256.certificate"));
    }
    for text in [file!("p384.sec1"), file!("p384.pkcs8")] {
        check_key(text, "", file!("p384.certificate"));
    }
}

#[test]
fn what_is_no_usable_key_is_told_apart() {
    let key = |code, message: &str| NotTaken::Key(Fault::new(code, message));
    let phrase = |code, message: &str| NotTaken::Passphrase(Fault::new(code, message));
    let form = key("bad_form", "Private key must be in PEM or DER form");
    let encrypted = key(
        "unsupported",
        "This private key is encrypted in a form that is not supported. Save it again as PKCS#8 with AES",
    );
    let kind = key("unsupported", "Private key must be an RSA key, or an EC key on P-256 or P-384");
    let check = |text: &str, passphrase: &str, expected: &NotTaken| {
        let found = read(text, passphrase).map(drop).unwrap_err();
        assert_eq!(found, *expected, "{}", text.lines().next().unwrap_or_default());
    };
    let missing = phrase("missing", "This private key needs a passphrase");
    let wrong = phrase("not_matching", "The passphrase does not open this private key");
    check(file!("rsa.aes256"), "", &missing);
    check(file!("rsa.aes256"), "open sesame", &wrong);
    assert_eq!(private_key(file!("rsa.aes128"), None).map(drop).unwrap_err(), missing);
    for text in [file!("rsa.des3"), file!("rsa.scrypt"), file!("rsa.traditional")] {
        check(text, PASSPHRASE, &encrypted);
    }
    let rounds =
        "This private key asks for 2,000,000 rounds of work to open. Save it again with 1,000,000 or fewer";
    check(file!("rsa.rounds"), PASSPHRASE, &key("too_much_work", rounds));
    check(file!("ed25519.pkcs8"), "", &kind);
    check(file!("rsa.pkcs12"), PASSPHRASE, &key("unsupported", PKCS12));
    check(file!("p521.pkcs8"), "", &kind);
    let cut = file!("rsa.pkcs8").split("-----END").next().unwrap();
    check(
        cut,
        "",
        &key("incomplete", "Private key is not complete. Copy from the BEGIN line to the END line"),
    );
    check(file!("rsa.public"), "", &key("public_key_given", "This is a public key. Enter the private key"));
    let mask = "This looks like a mask, not a private key. Leave it out to keep the saved one";
    check("••••••", "", &key("mask_value", mask));
    let long = "Private key must be 16,384 characters or fewer";
    check(&"A".repeat(16_385), "", &key("too_long", long));
    let two = format!("{}{}", file!("rsa.pkcs8"), file!("p256.pkcs8"));
    for text in
        ["", "open sesame", "AAAA", RSA, &two, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"]
    {
        check(text, "", &form);
    }
}

#[test]
fn one_wrong_passphrase_after_another_is_a_wrong_passphrase() {
    for number in 0..600 {
        let found = read(file!("rsa.aes128"), &format!("wrong {number}")).map(drop).unwrap_err();
        assert!(matches!(found, NotTaken::Passphrase(fault) if fault.code == "not_matching"), "{number}");
    }
}

#[test]
fn a_certificate_is_read_in_its_forms_and_says_what_it_is() {
    let certificate = Certificate::parse(RSA).unwrap();
    assert_eq!(certificate.pem(), RSA);
    assert_eq!(certificate.key, "RSA 2048");
    assert_eq!(certificate.subject, "O=Acme,CN=Own key");
    let bare: String = RSA.lines().filter(|line| !line.contains("-----")).collect();
    assert_eq!(certificate.base64(), bare);
    for text in [bare.as_str(), &format!("\u{feff}{RSA}\n"), &RSA.replace('\n', "\r\n")] {
        assert_eq!(Certificate::parse(text).unwrap(), certificate);
    }
    // As `openssl x509 -fingerprint -sha256` shows it.
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &BASE64_STANDARD.decode(&bare).unwrap());
    let shown = certificate.fingerprint();
    assert_eq!(shown.len(), 95);
    assert_eq!(shown.replace(':', "").to_lowercase(), crate::hex::hex(hash.as_ref()));
    assert_eq!(Certificate::parse(file!("p256.certificate")).unwrap().key, "EC P-256");
    assert_eq!(Certificate::parse(file!("p384.certificate")).unwrap().key, "EC P-384");
    let sha1_of_same_key = Certificate::parse(file!("usage.certificate"));
    assert!(sha1_of_same_key.is_err());
}

#[test]
fn a_key_belongs_to_a_certificate_with_the_compressed_form_of_its_point() {
    let belongs = |certificate: &str, key: &str| {
        Certificate::parse(certificate).unwrap().belongs_to(&read(key, "").unwrap())
    };
    assert!(belongs(file!("p256.compressed.certificate"), file!("p256.pkcs8")));
    assert!(belongs(file!("p384.compressed.certificate"), file!("p384.pkcs8")));
    assert!(!belongs(file!("p256.compressed.certificate"), file!("p384.pkcs8")));
    let [even, odd] = [[4, 7, 7, 1, 8], [4, 7, 7, 1, 9]].map(|point| certificate::in_short(&point));
    assert_eq!((even, odd), (vec![2, 7, 7], vec![3, 7, 7]));
}

#[test]
fn a_certificate_that_is_none_or_too_weak_is_refused() {
    let check = |text: &str, code: &str, message: &str| {
        let fault = Certificate::parse(text).unwrap_err();
        assert_eq!((fault.code, fault.message.as_str()), (code, message));
    };
    let form = "Certificate must be an X.509 certificate in PEM or DER form";
    let cut = RSA.replace("-----END CERTIFICATE-----\n", "");
    let changed = RSA.replacen("MII", "AII", 1);
    for text in ["", "x", "AAAA", file!("rsa.public"), &cut, &changed, "-----BEGIN X-----\n-----END Y-----"] {
        check(text, "bad_form", form);
    }
    let weak = "Certificate must use an RSA key of 2048 bits or more, or an EC key";
    check(file!("weak.certificate"), "weak_key", weak);
    check(file!("ed25519.certificate"), "weak_key", weak);
    let curve = "Certificate must use an EC key on P-256 or P-384";
    check(file!("p521.certificate"), "unsupported", curve);
    let hash = "Certificate must be signed with SHA-256 or better";
    for text in [
        file!("sha1.certificate"),
        file!("sha224.certificate"),
        file!("ripemd160.certificate"),
        file!("pss.sha1.certificate"),
    ] {
        check(text, "weak_signature", hash);
    }
    assert_eq!(Certificate::parse(file!("pss.sha256.certificate")).unwrap().key, "RSA 2048");
    let version = "Certificate must be an X.509 certificate of version 3";
    check(file!("v1.certificate"), "unsupported", version);
    let exponent = "Certificate must use an RSA key with an exponent of 65537 or more";
    check(file!("exponent.certificate"), "weak_key", exponent);
    check(file!("rsa.pkcs12"), "unsupported", PKCS12);
    let usage = "The key usage of this certificate does not allow signatures";
    check(file!("usage.certificate"), "key_usage", usage);
    check(&format!("{RSA}{RSA}"), "too_many", "Add one certificate only");
    let exposed = "This is a private key. Remove it from here and treat it as exposed";
    check(file!("rsa.pkcs8"), "private_key_given", exposed);
    check(&"A".repeat(16_385), "too_long", "Certificate must be 16,384 characters or fewer");
}

#[test]
fn a_created_pair_belongs_together_and_lives_as_long_as_asked() {
    for (size, key) in [(KeySize::Rsa2048, "RSA 2048"), (KeySize::Rsa3072, "RSA 3072")] {
        let (certificate, stored) = create("Consign crd_1", size, 3, now()).unwrap();
        assert_eq!((certificate.key.as_str(), certificate.subject.as_str()), (key, "CN=Consign crd_1"));
        assert_eq!(certificate.ends.to_string(), "2029-11-25T23:59:59Z");
        assert_eq!(certificate.begins.to_string(), "2026-11-25T00:00:00Z");
        check_key(stored.expose(), "", &certificate.pem());
        assert!(stored.expose().starts_with("-----BEGIN PRIVATE KEY-----\nMII"));
    }
    let leap = Timestamp::parse_rfc3339("2028-02-29T23:59:59Z").unwrap();
    let (certificate, _) = create("x", KeySize::Rsa2048, 1, leap).unwrap();
    assert_eq!(certificate.ends.to_string(), "2029-02-27T23:59:59Z");
}

#[test]
fn the_time_of_a_certificate_is_judged_apart() {
    let (certificate, _) = create("x", KeySize::Rsa2048, 1, now()).unwrap();
    assert_eq!(certificate.judge_time(now()), Ok(()));
    let day = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let ended = certificate.judge_time(day("2027-11-26T00:00:00Z")).unwrap_err();
    assert_eq!((ended.code, ended.message.as_str()), ("ended", "This certificate ended on 2027-11-25"));
    let early = certificate.judge_time(day("2026-11-24T00:00:00Z")).unwrap_err();
    assert_eq!((early.code, early.message.as_str()), ("not_begun", "This certificate begins on 2026-11-25"));
}

#[test]
fn nothing_of_a_key_is_shown() {
    let key = read(file!("rsa.pkcs8"), "").unwrap();
    assert_eq!(format!("{key:?}"), "SigningKey(RsaSha256, …)");
}
