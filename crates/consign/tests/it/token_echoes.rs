//! A token address that repeats what it was sent: none of it is kept, logged or shown.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use crate::harness::{TestConsign, merge, percent};
use crate::oauth::{client, endpoint, token_url, webhook};
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Answer, Asked, Tool};
use crate::token_repairs::{approve, both, come_back, granted};

const HIDDEN: &str = "[hidden]";

/// All values of the form, and the header that proves the client.
fn said(asked: &Asked) -> String {
    let form: Vec<_> = form_urlencoded::parse(&asked.body).map(|(_, value)| value.into_owned()).collect();
    format!("{} {}", form.join(" "), asked.headers_named("authorization").join(" "))
}

/// A token whose scope says it all, the new token included.
fn as_scope(asked: &Asked) -> Answer {
    token(&json!({ "scope": format!("read {} {MARKER}-access", said(asked)), "expires_in": 600 }))
}

/// A refusal that says it all, where the end of what is shown cuts through it.
fn as_error(asked: &Asked) -> Answer {
    let said = format!("{} {}", "x".repeat(290), said(asked).trim());
    Answer::json(400, &json!({ "error": "invalid_client", "error_description": said }))
}

/// The same to a code.
fn as_odd_request(asked: &Asked) -> Answer {
    Answer::json(400, &json!({ "error": "invalid_request", "error_description": said(asked) }))
}

/// The assertion in all its forms: as it was sent, in the other alphabet, as XML, and its signature, alone and in a
/// piece that begins and ends somewhere.
fn repeated(asked: &Asked) -> [String; 5] {
    let mut form = form_urlencoded::parse(&asked.body);
    let sent = form.find(|(name, _)| name == "assertion").expect("an assertion").1.into_owned();
    let xml = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(&sent).unwrap()).unwrap();
    let signature = consign_core::assertion::signature_value(&xml).unwrap().to_owned();
    let at = xml.find(&signature).unwrap();
    let piece = BASE64_STANDARD.encode(&xml.as_bytes()[at - 5..at + signature.len() + 4]);
    [sent, BASE64_STANDARD.encode(&xml), xml, signature, piece]
}

fn assertion_as_scope(asked: &Asked) -> Answer {
    let scope = format!("read {} end", repeated(asked).join(" , "));
    token(
        &json!({ "access_token": format!("{MARKER}-{}", asked.body.len()), "scope": scope, "expires_in": 600 }),
    )
}

fn assertion_as_error(asked: &Asked) -> Answer {
    let said = format!("bad {} end", repeated(asked).join(" , "));
    Answer::json(400, &json!({ "error": "invalid_grant", "error_description": said }))
}

fn assertion_as_code(asked: &Asked) -> Answer {
    Answer::json(400, &json!({ "error": repeated(asked)[3] }))
}

