//! Servers that stall, flood, lie and hang up.

use std::io;

use consign_core::delivery::{NoAnswer, Unreached};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpSocket;

use super::peer::*;
use super::*;

const PACE: Duration = Duration::from_millis(10);

#[track_caller]
fn check(sent: &Sent, expected: &Outcome, detail: &str) {
    assert_eq!(sent.outcome, *expected, "{}", sent.detail);
    assert!(sent.detail.contains(detail), "{}", sent.detail);
    assert!(!format!("{sent:?}").contains("Y2FuYXJ5"), "{sent:?}");
}

const ACCEPTED: Outcome = Outcome::Accepted { status: 200 };
const LOST: Outcome = Outcome::Unanswered { reason: NoAnswer::ConnectionLost };
const TIMED_OUT: Outcome = Outcome::Unanswered { reason: NoAnswer::TimedOut };

#[tokio::test]
async fn an_answer_at_once() {
    let peer = Peer::answering(good(), OK).await;
    let sent = send(&peer.network(), &peer.access(), &PATIENT).await;
    check(&sent, &ACCEPTED, "The tool answered 200.");
    let answer = sent.answer.unwrap();
    assert_eq!((answer.status, &answer.body[..]), (200, &b"ok"[..]));
    let timing = sent.timing;
    assert!(timing.dns.is_some() && timing.connect.is_some() && timing.tls.is_some() && !timing.reused);
    assert!(timing.first_byte.unwrap() + timing.body.unwrap() <= timing.total);
    assert_eq!(sent.request_bytes, peer.requests()[0].len() as u64);
}

