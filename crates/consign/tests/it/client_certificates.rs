//! Mutual TLS: a tool that lets nobody in without a certificate, through the API, the pages and the command line.

use serde_json::{Value, json};

use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, bearer, merge};
use crate::peers::{Answer, Identity, Tool, authority, self_signed};

/// The private key is found nowhere but in the handshake.
fn hide(consign: &TestConsign, identity: &Identity) -> String {
    let key = identity.key.serialize_pem();
    let line = key.lines().nth(2).unwrap();
    consign.canaries.never_shown("client certificate key", line);
    key
}

fn showing(consign: &TestConsign, name: &str, tool: &Tool, identity: &Identity) -> Value {
    let mut credential = bearer(name, &tool.origin(), &consign.canary("token"));
    let key = hide(consign, identity);
    merge(
        &mut credential,
        &json!({ "client_certificate": identity.certificate.pem(), "client_certificate_key": key }),
    );
    credential
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_asks_for_one_is_reached_and_everybody_keeps_their_own() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start_asking(authority()).await;
    let (ours, theirs) = (authority().identity(), authority().identity());
    consign.credential(&showing(&consign, "Ours", &tool, &ours)).await;
    consign.credential(&showing(&consign, "Theirs", &tool, &theirs)).await;
    for name in ["Ours", "Theirs"] {
        let hook =
            json!({ "name": name, "credential": name, "path": format!("/{name}"), "event_types": ["*"] });
        consign.webhook(&hook).await;
    }
    for round in 0..3 {
        let sent = consign.event("device.low", &json!({ "n": round })).await;
        for delivery in &sent.deliveries {
            consign.until(delivery, "delivered").await;
        }
    }
    let known = [("/Ours", &ours), ("/Theirs", &theirs)];
    for (path, identity) in known {
        let asked = tool.asked_at(path);
        assert_eq!(asked.len(), 3);
        for one in asked {
            assert_eq!(one.certificate.as_deref(), Some(identity.certificate.der().as_ref()), "{path}");
        }
    }
    let shown = consign.get("/credentials/Ours").await.expect(200).json();
    assert_eq!(shown["client_certificate"], ours.certificate.pem());
    assert_eq!(shown["client_certificate_key"]["set"], true);
    assert!(shown["client_certificate_details"]["ends_at"].is_string(), "{shown}");

    // It opens after a restart, and a test goes the same way.
    consign.restart().await;
    tool.answer(Answer::json(200, &json!({})));
    let path = format!("/credentials/{}/tests", shown["id"].as_str().unwrap());
    let tested = consign.act(&path).await.expect(201).json();
    assert_ne!(tested["outcome"], "failed", "{tested}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_one_or_with_another_the_test_says_so() {
    let consign = TestConsign::start().await;
    let tool = Tool::start_asking(authority()).await;
    let id = consign.credential(&bearer("Desk", &tool.origin(), &consign.canary("token"))).await;
    let path = format!("/credentials/{id}/tests");
    let tested = consign.act(&path).await.expect(201).json();
    let asks = "asks for a client certificate. A credential takes one under Client certificate.";
    assert!(tested["message"].as_str().unwrap().contains(asks), "{tested}");
    let stranger = self_signed();
    let key = hide(&consign, &stranger);
    let change = json!({ "client_certificate": stranger.certificate.pem(), "client_certificate_key": key });
    consign.patch("/credentials/Desk", &change).await.expect(200);
    let tested = consign.act(&path).await.expect(201).json();
    assert_eq!(tested["outcome"], "failed", "{tested}");
    assert!(
        tested["message"].as_str().unwrap().contains("did not accept the client certificate"),
        "{tested}"
    );
    // An event that cannot be sent waits, as for any tool that is not reached.
    let hook = json!({ "name": "Desk", "credential": "Desk", "path": "/", "event_types": ["*"] });
    consign.webhook(&hook).await;
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "retrying").await;
    let ours = authority().identity();
    let key = hide(&consign, &ours);
    let change = json!({ "client_certificate": ours.certificate.pem(), "client_certificate_key": key });
    consign.patch("/credentials/Desk", &change).await.expect(200);
    consign.act(&format!("/deliveries/{}/attempts", sent.delivery())).await.expect(202);
    consign.until(sent.delivery(), "delivered").await;
    assert_eq!(tool.count(), 1);
    consign.finish().await;
}

/// RFC 8705: the certificate proves the client, and the request names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_proves_the_client_where_tokens_are_given() {
    let consign = TestConsign::start().await;
    let (server, tool) = (Tool::start_asking(authority()).await, Tool::start().await);
    let token = consign.canary("access-token");
    server.answer(Answer::json(
        200,
        &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 600 }),
    ));
    let ours = authority().identity();
    let key = hide(&consign, &ours);
    let credential = json!({
        "name": "Desk", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_client_credentials", "client_id": "consign",
        "access_token_url": format!("{}token", server.origin()), "authentication_information": "tls_client_auth",
        "client_certificate": ours.certificate.pem(), "client_certificate_key": key,
        "client_certificate_sent_with": "token_request",
    });
    let id = consign.credential(&credential).await;
    let tested = consign.act(&format!("/credentials/{id}/tests")).await.expect(201).json();
    assert_ne!(tested["outcome"], "failed", "{tested}");
    let hook = json!({ "name": "Desk", "credential": "Desk", "path": "/", "event_types": ["*"] });
    consign.webhook(&hook).await;
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "delivered").await;
    let asked = &server.asked()[0];
    assert_eq!(String::from_utf8_lossy(&asked.body), "grant_type=client_credentials&client_id=consign");
    assert!(!asked.has_header("authorization"));
    assert_eq!(asked.certificate.as_deref(), Some(ours.certificate.der().as_ref()));
    assert_eq!(tool.asked().last().unwrap().header("authorization"), format!("Bearer {token}"));
    consign.finish().await;
}

