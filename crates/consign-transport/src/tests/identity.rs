//! Client certificates: shown where they are asked for, kept apart on one origin, and refused in words.

use std::sync::LazyLock;

use consign_core::credential::Identity;
use consign_core::delivery::Unreached;
use consign_core::secret::Secret;
use rcgen::KeyPair;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::AsyncWriteExt;

use super::peer::*;
use super::*;

static OTHER: LazyLock<Authority> = LazyLock::new(|| Authority::new("Unknown Authority"));

const V12: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
const V13: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// A certificate of an authority, with its key.
fn identity(authority: &Authority, name: &str) -> Identity {
    let key = KeyPair::generate().unwrap();
    let certificate = authority.signed(&params(&[name]), &key);
    Identity::new(vec![certificate.to_vec()], Secret::new(key.serialize_pem()))
}

/// Asks for a certificate of the authority, and gets none but that.
fn asking(versions: &[&'static SupportedProtocolVersion], protocols: &[&[u8]]) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(AUTHORITY.root()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let key = KeyPair::generate().unwrap();
    let certificate = AUTHORITY.signed(&params(&[NAME]), &key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

/// Answers each request with 200 and writes down the certificate that the connection showed.
async fn tool(config: ServerConfig) -> Peer {
    Peer::start(config, |mut stream, seen| async move {
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.map(|certificate| certificate.to_vec()).unwrap_or_default();
        while seen.read(&mut stream).await?.is_some() {
            seen.write_down(shown.clone());
            stream.write_all(OK).await?;
        }
        Ok(())
    })
    .await
}

fn showing(peer: &Peer, identity: Identity) -> Access {
    Access { identity: Some(identity), ..peer.access() }
}

#[tokio::test]
async fn it_is_shown_to_a_server_that_asks() {
    for versions in [V12, V13] {
        let peer = tool(asking(versions, &[])).await;
        let access = showing(&peer, identity(&AUTHORITY, "ours.example"));
        let sent = send(&peer.network(), &access, &PATIENT).await;
        assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
        let shown = access.identity.unwrap().chain;
        assert_eq!(peer.requests()[1], shown[0]);
    }
}

#[tokio::test]
async fn nothing_is_shown_to_a_server_that_does_not_ask() {
    let peer = tool(good()).await;
    let access = showing(&peer, identity(&AUTHORITY, "ours.example"));
    let sent = send(&peer.network(), &access, &PATIENT).await;
    assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
    assert!(peer.requests()[1].is_empty());
}

/// Two credentials on one origin: the server sees the right certificate on every request, and a connection that showed
/// one carries no request of the other or of none.
#[tokio::test]
async fn connections_are_kept_apart() {
    let peer = tool(asking(V13, &[])).await;
    let network = peer.network();
    let (one, two) = (identity(&AUTHORITY, "one.example"), identity(&AUTHORITY, "two.example"));
    let chains = [one.chain[0].clone(), two.chain[0].clone()];
    let accesses = [showing(&peer, one), showing(&peer, two)];
    for round in 0..6 {
        let sent = send(&network, &accesses[round % 2], &PATIENT).await;
        assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
        assert_eq!(sent.timing.reused, round > 1, "round {round}");
    }
    let seen: Vec<_> = peer.requests().into_iter().skip(1).step_by(2).collect();
    let expected: Vec<_> = (0..6).map(|round| chains[round % 2].clone()).collect();
    assert!(seen == expected, "the certificates are not those of the requests");
    assert_eq!(peer.accepted(), 2);
    let sent = send(&network, &peer.access(), &PATIENT).await;
    assert!(!sent.timing.reused && matches!(sent.outcome, Outcome::Unreachable { .. }), "{}", sent.detail);
    network.pool.sweep(now() + Duration::from_secs(3_600));
    assert_eq!(network.idle_connections(), 0);
}

/// Under TLS 1.3 the server's word comes behind the handshake, when the request may be on its way: it was not looked at,
/// so it may be sent again.
#[tokio::test]
async fn a_server_that_wants_another_one_or_any_is_understood() {
    for (versions, protocols) in [(V12, &[][..]), (V13, &[][..]), (V13, &[&b"h2"[..]][..])] {
        let peer = tool(asking(versions, protocols)).await;
        let network = peer.network();
        let check = |sent: Sent, words: &str| {
            assert_eq!(sent.outcome, Outcome::Unreachable { reason: Unreached::Tls }, "{}", sent.detail);
            assert!(sent.detail.contains(words), "{}", sent.detail);
        };
        let refused = send(&network, &showing(&peer, identity(&OTHER, "ours.example")), &PATIENT).await;
        check(
            refused,
            "tool.example.org did not accept the client certificate: it does not know its authority",
        );
        if versions != V12 {
            let without = send(&network, &peer.access(), &PATIENT).await;
            check(without, "tool.example.org asks for a client certificate. A credential takes one");
        }
        assert!(peer.requests().is_empty());
    }
}

#[tokio::test]
async fn a_look_at_the_way_shows_it_too() {
    let peer = tool(asking(V12, &[])).await;
    let network = peer.network();
    let ours = identity(&AUTHORITY, "ours.example");
    let probe = network.probe(&peer.origin(), Some(&ours), &|_| {}).await;
    assert!(probe.failure.is_none(), "{:?}", probe.failure);
    let probe = network.probe(&peer.origin(), None, &|_| {}).await;
    assert!(matches!(probe.failure, Some((Outcome::Unreachable { reason: Unreached::Tls }, _))));
}

#[tokio::test]
async fn a_key_that_cannot_be_used_sends_nothing() {
    let peer = tool(asking(V13, &[])).await;
    let broken = Identity { key: Secret::new("no key".to_owned()), ..identity(&AUTHORITY, "ours.example") };
    let sent = send(&peer.network(), &showing(&peer, broken), &PATIENT).await;
    assert_eq!(sent.detail, "The client certificate and its key cannot be used. Enter both again.");
    assert!(peer.requests().is_empty());
}
