//! Parsed addresses: the origin a secret is sent to, the path below it, and the binding that ties a secret to
//! both (RFC 3986; what is refused beyond it is refused on the raw text, before anything is decoded).

use std::fmt;

use aws_lc_rs::digest;

use crate::catalog::Fault;
use crate::host::{Host, HostFault};
use crate::secret::Secret;

mod path;
mod sftp;
pub(crate) use path::push_component;
pub use path::{PathFault, RemotePath};
pub use sftp::{FileName, Folder, SftpAddress, SftpHost};

/// Longer addresses are mistakes.
const ADDRESS_CHARACTERS_MAX: usize = 2_048;
/// The port that is not shown.
const HTTPS_PORT: u16 = 443;
/// What an address of an origin looks like.
const ORIGIN_FORM: &str = "https://host:port/";
/// What a whole address looks like.
const WHOLE_FORM: &str = "https://host:port/path";

/// Scheme (always https), host and port: where a secret may be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Origin {
    host: Host,
    port: u16,
}

impl Origin {
    /// Reads the address of an origin, `https://host:port/`. `label` names the field in the sentences.
    pub fn parse(label: &str, text: &str) -> Result<Self, Fault> {
        let (authority, tail) = split(label, text)?;
        let origin = Self::parse_authority(label, authority, ORIGIN_FORM)?;
        if tail.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(bad_characters(label));
        }
        if tail.contains('#') {
            return Err(fragment_given(label));
        }
        match tail {
            "" | "/" => Ok(origin),
            _ if tail.trim_start_matches(['/', '?']).is_empty() => Err(bad_form(label, ORIGIN_FORM)),
            _ => Err(Fault::new(
                "path_given",
                format!("{label} must end after the host or port. Put “{tail}” in the webhook"),
            )),
        }
    }

    /// Reads a whole address whose path and query are a secret, such as the address of an incoming webhook.
    /// The secret starts with `/`; there is none when the address ends after the host or port.
    pub fn parse_whole(label: &str, text: &str) -> Result<(Self, Option<Secret>), Fault> {
        let (authority, tail) = split(label, text)?;
        let origin = Self::parse_authority(label, authority, WHOLE_FORM)?;
        if let Some(placeholder) = placeholder(tail) {
            return Err(placeholder_left(label, placeholder));
        }
        if tail.contains('#') {
            return Err(fragment_given(label));
        }
        if tail.chars().any(|c| is_refused_in_tail(c) || !c.is_ascii_graphic()) {
            return Err(bad_characters(label));
        }
        if matches!(tail, "" | "/") {
            return Ok((origin, None));
        }
        let rooted = if tail.starts_with('/') { tail.to_owned() } else { format!("/{tail}") };
        match RemotePath::parse(&rooted) {
            Ok(_) => Ok((origin, Some(Secret::new(rooted)))),
            Err(_) => Err(bad_form(label, WHOLE_FORM)),
        }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, 443 when none was given.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Host and port as they stand in a request's `Host` field: `host` or `host:port`.
    pub fn authority(&self) -> String {
        if self.port == HTTPS_PORT { self.host.to_string() } else { format!("{}:{}", self.host, self.port) }
    }

    fn parse_authority(label: &str, authority: &str, form: &str) -> Result<Self, Fault> {
        if let Some(placeholder) = placeholder(authority) {
            return Err(placeholder_left(label, placeholder));
        }
        if authority.contains('@') {
            let advice = instead_of_user_info(label);
            let message = format!("{label} must not include a username or password. {advice}");
            return Err(Fault::new("user_info", message));
        }
        if authority.chars().any(is_refused) {
            return Err(bad_characters(label));
        }
        let (host, port) = split_port(authority).ok_or_else(|| bad_form(label, form))?;
        let host = Host::parse(host).map_err(|fault| match fault {
            HostFault::Missing | HostFault::BadForm => bad_form(label, form),
            HostFault::BadCharacters => bad_characters(label),
            HostFault::Mapped(mapped) => Fault::new(
                "bad_characters",
                format!("{label} must use plain characters. Enter {mapped} if you mean that host"),
            ),
        })?;
        let port = match port {
            None => HTTPS_PORT,
            Some(digits) => parse_port(digits)
                .ok_or_else(|| Fault::new("bad_port", "Port must be between 1 and 65535"))?,
        };
        Ok(Self { host, port })
    }
}

