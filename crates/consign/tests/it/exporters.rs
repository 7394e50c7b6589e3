//! Data exporters: what comes in is sent once, in requests with many records, whatever happens in between.

use std::collections::HashSet;
use std::io::Read as _;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Reply, TestConsign, bearer, eventually, id_of, merge};
use crate::peers::{Answer, Asked, Tool};

on_both_databases!(
    collected_events_go_out_in_requests
    a_request_that_fails_is_sent_again_as_it_was
    what_a_failed_run_did_not_send_goes_with_the_next
    a_run_is_cancelled_and_repeated
    records_are_pushed
    a_file_is_pushed_and_sent_as_it_is
    a_run_goes_on_after_a_restart
    a_refused_sign_in_holds_and_a_repair_goes_on
    nothing_to_send
    what_is_not_accepted
);

/// An exporter for a tool, with a credential of its own.
pub(crate) async fn exporter(consign: &TestConsign, tool: &Tool, more: &Value) -> String {
    let token = consign.canary("token-of-the-lake");
    let credential = consign.credential(&bearer("Lake", &tool.origin(), &token)).await;
    let mut body =
        json!({ "name": "Nightly list", "credential": credential, "path": "/bulk", "format": "ndjson" });
    merge(&mut body, more);
    id_of(&consign.post("/exporters", &body).await.expect(201).json())
}

pub(crate) fn pushed() -> Value {
    json!({ "source": "pushed", "columns": [] })
}

fn fresh_key() -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

pub(crate) async fn post_once(
    consign: &TestConsign,
    path: &str,
    content_type: &str,
    body: impl Into<bytes::Bytes>,
) -> Reply {
    let key = fresh_key();
    let headers = [("idempotency-key", key.as_str()), ("content-type", content_type)];
    consign.call_as(&consign.key, "POST", path, &headers, body).await
}

pub(crate) async fn push(consign: &TestConsign, exporter: &str, records: &Value) {
    let path = format!("/exporters/{exporter}/records");
    post_once(consign, &path, "application/json", records.to_string()).await.expect(202);
}

pub(crate) async fn start(consign: &TestConsign, exporter: &str) -> String {
    let started = post_once(consign, &format!("/exporters/{exporter}/runs"), "application/json", "").await;
    id_of(&started.expect(201).json())
}

pub(crate) async fn run(consign: &TestConsign, id: &str) -> Value {
    consign.get(&format!("/runs/{id}")).await.expect(200).json()
}

pub(crate) async fn until(consign: &TestConsign, id: &str, state: &str) -> Value {
    let what = format!("{id} to be {state}");
    let ended = eventually(&what, async || {
        let run = run(consign, id).await;
        let over = ["done", "failed", "cancelled"].iter().any(|end| run["state"] == *end);
        (over || run["state"] == state).then_some(run)
    });
    let ended = ended.await;
    assert_eq!(ended["state"], state, "{ended}");
    ended
}

/// Waits until a run waits for its next attempt.
pub(crate) async fn until_attempted(consign: &TestConsign, id: &str, attempts: u64) -> Value {
    eventually(&format!("{id} to have made {attempts} attempts"), async || {
        let run = run(consign, id).await;
        (run["attempts"] == attempts && run["state"] == "waiting").then_some(run)
    })
    .await
}

/// One after the other, and 200 afterwards.
fn answer_next<const COUNT: usize>(tool: &Tool, answers: [Answer; COUNT]) {
    answers.into_iter().for_each(|answer| tool.answer_next(answer));
}

/// The lines of all requests, in their order.
pub(crate) fn lines(asked: &[Asked]) -> Vec<Value> {
    let texts = asked.iter().map(|asked| String::from_utf8(asked.body.clone()).unwrap());
    texts
        .flat_map(|text| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<_>>())
        .collect()
}

pub(crate) fn numbers(range: std::ops::Range<u32>) -> Value {
    range.map(|n| json!({ "n": n })).collect()
}

