//! Peers of our own that do what no good server does.

use std::borrow::Cow;
use std::net::Ipv4Addr;
use std::sync::Mutex;

use russh::keys::PrivateKey;
use russh::server::{self, Auth, Msg, Response, Session};
use russh::{Channel, ChannelId, MethodKind, MethodSet};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// What a scripted server does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Asks for a password in a dialogue, with these questions: text hidden or not.
    Asks(&'static [(&'static str, bool)]),
    /// Lets in by password, and then says this instead of SFTP.
    Says(&'static [u8]),
    /// Lets in by password, takes new keys at once, and proves nothing.
    TakesNewKeys,
    /// The same, and before it says its version.
    TakesNewKeysFirst,
    /// Refuses every password.
    Refuses,
}

/// All that a client told it.
type Told = Arc<Mutex<Vec<String>>>;

struct Peer {
    script: Script,
    told: Told,
}

impl server::Handler for Peer {
    type Error = russh::Error;

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        self.told.lock().unwrap().push(format!("{user}:{password}"));
        Ok(if self.script == Script::Refuses { Auth::reject() } else { Auth::Accept })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Script::Asks(questions) = self.script else { return Ok(Auth::reject()) };
        if let Some(response) = response {
            let answers = response.map(|answer| String::from_utf8_lossy(&answer).into_owned());
            self.told.lock().unwrap().extend(answers);
        }
        let prompts = questions.iter().map(|(text, echo)| (Cow::Borrowed(*text), *echo)).collect();
        Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: Cow::Owned(prompts) })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        channel: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_success(channel)?;
        match self.script {
            Script::Says(bytes) => session.data(channel, bytes.to_vec())?,
            Script::TakesNewKeys => {
                session.data(channel, vec![0, 0, 0, 5, 2, 0, 0, 0, 3])?;
                let handle = session.handle();
                tokio::spawn(async move {
                    // Answers that nobody waits for, until the limit is reached and new keys are due.
                    let answer = vec![0, 0, 0, 9, 101, 0, 0, 0, 99, 0, 0, 0, 0];
                    while handle.data(channel, answer.clone()).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                });
            }
            Script::TakesNewKeysFirst => {
                let handle = session.handle();
                tokio::spawn(async move {
                    while handle.extended_data(channel, 1, vec![0; 64]).await.is_ok() {
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                });
            }
            Script::Asks(_) | Script::Refuses => {}
        }
        Ok(())
    }
}

async fn start(script: Script) -> (u16, Told) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let method = if matches!(script, Script::Asks(_)) {
        MethodKind::KeyboardInteractive
    } else {
        MethodKind::Password
    };
    let mut limits = russh::Limits::default();
    if matches!(script, Script::TakesNewKeys | Script::TakesNewKeysFirst) {
        limits.rekey_write_limit = 4_096;
    }
    let config = server::Config {
        methods: MethodSet::from(&[method][..]),
        keys: vec![PrivateKey::from_openssh(ED25519).unwrap()],
        auth_rejection_time: Duration::ZERO,
        limits,
        ..server::Config::default()
    };
    let config = Arc::new(config);
    let told = Told::default();
    let heard = told.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let peer = Peer { script, told: heard.clone() };
            let config = config.clone();
            tokio::spawn(async move {
                if let Ok(session) = server::run_stream(config, stream, peer).await {
                    let _ = session.await;
                }
            });
        }
    });
    (port, told)
}

async fn fault_of(script: Script) -> (SftpFault, Vec<String>) {
    let (port, told) = start(script).await;
    let fault =
        network().sftp(&access(port, ED25519_PUB, by_password("ana", "open sesame"))).await.unwrap_err();
    let told = told.lock().unwrap().clone();
    (fault, told)
}

#[tokio::test]
async fn questions_that_a_password_does_not_answer_get_no_answer() {
    let questions: [&[(&str, bool)]; 3] = [
        &[("Password: ", false), ("Code: ", false)],
        &[("Favourite colour? ", true)],
        &[("Code: ", true), ("x", false)],
    ];
    for questions in questions {
        let (fault, told) = fault_of(Script::Asks(questions)).await;
        is_sign_in(&fault, SignInWhy::Questions);
        assert_eq!(told, [""; 0], "nothing was told");
    }
    // The same question again is not answered again.
    let (fault, told) = fault_of(Script::Asks(&[("Password: ", false)])).await;
    is_sign_in(&fault, SignInWhy::Questions);
    assert_eq!(told, ["open sesame"]);
    // Nor is nothing asked forever.
    let (fault, _) = fault_of(Script::Asks(&[])).await;
    is_sign_in(&fault, SignInWhy::Questions);
}

