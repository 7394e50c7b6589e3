use serde_json::{Value, json};

use super::super::tests::{
    CERTIFICATE, PRIVATE_KEY, VAULT, later, now, open, parse, refused, shown, stored, typed, with,
};
use super::*;
use crate::credential::{Change, Draft, KeyPairWish, Mode, StatusCode};
use crate::id::CredentialId;
use crate::sign::{KeySize, SigningKey};

const KIND: &str = "oauth2_saml_bearer";
const SAVE: Save<'_> = Save { now: Timestamp::from_millis(1_795_500_000_000), by: "ci" };

fn without(mut sent: Value, keys: &[&str]) -> Value {
    keys.iter().for_each(|key| drop(sent.as_object_mut().unwrap().remove(*key)));
    sent
}

fn sealed(draft: Draft, current: Option<&Credential>) -> Credential {
    draft.seal(&VAULT, &SAVE, CredentialId::new(now()), current)
}

/// The stored key signs for the certificate that is shown.
#[track_caller]
fn belongs(credential: &Credential) {
    let key = SigningKey::stored(&open(credential, "private_key").unwrap()).unwrap();
    assert!(credential.present_certificate().unwrap().belongs_to(&key));
}

#[track_caller]
fn check(changes: Value, expected: &[(&str, &str, &str)]) {
    let found = refused(with(&typed(KIND), &changes), Mode::Create);
    let found: Vec<_> =
        found.iter().map(|(at, code, message)| (at.as_str(), *code, message.as_str())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_pair_is_created_with_the_save_or_brought_along() {
    let base = without(typed(KIND), &["certificate", "private_key"]);
    let asked = with(&base, &json!({ "key_pair": "generate" }));
    let draft = parse(asked, Mode::Create).unwrap();
    let usual = KeyPairWish { certificate: "certificate", key: "private_key", size: None, years: 3 };
    assert_eq!(draft.new_key_pair, Some(usual));
    assert_eq!(KeyPairWish::usual(draft.authorization_type), Some(usual));
    let created = sealed(draft, None);
    belongs(&created);
    let certificate = created.present_certificate().unwrap();
    assert_eq!(certificate.subject, format!("CN=Consign {}", created.id));
    assert_eq!(certificate.key, "RSA 3072");
    let chosen = json!({ "key_pair": "generate", "key_pair_bits": 2048, "key_pair_years": "10" });
    let chosen = parse(with(&base, &chosen), Mode::Create).unwrap().new_key_pair.unwrap();
    assert_eq!((chosen.size, chosen.years), (Some(KeySize::Rsa2048), 10));

    let own = sealed(parse(typed(KIND), Mode::Create).unwrap(), None);
    belongs(&own);
    assert_eq!(own.plain["certificate"], CERTIFICATE);
    let encrypted = include_str!("../../sign/tests/rsa.aes256.pem");
    let with_phrase =
        json!({ "private_key": encrypted, "private_key_passphrase": "open-sesame", "key_pair": "own" });
    let own = sealed(parse(with(&typed(KIND), &with_phrase), Mode::Create).unwrap(), None);
    belongs(&own);
    assert!(!own.secrets.contains_key("private_key_passphrase") && !own.plain.contains_key("key_pair"));
}

#[test]
fn each_bad_input_has_its_sentence_and_is_not_taken() {
    let one = |at, code, message| [(at, code, message)];
    let missing = "Add a certificate or create one";
    check(json!({ "certificate": "", "private_key": "" }), &one("certificate", "missing", missing));
    check(json!({ "certificate": null, "private_key": null }), &one("certificate", "missing", missing));
    let form = "Certificate must be an X.509 certificate in PEM or DER form";
    check(json!({ "certificate": "x" }), &one("certificate", "bad_form", form));
    let weak = include_str!("../../sign/tests/weak.certificate.pem");
    let sentence = "Certificate must use an RSA key of 2048 bits or more, or an EC key";
    check(json!({ "certificate": weak }), &one("certificate", "weak_key", sentence));
    let key = "Add the private key that belongs to this certificate";
    check(json!({ "private_key": "" }), &one("private_key", "missing", key));
    check(json!({ "private_key": null }), &one("private_key", "missing", key));
    let curve = include_str!("../../sign/tests/p256.pkcs8.pem");
    let mismatch = "The private key does not belong to this certificate";
    check(json!({ "private_key": curve }), &one("private_key", "key_mismatch", mismatch));
    let (ended, ended_key) = crate::sign::create("x", KeySize::Rsa2048, 1, before()).unwrap();
    let sentence = "This certificate ended on 2020-12-31";
    let changes = json!({ "certificate": ended.pem(), "private_key": ended_key.expose() });
    check(changes, &one("certificate", "ended", sentence));
    let encrypted = include_str!("../../sign/tests/rsa.aes256.pem");
    let phrase = one("private_key_passphrase", "missing", "This private key needs a passphrase");
    check(json!({ "private_key": encrypted }), &phrase);
    let wrong = json!({ "private_key": encrypted, "private_key_passphrase": "x" });
    let sentence = "The passphrase does not open this private key";
    check(wrong, &one("private_key_passphrase", "not_matching", sentence));

    let both = "Send a certificate and its key, or ask for a new key pair";
    check(json!({ "key_pair": "generate" }), &one("key_pair", "bad_form", both));
    let unknown = "Key pair must be one of generate, own";
    check(json!({ "key_pair": "other" }), &one("key_pair", "unknown", unknown));
    let wish = json!({ "key_pair": "generate", "key_pair_bits": 1024, "key_pair_years": 11,
                       "certificate": null, "private_key": { "set": false } });
    check(
        wish,
        &[
            ("key_pair_bits", "unknown", "Key length must be one of 3072, 2048"),
            ("key_pair_years", "out_of_range", "Enter a number from 1 to 10"),
        ],
    );
}

fn before() -> Timestamp {
    Timestamp::parse_rfc3339("2020-01-01T00:00:00Z").unwrap()
}

#[test]
fn each_saml_setting_has_its_sentence() {
    let control = |label: &str| format!("{label} must not include control characters");
    for (key, label, most, empty) in [
        ("name_id", "Name ID", 256, "Enter the Name ID"),
        ("issuer", "Issuer", 512, "Enter the Issuer"),
        ("audience", "Audience", 512, "Enter the Audience"),
    ] {
        check(json!({ key: "" }), &[(key, "missing", empty)]);
        let long = format!("{label} must be {most} characters or fewer");
        check(json!({ key: "é".repeat(most + 1) }), &[(key, "too_long", &long)]);
        for c in ['\u{0}', '\n', '\r', '\t', '\u{7f}', '\u{85}', '\u{fffe}', '\u{ffff}'] {
            check(json!({ key: format!("a{c}b") }), &[(key, "bad_characters", &control(label))]);
        }
    }
    let blank = "Name ID must not start or end with a space";
    check(json!({ "name_id": "ana " }), &[("name_id", "bad_characters", blank)]);
    check(json!({ "recipient": "" }), &[("recipient", "missing", "Enter the Recipient")]);
    let plain = "Recipient must start with https://";
    check(json!({ "recipient": "http://a.example/" }), &[("recipient", "https_needed", plain)]);
    let number = "Enter a number from 60 to 600";
    for text in ["59", "601", "+60", "x"] {
        check(
            json!({ "assertion_lifetime_seconds": text }),
            &[("assertion_lifetime_seconds", "out_of_range", number)],
        );
    }
    let row = |name: &str, value: &str| json!({ "saml_attributes": [{ "name": name, "value": value }] });
    let unnamed = "Enter a name for row 1 or remove it";
    check(row("", "x"), &[("saml_attributes/0/name", "missing", unnamed)]);
    let long = "The value of a must be 1,024 characters or fewer";
    check(row("a", &"😀".repeat(1_025)), &[("saml_attributes/0/value", "too_long", long)]);
    check(row("a", "\u{fffe}"), &[("saml_attributes/0/value", "bad_characters", &control("The value of a"))]);
    check(row("a\r", "b"), &[("saml_attributes/0/name", "bad_characters", &control("The name of row 1"))]);
    let many: Vec<_> = (0..51).map(|n| json!({ "name": format!("a{n}"), "value": "" })).collect();
    check(json!({ "saml_attributes": many }), &[("saml_attributes", "too_many", "Add 50 rows or fewer")]);
    let large: Vec<_> =
        (0..5).map(|n| json!({ "name": format!("a{n}"), "value": "😀".repeat(1_000) })).collect();
    let bytes = "SAML Attributes must be 16,384 bytes or fewer in all";
    check(json!({ "saml_attributes": large }), &[("saml_attributes", "too_long", bytes)]);
    for name in ["grant_type", "assertion", "client_assertion", "client_secret", "refresh_token"] {
        let rows = json!({ "oauth_token_requests": [{ "name": name, "value": "x" }] });
        let sentence = format!("“{name}” is set automatically");
        check(rows, &[("oauth_token_requests/0/name", "reserved", &sentence)]);
    }
    let rows = json!({ "oauth_token_requests": [{ "name": "client_id", "value": "x" }, { "name": "scope", "value": "y" }] });
    assert!(parse(with(&typed(KIND), &rows), Mode::Create).is_ok());
    let body = with(&rows, &json!({ "authentication_information": "body" }));
    let sentence = "“client_id” is set automatically";
    check(body, &[("oauth_token_requests/0/name", "reserved", sentence)]);
    check(json!({ "client_secret": "" }), &[("client_secret", "missing", "Enter the client secret")]);
    check(json!({ "client_id": "" }), &[("client_id", "missing", "Enter the client ID")]);
}

/// Four fields are enough: the rest has defaults, and None asks for no client.
#[test]
fn the_four_fields_are_enough() {
    let base = without(
        typed(KIND),
        &["saml_attributes", "authentication_information", "client_id", "client_secret"],
    );
    let credential = sealed(parse(base, Mode::Create).unwrap(), None);
    assert_eq!(credential.plain["authentication_information"], "none");
    assert_eq!(credential.plain["embed_certificate"], "on");
    assert_eq!(
        credential.secrets.keys().filter(|key| !key.contains('/')).collect::<Vec<_>>(),
        ["private_key"]
    );
    // Back to None, what proved the client is destroyed.
    let before = stored(KIND);
    assert!(before.secrets.contains_key("client_secret"));
    let none = json!({ "authentication_information": "none", "embed_certificate": false });
    let after = sealed(parse(none, Mode::Patch(&before)).unwrap(), Some(&before));
    assert!(!after.secrets.contains_key("client_secret") && !after.plain.contains_key("client_id"));
    assert_eq!(after.plain["embed_certificate"], "off");
}

#[test]
fn another_certificate_of_the_same_key_keeps_the_key() {
    let before = stored(KIND);
    // Signed again by OpenSSL with the same key.
    let renewed = include_str!("../../sign/tests/renewed.certificate.pem");
    let after =
        sealed(parse(json!({ "certificate": renewed }), Mode::Patch(&before)).unwrap(), Some(&before));
    assert_eq!(after.secrets["private_key"].generation, before.secrets["private_key"].generation);
    belongs(&after);
    let other = include_str!("../../sign/tests/p256.certificate.pem");
    let found = refused(json!({ "certificate": other }), Mode::Patch(&before));
    assert_eq!((found[0].0.as_str(), found[0].1), ("private_key", "missing"));
}

#[test]
fn recipient_and_token_address_ask_for_the_key_again() {
    let before = stored(KIND);
    for (change, what) in [
        (json!({ "recipient": "https://evil.example/token" }), "recipient"),
        (json!({ "access_token_url": "https://evil.example/token" }), "Access Token URL"),
    ] {
        let moved = format!("You changed the {what}, so saved secrets are not sent to the new one");
        for mode in [Mode::Patch(&before), Mode::Replace(&before)] {
            let sent = if matches!(mode, Mode::Replace(_)) {
                with(&shown(&before), &change)
            } else {
                change.clone()
            };
            let found = refused(sent.clone(), mode);
            let codes: Vec<_> = found.iter().map(|(at, code, _)| (at.as_str(), *code)).collect();
            let code = "secret_needed_for_new_destination";
            let all = ["client_secret", "custom_headers/0/value", "private_key"].map(|at| (at, code));
            assert_eq!(codes, all);
            assert_eq!(found[2].2, format!("Enter the private key again. {moved}"));
            let others = json!({ "client_secret": "new", "custom_headers": [{ "name": "X-Api-Key", "value": "new" }] });
            // A key that nobody can type again is created anew.
            for key in [
                json!({ "private_key": PRIVATE_KEY }),
                json!({ "key_pair": "generate", "key_pair_bits": 2048 }),
            ] {
                let sent = with(&with(&sent, &others), &key);
                let sent = if key.get("key_pair").is_some() {
                    without(sent, &["certificate", "private_key"])
                } else {
                    sent
                };
                belongs(&sealed(parse(sent, mode).unwrap(), Some(&before)));
            }
        }
    }
}

#[test]
fn the_next_pair_waits_takes_over_and_can_go_back() {
    let first = stored(KIND);
    let (certificate, key) = crate::sign::create("next", KeySize::Rsa2048, 1, later()).unwrap();
    let waiting = first.clone().with_next_pair((&certificate, &key), &VAULT, &SAVE).unwrap();
    assert_eq!(
        (waiting.revision, waiting.certificate(Which::Next, SAVE.now)),
        (2, Some(certificate.clone()))
    );
    assert_eq!(waiting.present_certificate(), first.present_certificate());
    assert_eq!(waiting.seen, first.seen);
    assert!(waiting.signs_in_like(&first), "the one that waits signs nothing");

    // A save of anything else leaves it waiting; another destination destroys it.
    let renamed = sealed(parse(json!({ "name": "x" }), Mode::Patch(&waiting)).unwrap(), Some(&waiting));
    assert_eq!(renamed.certificate(Which::Next, SAVE.now), Some(certificate.clone()));
    let away = json!({ "recipient": "https://other.example/", "client_secret": "new", "private_key": PRIVATE_KEY,
                       "custom_headers": [] });
    let moved = sealed(parse(away, Mode::Patch(&waiting)).unwrap(), Some(&waiting));
    assert!(
        moved.certificate(Which::Next, SAVE.now).is_none() && !moved.secrets.contains_key("private_key_next")
    );

    let reseal = |from: &str, to: &str, generation: i64, of: &Credential| {
        let plain = open(of, from).ok()?;
        let (id, binding) = (of.id.to_string(), of.binding());
        Some(VAULT.seal(&Credential::place(&id, to, generation, &binding), &plain))
    };
    let by = |of: &Credential| {
        let of = of.clone();
        move |from: &str, to: &str, generation: i64| reseal(from, to, generation, &of)
    };
    let switched = waiting.clone().with_next_in_use(&SAVE, &by(&waiting)).unwrap();
    belongs(&switched);
    assert!(!switched.signs_in_like(&waiting));
    assert_eq!(switched.present_certificate(), Some(certificate.clone()));
    assert_eq!(switched.certificate(Which::Previous, SAVE.now), first.present_certificate());
    assert_eq!(
        (switched.certificate(Which::Next, SAVE.now), switched.seen.code),
        (None, StatusCode::NotTested)
    );
    assert_eq!(switched.step_back_until(), Some(SAVE.now.plus(STEP_BACK)));
    assert_eq!(switched.clone().without_next_pair(&SAVE).err(), Some(NoSuchPair::Next));

    let back = switched.clone().with_previous_in_use(&SAVE, &by(&switched)).unwrap();
    belongs(&back);
    assert_eq!(back.present_certificate(), first.present_certificate());
    assert_eq!(back.certificate(Which::Next, SAVE.now), Some(certificate));
    assert_eq!(back.certificate(Which::Previous, SAVE.now), None);
    let late = Save { now: SAVE.now.plus(STEP_BACK), by: "ci" };
    assert_eq!(
        switched.clone().with_previous_in_use(&late, &by(&switched)).err(),
        Some(NoSuchPair::Previous)
    );
    // What nobody can go back to is not shown, and goes.
    assert_eq!(switched.certificate(Which::Previous, late.now), None);
    assert!(!switched.has_ended_pair(SAVE.now) && switched.has_ended_pair(late.now));
    assert!(switched.clone().without_ended_pair(&SAVE).is_none());
    let cleaned = switched.clone().without_ended_pair(&late).unwrap();
    belongs(&cleaned);
    assert!(cleaned.signs_in_like(&switched));
    let left = |of: &Credential| of.plain.keys().chain(of.secrets.keys()).any(|key| key.contains("previous"));
    assert!(left(&switched) && !left(&cleaned) && !cleaned.plain.contains_key(SWITCHED_AT));
    assert_eq!((cleaned.revision, cleaned.seen.code), (switched.revision + 1, switched.seen.code));
    assert!(cleaned.without_ended_pair(&late).is_none());
    assert_eq!(first.clone().with_next_in_use(&SAVE, &by(&first)).err(), Some(NoSuchPair::Next));

    let dropped = back.without_next_pair(&SAVE).unwrap();
    assert!(
        dropped.certificate(Which::Next, SAVE.now).is_none()
            && !dropped.secrets.contains_key("private_key_next")
    );
    let basic = stored("basic");
    assert_eq!(
        basic.with_next_pair((&first.present_certificate().unwrap(), &key), &VAULT, &SAVE).err(),
        Some(NoSuchPair::OfType)
    );
    // For a week the one before stays, then the next save destroys it.
    let renamed = |at: Timestamp| {
        let sent = json!({ "name": "x" }).as_object().cloned().unwrap();
        Draft::parse(sent, Mode::Patch(&switched), at).unwrap()
    };
    assert!(matches!(renamed(SAVE.now).secrets["private_key_previous"], Change::Keep));
    let late = renamed(SAVE.now.plus(STEP_BACK));
    assert!(
        !late.secrets.contains_key("private_key_previous")
            && !late.plain.contains_key("certificate_previous")
    );
}
