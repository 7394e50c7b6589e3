//! Who may do what: every operation of the description, to nobody, to the wrong key, and to the right one.

use consign::api::ROUTES;
use consign_core::rights::Right;
use serde_json::{Value, json};

use crate::forms::state;
use crate::harness::TestConsign;

/// Method, path with a made-up id, and the right it needs.
fn operations(description: &Value) -> Vec<(String, String, Option<String>)> {
    let mut found = Vec::new();
    for (path, methods) in description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if !["get", "post", "put", "patch", "delete"].contains(&method.as_str()) {
                continue;
            }
            let right = operation["security"][0]["apiKey"][0].as_str().map(str::to_owned);
            let path = path.replace("{id}", "none").replace("{field}", "password").replace("{sequence}", "0");
            found.push((method.to_uppercase(), path, right));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_operation_is_closed_to_nobody_and_to_the_wrong_key() {
    let consign = TestConsign::start().await;
    let description = consign.client.send("GET", "/openapi.json", &[], "").await.expect(200).json();
    let operations = operations(&description);
    assert!(operations.len() >= 35, "{}", operations.len());
    for (method, path, right) in &operations {
        let address = format!("/api/v1{path}");
        let nobody = consign.client.send(method, &address, &[], "").await.expect(401);
        assert_eq!(nobody.code(), "key_not_accepted", "{method} {path}");
        assert!(nobody.header("www-authenticate").is_some());
        let Some(right) = right else { continue };
        let others: Vec<_> = Right::ALL.iter().map(|right| right.kind()).collect();
        let others: Vec<_> =
            others.into_iter().filter(|other| *other != right && *other != "admin").collect();
        let wrong = consign.make_key(&others).await;
        let refused = consign.call_as(&wrong, method, path, &[], "").await.expect(403);
        assert_eq!(refused.code(), "not_allowed", "{method} {path}");
        assert_eq!(refused.json()["right"], **right, "{method} {path}");
        let fitting = consign.make_key(&[right]).await;
        let let_in = consign.call_as(&fitting, method, path, &[], "").await;
        assert!(
            ![401, 403, 500].contains(&let_in.status),
            "{method} {path}: {} {}",
            let_in.status,
            let_in.text()
        );
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_are_cut_changed_unknown_ended_or_revoked_are_refused() {
    let consign = TestConsign::start().await;
    let key = consign.make_key(&["events:read"]).await;
    consign.call_as(&key, "GET", "/events", &[], "").await.expect(200);
    let (last, other) = (key.len() - 1, if key.ends_with('0') { "1" } else { "0" });
    let stranger = format!("csg_{}_{}", "0".repeat(26), "0".repeat(70));
    for wrong in [
        &key[..last],
        &format!("{}{other}", &key[..last]),
        "csg_",
        "",
        "Bearer",
        &stranger,
        &key.to_uppercase(),
    ] {
        let reply = consign.call_as(wrong, "GET", "/events", &[], "").await.expect(401);
        assert_eq!(reply.code(), "key_not_accepted");
        assert!(!reply.text().contains(&key[10..]));
    }
    let authorization = format!("Basic {key}");
    consign.client.send("GET", "/api/v1/events", &[("authorization", &authorization)], "").await.expect(401);
    let twice = format!("Bearer {key}");
    let headers = [("authorization", twice.as_str()), ("authorization", twice.as_str())];
    consign.client.send("GET", "/api/v1/events", &headers, "").await.expect(401);
    let listed = consign.get("/api-keys").await.expect(200).json();
    let id =
        listed["items"].as_array().unwrap().iter().find(|row| row["name"] == "key for events:read").unwrap();
    let id = id["id"].as_str().unwrap();
    consign.call("DELETE", &format!("/api-keys/{id}"), &[], None).await.expect(204);
    consign.call_as(&key, "GET", "/events", &[], "").await.expect(401);

    let tomorrow = consign_store::local_now().plus(std::time::Duration::from_secs(86_400)).day();
    let body = json!({ "name": "short", "scopes": ["events:read"], "ends_on": tomorrow });
    let made = consign.post("/api-keys", &body).await.expect(201).json();
    let short = made["text"].as_str().unwrap().to_owned();
    consign.canaries.shown_once("an API key", short.rsplit('_').next().unwrap());
    consign.call_as(&short, "GET", "/events", &[], "").await.expect(200);
    consign.advance(std::time::Duration::from_secs(3 * 86_400));
    let ended = consign.call_as(&short, "GET", "/events", &[], "").await.expect(401);
    assert!(ended.json()["detail"].as_str().unwrap().contains("ended"), "{}", ended.text());
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_console_needs_its_token_on_the_api() {
    let consign = TestConsign::start().await;
    let cookie = ("cookie", consign.session.cookie.as_str());
    let token = ("consign-csrf", consign.session.csrf.as_str());
    let me = |headers: Vec<(&'static str, String)>| {
        let client = consign.client.clone();
        async move {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            client.send("GET", "/api/v1/me", &headers, "").await
        }
    };
    let owned = |(name, value): (&'static str, &str)| (name, value.to_owned());
    let shown = me(vec![owned(cookie), owned(token)]).await.expect(200).json();
    assert_eq!((&shown["kind"], &shown["name"]), (&json!("user"), &json!("Ana Silva")));
    assert_eq!(me(vec![owned(cookie)]).await.expect(403).code(), "csrf_token_needed");
    assert_eq!(
        me(vec![owned(cookie), owned(("consign-csrf", "wrong"))]).await.expect(403).code(),
        "csrf_token_needed"
    );
    let cross = me(vec![owned(cookie), owned(token), owned(("sec-fetch-site", "cross-site"))]).await;
    assert_eq!(cross.expect(403).code(), "csrf_token_needed");
    assert_eq!(me(vec![owned(("cookie", "consign-local=wrong")), owned(token)]).await.status, 401);
    consign.finish().await;
}

/// A cookie comes along from everywhere: every operation that changes something is tried as another site would.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_of_the_console_changes_nothing_for_another_site() {
    let consign = TestConsign::start().await;
    let cookie = ("cookie", consign.session.cookie.as_str());
    let token = ("consign-csrf", consign.session.csrf.as_str());
    let kind = ("content-type", "application/json");
    let (origin, cross) = (("origin", "https://evil.example"), ("sec-fetch-site", "cross-site"));
    let tries: [&[(&str, &str)]; 6] = [
        &[cookie, kind, origin, cross],
        &[cookie, kind, origin],
        &[cookie, ("content-type", "text/plain"), origin, cross],
        &[cookie, kind, origin, ("consign-csrf", "0000")],
        &[cookie, kind, origin, cross, token],
        &[cookie, kind, ("origin", "https://evil.acme.example"), ("sec-fetch-site", "same-site"), token],
    ];
    let before = state(&consign).await;
    let mutating: Vec<_> = ROUTES.iter().filter(|route| !route.method.is_safe()).collect();
    assert!(mutating.len() >= 60, "{}", mutating.len());
    for route in mutating {
        let places = ["id", "field", "name", "sequence"];
        let path = places.iter().fold(route.path.to_owned(), |path, place| {
            path.replace(&format!("{{{place}}}"), if *place == "sequence" { "0" } else { "none" })
        });
        assert!(!path.contains('{'), "{path}: tell this test what stands there");
        for headers in tries {
            let mut headers = headers.to_vec();
            headers.push(("if-match", "*"));
            let address = format!("/api/v1{path}");
            let reply = consign.client.send(route.method.as_str(), &address, &headers, "{}").await;
            assert_eq!(reply.status, 403, "{} {path} {headers:?}: {}", route.method, reply.text());
            assert_eq!(reply.code(), "csrf_token_needed", "{} {path} {headers:?}", route.method);
        }
    }
    assert_eq!(state(&consign).await, before);
    consign.finish().await;
}
