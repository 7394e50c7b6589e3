//! Every page of the console with something on it, for whoever looks at all of them.

use serde_json::json;

use crate::harness::{TestConsign, id_of};
use crate::peers::sshd::{KeyPair, Sshd, user};
use crate::peers::{Answer, Tool};

/// A credential with every kind of field, and the result of a test that failed.
pub(crate) async fn to_approve(consign: &TestConsign, tool: &Tool) -> String {
    let body = json!({
        "name": "Service desk", "protocol": "https", "url_address": tool.origin(),
        "authorization_type": "oauth2_authorization_code", "client_id": "client",
        "client_secret": consign.canary("client secret"),
        "authorization_code_url": format!("{}authorize", tool.origin()),
        "access_token_url": format!("{}token", tool.origin()),
        "authentication_information": "body", "pkce": "off", "scope": "read,write offline_access",
        "oauth_token_requests": [
            { "name": "resource", "value": "https://api.example/", "sent_in": "query" },
            { "name": "api_key", "value": consign.canary("row"), "secret": true },
        ],
        "custom_headers": [{ "name": "X_Tenant", "value": consign.canary("header"), "sent_with": "token_request" }],
    });
    let id = consign.credential(&body).await;
    consign.act(&format!("/credentials/{id}/tests")).await.expect(201);
    id
}

/// A credential that signs assertions, with a next certificate.
pub(crate) async fn to_sign(consign: &TestConsign, tool: &Tool) -> String {
    let credential = json!({
        "name": "HXM", "protocol": "https", "url_address": tool.origin(), "authorization_type": "oauth2_saml_bearer",
        "key_pair": "generate", "key_pair_bits": 2048, "name_id": "ana.silva", "issuer": "https://consign.example",
        "audience": "www.successfactors.com", "recipient": format!("{}token", tool.origin()),
        "authentication_information": "header", "client_id": "NWQ5", "client_secret": consign.canary("client secret"),
        "saml_attributes": [{ "name": "api_key", "value": "NWQ5" }],
    });
    let id = consign.credential(&credential).await;
    let at = format!("/credentials/{id}/certificate");
    let next = json!({ "key_pair_bits": 2048 });
    consign.call("POST", &at, &[("if-match", "*")], Some(&next)).await.expect(201);
    id
}

/// Exporters to a tool and to a file server, with runs in every state.
async fn of_exporters(consign: &TestConsign, tool: &Tool) -> Vec<String> {
    let exporter = json!({ "name": "Nightly list", "credential": "Incidents", "path": "/x", "source": "pushed",
        "columns": [{ "name": "n" }], "schedule": "0 2 * * 1-5", "description": "For the lake" });
    let exporter = id_of(&consign.post("/exporters", &exporter).await.expect(201).json());
    let mut runs = Vec::new();
    for (state, answer) in [("done", 200), ("failed", 422), ("waiting", 503)] {
        let records = json!([{ "n": 1 }, { "n": 2 }]);
        let path = format!("/exporters/{exporter}");
        let key = [("idempotency-key", state)];
        consign.call("POST", &format!("{path}/records"), &key, Some(&records)).await.expect(202);
        tool.answer_next(Answer::status(answer));
        let key = [("idempotency-key", &*format!("{state}-run"))];
        let run = id_of(&consign.call("POST", &format!("{path}/runs"), &key, None).await.expect(201).json());
        crate::harness::eventually(state, async || {
            let run = consign.get(&format!("/runs/{run}")).await.json();
            let attempted = run["last_outcome"].is_string();
            (run["state"] == state && attempted).then_some(())
        })
        .await;
        runs.push(run);
    }
    let (host, passphrase) = (KeyPair::generate("ed25519", ""), consign.canary("passphrase"));
    let key = KeyPair::generate("ed25519", &passphrase);
    let sshd = Sshd::start(&[&host], &key.public).await;
    let files = json!({
        "name": "Files", "protocol": "sftp", "hostname": sshd.hostname(), "sftp_server_fingerprint": [host.public],
        "authorization_type": "ssh_key", "username": user(), "ssh_key": key.private, "passphrase": passphrase,
    });
    consign.credential(&files).await;
    let files = json!({ "name": "Device list", "credential": "Files", "folder": sshd.inbox(), "event_types": ["*"],
        "columns": [{ "name": "n" }], "schedule": "daily", "time_zone": "Europe/Lisbon", "compression": "gzip" });
    let files = id_of(&consign.post("/exporters", &files).await.expect(201).json());
    consign.event("device.low", &json!({ "n": 4 })).await;
    let key = [("idempotency-key", "files")];
    let run = consign.call("POST", &format!("/exporters/{files}/runs"), &key, None).await.expect(201);
    let sent = id_of(&run.json());
    consign.until_shows(&format!("/runs/{sent}"), "/state", "done").await;
    vec![
        format!("/exporters/{files}"),
        format!("/exporters/{files}/set-up"),
        format!("/exporters/{files}/activity"),
        format!("/runs/{sent}"),
        "/exporters".to_owned(),
        "/exporters/new".to_owned(),
        format!("/exporters/{exporter}"),
        format!("/exporters/{exporter}/set-up"),
        format!("/exporters/{exporter}/delete"),
        format!("/runs/{}", runs[0]),
        format!("/runs/{}", runs[1]),
        format!("/runs/{}", runs[2]),
        format!("/runs/{}/cancel", runs[2]),
    ]
}

