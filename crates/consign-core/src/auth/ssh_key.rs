//! SFTP *SSH key*: a signature by a private key, RFC 4252 section 7; RSA keys sign by RFC 8332. A password can stand
//! beside it, for servers that ask for both.

use super::password::{USERNAME, copy};
use super::*;
use crate::catalog::Warning;
use crate::pin::RSA_BITS_GOOD;
use crate::ssh_key;

/// The authorization type *SSH key*.
pub(super) static TYPE: AuthorizationType = AuthorizationType {
    kind: "ssh_key",
    label: "SSH key",
    protocol: Protocol::Sftp,
    address_is_secret: false,
    tokens: Tokens::None,
    refusals_lock: false,
    fields: &[
        USERNAME,
        Field {
            key: "ssh_key",
            label: "SSH key",
            hint: "Private key, from -----BEGIN to -----END. Or choose a file.",
            input: Input::PrivateKey("passphrase"),
            missing: Some("Enter the SSH key"),
            max_chars: ssh_key::KEY_BYTES_MAX,
            rule: ssh_key::glance,
            ..Field::PLAIN
        },
        Field {
            key: "passphrase",
            label: "Passphrase",
            input: Input::Secret,
            max_chars: 1_024,
            ..Field::PLAIN
        },
        Field {
            key: "password",
            label: "Password",
            hint: "Only if the server asks for a password as well.",
            input: Input::Secret,
            max_chars: 1_024,
            ..Field::PLAIN
        },
    ],
    check: opens,
    warn: is_short,
    parse: |fields| {
        let text = copy(fields.secret("ssh_key").ok_or(Absent("ssh_key"))?);
        Ok(Box::new(Key {
            username: fields.text("username").to_owned(),
            text,
            passphrase: fields.secret("passphrase").map(copy),
            password: fields.secret("password").map(copy),
        }))
    },
};

/// A key is opened once when it is saved, so that it opens when it is needed.
fn opens(fields: &Fields) -> Vec<Invalid> {
    let Some(key) = fields.secret("ssh_key").filter(|key| ssh_key::glance(key.expose()).is_ok()) else {
        return Vec::new();
    };
    match ssh_key::open(key, fields.secret("passphrase")) {
        Ok(_) => Vec::new(),
        Err(fault) => vec![fault.fault.at(fault.field)],
    }
}

/// A short key signs in, and can be replaced while that is no hurry.
fn is_short(fields: &Fields) -> Vec<Warning> {
    let half = fields
        .secret("ssh_key")
        .and_then(|key| ssh_key::public_half(key, fields.secret("passphrase")))
        .and_then(|line| ssh_key::describe(&line));
    let short = half.and_then(|half| half.bits).filter(|bits| *bits < RSA_BITS_GOOD);
    let sentence = |bits| {
        format!(
            "The SSH key is an RSA key with {bits} bits. Keys of today have 3072 or more; Ed25519 is best."
        )
    };
    short.map(|bits| Warning { field: "ssh_key", message: sentence(bits) }).into_iter().collect()
}

struct Key {
    username: String,
    text: Secret,
    passphrase: Option<Secret>,
    password: Option<Secret>,
}

impl Authorizer for Key {
    fn step(&self, _: Option<&Token>, _: Timestamp) -> Step {
        let key = SshKey { text: copy(&self.text), passphrase: self.passphrase.as_ref().map(copy) };
        let password = self.password.as_ref().map(copy);
        Step::SignIn(Box::new(SshLogin { username: self.username.clone(), key: Some(key), password }))
    }

    fn shown(&self) -> Option<(&'static str, String)> {
        Some((SSH_PUBLIC_KEY, ssh_key::public_half(&self.text, self.passphrase.as_ref())?))
    }
}

#[cfg(test)]
mod tests;
