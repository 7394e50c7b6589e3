//! Credentials, webhooks and deliveries on a day with some trouble.

use serde_json::{Value, json};

use crate::harness::{TestConsign, basic, bearer, eventually, id_of};
use crate::peers::{Answer, Tool};

pub(super) struct Desk {
    pub(super) tools: [Tool; 3],
    pub(super) pages: Vec<(&'static str, String)>,
}

/// A gateway that names the key of its application.
async fn gateway(consign: &TestConsign) -> String {
    consign.make_key(&["gateway:call"]).await;
    let callers = consign.get("/gateway-callers").await.expect(200).json();
    let callers = callers["items"].as_array().unwrap();
    let key = callers.iter().find(|key| key["name"] == "key for gateway:call").unwrap();
    let body = json!({
        "name": "Incidents for the help desk", "credential": "ServiceNow production", "slug": "servicenow",
        "methods": ["GET", "POST"], "path_prefixes": ["/api/now/table/incident", "/api/now/table/sys_user"],
        "api_keys": [key["id"]],
    });
    format!("/gateways/{}", id_of(&consign.post("/gateways", &body).await.expect(201).json()))
}

/// Credentials, webhooks and deliveries as there are on a day with some trouble.
pub(super) async fn desk(consign: &TestConsign) -> Desk {
    let tools = [Tool::start().await, Tool::start().await, Tool::start().await];
    let [now, fresh, jira] = &tools;
    let credential = async |body: Value| consign.credential(&body).await;
    let password = consign.canary("password");
    let mut snow = basic("ServiceNow production", &now.origin(), "consign.integration", &password);
    snow["labels"] = json!({ "team": "itsm" });
    let snow = credential(snow).await;
    let sandbox = credential(bearer("Freshservice sandbox", &fresh.origin(), &consign.canary("fresh"))).await;
    let desk = credential(bearer("Jira service desk", &jira.origin(), &consign.canary("jira"))).await;
    let webhook = async |name: &str, credential: &str, path: &str, types: &str, more: Value| {
        let mut body =
            json!({ "name": name, "credential": credential, "path": path, "event_types": [types] });
        crate::harness::merge(&mut body, &more);
        consign.webhook(&body).await
    };
    let template = "{\n  \"short_description\": \"Device {{ data.device }} is slow\",\n  \"urgency\": {{ data.urgency | default(3) }},\n  \"correlation_id\": \"{{ event.id }}\"\n}";
    let hardware = json!({ "payload": "template", "template": template, "description": "A ticket for each slow device",
                           "when_no_answer": "hold", "signature": "ed25519" });
    let hardware =
        webhook("Hardware requests", &snow, "/api/now/table/incident", "device.score.*", hardware).await;
    webhook("Freshservice mirror", &sandbox, "/api/v2/tickets", "ticket.*", json!({})).await;
    webhook("Duty room", &desk, "/rest/api/3/issue", "duty.*", json!({})).await;

    let event = async |kind: &str, subject: String, data: Value| {
        let body = json!({ "type": kind, "subject": subject, "data": data });
        consign.post("/events", &body).await.expect(202).json()
    };
    let ticket = |number: usize| {
        Answer::json(201, &json!({ "result": { "number": format!("INC{:07}", 10_231 + number) } }))
    };
    // The hours before this one.
    for hour in 0..9 {
        for number in 0..(3 + hour * 5 % 7) {
            now.answer(ticket(hour * 10 + number));
            let data = json!({ "device": format!("LT-{:04}", 200 + number), "score": 2.1 });
            event("device.score.low", format!("LT-{:04}", 200 + number), data).await;
        }
        consign.until_idle().await;
        if hour < 8 {
            consign.advance(std::time::Duration::from_secs(3_500));
        }
    }
    now.answer(Answer::json(
        400,
        &json!({ "error": { "message": "Invalid update", "detail": "urgency is not a choice" } }),
    ));
    let mut failed = String::new();
    for number in 0..4 {
        let data = json!({ "device": format!("LT-{:04}", 231 + number), "score": 1.4, "urgency": 9 });
        let sent = event("device.score.low", format!("LT-{:04}", 231 + number), data).await;
        failed = id_of(&sent["deliveries"][0]);
        consign.until(&failed, "failed").await;
    }
    now.answer(Answer::HangUp);
    let unanswered = event("device.score.low", "LT-0277".to_owned(), json!({ "device": "LT-0277" })).await;
    let unanswered = id_of(&unanswered["deliveries"][0]);
    consign.until(&unanswered, "held").await;
    now.answer(ticket(99));
    fresh.answer(Answer::json(
        401,
        &json!({ "code": "invalid_credentials", "message": "You have to be logged in" }),
    ));
    for number in 0..3 {
        event("ticket.created", format!("T-{}", 4_100 + number), json!({ "ticket": 4_100 + number })).await;
    }
    jira.answer(Answer::status(503));
    let retrying = event("duty.changed", "Duty room 2".to_owned(), json!({ "room": 2 })).await;
    consign.until(&id_of(&retrying["deliveries"][0]), "retrying").await;
    event("badge.printed", "B-77".to_owned(), json!({})).await;
    consign.until_shows("/webhooks/Freshservice%20mirror", "/state", "held").await;
    let again = json!({ "filter": { "state": ["delivered"], "q": "LT-020" }, "rate_per_second": 0.4 });
    let again = consign.call("POST", "/replays", &[("idempotency-key", "k")], Some(&again)).await.expect(202);
    let operation = format!("/operations/{}", id_of(&again.json()));
    eventually("some progress", async || {
        (consign.get(&operation).await.json()["done"].as_u64() >= Some(3)).then_some(())
    })
    .await;
    let gateway = gateway(consign).await;
    let event_page = format!("/events/{}", consign.delivery(&failed).await["event"]["id"].as_str().unwrap());
    let pages = vec![
        ("overview", "/".to_owned()),
        ("deliveries", "/deliveries".to_owned()),
        ("delivery", format!("/deliveries/{failed}")),
        ("delivery-on-hold", format!("/deliveries/{unanswered}")),
        ("replay", format!("/deliveries/replay?state=failed&connector={hardware}&preview=1")),
        ("operation", operation),
        ("operations", "/operations".to_owned()),
        ("events", "/events".to_owned()),
        ("event", event_page),
        ("webhooks", "/webhooks".to_owned()),
        ("webhook", format!("/webhooks/{hardware}")),
        ("webhook-set-up", format!("/webhooks/{hardware}/set-up")),
        ("webhook-test", format!("/webhooks/{hardware}/test")),
        ("webhook-signature", format!("/webhooks/{hardware}/signature")),
        ("webhook-signature-change", format!("/webhooks/{hardware}/signature/change")),
        ("webhook-activity", format!("/webhooks/{hardware}/activity")),
        ("gateways", "/gateways".to_owned()),
        ("gateway", gateway.clone()),
        ("gateway-set-up", format!("{gateway}/set-up")),
        ("gateway-try", format!("{gateway}/try")),
        ("gateway-activity", format!("{gateway}/activity")),
        ("gateway-delete", format!("{gateway}/delete")),
        ("credentials", "/credentials".to_owned()),
        ("credential", format!("/credentials/{sandbox}")),
        ("credential-delete", format!("/credentials/{snow}/delete")),
        ("new-credential", "/credentials/new".to_owned()),
        ("webhook-delete", format!("/webhooks/{hardware}/delete")),
        ("delivery-replay", format!("/deliveries/{failed}/replay")),
        ("audit", "/audit".to_owned()),
        ("audit-entry", "/audit/3".to_owned()),
        ("users", "/users".to_owned()),
        ("invite", "/users/new".to_owned()),
        ("api-keys", "/api-keys".to_owned()),
        ("new-api-key", "/api-keys/new".to_owned()),
        ("settings", "/settings".to_owned()),
        ("settings-sign-in", "/settings/sign-in".to_owned()),
        ("settings-egress", "/settings/egress".to_owned()),
        ("settings-licences", "/settings/about/licences".to_owned()),
        ("settings-about", "/settings/about".to_owned()),
        ("account", "/account".to_owned()),
        ("account-password", "/account/password".to_owned()),
        ("help", "/docs".to_owned()),
        ("help-guide", "/docs/operations".to_owned()),
        ("help-api", "/docs/api/webhooks".to_owned()),
        ("help-schema", "/docs/api/schemas/Delivery".to_owned()),
        ("help-problems", "/docs/problems".to_owned()),
        ("help-problem", "/docs/problems/locked".to_owned()),
        ("not-found", "/nowhere".to_owned()),
    ];
    Desk { tools, pages }
}
