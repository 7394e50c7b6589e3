//! The bytes at the server: one request line, each header once, nothing that was not asked for.

use ::http::header::AUTHORIZATION;
use ::http::{HeaderName, HeaderValue, Method};
use consign_core::delivery::Refusal;
use consign_core::secret::Secret;
use consign_core::target::RemotePath;

use super::peer::*;
use super::*;

#[tokio::test]
async fn a_request_byte_for_byte() {
    let peer = Peer::answering(good(), OK).await;
    let mut access = peer.access();
    access.headers.push((HeaderName::from_static("x-api-key"), HeaderValue::from_static("k 1")));
    access.path = Some(Secret::new("/secret/?code=1".to_owned()));
    let mut message = message("/v1/hook?x=(1)&y=%20");
    message.headers.push((AUTHORIZATION, HeaderValue::from_static("Bearer forged")));
    message.headers.push((HeaderName::from_static("x-api-key"), HeaderValue::from_static("forged")));
    let sent = peer.network().send(&access, &message, Bytes::from_static(b"{}"), &PATIENT, NOW).await;
    assert_eq!(sent.outcome, Outcome::Accepted { status: 200 });
    let expected = format!(
        "POST /secret/v1/hook?code=1&x=(1)&y=%20 HTTP/1.1\r\nhost: {NAME}:{}\r\n\
         content-type: application/json\r\nwebhook-id: dlv_1\r\nauthorization: {CANARY}\r\n\
         x-api-key: k 1\r\ncontent-length: 2\r\n\r\n{{}}",
        peer.address.port()
    );
    assert_eq!(String::from_utf8_lossy(&peer.requests()[0]), expected);
    assert_eq!(sent.request_bytes, expected.len() as u64);
}

#[tokio::test]
async fn methods_and_their_lengths() {
    let peer = Peer::answering(good(), OK).await;
    let network = peer.network();
    for (method, body, length) in [
        (Method::GET, "", None),
        (Method::DELETE, "", None),
        (Method::POST, "", Some("0")),
        (Method::PUT, "", Some("0")),
        (Method::PATCH, "abc", Some("3")),
        (Method::DELETE, "abc", Some("3")),
    ] {
        let message = Message { method: method.clone(), path: RemotePath::root(), headers: Vec::new() };
        let sent = network.send(&peer.access(), &message, Bytes::from(body), &PATIENT, NOW).await;
        assert_eq!(sent.outcome, Outcome::Accepted { status: 200 });
        let request = String::from_utf8(peer.requests().pop().unwrap()).unwrap();
        assert!(request.starts_with(&format!("{method} / HTTP/1.1\r\nhost: ")), "{request}");
        assert_eq!(request.matches("content-length").count(), usize::from(length.is_some()), "{request}");
        assert!(length.is_none_or(|length| request.contains(&format!("content-length: {length}\r\n"))));
        assert!(
            request.ends_with(&format!("\r\n\r\n{body}")) && !request.contains("transfer-encoding"),
            "{request}"
        );
        assert_eq!(sent.request_bytes, request.len() as u64);
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_before_any_connection() {
    let peer = Peer::answering(good(), OK).await;
    let network = peer.network();
    let refused = |name: &'static str, value: &'static [u8]| {
        let mut access = peer.access();
        access.headers.push((HeaderName::from_static(name), HeaderValue::from_bytes(value).unwrap()));
        access
    };
    for access in [
        refused("host", b"evil.example.net"),
        refused("content-length", b"1"),
        refused("transfer-encoding", b"chunked"),
        refused("connection", b"close"),
        refused("te", b"trailers"),
        refused("upgrade", b"h2c"),
        refused("expect", b"100-continue"),
        refused("accept-encoding", b"gzip"),
        refused("proxy-authorization", b"x"),
        refused("keep-alive", b"x"),
        refused("x-tab", b"a\tb"),
        refused("x-high", b"caf\xe9"),
        refused("x-edge", b" a"),
        refused("x-edge", b"a "),
    ] {
        let sent = send(&network, &access, &PATIENT).await;
        assert!(
            matches!(&sent.outcome, Outcome::Refused { refusal: Refusal::NotRendered(_) }),
            "{:?}",
            sent.outcome
        );
        assert!(!sent.detail.contains("evil") && sent.request_bytes == 0);
    }
    assert_eq!(peer.accepted(), 0);
}
