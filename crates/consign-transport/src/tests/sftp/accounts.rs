//! Passwords, both proofs at once, jails and full disks: OpenSSH with an account of its own.

use consign_core::target::{FileName, Folder as RemoteFolder};

use super::openssh::*;
use super::*;
use crate::sftp::{Body, IfExists, SftpProbe, Upload};

const PASSWORD_ONLY: &str = "PasswordAuthentication yes\nPubkeyAuthentication no\n";

async fn probe(sshd: &Sshd, login: SshLogin) -> SftpProbe {
    network().probe_sftp(&access(sshd.port, ED25519_PUB, login), Default::default(), &|_| {}).await
}

fn both(password: Option<&str>) -> SshLogin {
    SshLogin { password: password.map(secret), ..by_key(ANA, P256, None) }
}

fn apart<'a>(lines: &'a str, first: &'a str) -> Setup<'a> {
    Setup { lines, apart: Some(first), ..Setup::default() }
}

#[tokio::test]
async fn a_password_signs_in_where_nothing_else_is_taken() {
    let sshd = Sshd::start(&apart(PASSWORD_ONLY, ""));
    let probe_of = probe(&sshd, by_password(ANA, PASSWORD)).await;
    assert!(probe_of.failure.is_none(), "{:?}", probe_of.failure);
    assert_eq!(probe_of.signed_in.as_deref(), Some("password"));
    let fault = probe(&sshd, by_password(ANA, "wrong")).await.failure.unwrap();
    is_sign_in(&fault, SignInWhy::Refused);
    assert_eq!(sshd.logged("Failed password"), 1, "a refused password is not offered twice");
    let fault = probe(&sshd, by_key(ANA, P256, None)).await.failure.unwrap();
    is_sign_in(&fault, SignInWhy::NoMethod);
}

#[tokio::test]
async fn a_wrong_pin_keeps_the_password_back() {
    let sshd = Sshd::start(&apart(PASSWORD_ONLY, ""));
    let (_, other) = generate(&["ed25519"]);
    let fault = network().sftp(&access(sshd.port, &other, by_password(ANA, PASSWORD))).await.unwrap_err();
    is_host_key(&fault);
    sshd.saw_no_sign_in();
}

#[tokio::test]
async fn a_password_answers_the_one_question_of_a_server_that_asks() {
    let lines =
        "UsePAM yes\nKbdInteractiveAuthentication yes\nPasswordAuthentication no\nPubkeyAuthentication no\n";
    let sshd = Sshd::start(&apart(lines, ""));
    let probe_of = probe(&sshd, by_password(ANA, PASSWORD)).await;
    assert!(probe_of.failure.is_none(), "{:?}\n{}", probe_of.failure, sshd.log());
    assert_eq!(probe_of.signed_in.as_deref(), Some("keyboard-interactive"));
    let fault = probe(&sshd, by_password(ANA, "wrong")).await.failure.unwrap();
    assert!(matches!(fault.why, SftpWhy::SignIn(_)), "{fault:?}");
}

#[tokio::test]
async fn a_server_may_want_key_and_password_in_either_order() {
    for (order, how) in
        [("publickey,password", "publickey, password"), ("password,publickey", "password, publickey")]
    {
        let lines = format!("PasswordAuthentication yes\nAuthenticationMethods {order}\n");
        let sshd = Sshd::start(&apart(&lines, ""));
        let probe_of = probe(&sshd, both(Some(PASSWORD))).await;
        assert!(probe_of.failure.is_none(), "{order}: {:?}", probe_of.failure);
        assert_eq!(probe_of.signed_in.as_deref(), Some(how));
        let fault = probe(&sshd, both(Some("wrong"))).await.failure.unwrap();
        is_sign_in(&fault, SignInWhy::Refused);
    }
    let lines = "PasswordAuthentication yes\nAuthenticationMethods publickey,password\n";
    let sshd = Sshd::start(&apart(lines, ""));
    let fault = probe(&sshd, both(None)).await.failure.unwrap();
    is_sign_in(&fault, SignInWhy::PasswordToo);
    assert_eq!(fault.detail, "The server accepted the key and asks for a password as well.");
    let lines = "PasswordAuthentication yes\nAuthenticationMethods password,publickey\n";
    let sshd = Sshd::start(&apart(lines, ""));
    let fault = probe(&sshd, by_password(ANA, PASSWORD)).await.failure.unwrap();
    is_sign_in(&fault, SignInWhy::KeyToo);
}

async fn upload(sshd: &Sshd, folder: &str, bytes: usize) -> Result<u64, SftpFault> {
    let session = network().sftp(&access(sshd.port, ED25519_PUB, by_key(ANA, P256, None))).await?;
    let (folder, name) =
        (RemoteFolder::parse("Folder", folder).unwrap(), FileName::parse("File name", "a.csv").unwrap());
    let upload = Upload {
        folder: &folder,
        name: &name,
        run: "run_1",
        if_exists: IfExists::Replace,
        progress: None,
        arrived: 0,
        hash: true,
        step_by_step: false,
    };
    let uploaded = session.upload(&upload, Body::Whole(Bytes::from(vec![7; bytes]))).await;
    if uploaded.is_err() {
        assert_eq!(session.find(&folder, &name).await?, None, "nothing has the final name");
        let left = session.find_parts(&folder, u32::MAX).await?;
        assert!(left.is_empty(), "the part is removed at once: {left:?}");
    }
    uploaded.map(|uploaded| uploaded.bytes)
}

#[tokio::test]
async fn a_jail_is_a_file_system_of_its_own() {
    let lines = "ChrootDirectory /mnt\nForceCommand internal-sftp\n";
    let first = "mkdir $HERE/jail $HERE/jail/in; chown 47001 $HERE/jail/in; chmod 755 $HERE/jail; \
                 mount --bind $HERE/jail /mnt";
    let sshd = Sshd::start(&apart(lines, first));
    assert_eq!(upload(&sshd, "/in", 100_000).await.unwrap(), 100_000);
    assert_eq!(std::fs::read(sshd.folder.path().join("jail/in/a.csv")).unwrap().len(), 100_000);
    let fault = upload(&sshd, "/", 1).await.unwrap_err();
    assert_eq!(fault.detail, "The server cannot create the file: permission denied.");
}

#[tokio::test]
async fn a_full_disk_is_named_and_leaves_nothing() {
    let first = "mkdir $HERE/full; mount -t tmpfs -o size=2m,uid=47001 tmpfs $HERE/full";
    let sshd = Sshd::start(&apart("", first));
    let full = sshd.folder.path().join("full").display().to_string();
    let fault = upload(&sshd, &full, 8 << 20).await.unwrap_err();
    assert!(matches!(fault.why, SftpWhy::NoSpace), "{fault:?}");
    assert_eq!(fault.detail, "The server has no space left.");
    assert_eq!(upload(&sshd, &full, 1 << 20).await.unwrap(), 1 << 20, "there is room again");
}
