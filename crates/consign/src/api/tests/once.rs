//! Every `POST` keeps its answer under an `Idempotency-Key`, but for those that the document names.

use consign_core::rights::Rights;

use super::served::Served;
use super::*;

/// They change nothing but the audit log, so that asking again only looks again.
const LOOK: &[&str] = &[
    "/credentials/{id}/tests",
    "/credential-tests",
    "/host-key-scans",
    "/credentials/{id}/authorizations",
    "/webhooks/preview",
    "/webhooks/{id}/signature-checks",
    "/exporters/preview",
    "/gateways/{id}/trials",
    "/audit-entries/verification",
    "/egress-checks",
    "/support-bundle",
    "/public-url-checks",
    "/backups/checks",
    "/backups/{name}/downloads",
    "/encryption-keys/recovery-files",
    "/encryption-keys/checks",
];
const DOCUMENT: &str = include_str!("../../../../../docs/api.md");

/// What each takes, so that it comes to its key.
fn body(path: &str) -> &'static str {
    match path {
        "/events" => r#"[{"type":"a","data":1}]"#,
        "/exporters/{id}/records" => r#"[{"n":1}]"#,
        "/exporters/{id}/files" => "a,b",
        "/deliveries/{id}/resolution" => r#"{"resolution":"delivered"}"#,
        _ => "{}",
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_request_is_refused_by_every_post() {
    let served = Served::start().await;
    let key = served.key(Rights::all()).await;
    let taken = "idempotency-key: taken";
    let first = r#"{"name":"Tool","protocol":"https","url_address":"https://tool.example/","authorization_type":"basic",
        "username":"consign","password":"canary-1"}"#;
    assert_eq!(served.send(&key, "POST /credentials", &[taken], first).await.status, 201);
    let (_, said) = DOCUMENT.split_once("**Idempotency.**").unwrap();
    let said = said.split("\n\n").next().unwrap();
    for route in ROUTES.iter().filter(|route| route.method == Method::POST) {
        let kind = match route.path.split('/').nth(1) {
            Some("runs") => "run",
            Some("deliveries") => "dlv",
            _ => "con",
        };
        let path = route.path.replace("{id}", &format!("{kind}_01JDK3V7Q2A1B2C3D4E5F6G7H8"));
        let path = if route.path.ends_with("/files") { format!("{path}?file_name=a.csv") } else { path };
        let headers = [taken, "if-match: *", "content-type: application/json"];
        let reply = served.send(&key, &format!("POST {path}"), &headers, body(route.path)).await;
        let kept = (reply.status, &reply.body["code"]) == (422, &json!("idempotency_mismatch"));
        assert_eq!(kept, !LOOK.contains(&route.path), "{}: {} {}", route.path, reply.status, reply.body);
        let named = said.contains(&format!("`{}`", route.path));
        assert_eq!(named, LOOK.contains(&route.path), "{} is an exception in docs/api.md", route.path);
    }
    served.app.stop().await;
}
