//! Servers that hang keep their own runs waiting, and nobody else's; a sign-in that is refused is offered once for all.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::json;
use tokio::net::TcpListener;

use crate::exporter_servers::Place;
use crate::exporters::{numbers, post_once, push, start, until};
use crate::harness::{TestConsign, eventually, id_of};
use crate::peers::refusing::Refusing;
use crate::peers::sshd::KeyPair;

on_both_databases!(
    servers_that_hang_hold_up_nobody_else
    a_refused_password_is_offered_once_for_many_files
);

/// More exporters to servers that hang than runs have places.
const HANGING: usize = 6;
const EXPORTERS_OF_EACH: usize = 4;

/// A server that accepts connections and says nothing.
async fn hanging() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    port
}

/// An exporter that waits for a server.
async fn exporter(consign: &TestConsign, name: &str, credential: &str) -> String {
    let body = json!({ "name": name, "credential": credential, "folder": "in", "source": "pushed", "format": "ndjson" });
    id_of(&consign.post("/exporters", &body).await.expect(201).json())
}

async fn servers_that_hang_hold_up_nobody_else(consign: TestConsign) {
    let host = KeyPair::generate("ed25519", "");
    let password = consign.canary("password");
    let mut waiting = Vec::new();
    for server in 0..HANGING {
        let credential = json!({
            "name": format!("Hangs {server}"), "protocol": "sftp", "authorization_type": "password",
            "hostname": format!("sftp://127.0.0.1:{}/", hanging().await), "sftp_server_fingerprint": [host.public],
            "username": "ana", "password": password,
        });
        let credential = consign.credential(&credential).await;
        for number in 0..EXPORTERS_OF_EACH {
            let id = exporter(&consign, &format!("Hangs {server} {number}"), &credential).await;
            push(&consign, &id, &numbers(0..1)).await;
            waiting.push((server, start(&consign, &id).await));
        }
    }
    let running = async || {
        let mut of_each = BTreeMap::new();
        for (server, run) in &waiting {
            let state = consign.get(&format!("/runs/{run}")).await.json()["state"].clone();
            *of_each.entry(*server).or_insert(0) += usize::from(state == "running");
        }
        of_each
    };
    eventually("a run to each server that hangs", async || {
        running().await.values().all(|count| *count > 0).then_some(())
    })
    .await;
    let place = Place::new(&consign, &json!({ "file_name": "list.csv" })).await;
    push(&consign, &place.exporter, &numbers(0..3)).await;
    until(&consign, &start(&consign, &place.exporter).await, "done").await;
    assert_eq!(place.read("list.csv"), "n\n0\n1\n2\n");
    let running = running().await;
    assert!(
        running.values().all(|count| (1..=EXPORTERS_OF_EACH).contains(count)),
        "they hang still: {running:?}"
    );
    assert!(
        running.values().sum::<usize>() < HANGING * EXPORTERS_OF_EACH,
        "not all have a place: {running:?}"
    );
    consign.finish().await;
}

async fn a_refused_password_is_offered_once_for_many_files(consign: TestConsign) {
    let host = KeyPair::generate("ed25519", "");
    let server = Refusing::start(&host).await;
    let credential = json!({
        "name": "Files", "protocol": "sftp", "hostname": format!("sftp://127.0.0.1:{}/", server.port()),
        "sftp_server_fingerprint": [host.public], "authorization_type": "password", "username": "ana",
        "password": consign.canary("password"),
    });
    let credential = consign.credential(&credential).await;
    let exporter = exporter(&consign, "List", &credential).await;
    let path = format!("/exporters/{exporter}");
    consign.act(&format!("{path}/pauses")).await.expect(200);
    for n in 0..60 {
        let file = format!("{path}/files?file_name=f{n}.txt");
        post_once(&consign, &file, "text/plain", format!("content {n}")).await.expect(202);
    }
    consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(200);
    let held = consign.until_shows(&path, "/state", "held").await;
    assert_eq!(held["hold_reason"], "sign_in_refused");
    eventually("none to be under way", async || {
        let running = consign.get(&format!("{path}/runs?state=running&limit=100")).await.expect(200).json();
        running["items"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert_eq!(server.passwords(), 1);
    let runs = consign.all(&format!("{path}/runs")).await;
    assert!(
        runs.len() == 60 && runs.iter().all(|run| run["attempts"] == 0),
        "a hold is no attempt: {runs:?}"
    );
    consign.finish().await;
}
