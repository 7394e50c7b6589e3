//! Bodies that are made while they are sent: whole or broken off, and never held.

use consign_core::delivery::NoAnswer;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::peer::*;
use super::*;

const STILL_MAX: Duration = Duration::from_millis(600);
const PIECE: usize = 64 << 10;

/// Reads everything and answers when the last bytes are there.
async fn reading_until(end: &'static [u8]) -> Peer {
    Peer::start(good(), move |mut stream, seen| async move {
        let mut read = Vec::new();
        while stream.read_buf(&mut read).await? > 0 {
            if read.ends_with(end) {
                seen.write_down(std::mem::take(&mut read));
                stream.write_all(OK).await?;
            }
        }
        seen.write_down(read);
        Ok(())
    })
    .await
}

async fn send_stream(peer: &Peer, body: Stream) -> Sent {
    peer.network().send_stream(&peer.access(), &message("/bulk"), body, &PATIENT, NOW).await
}

#[tokio::test]
async fn a_stream_of_known_length() {
    let peer = reading_until(b"the end").await;
    let (pieces, body) = Stream::new(Some(12), STILL_MAX);
    let sending = body.sending();
    let made = tokio::spawn(async move {
        pieces.send(Bytes::from_static(b"This ")).await.unwrap();
        pieces.send(Bytes::from_static(b"the end")).await.unwrap();
        pieces.end().await
    });
    let sent = send_stream(&peer, body).await;
    assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
    drop(made.await);
    let request = String::from_utf8(peer.requests().remove(0)).unwrap();
    assert!(
        request.contains("content-length: 12\r\n") && request.ends_with("\r\n\r\nThis the end"),
        "{request}"
    );
    assert_eq!((sending.bytes(), sent.request_bytes), (12, request.len() as u64));
}

#[tokio::test]
async fn a_stream_of_unknown_length() {
    let peer = reading_until(b"0\r\n\r\n").await;
    let (pieces, body) = Stream::new(None, STILL_MAX);
    tokio::spawn(async move {
        pieces.send(Bytes::from_static(b"abc")).await.unwrap();
        pieces.end().await.unwrap();
    });
    let sent = send_stream(&peer, body).await;
    assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
    let request = String::from_utf8(peer.requests().remove(0)).unwrap();
    assert!(
        request.contains("transfer-encoding: chunked\r\n") && request.ends_with("3\r\nabc\r\n0\r\n\r\n"),
        "{request}"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_is_not_whole() {
    for length in [None, Some(1_000)] {
        let peer = reading_until(b"0\r\n\r\n").await;
        let (pieces, body) = Stream::new(length, STILL_MAX);
        tokio::spawn(async move {
            pieces.send(Bytes::from_static(b"abc")).await.unwrap();
            // Gone without its end.
        });
        let sent = send_stream(&peer, body).await;
        assert_eq!(sent.outcome, Outcome::Unanswered { reason: NoAnswer::ConnectionLost }, "{}", sent.detail);
        for request in peer.requests() {
            assert!(!request.ends_with(b"0\r\n\r\n"), "{}", String::from_utf8_lossy(&request));
        }
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_holds_the_stream_back() {
    let peer = Peer::start(good(), |stream, _| async move {
        let _open = stream;
        std::future::pending().await
    })
    .await;
    let (pieces, body) = Stream::new(None, STILL_MAX);
    let made = tokio::spawn(async move {
        let mut made = 0_usize;
        while pieces.send(Bytes::from(vec![0; PIECE])).await.is_ok() {
            made += PIECE;
        }
        made
    });
    let sent = send_stream(&peer, body).await;
    assert_eq!(sent.outcome, Outcome::Unanswered { reason: NoAnswer::TimedOut }, "{}", sent.detail);
    // What the two sockets on loopback hold, and little more.
    let made = made.await.unwrap();
    assert!(made < 32 << 20, "{made} bytes were made for a peer that reads none");
}

#[tokio::test]
async fn an_answer_before_the_end_ends_the_stream() {
    let peer = Peer::start(good(), |mut stream, _| async move {
        let mut some = [0; 64];
        stream.read_exact(&mut some).await?;
        stream.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await?;
        while stream.read(&mut some).await? > 0 {}
        Ok(())
    })
    .await;
    let (pieces, body) = Stream::new(None, STILL_MAX);
    let made = tokio::spawn(async move { while pieces.send(Bytes::from(vec![0; PIECE])).await.is_ok() {} });
    let sent = send_stream(&peer, body).await;
    assert_eq!(sent.outcome, Outcome::Rejected { status: 413, wait: None }, "{}", sent.detail);
    tokio::time::timeout(Duration::from_secs(10), made)
        .await
        .expect("the stream ends with the request")
        .unwrap();
}

#[tokio::test]
async fn a_stream_goes_on_a_fresh_connection_when_the_kept_one_is_dead() {
    let ended = Arc::new(Notify::new());
    let gone = ended.clone();
    let peer = Peer::start(good(), move |mut stream, seen| {
        let gone = gone.clone();
        async move {
            // One request on each connection, which is closed behind our back.
            if seen.read(&mut stream).await?.is_some() {
                stream.write_all(OK).await?;
            }
            drop(stream);
            gone.notify_one();
            Ok(())
        }
    })
    .await;
    let network = peer.network();
    assert_eq!(send(&network, &peer.access(), &PATIENT).await.outcome, Outcome::Accepted { status: 200 });
    ended.notified().await;
    let (pieces, body) = Stream::new(Some(3), STILL_MAX);
    tokio::spawn(async move {
        pieces.send(Bytes::from_static(b"abc")).await.unwrap();
        // The request may be over by then.
        let _: Result<(), Closed> = pieces.end().await;
    });
    let sent = network.send_stream(&peer.access(), &message("/bulk"), body, &PATIENT, NOW).await;
    assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
    assert!(peer.requests()[1].ends_with(b"\r\n\r\nabc"));
}
