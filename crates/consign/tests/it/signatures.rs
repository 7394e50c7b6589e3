//! Signatures of webhook requests: made, changed, checked, and verified by the sample code that receivers copy.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::*;
use crate::peers::{Asked, Tool};

on_both_databases!(
    a_secret_signs_and_is_changed_without_a_gap
    a_key_pair_signs_and_only_its_public_half_is_shown
);

/// What a receiver got, as it asks about it.
fn received(asked: &Asked) -> Value {
    json!({
        "webhook_id": asked.header("webhook-id"),
        "webhook_timestamp": asked.header("webhook-timestamp"),
        "webhook_signature": asked.header("webhook-signature"),
        "body": String::from_utf8(asked.body.clone()).unwrap(),
    })
}

async fn checked(consign: &TestConsign, webhook: &str, received: &Value) -> String {
    let path = format!("/webhooks/{webhook}/signature-checks");
    let found = consign.post(&path, received).await.expect(200).json();
    assert_eq!(found["right"], found["result"].as_str().unwrap().starts_with("right"), "{found}");
    found["result"].as_str().unwrap().to_owned()
}

/// Sends an event and gives the request of it.
async fn sent(consign: &TestConsign, tool: &Tool, data: &Value) -> Asked {
    let sent = consign.event("device.low", data).await;
    consign.until(sent.delivery(), "delivered").await;
    tool.asked().pop().unwrap()
}

/// A secret that was shown in an answer, and may be seen nowhere else.
fn secret_of(consign: &TestConsign, made: &Value) -> String {
    let secret = made["signing_secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{made}");
    consign.canaries.shown_once("a signing secret", &secret);
    secret
}

/// Whether the sample code of a language takes a request. What is not one it refuses, and nothing breaks.
fn taken(program: &str, sample: &str, key: &str, asked: &Asked) -> bool {
    let headers = json!({
        "webhook-id": asked.header("webhook-id"),
        "webhook-timestamp": asked.header("webhook-timestamp"),
        "webhook-signature": asked.header("webhook-signature"),
    });
    let refused = [
        json!({}),
        json!({ "webhook-id": "x", "webhook-timestamp": "soon", "webhook-signature": "v1,AAAA" }),
        json!({ "webhook-id": headers["webhook-id"], "webhook-timestamp": headers["webhook-timestamp"] }),
        json!({ "webhook-id": headers["webhook-id"], "webhook-timestamp": headers["webhook-timestamp"],
            "webhook-signature": "v1,ä v1a,% v1a v9,AAAA" }),
    ];
    for headers in refused {
        assert!(!verified(program, sample, key, asked, &headers), "{sample}: {headers}");
    }
    let after_another = format!("v1,AAAA v1a,AAAA {}", asked.header("webhook-signature"));
    let mut also = headers.clone();
    also["webhook-signature"] = json!(after_another);
    let found = verified(program, sample, key, asked, &headers);
    assert_eq!(verified(program, sample, key, asked, &also), found, "{sample}: one of several is enough");
    found
}

