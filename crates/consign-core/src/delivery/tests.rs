use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::connector::{ConnectorState, HeldBy};

const NOW: Timestamp = Timestamp::from_millis(1_795_356_120_000);
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

fn retry() -> Retry {
    let schedule = DEFAULT_SCHEDULE_SECONDS.map(Duration::from_secs).to_vec();
    Retry { schedule, retry_client_errors: false, when_no_answer: WhenNoAnswer::Retry }
}

/// The first attempt of a fresh delivery, without jitter.
fn first(retry: &Retry, outcome: &Outcome) -> Verdict {
    retry.next(Progress { attempt: 1, throttled_for: Duration::ZERO }, outcome, NOW, 0.0)
}

fn only(next: Next) -> Verdict {
    Verdict { next, lane: None, credential: None }
}

fn in_seconds(seconds: u64) -> Timestamp {
    NOW.plus(Duration::from_secs(seconds))
}

/// What a rejected status should lead to, from the table of answers.
fn expected(status: u16, wait: Option<Duration>, retry_client_errors: bool) -> Verdict {
    let again = only(Next::RetryAt(in_seconds(5)));
    let throttled = |wait: Duration| {
        let until = NOW.plus(wait);
        Verdict { next: Next::WaitUntil(until), lane: Some(LaneChange::ClosedUntil(until)), credential: None }
    };
    let held = |by| Verdict { lane: Some(LaneChange::Hold(by)), ..only(Next::WaitUntil(NOW)) };
    match (status, wait) {
        (401, _) => {
            Verdict { credential: Some(CredentialLesson::Refused(401)), ..held(HeldBy::SignInRefused) }
        }
        (429 | 503 | 403, Some(wait)) => throttled(wait),
        (429, None) => throttled(Duration::from_secs(30)),
        (403, None) => held(HeldBy::NotAllowed),
        (410, _) => Verdict { lane: Some(LaneChange::Pause), ..only(Next::Fail) },
        (404 | 405 | 408 | 409 | 425, _) => again,
        (400 | 413 | 415 | 422, _) if retry_client_errors => again,
        (200..=499, _) => only(Next::Fail),
        _ => again,
    }
}

#[test]
fn every_status_with_every_setting() {
    for status in 100..=999 {
        for wait in [None, Some(Duration::from_secs(7)), Some(24 * HOUR)] {
            for retry_client_errors in [false, true] {
                for when_no_answer in [WhenNoAnswer::Retry, WhenNoAnswer::Hold] {
                    let retry = Retry { retry_client_errors, when_no_answer, ..retry() };
                    let found = first(&retry, &Outcome::Rejected { status, wait });
                    assert_eq!(found, expected(status, wait, retry_client_errors), "{status} {wait:?}");
                }
            }
        }
    }
}

#[track_caller]
fn check(outcome: Outcome, verdict: Verdict) {
    assert_eq!(first(&retry(), &outcome), verdict);
}

#[test]
fn outcomes_without_a_rejecting_answer() {
    let works = Some(CredentialLesson::Works);
    check(Outcome::Accepted { status: 201 }, Verdict { credential: works, ..only(Next::Deliver) });
    for reason in [Unreached::Name, Unreached::Connect, Unreached::Tls] {
        let credential = Some(CredentialLesson::Unreachable(reason));
        check(Outcome::Unreachable { reason }, Verdict { credential, ..only(Next::RetryAt(in_seconds(5))) });
    }
    for reason in [NoAnswer::TimedOut, NoAnswer::ConnectionLost, NoAnswer::ProgramStopped] {
        let outcome = Outcome::Unanswered { reason };
        check(outcome.clone(), only(Next::RetryAt(in_seconds(5))));
        let careful = Retry { when_no_answer: WhenNoAnswer::Hold, ..retry() };
        assert_eq!(first(&careful, &outcome), only(Next::Hold(HoldReason::NoAnswer)));
    }
    let refused = |refusal| Outcome::Refused { refusal };
    let wait = only(Next::WaitUntil(NOW));
    check(refused(Refusal::CredentialMissing), wait);
    check(refused(Refusal::Stopping), wait);
    let lane = Some(LaneChange::Hold(HeldBy::CredentialLocked));
    let locked = Verdict { lane, credential: Some(CredentialLesson::Locked), ..wait };
    check(refused(Refusal::CredentialLocked), locked);
    let lane = Some(LaneChange::Hold(HeldBy::DestinationBlocked));
    check(refused(Refusal::DestinationBlocked("10.0.0.0/8".to_owned())), Verdict { lane, ..wait });
    let lane = Some(LaneChange::Hold(HeldBy::HostKeyChanged));
    let changed = Verdict { lane, credential: Some(CredentialLesson::HostKeyChanged), ..wait };
    check(refused(Refusal::HostKeyChanged), changed);
    let lane = Some(LaneChange::Hold(HeldBy::SignInRefused));
    check(
        refused(Refusal::SignInRefused),
        Verdict { lane, credential: Some(CredentialLesson::Refused(0)), ..wait },
    );
    for (answer, next) in [
        (FileAnswer::Taken, Next::Deliver),
        (FileAnswer::Declined, Next::RetryAt(in_seconds(5))),
        (FileAnswer::Exists, Next::Fail),
    ] {
        check(Outcome::File { answer }, Verdict { credential: works, ..only(next) });
    }
    let what = "“data.id” is empty".to_owned();
    check(refused(Refusal::NotRendered(what)), only(Next::Hold(HoldReason::NotRendered)));
}

