//! Answers of tools on their way: secrets in them are hidden, they stream, and one that breaks off is never taken for
//! the whole.

use std::io::Write as _;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gateway_calls::{Through, own};
use crate::harness::http::connect;
use crate::harness::{TestConsign, basic};
use crate::peers::{Answer, Tool};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
/// The end of a chunked body.
const LAST_CHUNK: &str = "0\r\n\r\n";

/// Bytes in chunks of so many.
fn chunks(bytes: &[u8], size: usize) -> Vec<u8> {
    let mut all = Vec::new();
    for chunk in bytes.chunks(size) {
        all.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        all.extend_from_slice(chunk);
        all.extend_from_slice(b"\r\n");
    }
    all
}

fn answer(headers: &str, body: &[u8]) -> Answer {
    let head =
        format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n", body.len());
    Answer::Bytes([head.as_bytes(), body].concat())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A call on a raw connection.
async fn begin(consign: &TestConsign, through: &Through<'_>, version: &str) -> TcpStream {
    let mut stream = connect(consign.address()).await.unwrap();
    let head = format!(
        "GET /gateway/itsm/x HTTP/{version}\r\nhost: consign\r\nauthorization: Bearer {}\r\n\r\n",
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

/// Reads to the end: what came, and whether the end was a clean one.
async fn read_to_end(stream: &mut TcpStream) -> (String, bool) {
    let mut seen = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut seen)).await.unwrap();
    (String::from_utf8_lossy(&seen).into_owned(), ended.is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_shows_no_secret_and_is_marked() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let password = consign.canaries.plant_within("password", "p\u{e4}ss: ", " \"/+");
    let credential = basic("itsm", &tool.origin(), "ana", &password);
    let through = Through::with(&consign, &credential, &json!({})).await;
    let sent = BASE64_STANDARD.encode(format!("ana:{password}"));

    // As the tool got it, in headers and body; `finish` looks for it in every answer.
    tool.answer(Answer::Echo(500));
    let reply = through.call("POST", "/x", &[], "body").await.expect(500);
    assert!(reply.header("x-echo-authorization").unwrap().contains("****"), "{:?}", reply.headers);
    assert!(reply.text().contains("****"), "{}", reply.text());

    let plain = format!("before {sent} {password} after");
    let (encoded, zipped) = (zstd::encode_all(plain.as_bytes(), 3).unwrap(), gzip(plain.as_bytes()));
    let mut split = CHUNKED.as_bytes().to_vec();
    split.extend_from_slice(&chunks(plain.as_bytes(), 1));
    split.extend_from_slice(LAST_CHUNK.as_bytes());
    for (what, given) in [
        ("plain", answer("", plain.as_bytes())),
        ("byte by byte", Answer::Bytes(split)),
        ("gzip", answer("content-encoding: gzip\r\n", &zipped)),
        ("zstd", answer("content-encoding: zstd\r\n", &encoded)),
    ] {
        tool.answer(given);
        let reply = through.get("/x").await.expect(200);
        let text = reply.text();
        assert_eq!(reply.body.len(), plain.len(), "{what}: {text}");
        assert!(text.starts_with("before ") && text.ends_with("** after"), "{what}: {text}");
        assert!(!text.contains(&sent[sent.len() - 8..]), "{what}: {text}");
        assert!(reply.header("content-encoding").is_none(), "{what}");
    }
    through.recorded(5, "hidden = 1").await;

    tool.answer(answer("", b"nothing of the kind"));
    through.get("/x").await.expect(200);
    through.recorded(1, "hidden = 0 and status = 200").await;

    // What cannot be searched is not passed on, unless nobody wants it searched.
    for headers in
        ["content-encoding: br\r\n", "content-encoding: gzip, gzip\r\n", "content-encoding: deflate\r\n"]
    {
        tool.answer(answer(headers, b"whatever"));
        assert_eq!(own(&through.get("/x").await, 502), "tool_unreachable", "{headers}");
    }
    consign.patch("/gateways/itsm", &json!({ "scrub_answers": false })).await.expect(200);
    tool.answer(answer("content-encoding: br\r\n", b"whatever"));
    let reply = through.call("GET", "/x", &[("accept-encoding", "br")], "").await.expect(200);
    assert_eq!((reply.header("content-encoding"), reply.text().as_str()), (Some("br"), "whatever"));
    assert_eq!(tool.asked().last().unwrap().header("accept-encoding"), "br");
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_arrive_one_by_one_and_end_with_the_key() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({})).await;
    let first = [CHUNKED.as_bytes(), &chunks(b"data: 1\n\n", 64)].concat();
    tool.answer(Answer::Stall(first));
    let mut stream = begin(&consign, &through, "1.1").await;
    let seen = read_until(&mut stream, "data: 1\n\n").await;
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");

    let keys = consign.get("/api-keys").await.expect(200).json();
    let keys = keys["items"].as_array().unwrap().clone();
    let key = keys.iter().find(|key| key["name"] == "key for gateway:call").unwrap();
    consign
        .call("DELETE", &format!("/api-keys/{}", key["id"].as_str().unwrap()), &[("if-match", "*")], None)
        .await
        .expect(204);
    let (rest, _) = read_to_end(&mut stream).await;
    assert!(!rest.contains(LAST_CHUNK), "{rest}");
    assert_eq!(own(&through.get("/x").await, 401), "key_not_accepted");
    through.recorded(1, "status = 200 and code = 'cut' and answer_bytes = 9").await;
    consign.finish().await;
}

/// A stream may have no end of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_ends_when_its_gateway_is_paused_or_deleted() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({})).await;
    let first = [CHUNKED.as_bytes(), &chunks(b"data: 1\n\n", 64)].concat();
    tool.answer(Answer::Stall(first));
    let ends = async |stop: &str, path: &str| {
        let mut stream = begin(&consign, &through, "1.1").await;
        read_until(&mut stream, "data: 1\n\n").await;
        consign.call(stop, path, &[("if-match", "*")], None).await.expect(200);
        let (rest, _) = read_to_end(&mut stream).await;
        assert!(!rest.contains(LAST_CHUNK), "{path}: {rest}");
    };
    for path in ["/gateways/itsm/pauses", "/sending-pauses"] {
        ends("POST", path).await;
        consign.call("DELETE", path, &[], None).await;
    }
    ends("DELETE", "/gateways/itsm").await;
    through.recorded(3, "status = 200 and code = 'cut' and answer_bytes = 9").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_answer_never_looks_whole() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({ "idle_seconds": 1 })).await;
    let some = [CHUNKED.as_bytes(), &chunks(b"half of it", 64)].concat();
    let zipped = gzip(&vec![b'a'; 100_000]);
    let zipped = [
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n".as_slice(),
        &chunks(&zipped[..zipped.len() - 9], 4_096),
        LAST_CHUNK.as_bytes(),
    ]
    .concat();
    let rows = [
        ("hung up within a length", Answer::Cut),
        ("hung up within chunks", Answer::Bytes(some.clone())),
        ("silent for too long", Answer::Stall(some.clone())),
        ("cut before it was compressed", Answer::Bytes(zipped)),
    ];
    for (what, given) in &rows {
        for version in ["1.1", "1.0"] {
            tool.answer(given.clone());
            let mut stream = begin(&consign, &through, version).await;
            let (seen, clean) = read_to_end(&mut stream).await;
            assert!(!seen.contains(LAST_CHUNK), "{what}, {version}: {seen}");
            assert!(
                !clean,
                "{what}, {version}: the end of the connection looks like the end of the answer: {seen}"
            );
        }
    }
    through.recorded(8, "status = 200 and code = 'cut'").await;
    consign.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_go_through_in_pieces() {
    let consign = TestConsign::start().await;
    let tool = Tool::start().await;
    let (through, _) = Through::to(&consign, &tool, &json!({})).await;
    let body: Vec<u8> = (0..20_u32 << 20).map(|place| u8::try_from(place % 251).unwrap()).collect();
    tool.answer(answer("", &body));
    let reply = through.call("POST", "/x", &[], body.clone()).await.expect(200);
    assert!(reply.body == body, "{} bytes came back", reply.body.len());
    assert!(tool.asked()[0].body == body);

    // A body whose length nobody knows.
    tool.answer(Answer::status(200));
    let mut stream = connect(consign.address()).await.unwrap();
    let head = format!(
        "POST /gateway/itsm/y HTTP/1.1\r\nhost: consign\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
         authorization: Bearer {}\r\n\r\n",
        through.key
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&chunks(&body[..3 << 20], 64 << 10)).await.unwrap();
    stream.write_all(LAST_CHUNK.as_bytes()).await.unwrap();
    let (seen, _) = read_to_end(&mut stream).await;
    assert!(seen.starts_with("HTTP/1.1 200 OK\r\n"), "{seen}");
    let asked = &tool.asked()[1];
    assert_eq!(asked.header("transfer-encoding"), "chunked");
    assert!(asked.body == body[..3 << 20], "{} bytes arrived", asked.body.len());
    through.recorded(1, "path = '/x' and request_bytes = 20971520 and answer_bytes = 20971520").await;
    through.recorded(1, "path = '/y' and request_bytes = 3145728 and status = 200").await;

    // Whoever hangs up is not waited for.
    tool.answer(Answer::Endless);
    let mut stream = begin(&consign, &through, "1.1").await;
    read_until(&mut stream, "1\r\na\r\n").await;
    drop(stream);
    through.recorded(1, "status = 200 and code = 'client_gone' and answer_bytes > 0").await;
    consign.finish().await;
}
