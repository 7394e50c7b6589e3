use std::collections::BTreeMap;

use super::*;
use crate::auth::{Authorizer, find};
use crate::token::TokenFacts;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// A client of this type with some fields changed.
fn fields(kind: &str, changed: &[(&str, &str)]) -> Fields {
    let entry = find(kind).unwrap();
    let mut plain: BTreeMap<String, String> =
        entry.fields.iter().map(|field| (field.key.to_owned(), field.prefill.to_owned())).collect();
    plain.insert("client_id".to_owned(), "client".to_owned());
    plain.insert("access_token_url".to_owned(), "https://login.example/oauth/token".to_owned());
    plain.insert("authorization_code_url".to_owned(), "https://login.example/authorize".to_owned());
    let mut secrets = BTreeMap::new();
    secrets.insert("client_secret".to_owned(), Secret::new("secret".to_owned()));
    for (key, value) in changed {
        if *key == "client_secret" || key.contains('/') {
            secrets.insert((*key).to_owned(), Secret::new((*value).to_owned()));
        } else {
            plain.insert((*key).to_owned(), (*value).to_owned());
        }
    }
    Fields { plain, secrets }
}

fn authorizer(kind: &str, changed: &[(&str, &str)]) -> Box<dyn Authorizer> {
    (find(kind).unwrap().parse)(&fields(kind, changed)).unwrap()
}

fn fetched(kind: &str, changed: &[(&str, &str)]) -> Exchange {
    match authorizer(kind, changed).step(None, NOW) {
        Step::Fetch { exchange, meanwhile: None } => *exchange,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(changed: &[(&str, &str)], authorization: Option<&str>, body: &str) {
    let exchange = fetched("oauth2_client_credentials", changed);
    let sent = exchange.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let expected: Vec<_> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    assert_eq!(sent.collect::<Vec<_>>(), expected);
    assert!(exchange.headers.iter().all(|(_, value)| value.is_sensitive()));
    assert_eq!(exchange.body.expose(), body);
    assert_eq!(exchange.to.origin().to_string(), "https://login.example/");
}

#[test]
fn the_client_proves_itself_where_it_is_told_to() {
    // RFC 6749 section 4.4.2, with the client of section 2.3.1.
    check(
        &[("client_id", "s6BhdRkqt3"), ("client_secret", "7Fjfp0ZBr1KtDRbnfVdmIw")],
        Some("Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3"),
        "grant_type=client_credentials",
    );
    let odd =
        [("client_id", "1PpG/Q 1"), ("client_secret", "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=")];
    let with = |placement| [odd[0], odd[1], ("authentication_information", placement)];
    check(
        &with("header"),
        Some(
            "Basic MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA==",
        ),
        "grant_type=client_credentials",
    );
    let raw = BASE64_STANDARD.encode("1PpG/Q 1:z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=");
    check(&with("header_raw"), Some(&format!("Basic {raw}")), "grant_type=client_credentials");
    check(
        &with("body"),
        None,
        "grant_type=client_credentials&client_id=1PpG%2FQ+1\
         &client_secret=z%2FtZ9VwFZqApmIQ%2BZH1I5pLk%2FuB4ud%3AX2%2F8bL%2BwfFTt1rFw%3D",
    );
}

#[test]
fn only_letters_digits_and_four_marks_stay_in_a_form() {
    let all: String = (0x20..=0x7e_u8).map(char::from).collect();
    let encoded = form_encoded(&all);
    for (c, plain) in all.chars().map(|c| (c, c.is_ascii_alphanumeric() || "*-._".contains(c))) {
        let expected = match c {
            ' ' => "+".to_owned(),
            _ if plain => c.to_string(),
            _ => format!("%{:02X}", u32::from(c)),
        };
        assert_eq!(*form_encoded(&c.to_string()), expected);
    }
    let decoded: Vec<_> = form_urlencoded::parse(format!("v={}", *encoded).as_bytes()).into_owned().collect();
    assert_eq!(decoded, [("v".to_owned(), all)]);
}

#[test]
fn scope_client_and_rows_stand_in_their_order() {
    let rows = r#"[{"name":"resource","value":"https://a.example/x y","secret":false,"sent_in":"body"},
        {"name":"company_id","value":"ACME","sent_in":"query"},
        {"name":"resource","secret":true}]"#;
    let exchange = fetched(
        "oauth2_client_credentials",
        &[
            ("scope", "read write"),
            ("authentication_information", "body"),
            ("oauth_token_requests", rows),
            ("oauth_token_requests/resource/1", "hush&"),
            ("access_token_url", "https://login.example/oauth/token?tenant=1"),
        ],
    );
    assert_eq!(
        exchange.body.expose(),
        "grant_type=client_credentials&scope=read+write&client_id=client&client_secret=secret\
         &resource=https%3A%2F%2Fa.example%2Fx+y&resource=hush%26"
    );
    let tail = exchange.to.tail_with(exchange.query.expose());
    assert_eq!(tail.expose(), "/oauth/token?tenant=1&company_id=ACME");
}

#[test]
fn a_row_whose_secret_is_gone_stops_the_credential() {
    let rows = r#"[{"name":"resource","secret":true}]"#;
    let fields = fields("oauth2_client_credentials", &[("oauth_token_requests", rows)]);
    assert!((find("oauth2_client_credentials").unwrap().parse)(&fields).is_err());
    let damaged = self::fields("oauth2_client_credentials", &[("oauth_token_requests", "[{")]);
    assert!((find("oauth2_client_credentials").unwrap().parse)(&damaged).is_err());
}

fn token(seconds_old: u64, life: Option<u64>, refresh: bool) -> Token {
    let obtained_at = NOW.minus(Duration::from_secs(seconds_old));
    Token {
        access: Some(Secret::new("access".to_owned())),
        refresh: refresh.then(|| Secret::new("refresh".to_owned())),
        facts: TokenFacts {
            obtained_at,
            ends_at: life.map(|life| obtained_at.plus(Duration::from_secs(life))),
            scope: None,
            refresh_ends_at: None,
        },
    }
}

fn step_word(step: &Step) -> &'static str {
    match step {
        Step::Apply(_) => "apply",
        Step::Fetch { meanwhile: Some(_), .. } => "early",
        Step::Fetch { meanwhile: None, .. } => "fetch",
        Step::AskConsent => "ask",
        Step::SignIn(_) => "sign in",
    }
}

