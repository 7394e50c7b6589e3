//! What each answer of a tool means: one webhook per row, and a bystander that must not notice.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{TestConsign, bearer, eventually, merge};
use crate::peers::{Answer, Tool, free_port};

/// What a tool does, how the webhook is set, and what comes of it.
struct Row {
    name: &'static str,
    answer: Answer,
    webhook: Value,
    /// The shown state.
    state: &'static str,
    hold_reason: Option<&'static str>,
    /// The class of the attempt.
    outcome: &'static str,
    /// Attempts that count.
    attempts: u32,
}

fn row(name: &'static str, answer: Answer, state: &'static str, outcome: &'static str, attempts: u32) -> Row {
    Row { name, answer, webhook: json!({}), state, hold_reason: None, outcome, attempts }
}

impl Row {
    fn set(self, webhook: Value) -> Self {
        Self { webhook, ..self }
    }

    fn held(self, reason: &'static str) -> Self {
        Self { hold_reason: Some(reason), ..self }
    }
}

/// Sends one event per row, all at once, and checks what became of each.
async fn check(consign: &TestConsign, rows: &[Row]) -> Tool {
    let (tool, bystander) = (Tool::start().await, Tool::start().await);
    consign.bearer_webhook("bystander", &bystander.origin(), &json!({})).await;
    let mut deliveries = Vec::new();
    for row in rows {
        let path = format!("/{}", row.name);
        tool.answer_at(&path, row.answer.clone());
        let mut webhook = json!({ "path": path, "event_types": [format!("row.{}", row.name)],
                                  "retry_schedule_seconds": [3600], "timeout_seconds": 20 });
        merge(&mut webhook, &row.webhook);
        let webhook = consign.bearer_webhook(row.name, &tool.origin(), &webhook).await;
        let sent = consign.event(&format!("row.{}", row.name), &json!({ "row": row.name })).await;
        assert_eq!(sent.deliveries.len(), 2, "{sent:?}");
        let mut own = None;
        for id in sent.deliveries {
            if consign.delivery(&id).await["connector"]["id"] == webhook {
                own = Some(id);
            }
        }
        deliveries.push(own.expect("a delivery of its own"));
    }
    for (row, id) in rows.iter().zip(&deliveries) {
        consign.until_attempted(id, 1).await;
        let delivery = consign.until(id, row.state).await;
        let attempts = consign.attempts(id).await;
        let name = row.name;
        assert_eq!(delivery["hold_reason"], json!(row.hold_reason), "{name}: {delivery}");
        assert_eq!(delivery["attempts"], row.attempts, "{name}: {delivery}");
        assert_eq!(attempts[0]["outcome"], row.outcome, "{name}: {attempts:?}");
        assert_eq!(attempts.len(), 1, "{name}: {attempts:?}");
        assert_eq!(delivery["last_outcome"], row.outcome, "{name}: {delivery}");
        assert!(!delivery["what_happened"].as_str().unwrap().is_empty(), "{name}: {delivery}");
        let asked = tool.asked_at(&format!("/{name}")).len();
        assert!(asked <= 1, "{name} was asked {asked} times");
    }
    bystander.until_asked(rows.len()).await;
    eventually("the bystander's deliveries to end", async || {
        let webhook = consign.get("/webhooks/bystander").await.expect(200).json();
        (webhook["last_24_hours"]["delivered"] == rows.len()).then_some(())
    })
    .await;
    tool
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_status_has_its_meaning() {
    let mut consign = TestConsign::start().await;
    let html = Answer::Reply(
        200,
        vec![("content-type".into(), "text/html".into())],
        "<html><title>Login</title>".into(),
    );
    let json_asked = json!({ "success_when": "status_and_json" });
    let again = json!({ "retry_client_errors": true });
    let mut rows = vec![
        row("s200", Answer::status(200), "delivered", "ok", 1),
        row("s201", Answer::status(201), "delivered", "ok", 1),
        row("s204", Answer::status(204), "delivered", "ok", 1),
        row("page", html.clone(), "delivered", "ok", 1),
        row("page-for-json", html, "failed", "not_json", 1).set(json_asked.clone()),
        row("json-for-json", Answer::json(200, &json!({})), "delivered", "ok", 1).set(json_asked),
        row("s401", Answer::status(401), "held", "sign_in", 0).held("sign_in_refused"),
        row("s403", Answer::status(403), "held", "http_4xx", 0).held("not_allowed"),
        row("s410", Answer::status(410), "failed", "http_4xx", 1),
        row("s418", Answer::status(418), "failed", "http_4xx", 1),
    ];
    for (name, status) in [("s400", 400), ("s413", 413), ("s415", 415), ("s422", 422)] {
        rows.push(row(name, Answer::status(status), "failed", "http_4xx", 1));
    }
    for (name, status) in [("r400", 400), ("r413", 413), ("r415", 415), ("r422", 422)] {
        rows.push(row(name, Answer::status(status), "retrying", "http_4xx", 1).set(again.clone()));
    }
    for (name, status) in [("s404", 404), ("s405", 405), ("s408", 408), ("s409", 409), ("s425", 425)] {
        rows.push(row(name, Answer::status(status), "retrying", "http_4xx", 1));
    }
    for (name, status) in [("s500", 500), ("s502", 502), ("s503", 503), ("s504", 504), ("s599", 599)] {
        rows.push(row(name, Answer::status(status), "retrying", "http_5xx", 1));
    }
    check(&consign, &rows).await;
    let said = consign.all("/deliveries?event_type=row.page-for-json&state=failed").await;
    let said = said[0]["last_message"].as_str().unwrap();
    assert_eq!(said, "The tool answered 200 with a web page instead of JSON. Check the path.");
    assert_eq!(consign.get("/webhooks/s410").await.json()["state"], "paused_after_failures");
    assert_eq!(consign.get("/webhooks/s403").await.json()["state"], "held");
    assert_eq!(consign.get("/credentials/s403").await.json()["status"]["code"], "not_tested");
    assert_eq!(consign.get("/credentials/s401").await.json()["status"]["code"], "sign_in_refused");
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_never_followed() {
    let consign = TestConsign::start().await;
    let elsewhere = Tool::start().await;
    let to = format!("{}taken", elsewhere.origin());
    let kinds = [("r301", 301), ("r302", 302), ("r303", 303), ("r307", 307), ("r308", 308)];
    let rows: Vec<_> = kinds
        .into_iter()
        .map(|(name, status)| row(name, Answer::with(status, &[("location", &to)]), "failed", "http_3xx", 1))
        .collect();
    check(&consign, &rows).await;
    assert_eq!((elsewhere.count(), elsewhere.connections()), (0, 0), "nothing reached the other place");
    let failed = consign.all("/deliveries?state=failed").await;
    assert_eq!(failed.len(), 5);
    let said = failed[0]["what_happened"].as_str().unwrap();
    assert!(said.contains("127.0.0.1") && said.contains("Update the address"), "{said}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tools_that_misbehave_hurt_only_themselves() {
    let mut consign = TestConsign::start().await;
    let brief = json!({ "timeout_seconds": 1 });
    let rows = [
        row("silence", Answer::Silence, "retrying", "no_answer", 1).set(brief.clone()),
        row("hang-up", Answer::HangUp, "retrying", "no_answer", 1),
        row("noise", Answer::Noise, "retrying", "no_answer", 1),
        row("endless", Answer::Endless, "delivered", "ok", 1).set(brief),
        row("gibibyte", Answer::Gibibyte, "delivered", "ok", 1),
        row("cut", Answer::Cut, "delivered", "ok", 1),
        row("late", Answer::status(200).after(Duration::from_millis(300)), "delivered", "ok", 1),
    ];
    check(&consign, &rows).await;
    let big = consign.all("/deliveries?event_type=row.gibibyte&state=delivered").await;
    let big = big.iter().find(|delivery| delivery["connector"]["name"] == "gibibyte").unwrap();
    let attempt = &consign.attempts(big["id"].as_str().unwrap()).await[0];
    assert!(attempt["answer_bytes"].as_u64().unwrap() <= 64 << 10, "{attempt}");
    assert!(attempt["answer_excerpt"].as_str().unwrap().len() <= 4 << 10);
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_reached_is_tried_again_and_what_may_not_be_is_held() {
    let mut consign = TestConsign::start().await;
    // Nobody listens there.
    let nowhere = format!("https://127.0.0.1:{}/", free_port());
    let refused =
        consign.bearer_webhook("refused", &nowhere, &json!({ "retry_schedule_seconds": [3600] })).await;
    let sent = consign.event("a", &json!(1)).await;
    let delivery = consign.until(sent.delivery(), "retrying").await;
    assert_eq!(
        (&delivery["last_outcome"], &delivery["attempts"]),
        (&json!("connect"), &json!(1)),
        "{delivery}"
    );
    consign.act(&format!("/webhooks/{refused}/pauses")).await.expect(200);

    // A private network is closed at the save already.
    let reply =
        consign.post("/credentials", &bearer("private", "https://10.1.2.3/", &consign.canary("token"))).await;
    assert_eq!(reply.expect(422).faults()[0].1, "private_address");

    // Its own address is closed, whatever the rules say.
    let own = format!("https://{}/", consign.address());
    consign.bearer_webhook("own", &own, &json!({ "event_types": ["own"] })).await;
    let sent = consign.event("own", &json!(1)).await;
    let mut states = Vec::new();
    for id in &sent.deliveries {
        let delivery = consign.until(id, "held").await;
        states.push(delivery["hold_reason"].as_str().unwrap().to_owned());
    }
    states.sort_unstable();
    assert_eq!(states, ["connector_paused", "destination_blocked"]);
    consign.allow_open();
    consign.finish().await;
}

on_both_databases! {
    retries_follow_the_schedule_and_keep_their_ids
}

async fn retries_follow_the_schedule_and_keep_their_ids(consign: TestConsign) {
    let tool = Tool::start().await;
    tool.answer_next(Answer::status(503));
    tool.answer_next(Answer::status(500));
    let waits = json!({ "retry_schedule_seconds": [60, 600] });
    consign.bearer_webhook("again", &tool.origin(), &waits).await;
    let sent = consign.event("a", &json!({ "n": 1 })).await;
    let delivery = consign.until(sent.delivery(), "retrying").await;
    assert_eq!((&delivery["attempts"], &delivery["attempts_max"]), (&json!(1), &json!(3)), "{delivery}");
    assert_eq!(tool.count(), 1);
    consign.advance(Duration::from_secs(73));
    consign.until_attempted(sent.delivery(), 2).await;
    assert_eq!(consign.until(sent.delivery(), "retrying").await["attempts"], 2);
    consign.advance(Duration::from_secs(721));
    let delivery = consign.until(sent.delivery(), "delivered").await;
    assert_eq!(delivery["attempts"], 3, "{delivery}");
    let asked = tool.asked();
    assert_eq!(asked.len(), 3);
    for one in &asked {
        assert_eq!(one.header("idempotency-key"), sent.delivery());
        assert_eq!(one.header("webhook-id"), sent.id);
        assert_eq!(one.body, asked[0].body, "the same bytes");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_used_up_schedule_fails_and_a_replay_keeps_the_idempotency_key() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(500));
    consign.bearer_webhook("again", &tool.origin(), &json!({ "retry_schedule_seconds": [] })).await;
    let sent = consign.event("a", &json!({ "n": 1 })).await;
    let failed = consign.until(sent.delivery(), "failed").await;
    assert_eq!(failed["actions"], json!(["replay"]), "{failed}");
    let attention = consign.all("/deliveries?needs_attention=true").await;
    assert_eq!(attention.len(), 1);
    tool.answer(Answer::status(200));
    let replay = consign.act(&format!("/deliveries/{}/replays", sent.delivery())).await.expect(201).json();
    assert_eq!(replay["replay_of"], *sent.delivery());
    assert_ne!(replay["id"], *sent.delivery());
    let replayed = consign.until(replay["id"].as_str().unwrap(), "delivered").await;
    assert_eq!(replayed["idempotency_key"], *sent.delivery());
    let asked = tool.asked();
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[1].header("idempotency-key"), sent.delivery());
    assert_eq!(asked[1].header("webhook-id"), sent.id);
    assert_eq!(asked[1].body, asked[0].body);
    let open = consign.act(&format!("/deliveries/{}/attempts", sent.delivery())).await.expect(409);
    assert_eq!(open.code(), "wrong_state");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_can_be_tried_now_or_cancelled() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(500));
    consign.bearer_webhook("again", &tool.origin(), &json!({ "retry_schedule_seconds": [3600, 3600] })).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "retrying").await;
    consign.act(&format!("/deliveries/{}/attempts", sent.delivery())).await.expect(202);
    consign.until_attempted(sent.delivery(), 2).await;
    let delivery = consign.until(sent.delivery(), "retrying").await;
    assert_eq!(delivery["actions"], json!(["try_now", "cancel"]));
    consign.act(&format!("/deliveries/{}/cancellation", sent.delivery())).await.expect(200);
    consign.until(sent.delivery(), "cancelled").await;
    let again = consign.act(&format!("/deliveries/{}/cancellation", sent.delivery())).await.expect(409);
    assert_eq!(again.code(), "wrong_state");
    consign.advance(Duration::from_secs(8_000));
    consign.event("b", &json!(2)).await;
    tool.until_asked(3).await;
    assert_eq!(tool.count(), 3, "the cancelled one was not sent again");
    let left = consign.all("/deliveries?state=pending").await;
    for delivery in left {
        let id = delivery["id"].as_str().unwrap();
        consign.until(id, "retrying").await;
        consign.act(&format!("/deliveries/{id}/cancellation")).await.expect(200);
    }
    consign.finish().await;
}