async fn collected_events_go_out_in_requests(consign: TestConsign) {
    let tool = Tool::start().await;
    let more = json!({ "event_types": ["device.*"], "only_when": "data.score < 3", "format": "csv",
        "max_records_per_request": 3, "compression": "gzip",
        "columns": [{ "name": "type", "path": "event.type" }, { "name": "note" }, { "name": "score", "default": 0 }] });
    let exporter = exporter(&consign, &tool, &more).await;
    let mut expected = HashSet::new();
    for n in 0..7 {
        let note = format!("=cmd|{n}, \"quoted\"\nand two lines");
        let sent = consign.event("device.score", &json!({ "score": 2, "note": note })).await;
        assert!(sent.deliveries.is_empty());
        expected.insert(format!("\"'=cmd|{n}, \"\"quoted\"\"\nand two lines\""));
    }
    consign.event("device.score", &json!({ "score": 3 })).await;
    consign.event("ticket.made", &json!({ "score": 2 })).await;
    let shown = consign.get(&format!("/exporters/{exporter}")).await.json();
    assert_eq!(shown["waiting_records"], 7);
    let unmatched = consign.get("/events?unmatched=true").await.json();
    assert_eq!(unmatched["items"].as_array().unwrap().len(), 2, "an exporter counts as a match");

    let id = start(&consign, &exporter).await;
    let done = until(&consign, &id, "done").await;
    assert_eq!(
        (&done["records"], &done["sent_records"], &done["requests"]),
        (&json!(7), &json!(7), &json!(3))
    );
    assert_eq!(
        (&done["number"], &done["cause"], &done["message"].is_string()),
        (&json!(1), &json!("hand"), &true)
    );
    assert!(done["steps"].as_array().unwrap().iter().all(|step| step["state"] == "done"), "{done}");
    let log: Vec<_> =
        done["log"].as_array().unwrap().iter().map(|line| line["line"].as_str().unwrap()).collect();
    assert!(log[1].contains("Collected 7 records."), "{log:?}");
    let asked = tool.asked();
    assert_eq!(asked.len(), 3);
    let mut found = HashSet::new();
    let (mut keys, mut sizes) = (HashSet::new(), Vec::new());
    for request in &asked {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/bulk"));
        assert_eq!(request.header("content-type"), "text/csv; charset=utf-8; header=present");
        assert_eq!(request.header("content-encoding"), "gzip");
        keys.insert(request.header("idempotency-key").to_owned());
        let mut text = String::new();
        flate2::read::GzDecoder::new(&request.body[..]).read_to_string(&mut text).unwrap();
        let rows = text.strip_prefix("type,note,score\n").unwrap();
        let rows: Vec<_> =
            rows.split("device.score,").skip(1).map(|row| row.strip_suffix(",2\n").unwrap()).collect();
        sizes.push(rows.len());
        found.extend(rows.into_iter().map(str::to_owned));
    }
    assert_eq!((keys.len(), sizes, found), (3, vec![3, 3, 1], expected));
    assert!(consign.metrics().await.contains("consign_exporter_rows_total 7"));
    consign.finish().await;
}

async fn a_request_that_fails_is_sent_again_as_it_was(consign: TestConsign) {
    let tool = Tool::start().await;
    let more = json!({ "max_records_per_request": 2 });
    let exporter = exporter(&consign, &tool, &with(pushed(), more)).await;
    push(&consign, &exporter, &numbers(0..5)).await;
    answer_next(&tool, [Answer::status(200), Answer::status(503), Answer::HangUp]);
    let id = start(&consign, &exporter).await;
    let waiting = until_attempted(&consign, &id, 1).await;
    assert_eq!((&waiting["sent_records"], &waiting["requests"]), (&json!(2), &json!(1)));
    assert!(waiting["next_attempt_at"].is_string() && waiting["last_outcome"] == "http_5xx", "{waiting}");
    // While it is not finished no other starts, and what comes meanwhile is in the next.
    let refused = post_once(&consign, &format!("/exporters/{exporter}/runs"), "application/json", "").await;
    assert_eq!(refused.expect(409).code(), "wrong_state");
    push(&consign, &exporter, &numbers(5..6)).await;
    consign.advance(Duration::from_secs(3_600));
    until_attempted(&consign, &id, 2).await;
    consign.advance(Duration::from_secs(3_600));
    let done = until(&consign, &id, "done").await;
    assert_eq!(
        (&done["sent_records"], &done["requests"], &done["attempts"]),
        (&json!(5), &json!(3), &json!(0))
    );
    let asked = tool.asked();
    assert_eq!(asked.len(), 5);
    for again in &asked[2..4] {
        assert_eq!(again.body, asked[1].body, "the same bytes");
        assert_eq!(again.header("idempotency-key"), asked[1].header("idempotency-key"));
    }
    let arrived = lines(&[asked[0].clone(), asked[3].clone(), asked[4].clone()]);
    assert_eq!(Value::from(arrived), numbers(0..5), "in the order in which they were pushed");
    consign.finish().await;
}

