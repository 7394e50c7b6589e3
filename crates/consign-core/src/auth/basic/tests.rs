use super::*;

fn fields(username: &str, password: &str) -> Fields {
    let mut fields = Fields::default();
    fields.plain.insert("username".to_owned(), username.to_owned());
    fields.secrets.insert("password".to_owned(), Secret::new(password.to_owned()));
    fields
}

#[track_caller]
fn check(username: &str, password: &str, header: &str) {
    let authorizer = (TYPE.parse)(&fields(username, password)).unwrap();
    let Step::Apply(proof) = authorizer.step(None, Timestamp::from_millis(0)) else { panic!("no proof") };
    let (name, value) = &proof.headers[0];
    assert_eq!((name, value.to_str().unwrap()), (&AUTHORIZATION, header));
    assert!(value.is_sensitive() && proof.headers.len() == 1 && proof.path.is_none());
}

/// RFC 7617 section 2 and section 2.1.
#[test]
fn the_examples_of_the_rfc() {
    check("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
    check("test", "123£", "Basic dGVzdDoxMjPCow==");
}

#[test]
fn a_colon_is_the_passwords_business() {
    check("user", "a:b", "Basic dXNlcjphOmI=");
    let fault = TYPE.fields[0].judge("us:er").unwrap_err();
    assert_eq!(
        (fault.code, fault.message.as_str()),
        ("bad_characters", "Username must not include a colon (:)")
    );
    assert_eq!(TYPE.fields[0].judge("a\nb").unwrap_err().code, "bad_characters");
    let long = TYPE.fields[0].judge(&"u".repeat(256)).unwrap_err();
    assert_eq!(long.message, "Username must be 255 characters or fewer");
    assert_eq!(TYPE.fields[1].judge("").unwrap_err().message, "Enter a password");
}

#[test]
fn an_incomplete_record_is_said_to_be_so() {
    assert_eq!((TYPE.parse)(&Fields::default()).err(), Some(Absent("password")));
}
