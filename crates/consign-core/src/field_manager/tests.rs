use super::*;

#[test]
fn names() {
    let check = |text: &str, accepted: bool| {
        let read = FieldManager::parse(text);
        assert_eq!(read.as_ref().map(FieldManager::as_str).ok(), accepted.then_some(text), "{text}");
    };
    for text in ["a", "platform-itsm", "team_a.prod", "7", &"x".repeat(64)] {
        check(text, true);
    }
    for text in ["", "Platform", "a b", "a/b", "é", "a\n", &"x".repeat(65)] {
        check(text, false);
    }
}

#[test]
fn whose_an_object_is_after_a_change() {
    let name = |text: &str| FieldManager::parse(text).unwrap();
    let check = |by: Option<(&str, bool)>, owner: Option<&str>, after: Result<Option<&str>, &str>| {
        let applying = by.map(|(manager, force)| Applying { manager: name(manager), force, dry_run: false });
        let owner = owner.map(name);
        let expected = after.map(|owner| owner.map(name)).map_err(name);
        assert_eq!(owner_after(applying.as_ref(), owner.as_ref()), expected, "{by:?} {owner:?}");
    };
    // By hand.
    check(None, None, Ok(None));
    check(None, Some("a"), Ok(Some("a")));
    // From a file.
    check(Some(("a", false)), None, Ok(Some("a")));
    check(Some(("a", false)), Some("a"), Ok(Some("a")));
    check(Some(("b", false)), Some("a"), Err("a"));
    check(Some(("b", true)), Some("a"), Ok(Some("b")));
}
