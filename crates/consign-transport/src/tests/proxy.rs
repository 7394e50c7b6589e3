//! Through a proxy: what it is asked, what goes through it, and what it may answer.

use std::net::Ipv4Addr;

use consign_core::delivery::{Refusal, Unreached};
use consign_core::secret::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::peer::*;
use super::*;

/// A proxy that writes down what it is asked, and answers so; behind a success it leads to this port, or says what stands
/// there instead.
struct Scripted {
    port: u16,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
}

enum Then {
    Lead(u16),
    Say(&'static [u8]),
    Wait,
    HangUp,
}

impl Scripted {
    async fn start(answer: &'static [u8], then: Then) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<std::sync::Mutex<Vec<String>>>::default();
        let (written, then) = (asked.clone(), Arc::new(then));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, answer, then.clone(), written.clone()));
            }
        });
        Self { port, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Behind it: only the name of the proxy is found.
    fn network(&self, login: Option<&str>, exceptions: &[&str], rules: &[&str]) -> Network {
        let exceptions: Vec<_> = exceptions.iter().map(|text| (*text).to_owned()).collect();
        let login = login.map(|text| Secret::new(text.to_owned()));
        let address = format!("http://proxy.example:{}", self.port);
        let proxy = Proxy::parse(&address, login.as_ref(), &exceptions).map_err(|(_, fault)| fault).unwrap();
        let mut network = Network::new(Settings { proxy: Some(Arc::new(proxy)), ..settings(rules) });
        network.guard.script(|name| match name {
            "proxy.example" => vec![Ipv4Addr::LOCALHOST.into()],
            _ => Vec::new(),
        });
        network
    }
}

async fn serve(
    mut stream: TcpStream,
    answer: &'static [u8],
    then: Arc<Then>,
    asked: Arc<std::sync::Mutex<Vec<String>>>,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    asked.lock().unwrap().push(String::from_utf8(head).unwrap());
    match &*then {
        Then::Lead(port) => {
            stream.write_all(answer).await?;
            let mut there = onward(*port).await?;
            tokio::io::copy_bidirectional(&mut stream, &mut there).await.map(drop)
        }
        Then::Say(bytes) => {
            stream.write_all(&[answer, bytes].concat()).await?;
            stream.read_to_end(&mut Vec::new()).await.map(drop)
        }
        Then::Wait => {
            stream.write_all(answer).await?;
            std::future::pending().await
        }
        Then::HangUp => stream.write_all(answer).await,
    }
}

#[expect(clippy::disallowed_methods, reason = "a proxy of a test")]
async fn onward(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
}

const WAY: &[u8] = b"HTTP/1.1 200 Connection established\r\nvia: 1.1 proxy\r\n\r\n";
/// The same behind answers that are none yet.
const WAY_AT_LAST: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\nx: y\r\n\r\n\
    HTTP/1.1 200 Connection established\r\n\r\n";

#[tokio::test]
async fn requests_go_through_it_and_the_tool_is_verified() {
    let tool = Peer::answering(good(), OK).await;
    let proxy = Scripted::start(WAY, Then::Lead(tool.address.port())).await;
    let network = proxy.network(Some("ana:pa ss"), &[], &[]);
    let there = access(origin(NAME, 443));
    for _ in 0..2 {
        let sent = send(&network, &there, &PATIENT).await;
        assert_eq!(sent.answer.as_ref().map(|answer| answer.status), Some(200), "{}", sent.detail);
    }
    // One way for both, and the name is the proxy's to find.
    let head = format!(
        "CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\nProxy-Authorization: Basic YW5hOnBhIHNz\r\n\r\n"
    );
    assert_eq!(proxy.asked(), [head]);
    let request = String::from_utf8(tool.requests()[0].clone()).unwrap();
    assert!(request.contains(CANARY) && !request.to_lowercase().contains("proxy"), "{request}");

    // Whoever stands at the other end must be the tool all the same.
    let other = access(origin("other.example.org", 443));
    let sent = send(&network, &other, &PATIENT).await;
    assert!(matches!(sent.outcome, Outcome::Unreachable { reason: Unreached::Tls }), "{sent:?}");
    assert_eq!(tool.requests().len(), 2, "nothing is said to another");
}

