//! The router over a whole Consign with its own database: who is let in, and how each rule answers.

use std::path::PathBuf;

use axum::body::Body;
use consign_core::rights::Rights;
use consign_core::vault::KeyRing;
use consign_store::{DatabaseUrl, Store};
use tower_service::Service as _;

use super::*;
use crate::config::Config;
use crate::ops::{Actor, api_keys};

/// A Consign in a folder of its own, removed when dropped.
pub(super) struct Served {
    pub(super) app: Arc<App>,
    router: Router,
    folder: PathBuf,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// What came back.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Reply {
    #[track_caller]
    pub(super) fn expect(self, status: u16, code: &str) -> Self {
        let found = self.body.get("code").and_then(Value::as_str).unwrap_or_default();
        assert_eq!((self.status, found), (status, code), "{}", self.body);
        self
    }
}

impl Served {
    pub(super) async fn start() -> Self {
        let id = RequestId::new(Timestamp::from_millis(0)).to_string();
        let folder = std::env::temp_dir().join(format!("consign-api-{id}"));
        std::fs::create_dir_all(&folder).unwrap();
        let url = DatabaseUrl::parse(&format!("sqlite:{}", folder.join("consign.db").display())).unwrap();
        let store = Store::open(&url, 4).await.unwrap();
        let mut config = Config::default();
        config.data.dir.clone_from(&folder);
        config.egress.allow = vec!["tool.example:443".to_owned()];
        let app = App::start(config, KeyRing::generate(), store).await.unwrap();
        Self { router: router(app.clone()), app, folder }
    }

    /// The text of a key with these rights.
    pub(super) async fn key(&self, rights: Rights) -> String {
        let sent = json!({ "name": "Test", "scopes": rights });
        let actor = Actor::system(self.app.now());
        let (_, text) = api_keys::create(&self.app, &actor, sent.as_object().unwrap().clone()).await.unwrap();
        text.expose().to_owned()
    }

    /// `request` is a method and an address below the base; `headers` are lines.
    pub(super) async fn send(&self, key: &str, request: &str, headers: &[&str], body: &str) -> Reply {
        let (method, path) = request.split_once(' ').unwrap();
        let path = if path.starts_with("/openapi") { path.to_owned() } else { format!("{BASE}{path}") };
        let mut asked = http::Request::builder().method(method).uri(path);
        if !key.is_empty() {
            asked = asked.header("authorization", format!("Bearer {key}"));
        }
        if !body.is_empty() && !headers.iter().any(|line| line.starts_with("content-type")) {
            asked = asked.header("content-type", "application/json");
        }
        for line in headers {
            let (name, value) = line.split_once(": ").unwrap();
            asked = asked.header(name, value);
        }
        let asked = asked.body(Body::from(body.to_owned())).unwrap();
        let (parts, body) = self.router.clone().call(asked).await.unwrap().into_parts();
        let body = to_bytes(body, 1 << 22).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }
}