/// Every page, empty and full, with what it takes to be there.
pub(crate) async fn pages(consign: &TestConsign, tool: &Tool) -> Vec<String> {
    let webhook = consign
        .bearer_webhook(
            "Incidents",
            &tool.origin(),
            &json!({ "retry_schedule_seconds": [3600], "signature": "ed25519" }),
        )
        .await;
    tool.answer_next(Answer::json(400, &json!({ "message": "no such field" })));
    let failed = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(failed.delivery(), "failed").await;
    tool.answer_next(Answer::status(500));
    let retrying = consign.event("device.low", &json!({ "n": 2 })).await;
    consign.until(retrying.delivery(), "retrying").await;
    let delivered = consign.event("device.low", &json!({ "n": 3 })).await;
    consign.until(delivered.delivery(), "delivered").await;
    let credential = id_of(&consign.get("/credentials/Incidents").await.json());
    let key = id_of(&consign.get("/api-keys").await.json()["items"][0]);
    let granted = to_approve(consign, tool).await;
    let exporters = of_exporters(consign, tool).await;
    let slowly = json!({ "rate_per_second": 0.1, "filter": { "state": ["delivered"] } });
    let operation = consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&slowly)).await;
    let signed = to_sign(consign, tool).await;
    let gateway =
        json!({ "name": "Desk", "credential": "Incidents", "slug": "desk", "path_prefixes": ["/", "/b"] });
    let gateway = id_of(&consign.post("/gateways", &gateway).await.expect(201).json());
    let others = vec![
        "/".to_owned(),
        "/operations".to_owned(),
        format!("/operations/{}", id_of(&operation.expect(202).json())),
        "/deliveries/replay?state=failed&preview=1".to_owned(),
        "/deliveries/replay?rate_per_second=fast&preview=1".to_owned(),
        format!("/credentials/{signed}"),
        format!("/credentials/{signed}/assertion"),
        format!("/credentials/{signed}/certificate/next"),
        format!("/credentials/{granted}"),
        format!("/credentials/{granted}/authorize"),
        format!("/credentials/{granted}/forget-tokens"),
        format!("/oauth/callback/{granted}?state=unknown&code=1"),
        "/credentials".to_owned(),
        "/credentials?q=nothing".to_owned(),
        format!("/credentials/{credential}"),
        format!("/credentials/{credential}/delete"),
        "/webhooks".to_owned(),
        "/webhooks/new".to_owned(),
        format!("/webhooks/{webhook}"),
        format!("/webhooks/{webhook}/set-up"),
        format!("/webhooks/{webhook}/test"),
        format!("/webhooks/{webhook}/signature"),
        format!("/webhooks/{webhook}/signature/change"),
        format!("/webhooks/{webhook}/activity"),
        format!("/webhooks/{webhook}/delete"),
        "/gateways".to_owned(),
        "/gateways/new".to_owned(),
        format!("/gateways/{gateway}"),
        format!("/gateways/{gateway}/set-up"),
        format!("/gateways/{gateway}/try"),
        format!("/gateways/{gateway}/activity"),
        format!("/gateways/{gateway}/delete"),
        "/deliveries".to_owned(),
        format!("/deliveries/{}", failed.delivery()),
        format!("/deliveries/{}/replay", failed.delivery()),
        format!("/deliveries/{}", retrying.delivery()),
        "/events".to_owned(),
        format!("/events/{}", delivered.id),
        "/api-keys/new".to_owned(),
        format!("/api-keys/{key}/revoke"),
        "/design".to_owned(),
        "/nowhere".to_owned(),
    ];
    [exporters, others].concat()
}
