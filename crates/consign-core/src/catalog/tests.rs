use super::*;

#[test]
fn sizes_for_people() {
    for (bytes, text) in [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (48_200_000, "48.2 MB"),
        (u64::MAX, "18446744.1 TB"),
    ] {
        assert_eq!(size(bytes), text);
    }
}

fn field() -> Field {
    Field {
        key: "password",
        label: "Password",
        input: Input::Secret,
        missing: Some("Enter a password"),
        max_chars: 1024,
        ..Field::PLAIN
    }
}

#[track_caller]
fn check(text: &str, expected: Option<(&str, &str)>) {
    let found = field().judge(text).err();
    assert_eq!(found.as_ref().map(|f| (f.code, f.message.as_str())), expected);
}

#[test]
fn a_field_judges_presence_masks_and_length() {
    check("secret", None);
    check("", Some(("missing", "Enter a password")));
    let masked = "This looks like a mask, not a password. Leave it out to keep the saved one";
    check("****", Some(("mask_value", masked)));
    check("••••••", Some(("mask_value", masked)));
    check(&"x".repeat(1025), Some(("too_long", "Password must be 1,024 characters or fewer")));
    check(&"é".repeat(1024), None);
}

#[test]
fn labels_fit_into_sentences() {
    assert_eq!(in_sentence("Client secret"), "client secret");
    assert_eq!(in_sentence("SSH key"), "SSH key");
    assert_eq!(in_sentence("API key"), "API key");
    assert_eq!(with_commas(1_234_567), "1,234,567");
    assert_eq!(with_commas(64), "64");
}