#[test]
fn ten_attempts_in_about_three_days() {
    let outcome = Outcome::Rejected { status: 500, wait: None };
    let mut waits = Vec::new();
    for attempt in 1.. {
        let progress = Progress { attempt, throttled_for: Duration::ZERO };
        match retry().next(progress, &outcome, NOW, 0.0).next {
            Next::RetryAt(at) => waits.push(at.since(NOW)),
            next => {
                assert_eq!((attempt, next), (10, Next::Fail));
                break;
            }
        }
    }
    let hours = |hours: u32| HOUR * hours;
    let listed = [
        Duration::from_secs(5),
        MINUTE * 5,
        MINUTE * 30,
        hours(2),
        hours(5),
        hours(10),
        hours(14),
        hours(20),
        hours(24),
    ];
    assert_eq!(waits, listed);
    let whole: Duration = waits.iter().sum();
    assert_eq!(whole.as_secs(), 75 * 3_600 + 35 * 60 + 5);
}

#[test]
fn a_webhooks_own_schedule_is_used_to_its_end() {
    let outcome = Outcome::Unanswered { reason: NoAnswer::TimedOut };
    let next = |schedule: &[u64], attempt| {
        let own =
            Retry { schedule: schedule.iter().map(|wait| Duration::from_secs(*wait)).collect(), ..retry() };
        own.next(Progress { attempt, throttled_for: Duration::ZERO }, &outcome, NOW, 0.0).next
    };
    assert_eq!(next(&[], 1), Next::Fail);
    assert_eq!(next(&[3, 604_800], 2), Next::RetryAt(in_seconds(604_800)));
    assert_eq!(next(&[3, 604_800], 3), Next::Fail);
    assert_eq!(next(&[3], u32::MAX), Next::Fail);
}

#[test]
fn throttling_uses_up_no_attempt_and_ends_after_three_days() {
    let outcome = Outcome::Rejected { status: 429, wait: Some(Duration::from_secs(60)) };
    for (attempt, throttled_for, next) in [
        (1, Duration::ZERO, Next::WaitUntil(in_seconds(60))),
        (10, Duration::ZERO, Next::WaitUntil(in_seconds(60))),
        (1, 72 * HOUR, Next::WaitUntil(in_seconds(60))),
        (1, 72 * HOUR + Duration::from_millis(1), Next::Fail),
    ] {
        let verdict = retry().next(Progress { attempt, throttled_for }, &outcome, NOW, 0.0);
        assert_eq!((verdict.next, verdict.lane), (next, Some(LaneChange::ClosedUntil(in_seconds(60)))));
        assert_eq!(verdict.credential, None);
    }
    // Nothing else ends by it: the schedule does that.
    let outcome = Outcome::Rejected { status: 500, wait: None };
    let old = retry().next(Progress { attempt: 2, throttled_for: 100 * HOUR }, &outcome, NOW, 0.0);
    assert_eq!(old.next, Next::RetryAt(in_seconds(300)));
}

#[track_caller]
fn check_class(outcome: Outcome, class: &str, status: Option<u16>, is_failure: bool) {
    let found = (outcome.class(), outcome.status(), outcome.is_failure_of_the_tool());
    assert_eq!(found, (class, status, is_failure), "{outcome:?}");
    let label = Outcome::class_label(class);
    assert!(!label.is_empty() && !label.contains('_'), "people read “{label}” for {class}");
}

