//! A file that may have arrived, on a server that does not let us look: a person decides, and until then nothing is sent.

use std::time::Duration;

use serde_json::{Value, json};

use crate::exporter_servers::Place;
use crate::exporters::{numbers, post_once, push, run, start, until, until_attempted};
use crate::harness::page::unescape;
use crate::harness::{TestConsign, eventually};

on_both_databases!(
    a_person_says_that_it_arrived
    a_person_sends_it_again
    a_stop_asks_what_became_of_its_file
);

/// A run of one record whose answer to the rename was lost, on a server that shows nothing any more.
async fn in_doubt(consign: &mut TestConsign, place: &mut Place, record: u32) -> String {
    let later = place.path(&format!("later-{record}"));
    let path = format!("/exporters/{}", place.exporter);
    consign.patch(&path, &json!({ "folder": later })).await.expect(200);
    push(consign, &place.exporter, &numbers(record..record + 1)).await;
    let id = start(consign, &place.exporter).await;
    until_attempted(consign, &id, 1).await;
    std::fs::create_dir(&later).unwrap();
    std::fs::write(later.join("list.csv"), format!("n\n{record}\n")).unwrap();
    place.sshd.deny("lstat").await;
    // The session with the server as it was would still stand.
    consign.stop().await;
    // The last of its attempts is next.
    let sql = format!(
        "update run set file_name = 'list.csv', made_bytes = 4, made_at = 1, attempts = 99 where id = '{id}'"
    );
    consign.database.execute(&sql).await;
    consign.start_again().await;
    consign.advance(Duration::from_secs(86_400));
    let held = eventually("the run to be held", async || {
        let run = run(consign, &id).await;
        (!run["hold_reason"].is_null()).then_some(run)
    })
    .await;
    assert_eq!((&held["state"], &held["hold_reason"]), (&json!("waiting"), &json!("no_answer")), "{held}");
    assert_eq!(held["hold_text"], "No answer came. It may have been processed.");
    assert_eq!(held["actions"], json!(["send_again", "mark_delivered", "cancel"]));
    assert_eq!((&held["next_attempt_at"], &held["records_in_next_run"]), (&Value::Null, &json!(false)));
    let last = held["log"].as_array().unwrap().last().unwrap()["line"].as_str().unwrap();
    assert!(last.contains("list.csv may have arrived: an answer was lost"), "{last}");
    id
}

async fn actions(consign: &TestConsign) -> Vec<String> {
    let entries = consign.all("/audit-entries").await;
    entries.iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect()
}

async fn a_person_says_that_it_arrived(mut consign: TestConsign) {
    let mut place = Place::new(&consign, &json!({ "file_name": "list.csv" })).await;
    let id = in_doubt(&mut consign, &mut place, 1).await;
    // However long it takes, and whatever the server says meanwhile.
    place.sshd.deny("").await;
    consign.restart().await;
    consign.advance(Duration::from_secs(10 * 86_400));
    consign.session = consign.sign_in_again().await;
    push(&consign, &place.exporter, &numbers(2..3)).await;
    let runs = format!("/exporters/{}/runs", place.exporter);
    let busy = post_once(&consign, &runs, "application/json", "").await.expect(409);
    assert_eq!(busy.code(), "wrong_state", "no run overtakes it");

    // It is where people look.
    let overview = consign.get("/overview").await.expect(200).json();
    let lines = overview["attention"].as_array().unwrap();
    let line = lines.iter().find(|line| line["kind"] == "run").unwrap_or_else(|| panic!("{overview}"));
    assert_eq!(
        (&line["id"], &line["code"], &line["action"]),
        (&json!(id), &json!("no_answer"), &json!("Decide"))
    );
    let page = unescape(&consign.page("/").await.expect(200).text());
    assert!(page.contains(&format!("href=\"/runs/{id}\"")), "{page}");
    let page = unescape(&consign.page(&format!("/runs/{id}")).await.expect(200).text());
    for told in
        ["Look on the server whether list.csv is there", "Send again", "Mark as delivered", "Cancel run"]
    {
        assert!(page.contains(told), "{told}: {page}");
    }
    consign.look_for_notices().await;
    consign.look_for_notices().await;
    let told = consign.all("/events?event_type=consign.run.undecided").await;
    assert_eq!(told.len(), 1, "{told:?}");

    let resolution = format!("/runs/{id}/resolution");
    let reader = consign.make_key(&["deliveries:read"]).await;
    let delivered = json!({ "as": "delivered" }).to_string();
    let json_sent = [("content-type", "application/json")];
    consign.call_as(&reader, "POST", &resolution, &json_sent, delivered).await.expect(403);
    assert_eq!(consign.post(&resolution, &json!({ "as": "gone" })).await.expect(422).faults()[0].0, "/as");
    let ran = consign.run(&["exporter", "resolve", &id, "--as", "delivered"]).await.expect(0);
    assert!(ran.stderr.contains("marked as delivered"), "{}", ran.stderr);
    let done = until(&consign, &id, "done").await;
    assert_eq!(
        (&done["sent_records"], &done["sent_bytes"], &done["hold_reason"]),
        (&json!(1), &json!(4), &Value::Null)
    );
    assert!(done["message"].as_str().unwrap().starts_with("Marked as delivered by "), "{done}");
    assert_eq!(place.read("later-1/list.csv"), "n\n1\n", "nothing was sent");
    assert!(actions(&consign).await.contains(&"Marked run as delivered".to_owned()));
    let again = consign.post(&resolution, &json!({ "as": "send_again" })).await.expect(409);
    assert_eq!(again.code(), "wrong_state");
    consign.run(&["exporter", "resolve", &id, "--as", "send-again"]).await.expect(6);

    // What came meanwhile goes alone: what arrived is spent.
    std::fs::remove_file(place.path("later-1/list.csv")).unwrap();
    until(&consign, &start(&consign, &place.exporter).await, "done").await;
    assert_eq!(place.read("later-1/list.csv"), "n\n2\n");
    consign.finish().await;
}

