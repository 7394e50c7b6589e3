//! Authorization types: each turns the fields of a credential into the proof that lets a request in.
//!
//! A type is a value, an [`AuthorizationType`], in a file of its own. Adding one is that file, its `mod` line and its
//! place in [`AUTHORIZATION_TYPES`]; form, API schema, validation, sealing and CLI follow from its fields.

use http::{HeaderName, HeaderValue};

use crate::assertion::Assertion;
use crate::catalog::{
    Absent, Choice, Entry, Fault, Field, Fields, Input, Invalid, Names, Protocol, Rows, Tokens, Warning,
};
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
mod saml_bearer;

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
}

/// What lets a request in.
#[derive(Debug, Default)]
pub struct Proof {
    /// Headers to add; their values are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// A path and query that are themselves the secret; the request's own path is added behind.
    pub path: Option<Secret>,
}

impl Proof {
    /// One sensitive header.
    fn header(name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        Self { headers: vec![(name, value)], path: None }
    }
}

#[cfg(test)]
mod tests;