#[test]
fn a_token_is_used_renewed_early_and_replaced() {
    let credentials = authorizer("oauth2_client_credentials", &[]);
    let code = authorizer("oauth2_authorization_code", &[]);
    let cases = [
        // seconds old, life, refresh token, client credentials, authorization code
        (0, Some(3600), true, "apply", "apply"),
        (2879, Some(3600), true, "apply", "apply"),
        (2880, Some(3600), true, "early", "early"),
        (2880, Some(3600), false, "early", "apply"),
        (3569, Some(3600), true, "early", "early"),
        (3570, Some(3600), true, "fetch", "fetch"),
        (3570, Some(3600), false, "fetch", "ask"),
        (53, Some(60), true, "early", "early"),
        (54, Some(60), true, "fetch", "fetch"),
        // Born expired: used for a minute, so that nothing loops.
        (0, Some(0), true, "apply", "apply"),
        (59, Some(1), true, "apply", "apply"),
        (60, Some(1), true, "fetch", "fetch"),
        // Until the tool refuses it.
        (100_000_000, None, false, "apply", "apply"),
    ];
    for (old, life, refresh, expected_credentials, expected_code) in cases {
        let token = token(old, life, refresh);
        let case = format!("{old} {life:?} {refresh}");
        assert_eq!(step_word(&credentials.step(Some(&token), NOW)), expected_credentials, "{case}");
        assert_eq!(step_word(&code.step(Some(&token), NOW)), expected_code, "{case}");
    }
    assert_eq!(step_word(&code.step(None, NOW)), "ask");
    let mut refused = token(0, Some(3600), true);
    refused.access = None;
    assert_eq!(step_word(&code.step(Some(&refused), NOW)), "fetch");
    let Step::Apply(proof) = credentials.step(Some(&token(0, Some(3600), false)), NOW) else { panic!() };
    assert_eq!(proof.headers, [(AUTHORIZATION, HeaderValue::from_static("Bearer access"))]);
    assert!(proof.headers[0].1.is_sensitive());
}

