//! What a credential for a file server has of its own: its address, the host keys it must show, the folder of a test.

use serde_json::{Map, Value, json};

use super::Reading;
use crate::catalog::{Fault, too_long};
use crate::pin::{self, Pins};
use crate::target::{Folder, SftpAddress, SftpHost, Target};

/// The key of the address.
const HOSTNAME: &str = "hostname";
/// The key of what new host keys were compared with.
const COMPARED_WITH: &str = "host_keys_compared_with";
/// Room for a ticket and a name.
const COMPARED_WITH_CHARS_MAX: usize = 200;

/// What is sent of it.
pub(super) const KEYS: &[&str] = &[HOSTNAME, pin::FIELD, COMPARED_WITH];
/// What an answer holds beside.
pub(super) const READ_ONLY: &[&str] = &["host_keys", "ssh_public_key"];

/// What a request would say that changes nothing.
pub(super) fn shown(host: &SftpHost) -> Map<String, Value> {
    let mut shown = Map::new();
    shown.insert(HOSTNAME.to_owned(), json!(host.address.to_string()));
    shown.insert(pin::FIELD.to_owned(), json!(host.pins.lines()));
    shown
}

impl Reading<'_> {
    /// The server with its host keys, and what those were compared with.
    pub(super) fn sftp_host(&mut self) -> (Option<Target>, String) {
        let text = self.reader.text(HOSTNAME, "Hostname");
        let address = self.reader.accept(HOSTNAME, SftpAddress::parse(&text));
        let lines = self.pin_lines();
        let pins = lines.and_then(|lines| {
            let parsed = Pins::parse(&lines, address.as_ref());
            self.reader.accept(pin::FIELD, parsed)
        });
        let compared_with = self.reader.text(COMPARED_WITH, "Compared with").trim().to_owned();
        if compared_with.chars().count() > COMPARED_WITH_CHARS_MAX {
            self.reader.refuse(COMPARED_WITH, too_long("Compared with", COMPARED_WITH_CHARS_MAX));
        } else if compared_with.chars().any(char::is_control) {
            let sentence = "Compared with must not include control characters";
            self.reader.refuse(COMPARED_WITH, Fault::new("bad_characters", sentence));
        }
        let host = address.zip(pins).map(|(address, pins)| Target::Sftp(SftpHost { address, pins }));
        (host, compared_with)
    }

    /// A list of lines as a program sends it, or one text as a form does.
    fn pin_lines(&mut self) -> Option<String> {
        let bad_form = || Fault::new("bad_form", "SFTP server fingerprint must be a list of texts");
        match self.reader.take(pin::FIELD) {
            Value::Null => Some(String::new()),
            Value::String(text) => Some(text),
            Value::Array(lines) => {
                let lines: Option<Vec<_>> = lines.iter().map(Value::as_str).collect();
                self.reader.accept(pin::FIELD, lines.ok_or_else(bad_form)).map(|lines| lines.join("\n"))
            }
            _ => {
                self.reader.refuse(pin::FIELD, bad_form());
                None
            }
        }
    }

    /// The folder that a test looks into.
    pub(super) fn test_folder(&mut self, path: &str) -> Option<String> {
        if !path.starts_with('/') {
            self.reader.refuse("test_path", Fault::new("slash_needed", "Test path must start with /"));
            return None;
        }
        self.reader
            .accept("test_path", Folder::parse("Test path", path))
            .map(|folder| folder.as_str().to_owned())
    }
}

#[cfg(test)]
mod tests;