async fn a_person_sends_it_again(mut consign: TestConsign) {
    let mut place = Place::new(&consign, &json!({ "file_name": "list.csv" })).await;
    let id = in_doubt(&mut consign, &mut place, 3).await;
    std::fs::remove_file(place.path("later-3/list.csv")).unwrap();
    place.sshd.deny("").await;
    consign.restart().await;
    let sent = consign.submit(&format!("/runs/{id}/send-again"), &[]).await;
    let page = unescape(&consign.follow(&sent).await.expect(200).text());
    assert!(page.contains("It is sent again."), "{page}");
    let done = until(&consign, &id, "done").await;
    assert_eq!((&done["sent_records"], &done["attempts"]), (&json!(1), &json!(0)), "{done}");
    assert_eq!(place.read("later-3/list.csv"), "n\n3\n");
    assert!(actions(&consign).await.contains(&"Sent run again".to_owned()));
    // It waits for nobody any more.
    let late = consign.submit(&format!("/runs/{id}/mark-delivered"), &[]).await;
    let page = unescape(&consign.follow(&late).await.expect(200).text());
    assert!(page.contains("This run is not held for a decision."), "{page}");
    consign.finish().await;
}

/// A stop by somebody who does not know that the file may be there would send its records twice.
async fn a_stop_asks_what_became_of_its_file(consign: TestConsign) {
    let place = Place::new(&consign, &json!({ "file_name": "list.csv", "folder": "later" })).await;
    let waiting = async |record: u32| {
        push(&consign, &place.exporter, &numbers(record..record + 1)).await;
        let id = start(&consign, &place.exporter).await;
        until_attempted(&consign, &id, 1).await;
        assert_eq!(run(&consign, &id).await["may_have_arrived"], false);
        let sql =
            format!("update run set file_name = 'list.csv', made_bytes = 4, made_at = 1 where id = '{id}'");
        consign.database.execute(&sql).await;
        id
    };
    let first = waiting(1).await;
    assert_eq!(run(&consign, &first).await["may_have_arrived"], true);
    let asked = unescape(&consign.page(&format!("/runs/{first}/cancel")).await.expect(200).text());
    assert!(asked.contains("may have arrived: look on the server first"), "{asked}");
    let stopped = consign.act(&format!("/runs/{first}/cancellation")).await.expect(200).json();
    assert_eq!((&stopped["state"], &stopped["hold_reason"]), (&json!("waiting"), &json!("no_answer")));
    assert_eq!(stopped["actions"], json!(["send_again", "mark_delivered", "cancel"]));
    assert_eq!(stopped["records_in_next_run"], false);
    // Who knows of it may say so.
    let cancelled = consign.act(&format!("/runs/{first}/cancellation")).await.expect(200).json();
    assert_eq!((&cancelled["state"], &cancelled["records_in_next_run"]), (&json!("cancelled"), &json!(true)));

    let second = waiting(2).await;
    let said = consign.run(&["exporter", "cancel", &second]).await.expect(0).stderr;
    assert!(said.contains("Stopped the run. Its file may have arrived"), "{said}");
    consign.run(&["exporter", "resolve", &second, "--as", "delivered"]).await.expect(0);
    assert_eq!(run(&consign, &second).await["state"], "done");

    // Records that are left out go nowhere: nothing is to be asked.
    let third = waiting(3).await;
    let sent = consign.submit(&format!("/runs/{third}/cancel"), &[("records", "left_out")]).await;
    let page = unescape(&consign.follow(&sent).await.expect(200).text());
    assert!(page.contains("Cancelled.") && !page.contains("Stopped."), "{page}");
    assert_eq!(run(&consign, &third).await["records_in_next_run"], false);
    let actions = actions(&consign).await;
    assert!(
        ["Stopped run", "Cancelled run"].iter().all(|one| actions.contains(&(*one).to_owned())),
        "{actions:?}"
    );
    consign.finish().await;
}
