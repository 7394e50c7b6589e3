//! Every hostile reply is what its name says, as a raw client sees it.

use std::io;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::http;
use crate::peers::token_endpoint::{
    BODY_BYTES_MAX, EVIL_PATH, Expected, MARKER, Reply, TokenEndpoint, UNANSWERED, hostile_replies, token,
};
use crate::peers::{Answer, secured};

/// For an answer that is expected.
const PATIENCE: Duration = Duration::from_secs(40);
/// For one that goes on, or never goes on: long enough for its start.
const START: Duration = Duration::from_secs(2);

/// What a raw client sees of one request.
#[derive(Debug)]
enum Seen {
    NoConnection(io::ErrorKind),
    NoAnswerToConnecting,
    NoTls(String),
    /// So much came; whether the other side said that this was all.
    Bytes(Vec<u8>, Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// With TLS's own farewell.
    Well,
    /// Not within the client's patience.
    Waiting,
    /// Too much to go on reading.
    Flooded,
    /// As the length said.
    Complete,
}

/// How a reply of the threat model looks.
enum Shape {
    /// The start of the head, and something that stands in the whole.
    Answer(&'static str, &'static str),
    Other(fn(&Seen) -> bool),
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_reply_of_the_threat_model_has_the_shape_of_its_name() {
    use Shape::{Answer, Other};
    let shapes = [
        ("H01", Other(|seen| matches!(seen, Seen::NoConnection(io::ErrorKind::ConnectionRefused)))),
        ("H02", Other(|seen| matches!(seen, Seen::NoAnswerToConnecting))),
        ("H03", Other(|seen| matches!(seen, Seen::NoTls(text) if text.contains("not valid for name")))),
        ("H04", Other(|seen| matches!(seen, Seen::NoTls(text) if text.contains("UnknownIssuer")))),
        ("H05", Other(|seen| head_only(seen) && ended(seen) == Some(Ended::Waiting))),
        ("H06", Other(|seen| bytes(seen).len() < 4 && ended(seen) == Some(Ended::Waiting))),
        ("H07", Answer("HTTP/1.1 200", "transfer-encoding: chunked\r\n\r\n1\r\na\r\n1\r\na\r\n")),
        ("H08", Other(|seen| ended(seen) == Some(Ended::Flooded) && has(seen, "content-length: 1073741824"))),
        ("H09", Other(|seen| has(seen, "content-encoding: gzip") && body(seen).starts_with(b"\x1f\x8b"))),
        ("H10 redirect 301", Answer("HTTP/1.1 301", "location: /evil")),
        ("H10 redirect 302", Answer("HTTP/1.1 302", "location: /evil")),
        ("H10 redirect 303", Answer("HTTP/1.1 303", "location: /evil")),
        ("H10 redirect 307", Answer("HTTP/1.1 307", "location: /evil")),
        ("H10 redirect 308", Answer("HTTP/1.1 308", "location: /evil")),
        ("H11", Other(|seen| is_old_without_length(seen) && ended(seen) == Some(Ended::Well))),
        ("H12", Other(|seen| text(seen).matches("content-length: ").count() == 2)),
        ("H13", Answer("HTTP/1.1 200", "content-type: text/html")),
        ("H14", Answer("HTTP/1.1 200", "\r\n\r\naccess_token=Zq7")),
        ("H15", Answer("HTTP/1.1 200", "content-length: 0\r\n\r\n")),
        ("H16", Answer("HTTP/1.1 204", "\r\n\r\n")),
        ("H17", Answer("HTTP/1.1 400", "\"error\":\"invalid_client\"")),
        ("H18", Answer("HTTP/1.1 400", "\"error\":\"invalid_grant\"")),
        ("H19", Answer("HTTP/1.1 401", "www-authenticate: Basic")),
        ("H20", Answer("HTTP/1.1 429", "retry-after: 7")),
        ("H21", Answer("HTTP/1.1 500", "\"error\":\"server_error\"")),
        ("H22", Answer("HTTP/1.1 503", "\r\n\r\n")),
    ];
    let rows = hostile_replies();
    let mut endpoint = TokenEndpoint::start().await;
    for (name, reply, _) in rows.iter().filter(|(name, ..)| is_of_the_threat_model(name)) {
        let mut known = shapes.iter().filter(|(start, _)| name.starts_with(start));
        let (_, shape) = known.next().unwrap_or_else(|| panic!("no shape for {name}"));
        endpoint.reply(reply).await;
        let seen = look(&endpoint, START).await;
        let fits = match shape {
            Answer(start, part) => text(&seen).starts_with(start) && has(&seen, part),
            Other(fits) => fits(&seen),
        };
        assert!(fits, "{name}: {}", shortened(&seen));
    }
    for (start, _) in shapes {
        assert!(rows.iter().any(|(name, ..)| name.starts_with(start)), "{start} is missing");
    }
    assert!(endpoint.asked().iter().all(|asked| asked.target != EVIL_PATH));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_class_of_a_reply_fits_what_is_seen_of_it() {
    let mut endpoint = TokenEndpoint::start().await;
    for (name, reply, expected) in hostile_replies() {
        endpoint.reply(&reply).await;
        // What does not come whole is not waited for.
        let patience = if expected == Expected::Transient { UNANSWERED } else { PATIENCE };
        let seen = look(&endpoint, patience).await;
        let fits = match expected {
            // Time may help where nothing whole came, or where the other side says so.
            Expected::Transient => whole(&seen).is_none_or(|(status, body)| {
                body.is_empty() || matches!(status, 408 | 425 | 429) || status >= 500
            }),
            Expected::Refused | Expected::GrantEnded => {
                whole(&seen).is_some_and(|(status, _)| (200..500).contains(&status))
            }
            Expected::Works => whole(&seen).is_some_and(|(status, body)| {
                let body: Value = serde_json::from_slice(&body).unwrap();
                let access_token = body["access_token"].as_str().unwrap_or_default();
                matches!(status, 200 | 201)
                    && access_token.starts_with(MARKER)
                    && body["token_type"].as_str().is_some_and(|word| word.eq_ignore_ascii_case("bearer"))
            }),
        };
        assert!(fits, "{name}: {expected:?}: {}", shortened(&seen));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_unique_and_an_endpoint_recovers_at_the_same_address() {
    let rows = hostile_replies();
    let mut names: Vec<_> = rows.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len());

    let mut endpoint = TokenEndpoint::start().await;
    let url = endpoint.token_url();
    for reply in [Reply::NoListener, Reply::BlackHole, Reply::WrongName, Reply::SelfSigned] {
        endpoint.reply(&reply).await;
        assert!(whole(&look(&endpoint, PATIENCE).await).is_none(), "{reply:?}");
        let two = vec![Answer::status(503), token(&serde_json::json!({ "scope": "read" }))];
        endpoint.reply(&Reply::Answers(two)).await;
        for expected in [503, 200, 200] {
            let (status, _) = whole(&look(&endpoint, PATIENCE).await).expect("an answer");
            assert_eq!(status, expected, "after {reply:?}");
        }
    }
    assert_eq!(endpoint.token_url(), url);
    assert_eq!(endpoint.asked().len(), 12);
    assert_eq!(endpoint.asked()[0].body, b"grant_type=client_credentials");
}

/// Asks once, and reads until it is clear how the answer is.
async fn look(endpoint: &TokenEndpoint, patience: Duration) -> Seen {
    let address = endpoint.address();
    let stream = match tokio::time::timeout(UNANSWERED, http::connect(address)).await {
        Err(_) => return Seen::NoAnswerToConnecting,
        Ok(Err(error)) => return Seen::NoConnection(error.kind()),
        Ok(Ok(stream)) => stream,
    };
    let mut stream = match secured(stream).await {
        Err(error) => return Seen::NoTls(error.to_string()),
        Ok(stream) => stream,
    };
    let form = "grant_type=client_credentials";
    let head = format!("POST /token HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n\r\n", form.len());
    stream.write_all(format!("{head}{form}").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let ended = tokio::time::timeout(patience, read(&mut stream, &mut bytes)).await;
    let ended = ended.unwrap_or(Ended::Waiting);
    Seen::Bytes(bytes, ended)
}

async fn read(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Ended {
    loop {
        if is_complete(bytes) {
            return Ended::Complete;
        }
        if bytes.len() > BODY_BYTES_MAX * 2 {
            return Ended::Flooded;
        }
        if stream.read_buf(bytes).await.unwrap() == 0 {
            return Ended::Well;
        }
    }
}

/// Status and body of an answer that came whole and is not too large.
fn whole(seen: &Seen) -> Option<(u16, Vec<u8>)> {
    let text = text(seen);
    let old = text.starts_with("HTTP/1.0 ") && ended(seen) == Some(Ended::Well);
    let two = text.matches("content-length: ").count() > 1;
    if two || !(old || ended(seen) == Some(Ended::Complete) || is_complete(bytes(seen))) {
        return None;
    }
    let status = text.split(' ').nth(1)?.parse().ok()?;
    let body = body(seen);
    (body.len() <= BODY_BYTES_MAX).then(|| (status, body.to_vec()))
}

/// Whether all of the body is there, by its one length.
fn is_complete(bytes: &[u8]) -> bool {
    let Some(end) = end_of_head(bytes) else { return false };
    let head = String::from_utf8_lossy(&bytes[..end]);
    if head.starts_with("HTTP/1.1 204") {
        return true;
    }
    let lengths: Vec<usize> =
        head.lines().filter_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).collect();
    matches!(lengths[..], [length] if bytes.len() - end >= length)
}

/// Where the body starts.
fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

fn is_of_the_threat_model(name: &str) -> bool {
    name.starts_with('H') && name[1..].starts_with(|c: char| c.is_ascii_digit())
}

fn bytes(seen: &Seen) -> &[u8] {
    match seen {
        Seen::Bytes(bytes, _) => bytes,
        Seen::NoConnection(_) | Seen::NoAnswerToConnecting | Seen::NoTls(_) => &[],
    }
}

fn ended(seen: &Seen) -> Option<Ended> {
    match seen {
        Seen::Bytes(_, ended) => Some(*ended),
        Seen::NoConnection(_) | Seen::NoAnswerToConnecting | Seen::NoTls(_) => None,
    }
}

fn text(seen: &Seen) -> String {
    String::from_utf8_lossy(bytes(seen)).into_owned()
}

fn has(seen: &Seen, part: &str) -> bool {
    text(seen).contains(part)
}

fn body(seen: &Seen) -> &[u8] {
    let bytes = bytes(seen);
    &bytes[end_of_head(bytes).unwrap_or(bytes.len())..]
}

fn head_only(seen: &Seen) -> bool {
    end_of_head(bytes(seen)) == Some(bytes(seen).len())
}

fn is_old_without_length(seen: &Seen) -> bool {
    text(seen).starts_with("HTTP/1.0 200") && !has(seen, "content-length") && has(seen, MARKER)
}

fn shortened(seen: &Seen) -> String {
    match seen {
        Seen::Bytes(bytes, ended) => {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]).into_owned();
            format!("{} bytes, {ended:?}: {start:?}", bytes.len())
        }
        other => format!("{other:?}"),
    }
}
