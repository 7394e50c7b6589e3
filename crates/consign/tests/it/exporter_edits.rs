//! What an edit, a deletion and a look at the figures do while a run is under way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exporter_servers::Place;
use crate::exporters::{
    exporter, lines, numbers, post_once, push, pushed, run, start, until, until_attempted, with,
};
use crate::harness::page::unescape;
use crate::harness::{TestConsign, bearer, id_of};
use crate::peers::{Answer, Tool};

on_both_databases!(
    an_edit_is_for_the_next_run
    an_edit_makes_no_second_file
    another_credential_counts_at_once
    a_run_does_not_go_on_over_another_protocol
    a_file_that_did_not_arrive_goes_out_as_its_exporter_is_now
    null_removes_and_objects_are_merged
    a_deletion_says_what_is_lost
    figures_outlive_the_process
    so_many_files_stay
);

async fn an_edit_is_for_the_next_run(consign: TestConsign) {
    let tool = Tool::start().await;
    let more = json!({ "max_records_per_request": 2, "format": "json", "json_shape": "object_with_array",
        "json_properties": { "from": "{exporter}", "run": "{run}" } });
    let exporter = exporter(&consign, &tool, &with(pushed(), more)).await;
    let path = format!("/exporters/{exporter}");
    push(&consign, &exporter, &numbers(0..4)).await;
    tool.answer_next(Answer::status(200));
    tool.answer_next(Answer::HangUp);
    let id = start(&consign, &exporter).await;
    let waiting = until_attempted(&consign, &id, 1).await;
    assert_eq!((&waiting["exporter_edited"], &waiting["requests"]), (&json!(false), &json!(1)));
    let edit = json!({ "name": "Weekly list", "method": "PUT", "path": "/other", "compression": "gzip",
        "format": "csv", "columns": [{ "name": "n" }], "max_records_per_request": 1, "json_shape": null });
    consign.patch(&path, &edit).await.expect(200);
    let edited = run(&consign, &id).await;
    assert_eq!(
        (&edited["exporter_edited"], &edited["exporter"]["name"]),
        (&json!(true), &json!("Weekly list"))
    );
    let page = unescape(&consign.page(&format!("/runs/{id}")).await.expect(200).text());
    assert!(
        page.contains("The exporter was edited since this run began. The run goes on as it began"),
        "{page}"
    );
    consign.advance(Duration::from_secs(3_600));
    until(&consign, &id, "done").await;
    let asked = tool.asked();
    assert_eq!(asked.len(), 3);
    assert!(asked[1].body == asked[2].body, "the same bytes");
    assert_eq!(asked[1].body, br#"{"from":"nightly-list","run":"0001","records":[{"n":2},{"n":3}]}"#);
    for request in &asked {
        assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", "/bulk"));
        assert!(!request.has_header("content-encoding"));
    }
    assert_eq!(asked[1].header("idempotency-key"), asked[2].header("idempotency-key"));
    assert_ne!(asked[0].header("idempotency-key"), asked[1].header("idempotency-key"));

    push(&consign, &exporter, &numbers(4..5)).await;
    let next = start(&consign, &exporter).await;
    assert_eq!(until(&consign, &next, "done").await["exporter_edited"], false);
    let last = tool.asked().pop().unwrap();
    assert_eq!((last.method.as_str(), last.target.as_str()), ("PUT", "/other"));
    assert_eq!(last.header("content-encoding"), "gzip");
    // What was done is sent once more as it was, byte for byte.
    let again = consign.act(&format!("/runs/{id}/repetitions")).await.expect(201).json();
    assert_eq!(again["exporter_edited"], true);
    until(&consign, &id_of(&again), "done").await;
    let asked = tool.asked();
    assert!(asked[4].body == asked[0].body && asked[5].body == asked[1].body, "{asked:?}");
    assert_eq!(asked[5].target, "/bulk");
    consign.finish().await;
}

/// An answer that was lost, and an edit in between: the next attempt asks for the file where it was brought.
async fn an_edit_makes_no_second_file(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "file_name": "list.csv" })).await;
    let path = format!("/exporters/{}", place.exporter);
    let folder = place.path("later");
    consign.patch(&path, &json!({ "folder": folder })).await.expect(200);
    push(&consign, &place.exporter, &numbers(0..2)).await;
    let id = start(&consign, &place.exporter).await;
    // The folder is missing at first; then the file is there as an attempt left it whose answer was lost.
    until_attempted(&consign, &id, 1).await;
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("list.csv"), "n\n0\n1\n").unwrap();
    let written = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    let file = std::fs::File::options().write(true).open(folder.join("list.csv")).unwrap();
    file.set_modified(written).unwrap();
    let sql = format!("update run set made_bytes = 6, made_at = 1000000000 where id = '{id}'");
    consign.database.execute(&sql).await;
    let elsewhere = place.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let edit = json!({ "folder": elsewhere, "file_name": "other.{ext}", "compression": "gzip", "if_exists": "replace",
        "columns": [{ "name": "other" }] });
    consign.patch(&path, &edit).await.expect(200);
    consign.advance(Duration::from_secs(3_600));
    let done = until(&consign, &id, "done").await;
    assert!(done["log"].to_string().contains("is there already, whole"), "{done}");
    assert_eq!(std::fs::read_dir(&elsewhere).unwrap().count(), 0, "one whole file, and not two");
    push(&consign, &place.exporter, &numbers(2..3)).await;
    let next = start(&consign, &place.exporter).await;
    assert_eq!(until(&consign, &next, "done").await["file_name"], "other.csv.gz");
    assert!(elsewhere.join("other.csv.gz").exists());
    consign.finish().await;
}

