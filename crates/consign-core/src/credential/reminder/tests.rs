use crate::credential::Credential;
use crate::credential::tests::{now, stored};
use crate::time::Timestamp;

fn ending(day: &str) -> Credential {
    Credential { ends_on: Some(day.to_owned()), ..stored("basic") }
}

#[track_caller]
fn check_step(ends_on: &str, expected: Option<(i64, i64)>) {
    let reminder = ending(ends_on).reminder(now());
    assert_eq!(reminder.map(|reminder| (reminder.days_left, reminder.step)), expected, "{ends_on}");
}

#[test]
fn the_step_is_the_last_one_that_was_due() {
    assert!(now().to_string().starts_with("2026-11-22T"), "{}", now());
    check_step("2026-12-23", None);
    check_step("2026-12-22", Some((30, 30)));
    check_step("2026-12-07", Some((15, 30)));
    check_step("2026-12-06", Some((14, 14)));
    check_step("2026-11-30", Some((8, 14)));
    check_step("2026-11-29", Some((7, 7)));
    check_step("2026-11-24", Some((2, 7)));
    check_step("2026-11-23", Some((1, 1)));
    check_step("2026-11-22", Some((0, 0)));
    check_step("2026-11-21", None);
    assert_eq!(stored("basic").reminder(now()), None);
}

#[test]
fn a_reminder_has_one_key_for_as_long_as_it_is_the_same() {
    let credential = ending("2026-12-06");
    let key = |day: &str, at: &str| {
        let credential = Credential { ends_on: Some(day.to_owned()), ..credential.clone() };
        let at = Timestamp::parse_rfc3339(at).unwrap();
        credential.reminder(at).unwrap().key(&credential)
    };
    let first = key("2026-12-06", "2026-11-22T00:00:00Z");
    assert_eq!(first, key("2026-12-06", "2026-11-28T23:59:59Z"));
    assert_ne!(first, key("2026-12-06", "2026-11-29T00:00:00Z"), "the next step");
    assert_ne!(first, key("2026-12-05", "2026-11-22T00:00:00Z"), "another end");
    assert!(first.ends_with("/2026-12-06/14"), "{first}");
}

#[test]
fn it_says_what_ends_and_when() {
    let credential = ending("2026-11-23");
    let data = credential.reminder(now()).unwrap().data(&credential, "https://consign.example/credentials/c");
    let name = &credential.name;
    assert_eq!(
        data["message"],
        format!("The secret of “{name}” ends tomorrow, on 2026-11-23. Renew it before the tool refuses it.")
    );
    assert_eq!((&data["ends"], &data["reminder_days"]), (&"secret".into(), &1.into()));
    assert_eq!(data["credential"]["url"], "https://consign.example/credentials/c");
}

#[test]
fn the_end_of_a_typed_day_is_its_last_moment() {
    assert_eq!(ending("2026-11-23").ends_at().unwrap().to_string(), "2026-11-23T23:59:59Z");
    assert_eq!(stored("basic").ends_at(), None);
}
