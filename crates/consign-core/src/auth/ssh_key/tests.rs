use super::*;

const KEY: &str = include_str!("../../ssh_key/keys/p256.passphrase");
const PUBLIC: &str = include_str!("../../ssh_key/keys/p256.pub");

fn fields(secrets: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::default();
    fields.plain.insert("username".to_owned(), "ana".to_owned());
    let secrets = secrets.iter().map(|(key, text)| ((*key).to_owned(), Secret::new((*text).to_owned())));
    fields.secrets.extend(secrets);
    fields
}

fn faults(secrets: &[(&str, &str)]) -> Vec<(String, &'static str)> {
    (TYPE.check)(&fields(secrets)).into_iter().map(|invalid| (invalid.field, invalid.code)).collect()
}

#[test]
fn a_key_is_opened_when_it_is_saved() {
    let one = |field: &str, code| vec![(field.to_owned(), code)];
    assert_eq!(faults(&[("ssh_key", KEY), ("passphrase", "correct horse")]), []);
    assert_eq!(faults(&[("ssh_key", KEY)]), one("passphrase", "missing"));
    assert_eq!(faults(&[("ssh_key", KEY), ("passphrase", "wrong")]), one("passphrase", "not_matching"));
    // The field's own rule says what is wrong with a text that is no key.
    assert_eq!(faults(&[("ssh_key", "hello"), ("passphrase", "x")]), []);
    assert_eq!(faults(&[("passphrase", "x")]), []);
}

#[test]
fn a_key_signs_in_and_shows_its_public_half() {
    let whole = fields(&[("ssh_key", KEY), ("passphrase", "correct horse"), ("password", "too")]);
    let authorizer = (TYPE.parse)(&whole).unwrap();
    assert_eq!(authorizer.shown(), Some((SSH_PUBLIC_KEY, PUBLIC.trim().to_owned())));
    let Step::SignIn(login) = authorizer.step(None, Timestamp::from_millis(0)) else { panic!("no sign-in") };
    let key = login.key.as_ref().unwrap();
    assert_eq!(key.text.expose(), KEY);
    assert_eq!(key.passphrase.as_ref().map(Secret::expose), Some("correct horse"));
    assert_eq!(login.password.as_ref().map(Secret::expose), Some("too"));
    assert!(!format!("{login:?}").contains("correct horse"));
    let plain = fields(&[("ssh_key", include_str!("../../ssh_key/keys/p256"))]);
    let Step::SignIn(login) = (TYPE.parse)(&plain).unwrap().step(None, Timestamp::from_millis(0)) else {
        panic!("no sign-in")
    };
    assert!(login.password.is_none() && login.key.unwrap().passphrase.is_none());
    assert_eq!((TYPE.parse)(&Fields::default()).err(), Some(Absent("ssh_key")));
}

#[test]
fn a_short_key_is_worth_a_word() {
    let said = |key: &str, passphrase: &str| {
        let warnings = (TYPE.warn)(&fields(&[("ssh_key", key), ("passphrase", passphrase)]));
        warnings.into_iter().map(|warning| (warning.field, warning.message)).collect::<Vec<_>>()
    };
    let sentence =
        "The SSH key is an RSA key with 2048 bits. Keys of today have 3072 or more; Ed25519 is best.";
    let short = vec![("ssh_key", sentence.to_owned())];
    for key in [
        include_str!("../../ssh_key/keys/rsa"),
        include_str!("../../ssh_key/keys/rsa.pem"),
        // The public half is readable without the passphrase.
        include_str!("../../ssh_key/keys/rsa.passphrase"),
    ] {
        assert_eq!(said(key, ""), short);
    }
    assert_eq!(said(KEY, "correct horse"), []);
    assert_eq!(said("hello", ""), []);
    assert_eq!((TYPE.warn)(&Fields::default()), []);
}
