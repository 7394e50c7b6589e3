//! Files that are pushed in several requests: after a cut they go on, and what arrives is whole.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use consign_core::hex::hex;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use crate::exporters::{exporter, pushed, until};
use crate::harness::{Folder, Kind, Reply, TestConsign, eventually, http, id_of};
use crate::peers::Tool;
use crate::peers::relay::Relay;

on_both_databases!(
    a_file_comes_in_several_requests
    a_file_goes_on_after_a_cut_and_a_restart
    the_last_answer_waits_for_no_second_reading
    what_is_not_accepted_of_a_file
    nobody_takes_the_places_of_others
    the_command_line_goes_on_by_itself
    the_command_line_gives_a_file_up
    a_file_in_one_request_takes_its_time
);

const PIECE: usize = 255 << 10;

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n % 251) as u8).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

async fn begin(consign: &TestConsign, exporter: &str, key: &str, body: &Value) -> Reply {
    let headers = [("idempotency-key", key), ("content-type", "application/json")];
    let path = format!("/exporters/{exporter}/uploads");
    consign.call_as(&consign.key, "POST", &path, &headers, body.to_string()).await
}

async fn append(consign: &TestConsign, id: &str, offset: usize, last: bool, bytes: &[u8]) -> Reply {
    let offset = offset.to_string();
    let headers = [
        ("upload-offset", offset.as_str()),
        ("upload-complete", if last { "?1" } else { "?0" }),
        ("content-type", "application/partial-upload"),
    ];
    consign.call_as(&consign.key, "PATCH", &format!("/uploads/{id}"), &headers, bytes.to_vec()).await
}

async fn a_file_comes_in_several_requests(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let content = content(1_300_000);
    let wanted = json!({ "file_name": "devices.bin", "content_type": "application/x-devices",
        "bytes": content.len(), "sha256": sha256(&content) });
    let begun = begin(&consign, &exporter, "one", &wanted).await.expect(201);
    let id = id_of(&begun.json());
    assert_eq!(begun.header("location"), Some(format!("/api/v1/uploads/{id}").as_str()));
    let begun_again = begin(&consign, &exporter, "one", &wanted).await.expect(201);
    assert_eq!(
        (id_of(&begun_again.json()), begun_again.header("idempotency-replayed")),
        (id.clone(), Some("true"))
    );
    let shown = consign.get(&format!("/uploads/{id}")).await.expect(200);
    assert_eq!((shown.header("upload-offset"), shown.header("upload-complete")), (Some("0"), Some("?0")));
    let shown = shown.json();
    assert_eq!(
        (&shown["offset"], &shown["run"], &shown["exporter"]),
        (&json!(0), &Value::Null, &json!(exporter))
    );
    assert!(shown["expires_at"].is_string(), "{shown}");

    // Whole pieces stay; what is over of one is sent again.
    let first = append(&consign, &id, 0, false, &content[..600_000]).await.expect(200);
    assert_eq!(first.header("upload-offset"), Some("522240"));
    let wrong = append(&consign, &id, 600_000, false, &content[600_000..]).await.expect(409);
    assert_eq!((wrong.code().as_str(), wrong.header("upload-offset")), ("wrong_offset", Some("522240")));
    assert_eq!(wrong.json()["offset"], 2 * PIECE);
    let head = consign.call_as(&consign.key, "HEAD", &format!("/uploads/{id}"), &[], "").await.expect(200);
    assert_eq!((head.header("upload-offset"), head.body.len()), (Some("522240"), 0));
    assert_eq!(consign.all(&format!("/exporters/{exporter}/runs")).await.len(), 0);
    let done = append(&consign, &id, 2 * PIECE, true, &content[2 * PIECE..]).await.expect(202);
    assert_eq!((done.header("upload-offset"), done.header("upload-complete")), (Some("1300000"), Some("?1")));
    let run = done.json()["run"].as_str().unwrap().to_owned();
    let ended = until(&consign, &run, "done").await;
    assert_eq!(
        ended["file"],
        json!({ "content_type": "application/x-devices", "sha256": sha256(&content), "bytes": 1_300_000 })
    );
    assert_eq!(ended["cause"], "file");
    let asked = tool.asked();
    assert!(asked.len() == 1 && asked[0].body == content, "the bytes that were pushed");
    // Where the last answer was lost, asking again tells the run.
    for again in [
        append(&consign, &id, 2 * PIECE, true, &content[2 * PIECE..]).await.expect(200),
        consign.get(&format!("/uploads/{id}")).await.expect(200),
    ] {
        assert_eq!((&again.json()["run"], &again.json()["complete"]), (&json!(run), &json!(true)));
    }
    assert_eq!(consign.all(&format!("/exporters/{exporter}/runs")).await.len(), 1);
    assert_eq!(
        consign.call("DELETE", &format!("/uploads/{id}"), &[], None).await.expect(409).code(),
        "wrong_state"
    );

    // In one request, without a size or a digest; of nothing; left.
    let small =
        id_of(&begin(&consign, &exporter, "two", &json!({ "file_name": "a.txt" })).await.expect(201).json());
    let small = append(&consign, &small, 0, true, b"").await.expect(202).json();
    let ended = until(&consign, small["run"].as_str().unwrap(), "done").await;
    assert_eq!(
        (&ended["file"]["bytes"], &ended["file"]["content_type"]),
        (&json!(0), &json!("application/octet-stream"))
    );
    let left = id_of(
        &begin(&consign, &exporter, "three", &json!({ "file_name": "a.txt" })).await.expect(201).json(),
    );
    consign.call("DELETE", &format!("/uploads/{left}"), &[], None).await.expect(204);
    consign.get(&format!("/uploads/{left}")).await.expect(404);
    consign.finish().await;
}