#[tokio::test]
async fn what_it_answers_is_said_in_words() {
    let long: &'static [u8] =
        Box::leak([b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'a'; 20_000]].concat().into_boxed_slice());
    let endless: &'static [u8] = Box::leak(b"HTTP/1.1 102 Processing\r\n\r\n".repeat(100).into_boxed_slice());
    for (answer, words) in [
        (
            b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n".as_slice(),
            "asks for sign-in (407). See Settings > Egress.",
        ),
        (
            b"HTTP/1.0 403 Forbidden\r\nx: y\r\n\r\n<html>",
            "does not let this server reach tool.example.org:443 (403).",
        ),
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "could not reach tool.example.org:443 (502)."),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "answered something that is not HTTP."),
        (b"HTTP/1.1 2000 OK\r\n\r\n", "answered something that is not HTTP."),
        (b"HTTP/1.1 \r\n\r\n", "answered something that is not HTTP."),
        (long, "answered something that is not HTTP."),
        (
            b"HTTP/1.1 200 OK\r\n",
            "was reached and did not open the way to tool.example.org:443 within 1 s. The destination may be slow",
        ),
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n",
            "does not let this server reach tool.example.org:443 (403).",
        ),
        (
            b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
            "does not let this server reach tool.example.org:443 (101).",
        ),
        (endless, "answered something that is not HTTP."),
    ] {
        let proxy = Scripted::start(answer, Then::Wait).await;
        let mut network = proxy.network(None, &[], &[]);
        network.connect_timeout = Duration::from_secs(1);
        let sent = send(&network, &access(origin(NAME, 443)), &PATIENT).await;
        assert!(
            sent.detail.starts_with("The company proxy ") && sent.detail.contains(words),
            "{}",
            sent.detail
        );
        assert!(matches!(sent.outcome, Outcome::Unreachable { reason: Unreached::Connect }), "{sent:?}");
        assert_eq!(sent.request_bytes, 0);
    }
    let proxy = Scripted::start(b"", Then::HangUp).await;
    let sent = send(&proxy.network(None, &[], &[]), &access(origin(NAME, 443)), &PATIENT).await;
    assert!(
        sent.detail.contains("was reached and ended the connection before it answered"),
        "{}",
        sent.detail
    );
    let proxy = Scripted::start(WAY, Then::Wait).await;
    let mut gone = proxy.network(None, &[], &[]);
    gone.guard.script(|_| Vec::new());
    let sent = send(&gone, &access(origin(NAME, 443)), &PATIENT).await;
    assert!(sent.detail.contains("cannot be reached: its name was not found."), "{}", sent.detail);
}

#[tokio::test]
async fn what_is_closed_is_not_asked_for() {
    let proxy = Scripted::start(WAY, Then::Wait).await;
    let network = proxy.network(None, &[], &["!closed.example:443"]);
    for host in ["169.254.169.254", "[::1]", "10.0.0.1", "localhost", "closed.example", "printer"] {
        let sent = send(&network, &access(origin(host, 443)), &PATIENT).await;
        let closed = matches!(sent.outcome, Outcome::Refused { refusal: Refusal::DestinationBlocked(_) });
        assert!(closed, "{host}: {sent:?}");
    }
    assert_eq!(proxy.asked(), [""; 0]);
}

#[tokio::test]
async fn exceptions_are_reached_without_it_and_judged_as_ever() {
    let tool = Peer::answering(good(), OK).await;
    let proxy = Scripted::start(WAY, Then::Wait).await;
    let mut network = proxy.network(None, &[".example.org"], &["127.0.0.0/8:*"]);
    network.guard.script(|_| vec![Ipv4Addr::LOCALHOST.into()]);
    let there = access(origin(NAME, tool.address.port()));
    let sent = send(&network, &there, &PATIENT).await;
    assert_eq!(sent.answer.as_ref().map(|answer| answer.status), Some(200), "{}", sent.detail);
    let mut closed = proxy.network(None, &[".example.org"], &[]);
    closed.guard.script(|_| vec![Ipv4Addr::LOCALHOST.into()]);
    let sent = send(&closed, &there, &PATIENT).await;
    assert!(matches!(sent.outcome, Outcome::Refused { .. }), "{sent:?}");
    assert_eq!(proxy.asked(), [""; 0]);
}

/// A server of SSH speaks first: what comes at once behind the answer of the proxy is its greeting.
#[tokio::test]
async fn what_comes_behind_the_answer_is_the_destinations() {
    for way in [WAY, WAY_AT_LAST] {
        greeted(way).await;
    }
}

async fn greeted(way: &'static [u8]) {
    let proxy = Scripted::start(way, Then::Say(b"SSH-2.0-Peer\r\n")).await;
    let network = proxy.network(None, &[], &["files.example:22"]);
    let (host, mut timing) = (Host::parse("files.example").unwrap(), Timing::default());
    let limit = Duration::from_secs(5);
    let dialled = guard::dial(&network.guard, &host, 22, limit, now() + limit, &mut timing).await;
    let mut greeting = [0; 14];
    dialled.unwrap().read_exact(&mut greeting).await.unwrap();
    assert_eq!(&greeting, b"SSH-2.0-Peer\r\n");
    assert_eq!(proxy.asked(), ["CONNECT files.example:22 HTTP/1.1\r\nHost: files.example:22\r\n\r\n"]);
}
