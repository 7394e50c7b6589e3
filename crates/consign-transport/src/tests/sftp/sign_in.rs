//! The sign-in at OpenSSH.

use super::openssh::*;
use super::*;

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../../../consign-core/src/ssh_key/keys/", $name))
    };
}

#[tokio::test]
async fn every_kind_of_key_signs_in() {
    let authorized = [ED25519_PUB, P256_PUB, P384_PUB, P521_PUB, RSA_PUB];
    let sshd = Sshd::start(&Setup { authorized: &authorized, ..Setup::default() });
    let keys = [
        (key!("ed25519"), None),
        (key!("p256"), None),
        (key!("p384.pem"), None),
        (key!("p521.pkcs8"), None),
        (key!("rsa"), None),
        (key!("rsa.pem"), None),
        (key!("ed25519.passphrase"), Some(PASSPHRASE)),
        (key!("p256.pem.passphrase"), Some(PASSPHRASE)),
        (key!("p384.pkcs8.passphrase"), Some(PASSPHRASE)),
        (key!("p521.passphrase"), Some(PASSPHRASE)),
        (key!("rsa.pem.aes256"), Some(PASSPHRASE)),
    ];
    for (place, (key, passphrase)) in keys.into_iter().enumerate() {
        let access = access(sshd.port, ED25519_PUB, by_key(&user(), key, passphrase));
        let probe = network().probe_sftp(&access, Default::default(), &|_| {}).await;
        assert!(probe.failure.is_none(), "{place}: {:?}", probe.failure);
        assert_eq!(probe.signed_in.as_deref(), Some("publickey"));
    }
    assert_eq!(sshd.logged("Accepted publickey"), keys.len());
    assert_eq!(sshd.logged("ssh-rsa SHA1"), 0);
}

#[tokio::test]
async fn a_key_that_is_not_let_in_is_refused() {
    let sshd = Sshd::start(&Setup { authorized: &[RSA_PUB], ..Setup::default() });
    let fault =
        network().sftp(&access(sshd.port, ED25519_PUB, by_key(&user(), P256, None))).await.unwrap_err();
    is_sign_in(&fault, SignInWhy::Refused);
    let fault = network().sftp(&access(sshd.port, ED25519_PUB, by_password(&user(), "x"))).await.unwrap_err();
    is_sign_in(&fault, SignInWhy::NoMethod);
    assert_eq!(fault.detail, "The server takes none of what this credential has.");
    assert_eq!(sshd.logged("Failed password"), 0, "a password is not offered where none is taken");
}

#[tokio::test]
async fn a_key_that_does_not_open_is_not_offered() {
    let sshd = Sshd::start(&Setup::default());
    let login = by_key(&user(), key!("p256.passphrase"), Some("wrong"));
    let fault = network().sftp(&access(sshd.port, ED25519_PUB, login)).await.unwrap_err();
    assert!(matches!(fault.why, SftpWhy::Key(_)), "{fault:?}");
    assert_eq!(fault.detail, "The passphrase does not open this SSH key.");
    sshd.saw_no_sign_in();
}

#[tokio::test]
async fn sessions_are_kept_and_shared() {
    let sshd = Sshd::start(&Setup::default());
    let network = network();
    let with = |shared_by: &str| SftpAccess {
        shared_by: shared_by.to_owned(),
        ..access(sshd.port, ED25519_PUB, by_key(&user(), P256, None))
    };
    let first = network.sftp(&with("crd_1/1")).await.unwrap();
    let second = network.sftp(&with("crd_1/1")).await.unwrap();
    drop((first, second));
    let third = network.sftp(&with("crd_1/1")).await.unwrap();
    assert!(third.is_open());
    assert_eq!(sshd.logged("Accepted publickey"), 1);
    // Another secret or destination is another session.
    network.sftp(&with("crd_1/2")).await.unwrap();
    assert_eq!(sshd.logged("Accepted publickey"), 2);
    network.close();
    network.sftp(&with("crd_1/1")).await.unwrap();
    assert_eq!(sshd.logged("Accepted publickey"), 3);
}
