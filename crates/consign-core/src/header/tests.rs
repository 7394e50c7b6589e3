use super::*;

#[track_caller]
fn check_name(text: &str, expected: Result<&str, (&str, &str)>) {
    let found = parse_name(text, 2, &["accept"]);
    let found = found.as_ref().map(HeaderName::as_str).map_err(|f| (f.code, f.message.as_str()));
    assert_eq!(found, expected);
}

#[test]
fn names() {
    check_name("X-Api-Key", Ok("x-api-key"));
    check_name("Accept", Ok("accept"));
    check_name("", Err(("missing", "Enter a name for custom header 2 or remove it")));
    check_name("X Api", Err(("bad_characters", "X Api must use letters, digits and hyphens only")));
    check_name(":path", Err(("bad_characters", ":path must use letters, digits and hyphens only")));
    for name in ["Authorization", "HOST", "x-Forwarded-For", "Sec-Fetch-Site", "webhook-id", "Consign-Error"]
    {
        assert_eq!(parse_name(name, 1, &[]).unwrap_err().code, "reserved", "{name}");
    }
    assert_eq!(parse_name(&"a".repeat(101), 1, &[]).unwrap_err().code, "bad_characters");
}

/// Every byte, at the start, inside and at the end: nothing but visible ASCII and inner spaces gets through.
#[test]
fn values_never_hold_a_byte_that_could_end_a_line() {
    for byte in 0_u8..=255 {
        for place in 0..3 {
            let mut text = String::from("ab");
            text.insert(place, char::from(byte));
            let fine = matches!(byte, 0x21..=0x7e) || (byte == b' ' && place == 1);
            assert_eq!(judge_value("X", &text).is_ok(), fine, "byte {byte} at {place}");
            if !fine && byte != b' ' {
                assert!(sensitive(&Secret::new(text)).is_none());
            }
        }
    }
    assert_eq!(judge_value("X", "").unwrap_err().code, "missing");
    assert!(judge_value("X", &"a".repeat(4_096)).is_ok());
    let long = judge_value("X", &"a".repeat(4_097)).unwrap_err();
    assert_eq!(
        (long.code, long.message.as_str()),
        ("too_long", "The value of X must be 4,096 characters or fewer")
    );
}

#[test]
fn secret_values_are_marked() {
    let value = sensitive(&Secret::new("Bearer abc".to_owned())).unwrap();
    assert!(value.is_sensitive());
    assert!(!format!("{value:?}").contains("abc"));
}
