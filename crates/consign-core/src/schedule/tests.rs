use super::*;

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, TimeZone::parse(zone).unwrap()).unwrap()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

/// The next times, one after the other.
#[track_caller]
fn check(text: &str, zone: &str, after: &str, expected: &[&str]) {
    let schedule = schedule(text, zone);
    let mut now = at(after);
    let mut found = Vec::new();
    for _ in expected {
        now = schedule.next_after(now).unwrap();
        found.push(now.to_string());
    }
    assert_eq!(found, expected, "{text} in {zone}");
}

#[track_caller]
fn check_refused(text: &str, what: &str) {
    let fault = Schedule::parse(text, TimeZone::parse("").unwrap()).unwrap_err();
    assert_eq!((fault.code, fault.message), ("bad_form", format!("Schedule is not a cron text: {what}")));
}

#[track_caller]
fn check_words(text: &str, words: &str) {
    assert_eq!(schedule(text, "Europe/Lisbon").to_string(), words, "{text}");
}

#[test]
fn the_next_times() {
    check("hourly", "", "2026-11-22T13:59:59.999Z", &["2026-11-22T14:00:00Z", "2026-11-22T15:00:00Z"]);
    check("daily", "", "2026-11-22T02:00:00Z", &["2026-11-23T02:00:00Z"]);
    check("weekly", "", "2026-11-22T02:00:00Z", &["2026-11-23T02:00:00Z", "2026-11-30T02:00:00Z"]);
    check("*/20 9-10 * * *", "", "2026-11-22T09:40:00Z", &["2026-11-22T10:00:00Z", "2026-11-22T10:20:00Z"]);
    check("0 0 29 2 *", "", "2026-11-22T00:00:00Z", &["2028-02-29T00:00:00Z", "2032-02-29T00:00:00Z"]);
    check("0 0 31 * *", "", "2026-11-22T00:00:00Z", &["2026-12-31T00:00:00Z", "2027-01-31T00:00:00Z"]);
    // Either day is enough when both are restricted; 22 November 2026 is a Sunday.
    check("0 5 24 * 7", "", "2026-11-21T00:00:00Z", &["2026-11-22T05:00:00Z", "2026-11-24T05:00:00Z"]);
    check("0 5 * * sun", "", "2026-11-21T00:00:00Z", &["2026-11-22T05:00:00Z", "2026-11-29T05:00:00Z"]);
    check("30 2 * JAN,dec mon-fri", "", "2026-11-21T00:00:00Z", &["2026-12-01T02:30:00Z"]);
    check("0 9 * * *", "America/New_York", "2026-07-01T13:00:00Z", &["2026-07-02T13:00:00Z"]);
    assert!(schedule("by_hand", "").next_after(at("2026-11-22T00:00:00Z")).is_none());
    assert!(schedule("", "").next_after(at("2026-11-22T00:00:00Z")).is_none());
}

#[test]
fn a_minute_that_does_not_exist_is_the_next_one_that_does() {
    // In Lisbon clocks go from 01:00 to 02:00 on 29 March 2026.
    check(
        "30 1 * * *",
        "Europe/Lisbon",
        "2026-03-28T00:00:00Z",
        &["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"],
    );
    // All quarters of the hour that is missing are one run, at its end.
    check(
        "*/15 * * * *",
        "Europe/Lisbon",
        "2026-03-29T00:45:00Z",
        &["2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"],
    );
    check("30 2 * * *", "Europe/Zurich", "2026-03-28T12:00:00Z", &["2026-03-29T01:00:00Z"]);
}

