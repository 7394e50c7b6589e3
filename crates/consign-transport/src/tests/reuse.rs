//! Kept connections: as few as possible, none of them stale, no request twice.

use std::collections::BTreeMap;
use std::convert::Infallible;

use ::http::{Request, Response};
use consign_core::delivery::NoAnswer;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Barrier;

use super::peer::*;
use super::*;

const ACCEPTED: Outcome = Outcome::Accepted { status: 200 };

/// What HTTP/2 requests looked like: `host` header, authorization values, path, body.
type Seen2 = Arc<std::sync::Mutex<Vec<(bool, usize, String, Bytes)>>>;

async fn http2_peer(streams_max: u32, barrier: Option<Arc<Barrier>>) -> (Peer, Seen2) {
    let mut config = good();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let seen: Seen2 = Arc::default();
    let written = Arc::clone(&seen);
    let peer = Peer::start(config, move |stream, _| {
        let (seen, barrier) = (Arc::clone(&written), barrier.clone());
        async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let (seen, barrier) = (Arc::clone(&seen), barrier.clone());
                async move {
                    let headers = request.headers();
                    let proofs =
                        headers.get_all("authorization").iter().filter(|value| *value == CANARY).count();
                    let (host, uri) = (headers.contains_key("host"), request.uri().to_string());
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let warming = uri.ends_with("/warm");
                    seen.lock().unwrap().push((host, proofs, uri, body));
                    if let Some(barrier) = barrier.filter(|_| !warming) {
                        barrier.wait().await;
                    }
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                }
            });
            let mut builder = http2::Builder::new(TokioExecutor::new());
            builder.max_concurrent_streams(streams_max);
            drop(builder.serve_connection(TokioIo::new(stream), service).await);
            Ok(())
        }
    })
    .await;
    (peer, seen)
}

#[tokio::test]
async fn a_hundred_requests_on_one_connection() {
    let peer = Peer::answering(good(), OK).await;
    let network = peer.network();
    for number in 0..100 {
        let sent = send(&network, &peer.access(), &PATIENT).await;
        assert_eq!((sent.outcome, sent.timing.reused), (ACCEPTED, number > 0));
    }
    assert_eq!((peer.accepted(), peer.requests().len(), network.idle_connections()), (1, 100, 1));
    network.close();
    assert_eq!(network.idle_connections(), 0);
    assert_eq!(send(&network, &peer.access(), &PATIENT).await.outcome, ACCEPTED);
    assert_eq!(peer.accepted(), 2);
}

#[tokio::test]
async fn chunked_and_empty_answers_keep_the_connection() {
    for answer in [
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 404 X\r\ncontent-length: 3\r\n\r\nabc",
    ] {
        let peer = Peer::answering(good(), answer).await;
        let network = peer.network();
        for _ in 0..20 {
            assert!(send(&network, &peer.access(), &PATIENT).await.outcome.status().is_some());
        }
        assert_eq!((peer.accepted(), peer.requests().len()), (1, 20), "{answer}");
    }
}

