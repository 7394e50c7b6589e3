//! Authorization types: each turns the fields of a credential into the proof that lets a request in.
//!
//! A type is a value, an [`AuthorizationType`], in a file of its own. Adding one is that file, its `mod` line and its
//! place in [`AUTHORIZATION_TYPES`]; form, API schema, validation, sealing and CLI follow from its fields.

use http::{HeaderName, HeaderValue};

use crate::assertion::Assertion;
use crate::catalog::{
    Absent, Choice, Entry, Fault, Field, Fields, Input, Invalid, Names, Protocol, Rows, Tokens, Warning, When,
};
use crate::client_certificate;
use crate::secret::Secret;
use crate::time::Timestamp;
use crate::token::{Exchange, Token};

pub use oauth::{Ask, Consent};
pub use saml_bearer::recipient_apart;

mod authorization_code;
mod basic;
mod bearer;
mod client_credentials;
mod none;
mod oauth;
mod password;
mod saml_bearer;
mod ssh_key;

/// One way to be let in.
pub type AuthorizationType = Entry<Box<dyn Authorizer>>;

/// All authorization types, in screen order.
pub static AUTHORIZATION_TYPES: &[&AuthorizationType] = &[
    &basic::TYPE,
    &bearer::TYPE,
    &client_credentials::TYPE,
    &authorization_code::TYPE,
    &saml_bearer::TYPE,
    &none::TYPE,
    &password::TYPE,
    &ssh_key::TYPE,
];

/// The type with this stored and public name.
pub fn find(kind: &str) -> Option<&'static AuthorizationType> {
    AUTHORIZATION_TYPES.iter().copied().find(|entry| entry.kind == kind)
}

/// A credential's way in, with everything it needs at hand.
pub trait Authorizer: Send + Sync {
    /// What to do now: never touches the network, so it can be tested as a table of inputs and exact bytes. `token`
    /// is what was fetched before; types without a token request are never given one.
    fn step(&self, token: Option<&Token>, now: Timestamp) -> Step;

    /// How a person grants access; only where one must.
    fn consent(&self) -> Option<&Consent> {
        None
    }

    /// What an assertion would say; only for types that sign one.
    fn assertion(&self) -> Option<Assertion> {
        None
    }

    /// What may be shown of the secrets, kept beside the plain fields: the public half of a key, under a key of its own.
    fn shown(&self) -> Option<(&'static str, String)> {
        None
    }
}

/// What authorizing asks for next.
#[derive(Debug)]
pub enum Step {
    /// Put this on the request.
    Apply(Proof),
    /// Fetch a token first.
    Fetch {
        /// The token request.
        exchange: Box<Exchange>,
        /// The old token, while it still serves.
        meanwhile: Option<Proof>,
    },
    /// A person must grant access first.
    AskConsent,
    /// Sign in to an SSH session with this.
    SignIn(Box<SshLogin>),
}

/// What lets a request in.
#[derive(Debug, Default)]
pub struct Proof {
    /// Headers to add; their values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A path and query that are themselves the secret; the request's own path is added behind.
    pub path: Option<Secret>,
}

/// How to sign in to an SSH session: a password, a key, or both where the server asks for both.
#[derive(Debug)]
pub struct SshLogin {
    /// As whom.
    pub username: String,
    /// The key to sign with.
    pub key: Option<SshKey>,
    /// The password.
    pub password: Option<Secret>,
}

/// A private key as it was typed. Opening it can take seconds, so that is left to whoever connects.
#[derive(Debug)]
pub struct SshKey {
    /// The text.
    pub text: Secret,
    /// What opens it.
    pub passphrase: Option<Secret>,
}

/// The key under which the public half of a private key stands beside the plain fields.
pub const SSH_PUBLIC_KEY: &str = "ssh_public_key";

impl Proof {
    /// One sensitive header.
    fn header(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self { headers: vec![(name, value)], path: None }
    }
}

#[cfg(test)]
mod tests;