#[test]
fn a_renewal_sends_the_refresh_token_and_no_scope() {
    let code = authorizer("oauth2_authorization_code", &[("scope", "read")]);
    let Step::Fetch { exchange, .. } = code.step(Some(&token(4000, Some(3600), true)), NOW) else { panic!() };
    assert_eq!(exchange.body.expose(), "grant_type=refresh_token&refresh_token=refresh");
    assert_eq!(exchange.grant, Grant::RefreshToken);
    assert_eq!(exchange.proofs.iter().map(Secret::expose).collect::<Vec<_>>(), ["refresh"]);
}

fn ask() -> Ask {
    Ask {
        redirect_url: "https://consign.example/oauth/callback/crd_1".to_owned(),
        state: Secret::new("state+1".to_owned()),
        // RFC 7636 appendix B.
        verifier: Secret::new("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".to_owned()),
    }
}

#[test]
fn the_browser_is_sent_with_everything_the_tool_needs() {
    let rows = r#"[{"name":"audience","value":"api.example"},{"name":"prompt","value":"consent"}]"#;
    let code = authorizer(
        "oauth2_authorization_code",
        &[
            ("scope", "read offline_access"),
            ("authorization_parameters", rows),
            ("authorization_code_url", "https://login.example/authorize?tenant=1"),
        ],
    );
    let consent = code.consent().unwrap();
    assert_eq!(
        consent.authorization_url(&ask()),
        "https://login.example/authorize?tenant=1&response_type=code&client_id=client\
         &redirect_uri=https%3A%2F%2Fconsign.example%2Foauth%2Fcallback%2Fcrd_1&scope=read+offline_access\
         &state=state%2B1&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM\
         &code_challenge_method=S256&audience=api.example&prompt=consent"
    );
    assert_eq!(consent.host(), "login.example");
    let exchange = consent.redeem(&Secret::new("the/code".to_owned()), &ask());
    assert_eq!(
        exchange.proofs.iter().map(Secret::expose).collect::<Vec<_>>(),
        ["the/code", ask().verifier.expose()]
    );
    assert_eq!(
        exchange.body.expose(),
        "grant_type=authorization_code&code=the%2Fcode\
         &redirect_uri=https%3A%2F%2Fconsign.example%2Foauth%2Fcallback%2Fcrd_1\
         &code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
}

#[test]
fn without_a_proof_key_neither_half_of_it_is_sent() {
    let code = authorizer("oauth2_authorization_code", &[("pkce", "off")]);
    let consent = code.consent().unwrap();
    assert_eq!(
        consent.authorization_url(&ask()),
        "https://login.example/authorize?response_type=code&client_id=client\
         &redirect_uri=https%3A%2F%2Fconsign.example%2Foauth%2Fcallback%2Fcrd_1&state=state%2B1"
    );
    let exchange = consent.redeem(&Secret::new("c".to_owned()), &ask());
    assert!(!exchange.body.expose().contains("code_verifier"));
}

#[test]
fn every_asking_is_another_one() {
    let (one, other) = (Ask::new(String::new()), Ask::new(String::new()));
    assert_eq!(one.state.expose().len(), 43, "256 bits in Base64url");
    assert_eq!(one.verifier.expose().len(), 43, "RFC 7636 section 4.1 asks for 43 to 128 characters");
    assert_ne!(one.state.expose(), other.state.expose());
    assert_ne!(one.verifier.expose(), other.verifier.expose());
    assert_ne!(one.state.expose(), one.verifier.expose());
}

#[test]
fn warnings_name_what_often_goes_wrong() {
    let warnings = |changed: &[(&str, &str)]| {
        let kind = "oauth2_authorization_code";
        let found = (find(kind).unwrap().warn)(&fields(kind, changed));
        found.into_iter().map(|warning| (warning.field, warning.message)).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&[]), []);
    let special = "The client secret has special characters (/ + =). In the header they are URL-encoded, as the \
                   OAuth standard asks. If the tool answers 400 or 401, test with Body.";
    assert_eq!(warnings(&[("client_secret", "a/b+c/=*-._")]), [("client_secret", special.to_owned())]);
    let body = "Body works, but the OAuth standard prefers Header (RFC 6749, section 2.3.1). Use Body only if the \
                tool needs it.";
    let by_body = [("client_secret", "a/b"), ("authentication_information", "body")];
    assert_eq!(warnings(&by_body), [("authentication_information", body.to_owned())]);
    let comma = "Scopes are separated with spaces. Is “a,b” one scope?";
    assert_eq!(warnings(&[("scope", "a,b")]), [("scope", comma.to_owned())]);
    let open = "Without a proof key a stolen code is easier to misuse.";
    assert_eq!(warnings(&[("pkce", "off")]), [("pkce", open.to_owned())]);
}