#[tokio::test]
async fn close_means_close() {
    let peer =
        Peer::answering(good(), "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await;
    let network = peer.network();
    for _ in 0..3 {
        assert_eq!(send(&network, &peer.access(), &PATIENT).await.outcome, ACCEPTED);
    }
    assert_eq!((peer.accepted(), network.idle_connections()), (3, 0));
}

#[tokio::test]
async fn origins_do_not_share_connections() {
    let (one, two) = (Peer::answering(good(), OK).await, Peer::answering(good(), OK).await);
    let network = one.network();
    for _ in 0..3 {
        assert_eq!(send(&network, &one.access(), &PATIENT).await.outcome, ACCEPTED);
        assert_eq!(send(&network, &two.access(), &PATIENT).await.outcome, ACCEPTED);
    }
    assert_eq!((one.requests().len(), two.requests().len(), network.idle_connections()), (3, 3, 2));
}

#[tokio::test]
async fn connections_grow_old() {
    let (peer, _) = http2_peer(100, None).await;
    let plain = Peer::answering(good(), OK).await;
    let network = peer.network();
    for access in [peer.access(), plain.access()] {
        assert_eq!(send(&network, &access, &PATIENT).await.outcome, ACCEPTED);
        assert!(
            network
                .pool
                .lane(&access.origin, None)
                .take(now())
                .is_some_and(|lease| lease.is_http2() == (access.origin == peer.origin()))
        );
        assert_eq!(send(&network, &access, &PATIENT).await.outcome, ACCEPTED);
    }
    assert_eq!(network.idle_connections(), 2);
    assert!(network.pool.sweep(now() + Duration::from_secs(60)), "still kept");
    assert_eq!(network.idle_connections(), 2);
    assert!(
        network.pool.lane(&plain.origin(), None).take(now() + Duration::from_secs(76)).is_none(),
        "idle for too long"
    );
    assert!(
        network.pool.lane(&peer.origin(), None).take(now() + Duration::from_secs(601)).is_none(),
        "too old"
    );
    assert!(!network.pool.sweep(now() + Duration::from_secs(76)), "nothing left to sweep");
}

#[tokio::test]
async fn the_time_that_a_server_keeps_a_connection_is_kept() {
    let peer = Peer::answering(
        good(),
        "HTTP/1.1 200 OK\r\nkeep-alive: timeout=5, max=100\r\ncontent-length: 0\r\n\r\n",
    )
    .await;
    let network = peer.network();
    for (seconds, kept) in [(3, true), (5, false)] {
        assert_eq!(send(&network, &peer.access(), &PATIENT).await.outcome, ACCEPTED);
        let lease = network.pool.lane(&peer.origin(), None).take(now() + Duration::from_secs(seconds));
        assert_eq!(lease.is_some(), kept, "{seconds}");
    }
}

#[tokio::test]
async fn a_connection_that_died_while_idle_costs_nothing() {
    let peer = Peer::start(good(), |mut stream, seen| async move {
        seen.read(&mut stream).await?;
        stream.write_all(OK).await?;
        stream.shutdown().await
    })
    .await;
    let network = peer.network();
    for round in 1..=5 {
        let sent = send(&network, &peer.access(), &PATIENT).await;
        assert_eq!((sent.outcome, sent.timing.reused), (ACCEPTED, false));
        while network.pool.sweep(now()) {
            tokio::task::yield_now().await;
        }
        assert_eq!((peer.accepted(), peer.requests().len()), (round, round), "delivered once");
    }
}

#[tokio::test]
async fn a_connection_that_dies_while_it_is_taken_never_doubles_a_request() {
    let peer = Peer::start(good(), |mut stream, seen| async move {
        seen.read(&mut stream).await?;
        stream.write_all(OK).await?;
        stream.shutdown().await
    })
    .await;
    let network = peer.network();
    let mut outcomes = BTreeMap::new();
    for number in 0..100 {
        let body = Bytes::from(format!("{{\"n\":{number}}}"));
        let sent = network.send(&peer.access(), &message("/hook"), body.clone(), &PATIENT, NOW).await;
        let seen = peer.requests().iter().filter(|request| request.ends_with(&body)).count();
        match sent.outcome {
            Outcome::Accepted { .. } => assert_eq!(seen, 1, "delivered once"),
            Outcome::Unanswered { reason: NoAnswer::ConnectionLost } => assert!(seen <= 1),
            other => panic!("{other:?}"),
        }
        *outcomes.entry(seen).or_insert(0) += 1;
    }
    assert!(outcomes[&1] >= 50, "{outcomes:?}");
}

#[tokio::test]
async fn a_request_that_a_dead_connection_hands_back_is_sent_once_more() {
    let (peer_ready, closed) = (std::sync::mpsc::channel(), std::sync::mpsc::channel());
    let (tell_ready, tell_closed) = (peer_ready.0, closed.0);
    // The server has a thread of its own, so that it can close while nothing runs here.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let peer = Peer::start(good(), move |mut stream, seen| {
                let tell_closed = tell_closed.clone();
                async move {
                    seen.read(&mut stream).await?;
                    stream.write_all(OK).await?;
                    stream.shutdown().await?;
                    drop(stream);
                    tell_closed.send(()).map_err(std::io::Error::other)
                }
            })
            .await;
            tell_ready.send(peer).unwrap();
            std::future::pending::<()>().await;
        });
    });
    let peer = peer_ready.1.recv().unwrap();
    let network = peer.network();
    for round in 1..=20 {
        let sent = send(&network, &peer.access(), &PATIENT).await;
        assert_eq!((sent.outcome, sent.timing.reused), (ACCEPTED, false), "{}", sent.detail);
        assert_eq!((peer.accepted(), peer.requests().len()), (round, round), "delivered once");
        closed.1.recv().unwrap();
        // The end of the connection is seen, but its task runs only when the next request was handed to it.
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn http2_shares_one_connection() {
    let (peer, seen) = http2_peer(200, Some(Arc::new(Barrier::new(50)))).await;
    let network = Arc::new(peer.network());
    // All at one time, and none before the last has arrived: the first connection carries them all.
    let requests: Vec<_> = (0..50)
        .map(|_| {
            let (network, access) = (Arc::clone(&network), peer.access());
            tokio::spawn(async move { send(&network, &access, &PATIENT).await.outcome })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), ACCEPTED);
    }
    assert_eq!((peer.accepted(), network.idle_connections()), (1, 1));
    for (host, proofs, uri, body) in seen.lock().unwrap().iter() {
        assert_eq!((*host, *proofs, &body[..]), (false, 1, &b"{\"n\":1}"[..]));
        assert_eq!(*uri, format!("https://{NAME}:{}/hook", peer.address.port()));
    }
}

