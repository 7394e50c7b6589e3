//! OAuth 2.0 – SAML before a certified authorization server whose assertions are judged by a library of somebody else:
//! each token costs a new assertion, a test tells what is wrong, certificates change without a gap, and the private key
//! is found nowhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{TestConsign, merge};
use crate::peers::Tool;
use crate::peers::authorization_server::{Authentication, AuthorizationServer, Registered, Setup};

const CLIENT: &str = "NWQ5ZjE";
const CERTIFICATE: &str = include_str!("../../../consign-core/src/sign/tests/rsa.certificate.pem");
const PRIVATE_KEY: &str = include_str!("../../../consign-core/src/sign/tests/rsa.pkcs8.pem");
const TRADITIONAL: &str = include_str!("../../../consign-core/src/sign/tests/rsa.pkcs1.pem");
const TWICE: &str = include_str!("../../../consign-core/src/sign/tests/rsa.twice.pem");
const ENCRYPTED: &str = include_str!("../../../consign-core/src/sign/tests/rsa.aes256.pem");

/// A credential for a server that knows the client by a parameter.
fn credential(name: &str, tool: &Tool, server: &AuthorizationServer, more: &Value) -> Value {
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
fn signer(certificate: &Value) -> Value {
    json!({ "certificate": certificate, "issuer": "https://consign.example",
            "audience": "www.successfactors.com", "name_id": "ana.silva" })
}

fn own() -> Value {
    json!({ "certificate": CERTIFICATE, "private_key": PRIVATE_KEY })
}

async fn server() -> AuthorizationServer {
    AuthorizationServer::start(&Setup::with(vec![Registered::signer(CLIENT)])).await
}

/// Nobody may find a line of the key, in whatever form it was typed.
fn hide_key(consign: &TestConsign) {
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

async fn webhook(consign: &TestConsign, credential: &str, event_type: &str) {
    let webhook =
        json!({ "name": event_type, "credential": credential, "path": "/hook", "event_types": [event_type] });
    consign.webhook(&webhook).await;
}

async fn test(consign: &TestConsign, credential: &str) -> Value {
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

/// A pair that is created here signs; its certificate is what the tool gets.
async fn a_created_pair_signs_and_its_key_stays(consign: TestConsign) {
    let (tool, server) = (Tool::start().await, server().await);
    let generate = json!({ "key_pair": "generate", "key_pair_bits": 2048, "embed_certificate": false });
    let made = consign
        .post("/credentials", &credential("created", &tool, &server, &generate))
        .await
        .expect(201)
        .json();
    let id = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made["certificates"]["present"]["subject"], format!("CN=Consign {id}"));
    let pem = consign.get(&format!("/credentials/{id}/certificate")).await.expect(200);
    assert_eq!(pem.headers["content-type"], "application/pem-certificate-chain");
    assert_eq!(json!(pem.text()), made["certificate"]);
    server.trust_signer(&signer(&made["certificate"])).await;
    let tested = test(&consign, &id).await;
    assert_eq!(
        tested["steps"].as_array().unwrap().iter().filter(|step| step["state"] == "failed").count(),
        0,
        "{tested}"
    );
    assert_eq!(server.assertions().await[0]["embedded"], false);
    assert_eq!(server.assertions().await[0]["encoding"], "base64url");

    // The next one waits, is read, takes over, and goes back.
    let at = format!("/credentials/{id}/certificate");
    consign.call("POST", &at, &[], Some(&json!({}))).await.expect(428);
    let any = [("if-match", "*")];
    let next =
        consign.call("POST", &at, &any, Some(&json!({ "key_pair_bits": 2048, "key_pair_years": 1 }))).await;
    let next = next.expect(201).json();
    assert_eq!(next["certificates"]["present"], made["certificates"]["present"]);
    let waiting = next["certificates"]["next"]["fingerprint"].clone();
    let pem = consign.get(&format!("{at}?which=next")).await.expect(200).text();
    let switched = consign.call("POST", &format!("{at}/next"), &any, None).await.expect(200).json();
    assert_eq!(switched["certificates"]["present"]["fingerprint"], waiting);
    assert_eq!(json!(pem), switched["certificate"]);
    let refused = test(&consign, &id).await;
    let ours = format!("Compare fingerprints: ours is SHA256 {}.", waiting.as_str().unwrap());
    assert!(refused["message"].as_str().unwrap().contains(&ours), "{refused}");
    server.trust_signer(&json!({ "certificate": pem })).await;
    let tested = test(&consign, &id).await;
    assert_ne!(tested["outcome"], "failed", "{tested}");
    consign.call("DELETE", &format!("{at}/next"), &any, None).await.expect(409);
    let back = consign.call("POST", &format!("{at}/previous"), &any, None).await.expect(200).json();
    assert_eq!(back["certificates"]["present"], made["certificates"]["present"]);
    server.trust_signer(&json!({ "certificate": made["certificate"] })).await;
    assert_ne!(test(&consign, &id).await["outcome"], "failed");
    consign.call("DELETE", &format!("{at}/next"), &any, None).await.expect(200);
    consign.call("POST", &format!("{at}/next"), &any, None).await.expect(409);
    consign.get(&format!("{at}?which=next")).await.expect(404);
    let history = consign.get(&format!("/credentials/{id}/history")).await.expect(200).text();
    for action in [
        "Created the next certificate",
        "Put the next certificate to use",
        "Went back to the certificate before",
    ] {
        assert!(history.contains(action), "{action}: {history}");
    }
    consign.finish().await;
}

on_both_databases! {
    each_token_costs_a_new_assertion
    a_created_pair_signs_and_its_key_stays
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
            "The tool finds the assertion too early or too late. Its clock is 9",
        ),
        (
            json!({ "clock_ahead_seconds": -900 }),
            "The tool finds the assertion too early or too late. Its clock is 9",
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