async fn a_file_goes_on_after_a_cut_and_a_restart(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let content = content(2_000_000);
    let wanted = json!({ "file_name": "devices.bin", "sha256": sha256(&content) });
    let id = id_of(&begin(&consign, &exporter, "one", &wanted).await.expect(201).json());
    let head = format!(
        "PATCH /api/v1/uploads/{id} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\nupload-offset: 0\r\n\
         upload-complete: ?1\r\ncontent-length: {}\r\n\r\n",
        consign.address(),
        consign.key,
        content.len()
    );
    let mut stream = http::connect(consign.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[..900_000]).await.unwrap();
    let at = async |consign: &TestConsign| {
        consign.get(&format!("/uploads/{id}")).await.expect(200).json()["offset"].as_u64().unwrap()
    };
    let stored = eventually("three pieces", async || {
        let at = at(&consign).await;
        (at == 3 * PIECE as u64).then_some(at)
    });
    stored.await;
    // A new request goes on although nobody noticed yet that the first is over; what still comes of that is not taken.
    let further = append(&consign, &id, 3 * PIECE, false, &content[3 * PIECE..5 * PIECE]).await.expect(200);
    assert_eq!(further.header("upload-offset"), Some((5 * PIECE).to_string().as_str()));
    stream.write_all(&content[900_000..]).await.unwrap();
    let mut answer = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer).into_owned();
    assert!(
        answer.starts_with("HTTP/1.1 409") && answer.contains("Another request goes on with this file"),
        "{answer}"
    );
    consign.restart().await;
    assert_eq!(at(&consign).await, 5 * PIECE as u64);
    let done = append(&consign, &id, 5 * PIECE, true, &content[5 * PIECE..]).await.expect(202).json();
    until(&consign, done["run"].as_str().unwrap(), "done").await;
    assert!(tool.asked()[0].body == content);
    consign.finish().await;
}

