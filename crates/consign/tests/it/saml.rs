//! OAuth 2.0 – SAML before a certified authorization server whose assertions are judged by a library of somebody else:
//! each token costs a new assertion, a test tells what is wrong, certificates change without a gap, and the private key
//! is found nowhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, merge};
use crate::peers::Tool;
use crate::peers::authorization_server::{Authentication, AuthorizationServer, Registered, Setup};

pub(crate) const CLIENT: &str = "NWQ5ZjE";
pub(crate) const CERTIFICATE: &str = include_str!("../../../consign-core/src/sign/tests/rsa.certificate.pem");
pub(crate) const PRIVATE_KEY: &str = include_str!("../../../consign-core/src/sign/tests/rsa.pkcs8.pem");
pub(crate) const TRADITIONAL: &str = include_str!("../../../consign-core/src/sign/tests/rsa.pkcs1.pem");
pub(crate) const TWICE: &str = include_str!("../../../consign-core/src/sign/tests/rsa.twice.pem");
pub(crate) const ENCRYPTED: &str = include_str!("../../../consign-core/src/sign/tests/rsa.aes256.pem");

/// A credential for a server that knows the client by a parameter.
pub(crate) fn credential(name: &str, tool: &Tool, server: &AuthorizationServer, more: &Value) -> Value {
    let mut body = json!({
        "name": name, "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_saml_bearer",
        "name_id": "ana.silva", "issuer": "https://consign.example", "audience": "www.successfactors.com",
        "recipient": server.token_url(),
        "oauth_token_requests": [{ "name": "client_id", "value": CLIENT }],
    });
    merge(&mut body, more);
    body
}

/// What an administrator of the server registers.
pub(crate) fn signer(certificate: &Value) -> Value {
    json!({ "certificate": certificate, "issuer": "https://consign.example",
            "audience": "www.successfactors.com", "name_id": "ana.silva" })
}

pub(crate) fn own() -> Value {
    json!({ "certificate": CERTIFICATE, "private_key": PRIVATE_KEY })
}

pub(crate) async fn server() -> AuthorizationServer {
    AuthorizationServer::start(&Setup::with(vec![Registered::signer(CLIENT)])).await
}

/// Nobody may find a line of the key, in whatever form it was typed.
pub(crate) fn hide_key(consign: &TestConsign) {
    for (name, text) in
        [("PKCS#8", PRIVATE_KEY), ("PKCS#1", TRADITIONAL), ("Base64 twice", TWICE), ("encrypted", ENCRYPTED)]
    {
        for line in text.lines().filter(|line| !line.contains("-----") && line.len() > 24) {
            consign.canaries.never_shown(&format!("a line of the key ({name})"), line);
        }
        let whole: String = text.lines().filter(|line| !line.contains("-----")).collect();
        consign.canaries.never_shown(&format!("the key in one line ({name})"), &whole);
    }
}

pub(crate) async fn webhook(consign: &TestConsign, credential: &str, event_type: &str) {
    let webhook =
        json!({ "name": event_type, "credential": credential, "path": "/hook", "event_types": [event_type] });
    consign.webhook(&webhook).await;
}

pub(crate) async fn test(consign: &TestConsign, credential: &str) -> Value {
    consign.act(&format!("/credentials/{credential}/tests")).await.expect(201).json()
}

