use super::*;

const SEEN: AssertionSeen<'_> = AssertionSeen {
    fingerprint: "AB:CD",
    issuer: "https://consign.example",
    audience: "tool",
    recipient: "https://tool.example/token",
    seconds_ahead: None,
    without_client: true,
};

fn refused(code: &str, description: &str) -> TokenError {
    let said = OAuthError::of(code, description);
    TokenError::Refused { reason: format!("the token address answered {code}"), said }
}

#[track_caller]
fn check(code: &str, description: &str, seconds_ahead: Option<i64>, expected: &str) {
    let found = of_assertion_error(&AssertionSeen { seconds_ahead, ..SEEN }, &refused(code, description));
    let found = found.unwrap_or_default();
    assert!(
        if expected.is_empty() { found.is_empty() } else { found.starts_with(expected) },
        "{description}: {found}"
    );
}

#[test]
fn troubles_are_told_apart_by_the_words_of_tools() {
    let signature = "The tool could not check our signature. The certificate stored in the tool is probably not this one. \
                     Compare fingerprints: ours is SHA256 AB:CD.";
    let audience = "The tool does not accept the Audience “tool”.";
    let recipient = "The tool does not accept the Recipient “https://tool.example/token”.";
    let clock = "The tool finds the assertion too early or too late.";
    let issuer = "The tool does not know the Issuer “https://consign.example”.";
    let name = "The tool does not know the user. Check Name ID and Name ID format.";
    for (description, expected) in [
        ("Invalid signature on SAML assertion", signature),
        ("Signature validation failed: the certificate has expired", signature),
        ("The SAML2 assertion could not be verified", signature),
        ("audience is invalid", audience),
        ("Audience restriction: signature ok, value not expected", audience),
        ("Recipient does not match", recipient),
        ("SubjectConfirmationData is not valid", recipient),
        ("assertion expired", clock),
        ("NotOnOrAfter is in the past", clock),
        ("SAML2 Issuer CONSIGN is unknown", issuer),
        ("no trust relationship", issuer),
        ("user hasn't approved this consumer", name),
        ("NameID not found", name),
    ] {
        check("invalid_grant", description, None, expected);
    }
    check("invalid_request", "Audience?", None, audience);
}

#[test]
fn a_clock_that_is_apart_is_named_with_its_seconds() {
    let late = "The tool finds the assertion too early or too late. Its clock is 400 s ahead of this server. Set the clocks.";
    check("invalid_grant", "assertion expired", Some(400), late);
    let near = "The tool finds the assertion too early or too late. By its Date header its clock is 2 s apart from ours.";
    check("invalid_grant", "assertion expired", Some(-2), near);
    let silent = "The tool refused the assertion and does not say why. Its clock is 61 s behind this server. That is the \
                  likely reason.";
    check("invalid_grant", "", Some(-61), silent);
    // What the tool names is believed more than its clock.
    check("invalid_grant", "bad audience", Some(400), "The tool does not accept the Audience");
}

#[test]
fn what_is_not_about_the_assertion_is_left_to_others() {
    let client = "The tool asks for a client ID and client secret. Choose Header or Body";
    check("invalid_client", "", None, client);
    for code in ["invalid_scope", "unauthorized_client", "unsupported_grant_type", "server_error"] {
        check(code, "", None, "");
    }
    let silent = "The tool refused the assertion and does not say why. Check there: the certificate (ours is SHA256 AB:CD)";
    check("invalid_grant", "", Some(5), silent);
    let with_client = AssertionSeen { without_client: false, ..SEEN };
    assert_eq!(of_assertion_error(&with_client, &refused("invalid_client", "")), None);
    let page = TokenError::Refused { reason: "the token address shows a web page".to_owned(), said: None };
    assert_eq!(of_assertion_error(&SEEN, &page), None);
    let away = TokenError::Transient { reason: "503".to_owned(), wait: None };
    assert_eq!(of_assertion_error(&SEEN, &away), None);
}
