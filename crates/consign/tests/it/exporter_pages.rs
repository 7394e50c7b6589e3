//! Exporters in the console, without a script, and on the command line.

use serde_json::json;

use crate::exporters::{numbers, push, start, until};
use crate::harness::page::unescape;
use crate::harness::{Folder, TestConsign, bearer, id_of};
use crate::peers::{Answer, Tool};

async fn lake(consign: &TestConsign, tool: &Tool) -> String {
    let token = consign.canary("token-of-the-lake");
    consign.credential(&bearer("Lake", &tool.origin(), &token)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exporter_is_worked_from_pages_alone() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let empty = unescape(&consign.page("/exporters").await.expect(200).text());
    assert!(empty.contains("No data exporters yet") && empty.contains("Add a credential first"));
    let credential = lake(&consign, &tool).await;
    let new = consign.form(&format!("/exporters/new?credential={credential}"), "columns").await;
    let new = new
        .set("name", "Nightly list")
        .set("event_types", "device.*")
        .set("path", "/bulk/devices")
        .set("time_zone", "Europe/Lisbon")
        .set("columns", "device\nscore = data.score | 0");
    // A preview stores nothing.
    let preview = unescape(&consign.send_form(&new.clone().with("preview", "1")).await.expect(200).text());
    for words in ["Every day at 02:00, Europe/Lisbon; next", "device,score", "LT-0231,2.1"] {
        assert!(preview.contains(words), "{words}: {preview}");
    }
    assert!(preview.contains(&format!("POST {}bulk/devices", tool.origin())), "{preview}");
    let wrong = new.clone().set("schedule", "cron").set("cron", "61 * * * *").set("columns", "");
    let wrong = unescape(&consign.send_form(&wrong).await.expect(422).text());
    for words in ["Schedule is not a cron text: “61” is not a minute", "Add at least one column"] {
        assert!(wrong.contains(words), "{words}: {wrong}");
    }
    let page = consign.send_form(&new).await.location().to_owned();
    assert!(page.starts_with("/exporters/con_"), "{page}");
    let text = unescape(&consign.page(&page).await.expect(200).text());
    for words in ["No runs yet", "Every day at 02:00, Europe/Lisbon", "Run now", "0 records wait"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    consign.event("device.low", &json!({ "device": "LT-1" })).await;

    tool.answer_next(Answer::status(503));
    let run = consign.send_form(&consign.form(&page, "once").await).await.location().to_owned();
    assert!(run.starts_with("/runs/run_"), "{run}");
    consign.until_shows(&run, "/last_outcome", "http_5xx").await;
    let waiting = unescape(&consign.page(&run).await.expect(200).text());
    for words in ["Waiting", "Collected 1 record.", "Next attempt", "Cancel run …", "data-poll"] {
        assert!(waiting.contains(words), "{words}: {waiting}");
    }
    let shown = unescape(&consign.page(&page).await.expect(200).text());
    assert!(shown.contains("Run 1") && !shown.contains("Run now"), "{shown}");
    let cancelled = consign.send_form(&consign.form(&format!("{run}/cancel"), "records").await).await;
    let cancelled = unescape(&consign.follow(&cancelled).await.expect(200).text());
    assert!(cancelled.contains("Cancelled. Its records go with the next run."), "{cancelled}");
    let again = consign.send_form(&consign.form(&run, "once").await).await.location().to_owned();
    consign.until_shows(&again, "/state", "done").await;
    let done = unescape(&consign.page(&again).await.expect(200).text());
    for words in ["1 of 1 record", "Sent 1 record in 1 request", "Run again"] {
        assert!(done.contains(words), "{words}: {done}");
    }
    assert_eq!(tool.asked()[1].body, b"device,score\nLT-1,0\n");
    // A done run is sent once more as it was.
    let repeated = consign.send_form(&consign.form(&again, "once").await).await.location().to_owned();
    consign.until_shows(&repeated, "/state", "done").await;
    assert_eq!(tool.asked()[2].body, tool.asked()[1].body);

    let set_up = consign.form(&format!("{page}/set-up"), "columns").await;
    assert_eq!(set_up.value("columns"), Some("device\nscore = data.score | 0"));
    let json = consign.send_form(&set_up.clone().set("format", "json").with("show_fields", "1")).await;
    assert!(json.expect(200).text().contains("An array of objects"));
    consign.send_form(&set_up.set("schedule", "cron").set("cron", "*/5 * * * *")).await.expect(303);
    let list = unescape(&consign.page("/exporters").await.expect(200).text());
    for words in ["Nightly list", "Every 5 minutes, Europe/Lisbon", "Lake", "Done"] {
        assert!(list.contains(words), "{words}: {list}");
    }
    let credential = unescape(&consign.page(&format!("/credentials/{credential}")).await.expect(200).text());
    assert!(credential.contains(&format!("href=\"{page}\"")), "its user is linked");
    let paused = consign.submit(&format!("{page}/pause"), &[]).await;
    assert!(consign.follow(&paused).await.text().contains("Records keep arriving and wait."));
    let resumed = consign.submit(&format!("{page}/resume"), &[]).await;
    assert!(consign.follow(&resumed).await.text().contains("Resumed."));
    let deleted = consign.submit(&format!("{page}/delete"), &[]).await;
    assert!(consign.follow(&deleted).await.text().contains("Deleted Nightly list."));
    consign.page(&page).await.expect(404);
    consign.page("/runs/none").await.expect(404);
    consign.page(&run).await.expect(200);
    consign.finish().await;
}

/// The run that is not finished is shown on each page of the list of runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unfinished_run_is_known_on_every_page() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let credential = lake(&consign, &tool).await;
    let body = json!({ "name": "List", "credential": credential, "path": "/bulk", "source": "pushed", "format": "ndjson" });
    let exporter = id_of(&consign.post("/exporters", &body).await.expect(201).json());
    for _ in 0..51 {
        let id = start(&consign, &exporter).await;
        until(&consign, &id, "done").await;
    }
    push(&consign, &exporter, &numbers(0..1)).await;
    consign.act(&format!("/exporters/{exporter}/pauses")).await.expect(200);
    start(&consign, &exporter).await;
    let first = unescape(&consign.page(&format!("/exporters/{exporter}")).await.expect(200).text());
    let older =
        first.split("href=\"").find(|rest| rest.starts_with("/exporters/") && rest.contains("after="));
    let older = older.and_then(|rest| rest.split('"').next()).expect("there is a second page");
    let second = unescape(&consign.page(older).await.expect(200).text());
    assert!(second.contains("Run 52") && !second.contains("Run now"), "{second}");
    consign.call("DELETE", &format!("/exporters/{exporter}/pauses"), &[], None).await.expect(200);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_save_of_an_exporter_shows_both() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    lake(&consign, &tool).await;
    let body =
        json!({ "name": "List", "credential": "Lake", "path": "/x", "source": "pushed", "format": "ndjson" });
    let page = format!("/exporters/{}", id_of(&consign.post("/exporters", &body).await.expect(201).json()));
    let set_up = format!("{page}/set-up");
    let stale = consign.form(&set_up, "name").await.set("path", "/mine");
    consign.patch(&page, &json!({ "path": "/theirs" })).await.expect(200);
    let conflict = consign.send_form(&stale).await.expect(409).text();
    for words in [
        "key for admin changed this exporter at ",
        "while you were editing",
        "/theirs",
        "/mine",
        "Keep theirs",
        "Save mine over it",
    ] {
        assert!(unescape(&conflict).contains(words), "{words}: {conflict}");
    }
    assert_eq!(consign.get(&page).await.json()["path"], "/theirs");
    let over = crate::harness::page::form_with(&conflict, &set_up, "etag");
    consign.send_form(&over).await.expect(303);
    assert_eq!(consign.get(&page).await.json()["path"], "/mine");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exporters_are_worked_from_the_command_line() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let folder = Folder::new("pushed");
    lake(&consign, &tool).await;
    let create = [
        "exporter",
        "create",
        "--name",
        "Nightly list",
        "--credential",
        "Lake",
        "--path",
        "/bulk",
        "--source",
        "pushed",
        "--schedule",
        "0 2 * * *",
        "--time-zone",
        "Europe/Lisbon",
        "--column",
        "device",
        "--column",
        "score=data.score",
        "--csv-delimiter",
        "semicolon",
    ];
    let dry = consign.run(&[&create[..], &["--dry-run"]].concat()).await.expect(0).stdout;
    assert!(dry.contains("Every day at 02:00, Europe/Lisbon") && dry.contains("LT-0231;2.1"), "{dry}");
    let created = consign.run(&create).await.expect(0);
    assert!(created.stderr.contains("Created exporter “Nightly list”"), "{}", created.stderr);
    let list = consign.run(&["exporter", "list", "--plain", "--no-header"]).await.expect(0).stdout;
    assert!(
        list.starts_with("Nightly list\tLake\tEvery day at 02:00, Europe/Lisbon\tActive\t0\t–\t"),
        "{list}"
    );

    let records: String =
        (0..7_000).map(|n| format!("{{\"device\":\"LT-{n}\",\"score\":{n}}}\n\n")).collect();
    let file = folder.write("records.ndjson", records);
    let push =
        ["exporter", "push", "Nightly list", &file, "--records", "--idempotency-key", "night-1", "--json"];
    assert_eq!(consign.run(&push).await.expect(0).stdout.trim(), r#"{"accepted":7000}"#);
    consign.run(&push).await.expect(0);
    let exporter = consign.get("/exporters/Nightly%20list").await.json();
    assert_eq!(exporter["waiting_records"], 7_000, "the same key made no second copy");
    let ran = consign.run(&["exporter", "run", "Nightly list", "--progress", "json"]).await.expect(0);
    assert!(ran.stderr.contains("Sent · ") && ran.stderr.contains("7,000 records"), "{}", ran.stderr);
    let rows: usize =
        tool.asked().iter().map(|asked| asked.body.split(|byte| *byte == b'\n').count() - 2).sum();
    assert_eq!((rows, tool.count()), (7_000, 7));

    let content: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 253) as u8).collect();
    let file = folder.write("devices.bin", &content);
    let pushed = consign.run(&["exporter", "push", "Nightly list", &file, "--plain"]).await.expect(0).stdout;
    assert!(pushed.starts_with("run_"), "{pushed}");
    assert!(tool.asked().pop().unwrap().body == content);
    let piped = consign.cli(&["exporter", "push", "Nightly list", "-", "--file-name", "piped.csv", "--json"]);
    let piped = consign.run_as(piped.input("a,b\n")).await.expect(0).stdout;
    let piped: serde_json::Value = serde_json::from_str(&piped).unwrap();
    assert_eq!((&piped["state"], &piped["file_name"]), (&json!("done"), &json!("piped.csv")));
    assert_eq!(tool.asked().pop().unwrap().body, b"a,b\n");

    tool.answer_next(Answer::json(422, &json!({ "message": "No such column." })));
    consign.run(&["exporter", "push", "Nightly list", "-", "--records"]).await;
    let one = consign.cli(&["exporter", "push", "Nightly list", "-", "--records"]);
    consign.run_as(one.input("{\"device\":\"x\"}\n")).await.expect(0);
    let failed = consign.run(&["exporter", "run", "Nightly list"]).await.expect(8);
    assert!(failed.stderr.contains("No such column.") && failed.stderr.contains("consign exporter log run_"));
    let wrong = consign.cli(&["exporter", "push", "Nightly list", "-", "--records"]);
    let wrong = consign.run_as(wrong.input("{\"device\":1}\nnonsense\n")).await.expect(7);
    assert!(wrong.stderr.contains("Line 2 is not JSON"), "{}", wrong.stderr);

    let runs = consign.run(&["exporter", "runs", "Nightly list", "--json"]).await.expect(0).stdout;
    let runs: serde_json::Value = serde_json::from_str(&runs).unwrap();
    let last = id_of(&runs["items"][0]);
    assert_eq!((runs["items"].as_array().unwrap().len(), &runs["items"][0]["state"]), (4, &json!("failed")));
    let log = consign.run(&["exporter", "log", &last]).await.expect(0).stdout;
    assert!(log.contains("its records go with the next run"), "{log}");
    consign.run(&["exporter", "repeat", &last]).await.expect(0);
    tool.answer_next(Answer::status(503));
    let two = consign.cli(&["exporter", "push", "Nightly list", "-", "--records", "-q"]);
    consign.run_as(two.input("{\"device\":\"y\"}\n")).await.expect(0);
    let started =
        consign.run(&["exporter", "run", "Nightly list", "--no-wait", "--plain"]).await.expect(0).stdout;
    let started = started.trim();
    consign.until_shows(&format!("/runs/{started}"), "/last_outcome", "http_5xx").await;
    let cancelled = consign.run(&["exporter", "cancel", started, "--leave-out", "--yes"]).await.expect(0);
    assert!(cancelled.stderr.contains("Cancelled the run"), "{}", cancelled.stderr);
    consign.run(&["exporter", "pause", "Nightly list"]).await.expect(0);
    consign.run(&["exporter", "resume", "Nightly list"]).await.expect(0);
    consign
        .run(&["exporter", "edit", "Nightly list", "--compression", "zstd", "--csv-bom", "true"])
        .await
        .expect(0);
    let exporter = consign.get("/exporters/Nightly%20list").await.json();
    assert_eq!((&exporter["csv"]["bom"], &exporter["csv"]["delimiter"]), (&json!(true), &json!("semicolon")));
    consign.run(&["exporter", "delete", "Nightly list"]).await.expect(2);
    consign.run(&["exporter", "delete", "Nightly list", "--yes"]).await.expect(0);
    consign.run(&["exporter", "get", "Nightly list"]).await.expect(3);
    consign.finish().await;
}
