//! How runs begin beside others, end, and are repeated, also at the edges: a stop of the server, what does not open.

use std::time::Duration;

use consign_core::time::Timestamp;
use serde_json::json;

use crate::exporters::{
    exporter, lines, numbers, post_once, push, pushed, run, start, until, until_attempted,
};
use crate::harness::{TestConsign, eventually, id_of};
use crate::peers::{Answer, Tool};

on_both_databases!(
    a_repetition_that_failed_is_repeated_as_it_was
    pushed_files_keep_no_run_of_records_from_beginning
    a_file_that_left_is_waited_for
    what_does_not_open_is_looked_at_again_in_an_hour
);

async fn a_repetition_that_failed_is_repeated_as_it_was(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    push(&consign, &exporter, &numbers(0..2)).await;
    let first = start(&consign, &exporter).await;
    until(&consign, &first, "done").await;
    push(&consign, &exporter, &numbers(2..3)).await;
    let repeat = async |id: &str| {
        let again = consign.act(&format!("/runs/{id}/repetitions")).await.expect(201).json();
        assert_eq!((&again["cause"], &again["repeats"]), (&json!("again"), &json!(first)), "{again}");
        id_of(&again)
    };
    tool.answer_next(Answer::status(400));
    let failed = repeat(&first).await;
    until(&consign, &failed, "failed").await;
    tool.answer_next(Answer::Silence);
    let cancelled = repeat(&failed).await;
    tool.until_asked(3).await;
    consign.act(&format!("/runs/{cancelled}/cancellation")).await.expect(200);
    until(&consign, &repeat(&cancelled).await, "done").await;
    let asked = tool.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|one| one.body == asked[0].body), "the same, each time");
    // What waits is none of their business.
    assert_eq!(consign.get(&format!("/exporters/{exporter}")).await.json()["waiting_records"], 1);
    consign.finish().await;
}

async fn pushed_files_keep_no_run_of_records_from_beginning(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let path = format!("/exporters/{exporter}");
    tool.answer(Answer::status(503));
    let file = async |name: &str| {
        let path = format!("{path}/files?file_name={name}");
        id_of(&post_once(&consign, &path, "text/plain", name.to_owned()).await.expect(202).json())
    };
    let before = file("before.txt").await;
    until_attempted(&consign, &before, 1).await;
    push(&consign, &exporter, &numbers(0..1)).await;
    let records = start(&consign, &exporter).await;
    let behind = file("behind.txt").await;
    let busy = post_once(&consign, &format!("{path}/runs"), "application/json", "").await.expect(409).json();
    assert!(busy["detail"].as_str().unwrap().starts_with("Run 2 is not finished"), "{busy}");
    tool.answer(Answer::status(200));
    let asked = tool.count();
    consign.advance(Duration::from_secs(3_600));
    for id in [&before, &records, &behind] {
        until(&consign, id, "done").await;
    }
    let bodies: Vec<_> = tool.asked()[asked..].iter().map(|one| one.body.clone()).collect();
    assert_eq!((&bodies[0][..], &bodies[2][..]), (&b"before.txt"[..], &b"behind.txt"[..]));
    assert_eq!(lines(&tool.asked()[asked + 1..asked + 2]), [json!({ "n": 0 })]);
    consign.finish().await;
}

/// A clean stop repeats nothing that a tool has as a whole.
async fn a_file_that_left_is_waited_for(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    tool.answer(Answer::status(200).after(Duration::from_secs(3)));
    let path = format!("/exporters/{exporter}/files?file_name=large.bin");
    let body = vec![b'x'; 3 << 20];
    let id = id_of(&post_once(&consign, &path, "application/octet-stream", body).await.expect(202).json());
    tool.until_asked(1).await;
    consign.restart().await;
    let done = until(&consign, &id, "done").await;
    assert_eq!((&done["sent_bytes"], &done["requests"]), (&json!(3 << 20), &json!(1)), "{done}");
    assert_eq!(tool.count(), 1);
    consign.finish().await;
}

/// Asked for again and again at once, it would keep the database busy and tell nobody.
async fn what_does_not_open_is_looked_at_again_in_an_hour(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    tool.answer(Answer::status(503));
    push(&consign, &exporter, &numbers(0..1)).await;
    let id = start(&consign, &exporter).await;
    until_attempted(&consign, &id, 1).await;
    consign.stop().await;
    // As with a key ring that lacks a key: the key of the day does not open.
    let other =
        |from: &str, to: &str| format!("update payload_key set sealed = replace(sealed, '{from}', '{to}')");
    consign.database.execute(&other("v1.k-", "v1.k-9")).await;
    consign.start_again().await;
    consign.advance(Duration::from_secs(600));
    let message = "What the run is made by cannot be opened with the key ring of this server.";
    let looked = eventually("the run to be looked at", async || {
        let run = run(&consign, &id).await;
        (run["message"] == message).then_some(run)
    })
    .await;
    assert_eq!((&looked["state"], &looked["attempts"]), (&json!("waiting"), &json!(1)), "{looked}");
    let due = looked["next_attempt_at"].clone();
    let due_at = Timestamp::parse_rfc3339(due.as_str().unwrap()).unwrap();
    assert!(due_at > consign.replica().app.now().plus(Duration::from_secs(3_000)), "{looked}");
    consign.advance(Duration::from_secs(60));
    assert_eq!(run(&consign, &id).await["next_attempt_at"], due, "nothing happens before");
    // When it opens again, it goes on.
    consign.stop().await;
    consign.database.execute(&other("v1.k-9", "v1.k-")).await;
    tool.answer(Answer::status(200));
    consign.start_again().await;
    consign.advance(Duration::from_secs(3 * 3_600));
    until(&consign, &id, "done").await;
    consign.finish().await;
}
