use super::*;

#[track_caller]
fn check(text: &str, expected: Result<&str, (&str, &str)>) {
    let found = Name::parse(text);
    let found = found.as_ref().map(Name::as_str).map_err(|f| (f.code, f.message.as_str()));
    assert_eq!(found, expected);
}

#[test]
fn names() {
    check("  ServiceNow production ", Ok("ServiceNow production"));
    check(" ", Err(("missing", "Enter a name")));
    check("a\tb", Err(("bad_characters", "Name must not include line breaks or tabs")));
    check(&"é".repeat(80), Ok(&"é".repeat(80)));
    check(&"é".repeat(81), Err(("too_long", "Name must be 80 characters or fewer")));
}

#[test]
fn case_and_composition_do_not_make_another_name() {
    let composed = Name::parse("CAFÉ").unwrap();
    let decomposed = Name::parse("cafe\u{301}").unwrap();
    assert_eq!(composed.key(), decomposed.key());
}
