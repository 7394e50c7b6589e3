//! File servers: OpenSSH and ProFTPD on loopback in many configurations, and peers of our own that misbehave.

use consign_core::auth::{SshKey, SshLogin};
use consign_core::credential::SftpAccess;
use consign_core::pin::Pins;
use consign_core::secret::Secret;
use consign_core::target::{SftpAddress, SftpHost};

use super::*;
use crate::sftp::{SftpFault, SftpWhy, SignInWhy};

mod accounts;
mod cuts;
mod host_keys;
mod liars;
mod offer;
mod openssh;
mod proftpd;
mod scripted;
mod sign_in;
mod strict_kex;
mod uploads;

/// Keys of nobody, the same that the core reads in its tests.
pub(super) const ED25519: &str = include_str!("../../../consign-core/src/ssh_key/keys/ed25519");
pub(super) const P256: &str = include_str!("../../../consign-core/src/ssh_key/keys/p256");
pub(super) const P384: &str = include_str!("../../../consign-core/src/ssh_key/keys/p384");
pub(super) const P521: &str = include_str!("../../../consign-core/src/ssh_key/keys/p521");
pub(super) const RSA: &str = include_str!("../../../consign-core/src/ssh_key/keys/rsa");
pub(super) const ED25519_PUB: &str = include_str!("../../../consign-core/src/ssh_key/keys/ed25519.pub");
pub(super) const P256_PUB: &str = include_str!("../../../consign-core/src/ssh_key/keys/p256.pub");
pub(super) const P384_PUB: &str = include_str!("../../../consign-core/src/ssh_key/keys/p384.pub");
pub(super) const P521_PUB: &str = include_str!("../../../consign-core/src/ssh_key/keys/p521.pub");
pub(super) const RSA_PUB: &str = include_str!("../../../consign-core/src/ssh_key/keys/rsa.pub");
/// Shorter than is accepted.
pub(super) const WEAK_RSA: &str = include_str!("../../../consign-core/src/ssh_key/keys/rsa1024");
pub(super) const WEAK_RSA_PUB: &str = include_str!("../../../consign-core/src/ssh_key/keys/rsa1024.pub");
pub(super) const PASSPHRASE: &str = "correct horse";

/// A network that may reach loopback.
fn network() -> Network {
    Network::new(Settings {
        egress: Egress::parse(&["127.0.0.0/8:*".to_owned()], true).unwrap(),
        own_ports: Vec::new(),
        extra_roots: Vec::new(),
        system_roots: false,
        tls_min: TlsMin::V12,
        connect_timeout: Duration::from_secs(10),
        proxy: None,
    })
}

fn address(port: u16) -> SftpAddress {
    SftpAddress::parse(&format!("sftp://127.0.0.1:{port}/")).unwrap()
}

/// Where, with which pins, as whom.
fn access(port: u16, pins: &str, login: SshLogin) -> SftpAccess {
    let address = address(port);
    let pins = Pins::parse(pins, Some(&address)).unwrap();
    SftpAccess { host: SftpHost { address, pins }, login, shared_by: "crd_1/1".to_owned() }
}

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn by_key(user: &str, key: &str, passphrase: Option<&str>) -> SshLogin {
    let key = SshKey { text: secret(key), passphrase: passphrase.map(secret) };
    SshLogin { username: user.to_owned(), key: Some(key), password: None }
}

fn by_password(user: &str, password: &str) -> SshLogin {
    SshLogin { username: user.to_owned(), key: None, password: Some(secret(password)) }
}

/// The fingerprint of a public key line.
fn print(line: &str) -> String {
    let pins = Pins::parse(line, None).unwrap();
    pins.iter().next().unwrap().fingerprint.to_string()
}

#[track_caller]
fn is_host_key(fault: &SftpFault) {
    assert!(matches!(fault.why, SftpWhy::HostKey { .. }), "{fault:?}");
}

#[track_caller]
fn is_sign_in(fault: &SftpFault, why: SignInWhy) {
    assert!(matches!(&fault.why, SftpWhy::SignIn(found) if *found == why), "{fault:?}");
}
