//! Sent again exactly as first sent: the request that left, with the sign-in of today, to the same address only; and what
//! can be done with a delivery, as text to paste.

use serde_json::{Value, json};

use crate::harness::page::unescape;
use crate::harness::process::free_address;
use crate::harness::{TestConsign, eventually, id_of};
use crate::peers::{Answer, Asked, Tool};

on_both_databases! {
    what_was_first_sent_is_sent_again_after_a_change
    it_goes_nowhere_else_and_only_when_it_is_kept
    one_that_cannot_be_opened_ends
    what_was_really_sent_can_be_seen
}

const AS_FIRST: &str = "as_first_sent";

async fn replay(consign: &TestConsign, delivery: &str, request: &str) -> Value {
    let path = format!("/deliveries/{delivery}/replays");
    let made = consign.post(&path, &json!({ "request": request })).await.expect(201).json();
    assert_eq!((&made["request"], &made["replay_of"]), (&json!(request), &json!(delivery)), "{made}");
    consign.until(&id_of(&made), "delivered").await
}

/// Headers that are the same of every attempt.
fn lasting(asked: &Asked) -> Vec<(String, String)> {
    let own = ["authorization", "webhook-timestamp", "webhook-signature", "host", "connection"];
    let mut headers = asked.headers.clone();
    headers.retain(|(name, _)| !own.contains(&name.to_ascii_lowercase().as_str()));
    headers.sort();
    headers
}

async fn what_was_first_sent_is_sent_again_after_a_change(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = json!({ "path": "/then?view=full", "signature": "ed25519", "headers": [{ "name": "X-Team", "value": "then" }],
        "payload": "template", "template": "{ \"text\": \"{{ data.text }}\", \"id\": \"{{ delivery.id }}\" }" });
    consign.bearer_webhook("itsm", &tool.origin(), &webhook).await;
    tool.answer_next(Answer::status(400));
    let text = consign.canary("payload");
    let sent = consign.event("device.low", &json!({ "text": text })).await;
    consign.until(sent.delivery(), "failed").await;

    let token = consign.canary("another-token");
    consign.patch("/credentials/itsm", &json!({ "token": token })).await.expect(200);
    let change = json!({ "path": "/now", "headers": [], "template": "{ \"now\": \"{{ data.text }}\" }", "method": "PUT" });
    consign.patch("/webhooks/itsm", &change).await.expect(200);
    let again = replay(&consign, sent.delivery(), AS_FIRST).await;
    let asked = tool.asked();
    let (first, second) = (&asked[0], &asked[1]);
    assert_eq!((&second.method, &second.target), (&first.method, &first.target));
    assert_eq!(second.target, "/then?view=full");
    assert_eq!(second.body, first.body, "with the id of the first delivery in it");
    assert_eq!(second.json()["id"], sent.delivery());
    assert_eq!(lasting(second), lasting(first));
    assert_eq!(second.header("x-team"), "then");
    assert_eq!(second.header("authorization"), format!("Bearer {token}"), "the sign-in is that of today");
    assert_eq!(second.headers_named("webhook-timestamp").len(), 1);
    assert_eq!(
        second.headers_named("webhook-signature").len(),
        first.headers_named("webhook-signature").len()
    );

    // The replay keeps what it sent, too, and can be replayed in its turn.
    replay(&consign, &id_of(&again), AS_FIRST).await;
    replay(&consign, sent.delivery(), "present").await;
    let asked = tool.asked();
    assert_eq!((asked[2].target.as_str(), asked[2].body == first.body), ("/then?view=full", true));
    assert_eq!((asked[3].method.as_str(), asked[3].target.as_str()), ("PUT", "/now"));
    let audited = consign.get("/audit-entries?action=Replayed%20delivery").await.json();
    let words: Vec<_> =
        audited["items"].as_array().unwrap().iter().map(|of| &of["changes"]["request"]).collect();
    assert_eq!(words, ["with the present set-up", "exactly as first sent", "exactly as first sent"]);

    // Many at once, in a terminal.
    tool.answer_next(Answer::status(400));
    let other = consign.event("device.low", &json!({ "text": "b" })).await;
    consign.until(other.delivery(), "failed").await;
    consign.patch("/webhooks/itsm", &json!({ "path": "/later" })).await.expect(200);
    let words = ["webhook", "recover", "itsm", "--as-first-sent", "--rate", "50/s", "--yes"];
    consign.run(&words).await.expect(0);
    consign.until_idle().await;
    let last = tool.asked().pop().unwrap();
    assert_eq!((last.target.as_str(), &last.body), ("/now", &tool.asked()[4].body));
    let operation = consign.get("/operations").await.json()["items"][0].clone();
    assert_eq!((&operation["request"], &operation["done"]), (&json!(AS_FIRST), &json!(1)), "{operation}");
    consign.finish().await;
}

