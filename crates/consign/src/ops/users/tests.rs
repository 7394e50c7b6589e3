//! Rules of people and their passwords.

use super::*;

#[track_caller]
fn check(password: &str, accepted: bool) {
    let judged = judge_person("Ana Silva", "ana@acme.example", &Secret::new(password.to_owned()));
    assert_eq!(judged.is_ok(), accepted, "{password}");
}

#[test]
fn passwords_are_long_and_not_the_first_guess() {
    check("correct horse battery", true);
    check("short", false);
    check("aaaaaaaaaaaaaa", false);
    check("123456789012", false);
    check("qwertyuiopas", false);
    check("ana@acme.example", false);
    assert!(judge_person("", "ana", &Secret::new("correct horse battery".to_owned())).is_err());
}
