//! A gateway: an application calls a tool through Consign, which adds the sign-in.

use std::fmt;

use http::Method;
use serde_json::{Value, json};

use crate::catalog::Fault;
use crate::credential::Rate;
use crate::id::{ConnectorId, KeyId};
use crate::target::{PathFault, RemotePath};

pub use draft::GatewayDraft;

pub mod admit;
mod draft;
pub mod headers;

const SLUG_CHARS_MAX: usize = 64;

/// The methods that can be allowed, in screen order.
pub const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

/// What may be called through a gateway, by whom, and within which limits.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The part of its own address that names it; unique among gateways.
    pub slug: Slug,
    /// The methods that are passed on; never empty, in screen order.
    pub methods: Vec<Method>,
    /// The paths that are passed on, with all below them; never empty.
    pub path_prefixes: Vec<PathPrefix>,
    /// The API keys that may call; empty: any with the scope `gateway:call`. A revoked key stays listed, so that the
    /// end of the only one does not open the gateway for all.
    pub api_keys: Vec<KeyId>,
    /// The time for the first byte of the answer.
    pub timeout_seconds: u32,
    /// The time in which nothing may come of an answer that has begun.
    pub idle_seconds: u32,
    /// The largest body of a request.
    pub max_request_bytes: u64,
    /// The most calls at one time.
    pub max_concurrency: u32,
    /// The most calls a second.
    pub max_per_second: Option<Rate>,
    /// Whether answers are searched for the secrets of the credential.
    pub scrub_answers: bool,
    /// Whether a line is kept of each call.
    pub record_calls: bool,
}

impl Gateway {
    /// Whether an API key is among those that may call.
    pub fn takes_key(&self, key: KeyId) -> bool {
        self.api_keys.is_empty() || self.api_keys.contains(&key)
    }

    /// Whether a method is passed on.
    pub fn takes_method(&self, method: &Method) -> bool {
        self.methods.contains(method)
    }

    /// Whether a path is passed on.
    pub fn takes_path(&self, path: &RemotePath) -> bool {
        self.path_prefixes.iter().any(|prefix| prefix.covers(path))
    }

    /// What is allowed and deserves a second look, as sentences.
    pub fn warnings(&self) -> Vec<&'static str> {
        let everything = self.path_prefixes.iter().any(PathPrefix::is_root);
        everything.then_some("This allows every path of the tool.").into_iter().collect()
    }

    /// The settings as they are shown, sent and stored: the keys of the form.
    pub fn to_json(&self) -> Value {
        json!({
            "slug": self.slug.as_str(),
            "methods": self.methods.iter().map(Method::as_str).collect::<Vec<_>>(),
            "path_prefixes": self.path_prefixes.iter().map(PathPrefix::as_str).collect::<Vec<_>>(),
            "api_keys": self.api_keys,
            "timeout_seconds": self.timeout_seconds,
            "idle_seconds": self.idle_seconds,
            "max_request_bytes": self.max_request_bytes,
            "max_concurrency": self.max_concurrency,
            "max_per_second": self.max_per_second.map(Rate::per_second),
            "scrub_answers": self.scrub_answers,
            "record_calls": self.record_calls,
        })
    }
}

/// Whether a key that is limited to some gateways may call this one; a key without a limit may call all.
pub fn is_within(limit: &[ConnectorId], gateway: ConnectorId) -> bool {
    limit.is_empty() || limit.contains(&gateway)
}

/// The part of a gateway's address that names it: small letters, digits and hyphens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slug(String);

impl Slug {
    /// Reads an address part.
    ///
    /// # Errors
    /// `missing`, `too_long`, `bad_characters`.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Fault::new("missing", "Enter an address part"));
        }
        if text.chars().nth(SLUG_CHARS_MAX).is_some() {
            return Err(Fault::new("too_long", "Address part must be 64 characters or fewer"));
        }
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if !text.bytes().all(plain) {
            let sentence = "Address part must use small letters, digits and hyphens";
            return Err(Fault::new("bad_characters", sentence));
        }
        Ok(Self(text.to_owned()))
    }

    /// As it stands in the address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That another gateway has it already.
    pub fn taken(&self) -> Fault {
        Fault::new("not_unique", format!("“{self}” is taken. Choose another address part"))
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path that is allowed with all below it, compared by whole segments: `/api` covers `/api` and `/api/now`, not
/// `/apis`. Kept without a slash at its end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PathPrefix(String);

impl PathPrefix {
    /// Reads a prefix. What no call can have (a query, dot segments, encoded slashes and dots) is refused here too.
    ///
    /// # Errors
    /// `slash_needed`, `other_host`, `bad_characters`, `too_long`.
    pub fn parse(text: &str, host: &str) -> Result<Self, Fault> {
        let path = RemotePath::parse(text.trim()).map_err(|fault| at_host(fault, host))?;
        let small = path.as_str().to_ascii_lowercase();
        if small.contains('?') || ["%2f", "%5c", "%2e", "%25"].iter().any(|hidden| small.contains(hidden)) {
            return Err(at_host(PathFault::BadCharacters, host));
        }
        Ok(Self(path.as_str().trim_end_matches('/').to_owned()))
    }

    /// As it is shown; `/` is every path.
    pub fn as_str(&self) -> &str {
        if self.0.is_empty() { "/" } else { &self.0 }
    }

    /// Whether it allows every path.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path is it or below it.
    pub fn covers(&self, path: &RemotePath) -> bool {
        let rest = path.without_query().strip_prefix(self.0.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn at_host(fault: PathFault, host: &str) -> Fault {
    let Fault { code, message } = fault.at_host(host);
    Fault::new(code, message.replacen("Path", "Path prefix", 1))
}

#[cfg(test)]
mod tests;
