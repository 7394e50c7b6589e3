//! Starting and stopping the real server: keys that do not fit, databases that do not, full disks, and signals.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::process::{Process, admin_key, free_address, options};
use crate::harness::{Cli, Folder, Ran, bearer, cli::PROGRAM, eventually};
use crate::peers::Tool;

/// A command over a data folder.
async fn run(folder: &Folder, words: &[&str]) -> Ran {
    let mut command = Cli::new(folder.path(), words);
    for (name, value) in options(folder, free_address()) {
        command = command.env(&name, &value);
    }
    command.run().await
}

/// The id in the line of a key.
fn id_of_key(line: &str) -> String {
    line.trim().trim_start_matches("csgkey1_").split('_').next().unwrap().to_owned()
}

async fn a_webhook(process: &Process, key: &str, tool: &Tool) {
    let body = bearer("itsm", &tool.origin(), "a-token-of-this-test");
    process.call(key, "POST", "/credentials", &body).await.expect(201);
    let body = json!({ "name": "itsm", "credential": "itsm", "path": "/x", "event_types": ["*"],
                       "retry_schedule_seconds": [1, 1, 1, 1, 1], "max_concurrency": 8 });
    process.call(key, "POST", "/webhooks", &body).await.expect(201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_start_makes_a_key_and_a_link_that_works_once() {
    let folder = Folder::new("first");
    let process = Process::start(&folder, &[]).await;
    let keys = folder.join("data/keys");
    let said = eventually("the link to be printed", async || {
        let said = process.output();
        said.contains("/setup/").then_some(said)
    })
    .await;
    assert!(
        said.contains("Created an encryption key") && said.contains("Keep a copy somewhere else"),
        "{said}"
    );
    let key = std::fs::read_to_string(&keys).unwrap();
    // Behind prefix and id: the key, whose letters may hold the sign between the parts.
    assert!(!said.contains(&key["csgkey1_k-00000000_".len()..][..20]), "the key itself is not printed");
    assert_eq!(std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::metadata(folder.join("data")).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(
        std::fs::metadata(folder.join("data/consign.db")).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let link = said.split("/setup/").nth(1).unwrap().split_whitespace().next().unwrap();
    let path = format!("/setup/{link}");
    let form = |password: &str| {
        crate::harness::form(&[("name", "Ana"), ("email", "ana@acme.example"), ("password", password)])
    };
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    for weak in ["short", "aaaaaaaaaaaaaaaa", "abcdefghijklmnop"] {
        process.client.send("POST", &path, &kind, form(weak)).await.expect(422);
    }
    let other = process.client.send("POST", "/setup/0000", &kind, form("a long enough password")).await;
    assert!(other.status >= 400, "{}", other.status);
    process.client.send("POST", &path, &kind, form("a long enough password")).await.expect(303);
    let again = process.client.send("POST", &path, &kind, form("another long password")).await;
    assert!(again.status >= 400, "{}", again.status);
    assert!(!process.output().contains("a long enough password"));
    assert!(process.stop().await.success(), "a clean stop");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_of_start_and_stop() {
    let folder = Folder::new("notify");
    let path = folder.join("notify");
    let manager = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let told = || {
        let mut buffer = [0; 256];
        let length = manager.recv(&mut buffer).expect("it is told within the time");
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    };
    let address = free_address();
    let start = || {
        let mut command = Command::new(PROGRAM);
        command.arg("serve").env_clear().envs(options(&folder, address)).env("NOTIFY_SOCKET", &path);
        command
    };
    let process = Process::spawn(start(), address, folder.path()).await;
    assert_eq!(told(), "READY=1");
    process.terminate();
    assert_eq!(told(), "STOPPING=1");
    assert!(process.stop().await.success());
    folder.write("data/keys", &run(&folder, &["key", "new"]).await.expect(0).stdout);
    let locked = Process::spawn(start(), address, folder.path()).await;
    assert!(told().starts_with("READY=1\nSTATUS=Locked"), "it serves the page about it");
    assert!(locked.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_another_key_it_starts_locked_and_touches_nothing() {
    let folder = Folder::new("locked");
    let tool = Tool::start().await;
    let key = admin_key(&folder).await;
    let process = Process::start(&folder, &[]).await;
    a_webhook(&process, &key, &tool).await;
    process.call(&key, "POST", "/webhooks/itsm/pauses", &Value::Null).await.expect(200);
    process.call(&key, "POST", "/events", &json!({ "type": "a" })).await.expect(202);
    process.stop().await;
    let right = std::fs::read_to_string(folder.join("data/keys")).unwrap();
    let wrong = run(&folder, &["key", "new"]).await.expect(0).stdout;
    let (right_id, wrong_id) = (id_of_key(&right), id_of_key(&wrong));
    let database = || std::fs::read(folder.join("data/consign.db")).unwrap();
    let before = database();

    for (name, text, loaded) in [("another", Some(&wrong), Some(&wrong_id)), ("none", None, None)] {
        match text {
            Some(text) => drop(folder.write("data/keys", text)),
            None => std::fs::remove_file(folder.join("data/keys")).unwrap(),
        }
        let strict = run(&folder, &["serve", "--strict-key"]).await.expect(1);
        assert!(strict.stderr.contains(&right_id), "{name}: {}", strict.stderr);
        let process = Process::start(&folder, &[]).await;
        let page =
            process.client.send("GET", "/credentials", &[("accept", "text/html")], "").await.expect(503);
        assert!(page.text().contains(&right_id), "{name}: {}", page.text());
        if let Some(loaded) = loaded {
            assert!(
                page.text().contains(loaded) && strict.stderr.contains(loaded),
                "{name}: {}",
                page.text()
            );
        }
        process.client.send("GET", "/readyz", &[], "").await.expect(503);
        for (method, path) in [("GET", "/credentials"), ("POST", "/events"), ("GET", "/me")] {
            let reply = process.call(&key, method, path, &json!({ "type": "a" })).await.expect(503);
            assert_eq!(reply.code(), "locked");
        }
        assert!(process.stop().await.success());
        assert_eq!(database(), before, "{name}: the database is untouched");
        assert_eq!(folder.join("data/keys").exists(), text.is_some(), "{name}: no key is created");
    }
    assert_eq!(tool.connections(), 0, "nothing was sent");
    folder.write("data/keys", &right);
    let process = Process::start(&folder, &[]).await;
    process.call(&key, "DELETE", "/webhooks/itsm/pauses", &Value::Null).await.expect(200);
    tool.until_asked(1).await;
    assert!(process.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_ring_that_others_can_read_is_refused() {
    let folder = Folder::new("mode");
    admin_key(&folder).await;
    let keys = folder.join("data/keys");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = run(&folder, &["serve"]).await.expect(1);
    assert!(refused.stderr.contains("chmod 600"), "{}", refused.stderr);
    folder.write("data/keys", "csgkey1_k-0000_damaged_00000000\n");
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let refused = run(&folder, &["serve"]).await.expect(1);
    assert!(refused.stderr.contains("line 1"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_database_is_refused() {
    let folder = Folder::new("newer");
    admin_key(&folder).await;
    let database = crate::harness::Database::sqlite(&folder);
    database.execute("insert into schema_version (version, applied_at) values (999, 1)").await;
    let refused = run(&folder, &["serve"]).await.expect(1);
    assert!(refused.stderr.contains("999") || refused.stderr.contains("newer"), "{}", refused.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_on_one_sqlite_database_is_refused() {
    let folder = Folder::new("second");
    let key = admin_key(&folder).await;
    let mut first = Process::start(&folder, &[]).await;
    let refused = run(&folder, &["serve"]).await.expect(1);
    let holder = format!("process {}", first.child().id());
    assert!(
        refused.stderr.contains("Another Consign") && refused.stderr.contains(&holder),
        "{}",
        refused.stderr
    );
    let refused = run(&folder, &["admin", "api-key", "--name", "x", "--scope", "admin"]).await.expect(1);
    assert!(refused.stderr.contains("Another Consign"), "{}", refused.stderr);
    first.call(&key, "GET", "/me", &Value::Null).await.expect(200);
    assert!(first.stop().await.success());
    let second = Process::start(&folder, &[]).await;
    second.call(&key, "GET", "/me", &Value::Null).await.expect(200);
    assert!(second.stop().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_under_load_loses_nothing_and_sends_nothing_twice() {
    let folder = Folder::new("sigterm");
    let tool = Tool::start().await;
    tool.answer(crate::peers::Answer::status(200).after(Duration::from_millis(20)));
    let key = admin_key(&folder).await;
    let mut process = Process::start(&folder, &[]).await;
    a_webhook(&process, &key, &tool).await;
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..3 {
        let (client, running) = (process.client.clone(), Arc::new(AtomicBool::new(true)));
        let senders: Vec<_> = (0..4)
            .map(|sender| {
                let (client, running, key) = (client.clone(), running.clone(), key.clone());
                tokio::spawn(async move {
                    let (mut accepted, mut number) = (Vec::new(), 0);
                    let authorization = format!("Bearer {key}");
                    while running.load(Ordering::Relaxed) {
                        number += 1;
                        let id = format!("{round}-{sender}-{number}");
                        let body = json!({ "type": "a", "source": "load", "id": id, "data": id }).to_string();
                        let headers = [("authorization", authorization.as_str())];
                        let reply = client.try_send("POST", "/api/v1/events", &headers, body).await;
                        match reply {
                            Ok(reply) if reply.status == 202 => accepted.push(id),
                            Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.text()),
                            Err(_) => break,
                        }
                    }
                    accepted
                })
            })
            .collect();
        tool.until_asked(acknowledged.len().max(20) + 20).await;
        process.terminate();
        let ended = process.ended().await;
        assert!(ended.success(), "{ended}: {}", process.output());
        running.store(false, Ordering::Relaxed);
        for sender in senders {
            acknowledged.extend(sender.await.unwrap());
        }
        process = Process::start(&folder, &[]).await;
    }
    eventually("everything to arrive", async || (tool.count() >= acknowledged.len()).then_some(())).await;
    eventually("the queue to be empty", async || {
        let page = process
            .call(&key, "GET", "/deliveries?state=pending&limit=1", &Value::Null)
            .await
            .expect(200)
            .json();
        page["items"].as_array().is_some_and(Vec::is_empty).then_some(())
    })
    .await;
    let mut arrived: Vec<String> =
        tool.asked().iter().map(|asked| asked.json().as_str().unwrap().to_owned()).collect();
    arrived.sort_unstable();
    let count = arrived.len();
    arrived.dedup();
    assert_eq!(arrived.len(), count, "nothing is sent twice");
    for id in &acknowledged {
        assert!(arrived.binary_search(id).is_ok(), "{id} was acknowledged and did not arrive");
    }
    assert!(process.stop().await.success());
}

/// Mounts a small disk, serves from it, and fills and frees it as it is told. (A user namespace needs no rights.)
const SMALL_DISK: &str = r#"mount -t tmpfs -o size=12m,mode=0700 tmpfs "$1" || exit 77
    "$2" serve >&2 & server=$!
    while read -r word; do
        case $word in
            fill) dd if=/dev/zero of="$1/filler" bs=4k 2>/dev/null;;
            free) rm -f "$1/filler";;
            stop) kill -TERM $server; wait $server; exit $?;;
        esac
        echo done
    done
    kill -KILL $server"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_and_survived() {
    let folder = Folder::new("full");
    let tool = Tool::start().await;
    let address = free_address();
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    let mut command = Command::new("unshare");
    command
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK, "sh"])
        .arg(&data)
        .arg(PROGRAM);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").envs(options(&folder, address));
    command
        .env("CONSIGN_ADMIN_EMAIL", "ana@acme.example")
        .env("CONSIGN_ADMIN_PASSWORD", "a long enough password")
        .env("CONSIGN_BACKUP_DIR", data.join("backups"));
    command.current_dir(folder.path());
    let mut process = Process::spawn(command, address, folder.path()).await;
    let mut told = BufReader::new(process.child().stdout.take().unwrap());
    let mut telling = process.child().stdin.take().unwrap();
    let mut tell = |word: &str| {
        writeln!(telling, "{word}").unwrap();
        let mut line = String::new();
        told.read_line(&mut line).unwrap();
    };
    let key = sign_in_for_a_key(&process).await;
    a_webhook(&process, &key, &tool).await;
    let mut accepted = Vec::new();
    let send = async |number: usize| {
        let data = "x".repeat(20_000);
        let body = json!({ "type": "a", "source": "full", "id": number.to_string(), "data": { "n": number, "x": data } });
        process.call(&key, "POST", "/events", &body).await
    };
    for number in 0..5 {
        send(number).await.expect(202);
        accepted.push(number);
    }
    tell("fill");
    let mut number = 5;
    let refused = loop {
        let reply = send(number).await;
        if reply.status != 202 {
            break reply;
        }
        accepted.push(number);
        number += 1;
        assert!(number < 2_000, "the disk never filled");
    };
    assert_eq!(refused.status, 507, "{}\n{}", refused.text(), process.output());
    assert_eq!(refused.code(), "storage_full");
    let refused = send(number + 1).await;
    assert_eq!(refused.status, 507, "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    process.client.send("GET", "/healthz", &[], "").await.expect(200);
    process.call(&key, "GET", "/deliveries", &Value::Null).await.expect(200);
    let refused = process.call(&key, "POST", "/backups", &Value::Null).await.expect(507);
    assert_eq!(refused.code(), "storage_full");
    let none = process.call(&key, "GET", "/backups", &Value::Null).await.expect(200).json();
    assert_eq!(none["items"], json!([]), "no half of a backup is left: {none}");
    assert!(none["last_failure"]["message"].as_str().unwrap().ends_with("is full"), "{none}");
    tell("free");
    let last = number + 2;
    eventually("events to be accepted again", async || (send(last).await.status == 202).then_some(())).await;
    accepted.push(last);
    let arrived = eventually("what was accepted to arrive", async || {
        let arrived: Vec<_> = tool.asked().iter().map(|asked| asked.json()["n"].as_u64().unwrap()).collect();
        accepted.iter().all(|number| arrived.contains(&(*number as u64))).then_some(arrived)
    })
    .await;
    assert!(
        arrived.iter().all(|n| accepted.contains(&usize::try_from(*n).unwrap())),
        "nothing refused was sent"
    );
    writeln!(telling, "stop").unwrap();
    let ended = process.ended().await;
    assert!(ended.success(), "{ended}: {}", process.output());
}

/// The unattended administrator signs in and makes a key for everything.
async fn sign_in_for_a_key(process: &Process) -> String {
    let form = crate::harness::form(&[("email", "ana@acme.example"), ("password", "a long enough password")]);
    let kind = [("content-type", "application/x-www-form-urlencoded")];
    let reply = eventually("the administrator to be there", async || {
        let reply = process.client.send("POST", "/sign-in", &kind, form.clone()).await;
        (reply.status == 303).then_some(reply)
    })
    .await;
    let session = crate::harness::session_of(&process.client, &reply).await;
    let headers = [("cookie", session.cookie.as_str()), ("consign-csrf", session.csrf.as_str())];
    let body =
        json!({ "name": "tests", "scopes": ["admin"], "password": "a long enough password" }).to_string();
    let made = process.client.send("POST", "/api/v1/api-keys", &headers, body).await.expect(201);
    made.json()["text"].as_str().unwrap().to_owned()
}