#[test]
fn classes_for_records_and_metrics() {
    check_class(Outcome::Accepted { status: 204 }, "ok", Some(204), false);
    for (status, class, is_failure) in [
        (200, "not_json", false),
        (302, "http_3xx", false),
        (400, "http_4xx", false),
        (401, "sign_in", false),
        (403, "http_4xx", false),
        (429, "throttled", false),
        (500, "http_5xx", true),
        (503, "http_5xx", true),
        (101, "http_5xx", true),
        (999, "http_5xx", true),
    ] {
        check_class(Outcome::Rejected { status, wait: None }, class, Some(status), is_failure);
    }
    for (status, class) in [(403, "throttled"), (429, "throttled"), (503, "throttled"), (500, "http_5xx")] {
        let rejected = Outcome::Rejected { status, wait: Some(MINUTE) };
        check_class(rejected, class, Some(status), status >= 500);
    }
    for reason in [NoAnswer::TimedOut, NoAnswer::ConnectionLost] {
        check_class(Outcome::Unanswered { reason }, "no_answer", None, true);
    }
    // That this program stopped is no fault of the tool.
    check_class(Outcome::Unanswered { reason: NoAnswer::ProgramStopped }, "no_answer", None, false);
    for (reason, class) in
        [(Unreached::Name, "dns"), (Unreached::Connect, "connect"), (Unreached::Tls, "tls")]
    {
        check_class(Outcome::Unreachable { reason }, class, None, true);
    }
    for (refusal, class) in [
        (Refusal::CredentialMissing, "credential"),
        (Refusal::CredentialLocked, "credential"),
        (Refusal::DestinationBlocked("x".to_owned()), "blocked"),
        (Refusal::NotRendered("x".to_owned()), "not_rendered"),
        (Refusal::TokenAway { until: NOW, reason: "x".to_owned() }, "token"),
        (Refusal::TokenRefused("x".to_owned()), "sign_in"),
        (Refusal::NoGrant("x".to_owned()), "sign_in"),
        (Refusal::HostKeyChanged, "host_key"),
        (Refusal::SignInRefused, "sign_in"),
        (Refusal::Stopping, "stopped"),
    ] {
        check_class(Outcome::Refused { refusal }, class, None, false);
    }
    for (answer, class) in
        [(FileAnswer::Taken, "ok"), (FileAnswer::Declined, "declined"), (FileAnswer::Exists, "exists")]
    {
        check_class(Outcome::File { answer }, class, None, false);
    }
}

#[test]
fn words_are_stable_and_read_back() {
    let states: Vec<_> = DeliveryState::ALL.iter().map(|state| state.kind()).collect();
    assert_eq!(states, ["pending", "held", "delivered", "failed", "cancelled"]);
    for state in DeliveryState::ALL {
        assert_eq!(
            (DeliveryState::find(state.kind()), serde_json::to_value(state).unwrap()),
            (Some(*state), state.kind().into())
        );
    }
    for reason in HoldReason::ALL {
        assert_eq!(
            (HoldReason::find(reason.kind()), serde_json::to_value(reason).unwrap()),
            (Some(*reason), reason.kind().into())
        );
        assert!(reason.text().ends_with('.'), "{}", reason.kind());
    }
    assert_eq!((DeliveryState::find("lost"), HoldReason::find("")), (None, None));
    // For the first approval and for another one a person reads the same.
    assert_eq!(HoldReason::NotAuthorized.text(), HoldReason::ReconnectNeeded.text());
    assert_eq!(
        HoldReason::ALL.iter().map(|reason| reason.text()).collect::<HashSet<_>>().len(),
        HoldReason::ALL.len() - 1
    );
}

/// A hold is written on the delivery or it is a state of its connector, never both.
#[test]
fn every_hold_has_one_owner() {
    let of_connectors: Vec<_> = ConnectorState::ALL.iter().filter_map(|state| state.hold_reason()).collect();
    for reason in HoldReason::ALL {
        assert_ne!(reason.is_own(), of_connectors.contains(reason), "{}", reason.kind());
    }
    for state in ConnectorState::ALL {
        assert_eq!(ConnectorState::find(state.stored()), Some(*state));
        assert_eq!(state.stored().split('_').next(), state.kind().split('_').next(), "{}", state.label());
    }
}

proptest! {
    #[test]
    fn a_wait_is_a_fifth_longer_or_shorter_at_most(attempt in 1_u32..=9, jitter in -2.0..2.0_f64) {
        let outcome = Outcome::Unanswered { reason: NoAnswer::ConnectionLost };
        let Next::RetryAt(at) = retry().next(Progress { attempt, throttled_for: Duration::ZERO }, &outcome, NOW, jitter).next else {
            return Err(TestCaseError::fail("no retry"));
        };
        let wait = Duration::from_secs(DEFAULT_SCHEDULE_SECONDS[attempt as usize - 1]);
        let took = at.since(NOW);
        let rounding = Duration::from_millis(1);
        prop_assert!(wait.mul_f64(0.8) <= took + rounding && took <= wait.mul_f64(1.2), "{took:?} of {wait:?}");
    }

    #[test]
    fn an_asked_wait_is_never_shortened(
        status in proptest::sample::select(vec![403_u16, 429, 503]),
        seconds in 1_u64..=86_400, jitter in -2.0..2.0_f64, attempt in 1_u32..=12,
    ) {
        let wait = Duration::from_secs(seconds);
        let outcome = Outcome::Rejected { status, wait: Some(wait) };
        let verdict = retry().next(Progress { attempt, throttled_for: Duration::ZERO }, &outcome, NOW, jitter);
        let Next::WaitUntil(until) = verdict.next else { return Err(TestCaseError::fail("not throttled")) };
        prop_assert_eq!(verdict.lane, Some(LaneChange::ClosedUntil(until)));
        prop_assert!(until >= NOW.plus(wait) && until <= NOW.plus(wait.mul_f64(1.1)));
    }
}