async fn another_credential_counts_at_once(consign: TestConsign) {
    let (tool, other) = (Tool::start().await, Tool::start().await);
    let exporter = exporter(&consign, &tool, &pushed()).await;
    push(&consign, &exporter, &numbers(0..2)).await;
    tool.answer_next(Answer::status(503));
    let id = start(&consign, &exporter).await;
    until_attempted(&consign, &id, 1).await;
    let token = consign.canary("token-of-the-pond");
    let pond = consign.credential(&bearer("Pond", &other.origin(), &token)).await;
    let edit = json!({ "credential": pond, "path": "/other", "timeout_seconds": 5 });
    consign.patch(&format!("/exporters/{exporter}"), &edit).await.expect(200);
    consign.advance(Duration::from_secs(3_600));
    until(&consign, &id, "done").await;
    assert_eq!(Value::from(lines(&other.asked())), numbers(0..2));
    assert_eq!(other.asked()[0].target, "/bulk", "the rest is as the run began");
    consign.finish().await;
}

async fn a_run_does_not_go_on_over_another_protocol(consign: TestConsign) {
    let place = Place::new(&consign, &json!({})).await;
    let (tool, token) = (Tool::start().await, consign.canary("token-of-the-lake"));
    let lake = consign.credential(&bearer("Lake", &tool.origin(), &token)).await;
    let path = format!("/exporters/{}", place.exporter);
    push(&consign, &place.exporter, &numbers(0..1)).await;
    consign.act(&format!("{path}/pauses")).await.expect(200);
    let id = start(&consign, &place.exporter).await;
    let moved = json!({ "credential": lake, "path": "/bulk" });
    let refused = consign.patch(&path, &moved).await.expect(422).json();
    assert_eq!(
        (&refused["errors"][0]["pointer"], &refused["errors"][0]["code"], &refused["errors"][0]["message"]),
        (
            &json!("/credential"),
            &json!("run_not_finished"),
            &json!(
                "Run 1 is not finished, and goes on as it began, over SFTP. Wait for its end or cancel it, then \
                 choose this credential"
            )
        )
    );
    assert_eq!(consign.get(&path).await.json()["destination"], "sftp", "nothing was saved");
    consign.act(&format!("/runs/{id}/cancellation")).await.expect(200);
    consign.patch(&path, &moved).await.expect(200);
    consign.call("DELETE", &format!("{path}/pauses"), &[], None).await.expect(200);
    let next = start(&consign, &place.exporter).await;
    until(&consign, &next, "done").await;
    assert_eq!(tool.count(), 1);
    // What went over SFTP is still shown as such.
    let shown = run(&consign, &id).await;
    assert_eq!((&shown["destination"], shown["steps"].as_array().unwrap().len()), (&json!("sftp"), 5));
    consign.finish().await;
}

async fn a_file_that_did_not_arrive_goes_out_as_its_exporter_is_now(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "compression": "gzip" })).await;
    let path = format!("/exporters/{}", place.exporter);
    std::fs::write(place.path("list.txt.gz"), "theirs").unwrap();
    let files = format!("{path}/files?file_name=list.txt");
    let id = id_of(&post_once(&consign, &files, "text/plain", "hello").await.expect(202).json());
    assert_eq!(until(&consign, &id, "failed").await["file_name"], "list.txt.gz");
    consign.patch(&path, &json!({ "compression": "none" })).await.expect(200);
    let again = consign.act(&format!("/runs/{id}/repetitions")).await.expect(201).json();
    assert_eq!(until(&consign, &id_of(&again), "done").await["file_name"], "list.txt");
    assert_eq!(place.read("list.txt"), "hello");
    consign.finish().await;
}