#[tokio::test]
async fn every_status_is_an_answer() {
    for (status, accepted) in [
        (201, true),
        (204, true),
        (299, true),
        (400, false),
        (401, false),
        (429, false),
        (503, false),
        (599, false),
    ] {
        let peer = Peer::answering(
            good(),
            format!("HTTP/1.1 {status} X\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n"),
        )
        .await;
        let sent = send(&peer.network(), &peer.access(), &PATIENT).await;
        match sent.outcome {
            Outcome::Accepted { status: seen } => assert!(accepted && seen == status),
            Outcome::Rejected { status: seen, wait } => {
                assert!(!accepted && seen == status);
                assert!(status != 429 || wait == Some(Duration::from_secs(120)), "{wait:?}");
            }
            other => panic!("{status}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let answer = [b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n", OK].concat();
    let peer = Peer::answering(good(), answer).await;
    check(&send(&peer.network(), &peer.access(), &PATIENT).await, &ACCEPTED, "200");
}

#[tokio::test]
async fn an_echo_stays_out_of_words_and_debug() {
    let peer = Peer::start(good(), |mut stream, seen| async move {
        let request = seen.read(&mut stream).await?.unwrap_or_default();
        let echo = String::from_utf8_lossy(&request).replace("\r\n", "|");
        let head =
            format!("HTTP/1.1 500 {CANARY}\r\nx-echo: {echo}\r\ncontent-length: {}\r\n\r\n", echo.len());
        stream.write_all((head + &echo).as_bytes()).await
    })
    .await;
    let sent = send(&peer.network(), &peer.access(), &PATIENT).await;
    check(&sent, &Outcome::Rejected { status: 500, wait: None }, "The tool answered 500.");
    assert!(String::from_utf8_lossy(&sent.answer.unwrap().body).contains(CANARY));
}

#[tokio::test]
async fn silence_is_a_time_out_and_ends_the_connection() {
    let ended = Arc::new(tokio::sync::Notify::new());
    let told = Arc::clone(&ended);
    let peer = Peer::start(good(), move |mut stream, seen| {
        let told = Arc::clone(&told);
        async move {
            seen.read(&mut stream).await?;
            // Reads on until the other side hangs up.
            let next = seen.read(&mut stream).await;
            told.notify_one();
            next.map(drop)
        }
    })
    .await;
    let network = peer.network();
    warm(&network, &peer.access()).await;
    let sent = send(&network, &peer.access(), &BRIEF).await;
    check(&sent, &TIMED_OUT, "did not answer within 150 ms");
    tokio::time::timeout(PATIENT.timeout, ended.notified()).await.unwrap();
    assert_eq!(peer.requests().len(), 1);
}

#[tokio::test]
async fn a_head_that_drips_is_a_time_out() {
    let peer = Peer::start(good(), |mut stream, seen| async move {
        seen.read(&mut stream).await?;
        for byte in OK {
            stream.write_all(&[*byte]).await?;
            tokio::time::sleep(PACE).await;
        }
        Ok(())
    })
    .await;
    let network = peer.network();
    warm(&network, &peer.access()).await;
    check(&send(&network, &peer.access(), &BRIEF).await, &TIMED_OUT, "did not answer");
}

/// The server writes `start`, then `more` again and again, until it is stopped; returns how much it wrote.
async fn flood(
    start: &'static [u8],
    more: Vec<u8>,
    pace: Option<Duration>,
) -> (Peer, Arc<std::sync::atomic::AtomicUsize>) {
    let written = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let more: Arc<[u8]> = more.into();
    let peer = Peer::start(good(), move |mut stream, seen| {
        let (counter, more) = (Arc::clone(&counter), Arc::clone(&more));
        async move {
            seen.read(&mut stream).await?;
            stream.write_all(start).await?;
            for _ in 0..1 << 20 {
                stream.write_all(&more).await?;
                counter.fetch_add(more.len(), std::sync::atomic::Ordering::SeqCst);
                if let Some(pace) = pace {
                    stream.flush().await?;
                    tokio::time::sleep(pace).await;
                }
            }
            Ok(())
        }
    })
    .await;
    (peer, written)
}

#[tokio::test]
async fn a_body_that_never_ends_is_an_answer() {
    let (peer, _) =
        flood(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n".to_vec(), Some(PACE))
            .await;
    let network = peer.network();
    warm(&network, &peer.access()).await;
    let sent = send(&network, &peer.access(), &BRIEF).await;
    check(&sent, &ACCEPTED, "Its answer did not end within 150 ms.");
    assert!(sent.answer.unwrap().body.iter().all(|byte| *byte == b'x'));
}

#[tokio::test]
async fn a_gibibyte_is_read_to_the_limit() {
    for head in [&b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n"[..], b"HTTP/1.1 200 OK\r\n\r\n"] {
        let (peer, written) = flood(head, vec![b'x'; 1 << 10], None).await;
        let network = peer.network();
        let sent = send(&network, &peer.access(), &PATIENT).await;
        check(&sent, &ACCEPTED, "longer than 65536 bytes");
        assert_eq!(sent.answer.unwrap().body.len(), PATIENT.answer_bytes_max);
        assert_eq!(network.idle_connections(), 0);
        assert!(written.load(std::sync::atomic::Ordering::SeqCst) < 32 << 20);
    }
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_is_complete() {
    let body = vec![b'y'; PATIENT.answer_bytes_max];
    let answer =
        [format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len()).as_bytes(), &body].concat();
    let peer = Peer::answering(good(), answer).await;
    let sent = send(&peer.network(), &peer.access(), &PATIENT).await;
    check(&sent, &ACCEPTED, "The tool answered 200.");
    assert_eq!(sent.answer.unwrap().body, body);
}

#[tokio::test]
async fn a_compressed_body_is_not_unpacked() {
    let peer = Peer::answering(
        good(),
        "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\n\x1f\x08ab",
    )
    .await;
    let sent = send(&peer.network(), &peer.access(), &PATIENT).await;
    assert_eq!(sent.answer.unwrap().body, &b"\x1f\x08ab"[..]);
}

#[tokio::test]
async fn endless_heads_are_no_answers() {
    for (line, most) in [(b"x: y\r\n".to_vec(), 10_000 * 6), (vec![b'x'; 1 << 10], 1 << 20)] {
        let (peer, written) = flood(b"HTTP/1.1 200 OK\r\n", line, None).await;
        check(&send(&peer.network(), &peer.access(), &PATIENT).await, &LOST, "longer head");
        assert!(written.load(std::sync::atomic::Ordering::SeqCst) < 32 << 20, "{most}");
    }
    for head in ["x: y\r\n".repeat(10_000), "x: y\r\n".repeat(101), format!("x: {}\r\n", "y".repeat(1 << 20))]
    {
        let peer =
            Peer::answering(good(), format!("HTTP/1.1 200 OK\r\n{head}content-length: 0\r\n\r\n")).await;
        check(&send(&peer.network(), &peer.access(), &PATIENT).await, &LOST, "longer head");
    }
}

#[tokio::test]
async fn hanging_up_before_the_head_is_no_answer() {
    for start in [&b""[..], b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\ncontent-le"] {
        let peer = Peer::start(good(), move |mut stream, seen| async move {
            seen.read(&mut stream).await?;
            stream.write_all(start).await?;
            stream.shutdown().await
        })
        .await;
        check(
            &send(&peer.network(), &peer.access(), &PATIENT).await,
            &LOST,
            "ended the connection without an answer",
        );
        assert_eq!((peer.accepted(), peer.requests().len()), (1, 1), "sent once");
    }
}

#[tokio::test]
async fn hanging_up_within_the_body_is_an_answer() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let peer = Peer::start(good(), move |mut stream, seen| async move {
            seen.read(&mut stream).await?;
            let answer = format!("HTTP/1.1 503 X\r\nretry-after: 9\r\n{head}\r\n\r\n5\r\nhello\r\n");
            stream.write_all(answer.as_bytes()).await?;
            stream.flush().await
        })
        .await;
        let network = peer.network();
        let sent = send(&network, &peer.access(), &PATIENT).await;
        let rejected = Outcome::Rejected { status: 503, wait: Some(Duration::from_secs(9)) };
        check(&sent, &rejected, "The connection ended within its answer.");
        assert_eq!(network.idle_connections(), 0);
    }
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    let peer = Peer::answering(good(), "220 mail.example.org ESMTP\r\n\r\n").await;
    check(&send(&peer.network(), &peer.access(), &PATIENT).await, &LOST, "no HTTP answer");
}

#[tokio::test]
async fn redirects_are_told_and_not_followed() {
    let other = Peer::answering(good(), OK).await;
    let there = format!("https://{}/elsewhere?token=1", other.address);
    for (status, location, host) in [
        (301, there.as_str(), "127.0.0.1"),
        (302, there.as_str(), "127.0.0.1"),
        (303, "/elsewhere", NAME),
        (307, there.as_str(), "127.0.0.1"),
        (308, "//b.example.org/x", "b.example.org"),
        (302, "http://c.example.org", "c.example.org"),
    ] {
        let answer = format!(
            "HTTP/1.1 {status} X\r\nlocation: {location}\r\nrefresh: 0;url={there}\r\n\
             content-length: 0\r\n\r\n"
        );
        let peer = Peer::answering(good(), answer).await;
        let sent = send(&peer.network(), &peer.access(), &PATIENT).await;
        let words = format!(
            "The tool sends us on to {host} ({status}). Redirects are not followed. Update the address."
        );
        assert_eq!(sent.detail, words);
        assert_eq!(sent.outcome, Outcome::Rejected { status, wait: None });
        assert_eq!((peer.requests().len(), other.accepted()), (1, 0));
    }
}

#[tokio::test]
async fn a_listener_that_never_accepts() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    // Room for one connection; more are not even answered.
    let listener = socket.listen(0).unwrap();
    let access = access(origin(NAME, listener.local_addr().unwrap().port()));
    let mut settings = settings(&[&format!("{NAME}:*")]);
    settings.connect_timeout = Duration::from_millis(100);
    let network = network(settings);
    let stalled = send(&network, &access, &PATIENT).await;
    check(
        &stalled,
        &Outcome::Unreachable { reason: Unreached::Tls },
        "did not finish the secure connection within 100 ms",
    );
    let unanswered = send(&network, &access, &PATIENT).await;
    check(
        &unanswered,
        &Outcome::Unreachable { reason: Unreached::Connect },
        "did not answer within 100 ms. A firewall",
    );
    let hurried = Limits { timeout: Duration::from_millis(50), ..PATIENT };
    let unanswered = send(&network, &access, &hurried).await;
    check(&unanswered, &Outcome::Unreachable { reason: Unreached::Connect }, "did not answer within");
    assert!(unanswered.timing.total < Duration::from_secs(5));
}

#[tokio::test]
async fn nobody_listens_and_nobody_is_found() {
    let peer =
        Peer::start_plain(std::net::Ipv4Addr::LOCALHOST, |_, _| async { Ok::<(), io::Error>(()) }).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let sent = send(&peer.network(), &access(origin(NAME, free)), &PATIENT).await;
    check(&sent, &Outcome::Unreachable { reason: Unreached::Connect }, "refused the connection");
    let mut network = peer.network();
    network.guard.script(|_| Vec::new());
    let sent = send(&network, &peer.access(), &PATIENT).await;
    check(
        &sent,
        &Outcome::Unreachable { reason: Unreached::Name },
        "No address found for tool.example.org. Check",
    );
    assert_eq!((peer.accepted(), sent.request_bytes), (0, 0));
}
