use super::*;
use crate::auth::find;
use crate::token::OAuthError;

fn seen(status: u16) -> RequestSeen<'static> {
    RequestSeen { status, is_html: false, message: None, reason: None, leads_to: None, has_test_path: true }
}

#[track_caller]
fn check(kind: &str, seen: RequestSeen<'_>, outcome: TestOutcome, message: &str) {
    assert_eq!(of_request(find(kind).unwrap(), seen), (outcome, message.to_owned()));
}

#[test]
fn each_answer_has_its_sentence() {
    use TestOutcome::{Failed, Reached, Working};
    check("basic", seen(200), Working, "Working. The tool accepted the sign-in.");
    check("basic", seen(204), Working, "Working. The tool accepted the sign-in.");
    check(
        "basic",
        RequestSeen { is_html: true, ..seen(200) },
        Reached,
        "Reached. The tool answered 200 with a web page, which does not prove the sign-in. Check the test path.",
    );
    for status in [200, 301, 404, 405] {
        check(
            "bearer",
            RequestSeen { has_test_path: false, ..seen(status) },
            Reached,
            &format!(
                "Reached. The tool answered {status}, which does not prove the sign-in. Add a test path to prove it."
            ),
        );
    }
    check(
        "none",
        RequestSeen { has_test_path: false, ..seen(405) },
        Reached,
        "Reached. The tool answered 405. An incoming webhook can only be proven by sending something.",
    );
    check(
        "basic",
        RequestSeen { reason: Some("bad password"), ..seen(401) },
        Failed,
        "The tool refused the sign-in (401). Check the username and password. It says: bad password",
    );
    check("bearer", seen(401), Failed, "The tool refused the sign-in (401). Check the token.");
    check(
        "oauth2_client_credentials",
        seen(401),
        Failed,
        "The tool refused the sign-in (401). Check the client ID and client secret.",
    );
    check(
        "oauth2_authorization_code",
        seen(401),
        Failed,
        "The tool refused the sign-in (401). Someone must approve access again.",
    );
    check(
        "basic",
        seen(403),
        Failed,
        "The tool knows the account but does not allow this path (403). Check the account's role, or choose \
         another test path.",
    );
    check(
        "basic",
        RequestSeen { leads_to: Some("login.example"), ..seen(302) },
        Failed,
        "The tool sends us on to login.example (302). Redirects are not followed. Update the address.",
    );
    check("basic", seen(404), Failed, "The tool answered 404");
    check(
        "basic",
        RequestSeen { message: Some("No such table"), has_test_path: false, ..seen(500) },
        Failed,
        "The tool answered 500: No such table",
    );
}

#[test]
fn each_refusal_of_a_token_has_its_sentence() {
    let entry = find("oauth2_authorization_code").unwrap();
    let refused = |code: &str, description: &str| TokenError::Refused {
        reason: format!("the token address answered {code}"),
        said: OAuthError::of(code, description),
    };
    let ended = TokenError::GrantEnded { reason: String::new(), said: OAuthError::of("invalid_grant", "") };
    let page = TokenError::Refused {
        reason: "the token address shows a web page, not a token".to_owned(),
        said: None,
    };
    let cases = [
        (refused("invalid_client", ""), "The tool does not accept the client ID or client secret."),
        (refused("invalid_scope", ""), "The tool does not know the scope “a b”."),
        (
            refused("unauthorized_client", "no"),
            "This client is not allowed to use client_credentials. Switch it on in the tool. It says: no",
        ),
        (
            refused("server_error", "access_denied"),
            "The tool denied access. Switch on client credentials in ServiceNow. It says: access_denied",
        ),
        (ended, "The tool no longer accepts the refresh token. Someone must approve access again."),
        (page, "The Access token URL shows a web page, not a token. Check the address."),
        (refused("odd", ""), "The tool gave no token: odd."),
    ];
    for (error, sentence) in cases {
        assert_eq!(of_token_error(entry, "client_credentials", "a b", &error), sentence);
    }
}

#[test]
fn clocks_a_minute_apart_are_mentioned() {
    assert_eq!(of_clocks(60), None);
    let behind = "The tool's clock is 61 s behind this server. Assertions may be refused.";
    assert_eq!(of_clocks(-61).as_deref(), Some(behind));
    let ahead = "The tool's clock is 90 s ahead of this server. Assertions may be refused.";
    assert_eq!(of_clocks(90).as_deref(), Some(ahead));
}
