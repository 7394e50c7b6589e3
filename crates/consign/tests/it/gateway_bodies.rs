//! Bodies of calls that are large, late, too long or not there.

use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway_calls::Through;
use crate::harness::http::connect;
use crate::harness::process::{Process, admin_key};
use crate::harness::{Folder, TestConsign, bearer};
use crate::peers::{Answer, Tool};

/// What a gigabyte in one direction and 128 megabytes in the other may add to a server that has just started.
const GROWTH_BYTES_MAX: u64 = 64 << 20;

/// The most memory that a process has held so far.
fn resident_bytes_max(process: &mut Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child().id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1_024
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_passes_through_without_being_held() {
    let folder = Folder::new("gateway-bodies");
    let key = admin_key(&folder).await;
    let mut process = Process::start(&folder, &[]).await;
    let tool = Tool::start().await;
    let credential = bearer("itsm", &tool.origin(), "a-token-of-this-test");
    process.call(&key, "POST", "/credentials", &credential).await.expect(201);
    let body = json!({
        "name": "itsm", "credential": "itsm", "slug": "itsm", "path_prefixes": ["/"], "methods": ["GET", "POST"],
        "max_request_bytes": 1 << 30, "scrub_answers": false,
    });
    process.call(&key, "POST", "/gateways", &body).await.expect(201);
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    process.client.send("GET", "/gateway/itsm/warm", &headers, "").await.expect(200);
    let before = resident_bytes_max(&mut process);

    tool.answer(Answer::Gibibyte);
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(connect(process.client.address).await.unwrap())).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = Request::get("/gateway/itsm/x")
        .header("host", "consign")
        .header("authorization", &authorization)
        .body(http_body_util::Empty::<bytes::Bytes>::new())
        .unwrap();
    let mut answer = sender.send_request(request).await.unwrap().into_body();
    let mut taken = 0_u64;
    while let Some(frame) = answer.frame().await {
        taken += frame.unwrap().data_ref().map_or(0, |data| u64::try_from(data.len()).unwrap());
    }
    connection.abort();
    assert_eq!(taken, 1 << 30);

    tool.answer(Answer::status(200));
    let body = vec![b'a'; 128 << 20];
    process.client.send("POST", "/gateway/itsm/y", &headers, body.clone()).await.expect(200);
    assert!(tool.asked_at("/y")[0].body == body);
    let grown = resident_bytes_max(&mut process) - before;
    assert!(grown <= GROWTH_BYTES_MAX, "{grown} bytes more were held");
    assert!(process.stop().await.success());
}

/// The head of a call with a body, on a raw connection.
async fn begin(consign: &TestConsign, through: &Through<'_>, framing: &str) -> TcpStream {
    let mut stream = connect(consign.address()).await.unwrap();
    let head = format!(
        "POST /gateway/itsm/x HTTP/1.1\r\nhost: consign\r\nauthorization: Bearer {}\r\n{framing}\r\n\r\n",
        through.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Reads until a text has come.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(text) {
            assert!(stream.read_buf(&mut seen).await.unwrap() > 0, "{}", String::from_utf8_lossy(&seen));
        }
    };
    tokio::time::timeout(Duration::from_secs(30), read).await.unwrap();
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_grows_too_long_or_stops_is_not_sent_as_a_whole() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let more = json!({ "max_request_bytes": 100_000, "idle_seconds": 1 });
    let (through, _) = Through::to(&consign, &tool, &more).await;

    let mut stream = begin(&consign, &through, "transfer-encoding: chunked").await;
    let chunk = [b"10000\r\n".as_slice(), &vec![b'a'; 0x1_0000], b"\r\n"].concat();
    stream.write_all(&chunk).await.unwrap();
    stream.write_all(&chunk).await.unwrap();
    let seen = read_until(&mut stream, "\"code\":\"request_too_large\"").await;
    assert!(seen.starts_with("HTTP/1.1 413 ") && seen.contains("consign-error: request_too_large"), "{seen}");

    for framing in ["content-length: 10", "transfer-encoding: chunked"] {
        let mut stream = begin(&consign, &through, framing).await;
        stream.write_all(if framing.ends_with("10") { b"abc" } else { b"3\r\nabc\r\n" }).await.unwrap();
        let seen = read_until(&mut stream, "\"code\":\"too_slow\"").await;
        assert!(seen.starts_with("HTTP/1.1 408 ") && seen.contains("consign-error: too_slow"), "{seen}");
    }
    // An application that hangs up within its body.
    let mut stream = begin(&consign, &through, "transfer-encoding: chunked").await;
    stream.write_all(b"3\r\nabc\r\n").await.unwrap();
    drop(stream);
    through.recorded(1, "status is null and code = 'client_gone'").await;
    through.recorded(1, "status is null and code = 'request_too_large'").await;
    through.recorded(2, "status is null and code = 'too_slow'").await;
    assert_eq!(tool.count(), 0, "the tool took a part for the whole");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_a_body_keeps_the_length_that_it_names() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({})).await;
    tool.answer(Answer::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\netag: \"a\"\r\n\r\n".to_vec()));
    let head = through.call("HEAD", "/x", &[], "").await.expect(200);
    assert_eq!((head.header("content-length"), head.header("etag")), (Some("10"), Some("\"a\"")));
    tool.answer(Answer::Bytes(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec()));
    let head = through.call("HEAD", "/x", &[], "").await.expect(200);
    assert_ne!(head.header("content-length"), Some("0"), "nobody knows the length of what GET would give");
    tool.answer(Answer::with(304, &[("etag", "\"a\"")]));
    let fresh = through.call("GET", "/x", &[("if-none-match", "\"a\"")], "").await.expect(304);
    assert_eq!((fresh.header("etag"), fresh.header("content-length")), (Some("\"a\""), None));
    assert_eq!(tool.asked()[2].header("if-none-match"), "\"a\"");
    through.recorded(3, "code is null and answer_bytes = 0").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_is_free_when_its_application_has_gone_and_old_rows_go() {
    let mut consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({ "max_concurrency": 1 })).await;
    tool.answer_next(Answer::Silence);
    let stream = begin(&consign, &through, "content-length: 0").await;
    tool.until_asked(1).await;
    drop(stream);
    through.recorded(1, "status is null and code = 'client_gone'").await;
    through.call("GET", "/x", &[], "").await.expect(200);
    through.recorded(1, "status = 200").await;

    let id = through.id.clone();
    let old = "update gateway_call set started_at = 1000, id = 'att_00000000000000000000000000' where status is null";
    consign.database.execute(old).await;
    consign.restart().await;
    let left = format!("select count(*) from gateway_call where connector_id = '{id}'");
    crate::harness::eventually("the old row to go", async || {
        (consign.database.number(&left).await == 1).then_some(())
    })
    .await;
    consign.finish().await;
}
