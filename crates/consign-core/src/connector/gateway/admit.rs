//! Which calls are passed on: by method, by path, and by the headers that would be another method or path at the tool.
//!
//! The path is judged as it will be sent, byte for byte. What a tool could read otherwise than we do (dots and slashes in
//! disguise, RFC 3986 section 6.2.2) is refused, not cleaned.

use http::{HeaderMap, Method};

use super::Gateway;
use crate::target::{PathFault, RemotePath};

/// Where every address of a gateway begins; its address part follows.
pub const BASE: &str = "/gateway/";

/// Headers by which some tools take another method than that of the request.
const OTHER_METHOD: [&str; 3] = ["x-http-method", "x-http-method-override", "x-method-override"];
/// Parameters of a query by which some tools do the same; they take the names of the headers there as well.
const METHOD_IN_QUERY: &str = "_method";
/// Headers by which some tools take another path than that of the request.
const OTHER_PATH: [&str; 2] = ["x-original-url", "x-rewrite-url"];

/// Why a call is not passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// The method is not among those of the gateway.
    #[error("This gateway does not pass on this method.")]
    Method,
    /// A header asks for a method that is not among those of the gateway.
    #[error("A header asks for a method that this gateway does not pass on.")]
    MethodInHeader,
    /// The query asks for one.
    #[error("The query asks for a method that this gateway does not pass on.")]
    MethodInQuery,
    /// Something else than HTTP is to follow, such as WebSocket.
    #[error("Gateways do not pass on upgrades, such as WebSocket.")]
    Upgrade,
    /// The path is not well formed.
    #[error("The path cannot be passed on: {0}.")]
    Form(#[from] PathFault),
    /// It holds dots or slashes that are not seen as such.
    #[error(
        "The path holds encoded slashes, dots or control characters, or segments of dots. They are not passed on."
    )]
    Hidden,
    /// It is none of the prefixes, nor below one.
    #[error("The path is not below a path prefix of this gateway.")]
    Outside,
    /// A header asks for another path.
    #[error("A header asks for another path. It is not passed on.")]
    PathInHeader,
    /// The query sets what the credential sets.
    #[error("The credential sets a parameter of this query. Leave it out.")]
    Parameter,
}

impl NotAllowed {
    /// Whether it is the method that does not fit.
    pub const fn is_of_method(self) -> bool {
        match self {
            Self::Method | Self::MethodInHeader | Self::MethodInQuery | Self::Upgrade => true,
            Self::Form(_) | Self::Hidden | Self::Outside | Self::PathInHeader | Self::Parameter => false,
        }
    }
}

impl Gateway {
    /// The path to send, for a call with this method and this raw path and query below the gateway.
    ///
    /// # Errors
    /// Why it is not passed on.
    pub fn admit(&self, method: &Method, target: &str) -> Result<RemotePath, NotAllowed> {
        if !self.takes_method(method) {
            return Err(NotAllowed::Method);
        }
        let path = self.judge_path(target)?;
        let query = path.as_str().split_once('?').map_or("", |(_, query)| query);
        let names_a_method =
            |name: &str| name == METHOD_IN_QUERY || OTHER_METHOD.contains(&name.replace('_', "-").as_str());
        let refused = parameters(query)
            .any(|(name, method)| names_a_method(&name) && !self.takes_named(method.as_bytes()));
        if refused { Err(NotAllowed::MethodInQuery) } else { Ok(path) }
    }

    fn takes_named(&self, method: &[u8]) -> bool {
        let method = Method::from_bytes(method.trim_ascii().to_ascii_uppercase().as_slice());
        method.is_ok_and(|method| self.takes_method(&method))
    }

    /// Judges what the headers of a call ask for.
    ///
    /// # Errors
    /// Why it is not passed on.
    pub fn admit_headers(&self, headers: &HeaderMap) -> Result<(), NotAllowed> {
        let listed = |name| headers.get_all(name).iter();
        let mut methods = OTHER_METHOD.into_iter().flat_map(listed);
        if !methods.all(|value| self.takes_named(value.as_bytes())) {
            return Err(NotAllowed::MethodInHeader);
        }
        if OTHER_PATH.into_iter().any(|name| headers.contains_key(name)) {
            return Err(NotAllowed::PathInHeader);
        }
        // A client that could speak HTTP/2 as well says so in passing; nobody has to take it up.
        let mut upgrades = listed("upgrade").flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let in_passing = |token: &[u8]| token.trim_ascii().eq_ignore_ascii_case(b"h2c");
        if upgrades.all(in_passing) { Ok(()) } else { Err(NotAllowed::Upgrade) }
    }

    /// The path to send for a raw path and query below the gateway, whatever the method.
    pub(super) fn judge_path(&self, target: &str) -> Result<RemotePath, NotAllowed> {
        let path = RemotePath::parse(target)?;
        if hides_structure(path.without_query()) {
            return Err(NotAllowed::Hidden);
        }
        if self.takes_path(&path) { Ok(path) } else { Err(NotAllowed::Outside) }
    }
}

/// Judges the query of a path that was admitted against what the credential adds to the address.
///
/// # Errors
/// When both set a parameter of the same name.
pub fn judge_query(path: &RemotePath, added: Option<&str>) -> Result<(), NotAllowed> {
    let Some((_, set)) = added.and_then(|added| added.split_once('?')) else { return Ok(()) };
    let Some((_, asked)) = path.as_str().split_once('?') else { return Ok(()) };
    let asked: Vec<_> = parameters(asked).map(|(name, _)| name).collect();
    if parameters(set).any(|(name, _)| asked.contains(&name)) { Err(NotAllowed::Parameter) } else { Ok(()) }
}

/// The parameters, decoded, their names in small letters: some tools tell neither case nor separators apart.
fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    let pairs = query.split(['&', ';']).filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let first = form_urlencoded::parse(pair.as_bytes()).next();
        first.map(|(name, value)| (name.to_lowercase(), value.into_owned())).unwrap_or_default()
    })
}

/// Whether a tool could see other segments in a path than we do: a slash, backslash, dot or control character that is
/// encoded, once or more often; bytes that are no UTF-8, in which old decoders see such characters; or a segment that is
/// dots but for spaces and parameters (`..;x`).
fn hides_structure(path: &str) -> bool {
    let encoded = path.match_indices('%').any(|(at, _)| {
        let mut code = &path[at + 1..];
        while let Some(inner) = code.strip_prefix("25") {
            code = inner;
        }
        let byte = code.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_some_and(|byte| matches!(byte, b'.' | b'/' | b'\\') || byte.is_ascii_control())
    });
    let dots = |segment: &str| {
        let name = segment.split(';').next().unwrap_or_default().replace("%20", "");
        !name.is_empty() && name.bytes().all(|byte| byte == b'.')
    };
    encoded || !is_text(path) || path.split('/').any(dots)
}

/// Whether a path is UTF-8 when it is decoded, and each percent sign begins a byte.
fn is_text(path: &str) -> bool {
    let mut pieces = path.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let Some(byte) = piece.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok()) else {
            return false;
        };
        bytes.push(byte);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    std::str::from_utf8(&bytes).is_ok()
}

#[cfg(test)]
mod tests;
