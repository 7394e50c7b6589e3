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
    check("Ana Silva acme 2026", false);
    check("Password12345!", false);
    check("qwertyuiopasdfgh1234", false);
    check("zyxwvutsrqponm", false);
    check("abababababababab", false);
    check("letmein letmein letmein", false);
    check("summer-2026-Winter", false);
    check("kilo lima tango", true);
    check("h4Tq-9vLz-2mXw", true);
    assert!(judge_person("", "ana", &Secret::new("correct horse battery".to_owned())).is_err());
}
