use super::*;

#[track_caller]
fn check(json: &str, duplicate: Option<&str>) {
    assert_eq!(duplicate_member(json.as_bytes()).as_deref(), duplicate, "{json}");
}

#[test]
fn members_that_stand_twice() {
    check(r#"{"a":1,"b":2}"#, None);
    check(r#"{"a":1,"a":1}"#, Some("a"));
    check(r#"{"a":1,"A":1}"#, None);
    check(r#"{"a":1,"\u0061":2}"#, Some("a"));
    check(r#"{"a":{"b":1},"c":{"b":1}}"#, None);
    check(r#"{"a":[{"b":1},{"b":1,"c":[{"":1,"":null}]}]}"#, Some(""));
    check(r#"{"a":"x\"a","b":-1.5e3,"c":true,"d":null,"e":18446744073709551615,"e":0}"#, Some("e"));
    check(r#"["a","a"]"#, None);
    check("7", None);
    // Not JSON, or not whole: another reader says so.
    check(r#"{"a":1,"b" 2,"a":3}"#, None);
    check("", None);
    check(&"[".repeat(100_000), None);
}

#[test]
fn the_name_is_shown_cut() {
    assert_eq!(twice("name"), "“name” stands twice in one object. Send it once");
    assert_eq!(twice(&"x".repeat(1_000)).chars().filter(|c| *c == 'x').count(), SHOWN_CHARS_MAX);
}
