//! Calls through a gateway: what the tool gets, what the application gets, what is refused, and what is kept of it.

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::cli::PROGRAM;
use crate::harness::process::{Process, admin_key, free_address, options};
use crate::harness::{Folder, Reply, TestConsign, bearer, eventually, merge};
use crate::oauth::{access, client, endpoint, token_url};
use crate::peers::{Answer, Tool};

on_both_databases! {
    a_call_carries_the_sign_in_and_nothing_of_the_applications_own
    what_is_not_allowed_reaches_nothing
}

/// A gateway `itsm` with a credential, and an API key that may do nothing but call.
pub(crate) struct Through<'a> {
    consign: &'a TestConsign,
    pub(crate) id: String,
    pub(crate) key: String,
}

impl<'a> Through<'a> {
    pub(crate) async fn with(consign: &'a TestConsign, credential: &Value, more: &Value) -> Self {
        let credential = consign.credential(credential).await;
        let mut body = json!({
            "name": "itsm", "credential": credential, "slug": "itsm",
            "methods": ["GET", "HEAD", "POST", "DELETE"], "path_prefixes": ["/"],
        });
        merge(&mut body, more);
        let made = consign.post("/gateways", &body).await.expect(201).json();
        let key = consign.make_key(&["gateway:call"]).await;
        Self { consign, id: made["id"].as_str().unwrap().to_owned(), key }
    }

    /// One with a token behind `Bearer`.
    pub(crate) async fn to(consign: &'a TestConsign, tool: &Tool, more: &Value) -> (Self, String) {
        let token = consign.canary("token");
        (Self::with(consign, &bearer("itsm", &tool.origin(), &token), more).await, token)
    }

    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<bytes::Bytes>,
    ) -> Reply {
        let authorization = format!("Bearer {}", self.key);
        let mut all = vec![("authorization", authorization.as_str())];
        all.extend_from_slice(headers);
        self.consign.client.send(method, &format!("/gateway/itsm{path}"), &all, body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], "").await
    }

    /// Waits until so many rows of calls fit, in the words of the database. Rows come a moment after their calls.
    pub(crate) async fn recorded(&self, count: i64, which: &str) {
        let sql = format!("select count(*) from gateway_call where connector_id = '{}' and {which}", self.id);
        eventually(&format!("{count} rows with {which}"), async || {
            (self.consign.database.number(&sql).await == count).then_some(())
        })
        .await;
    }
}

/// What Consign itself says about a call: the code stands in the document and in the header.
#[track_caller]
pub(crate) fn own(reply: &Reply, status: u16) -> String {
    assert_eq!(reply.status, status, "{}: {}", reply.asked, reply.text());
    let code = reply.code();
    assert_eq!(reply.header("consign-error"), Some(code.as_str()), "{}", reply.asked);
    code
}