/// Where the pieces that are stored cannot be read any more, an end that reads none of them is told from one that does.
async fn the_last_answer_waits_for_no_second_reading(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    consign.act(&format!("/exporters/{exporter}/pauses")).await.expect(200);
    let content = content(1_000_000);
    let wanted = json!({ "file_name": "devices.bin", "sha256": sha256(&content) });
    for (key, forget, status) in [("kept", "", 202), ("lost", ", digest_state = null", 409)] {
        let id = id_of(&begin(&consign, &exporter, key, &wanted).await.expect(201).json());
        append(&consign, &id, 0, false, &content[..PIECE]).await.expect(200);
        consign.restart().await;
        append(&consign, &id, PIECE, false, &content[PIECE..2 * PIECE]).await.expect(200);
        consign.stop().await;
        let of = format!("(select run_id from upload where id = '{id}')");
        consign.database.execute(&format!("delete from run_chunk where run_id in {of} and number = 0")).await;
        consign.database.execute(&format!("update upload set fence = fence{forget} where id = '{id}'")).await;
        consign.start_again().await;
        let ended = append(&consign, &id, 2 * PIECE, true, &content[2 * PIECE..]).await.expect(status);
        if status == 202 {
            let run = ended.json()["run"].as_str().unwrap().to_owned();
            let shown = consign.get(&format!("/runs/{run}")).await.expect(200).json();
            assert_eq!(shown["file"]["sha256"], sha256(&content), "over three requests and two restarts");
            consign.act(&format!("/runs/{run}/cancellation")).await.expect(200);
        } else {
            assert!(ended.text().contains("cannot be opened any more"), "{}", ended.text());
        }
    }
    consign.finish().await;
}

async fn what_is_not_accepted_of_a_file(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let path = format!("/exporters/{exporter}/uploads");
    let named = json!({ "file_name": "a.bin" });
    assert_eq!(consign.post(&path, &named).await.expect(400).code(), "idempotency_key_needed");
    for (body, field, code) in [
        (json!({}), "/file_name", "missing"),
        (json!({ "file_name": "../x" }), "/file_name", "bad_characters"),
        (json!({ "file_name": "a", "content_type": "a\nb" }), "/content_type", "bad_form"),
        (json!({ "file_name": "a", "bytes": -1 }), "/bytes", "bad_form"),
        (json!({ "file_name": "a", "bytes": 6_000_000_000_u64 }), "/bytes", "too_large"),
        (json!({ "file_name": "a", "sha256": "abc" }), "/sha256", "bad_form"),
        (json!({ "file_name": "a", "size": 1 }), "/size", "unknown_field"),
    ] {
        let fault =
            begin(&consign, &exporter, &format!("bad{field}{code}"), &body).await.expect(422).faults();
        assert_eq!((fault[0].0.as_str(), fault[0].1.as_str()), (field, code), "{body}");
    }
    let id = id_of(&begin(&consign, &exporter, "one", &named).await.expect(201).json());
    let upload = format!("/uploads/{id}");
    let reply = consign.call_as(&consign.key, "PATCH", &upload, &[("upload-complete", "?1")], "x").await;
    assert_eq!(reply.expect(400).code(), "not_readable");
    let odd = [("upload-offset", "0"), ("upload-complete", "yes")];
    consign.call_as(&consign.key, "PATCH", &upload, &odd, "x").await.expect(400);
    let coded = [("upload-offset", "0"), ("content-encoding", "gzip")];
    let refused = consign.call_as(&consign.key, "PATCH", &upload, &coded, "x").await.expect(415);
    assert_eq!(refused.code(), "media_type_not_accepted");
    // Only whoever began it goes on with it.
    let other = consign.make_key(&["events:write"]).await;
    let headers = [("upload-offset", "0")];
    consign.call_as(&other, "PATCH", &upload, &headers, "x").await.expect(404);
    consign.call_as(&other, "GET", &upload, &[], "").await.expect(404);
    let reader = consign.make_key(&["connectors:read"]).await;
    consign.call_as(&reader, "GET", &upload, &[], "").await.expect(403);

    // Another file than was announced is none, and is forgotten.
    for (key, wanted, code) in [
        ("digest", json!({ "file_name": "a.bin", "sha256": sha256(b"other") }), "wrong_digest"),
        ("size", json!({ "file_name": "a.bin", "bytes": 9 }), "wrong_size"),
    ] {
        let id = id_of(&begin(&consign, &exporter, key, &wanted).await.expect(201).json());
        let refused = append(&consign, &id, 0, true, b"this").await.expect(422).faults();
        assert_eq!(refused[0].1, code);
        consign.get(&format!("/uploads/{id}")).await.expect(404);
    }
    assert_eq!(tool.count(), 0);
    assert_eq!(consign.all(&format!("/exporters/{exporter}/runs")).await.len(), 0);
    // With its exporter goes what it could have become.
    consign.call("DELETE", &format!("/exporters/{exporter}"), &[("if-match", "*")], None).await.expect(200);
    append(&consign, &id, 0, true, b"x").await.expect(404);
    consign.finish().await;
}