async fn it_goes_nowhere_else_and_only_when_it_is_kept(consign: TestConsign) {
    let (tool, other) = (Tool::start().await, Tool::start().await);
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "retry_schedule_seconds": [] })).await;
    tool.answer_next(Answer::status(500));
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "failed").await;
    let page = format!("/deliveries/{}/replay", sent.delivery());
    let offered = consign.page(&page).await.expect(200).text();
    assert!(offered.contains("value=\"as_first_sent\"") && offered.contains("--as-first-sent"), "{offered}");

    let moved = json!({ "url_address": other.origin(), "token": consign.canary("moved") });
    consign.patch("/credentials/itsm", &moved).await.expect(200);
    let path = format!("/deliveries/{}/replays", sent.delivery());
    let refused = consign.post(&path, &json!({ "request": AS_FIRST })).await.expect(409).json();
    let detail = refused["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("It was first sent to {}, and", tool.origin())), "{detail}");
    let offered = unescape(&consign.page(&page).await.expect(200).text());
    assert!(offered.contains(detail) && !offered.contains("value=\"as_first_sent\""), "{offered}");
    consign.post(&path, &json!({ "request": "first" })).await.expect(422);
    consign.post(&path, &json!({ "what": 1 })).await.expect(422);

    // Of many only those are left out that cannot be, and one that was asked for in time is refused at the door.
    let many = json!({ "request": AS_FIRST });
    let started =
        consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&many)).await.expect(202);
    let operation = id_of(&started.json());
    let made = eventually("the delivery that the replay made", async || {
        consign.all(&format!("/deliveries?operation={operation}&state=failed")).await.pop()
    })
    .await;
    let happened = made["what_happened"].as_str().unwrap();
    assert!(happened.contains("It was first sent to") && happened.contains("Nothing was sent"), "{happened}");
    assert!(other.asked().is_empty() && tool.asked().len() == 1);

    // Nothing left at all: there is nothing to send again.
    let nowhere = format!("https://{}/", free_address());
    let nowhere = json!({ "url_address": nowhere, "token": consign.canary("nowhere") });
    consign.patch("/credentials/itsm", &nowhere).await.expect(200);
    let unsent = consign.event("device.low", &json!({ "n": 2 })).await;
    consign.until(unsent.delivery(), "failed").await;
    let path = format!("/deliveries/{}/replays", unsent.delivery());
    let refused = consign.post(&path, &json!({ "request": AS_FIRST })).await.expect(409).json();
    assert!(refused["detail"].as_str().unwrap().starts_with("What was first sent is not kept"), "{refused}");
    let only = json!({ "filter": { "ids": [unsent.delivery()] }, "request": AS_FIRST, "dry_run": true });
    let preview = consign.post("/replays", &only).await.expect(200).json();
    assert_eq!((&preview["count"], &preview["without_request"]), (&json!(0), &json!(1)), "{preview}");
    consign.finish().await;
}

/// The body that was made of the event, and the event beside it; each opening is written down.
async fn what_was_really_sent_can_be_seen(consign: TestConsign) {
    let tool = Tool::start().await;
    let webhook = json!({ "path": "/then?view=full", "payload": "template", "retry_schedule_seconds": [3600],
        "template": "{ \"text\": \"{{ data.text }}\", \"id\": \"{{ delivery.id }}\" }" });
    consign.bearer_webhook("itsm", &tool.origin(), &webhook).await;
    tool.answer_next(Answer::status(500));
    let sent = consign.event("device.low", &json!({ "text": "slow" })).await;
    let id = sent.delivery();
    consign.until(id, "retrying").await;
    // What a later attempt sends does not take the place of the first.
    consign
        .patch("/webhooks/itsm", &json!({ "template": "{ \"now\": \"{{ data.text }}\" }" }))
        .await
        .expect(200);
    consign.run(&["delivery", "attempt", id]).await.expect(0);
    consign.until(id, "delivered").await;
    let asked = tool.asked();
    assert_eq!(asked[1].json(), json!({ "now": "slow" }));
    let body = asked[0].json();
    assert_eq!(body, json!({ "text": "slow", "id": id }));

    let opened = consign.get(&format!("/deliveries/{id}/request-body")).await.expect(200).json();
    assert_eq!((&opened["method"], &opened["path"]), (&json!("POST"), &json!("/then?view=full")));
    assert_eq!(opened["content_type"], "application/json");
    assert_eq!(serde_json::from_str::<Value>(opened["body"].as_str().unwrap()).unwrap(), body);
    let printed = consign.run(&["delivery", "request-body", id]).await.expect(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&printed).unwrap(), body);
    let event = consign.run(&["delivery", "payload", id]).await.expect(0).stdout;
    assert_eq!(serde_json::from_str::<Value>(&event).unwrap(), json!({ "text": "slow" }));

    let page = consign.page(&format!("/deliveries/{id}")).await.expect(200).text();
    assert!(page.contains("Show request body") && page.contains("<h3>Event payload</h3>"), "{page}");
    assert!(!unescape(&page).contains("\"text\": \"slow\""), "not before it is opened: {page}");
    let path = format!("/deliveries/{id}/request-body");
    let shown = unescape(&consign.submit(&path, &[]).await.expect(200).text());
    assert!(shown.contains("\"text\": \"slow\"") && shown.contains("POST /then?view=full"), "{shown}");
    let file = consign.submit(&path, &[("as", "file")]).await.expect(200);
    let name = file.header("content-disposition").unwrap();
    assert!(name.contains(&format!("attachment; filename=\"{id}.json\"")), "{name}");
    assert_eq!(file.json(), body);

    let entries = consign.get(&format!("/audit-entries?object={id}")).await.expect(200).json();
    let entries = entries["items"].as_array().unwrap();
    let count = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!((count("Opened payload"), count("Downloaded payload")), (3, 1), "{entries:?}");
    let reader = consign.make_key(&["deliveries:read"]).await;
    let path = format!("/deliveries/{id}/request-body");
    consign.call_as(&reader, "GET", &path, &[], "").await.expect(403);

    // Nothing left: there is nothing to see.
    let nowhere = format!("https://{}/", free_address());
    let nowhere = json!({ "url_address": nowhere, "token": consign.canary("nowhere") });
    consign.patch("/credentials/itsm", &nowhere).await.expect(200);
    consign.patch("/webhooks/itsm", &json!({ "retry_schedule_seconds": [] })).await.expect(200);
    let unsent = consign.event("device.low", &json!({ "text": "b" })).await;
    consign.until(unsent.delivery(), "failed").await;
    let refused = consign.get(&format!("/deliveries/{}/request-body", unsent.delivery())).await.expect(409);
    assert!(refused.json()["detail"].as_str().unwrap().starts_with("What was sent is not kept"));
    let page = consign.page(&format!("/deliveries/{}", unsent.delivery())).await.expect(200).text();
    assert!(page.contains("or it was not kept") && !page.contains("Show request body"), "{page}");
    consign.finish().await;
}

