//! When a gateway does not send: its limits, pauses, its credential, the egress rules, and a tool that cannot be reached.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::gateway_calls::{Through, own};
use crate::harness::http::connect;
use crate::harness::{Kind, TestConsign, basic, eventually};
use crate::peers::{Answer, Tool};

on_both_databases! {
    a_paused_gateway_sends_nothing
    a_refused_or_missing_credential_is_not_used
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_are_kept_and_say_when_to_come_again() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let more = json!({ "max_concurrency": 1, "max_request_bytes": 1_500_000 });
    let (through, _) = Through::to(&consign, &tool, &more).await;
    tool.answer_next(Answer::status(200).after(Duration::from_secs(2)));
    let (slow, refused) = tokio::join!(through.get("/slow"), async {
        tool.until_asked(1).await;
        through.get("/quick").await
    });
    slow.expect(200);
    assert_eq!(own(&refused, 429), "too_many_calls");
    assert_eq!(refused.header("retry-after"), Some("1"));
    through.get("/again").await.expect(200);
    assert_eq!(tool.count(), 2);

    // What is announced is not waited for.
    let mut stream = connect(consign.address()).await.unwrap();
    let head = format!(
        "POST /gateway/itsm/x HTTP/1.1\r\nhost: consign\r\nauthorization: Bearer {}\r\n\
         content-length: 1500001\r\n\r\n",
        through.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("\"code\":\"request_too_large\"") {
        assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
    }
    assert!(seen.starts_with(b"HTTP/1.1 413 "), "{}", String::from_utf8_lossy(&seen));
    drop(stream);
    through.call("POST", "/x", &[], vec![b'a'; 1_500_000]).await.expect(200);
    assert_eq!((tool.count(), tool.asked()[2].body.len()), (3, 1_500_000));

    consign.patch("/gateways/itsm", &json!({ "max_per_second": 0.1 })).await.expect(200);
    through.get("/first").await.expect(200);
    let refused = through.get("/second").await;
    assert_eq!(own(&refused, 429), "too_many_calls");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&wait), "{wait}");
    consign.advance(Duration::from_secs(10));
    through.get("/third").await.expect(200);
    through.recorded(2, "code = 'too_many_calls' and status is null").await;
    through.recorded(1, "code = 'request_too_large' and status is null").await;
    through.recorded(5, "code is null and status = 200").await;
    consign.finish().await;
}

async fn a_paused_gateway_sends_nothing(consign: TestConsign) {
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({})).await;
    for path in ["/gateways/itsm/pauses", "/sending-pauses"] {
        consign.act(path).await;
        assert_eq!(own(&through.get("/x").await, 503), "gateway_paused", "{path}");
        consign.call("DELETE", path, &[], None).await;
        through.get("/x").await.expect(200);
    }
    assert_eq!(tool.count(), 2);
    consign.call("DELETE", "/gateways/itsm", &[("if-match", "*")], None).await.expect(200);
    assert_eq!(own(&through.get("/x").await, 404), "gateway_not_found");
    consign.finish().await;
}

async fn a_refused_or_missing_credential_is_not_used(consign: TestConsign) {
    let tool = Tool::start().await;
    let password = consign.canary("password");
    let credential = basic("itsm", &tool.origin(), "ana", &password);
    let through = Through::with(&consign, &credential, &json!({})).await;
    tool.answer(Answer::status(401));
    through.get("/x").await.expect(401);
    let reason = async |expected: &str| {
        eventually(&format!("the gateway to say {expected}"), async || {
            let reply = through.get("/x").await;
            (reply.status == 503 && reply.json()["reason"] == expected).then_some(reply)
        })
        .await
    };
    assert_eq!(own(&reason("sign_in_refused").await, 503), "credential_not_usable");
    let asked = tool.count();
    assert_eq!(own(&through.get("/x").await, 503), "credential_not_usable");
    assert_eq!(tool.count(), asked, "a refused password is not tried again and again");
    let shown = consign.get("/credentials/itsm").await.expect(200).json();
    assert_eq!(shown["status"]["code"], "sign_in_refused", "{shown}");

    // After a while one call tells whether the tool lets us in again.
    tool.answer(Answer::status(200));
    consign.advance(Duration::from_secs(2 * 3_600));
    through.get("/x").await.expect(200);
    consign.until_shows("/credentials/itsm", "/status/code", "working").await;
    consign.until_shows("/gateways/itsm", "/state", "active").await;
    through.get("/x").await.expect(200);

    consign.call("DELETE", "/credentials/itsm?linked=hold", &[("if-match", "*")], None).await;
    assert_eq!(own(&reason("credential_missing").await, 503), "credential_not_usable");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_credential_sends_nothing() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({})).await;
    let key = through.key.clone();
    consign.stop().await;
    // An address that somebody wrote into the database is not the one that the secret was sealed for.
    let moved = "update credential set origin = 'https://evil.example/' where name = 'itsm'";
    consign.database.execute(moved).await;
    consign.start_again().await;
    let bearer = format!("Bearer {key}");
    let reply = consign.client.send("GET", "/gateway/itsm/x", &[("authorization", &bearer)], "").await;
    assert_eq!(own(&reply, 503), "credential_not_usable");
    assert_eq!(reply.json()["reason"], "credential_locked");
    assert_eq!(tool.connections(), 0);
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tool_that_cannot_be_reached_is_told_apart() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({ "timeout_seconds": 1 })).await;
    tool.answer(Answer::Silence);
    let slow = through.get("/x").await;
    assert_eq!(own(&slow, 504), "tool_too_slow");
    assert!(slow.text().contains("did not answer within 1 s"), "{}", slow.text());
    tool.answer(Answer::HangUp);
    assert_eq!(own(&through.get("/x").await, 502), "tool_unreachable");
    tool.answer(Answer::Noise);
    assert_eq!(own(&through.get("/x").await, 502), "tool_unreachable");
    tool.close().await;
    assert_eq!(own(&through.get("/x").await, 502), "tool_unreachable");
    through.recorded(3, "code = 'tool_unreachable' and status is null").await;
    through.recorded(1, "code = 'tool_too_slow' and status is null").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_the_egress_rules_block_is_not_called() {
    let blocked = Arc::new(AtomicBool::new(false));
    let looked = blocked.clone();
    let mut consign = TestConsign::on(Kind::Sqlite, move |config| {
        if looked.load(Ordering::Relaxed) {
            config.egress.allow = Vec::new();
        }
    })
    .await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({})).await;
    let bearer = format!("Bearer {}", through.key);
    blocked.store(true, Ordering::Relaxed);
    consign.restart().await;
    let reply = consign.client.send("GET", "/gateway/itsm/x", &[("authorization", &bearer)], "").await;
    assert_eq!(own(&reply, 502), "destination_blocked");
    let detail = reply.json()["detail"].clone();
    assert!(detail.as_str().unwrap().starts_with("127.0.0.1 "), "{detail}");
    assert_eq!(tool.connections(), 0);
    consign.finish().await;
}
