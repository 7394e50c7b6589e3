//! Finding programs and versions.

use super::*;

#[test]
fn programs_are_found_by_their_first_known_name() {
    assert!(program(&["no-such-program-here", "sh"]).is_some_and(|path| path.ends_with("sh")));
    assert_eq!(program(&["no-such-program-here"]), None);
}

#[test]
fn strings_are_read_after_their_key() {
    let text = r#"{ "name": "a", "axe-core": "4.1.2" }"#;
    assert_eq!(string_after(text, "\"axe-core\":").as_deref(), Some("4.1.2"));
    assert_eq!(string_after(text, "\"version\":"), None);
}

#[test]
fn what_is_missing_is_named() {
    let text = absent(&PEERS);
    for name in ["PostgreSQL", "nginx", "Chromium", "ChromeDriver", "npm"] {
        assert!(text.contains(name), "{name} is not in: {text}");
    }
}
