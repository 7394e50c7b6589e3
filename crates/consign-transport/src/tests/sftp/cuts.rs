//! Connections that end in the middle: whoever reads final names never sees a part, and the next attempt ends whole.

use std::net::Ipv4Addr;

use consign_core::target::{FileName, Folder as RemoteFolder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::openssh::*;
use super::*;
use crate::sftp::{Body, IfExists, Upload};

const FILE_BYTES: usize = 1_500_000;
const STEP: usize = 64 << 10;

/// Passes on to a port, and cuts the connection once so many bytes came from the client.
#[expect(clippy::disallowed_methods, reason = "a relay of a test")]
async fn relay(port: u16, bytes_max: usize) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let own = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (client, _) = listener.accept().await.unwrap();
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let down = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        let mut passed = 0;
        let mut buffer = vec![0; 16 << 10];
        while passed < bytes_max {
            let most = buffer.len().min(bytes_max - passed);
            let Ok(read @ 1..) = from_client.read(&mut buffer[..most]).await else { break };
            if to_server.write_all(&buffer[..read]).await.is_err() {
                break;
            }
            passed += read;
        }
        down.abort();
    });
    own
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_at_every_64_kib_shows_no_part_and_the_next_attempt_is_whole() {
    let sshd = Sshd::start(&Setup::default());
    let inbox = sshd.inbox();
    let content: Bytes = (0..FILE_BYTES).map(|place| (place % 251) as u8).collect();
    let folder = RemoteFolder::parse("Folder", inbox.to_str().unwrap()).unwrap();
    let target = inbox.join("a.csv");
    let mut cut = 0;
    for bytes_max in (4_096..FILE_BYTES + 3 * STEP).step_by(STEP) {
        let name = FileName::parse("File name", "a.csv").unwrap();
        let upload = Upload {
            folder: &folder,
            name: &name,
            run: "run_1",
            if_exists: IfExists::Fail,
            progress: None,
            arrived: 0,
            hash: true,
            step_by_step: false,
        };
        let port = relay(sshd.port, bytes_max).await;
        let access = access(port, ED25519_PUB, by_key(&user(), P256, None));
        let tried = async {
            let session = network().sftp(&access).await?;
            session.upload(&upload, Body::Whole(content.clone())).await
        };
        match tried.await {
            Ok(_) => assert_eq!(std::fs::read(&target).unwrap(), content),
            Err(fault) => {
                cut += 1;
                assert!(
                    matches!(fault.why, SftpWhy::Lost | SftpWhy::Unreachable(_)),
                    "{bytes_max}: {fault:?}"
                );
                // The rename may have come through when its answer did not.
                if let Ok(found) = std::fs::read(&target) {
                    assert_eq!(found, content, "{bytes_max}");
                }
            }
        }
        let _ = std::fs::remove_file(&target);
        let session = network();
        let direct = super::access(sshd.port, ED25519_PUB, by_key(&user(), P256, None));
        let session = session.sftp(&direct).await.unwrap();
        session.upload(&upload, Body::Whole(content.clone())).await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), content);
        std::fs::remove_file(&target).unwrap();
    }
    assert!(cut > 20, "{cut} were cut");
}

#[tokio::test]
async fn a_server_may_take_new_keys_and_prove_that_they_are_its_own() {
    let lines = "RekeyLimit 1M\n";
    let sshd = Sshd::start(&Setup { lines, ..Setup::default() });
    let inbox = sshd.inbox();
    let folder = RemoteFolder::parse("Folder", inbox.to_str().unwrap()).unwrap();
    let name = FileName::parse("File name", "a.csv").unwrap();
    let session = network().sftp(&access(sshd.port, RSA_PUB, by_key(&user(), P256, None))).await.unwrap();
    let upload = Upload {
        folder: &folder,
        name: &name,
        run: "run_1",
        if_exists: IfExists::Fail,
        progress: None,
        arrived: 0,
        hash: true,
        step_by_step: false,
    };
    let content = Bytes::from(vec![7; 12 << 20]);
    let uploaded = session.upload(&upload, Body::Whole(content.clone())).await;
    uploaded.unwrap_or_else(|fault| panic!("{fault:?}\n{}", sshd.log()));
    assert_eq!(std::fs::read(inbox.join("a.csv")).unwrap(), content);
    let exchanges = sshd.logged("SSH2_MSG_NEWKEYS received");
    assert!(exchanges > 3, "{exchanges} key exchanges");
    assert!(session.is_open(), "every one of them was proven");
}
