//! What pages say and do in states that are easy to get wrong.

use serde_json::json;

use crate::harness::page::{form_with, unescape};
use crate::harness::{TestConsign, bearer, id_of, merge};
use crate::peers::{Answer, Tool};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_edit_a_webhook_see_only_what_differs() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let id = consign.bearer_webhook("Desk", &tool.origin(), &json!({ "event_types": ["*"] })).await;
    let set_up = format!("/webhooks/{id}/set-up");
    let stale = consign.form(&set_up, "etag").await.set("description", "mine");
    consign.patch(&format!("/webhooks/{id}"), &json!({ "description": "theirs" })).await.expect(200);
    let sent = consign.send_form(&stale).await.expect(409).text();
    let conflict = unescape(&sent);
    assert!(conflict.contains("key for admin changed this webhook at "), "{conflict}");
    let rows = conflict.matches("data-label=\"Field\"").count();
    assert!(rows == 1 && conflict.contains(">theirs</td>") && !conflict.contains(">crd_"), "{conflict}");
    consign.send_form(&form_with(&sent, &set_up, "etag")).await.expect(303);
    assert_eq!(consign.get(&format!("/webhooks/{id}")).await.json()["description"], "mine");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_path_is_told_where_somebody_looks() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(404));
    let more = json!({ "event_types": ["*"], "retry_client_errors": true, "retry_schedule_seconds": [1800] });
    let id = consign.bearer_webhook("Desk", &tool.origin(), &more).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until_attempted(sent.delivery(), 1).await;
    let shown =
        consign.until_shows(&format!("/deliveries/{}", sent.delivery()), "/shown_state", "retrying").await;
    let said = shown["what_happened"].as_str().unwrap().to_owned();
    for words in ["Attempt 2 of 2 comes in ", " UTC)", "Look at the path of the webhook"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!said.contains("Nothing is needed"), "{said}");
    assert_eq!((&shown["attempts_made"], shown["last_duration_ms"].is_u64()), (&json!(1), true));
    let page = unescape(&consign.page(&format!("/deliveries/{}", sent.delivery())).await.expect(200).text());
    assert!(page.contains(&format!("href=\"/webhooks/{id}/set-up\">Edit the webhook")), "{page}");
    let list = unescape(&consign.page("/webhooks").await.expect(200).text());
    assert!(list.contains("1 retrying · 404"), "{list}");
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_event_of_a_held_webhook_names_the_repair() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    tool.answer(Answer::status(401));
    let id = consign.bearer_webhook("Desk", &tool.origin(), &json!({ "event_types": ["*"] })).await;
    let sent = consign.event("a", &json!(1)).await;
    consign.until(sent.delivery(), "held").await;
    let credential = id_of(&consign.get("/credentials/Desk").await.json());
    let page = unescape(&consign.page(&format!("/webhooks/{id}/activity")).await.expect(200).text());
    let repair = format!("class=\"btn primary\" href=\"/credentials/{credential}#tool\">Replace secret");
    assert!(page.contains(&repair) && page.contains("Send test event"), "{page}");
    let refused = consign.submit(&format!("/webhooks/{id}/test"), &[]).await.expect(303);
    let told = unescape(&consign.follow(&refused).await.text());
    assert!(told.contains("Repair the credential Desk, then send the test."), "{told}");
    assert!(told.contains(&format!("href=\"/credentials/{credential}#tool\"")), "{told}");
    // The list of deliveries counts what was made, and the hold costs none of its attempts.
    let shown = consign.delivery(sent.delivery()).await;
    assert_eq!((&shown["attempts"], &shown["attempts_made"]), (&json!(0), &json!(1)));
    consign.allow_open();
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_is_found_and_tested_from_the_list() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let mut other = bearer("other", &tool.origin(), &consign.canary("other"));
    other["labels"] = json!({ "team": "network" });
    consign.credential(&other).await;
    let id = consign.credential(&bearer("desk", &tool.origin(), &consign.canary("desk"))).await;
    let names = async |path: &str| {
        let page = unescape(&consign.page(path).await.expect(200).text());
        ["desk", "other"].map(|name| page.contains(&format!("title=\"Test {name}\"")))
    };
    assert_eq!(names("/credentials?q=NETWORK").await, [false, true]);
    assert_eq!(names("/credentials?label=team%3Dnetwork").await, [false, true]);
    assert_eq!(names("/credentials?protocol=sftp").await, [false, false]);
    assert_eq!(names("/credentials?status=needs_attention").await, [false, false]);
    assert_eq!(names("/credentials?sort=-name").await, [true, true]);
    let page = consign.page("/credentials?sort=-name").await.expect(200).text();
    assert!(
        page.contains("aria-sort=\"descending\"") && page.find(">other<") < page.find(">desk<"),
        "{page}"
    );
    let listed = consign.get("/credentials?order=-name&protocol=https").await.expect(200).json();
    assert_eq!(listed["items"][0]["name"], "other");
    consign.get("/credentials?order=nothing").await.expect(400);
    let asked = tool.count();
    let there = consign.submit(&format!("/credentials/{id}/test"), &[]).await.expect(303).location();
    assert_eq!(there, format!("/credentials/{id}?testing=1"));
    crate::harness::eventually("the test", async || (tool.count() > asked).then_some(())).await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connectors_are_sorted_by_name_and_by_what_was_last() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.credential(&bearer("desk", &tool.origin(), &consign.canary("desk"))).await;
    for (path, more) in [
        ("/webhooks", json!({ "path": "/x", "event_types": ["*"] })),
        ("/exporters", json!({ "path": "/x", "source": "pushed", "columns": [{ "name": "n" }] })),
        ("/gateways", json!({ "path_prefixes": ["/"] })),
    ] {
        for name in ["alpha", "omega"] {
            let mut body = json!({ "name": format!("{name} of {path}"), "credential": "desk" });
            if path == "/gateways" {
                body["slug"] = json!(name);
            }
            merge(&mut body, &more);
            consign.post(path, &body).await.expect(201);
        }
    }
    consign.post("/webhooks/alpha%20of%20%2Fwebhooks/tests", &json!({})).await.expect(201);
    let key = [("idempotency-key", "n")];
    let record = json!([{ "n": 1 }]);
    let exporter = "/exporters/alpha%20of%20%2Fexporters";
    consign.call("POST", &format!("{exporter}/records"), &key, Some(&record)).await.expect(202);
    let key = [("idempotency-key", "r")];
    consign.call("POST", &format!("{exporter}/runs"), &key, None).await.expect(201);
    let call = json!({ "method": "GET", "path": "/" });
    consign.post("/gateways/alpha%20of%20%2Fgateways/trials", &call).await.expect(200);
    crate::harness::eventually("the row of the call", async || {
        let calls = consign.get("/gateways/alpha%20of%20%2Fgateways/calls").await.expect(200).json();
        (calls["items"] != json!([])).then_some(())
    })
    .await;
    for path in ["/webhooks", "/exporters", "/gateways"] {
        let first = async |order: &str| {
            let listed = consign.get(&format!("{path}?order={order}&limit=1")).await.expect(200).json();
            listed["items"][0]["name"].as_str().unwrap().split(' ').next().unwrap().to_owned()
        };
        let (mut found, orders) = (Vec::new(), ["name", "-name", "last_at", "-last_at"]);
        for order in orders {
            found.push(first(order).await);
        }
        assert_eq!(found, ["alpha", "omega", "omega", "alpha"], "{path}");
        consign.get(&format!("{path}?order=nothing")).await.expect(400);
        let page = unescape(&consign.page(&format!("{path}?sort=-name&q=of")).await.expect(200).text());
        let kept = page.contains("<option value=\"-name\" selected>Name, Z to A</option>");
        assert!(page.contains("aria-sort=\"descending\"") && kept, "{page}");
        assert!(page.find(">omega of") < page.find(">alpha of"), "{page}");
    }
    let listed = consign.run(&["webhook", "list", "--order", "-name", "--json"]).await.expect(0).stdout;
    assert!(listed.find("omega of") < listed.find("alpha of"), "{listed}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn among_many_a_credential_is_chosen_by_its_name() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    // More than are suggested; the wanted one is behind all of them.
    let wanted = consign.credential(&bearer("zz last", &tool.origin(), &consign.canary("last"))).await;
    let rows = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 600)
        insert into credential (id, name, name_key, origin, authorization_type, plain, custom_headers, labels, seen_code,
          seen_reason, seen_since, created_at, updated_at, revision)
        select 'crd_0000000000000000000000' || printf('%04d', n.i), 'Tool ' || n.i, 'tool ' || n.i, origin, 'none', '{}',
          custom_headers, labels, seen_code, seen_reason, seen_since, created_at, updated_at, revision
        from n cross join credential where name_key = 'zz last'";
    consign.database.execute(rows).await;
    let form = consign.form("/webhooks/new", "once").await;
    let page = unescape(&consign.page("/webhooks/new").await.expect(200).text());
    assert!(
        page.contains("<option value=\"Tool 10\">") && !page.contains("<select id=\"f-credential\""),
        "{page}"
    );
    let form = form.set("name", "Desk").set("event_types", "*").set("path", "/x");
    let refused = consign.send_form(&form.clone().set("credential", "nobody")).await.expect(422).text();
    assert!(unescape(&refused).contains("There is no credential “nobody”"), "{refused}");
    consign.send_form(&form.set("credential", "ZZ Last")).await.expect(303);
    let made = consign.get("/webhooks/Desk").await.expect(200).json();
    assert_eq!(made["credential"]["id"], json!(wanted));
    // Its page and the list know it by its name, too.
    let page = consign.page(&format!("/webhooks/{}/set-up", id_of(&made))).await.expect(200).text();
    assert!(page.contains("name=\"credential\" type=\"text\" value=\"zz last\""), "{page}");
    let found = consign.page("/webhooks?credential=zz%20last").await.expect(200).text();
    assert!(found.contains(">Desk</a>"), "{found}");
    let none = consign.page("/webhooks?credential=nobody").await.expect(200).text();
    assert!(none.contains("No webhook matches") && !none.contains(">Desk</a>"), "{none}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_payload_is_taken_away_whole() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    consign.bearer_webhook("Desk", &tool.origin(), &json!({ "event_types": ["*"] })).await;
    let data = json!({ "text": "x".repeat(90_000) });
    let sent = consign.event("a", &data).await;
    consign.until(sent.delivery(), "delivered").await;
    let page =
        consign.submit(&format!("/deliveries/{}/payload", sent.delivery()), &[]).await.expect(200).text();
    let form = form_with(&page, "/deliveries", "as");
    let file = consign.send_form(&form).await.expect(200);
    assert!(
        file.header("content-disposition").is_some_and(|name| name.contains("attachment; filename=\"evt_"))
    );
    assert_eq!(file.json(), data, "all of it");
    let audited = consign.get("/audit-entries?action=Downloaded%20payload").await.expect(200).json();
    assert_eq!(audited["items"].as_array().map(Vec::len), Some(1), "{audited}");
    consign.finish().await;
}
