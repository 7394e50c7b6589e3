//! Strict key exchange, against Terrapin (CVE-2023-48795): nothing may come between the key exchange and its end, and sequence
//! numbers begin anew behind it.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use super::openssh::*;
use super::*;

/// `SSH_MSG_IGNORE` with no data, as it is written before there are keys.
const IGNORE: &[u8] = &[0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Where somebody in between adds a packet to what the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    Nowhere,
    BeforeTheKeyExchange,
    InTheKeyExchange,
}

/// Passes on to a port, and adds a packet.
#[expect(clippy::disallowed_methods, reason = "a relay of a test")]
async fn relay(port: u16, added: Added) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(down(from_server, to_client, added));
        }
    });
    own
}

async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, added: Added) -> std::io::Result<()> {
    loop {
        let byte = from.read_u8().await?;
        to.write_u8(byte).await?;
        if byte == b'\n' {
            break;
        }
    }
    if added == Added::BeforeTheKeyExchange {
        to.write_all(IGNORE).await?;
    }
    let length = from.read_u32().await?;
    let mut packet = vec![0; usize::try_from(length).unwrap()];
    from.read_exact(&mut packet).await?;
    assert!(packet.windows(28).any(|window| window == b"kex-strict-s-v00@openssh.com"), "it is offered");
    to.write_u32(length).await?;
    to.write_all(&packet).await?;
    if added == Added::InTheKeyExchange {
        to.write_all(IGNORE).await?;
    }
    tokio::io::copy(&mut from, &mut to).await?;
    Ok(())
}

#[tokio::test]
async fn a_packet_that_is_added_ends_the_connection() {
    for cipher in ["aes256-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes256-ctr"] {
        let sshd = Sshd::start(&Setup { lines: &format!("Ciphers {cipher}\n"), ..Setup::default() });
        for added in [Added::BeforeTheKeyExchange, Added::InTheKeyExchange] {
            let port = relay(sshd.port, added).await;
            let access = access(port, ED25519_PUB, by_key(&user(), P256, None));
            let fault = network().sftp(&access).await.unwrap_err();
            assert!(matches!(fault.why, SftpWhy::Unreachable(_)), "{cipher}, {added:?}: {fault:?}");
        }
        sshd.saw_no_sign_in();
    }
}

#[tokio::test]
async fn sequence_numbers_begin_anew_behind_the_key_exchange() {
    // With this cipher the number of a packet is its nonce: a peer that counts on cannot read the first one.
    let lines = "Ciphers chacha20-poly1305@openssh.com\n";
    let sshd = Sshd::start(&Setup { lines, ..Setup::default() });
    let port = relay(sshd.port, Added::Nowhere).await;
    let access = access(port, ED25519_PUB, by_key(&user(), P256, None));
    let probe = network().probe_sftp(&access, Default::default(), &|_| {}).await;
    assert!(probe.failure.is_none(), "{:?}", probe.failure);
    assert_eq!(probe.facts.unwrap().cipher, "chacha20-poly1305@openssh.com");
}
