//! File servers: `sftp://host:port/` with the keys they must show, and the names of folders and files on them
//! (draft-ietf-secsh-filexfer-02 leaves names to the server; what is refused here is what no name needs).

use std::fmt;

use super::{
    ADDRESS_CHARACTERS_MAX, bad_characters, bad_form, fragment_given, is_refused, parse_port, placeholder,
    placeholder_left, split_port,
};
use crate::catalog::Fault;
use crate::host::{Host, HostFault};
use crate::pin::Pins;

const LABEL: &str = "Hostname";
const FORM: &str = "sftp://host:port/";
const SCHEME: &str = "sftp://";
/// The port that `known_hosts` does not name, and that most servers use.
const SSH_PORT: u16 = 22;
/// What most servers allow for one name.
const COMPONENT_BYTES_MAX: usize = 255;
/// A file name leaves room for the temporary one beside it.
const FILE_NAME_BYTES_MAX: usize = 200;
const FOLDER_BYTES_MAX: usize = 1_024;

/// Host and port of a file server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SftpAddress {
    host: Host,
    port: u16,
}

impl SftpAddress {
    /// Reads `sftp://host:port/`; the port is required.
    ///
    /// # Errors
    /// The sentence for the field.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        if text.trim().is_empty() {
            return Err(Fault::new("missing", "Enter the hostname"));
        }
        if text.chars().nth(ADDRESS_CHARACTERS_MAX).is_some() {
            return Err(Fault::new("too_long", "Hostname must be 2,048 characters or fewer"));
        }
        let Some(rest) = strip_scheme(text) else {
            let padded = strip_scheme(text.trim_start()).is_some();
            let needed = || Fault::new("sftp_needed", "Hostname must start with sftp://");
            return Err(if padded { bad_characters(LABEL) } else { needed() });
        };
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let address = Self::parse_authority(authority)?;
        if tail.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(bad_characters(LABEL));
        }
        if tail.contains('#') {
            return Err(fragment_given(LABEL));
        }
        match tail {
            "" | "/" => Ok(address),
            _ if tail.trim_start_matches(['/', '?']).is_empty() => Err(bad_form(LABEL, FORM)),
            _ => {
                let sentence = "Hostname must end after the port. Put the folder in the data exporter";
                Err(Fault::new("path_given", sentence))
            }
        }
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How `known_hosts` names it: the bare host on port 22, else `[host]:port`.
    pub fn known_hosts_name(&self) -> String {
        let host = self.host.to_string();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if self.port == SSH_PORT { host.to_owned() } else { format!("[{host}]:{}", self.port) }
    }

    fn parse_authority(authority: &str) -> Result<Self, Fault> {
        if let Some(placeholder) = placeholder(authority) {
            return Err(placeholder_left(LABEL, placeholder));
        }
        if authority.contains('@') {
            let sentence = "Hostname must not include a username or password. Use authorization type Basic";
            return Err(Fault::new("user_info", sentence));
        }
        if authority.chars().any(is_refused) {
            return Err(bad_characters(LABEL));
        }
        let (host, port) = split_port(authority).ok_or_else(|| bad_form(LABEL, FORM))?;
        let host = Host::parse(host).map_err(|fault| match fault {
            HostFault::Missing | HostFault::BadForm => bad_form(LABEL, FORM),
            HostFault::BadCharacters => bad_characters(LABEL),
            HostFault::Mapped(mapped) => Fault::new(
                "bad_characters",
                format!("Hostname must use plain characters. Enter {mapped} if you mean that host"),
            ),
        })?;
        let Some(port) = port else {
            let sentence = format!("Hostname must include the port. Most servers use 22: sftp://{host}:22/");
            return Err(Fault::new("port_needed", sentence));
        };
        let port = parse_port(port);
        let port = port.ok_or_else(|| Fault::new("bad_port", "Port must be between 1 and 65535"))?;
        Ok(Self { host, port })
    }
}

impl fmt::Display for SftpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}:{}/", self.host, self.port)
    }
}

/// A file server and the keys that it must prove itself with: no pin, no host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SftpHost {
    /// Where it is.
    pub address: SftpAddress,
    /// The keys.
    pub pins: Pins,
}

/// A folder on a file server: from its root, or from where the sign-in starts. It has no dot segments, so it stays
/// below what it names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Folder(String);

impl Folder {
    /// Reads a folder; an empty text is the folder where the sign-in starts. `label` names the field.
    ///
    /// # Errors
    /// The sentence for the field.
    pub fn parse(label: &str, text: &str) -> Result<Self, Fault> {
        if text.len() > FOLDER_BYTES_MAX {
            return Err(Fault::new("too_long", format!("{label} must be 1,024 characters or fewer")));
        }
        let rooted = text.starts_with('/');
        let inner = text.strip_prefix('/').unwrap_or(text);
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        if inner.is_empty() {
            return Ok(Self(if rooted { "/".to_owned() } else { String::new() }));
        }
        for part in inner.split('/') {
            if part == ".." {
                return Err(Fault::new("bad_characters", format!("{label} must not include ..")));
            }
            if part == "." || !is_component(part) {
                return Err(bad_characters(label));
            }
        }
        Ok(Self(format!("{}{inner}", if rooted { "/" } else { "" })))
    }

    /// As it is sent; `.` for the folder where the sign-in starts.
    pub fn as_sent(&self) -> &str {
        if self.0.is_empty() { "." } else { &self.0 }
    }

    /// As it is stored and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A file in it, as it is sent.
    pub fn join(&self, name: &str) -> String {
        match self.0.as_str() {
            "" => name.to_owned(),
            "/" => format!("/{name}"),
            folder => format!("{folder}/{name}"),
        }
    }
}

/// The name of a file on a file server: one component, and no more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileName(String);

impl FileName {
    /// Reads a file name. `label` names the field.
    ///
    /// # Errors
    /// The sentence for the field.
    pub fn parse(label: &str, text: &str) -> Result<Self, Fault> {
        if text.is_empty() {
            return Err(Fault::new("missing", "Enter a file name"));
        }
        if text.len() > FILE_NAME_BYTES_MAX {
            return Err(Fault::new("too_long", format!("{label} must be 200 characters or fewer")));
        }
        if text.contains('/') || text.starts_with('.') {
            let sentence = format!("{label} must not include / or start with a dot");
            return Err(Fault::new("bad_characters", sentence));
        }
        if !is_component(text) || text.contains("..") {
            return Err(bad_characters(label));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One part of a path that every server reads as a name and nothing else.
fn is_component(part: &str) -> bool {
    (1..=COMPONENT_BYTES_MAX).contains(&part.len())
        && !part.starts_with(['-', '~'])
        && part == part.trim()
        && !part.chars().any(|c| c.is_control() || c == '\\')
}

fn strip_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

#[cfg(test)]
mod tests;
