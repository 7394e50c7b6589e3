use super::*;

#[test]
fn the_next_attempt_has_a_time() {
    let at = |text: &str| Timestamp::parse_rfc3339(text).unwrap();
    let now = at("2026-11-22T21:27:03Z");
    let said = |due: &str| at_in_words(at(due), now, &utc());
    assert_eq!(said("2026-11-22T21:57:40Z"), "in 30 min (21:57 UTC)");
    assert_eq!(said("2026-11-22T21:27:08Z"), "in 5 s (21:27 UTC)");
    assert_eq!(said("2026-11-23T03:27:03Z"), "in 6 h (2026-11-23, 03:27 UTC)");
    assert_eq!(said("2026-11-22T21:27:03Z"), "at once");
    let kolkata = TimeZone::parse("Asia/Kolkata").unwrap();
    let said = |due: &str| at_in_words(at(due), now, &kolkata);
    assert_eq!(said("2026-11-22T21:57:40Z"), "in 30 min (03:27 IST)");
    assert_eq!(said("2026-11-22T23:27:03Z"), "in 2 h (04:57 IST)", "after midnight there as well");
    assert_eq!(said("2026-11-23T21:27:03Z"), "in 1 d (2026-11-24, 02:57 IST)");
}

#[test]
fn only_what_comes_back_by_itself_needs_nobody() {
    for status in [None, Some(408), Some(429), Some(500), Some(503)] {
        assert_eq!(needed(status), "Nothing is needed from you.", "{status:?}");
    }
    for status in [404, 405] {
        assert!(needed(Some(status)).contains("Look at the path of the webhook"), "{status}");
    }
    for status in [400, 403, 404, 405, 409, 422] {
        assert!(!needed(Some(status)).contains("Nothing is needed"), "{status}");
    }
}
