use std::time::Instant;

use super::*;

const PASSPHRASE: &str = "correct horse";

/// Keys of nobody, made by ssh-keygen and openssl for these tests.
macro_rules! key {
    ($name:literal) => {
        ($name, include_str!(concat!("keys/", $name)))
    };
}

const PUBLIC: [(&str, &str); 5] =
    [key!("ed25519.pub"), key!("p256.pub"), key!("p384.pub"), key!("p521.pub"), key!("rsa.pub")];

const PLAIN: [(&str, &str); 13] = [
    key!("ed25519"),
    key!("p256"),
    key!("p384"),
    key!("p521"),
    key!("rsa"),
    key!("p256.pem"),
    key!("p384.pem"),
    key!("p521.pem"),
    key!("rsa.pem"),
    key!("p256.pkcs8"),
    key!("p384.pkcs8"),
    key!("p521.pkcs8"),
    key!("rsa.pkcs8"),
];

const ENCRYPTED: [(&str, &str); 19] = [
    key!("ed25519.passphrase"),
    key!("p256.passphrase"),
    key!("p256.aes256-cbc"),
    key!("p256.aes256-gcm"),
    key!("p256.chacha20-poly1305"),
    key!("p384.passphrase"),
    key!("p521.passphrase"),
    key!("rsa.passphrase"),
    key!("p256.pem.passphrase"),
    key!("p384.pem.passphrase"),
    key!("p521.pem.passphrase"),
    key!("rsa.pem.passphrase"),
    key!("rsa.pem.aes256"),
    key!("p256.pkcs8.passphrase"),
    key!("p256.pkcs8.scrypt"),
    key!("p384.pkcs8.passphrase"),
    key!("p521.pkcs8.passphrase"),
    key!("rsa.pkcs8.passphrase"),
    key!("rsa.pkcs8.sha1"),
];