/// `https://host/`, or `https://host:port/` when the port is not 443.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "https://{}/", self.authority())
    }
}

/// Where a credential leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A tool on the web.
    Https(Origin),
    /// A file server, with the keys that it must prove itself with.
    Sftp(SftpHost),
}

impl Target {
    /// The origin of a tool on the web.
    pub fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Https(origin) => Some(origin),
            Self::Sftp(_) => None,
        }
    }

    /// The file server.
    pub fn sftp(&self) -> Option<&SftpHost> {
        match self {
            Self::Https(_) => None,
            Self::Sftp(host) => Some(host),
        }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        match self {
            Self::Https(origin) => origin.host(),
            Self::Sftp(sftp) => sftp.address.host(),
        }
    }

    /// The port.
    pub fn port(&self) -> u16 {
        match self {
            Self::Https(origin) => origin.port(),
            Self::Sftp(sftp) => sftp.address.port(),
        }
    }
}

/// The address alone, without host keys.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Https(origin) => origin.fmt(f),
            Self::Sftp(sftp) => sftp.address.fmt(f),
        }
    }
}

/// An absolute https address with path and query, such as a token address: where a request goes, without a rest
/// for someone else to add. Path and query may hold secrets, so `Debug` shows the origin alone.
pub struct Address {
    origin: Origin,
    tail: Secret,
}

impl Address {
    /// Reads an address. `label` names the field in the sentences.
    ///
    /// # Errors
    /// The sentence for the field.
    pub fn parse(label: &str, text: &str) -> Result<Self, Fault> {
        let (origin, tail) = Origin::parse_whole(label, text)?;
        Ok(Self { origin, tail: tail.unwrap_or_else(|| Secret::new("/".to_owned())) })
    }

    /// Where it goes.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Path and query, with more parameters behind.
    pub fn tail_with(&self, query: &str) -> Secret {
        let tail = self.tail.expose();
        let joint = match (query.is_empty(), tail.contains('?')) {
            (true, _) => "",
            (false, false) => "?",
            (false, true) if tail.ends_with(['?', '&']) => "",
            (false, true) => "&",
        };
        Secret::new(format!("{tail}{joint}{query}"))
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}•••", self.origin)
    }
}

/// Cuts a pasted address to its origin: what to keep, and the path and query to put into the webhook. `None`
/// when there is nothing to cut or the start is not an address of an origin.
pub fn cut_to_origin(text: &str) -> Option<(String, String)> {
    let (authority, tail) = split("", text.trim()).ok()?;
    let origin = Origin::parse_authority("", authority, ORIGIN_FORM).ok()?;
    let rest = tail.split('#').next().unwrap_or_default();
    if tail.is_empty() || tail == "/" || tail.chars().any(char::is_control) {
        return None;
    }
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    Some((origin.to_string(), rest))
}

/// What a secret is tied to: the hash (SHA-256) of a framed list. A secret sealed under one binding does not
/// open under another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Binding([u8; 32]);

impl Binding {
    /// The binding of a list of names and values. Different lists have different bindings; order counts.
    pub fn of(parts: &[(&str, &str)]) -> Self {
        let hash = digest::digest(&digest::SHA256, &framed(parts));
        let mut bytes = [0; 32];
        bytes.copy_from_slice(hash.as_ref());
        Self(bytes)
    }

