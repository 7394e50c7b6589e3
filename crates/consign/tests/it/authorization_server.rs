//! The real authorization server is as strict as tests of OAuth need it: what they rely on is proved here.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use crate::harness::{Reply, eventually, form, percent};
use crate::peers::authorization_server::{
    Authentication, AuthorizationServer, Decision, Registered, Setup, TokenRequest,
};
use crate::peers::browser::Browser;
use crate::peers::{Answer, Tool};

/// Published with its header, which is below. Form encoding changes both.
const ID: &str = "1PpG/Q 1";
const SECRET: &str = "z/tZ9VwFZqApmIQ+ZH1I5pLk/uB4ud:X2/8bL+wfFTt1rFw=";
const HEADER: &str = "Basic MVBwRyUyRlErMTp6JTJGdFo5VndGWnFBcG1JUSUyQlpIMUk1cExrJTJGdUI0dWQlM0FYMiUyRjhiTCUyQndmRlR0MXJGdyUzRA==";

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const PERSON: &str = "person";
const REDIRECT: &str = "http://127.0.0.1:1/oauth/callback/crd_1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn client_credentials_come_encoded_in_the_header_or_in_the_body_as_registered() {
    let by_body = Registered::machine("by body", SECRET).by_body();
    let server =
        AuthorizationServer::start(&Setup::with(vec![Registered::machine(ID, SECRET), by_body])).await;
    let asked = [("grant_type", "client_credentials"), ("scope", "read write")];
    let reply = ask(&server, Some(HEADER), &asked).await.expect(200).json();
    assert_eq!(reply["token_type"], "Bearer");
    assert_eq!((&reply["expires_in"], &reply["scope"]), (&3600.into(), &"read write".into()));
    let token = text(&reply, "access_token");
    assert!(server.is_valid(&token).await && !server.is_valid("another").await);

    let body = |id| [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", SECRET)];
    ask(&server, None, &body("by body")).await.expect(200);
    // The wrong place, for both.
    ask(&server, None, &body(ID)).await.expect(401);
    ask(&server, Some(&basic("by+body", &percent(SECRET))), &asked).await.expect(401);
    // The right place, not encoded: this server decodes, as it should.
    let raw = ask(&server, Some(&basic(ID, SECRET)), &asked).await;
    assert!([400, 401].contains(&raw.status), "{}", raw.text());

    let log = server.token_requests().await;
    let seen = |request: &TokenRequest| (request.authentication, request.status);
    let (header, body) = (Authentication::Header, Authentication::Body);
    assert_eq!(
        log.iter().map(seen).collect::<Vec<_>>(),
        [(header, 200), (body, 200), (body, 401), (header, 401), (header, raw.status)]
    );
    assert!(log.is_sorted_by_key(|request| request.at_ms) && log[0].at_ms > 0);
    assert_eq!(log[0].client_id.as_deref(), Some(ID));
    assert_eq!(log[0].grant_type.as_deref(), Some("client_credentials"));
    assert_eq!((log[0].scope.as_deref(), log[0].error.as_deref()), (Some("read write"), None));
    assert_eq!(log[2].error.as_deref(), Some("invalid_client"));

    server.expire_access_tokens().await;
    assert!(!server.is_valid(&token).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_needs_its_proof_and_a_refresh_token_that_comes_twice_ends_its_family() {
    let server = AuthorizationServer::start(&Setup::with(Vec::new())).await;
    server.register(&Registered::for_person(PERSON, SECRET, REDIRECT)).await;
    // Without a proof key there is no page.
    let bare = authorization_request(&server, REDIRECT).replace("&code_challenge_method=S256", "");
    let bare = bare.replace(&format!("&code_challenge={CHALLENGE}"), "");
    let refused = server.client().send("GET", path_of(&bare), &[], "").await.expect(303).location();
    assert!(refused.starts_with(REDIRECT) && refused.contains("error=invalid_request"), "{refused}");

    let denied = server.decide(&authorization_request(&server, REDIRECT), Decision::Deny).await;
    assert!(denied.starts_with(REDIRECT), "{denied}");
    assert_eq!(parameter(&denied, "error").as_deref(), Some("access_denied"));
    assert_eq!(parameter(&denied, "state").as_deref(), Some("a state"));

    let first = consent(&server).await;
    assert!(server.is_valid(&text(&first, "access_token")).await);
    let second = renew(&server, &first).await.expect(200).json();
    assert_ne!(text(&first, "refresh_token"), text(&second, "refresh_token"));
    assert_eq!(server.families_revoked().await, 0);
    // The rotated one again: the whole family is gone, the new tokens too.
    assert_eq!(renew(&server, &first).await.expect(400).json()["error"], "invalid_grant");
    assert_eq!(server.families_revoked().await, 1);
    assert_eq!(renew(&server, &second).await.expect(400).json()["error"], "invalid_grant");
    assert!(!server.is_valid(&text(&second, "access_token")).await);

    // A code that comes twice ends its family as well, and one with a wrong proof is no code.
    let callback = server.decide(&authorization_request(&server, REDIRECT), Decision::Approve).await;
    let code = parameter(&callback, "code").unwrap();
    assert_eq!(exchange(&server, &code, CHALLENGE).await.expect(400).json()["error"], "invalid_grant");
    let callback = server.decide(&authorization_request(&server, REDIRECT), Decision::Approve).await;
    let code = parameter(&callback, "code").unwrap();
    let third = exchange(&server, &code, VERIFIER).await.expect(200).json();
    assert_eq!(exchange(&server, &code, VERIFIER).await.expect(400).json()["error"], "invalid_grant");
    assert_eq!(server.families_revoked().await, 2);
    assert!(!server.is_valid(&text(&third, "access_token")).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_renewals_at_once_one_is_refused_and_nothing_is_left() {
    let server = AuthorizationServer::start(&for_person()).await;
    let first = consent(&server).await;
    let (one, other) = tokio::join!(renew(&server, &first), renew(&server, &first));
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 400]);
    let winner = if one.status == 200 { one } else { other };
    renew(&server, &winner.json()).await.expect(400);
    assert_eq!(server.families_revoked().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_weather_is_what_a_test_asks_for() {
    let server = AuthorizationServer::start(&for_person()).await;
    let first = consent(&server).await;
    server.set_down(true).await;
    renew(&server, &first).await.expect(503);
    server.set_down(false).await;
    let second = renew(&server, &first).await.expect(200).json();
    // Done and not told: the new token is lost, and the old one is no longer good.
    server.lose_answers(true).await;
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &text(&second, "refresh_token"))];
    let header = basic(PERSON, &percent(SECRET));
    let lost = server.client().try_send("POST", "/token", &headers(Some(&header)), form(&fields)).await;
    assert!(lost.is_err(), "{lost:?}");
    server.lose_answers(false).await;
    renew(&server, &second).await.expect(400);
    assert_eq!(server.families_revoked().await, 1);
    let seen: Vec<_> = server.token_requests().await.iter().map(|request| request.status).collect();
    assert_eq!(seen, [200, 503, 200, 200, 400]);

    // The same, for a client that does not wait.
    let third = consent(&server).await;
    server.delay(Duration::from_secs(60)).await;
    let done = eventually("the renewal to be done", async || {
        let log = server.token_requests().await;
        (log.len() == 7).then(|| log[6].status)
    });
    tokio::select! {
        reply = renew(&server, &third) => panic!("too early: {}", reply.text()),
        status = done => assert_eq!(status, 200),
    }
    server.delay(Duration::ZERO).await;
    renew(&server, &third).await.expect(400);
    assert_eq!(server.families_revoked().await, 2);

    let fourth = consent(&server).await;
    server.revoke_all().await;
    assert!(!server.is_valid(&text(&fourth, "access_token")).await);
    renew(&server, &fourth).await.expect(400);
    assert_eq!(server.families_revoked().await, 2, "revoked by people, not by reuse");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotation_can_overlap_or_be_absent() {
    let overlapping = Setup { refresh_token_overlap_seconds: 3600, ..for_person() };
    let server = AuthorizationServer::start(&overlapping).await;
    let first = consent(&server).await;
    let second = renew(&server, &first).await.expect(200).json();
    let third = renew(&server, &first).await.expect(200).json();
    assert_ne!(text(&second, "refresh_token"), text(&third, "refresh_token"));
    assert_eq!(server.families_revoked().await, 0);

    let fixed = Setup { rotation: false, access_token_seconds: 60, ..for_person() };
    let server = AuthorizationServer::start(&fixed).await;
    let first = consent(&server).await;
    let second = renew(&server, &first).await.expect(200).json();
    assert_eq!(text(&first, "refresh_token"), text(&second, "refresh_token"));
    assert_eq!(second["expires_in"], 60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_approve_and_deny_in_a_browser_without_scripts() {
    let tool = Tool::start().await;
    tool.answer(Answer::json(200, &Value::Null));
    let redirect = format!("{}oauth/callback/crd_1", tool.origin());
    let server =
        AuthorizationServer::start(&Setup::with(vec![Registered::for_person(PERSON, SECRET, &redirect)]))
            .await;
    let browser = Browser::start(false).await;
    for (button, parameter_name) in [("Deny", "error"), ("Approve", "code"), ("Approve", "code")] {
        browser.goto(&authorization_request(&server, &redirect)).await;
        browser.until_shows("person wants to: read").await;
        browser.press_words(button).await;
        browser.until_at("/oauth/callback/crd_1").await;
        let callback = tool.asked().into_iter().rfind(|asked| asked.target.starts_with("/oauth")).unwrap();
        assert!(parameter(&callback.target, parameter_name).is_some(), "{}", callback.target);
        assert_eq!(parameter(&callback.target, "iss"), Some(server.issuer()));
    }
    browser.close().await;
}

fn for_person() -> Setup {
    Setup::with(vec![Registered::for_person(PERSON, SECRET, REDIRECT)])
}

fn authorization_request(server: &AuthorizationServer, redirect: &str) -> String {
    let fields = [
        ("response_type", "code"),
        ("client_id", PERSON),
        ("redirect_uri", redirect),
        ("state", "a state"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    format!("{}?{}", server.authorization_url(), form(&fields))
}

/// The whole way, approved: the answer of the token endpoint.
async fn consent(server: &AuthorizationServer) -> Value {
    let callback = server.decide(&authorization_request(server, REDIRECT), Decision::Approve).await;
    assert!(callback.starts_with(REDIRECT), "{callback}");
    assert_eq!(parameter(&callback, "state").as_deref(), Some("a state"));
    assert_eq!(parameter(&callback, "iss"), Some(server.issuer()));
    let code = parameter(&callback, "code").expect("a code");
    exchange(server, &code, VERIFIER).await.expect(200).json()
}

async fn exchange(server: &AuthorizationServer, code: &str, verifier: &str) -> Reply {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", REDIRECT),
        ("code_verifier", verifier),
    ];
    ask(server, Some(&basic(PERSON, &percent(SECRET))), &fields).await
}

async fn renew(server: &AuthorizationServer, tokens: &Value) -> Reply {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &text(tokens, "refresh_token"))];
    ask(server, Some(&basic(PERSON, &percent(SECRET))), &fields).await
}

async fn ask(server: &AuthorizationServer, authorization: Option<&str>, fields: &[(&str, &str)]) -> Reply {
    let path = server.token_url();
    server.client().send("POST", path_of(&path), &headers(authorization), form(fields)).await
}

fn headers(authorization: Option<&str>) -> Vec<(&str, &str)> {
    let form = ("content-type", "application/x-www-form-urlencoded");
    authorization.map(|value| ("authorization", value)).into_iter().chain([form]).collect()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
}

fn text(reply: &Value, name: &str) -> String {
    reply[name].as_str().unwrap_or_else(|| panic!("no {name} in {reply}")).to_owned()
}

fn path_of(address: &str) -> &str {
    let (_, rest) = address.split_once("://").expect("an address");
    &rest[rest.find('/').expect("a path")..]
}

/// A parameter of a query, decoded.
fn parameter(address: &str, name: &str) -> Option<String> {
    let (_, query) = address.split_once('?')?;
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(known, _)| *known == name)?;
    let mut bytes = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let (byte, left) = match first {
            b'+' => (b' ', after),
            b'%' => {
                let (hex, left) = after.split_at(2);
                (u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?, left)
            }
            other => (*other, after),
        };
        bytes.push(byte);
        rest = left;
    }
    String::from_utf8(bytes).ok()
}
