//! Each dialect, and the values that no tool should send.

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_795_356_120; // 2026-11-22T14:02:00Z

#[track_caller]
fn check(status: u16, fields: &[(&str, &str)], expected_s: Option<u64>) {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers
            .append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    let wait = asked_wait(&headers, status, Timestamp::from_millis(NOW * 1_000));
    assert_eq!(wait, expected_s.map(Duration::from_secs), "{status} {fields:?}");
}

#[test]
fn retry_after() {
    check(429, &[("Retry-After", "120")], Some(120));
    check(503, &[("Retry-After", " 7 ")], Some(7));
    check(403, &[("Retry-After", "60")], Some(60));
    check(503, &[("Retry-After", "Sun, 22 Nov 2026 14:07:00 GMT")], Some(300));
    check(503, &[("Retry-After", "Sunday, 22-Nov-26 14:07:00 GMT")], Some(300));
    check(503, &[("Retry-After", "Sun Nov 22 14:07:00 2026")], Some(300));
    check(503, &[("Retry-After", "2026-11-22T14:07:00Z")], Some(300));
    check(503, &[("Retry-After", "2026-11-22T16:07+02:00")], Some(300));
    check(503, &[("Retry-After", "10"), ("Retry-After", "20")], Some(20));
    check(503, &[("Retry-After", "999999999")], Some(86_400));
    check(503, &[("Retry-After", "99999999999999999999999999")], Some(86_400));
    check(503, &[("Retry-After", "Fri, 22 Nov 2030 14:07:00 GMT")], Some(86_400));
    for text in [
        "-1",
        "",
        "soon",
        "0",
        "1e9",
        "NaN",
        "inf",
        "+5",
        "Sun, 22 Nov 2026 14:01:00 GMT",
        "2020-01-01T00:00:00Z",
        "1.2.3",
    ] {
        check(429, &[("Retry-After", text)], None);
    }
}

#[test]
fn resets() {
    for name in ["X-RateLimit-Reset", "X-Rate-Limit-Reset", "RateLimit-Reset"] {
        check(429, &[(name, "90")], Some(90));
        check(429, &[(name, "1795356180")], Some(60));
        check(429, &[(name, "1795356180000")], Some(60));
        check(429, &[(name, "2026-11-22T14:03:00Z")], Some(60));
        check(429, &[(name, "2026-11-22T14:03Z")], Some(60));
        check(429, &[(name, "1795356000")], None);
        check(429, &[(name, "-5")], None);
        check(429, &[(name, "later")], None);
        check(503, &[(name, "90")], None);
        check(200, &[(name, "90")], None);
        let remaining = name.replace("Reset", "Remaining");
        check(503, &[(name, "90"), (&remaining, "0")], Some(90));
        check(503, &[(name, "90"), (&remaining, "3")], None);
        check(429, &[(name, "90"), (&remaining, "3")], Some(90));
        check(429, &[(name, "90"), ("Retry-After", "30")], Some(90));
        check(429, &[(name, "90"), ("Retry-After", "garbage")], Some(90));
    }
    check(503, &[("X-RateLimit-Reset", "90"), ("RateLimit-Remaining", "0")], None);
}

#[test]
fn rate_limit_fields() {
    check(429, &[("RateLimit", "limit=100, remaining=0, reset=50")], Some(50));
    check(503, &[("RateLimit", "limit=100, remaining=0, reset=50")], Some(50));
    check(503, &[("RateLimit", "limit=100, remaining=3, reset=50")], None);
    check(429, &[("RateLimit", "\"default\";r=50;t=30")], Some(30));
    check(503, &[("RateLimit", "\"default\";r=50;t=30")], None);
    check(503, &[("RateLimit", "\"burst\";r=0;t=2, \"day\";r=5;t=600")], Some(2));
    check(429, &[("RateLimit", "\"burst\";r=0;t=2, \"day\";r=5;t=600")], Some(600));
    check(429, &[("RateLimit", "\"default\";r=0")], None);
    check(429, &[("RateLimit", "100")], None);
}

/// As the tools that are known send it.
#[test]
fn tools() {
    check(
        429,
        &[
            ("X-RateLimit-Limit", "100"),
            ("X-RateLimit-Reset", "1795356720"),
            ("X-RateLimit-Rule", "per user"),
        ],
        Some(600),
    );
    check(
        429,
        &[("Retry-After", "42"), ("X-RateLimit-Total", "100"), ("X-RateLimit-Remaining", "0")],
        Some(42),
    );
    check(
        429,
        &[
            ("Retry-After", "5"),
            ("RateLimit-Reason", "jira-burst-based"),
            ("X-RateLimit-Reset", "2026-11-22T14:03:00Z"),
        ],
        Some(60),
    );
    check(429, &[], None);
    check(500, &[("Retry-After", "15")], Some(15));
}

proptest! {
    #[test]
    fn a_wait_is_never_zero_and_never_beyond_a_day(
        name in prop::sample::select(vec![
            "retry-after", "ratelimit", "ratelimit-reset", "x-ratelimit-reset", "x-rate-limit-reset",
        ]),
        text in "[ -~]{0,30}|[0-9]{1,40}|[0-9.;=rt,\"]{0,20}",
        status in prop::sample::select(vec![200_u16, 429, 503]),
        now in any::<i64>(),
    ) {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_str(&text).unwrap());
        if let Some(wait) = asked_wait(&headers, status, Timestamp::from_millis(now)) {
            prop_assert!(!wait.is_zero() && wait <= WAIT_MAX);
        }
    }
}
