//! API keys: `csg_{id}_{secret}{checksum}`, so that secret scanners find leaks and a cut key is named as such.

use std::net::IpAddr;

use aws_lc_rs::{digest, rand};

use crate::connector::gateway;
use crate::hex::hex;
use crate::id::{ConnectorId, KeyId};
use crate::rights::{Right, Rights};
use crate::secret::Secret;
use crate::subnet::Subnet;
use crate::time::Timestamp;

const PREFIX: &str = "csg_";
const SECRET_CHARS: usize = 64;
const CHECKSUM_CHARS: usize = 6;

/// An API key as stored: its text was shown once and is kept only as a hash.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// Its id; part of its text.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// What it may do.
    pub rights: Rights,
    /// The only gateways that it may call; empty: all that take it.
    pub gateways: Vec<ConnectorId>,
    /// Where it may be used from; empty: everywhere.
    pub allowed_from: Vec<Subnet>,
    /// SHA-256 of the whole text, in hex.
    pub hash: String,
    /// From when on it is refused.
    pub ends_at: Option<Timestamp>,
    /// Its last use, to the minute.
    pub last_used_at: Option<Timestamp>,
    /// From where that was.
    pub last_used_from: Option<IpAddr>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl ApiKey {
    /// Whether it has ended.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.ends_at.is_some_and(|end| end <= now)
    }

    /// Whether it may be used from an address. Without one that is known, only a key without a limit.
    pub fn may_come_from(&self, from: Option<IpAddr>) -> bool {
        self.allowed_from.is_empty()
            || from.is_some_and(|from| self.allowed_from.iter().any(|net| net.contains(from)))
    }

    /// Whether a key with these limits can be used from nowhere that this one cannot be used from.
    pub fn covers(&self, allowed_from: &[Subnet]) -> bool {
        let is_within = |net: &Subnet| self.allowed_from.iter().any(|own| own.covers(net));
        self.allowed_from.is_empty() || !allowed_from.is_empty() && allowed_from.iter().all(is_within)
    }

    /// Whether it may call gateways at all.
    pub fn may_call_any(&self) -> bool {
        self.rights.allow(Right::GatewayCall)
    }

    /// Whether it may call a gateway, as far as it is for the key to say; the gateway has a say too.
    pub fn may_call(&self, gateway: ConnectorId) -> bool {
        self.may_call_any() && gateway::is_within(&self.gateways, gateway)
    }
}

/// A new key text with 256 random bits. Show it once.
pub fn generate(id: KeyId) -> Secret {
    let mut bytes = [0_u8; 32];
    rand::fill(&mut bytes).expect("the system has randomness");
    let secret = hex(&bytes);
    let body = format!("{PREFIX}{}_{secret}", short(id));
    let checksum = checksum(&body);
    Secret::new(format!("{body}{checksum}"))
}

/// The part of a key's text that may be shown: `csg_{id}`.
pub fn shown(id: KeyId) -> String {
    format!("{PREFIX}{}", short(id))
}

fn short(id: KeyId) -> String {
    id.to_string().replacen(KeyId::PREFIX, "", 1)
}

/// Why a text is no API key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAKey {
    /// It does not have the form of one.
    #[error("not an API key: keys start with csg_")]
    Form,
    /// It was cut or changed.
    #[error("the API key is cut or changed: its checksum does not fit")]
    Checksum,
}

/// The id in a key's text and the hash to compare.
///
/// # Errors
/// When the text has not the form of a key, or its checksum does not fit.
pub fn parse(text: &str) -> Result<(KeyId, String), NotAKey> {
    let rest = text.strip_prefix(PREFIX).ok_or(NotAKey::Form)?;
    let (id, secret) = rest.split_once('_').ok_or(NotAKey::Form)?;
    let id = format!("{}{id}", KeyId::PREFIX).parse().map_err(|_| NotAKey::Form)?;
    if secret.len() != SECRET_CHARS + CHECKSUM_CHARS || !secret.is_ascii() {
        return Err(NotAKey::Checksum);
    }
    let (body, given) = text.split_at(text.len() - CHECKSUM_CHARS);
    if checksum(body) != given {
        return Err(NotAKey::Checksum);
    }
    Ok((id, hash(text)))
}

/// SHA-256 in hex: what is stored of a key or a session token of 256 random bits.
pub fn hash(text: &str) -> String {
    hex(digest::digest(&digest::SHA256, text.as_bytes()).as_ref())
}

fn checksum(body: &str) -> String {
    hash(body)[..CHECKSUM_CHARS].to_owned()
}

#[cfg(test)]
mod tests;