async fn nobody_takes_the_places_of_others(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let greedy = consign.make_key(&["events:write"]).await;
    let path = format!("/exporters/{exporter}/uploads");
    let open = async |number: usize| {
        let key = format!("greedy-{number}");
        let headers = [("idempotency-key", key.as_str()), ("content-type", "application/json")];
        let body = json!({ "file_name": format!("{number}.bin") }).to_string();
        consign.call_as(&greedy, "POST", &path, &headers, body).await
    };
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(id_of(&open(number).await.expect(201).json()));
    }
    let refused = open(20).await.expect(409);
    assert!(refused.text().contains("20 files of yours are on their way"), "{}", refused.text());
    let own =
        id_of(&begin(&consign, &exporter, "own", &json!({ "file_name": "a" })).await.expect(201).json());
    // Whoever may only push takes nothing away from others; an administrator may, and that is told.
    consign.call_as(&greedy, "DELETE", &format!("/uploads/{own}"), &[], "").await.expect(404);
    let listed = consign.get(&path).await.expect(200).json();
    let theirs = listed["items"].as_array().unwrap().iter().find(|item| item["id"] == ids[0].as_str());
    assert!(theirs.is_some_and(|item| item["created_by"].as_str().unwrap().starts_with("key_")), "{listed}");
    consign.get(&format!("/uploads/{}", ids[0])).await.expect(200);
    let headers = [("upload-offset", "0")];
    consign.call_as(&consign.key, "PATCH", &format!("/uploads/{}", ids[0]), &headers, "x").await.expect(404);
    consign.call("DELETE", &format!("/uploads/{}", ids[0]), &[], None).await.expect(204);
    let entries = consign.all("/audit-entries?action=Deleted%20file").await;
    assert_eq!((entries.len(), &entries[0]["changes"]["file_name"]), (1, &json!("0.bin")), "{entries:?}");
    consign.call("DELETE", &format!("/uploads/{own}"), &[], None).await.expect(204);
    open(21).await.expect(201);
    assert_eq!(consign.all("/audit-entries?action=Deleted%20file").await.len(), 1);
    consign.finish().await;
}

/// Files that never come to their end fill no disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_has_a_limit() {
    let consign = TestConsign::on(Kind::Sqlite, |config| config.limits.export_bytes = 2 * PIECE as u64).await;
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let content = content(2 * PIECE);
    let mut ids = Vec::new();
    for number in 0..5 {
        let begun = begin(&consign, &exporter, &format!("{number}"), &json!({ "file_name": "a" })).await;
        ids.push(id_of(&begun.expect(201).json()));
    }
    for id in &ids[..4] {
        append(&consign, id, 0, false, &content).await.expect(200);
    }
    append(&consign, &ids[4], 0, false, &content).await.expect(507);
    // What becomes a run does not wait any more.
    append(&consign, &ids[0], 2 * PIECE, true, b"").await.expect(202);
    append(&consign, &ids[4], 0, false, &content).await.expect(200);
    let new = async |key: &str, body: Value| {
        id_of(&begin(&consign, &exporter, key, &body).await.expect(201).json())
    };
    let next = new("next", json!({ "file_name": "a" })).await;
    append(&consign, &next, 0, false, &content).await.expect(507);
    // Nor does what was given up, at once.
    consign.call("DELETE", &format!("/uploads/{}", ids[1]), &[], None).await.expect(204);
    append(&consign, &next, 0, false, &content).await.expect(200);
    // Nor another file than was announced.
    consign.call("DELETE", &format!("/uploads/{next}"), &[], None).await.expect(204);
    let other = new("other", json!({ "file_name": "a", "sha256": sha256(b"other") })).await;
    append(&consign, &other, 0, true, &content).await.expect(422);
    // Nor a file in one request that was cut off, or is not the one that was announced.
    let under_way = "select count(*) from upload where one_request = 1";
    let mut cut = plain_push(&consign, &exporter, content.len(), "").await;
    cut.write_all(&content[1..]).await.unwrap();
    let is = async |count| (consign.database.number(under_way).await == count).then_some(());
    eventually("it is on its way", async || is(1).await).await;
    drop(cut);
    eventually("it is forgotten", async || is(0).await).await;
    let digest = "content-digest: sha-256=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:\r\n";
    let mut other = plain_push(&consign, &exporter, content.len(), digest).await;
    other.write_all(&content).await.unwrap();
    assert_eq!(status(&mut other).await, "HTTP/1.1 422");
    eventually("it is forgotten", async || is(0).await).await;
    let next = new("last", json!({ "file_name": "a" })).await;
    append(&consign, &next, 0, false, &content).await.expect(200);
    let stored = "select count(*) from run_chunk where run_id not in (select id from run)";
    eventually("what nobody needs is gone", async || {
        (consign.database.number(stored).await == 8).then_some(())
    })
    .await;
    consign.until_idle().await;
    consign.finish().await;
}