/// Deliveries over a token that was traded for an assertion; a new token is a new assertion.
async fn each_token_costs_a_new_assertion(consign: TestConsign) {
    hide_key(&consign);
    let (tool, server) = (Tool::start().await, server().await);
    server.trust_signer(&signer(&json!(CERTIFICATE))).await;
    let rows = json!([{ "name": "client_id", "value": CLIENT }, { "name": "company_id", "value": "C & 1" },
                      { "name": "company", "value": "acme", "sent_in": "query" }, { "name": "scope", "value": "read" }]);
    let attributes = json!([{ "name": "api_key", "value": CLIENT }, { "name": "use_username", "value": "true" },
                            { "name": "api_key", "value": "</saml:AttributeValue>&amp;" }]);
    let more = json!({ "assertion_encoding": "base64", "oauth_token_requests": rows, "saml_attributes": attributes });
    let mut body = credential("hxm", &tool, &server, &own());
    merge(&mut body, &more);
    let id = consign.credential(&body).await;
    webhook(&consign, &id, "saml").await;
    for number in 0..3 {
        let sent = consign.event("saml", &json!(number)).await;
        consign.until(sent.delivery(), "delivered").await;
    }
    assert_eq!(server.token_requests().await.len(), 1, "one token for three deliveries");
    // Renewal: a new assertion, also while the old token is refused.
    server.expire_access_tokens().await;
    consign.advance(Duration::from_secs(3_600));
    server.trust_signer(&json!({ "clock_ahead_seconds": 3_600 })).await;
    let sent = consign.event("saml", &json!(3)).await;
    consign.until(sent.delivery(), "delivered").await;
    let taken = server.assertions().await;
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert_ne!(taken[0]["id"], taken[1]["id"]);
    assert_eq!((&taken[0]["encoding"], &taken[0]["embedded"]), (&json!("base64"), &json!(true)));
    assert_eq!(taken[0]["attributes"]["api_key"], json!([CLIENT, "</saml:AttributeValue>&amp;"]));
    assert_eq!((&taken[0]["company_id"], &taken[0]["query"]), (&json!("C & 1"), &json!("company=acme")));
    let requests = server.token_requests().await;
    assert_eq!(requests[0].grant_type.as_deref(), Some("urn:ietf:params:oauth:grant-type:saml2-bearer"));
    assert_eq!(
        (requests[0].authentication, requests[0].scope.as_deref()),
        (Authentication::None, Some("read"))
    );
    for asked in tool.asked().iter().filter(|asked| asked.target == "/hook") {
        let token = asked.header("authorization").strip_prefix("Bearer ").unwrap();
        consign.canaries.never_shown("an access token", token);
    }
    let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!(shown["status"]["code"], "working");
    assert_eq!(shown["token"]["renewable"], false, "a refresh token that came is ignored");
    assert_eq!(shown["private_key"]["set"], true);
    for taken in taken {
        consign.canaries.never_shown("the id of an assertion", taken["id"].as_str().unwrap());
    }
    consign.finish().await;
}