async fn what_a_failed_run_did_not_send_goes_with_the_next(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &with(pushed(), json!({ "max_records_per_request": 2 }))).await;
    push(&consign, &exporter, &numbers(0..5)).await;
    answer_next(&tool, [Answer::status(200), Answer::json(400, &json!({ "message": "No such column." }))]);
    let first = start(&consign, &exporter).await;
    let failed = until(&consign, &first, "failed").await;
    assert_eq!((&failed["sent_records"], &failed["records_in_next_run"]), (&json!(2), &json!(true)));
    assert_eq!(failed["message"], "No such column.");
    push(&consign, &exporter, &numbers(5..6)).await;
    let path = format!("/exporters/{exporter}");
    assert_eq!(consign.get(&path).await.json()["waiting_records"], 4);
    let again = consign.act(&format!("/runs/{first}/repetitions")).await.expect(201).json();
    assert_eq!(again["cause"], "hand", "a failed run is a new one");
    let second = until(&consign, &id_of(&again), "done").await;
    assert_eq!(second["sent_records"], 4);
    let asked = tool.asked();
    let arrived = lines(&[vec![asked[0].clone()], asked[2..].to_vec()].concat());
    assert_eq!(Value::from(arrived), numbers(0..6));
    assert_eq!(run(&consign, &first).await["records_in_next_run"], false);
    assert_eq!(consign.get(&path).await.json()["waiting_records"], 0);
    consign.finish().await;
}

async fn a_run_is_cancelled_and_repeated(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    push(&consign, &exporter, &numbers(0..2)).await;
    tool.answer_next(Answer::Silence);
    let first = start(&consign, &exporter).await;
    tool.until_asked(1).await;
    let cancelled = consign.act(&format!("/runs/{first}/cancellation")).await.expect(200).json();
    assert_eq!((&cancelled["state"], &cancelled["records_in_next_run"]), (&json!("cancelled"), &json!(true)));
    assert_eq!(consign.act(&format!("/runs/{first}/cancellation")).await.expect(409).code(), "wrong_state");
    let second = start(&consign, &exporter).await;
    until(&consign, &second, "done").await;
    assert_eq!(Value::from(lines(&tool.asked()[1..])), numbers(0..2));
    let again = consign.act(&format!("/runs/{second}/repetitions")).await.expect(201).json();
    assert_eq!((&again["cause"], &again["repeats"]), (&json!("again"), &json!(second)));
    until(&consign, &id_of(&again), "done").await;
    assert_eq!(tool.asked()[2].body, tool.asked()[1].body);
    // Left out: they are never sent.
    push(&consign, &exporter, &numbers(2..3)).await;
    tool.answer_next(Answer::Silence);
    let third = start(&consign, &exporter).await;
    tool.until_asked(4).await;
    let left_out =
        consign.post(&format!("/runs/{third}/cancellation"), &json!({ "records": "left_out" })).await;
    assert_eq!(left_out.expect(200).json()["records_in_next_run"], false);
    assert_eq!(consign.get(&format!("/exporters/{exporter}")).await.json()["waiting_records"], 0);
    let history = consign.all("/audit-entries").await;
    let actions: Vec<_> = history.iter().filter_map(|entry| entry["action"].as_str()).collect();
    for action in ["Created exporter", "Started run", "Repeated run", "Cancelled run"] {
        assert!(actions.contains(&action), "{action}: {actions:?}");
    }
    let runs = consign.all(&format!("/exporters/{exporter}/runs")).await;
    assert_eq!(runs.len(), 4);
    assert_eq!(consign.all(&format!("/exporters/{exporter}/runs?state=done")).await.len(), 2);
    consign.finish().await;
}