fn filled(route: &Route) -> String {
    let path = route
        .path
        .replace("{id}", "dlv_01JDK3V7Q2A1B2C3D4E5F6G7H8")
        .replace("{field}", "password")
        .replace("{sequence}", "0")
        .replace("{name}", "none");
    format!("{} {path}", route.method)
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_gets_401_and_a_key_without_the_right_gets_403() {
    let served = Served::start().await;
    for route in ROUTES {
        let request = filled(route);
        let reply = served.send("", &request, &[], "").await.expect(401, "key_not_accepted");
        assert!(reply.headers.contains_key("www-authenticate"), "{request}");
        served.send("csg_cut", &request, &[], "").await.expect(401, "key_not_accepted");
        let Some(right) = route.right else { continue };
        let others = Right::ALL.iter().copied().filter(|other| *other != right && *other != Right::Admin);
        let key = served.key(others.collect()).await;
        let reply = served.send(&key, &request, &[], "").await.expect(403, "not_allowed");
        assert_eq!(reply.body["right"], right.kind(), "{request}");
    }
    served.app.stop().await;
}

const CREDENTIAL: &str = r#"{"name":"Tool","protocol":"https","url_address":"https://tool.example/",
    "authorization_type":"basic","username":"consign","password":"canary-1"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn credentials_follow_the_rules_of_the_api() {
    let served = Served::start().await;
    let key = served.key(Rights::all()).await;

    let made = served.send(&key, "POST /credentials", &["idempotency-key: one"], CREDENTIAL).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(made.headers["etag"], "\"1\"");
    let id = made.body["id"].as_str().unwrap().to_owned();
    assert_eq!(made.headers["location"], format!("{BASE}/credentials/{id}"));
    assert!(!made.body.to_string().contains("canary"));
    let again = served.send(&key, "POST /credentials", &["idempotency-key: one"], CREDENTIAL).await;
    assert_eq!(
        (again.status, &again.body, &again.headers["idempotency-replayed"]),
        (201, &made.body, &"true".parse().unwrap())
    );
    assert_eq!(again.headers["location"], made.headers["location"]);
    served
        .send(&key, "POST /credentials", &["idempotency-key: one"], "{}")
        .await
        .expect(422, "idempotency_mismatch");
    served.send(&key, "POST /credentials", &[], CREDENTIAL).await.expect(422, "values_not_accepted");
    served
        .send(&key, "POST /credentials", &["idempotency-key: a b"], CREDENTIAL)
        .await
        .expect(400, "not_readable");

    let one = format!("/credentials/{id}");
    let read = served.send(&key, &format!("GET {one}"), &[], "").await;
    assert_eq!(read.status, 200, "{}", read.body);
    assert_eq!(read.headers["cache-control"], "no-store");
    let head = served.send(&key, &format!("HEAD {one}"), &[], "").await;
    assert_eq!((head.status, head.body), (200, Value::String(String::new())));
    let same = served.send(&key, &format!("GET {one}"), &["if-none-match: \"0\", W/\"1\""], "").await;
    assert_eq!(same.status, 304);

    let patch = format!("PATCH {one}");
    served.send(&key, &patch, &[], r#"{"name":"New"}"#).await.expect(428, "if_match_needed");
    let unknown = served.send(&key, &patch, &["if-match: *"], r#"{"user_name":"x"}"#).await;
    assert_eq!(unknown.expect(422, "unknown_field").body["errors"][0]["pointer"], "/user_name");
    let merge = "content-type: application/merge-patch+json";
    let saved = served.send(&key, &patch, &["if-match: \"1\"", merge], r#"{"name":"New"}"#).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    assert_eq!(saved.headers["etag"], "\"2\"");
    for stale in ["\"1\"", "W/\"2\"", "\"two\""] {
        let late = served.send(&key, &patch, &[&format!("if-match: {stale}")], r#"{"name":"Late"}"#).await;
        assert_eq!(late.expect(412, "changed_by_someone_else").body["current"]["name"], "New");
    }
    let round_trip =
        served.send(&key, &format!("PUT {one}"), &["if-match: *"], &saved.body.to_string()).await;
    assert_eq!(round_trip.status, 200, "{}", round_trip.body);

    let gone = served.send(&key, &format!("DELETE {one}"), &["if-match: *"], "").await;
    assert_eq!((gone.status, &gone.body["name"]), (200, &json!("New")));
    served.send(&key, &format!("GET {one}"), &[], "").await.expect(404, "not_found");
    served.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_secret_is_replaced_alone() {
    let served = Served::start().await;
    let key = served.key(Rights::all()).await;
    let made = served.send(&key, "POST /credentials", &[], CREDENTIAL).await;
    let one = format!("/credentials/{}", made.body["id"].as_str().unwrap());
    let secret = format!("PUT {one}/secrets/password");
    served
        .send(&key, &secret, &["if-match: *"], r#"{"value":"••••"}"#)
        .await
        .expect(422, "values_not_accepted");
    served
        .send(&key, &secret, &["if-match: *"], r#"{"secret":"x"}"#)
        .await
        .expect(422, "values_not_accepted");
    let replaced = served.send(&key, &secret, &["if-match: *"], r#"{"value":"canary-2"}"#).await;
    assert_eq!(replaced.status, 200, "{}", replaced.body);
    let history = served.send(&key, &format!("GET {one}/history"), &[], "").await;
    assert_eq!(history.body["items"][0]["action"], "Replaced password");
    served.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named() {
    let served = Served::start().await;
    let key = served.key(Rights::all()).await;
    let unknown = served.send(&key, "GET /deliveries?stat=failed", &[], "").await;
    assert_eq!(unknown.expect(400, "unknown_parameter").body["errors"][0]["parameter"], "stat");
    for request in [
        "GET /deliveries?state=lost",
        "GET /deliveries?limit=0",
        "GET /deliveries?limit=201",
        "GET /deliveries?created_after=yesterday",
        "GET /deliveries?needs_attention=1",
        "GET /deliveries?state=failed&state=held",
        "GET /deliveries?cursor=z",
        "GET /deliveries?cursor=azz",
        "GET /credentials?ends_before=2026-02-30",
        "GET /connectors?kind=tunnel",
    ] {
        served.send(&key, request, &[], "").await.expect(400, "parameter_not_accepted");
    }
    served.send(&key, "GET /deliveries/con_1", &[], "").await.expect(404, "not_found");
    served.send(&key, "GET /nothing", &[], "").await.expect(404, "not_found");
    let refused = served.send(&key, "PUT /credentials", &[], "").await.expect(405, "method_not_allowed");
    assert_eq!(refused.headers["allow"], "GET, POST, HEAD");

    let post = "POST /credentials";
    served.send(&key, post, &["content-type: text/plain"], "{}").await.expect(415, "media_type_not_accepted");
    served.send(&key, post, &["content-encoding: gzip"], "{}").await.expect(415, "media_type_not_accepted");
    served.send(&key, post, &["content-length: 1048577"], "{}").await.expect(413, "too_large");
    served.send(&key, post, &[], &" ".repeat((1 << 20) + 1)).await.expect(413, "too_large");
    served.send(&key, post, &[], "[]").await.expect(400, "not_readable");
    let broken = served.send(&key, post, &[], r#"{"password":"canary"#).await.expect(400, "not_readable");
    assert!(!broken.body.to_string().contains("canary"));

    let description = served.send("", "GET /openapi.json", &[], "").await;
    assert_eq!(description.body["openapi"], "3.1.1");
    let tag = description.headers["etag"].to_str().unwrap().to_owned();
    let same = served.send("", "GET /openapi.json", &[&format!("if-none-match: {tag}")], "").await;
    assert_eq!(same.status, 304);
    served.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_accepted_and_paged() {
    let served = Served::start().await;
    let key = served.key(Rights::all()).await;
    let event = r#"{"type":"device.score.low","id":"1","source":"dex","data":{"score":2}}"#;
    let first = served.send(&key, "POST /events", &[], event).await;
    assert_eq!(
        (first.status, &first.body["duplicate"], &first.body["deliveries"]),
        (202, &json!(false), &json!([]))
    );
    let again = served.send(&key, "POST /events", &["prefer: return=minimal"], event).await;
    assert_eq!(again.body, json!({ "id": first.body["id"], "duplicate": true }));
    assert_eq!(again.headers["preference-applied"], "return=minimal");

    let batch = r#"[{"type":"a"},{"type":"b"}]"#;
    served.send(&key, "POST /events", &[], batch).await.expect(400, "idempotency_key_needed");
    let many = served.send(&key, "POST /events", &["idempotency-key: two"], batch).await;
    assert_eq!((many.status, many.body.as_array().map(Vec::len)), (202, Some(2)));
    let replayed = served.send(&key, "POST /events", &["idempotency-key: two"], batch).await;
    assert_eq!((replayed.status, &replayed.body), (202, &many.body));
    let wrong = served.send(&key, "POST /events", &["idempotency-key: three"], r#"[{"type":"a"},{}]"#).await;
    assert_eq!(wrong.expect(422, "values_not_accepted").body["errors"][0]["pointer"], "/1/type");

    let page = served.send(&key, "GET /events?limit=2", &[], "").await;
    assert_eq!(
        (page.body["items"].as_array().map(Vec::len), &page.body["prev_cursor"]),
        (Some(2), &Value::Null)
    );
    let link = page.headers["link"].to_str().unwrap();
    let next =
        link.strip_prefix(&format!("<{BASE}")).and_then(|rest| rest.strip_suffix(">; rel=\"next\"")).unwrap();
    let rest = served.send(&key, &format!("GET {next}"), &[], "").await;
    assert_eq!(
        (rest.body["items"].as_array().map(Vec::len), &rest.body["next_cursor"]),
        (Some(1), &Value::Null)
    );
    assert!(rest.body["prev_cursor"].is_string());
    assert!(rest.body.get("count").is_none());
    let oldest = served.send(&key, "GET /events?limit=1&sort=created_at&count=true", &[], "").await.body;
    assert_eq!((&oldest["count"], &oldest["count_is_capped"]), (&json!(3), &json!(false)));
    assert_eq!(oldest["items"][0]["id"], first.body["id"]);
    served.send(&key, "GET /events?sort=name", &[], "").await.expect(400, "parameter_not_accepted");

    let id = first.body["id"].as_str().unwrap();
    let read = served.send(&key, &format!("GET /events/{id}"), &[], "").await;
    assert_eq!((read.status, &read.body["data"]), (200, &json!({ "score": 2 })));
    let reader = served.key([Right::EventsRead].into_iter().collect()).await;
    let read = served.send(&reader, &format!("GET /events/{id}"), &[], "").await;
    assert_eq!((read.status, read.body.get("data")), (200, None));
    served.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_and_their_deliveries_are_operated() {
    let served = Served::start().await;
    let key = served.key(Rights::all()).await;
    let credential = r#"{"name":"Tool","protocol":"https","url_address":"https://tool.example/",
        "authorization_type":"bearer","token":"canary-1"}"#;
    let credential = served.send(&key, "POST /credentials", &[], credential).await.body;
    let webhook = r#"{"name":"Tickets","credential":"Tool","path":"/tickets","event_types":["*"]}"#;
    let preview = served.send(&key, "POST /webhooks/preview", &[], webhook).await;
    assert_eq!((preview.status, &preview.body["url"]), (200, &json!("https://tool.example/tickets")));
    let made = served.send(&key, "POST /webhooks", &[], webhook).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let one = made.headers["location"].to_str().unwrap().strip_prefix(BASE).unwrap().to_owned();
    let paused = served.send(&key, &format!("POST {one}/pauses"), &[], "").await;
    assert_eq!((paused.status, &paused.body["state"]), (200, &json!("paused")));
    let put = format!("PUT {one}");
    let saved = served.send(&key, &put, &["if-match: *"], &paused.body.to_string()).await;
    assert_eq!(saved.status, 200, "{}", saved.body);
    served
        .send(&key, &put, &["if-match: \"99\""], &saved.body.to_string())
        .await
        .expect(412, "changed_by_someone_else");
    let test = served.send(&key, &format!("POST {one}/tests"), &[], r#"{"typ":"a"}"#).await;
    test.expect(422, "unknown_field");
    served.send(&key, &format!("POST {one}/tests"), &[], "").await.expect(409, "wrong_state");

    let sent = served.send(&key, "POST /events", &[], r#"{"type":"a.b","subject":"LT-1","data":[1]}"#).await;
    let id = sent.body["deliveries"][0]["id"].as_str().unwrap().to_owned();
    let list =
        served.send(&key, "GET /deliveries?state=held&hold_reason=connector_paused&q=LT", &[], "").await;
    assert_eq!(list.body["items"][0]["id"], json!(id), "{}", list.body);
    let delivery = format!("/deliveries/{id}");
    served.send(&key, &format!("POST {delivery}/replays"), &[], "").await.expect(409, "wrong_state");
    let cancel = format!("POST {delivery}/cancellation");
    served.send(&key, &cancel, &[], r#"{"why":1}"#).await.expect(422, "unknown_field");
    let cancelled = served.send(&key, &cancel, &["idempotency-key: four"], "").await;
    assert_eq!((cancelled.status, &cancelled.body["state"]), (200, &json!("cancelled")));
    let again = served.send(&key, &cancel, &["idempotency-key: four"], "").await;
    assert_eq!((again.status, again.body), (200, cancelled.body));
    served.send(&key, &cancel, &[], "").await.expect(409, "wrong_state");
    let replayed = served.send(&key, &format!("POST {delivery}/replays"), &[], "").await;
    assert_eq!((replayed.status, &replayed.body["replay_of"]), (201, &json!(id)));
    assert!(replayed.headers["location"].to_str().unwrap().starts_with("/api/v1/deliveries/dlv_"));
    let resolve = format!("POST {delivery}/resolution");
    served.send(&key, &resolve, &[], r#"{"as":"lost"}"#).await.expect(422, "values_not_accepted");
    served.send(&key, &resolve, &[], r#"{"as":"delivered"}"#).await.expect(409, "wrong_state");
    let payload = served.send(&key, &format!("GET {delivery}/payload"), &[], "").await;
    assert_eq!((payload.status, &payload.body["body"]), (200, &json!("[1]")));
    let attempts = served.send(&key, &format!("GET {delivery}/attempts"), &[], "").await;
    assert_eq!((attempts.status, &attempts.body["items"]), (200, &json!([])));

    let gone = format!("DELETE /credentials/{}", credential["id"].as_str().unwrap());
    let used = served.send(&key, &gone, &["if-match: *"], "").await.expect(409, "still_used");
    assert_eq!(used.body["connectors"][0]["name"], "Tickets");
    let held = served.send(&key, &format!("{gone}?linked=hold"), &["if-match: *"], "").await;
    assert_eq!((held.status, &held.body["connectors"][0]["name"]), (200, &json!("Tickets")));
    let gone = served.send(&key, &format!("DELETE {one}"), &["if-match: *"], "").await;
    assert_eq!((gone.status, &gone.body["cancelled"]), (200, &json!(1)));
    served.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_shown_once_and_refused_when_deleted() {
    let served = Served::start().await;
    let admin = served.key(Rights::all()).await;
    let sent = r#"{"name":"Scores","scopes":["events:write"],"ends_on":null}"#;
    let made = served.send(&admin, "POST /api-keys", &[], sent).await;
    assert_eq!(made.status, 201, "{}", made.body);
    let text = made.body["text"].as_str().unwrap();
    let me = served.send(text, "GET /me", &[], "").await;
    assert_eq!((&me.body["name"], &me.body["rights"]), (&json!("Scores"), &json!(["events:write"])));
    assert_eq!(served.send(text, "GET /meta", &[], "").await.body["limits"]["batch_events"], 500);
    let list = served.send(&admin, "GET /api-keys", &[], "").await;
    assert!(list.body["items"].as_array().is_some_and(|keys| keys.len() == 2));
    assert!(!list.body.to_string().contains(text));
    let id = made.body["id"].as_str().unwrap();
    assert_eq!(served.send(&admin, &format!("DELETE /api-keys/{id}"), &[], "").await.status, 204);
    served.send(text, "GET /me", &[], "").await.expect(401, "key_not_accepted");
    let log = served.send(&admin, &format!("GET /audit-entries?object={id}&limit=1"), &[], "").await;
    assert_eq!(log.body["items"][0]["action"], "Revoked API key", "{}", log.body);
    served.app.stop().await;
}