/// Begins to push a file in one request: its content is up to the caller.
async fn plain_push(consign: &TestConsign, exporter: &str, bytes: usize, more: &str) -> TcpStream {
    let head = format!(
        "POST /api/v1/exporters/{exporter}/files?file_name=a.bin HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         idempotency-key: plain-{bytes}\r\n{more}content-length: {bytes}\r\n\r\n",
        consign.address(),
        consign.key,
    );
    let mut stream = http::connect(consign.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn status(stream: &mut TcpStream) -> String {
    let mut answer = vec![0; "HTTP/1.1 200".len()];
    tokio::io::AsyncReadExt::read_exact(stream, &mut answer).await.unwrap();
    String::from_utf8(answer).unwrap()
}

/// What is still coming is not taken for left behind, and what was taken for it is not answered as if it were there. The key of
/// so long a request goes at about that time, too, and is held here, so that nothing else refuses it.
async fn a_file_in_one_request_takes_its_time(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let content = content(4 * PIECE);
    let hours = |hours| Duration::from_secs(hours * 3_600);
    for (pause, status) in [(13, 202), (25, 409)] {
        let mut stream = plain_push(&consign, &exporter, content.len() - pause, "").await;
        for number in 0..2 {
            stream.write_all(&content[number * PIECE..(number + 1) * PIECE]).await.unwrap();
            eventually("the piece is there", async || {
                let pieces = consign
                    .database
                    .number("select cast(coalesce(sum(pieces), 0) as bigint) from upload")
                    .await;
                (pieces == i64::try_from(number).unwrap() + 1).then_some(())
            })
            .await;
            if number == 1 || pause < 24 {
                consign.advance(hours(u64::try_from(pause).unwrap()));
                consign.database.execute("update idempotency set created_at = created_at + 100000000").await;
                consign.remove_what_is_old().await;
            }
        }
        stream.write_all(&content[2 * PIECE..content.len() - pause]).await.unwrap();
        assert_eq!(self::status(&mut stream).await, format!("HTTP/1.1 {status}"));
        // A leap of the clock would end the lease of what is on its way.
        eventually("the run of the first to be done", async || {
            let done = consign.database.number("select count(*) from run where state = 'done'").await;
            (done == 1).then_some(())
        })
        .await;
    }
    let asked = tool.asked();
    assert!(
        asked.len() == 1 && asked[0].body == content[..content.len() - 13],
        "the whole of the first alone"
    );
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_a_limit() {
    let consign = TestConsign::on(Kind::Sqlite, |config| config.limits.export_bytes = 600_000).await;
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let id = id_of(&begin(&consign, &exporter, "one", &json!({ "file_name": "a" })).await.expect(201).json());
    let content = content(700_000);
    append(&consign, &id, 0, true, &content).await.expect(413);
    append(&consign, &id, 0, false, &content[..2 * PIECE]).await.expect(200);
    append(&consign, &id, 2 * PIECE, true, &content[..200_000]).await.expect(413);
    consign.finish().await;
}

async fn the_command_line_goes_on_by_itself(consign: TestConsign) {
    let tool = Tool::start().await;
    exporter(&consign, &tool, &pushed()).await;
    let relay = Relay::start(consign.address().port()).await;
    let folder = Folder::new("pushed");
    let content = content(4_000_000);
    let file = folder.write("devices.bin", &content);
    let through = format!("http://127.0.0.1:{}", relay.port());
    let push = |words: &[&str]| {
        let all = [&["exporter", "push", "Nightly list", file.as_str()], words].concat();
        consign.cli(&all).env("CONSIGN_SERVER", &through)
    };
    relay.slow_down(Duration::from_millis(2));
    relay.cut_in(1_500_000);
    let ran = consign.run_as(push(&["--json"])).await.expect(0);
    assert_eq!(relay.cuts(), 1, "it was cut");
    let done = ran.json();
    assert_eq!((&done["state"], &done["file"]["sha256"]), (&json!("done"), &json!(sha256(&content))));
    assert!(tool.asked()[0].body == content);
    // Who asks for JSON gets nothing else, also about its progress and the cut.
    assert_eq!(ran.stdout.trim().lines().count(), 1);
    let told: Vec<Value> = ran.stderr.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert!(
        told.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains("Cut off"))),
        "{told:?}"
    );
    let sent: Vec<_> = told.iter().filter_map(|line| line["done"].as_u64()).collect();
    assert!(told.iter().any(|line| line["total"] == 4_000_000 && line["unit"] == "bytes"), "{told:?}");
    assert!(sent.iter().max().is_some_and(|most| *most > 1_500_000), "{sent:?}");
    assert_eq!(
        consign.get("/exporters/Nightly%20list/runs").await.json()["items"].as_array().unwrap().len(),
        1
    );

    // The same command with the same key goes on, or finds the run that it made.
    let first = consign.run_as(push(&["--idempotency-key", "night-1", "--plain"])).await.expect(0).stdout;
    let again = consign.run_as(push(&["--idempotency-key", "night-1", "--plain"])).await.expect(0).stdout;
    assert!(first.starts_with("run_") && first == again, "{first} {again}");
    let ran = consign.run(&["exporter", "run", "Nightly list", "--json"]).await.expect(0);
    assert!(ran.stderr.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{}", ran.stderr);
    consign.finish().await;
}

async fn the_command_line_gives_a_file_up(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let id =
        id_of(&begin(&consign, &exporter, "one", &json!({ "file_name": "a.bin" })).await.expect(201).json());
    append(&consign, &id, 0, false, &content(PIECE)).await.expect(200);
    // Each sees what it began.
    let other = consign.make_key(&["events:write"]).await;
    let path = format!("/exporters/{exporter}/uploads");
    let theirs = consign.call_as(&other, "GET", &path, &[], "").await.expect(200).json();
    assert_eq!(theirs, json!({ "items": [] }));
    let listed = consign.run(&["exporter", "uploads", "Nightly list", "--json"]).await.expect(0).json();
    let items = listed["items"].as_array().unwrap_or_else(|| panic!("{listed}"));
    assert_eq!((items.len(), &items[0]["id"], &items[0]["offset"]), (1, &json!(id), &json!(PIECE)));
    let ran = consign.run(&["exporter", "uploads", "Nightly list", "--plain"]).await.expect(0);
    assert!(ran.stdout.contains(&id) && ran.stdout.contains("a.bin"), "{}", ran.stdout);

    let refused = consign.run(&["exporter", "discard", &id]).await;
    assert_ne!(refused.code, 0, "nobody is there to answer");
    consign.get(&format!("/uploads/{id}")).await.expect(200);
    let ran = consign.run(&["exporter", "discard", &id, "--yes"]).await.expect(0);
    assert!(ran.stderr.contains(&format!("Gave up {id}")), "{}", ran.stderr);
    consign.get(&format!("/uploads/{id}")).await.expect(404);
    let ran = consign.run(&["exporter", "uploads", "Nightly list"]).await.expect(0);
    assert!(ran.stderr.contains("No files are on their way."), "{}{}", ran.stdout, ran.stderr);
    consign.run(&["exporter", "discard", &id, "--yes"]).await.expect(3);
    consign.finish().await;
}
