use consign_core::time::Timestamp;

use super::*;

#[test]
fn what_waited_for_a_person_says_so() {
    let check = |kind: &'static str, after: Duration, expected: &str| {
        let at = Timestamp::parse_rfc3339("2026-11-22T14:02:05Z").unwrap();
        let arrival = tool::Arrival { kind, status: 201, at, after, reference: "INC0010013".to_owned() };
        assert_eq!(row(&arrival), expected);
    };
    let (quick, slow) = (Duration::from_millis(38), Duration::from_millis(199_975));
    check("basic", quick, "14:02:05  Basic                           201     38 ms         INC0010013");
    let code = "oauth2_authorization_code";
    check(code, quick, "14:02:05  OAuth 2.0 - Authorization code  201     38 ms         INC0010013");
    let waited = "14:02:05  OAuth 2.0 - Authorization code  201     3 min 19 s    INC0010013  waited for your approval";
    check(code, slow, waited);
}
