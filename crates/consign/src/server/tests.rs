use std::net::Ipv4Addr;

use axum::routing::{get, post};
use http::HeaderMap;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;

use super::*;

/// A front on loopback that talks to a raw socket, and what stops it.
struct Running {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<()>,
    _folder: Folder,
}

struct Folder(std::path::PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn start(name: &str) -> Running {
    let folder = Folder(std::env::temp_dir().join(format!("consign-server-{name}-{}", std::process::id())));
    std::fs::create_dir_all(&folder.0).unwrap();
    let url = format!("sqlite:{}", folder.0.join("consign.db").display());
    let store = Store::open(&consign_store::DatabaseUrl::parse(&url).unwrap(), 2).await.unwrap();
    let router = Router::new()
        .route(
            "/",
            get(async |request: axum::extract::Request| {
                let peer = request.extensions().get::<PeerAddress>().unwrap().0;
                peer.ip().to_string()
            }),
        )
        .route("/echo", post(async |body: bytes::Bytes| body))
        .route("/panic", get(async || -> &'static str { panic!("canary") }));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(Front::plain(store, router).serve(listener, async {
        let _ = stopped.await;
    }));
    Running { address, stop, task, _folder: folder }
}

#[expect(clippy::disallowed_methods, reason = "a raw socket to the server under test")]
async fn ask(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    // A server that refuses a head does not read the rest of it, which may reset the connection.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test]
async fn every_answer_has_a_request_id_and_a_panic_is_a_500() {
    let running = start("answers").await;
    let good = ask(running.address, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&good), "200");
    assert!(good.contains("x-request-id: req_") && good.ends_with("127.0.0.1"), "{good}");
    assert!(!good.contains("strict-transport-security"));
    let broken = ask(running.address, b"GET /panic HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!(status(&broken), "500");
    assert!(broken.contains("\"request_id\":\"req_") && !broken.contains("canary"), "{broken}");
    let body = ask(
        running.address,
        b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    )
    .await;
    assert!(body.ends_with("hello"), "{body}");
}

#[tokio::test]
async fn heads_have_limits() {
    let running = start("limits").await;
    let many: String = (0..120).map(|n| format!("X-{n}: 1\r\n")).collect();
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n");
    assert_eq!(status(&ask(running.address, request.as_bytes()).await), "431");
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(80 << 10));
    let refused = ask(running.address, request.as_bytes()).await;
    assert!(refused.is_empty() || status(&refused) == "431", "{refused}");
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "raw sockets to the server under test")]
async fn stopping_ends_kept_connections_and_accepts_no_more() {
    let running = start("stop").await;
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"127.0.0.1") {
        assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "the connection is kept");
    }
    running.stop.send(()).unwrap();
    running.task.await.unwrap();
    assert_eq!(stream.read_buf(&mut answer).await.unwrap(), 0, "the kept connection is closed");
    assert!(TcpStream::connect(running.address).await.is_err());
}

fn check(peer: &str, read: &'static str, sent: &[(&'static str, &str)], trusted: &[&str], expected: &str) {
    // Each character is a byte.
    let bytes = |text: &str| text.chars().map(|one| u8::try_from(one).unwrap()).collect::<Vec<_>>();
    let value = |text: &str| HeaderValue::from_bytes(&bytes(text)).unwrap();
    let sent = sent.iter().map(|(name, text)| (HeaderName::from_static(name), value(text)));
    let headers: HeaderMap = sent.collect();
    let trusted = trusted.iter().map(|text| text.parse().unwrap()).collect();
    let proxies = Proxies { trusted, header: read };
    let address = client::address(SocketAddr::new(peer.parse().unwrap(), 4711), &headers, &proxies);
    assert_eq!(address.ip().to_string(), expected, "{headers:?}");
}

