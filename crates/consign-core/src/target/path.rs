//! The path and query of a request, relative to an origin it can never leave (RFC 3986 section 4.2,
//! absolute-path only).

use std::fmt::{self, Write as _};

use crate::catalog::Fault;
use crate::secret::Secret;

/// Room for long queries; far below what servers take in a request line.
const PATH_CHARACTERS_MAX: usize = 4_096;

/// A path with an optional query, percent-encoded as it goes on the wire. It starts with one `/`, has no dot
/// segments and no fragment; joined to an origin it stays there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemotePath(String);

/// Why a text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// It does not start with `/`.
    #[error("the path does not start with /")]
    SlashNeeded,
    /// It names, or could be read as naming, another host.
    #[error("the path leads to another host")]
    OtherHost,
    /// Backslashes, `#`, control characters, broken percent-encoding or dot segments.
    #[error("the path has characters or segments that are not allowed")]
    BadCharacters,
    /// More than 4,096 characters.
    #[error("the path is too long")]
    TooLong,
}

impl PathFault {
    /// The fault with its sentence; `host` is the one to stay on.
    pub fn at_host(self, host: &str) -> Fault {
        match self {
            Self::SlashNeeded => Fault::new("slash_needed", "Path must start with /"),
            Self::OtherHost => Fault::new("other_host", format!("Path must stay on {host}")),
            Self::BadCharacters => Fault::new("bad_characters", "Path must use plain characters"),
            Self::TooLong => Fault::new("too_long", "Path must be 4,096 characters or fewer"),
        }
    }
}

impl RemotePath {
    /// Reads a path with an optional query. Percent-encoding that is there stays; spaces, characters beyond
    /// ASCII and those that no address has are encoded; `: ( ) @ ! $ & ' * + , ; =` stay.
    pub fn parse(text: &str) -> Result<Self, PathFault> {
        if text.chars().nth(PATH_CHARACTERS_MAX).is_some() {
            return Err(PathFault::TooLong);
        }
        let Some(rest) = text.strip_prefix('/') else {
            let elsewhere = text.starts_with('\\') || has_scheme(text);
            return Err(if elsewhere { PathFault::OtherHost } else { PathFault::SlashNeeded });
        };
        if rest.starts_with(['/', '\\']) {
            return Err(PathFault::OtherHost);
        }
        if text.chars().any(|c| c == '\\' || c == '#' || c.is_control()) || has_broken_escape(text.as_bytes())
        {
            return Err(PathFault::BadCharacters);
        }
        let path = text.split('?').next().unwrap_or_default();
        let decoded = decode(path.as_bytes());
        if decoded.split(|byte| matches!(byte, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b"..")) {
            return Err(PathFault::BadCharacters);
        }
        let encoded = encode(text);
        if encoded.len() > PATH_CHARACTERS_MAX { Err(PathFault::TooLong) } else { Ok(Self(encoded)) }
    }

    /// The path of an origin itself, `/`.
    pub fn root() -> Self {
        Self("/".to_owned())
    }

    /// Path and query as they go on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path without its query, for pages and logs.
    pub fn without_query(&self) -> &str {
        self.0.split('?').next().unwrap_or_default()
    }

    /// The target of a request: this path behind a secret path and query, if there is one. The queries of
    /// both are kept, the secret one first; a path of `/` adds nothing.
    pub fn join(base: Option<&str>, path: &Self) -> Secret {
        let Some(base) = base else { return Secret::new(path.0.clone()) };
        let (base_path, base_query) = split_query(base);
        let (own_path, own_query) = split_query(&path.0);
        let mut target = String::with_capacity(base.len() + path.0.len() + 1);
        target.push_str(base_path);
        if own_path != "/" {
            target.truncate(target.trim_end_matches('/').len());
            target.push_str(own_path);
        }
        for (mark, query) in ['?', '&'].into_iter().zip([base_query, own_query].into_iter().flatten()) {
            target.push(mark);
            target.push_str(query);
        }
        Secret::new(target)
    }
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

/// Letters, then `:` before any slash: `https:`, `javascript:`.
fn has_scheme(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else { return false };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn has_broken_escape(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, byte)| *byte == b'%' && escaped_byte(&text[at..]).is_none())
}

/// The byte behind `%XX` at the start of a text.
fn escaped_byte(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    u8::try_from(digit(1)? * 16 + digit(2)?).ok()
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let escaped = if *byte == b'%' { escaped_byte(&text[at..]) } else { None };
        decoded.push(escaped.unwrap_or(*byte));
        at += if escaped.is_some() { 3 } else { 1 };
    }
    decoded
}

fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            encoded.push(char::from(byte));
        } else {
            push_escaped(&mut encoded, byte);
        }
    }
    encoded
}

/// Bytes that stand for themselves in a path or query, the structure and existing escapes among them.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~/?%:()@!$&'*+,;=".contains(&byte)
}

/// A text as one segment, one query value or one form value: only unreserved characters (RFC 3986 section
/// 2.3) stay.
pub(crate) fn push_component(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            push_escaped(out, byte);
        }
    }
}

/// One byte as `%XX`.
fn push_escaped(out: &mut String, byte: u8) {
    write!(out, "%{byte:02X}").expect("writing to a string does not fail");
}