async fn null_removes_and_objects_are_merged(consign: TestConsign) {
    let tool = Tool::start().await;
    let more =
        json!({ "format": "csv", "columns": [{ "name": "n" }], "csv": { "bom": true, "delimiter": "tab" } });
    let exporter = exporter(&consign, &tool, &with(pushed(), more)).await;
    let path = format!("/exporters/{exporter}");
    let edit = json!({ "csv": { "delimiter": null, "header": false }, "compression": null });
    let saved = consign.patch(&path, &edit).await.expect(200).json();
    let expected =
        json!({ "delimiter": "comma", "header": false, "line_end": "lf", "bom": true, "guard": true });
    assert_eq!((&saved["csv"], &saved["compression"]), (&expected, &json!("none")));
    let edit = json!({ "format": "json", "json_shape": "object_with_array", "json_properties": { "a": 1, "b": "x" } });
    consign.patch(&path, &edit).await.expect(200);
    let edit = json!({ "json_properties": { "a": null, "c": true } });
    let saved = consign.patch(&path, &edit).await.expect(200).json();
    assert_eq!(saved["json_properties"], json!({ "b": "x", "c": true }));
    assert_eq!(consign.patch(&path, &json!({ "name": null })).await.expect(422).faults()[0].0, "/name");
    // What was counted is no part of what an edit changed.
    push(&consign, &exporter, &numbers(0..1)).await;
    consign.patch(&path, &json!({ "schedule": "daily" })).await.expect(200);
    let history = consign.all("/audit-entries").await;
    let edited = history.iter().find(|entry| entry["action"] == "Edited exporter").unwrap();
    let changed: Vec<_> = edited["changes"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(changed, ["schedule", "schedule_in_words"], "{edited}");
    consign.finish().await;
}

async fn a_deletion_says_what_is_lost(consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let path = format!("/exporters/{exporter}");
    push(&consign, &exporter, &numbers(0..3)).await;
    tool.answer_next(Answer::Silence);
    let id = start(&consign, &exporter).await;
    tool.until_asked(1).await;
    push(&consign, &exporter, &numbers(3..5)).await;
    post_once(&consign, &format!("{path}/files?file_name=a.txt"), "text/plain", "x").await.expect(202);
    assert_eq!(consign.get(&path).await.json()["waiting_records"], 2);
    let unsent = consign.get(&format!("{path}/unsent")).await.expect(200).json();
    assert_eq!(unsent, json!({ "runs": 2, "records": 5, "files": 1 }));
    let page = unescape(&consign.page(&format!("{path}/delete")).await.expect(200).text());
    for words in
        ["Not sent any more: 5 records and 1 pushed file.", "2 runs that are not finished are cancelled"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let asked = consign.run(&["exporter", "delete", "Nightly list"]).await.expect(2);
    assert!(asked.stderr.contains("--yes"), "{}", asked.stderr);
    let deleted = consign.call("DELETE", &path, &[("if-match", "*")], None).await.expect(200).json();
    let expected =
        json!({ "name": "Nightly list", "cancelled_runs": 2, "records_left_out": 5, "files_left_out": 1 });
    assert_eq!(deleted, expected);
    let shown = run(&consign, &id).await;
    assert_eq!((&shown["state"], &shown["records_in_next_run"]), (&json!("cancelled"), &json!(false)));
    let history = consign.all("/audit-entries").await;
    let entry = history.iter().find(|entry| entry["action"] == "Deleted exporter").unwrap();
    assert_eq!(entry["changes"], json!({ "cancelled_runs": 2, "records_left_out": 5, "files_left_out": 1 }));
    assert_eq!(tool.count(), 1, "nothing leaves any more");
    consign.finish().await;
}

async fn figures_outlive_the_process(mut consign: TestConsign) {
    let tool = Tool::start().await;
    let exporter = exporter(&consign, &tool, &pushed()).await;
    let row = format!("consign_exporter_last_success_timestamp_seconds{{exporter=\"{exporter}\"}} ");
    let seconds = |text: &str| text.lines().find_map(|line| line.strip_prefix(&row)?.parse::<i64>().ok());
    push(&consign, &exporter, &numbers(0..2)).await;
    tool.answer_next(Answer::status(400));
    until(&consign, &start(&consign, &exporter).await, "failed").await;
    assert_eq!(seconds(&consign.metrics().await), None, "no run of it was done");
    until(&consign, &start(&consign, &exporter).await, "done").await;
    tool.answer_next(Answer::status(503));
    push(&consign, &exporter, &numbers(2..3)).await;
    let third = start(&consign, &exporter).await;
    until_attempted(&consign, &third, 1).await;
    consign.act(&format!("/runs/{third}/cancellation")).await.expect(200);
    let text = consign.metrics().await;
    for row in [
        "consign_exporter_runs_total{outcome=\"done\"} 1",
        "consign_exporter_runs_total{outcome=\"failed\"} 1",
        "consign_exporter_runs_total{outcome=\"cancelled\"} 1",
        "consign_exporter_rows_total 2",
        "consign_exporter_bytes_total 16",
    ] {
        assert!(text.lines().any(|line| line == row), "{row}: {text}");
    }
    let at = seconds(&text).expect("when it was done");
    consign.restart().await;
    assert_eq!(seconds(&consign.metrics().await), Some(at));
    let path = format!("/exporters/{exporter}");
    consign.call("DELETE", &path, &[("if-match", "*")], None).await.expect(200);
    assert_eq!(seconds(&consign.metrics().await), None, "what is deleted is no success any more");
    consign.finish().await;
}

/// Only what runs of this exporter brought goes, and only while it is as they left it.
async fn so_many_files_stay(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "keep_files": 2 })).await;
    let path = format!("/exporters/{}", place.exporter);
    for foreign in ["list-0000.csv", "list-9999.csv", "other.csv"] {
        std::fs::write(place.path(foreign), "n\n0\n").unwrap();
    }
    let theirs = ["list-0000.csv", "list-9999.csv", "other.csv"];
    let ours = |place: &Place| {
        let names = place.names().into_iter();
        names.filter(|name| !theirs.contains(&name.as_str())).collect::<Vec<_>>()
    };
    let bring = async |n| {
        push(&consign, &place.exporter, &numbers(n..n + 1)).await;
        until(&consign, &start(&consign, &place.exporter).await, "done").await
    };
    for n in 1..=2 {
        bring(n).await;
    }
    assert_eq!(ours(&place), ["list-0001.csv", "list-0002.csv"]);
    let third = bring(3).await;
    assert_eq!(ours(&place), ["list-0002.csv", "list-0003.csv"]);
    assert!(third["log"].to_string().contains("Removed list-0001.csv: the newest 2 are kept."), "{third}");
    // One that somebody changed is not ours any more; one that is gone is no fault.
    std::fs::write(place.path("list-0002.csv"), "changed").unwrap();
    std::fs::remove_file(place.path("list-0003.csv")).unwrap();
    bring(4).await;
    bring(5).await;
    assert_eq!(ours(&place), ["list-0002.csv", "list-0004.csv", "list-0005.csv"]);
    assert_eq!(place.names().len(), 6, "what others put there stays: {:?}", place.names());
    // A lower number counts from the next run on.
    consign.patch(&path, &json!({ "keep_files": 1, "if_exists": "replace" })).await.expect(200);
    bring(6).await;
    assert_eq!(ours(&place), ["list-0002.csv", "list-0006.csv"]);
    // Under one name there is one file.
    consign.patch(&path, &json!({ "file_name": "list.csv" })).await.expect(200);
    bring(7).await;
    bring(8).await;
    assert_eq!(ours(&place), ["list-0002.csv", "list.csv"]);
    assert_eq!(place.read("list.csv"), "n\n8\n");
    // In another folder the count begins anew; without a number all stay.
    let other = place.path("other");
    std::fs::create_dir(&other).unwrap();
    consign.patch(&path, &json!({ "folder": other })).await.expect(200);
    bring(9).await;
    assert!(place.path("list.csv").exists() && place.path("other/list.csv").exists());
    let shown =
        consign.patch(&path, &json!({ "keep_files": null, "file_name": null })).await.expect(200).json();
    assert_eq!(shown["keep_files"], Value::Null);
    bring(10).await;
    bring(11).await;
    assert_eq!(std::fs::read_dir(&other).unwrap().count(), 3);
    for wrong in [json!(0), json!(10_001), json!("x")] {
        let fault = consign.patch(&path, &json!({ "keep_files": wrong })).await.expect(422).faults();
        assert_eq!(fault[0].2, "Keep the newest must be from 1 to 10,000 files, or empty for all");
    }
    consign.run(&["exporter", "update", "Nightly list", "--keep-files", "3"]).await.expect(0);
    assert_eq!(consign.get(&path).await.json()["keep_files"], 3);
    let form = consign.form(&format!("{path}/set-up"), "keep_files").await;
    assert_eq!(form.value("keep_files"), Some("3"));
    consign.send_form(&form.set("keep_files", "4")).await.expect(303);
    assert_eq!(consign.get(&path).await.json()["keep_files"], 4);
    consign.run(&["exporter", "edit", "Nightly list", "--keep-files", "all"]).await.expect(0);
    assert_eq!(consign.get(&path).await.json()["keep_files"], Value::Null);
    consign.finish().await;
}
