//! Certificates and versions: what is refused before a byte of the request leaves, and how it is said.

use std::net::Ipv4Addr;

use consign_core::delivery::Unreached;
use rcgen::{DnType, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::peer::*;
use super::*;

/// The server has no chance to read a request: the handshake ends first.
async fn check_refused(config: ServerConfig, settings: Settings, words: &str) {
    let peer = Peer::answering(config, OK).await;
    let sent = send(&network(settings), &peer.access(), &PATIENT).await;
    assert_eq!(sent.outcome, Outcome::Unreachable { reason: Unreached::Tls }, "{}", sent.detail);
    assert!(sent.detail.contains(words), "{}", sent.detail);
    assert_eq!((peer.requests().len(), sent.request_bytes), (0, 0));
}

fn trusting() -> Settings {
    settings(&["tool.example.org:*"])
}

#[tokio::test]
async fn certificates_that_ended_or_have_not_begun() {
    let ended = AUTHORITY.config(&[NAME], |params| params.not_after = date_time_ymd(2020, 2, 3));
    check_refused(ended, trusting(), "The certificate of tool.example.org ended on 2020-02-03.").await;
    let later = AUTHORITY.config(&[NAME], |params| params.not_before = date_time_ymd(2999, 1, 1));
    check_refused(later, trusting(), "The certificate of tool.example.org is not valid before 2999-01-01.")
        .await;
}

#[tokio::test]
async fn certificates_for_other_names() {
    let words = "The certificate is for a.example.net, b.example.net, not tool.example.org.";
    check_refused(AUTHORITY.config(&["a.example.net", "b.example.net"], |_| {}), trusting(), words).await;
    for names in [
        &["example.org"][..],
        &["*.tool.example.org"],
        &["tool.example.org.evil.example.net"],
        &["127.0.0.1"],
        &[],
    ] {
        check_refused(AUTHORITY.config(names, |_| {}), trusting(), "The certificate is for").await;
    }
    // A common name is no name.
    let common = AUTHORITY
        .config(&["a.example.net"], |params| params.distinguished_name.push(DnType::CommonName, NAME));
    check_refused(common, trusting(), "The certificate is for a.example.net").await;
}

#[tokio::test]
async fn certificates_for_an_address() {
    let peer = Peer::answering(AUTHORITY.config(&["127.0.0.1"], |_| {}), OK).await;
    let network = network(settings(&["127.0.0.1:*"]));
    let access = access(origin("127.0.0.1", peer.address.port()));
    assert_eq!(send(&network, &access, &PATIENT).await.outcome, Outcome::Accepted { status: 200 });
    let named = Peer::answering(good(), OK).await;
    let access = Access { origin: origin("127.0.0.1", named.address.port()), ..access };
    let sent = send(&network, &access, &PATIENT).await;
    assert_eq!(sent.detail, "The certificate is for tool.example.org, not 127.0.0.1.");
}

#[tokio::test]
async fn authorities_that_nobody_trusts() {
    let stranger = Authority::new("Stranger \u{202e}Inc.");
    let words = "tool.example.org uses a certificate from an authority this server does not trust: \
                 Stranger Inc.. Add your company's CA with egress.ca_file.";
    check_refused(stranger.config(&[NAME], |_| {}), trusting(), words).await;
    // The same name with another key.
    let impostor = Authority::new("Loopback Authority");
    check_refused(impostor.config(&[NAME], |_| {}), trusting(), "").await;
    let key = KeyPair::generate().unwrap();
    let own = params(&[NAME]).self_signed(&key).unwrap();
    let own = config(own.der().clone(), &key, &[&rustls::version::TLS13]);
    check_refused(own, trusting(), "does not trust").await;
    let nobody = Settings { extra_roots: Vec::new(), ..trusting() };
    check_refused(good(), nobody, "This server trusts no certificate authority.").await;
}

#[tokio::test]
async fn authorities_of_the_system_do_not_vouch_for_a_private_one() {
    let system = Settings { extra_roots: Vec::new(), system_roots: true, ..trusting() };
    check_refused(good(), system, "").await;
    let peer = Peer::answering(good(), OK).await;
    let both = Settings { system_roots: true, ..trusting() };
    assert_eq!(
        send(&network(both), &peer.access(), &PATIENT).await.outcome,
        Outcome::Accepted { status: 200 }
    );
}

#[tokio::test]
async fn both_versions_are_spoken() {
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let served = good();
        let served = ServerConfig::builder_with_provider(Arc::clone(served.crypto_provider()))
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&served.cert_resolver));
        let peer = Peer::answering(served, OK).await;
        let network = peer.network();
        for _ in 0..3 {
            assert_eq!(
                send(&network, &peer.access(), &PATIENT).await.outcome,
                Outcome::Accepted { status: 200 }
            );
            // Sessions are resumed after this.
            network.close();
        }
        assert_eq!(peer.accepted(), 3);
    }
}

#[tokio::test]
async fn older_versions_are_refused() {
    let key = KeyPair::generate().unwrap();
    let certificate = params(&[NAME]).self_signed(&key).unwrap();
    let old = config(certificate.der().clone(), &key, &[&rustls::version::TLS12]);
    let strict = Settings { tls_min: TlsMin::V13, ..trusting() };
    check_refused(old, strict, "tool.example.org does not speak TLS 1.3 or later.").await;
    let alert: &[u8] = &[0x15, 0x03, 0x01, 0, 2, 2, 70];
    // A server that chooses TLS 1.1, or 1.0, without asking.
    let hello = |minor: u8| {
        let mut hello = vec![0x16, 3, minor, 0, 42, 2, 0, 0, 38, 3, minor];
        hello.extend([7; 32]);
        hello.extend([0, 0xc0, 0x13, 0]);
        hello
    };
    for answer in [alert.to_vec(), hello(2), hello(1)] {
        check_raw(answer, "does not speak TLS 1.2 or later.").await;
    }
    check_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "does not speak HTTPS at port").await;
    check_raw(Vec::new(), "ended the connection during the TLS handshake.").await;
    check_raw(vec![0x15, 0x03, 0x03, 0, 2, 2, 40], "The secure connection to tool.example.org failed").await;
}

/// The server reads the hello and writes these bytes.
async fn check_raw(answer: Vec<u8>, words: &str) {
    let answer: Arc<[u8]> = answer.into();
    let peer = Peer::start_plain(Ipv4Addr::LOCALHOST, move |mut stream, _| {
        let answer = Arc::clone(&answer);
        async move {
            stream.read_buf(&mut Vec::with_capacity(8_192)).await?;
            stream.write_all(&answer).await?;
            stream.shutdown().await
        }
    })
    .await;
    let sent = send(&peer.network(), &peer.access(), &PATIENT).await;
    assert_eq!(sent.outcome, Outcome::Unreachable { reason: Unreached::Tls }, "{}", sent.detail);
    assert!(sent.detail.contains(words), "{}", sent.detail);
}

#[test]
fn files_of_authorities() {
    let two = AUTHORITY.pem() + &Authority::new("Second").pem();
    assert_eq!(Network::read_ca_file(two.as_bytes()).unwrap().len(), 2);
    for (text, words) in [
        ("", "the file holds no certificate"),
        ("hello", "the file holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", "the file is not in PEM form"),
        (
            "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
            "certificate 1 in the file cannot be read",
        ),
    ] {
        assert_eq!(Network::read_ca_file(text.as_bytes()).unwrap_err().to_string(), words, "{text}");
    }
}
