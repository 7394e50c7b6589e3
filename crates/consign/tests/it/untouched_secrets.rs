//! Whoever saves a credential and touches no secret keeps them all, whatever its authorization type: by the form of the
//! console, and over the API.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use consign_core::auth::AUTHORIZATION_TYPES;
use serde_json::{Value, json};

use crate::harness::{TestConsign, basic, bearer, merge};
use crate::peers::sshd::{KeyPair, Sshd, user};
use crate::peers::token_endpoint::{MARKER, token};
use crate::peers::{Asked, Tool};
use crate::saml;

/// So much later, a secret that is stored anew has another time.
const LATER: Duration = Duration::from_secs(60);

/// Every secret that a credential shows that it has or could have: its place, and when it was stored by whom.
fn secrets(shown: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    collect(shown, "", &mut found);
    found
}

fn collect(value: &Value, place: &str, found: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(members) if members.contains_key("set") => {
            found.insert(place.to_owned(), value.clone());
        }
        Value::Object(members) => {
            members.iter().for_each(|(key, member)| collect(member, &format!("{place}/{key}"), found));
        }
        Value::Array(rows) => {
            rows.iter().enumerate().for_each(|(at, row)| collect(row, &format!("{place}/{at}"), found));
        }
        _ => {}
    }
}

/// The peers that the credentials of a test are for.
struct Peers {
    tool: Tool,
    tokens: Tool,
    sshd: Sshd,
    host: KeyPair,
    key: KeyPair,
}

/// What was typed.
struct Typed {
    password: String,
    token: String,
    hook: String,
    client: String,
    passphrase: String,
}