/// What the sample code of a language says of a request.
fn verified(program: &str, sample: &str, key: &str, asked: &Asked, headers: &Value) -> bool {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/samples");
    let code = std::fs::read_to_string(format!("{folder}/{sample}")).unwrap();
    let input =
        json!({ "key": key, "body": String::from_utf8(asked.body.clone()).unwrap(), "headers": headers });
    let run = if sample.ends_with(".py") {
        "\nimport json, sys\ni = json.load(sys.stdin)\nprint(verify(i['key'], i['headers'], i['body'].encode()))\n"
    } else {
        "\nconst i = JSON.parse(require('node:fs').readFileSync(0));\n\
         console.log(verify(i.key, i.headers, Buffer.from(i.body)) ? 'True' : 'False');\n"
    };
    let flag = if sample.ends_with(".py") { "-c" } else { "-e" };
    let mut child = Command::new(variable(program))
        .args([flag, &format!("{code}{run}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{sample}: {output:?}");
    match String::from_utf8(output.stdout).unwrap().trim() {
        "True" => true,
        "False" => false,
        other => panic!("{sample}: {other}"),
    }
}

async fn a_secret_signs_and_is_changed_without_a_gap(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Signed", &tool.origin(), &json!({})).await;
    let path = format!("/webhooks/{webhook}");
    assert!(sent(&consign, &tool, &json!(0)).await.headers_named("webhook-signature").is_empty());
    let refused = consign.post(&format!("{path}/signing-keys"), &json!({})).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().contains("does not sign"), "{refused}");

    let saved = consign.patch(&path, &json!({ "signature": "hmac" })).await.expect(200).json();
    let first = secret_of(&consign, &saved);
    let again = consign.patch(&path, &json!({ "description": "x" })).await.expect(200).json();
    assert!(again.get("signing_secret").is_none() && again["signature"] == "hmac", "{again}");
    let asked = sent(&consign, &tool, &json!({ "device": "Ä" })).await;
    assert_eq!(checked(&consign, &webhook, &received(&asked)).await, "right");
    assert!(taken("CONSIGN_TEST_PYTHON", "hmac.py", &first, &asked));
    assert!(taken("CONSIGN_TEST_NODE", "hmac.js", &first, &asked));
    let mut changed = received(&asked);
    changed["body"] = json!("{}");
    assert_eq!(checked(&consign, &webhook, &changed).await, "wrong");
    changed["webhook_signature"] = json!("v1,AAAA");
    assert_eq!(checked(&consign, &webhook, &changed).await, "not_readable");

    let change = json!({ "old_ends_in_hours": 169 });
    consign.post(&format!("{path}/signing-keys"), &change).await.expect(422);
    let made = consign
        .post(&format!("{path}/signing-keys"), &json!({ "old_ends_in_hours": 2 }))
        .await
        .expect(201)
        .json();
    let second = secret_of(&consign, &made);
    let asked = sent(&consign, &tool, &json!(2)).await;
    assert_eq!(asked.header("webhook-signature").split(' ').count(), 2);
    for secret in [&first, &second] {
        assert!(taken("CONSIGN_TEST_PYTHON", "hmac.py", secret, &asked), "both sign");
    }
    let keys = consign.get(&format!("{path}/signing-keys")).await.expect(200).json();
    assert_eq!(keys["items"].as_array().unwrap().len(), 2, "{keys}");
    assert!(keys["items"][0]["ends_at"].is_null() && keys["items"][1]["ends_at"].is_string(), "{keys}");

    consign.advance(Duration::from_secs(2 * 3_600 + 1));
    let asked = sent(&consign, &tool, &json!(3)).await;
    assert_eq!(asked.header("webhook-signature").split(' ').count(), 1, "the old one has ended");
    assert_eq!(checked(&consign, &webhook, &received(&asked)).await, "right");

    consign.patch(&path, &json!({ "signature": "off" })).await.expect(200);
    assert!(sent(&consign, &tool, &json!(4)).await.headers_named("webhook-signature").is_empty());
    let keys = consign.get(&format!("{path}/signing-keys")).await.expect(200).json();
    assert_eq!(keys["items"], json!([]));
    let saved = consign.patch(&path, &json!({ "signature": "hmac" })).await.expect(200).json();
    assert_ne!(secret_of(&consign, &saved), second, "destroyed is destroyed");
    let entries = consign.all(&format!("/audit-entries?object={webhook}")).await;
    assert!(entries.iter().any(|entry| entry["action"] == "Changed signing secret"), "{entries:?}");
    consign.finish().await;
}

async fn a_key_pair_signs_and_only_its_public_half_is_shown(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Signed", &tool.origin(), &json!({ "signature": "ed25519" })).await;
    let path = format!("/webhooks/{webhook}");
    let keys = consign.get(&format!("{path}/signing-keys")).await.expect(200).json();
    let public = keys["items"][0]["public_key"].as_str().unwrap().to_owned();
    let asked = sent(&consign, &tool, &json!({ "device": "LT-0231" })).await;
    assert!(asked.header("webhook-signature").starts_with("v1a,"), "{:?}", asked.headers);
    assert_eq!(checked(&consign, &webhook, &received(&asked)).await, "right");
    assert!(taken("CONSIGN_TEST_PYTHON", "ed25519.py", &public, &asked));
    assert!(taken("CONSIGN_TEST_NODE", "ed25519.js", &public, &asked));
    let made = consign
        .post(&format!("{path}/signing-keys"), &json!({ "old_ends_in_hours": 0 }))
        .await
        .expect(201)
        .json();
    assert!(made["signing_secret"].is_null() && made["public_key"] != json!(public), "{made}");
    assert_eq!(checked(&consign, &webhook, &received(&asked)).await, "wrong", "the old one ended at once");
    // From one kind to the other both sign, each in its way.
    let saved = consign.patch(&path, &json!({ "signature": "hmac" })).await.expect(200).json();
    let secret = secret_of(&consign, &saved);
    let asked = sent(&consign, &tool, &json!(1)).await;
    let kinds: Vec<_> =
        asked.header("webhook-signature").split(' ').map(|one| one.split(',').next().unwrap()).collect();
    assert_eq!(kinds, ["v1", "v1a"]);
    assert!(taken("CONSIGN_TEST_NODE", "hmac.js", &secret, &asked));
    assert!(taken("CONSIGN_TEST_NODE", "ed25519.js", made["public_key"].as_str().unwrap(), &asked));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signing_keys_survive_the_rotation_of_the_encryption_key() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Signed", &tool.origin(), &json!({ "signature": "ed25519" })).await;
    consign.post("/encryption-keys/rotations", &json!({})).await.expect(200);
    eventually("every value to move", async || {
        let keys = consign.get("/encryption-keys").await.expect(200).json();
        (keys["moving"] == false && keys["items"][1]["values"] == 0).then_some(())
    })
    .await;
    let asked = sent(&consign, &tool, &json!(1)).await;
    assert_eq!(checked(&consign, &webhook, &received(&asked)).await, "right");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_replacement_without_the_signature_keeps_it_and_at_most_three_keys_sign() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Signed", &tool.origin(), &json!({ "signature": "ed25519" })).await;
    let path = format!("/webhooks/{webhook}");
    let credential = consign.get(&path).await.json()["credential"]["id"].clone();
    let whole = json!({ "name": "Signed", "credential": credential, "path": "/hook", "event_types": ["*"] });
    let replaced = consign.call("PUT", &path, &[("if-match", "*")], Some(&whole)).await.expect(200).json();
    assert_eq!(replaced["signature"], "ed25519", "{replaced}");
    for _ in 0..4 {
        consign.post(&format!("{path}/signing-keys"), &json!({ "old_ends_in_hours": 168 })).await.expect(201);
    }
    let asked = sent(&consign, &tool, &json!(1)).await;
    assert_eq!(asked.header("webhook-signature").split(' ').count(), 3);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_show_a_new_secret_once_and_check_signatures() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("Signed", &tool.origin(), &json!({})).await;
    // What these commands print is the one place where the secret may stand.
    let secret_in = |text: &str| {
        let line = text.lines().find(|line| line.starts_with("whsec_")).unwrap_or_else(|| panic!("{text}"));
        consign.canaries.shown_once("a signing secret", line);
        line.to_owned()
    };
    let edited = consign.cli(&["webhook", "edit", "Signed", "--signature", "hmac"]).run().await.expect(0);
    let first = secret_in(&edited.stdout);
    let changed =
        consign.cli(&["webhook", "change-signing-key", "Signed", "--old-ends-in-hours", "0"]).run().await;
    let second = secret_in(&changed.expect(0).stdout);
    assert_ne!(first, second);
    let asked = sent(&consign, &tool, &json!(1)).await;
    let body = consign.folder.write("body", String::from_utf8(asked.body.clone()).unwrap());
    let check = async |signature: &str| {
        let words = [
            "webhook",
            "check-signature",
            "Signed",
            "--webhook-id",
            asked.header("webhook-id"),
            "--webhook-timestamp",
            asked.header("webhook-timestamp"),
            "--webhook-signature",
            signature,
            "--body",
            &body,
        ];
        consign.run(&words).await
    };
    check(asked.header("webhook-signature")).await.expect(0);
    let wrong = check("v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=").await.expect(8);
    assert!(wrong.stderr.contains("of another key"), "{}", wrong.stderr);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_console_shows_a_secret_once_and_checks_signatures() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let webhook = consign.bearer_webhook("Signed", &tool.origin(), &json!({})).await;
    let at = format!("/webhooks/{webhook}");
    let page = consign.page(&format!("{at}/signature")).await.expect(200).text();
    assert!(page.contains("Requests are not signed"), "{page}");
    let form = consign.form(&format!("{at}/set-up"), "name").await.set("signature", "hmac");
    let page = consign.send_form(&form).await.expect(200).text();
    let secret =
        page.split("value=\"whsec_").nth(1).and_then(|rest| rest.split('"').next()).expect("it is shown");
    let first = format!("whsec_{}", secret.replace("&#x2f;", "/").replace("&#x3d;", "="));
    consign.canaries.shown_once("a signing secret", &first);
    let asked = sent(&consign, &tool, &json!({ "n": 1 })).await;
    assert!(taken("CONSIGN_TEST_NODE", "hmac.js", &first, &asked));
    let page = consign.page(&format!("{at}/signature")).await.expect(200).text();
    assert!(page.contains("Change signing secret") && page.contains("def verify(secret"), "{page}");
    let given = received(&asked);
    let fields: Vec<_> = given
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str().unwrap()))
        .collect();
    let page = consign.submit(&format!("{at}/signature"), &fields).await.expect(200).text();
    assert!(page.contains("The signature is right."), "{page}");
    let bad = consign.submit(&format!("{at}/signature/change"), &[("old_ends_in_hours", "200")]).await;
    assert!(bad.expect(422).text().contains("must end in 0 to 168 hours"));
    let page = consign
        .submit(&format!("{at}/signature/change"), &[("old_ends_in_hours", "1")])
        .await
        .expect(200)
        .text();
    let secret =
        page.split("value=\"whsec_").nth(1).and_then(|rest| rest.split('"').next()).expect("it is shown");
    consign.canaries.shown_once(
        "a signing secret",
        &format!("whsec_{}", secret.replace("&#x2f;", "/").replace("&#x3d;", "=")),
    );
    assert_eq!(sent(&consign, &tool, &json!(2)).await.header("webhook-signature").split(' ').count(), 2);
    consign.finish().await;
}
