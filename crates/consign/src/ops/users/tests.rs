//! Rules of passwords and links.

use super::*;

#[test]
fn a_link_fits_once_made_and_not_after_its_time() {
    let now = Timestamp::from_millis(1_000);
    let stored = format!("2000 {}", hash("token"));
    assert!(link_fits(Some(&stored), "token", now));
    assert!(!link_fits(Some(&stored), "other", now));
    assert!(!link_fits(Some(&stored), "token", Timestamp::from_millis(2_000)));
    assert!(!link_fits(None, "token", now));
}

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