fn opened(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, KeyFault> {
    let passphrase = passphrase.map(|text| Secret::new(text.to_owned()));
    open(&Secret::new(text.to_owned()), passphrase.as_ref())
}

/// The public half that ssh-keygen wrote beside the key.
fn written_beside(name: &str) -> String {
    let family = name.split('.').next().unwrap();
    let (_, line) = PUBLIC.iter().find(|(other, _)| other.trim_end_matches(".pub") == family).unwrap();
    line.trim().to_owned()
}

fn refused(text: &str, passphrase: Option<&str>) -> (&'static str, &'static str, String) {
    let fault = opened(text, passphrase).unwrap_err();
    (fault.field, fault.fault.code, fault.fault.message)
}

#[test]
fn every_form_opens_and_has_the_public_half_that_was_written_beside_it() {
    let plain = PLAIN.map(|(name, text)| (name, text, None));
    let encrypted = ENCRYPTED.map(|(name, text)| (name, text, Some(PASSPHRASE)));
    for (name, text, passphrase) in plain.into_iter().chain(encrypted) {
        let key = opened(text, passphrase).unwrap_or_else(|fault| panic!("{name}: {fault:?}"));
        let public = PublicKey::new(key.public_key().key_data().clone(), "");
        assert_eq!(public.to_openssh().unwrap(), written_beside(name), "{name}");
        let secret = passphrase.map(|text| Secret::new(text.to_owned()));
        let half = public_half(&Secret::new(text.to_owned()), secret.as_ref()).unwrap();
        assert_eq!(half, written_beside(name), "{name}");
    }
    let (_, text) = key!("ed25519b.pkcs8");
    let (_, encrypted) = key!("ed25519b.pkcs8.passphrase");
    let (one, other) = (opened(text, None).unwrap(), opened(encrypted, Some(PASSPHRASE)).unwrap());
    assert_eq!(one.public_key().key_data(), other.public_key().key_data());
}

#[test]
fn a_missing_passphrase_and_a_wrong_one_are_told_apart() {
    for (name, text) in ENCRYPTED {
        let missing = ("passphrase", "missing", "This SSH key needs a passphrase".to_owned());
        assert_eq!(refused(text, None), missing, "{name}");
        assert_eq!(refused(text, Some("")), missing, "{name}");
        let wrong = ("passphrase", "not_matching", "The passphrase does not open this SSH key".to_owned());
        for guess in ["wrong", "correct horse ", "Correct horse"] {
            assert_eq!(refused(text, Some(guess)), wrong, "{name} {guess}");
        }
    }
}

#[test]
fn a_passphrase_that_nothing_asks_for_is_no_error() {
    for (name, text) in PLAIN {
        assert!(opened(text, Some("not needed")).is_ok(), "{name}");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "how long it takes is what is tested")]
fn the_work_that_a_key_asks_for_is_read_before_it_is_done() {
    let start = Instant::now();
    for (text, rounds) in [
        (include_str!("keys/ed25519.1000rounds"), "1,000"),
        (include_str!("keys/p256.pkcs8.5000000rounds"), "5,000,000"),
    ] {
        let sentence =
            format!("This SSH key asks for {rounds} rounds of work to open. Save it again with 256 or fewer");
        assert_eq!(refused(text, Some(PASSPHRASE)), ("ssh_key", "too_much_work", sentence.clone()));
        assert_eq!(glance(text).unwrap_err().message, sentence);
    }
    assert!(start.elapsed().as_millis() < 500, "{:?}", start.elapsed());
}

#[test]
fn what_is_no_usable_key_says_why() {
    let incomplete = "SSH key is not complete. Copy from the BEGIN line to the END line";
    let public = "This is a public key. Enter the private key";
    let (_, rsa) = key!("rsa");
    let cut: String = rsa.lines().take(10).collect::<Vec<_>>().join("\n");
    let holed: String =
        rsa.lines().enumerate().filter(|(line, _)| *line != 5).map(|(_, line)| format!("{line}\n")).collect();
    let twice = format!("{rsa}{rsa}");
    let (_, der) = key!("rsa.pem");
    let holed_der: String =
        der.lines().enumerate().filter(|(line, _)| *line != 5).map(|(_, line)| format!("{line}\n")).collect();
    let ppk = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n";
    let spki = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
    let dsa = "-----BEGIN DSA PRIVATE KEY-----\nAAAA\n-----END DSA PRIVATE KEY-----\n";
    let long = format!("-----BEGIN PRIVATE KEY-----{}", "A".repeat(KEY_BYTES_MAX));
    let cases: [(&str, &str, &str); 15] = [
        ("hello", "incomplete", incomplete),
        (&cut, "incomplete", incomplete),
        (&holed, "incomplete", incomplete),
        (&holed_der, "incomplete", incomplete),
        (&twice, "incomplete", incomplete),
        (include_str!("keys/rsa1024"), "weak_key", "SSH key must be 2048 bits or more"),
        (include_str!("keys/ed25519.pub"), "public_key_given", public),
        (spki, "public_key_given", public),
        (ppk, "unsupported", "This is a PuTTY key. Export it in OpenSSH form"),
        (include_str!("keys/dsa"), "unsupported", "DSA keys are not supported"),
        (dsa, "unsupported", "DSA keys are not supported"),
        (include_str!("keys/rsa.pem.des3"), "unsupported", "DES-EDE3-CBC encrypted keys are not supported"),
        (include_str!("keys/k256.pem"), "unsupported", "secp256k1 keys are not supported"),
        (&long, "too_long", "SSH key must be 16,384 characters or fewer"),
        ("-----BEGIN X-----\nAAAA\n-----END X-----", "unsupported", "X keys are not supported"),
    ];
    for (text, code, sentence) in cases {
        let start: String = text.chars().take(60).collect();
        assert_eq!(refused(text, None), ("ssh_key", code, sentence.to_owned()), "{start}");
        assert_eq!(glance(text), Err(Fault::new(code, sentence)), "{start}");
    }
}

#[test]
fn line_breaks_lost_in_pasting_are_put_back() {
    for (name, text) in PLAIN.into_iter().chain(ENCRYPTED) {
        let passphrase = ENCRYPTED.iter().any(|(other, _)| *other == name).then_some(PASSPHRASE);
        for (joint, why) in [(" ", "spaces"), ("\r\n", "Windows"), ("\n\n", "empty lines")] {
            let pasted = format!("  {} ", text.lines().collect::<Vec<_>>().join(joint));
            assert!(opened(&pasted, passphrase).is_ok(), "{name} with {why}");
        }
    }
}

#[test]
fn a_public_half_is_described() {
    let half = describe(&written_beside("rsa")).unwrap();
    assert_eq!((half.key_type.as_str(), half.bits), ("ssh-rsa", Some(2_048)));
    assert!(half.fingerprint.starts_with("SHA256:"), "{}", half.fingerprint);
    let half = describe(&written_beside("ed25519")).unwrap();
    assert_eq!((half.key_type.as_str(), half.bits), ("ssh-ed25519", None));
    assert_eq!(describe("ssh-ed25519 nothing"), None);
}