/// Whoever waits for a sign-in that is under way shares its end: a wrong password locks no account for each of them.
#[tokio::test]
async fn a_password_that_is_refused_is_offered_once_for_all_who_wait() {
    let (port, told) = start(Script::Refuses).await;
    let network = Arc::new(network());
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let network = network.clone();
        let access = access(port, ED25519_PUB, by_password("ana", "open sesame"));
        waiting.spawn(async move { network.sftp(&access).await.unwrap_err() });
    }
    for fault in waiting.join_all().await {
        is_sign_in(&fault, SignInWhy::Refused);
    }
    assert_eq!(*told.lock().unwrap(), ["ana:open sesame"]);
    // Who comes afterwards asks anew.
    network.sftp(&access(port, ED25519_PUB, by_password("ana", "open sesame"))).await.unwrap_err();
    assert_eq!(told.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_not_sftp_ends_the_session() {
    for said in [
        &b"\xff\xff\xff\xff"[..],
        b"\x00\x00\x00\x00",
        b"Welcome to the server\n",
        &[0, 0, 0, 5, 101, 0, 0, 0, 3],
        &[0, 4, 0, 1],
    ] {
        let (fault, _) = fault_of(Script::Says(said)).await;
        assert!(matches!(fault.why, SftpWhy::Misbehaved), "{said:?}: {fault:?}");
        assert_eq!(fault.detail, "The server sent something that is not SFTP.");
    }
    let (fault, _) = fault_of(Script::Says(&[0, 0, 0, 5, 2, 0, 0, 0, 2])).await;
    assert_eq!(fault.detail, "The server speaks version 2 of SFTP. It must be 3.");
}

#[tokio::test]
async fn new_keys_without_a_proof_end_the_session() {
    let (port, _) = start(Script::TakesNewKeys).await;
    let session =
        network().sftp(&access(port, ED25519_PUB, by_password("ana", "open sesame"))).await.unwrap();
    let folder = consign_core::target::Folder::parse("Folder", "").unwrap();
    let name = consign_core::target::FileName::parse("File name", "a").unwrap();
    // The peer answers no request, so what ends the wait is the missing proof.
    let fault = session.find(&folder, &name).await.unwrap_err();
    assert_eq!(fault.detail, "The server took new keys and did not prove that they are its own.");
    assert!(!session.is_open());
    // Whoever asks behind the end is told at once, each time.
    let late = async {
        for _ in 0..50 {
            let fault = session.find(&folder, &name).await.unwrap_err();
            assert!(matches!(fault.why, SftpWhy::NewKeys), "{fault:?}");
        }
    };
    tokio::time::timeout(Duration::from_secs(5), late)
        .await
        .expect("nobody waits for answers of a session that is over");
}

#[tokio::test]
async fn new_keys_before_the_version_keep_nobody_waiting() {
    let opening = tokio::time::timeout(Duration::from_secs(10), fault_of(Script::TakesNewKeysFirst));
    let (fault, _) = opening.await.expect("it ends by itself");
    assert!(matches!(fault.why, SftpWhy::NewKeys), "{fault:?}");
}

/// A raw peer that says this and then ends, or goes on saying it.
async fn raw(said: &'static [u8], forever: bool) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while stream.write_all(said).await.is_ok() && forever {}
                let _ = stream.shutdown().await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await;
                assert!(!rest.windows(6).any(|window| window == b"sesame"));
            });
        }
    });
    port
}

#[tokio::test]
async fn what_is_not_ssh_gets_nothing() {
    for (said, forever) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], false),
        (b"SSH-1.5-old\r\n", false),
        (b"a line before the version\r\n", true),
        (b"no line end", true),
        (b"SSH-2.0-x\r\n\xff\xff\xff\xff\x00", true),
        (b"SSH-2.0-x\r\n\x00\x03\xff\xff\x04\x14", true),
    ] {
        let port = raw(said, forever).await;
        let access = access(port, ED25519_PUB, by_password("ana", "open sesame"));
        let opening = tokio::time::timeout(Duration::from_secs(5), async { network().sftp(&access).await });
        let fault = opening.await.expect("it ends by itself").unwrap_err();
        assert!(matches!(fault.why, SftpWhy::Unreachable(_)), "{}: {fault:?}", said.escape_ascii());
    }
}
