use super::*;

#[test]
fn a_cut_within_a_character_is_still_text() {
    assert_eq!(text_of("aé".as_bytes(), true), Some("aé"));
    assert_eq!(text_of(&"aé".as_bytes()[..2], false), Some("a"));
    assert_eq!(text_of(&"aé".as_bytes()[..2], true), None);
    assert_eq!(text_of(&[b'a', 0xff, b'b'], false), None);
}

#[test]
fn only_what_changes_nothing_is_tried() {
    let read = |value: Value| read(value.as_object().unwrap().clone());
    assert_eq!(read(json!({ "path": " /a?b " })).unwrap(), (Method::GET, "/a?b".to_owned()));
    assert_eq!(read(json!({ "path": "/", "method": "HEAD" })).unwrap().0, Method::HEAD);
    for (sent, key) in [
        (json!({ "path": "/", "method": "POST" }), "method"),
        (json!({ "path": "https://x/" }), "path"),
        (json!({}), "path"),
    ] {
        let Err(OpError::Invalid(invalid)) = read(sent) else { panic!("it was taken") };
        assert_eq!(invalid[0].field, key);
    }
}