/// An assertion is good until its end: whoever reads it in an answer could sign in with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_assertion_that_is_repeated_is_hidden() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, Answer::By(assertion_as_scope)).await;
    let body = json!({
        "name": "saml", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_saml_bearer", "key_pair": "generate", "key_pair_bits": 2048,
        "name_id": "ana.silva", "issuer": "https://consign.example", "audience": "tool",
        "recipient": token_url(&endpoint),
    });
    let credential = consign.credential(&body).await;
    let path = format!("/credentials/{credential}");
    let hook = json!({ "name": "saml", "credential": credential, "path": "/hook", "event_types": ["saml"] });
    consign.webhook(&hook).await;
    consign.until(consign.event("saml", &json!(1)).await.delivery(), "delivered").await;
    let scope = consign.get(&path).await.expect(200).json()["token"]["scope"].clone();
    let scope = scope.as_str().unwrap();
    assert!(
        scope.starts_with("read [hidden] , [hidden] , [hidden] , [hidden] , ") && scope.ends_with(" end"),
        "{scope}"
    );
    let result = consign.act(&format!("{path}/tests")).await.expect(201).json();
    assert!(result.to_string().contains("scope read [hidden] , [hidden]"), "{result}");

    endpoint.answer(Answer::By(assertion_as_error));
    let result = consign.act(&format!("{path}/tests")).await.expect(201).json();
    let message = result["message"].as_str().unwrap();
    assert!(message.contains("bad [hidden] , [hidden] , [hidden] , [hidden] , "), "{message}");
    endpoint.answer(Answer::By(assertion_as_code));
    let result = consign.act(&format!("{path}/tests")).await.expect(201).json();
    for asked in endpoint.asked().iter().filter(|asked| asked.target.contains("/token")) {
        for (number, text) in repeated(asked).iter().enumerate() {
            assert!(!result.to_string().contains(text.as_str()), "{result}");
            consign.canaries.never_shown(&format!("form {number} of an assertion"), text);
        }
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sent_is_hidden() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, Answer::By(as_scope)).await;
    let secret = consign.canary("client-secret");
    let body = client("by.header", &tool, &token_url(&endpoint), "client", &secret);
    let mut by_body = body.clone();
    merge(&mut by_body, &json!({ "name": "by.body", "authentication_information": "body" }));
    for body in [body, by_body] {
        endpoint.answer(Answer::By(as_scope));
        let name = body["name"].as_str().unwrap().to_owned();
        let credential = consign.credential(&body).await;
        let hook = json!({ "name": name, "credential": credential, "path": "/hook", "event_types": [name] });
        consign.webhook(&hook).await;
        consign.until(consign.event(&name, &json!(1)).await.delivery(), "delivered").await;
        let path = format!("/credentials/{credential}");
        let scope = consign.get(&path).await.expect(200).json()["token"]["scope"].clone();
        let scope = scope.as_str().unwrap();
        assert!(scope.starts_with("read client_credentials ") && scope.contains(HIDDEN), "{scope}");
        let result = consign.act(&format!("{path}/tests")).await.expect(201).json();
        let steps = result["steps"].as_array().unwrap();
        let step = steps.iter().find(|step| step["code"] == "token").unwrap();
        let fact = step["fact"].as_str().unwrap();
        assert!(fact.contains("scope read client_credentials ") && fact.contains(HIDDEN), "{fact}");

        endpoint.answer(Answer::By(as_error));
        let result = consign.act(&format!("{path}/tests")).await.expect(201).json();
        let message = result["message"].as_str().unwrap();
        assert!(message.contains("It says: xxx") && !message.contains(&secret[..8]), "{message}");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_code_is_no_way_out() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let secret = "correcthorsebatterystaple";
    consign.canaries.never_shown("a client secret in small letters", secret);
    for (code, reason) in [
        (secret, "the token address answered [hidden]"),
        ("Not-A_Code", "the token address answered an unusual code"),
    ] {
        let endpoint = endpoint(&consign, Answer::json(400, &json!({ "error": code }))).await;
        let credential = if code == secret {
            let credential =
                consign.credential(&client("small", &tool, &token_url(&endpoint), "client", secret)).await;
            let hook =
                json!({ "name": "small", "credential": credential, "path": "/", "event_types": ["*"] });
            consign.webhook(&hook).await;
            credential
        } else {
            consign.canaries.never_shown("a code that is none", code);
            webhook(&consign, "odd", &tool, &token_url(&endpoint), &json!({ "event_types": ["odd"] })).await
        };
        let sent = consign.event("odd", &json!(1)).await;
        for delivery in &sent.deliveries {
            consign.until(delivery, "held").await;
        }
        let status = consign.get(&format!("/credentials/{credential}")).await.json()["status"].clone();
        assert_eq!(status["reason"], reason, "{status}");
        for delivery in &sent.deliveries {
            consign.act(&format!("/deliveries/{delivery}/cancellation")).await.expect(200);
        }
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proves_a_grant_is_hidden() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let endpoint = endpoint(&consign, Answer::By(as_odd_request)).await;
    let credential = granted(&consign, &tool, &endpoint).await;
    let verifier = |asked: &Asked| -> String {
        let mut form = form_urlencoded::parse(&asked.body);
        form.find(|(name, _)| name == "code_verifier").expect("a proof key").1.into_owned()
    };
    let page = approve(&consign, &credential).await.text();
    assert!(page.contains("invalid_request: authorization_code [hidden]"), "{page}");
    consign.canaries.never_shown("the proof key of a refused code", &verifier(&endpoint.asked()[0]));

    let secret = consign.canary("typed-where-it-does-not-belong");
    let path = format!("/credentials/{credential}");
    consign.patch(&path, &json!({ "client_secret": secret })).await.expect(200);
    let said = format!("error=server_error&error_description={}", percent(&format!("no {secret}")));
    let page = come_back(&consign, &credential, &said).await.text();
    assert!(page.contains("server_error: no [hidden]"), "{page}");

    let (_, _, first) = both(&consign, "first");
    endpoint.answer(first);
    let asked = endpoint.count();
    assert!(approve(&consign, &credential).await.text().contains("is connected"));
    consign.canaries.never_shown("the proof key of a good code", &verifier(&endpoint.asked()[asked]));
    consign.until(consign.event("a", &json!(1)).await.delivery(), "delivered").await;
    consign.advance(Duration::from_secs(600));
    endpoint.answer(Answer::By(as_scope));
    consign.until(consign.event("a", &json!(2)).await.delivery(), "delivered").await;
    let token: Value = consign.get(&path).await.expect(200).json()["token"].clone();
    assert!(token["scope"].as_str().unwrap().starts_with("read refresh_token [hidden] "), "{token}");
    consign.finish().await;
}
