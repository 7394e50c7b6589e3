use http_body_util::BodyExt as _;
use tower_service::Service as _;

use super::*;

fn why(loaded: Option<&str>) -> Locked {
    Locked {
        sealed_with: "k-7f3a91bc".to_owned(),
        loaded: loaded.map(str::to_owned),
        place: "/var/lib/consign/<keys>".to_owned(),
    }
}

#[tokio::test]
async fn the_page_may_load_its_style_and_nothing_from_elsewhere() {
    let request = Request::builder().uri("/").header(ACCEPT, "text/html").body(Body::empty()).unwrap();
    let response = router(why(None)).call(request).await.unwrap();
    let policy = response.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.contains("style-src 'self'"), "{policy}");
    assert_eq!(response.headers()[RETRY_AFTER], "60");
}

async fn ask(path: &str, accept: &str) -> (u16, String, String) {
    let request = Request::builder().uri(path).header(ACCEPT, accept).body(Body::empty()).unwrap();
    let response = router(why(Some("k-91bc0000"))).call(request).await.unwrap();
    let status = response.status().as_u16();
    let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, content_type, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn both_keys_and_the_next_step_are_named() {
    let sentence = "The database was sealed with key k-7f3a91bc. \
                    The loaded key is k-91bc0000 from /var/lib/consign/<keys>. \
                    Put the line of k-7f3a91bc into the key ring and start Consign again.";
    assert_eq!(why(Some("k-91bc0000")).sentence(), sentence);
    assert!(why(None).sentence().contains("There is no key at /var/lib/consign/<keys>."));
}

#[tokio::test]
async fn everything_but_health_is_closed() {
    let (status, content_type, page) = ask("/credentials", "text/html,*/*").await;
    assert_eq!((status, content_type.as_str()), (503, "text/html; charset=utf-8"));
    assert!(
        page.contains("k-7f3a91bc") && page.contains("k-91bc0000") && page.contains("&lt;keys&gt;"),
        "{page}"
    );
    for words in
        ["class=\"card", "into <code>/var/lib/consign/&lt;keys&gt;</code>", "consign key import FILE"]
    {
        assert!(page.replace("&#x2f;", "/").contains(words), "{words}\n{page}");
    }
    let sheet = page.split("href=\"").find(|rest| rest.contains("consign.css")).unwrap();
    let (status, content_type, sheet) = ask(sheet.split('"').next().unwrap(), "text/css").await;
    assert_eq!((status, content_type.as_str()), (200, "text/css; charset=utf-8"));
    assert!(sheet.contains("--accent"), "the page has its style sheet");
    let (status, content_type, problem) = ask("/api/v1/events", "text/html").await;
    assert_eq!((status, content_type.as_str()), (503, "application/problem+json"));
    let problem: serde_json::Value = serde_json::from_str(&problem).unwrap();
    assert_eq!(
        (problem["code"].as_str(), problem["instance"].as_str()),
        (Some("locked"), Some("/api/v1/events"))
    );
    assert_eq!(ask("/healthz", "*/*").await.0, 200);
    assert_eq!(ask("/readyz", "*/*").await.0, 503);
}
