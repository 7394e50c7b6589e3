//! What a server sees us offer, byte by byte: the list that was decided, and nothing else.

use std::net::Ipv4Addr;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::*;

/// The name lists of `SSH_MSG_KEXINIT` (RFC 4253 section 7.1), in their order.
#[derive(Debug, PartialEq, Eq)]
struct Offer {
    kex: String,
    host_keys: String,
    ciphers: [String; 2],
    macs: [String; 2],
    compressions: [String; 2],
    languages: [String; 2],
    /// A packet follows that was guessed.
    guesses: bool,
}

impl Offer {
    fn parse(message: &[u8]) -> Self {
        assert_eq!(message[0], 20, "SSH_MSG_KEXINIT");
        let mut rest = &message[17..];
        let mut list = || {
            let (length, after) = rest.split_first_chunk::<4>().unwrap();
            let (text, after) = after.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
            rest = after;
            String::from_utf8(text.to_vec()).unwrap()
        };
        let (kex, host_keys) = (list(), list());
        let [ciphers, macs, compressions, languages] = [(); 4].map(|()| [list(), list()]);
        assert_eq!(rest.len(), 5, "a boolean, and four bytes for later");
        Self { kex, host_keys, ciphers, macs, compressions, languages, guesses: rest[0] != 0 }
    }
}

/// What a session with these pins offers.
async fn offered(pins: &str) -> (String, Offer) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = BufReader::new(stream);
        stream.write_all(b"SSH-2.0-Peer\r\n").await.unwrap();
        let mut version = String::new();
        stream.read_line(&mut version).await.unwrap();
        let mut packet = vec![0; usize::try_from(stream.read_u32().await.unwrap()).unwrap()];
        stream.read_exact(&mut packet).await.unwrap();
        let padding = usize::from(packet[0]);
        tell.send((version, Offer::parse(&packet[1..packet.len() - padding]))).unwrap();
    });
    let fault = network().sftp(&access(port, pins, by_password("ana", "open sesame"))).await.unwrap_err();
    assert!(matches!(fault.why, SftpWhy::Unreachable(_)), "{fault:?}");
    told.await.unwrap()
}

#[tokio::test]
async fn a_server_sees_the_algorithms_that_were_decided_and_no_others() {
    let twice = |names: &str| [names.to_owned(), names.to_owned()];
    for (pins, host_keys) in [
        (ED25519_PUB, "ssh-ed25519"),
        (P256_PUB, "ecdsa-sha2-nistp256"),
        (P384_PUB, "ecdsa-sha2-nistp384"),
        (P521_PUB, "ecdsa-sha2-nistp521"),
        (RSA_PUB, "rsa-sha2-512,rsa-sha2-256"),
        // A bare fingerprint does not say of which kind its key is.
        (
            &*print(ED25519_PUB),
            "rsa-sha2-512,rsa-sha2-256,ecdsa-sha2-nistp256,ecdsa-sha2-nistp384,ecdsa-sha2-nistp521,ssh-ed25519",
        ),
    ] {
        let (version, offer) = offered(pins).await;
        assert_eq!(version, "SSH-2.0-Consign\r\n");
        let expected = Offer {
            // The last two name no algorithm: extensions are understood, and the exchange may be strict.
            kex: "mlkem768x25519-sha256,curve25519-sha256,curve25519-sha256@libssh.org,ecdh-sha2-nistp256,\
                  ecdh-sha2-nistp384,ecdh-sha2-nistp521,diffie-hellman-group16-sha512,diffie-hellman-group18-sha512,\
                  diffie-hellman-group14-sha256,ext-info-c,kex-strict-c-v00@openssh.com"
                .to_owned(),
            host_keys: host_keys.to_owned(),
            ciphers: twice(
                "aes256-gcm@openssh.com,aes128-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr,aes192-ctr,\
                 aes128-ctr",
            ),
            macs: twice(
                "hmac-sha2-512-etm@openssh.com,hmac-sha2-256-etm@openssh.com,hmac-sha2-512,hmac-sha2-256",
            ),
            compressions: twice("none"),
            languages: twice(""),
            guesses: false,
        };
        assert_eq!(offer, expected, "{pins}");
    }
}