#[tokio::test]
async fn http2_one_after_the_other() {
    let (peer, seen) = http2_peer(100, None).await;
    let network = peer.network();
    for number in 0..100 {
        let sent = send(&network, &peer.access(), &PATIENT).await;
        assert_eq!((sent.outcome, sent.timing.reused), (ACCEPTED, number > 0));
    }
    assert_eq!((peer.accepted(), seen.lock().unwrap().len()), (1, 100));
}

#[tokio::test]
async fn http2_respects_the_limit_of_streams() {
    let (peer, seen) = http2_peer(2, None).await;
    let network = Arc::new(peer.network());
    let requests: Vec<_> = (0..40)
        .map(|_| {
            let (network, access) = (Arc::clone(&network), peer.access());
            tokio::spawn(async move { send(&network, &access, &PATIENT).await.outcome })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), ACCEPTED);
    }
    assert_eq!(seen.lock().unwrap().len(), 40);
}

#[tokio::test]
async fn http2_without_an_answer_in_time_gives_up_its_connection() {
    let (peer, _) = http2_peer(100, Some(Arc::new(Barrier::new(2)))).await;
    let network = peer.network();
    warm(&network, &peer.access()).await;
    let sent = send(&network, &peer.access(), &BRIEF).await;
    assert_eq!(sent.outcome, Outcome::Unanswered { reason: NoAnswer::TimedOut });
    assert_eq!(network.idle_connections(), 0);
    assert!(network.pool.lane(&peer.origin(), None).take(now()).is_none());
}

/// A frame of HTTP/2 (RFC 9113 section 4.1) without flags.
fn frame(kind: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, 0, 0, 0, 0, stream];
    frame.extend_from_slice(payload);
    frame
}

/// Answers the first request with these frames, and ends the connection.
async fn http2_ending_with(frames: Vec<u8>) -> Peer {
    let mut config = good();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Peer::start(config, move |mut stream, _| {
        let frames = frames.clone();
        async move {
            let settings = frame(4, 0, &[]);
            stream.write_all(&settings).await?;
            let mut read = Vec::new();
            // The body is the last that comes.
            while !read.ends_with(b"{\"n\":1}") {
                if stream.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
            }
            stream.write_all(&frames).await?;
            stream.shutdown().await
        }
    })
    .await
}

#[tokio::test]
async fn http2_a_refused_stream_was_not_sent() {
    let reset = |reason: u8| frame(3, 1, &[0, 0, 0, reason]);
    let go_away = |last: u8, reason: u8| frame(7, 0, &[0, 0, 0, last, 0, 0, 0, reason]);
    let (refused_stream, cancel, enhance_your_calm) = (7, 8, 11);
    let not_sent = Outcome::Unreachable { reason: consign_core::delivery::Unreached::Connect };
    let lost = Outcome::Unanswered { reason: NoAnswer::ConnectionLost };
    for (name, frames, outcome) in [
        ("refused", reset(refused_stream), &not_sent),
        ("beyond the last stream", go_away(0, 0), &not_sent),
        ("beyond the last stream of an error", go_away(0, enhance_your_calm), &not_sent),
        // These may have been processed.
        ("cancelled", reset(cancel), &lost),
        ("the last stream itself", go_away(1, 0), &lost),
        ("the last stream itself, of an error", go_away(1, enhance_your_calm), &lost),
        ("refused after a GOAWAY", [go_away(1, 0), reset(refused_stream)].concat(), &not_sent),
        ("the connection ends", Vec::new(), &lost),
    ] {
        let peer = http2_ending_with(frames).await;
        let network = peer.network();
        let sent = send(&network, &peer.access(), &PATIENT).await;
        assert_eq!(&sent.outcome, outcome, "{name}: {}", sent.detail);
        assert_eq!((sent.request_bytes == 0, peer.accepted()), (outcome == &not_sent, 1), "{name}");
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_ends_the_connection() {
    let peer = Peer::start(good(), |mut stream, _| async move {
        stream.read_exact(&mut [0; 4]).await?;
        stream.write_all(b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n").await?;
        std::future::pending().await
    })
    .await;
    let network = peer.network();
    let body = Bytes::from(vec![b'x'; 32 << 20]);
    let sent = network.send(&peer.access(), &message("/hook"), body, &PATIENT, NOW).await;
    assert_eq!(sent.outcome, Outcome::Rejected { status: 413, wait: None });
    assert_eq!((peer.accepted(), network.idle_connections()), (1, 0));
}
