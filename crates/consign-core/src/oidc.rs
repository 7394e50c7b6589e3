//! Signing people in with an OpenID provider: what its documents say (OpenID Connect Discovery 1.0, RFC 7517), where a
//! person is sent (OpenID Connect Core 1.0 section 3.1.2.1 with RFC 7636), and whether an ID token is to be believed
//! (section 3.1.3.7).

pub use id_token::{Claims, Expected, NotBelieved};
pub use keys::Keys;
pub use provider::{Ask, Provider, ProviderFault, discovery};

mod id_token;
mod keys;
mod provider;

#[cfg(test)]
mod tests;