async fn records_are_pushed(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let path = format!("/exporters/{exporter}/records");
    let text = "{ \"n\": 12345678901234567890123 }\n\n{\"n\":1.10}\r\n";
    let headers = [("idempotency-key", "one"), ("content-type", "application/x-ndjson")];
    let taken = consign.call_as(&consign.key, "POST", &path, &headers, text).await.expect(202);
    assert_eq!(taken.json()["accepted"], 2);
    let again = consign.call_as(&consign.key, "POST", &path, &headers, text).await.expect(202);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.json(), taken.json());
    let id = start(&consign, &exporter).await;
    until(&consign, &id, "done").await;
    let body = tool.asked()[0].body.clone();
    assert_eq!(String::from_utf8(body).unwrap(), "{\"n\":12345678901234567890123}\n{\"n\":1.10}\n");

    let keyless = consign.post(&path, &numbers(0..1)).await.expect(400);
    assert_eq!(keyless.code(), "idempotency_key_needed");
    for (body, code, message) in [
        (json!([]), "missing", "Send at least one record"),
        (json!([1]), "bad_form", "A record must be a JSON object"),
        (json!({ "n": 1 }), "bad_form", "The records must be an array of objects: line 1, column 0"),
        (numbers(0..10_001), "too_many", "Send 10,000 records or fewer at once"),
    ] {
        let refused =
            post_once(&consign, &path, "application/json", body.to_string()).await.expect(422).json();
        assert_eq!(
            (&refused["errors"][0]["code"], &refused["errors"][0]["message"]),
            (&json!(code), &json!(message))
        );
    }
    let refused = post_once(&consign, &path, "application/x-ndjson", "{\"a\":1}\n{\"a\":1,\"a\":2}\n{").await;
    let errors = refused.expect(422).json()["errors"].clone();
    assert_eq!((&errors[0]["pointer"], &errors[1]["pointer"]), (&json!("/1"), &json!("/2")), "{errors}");
    post_once(&consign, &path, "text/plain", "x").await.expect(415);
    assert_eq!(consign.get(&format!("/exporters/{exporter}")).await.json()["waiting_records"], 0);
    consign.finish().await;
}