#[track_caller]
fn check_address(key: &str, query: &str, expected: Option<&str>) {
    let entry = find("oauth2_authorization_code").unwrap();
    let field = entry.fields.iter().find(|field| field.key == key).unwrap();
    let judged = field.judge(&format!("https://login.example/oauth/token{query}"));
    let found = judged.as_ref().err().map(|fault| (fault.code, fault.message.as_str()));
    assert_eq!(found, expected.map(|sentence| ("secret_in_address", sentence)), "{query}");
}

/// Addresses are stored and shown as they are.
#[test]
fn an_address_holds_no_secret() {
    let row = |label: &str, name: &str| {
        format!(
            "{label} must not include “{name}”, because the address is shown. Put it into a row of OAuth Token \
             Requests that is marked as a secret and sent in the query (sent_in: query)"
        )
    };
    for name in [
        "password",
        "api_key",
        "apikey",
        "API-Key",
        "apiKey",
        "x-api-key",
        "key",
        "token",
        "access_token",
        "subscription-key",
        "sig",
        "pass%77ord",
        "user[password]",
        "clientSecretKey",
    ] {
        let shown = name.replace("%77", "w");
        for query in [format!("?{name}=x"), format!("?a=1&{name}=x"), format!("?{name}")] {
            check_address("access_token_url", &query, Some(&row("Access Token URL", &shown)));
        }
    }
    let url = "authorization_code_url";
    check_address(url, "?token=x", Some(&row("Authorization code URL", "token")));
    let field = "Access Token URL must not include “client_secret”, because the address is shown. Enter it in the \
                 field Client secret";
    check_address(
        "access_token_url",
        "?Client_Secret=x",
        Some(&field.replace("client_secret", "Client_Secret")),
    );
    check_address("access_token_url", "?client_secret=x", Some(field));
    let ours = "Access Token URL must not include “assertion”, because the address is shown. Remove it: it is set \
                automatically";
    check_address("access_token_url", "?assertion=x", Some(ours));
    for query in [
        "",
        "?",
        "?tenant=acme",
        "?token_format=opaque&token_access_type=offline",
        "?resource=a%26password%3Db",
        "?passwordless=true",
        "?keyboard=x&monkey=y",
        "?api-version=2024-10-21",
    ] {
        check_address("access_token_url", query, None);
        check_address(url, query, None);
    }
}

#[test]
fn a_username_in_an_address_belongs_into_the_fields_of_the_client() {
    for (key, label) in
        [("access_token_url", "Access Token URL"), ("authorization_code_url", "Authorization code URL")]
    {
        let entry = find("oauth2_authorization_code").unwrap();
        let field = entry.fields.iter().find(|field| field.key == key).unwrap();
        let fault = field.judge("https://id:secret@login.example/token").unwrap_err();
        let sentence = format!(
            "{label} must not include a username or password. Use the fields Client ID and Client secret"
        );
        assert_eq!((fault.code, fault.message), ("user_info", sentence));
    }
}