/// Without a script: entered, kept through a failed save, kept by a save that does not touch it, replaced, removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pages_do_it_without_a_script() {
    let consign = TestConsign::start().await;
    let tool = Tool::start_asking(authority()).await;
    let ours = authority().identity();
    let (certificate, key) = (ours.certificate.pem(), hide(&consign, &ours));
    let form = consign.new_credential("Desk", "bearer").await;
    let form = form.set("url_address", "").set("token", &consign.canary("token"));
    // A key that nobody can read is a key all the same.
    let cut = key.lines().take(4).collect::<Vec<_>>().join("\n");
    let page = form.clone().set("client_certificate", &format!("{certificate}{cut}"));
    let page = consign.send_form(&page).await.expect(422).text();
    assert!(
        page.contains("This text held a private key that cannot be read. Nothing of it was kept."),
        "{page}"
    );
    // A file that holds both is taken apart: the key never comes back.
    let form = form.set("client_certificate", &format!("{certificate}{key}"));
    let page = consign.send_form(&form).await.expect(422).text();
    assert!(page.contains("The private key in this text was put into its own field."), "{page}");
    assert!(
        unescape(&page).contains("Enter the URL address") && page.contains("Entered, not saved yet"),
        "{page}"
    );
    let form = form_with(&page, "/credentials/new", "client_certificate");
    assert_eq!(form.value("client_certificate_key"), Some(""), "it never comes back");
    let at = consign.save_credential(&form.set("url_address", &tool.origin())).await;
    let page = consign.page(&at).await.expect(200).text();
    let text = unescape(&page);
    assert!(text.contains("SHA-256") && text.contains(certificate.lines().nth(1).unwrap()), "{text}");
    let form = form_with(&page, &at, "client_certificate");
    consign.send_form(&form.set("test_path", "/me")).await.expect(303);
    let id = at.rsplit('/').next().unwrap();
    let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!((&shown["client_certificate_key"]["set"], &shown["test_path"]), (&json!(true), &json!("/me")));
    let tested = consign.act(&format!("/credentials/{id}/tests")).await.expect(201).json();
    assert_ne!(tested["outcome"], "failed", "{tested}");

    let page = consign.page(&at).await.expect(200).text();
    let form = form_with(&page, &at, "client_certificate");
    let other = authority().identity();
    let page =
        consign.send_form(&form.set("client_certificate", &other.certificate.pem())).await.expect(422).text();
    assert!(page.contains("Add the private key that belongs to this certificate"), "{page}");
    let form = form_with(&consign.page(&at).await.expect(200).text(), &at, "client_certificate");
    consign.send_form(&form.set("client_certificate", "")).await.expect(303);
    let shown = consign.get(&format!("/credentials/{id}")).await.expect(200).json();
    assert_eq!(
        (&shown["client_certificate"], &shown["client_certificate_key"]["set"]),
        (&json!(""), &json!(false))
    );
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_do_it_too() {
    let consign = TestConsign::start().await;
    let tool = Tool::start_asking(authority()).await;
    let ours = authority().identity();
    let folder = crate::harness::Folder::new("client-certificate");
    let certificate = format!("@{}", folder.write("ours.pem", ours.certificate.pem()));
    let key = hide(&consign, &ours);
    let origin = tool.origin();
    let words = [
        "credential",
        "create",
        "--name",
        "Desk",
        "--url-address",
        &origin,
        "--authorization-type",
        "bearer",
        "--client-certificate",
        &certificate,
        "--secret",
        "client_certificate_key=env:KEY",
        "--secret",
        "token=env:TOKEN",
        "--test",
    ];
    let command = consign.cli(&words).env("KEY", &key).env("TOKEN", &consign.canary("token"));
    let made = consign.run_as(command).await.expect(0);
    assert!(made.stderr.contains("Created credential “Desk”"), "{}", made.stderr);
    assert_eq!(tool.asked()[0].certificate.as_deref(), Some(ours.certificate.der().as_ref()));
    let shown = consign.run(&["credential", "get", "Desk"]).await.expect(0).stdout;
    assert!(shown.contains("client_certificate_details  subject="), "{shown}");
    // One that ends is said so where ends are looked for.
    let next = authority().identity_until(2027, 1, 15);
    let certificate = format!("@{}", folder.write("next.pem", next.certificate.pem()));
    let key = hide(&consign, &next);
    let words = [
        "credential",
        "edit",
        "Desk",
        "--client-certificate",
        &certificate,
        "--secret",
        "client_certificate_key=env:KEY",
    ];
    consign.run_as(consign.cli(&words).env("KEY", &key)).await.expect(0);
    let ending = consign.get("/credentials?ends_before=2027-02-01").await.expect(200).json();
    assert_eq!(ending["items"][0]["name"], "Desk", "{ending}");
    consign.finish().await;
}