async fn a_file_is_pushed_and_sent_as_it_is(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &with(pushed(), json!({ "method": "PUT" }))).await;
    let path = format!("/exporters/{exporter}/files?file_name=devices.bin");
    let content: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    let digest = {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        format!("sha-256=:{}:", BASE64_STANDARD.encode(digest.as_ref()))
    };
    tool.answer_next(Answer::status(503));
    let headers = [
        ("idempotency-key", "file-1"),
        ("content-type", "application/vnd.devices"),
        ("content-digest", digest.as_str()),
    ];
    let taken = consign.call_as(&consign.key, "POST", &path, &headers, content.clone()).await.expect(202);
    let id = id_of(&taken.json());
    assert_eq!(taken.json()["file"]["bytes"], 2_500_000);
    let again = consign.call_as(&consign.key, "POST", &path, &headers, content.clone()).await.expect(202);
    assert_eq!((again.header("idempotency-replayed"), id_of(&again.json())), (Some("true"), id.clone()));
    until_attempted(&consign, &id, 1).await;
    // Several files wait behind each other.
    let second = post_once(&consign, &path, "text/plain", "short").await.expect(202).json();
    assert_eq!(second["state"], "waiting");
    consign.advance(Duration::from_secs(3_600));
    until(&consign, &id, "done").await;
    until(&consign, &id_of(&second), "done").await;
    let asked = tool.asked();
    assert_eq!(asked.len(), 3);
    for request in &asked[..2] {
        assert!(request.body == content, "the bytes that were pushed");
        assert_eq!((request.method.as_str(), request.header("content-length")), ("PUT", "2500000"));
        assert_eq!(request.header("content-type"), "application/vnd.devices");
        assert_eq!(request.header("content-disposition"), "attachment; filename*=UTF-8''devices.bin");
        assert_eq!(request.header("idempotency-key"), id);
    }
    assert_eq!(asked[2].body, b"short");

    // A done file is sent again as it was, whatever its exporter does now; with compression it has no length before.
    consign.patch(&format!("/exporters/{exporter}"), &json!({ "compression": "zstd" })).await.expect(200);
    let again = consign.act(&format!("/runs/{id}/repetitions")).await.expect(201).json();
    until(&consign, &id_of(&again), "done").await;
    let last = tool.asked().pop().unwrap();
    assert!(last.body == content && !last.has_header("content-encoding"));
    let headers = [("idempotency-key", "file-4"), ("content-type", "application/vnd.devices")];
    let third = consign.call_as(&consign.key, "POST", &path, &headers, content.clone()).await.expect(202);
    until(&consign, &id_of(&third.json()), "done").await;
    let last = tool.asked().pop().unwrap();
    assert_eq!(last.header("content-encoding"), "zstd");
    assert!(zstd::decode_all(&last.body[..]).unwrap() == content);

    for name in ["..%2Fx", "%2Fetc%2Fpasswd", ".ssh", "-rf", "a%0Ab", "a%5Cb"] {
        let path = format!("/exporters/{exporter}/files?file_name={name}");
        let refused = post_once(&consign, &path, "text/plain", "x").await.expect(422).json();
        assert_eq!(refused["errors"][0]["pointer"], "/file_name", "{refused}");
    }
    let wrong = [("idempotency-key", "file-2"), ("content-digest", digest.as_str())];
    let refused = consign.call_as(&consign.key, "POST", &path, &wrong, "other").await.expect(422).json();
    assert_eq!(refused["errors"][0]["code"], "wrong_digest");
    let odd = [("idempotency-key", "file-3"), ("content-digest", "sha-256=:AAAA:")];
    consign.call_as(&consign.key, "POST", &path, &odd, "other").await.expect(400);
    let coded = [("idempotency-key", "file-5"), ("content-encoding", "gzip")];
    let refused = consign.call_as(&consign.key, "POST", &path, &coded, "x").await.expect(415);
    assert_eq!(refused.code(), "media_type_not_accepted");
    assert_eq!(consign.all(&format!("/exporters/{exporter}/runs")).await.len(), 4);
    consign.finish().await;
}

async fn a_run_goes_on_after_a_restart(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &with(pushed(), json!({ "max_records_per_request": 2 }))).await;
    push(&consign, &exporter, &numbers(0..6)).await;
    let slow = Answer::status(200).after(Duration::from_millis(300));
    tool.answer(slow);
    let id = start(&consign, &exporter).await;
    tool.until_asked(1).await;
    consign.restart().await;
    let done = until(&consign, &id, "done").await;
    assert_eq!((&done["sent_records"], &done["requests"]), (&json!(6), &json!(3)));
    assert_eq!(Value::from(lines(&tool.asked())), numbers(0..6), "each request once: the stop was clean");
    consign.finish().await;
}