/// One credential of each type, and of types that send requests with a header of its own.
fn credentials(peers: &Peers, typed: &Typed) -> Vec<Value> {
    let (origin, host_key) = (peers.tool.origin(), [&peers.host.public]);
    let token_url = format!("{}token", peers.tokens.origin());
    let mut signed = json!({
        "name": "oauth2_saml_bearer", "protocol": "https", "url_address": origin,
        "authorization_type": "oauth2_saml_bearer", "name_id": "ana.silva", "issuer": "https://consign.example",
        "audience": "www.successfactors.com", "recipient": token_url,
        "oauth_token_requests": [{ "name": "client_id", "value": saml::CLIENT }],
    });
    merge(&mut signed, &saml::own());
    vec![
        basic("basic", &origin, "consign", &typed.password),
        bearer("bearer", &origin, &typed.token),
        json!({
            "name": "none", "protocol": "https", "url_address": format!("{origin}in/{}", typed.hook),
            "authorization_type": "none",
        }),
        json!({
            "name": "oauth2_client_credentials", "protocol": "https", "url_address": origin,
            "authorization_type": "oauth2_client_credentials", "client_id": "client", "client_secret": typed.client,
            "access_token_url": token_url, "authentication_information": "body",
        }),
        json!({
            "name": "oauth2_authorization_code", "protocol": "https", "url_address": origin,
            "authorization_type": "oauth2_authorization_code", "client_id": "client", "client_secret": typed.client,
            "access_token_url": token_url, "authorization_code_url": format!("{}approve", peers.tokens.origin()),
        }),
        signed,
        json!({
            "name": "password", "protocol": "sftp", "hostname": peers.sshd.hostname(), "authorization_type": "password",
            "sftp_server_fingerprint": host_key, "username": user(), "password": typed.password,
        }),
        json!({
            "name": "ssh_key", "protocol": "sftp", "hostname": peers.sshd.hostname(), "authorization_type": "ssh_key",
            "sftp_server_fingerprint": host_key, "username": user(), "ssh_key": peers.key.private,
            "passphrase": typed.passphrase,
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_saved_without_touching_a_secret_keeps_it_for_every_type() {
    let consign = TestConsign::start().await;
    consign.canaries.never_shown("what the token address answers", MARKER);
    saml::hide_key(&consign);
    let typed = Typed {
        password: consign.canary("password"),
        token: consign.canary("token"),
        hook: consign.canary("hook"),
        client: consign.canary("client-secret"),
        passphrase: consign.canary("passphrase"),
    };
    let (host, key) = (KeyPair::generate("ed25519", ""), KeyPair::generate("ed25519", &typed.passphrase));
    let sshd = Sshd::start(&[&host], &key.public).await;
    let peers = Peers { tool: Tool::start().await, tokens: Tool::start().await, sshd, host, key };
    peers.tokens.answer(token(&json!({ "access_token": consign.canary("access") })));
    let header = consign.canary("header");

    let mut tried = Vec::new();
    for mut body in credentials(&peers, &typed) {
        let kind = body["authorization_type"].as_str().unwrap().to_owned();
        if body["protocol"] == "https" {
            merge(&mut body, &json!({ "custom_headers": [{ "name": "X-Key", "value": header }] }));
        }
        let page = format!("/credentials/{}", consign.credential(&body).await);
        let before = secrets(&consign.get(&page).await.expect(200).json());
        assert!(before.values().any(|secret| secret["set"] == true), "{kind}: {before:?}");

        // By the form, as the page came but for one field.
        consign.advance(LATER);
        let edit = consign.form(&page, "etag").await.set("max_concurrency", "2");
        consign.save_credential(&edit).await;
        let shown = consign.get(&page).await.expect(200).json();
        assert_eq!(shown["max_concurrency"], 2, "{kind}");
        assert_eq!(secrets(&shown), before, "{kind}: by the form");

        // Over the API, as it was read but for one field.
        consign.advance(LATER);
        let mut edited = shown.clone();
        edited["max_concurrency"] = json!(3);
        let etag = shown["etag"].as_str().unwrap();
        let saved = consign.call("PUT", &page, &[("if-match", etag)], Some(&edited)).await.expect(200).json();
        assert_eq!(saved["max_concurrency"], 3, "{kind}");
        assert_eq!(secrets(&saved), before, "{kind}: over the API");

        is_used(&consign, &peers, &typed, &kind, &page, &header).await;
        tried.push(kind);
    }
    tried.sort();
    let mut all: Vec<_> = AUTHORIZATION_TYPES.iter().map(|entry| entry.kind.to_owned()).collect();
    all.sort();
    assert_eq!(tried, all, "tell this test of a credential of each type");
    consign.finish().await;
}

/// What was kept still opens, and is what was typed. The password of a file server and what a person has not approved are
/// used nowhere here.
async fn is_used(consign: &TestConsign, peers: &Peers, typed: &Typed, kind: &str, page: &str, header: &str) {
    match kind {
        "password" | "oauth2_authorization_code" => {}
        "ssh_key" => {
            let tested = consign.act(&format!("{page}/tests")).await.expect(201).json();
            assert_eq!(tested["outcome"], "working", "{tested}");
        }
        _ => {
            let asked = delivered(consign, &peers.tool, kind, page).await;
            assert_eq!(asked.header("x-key"), header, "{kind}");
            let sent = asked.headers_named("authorization").concat();
            let tokens = peers.tokens.asked().pop();
            let requested = tokens.map(|asked| String::from_utf8(asked.body).unwrap()).unwrap_or_default();
            match kind {
                "basic" => {
                    let login = BASE64_STANDARD.encode(format!("consign:{}", typed.password));
                    assert_eq!(sent, format!("Basic {login}"));
                }
                "bearer" => assert_eq!(sent, format!("Bearer {}", typed.token)),
                "none" => assert_eq!(asked.target, format!("/in/{}", typed.hook)),
                "oauth2_client_credentials" => {
                    let secret = format!("client_secret={}", typed.client);
                    assert!(requested.contains(&secret), "the token request has the secret");
                }
                "oauth2_saml_bearer" => assert!(requested.contains("assertion="), "{requested}"),
                other => panic!("{other}: tell this test how it is used"),
            }
        }
    }
}

/// What the tool was asked for one event.
async fn delivered(consign: &TestConsign, tool: &Tool, kind: &str, page: &str) -> Asked {
    let before = tool.count();
    let path = if kind == "none" { "" } else { "/x" };
    let id = page.rsplit('/').next().unwrap();
    let webhook = json!({ "name": kind, "credential": id, "path": path, "event_types": [kind] });
    consign.webhook(&webhook).await;
    let sent = consign.event(kind, &json!(1)).await;
    consign.until(sent.delivery(), "delivered").await;
    let asked = tool.until_asked(before + 1).await;
    asked[before].clone()
}