on_both_databases! {
    each_token_costs_a_new_assertion
    what_is_not_right_is_refused_and_not_stored
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_tells_what_the_tool_does_not_like() {
    let consign = TestConsign::start().await;
    let (tool, server) = (Tool::start().await, server().await);
    let id = consign.credential(&credential("lessons", &tool, &server, &own())).await;
    let other = json!(include_str!("../../../consign-core/src/sign/tests/p256.certificate.pem"));
    let good = signer(&json!(CERTIFICATE));
    let lessons = [
        (json!({ "certificate": other }), "The tool could not check our signature."),
        (json!({ "audience": "other" }), "The tool does not accept the Audience “www.successfactors.com”."),
        (json!({ "issuer": "other" }), "The tool does not know the Issuer “https://consign.example”."),
        (json!({ "name_id": "other" }), "The tool does not know the user."),
        (
            json!({ "clock_ahead_seconds": 900 }),
            "The tool finds the assertion too early or too late. Its clock is ",
        ),
        (
            json!({ "clock_ahead_seconds": -900 }),
            "The tool finds the assertion too early or too late. Its clock is ",
        ),
        (
            json!({ "issuer": "other", "silent": true }),
            "The tool refused the assertion and does not say why. Check there:",
        ),
        (
            json!({ "clock_ahead_seconds": 900, "silent": true }),
            "The tool refused the assertion and does not say why. Its clock",
        ),
    ];
    for (wrong, sentence) in lessons {
        server.trust_signer(&good).await;
        server.trust_signer(&json!({ "clock_ahead_seconds": 0, "silent": false })).await;
        server.trust_signer(&wrong).await;
        let tested = test(&consign, &id).await;
        let message = tested["message"].as_str().unwrap();
        assert!(message.starts_with(sentence), "{wrong}: {tested}");
        assert_eq!(tested["outcome"], "failed");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_with_a_secret_is_told_apart_from_the_assertion() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let secret = consign.canary("client-secret");
    let server =
        AuthorizationServer::start(&Setup::with(vec![Registered::signer_with_secret(CLIENT, &secret)])).await;
    server.trust_signer(&signer(&json!(CERTIFICATE))).await;
    let mut body = credential("with client", &tool, &server, &own());
    body["oauth_token_requests"] = json!([]);
    let id = consign.credential(&body).await;
    // No client at all, one in the wrong place, the wrong one, the right one.
    let message = async || test(&consign, &id).await["message"].as_str().unwrap().to_owned();
    assert!(!message().await.contains("Working"));
    let client =
        json!({ "authentication_information": "body", "client_id": CLIENT, "client_secret": secret });
    consign.patch(&format!("/credentials/{id}"), &client).await.expect(200);
    let tested = test(&consign, &id).await;
    assert_eq!(tested["message"], "The tool accepts the client secret in Header, not in Body.", "{tested}");
    assert_eq!(tested["offer"]["value"], "header");
    let wrong = consign.canary("wrong-secret");
    let change = json!({ "authentication_information": "header", "client_secret": wrong });
    consign.patch(&format!("/credentials/{id}"), &change).await.expect(200);
    assert_eq!(
        message().await.split(" It says").next(),
        Some("The tool does not accept the client ID or client secret.")
    );
    consign.patch(&format!("/credentials/{id}"), &json!({ "client_secret": secret })).await.expect(200);
    let tested = test(&consign, &id).await;
    assert_eq!((tested["outcome"] == "failed", &tested["warnings"]), (false, &json!([])), "{tested}");
    // Another address than the one that the assertion is made out to.
    let elsewhere = format!("{}?tenant=1", server.token_url());
    let change =
        json!({ "access_token_url": elsewhere, "client_secret": secret, "private_key": PRIVATE_KEY });
    consign.patch(&format!("/credentials/{id}"), &change).await.expect(200);
    let apart = format!("The assertion is sent to {elsewhere} and made out to {}.", server.token_url());
    let tested = test(&consign, &id).await;
    assert!(tested["warnings"][0].as_str().is_some_and(|warning| warning.starts_with(&apart)), "{tested}");
    let page = consign.page(&format!("/credentials/{id}")).await.expect(200).text();
    assert!(unescape(&page).contains(&apart), "the form says it as well");
    let last = server.token_requests().await.pop().unwrap();
    assert_eq!(last.authentication, Authentication::Header);
    consign.finish().await;
}

/// Each bad input has its sentence over the API, and nothing is stored; a changed destination asks for the key again on
/// every surface.
async fn what_is_not_right_is_refused_and_not_stored(consign: TestConsign) {
    hide_key(&consign);
    let (tool, server) = (Tool::start().await, server().await);
    let weak = include_str!("../../../consign-core/src/sign/tests/weak.certificate.pem");
    let other = include_str!("../../../consign-core/src/sign/tests/p256.pkcs8.pem");
    let now = consign_store::local_now().minus(Duration::from_secs(3 * 365 * 86_400));
    let (ended, ended_key) =
        consign_core::sign::create("x", consign_core::sign::KeySize::Rsa2048, 1, now).unwrap();
    let row = |name: &str| json!({ "oauth_token_requests": [{ "name": name, "value": "x" }] });
    let cases = [
        (json!({}), "/certificate", "missing", "Add a certificate or create one"),
        (
            json!({ "certificate": "x", "private_key": PRIVATE_KEY }),
            "/certificate",
            "bad_form",
            "Certificate must be an X.509 certificate in PEM or DER form",
        ),
        (
            json!({ "certificate": CERTIFICATE }),
            "/private_key",
            "missing",
            "Add the private key that belongs to this certificate",
        ),
        (
            json!({ "certificate": CERTIFICATE, "private_key": other }),
            "/private_key",
            "key_mismatch",
            "The private key does not belong to this certificate",
        ),
        (
            json!({ "certificate": ended.pem(), "private_key": ended_key.expose() }),
            "/certificate",
            "ended",
            "This certificate ended on 20",
        ),
        (
            json!({ "certificate": weak, "private_key": PRIVATE_KEY }),
            "/certificate",
            "weak_key",
            "Certificate must use an RSA key of 2048 bits or more, or an EC key",
        ),
        (
            json!({ "certificate": CERTIFICATE, "private_key": ENCRYPTED }),
            "/private_key_passphrase",
            "missing",
            "This private key needs a passphrase",
        ),
        (json!({ "key_pair": "generate", "name_id": "" }), "/name_id", "missing", "Enter the Name ID"),
        (json!({ "key_pair": "generate", "issuer": "" }), "/issuer", "missing", "Enter the Issuer"),
        (json!({ "key_pair": "generate", "audience": "" }), "/audience", "missing", "Enter the Audience"),
        (json!({ "key_pair": "generate", "recipient": "" }), "/recipient", "missing", "Enter the Recipient"),
        (
            json!({ "key_pair": "generate", "name_id": "a\u{1}b" }),
            "/name_id",
            "bad_characters",
            "Name ID must not include control characters",
        ),
        (
            json!({ "key_pair": "generate", "recipient": "https://10.0.0.1/token" }),
            "/recipient",
            "private_address",
            "10.0.0.1 is on a private network",
        ),
    ];
    let mut all: Vec<(Value, &str, &str, &str)> = cases.to_vec();
    let reserved = "“assertion” is set automatically";
    let mut asked = row("assertion");
    merge(&mut asked, &own());
    all.push((asked, "/oauth_token_requests/0/name", "reserved", reserved));
    for (more, at, code, sentence) in all {
        let reply = consign.post("/credentials", &credential("bad", &tool, &server, &more)).await.expect(422);
        let faults = reply.faults();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let (found_at, found_code, message) = &faults[0];
        assert!(
            found_at.ends_with(at) && found_code == code && message.starts_with(sentence),
            "{at}: {faults:?}"
        );
    }
    assert!(consign.all("/credentials").await.is_empty(), "nothing is stored");

    // The forms that tools hand out are taken.
    for (name, key, passphrase) in
        [("pkcs1", TRADITIONAL, None), ("twice", TWICE, None), ("sealed", ENCRYPTED, Some("open-sesame"))]
    {
        let own =
            json!({ "certificate": CERTIFICATE, "private_key": key, "private_key_passphrase": passphrase });
        consign.credential(&credential(name, &tool, &server, &own)).await;
    }
    let id = consign.credential(&credential("moved", &tool, &server, &own())).await;
    let at = format!("/credentials/{id}");
    let evil = Tool::start().await;
    let needed = "secret_needed_for_new_destination";
    for key in ["recipient", "access_token_url"] {
        let away = format!("{}token", evil.origin());
        let what = if key == "recipient" { "recipient" } else { "Access Token URL" };
        let sentence = format!(
            "Enter the private key again. You changed the {what}, so saved secrets are not sent to the new one"
        );
        let change = json!({ key: away });
        let reply = consign.patch(&at, &change).await.expect(422);
        let of_key = |reply: &crate::harness::Reply| {
            reply.faults().into_iter().map(|(_, code, message)| (code, message)).collect::<Vec<_>>()
        };
        assert_eq!(of_key(&reply), [(needed.to_owned(), sentence.clone())]);
        let mut whole = consign.get(&at).await.expect(200).json();
        whole[key] = json!(away);
        let reply = consign.call("PUT", &at, &[("if-match", "*")], Some(&whole)).await.expect(422);
        assert_eq!(of_key(&reply), [(needed.to_owned(), sentence.clone())]);
        // Neither does a test of values that are not saved.
        let reply = consign.post(&format!("{at}/tests"), &change).await.expect(422);
        assert_eq!(of_key(&reply), [(needed.to_owned(), sentence.clone())]);
        let flag = format!("--{}", key.replace('_', "-"));
        let ran = consign.run(&["credential", "edit", "moved", &flag, &away]).await.expect(7);
        assert!(ran.stderr.contains(&sentence), "{}", ran.stderr);
        let page = consign.page(&at).await.expect(200);
        let form = form_with(&page.text(), &at, "recipient").set(key, &away);
        let page = consign.send_form(&form).await.expect(422).text();
        assert!(unescape(&page).contains(&sentence), "the page says it");
    }
    assert!(evil.asked().is_empty(), "nothing went to the new place");
    // With the key again, or a new one, it moves.
    let away = json!({ "recipient": format!("{}token", evil.origin()), "private_key": PRIVATE_KEY });
    consign.patch(&at, &away).await.expect(200);
    let again = json!({ "recipient": server.token_url(), "key_pair": "generate", "key_pair_bits": 2048 });
    consign.patch(&at, &again).await.expect(200);
    consign.finish().await;
}
