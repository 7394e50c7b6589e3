//! Authorization types: each turns the fields of a credential into the proof that lets a request in.
//!
//! A type is a value, an [`AuthorizationType`], in a file of its own. Adding one is that file, its `mod` line and its
//! place in [`AUTHORIZATION_TYPES`]; form, API schema, validation, sealing and CLI follow from its fields.

use http::{HeaderName, HeaderValue};

use crate::catalog::{Absent, Entry, Fault, Field, Fields, Input, Invalid, Protocol};
use crate::secret::Secret;
use crate::time::Timestamp;

mod basic;
mod bearer;
mod none;

/// One way to be let in.
pub type AuthorizationType = Entry<Box<dyn Authorizer>>;

/// All authorization types, in screen order.
pub static AUTHORIZATION_TYPES: &[&AuthorizationType] = &[&basic::TYPE, &bearer::TYPE, &none::TYPE];

/// The type with this stored and public name.
pub fn find(kind: &str) -> Option<&'static AuthorizationType> {
    AUTHORIZATION_TYPES.iter().copied().find(|entry| entry.kind == kind)
}

/// A credential's way in, with everything it needs at hand.
pub trait Authorizer: Send + Sync {
    /// What to do now: never touches the network, so it can be tested as a table of inputs and exact bytes.
    fn step(&self, now: Timestamp) -> Step;
}

/// What authorizing asks for next.
#[derive(Debug)]
pub enum Step {
    /// Put this on the request.
    Apply(Proof),
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