#[test]
fn only_trusted_proxies_name_the_client() {
    let check_for = |peer, value: &str, trusted: &[&str], expected| {
        check(peer, "x-forwarded-for", &[("x-forwarded-for", value)], trusted, expected);
    };
    check_for("203.0.113.9", "198.51.100.1", &[], "203.0.113.9");
    check_for("203.0.113.9", "198.51.100.1", &["10.0.0.0/8"], "203.0.113.9");
    check_for("10.0.0.1", "198.51.100.1", &["10.0.0.0/8"], "198.51.100.1");
    // What the client itself put into the list stands before what the proxy saw.
    check_for("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", &["10.0.0.0/8"], "198.51.100.1");
    check_for("10.0.0.1", "198.51.100.1, nonsense", &["10.0.0.0/8"], "10.0.0.1");
    // Nor does a byte of it hide what the proxy saw.
    check_for("10.0.0.1", "\u{e9}, 203.0.113.9", &["10.0.0.0/8"], "203.0.113.9");
    check_for("10.0.0.1", "\u{e9}, 203.0.113.9, 10.0.0.2", &["10.0.0.0/8"], "203.0.113.9");
    check("10.0.0.1", "x-forwarded-for", &[], &["10.0.0.0/8"], "10.0.0.1");
    // A listener for both families shows IPv4 in the form of IPv6.
    check_for("::ffff:203.0.113.9", "198.51.100.1", &[], "203.0.113.9");
    check_for("::ffff:10.0.0.1", "::ffff:198.51.100.1", &["10.0.0.0/8"], "198.51.100.1");
    let forwarded = ("forwarded", "for=1.1.1.1, for=\"[2001:db8::7]:4711\";proto=https");
    check("10.0.0.1", "forwarded", &[forwarded], &["10.0.0.0/8"], "2001:db8::7");
}

#[test]
fn quotes_of_forwarded_are_respected_and_hide_nothing_that_a_proxy_added() {
    let check_forwarded = |lines: &[&str], expected| {
        let sent: Vec<_> = lines.iter().map(|line| ("forwarded", *line)).collect();
        check("10.0.0.1", "forwarded", &sent, &["10.0.0.0/8"], expected);
    };
    check_forwarded(&["for=\u{e9}, for=203.0.113.9"], "203.0.113.9");
    check_forwarded(&["for=10.0.0.2;host=\"a, for=198.51.100.1\""], "10.0.0.2");
    check_forwarded(&["host=\"a;for=198.51.100.1\";for=203.0.113.9"], "203.0.113.9");
    check_forwarded(&[r#"for=203.0.113.9;host="a\", for=198.51.100.1, \\""#], "203.0.113.9");
    check_forwarded(&["for=203.0.113.9", "for=\"10.0.0.2:80\";by=\"_a,b\""], "203.0.113.9");
    // A client chooses the bytes of its Host, may leave a quote open, or end in a backslash.
    check_forwarded(&["for=203.0.113.9;host=\"\u{e9}\""], "203.0.113.9");
    check_forwarded(&["for=\", for=203.0.113.9"], "203.0.113.9");
    check_forwarded(&["for=\", for=\"203.0.113.9:4711\";proto=https"], "203.0.113.9");
    check_forwarded(&[r#"for="\, for="203.0.113.9:4711""#], "203.0.113.9");
    check_forwarded(&["for=\"198.51.100.1, for=10.0.0.2"], "10.0.0.2");
}

/// A proxy passes on what it does not write: the header that it does not write is the client's own.
#[test]
fn one_header_names_the_client_and_no_other() {
    let (of_proxy, of_client) = (("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=10.20.0.5"));
    check("10.0.0.1", "x-forwarded-for", &[of_client, of_proxy], &["10.0.0.1"], "203.0.113.9");
    check("10.0.0.1", "x-forwarded-for", &[of_client], &["10.0.0.1"], "10.0.0.1");
    let (of_proxy, of_client) = (("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "10.20.0.5"));
    check("10.0.0.1", "forwarded", &[of_client, of_proxy], &["10.0.0.1"], "203.0.113.9");
}

#[test]
fn routes_and_methods_are_closed_sets() {
    assert_eq!(part_of("/api/v1/anything/at/all"), "/api/");
    assert_eq!(part_of("/whatever"), "console");
    assert_eq!(method_label(&Method::from_bytes(b"INVENTED").unwrap()), "other");
}