async fn a_refused_sign_in_holds_and_a_repair_goes_on(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    push(&consign, &exporter, &numbers(0..2)).await;
    tool.answer(Answer::status(401));
    let id = start(&consign, &exporter).await;
    let path = format!("/exporters/{exporter}");
    let held = consign.until_shows(&path, "/state", "held").await;
    assert_eq!(held["hold_reason"], "sign_in_refused");
    let waiting = until(&consign, &id, "waiting").await;
    assert_eq!((&waiting["hold_reason"], &waiting["attempts"]), (&json!("sign_in_refused"), &json!(0)));
    let credential = held["credential"]["id"].as_str().unwrap();
    tool.answer(Answer::status(200));
    let token = consign.canary("another-token-of-the-lake");
    consign.patch(&format!("/credentials/{credential}"), &json!({ "token": token })).await.expect(200);
    until(&consign, &id, "done").await;
    assert_eq!(consign.get(&path).await.json()["state"], "active");
    let usage = consign.get(&format!("/credentials/{credential}/usage")).await.json();
    assert_eq!(usage["items"][0]["kind"], "exporter");

    // Paused, a run waits; resumed, it goes out.
    consign.act(&format!("{path}/pauses")).await.expect(200);
    push(&consign, &exporter, &numbers(2..3)).await;
    let second = start(&consign, &exporter).await;
    assert_eq!(run(&consign, &second).await["hold_reason"], "connector_paused");
    assert_eq!(tool.count(), 2);
    consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(200);
    until(&consign, &second, "done").await;
    consign.finish().await;
}

async fn nothing_to_send(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &with(pushed(), json!({ "format": "json" }))).await;
    let id = start(&consign, &exporter).await;
    let done = until(&consign, &id, "done").await;
    assert_eq!((&done["message"], tool.count()), (&json!("There was nothing to send."), 0));
    let path = format!("/exporters/{exporter}");
    consign.patch(&path, &json!({ "when_empty": "send" })).await.expect(200);
    until(&consign, &start(&consign, &exporter).await, "done").await;
    assert_eq!(tool.asked()[0].body, b"[]");
    consign.patch(&path, &json!({ "format": "csv", "columns": [{ "name": "n" }] })).await.expect(200);
    until(&consign, &start(&consign, &exporter).await, "done").await;
    assert_eq!(tool.asked()[1].body, b"n\n");
    let deleted = consign.call("DELETE", &path, &[("if-match", "*")], None).await.expect(200).json();
    assert_eq!(
        deleted,
        json!({ "name": "Nightly list", "cancelled_runs": 0, "records_left_out": 0, "files_left_out": 0 })
    );
    consign.get(&path).await.expect(404);
    consign.finish().await;
}

async fn what_is_not_accepted(consign: TestConsign) {
    let tool = Tool::start().await;
    let collecting = exporter(&consign, &tool, &json!({ "event_types": ["*"] })).await;
    let path = format!("/exporters/{collecting}/records");
    let refused = post_once(&consign, &path, "application/json", "[{}]").await.expect(409).json();
    let sentence =
        "This exporter sends collected events. Set its source to pushed, or push to another exporter";
    assert_eq!(refused["detail"], sentence);
    let hook = consign
        .post(
            "/webhooks",
            &json!({ "name": "Nightly list", "credential": "Lake", "path": "/x",
        "event_types": ["*"] }),
        )
        .await
        .expect(422)
        .json();
    assert_eq!(hook["errors"][0]["code"], "not_unique", "one name among all connectors");
    let wrong = json!({ "name": "x", "credential": "Lake", "path": "/x", "event_types": ["*"], "schedule": "61 * * * *",
        "file_name": "a.csv" });
    let wrong = consign.post("/exporters", &wrong).await.expect(422).json();
    let mut found: Vec<_> =
        wrong["errors"].as_array().unwrap().iter().map(|one| one["message"].clone()).collect();
    found.sort_by_key(Value::to_string);
    assert_eq!(
        found,
        [
            json!("Add at least one column"),
            json!("Schedule is not a cron text: “61” is not a minute"),
            json!("“Lake” is for HTTPS. Folder and file name belong to SFTP"),
        ]
    );
    consign.get(&format!("/webhooks/{collecting}")).await.expect(404);
    let reader = consign.make_key(&["connectors:read"]).await;
    let headers = [("idempotency-key", "k")];
    for (method, path) in [("POST", path.as_str()), ("POST", &format!("/exporters/{collecting}/runs"))] {
        consign.call_as(&reader, method, path, &headers, "[{}]").await.expect(403);
    }
    consign.call_as(&reader, "GET", &format!("/exporters/{collecting}/runs"), &[], "").await.expect(403);
    consign.finish().await;
}

pub(crate) fn with(mut base: Value, more: Value) -> Value {
    merge(&mut base, &more);
    base
}
