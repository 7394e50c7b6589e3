use super::*;

#[test]
fn a_password_signs_in_as_typed() {
    let mut fields = Fields::default();
    fields.plain.insert("username".to_owned(), "a:na@corp".to_owned());
    assert_eq!((TYPE.parse)(&fields).err(), Some(Absent("password")));
    fields.secrets.insert("password".to_owned(), Secret::new("öpen sesame ".to_owned()));
    let step = (TYPE.parse)(&fields).unwrap().step(None, Timestamp::from_millis(0));
    let Step::SignIn(login) = step else { panic!("no sign-in") };
    let password = login.password.as_ref().map(Secret::expose);
    assert_eq!((login.username.as_str(), password), ("a:na@corp", Some("öpen sesame ")));
    assert!(login.key.is_none());
    assert!(!format!("{login:?}").contains("sesame"));
}

#[test]
fn an_account_has_a_name_on_one_line() {
    let field = &TYPE.fields[0];
    assert_eq!(field.judge(""), Err(Fault::new("missing", "Enter a username")));
    let sentence = "Username must not include control characters";
    assert_eq!(field.judge("a\nb"), Err(Fault::new("bad_characters", sentence)));
    assert_eq!(field.judge("CORP\\ana"), Ok(()));
}
