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
fn statuses_have_words_and_consequences() {
    for code in StatusCode::ALL {
        assert_eq!(StatusCode::find(code.kind()), Some(*code));
        assert_eq!(serde_json::to_value(code).unwrap(), code.kind());
        assert!(code.action().is_some() || !code.needs_attention(), "{}", code.label());
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