    /// The hash, as it goes into the authenticated data of a sealed secret.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The list with every length before its text, so that no two lists give the same bytes.
fn framed(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&length(parts.len()));
    for (name, value) in parts {
        for text in [name, value] {
            bytes.extend_from_slice(&length(text.len()));
            bytes.extend_from_slice(text.as_bytes());
        }
    }
    bytes
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).expect("a part of a binding is far below 4 GiB").to_be_bytes()
}

/// The text between `https://` and the first `/`, `?` or `#`, and the rest.
fn split<'a>(label: &str, text: &'a str) -> Result<(&'a str, &'a str), Fault> {
    if text.trim().is_empty() {
        return Err(Fault::new("missing", format!("Enter the {}", within_sentence(label))));
    }
    if text.chars().nth(ADDRESS_CHARACTERS_MAX).is_some() {
        return Err(Fault::new("too_long", format!("{label} must be 2,048 characters or fewer")));
    }
    let Some(rest) = strip_scheme(text) else {
        let padded = strip_scheme(text.trim_start()).is_some();
        let needed = || Fault::new("https_needed", format!("{label} must start with https://"));
        return Err(if padded { bad_characters(label) } else { needed() });
    };
    Ok(rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len())))
}

fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked("https://".len())?;
    scheme.eq_ignore_ascii_case("https://").then_some(rest)
}

/// Host and port text; `None` for an IPv6 address without brackets or text after a bracket that is no port.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let (host, after) = authority.split_at(authority.find(']')? + 1);
        return match after.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => after.is_empty().then_some((host, None)),
        };
    }
    if authority.parse::<std::net::Ipv6Addr>().is_ok() {
        return None;
    }
    Some(authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))))
}

/// 1 to 65535 in plain decimal, without sign or leading zero.
fn parse_port(digits: &str) -> Option<u16> {
    if digits.starts_with('0') || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Text that stands for a value of one's own: `{tenant}`, `<instancename>`, `serverName:port`.
fn placeholder(text: &str) -> Option<&str> {
    for (open, close) in [('{', '}'), ('<', '>')] {
        if let Some((start, end)) =
            text.find(open).and_then(|start| Some((start, start + text[start..].find(close)?)))
        {
            return Some(&text[start..=end]);
        }
    }
    let (_, port) = text.rsplit_once(':')?;
    port.eq_ignore_ascii_case("port").then_some(text)
}

/// Refused anywhere in the raw text of an address.
fn is_refused(c: char) -> bool {
    c == '%' || is_refused_in_tail(c)
}

fn is_refused_in_tail(c: char) -> bool {
    c.is_whitespace()
        || c.is_control()
        || matches!(c, '\\' | '"' | '\'' | '<' | '>' | '{' | '}' | '|' | '^' | '`')
}

/// Where a username and password belong that were typed into an address.
fn instead_of_user_info(label: &str) -> &'static str {
    match label {
        "URL address" => "Use authorization type Basic",
        "Log-in URL" => "Use the fields Username and Password",
        _ => "Use the fields Client ID and Client secret",
    }
}

fn bad_form(label: &str, form: &str) -> Fault {
    Fault::new("bad_form", format!("{label} must look like {form}"))
}

fn bad_characters(label: &str) -> Fault {
    Fault::new("bad_characters", format!("{label} must use plain characters"))
}

fn fragment_given(label: &str) -> Fault {
    Fault::new("fragment_given", format!("{label} must not include #"))
}

fn placeholder_left(label: &str, placeholder: &str) -> Fault {
    let label = within_sentence(label);
    let message = format!("Replace “{placeholder}” in the {label} with your own value");
    Fault::new("placeholder_left", message)
}

/// A label after other words: "Hostname" becomes "hostname", while "URL address" and names of OAuth stay.
fn within_sentence(label: &str) -> String {
    match label {
        "Hostname" | "Log-in URL" => {
            let (first, rest) = label.split_at(1);
            first.to_lowercase() + rest
        }
        _ => label.to_owned(),
    }
}

#[cfg(test)]
mod tests;