#[test]
fn a_minute_that_comes_twice_comes_once() {
    // In Lisbon clocks go from 02:00 to 01:00 on 25 October 2026.
    check(
        "30 1 * * *",
        "Europe/Lisbon",
        "2026-10-24T12:00:00Z",
        &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
    );
    // Asked within the second pass, the first is over.
    check("30 1 * * *", "Europe/Lisbon", "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]);
    check(
        "hourly",
        "Europe/Lisbon",
        "2026-10-24T23:30:00Z",
        &["2026-10-25T00:00:00Z", "2026-10-25T02:00:00Z"],
    );
}

#[test]
fn what_is_no_cron_text() {
    check_refused("0 2 * *", "five fields are expected: minute, hour, day, month, day of the week");
    check_refused("@daily", "five fields are expected: minute, hour, day, month, day of the week");
    check_refused("60 2 * * *", "“60” is not a minute");
    check_refused("0 24 * * *", "“24” is not an hour");
    check_refused("0 2 0 * *", "“0” is not a day of the month");
    check_refused("0 2 * 13 *", "“13” is not a month");
    check_refused("0 2 * * 8", "“8” is not a day of the week");
    check_refused("+5 2 * * *", "“+5” is not a minute");
    check_refused("x 2 * * *", "“x” is not a minute");
    check_refused("0, 2 * * *", "“” is not a minute");
    check_refused("*/0 2 * * *", "“0” is not a step");
    check_refused("*/99 2 * * *", "“99” is not a step");
    check_refused("30-10 2 * * *", "“30-10” runs backwards");
    check_refused("0 2 31 2 *", "there is no such day in any year");
    check_refused(&"0,".repeat(200), "it is longer than 256 characters");
    let fault = TimeZone::parse("Mars/Base").unwrap_err();
    assert_eq!(fault.message, "There is no time zone “Mars/Base”. Use a name such as Europe/Lisbon");
}

#[test]
fn in_words() {
    check_words("by_hand", "By hand");
    check_words("hourly", "Every hour, Europe/Lisbon");
    check_words("daily", "Every day at 02:00, Europe/Lisbon");
    check_words("weekly", "Every Monday at 02:00, Europe/Lisbon");
    check_words("* * * * *", "Every minute, Europe/Lisbon");
    check_words("*/15 * * * *", "Every 15 minutes, Europe/Lisbon");
    check_words("5 * * * *", "Every hour at minute 5, Europe/Lisbon");
    check_words("5,10 * * * 1-5", "Every hour at minutes 5 and 10, Monday to Friday, Europe/Lisbon");
    check_words("0 2,14 * * *", "Every day at 02:00 and 14:00, Europe/Lisbon");
    check_words("0 2 * * 6,0", "Every Sunday and Saturday at 02:00, Europe/Lisbon");
    check_words("0 2 1 * *", "On day 1 of every month at 02:00, Europe/Lisbon");
    check_words("0 2 1,15 6 *", "On days 1 and 15 of June at 02:00, Europe/Lisbon");
    check_words("0 2 1 * 5", "On day 1 of every month, and every Friday at 02:00, Europe/Lisbon");
    check_words("0 2 * 12 *", "Every day in December at 02:00, Europe/Lisbon");
    check_words("0 */2 * * *", "Every day, every 2 hours, Europe/Lisbon");
    check_words(
        "*/10 8-17 * * mon-fri",
        "Monday to Friday, every 10 minutes of hours 8 to 17, Europe/Lisbon",
    );
}

#[test]
fn as_typed() {
    assert_eq!(schedule("  0   2 * *  1 ", "").as_str(), "0 2 * * 1");
    assert_eq!(schedule("", "").as_str(), "by_hand");
    assert_eq!(schedule("daily", "europe/lisbon").zone().name(), "Europe/Lisbon");
    assert_eq!(schedule("daily", "").zone().name(), "UTC");
}

#[test]
fn every_name_of_a_time_zone_is_one_that_is_read() {
    let names = TimeZone::names();
    for known in ["UTC", "Europe/Lisbon", "America/Argentina/Ushuaia", "Asia/Kolkata"] {
        assert!(names.iter().any(|name| name == known), "{known}");
    }
    for left_out in ["Etc/GMT+5", "US/Pacific", "EST5EDT", "Zulu"] {
        assert!(!names.iter().any(|name| name == left_out), "{left_out}");
    }
    for name in &names {
        assert!(TimeZone::parse(name).is_ok(), "{name}");
    }
    assert!(names.is_sorted());
}

#[test]
fn a_time_is_read_where_the_clock_hangs() {
    let read =
        |zone: &str| TimeZone::parse(zone).unwrap().format(at("2026-03-29T01:30:00Z"), "%-d %B, %H:%M %Z");
    assert_eq!(read(""), "29 March, 01:30 UTC");
    assert_eq!(read("Europe/Lisbon"), "29 March, 02:30 WEST");
    assert_eq!(read("America/New_York"), "28 March, 21:30 EDT");
}