async fn a_call_carries_the_sign_in_and_nothing_of_the_applications_own(consign: TestConsign) {
    let tool = Tool::start().await;
    let secret = consign.canary("header");
    let token = consign.canary("token");
    let mut credential = bearer("itsm", &tool.origin(), &token);
    merge(&mut credential, &json!({ "custom_headers": [{ "name": "X-Tenant", "value": secret }] }));
    let through = Through::with(&consign, &credential, &json!({})).await;
    let answered = [
        ("content-type", "application/json"),
        ("x-kept", "1"),
        ("x-kept", "2"),
        ("x-request-id", "of the tool"),
        ("set-cookie", "a=b"),
        ("strict-transport-security", "max-age=1"),
        ("alt-svc", "h3=\":1\""),
        ("clear-site-data", "\"*\""),
        ("access-control-allow-origin", "*"),
        ("service-worker-allowed", "/"),
        ("consign-error", "forged"),
        ("x-hop", "1"),
        ("connection", "x-hop"),
    ];
    let pairs = answered.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    tool.answer(Answer::Reply(201, pairs.collect(), "{\"made\":1}".to_owned()));

    let sent = [
        ("content-type", "application/json"),
        ("x-mine", "1"),
        ("x-mine", "2"),
        ("x-tenant", "mine"),
        ("cookie", "session=1"),
        ("forwarded", "for=1"),
        ("x-forwarded-for", "1.2.3.4"),
        ("x-real-ip", "1.2.3.4"),
        ("via", "1.1 me"),
        ("proxy-authorization", "Basic eDp5"),
        ("consign-anything", "1"),
        ("te", "trailers"),
        ("x-hop", "1"),
        ("connection", "x-hop, authorization, x-tenant"),
        ("accept-encoding", "gzip, br"),
    ];
    let reply =
        through.call("POST", "/api/now/t%C3%A4ble?x=%2F..&y=a+b", &sent, "{\"n\":1}").await.expect(201);
    assert_eq!(reply.text(), "{\"made\":1}");
    assert_eq!(reply.headers.get_all("x-kept").iter().collect::<Vec<_>>(), ["1", "2"]);
    assert_eq!(reply.header("x-request-id"), Some("of the tool"));
    assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(reply.header("content-security-policy"), Some("sandbox"));
    for absent in [
        "set-cookie",
        "strict-transport-security",
        "alt-svc",
        "clear-site-data",
        "x-hop",
        "access-control-allow-origin",
        "service-worker-allowed",
        "consign-error",
    ] {
        assert!(reply.header(absent).is_none(), "{absent}: {:?}", reply.headers);
    }

    let asked = &tool.asked()[0];
    assert_eq!(asked.method, "POST");
    assert_eq!(asked.target, "/api/now/t%C3%A4ble?x=%2F..&y=a+b");
    assert_eq!(asked.body, b"{\"n\":1}");
    assert_eq!(asked.header("authorization"), format!("Bearer {token}"));
    assert_eq!(asked.header("x-tenant"), secret);
    assert_eq!(asked.header("host"), format!("127.0.0.1:{}", tool.port()));
    assert_eq!(asked.headers_named("x-mine"), ["1", "2"]);
    assert_eq!(asked.header("accept-encoding"), "identity");
    for absent in [
        "cookie",
        "forwarded",
        "x-forwarded-for",
        "x-real-ip",
        "via",
        "proxy-authorization",
        "consign-anything",
        "te",
        "x-hop",
        "connection",
    ] {
        assert!(!asked.has_header(absent), "{absent}: {:?}", asked.headers);
    }

    // The other place for the key, and the application's own `Authorization` stays here.
    let named = [("consign-key", through.key.as_str()), ("authorization", "Basic bWluZTptaW5l")];
    consign.client.send("HEAD", "/gateway/itsm", &named, "").await.expect(201);
    let asked = &tool.asked()[1];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("HEAD", "/"));
    assert_eq!(asked.header("authorization"), format!("Bearer {token}"));

    through.recorded(1, "method = 'HEAD' and path = '/' and status = 201").await;
    let row = "id like 'att_%' and key_name = 'key for gateway:call' and method = 'POST' and status = 201 and code is null \
               and path = '/api/now/t%C3%A4ble' and request_bytes = 7 and answer_bytes = 10 and renewed = 0 and hidden = 0";
    through.recorded(1, row).await;
    let metrics = consign.metrics().await;
    assert!(metrics.contains("consign_gateway_calls_total{method=\"POST\",outcome=\"ok\"}"), "{metrics}");
    consign.finish().await;
}

