//! OAuth 2.0 – SAML before a certified authorization server whose assertions are judged by a library of somebody else:
//! each token costs a new assertion, a test tells what is wrong, certificates change without a gap, and the private key
//! is found nowhere.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::page::{form_with, forms, unescape};
use crate::harness::{TestConsign, eventually, merge};
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
    what_is_not_right_is_refused_and_not_stored
    the_end_of_a_certificate_is_seen_in_time
    a_pair_goes_when_its_time_is_over
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

/// Without a script: two steps to a credential, its certificate, the next one, and what would be signed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_do_it_without_a_script() {
    let consign = TestConsign::start().await;
    let (tool, server) = (Tool::start().await, server().await);
    let page = consign.page("/credentials/new").await.expect(200).text();
    let form = form_with(&page, "/credentials/new", "authorization_type");
    let form = form.set("authorization_type", "oauth2_saml_bearer").with("show_fields", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    for words in [
        "Create a key pair here",
        "Use my own",
        "More SAML settings",
        "SAML Attributes",
        "WindowsDomainQualifiedName",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let form = form_with(&page, "/credentials/new", "name_id");
    assert_eq!(form.value("issuer"), Some(format!("http://{}", consign.address()).as_str()), "prefilled");
    assert!(!form.has("client_id") || form.value("client_id") == Some(""), "no client while it is None");
    let form = form.set("name", "By hand").set("url_address", &tool.origin()).set("name_id", "ana.silva");
    let form = form.set("recipient", &server.token_url()).set("audience", "www.successfactors.com");
    let form =
        form.set("issuer", "https://consign.example").set("key_pair_bits", "2048").set("key_pair_years", "2");
    let form = form.set_row("oauth_token_requests.name", 0, "client_id").set_row(
        "oauth_token_requests.value",
        0,
        CLIENT,
    );
    let at = consign.send_form(&form).await.expect(303).location();
    let at = at.split('?').next().unwrap().to_owned();
    let id = at.rsplit('/').next().unwrap().to_owned();
    let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    let page = unescape(&consign.page(&at).await.expect(200).text());
    let fingerprint = shown["certificates"]["present"]["fingerprint"].as_str().unwrap();
    for words in [
        fingerprint,
        "Download certificate",
        "Copy without BEGIN/END lines",
        "Preview assertion",
        "Create next certificate",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let file = consign.page(&format!("{at}/certificate.pem")).await.expect(200);
    assert_eq!(json!(file.text()), shown["certificate"]);
    assert_eq!(file.header("content-disposition"), Some("attachment; filename=\"By-hand.pem\""));
    let preview = unescape(&consign.page(&format!("{at}/assertion")).await.expect(200).text());
    assert!(preview.contains(">ana.silva</saml:NameID>") && !preview.contains("<ds:Signature"), "{preview}");
    server.trust_signer(&signer(&shown["certificate"])).await;
    assert_ne!(test(&consign, &id).await["outcome"], "failed");

    // Saved without a change, the pair stays.
    let form = form_with(&consign.page(&at).await.text(), &at, "recipient");
    assert_eq!(form.value("key_pair"), Some("keep"));
    consign.send_form(&form.set("name", "Renamed")).await.expect(303);
    let renamed = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!((&renamed["name"], &renamed["certificates"]), (&json!("Renamed"), &shown["certificates"]));

    for (act, words) in [
        ("create_next", "Use the next certificate"),
        ("use_next", "Go back to the certificate before"),
        ("use_previous", "Drop the next certificate"),
        ("drop_next", "Create next certificate"),
    ] {
        let page = consign.page(&at).await.expect(200).text();
        let form = forms(&page, &at)
            .into_iter()
            .find(|form| form.action.ends_with("/certificate"))
            .expect("the panel has a form");
        consign.send_form(&form.with("act", act)).await.expect(303);
        let page = consign.page(&at).await.expect(200).text();
        assert!(page.contains(words), "{act}: {words}");
    }
    // A choice asks for its fields.
    let form = form_with(&consign.page(&at).await.text(), &at, "recipient");
    let form = form.set("authentication_information", "header").with("show_fields", "1");
    let page = consign.send_form(&form).await.expect(200).text();
    assert!(form_with(&page, &at, "client_id").has("client_secret"));
    // One's own pair, with an error beside it and then without.
    let form = form_with(&consign.page(&at).await.text(), &at, "recipient");
    let form = form.set("key_pair", "own").set("certificate", CERTIFICATE);
    let page = consign.send_form(&form).await.expect(422).text();
    assert!(page.contains("Add the private key that belongs to this certificate"));
    hide_key(&consign);
    consign.send_form(&form.set("private_key", &PRIVATE_KEY.replace('\n', "\r\n"))).await.expect(303);
    let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!(shown["certificate"], CERTIFICATE);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_do_it_with_files() {
    let consign = TestConsign::start().await;
    hide_key(&consign);
    let (tool, server) = (Tool::start().await, server().await);
    let (certificate, key) =
        (consign.folder.write("c.pem", CERTIFICATE), consign.folder.write("k.pem", PRIVATE_KEY));
    let (origin, token_url, row) = (tool.origin(), server.token_url(), format!("client_id={CLIENT}"));
    let common = [
        "--authorization-type",
        "oauth2_saml_bearer",
        "--url-address",
        &origin,
        "--recipient",
        &token_url,
        "--name-id",
        "ana.silva",
        "--issuer",
        "https://consign.example",
        "--audience",
        "www.successfactors.com",
        "--oauth-token-request",
        &row,
        "--saml-attribute",
        "api key=a & b",
    ];
    let (certificate, secret) = (format!("@{certificate}"), format!("private_key=@{key}"));
    let mut words =
        vec!["credential", "create", "--name", "Own", "--certificate", &certificate, "--secret", &secret];
    words.extend(common);
    let made = consign.run(&words).await.expect(0);
    assert!(
        format!("{}{}", made.stdout, made.stderr).contains("Certificate, to be added in the tool: SHA256 ")
    );
    let shown = consign.get("/credentials/Own").await.expect(200).json();
    assert_eq!(shown["saml_attributes"][0]["value"], "a & b");
    let pem = consign.run(&["credential", "certificate", "get", "Own"]).await.expect(0);
    assert_eq!(pem.stdout.trim(), CERTIFICATE.trim());
    server.trust_signer(&signer(&json!(CERTIFICATE))).await;
    tool.answer(crate::peers::Answer::json(200, &json!({})));
    consign.run(&["credential", "edit", "Own", "--test-path", "/me"]).await.expect(0);
    let tested = consign.run(&["credential", "test", "Own"]).await.expect(0);
    assert!(format!("{}{}", tested.stdout, tested.stderr).contains("Working"));
    let preview = consign.run(&["credential", "preview-assertion", "Own"]).await.expect(0);
    assert!(
        preview.stdout.contains("<saml:AttributeValue") && preview.stdout.contains("a &amp; b"),
        "{}",
        preview.stdout
    );

    let mut words =
        vec!["credential", "create", "--name", "Created", "--generate-key-pair", "--key-pair-bits", "2048"];
    words.extend(common);
    consign.run(&words).await.expect(0);
    for (words, said) in [
        (
            &[
                "credential",
                "certificate",
                "create-next",
                "Created",
                "--key-pair-bits",
                "2048",
                "--key-pair-years",
                "1",
            ][..],
            "The next certificate waits",
        ),
        (&["credential", "certificate", "use-next", "Created"], "The next certificate signs from now on"),
        (&["credential", "certificate", "use-previous", "Created"], "The certificate before signs again"),
        (&["credential", "certificate", "drop-next", "Created"], "The next certificate is destroyed"),
        (
            &[
                "credential",
                "certificate",
                "create-next",
                "Created",
                "--certificate",
                &certificate,
                "--secret",
                &secret,
            ],
            "The next certificate waits",
        ),
    ] {
        let ran = consign.run(words).await.expect(0);
        assert!(
            format!("{}{}", ran.stdout, ran.stderr).contains(said),
            "{said}\n{}{}",
            ran.stdout,
            ran.stderr
        );
    }
    consign.run(&["credential", "certificate", "get", "Created", "--which", "previous"]).await.expect(3);
    // Files in DER.
    let der = |text: &str| {
        let text: String = text.lines().filter(|line| !line.contains("-----")).collect();
        base64::Engine::decode(&base64::prelude::BASE64_STANDARD, text).unwrap()
    };
    let (certificate, key) =
        (consign.folder.write("c.der", der(CERTIFICATE)), consign.folder.write("k.der", der(PRIVATE_KEY)));
    let (certificate, secret) = (format!("@{certificate}"), format!("private_key=@{key}"));
    let mut words =
        vec!["credential", "create", "--name", "Der", "--certificate", &certificate, "--secret", &secret];
    words.extend(common);
    consign.run(&words).await.expect(0);
    consign.finish().await;
}

/// Who may read the credential reads the same in the preview.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_shows_what_the_credential_shows() {
    let consign = TestConsign::start().await;
    let (tool, server) = (Tool::start().await, server().await);
    let mut body = credential("preview", &tool, &server, &own());
    body["saml_attributes"] = json!([{ "name": "api_key", "value": "NWQ5" }]);
    let id = consign.credential(&body).await;
    let at = format!("/credentials/{id}/assertion-preview");
    let reader = consign.make_key(&["credentials:read"]).await;
    let shown =
        consign.call_as(&reader, "GET", &format!("/credentials/{id}"), &[], "").await.expect(200).json();
    assert_eq!(
        (&shown["name_id"], &shown["saml_attributes"][0]["value"]),
        (&json!("ana.silva"), &json!("NWQ5"))
    );
    let preview = consign.call_as(&reader, "GET", &at, &[], "").await.expect(200).json();
    let text = preview["assertion"].as_str().unwrap();
    assert!(text.contains(">ana.silva<") && text.contains(">NWQ5<") && !text.contains("Signature"), "{text}");
    let token = consign.canary("token");
    let bearer = consign.credential(&crate::harness::bearer("other", &tool.origin(), &token)).await;
    consign.get(&format!("/credentials/{bearer}/assertion-preview")).await.expect(409);
    consign.get(&format!("/credentials/{bearer}/certificate")).await.expect(404);
    consign.finish().await;
}

/// A pair that nobody can go back to is destroyed, though nobody touches the credential.
async fn a_pair_goes_when_its_time_is_over(consign: TestConsign) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (tool, server) = (Tool::start().await, server().await);
    let id = consign.credential(&credential("rotated", &tool, &server, &own())).await;
    let at = format!("/credentials/{id}");
    let any = [("if-match", "*")];
    let wish = json!({ "key_pair_bits": 2048 });
    consign.call("POST", &format!("{at}/certificate"), &any, Some(&wish)).await.expect(201);
    let switched =
        consign.call("POST", &format!("{at}/certificate/next"), &any, None).await.expect(200).json();
    assert!(switched["certificates"]["previous"].is_object(), "{switched}");
    consign.advance(Duration::from_secs(7 * 86_400) - HOUR * 2);
    consign.get(&format!("{at}/certificate?which=previous")).await.expect(200);
    consign.advance(HOUR * 4);
    consign.get(&format!("{at}/certificate?which=previous")).await.expect(404);
    eventually("the pair before to be gone", async || {
        let history = consign.get(&format!("{at}/history")).await.expect(200).text();
        history.contains("Removed the certificate before").then_some(())
    })
    .await;
    // It is as it was saved, and signs.
    let shown = consign.get(&at).await.expect(200).json();
    assert_eq!(shown["certificates"]["present"], switched["certificates"]["present"]);
    server.trust_signer(&signer(&shown["certificate"])).await;
    server.trust_signer(&json!({ "clock_ahead_seconds": 7 * 86_400 + 2 * 3_600 })).await;
    assert_ne!(test(&consign, &id).await["outcome"], "failed");
    consign.patch(&at, &json!({ "name": "Renamed" })).await.expect(200);
    consign.finish().await;
}

/// The end of the certificate is an end of the credential.
async fn the_end_of_a_certificate_is_seen_in_time(consign: TestConsign) {
    let (tool, server) = (Tool::start().await, server().await);
    let made = consign_store::local_now().minus(Duration::from_secs(345 * 86_400));
    let (certificate, key) =
        consign_core::sign::create("ending", consign_core::sign::KeySize::Rsa2048, 1, made).unwrap();
    let own = json!({ "certificate": certificate.pem(), "private_key": key.expose() });
    let id = consign.credential(&credential("ending", &tool, &server, &own)).await;
    let status =
        async || consign.get(&format!("/credentials/{id}")).await.expect(200).json()["status"].clone();
    let soon = status().await;
    assert_eq!(soon["code"], "ends_soon", "{soon}");
    assert!(soon["reason"].as_str().unwrap().starts_with("the certificate ends in "), "{soon}");
    let day = consign_store::local_now().plus(Duration::from_secs(30 * 86_400)).day();
    let listed = consign.all(&format!("/credentials?ends_before={day}")).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(consign.all("/credentials?status=ends_soon").await.len(), 1);
    consign.advance(Duration::from_secs(30 * 86_400));
    assert_eq!(status().await["code"], "ended");
    // A new pair is good again.
    let generate = json!({ "key_pair": "generate", "key_pair_bits": 2048, "key_pair_years": 1 });
    consign.patch(&format!("/credentials/{id}"), &generate).await.expect(200);
    assert_eq!(status().await["code"], "not_tested");
    assert!(consign.all("/credentials?status=ended").await.is_empty());
    consign.finish().await;
}