/// The key of the day on which it was sent is damaged: no later attempt opens it, so there is none.
async fn one_that_cannot_be_opened_ends(consign: TestConsign) {
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({})).await;
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    consign.until(sent.delivery(), "delivered").await;
    let damaged = "insert into payload_key (id, sealed, created_at) values (1, 'v1.damaged', 0)";
    consign.database.execute(damaged).await;
    consign.database.execute("update attempt set payload_key = 1").await;
    let path = format!("/deliveries/{}/replays", sent.delivery());
    let made = consign.post(&path, &json!({ "request": AS_FIRST })).await.expect(201).json();
    let failed = consign.until(&id_of(&made), "failed").await;
    let happened = failed["what_happened"].as_str().unwrap();
    assert!(happened.contains("The request that was first sent cannot be opened."), "{happened}");
    assert_eq!(tool.count(), 1);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_done_with_a_delivery_is_copied() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("itsm", &tool.origin(), &json!({ "retry_schedule_seconds": [3600] })).await;
    let titles = async |id: &str| {
        let all = consign.get(&format!("/deliveries/{id}/commands")).await.expect(200).json();
        let all = all["items"].as_array().unwrap().clone();
        all.into_iter().map(|one| (one["title"].as_str().unwrap().to_owned(), one)).collect::<Vec<_>>()
    };
    let names = |all: &[(String, Value)]| all.iter().map(|(title, _)| title.clone()).collect::<Vec<_>>();
    tool.answer_next(Answer::status(500));
    let sent = consign.event("device.low", &json!({ "n": 1 })).await;
    let id = sent.delivery();
    consign.until(id, "retrying").await;
    let all = titles(id).await;
    assert_eq!(names(&all), ["Read it", "Try now", "Cancel it", "Send the request of attempt 1 to the tool"]);
    assert_eq!(all[1].1["command"], format!("consign delivery attempt {id}"));
    let to_tool = &all[3].1;
    assert_eq!(to_tool["command"], Value::Null);
    assert!(to_tool["curl"].as_str().unwrap().contains("authorization: $TOKEN"), "{to_tool}");
    consign.until(id, "retrying").await;
    tool.answer_next(Answer::status(400));
    consign.run(&["delivery", "attempt", id]).await.expect(0);
    consign.until(id, "failed").await;
    let all = titles(id).await;
    let replay = ["Send it again with the present set-up", "Send it again exactly as first sent"];
    assert_eq!(names(&all)[1..3], replay);
    let said = consign.run(&["delivery", "commands", id]).await.expect(0).stdout;
    for line in [
        "# Send it again exactly as first sent".to_owned(),
        format!("consign delivery replay {id} --as-first-sent"),
        format!("/api/v1/deliveries/{id}/replays \\"),
        "# Send the request of attempt 2 to the tool".to_owned(),
    ] {
        assert!(said.contains(&line), "{line} is not in {said}");
    }
    let page = unescape(&consign.page(&format!("/deliveries/{id}")).await.expect(200).text());
    assert!(page.contains(&format!("consign delivery replay {id} --as-first-sent")), "{page}");
    consign.run(&["delivery", "replay", id, "--as-first-sent"]).await.expect(0);
    consign.until_idle().await;
    assert_eq!(tool.asked().last().unwrap().body, tool.asked()[0].body);
    consign.finish().await;
}
