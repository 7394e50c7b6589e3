use serde_json::json;

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

/// The examples of RFC 7396 appendix A, of objects.
#[test]
fn patches_are_merged() {
    for (whole, patch, merged) in [
        (json!({ "a": "b" }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "b" }), json!({ "b": "c" }), json!({ "a": "b", "b": "c" })),
        (json!({ "a": "b" }), json!({ "a": null }), json!({})),
        (json!({ "a": "b", "b": "c" }), json!({ "a": null }), json!({ "b": "c" })),
        (json!({ "a": ["b"] }), json!({ "a": "c" }), json!({ "a": "c" })),
        (json!({ "a": "c" }), json!({ "a": ["b"] }), json!({ "a": ["b"] })),
        (json!({ "a": { "b": "c" } }), json!({ "a": { "b": "d", "c": null } }), json!({ "a": { "b": "d" } })),
        (json!({ "a": [{ "b": "c" }] }), json!({ "a": [1] }), json!({ "a": [1] })),
        (json!({ "e": null }), json!({ "a": 1 }), json!({ "e": null, "a": 1 })),
        (json!({ "a": "c" }), json!({ "a": { "b": 1 } }), json!({ "a": { "b": 1 } })),
        (json!({}), json!({ "a": { "bb": { "ccc": null } } }), json!({ "a": { "bb": {} } })),
    ] {
        let (Value::Object(mut found), Value::Object(changes)) = (whole.clone(), patch.clone()) else {
            panic!("not objects")
        };
        merge(&mut found, changes);
        assert_eq!(Value::Object(found), merged, "{whole} with {patch}");
    }
}
