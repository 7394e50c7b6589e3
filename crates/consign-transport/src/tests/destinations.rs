//! Where we may not go: nothing arrives there, by name, by literal, by a second answer, at our own ports.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};

use consign_core::delivery::Refusal;
use consign_core::target::Target;

use super::peer::*;
use super::*;

async fn inside() -> Peer {
    Peer::start_plain(Ipv4Addr::LOCALHOST, |_, _| async { Ok(()) }).await
}

#[track_caller]
fn check_blocked(sent: &Sent, words: &str) {
    match &sent.outcome {
        Outcome::Refused { refusal: Refusal::DestinationBlocked(blocked) } => {
            assert!(blocked.contains(words), "{blocked}");
            assert_eq!(sent.detail, format!("{blocked}."));
        }
        other => panic!("{other:?}: {}", sent.detail),
    }
    assert!(sent.answer.is_none() && sent.request_bytes == 0 && sent.timing.connect.is_none());
}

#[tokio::test]
async fn private_addresses_by_literal() {
    let peer = inside().await;
    let port = peer.address.port();
    let network = network(settings(&[]));
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
    ] {
        check_blocked(
            &send(&network, &access(origin(host, port)), &PATIENT).await,
            "is on a private network",
        );
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn private_addresses_by_name() {
    let peer = inside().await;
    let mut network = network(settings(&[]));
    let answers: [&[&str]; 6] = [
        &["127.0.0.1"],
        &["93.184.215.14", "127.0.0.1"],
        &["127.0.0.1", "93.184.215.14"],
        &["2606:4700:4700::1111", "::ffff:10.0.0.1"],
        &["169.254.169.254"],
        &["::1"],
    ];
    for answer in answers {
        let addresses: Vec<IpAddr> = answer.iter().map(|text| text.parse().unwrap()).collect();
        network.guard.script(move |_| addresses.clone());
        let sent = send(&network, &peer.access(), &PATIENT).await;
        check_blocked(
            &sent,
            "tool.example.org is on a private network. The operator of this server can allow it",
        );
    }
    for name in ["localhost", "metadata.google.internal", "printer.local"] {
        check_blocked(
            &send(&network, &access(origin(name, peer.address.port())), &PATIENT).await,
            "private network",
        );
    }
    check_blocked(
        &send(&network, &access(origin("erp", peer.address.port())), &PATIENT).await,
        "is a short name",
    );
    check_blocked(&send(&network, &access(origin(NAME, 25)), &PATIENT).await, "must not use port 25");
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn a_judgement_ahead_of_time_agrees_and_dials_nobody() {
    let peer = inside().await;
    let mut network = network(settings(&["127.0.0.1:*"]));
    for (answer, open) in [
        (&["127.0.0.1"][..], true),
        (&["127.0.0.1", "10.0.0.1"], false),
        (&["127.0.0.2"], false),
        (&[], true),
    ] {
        let addresses: Vec<IpAddr> = answer.iter().map(|text| text.parse().unwrap()).collect();
        network.guard.script(move |_| addresses.clone());
        let origin = peer.origin();
        let judged = network.judge(&Target::Https(origin.clone()), PATIENT.timeout).await;
        assert_eq!(judged.is_ok(), open, "{answer:?}");
    }
    for (host, port, open) in
        [("127.0.0.1", 8443, true), ("10.0.0.1", 8443, false), ("localhost", 8443, false), (NAME, 25, false)]
    {
        let origin = origin(host, port);
        assert_eq!(
            network.judge(&Target::Https(origin.clone()), PATIENT.timeout).await.is_ok(),
            open,
            "{host}"
        );
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn what_a_rule_opened_is_remembered() {
    let peer = inside().await;
    let mut network = network(settings(&["127.0.0.1:*"]));
    let target = Target::Https(peer.origin());
    network.guard.script(|_| ["127.0.0.1", "10.0.0.1"].map(|text| text.parse().unwrap()).into());
    check_blocked(&send(&network, &peer.access(), &PATIENT).await, "is on a private network");
    assert_eq!(network.exception_to(&target), None, "it was not dialled");
    network.guard.script(|_| vec!["127.0.0.1".parse().unwrap()]);
    send(&network, &peer.access(), &PATIENT).await;
    assert_eq!(network.exception_to(&target).unwrap().to_string(), "127.0.0.1:*");
    let other = Target::Https(origin(NAME, 443));
    assert_eq!(network.exception_to(&other), None, "another port is another destination");
}

#[tokio::test]
async fn an_explanation_names_the_rule_of_each_address() {
    let mut network = network(settings(&["127.0.0.1:*", "10.1.0.0/16:443", "!10.1.9.0/24:443"]));
    network.guard.script(|_| {
        ["127.0.0.1", "10.1.0.1", "10.1.9.9", "10.2.0.1", "8.8.8.8"].map(|text| text.parse().unwrap()).into()
    });
    let origin = origin(NAME, 443);
    let explained = network.explain(origin.host(), origin.port(), PATIENT.timeout).await;
    assert!(explained.name.is_ok());
    let said: Vec<_> = explained
        .addresses
        .iter()
        .map(|(address, said)| {
            let said = match said {
                AddressJudged::Open(rule) => {
                    rule.as_ref().map_or_else(|| "public".to_owned(), ToString::to_string)
                }
                AddressJudged::Closed(blocked) => blocked.why.to_string(),
                AddressJudged::Own => "own".to_owned(),
            };
            format!("{address} {said}")
        })
        .collect();
    let expected = [
        "127.0.0.1 127.0.0.1:*",
        "10.1.0.1 10.1.0.0/16:443",
        "10.1.9.9 the rule !10.1.9.0/24:443 denies it",
        "10.2.0.1 it is on a private network",
        "8.8.8.8 public",
    ];
    assert_eq!(said, expected);
    network.guard.script(|_| Vec::new());
    assert!(network.explain(origin.host(), 443, PATIENT.timeout).await.addresses.is_empty());
    let closed = network.explain(self::origin("localhost", 443).host(), 443, PATIENT.timeout).await;
    assert!(closed.name.is_err() && closed.addresses.is_empty());
}

#[tokio::test]
async fn any_of_many_answers_refuses_all() {
    let peer = inside().await;
    let mut network = network(settings(&["127.0.0.1:*"]));
    // The last of 200 answers is blocked, far beyond those that would be dialled.
    network.guard.script(|_| {
        let mut answers = vec![IpAddr::V4(Ipv4Addr::LOCALHOST); 199];
        answers.push("127.0.0.9".parse().unwrap());
        answers
    });
    check_blocked(&send(&network, &peer.access(), &PATIENT).await, "private network");
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn a_name_that_moves_inside() {
    let inside = inside().await;
    let config = Arc::new(good());
    let acceptor = tokio_rustls::TlsAcceptor::from(config);
    // The allowed server has the port of the one inside, so that only the address tells them apart.
    let listener = tokio::net::TcpListener::bind(("127.0.0.2", inside.address.port())).await.unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = acceptor.accept(stream).await.unwrap();
            tokio::io::AsyncWriteExt::write_all(&mut stream, OK).await.unwrap();
        }
    });
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let mut network = network(settings(&["127.0.0.2:*"]));
    network.guard.script(move |_| {
        let first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        vec![IpAddr::V4(if first { Ipv4Addr::new(127, 0, 0, 2) } else { Ipv4Addr::LOCALHOST })]
    });
    let sent = send(&network, &inside.access(), &PATIENT).await;
    assert!(!matches!(sent.outcome, Outcome::Refused { .. }), "{}", sent.detail);
    assert_eq!(calls.load(Ordering::SeqCst), 1, "resolved once, judged and dialled");
    network.close();
    check_blocked(&send(&network, &inside.access(), &PATIENT).await, "private network");
    assert_eq!((calls.load(Ordering::SeqCst), inside.accepted()), (2, 0));
}

#[tokio::test]
async fn own_ports_are_closed_whatever_the_rules_say() {
    let peer = inside().await;
    let port = peer.address.port();
    let rules = ["127.0.0.0/8:*", "[::1]:*", NAME_RULE];
    let mut settings = settings(&rules);
    settings.own_ports = vec![port];
    let network = network(settings);
    for host in ["127.0.0.1", "127.8.8.8", "[::1]", "[::ffff:127.0.0.1]", NAME] {
        check_blocked(&send(&network, &access(origin(host, port)), &PATIENT).await, "is this server itself");
    }
    assert_eq!(peer.accepted(), 0);
    let other = Peer::answering(good(), OK).await;
    assert_eq!(send(&network, &other.access(), &PATIENT).await.outcome, Outcome::Accepted { status: 200 });
}

const NAME_RULE: &str = "tool.example.org:*";

#[tokio::test]
async fn the_first_address_that_connects_is_used() {
    let peer = Peer::answering(good(), OK).await;
    let mut network = peer.network();
    // Nobody listens at the first two.
    network
        .guard
        .script(|_| ["127.0.0.3", "127.0.0.4", "127.0.0.1"].map(|text| text.parse().unwrap()).to_vec());
    assert_eq!(send(&network, &peer.access(), &PATIENT).await.outcome, Outcome::Accepted { status: 200 });
}

#[tokio::test]
async fn the_system_finds_names() {
    let peer = Peer::answering(AUTHORITY.config(&["localhost"], |_| {}), OK).await;
    let network = Network::new(settings(&["localhost:*", "127.0.0.0/8:*", "[::1]:*"]));
    let access = access(origin("localhost", peer.address.port()));
    let sent = send(&network, &access, &PATIENT).await;
    assert_eq!(sent.outcome, Outcome::Accepted { status: 200 }, "{}", sent.detail);
}
