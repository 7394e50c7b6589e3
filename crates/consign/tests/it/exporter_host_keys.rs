//! A host key that changes in the middle of a session: nothing more is sent, and a person has to compare.

use std::time::Duration;

use serde_json::json;

use crate::exporters::{post_once, run, until, until_attempted};
use crate::harness::{TestConsign, id_of};
use crate::peers::turncoat::{DISCONNECT, GLOBAL_REQUEST, Turncoat};

on_both_databases!(another_host_key_with_new_keys_ends_everything);

async fn another_host_key_with_new_keys_ends_everything(consign: TestConsign) {
    let server = Turncoat::start().await;
    let password = consign.canary("password");
    consign
        .credential(&json!({
            "name": "Files", "protocol": "sftp", "hostname": server.hostname(),
            "sftp_server_fingerprint": [server.public(0)], "authorization_type": "password", "username": "ana",
            "password": password,
        }))
        .await;
    let body = json!({ "name": "List", "credential": "Files", "folder": "in", "source": "pushed", "format": "ndjson" });
    let exporter =
        format!("/exporters/{}", id_of(&consign.post("/exporters", &body).await.expect(201).json()));
    let file = format!("{exporter}/files?file_name=secret.txt");
    let id = id_of(&post_once(&consign, &file, "text/plain", "what is in it").await.expect(202).json());
    let held = consign.until_shows(&exporter, "/state", "held").await;
    assert_eq!(held["hold_reason"], "host_key_changed");
    let status = consign.get("/credentials/Files").await.json()["status"].clone();
    assert_eq!(
        (&status["code"], &status["label"]),
        (&json!("host_key_changed"), &json!("Host key changed")),
        "{status}"
    );
    let waiting = until(&consign, &id, "waiting").await;
    assert_eq!((&waiting["hold_reason"], &waiting["attempts"]), (&json!("host_key_changed"), &json!(0)));

    let seen = server.seen();
    assert_eq!((seen.passwords, seen.connections), (1, 2), "the second one was left at its key: {seen:?}");
    let proof = (GLOBAL_REQUEST, "hostkeys-prove-00@openssh.com".to_owned());
    assert!(seen.afterwards.contains(&proof), "{seen:?}");
    let harmless = |message: &(u8, String)| *message == proof || message.0 == DISCONNECT;
    assert!(seen.afterwards.iter().all(harmless), "nothing but the demand for a proof: {seen:?}");
    consign.advance(Duration::from_secs(7_200));
    assert_eq!(run(&consign, &id).await["state"], "waiting");
    assert_eq!(server.seen().passwords, 1);

    // With the new key pinned it is let in, and its proof of that key counts: its answer is heard.
    let pins = json!({ "sftp_server_fingerprint": [server.public(1)], "password": password,
        "host_keys_compared_with": "ticket 7" });
    consign.patch("/credentials/Files", &pins).await.expect(200);
    let answered = until_attempted(&consign, &id, 1).await;
    assert_eq!(answered["last_outcome"], "declined", "{answered}");
    assert_eq!(server.seen().passwords, 2);
    consign.act(&format!("/runs/{id}/cancellation")).await.expect(200);
    consign.finish().await;
}
