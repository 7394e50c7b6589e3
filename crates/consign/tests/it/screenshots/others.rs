//! What is needed for the pages beside the desk: exporters and their server, certificates, approvals, people.

use serde_json::json;

use crate::every_page::{to_approve, to_sign};
use crate::harness::{EMAIL, TestConsign, eventually, id_of};
use crate::peers::sshd::{KeyPair, Sshd, user};
use crate::peers::{Answer, Tool};
use crate::people::invite;

/// A file server with the nightly list of devices, and a lake that takes requests.
pub(super) async fn exporters(consign: &TestConsign, tool: &Tool) -> (Sshd, Vec<(&'static str, String)>) {
    let host = KeyPair::generate("ed25519", "");
    let passphrase = consign.canary("passphrase");
    let key = KeyPair::generate("ed25519", &passphrase);
    let sshd = Sshd::start(&[&host], &key.public).await;
    let payroll = json!({
        "name": "Payroll SFTP", "protocol": "sftp", "hostname": sshd.hostname(), "authorization_type": "ssh_key",
        "sftp_server_fingerprint": [host.public], "host_keys_compared_with": "ticket CHG0031204",
        "username": user(), "ssh_key": key.private, "passphrase": passphrase,
    });
    let payroll = consign.credential(&payroll).await;
    consign.act(&format!("/credentials/{payroll}/tests")).await.expect(201);
    let nightly = json!({ "name": "Nightly device list", "credential": "Payroll SFTP", "folder": sshd.inbox(),
        "event_types": ["device.*"], "schedule": "0 2 * * *", "time_zone": "Europe/Lisbon", "compression": "gzip",
        "columns": [{ "name": "device", "path": "data.device" }, { "name": "score", "path": "data.score" }] });
    let nightly = id_of(&consign.post("/exporters", &nightly).await.expect(201).json());
    let lake = json!({ "name": "Badges to the lake", "credential": "ServiceNow production", "path": "/bulk/badges",
        "source": "pushed", "columns": [{ "name": "badge" }], "schedule": "hourly" });
    let lake = id_of(&consign.post("/exporters", &lake).await.expect(201).json());
    let run = async |exporter: &str, key: &str, state: &str| {
        let key = [("idempotency-key", key)];
        let run = consign.call("POST", &format!("/exporters/{exporter}/runs"), &key, None).await.expect(201);
        let run = format!("/runs/{}", id_of(&run.json()));
        eventually(state, async || {
            let run = consign.get(&run).await.json();
            (run["state"] == state && run["last_outcome"].is_string()).then_some(())
        })
        .await;
        run
    };
    for number in 0..40 {
        let data = json!({ "device": format!("LT-{:04}", 200 + number), "score": 2.1 });
        consign.event("device.seen", &data).await;
    }
    let done = run(&nightly, "night", "done").await;
    let push = async |key: &str| {
        let badges = json!([{ "badge": "B-1" }, { "badge": "B-2" }]);
        let path = format!("/exporters/{lake}/records");
        consign.call("POST", &path, &[("idempotency-key", key)], Some(&badges)).await.expect(202);
    };
    push("first").await;
    tool.answer_next(Answer::json(422, &json!({ "error": { "message": "Unknown column badge" } })));
    let failed = run(&lake, "refused", "failed").await;
    push("second").await;
    tool.answer_next(Answer::with(503, &[("retry-after", "3600")]));
    let waiting = run(&lake, "later", "waiting").await;
    let pages = vec![
        ("exporters", "/exporters".to_owned()),
        ("new-exporter", "/exporters/new".to_owned()),
        ("exporter", format!("/exporters/{nightly}")),
        ("exporter-waiting", format!("/exporters/{lake}")),
        ("exporter-set-up", format!("/exporters/{nightly}/set-up")),
        ("exporter-activity", format!("/exporters/{nightly}/activity")),
        ("exporter-delete", format!("/exporters/{nightly}/delete")),
        ("run", done),
        ("run-failed", failed),
        ("run-waiting", waiting.clone()),
        ("run-cancel", format!("{waiting}/cancel")),
        ("sftp-credential", format!("/credentials/{payroll}")),
        ("sftp-host-keys", "/credentials/new".to_owned()),
    ];
    (sshd, pages)
}

/// Certificates, an approval, people, and the rest of administration.
pub(super) async fn administration(consign: &TestConsign, tool: &Tool) -> Vec<(&'static str, String)> {
    let signed = to_sign(consign, tool).await;
    let granted = to_approve(consign, tool).await;
    let (bo, invitation) = invite(consign, "bo@acme.example", "operator").await;
    let ana = id_of(&consign.get(&format!("/users/{EMAIL}")).await.json());
    let key = id_of(&consign.get("/api-keys").await.json()["items"][0]);
    let backup = consign.backup().await;
    let making = id_of(&backup);
    let backup = backup["result"]["name"].as_str().unwrap();
    vec![
        ("certificates", format!("/credentials/{signed}")),
        ("assertion", format!("/credentials/{signed}/assertion")),
        ("certificate-next", format!("/credentials/{signed}/certificate/next")),
        ("authorize", format!("/credentials/{granted}/authorize")),
        ("approval-link-used", format!("/oauth/callback/{granted}?state=unknown&code=1")),
        ("forget-tokens", format!("/credentials/{granted}/forget-tokens")),
        ("user", format!("/users/{ana}")),
        ("user-invited", format!("/users/{}", id_of(&bo))),
        ("user-suspend", format!("/users/{ana}/suspend")),
        ("invitation", invitation),
        ("api-key-revoke", format!("/api-keys/{key}/revoke")),
        ("settings-encryption", "/settings/encryption".to_owned()),
        ("settings-delivery", "/settings/delivery".to_owned()),
        ("settings-delivery-pause", "/settings/delivery/pause".to_owned()),
        ("settings-notifications", "/settings/notifications".to_owned()),
        ("settings-backup", "/settings/backup".to_owned()),
        ("operation-backup", format!("/operations/{making}")),
        ("settings-backup-download", format!("/settings/backup/{backup}/download")),
        ("settings-replicas", "/settings/replicas".to_owned()),
        ("settings-support-bundle", "/settings/about/support-bundle".to_owned()),
        ("welcome", "/welcome".to_owned()),
        ("welcome-key", "/welcome/key".to_owned()),
        ("two-step-on", "/account/two-step/on".to_owned()),
        ("new-webhook", "/webhooks/new".to_owned()),
        ("new-gateway", "/gateways/new".to_owned()),
        ("design", "/design".to_owned()),
    ]
}
