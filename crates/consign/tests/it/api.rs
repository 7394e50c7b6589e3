//! The manners of the API: versions of objects, pages of lists, problems, and its description.

use serde_json::{Value, json};

use crate::harness::{Kind, TestConsign, bearer, id_of};
use crate::peers::Tool;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_asks_too_often_waits_and_the_others_do_not() {
    let consign = TestConsign::on(Kind::Sqlite, |config| {
        config.limits.requests_per_second = 50;
        config.limits.event_requests_per_second = 20;
    })
    .await;
    let key = consign.make_key(&["events:write"]).await;
    let check = async |method: &str, path: &str, body: &str, good: u16, limit: usize| {
        let send = || consign.call_as(&key, method, path, &[], body.to_owned());
        let mut through = 0;
        let refused = loop {
            let reply = send().await;
            if reply.status == 429 {
                break reply;
            }
            reply.expect(good);
            through += 1;
            assert!(through < 5_000, "{path}: nothing was refused");
        };
        assert!(through >= 2 * limit, "{path}: {through} at once");
        assert_eq!(refused.code(), "too_many_requests");
        assert_eq!(refused.header("retry-after"), Some("1"));
        consign.get("/me").await.expect(200);
        consign.advance(std::time::Duration::from_secs(1));
        send().await.expect(good);
    };
    check("GET", "/me", "", 200, 50).await;
    check("POST", "/events", r#"{"type":"a"}"#, 202, 20).await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_writers_one_wins_and_the_other_is_told() {
    let consign = TestConsign::start().await;
    let origin = "https://tool.example.org/";
    let credential = consign.credential(&bearer("itsm", origin, &consign.canary("token"))).await;
    let webhook = json!({ "name": "itsm", "credential": credential, "path": "/x", "event_types": ["*"] });
    let webhook = consign.webhook(&webhook).await;
    for (path, change) in [
        (format!("/credentials/{credential}"), json!({ "labels": { "a": "1" } })),
        (format!("/webhooks/{webhook}"), json!({ "description": "a" })),
    ] {
        let seen = consign.get(&path).await.expect(200);
        let etag = seen.header("etag").unwrap().to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"'), "a strong tag: {etag}");
        let same = consign.call("GET", &path, &[("if-none-match", &etag)], None).await.expect(304);
        assert!(same.body.is_empty() && same.header("etag") == Some(&etag));
        for method in ["PATCH", "PUT", "DELETE"] {
            let body = (method != "DELETE").then_some(&change);
            let missing = consign.call(method, &path, &[], body).await.expect(428);
            assert_eq!(missing.code(), "if_match_needed", "{method}");
        }
        let won = consign.call("PATCH", &path, &[("if-match", &etag)], Some(&change)).await.expect(200);
        assert_ne!(won.header("etag"), Some(etag.as_str()));
        for method in ["PATCH", "DELETE"] {
            let body = (method != "DELETE").then_some(&change);
            let lost = consign.call(method, &path, &[("if-match", &etag)], body).await.expect(412);
            assert_eq!(lost.code(), "changed_by_someone_else");
            let current = lost.json()["current"].clone();
            assert_eq!(current["etag"], won.json()["etag"], "{method}: {current}");
        }
        let nonsense = consign.call("PATCH", &path, &[("if-match", "nonsense")], Some(&change)).await;
        assert_eq!(nonsense.status, 412, "a tag that we never gave out");
        let changed = consign.call("GET", &path, &[("if-none-match", &etag)], None).await;
        assert_eq!(changed.status, 200);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_in_pages_forth_and_back() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let mut made = Vec::new();
    for number in 0..7 {
        let name = format!("tool {number}");
        made.push(consign.credential(&bearer(&name, &tool.origin(), &consign.canary("token"))).await);
    }
    consign.bearer_webhook("all", &tool.origin(), &json!({})).await;
    made.push(id_of(&consign.get("/credentials/all").await.json()));
    for number in 0..7 {
        consign.event(&format!("type.{number}"), &json!(number)).await;
    }
    consign.until_idle().await;
    for path in ["/credentials", "/deliveries", "/events"] {
        let whole: Vec<_> = consign.all(path).await.iter().map(id_of).collect();
        assert!(whole.len() >= 7, "{path}: {whole:?}");
        let (mut pages, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let more = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let reply = consign.get(&format!("{path}?limit=3{more}")).await.expect(200);
            let page = reply.json();
            let link = reply.header("link").unwrap_or_default().to_owned();
            let items: Vec<_> = page["items"].as_array().unwrap().iter().map(id_of).collect();
            assert!(items.len() <= 3 && !items.is_empty());
            pages.push((items, page["prev_cursor"].as_str().map(str::to_owned)));
            cursor = page["next_cursor"].as_str().map(str::to_owned);
            assert_eq!(link.contains("rel=\"next\""), cursor.is_some(), "{path}: {link}");
            if cursor.is_none() {
                break;
            }
        }
        let walked: Vec<_> = pages.iter().flat_map(|(items, _)| items.clone()).collect();
        assert_eq!(walked, whole, "{path}: each once, in order");
        assert!(pages[0].1.is_none(), "{path}: nothing before the first page");
        let back = pages[1].1.clone().unwrap_or_else(|| panic!("{path}: a way back"));
        let page = consign.get(&format!("{path}?limit=3&cursor={back}")).await.expect(200).json();
        let items: Vec<_> = page["items"].as_array().unwrap().iter().map(id_of).collect();
        assert_eq!(items, pages[0].0, "{path}: back to the first page");
        for query in ["limit=0", "limit=201", "limit=x", "cursor=nonsense", "limit=1&limit=2"] {
            let reply = consign.get(&format!("{path}?{query}")).await;
            assert_eq!(reply.status, 400, "{path}?{query}: {}", reply.text());
        }
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_are_filtered() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (one, two) = (json!({ "event_types": ["one.*"] }), json!({ "event_types": ["two"] }));
    let one = consign.bearer_webhook("Alpha one", &tool.origin(), &one).await;
    consign.bearer_webhook("Beta two", &tool.origin(), &two).await;
    tool.answer_next(crate::peers::Answer::status(418));
    let failed = consign.event("one.a", &json!(1)).await;
    consign.until(failed.delivery(), "failed").await;
    let delivered = consign.event("two", &json!(1)).await;
    consign.until(delivered.delivery(), "delivered").await;
    let count = async |path: &str| consign.all(path).await.len();
    assert_eq!(count("/deliveries").await, 2);
    assert_eq!(count("/deliveries?state=failed").await, 1);
    assert_eq!(count("/deliveries?state=held").await, 0);
    assert_eq!(count("/deliveries?needs_attention=true").await, 1);
    assert_eq!(count(&format!("/deliveries?connector={one}")).await, 1);
    assert_eq!(count("/deliveries?event_type=two").await, 1);
    assert_eq!(count(&format!("/deliveries?q={}", failed.id)).await, 1);
    assert_eq!(count("/deliveries?created_after=2999-01-01T00:00:00Z").await, 0);
    assert_eq!(count("/deliveries?created_before=2999-01-01T00:00:00Z").await, 2);
    assert_eq!(count("/events?event_type=two").await, 1);
    assert_eq!(count("/credentials?q=alpha").await, 1);
    assert_eq!(count("/credentials?authorization_type=bearer").await, 2);
    assert_eq!(count("/credentials?authorization_type=basic").await, 0);
    assert_eq!(count("/credentials?status=working").await, 1);
    assert_eq!(count("/webhooks?q=beta").await, 1);
    assert_eq!(count("/webhooks?state=active").await, 2);
    assert_eq!(count("/connectors?kind=webhook").await, 2);
    for path in
        ["/deliveries?state=nonsense", "/deliveries?created_after=yesterday", "/credentials?status=nonsense"]
    {
        consign.get(path).await.expect(400);
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_problem_has_its_shape_and_its_page() {
    let consign = TestConsign::start().await;
    let credential = json!({ "name": "x" });
    let replies = [
        (consign.get("/nowhere").await, 404),
        (consign.get("/credentials/crd_00000000000000000000000000").await, 404),
        (consign.get("/deliveries/nonsense").await, 404),
        (consign.call("DELETE", "/credentials", &[], None).await, 405),
        (consign.get("/credentials?x=1").await, 400),
        (
            consign.call("POST", "/credentials", &[("content-type", "text/plain")], Some(&credential)).await,
            415,
        ),
        (consign.call("POST", "/credentials", &[("content-encoding", "gzip")], Some(&credential)).await, 415),
        (consign.call_as(&consign.key, "POST", "/credentials", &[], "{").await, 400),
        (consign.call_as(&consign.key, "POST", "/credentials", &[], "[]").await, 400),
        (consign.call_as(&consign.key, "POST", "/credentials", &[], vec![b' '; (1 << 20) + 1]).await, 413),
        (consign.post("/credentials", &credential).await, 422),
        (consign.client.send("GET", "/api/v1/me", &[], "").await, 401),
        (consign.client.send("GET", "/api/v2/me", &[], "").await, 404),
    ];
    for (reply, status) in replies {
        let reply = reply.expect(status);
        let code = reply.code();
        let problem = reply.json();
        assert_eq!(problem["status"], status);
        assert_eq!(problem["request_id"].as_str(), reply.header("x-request-id"), "{problem}");
        for member in ["title", "detail", "instance"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {problem}");
        }
        let address = problem["type"].as_str().unwrap();
        assert_eq!(address, format!("/docs/problems/{}", code.replace('_', "-")));
        let page = consign.client.send("GET", address, &[], "").await.expect(200);
        assert!(page.text().contains(problem["title"].as_str().unwrap()), "{address}");
        assert_eq!(reply.header("cache-control"), Some("no-store"));
    }
    let allowed = consign.call("DELETE", "/credentials", &[], None).await;
    assert_eq!(allowed.header("allow"), Some("GET, POST, HEAD"));
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_answers_what_get_answers_without_a_body() {
    let consign = TestConsign::start().await;
    consign.credential(&bearer("itsm", "https://tool.example.org/", &consign.canary("token"))).await;
    for path in ["/credentials", "/credentials/itsm", "/me", "/meta", "/authorization-types"] {
        let get = consign.get(path).await.expect(200);
        let head = consign.call("HEAD", path, &[], None).await.expect(200);
        assert!(head.body.is_empty());
        assert_eq!(head.header("etag"), get.header("etag"));
        assert_eq!(head.header("content-type"), get.header("content-type"));
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_description_names_every_type_and_no_secret_is_readable() {
    let consign = TestConsign::start().await;
    let description = consign.client.send("GET", "/openapi.json", &[], "").await.expect(200).json();
    assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    let types = consign.get("/authorization-types").await.expect(200).json();
    let text = description.to_string();
    for entry in types["items"].as_array().unwrap() {
        assert!(text.contains(&format!("\"{}\"", entry["kind"].as_str().unwrap())), "{entry}");
        for field in entry["fields"].as_array().unwrap() {
            assert!(text.contains(&format!("\"{}\"", field["key"].as_str().unwrap())), "{field}");
        }
    }
    assert!(text.contains("writeOnly"));
    let me = consign.get("/me").await.expect(200).json();
    assert_eq!((&me["kind"], &me["rights"]), (&json!("api_key"), &json!(["admin"])), "{me}");
    let audit = consign.all("/audit-entries").await;
    let actions: Vec<&Value> = audit.iter().map(|entry| &entry["action"]).collect();
    assert!(
        actions.contains(&&json!("Set up Consign")) && actions.contains(&&json!("Created API key")),
        "{audit:?}"
    );
    consign.finish().await;
}
