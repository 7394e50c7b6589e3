use super::*;
use crate::credential::tests::{later, now, stored};
use crate::credential::{Credential, SentWith, stored_type};

#[track_caller]
fn check_status(seen: StatusCode, ends_on: &str, code: StatusCode, reason: &str) {
    let seen = Status { code: seen, reason: "as seen".to_owned(), since: now() };
    let credential = Credential { seen, ends_on: Some(ends_on.to_owned()), ..stored("basic") };
    let status = credential.status(now());
    assert_eq!((status.code, status.reason.as_str()), (code, reason));
}

#[test]
fn an_end_date_outranks_working_and_a_failure_outranks_an_end_date() {
    check_status(StatusCode::Working, "2026-11-21", StatusCode::Ended, "ended on 2026-11-21");
    check_status(StatusCode::Working, "2026-11-22", StatusCode::EndsSoon, "ends today");
    check_status(StatusCode::NotTested, "2026-11-23", StatusCode::EndsSoon, "ends tomorrow");
    check_status(StatusCode::Working, "2026-12-22", StatusCode::EndsSoon, "ends in 30 days");
    check_status(StatusCode::Working, "2026-12-23", StatusCode::Working, "as seen");
    for pressing in [StatusCode::Locked, StatusCode::SignInRefused, StatusCode::CannotReach] {
        check_status(pressing, "2026-11-21", pressing, "as seen");
    }
    assert_eq!(stored("basic").status(later()).code, StatusCode::NotTested);
}

#[test]
fn the_age_of_an_end_is_that_of_the_end() {
    let since = |ends_on: &str, seen_days_ago: u64| {
        let seen_since = now().minus(DAY * u32::try_from(seen_days_ago).unwrap());
        let seen = Status { code: StatusCode::Working, reason: String::new(), since: seen_since };
        let credential = Credential { seen, ends_on: Some(ends_on.to_owned()), ..stored("basic") };
        credential.status(now()).since.to_string()
    };
    assert!(now().to_string().starts_with("2026-11-22T"), "{}", now());
    assert_eq!(since("2026-11-20", 90), "2026-11-21T00:00:00Z");
    assert_eq!(since("2026-11-20", 0), "2026-11-21T00:00:00Z");
    assert_eq!(since("2026-12-02", 90), "2026-11-02T00:00:00Z");
    assert_eq!(since("2026-12-02", 1), now().minus(DAY).to_string(), "it was entered only then");
}

#[test]
fn statuses_have_words_and_consequences() {
    for code in StatusCode::ALL {
        assert_eq!(StatusCode::find(code.kind()), Some(*code));
        assert_eq!(serde_json::to_value(code).unwrap(), code.kind());
        for tokens in [Tokens::None, Tokens::Fetched, Tokens::Granted] {
            let action = code.action(tokens, Refuser::Tool);
            assert!(action.is_some() || !code.needs_attention(), "{}", code.label());
        }
    }
    let holding: Vec<_> =
        StatusCode::ALL.iter().filter(|code| code.holds()).map(|code| code.kind()).collect();
    assert_eq!(
        holding,
        ["locked", "host_key_changed", "reconnect_needed", "not_authorized", "sign_in_refused"]
    );
    assert!(SentWith::ALL.iter().all(|choice| SentWith::find(choice.kind()) == Some(*choice)));
    assert_eq!(
        (stored_type("basic").unwrap().kind, stored_type("kerberos").unwrap_err().as_str()),
        ("basic", "kerberos")
    );
}

#[test]
fn what_is_refused_says_what_mends_it() {
    use {NextAction::*, Refuser::*};
    for (tokens, refused_by, action) in [
        (Tokens::None, Tool, ReplaceSecret),
        (Tokens::Fetched, Tool, ReplaceSecret),
        (Tokens::Fetched, TokenAddress, ReplaceSecret),
        (Tokens::Granted, TokenAddress, ReplaceSecret),
        (Tokens::Granted, Tool, AuthorizeAgain),
    ] {
        assert_eq!(StatusCode::SignInRefused.action(tokens, refused_by), Some(action), "{tokens:?}");
        assert_eq!(StatusCode::ReconnectNeeded.action(tokens, refused_by), Some(AuthorizeAgain));
        assert_eq!(StatusCode::HostKeyChanged.action(tokens, refused_by), Some(CompareKeys));
        assert_eq!(StatusCode::Working.action(tokens, refused_by), None);
    }
    for action in NextAction::ALL {
        assert_eq!(serde_json::to_value(action).unwrap(), action.kind());
    }
}
