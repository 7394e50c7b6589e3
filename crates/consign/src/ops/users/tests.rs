//! Rules of passwords, links and the brake on guesses.

use super::*;

#[test]
fn guesses_are_slowed_and_forgotten_on_success() {
    let brake = SignInBrake::default();
    let now = Timestamp::from_millis(0);
    for _ in 0..FREE_TRIES {
        assert_eq!(brake.try_once("account a", now), None);
    }
    assert_eq!(brake.try_once("account a", now), Some(Duration::from_secs(30)));
    assert_eq!(brake.try_once("account b", now), None);
    let later = now.plus(Duration::from_secs(30));
    assert_eq!(brake.try_once("account a", later), None);
    assert_eq!(brake.try_once("account a", later), Some(Duration::from_secs(60)));
    brake.passed("account a");
    assert_eq!(brake.try_once("account a", later), None);
    assert_eq!(delay(1_000), Some(DELAY_MAX));
}

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
