use super::*;

fn fields(prefix: &str, token: &str) -> Fields {
    let mut fields = Fields::default();
    fields.plain.insert("header_prefix".to_owned(), prefix.to_owned());
    fields.secrets.insert("token".to_owned(), Secret::new(token.to_owned()));
    fields
}

#[track_caller]
fn check(prefix: &str, header: &str) {
    let authorizer = (TYPE.parse)(&fields(prefix, "abc")).unwrap();
    let Step::Apply(proof) = authorizer.step(None, Timestamp::from_millis(0)) else { panic!("no proof") };
    assert_eq!(proof.headers[0].1.to_str().unwrap(), header);
    assert!(proof.headers[0].1.is_sensitive());
}

#[test]
fn prefix_separator_and_token() {
    check("Bearer", "Bearer abc");
    check("", "abc");
    check("rest_api_key=", "rest_api_key=abc");
    check("Token token=", "Token token=abc");
    check("AR-JWT", "AR-JWT abc");
}

#[track_caller]
fn check_field(index: usize, text: &str, code: Option<&str>) {
    assert_eq!(TYPE.fields[index].judge(text).err().map(|fault| fault.code), code, "{text:?}");
}

#[test]
fn rules_of_the_prefix() {
    check_field(0, "", None);
    check_field(0, "Token token=", None);
    check_field(0, " Bearer", Some("edge_space"));
    check_field(0, "Bearer ", Some("edge_space"));
    check_field(0, "a  b", Some("bad_characters"));
    check_field(0, "Béarer", Some("bad_characters"));
    check_field(0, "a\tb", Some("bad_characters"));
    check_field(0, &"a".repeat(65), Some("too_long"));
}

#[test]
fn rules_of_the_token() {
    check_field(1, "abc", None);
    check_field(1, "", Some("missing"));
    check_field(1, "abc\n", Some("one_line"));
    check_field(1, "a b", Some("bad_characters"));
    check_field(1, "“abc”", Some("bad_characters"));
    check_field(1, "••••", Some("mask_value"));
    check_field(1, &"a".repeat(8_193), Some("too_long"));
}

#[test]
fn a_token_copied_with_its_prefix_is_noticed() {
    let found = (TYPE.check)(&fields("Bearer", "bearer abc"));
    assert_eq!(found[0].code, "prefix_in_token");
    assert_eq!(
        found[0].message,
        "The token already starts with “Bearer ”. Remove that part, because the header prefix adds it"
    );
    assert!((TYPE.check)(&fields("Bearer", "bearerabc")).is_empty());
    assert!((TYPE.check)(&fields("", "bearer")).is_empty());
}
