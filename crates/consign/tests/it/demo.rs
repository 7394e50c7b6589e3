//! `consign demo --once`: a newcomer's first minute.

use crate::harness::{Cli, Folder};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_delivers_with_every_authorization_type_and_leaves_nothing() {
    let folder = Folder::new("demo");
    let tmp = folder.join("tmp");
    std::fs::create_dir(&tmp).unwrap();
    let command = Cli::new(folder.path(), &["demo", "--once"]).env("TMPDIR", &tmp.display().to_string());
    let ran = command.run().await.expect(0);
    for words in [
        "Stand-in tool",
        "Authorization server",
        "Basic",
        "Bearer token",
        "OAuth 2.0 - Client credentials",
        "No Auth (None)",
        "Data exporter         “Demo device list”",
        "Data exporter         Sent 12 records in 1 request",
        "All 12 events arrived",
    ] {
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(!ran.stdout.contains('\u{1b}'), "no colours when it is piped");
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "its data is removed");
    assert!(!folder.join("consign-data").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_demo_takes_a_free_port_when_its_own_is_taken() {
    let folder = Folder::new("demo");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ran = Cli::new(folder.path(), &["demo", "--once", "--port", &port]).run().await.expect(0);
    assert!(!ran.stdout.is_empty());
}