async fn what_is_not_allowed_reaches_nothing(consign: TestConsign) {
    let tool = Tool::start().await;
    let more = json!({ "path_prefixes": ["/api/now", "/x"] });
    let (through, _) = Through::to(&consign, &tool, &more).await;
    for path in [
        "/api",
        "/apis",
        "/api/nowhere",
        "/api/now/../x",
        "/api/now/..",
        "/api/now/./x",
        "//api/now",
        "//evil.example/api/now",
        "/api/now/%2e%2e/x",
        "/api/now/%2E%2E/x",
        "/api/now/.%2e/x",
        "/api/now/%2fx",
        "/api/now%2Fx",
        "/api/now/%5cx",
        "/api/now/%252e%252e/x",
        "/api/now/%252f",
        "/api/now/..;a/x",
        "/api/now/%00",
        "/%61pi/now",
        "",
        "/",
        "?x=/api/now",
    ] {
        let reply = through.get(path).await;
        assert_eq!(own(&reply, 403), "path_not_allowed", "{path}");
    }
    for (name, value) in [("x-original-url", "/admin"), ("x-rewrite-url", "/admin")] {
        let reply = through.call("GET", "/x", &[(name, value)], "").await;
        assert_eq!(own(&reply, 403), "path_not_allowed", "{name}");
    }
    for method in ["PUT", "PATCH", "TRACE", "OPTIONS", "PROPFIND"] {
        let reply = through.call(method, "/x", &[], "").await;
        assert_eq!(own(&reply, 405), "method_not_allowed", "{method}");
        assert_eq!(reply.header("allow"), Some("GET, HEAD, POST, DELETE"));
    }
    for (name, value) in
        [("x-http-method-override", "PUT"), ("upgrade", "websocket"), ("x-http-method", "PATCH")]
    {
        let reply = through.call("POST", "/x", &[(name, value)], "").await;
        assert_eq!(own(&reply, 405), "method_not_allowed", "{name}");
    }
    through.recorded(24, "status is null and code = 'path_not_allowed'").await;
    through.recorded(8, "status is null and code = 'method_not_allowed'").await;

    let send = async |key: Option<&str>, path: &str| {
        let bearer = key.map(|key| format!("Bearer {key}"));
        let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
        consign.client.send("GET", path, &headers, "").await
    };
    assert_eq!(own(&send(None, "/gateway/itsm/x").await, 401), "key_missing");
    let cookie = [("cookie", consign.session.cookie.as_str())];
    let by_session = consign.client.send("GET", "/gateway/itsm/x", &cookie, "").await;
    assert_eq!(own(&by_session, 401), "key_missing", "a session is no key");
    assert_eq!(own(&send(Some("csg_nonsense"), "/gateway/itsm/x").await, 401), "key_not_accepted");
    let reader = consign.make_key(&["connectors:read"]).await;
    assert_eq!(own(&send(Some(&reader), "/gateway/itsm/x").await, 403), "gateway_not_allowed");
    for path in ["/gateway", "/gateway/", "/gateway/other/x", "/gateway/%69tsm/x", "/gateway//x"] {
        assert_eq!(own(&send(Some(&through.key), path).await, 404), "gateway_not_found", "{path}");
    }
    // A gateway for other keys, and a key for other gateways.
    let chosen = json!({ "name": "other", "slug": "other", "credential": "itsm", "path_prefixes": ["/"] });
    let other = consign.post("/gateways", &chosen).await.expect(201).json()["id"].clone();
    let limited = json!({ "name": "limited", "scopes": ["gateway:call"], "gateways": [other] });
    let limited = consign.post("/api-keys", &limited).await.expect(201).json();
    let (limited, limited_id) = (limited["text"].as_str().unwrap(), limited["id"].clone());
    consign.canaries.shown_once("a limited key", limited.rsplit('_').next().unwrap());
    // It learns of no other one, not even that there is none.
    for path in ["/gateway/itsm/x", "/gateway/nowhere/x"] {
        assert_eq!(own(&send(Some(limited), path).await, 403), "gateway_not_allowed", "{path}");
    }
    consign.patch("/gateways/other", &json!({ "api_keys": [limited_id] })).await.expect(200);
    assert_eq!(own(&send(Some(&through.key), "/gateway/other/x").await, 403), "gateway_not_allowed");
    assert_eq!(tool.connections(), 0);
    send(Some(limited), "/gateway/other/x").await.expect(200);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_passed_on_and_not_followed() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({ "path_prefixes": ["/api"] })).await;
    let at_tool = |path: &str| format!("{}{path}", tool.origin().trim_end_matches('/'));
    let rows = [
        (at_tool("/api/new?a=1#b"), "/gateway/itsm/api/new?a=1#b".to_owned()),
        ("/api/new".to_owned(), "/gateway/itsm/api/new".to_owned()),
        (at_tool("/elsewhere"), at_tool("/elsewhere")),
        ("https://evil.example/api/x".to_owned(), "https://evil.example/api/x".to_owned()),
        ("further".to_owned(), "/gateway/itsm/api/further".to_owned()),
        // It would be a path of this server, to which a client takes its key.
        ("/gateway/other/x".to_owned(), at_tool("/gateway/other/x")),
    ];
    for (count, (location, expected)) in rows.iter().enumerate() {
        tool.answer(Answer::with(307, &[("location", location)]));
        let reply = through.call("POST", "/api/old", &[], "x").await.expect(307);
        assert_eq!(reply.header("location"), Some(expected.as_str()), "{location}");
        assert_eq!(tool.count(), count + 1, "{location} was followed");
    }
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_token_is_renewed_once_and_the_call_repeated() {
    let consign = TestConsign::start().await;
    let (first, answer) = access(&consign, "first", &json!({}));
    let tokens = endpoint(&consign, answer).await;
    let tool = Tool::start().await;
    let secret = consign.canary("client-secret");
    let credential = client("itsm", &tool, &token_url(&tokens), "client", &secret);
    let through = Through::with(&consign, &credential, &json!({})).await;
    through.call("POST", "/x", &[], "one").await.expect(200);

    let (second, answer) = access(&consign, "second", &json!({}));
    tokens.answer(answer);
    tool.answer_next(Answer::status(401));
    through.call("POST", "/x", &[], "two").await.expect(200);
    let asked = tool.asked();
    let seen: Vec<_> = asked.iter().map(|one| (one.header("authorization"), one.body.as_slice())).collect();
    let expected: [(&str, &[u8]); 3] = [(&first, b"one"), (&first, b"two"), (&second, b"two")];
    assert_eq!(seen, expected);
    through.recorded(1, "renewed = 1 and status = 200").await;
    through.recorded(1, "renewed = 0 and status = 200").await;

    // What is too long to be held goes out once; the next call has another token.
    let (third, answer) = access(&consign, "third", &json!({}));
    tokens.answer(answer);
    tool.answer_next(Answer::status(401));
    consign.advance(Duration::from_secs(120));
    through.call("POST", "/x", &[], vec![b'a'; 2 << 20]).await.expect(401);
    assert_eq!(tool.count(), 4);
    eventually("a call to have another token", async || {
        through.call("POST", "/x", &[], "three").await.expect(200);
        (tool.asked().last()?.header("authorization") == third).then_some(())
    })
    .await;
    assert_eq!(tokens.count(), 3, "the token was renewed once for the call that was not repeated");
    let shown = consign.get("/credentials/itsm").await.expect(200).json();
    assert_eq!(shown["status"]["code"], "working", "{shown}");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_of_its_own_serves_gateways_and_nothing_else() {
    let folder = Folder::new("gateways");
    let key = admin_key(&folder).await;
    let (address, gateways) = (free_address(), free_address());
    let mut command = Command::new(PROGRAM);
    command
        .arg("serve")
        .env_clear()
        .envs(options(&folder, address))
        .env("CONSIGN_GATEWAY_LISTEN", gateways.to_string())
        .current_dir(folder.path());
    let process = Process::spawn(command, address, folder.path()).await;
    let tool = Tool::start().await;
    let credential = bearer("itsm", &tool.origin(), "a-token-of-this-test");
    process.call(&key, "POST", "/credentials", &credential).await.expect(201);
    let body = json!({ "name": "itsm", "credential": "itsm", "slug": "itsm", "path_prefixes": ["/"] });
    process.call(&key, "POST", "/gateways", &body).await.expect(201);
    let alone = process.client.at(gateways);
    let headers = [("authorization", format!("Bearer {key}"))];
    let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
    for client in [&alone, &process.client] {
        client.send("GET", "/gateway/itsm/x", &headers, "").await.expect(200);
    }
    for path in ["/", "/api/v1/me", "/sign-in", "/healthz", "/openapi.json"] {
        assert_eq!(own(&alone.send("GET", path, &headers, "").await, 404), "gateway_not_found", "{path}");
    }
    assert_eq!(tool.count(), 2);
    assert!(process.stop().await.success());
}
